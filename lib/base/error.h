/*
 * What went wrong, and who must act: the small value that every function above lib/base hands up
 * beside its negative errno. It lives on the caller's stack and owns nothing.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>

/* Who must act. It decides what the client may read and how loud the log is. */
enum blame {
	BLAME_HOST,   /* the administrator: this machine or its configuration; the default */
	BLAME_PEER,   /* the program at the other end of the socket */
	BLAME_POLICY, /* nobody is wrong: a rule says no, and the hint says which would say yes */
	BLAME_BUILD,  /* the builder, or what it left behind */
};

enum {
	ERROR_TEXT_MAX = 768,
	ERROR_HINT_MAX = 384,
	ERROR_PEER_MAX = 256,
};

struct error {
	enum blame blame;
	int code;                  /* errno value, positive */
	char text[ERROR_TEXT_MAX]; /* one sentence: what happened, to what */
	char hint[ERROR_HINT_MAX]; /* what to do, or empty */

	/* What the peer is told instead of text and hint, where those say more than it may know;
	 * empty: it may read them, as far as blame allows */
	char peer_text[ERROR_PEER_MAX];
	char peer_hint[ERROR_HINT_MAX];
};

/*
 * error_set - say what happened
 *
 * err     may be NULL: then only the number is returned
 * code    errno value, positive
 * fmt     one sentence without a full stop; the words of errno are not added
 * Returns -code, so that a function can end in one line
 */
int error_set(struct error *err, enum blame blame, int code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* error_errno - the same, with ": " and the words of errno added */
int error_errno(struct error *err, enum blame blame, int code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* error_hint - add what to do about it; returns -err->code, so err must be there where the result
 * is used */
int error_hint(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* error_conceal - from now on text and hint are for the log only: the peer reads these two
 * sentences instead. They must say the same for everything that is to look the same. Returns
 * -err->code */
int error_conceal(struct error *err, const char *peer_text, const char *peer_hint);

/* error_is_concealed - was it? */
bool error_is_concealed(const struct error *err);

/* error_peer_text, error_peer_hint - what a peer may read of an error that it may be told at all */
const char *error_peer_text(const struct error *err);
const char *error_peer_hint(const struct error *err);
