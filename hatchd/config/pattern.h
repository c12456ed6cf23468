/*
 * args.match: POSIX extended regular expressions on whole arguments, by regcomp(3). Matching works
 * on bytes in the C locale: no program that links this calls setlocale(3).
 */
#pragma once

#include <regex.h>
#include <stddef.h>

#include "lib/base/cleanup.h"

enum {
	PATTERN_MAX = 1024,      /* bytes of one expression */
	PATTERN_ATOMS_MAX = 512, /* characters and sets that it stands for, repetitions counted out
	                          */
	PATTERN_DEPTH_MAX = 32,  /* parentheses in each other */
	PATTERN_TEXT_MAX = 4096, /* bytes of a text to be matched */
	PATTERN_WHY_MAX = 128,
};

/* Compiled expressions, all of one builder. */
struct patterns {
	char *const *texts; /* borrowed */
	regex_t *items;
	size_t n_items;
	size_t n_matched; /* bytes since they were compiled */
};

#define cleanup_patterns cleanup_(patterns_done)

void patterns_done(struct patterns *patterns);

/*
 * patterns_compile - compile the expressions
 *
 * texts    must outlive the patterns
 * ret_bad  index of the one that is to blame
 * why      of PATTERN_WHY_MAX bytes: what is wrong with it
 * Returns  0, -EINVAL and why, or -ENOMEM
 */
int patterns_compile(char *const *texts, size_t n_texts, struct patterns *ret, size_t *ret_bad,
                     char *why);

/* patterns_match - does one of them match the whole text, of PATTERN_TEXT_MAX bytes at most? Its
 * number, counted from 1, or 0, or -ENOMEM */
int patterns_match(struct patterns *patterns, const char *text);
