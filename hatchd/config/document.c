/*
 * jansson says what the text means, and where it is no JSON. It does not say where a value stands,
 * so the text is walked once more, beside jansson's values: they are in the order of the text, and
 * the text is known to be well formed then. The only file of hatchd that knows jansson.
 */
#include "document.h"

#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "lib/base/text.h"

static const char blanks[] = " \t\r\n";

/* The walk over the text. */
struct cursor {
	const char *text;
	size_t len, at;
};

static bool is_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

static void skip_blanks(struct cursor *cursor)
{
	while (cursor->at < cursor->len && is_one_of(cursor->text[cursor->at], blanks))
		cursor->at++;
}

/* Behind the string that begins here, or to the end of the text. */
static void skip_string(struct cursor *cursor)
{
	for (cursor->at++; cursor->at < cursor->len; cursor->at++) {
		if (cursor->text[cursor->at] == '"') {
			cursor->at++;
			return;
		}
		if (cursor->text[cursor->at] == '\\' && cursor->at + 1 < cursor->len)
			cursor->at++;
	}
}

/* One bracket, comma or colon, one string, or one run of anything else. Works on any bytes. */
static void skip_token(struct cursor *cursor)
{
	if (cursor->text[cursor->at] == '"') {
		skip_string(cursor);
		return;
	}
	if (is_one_of(cursor->text[cursor->at++], "{}[],:"))
		return;
	while (cursor->at < cursor->len && !is_one_of(cursor->text[cursor->at], " \t\r\n{}[],:\""))
		cursor->at++;
}

void document_place(const struct document *doc, size_t at, size_t *ret_line, size_t *ret_column)
{
	size_t line = 1, column = 1;

	for (size_t i = 0; i < at && i < doc->len; i++) {
		if (doc->text[i] == '\n') {
			line++;
			column = 1;
		} else if (((unsigned char)doc->text[i] & 0xc0) != 0x80) {
			/* The bytes behind the first of a character are no columns. */
			column++;
		}
	}
	*ret_line = line;
	*ret_column = column;
}

static int fail(const struct document *doc, size_t at, const char *what, struct error *err)
{
	size_t line, column;

	document_place(doc, at, &line, &column);
	return error_set(err, BLAME_HOST, EINVAL, "%s:%zu:%zu: %s", doc->name, line, column, what);
}

/* Before jansson, whose own limit is 2048 levels on our stack. */
static int check_depth(const struct document *doc, struct error *err)
{
	struct cursor cursor = { doc->text, doc->len, 0 };
	size_t depth = 0;

	for (skip_blanks(&cursor); cursor.at < cursor.len; skip_blanks(&cursor)) {
		char c = cursor.text[cursor.at];

		if (is_one_of(c, "{[") && ++depth > DOCUMENT_DEPTH_MAX)
			return fail(doc, cursor.at, "nested too deep; expected at most 8 levels",
			            err);
		if (is_one_of(c, "}]") && depth > 0)
			depth--;
		skip_token(&cursor);
	}
	return 0;
}

/* jansson tells how far it had read. If that is the end of a token, the token is what it did not
 * like, and a reader looks for its beginning; else it stopped inside of a string. */
static size_t blamed_byte(const struct document *doc, size_t read)
{
	struct cursor cursor = { doc->text, doc->len, 0 };

	for (skip_blanks(&cursor); cursor.at < cursor.len && cursor.at < read;
	     skip_blanks(&cursor)) {
		size_t start = cursor.at;
		bool is_string = cursor.text[start] == '"';

		skip_token(&cursor);
		if (cursor.at >= read)
			return cursor.at == read || !is_string ? start : read - 1;
	}
	return read;
}

/* A bracket that closes, behind a comma. */
static bool follows_comma(const struct document *doc, size_t at)
{
	if (at >= doc->len || !is_one_of(doc->text[at], "}]"))
		return false;
	while (at > 0 && is_one_of(doc->text[at - 1], blanks))
		at--;
	return at > 0 && doc->text[at - 1] == ',';
}

static int explain(const struct document *doc, const json_error_t *json_err, struct error *err)
{
	static const struct {
		enum json_error_code code;
		const char *what;
	} words[] = {
		{ json_error_duplicate_key, "this key is there twice; expected each key once" },
		{ json_error_numeric_overflow, "the number is too large; expected one of 64 bits" },
		{ json_error_null_character, "\\u0000 in a string; expected text" },
		{ json_error_null_byte_in_key, "\\u0000 in a key; expected text" },
		{ json_error_invalid_utf8, "these bytes are not UTF-8; expected UTF-8" },
		{ json_error_end_of_input_expected,
		  "something follows the end of the object; expected the end of the file" },
	};
	size_t at = blamed_byte(doc, json_err->position > 0 ? (size_t)json_err->position : 0);
	char near[2 * JSON_ERROR_TEXT_LENGTH], what[sizeof(near) + 32];

	if (json_error_code(json_err) == json_error_premature_end_of_input)
		at = doc->len;
	if (json_error_code(json_err) == json_error_out_of_memory)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory to read %s", doc->name);
	if (json_error_code(json_err) == json_error_invalid_syntax && follows_comma(doc, at))
		return fail(doc, at, "a comma before this; expected none after the last item", err);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (words[i].code == json_error_code(json_err))
			return fail(doc, at, words[i].what, err);
	text_escape(json_err->text, strlen(json_err->text), near, sizeof(near));
	(void)snprintf(what, sizeof(what), "this is not JSON: %s", near);
	return fail(doc, at, what, err);
}

