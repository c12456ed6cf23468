/*
 * Which features a derivation requires, read from it by a process without rights. For the server
 * and for hatch-pre-build-hook.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "hatchd/sandbox/privilege.h"
#include "lib/base/error.h"

enum { FEATURES_TEXT_MAX = 16 * 1024 };

/* Names, each with a NUL behind it. */
struct features {
	char text[FEATURES_TEXT_MAX];
	size_t len;
};

/* Where a derivation stands. */
struct derivation_source {
	int fd;    /* read from its position on; borrowed */
	bool json; /* what it holds; else what Nix keeps in the store */
};

/*
 * features_open - open the file of a derivation
 *
 * path      in a store; its last component is not followed if it is a link
 * Returns   1, 0 there is no such file, or a negative errno: BLAME_HOST -EINVAL no regular file,
 *           -EPERM somebody other than root could have written it, what open(2) says
 */
int features_open(const char *path, uid_t owner_uid, int *ret_fd, struct error *err);

/*
 * features_account - who is to read it, for a program that cannot ask for accounts by name
 *
 * name    looked for in /etc/passwd alone: a static program has no name service. NULL: the user
 *         "hatch", and where there is none uid 65534
 * ret     without root it is oneself
 * Errors  BLAME_HOST -ENOENT there is no such user, -EPERM it is root or of root's group
 */
int features_account(const char *name, struct account *ret, struct error *err);

/*
 * features_read - have a process read it that has nothing but the source and a pipe to us
 *
 * Returns after five seconds at most: the process has no more time, and 32 MiB of memory.
 *
 * account  who it becomes; never root
 * Errors   as of derivation_parse_aterm(); BLAME_PEER -E2BIG names of more than FEATURES_TEXT_MAX
 *          bytes, -EFBIG it takes more than that memory; BLAME_HOST what fork(2) and pipe(2) say,
 *          -ETIMEDOUT it takes more than that time, -ECHILD the process died
 */
int features_read(const struct derivation_source *source, const struct account *account,
                  struct features *ret, struct error *err);

/* features_are_whole - of bytes that a stranger wrote: can the others here go by them? */
bool features_are_whole(const struct features *features);

/* features_add - append a name; 0, or -E2BIG */
int features_add(struct features *features, const char *name);

/* features_next - the name behind this one, the first for NULL; NULL behind the last */
const char *features_next(const struct features *features, const char *name);

/* features_have - is the name among them? */
bool features_have(const struct features *features, const char *name);
