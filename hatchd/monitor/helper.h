/*
 * A process that the monitor forks before it drops its capabilities, as the build user, and that
 * waits until it is needed. It dies with the monitor, and when nobody wants it any more (leash.h).
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
	int result_fd; /* a struct helper_result comes back; readable at its end; closing it kills
	                */
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

enum { HELPER_KEEP_MAX = 8 };

/* What a helper is to do; it keeps no descriptor but those in keep, and its own. */
struct helper_work {
	int (*prepare)(void *context, struct error *err); /* confine; after becoming the user */
	int (*run)(void *context, struct error *err);
	void *context;
	int keep[HELPER_KEEP_MAX];
	size_t n_keep;
	int go_fd; /* set for run(): its other end is closed when nobody wants the helper any more
	            */
};

/* helper_start - fork it; it becomes the account, is confined, and waits */
int helper_start(struct helper_work *work, const struct account *account, struct helper *ret,
                 struct error *err);

/* helper_go - let it begin; 0 or -errno. The tap hears it twice (tap.h) */
int helper_go(const struct helper *helper);

/*
 * helper_finish - take its result, after go, for which it has so long from now on, and reap it
 *
 * Errors  what the helper met; BLAME_HOST -ECHILD if it died without a result, -ETIMEDOUT if it
 * had to be killed, -EPIPE if nobody read what it sent
 */
int helper_finish(struct helper *helper, int timeout_ms, struct error *err);

/* helper_done - kill it, whatever it does, and reap it. Returns 0, or -ETIMEDOUT it does not end */
int helper_done(struct helper *helper);
