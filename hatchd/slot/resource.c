/* Lock files of resources. A unit that has no file was never taken; one whose number is beyond what
 * there is now counts as long as it is held. */
#include "resource.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/text.h"
#include "lock.h"

enum {
	UNIT_NAME_MAX = CLAIM_NAME_MAX + 21, /* NAME, a dot, digits */
	ENTRIES_LEN = 4096,
};

/* 1 and, if it is free, the locked descriptor; 0: held. flags as of lock_open() */
static int try_unit(int dir_fd, const char *file, int flags, const struct left *left, int *ret_fd,
                    struct error *err)
{
	struct slot_record record;
	cleanup_fd int fd = -1;
	int r = lock_open(dir_fd, file, flags, &fd, err);

	if (r == 0) {
		*ret_fd = -1;
		return 1;
	}
	if (r > 0)
		r = lock_try(fd, file, err);
	if (r <= 0)
		return r;
	/* Nobody locks it, but it says something: its holder was killed. */
	r = lock_read(fd, file, &record, err);
	if (r > 0)
		r = left->find(left->context, &record, err);
	if (r != 0)
		return r < 0 ? r : 0;
	*ret_fd = take_fd(&fd);
	return 1;
}

/* The stock that a file is a unit of, or NULL. */
static struct stock *stock_of(struct stock *stocks, size_t n_stocks, const char *file)
{
	const char *dot = strrchr(file, '.');
	uint64_t number;

	if (!dot || text_to_u64(dot + 1, UINT32_MAX, &number) < 0)
		return NULL;
	for (size_t i = 0; i < n_stocks; i++)
		if (strlen(stocks[i].name) == (size_t)(dot - file) &&
		    strncmp(stocks[i].name, file, (size_t)(dot - file)) == 0)
			return &stocks[i];
	return NULL;
}

static int look_at(int dir_fd, const char *file, struct stock *stock, const struct left *left,
                   struct error *err)
{
	cleanup_fd int fd = -1;
	int r = try_unit(dir_fd, file, O_RDONLY, left, &fd, err);

	if (r == 0)
		stock->n_free--;
	return r < 0 ? r : 0;
}

int resource_look(int dir_fd, struct stock *stocks, size_t n_stocks, const struct left *left,
                  struct error *err)
{
	_Alignas(struct dirent64) char entries[ENTRIES_LEN];
	ssize_t n;

	if (lseek(dir_fd, 0, SEEK_SET) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot read the resources");
	while ((n = getdents64(dir_fd, entries, sizeof(entries))) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct dirent64 *entry = (const void *)(entries + at);
			struct stock *stock = stock_of(stocks, n_stocks, entry->d_name);
			int r;

			at += entry->d_reclen;
			r = stock ? look_at(dir_fd, entry->d_name, stock, left, err) : 0;
			if (r < 0)
				return r;
		}
	}
	return n < 0 ? error_errno(err, BLAME_HOST, errno, "cannot read the resources") : 0;
}

/* One that is free, first seen by a look that wakes nobody. 1, 0 it is held, or a negative errno */
static int take_unit(int dir_fd, const char *file, const struct left *left, int *ret_fd,
                     struct error *err)
{
	cleanup_fd int look_fd = -1, fd = -1;
	int r = try_unit(dir_fd, file, O_RDONLY, left, &look_fd, err);

	if (r <= 0)
		return r;
	fd_closep(&look_fd);
	r = try_unit(dir_fd, file, O_RDWR | O_CREAT, left, &fd, err);
	if (r <= 0)
		return r;
	if (ftruncate(fd, 0) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot empty lock file %s", file);
	*ret_fd = take_fd(&fd);
	return 1;
}

/* Numbers are tried from 0 on. More than so many cannot be held: each is somebody's build user's,
 * or there are counts that were lowered. */
static int take_units(int dir_fd, const char *name, uint64_t count, const struct left *left,
                      int *ret_fds, uint64_t *ret_n, struct error *err)
{
	for (uint64_t number = 0; *ret_n < count && number < UINT16_MAX; number++) {
		char file[UNIT_NAME_MAX + 1];
		int r;

		(void)snprintf(file, sizeof(file), "%s.%" PRIu64, name, number);
		r = take_unit(dir_fd, file, left, &ret_fds[*ret_n], err);
		if (r < 0)
			return r;
		*ret_n += (uint64_t)r;
	}
	return *ret_n == count;
}

int resource_take(int dir_fd, const char *name, uint64_t count, const struct left *left,
                  int *ret_fds, struct error *err)
{
	uint64_t n = 0;
	int r = take_units(dir_fd, name, count, left, ret_fds, &n, err);

	while (r <= 0 && n > 0)
		fd_closep(&ret_fds[--n]);
	return r;
}
