/*
 * Three steps, each handing runs of bytes to the next without copying: make characters safe, keep
 * lines from starting with "@nix ", gather for write(2).
 *
 * Nix reads what we write from one pseudo terminal, takes a line that starts with "@nix " for an
 * instruction, and lets \r go back to the start of a line. So a line may be forged by overwriting,
 * and by two streams that meet: the first is why no \r passes, the second why streams that end in
 * the same file share struct relay_line.
 */
#include "relay.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "interrupt.h"
#include "lib/base/text.h"

static const char nix_prefix[] = "@nix ";

enum {
	NIX_PREFIX_LEN = sizeof(nix_prefix) - 1,
	LINE_MAX_LEN = 2048,
};

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static enum relay_mode mode_of(int fd, const struct stat *st, bool in_nix)
{
	if (isatty(fd))
		return RELAY_TERMINAL;
	/* A pipe in a build goes to the log by way of sed or tee; a file keeps what it is given. */
	return in_nix && !S_ISREG(st->st_mode) ? RELAY_LINES : RELAY_EXACT;
}

void relay_init(struct relay *relay, bool in_nix, bool raw)
{
	static const int fds[] = { STDOUT_FILENO, STDERR_FILENO };
	struct stat st[_RELAY_STREAM_MAX] = { 0 };

	relay->run_len = relay->len = 0;
	for (size_t i = 0; i < _RELAY_STREAM_MAX; i++) {
		(void)fstat(fds[i], &st[i]); /* what is not open fails at write(2) */
		relay->lines[i] = (struct relay_line){ 0 };
		relay->lanes[i] = (struct relay_lane){
			.fd = fds[i],
			.mode = raw ? RELAY_EXACT : mode_of(fds[i], &st[i], in_nix),
			.line = &relay->lines[i],
		};
	}
	if (same_file(&st[RELAY_STDOUT], &st[RELAY_STDERR]))
		relay->lanes[RELAY_STDOUT].line = &relay->lines[RELAY_STDERR];
}

/* ---- gather ---- */

static int write_some(int fd, const char *bytes, size_t len, size_t *ret_done, struct error *err)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };
	ssize_t n = write(fd, bytes, len);

	*ret_done = n > 0 ? (size_t)n : 0;
	if (n >= 0)
		return 0;
	if (errno == EAGAIN) /* a caller's terminal may be set so */
		n = poll(&poll_fd, 1, -1);
	if (n >= 0)
		return 0;
	if (errno != EINTR || interrupt_signal())
		return error_errno(err, BLAME_HOST, errno, "cannot write the log to %s",
		                   fd == STDOUT_FILENO ? "stdout" : "stderr");
	return 0;
}

static int write_all(int fd, const char *bytes, size_t len, struct error *err)
{
	while (len > 0) {
		size_t done;
		int r = write_some(fd, bytes, len, &done, err);

		if (r < 0)
			return r;
		bytes += done;
		len -= done;
	}
	return 0;
}

/* Moves the run into the room, or out with it where it does not fit. */
static int settle(struct relay *relay, int fd, struct error *err)
{
	size_t run_len = relay->run_len;
	int r = 0;

	if (run_len == 0)
		return 0;
	relay->run_len = 0;
	if (run_len > sizeof(relay->room) - relay->len) {
		r = write_all(fd, relay->room, relay->len, err);
		relay->len = 0;
	}
	if (r < 0)
		return r;
	if (run_len > sizeof(relay->room))
		return write_all(fd, relay->run, run_len, err);
	memcpy(relay->room + relay->len, relay->run, run_len);
	relay->len += run_len;
	return 0;
}

static int gather(struct relay *relay, int fd, const char *bytes, size_t len, struct error *err)
{
	if (relay->run_len > 0 && relay->run + relay->run_len == bytes) {
		relay->run_len += len;
		return 0;
	}
	if (relay->run_len > 0) {
		int r = settle(relay, fd, err);

		if (r < 0)
			return r;
	}
	relay->run = bytes;
	relay->run_len = len;
	return 0;
}

static int flush(struct relay *relay, int fd, struct error *err)
{
	int r = 0;

	if (relay->len > 0)
		r = settle(relay, fd, err);
	if (r == 0 && relay->len > 0)
		r = write_all(fd, relay->room, relay->len, err);
	if (r == 0 && relay->run_len > 0)
		r = write_all(fd, relay->run, relay->run_len, err);
	relay->len = relay->run_len = 0;
	return r;
}

/* ---- lines ---- */

static int release_held(struct relay *relay, const struct relay_lane *lane, struct error *err)
{
	unsigned int n = lane->line->n_held;

	if (n == 0)
		return 0;
	lane->line->n_held = 0;
	lane->line->inside = true;
	return gather(relay, lane->fd, nix_prefix, n, err);
}

/* At the start of a line: takes what still could become "@nix ". Returns how many bytes. */
static size_t hold(struct relay_line *line, const char *bytes, size_t len)
{
	size_t n = 0;

	while (n < len && line->n_held < NIX_PREFIX_LEN && bytes[n] == nix_prefix[line->n_held]) {
		line->n_held++;
		n++;
	}
	return n;
}

