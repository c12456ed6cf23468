/*
 * The doorkeeper in front of libarchive: lets pass only the few kinds of tar header that
 * tree_pack() writes, so that the many others, and the many ways to read a damaged one, never
 * reach the big parser. It is fed bytes and keeps no descriptor; names and their order are judged
 * by tree_unpack().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/error.h"

enum {
	TAR_BLOCK_LEN = 512,
	TAR_PAX_MAX = 16 * 1024, /* body of a pax header: two names of 4 KiB and a bit */
};

enum tar_guard_state {
	TAR_HEADER,  /* a header block, or the first of the two zero blocks at the end */
	TAR_PAX,     /* body of a pax header */
	TAR_BODY,    /* body of a file */
	TAR_PADDING, /* zeros up to the next block */
	TAR_ZEROS,   /* the second zero block */
	TAR_END,     /* nothing may follow */
};

struct tar_guard {
	enum tar_guard_state state;
	uint64_t offset; /* of the next byte */
	uint64_t left;   /* bytes of the body or padding still to come */
	size_t padding;  /* zeros after the body */

	size_t block_len;
	unsigned char block[TAR_BLOCK_LEN];

	/* What a pax header said about the header after it. */
	bool pax_seen;
	bool path_seen;
	bool path_is_dir; /* ends in a slash */
	bool linkpath_seen;
	bool size_seen;
	uint64_t size;

	size_t pax_len;
	char pax[TAR_PAX_MAX];
};

void tar_guard_init(struct tar_guard *guard);

/*
 * tar_guard_feed - judge the next bytes of the stream
 *
 * Returns 0 or -EBADMSG; after that the guard must not be fed again
 * Errors  BLAME_PEER -EBADMSG: what is wrong, and at which byte
 * Source  docs/protocol.md, "Output streams"; POSIX.1-2017, pax, "ustar Interchange Format"
 */
int tar_guard_feed(struct tar_guard *guard, const void *bytes, size_t len, struct error *err);

/* tar_guard_end - the stream ended here; 0 if it may, or -EBADMSG */
int tar_guard_end(const struct tar_guard *guard, struct error *err);
