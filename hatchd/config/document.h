/*
 * A JSON text as values that know their places, so that what is wrong with a value can be said with
 * file, line and column. The parser is jansson; only the .c file knows it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/cleanup.h"
#include "lib/base/error.h"

enum {
	DOCUMENT_DEPTH_MAX = 8, /* levels of { and [; the deepest key we know is on the third */
};

enum value_kind {
	VALUE_OBJECT,
	VALUE_ARRAY,
	VALUE_STRING,
	VALUE_INTEGER,
	VALUE_FRACTION,
	VALUE_BOOLEAN,
	VALUE_NULL,
};

struct value {
	enum value_kind kind;
	const char *key; /* of a member of an object, else NULL */
	size_t key_at;   /* where the key stands, or if there is none the value; in bytes */
	size_t at;       /* where the value stands */
	const char *string;
	int64_t integer;
	double fraction; /* of VALUE_FRACTION */
	bool boolean;
	struct value *items; /* of an object (in the order of the text) or an array */
	size_t n_items;
};

struct document {
	const char *name; /* of the file, for messages; borrowed */
	const char *text; /* borrowed */
	size_t len;
	struct value root;
	void *owner; /* of the strings */
};

#define cleanup_document cleanup_(document_done)

/*
 * document_parse - read a JSON text strictly
 *
 * name, text  must outlive the document
 * Errors      BLAME_HOST -EINVAL: not JSON, a key twice, an integer beyond 64 bits, a NUL, what is
 *             not Unicode, too deep; -ENOMEM
 */
int document_parse(const char *name, const char *text, size_t len, struct document *ret,
                   struct error *err);
void document_done(struct document *doc);

/* document_place - line and column of a byte, counted from 1; a column is one character */
void document_place(const struct document *doc, size_t at, size_t *ret_line, size_t *ret_column);

/* value_member - the member of an object, or NULL */
const struct value *value_member(const struct value *object, const char *key);

/* value_kind_name - "a string", "an object", ... */
const char *value_kind_name(enum value_kind kind);