/* The start of a line up to the point where it is known what it is. Returns bytes taken. */
static ssize_t start_line(struct relay *relay, const struct relay_lane *lane, const char *bytes,
                          size_t len, struct error *err)
{
	struct relay_line *line = lane->line;
	size_t n = hold(line, bytes, len);
	int r = 0;

	if (line->n_held < NIX_PREFIX_LEN && n == len)
		return (ssize_t)n;
	if (line->n_held == NIX_PREFIX_LEN)
		r = gather(relay, lane->fd, " ", 1, err);
	if (r == 0)
		r = release_held(relay, lane, err);
	line->inside = true;
	return r < 0 ? r : (ssize_t)n;
}

static int put(struct relay *relay, const struct relay_lane *lane, const char *bytes, size_t len,
               struct error *err)
{
	while (len > 0) {
		const char *newline;
		size_t n;
		int r;

		if (!lane->line->inside && (lane->line->n_held > 0 || *bytes == *nix_prefix)) {
			ssize_t taken = start_line(relay, lane, bytes, len, err);

			if (taken < 0)
				return (int)taken;
			bytes += taken;
			len -= (size_t)taken;
			continue;
		}
		newline = memchr(bytes, '\n', len);
		n = newline ? (size_t)(newline - bytes) + 1 : len;
		lane->line->inside = !newline;
		r = gather(relay, lane->fd, bytes, n, err);
		if (r < 0)
			return r;
		bytes += n;
		len -= n;
	}
	return 0;
}

/* ---- characters ---- */

