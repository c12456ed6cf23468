/*
 * One request on its way through the phases: what is known of it, what was made for it, and the
 * steps that more than one phase takes. For monitor/ only.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "collector.h"
#include "gauge.h"
#include "hatchd/config/config.h"
#include "hatchd/request/credentials.h"
#include "hatchd/request/inputs.h"
#include "hatchd/request/peer.h"
#include "hatchd/request/record.h"
#include "hatchd/request/request.h"
#include "hatchd/sandbox/sandbox.h"
#include "hatchd/slot/build-user.h"
#include "hatchd/slot/cgroup.h"
#include "hatchd/slot/control.h"
#include "hatchd/slot/devices.h"
#include "hatchd/slot/pool.h"
#include "hatchd/slot/scratch.h"
#include "hatchd/speaker/channel.h"
#include "hatchd/speaker/speaker.h"
#include "keepsake.h"
#include "monitor.h"
#include "packer.h"
#include "receipt.h"
#include "steward.h"
#include "tap.h"
#include "unpacker.h"
#include "watch.h"

/* The signal that ends one request, as `hatchctl cancel` sends it; SIGTERM and SIGINT end the
 * service. */
#define STOP_CANCEL SIGUSR1

enum {
	CLEAN_LIMIT_SEC = 840, /* to remove what a builder made */
	TAKE_LIMIT_SEC = 600,  /* for a client to take the rest of what is there for it */
	DRAIN_LIMIT_MS = 5000, /* the same, if a limit has ended the builder, or somebody the
	                          request */
};

/* What tells an object of the host from another that has its path later; all zero: there is none.
 */
struct mark {
	ino_t inode;
	off_t size;
	struct timespec written;
};

enum { MARK_ROOT, MARK_COMMAND, MARK_NETWORK, N_MARKS };

/* What of the host a request uses, besides its slot (equip.c). */
struct equipment {
	int root_fd, command_fd;
	int network_fd; /* a network namespace that the definition names; -1: none */
	struct devices devices;
	struct credentials credentials;
	struct mark marks[N_MARKS];
};

/* A struct equipment without anything. */
#define EQUIPMENT_NONE                                            \
	{                                                         \
		.root_fd = -1, .command_fd = -1, .network_fd = -1 \
	}

struct job {
	const struct monitor_options *options;
	const char *socket_class;
	int signal_fd;

	struct config config;
	struct peer peer;
	int share_fd; /* one of the connections that its user may have */
	struct speaker speaker;
	struct record record;
	struct builder builder;
	struct request request;
	struct inputs inputs;
	struct equipment equipment;
	struct mark seen[N_MARKS]; /* of its objects, in the phase "policy" */

	struct self_users self; /* unprivileged mode: the pool of one's own */
	struct pool pool;
	pid_t sweeper; /* a process of its own (sweep.c); 0: none */
	int sweeper_fd;
	bool sweep_failed; /* said once, tried again */
	int64_t swept_ms;
	const struct build_user *told_stray;
	struct slot slot;
	struct build_account account;
	struct slot_record made;
	struct scratch scratch;
	struct scratch_plan scratch_plan;
	struct cgroup cgroup;
	struct meter meter;
	struct helper packer, cleaner, unpacker, tap, collector, gauge;
	struct steward steward;
	struct cgroup hooks_cgroup;
	struct keepsake keepsake;
	struct sandbox sandbox;
	struct watch watch;

	struct receipt receipt;
	const char *code_name; /* overrides the word of the error's blame */
	bool stopping;         /* a signal came */
	int stop_signal;       /* which; 0: none */
	bool gone;             /* the client, or the speaker: nobody is left to tell */
	int exit_status;       /* of hatchd, if the host or its configuration is at fault */
};

/* --- the phases, in order: 0 or a negative errno with err set, and what stands beside each in
 * monitor.c --- */

int phase_policy(struct job *job, struct error *err);
int phase_slot(struct job *job, struct error *err);
int phase_equip(struct job *job, struct error *err);
int phase_prepare(struct job *job, struct error *err);
int phase_inputs(struct job *job, struct error *err);
int phase_before(struct job *job, struct error *err);
int phase_build(struct job *job, struct error *err);
int phase_outputs(struct job *job, struct error *err);
int phase_list(struct job *job, struct error *err);
int phase_ping(struct job *job, struct error *err);

/* job_name_usable - to a refusal that conceals whether there is the builder (request_check()) add
 * for the peer which it may use: the same as "list" */
void job_name_usable(struct job *job, struct error *err);

/* job_receive_record - what the client asks for, as the speaker sealed it. Errors: BLAME_PEER what
 * it broke, BLAME_HOST -EPIPE the speaker is at fault */
int job_receive_record(struct job *job, struct error *err);

/* --- what of the host is used (equip.c) --- */

/* job_check_equipment - could the request be equipped now? Nothing stays open; what was found is
 * marked in job->seen. Errors: BLAME_HOST, what the definition names and the host has not */
int job_check_equipment(struct job *job, struct error *err);

