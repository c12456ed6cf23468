/* "keep_failed": which files of a request that failed are kept. */
#include <errno.h>

#include "builder.h"
#include "glob.h"
#include "items.h"

enum { GLOBS_MAX = 64 };

static int check_kept(struct reading *in, const struct value *list, const struct value *item)
{
	const char *why;
	int r = expect_kind(in, item, VALUE_STRING);

	if (r < 0)
		return r;
	if (list->n_items > GLOBS_MAX)
		return reading_fail(in, list, EINVAL, "there are %zu patterns; expected at most %d",
		                    list->n_items, GLOBS_MAX);
	why = glob_why_wrong(item->string);
	return why ? reading_fail(in, item, EINVAL,
	                          "%s; expected a pattern on paths below /build, /tmp and outputs",
	                          why)
	           : 0;
}

int read_keep_failed(struct reading *in, const struct value *value, const struct member *row,
                     void *object)
{
	struct builder *builder = object;

	return read_strings(in, value, 0, check_kept, &builder->keep_failed,
	                    &builder->n_keep_failed);
}
