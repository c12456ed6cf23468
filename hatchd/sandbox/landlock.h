/* Landlock: which files a process may still open, decided once. Source: landlock(7) */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/error.h"

enum { LANDLOCK_SCOPES = 6 /* the version that landlock_scope() needs, Linux 6.12 */ };

/* landlock_version - of the kernel's Landlock ABI; 0: none (hatchd --check reports it) */
int landlock_version(void);

/*
 * landlock_read_only - from here on only what is beneath these directories can be opened, for
 * reading
 *
 * A kernel without Landlock is no failure: seccomp and the user's rights remain. hatchd --check
 * says so.
 */
int landlock_read_only(const int *dir_fds, size_t n_dir_fds, struct error *err);

/*
 * landlock_only - from here on only what is beneath this directory can be opened, made or removed:
 * files, directories and symlinks, nothing to be run
 *
 * Before Linux 5.19 no file could be given a second name in another directory any more: there it
 * does nothing.
 */
int landlock_only(int dir_fd, struct error *err);

/*
 * landlock_write_beneath - from here on nothing can be written, made or removed but beneath these
 * directories; reading is as before
 *
 * What ProtectSystem=strict would do for the service, at a fiftieth of its price, and for ever.
 */
int landlock_write_beneath(const int *dir_fds, size_t n_dir_fds, struct error *err);

/*
 * landlock_scope - from here on no abstract socket can be connected to, and no process be
 * signalled, but those of the processes that descend from this one; files are as before
 *
 * For what a network namespace does not hold, where a builder has the host's. An older kernel is no
 * failure; hatchd --check says so.
 */
int landlock_scope(struct error *err);
