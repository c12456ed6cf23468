/*
 * Where in a stream of bytes one of many secrets stands, in any of the forms that people print it
 * in by accident. docs/security.md, "Secrets", says what that catches and what it cannot.
 *
 * The search is that of Wu and Manber, in two steps. Where no secret may begin, a table over blocks
 * of bytes says how far the next place is at which one could; most of the text is never looked at.
 * Where one may, a tree of all forms goes on byte by byte (Aho and Corasick), so that no text, also
 * none that was made for it, is gone through more than a few times. A library such as Hyperscan
 * would do the first step faster, and would put 5 MB of C++ into each start of hatchd to do it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/error.h"

enum {
	SCAN_SECRET_MIN = 8,         /* bytes; shorter ones would be found everywhere */
	SCAN_SECRET_MAX = 64 * 1024, /* bytes; the tree is about 500 times as large */
};

struct scan_secret {
	const char *name;
	const char *bytes;
	size_t len;
};

enum scan_encoding {
	SCAN_RAW,
	SCAN_BASE64,
	SCAN_HEX,
};

/* scan_secret_len - what of the secret is looked for: all but line ends behind it. A text editor or
 * echo(1) left those; who prints the secret does so without. */
size_t scan_secret_len(const struct scan_secret *secret);

/* scan_encoding_name - "as it is", "base64", "hex" */
const char *scan_encoding_name(enum scan_encoding encoding);

/* The search, ready to run; it never changes, and any number of streams can be searched with it. */
struct scan;

#define cleanup_scan cleanup_(scan_freep)

/*
 * scan_new - make ready to look for some secrets
 *
 * secrets  borrowed until scan_free(): their names; the bytes are copied
 * ret      set on success; NULL if no secret has SCAN_SECRET_MIN bytes, so nothing can be looked
 *          for
 * Errors   BLAME_HOST -EFBIG a secret has more than SCAN_SECRET_MAX bytes, -ENOMEM
 */
int scan_new(const struct scan_secret *secrets, size_t n_secrets, struct scan **ret,
             struct error *err);
void scan_free(struct scan *scan);

static inline void scan_freep(struct scan **scan)
{
	scan_free(*scan);
}

/* Where a search is in its stream. Zero at the beginning; no other state is kept between calls, and
 * no byte of the stream. */
struct scan_cursor {
	uint64_t offset; /* bytes of the stream so far */
	uint32_t node;   /* what the last of them may be the beginning of */
};

struct scan_hit {
	const char *name; /* of the secret */
	enum scan_encoding encoding;
	uint64_t end; /* in the stream: behind its last byte */
	uint64_t len;
};

/*
 * scan_find - the next place at which a secret ends
 *
 * cursor   moves to there, or by len bytes if there is none; the search goes on with the rest of
 *          the bytes, or with the next ones
 * Returns  true and *ret. If several end there: the longest
 */
bool scan_find(const struct scan *scan, struct scan_cursor *cursor, const void *bytes, size_t len,
               struct scan_hit *ret);

/*
 * scan_held - the last bytes of the stream, as far as they may be the beginning of a secret
 *
 * ret_len  bytes; 0: none
 * Returns  them; from the secret itself, so they need not be kept by the caller
 */
const char *scan_held(const struct scan *scan, const struct scan_cursor *cursor, size_t *ret_len);
