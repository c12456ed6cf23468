/* Processes of a uid that nobody else uses. */
#include "stray.h"

#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/unit.h"

enum { STRAY_UID = 59871 };

/* A process of the uid, or with it as one of its others; it waits. */
static pid_t start(uid_t real, uid_t effective)
{
	int ready[2];
	char byte;
	pid_t pid;

	if (pipe(ready) < 0)
		abort();
	pid = fork();
	if (pid == 0) {
		if (setresuid(real, effective, effective) < 0 || write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	if (read(ready[0], &byte, 1) != 1)
		abort();
	(void)close(ready[0]);
	(void)close(ready[1]);
	return pid;
}

/* What others do meanwhile does not count. */
static int64_t processor_ms(void)
{
	struct timespec t;

	check(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void finds_nothing_where_nothing_is_and_costs_little(void)
{
	enum { N = 1000 };
	pid_t pid = 1;
	int64_t begun_ms = processor_ms(), spent_ms;

	for (int i = 0; i < N; i++)
		check(stray_find(STRAY_UID, &pid) == 0 && pid == 0);
	spent_ms = processor_ms() - begun_ms;
	printf("%lld ms for %d looks\n", (long long)spent_ms, N);
	check(spent_ms < N); /* a millisecond each, on a bad day */
}

static void finds_a_process_that_lives(void)
{
	pid_t child = start(STRAY_UID, STRAY_UID), pid = 0;

	check(stray_find(STRAY_UID, &pid) == 1 && pid == child);
	(void)kill(child, SIGKILL);
	(void)waitpid(child, NULL, 0);
	check(stray_find(STRAY_UID, &pid) == 0);
}

static void one_that_has_ended_and_was_not_reaped_is_none(void)
{
	pid_t child = start(STRAY_UID, STRAY_UID), pid = 0;

	(void)kill(child, SIGKILL);
	check(waitid(P_PID, (id_t)child, NULL, WEXITED | WNOWAIT) == 0);
	check(stray_find(STRAY_UID, &pid) == 0);
	(void)waitpid(child, NULL, 0);
}

static const struct unit_case cases[] = {
	CASE(finds_nothing_where_nothing_is_and_costs_little),
	CASE(finds_a_process_that_lives),
	CASE(one_that_has_ended_and_was_not_reaped_is_none),
};

int main(void)
{
	if (geteuid() != 0) {
		printf("SKIP strays: only root can become another user\n");
		return EXIT_SUCCESS;
	}
	return unit_run(cases, sizeof(cases) / sizeof(cases[0]));
}
