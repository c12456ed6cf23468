/*
 * The two helpers that are forked before the monitor drops its capabilities, as the build user, and
 * wait: the packer, which reads outputs, and the cleaner, which removes what the builder made.
 */
#pragma once

#include "hatchd/request/request.h"
#include "hatchd/slot/scratch.h"
#include "helper.h"
#include "lib/scan/scan.h"
#include "lib/tree/pack.h"

/* output_root - where the builder left an output, to be called by the output's name */
struct tree_root output_root(const struct request_output *output, const struct scratch *scratch);

/*
 * packer_start - fork the process that will send the outputs into the tree pipe
 *
 * tree_fd  write end; borrowed, the caller closes its own copy
 * scan     secrets that no output may hold; all of them are read before the first byte is sent.
 *          NULL: none
 */
int packer_start(const struct request *request, const struct scratch *scratch,
                 const struct account *account, int tree_fd, const struct scan *scan,
                 struct helper *ret, struct error *err);

/* cleaner_start - fork the process that will clear the scratch directory */
int cleaner_start(const struct scratch *scratch, const struct account *account, struct helper *ret,
                  struct error *err);
