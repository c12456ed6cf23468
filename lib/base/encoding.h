/* Base64 (RFC 4648, strict) and base16, by nettle. */
#pragma once

#include <stddef.h>

#include "buffer.h"

/* base64_encode - append the encoding of len bytes; 0 or -ENOMEM */
int base64_encode(struct buffer *buf, const void *bytes, size_t len);

/* base64_decode - append the decoded bytes; 0, -EINVAL for anything but complete base64 without
 * white space, or -ENOMEM */
int base64_decode(struct buffer *buf, const char *text, size_t len);

/* hex_encode - ret holds 2 * len + 1 bytes */
void hex_encode(const void *bytes, size_t len, char *ret);
