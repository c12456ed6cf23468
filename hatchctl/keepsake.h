/* What is kept of a request that failed, below the state directory. hatch-builder(5), keep_failed,
 * says what it holds. */
#pragma once

#include "json.h"
#include "verbs.h"

struct keepsake {
	char *path;
	int dir_fd; /* -1: nothing was kept, or this user may not see it */
};

/* A struct keepsake without anything. */
#define KEEPSAKE_NONE        \
	{                    \
		.dir_fd = -1 \
	}

#define cleanup_keepsake cleanup_(keepsake_done)

/* keepsake_open - of the request id, 16 hexadecimal digits. That there is none is no failure. 0 or
 * a negative errno, BLAME_HOST */
int keepsake_open(const struct options *options, const char *id, struct keepsake *ret,
                  struct error *err);
void keepsake_done(struct keepsake *keepsake);

/* keepsake_write - the member "kept" into an open object: its path and what is in it, or null */
int keepsake_write(const struct keepsake *keepsake, struct json *json, struct error *err);

/* keepsake_read - one of its files that the server wrote itself, of max bytes at most. 1 and *ret
 * (malloc()ed), 0 there is none, or a negative errno */
int keepsake_read(const struct keepsake *keepsake, const char *name, size_t max, char **ret,
                  struct error *err);

/*
 * keepsake_print_log - the end of the log, to stdout, each line escaped
 *
 * A builder wrote it: so root's rights are given up for ever before it is read. Call it last.
 */
int keepsake_print_log(const struct keepsake *keepsake, struct error *err);
