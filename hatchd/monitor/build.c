/* The phases "prepare" and "build": everything a request owns is made, and the builder runs. */
#include "job.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hatchd/sandbox/filter.h"
#include "hatchd/sandbox/landlock.h"
#include "hatchd/sandbox/overlay.h"
#include "lib/base/clock.h"

enum {
	TAP_LIMIT_MS = 5000,   /* for the end of one whose speaker has everything, or nothing */
	BEGIN_EXPECT_SEC = 60, /* over what limits and grace allow, for our own work */
};

/* The first of the slot's ids; 0 if the builder uses none. */
static uint32_t range_first(const struct job *job)
{
	if (job->builder.uid_map != UID_MAP_RANGE)
		return 0;
	return (uint32_t)(job->config.range_base +
	                  (uint64_t)(job->slot.user - job->config.users) * RANGE_LEN);
}

/* Said in the lock before it is made, so that a crash in between is found by the next instance. */
static int announce(struct job *job, struct error *err)
{
	char own[CGROUP_PATH_MAX];
	int r = scratch_choose_name(job->made.scratch);

	if (r == 0 && job->options->privileged) {
		r = cgroup_own_path(own, err);
		if (r < 0)
			return r;
		if (snprintf(job->made.cgroup, sizeof(job->made.cgroup), "%s/build-%s", own,
		             job->made.scratch) >= (int)sizeof(job->made.cgroup))
			r = -ENAMETOOLONG;
	}
	job->made.range_first = range_first(job);
	if (r == 0)
		r = slot_write_record(&job->slot, &job->made, err);
	else
		r = error_errno(err, BLAME_HOST, -r, "cannot name what the request will make");
	return r;
}

/* A kernel without the means is reported by hatchd --check; one that has them must not fail. */
static int confine_devices(struct job *job, struct error *err)
{
	int r = devices_confine(&job->equipment.devices, job->cgroup.dir_fd);

	if (r == 0 || !devices_can_confine())
		return 0;
	return error_errno(err, BLAME_HOST, -r, "cannot confine %s to its devices",
	                   job->cgroup.path);
}

/* Before the helpers are forked: what is in our own group may have to leave it. */
static int make_cgroup(struct job *job, struct error *err)
{
	int r = cgroup_create(strrchr(job->made.cgroup, '/') + 1, &job->cgroup, err);

	if (r == 0)
		r = confine_devices(job, err);
	if (r == 0)
		r = control_apply(&job->cgroup, &job->builder.limits, err);
	if (r == 0)
		meter_open(&job->cgroup, &job->meter);
	return r;
}

/* Only where the log is not passed on as it is, or its end is kept. Last: nobody else is to have
 * its ends. */
static int start_tap(struct job *job, struct error *err)
{
	const struct tap_plan plan = { .scan = job->equipment.credentials.scan,
		                       .tail_fd = job->keepsake.log_fd };

	if (!plan.scan && plan.tail_fd < 0)
		return 0;
	return tap_start(&plan, &job->account.account, &job->speaker, &job->tap, err);
}

static int make_scratch(struct job *job, struct error *err)
{
	struct scratch_plan *plan = &job->scratch_plan;

	plan->way = scratch_way_choose(&job->builder, job->pool.scratch_fd);
	plan->bytes = job->builder.limits.scratch_bytes;
	plan->project = SCRATCH_PROJECT_FIRST + (uint32_t)(job->slot.user - job->pool.users);
	plan->tops = overlay_needs_disk(&job->builder);
	plan->inputs = job->builder.inputs;
	if (plan->way != SCRATCH_UNLIMITED)
		job->receipt.scratch_limit = scratch_way_name(plan->way);
	return scratch_create(job->pool.scratch_fd, job->made.scratch, &job->account.account, plan,
	                      &job->scratch, err);
}

/* Those that read or remove what the builder leaves, and one that watches if nothing else holds its
 * scratch. What is in memory nobody needs to remove. */
