/* Text for terminals: what is shown of strangers' bytes, how wide it is, and columns of it. */
#include "table.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/base/text.h"

enum {
	GAP = 2,        /* between columns */
	SHRUNK_MIN = 8, /* a column that shrinks keeps so much */
};

static const char cut_mark[] = "…"; /* one column wide */

/* --- characters --- */

struct range {
	uint32_t first, last;
};

static bool is_in(const struct range *ranges, size_t n_ranges, uint32_t c)
{
	for (size_t i = 0; i < n_ranges; i++)
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	return false;
}

/* Shown as nothing, or turning round what follows: with them a text can look like another. */
static bool is_invisible(uint32_t c)
{
	static const struct range ranges[] = {
		{ 0xad, 0xad },     { 0x61c, 0x61c },     { 0x180b, 0x180f }, { 0x200b, 0x200f },
		{ 0x2028, 0x202e }, { 0x2060, 0x206f },   { 0xfe00, 0xfe0f }, { 0xfeff, 0xfeff },
		{ 0xfff9, 0xfffb }, { 0xe0000, 0xe0fff },
	};

	return is_in(ranges, ARRAY_SIZE(ranges), c);
}

/* As terminals show it. Not wcwidth(3): the expressions of a definition want the C locale. */
static size_t width_of(uint32_t c)
{
	static const struct range marks[] = {
		{ 0x300, 0x36f },   { 0x483, 0x489 },   { 0x591, 0x5bd },
		{ 0x610, 0x61a },   { 0x64b, 0x65f },   { 0x1ab0, 0x1aff },
		{ 0x1dc0, 0x1dff }, { 0x20d0, 0x20ff }, { 0xfe20, 0xfe2f },
	};
	static const struct range wide[] = {
		{ 0x1100, 0x115f },   { 0x231a, 0x231b },   { 0x23e9, 0x23ec },
		{ 0x2614, 0x2615 },   { 0x26a1, 0x26a1 },   { 0x2705, 0x2705 },
		{ 0x274c, 0x274c },   { 0x2753, 0x2757 },   { 0x2e80, 0x303e },
		{ 0x3041, 0xa4cf },   { 0xa960, 0xa97f },   { 0xac00, 0xd7a3 },
		{ 0xf900, 0xfaff },   { 0xfe30, 0xfe6f },   { 0xff00, 0xff60 },
		{ 0xffe0, 0xffe6 },   { 0x1f004, 0x1f004 }, { 0x1f300, 0x1faff },
		{ 0x20000, 0x3fffd },
	};

	if (is_in(marks, ARRAY_SIZE(marks), c))
		return 0;
	return is_in(wide, ARRAY_SIZE(wide), c) ? 2 : 1;
}

/* The next character of well-formed UTF-8; *at moves behind it. */
static uint32_t next_character(const char **at)
{
	const unsigned char *c = (const unsigned char *)*at;
	size_t len = *c < 0x80 ? 1 : *c < 0xe0 ? 2 : *c < 0xf0 ? 3 : 4;
	uint32_t character = len == 1 ? *c : *c & (0x7fU >> len);

	for (size_t i = 1; i < len; i++)
		character = character << 6 | (c[i] & 0x3f);
	*at += len;
	return character;
}

static size_t text_width(const char *text)
{
	size_t width = 0;

	while (*text)
		width += width_of(next_character(&text));
	return width;
}

static int show_bytes(struct buffer *buf, const char *bytes, size_t len)
{
	size_t room = 4 * len + 8;
	cleanup_free char *escaped = malloc(room);
	int r = buffer_reserve(buf, len);

	if (!escaped || r < 0)
		return -ENOMEM;
	text_escape(bytes, len, escaped, room);
	for (const char *at = escaped; *at && r == 0;) {
		const char *begin = at;
		uint32_t character = next_character(&at);

		r = is_invisible(character) ? buffer_printf(buf, "\\u%04x", character)
		                            : buffer_add(buf, begin, (size_t)(at - begin));
	}
	return r;
}

int show_text(struct buffer *buf, const char *text)
{
	return show_bytes(buf, text, strlen(text));
}

void print_bytes(const char *bytes, size_t len)
{
	cleanup_(buffer_done) struct buffer buf = { 0 };

	if (show_bytes(&buf, bytes, len) == 0 && buf.data)
		(void)fputs(buf.data, stdout);
}

