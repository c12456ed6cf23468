/*
 * One request from beginning to end, as a list of phases. What each phase makes, job_clean()
 * unmakes, and it runs however the request ends.
 */
#include "monitor.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sysexits.h>

#include "hatchd/slot/share.h"
#include "job.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

struct phase {
	const char *name; /* in the journal: the phase that was reached */
	int (*run)(struct job *job, struct error *err);
};

/* Beside each phase, what holds once it has ended. */
static const struct phase request_phases[] = {
	{ "policy", phase_policy }, /* job->request passed every check */
	{ "slot",
	  phase_slot }, /* a build user is ours, and nothing of an earlier request is left */
	{ "equip", phase_equip }, /* what the definition names of the host is open */
	{ "prepare",
	  phase_prepare }, /* scratch, cgroup and helpers are there, and its size is watched */
	{ "inputs", phase_inputs }, /* what the client sends is there, whole */
	{ "before", phase_before }, /* the administrator's command ended well */
	{ "build", phase_build }, /* nothing of the builder runs any more, and we have no rights */
	{ "outputs", phase_outputs }, /* the client has the whole result, or will not */
};

static const struct phase list_phases[] = { { "list", phase_list } };

static const struct phase ping_phases[] = { { "ping", phase_ping } };

static int run_phases(struct job *job, const struct phase *phases, size_t n_phases,
                      struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n_phases; i++) {
		job->receipt.phase = phases[i].name;
		r = phases[i].run(job, err);
	}
	return r;
}

static int serve_record(struct job *job, struct error *err)
{
	switch (job->record.kind) {
	case RECORD_REQUEST:
		return run_phases(job, request_phases, ARRAY_SIZE(request_phases), err);
	case RECORD_LIST:
		return run_phases(job, list_phases, ARRAY_SIZE(list_phases), err);
	default:
		return run_phases(job, ping_phases, ARRAY_SIZE(ping_phases), err);
	}
}

static void job_done(struct job *job)
{
	pool_done(&job->pool);
	cgroup_done(&job->cgroup);
	cgroup_done(&job->hooks_cgroup);
	meter_done(&job->meter);
	scratch_done(&job->scratch);
	build_account_done(&job->account);
	speaker_done(&job->speaker);
	equipment_done(&job->equipment);
	inputs_done(&job->inputs);
	request_done(&job->request);
	builder_done(&job->builder);
	record_done(&job->record);
	peer_done(&job->peer);
	self_users_done(&job->self);
	config_done(&job->config);
	fd_closep(&job->signal_fd);
	fd_closep(&job->share_fd);
}

struct account job_speaker_account(const struct job *job)
{
	return (struct account){ .uid = job->config.speaker_uid,
		                 .gid = job->config.speaker_gid,
		                 .change = job->options->privileged };
}

/* Without root everybody is one user. Without a place for its state hatchd runs nothing, and is
 * able to tell why when it is asked to: nobody is turned away for that. */
static int take_share(struct job *job, struct error *err)
{
	uint64_t max = job->config.connections_per_user;
	cleanup_fd int state_fd = -1;
	struct error unusable = { 0 };
	int r;

	if (!job->options->privileged || config_open_state(&job->config, &state_fd, &unusable) < 0)
		return 0;
	r = share_take(state_fd, job->peer.uid, (unsigned)max, &job->share_fd, err);
	if (r != 0)
		return r < 0 ? r : 0;
	job->code_name = "busy";
	(void)error_set(err, BLAME_PEER, EBUSY, "uid %u has %llu connections", job->peer.uid,
	                (unsigned long long)max);
	return error_hint(err, "connections_per_user in %s allows no more", job->config.file);
}

/* Who asks, and a speaker to talk to them: after this a failure has somebody to be told to. */
static int meet_client(struct job *job, int *conn_fd, struct error *err)
{
	struct account account = job_speaker_account(job);
	int r = peer_identify(*conn_fd, job->config.store_dir, &job->peer, err);

	job->receipt.peer = &job->peer;
	if (r == 0)
		r = take_share(job, err);
	if (r == 0)
		r = speaker_start(conn_fd, &account, &job->speaker, err);
	return r;
}

