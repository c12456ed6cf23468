/* File descriptors: whole reads and writes, and owners that close themselves. */
#pragma once

#include <dirent.h>
#include <stddef.h>
#include <sys/types.h>

/* fd_closep - release for cleanup_fd; -1 is an empty owner. errno is kept, close() never retried.
 */
void fd_closep(int *fd);

/* take_fd - move a descriptor out of its owner, which becomes -1 */
static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/*
 * fd_receive - one message of len bytes from a pair of SOCK_SEQPACKET sockets, waited for
 *
 * Who closes his end with something unread has the kernel say ECONNRESET at ours, once, and before
 * what he had sent: that is not lost.
 * Returns 0, -EPIPE once the other end is closed, -EBADMSG a message of another size, or -errno
 */
int fd_receive(int fd, void *message, size_t len);

/*
 * fd_wait - wait for events (poll(2)) of one descriptor, but not for longer than timeout_ms in all
 *
 * Returns 1 there are some, or its end or an error is to be read; 0 the time is over; or -errno
 */
int fd_wait(int fd, short events, int timeout_ms);

/* fd_left_in_pipe - bytes that are to be read now, whoever may write more later; 0 if that cannot
 * be known */
size_t fd_left_in_pipe(int fd);

/*
 * fd_read_some - read once, restarted after a signal
 *
 * Returns bytes read, 0 at the end of the stream, or a negative errno
 */
ssize_t fd_read_some(int fd, void *buf, size_t len);

/*
 * fd_read_full - read exactly len bytes
 *
 * Returns 1 all read, 0 end of stream before the first byte, -EPIPE end of stream later,
 *         or another negative errno
 */
int fd_read_full(int fd, void *buf, size_t len);

/* fd_write_full - write exactly len bytes; 0 or a negative errno. A socket raises no SIGPIPE only
 * if the process ignores that signal: both our programs do. */
int fd_write_full(int fd, const void *buf, size_t len);

/* fd_write_file - open dir_fd/path for writing (it must exist), write text, close; 0 or -errno.
 * For the small control files of procfs and cgroupfs. */
int fd_write_file(int dir_fd, const char *path, const char *text);

/*
 * fd_open_directory - parent_fd/name for readdir(3), from its beginning; no link is followed to it
 *
 * name     "." is parent_fd itself, which stays open and keeps its position
 * Returns  for cleanup_directory; or NULL, and errno says why
 */
DIR *fd_open_directory(int parent_fd, const char *name);

/*
 * fd_read_file - read a whole file of at most max bytes
 *
 * fd        borrowed, read from its current position
 * ret       set on success: malloc()ed, NUL added after the last byte
 * Returns   0, -EFBIG above max, or another negative errno
 */
int fd_read_file(int fd, size_t max, char **ret, size_t *ret_len);
