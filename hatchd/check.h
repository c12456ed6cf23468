/* hatchd --check: everything that can be known before a request comes. */
#pragma once

#include <stdbool.h>

/* What hatchd --check looks at besides the text of the configuration. */
enum check_scope {
	CHECK_HOST = 1,   /* this host, and what of it the configuration names */
	CHECK_LAYERS = 2, /* the layers of overlays, compared with each other: reads all of them */
};

/*
 * check_run - validate the configuration and the host, print what was found
 *
 * state_dir  where scratch is; NULL: where the configuration says
 * scope      of CHECK_*; without CHECK_HOST the configuration may be that of another machine, and
 *          belong to anybody
 * Returns  exit status: 0 all is well (protections that this host lacks are printed, and are no
 * error), 78 the configuration is at fault, 71 the host lacks what hatchd needs
 */
int check_run(const char *config_dir, const char *state_dir, bool privileged, unsigned scope);
