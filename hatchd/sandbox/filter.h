/*
 * The seccomp filters of the processes that touch hostile bytes or run hostile code.
 * Source: seccomp(2), docs/security.md "System calls"
 */
#pragma once

#include <stdbool.h>

#include "hatchd/config/seccomp.h"
#include "lib/base/error.h"

/* filter_available - can this kernel load filters at all? */
bool filter_available(void);

/* filter_speaker - reading, writing and memory: no files, no sockets, no processes; anything else
 * kills */
int filter_speaker(struct error *err);

/* filter_tap - the same without sockets: it reads and writes what it holds */
int filter_tap(struct error *err);

/* filter_packer - what reading a tree by descriptors needs; anything else kills */
int filter_packer(struct error *err);

/* filter_unpacker - what making a tree beneath descriptors needs; anything else kills */
int filter_unpacker(struct error *err);

/* filter_gauge - what looking at the sizes of files needs; anything else kills */
int filter_gauge(struct error *err);

/* filter_steward - speaking over what is open, waiting for processes and signals; nothing that
 * opens, makes a process or signals one; anything else kills */
int filter_steward(struct error *err);

/* filter_monitor - for the time when a builder runs: no programs, no attributes, no links, no
 * mounts, no other processes */
int filter_monitor(struct error *err);

/*
 * filter_builder - what the definition's "seccomp" says; none loads nothing
 *
 * By default everything that ordinary programs do, but no namespaces, mounts, keyrings, looks into
 * other processes, kernel interfaces without business in a build, set-id files or terminal
 * injection. For each set of groups there is a program that was made when hatch was built.
 */
int filter_builder(const struct seccomp *seccomp, struct error *err);
