/* Messages over a socket pair: cut anywhere, in single bytes, late, with attachments. */
#include "message.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "tests/unit.h"

struct pair {
	int near_fd, far_fd; /* the wire reads from near */
	struct wire wire;
};

static void pair_done(struct pair *pair)
{
	wire_done(&pair->wire);
	fd_closep(&pair->near_fd);
	fd_closep(&pair->far_fd);
}

#define cleanup_pair cleanup_(pair_done)

static struct pair pair_new(size_t line_max)
{
	struct pair pair = { .near_fd = -1, .far_fd = -1 };
	int fds[2];

	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	pair.near_fd = fds[0];
	pair.far_fd = fds[1];
	check(wire_init(&pair.wire, pair.near_fd, line_max, NULL) == 0);
	return pair;
}

static void send_bytes(struct pair *pair, const void *bytes, size_t len)
{
	check(fd_write_full(pair->far_fd, bytes, len) == 0);
}

static void send_text(struct pair *pair, const char *text)
{
	send_bytes(pair, text, strlen(text));
}

static const char stream[] = "{\"type\":\"stdout\",\"size\":5}\nab\ncd"
			     "{\"type\":\"stderr\",\"size\":1}\n\n"
			     "{\"type\":\"received\"}\n";

/* Reads messages with their attachments until the end; returns what ended it. */
static int read_all(struct wire *wire, char *ret_seen, size_t room)
{
	size_t len = 0;
	int r;

	for (;;) {
		cleanup_message struct message message = { 0 };
		const void *bytes;
		ssize_t n;

		r = wire_read(wire, &message, NULL);
		if (r <= 0)
			break;
		len += (size_t)snprintf(ret_seen + len, room - len,
		                        "%s:", message_type_name(message.type));
		while ((n = wire_read_attachment(wire, &bytes, NULL)) > 0)
			len += (size_t)snprintf(ret_seen + len, room - len, "%.*s", (int)n,
			                        (const char *)bytes);
		if (n < 0)
			return (int)n;
	}
	return r;
}

static void reads_messages_and_attachments(void)
{
	cleanup_pair struct pair pair = pair_new(WIRE_LINE_MAX);
	char seen[256] = "";

	send_text(&pair, stream);
	fd_closep(&pair.far_fd);
	check(read_all(&pair.wire, seen, sizeof(seen)) == 0);
	check(strcmp(seen, "stdout:ab\ncdstderr:\nreceived:") == 0);
}

static void *send_single_bytes(void *arg)
{
	struct pair *pair = arg;

	for (size_t i = 0; i < strlen(stream); i++)
		if (send(pair->far_fd, stream + i, 1, 0) != 1)
			break;
	(void)shutdown(pair->far_fd, SHUT_WR);
	return NULL;
}

static void reads_a_stream_that_comes_in_single_bytes(void)
{
	cleanup_pair struct pair pair = pair_new(WIRE_LINE_MAX);
	char seen[256] = "";
	pthread_t thread;

	/* A send buffer of the least size makes the kernel hand over few bytes at a time. */
	check(setsockopt(pair.far_fd, SOL_SOCKET, SO_SNDBUF, &(int){ 1 }, sizeof(int)) == 0);
	check(pthread_create(&thread, NULL, send_single_bytes, &pair) == 0);
	check(read_all(&pair.wire, seen, sizeof(seen)) == 0);
	check(strcmp(seen, "stdout:ab\ncdstderr:\nreceived:") == 0);
	check(pthread_join(thread, NULL) == 0);
}

static void reads_from_a_descriptor_that_does_not_block(void)
{
	cleanup_pair struct pair pair = pair_new(WIRE_LINE_MAX);
	char seen[256] = "";
	pthread_t thread;

	check(fcntl(pair.near_fd, F_SETFL, O_NONBLOCK) == 0);
	check(pthread_create(&thread, NULL, send_single_bytes, &pair) == 0);
	check(read_all(&pair.wire, seen, sizeof(seen)) == 0);
	check(strcmp(seen, "stdout:ab\ncdstderr:\nreceived:") == 0);
	check(pthread_join(thread, NULL) == 0);
}

