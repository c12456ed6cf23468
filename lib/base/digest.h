/* SHA-256 (FIPS 180-4), by nettle, which uses the processor's instructions where it has them. */
#pragma once

#include <nettle/sha2.h>
#include <stddef.h>

enum {
	DIGEST_LEN = SHA256_DIGEST_SIZE,
	DIGEST_HEX_LEN = 2 * SHA256_DIGEST_SIZE, /* without NUL */
};

struct digest {
	struct sha256_ctx sha256;
};

void digest_init(struct digest *digest);
void digest_add(struct digest *digest, const void *bytes, size_t len);

/* digest_final - ret: lower-case hexadecimal and NUL; the digest may be used anew afterwards */
void digest_final(struct digest *digest, char ret[DIGEST_HEX_LEN + 1]);
