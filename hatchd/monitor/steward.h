/*
 * The steward: the process that orders "before" and "after" of a definition. It does not die with
 * the monitor: if that is killed, it has "after" run all the same, when the builder is dead. Until
 * it ends it holds the locks of slot and resources.
 *
 * It has no right itself. While there are rights it forks a process for each command that it may
 * have to run; each becomes who the command is to run as, and waits.
 */
#pragma once

#include <sys/types.h>

#include "hatchd/config/config.h"
#include "hatchd/sandbox/privilege.h"
#include "hatchd/slot/cgroup.h"
#include "lib/base/error.h"

enum { STEWARD_ENV_MAX = 16 };

/* What it needs to know; everything borrowed. */
struct steward_plan {
	const struct builder *builder;
	const struct account *account; /* for commands that are not root's */
	char *const *env;              /* what every command gets, NULL-terminated */
	const int *held_fds;           /* locks */
	size_t n_held_fds;
	const struct cgroup *own;  /* of the commands; dir_fd -1: none, in unprivileged mode */
	const struct cgroup *work; /* the builder's; kill_fd -1: none */
};

struct steward {
	pid_t pid;  /* 0: none */
	int fd;     /* to it; nobody but the monitor has it */
	int end_fd; /* where no cgroup ends the builder: for init to keep, so that the steward sees
	               its end. The reading end of a pipe that nothing is written to; -1: none */
};

/* A struct steward without a process. */
#define STEWARD_NONE                   \
	{                              \
		.fd = -1, .end_fd = -1 \
	}

enum steward_word {
	STEWARD_BEFORE = 1,
	STEWARD_AFTER, /* ends "before" if that still runs */
};

/* One struct each way. */
struct steward_order {
	enum steward_word word;
	char result[32]; /* of the request: HATCH_RESULT */
	int exit_code;   /* HATCH_EXIT; -1: there is none */
};

struct steward_answer {
	bool ok;
	struct error error;
};

/*
 * steward_start - fork it, and wait until neither it nor its commands have a right that they do not
 * keep. Errors  BLAME_HOST, what the kernel says
 */
int steward_start(const struct steward_plan *plan, struct steward *ret, struct error *err);

/* steward_tell - give it an order, without waiting; its answer makes steward->fd readable */
int steward_tell(const struct steward *steward, const struct steward_order *order,
                 struct error *err);

/* steward_hear - its answer to the last order. Errors  what became of the command; BLAME_HOST
 * -ECHILD if the steward died */
int steward_hear(const struct steward *steward, struct error *err);

/* steward_done - wait for its end, which comes after the answer to STEWARD_AFTER */
void steward_done(struct steward *steward);
