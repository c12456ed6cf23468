/*
 * pasta(1), of passt: connects a network namespace to the host's network without a right on the
 * host.
 */
#pragma once

#include <sys/types.h>

#include "hatchd/config/config.h"
#include "lib/base/error.h"
#include "privilege.h"

/* Everything borrowed. */
struct pasta_plan {
	const char *program; /* was checked: only root could have written it */
	const struct network *network;
	const struct account *account; /* who runs it */
	int cgroup_fd;                 /* it ends up there; -1: it stays in ours */
	int net_fd;   /* the namespace; it belongs to the user namespace of the account */
	pid_t target; /* with net_fd -1: the process whose user and network namespace it enters */
};

/*
 * pasta_start - start it, and wait until the network is there
 *
 * ret_pid  a child, for the caller to kill and reap; unchanged on failure
 * Errors   BLAME_HOST: -ETIMEDOUT it says nothing, -ECHILD it ended, with what it said
 */
int pasta_start(const struct pasta_plan *plan, pid_t *ret_pid, struct error *err);