/* Whether a stream cut at this byte ends between two messages. */
static bool is_boundary(size_t cut)
{
	static const char *const messages[] = {
		"{\"type\":\"stdout\",\"size\":5}\nab\ncd",
		"{\"type\":\"stderr\",\"size\":1}\n\n",
		"{\"type\":\"received\"}\n",
	};
	size_t at = 0;

	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		if (cut == at)
			return true;
		at += strlen(messages[i]);
	}
	return cut == at;
}

static void tells_a_cut_inside_a_message_from_an_end(void)
{
	for (size_t cut = 0; cut <= strlen(stream); cut++) {
		cleanup_pair struct pair pair = pair_new(WIRE_LINE_MAX);
		char seen[256] = "";

		send_bytes(&pair, stream, cut);
		fd_closep(&pair.far_fd);
		check(read_all(&pair.wire, seen, sizeof(seen)) == (is_boundary(cut) ? 0 : -EPIPE));
	}
}

static void skips_an_attachment_nobody_takes(void)
{
	cleanup_pair struct pair pair = pair_new(WIRE_LINE_MAX);
	cleanup_message struct message first = { 0 }, second = { 0 }, third = { 0 };

	send_text(&pair, stream);
	check(wire_read(&pair.wire, &first, NULL) == 1 && first.size == 5);
	check(wire_read(&pair.wire, &second, NULL) == 1 && second.type == MESSAGE_STDERR);
	check(wire_read(&pair.wire, &third, NULL) == 1 && third.type == MESSAGE_RECEIVED);
}

struct flood {
	int fd;
	size_t n_messages;
	uint32_t size;
};

static void *send_flood(void *arg)
{
	const struct flood *flood = arg;
	struct wire wire = { .fd = flood->fd };
	struct message message = { .type = MESSAGE_STDOUT, .size = flood->size };
	char *bytes = calloc(1, flood->size);

	for (size_t i = 0; bytes && i < flood->n_messages; i++) {
		memset(bytes, (int)('a' + i % 26), flood->size);
		if (wire_write(&wire, &message, bytes, NULL) < 0)
			break;
	}
	free(bytes);
	return NULL;
}

static void takes_attachments_larger_than_any_buffer(void)
{
	cleanup_pair struct pair pair = pair_new(WIRE_LINE_MAX);
	struct flood flood = { pair.far_fd, 9, WIRE_ATTACHMENT_MAX };
	size_t room = pair.wire.room;
	pthread_t thread;

	check(pthread_create(&thread, NULL, send_flood, &flood) == 0);
	for (size_t i = 0; i < flood.n_messages; i++) {
		cleanup_message struct message message = { 0 };
		const char *bytes;
		size_t total = 0;
		ssize_t n;

		check(wire_read(&pair.wire, &message, NULL) == 1);
		while ((n = wire_read_attachment(&pair.wire, (const void **)&bytes, NULL)) > 0) {
			check(bytes[0] == (char)('a' + i) && bytes[n - 1] == bytes[0]);
			total += (size_t)n;
		}
		check(n == 0 && total == WIRE_ATTACHMENT_MAX);
	}
	check(pthread_join(thread, NULL) == 0);
	check(pair.wire.room == room);
}

/* A ping of exactly len bytes, its newline included. */
static char *ping_line(size_t len)
{
	static const char head[] = "{\"type\":\"ping\",\"version\":1,\"x\":\"", tail[] = "\"}\n";
	char *line = malloc(len + 1);

	if (!line)
		return NULL;
	memset(line, 'a', len);
	memcpy(line, head, strlen(head));
	memcpy(line + len - strlen(tail), tail, sizeof(tail));
	return line;
}

struct letter {
	int fd;
	size_t len;
};

