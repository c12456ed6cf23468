/*
 * What the builder says on its status descriptor ($HATCH_STATUS_FD), as lines of the form "phase
 * TEXT": what it does now, for people. The newest counts, and not more than a few a second are
 * passed on: whoever writes more loses words, not time. Bytes in, text out; no descriptor, no
 * clock.
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
};

/* Zero at the beginning. */
struct phases {
	char line[PHASES_LINE_MAX]; /* the one that has no end yet */
	size_t len;
	char text[WIRE_PHASE_MAX + 1]; /* fit for a message */
	bool waits;                    /* text has not been passed on */
	int64_t next_ms;               /* when it may be */
};

/* phases_feed - the next bytes that the builder wrote; any bytes */
void phases_feed(struct phases *phases, const char *bytes, size_t len);

/* phases_take - the newest, if there is one that was not taken yet; NULL: none. now_ms: when it is
 * passed on */
const char *phases_take(struct phases *phases, int64_t now_ms);
