/*
 * One request from beginning to end, as a list of phases. What each phase makes, job_clean()
 * unmakes, and it runs however the request ends.
 */
#include "monitor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "hatchd/clock.h"
#include "hatchd/config/config.h"
#include "hatchd/request/peer.h"
#include "hatchd/request/record.h"
#include "hatchd/request/request.h"
#include "hatchd/sandbox/filter.h"
#include "hatchd/sandbox/landlock.h"
#include "hatchd/sandbox/sandbox.h"
#include "hatchd/slot/build-user.h"
#include "hatchd/slot/cgroup.h"
#include "hatchd/slot/pool.h"
#include "hatchd/slot/scratch.h"
#include "hatchd/speaker/channel.h"
#include "hatchd/speaker/speaker.h"
#include "lib/base/cleanup.h"
#include "lib/base/log.h"
#include "packer.h"
#include "receipt.h"
#include "watch.h"

enum {
	KILL_TIMEOUT_MS = 10000,
	LEFTOVER_KILL_TIMEOUT_MS = 2000, /* each request tries again */
	CLEAN_EXPECT_SEC = 900,          /* to remove what a builder made */
	QUEUE_POLL_MS = 250,
	DRAIN_LIMIT_MS = 5000,  /* for a client to take the rest of a log that a limit ended */
	QUEUE_EXPECT_SEC = 60,  /* asked for anew, half-way, while a request waits */
	RETURN_LIMIT_SEC = 600, /* for outputs, and a second for each mebibyte they may have */
	RETURN_EXPECT_SEC = 60, /* the same, while outputs go to a slow client */
};

struct job {
	const struct monitor_options *options;
	const char *socket_class;
	int signal_fd;

	struct config config;
	struct peer peer;
	struct speaker speaker;
	struct record record;
	struct builder builder;
	struct request request;
	int command_fd;

	struct self_users self; /* unprivileged mode: the pool of one's own */
	struct pool pool;
	bool sweep_failed;
	struct slot slot;
	struct build_account account;
	struct slot_record made;
	struct scratch scratch;
	struct cgroup cgroup;
	struct helper packer, cleaner;
	struct sandbox sandbox;
	struct watch watch;

	struct receipt receipt;
	const char *code_name; /* overrides the word of the error's blame */
	bool stopping;         /* SIGTERM came */
	bool gone;             /* the client, or the speaker: nobody is left to tell */
	int exit_status;       /* of hatchd, if the host or its configuration is at fault */
};

/* What each kind of failure looks like to the client and to the operator. */
static const struct verdict {
	const char *code;
	bool tell_peer; /* may the client read the sentence? */
	int level;
} verdicts[] = {
	[BLAME_HOST] = { "server-failed", false, LOG_ERR },
	[BLAME_PEER] = { "bad-request", true, LOG_NOTICE },
	[BLAME_POLICY] = { "refused", true, LOG_NOTICE },
	[BLAME_BUILD] = { "output", true, LOG_INFO },
};

/* --- talking to the speaker --- */

/*
 * Wait for a descriptor, but not longer than until the service is stopped. Returns 1 ready, 0 after
 * timeout_ms (-1: never), -ECANCELED when SIGTERM has come, now or before.
 */
static int wait_for(struct job *job, int fd, short events, int timeout_ms)
{
	/* One that ends because of SIGTERM already tells its client so, whatever else comes. */
	bool heed = job->watch.ending != ENDING_STOPPED;
	struct pollfd p[] = { { .fd = fd, .events = events },
		              { .fd = heed ? job->signal_fd : -1, .events = POLLIN } };
	int r;

	do
		r = poll(p, ARRAY_SIZE(p), job->stopping ? 0 : timeout_ms);
	while (r < 0 && errno == EINTR);
	if (p[0].revents)
		return 1;
	job->stopping |= p[1].revents != 0;
	return job->stopping || r < 0 ? -ECANCELED : 0;
}

/* The speaker ends when its channel does, and with it the pipes that others may be waiting for. */
static void give_up_client(struct job *job)
{
	job->gone = true;
	fd_closep(&job->speaker.control_fd);
}