static void *send_ping(void *arg)
{
	struct letter *letter = arg;
	cleanup_free char *line = ping_line(letter->len);

	if (line)
		(void)send(letter->fd, line, letter->len, MSG_NOSIGNAL);
	(void)shutdown(letter->fd, SHUT_WR);
	return NULL;
}

static int read_ping(size_t line_max, size_t len)
{
	cleanup_pair struct pair pair = pair_new(line_max);
	cleanup_message struct message message = { 0 };
	struct letter letter = { pair.far_fd, len };
	pthread_t thread;
	int r;

	check(pthread_create(&thread, NULL, send_ping, &letter) == 0);
	r = wire_read(&pair.wire, &message, NULL);
	check(pair.wire.room <= 2 * WIRE_REQUEST_MAX);
	fd_closep(&pair.near_fd);
	check(pthread_join(thread, NULL) == 0);
	return r;
}

static void keeps_both_sides_of_the_line_cap(void)
{
	check(read_ping(WIRE_LINE_MAX, WIRE_LINE_MAX) == 1);
	check(read_ping(WIRE_LINE_MAX, WIRE_LINE_MAX + 1) == -EMSGSIZE);
	check(read_ping(WIRE_REQUEST_MAX, WIRE_REQUEST_MAX) == 1);
	check(read_ping(WIRE_REQUEST_MAX, WIRE_REQUEST_MAX + 1) == -EMSGSIZE);
}

static void gives_up_at_the_deadline_of_a_silent_side(void)
{
	cleanup_pair struct pair pair = pair_new(WIRE_LINE_MAX);
	struct message message;
	struct error err = { 0 };
	int64_t start_ms = clock_now_ms();

	send_text(&pair, "{\"type\":");
	pair.wire.deadline_ms = start_ms + 50;
	check(wire_read(&pair.wire, &message, &err) == -ETIMEDOUT && err.blame == BLAME_PEER);
	check(clock_now_ms() - start_ms >= 50 && clock_now_ms() - start_ms < 5000);
}

static void *drip(void *arg)
{
	struct pair *pair = arg;
	const struct timespec pause = { .tv_nsec = 10000000 };

	while (send(pair->far_fd, " ", 1, MSG_NOSIGNAL) == 1)
		(void)nanosleep(&pause, NULL);
	return NULL;
}

static void gives_up_at_the_deadline_of_a_dripping_side(void)
{
	cleanup_pair struct pair pair = pair_new(WIRE_LINE_MAX);
	struct message message;
	int64_t start_ms = clock_now_ms();
	pthread_t thread;

	pair.wire.deadline_ms = start_ms + 100;
	check(pthread_create(&thread, NULL, drip, &pair) == 0);
	check(wire_read(&pair.wire, &message, NULL) == -ETIMEDOUT);
	check(clock_now_ms() - start_ms < 5000);
	fd_closep(&pair.near_fd);
	check(pthread_join(thread, NULL) == 0);
}

static void gives_up_when_there_is_something_else_to_do(void)
{
	cleanup_pair struct pair pair = pair_new(WIRE_LINE_MAX);
	cleanup_message struct message message = { 0 };
	struct error err = { 0 };
	const void *bytes;
	int stop[2];

	check(pipe2(stop, O_CLOEXEC) == 0);
	pair.wire.stop_fd = stop[0];
	pair.wire.deadline_ms = clock_now_ms() + 20000;
	send_text(&pair, "{\"type\":\"stdout\",\"size\":5}\nab");
	check(wire_read(&pair.wire, &message, &err) == 1 && message.size == 5);
	check(wire_read_attachment(&pair.wire, &bytes, &err) == 2);
	/* Also if there is more to read. */
	check(write(stop[1], "x", 1) == 1);
	send_text(&pair, "cde{\"type\":");
	check(wire_read_attachment(&pair.wire, &bytes, &err) == -ECANCELED);
	check(read(stop[0], (char[1]){ 0 }, 1) == 1);
	check(wire_read_attachment(&pair.wire, &bytes, &err) == 3);
	/* And at its end. */
	(void)close(stop[1]);
	message_done(&message);
	check(wire_read(&pair.wire, &message, &err) == -ECANCELED);
	(void)close(stop[0]);
}

