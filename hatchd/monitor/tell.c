/* What the monitor says to the speaker, and hears from it. */
#include "job.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"

enum {
	WAIT_EXPECT_SEC = 60,
	WAIT_SLICE_MS = WAIT_EXPECT_SEC * 1000 / 2,
	SPEAKER_END_MS = 1000, /* of one to which nobody speaks any more */
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

void job_hear_signal(struct job *job)
{
	struct signalfd_siginfo info;

	if (fd_read_some(job->signal_fd, &info, sizeof(info)) == sizeof(info) &&
	    job->stop_signal == 0)
		job->stop_signal = (int)info.ssi_signo;
	job->stopping = true;
}

int job_stop_error(struct job *job, struct error *err)
{
	bool cancelled = job->stop_signal == STOP_CANCEL;

	job->code_name = cancelled ? "cancelled" : "stopping";
	return error_set(err, BLAME_POLICY, ECANCELED, "%s",
	                 cancelled ? "the administrator cancelled the request"
	                           : "the service is stopped");
}

/* Until one of them is ready, or the deadline, after which nothing is heard: who speaks without a
 * pause would never be late. Returns 1, 0 at the deadline, or -ECANCELED. */
static int wait_for(struct job *job, struct pollfd *p, size_t n, int64_t deadline_ms)
{
	/* One that ends because of a signal already tells its client so, whatever else comes. */
	bool heed = job->watch.ending != ENDING_STOPPED;
	struct pollfd *signal = &p[n - 1];
	int64_t left_ms = deadline_ms - clock_now_ms();
	int r;

	*signal = (struct pollfd){ .fd = heed ? job->signal_fd : -1, .events = POLLIN };
	while (left_ms > 0) {
		/* Once it is stopped, only what is there already counts. */
		int slice_ms = job->stopping             ? 0
		               : left_ms < WAIT_SLICE_MS ? (int)left_ms
		                                         : WAIT_SLICE_MS;

		if (!job->stopping)
			receipt_expect(WAIT_EXPECT_SEC);
		r = poll(p, n, slice_ms);
		if (r > 0 && signal->revents)
			job_hear_signal(job);
		if (r > (signal->revents ? 1 : 0))
			return 1;
		if (job->stopping || (r < 0 && errno != EINTR))
			break;
		left_ms = deadline_ms - clock_now_ms();
	}
	return job->stopping ? -ECANCELED : 0;
}

static int hear(struct job *job, int fd, int gauge_fd, int64_t deadline_ms)
{
	struct pollfd p[] = { { .fd = job->speaker.control_fd, .events = POLLIN },
		              { .fd = fd, .events = POLLIN },
		              { .fd = gauge_fd, .events = POLLIN },
		              { 0 } };
	int r = wait_for(job, p, ARRAY_SIZE(p), deadline_ms);

	if (r != 1)
		return r;
	return p[0].revents ? HEARD_SPEAKER : p[1].revents ? HEARD_OTHER : HEARD_GAUGE;
}

int job_hear(struct job *job, int fd, int64_t deadline_ms)
{
	return hear(job, fd, -1, deadline_ms);
}

int job_hear_and_gauge(struct job *job, int fd, int64_t deadline_ms)
{
	return hear(job, fd, job->gauge.result_fd, deadline_ms);
}

void job_give_up_client(struct job *job)
{
	job->gone = true;
	fd_closep(&job->speaker.control_fd);
}

void job_send_order(struct job *job, const struct order *order)
{
	struct pollfd p[] = { { .fd = job->speaker.control_fd, .events = POLLOUT }, { 0 } };

	if (job->gone || job->speaker.control_fd < 0)
		return;
	if (wait_for(job, p, ARRAY_SIZE(p), clock_now_ms() + TAKE_LIMIT_SEC * 1000) != 1 ||
	    send(job->speaker.control_fd, order, sizeof(*order), MSG_NOSIGNAL) < 0)
		job->gone = true; /* its last note is still to be read */
}

static void take_note(struct job *job, const struct note *note)
{
	job->receipt.stdout_bytes = note->stdout_bytes;
	job->receipt.stderr_bytes = note->stderr_bytes;
	job->receipt.input_bytes = note->input_bytes;
	job->receipt.output_bytes = note->output_bytes;
	job->receipt.delivery = note->delivery;
}

int job_receive_note(struct job *job, struct note *ret)
{
	if (fd_receive(job->speaker.control_fd, ret, sizeof(*ret)) < 0) {
		job->gone = true;
		return 0;
	}
	ret->text[sizeof(ret->text) - 1] = '\0';
	take_note(job, ret);
	return 1;
}

int job_end_by_note(struct job *job, const struct note *note, struct error *err)
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

int job_end_by_speaker(struct job *job, struct error *err)
{
	struct note note = { 0 };

	if (job_receive_note(job, &note) == 0)
		note.type = NOTE_HANGUP;
	return job_end_by_note(job, &note, err);
}

struct order job_make_order(const struct job *job, enum order_type type)
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

void job_tell_failure(struct job *job, const struct error *err)
{
	const struct verdict *verdict = &verdicts[err->blame];
	struct order order = job_make_order(job, ORDER_ERROR);
	/* Without root the client's user is the administrator. */
	bool tell = verdict->tell_peer || job->code_name || !job->options->privileged;

	job->receipt.verdict = job->code_name ? job->code_name : verdict->code;
	job->receipt.level = verdict->level;
	job->receipt.error = *err;
	job_keep_keepsake(job, order.kept);
	(void)snprintf(order.code_name, sizeof(order.code_name), "%s", job->receipt.verdict);
	(void)snprintf(order.text, sizeof(order.text), "%s",
	               tell ? error_peer_text(err) : "the server cannot run this request");
	if (tell)
		(void)snprintf(order.hint, sizeof(order.hint), "%s", error_peer_hint(err));
	else
		(void)snprintf(order.hint, sizeof(order.hint),
		               "its administrator finds the reason with: hatchctl show %s",
		               job->receipt.id);
	/* No log can follow: so the speaker sees the end of both streams before it speaks. */
	fd_closep(&job->speaker.stdout_fd);
	fd_closep(&job->speaker.stderr_fd);
	fd_closep(&job->speaker.status_fd);
	fd_closep(&job->speaker.pulse_fd);
	fd_closep(&job->speaker.tree_fd);
	fd_closep(&job->speaker.input_fd);
	job_send_order(job, &order);
}

void job_await_speaker(struct job *job)
{
	/* Also by a signal that came while a limit ended the builder. */
	bool stopped = job->stop_signal != 0;
	int64_t deadline_ms = clock_now_ms() + (stopped ? DRAIN_LIMIT_MS : TAKE_LIMIT_SEC * 1000);
	struct note note = { 0 };

	while (!job->gone && note.type != NOTE_FINISHED) {
		if (job_hear(job, -1, deadline_ms) != HEARD_SPEAKER ||
		    job_receive_note(job, &note) == 0 || note.type == NOTE_HANGUP ||
		    note.type == NOTE_BAD_REQUEST)
			job->gone = true;
	}
	fd_closep(&job->speaker.control_fd);
	(void)speaker_end(&job->speaker, SPEAKER_END_MS, NULL);
}
