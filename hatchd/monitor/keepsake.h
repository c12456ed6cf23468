/*
 * What is kept of a request that failed, for the administrator: a directory STATE/failed/ID, root's
 * alone.
 *
 *   receipt     the fields of the journal's line, one a line: NAME=VALUE
 *   definition  the builder's file, as it was
 *   sandbox     what init saw of the sandbox before the builder started, in sections
 *   log         the last of both streams; see tap.h
 *   files.tar   what "keep_failed" named; absent if that is nothing, or
 *   files.error why they could not be kept
 *
 * While the request runs the directory is named .ID, and locked: one without a lock is a dead
 * instance's. The monitor opens and names; what is in log and files.tar it never reads.
 * Source: docs/security.md, "Failed requests"; hatch-builder(5), keep_failed
 */
#pragma once

#include <stdint.h>

#include "hatchd/config/config.h"
#include "lib/base/error.h"

enum { KEEPSAKE_NAME_MAX = 64 };

struct keepsake {
	int failed_fd; /* the directory of all keepsakes; -1: nothing is kept of this request */
	int dir_fd;    /* of this one; -1: not begun, or done with */
	int log_fd, sandbox_fd, files_fd;
	char name[KEEPSAKE_NAME_MAX + 2]; /* with the dot */
};

/* A struct keepsake without anything. */
#define KEEPSAKE_NONE               \
	{                           \
		-1, -1, -1, -1, -1, \
		{                   \
			'\0'        \
		}                   \
	}

/*
 * keepsake_begin - make the directory and the files that others will write
 *
 * state_dir   believed, see config_open_state()
 * id          of the request; a file name
 * Errors      BLAME_HOST: what the file system says. *ret may be empty then
 */
int keepsake_begin(const char *state_dir, const char *id, struct keepsake *ret, struct error *err);

/* keepsake_drop_files - there are none: nobody asked for any, or why says what went wrong (NULL:
 * nothing) */
void keepsake_drop_files(struct keepsake *keepsake, const char *why);

/* keepsake_write - one more file, from memory. 0 or a negative errno */
int keepsake_write(const struct keepsake *keepsake, const char *name, const void *bytes,
                   size_t len);

/*
 * keepsake_keep - from here on it is there; older ones make room for it
 *
 * Needs no capability.
 * Errors  BLAME_HOST: what the file system says; then it is not kept
 */
int keepsake_keep(struct keepsake *keepsake, const struct config *config, struct error *err);

/* keepsake_done - a keepsake that was not kept goes away, and descriptors are closed */
void keepsake_done(struct keepsake *keepsake);
