/* Readers for lists, words and accounts: what several groups of keys are made of. */
#include "items.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "accounts.h"

/* A list of strings, each checked by check() first. min_items 1: an empty list is refused, where
 * it could be read as "none" and as "any". */
int read_strings(struct reading *in, const struct value *value, size_t min_items,
                 int (*check)(struct reading *in, const struct value *list,
                              const struct value *item),
                 char ***ret, size_t *ret_n)
{
	size_t n = 0;
	char **list;
	int r = expect_list(in, value, min_items);

	if (r < 0)
		return r;
	list = calloc(value->n_items + 1, sizeof(*list));
	if (!list)
		return reading_no_memory(in);
	*ret = list;
	for (size_t i = 0; i < value->n_items && !reading_stops(in); i++) {
		if (check(in, value, &value->items[i]) < 0)
			continue;
		list[n] = strdup(value->items[i].string);
		if (!list[n])
			return reading_no_memory(in);
		n++;
	}
	*ret_n = n;
	return in->first;
}

/* A list of numbers or other things of one size, each made by make(). */
int read_items(struct reading *in, const struct value *value, size_t item_len,
               int (*make)(struct reading *in, const struct value *item, void *ret), void **ret,
               size_t *ret_n)
{
	size_t n = 0;
	int r = expect_list(in, value, 0);

	if (r < 0 || value->n_items == 0)
		return r;
	*ret = calloc(value->n_items, item_len);
	if (!*ret)
		return reading_no_memory(in);
	for (size_t i = 0; i < value->n_items && !reading_stops(in); i++)
		if (make(in, &value->items[i], (char *)*ret + n * item_len) >= 0)
			n++;
	*ret_n = n;
	return in->first;
}

/* One of a few words; *ret is its index. */
int read_word(struct reading *in, const struct value *value, const char *const *words,
              size_t n_words, const char *expected, size_t *ret)
{
	char shown[SHOW_LEN];
	int r = expect_kind(in, value, VALUE_STRING);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n_words; i++)
		if (strcmp(value->string, words[i]) == 0) {
			*ret = i;
			return 0;
		}
	return reading_fail(in, value, EINVAL, "\"%s\"; expected %s", show(value->string, shown),
	                    expected);
}

/* A uid or gid as a JSON integer. */
static int read_id(struct reading *in, const struct value *value, uint32_t *ret)
{
	if (value->integer < 1 || value->integer > UINT32_MAX - 1)
		return reading_fail(in, value, EINVAL,
		                    "%" PRId64 " is out of range; expected 1 to %" PRIu32
		                    " (root is written \"root\", where it is allowed)",
		                    value->integer, UINT32_MAX - 1);
	*ret = (uint32_t)value->integer;
	return 0;
}

static bool is_digits(const char *text)
{
	return text[strspn(text, "0123456789")] == '\0';
}

static int expect_name(struct reading *in, const struct value *value)
{
	char shown[SHOW_LEN];

	if (value->kind != VALUE_STRING)
		return reading_fail(in, value, EINVAL, "this is %s; expected a name or an integer",
		                    value_kind_name(value->kind));
	if (is_digits(value->string))
		return reading_fail(
			in, value, EINVAL,
			"\"%s\" is no name; expected a name, or an integer without quotes",
			show(value->string, shown));
	return 0;
}

/* An id as it is, or the name of an account that find() knows. what: of such an account */
static int make_id(struct reading *in, const struct value *item, const char *what,
                   int (*find)(const char *name, uint32_t *ret, struct error *err), uint32_t *ret)
{
	char shown[SHOW_LEN];
	struct error err;
	int r;

	if (item->kind == VALUE_INTEGER)
		return read_id(in, item, ret);
	r = expect_name(in, item);
	if (r < 0)
		return r;
	r = find(item->string, ret, &err);
	if (r < 0)
		return reading_keep_error(in, &err);
	if (r == 0)
		return reading_fail(in, item, ENOENT,
		                    "there is no %s \"%s\"; expected a %s of this machine", what,
		                    show(item->string, shown), what);
	return 0;
}

static int find_user(const char *name, uid_t *ret, struct error *err)
{
	gid_t gid;

	return account_find_user(name, ret, &gid, err);
}

int make_uid(struct reading *in, const struct value *item, void *ret)
{
	return make_id(in, item, "user", find_user, ret);
}

int make_gid(struct reading *in, const struct value *item, void *ret)
{
	return make_id(in, item, "group", account_find_group, ret);
}
