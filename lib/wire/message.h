/*
 * The messages of docs/protocol.md: as values, as lines of JSON, and on a socket. The same code on
 * both sides; no message is trusted here, only well formed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/buffer.h"
#include "lib/base/cleanup.h"
#include "lib/base/error.h"

enum {
	WIRE_VERSION = 1,
	WIRE_VERSION_MIN = 1,
	WIRE_LINE_MAX = 64 * 1024,
	WIRE_REQUEST_MAX = 1024 * 1024, /* the first line of a client */
	WIRE_ATTACHMENT_MAX = 1024 * 1024,
	WIRE_DEPTH_MAX = 8,
	WIRE_VALUES_MAX = 16384, /* in all lists and objects of a message */
	WIRE_ARGS_MAX = 4096,
	WIRE_ENV_MAX = 256,
	WIRE_OUTPUTS_MAX = 32,
	WIRE_INPUTS_MAX = 32,
	WIRE_PATH_MAX = 4095,
	WIRE_TIMEOUT_SEC_MAX = 31536000,
	WIRE_REQUEST_ID_MAX = 64,
	WIRE_PHASE_MAX = 256, /* bytes */
	WIRE_HEARTBEAT_SEC_MAX = 3600,
	WIRE_ID_LEN = 16, /* of the server's request id */
};

/* What becomes of store paths in outputs that are no inputs of the build; the stricter is more. */
enum wire_references {
	REFERENCES_UNSAID, /* absent */
	REFERENCES_IGNORE,
	REFERENCES_WARN,
	REFERENCES_FAIL,
};

/* Bytes without NUL, followed by one that does not count. */
struct text {
	char *data;
	size_t len;
};

struct wire_variable {
	char *name;
	struct text value;
};

/* An output, or an input. */
struct wire_tree {
	char *name;
	char *path; /* of an output: NULL: a place of the server's choice; of an input: the store
	               path that it is; NULL: none */
};

struct wire_builder {
	char *name;
	char *description;
};

enum message_type {
	MESSAGE_HELLO,
	MESSAGE_ACCEPTED,
	MESSAGE_QUEUED,
	MESSAGE_SEND,
	MESSAGE_STARTED,
	MESSAGE_PHASE,
	MESSAGE_ALIVE,
	MESSAGE_STDOUT,
	MESSAGE_STDERR,
	MESSAGE_OUTPUT,
	MESSAGE_OUTPUT_END,
	MESSAGE_EXIT,
	MESSAGE_ERROR,
	MESSAGE_BUILDERS,
	MESSAGE_PONG,
	MESSAGE_REQUEST,
	MESSAGE_LIST,
	MESSAGE_PING,
	MESSAGE_INPUT,
	MESSAGE_INPUT_END,
	MESSAGE_RECEIVED,
	_MESSAGE_TYPE_MAX,
};

struct wire_receipt {
	char *id, *builder, *derivation, *user; /* derivation may be NULL */
	uint32_t peer_uid, peer_gid;
	uint64_t queued_ms, run_ms, total_ms;
	uint64_t stdout_bytes, stderr_bytes;
	uint64_t outputs;
	/* 0 is also what the server's host cannot tell */
	uint64_t inputs, inputs_bound, input_bytes;
	uint64_t memory_peak, cpu_user_us, cpu_system_us, io_read_bytes, io_write_bytes, pids_peak;
};

/* One message. Pointers are owned and released by message_done(); absent text is NULL. */
struct message {
	enum message_type type;
	uint32_t size; /* bytes of the attachment that follows; 0: none */
	union {
		struct {
			uint32_t version, version_min;
			char *server;
		} hello; /* and pong, with server alone */
		struct {
			char *id, *builder, *derivation;
			char **send; /* names of inputs, NULL-terminated; NULL: not said */
			enum wire_references references;
		} accepted;
		struct {
			char *resource;
			uint64_t ahead;
		} queued;
		struct {
			uint64_t time_limit_sec;
		} started;
		struct {
			char *text; /* 1 to WIRE_PHASE_MAX bytes, text_is_plain() */
		} phase;
		struct {
			/* inline replies: instead of the attachment; may hold NUL */
			struct text data;
		} log;
		struct {
			char *name;
			uint64_t entries, bytes; /* output_end */
			char *sha256;
		} output; /* and input; of send the name alone */
		struct {
			uint32_t code;
			uint32_t signal; /* 0: none */
			bool timed_out;
			bool silent; /* timed_out by the limit on silence */
			bool oom;    /* killed for want of memory */
			char *hint;  /* what to do about the end, or NULL */
			char *kept;  /* name of the keepsake of a failed request; may be NULL */
			struct wire_receipt receipt;
		} exit;
		struct {
			char *code, *message, *hint, *kept; /* the last two may be NULL */
		} error;
		struct {
			struct wire_builder *items;
			size_t n_items;
			bool more;
		} builders;
		struct {
			uint32_t version; /* also of list and ping */
			char *builder;
			struct text *args;
			size_t n_args;
			struct wire_variable *env;
			size_t n_env;
			struct wire_tree *outputs;
			size_t n_outputs;
			struct wire_tree *inputs;
			size_t n_inputs;
			uint64_t timeout_sec;            /* 0: not given */
			uint64_t heartbeat_sec;          /* the same */
			enum wire_references references; /* not sent: the client's own */
			char *request_id;
			bool inline_reply;
		} request;
	};
};