static void send_order(struct job *job, const struct order *order)
{
	if (job->gone || job->speaker.control_fd < 0)
		return;
	if (wait_for(job, job->speaker.control_fd, POLLOUT, -1) != 1 ||
	    send(job->speaker.control_fd, order, sizeof(*order), MSG_NOSIGNAL) < 0)
		job->gone = true; /* its last note is still to be read */
}

static void take_note(struct job *job, const struct note *note)
{
	job->receipt.stdout_bytes = note->stdout_bytes;
	job->receipt.stderr_bytes = note->stderr_bytes;
	job->receipt.output_bytes = note->output_bytes;
	job->receipt.delivery = note->delivery;
}

/* One note; 1, or 0 when the speaker is gone. */
static int receive_note(struct job *job, struct note *ret)
{
	ssize_t n;

	do
		n = recv(job->speaker.control_fd, ret, sizeof(*ret), 0);
	while (n < 0 && errno == EINTR);
	if (n != sizeof(*ret)) {
		job->gone = true;
		return 0;
	}
	ret->text[sizeof(ret->text) - 1] = '\0';
	take_note(job, ret);
	return 1;
}

/* A note that came where only the end of the client can come. */
static int end_by_note(struct job *job, const struct note *note, struct error *err)
{
	job->gone = true;
	if (note->type == NOTE_BROKEN)
		return error_set(err, BLAME_HOST, EIO, "%s", note->text);
	if (note->type == NOTE_BAD_REQUEST) {
		job->code_name = "bad-request";
		return error_set(err, BLAME_PEER, EBADMSG, "%s", note->text);
	}
	job->code_name = "cancelled";
	return error_set(err, BLAME_PEER, ECANCELED, "the client hung up");
}

static struct order make_order(const struct job *job, enum order_type type)
{
	struct order order;

	memset(&order, 0, sizeof(order)); /* padding too: it crosses to another process */
	order.type = type;
	(void)snprintf(order.id, sizeof(order.id), "%s", job->receipt.id);
	(void)snprintf(order.name, sizeof(order.name), "%s", job->receipt.builder);
	(void)snprintf(order.derivation, sizeof(order.derivation), "%s", job->peer.derivation);
	(void)snprintf(order.user, sizeof(order.user), "%s", job->receipt.user);
	order.peer_uid = job->peer.uid;
	order.peer_gid = job->peer.gid;
	return order;
}

/* --- the phases --- */

static int receive_record(struct job *job, struct error *err)
{
	struct note note;
	int r;

	if (receive_note(job, &note) == 0) {
		int status;

		/* A speaker that fell to its filter or a fault is a matter for the operator. */
		if (waitpid(job->speaker.pid, &status, 0) == job->speaker.pid) {
			job->speaker.pid = 0;
			if (WIFSIGNALED(status))
				return error_set(err, BLAME_HOST, EPIPE,
				                 "the speaker was killed by signal %d",
				                 WTERMSIG(status));
		}
		return error_set(err, BLAME_HOST, EPIPE, "the speaker ended without a word");
	}
	if (note.type != NOTE_RECORD)
		return end_by_note(job, &note, err);
	r = record_read(job->speaker.record_fd, &job->record, err);
	fd_closep(&job->speaker.record_fd);
	if (r < 0)
		return r;
	if (job->record.kind == RECORD_REQUEST)
		(void)snprintf(job->receipt.builder, sizeof(job->receipt.builder), "%s",
		               job->record.builder.data);
	(void)snprintf(job->receipt.client_id, sizeof(job->receipt.client_id), "%s",
	               job->record.request_id.data ? job->record.request_id.data : "");
	return 0;
}

/* The definition itself is checked too: a program that is missing is told before anything is made.
 */
static int check_policy(struct job *job, struct error *err)
{
	int r = builder_load(&job->config, job->record.builder.data, &job->builder, err);
	bool found = r == 1;
	struct order order;

	if (r < 0) {
		job->exit_status = EX_CONFIG;
		return r;
	}
	r = request_check(&job->config, found ? &job->builder : NULL, &job->peer, job->socket_class,
	                  &job->record, &job->request, err);
	if (r < 0)
		return r;
	r = builder_check_command(&job->builder, job->options->privileged, &job->command_fd, err);
	if (r == -ENOENT)
		job->code_name = "not-found";
	if (r == -EACCES)
		job->code_name = "cannot-run";
	if (r < 0)
		return r;
	r = scratch_choose_name(job->receipt.id);
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot choose a random name");
	order = make_order(job, ORDER_ACCEPTED);
	send_order(job, &order);
	return 0;
}

