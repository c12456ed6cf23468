/* helper.h: how a helper ends, whatever it does, also for a parent without any right. */
#include "helper.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hatchd/sandbox/filter.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "tests/unit.h"

static const struct account nobody_else = { .change = false };

static int prepare(void *context, struct error *err)
{
	(void)context;
	return filter_tap(err);
}

static int sleep_for_ever(void *context, struct error *err)
{
	(void)context;
	(void)err;
	while (poll(NULL, 0, -1) < 0)
		;
	return 0;
}

static int fail(void *context, struct error *err)
{
	(void)context;
	return error_set(err, BLAME_BUILD, EDQUOT, "too much");
}

static int say_half(void *context, struct error *err)
{
	/* The only one of its descriptors that can be written to is that of its result. */
	for (int fd = 3; fd < 64; fd++)
		if (write(fd, "x", 1) == 1)
			break;
	return sleep_for_ever(context, err);
}

/* As one that fell to what it read. */
static int lie(void *context, struct error *err)
{
	struct helper_result lies;

	memset(&lies, 'x', sizeof(lies));
	lies.ok = false;
	for (int fd = 3; fd < 64; fd++)
		if (write(fd, &lies, sizeof(lies)) == sizeof(lies))
			break;
	return sleep_for_ever(context, err);
}

static int fall(void *context, struct error *err)
{
	(void)context;
	(void)err;
	_exit(1);
}

/* Shared with the helpers; all else that they could tell by is closed. */
static atomic_bool *has_let_go;

/* As the one of a helper that was taken over: it lets go of what would kill it. */
static int let_go(void *context, struct error *err)
{
	for (int fd = 3; fd < 64; fd++)
		(void)close(fd);
	atomic_store(has_let_go, true);
	return sleep_for_ever(context, err);
}

static bool start(int (*run)(void *, struct error *), struct helper *ret)
{
	struct helper_work work = { .prepare = prepare, .run = run };
	struct error err = { 0 };

	return helper_start(&work, &nobody_else, ret, &err) == 0;
}

static bool is_gone(pid_t pid)
{
	return kill(pid, 0) < 0 && errno == ESRCH;
}

static void one_that_works_for_ever_is_ended(void)
{
	struct helper helper;
	pid_t pid;

	check(start(sleep_for_ever, &helper));
	pid = helper.pid;
	check(helper_go(&helper) == 0);
	(void)poll(NULL, 0, 50);
	check(helper_done(&helper) == 0);
	check(is_gone(pid) && helper.pid == 0 && helper.result_fd < 0);
}

static void one_that_was_stopped_is_ended(void)
{
	struct helper helper;
	pid_t pid;

	check(start(sleep_for_ever, &helper));
	pid = helper.pid;
	check(helper_go(&helper) == 0);
	(void)poll(NULL, 0, 50);
	check(kill(pid, SIGSTOP) == 0);
	check(helper_done(&helper) == 0);
	check(is_gone(pid));
}

static void one_that_was_never_let_go_is_ended(void)
{
	struct helper helper;
	pid_t pid;

	for (int round = 0; round < 20; round++) {
		check(start(fail, &helper));
		pid = helper.pid;
		if (round % 2)
			(void)poll(NULL, 0, 5);
		check(helper_done(&helper) == 0);
		check(is_gone(pid));
	}
}

static void a_result_has_its_time_and_no_more(void)
{
	struct error err = { 0 };
	struct helper helper;
	pid_t pid;

	check(start(fail, &helper) && helper_go(&helper) == 0);
	check(helper_finish(&helper, 10000, &err) == -EDQUOT);
	check(err.blame == BLAME_BUILD && strcmp(err.text, "too much") == 0);

	check(start(sleep_for_ever, &helper) && helper_go(&helper) == 0);
	pid = helper.pid;
	check(helper_finish(&helper, 100, &err) == -ETIMEDOUT);
	check(err.blame == BLAME_HOST && is_gone(pid));

	check(start(fall, &helper) && helper_go(&helper) == 0);
	check(helper_finish(&helper, 10000, &err) == -ECHILD);
}

/* The first byte of a result says nothing about the others. */
static void a_part_of_a_result_is_none(void)
{
	struct error err = { 0 };
	struct helper helper;
	int64_t begun_ms = clock_now_ms();

	check(start(say_half, &helper) && helper_go(&helper) == 0);
	check(helper_finish(&helper, 20000, &err) == -ECHILD);
	check(clock_now_ms() - begun_ms < 20000);
}

static void words_that_do_not_end_are_cut_and_conceal_nothing(void)
{
	struct error err = { 0 };
	struct helper helper;

	check(start(lie, &helper) && helper_go(&helper) == 0);
	check(helper_finish(&helper, 3000, &err) == -EIO);
	check(err.blame == BLAME_HOST && err.code == EIO);
	check(memchr(err.text, '\0', sizeof(err.text)) != NULL);
	check(memchr(err.hint, '\0', sizeof(err.hint)) != NULL);
	check(!error_is_concealed(&err) && error_peer_hint(&err) == err.hint);
}

static void one_that_is_out_of_reach_is_waited_for_but_not_for_ever(void)
{
	struct helper helper;
	pid_t pid;
	int64_t begun_ms;

	has_let_go = mmap(NULL, sizeof(*has_let_go), PROT_READ | PROT_WRITE,
	                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (has_let_go == MAP_FAILED)
		abort();
	check(start(let_go, &helper) && helper_go(&helper) == 0);
	pid = helper.pid;
	while (!atomic_load(has_let_go))
		(void)poll(NULL, 0, 5);
	begun_ms = clock_now_ms();
	check(helper_done(&helper) == -ETIMEDOUT);
	check(clock_now_ms() - begun_ms < 20000);
	check(!is_gone(pid));
	(void)kill(pid, SIGKILL);
	(void)munmap(has_let_go, sizeof(*has_let_go));
}

static const struct unit_case cases[] = {
	CASE(one_that_works_for_ever_is_ended),
	CASE(one_that_was_stopped_is_ended),
	CASE(one_that_was_never_let_go_is_ended),
	CASE(a_result_has_its_time_and_no_more),
	CASE(a_part_of_a_result_is_none),
	CASE(words_that_do_not_end_are_cut_and_conceal_nothing),
	CASE(one_that_is_out_of_reach_is_waited_for_but_not_for_ever),
};

int main(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	unit_limit_time(60);
	return unit_run(cases, ARRAY_SIZE(cases));
}
