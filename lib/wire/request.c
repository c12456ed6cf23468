/* What only a client's request holds: arguments, variables, trees, and how it wants the reply. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/text.h"
#include "member.h"

/* ---- args ---- */

static int read_args(const struct member *member, json_t *json, void *base, struct error *err)
{
	struct message *message = base;
	size_t n = json_array_size(json);

	if (!json_is_array(json) || n > WIRE_ARGS_MAX)
		return member_refuse(member, err, "must be a list of at most %d texts",
		                     WIRE_ARGS_MAX);
	message->request.args = calloc(n ? n : 1, sizeof(struct text));
	if (!message->request.args)
		return wire_no_memory(err);
	for (size_t i = 0; i < n; i++) {
		struct text *arg = &message->request.args[message->request.n_args++];
		int r = wire_read_bytes(member, json_array_get(json, i), arg, err);

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
		int r = wire_print_bytes(&message->request.args[i], &json);

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

const struct kind args_kind = { read_args, print_args, done_args };

/* ---- env ---- */

static int read_env(const struct member *member, json_t *json, void *base, struct error *err)
{
	struct message *message = base;
	size_t n = json_object_size(json);
	const char *name;
	json_t *value;

	if (!json_is_object(json) || n > WIRE_ENV_MAX)
		return member_refuse(member, err, "must be an object of at most %d texts",
		                     WIRE_ENV_MAX);
	message->request.env = calloc(n ? n : 1, sizeof(struct wire_variable));
	if (!message->request.env)
		return wire_no_memory(err);
	json_object_foreach(json, name, value)
	{
		struct wire_variable *variable = &message->request.env[message->request.n_env++];
		int r;

		if (!text_is_variable(name, strlen(name)))
			return member_refuse(member, err, "has a name that does not match %s",
			                     "[A-Za-z_][A-Za-z0-9_]{0,127}");
		variable->name = wire_copy_bytes(name, strlen(name));
		if (!variable->name)
			return wire_no_memory(err);
		r = wire_read_bytes(member, value, &variable->value, err);
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
		int r = wire_print_bytes(&message->request.env[i].value, &json);

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

const struct kind env_kind = { read_env, print_env, done_env };

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
		return member_refuse(member, err, "has a name that does not match %s",
		                     member->pattern);
	if (!json_is_null(path) &&
	    (json_string_length(path) == 0 || json_string_length(path) > WIRE_PATH_MAX))
		return member_refuse(member, err, "must hold paths of at most %d bytes, or null",
		                     WIRE_PATH_MAX);
	ret->name = wire_copy_bytes(name, strlen(name));
	if (!ret->name)
		return wire_no_memory(err);
	return json_is_string(path) ? wire_copy_string(path, &ret->path, err) : 0;
}

static int read_trees(const struct member *member, json_t *json, void *base, struct error *err)
{
	struct trees *trees = member_at(member, base);
	size_t n = json_object_size(json);
	const char *name;
	json_t *path;

	if (!json_is_object(json) || n > member->max)
		return member_refuse(member, err, "must be an object of at most %d paths",
		                     (int)member->max);
	trees->items = calloc(n ? n : 1, sizeof(*trees->items));
	if (!trees->items)
		return wire_no_memory(err);
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
		int r = tree->path ? wire_print_text(tree->path, strlen(tree->path), &path) : 0;

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

const struct kind trees_kind = { read_trees, print_trees, done_trees };

/* ---- reply ---- */

static int read_reply(const struct member *member, json_t *json, void *base, struct error *err)
{
	const char *word = json_is_string(json) ? json_string_value(json) : "";

	if (strcmp(word, "stream") != 0 && strcmp(word, "inline") != 0)
		return member_refuse(member, err, "must be \"stream\" or \"inline\"");
	*(bool *)member_at(member, base) = strcmp(word, "inline") == 0;
	return 0;
}

static int print_reply(const struct member *member, const void *base, json_t **ret)
{
	*ret = NULL;
	return *(bool *)member_at(member, base) ? wire_print_text("inline", strlen("inline"), ret)
	                                        : 0;
}

const struct kind reply_kind = { .read = read_reply, .print = print_reply };

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
		return member_refuse(member, err, "must be \"ignore\", \"warn\" or \"fail\"");
	*(enum wire_references *)member_at(member, base) = value;
	return 0;
}

static int print_references(const struct member *member, const void *base, json_t **ret)
{
	enum wire_references value = *(const enum wire_references *)member_at(member, base);

	*ret = NULL;
	return value == REFERENCES_UNSAID ? 0
	                                  : wire_print_text(references_words[value],
	                                                    strlen(references_words[value]), ret);
}

const struct kind references_kind = { .read = read_references, .print = print_references };
