/* The peer may use the builder, and reads why its words were refused. */
#include "words.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "hatchd/config/environment.h"
#include "hatchd/config/pattern.h"

enum {
	ARGUMENT_MAX = 131071, /* MAX_ARG_STRLEN of the kernel, without the NUL */
};

static int refuse_count(const struct builder *builder, const struct record *record,
                        struct error *err)
{
	(void)error_set(err, BLAME_POLICY, EACCES,
	                "the builder `%s` takes at most %" PRIu64
	                " arguments (args.max in %s), %zu "
	                "were given",
	                builder->name, builder->args.max, builder->file, record->n_args);
	(void)error_hint(err, "give fewer, or have args.max raised there");
	return -EACCES;
}

static int refuse_argument(const struct builder *builder, const struct record *record, size_t i,
                           const char *rule, const char *hint, struct error *err)
{
	char buf[RULING_SHOWN_LEN];

	(void)error_set(err, BLAME_POLICY, EACCES, "argument %zu, `%s`, %s (builder `%s`, %s)",
	                i + 1, ruling_show(record->args[i].data, record->args[i].len, buf), rule,
	                builder->name, builder->file);
	(void)error_hint(err, "%s", hint);
	return -EACCES;
}

static int check_argument(const struct builder *builder, struct patterns *patterns,
                          const struct record *record, size_t i, struct rulings *rulings,
                          struct error *err)
{
	const struct record_text *arg = &record->args[i];
	char about[32];
	int r;

	(void)snprintf(about, sizeof(about), "argument %zu", i + 1);

	if (arg->len > ARGUMENT_MAX)
		return error_set(
			err, BLAME_PEER, EINVAL,
			"argument %zu is %zu bytes long; no program can be given more than %d",
			i + 1, arg->len, ARGUMENT_MAX);
	if (!builder->args.dash && arg->data[0] == '-') {
		rulings_refuse(rulings, "args.dash", about);
		return refuse_argument(
			builder, record, i, "begins with a dash and args.dash is not true",
			"if it is a file, write ./ before it; options are taken only "
			"with \"dash\": true in \"args\" of the definition",
			err);
	}
	if (builder->args.n_match == 0) {
		ruling_describe(rulings_note(rulings, true, "args.match", POSITION_OF_KEY), about,
		                "any text");
		return 0;
	}
	if (arg->len > PATTERN_TEXT_MAX) {
		rulings_refuse(rulings, "args.match", about);
		return refuse_argument(builder, record, i,
		                       "is longer than the 4096 bytes that args.match can be "
		                       "compared with",
		                       "only a definition without args.match would allow it", err);
	}
	r = patterns_match(patterns, arg->data);
	if (r < 0)
		return error_set(err, BLAME_HOST, -r, "no memory to match argument %zu", i + 1);
	if (r == 0) {
		rulings_refuse(rulings, "args.match", about);
		return refuse_argument(
			builder, record, i, "matches none of args.match",
			"each argument must match one of these expressions as a whole; "
			"another one there would allow it",
			err);
	}
	ruling_describe(rulings_note(rulings, true, "args.match", (size_t)r - 1), about,
	                "matches %.150s", builder->args.match[r - 1]);
	return 0;
}

static int compile_patterns(const struct builder *builder, struct patterns *ret, struct error *err)
{
	char why[PATTERN_WHY_MAX];
	size_t bad;
	int r = patterns_compile(builder->args.match, builder->args.n_match, ret, &bad, why);

	if (r == -ENOMEM)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for args.match");
	/* They were compiled once already, when the definition was read. */
	assert(r == 0);
	return 0;
}

int words_check_arguments(const struct builder *builder, const struct record *record,
                          struct rulings *rulings, struct error *err)
{
	static const char about[] = "arguments", key[] = "args.max";
	cleanup_patterns struct patterns patterns = { 0 };
	int r;

