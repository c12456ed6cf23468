/* "view": what of the host a builder sees. */
#include <errno.h>
#include <string.h>

#include "builder.h"
#include "items.h"

static int read_base(struct reading *in, const struct value *value, const struct member *row,
                     void *object)
{
	static const char *const words[] = { "minimal" };
	size_t chosen = 0;

	return read_word(in, value, words, ARRAY_SIZE(words), "\"minimal\"", &chosen);
}

bool is_below(const char *inner, const char *outer)
{
	size_t len = strlen(outer);

	return strcmp(outer, "/") == 0 ||
	       (strncmp(inner, outer, len) == 0 && (inner[len] == '/' || inner[len] == '\0'));
}

int check_places(struct reading *in, const struct value *item, const struct place *places,
                 size_t n_places)
{
	char shown[SHOW_LEN];

	for (size_t i = 0; i < n_places; i++)
		if (strcmp(item->string, places[i].path) == 0 ||
		    ((places[i].also & PLACE_BELOW) && is_below(item->string, places[i].path)) ||
		    ((places[i].also & PLACE_AROUND) && is_below(places[i].path, item->string)))
			return reading_fail(in, item, EINVAL,
			                    "this meets %s: %s; expected a path that does not",
			                    show(places[i].path, shown), places[i].why);
	return 0;
}

/* Places that hatch makes itself in every view, or that no builder may see. */
static int check_place(struct reading *in, const struct value *item)
{
	const struct place places[] = {
		{ "/", "the view is not the whole host", 0 },
		{ "/proc", "hatch mounts one of the builder's own", PLACE_BELOW },
		{ "/sys", "no builder sees it", PLACE_BELOW },
		{ "/dev", "hatch makes one of the builder's own", PLACE_BELOW },
		{ "/tmp", "hatch makes one of the builder's own", 0 },
		{ "/var/tmp", "it leads to the builder's own /tmp", 0 },
		{ "/build", "hatch makes one of the builder's own", PLACE_BELOW },
		{ "/run/hatch", "it holds hatch's own sockets", PLACE_BELOW | PLACE_AROUND },
		{ in->config->store_dir, "every builder sees the store",
		  PLACE_BELOW | PLACE_AROUND },
		{ in->config->state_dir, "it holds what other requests write",
		  PLACE_BELOW | PLACE_AROUND },
		{ in->config->dir, "it holds hatch's own configuration", PLACE_BELOW },
	};

	return check_places(in, item, places, ARRAY_SIZE(places));
}

static int add_binds(struct reading *in, const struct value *value, struct builder *builder,
                     bool writable)
{
	struct bind *binds;
	int r = expect_list(in, value, 0);

	if (r < 0 || value->n_items == 0)
		return r;
	binds = reallocarray(builder->binds, builder->n_binds + value->n_items, sizeof(*binds));
	if (!binds)
		return reading_no_memory(in);
	builder->binds = binds;
	for (size_t i = 0; i < value->n_items && !reading_stops(in); i++) {
		struct bind *bind = &binds[builder->n_binds];

		if (expect_path(in, &value->items[i]) < 0 || check_place(in, &value->items[i]) < 0)
			continue;
		*bind = (struct bind){ strdup(value->items[i].string), writable };
		if (!bind->path)
			return reading_no_memory(in);
		builder->n_binds++;
	}
	return in->first;
}

static int read_binds_read(struct reading *in, const struct value *value, const struct member *row,
                           void *object)
{
	return add_binds(in, value, object, false);
}

static int read_binds_write(struct reading *in, const struct value *value, const struct member *row,
                            void *object)
{
	return add_binds(in, value, object, true);
}

static const struct member view_members[] = {
	{ "base", read_base },
	{ "read", read_binds_read },
	{ "write", read_binds_write },
};

int read_view(struct reading *in, const struct value *value, const struct member *row, void *object)
{
	static const struct member view = { INSIDE(view_members) };

	return read_members(in, value, &view, object);
}

static int compare_binds(const void *a, const void *b)
{
	return strcmp(((const struct bind *)a)->path, ((const struct bind *)b)->path);
}

int check_binds(struct reading *in, struct builder *builder)
{
	char shown[SHOW_LEN];

	if (builder->n_binds > 0)
		qsort(builder->binds, builder->n_binds, sizeof(*builder->binds), compare_binds);
	for (size_t i = 1; i < builder->n_binds; i++)
		if (compare_binds(&builder->binds[i - 1], &builder->binds[i]) == 0)
			return reading_fail(
				in, value_member(&in->doc->root, "view"), EINVAL,
				"%s is there twice; expected it once, in read or in write",
				show(builder->binds[i].path, shown));
	return 0;
}
