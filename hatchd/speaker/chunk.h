/*
 * What goes through the tree pipes, from packer to speaker and from speaker to unpacker: pieces of
 * a tar stream with a length in front, each tree ended by its totals. Both ends run this code, but
 * the one that writes has read what strangers made: the one that reads checks.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/tree/tree.h"

enum chunk_kind {
	CHUNK_BYTES = 1, /* len bytes follow */
	CHUNK_END,       /* a struct chunk_totals follows */
};

struct chunk {
	uint32_t kind;
	uint32_t len; /* of what follows; of bytes at most WIRE_ATTACHMENT_MAX */
};

struct chunk_totals {
	uint64_t entries, bytes;
	char sha256[DIGEST_HEX_LEN + 1];
};

/* chunk_write - one piece of a stream; 0 or -errno */
int chunk_write(int fd, const void *bytes, size_t len);

/* chunk_write_end - the totals of a tree; 0 or -errno */
int chunk_write_end(int fd, const struct tree_totals *totals);

/* chunk_read - the head of the next one, checked. Returns 1, 0 at the end of the pipe, or -errno:
 * -EBADMSG of no kind, or too long */
int chunk_read(int fd, struct chunk *ret);

/* chunk_read_end - what stands behind the head of a CHUNK_END; 0 or -errno */
int chunk_read_end(int fd, struct tree_totals *ret);
