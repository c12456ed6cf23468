/* The process around the conversation: its pipes, its identity, its confinement. */
#include "speaker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "build-config.h"
#include "hatchd/leash.h"
#include "hatchd/sandbox/filter.h"
#include "lib/base/cleanup.h"
#include "talk.h"

enum { PIPE_BYTES = 1024 * 1024 };

/* The pipes and the channel, both ends of each. */
struct ends {
	int control[2], record_fd, pulse_fd, out[2], err[2], status[2], tree[2], input[2], leash[2];
};

static void ends_done(struct ends *ends)
{
	int *all[] = { &ends->control[0], &ends->control[1], &ends->record_fd, &ends->pulse_fd,
		       &ends->out[0],     &ends->out[1],     &ends->err[0],    &ends->err[1],
		       &ends->tree[0],    &ends->tree[1],    &ends->input[0],  &ends->input[1],
		       &ends->status[0],  &ends->status[1],  &ends->leash[0],  &ends->leash[1] };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		fd_closep(all[i]);
}

static int ends_make(struct ends *ends, struct error *err)
{
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends->control) < 0 ||
	    pipe2(ends->out, O_CLOEXEC) < 0 || pipe2(ends->err, O_CLOEXEC) < 0 ||
	    pipe2(ends->status, O_CLOEXEC) < 0 || pipe2(ends->tree, O_CLOEXEC) < 0 ||
	    pipe2(ends->input, O_CLOEXEC) < 0 || pipe2(ends->leash, O_CLOEXEC) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot make pipes for the speaker");
	ends->record_fd = memfd_create("hatch-record", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (ends->record_fd < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot make a memfd");
	ends->pulse_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ends->pulse_fd < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot make an event counter");
	/* A larger pipe is fewer wake-ups; a host that allows less still works. */
	(void)fcntl(ends->tree[1], F_SETPIPE_SZ, PIPE_BYTES);
	return 0;
}

/* The child's side of the fork; never returns. */
__attribute__((noreturn)) static void speaker_main(int conn_fd, const struct account *account,
                                                   const struct ends *ends)
{
	struct talk talk = {
		.control_fd = ends->control[1],
		.record_fd = ends->record_fd,
		.tree_fd = ends->tree[0],
		.input_fd = ends->input[1],
		.pulse_fd = ends->pulse_fd,
		.streams = { { ends->out[0], MESSAGE_STDOUT, .left = STREAM_ENDLESS },
		             { ends->err[0], MESSAGE_STDERR, .left = STREAM_ENDLESS } },
		.status = { ends->status[0], .left = STREAM_ENDLESS },
	};
	int keep[] = { conn_fd,        talk.control_fd, talk.record_fd, talk.tree_fd,
		       talk.input_fd,  talk.pulse_fd,   ends->out[0],   ends->err[0],
		       talk.status.fd, ends->leash[1] };
	struct error err = { 0 };

	/* Everything that needs a file, a right or a large allocation comes before the filter. */
	talk.log_buf = malloc(LOG_READ_MAX + 1);
	if (!talk.log_buf || fds_close_except(keep, ARRAY_SIZE(keep), &err) < 0 ||
	    privilege_become(account, &err) < 0 || leash_wear(ends->leash[1]) < 0 ||
	    fcntl(conn_fd, F_SETFL, fcntl(conn_fd, F_GETFL) | O_NONBLOCK) < 0 ||
	    wire_init(&talk.wire, conn_fd, WIRE_REQUEST_MAX, &err) < 0 || filter_speaker(&err) < 0)
		(void)talk_tell(&talk, NOTE_BROKEN, DELIVERY_UNKNOWN,
		                err.text[0] ? err.text : "the speaker cannot start");
	else
		talk_run(&talk);
	_exit(0);
}

int speaker_start(int *conn_take_fd, const struct account *account, struct speaker *ret,
                  struct error *err)
{
	cleanup_(ends_done) struct ends ends = { { -1, -1 }, -1,         -1,
		                                 { -1, -1 }, { -1, -1 }, { -1, -1 },
		                                 { -1, -1 }, { -1, -1 }, { -1, -1 } };
	pid_t pid;
	int r = ends_make(&ends, err);

	if (r < 0)
		return r;
	pid = fork();
	if (pid < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot start the speaker");
	if (pid == 0)
		speaker_main(*conn_take_fd, account, &ends);
	fd_closep(conn_take_fd);
	*ret = (struct speaker){
		.pid = pid,
		.control_fd = take_fd(&ends.control[0]),
		.record_fd = take_fd(&ends.record_fd),
		.stdout_fd = take_fd(&ends.out[1]),
		.stderr_fd = take_fd(&ends.err[1]),
		.status_fd = take_fd(&ends.status[1]),
		.tree_fd = take_fd(&ends.tree[1]),
		.input_fd = take_fd(&ends.input[0]),
		.pulse_fd = take_fd(&ends.pulse_fd),
		.leash_fd = take_fd(&ends.leash[0]),
	};
	return 0;
}

int speaker_end(struct speaker *speaker, int timeout_ms, int *ret_status)
{
	return leash_end(&speaker->pid, &speaker->leash_fd, timeout_ms, ret_status);
}

void speaker_done(struct speaker *speaker)
{
	fd_closep(&speaker->control_fd);
	fd_closep(&speaker->record_fd);
	fd_closep(&speaker->stdout_fd);
	fd_closep(&speaker->stderr_fd);
	fd_closep(&speaker->status_fd);
	fd_closep(&speaker->tree_fd);
	fd_closep(&speaker->input_fd);
	fd_closep(&speaker->pulse_fd);
	fd_closep(&speaker->leash_fd);
}

void speaker_refuse(int conn_fd)
{
	static const char words[] =
		"{\"type\":\"hello\",\"version\":1,\"version_min\":1,\"server\":\"hatchd " VERSION
		"\"}\n"
		"{\"type\":\"error\",\"code\":\"server-failed\",\"message\":\"the server cannot "
		"serve requests\",\"hint\":\"its administrator finds the reason with: journalctl "
		"-t hatchd\"}\n";

	(void)send(conn_fd, words, sizeof(words) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}
