/*
 * The first byte chooses hatchd.json, hook.json or a definition, the others are its text: it is
 * refused with a place that lies in it, or what it says holds together.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "hatchd/config/exposure.h"
#include "hatchd/config/read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* What was reported of one text. */
struct seen {
	size_t n;
	struct error first;
};

static void note(void *data, const struct error *err)
{
	struct seen *seen = data;

	if (seen->n++ == 0)
		seen->first = *err;
}

/* The error names the file, and its place, if it has one, is not behind the end of the text. */
static void check_place(const struct error *err, const char *file, const char *text, size_t len)
{
	size_t line, column, n_lines = 1;

	assert(strncmp(err->text, file, strlen(file)) == 0);
	if (sscanf(err->text + strlen(file), ":%zu:%zu: ", &line, &column) != 2)
		return;
	for (size_t i = 0; i < len; i++)
		n_lines += text[i] == '\n';
	assert(line >= 1 && line <= n_lines && column >= 1 && column <= len + 1);
}

static void check_builder(const struct builder *builder)
{
	assert(builder->command ? builder->command[0][0] == '/'
	                        : builder->root.kind == ROOT_BUNDLE);
	assert(builder->allow.n_sockets > 0);
	assert(builder->limits.time_default_sec <= builder->limits.time_max_sec);
	for (size_t i = 0; i < builder->environment.n_set; i++)
		for (size_t k = 0; k < builder->environment.n_accept; k++)
			assert(strcmp(builder->environment.set[i].name,
			              builder->environment.accept[k]) != 0);
	assert((builder->root.kind == ROOT_TREE || builder->root.kind == ROOT_IMAGE) ==
	       (builder->root.path != NULL));
	assert((builder->root.kind == ROOT_BUNDLE) == (builder->root.bundle != NULL));
	for (size_t i = 0; i < builder->view.n_places; i++)
		assert(builder->view.places[i].at[0] == '/' &&
		       builder->view.places[i].at[1] != '\0');
}

static void try_builder(const char *text, size_t len)
{
	static struct config config;
	cleanup_builder struct builder once = { 0 }, again = { 0 };
	struct seen seen = { 0 };
	const struct config_report report = { note, &seen };
	struct error err;
	int r;

	if (!config.dir && config_parse("/etc/hatch", false, NULL, 0, NULL, &config, &err) < 0)
		abort();
	r = builder_parse(&config, "b", text, len, NULL, &once, &err);
	assert(builder_parse(&config, "b", text, len, &report, &again, NULL) == r);
	assert((r < 0) == (seen.n > 0));
	if (r == 0) {
		check_builder(&once);
		return;
	}
	assert(strcmp(seen.first.text, err.text) == 0);
	check_place(&err, "/etc/hatch/builders.d/b.json", text, len);
}

static void try_config(const char *text, size_t len)
{
	cleanup_config struct config config = { 0 };
	struct error err;

	if (config_parse("/etc/hatch", false, text, len, NULL, &config, &err) < 0)
		check_place(&err, "/etc/hatch/hatchd.json", text, len);
	else
		assert(config.store_dir[0] == '/' && config.state_dir[0] == '/');
}

/* Of a wrong one too what could be read can be used: the hook does. */
static void try_exposure(const char *text, size_t len)
{
	static const char file[] = "/etc/hatch/hook.json";
	cleanup_exposure struct exposure once = { 0 }, again = { 0 };
	struct seen seen = { 0 };
	const struct config_report report = { note, &seen };
	struct error err;
	int r = exposure_parse(file, text, len, NULL, &once, &err);

	assert(exposure_parse(file, text, len, &report, &again, NULL) == r);
	assert((r < 0) == (seen.n > 0));
	if (r < 0)
		check_place(&err, file, text, len);
	for (size_t i = 0; i < again.n_features; i++)
		assert(again.features[i][0]);
	for (size_t i = 0; r == 0 && i < again.n_paths; i++)
		assert(again.paths[i].path[0] == '/' && again.paths[i].at[0] == '/');
	assert(!again.chain || again.chain[0] == '/');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len == 0)
		return 0;
	if (data[0] == 'c')
		try_config((const char *)data + 1, len - 1);
	else if (data[0] == 'h')
		try_exposure((const char *)data + 1, len - 1);
	else
		try_builder((const char *)data + 1, len - 1);
	return 0;
}