static void value_done(struct value *value)
{
	for (size_t i = 0; i < value->n_items; i++)
		value_done(&value->items[i]);
	free(value->items);
}

/* Step over a bracket, comma or colon that must be here, the text being well formed. */
static void skip_mark(struct cursor *cursor, char mark)
{
	skip_blanks(cursor);
	assert(cursor->at < cursor->len && cursor->text[cursor->at] == mark);
	cursor->at++;
}

/* Note where the key stands, and be sure that it is the one that jansson means. */
static void place_key(struct cursor *cursor, const char *key, struct value *ret)
{
	size_t key_len = strlen(key);

	skip_blanks(cursor);
	ret->key = key;
	ret->key_at = cursor->at;
	skip_string(cursor);
	if (!memchr(cursor->text + ret->key_at, '\\', cursor->at - ret->key_at))
		assert(cursor->at - ret->key_at == key_len + 2 &&
		       memcmp(cursor->text + ret->key_at + 1, key, key_len) == 0);
	skip_mark(cursor, ':');
}

static int place(struct cursor *cursor, json_t *json, struct value *ret);

static int place_object(struct cursor *cursor, json_t *json, struct value *ret)
{
	const char *key;
	json_t *member;

	cursor->at++;
	json_object_foreach(json, key, member)
	{
		struct value *item = &ret->items[ret->n_items];
		int r;

		if (ret->n_items++ > 0)
			skip_mark(cursor, ',');
		place_key(cursor, key, item);
		r = place(cursor, member, item);
		if (r < 0)
			return r;
	}
	skip_mark(cursor, '}');
	return 0;
}

static int place_array(struct cursor *cursor, json_t *json, struct value *ret)
{
	json_t *member;
	size_t i;

	cursor->at++;
	json_array_foreach(json, i, member)
	{
		struct value *item = &ret->items[ret->n_items];
		int r;

		if (ret->n_items++ > 0)
			skip_mark(cursor, ',');
		skip_blanks(cursor);
		item->key_at = cursor->at;
		r = place(cursor, member, item);
		if (r < 0)
			return r;
	}
	skip_mark(cursor, ']');
	return 0;
}

static int place_scalar(struct cursor *cursor, const json_t *json, struct value *ret)
{
	switch (json_typeof(json)) {
	case JSON_STRING:
		ret->kind = VALUE_STRING;
		ret->string = json_string_value(json);
		break;
	case JSON_INTEGER:
		ret->kind = VALUE_INTEGER;
		ret->integer = json_integer_value(json);
		break;
	case JSON_REAL:
		ret->kind = VALUE_FRACTION;
		ret->fraction = json_real_value(json);
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		ret->kind = VALUE_BOOLEAN;
		ret->boolean = json_is_true(json);
		break;
	default:
		ret->kind = VALUE_NULL;
	}
	skip_token(cursor);
	return 0;
}

/* The value that begins here. Recursion ends at DOCUMENT_DEPTH_MAX: check_depth() came before. */
static int place(struct cursor *cursor, json_t *json, struct value *ret)
{
	size_t n_items = json_is_object(json) ? json_object_size(json) : json_array_size(json);

	skip_blanks(cursor);
	ret->at = cursor->at;
	if (n_items > 0) {
		ret->items = calloc(n_items, sizeof(*ret->items));
		if (!ret->items)
			return -ENOMEM;
	}
	if (json_is_object(json)) {
		ret->kind = VALUE_OBJECT;
		return place_object(cursor, json, ret);
	}
	if (json_is_array(json)) {
		ret->kind = VALUE_ARRAY;
		return place_array(cursor, json, ret);
	}
	return place_scalar(cursor, json, ret);
}

int document_parse(const char *name, const char *text, size_t len, struct document *ret,
                   struct error *err)
{
	cleanup_document struct document doc = { .name = name, .text = text, .len = len };
	struct cursor cursor = { text, len, 0 };
	json_error_t json_err;
	int r;

	r = check_depth(&doc, err);
	if (r < 0)
		return r;
	doc.owner = json_loadb(text, len, JSON_REJECT_DUPLICATES, &json_err);
	if (!doc.owner)
		return explain(&doc, &json_err, err);
	r = place(&cursor, doc.owner, &doc.root);
	if (r < 0)
		return error_set(err, BLAME_HOST, -r, "no memory to read %s", name);
	doc.root.key_at = doc.root.at;

	*ret = doc;
	doc = (struct document){ 0 };
	return 0;
}

void document_done(struct document *doc)
{
	value_done(&doc->root);
	json_decref(doc->owner);
	*doc = (struct document){ 0 };
}

const struct value *value_member(const struct value *object, const char *key)
{
	for (size_t i = 0; i < object->n_items; i++)
		if (object->items[i].key && strcmp(object->items[i].key, key) == 0)
			return &object->items[i];
	return NULL;
}

const char *value_kind_name(enum value_kind kind)
{
	static const char *const names[] = {
		[VALUE_OBJECT] = "an object",    [VALUE_ARRAY] = "a list",
		[VALUE_STRING] = "a string",     [VALUE_INTEGER] = "an integer",
		[VALUE_FRACTION] = "a fraction", [VALUE_BOOLEAN] = "true or false",
		[VALUE_NULL] = "null",
	};

	return names[kind];
}
