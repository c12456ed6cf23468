/*
 * A directory tree, a file or a symlink as a tar stream, and back: what both sides agree on.
 * docs/protocol.md, "Output streams", describes the bytes.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/base/digest.h"
#include "lib/base/error.h"

/* The name of the root entry; everything else is "output/..." */
#define TREE_ROOT_NAME "output"

enum {
	TREE_DEPTH_MAX = 64,    /* directories below the root */
	TREE_NAME_MAX = 255,    /* bytes of one component */
	TREE_PATH_MAX = 4095,   /* bytes of a whole name in the stream */
	TREE_TARGET_MAX = 4095, /* bytes of a symlink's target */
};

struct tree_limits {
	uint64_t bytes;   /* apparent size of all regular files together; see unpack.h for what else
	                     counts there */
	uint64_t entries; /* files, directories, symlinks and further names of a file, the root
	                     included */
};

/* What of the limits is taken; kept over several trees, they hold for all of them together. */
struct tree_used {
	uint64_t bytes, entries; /* as in struct tree_limits */
};

/* What an end record says of a stream; docs/protocol.md, "output-end". */
struct tree_totals {
	uint64_t entries;
	uint64_t bytes; /* of the tar stream */
	char sha256[DIGEST_HEX_LEN + 1];
};
