/* Where outputs go, and that they go away again unless everything went well. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/error.h"
#include "lib/tree/unpack.h"
#include "lib/wire/message.h"

struct output {
	char *name, *path;
	const char *leaf; /* last component of path */
	int parent_fd;
	bool made; /* by us, complete */
};

/* In the order of the request, which is the order in which they come. */
struct outputs {
	struct output items[WIRE_OUTPUTS_MAX];
	size_t n;
	size_t n_made;
	char *own[WIRE_OUTPUTS_MAX]; /* paths of all outputs of the derivation, asked for or not */
	size_t n_own;
};

/* outputs_done - removes what was made, unless outputs_keep() was called */
void outputs_done(struct outputs *outputs);

/*
 * outputs_add - one more place, for which there must be a directory and in which there must be
 * nothing
 *
 * Errors  BLAME_PEER -EINVAL, -E2BIG, -EEXIST; BLAME_HOST: what opening the directory said; a hint
 */
int outputs_add(struct outputs *outputs, const char *name, const char *path, struct error *err);

/* outputs_add_own - a path of the derivation; -ENOMEM */
int outputs_add_own(struct outputs *outputs, const char *path, struct error *err);

/* outputs_unpack - create the next one from its stream; watcher may be NULL; errors as of
 * tree_unpack() */
int outputs_unpack(struct outputs *outputs, const struct tree_source *source,
                   const struct tree_watcher *watcher, struct tree_totals *ret, struct error *err);

/* outputs_next - the one that must come now; NULL: all are there */
const struct output *outputs_next(const struct outputs *outputs);

/* outputs_keep - all is well: nothing will be removed */
void outputs_keep(struct outputs *outputs);
