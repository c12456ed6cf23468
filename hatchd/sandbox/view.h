/*
 * The view while it is made. For sandbox/ only. Every step runs as init, in the new mount
 * namespace, and leaves in view->root_fd what the builder will see at "/". Source:
 * hatch-builder(5), "VIEW"
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdbool.h>

#include "hatchd/config/view-plan.h"
#include "sandbox.h"

enum {
	ATTR_DATA = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
	ATTR_READ_ONLY = ATTR_DATA | MOUNT_ATTR_RDONLY,
	ATTR_DEVICE = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
	ATTR_PROC = ATTR_DATA | MOUNT_ATTR_NOEXEC,
};

struct view {
	const struct sandbox_plan *plan;
	int root_fd;  /* the new root */
	int dev_fd;   /* the mount at /dev; -1: it is a part of the root */
	int stage_fd; /* -1: not needed so far */
	int layer_fd; /* the tmpfs over a root that is the builder's own; -1: there is none */
	size_t n_overlays;
};

/* view_has_own_root - is "/" another tree than the system's? */
static inline bool view_has_own_root(const struct view *view)
{
	return view->plan->request->builder->root.kind != ROOT_SYSTEM;
}

/* --- places (place.c); paths of the view are relative: "opt/tool" --- */

/*
 * view_open - open a path of the view as it will be once that is the root
 *
 * Part of it may be a bind of what belongs to anybody: a link in there must not lead our root's
 * rights to the host. Returns an O_PATH descriptor or -errno
 */
int view_open(int root_fd, const char *path, uint64_t flags);

/* view_is_missing - of what view_open() returned: is nothing there? What cannot be opened for any
 * other reason now may be seen later */
static inline bool view_is_missing(int fd)
{
	return fd == -ENOENT || fd == -ENOTDIR;
}

/* view_make_directory - make it and its parents; what is there already may be part of a bind. 0 or
 * -errno */
int view_make_directory(int root_fd, const char *path);

/* view_make_file - a file with this text, in the place of what has that name; 0 or -errno */
int view_make_file(int root_fd, const char *path, const char *text);

/* view_make_link - a symbolic link, in the place of what has that name; 0 or -errno */
int view_make_link(int root_fd, const char *path, const char *target);

/* view_remove_file - take away a file or link, if there is one; 0 or -errno */
int view_remove_file(int root_fd, const char *path);

/* view_attach - put a detached mount at target, made where it is missing */
int view_attach(const struct view *view, int mount_fd, const char *target, bool directory,
                struct error *err);

/* view_mount - the same for what mount_new() returned; takes it, also if it is an error */
int view_mount(const struct view *view, int mount_take_fd, const char *target, struct error *err);

/* view_open_source - open what of the host is to be shown: no magic link on the way, and nothing
 * that no builder may see at the end of one. Returns an O_PATH descriptor or -errno */
int view_open_source(const struct view *view, const char *path);

/* view_fail_source - source cannot be shown, for this reason. Returns -code */
int view_fail_source(const struct view *view, const char *path, int code, struct error *err);

/* view_bind - bind what row->source names at row->at */
int view_bind(const struct view *view, const struct view_row *row, uint64_t attributes,
              struct error *err);

/* view_bind_scratch - bind a part of scratch to a path of the view */
int view_bind_scratch(const struct view *view, int fd, const char *target, struct error *err);

/* view_new_tmpfs - a detached one of so many bytes, with a file for each 4096 of them; owner NULL:
 * ours. empty.c */
int view_new_tmpfs(const char *mode, uint64_t size, const struct account *owner, struct error *err);

/* view_leave_room - from now on the one of view_new_tmpfs() takes as many bytes as this, and files,
 * in addition to what is in it. 0 or -errno; empty.c */
int view_leave_room(int mount_fd, uint64_t size, struct error *err);

/* view_stage - a directory in a tmpfs that is gone before the builder starts: for mounts that
 * others are made of. Returns its descriptor, borrowed, or -errno; stage.c */
int view_stage(struct view *view, struct error *err);

/* view_leave_stage - take it away again. 0 or -errno */
int view_leave_stage(struct view *view, struct error *err);

/* view_lay_root - the builder's own root, and over it a layer that only hatch writes to; root.c.
 * place_fd: where it is mounted while it is made */
int view_lay_root(struct view *view, int place_fd, struct error *err);

/* view_limit_root - from now on that layer takes what the builder may write, and no more; root.c */
int view_limit_root(struct view *view, struct error *err);

/* view_add_freeze - what is there, read-only; root.c */
int view_add_freeze(struct view *view, const struct view_row *row, struct error *err);

/* view_hide_devices - an empty /dev over that of the builder's own root; root.c */
int view_hide_devices(struct view *view, struct error *err);

/* --- what makes each kind of row (struct view_row) --- */

int view_add_system(struct view *view, const struct view_row *row, struct error *err);
int view_add_read(struct view *view, const struct view_row *row, struct error *err);
int view_add_file(struct view *view, const struct view_row *row, struct error *err);
int view_add_write(struct view *view, const struct view_row *row, struct error *err);
int view_add_scratch(struct view *view, const struct view_row *row, struct error *err);
int view_add_directory(struct view *view, const struct view_row *row, struct error *err);
int view_add_link(struct view *view, const struct view_row *row, struct error *err);

/* store.c: so that the builder makes its outputs at their final paths */
int view_add_store(struct view *view, const struct view_row *row, struct error *err);

/* inputs.c */
int view_add_inputs(struct view *view, const struct view_row *row, struct error *err);

/* host.c */
int view_add_host(struct view *view, const struct view_row *row, struct error *err);

/* overlay.c */
int view_add_overlay(struct view *view, const struct view_row *row, struct error *err);

/* kernel.c */
int view_add_device(struct view *view, const struct view_row *row, struct error *err);
int view_add_dev(struct view *view, const struct view_row *row, struct error *err);
int view_add_proc(struct view *view, const struct view_row *row, struct error *err);

/* etc.c */
int view_add_etc(struct view *view, const struct view_row *row, struct error *err);

/* empty.c */
int view_add_tmpfs(struct view *view, const struct view_row *row, struct error *err);
int view_add_hide(struct view *view, const struct view_row *row, struct error *err);

/* secrets.c: what the definition names of the unit's credentials */
int view_add_credentials(struct view *view, const struct view_row *row, struct error *err);