static int serve_client(struct job *job, struct error *err)
{
	struct error clean_err = { 0 };
	int r;

	job->receipt.phase = "request";
	r = job_receive_record(job, err);
	if (r == 0)
		r = serve_record(job, err);
	if (r < 0)
		job_tell_failure(job, err);
	if (job_clean(job, &clean_err) < 0)
		log_line(LOG_ERR, "left for the next instance to clear: %s", clean_err.text);
	job_await_speaker(job);
	return r;
}

/* Nobody speaks for us yet. One that is too many ends without a word, as where systemd counts: its
 * client tries again. */
static void turn_away(struct job *job, int conn_fd, const struct error *err)
{
	if (!job->code_name)
		speaker_refuse(conn_fd);
	job->receipt.verdict = job->code_name ? job->code_name : "server-failed";
	job->receipt.level = job->code_name ? LOG_NOTICE : LOG_ERR;
	job->receipt.error = *err;
}

static int open_signals(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, STOP_CANCEL);
	if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
		return -errno;
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/* The option beats the file. */
static int set_state_dir(struct job *job, struct error *err)
{
	char *copy;

	if (!job->options->state_dir)
		return 0;
	copy = strdup(job->options->state_dir);
	if (!copy)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory");
	free(job->config.state_dir);
	job->config.state_dir = copy;
	return 0;
}

/* Before anything is known of it: what is refused has a name too. */
static int name_request(struct job *job, struct error *err)
{
	int r = scratch_choose_name(job->receipt.id);

	return r < 0 ? error_errno(err, BLAME_HOST, -r, "cannot choose a random name") : 0;
}

static int job_start(struct job *job, struct error *err)
{
	int r = config_load(job->options->config_dir, job->options->privileged, &job->config, err);

	if (r == 0)
		r = name_request(job, err);
	if (r == 0)
		r = set_state_dir(job, err);
	if (r == 0 && !job->options->privileged)
		r = self_users_make(&job->self, err);
	if (r < 0)
		return r;
	job->signal_fd = open_signals();
	return job->signal_fd < 0
	               ? error_errno(err, BLAME_HOST, -job->signal_fd, "cannot receive signals")
	               : 0;
}

int monitor_serve(const struct monitor_options *options, int conn_take_fd, const char *socket_class)
{
	cleanup_fd int conn_fd = conn_take_fd;
	cleanup_(job_done) struct job job = {
		.options = options,
		.socket_class = socket_class,
		.signal_fd = -1,
		.share_fd = -1,
		.exit_status = EX_OSERR,
		.equipment = EQUIPMENT_NONE,
		.peer = { .pid_fd = -1 },
		.speaker = SPEAKER_NONE,
		.pool = { .pool_fd = -1,
		          .scratch_fd = -1,
		          .queue_fd = -1,
		          .resource_fd = -1,
		          .change_fd = -1,
		          .ticket_fd = -1 },
		.slot = { .lock_fd = -1 },
		.account = BUILD_ACCOUNT_NONE,
		.scratch = SCRATCH_NONE,
		.cgroup = CGROUP_NONE,
		.meter = NO_METER,
		.packer = HELPER_NONE,
		.cleaner = HELPER_NONE,
		.collector = HELPER_NONE,
		.unpacker = HELPER_NONE,
		.keepsake = KEEPSAKE_NONE,
		.gauge = HELPER_NONE,
		.tap = HELPER_NONE,
		.steward = STEWARD_NONE,
		.sweeper_fd = -1,
		.hooks_cgroup = CGROUP_NONE,
		.sandbox = { .pid_fd = -1, .report_fd = -1 },
		.receipt = { .phase = "start",
		             .verdict = "done",
		             .level = LOG_INFO,
		             .begun_ms = clock_now_ms() },
	};
	struct error err = { 0 };
	int r = job_start(&job, &err);

	if (r < 0) {
		speaker_refuse(conn_fd);
		log_line(LOG_ERR, "%s%s%s", err.text, err.hint[0] ? "; " : "", err.hint);
		return EX_CONFIG;
	}
	r = meet_client(&job, &conn_fd, &err);
	if (r == 0)
		r = serve_client(&job, &err);
	else
		turn_away(&job, conn_fd, &err);
	job.receipt.total_ms = (uint64_t)(clock_now_ms() - job.receipt.begun_ms);
	receipt_log(&job.receipt);
	job_await_sweep(&job);
	return r < 0 && err.blame == BLAME_HOST && !job.code_name ? job.exit_status : 0;
}
