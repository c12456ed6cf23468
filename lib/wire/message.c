/*
 * The messages, a table of members for each, and what no single member can tell. How a member is
 * read and printed is its kind's (member.h); bytes on the socket are wire.c's.
 */
#include "message.h"

#include <errno.h>
#include <string.h>

#include "lib/base/text.h"
#include "member.h"

enum {
	EXIT_CODE_MAX = 255,
	SIGNAL_MAX = 64,
};

#define AT(m) offsetof(struct message, m)
#define SIZE                                                                      \
	{                                                                         \
		"size", &u32_kind, AT(size), .min = 1, .max = WIRE_ATTACHMENT_MAX \
	}

static const struct member hello_members[] = {
	{ "version", &u32_kind, AT(hello.version), .max = UINT32_MAX, .must = true },
	{ "version_min", &u32_kind, AT(hello.version_min), .max = UINT32_MAX, .must = true },
	{ "server", &string_kind, AT(hello.server), .must = true },
};

static const struct member pong_members[] = {
	{ "server", &string_kind, AT(hello.server), .must = true },
};

static const struct member accepted_members[] = {
	{ "id", &string_kind, AT(accepted.id), .must = true, IS_ID },
	{ "builder", &string_kind, AT(accepted.builder), .must = true, IS_NAME },
	{ "derivation", &string_kind, AT(accepted.derivation) },
	{ "send", &names_kind, AT(accepted.send), .max = WIRE_INPUTS_MAX, IS_INPUT },
	{ "undeclared_references", &references_kind, AT(accepted.references) },
};

static const struct member queued_members[] = {
	{ "resource", &string_kind, AT(queued.resource), .must = true },
	{ "ahead", &u64_kind, AT(queued.ahead), ANY_NUMBER },
};

static const struct member send_members[] = {
	{ "name", &string_kind, AT(output.name), .must = true, IS_INPUT },
};

static const struct member started_members[] = {
	{ "time_limit_sec", &u64_kind, AT(started.time_limit_sec), ANY_NUMBER },
};

static const struct member phase_members[] = {
	{ "text", &string_kind, AT(phase.text), .must = true, IS_PHASE },
};

static const struct member log_members[] = {
	SIZE,
	{ "data", &data_kind, AT(log.data) },
	{ "data_b64", &data_b64_kind, AT(log.data) },
};

static const struct member output_members[] = {
	{ "name", &string_kind, AT(output.name), .must = true, IS_OUTPUT },
	SIZE,
};

#define STREAM_TOTALS                                                              \
	{ "entries", &u64_kind, AT(output.entries), ANY_NUMBER },                  \
		{ "bytes", &u64_kind, AT(output.bytes), ANY_NUMBER },              \
	{                                                                          \
		"sha256", &string_kind, AT(output.sha256), .must = true, IS_SHA256 \
	}

static const struct member output_end_members[] = {
	{ "name", &string_kind, AT(output.name), .must = true, IS_OUTPUT },
	STREAM_TOTALS,
};

static const struct member input_members[] = {
	{ "name", &string_kind, AT(output.name), .must = true, IS_INPUT },
	SIZE,
};

static const struct member input_end_members[] = {
	{ "name", &string_kind, AT(output.name), .must = true, IS_INPUT },
	STREAM_TOTALS,
};

static const struct member exit_members[] = {
	{ "code", &u32_kind, AT(exit.code), .max = EXIT_CODE_MAX, .must = true },
	{ "signal", &u32_kind, AT(exit.signal), .min = 1, .max = SIGNAL_MAX },
	{ "timed_out", &bool_kind, AT(exit.timed_out) },
	{ "silent", &bool_kind, AT(exit.silent) },
	{ "oom", &bool_kind, AT(exit.oom) },
	{ "hint", &string_kind, AT(exit.hint) },
	{ "kept", &string_kind, AT(exit.kept), IS_ID },
	{ "receipt", &receipt_kind, AT(exit.receipt), .must = true },
};

static const struct member error_members[] = {
	{ "code", &string_kind, AT(error.code), .must = true, IS_ERROR_CODE },
	{ "message", &string_kind, AT(error.message), .must = true },
	{ "hint", &string_kind, AT(error.hint) },
	{ "kept", &string_kind, AT(error.kept), IS_ID },
};

static const struct member builders_members[] = {
	{ "builders", &builders_kind, .must = true },
	{ "more", &bool_kind, AT(builders.more) },
};

#define VERSION_MEMBER                                                                     \
	{                                                                                  \
		"version", &u32_kind, AT(request.version), .max = UINT32_MAX, .must = true \
	}

static const struct member version_members[] = { VERSION_MEMBER };

