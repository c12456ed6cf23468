/* What scan.c and mask.c should find, by looking at every place for every form. */
#pragma once

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buffer.h"
#include "lib/base/cleanup.h"

#include "mask.h"
#include "needle.h"

/* All forms of the secrets that are long enough. */
static inline struct needles reference_needles(const struct scan_secret *secrets, size_t n)
{
	struct needles needles = { 0 };

	for (size_t i = 0; i < n; i++)
		if (scan_secret_len(&secrets[i]) >= SCAN_SECRET_MIN)
			assert(needles_add(&needles, &secrets[i], i, NULL) == 0);
	return needles;
}

/* The length of the longest form that ends at text[end], or 0. */
static inline size_t reference_hit(const struct needles *needles, const char *text, size_t end)
{
	size_t longest = 0;

	for (size_t i = 0; i < needles->n_items; i++) {
		const struct needle *needle = &needles->items[i];

		if (needle->len <= end && needle->len > longest &&
		    memcmp(text + end - needle->len, needles->text.data + needle->at,
		           needle->len) == 0)
			longest = needle->len;
	}
	return longest;
}

/* Does scan_find() say the same, if the text comes in pieces of so many bytes? */
static inline bool reference_agrees(const struct scan *scan, const struct needles *needles,
                                    const char *text, size_t len, size_t piece)
{
	struct scan_cursor cursor = { 0 };
	size_t expected = 0; /* ends up to here were compared */

	for (size_t at = 0; at < len;) {
		size_t n = len - at < piece ? len - at : piece;
		struct scan_hit hit = { 0 };
		bool found = scan_find(scan, &cursor, text + at, n, &hit);

		at = (size_t)cursor.offset;
		while (expected < at) {
			size_t hit_len = reference_hit(needles, text, ++expected);
			bool here = found && expected == at;

			if (here ? hit_len != hit.len || hit.end != at : hit_len != 0)
				return false;
		}
	}
	return expected == len;
}

static inline int reference_write(void *context, const void *bytes, size_t len)
{
	return buffer_add(context, bytes, len);
}

/* The text as mask.c passes it on, if it comes in two pieces and byte by byte from the second on.
 */
static inline struct buffer reference_mask(const struct scan *scan, const char *text, size_t len,
                                           size_t first, size_t piece)
{
	struct buffer out = { 0 };
	struct mask mask = { .scan = scan, .write = reference_write, .context = &out };

	assert(buffer_add(&out, "", 0) == 0);
	assert(mask_add(&mask, text, first) == 0);
	for (size_t at = first; at < len; at += piece)
		assert(mask_add(&mask, text + at, len - at < piece ? len - at : piece) == 0);
	assert(mask_end(&mask) == 0);
	return out;
}
