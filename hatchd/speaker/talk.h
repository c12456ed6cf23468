/*
 * The speaker's conversation with one client, once its process is confined: greet, read one
 * request, hand it over, then relay. It decides nothing: what it may say comes as orders from the
 * monitor, and what it enforces (log size, silence) protects its own client.
 */
#pragma once

#include "channel.h"
#include "lib/wire/message.h"
#include "phases.h"

enum {
	LOG_READ_MAX = 64 * 1024,
	LOG_INLINE_MAX = 10 * 1024, /* one byte can take six in a string, and a line holds 64 KiB */
	LIST_PER_MESSAGE = 56,
	PIECES_SMALL_MAX = 1024, /* of inputs; beyond, they are of PIECE_MEAN bytes on average */
	PIECE_MEAN = 4096,
	STALL_MS = 60000, /* a client that takes or gives no byte for so long, where there is no
	                     builder to wait for */
};

/* So many names and descriptions fit a line, also of nothing but signs that JSON doubles. */
_Static_assert((CHANNEL_NAME_MAX + 2 * CHANNEL_DESCRIPTION_MAX + 64) * LIST_PER_MESSAGE <=
                       WIRE_LINE_MAX,
               "a list that no message holds");

/* What the builder writes: one of the two of its log, or what it says of itself. */
struct stream {
	int fd; /* read end; -1 after its end */
	enum message_type type;
	uint64_t bytes;
	uint64_t left; /* to be read before it has ended for us; STREAM_ENDLESS: to its end */
};

#define STREAM_ENDLESS UINT64_MAX

struct talk {
	struct wire wire;
	int control_fd, record_fd, tree_fd, pulse_fd;
	int input_fd; /* to the unpacker; -1: nobody reads it any more */
	struct stream streams[2], status;
	int64_t status_ms; /* when it is read again; 0: at once */
	bool client_done;  /* the client has half-closed: nothing more comes from it */
	bool deaf;         /* an input was given up: what still comes of it is nobody's */
	char inputs[WIRE_INPUTS_MAX][CHANNEL_NAME_MAX + 1]; /* their names, in order */
	size_t n_inputs;
	bool inline_reply;
	bool started;          /* the builder runs, or has run */
	bool ended;            /* it is gone */
	bool log_full, silent; /* told once */
	bool draining;         /* the builder is gone; what is left of its log is relayed */
	uint64_t log_max;
	struct phases phases;
	char output[CHANNEL_NAME_MAX + 1]; /* to be relayed once it comes; empty: none */
	bool accepted;
	bool returning;                     /* outputs: what comes is the sign of life */
	int64_t heartbeat_ms, last_beat_ms; /* the first is 0: nobody wants to hear it */
	int64_t silence_ms, last_log_ms;
	struct wire_builder items[LIST_PER_MESSAGE];
	size_t n_items;
	uint64_t input_bytes, output_bytes, input_pieces;
	char *log_buf;
};

/* How the talk goes on after a step. */
enum step {
	STEP_GO_ON,
	STEP_END,
};

/* talk_tell - one note to the monitor; 0 or -errno */
int talk_tell(struct talk *talk, enum note_type type, enum delivery delivery, const char *text);

/* talk_say - a message and its attachment, if there is one; 0 or -errno */
int talk_say(const struct talk *talk, const struct message *message, const void *attachment);

/*
 * talk_wait_for_client - until it takes bytes again
 *
 * While the builder runs that may be for ever: the builder then waits too, and its time limit ends
 * it. Otherwise there is no reason to wait for longer than STALL_MS, and none at all once the
 * monitor has closed the channel. 0 or -errno
 */
int talk_wait_for_client(const struct talk *talk, int64_t *stalled_since_ms);

/* talk_end_bad_request - the client broke the protocol: it is told, the monitor is told, and that
 * is all */
enum step talk_end_bad_request(struct talk *talk, const char *text);

/* talk_end_hangup - the client is gone */
enum step talk_end_hangup(struct talk *talk);

/*
 * talk_begin_drain - relay what is left of the log
 *
 * The builder is gone: nothing of the log comes after the outputs, and whether it kept its limit is
 * known before anybody calls it a success.
 *
 * tapped  what comes is the tap's, which ends it itself
 */
void talk_begin_drain(struct talk *talk, bool tapped);

/*
 * talk_relay_output - relay one output, which comes now, from the tree pipe; trees.c
 *
 * A packer that fails in the middle closes its end: then the output is left incomplete, and the
 * order that follows says why.
 */
enum step talk_relay_output(struct talk *talk, const char *name);

/*
 * talk_take_input - have the client send an input, and pass it on to the unpacker; trees.c
 *
 * Given up when an order comes, or when the unpacker, who has told why, reads no more.
 */
enum step talk_take_input(struct talk *talk, const char *name);

/* talk_run - until everything is said; makes no system call that filter_speaker() does not allow */
void talk_run(struct talk *talk);
