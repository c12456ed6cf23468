/* What the client is told by order of the monitor, a message for each order. */
#include "answers.h"

#include <stdio.h>
#include <string.h>

#include "build-config.h"
#include "hatchd/config/config.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/text.h"

enum { RECEIVED_DEADLINE_MS = 10000 }; /* exit to "received" */

static const char server_name[] = "hatchd " VERSION;

int answers_greet(const struct talk *talk)
{
	struct message m = { .type = MESSAGE_HELLO };

	m.hello.version = WIRE_VERSION;
	m.hello.version_min = WIRE_VERSION_MIN;
	m.hello.server = (char *)server_name;
	return talk_say(talk, &m, NULL);
}

int answers_error(const struct talk *talk, const char *code, const char *text, const char *hint,
                  const char *kept)
{
	struct message m = { .type = MESSAGE_ERROR };
	char clean_text[2 * ERROR_TEXT_MAX], clean_hint[2 * ERROR_HINT_MAX];

	text_escape(text, strlen(text), clean_text, sizeof(clean_text));
	text_escape(hint, strlen(hint), clean_hint, sizeof(clean_hint));
	m.error.code = (char *)code;
	m.error.message = clean_text;
	m.error.hint = clean_hint[0] ? clean_hint : NULL;
	m.error.kept = kept[0] ? (char *)kept : NULL;
	return talk_say(talk, &m, NULL);
}

/* The client has the outputs in place, or it has not: both are worth a line in the record. */
static enum step await_received(struct talk *talk)
{
	cleanup_message struct message m = { 0 };
	enum delivery delivery = DELIVERY_UNKNOWN;
	struct error err = { 0 };
	int r;

	if (!talk->client_done) {
		talk->wire.deadline_ms = clock_now_ms() + RECEIVED_DEADLINE_MS;
		r = wire_read(&talk->wire, &m, &err);
		delivery = r == 1 && m.type == MESSAGE_RECEIVED ? DELIVERY_DONE : DELIVERY_LOST;
	}
	(void)talk_tell(talk, NOTE_FINISHED, delivery, NULL);
	return STEP_END;
}

static enum step end_finished(struct talk *talk, int r)
{
	if (r < 0)
		return talk_end_hangup(talk);
	(void)talk_tell(talk, NOTE_FINISHED, DELIVERY_UNKNOWN, NULL);
	return STEP_END;
}

static enum step say_exit(struct talk *talk, const struct order *order)
{
	struct message m = { .type = MESSAGE_EXIT };
	int r;

	m.exit.code = order->exit_code;
	m.exit.signal = order->exit_signal;
	m.exit.timed_out = order->timed_out;
	m.exit.silent = order->silent;
	m.exit.oom = order->oom;
	m.exit.hint = order->hint[0] ? (char *)order->hint : NULL;
	m.exit.kept = order->kept[0] ? (char *)order->kept : NULL;
	m.exit.receipt = (struct wire_receipt){
		.id = (char *)order->id,
		.builder = (char *)order->name,
		.derivation = order->derivation[0] ? (char *)order->derivation : NULL,
		.user = (char *)order->user,
		.peer_uid = order->peer_uid,
		.peer_gid = order->peer_gid,
		.queued_ms = order->queued_ms,
		.run_ms = order->run_ms,
		.total_ms = order->total_ms,
		.stdout_bytes = talk->streams[0].bytes,
		.stderr_bytes = talk->streams[1].bytes,
		.outputs = order->outputs,
		.inputs = order->inputs,
		.inputs_bound = order->inputs_bound,
		.input_bytes = talk->input_bytes,
		.memory_peak = order->usage.memory_peak,
		.cpu_user_us = order->usage.cpu_user_us,
		.cpu_system_us = order->usage.cpu_system_us,
		.io_read_bytes = order->usage.io_read_bytes,
		.io_write_bytes = order->usage.io_write_bytes,
		.pids_peak = order->usage.pids_peak,
	};
	r = talk_say(talk, &m, NULL);
	if (r == 0 && order->exit_code == 0)
		return await_received(talk);
	return end_finished(talk, r);
}

