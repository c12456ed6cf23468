/* For tests of filters: a call made in a child that has loaded one. */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "filter.h"
#include "lib/base/cleanup.h"
#include "tests/unit.h"

enum {
	BAD_POINTER = 1,
	X32 = 0x40000000,
};

/* How a child ended: the errno of its call (0: it worked), or minus the signal that killed it. */
static inline int outcome(int (*load)(struct error *err), long (*call)(void *context),
                          void *context)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct error err = { 0 };

		(void)setsid(); /* for vhangup(2), should it come through */
		(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* no core file of a kill */
		if (load(&err) < 0)
			syscall(SYS_exit_group, 255);
		errno = 0;
		syscall(SYS_exit_group, call(context) < 0 ? errno : 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 255;
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

struct call {
	const char *name;
	long number, args[6];
	int expected; /* errno; for the allowlists -SIGSYS */
};

static inline long make_call(void *context)
{
	const struct call *call = context;
	const long *a = call->args;

	return syscall(call->number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static inline void check_calls(int (*load)(struct error *err), const struct call *calls,
                               size_t n_calls)
{
	for (size_t i = 0; i < n_calls; i++) {
		struct call call = calls[i];
		int got = outcome(load, make_call, &call);

		if (got != call.expected)
			printf("  %s: %d, expected %d\n", call.name, got, call.expected);
		check(got == call.expected);
	}
}
