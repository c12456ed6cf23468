/* "allow": who may use a builder. */
#include <errno.h>
#include <string.h>

#include "builder.h"
#include "items.h"
#include "lib/base/text.h"

enum { GLOB_MAX = 255 };

static int read_users(struct reading *in, const struct value *value, const struct member *row,
                      void *object)
{
	struct builder *builder = object;

	return read_items(in, value, sizeof(uid_t), make_uid, (void **)&builder->allow.uids,
	                  &builder->allow.n_uids);
}

static int read_groups_allowed(struct reading *in, const struct value *value,
                               const struct member *row, void *object)
{
	struct builder *builder = object;

	return read_items(in, value, sizeof(gid_t), make_gid, (void **)&builder->allow.gids,
	                  &builder->allow.n_gids);
}

/* While a range is read its ends are as wide as any number, as read_count() writes them. */
struct ends {
	uint64_t first, last;
};

static const struct member range_members[] = {
	{ "first", read_count, offsetof(struct ends, first), 1, UINT32_MAX - 1, .required = true },
	{ "last", read_count, offsetof(struct ends, last), 1, UINT32_MAX - 1, .required = true },
};

static const struct member range_object = { .rows = range_members,
	                                    .n_rows = ARRAY_SIZE(range_members) };

static int make_range(struct reading *in, const struct value *item, void *ret)
{
	struct uid_range *range = ret;
	struct ends ends = { 0, 0 };

	if (read_members(in, item, &range_object, &ends) < 0)
		return in->first;
	if (ends.first > ends.last)
		return reading_fail(in, item, EINVAL,
		                    "the range ends before it begins; expected first <= last");
	*range = (struct uid_range){ (uid_t)ends.first, (uid_t)ends.last };
	return 0;
}

static int read_ranges(struct reading *in, const struct value *value, const struct member *row,
                       void *object)
{
	struct builder *builder = object;

	return read_items(in, value, sizeof(struct uid_range), make_range,
	                  (void **)&builder->allow.ranges, &builder->allow.n_ranges);
}

static int check_glob(struct reading *in, const struct value *list, const struct value *item)
{
	int r = expect_text(in, item, GLOB_MAX);

	if (r < 0)
		return r;
	if (item->string[0] == '\0' || strchr(item->string, '/'))
		return reading_fail(in, item, EINVAL,
		                    "this matches no derivation; expected a pattern on the name "
		                    "without hash and \".drv\"");
	return 0;
}

static int read_derivations(struct reading *in, const struct value *value, const struct member *row,
                            void *object)
{
	struct builder *builder = object;

	return read_strings(in, value, 1, check_glob, &builder->allow.derivations,
	                    &builder->allow.n_derivations);
}

static int read_features(struct reading *in, const struct value *value, const struct member *row,
                         void *object)
{
	struct builder *builder = object;

	return read_strings(in, value, 1, check_feature, &builder->allow.features,
	                    &builder->allow.n_features);
}

static int check_socket(struct reading *in, const struct value *list, const struct value *item)
{
	int r = expect_kind(in, item, VALUE_STRING);

	if (r < 0)
		return r;
	if (!text_is_name(item->string, strlen(item->string)))
		return reading_fail(
			in, item, EINVAL,
			"this is no class of a socket; expected a FileDescriptorName= of "
			"[a-z0-9][a-z0-9._-]{0,63}");
	return 0;
}

static int read_sockets(struct reading *in, const struct value *value, const struct member *row,
                        void *object)
{
	struct builder *builder = object;

	strv_free(take_ptr(&builder->allow.sockets));
	builder->allow.n_sockets = 0;
	return read_strings(in, value, 1, check_socket, &builder->allow.sockets,
	                    &builder->allow.n_sockets);
}

static const struct member allow_members[] = {
	{ "users", read_users },       { "groups", read_groups_allowed },
	{ "uid_ranges", read_ranges }, { "derivations", read_derivations },
	{ "features", read_features }, { "sockets", read_sockets },
};

/* They are one more condition on who is named by the others. */
int check_allow(struct reading *in, struct builder *builder)
{
	const struct value *allow = value_member(&in->doc->root, "allow");

	if (!allow || builder->allow.n_derivations == 0 || builder->allow.n_uids > 0 ||
	    builder->allow.n_gids > 0 || builder->allow.n_ranges > 0)
		return in->first;
	return reading_fail(in, value_member(allow, "derivations"), EINVAL,
	                    "derivations alone let nobody in; expected users, groups or uid_ranges "
	                    "too, such as \"groups\": [\"nixbld\"]");
}

int read_allow(struct reading *in, const struct value *value, const struct member *row,
               void *object)
{
	static const struct member allow = { INSIDE(allow_members) };

	return read_members(in, value, &allow, object);
}
