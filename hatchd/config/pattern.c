/*
 * An expression E is compiled as "^(E)$": with the anchor the matcher tries one place and not each,
 * so that a long argument costs its length and not the square of it. That is right only for an E
 * whose parentheses are paired, so others are refused, and so are references back to a
 * parenthesis: their numbers would be off by one, and matching them can take exponential time.
 *
 * regcomp(3) writes repetitions out: "a{9}" as nine times a, "a+" as "aa*". In each other they
 * multiply, and stars upon stars double its time, so a line of text could take all memory or all
 * day. What an expression comes to is counted before, each repetition as two at least.
 *
 * regexec(3) keeps a state for each set of positions it has been in, at worst a new one for each
 * byte it reads, and becomes slower with each: some expressions took 92 seconds and 400 MB for one
 * argument of 128 KiB. The expression is the administrator's, but the argument is the client's. So
 * a text has a limit, and after as many bytes the states are thrown away.
 */
#include "pattern.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

void patterns_done(struct patterns *patterns)
{
	for (size_t i = 0; i < patterns->n_items; i++)
		regfree(&patterns->items[i]);
	free(patterns->items);
	*patterns = (struct patterns){ 0 };
}

/* Behind the bracket expression that begins at p; in it, "]" comes first or ends it, and "[:", "[."
 * and "[=" have ends of their own. To the end of the text if it has no end. */
static const char *skip_bracket(const char *p)
{
	p++;
	if (*p == '^')
		p++;
	if (*p == ']')
		p++;
	while (*p && *p != ']') {
		if (*p == '[' && p[1] && strchr(":.=", p[1])) {
			const char end[] = { p[1], ']', '\0' };
			const char *found = strstr(p + 2, end);

			p = found ? found + 2 : p + 1;
		} else {
			p++;
		}
	}
	return *p ? p + 1 : p;
}

/* Digits at *p, as a number of at most 1000. */
static size_t take_number(const char **p)
{
	size_t n = 0;

	for (; **p >= '0' && **p <= '9'; (*p)++)
		n = n >= 100 ? 1000 : 10 * n + (size_t)(**p - '0');
	return n;
}

/* What is at *p multiplies what stands before it by this. 0: it is no repetition. */
static size_t take_repetition(const char **p)
{
	const char *at = *p + 1;
	size_t least, most;

	if (**p == '*' || **p == '?' || **p == '+') {
		(*p)++;
		return 2;
	}
	if (**p != '{')
		return 0;
	least = most = take_number(&at);
	if (*at == ',') {
		at++;
		/* "{n,}" is n times and a star. */
		most = *at == '}' ? least + 1 : take_number(&at);
	}
	if (*at != '}')
		return 0;
	*p = at + 1;
	most = least > most ? least : most;
	return most > 2 ? most : 2;
}

/* How much one level of parentheses has come to. */
struct level {
	size_t sum;  /* without ... */
	size_t last; /* what a repetition would repeat */
};

static void add_atom(struct level *level, size_t size)
{
	level->sum += level->last;
	level->last = size;
}

/* What the expression holds that regcomp(3) would take and we would not. NULL: nothing */
static const char *find_fault(const char *p)
{
	struct level levels[PATTERN_DEPTH_MAX + 1] = { 0 };
	size_t depth = 0;

	while (*p) {
		size_t times = take_repetition(&p);

		if (times > 0) {
			levels[depth].last *= times;
		} else if (*p == '(') {
			if (depth++ == PATTERN_DEPTH_MAX)
				return "too many \"(\" in each other";
			levels[depth] = (struct level){ 0, 0 };
			p++;
		} else if (*p == ')') {
			if (depth-- == 0)
				return "a \")\" without \"(\" (\"\\)\" stands for itself)";
			add_atom(&levels[depth],
			         levels[depth + 1].sum + levels[depth + 1].last + 1);
			p++;
		} else if (*p == '[') {
			add_atom(&levels[depth], 1);
			p = skip_bracket(p);
		} else {
			if (*p == '\\' && p[1] >= '1' && p[1] <= '9')
				return "a reference back such as \\1";
			add_atom(&levels[depth], 1);
			p += *p == '\\' && p[1] ? 2 : 1;
		}
		if (levels[depth].sum + levels[depth].last > PATTERN_ATOMS_MAX)
			return "repetitions that come to more than 512 characters";
	}
	return NULL;
}

static int compile(const char *text, regex_t *ret, char *why)
{
	char whole[PATTERN_MAX + sizeof("^()$")];
	const char *fault = strlen(text) > PATTERN_MAX ? "more than 1024 bytes" : find_fault(text);
	int r;

	if (fault) {
		(void)snprintf(why, PATTERN_WHY_MAX, "%s", fault);
		return -EINVAL;
	}
	(void)snprintf(whole, sizeof(whole), "^(%s)$", text);
	r = regcomp(ret, whole, REG_EXTENDED | REG_NOSUB);
	if (r == 0)
		return 0;
	(void)regerror(r, ret, why, PATTERN_WHY_MAX);
	return r == REG_ESPACE ? -ENOMEM : -EINVAL;
}

int patterns_compile(char *const *texts, size_t n_texts, struct patterns *ret, size_t *ret_bad,
                     char *why)
{
	cleanup_patterns struct patterns patterns = { .texts = texts };

	if (n_texts > 0) {
		patterns.items = calloc(n_texts, sizeof(*patterns.items));
		if (!patterns.items)
			return -ENOMEM;
	}
	while (patterns.n_items < n_texts) {
		int r = compile(texts[patterns.n_items], &patterns.items[patterns.n_items], why);

		*ret_bad = patterns.n_items;
		if (r < 0)
			return r;
		patterns.n_items++;
	}
	*ret = patterns;
	patterns = (struct patterns){ 0 };
	return 0;
}

/* Throw the states away that regexec(3) has kept. */
static int renew(struct patterns *patterns)
{
	struct patterns fresh;
	char why[PATTERN_WHY_MAX];
	size_t bad;
	int r = patterns_compile(patterns->texts, patterns->n_items, &fresh, &bad, why);

	/* They were compiled before, so only memory can be short. */
	if (r < 0)
		return -ENOMEM;
	patterns_done(patterns);
	*patterns = fresh;
	return 0;
}

int patterns_match(struct patterns *patterns, const char *text)
{
	size_t len = strlen(text);

	assert(len <= PATTERN_TEXT_MAX);
	if (patterns->n_matched + len > PATTERN_TEXT_MAX && renew(patterns) < 0)
		return -ENOMEM;
	patterns->n_matched += len;
	for (size_t i = 0; i < patterns->n_items; i++) {
		int r = regexec(&patterns->items[i], text, 0, NULL, 0);

		if (r == 0)
			return (int)i + 1;
		if (r != REG_NOMATCH)
			return -ENOMEM;
	}
	return 0;
}
