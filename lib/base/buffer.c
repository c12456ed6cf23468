/* Doubling growth: appending n bytes one by one costs O(n). */
#include "buffer.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buffer_done(struct buffer *buf)
{
	free(buf->data);
	*buf = (struct buffer){ 0 };
}

void buffer_wipe(struct buffer *buf)
{
	if (buf->data)
		explicit_bzero(buf->data, buf->room);
	buffer_done(buf);
}

int buffer_reserve(struct buffer *buf, size_t len)
{
	size_t need, room = buf->room ? buf->room : 256;
	char *data;

	if (__builtin_add_overflow(buf->len, len, &need) || need >= SIZE_MAX / 2)
		return -ENOMEM;
	need++;
	if (need <= buf->room)
		return 0;
	while (room < need)
		room *= 2;
	data = realloc(buf->data, room);
	if (!data)
		return -ENOMEM;
	buf->data = data;
	buf->room = room;
	return 0;
}

int buffer_add(struct buffer *buf, const void *bytes, size_t len)
{
	int r = buffer_reserve(buf, len);

	if (r < 0)
		return r;
	if (len > 0)
		memcpy(buf->data + buf->len, bytes, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
	return 0;
}

int buffer_printf(struct buffer *buf, const char *fmt, ...)
{
	va_list ap;
	int n, r;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -ENOMEM;
	r = buffer_reserve(buf, (size_t)n);
	if (r < 0)
		return r;
	va_start(ap, fmt);
	(void)vsnprintf(buf->data + buf->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	buf->len += (size_t)n;
	return 0;
}
