/* From a tree on disk to a sorted, normalised tar stream. */
#pragma once

#include <stdbool.h>

#include "tree.h"

/* Where the stream goes: called with at most TREE_CHUNK_MAX bytes; 0 or a negative errno (err set).
 */
struct tree_sink {
	int (*write)(void *context, const void *bytes, size_t len, struct error *err);
	void *context;
};

enum { TREE_CHUNK_MAX = 1024 * 1024 };

/* What of a tree tree_look() shows. */
enum tree_part {
	TREE_PART_NAME,   /* of an entry: its whole path, the root's being TREE_ROOT_NAME */
	TREE_PART_TARGET, /* of a symlink */
	TREE_PART_BODY,   /* of a file, which may come in several pieces, in order */
};

/* Whoever wants to see a tree before it is sent: 0 or a negative errno (err set), which ends the
 * look. path is that of the entry; first: bytes are not the continuation of the last call's. */
struct tree_eye {
	int (*see)(void *context, enum tree_part part, const char *path, bool first,
	           const void *bytes, size_t len, struct error *err);
	void *context;
};

/* A tree on disk. */
struct tree_root {
	int dir_fd;       /* the directory that holds it; borrowed */
	const char *name; /* one component, or "." for the directory itself */
	const char *as;   /* how sentences name it, at most TREE_NAME_MAX bytes */
};

/* What is chosen: called for each file and symlink with its path below the root ("" for the root
 * itself, if it is one). */
struct tree_choice {
	bool (*wants)(void *context, const char *path);
	void *context;
	const struct tree_eye
		*eye; /* sees each entry first, and what it refuses is left out; or NULL */
};

/*
 * tree_pack - walk a tree and write it as one tar stream
 *
 * Equal trees give equal bytes: depth first, the names of a directory sorted bytewise; files 0644,
 * or 0755 if their owner may execute them, directories 0755, symlinks 0777; owner 0, mtime 1, no
 * names of owners, no xattrs. A file with several names in the tree is sent once. Never follows a
 * symlink, never crosses a mount, never opens what is not a regular file or directory. The caller
 * sees to it that nothing changes the tree meanwhile. A directory or file of ours without the bits
 * that reading needs gets them first; for a file and for a closed directory that needs /proc.
 *
 * root    its name is one component
 * limits  NULL for none
 * used    what is counted on from; NULL: from nothing
 * Errors  BLAME_BUILD: -ENOENT nothing there, -EINVAL a fifo, socket, device or whiteout (named),
 *         -EXDEV another mount, -EFBIG, -E2BIG above the limit of bytes or entries, -ELOOP too
 *         deep, -ENAMETOOLONG, -EBUSY it changed meanwhile; what the sink returned; BLAME_HOST for
 *         the rest
 * Source  docs/protocol.md, "Output streams"; docs/security.md
 */
int tree_pack(const struct tree_root *root, const struct tree_limits *limits,
              struct tree_used *used, const struct tree_sink *sink, struct tree_totals *ret,
              struct error *err);

/*
 * tree_pack_as_it_is - the same for a tree that its owner goes on with
 *
 * No mode is changed: what cannot be read ends it. The root may be a mount of its own, and its name
 * may be "." for the directory itself; what is mounted below the root is still an error.
 * Errors  as for tree_pack()
 */
int tree_pack_as_it_is(const struct tree_root *root, const struct tree_limits *limits,
                       const struct tree_sink *sink, struct tree_totals *ret, struct error *err);

/*
 * tree_look - walk a tree as tree_pack() would, and show all of it to somebody
 *
 * Every byte that tree_pack() would send is shown, and a path before anything else of its entry,
 * also before it can be in an error. Nothing is sent.
 * Errors  as for tree_pack(), with what the eye returned in place of the sink
 */
int tree_look(const struct tree_root *root, const struct tree_limits *limits,
              struct tree_used *used, const struct tree_eye *eye, struct error *err);

/*
 * tree_pack_chosen - write some files of several trees as one tar stream, for people to look into
 *
 * As tree_pack(), but what cannot be packed is left out instead of ending it: what is no file or
 * symlink, is too deep, is not readable, or would take the stream above the limits. Directories
 * have no entries of their own.
 *
 * roots   with a dir_fd of -1: passed over. as is also its name in the stream, of one component or
 *         more
 * limits  bytes is that of the whole stream; entries counts what is looked at, chosen or not
 * Errors  what the sink returned; BLAME_BUILD -EBUSY a file changed meanwhile; BLAME_HOST -ENOMEM
 */
int tree_pack_chosen(const struct tree_root *roots, size_t n_roots,
                     const struct tree_choice *choice, const struct tree_limits *limits,
                     const struct tree_sink *sink, struct error *err);
