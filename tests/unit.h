/*
 * The frame of every unit test program: a table of named cases, one line of result for each.
 * A case states behaviour in its name and calls check() for each thing that must hold.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct unit_case {
	const char *name;
	void (*run)(void);
	const char *(*lacks)(void); /* why it cannot run here, or NULL */
};

#define CASE(f) CASE_IF(f, NULL)

#define CASE_IF(f, lacks)    \
	{                    \
#f, f, lacks \
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

/* A part of a case in a process of its own, for what cannot be undone, like another namespace. */
static inline void unit_in_child(void (*body)(void))
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		body();
		fflush(stdout);
		_exit(unit_failed ? EXIT_FAILURE : EXIT_SUCCESS);
	}
	check(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
}

static void unit_time_is_over(int signal)
{
	(void)signal;
	dprintf(STDOUT_FILENO, "FAIL %s: it does not end\n", unit_name);
	_exit(EXIT_FAILURE);
}

/* All of the cases together may take so many seconds: for programs that look at waits. A wait
 * without an end is then a failure by the name of its case. */
__attribute__((unused)) static void unit_limit_time(unsigned seconds)
{
	(void)signal(SIGALRM, unit_time_is_over);
	(void)alarm(seconds);
}

static inline int unit_run(const struct unit_case *cases, size_t n_cases)
{
	bool any_failed = false;

	for (size_t i = 0; i < n_cases; i++) {
		const char *lack = cases[i].lacks ? cases[i].lacks() : NULL;

		unit_name = cases[i].name;
		unit_failed = false;
		if (!lack)
			cases[i].run();
		if (lack)
			printf("SKIP %s: %s\n", unit_name, lack);
		else if (!unit_failed)
			printf("ok %s\n", unit_name);
		any_failed |= unit_failed;
		fflush(stdout);
	}
	return any_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static inline void unit_skip(const struct unit_case *cases, size_t n_cases, const char *why)
{
	for (size_t i = 0; i < n_cases; i++)
		printf("SKIP %s: %s\n", cases[i].name, why);
}

#define UNIT_MAIN(cases)                                                    \
	int main(void)                                                      \
	{                                                                   \
		return unit_run(cases, sizeof(cases) / sizeof((cases)[0])); \
	}
