/* Readers of single values, and the walk over a table of keys. Knows no key by name. */
#include "read.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/buffer.h"
#include "lib/base/fd.h"
#include "lib/base/text.h"
#include "trusted-path.h"

int reading_keep_error(struct reading *in, const struct error *err)
{
	if (in->report)
		in->report->error(in->report->data, err);
	if (in->first == 0) {
		in->first = -err->code;
		if (in->err)
			*in->err = *err;
	}
	return -err->code;
}

__attribute__((format(printf, 4, 0))) static int keep_at(struct reading *in, const size_t *at,
                                                         int code, const char *fmt, va_list ap)
{
	char what[ERROR_TEXT_MAX];
	struct error err;
	size_t line, column;

	(void)vsnprintf(what, sizeof(what), fmt, ap);
	if (at) {
		document_place(in->doc, *at, &line, &column);
		(void)error_set(&err, BLAME_HOST, code, "%s:%zu:%zu: %s", in->doc->name, line,
		                column, what);
	} else {
		(void)error_set(&err, BLAME_HOST, code, "%s: %s", in->doc->name, what);
	}
	return reading_keep_error(in, &err);
}

int reading_fail(struct reading *in, const struct value *at, int code, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = keep_at(in, at ? &at->at : NULL, code, fmt, ap);
	va_end(ap);
	return r;
}

int reading_fail_key(struct reading *in, const struct value *at, int code, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = keep_at(in, &at->key_at, code, fmt, ap);
	va_end(ap);
	return r;
}

int reading_no_memory(struct reading *in)
{
	struct error err;

	(void)error_set(&err, BLAME_HOST, ENOMEM, "no memory to read %s", in->doc->name);
	return reading_keep_error(in, &err);
}

const struct value *reading_key(const struct reading *in, const char *key)
{
	return value_member(&in->doc->root, key);
}

bool reading_stops(const struct reading *in)
{
	return in->first != 0 && (!in->report || in->first == -ENOMEM);
}

const char *show(const char *text, char buf[SHOW_LEN])
{
	text_escape(text, strlen(text), buf, SHOW_LEN);
	return buf;
}

int expect_kind(struct reading *in, const struct value *value, enum value_kind kind)
{
	if (value->kind == kind)
		return 0;
	return reading_fail(in, value, EINVAL, "this is %s; expected %s",
	                    value_kind_name(value->kind), value_kind_name(kind));
}

int expect_list(struct reading *in, const struct value *value, size_t min_items)
{
	int r = expect_kind(in, value, VALUE_ARRAY);

	if (r < 0)
		return r;
	if (value->n_items < min_items)
		return reading_fail(in, value, EINVAL,
		                    "the list is empty; expected an item, or no such key");
	if (value->n_items > LIST_MAX)
		return reading_fail(in, value, EINVAL, "%zu items; expected at most %d",
		                    value->n_items, LIST_MAX);
	return 0;
}

int expect_text(struct reading *in, const struct value *value, uint64_t max)
{
	int r = expect_kind(in, value, VALUE_STRING);

	if (r < 0)
		return r;
	if (strlen(value->string) > max)
		return reading_fail(in, value, EINVAL,
		                    "%zu bytes of text; expected at most %" PRIu64,
		                    strlen(value->string), max);
	return 0;
}

static bool has_control(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	return false;
}

/* One "/" and one name, again and again. */
static bool is_plain_path(const char *path)
{
	if (strcmp(path, "/") == 0)
		return true;
	while (*path == '/') {
		size_t len = strcspn(++path, "/");

		if (len == 0 || (len == 1 && path[0] == '.') ||
		    (len == 2 && path[0] == '.' && path[1] == '.'))
			return false;
		path += len;
		if (*path == '\0')
			return true;
	}
	return false;
}

int expect_path(struct reading *in, const struct value *value)
{
	char shown[SHOW_LEN];
	int r = expect_text(in, value, 4095);

	if (r < 0)
		return r;
	if (!is_plain_path(value->string) || has_control(value->string))
		return reading_fail(in, value, EINVAL,
		                    "\"%s\"; expected an absolute path without \"//\", \".\", "
		                    "\"..\", \"/\" at the end and control characters",
		                    show(value->string, shown));
	return 0;
}

/* "a, b, c": the keys that could have been meant. */
static int fail_unknown(struct reading *in, const struct value *value, const struct member *rows,
                        size_t n_rows)
{
	char known[ERROR_TEXT_MAX / 2] = "", shown[SHOW_LEN];
	size_t len = 0;

	for (size_t i = 0; i < n_rows && len < sizeof(known); i++)
		len += (size_t)snprintf(known + len, sizeof(known) - len, "%s%s", i ? ", " : "",
		                        rows[i].key);
	return reading_fail_key(in, value, EINVAL, "unknown key \"%s\"; expected one of: %s",
	                        show(value->key, shown), known);
}

static const struct member *find_row(const struct member *rows, size_t n_rows, const char *key)
{
	for (size_t i = 0; i < n_rows; i++)
		if (strcmp(rows[i].key, key) == 0)
			return &rows[i];
	return NULL;
}

