#include "buffer.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "tests/unit.h"

#include "cleanup.h"

static void keeps_every_byte_and_a_nul_behind(void)
{
	cleanup_(buffer_done) struct buffer buf = { 0 };

	for (int i = 0; i < 100000; i++) {
		char byte = (char)i;

		check(buffer_add(&buf, &byte, 1) == 0);
		check(buf.len == (size_t)i + 1 && buf.len < buf.room && buf.data[buf.len] == '\0');
	}
	for (int i = 0; i < 100000; i++)
		check(buf.data[i] == (char)i);
}

static void takes_nothing_at_all(void)
{
	cleanup_(buffer_done) struct buffer buf = { 0 };

	check(buffer_add(&buf, NULL, 0) == 0);
	check(buf.len == 0 && buf.data[0] == '\0');
	buffer_done(&buf);
	check(!buf.data && buf.len == 0 && buf.room == 0);
	buffer_done(&buf);
}

static void formats_text_of_any_length(void)
{
	cleanup_(buffer_done) struct buffer buf = { 0 };
	char expected[600];

	for (int width = 0; width < 600; width++) {
		buf.len = 0;
		check(buffer_printf(&buf, "%*s", width, "") == 0);
		check(buf.len == (size_t)width && strlen(buf.data) == (size_t)width);
	}
	buf.len = 0;
	check(buffer_printf(&buf, "%s=%d", "a", 1) == 0 && buffer_printf(&buf, ";%c", 'x') == 0);
	check(strcmp(buf.data, "a=1;x") == 0);
	memset(expected, 'e', sizeof(expected));
	check(buffer_add(&buf, expected, sizeof(expected)) == 0);
	check(buf.len == 5 + sizeof(expected));
}

static void refuses_a_length_that_overflows(void)
{
	cleanup_(buffer_done) struct buffer buf = { 0 };

	check(buffer_add(&buf, "abc", 3) == 0);
	check(buffer_reserve(&buf, SIZE_MAX) == -ENOMEM);
	check(buffer_reserve(&buf, SIZE_MAX - 3) == -ENOMEM);
	check(buffer_reserve(&buf, SIZE_MAX / 2) == -ENOMEM);
	check(buf.len == 3 && strcmp(buf.data, "abc") == 0);
}

static void reserves_room_for_what_is_written_directly(void)
{
	cleanup_(buffer_done) struct buffer buf = { 0 };

	check(buffer_reserve(&buf, 5000) == 0 && buf.room > 5000 && buf.len == 0);
	memset(buf.data, 'x', 5000);
	buf.len = 5000;
	check(buffer_add(&buf, "y", 1) == 0 && buf.data[4999] == 'x' && buf.data[5000] == 'y');
}

static void is_empty_after_it_was_wiped(void)
{
	struct buffer buf = { 0 };

	buffer_wipe(&buf);
	check(buffer_add(&buf, "secret", 6) == 0);
	buffer_wipe(&buf);
	check(!buf.data && buf.len == 0 && buf.room == 0);
}

static const struct unit_case cases[] = {
	CASE(keeps_every_byte_and_a_nul_behind),
	CASE(takes_nothing_at_all),
	CASE(formats_text_of_any_length),
	CASE(refuses_a_length_that_overflows),
	CASE(reserves_room_for_what_is_written_directly),
	CASE(is_empty_after_it_was_wiped),
};

UNIT_MAIN(cases)
