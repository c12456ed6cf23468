/* hatchd --check: everything that can be known before a request comes. */
#pragma once

#include <stdbool.h>

/*
 * check_run - validate the configuration and the host, print what was found
 *
 * state_dir  where scratch is; NULL: where the configuration says
 * layers   also compare the layers of overlays with each other, which reads all of them
 * Returns  exit status: 0 all is well (protections that this host lacks are printed, and are no
 * error), 78 the configuration is at fault, 71 the host lacks what hatchd needs
 */
int check_run(const char *config_dir, const char *state_dir, bool privileged, bool layers);
