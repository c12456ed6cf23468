/*
 * The cgroup of one request: a child of the unit's delegated one (cgroup v2 only). Opened before
 * the builder starts, so that it can be killed later by a process that has no privilege left.
 * Source: the kernel's admin-guide/cgroup-v2, "cgroup.kill", "cgroup.events"
 */
#pragma once

#include <stdbool.h>

#include "lib/base/cleanup.h"
#include "lib/base/error.h"
#include "pool.h"

struct cgroup {
	char path[CGROUP_PATH_MAX];     /* absolute, below /sys/fs/cgroup */
	int dir_fd, kill_fd, events_fd; /* -1: none */
	int parent_fd;
};

#define cleanup_cgroup cleanup_(cgroup_done)

/* A struct cgroup without anything open. */
#define CGROUP_NONE                                                           \
	{                                                                     \
		.dir_fd = -1, .kill_fd = -1, .events_fd = -1, .parent_fd = -1 \
	}

/* cgroup_own_path - the cgroup v2 group of this process as an absolute path below the mount of
 * cgroup2 */
int cgroup_own_path(char ret[CGROUP_PATH_MAX], struct error *err);

/* cgroup_root_path - where cgroup v2 is mounted */
int cgroup_root_path(char ret[CGROUP_PATH_MAX], struct error *err);

/* cgroup_create - make and open a child of this process's own group. name: one component.
 * Errors  BLAME_HOST -ENOENT no cgroup v2, -EACCES not delegated, -EEXIST left by somebody */
int cgroup_create(const char *name, struct cgroup *ret, struct error *err);

/* cgroup_open - open one that exists; 1, 0 if it is gone, or a negative errno */
int cgroup_open(const char *path, struct cgroup *ret, struct error *err);

/*
 * cgroup_kill - kill every process in it and below, and wait until none is left
 *
 * Uses only descriptors opened before. Zombies do not count.
 * Errors  BLAME_HOST -ETIMEDOUT still populated after timeout_ms
 */
int cgroup_kill(const struct cgroup *cgroup, int timeout_ms, struct error *err);

/* cgroup_is_populated - does a live process remain? */
bool cgroup_is_populated(const struct cgroup *cgroup);

/* cgroup_remove - remove the empty group with its empty children (a builder cannot make any, root
 * can) */
int cgroup_remove(struct cgroup *cgroup, struct error *err);

/* cgroup_done - close the descriptors; the group stays */
void cgroup_done(struct cgroup *cgroup);
