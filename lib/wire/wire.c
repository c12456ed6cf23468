/*
 * Messages on a socket: lines and attachments through one buffer, a deadline for reading, one
 * writev(2) for writing. What a line means is message.c's.
 */
#include "message.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"

/* Also how much of an attachment one read(2) can bring. */
enum { ROOM_FIRST = 256 * 1024 };

#define cleanup_buffer cleanup_(buffer_done)

int wire_init(struct wire *wire, int fd, size_t line_max, struct error *err)
{
	message_init();
	*wire = (struct wire){
		.fd = fd, .line_max = line_max, .stop_fd = -1, .buf = malloc(ROOM_FIRST)
	};
	if (!wire->buf)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for a connection");
	wire->room = ROOM_FIRST;
	return 0;
}

void wire_done(struct wire *wire)
{
	freep(&wire->buf);
	*wire = (struct wire){ .fd = -1, .stop_fd = -1 };
}

/* Until there is something to read or the deadline is over; without a deadline: for ever. */
static int wait_readable(const struct wire *wire, struct error *err)
{
	struct pollfd p[] = { { .fd = wire->fd, .events = POLLIN },
		              { .fd = wire->stop_fd, .events = POLLIN } };
	int r;

	do {
		int64_t left = wire->deadline_ms > 0 ? wire->deadline_ms - clock_now_ms()
		                                     : INT32_MAX;

		if (left <= 0)
			return error_set(err, BLAME_PEER, ETIMEDOUT,
			                 "the other side did not send a message in time");
		r = poll(p, ARRAY_SIZE(p), left > INT32_MAX ? INT32_MAX : (int)left);
		if (r < 0 && errno != EINTR)
			return error_errno(err, BLAME_HOST, errno, "cannot wait for a message");
	} while (r <= 0);
	if (p[1].revents)
		return error_set(err, BLAME_HOST, ECANCELED, "reading was given up");
	return 0;
}

/* Room behind end for at least one byte: by moving what is there, or for a line longer than the
 * buffer by a bigger one. */
static int make_room(struct wire *wire, struct error *err)
{
	char *buf;

	if (wire->start == wire->end)
		wire->start = wire->end = 0;
	if (wire->end < wire->room)
		return 0;
	if (wire->start > 0) {
		memmove(wire->buf, wire->buf + wire->start, wire->end - wire->start);
		wire->end -= wire->start;
		wire->start = 0;
		return 0;
	}
	buf = realloc(wire->buf, 2 * wire->room);
	if (!buf)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for a line");
	wire->buf = buf;
	wire->room *= 2;
	return 0;
}

/* Reads once. Returns the number of bytes, 0 at the end of the stream, or a negative errno. */
static ssize_t fill(struct wire *wire, struct error *err)
{
	bool wait = wire->deadline_ms > 0;
	ssize_t n;
	int r = make_room(wire, err);

	if (r < 0)
		return r;
	do {
		if (wait)
			r = wait_readable(wire, err);
		if (r < 0)
			return r;
		n = fd_read_some(wire->fd, wire->buf + wire->end, wire->room - wire->end);
		wait = true; /* a descriptor that does not block had nothing */
	} while (n == -EAGAIN);
	if (n < 0)
		return error_errno(err, BLAME_PEER, (int)-n, "connection lost");
	wire->end += (size_t)n;
	return n;
}

static int skip_attachment(struct wire *wire, struct error *err)
{
	const void *bytes;
	ssize_t n;

	do
		n = wire_read_attachment(wire, &bytes, err);
	while (n > 0);
	return (int)n;
}

/* Sets the length of the line at start, its newline included. Returns as wire_read(). */
static int find_line(struct wire *wire, size_t *ret_len, struct error *err)
{
	size_t scanned = 0; /* so that a line that comes in single bytes is looked at once */

	for (;;) {
		size_t len = wire->end - wire->start;
		size_t fits = len < wire->line_max ? len : wire->line_max;
		const char *line = wire->buf + wire->start;
		const char *newline = memchr(line + scanned, '\n', fits - scanned);
		ssize_t n;

		if (newline) {
			*ret_len = (size_t)(newline - line) + 1;
			return 1;
		}
		if (len >= wire->line_max)
			return error_set(err, BLAME_PEER, EMSGSIZE, "line longer than %zu bytes",
			                 wire->line_max);
		scanned = len;
		n = fill(wire, err);
		if (n < 0)
			return (int)n;
		if (n == 0 && len == 0)
			return 0;
		if (n == 0)
			return error_set(err, BLAME_PEER, EPIPE,
			                 "connection closed inside a message");
	}
}

int wire_read(struct wire *wire, struct message *ret, struct error *err)
{
	size_t len = 0;
	int r;

	r = skip_attachment(wire, err);
	if (r < 0)
		return r;
	r = find_line(wire, &len, err);
	if (r <= 0)
		return r;
	r = message_parse(wire->buf + wire->start, len - 1, ret, err);
	if (r < 0)
		return r;
	wire->start += len;
	wire->attachment = ret->size;
	return 1;
}

ssize_t wire_read_attachment(struct wire *wire, const void **ret, struct error *err)
{
	size_t n;

	if (wire->attachment == 0)
		return 0;
	if (wire->start == wire->end) {
		ssize_t got = fill(wire, err);

		if (got < 0)
			return got;
		if (got == 0)
			return error_set(err, BLAME_PEER, EPIPE,
			                 "connection closed inside an attachment");
	}
	n = wire->end - wire->start;
	if (n > wire->attachment)
		n = wire->attachment;
	*ret = wire->buf + wire->start;
	wire->start += n;
	wire->attachment -= (uint32_t)n;
	return (ssize_t)n;
}

/* As writev(2); meanwhile somebody may be told that it takes long. */
static ssize_t write_some(const struct wire *wire, struct iovec *iov, int n_iov)
{
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = (size_t)n_iov };
	struct pollfd p = { .fd = wire->fd, .events = POLLOUT };
	ssize_t n;

	if (!wire->patience)
		return writev(wire->fd, iov, n_iov);
	while ((n = sendmsg(wire->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL)) < 0 && errno == EAGAIN)
		if (poll(&p, 1, wire->patience(wire->patience_context)) < 0)
			break;
	return n;
}

static int write_all(const struct wire *wire, struct iovec *iov, int n_iov, struct error *err)
{
	while (n_iov > 0) {
		ssize_t n = write_some(wire, iov, n_iov);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_errno(err, BLAME_PEER, errno, "cannot send a message");
		for (; n_iov > 0 && (size_t)n >= iov->iov_len; iov++, n_iov--)
			n -= (ssize_t)iov->iov_len;
		if (n_iov > 0) {
			iov->iov_base = (char *)iov->iov_base + n;
			iov->iov_len -= (size_t)n;
		}
	}
	return 0;
}

int wire_write(struct wire *wire, const struct message *message, const void *bytes,
               struct error *err)
{
	cleanup_buffer struct buffer line = { 0 };
	struct iovec iov[2];
	int r = message_print(message, &line, err);

	if (r < 0)
		return r;
	iov[0] = (struct iovec){ .iov_base = line.data, .iov_len = line.len };
	iov[1] = (struct iovec){ .iov_base = (void *)(uintptr_t)bytes, .iov_len = message->size };
	return write_all(wire, iov, bytes ? 2 : 1, err);
}
