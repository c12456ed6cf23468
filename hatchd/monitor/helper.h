/*
 * A process that the monitor forks before it drops its capabilities, as the build user, and that
 * waits until it is needed. It dies with the monitor.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "hatchd/sandbox/privilege.h"
#include "lib/base/error.h"

/* A helper that waits. -1/0: none. */
struct helper {
	pid_t pid;
	int go_fd;     /* helper_go() writes here; closing it ends the helper */
	int result_fd; /* a struct helper_result comes back; readable at its end */
};

/* A struct helper without a process. */
#define HELPER_NONE                          \
	{                                    \
		.go_fd = -1, .result_fd = -1 \
	}

struct helper_result {
	bool ok;
	struct error error;
};

/* What a helper is to do; it keeps no descriptor but those in keep (room is left for two of its
 * own). */
struct helper_work {
	int (*prepare)(void *context, struct error *err); /* confine; after becoming the user */
	int (*run)(void *context, struct error *err);
	void *context;
	int keep[10];
	size_t n_keep;
	int go_fd; /* set for run(): its other end is closed when nobody wants the helper any more
	            */
};

/* helper_start - fork it; it becomes the account, is confined, and waits */
int helper_start(struct helper_work *work, const struct account *account, struct helper *ret,
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
