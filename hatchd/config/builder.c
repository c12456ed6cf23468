/* The definition of a builder: its groups of keys, their defaults, and what must fit together. */
#include "builder.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bundle.h"
#include "items.h"
#include "lib/base/text.h"
#include "source.h"

enum {
	DESCRIPTION_MAX = 512,
	ROOT_SIZE_DEFAULT = 256 << 20,
};

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
	strv_free(builder->allow.features);
	strv_free(builder->allow.sockets);
	strv_free(builder->args.match);
	for (size_t i = 0; i < builder->environment.n_set; i++) {
		free(builder->environment.set[i].name);
		free(builder->environment.set[i].value);
	}
	free(builder->environment.set);
	strv_free(builder->environment.accept);
	strv_free(builder->credentials);
	free(builder->network.path);
	free(builder->network.resolv_conf);
	free(builder->network.ports);
	strv_free(builder->group_names);
	free(builder->groups);
	for (size_t i = 0; i < builder->view.n_places; i++)
		place_done(&builder->view.places[i]);
	free(builder->view.places);
	strv_free(builder->keep_failed);
	free(builder->root.path);
	free(builder->root.bundle);
	free(builder->root.cwd);
	free(builder->root.host_name);
	strv_free(builder->root.masked);
	strv_free(builder->root.read_only);
	hook_done(&builder->before);
	hook_done(&builder->after);
	resources_free(builder->resources, builder->n_resources);
	*builder = (struct builder){ 0 };
}

static const struct member builder_members[] = {
	{ "description", read_line, FIELD(description), 0, DESCRIPTION_MAX },
	{ "command", read_command },
	{ "allow", read_allow },
	{ "args", read_args },
	{ "environment", read_environment },
	{ "inputs", read_truth, FIELD(inputs) },
	{ "groups", read_joined_groups },
	{ "uid_map", read_uid_map },
	{ "allow_userns", read_truth, FIELD(allow_userns) },
	{ "time_namespace", read_truth, FIELD(time_namespace) },
	{ "network", read_network },
	{ "root", read_root },
	{ "seccomp", read_seccomp },
	{ "view", read_view },
	{ "credentials", read_credentials },
	{ "credentials_scan", read_truth, FIELD(credentials_scan) },
	{ "resources", read_resources_taken },
	{ "before", read_hook, FIELD(before) },
	{ "after", read_hook, FIELD(after) },
	{ "undeclared_references", read_undeclared_references },
	{ "limits", read_limits },
	{ "scratch_on", read_scratch_on },
	{ "limits_optional", read_truth, FIELD(limits_optional) },
	{ "keep_failed", read_keep_failed },
};

static const struct member builder_object = { INSIDE(builder_members) };

static int (*const checks[])(struct reading *in, struct builder *builder) = {
	check_command, check_allow,   check_args,   check_scan, check_variables_once,
	check_root,    check_uid_map, check_places, check_base, check_limits,
};

static int set_defaults(const struct config *config, const char *name, struct builder *builder)
{
	builder->limits = default_limits;
	builder->root.size = ROOT_SIZE_DEFAULT;
	builder->credentials_scan = true;
	builder->undeclared_references = UNDECLARED_WARN;
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
	cleanup_builder struct builder builder = { 0 };
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
	r = builder_parse(config, name, text, len, report, &builder, err);
	if (r == 0 && builder.root.kind == ROOT_BUNDLE && !config->offline)
		r = bundle_load(config, report, &builder, err);
	if (r < 0)
		return r;
	*ret = builder;
	builder = (struct builder){ 0 };
	return 1;
}

int builder_load(const struct config *config, const char *name, struct builder *ret,
                 struct error *err)
{
	return builder_load_reporting(config, name, NULL, ret, err);
}

/* The innermost place counts, and it is the last. */
const struct place *builder_find_place(const struct builder *builder, const char *path)
{
	for (size_t i = builder->view.n_places; i > 0; i--)
		if (path_is_below(path, builder->view.places[i - 1].at))
			return &builder->view.places[i - 1];
	return NULL;
}

const char *builder_host_name(const struct builder *builder)
{
	return builder->root.host_name ? builder->root.host_name : "hatch";
}
