/*
 * Overlays: layers stacked by descriptor, so that no character in a path means anything.
 * Source: the kernel's filesystems/overlayfs
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hatchd/config/config.h"
#include "lib/base/error.h"
#include "privilege.h"
#include "userns.h"

/* Descriptors of directories in this mount namespace; borrowed. */
struct overlay {
	const int *lower_fds; /* the first is on top */
	size_t n_lower;
	int upper_fd, work_fd; /* what is written; -1: nothing can be */
	bool user_marks;       /* marks as user.* attributes: for who may set no others */
};

/* overlay_mount - a detached mount; its descriptor, or -errno. Errors: BLAME_HOST, with what the
 * kernel said of it */
int overlay_mount(const struct overlay *overlay, uint64_t attributes, struct error *err);

/* overlay_needs_map - has the builder an overlay that it may write to? */
bool overlay_needs_map(const struct builder *builder);

/* overlay_needs_disk - and keeps one of them what is written on disk? */
bool overlay_needs_disk(const struct builder *builder);

/*
 * overlay_make_maps - what is root's in a layer belongs to the build user
 *
 * Every other id stays what it is; what belongs to the build user on disk, which nothing should,
 * belongs to nobody. 0 or -ENOMEM
 */
int overlay_make_maps(const struct account *account, struct id_maps *ret);
