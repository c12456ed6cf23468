/* watch.h: what init says is believed as far as it is its own matter, and once. */
#include "watch.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "tests/unit.h"

/* A watch whose init is ours; of the others nobody says anything. */
struct bench {
	struct builder builder;
	struct request request;
	struct sandbox sandbox;
	struct watch watch;
	int init_fd;
	unsigned n_started;
};

static void count_start(void *context)
{
	struct bench *bench = context;

	bench->n_started++;
}

static bool has_memory(void *context)
{
	(void)context;
	return false;
}

static void bench_start(struct bench *bench)
{
	int report[2];

	check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, report) == 0);
	*bench = (struct bench){
		.request = { .builder = &bench->builder, .time_limit_sec = 1 },
		.sandbox = { .pid_fd = -1, .report_fd = report[0] },
		.watch = { .request = &bench->request,
		           .sandbox = &bench->sandbox,
		           .control_fd = -1,
		           .signal_fd = -1,
		           .gauge_fd = -1,
		           .started = count_start,
		           .ran_out_of_memory = has_memory,
		           .context = bench },
		.init_fd = report[1],
	};
}

static void bench_done(struct bench *bench)
{
	fd_closep(&bench->sandbox.report_fd);
	fd_closep(&bench->init_fd);
}

#define cleanup_bench cleanup_(bench_done)

static void say(const struct bench *bench, enum sandbox_report_kind kind, int code)
{
	struct sandbox_report report;

	memset(&report, 0, sizeof(report));
	report.kind = kind;
	report.code = code;
	check(send(bench->init_fd, &report, sizeof(report), MSG_NOSIGNAL) == sizeof(report));
}

static void the_status_of_the_builder_is_heard(void)
{
	cleanup_bench struct bench bench;
	struct error err;

	bench_start(&bench);
	say(&bench, SANDBOX_STARTED, 0);
	say(&bench, SANDBOX_EXITED, 7 << 8);
	check(watch_run(&bench.watch, &err) == 0 && bench.n_started == 1);
	check(bench.watch.ending == ENDING_EXITED && bench.watch.status == 7 << 8);
}

/* One that went on saying so would have time without end. */
static void a_builder_starts_once(void)
{
	cleanup_bench struct bench bench;
	pid_t pid;
	struct error err;

	unit_limit_time(30);
	bench_start(&bench);
	pid = fork();
	for (int i = 0; pid == 0 && i < 200; i++) {
		say(&bench, SANDBOX_STARTED, 0);
		(void)usleep(100 * 1000);
	}
	if (pid == 0)
		_exit(0);
	check(pid > 0 && watch_run(&bench.watch, &err) == 0);
	check(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
	check(bench.watch.ending == ENDING_TIME && bench.n_started == 1);
	check(bench.watch.ended_ms - bench.watch.started_ms < 10000);
}

static void a_program_that_was_not_executed_is_no_success(void)
{
	static const int codes[] = { ENOENT, 0, -EACCES };

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		cleanup_bench struct bench bench;
		struct error err;

		bench_start(&bench);
		say(&bench, SANDBOX_EXEC_FAILED, codes[i]);
		check(watch_run(&bench.watch, &err) == 0 && bench.watch.ending == ENDING_EXEC);
		check(bench.watch.code == (codes[i] > 0 ? codes[i] : EIO));
	}
}

static void init_that_ends_without_a_word_is_a_failure(void)
{
	cleanup_bench struct bench bench;
	struct error err;

	bench_start(&bench);
	fd_closep(&bench.init_fd);
	check(watch_run(&bench.watch, &err) == -EPIPE && bench.watch.ending == ENDING_LOST);
}

static const struct unit_case cases[] = {
	CASE(the_status_of_the_builder_is_heard),
	CASE(a_builder_starts_once),
	CASE(a_program_that_was_not_executed_is_no_success),
	CASE(init_that_ends_without_a_word_is_a_failure),
};

UNIT_MAIN(cases)
