/* A stream without its secrets: each is replaced by "[secret:NAME]". */
#pragma once

#include "scan.h"

/* One stream. Zero but for scan and sink. */
struct mask {
	const struct scan *scan;
	int (*write)(void *context, const void *bytes, size_t len); /* 0 or a negative errno */
	void *context;

	struct scan_cursor cursor;
	uint64_t written; /* bytes of the stream that were passed on, or replaced */

	/* The secret that is not wholly passed by yet; from == to: none. */
	uint64_t from, to;
	const char *name;
};

/*
 * mask_add - pass the next bytes on, but for secrets, and for what at their end may be the
 * beginning of one: that waits for the next bytes or the end
 *
 * Returns 0, or what write() said
 */
int mask_add(struct mask *mask, const void *bytes, size_t len);

/* mask_end - the stream is over: what waited is none. 0, or what write() said */
int mask_end(struct mask *mask);
