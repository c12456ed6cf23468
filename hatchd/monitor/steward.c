/*
 * What the steward does, and how the monitor speaks with it. The processes of its commands
 * (command.c) are forked before they are needed, and have a cgroup of their own, by which
 * everything that they started is killed when they have ended.
 */
#include "steward.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "command.h"
#include "hatchd/sandbox/filter.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"
#include "lib/base/process.h"

enum {
	WORK_KILL_TIMEOUT_MS = 10000,
	OWN_KILL_TIMEOUT_MS = 5000,
	STOP_WAVE_MS = 1000, /* until the service manager has told everybody of the stop */
	AFTER_RUNS_MAX = 3,  /* it tells those too that begin while it looks for whom to tell */
};

struct work {
	const struct steward_plan *plan;
	int fd;       /* to the monitor */
	int end_fd;   /* the writing end of steward->end_fd; -1: none */
	int procs_fd; /* of the commands' cgroup; -1: none */
	struct command before, after[AFTER_RUNS_MAX];
	struct steward_order order;
	bool stopped; /* the service manager has told us of a stop */
};

/* --- in the steward, while there are rights --- */

/* One that was used is no command any more: there is one for each time that "after" may run. */
static int start_commands(struct work *work, int ready_fd, struct error *err)
{
	const struct builder *builder = work->plan->builder;
	int r = 0;

	if (builder->before.command)
		r = command_start(work->plan, &builder->before, ready_fd, &work->before, err);
	for (size_t i = 0; r == 0 && builder->after.command && i < AFTER_RUNS_MAX; i++)
		r = command_start(work->plan, &builder->after, ready_fd, &work->after[i], err);
	return r;
}

