/*
 * Messages as values and as lines of JSON. One table for each message names its members; reading,
 * printing and releasing all follow that table, so the three cannot disagree. This is jansson's
 * home: its types do not leave the file. Bytes on the socket are wire.c's.
 */
#include "message.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "lib/base/digest.h"
#include "lib/base/encoding.h"
#include "lib/base/text.h"

enum {
	COMPLAINT_MAX = 200, /* bytes of the peer's own words that an error repeats */
	ERROR_CODE_LEN = 32,
	EXIT_CODE_MAX = 255,
	SIGNAL_MAX = 64,
};

struct member;

/* A kind of member. base is the struct that holds it; lists know their struct message. */
struct kind {
	int (*read)(const struct member *member, json_t *json, void *base, struct error *err);
	/* sets *ret to NULL if the member is absent; a negative errno if it cannot be printed */
	int (*print)(const struct member *member, const void *base, json_t **ret);
	void (*done)(const struct member *member, void *base); /* NULL: owns nothing */
};

struct member {
	const char *name;
	const struct kind *kind;
	size_t at; /* offset below base */
	bool must;
	uint64_t min, max;                          /* numbers */
	bool (*fits)(const char *text, size_t len); /* strings; NULL: any */
	const char *pattern;                        /* what fits, for people */
};

#define cleanup_json   cleanup_(json_decrefp)
#define cleanup_buffer cleanup_(buffer_done)

