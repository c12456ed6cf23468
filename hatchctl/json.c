/* The one writer of JSON, and the home of cJSON, which makes the text. */
#include "json.h"

#include <assert.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/text.h"

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
