/* One line from a stranger: it is refused, or it prints as a line that reads back the same. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "lib/wire/message.h"

#define cleanup_buffer cleanup_(buffer_done)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void attrs_never_crash(const char *text, size_t len)
{
	cleanup_message struct message message = { 0 };

	(void)message_parse_attrs(text, len, &message, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	cleanup_message struct message first = { 0 }, second = { 0 };
	cleanup_buffer struct buffer once = { 0 }, twice = { 0 };
	const char *line = (const char *)data;

	attrs_never_crash(line, len);
	if (len >= WIRE_LINE_MAX || message_parse(line, len, &first, NULL) < 0)
		return 0;
	if (first.type == MESSAGE_REQUEST && !first.request.builder)
		return 0; /* of another version: nothing was read that could be printed */
	/* An escape may be shorter than what it stands for ends up: only that may not fit. */
	if (message_print(&first, &once, NULL) < 0) {
		assert(len > WIRE_LINE_MAX / 8);
		return 0;
	}
	assert(once.len > 0 && memchr(once.data, '\n', once.len) == once.data + once.len - 1);
	assert(message_parse(once.data, once.len - 1, &second, NULL) == 0);
	assert(message_print(&second, &twice, NULL) == 0);
	assert(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
	return 0;
}
