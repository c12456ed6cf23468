/* A secret in all the forms in which it is looked for. */
#pragma once

#include <stddef.h>

#include "lib/base/buffer.h"
#include "lib/base/error.h"

#include "scan.h"

/* One form of one secret. Its bytes stand in struct needles: text holds those of all. */
struct needle {
	size_t at, len;
	size_t secret; /* index */
	enum scan_encoding encoding;
};

struct needles {
	struct buffer text;
	struct needle *items;
	size_t n_items;
	size_t room;
};

/* needles_done - wipes them */
void needles_done(struct needles *needles);

/* needles_reserve - room for the forms of secrets of so many bytes together, so that no growing
 * leaves copies of them behind. Errors: BLAME_HOST -ENOMEM */
int needles_reserve(struct needles *needles, size_t len, struct error *err);

/*
 * needles_add - the forms of one secret: itself, base64 and hex
 *
 * Base64 has six: a secret may begin at each of the three places in a group of three bytes, and
 * there are two alphabets. What of the first and last character depends on the secret's neighbours
 * is left out, so that it is found inside of any larger text that was encoded as a whole. A secret
 * that is longer than a line is also looked for in lines, as they are if it begins the text.
 * Errors  BLAME_HOST -ENOMEM
 * Source  RFC 4648
 */
int needles_add(struct needles *needles, const struct scan_secret *secret, size_t index,
                struct error *err);
