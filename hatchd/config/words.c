/* "command", "args" and "environment": what the client may add to the builder's words. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "builder.h"
#include "environment.h"
#include "hatchd/request/record.h"
#include "items.h"
#include "lib/base/text.h"
#include "pattern.h"

enum { ARGUMENT_MAX = 131071 /* MAX_ARG_STRLEN of the kernel, without the NUL */ };

static int check_word(struct reading *in, const struct value *list, const struct value *item)
{
	int r = expect_text(in, item, ARGUMENT_MAX);

	if (r < 0)
		return r;
	return item == list->items ? expect_path(in, item) : 0;
}

int read_command(struct reading *in, const struct value *value, const struct member *row,
                 void *object)
{
	struct builder *builder = object;
	size_t n;

	return read_strings(in, value, 1, check_word, &builder->command, &n);
}

static int check_pattern(struct reading *in, const struct value *list, const struct value *item)
{
	cleanup_patterns struct patterns patterns = { 0 };
	char why[PATTERN_WHY_MAX], shown[SHOW_LEN];
	char *text;
	size_t bad;
	int r = expect_kind(in, item, VALUE_STRING);

	if (r < 0)
		return r;
	text = (char *)item->string;
	r = patterns_compile(&text, 1, &patterns, &bad, why);
	if (r == -ENOMEM)
		return reading_no_memory(in);
	if (r < 0)
		return reading_fail(in, item, EINVAL,
		                    "%s; expected a POSIX extended regular expression",
		                    show(why, shown));
	return 0;
}

static int read_match(struct reading *in, const struct value *value, const struct member *row,
                      void *object)
{
	struct builder *builder = object;

	return read_strings(in, value, 1, check_pattern, &builder->args.match,
	                    &builder->args.n_match);
}

/* The name of a variable that a definition may speak of. at: where to complain */
static int check_variable(struct reading *in, const struct value *at, const char *name)
{
	char shown[SHOW_LEN];
	const char *why;

	if (!text_is_variable(name, strlen(name)))
		return reading_fail_key(in, at, EINVAL,
		                        "\"%s\" is no name of a variable; expected "
		                        "[A-Za-z_][A-Za-z0-9_]{0,127}",
		                        show(name, shown));
	why = variable_why_fixed(name);
	if (why)
		return reading_fail_key(in, at, EINVAL, "%s: %s; expected another name", name, why);
	return 0;
}

static int read_set(struct reading *in, const struct value *value, const struct member *row,
                    void *object)
{
	struct builder *builder = object;
	int r = expect_kind(in, value, VALUE_OBJECT);

	if (r < 0 || value->n_items == 0)
		return r;
	builder->environment.set = calloc(value->n_items, sizeof(*builder->environment.set));
	if (!builder->environment.set)
		return reading_no_memory(in);
	for (size_t i = 0; i < value->n_items && !reading_stops(in); i++) {
		const struct value *item = &value->items[i];
		struct variable *variable = &builder->environment.set[builder->environment.n_set];

		if (check_variable(in, item, item->key) < 0 ||
		    expect_text(in, item, ARGUMENT_MAX - strlen(item->key) - 1) < 0)
			continue;
		builder->environment.n_set++;
		variable->name = strdup(item->key);
		variable->value = strdup(item->string);
		if (!variable->name || !variable->value)
			return reading_no_memory(in);
	}
	return in->first;
}

static bool is_variable_set(const struct builder *builder, const char *name)
{
	for (size_t i = 0; i < builder->environment.n_set; i++)
		if (strcmp(builder->environment.set[i].name, name) == 0)
			return true;
	return false;
}

static int check_bundle_variable(struct reading *in, const struct value *item,
                                 const struct builder *builder, const char *name)
{
	for (size_t i = 0; i < builder->environment.n_accept; i++)
		if (strcmp(builder->environment.accept[i], name) == 0)
			return reading_fail(in, item, EINVAL,
			                    "%s is in environment.accept of the definition too; "
			                    "expected it in one of them",
			                    name);
	return check_variable(in, item, name);
}

/* "NAME=value". What is set already stays. */
static int add_variable(struct reading *in, const struct value *item, struct builder *builder)
{
	cleanup_free char *name = NULL, *text = NULL;
	struct variable *set;
	const char *equals;

	if (expect_text(in, item, ARGUMENT_MAX) < 0)
		return in->first;
	equals = strchr(item->string, '=');
	if (!equals)
		return reading_fail(in, item, EINVAL, "expected \"NAME=value\"");
	name = strndup(item->string, (size_t)(equals - item->string));
	text = strdup(equals + 1);
	set = reallocarray(builder->environment.set, builder->environment.n_set + 1, sizeof(*set));
	if (set)
		builder->environment.set = set;
	if (!name || !text || !set)
		return reading_no_memory(in);
	if (check_bundle_variable(in, item, builder, name) < 0)
		return in->first;
	if (!is_variable_set(builder, name))
		set[builder->environment.n_set++] = (struct variable){ take_ptr(&name),
			                                               take_ptr(&text) };
	return 0;
}

