/*
 * JSON for programs: one object, written from top to bottom. What finds no memory is remembered and
 * said at the end, so that those who write need not look after each word.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/cleanup.h"

enum {
	JSON_DEPTH_MAX = 8, /* objects and lists in each other */
};

struct json;

#define cleanup_json cleanup_(json_freep)

/* json_new - an open object; NULL: no memory, which json_print() tells too */
struct json *json_new(void);
void json_freep(struct json **json);

/* json_open_object, json_open_list - what is written next is inside of it, until json_close(). key:
 * NULL inside of a list */
void json_open_object(struct json *json, const char *key);
void json_open_list(struct json *json, const char *key);
void json_close(struct json *json);

/* json_text - any bytes; those that are not UTF-8 come as text_escape() writes them. NULL: null */
void json_text(struct json *json, const char *key, const char *text);
void json_texts(struct json *json, const char *key, char *const *texts, size_t n_texts);
/* json_number - exact up to 2^53 */
void json_number(struct json *json, const char *key, uint64_t number);
void json_truth(struct json *json, const char *key, bool truth);
void json_null(struct json *json, const char *key);

/* json_print - to stdout, as text without a character that a terminal would obey; 0, -ENOMEM or
 * -EIO */
int json_print(struct json *json);

/*
 * json_print_outline - the same for people: a line for each member, a list of objects as a table
 *
 * Members whose names end in _bytes, _sec and _ms are shown with units; those that are null or
 * empty are left out. 0, -ENOMEM or -EIO
 */
int json_print_outline(struct json *json);
