/* What the client sends comes into scratch: the phase "inputs". */
#include "job.h"

#include <errno.h>
#include <stdio.h>

#include "lib/base/clock.h"

enum { UNPACKER_END_MS = 1000 }; /* of one that has a result */

/* A client that sends slowly holds a build user, and resources. */
static int took_too_long(struct job *job, struct error *err)
{
	job->code_name = "limit";
	(void)error_set(err, BLAME_PEER, ETIMEDOUT, "the inputs did not come within %llu s",
	                (unsigned long long)job->builder.limits.input_sec);
	return error_hint(err, "limits.input_sec in %s allows no more", job->builder.file);
}

/* Wait for the speaker or the unpacker, whoever has something to say first. Returns an enum heard,
 * or an error: the service is stopped, the time is over, scratch is too large. */
static int hear(struct job *job, int64_t deadline_ms, struct error *err)
{
	int r = job_hear_and_gauge(job, job->unpacker.result_fd, deadline_ms);

	if (r < 0)
		return job_stop_error(job, err);
	if (r == HEARD_GAUGE)
		return job_scratch_error(job, err);
	return r == HEARD_NOTHING ? took_too_long(job, err) : r;
}

/* What the unpacker says of all inputs, in the words of a limit where it is one. */
static int end_unpacker(struct job *job, struct error *err)
{
	bool scratch_is_limited = job->builder.limits.scratch_bytes > 0;
	int r = helper_finish(&job->unpacker, UNPACKER_END_MS, err);

	if (r == -EFBIG || r == -E2BIG) {
		job->code_name = "limit";
		return error_hint(err, "limits.%s in %s allows no more",
		                  r == -EFBIG ? "input" : "input_entries", job->builder.file);
	}
	if ((r == -ENOSPC || r == -EDQUOT) && scratch_is_limited) {
		job->code_name = "limit";
		return error_hint(err, "limits.scratch in %s allows no more", job->builder.file);
	}
	return r;
}

/* Until the speaker has passed on a whole input. */
static int take_input(struct job *job, const char *name, int64_t deadline_ms, struct error *err)
{
	struct order order = job_make_order(job, ORDER_SEND);
	struct note note = { 0 };
	int r;

	(void)snprintf(order.name, sizeof(order.name), "%s", name);
	job_send_order(job, &order);
	r = hear(job, deadline_ms, err);
	/* It is well only when it has them all: then what the speaker says of the last one may come
	 * after. */
	if (r == HEARD_OTHER)
		r = end_unpacker(job, err);
	if (r == 0)
		r = hear(job, deadline_ms, err);
	if (r < 0)
		return r;
	if (job_receive_note(job, &note) == 0)
		note.type = NOTE_HANGUP;
	return note.type == NOTE_INPUT ? 0 : job_end_by_note(job, &note, err);
}

/* The last bytes are still on their way to the disk. */
static int await_unpacker(struct job *job, int64_t deadline_ms, struct error *err)
{
	int r = job->unpacker.pid == 0 ? 0 : hear(job, deadline_ms, err);

	if (r == HEARD_OTHER)
		return end_unpacker(job, err);
	return r == HEARD_SPEAKER ? job_end_by_speaker(job, err) : r;
}

int phase_inputs(struct job *job, struct error *err)
{
	int64_t deadline_ms = clock_now_ms() + (int64_t)job->builder.limits.input_sec * 1000;
	int r;

	if (job->unpacker.pid == 0)
		return 0;
	receipt_status("%s for uid %u receives its inputs", job->receipt.builder, job->peer.uid);
	r = helper_go(&job->unpacker);
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot start the unpacker");
	for (size_t i = 0; r == 0 && i < job->inputs.n; i++)
		if (inputs_is_sent(&job->inputs, i))
			r = take_input(job, job->request.inputs[i].name, deadline_ms, err);
	return r < 0 ? r : await_unpacker(job, deadline_ms, err);
}
