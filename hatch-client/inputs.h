/* Which trees go along with a request, and their way to the server. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/error.h"
#include "lib/wire/message.h"
#include "progress.h"

struct input {
	char *name, *path;
	const char *leaf; /* last component of path; "." if it names a directory by a slash */
	int dir_fd;       /* where leaf is looked for */
	bool wanted;      /* by the server, and not sent yet */
};

/* In the order of the request. */
struct inputs {
	struct input items[WIRE_INPUTS_MAX];
	size_t n;
};

void inputs_done(struct inputs *inputs);

/*
 * inputs_add - one more tree, which must be there
 *
 * path    of a file, directory or symlink, which is sent as such; with a slash at its end, what a
 *         symlink leads to
 * Errors  BLAME_PEER -EINVAL, -E2BIG; BLAME_HOST: what looking for it said; a hint
 */
int inputs_add(struct inputs *inputs, const char *name, const char *path, struct error *err);

/*
 * inputs_want - what the server has accepted: the names that it is to be sent, others it has
 *
 * names   NULL-terminated; NULL: the server has said nothing
 * Errors  BLAME_PEER -EBADMSG: it knows nothing of inputs, or names others
 */
int inputs_want(struct inputs *inputs, char *const *names, struct error *err);

/*
 * inputs_send - pack one and send it, to its end record; progress hears of its bytes
 *
 * Errors  of tree_pack_as_it_is() and wire_write(); BLAME_PEER -EBADMSG: it is not wanted
 */
int inputs_send(struct inputs *inputs, const char *name, struct wire *wire,
                struct progress *progress, struct error *err);

/* inputs_missing - the server has begun without this one, which it wanted; NULL: none */
const struct input *inputs_missing(const struct inputs *inputs);
