/*
 * Nix takes a line that starts with "@nix " for an instruction, of which it lets a build give two:
 * the name of the phase, and activities of type 101 (file transfers). Nix 2.8 ends the whole
 * command at one whose members have other types than it expects, so there is one function that
 * prints each kind. "msg" is never used: it would stand in the log of whoever builds, outside of
 * the build's own.
 *
 * An instruction must begin a line, and the builder's log shares the descriptor. A phase waits
 * until the builder has ended its line; only the newest does, because only that one is of interest.
 */
#include "progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "lib/base/text.h"
#include "nix.h"

enum {
	LINE_MAX_LEN = 5 * PROGRESS_PHASE_MAX,
	LEVEL_INFO = 3,
	TYPE_TRANSFER = 101,
	RESULT_PROGRESS = 105,
	TRANSFER_MIN = 1 << 20,
	TELL_EVERY_MS = 250,
};

void progress_init(struct progress *progress, struct relay *relay, bool quiet)
{
	*progress = (struct progress){
		.relay = relay,
		.quiet = quiet,
		.nix_fd = nix_log_fd(),
	};
}

/* ---- instructions ---- */

/* Text as the inside of a JSON string: valid UTF-8, and nothing in it that acts on a terminal,
 * where Nix would show it as it is. ret has room for twice the text and a NUL. */
static void quote(const char *text, char *ret, size_t ret_len)
{
	char clean[PROGRESS_PHASE_MAX];
	size_t n = 0;

	if (text_is_plain(text, strlen(text)))
		(void)snprintf(clean, sizeof(clean), "%s", text);
	else
		text_escape(text, strlen(text), clean, sizeof(clean));
	for (const char *p = clean; *p && n + 3 <= ret_len; p++) {
		if (*p == '"' || *p == '\\')
			ret[n++] = '\\';
		ret[n++] = *p;
	}
	ret[n] = '\0';
}

static void instruct(const struct progress *progress, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void instruct(const struct progress *progress, const char *fmt, ...)
{
	char line[LINE_MAX_LEN];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < sizeof(line))
		(void)fd_write_full(progress->nix_fd, line, (size_t)n);
}

static void set_phase(const struct progress *progress, const char *phase)
{
	char quoted[2 * PROGRESS_PHASE_MAX];

	quote(phase, quoted, sizeof(quoted));
	instruct(progress, "@nix {\"action\":\"setPhase\",\"phase\":\"%s\"}\n", quoted);
}

/* ---- phases ---- */

