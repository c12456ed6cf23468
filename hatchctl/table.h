/*
 * Tables for people. Cells are made fit for a terminal: nothing in them can move its cursor, change
 * its colours or the order of its letters. On a terminal a line never wraps.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/buffer.h"
#include "lib/base/cleanup.h"

struct column {
	const char *head;
	bool shrinks; /* cut where the terminal is too narrow; the others only when nothing is left
	               */
	bool right;   /* numbers */
};

struct table {
	const struct column *columns; /* borrowed */
	size_t n_columns;
	size_t indent; /* blanks before each line */
	char **cells;  /* row by row */
	size_t n_cells, room;
	bool failed;
};

#define cleanup_table cleanup_(table_done)

void table_done(struct table *table);

/* table_cell, table_cellf - the next cell; "" is shown as "-". What finds no memory is told by
 * table_print() */
void table_cell(struct table *table, const char *text);
void table_cellf(struct table *table, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * table_print - to stdout, with a line of heads
 *
 * width    columns that a line may have; 0: as many as it needs
 * Returns  0, -ENOMEM or -EIO
 */
int table_print(const struct table *table, size_t width);

/* terminal_width - of stdout, 0 if it is no terminal */
size_t terminal_width(void);

/* show_text - any bytes as a terminal may see them, appended; 0 or -ENOMEM */
int show_text(struct buffer *buf, const char *text);

/* print_text, print_bytes - the same to stdout; NUL is a byte like others in print_bytes() */
void print_text(const char *text);
void print_bytes(const char *bytes, size_t len);