/* What an instance that died left: its processes, then its files, then its cgroup. */
static int clear_leftover(void *context, const struct build_user *user, int scratch_fd,
                          const struct slot_record *record, struct error *err)
{
	const struct job *job = context;
	cleanup_cgroup struct cgroup cgroup = {
		.dir_fd = -1, .kill_fd = -1, .events_fd = -1, .parent_fd = -1
	};
	struct account account = { .uid = user->uid,
		                   .gid = user->gid,
		                   .change = job->options->privileged };
	int r = 0;

	receipt_expect(CLEAN_EXPECT_SEC);
	if (record->cgroup[0])
		r = cgroup_open(record->cgroup, &cgroup, err);
	if (r == 1) {
		r = cgroup_kill(&cgroup, LEFTOVER_KILL_TIMEOUT_MS, err);
		if (r == 0)
			r = cgroup_remove(&cgroup, err);
	}
	if (r == 0 && record->scratch[0])
		r = scratch_clear_leftover(scratch_fd, record->scratch, &account, err);
	if (r == 0)
		log_line(LOG_NOTICE, "cleared what a killed request of %s left", user->name);
	return r;
}

static void tell_place(struct job *job, uint64_t ahead)
{
	struct order order = make_order(job, ORDER_QUEUED);

	(void)snprintf(order.name, sizeof(order.name), "slot");
	order.ahead = ahead;
	send_order(job, &order);
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
		(void)receive_note(job, &note);
		if (job->gone)
			note.type = NOTE_HANGUP;
		return end_by_note(job, &note, err);
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

	if (pool_sweep(&job->pool, clear_leftover, job, &err) < 0 && !job->sweep_failed) {
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

static int acquire(struct job *job, struct error *err)
{
	int r = open_pool(job, err);

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
	if (r == 0)
		r = slot_write_record(&job->slot, &job->made, err);
	else
		r = error_errno(err, BLAME_HOST, -r, "cannot name what the request will make");
	return r;
}

static int prepare(struct job *job, struct error *err)
{
	const struct account *account = &job->account.account;
	int r = announce(job, err);

	if (r == 0)
		r = scratch_create(job->pool.scratch_fd, job->made.scratch, account, &job->scratch,
		                   err);
	if (r == 0 && job->options->privileged)
		r = cgroup_create(strrchr(job->made.cgroup, '/') + 1, &job->cgroup, err);
	if (r == 0)
		r = packer_start(&job->request, &job->scratch, account, job->speaker.tree_fd,
		                 &job->packer, err);
	fd_closep(&job->speaker.tree_fd);
	if (r == 0)
		r = cleaner_start(&job->scratch, account, &job->cleaner, err);
	return r;
}

static void on_started(void *context)
{
	struct job *job = context;
	struct order order = make_order(job, ORDER_STARTED);

	order.time_limit_sec = job->request.time_limit_sec;
	order.silence_sec = job->builder.limits.silence_sec;
	order.log_bytes = job->builder.limits.log_bytes;
	send_order(job, &order);
	receipt_expect(order.time_limit_sec + job->builder.limits.grace_sec + QUEUE_EXPECT_SEC);
	receipt_status("%s for uid %u runs as %s", job->receipt.builder, job->peer.uid,
	               job->receipt.user);
}

/* Kill everything inside and wait until it is gone. Needs no privilege, only what is open. */
static int kill_sandbox(struct job *job, struct error *err)
{
	int r = 0;

	if (job->sandbox.pid == 0)
		return 0;
	if (job->cgroup.kill_fd >= 0)
		r = cgroup_kill(&job->cgroup, KILL_TIMEOUT_MS, err);
	else if (syscall(SYS_pidfd_send_signal, job->sandbox.pid_fd, SIGKILL, NULL, 0) < 0 &&
	         errno != ESRCH)
		r = error_errno(err, BLAME_HOST, errno, "cannot kill the sandbox");
	if (r < 0)
		return r;
	/* The kernel ends init only after everything else in its pid namespace is gone. */
	while (waitpid(job->sandbox.pid, NULL, 0) < 0 && errno == EINTR)
		;
	job->sandbox.pid = 0;
	return 0;
}

/* From here on nothing needs a right: not to kill, not to return, not to clean up. And nothing is
 * written but where this request left something. */
static int drop_privileges(struct job *job, struct error *err)
{
	const int writable[] = { job->pool.pool_fd, job->pool.scratch_fd, job->cgroup.parent_fd };
	int r;

	if (!job->options->privileged)
		return 0;
	r = privilege_drop_all(err);
	if (r == 0)
		r = landlock_write_beneath(writable, ARRAY_SIZE(writable), err);
	return r < 0 ? r : filter_monitor(err);
}

/*
 * Have the rest of the log relayed, now that nobody writes to it any more. What the speaker says of
 * it counts: a builder that ended well with more log than it may write has not ended well.
 */
static void drain_log(struct job *job)
{
	struct order order = make_order(job, ORDER_DRAIN);
	bool well = job->watch.ending == ENDING_EXITED;
	int64_t deadline_ms = clock_now_ms() + DRAIN_LIMIT_MS;
	struct note note = { 0 };

	if (job->watch.started_ms == 0 || job->watch.ending == ENDING_CANCELLED)
		return;
	send_order(job, &order);
	while (!job->gone && note.type != NOTE_DRAINED) {
		int64_t left_ms = deadline_ms - clock_now_ms();
		int r = wait_for(job, job->speaker.control_fd, POLLIN,
		                 well ? -1 : (int)(left_ms > 0 ? left_ms : 0));

		if (r == -ECANCELED && well) {
			/* Stopped now: its client is told so, if it listens. */
			well = job->stopping = false;
			job->watch.ending = ENDING_STOPPED;
			deadline_ms = clock_now_ms() + DRAIN_LIMIT_MS;
		} else if (r != 1 || receive_note(job, &note) == 0 || note.type == NOTE_HANGUP ||
		           note.type == NOTE_BAD_REQUEST)
			give_up_client(job);
		else if (note.type == NOTE_LOG_FULL && job->watch.ending == ENDING_EXITED)
			job->watch.ending = ENDING_LOG;
	}
	/* Only an end that would have been good is spoilt by a client that is gone. */
	if (!job->gone || job->watch.ending != ENDING_EXITED)
		return;
	job->watch.ending = ENDING_CANCELLED;
	job->watch.note = note;
}

static int run_builder(struct job *job, struct error *err)
{
	const struct sandbox_plan plan = {
		.request = &job->request,
		.account = &job->account.account,
		.user_name = job->receipt.user,
		.request_id = job->receipt.id,
		.scratch = &job->scratch,
		.command_fd = job->command_fd,
		.stdout_fd = job->speaker.stdout_fd,
		.stderr_fd = job->speaker.stderr_fd,
		.lock_fd = job->slot.lock_fd,
		.cgroup_fd = job->cgroup.dir_fd,
	};
	int r, killed;

	r = sandbox_start(&plan, &job->sandbox, err);
	if (r == 0)
		r = drop_privileges(job, err);
	fd_closep(&job->speaker.stdout_fd);
	fd_closep(&job->speaker.stderr_fd);
	if (r < 0)
		return r;

	job->watch = (struct watch){
		.request = &job->request,
		.sandbox = &job->sandbox,
		.control_fd = job->speaker.control_fd,
		.signal_fd = job->signal_fd,
		.started = on_started,
		.context = job,
	};
	r = watch_run(&job->watch, err);
	killed = kill_sandbox(job, r < 0 ? NULL : err);
	if (r == 0 && killed == 0)
		drain_log(job);
	if (job->watch.started_ms)
		job->receipt.run_ms = (uint64_t)(job->watch.ended_ms - job->watch.started_ms);
	return r < 0 ? r : killed;
}

/* An end that is a limit's, not the builder's own: which key, in which file. */
static int limit_error(struct job *job, const char *key, const char *what, struct error *err)
{
	job->code_name = "limit";
	error_set(err, BLAME_BUILD, EFBIG, "the builder %s %s", job->receipt.builder, what);
	return error_hint(err, "limits.%s in %s allows no more", key, job->builder.file);
}

/* How the builder ended, as a client's exit status; or the error that it amounts to. */
static int judge(struct job *job, struct error *err)
{
	const struct watch *watch = &job->watch;
	struct receipt *receipt = &job->receipt;

	switch (watch->ending) {
	case ENDING_CANCELLED:
		return end_by_note(job, &watch->note, err);
	case ENDING_STOPPED:
		job->code_name = "stopping";
		return error_set(err, BLAME_POLICY, ECANCELED, "the service is stopped");
	case ENDING_LOG:
		return limit_error(job, "log", "wrote more log than it may", err);
	case ENDING_EXEC:
		job->code_name = watch->code == ENOENT ? "not-found" : "cannot-run";
		return error_errno(err, BLAME_BUILD, watch->code, "cannot execute %s",
		                   job->request.argv[0]);
	case ENDING_TIME:
	case ENDING_SILENCE:
		receipt->timed_out = true;
		receipt->silent = watch->ending == ENDING_SILENCE;
		receipt->exit_code = 124;
		break;
	default:
		if (!watch->has_status)
			return error_set(err, BLAME_HOST, EPROTO, "the builder's end is unknown");
		if (WIFSIGNALED(watch->status)) {
			receipt->exit_signal = (uint32_t)WTERMSIG(watch->status);
			receipt->exit_code = 128 + receipt->exit_signal;
		} else
			receipt->exit_code = (uint32_t)WEXITSTATUS(watch->status);
	}
	receipt->has_exit = true;
	return 0;
}

/* How long outputs may take: a client that takes less than a mebibyte a second for so long holds a
 * build user for no good reason. */
static int64_t return_limit_ms(const struct job *job)
{
	return (RETURN_LIMIT_SEC + (int64_t)(job->builder.limits.output_bytes >> 20)) * 1000;
}

/*
 * Until the packer has a result. It may wait for the speaker, and that for a client; when the
 * service is stopped or the client too slow the speaker ends, so the packer's pipe breaks.
 */
static void await_packer(struct job *job)
{
	int64_t deadline_ms = clock_now_ms() + return_limit_ms(job);
	int r;

	do {
		receipt_expect(RETURN_EXPECT_SEC);
		r = wait_for(job, job->packer.result_fd, POLLIN, RETURN_EXPECT_SEC * 1000 / 2);
	} while (r == 0 && clock_now_ms() < deadline_ms);
	if (r != 1)
		give_up_client(job);
}

static int return_outputs(struct job *job, struct error *err)
{
	int r;

	receipt_status("%s for uid %u returns its outputs", job->receipt.builder, job->peer.uid);
	for (size_t i = 0; i < job->request.n_outputs; i++) {
		struct order order = make_order(job, ORDER_OUTPUT);

		(void)snprintf(order.name, sizeof(order.name), "%s", job->request.outputs[i].name);
		send_order(job, &order);
	}
	r = helper_go(&job->packer);
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot start the packer");
	await_packer(job);
	r = helper_finish(&job->packer, err);
	if (r == -EFBIG || r == -E2BIG)
		job->code_name = "limit";
	/* A packer whose pipe broke has done nothing wrong: the client left while it read. */
	if (r == -EPIPE) {
		job->gone = true;
		job->code_name = job->stopping ? "stopping" : "cancelled";
		return error_set(err, BLAME_PEER, ECANCELED, "%s",
		                 job->stopping ? "the service is stopped" : "the client hung up");
	}
	if (r == 0)
		job->receipt.outputs = job->request.n_outputs;
	return r;
}

static int conclude(struct job *job, struct error *err)
{
	int r = judge(job, err);
	struct order order;

	if (r < 0)
		return r;
	if (job->receipt.exit_code == 0 && job->request.n_outputs > 0)
		r = return_outputs(job, err);
	if (r < 0)
		return r;
	job->receipt.verdict = job->receipt.timed_out        ? "timed-out"
	                       : job->receipt.exit_code == 0 ? "done"
	                                                     : "failed";
	order = make_order(job, ORDER_EXIT);
	order.exit_code = job->receipt.exit_code;
	order.exit_signal = job->receipt.exit_signal;
	order.timed_out = job->receipt.timed_out;
	order.silent = job->receipt.silent;
	order.queued_ms = job->receipt.queued_ms;
	order.run_ms = job->receipt.run_ms;
	order.total_ms = (uint64_t)(clock_now_ms() - job->receipt.begun_ms);
	order.outputs = job->receipt.outputs;
	send_order(job, &order);
	return 0;
}

/* --- answers without a builder --- */

static int answer_list(struct job *job, struct error *err)
{
	cleanup_(strv_freep) char **names = NULL;
	struct order end = make_order(job, ORDER_BUILDERS_END);
	int r = config_list_builders(&job->config, &names, err);

	for (char **name = names; r == 0 && name && *name; name++) {
		cleanup_builder struct builder builder = { 0 };
		struct order order = make_order(job, ORDER_BUILDER);
		struct error skipped = { 0 };

		/* One broken definition does not hide the others; its own requests say why. */
		if (builder_load(&job->config, *name, &builder, &skipped) != 1) {
			log_line(LOG_WARNING, "%s", skipped.text);
			continue;
		}
		if (policy_allows(&job->config, &builder, &job->peer, job->socket_class, NULL) < 0)
			continue;
		(void)snprintf(order.name, sizeof(order.name), "%s", builder.name);
		(void)snprintf(order.text, CHANNEL_DESCRIPTION_MAX, "%s",
		               builder.description ? builder.description : "");
		send_order(job, &order);
	}
	if (r == 0)
		send_order(job, &end);
	return r;
}

static int answer_ping(struct job *job, struct error *err)
{
	struct order order = make_order(job, ORDER_PONG);

	(void)err;
	send_order(job, &order);
	return 0;
}

/* --- the life of a request, in order --- */

struct phase {
	const char *name; /* in the journal: the phase that was reached */
	int (*run)(struct job *job, struct error *err);
};

/* Beside each phase, what holds once it has ended. */
static const struct phase request_phases[] = {
	{ "policy", check_policy }, /* job->request passed every check */
	{ "slot", acquire }, /* a build user is ours, and nothing of an earlier request is left */
	{ "prepare", prepare },   /* scratch, cgroup and helpers are there */
	{ "build", run_builder }, /* nothing of the builder runs any more, and we have no rights */
	{ "outputs", conclude },  /* the client has the whole result, or will not */
};
static const struct phase list_phases[] = { { "list", answer_list } };
static const struct phase ping_phases[] = { { "ping", answer_ping } };

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

/* --- the end --- */

static void tell_failure(struct job *job, const struct error *err)
{
	const struct verdict *verdict = &verdicts[err->blame];
	struct order order = make_order(job, ORDER_ERROR);
	/* Without root the client's user is the administrator. */
	bool tell = verdict->tell_peer || job->code_name || !job->options->privileged;

	job->receipt.verdict = job->code_name ? job->code_name : verdict->code;
	job->receipt.level = verdict->level;
	job->receipt.error = *err;
	(void)snprintf(order.code_name, sizeof(order.code_name), "%s", job->receipt.verdict);
	(void)snprintf(order.text, sizeof(order.text), "%s",
	               tell ? error_peer_text(err) : "the server cannot run this request");
	if (tell)
		(void)snprintf(order.hint, sizeof(order.hint), "%s", error_peer_hint(err));
	else
		(void)snprintf(order.hint, sizeof(order.hint),
		               "its administrator finds the reason with: journalctl "
		               "HATCH_PEER_UID=%u -n 1",
		               job->peer.uid);
	/* No log can follow: so the speaker sees the end of both streams before it speaks. */
	fd_closep(&job->speaker.stdout_fd);
	fd_closep(&job->speaker.stderr_fd);
	fd_closep(&job->speaker.tree_fd);
	send_order(job, &order);
}

/*
 * Unmake everything, in the reverse order. If something cannot be removed the lock keeps its name,
 * and the next instance tries again.
 */
static int job_clean(struct job *job, struct error *err)
{
	int r = kill_sandbox(job, err);

	sandbox_done(&job->sandbox);
	helper_done(&job->packer);
	receipt_expect(CLEAN_EXPECT_SEC);
	if (r == 0 && job->cleaner.pid > 0) {
		struct error unclean = { 0 };

		/* What it cannot remove is root's, as the place of a bind below /tmp is: then
		 * scratch_remove() can, or names what stays. */
		(void)helper_go(&job->cleaner);
		(void)helper_finish(&job->cleaner, &unclean);
	}
	helper_done(&job->cleaner);
	/* By what was announced: the making may have failed half-way. */
	if (r == 0 && job->made.scratch[0])
		r = scratch_remove(job->pool.scratch_fd, job->made.scratch, err);
	if (r == 0 && job->cgroup.dir_fd >= 0)
		r = cgroup_remove(&job->cgroup, err);
	if (r == 0)
		slot_done(&job->slot);
	else
		slot_abandon(&job->slot);
	return r;
}

/* The speaker ends by itself: when all is said, or the client is gone, or it takes nothing any
 * more. */
static void await_speaker(struct job *job)
{
	bool stopped = job->stopping || job->watch.ending == ENDING_STOPPED;
	struct note note = { 0 };

	while (!job->gone && note.type != NOTE_FINISHED) {
		if (wait_for(job, job->speaker.control_fd, POLLIN, stopped ? DRAIN_LIMIT_MS : -1) !=
		            1 ||
		    receive_note(job, &note) == 0 || note.type == NOTE_HANGUP ||
		    note.type == NOTE_BAD_REQUEST)
			job->gone = true;
	}
	fd_closep(&job->speaker.control_fd);
	/* One that still waits for its client dies with us. */
	while (!stopped && !job->stopping && job->speaker.pid > 0 &&
	       waitpid(job->speaker.pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static void job_done(struct job *job)
{
	pool_done(&job->pool);
	cgroup_done(&job->cgroup);
	scratch_done(&job->scratch);
	build_account_done(&job->account);
	speaker_done(&job->speaker);
	request_done(&job->request);
	builder_done(&job->builder);
	record_done(&job->record);
	peer_done(&job->peer);
	self_users_done(&job->self);
	config_done(&job->config);
	fd_closep(&job->command_fd);
	fd_closep(&job->signal_fd);
}

/* Who asks, and a speaker to talk to them: after this a failure has somebody to be told to. */
static int meet_client(struct job *job, int *conn_fd, struct error *err)
{
	struct account account = { .uid = job->config.speaker_uid,
		                   .gid = job->config.speaker_gid,
		                   .change = job->options->privileged };
	int r = peer_identify(*conn_fd, job->config.store_dir, &job->peer, err);

	job->receipt.peer = &job->peer;
	if (r == 0)
		r = speaker_start(take_fd(conn_fd), &account, &job->speaker, err);
	return r;
}

static int serve_client(struct job *job, struct error *err)
{
	struct error clean_err = { 0 };
	int r;

	job->receipt.phase = "request";
	r = receive_record(job, err);
	if (r == 0)
		r = serve_record(job, err);
	if (r < 0)
		tell_failure(job, err);
	if (job_clean(job, &clean_err) < 0)
		log_line(LOG_ERR, "left for the next instance to clear: %s", clean_err.text);
	await_speaker(job);
	return r;
}

static int open_signals(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
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

static int job_start(struct job *job, struct error *err)
{
	int r = config_load(job->options->config_dir, job->options->privileged, &job->config, err);

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
		.exit_status = EX_OSERR,
		.command_fd = -1,
		.peer = { .pid_fd = -1 },
		.speaker = { 0, -1, -1, -1, -1, -1 },
		.pool = { .pool_fd = -1,
		          .scratch_fd = -1,
		          .queue_fd = -1,
		          .change_fd = -1,
		          .ticket_fd = -1 },
		.slot = { .lock_fd = -1 },
		.scratch = { .dir_fd = -1,
		             .upper_fd = -1,
		             .work_fd = -1,
		             .outputs_fd = -1,
		             .build_fd = -1,
		             .tmp_fd = -1,
		             .root_fd = -1 },
		.cgroup = { .dir_fd = -1, .kill_fd = -1, .events_fd = -1, .parent_fd = -1 },
		.packer = { 0, -1, -1 },
		.cleaner = { 0, -1, -1 },
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
	else {
		if (conn_fd >= 0)
			speaker_refuse(conn_fd);
		job.receipt.verdict = "server-failed";
		job.receipt.level = LOG_ERR;
		job.receipt.error = err;
	}
	job.receipt.total_ms = (uint64_t)(clock_now_ms() - job.receipt.begun_ms);
	receipt_log(&job.receipt);
	return r < 0 && err.blame == BLAME_HOST && !job.code_name ? job.exit_status : 0;
}
