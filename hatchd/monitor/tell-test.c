/* job.h, "talking to the speaker": whom a wait hears, and for how long. */
#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "job.h"
#include "lib/base/clock.h"
#include "tests/unit.h"

enum { LONG_MS = 10000 }; /* what no case waits for */

/* A job that has a speaker, which is ours, and a signal to be stopped by. */
struct bench {
	struct job job;
	int speaker_fd;
};

static void bench_done(struct bench *bench)
{
	fd_closep(&bench->speaker_fd);
	speaker_done(&bench->job.speaker);
	fd_closep(&bench->job.signal_fd);
}

#define cleanup_bench cleanup_(bench_done)

static void bench_start(struct bench *bench)
{
	sigset_t set;
	int control[2];

	*bench = (struct bench){ .job = { .speaker = SPEAKER_NONE } };
	check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) == 0);
	bench->job.speaker.control_fd = control[0];
	bench->speaker_fd = control[1];
	check(sigemptyset(&set) == 0 && sigaddset(&set, STOP_CANCEL) == 0 &&
	      sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	bench->job.signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	check(bench->job.signal_fd >= 0);
}

static void say(const struct bench *bench)
{
	const struct note note = { .type = NOTE_SILENT };

	check(send(bench->speaker_fd, &note, sizeof(note), MSG_NOSIGNAL) == sizeof(note));
}

static int64_t in_ms(int64_t ms)
{
	return clock_now_ms() + ms;
}

static void what_is_said_before_the_deadline_is_heard(void)
{
	cleanup_bench struct bench bench;
	struct note note;

	bench_start(&bench);
	say(&bench);
	check(job_hear(&bench.job, -1, in_ms(LONG_MS)) == HEARD_SPEAKER);
	check(job_receive_note(&bench.job, &note) == 1 && note.type == NOTE_SILENT);
	check(job_hear(&bench.job, -1, in_ms(20)) == HEARD_NOTHING);
}

static void what_is_said_after_the_deadline_is_not_heard(void)
{
	cleanup_bench struct bench bench;

	bench_start(&bench);
	say(&bench);
	check(job_hear(&bench.job, -1, in_ms(0)) == HEARD_NOTHING);
	check(job_hear(&bench.job, -1, in_ms(-1)) == HEARD_NOTHING);
	check(job_hear(&bench.job, -1, in_ms(LONG_MS)) == HEARD_SPEAKER);
}

static void who_speaks_without_a_pause_is_late_all_the_same(void)
{
	int64_t begun_ms = clock_now_ms(), deadline_ms = begun_ms + 200;
	cleanup_bench struct bench bench;
	struct note note;

	bench_start(&bench);
	do
		say(&bench);
	while (job_hear(&bench.job, -1, deadline_ms) == HEARD_SPEAKER &&
	       job_receive_note(&bench.job, &note) == 1 && clock_now_ms() < begun_ms + LONG_MS);
	check(clock_now_ms() < begun_ms + LONG_MS);
}

static void once_stopped_only_what_is_there_is_heard(void)
{
	int64_t begun_ms = clock_now_ms();
	cleanup_bench struct bench bench;
	struct note note;

	bench_start(&bench);
	check(raise(STOP_CANCEL) == 0);
	check(job_hear(&bench.job, -1, in_ms(LONG_MS)) == -ECANCELED);
	check(bench.job.stopping && bench.job.stop_signal == STOP_CANCEL);
	say(&bench);
	check(job_hear(&bench.job, -1, in_ms(LONG_MS)) == HEARD_SPEAKER);
	check(job_receive_note(&bench.job, &note) == 1);
	check(job_hear(&bench.job, -1, in_ms(LONG_MS)) == -ECANCELED);
	check(clock_now_ms() < begun_ms + LONG_MS);
}

/* As in the grace after a limit, which is then what ended the request. */
static void a_stop_that_came_before_shortens_the_last_wait(void)
{
	int64_t begun_ms = clock_now_ms();
	cleanup_bench struct bench bench;

	unit_limit_time(60);
	bench_start(&bench);
	bench.job.watch.ending = ENDING_TIME;
	bench.job.stop_signal = SIGTERM;
	job_await_speaker(&bench.job);
	check(bench.job.gone && clock_now_ms() < begun_ms + 6 * DRAIN_LIMIT_MS);
}

static const struct unit_case cases[] = {
	CASE(what_is_said_before_the_deadline_is_heard),
	CASE(what_is_said_after_the_deadline_is_not_heard),
	CASE(who_speaks_without_a_pause_is_late_all_the_same),
	CASE(once_stopped_only_what_is_there_is_heard),
	CASE(a_stop_that_came_before_shortens_the_last_wait),
};

UNIT_MAIN(cases)
