/* "view": what of the host a builder sees, and what is put into its place. */
#include <errno.h>
#include <string.h>

#include "builder.h"
#include "items.h"

#define IN_PLACE(field) offsetof(struct place, field)

static int read_base(struct reading *in, const struct value *value, const struct member *row,
                     void *object)
{
	static const char *const words[] = { [BASE_MINIMAL] = "minimal", [BASE_HOST] = "host" };
	struct builder *builder = object;
	size_t chosen = BASE_MINIMAL;
	int r = read_word(in, value, words, ARRAY_SIZE(words), "\"minimal\" or \"host\"", &chosen);

	builder->view.base = chosen;
	return r;
}

/* --- one item of a list: what it says becomes a place --- */

static int set_path(struct reading *in, const struct value *value, char **ret)
{
	int r = expect_path(in, value);

	if (r < 0)
		return r;
	*ret = strdup(value->string);
	return *ret ? 0 : reading_no_memory(in);
}

/* The member of an object, or the text itself. */
static const struct value *said(const struct value *item, const char *key)
{
	const struct value *member = item->kind == VALUE_OBJECT ? value_member(item, key) : NULL;

	return member ? member : item;
}

static const struct member bind_members[] = {
	{ "path", read_path, IN_PLACE(source), .required = true },
	{ "at", read_path, IN_PLACE(at) },
	{ "optional", read_truth, IN_PLACE(optional) },
};

static const struct member device_members[] = {
	{ "path", read_path, IN_PLACE(source), .required = true },
	{ "optional", read_truth, IN_PLACE(optional) },
};

static const struct member tmpfs_members[] = {
	{ "at", read_path, IN_PLACE(at), .required = true },
	{ "size", read_size, IN_PLACE(size), TMPFS_SIZE_MIN, TMPFS_SIZE_MAX, .required = true },
};

/* "/p", or an object that holds "path". */
static int read_source(struct reading *in, const struct value *item, const struct member *object,
                       struct place *place)
{
	int r = item->kind == VALUE_STRING   ? set_path(in, item, &place->source)
	        : item->kind == VALUE_OBJECT ? read_members(in, item, object, place)
	                                     : expect_kind(in, item, VALUE_STRING);

	/* Also an earlier error ends the reading of an object; what is there is looked at. */
	if (!place->source)
		return r < 0 ? r : -EINVAL;
	if (!place->at)
		place->at = strdup(place->source);
	return place->at ? 0 : reading_no_memory(in);
}

static int fill_bind(struct reading *in, const struct value *item, struct place *place)
{
	static const struct member object = { INSIDE(bind_members) };
	const struct value *path = said(item, "path");
	int r = read_source(in, item, &object, place);

	if (r == 0)
		r = check_source(in, path);
	if (r < 0)
		return r;
	return check_at(in, said(item, "at") == item ? path : said(item, "at"), place->kind);
}

static int fill_device(struct reading *in, const struct value *item, struct place *place)
{
	static const struct member object = { INSIDE(device_members) };
	int r = read_source(in, item, &object, place);

	return r < 0 ? r : check_at(in, said(item, "path"), PLACE_DEVICE);
}

static int fill_hide(struct reading *in, const struct value *item, struct place *place)
{
	int r = set_path(in, item, &place->at);

	return r < 0 ? r : check_at(in, item, PLACE_HIDE);
}

static int fill_tmpfs(struct reading *in, const struct value *item, struct place *place)
{
	static const struct member object = { INSIDE(tmpfs_members) };
	int r = read_members(in, item, &object, place);

	if (!place->at)
		return r < 0 ? r : -EINVAL;
	return check_at(in, said(item, "at"), PLACE_TMPFS);
}

/* --- the lists --- */

struct list {
	enum place_kind kind;
	size_t max;
	int (*fill)(struct reading *in, const struct value *item, struct place *place);
};

static int read_places(struct reading *in, const struct value *value, struct builder *builder,
                       const struct list *list)
{
	struct place *places;
	int r = expect_list(in, value, 0);

	if (r < 0 || value->n_items == 0)
		return r;
	if (value->n_items > list->max)
		return reading_fail(in, value, EINVAL, "%zu items; expected at most %zu",
		                    value->n_items, list->max);
	places = reallocarray(builder->view.places, builder->view.n_places + value->n_items,
	                      sizeof(*places));
	if (!places)
		return reading_no_memory(in);
	builder->view.places = places;
	for (size_t i = 0; i < value->n_items && !reading_stops(in); i++) {
		struct place place = { .kind = list->kind, .offset = value->items[i].at };

		if (list->fill(in, &value->items[i], &place) == 0)
			places[builder->view.n_places++] = place;
		else
			place_done(&place);
	}
	return in->first;
}

static int read_read(struct reading *in, const struct value *value, const struct member *row,
                     void *object)
{
	return read_places(in, value, object, &(struct list){ PLACE_READ, LIST_MAX, fill_bind });
}

static int read_write(struct reading *in, const struct value *value, const struct member *row,
                      void *object)
{
	return read_places(in, value, object, &(struct list){ PLACE_WRITE, LIST_MAX, fill_bind });
}

static int read_tmpfs(struct reading *in, const struct value *value, const struct member *row,
                      void *object)
{
	return read_places(in, value, object, &(struct list){ PLACE_TMPFS, LIST_MAX, fill_tmpfs });
}

static int read_devices(struct reading *in, const struct value *value, const struct member *row,
                        void *object)
{
	return read_places(in, value, object,
	                   &(struct list){ PLACE_DEVICE, VIEW_DEVICES_MAX, fill_device });
}

static int read_hide(struct reading *in, const struct value *value, const struct member *row,
                     void *object)
{
	return read_places(in, value, object, &(struct list){ PLACE_HIDE, LIST_MAX, fill_hide });
}

static int read_overlay(struct reading *in, const struct value *value, const struct member *row,
                        void *object)
{
	return read_places(in, value, object,
	                   &(struct list){ PLACE_OVERLAY, VIEW_OVERLAYS_MAX, fill_overlay });
}

static const struct member view_members[] = {
	{ "base", read_base },       { "read", read_read },       { "write", read_write },
	{ "tmpfs", read_tmpfs },     { "devices", read_devices }, { "hide", read_hide },
	{ "overlay", read_overlay },
};

int read_view(struct reading *in, const struct value *value, const struct member *row, void *object)
{
	static const struct member view = { INSIDE(view_members) };

	return read_members(in, value, &view, object);
}

int check_base(struct reading *in, struct builder *builder)
{
	const struct value *view = value_member(&in->doc->root, "view");
	const struct value *base = view ? value_member(view, "base") : NULL;

	if (builder->view.base == BASE_MINIMAL)
		return 0;
	if (builder->root.kind != ROOT_SYSTEM)
		return reading_fail(in, base, EINVAL,
		                    "there is a root too, which takes the host's place; expected "
		                    "one of them");
	if (builder->network.kind == NETWORK_NAMESPACE || builder->network.kind == NETWORK_PRIVATE)
		return reading_fail(in, base, EINVAL,
		                    "the host's /etc names the resolver of the host's network; "
		                    "expected \"none\" or \"host\" as the network, or another "
		                    "base");
	return 0;
}
