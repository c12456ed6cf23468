/* "groups" and "uid_map": as whom a builder runs. */
#include <errno.h>
#include <string.h>

#include "accounts.h"
#include "builder.h"
#include "items.h"

static int make_joined_group(struct reading *in, const struct value *item, void *ret)
{
	gid_t gid = 0;
	int r = expect_kind(in, item, VALUE_STRING);

	if (r < 0)
		return r;
	r = make_gid(in, item, &gid);
	if (r < 0)
		return r;
	if (gid == 0 || id_is_nobody(gid))
		return reading_fail(
			in, item, EINVAL,
			"group %u is no group for a builder; expected neither root's nor "
			"nobody's",
			gid);
	*(gid_t *)ret = gid;
	return 0;
}

/* The number is looked up with the name, by read_items() after it. */
static int check_joined_group(struct reading *in, const struct value *list,
                              const struct value *item)
{
	return expect_kind(in, item, VALUE_STRING);
}

int read_joined_groups(struct reading *in, const struct value *value, const struct member *row,
                       void *object)
{
	struct builder *builder = object;
	size_t n_names;
	int r;

	r = read_items(in, value, sizeof(gid_t), make_joined_group, (void **)&builder->groups,
	               &builder->n_groups);
	if (r < 0)
		return r;
	strv_free(take_ptr(&builder->group_names));
	return read_strings(in, value, 0, check_joined_group, &builder->group_names, &n_names);
}

int read_uid_map(struct reading *in, const struct value *value, const struct member *row,
                 void *object)
{
	static const char *const words[] = {
		[UID_MAP_SELF] = "self",
		[UID_MAP_ROOT] = "root",
		[UID_MAP_RANGE] = "range",
	};
	struct builder *builder = object;
	size_t chosen = 0;
	int r = read_word(in, value, words, ARRAY_SIZE(words), "\"self\", \"root\" or \"range\"",
	                  &chosen);

	if (r == 0)
		builder->uid_map = (enum uid_map)chosen;
	return r;
}

static int check_range_of_ids(struct reading *in, const struct builder *builder)
{
	const struct value *at = value_member(&in->doc->root, "uid_map");
	char shown[SHOW_LEN];

	if (!in->config->pool)
		return reading_fail(in, at, EINVAL,
		                    "without root nobody can give a builder other ids than one's "
		                    "own; expected \"self\" or \"root\"");
	if (in->config->range_base == 0 && !in->config->partial)
		return reading_fail(in, at, EINVAL,
		                    "there are no ids for a range; expected range_base in %s",
		                    show(in->config->file, shown));
	for (size_t i = 0; i < builder->view.n_places; i++)
		if (builder->view.places[i].kind == PLACE_WRITE)
			return reading_fail(in, at, EINVAL,
			                    "what a range leaves in %s would belong to ids of "
			                    "later requests; expected no view.write beside a range",
			                    show(builder->view.places[i].source, shown));
	return 0;
}

int check_uid_map(struct reading *in, struct builder *builder)
{
	bool range = builder->uid_map == UID_MAP_RANGE;

	if (!builder->seccomp.none)
		builder->seccomp.groups |= (builder->allow_userns ? SECCOMP_USERNS : 0) |
		                           (range ? SECCOMP_OWNERS : 0);
	return range ? check_range_of_ids(in, builder) : 0;
}
