/* The journal's and the service manager's view of a request. */
#define SD_JOURNAL_SUPPRESS_LOCATION /* the line is about a request, not about our source */

#include "receipt.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>

#include "lib/base/buffer.h"
#include "lib/base/cleanup.h"
#include "lib/base/log.h"
#include "lib/base/text.h"

enum {
	FIELDS_MAX = 64,
	FEATURES_FIELD_MAX = 1024,
};

struct fields {
	char *items[FIELDS_MAX];
	size_t n_items;
};

static void fields_done(struct fields *fields)
{
	for (size_t i = 0; i < fields->n_items; i++)
		free(fields->items[i]);
}

/* A field that finds no memory is left out: the line is worth more than the field. */
__attribute__((format(printf, 2, 3))) static void add(struct fields *fields, const char *fmt, ...)
{
	va_list ap;
	char *item;
	int n;

	if (fields->n_items == FIELDS_MAX)
		return;
	va_start(ap, fmt);
	n = vasprintf(&item, fmt, ap);
	va_end(ap);
	if (n >= 0)
		fields->items[fields->n_items++] = item;
}

static const char *delivery_word(enum delivery delivery)
{
	switch (delivery) {
	case DELIVERY_DONE:
		return "yes";
	case DELIVERY_LOST:
		return "no";
	default:
		return "unknown";
	}
}

static void add_result(struct fields *fields, const struct receipt *receipt)
{
	add(fields, "HATCH_VERDICT=%s", receipt->verdict);
	add(fields, "HATCH_PHASE=%s", receipt->phase);
	add(fields, "HATCH_DURATION_MS=%llu", (unsigned long long)receipt->total_ms);
	add(fields, "HATCH_QUEUED_MS=%llu", (unsigned long long)receipt->queued_ms);
	add(fields, "HATCH_RUN_MS=%llu", (unsigned long long)receipt->run_ms);
	add(fields, "HATCH_STDOUT_BYTES=%llu", (unsigned long long)receipt->stdout_bytes);
	add(fields, "HATCH_STDERR_BYTES=%llu", (unsigned long long)receipt->stderr_bytes);
	add(fields, "HATCH_OUTPUT_BYTES=%llu", (unsigned long long)receipt->output_bytes);
	add(fields, "HATCH_OUTPUTS=%llu", (unsigned long long)receipt->outputs);
	if (receipt->inputs) {
		add(fields, "HATCH_INPUTS=%llu", (unsigned long long)receipt->inputs);
		add(fields, "HATCH_INPUTS_BOUND=%llu", (unsigned long long)receipt->inputs_bound);
		add(fields, "HATCH_INPUT_BYTES=%llu", (unsigned long long)receipt->input_bytes);
	}
	add(fields, "HATCH_DELIVERED=%s", delivery_word(receipt->delivery));
	if (receipt->kept)
		add(fields, "HATCH_KEPT=%s", "yes");
	if (receipt->has_exit)
		add(fields, "HATCH_EXIT=%u", receipt->exit_code);
	if (receipt->exit_signal)
		add(fields, "HATCH_SIGNAL=%u", receipt->exit_signal);
	if (receipt->timed_out)
		add(fields, "HATCH_TIMED_OUT=%s", receipt->silent ? "silence" : "time");
	if (receipt->oom)
		add(fields, "HATCH_OOM=1");
	if (receipt->scratch_limit)
		add(fields, "HATCH_SCRATCH_LIMIT=%s", receipt->scratch_limit);
	if (receipt->limits_missing[0])
		add(fields, "HATCH_LIMITS_MISSING=%s", receipt->limits_missing);
	if (receipt->error.text[0])
		add(fields, "HATCH_ERROR=%s", receipt->error.text);
	if (receipt->error.hint[0])
		add(fields, "HATCH_HINT=%s", receipt->error.hint);
}

/* What the host cannot tell is not there. */
static void add_usage(struct fields *fields, const struct usage *usage)
{
	if (usage->memory_peak)
		add(fields, "HATCH_MEMORY_PEAK=%llu", (unsigned long long)usage->memory_peak);
	if (usage->cpu_user_us + usage->cpu_system_us) {
		add(fields, "HATCH_CPU_USER_US=%llu", (unsigned long long)usage->cpu_user_us);
		add(fields, "HATCH_CPU_SYSTEM_US=%llu", (unsigned long long)usage->cpu_system_us);
	}
	if (usage->io_read_bytes)
		add(fields, "HATCH_IO_READ_BYTES=%llu", (unsigned long long)usage->io_read_bytes);
	if (usage->io_write_bytes)
		add(fields, "HATCH_IO_WRITE_BYTES=%llu", (unsigned long long)usage->io_write_bytes);
	if (usage->pids_peak)
		add(fields, "HATCH_PIDS_PEAK=%llu", (unsigned long long)usage->pids_peak);
}

