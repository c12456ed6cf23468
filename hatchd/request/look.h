/* Looking at the process of a peer: what happens when a stranger may end, be another, or hide. */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "lib/base/cleanup.h"
#include "lib/base/error.h"

extern const char look_why_gone[], look_why_no_sandbox[];

/*
 * look_failed - one look at the peer failed: that it must not be looked at is an answer, 0 and
 * *ret_why. That we ran out of something is a failure: the peer could arrange it and would be taken
 * for another.
 *
 * code  of errno
 */
int look_failed(int code, const char *why, const char **ret_why, struct error *err);

bool look_has_exited(int pid_fd);

/*
 * look_open_process - open the peer's directory in procfs
 *
 * Such a directory belongs to one process, not to a number: after that one's end everything in it
 * is gone, also when the number is in use again. What is left to ask is whether the number meant
 * our peer at the moment of opening, and it did if the peer lives afterwards.
 *
 * ret_fd   O_PATH
 * Returns  1, or 0 and *ret_why
 * Errors   BLAME_HOST: procfs cannot be read, or as look_failed()
 */
int look_open_process(int pid_fd, int *ret_fd, const char **ret_why, struct error *err);

static inline bool look_is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}
