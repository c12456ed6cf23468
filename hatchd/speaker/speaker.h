/*
 * The speaker: the one process that reads what a client sends. It has no capability, no file, and a
 * seccomp filter that lets it read, write and allocate. Source: docs/protocol.md
 */
#pragma once

#include <sys/types.h>

#include "hatchd/sandbox/privilege.h"
#include "lib/base/cleanup.h"
#include "lib/base/error.h"

/* The monitor's ends. -1: closed or never made. */
struct speaker {
	pid_t pid;                /* 0: none */
	int control_fd;           /* orders out, notes in */
	int record_fd;            /* memfd; the speaker fills and seals it */
	int stdout_fd, stderr_fd; /* write ends, for the builder */
	int tree_fd;              /* write end, for the packer */
	int input_fd;             /* read end, for the unpacker */
	int status_fd;            /* write end, for the builder: hatch-builder(5), "STATUS" */
	int pulse_fd;             /* eventfd, for who sits between builder and speaker: the builder
	                             wrote, though nothing of it comes yet */
	int leash_fd;             /* hatchd/leash.h */
};

/* A struct speaker without a process. */
#define SPEAKER_NONE                                  \
	{                                             \
		0, -1, -1, -1, -1, -1, -1, -1, -1, -1 \
	}

/*
 * speaker_start - fork the speaker; from here on it alone has the connection
 *
 * conn_take_fd  closed in the monitor; still the caller's, to be refused, if there is no speaker
 * account       who it becomes
 */
int speaker_start(int *conn_take_fd, const struct account *account, struct speaker *ret,
                  struct error *err);

/*
 * speaker_end - let it end by itself for so long, then have it killed
 *
 * ret_status, and what is returned: as of leash_end()
 */
int speaker_end(struct speaker *speaker, int timeout_ms, int *ret_status);
void speaker_done(struct speaker *speaker);

/*
 * speaker_refuse - tell the client that there is no service, when no speaker can be started
 *
 * Greets and sends one fixed error; reads nothing and never blocks.
 */
void speaker_refuse(int conn_fd);
