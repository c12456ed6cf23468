/* Lock files of pool, queue and resources: all of them regular files of ours, mode 0600. */
#pragma once

#include "claim.h"
#include "lib/base/error.h"

/* In the directory of the pool; whoever numbers, counts, lists or takes anything locks it. */
#define LOCK_GUARD_NAME "queue.lock"

/* Beside it: the round that is now, in digits (fair.h). */
#define LOCK_ROUND_NAME "queue.round"

/*
 * lock_open - open a lock file, with O_CREAT in flags also make it
 *
 * Returns  1, 0 if it does not exist, or a negative errno
 * Errors   BLAME_HOST: -EPERM it is not a regular file of ours, of mode 0600, with one name
 */
int lock_open(int dir_fd, const char *name, int flags, int *ret_fd, struct error *err);

/* lock_try - lock what lock_open() opened; 1, 0 if another holds it, or a negative errno */
int lock_try(int fd, const char *name, struct error *err);

/* lock_wait - the same, waiting for it; 0 or a negative errno */
int lock_wait(int fd, const char *name, struct error *err);

/* lock_read - what it says; 1, 0 if it is empty, or -EBADMSG, or what read(2) says */
int lock_read(int fd, const char *name, struct slot_record *ret, struct error *err);

/* lock_write - have it say this, and no more. Errors  BLAME_HOST: -EINVAL not a record that can be
 * read back, or what the file system says */
int lock_write(int fd, const char *name, const struct slot_record *record, struct error *err);