/* The commands have closed their ends once they have become who they are to be. */
static int make_commands(struct work *work, struct error *err)
{
	cleanup_fd int ours = -1;
	int ready[2], r;
	char byte;

	if (pipe2(ready, O_CLOEXEC) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot make a pipe");
	ours = ready[0];
	r = start_commands(work, ready[1], err);
	(void)close(ready[1]);
	if (r == 0)
		(void)fd_read_some(ours, &byte, 1);
	return r;
}

/* What it does from here on needs no right, and little more than to read, to write and to wait. */
static int confine(const struct work *work, struct error *err)
{
	int r;

	if (!work->plan->account->change)
		return 0;
	r = privilege_drop_all(err);
	return r < 0 ? r : filter_steward(err);
}

static int prepare(struct work *work, struct error *err)
{
	const struct steward_plan *plan = work->plan;
	int keep[BUILDER_UNITS_MAX + 16], r;
	size_t n_keep = 0;

	keep[n_keep++] = work->fd;
	keep[n_keep++] = work->end_fd;
	for (size_t i = 0; i < plan->n_held_fds; i++)
		keep[n_keep++] = plan->held_fds[i];
	keep[n_keep++] = plan->own->dir_fd;
	keep[n_keep++] = plan->own->kill_fd;
	keep[n_keep++] = plan->own->events_fd;
	keep[n_keep++] = plan->work->kill_fd;
	keep[n_keep++] = plan->work->events_fd;
	r = fds_close_except(keep, n_keep, err);
	if (r == 0 && plan->own->dir_fd >= 0) {
		work->procs_fd = openat(plan->own->dir_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);
		if (work->procs_fd < 0)
			r = error_errno(err, BLAME_HOST, errno, "cannot open cgroup.procs");
	}
	if (r == 0)
		r = make_commands(work, err);
	return r < 0 ? r : confine(work, err);
}

/* --- in the steward --- */

/* 1 an order, 0 the monitor is gone. */
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
static int await_program(const struct work *work, struct command *command, uint64_t time_sec,
                         bool may_end, int *ret_status)
{
	int64_t deadline_ms = clock_now_ms() + (int64_t)time_sec * 1000, left_ms;
	int r = 0;

	while (r == 0 && (left_ms = deadline_ms - clock_now_ms()) > 0) {
		struct pollfd p[] = { { .fd = command->pid_fd, .events = POLLIN },
			              { .fd = may_end ? work->fd : -1, .events = POLLIN } };

		if (poll(p, ARRAY_SIZE(p), left_ms > 60000 ? 60000 : (int)left_ms) < 0 &&
		    errno != EINTR)
			break;
		if (p[0].revents)
			r = 1;
		else if (p[1].revents)
			r = -ECANCELED;
	}
	kill_own(work, command->pid);
	*ret_status = command_end(command);
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
                    struct command *command, bool may_end, int *ret_status, struct error *err)
{
	int r = command_begin(command, work->procs_fd, &work->order, err);

	if (r < 0)
		return r;
	r = await_program(work, command, hook->time_sec, may_end, ret_status);
	return judge_program(work, hook, key, r, *ret_status, err);
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

/*
 * A stop of the service tells every process of it once, by SIGTERM, in any order. A command that
 * was ended by that, and not by its own, is run again: it must not stop half-way.
 */
static int run_after(struct work *work, struct error *err)
{
	const struct hook *hook = &work->plan->builder->after;
	int status = 0, r = 0;

	for (size_t run = 0; run < AFTER_RUNS_MAX; run++) {
		r = run_hook(work, hook, "after", &work->after[run], false, &status, err);
		if (r == 0 || !WIFSIGNALED(status) || WTERMSIG(status) != SIGTERM ||
		    !was_stopped(work, STOP_WAVE_MS))
			break;
	}
	return r;
}

/* Without a cgroup the builder ends with init, and that with the monitor. Nothing can come through
 * this pipe: it has an error once nobody has its other end. */
static void await_init(const struct work *work)
{
	struct pollfd p = { .fd = work->end_fd };

	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		;
}

/* The monitor was killed. */
static void end_work(struct work *work)
{
	struct error err;

	if (work->end_fd >= 0)
		await_init(work);
	else if (cgroup_kill(work->plan->work, WORK_KILL_TIMEOUT_MS, &err) < 0)
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
		                                       &work->before, true, &status, &err)
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

__attribute__((noreturn)) static void steward_main(const struct steward_plan *plan, int fd,
                                                   int end_fd)
{
	struct work work = { .plan = plan, .fd = fd, .end_fd = end_fd, .procs_fd = -1 };
	struct error err = { 0 };
	int r = prepare(&work, &err);

	answer(&work, r, &err);
	if (r == 0)
		steward_run(&work);
	/* Before the locks are free: the build user's are to be gone by then. */
	(void)command_end(&work.before);
	for (size_t i = 0; i < AFTER_RUNS_MAX; i++)
		(void)command_end(&work.after[i]);
	_exit(r < 0);
}

/* --- in the monitor --- */

/* Where nothing else tells of init's end. */
static int make_end_pipe(const struct steward_plan *plan, int ret[2], struct error *err)
{
	ret[0] = ret[1] = -1;
	if (plan->work->kill_fd >= 0 || pipe2(ret, O_CLOEXEC) == 0)
		return 0;
	return error_errno(err, BLAME_HOST, errno, "cannot make a pipe");
}

int steward_start(const struct steward_plan *plan, struct steward *ret, struct error *err)
{
	int pair[2], end[2], r = make_end_pipe(plan, end, err);
	cleanup_fd int end_ours = end[0], end_its = end[1], ours = -1, its = -1;
	pid_t pid;

	if (r < 0)
		return r;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot make a socket pair");
	ours = pair[0];
	its = pair[1];
	pid = fork();
	if (pid < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot fork");
	if (pid == 0)
		steward_main(plan, its, end_its);
	fd_closep(&its);
	*ret = (struct steward){ pid, take_fd(&ours), take_fd(&end_ours) };
	r = steward_hear(ret, err);
	if (r < 0)
		steward_done(ret);
	return r;
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
	fd_closep(&steward->end_fd);
	if (steward->pid > 0)
		(void)process_wait(steward->pid);
	steward->pid = 0;
}
