/* See talk.h. Every function here runs under the speaker's seccomp filter. */
#include "talk.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "answers.h"
#include "hatchd/request/record.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"

enum {
	REQUEST_DEADLINE_MS = 5000, /* greeting to whole request, in all */
	STATUS_PAUSE_MS = 10, /* a flood costs the builder its time, not ours, which no limit holds
	                       */
};

int talk_tell(struct talk *talk, enum note_type type, enum delivery delivery, const char *text)
{
	struct note note;

	memset(&note, 0, sizeof(note));
	note.type = type;
	note.delivery = delivery;
	note.stdout_bytes = talk->streams[0].bytes;
	note.stderr_bytes = talk->streams[1].bytes;
	note.input_bytes = talk->input_bytes;
	note.output_bytes = talk->output_bytes;
	if (text)
		(void)snprintf(note.text, sizeof(note.text), "%s", text);
	return send(talk->control_fd, &note, sizeof(note), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static bool order_waits(const struct talk *talk)
{
	struct pollfd p = { .fd = talk->control_fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

int talk_wait_for_client(const struct talk *talk, int64_t *stalled_since_ms)
{
	struct pollfd p[] = { { .fd = talk->wire.fd, .events = POLLOUT },
		              { .fd = talk->control_fd } };
	int r;

	do
		r = poll(p, ARRAY_SIZE(p), 1000);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	if ((p[0].revents & (POLLERR | POLLHUP)) || p[1].revents)
		return -EPIPE;
	if (r > 0)
		return 0;
	if (talk->started && !talk->ended && !order_waits(talk))
		return 0;
	if (*stalled_since_ms == 0)
		*stalled_since_ms = clock_now_ms();
	return clock_now_ms() - *stalled_since_ms > STALL_MS ? -ETIMEDOUT : 0;
}

static int send_bytes(const struct talk *talk, const char *bytes, size_t len)
{
	int64_t stalled_since_ms = 0;

	while (len > 0) {
		ssize_t n = send(talk->wire.fd, bytes, len, MSG_NOSIGNAL);
		int r;

		if (n >= 0) {
			bytes += n;
			len -= (size_t)n;
			stalled_since_ms = 0;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		r = talk_wait_for_client(talk, &stalled_since_ms);
		if (r < 0)
			return r;
	}
	return 0;
}

int talk_say(const struct talk *talk, const struct message *message, const void *attachment)
{
	cleanup_(buffer_done) struct buffer buf = { 0 };
	int r = message_print(message, &buf, NULL);

	if (r == 0 && attachment)
		r = buffer_add(&buf, attachment, message->size);
	if (r < 0)
		return r;
	return send_bytes(talk, buf.data, buf.len);
}

enum step talk_end_bad_request(struct talk *talk, const char *text)
{
	(void)answers_error(talk, "bad-request", text,
	                    "a client of the same release speaks this protocol", "");
	(void)talk_tell(talk, NOTE_BAD_REQUEST, DELIVERY_UNKNOWN, text);
	return STEP_END;
}

enum step talk_end_hangup(struct talk *talk)
{
	(void)talk_tell(talk, NOTE_HANGUP, DELIVERY_LOST, NULL);
	return STEP_END;
}

static struct record_text borrow_string(const char *s)
{
	return (struct record_text){ s ? s : "", s ? strlen(s) : 0 };
}

static struct record_tree borrow_tree(const struct wire_tree *tree)
{
	return (struct record_tree){ borrow_string(tree->name), borrow_string(tree->path) };
}

/* The record borrows everything from the message; only the arrays are its own. */
static int record_from_message(const struct message *m, struct record *record)
{
	*record = (struct record){ .kind = RECORD_REQUEST };
	record->builder = borrow_string(m->request.builder);
	record->request_id = borrow_string(m->request.request_id);
	record->timeout_sec = m->request.timeout_sec;
	record->inline_reply = m->request.inline_reply;
	record->args = calloc(m->request.n_args + 1, sizeof(*record->args));
	record->env = calloc(m->request.n_env + 1, sizeof(*record->env));
	record->outputs = calloc(m->request.n_outputs + 1, sizeof(*record->outputs));
	record->inputs = calloc(m->request.n_inputs + 1, sizeof(*record->inputs));
	if (!record->args || !record->env || !record->outputs || !record->inputs)
		return -ENOMEM;

	for (size_t i = 0; i < m->request.n_args; i++)
		record->args[record->n_args++] = (struct record_text){ m->request.args[i].data,
			                                               m->request.args[i].len };
	for (size_t i = 0; i < m->request.n_env; i++)
		record->env[record->n_env++] = (struct record_variable){
			borrow_string(m->request.env[i].name),
			{ m->request.env[i].value.data, m->request.env[i].value.len },
		};
	for (size_t i = 0; i < m->request.n_outputs; i++)
		record->outputs[record->n_outputs++] = borrow_tree(&m->request.outputs[i]);
	for (size_t i = 0; i < m->request.n_inputs; i++)
		record->inputs[record->n_inputs++] = borrow_tree(&m->request.inputs[i]);
	return 0;
}

static void keep_names_of_inputs(struct talk *talk, const struct message *m)
{
	for (; talk->n_inputs < m->request.n_inputs; talk->n_inputs++)
		(void)snprintf(talk->inputs[talk->n_inputs], sizeof(talk->inputs[0]), "%s",
		               m->request.inputs[talk->n_inputs].name);
}

static int hand_over(struct talk *talk, const struct message *m, struct error *err)
{
	cleanup_record struct record record = { 0 };
	int r;

	if (m->type == MESSAGE_REQUEST) {
		keep_names_of_inputs(talk, m);
		r = record_from_message(m, &record);
	} else {
		record.kind = m->type == MESSAGE_LIST ? RECORD_LIST : RECORD_PING;
		r = 0;
	}
	if (r == 0)
		r = record_write(talk->record_fd, &record, err);
	if (r == 0)
		r = talk_tell(talk, NOTE_RECORD, DELIVERY_UNKNOWN, NULL);
	return r;
}

static enum step receive_request(struct talk *talk)
{
	cleanup_message struct message m = { 0 };
	struct error err = { 0 };
	int r;

	talk->wire.deadline_ms = clock_now_ms() + REQUEST_DEADLINE_MS;
	r = wire_read(&talk->wire, &m, &err);
	if (r == 0)
		return talk_end_hangup(talk);
	if (r == -ETIMEDOUT)
		return talk_end_bad_request(talk, "no whole request within 5 seconds");
	if (r < 0)
		return talk_end_bad_request(talk, err.text);
	if (m.type != MESSAGE_REQUEST && m.type != MESSAGE_LIST && m.type != MESSAGE_PING)
		return talk_end_bad_request(talk,
		                            "the first message must be a request, list or ping");
	if (m.request.version < WIRE_VERSION_MIN || m.request.version > WIRE_VERSION) {
		(void)answers_error(talk, "version", "this server speaks version 1 of the protocol",
		                    "use a client of the same release as the server", "");
		(void)talk_tell(talk, NOTE_BAD_REQUEST, DELIVERY_UNKNOWN, "no common version");
		return STEP_END;
	}
	if (m.size > 0)
		return talk_end_bad_request(talk, "a request has no attachment");
	if (wire_has_more(&talk->wire))
		return talk_end_bad_request(talk, "a message came while none was expected");
	talk->inline_reply = m.type == MESSAGE_REQUEST && m.request.inline_reply;
	if (m.type == MESSAGE_REQUEST)
		talk->heartbeat_ms = (int64_t)m.request.heartbeat_sec * 1000;
	if (hand_over(talk, &m, &err) < 0)
		return STEP_END;
	talk->wire.line_max = WIRE_LINE_MAX;
	talk->wire.deadline_ms = 0;
	return STEP_GO_ON;
}

static int relay_log(struct talk *talk, struct stream *stream, size_t len)
{
	struct message m = { .type = stream->type };

	if (talk->inline_reply) {
		m.log.data = (struct text){ talk->log_buf, len };
		return talk_say(talk, &m, NULL);
	}
	m.size = (uint32_t)len;
	return talk_say(talk, &m, talk->log_buf);
}

/* One read of a stream, which is closed at its end. Returns the number of bytes in log_buf. */
static size_t read_stream(struct talk *talk, struct stream *stream, size_t max)
{
	ssize_t n = fd_read_some(stream->fd, talk->log_buf,
	                         stream->left < max ? (size_t)stream->left : max);

	if (n == -EAGAIN)
		return 0;
	if (n > 0 && stream->left != STREAM_ENDLESS)
		stream->left -= (uint64_t)n;
	if (n <= 0 || stream->left == 0)
		fd_closep(&stream->fd);
	return n > 0 ? (size_t)n : 0;
}

/* Whoever wrote to it is gone: what is in it now is all there is. Somebody else may have an end of
 * it, but what he writes is not the builder's. */
static void end_stream(struct stream *stream)
{
	if (stream->fd < 0)
		return;
	stream->left = fd_left_in_pipe(stream->fd);
	if (stream->left == 0)
		fd_closep(&stream->fd);
}

/* One read of one stream: forwarded, or dropped once the log is full. */
static enum step read_log(struct talk *talk, struct stream *stream)
{
	size_t n = read_stream(talk, stream, talk->inline_reply ? LOG_INLINE_MAX : LOG_READ_MAX);
	uint64_t total;

	if (n == 0)
		return STEP_GO_ON;
	talk->last_log_ms = clock_now_ms();
	stream->bytes += n;
	total = talk->streams[0].bytes + talk->streams[1].bytes;
	if (total > talk->log_max) {
		if (!talk->log_full)
			(void)talk_tell(talk, NOTE_LOG_FULL, DELIVERY_UNKNOWN, NULL);
		talk->log_full = true;
		return STEP_GO_ON;
	}
	if (relay_log(talk, stream, n) < 0)
		return talk_end_hangup(talk);
	talk->last_log_ms = clock_now_ms();
	return STEP_GO_ON;
}

/* --- what else the builder, and a request, give of themselves --- */

static enum step say_phase(struct talk *talk)
{
	struct message m = { .type = MESSAGE_PHASE };

	m.phase.text = (char *)phases_take(&talk->phases, clock_now_ms());
	return m.phase.text && talk_say(talk, &m, NULL) < 0 ? talk_end_hangup(talk) : STEP_GO_ON;
}

/* One read of what the builder says of itself: whoever says something is not silent. */
static void read_status(struct talk *talk)
{
	size_t n = read_stream(talk, &talk->status, LOG_READ_MAX);

	talk->status_ms = clock_now_ms() + STATUS_PAUSE_MS;
	if (n == 0)
		return;
	phases_feed(&talk->phases, talk->log_buf, n);
	talk->last_log_ms = clock_now_ms();
}

static enum step say_alive(struct talk *talk)
{
	const struct message m = { .type = MESSAGE_ALIVE };

	talk->last_beat_ms = clock_now_ms();
	return talk_say(talk, &m, NULL) < 0 ? talk_end_hangup(talk) : STEP_GO_ON;
}

void talk_begin_drain(struct talk *talk, bool tapped)
{
	talk->ended = talk->draining = true;
	if (tapped)
		return;
	end_stream(&talk->streams[0]);
	end_stream(&talk->streams[1]);
	end_stream(&talk->status);
}

static bool is_drained(const struct talk *talk)
{
	return talk->streams[0].fd < 0 && talk->streams[1].fd < 0 && talk->status.fd < 0;
}

static enum step end_drain(struct talk *talk)
{
	talk->draining = false;
	if (say_phase(talk) == STEP_END)
		return STEP_END;
	return talk_tell(talk, NOTE_DRAINED, DELIVERY_UNKNOWN, NULL) < 0 ? STEP_END : STEP_GO_ON;
}

static enum step receive_order(struct talk *talk)
{
	struct order order;

	if (fd_receive(talk->control_fd, &order, sizeof(order)) < 0)
		return STEP_END; /* the monitor is gone, and with it everything else */
	return answers_obey(talk, &order);
}

/* Something from the client outside its turn: the end of its half, or a breach of the protocol. */
static enum step hear_client(struct talk *talk, short events)
{
	char byte;
	ssize_t n;

	if (events & (POLLHUP | POLLERR))
		return talk_end_hangup(talk);
	n = recv(talk->wire.fd, &byte, 1, MSG_DONTWAIT);
	if (n > 0)
		return talk_end_bad_request(talk, "a message came while none was expected");
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return STEP_GO_ON; /* an out-of-band byte: it wakes us, and this read threw it away
		                    */
	if (n < 0)
		return talk_end_hangup(talk);
	talk->client_done = true;
	return STEP_GO_ON;
}

/* --- what only time brings --- */

static int64_t silence_due_ms(const struct talk *talk)
{
	bool heeded = talk->started && !talk->ended && talk->silence_ms > 0 && !talk->silent;

	return heeded ? talk->last_log_ms + talk->silence_ms : INT64_MAX;
}

static int64_t status_due_ms(const struct talk *talk)
{
	return talk->status.fd >= 0 && talk->status_ms > 0 ? talk->status_ms : INT64_MAX;
}

static enum step end_pause(struct talk *talk)
{
	talk->status_ms = 0;
	return STEP_GO_ON;
}

static int64_t phase_due_ms(const struct talk *talk)
{
	return talk->phases.waits ? talk->phases.next_ms : INT64_MAX;
}

static int64_t beat_due_ms(const struct talk *talk)
{
	bool lives = talk->accepted && !talk->returning;

	return lives && talk->heartbeat_ms > 0 ? talk->last_beat_ms + talk->heartbeat_ms
	                                       : INT64_MAX;
}

static enum step tell_silence(struct talk *talk)
{
	talk->silent = true;
	(void)talk_tell(talk, NOTE_SILENT, DELIVERY_UNKNOWN, NULL);
	return STEP_GO_ON;
}

/* All that only time brings, in the order in which it is done when more than one is due. */
static const struct timer {
	int64_t (*due_ms)(const struct talk *talk); /* INT64_MAX: never */
	enum step (*act)(struct talk *talk);        /* after which it is not due any more */
	/* Silent is only who had the chance to be heard: a relay may have waited for the client. */
	bool not_while_heard;
} timers[] = {
	{ status_due_ms, end_pause },
	{ phase_due_ms, say_phase },
	{ beat_due_ms, say_alive },
	{ silence_due_ms, tell_silence, .not_while_heard = true },
};

static int poll_timeout_ms(const struct talk *talk)
{
	int64_t now = clock_now_ms(), first = INT64_MAX;

	for (size_t i = 0; i < ARRAY_SIZE(timers); i++) {
		int64_t due = timers[i].due_ms(talk);

		first = due < first ? due : first;
	}
	if (first == INT64_MAX)
		return -1;
	return first < now ? 0 : first - now > 60000 ? 60000 : (int)(first - now);
}

/* heard: something of the builder's was there to be read in this round */
static enum step act_in_time(struct talk *talk, bool heard)
{
	for (size_t i = 0; i < ARRAY_SIZE(timers); i++) {
		if ((heard && timers[i].not_while_heard) || clock_now_ms() < timers[i].due_ms(talk))
			continue;
		if (timers[i].act(talk) == STEP_END)
			return STEP_END;
	}
	return STEP_GO_ON;
}

/* What the builder wrote is held back on its way to us: silent it is not. */
static void feel_pulse(struct talk *talk)
{
	uint64_t n;

	(void)fd_read_some(talk->pulse_fd, &n, sizeof(n));
	talk->last_log_ms = clock_now_ms();
}

/* The packer has begun, or has failed. */
static enum step relay_output(struct talk *talk)
{
	enum step step;

	talk->returning = true;
	step = talk_relay_output(talk, talk->output);
	talk->output[0] = '\0';
	return step;
}

/* Orders come after the log that is there already: so a client sees things in the order they
 * happened. The next one waits for an output, which may be looked through first. */
static enum step talk_once(struct talk *talk)
{
	struct pollfd p[] = {
		{ .fd = talk->wire.fd, .events = talk->client_done || talk->deaf ? 0 : POLLIN },
		{ .fd = talk->streams[0].fd, .events = POLLIN },
		{ .fd = talk->streams[1].fd, .events = POLLIN },
		{ .fd = talk->control_fd, .events = talk->output[0] ? 0 : POLLIN },
		{ .fd = talk->pulse_fd, .events = POLLIN },
		{ .fd = talk->status.fd, .events = POLLIN },
		{ .fd = talk->output[0] ? talk->tree_fd : -1, .events = POLLIN },
	};

	if (talk->draining && is_drained(talk))
		return end_drain(talk);
	if (!talk->started && !talk->draining) /* nothing is read before the log limit is known */
		p[1].fd = p[2].fd = p[5].fd = -1;
	if (talk->status_ms > clock_now_ms())
		p[5].fd = -1;
	if (poll(p, ARRAY_SIZE(p), poll_timeout_ms(talk)) < 0)
		return errno == EINTR ? STEP_GO_ON : STEP_END;
	if (p[0].revents && hear_client(talk, p[0].revents) == STEP_END)
		return STEP_END;
	for (size_t i = 0; i < 2; i++)
		if (p[i + 1].revents && read_log(talk, &talk->streams[i]) == STEP_END)
			return STEP_END;
	if (p[4].revents)
		feel_pulse(talk);
	if (p[5].revents)
		read_status(talk);
	if (act_in_time(talk, p[1].revents || p[2].revents || p[5].revents) == STEP_END)
		return STEP_END;
	if (p[6].revents)
		return relay_output(talk);
	if (p[3].revents)
		return receive_order(talk);
	return STEP_GO_ON;
}

void talk_run(struct talk *talk)
{
	if (answers_greet(talk) < 0) {
		(void)talk_end_hangup(talk);
		return;
	}
	if (receive_request(talk) == STEP_END)
		return;
	while (talk_once(talk) == STEP_GO_ON)
		;
}
