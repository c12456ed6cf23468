/*
 * The record's bytes. Both ends run on one machine from one program, so numbers are in its own
 * order.
 *
 *   head      struct head
 *   texts     builder, request_id, the arguments, name and value of each variable, name and path of
 *             each output and of each input; each is its length in four bytes, its bytes, and a NUL
 *
 * and nothing behind. Writing needs no memory of the heap: the speaker may be denied it.
 */
#include "record.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib/base/text.h"

enum {
	RECORD_MAGIC = 0x68617463, /* "hatc" */
	WRITE_LEN = 16 * 1024,
};

static const int all_seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

struct head {
	uint32_t magic;
	uint32_t kind;
	uint32_t len; /* of the whole record */
	uint32_t n_args, n_env, n_outputs;
	uint32_t inline_reply; /* 0 or 1 */
	uint32_t n_inputs;
	uint64_t timeout_sec;
};

void record_done(struct record *record)
{
	free(record->args);
	free(record->env);
	free(record->outputs);
	free(record->inputs);
	free(record->bytes);
	*record = (struct record){ 0 };
}

static int for_each_tree(struct record_tree *trees, size_t n_trees,
                         int (*each)(void *context, struct record_text *text), void *context)
{
	int r = 0;

	for (size_t i = 0; i < n_trees && r == 0; i++) {
		r = each(context, &trees[i].name);
		if (r == 0)
			r = each(context, &trees[i].path);
	}
	return r;
}

/* Calls each() for every text, in the order of the bytes; stops at the first failure. */
static int for_each_text(struct record *record,
                         int (*each)(void *context, struct record_text *text), void *context)
{
	int r = each(context, &record->builder);

	if (r == 0)
		r = each(context, &record->request_id);
	for (size_t i = 0; i < record->n_args && r == 0; i++)
		r = each(context, &record->args[i]);
	for (size_t i = 0; i < record->n_env && r == 0; i++) {
		r = each(context, &record->env[i].name);
		if (r == 0)
			r = each(context, &record->env[i].value);
	}
	if (r == 0)
		r = for_each_tree(record->outputs, record->n_outputs, each, context);
	if (r == 0)
		r = for_each_tree(record->inputs, record->n_inputs, each, context);
	return r;
}

/* A small buffer before write(2), so that a record of many texts is no storm of calls. */
struct writer {
	int fd;
	size_t len;
	char bytes[WRITE_LEN];
};

static int flush(struct writer *writer)
{
	int r = fd_write_full(writer->fd, writer->bytes, writer->len);

	writer->len = 0;
	return r;
}

