/* The only caller of nettle's SHA-256. */
#include "digest.h"

#include "encoding.h"

void digest_init(struct digest *digest)
{
	sha256_init(&digest->sha256);
}

void digest_add(struct digest *digest, const void *bytes, size_t len)
{
	sha256_update(&digest->sha256, len, bytes);
}

void digest_final(struct digest *digest, char ret[DIGEST_HEX_LEN + 1])
{
	uint8_t raw[DIGEST_LEN];

	sha256_digest(&digest->sha256, sizeof(raw), raw);
	hex_encode(raw, sizeof(raw), ret);
}
