/* Which names of one stream belong to one file: remembers the first name of each file that has
 * several, within a fixed amount of memory. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct file_id;

enum { LINKS_MEMORY_MAX = 64 * 1024 * 1024 };

struct links {
	void *root;
	size_t memory; /* bytes in use */
};

void links_done(struct links *links);

/*
 * links_find - the name under which this file was sent first
 *
 * id      of the file that stands at path
 * ret     set to that name (valid until links_done()), or to NULL if there is none: then path is
 *         remembered, if LINKS_MEMORY_MAX allows. What is forgotten is sent in full again.
 * Returns 0 or -ENOMEM
 */
int links_find(struct links *links, const struct file_id *id, const char *path, const char **ret);