static int start_helpers(struct job *job, struct error *err)
{
	const struct build_account *account = &job->account;
	enum scratch_way way = job->scratch_plan.way;
	int r = packer_start(&job->request, &job->scratch, &account->packer, job->speaker.tree_fd,
	                     job->equipment.credentials.scan, &job->packer, err);

	fd_closep(&job->speaker.tree_fd);
	if (r == 0 && job->inputs.n > job->inputs.n_bound)
		r = unpacker_start(&job->request, &job->inputs, &job->scratch, &account->account,
		                   job->speaker.input_fd, &job->unpacker, err);
	fd_closep(&job->speaker.input_fd);
	if (r == 0 && way == SCRATCH_WATCHER)
		r = gauge_start(&job->scratch, &account->packer, job->scratch_plan.bytes,
		                &job->gauge, err);
	if (r == 0 && way != SCRATCH_TMPFS)
		r = cleaner_start(&job->scratch, &account->cleaner, &job->cleaner, err);
	if (r == 0)
		r = job_begin_keepsake(job, err);
	return r < 0 ? r : start_tap(job, err);
}

int phase_prepare(struct job *job, struct error *err)
{
	struct build_account *account = &job->account;
	int r = announce(job, err);

	if (r == 0)
		r = build_account_enter(account, &job->builder, job->made.range_first, err);
	if (r == 0)
		r = make_scratch(job, err);
	if (r == 0)
		r = job_make_hooks_cgroup(job, err);
	if (r == 0 && job->options->privileged)
		r = make_cgroup(job, err);
	if (r == 0)
		r = start_helpers(job, err);
	if (r == 0 && job->gauge.pid > 0)
		(void)helper_go(&job->gauge); /* one that is dead is noticed at once */
	return r;
}

static void on_started(void *context)
{
	struct job *job = context;
	struct order order = job_make_order(job, ORDER_STARTED);

	order.time_limit_sec = job->request.time_limit_sec;
	order.silence_sec = job->builder.limits.silence_sec;
	order.log_bytes = job->builder.limits.log_bytes;
	job_send_order(job, &order);
	receipt_expect(order.time_limit_sec + job->builder.limits.grace_sec + BEGIN_EXPECT_SEC);
	receipt_status("%s for uid %u runs as %s", job->receipt.builder, job->peer.uid,
	               job->receipt.user);
}

static bool ran_out_of_memory(void *context)
{
	const struct job *job = context;

	return meter_read(&job->meter).oom_kills > 0;
}

int job_confine(const struct job *job, const int *writable, size_t n_writable, struct error *err)
{
	int r;

	if (!job->options->privileged)
		return 0;
	r = privilege_drop_all(err);
	if (r == 0)
		r = landlock_write_beneath(writable, n_writable, err);
	return r < 0 ? r : filter_monitor(err);
}

/* From here on nothing needs a right: not to kill, not to return, not to clean up. And nothing is
 * written but where this request left something. */
static int drop_privileges(struct job *job, struct error *err)
{
	const int writable[] = { job->pool.pool_fd, job->pool.scratch_fd, job->cgroup.parent_fd,
		                 job->keepsake.failed_fd };

	return job_confine(job, writable, ARRAY_SIZE(writable), err);
}

/*
 * Have the rest of the log relayed, now that nobody inside writes to it any more. What the speaker
 * says of it counts: a builder that ended well with more log than it may write has not ended well.
 */
static void drain_log(struct job *job)
{
	struct order order = job_make_order(job, ORDER_DRAIN);
	bool well = job->watch.ending == ENDING_EXITED;
	int64_t deadline_ms = clock_now_ms() + (well ? TAKE_LIMIT_SEC * 1000 : DRAIN_LIMIT_MS);
	struct note note = { 0 };

	if (job->tap.pid > 0)
		tap_drain(&job->tap);
	if (job->watch.started_ms == 0 || job->watch.ending == ENDING_CANCELLED)
		return;
	order.tapped = job->tap.pid > 0;
	job_send_order(job, &order);
	while (!job->gone && note.type != NOTE_DRAINED) {
		int r = job_hear(job, -1, deadline_ms);

		if (r == -ECANCELED && well) {
			/* Stopped now: its client is told so, if it listens. */
			well = job->stopping = false;
			job->watch.ending = ENDING_STOPPED;
			deadline_ms = clock_now_ms() + DRAIN_LIMIT_MS;
		} else if (r != HEARD_SPEAKER || job_receive_note(job, &note) == 0 ||
		           note.type == NOTE_HANGUP || note.type == NOTE_BAD_REQUEST)
			job_give_up_client(job);
		else if (note.type == NOTE_LOG_FULL && job->watch.ending == ENDING_EXITED) {
			/* The rest is nobody's, and need not have an end. */
			well = false;
			job->watch.ending = ENDING_LOG;
			deadline_ms = clock_now_ms() + DRAIN_LIMIT_MS;
		}
	}
	/* Only an end that would have been good is spoilt by a client that is gone. */
	if (!job->gone || job->watch.ending != ENDING_EXITED)
		return;
	job->watch.ending = ENDING_CANCELLED;
	job->watch.note = note;
}