int read_members(struct reading *in, const struct value *value, const struct member *row,
                 void *object)
{
	if (expect_kind(in, value, VALUE_OBJECT) < 0)
		return in->first;
	for (size_t i = 0; i < value->n_items && !reading_stops(in); i++) {
		const struct value *item = &value->items[i];
		const struct member *known = find_row(row->rows, row->n_rows, item->key);

		if (known)
			(void)known->read(in, item, known, object);
		else
			(void)fail_unknown(in, item, row->rows, row->n_rows);
	}
	for (size_t i = 0; i < row->n_rows && !reading_stops(in); i++)
		if (row->rows[i].required && !value_member(value, row->rows[i].key))
			(void)reading_fail(in, value, EINVAL,
			                   "the key \"%s\" is missing; expected it here",
			                   row->rows[i].key);
	return in->first;
}

static void *field(void *object, const struct member *row)
{
	return (char *)object + row->offset;
}

static int set_text(struct reading *in, const char *text, char **field_text)
{
	char *copy = strdup(text);

	if (!copy)
		return reading_no_memory(in);
	free(*field_text);
	*field_text = copy;
	return 0;
}

int read_line(struct reading *in, const struct value *value, const struct member *row, void *object)
{
	int r = expect_text(in, value, row->max);

	if (r < 0)
		return r;
	if (has_control(value->string))
		return reading_fail(in, value, EINVAL,
		                    "a control character in the text; expected one line");
	if (strlen(value->string) < row->min)
		return reading_fail(in, value, EINVAL, "the text is empty; expected some");
	return set_text(in, value->string, field(object, row));
}

int read_path(struct reading *in, const struct value *value, const struct member *row, void *object)
{
	int r = expect_path(in, value);

	return r < 0 ? r : set_text(in, value->string, field(object, row));
}

/* A bound as one would write it. Returns ret */
static const char *show_bound(uint64_t number, bool is_size, char ret[TEXT_SIZE_LEN])
{
	if (is_size)
		return text_size_json(number, ret);
	(void)snprintf(ret, TEXT_SIZE_LEN, "%" PRIu64, number);
	return ret;
}

static int fail_range(struct reading *in, const struct value *value, const struct member *row,
                      bool is_size)
{
	const char *key = row->key ?: value->key;
	char min[TEXT_SIZE_LEN], max[TEXT_SIZE_LEN];

	if (row->max == UINT64_MAX)
		return reading_fail(in, value, EINVAL, "%s is out of range; expected at least %s",
		                    key, show_bound(row->min, is_size, min));
	return reading_fail(in, value, EINVAL, "%s is out of range; expected %s to %s", key,
	                    show_bound(row->min, is_size, min), show_bound(row->max, is_size, max));
}

static int set_number(struct reading *in, const struct value *value, const struct member *row,
                      void *object, bool is_size, uint64_t number)
{
	if (number < row->min || number > row->max)
		return fail_range(in, value, row, is_size);
	*(uint64_t *)field(object, row) = number;
	return 0;
}

static int read_integer(struct reading *in, const struct value *value, const struct member *row,
                        void *object, bool is_size)
{
	int r = expect_kind(in, value, VALUE_INTEGER);

	if (r < 0)
		return r;
	return value->integer < 0
	               ? fail_range(in, value, row, is_size)
	               : set_number(in, value, row, object, is_size, (uint64_t)value->integer);
}

int read_count(struct reading *in, const struct value *value, const struct member *row,
               void *object)
{
	return read_integer(in, value, row, object, false);
}

/* "256M": canonical digits and one letter. 0, -EINVAL, or -ERANGE */
static int parse_size(const char *text, uint64_t *ret)
{
	static const char units[] = "KMGT";
	size_t len = strlen(text);
	const char *unit = len > 1 ? strchr(units, text[len - 1]) : NULL;
	char digits[24];
	uint64_t number;
	int r;

	if (!unit || len - 1 >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, text, len - 1);
	digits[len - 1] = '\0';
	r = text_to_u64(digits, UINT64_MAX, &number);
	if (r < 0)
		return r;
	if (__builtin_mul_overflow(number, UINT64_C(1) << (10 * (unit - units + 1)), ret))
		return -ERANGE;
	return 0;
}

int read_size(struct reading *in, const struct value *value, const struct member *row, void *object)
{
	uint64_t number = 0;
	int r;

	if (value->kind == VALUE_INTEGER)
		return read_integer(in, value, row, object, true);
	r = value->kind == VALUE_STRING ? parse_size(value->string, &number) : -EINVAL;
	if (r == -EINVAL)
		return reading_fail(in, value, EINVAL,
		                    "this is no size; expected a number of bytes such as 65536, or "
		                    "a string such as \"256M\" (K, M, G or T, of 1024)");
	return r < 0 ? fail_range(in, value, row, true)
	             : set_number(in, value, row, object, true, number);
}

int read_truth(struct reading *in, const struct value *value, const struct member *row,
               void *object)
{
	int r = expect_kind(in, value, VALUE_BOOLEAN);

	if (r == 0)
		*(bool *)field(object, row) = value->boolean;
	return r;
}

int config_read_text(const char *path, uid_t owner_uid, char **ret, size_t *ret_len,
                     struct error *err)
{
	cleanup_fd int fd = -1;
	struct stat st;
	int r = trusted_file(path, owner_uid, &fd, err);

	/* A link that leads nowhere is not an absent file, it is a broken one. */
	if (r == -ENOENT && lstat(path, &st) < 0 && errno == ENOENT)
		return 0;
	if (r < 0)
		return r;
	r = fd_read_file(fd, CONFIG_FILE_MAX, ret, ret_len);
	if (r == -EFBIG)
		return error_set(err, BLAME_HOST, EFBIG, "%s is larger than %d bytes", path,
		                 CONFIG_FILE_MAX);
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot read %s", path);
	return 1;
}
