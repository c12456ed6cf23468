/* What modes of files let build users do, for who checks a configuration. The kernel decides in the
 * end: where it may say more than a mode does, so is the answer here. */
#pragma once

#include <sys/stat.h>

#include "config.h"

enum {
	MAY_EXECUTE = 1,
	MAY_WRITE = 2,
	MAY_READ = 4,
};

/*
 * permission_any - has some build user one of these rights (MAY_...)?
 *
 * path, st  of the same file, which is looked at again only for a list of more rights (acl(5));
 *           owners may give themselves any right
 * Returns   also true where nobody knows: without a pool, and for ids that are not the accounts'
 */
bool permission_any(const struct config *config, const struct builder *builder, const char *path,
                    const struct stat *st, unsigned rights);

/*
 * builder_warn_write - is this a place of "write" to which no build user can write?
 *
 * Nor to anything in it: names and modes below are looked at until something can be written, only
 * where a build user could look too. After some thousand names it may well be.
 * Returns  true, and in err the warning, with its place in the definition and a hint
 */
bool builder_warn_write(const struct config *config, const struct builder *builder,
                        const struct place *place, struct error *err);
