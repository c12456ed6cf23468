#include "store.h"

#include <stdint.h>
#include <string.h>
#include <time.h>

#include "lib/base/cleanup.h"
#include "tests/unit.h"

#define HASH "0123456789abcdfghijklmnpqrsvwxyz"

static char found[4096]; /* paths, each ended by a newline */

static void take(void *context, const char *path, size_t len)
{
	size_t at = strlen(found);

	(void)context;
	if (at + len + 2 > sizeof(found))
		return;
	memcpy(found + at, path, len);
	strcpy(found + at + len, "\n");
}

static bool finds_in(const char *text, size_t len, const char *want)
{
	struct store_scan scan = { .found = take };

	found[0] = '\0';
	store_scan_add(&scan, text, len, true);
	if (strcmp(found, want) == 0)
		return true;
	printf("in '%.*s': '%s', not '%s'\n", (int)(len < 200 ? len : 200), text, found, want);
	return false;
}

static bool finds(const char *text, const char *want)
{
	return finds_in(text, strlen(text), want);
}

static void finds_paths_in_full(void)
{
	check(finds(STORE_DIR HASH "-a", STORE_DIR HASH "-a\n"));
	check(finds("x" STORE_DIR HASH "-a-1.2+b?c=_D/bin", STORE_DIR HASH "-a-1.2+b?c=_D\n"));
	check(finds(STORE_DIR HASH "-a:" STORE_DIR "a" HASH, STORE_DIR HASH "-a\n"));
	check(finds(STORE_DIR HASH "-", STORE_DIR HASH "-\n"));
	check(finds(STORE_DIR STORE_DIR HASH "-x\"", STORE_DIR HASH "-x\n"));
	check(finds(STORE_DIR HASH "-x" STORE_DIR HASH "-y\n",
	            STORE_DIR HASH "-x\n" STORE_DIR HASH "-y\n"));
	check(finds_in("\0" STORE_DIR HASH "-x\0y", 49 - 1, STORE_DIR HASH "-x\n"));
}

