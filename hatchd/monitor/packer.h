/*
 * The two helpers that are forked before the monitor drops its capabilities, as the build user, and
 * wait: the packer, which reads outputs, and the cleaner, which removes what the builder made.
 */
#pragma once

#include "hatchd/request/request.h"
#include "hatchd/sandbox/privilege.h"
#include "hatchd/slot/scratch.h"

/* A helper that waits. -1/0: none. */
struct helper {
	pid_t pid;
	int go_fd;     /* helper_go() writes here; closing it ends the helper */
	int result_fd; /* a struct helper_result comes back; readable at its end */
};

struct helper_result {
	bool ok;
	struct error error;
};

/*
 * packer_start - fork the process that will send the outputs into the tree pipe
 *
 * tree_fd  write end; borrowed, the caller closes its own copy
 */
int packer_start(const struct request *request, const struct scratch *scratch,
                 const struct account *account, int tree_fd, struct helper *ret, struct error *err);

/* cleaner_start - fork the process that will clear the scratch directory */
int cleaner_start(const struct scratch *scratch, const struct account *account, struct helper *ret,
                  struct error *err);

/* helper_go - let it begin; 0 or -errno */
int helper_go(const struct helper *helper);

/*
 * helper_finish - take its result, after go, and reap it; blocks until it ends
 *
 * Errors  what the helper met; BLAME_HOST -ECHILD if it died without a result, -EPIPE if nobody
 * read what it sent
 */
int helper_finish(struct helper *helper, struct error *err);

/* helper_done - end it if it was never let go, and reap it */
void helper_done(struct helper *helper);
