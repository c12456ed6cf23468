/*
 * Clearing what killed instances left, by a process of its own: a large leftover delays nobody who
 * finds another slot, and nobody becomes deaf meanwhile. It dies with the monitor; what it has not
 * cleared then stays recorded for the next.
 */
#include "job.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hatchd/clock.h"
#include "lib/base/cleanup.h"
#include "lib/base/log.h"

enum {
	SWEEP_AGAIN_MS = 1000, /* after one that failed */
	SWEEP_EXPECT_SEC = 60, /* asked for anew, half-way, at the end of a request */
};

__attribute__((noreturn)) static void sweeper_main(struct job *job, pid_t parent)
{
	int keep[] = { job->pool.pool_fd, job->pool.scratch_fd };
	struct error err = { 0 };
	sigset_t none;
	int r;

	/* Above all neither the ticket nor the line to the speaker. */
	r = fds_close_except(keep, ARRAY_SIZE(keep), &err);
	if (r == 0)
		r = privilege_die_with_parent(parent, &err);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (r == 0)
		r = pool_sweep(&job->pool, job_clear_leftover, job, &err);
	/* A slot that cannot be cleared stays out of use; the operator is told. */
	if (r < 0 && !job->sweep_failed)
		log_line(LOG_ERR, "cannot clear a leftover: %s", err.text);
	_exit(r < 0);
}

/* Has it ended? */
static bool reap(struct job *job, int options)
{
	int status;
	pid_t pid;

	do
		pid = waitpid(job->sweeper, &status, options);
	while (pid < 0 && errno == EINTR);
	if (pid == 0)
		return false;
	job->sweep_failed = pid < 0 || status != 0;
	job->swept_ms = clock_now_ms();
	job->sweeper = 0;
	fd_closep(&job->sweeper_fd);
	return true;
}

void job_sweep(struct job *job)
{
	struct error err = { 0 };
	pid_t parent = getpid();
	int r;

	if (job->sweeper > 0 && !reap(job, WNOHANG))
		return;
	if (job->sweep_failed && clock_now_ms() < job->swept_ms + SWEEP_AGAIN_MS)
		return;
	r = pool_has_left(&job->pool, &err);
	if (r == 0)
		return;
	job->sweeper = fork();
	if (job->sweeper == 0)
		sweeper_main(job, parent);
	if (job->sweeper < 0) {
		log_line(LOG_ERR, "cannot fork to clear a leftover");
		job->sweeper = 0;
		return;
	}
	job->sweeper_fd = (int)syscall(SYS_pidfd_open, job->sweeper, 0);
}

void job_await_sweep(struct job *job)
{
	while (job->sweeper > 0) {
		receipt_expect(SWEEP_EXPECT_SEC);
		if (job->sweeper_fd >= 0 && job_wait_for(job, job->sweeper_fd, POLLIN,
		                                         SWEEP_EXPECT_SEC * 1000 / 2) == -ECANCELED)
			return;
		(void)reap(job, job->sweeper_fd >= 0 ? WNOHANG : 0);
	}
}