static const struct member request_members[] = {
	VERSION_MEMBER,
	{ "builder", &string_kind, AT(request.builder), .must = true, IS_NAME },
	{ "args", &args_kind },
	{ "env", &env_kind },
	{ "outputs", &trees_kind, AT(request.outputs), .max = WIRE_OUTPUTS_MAX, IS_OUTPUT },
	{ "inputs", &trees_kind, AT(request.inputs), .max = WIRE_INPUTS_MAX, IS_INPUT },
	{ "timeout_sec", &u64_kind, AT(request.timeout_sec), .min = 1,
	  .max = WIRE_TIMEOUT_SEC_MAX },
	{ "heartbeat_sec", &u64_kind, AT(request.heartbeat_sec), .min = 1,
	  .max = WIRE_HEARTBEAT_SEC_MAX },
	{ "request_id", &string_kind, AT(request.request_id), IS_REQUEST_ID },
	{ "reply", &reply_kind, AT(request.inline_reply) },
};

#define MEMBERS(table) .members = (table), .n_members = ARRAY_SIZE(table)

struct form {
	const char *name;
	const struct member *members;
	size_t n_members;
	bool attachment;    /* may have a size */
	bool version_first; /* of a client: another version is read no further */
	/* what no single member can tell */
	int (*check)(const struct message *message, struct error *err);
};

static int check_hello(const struct message *message, struct error *err)
{
	if (message->hello.version_min <= message->hello.version)
		return 0;
	return error_set(err, BLAME_PEER, EBADMSG, "member \"version_min\" is above \"version\"");
}

static int check_log(const struct message *message, struct error *err)
{
	if ((message->size > 0) != (message->log.data.data != NULL))
		return 0;
	return error_set(err, BLAME_PEER, EBADMSG,
	                 "member \"size\" or one of \"data\" and \"data_b64\" must be there");
}

static int check_chunk(const struct message *message, struct error *err)
{
	if (message->size > 0)
		return 0;
	return error_set(err, BLAME_PEER, EBADMSG, "member \"size\" is missing");
}

static int check_exit(const struct message *message, struct error *err)
{
	if (message->exit.silent && !message->exit.timed_out)
		return error_set(err, BLAME_PEER, EBADMSG,
		                 "member \"silent\" goes together with \"timed_out\"");
	if (message->exit.oom && message->exit.signal == 0)
		return error_set(err, BLAME_PEER, EBADMSG,
		                 "member \"oom\" goes together with \"signal\"");
	if (message->exit.code != 0 || (message->exit.signal == 0 && !message->exit.timed_out))
		return 0;
	return error_set(err, BLAME_PEER, EBADMSG,
	                 "member \"code\" is 0 after a signal or a time limit");
}

static int check_request(const struct message *message, struct error *err)
{
	if (!message->request.inline_reply || message->request.n_outputs == 0)
		return 0;
	return error_set(err, BLAME_PEER, EBADMSG,
	                 "member \"outputs\" does not go together with inline replies");
}

static const struct form forms[_MESSAGE_TYPE_MAX] = {
	[MESSAGE_HELLO] = { "hello", MEMBERS(hello_members), .check = check_hello },
	[MESSAGE_ACCEPTED] = { "accepted", MEMBERS(accepted_members) },
	[MESSAGE_QUEUED] = { "queued", MEMBERS(queued_members) },
	[MESSAGE_SEND] = { "send", MEMBERS(send_members) },
	[MESSAGE_STARTED] = { "started", MEMBERS(started_members) },
	[MESSAGE_PHASE] = { "phase", MEMBERS(phase_members) },
	[MESSAGE_ALIVE] = { "alive" },
	[MESSAGE_STDOUT] = { "stdout", MEMBERS(log_members), .attachment = true,
	                     .check = check_log },
	[MESSAGE_STDERR] = { "stderr", MEMBERS(log_members), .attachment = true,
	                     .check = check_log },
	[MESSAGE_OUTPUT] = { "output", MEMBERS(output_members), .attachment = true,
	                     .check = check_chunk },
	[MESSAGE_OUTPUT_END] = { "output-end", MEMBERS(output_end_members) },
	[MESSAGE_EXIT] = { "exit", MEMBERS(exit_members), .check = check_exit },
	[MESSAGE_ERROR] = { "error", MEMBERS(error_members) },
	[MESSAGE_BUILDERS] = { "builders", MEMBERS(builders_members) },
	[MESSAGE_PONG] = { "pong", MEMBERS(pong_members) },
	[MESSAGE_REQUEST] = { "request", MEMBERS(request_members), .version_first = true,
	                      .check = check_request },
	[MESSAGE_LIST] = { "list", MEMBERS(version_members), .version_first = true },
	[MESSAGE_PING] = { "ping", MEMBERS(version_members), .version_first = true },
	[MESSAGE_INPUT] = { "input", MEMBERS(input_members), .attachment = true,
	                    .check = check_chunk },
	[MESSAGE_INPUT_END] = { "input-end", MEMBERS(input_end_members) },
	[MESSAGE_RECEIVED] = { "received" },
};

