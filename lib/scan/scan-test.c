/* scan.h: every form, at every place, whatever way the bytes come. */
#include "scan.h"

#include <errno.h>
#include <stdint.h>
#include <time.h>

#include "lib/base/encoding.h"
#include "tests/unit.h"

#include "test-reference.h"

#define SECRET(name, text)                    \
	{                                     \
		name, text, sizeof(text) - 1, \
	}

/* With '+' and '/' in its base64, and a NUL and a byte above 127 in it. */
static const struct scan_secret odd = SECRET("odd", "\xfb\xff\xfe?>>>\0~\x80password");
static const struct scan_secret plain = SECRET("plain", "correct horse");

static struct scan *make(const struct scan_secret *secrets, size_t n)
{
	struct scan *scan = NULL;
	struct error err = { 0 };

	if (scan_new(secrets, n, &scan, &err) < 0)
		printf("scan_new: %s\n", err.text);
	return scan;
}

/* The hit in a text that comes as one, or none: end 0. */
static struct scan_hit find(const struct scan *scan, const char *text, size_t len)
{
	struct scan_cursor cursor = { 0 };
	struct scan_hit hit = { 0 };

	return scan_find(scan, &cursor, text, len, &hit) ? hit : (struct scan_hit){ 0 };
}

static bool finds(const struct scan *scan, const struct buffer *text, enum scan_encoding encoding)
{
	struct scan_hit hit = find(scan, text->data, text->len);

	return hit.end != 0 && hit.encoding == encoding && strcmp(hit.name, "odd") == 0;
}

static void finds_a_secret_as_it_is_and_in_hex(void)
{
	cleanup_scan struct scan *scan = make(&odd, 1);
	cleanup_(buffer_done) struct buffer text = { 0 }, upper = { 0 };
	char hex[64];

	check(buffer_add(&text, "before ", 7) == 0 && buffer_add(&text, odd.bytes, odd.len) == 0 &&
	      buffer_add(&text, " after", 6) == 0);
	check(finds(scan, &text, SCAN_RAW));

	text.len = 7;
	hex_encode(odd.bytes, odd.len, hex);
	check(buffer_printf(&text, "%s after", hex) == 0 && finds(scan, &text, SCAN_HEX));

	for (char *c = hex; *c; c++)
		*c = *c >= 'a' ? (char)(*c - 'a' + 'A') : *c;
	check(buffer_printf(&upper, "before %s after", hex) == 0 && finds(scan, &upper, SCAN_HEX));
}

static void finds_a_secret_inside_of_anything_that_was_made_base64(void)
{
	cleanup_scan struct scan *scan = make(&odd, 1);

	for (size_t before = 0; before < 7; before++)
		for (size_t after = 0; after < 7; after++) {
			cleanup_(buffer_done) struct buffer raw = { 0 }, text = { 0 };

			check(buffer_add(&raw, "\xff\x01user:", before) == 0 &&
			      buffer_add(&raw, odd.bytes, odd.len) == 0 &&
			      buffer_add(&raw, "\xff\x01rest.", after) == 0);
			check(base64_encode(&text, raw.data, raw.len) == 0);
			check(finds(scan, &text, SCAN_BASE64));
			for (size_t i = 0; i < text.len; i++)
				text.data[i] = text.data[i] == '+'   ? '-'
				               : text.data[i] == '/' ? '_'
				                                     : text.data[i];
			check(finds(scan, &text, SCAN_BASE64));
		}
}

/* What a program prints of a file that begins with the secret. */
static bool finds_in_lines(const struct scan *scan, const struct buffer *base64, size_t columns)
{
	cleanup_(buffer_done) struct buffer text = { 0 };

	for (size_t at = 0; at < base64->len; at += columns) {
		size_t left = base64->len - at;

		check(buffer_printf(&text, "%.*s\n", (int)(left < columns ? left : columns),
		                    base64->data + at) == 0);
	}
	return finds(scan, &text, SCAN_BASE64);
}

