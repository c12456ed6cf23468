/* Do the outputs hold a secret? For the packer, before it sends the first byte. */
#pragma once

#include "hatchd/request/request.h"
#include "hatchd/slot/scratch.h"
#include "lib/scan/scan.h"

/*
 * inspect_outputs - read all outputs of a request, names and targets of links included
 *
 * An output that is not there is none of its business.
 * Errors  BLAME_BUILD -EACCES one holds a secret: the output, the secret's name and the place are
 *         named, but nothing of the secret; and as for tree_look()
 */
int inspect_outputs(const struct request *request, const struct scratch *scratch,
                    const struct scan *scan, struct error *err);
