/*
 * Clearing what killed instances left, by a process of its own: a large leftover delays nobody who
 * finds another slot, and nobody becomes deaf meanwhile. It dies with the monitor; what it has not
 * cleared then stays recorded for the next.
 *
 * The builder of the request may run before it is done. So it first takes hold of all that is left,
 * which takes rights: slots, cgroups, whose processes it kills, and for each scratch a cleaner that
 * is the build user; the two never live at once. Then it gives its rights up, and only then does
 * what takes long.
 */
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hatchd/slot/stray.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"

enum {
	SWEEP_AGAIN_MS = 1000, /* after one that failed */
	SWEEP_EXPECT_SEC = 60, /* asked for anew, half-way, at the end of a request */
	DEATH_LIMIT_MS = 500,  /* of all leftovers together: the monitor waits; each request tries
	                          again */
};

/* What one killed instance left, taken hold of. */
struct leftover {
	const struct build_user *user;
	struct slot slot;
	struct slot_record record;
	struct cgroup cgroup, hooks_cgroup;
	struct helper cleaner; /* waits for its turn */
};

#define LEFTOVER_NONE                                                                          \
	{                                                                                      \
		.slot = { .lock_fd = -1 }, .cgroup = CGROUP_NONE, .hooks_cgroup = CGROUP_NONE, \
		.cleaner = HELPER_NONE,                                                        \
	}

/* Whatever is not cleared by now stays recorded. */
static void leftover_done(struct leftover *left)
{
	(void)helper_done(&left->cleaner);
	cgroup_done(&left->cgroup);
	cgroup_done(&left->hooks_cgroup);
	slot_abandon(&left->slot);
}

/* --- while there are rights: everything that takes them, and nothing that takes long --- */

/* The builder's, and that of the commands around it, which stands beside it. */
static int open_cgroups(struct leftover *left, struct error *err)
{
	char path[CGROUP_PATH_MAX + HOOKS_CGROUP_NAME_MAX], name[HOOKS_CGROUP_NAME_MAX];
	const char *cgroup = left->record.cgroup;
	int r;

	if (!cgroup[0])
		return 0;
	r = cgroup_open(cgroup, &left->cgroup, err);
	job_hooks_cgroup_name(left->record.scratch, name);
	(void)snprintf(path, sizeof(path), "%.*s/%s", (int)(strrchr(cgroup, '/') - cgroup), cgroup,
	               name);
	if (r >= 0)
		r = cgroup_open(path, &left->hooks_cgroup, err);
	return r < 0 ? r : 0;
}

static int start_cleaner(const struct job *job, struct leftover *left, struct error *err)
{
	cleanup_build_account struct build_account account = {
		.account = { .uid = left->user->uid,
		             .gid = left->user->gid,
		             .change = job->options->privileged },
		.ns = USER_NS_NONE,
	};
	cleanup_scratch struct scratch scratch = SCRATCH_NONE;
	const struct account *cleaner = &account.account;
	int r = 0;

	if (!left->record.scratch[0] ||
	    !scratch_open_left(job->pool.scratch_fd, left->record.scratch, &scratch))
		return 0;
	if (left->record.range_first) {
		r = build_account_enter_left(&account, left->record.range_first, err);
		cleaner = &account.cleaner;
	}
	return r < 0 ? r : cleaner_start(&scratch, cleaner, &left->cleaner, err);
}

static int kill_group(const struct cgroup *cgroup, int64_t deadline_ms, struct error *err)
{
	int64_t left_ms = deadline_ms - clock_now_ms();

	return cgroup->dir_fd < 0 ? 0 : cgroup_kill(cgroup, left_ms > 0 ? (int)left_ms : 0, err);
}

/* Also the second group if the first does not die in time. */
static int kill_processes(const struct leftover *left, int64_t deadline_ms, struct error *err)
{
	int r = kill_group(&left->cgroup, deadline_ms, err);
	int hooks = kill_group(&left->hooks_cgroup, deadline_ms, r == 0 ? err : NULL);

	return r < 0 ? r : hooks;
}

/* Its processes begin to die. 1, 0 there is nothing of this user's, or a negative errno. */
static int take_leftover(const struct job *job, const struct build_user *user, struct leftover *ret,
                         struct error *err)
{
	struct leftover left = LEFTOVER_NONE;
	int r = pool_take_left(&job->pool, user, &left.slot, &left.record, err);

	if (r <= 0)
		return r;
	left.user = user;
	r = open_cgroups(&left, err);
	if (r == 0)
		r = kill_processes(&left, 0, err);
	if (r < 0 && r != -ETIMEDOUT) {
		leftover_done(&left);
		return r;
	}
	*ret = left;
	return 1;
}

/* Its helpers are in no group of its own: they die with their monitor, each when it is its turn. */
static int await_helpers(const struct job *job, int64_t deadline_ms, const struct leftover *left,
                         struct error *err)
{
	pid_t pid = 0;

	while (job->pool.refuse_strays && stray_find(left->user->uid, &pid) > 0)
		if (clock_now_ms() >= deadline_ms)
			return error_set(err, BLAME_HOST, EBUSY,
			                 "process %d still runs under %s, whose request was killed",
			                 pid, left->user->name);
	return 0;
}

/* Only when they are dead anything else may be the build user. */
static int man_leftover(const struct job *job, int64_t deadline_ms, struct leftover *left,
                        struct error *err)
{
	int r = kill_processes(left, deadline_ms, err);

	if (r == 0)
		r = await_helpers(job, deadline_ms, left, err);
	return r < 0 ? r : start_cleaner(job, left, err);
}

/* The first error counts; the others are tried all the same. All are killed before one is waited
 * for. */
