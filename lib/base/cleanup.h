/*
 * Ownership by the compiler: an owner declared with one of these words is released when its
 * scope ends, and ownership moves only at a visible take_fd() or take_ptr().
 */
#pragma once

#include <dirent.h>
#include <stdlib.h>

#include "fd.h"

#define cleanup_(f)       __attribute__((cleanup(f)))
#define cleanup_fd        cleanup_(fd_closep)
#define cleanup_free      cleanup_(freep)
#define cleanup_directory cleanup_(closedirp)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static inline void freep(void *p)
{
	free(*(void **)p);
}

static inline void closedirp(DIR **directory)
{
	if (*directory)
		(void)closedir(*directory);
}

/* take_ptr - move a pointer out of its owner, which becomes empty */
#define take_ptr(p)                             \
	({                                      \
		__typeof__(*(p)) taken_ = *(p); \
		*(p) = NULL;                    \
		taken_;                         \
	})
