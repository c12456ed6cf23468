/*
 * The flat record: how the speaker hands the monitor what the client asked, in a sealed memfd.
 * No JSON, no pointers: a fixed head and counted strings, each bound checked again by the reader.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/error.h"

enum record_kind {
	RECORD_REQUEST = 1,
	RECORD_LIST,
	RECORD_PING,
};

enum {
	RECORD_BYTES_MAX = 2 * 1024 * 1024, /* a first line of 1 MiB cannot make more of it */
	RECORD_ARGS_MAX = 4096,             /* these as docs/protocol.md, "request" */
	RECORD_ENV_MAX = 256,
	RECORD_OUTPUTS_MAX = 32,
	RECORD_INPUTS_MAX = 32,
	RECORD_ID_MAX = 64,
	RECORD_PATH_MAX = 4095,
	RECORD_TIMEOUT_SEC_MAX = 31536000,
};

struct record_text {
	const char *data; /* no NUL inside, one behind */
	size_t len;
};

static inline bool record_text_is(const struct record_text *text, const char *string)
{
	return text->len == strlen(string) && memcmp(text->data, string, text->len) == 0;
}

static inline bool record_text_same(const struct record_text *a, const struct record_text *b)
{
	return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

struct record_variable {
	struct record_text name, value;
};

/* An output, or an input. */
struct record_tree {
	struct record_text name;
	struct record_text path; /* empty: a place of the server's choice; an input that is sent */
};

/* The arrays are malloc()ed, by reader and writer alike; the texts are borrowed from bytes, or by a
 * writer from wherever it likes. Only a request has more than a kind. */
struct record {
	enum record_kind kind;
	struct record_text builder, request_id; /* request_id: empty if not given */
	struct record_text *args;
	size_t n_args;
	struct record_variable *env;
	size_t n_env;
	struct record_tree *outputs;
	size_t n_outputs;
	struct record_tree *inputs;
	size_t n_inputs;
	uint64_t timeout_sec; /* 0: not given */
	bool inline_reply;

	char *bytes; /* owned: what the texts point into (reader), or NULL (writer) */
};

#define cleanup_record cleanup_(record_done)

void record_done(struct record *record);

/*
 * record_write - write the record to mem_fd (empty, allows sealing) and seal it for ever
 *
 * Makes no system call but write(2) and fcntl(2), and needs no memory: the speaker's filter allows
 * no more.
 * Errors   BLAME_HOST: -EMSGSIZE more than record_read() takes, what write(2) and fcntl(2) say
 */
int record_write(int mem_fd, const struct record *record, struct error *err);

/*
 * record_read - read it back, believing nothing
 *
 * Copies the bytes once: the seals say that they cannot change, the copy does not need them to.
 * Errors   BLAME_HOST -EPERM not sealed, -EBADMSG a bound or pattern that an honest speaker keeps
 *          is broken; -ENOMEM
 */
int record_read(int mem_fd, struct record *ret, struct error *err);

/* record_parse - the same from memory; *bytes is malloc()ed and moves into the record on success */
int record_parse(char **bytes, size_t len, struct record *ret, struct error *err);
