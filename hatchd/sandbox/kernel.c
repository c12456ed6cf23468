/* What comes from the kernel: /dev and /proc. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <unistd.h>

#include "mount.h"
#include "view.h"

int view_add_device(struct view *view, const struct view_row *row, struct error *err)
{
	return view_bind(view, row, view_row_attributes(row), err);
}

int view_add_dev(struct view *view, const struct view_row *row, struct error *err)
{
	static const struct {
		const char *path, *target;
	} links[] = {
		{ "dev/fd", "/proc/self/fd" },       { "dev/stdin", "/proc/self/fd/0" },
		{ "dev/stdout", "/proc/self/fd/1" }, { "dev/stderr", "/proc/self/fd/2" },
		{ "dev/ptmx", "pts/ptmx" },
	};
	static const struct mount_option shm[] = { { "mode", "1777" }, { "size", "256m" } };
	static const struct mount_option pts[] = { { "ptmxmode", "0666" }, { "mode", "0620" } };
	int r = view_has_own_root(view) ? view_hide_devices(view, err) : 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(links); i++) {
		r = view_make_link(view->root_fd, links[i].path, links[i].target);
		if (r < 0)
			return error_errno(err, BLAME_HOST, -r, "cannot make /%s", links[i].path);
	}
	if (r == 0)
		r = view_mount(view, mount_new("tmpfs", shm, ARRAY_SIZE(shm), ATTR_DATA, err),
		               "dev/shm", err);
	if (r == 0)
		r = view_mount(view, mount_new("devpts", pts, ARRAY_SIZE(pts), ATTR_DEVICE, err),
		               "dev/pts", err);
	return r;
}

/* A new /proc shows only what is inside; the parts of it that set the machine are read-only. */
int view_add_proc(struct view *view, const struct view_row *row, struct error *err)
{
	static const char *const read_only[] = {
		"proc/sys", "proc/sysrq-trigger", "proc/irq",      "proc/bus",
		"proc/fs",  "proc/acpi",          "proc/pressure",
	};
	int r = view_mount(view, mount_new("proc", NULL, 0, ATTR_PROC, err), row->at + 1, err);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(read_only); i++) {
		cleanup_fd int source_fd = view_open(view->root_fd, read_only[i], O_NOFOLLOW);
		cleanup_fd int mount_fd = -1;

		if (source_fd < 0)
			continue; /* not every kernel has it */
		mount_fd = mount_clone(source_fd, read_only[i], ATTR_PROC | MOUNT_ATTR_RDONLY, err);
		if (mount_fd < 0)
			return mount_fd;
		r = mount_attach(mount_fd, source_fd, "", err);
	}
	return r;
}
