/* A balanced tree (tsearch(3)) of device and inode numbers: whoever chooses them cannot make it
 * slow, as he could with a hash table. */
#include "links.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"

#include "walk.h"

/* What tsearch() and malloc() take for a node of their own, roughly. */
enum { NODE_OVERHEAD = 64 };

struct link {
	struct file_id id;
	char path[];
};

static int compare(const void *a, const void *b)
{
	const struct link *x = a, *y = b;

	if (x->id.dev != y->id.dev)
		return x->id.dev < y->id.dev ? -1 : 1;
	if (x->id.ino != y->id.ino)
		return x->id.ino < y->id.ino ? -1 : 1;
	return 0;
}

void links_done(struct links *links)
{
	tdestroy(links->root, free);
	*links = (struct links){ 0 };
}

int links_find(struct links *links, const struct file_id *id, const char *path, const char **ret)
{
	size_t path_len = strlen(path), len = sizeof(struct link) + path_len + 1;
	cleanup_free struct link *link = malloc(len);
	struct link **found;

	if (!link)
		return -ENOMEM;
	link->id = *id;
	memcpy(link->path, path, path_len + 1);

	*ret = NULL;
	found = tfind(link, &links->root, compare);
	if (found) {
		*ret = (*found)->path;
		return 0;
	}
	if (links->memory + len + NODE_OVERHEAD > LINKS_MEMORY_MAX)
		return 0;
	if (!tsearch(link, &links->root, compare))
		return -ENOMEM;
	links->memory += len + NODE_OVERHEAD;
	(void)take_ptr(&link);
	return 0;
}
