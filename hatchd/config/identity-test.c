/* The keys that say who a builder is inside, read from memory. */
#include <errno.h>
#include <string.h>

#include "read.h"
#include "tests/unit.h"

static struct config with_ranges, without, unprivileged;
static struct error err;

static int parse(const struct config *config, const char *keys, struct builder *ret)
{
	char text[1024];

	(void)snprintf(text, sizeof(text), "{\"command\": [\"/x\"],\n%s}", keys);
	return builder_parse(config, "b", text, strlen(text), NULL, ret, &err);
}

static bool refuses(const struct config *config, const char *keys, const char *place,
                    const char *words)
{
	cleanup_builder struct builder builder = { 0 };
	char where[64];
	int r = parse(config, keys, &builder);

	(void)snprintf(where, sizeof(where), "/etc/hatch/builders.d/b.json:%s: ", place);
	if (r == -EINVAL && strncmp(err.text, where, strlen(where)) == 0 && strstr(err.text, words))
		return true;
	printf("  %s: %d %s\n", keys, r, r < 0 ? err.text : "");
	return false;
}

static void a_builder_is_itself_unless_told(void)
{
	cleanup_builder struct builder builder = { 0 };

	check(parse(&without, "\"description\": \"\"", &builder) == 0);
	check(builder.uid_map == UID_MAP_SELF);
}

static void knows_three_maps_of_ids(void)
{
	static const struct {
		const char *key;
		enum uid_map map;
	} rows[] = {
		{ "\"uid_map\": \"self\"", UID_MAP_SELF },
		{ "\"uid_map\": \"root\"", UID_MAP_ROOT },
		{ "\"uid_map\": \"range\"", UID_MAP_RANGE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_builder struct builder builder = { 0 };

		check(parse(&with_ranges, rows[i].key, &builder) == 0);
		check(builder.uid_map == rows[i].map);
	}
	check(refuses(&without, "\"uid_map\": \"nobody\"", "2:12",
	              "expected \"self\", \"root\" or \"range\""));
	check(refuses(&without, "\"uid_map\": 0", "2:12", "this is an integer"));
}

static void a_range_needs_ids_and_leaves_nothing_on_the_host(void)
{
	check(refuses(&without, "\"uid_map\": \"range\"", "2:12", "expected range_base in"));
	check(refuses(&unprivileged, "\"uid_map\": \"range\"", "2:12",
	              "expected \"self\" or \"root\""));
	check(refuses(&with_ranges, "\"uid_map\": \"range\", \"view\": {\"write\": [\"/opt/x\"]}",
	              "2:12", "expected no view.write beside a range"));
}

static const struct unit_case cases[] = {
	CASE(a_builder_is_itself_unless_told),
	CASE(knows_three_maps_of_ids),
	CASE(a_range_needs_ids_and_leaves_nothing_on_the_host),
};

int main(void)
{
	struct config *const configs[] = { &with_ranges, &without, &unprivileged };
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(configs); i++) {
		if (config_parse("/etc/hatch", false, NULL, 0, NULL, configs[i], &err) < 0)
			return EXIT_FAILURE;
		configs[i]->pool = configs[i] != &unprivileged;
	}
	with_ranges.range_base = unprivileged.range_base = 1 << 20;
	r = unit_run(cases, ARRAY_SIZE(cases));
	for (size_t i = 0; i < ARRAY_SIZE(configs); i++)
		config_done(configs[i]);
	return r;
}
