/* tap.h: what comes out at the speaker's ends of what a builder writes. */
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/buffer.h"
#include "tests/unit.h"

static const struct account nobody_else = { .change = false };

/* A tap with a speaker's ends that are ours. */
struct bench {
	struct speaker speaker; /* after tap_start(): the builder's ends */
	struct helper tap;
	int out_fd, err_fd, status_fd; /* what the speaker reads */
	int tail_fd;
	struct scan *scan;
};

static bool bench_start(struct bench *bench, const char *secret)
{
	const struct scan_secret secrets[] = { { "key", secret, secret ? strlen(secret) : 0 } };
	struct error err = { 0 };
	int out[2], errors[2], status[2];

	*bench = (struct bench){ .speaker = SPEAKER_NONE };
	check(pipe2(out, O_CLOEXEC) == 0 && pipe2(errors, O_CLOEXEC) == 0 &&
	      pipe2(status, O_CLOEXEC) == 0);
	check(scan_new(secrets, 1, &bench->scan, &err) == 0);
	bench->out_fd = out[0];
	bench->err_fd = errors[0];
	bench->status_fd = status[0];
	bench->speaker.status_fd = status[1];
	bench->speaker.stdout_fd = out[1];
	bench->speaker.stderr_fd = errors[1];
	bench->speaker.pulse_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	bench->tail_fd = memfd_create("tail", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	const struct tap_plan plan = { bench->scan, bench->tail_fd };
	int r = tap_start(&plan, &nobody_else, &bench->speaker, &bench->tap, &err);

	if (r < 0)
		printf("tap_start: %s\n", err.text);
	return r == 0;
}

static void bench_done(struct bench *bench)
{
	speaker_done(&bench->speaker);
	fd_closep(&bench->out_fd);
	fd_closep(&bench->err_fd);
	fd_closep(&bench->status_fd);
	check(helper_done(&bench->tap) == 0);
	fd_closep(&bench->tail_fd);
	scan_free(bench->scan);
}

static void say(int fd, const char *text)
{
	check(fd_write_full(fd, text, strlen(text)) == 0);
}

/* Is this the next that comes? Waits for it. */
static bool comes(int fd, const char *text)
{
	char buf[256];
	size_t len = strlen(text);
	int r = fd_read_full(fd, buf, len);

	if (r == 1 && memcmp(buf, text, len) == 0)
		return true;
	printf("not '%s': %d '%.*s'\n", text, r, (int)len, buf);
	return false;
}

static bool is_silent(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 50) == 0;
}

static bool ends(int fd)
{
	char byte;

	return fd_read_some(fd, &byte, 1) == 0;
}

static void finish(struct bench *bench)
{
	struct error err = { 0 };

	fd_closep(&bench->speaker.stdout_fd);
	fd_closep(&bench->speaker.stderr_fd);
	fd_closep(&bench->speaker.status_fd);
	check(helper_finish(&bench->tap, 10000, &err) == 0);
}

static bool tail_is(const struct bench *bench, const char *text, size_t len)
{
	cleanup_free char *found = NULL;
	size_t found_len;

	check(lseek(bench->tail_fd, 0, SEEK_SET) == 0);
	check(fd_read_file(bench->tail_fd, 1 << 20, &found, &found_len) == 0);
	return found_len == len && memcmp(found, text, len) == 0;
}

static void passes_both_streams_on_and_their_ends(void)
{
	cleanup_(bench_done) struct bench bench;

	if (!bench_start(&bench, NULL))
		return;
	say(bench.speaker.stdout_fd, "out");
	check(comes(bench.out_fd, "out"));
	say(bench.speaker.stderr_fd, "err");
	check(comes(bench.err_fd, "err"));
	fd_closep(&bench.speaker.stdout_fd);
	check(ends(bench.out_fd));
	say(bench.speaker.stderr_fd, "more");
	check(comes(bench.err_fd, "more"));
	finish(&bench);
	check(ends(bench.err_fd));
	check(tail_is(&bench, "outerrmore", 10));
}

static void leaves_a_secret_out_that_comes_in_two_writes(void)
{
	cleanup_(bench_done) struct bench bench;
	uint64_t pulses;

	if (!bench_start(&bench, "correct horse"))
		return;
	say(bench.speaker.stdout_fd, "say: correct ");
	check(comes(bench.out_fd, "say: ") && is_silent(bench.out_fd));
	/* Each stream by itself: the other half in the other stream is no secret. */
	say(bench.speaker.stderr_fd, "horse\n");
	check(comes(bench.err_fd, "horse\n"));
	say(bench.speaker.stdout_fd, "hor");
	check(is_silent(bench.out_fd));
	/* A speaker that waits for the builder hears that it lives. */
	check(read(bench.speaker.pulse_fd, &pulses, sizeof(pulses)) == sizeof(pulses));
	check(pulses == 1);
	say(bench.speaker.stdout_fd, "se\n");
	check(comes(bench.out_fd, "[secret:key]\n"));
	say(bench.speaker.stderr_fd, "Y29ycmVjdCBob3JzZQo=\n636f727265637420686f727365\n");
	check(comes(bench.err_fd, "[secret:key]Qo=\n[secret:key]\n"));
	check(read(bench.speaker.pulse_fd, &pulses, sizeof(pulses)) < 0 && errno == EAGAIN);
	finish(&bench);
	check(ends(bench.out_fd) && ends(bench.err_fd));
	check(tail_is(&bench, "say: horse\n[secret:key]\n[secret:key]Qo=\n[secret:key]\n", 53));
}

