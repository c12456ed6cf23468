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

enum { SOMEBODY = 1 }; /* stands for any account but root's */

/* Whether there is an account is for its own machine to say; that of root has a number everywhere.
 */
static int find_offline(const char *name, uint32_t *ret)
{
	*ret = strcmp(name, "root") == 0 ? 0 : SOMEBODY;
	return 1;
}

static int find_user(const struct config *config, const char *name, uid_t *ret, struct error *err)
{
	gid_t gid;

	return config->offline ? find_offline(name, ret) : account_find_user(name, ret, &gid, err);
}

static int find_group(const struct config *config, const char *name, gid_t *ret, struct error *err)
{
	return config->offline ? find_offline(name, ret) : account_find_group(name, ret, err);
}

int make_uid(struct reading *in, const struct value *item, void *ret)
{
	char shown[SHOW_LEN];
	struct error err;
	int r;

	if (item->kind == VALUE_INTEGER)
		return read_id(in, item, ret);
	r = expect_name(in, item);
	if (r < 0)
		return r;
	r = find_user(in->config, item->string, ret, &err);
	if (r < 0)
		return reading_keep_error(in, &err);
	if (r == 0)
		return reading_fail(in, item, ENOENT,
		                    "there is no user \"%s\"; expected a user of this machine",
		                    show(item->string, shown));
	return 0;
}

int make_gid(struct reading *in, const struct value *item, void *ret)
{
	char shown[SHOW_LEN];
	struct error err;
	int r;

	if (item->kind == VALUE_INTEGER)
		return read_id(in, item, ret);
	r = expect_name(in, item);
	if (r < 0)
		return r;
	r = find_group(in->config, item->string, ret, &err);
	if (r < 0)
		return reading_keep_error(in, &err);
	if (r == 0)
		return reading_fail(in, item, ENOENT,
		                    "there is no group \"%s\"; expected a group of this machine",
		                    show(item->string, shown));
	return 0;
}
