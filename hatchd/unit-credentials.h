/*
 * Which credentials hatchd@.service would have, as far as systemd's settings tell, for
 * `hatchd --check`. Source: systemd.exec(5), "Credentials"; org.freedesktop.systemd1(5)
 */
#pragma once

#include <stddef.h>

#include "lib/base/error.h"

/* LoadCredential= and SetCredential=, and the same encrypted. */
struct unit_credential {
	char *name;
	char *path; /* NULL: the value is in the unit; absolute, or a name in a credential store */
};

struct unit_credentials {
	struct unit_credential *items;
	size_t n_items;
	char **imports; /* ImportCredential=: patterns; NULL-terminated, or NULL */
};

/* unit_credentials_load - ask systemd; 0, or -errno: nothing is known */
int unit_credentials_load(struct unit_credentials *ret);
void unit_credentials_done(struct unit_credentials *credentials);

/*
 * unit_credentials_find - would the service have it?
 *
 * Returns  0 if it would, or nobody can know; -ENOENT it has none of that name, or not what it is
 *          loaded from; -ENODATA it is empty. err says what was expected
 */
int unit_credentials_find(const struct unit_credentials *credentials, const char *name,
                          struct error *err);
