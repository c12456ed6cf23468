/* Thin wrappers of read(2), recv(2), write(2) and close(2): restarting, completing, nothing else.
 */
#include "fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"

void fd_closep(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
	errno = saved;
}

int fd_receive(int fd, void *message, size_t len)
{
	ssize_t n;

	do
		n = recv(fd, message, len, MSG_TRUNC); /* the whole length, also of a longer one */
	while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n < 0)
		return -errno;
	return n == 0 ? -EPIPE : (size_t)n == len ? 0 : -EBADMSG;
}

int fd_wait(int fd, short events, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	int64_t deadline_ms = clock_now_ms() + timeout_ms, left_ms = timeout_ms;
	int r;

	do {
		r = poll(&p, 1, left_ms > 0 ? (int)left_ms : 0);
		left_ms = deadline_ms - clock_now_ms();
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

size_t fd_left_in_pipe(int fd)
{
	int n = 0;

	return ioctl(fd, FIONREAD, &n) < 0 || n < 0 ? 0 : (size_t)n;
}

ssize_t fd_read_some(int fd, void *buf, size_t len)
{
	ssize_t n;

	do
		n = read(fd, buf, len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

int fd_read_full(int fd, void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = fd_read_some(fd, (char *)buf + done, len - done);

		if (n < 0)
			return (int)n;
		if (n == 0)
			return done == 0 ? 0 : -EPIPE;
		done += (size_t)n;
	}
	return 1;
}

int fd_write_full(int fd, const void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(fd, (const char *)buf + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

int fd_write_file(int dir_fd, const char *path, const char *text)
{
	cleanup_fd int fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return -errno;
	return fd_write_full(fd, text, strlen(text));
}

DIR *fd_open_directory(int parent_fd, const char *name)
{
	cleanup_fd int fd = openat(parent_fd, name,
	                           O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);

	if (directory)
		(void)take_fd(&fd);
	return directory;
}

int fd_read_file(int fd, size_t max, char **ret, size_t *ret_len)
{
	cleanup_free char *buf = malloc(max + 1);
	size_t len = 0;

	if (!buf)
		return -ENOMEM;
	for (;;) {
		char beyond;
		bool full = len == max;
		ssize_t n = fd_read_some(fd, full ? &beyond : buf + len, full ? 1 : max - len);

		if (n < 0)
			return (int)n;
		if (n == 0)
			break;
		if (full)
			return -EFBIG;
		len += (size_t)n;
	}
	buf[len] = '\0';
	*ret = take_ptr(&buf);
	*ret_len = len;
	return 0;
}
