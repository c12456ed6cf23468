/*
 * The run phase: the only time at which the monitor waits for several things at once. It waits with
 * poll(2) and one deadline; an event loop library would be more to read than this.
 */
#pragma once

#include "hatchd/request/request.h"
#include "hatchd/sandbox/sandbox.h"
#include "hatchd/speaker/channel.h"

enum ending {
	ENDING_EXITED,    /* by itself; status says how */
	ENDING_SETUP,     /* the sandbox could not be made; err says why */
	ENDING_EXEC,      /* the program could not be executed; code is the errno */
	ENDING_TIME,      /* limits.time_sec */
	ENDING_SILENCE,   /* limits.silence_sec */
	ENDING_LOG,       /* limits.log */
	ENDING_SCRATCH,   /* limits.scratch; the gauge has the words */
	ENDING_CANCELLED, /* the client hung up, or broke the protocol */
	ENDING_STOPPED,   /* by a signal: stop_signal */
	ENDING_OOM,       /* the kernel killed it for want of memory */
	ENDING_LOST,      /* a process of ours died */
};

struct watch {
	const struct request *request;
	const struct sandbox *sandbox;
	int control_fd; /* of the speaker */
	int signal_fd;
	int gauge_fd; /* readable when the scratch is too large, or nobody looks any more; -1: none
	               */
	void (*started)(void *context);           /* called once the builder's program runs */
	bool (*ran_out_of_memory)(void *context); /* has the kernel killed in its cgroup? */
	void *context;

	/* results */
	enum ending ending;
	bool has_status;
	int status;      /* of the builder, as wait(2) gives it, if has_status */
	int code;        /* ENDING_EXEC: errno */
	int stop_signal; /* that came first, 0: none */
	int64_t started_ms, ended_ms;
	struct note note; /* the speaker's last word */
};

/*
 * watch_run - until the builder's end is known: by itself, or because SIGTERM was sent for a limit
 * and it ended within the grace, or the grace is over. Kills nothing: the caller does, in any case.
 *
 * Returns  0 and the results, or a negative errno with err set (ENDING_SETUP, ENDING_LOST are set
 * then too)
 */
int watch_run(struct watch *watch, struct error *err);
