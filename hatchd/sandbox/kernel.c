/* What comes from the kernel: /dev and /proc. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <unistd.h>

#include "hatchd/slot/devices.h"
#include "mount.h"
#include "view.h"

/* In the request's cgroup: what the device controller forbids to us it forbids to the builder. (All
 * else that could be in the way is not in ours.) */
static int check_controller(int fd, const char *path, struct error *err)
{
	if (faccessat(fd, "", R_OK, AT_EMPTY_PATH | AT_EACCESS) == 0 || errno != EPERM)
		return 0;
	(void)error_set(err, BLAME_HOST, EPERM, "the device controller forbids %s", path);
	return error_hint(err, "look for DevicePolicy= and DeviceAllow= of hatchd@.service and its "
	                       "slice: hatchd allows what a definition names, and nothing above it "
	                       "may forbid it");
}

/* The inode that was opened when the request came, at the name that the definition has for it. */
static int add_opened(struct view *view, const struct device *device, const char *at,
                      struct error *err)
{
	cleanup_fd int source_fd = reopen_here(device->fd, err), mount_fd = -1;
	int r = source_fd < 0 ? source_fd : check_controller(source_fd, at, err);

	if (r < 0)
		return r;
	mount_fd = mount_clone(source_fd, at, ATTR_DEVICE, err);
	return mount_fd < 0 ? mount_fd : view_attach(view, mount_fd, at + 1, false, err);
}

int view_add_device(struct view *view, const struct view_row *row, struct error *err)
{
	const struct device *device;

	if (!row->place)
		return view_bind(view, row, view_row_attributes(row), err);
	device = devices_find(view->plan->devices, row->place);
	return device ? add_opened(view, device, row->at, err) : 0;
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
