/* "credentials" and "credentials_scan": which secrets of the unit a builder is given. */
#include <errno.h>
#include <string.h>

#include "builder.h"
#include "items.h"

enum {
	CREDENTIALS_MAX = 64,
	NAME_LEN_MAX = 255, /* FDNAME_MAX of systemd, and the longest file name */
};

/* What systemd takes for one: a file name of printable ASCII without ':'. */
static bool is_credential_name(const char *name)
{
	size_t len = strlen(name);

	for (const char *c = name; *c; c++)
		if (*c < ' ' || *c > '~' || *c == ':' || *c == '/')
			return false;
	return len > 0 && len <= NAME_LEN_MAX && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static bool is_there_before(const struct value *list, const struct value *item)
{
	for (const struct value *before = list->items; before < item; before++)
		if (before->kind == VALUE_STRING && strcmp(before->string, item->string) == 0)
			return true;
	return false;
}

static int check_name(struct reading *in, const struct value *list, const struct value *item)
{
	char shown[SHOW_LEN];
	int r = expect_kind(in, item, VALUE_STRING);

	if (r < 0)
		return r;
	if (!is_credential_name(item->string))
		return reading_fail(in, item, EINVAL,
		                    "\"%s\" is no name of a credential; expected a file name of at "
		                    "most %d characters of ASCII without \":\"",
		                    show(item->string, shown), NAME_LEN_MAX);
	if (is_there_before(list, item))
		return reading_fail(in, item, EINVAL,
		                    "%s is in the list already; expected each name once",
		                    item->string);
	return 0;
}

int read_credentials(struct reading *in, const struct value *value, const struct member *row,
                     void *object)
{
	struct builder *builder = object;
	int r = expect_list(in, value, 0);

	if (r < 0)
		return r;
	if (value->n_items > CREDENTIALS_MAX)
		return reading_fail(in, value, EINVAL, "%zu credentials; expected at most %d",
		                    value->n_items, CREDENTIALS_MAX);
	return read_strings(in, value, 0, check_name, &builder->credentials,
	                    &builder->n_credentials);
}

int check_scan(struct reading *in, struct builder *builder)
{
	if (builder->credentials_scan || builder->n_credentials > 0)
		return in->first;
	return reading_fail(in, value_member(&in->doc->root, "credentials_scan"), EINVAL,
	                    "there are no credentials to look for; expected the key credentials "
	                    "too");
}
