/* Modes, one directory after the other. What can be written by a builder is never read from. */
#include "permission.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fd.h"

enum {
	NAMES_MAX = 10000,
	DEPTH_MAX = 16,
	FD_PATH_LEN = 32,
};

static bool has_gid(const gid_t *gids, size_t n_gids, gid_t gid)
{
	for (size_t i = 0; i < n_gids; i++)
		if (gids[i] == gid)
			return true;
	return false;
}

static unsigned rights_of(const struct builder *builder, const struct build_user *user,
                          const struct stat *st)
{
	if (st->st_uid == user->uid)
		return MAY_READ | MAY_WRITE | MAY_EXECUTE;
	if (st->st_gid == user->gid || has_gid(user->groups, user->n_groups, st->st_gid) ||
	    has_gid(builder->groups, builder->n_groups, st->st_gid))
		return (st->st_mode >> 3) & 7;
	return st->st_mode & 7;
}

bool permission_any(const struct config *config, const struct builder *builder, const char *path,
                    const struct stat *st, unsigned rights)
{
	if (config->n_users == 0 || builder->uid_map == UID_MAP_RANGE)
		return true;
	for (size_t i = 0; i < config->n_users; i++)
		if (rights_of(builder, &config->users[i], st) & rights)
			return true;
	return getxattr(path, "system.posix_acl_access", NULL, 0) > 0;
}

/* --- a place of "write" --- */

struct search {
	const struct config *config;
	const struct builder *builder;
	size_t n_names;
	dev_t dev;
};

static bool can_write(struct search *search, int fd, unsigned depth);

/* A symlink is nothing to write to. */
static bool can_write_name(struct search *search, int dir_fd, const char *name, unsigned depth)
{
	cleanup_fd int fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 || ++search->n_names > NAMES_MAX || can_write(search, fd, depth);
}

/* True also for what we cannot list. */
static bool can_write_below(struct search *search, int dir_fd, unsigned depth)
{
	cleanup_directory DIR *directory = fd_open_directory(dir_fd, ".");
	const struct dirent *entry;

	if (depth > DEPTH_MAX || !directory)
		return true;
	while ((entry = readdir(directory)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
		    can_write_name(search, dirfd(directory), entry->d_name, depth))
			return true;
	return false;
}

/* What is mounted there is another matter. */
static bool can_write(struct search *search, int fd, unsigned depth)
{
	char path[FD_PATH_LEN];
	struct stat st;

	if (fstat(fd, &st) < 0 || st.st_dev != search->dev)
		return true;
	if (S_ISLNK(st.st_mode))
		return false;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (permission_any(search->config, search->builder, path, &st, MAY_WRITE))
		return true;
	return S_ISDIR(st.st_mode) &&
	       permission_any(search->config, search->builder, path, &st, MAY_EXECUTE) &&
	       can_write_below(search, fd, depth + 1);
}

bool builder_warn_write(const struct config *config, const struct builder *builder,
                        const struct place *place, struct error *err)
{
	struct search search = { .config = config, .builder = builder };
	struct position at = builder_place_position(builder, place);
	cleanup_fd int fd = -1;
	struct statvfs disk;
	struct stat st;
	bool read_only;

	if (place->kind != PLACE_WRITE)
		return false;
	fd = open(place->source, O_PATH | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || fstatvfs(fd, &disk) < 0)
		return false;
	search.dev = st.st_dev;
	read_only = disk.f_flag & ST_RDONLY;
	if (!read_only && can_write(&search, fd, 0))
		return false;
	(void)error_set(err, BLAME_HOST, EACCES,
	                "%s:%zu:%zu: no build user can write to %s%s (mode %04o, uid %u, gid %u)%s",
	                builder->file, at.line, at.column, place->source,
	                S_ISDIR(st.st_mode) ? ", nor to anything in it" : "", st.st_mode & 07777,
	                st.st_uid, st.st_gid, read_only ? ": it is mounted read-only" : "");
	(void)error_hint(err, read_only ? "name it in \"read\", or mount it for writing"
	                                : "name it in \"read\", or give it to a group that may "
	                                  "write, and name that in \"groups\"");
	return true;
}
