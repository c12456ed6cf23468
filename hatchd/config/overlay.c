/* "view.overlay": directories stacked on each other, and what may be written on top of them. */
#include <errno.h>
#include <string.h>

#include "builder.h"
#include "items.h"
#include "lib/base/text.h"

enum { TOP_SIZE_MIN = 64 * 1024 };

#define TOP_SIZE_MAX (UINT64_C(16) << 40)

/* ':' divides layers where the kernel takes only a list of names. hatchd names layers by
 * descriptor, so nothing could be misread; but an administrator's own tools may. */
static int check_layer(struct reading *in, const struct value *list, const struct value *item)
{
	char shown[SHOW_LEN];
	int r = expect_path(in, item);

	if (r < 0)
		return r;
	if (strchr(item->string, ':'))
		return reading_fail(in, item, EINVAL,
		                    "\"%s\" holds ':', which divides layers; expected a layer "
		                    "without it (a bind mount can give it another name)",
		                    show(item->string, shown));
	for (const struct value *before = list->items; before < item; before++)
		if (before->string && (path_is_below(item->string, before->string) ||
		                       path_is_below(before->string, item->string)))
			return reading_fail(in, item, EINVAL,
			                    "this layer meets another, %s; expected layers that "
			                    "do not hold each other",
			                    show(before->string, shown));
	return check_source(in, item);
}

static int read_lower(struct reading *in, const struct value *value, const struct member *row,
                      void *object)
{
	struct place *place = object;
	size_t n;

	if (value->kind == VALUE_ARRAY && value->n_items > OVERLAY_LAYERS_MAX)
		return reading_fail(in, value, EINVAL, "%zu layers; expected at most %d",
		                    value->n_items, OVERLAY_LAYERS_MAX);
	return read_strings(in, value, 1, check_layer, &place->lower, &n);
}

static int read_top(struct reading *in, const struct value *value, const struct member *row,
                    void *object)
{
	static const char *const words[] = {
		[TOP_NONE] = "none",
		[TOP_DISK] = "disk",
		[TOP_TMPFS] = "tmpfs",
	};
	struct place *place = object;
	size_t chosen = TOP_NONE;
	int r = read_word(in, value, words, ARRAY_SIZE(words), "\"none\", \"disk\" or \"tmpfs\"",
	                  &chosen);

	place->top = (enum overlay_top)chosen;
	return r;
}

static const struct member overlay_members[] = {
	{ "at", read_path, offsetof(struct place, at), .required = true },
	{ "lower", read_lower, .required = true },
	{ "top", read_top },
	{ "size", read_size, offsetof(struct place, size), TOP_SIZE_MIN, TOP_SIZE_MAX },
};

int fill_overlay(struct reading *in, const struct value *item, struct place *place)
{
	static const struct member object = { INSIDE(overlay_members) };
	const struct value *at, *size;
	int r = read_members(in, item, &object, place);

	if (!place->at || !place->lower)
		return r < 0 ? r : -EINVAL;
	at = value_member(item, "at");
	size = value_member(item, "size");
	if (place->top == TOP_TMPFS && !size)
		return reading_fail(in, item, EINVAL,
		                    "the top has no size; expected one, because it is in memory");
	if (place->top != TOP_TMPFS && size)
		return reading_fail_key(in, size, EINVAL,
		                        "only a top on tmpfs has a size; expected none%s",
		                        place->top == TOP_DISK ? ": one on disk is limited with "
		                                                 "the rest of what is written"
		                                               : "");
	return check_at(in, at, PLACE_OVERLAY);
}
