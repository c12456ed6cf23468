/* A directory by descriptors, and the removal of those that are too many or too old. */
#include "keepsake.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fd.h"
#include "lib/tree/remove.h"

static int open_directory(int dir_fd, const char *name)
{
	return openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int make_directory(int parent_fd, const char *name)
{
	int fd;

	if (mkdirat(parent_fd, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open_directory(parent_fd, name);
	return fd < 0 ? -errno : fd;
}

static int make_file(const struct keepsake *keepsake, const char *name)
{
	int fd = openat(keepsake->dir_fd, name,
	                O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : fd;
}

int keepsake_begin(const char *state_dir, const char *id, struct keepsake *ret, struct error *err)
{
	cleanup_fd int state_fd = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct keepsake *b = ret;

	*b = (struct keepsake)KEEPSAKE_NONE;
	if (state_fd < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot open the state directory %s",
		                   state_dir);
	b->failed_fd = make_directory(state_fd, "failed");
	(void)snprintf(b->name, sizeof(b->name), ".%s", id);
	if (b->failed_fd >= 0)
		b->dir_fd = make_directory(b->failed_fd, b->name);
	if (b->failed_fd < 0 || b->dir_fd < 0 || flock(b->dir_fd, LOCK_SH | LOCK_NB) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot make the directory %s/failed/%s",
		                   state_dir, b->name);
	b->log_fd = make_file(b, "log");
	b->sandbox_fd = make_file(b, "sandbox");
	b->files_fd = make_file(b, "files.tar");
	if (b->log_fd < 0 || b->sandbox_fd < 0 || b->files_fd < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot make a file in %s/failed/%s",
		                   state_dir, b->name);
	return 0;
}

void keepsake_drop_files(struct keepsake *keepsake, const char *why)
{
	fd_closep(&keepsake->files_fd);
	if (keepsake->dir_fd < 0)
		return;
	(void)unlinkat(keepsake->dir_fd, "files.tar", 0);
	if (why)
		(void)keepsake_write(keepsake, "files.error", why, strlen(why));
}

int keepsake_write(const struct keepsake *keepsake, const char *name, const void *bytes, size_t len)
{
	cleanup_fd int fd = make_file(keepsake, name);

	return fd < 0 ? fd : fd_write_full(fd, bytes, len);
}

/* --- room --- */

struct kept {
	char name[KEEPSAKE_NAME_MAX + 2];
	uint64_t bytes;
	time_t made;
};

struct kept_list {
	struct kept *items;
	size_t n_items, room;
};

static void kept_list_done(struct kept_list *list)
{
	free(list->items);
}

/* What one keepsake takes on disk; it has no directories inside. */
static uint64_t measure(int dir_fd)
{
	cleanup_directory DIR *dir = fd_open_directory(dir_fd, ".");
	uint64_t bytes = 0;
	const struct dirent *entry;
	struct stat st;

	while (dir && (entry = readdir(dir)))
		if (fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			bytes += (uint64_t)st.st_blocks * 512;
	return bytes;
}

static int list_add(struct kept_list *list, const struct kept *kept)
{
	if (list->n_items == list->room) {
		size_t room = list->room ? 2 * list->room : 64;
		struct kept *items = reallocarray(list->items, room, sizeof(*items));

		if (!items)
			return -ENOMEM;
		list->items = items;
		list->room = room;
	}
	list->items[list->n_items++] = *kept;
	return 0;
}

/* One that is being made is locked; without a lock its instance is dead. */
static bool is_live(int dir_fd, const char *name)
{
	return name[0] == '.' && flock(dir_fd, LOCK_EX | LOCK_NB) < 0;
}

static int look(int failed_fd, const char *name, struct kept_list *list)
{
	cleanup_fd int fd = open_directory(failed_fd, name);
	struct kept kept = { 0 };
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || strlen(name) >= sizeof(kept.name) || is_live(fd, name))
		return 0;
	memcpy(kept.name, name, strlen(name) + 1);
	kept.bytes = measure(fd);
	/* A dead instance's is the first to go. */
	kept.made = name[0] == '.' ? 0 : st.st_mtime;
	return list_add(list, &kept);
}

static int list_kept(int failed_fd, struct kept_list *list)
{
	cleanup_directory DIR *dir = fd_open_directory(failed_fd, ".");
	const struct dirent *entry;
	int r = dir ? 0 : -errno;

	while (r == 0 && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = look(failed_fd, entry->d_name, list);
	return r;
}

static int compare_age(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	return x->made < y->made ? -1 : x->made > y->made;
}

/* The oldest go first: those that are too old, those that are too many, and those whose room is
 * needed. bytes: of the new one. */
static int make_room(int failed_fd, const struct config *config, uint64_t bytes, struct error *err)
{
	enum { KEEPSAKES_MAX = 1000, DAY_SEC = 24 * 60 * 60 };
	const time_t oldest = time(NULL) - (time_t)config->failed.keep_days * DAY_SEC;
	cleanup_(kept_list_done) struct kept_list list = { 0 };
	uint64_t total = bytes;
	int r = list_kept(failed_fd, &list);

	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot list the failed requests");
	if (list.n_items > 0)
		qsort(list.items, list.n_items, sizeof(*list.items), compare_age);
	for (size_t i = 0; i < list.n_items; i++)
		total += list.items[i].bytes;
	for (size_t i = 0; i < list.n_items; i++) {
		const struct kept *kept = &list.items[i];

		if (kept->made >= oldest && total <= config->failed.total &&
		    list.n_items - i < KEEPSAKES_MAX)
			break;
		r = tree_remove(failed_fd, kept->name, err);
		if (r < 0 && r != -ENOENT) /* another instance was faster */
			return r;
		total -= kept->bytes;
	}
	return 0;
}

int keepsake_keep(struct keepsake *keepsake, const struct config *config, struct error *err)
{
	int r = make_room(keepsake->failed_fd, config, measure(keepsake->dir_fd), err);

	if (r < 0)
		return r;
	if (renameat(keepsake->failed_fd, keepsake->name, keepsake->failed_fd, keepsake->name + 1) <
	    0)
		return error_errno(err, BLAME_HOST, errno, "cannot name the keepsake %s",
		                   keepsake->name + 1);
	fd_closep(&keepsake->dir_fd);
	return 0;
}

void keepsake_done(struct keepsake *keepsake)
{
	fd_closep(&keepsake->log_fd);
	fd_closep(&keepsake->sandbox_fd);
	fd_closep(&keepsake->files_fd);
	if (keepsake->dir_fd >= 0)
		(void)tree_remove(keepsake->failed_fd, keepsake->name, NULL);
	fd_closep(&keepsake->dir_fd);
	fd_closep(&keepsake->failed_fd);
}
