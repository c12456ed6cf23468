/* "resources": of hatchd.json, what there is; of a definition, what a request takes of it. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "builder.h"
#include "lib/base/text.h"

enum {
	RESOURCES_MAX = 256,
	RESOURCE_COUNT_MAX = 1024,
};

void resources_free(struct resource *resources, size_t n_resources)
{
	for (size_t i = 0; i < n_resources; i++)
		free(resources[i].name);
	free(resources);
}

const struct resource *resource_find(const struct resource *resources, size_t n_resources,
                                     const char *name)
{
	for (size_t i = 0; i < n_resources; i++)
		if (strcmp(resources[i].name, name) == 0)
			return &resources[i];
	return NULL;
}

/* A name and a count, and what check() says to it. */
static int read_resource(struct reading *in, const struct value *item,
                         int (*check)(struct reading *in, const struct value *item),
                         struct resource *ret)
{
	char shown[SHOW_LEN];
	int r = expect_kind(in, item, VALUE_INTEGER);

	if (r == 0)
		r = check(in, item);
	if (r < 0)
		return r;
	if (item->integer < 1 || item->integer > RESOURCE_COUNT_MAX)
		return reading_fail(in, item, EINVAL,
		                    "%" PRId64 " of \"%s\"; expected 1 to %d, or no such key",
		                    item->integer, show(item->key, shown), RESOURCE_COUNT_MAX);
	ret->name = strdup(item->key);
	ret->count = (uint64_t)item->integer;
	return ret->name ? 0 : reading_no_memory(in);
}

static int read_resources(struct reading *in, const struct value *value, size_t max,
                          int (*check)(struct reading *in, const struct value *item),
                          struct resource **ret, size_t *ret_n)
{
	int r = expect_kind(in, value, VALUE_OBJECT);

	if (r < 0 || value->n_items == 0)
		return r;
	if (value->n_items > max)
		return reading_fail(in, value, EINVAL, "%zu resources; expected at most %zu",
		                    value->n_items, max);
	*ret = calloc(value->n_items, sizeof(**ret));
	if (!*ret)
		return reading_no_memory(in);
	for (size_t i = 0; i < value->n_items && !reading_stops(in); i++)
		if (read_resource(in, &value->items[i], check, &(*ret)[*ret_n]) == 0)
			(*ret_n)++;
	return in->first;
}

static int check_defined(struct reading *in, const struct value *item)
{
	char shown[SHOW_LEN];

	if (!text_is_name(item->key, strlen(item->key)))
		return reading_fail_key(in, item, EINVAL,
		                        "\"%s\" is no name of a resource; expected "
		                        "[a-z0-9][a-z0-9._-]{0,63}",
		                        show(item->key, shown));
	if (strcmp(item->key, RESOURCE_SLOT) == 0)
		return reading_fail_key(in, item, EINVAL,
		                        "\"%s\" is what a request that waits for a build user is "
		                        "said to wait for; expected another name",
		                        RESOURCE_SLOT);
	return 0;
}

int read_resources_defined(struct reading *in, const struct value *value, const struct member *row,
                           void *object)
{
	struct config *config = object;

	return read_resources(in, value, RESOURCES_MAX, check_defined, &config->resources,
	                      &config->n_resources);
}

static int check_taken(struct reading *in, const struct value *item)
{
	const struct resource *resource = resource_find(in->config->resources,
	                                                in->config->n_resources, item->key);
	char shown[SHOW_LEN];

	(void)show(item->key, shown);
	if (!resource && in->config->partial)
		return 0; /* hatchd.json is to be mended first */
	if (!resource)
		return reading_fail_key(
			in, item, ENOENT,
			"there is no resource \"%s\"; expected one of \"resources\" "
			"in %s",
			shown, in->config->file);
	if (item->integer > 0 && (uint64_t)item->integer > resource->count)
		return reading_fail(in, item, EINVAL,
		                    "%" PRId64 " of \"%s\"; expected at most the %" PRIu64
		                    " that %s says there are",
		                    item->integer, shown, resource->count, in->config->file);
	return 0;
}

int read_resources_taken(struct reading *in, const struct value *value, const struct member *row,
                         void *object)
{
	struct builder *builder = object;

	uint64_t n_units = 0;
	int r = read_resources(in, value, BUILDER_RESOURCES_MAX, check_taken, &builder->resources,
	                       &builder->n_resources);

	for (size_t i = 0; i < builder->n_resources; i++)
		n_units += builder->resources[i].count;
	if (r == 0 && n_units > BUILDER_UNITS_MAX)
		return reading_fail(in, value, EINVAL,
		                    "%" PRIu64 " units in all; expected at most %d", n_units,
		                    BUILDER_UNITS_MAX);
	return r;
}
