/* The definition of a builder: its groups of keys, their defaults, and what must fit together. */
#include "builder.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "items.h"
#include "lib/base/text.h"
#include "source.h"
#include "trusted-path.h"

enum { DESCRIPTION_MAX = 512 };

static const char default_socket[] = "hatch";

void builder_done(struct builder *builder)
{
	free(builder->name);
	free(builder->file);
	free(builder->description);
	source_free(builder->source);
	strv_free(builder->command);
	free(builder->allow.uids);
	free(builder->allow.gids);
	free(builder->allow.ranges);
	strv_free(builder->allow.derivations);
	strv_free(builder->allow.sockets);
	strv_free(builder->args.match);
	for (size_t i = 0; i < builder->environment.n_set; i++) {
		free(builder->environment.set[i].name);
		free(builder->environment.set[i].value);
	}
	free(builder->environment.set);
	strv_free(builder->environment.accept);
	strv_free(builder->group_names);
	free(builder->groups);
	for (size_t i = 0; i < builder->n_binds; i++)
		free(builder->binds[i].path);
	free(builder->binds);
	free(builder->root.path);
	*builder = (struct builder){ 0 };
}

static const struct member builder_members[] = {
	{ "description", read_line, FIELD(description), 0, DESCRIPTION_MAX },
	{ "command", read_command, .required = true },
	{ "allow", read_allow },
	{ "args", read_args },
	{ "environment", read_environment },
	{ "groups", read_joined_groups },
	{ "uid_map", read_uid_map },
	{ "network", read_network },
	{ "root", read_root },
	{ "seccomp", read_seccomp },
	{ "view", read_view },
	{ "limits", read_limits },
};

static const struct member builder_object = { INSIDE(builder_members) };

static int (*const checks[])(struct reading *in, struct builder *builder) = {
	check_variables_once,
	check_uid_map,
	check_binds,
};

static int set_defaults(const struct config *config, const char *name, struct builder *builder)
{
	builder->limits = default_limits;
	builder->name = strdup(name);
	builder->description = strdup("");
	builder->group_names = calloc(1, sizeof(char *));
	builder->allow.sockets = calloc(2, sizeof(char *));
	if (builder->allow.sockets) {
		builder->allow.sockets[0] = strdup(default_socket);
		builder->allow.n_sockets = 1;
	}
	if (asprintf(&builder->file, "%s/builders.d/%s.json", config->dir, name) < 0)
		builder->file = NULL;
	return builder->name && builder->description && builder->group_names &&
	                       builder->allow.sockets && builder->allow.sockets[0] && builder->file
	               ? 0
	               : -ENOMEM;
}

int builder_parse(const struct config *config, const char *name, const char *text, size_t len,
                  const struct config_report *report, struct builder *ret, struct error *err)
{
	cleanup_builder struct builder builder = { 0 };
	struct reading in = { .doc = &(struct document){ .name = name },
		              .config = config,
		              .report = report,
		              .err = err };
	struct error parse_err;

	if (set_defaults(config, name, &builder) < 0)
		return reading_no_memory(&in);
	if (source_make(builder.file, text, len, &builder.source, &parse_err) < 0)
		return reading_keep_error(&in, &parse_err);
	in.doc = &builder.source->doc;
	(void)read_members(&in, &in.doc->root, &builder_object, &builder);
	for (size_t i = 0; i < ARRAY_SIZE(checks) && !reading_stops(&in); i++)
		(void)checks[i](&in, &builder);
	if (in.first < 0)
		return in.first;
	*ret = builder;
	builder = (struct builder){ 0 };
	return 0;
}

int builder_load_reporting(const struct config *config, const char *name,
                           const struct config_report *report, struct builder *ret,
                           struct error *err)
{
	struct reading in = { .doc = &(struct document){ .name = name },
		              .report = report,
		              .err = err };
	cleanup_free char *path = NULL, *text = NULL;
	struct error text_err;
	size_t len;
	int r;

	if (!text_is_name(name, strlen(name)))
		return 0;
	if (asprintf(&path, "%s/builders.d/%s.json", config->dir, name) < 0) {
		path = NULL;
		return reading_no_memory(&in);
	}
	r = config_read_text(path, config->owner_uid, &text, &len, &text_err);
	if (r < 0)
		return reading_keep_error(&in, &text_err);
	if (r == 0)
		return 0;
	r = builder_parse(config, name, text, len, report, ret, err);
	return r < 0 ? r : 1;
}

int builder_load(const struct config *config, const char *name, struct builder *ret,
                 struct error *err)
{
	return builder_load_reporting(config, name, NULL, ret, err);
}

/* Is the path one that comes from the host also where the builder has another root? */
static bool is_shown(const struct config *config, const struct builder *builder, const char *path)
{
	if (is_below(path, config->store_dir))
		return true;
	for (size_t i = 0; i < builder->n_binds; i++)
		if (is_below(path, builder->binds[i].path))
			return true;
	return false;
}

int builder_check_command(const struct config *config, const struct builder *builder, int root_fd,
                          int *ret_fd, struct error *err)
{
	const struct trusted_root root = { .fd = root_fd, .name = builder->root.path };
	const char *path = builder->command[0];
	struct error why;
	int r;

	if (builder->root.kind == ROOT_SYSTEM || is_shown(config, builder, path))
		r = trusted_program(path, config->owner_uid, ret_fd, NULL, &why);
	else
		r = trusted_program_in(&root, path, config->owner_uid, ret_fd, NULL, &why);
	if (r == 0)
		return 0;
	(void)error_set(err, BLAME_HOST, why.code, "the command of builder `%s` (%s): %s",
	                builder->name, builder->file, why.text);
	if (why.hint[0])
		(void)error_hint(err, "%s", why.hint);
	return -why.code;
}