const char *message_type_name(enum message_type type)
{
	return forms[type].name;
}

void message_done(struct message *message)
{
	const struct form *form = &forms[message->type];

	members_done(form->members, form->n_members, message);
	*message = (struct message){ 0 };
}

/* ---- reading ---- */

static int find_form(json_t *object, enum message_type *ret, struct error *err)
{
	json_t *type = json_object_get(object, "type");
	char text[COMPLAINT_MAX];

	if (!json_is_string(type))
		return error_set(err, BLAME_PEER, EBADMSG, "member \"type\" must be a string");
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
		if (strcmp(forms[i].name, json_string_value(type)) == 0) {
			*ret = (enum message_type)i;
			return 0;
		}
	text_escape(json_string_value(type), json_string_length(type), text, sizeof(text));
	return error_set(err, BLAME_PEER, EBADMSG, "no message has the type \"%s\"", text);
}

static int read_form(const struct form *form, json_t *object, struct message *message,
                     struct error *err)
{
	int r;

	if (form->version_first) {
		r = members_read(version_members, ARRAY_SIZE(version_members), object, message,
		                 err);
		if (r < 0 || message->request.version != WIRE_VERSION)
			return r;
	}
	if (!form->attachment && json_object_get(object, "size"))
		return error_set(err, BLAME_PEER, EBADMSG,
		                 "member \"size\": \"%s\" has no attachment", form->name);
	r = members_read(form->members, form->n_members, object, message, err);
	if (r < 0)
		return r;
	return form->check ? form->check(message, err) : 0;
}

int message_parse(const char *line, size_t len, struct message *ret, struct error *err)
{
	cleanup_message struct message message = { 0 };
	cleanup_json json_t *object = NULL;
	int r;

	r = wire_load_line(line, len, &object, err);
	if (r < 0)
		return r;
	r = find_form(object, &message.type, err);
	if (r < 0)
		return r;
	r = read_form(&forms[message.type], object, &message, err);
	if (r < 0)
		return r;
	*ret = message;
	message = (struct message){ 0 };
	return 0;
}

/* ---- printing ---- */

static int print_json(const struct message *message, struct buffer *buf, struct error *err)
{
	const struct form *form = &forms[message->type];
	cleanup_json json_t *object = json_object();
	int r;

	if (!object || json_object_set_new(object, "type", json_string(form->name)) < 0)
		return wire_no_memory(err);
	r = members_print(form->members, form->n_members, message, object, err);
	if (r < 0)
		return r;
	return wire_dump_object(object, buf, err);
}

/* The messages that carry bulk, without a tree of JSON values: one log line is one of them. Their
 * only string is the name of an output or input, whose pattern needs no escaping. */
static int print_bulk(const struct message *message, struct buffer *buf, struct error *err)
{
	const char *type = forms[message->type].name;
	int r;

	if (message->size > WIRE_ATTACHMENT_MAX)
		return error_set(err, BLAME_HOST, EMSGSIZE, "attachment of %u bytes is too long",
		                 message->size);
	if (message->type == MESSAGE_OUTPUT || message->type == MESSAGE_INPUT)
		r = buffer_printf(buf, "{\"type\":\"%s\",\"name\":\"%s\",\"size\":%u}", type,
		                  message->output.name, message->size);
	else
		r = buffer_printf(buf, "{\"type\":\"%s\",\"size\":%u}", type, message->size);
	return r < 0 ? wire_no_memory(err) : 0;
}

int message_print(const struct message *message, struct buffer *buf, struct error *err)
{
	size_t line_max = message->type == MESSAGE_REQUEST ? WIRE_REQUEST_MAX : WIRE_LINE_MAX;
	size_t before = buf->len;
	int r;

	r = message->size > 0 ? print_bulk(message, buf, err) : print_json(message, buf, err);
	if (r == 0 && buffer_add(buf, "\n", 1) < 0)
		r = wire_no_memory(err);
	if (r == 0 && buf->len - before > line_max)
		r = error_set(err, BLAME_HOST, EMSGSIZE, "%s of %zu bytes is longer than %zu",
		              forms[message->type].name, buf->len - before, line_max);
	if (r < 0)
		buf->len = before;
	return r;
}
