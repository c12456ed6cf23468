#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "tests/unit.h"

static struct error err;

/* Where the fields of the head stand. */
enum {
	AT_MAGIC = 0,
	AT_KIND = 4,
	AT_LEN = 8,
	AT_ARGS = 12,
	AT_ENV = 16,
	AT_OUTPUTS = 20,
	AT_INLINE = 24,
	AT_INPUTS = 28,
	AT_TIMEOUT = 32,
	HEAD_LEN = 40
};

static struct record_text text(const char *s)
{
	return (struct record_text){ s, strlen(s) };
}

static bool same(const struct record_text *a, const struct record_text *b)
{
	return a->len == b->len && memcmp(a->data, b->data, a->len) == 0 && a->data[a->len] == '\0';
}

/* A request with something of everything. */
static struct record_text some_args[] = { { "a b\n\"\xff", 6 }, { "", 0 } };
static struct record_variable some_env[] = { { { "TOP", 3 }, { "x", 1 } },
	                                     { { "_E", 2 }, { "", 0 } } };
static struct record_tree some_outputs[] = { { { "out", 3 }, { "/nix/store/x", 12 } },
	                                     { { "dev", 3 }, { "", 0 } } };
static struct record_tree some_inputs[] = { { { "src", 3 }, { "/nix/store/y", 12 } },
	                                    { { "Top.v", 5 }, { "", 0 } } };

static struct record sample(void)
{
	return (struct record){ .kind = RECORD_REQUEST,
		                .builder = text("hello"),
		                .request_id = text("Job-1.2_3"),
		                .args = some_args,
		                .n_args = 2,
		                .env = some_env,
		                .n_env = 2,
		                .outputs = some_outputs,
		                .n_outputs = 2,
		                .inputs = some_inputs,
		                .n_inputs = 2,
		                .timeout_sec = 77,
		                .inline_reply = true };
}

