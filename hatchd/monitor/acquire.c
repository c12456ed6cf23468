/* A build user for the request, and the wait for one: the phase "slot". */
#include "job.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "hatchd/clock.h"
#include "lib/base/log.h"

enum {
	QUEUE_POLL_MS = 250,
	QUEUE_EXPECT_SEC = 60, /* asked for anew, half-way, while a request waits */
};

static void tell_place(struct job *job, uint64_t ahead)
{
	struct order order = job_make_order(job, ORDER_QUEUED);

	(void)snprintf(order.name, sizeof(order.name), "slot");
	order.ahead = ahead;
	job_send_order(job, &order);
	receipt_status("%s for uid %u waits for a slot, %llu ahead", job->receipt.builder,
	               job->peer.uid, (unsigned long long)ahead);
}

/* Until something may have changed; the client may leave meanwhile. */
static int wait_in_queue(struct job *job, struct error *err)
{
	struct pollfd p[] = { { .fd = job->speaker.control_fd, .events = POLLIN },
		              { .fd = job->signal_fd, .events = POLLIN },
		              { .fd = job->pool.change_fd, .events = POLLIN } };
	struct note note;

	if (poll(p, ARRAY_SIZE(p), QUEUE_POLL_MS) < 0 && errno != EINTR)
		return error_errno(err, BLAME_HOST, errno, "cannot wait");
	if (p[0].revents) {
		(void)job_receive_note(job, &note);
		if (job->gone)
			note.type = NOTE_HANGUP;
		return job_end_by_note(job, &note, err);
	}
	if (p[1].revents) {
		job->code_name = "stopping";
		return error_set(err, BLAME_POLICY, ECANCELED, "the service is stopped");
	}
	return 0;
}

/* A slot that cannot be cleared stays out of use; the others serve, and the operator is told. */
static void sweep(struct job *job)
{
	struct error err = { 0 };

	if (pool_sweep(&job->pool, job_clear_leftover, job, &err) < 0 && !job->sweep_failed) {
		job->sweep_failed = true; /* said once, tried each time */
		log_line(LOG_ERR, "cannot clear a leftover: %s", err.text);
	}
}

/* Swept before each try: the holder we wait for may be killed, and leave a slot that only a sweep
 * frees. */
static int try_slot(struct job *job, uint64_t *ret_ahead, struct error *err)
{
	sweep(job);
	return pool_try(&job->pool, &job->slot, ret_ahead, err);
}

static int wait_for_slot(struct job *job, struct error *err)
{
	int64_t expected_ms = 0;
	uint64_t ahead, told = UINT64_MAX;
	int r;

	r = pool_join(&job->pool, job->config.queue_max, err);
	if (r == -EBUSY)
		job->code_name = "busy";
	if (r < 0)
		return r;
	while ((r = try_slot(job, &ahead, err)) == 0) {
		if (ahead != told)
			tell_place(job, ahead);
		told = ahead;
		if (clock_now_ms() > expected_ms + QUEUE_EXPECT_SEC * 1000 / 2) {
			expected_ms = clock_now_ms();
			receipt_expect(QUEUE_EXPECT_SEC);
		}
		r = wait_in_queue(job, err);
		if (r < 0)
			return r;
	}
	return r;
}

/* Only who finds nothing free stands in line: queue_max is about those who wait. */
static int take_slot(struct job *job, struct error *err)
{
	int64_t begun_ms = clock_now_ms();
	uint64_t ahead;
	int r = try_slot(job, &ahead, err);

	if (r == 0)
		r = wait_for_slot(job, err);
	job->receipt.queued_ms = (uint64_t)(clock_now_ms() - begun_ms);
	return r < 0 ? r : 0;
}

static int open_pool(struct job *job, struct error *err)
{
	const struct build_user *users = job->config.users;
	size_t n_users = job->config.n_users;
	cleanup_fd int state_fd = -1;
	int r;

	if (!job->options->privileged) {
		users = job->self.users;
		n_users = job->self.n_users;
	}
	r = config_open_state(&job->config, &state_fd, err);
	if (r < 0)
		return r;
	return pool_open(job->config.state_dir, users, n_users, &job->pool, err);
}

/* What ticket and lock say of us. */
static struct claim make_claim(const struct job *job)
{
	struct claim claim = { .uid = job->peer.uid, .pid = getpid(), .since = time(NULL) };

	(void)snprintf(claim.request, sizeof(claim.request), "%s", job->receipt.id);
	(void)snprintf(claim.builder, sizeof(claim.builder), "%s", job->builder.name);
	(void)snprintf(claim.derivation, sizeof(claim.derivation), "%s", job->peer.derivation);
	return claim;
}

int phase_slot(struct job *job, struct error *err)
{
	int r = open_pool(job, err);

	job->pool.claim = job->made.claim = make_claim(job);
	if (r == 0)
		r = take_slot(job, err);
	if (r == 0)
		r = build_account_make(&job->config, job->slot.user, &job->builder,
		                       job->options->privileged, &job->account, err);
	if (r < 0)
		return r;
	(void)snprintf(job->receipt.user, sizeof(job->receipt.user), "%s", job->slot.user->name);
	return 0;
}
