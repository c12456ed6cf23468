/*
 * A stage behind the scene: a tmpfs inside of the new root, for mounts that are only the material
 * of others. (Before Linux 6.15 a mount can be cloned or stacked only where it is attached.)
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mount.h"
#include "view.h"

enum { MNT_DETACH_ = 2 };

/* Its own name for the time being: nothing of the view begins with a dot. */
static const char stage_name[] = ".stage";

int view_stage(struct view *view, struct error *err)
{
	static const struct mount_option options[] = { { "mode", "0700" }, { "size", "1m" } };
	cleanup_fd int fd = -1;
	int r;

	if (view->stage_fd >= 0)
		return view->stage_fd;
	if (mkdirat(view->root_fd, stage_name, 0700) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot make a stage for mounts");
	fd = mount_new("tmpfs", options, ARRAY_SIZE(options), ATTR_DATA, err);
	if (fd < 0)
		return fd;
	r = mount_attach(fd, view->root_fd, stage_name, err);
	if (r < 0)
		return r;
	view->stage_fd = take_fd(&fd);
	return view->stage_fd;
}

int view_leave_stage(struct view *view, struct error *err)
{
	char path[64];

	if (view->stage_fd < 0)
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", view->stage_fd);
	if (syscall(SYS_umount2, path, MNT_DETACH_) < 0 ||
	    unlinkat(view->root_fd, stage_name, AT_REMOVEDIR) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot take away the stage for mounts");
	fd_closep(&view->stage_fd);
	return 0;
}
