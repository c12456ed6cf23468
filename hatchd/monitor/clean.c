/* Unmaking, after a request. What an instance left that died is swept (sweep.c). */
#include "job.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/process.h"

enum { KILL_TIMEOUT_MS = 10000 };

static void reap(pid_t *pid)
{
	if (*pid > 0)
		(void)process_wait(*pid);
	*pid = 0;
}

/* Without a cgroup, and as who they are: our own children, not reaped yet. */
static int kill_children(const struct sandbox *sandbox, struct error *err)
{
	const pid_t children[] = { sandbox->pid, sandbox->pasta };

	for (size_t i = 0; i < ARRAY_SIZE(children); i++)
		if (children[i] > 0 && kill(children[i], SIGKILL) < 0)
			return error_errno(err, BLAME_HOST, errno, "cannot kill the sandbox");
	return 0;
}

int job_kill_sandbox(struct job *job, struct error *err)
{
	int r = 0;

	if (job->sandbox.pid == 0 && job->sandbox.pasta == 0)
		return 0;
	if (job->cgroup.kill_fd >= 0)
		r = cgroup_kill(&job->cgroup, KILL_TIMEOUT_MS, err);
	else
		r = kill_children(&job->sandbox, err);
	if (r < 0)
		return r;
	/* The kernel ends init only after everything else in its pid namespace is gone. */
	reap(&job->sandbox.pid);
	reap(&job->sandbox.pasta);
	return 0;
}

/* All of them, also after one that does not end. */
static int end_helpers(struct job *job)
{
	struct helper *const helpers[] = { &job->unpacker, &job->packer, &job->collector,
		                           &job->gauge, &job->tap };
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(helpers); i++)
		if (helper_done(helpers[i]) < 0)
			r = -ETIMEDOUT;
	return r;
}

/*
 * Unmake everything, in the reverse order. If something cannot be removed the lock keeps its name,
 * and the next instance tries again.
 */
int job_clean(struct job *job, struct error *err)
{
	int r = job_kill_sandbox(job, err);

	sandbox_done(&job->sandbox);
	job_run_after(job);
	if (end_helpers(job) < 0 && r == 0)
		r = error_set(err, BLAME_HOST, ETIMEDOUT,
		              "a process of the build user does not end");
	keepsake_done(&job->keepsake);
	receipt_expect(CLEAN_LIMIT_SEC + 60);
	if (r == 0 && job->cleaner.pid > 0) {
		struct error unclean = { 0 };

		/* What it cannot remove is root's, as the place of a bind below /tmp is: then
		 * scratch_remove() can, or names what stays. */
		(void)helper_go(&job->cleaner);
		(void)helper_finish(&job->cleaner, CLEAN_LIMIT_SEC * 1000, &unclean);
	}
	if (helper_done(&job->cleaner) < 0)
		r = error_set(err, BLAME_HOST, ETIMEDOUT, "the cleaner does not end");
	/* By what was announced: the making may have failed half-way. */
	if (r == 0 && job->made.scratch[0])
		r = scratch_remove(job->pool.scratch_fd, job->made.scratch, err);
	if (r == 0 && job->cgroup.dir_fd >= 0)
		r = cgroup_remove(&job->cgroup, err);
	if (r == 0 && job->hooks_cgroup.dir_fd >= 0)
		r = cgroup_remove(&job->hooks_cgroup, err);
	/* Before the next one gets the user: what the kernel keeps for a user of this namespace,
	 * such as keys, goes with it. */
	build_account_done(&job->account);
	/* A scratch in memory is gone with this. */
	scratch_done(&job->scratch);
	if (r == 0)
		slot_done(&job->slot);
	else
		slot_abandon(&job->slot);
	return r;
}
