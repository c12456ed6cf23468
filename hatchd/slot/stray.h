/*
 * Processes of a build user that belong to no request: somebody logged in as it, or something got
 * away. A request that shares its uid with one would not be alone.
 */
#pragma once

#include <sys/types.h>

/*
 * stray_find - does a process run under this uid? One that has ended and only waits for its parent
 * to notice does not count
 *
 * Costs one system call, getpriority(2) for all processes of a user, unless there is one.
 * ret      its pid; 0 if it cannot be seen (proc(5), hidepid)
 * Returns  1, or 0 none
 */
int stray_find(uid_t uid, pid_t *ret);