#define cleanup_message cleanup_(message_done)

void message_done(struct message *message);

/*
 * message_parse - one line without its newline into a message
 *
 * Every cap and pattern of docs/protocol.md is checked, and nothing else: whether the builder
 * exists is not known here. A request of another version parses as far as its version only (the
 * rest stays empty), so that the caller can answer with the error "version".
 *
 * Errors   BLAME_PEER -EBADMSG, the sentence names the member; -ENOMEM
 */
int message_parse(const char *line, size_t len, struct message *ret, struct error *err);

/* message_init - gives the JSON parser a secret seed without a system call, so that it works in a
 * process that may not open files; wire_init() calls it */
void message_init(void);

/*
 * message_parse_attrs - the .attrs.json of a Nix derivation as the request it asks for
 *
 * ret     a request: outputs from the member "outputs"; builder, args, env, inputs, timeout_sec
 *         and request_id from the member "hatch" where it has them (builder may be NULL; the paths
 *         of inputs are any)
 * Errors  BLAME_PEER -EBADMSG, the sentence names the member; -ENOMEM
 */
int message_parse_attrs(const char *text, size_t len, struct message *ret, struct error *err);

/*
 * message_print - append the message as one line, newline included
 *
 * message_parse() of it gives an equal message. On failure buf is as before.
 *
 * Errors   BLAME_HOST: -EMSGSIZE longer than the line cap (65,536; a request 1,048,576), -EILSEQ a
 *          string that is not UTF-8 (text_escape() makes one of it), -EINVAL a member that must be
 *          there is NULL or holds a NUL, -ERANGE a number outside its range; -ENOMEM
 */
int message_print(const struct message *message, struct buffer *buf, struct error *err);

/* message_references - one of "ignore", "warn" and "fail"; REFERENCES_UNSAID: none of them */
enum wire_references message_references(const char *word);

/* message_type_name - the word on the wire */
const char *message_type_name(enum message_type type);

/* One end of a connection. */
struct wire {
	int fd;              /* borrowed; blocking, or not as far as it is only read */
	size_t line_max;     /* of the next line */
	int64_t deadline_ms; /* CLOCK_MONOTONIC; reading fails with -ETIMEDOUT then; 0: none */
	int stop_fd;         /* reading fails with -ECANCELED, also in the middle, when there is
	                        something to read here; looked at only with a deadline; -1: none */
	/* Asked each time before the other side is waited for to take bytes: in how many ms it
	 * wants to be asked again, -1: not before they are taken. NULL: nobody is. */
	int (*patience)(void *context);
	void *patience_context;
	char *buf;
	size_t start, end, room;
	uint32_t attachment; /* bytes of the last message's attachment not yet taken */
};

int wire_init(struct wire *wire, int fd, size_t line_max, struct error *err);
void wire_done(struct wire *wire);

/*
 * wire_read - the next message
 *
 * What is left of the attachment before it is skipped. Returns 1, 0 at the end of the stream
 * between two messages, or a negative errno: BLAME_PEER -EPIPE inside a message, -ETIMEDOUT,
 * -EMSGSIZE line too long, -EBADMSG, or what read(2) says; -ECANCELED as of stop_fd.
 */
int wire_read(struct wire *wire, struct message *ret, struct error *err);

/* wire_has_more - did the last read(2) bring bytes beyond the last message and its attachment? */
static inline bool wire_has_more(const struct wire *wire)
{
	return wire->end - wire->start > wire->attachment;
}

/* wire_read_attachment - the next piece of it, at most what one read(2) brought; *ret is valid
 * until the next call. Returns its length, 0 when the attachment is complete, or a negative errno.
 */
ssize_t wire_read_attachment(struct wire *wire, const void **ret, struct error *err);

/* wire_write - send a message and its message->size bytes of attachment, in one writev(2) if the
 * socket takes it. bytes NULL: only the line; the caller sends the attachment itself. */
int wire_write(struct wire *wire, const struct message *message, const void *bytes,
               struct error *err);