static void writes_one_line_without_bytes_of_its_own(void)
{
	cleanup_pair struct pair pair = pair_new(WIRE_LINE_MAX);
	struct message message = { .type = MESSAGE_STDERR, .size = 3 };
	char got[64] = "";

	check(wire_write(&pair.wire, &message, NULL, NULL) == 0);
	check(wire_write(&pair.wire, &message, "xyz", NULL) == 0);
	check(read(pair.far_fd, got, sizeof(got) - 1) > 0);
	check(strcmp(got,
	             "{\"type\":\"stderr\",\"size\":3}\n{\"type\":\"stderr\",\"size\":3}\nxyz") ==
	      0);
}

static void tells_when_the_other_side_is_gone(void)
{
	cleanup_pair struct pair pair = pair_new(WIRE_LINE_MAX);
	struct message message = { .type = MESSAGE_RECEIVED };
	struct error err = { 0 };

	fd_closep(&pair.far_fd);
	check(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
	check(wire_write(&pair.wire, &message, NULL, &err) == -EPIPE && err.blame == BLAME_PEER);
}

static void takes_no_descriptor(void)
{
	cleanup_pair struct pair pair = pair_new(WIRE_LINE_MAX);
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .head = { .cmsg_len = CMSG_LEN(sizeof(int)),
		                .cmsg_level = SOL_SOCKET,
		                .cmsg_type = SCM_RIGHTS } };
	char line[] = "{\"type\":\"received\"}\n";
	struct iovec iov = { line, strlen(line) };
	struct msghdr msg = { .msg_iov = &iov,
		              .msg_iovlen = 1,
		              .msg_control = &control,
		              .msg_controllen = sizeof(control) };
	cleanup_message struct message message = { 0 };
	int lowest = dup(pair.far_fd);

	check(lowest >= 0 && close(lowest) == 0);
	memcpy(CMSG_DATA(&control.head), &pair.far_fd, sizeof(int));
	check(sendmsg(pair.far_fd, &msg, 0) == (ssize_t)strlen(line));
	check(wire_read(&pair.wire, &message, NULL) == 1);
	/* The kernel closed what read(2) has no place for. */
	check(dup(pair.far_fd) == lowest && close(lowest) == 0);
}

static void out_of_band_bytes_are_no_part_of_the_stream(void)
{
	cleanup_pair struct pair pair = pair_new(WIRE_LINE_MAX);
	char seen[64] = "";

	send_text(&pair, "{\"type\":");
	/* A kernel without out-of-band bytes on local sockets refuses: then there is nothing to
	 * see. */
	check(send(pair.far_fd, "X", 1, MSG_OOB) == 1 || errno == EOPNOTSUPP);
	send_text(&pair, "\"received\"}\n");
	fd_closep(&pair.far_fd);
	check(read_all(&pair.wire, seen, sizeof(seen)) == 0);
	check(strcmp(seen, "received:") == 0);
}

static const struct unit_case cases[] = {
	CASE(reads_messages_and_attachments),
	CASE(reads_a_stream_that_comes_in_single_bytes),
	CASE(reads_from_a_descriptor_that_does_not_block),
	CASE(tells_a_cut_inside_a_message_from_an_end),
	CASE(skips_an_attachment_nobody_takes),
	CASE(takes_attachments_larger_than_any_buffer),
	CASE(keeps_both_sides_of_the_line_cap),
	CASE(gives_up_at_the_deadline_of_a_silent_side),
	CASE(gives_up_at_the_deadline_of_a_dripping_side),
	CASE(gives_up_when_there_is_something_else_to_do),
	CASE(writes_one_line_without_bytes_of_its_own),
	CASE(tells_when_the_other_side_is_gone),
	CASE(takes_no_descriptor),
	CASE(out_of_band_bytes_are_no_part_of_the_stream),
};

UNIT_MAIN(cases)
