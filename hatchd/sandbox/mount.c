/* One system call at a time, each failure with the name of what it was for. */
#include "mount.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

/* <sys/mount.h> of glibc and <linux/mount.h> cannot be included together on all versions we build
 * with, so the calls are made by number. */
static int sys_fsopen(const char *type)
{
	return (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
}

static int sys_fsconfig(int fd, unsigned command, const char *key, const char *value, int aux)
{
	return (int)syscall(SYS_fsconfig, fd, command, key, value, aux) < 0 ? -errno : 0;
}

static int fail_type(const char *type, int code, struct error *err)
{
	(void)error_errno(err, BLAME_HOST, code, "cannot make a %s file system", type);
	return code == ENODEV ? error_hint(err, "the kernel does not know it: modprobe %s", type)
	                      : -code;
}

/* What the kernel says about what it could not do: "e overlay: ..." */
static int add_words(int context_fd, struct error *err)
{
	char said[ERROR_HINT_MAX / 2];
	ssize_t n = read(context_fd, said, sizeof(said) - 1);

	if (n <= 2)
		return -err->code;
	said[n] = '\0';
	said[strcspn(said, "\n")] = '\0';
	return error_hint(err, "the kernel says: %s", said + 2);
}

int mount_open(const char *type, struct error *err)
{
	int fd = sys_fsopen(type);

	return fd < 0 ? fail_type(type, errno, err) : fd;
}

int mount_set_option(int context_fd, const struct mount_option *option, struct error *err)
{
	int r = sys_fsconfig(context_fd, option->value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG,
	                     option->key, option->value, 0);

	if (r == 0)
		return 0;
	(void)error_errno(err, BLAME_HOST, -r, "cannot set %s of a file system", option->key);
	return add_words(context_fd, err);
}

int mount_set_fd(int context_fd, const char *key, int fd)
{
	/* A directory that is open, and not only named. */
	cleanup_fd int open_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return open_fd < 0 ? -errno : sys_fsconfig(context_fd, FSCONFIG_SET_FD, key, NULL, open_fd);
}

int mount_create(int context_fd, const char *type, uint64_t attributes, struct error *err)
{
	int r = sys_fsconfig(context_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0), fd;

	if (r < 0) {
		(void)fail_type(type, -r, err);
		return add_words(context_fd, err);
	}
	fd = (int)syscall(SYS_fsmount, context_fd, FSMOUNT_CLOEXEC, (unsigned)attributes);
	if (fd < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot mount a %s file system", type);
	return fd;
}

int mount_new(const char *type, const struct mount_option *options, size_t n_options,
              uint64_t attributes, struct error *err)
{
	cleanup_fd int context_fd = mount_open(type, err);
	int r = context_fd < 0 ? context_fd : 0;

	for (size_t i = 0; r == 0 && i < n_options; i++)
		r = mount_set_option(context_fd, &options[i], err);
	return r < 0 ? r : mount_create(context_fd, type, attributes, err);
}

int mount_change(int mount_fd, const struct mount_option *options, size_t n_options,
                 struct error *err)
{
	cleanup_fd int context_fd = (int)syscall(SYS_fspick, mount_fd, "",
	                                         FSPICK_EMPTY_PATH | FSPICK_CLOEXEC);
	int r = 0;

	if (context_fd < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot change a file system");
	for (size_t i = 0; r == 0 && i < n_options; i++)
		r = mount_set_option(context_fd, &options[i], err);
	if (r < 0)
		return r;
	r = sys_fsconfig(context_fd, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0);
	if (r == 0)
		return 0;
	(void)error_errno(err, BLAME_HOST, -r, "cannot change a file system");
	return add_words(context_fd, err);
}

int mount_map(int source_fd, int user_ns_fd, const char *what, struct error *err)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP,
		                   .userns_fd = (uint64_t)user_ns_fd };
	cleanup_fd int fd = (int)syscall(SYS_open_tree, source_fd, "",
	                                 AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (fd < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot bind %s", what);
	if (syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0) {
		(void)error_errno(err, BLAME_HOST, errno, "cannot give %s to the build user", what);
		return error_hint(err,
		                  "the file system of a layer below a top must know mapped ids, "
		                  "as ext4, xfs, btrfs and tmpfs (Linux 6.3) do; with "
		                  "\"top\": \"none\" any will do");
	}
	return take_fd(&fd);
}

static int set_attributes(int fd, unsigned flags, uint64_t attributes)
{
	struct mount_attr attr = { .attr_set = attributes };

	return syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | flags, &attr, sizeof(attr)) < 0
	               ? -errno
	               : 0;
}

int mount_clone(int source_fd, const char *what, uint64_t attributes, struct error *err)
{
	cleanup_fd int fd = (int)syscall(SYS_open_tree, source_fd, "",
	                                 AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE |
	                                         OPEN_TREE_CLOEXEC);
	int r;

	if (fd < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot bind %s", what);
	r = set_attributes(fd, AT_RECURSIVE, attributes);
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot restrict the mount of %s", what);
	return take_fd(&fd);
}

int mount_set(int mount_fd, uint64_t attributes, struct error *err)
{
	int r = set_attributes(mount_fd, 0, attributes);

	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot restrict a mount");
	return 0;
}

int mount_attach(int mount_fd, int root_fd, const char *target, struct error *err)
{
	unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | (*target ? 0 : MOVE_MOUNT_T_EMPTY_PATH);

	if (syscall(SYS_move_mount, mount_fd, "", root_fd, target, flags) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot mount at /%s of the sandbox",
		                   target);
	return 0;
}

int reopen_here(int fd, struct error *err)
{
	char link[64], path[PATH_MAX];
	cleanup_fd int here = -1;
	struct stat before, after;
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot read %s", link);
	path[n] = '\0';
	here = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (here < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot open %s", path);
	if (fstat(fd, &before) < 0 || fstat(here, &after) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot look at %s", path);
	if (before.st_dev != after.st_dev || before.st_ino != after.st_ino)
		return error_set(err, BLAME_HOST, ESTALE, "%s was replaced", path);
	return take_fd(&here);
}
