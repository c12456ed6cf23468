/* Removal of trees that a stranger made: any depth, any modes, with a fixed number of descriptors.
 */
#pragma once

#include "lib/base/error.h"

/*
 * tree_remove - remove dir_fd/name and everything below
 *
 * Works by descriptors only, never follows a symlink, never crosses a mount. Directories of ours
 * without r, w or x get them first (a closed one needs /proc for that). Memory grows with the
 * depth, by about 50 bytes and a name a level. Nothing at that name is no error.
 *
 * Errors  BLAME_HOST: what the file system said first; the rest is removed all the same
 */
int tree_remove(int dir_fd, const char *name, struct error *err);

/* tree_remove_children - the same for everything in the directory dir_fd, which stays */
int tree_remove_children(int dir_fd, struct error *err);