void print_text(const char *text)
{
	print_bytes(text, strlen(text));
}

size_t terminal_width(void)
{
	struct winsize size;

	return isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col
	                                                                             : 0;
}

/* --- tables --- */

void table_done(struct table *table)
{
	for (size_t i = 0; i < table->n_cells; i++)
		free(table->cells[i]);
	free(table->cells);
	*table = (struct table){ 0 };
}

static int make_room(struct table *table)
{
	size_t room = table->room ? 2 * table->room : 64;
	char **cells;

	if (table->n_cells < table->room)
		return 0;
	cells = reallocarray(table->cells, room, sizeof(*cells));
	if (!cells)
		return -ENOMEM;
	table->cells = cells;
	table->room = room;
	return 0;
}

void table_cell(struct table *table, const char *text)
{
	struct buffer buf = { 0 };

	if (!table->failed && make_room(table) == 0 && show_text(&buf, *text ? text : "-") == 0)
		table->cells[table->n_cells++] = buf.data;
	else {
		buffer_done(&buf);
		table->failed = true;
	}
}

void table_cellf(struct table *table, const char *fmt, ...)
{
	cleanup_free char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		text = NULL;
	table->failed |= !text;
	if (text)
		table_cell(table, text);
}

static void measure(const struct table *table, size_t *widths)
{
	for (size_t i = 0; i < table->n_columns; i++)
		widths[i] = text_width(table->columns[i].head);
	for (size_t i = 0; i < table->n_cells; i++) {
		size_t width = text_width(table->cells[i]);

		if (width > widths[i % table->n_columns])
			widths[i % table->n_columns] = width;
	}
}

/* The widest column gives way first, so that none is cut more than it has to be. */
static void shrink(const struct table *table, size_t *widths, size_t width)
{
	size_t total = GAP * (table->n_columns - 1);

	for (size_t i = 0; i < table->n_columns; i++)
		total += widths[i];
	for (; total > width; total--) {
		size_t *widest = NULL;

		for (size_t i = 0; i < table->n_columns; i++)
			if (table->columns[i].shrinks && widths[i] > SHRUNK_MIN &&
			    (!widest || widths[i] > *widest))
				widest = &widths[i];
		if (!widest)
			return;
		--*widest;
	}
}

/* Print at most width columns of a text; returns how many it took. */
static size_t print_cut(const char *text, size_t width)
{
	size_t full = text_width(text), kept = 0;
	const char *at = text, *end = text;

	if (full <= width) {
		(void)fputs(text, stdout);
		return full;
	}
	while (*at) {
		size_t next = width_of(next_character(&at));

		if (kept + next + 1 > width)
			break;
		kept += next;
		end = at;
	}
	(void)printf("%.*s%s", (int)(end - text), text, cut_mark);
	return kept + 1;
}

static void print_blanks(size_t n)
{
	while (n-- > 0)
		(void)putchar(' ');
}

/* One line; left is what the terminal has room for. */
static void print_row(const struct table *table, char *const *cells, const size_t *widths,
                      size_t left)
{
	print_blanks(table->indent);
	for (size_t i = 0; i < table->n_columns && left > 0; i++) {
		const char *text = cells ? cells[i] : table->columns[i].head;
		size_t width = widths[i] < left ? widths[i] : left, own = text_width(text);

		if (table->columns[i].right && own < width)
			print_blanks(width - own);
		own = print_cut(text, width);
		left -= width;
		if (i + 1 == table->n_columns || left <= GAP)
			break;
		print_blanks((table->columns[i].right ? 0 : width - own) + GAP);
		left -= GAP;
	}
	(void)putchar('\n');
}

int table_print(const struct table *table, size_t width)
{
	cleanup_free size_t *widths = calloc(table->n_columns, sizeof(*widths));

	if (table->failed || !widths)
		return -ENOMEM;
	assert(table->n_cells % table->n_columns == 0);
	width = width == 0 ? SIZE_MAX : width > table->indent ? width - table->indent : 1;
	measure(table, widths);
	shrink(table, widths, width);
	print_row(table, NULL, widths, width);
	for (size_t i = 0; i < table->n_cells; i += table->n_columns)
		print_row(table, table->cells + i, widths, width);
	return fflush(stdout) != 0 || ferror(stdout) ? -EIO : 0;
}
