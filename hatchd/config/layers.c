/* One open directory of each layer at a time; what is below is compared before what comes next. */
#include "layers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "builder.h"
#include "lib/base/fd.h"
#include "lib/base/text.h"

enum {
	BLOCK_LEN = 64 * 1024,
	DEPTH_MAX = 64, /* directories below a layer; deeper is not looked at */
};

struct comparison {
	const struct builder *builder;
	const struct place *place;
	void (*found)(void *data, const struct error *err);
	void *data;
	size_t n_found;
	char path[PATH_MAX]; /* of what is compared, below the layers; ends in "/", or is empty */
};

/* The same directory in those layers that have it. */
struct group {
	int fds[OVERLAY_LAYERS_MAX];
	size_t layers[OVERLAY_LAYERS_MAX]; /* which they are */
	size_t n;
};

static void group_done(struct group *group)
{
	for (size_t i = 0; i < group->n; i++)
		fd_closep(&group->fds[i]);
}

static void report(struct comparison *c, const char *name, size_t upper, size_t lower,
                   const char *how)
{
	struct position at = builder_place_position(c->builder, c->place);
	char shown[256], path[PATH_MAX + NAME_MAX];
	struct error err;

	if (c->n_found++ > LAYERS_DIFFERENCES_MAX)
		return;
	(void)snprintf(path, sizeof(path), "%s%s", c->path, name);
	text_escape(path, strlen(path), shown, sizeof(shown));
	if (c->n_found > LAYERS_DIFFERENCES_MAX)
		how = "there are more, which are not listed";
	(void)error_set(&err, BLAME_HOST, EEXIST,
	                "%s:%zu:%zu: in the overlay at %s, %s: %s (%s is above %s)",
	                c->builder->file, at.line, at.column, c->place->at, shown, how,
	                c->place->lower[upper], c->place->lower[lower]);
	c->found(c->data, &err);
}

/* --- two of one kind --- */

static bool same_link(int a_fd, int b_fd, const char *name)
{
	char a[PATH_MAX], b[PATH_MAX];
	ssize_t a_len = readlinkat(a_fd, name, a, sizeof(a));
	ssize_t b_len = readlinkat(b_fd, name, b, sizeof(b));

	return a_len >= 0 && a_len == b_len && memcmp(a, b, (size_t)a_len) == 0;
}

static int open_file(int dir_fd, const char *name)
{
	return openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* What cannot be read is not the same. */
static bool same_bytes(int a_dir_fd, int b_dir_fd, const char *name)
{
	static char a[BLOCK_LEN], b[BLOCK_LEN];
	cleanup_fd int a_fd = open_file(a_dir_fd, name);
	cleanup_fd int b_fd = open_file(b_dir_fd, name);

	for (off_t at = 0; a_fd >= 0 && b_fd >= 0;) {
		ssize_t a_len = pread(a_fd, a, sizeof(a), at);
		ssize_t b_len = pread(b_fd, b, sizeof(b), at);

		if (a_len < 0 || a_len != b_len || memcmp(a, b, (size_t)a_len) != 0)
			return false;
		if (a_len == 0)
			return true;
		at += a_len;
	}
	return false;
}

/* How they differ; NULL: they do not. buf: for the text */
static const char *difference(int a_fd, const struct stat *a, int b_fd, const struct stat *b,
                              const char *name, char buf[64])
{
	if ((a->st_mode & S_IFMT) != (b->st_mode & S_IFMT)) {
		(void)snprintf(buf, 64, "%s over %s", file_kind_name(a->st_mode),
		               file_kind_name(b->st_mode));
		return buf;
	}
	if (S_ISDIR(a->st_mode) || (a->st_dev == b->st_dev && a->st_ino == b->st_ino))
		return NULL;
	if (S_ISLNK(a->st_mode))
		return same_link(a_fd, b_fd, name) ? NULL : "links to different places";
	if (S_ISREG(a->st_mode))
		return a->st_size == b->st_size && same_bytes(a_fd, b_fd, name)
		               ? NULL
		               : "files that differ";
	return "something else than files in both";
}

/* --- the walk --- */

static void compare_group(struct comparison *c, const struct group *group, size_t depth);

static void descend(struct comparison *c, const struct group *below, const char *name, size_t depth)
{
	size_t len = strlen(c->path);

	if (below->n < 2 || depth >= DEPTH_MAX || len + strlen(name) + 2 > sizeof(c->path))
		return;
	(void)snprintf(c->path + len, sizeof(c->path) - len, "%s/", name);
	compare_group(c, below, depth + 1);
	c->path[len] = '\0';
}

static void keep(struct group *below, const struct group *group, size_t i, const char *name)
{
	int fd = openat(group->fds[i], name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return;
	below->layers[below->n] = group->layers[i];
	below->fds[below->n++] = fd;
}

/* A name that the layer i is the first to have. */
static void compare_name(struct comparison *c, const struct group *group, size_t i,
                         const char *name, size_t depth)
{
	cleanup_(group_done) struct group below = { .n = 0 };
	struct stat upper, lower;
	char buf[64];

	if (fstatat(group->fds[i], name, &upper, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	if (S_ISDIR(upper.st_mode))
		keep(&below, group, i, name);
	for (size_t k = i + 1; k < group->n; k++) {
		const char *how;

		if (fstatat(group->fds[k], name, &lower, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		how = difference(group->fds[i], &upper, group->fds[k], &lower, name, buf);
		if (how)
			report(c, name, group->layers[i], group->layers[k], how);
		else if (S_ISDIR(upper.st_mode))
			keep(&below, group, k, name);
	}
	descend(c, &below, name, depth);
}

static bool has_before(const struct group *group, size_t i, const char *name)
{
	for (size_t k = 0; k < i; k++)
		if (faccessat(group->fds[k], name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			return true;
	return false;
}

static void compare_group(struct comparison *c, const struct group *group, size_t depth)
{
	for (size_t i = 0; i + 1 < group->n; i++) {
		cleanup_directory DIR *dir = fd_open_directory(group->fds[i], ".");
		const struct dirent *entry;

		while (dir && (entry = readdir(dir)))
			if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
			    !has_before(group, i, entry->d_name))
				compare_name(c, group, i, entry->d_name, depth);
	}
}

size_t layers_compare(const struct builder *builder, const struct place *place,
                      void (*found)(void *data, const struct error *err), void *data)
{
	struct comparison c = { .builder = builder, .place = place, .found = found, .data = data };
	cleanup_(group_done) struct group group = { .n = 0 };

	for (size_t i = 0; place->lower && place->lower[i]; i++) {
		int fd = open(place->lower[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (fd < 0)
			continue; /* builder_check_place() says so */
		group.layers[group.n] = i;
		group.fds[group.n++] = fd;
	}
	compare_group(&c, &group, 0);
	return c.n_found;
}
