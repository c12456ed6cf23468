/* Who asks, as the administrator writes and reads it: users and groups by name where they have one,
 * derivations without their hash. */
#pragma once

#include <sys/types.h>

enum {
	ACCOUNT_LEN = 64,
	DERIVATION_LEN = 256,
};

/* user_text, group_text - the name of the account, or its number; returns buf */
const char *user_text(uid_t uid, char buf[ACCOUNT_LEN]);
const char *group_text(gid_t gid, char buf[ACCOUNT_LEN]);

/* user_find, group_find - by number or name; 0 or -ENOENT. A number need not have an account */
int user_find(const char *text, uid_t *ret);
int group_find(const char *text, gid_t *ret);

/* derivation_name - "<hash>-<name>.drv" to "<name>"; anything else as it is. Returns buf */
const char *derivation_name(const char *derivation, char buf[DERIVATION_LEN]);
