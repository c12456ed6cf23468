/* "groups" and "network": as whom a builder runs, and whom it reaches. */
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

int read_network(struct reading *in, const struct value *value, const struct member *row,
                 void *object)
{
	static const char *const words[] = { "none", "host" };
	struct builder *builder = object;
	size_t chosen = 0;
	int r = read_word(in, value, words, ARRAY_SIZE(words), "\"none\" or \"host\"", &chosen);

	if (r == 0)
		builder->network_host = chosen == 1;
	return r;
}
