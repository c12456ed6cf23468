/*
 * Units of named resources: one lock file each, made when it is first taken.
 *
 *   STATE/pool/resource/NAME.0, NAME.1, ...
 *
 * A unit is held as long as its lock is, which init inherits like the slot's, and after a crash as
 * long as the slot of its holder was not cleared: the kernel lets go of init's locks a moment
 * before it has killed the rest of the sandbox. For pool.c only, with the guard held.
 */
#pragma once

#include "fair.h"
#include "lib/base/error.h"

/* Who knows the slots. */
struct left {
	/* of the record of a unit that nobody locks any more: does the slot of that holder still
	 * have to be cleared? 1, 0 or a negative errno */
	int (*find)(void *context, const struct slot_record *record, struct error *err);
	void *context;
};

/* resource_look - take from each stock what is held of it; 0 or a negative errno */
int resource_look(int dir_fd, struct stock *stocks, size_t n_stocks, const struct left *left,
                  struct error *err);

/*
 * resource_take - take the first count units of a resource that are free
 *
 * ret_fds  room for count; locked, and their files are empty
 * Returns  1, 0 if there are not so many, or a negative errno
 */
int resource_take(int dir_fd, const char *name, uint64_t count, const struct left *left,
                  int *ret_fds, struct error *err);