static void finds_a_secret_that_base64_broke_into_lines(void)
{
	char bytes[200];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 37 + i / 7);
	for (size_t len = 40; len < sizeof(bytes); len++)
		for (size_t after = 0; len + after < sizeof(bytes) && after < 4; after++) {
			const struct scan_secret secret = { "odd", bytes, len };
			cleanup_scan struct scan *scan = make(&secret, 1);
			cleanup_(buffer_done) struct buffer text = { 0 };

			check(base64_encode(&text, bytes, len + after) == 0);
			check(finds_in_lines(scan, &text, 76) && finds_in_lines(scan, &text, 64));
			check(len < 60 || !finds_in_lines(scan, &text, 70));
		}
}

static void finds_it_wherever_the_bytes_are_cut(void)
{
	cleanup_scan struct scan *scan = make(&plain, 1);
	static const char text[] = "correct hors correct correct horse correct hors";
	const size_t end = 34;

	for (size_t cut = 0; cut < sizeof(text); cut++) {
		struct scan_cursor cursor = { 0 };
		struct scan_hit hit = { 0 };
		bool found = scan_find(scan, &cursor, text, cut, &hit);

		if (!found)
			found = scan_find(scan, &cursor, text + cut, sizeof(text) - cut, &hit);
		check(found && hit.end == end && hit.len == plain.len);
	}
	for (size_t piece = 1; piece < 20; piece++) {
		struct needles needles = reference_needles(&plain, 1);

		check(reference_agrees(scan, &needles, text, sizeof(text), piece));
		needles_done(&needles);
	}
}

static void finds_nothing_where_a_byte_is_missing_or_another(void)
{
	cleanup_scan struct scan *scan = make(&plain, 1);
	struct needles needles = reference_needles(&plain, 1);
	char text[128];

	for (size_t i = 0; i < needles.n_items; i++) {
		const char *form = needles.text.data + needles.items[i].at;
		size_t len = needles.items[i].len;

		check(find(scan, form, len).end == len);
		check(find(scan, form, len - 1).end == 0);
		check(find(scan, form + 1, len - 1).end == 0);
		for (size_t k = 0; k < len; k++) {
			memcpy(text, form, len);
			text[k] ^= 1;
			check(find(scan, text, len).end == 0);
		}
	}
	needles_done(&needles);
}

static void names_the_secret_that_it_found(void)
{
	static const struct scan_secret secrets[] = {
		SECRET("short", "1234567"),
		SECRET("first", "password"),
		SECRET("second", "password1234"),
		SECRET("same", "password"),
	};
	cleanup_scan struct scan *scan = make(secrets, ARRAY_SIZE(secrets));
	static const char text[] = "1234567 password1234";
	struct scan_cursor cursor = { 0 };
	struct scan_hit hit = { 0 };

	check(scan_find(scan, &cursor, text, strlen(text), &hit));
	check(strcmp(hit.name, "first") == 0 && hit.end == 16 && hit.len == 8);
	check(scan_find(scan, &cursor, text + 16, strlen(text) - 16, &hit));
	check(strcmp(hit.name, "second") == 0 && hit.end == 20 && hit.len == 12);
	check(!scan_find(scan, &cursor, "", 0, &hit));
}

static void looks_for_no_secret_that_is_too_short_and_takes_none_that_is_too_long(void)
{
	cleanup_free char *bytes = malloc(SCAN_SECRET_MAX + 1);
	struct scan_secret secret = { "long", bytes, SCAN_SECRET_MIN - 1 };
	struct scan *scan = NULL;
	struct error err = { 0 };

	memset(bytes, 'x', SCAN_SECRET_MAX + 1);
	check(scan_new(&secret, 1, &scan, &err) == 0 && !scan);
	check(scan_new(NULL, 0, &scan, &err) == 0 && !scan);
	secret.len = SCAN_SECRET_MIN;
	check(scan_new(&secret, 1, &scan, &err) == 0 && scan);
	check(find(scan, "xxxxxxxx", 8).end == 8);
	scan_free(take_ptr(&scan));

	secret.len = SCAN_SECRET_MAX + 1;
	check(scan_new(&secret, 1, &scan, &err) == -EFBIG && err.blame == BLAME_HOST);
	check(strstr(err.text, "'long'") && !strstr(err.text, "xx"));
	secret.len = SCAN_SECRET_MAX;
	check(scan_new(&secret, 1, &scan, &err) == 0 && scan);
	check(find(scan, bytes, SCAN_SECRET_MAX).end == SCAN_SECRET_MAX);
	check(find(scan, bytes, SCAN_SECRET_MAX - 1).end == 0);
	scan_free(scan);
}