static int take_leftovers(const struct job *job, struct leftover *ret, size_t *ret_n,
                          struct error *err)
{
	int64_t deadline_ms = clock_now_ms() + DEATH_LIMIT_MS;
	struct error later;
	size_t n = 0;
	int first = 0, r;

	for (size_t i = 0; i < job->pool.n_users; i++) {
		r = take_leftover(job, &job->pool.users[i], &ret[n], first == 0 ? err : &later);
		n += r > 0;
		if (first == 0 && r < 0)
			first = r;
	}
	for (size_t i = 0; i < n; i++) {
		r = man_leftover(job, deadline_ms, &ret[i], first == 0 ? err : &later);
		if (r == 0)
			ret[(*ret_n)++] = ret[i];
		else
			leftover_done(&ret[i]);
		if (first == 0 && r < 0)
			first = r;
	}
	return first;
}

/* What is written from here on is removed: scratch, and cgroups where they stand. */
static int confine(const struct job *job, const struct leftover *lefts, size_t n_lefts,
                   struct error *err)
{
	cleanup_free int *writable = calloc(1 + 2 * n_lefts, sizeof(*writable));
	size_t n = 0;

	if (!writable)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory to clear leftovers");
	writable[n++] = job->pool.scratch_fd;
	for (size_t i = 0; i < n_lefts; i++) {
		writable[n++] = lefts[i].cgroup.parent_fd;
		writable[n++] = lefts[i].hooks_cgroup.parent_fd;
	}
	return job_confine(job, writable, n, err);
}

/* --- afterwards --- */

static int remove_cgroup(struct cgroup *cgroup, struct error *err)
{
	return cgroup->dir_fd < 0 ? 0 : cgroup_remove(cgroup, err);
}

/* Its processes are dead. Its files, and only then what is recorded of it. */
static int clear_leftover(const struct job *job, struct leftover *left, struct error *err)
{
	int r = remove_cgroup(&left->cgroup, err);

	if (r == 0)
		r = remove_cgroup(&left->hooks_cgroup, err);
	if (r == 0 && left->cleaner.pid > 0) {
		struct error unclean;

		/* What it cannot remove scratch_remove() can, or names. */
		(void)helper_go(&left->cleaner);
		(void)helper_finish(&left->cleaner, CLEAN_LIMIT_SEC * 1000, &unclean);
	}
	if (r == 0 && left->record.scratch[0])
		r = scratch_remove(job->pool.scratch_fd, left->record.scratch, err);
	if (r == 0)
		r = slot_write_record(&left->slot, &(struct slot_record){ 0 }, err);
	if (r == 0)
		log_line(LOG_NOTICE, "cleared what a killed request of %s left", left->user->name);
	leftover_done(left);
	return r;
}

static int sweep(const struct job *job, int ready_fd, struct error *err)
{
	cleanup_free struct leftover *lefts = calloc(job->pool.n_users, sizeof(*lefts));
	struct error later;
	size_t n_lefts = 0;
	int first, r;

	if (!lefts)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory to clear leftovers");
	first = take_leftovers(job, lefts, &n_lefts, err);
	r = confine(job, lefts, n_lefts, first == 0 ? err : &later);
	(void)close(ready_fd);
	for (size_t i = 0; i < n_lefts && r == 0; i++) {
		int cleared = clear_leftover(job, &lefts[i], first == 0 ? err : &later);

		if (first == 0)
			first = cleared;
	}
	return first < 0 ? first : r;
}

__attribute__((noreturn)) static void sweeper_main(struct job *job, pid_t parent, int ready_fd)
{
	int keep[] = { job->pool.pool_fd, job->pool.scratch_fd, ready_fd };
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
		r = sweep(job, ready_fd, &err);
	/* A slot that cannot be cleared stays out of use; the operator is told. */
	if (r < 0 && !job->sweep_failed)
		log_line(LOG_ERR, "cannot clear a leftover: %s", err.text);
	_exit(r < 0);
}

/* --- in the monitor --- */

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

/* Its rights are gone when its end of the pipe is closed: before a builder can exist. */
static void start_sweeper(struct job *job)
{
	pid_t parent = getpid();
	int ready[2];
	char byte;

	if (pipe2(ready, O_CLOEXEC) < 0) {
		log_line(LOG_ERR, "cannot make a pipe to clear a leftover");
		return;
	}
	job->sweeper = fork();
	if (job->sweeper == 0)
		sweeper_main(job, parent, ready[1]);
	(void)close(ready[1]);
	if (job->sweeper > 0) {
		(void)fd_read_some(ready[0], &byte, 1);
		job->sweeper_fd = (int)syscall(SYS_pidfd_open, job->sweeper, 0);
	} else {
		log_line(LOG_ERR, "cannot fork to clear a leftover");
		job->sweeper = 0;
	}
	(void)close(ready[0]);
}

void job_sweep(struct job *job)
{
	struct error err = { 0 };
	int r;

	if (job->sweeper > 0 && !reap(job, WNOHANG))
		return;
	if (job->sweep_failed && clock_now_ms() < job->swept_ms + SWEEP_AGAIN_MS)
		return;
	r = pool_has_left(&job->pool, &err);
	if (r != 0)
		start_sweeper(job);
}

void job_await_sweep(struct job *job)
{
	while (job->sweeper > 0) {
		receipt_expect(SWEEP_EXPECT_SEC);
		if (job->sweeper_fd >= 0 &&
		    job_hear(job, job->sweeper_fd, clock_now_ms() + SWEEP_EXPECT_SEC * 1000 / 2) ==
		            -ECANCELED)
			return;
		(void)reap(job, job->sweeper_fd >= 0 ? WNOHANG : 0);
	}
}