static void show_phase(struct progress *progress, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void show_phase(struct progress *progress, const char *fmt, ...)
{
	va_list ap;

	if (progress->nix_fd < 0 || progress->quiet)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(progress->phase, sizeof(progress->phase), fmt, ap);
	va_end(ap);
	progress_catch_up(progress);
}

void progress_catch_up(struct progress *progress)
{
	if (!progress->phase[0] || relay_in_line(progress->relay, progress->nix_fd))
		return;
	set_phase(progress, progress->phase);
	progress->phase[0] = '\0';
}

void progress_begin(struct progress *progress, const char *builder, uint64_t heartbeat_sec)
{
	progress->builder = builder;
	progress->heartbeat_ms = (int64_t)heartbeat_sec * 1000;
	show_phase(progress, "hatch %s", builder);
}

void progress_started(struct progress *progress)
{
	show_phase(progress, "hatch %s", progress->builder);
}

void progress_queued(struct progress *progress, const char *resource, uint64_t ahead)
{
	if (progress->quiet)
		return;
	show_phase(progress, "waiting for %s, %llu ahead", resource, (unsigned long long)ahead);
	if (progress->nix_fd < 0)
		relay_note(progress->relay, "waiting for %s, %llu ahead", resource,
		           (unsigned long long)ahead);
}

void progress_phase(struct progress *progress, const char *text)
{
	show_phase(progress, "hatch %s: %s", progress->builder, text);
	if (progress->nix_fd < 0 && !progress->quiet)
		relay_note(progress->relay, "%s: %s", progress->builder, text);
}

void progress_alive(struct progress *progress)
{
	if (progress->nix_fd < 0)
		return;
	if (relay_in_line(progress->relay, progress->nix_fd))
		relay_break_line(progress->relay);
	else
		(void)fd_write_full(progress->nix_fd, "\r", 1);
	progress->told_ms = clock_now_ms();
	progress_catch_up(progress);
}

/* ---- transfers ---- */

/* Unique among the processes of a build, whose activities Nix tells apart by it. */
static uint64_t next_id(void)
{
	static uint32_t n;

	return (uint64_t)getpid() << 16 | ++n;
}

static void tell_begin(struct progress *progress)
{
	char what[2 * PROGRESS_PHASE_MAX], uri[2 * PROGRESS_PHASE_MAX];

	quote(progress->what, what, sizeof(what));
	quote(progress->uri, uri, sizeof(uri));
	if (relay_in_line(progress->relay, progress->nix_fd))
		relay_break_line(progress->relay);
	instruct(progress,
	         "@nix {\"action\":\"start\",\"id\":%llu,\"level\":%d,\"type\":%d,"
	         "\"text\":\"%s\",\"fields\":[\"%s\"],\"parent\":0}\n",
	         (unsigned long long)progress->id, LEVEL_INFO, TYPE_TRANSFER, what, uri);
	progress->told = true;
}

/* How many bytes are to come nobody knows before the end: that is 0, as in a download without a
 * length. */
static void tell_bytes(struct progress *progress)
{
	instruct(progress,
	         "@nix {\"action\":\"result\",\"id\":%llu,\"type\":%d,\"fields\":[%llu,0,0,0]}\n",
	         (unsigned long long)progress->id, RESULT_PROGRESS,
	         (unsigned long long)progress->bytes);
}

void progress_transfer_begin(struct progress *progress, const char *what, const char *name)
{
	progress->id = next_id();
	progress->bytes = 0;
	progress->told = false;
	progress->told_ms = clock_now_ms();
	(void)snprintf(progress->what, sizeof(progress->what), "%s %s of hatch %s", what, name,
	               progress->builder);
	(void)snprintf(progress->uri, sizeof(progress->uri), "hatch:%s/%s", progress->builder,
	               name);
}

/* The next line about the bytes is due: the first as soon as they are worth it. */
static bool is_worth_telling(const struct progress *progress, int64_t silent_ms)
{
	if (progress->quiet || progress->bytes < TRANSFER_MIN)
		return false;
	return !progress->told || silent_ms >= TELL_EVERY_MS;
}

int progress_patience(struct progress *progress)
{
	int64_t left_ms;

	if (progress->nix_fd < 0 || progress->heartbeat_ms == 0)
		return -1;
	left_ms = progress->told_ms + progress->heartbeat_ms - clock_now_ms();
	if (left_ms <= 0) {
		progress_alive(progress);
		left_ms = progress->heartbeat_ms;
	}
	return (int)left_ms;
}

/* The server says nothing while it takes or sends a tree; the bytes themselves say that the request
 * lives. */
void progress_transfer_add(struct progress *progress, uint64_t bytes)
{
	int64_t silent_ms;

	progress->bytes += bytes;
	if (progress->nix_fd < 0)
		return;
	silent_ms = clock_now_ms() - progress->told_ms;
	if (is_worth_telling(progress, silent_ms)) {
		if (!progress->told)
			tell_begin(progress);
		tell_bytes(progress);
		progress->told_ms = clock_now_ms();
	} else {
		(void)progress_patience(progress);
	}
}

void progress_transfer_end(struct progress *progress)
{
	if (!progress->told)
		return;
	tell_bytes(progress);
	instruct(progress, "@nix {\"action\":\"stop\",\"id\":%llu}\n",
	         (unsigned long long)progress->id);
	progress->told = false;
}
