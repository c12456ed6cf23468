/*
 * The places of all users are the bytes of one file that has none: each user has a range of it, and
 * who has locked a byte has the place. Nothing is written, counted or removed, and the kernel lets
 * go of the lock of a killed instance. The lock is one of the open file, not of the process, so
 * that none of the processes of a request ends it by closing some other descriptor of the file.
 */
#include "share.h"

#include <errno.h>
#include <fcntl.h>

#include "lib/base/cleanup.h"
#include "lock.h"

static const char file_name[] = "connections.lock";

int share_take(int state_fd, uid_t uid, unsigned max, int *ret_fd, struct error *err)
{
	cleanup_fd int fd = -1;
	int r = lock_open(state_fd, file_name, O_RDWR | O_CREAT, &fd, err);

	if (r < 0)
		return r;
	for (unsigned i = 0; i < max; i++) {
		struct flock place = { .l_type = F_WRLCK,
			               .l_whence = SEEK_SET,
			               .l_start = (off_t)uid * SHARE_MAX + i,
			               .l_len = 1 };

		if (fcntl(fd, F_OFD_SETLK, &place) == 0) {
			*ret_fd = take_fd(&fd);
			return 1;
		}
		if (errno != EAGAIN && errno != EACCES)
			return error_errno(err, BLAME_HOST, errno, "cannot lock %s", file_name);
	}
	return 0;
}
