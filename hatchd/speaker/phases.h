/*
 * What the builder says on its status descriptor ($HATCH_STATUS_FD), as lines of the form "phase
 * TEXT": what it does now, for people. The newest counts, not more than a few a second are passed
 * on, and fewer yet once there were many: each is a line in a log that no limit of the definition
 * holds. Bytes in, text out; no descriptor, no clock.
 *
 * Source: hatch-builder(5), "STATUS"
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/wire/message.h"

enum {
	PHASES_LINE_MAX = 240, /* bytes of a line that are looked at */
	PHASES_PAUSE_MS = 100, /* between two that are passed on */
	PHASES_MANY = 1000,
	PHASES_LONG_PAUSE_MS = 10000, /* the same, once so many were */
};

/* Zero at the beginning. */
struct phases {
	char line[PHASES_LINE_MAX]; /* the one that has no end yet */
	size_t len;
	char text[WIRE_PHASE_MAX + 1]; /* fit for a message */
	bool waits;                    /* text has not been passed on */
	char said[WIRE_PHASE_MAX + 1]; /* the last that was */
	unsigned n_said;
	int64_t next_ms; /* when text may be */
};

/* phases_feed - the next bytes that the builder wrote; any bytes */
void phases_feed(struct phases *phases, const char *bytes, size_t len);

/* phases_take - the newest, if there is one that was not taken yet and says something else than the
 * last; NULL: none. now_ms: when it is passed on */
const char *phases_take(struct phases *phases, int64_t now_ms);
