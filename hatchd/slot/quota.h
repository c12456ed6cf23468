/*
 * Which of three ways holds a definition's limit on scratch on this host, and the one of them that
 * is the file system's own: project quota. Source: quotactl(2), ioctl_fsgetxattr(2);
 * hatch-builder(5), "scratch"
 */
#pragma once

#include <stdint.h>

#include "hatchd/config/config.h"
#include "lib/base/error.h"

/* The slot of the user at index i has the project SCRATCH_PROJECT_FIRST + i. */
enum { SCRATCH_PROJECT_FIRST = 1744830464 };

enum scratch_way {
	SCRATCH_UNLIMITED,
	SCRATCH_TMPFS,   /* the scratch is a file system of its own, in memory */
	SCRATCH_QUOTA,   /* of the file system's */
	SCRATCH_WATCHER, /* a process looks from time to time */
};

/* "none", "tmpfs", "quota", "watcher" */
const char *scratch_way_name(enum scratch_way way);

/*
 * scratch_way_choose - how the limit would be held
 *
 * dir_fd  of the file system that scratch lies on: the state directory, or what is below; O_PATH
 *         will do
 */
enum scratch_way scratch_way_choose(const struct builder *builder, int dir_fd);

/* quota_is_enforced - does the file system hold limits on projects? */
bool quota_is_enforced(int dir_fd);

/* scratch_inodes - how many files, directories and links a limit on bytes allows: one for each 4
 * KiB, and 1024 */
uint64_t scratch_inodes(uint64_t bytes);

/* quota_set - the directory (not O_PATH; still empty) and all that will be made in it belongs to
 * the project, which may have so much. Errors: BLAME_HOST, what the kernel says */
int quota_set(int dir_fd, uint32_t project, uint64_t bytes, struct error *err);