static void passes_over_what_is_no_path(void)
{
	static const char *const texts[] = {
		"",
		"/nix/store",
		STORE_DIR HASH,
		STORE_DIR HASH "x-a",
		STORE_DIR HASH "/a",
		"/nix/store" HASH "-a",
		"/nix/stor/" HASH "-a",
		"nix/store/" HASH "-a",
		HASH "-a",
		STORE_DIR "123456789abcdfghijklmnpqrsvwxyz-a",
		STORE_DIR "e123456789abcdfghijklmnpqrsvwxyz-a",
		STORE_DIR "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee-bash",
		STORE_DIR "0123456789ABCDFGHIJKLMNPQRSVWXYZ-a",
		STORE_DIR ".links/" HASH "-a",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		check(finds(texts[i], ""));
}

static void finds_a_path_wherever_it_stands(void)
{
	char text[512];

	for (size_t at = 0; at < sizeof(text) - 60; at++)
		for (int fill = 0; fill < 3; fill++) {
			static const char fills[] = { '\0', 'a', '/' };

			memset(text, fills[fill], sizeof(text));
			memcpy(text + at, STORE_DIR HASH "-n!", 11 + 32 + 3);
			check(finds_in(text, sizeof(text), STORE_DIR HASH "-n\n"));
		}
}

/* In two and in three pieces, cut anywhere, and byte by byte. */
static void finds_a_path_in_any_pieces(void)
{
	static const char text[] = "begin " STORE_DIR HASH "-name-1.0/bin " HASH " and " STORE_DIR
				   "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz-second";
	static const char want[] = STORE_DIR HASH "-name-1.0\n" STORE_DIR
						  "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz-second\n";
	enum { LEN = sizeof(text) - 1 };
	struct store_scan scan = { .found = take };

	for (size_t a = 0; a <= LEN; a++)
		for (size_t b = a; b <= LEN; b++) {
			found[0] = '\0';
			store_scan_add(&scan, text, a, false);
			store_scan_add(&scan, text + a, b - a, false);
			store_scan_add(&scan, text + b, LEN - b, true);
			check(strcmp(found, want) == 0);
		}
	found[0] = '\0';
	for (size_t i = 0; i < LEN; i++)
		store_scan_add(&scan, text + i, 1, i == LEN - 1);
	check(strcmp(found, want) == 0);
}

/* Pieces that are longer than what is kept, with a path over each border. */
static void finds_a_path_over_the_borders_of_long_pieces(void)
{
	enum { PIECE = 4096, LEN = 3 * PIECE };
	cleanup_free char *text = malloc(LEN);
	static const char path[] = STORE_DIR HASH "-over-the-border";
	struct store_scan scan = { .found = take };

	for (size_t before = 0; before < sizeof(path); before++) {
		memset(text, 'x', LEN);
		text[PIECE - before - 1] = text[2 * PIECE - before - 1] = ' ';
		memcpy(text + PIECE - before, path, sizeof(path));
		memcpy(text + 2 * PIECE - before, path, sizeof(path));
		found[0] = '\0';
		for (size_t i = 0; i < 3; i++)
			store_scan_add(&scan, text + i * PIECE, PIECE, i == 2);
		check(strcmp(found, STORE_DIR HASH "-over-the-border\n" STORE_DIR HASH
		                                   "-over-the-border\n") == 0);
	}
}

static void one_stream_does_not_go_on_in_the_next(void)
{
	struct store_scan scan = { .found = take };

	found[0] = '\0';
	store_scan_add(&scan, STORE_DIR HASH, 43, true);
	store_scan_add(&scan, "-name", 5, true);
	store_scan_add(&scan, STORE_DIR, 11, false);
	store_scan_add(&scan, "", 0, true);
	store_scan_add(&scan, HASH "-name", 37, true);
	check(found[0] == '\0');
}

/* The same, looked for at each byte. */
static void find_simply(const char *text, size_t len)
{
	for (size_t at = 0; at + STORE_DIR_LEN + STORE_HASH_LEN < len; at++) {
		char path[STORE_PATH_MAX + 1] = "";
		size_t n = len - at < STORE_PATH_MAX ? len - at : STORE_PATH_MAX;
		size_t end = STORE_DIR_LEN + STORE_HASH_LEN + 1;

		memcpy(path, text + at, n);
		if (strncmp(path, STORE_DIR, STORE_DIR_LEN) != 0 || !store_hash(path))
			continue;
		end += strspn(path + end, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		                          "0123456789+-._?=");
		take(NULL, path, end);
	}
}

static void agrees_with_a_simple_search_in_any_pieces(void)
{
	static const char *const parts[] = {
		STORE_DIR,           HASH, "-", "/", "a", "name", "e", " ", "0123456789abcdfg",
		STORE_DIR HASH "-x", "\n"
	};
	unsigned seed = 7;

	for (int round = 0; round < 3000; round++) {
		struct store_scan scan = { .found = take };
		char text[1200] = "", want[sizeof(found)];
		size_t len, at = 0;

		for (len = 0; len < 1000;) {
			seed = seed * 1103515245 + 12345;
			strcpy(text + len, parts[(seed >> 16) % ARRAY_SIZE(parts)]);
			len += strlen(text + len);
		}
		found[0] = '\0';
		find_simply(text, len);
		memcpy(want, found, sizeof(want));
		found[0] = '\0';
		while (at < len) {
			size_t n;

			seed = seed * 1103515245 + 12345;
			n = 1 + (seed >> 16) % 700;
			n = n < len - at ? n : len - at;
			store_scan_add(&scan, text + at, n, at + n == len);
			at += n;
		}
		check(strcmp(found, want) == 0);
	}
}

static void a_long_name_is_cut(void)
{
	char text[STORE_PATH_MAX + 101], want[STORE_PATH_MAX + 2];

	memset(text, 'x', sizeof(text));
	memcpy(text, STORE_DIR HASH "-", STORE_DIR_LEN + STORE_HASH_LEN + 1);
	text[sizeof(text) - 1] = '\0';
	memcpy(want, text, STORE_PATH_MAX);
	strcpy(want + STORE_PATH_MAX, "\n");
	check(finds(text, want));
}

static void knows_the_hash_of_a_path(void)
{
	check(store_hash(STORE_DIR HASH "-a") != NULL);
	check(strncmp(store_hash(STORE_DIR HASH "-a"), HASH, STORE_HASH_LEN) == 0);
	check(store_hash(HASH "-a") != NULL && store_hash(HASH) == NULL);
	check(!store_hash("") && !store_hash(".links") && !store_hash(STORE_DIR "x-a"));
}

/* ---- speed ---- */

enum { PIECE_LEN = 256 * 1024, N_PIECES = 64, N_TRIES = 20 };

static void ignore(void *context, const char *path, size_t len)
{
	(void)context;
	(void)path;
	(void)len;
}

/* What others do meanwhile does not count. */
static int64_t processor_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Bytes in a nanosecond are gigabytes in a second. */
static double gigabytes_per_second(const char *piece)
{
	struct store_scan scan = { .found = ignore };
	int64_t begun = processor_ns();

	for (int i = 0; i < N_PIECES; i++)
		store_scan_add(&scan, piece, PIECE_LEN, false);
	store_scan_add(&scan, "", 0, true);
	return (double)N_PIECES * PIECE_LEN / (double)(processor_ns() - begun);
}

static bool is_fast(const char *pattern, size_t len)
{
	cleanup_free char *piece = malloc(PIECE_LEN);
	double best = 0;

	if (!piece)
		abort();
	for (size_t i = 0; i < PIECE_LEN; i++)
		piece[i] = pattern[i % len];
	for (int i = 0; i < N_TRIES && best < 1; i++) {
		double now = gigabytes_per_second(piece);

		best = now > best ? now : best;
	}
	if (best < 1)
		printf("'%.*s' over and over: %.2f GB/s\n", (int)(len < 80 ? len : 80), pattern,
		       best);
	return best >= 1;
}

/* Five times as fast where nobody disturbs it, so this is neither the noise of a machine nor the
 * luck of one; what is looked for byte by byte is slower. */
static void looks_through_a_gigabyte_in_a_second(void)
{
	static const char *const patterns[] = {
		"a",
		"/",
		"/a",
		STORE_DIR,
		STORE_DIR HASH "/",
		HASH "-",
		"/nix/store/not-a-path [ 42%] Building C object src/CMakeFiles/tool.dir/parse.c.o\n",
	};
	static char noise[PIECE_LEN];
	uint32_t state = 1;

	for (size_t i = 0; i < sizeof(noise); i++) {
		state = state * 1664525 + 1013904223;
		noise[i] = (char)(state >> 24);
	}
	check(is_fast(noise, sizeof(noise)));
	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++)
		check(is_fast(patterns[i], strlen(patterns[i])));
}

static const char *lacks_speed(void)
{
#if !defined(__OPTIMIZE__) || defined(__SANITIZE_ADDRESS__)
	return "it was not built to be fast";
#else
	return NULL;
#endif
}

int main(void)
{
	static const struct unit_case cases[] = {
		CASE(finds_paths_in_full),
		CASE(passes_over_what_is_no_path),
		CASE(finds_a_path_wherever_it_stands),
		CASE(finds_a_path_in_any_pieces),
		CASE(finds_a_path_over_the_borders_of_long_pieces),
		CASE(one_stream_does_not_go_on_in_the_next),
		CASE(agrees_with_a_simple_search_in_any_pieces),
		CASE(a_long_name_is_cut),
		CASE(knows_the_hash_of_a_path),
		CASE_IF(looks_through_a_gigabyte_in_a_second, lacks_speed),
	};

	return unit_run(cases, ARRAY_SIZE(cases));
}
