/* A process that waits to become a command of "before" or "after". */
#pragma once

#include <sys/types.h>

#include "steward.h"

/* Of zeros: none. */
struct command {
	pid_t pid; /* 0: none, or no more */
	int pid_fd;
	int go_fd; /* for its order; at the end of this it ends itself */
};

/*
 * command_start - fork it
 *
 * ready_fd  closed in it once it has no other rights than the command will
 * ret       set also on failure; release with command_end()
 * Errors    BLAME_HOST
 */
int command_start(const struct steward_plan *plan, const struct hook *hook, int ready_fd,
                  struct command *ret, struct error *err);

/*
 * command_begin - it may begin: in its cgroup, and told what was ordered
 *
 * procs_fd  cgroup.procs; -1: no cgroup
 * Errors    BLAME_HOST
 */
int command_begin(const struct command *command, int procs_fd, const struct steward_order *order,
                  struct error *err);

/* command_end - wait for its end; one that waits still ends by itself. Returns its status */
int command_end(struct command *command);
