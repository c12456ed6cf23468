/* The one writer of JSON, and the home of cJSON, which makes the text; and the same tree as an
 * outline for people. */
#include "json.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/text.h"
#include "table.h"
#include "when.h"

struct json {
	cJSON *open[JSON_DEPTH_MAX]; /* the first is the root, and owned */
	size_t n_open;
	bool failed;
};

struct json *json_new(void)
{
	struct json *json = calloc(1, sizeof(*json));

	if (!json)
		return NULL;
	json->open[json->n_open++] = cJSON_CreateObject();
	json->failed = !json->open[0];
	return json;
}

void json_freep(struct json **json)
{
	if (*json)
		cJSON_Delete((*json)->open[0]);
	free(*json);
}

/* Takes the item, also on failure. */
static bool add(struct json *json, const char *key, cJSON *item)
{
	cJSON *place;
	bool done;

	if (!json || json->failed || !item) {
		cJSON_Delete(item);
		if (json)
			json->failed = true;
		return false;
	}
	place = json->open[json->n_open - 1];
	assert(cJSON_IsObject(place) == (key != NULL));
	done = key ? cJSON_AddItemToObject(place, key, item) : cJSON_AddItemToArray(place, item);
	if (!done)
		cJSON_Delete(item);
	json->failed |= !done;
	return done;
}

static void enter(struct json *json, const char *key, cJSON *item)
{
	if (!add(json, key, item))
		return;
	assert(json->n_open < JSON_DEPTH_MAX);
	json->open[json->n_open++] = item;
}

void json_open_object(struct json *json, const char *key)
{
	enter(json, key, cJSON_CreateObject());
}

void json_open_list(struct json *json, const char *key)
{
	enter(json, key, cJSON_CreateArray());
}

void json_close(struct json *json)
{
	if (!json || json->failed)
		return;
	assert(json->n_open > 1);
	json->n_open--;
}

static cJSON *make_text(const char *text)
{
	size_t len = strlen(text), room = 4 * len + 8;
	cleanup_free char *escaped = NULL;

	if (text_is_utf8(text, len))
		return cJSON_CreateString(text);
	escaped = malloc(room);
	if (!escaped)
		return NULL;
	text_escape(text, len, escaped, room);
	return cJSON_CreateString(escaped);
}

void json_text(struct json *json, const char *key, const char *text)
{
	(void)add(json, key, text ? make_text(text) : cJSON_CreateNull());
}

void json_texts(struct json *json, const char *key, char *const *texts, size_t n_texts)
{
	json_open_list(json, key);
	for (size_t i = 0; i < n_texts; i++)
		json_text(json, NULL, texts[i]);
	json_close(json);
}

void json_number(struct json *json, const char *key, uint64_t number)
{
	(void)add(json, key, cJSON_CreateNumber((double)number));
}

void json_truth(struct json *json, const char *key, bool truth)
{
	(void)add(json, key, cJSON_CreateBool(truth));
}

void json_null(struct json *json, const char *key)
{
	(void)add(json, key, cJSON_CreateNull());
}

/* cJSON escapes what JSON wants escaped. DEL and the control characters above ASCII, which some
 * terminals obey too, can stand only inside of strings: there they become \uNNNN. */
static void print_line(const char *text)
{
	for (const unsigned char *c = (const unsigned char *)text; *c; c++)
		if (*c == 0x7f)
			(void)fputs("\\u007f", stdout);
		else if (*c == 0xc2 && c[1] >= 0x80 && c[1] <= 0x9f)
			(void)printf("\\u00%02x", *++c);
		else
			(void)putchar(*c);
	(void)putchar('\n');
}

int json_print(struct json *json)
{
	cleanup_free char *text = NULL;

	if (!json || json->failed)
		return -ENOMEM;
	assert(json->n_open == 1);
	text = cJSON_Print(json->open[0]);
	if (!text)
		return -ENOMEM;
	print_line(text);
	return fflush(stdout) != 0 || ferror(stdout) ? -EIO : 0;
}

/* --- the outline --- */

enum { INDENT = 2, CELL_LEN = 64 };

static bool ends_in(const char *key, const char *end)
{
	size_t len = strlen(key), end_len = strlen(end);

	return len > end_len && strcmp(key + len - end_len, end) == 0;
}

/* The key without its unit, with blanks: "time limit". */
static const char *label(const char *key, char buf[CELL_LEN])
{
	static const char *const units[] = { "_bytes", "_sec", "_ms" };

	(void)snprintf(buf, CELL_LEN, "%s", key);
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (ends_in(buf, units[i]))
			buf[strlen(buf) - strlen(units[i])] = '\0';
	for (char *c = buf; *c; c++)
		if (*c == '_')
			*c = ' ';
	return buf;
}

