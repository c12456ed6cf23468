/* "before" and "after" of a definition: the phase "before", and the end. */
#include "job.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"

enum {
	HOOK_EXPECT_SEC = 60, /* over the time of a command, for killing and our own work */
	HOOK_ENV_TEXT = 1024,
};

static bool has_hooks(const struct job *job)
{
	return job->builder.before.command || job->builder.after.command;
}

/* The commands' cgroup stands beside the builder's: what they use is not the builder's. */
void job_hooks_cgroup_name(const char *scratch, char ret[HOOKS_CGROUP_NAME_MAX])
{
	(void)snprintf(ret, HOOKS_CGROUP_NAME_MAX, "hook-%s", scratch);
}

int job_make_hooks_cgroup(struct job *job, struct error *err)
{
	char name[HOOKS_CGROUP_NAME_MAX];

	if (!has_hooks(job) || !job->options->privileged)
		return 0;
	job_hooks_cgroup_name(job->made.scratch, name);
	return cgroup_create(name, &job->hooks_cgroup, err);
}

static int start_steward(struct job *job, struct error *err)
{
	char texts[STEWARD_ENV_MAX][HOOK_ENV_TEXT];
	char *env[STEWARD_ENV_MAX + 1] = { NULL };
	const struct {
		const char *name, *value;
	} variables[] = {
		{ "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:"
		          "/run/current-system/sw/bin" },
		{ "HOME", "/" },
		{ "LANG", "C.UTF-8" },
		{ "HATCH_BUILDER", job->builder.name },
		{ "HATCH_DERIVATION", job->peer.derivation },
		{ "HATCH_REQUEST", job->receipt.id },
		{ "HATCH_RESOURCES", job->receipt.resources },
		{ "HATCH_USER", job->receipt.user },
	};
	int held_fds[SANDBOX_KEPT_MAX];
	struct account account = job->account.account;
	size_t n = 0;
	struct steward_plan plan = {
		.builder = &job->builder,
		.account = &account,
		.env = env,
		.held_fds = held_fds,
		.n_held_fds = job_list_locks(job, held_fds),
		.own = &job->hooks_cgroup,
		.work = &job->cgroup,
	};

	/* On the host, whatever the builder is inside of its user namespace. */
	account.user_ns_fd = NULL;
	account.root = false;
	account.keep = 0;
	_Static_assert(ARRAY_SIZE(variables) + 1 < STEWARD_ENV_MAX, "no room");
	for (; n < ARRAY_SIZE(variables); n++) {
		(void)snprintf(texts[n], sizeof(texts[n]), "%s=%s", variables[n].name,
		               variables[n].value);
		env[n] = texts[n];
	}
	(void)snprintf(texts[n], sizeof(texts[n]), "HATCH_PEER_UID=%u", job->peer.uid);
	env[n] = texts[n];
	return steward_start(&plan, &job->steward, err);
}

/* The client may leave meanwhile, and a signal may come; "before" is ended then. */
static int await_before(struct job *job, struct error *err)
{
	uint64_t limit_sec = job->builder.before.time_sec + HOOK_EXPECT_SEC;
	int r = job_hear_and_gauge(job, job->steward.fd,
	                           clock_now_ms() + (int64_t)limit_sec * 1000);

	if (r < 0)
		return job_stop_error(job, err);
	if (r == HEARD_GAUGE)
		return job_scratch_error(job, err);
	if (r == HEARD_SPEAKER)
		return job_end_by_speaker(job, err);
	if (r == HEARD_NOTHING)
		return error_set(err, BLAME_HOST, ETIMEDOUT, "the steward does not say a word");
	return steward_hear(&job->steward, err);
}

int phase_before(struct job *job, struct error *err)
{
	const struct steward_order order = { .word = STEWARD_BEFORE };
	int r;

	if (!has_hooks(job))
		return 0;
	r = start_steward(job, err);
	if (r < 0 || !job->builder.before.command)
		return r;
	receipt_status("%s for uid %u is made ready", job->receipt.builder, job->peer.uid);
	r = steward_tell(&job->steward, &order, err);
	if (r == 0)
		r = await_before(job, err);
	if (r < 0 && !job->code_name && !job->gone) {
		job->code_name = "not-ready";
		(void)error_hint(err, "what it wrote is in the journal: HATCH_REQUEST=%s",
		                 job->receipt.id);
	}
	return r;
}

/* The steward logs what goes wrong, for it may be alone by then. */
void job_run_after(struct job *job)
{
	struct steward_order order;
	struct error err;

	if (job->steward.pid == 0)
		return;
	memset(&order, 0, sizeof(order)); /* padding too: it crosses to another process */
	order.word = STEWARD_AFTER;
	order.exit_code = job->receipt.has_exit ? (int)job->receipt.exit_code : -1;
	(void)snprintf(order.result, sizeof(order.result), "%s", job->receipt.verdict);
	receipt_expect(job->builder.after.time_sec + HOOK_EXPECT_SEC);
	if (steward_tell(&job->steward, &order, &err) == 0)
		(void)steward_hear(&job->steward, &err);
	steward_done(&job->steward);
}
