/*
 * The speaker's conversation with one client, once its process is confined: greet, read one
 * request, hand it over, then relay. It decides nothing: what it may say comes as orders from the
 * monitor, and what it enforces (log size, silence) protects its own client.
 */
#pragma once

#include "channel.h"
#include "lib/wire/message.h"

enum {
	LOG_READ_MAX = 64 * 1024,
	LOG_INLINE_MAX = 10 * 1024, /* one byte can take six in a string, and a line holds 64 KiB */
	LIST_PER_MESSAGE = 64,      /* 64 names and descriptions fit a line */
};

/* One of the builder's two streams. */
struct stream {
	int fd; /* read end; -1 after its end */
	enum message_type type;
	uint64_t bytes;
};

struct talk {
	struct wire wire;
	int control_fd, record_fd, tree_fd, pulse_fd;
	struct stream streams[2];
	bool client_done; /* the client has half-closed: nothing more comes from it */
	bool inline_reply;
	bool started;          /* the builder runs, or has run */
	bool ended;            /* it is gone */
	bool log_full, silent; /* told once */
	uint64_t log_max;
	int64_t silence_ms, last_log_ms;
	struct wire_builder items[LIST_PER_MESSAGE];
	size_t n_items;
	uint64_t output_bytes;
	char *log_buf;
};

/* talk_tell - one note to the monitor; 0 or -errno */
int talk_tell(struct talk *talk, enum note_type type, enum delivery delivery, const char *text);

/* talk_run - until everything is said; makes no system call that filter_speaker() does not allow */
void talk_run(struct talk *talk);
