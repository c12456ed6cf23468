/* table.h */
#include "table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit.h"

static const struct column columns[] = { { "NAME" },
	                                 { "N", .right = true },
	                                 { "TEXT", .shrinks = true } };

/* What table_print() writes; release with free(). */
static char *printed(const struct table *table, size_t width)
{
	FILE *file = tmpfile(), *old = stdout;
	char *text = calloc(1, 4096);

	check(file && text);
	stdout = file;
	check(table_print(table, width) == 0);
	stdout = old;
	rewind(file);
	(void)!fread(text, 1, 4095, file);
	(void)fclose(file);
	return text;
}

static void make(struct table *table)
{
	*table = (struct table){ .columns = columns, .n_columns = ARRAY_SIZE(columns) };
	table_cell(table, "a");
	table_cellf(table, "%d", 12345);
	table_cell(table, "short");
	table_cell(table, "long-name");
	table_cell(table, "7");
	table_cell(table, "a text of thirty characters ..");
}

static void columns_are_as_wide_as_their_widest_cell(void)
{
	cleanup_table struct table table;
	cleanup_free char *text = NULL;

	make(&table);
	text = printed(&table, 0);
	check(strcmp(text, "NAME           N  TEXT\n"
	                   "a          12345  short\n"
	                   "long-name      7  a text of thirty characters ..\n") == 0);
}

static void a_narrow_terminal_cuts_what_shrinks(void)
{
	cleanup_table struct table table;
	cleanup_free char *text = NULL;

	make(&table);
	text = printed(&table, 30);
	check(strcmp(text, "NAME           N  TEXT\n"
	                   "a          12345  short\n"
	                   "long-name      7  a text of t…\n") == 0);
}

static void no_line_is_wider_than_the_terminal(void)
{
	cleanup_table struct table table;

	make(&table);
	for (size_t width = 1; width < 60; width++) {
		cleanup_free char *text = printed(&table, width);

		for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
			size_t n = 0;

			for (const char *c = line; *c; c++)
				n += ((unsigned char)*c & 0xc0) != 0x80;
			check(n <= width);
		}
	}
}

static void wide_characters_take_two_columns_and_marks_none(void)
{
	static const struct column two[] = { { "A", .shrinks = true }, { "B" } };
	cleanup_table struct table table = { .columns = two, .n_columns = ARRAY_SIZE(two) };
	cleanup_free char *whole = NULL, *cut = NULL;

	table_cell(&table, "漢字漢字漢字漢字");
	table_cell(&table, "x");
	table_cell(&table, "e\xcc\x81");
	table_cell(&table, "y");
	whole = printed(&table, 0);
	check(strcmp(whole, "A                 B\n"
	                    "漢字漢字漢字漢字  x\n"
	                    "e\xcc\x81                 y\n") == 0);
	cut = printed(&table, 13); /* ten for the first column: nine of them can be filled */
	check(strcmp(cut, "A           B\n"
	                  "漢字漢字…   x\n"
	                  "e\xcc\x81           y\n") == 0);
}

static void nothing_in_a_cell_moves_the_cursor(void)
{
	static const struct {
		const char *text, *shown;
	} rows[] = {
		{ "\x1b[2J", "\\x1b[2J" },
		{ "a\nb\r\t\x7f", "a\\nb\\r\\t\\x7f" },
		{ "\xc2\x9b"
		  "31m",
		  "\\xc2\\x9b31m" },
		{ "\xff", "\\xff" },
		{ "\xe2\x80\xae"
		  "evil",
		  "\\u202eevil" },
		{ "a\xe2\x80\x8b"
		  "b",
		  "a\\u200bb" },
		{ "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_(buffer_done) struct buffer buf = { 0 };

		check(show_text(&buf, rows[i].text) == 0);
		check(strcmp(buf.data, rows[i].shown) == 0);
	}
}

static void says_when_it_cannot_be_written(void)
{
	cleanup_table struct table table;
	FILE *old = stdout, *full = fopen("/dev/full", "w");

	check(full);
	make(&table);
	stdout = full;
	check(table_print(&table, 0) == -EIO);
	stdout = old;
	(void)fclose(full);
}

static const struct unit_case cases[] = {
	CASE(columns_are_as_wide_as_their_widest_cell),
	CASE(a_narrow_terminal_cuts_what_shrinks),
	CASE(no_line_is_wider_than_the_terminal),
	CASE(wide_characters_take_two_columns_and_marks_none),
	CASE(nothing_in_a_cell_moves_the_cursor),
	CASE(says_when_it_cannot_be_written),
};

UNIT_MAIN(cases)