/* A log that did not come through whole is no log. */
static int end_tap(struct job *job, struct error *err)
{
	return job->tap.pid > 0 ? helper_finish(&job->tap, TAP_LIMIT_MS, err) : 0;
}

size_t job_list_locks(const struct job *job, int ret[SANDBOX_KEPT_MAX])
{
	size_t n = 0;

	ret[n++] = job->slot.lock_fd;
	for (size_t i = 0; i < job->slot.n_units; i++)
		ret[n++] = job->slot.unit_fds[i];
	return n;
}

/* What stays open until init has ended too: locks, and what the steward sees that by. */
static size_t list_kept(const struct job *job, int ret[SANDBOX_KEPT_MAX])
{
	size_t n = job_list_locks(job, ret);

	ret[n++] = job->steward.end_fd;
	return n;
}

/* For overlays that the builder may write to, while there is the right to make it. */
static int map_layers(struct job *job, struct user_ns *ret, struct error *err)
{
	cleanup_(id_maps_done) struct id_maps maps = { 0 };
	int r;

	if (!job->options->privileged || !overlay_needs_map(&job->builder))
		return 0;
	r = overlay_make_maps(&job->account.account, &maps);
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot map the owners of layers");
	return user_ns_make(&maps, 0, ret, err);
}

int phase_build(struct job *job, struct error *err)
{
	cleanup_user_ns struct user_ns layers = USER_NS_NONE;
	int r = map_layers(job, &layers, err), killed;
	int kept_fds[SANDBOX_KEPT_MAX];
	const struct sandbox_plan plan = {
		.request = &job->request,
		.account = &job->account.builder,
		.maps = &job->account.maps,
		.time_ns_fd = job->account.ns.time_fd,
		.user_name = job->receipt.user,
		.request_id = job->receipt.id,
		.scratch = &job->scratch,
		.inputs = &job->inputs,
		.credentials = &job->equipment.credentials,
		.layers_ns_fd = layers.user_fd,
		.devices = &job->equipment.devices,
		.root_fd = job->equipment.root_fd,
		.command_fd = job->equipment.command_fd,
		.stdout_fd = job->speaker.stdout_fd,
		.stderr_fd = job->speaker.stderr_fd,
		.status_fd = job->speaker.status_fd,
		.kept_fds = kept_fds,
		.n_kept_fds = list_kept(job, kept_fds),
		.describe_fd = job->keepsake.sandbox_fd,
		.cgroup_fd = job->cgroup.dir_fd,
		.network_fd = job->equipment.network_fd,
	};

	if (r == 0)
		r = sandbox_start(&plan, &job->sandbox, err);
	user_ns_done(&layers);
	if (r == 0)
		r = drop_privileges(job, err);
	if (r == 0)
		r = sandbox_run(&job->sandbox, err);
	equipment_done(&job->equipment); /* who needs it has it */
	fd_closep(&job->speaker.stdout_fd);
	fd_closep(&job->speaker.stderr_fd);
	fd_closep(&job->speaker.status_fd);
	fd_closep(&job->speaker.pulse_fd);
	if (r < 0)
		return r;

	job->watch = (struct watch){
		.request = &job->request,
		.sandbox = &job->sandbox,
		.control_fd = job->speaker.control_fd,
		.signal_fd = job->signal_fd,
		.started = on_started,
		.ran_out_of_memory = ran_out_of_memory,
		.gauge_fd = job->gauge.result_fd,
		.context = job,
	};
	r = watch_run(&job->watch, err);
	job->stop_signal = job->watch.stop_signal;
	killed = job_kill_sandbox(job, r < 0 ? NULL : err);
	job->receipt.usage = meter_read(&job->meter);
	if (r == 0 && killed == 0)
		drain_log(job);
	if (job->watch.started_ms)
		job->receipt.run_ms = (uint64_t)(job->watch.ended_ms - job->watch.started_ms);
	if (r == 0 && killed == 0)
		r = end_tap(job, err);
	return r < 0 ? r : killed;
}
