/*
 * Ranges of ids, and who else on this machine was given some of them.
 */
#pragma once

#include <stdint.h>

#include "read.h"

enum { RANGE_LEN = 65536 }; /* ids of one slot */

/* A line of a file of accounts. */
struct id_use {
	const char *path; /* as given */
	size_t line;
	char text[SHOW_LEN]; /* of the line, escaped */
};

/*
 * range_find_subids - does a file like /etc/subuid give away an id of first up to, but not with,
 * end?
 *
 * Lines that are none are skipped, as newuidmap(1) does
 * Returns  1 and *ret, 0 if not or if there is no such file, or a negative errno. Source: subuid(5)
 */
int range_find_subids(const char *path, uint64_t first, uint64_t end, struct id_use *ret);

/* range_find_account - the same for accounts: a file like /etc/passwd or /etc/group, whose third
 * field is an id */
int range_find_account(const char *path, uint64_t first, uint64_t end, struct id_use *ret);

/* range_check_user - is a build user's uid or gid one that an ordinary user was given for
 * containers? Then a container can use up the user's processes, and reach into its requests. Errors
 * BLAME_HOST -EINVAL, naming the line */
int range_check_user(const struct build_user *user, struct error *err);

/* check_range - of hatchd.json: "range_base" gives every slot ids that are nobody else's; offline
 * only, ids that there are */
int check_range(struct reading *in, const struct config *config);
