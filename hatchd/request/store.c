/* Compared by device and inode on both sides, the build's own and ours; what is handed out is
 * always ours. */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "look.h"

/* What stands at the path in the peer's root, opened in its mounts without following any link. */
static int open_in_root(const struct peer *peer, const char *store_dir, const char *top)
{
	const struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		                      .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS };
	char path[PATH_MAX];
	int fd;

	if (snprintf(path, sizeof(path), "%s/%s", store_dir, top) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = (int)syscall(SYS_openat2, peer->root_fd, path, &how, sizeof(how));
	return fd < 0 ? -errno : fd;
}

/* Nix makes symlinks anew in a sandbox: there is no more to them than their text. */
static bool is_same_link(int a_fd, int b_fd)
{
	char a[PATH_MAX], b[PATH_MAX];
	ssize_t a_len = readlinkat(a_fd, "", a, sizeof(a));
	ssize_t b_len = readlinkat(b_fd, "", b, sizeof(b));

	return a_len > 0 && a_len == b_len && memcmp(a, b, (size_t)a_len) == 0;
}

static bool is_same(int a_fd, int b_fd)
{
	struct stat a, b;

	if (fstat(a_fd, &a) < 0 || fstat(b_fd, &b) < 0)
		return false;
	return look_is_same_file(&a, &b) || is_same_link(a_fd, b_fd);
}

static int open_in_store(const char *store_dir, const char *top)
{
	cleanup_fd int store_fd = open(store_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = store_fd < 0 ? -1 : openat(store_fd, top, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* From a store path to what lies inside of it: no link leads out of it, and nothing is mounted on
 * it. */
static int go_inside(int *fd, const char *path)
{
	const struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		                      .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
		                                 RESOLVE_NO_XDEV };
	int inner_fd = (int)syscall(SYS_openat2, *fd, path, &how, sizeof(how));

	if (inner_fd < 0)
		return -errno;
	fd_closep(fd);
	*fd = inner_fd;
	return 0;
}

/* The store path and what lies inside of it are compared one after the other: that something is the
 * same file says nothing of the directory around it, because Nix links files of the same content.
 */
static int open_same(const struct peer *peer, const char *store_dir, const char *path, int *ret_fd)
{
	cleanup_fd int own_fd = -1, peer_fd = -1;
	const char *slash = strchrnul(path, '/');
	char top[NAME_MAX + 1];
	int r;

	(void)snprintf(top, sizeof(top), "%.*s", (int)(slash - path), path);
	peer_fd = open_in_root(peer, store_dir, top);
	if (peer_fd < 0)
		return peer_fd;
	own_fd = open_in_store(store_dir, top);
	if (own_fd < 0)
		return own_fd;
	if (!is_same(own_fd, peer_fd))
		return 0;
	if (*slash) {
		r = go_inside(&own_fd, slash + 1);
		if (r == 0)
			r = go_inside(&peer_fd, slash + 1);
		if (r < 0)
			return r;
		if (!is_same(own_fd, peer_fd))
			return 0;
	}
	*ret_fd = take_fd(&own_fd);
	return 1;
}

int store_open_input(const struct peer *peer, const char *store_dir, const char *path, int *ret_fd,
                     struct error *err)
{
	cleanup_fd int fd = -1;
	const char *why;
	int r;

	if (!peer->derivation[0] || peer->root_fd <= 0)
		return 0;
	r = open_same(peer, store_dir, path, &fd);
	if (r < 0)
		return look_failed(-r, NULL, &why, err);
	/* As long as the build lives so does what keeps the path; from here on we do. */
	if (r == 0 || look_has_exited(peer->pid_fd))
		return 0;
	*ret_fd = take_fd(&fd);
	return 1;
}
