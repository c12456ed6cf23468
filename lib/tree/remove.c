/*
 * Removes a tree with one open directory at a time. Going down remembers who the parent was, going
 * up opens ".." and makes sure that it is the same: a tree that somebody moves meanwhile leads
 * nowhere else. Names of subdirectories wait on one stack, which is kept small by reading a
 * directory in parts; so neither depth nor width costs more than it must.
 */
#include "remove.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buffer.h"
#include "lib/base/cleanup.h"
#include "lib/base/fd.h"

#include "walk.h"

enum {
	DIRENT_BUFFER_LEN = 32 * 1024,
	/* Above this, a directory gives one name at a time. */
	PENDING_MAX = 4 * 1024 * 1024,
};

/* A directory between the root and the present one. */
struct level {
	struct file_id id;
	off_t offset;         /* where reading goes on */
	size_t pending_start; /* of its part of the stack */
	bool reopened;        /* reading went on by offset: entries may have been missed */
	bool progress;        /* something was removed since reading began */
	bool failed;          /* something will stay */
};

struct remover {
	uint64_t mount; /* nothing on another one is touched */
	int fd;         /* of the present directory, the last level */
	struct level *levels;
	size_t n_levels, n_room;
	struct buffer pending; /* names of subdirectories to come, each with its NUL */
	char *dirents;
	struct error *err;
	int result; /* of what failed first */
};

static void remover_done(struct remover *r)
{
	fd_closep(&r->fd);
	buffer_done(&r->pending);
	free(r->levels);
	free(r->dirents);
}

static struct level *present(struct remover *r)
{
	return &r->levels[r->n_levels - 1];
}

/* Remember the first failure; the rest is removed all the same. */
static void note(struct remover *r, int code, const char *name)
{
	if (r->n_levels > 0)
		present(r)->failed = true;
	if (r->result == 0)
		r->result = error_errno(r->err, BLAME_HOST, code,
		                        "cannot remove '%s', %zu directories deep",
		                        quoted(name).text, r->n_levels);
}

static int push_level(struct remover *r, const struct statx *st)
{
	if (r->n_levels == r->n_room) {
		size_t room = r->n_room ? 2 * r->n_room : 32;
		struct level *levels = reallocarray(r->levels, room, sizeof(*levels));

		if (!levels)
			return -ENOMEM;
		r->levels = levels;
		r->n_room = room;
	}
	r->levels[r->n_levels++] = (struct level){
		.id = file_id(st),
		.pending_start = r->pending.len,
	};
	return 0;
}

/* The name on top of the stack. */
static char *top_name(struct remover *r)
{
	char *end = r->pending.data + r->pending.len - 1;
	size_t len = (size_t)(end - r->pending.data) - present(r)->pending_start;
	char *before = memrchr(end - len, '\0', len);

	return before ? before + 1 : end - len;
}

static void pop_name(struct remover *r)
{
	r->pending.len = (size_t)(top_name(r) - r->pending.data);
}

/* Make the subdirectory on top of the stack the present one. What cannot be opened stays. */
static int descend(struct remover *r)
{
	cleanup_fd int fd = -1;
	struct statx st;
	int result = walk_open_dir(r->fd, top_name(r), r->mount, S_IRWXU, &fd, &st);

	if (result < 0) {
		if (result != -ENOENT)
			note(r, -result, top_name(r));
		pop_name(r);
		return 0;
	}
	result = push_level(r, &st);
	if (result < 0)
		return result;
	fd_closep(&r->fd);
	r->fd = take_fd(&fd);
	return 0;
}

/* Back to the parent, and remove the directory that is empty now. */
static int ascend(struct remover *r)
{
	bool failed = present(r)->failed;
	cleanup_fd int fd = -1;
	struct file_id id;
	struct statx st;
	int result;

	r->n_levels--;
	result = walk_open_dir(r->fd, "..", r->mount, S_IRWXU, &fd, &st);
	if (result < 0)
		return result;
	id = file_id(&st);
	if (!file_id_equal(&id, &present(r)->id))
		result = -EBUSY;
	if (result == 0 && lseek(fd, present(r)->offset, SEEK_SET) < 0)
		result = -errno;
	if (result < 0)
		return result;
	fd_closep(&r->fd);
	r->fd = take_fd(&fd);
	present(r)->reopened = true;

	if (failed)
		present(r)->failed = true;
	else if (unlinkat(r->fd, top_name(r), AT_REMOVEDIR) == 0)
		present(r)->progress = true;
	else if (errno != ENOENT)
		note(r, errno, top_name(r));
	pop_name(r);
	return 0;
}

