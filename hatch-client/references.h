/*
 * Store paths in outputs that Nix will not know of: it records as references only those that are
 * inputs or outputs of the build, and lets its collector take all others away. A builder sees the
 * whole store of its host, so it may well leave such a path.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/error.h"
#include "lib/scan/store.h"
#include "lib/tree/unpack.h"
#include "lib/wire/message.h"
#include "relay.h"

enum { REFERENCES_TOLD_MAX = 64 };

/* One path that is no input, and where it was met first. */
struct reference {
	char path[STORE_PATH_MAX + 1];
	const char *output; /* borrowed */
	char *file;         /* below it; empty: the output itself */
};

/* Zero at the beginning: nothing is looked for. */
struct references {
	enum wire_references policy;
	char (*known)[STORE_HASH_LEN]; /* sorted once all are there */
	size_t n_known, room;
	struct reference *found; /* REFERENCES_TOLD_MAX */
	size_t n_found;
	bool more;      /* and others */
	bool no_memory; /* something may be missing */

	/* what is being looked at */
	const char *output, *file;
	struct store_scan scan;
};

void references_done(struct references *references);

/* references_know - one more path of this build, of the store or not; -ENOMEM */
int references_know(struct references *references, const char *path, struct error *err);

/*
 * references_learn - all that the sandbox shows, which is the inputs of the build
 *
 * Also what the administrator of the machine shows to all builds (sandbox-paths): from inside the
 * two look alike.
 *
 * Returns  1, or 0 if this is no sandbox of Nix, where the whole store is in sight
 * Errors   BLAME_HOST: what reading the mount table or the store said, -ENOMEM
 */
int references_learn(struct references *references, struct error *err);

/* references_watch - who is to see an output unpacked; output is borrowed */
struct tree_watcher references_watch(struct references *references, const char *output);

/*
 * references_judge - tell what was found, a line for each, as the policy says
 *
 * quiet    a warning is not told
 * Errors   BLAME_BUILD -EBADMSG, if there is something and the policy is REFERENCES_FAIL
 */
int references_judge(struct references *references, struct relay *relay, bool quiet,
                     struct error *err);
