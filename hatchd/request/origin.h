/* Which derivation the Nix build is that a peer comes from, as far as that can be proven. */
#pragma once

#include "peer.h"

/*
 * origin_find - prove which derivation asks
 *
 * peer     with its pid_fd; gets derivation and root_fd, or derivation_why
 * Returns  1, or 0: none is known
 * Errors   BLAME_HOST: our own namespace cannot be read, or as look_failed()
 */
int origin_find(const char *store_dir, struct peer *peer, struct error *err);

/*
 * origin_from_root - the derivation that a mount's root directory names
 *
 * root      field 4 of proc_pid_mountinfo(5) for "/"
 * ret       "<hash>-<name>.drv" when true is returned
 * ret_tail  what follows ".drv": ".chroot" or ".chroot/root"
 */
bool origin_from_root(const char *root, char ret[DERIVATION_MAX + 1], const char **ret_tail);
