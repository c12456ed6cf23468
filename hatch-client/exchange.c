/*
 * The client's half of the order of messages. A table says which message fits which phase; only an
 * exit with code 0 after every output, each compared with its end record, is success.
 */
#include "exchange.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connect.h"
#include "inputs.h"
#include "interrupt.h"
#include "lib/base/fd.h"
#include "nix.h"
#include "outputs.h"
#include "progress.h"
#include "references.h"
#include "relay.h"
#include "request.h"
#include "verdict.h"

enum phase {
	PHASE_ASKED,
	PHASE_ACCEPTED,
	PHASE_STARTED,
	PHASE_RETURNING,
	PHASE_ENDED,
};

struct exchange {
	const struct options *options;
	int fd;
	struct wire wire;
	struct message request;
	struct inputs inputs;
	struct outputs outputs;
	struct relay relay;
	struct progress progress;
	struct references references;
	enum phase phase;
	char id[WIRE_ID_LEN + 1]; /* of the request; empty before it is accepted */
	bool queued;
	uint64_t time_limit_sec;
	struct message end;        /* the exit or the error */
	struct message stream_end; /* the record of the output that is being unpacked */
	bool stream_ended;
};

static void exchange_done(struct exchange *x)
{
	interrupt_watch(-1);
	wire_done(&x->wire);
	fd_closep(&x->fd); /* before the removal: the server stops while we clean up */
	outputs_done(&x->outputs);
	inputs_done(&x->inputs);
	references_done(&x->references);
	message_done(&x->request);
	message_done(&x->end);
	message_done(&x->stream_end);
}

#define cleanup_exchange cleanup_(exchange_done)

/* Moves a message into its keeper. */
static void keep(struct message *keeper, struct message *message)
{
	message_done(keeper);
	*keeper = *message;
	*message = (struct message){ 0 };
}

/* ---- one message ---- */

/* What this build may refer to. Outside of a sandbox there is nothing to compare with. Returns as
 * references_learn(). */
static int learn_references(struct exchange *x, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < x->outputs.n_own; i++)
		r = references_know(&x->references, x->outputs.own[i], err);
	for (size_t i = 0; r == 0 && i < x->outputs.n; i++)
		r = references_know(&x->references, x->outputs.items[i].path, err);
	return r == 0 ? references_learn(&x->references, err) : r;
}

/* A warning that cannot be given is no reason to fail; a check that cannot be made is. */
static int go_without_references(struct exchange *x, enum wire_references policy, int r,
                                 struct error *err)
{
	if (policy != REFERENCES_FAIL) {
		if (r < 0 && !x->options->quiet)
			relay_line(&x->relay, "undeclared references are not looked for: %s",
			           err->text);
		return 0;
	}
	if (r == 0)
		(void)error_set(err, BLAME_HOST, ENOTSUP,
		                "undeclared references are to be an error, but which store paths "
		                "this build has as inputs is not known");
	return error_hint(err, "only a Nix build in a sandbox (sandbox = true) knows; else take "
	                       "\"warn\" for \"fail\"");
}

/* The stricter of what the server says and what is asked for here. */
static int settle_references(struct exchange *x, enum wire_references said, struct error *err)
{
	enum wire_references asked = x->request.request.references;
	enum wire_references policy = asked > said ? asked : said;

	int r;

	if (policy < REFERENCES_WARN || x->outputs.n == 0)
		return 0;
	r = learn_references(x, err);
	if (r != 1)
		return go_without_references(x, policy, r, err);
	x->references.policy = policy;
	return 0;
}

static int on_accepted(struct exchange *x, struct message *message, struct error *err)
{
	int r;

	(void)snprintf(x->id, sizeof(x->id), "%s", message->accepted.id);
	x->phase = PHASE_ACCEPTED;
	r = settle_references(x, message->accepted.references, err);
	return r < 0 ? r : inputs_want(&x->inputs, message->accepted.send, err);
}

static int on_queued(struct exchange *x, struct message *message, struct error *err)
{
	progress_queued(&x->progress, message->queued.resource, message->queued.ahead);
	x->queued = true;
	return 0;
}

static int step(struct exchange *x, struct error *err);

/* A server that refuses in the middle closes on us, and what it said is still there to be read, to
 * its last word: a failed write is told only if that says nothing of the end. */
static int hear_after(struct exchange *x, const struct error *write_err, struct error *err)
{
	int r = 0;

	while (r == 0 && x->phase != PHASE_ENDED)
		r = step(x, err);
	if (r == 0)
		return 0;
	*err = *write_err;
	return -err->code;
}

