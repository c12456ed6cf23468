/* A growable run of bytes, always followed by a NUL that does not count. */
#pragma once

#include <stdarg.h>
#include <stddef.h>

struct buffer {
	char *data; /* NULL while empty */
	size_t len;
	size_t room;
};

void buffer_done(struct buffer *buf);

/* buffer_wipe - the same for bytes that are not to stay in memory. What outgrew its room left some
 * behind: reserve first */
void buffer_wipe(struct buffer *buf);

/* buffer_add - append bytes; 0 or -ENOMEM (the buffer is as before) */
int buffer_add(struct buffer *buf, const void *bytes, size_t len);

/* buffer_printf - append formatted text; 0 or -ENOMEM */
int buffer_printf(struct buffer *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* buffer_reserve - make room for len more bytes at data + len; 0 or -ENOMEM */
int buffer_reserve(struct buffer *buf, size_t len);