static int new_memfd(void)
{
	int fd = memfd_create("record", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		abort();
	return fd;
}

/* There and back. */
static int travel(const struct record *record, struct record *ret)
{
	cleanup_fd int fd = new_memfd();
	int r = record_write(fd, record, &err);

	return r < 0 ? r : record_read(fd, ret, &err);
}

static int try_travel(const struct record *record)
{
	cleanup_record struct record back = { 0 };

	return travel(record, &back);
}

static void arrives_as_it_was_sent(void)
{
	cleanup_record struct record back = { 0 };
	struct record sent = sample();

	check(travel(&sent, &back) == 0);
	if (unit_failed)
		return;
	check(back.kind == RECORD_REQUEST && back.timeout_sec == 77 && back.inline_reply);
	check(same(&back.builder, &sent.builder) && same(&back.request_id, &sent.request_id));
	check(back.n_args == 2 && back.n_env == 2 && back.n_outputs == 2 && back.n_inputs == 2);
	for (size_t i = 0; i < 2; i++) {
		check(same(&back.args[i], &some_args[i]));
		check(same(&back.env[i].name, &some_env[i].name));
		check(same(&back.env[i].value, &some_env[i].value));
		check(same(&back.outputs[i].name, &some_outputs[i].name));
		check(same(&back.outputs[i].path, &some_outputs[i].path));
		check(same(&back.inputs[i].name, &some_inputs[i].name));
		check(same(&back.inputs[i].path, &some_inputs[i].path));
	}
}

static void the_least_of_each_kind_arrives(void)
{
	struct record request = { .kind = RECORD_REQUEST, .builder = text("b") };
	struct record list = { .kind = RECORD_LIST }, ping = { .kind = RECORD_PING };
	cleanup_record struct record a = { 0 }, b = { 0 }, c = { 0 };

	check(travel(&request, &a) == 0 && a.kind == RECORD_REQUEST && !a.inline_reply);
	check(a.n_args == 0 && a.n_env == 0 && a.n_outputs == 0 && a.n_inputs == 0 &&
	      a.timeout_sec == 0);
	check(travel(&list, &b) == 0 && b.kind == RECORD_LIST);
	check(travel(&ping, &c) == 0 && c.kind == RECORD_PING);
}

static void is_sealed_against_every_change(void)
{
	cleanup_fd int fd = new_memfd();
	struct record sent = sample();

	check(record_write(fd, &sent, &err) == 0);
	check(pwrite(fd, "x", 1, 0) < 0 && errno == EPERM);
	check(ftruncate(fd, 0) < 0 && errno == EPERM);
	check(ftruncate(fd, 1 << 20) < 0 && errno == EPERM);
	check(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) < 0 && errno == EPERM);
	check(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
}

/* The bytes of the sample; returns their number. */
static size_t sample_bytes(char **ret)
{
	cleanup_fd int fd = new_memfd();
	struct record sent = sample();
	size_t len;

	if (record_write(fd, &sent, &err) < 0 || lseek(fd, 0, SEEK_SET) < 0 ||
	    fd_read_file(fd, RECORD_BYTES_MAX, ret, &len) < 0)
		abort();
	return len;
}

/* Parse a copy of exactly these bytes, so that a sanitizer sees a step beyond them. */
static int parse(const char *bytes, size_t len)
{
	cleanup_record struct record record = { 0 };
	cleanup_free char *copy = malloc(len ? len : 1);
	int r;

	memcpy(copy, bytes, len);
	err.text[0] = '\0';
	r = record_parse(&copy, len, &record, &err);
	/* Moved on success only. */
	check((r == 0) == (copy == NULL));
	return r;
}

static void set_u32(char *bytes, size_t at, uint32_t value)
{
	memcpy(bytes + at, &value, sizeof(value));
}

static void a_record_cut_off_anywhere_is_broken(void)
{
	cleanup_free char *bytes = NULL;
	size_t len = sample_bytes(&bytes);

	check(parse(bytes, len) == 0);
	for (size_t n = 0; n < len; n++) {
		check(parse(bytes, n) == -EBADMSG);
		/* The same with a length that fits. */
		if (n >= HEAD_LEN) {
			set_u32(bytes, AT_LEN, (uint32_t)n);
			check(parse(bytes, n) == -EBADMSG);
			set_u32(bytes, AT_LEN, (uint32_t)len);
		}
	}
}

static void nothing_may_follow_the_last_text(void)
{
	cleanup_free char *bytes = NULL, *longer = NULL;
	size_t len = sample_bytes(&bytes);

	longer = calloc(1, len + 8);
	memcpy(longer, bytes, len);
	set_u32(longer, AT_LEN, (uint32_t)len + 8);
	check(parse(longer, len + 8) == -EBADMSG);
	check(strstr(err.text, "something follows") != NULL);
	check(parse(longer, len + 7) == -EBADMSG);
}

static void refuses_a_head_that_no_honest_speaker_writes(void)
{
	static const struct {
		size_t at;
		uint32_t value;
		const char *words;
	} rows[] = {
		{ AT_MAGIC, 0, "begin like one" },
		{ AT_KIND, 0, "unknown kind" },
		{ AT_KIND, 4, "unknown kind" },
		{ AT_KIND, 0xffffffff, "unknown kind" },
		{ AT_KIND, RECORD_LIST, "only a request" },
		{ AT_KIND, RECORD_PING, "only a request" },
		{ AT_LEN, 0, "begin like one" },
		{ AT_LEN, 0xffffffff, "begin like one" },
		{ AT_ARGS, RECORD_ARGS_MAX + 1, "too many" },
		{ AT_ARGS, 0xffffffff, "too many" },
		{ AT_ARGS, RECORD_ARGS_MAX, "cut off" },
		{ AT_ENV, RECORD_ENV_MAX + 1, "too many" },
		{ AT_ENV, 0x80000000, "too many" },
		{ AT_OUTPUTS, RECORD_OUTPUTS_MAX + 1, "too many" },
		{ AT_OUTPUTS, 0x7fffffff, "too many" },
		{ AT_ARGS, 1, "" },
		{ AT_ARGS, 3, "" },
		{ AT_ENV, 1, "" },
		{ AT_OUTPUTS, 1, "something follows" },
		{ AT_OUTPUTS, 3, "cut off" },
		{ AT_INLINE, 2, "out of range" },
		{ AT_INPUTS, RECORD_INPUTS_MAX + 1, "too many" },
		{ AT_INPUTS, 0xffffffff, "too many" },
		{ AT_INPUTS, 1, "something follows" },
		{ AT_INPUTS, 3, "cut off" },
		{ AT_TIMEOUT, RECORD_TIMEOUT_SEC_MAX + 1, "out of range" },
		{ AT_TIMEOUT + 4, 1, "out of range" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *bytes = NULL;
		size_t len = sample_bytes(&bytes);

		set_u32(bytes, rows[i].at, rows[i].value);
		check(parse(bytes, len) == -EBADMSG);
		check(strstr(err.text, rows[i].words) != NULL);
		check(err.blame == BLAME_HOST);
	}
}

static void refuses_lengths_that_lie(void)
{
	static const uint32_t lies[] = { 4, 6, 7, 1000, 0x7fffffff, 0xfffffffe, 0xffffffff };
	cleanup_free char *bytes = NULL;
	size_t len = sample_bytes(&bytes);

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		set_u32(bytes, HEAD_LEN, lies[i]);
		check(parse(bytes, len) == -EBADMSG);
	}
	set_u32(bytes, HEAD_LEN, 5);
	check(parse(bytes, len) == 0);
}

static void refuses_nul_inside_and_anything_else_behind(void)
{
	cleanup_free char *bytes = NULL;
	size_t len = sample_bytes(&bytes), at = HEAD_LEN + 4;

	bytes[at + 2] = '\0';
	check(parse(bytes, len) == -EBADMSG);
	bytes[at + 2] = 'l';
	bytes[at + 5] = 'x';
	check(parse(bytes, len) == -EBADMSG);
	bytes[at + 5] = '\0';
	check(parse(bytes, len) == 0);
	bytes[len - 1] = 'x';
	check(parse(bytes, len) == -EBADMSG);
	bytes[len - 1] = '\0';
	/* An argument, which may be any bytes but this one: behind "hello", "Job-1.2_3". */
	at = HEAD_LEN + 10 + 14 + 4;
	check(memcmp(bytes + at, "a b", 3) == 0);
	bytes[at + 1] = '\0';
	check(parse(bytes, len) == -EBADMSG);
}

static void only_a_request_has_words(void)
{
	const struct record records[] = {
		{ .kind = RECORD_LIST, .args = some_args, .n_args = 1 },
		{ .kind = RECORD_PING, .env = some_env, .n_env = 1 },
		{ .kind = RECORD_LIST, .outputs = some_outputs, .n_outputs = 1 },
		{ .kind = RECORD_PING, .inputs = some_inputs, .n_inputs = 1 },
		{ .kind = RECORD_PING, .timeout_sec = 1 },
		{ .kind = RECORD_LIST, .inline_reply = true },
		{ .kind = RECORD_LIST, .builder = { "b", 1 } },
		{ .kind = RECORD_PING, .request_id = { "b", 1 } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(records); i++)
		check(try_travel(&records[i]) == -EBADMSG);
}

static void refuses_names_that_are_none(void)
{
	static const char *const builders[] = { "",    "A",   "a/b",      "..", "-a",
		                                "a b", "a\n", "\xc3\xa4", ".a" };
	static const char *const ids[] = { "a b", "a/b", "a\n", "\xff", "a:b" };
	static const char *const variables[] = { "", "A=B", "1A", "A-B", "A B", "\xff" };
	static const char *const outputs[] = { "", "Out", "o/t", "..", "out=", "1", "_x" };
	static const char *const inputs[] = { "", ".", "..", ".x", "a/b", "-a", "a b", "\xff" };
	struct record record = sample();

	for (size_t i = 0; i < ARRAY_SIZE(builders); i++) {
		record.builder = text(builders[i]);
		check(try_travel(&record) == -EBADMSG);
	}
	record = sample();
	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		record.request_id = text(ids[i]);
		check(try_travel(&record) == -EBADMSG);
	}
	record = sample();
	for (size_t i = 0; i < ARRAY_SIZE(variables); i++) {
		struct record_variable one = { text(variables[i]), text("") };

		record.env = &one;
		record.n_env = 1;
		check(try_travel(&record) == -EBADMSG);
	}
	record = sample();
	for (size_t i = 0; i < ARRAY_SIZE(outputs); i++) {
		struct record_tree one = { text(outputs[i]), text("") };

		record.outputs = &one;
		record.n_outputs = 1;
		check(try_travel(&record) == -EBADMSG);
	}
	record = sample();
	for (size_t i = 0; i < ARRAY_SIZE(inputs); i++) {
		struct record_tree one = { text(inputs[i]), text("") };

		record.inputs = &one;
		record.n_inputs = 1;
		check(try_travel(&record) == -EBADMSG);
	}
}

static void both_sides_of_every_limit(void)
{
	static struct record_text args[RECORD_ARGS_MAX + 1];
	static struct record_variable env[RECORD_ENV_MAX + 1];
	static struct record_tree outputs[RECORD_OUTPUTS_MAX + 1];
	static struct record_tree inputs[RECORD_INPUTS_MAX + 1];
	static char name[65], id[66], path[4098];
	struct record record = sample();

	for (size_t i = 0; i < ARRAY_SIZE(args); i++)
		args[i] = text("");
	for (size_t i = 0; i < ARRAY_SIZE(env); i++)
		env[i] = (struct record_variable){ text("A"), text("") };
	for (size_t i = 0; i < ARRAY_SIZE(outputs); i++)
		outputs[i] = (struct record_tree){ text("o"), text("") };
	for (size_t i = 0; i < ARRAY_SIZE(inputs); i++)
		inputs[i] = (struct record_tree){ text("i"), text("") };
	record.args = args;
	record.env = env;
	record.outputs = outputs;
	record.inputs = inputs;
	record.n_inputs = RECORD_INPUTS_MAX;
	record.n_args = RECORD_ARGS_MAX;
	record.n_env = RECORD_ENV_MAX;
	record.n_outputs = RECORD_OUTPUTS_MAX;
	record.timeout_sec = RECORD_TIMEOUT_SEC_MAX;
	memset(name, 'n', 64);
	memset(id, 'i', 64);
	memset(path, 'p', 4095);
	record.builder = (struct record_text){ name, 64 };
	record.request_id = (struct record_text){ id, 64 };
	outputs[0].path = (struct record_text){ path, 4095 };
	check(try_travel(&record) == 0);

	record.n_args++;
	check(try_travel(&record) == -EMSGSIZE);
	record.n_args--;
	record.n_env++;
	check(try_travel(&record) == -EMSGSIZE);
	record.n_env--;
	record.n_outputs++;
	check(try_travel(&record) == -EMSGSIZE);
	record.n_outputs--;
	record.n_inputs++;
	check(try_travel(&record) == -EMSGSIZE);
	record.n_inputs--;
	record.timeout_sec++;
	check(try_travel(&record) == -EBADMSG);
	record.timeout_sec--;
	id[64] = 'i';
	record.request_id.len = 65;
	check(try_travel(&record) == -EBADMSG);
	record.request_id.len = 64;
	path[4095] = 'p';
	outputs[0].path.len = 4096;
	check(try_travel(&record) == -EBADMSG);
	outputs[0].path.len = 4095;
	inputs[0].path = (struct record_text){ path, 4096 };
	check(try_travel(&record) == -EBADMSG);
	inputs[0].path.len = 4095;
	check(try_travel(&record) == 0);
}

static void a_record_has_two_mebibytes_at_most(void)
{
	cleanup_free char *large = malloc(RECORD_BYTES_MAX + 1);
	struct record_text one = { large, 0 };
	struct record record = {
		.kind = RECORD_REQUEST, .builder = text("b"), .args = &one, .n_args = 1
	};

	memset(large, 'x', RECORD_BYTES_MAX + 1);
	/* Head, "b", an empty request_id, and four bytes and a NUL around the argument. */
	one.len = RECORD_BYTES_MAX - HEAD_LEN - 6 - 5 - 5;
	check(try_travel(&record) == 0);
	one.len++;
	check(try_travel(&record) == -EMSGSIZE);
	one.len = SIZE_MAX - 4;
	check(try_travel(&record) == -EMSGSIZE);
}

static void believes_only_what_is_sealed(void)
{
	static const int partial[] = {
		0,
		F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE,
		F_SEAL_SEAL | F_SEAL_GROW | F_SEAL_WRITE,
		F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_WRITE,
		F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW,
	};
	cleanup_free char *bytes = NULL;
	size_t len = sample_bytes(&bytes);
	int pipe_fds[2];

	for (size_t i = 0; i < ARRAY_SIZE(partial); i++) {
		cleanup_record struct record record = { 0 };
		cleanup_fd int fd = new_memfd();

		check(fd_write_full(fd, bytes, len) == 0);
		check(fcntl(fd, F_ADD_SEALS, partial[i]) == 0);
		check(record_read(fd, &record, &err) == -EPERM);
	}
	check(pipe(pipe_fds) == 0);
	check(record_read(pipe_fds[0], &(struct record){ 0 }, &err) == -EPERM);
	(void)close(pipe_fds[0]);
	(void)close(pipe_fds[1]);
	check(record_read(-1, &(struct record){ 0 }, &err) == -EPERM);
}

static void a_huge_memfd_is_not_read(void)
{
	cleanup_record struct record record = { 0 };
	cleanup_fd int fd = new_memfd();

	check(ftruncate(fd, (off_t)1 << 40) == 0);
	check(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) ==
	      0);
	check(record_read(fd, &record, &err) == -EBADMSG);
}

