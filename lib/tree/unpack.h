/* From a tar stream that nobody vouches for to a tree on disk. */
#pragma once

#include <sys/types.h>

#include "tree.h"

/* What is unpacked costs more than its files hold: so of limits->bytes a directory takes this, and
 * a symlink the length of its target. Beside that the file system may keep a block for each entry.
 */
enum { TREE_DIRECTORY_PRICE = 4096 };

/*
 * Where the stream comes from. Returns how many bytes (*ret_bytes stays valid until the next
 * call), 0 at the end of the stream, or a negative errno with err set.
 */
struct tree_source {
	ssize_t (*read)(void *context, const void **ret_bytes, struct error *err);
	void *context;
};

/* Who looks at what is unpacked, while it is in memory. */
struct tree_watcher {
	/*
	 * The next bytes of a file, or the whole target of a symlink. What is empty is not shown,
	 * nor are further names of a file.
	 *
	 * path  of the entry below the root, whose own is ""; it and bytes are valid during the
	 *       call
	 * left  bytes of the same file that are still to come
	 */
	void (*see)(void *context, const char *path, const void *bytes, size_t len, uint64_t left);
	void *context;
};

/*
 * tree_unpack - create dir_fd/name from one tar stream
 *
 * Takes only what tree_pack() writes: anything else is an error, and what was written is removed
 * again. Creates beneath descriptors with O_EXCL and O_NOFOLLOW; never walks through a symlink.
 * Modes are those of the stream, whatever the umask; owner and times are the process's. Long runs
 * of zeros become holes. The stream is read to its end, so that a byte too many is seen.
 *
 * dir_fd  existing directory; borrowed. name: one component that does not exist yet
 * limits  NULL for none but the machine's
 * used    what is counted on from; NULL: from nothing
 * ret     what was read, to be compared with the end record by the caller, who calls
 *         tree_remove() if it differs
 * Errors  BLAME_PEER: -EBADMSG not a stream of ours; -EFBIG, -E2BIG, -ELOOP above a limit;
 *         BLAME_HOST: -EEXIST name is there (and stays as it is), what else the file system said,
 *         -ENOMEM; what the source returned
 * Source  docs/protocol.md, "Output streams"
 */
int tree_unpack(int dir_fd, const char *name, const struct tree_limits *limits,
                struct tree_used *used, const struct tree_source *source, struct tree_totals *ret,
                struct error *err);

/* tree_unpack_watched - the same, before somebody's eyes */
int tree_unpack_watched(int dir_fd, const char *name, const struct tree_limits *limits,
                        struct tree_used *used, const struct tree_source *source,
                        const struct tree_watcher *watcher, struct tree_totals *ret,
                        struct error *err);
