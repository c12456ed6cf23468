/* How packing and removing open what a stranger made: never through a symlink, never into another
 * mount, and with the access rights that its owner may give himself. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* A path or name, escaped for an error's sentence: quoted(path).text lives as long as the call it
 * is an argument of. */
struct quoted {
	char text[320];
};

struct quoted quoted(const char *path);

/* walk_stat - what fd refers to, for walk_mount_of() too; 0 or a negative errno, -EOPNOTSUPP if the
 * kernel cannot tell the mount (before Linux 5.8) */
int walk_stat(int fd, struct statx *ret);

/* walk_mount_of - the id of the mount that it is on: stx_mnt_id, of what walk_stat() has set */
uint64_t walk_mount_of(const struct statx *st);

/* walk_read_entries - getdents64(2) into a buffer from malloc(), of which the entries are struct
 * dirent; the bytes, 0 at the end, or -1 with errno */
ssize_t walk_read_entries(int fd, char *buffer, size_t len);

/* What makes a file this file and no other. */
struct file_id {
	uint64_t mount;
	uint64_t dev;
	uint64_t ino;
};

struct file_id file_id(const struct statx *st);
bool file_id_equal(const struct file_id *a, const struct file_id *b);

/* walk_add_mode - give the file or directory dir_fd/name more mode bits, never a symlink's target;
 * needs /proc; 0 or a negative errno */
int walk_add_mode(int dir_fd, const char *name, mode_t bits);

/*
 * walk_open_dir - open the directory dir_fd/name for reading and searching
 *
 * mount   as of walk_mount_of(); what is on another mount is not opened
 * want    mode bits its owner must have; they are given to him if the directory is ours. 0: it is
 *         left as it is
 * ret_fd  owned by the caller
 * Returns 0, -EXDEV another mount, -ENOTDIR or -ELOOP no directory, or another negative errno
 */
int walk_open_dir(int dir_fd, const char *name, uint64_t mount, mode_t want, int *ret_fd,
                  struct statx *ret);

/*
 * walk_open_file - the same for the regular file dir_fd/name, for reading
 *
 * Returns also -EINVAL: not a regular file
 */
int walk_open_file(int dir_fd, const char *name, uint64_t mount, mode_t want, int *ret_fd,
                   struct statx *ret);