/* Of a stranger's list only what is the size of a line; names are told apart by a blank. */
static void add_features(struct fields *fields, const struct features *features)
{
	char text[FEATURES_FIELD_MAX] = "", clean[FEATURES_FIELD_MAX];
	size_t len = 0;

	for (const char *name = features_next(features, NULL); name && len < sizeof(text);
	     name = features_next(features, name))
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", len > 0 ? " " : "",
		                        name);
	text_escape(text, strlen(text), clean, sizeof(clean));
	add(fields, "HATCH_FEATURES=%s", clean);
}

static void add_who(struct fields *fields, const struct receipt *receipt)
{
	add(fields, "HATCH_REQUEST=%s", receipt->id);
	if (receipt->client_id[0])
		add(fields, "HATCH_CLIENT_ID=%s", receipt->client_id);
	if (receipt->builder[0])
		add(fields, "HATCH_BUILDER=%s", receipt->builder);
	if (receipt->user[0])
		add(fields, "HATCH_USER=%s", receipt->user);
	if (receipt->resources[0])
		add(fields, "HATCH_RESOURCES=%s", receipt->resources);
	if (!receipt->peer)
		return;
	add(fields, "HATCH_PEER_UID=%u", receipt->peer->uid);
	add(fields, "HATCH_PEER_GID=%u", receipt->peer->gid);
	add(fields, "HATCH_PEER_PID=%d", receipt->peer->pid);
	if (receipt->peer->derivation[0])
		add(fields, "HATCH_DRV=%s", receipt->peer->derivation);
	if (receipt->peer->features)
		add_features(fields, receipt->peer->features);
}

/* The sentence for people. */
static int print_message(const struct receipt *receipt, struct buffer *buf)
{
	int r = buffer_printf(buf, "%s", receipt->builder[0] ? receipt->builder : receipt->phase);

	if (r == 0 && receipt->peer)
		r = buffer_printf(buf, " for uid %u", receipt->peer->uid);
	if (r == 0 && receipt->peer && receipt->peer->derivation[0])
		r = buffer_printf(buf, " (%s)", receipt->peer->derivation);
	if (r == 0 && receipt->user[0])
		r = buffer_printf(buf, " as %s", receipt->user);
	if (r == 0)
		r = buffer_printf(buf, ": %s", receipt->verdict);
	if (r == 0 && receipt->has_exit)
		r = buffer_printf(buf, ", exit %u", receipt->exit_code);
	if (r == 0 && receipt->exit_signal)
		r = buffer_printf(buf, " (signal %u)", receipt->exit_signal);
	if (r == 0)
		r = buffer_printf(buf, " after %llu ms", (unsigned long long)receipt->total_ms);
	if (r == 0 && receipt->outputs > 0)
		r = buffer_printf(
			buf, ", %llu output%s, delivered: %s", (unsigned long long)receipt->outputs,
			receipt->outputs == 1 ? "" : "s", delivery_word(receipt->delivery));
	if (r == 0 && receipt->error.text[0])
		r = buffer_printf(buf, ": %s", receipt->error.text);
	if (r == 0 && receipt->error.hint[0])
		r = buffer_printf(buf, "; %s", receipt->error.hint);
	return r;
}

void receipt_log(const struct receipt *receipt)
{
	cleanup_(fields_done) struct fields fields = { 0 };
	cleanup_(buffer_done) struct buffer message = { 0 };
	struct iovec parts[FIELDS_MAX];
	char clean[2048];

	if (print_message(receipt, &message) < 0)
		return;
	/* Under systemd stderr is the journal too, but without fields. */
	if (!getenv("JOURNAL_STREAM")) {
		log_line(receipt->level, "%s", message.data);
		return;
	}
	text_escape(message.data, message.len, clean, sizeof(clean));
	add(&fields, "MESSAGE=%s", clean);
	add(&fields, "PRIORITY=%d", receipt->level);
	add(&fields, "SYSLOG_IDENTIFIER=hatchd");
	add_who(&fields, receipt);
	add_result(&fields, receipt);
	add_usage(&fields, &receipt->usage);
	for (size_t i = 0; i < fields.n_items; i++)
		parts[i] = (struct iovec){ fields.items[i], strlen(fields.items[i]) };
	if (sd_journal_sendv(parts, (int)fields.n_items) < 0)
		log_line(receipt->level, "%s", message.data);
}

int receipt_print(const struct receipt *receipt, struct buffer *ret)
{
	cleanup_(fields_done) struct fields fields = { 0 };
	char clean[2048];
	int r = 0;

	add_who(&fields, receipt);
	add_result(&fields, receipt);
	add_usage(&fields, &receipt->usage);
	for (size_t i = 0; r == 0 && i < fields.n_items; i++) {
		text_escape(fields.items[i], strlen(fields.items[i]), clean, sizeof(clean));
		r = buffer_printf(ret, "%s\n", clean);
	}
	return r;
}

void receipt_status(const char *fmt, ...)
{
	char text[512], clean[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	text_escape(text, strlen(text), clean, sizeof(clean));
	(void)sd_notifyf(0, "STATUS=%s", clean);
}

void receipt_expect(uint64_t seconds)
{
	(void)sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%llu", (unsigned long long)seconds * 1000000);
}
