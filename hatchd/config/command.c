/* Whether the command of a definition can be run: looked for where the view has it, which for a
 * link, or for what starts the program, may be another place than where the view has its path. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder.h"
#include "lib/base/text.h"
#include "trusted-path.h"
#include "view-plan.h"

/* What the view is made of, as a tree to look for a program in. */
struct shown {
	const struct config *config;
	const struct builder *builder;
	struct view_plan plan;
	struct trusted_root root; /* of the builder's own; fd -1: it has none */
	char name[PATH_MAX + 1];
};

static const struct trusted_root host = { .fd = AT_FDCWD, .name = "" };

static bool is_there(const char *dir, const char *rest)
{
	char path[2 * PATH_MAX];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s%s", dir, rest);
	return lstat(path, &st) == 0;
}

/* Of an overlay: the layer that has it, or the last, where it is missing. */
static const char *find_layer(const struct place *place, const char *rest)
{
	char *const *layer = place->lower;

	while (layer[1] && !is_there(*layer, rest))
		layer++;
	return *layer;
}

/* To show a home, or to give it to root, is no advice. */
static int hint_at_home(struct error *err)
{
	return error_hint(err, "no view shows homes of itself, and who owns one could change the "
	                       "program: install it where only root can write, such as "
	                       "/usr/local/bin, or in a directory of root's in \"view.read\"");
}

/* row: what is at the path instead; NULL: nothing at all. */
static int fail_not_shown(const struct view_row *row, const char *path, struct error *err)
{
	const char *at = row ? row->at : "";
	int len = (int)(strrchr(path, '/') - path);

	if (!row || row->kind == VIEW_DIRECTORY)
		(void)error_set(err, BLAME_HOST, ENOENT, "the view does not show %s", path);
	else
		(void)error_set(err, BLAME_HOST, ENOENT, "the view does not show %s: %s is %s",
		                path, at, row->kind == VIEW_HIDE ? "hidden" : "not the host's");
	if (row && row->place)
		return error_hint(err, "take %s out of \"%s\", or choose a program outside of it",
		                  at, view_kind_name(row->kind));
	if (path_is_below(path, "/home") || path_is_below(path, "/root"))
		return hint_at_home(err);
	/* What hatch has a place of its own for is not shown as a whole. */
	if (len == 0 || (strlen(at) == (size_t)len && memcmp(at, path, (size_t)len) == 0))
		len = (int)strlen(path);
	return error_hint(err,
	                  "add \"%.*s\" to \"read\" of \"view\", or choose a program that it "
	                  "shows",
	                  len, path);
}

/* Does the row show something of the host at the path, so that what lies below it counts for
 * nothing? */
static bool covers(const struct shown *shown, const struct view_row *row, const char *path)
{
	if (!path_is_below(path, row->at))
		return false;
	switch (row->kind) {
	case VIEW_FREEZE:
		return false; /* what is there already */
	case VIEW_HOST:
		return !view_host_lacks(shown->config, path);
	case VIEW_SYSTEM:
	case VIEW_FILE:
		return is_there(row->source, "");
	default:
		return !row->optional || !row->source || is_there(row->source, "");
	}
}

static const struct view_row *find_row(const struct shown *shown, const char *path)
{
	for (size_t i = shown->plan.n_rows; i > 0; i--)
		if (covers(shown, &shown->plan.rows[i - 1], path))
			return &shown->plan.rows[i - 1];
	return NULL;
}

/* The innermost that is there counts, and it is the last. */
static int find_shown(const void *data, const char *path, struct trusted_place *ret,
                      struct error *err)
{
	const struct shown *shown = data;
	const struct view_row *row = find_row(shown, path);
	size_t at_len = row ? strlen(row->at) : 0;

	*ret = (struct trusted_place){ .root = row ? host : shown->root, .source = "" };
	if (!row)
		return shown->root.fd >= 0 ? 0 : fail_not_shown(NULL, path, err);
	switch (row->kind) {
	case VIEW_READ:
	case VIEW_WRITE:
	case VIEW_DEVICE:
	case VIEW_FILE:
		ret->at_len = at_len;
		ret->source = row->source;
		return 0;
	case VIEW_OVERLAY:
		ret->at_len = at_len;
		ret->source = find_layer(row->place, path + at_len);
		return 0;
	case VIEW_SYSTEM: /* at the same path, also if it is a link */
	case VIEW_HOST:
	case VIEW_STORE:
		return 0;
	default:
		return fail_not_shown(row, path, err);
	}
}

static int check_program(const struct config *config, const struct builder *builder, int root_fd,
                         int *ret_fd, struct error *err)
{
	const bool image = builder->root.kind == ROOT_IMAGE;
	struct shown shown = { .config = config,
		               .builder = builder,
		               .root = { root_fd, shown.name, .sealed = image } };
	const struct trusted_view view = { find_shown, &shown };
	int r = view_plan_make(config, builder, &shown.plan);

	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot list what the view holds");
	if (builder->root.kind == ROOT_SYSTEM)
		shown.root.fd = -1;
	else
		(void)snprintf(shown.name, sizeof(shown.name), "%s%s", builder->root.path,
		               image ? ":" : "");
	r = trusted_program_in(&view, builder->command[0], config->owner_uid, ret_fd, NULL, err);
	view_plan_done(&shown.plan);
	return r;
}

int builder_check_command(const struct config *config, const struct builder *builder, int root_fd,
                          int *ret_fd, struct error *err)
{
	struct error why;
	int r = check_program(config, builder, root_fd, ret_fd, &why);

	return r == 0 ? 0 : builder_fail(builder, "command", 0, "command", &why, err);
}

int builder_check_start(const struct config *config, const struct builder *builder,
                        struct error *err)
{
	cleanup_fd int root_fd = -1, fd = -1;
	const char *type;
	int r = builder_open_root(config, builder, &root_fd, &type, err);

	if (r < 0 || type)
		return r;
	r = root_fd < 0 ? 0 : builder_check_root(builder, root_fd, err);
	return r < 0 ? r : builder_check_command(config, builder, root_fd, &fd, err);
}