static int bad_member(const struct member *member, struct error *err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int bad_member(const struct member *member, struct error *err, const char *fmt, ...)
{
	char text[COMPLAINT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return error_set(err, BLAME_PEER, EBADMSG, "member \"%s\" %s", member->name, text);
}

static int no_memory(struct error *err)
{
	return error_set(err, BLAME_HOST, ENOMEM, "no memory for a message");
}

static void *member_at(const struct member *member, const void *base)
{
	return (char *)(uintptr_t)base + member->at;
}

/* ---- numbers and truth ---- */

static int read_number(const struct member *member, json_t *json, uint64_t *ret, struct error *err)
{
	json_int_t value = json_integer_value(json);

	if (!json_is_integer(json) || value < 0 || (uint64_t)value < member->min ||
	    (uint64_t)value > member->max)
		return bad_member(member, err, "must be a whole number from %llu to %llu",
		                  (unsigned long long)member->min, (unsigned long long)member->max);
	*ret = (uint64_t)value;
	return 0;
}

static int print_number(const struct member *member, uint64_t value, json_t **ret)
{
	*ret = NULL;
	if (value == 0 && !member->must)
		return 0;
	if (value < member->min || value > member->max)
		return -ERANGE;
	*ret = json_integer((json_int_t)value);
	return *ret ? 0 : -ENOMEM;
}

static int read_u32(const struct member *member, json_t *json, void *base, struct error *err)
{
	uint64_t value = 0;
	int r = read_number(member, json, &value, err);

	if (r == 0)
		*(uint32_t *)member_at(member, base) = (uint32_t)value;
	return r;
}

static int print_u32(const struct member *member, const void *base, json_t **ret)
{
	return print_number(member, *(const uint32_t *)member_at(member, base), ret);
}

static int read_u64(const struct member *member, json_t *json, void *base, struct error *err)
{
	return read_number(member, json, member_at(member, base), err);
}

static int print_u64(const struct member *member, const void *base, json_t **ret)
{
	return print_number(member, *(const uint64_t *)member_at(member, base), ret);
}

static int read_bool(const struct member *member, json_t *json, void *base, struct error *err)
{
	if (!json_is_boolean(json))
		return bad_member(member, err, "must be true or false");
	*(bool *)member_at(member, base) = json_is_true(json);
	return 0;
}

static int print_bool(const struct member *member, const void *base, json_t **ret)
{
	*ret = *(const bool *)member_at(member, base) ? json_true() : NULL;
	return 0;
}

static const struct kind u32_kind = { .read = read_u32, .print = print_u32 };
static const struct kind u64_kind = { .read = read_u64, .print = print_u64 };
static const struct kind bool_kind = { .read = read_bool, .print = print_bool };

/* ---- strings ---- */

static char *copy_bytes(const char *bytes, size_t len)
{
	char *copy = malloc(len + 1);

	if (!copy)
		return NULL;
	memcpy(copy, bytes, len);
	copy[len] = '\0';
	return copy;
}

static int copy_string(json_t *json, char **ret, struct error *err)
{
	*ret = copy_bytes(json_string_value(json), json_string_length(json));
	return *ret ? 0 : no_memory(err);
}

static int print_text(const char *text, size_t len, json_t **ret)
{
	if (!text_is_utf8(text, len))
		return -EILSEQ;
	*ret = json_stringn(text, len);
	return *ret ? 0 : -ENOMEM;
}

static int read_string(const struct member *member, json_t *json, void *base, struct error *err)
{
	if (!json_is_string(json))
		return bad_member(member, err, "must be a string");
	if (member->fits && !member->fits(json_string_value(json), json_string_length(json)))
		return bad_member(member, err, "must match %s", member->pattern);
	return copy_string(json, member_at(member, base), err);
}

static int print_string(const struct member *member, const void *base, json_t **ret)
{
	const char *text = *(char *const *)member_at(member, base);

	*ret = NULL;
	if (!text)
		return member->must ? -EINVAL : 0;
	return print_text(text, strlen(text), ret);
}

static void done_pointer(const struct member *member, void *base)
{
	freep(member_at(member, base));
}

static const struct kind string_kind = {
	.read = read_string,
	.print = print_string,
	.done = done_pointer,
};

static bool is_hex(const char *text, size_t len, size_t want)
{
	return len == want && strspn(text, "0123456789abcdef") == len;
}

static bool is_id(const char *text, size_t len)
{
	return is_hex(text, len, WIRE_ID_LEN);
}

static bool is_sha256(const char *text, size_t len)
{
	return is_hex(text, len, DIGEST_HEX_LEN);
}

static bool is_error_code(const char *text, size_t len)
{
	return len >= 1 && len <= ERROR_CODE_LEN &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyz-") == len;
}

static bool is_request_id(const char *text, size_t len)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789._-";

	return len >= 1 && len <= WIRE_REQUEST_ID_MAX && strspn(text, allowed) == len;
}

static bool is_phase(const char *text, size_t len)
{
	return len >= 1 && len <= WIRE_PHASE_MAX && text_is_plain(text, len);
}

#define IS_ID         .fits = is_id, .pattern = "[0-9a-f]{16}"
#define IS_SHA256     .fits = is_sha256, .pattern = "[0-9a-f]{64}"
#define IS_NAME       .fits = text_is_name, .pattern = "[a-z0-9][a-z0-9._-]{0,63}"
#define IS_OUTPUT     .fits = text_is_output, .pattern = "[a-z][A-Za-z0-9_-]{0,63}"
#define IS_INPUT      .fits = text_is_input, .pattern = "[A-Za-z0-9_][A-Za-z0-9._-]{0,63}"
#define IS_ERROR_CODE .fits = is_error_code, .pattern = "[a-z-]{1,32}"
#define IS_REQUEST_ID .fits = is_request_id, .pattern = "[A-Za-z0-9._-]{1,64}"

/* ---- text: any bytes but NUL ---- */

/* Base64 to bytes; -EINVAL if it is not base64. */
static int decode(json_t *json, struct text *ret)
{
	cleanup_buffer struct buffer buf = { 0 };
	int r = base64_decode(&buf, json_string_value(json), json_string_length(json));

	if (r == 0)
		r = buffer_reserve(&buf, 0); /* empty bytes are a pointer too */
	if (r < 0)
		return r;
	ret->len = buf.len;
	ret->data = take_ptr(&buf.data);
	ret->data[ret->len] = '\0';
	return 0;
}

static int encode(const struct text *text, json_t **ret)
{
	cleanup_buffer struct buffer buf = { 0 };
	int r = base64_encode(&buf, text->data, text->len);

	if (r < 0)
		return r;
	*ret = json_stringn(buf.data, buf.len);
	return *ret ? 0 : -ENOMEM;
}

static bool is_plain(const struct text *text)
{
	return !memchr(text->data, '\0', text->len) && text_is_utf8(text->data, text->len);
}

/* A string, or {"b64": "..."}. */
static int read_text(const struct member *member, json_t *json, struct text *ret, struct error *err)
{
	json_t *b64 = json_object_get(json, "b64");
	int r;

	if (json_is_string(json)) {
		ret->len = json_string_length(json);
		return copy_string(json, &ret->data, err);
	}
	if (!json_is_string(b64))
		return bad_member(member, err, "must hold strings or {\"b64\": \"...\"}");
	r = decode(b64, ret);
	if (r == -ENOMEM)
		return no_memory(err);
	if (r < 0)
		return bad_member(member, err, "holds something that is not padded base64");
	if (memchr(ret->data, '\0', ret->len))
		return bad_member(member, err, "holds a NUL byte");
	return 0;
}

static int text_to_json(const struct text *text, json_t **ret)
{
	cleanup_json json_t *object = NULL;
	json_t *b64;
	int r;

	if (is_plain(text))
		return print_text(text->data, text->len, ret);
	if (memchr(text->data, '\0', text->len))
		return -EINVAL;
	object = json_object();
	r = encode(text, &b64);
	if (r < 0)
		return r;
	if (json_object_set_new(object, "b64", b64) < 0)
		return -ENOMEM;
	*ret = take_ptr(&object);
	return 0;
}

/* ---- the data of inline replies: log bytes, NUL included ---- */

static int read_data(const struct member *member, json_t *json, void *base, struct error *err)
{
	struct text *text = member_at(member, base);

	if (!json_is_string(json))
		return bad_member(member, err, "must be a string");
	text->len = json_string_length(json);
	return copy_string(json, &text->data, err);
}

static int print_data(const struct member *member, const void *base, json_t **ret)
{
	const struct text *text = member_at(member, base);

	*ret = NULL;
	return text->data && is_plain(text) ? print_text(text->data, text->len, ret) : 0;
}

static void done_text(const struct member *member, void *base)
{
	struct text *text = member_at(member, base);

	freep(&text->data);
}

static int read_data_b64(const struct member *member, json_t *json, void *base, struct error *err)
{
	struct text *text = member_at(member, base);
	int r;

	if (text->data)
		return bad_member(member, err, "stands beside \"data\"");
	if (!json_is_string(json))
		return bad_member(member, err, "must be a string");
	r = decode(json, text);
	if (r == -ENOMEM)
		return no_memory(err);
	return r < 0 ? bad_member(member, err, "must be padded base64") : 0;
}

static int print_data_b64(const struct member *member, const void *base, json_t **ret)
{
	const struct text *text = member_at(member, base);

	*ret = NULL;
	return text->data && !is_plain(text) ? encode(text, ret) : 0;
}

static const struct kind data_kind = { read_data, print_data, done_text };
static const struct kind data_b64_kind = { .read = read_data_b64, .print = print_data_b64 };

/* ---- objects by table ---- */

static int read_members(const struct member *members, size_t n, json_t *object, void *base,
                        struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		json_t *json = json_object_get(object, members[i].name);
		int r;

		if (!json && members[i].must)
			return bad_member(&members[i], err, "is missing");
		if (!json)
			continue;
		r = members[i].kind->read(&members[i], json, base, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int print_members(const struct member *members, size_t n, const void *base, json_t *object,
                         struct error *err)
{
	for (size_t i = 0; i < n; i++) {
		json_t *json;
		int r = members[i].kind->print(&members[i], base, &json);

		if (r < 0)
			return error_errno(err, BLAME_HOST, -r, "cannot print member \"%s\"",
			                   members[i].name);
		if (json && json_object_set_new(object, members[i].name, json) < 0)
			return no_memory(err);
	}
	return 0;
}

static void done_members(const struct member *members, size_t n, void *base)
{
	for (size_t i = 0; i < n; i++)
		if (members[i].kind->done)
			members[i].kind->done(&members[i], base);
}

/* Prints an object of its own, for kinds that nest. */
static int print_object(const struct member *members, size_t n, const void *base, json_t **ret)
{
	cleanup_json json_t *object = json_object();
	struct error err;
	int r;

	if (!object)
		return -ENOMEM;
	r = print_members(members, n, base, object, &err);
	if (r < 0)
		return r;
	*ret = take_ptr(&object);
	return 0;
}

/* ---- args ---- */

static int read_args(const struct member *member, json_t *json, void *base, struct error *err)
{
	struct message *message = base;
	size_t n = json_array_size(json);

	if (!json_is_array(json) || n > WIRE_ARGS_MAX)
		return bad_member(member, err, "must be a list of at most %d texts", WIRE_ARGS_MAX);
	message->request.args = calloc(n ? n : 1, sizeof(struct text));
	if (!message->request.args)
		return no_memory(err);
	for (size_t i = 0; i < n; i++) {
		struct text *arg = &message->request.args[message->request.n_args++];
		int r = read_text(member, json_array_get(json, i), arg, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int print_args(const struct member *member, const void *base, json_t **ret)
{
	const struct message *message = base;
	cleanup_json json_t *list = NULL;

	*ret = NULL;
	if (message->request.n_args == 0)
		return 0;
	list = json_array();
	for (size_t i = 0; i < message->request.n_args; i++) {
		json_t *json;
		int r = text_to_json(&message->request.args[i], &json);

		if (r < 0)
			return r;
		if (json_array_append_new(list, json) < 0)
			return -ENOMEM;
	}
	*ret = take_ptr(&list);
	return 0;
}

static void done_args(const struct member *member, void *base)
{
	struct message *message = base;

	for (size_t i = 0; i < message->request.n_args; i++)
		free(message->request.args[i].data);
	freep(&message->request.args);
}

static const struct kind args_kind = { read_args, print_args, done_args };

/* ---- env ---- */

static int read_env(const struct member *member, json_t *json, void *base, struct error *err)
{
	struct message *message = base;
	size_t n = json_object_size(json);
	const char *name;
	json_t *value;

	if (!json_is_object(json) || n > WIRE_ENV_MAX)
		return bad_member(member, err, "must be an object of at most %d texts",
		                  WIRE_ENV_MAX);
	message->request.env = calloc(n ? n : 1, sizeof(struct wire_variable));
	if (!message->request.env)
		return no_memory(err);
	json_object_foreach(json, name, value)
	{
		struct wire_variable *variable = &message->request.env[message->request.n_env++];
		int r;

		if (!text_is_variable(name, strlen(name)))
			return bad_member(member, err, "has a name that does not match %s",
			                  "[A-Za-z_][A-Za-z0-9_]{0,127}");
		variable->name = copy_bytes(name, strlen(name));
		if (!variable->name)
			return no_memory(err);
		r = read_text(member, value, &variable->value, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int print_env(const struct member *member, const void *base, json_t **ret)
{
	const struct message *message = base;
	cleanup_json json_t *object = NULL;

	*ret = NULL;
	if (message->request.n_env == 0)
		return 0;
	object = json_object();
	for (size_t i = 0; i < message->request.n_env; i++) {
		json_t *json;
		int r = text_to_json(&message->request.env[i].value, &json);

		if (r < 0)
			return r;
		if (json_object_set_new(object, message->request.env[i].name, json) < 0)
			return -ENOMEM;
	}
	*ret = take_ptr(&object);
	return 0;
}

static void done_env(const struct member *member, void *base)
{
	struct message *message = base;

	for (size_t i = 0; i < message->request.n_env; i++) {
		free(message->request.env[i].name);
		free(message->request.env[i].value.data);
	}
	freep(&message->request.env);
}

static const struct kind env_kind = { read_env, print_env, done_env };

/* ---- outputs and inputs ---- */

/* The list at member->at, its length behind it. */
struct trees {
	struct wire_tree *items;
	size_t n_items;
};

_Static_assert(offsetof(struct message, request.n_outputs) ==
                               offsetof(struct message, request.outputs) +
                                       offsetof(struct trees, n_items) &&
                       offsetof(struct message, request.n_inputs) ==
                               offsetof(struct message, request.inputs) +
                                       offsetof(struct trees, n_items),
               "as struct trees has it");

static int read_tree(const struct member *member, const char *name, json_t *path,
                     struct wire_tree *ret, struct error *err)
{
	if (!member->fits(name, strlen(name)))
		return bad_member(member, err, "has a name that does not match %s",
		                  member->pattern);
	if (!json_is_null(path) &&
	    (json_string_length(path) == 0 || json_string_length(path) > WIRE_PATH_MAX))
		return bad_member(member, err, "must hold paths of at most %d bytes, or null",
		                  WIRE_PATH_MAX);
	ret->name = copy_bytes(name, strlen(name));
	if (!ret->name)
		return no_memory(err);
	return json_is_string(path) ? copy_string(path, &ret->path, err) : 0;
}

static int read_trees(const struct member *member, json_t *json, void *base, struct error *err)
{
	struct trees *trees = member_at(member, base);
	size_t n = json_object_size(json);
	const char *name;
	json_t *path;

	if (!json_is_object(json) || n > member->max)
		return bad_member(member, err, "must be an object of at most %d paths",
		                  (int)member->max);
	trees->items = calloc(n ? n : 1, sizeof(*trees->items));
	if (!trees->items)
		return no_memory(err);
	json_object_foreach(json, name, path)
	{
		int r = read_tree(member, name, path, &trees->items[trees->n_items++], err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int print_trees(const struct member *member, const void *base, json_t **ret)
{
	const struct trees *trees = member_at(member, base);
	cleanup_json json_t *object = NULL;

	*ret = NULL;
	if (trees->n_items == 0)
		return 0;
	object = json_object();
	for (size_t i = 0; i < trees->n_items; i++) {
		const struct wire_tree *tree = &trees->items[i];
		json_t *path = json_null();
		int r = tree->path ? print_text(tree->path, strlen(tree->path), &path) : 0;

		if (r < 0)
			return r;
		if (json_object_set_new(object, tree->name, path) < 0)
			return -ENOMEM;
	}
	*ret = take_ptr(&object);
	return 0;
}

static void done_trees(const struct member *member, void *base)
{
	struct trees *trees = member_at(member, base);

	for (size_t i = 0; i < trees->n_items; i++) {
		free(trees->items[i].name);
		free(trees->items[i].path);
	}
	freep(&trees->items);
}

static const struct kind trees_kind = { read_trees, print_trees, done_trees };

/* ---- lists of names ---- */

static void done_names(const struct member *member, void *base)
{
	char ***names = member_at(member, base);

	for (char **name = *names; name && *name; name++)
		free(*name);
	freep(names);
}

static int read_names(const struct member *member, json_t *json, void *base, struct error *err)
{
	char ***names = member_at(member, base);
	size_t n = json_array_size(json);

	if (!json_is_array(json) || n > member->max)
		return bad_member(member, err, "must be a list of at most %d names",
		                  (int)member->max);
	*names = calloc(n + 1, sizeof(**names));
	if (!*names)
		return no_memory(err);
	for (size_t i = 0; i < n; i++) {
		json_t *name = json_array_get(json, i);

		if (!json_is_string(name) ||
		    !member->fits(json_string_value(name), json_string_length(name)))
			return bad_member(member, err, "must hold names that match %s",
			                  member->pattern);
		if (copy_string(name, &(*names)[i], err) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int print_names(const struct member *member, const void *base, json_t **ret)
{
	char *const *const *names = member_at(member, base);
	cleanup_json json_t *list = NULL;

	*ret = NULL;
	if (!*names)
		return 0;
	list = json_array();
	for (char *const *name = *names; *name; name++) {
		json_t *json;
		int r = print_text(*name, strlen(*name), &json);

		if (r < 0)
			return r;
		if (json_array_append_new(list, json) < 0)
			return -ENOMEM;
	}
	*ret = take_ptr(&list);
	return 0;
}

static const struct kind names_kind = { read_names, print_names, done_names };

/* ---- reply ---- */

static int read_reply(const struct member *member, json_t *json, void *base, struct error *err)
{
	const char *word = json_is_string(json) ? json_string_value(json) : "";

	if (strcmp(word, "stream") != 0 && strcmp(word, "inline") != 0)
		return bad_member(member, err, "must be \"stream\" or \"inline\"");
	*(bool *)member_at(member, base) = strcmp(word, "inline") == 0;
	return 0;
}

static int print_reply(const struct member *member, const void *base, json_t **ret)
{
	*ret = NULL;
	return *(bool *)member_at(member, base) ? print_text("inline", strlen("inline"), ret) : 0;
}

static const struct kind reply_kind = { .read = read_reply, .print = print_reply };

/* ---- undeclared references ---- */

static const char *const references_words[] = {
	[REFERENCES_IGNORE] = "ignore",
	[REFERENCES_WARN] = "warn",
	[REFERENCES_FAIL] = "fail",
};

enum wire_references message_references(const char *word)
{
	for (size_t i = REFERENCES_IGNORE; i < ARRAY_SIZE(references_words); i++)
		if (strcmp(references_words[i], word) == 0)
			return (enum wire_references)i;
	return REFERENCES_UNSAID;
}

static int read_references(const struct member *member, json_t *json, void *base, struct error *err)
{
	const char *word = json_is_string(json) ? json_string_value(json) : "";
	enum wire_references value = message_references(word);

	if (value == REFERENCES_UNSAID)
		return bad_member(member, err, "must be \"ignore\", \"warn\" or \"fail\"");
	*(enum wire_references *)member_at(member, base) = value;
	return 0;
}

static int print_references(const struct member *member, const void *base, json_t **ret)
{
	enum wire_references value = *(const enum wire_references *)member_at(member, base);

	*ret = NULL;
	return value == REFERENCES_UNSAID
	               ? 0
	               : print_text(references_words[value], strlen(references_words[value]), ret);
}

static const struct kind references_kind = { .read = read_references, .print = print_references };

/* ---- receipt ---- */

#define ANY_NUMBER .max = INT64_MAX, .must = true
#define RECEIPT(m) offsetof(struct wire_receipt, m)

static const struct member receipt_members[] = {
	{ "id", &string_kind, RECEIPT(id), .must = true, IS_ID },
	{ "builder", &string_kind, RECEIPT(builder), .must = true, IS_NAME },
	{ "derivation", &string_kind, RECEIPT(derivation) },
	{ "peer_uid", &u32_kind, RECEIPT(peer_uid), .max = UINT32_MAX, .must = true },
	{ "peer_gid", &u32_kind, RECEIPT(peer_gid), .max = UINT32_MAX, .must = true },
	{ "user", &string_kind, RECEIPT(user), .must = true },
	{ "queued_ms", &u64_kind, RECEIPT(queued_ms), ANY_NUMBER },
	{ "run_ms", &u64_kind, RECEIPT(run_ms), ANY_NUMBER },
	{ "total_ms", &u64_kind, RECEIPT(total_ms), ANY_NUMBER },
	{ "stdout_bytes", &u64_kind, RECEIPT(stdout_bytes), ANY_NUMBER },
	{ "stderr_bytes", &u64_kind, RECEIPT(stderr_bytes), ANY_NUMBER },
	{ "outputs", &u64_kind, RECEIPT(outputs), ANY_NUMBER },
	{ "inputs", &u64_kind, RECEIPT(inputs), .max = INT64_MAX },
	{ "inputs_bound", &u64_kind, RECEIPT(inputs_bound), .max = INT64_MAX },
	{ "input_bytes", &u64_kind, RECEIPT(input_bytes), .max = INT64_MAX },
	{ "memory_peak", &u64_kind, RECEIPT(memory_peak), .max = INT64_MAX },
	{ "cpu_user_us", &u64_kind, RECEIPT(cpu_user_us), .max = INT64_MAX },
	{ "cpu_system_us", &u64_kind, RECEIPT(cpu_system_us), .max = INT64_MAX },
	{ "io_read_bytes", &u64_kind, RECEIPT(io_read_bytes), .max = INT64_MAX },
	{ "io_write_bytes", &u64_kind, RECEIPT(io_write_bytes), .max = INT64_MAX },
	{ "pids_peak", &u64_kind, RECEIPT(pids_peak), .max = INT64_MAX },
};

static int read_receipt(const struct member *member, json_t *json, void *base, struct error *err)
{
	if (!json_is_object(json))
		return bad_member(member, err, "must be an object");
	return read_members(receipt_members, ARRAY_SIZE(receipt_members), json,
	                    member_at(member, base), err);
}

static int print_receipt(const struct member *member, const void *base, json_t **ret)
{
	return print_object(receipt_members, ARRAY_SIZE(receipt_members), member_at(member, base),
	                    ret);
}

static void done_receipt(const struct member *member, void *base)
{
	done_members(receipt_members, ARRAY_SIZE(receipt_members), member_at(member, base));
}

static const struct kind receipt_kind = { read_receipt, print_receipt, done_receipt };

/* ---- builders ---- */

static const struct member builder_members[] = {
	{ "name", &string_kind, offsetof(struct wire_builder, name), .must = true, IS_NAME },
	{ "description", &string_kind, offsetof(struct wire_builder, description), .must = true },
};

static int read_builders(const struct member *member, json_t *json, void *base, struct error *err)
{
	struct message *message = base;
	size_t n = json_array_size(json);

	if (!json_is_array(json))
		return bad_member(member, err, "must be a list");
	message->builders.items = calloc(n ? n : 1, sizeof(struct wire_builder));
	if (!message->builders.items)
		return no_memory(err);
	for (size_t i = 0; i < n; i++) {
		struct wire_builder *item = &message->builders.items[message->builders.n_items++];
		int r = read_members(builder_members, ARRAY_SIZE(builder_members),
		                     json_array_get(json, i), item, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int print_builders(const struct member *member, const void *base, json_t **ret)
{
	const struct message *message = base;
	cleanup_json json_t *list = json_array();

	for (size_t i = 0; i < message->builders.n_items; i++) {
		json_t *json;
		int r = print_object(builder_members, ARRAY_SIZE(builder_members),
		                     &message->builders.items[i], &json);

		if (r < 0)
			return r;
		if (json_array_append_new(list, json) < 0)
			return -ENOMEM;
	}
	*ret = take_ptr(&list);
	return *ret ? 0 : -ENOMEM;
}

static void done_builders(const struct member *member, void *base)
{
	struct message *message = base;

	for (size_t i = 0; i < message->builders.n_items; i++)
		done_members(builder_members, ARRAY_SIZE(builder_members),
		             &message->builders.items[i]);
	freep(&message->builders.items);
}

static const struct kind builders_kind = { read_builders, print_builders, done_builders };

/* ---- the messages ---- */

#define AT(m) offsetof(struct message, m)
#define SIZE                                                                      \
	{                                                                         \
		"size", &u32_kind, AT(size), .min = 1, .max = WIRE_ATTACHMENT_MAX \
	}

static const struct member hello_members[] = {
	{ "version", &u32_kind, AT(hello.version), .max = UINT32_MAX, .must = true },
	{ "version_min", &u32_kind, AT(hello.version_min), .max = UINT32_MAX, .must = true },
	{ "server", &string_kind, AT(hello.server), .must = true },
};

static const struct member pong_members[] = {
	{ "server", &string_kind, AT(hello.server), .must = true },
};

static const struct member accepted_members[] = {
	{ "id", &string_kind, AT(accepted.id), .must = true, IS_ID },
	{ "builder", &string_kind, AT(accepted.builder), .must = true, IS_NAME },
	{ "derivation", &string_kind, AT(accepted.derivation) },
	{ "send", &names_kind, AT(accepted.send), .max = WIRE_INPUTS_MAX, IS_INPUT },
	{ "undeclared_references", &references_kind, AT(accepted.references) },
};

static const struct member queued_members[] = {
	{ "resource", &string_kind, AT(queued.resource), .must = true },
	{ "ahead", &u64_kind, AT(queued.ahead), ANY_NUMBER },
};

static const struct member send_members[] = {
	{ "name", &string_kind, AT(output.name), .must = true, IS_INPUT },
};

static const struct member started_members[] = {
	{ "time_limit_sec", &u64_kind, AT(started.time_limit_sec), ANY_NUMBER },
};

static const struct member phase_members[] = {
	{ "text", &string_kind, AT(phase.text), .must = true, .fits = is_phase,
	  .pattern = "1 to 256 bytes without control characters" },
};

static const struct member log_members[] = {
	SIZE,
	{ "data", &data_kind, AT(log.data) },
	{ "data_b64", &data_b64_kind, AT(log.data) },
};

static const struct member output_members[] = {
	{ "name", &string_kind, AT(output.name), .must = true, IS_OUTPUT },
	SIZE,
};

#define STREAM_TOTALS                                                              \
	{ "entries", &u64_kind, AT(output.entries), ANY_NUMBER },                  \
		{ "bytes", &u64_kind, AT(output.bytes), ANY_NUMBER },              \
	{                                                                          \
		"sha256", &string_kind, AT(output.sha256), .must = true, IS_SHA256 \
	}

static const struct member output_end_members[] = {
	{ "name", &string_kind, AT(output.name), .must = true, IS_OUTPUT },
	STREAM_TOTALS,
};

static const struct member input_members[] = {
	{ "name", &string_kind, AT(output.name), .must = true, IS_INPUT },
	SIZE,
};

static const struct member input_end_members[] = {
	{ "name", &string_kind, AT(output.name), .must = true, IS_INPUT },
	STREAM_TOTALS,
};

static const struct member exit_members[] = {
	{ "code", &u32_kind, AT(exit.code), .max = EXIT_CODE_MAX, .must = true },
	{ "signal", &u32_kind, AT(exit.signal), .min = 1, .max = SIGNAL_MAX },
	{ "timed_out", &bool_kind, AT(exit.timed_out) },
	{ "silent", &bool_kind, AT(exit.silent) },
	{ "oom", &bool_kind, AT(exit.oom) },
	{ "hint", &string_kind, AT(exit.hint) },
	{ "kept", &string_kind, AT(exit.kept), IS_ID },
	{ "receipt", &receipt_kind, AT(exit.receipt), .must = true },
};

static const struct member error_members[] = {
	{ "code", &string_kind, AT(error.code), .must = true, IS_ERROR_CODE },
	{ "message", &string_kind, AT(error.message), .must = true },
	{ "hint", &string_kind, AT(error.hint) },
	{ "kept", &string_kind, AT(error.kept), IS_ID },
};

static const struct member builders_members[] = {
	{ "builders", &builders_kind, .must = true },
	{ "more", &bool_kind, AT(builders.more) },
};

#define VERSION_MEMBER                                                                     \
	{                                                                                  \
		"version", &u32_kind, AT(request.version), .max = UINT32_MAX, .must = true \
	}

static const struct member version_members[] = { VERSION_MEMBER };

static const struct member request_members[] = {
	VERSION_MEMBER,
	{ "builder", &string_kind, AT(request.builder), .must = true, IS_NAME },
	{ "args", &args_kind },
	{ "env", &env_kind },
	{ "outputs", &trees_kind, AT(request.outputs), .max = WIRE_OUTPUTS_MAX, IS_OUTPUT },
	{ "inputs", &trees_kind, AT(request.inputs), .max = WIRE_INPUTS_MAX, IS_INPUT },
	{ "timeout_sec", &u64_kind, AT(request.timeout_sec), .min = 1,
	  .max = WIRE_TIMEOUT_SEC_MAX },
	{ "heartbeat_sec", &u64_kind, AT(request.heartbeat_sec), .min = 1,
	  .max = WIRE_HEARTBEAT_SEC_MAX },
	{ "request_id", &string_kind, AT(request.request_id), IS_REQUEST_ID },
	{ "reply", &reply_kind, AT(request.inline_reply) },
};

#define MEMBERS(table) .members = (table), .n_members = ARRAY_SIZE(table)

struct form {
	const char *name;
	const struct member *members;
	size_t n_members;
	bool attachment;    /* may have a size */
	bool version_first; /* of a client: another version is read no further */
	/* what no single member can tell */
	int (*check)(const struct message *message, struct error *err);
};

static int check_hello(const struct message *message, struct error *err)
{
	if (message->hello.version_min <= message->hello.version)
		return 0;
	return error_set(err, BLAME_PEER, EBADMSG, "member \"version_min\" is above \"version\"");
}

static int check_log(const struct message *message, struct error *err)
{
	if ((message->size > 0) != (message->log.data.data != NULL))
		return 0;
	return error_set(err, BLAME_PEER, EBADMSG,
	                 "member \"size\" or one of \"data\" and \"data_b64\" must be there");
}

static int check_chunk(const struct message *message, struct error *err)
{
	if (message->size > 0)
		return 0;
	return error_set(err, BLAME_PEER, EBADMSG, "member \"size\" is missing");
}

static int check_exit(const struct message *message, struct error *err)
{
	if (message->exit.silent && !message->exit.timed_out)
		return error_set(err, BLAME_PEER, EBADMSG,
		                 "member \"silent\" goes together with \"timed_out\"");
	if (message->exit.oom && message->exit.signal == 0)
		return error_set(err, BLAME_PEER, EBADMSG,
		                 "member \"oom\" goes together with \"signal\"");
	if (message->exit.code != 0 || (message->exit.signal == 0 && !message->exit.timed_out))
		return 0;
	return error_set(err, BLAME_PEER, EBADMSG,
	                 "member \"code\" is 0 after a signal or a time limit");
}

static int check_request(const struct message *message, struct error *err)
{
	if (!message->request.inline_reply || message->request.n_outputs == 0)
		return 0;
	return error_set(err, BLAME_PEER, EBADMSG,
	                 "member \"outputs\" does not go together with inline replies");
}

static const struct form forms[_MESSAGE_TYPE_MAX] = {
	[MESSAGE_HELLO] = { "hello", MEMBERS(hello_members), .check = check_hello },
	[MESSAGE_ACCEPTED] = { "accepted", MEMBERS(accepted_members) },
	[MESSAGE_QUEUED] = { "queued", MEMBERS(queued_members) },
	[MESSAGE_SEND] = { "send", MEMBERS(send_members) },
	[MESSAGE_STARTED] = { "started", MEMBERS(started_members) },
	[MESSAGE_PHASE] = { "phase", MEMBERS(phase_members) },
	[MESSAGE_ALIVE] = { "alive" },
	[MESSAGE_STDOUT] = { "stdout", MEMBERS(log_members), .attachment = true,
	                     .check = check_log },
	[MESSAGE_STDERR] = { "stderr", MEMBERS(log_members), .attachment = true,
	                     .check = check_log },
	[MESSAGE_OUTPUT] = { "output", MEMBERS(output_members), .attachment = true,
	                     .check = check_chunk },
	[MESSAGE_OUTPUT_END] = { "output-end", MEMBERS(output_end_members) },
	[MESSAGE_EXIT] = { "exit", MEMBERS(exit_members), .check = check_exit },
	[MESSAGE_ERROR] = { "error", MEMBERS(error_members) },
	[MESSAGE_BUILDERS] = { "builders", MEMBERS(builders_members) },
	[MESSAGE_PONG] = { "pong", MEMBERS(pong_members) },
	[MESSAGE_REQUEST] = { "request", MEMBERS(request_members), .version_first = true,
	                      .check = check_request },
	[MESSAGE_LIST] = { "list", MEMBERS(version_members), .version_first = true },
	[MESSAGE_PING] = { "ping", MEMBERS(version_members), .version_first = true },
	[MESSAGE_INPUT] = { "input", MEMBERS(input_members), .attachment = true,
	                    .check = check_chunk },
	[MESSAGE_INPUT_END] = { "input-end", MEMBERS(input_end_members) },
	[MESSAGE_RECEIVED] = { "received" },
};

const char *message_type_name(enum message_type type)
{
	return forms[type].name;
}

void message_done(struct message *message)
{
	const struct form *form = &forms[message->type];

	done_members(form->members, form->n_members, message);
	*message = (struct message){ 0 };
}

/* ---- reading ---- */

void message_init(void)
{
	const void *random = (const void *)getauxval(AT_RANDOM);
	struct digest digest;
	char hex[DIGEST_HEX_LEN + 1];

	if (!random)
		return; /* jansson looks for a seed itself then */
	/* Sixteen random bytes that the kernel gave this process: no open(), no system call. They
	 * are also the stack protector's, so what is used here is a digest. */
	digest_init(&digest);
	digest_add(&digest, random, 16);
	digest_final(&digest, hex);
	hex[8] = '\0';
	json_object_seed(strtoul(hex, NULL, 16) | 1);
}

/* Counted before parsing: jansson recurses, and its own limit is 2048. */
static bool nesting_fits(const char *line, size_t len)
{
	unsigned int depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < len; i++) {
		char c = line[i];

		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (!in_string && (c == '{' || c == '['))
			depth++;
		else if (!in_string && (c == '}' || c == ']') && depth > 0)
			depth--;
		if (depth > WIRE_DEPTH_MAX)
			return false;
	}
	return true;
}

/* Also in members that are ignored. Recursion ends at WIRE_DEPTH_MAX. */
static bool has_fraction(json_t *json)
{
	const char *key;
	json_t *item;
	size_t i;

	if (json_is_array(json)) {
		json_array_foreach(json, i, item) if (has_fraction(item)) return true;
		return false;
	}
	json_object_foreach(json, key, item) if (has_fraction(item)) return true;
	return json_is_real(json);
}

/* jansson's complaint repeats the peer's bytes: escaped, it is fit for a log and for an answer. */
static int bad_json(const json_error_t *why, struct error *err)
{
	char text[COMPLAINT_MAX];

	text_escape(why->text, strlen(why->text), text, sizeof(text));
	return error_set(err, BLAME_PEER, EBADMSG, "not JSON: %s (byte %d)", text, why->position);
}

static int load_line(const char *line, size_t len, json_t **ret, struct error *err)
{
	cleanup_json json_t *json = NULL;
	json_error_t why;

	if (!nesting_fits(line, len))
		return error_set(err, BLAME_PEER, EBADMSG, "JSON is nested deeper than %d levels",
		                 WIRE_DEPTH_MAX);
	json = json_loadb(line, len, JSON_REJECT_DUPLICATES, &why);
	if (!json && json_error_code(&why) == json_error_out_of_memory)
		return no_memory(err);
	if (!json)
		return bad_json(&why, err);
	if (!json_is_object(json))
		return error_set(err, BLAME_PEER, EBADMSG, "a message must be a JSON object");
	if (has_fraction(json))
		return error_set(err, BLAME_PEER, EBADMSG,
		                 "a number has a fraction or an exponent");
	*ret = take_ptr(&json);
	return 0;
}

static int find_form(json_t *object, enum message_type *ret, struct error *err)
{
	json_t *type = json_object_get(object, "type");
	char text[COMPLAINT_MAX];

	if (!json_is_string(type))
		return error_set(err, BLAME_PEER, EBADMSG, "member \"type\" must be a string");
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
		if (strcmp(forms[i].name, json_string_value(type)) == 0) {
			*ret = (enum message_type)i;
			return 0;
		}
	text_escape(json_string_value(type), json_string_length(type), text, sizeof(text));
	return error_set(err, BLAME_PEER, EBADMSG, "no message has the type \"%s\"", text);
}

static int read_form(const struct form *form, json_t *object, struct message *message,
                     struct error *err)
{
	int r;

	if (form->version_first) {
		r = read_members(version_members, ARRAY_SIZE(version_members), object, message,
		                 err);
		if (r < 0 || message->request.version != WIRE_VERSION)
			return r;
	}
	if (!form->attachment && json_object_get(object, "size"))
		return error_set(err, BLAME_PEER, EBADMSG,
		                 "member \"size\": \"%s\" has no attachment", form->name);
	r = read_members(form->members, form->n_members, object, message, err);
	if (r < 0)
		return r;
	return form->check ? form->check(message, err) : 0;
}

int message_parse(const char *line, size_t len, struct message *ret, struct error *err)
{
	cleanup_message struct message message = { 0 };
	cleanup_json json_t *object = NULL;
	int r;

	r = load_line(line, len, &object, err);
	if (r < 0)
		return r;
	r = find_form(object, &message.type, err);
	if (r < 0)
		return r;
	r = read_form(&forms[message.type], object, &message, err);
	if (r < 0)
		return r;
	*ret = message;
	message = (struct message){ 0 };
	return 0;
}

/* ---- .attrs.json ---- */

static const struct member attrs_members[] = {
	{ "outputs", &trees_kind, AT(request.outputs), .max = WIRE_OUTPUTS_MAX, .must = true,
	  IS_OUTPUT },
};

/* Also the list of what may be there: a misspelt member would be lost without a word. */
static const struct member hatch_members[] = {
	{ "builder", &string_kind, AT(request.builder), IS_NAME },
	{ "args", &args_kind },
	{ "env", &env_kind },
	{ "inputs", &trees_kind, AT(request.inputs), .max = WIRE_INPUTS_MAX, IS_INPUT },
	{ "timeout", &u64_kind, AT(request.timeout_sec), .min = 1, .max = WIRE_TIMEOUT_SEC_MAX },
	{ "undeclared_references", &references_kind, AT(request.references) },
	{ "heartbeat", &u64_kind, AT(request.heartbeat_sec), .min = 1,
	  .max = WIRE_HEARTBEAT_SEC_MAX },
	{ "request_id", &string_kind, AT(request.request_id), IS_REQUEST_ID },
};

static int refuse_unknown(json_t *hatch, struct error *err)
{
	const char *key;
	json_t *value;

	json_object_foreach(hatch, key, value)
	{
		char text[COMPLAINT_MAX];
		bool known = false;

		for (size_t i = 0; i < ARRAY_SIZE(hatch_members); i++)
			known |= strcmp(key, hatch_members[i].name) == 0;
		if (known)
			continue;
		text_escape(key, strlen(key), text, sizeof(text));
		return error_set(err, BLAME_PEER, EBADMSG,
		                 "\"hatch\" has no member \"%s\"; there are builder, args, env, "
		                 "inputs, timeout, heartbeat, undeclared_references, request_id",
		                 text);
	}
	return 0;
}

int message_parse_attrs(const char *text, size_t len, struct message *ret, struct error *err)
{
	cleanup_message struct message message = { .type = MESSAGE_REQUEST };
	cleanup_json json_t *attrs = NULL;
	json_error_t why;
	json_t *hatch;
	int r;

	attrs = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
	if (!attrs)
		return bad_json(&why, err);
	if (!json_is_object(attrs))
		return error_set(err, BLAME_PEER, EBADMSG, "the file does not hold a JSON object");
	r = read_members(attrs_members, ARRAY_SIZE(attrs_members), attrs, &message, err);
	if (r < 0)
		return r;
	hatch = json_object_get(attrs, "hatch");
	if (hatch && !json_is_object(hatch))
		return error_set(err, BLAME_PEER, EBADMSG, "member \"hatch\" must be an object");
	r = refuse_unknown(hatch, err);
	if (r < 0)
		return r;
	r = read_members(hatch_members, ARRAY_SIZE(hatch_members), hatch, &message, err);
	if (r < 0)
		return r;
	message.request.version = WIRE_VERSION;
	*ret = message;
	message = (struct message){ 0 };
	return 0;
}

/* ---- printing ---- */

static int dump_to_buffer(const char *bytes, size_t len, void *buf)
{
	return buffer_add(buf, bytes, len);
}

static int print_json(const struct message *message, struct buffer *buf, struct error *err)
{
	const struct form *form = &forms[message->type];
	cleanup_json json_t *object = json_object();
	int r;

	if (!object || json_object_set_new(object, "type", json_string(form->name)) < 0)
		return no_memory(err);
	r = print_members(form->members, form->n_members, message, object, err);
	if (r < 0)
		return r;
	if (json_dump_callback(object, dump_to_buffer, buf, JSON_COMPACT) < 0)
		return no_memory(err);
	return 0;
}

/* The messages that carry bulk, without a tree of JSON values: one log line is one of them. Their
 * only string is the name of an output or input, whose pattern needs no escaping. */
static int print_bulk(const struct message *message, struct buffer *buf, struct error *err)
{
	const char *type = forms[message->type].name;
	int r;

	if (message->size > WIRE_ATTACHMENT_MAX)
		return error_set(err, BLAME_HOST, EMSGSIZE, "attachment of %u bytes is too long",
		                 message->size);
	if (message->type == MESSAGE_OUTPUT || message->type == MESSAGE_INPUT)
		r = buffer_printf(buf, "{\"type\":\"%s\",\"name\":\"%s\",\"size\":%u}", type,
		                  message->output.name, message->size);
	else
		r = buffer_printf(buf, "{\"type\":\"%s\",\"size\":%u}", type, message->size);
	return r < 0 ? no_memory(err) : 0;
}

int message_print(const struct message *message, struct buffer *buf, struct error *err)
{
	size_t line_max = message->type == MESSAGE_REQUEST ? WIRE_REQUEST_MAX : WIRE_LINE_MAX;
	size_t before = buf->len;
	int r;

	r = message->size > 0 ? print_bulk(message, buf, err) : print_json(message, buf, err);
	if (r == 0 && buffer_add(buf, "\n", 1) < 0)
		r = no_memory(err);
	if (r == 0 && buf->len - before > line_max)
		r = error_set(err, BLAME_HOST, EMSGSIZE, "%s of %zu bytes is longer than %zu",
		              forms[message->type].name, buf->len - before, line_max);
	if (r < 0)
		buf->len = before;
	return r;
}
