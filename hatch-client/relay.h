/*
 * The builder's log on its way to our stdout and stderr. Byte for byte, unless a person or Nix
 * reads it: then nothing in it can act on a terminal, or speak to Nix in our name.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/error.h"

enum relay_mode {
	RELAY_EXACT,    /* every byte */
	RELAY_LINES,    /* Nix reads lines: \r\n and \r become \n, "@nix " gets a space in front */
	RELAY_TERMINAL, /* the same, and control characters and bytes that are not UTF-8 are
	                   escaped */
};

enum relay_stream {
	RELAY_STDOUT,
	RELAY_STDERR,
	_RELAY_STREAM_MAX,
};

/* Where a line stands. Streams that end in the same file share one. */
struct relay_line {
	bool inside;         /* something of the line is written */
	unsigned int n_held; /* bytes of "@nix " seen at its start and held back */
};

struct relay_lane {
	int fd;
	enum relay_mode mode;
	struct relay_line *line;
	bool after_cr;            /* the \n of \r\n is still to be dropped */
	unsigned char partial[4]; /* a UTF-8 character that the next piece goes on with */
	size_t n_partial;
};

enum { RELAY_ROOM = 64 * 1024 };

struct relay {
	struct relay_lane lanes[_RELAY_STREAM_MAX];
	struct relay_line lines[_RELAY_STREAM_MAX];
	/* What goes out with the next write(2): room, then a run of bytes that needed no copy. */
	const char *run;
	size_t run_len;
	size_t len;
	char room[RELAY_ROOM];
};

/* relay_init - how each stream is shown follows from what it is; raw: RELAY_EXACT for both */
void relay_init(struct relay *relay, bool in_nix, bool raw);

/*
 * relay_write - show a piece of the builder's log
 *
 * One write(2) if the piece needs few changes. Holds back at most four bytes, which the next piece
 * of the stream or relay_end() decides.
 *
 * Errors  BLAME_HOST: what write(2) says; -EINTR after one of our signals
 */
int relay_write(struct relay *relay, enum relay_stream stream, const void *bytes, size_t len,
                struct error *err);

/* relay_end - write what was held back: no more comes */
int relay_end(struct relay *relay, struct error *err);

/* relay_break_line - the same, and see to it that what we say on stderr next begins a line */
void relay_break_line(struct relay *relay);

/* relay_in_line - has the log left an unfinished line where fd leads to? */
bool relay_in_line(const struct relay *relay, int fd);

/* relay_line - a line of our own, prefixed "hatch: ", whoever reads stderr */
void relay_line(struct relay *relay, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* relay_note - a line of our own, prefixed "hatch: ", where stderr is a terminal */
void relay_note(struct relay *relay, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
