/*
 * How fast lib/scan looks for secrets, beside memcpy() of the same bytes in the same run: ten
 * secrets in all their forms, in texts of several kinds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base/cleanup.h"
#include "lib/scan/mask.h"

enum {
	PIECE_LEN = 1 << 20, /* what the packer reads at once */
	LOG_LEN = 1 << 16,   /* what the tap does */
	ROUNDS = 512,
	N_SECRETS = 10,
	SECRET_LEN = 40,
};

static unsigned seed = 1;

static unsigned below(unsigned n)
{
	return (unsigned)rand_r(&seed) / 7 % n;
}

/* --- kinds of text --- */

static void fill_random(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		text[i] = (char)below(256);
}

static void fill_from(char *text, size_t len, const char *letters)
{
	size_t n = strlen(letters);

	for (size_t i = 0; i < len; i++)
		text[i] = i % 77 == 76 ? '\n' : letters[below((unsigned)n)];
}

static void fill_base64(char *text, size_t len)
{
	fill_from(text, len, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
}

static void fill_hex(char *text, size_t len)
{
	fill_from(text, len, "0123456789abcdef");
}

static void fill_words(char *text, size_t len)
{
	static const char line[] = "[ 42%] Building C object src/CMakeFiles/tool.dir/parse.c.o\n"
				   "cc -O2 -Wall -Iinclude -c -o parse.o parse.c: warning: unused "
				   "variable 'token' at line 1234\n";

	for (size_t i = 0; i < len; i++)
		text[i] = line[i % (sizeof(line) - 1)];
}

static void fill_zeros(char *text, size_t len)
{
	memset(text, 0, len);
}

static const struct kind {
	const char *name;
	void (*fill)(char *text, size_t len);
} kinds[] = {
	{ "random bytes", fill_random }, { "zeros", fill_zeros }, { "a log", fill_words },
	{ "base64", fill_base64 },       { "hex", fill_hex },
};

/* --- what is measured --- */

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double copy(const struct scan *scan, const char *text, char *to)
{
	double begun = now();

	(void)scan;
	for (int i = 0; i < ROUNDS; i++) {
		memcpy(to, text, PIECE_LEN);
		__asm__ volatile("" : : "r"(to) : "memory");
	}
	return now() - begun;
}

static double find(const struct scan *scan, const char *text, char *to)
{
	struct scan_cursor cursor = { 0 };
	struct scan_hit hit;
	double begun = now();

	(void)to;
	for (int i = 0; i < ROUNDS; i++)
		if (scan_find(scan, &cursor, text, PIECE_LEN, &hit))
			abort();
	return now() - begun;
}

struct out {
	char *at;
};

static int take(void *context, const void *bytes, size_t len)
{
	struct out *out = context;

	memcpy(out->at, bytes, len);
	out->at += len;
	return 0;
}

static double mask(const struct scan *scan, const char *text, char *to)
{
	struct out out;
	struct mask mask = { .scan = scan, .write = take, .context = &out };
	double begun = now();

	for (int i = 0; i < ROUNDS; i++)
		for (size_t at = 0; at < PIECE_LEN; at += LOG_LEN) {
			out.at = to;
			if (mask_add(&mask, text + at, LOG_LEN) < 0)
				abort();
		}
	return now() - begun;
}

static double gb_per_sec(double (*run)(const struct scan *scan, const char *text, char *to),
                         const struct scan *scan, const char *text, char *to)
{
	return (double)ROUNDS * PIECE_LEN / 1e9 / run(scan, text, to);
}

int main(void)
{
	cleanup_free char *text = malloc(PIECE_LEN), *to = malloc(PIECE_LEN + 4096);
	char bytes[N_SECRETS][SECRET_LEN];
	struct scan_secret secrets[N_SECRETS];
	struct scan *scan = NULL;
	struct error err;
	double begun = now();

	if (!text || !to)
		return EXIT_FAILURE;
	for (size_t i = 0; i < N_SECRETS; i++) {
		fill_base64(bytes[i], SECRET_LEN);
		secrets[i] = (struct scan_secret){ "x", bytes[i],
			                           i ? SECRET_LEN : SCAN_SECRET_MIN };
	}
	if (scan_new(secrets, N_SECRETS, &scan, &err) < 0) {
		fprintf(stderr, "scan: %s\n", err.text);
		return EXIT_FAILURE;
	}
	printf("%d secrets, the shortest of %d bytes: ready after %.0f us\n", N_SECRETS,
	       SCAN_SECRET_MIN, (now() - begun) * 1e6);
	printf("GB/s               find    mask  memcpy\n");
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		kinds[i].fill(text, PIECE_LEN);
		printf("%-14s %8.2f%8.2f%8.2f\n", kinds[i].name, gb_per_sec(find, scan, text, to),
		       gb_per_sec(mask, scan, text, to), gb_per_sec(copy, scan, text, to));
	}
	scan_free(scan);
	return EXIT_SUCCESS;
}
