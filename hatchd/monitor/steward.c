/*
 * What the steward does, and how the monitor speaks with it. Commands run on the host: in a cgroup
 * of their own, by which everything that they started is killed when they have ended, and in a
 * session of their own. What they write goes where the steward's messages go, to the journal.
 */
#include "steward.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hatchd/clock.h"
#include "lib/base/cleanup.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"

enum {
	WORK_KILL_TIMEOUT_MS = 10000,
	OWN_KILL_TIMEOUT_MS = 5000,
	STOP_WAVE_MS = 1000, /* until the service manager has told everybody of the stop */
	AFTER_RUNS_MAX = 3,  /* it tells those too that begin while it looks for whom to tell */
};

/* --- in the process of a command --- */

static void reset_signals(void)
{
	sigset_t none;

	(void)signal(SIGPIPE, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static int enter_cgroup(const struct cgroup *cgroup, struct error *err)
{
	int r = cgroup->dir_fd < 0 ? 0 : fd_write_file(cgroup->dir_fd, "cgroup.procs", "0");

	return r < 0 ? error_errno(err, BLAME_HOST, -r, "cannot enter the cgroup") : 0;
}

__attribute__((noreturn)) static void run_program(const struct steward_plan *plan,
                                                  const struct hook *hook, char *const *env)
{
	struct error err = { 0 };
	int r = enter_cgroup(plan->own, &err);

	(void)setsid();
	if (r == 0 && !hook->as_root)
		r = privilege_become(plan->account, &err);
	if (r == 0 && (dup2(STDERR_FILENO, STDOUT_FILENO) < 0 || chdir("/") < 0))
		r = error_errno(&err, BLAME_HOST, errno, "cannot prepare");
	(void)umask(022);
	if (r == 0) {
		reset_signals();
		(void)execve(hook->command[0], hook->command, env);
		(void)error_errno(&err, BLAME_HOST, errno, "cannot execute");
	}
	log_line(LOG_ERR, "%s: %s", hook->command[0], err.text);
	_exit(127);
}

/* --- in the steward --- */

struct work {
	const struct steward_plan *plan;
	int fd; /* to the monitor */
	struct steward_order order;
	bool stopped; /* the service manager has told us of a stop */
};

/* 1 an order, 0 the monitor is gone and init too. */
static int receive_order(struct work *work)
{
	int r = fd_receive(work->fd, &work->order, sizeof(work->order));

	work->order.result[sizeof(work->order.result) - 1] = '\0';
	return r == 0;
}

static void answer(const struct work *work, int result, const struct error *err)
{
	struct steward_answer said;

	memset(&said, 0, sizeof(said));
	said.ok = result >= 0;
	if (!said.ok)
		said.error = *err;
	/* Nobody may be there to hear it. */
	(void)send(work->fd, &said, sizeof(said), MSG_NOSIGNAL);
}

/* Everything that a command started. */
static void kill_own(const struct work *work, pid_t pid)
{
	struct error err;

	if (work->plan->own->dir_fd < 0)
		(void)kill(-pid, SIGKILL);
	else if (cgroup_kill(work->plan->own, OWN_KILL_TIMEOUT_MS, &err) < 0)
		log_line(LOG_ERR, "%s", err.text);
}

/*
 * Until the command has ended. Returns 1 and its status, 0 if its time was up, or -ECANCELED if it
 * may be ended by an order and one came. Nothing of it is left.
 */
static int await_program(const struct work *work, pid_t pid, uint64_t time_sec, bool may_end,
                         int *ret_status)
{
	cleanup_fd int pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
	int64_t deadline_ms = clock_now_ms() + (int64_t)time_sec * 1000, left_ms;
	int r = 0;

	while (r == 0 && (left_ms = deadline_ms - clock_now_ms()) > 0) {
		struct pollfd p[] = { { .fd = pid_fd, .events = POLLIN },
			              { .fd = may_end ? work->fd : -1, .events = POLLIN } };

		if (poll(p, ARRAY_SIZE(p), left_ms > 60000 ? 60000 : (int)left_ms) < 0 &&
		    errno != EINTR)
			break;
		if (p[0].revents)
			r = 1;
		else if (p[1].revents)
			r = -ECANCELED;
	}
	kill_own(work, pid);
	while (waitpid(pid, ret_status, 0) < 0 && errno == EINTR)
		;
	return r;
}

static int judge_program(const struct work *work, const struct hook *hook, const char *key,
                         int ended, int status, struct error *err)
{
	const char *name = work->plan->builder->name;

	if (ended == -ECANCELED)
		return error_set(err, BLAME_HOST, ECANCELED, "`%s` of %s was ended", key, name);
	if (ended == 0)
		return error_set(err, BLAME_HOST, ETIMEDOUT,
		                 "`%s` of %s took longer than its %llu s", key, name,
		                 (unsigned long long)hook->time_sec);
	if (WIFSIGNALED(status))
		return error_set(err, BLAME_HOST, ECHILD, "`%s` of %s was killed by signal %d", key,
		                 name, WTERMSIG(status));
	if (WEXITSTATUS(status) != 0)
		return error_set(err, BLAME_HOST, ECHILD, "`%s` of %s failed with exit status %d",
		                 key, name, WEXITSTATUS(status));
	return 0;
}

static int run_hook(const struct work *work, const struct hook *hook, const char *key,
                    char *const *env, bool may_end, int *ret_status, struct error *err)
{
	int ended;
	pid_t pid = fork();

	if (pid < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot fork for `%s`", key);
	if (pid == 0)
		run_program(work->plan, hook, env);
	ended = await_program(work, pid, hook->time_sec, may_end, ret_status);
	return judge_program(work, hook, key, ended, *ret_status, err);
}

/* Has the service been stopped, or is it within the time? */
static bool was_stopped(struct work *work, int timeout_ms)
{
	const struct timespec timeout = { timeout_ms / 1000, timeout_ms % 1000 * 1000000L };
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	if (!work->stopped)
		work->stopped = sigtimedwait(&set, NULL, &timeout) == SIGTERM;
	return work->stopped;
}

/* What "after" gets beside the rest. */
static void add_result(const struct work *work, char *env[STEWARD_ENV_MAX + 3], char result[64],
                       char exit_code[32])
{
	size_t n = 0;

	for (; n < STEWARD_ENV_MAX && work->plan->env[n]; n++)
		env[n] = work->plan->env[n];
	(void)snprintf(result, 64, "HATCH_RESULT=%s", work->order.result);
	env[n++] = result;
	if (work->order.exit_code >= 0) {
		(void)snprintf(exit_code, 32, "HATCH_EXIT=%d", work->order.exit_code);
		env[n++] = exit_code;
	}
	env[n] = NULL;
}

/*
 * A stop of the service tells every process of it once, by SIGTERM, in any order. A command that
 * was ended by that, and not by its own, is run again: it must not stop half-way.
 */
static int run_after(struct work *work, struct error *err)
{
	const struct hook *hook = &work->plan->builder->after;
	char *env[STEWARD_ENV_MAX + 3], result[64], exit_code[32];
	int status = 0, r = 0;

	add_result(work, env, result, exit_code);
	for (int run = 0; run < AFTER_RUNS_MAX; run++) {
		r = run_hook(work, hook, "after", env, false, &status, err);
		if (r == 0 || !WIFSIGNALED(status) || WTERMSIG(status) != SIGTERM ||
		    !was_stopped(work, STOP_WAVE_MS))
			break;
	}
	return r;
}

/* The monitor was killed, and init with it. */
static void end_work(struct work *work)
{
	struct error err;

	if (work->plan->work->kill_fd >= 0 &&
	    cgroup_kill(work->plan->work, WORK_KILL_TIMEOUT_MS, &err) < 0)
		log_line(LOG_ERR, "%s", err.text);
	work->order = (struct steward_order){ STEWARD_AFTER, "killed", -1 };
	/* Now the service manager tells who is left to stop; only then begins what must not. */
	if (work->plan->own->dir_fd >= 0)
		(void)was_stopped(work, STOP_WAVE_MS);
}

static void steward_run(struct work *work)
{
	const struct builder *builder = work->plan->builder;
	struct error err = { 0 };
	int status = 0, r = 0;

	while (receive_order(work) == 1 && work->order.word == STEWARD_BEFORE) {
		r = builder->before.command ? run_hook(work, &builder->before, "before",
		                                       work->plan->env, true, &status, &err)
		                            : 0;
		if (r != -ECANCELED)
			answer(work, r, &err);
	}
	if (work->order.word != STEWARD_AFTER)
		end_work(work);
	r = builder->after.command ? run_after(work, &err) : 0;
	if (r < 0)
		log_line(LOG_ERR, "%s", err.text);
	answer(work, r, &err);
}

__attribute__((noreturn)) static void steward_main(const struct steward_plan *plan, int fd)
{
	struct work work = { .plan = plan, .fd = fd };
	int keep[BUILDER_UNITS_MAX + 16], status = 0;
	size_t n_keep = 0;
	struct error err = { 0 };

	keep[n_keep++] = fd;
	for (size_t i = 0; i < plan->n_held_fds; i++)
		keep[n_keep++] = plan->held_fds[i];
	keep[n_keep++] = plan->own->dir_fd;
	keep[n_keep++] = plan->own->kill_fd;
	keep[n_keep++] = plan->own->events_fd;
	keep[n_keep++] = plan->work->kill_fd;
	keep[n_keep++] = plan->work->events_fd;
	if (fds_close_except(keep, n_keep, &err) < 0) {
		answer(&work, -1, &err);
		status = 1;
	} else {
		steward_run(&work);
	}
	_exit(status);
}

/* --- in the monitor --- */

int steward_start(const struct steward_plan *plan, struct steward *ret, struct error *err)
{
	int fds[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot make a socket pair");
	pid = fork();
	if (pid == 0)
		steward_main(plan, fds[1]);
	(void)close(fds[1]);
	if (pid < 0) {
		int r = error_errno(err, BLAME_HOST, errno, "cannot fork");

		(void)close(fds[0]);
		return r;
	}
	*ret = (struct steward){ pid, fds[0] };
	return 0;
}

int steward_tell(const struct steward *steward, const struct steward_order *order,
                 struct error *err)
{
	if (send(steward->fd, order, sizeof(*order), MSG_NOSIGNAL) == sizeof(*order))
		return 0;
	return error_errno(err, BLAME_HOST, errno, "cannot speak with the steward");
}

int steward_hear(const struct steward *steward, struct error *err)
{
	struct steward_answer said;

	if (fd_receive(steward->fd, &said, sizeof(said)) < 0)
		return error_set(err, BLAME_HOST, ECHILD, "the steward died");
	if (said.ok)
		return 0;
	*err = said.error;
	return -err->code;
}

void steward_done(struct steward *steward)
{
	fd_closep(&steward->fd);
	while (steward->pid > 0 && waitpid(steward->pid, NULL, 0) < 0 && errno == EINTR)
		;
	steward->pid = 0;
}
