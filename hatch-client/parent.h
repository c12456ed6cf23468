/* The directory that holds something, and its name there. */
#pragma once

/*
 * parent_open - split a path at its last slash, and open what stands before that
 *
 * path      unchanged afterwards
 * flags     of open(2), beside O_DIRECTORY and O_CLOEXEC
 * ret_leaf  points into path; empty if that ends in a slash
 * Returns   a descriptor, or -errno
 */
int parent_open(char *path, int flags, const char **ret_leaf);
