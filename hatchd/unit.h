/*
 * What hatchd@.service would have, as far as systemd tells: limits and credentials. For who is not
 * that service: `hatchd --check` and hatchctl. Source: systemd.exec(5), "Credentials" and "Process
 * Properties"; org.freedesktop.systemd1(5)
 */
#pragma once

#include <stdbool.h>

#include "hatchd/sandbox/rlimits.h"

/* One of LoadCredential= and its kin. */
struct unit_credential {
	const char *setting; /* its name, without "=" */
	char *name;          /* of ImportCredential: a pattern, fnmatch(3) */
	char *path; /* NULL: the value is in the unit, or is imported; absolute, or a name in a
	               credential store */
};

struct unit {
	bool known; /* else all of this is empty */
	struct rlimits limits;
	struct unit_credential *credentials;
	size_t n_credentials;
};

#define cleanup_unit cleanup_(unit_done)

/* unit_load - ask systemd. Where it does not answer, or knows no such unit, nothing is known */
void unit_load(struct unit *ret);
void unit_done(struct unit *unit);

/* unit_limits - for rlimits_check() and rlimits_given(): NULL if nothing is known */
const struct rlimits *unit_limits(const struct unit *unit);

/*
 * unit_check_source - does systemd find what credentials[i] is loaded from?
 *
 * It is asked for all of them, whoever names them: without one of them the service does not start,
 * and so serves no request. Errors  BLAME_HOST -ENOENT, -ENOTDIR
 */
int unit_check_source(const struct unit *unit, size_t i, struct error *err);

/*
 * unit_check_credential - would the service have the one that is builder->credentials[i]?
 *
 * ret      from which setting of the unit; NULL if nothing is known. May itself be NULL
 * Returns  0 if it would, or nobody can know; -ENOENT it has none of that name, or not what it is
 *          loaded from; -ENODATA it is empty: BLAME_HOST, with the place in the definition and what
 *          was expected
 */
int unit_check_credential(const struct unit *unit, const struct builder *builder, size_t i,
                          const struct unit_credential **ret, struct error *err);
