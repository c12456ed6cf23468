/*
 * What a cgroup is told to hold and asked for afterwards: limits, and what was used of them.
 * Source: the kernel's admin-guide/cgroup-v2; hatch-builder(5), "limits"
 */
#pragma once

#include "cgroup.h"
#include "hatchd/config/config.h"
#include "usage.h"

enum { CONTROL_MISSING_MAX = 256 };

/* Files of a request's group, or of the unit's where the request has no group with controllers.
 * Opened before the builder starts, so that they can be read with no privilege left. */
struct meter {
	int memory_peak_fd, memory_events_fd, cpu_stat_fd, io_stat_fd, pids_peak_fd; /* -1: none */
};

#define NO_METER                   \
	(struct meter)             \
	{                          \
		-1, -1, -1, -1, -1 \
	}

/* control_is_asked - does a definition ask for a limit that only a cgroup can hold? */
bool control_is_asked(const struct limits *limits);

/*
 * control_missing - which of the limits that are asked for cannot be held here
 *
 * group_fd  of the group whose child is to have them: the unit's own; -1: there is none
 * ret       keys of "limits", separated by commas; empty: all can be held
 */
void control_missing(const struct limits *limits, int group_fd, char ret[CONTROL_MISSING_MAX]);

/*
 * control_missing_on_host - the same, for who is not in the unit's group: by the controllers that
 * the host has
 */
void control_missing_on_host(const struct limits *limits, char ret[CONTROL_MISSING_MAX]);

/* control_refuse - say where the first of them stands in the definition, and all of them. Returns
 * -ENOTSUP, BLAME_POLICY; 0 if missing is empty, or they are optional */
int control_refuse(const struct builder *builder, const char *missing, struct error *err);

/*
 * control_apply - have the group hold the limits that are asked for; those that cannot be held are
 * left out
 *
 * A group whose children have controllers may hold no processes itself, so everything in the parent
 * moves to a group beside this one. That costs some milliseconds, and is done only if a limit is
 * asked for.
 * Errors  BLAME_HOST: what the kernel says
 */
int control_apply(const struct cgroup *cgroup, const struct limits *limits, struct error *err);

/* control_exists - does the host have this controller of cgroup v2, for anybody? */
bool control_exists(const char *controller);

/* meter_open - the group's files; for those that it lacks the ones of its parent if that is the
 * unit's own. Never fails: what is not there is not told */
void meter_open(const struct cgroup *cgroup, struct meter *ret);
void meter_done(struct meter *meter);

/* meter_read - everything that was used until now */
struct usage meter_read(const struct meter *meter);
