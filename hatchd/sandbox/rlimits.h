/*
 * Resource limits of a builder's processes: a table of ours, on top of it what its definition says.
 * Source: setrlimit(2); hatch-builder(5), "rlimits"
 */
#pragma once

#include "hatchd/config/config.h"

/*
 * rlimits_check - can this process, and so a builder, be given what the definition says?
 *
 * A hard limit above our own cannot be set without a capability that hatchd does not have.
 * Errors  BLAME_POLICY -EPERM, naming the limit and the setting of the unit
 */
int rlimits_check(const struct builder *builder, struct error *err);

struct rlimit_given {
	const char *name;    /* as in setrlimit(2), in lower case without RLIMIT_ */
	uint64_t soft, hard; /* UINT64_MAX: none */
};

/* rlimits_given - the limits that builders are given, one after the other, where the service itself
 * may have as much; false: there is no such row */
bool rlimits_given(const struct limits *limits, size_t row, struct rlimit_given *ret);

/* rlimits_set - limit this process for ever; 0 or -errno. A limit of our own table that is above
 * the hard one of this process stays at that */
int rlimits_set(const struct limits *limits);