static int on_send(struct exchange *x, struct message *message, struct error *err)
{
	struct error write_err;
	int r;

	progress_transfer_begin(&x->progress, "sending input", message->output.name);
	r = inputs_send(&x->inputs, message->output.name, &x->wire, &x->progress, err);
	progress_transfer_end(&x->progress);
	if (r != -EPIPE && r != -ECONNRESET)
		return r;
	write_err = *err;
	return hear_after(x, &write_err, err);
}

static int on_started(struct exchange *x, struct message *message, struct error *err)
{
	const struct input *missing = inputs_missing(&x->inputs);

	if (missing)
		return error_set(err, BLAME_PEER, EBADMSG, "the server began without the input %s",
		                 missing->name);
	x->time_limit_sec = message->started.time_limit_sec;
	x->phase = PHASE_STARTED;
	if (x->queued)
		progress_started(&x->progress);
	return 0;
}

static int on_phase(struct exchange *x, struct message *message, struct error *err)
{
	progress_phase(&x->progress, message->phase.text);
	return 0;
}

static int on_alive(struct exchange *x, struct message *message, struct error *err)
{
	progress_alive(&x->progress);
	return 0;
}

static int on_log(struct exchange *x, struct message *message, struct error *err)
{
	enum relay_stream stream = message->type == MESSAGE_STDERR ? RELAY_STDERR : RELAY_STDOUT;
	const void *bytes;
	ssize_t n;

	if (message->size == 0)
		return error_set(err, BLAME_PEER, EBADMSG,
		                 "the server answers inline, which was not asked for");
	while ((n = wire_read_attachment(&x->wire, &bytes, err)) > 0) {
		int r = relay_write(&x->relay, stream, bytes, (size_t)n, err);

		if (r < 0)
			return r;
	}
	progress_catch_up(&x->progress);
	return (int)n;
}

/* The message behind the last bytes of a stream: more of it, or its end record. */
static int next_of_stream(struct exchange *x, struct error *err)
{
	cleanup_message struct message message = { 0 };
	const struct output *output = outputs_next(&x->outputs);
	int r = wire_read(&x->wire, &message, err);

	if (r < 0)
		return r;
	if (r == 0)
		return verdict_lost(err);
	if (message.type == MESSAGE_ERROR) {
		keep(&x->end, &message);
		return error_set(err, BLAME_PEER, ECANCELED, "the server gave up");
	}
	if ((message.type != MESSAGE_OUTPUT && message.type != MESSAGE_OUTPUT_END) ||
	    strcmp(message.output.name, output->name) != 0)
		return verdict_out_of_order(&message, err);
	if (message.type == MESSAGE_OUTPUT)
		return 0;
	x->stream_ended = true;
	keep(&x->stream_end, &message);
	return 0;
}

/* tree_source: the attachments of one output. */
static ssize_t read_stream(void *context, const void **ret_bytes, struct error *err)
{
	struct exchange *x = context;

	for (;;) {
		ssize_t n = wire_read_attachment(&x->wire, ret_bytes, err);

		if (n > 0)
			progress_transfer_add(&x->progress, (uint64_t)n);
		if (n != 0 || x->stream_ended)
			return n;
		n = next_of_stream(x, err);
		if (n < 0)
			return n;
	}
}

static int compare(const struct message *end, const struct tree_totals *totals, struct error *err)
{
	if (end->output.entries == totals->entries && end->output.bytes == totals->bytes &&
	    strcmp(end->output.sha256, totals->sha256) == 0)
		return 0;
	return error_set(err, BLAME_PEER, EBADMSG,
	                 "output %s is not what was sent: %llu entries in %llu bytes came, its "
	                 "record says %llu in %llu",
	                 end->output.name, (unsigned long long)totals->entries,
	                 (unsigned long long)totals->bytes, (unsigned long long)end->output.entries,
	                 (unsigned long long)end->output.bytes);
}

static int on_output(struct exchange *x, struct message *message, struct error *err)
{
	const struct output *output = outputs_next(&x->outputs);
	const struct tree_source source = { .read = read_stream, .context = x };
	struct tree_watcher watcher;
	struct tree_totals totals;
	int r;

	if (!output || strcmp(output->name, message->output.name) != 0)
		return error_set(err, BLAME_PEER, EBADMSG,
		                 "the server sent output %s where %s was to come",
		                 message->output.name, output ? output->name : "none");
	x->phase = PHASE_RETURNING;
	x->stream_ended = false;
	progress_transfer_begin(&x->progress, "receiving output", output->name);
	watcher = references_watch(&x->references, output->name);
	r = outputs_unpack(&x->outputs, &source,
	                   x->references.policy == REFERENCES_UNSAID ? NULL : &watcher, &totals,
	                   err);
	progress_transfer_end(&x->progress);
	if (r < 0 && x->end.type == MESSAGE_ERROR) {
		x->phase = PHASE_ENDED;
		return 0;
	}
	return r < 0 ? r : compare(&x->stream_end, &totals, err);
}

