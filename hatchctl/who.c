/* getpwnam(3) and its kin, for a program that does nothing else meanwhile. */
#include "who.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/text.h"

static const char *name_or_number(const char *name, uint32_t number, char buf[ACCOUNT_LEN])
{
	if (name)
		(void)snprintf(buf, ACCOUNT_LEN, "%s", name);
	else
		(void)snprintf(buf, ACCOUNT_LEN, "%" PRIu32, number);
	return buf;
}

const char *user_text(uid_t uid, char buf[ACCOUNT_LEN])
{
	const struct passwd *user = getpwuid(uid);

	return name_or_number(user ? user->pw_name : NULL, uid, buf);
}

const char *group_text(gid_t gid, char buf[ACCOUNT_LEN])
{
	const struct group *group = getgrgid(gid);

	return name_or_number(group ? group->gr_name : NULL, gid, buf);
}

/* 4294967295 means "none" to the kernel. */
static int read_number(const char *text, uint32_t *ret)
{
	uint64_t number;

	if (text_to_u64(text, UINT32_MAX - 1, &number) < 0)
		return -ENOENT;
	*ret = (uint32_t)number;
	return 0;
}

int user_find(const char *text, uid_t *ret)
{
	const struct passwd *user;

	if (read_number(text, ret) == 0)
		return 0;
	user = getpwnam(text);
	if (!user)
		return -ENOENT;
	*ret = user->pw_uid;
	return 0;
}

int group_find(const char *text, gid_t *ret)
{
	const struct group *group;

	if (read_number(text, ret) == 0)
		return 0;
	group = getgrnam(text);
	if (!group)
		return -ENOENT;
	*ret = group->gr_gid;
	return 0;
}

const char *derivation_name(const char *derivation, char buf[DERIVATION_LEN])
{
	enum { HASH_LEN = 32 + 1 };
	static const char end[] = ".drv";
	size_t len = strlen(derivation), end_len = sizeof(end) - 1;

	if (len <= HASH_LEN + end_len || derivation[HASH_LEN - 1] != '-' ||
	    strcmp(derivation + len - end_len, end) != 0)
		(void)snprintf(buf, DERIVATION_LEN, "%s", derivation);
	else
		(void)snprintf(buf, DERIVATION_LEN, "%.*s", (int)(len - HASH_LEN - end_len),
		               derivation + HASH_LEN);
	return buf;
}
