/*
 * The frame of an attack program: static, run as the builder inside of a request. Each attack is a
 * named function; the arguments say which are made (none: all). It prints "PASS NAME" if everything
 * bounced off and "FAIL NAME: what did not" otherwise. tests/vm/attack.py reads these lines.
 */
#pragma once

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct attack {
	const char *name;
	void (*run)(void);
};

#define ATTACK(f)     \
	{             \
#f, f \
	}

static bool attack_worked; /* something that must bounce off did not, in the attack that is made */
static const char *attack_name;

__attribute__((format(printf, 1, 2))) static inline void broke(const char *fmt, ...)
{
	va_list ap;

	printf(attack_worked ? "  and: " : "FAIL %s: ", attack_name);
	va_start(ap, fmt);
	(void)vprintf(fmt, ap);
	va_end(ap);
	puts("");
	attack_worked = true;
}

static inline void expect(bool holds, const char *what)
{
	if (!holds)
		broke("not so: %s", what);
}

/*
 * What was tried must have failed, and because it is not allowed: a wrong argument of ours would
 * prove nothing. Call it as refused("what", call(...)).
 */
static inline void refused(const char *what, long result)
{
	static const int refusals[] = { EPERM,  EACCES, EROFS,   ENOSYS, ENOTSUP,
		                        ENOSPC, ENXIO,  ETXTBSY, EUSERS, EAFNOSUPPORT };
	int code = errno;

	if (result >= 0) {
		broke("%s worked", what);
		return;
	}
	for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++)
		if (code == refusals[i])
			return;
	broke("%s failed for another reason: %s", what, strerror(code));
}

static inline bool is_chosen(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return true;
	return argc < 2;
}

static inline int attack_run(const struct attack *attacks, size_t n_attacks, int argc, char **argv)
{
	int made = 0;
	bool any_worked = false;

	for (size_t i = 0; i < n_attacks; i++) {
		if (!is_chosen(attacks[i].name, argc, argv))
			continue;
		attack_name = attacks[i].name;
		attack_worked = false;
		attacks[i].run();
		if (!attack_worked)
			printf("PASS %s\n", attack_name);
		any_worked |= attack_worked;
		(void)fflush(stdout);
		made++;
	}
	if (argc > 1 && made != argc - 1)
		printf("FAIL %s: no such attack\n", argv[1]);
	return any_worked || made == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

#define ATTACK_MAIN(attacks)                                                                    \
	int main(int argc, char **argv)                                                         \
	{                                                                                       \
		return attack_run(attacks, sizeof(attacks) / sizeof((attacks)[0]), argc, argv); \
	}
