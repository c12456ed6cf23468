/* The whole configuration at once, for `hatchd --check` and `hatchctl check`: every error, not only
 * the first, and also those that a request would meet later (a command that is missing). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "read.h"

struct config_check {
	size_t n_builders; /* definitions read, right or wrong */
	size_t n_errors;
	size_t n_warnings;
	bool unit_known; /* else nothing is said of what hatchd@.service would have */
};

/*
 * config_check_all - read everything below dir as requests would, and say all that is wrong
 *
 * dir, pool  as for config_load()
 * report     gets each error and warning, in the order of the files; may be NULL
 * Returns    what was found. Definitions are looked at also if hatchd.json has errors, but not at
 *            what they take from it
 */
struct config_check config_check_all(const char *dir, bool pool,
                                     const struct config_report *report);
