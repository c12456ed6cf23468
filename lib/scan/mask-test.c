/* mask.h: no secret passes, every other byte does, whatever way the bytes come. */
#include "mask.h"

#include <errno.h>
#include <stdio.h>

#include "tests/unit.h"

#include "test-reference.h"

#define SECRET(name, text)                    \
	{                                     \
		name, text, sizeof(text) - 1, \
	}

static const struct scan_secret secrets[] = {
	SECRET("pin", "12345678"),
	SECRET("key", "secret key"),
	SECRET("long", "secret key 12345678 and 12345678 more\n"),
	SECRET("url", "https://u:p@host/"),
};

static struct scan *make(void)
{
	struct scan *scan = NULL;
	struct error err = { 0 };

	if (scan_new(secrets, ARRAY_SIZE(secrets), &scan, &err) < 0)
		printf("scan_new: %s\n", err.text);
	return scan;
}

/* Text, and what is to come of it. */
static const struct {
	const char *in, *out;
} texts[] = {
	{ "", "" },
	{ "nothing to see", "nothing to see" },
	{ "12345678", "[secret:pin]" },
	{ "a12345678b", "a[secret:pin]b" },
	{ "1234567 2345678 12345678", "1234567 2345678 [secret:pin]" },
	{ "a secret key", "a [secret:key]" },
	{ "a secret ke", "a secret ke" },
	{ "secret secret key key", "secret [secret:key] key" },
	{ "12345678 12345678", "[secret:pin] [secret:pin]" },
	{ "1234567812345678", "[secret:pin][secret:pin]" },
	{ "12345678secret key.", "[secret:pin][secret:key]." },
	/* A longer one that begins with a shorter one: whole, half, and cut off. */
	{ "secret key 12345678 and 12345678 more", "[secret:long]" },
	{ "secret key 12345678 and 12345678 less", "[secret:key] less" },
	{ "secret key 12345678 or", "[secret:key] or" },
	{ "secret key 1234567", "[secret:key] 1234567" },
	{ "c2VjcmV0IGtleQ==", "[secret:key]Q==" },
	{ "dXNlcjpzZWNyZXQga2V5", "dXNlcjp[secret:key]" },
	{ "x736563726574206b6579x", "x[secret:key]x" },
	{ "x736563726574206B6579x", "x[secret:key]x" },
	{ "clone https://u:p@host/repository", "clone [secret:url]repository" },
	{ "https://u:p@hosthttps://u:p@host/https://", "https://u:p@host[secret:url]https://" },
};

static bool gives(const struct scan *scan, size_t i, size_t first, size_t piece)
{
	cleanup_(buffer_done) struct buffer out = reference_mask(scan, texts[i].in,
	                                                         strlen(texts[i].in), first, piece);

	if (strcmp(out.data ? out.data : "", texts[i].out) == 0)
		return true;
	printf("'%s' cut at %zu: '%s'\n", texts[i].in, first, out.data);
	return false;
}

static void replaces_every_secret_wherever_the_bytes_are_cut(void)
{
	cleanup_scan struct scan *scan = make();

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		for (size_t first = 0; first <= strlen(texts[i].in); first++) {
			check(gives(scan, i, first, 100));
			check(gives(scan, i, first, 1));
		}
}

static void holds_back_only_what_may_be_the_beginning_of_a_secret(void)
{
	cleanup_scan struct scan *scan = make();
	cleanup_(buffer_done) struct buffer out = { 0 };
	struct mask mask = { .scan = scan, .write = reference_write, .context = &out };

	check(mask_add(&mask, "log line\n", 9) == 0 && out.len == 9);
	check(mask_add(&mask, "a secret", 8) == 0 && out.len == 11);
	check(mask_add(&mask, " k", 2) == 0 && out.len == 11);
	check(mask_add(&mask, "\n", 1) == 0 && out.len == 20);
	check(mask_add(&mask, "secret ke", 9) == 0 && out.len == 20);
	check(mask_end(&mask) == 0 && out.len == 29);
	check(strcmp(out.data, "log line\na secret k\nsecret ke") == 0);
}

static int refuse(void *context, const void *bytes, size_t len)
{
	size_t *left = context;

	if (len > *left)
		return -EPIPE;
	*left -= len;
	return 0;
}

static void says_what_the_next_one_said(void)
{
	cleanup_scan struct scan *scan = make();

	for (size_t left = 0; left < 15; left++) {
		size_t taken = left;
		struct mask mask = { .scan = scan, .write = refuse, .context = &taken };

		check(mask_add(&mask, "a12345678b\n", 11) == -EPIPE);
	}
}

/* Every byte that is in no secret passes, in its order; no secret does. */
static void loses_nothing_else_of_a_large_text(void)
{
	cleanup_scan struct scan *scan = make();
	cleanup_(buffer_done) struct buffer text = { 0 }, expected = { 0 };
	unsigned seed = 7;

	for (int i = 0; i < 2000; i++) {
		char noise[300];
		size_t len = (unsigned)rand_r(&seed) % sizeof(noise);

		for (size_t k = 0; k < len; k++)
			noise[k] = (char)rand_r(&seed);
		check(buffer_add(&text, noise, len) == 0 && buffer_add(&text, "12345678", 8) == 0);
		check(buffer_add(&expected, noise, len) == 0 &&
		      buffer_add(&expected, "[secret:pin]", 12) == 0);
	}
	for (size_t piece = 1; piece < 5000; piece = 3 * piece + 1) {
		cleanup_(buffer_done) struct buffer out = reference_mask(scan, text.data, text.len,
		                                                         0, piece);

		check(out.len == expected.len && memcmp(out.data, expected.data, out.len) == 0);
	}
}

static const struct unit_case cases[] = {
	CASE(replaces_every_secret_wherever_the_bytes_are_cut),
	CASE(holds_back_only_what_may_be_the_beginning_of_a_secret),
	CASE(says_what_the_next_one_said),
	CASE(loses_nothing_else_of_a_large_text),
};

UNIT_MAIN(cases)
