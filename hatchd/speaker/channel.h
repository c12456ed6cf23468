/*
 * What monitor and speaker say to each other: fixed structs over a SOCK_SEQPACKET pair, so that
 * neither side parses anything. Orders go to the speaker, notes come back.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "hatchd/config/config.h"
#include "hatchd/slot/usage.h"
#include "lib/base/error.h"

enum {
	CHANNEL_NAME_MAX = 64,
	CHANNEL_DERIVATION_MAX = 256,
	CHANNEL_CODE_MAX = 24,
	CHANNEL_DESCRIPTION_MAX = 512,
};

enum order_type {
	ORDER_ACCEPTED = 1,
	ORDER_QUEUED,
	ORDER_SEND, /* have the client send an input, into the input pipe, then NOTE_INPUT */
	ORDER_STARTED,
	ORDER_DRAIN,  /* the builder is gone: read what is left of its streams, then NOTE_DRAINED */
	ORDER_OUTPUT, /* relay one output from the tree pipe */
	ORDER_EXIT,
	ORDER_ERROR,
	ORDER_BUILDER,      /* one line of a listing */
	ORDER_BUILDERS_END, /* answer "list" now */
	ORDER_PONG,
};

/* One struct for all: what an order does not use is zero. Texts end in NUL. */
struct order {
	enum order_type type;
	char id[CHANNEL_NAME_MAX + 1];
	char name[CHANNEL_NAME_MAX + 1]; /* builder; input; output; resource */
	char derivation[CHANNEL_DERIVATION_MAX + 1];
	char user[CHANNEL_NAME_MAX + 1];
	char code_name[CHANNEL_CODE_MAX + 1]; /* of an error */
	char text[ERROR_TEXT_MAX];            /* message; description */
	char hint[ERROR_HINT_MAX];
	uint64_t ahead;
	enum undeclared_references undeclared_references; /* accepted */
	uint32_t send; /* accepted: bit i is set if input i of the request is to be sent */
	uint64_t time_limit_sec, silence_sec, log_bytes;
	uint32_t exit_code, exit_signal;
	bool tapped; /* drain: a process of ours writes the streams, and ends them */
	bool timed_out;
	bool silent; /* timed_out: by limits.silence_sec, not by limits.time_sec */
	bool oom;
	struct usage usage;
	uint32_t peer_uid, peer_gid;
	uint64_t queued_ms, run_ms, total_ms, outputs, inputs, inputs_bound;
	char kept[CHANNEL_NAME_MAX + 1]; /* exit, error: the keepsake of the failed request */
};

enum note_type {
	NOTE_RECORD = 1,  /* the sealed record is complete */
	NOTE_BAD_REQUEST, /* the client broke the protocol and was told so; the speaker ends */
	NOTE_BROKEN,      /* the speaker cannot do its work: the host is at fault, not the client */
	NOTE_HANGUP,      /* the client is gone; the speaker ends */
	NOTE_INPUT,       /* a whole input is in the pipe */
	NOTE_SILENT,      /* nothing written for silence_sec */
	NOTE_DRAINED,     /* the whole log was relayed, or dropped beyond its limit */
	NOTE_LOG_FULL,    /* more than log_bytes written; the rest is dropped */
	NOTE_FINISHED,    /* everything was said; the speaker ends */
};

enum delivery {
	DELIVERY_UNKNOWN, /* no outputs, or nothing more came from the client */
	DELIVERY_DONE,    /* the client said "received" */
	DELIVERY_LOST,
};

struct note {
	enum note_type type;
	enum delivery delivery;
	uint64_t stdout_bytes, stderr_bytes, input_bytes, output_bytes;
	char text[ERROR_TEXT_MAX]; /* of NOTE_BAD_REQUEST; from the client's side: to be escaped */
};
