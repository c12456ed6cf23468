/*
 * What hatchd.json and the definitions of builders are read with: tables of keys, one reader for
 * each kind of value. A reader says what is wrong as FILE:LINE:COLUMN: what is wrong; what was
 * expected.
 */
#pragma once

#include "config.h"
#include "document.h"

enum {
	LIST_MAX = 4096, /* items of one list */
	ACCOUNT_NAME_MAX = 256,
	SHOW_LEN = 128,
};

/* Gets every error of a configuration, not only the first. */
struct config_report {
	void (*error)(void *data, const struct error *err);
	void *data;
	/* of config_check_all(): what a request does not fail for, but hardly does as it was meant;
	 * NULL: it is not looked for */
	void (*warning)(void *data, const struct error *err);
	bool layers; /* of config_check_all(): also compare the layers of overlays */

	/* The configuration is not this machine's: nothing of the machine is asked, neither its
	 * accounts nor what a definition names, and whose files they are does not matter. What is
	 * read so must not be used for a request */
	bool offline;
};

/* One file that is being read. */
struct reading {
	const struct document *doc;         /* root empty: there is no such file */
	const struct config *config;        /* of a builder */
	const struct config_report *report; /* NULL: the first error ends the reading */
	struct error *err;                  /* takes the first error */
	int first;                          /* 0, or that error as a negative errno */
};

/* What an object may hold. */
struct member {
	const char *key;
	int (*read)(struct reading *in, const struct value *value, const struct member *row,
	            void *object);
	size_t offset;             /* of the field in the object, for readers of one value */
	uint64_t min, max;         /* of a number, or of the bytes of a text */
	const struct member *rows; /* of an object inside of this one: read_members() */
	size_t n_rows;
	bool required;
};

/* reading_fail - say what is wrong with a value; at NULL: with the whole file. Returns -code */
int reading_fail(struct reading *in, const struct value *at, int code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* reading_fail_key - the same, about the key of the value */
int reading_fail_key(struct reading *in, const struct value *at, int code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* reading_keep_error - the same with an error made elsewhere. Returns -err->code */
int reading_keep_error(struct reading *in, const struct error *err);

/* reading_no_memory - returns -ENOMEM */
int reading_no_memory(struct reading *in);

/* reading_key - what the file says at a key, so that what is wrong with it has a place; NULL if the
 * key has its default */
const struct value *reading_key(const struct reading *in, const char *key);

/* reading_stops - after a reader failed: is there no point in reading on? */
bool reading_stops(const struct reading *in);

/* show - text made fit for a message: escaped, shortened; returns buf */
const char *show(const char *text, char buf[SHOW_LEN]);

/* expect_kind - 0, or -EINVAL having said what was expected */
int expect_kind(struct reading *in, const struct value *value, enum value_kind kind);

/* expect_list - a list of at most LIST_MAX; min_items is 0 or 1 */
int expect_list(struct reading *in, const struct value *value, size_t min_items);

/* expect_text - a string of row->max bytes at most */
int expect_text(struct reading *in, const struct value *value, uint64_t max);

/* expect_path - an absolute path, spelled in the one way that needs no reading: without "//", "."
 * and
 * "..", and without "/" at the end */
int expect_path(struct reading *in, const struct value *value);

/* Readers for rows. The field is a ... */
int read_members(struct reading *in, const struct value *value, const struct member *row,
                 void *object); /* none: row->rows say which */
int read_line(struct reading *in, const struct value *value, const struct member *row,
              void *object); /* char *, one line without control characters */
int read_path(struct reading *in, const struct value *value, const struct member *row,
              void *object); /* char *, see expect_path() */
int read_count(struct reading *in, const struct value *value, const struct member *row,
               void *object); /* uint64_t */
int read_size(struct reading *in, const struct value *value, const struct member *row,
              void *object); /* uint64_t, bytes: an integer, or "256M" */
int read_truth(struct reading *in, const struct value *value, const struct member *row,
               void *object); /* bool */

/* config_read_text - a whole configuration file that only the right people could have written.
 * Returns 1, 0 there is none, or a negative errno */
int config_read_text(const char *path, uid_t owner_uid, char **ret, size_t *ret_len,
                     struct error *err);

/* config_hint_missing - add how to make a directory of the configuration that is not there: one
 * that comes with the installation, or that its owner makes */
void config_hint_missing(const char *dir, struct error *err);

/* config_load_reporting, builder_load_reporting - as without the last word. Every error is
 * reported, and the first also in err. With a report *ret of the first holds also on failure what
 * could be read, if dir is set in it */
int config_load_reporting(const char *dir, bool pool, const struct config_report *report,
                          struct config *ret, struct error *err);
int builder_load_reporting(const struct config *config, const char *name,
                           const struct config_report *report, struct builder *ret,
                           struct error *err);

/* config_list_builders_reporting - the same for config_list_builders(); *ret holds the good names
 * also on failure, unless report is NULL or memory is short */
int config_list_builders_reporting(const struct config *config, const struct config_report *report,
                                   char ***ret, struct error *err);

/* config_parse, builder_parse - the same from memory, file being its name for messages; 0 or a
 * negative errno. Accounts are looked up, files are not. text NULL: there is no such file */
int config_parse(const char *dir, bool pool, const char *text, size_t len,
                 const struct config_report *report, struct config *ret, struct error *err);
int builder_parse(const struct config *config, const char *name, const char *text, size_t len,
                  const struct config_report *report, struct builder *ret, struct error *err);