static int put(struct writer *writer, const void *bytes, size_t len)
{
	const char *from = bytes;

	while (len > 0) {
		size_t room = sizeof(writer->bytes) - writer->len, n = len < room ? len : room;

		memcpy(writer->bytes + writer->len, from, n);
		writer->len += n;
		from += n;
		len -= n;
		if (writer->len == sizeof(writer->bytes)) {
			int r = flush(writer);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int put_text(void *context, struct record_text *text)
{
	uint32_t len = (uint32_t)text->len;
	int r = put(context, &len, sizeof(len));

	if (r == 0 && len > 0)
		r = put(context, text->data, len);
	return r < 0 ? r : put(context, "", 1);
}

static int add_len(void *context, struct record_text *text)
{
	size_t *len = context;

	if (text->len > RECORD_BYTES_MAX)
		return -EMSGSIZE;
	*len += sizeof(uint32_t) + text->len + 1;
	return *len > RECORD_BYTES_MAX ? -EMSGSIZE : 0;
}

static int measure(struct record *record, size_t *ret)
{
	*ret = sizeof(struct head);
	if (record->n_args > RECORD_ARGS_MAX || record->n_env > RECORD_ENV_MAX ||
	    record->n_outputs > RECORD_OUTPUTS_MAX || record->n_inputs > RECORD_INPUTS_MAX)
		return -EMSGSIZE;
	return for_each_text(record, add_len, ret);
}

static int write_all(int mem_fd, struct record *record, size_t len)
{
	const struct head head = {
		.magic = RECORD_MAGIC,
		.kind = record->kind,
		.len = (uint32_t)len,
		.n_args = (uint32_t)record->n_args,
		.n_env = (uint32_t)record->n_env,
		.n_outputs = (uint32_t)record->n_outputs,
		.n_inputs = (uint32_t)record->n_inputs,
		.inline_reply = record->inline_reply,
		.timeout_sec = record->timeout_sec,
	};
	struct writer writer;
	int r;

	/* Not initialised above: 16 KiB of zeroes would be written for nothing. */
	writer.fd = mem_fd;
	writer.len = 0;
	r = put(&writer, &head, sizeof(head));
	if (r == 0)
		r = for_each_text(record, put_text, &writer);
	return r < 0 ? r : flush(&writer);
}

int record_write(int mem_fd, const struct record *record, struct error *err)
{
	/* The texts are only read; the walk is shared with the reader, which sets them. */
	struct record *texts = (struct record *)record;
	size_t len;
	int r = measure(texts, &len);

	if (r < 0)
		return error_set(err, BLAME_HOST, -r, "the request is larger than a record may be");
	r = write_all(mem_fd, texts, len);
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot write the record of a request");
	if (fcntl(mem_fd, F_ADD_SEALS, all_seals) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot seal the record of a request");
	return 0;
}

/* What is left to read. */
struct reader {
	const char *at;
	size_t left;
};

static int take_text(void *context, struct record_text *ret)
{
	struct reader *reader = context;
	uint32_t len;

	if (reader->left < sizeof(len))
		return -EBADMSG;
	memcpy(&len, reader->at, sizeof(len));
	reader->at += sizeof(len);
	reader->left -= sizeof(len);
	/* One more byte is the NUL; compared so that nothing can wrap. */
	if (reader->left == 0 || len > reader->left - 1)
		return -EBADMSG;
	if (memchr(reader->at, '\0', (size_t)len + 1) != reader->at + len)
		return -EBADMSG;
	*ret = (struct record_text){ reader->at, len };
	reader->at += (size_t)len + 1;
	reader->left -= (size_t)len + 1;
	return 0;
}

static int broken(const char *what, struct error *err)
{
	return error_set(err, BLAME_HOST, EBADMSG, "the record of a request is broken: %s", what);
}

static int check_head(const struct head *head, size_t len, struct error *err)
{
	bool is_request = head->kind == RECORD_REQUEST;
	bool has_more = head->n_args || head->n_env || head->n_outputs || head->n_inputs ||
	                head->inline_reply || head->timeout_sec;

	if (head->magic != RECORD_MAGIC || head->len != len)
		return broken("it does not begin like one", err);
	if (!is_request && head->kind != RECORD_LIST && head->kind != RECORD_PING)
		return broken("it is of an unknown kind", err);
	if (!is_request && has_more)
		return broken("only a request has words", err);
	if (head->n_args > RECORD_ARGS_MAX || head->n_env > RECORD_ENV_MAX ||
	    head->n_outputs > RECORD_OUTPUTS_MAX || head->n_inputs > RECORD_INPUTS_MAX)
		return broken("it counts too many words", err);
	if (head->inline_reply > 1 || head->timeout_sec > RECORD_TIMEOUT_SEC_MAX)
		return broken("a number in its head is out of range", err);
	return 0;
}

static int make_arrays(const struct head *head, struct record *record, struct error *err)
{
	/* One more each: calloc(0) may be NULL, which would look like a lack of memory. */
	record->args = calloc((size_t)head->n_args + 1, sizeof(*record->args));
	record->env = calloc((size_t)head->n_env + 1, sizeof(*record->env));
	record->outputs = calloc((size_t)head->n_outputs + 1, sizeof(*record->outputs));
	record->inputs = calloc((size_t)head->n_inputs + 1, sizeof(*record->inputs));
	if (!record->args || !record->env || !record->outputs || !record->inputs)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for a record");
	record->kind = (enum record_kind)head->kind;
	record->n_args = head->n_args;
	record->n_env = head->n_env;
	record->n_outputs = head->n_outputs;
	record->n_inputs = head->n_inputs;
	record->inline_reply = head->inline_reply == 1;
	record->timeout_sec = head->timeout_sec;
	return 0;
}

static bool is_request_id(const struct record_text *id)
{
	static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ._-";

	return id->len <= RECORD_ID_MAX && strspn(id->data, letters) == id->len;
}

static bool have_names(const struct record_tree *trees, size_t n_trees,
                       bool (*is_name)(const char *text, size_t len))
{
	for (size_t i = 0; i < n_trees; i++)
		if (!is_name(trees[i].name.data, trees[i].name.len) ||
		    trees[i].path.len > RECORD_PATH_MAX)
			return false;
	return true;
}

/* The patterns that lib/wire has checked for an honest speaker already. */
static int check_names(const struct record *record, struct error *err)
{
	if (record->kind != RECORD_REQUEST)
		return record->builder.len || record->request_id.len
		               ? broken("only a request has words", err)
		               : 0;
	if (!text_is_name(record->builder.data, record->builder.len))
		return broken("its builder has no name", err);
	if (!is_request_id(&record->request_id))
		return broken("its request_id is none", err);
	for (size_t i = 0; i < record->n_env; i++)
		if (!text_is_variable(record->env[i].name.data, record->env[i].name.len))
			return broken("one of its variables has no name", err);
	if (!have_names(record->outputs, record->n_outputs, text_is_output))
		return broken("one of its outputs has no name, or too long a path", err);
	if (!have_names(record->inputs, record->n_inputs, text_is_input))
		return broken("one of its inputs has no name, or too long a path", err);
	return 0;
}

int record_parse(char **bytes, size_t len, struct record *ret, struct error *err)
{
	cleanup_record struct record record = { 0 };
	struct reader reader;
	struct head head;
	int r;

	if (len < sizeof(head) || len > RECORD_BYTES_MAX)
		return broken("it is too short or too long", err);
	memcpy(&head, *bytes, sizeof(head));
	r = check_head(&head, len, err);
	if (r == 0)
		r = make_arrays(&head, &record, err);
	if (r < 0)
		return r;
	reader = (struct reader){ *bytes + sizeof(head), len - sizeof(head) };
	if (for_each_text(&record, take_text, &reader) < 0)
		return broken("a text in it is cut off or holds a NUL", err);
	if (reader.left != 0)
		return broken("something follows its last text", err);
	r = check_names(&record, err);
	if (r < 0)
		return r;
	record.bytes = take_ptr(bytes);
	*ret = record;
	record = (struct record){ 0 };
	return 0;
}

static int read_bytes(int fd, char *bytes, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, bytes + done, len - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EPIPE;
		done += (size_t)n;
	}
	return 0;
}

int record_read(int mem_fd, struct record *ret, struct error *err)
{
	cleanup_free char *bytes = NULL;
	struct stat st;
	int r, seals = fcntl(mem_fd, F_GET_SEALS);

	if (seals < 0 || (seals & all_seals) != all_seals)
		return error_set(err, BLAME_HOST, EPERM, "the record of a request is not sealed");
	if (fstat(mem_fd, &st) < 0)
		return error_errno(err, BLAME_HOST, errno,
		                   "cannot look at the record of a request");
	if (st.st_size < 0 || st.st_size > RECORD_BYTES_MAX)
		return broken("it is too long", err);
	bytes = malloc((size_t)st.st_size + 1);
	if (!bytes)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for a record");
	r = read_bytes(mem_fd, bytes, (size_t)st.st_size);
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot read the record of a request");
	return record_parse(&bytes, (size_t)st.st_size, ret, err);
}
