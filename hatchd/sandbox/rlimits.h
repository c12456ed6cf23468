/*
 * Resource limits of a builder's processes: a table of ours, on top of it what its definition says.
 * Source: setrlimit(2); hatch-builder(5), "rlimits"
 */
#pragma once

#include <sys/resource.h>

#include "hatchd/config/config.h"

/* Those of one process, by RLIMIT_*. */
struct rlimits {
	struct rlimit of[RLIM_NLIMITS];
};

/* rlimits_read - those of this process; 0 or -errno */
int rlimits_read(struct rlimits *ret);

/* What a builder has if nobody says anything. */
struct rlimit_row {
	const char *name; /* of limits.rlimits: as in setrlimit(2), in lower case without RLIMIT_ */
	const char *setting; /* of the unit: systemd.exec(5) */
	int resource;        /* RLIMIT_* */
	uint64_t soft, hard; /* UINT64_MAX: none */
};

/* rlimits_row - one after the other, from 0; NULL: there is no such row */
const struct rlimit_row *rlimits_row(size_t i);

/*
 * rlimits_check - can a builder be given what its definition says?
 *
 * service  the limits of the service: a hard one above these cannot be set without a capability
 *          that hatchd does not have; NULL: nobody knows them
 * Errors   BLAME_POLICY -EPERM, naming file, limit and the setting of the unit
 */
int rlimits_check(const struct builder *builder, const struct rlimits *service, struct error *err);

enum rlimit_origin {
	RLIMIT_OF_DEFINITION,
	RLIMIT_OF_HATCHD,  /* the table */
	RLIMIT_OF_SERVICE, /* it has less than the table */
};

struct rlimit_given {
	uint64_t soft, hard; /* UINT64_MAX: none */
	enum rlimit_origin origin;
};

/* rlimits_given - what a builder is given in one row; limits and service passed rlimits_check() */
struct rlimit_given rlimits_given(const struct rlimit_row *row, const struct limits *limits,
                                  const struct rlimits *service);

/* rlimits_set - limit this process for ever; 0 or -errno */
int rlimits_set(const struct limits *limits);
