/* text.h, and the sentences of error.h. */
#include "text.h"

#include <errno.h>
#include <string.h>

#include "tests/unit.h"

#include "cleanup.h"
#include "error.h"

#define BYTES(s) (s), sizeof(s) - 1

static void knows_well_formed_utf8(void)
{
	static const struct {
		const char *text;
		size_t len;
		bool good;
	} rows[] = {
		{ BYTES(""), true },
		{ BYTES("plain"), true },
		{ BYTES("\0"), true },
		{ BYTES("\x7f"), true },
		{ BYTES("\x80"), false },
		{ BYTES("\xc2\x80"), true },
		{ BYTES("\xc1\xbf"), false }, /* overlong */
		{ BYTES("\xc0\x80"), false },
		{ BYTES("\xc2"), false },
		{ BYTES("\xc2\x20"), false },
		{ BYTES("\xdf\xbf"), true },
		{ BYTES("\xe0\xa0\x80"), true },
		{ BYTES("\xe0\x9f\xbf"), false }, /* overlong */
		{ BYTES("\xe2\x82\xac"), true },
		{ BYTES("\xe2\x82"), false },
		{ BYTES("\xe2\x82\x20"), false },
		{ BYTES("\xed\x9f\xbf"), true },
		{ BYTES("\xed\xa0\x80"), false }, /* surrogate */
		{ BYTES("\xee\x80\x80"), true },
		{ BYTES("\xf0\x90\x80\x80"), true },
		{ BYTES("\xf0\x8f\xbf\xbf"), false }, /* overlong */
		{ BYTES("\xf4\x8f\xbf\xbf"), true },
		{ BYTES("\xf4\x90\x80\x80"), false }, /* above U+10FFFF */
		{ BYTES("\xf5\x80\x80\x80"), false },
		{ BYTES("\xff"), false },
		{ BYTES("good \xc3\xa9, then \xa9"), false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check(text_is_utf8(rows[i].text, rows[i].len) == rows[i].good);
}

static void escapes_what_a_terminal_would_obey(void)
{
	static const struct {
		const char *text;
		size_t len;
		const char *escaped;
	} rows[] = {
		{ BYTES(""), "" },
		{ BYTES("plain 'text'"), "plain 'text'" },
		{ BYTES("\xc3\xa9\xe2\x82\xac"), "\xc3\xa9\xe2\x82\xac" },
		{ BYTES("a\nb\rc\td\\e"), "a\\nb\\rc\\td\\\\e" },
		{ BYTES("\033[31m"), "\\x1b[31m" },
		{ BYTES("\0\x01\x7f"), "\\x00\\x01\\x7f" },
		{ BYTES("\xc2\x9b"), "\\xc2\\x9b" }, /* CSI, as UTF-8 */
		{ BYTES("\x9b"), "\\x9b" },          /* CSI, as a byte */
		{ BYTES("\xc0\x9b"), "\\xc0\\x9b" }, /* overlong */
		{ BYTES("\xe2\x82"), "\\xe2\\x82" }, /* cut off */
		{ BYTES("\xff\xfe ok"), "\\xff\\xfe ok" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char out[64];

		text_escape(rows[i].text, rows[i].len, out, sizeof(out));
		check(strcmp(out, rows[i].escaped) == 0);
	}
}

/* Any text into any room: always ended, never beyond, whole if it fits, else marked, and never cut
 * inside an escape or a character. */
static void escapes_into_any_room(void)
{
	static const char text[] = "ab\n\xc3\xa9\xe2\x82\xac\xff\033\xf0\x9f\x98\x80zz";

	for (size_t len = 0; len < sizeof(text); len++)
		for (size_t room = 8; room < 80; room++) {
			char out[96], full[96];
			size_t n;

			memset(out, '#', sizeof(out));
			text_escape(text, len, out, room);
			text_escape(text, len, full, sizeof(full));
			n = strnlen(out, sizeof(out));
			check(n < room && out[room] == '#');
			if (strlen(full) < room) {
				check(strcmp(out, full) == 0);
				continue;
			}
			check(n >= 3 && strcmp(out + n - 3, "...") == 0);
			check(strncmp(out, full, n - 3) == 0 && text_is_utf8(out, n));
			/* The longest piece here takes four bytes: less than that and the mark is
			 * the most that may stay free. */
			check(n + 4 + 1 > room - 1);
		}
}

static void reads_only_canonical_numbers(void)
{
	static const struct {
		const char *text;
		uint64_t max;
		int result;
		uint64_t value;
	} rows[] = {
		{ "0", 10, 0, 0 },
		{ "7", 7, 0, 7 },
		{ "8", 7, -ERANGE, 0 },
		{ "18446744073709551615", UINT64_MAX, 0, UINT64_MAX },
		{ "18446744073709551616", UINT64_MAX, -ERANGE, 0 },
		{ "99999999999999999999999", UINT64_MAX, -ERANGE, 0 },
		{ "", 10, -EINVAL, 0 },
		{ "00", 10, -EINVAL, 0 },
		{ "01", 10, -EINVAL, 0 },
		{ "+1", 10, -EINVAL, 0 },
		{ "-1", 10, -EINVAL, 0 },
		{ " 1", 10, -EINVAL, 0 },
		{ "1 ", 10, -EINVAL, 0 },
		{ "1\n", 10, -EINVAL, 0 },
		{ "0x1", 10, -EINVAL, 0 },
		{ "1:0", 10, -EINVAL, 0 },
		{ "1.0", 10, -EINVAL, 0 },
		{ "x", 10, -EINVAL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t value = 4711;

		check(text_to_u64(rows[i].text, rows[i].max, &value) == rows[i].result);
		check(value == (rows[i].result == 0 ? rows[i].value : 4711));
	}
}

typedef bool (*predicate)(const char *, size_t);

static void check_length(predicate is, size_t max)
{
	char text[200];

	memset(text, 'a', sizeof(text));
	check(!is(text, 0));
	check(is(text, 1) && is(text, max) && !is(text, max + 1));
}

static void knows_names(void)
{
	static const char *const good[] = { "a", "0", "vivado", "a.b", "a-b", "a_b", "9-.." };
	static const char *const bad[] = { "A",   "aB",  ".a", "-a",  "_a",       "a/b", "..",
		                           "a b", "a\n", "\n", "a\t", "\xc3\xa9", "a:b", "*" };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		check(text_is_name(good[i], strlen(good[i])));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		check(!text_is_name(bad[i], strlen(bad[i])));
	check(!text_is_name("a\0b", 3));
	check_length(text_is_name, 64);
}

static void knows_variables(void)
{
	static const char *const good[] = { "a", "A", "_", "PATH", "x9", "LD_PRELOAD", "_1" };
	static const char *const bad[] = {
		"9", "9a", "a=b", "a-b", "a.b", "a b", "()", "\xc3\xa9"
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		check(text_is_variable(good[i], strlen(good[i])));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		check(!text_is_variable(bad[i], strlen(bad[i])));
	check(!text_is_variable("a\0b", 3));
	check_length(text_is_variable, 128);
}

static void knows_outputs(void)
{
	static const char *const good[] = { "out", "dev", "libA", "a-b", "a_9" };
	static const char *const bad[] = { "PATH", "Out", "9a", "_a", "a.b", "a/b", "a=b", "-a" };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		check(text_is_output(good[i], strlen(good[i])));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		check(!text_is_output(bad[i], strlen(bad[i])));
	check(!text_is_output("a\0b", 3));
	check_length(text_is_output, 64);
}

static void knows_inputs(void)
{
	static const char *const good[] = { "src", "top.v", "_x", "0", "A-b..c", "a." };
	static const char *const bad[] = {
		".", "..", ".git", "-a", "a/b", "a b", "a\n", "\xc3\xa4"
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		check(text_is_input(good[i], strlen(good[i])));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		check(!text_is_input(bad[i], strlen(bad[i])));
	check(!text_is_input("a\0b", 3));
	check_length(text_is_input, 64);
}

static void says_sizes_as_people_write_them(void)
{
	static const struct {
		uint64_t bytes;
		const char *sentence, *json;
	} rows[] = {
		{ 0, "0 bytes", "0" },
		{ 1, "1 byte", "1" },
		{ 1023, "1023 bytes", "1023" },
		{ 1024, "1K", "\"1K\"" },
		{ 1025, "1025 bytes", "1025" },
		{ 64 << 20, "64M", "\"64M\"" },
		{ (UINT64_C(1) << 30) + (1 << 20), "1025M", "\"1025M\"" },
		{ UINT64_C(1) << 30, "1G", "\"1G\"" },
		{ UINT64_C(1) << 50, "1024T", "\"1024T\"" },
		{ UINT64_MAX, "18446744073709551615 bytes", "18446744073709551615" },
	};
	char text[TEXT_SIZE_LEN];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		check(strcmp(text_size(rows[i].bytes, text), rows[i].sentence) == 0);
		check(strcmp(text_size_json(rows[i].bytes, text), rows[i].json) == 0);
	}
}

static void knows_names_of_the_store(void)
{
#define STORE_HASH "0123456789abcdfghijklmnpqrsvwxyz"
	char longest[33 + 212];
	static const struct {
		const char *text;
		size_t len;
		bool good;
	} rows[] = {
		{ BYTES(STORE_HASH "-a"), true },
		{ BYTES(STORE_HASH "-A+b._?=-9"), true },
		{ BYTES(""), false },
		{ BYTES("-"), false },
		{ BYTES(STORE_HASH), false },
		{ BYTES(STORE_HASH "-"), false },
		{ BYTES(STORE_HASH "a-a"), false },
		{ BYTES("123456789abcdfghijklmnpqrsvwxyz-a"), false },
		{ BYTES("e123456789abcdfghijklmnpqrsvwxyz-a"), false },
		{ BYTES("A123456789abcdfghijklmnpqrsvwxyz-a"), false },
		{ BYTES(STORE_HASH "_a"), false },
		{ BYTES(STORE_HASH "-a/b"), false },
		{ BYTES(STORE_HASH "-a b"), false },
		{ BYTES(STORE_HASH "-a\0"), false },
		{ BYTES("0123456789abcdfghijk\0lmnpqrsvwxyz-a"), false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check(text_is_store_name(rows[i].text, rows[i].len) == rows[i].good);
	memset(longest, 'a', sizeof(longest));
	longest[32] = '-';
	check(text_is_store_name(longest, 33 + 211));
	check(!text_is_store_name(longest, 33 + 212));
}

static void knows_paths_that_stay_inside(void)
{
	static const struct {
		const char *text;
		size_t len;
		bool good;
	} rows[] = {
		{ BYTES("a"), true },         { BYTES("a/b c/..."), true },
		{ BYTES(".a/..b/c."), true }, { BYTES("\xff"), true },
		{ BYTES(""), false },         { BYTES("/"), false },
		{ BYTES("/a"), false },       { BYTES("a/"), false },
		{ BYTES("a//b"), false },     { BYTES("."), false },
		{ BYTES(".."), false },       { BYTES("./a"), false },
		{ BYTES("a/."), false },      { BYTES("a/../b"), false },
		{ BYTES("a/.."), false },     { BYTES("a\0b"), false },
		{ "a/b", 2, false },          { "a/..b", 4, false },
		{ "a/b/", 3, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check(path_is_inner(rows[i].text, rows[i].len) == rows[i].good);
}

static void says_what_happened_to_what(void)
{
	struct error err = { 0 };

	check(error_set(&err, BLAME_PEER, EINVAL, "bad '%s'", "name") == -EINVAL);
	check(err.blame == BLAME_PEER && err.code == EINVAL && err.hint[0] == '\0');
	check(strcmp(err.text, "bad 'name'") == 0);
	check(error_hint(&err, "use %d", 5) == -EINVAL && strcmp(err.hint, "use 5") == 0);

	check(error_errno(&err, BLAME_HOST, ENOENT, "cannot open 'x'") == -ENOENT);
	check(strcmp(err.text, "cannot open 'x': No such file or directory") == 0);
	check(err.hint[0] == '\0');
}

static void cuts_sentences_that_are_too_long(void)
{
	char text[2 * ERROR_TEXT_MAX];
	struct error err = { 0 };

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	check(error_errno(&err, BLAME_HOST, ENOENT, "%s", text) == -ENOENT);
	check(strlen(err.text) == ERROR_TEXT_MAX - 1);
	check(error_hint(&err, "%s", text) == -ENOENT);
	check(strlen(err.hint) == ERROR_HINT_MAX - 1);
}

static void needs_no_place_for_an_error(void)
{
	check(error_set(NULL, BLAME_PEER, EINVAL, "x") == -EINVAL);
	check(error_errno(NULL, BLAME_PEER, ENOENT, "x") == -ENOENT);
	check(error_hint(NULL, "x") < 0);
}

static const struct unit_case cases[] = {
	CASE(knows_well_formed_utf8),
	CASE(escapes_what_a_terminal_would_obey),
	CASE(escapes_into_any_room),
	CASE(reads_only_canonical_numbers),
	CASE(knows_names),
	CASE(knows_variables),
	CASE(knows_outputs),
	CASE(knows_inputs),
	CASE(says_sizes_as_people_write_them),
	CASE(knows_names_of_the_store),
	CASE(knows_paths_that_stay_inside),
	CASE(says_what_happened_to_what),
	CASE(cuts_sentences_that_are_too_long),
	CASE(needs_no_place_for_an_error),
};

UNIT_MAIN(cases)
