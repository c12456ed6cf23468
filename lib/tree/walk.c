/*
 * Opening one component below a descriptor. A name is opened first and judged afterwards, by its
 * descriptor, so that nothing can change in between. What is done with it is decided elsewhere.
 */
#include "walk.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/text.h"

/* Of statx(2), what the headers of musl do not know. Where the id lies is the kernel's word. */
#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x1000U
#endif
enum { STX_MNT_ID_AT = 0x90 };
static_assert(offsetof(struct statx, stx_dev_minor) + sizeof(uint32_t) == STX_MNT_ID_AT,
              "the id of the mount is behind the device");
static_assert(sizeof(struct statx) == 0x100, "the kernel fills all of it");

/* As the kernel writes them; struct dirent64 and its function are not in every C library. */
static_assert(offsetof(struct dirent, d_reclen) == 16 && offsetof(struct dirent, d_type) == 18 &&
                      offsetof(struct dirent, d_name) == 19,
              "entries of directories are those of getdents64(2)");

struct quoted quoted(const char *path)
{
	struct quoted ret;

	text_escape(path, strlen(path), ret.text, sizeof(ret.text));
	return ret;
}

int walk_stat(int fd, struct statx *ret)
{
	if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID, ret) < 0)
		return -errno;
	return ret->stx_mask & STATX_MNT_ID ? 0 : -EOPNOTSUPP;
}

uint64_t walk_mount_of(const struct statx *st)
{
	uint64_t id;

	memcpy(&id, (const char *)st + STX_MNT_ID_AT, sizeof(id));
	return id;
}

ssize_t walk_read_entries(int fd, char *buffer, size_t len)
{
	return syscall(SYS_getdents64, fd, buffer, len);
}

struct file_id file_id(const struct statx *st)
{
	return (struct file_id){
		.mount = walk_mount_of(st),
		.dev = (uint64_t)st->stx_dev_major << 32 | st->stx_dev_minor,
		.ino = st->stx_ino,
	};
}

bool file_id_equal(const struct file_id *a, const struct file_id *b)
{
	return a->mount == b->mount && a->dev == b->dev && a->ino == b->ino;
}

int walk_add_mode(int dir_fd, const char *name, mode_t bits)
{
	cleanup_fd int fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char path[32];
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode))
		return -ELOOP;
	/* fchmod() takes no such descriptor, fchmodat2() is too new (Linux 6.6), and what the C
	 * library does instead is another system call from one version to the next. */
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return fchmodat(AT_FDCWD, path, (st.st_mode & 0777) | bits, 0) < 0 ? -errno : 0;
}

/* Open dir_fd/name; if it is ours and its mode is all that forbids it, add to the mode and try
 * again. */
static int open_allowed(int dir_fd, const char *name, int flags, mode_t want)
{
	int fd = openat(dir_fd, name, flags);

	if (fd >= 0 || errno != EACCES)
		return fd < 0 ? -errno : fd;
	if (!want || walk_add_mode(dir_fd, name, want) < 0)
		return -EACCES;
	fd = openat(dir_fd, name, flags);
	return fd < 0 ? -errno : fd;
}

int walk_open_dir(int dir_fd, const char *name, uint64_t mount, mode_t want, int *ret_fd,
                  struct statx *ret)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	cleanup_fd int fd = open_allowed(dir_fd, name, flags, want);
	int r;

	if (fd < 0)
		return fd;
	r = walk_stat(fd, ret);
	if (r < 0)
		return r;
	if (walk_mount_of(ret) != mount)
		return -EXDEV;

	/* If this fails, the directory belongs to somebody else: then his mode decides, and using
	 * the directory tells. */
	if ((ret->stx_mode & want) != want)
		(void)fchmod(fd, (ret->stx_mode & 07777) | want);
	*ret_fd = take_fd(&fd);
	return 0;
}

int walk_open_file(int dir_fd, const char *name, uint64_t mount, mode_t want, int *ret_fd,
                   struct statx *ret)
{
	const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	cleanup_fd int fd = open_allowed(dir_fd, name, flags, want);
	int r;

	if (fd < 0)
		return fd;
	r = walk_stat(fd, ret);
	if (r < 0)
		return r;
	if (walk_mount_of(ret) != mount)
		return -EXDEV;
	if (!S_ISREG(ret->stx_mode))
		return -EINVAL;
	*ret_fd = take_fd(&fd);
	return 0;
}