static void leaves_line_ends_behind_a_secret_out(void)
{
	static const struct scan_secret secrets[] = {
		SECRET("key", "12345678\r\n\n"),
		SECRET("too short then", "1234567\n\n\n\n"),
		SECRET("lines", "line one\nline two\n"),
	};
	cleanup_scan struct scan *scan = make(secrets, ARRAY_SIZE(secrets));

	check(find(scan, "a12345678b", 10).end == 9);
	check(find(scan, "1234567\n\n\n\n", 11).end == 0);
	check(find(scan, "line one\nline two", 17).end == 17);
	check(find(scan, "line one line two", 17).end == 0);
}

/* Few letters, so that the forms are full of each other's beginnings. */
static void agrees_with_a_search_at_every_place(void)
{
	unsigned seed = 1;

	for (int round = 0; round < 300; round++) {
		char bytes[3][24], text[400];
		struct scan_secret secrets[3];
		unsigned letters = 1 + (unsigned)round % 3;

		for (size_t i = 0; i < ARRAY_SIZE(secrets); i++) {
			secrets[i] = (struct scan_secret){ "x", bytes[i],
				                           8 + (unsigned)rand_r(&seed) % 16 };
			for (size_t k = 0; k < sizeof(bytes[i]); k++)
				bytes[i][k] = (char)('a' + (unsigned)rand_r(&seed) % letters);
		}
		for (size_t k = 0; k < sizeof(text); k++)
			text[k] = (char)('a' + (unsigned)rand_r(&seed) % letters);
		/* Pieces of the secrets, whole and cut. */
		for (size_t k = 0; k + 24 < sizeof(text); k += 1 + (unsigned)rand_r(&seed) % 40)
			memcpy(text + k, bytes[(unsigned)rand_r(&seed) % 3],
			       1 + (unsigned)rand_r(&seed) % 24);

		cleanup_scan struct scan *scan = make(secrets, ARRAY_SIZE(secrets));
		struct needles needles = reference_needles(secrets, ARRAY_SIZE(secrets));

		for (size_t piece = 1; piece < 40; piece += 6)
			check(reference_agrees(scan, &needles, text, sizeof(text), piece));
		check(reference_agrees(scan, &needles, text, sizeof(text), sizeof(text)));
		needles_done(&needles);
	}
}

/* A text of nothing but the beginning of the secret: at every place it is compared to the end. Here
 * that would be 2^33 comparisons. */
static void is_not_slowed_down_by_a_text_made_for_that(void)
{
	enum { TEXT_LEN = 1 << 20, LEN = 8 << 10 };
	cleanup_free char *bytes = malloc(LEN), *text = malloc(TEXT_LEN);
	const struct scan_secret secret = { "long", bytes, LEN };
	clock_t begun;

	memset(bytes, 'a', LEN);
	memset(text, 'a', TEXT_LEN);
	bytes[LEN - 1] = 'b';

	cleanup_scan struct scan *scan = make(&secret, 1);

	begun = clock();
	check(find(scan, text, TEXT_LEN).end == 0);
	for (size_t i = 0; i < TEXT_LEN; i += 8)
		text[i] = 'c';
	check(find(scan, text, TEXT_LEN).end == 0);
	check(clock() - begun < 3 * CLOCKS_PER_SEC);
}

static const struct unit_case cases[] = {
	CASE(finds_a_secret_as_it_is_and_in_hex),
	CASE(finds_a_secret_inside_of_anything_that_was_made_base64),
	CASE(finds_a_secret_that_base64_broke_into_lines),
	CASE(finds_it_wherever_the_bytes_are_cut),
	CASE(finds_nothing_where_a_byte_is_missing_or_another),
	CASE(names_the_secret_that_it_found),
	CASE(looks_for_no_secret_that_is_too_short_and_takes_none_that_is_too_long),
	CASE(leaves_line_ends_behind_a_secret_out),
	CASE(agrees_with_a_search_at_every_place),
	CASE(is_not_slowed_down_by_a_text_made_for_that),
};

UNIT_MAIN(cases)
