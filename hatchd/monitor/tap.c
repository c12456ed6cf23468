/* Two streams through one process. Everything below tap_run() is under filter_tap(). */
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "hatchd/sandbox/filter.h"
#include "lib/base/cleanup.h"
#include "lib/scan/mask.h"

enum {
	READ_MAX = 64 * 1024,
	N_STREAMS = 3, /* stdout, stderr, and what the builder says of itself */
};

/* A ring: once it is full, the oldest byte stands where the next one will. */
struct tail {
	char bytes[TAP_TAIL_MAX];
	uint64_t len; /* of all that came */
};

struct stream {
	struct tap *tap;
	int in_fd, out_fd; /* -1 after its end */
	size_t left;       /* once drained: to be read before its end */
	bool is_log;
	struct mask mask;
	char out[READ_MAX]; /* not yet passed on; mask.c gives it in pieces */
	size_t out_len;
	uint64_t passed;
};

struct tap {
	struct helper_work work;
	bool draining;
	int pulse_fd, tail_fd;
	struct stream streams[N_STREAMS];
	struct tail tail;
	char in[READ_MAX];
};

/* --- the tail --- */

static void tail_add(struct tail *tail, const char *bytes, size_t len)
{
	while (len > 0) {
		size_t at = tail->len % TAP_TAIL_MAX, room = TAP_TAIL_MAX - at;
		size_t n = len < room ? len : room;

		memcpy(tail->bytes + at, bytes, n);
		tail->len += n;
		bytes += n;
		len -= n;
	}
}

static int tail_write(const struct tail *tail, int fd)
{
	size_t first = tail->len % TAP_TAIL_MAX;
	int r;

	if (tail->len <= TAP_TAIL_MAX)
		return fd_write_full(fd, tail->bytes, tail->len);
	r = fd_write_full(fd, tail->bytes + first, TAP_TAIL_MAX - first);
	return r < 0 ? r : fd_write_full(fd, tail->bytes, first);
}

/* --- a stream --- */

static int flush(struct stream *stream)
{
	int r = fd_write_full(stream->out_fd, stream->out, stream->out_len);

	if (r == 0 && stream->is_log && stream->tap->tail_fd >= 0)
		tail_add(&stream->tap->tail, stream->out, stream->out_len);
	stream->passed += stream->out_len;
	stream->out_len = 0;
	return r;
}

