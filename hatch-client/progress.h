/*
 * What is shown of a request beside the builder's log: to Nix as instructions on its log, to a
 * person as lines. All of it is decoration: a line that cannot be written is nobody's failure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "relay.h"

enum { PROGRESS_PHASE_MAX = 512 };

struct progress {
	struct relay *relay; /* borrowed: where the builder's log has got to */
	const char *builder; /* borrowed */
	bool quiet;
	int nix_fd;                     /* the log that Nix reads; -1: it does not */
	char phase[PROGRESS_PHASE_MAX]; /* waits for the end of a line of the log; empty: none */
	int64_t heartbeat_ms;           /* at most so long without a sign of life; 0: nobody asks */

	/* The transfer that runs. */
	char what[PROGRESS_PHASE_MAX], uri[PROGRESS_PHASE_MAX];
	uint64_t id; /* of the activity */
	uint64_t bytes;
	bool told;       /* Nix knows of it */
	int64_t told_ms; /* the last sign of life, or its beginning */
};

/* progress_init - relay must be ready; quiet: nothing will be shown but that the request lives, to
 * Nix */
void progress_init(struct progress *progress, struct relay *relay, bool quiet);

/* progress_begin - "hatch BUILDER", from now on and again when the builder starts; heartbeat_sec:
 * as the request has it */
void progress_begin(struct progress *progress, const char *builder, uint64_t heartbeat_sec);
void progress_started(struct progress *progress);

/* progress_queued - "waiting for RESOURCE, N ahead" */
void progress_queued(struct progress *progress, const char *resource, uint64_t ahead);

/* progress_phase - "hatch BUILDER: TEXT", in the builder's own words */
void progress_phase(struct progress *progress, const char *text);

/*
 * progress_alive - the server says that the request lives: a byte for Nix, whose max-silent-time
 * counts them
 *
 * One that shows nothing, a carriage return where a line begins; else the end of the line.
 */
void progress_alive(struct progress *progress);

/* progress_patience - a sign of life if there was none for as long as the request asks for one;
 * returns in how many ms the next is due, -1: none is asked for */
int progress_patience(struct progress *progress);

/* progress_catch_up - after each piece of the log: what waited for the end of a line */
void progress_catch_up(struct progress *progress);

/*
 * progress_transfer_begin, _add, _end - bytes that go over the connection, as the activity that Nix
 * counts downloads by
 *
 * what   "receiving output"; name: of the output
 * Those of less than a MiB are not worth a line, and none is where it is quiet: then they give the
 * signs of life that the request asks for. A transfer that was begun must be ended, also if it
 * failed; ending none does nothing.
 */
void progress_transfer_begin(struct progress *progress, const char *what, const char *name);
void progress_transfer_add(struct progress *progress, uint64_t bytes);
void progress_transfer_end(struct progress *progress);
