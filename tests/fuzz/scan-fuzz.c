/*
 * Any secrets in any text, in pieces of any length: scan.c finds what looking at every place finds,
 * and mask.c passes the same on however the text is cut, without a secret in it. The first bytes
 * say how long the pieces and two secrets are; the secrets follow, then the text.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "lib/scan/test-reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { HEAD = 3, TEXT_MAX = 4096 };

static bool holds_secret(const struct needles *needles, const struct buffer *text)
{
	for (size_t end = 1; end <= text->len; end++)
		if (reference_hit(needles, text->data, end) > 0)
			return true;
	return false;
}

static void try_text(const struct scan *scan, const struct needles *needles, const char *text,
                     size_t len, size_t piece)
{
	cleanup_(buffer_done) struct buffer whole = reference_mask(scan, text, len, len, 1);
	cleanup_(buffer_done) struct buffer cut = reference_mask(scan, text, len, 0, piece);
	struct buffer raw = { .data = (char *)text, .len = len };

	assert(reference_agrees(scan, needles, text, len, len + 1));
	assert(reference_agrees(scan, needles, text, len, piece));
	assert(whole.len == cut.len && memcmp(whole.data, cut.data, cut.len) == 0);
	if (!holds_secret(needles, &raw))
		assert(whole.len == len && memcmp(whole.data, text, len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct scan_secret secrets[2] = { { .name = "a" }, { .name = "b" } };
	cleanup_scan struct scan *scan = NULL;
	struct needles needles;
	size_t at = HEAD;

	if (len < HEAD)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(secrets); i++) {
		secrets[i].bytes = (const char *)data + at;
		secrets[i].len = data[1 + i] < len - at ? data[1 + i] : len - at;
		at += secrets[i].len;
	}
	assert(scan_new(secrets, ARRAY_SIZE(secrets), &scan, NULL) == 0);
	if (!scan)
		return 0;
	needles = reference_needles(secrets, ARRAY_SIZE(secrets));
	len = len - at < TEXT_MAX ? len - at : TEXT_MAX;
	try_text(scan, &needles, (const char *)data + at, len, 1 + data[0] % 64);
	needles_done(&needles);
	return 0;
}