static int pass(void *context, const void *bytes, size_t len)
{
	struct stream *stream = context;

	while (len > 0) {
		size_t room = sizeof(stream->out) - stream->out_len, n = len < room ? len : room;
		int r;

		memcpy(stream->out + stream->out_len, bytes, n);
		stream->out_len += n;
		bytes = (const char *)bytes + n;
		len -= n;
		r = stream->out_len == sizeof(stream->out) ? flush(stream) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

/* Whoever is gone at the other end: the builder sees it as it would without us. */
static void end(struct stream *stream)
{
	fd_closep(&stream->in_fd);
	fd_closep(&stream->out_fd);
}

static void finish(struct stream *stream)
{
	int r = stream->mask.scan ? mask_end(&stream->mask) : 0;

	if (r == 0)
		(void)flush(stream);
	end(stream);
}

/* The builder said something, though none of it can be passed on yet. */
static void pulse(const struct tap *tap)
{
	const uint64_t one = 1;

	(void)fd_write_full(tap->pulse_fd, &one, sizeof(one));
}

static void relay(struct stream *stream)
{
	uint64_t passed = stream->passed;
	bool draining = stream->tap->draining;
	char *in = stream->tap->in;
	size_t max = draining && stream->left < READ_MAX ? stream->left : READ_MAX;
	ssize_t n = fd_read_some(stream->in_fd, in, max);
	int r;

	if (n <= 0) {
		finish(stream);
		return;
	}
	r = stream->mask.scan ? mask_add(&stream->mask, in, (size_t)n)
	                      : pass(stream, in, (size_t)n);
	if (r == 0)
		r = flush(stream);
	stream->left -= draining ? (size_t)n : 0;
	if (r < 0)
		end(stream);
	else if (draining && stream->left == 0)
		finish(stream);
	else if (stream->passed == passed)
		pulse(stream->tap);
}

/* --- the process --- */

static int tap_prepare(void *context, struct error *err)
{
	(void)context;
	return filter_tap(err);
}

/* The builder is dead, though somebody else may have an end of what it wrote to. */
static void drain(struct tap *tap)
{
	tap->draining = true;
	for (size_t i = 0; i < N_STREAMS; i++) {
		struct stream *stream = &tap->streams[i];

		if (stream->in_fd < 0)
			continue;
		stream->left = fd_left_in_pipe(stream->in_fd);
		if (stream->left == 0)
			finish(stream);
	}
}

static int tap_run(void *context, struct error *err)
{
	struct tap *tap = context;
	struct pollfd p[N_STREAMS + 1];

	for (;;) {
		bool open = false;

		for (size_t i = 0; i < N_STREAMS; i++) {
			p[i] = (struct pollfd){ .fd = tap->streams[i].in_fd, .events = POLLIN };
			open |= p[i].fd >= 0;
		}
		if (!open)
			break;
		p[N_STREAMS] = (struct pollfd){ .fd = tap->draining ? -1 : tap->work.go_fd,
			                        .events = POLLIN };
		if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
			return error_errno(err, BLAME_HOST, errno, "cannot wait for the log");
		if (p[N_STREAMS].revents) {
			drain(tap);
			continue;
		}
		for (size_t i = 0; i < N_STREAMS; i++)
			if (p[i].revents)
				relay(&tap->streams[i]);
	}
	/* A full disk costs the end of a log that may never be looked at, not the request. */
	if (tap->tail_fd >= 0)
		(void)tail_write(&tap->tail, tap->tail_fd);
	return 0;
}

/* --- the monitor's side --- */

/* The builder's end of each stream, and what is put in its place. */
struct between {
	int *speaker_fd;
	int pipe[2];
	bool is_log;
};

static void stream_init(struct stream *stream, struct tap *tap, const struct scan *scan,
                        const struct between *between)
{
	stream->tap = tap;
	stream->in_fd = between->pipe[0];
	stream->out_fd = *between->speaker_fd;
	stream->is_log = between->is_log;
	stream->mask = (struct mask){ .scan = scan, .write = pass, .context = stream };
}

static int start(const struct tap_plan *plan, const struct account *account,
                 const struct speaker *speaker, const struct between betweens[N_STREAMS],
                 struct helper *ret, struct error *err)
{
	cleanup_free struct tap *tap = calloc(1, sizeof(*tap));
	struct helper_work *work;
	int r;

	if (!tap)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for the log");
	work = &tap->work;
	*work = (struct helper_work){
		.prepare = tap_prepare,
		.run = tap_run,
		.context = tap,
		.keep = { speaker->pulse_fd, plan->tail_fd },
		.n_keep = 2,
	};
	tap->pulse_fd = speaker->pulse_fd;
	tap->tail_fd = plan->tail_fd;
	for (size_t i = 0; i < N_STREAMS; i++) {
		stream_init(&tap->streams[i], tap, plan->scan, &betweens[i]);
		work->keep[work->n_keep++] = tap->streams[i].in_fd;
		work->keep[work->n_keep++] = tap->streams[i].out_fd;
	}
	r = helper_start(work, account, ret, err);
	if (r == 0 && helper_go(ret) < 0)
		r = error_set(err, BLAME_HOST, EPIPE, "cannot start a process for the log");
	return r;
}

/* All of them, so that the speaker has one answer to who ends what it reads. */
static int make_pipes(struct between betweens[N_STREAMS])
{
	for (size_t i = 0; i < N_STREAMS; i++)
		if (pipe2(betweens[i].pipe, O_CLOEXEC) < 0)
			return -errno;
	return 0;
}

/* From here on the builder's end is that of a pipe to the tap. */
static void put_between(struct between *between)
{
	fd_closep(between->speaker_fd);
	*between->speaker_fd = take_fd(&between->pipe[1]);
}

int tap_start(const struct tap_plan *plan, const struct account *account, struct speaker *speaker,
              struct helper *ret, struct error *err)
{
	struct between betweens[N_STREAMS] = {
		{ &speaker->stdout_fd, { -1, -1 }, true },
		{ &speaker->stderr_fd, { -1, -1 }, true },
		{ &speaker->status_fd, { -1, -1 }, false },
	};
	int r = make_pipes(betweens);

	r = r < 0 ? error_errno(err, BLAME_HOST, -r, "cannot make pipes for the log")
	          : start(plan, account, speaker, betweens, ret, err);
	for (size_t i = 0; i < N_STREAMS; i++) {
		if (r == 0)
			put_between(&betweens[i]);
		fd_closep(&betweens[i].pipe[0]);
		fd_closep(&betweens[i].pipe[1]);
	}
	return r;
}

void tap_drain(const struct helper *tap)
{
	(void)helper_go(tap); /* once more; one that has ended needs no word */
}
