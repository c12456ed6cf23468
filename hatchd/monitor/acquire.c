/* A build user and resources for the request, and the wait for them: the phase "slot". */
#include "job.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"

enum {
	QUEUE_POLL_MS = 250,
	QUEUE_EXPECT_SEC = 60, /* asked for anew, half-way, while a request waits */
};

/* One wait, from its beginning to its end. */
struct wait {
	int64_t begun_ms, expected_ms;
	struct standing told; /* awaits NULL: nothing yet */
};

static void tell_place(struct job *job, struct wait *wait, const struct standing *place)
{
	struct order order = job_make_order(job, ORDER_QUEUED);

	if (wait->told.awaits && wait->told.ahead == place->ahead &&
	    strcmp(wait->told.awaits, place->awaits) == 0)
		return;
	wait->told = *place;
	(void)snprintf(order.name, sizeof(order.name), "%s", place->awaits);
	order.ahead = place->ahead;
	job_send_order(job, &order);
	receipt_status("%s for uid %u waits for a %s, %llu ahead", job->receipt.builder,
	               job->peer.uid, place->awaits, (unsigned long long)place->ahead);
}

/* Time that it still may take; -1: any. */
static int64_t wait_left_ms(const struct job *job, const struct wait *wait)
{
	uint64_t limit_ms = job->builder.limits.wait_sec * 1000;
	int64_t waited_ms = clock_now_ms() - wait->begun_ms;

	if (limit_ms == 0)
		return -1;
	return waited_ms < (int64_t)limit_ms ? (int64_t)limit_ms - waited_ms : 0;
}

static int end_wait(struct job *job, const struct wait *wait, struct error *err)
{
	job->code_name = "busy";
	(void)error_set(err, BLAME_POLICY, EBUSY,
	                "no %s became free for the builder %s in %llu s, with %llu ahead",
	                wait->told.awaits, job->receipt.builder,
	                (unsigned long long)job->builder.limits.wait_sec,
	                (unsigned long long)wait->told.ahead);
	return error_hint(err, "limits.wait_sec in %s lets it wait no longer", job->builder.file);
}

/* Until something may have changed; the client may leave meanwhile. */
static int wait_for_change(struct job *job, const struct wait *wait, struct error *err)
{
	int64_t left_ms = wait_left_ms(job, wait);
	int timeout_ms = left_ms < 0 || left_ms > QUEUE_POLL_MS ? QUEUE_POLL_MS : (int)left_ms;
	struct pollfd p[] = { { .fd = job->speaker.control_fd, .events = POLLIN },
		              { .fd = job->signal_fd, .events = POLLIN },
		              { .fd = job->pool.change_fd, .events = POLLIN } };

	if (left_ms == 0)
		return end_wait(job, wait, err);
	if (poll(p, ARRAY_SIZE(p), timeout_ms) < 0 && errno != EINTR)
		return error_errno(err, BLAME_HOST, errno, "cannot wait");
	if (p[0].revents)
		return job_end_by_speaker(job, err);
	if (p[1].revents) {
		job_hear_signal(job);
		return job_stop_error(job, err);
	}
	return 0;
}

/* A slot that must not be used is told once. */
static void tell_stray(struct job *job)
{
	const struct pool *pool = &job->pool;

	if (!pool->stray_user || pool->stray_user == job->told_stray)
		return;
	job->told_stray = pool->stray_user;
	log_line(LOG_ERR,
	         "the build user %s is not used: process %d runs under it and belongs to no "
	         "request",
	         pool->stray_user->name, pool->stray_pid);
}

/* Before each try: the holder we wait for may be killed, and leave a slot that only a sweep frees.
 */
static int try_slot(struct job *job, struct standing *ret_place, struct error *err)
{
	int r;

	job_sweep(job);
	r = pool_try(&job->pool, &job->slot, ret_place, err);
	tell_stray(job);
	return r;
}

static int wait_in_line(struct job *job, struct wait *wait, struct error *err)
{
	struct standing place;
	int r;

	r = pool_join(&job->pool, job->config.queue_max, err);
	if (r == -EBUSY)
		job->code_name = "busy";
	if (r < 0)
		return r;
	while ((r = try_slot(job, &place, err)) == 0) {
		tell_place(job, wait, &place);
		if (clock_now_ms() > wait->expected_ms + QUEUE_EXPECT_SEC * 1000 / 2) {
			wait->expected_ms = clock_now_ms();
			receipt_expect(QUEUE_EXPECT_SEC);
		}
		r = wait_for_change(job, wait, err);
		if (r < 0)
			return r;
	}
	return r;
}

/* Only who lacks something stands in line: queue_max is about those who wait. */
static int take_slot(struct job *job, struct error *err)
{
	struct wait wait = { .begun_ms = clock_now_ms() };
	struct standing place;
	int r = try_slot(job, &place, err);

	if (r == 0)
		r = wait_in_line(job, &wait, err);
	job->receipt.queued_ms = (uint64_t)(clock_now_ms() - wait.begun_ms);
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
	for (size_t i = 0; i < job->builder.n_resources; i++) {
		struct units *need = &claim.needs[claim.n_needs++];

		(void)snprintf(need->name, sizeof(need->name), "%s",
		               job->builder.resources[i].name);
		need->count = job->builder.resources[i].count;
	}
	return claim;
}

static void list_resources(struct job *job)
{
	char *text = job->receipt.resources;
	size_t len = 0;

	for (size_t i = 0; i < job->made.claim.n_needs && len < sizeof(job->receipt.resources); i++)
		len += (size_t)snprintf(text + len, sizeof(job->receipt.resources) - len,
		                        "%s%s=%llu", i ? " " : "", job->made.claim.needs[i].name,
		                        (unsigned long long)job->made.claim.needs[i].count);
}

int phase_slot(struct job *job, struct error *err)
{
	int r = open_pool(job, err);

	job->pool.claim = job->made.claim = make_claim(job);
	job->pool.resources = job->config.resources;
	job->pool.n_resources = job->config.n_resources;
	job->pool.refuse_strays = job->options->privileged;
	if (r == 0)
		r = take_slot(job, err);
	if (r == 0)
		r = build_account_make(&job->config, job->slot.user, &job->builder,
		                       job->options->privileged, &job->account, err);
	if (r < 0)
		return r;
	(void)snprintf(job->receipt.user, sizeof(job->receipt.user), "%s", job->slot.user->name);
	list_resources(job);
	return 0;
}
