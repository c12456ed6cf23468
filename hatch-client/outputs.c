/* Directories held open from before the request until its end: what is removed is what we made. */
#include "outputs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/fd.h"
#include "lib/tree/remove.h"
#include "parent.h"

static void output_done(struct output *output)
{
	/* The failure that brought us here is the one to tell. */
	if (output->made)
		(void)tree_remove(output->parent_fd, output->leaf, NULL);
	fd_closep(&output->parent_fd);
	freep(&output->name);
	freep(&output->path);
}

void outputs_done(struct outputs *outputs)
{
	for (size_t i = 0; i < outputs->n; i++)
		output_done(&outputs->items[i]);
	for (size_t i = 0; i < outputs->n_own; i++)
		free(outputs->own[i]);
	*outputs = (struct outputs){ 0 };
}

void outputs_keep(struct outputs *outputs)
{
	for (size_t i = 0; i < outputs->n; i++)
		outputs->items[i].made = false;
}

const struct output *outputs_next(const struct outputs *outputs)
{
	return outputs->n_made < outputs->n ? &outputs->items[outputs->n_made] : NULL;
}

static int open_parent(struct output *output, struct error *err)
{
	output->parent_fd = parent_open(output->path, O_RDONLY, &output->leaf);
	if (!*output->leaf || strcmp(output->leaf, ".") == 0 || strcmp(output->leaf, "..") == 0)
		return error_set(err, BLAME_PEER, EINVAL,
		                 "output %s: \"%s\" does not end in a name", output->name,
		                 output->path);
	if (output->parent_fd >= 0)
		return 0;
	(void)error_errno(err, BLAME_HOST, -output->parent_fd,
	                  "output %s: cannot open the directory of %s", output->name, output->path);
	return error_hint(err, "the directory must be there before the outputs come");
}

static int check_free(const struct output *output, struct error *err)
{
	struct stat st;

	if (fstatat(output->parent_fd, output->leaf, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0
		                       : error_errno(err, BLAME_HOST, errno,
		                                     "output %s: cannot look for %s", output->name,
		                                     output->path);
	(void)error_set(err, BLAME_PEER, EEXIST, "output %s: %s is there already", output->name,
	                output->path);
	return error_hint(err,
	                  "remove it, give another place with --output %s=PATH, or ask for "
	                  "none with --no-outputs",
	                  output->name);
}

static int fill(struct output *output, const char *name, const char *path, struct error *err)
{
	size_t len = strlen(path);
	int r;

	while (len > 1 && path[len - 1] == '/')
		len--;
	output->parent_fd = -1;
	output->name = strdup(name);
	output->path = strndup(path, len);
	if (!output->name || !output->path)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for outputs");
	r = open_parent(output, err);
	return r < 0 ? r : check_free(output, err);
}

int outputs_add(struct outputs *outputs, const char *name, const char *path, struct error *err)
{
	if (outputs->n == WIRE_OUTPUTS_MAX)
		return error_set(err, BLAME_PEER, E2BIG, "more than %d outputs", WIRE_OUTPUTS_MAX);
	for (size_t i = 0; i < outputs->n; i++)
		if (strcmp(outputs->items[i].name, name) == 0)
			return error_set(err, BLAME_PEER, EINVAL, "output %s is named twice", name);
	return fill(&outputs->items[outputs->n++], name, path, err);
}

int outputs_add_own(struct outputs *outputs, const char *path, struct error *err)
{
	outputs->own[outputs->n_own] = strdup(path);
	if (!outputs->own[outputs->n_own++])
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for outputs");
	return 0;
}

int outputs_unpack(struct outputs *outputs, const struct tree_source *source,
                   const struct tree_watcher *watcher, struct tree_totals *ret, struct error *err)
{
	struct output *output = &outputs->items[outputs->n_made];
	int r = tree_unpack_watched(output->parent_fd, output->leaf, NULL, NULL, source, watcher,
	                            ret, err);

	if (r < 0)
		return r;
	output->made = true;
	outputs->n_made++;
	return 0;
}
