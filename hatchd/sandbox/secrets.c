/*
 * The builder's credentials, in a file system of its own that is gone with the sandbox: memory
 * alone, not written to swap where the kernel can promise that, and nobody's but the build user's.
 */
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hatchd/request/credentials.h"
#include "mount.h"

enum {
	ATTR_SECRET = ATTR_DATA | MOUNT_ATTR_NOEXEC,
	ATTR_SECRET_READ_ONLY = ATTR_SECRET | MOUNT_ATTR_RDONLY,
};

/* tmpfs learned not to swap in Linux 6.4, ramfs never does; but neither may be made so in a user
 * namespace. */
static int new_file_system(struct error *err)
{
	static const struct mount_option options[] = { { "mode", "0500" }, { "noswap", NULL } };
	struct error unused;
	int fd = mount_new("tmpfs", options, 2, ATTR_SECRET, &unused);

	if (fd < 0)
		fd = mount_new("ramfs", options, 1, ATTR_SECRET, &unused);
	return fd < 0 ? mount_new("tmpfs", options, 1, ATTR_SECRET, err) : fd;
}

/* In an order in which nobody else could look, had they a way there. */
static int put(int dir_fd, const struct credential *credential, const struct account *account)
{
	cleanup_fd int fd = openat(dir_fd, credential->name,
	                           O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0400);
	int r = fd < 0 ? -errno : fd_write_full(fd, credential->bytes, credential->len);

	if (r < 0)
		return r;
	return fchown(fd, account->uid, account->gid) < 0 ? -errno : 0;
}

static int fill(int dir_fd, const struct credentials *credentials, const struct account *account)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < credentials->n_items; i++)
		r = put(dir_fd, &credentials->items[i], account);
	if (r < 0)
		return r;
	return fchownat(dir_fd, "", account->uid, account->gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

int view_add_credentials(struct view *view, const struct view_row *row, struct error *err)
{
	const struct credentials *credentials = view->plan->credentials;
	cleanup_fd int fd = -1;
	int r;

	fd = new_file_system(err);
	if (fd < 0)
		return fd;
	r = fill(fd, credentials, view->plan->account);
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r,
		                   "cannot put the credentials of the builder %s in place",
		                   view->plan->request->builder->name);
	r = mount_set(fd, ATTR_SECRET_READ_ONLY, err);
	return r < 0 ? r : view_attach(view, fd, row->at + 1, true, err);
}
