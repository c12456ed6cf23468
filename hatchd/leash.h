/*
 * How a parent ends a child of another user once it has no right to anything any more: by closing
 * its end of a pipe. The kernel then kills the child, whatever this waits for; and the end of the
 * parent does the same.
 *
 * A child that has closed its end, because somebody has taken it over, is out of reach: whoever
 * waits for it does so for a time only, and it dies with its parent (privilege_become()).
 *
 * Source: fcntl(2), F_SETOWN and F_SETSIG
 */
#pragma once

#include <sys/types.h>

/*
 * leash_wear - in the child: die once nobody has the reading end of this pipe any more
 *
 * fd       its writing end, which the child keeps, and nobody else has; what is written to it must
 *          be the last thing that the child does
 * Call it as the user that the child stays: what counts is who calls. Returns 0 or -errno
 */
int leash_wear(int fd);

/*
 * leash_end - in the parent: let the child end by itself for so long, then have it killed; reap it
 *
 * pid, fd     of the child, and the reading end: neither is one any more. A pid of 0 is none
 * ret_status  as wait(2) gives it; NULL: unwanted
 * Returns     1 it ended by itself, 0 it was killed, or there was none, -ETIMEDOUT it does not end
 */
int leash_end(pid_t *pid, int *fd, int timeout_ms, int *ret_status);
