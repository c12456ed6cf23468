/*
 * What one request was, cost and came to: gathered while it lives, written once as one journal line
 * with fields. hatchd(8), "JOURNAL", lists them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "hatchd/request/peer.h"
#include "hatchd/slot/control.h"
#include "hatchd/speaker/channel.h"
#include "lib/base/buffer.h"
#include "lib/base/error.h"

enum { RECEIPT_RESOURCES_MAX = 600 };

struct receipt {
	char id[CHANNEL_NAME_MAX + 1];        /* never empty */
	char client_id[CHANNEL_NAME_MAX + 1]; /* request_id of the client */
	char builder[CHANNEL_NAME_MAX + 1];
	const struct peer *peer; /* borrowed; NULL: unknown */
	char user[CHANNEL_NAME_MAX + 1];
	char resources[RECEIPT_RESOURCES_MAX]; /* held: "board-a=1 vivado-seat=1" */
	const char *phase;                     /* reached */
	const char *verdict;                   /* "done", or the code of an error, or "cancelled" */
	int64_t begun_ms;
	uint64_t queued_ms, run_ms, total_ms;
	bool has_exit;
	uint32_t exit_code, exit_signal;
	bool timed_out;
	bool silent; /* timed_out by the limit on silence */
	bool oom;    /* ended by the kernel for want of memory */
	struct usage usage;
	const char *scratch_limit; /* what held it: scratch_way_name(); NULL: nothing */
	char limits_missing[CONTROL_MISSING_MAX]; /* optional ones that were not in force */
	uint64_t stdout_bytes, stderr_bytes, output_bytes, outputs;
	uint64_t inputs, inputs_bound, input_bytes;
	enum delivery delivery;
	bool kept;          /* as a keepsake; see keepsake.h */
	struct error error; /* text empty: none */
	int level;          /* syslog */
};

/* receipt_log - the one line of a request, to the journal, or to stderr where no journal listens */
void receipt_log(const struct receipt *receipt);

/* receipt_print - the same fields as lines NAME=VALUE, without those of the journal's own; values
 * are escaped. 0 or -ENOMEM */
int receipt_print(const struct receipt *receipt, struct buffer *ret);

/* receipt_status - what systemctl status shows of the running instance (sd_notify(3), STATUS=) */
void receipt_status(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* receipt_expect - the request may take so long from now on: moves the service manager's
 * TimeoutStartSec=, which is only a backstop (sd_notify(3), EXTEND_TIMEOUT_USEC=) */
void receipt_expect(uint64_t seconds);
