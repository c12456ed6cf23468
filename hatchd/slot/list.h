/*
 * What runs and waits now, read from locks and tickets without disturbing anybody: only the queue's
 * guard is taken, for as long as the reading takes, and nothing is opened for writing, which would
 * wake those who wait. For hatchctl; so it needs nothing but lock files.
 */
#pragma once

#include "claim.h"
#include "lib/base/cleanup.h"
#include "lib/base/error.h"

enum pool_state {
	POOL_RUNNING, /* a build user is held: the request is prepared, runs, or is cleaned up */
	POOL_WAITING,
	POOL_LEFT, /* who held it was killed; the next request will clear it */
};

struct pool_entry {
	enum pool_state state;
	char user[256];            /* the build user; empty while waiting */
	uint64_t ticket;           /* POOL_WAITING: its number */
	uint64_t ahead;            /* POOL_WAITING: live tickets that stand before this one */
	struct slot_record record; /* claim.request empty: it does not say, or not yet */
};

/*
 * pool_list - the requests that hold a build user, then those that wait in their order, then what
 * was left
 *
 * state_dir  as of hatchd.json ("state")
 * ret        *ret_n entries, to be released with free(); none if there never was a request
 * Errors     BLAME_HOST: -EACCES for anybody but root, -EPERM what stands there is not ours,
 *            -ENOMEM, what the file system says. A file whose content cannot be read is an entry
 *            without a claim, no error
 */
int pool_list(const char *state_dir, struct pool_entry **ret, size_t *ret_n, struct error *err);
