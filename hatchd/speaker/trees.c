/* Trees on their way between the client and the tree pipes. Nothing of them is looked at here. */
#include <errno.h>
#include <fcntl.h>

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "chunk.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "talk.h"

/* Move len bytes from the tree pipe to the client without looking at them. */
static int relay_bytes(struct talk *talk, size_t len)
{
	int64_t stalled_since_ms = 0;

	while (len > 0) {
		ssize_t n = splice(talk->tree_fd, NULL, talk->wire.fd, NULL, len,
		                   SPLICE_F_MOVE | SPLICE_F_MORE);

		if (n > 0) {
			len -= (size_t)n;
			talk->output_bytes += (uint64_t)n;
			stalled_since_ms = 0;
			continue;
		}
		if (n == 0)
			return -EIO; /* the packer died inside a chunk */
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		n = talk_wait_for_client(talk, &stalled_since_ms);
		if (n < 0)
			return (int)n;
	}
	return 0;
}

static int relay_end(struct talk *talk, const char *name)
{
	struct message m = { .type = MESSAGE_OUTPUT_END };
	struct tree_totals totals;

	if (chunk_read_end(talk->tree_fd, &totals) < 0)
		return -EIO;
	m.output.name = (char *)name;
	m.output.entries = totals.entries;
	m.output.bytes = totals.bytes;
	m.output.sha256 = totals.sha256;
	return talk_say(talk, &m, NULL);
}

enum step talk_relay_output(struct talk *talk, const char *name)
{
	struct chunk chunk;
	int r;

	while ((r = chunk_read(talk->tree_fd, &chunk)) == 1) {
		struct message m = { .type = MESSAGE_OUTPUT, .size = chunk.len };

		if (chunk.kind == CHUNK_END) {
			r = relay_end(talk, name);
			return r < 0 && r != -EIO ? talk_end_hangup(talk) : STEP_GO_ON;
		}
		m.output.name = (char *)name;
		r = talk_say(talk, &m, NULL);
		if (r == 0)
			r = relay_bytes(talk, chunk.len);
		if (r == -EIO)
			return STEP_END; /* a message was cut: nothing true can follow */
		if (r < 0)
			return talk_end_hangup(talk);
	}
	return r == -EBADMSG ? STEP_END : STEP_GO_ON;
}

/* --- inputs --- */

/* From here on the client has as long as it likes again. */
static void end_taking(struct talk *talk)
{
	talk->wire.deadline_ms = 0;
	talk->wire.stop_fd = -1;
}

/* Nobody wants the rest of an input: the unpacker sees the end of its pipe. */
static enum step give_up_input(struct talk *talk)
{
	end_taking(talk);
	fd_closep(&talk->input_fd);
	talk->deaf = true;
	return STEP_GO_ON;
}

static bool has_hung_up(const struct talk *talk)
{
	struct pollfd p = { .fd = talk->wire.fd };

	return poll(&p, 1, 0) != 0;
}

/* What wire_read() and wire_read_attachment() failed with, or 0 for the end of the stream. */
static enum step end_input(struct talk *talk, const char *name, int r, const struct error *err)
{
	char text[ERROR_TEXT_MAX];

	if (r == -ECANCELED)
		return give_up_input(talk);
	if ((r == 0 || r == -EPIPE || r == -ECONNRESET) && has_hung_up(talk))
		return talk_end_hangup(talk);
	if (r == 0 || r == -EPIPE)
		(void)snprintf(text, sizeof(text), "the connection ended before the input %s did",
		               name);
	else if (r == -ETIMEDOUT)
		(void)snprintf(text, sizeof(text), "no byte of the input %s came for %d seconds",
		               name, STALL_MS / 1000);
	else
		(void)snprintf(text, sizeof(text), "%s", err->text);
	return talk_end_bad_request(talk, text);
}

static void allow_a_pause(struct talk *talk)
{
	talk->wire.deadline_ms = clock_now_ms() + STALL_MS;
}

/* The attachment of one message. Returns 0 when it is complete, -ESHUTDOWN if the unpacker is gone,
 * or as wire_read_attachment(). */
static int pass_on(struct talk *talk, struct error *err)
{
	const void *bytes;
	ssize_t n;

	while (allow_a_pause(talk), (n = wire_read_attachment(&talk->wire, &bytes, err)) > 0) {
		talk->input_bytes += (uint64_t)n;
		if (chunk_write(talk->input_fd, bytes, (size_t)n) < 0)
			return -ESHUTDOWN;
	}
	return (int)n;
}

/* A piece costs a line to parse and a chunk to unpack however few bytes it has. */
static int count_piece(struct talk *talk, const char *name, struct error *err)
{
	talk->input_pieces++;
	if (talk->input_pieces <= PIECES_SMALL_MAX + talk->input_bytes / PIECE_MEAN)
		return 0;
	return error_set(err, BLAME_PEER, EMSGSIZE, "too many small pieces of the input %s", name);
}

/* Until the message that is no piece of the input. Returns 1, or as wire_read(),
 * count_piece() and pass_on(). */
static int pass_on_pieces(struct talk *talk, const char *name, struct message *ret,
                          struct error *err)
{
	for (;;) {
		int r;

		allow_a_pause(talk);
		message_done(ret);
		r = wire_read(&talk->wire, ret, err);
		if (r <= 0)
			return r;
		if (ret->type != MESSAGE_INPUT || strcmp(ret->output.name, name) != 0)
			return 1;
		r = count_piece(talk, name, err);
		if (r == 0)
			r = pass_on(talk, err);
		if (r < 0)
			return r;
	}
}

static enum step finish_input(struct talk *talk, const char *name, const struct message *end)
{
	struct tree_totals totals = { .entries = end->output.entries, .bytes = end->output.bytes };

	if (end->type != MESSAGE_INPUT_END || strcmp(end->output.name, name) != 0 ||
	    wire_has_more(&talk->wire)) {
		char text[ERROR_TEXT_MAX];

		(void)snprintf(text, sizeof(text),
		               "\"%s\" came out of order: the input %s was to come",
		               message_type_name(end->type), name);
		return talk_end_bad_request(talk, text);
	}
	memcpy(totals.sha256, end->output.sha256, sizeof(totals.sha256));
	if (chunk_write_end(talk->input_fd, &totals) < 0)
		return give_up_input(talk);
	end_taking(talk);
	return talk_tell(talk, NOTE_INPUT, DELIVERY_UNKNOWN, NULL) < 0 ? STEP_END : STEP_GO_ON;
}

enum step talk_take_input(struct talk *talk, const char *name)
{
	const struct message send = { .type = MESSAGE_SEND, .output.name = (char *)name };
	cleanup_message struct message m = { 0 };
	struct error err = { 0 };
	int r = talk_say(talk, &send, NULL);

	if (r < 0)
		return talk_end_hangup(talk);
	talk->wire.stop_fd = talk->control_fd;
	r = pass_on_pieces(talk, name, &m, &err);
	if (r == -ESHUTDOWN)
		return give_up_input(talk);
	return r == 1 ? finish_input(talk, name, &m) : end_input(talk, name, r, &err);
}
