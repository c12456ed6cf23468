/* What the end of the builder comes to, and the return of its outputs: the phase "outputs". */
#include "job.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "lib/base/clock.h"
#include "lib/base/text.h"

enum {
	HELPER_END_MS = 1000, /* of one that has a result */
};

/* An end that is a limit's, not the builder's own, as err says: which key, in which file. */
static int limit_end(struct job *job, const char *key, struct error *err)
{
	job->code_name = "limit";
	return error_hint(err, "limits.%s in %s allows no more", key, job->builder.file);
}

/* Whose memory it was that ran out, and where to give more; for client and journal. */
static void explain_oom(struct job *job)
{
	const struct limits *limits = &job->builder.limits;
	struct error *err = &job->receipt.error;
	char size[TEXT_SIZE_LEN];

	error_set(err, BLAME_BUILD, ENOMEM, "the builder %s ran out of memory",
	          job->receipt.builder);
	if (limits->memory_bytes && job->receipt.usage.oom_own_limit)
		error_hint(err, "limits.memory in %s allows %s", job->builder.file,
		           text_size(limits->memory_bytes, size));
	else
		error_hint(err, "no limit of its own: the machine had no more, or MemoryMax= of "
		                "hatchd@.service or hatch.slice allows no more");
}

/* In the words of the gauge; one that died without any is the host's matter. */
int job_scratch_error(struct job *job, struct error *err)
{
	int r = helper_finish(&job->gauge, HELPER_END_MS, err);

	if (r != -EDQUOT && r != -ENOSPC)
		return r < 0 ? r : error_set(err, BLAME_HOST, EPROTO, "the gauge of scratch ended");
	if (r == -EDQUOT)
		return limit_end(job, "scratch", err);
	job->code_name = "limit";
	return r;
}

/* A builder that failed, and has used up what the file system lets it have. */
static void explain_full_scratch(struct job *job)
{
	struct error *err = &job->receipt.error;
	char size[TEXT_SIZE_LEN];

	(void)error_set(err, BLAME_BUILD, EDQUOT, "the builder %s has filled its scratch",
	                job->receipt.builder);
	(void)error_hint(err, "limits.scratch in %s allows %s", job->builder.file,
	                 text_size(job->builder.limits.scratch_bytes, size));
}

/* How the builder ended, as a client's exit status; or the error that it amounts to. */
static int judge(struct job *job, struct error *err)
{
	const struct watch *watch = &job->watch;
	struct receipt *receipt = &job->receipt;

	switch (watch->ending) {
	case ENDING_CANCELLED:
		return job_end_by_note(job, &watch->note, err);
	case ENDING_STOPPED:
		return job_stop_error(job, err);
	case ENDING_LOG:
		(void)error_set(err, BLAME_BUILD, EFBIG,
		                "the builder %s wrote more log than it may", receipt->builder);
		return limit_end(job, "log", err);
	case ENDING_SCRATCH:
		return job_scratch_error(job, err);
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
	case ENDING_OOM:
		receipt->oom = true;
		receipt->exit_signal = SIGKILL;
		receipt->exit_code = 128 + SIGKILL;
		explain_oom(job);
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
	if (receipt->exit_code != 0 && !receipt->error.text[0] &&
	    job->builder.limits.scratch_bytes && scratch_is_full(&job->scratch))
		explain_full_scratch(job);
	return 0;
}

/* How long outputs may take, a second more for each mebibyte they may have: a client that takes
 * less for so long holds a build user for no good reason. */
static int64_t return_limit_ms(const struct job *job)
{
	return (TAKE_LIMIT_SEC + (int64_t)(job->builder.limits.output_bytes >> 20)) * 1000;
}

/* The client left, or takes too little. */
static int lose_client(struct job *job, struct error *err)
{
	job_give_up_client(job);
	job->code_name = "cancelled";
	return error_set(err, BLAME_PEER, ECANCELED, "the client hung up");
}

/* Until the packer has a result. It may wait for the speaker, and that for a client. */
static int await_packer(struct job *job, struct error *err)
{
	int r = job_hear(job, job->packer.result_fd, clock_now_ms() + return_limit_ms(job));

	if (r < 0)
		return job_stop_error(job, err);
	if (r == HEARD_SPEAKER)
		return job_end_by_speaker(job, err);
	return r == HEARD_NOTHING ? lose_client(job, err) : 0;
}

static int return_outputs(struct job *job, struct error *err)
{
	int r;

	receipt_status("%s for uid %u returns its outputs", job->receipt.builder, job->peer.uid);
	for (size_t i = 0; i < job->request.n_outputs; i++) {
		struct order order = job_make_order(job, ORDER_OUTPUT);

		(void)snprintf(order.name, sizeof(order.name), "%s", job->request.outputs[i].name);
		job_send_order(job, &order);
	}
	r = helper_go(&job->packer);
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot start the packer");
	r = await_packer(job, err);
	if (r < 0)
		return r;
	r = helper_finish(&job->packer, HELPER_END_MS, err);
	if (r == -EFBIG || r == -E2BIG)
		return limit_end(job, r == -EFBIG ? "output" : "output_entries", err);
	/* A packer whose pipe broke has done nothing wrong: the client left while it read. */
	if (r == -EPIPE)
		return lose_client(job, err);
	if (r == 0)
		job->receipt.outputs = job->request.n_outputs;
	return r;
}

int phase_outputs(struct job *job, struct error *err)
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
	                       : job->receipt.oom            ? "oom"
	                       : job->receipt.exit_code == 0 ? "done"
	                                                     : "failed";
	order = job_make_order(job, ORDER_EXIT);
	job_keep_keepsake(job, order.kept);
	order.exit_code = job->receipt.exit_code;
	order.exit_signal = job->receipt.exit_signal;
	order.timed_out = job->receipt.timed_out;
	order.silent = job->receipt.silent;
	order.oom = job->receipt.oom;
	(void)snprintf(order.hint, sizeof(order.hint), "%s", job->receipt.error.hint);
	order.usage = job->receipt.usage;
	order.queued_ms = job->receipt.queued_ms;
	order.run_ms = job->receipt.run_ms;
	order.total_ms = (uint64_t)(clock_now_ms() - job->receipt.begun_ms);
	order.outputs = job->receipt.outputs;
	order.inputs = job->receipt.inputs;
	order.inputs_bound = job->receipt.inputs_bound;
	job_send_order(job, &order);
	return 0;
}