static int on_end(struct exchange *x, struct message *message, struct error *err)
{
	keep(&x->end, message);
	x->phase = PHASE_ENDED;
	return relay_end(&x->relay, err);
}

#define IN(phase) (1u << PHASE_##phase)

static const struct rule {
	enum message_type type;
	unsigned int phases;
	int (*handle)(struct exchange *x, struct message *message, struct error *err);
} rules[] = {
	{ MESSAGE_ACCEPTED, IN(ASKED), on_accepted },
	{ MESSAGE_QUEUED, IN(ACCEPTED), on_queued },
	{ MESSAGE_SEND, IN(ACCEPTED), on_send },
	{ MESSAGE_STARTED, IN(ACCEPTED), on_started },
	{ MESSAGE_PHASE, IN(STARTED), on_phase },
	{ MESSAGE_ALIVE, IN(ACCEPTED) | IN(STARTED), on_alive },
	{ MESSAGE_STDOUT, IN(STARTED), on_log },
	{ MESSAGE_STDERR, IN(STARTED), on_log },
	{ MESSAGE_OUTPUT, IN(STARTED) | IN(RETURNING), on_output },
	{ MESSAGE_EXIT, IN(STARTED) | IN(RETURNING), on_end },
	{ MESSAGE_ERROR, IN(ASKED) | IN(ACCEPTED) | IN(STARTED) | IN(RETURNING), on_end },
};

static int step(struct exchange *x, struct error *err)
{
	cleanup_message struct message message = { 0 };
	int r = wire_read(&x->wire, &message, err);

	if (r < 0)
		return r;
	if (r == 0)
		return verdict_lost(err);
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (rules[i].type == message.type && (rules[i].phases & (1u << x->phase)))
			return rules[i].handle(x, &message, err);
	return verdict_out_of_order(&message, err);
}

/* ---- the whole ---- */

static int be_patient(void *context)
{
	return progress_patience(context);
}

/* Connects and sends. */
static int ask(struct exchange *x, const struct message *message, struct error *err)
{
	struct error write_err;
	int r = connect_server(x->options->socket, &x->fd, &x->wire, &x->end, err);

	if (r < 0)
		return r;
	if (r == 0) {
		x->phase = PHASE_ENDED;
		return 0;
	}
	x->wire.patience = be_patient;
	x->wire.patience_context = &x->progress;
	if (wire_write(&x->wire, message, NULL, &write_err) == 0)
		return 0;
	return hear_after(x, &write_err, err);
}

static int finish(struct exchange *x, struct error *err)
{
	const struct output *missing = outputs_next(&x->outputs);
	const struct message received = { .type = MESSAGE_RECEIVED };
	int r;

	if (x->end.type == MESSAGE_ERROR)
		return verdict_refused(&x->end, x->id, err);
	if (x->wire.start != x->wire.end)
		return error_set(err, BLAME_PEER, EBADMSG, "the server went on after its end");
	if (x->end.exit.code != 0)
		return verdict_failed(&x->end, x->id, x->request.request.builder, x->time_limit_sec,
		                      err);
	if (missing)
		return error_set(err, BLAME_PEER, EBADMSG,
		                 "the builder's end came without output %s", missing->name);
	r = references_judge(&x->references, &x->relay, x->options->quiet, err);
	if (r < 0)
		return r;
	if (interrupt_signal())
		return -EINTR;
	/* Everything is in place; that the server may not hear of it changes only its record. */
	(void)wire_write(&x->wire, &received, NULL, NULL);
	outputs_keep(&x->outputs);
	return 0;
}

static int talk(struct exchange *x, struct error *err)
{
	int r = request_make(x->options, &x->request, &x->inputs, &x->outputs, err);

	if (r < 0)
		return r;
	progress_begin(&x->progress, x->request.request.builder, x->request.request.heartbeat_sec);
	r = ask(x, &x->request, err);
	while (r == 0 && x->phase != PHASE_ENDED)
		r = step(x, err);
	return r < 0 ? r : finish(x, err);
}

int exchange_run(const struct options *options, struct error *err)
{
	cleanup_exchange struct exchange x = { .options = options, .fd = -1 };
	int r;

	relay_init(&x.relay, nix_may_read(), options->raw);
	progress_init(&x.progress, &x.relay, options->quiet);
	r = talk(&x, err);
	if (r != 0)
		relay_break_line(&x.relay);
	return r;
}
