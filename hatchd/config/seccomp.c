/* "seccomp": which system calls a builder may make. */
#include "seccomp.h"

#include <errno.h>
#include <string.h>

#include "builder.h"
#include "items.h"

static const char expected[] = "\"default\", \"none\", or a list of \"@debug\", \"@io-uring\", "
			       "\"@userns\", \"@i386\"";

static const struct group {
	const char *name;
	enum seccomp_group bit;
	bool implied; /* by another key: not to be written */
} groups[] = {
	{ "@debug", SECCOMP_DEBUG },         { "@io-uring", SECCOMP_IO_URING },
	{ "@userns", SECCOMP_USERNS },       { "@i386", SECCOMP_I386 },
	{ "@owners", SECCOMP_OWNERS, true },
};

#if defined(__x86_64__)
static const unsigned possible_groups = SECCOMP_COMBINATIONS - 1;
#else
static const unsigned possible_groups = (SECCOMP_COMBINATIONS - 1) & ~SECCOMP_I386;
#endif

const char *seccomp_group_name(unsigned bit)
{
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
		if (groups[i].bit == bit)
			return groups[i].name;
	return NULL;
}

static int read_group(struct reading *in, const struct value *item, struct seccomp *seccomp)
{
	char shown[SHOW_LEN];
	int r = expect_kind(in, item, VALUE_STRING);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		if (groups[i].implied || strcmp(item->string, groups[i].name) != 0)
			continue;
		if (!(groups[i].bit & possible_groups))
			return reading_fail(in, item, EINVAL,
			                    "%s is for x86-64; expected a list without it",
			                    groups[i].name);
		if (seccomp->groups & groups[i].bit)
			return reading_fail(in, item, EINVAL,
			                    "%s is in the list already; expected each group once",
			                    groups[i].name);
		seccomp->groups |= groups[i].bit;
		return 0;
	}
	return reading_fail(in, item, EINVAL, "\"%s\" is no group of system calls; expected %s",
	                    show(item->string, shown), expected);
}

int read_seccomp(struct reading *in, const struct value *value, const struct member *row,
                 void *object)
{
	static const char *const words[] = { "default", "none" };
	struct builder *builder = object;
	size_t chosen = 0;
	int r;

	if (value->kind == VALUE_STRING) {
		r = read_word(in, value, words, ARRAY_SIZE(words), expected, &chosen);
		builder->seccomp.none = r == 0 && chosen == 1;
		return r;
	}
	if (value->kind != VALUE_ARRAY)
		return reading_fail(in, value, EINVAL, "this is %s; expected %s",
		                    value_kind_name(value->kind), expected);
	r = expect_list(in, value, 1);
	for (size_t i = 0; r == 0 && i < value->n_items && !reading_stops(in); i++)
		(void)read_group(in, &value->items[i], &builder->seccomp);
	return r < 0 ? r : in->first;
}
