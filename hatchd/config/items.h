/*
 * Readers for lists, words and accounts: what several groups of keys are made of.
 */
#pragma once

#include <sys/types.h>

#include "read.h"

/* Of a definition: for tables of struct member whose object is a struct builder. */
#define FIELD(field)  offsetof(struct builder, field)
#define INSIDE(table) .rows = table, .n_rows = ARRAY_SIZE(table)

/*
 * read_strings - a list of strings, each checked by check() first
 *
 * min_items  1: an empty list is refused, where it could be read as "none" and as "any"
 * ret        NULL-terminated, owned by the caller also on failure; release with strv_free()
 */
int read_strings(struct reading *in, const struct value *value, size_t min_items,
                 int (*check)(struct reading *in, const struct value *list,
                              const struct value *item),
                 char ***ret, size_t *ret_n);

/* read_items - a list of numbers or other things of one size, each made by make(); *ret is owned by
 * the caller also on failure */
int read_items(struct reading *in, const struct value *value, size_t item_len,
               int (*make)(struct reading *in, const struct value *item, void *ret), void **ret,
               size_t *ret_n);

/* read_word - one of a few words; *ret is its index. expected: the words for the message */
int read_word(struct reading *in, const struct value *value, const char *const *words,
              size_t n_words, const char *expected, size_t *ret);

/* check_feature - the name of a feature that a derivation can require; for read_strings() */
int check_feature(struct reading *in, const struct value *list, const struct value *item);

/* make_uid, make_gid - an account by name or number; for read_items(). ret: uid_t, gid_t; ids.c */
int make_uid(struct reading *in, const struct value *item, void *ret);
int make_gid(struct reading *in, const struct value *item, void *ret);