static int put_escaped(struct relay *relay, const struct relay_lane *lane,
                       const unsigned char *bytes, size_t len, struct error *err)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		const char text[] = { '\\', 'x', hex[bytes[i] >> 4], hex[bytes[i] & 15] };
		int r = put(relay, lane, text, sizeof(text), err);

		if (r == 0) /* text goes away */
			r = settle(relay, lane->fd, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* How many bytes a character has that starts so; 0 if none does. */
static size_t utf8_len(unsigned char first)
{
	if (first < 0xc2 || first > 0xf4)
		return 0;
	return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/*
 * One character above ASCII, of which there may be only the first bytes: those are kept for the
 * next piece. Returns bytes taken.
 */
static ssize_t put_wide(struct relay *relay, struct relay_lane *lane, const unsigned char *bytes,
                        size_t len, struct error *err)
{
	size_t want = utf8_len(bytes[0]), n = 1;
	bool c1;
	int r;

	while (n < want && n < len && (bytes[n] & 0xc0) == 0x80)
		n++;
	if (n < want && n == len) {
		memcpy(lane->partial, bytes, n);
		lane->n_partial = n;
		return (ssize_t)n;
	}
	c1 = bytes[0] == 0xc2 && n == 2 && bytes[1] < 0xa0;
	if (n == want && !c1 && text_is_utf8(bytes, n))
		r = put(relay, lane, (const char *)bytes, n, err);
	else
		r = put_escaped(relay, lane, bytes, n, err);
	return r < 0 ? r : (ssize_t)n;
}

/* Goes on with the character that the last piece cut. Returns bytes of this piece taken. */
static ssize_t put_rest(struct relay *relay, struct relay_lane *lane, const unsigned char *bytes,
                        size_t len, struct error *err)
{
	unsigned char joined[sizeof(lane->partial)];
	size_t had = lane->n_partial, n = had, used = 0;
	ssize_t taken;
	int r;

	memcpy(joined, lane->partial, had);
	while (n < utf8_len(joined[0]) && used < len && (bytes[used] & 0xc0) == 0x80)
		joined[n++] = bytes[used++];
	lane->n_partial = 0;
	if (n < utf8_len(joined[0]) && used < len) {
		r = put_escaped(relay, lane, joined, n, err);
		return r < 0 ? r : (ssize_t)used;
	}
	taken = put_wide(relay, lane, joined, n, err);
	r = settle(relay, lane->fd, err); /* joined goes away */
	return taken < 0 ? taken : r < 0 ? r : (ssize_t)used;
}

/* The character that the last piece cut does not go on. */
static int put_cut(struct relay *relay, struct relay_lane *lane, struct error *err)
{
	size_t n = lane->n_partial;

	lane->n_partial = 0;
	return put_escaped(relay, lane, lane->partial, n, err);
}

static bool is_plain(unsigned char byte)
{
	return (byte >= 0x20 && byte < 0x7f) || byte == '\n' || byte == '\t';
}

/* \r and \r\n are one \n. A lone \r goes back to the start of the line on a terminal and in Nix. */
static int put_return(struct relay *relay, struct relay_lane *lane, struct error *err)
{
	int r = put_cut(relay, lane, err);

	lane->after_cr = true;
	return r < 0 ? r : put(relay, lane, "\n", 1, err);
}

/* The next plain bytes, or the next character that is none. Returns bytes taken. */
static ssize_t put_next(struct relay *relay, struct relay_lane *lane, const unsigned char *bytes,
                        size_t len, struct error *err)
{
	size_t n = 0;
	int r;

	while (n < len && is_plain(bytes[n]))
		n++;
	if (n == 0 && bytes[0] >= 0x80)
		return put_wide(relay, lane, bytes, len, err);
	if (n > 0) {
		r = put(relay, lane, (const char *)bytes, n, err);
	} else {
		n = 1;
		r = put_escaped(relay, lane, bytes, n, err);
	}
	return r < 0 ? r : (ssize_t)n;
}

static int put_terminal(struct relay *relay, struct relay_lane *lane, const unsigned char *bytes,
                        size_t len, struct error *err)
{
	while (len > 0) {
		ssize_t n = put_next(relay, lane, bytes, len, err);

		if (n < 0)
			return (int)n;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

/* A part of a line, or of several, without \r. */
static int put_part(struct relay *relay, struct relay_lane *lane, const char *bytes, size_t len,
                    struct error *err)
{
	const unsigned char *p = (const unsigned char *)bytes;
	ssize_t n = 0;

	if (len > 0 && lane->after_cr) {
		lane->after_cr = false;
		if (*bytes == '\n')
			return put_part(relay, lane, bytes + 1, len - 1, err);
	}
	if (lane->mode == RELAY_LINES)
		return put(relay, lane, bytes, len, err);
	if (len > 0 && lane->n_partial > 0)
		n = put_rest(relay, lane, p, len, err);
	return n < 0 ? (int)n : put_terminal(relay, lane, p + n, len - (size_t)n, err);
}

static int filter(struct relay *relay, struct relay_lane *lane, const char *bytes, size_t len,
                  struct error *err)
{
	while (len > 0) {
		const char *cr = memchr(bytes, '\r', len);
		size_t n = cr ? (size_t)(cr - bytes) : len;
		int r = put_part(relay, lane, bytes, n, err);

		if (r == 0 && cr)
			r = put_return(relay, lane, err);
		if (r < 0)
			return r;
		n += cr ? 1 : 0;
		bytes += n;
		len -= n;
	}
	return 0;
}

int relay_write(struct relay *relay, enum relay_stream stream, const void *bytes, size_t len,
                struct error *err)
{
	struct relay_lane *lane = &relay->lanes[stream];
	int r;

	if (len == 0)
		return 0;
	if (lane->mode == RELAY_EXACT) {
		lane->line->inside = ((const char *)bytes)[len - 1] != '\n';
		return write_all(lane->fd, bytes, len, err);
	}
	r = filter(relay, lane, bytes, len, err);
	if (r < 0)
		return r;
	return flush(relay, lane->fd, err);
}

static int end_lane(struct relay *relay, struct relay_lane *lane, struct error *err)
{
	int r = release_held(relay, lane, err);

	if (r == 0)
		r = put_cut(relay, lane, err);
	return r < 0 ? r : flush(relay, lane->fd, err);
}

int relay_end(struct relay *relay, struct error *err)
{
	int r = end_lane(relay, &relay->lanes[RELAY_STDOUT], err);

	return r < 0 ? r : end_lane(relay, &relay->lanes[RELAY_STDERR], err);
}

void relay_break_line(struct relay *relay)
{
	struct relay_lane *lane = &relay->lanes[RELAY_STDERR];

	/* Only makes what follows readable: a stderr that fails is nobody's to tell. */
	(void)relay_end(relay, NULL);
	if (lane->line && lane->line->inside)
		(void)write_all(lane->fd, "\n", 1, NULL);
	if (lane->line)
		lane->line->inside = false;
}

bool relay_in_line(const struct relay *relay, int fd)
{
	struct stat st, lane_st;

	if (fstat(fd, &st) < 0)
		return false;
	for (size_t i = 0; i < _RELAY_STREAM_MAX; i++)
		if (relay->lanes[i].line->inside && fstat(relay->lanes[i].fd, &lane_st) == 0 &&
		    same_file(&st, &lane_st))
			return true;
	return false;
}

__attribute__((format(printf, 2, 0))) static void write_line(struct relay *relay, const char *fmt,
                                                             va_list ap)
{
	char raw[LINE_MAX_LEN], clean[LINE_MAX_LEN], line[LINE_MAX_LEN + 16];
	int n;

	(void)vsnprintf(raw, sizeof(raw), fmt, ap);
	if (text_is_plain(raw, strlen(raw)))
		(void)snprintf(clean, sizeof(clean), "%s", raw);
	else
		text_escape(raw, strlen(raw), clean, sizeof(clean));
	n = snprintf(line, sizeof(line), "hatch: %s\n", clean);
	relay_break_line(relay);
	(void)write_all(relay->lanes[RELAY_STDERR].fd, line, (size_t)n, NULL);
}

void relay_line(struct relay *relay, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	write_line(relay, fmt, ap);
	va_end(ap);
}

void relay_note(struct relay *relay, const char *fmt, ...)
{
	va_list ap;

	if (!isatty(relay->lanes[RELAY_STDERR].fd))
		return;
	va_start(ap, fmt);
	write_line(relay, fmt, ap);
	va_end(ap);
}
