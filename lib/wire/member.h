/*
 * Objects by table: one row for each member says its name, its kind and where its value stands.
 * Reading, printing and releasing all follow the table, so the three cannot disagree. For the files
 * of this folder alone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json.h"
#include "message.h"

struct member;

/* A kind of member. base is the struct that holds it; request.c's and objects.c's lists know their
 * struct message. */
struct kind {
	int (*read)(const struct member *member, json_t *json, void *base, struct error *err);
	/* sets *ret to NULL if the member is absent; a negative errno if it cannot be printed */
	int (*print)(const struct member *member, const void *base, json_t **ret);
	void (*done)(const struct member *member, void *base); /* NULL: owns nothing */
};

struct member {
	const char *name;
	const struct kind *kind;
	size_t at; /* offset below base */
	bool must;
	uint64_t min, max;                          /* numbers; of a list: items */
	bool (*fits)(const char *text, size_t len); /* strings; NULL: any */
	const char *pattern;                        /* what fits, for people */
};

/* The kinds, and the type that each has at member->at. */
extern const struct kind u32_kind;        /* uint32_t; member.c */
extern const struct kind u64_kind;        /* uint64_t */
extern const struct kind bool_kind;       /* bool */
extern const struct kind string_kind;     /* char * */
extern const struct kind names_kind;      /* char **, ends in NULL */
extern const struct kind data_kind;       /* struct text, printed if it is plain; bytes.c */
extern const struct kind data_b64_kind;   /* the same struct text, printed if it is not */
extern const struct kind args_kind;       /* of a request; request.c */
extern const struct kind env_kind;        /* the same */
extern const struct kind trees_kind;      /* struct wire_tree *, and behind it how many */
extern const struct kind reply_kind;      /* bool */
extern const struct kind references_kind; /* enum wire_references */
extern const struct kind receipt_kind;    /* struct wire_receipt; objects.c */
extern const struct kind builders_kind;   /* of the message "builders" */

/* What texts look like; the others are in lib/base/text.h. */
bool wire_is_id(const char *text, size_t len);
bool wire_is_sha256(const char *text, size_t len);
bool wire_is_error_code(const char *text, size_t len);
bool wire_is_request_id(const char *text, size_t len);
bool wire_is_phase(const char *text, size_t len);

#define IS_ID         .fits = wire_is_id, .pattern = "[0-9a-f]{16}"
#define IS_SHA256     .fits = wire_is_sha256, .pattern = "[0-9a-f]{64}"
#define IS_NAME       .fits = text_is_name, .pattern = "[a-z0-9][a-z0-9._-]{0,63}"
#define IS_OUTPUT     .fits = text_is_output, .pattern = "[a-z][A-Za-z0-9_-]{0,63}"
#define IS_INPUT      .fits = text_is_input, .pattern = "[A-Za-z0-9_][A-Za-z0-9._-]{0,63}"
#define IS_ERROR_CODE .fits = wire_is_error_code, .pattern = "[a-z-]{1,32}"
#define IS_REQUEST_ID .fits = wire_is_request_id, .pattern = "[A-Za-z0-9._-]{1,64}"
#define IS_PHASE      .fits = wire_is_phase, .pattern = "1 to 256 bytes without control characters"

#define ANY_NUMBER .max = INT64_MAX, .must = true

/* member_refuse - sets err and returns -EBADMSG: member "NAME" and the words behind it */
int member_refuse(const struct member *member, struct error *err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* member_at - where the member's value stands in base */
void *member_at(const struct member *member, const void *base);

/* For kinds. wire_copy_bytes() adds a NUL; NULL: no memory. wire_copy_string() is of a JSON string.
 * wire_print_text() fails with -EILSEQ where the text is not UTF-8. */
char *wire_copy_bytes(const char *bytes, size_t len);
int wire_copy_string(json_t *json, char **ret, struct error *err);
int wire_print_text(const char *text, size_t len, json_t **ret);

/* wire_read_bytes - a string, or {"b64": "..."}: any bytes but NUL; wire_print_bytes() is the way
 * back, -EINVAL if there is a NUL; bytes.c */
int wire_read_bytes(const struct member *member, json_t *json, struct text *ret, struct error *err);
int wire_print_bytes(const struct text *text, json_t **ret);

/* members_read - what the rows name; all else in the object is left alone. What was read before a
 * failure is released by members_done(). members_to_json() is for kinds that nest. */
int members_read(const struct member *members, size_t n, json_t *object, void *base,
                 struct error *err);
int members_print(const struct member *members, size_t n, const void *base, json_t *object,
                  struct error *err);
void members_done(const struct member *members, size_t n, void *base);
int members_to_json(const struct member *members, size_t n, const void *base, json_t **ret);
