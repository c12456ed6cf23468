/* Walks trees that change under its feet and belong to a stranger: by descriptors, never following
 * a link, and taking what is gone for gone. */
#include "gauge.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "hatchd/sandbox/filter.h"
#include "hatchd/sandbox/landlock.h"
#include "hatchd/slot/quota.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/text.h"

enum {
	DEPTH_MAX = 256, /* of directories in each other, and of our recursion */
	PAUSE_MIN_MS = 250,
	PAUSE_FACTOR = 10, /* for each millisecond of measuring so many of rest */
	/* What all others need to go on: without it a full disk would be everybody's. */
	RESERVE_BYTES = 64 << 20,
};

struct gauge {
	struct helper_work work;
	int dir_fds[6]; /* the last two may be -1 */
	uint64_t bytes_max, entries_max;

	/* of one round */
	uint64_t bytes, entries;
	bool too_deep;
};

static bool is_over(const struct gauge *gauge)
{
	return gauge->too_deep || gauge->bytes > gauge->bytes_max ||
	       gauge->entries > gauge->entries_max;
}

static void measure_directory(struct gauge *gauge, int parent_fd, const char *name, unsigned depth);

/* A hard link counts for its part: all names of a file are in here. */
static void measure_entry(struct gauge *gauge, int dir_fd, const char *name, unsigned depth)
{
	struct stat st;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	gauge->entries++;
	gauge->bytes += (uint64_t)st.st_blocks * 512 /
	                (S_ISDIR(st.st_mode) || st.st_nlink == 0 ? 1 : st.st_nlink);
	if (S_ISDIR(st.st_mode))
		measure_directory(gauge, dir_fd, name, depth + 1);
}

static void measure_directory(struct gauge *gauge, int parent_fd, const char *name, unsigned depth)
{
	cleanup_directory DIR *directory = NULL;
	const struct dirent *entry;

	if (depth > DEPTH_MAX) {
		gauge->too_deep = true;
		return;
	}
	directory = fd_open_directory(parent_fd, name);
	while (directory && !is_over(gauge) && (entry = readdir(directory)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			measure_entry(gauge, dirfd(directory), entry->d_name, depth);
}

static int measure(struct gauge *gauge, struct error *err)
{
	char size[TEXT_SIZE_LEN];
	struct statfs disk;

	gauge->bytes = gauge->entries = 0;
	for (size_t i = 0; i < ARRAY_SIZE(gauge->dir_fds); i++)
		measure_directory(gauge, gauge->dir_fds[i], ".", 0);
	if (gauge->too_deep)
		return error_set(err, BLAME_BUILD, EDQUOT,
		                 "directories in scratch are more than %d deep in each other",
		                 DEPTH_MAX);
	if (gauge->bytes > gauge->bytes_max)
		return error_set(err, BLAME_BUILD, EDQUOT, "there are more than %s in scratch",
		                 text_size(gauge->bytes_max, size));
	if (gauge->entries > gauge->entries_max)
		return error_set(err, BLAME_BUILD, EDQUOT,
		                 "there are more than %llu files in scratch",
		                 (unsigned long long)gauge->entries_max);
	/* What cannot be seen fills the disk all the same. */
	if (fstatfs(gauge->dir_fds[0], &disk) == 0 &&
	    (uint64_t)disk.f_bavail * (uint64_t)disk.f_bsize < RESERVE_BYTES)
		return error_set(err, BLAME_BUILD, ENOSPC,
		                 "the disk of scratch has less than %s left",
		                 text_size(RESERVE_BYTES, size));
	return 0;
}

static int gauge_run(void *context, struct error *err)
{
	struct gauge *gauge = context;

	for (;;) {
		int64_t begun_ms = clock_now_ms(), pause_ms;
		int r = measure(gauge, err);

		if (r < 0)
			return r;
		pause_ms = (clock_now_ms() - begun_ms) * PAUSE_FACTOR;
		(void)poll(NULL, 0, pause_ms < PAUSE_MIN_MS ? PAUSE_MIN_MS : (int)pause_ms);
	}
}

static int gauge_prepare(void *context, struct error *err)
{
	const struct gauge *gauge = context;
	int r = landlock_read_only(gauge->dir_fds, ARRAY_SIZE(gauge->dir_fds), err);

	return r < 0 ? r : filter_gauge(err);
}

int gauge_start(const struct scratch *scratch, const struct account *account, uint64_t bytes,
                struct helper *ret, struct error *err)
{
	struct gauge gauge = {
		.work = {
			.prepare = gauge_prepare,
			.run = gauge_run,
			.keep = { scratch->upper_fd, scratch->outputs_fd, scratch->build_fd,
			          scratch->tmp_fd, scratch->tops_fd, scratch->inputs_fd },
			.n_keep = 6,
		},
		.dir_fds = { scratch->upper_fd, scratch->outputs_fd, scratch->build_fd,
		             scratch->tmp_fd, scratch->tops_fd, scratch->inputs_fd },
		.bytes_max = bytes,
		.entries_max = scratch_inodes(bytes),
	};

	gauge.work.context = &gauge;
	return helper_start(&gauge.work, account, ret, err);
}
