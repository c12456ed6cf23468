/* Turns nettle's conventions for base64 and base16 into ours. */
#include "encoding.h"

#include <errno.h>
#include <nettle/base16.h>
#include <nettle/base64.h>
#include <string.h>

int base64_encode(struct buffer *buf, const void *bytes, size_t len)
{
	size_t out_len = BASE64_ENCODE_RAW_LENGTH(len);
	int r = buffer_reserve(buf, out_len);

	if (r < 0)
		return r;
	base64_encode_raw(buf->data + buf->len, len, bytes);
	buf->len += out_len;
	buf->data[buf->len] = '\0';
	return 0;
}

int base64_decode(struct buffer *buf, const char *text, size_t len)
{
	struct base64_decode_ctx ctx;
	size_t out_len = BASE64_DECODE_LENGTH(len);
	int r;

	/* nettle skips white space and takes unpadded pieces: neither is in our protocol. */
	if (len % 4 != 0 || strcspn(text, " \t\r\n\v\f") < len)
		return -EINVAL;
	r = buffer_reserve(buf, out_len);
	if (r < 0)
		return r;
	base64_decode_init(&ctx);
	if (!base64_decode_update(&ctx, &out_len, (uint8_t *)buf->data + buf->len, len, text) ||
	    !base64_decode_final(&ctx))
		return -EINVAL;
	buf->len += out_len;
	buf->data[buf->len] = '\0';
	return 0;
}

void hex_encode(const void *bytes, size_t len, char *ret)
{
	base16_encode_update(ret, len, bytes);
	ret[2 * len] = '\0';
}
