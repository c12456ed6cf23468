/* Readers for accounts, by name or number. In a file of their own: who links them links the name
 * service. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "accounts.h"
#include "items.h"

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

/* An id as it is, or the name of an account that find() knows. what: of such an account */
static int make_id(struct reading *in, const struct value *item, const char *what,
                   int (*find)(const struct config *config, const char *name, uint32_t *ret,
                               struct error *err),
                   uint32_t *ret)
{
	char shown[SHOW_LEN];
	struct error err;
	int r;

	if (item->kind == VALUE_INTEGER)
		return read_id(in, item, ret);
	r = expect_name(in, item);
	if (r < 0)
		return r;
	r = find(in->config, item->string, ret, &err);
	if (r < 0)
		return reading_keep_error(in, &err);
	if (r == 0)
		return reading_fail(in, item, ENOENT,
		                    "there is no %s \"%s\"; expected a %s of this machine", what,
		                    show(item->string, shown), what);
	return 0;
}

int make_uid(struct reading *in, const struct value *item, void *ret)
{
	return make_id(in, item, "user", find_user, ret);
}

int make_gid(struct reading *in, const struct value *item, void *ret)
{
	return make_id(in, item, "group", find_group, ret);
}
