/* Three descriptors and one deadline. */
#include "watch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/clock.h"

struct state {
	struct watch *watch;
	int64_t deadline_ms; /* 0: none yet */
	bool terminating;    /* SIGTERM was sent; at the deadline the grace is over */
	bool over;
};

/* A reason to end the builder: it gets SIGTERM and the grace. The first reason stands. */
static void terminate(struct state *state, enum ending why)
{
	struct watch *watch = state->watch;

	if (state->terminating || state->over)
		return;
	watch->ending = why;
	state->terminating = true;
	state->deadline_ms = clock_now_ms() +
	                     (int64_t)watch->request->builder->limits.grace_sec * 1000;
	if (watch->started_ms == 0 || sandbox_terminate(watch->sandbox) < 0)
		state->over = true;
}

/* Nobody is left to be graceful to. */
static void abandon(struct state *state, enum ending why)
{
	if (!state->terminating)
		state->watch->ending = why;
	state->over = true;
}

static void hear_speaker(struct state *state)
{
	struct watch *watch = state->watch;
	struct note note;

	if (fd_receive(watch->control_fd, &note, sizeof(note)) < 0) {
		abandon(state, ENDING_LOST);
		return;
	}
	note.text[sizeof(note.text) - 1] = '\0';
	watch->note = note;
	if (note.type == NOTE_SILENT)
		terminate(state, ENDING_SILENCE);
	else if (note.type == NOTE_LOG_FULL)
		terminate(state, ENDING_LOG);
	else
		abandon(state, ENDING_CANCELLED);
}

/* Only once: the time limit begins here. */
static void begin(struct state *state)
{
	struct watch *watch = state->watch;

	if (watch->started_ms)
		return;
	watch->started_ms = clock_now_ms();
	state->deadline_ms = watch->started_ms + (int64_t)watch->request->time_limit_sec * 1000;
	watch->started(watch->context);
}

/* init is the build user: no number of its own makes a failure look like none. */
static int hear_init(struct state *state, struct error *err)
{
	struct watch *watch = state->watch;
	struct sandbox_report report;
	int code, r;

	if (fd_receive(watch->sandbox->report_fd, &report, sizeof(report)) < 0) {
		abandon(state, ENDING_LOST);
		return 0;
	}
	report.text[sizeof(report.text) - 1] = '\0';
	report.hint[sizeof(report.hint) - 1] = '\0';
	code = report.code > 0 ? report.code : EIO;
	switch (report.kind) {
	case SANDBOX_STARTED:
		begin(state);
		return 0;
	case SANDBOX_EXITED:
		watch->has_status = true;
		watch->status = report.code;
		state->over = true;
		return 0;
	case SANDBOX_EXEC_FAILED:
		watch->ending = ENDING_EXEC;
		watch->code = code;
		state->over = true;
		return 0;
	case SANDBOX_FAILED:
	default:
		watch->ending = ENDING_SETUP;
		state->over = true;
		r = error_set(err, BLAME_HOST, code, "cannot set up the sandbox: %s", report.text);
		(void)error_hint(err, "%s", report.hint);
		return r;
	}
}

static void hear_signal(struct state *state)
{
	struct signalfd_siginfo info;

	if (fd_read_some(state->watch->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (state->watch->stop_signal == 0)
		state->watch->stop_signal = (int)info.ssi_signo;
	terminate(state, ENDING_STOPPED);
}

static int timeout_ms(const struct state *state)
{
	int64_t left;

	if (state->deadline_ms == 0)
		return -1;
	left = state->deadline_ms - clock_now_ms();
	return left <= 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

static void check_deadline(struct state *state)
{
	if (state->deadline_ms == 0 || clock_now_ms() < state->deadline_ms)
		return;
	if (state->terminating)
		state->over = true; /* the grace is over; the caller kills */
	else
		terminate(state, ENDING_TIME);
}

/* init dies too, as a rule: then nobody reports. Only the kernel's own count is believed. */
static bool was_killed_for_memory(const struct watch *watch)
{
	bool killed = watch->has_status && WIFSIGNALED(watch->status) &&
	              WTERMSIG(watch->status) == SIGKILL;

	return (watch->ending == ENDING_LOST || (watch->ending == ENDING_EXITED && killed)) &&
	       watch->ran_out_of_memory(watch->context);
}

int watch_run(struct watch *watch, struct error *err)
{
	struct state state = { .watch = watch };
	int r = 0;

	watch->ending = ENDING_EXITED;
	while (r == 0 && !state.over) {
		struct pollfd p[] = {
			{ .fd = watch->sandbox->report_fd, .events = POLLIN },
			{ .fd = watch->control_fd, .events = POLLIN },
			{ .fd = watch->signal_fd, .events = POLLIN },
			{ .fd = state.terminating ? -1 : watch->gauge_fd, .events = POLLIN },
		};

		if (poll(p, ARRAY_SIZE(p), timeout_ms(&state)) < 0) {
			if (errno == EINTR)
				continue;
			return error_errno(err, BLAME_HOST, errno, "cannot wait");
		}
		/* systemd sends SIGTERM to the builder too, and its end by that is not its own.
		 * Otherwise the builder's end comes first: what it did in time counts. */
		if (p[2].revents)
			hear_signal(&state);
		if (p[0].revents)
			r = hear_init(&state, err);
		if (r == 0 && p[1].revents && !state.over)
			hear_speaker(&state);
		if (r == 0 && p[3].revents && !state.over)
			terminate(&state, ENDING_SCRATCH);
		if (r == 0)
			check_deadline(&state);
	}
	watch->ended_ms = clock_now_ms();
	if (r == 0 && was_killed_for_memory(watch))
		watch->ending = ENDING_OOM;
	if (r == 0 && watch->ending == ENDING_LOST)
		r = error_set(err, BLAME_HOST, EPIPE, "a process of the server died");
	return r;
}
