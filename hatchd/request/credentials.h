/*
 * The secrets of a builder: systemd credentials of the unit that serves requests, read by the
 * monitor, and what looks for them in what leaves the builder.
 * Source: systemd.exec(5), "Credentials"; hatch-builder(5), "credentials"
 */
#pragma once

#include "hatchd/config/config.h"
#include "lib/scan/scan.h"

enum { CREDENTIAL_MAX = 1024 * 1024 /* bytes of one, as for systemd */ };

struct credential {
	const char *name; /* the builder's */
	char *bytes;
	size_t len;
};

struct credentials {
	struct credential *items;
	size_t n_items;
	struct scan *scan; /* NULL: nothing is to be looked for, or nothing is long enough */
};

/*
 * credentials_read - what a builder's definition names, from the directory of the unit
 *
 * dir      $CREDENTIALS_DIRECTORY; NULL: the unit has none
 * ret      set on success; release with credentials_done()
 * Errors   BLAME_HOST: -ENOENT the unit has none of that name, -ENODATA it is empty, -EFBIG too
 *          long, or too long to be looked for, -ENOMEM, what open(2) and read(2) say. The error
 *          names the credential and what to do; no error ever holds a value
 */
int credentials_read(const struct builder *builder, const char *dir, struct credentials *ret,
                     struct error *err);

/* credentials_done - wipes the values */
void credentials_done(struct credentials *credentials);
