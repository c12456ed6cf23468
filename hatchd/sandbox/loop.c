/* One ioctl(2) sets up all of a device, so there is no moment at which it is half made. */
#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fd.h"

enum { LOOP_TRIES = 64 };

static int fail_open(int code, const char *device, struct error *err)
{
	(void)error_errno(err, BLAME_HOST, code, "cannot open %s to mount an image", device);
	switch (code) {
	case EPERM:
		return error_hint(err, "the unit's device policy forbids it: DeviceAllow= in "
		                       "hatchd@.service");
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return error_hint(err, "load the kernel's module loop (modprobe loop); a container "
		                       "may have no loop devices at all");
	default:
		return -code;
	}
}

/* 0 and the device with its name, or -EBUSY: somebody else was faster. */
static int try_attach(int control_fd, const struct loop_config *config, char device[LOOP_NAME_MAX],
                      int *ret_fd, struct error *err)
{
	cleanup_fd int fd = -1;
	int number = ioctl(control_fd, LOOP_CTL_GET_FREE);

	if (number < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot find a free loop device");
	(void)snprintf(device, LOOP_NAME_MAX, "/dev/loop%d", number);
	fd = open(device, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail_open(errno, device, err);
	if (ioctl(fd, LOOP_CONFIGURE, config) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot set up %s", device);
	*ret_fd = take_fd(&fd);
	return 0;
}

int loop_attach(int file_fd, const char *name, char device[LOOP_NAME_MAX], struct error *err)
{
	static const char control[] = "/dev/loop-control";
	cleanup_fd int control_fd = open(control, O_RDONLY | O_CLOEXEC);
	struct loop_config config = {
		.fd = (unsigned)file_fd,
		.info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR,
	};
	int fd = -1, r = -EBUSY;

	if (control_fd < 0)
		return fail_open(errno, control, err);
	(void)snprintf((char *)config.info.lo_file_name, sizeof(config.info.lo_file_name), "%s",
	               name);
	for (size_t i = 0; r == -EBUSY && i < LOOP_TRIES; i++)
		r = try_attach(control_fd, &config, device, &fd, err);
	return r < 0 ? r : fd;
}
