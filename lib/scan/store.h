/*
 * Which paths of the Nix store a stream of bytes mentions: /nix/store/<hash>-<name>, in full. A
 * hash alone is not looked for: any 32 letters and digits could be one, and only who knows which
 * hashes there are, as Nix does, can tell.
 *
 * A hash has 32 characters, so one of them is the last of each 32 bytes of the text: only those are
 * looked at one by one. Where that is a digit of a hash, the hash would begin behind the last slash
 * before it, which memrchr(3) finds, or not at all. So most bytes are never looked at, and no text,
 * also none made for it, is gone through more than about twice.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define STORE_DIR "/nix/store/"

enum {
	STORE_DIR_LEN = sizeof(STORE_DIR) - 1,
	STORE_HASH_LEN = 32,
	STORE_NAME_MAX = 211,
	STORE_PATH_MAX = STORE_DIR_LEN + STORE_HASH_LEN + 1 + STORE_NAME_MAX,
};

/* A stream that is being read; zero at the beginning but for the first two. */
struct store_scan {
	/* path: without NUL, of len bytes; its name may be empty. Valid during the call */
	void (*found)(void *context, const char *path, size_t len);
	void *context;

	size_t tail_len; /* of the last bytes: a path that began in them may go on */
	char tail[2 * STORE_PATH_MAX];
};

/* store_scan_add - the next bytes; last: no more come, and the scan is ready for another stream */
void store_scan_add(struct store_scan *scan, const void *bytes, size_t len, bool last);

/* store_hash - the hash in a path or a base name such as <hash>-<name>; NULL: there is none */
const char *store_hash(const char *path);
