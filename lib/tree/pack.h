/* From a tree on disk to a sorted, normalised tar stream. */
#pragma once

#include "tree.h"

/* Where the stream goes: called with at most TREE_CHUNK_MAX bytes; 0 or a negative errno (err set).
 */
struct tree_sink {
	int (*write)(void *context, const void *bytes, size_t len, struct error *err);
	void *context;
};

enum { TREE_CHUNK_MAX = 1024 * 1024 };

/*
 * tree_pack - walk dir_fd/name and write it as one tar stream
 *
 * Equal trees give equal bytes: depth first, the names of a directory sorted bytewise; files 0644,
 * or 0755 if their owner may execute them, directories 0755, symlinks 0777; owner 0, mtime 1, no
 * names of owners, no xattrs. A file with several names in the tree is sent once. Never follows a
 * symlink, never crosses a mount, never opens what is not a regular file or directory. The caller
 * sees to it that nothing changes the tree meanwhile. A directory or file of ours without the bits
 * that reading needs gets them first; for a file and for a closed directory that needs /proc.
 *
 * dir_fd  directory that holds the tree; borrowed
 * name    one component
 * limits  NULL for none
 * Errors  BLAME_BUILD: -ENOENT nothing there, -EINVAL a fifo, socket, device or whiteout (named),
 *         -EXDEV another mount, -EFBIG, -E2BIG above the limit of bytes or entries, -ELOOP too
 *         deep, -ENAMETOOLONG, -EBUSY it changed meanwhile; what the sink returned; BLAME_HOST for
 *         the rest
 * Source  docs/protocol.md, "Output streams"; docs/security.md
 */
int tree_pack(int dir_fd, const char *name, const struct tree_limits *limits,
              const struct tree_sink *sink, struct tree_totals *ret, struct error *err);