/* equipment_done - let go of everything: who needs it has it, or nobody does; secrets are wiped */
void equipment_done(struct equipment *equipment);

/* job_speaker_account - who reads what strangers wrote (monitor.c) */
struct account job_speaker_account(const struct job *job);

/* job_read_features - what the peer's derivation requires, if the builder wants to know and the
 * peer may use it otherwise; read by a process of the speaker's user, once for a connection
 * (ask.c). Errors: BLAME_HOST -ENOMEM */
int job_read_features(struct job *job, const struct builder *builder, struct error *err);

/* --- talking to the speaker (tell.c) --- */

enum heard {
	HEARD_NOTHING, /* the time is over */
	HEARD_SPEAKER,
	HEARD_OTHER,
	HEARD_GAUGE, /* job_scratch_error() has the words */
};

/*
 * job_hear - wait for whoever has something to say first: the speaker or the other, but neither for
 * ever nor past the end of the service. The service manager is told that the request is at work.
 *
 * fd       of the other; -1: none
 * Returns  an enum heard, or -ECANCELED when a signal has come, now or before
 */
int job_hear(struct job *job, int fd, int64_t deadline_ms);

/* job_hear_and_gauge - the same, and no longer than scratch is as small as it has to be */
int job_hear_and_gauge(struct job *job, int fd, int64_t deadline_ms);

/* job_scratch_error - what the gauge has to say, as an error. Returns it (outputs.c) */
int job_scratch_error(struct job *job, struct error *err);

/* job_hear_signal - read job->signal_fd, which is readable: the request is to end */
void job_hear_signal(struct job *job);

/* job_stop_error - that end as an error, by what signal came. Returns it */
int job_stop_error(struct job *job, struct error *err);

/* job_give_up_client - end the channel, and so the speaker, and with it the pipes that others may
 * be waiting for */
void job_give_up_client(struct job *job);

/* job_make_order - an order about this request, everything else zero */
struct order job_make_order(const struct job *job, enum order_type type);
void job_send_order(struct job *job, const struct order *order);

/* job_receive_note - one note, waited for; 1, or 0 when the speaker is gone */
int job_receive_note(struct job *job, struct note *ret);

/* job_end_by_note - a note that came where only the end of the client can come, as an error.
 * Returns it */
int job_end_by_note(struct job *job, const struct note *note, struct error *err);

/* job_end_by_speaker - the same for the note that is there, or the end of the speaker */
int job_end_by_speaker(struct job *job, struct error *err);

/* job_tell_failure - the error to journal and client, in the words that each may read */
void job_tell_failure(struct job *job, const struct error *err);

/* job_await_speaker - it ends by itself: when all is said, or the client is gone, or takes nothing
 * any more */
void job_await_speaker(struct job *job);

/* --- commands around the builder (hooks.c) --- */

enum { HOOKS_CGROUP_NAME_MAX = sizeof("hook-") + SCRATCH_NAME_LEN };

/* job_hooks_cgroup_name - of the cgroup of a request's commands, by the name of its scratch */
void job_hooks_cgroup_name(const char *scratch, char ret[HOOKS_CGROUP_NAME_MAX]);

/* job_make_hooks_cgroup - make it, if there are commands; before the builder's is made */
int job_make_hooks_cgroup(struct job *job, struct error *err);

/* job_run_after - "after", if the steward was started, and its end. Needs no privilege */
void job_run_after(struct job *job);

/*
 * job_confine - from here on no capability, nothing written but beneath these directories (-1 is
 * skipped), and none of the calls that root has no business with (build.c)
 *
 * For ever. Unprivileged there is nothing to give up, and nothing is done.
 */
int job_confine(const struct job *job, const int *writable, size_t n_writable, struct error *err);

/* job_list_locks - what is locked for the request: slot, resources (build.c) */
size_t job_list_locks(const struct job *job, int ret[SANDBOX_KEPT_MAX]);

/* --- what is kept of a request that failed (keep.c) --- */

/* job_begin_keepsake - if the definition wants one: the directory, and the collector that will fill
 * it. With the monitor's capabilities */
int job_begin_keepsake(struct job *job, struct error *err);

/*
 * job_keep_keepsake - once the receipt says how the request ended: keep the keepsake, if it is one
 * of a builder that ran and failed
 *
 * ret  the request's id if it is kept, else empty. What goes wrong is logged, and nothing is kept
 */
void job_keep_keepsake(struct job *job, char ret[CHANNEL_NAME_MAX + 1]);

/* --- unmaking (clean.c) --- */

/* job_kill_sandbox - kill everything inside and wait until it is gone. Needs no privilege, only
 * what is open */
int job_kill_sandbox(struct job *job, struct error *err);

/* job_sweep - have what killed instances left cleared, meanwhile, if there is any; returns once
 * whoever does it has no rights any more (sweep.c) */
void job_sweep(struct job *job);

/* job_await_sweep - until that is done, or the service is stopped */
void job_await_sweep(struct job *job);

/* job_clean - unmake everything, in the reverse order. If something cannot be removed the lock
 * keeps its name, and the next instance tries again */
int job_clean(struct job *job, struct error *err);
