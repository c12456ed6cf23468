/*
 * How many connections one user may have at once, so that nobody has them all: systemd counts them
 * by user only since version 256.
 */
#pragma once

#include <sys/types.h>

#include "lib/base/error.h"

enum { SHARE_MAX = 65536 };

/*
 * share_take - take one of the places of a user
 *
 * state_fd   the state directory, as config_open_state() opens it; not in STATE/pool, where all who
 *            wait would wake up
 * max        places that one user has, at most SHARE_MAX
 * ret_fd     set when 1 is returned: the place is free again when nobody has this open file any
 *            more, however its holders ended
 * Returns    1; 0 the user has them all; or a negative errno
 * Errors     BLAME_HOST: what open(2) and fcntl(2) say, -EPERM what stands at the path of the file
 *            is not our own
 */
int share_take(int state_fd, uid_t uid, unsigned max, int *ret_fd, struct error *err);
