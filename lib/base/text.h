/* Text from strangers: checked, escaped, turned into numbers. Nothing here allocates. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* text_is_utf8 - well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates); NUL is allowed */
bool text_is_utf8(const void *text, size_t len);

/* text_is_plain - UTF-8 without control characters (C0, DEL, C1): text_escape() would change at
 * most its backslashes */
bool text_is_plain(const char *text, size_t len);

/*
 * text_escape - make any bytes fit for one line of a log or a terminal
 *
 * Control characters (C0, DEL, C1 as UTF-8), the backslash and bytes that are not UTF-8 become
 * \xNN, \n, \r, \t or \\. What does not fit ends in "..."; the result always ends in NUL.
 * ret_len must be at least 8.
 */
void text_escape(const char *text, size_t len, char *ret, size_t ret_len);

/* text_to_u64 - canonical decimal only: no sign, space, leading zero or other base;
 * 0, -EINVAL or -ERANGE above max */
int text_to_u64(const char *text, uint64_t max, uint64_t *ret);

enum { TEXT_SIZE_LEN = 32 };

/* text_size - bytes for a sentence, as people write them: "64M" (K, M, G and T, of 1024), or where
 * no unit fits without a rest "1000 bytes". Returns ret */
const char *text_size(uint64_t bytes, char ret[TEXT_SIZE_LEN]);

/* text_size_json - the same as it is written into a configuration file: "\"64M\"", or "1000" */
const char *text_size_json(uint64_t bytes, char ret[TEXT_SIZE_LEN]);

/* text_is_name - ^[a-z0-9][a-z0-9._-]{0,63}$: builders; len without NUL */
bool text_is_name(const char *text, size_t len);

/* text_is_variable - ^[A-Za-z_][A-Za-z0-9_]{0,127}$: environment variables */
bool text_is_variable(const char *text, size_t len);

/* text_is_output - ^[a-z][A-Za-z0-9_-]{0,63}$: outputs of a derivation. They become environment
 * variables, and starting in lower case keeps them from naming PATH or LD_PRELOAD. */
bool text_is_output(const char *text, size_t len);

/* text_is_input - ^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$: what a client sends along. A file gets the
 * name, never a variable. */
bool text_is_input(const char *text, size_t len);

/* text_is_store_name - <32 digits of base 32>-<name>: what a path of the Nix store ends in */
bool text_is_store_name(const char *text, size_t len);

/* path_is_inner - does it lead from a directory to what is inside of it? Relative, and no component
 * is empty, "." or ".."; no NUL */
bool path_is_inner(const char *path, size_t len);

/* path_is_below - is inner the place outer, or inside of it? Both absolute, without "." and ".." */
bool path_is_below(const char *inner, const char *outer);