static void says_when_it_cannot_be_written(void)
{
	cleanup_fd int fd = new_memfd(), unsealable = memfd_create("record", MFD_CLOEXEC);
	struct record sent = sample();

	check(record_write(-1, &sent, &err) == -EBADF);
	check(record_write(unsealable, &sent, &err) == -EPERM);
	check(record_write(fd, &sent, &err) == 0);
	check(record_write(fd, &sent, &err) == -EPERM);
}

static const struct unit_case cases[] = {
	CASE(arrives_as_it_was_sent),           CASE(the_least_of_each_kind_arrives),
	CASE(is_sealed_against_every_change),   CASE(a_record_cut_off_anywhere_is_broken),
	CASE(nothing_may_follow_the_last_text), CASE(refuses_a_head_that_no_honest_speaker_writes),
	CASE(refuses_lengths_that_lie),         CASE(refuses_nul_inside_and_anything_else_behind),
	CASE(only_a_request_has_words),         CASE(refuses_names_that_are_none),
	CASE(both_sides_of_every_limit),        CASE(a_record_has_two_mebibytes_at_most),
	CASE(believes_only_what_is_sealed),     CASE(a_huge_memfd_is_not_read),
	CASE(says_when_it_cannot_be_written),
};

UNIT_MAIN(cases)
