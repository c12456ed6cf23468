/*
 * The mount API by descriptors (Linux 5.12): a mount is made detached, given its flags, and only
 * then put into its place. No option string, no path that a builder could name.
 * Source: fsopen(2), open_tree(2), mount_setattr(2), move_mount(2)
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/error.h"

struct mount_option {
	const char *key, *value; /* value NULL: a word that stands alone, such as "ro" */
};

/* mount_new - a detached mount of a new file system. attributes: MOUNT_ATTR_*. Returns its
 * descriptor or -errno */
int mount_new(const char *type, const struct mount_option *options, size_t n_options,
              uint64_t attributes, struct error *err);

/* mount_open, mount_set_option, mount_set_fd, mount_create - the same in steps: a context for a
 * file system of this type, its options (value NULL: one without a value; a descriptor in place of
 * it: no error text, because an older kernel takes none), and the mount. A descriptor, 0, or -errno
 */
int mount_open(const char *type, struct error *err);
int mount_set_option(int context_fd, const struct mount_option *option, struct error *err);
int mount_set_fd(int context_fd, const char *key, int fd);
int mount_create(int context_fd, const char *type, uint64_t attributes, struct error *err);

/* mount_change - other options for the file system that mount_fd, of mount_new(), is the root of */
int mount_change(int mount_fd, const struct mount_option *options, size_t n_options,
                 struct error *err);

/* mount_map - a detached copy of the mount at source_fd alone, with the owners of its files mapped
 * by a user namespace. what: for the error. Returns its descriptor or -errno */
int mount_map(int source_fd, int user_ns_fd, const char *what, struct error *err);

/* mount_clone - a detached copy of what is at source_fd (O_PATH of this mount namespace), with all
 * mounts below it, the attributes set on each. what: for the error. Returns its descriptor or
 * -errno */
int mount_clone(int source_fd, const char *what, uint64_t attributes, struct error *err);

/* mount_set - set attributes on what mount_fd is the root of */
int mount_set(int mount_fd, uint64_t attributes, struct error *err);

/* mount_attach - put a detached mount at root_fd/target (relative; "" for root_fd itself) */
int mount_attach(int mount_fd, int root_fd, const char *target, struct error *err);

/*
 * reopen_here - the same file or directory in this process's own mount namespace
 *
 * A descriptor that came across clone(CLONE_NEWNS) still points into the parent's namespace, and
 * the kernel refuses it as source or target of a mount. Checked by device and inode. Returns an
 * O_PATH descriptor or -errno
 */
int reopen_here(int fd, struct error *err);