static const char *bytes_text(double bytes, char buf[CELL_LEN])
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
	size_t i = 0;

	while (bytes >= 1024 && i + 1 < ARRAY_SIZE(units)) {
		bytes /= 1024;
		i++;
	}
	(void)snprintf(buf, CELL_LEN, "%.*f %s", bytes == (double)(uint64_t)bytes ? 0 : 1, bytes,
	               units[i]);
	return buf;
}

static const char *number_text(const char *key, double number, char buf[CELL_LEN])
{
	if (ends_in(key, "_bytes"))
		return bytes_text(number, buf);
	if (ends_in(key, "_sec"))
		return duration_for_people((uint64_t)number * 1000, buf);
	if (ends_in(key, "_ms"))
		return duration_for_people((uint64_t)number, buf);
	(void)snprintf(buf, CELL_LEN, "%.15g", number);
	return buf;
}

static int add_words(struct buffer *buf, const cJSON *list);

/* One value in one line, appended. */
static int add_value(struct buffer *buf, const char *key, const cJSON *value)
{
	char text[CELL_LEN];

	if (cJSON_IsString(value))
		return buffer_printf(buf, "%s", value->valuestring);
	if (cJSON_IsNumber(value))
		return buffer_printf(buf, "%s", number_text(key, value->valuedouble, text));
	if (cJSON_IsBool(value))
		return buffer_printf(buf, "%s", cJSON_IsTrue(value) ? "yes" : "no");
	return cJSON_IsArray(value) ? add_words(buf, value) : 0;
}

static int add_words(struct buffer *buf, const cJSON *list)
{
	int r = 0;

	for (const cJSON *item = list->child; item && r == 0; item = item->next) {
		r = item == list->child ? 0 : buffer_printf(buf, ", ");
		if (r == 0)
			r = add_value(buf, "", item);
	}
	return r;
}

static bool is_table(const cJSON *value)
{
	return cJSON_IsArray(value) && cJSON_IsObject(value->child);
}

/* The objects of one list have the same members, in the same order. */
static int print_rows(const cJSON *list, size_t indent)
{
	const size_t n_columns = (size_t)cJSON_GetArraySize(list->child);
	cleanup_free struct column *columns = calloc(n_columns + 1, sizeof(*columns));
	cleanup_free char(*heads)[CELL_LEN] = calloc(n_columns + 1, sizeof(*heads));
	cleanup_table struct table table = { .columns = columns, .indent = indent };

	if (!columns || !heads)
		return -ENOMEM;
	for (const cJSON *member = list->child->child; member; member = member->next) {
		columns[table.n_columns] = (struct column){
			label(member->string, heads[table.n_columns]), .shrinks = true
		};
		table.n_columns++;
	}
	for (const cJSON *row = list->child; row; row = row->next) {
		assert((size_t)cJSON_GetArraySize(row) == n_columns);
		for (const cJSON *member = row->child; member; member = member->next) {
			cleanup_(buffer_done) struct buffer text = { 0 };

			if (add_value(&text, member->string, member) < 0)
				return -ENOMEM;
			table_cell(&table, text.data ? text.data : "");
		}
	}
	return table_print(&table, terminal_width());
}

static size_t widest_label(const cJSON *object)
{
	size_t widest = 0;
	char text[CELL_LEN];

	for (const cJSON *member = object->child; member; member = member->next) {
		size_t width = strlen(label(member->string, text));

		if (!cJSON_IsObject(member) && !is_table(member) && width > widest)
			widest = width;
	}
	return widest;
}

static int print_members(const cJSON *object, size_t indent);

static int print_inner(const cJSON *member, size_t indent)
{
	char text[CELL_LEN];

	printf("%*s%s:\n", (int)indent, "", label(member->string, text));
	return is_table(member) ? print_rows(member, indent + INDENT)
	                        : print_members(member, indent + INDENT);
}

static int print_members(const cJSON *object, size_t indent)
{
	int width = (int)widest_label(object), r = 0;

	for (const cJSON *member = object->child; member && r == 0; member = member->next) {
		cleanup_(buffer_done) struct buffer text = { 0 };
		char name[CELL_LEN];

		if (cJSON_IsObject(member) || is_table(member)) {
			r = member->child ? print_inner(member, indent) : 0;
			continue;
		}
		r = add_value(&text, member->string, member);
		if (r < 0 || text.len == 0)
			continue;
		printf("%*s%-*s  ", (int)indent, "", width, label(member->string, name));
		print_text(text.data);
		(void)putchar('\n');
	}
	return r;
}

int json_print_outline(struct json *json)
{
	int r;

	if (!json || json->failed)
		return -ENOMEM;
	assert(json->n_open == 1);
	r = print_members(json->open[0], 0);
	return r < 0 ? r : fflush(stdout) != 0 || ferror(stdout) ? -EIO : 0;
}