static bool is_self_or_parent(const char *name)
{
	return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* Remove one entry, or put it on the stack if it is a directory. Returns 1 if it was put there. */
static int remove_entry(struct remover *r, const struct dirent *d)
{
	if (d->d_type != DT_DIR) {
		if (unlinkat(r->fd, d->d_name, 0) == 0) {
			present(r)->progress = true;
			return 0;
		}
		if (errno == ENOENT)
			return 0;
		/* A file system that does not tell types says so only now. */
		if (errno != EISDIR) {
			note(r, errno, d->d_name);
			return 0;
		}
	}
	if (buffer_add(&r->pending, d->d_name, strlen(d->d_name) + 1) < 0)
		return -ENOMEM;
	return 1;
}

/* Read on in the present directory. Returns 1, 0 at its end, or a negative errno. */
static int read_some(struct remover *r)
{
	ssize_t len = walk_read_entries(r->fd, r->dirents, DIRENT_BUFFER_LEN);
	struct dirent *d;

	if (len <= 0)
		return len < 0 ? -errno : 0;
	for (ssize_t i = 0; i < len; i += d->d_reclen) {
		int result = 0;

		d = (struct dirent *)(void *)(r->dirents + i);
		if (!is_self_or_parent(d->d_name))
			result = remove_entry(r, d);
		if (result < 0)
			return result;
		present(r)->offset = d->d_off;
		/* The rest of this part is read again later. */
		if (result == 1 && r->pending.len > PENDING_MAX)
			return lseek(r->fd, d->d_off, SEEK_SET) < 0 ? -errno : 1;
	}
	return 1;
}

/* One step; returns 1 while there is more to do. */
static int step(struct remover *r)
{
	struct level *level = present(r);
	int result;

	if (r->pending.len > level->pending_start)
		return descend(r) < 0 ? -ENOMEM : 1;

	result = read_some(r);
	if (result != 0)
		return result;
	/* An offset is only exact while the directory stays open and as it was. So a directory
	 * that was left and has lost entries is read once more, until that finds nothing new. */
	if (level->reopened && level->progress && !level->failed) {
		level->reopened = level->progress = false;
		level->offset = 0;
		return lseek(r->fd, 0, SEEK_SET) < 0 ? -errno : 1;
	}
	if (r->n_levels == 1)
		return 0;
	result = ascend(r);
	return result < 0 ? result : 1;
}

/* Empty the directory that r->fd holds. */
static int run(struct remover *r, const struct statx *st, const char *name)
{
	int result;

	r->dirents = malloc(DIRENT_BUFFER_LEN);
	result = r->dirents ? push_level(r, st) : -ENOMEM;
	if (result == 0)
		do
			result = step(r);
		while (result > 0);
	if (result < 0)
		note(r, -result, name);
	return r->result;
}

int tree_remove_children(int dir_fd, struct error *err)
{
	cleanup_(remover_done) struct remover r = { .fd = -1, .err = err };
	struct statx st;
	int result = walk_stat(dir_fd, &st);

	if (result == 0) {
		r.mount = walk_mount_of(&st);
		/* By the descriptor, because finding "." needs the x bit of the directory itself.
		 * What is not ours stays as it is, and the next line says so. */
		(void)fchmod(dir_fd, (st.stx_mode & 07777) | S_IRWXU);
		result = walk_open_dir(dir_fd, ".", r.mount, S_IRWXU, &r.fd, &st);
	}
	if (result < 0)
		return error_errno(err, BLAME_HOST, -result, "cannot open a directory to empty it");
	return run(&r, &st, ".");
}

int tree_remove(int dir_fd, const char *name, struct error *err)
{
	cleanup_(remover_done) struct remover r = { .fd = -1, .err = err };
	struct statx st;
	int result;

	if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR)
		return error_errno(err, BLAME_HOST, errno, "cannot remove '%s'", quoted(name).text);

	result = walk_stat(dir_fd, &st);
	if (result == 0) {
		r.mount = walk_mount_of(&st);
		result = walk_open_dir(dir_fd, name, r.mount, S_IRWXU, &r.fd, &st);
	}
	if (result < 0)
		return error_errno(err, BLAME_HOST, -result, "cannot open '%s' to remove it",
		                   quoted(name).text);
	result = run(&r, &st, name);
	if (result < 0)
		return result;
	if (unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return error_errno(err, BLAME_HOST, errno, "cannot remove '%s'", quoted(name).text);
	return 0;
}