static int say_items(struct talk *talk, bool more)
{
	struct message m = { .type = MESSAGE_BUILDERS };
	int r;

	m.builders.items = talk->items;
	m.builders.n_items = talk->n_items;
	m.builders.more = more;
	r = talk_say(talk, &m, NULL);
	for (size_t i = 0; i < talk->n_items; i++) {
		free(talk->items[i].name);
		free(talk->items[i].description);
	}
	talk->n_items = 0;
	return r;
}

static enum step add_item(struct talk *talk, const struct order *order)
{
	struct wire_builder *item = &talk->items[talk->n_items];
	char clean[CHANNEL_DESCRIPTION_MAX];

	item->name = strdup(order->name);
	text_escape(order->text, strlen(order->text), clean, sizeof(clean));
	item->description = strdup(clean);
	if (!item->name || !item->description)
		return talk_end_hangup(talk);
	talk->n_items++;
	if (talk->n_items == ARRAY_SIZE(talk->items) && say_items(talk, true) < 0)
		return talk_end_hangup(talk);
	return STEP_GO_ON;
}

static int say_accepted(struct talk *talk, const struct order *order)
{
	static const enum wire_references references[] = {
		[UNDECLARED_IGNORE] = REFERENCES_IGNORE,
		[UNDECLARED_WARN] = REFERENCES_WARN,
		[UNDECLARED_FAIL] = REFERENCES_FAIL,
	};
	struct message m = { .type = MESSAGE_ACCEPTED };
	char *send[WIRE_INPUTS_MAX + 1] = { 0 };
	size_t n_send = 0;

	for (size_t i = 0; i < talk->n_inputs; i++)
		if (order->send & UINT32_C(1) << i)
			send[n_send++] = (char *)talk->inputs[i];
	talk->accepted = true;
	talk->last_beat_ms = clock_now_ms();
	m.accepted.references = references[order->undeclared_references];
	m.accepted.send = talk->n_inputs > 0 ? send : NULL;
	m.accepted.id = (char *)order->id;
	m.accepted.builder = (char *)order->name;
	m.accepted.derivation = order->derivation[0] ? (char *)order->derivation : NULL;
	return talk_say(talk, &m, NULL);
}

static int say_queued(const struct talk *talk, const struct order *order)
{
	struct message m = { .type = MESSAGE_QUEUED };

	m.queued.resource = (char *)order->name;
	m.queued.ahead = order->ahead;
	return talk_say(talk, &m, NULL);
}

static int say_started(struct talk *talk, const struct order *order)
{
	struct message m = { .type = MESSAGE_STARTED };

	talk->started = true;
	talk->log_max = order->log_bytes;
	talk->silence_ms = (int64_t)order->silence_sec * 1000;
	talk->last_log_ms = clock_now_ms();
	m.started.time_limit_sec = order->time_limit_sec;
	return talk_say(talk, &m, NULL);
}

static int say_pong(const struct talk *talk)
{
	struct message m = { .type = MESSAGE_PONG };

	m.hello.server = (char *)server_name;
	return talk_say(talk, &m, NULL);
}

enum step answers_obey(struct talk *talk, const struct order *order)
{
	int r;

	switch (order->type) {
	case ORDER_ACCEPTED:
		r = say_accepted(talk, order);
		break;
	case ORDER_QUEUED:
		r = say_queued(talk, order);
		break;
	case ORDER_SEND:
		return talk_take_input(talk, order->name);
	case ORDER_STARTED:
		r = say_started(talk, order);
		break;
	case ORDER_BUILDER:
		return add_item(talk, order);
	case ORDER_BUILDERS_END:
		return end_finished(talk, say_items(talk, false));
	case ORDER_PONG:
		return end_finished(talk, say_pong(talk));
	case ORDER_DRAIN:
		talk_begin_drain(talk, order->tapped);
		return STEP_GO_ON;
	case ORDER_OUTPUT:
		(void)snprintf(talk->output, sizeof(talk->output), "%s", order->name);
		return STEP_GO_ON;
	case ORDER_EXIT:
		return say_exit(talk, order);
	case ORDER_ERROR:
		return end_finished(talk, answers_error(talk, order->code_name, order->text,
		                                        order->hint, order->kept));
	default:
		return STEP_END;
	}
	return r < 0 ? talk_end_hangup(talk) : STEP_GO_ON;
}
