/* Readers for lists and words: what several groups of keys are made of. */
#include "items.h"

#include <errno.h>
#include <string.h>

#include "lib/derivation/derivation.h"

void strv_free(char **strings)
{
	for (size_t i = 0; strings && strings[i]; i++)
		free(strings[i]);
	free(strings);
}

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

int check_feature(struct reading *in, const struct value *list, const struct value *item)
{
	int r = expect_text(in, item, DERIVATION_FEATURE_MAX);

	if (r < 0)
		return r;
	if (item->string[0] == '\0' || strpbrk(item->string, " \t\r\n"))
		return reading_fail(in, item, EINVAL,
		                    "no derivation can require this; expected the name of a "
		                    "feature, such as \"hatch-fpga\"");
	return 0;
}
