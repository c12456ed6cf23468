/* What decided about a request, for who explains it: each comparison with a key of the definition.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/cleanup.h"

enum { RULING_SHOWN_LEN = 160 }; /* of a peer's text, with NUL */

/* One comparison, and what decided it. */
struct ruling {
	char about[64];  /* "peer", "argument 2", ... */
	const char *key; /* of the definition, as builder_position() takes it */
	size_t item;     /* which of its items, or POSITION_OF_KEY */
	bool allowed;
	char text[192]; /* what was compared: "uid 1000". Of a refusal empty: the error says it */
};

struct rulings {
	struct ruling *items; /* owned */
	size_t n_items;
	bool failed; /* there was no memory for all of them */
};

#define cleanup_rulings cleanup_(rulings_done)

void rulings_done(struct rulings *rulings);

/*
 * rulings_note - note what decided
 *
 * rulings  NULL: nobody wants it explained
 * Returns  the ruling, for ruling_describe(), until the next is noted; NULL: it is not noted
 */
struct ruling *rulings_note(struct rulings *rulings, bool allowed, const char *key, size_t item);

/* ruling_describe - about what it is, and what was compared; nothing if ruling is NULL */
__attribute__((format(printf, 3, 4))) void ruling_describe(struct ruling *ruling, const char *about,
                                                           const char *fmt, ...);

/* rulings_refuse - note that a key as a whole refused; the error says why */
void rulings_refuse(struct rulings *rulings, const char *key, const char *about);

/* ruling_show - a peer's text, escaped, for rulings and refusals; returns buf */
const char *ruling_show(const char *text, size_t len, char buf[RULING_SHOWN_LEN]);
