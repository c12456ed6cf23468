/* What is asked, and whether it may be: the phase "policy". */
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <sysexits.h>

#include "hatchd/sandbox/rlimits.h"
#include "lib/base/clock.h"

enum {
	RECORD_LIMIT_MS = 15000, /* the speaker's own for the client, and some */
	LAST_BREATH_MS = 1000,
};

/* One that fell to its filter or a fault is a matter for the operator. */
static int lost_speaker(struct job *job, struct error *err)
{
	int status;

	if (speaker_end(&job->speaker, LAST_BREATH_MS, &status) == 1 && WIFSIGNALED(status))
		return error_set(err, BLAME_HOST, EPIPE, "the speaker was killed by signal %d",
		                 WTERMSIG(status));
	return error_set(err, BLAME_HOST, EPIPE, "the speaker ended without a word");
}

int job_receive_record(struct job *job, struct error *err)
{
	struct note note;
	int r = job_hear(job, -1, clock_now_ms() + RECORD_LIMIT_MS);

	if (r < 0)
		return job_stop_error(job, err);
	if (r == HEARD_NOTHING) {
		job_give_up_client(job);
		return error_set(err, BLAME_HOST, ETIMEDOUT, "the speaker does not say a word");
	}
	if (job_receive_note(job, &note) == 0)
		return lost_speaker(job, err);
	if (note.type != NOTE_RECORD)
		return job_end_by_note(job, &note, err);
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

/* A limit that nothing holds is none. */
static int check_limits(struct job *job, struct error *err)
{
	const struct builder *builder = &job->builder;
	char *missing = job->receipt.limits_missing;
	char own[CGROUP_PATH_MAX];
	cleanup_fd int fd = -1;

	if (builder->scratch_on_tmpfs && !job->options->privileged) {
		(void)error_set(
			err, BLAME_POLICY, EPERM,
			"the builder %s has its scratch on tmpfs, which needs a server run by root",
			builder->name);
		return error_hint(err, "take \"scratch_on\" out of %s", builder->file);
	}
	if (!control_is_asked(&builder->limits))
		return 0;
	if (job->options->privileged && cgroup_own_path(own, NULL) == 0)
		fd = open(own, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	control_missing(&builder->limits, fd, missing);
	return control_refuse(builder, missing, err);
}

/* They are those of the service, and of the builder if nobody lowers them. */
static int check_rlimits(const struct job *job, struct error *err)
{
	struct rlimits own;
	int r = rlimits_read(&own);

	return r < 0 ? error_errno(err, BLAME_HOST, -r, "cannot read a resource limit")
	             : rlimits_check(&job->builder, &own, err);
}

int job_read_features(struct job *job, const struct builder *builder, struct error *err)
{
	struct account account = job_speaker_account(job);

	if (!policy_needs_features(&job->config, builder, &job->peer, job->socket_class))
		return 0;
	return peer_read_features(&job->peer, job->config.store_dir, &account,
	                          job->config.owner_uid, err);
}

static void tell_accepted(struct job *job)
{
	struct order order = job_make_order(job, ORDER_ACCEPTED);

	order.undeclared_references = job->builder.undeclared_references;
	for (size_t i = 0; i < job->inputs.n; i++)
		if (inputs_is_sent(&job->inputs, i))
			order.send |= UINT32_C(1) << i;
	job_send_order(job, &order);
}

/* The definition itself is checked too: a program that is missing is told before anything is made.
 */
int phase_policy(struct job *job, struct error *err)
{
	int r = builder_load(&job->config, job->record.builder.data, &job->builder, err);
	bool found = r == 1;

	if (r < 0) {
		job->exit_status = EX_CONFIG;
		return r;
	}
	r = found ? job_read_features(job, &job->builder, err) : 0;
	if (r < 0)
		return r;
	r = request_check(&job->config, found ? &job->builder : NULL, &job->peer, job->socket_class,
	                  &job->record, &job->request, err);
	if (r < 0 && error_is_concealed(err))
		job_name_usable(job, err);
	if (r < 0)
		return r;
	r = job_check_equipment(job, err);
	if (r == 0)
		r = check_rlimits(job, err);
	if (r == 0)
		r = check_limits(job, err);
	if (r < 0)
		return r;
	r = inputs_find(&job->request, &job->inputs, err);
	fd_closep(&job->peer.root_fd); /* nothing of its build is held for longer */
	if (r < 0)
		return r;
	job->receipt.inputs = job->inputs.n;
	job->receipt.inputs_bound = job->inputs.n_bound;
	tell_accepted(job);
	return 0;
}
