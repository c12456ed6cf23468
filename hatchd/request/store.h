/* Which files of the host's store are the very same for the Nix build that asks. */
#pragma once

#include "peer.h"

/*
 * store_open_input - open a path of the host's store, or inside of one, if the Nix build that asks
 * has it too
 *
 * What stands at the same store path in the build's own root must be the very same file or
 * directory, by device and inode. A build cannot arrange that for what it was not given: it can
 * mount and link only what it sees. Of a symlink, which Nix makes anew, the text must be the same:
 * nothing else of it is ever shown. The same holds for what lies inside, where both lead to it
 * without a link or a mount on the way.
 *
 * path    from store_dir: one component, or one and what path_is_inner() takes
 * ret_fd  O_PATH, in our own mount namespace: so the path is also in use for Nix's collector
 * Returns 1; 0 it is not the build's, or no build is known; BLAME_HOST: we ran out of something
 */
int store_open_input(const struct peer *peer, const char *store_dir, const char *base, int *ret_fd,
                     struct error *err);