	if (record->n_args > builder->args.max) {
		rulings_refuse(rulings, key, about);
		return refuse_count(builder, record, err);
	}
	ruling_describe(rulings_note(rulings, true, key, POSITION_OF_KEY), about, "%zu of %" PRIu64,
	                record->n_args, builder->args.max);
	r = record->n_args > 0 ? compile_patterns(builder, &patterns, err) : 0;
	for (size_t i = 0; i < record->n_args && r == 0; i++)
		r = check_argument(builder, &patterns, record, i, rulings, err);
	return r;
}

/* The index in environment.accept, or -1. */
static ssize_t find_accepted(const struct builder *builder, const struct record_text *name)
{
	for (size_t i = 0; i < builder->environment.n_accept; i++)
		if (record_text_is(name, builder->environment.accept[i]))
			return (ssize_t)i;
	return -1;
}

static bool is_set(const struct builder *builder, const struct record_text *name)
{
	for (size_t i = 0; i < builder->environment.n_set; i++)
		if (record_text_is(name, builder->environment.set[i].name))
			return true;
	return false;
}

bool words_have_variable(const struct builder *builder, const struct record_text *name)
{
	return find_accepted(builder, name) >= 0 || is_set(builder, name);
}

/* What no definition may accept cannot be added to one. */
static int hint_at_variable(const struct record_text *name, struct error *err)
{
	const char *why = variable_why_fixed(name->data);

	if (!why)
		why = variable_why_dangerous(name->data);
	(void)(why ? error_hint(err, "leave it out; no builder can take it of a client: %s", why)
	           : error_hint(err, "leave it out, or have it added there"));
	return -EACCES;
}

static int check_variable(const struct builder *builder, const struct record *record, size_t i,
                          struct rulings *rulings, struct error *err)
{
	static const char key[] = "environment.accept";
	const struct record_variable *variable = &record->env[i];
	ssize_t item = find_accepted(builder, &variable->name);
	char buf[RULING_SHOWN_LEN], about[64];

	(void)ruling_show(variable->name.data, variable->name.len, buf);
	(void)snprintf(about, sizeof(about), "variable %zu", i + 1);
	if (item < 0) {
		rulings_refuse(rulings, key, about);
		(void)error_set(err, BLAME_POLICY, EACCES,
		                "the builder `%s` does not take the variable %s: not in "
		                "environment.accept in %s",
		                builder->name, buf, builder->file);
		return hint_at_variable(&variable->name, err);
	}
	if (variable->name.len + variable->value.len + 1 > ARGUMENT_MAX)
		return error_set(
			err, BLAME_PEER, EINVAL,
			"the variable %s is %zu bytes long; no program can be given more than "
			"%d with its name",
			buf, variable->value.len, ARGUMENT_MAX);
	for (size_t k = 0; k < i; k++)
		if (record_text_same(&record->env[k].name, &variable->name))
			return error_set(err, BLAME_PEER, EINVAL, "the variable %s is given twice",
			                 buf);
	ruling_describe(rulings_note(rulings, true, key, (size_t)item), about, "%s", buf);
	return 0;
}

int words_check_environment(const struct builder *builder, const struct record *record,
                            struct rulings *rulings, struct error *err)
{
	int r = 0;

	for (size_t i = 0; i < record->n_env && r == 0; i++)
		r = check_variable(builder, record, i, rulings, err);
	return r;
}

int words_copy(const struct record *record, struct request *request, struct error *err)
{
	size_t n_command = 0;

	while (request->builder->command[n_command])
		n_command++;
	request->argv = calloc(n_command + record->n_args + 1, sizeof(*request->argv));
	request->env = calloc(record->n_env + 1, sizeof(*request->env));
	if (!request->argv || !request->env)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for a request");
	for (size_t i = 0; i < n_command; i++)
		request->argv[i] = request->builder->command[i];
	for (size_t i = 0; i < record->n_args; i++)
		request->argv[n_command + i] = (char *)record->args[i].data;
	for (size_t i = 0; i < record->n_env; i++)
		request->env[i] = (struct variable){ (char *)record->env[i].name.data,
			                             (char *)record->env[i].value.data };
	request->n_env = record->n_env;
	return 0;
}
