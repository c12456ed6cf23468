/*
 * Any bytes as config.json of a bundle: refused with a place that lies in them, or the builder that
 * comes of it is as good as one whose definition says it all.
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "hatchd/config/bundle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const char file[] = "/srv/b/config.json";

static void check_place_of_error(const struct error *err, const char *text, size_t len)
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
	assert(builder->command && builder->command[0][0] == '/');
	assert(strncmp(builder->root.path, "/srv/b/", 7) == 0 &&
	       !strstr(builder->root.path, "/../"));
	assert(!builder->root.cwd || builder->root.cwd[0] == '/');
	for (size_t i = 0; i < builder->environment.n_set; i++)
		assert(strncmp(builder->environment.set[i].name, "HATCH_", 6) != 0);
	for (size_t i = 0; i < builder->view.n_places; i++) {
		const struct place *place = &builder->view.places[i];

		assert(place->at[0] == '/' && place->at[1] != '\0');
		assert(i == 0 || strcmp(place->at, builder->view.places[i - 1].at) != 0);
		assert((place->kind == PLACE_TMPFS) == (place->source == NULL));
	}
}

static int parse(const struct config *config, const char *text, size_t len,
                 const struct config_report *report, struct builder *ret, struct error *err)
{
	static const char definition[] = "{\"root\": {\"bundle\": \"/srv/b\"}}";

	assert(builder_parse(config, "b", definition, strlen(definition), NULL, ret, err) == 0);
	return bundle_parse(config, file, text, len, report, ret, err);
}

static void note(void *data, const struct error *err)
{
	(*(size_t *)data)++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct config config;
	cleanup_builder struct builder once = { 0 }, again = { 0 };
	size_t n_errors = 0;
	const struct config_report report = { note, &n_errors };
	struct error err;
	int r;

	if (!config.dir && config_parse("/etc/hatch", false, NULL, 0, NULL, &config, &err) < 0)
		abort();
	r = parse(&config, (const char *)data, len, NULL, &once, &err);
	if (r < 0)
		check_place_of_error(&err, (const char *)data, len);
	else
		check_builder(&once);
	assert(parse(&config, (const char *)data, len, &report, &again, &err) == r);
	assert((r < 0) == (n_errors > 0));
	return 0;
}