static void leaves_a_secret_out_of_what_the_builder_says_of_itself(void)
{
	cleanup_(bench_done) struct bench bench;

	if (!bench_start(&bench, "correct horse"))
		return;
	say(bench.speaker.status_fd, "phase with correct horse\n");
	check(comes(bench.status_fd, "phase with [secret:key]\n"));
	finish(&bench);
	check(ends(bench.status_fd));
	check(tail_is(&bench, "", 0));
}

static void passes_on_what_it_held_back_when_the_stream_ends(void)
{
	cleanup_(bench_done) struct bench bench;

	if (!bench_start(&bench, "correct horse"))
		return;
	say(bench.speaker.stdout_fd, "correct hors");
	say(bench.speaker.stderr_fd, "correct horse");
	check(is_silent(bench.out_fd) && is_silent(bench.err_fd));
	finish(&bench);
	check(comes(bench.out_fd, "correct hors") && ends(bench.out_fd));
	check(comes(bench.err_fd, "[secret:key]") && ends(bench.err_fd));
}

/* More than a pipe holds, so somebody must read while it is written. */
static void write_much(struct bench *bench, const char *text, size_t len)
{
	cleanup_free char *found = malloc(len);
	pid_t pid = fork();

	if (pid == 0)
		_exit(fd_write_full(bench->speaker.stdout_fd, text, len) < 0);
	check(pid > 0 && fd_read_full(bench->out_fd, found, len) == 1);
	check(memcmp(found, text, len) == 0);
}

static void keeps_the_last_of_a_long_log(void)
{
	enum { LEN = 3 * TAP_TAIL_MAX };
	static const int over[] = { -1, 0, 1, TAP_TAIL_MAX / 2 };
	cleanup_free char *text = malloc(LEN);

	for (size_t i = 0; i < LEN; i++)
		text[i] = (char)(i * 31 + i / 251);
	for (size_t i = 0; i < ARRAY_SIZE(over); i++)
		for (size_t rounds = 1; rounds < 3; rounds++) {
			cleanup_(bench_done) struct bench bench;
			size_t len = rounds * TAP_TAIL_MAX + (size_t)over[i];
			size_t kept = len < TAP_TAIL_MAX ? len : TAP_TAIL_MAX;

			if (!bench_start(&bench, "correct horse"))
				return;
			write_much(&bench, text, len);
			finish(&bench);
			check(tail_is(&bench, text + len - kept, kept));
		}
}

static void ends_when_the_speaker_is_gone(void)
{
	cleanup_(bench_done) struct bench bench;
	struct error err = { 0 };

	if (!bench_start(&bench, NULL))
		return;
	fd_closep(&bench.out_fd);
	fd_closep(&bench.err_fd);
	fd_closep(&bench.status_fd);
	say(bench.speaker.stdout_fd, "x");
	say(bench.speaker.stderr_fd, "x");
	say(bench.speaker.status_fd, "x");
	/* Also while the builder's ends are open. */
	check(helper_finish(&bench.tap, 10000, &err) == 0);
	check(write(bench.speaker.stdout_fd, "x", 1) < 0 && errno == EPIPE);
}

/* Each has the end of a builder that is dead, and would write for ever. */
static void what_is_in_the_pipes_of_a_dead_builder_is_all(void)
{
	static char flood[256 * 1024];
	cleanup_(bench_done) struct bench bench;
	struct error err = { 0 };

	memset(flood, 'x', sizeof(flood));
	if (!bench_start(&bench, "correct horse"))
		return;
	say(bench.speaker.stdout_fd, "out, and correct ");
	check(comes(bench.out_fd, "out, and "));
	check(is_silent(bench.out_fd));
	say(bench.speaker.status_fd, "phase one\n");
	tap_drain(&bench.tap);
	check(comes(bench.out_fd, "correct ") && ends(bench.out_fd));
	check(ends(bench.err_fd));
	check(comes(bench.status_fd, "phase one\n") && ends(bench.status_fd));
	check(helper_finish(&bench.tap, 5000, &err) == 0);
	check(write(bench.speaker.stdout_fd, flood, sizeof(flood)) < 0 && errno == EPIPE);
}

/* A full disk, or here a file that nobody may write to, is no reason to lose a request. */
static void a_tail_without_room_costs_the_tail_alone(void)
{
	cleanup_(bench_done) struct bench bench;

	if (!bench_start(&bench, NULL))
		return;
	check(fcntl(bench.tail_fd, F_ADD_SEALS, F_SEAL_WRITE) == 0);
	say(bench.speaker.stdout_fd, "out");
	check(comes(bench.out_fd, "out"));
	finish(&bench);
	check(ends(bench.out_fd));
	check(tail_is(&bench, "", 0));
}

static const struct unit_case cases[] = {
	CASE(passes_both_streams_on_and_their_ends),
	CASE(leaves_a_secret_out_that_comes_in_two_writes),
	CASE(leaves_a_secret_out_of_what_the_builder_says_of_itself),
	CASE(passes_on_what_it_held_back_when_the_stream_ends),
	CASE(keeps_the_last_of_a_long_log),
	CASE(a_tail_without_room_costs_the_tail_alone),
	CASE(ends_when_the_speaker_is_gone),
	CASE(what_is_in_the_pipes_of_a_dead_builder_is_all),
};

int main(void)
{
	/* As hatchd does. */
	(void)signal(SIGPIPE, SIG_IGN);
	unit_limit_time(60);
	return unit_run(cases, ARRAY_SIZE(cases));
}
