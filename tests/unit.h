/*
 * The frame of every unit test program: a table of named cases, one line of result for each.
 * A case states behaviour in its name and calls check() for each thing that must hold.
 */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

struct unit_case {
	const char *name;
	void (*run)(void);
};

#define CASE(f)       \
	{             \
#f, f \
	}

static bool unit_failed; /* of the case that runs now */

#define check(condition)                                                       \
	do {                                                                   \
		if (!(condition)) {                                            \
			if (!unit_failed)                                      \
				printf("FAIL %s: ", unit_name);                \
			else                                                   \
				printf("  and: ");                             \
			printf("%s:%d: %s\n", __FILE__, __LINE__, #condition); \
			unit_failed = true;                                    \
		}                                                              \
	} while (0)

static const char *unit_name;

static inline int unit_run(const struct unit_case *cases, size_t n_cases)
{
	bool any_failed = false;

	for (size_t i = 0; i < n_cases; i++) {
		unit_name = cases[i].name;
		unit_failed = false;
		cases[i].run();
		if (!unit_failed)
			printf("ok %s\n", unit_name);
		any_failed |= unit_failed;
		fflush(stdout);
	}
	return any_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#define UNIT_MAIN(cases)                                                    \
	int main(void)                                                      \
	{                                                                   \
		return unit_run(cases, sizeof(cases) / sizeof((cases)[0])); \
	}
