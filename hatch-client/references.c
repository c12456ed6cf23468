/* See references.h. What is found is kept until all is well otherwise: a warning about outputs that
 * are thrown away would only be in the way of the reason. */
#include "references.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/text.h"
#include "nix.h"

enum { FILE_TOLD_MAX = 512 };

void references_done(struct references *references)
{
	for (size_t i = 0; i < references->n_found; i++)
		free(references->found[i].file);
	free(references->found);
	free(references->known);
	*references = (struct references){ 0 };
}

static int no_memory(struct error *err)
{
	return error_set(err, BLAME_HOST, ENOMEM, "no memory for the inputs of the build");
}

/* ---- what is known ---- */

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, STORE_HASH_LEN);
}

int references_know(struct references *references, const char *path, struct error *err)
{
	const char *hash = store_hash(path);

	if (!hash)
		return 0;
	if (references->n_known == references->room) {
		size_t room = 2 * references->room + 64;
		void *known = reallocarray(references->known, room, STORE_HASH_LEN);

		if (!known)
			return no_memory(err);
		references->known = known;
		references->room = room;
	}
	memcpy(references->known[references->n_known++], hash, STORE_HASH_LEN);
	return 0;
}

/* Directories are mounts, files and symlinks may be copies: all of them are entries. */
static int learn_entries(struct references *references, struct error *err)
{
	cleanup_directory DIR *dir = opendir(STORE_DIR);
	struct dirent *entry;

	if (!dir)
		return error_errno(err, BLAME_HOST, errno, "cannot list " STORE_DIR);
	while (errno = 0, (entry = readdir(dir))) {
		int r = references_know(references, entry->d_name, err);

		if (r < 0)
			return r;
	}
	return errno ? error_errno(err, BLAME_HOST, errno, "cannot list " STORE_DIR) : 0;
}

int references_learn(struct references *references, struct error *err)
{
	int r = nix_find_sandbox(err);

	if (r <= 0)
		return r;
	r = learn_entries(references, err);
	if (r < 0)
		return r;
	qsort(references->known, references->n_known, STORE_HASH_LEN, compare);
	return 1;
}

/* ---- what is found ---- */

static bool is_known(const struct references *references, const char *hash)
{
	return references->n_known > 0 && bsearch(hash, references->known, references->n_known,
	                                          STORE_HASH_LEN, compare) != NULL;
}

static bool is_found(const struct references *references, const char *hash)
{
	for (size_t i = 0; i < references->n_found; i++)
		if (memcmp(references->found[i].path + STORE_DIR_LEN, hash, STORE_HASH_LEN) == 0)
			return true;
	return false;
}

/* store_scan's; a path that is known, or was met before, is of no interest. */
static void take(void *context, const char *path, size_t len)
{
	struct references *references = context;
	const char *hash = path + STORE_DIR_LEN;
	struct reference *reference;

	if (is_known(references, hash) || is_found(references, hash))
		return;
	if (references->n_found == REFERENCES_TOLD_MAX) {
		references->more = true;
		return;
	}
	if (!references->found)
		references->found = calloc(REFERENCES_TOLD_MAX, sizeof(*references->found));
	if (!references->found) {
		references->no_memory = true;
		return;
	}
	reference = &references->found[references->n_found];
	reference->output = references->output;
	reference->file = strdup(references->file);
	references->no_memory |= !reference->file;
	memcpy(reference->path, path, len);
	references->n_found++;
}

static void see(void *context, const char *path, const void *bytes, size_t len, uint64_t left)
{
	struct references *references = context;

	references->file = path;
	store_scan_add(&references->scan, bytes, len, left == 0);
}

struct tree_watcher references_watch(struct references *references, const char *output)
{
	references->output = output;
	references->scan = (struct store_scan){ .found = take, .context = references };
	return (struct tree_watcher){ see, references };
}

/* ---- what comes of it ---- */

static void tell(const struct reference *reference, struct relay *relay)
{
	char file[FILE_TOLD_MAX] = "";

	if (reference->file)
		text_escape(reference->file, strlen(reference->file), file, sizeof(file));
	relay_line(relay, "output %s%s%s refers to %s, which is no input of this build",
	           reference->output, file[0] ? ": " : "", file, reference->path);
}

int references_judge(struct references *references, struct relay *relay, bool quiet,
                     struct error *err)
{
	bool fail = references->policy == REFERENCES_FAIL;

	if (fail && references->no_memory)
		return no_memory(err);
	if (!fail && quiet)
		return 0;
	for (size_t i = 0; i < references->n_found; i++)
		tell(&references->found[i], relay);
	if (references->more)
		relay_line(relay, "there are more such paths");
	if (references->no_memory)
		relay_line(relay, "of store paths that are no inputs of this build some may not be "
		                  "told: there was no memory for all of them");
	if (!fail || references->n_found == 0)
		return 0;
	(void)error_set(err, BLAME_BUILD, EBADMSG,
	                "the outputs refer to store paths that are no inputs of this build: Nix "
	                "would not keep them");
	return error_hint(err, "make them inputs of the derivation, or keep the builder from "
	                       "leaving them; see hatch(1), \"References\"");
}