int read_variables(struct reading *in, const struct value *value, const struct member *row,
                   void *object)
{
	int r = expect_list(in, value, 0);

	for (size_t i = 0; r == 0 && i < value->n_items && !reading_stops(in); i++)
		(void)add_variable(in, &value->items[i], object);
	return in->first;
}

static int check_accepted(struct reading *in, const struct value *list, const struct value *item)
{
	const char *why;
	int r = expect_kind(in, item, VALUE_STRING);

	if (r < 0)
		return r;
	r = check_variable(in, item, item->string);
	if (r < 0)
		return r;
	why = variable_why_dangerous(item->string);
	if (why)
		return reading_fail(in, item, EINVAL,
		                    "a client may not set %s: %s; expected a variable of the "
		                    "builder's own (environment.set may set it)",
		                    item->string, why);
	for (const struct value *before = list->items; before < item; before++)
		if (before->kind == VALUE_STRING && strcmp(before->string, item->string) == 0)
			return reading_fail(in, item, EINVAL,
			                    "%s is in the list already; expected each name once",
			                    item->string);
	return 0;
}

static int read_accept(struct reading *in, const struct value *value, const struct member *row,
                       void *object)
{
	struct builder *builder = object;

	return read_strings(in, value, 0, check_accepted, &builder->environment.accept,
	                    &builder->environment.n_accept);
}

static const struct member args_members[] = {
	{ "max", read_count, FIELD(args.max), 0, RECORD_ARGS_MAX },
	{ "match", read_match },
	{ "dash", read_truth, FIELD(args.dash) },
};

static const struct member environment_members[] = {
	{ "set", read_set },
	{ "accept", read_accept },
};

int read_args(struct reading *in, const struct value *value, const struct member *row, void *object)
{
	static const struct member args = { INSIDE(args_members) };

	return read_members(in, value, &args, object);
}

int read_environment(struct reading *in, const struct value *value, const struct member *row,
                     void *object)
{
	static const struct member environment = { INSIDE(environment_members) };

	return read_members(in, value, &environment, object);
}

static const struct value *find_value(const struct document *doc, const char *object,
                                      const char *key)
{
	const struct value *outer = value_member(&doc->root, object);

	return outer ? value_member(outer, key) : NULL;
}

/* Also "-*" begins with one as a rule; but it need not. */
static bool begins_with_dash(const char *pattern)
{
	return pattern[0] == '-' && (!pattern[1] || !strchr("*?{", pattern[1])) &&
	       !strchr(pattern, '|');
}

int check_args(struct reading *in, struct builder *builder)
{
	const struct value *match = find_value(in->doc, "args", "match");

	if (!match || builder->args.n_match == 0)
		return in->first;
	if (builder->args.max == 0)
		(void)reading_fail(
			in, match, EINVAL,
			"without \"max\" there is no argument to match; expected it too");
	for (size_t i = 0; !builder->args.dash && i < builder->args.n_match; i++)
		if (begins_with_dash(builder->args.match[i]))
			(void)reading_fail(
				in, &match->items[i], EINVAL,
				"no argument may begin with \"-\"; expected \"dash\": true "
				"too");
	return in->first;
}

/* A variable that is set and accepted would have two values. */
int check_variables_once(struct reading *in, struct builder *builder)
{
	const struct value *set = find_value(in->doc, "environment", "set");
	const struct value *accept = find_value(in->doc, "environment", "accept");

	for (size_t i = 0; set && accept && i < accept->n_items; i++)
		if (accept->items[i].string && value_member(set, accept->items[i].string))
			(void)reading_fail(
				in, &accept->items[i], EINVAL,
				"%s is in environment.set too; expected it in one of them",
				accept->items[i].string);
	return in->first;
}

int check_command(struct reading *in, struct builder *builder)
{
	const struct value *root = &in->doc->root;

	if (builder->root.kind == ROOT_BUNDLE || root->kind != VALUE_OBJECT ||
	    value_member(root, "command"))
		return 0;
	return reading_fail(in, root, EINVAL, "the key \"command\" is missing; expected it here");
}

int read_undeclared_references(struct reading *in, const struct value *value,
                               const struct member *row, void *object)
{
	static const char *const words[] = {
		[UNDECLARED_IGNORE] = "ignore",
		[UNDECLARED_WARN] = "warn",
		[UNDECLARED_FAIL] = "fail",
	};
	struct builder *builder = object;
	size_t chosen = 0;
	int r = read_word(in, value, words, ARRAY_SIZE(words), "\"ignore\", \"warn\" or \"fail\"",
	                  &chosen);

	if (r == 0)
		builder->undeclared_references = (enum undeclared_references)chosen;
	return r;
}
