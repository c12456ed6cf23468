/* Names and sizes of the files; of what a builder made only the log is read, and not as root. */
#include "keepsake.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fd.h"
#include "requests.h"
#include "table.h"

enum {
	LOG_MAX = 1024 * 1024,
	NOBODY = 65534,
};

void keepsake_done(struct keepsake *keepsake)
{
	free(keepsake->path);
	fd_closep(&keepsake->dir_fd);
}

static int open_below(const char *state_dir, const char *id)
{
	cleanup_fd int state_fd = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int failed_fd = -1;
	int fd;

	if (state_fd >= 0)
		failed_fd = openat(state_fd, "failed",
		                   O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (failed_fd < 0)
		return -errno;
	fd = openat(failed_fd, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int keepsake_open(const struct options *options, const char *id, struct keepsake *ret,
                  struct error *err)
{
	cleanup_keepsake struct keepsake keepsake = KEEPSAKE_NONE;
	cleanup_free char *state_dir = NULL;
	int r = state_directory(options, &state_dir, err);

	if (r < 0)
		return r;
	if (asprintf(&keepsake.path, "%s/failed/%s", state_dir, id) < 0) {
		keepsake.path = NULL;
		return error_set(err, BLAME_HOST, ENOMEM, "no memory");
	}
	r = open_below(state_dir, id);
	if (r < 0 && r != -ENOENT && r != -EACCES)
		return error_errno(err, BLAME_HOST, -r, "cannot open %s", keepsake.path);
	keepsake.dir_fd = r < 0 ? -1 : r;
	*ret = keepsake;
	keepsake = (struct keepsake)KEEPSAKE_NONE;
	return 0;
}

static int keep_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void free_entries(struct dirent **entries, int n_entries)
{
	for (int i = 0; i < n_entries; i++)
		free(entries[i]);
	free(entries);
}

int keepsake_write(const struct keepsake *keepsake, struct json *json, struct error *err)
{
	struct dirent **entries;
	int n_entries;

	if (keepsake->dir_fd < 0) {
		json_null(json, "kept");
		return 0;
	}
	n_entries = scandirat(keepsake->dir_fd, ".", &entries, keep_visible, alphasort);
	if (n_entries < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot list %s", keepsake->path);
	json_open_object(json, "kept");
	json_text(json, "path", keepsake->path);
	json_open_list(json, "files");
	for (int i = 0; i < n_entries; i++) {
		struct stat st = { 0 };

		(void)fstatat(keepsake->dir_fd, entries[i]->d_name, &st, AT_SYMLINK_NOFOLLOW);
		json_open_object(json, NULL);
		json_text(json, "name", entries[i]->d_name);
		json_number(json, "size_bytes", (uint64_t)st.st_size);
		json_close(json);
	}
	json_close(json);
	json_close(json);
	free_entries(entries, n_entries);
	return 0;
}

static int open_file(const struct keepsake *keepsake, const char *name)
{
	int fd = keepsake->dir_fd < 0 ? -1
	                              : openat(keepsake->dir_fd, name,
	                                       O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	return fd >= 0 ? fd : keepsake->dir_fd < 0 ? -ENOENT : -errno;
}

int keepsake_read(const struct keepsake *keepsake, const char *name, size_t max, char **ret,
                  struct error *err)
{
	cleanup_fd int fd = open_file(keepsake, name);
	size_t len;
	int r = fd < 0 ? fd : fd_read_file(fd, max, ret, &len);

	if (r == -ENOENT)
		return 0;
	return r < 0 ? error_errno(err, BLAME_HOST, -r, "cannot read %s/%s", keepsake->path, name)
	             : 1;
}

/* Nobody in particular, for ever. */
static int give_up_root(struct error *err)
{
	if (geteuid() != 0)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
	    setresuid(NOBODY, NOBODY, NOBODY) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot become another user than root");
	return 0;
}

static void print_lines(const char *text, size_t len)
{
	for (const char *line = text; line < text + len;) {
		const char *end = memchr(line, '\n', (size_t)(text + len - line));
		size_t line_len = end ? (size_t)(end - line) : (size_t)(text + len - line);

		print_bytes(line, line_len);
		(void)putchar('\n');
		line += line_len + 1;
	}
}

int keepsake_print_log(const struct keepsake *keepsake, struct error *err)
{
	cleanup_fd int fd = open_file(keepsake, "log");
	cleanup_free char *text = NULL;
	size_t len;
	int r;

	if (fd < 0)
		return error_set(err, BLAME_HOST, ENOENT, "no log of this request was kept");
	r = give_up_root(err);
	if (r < 0)
		return r;
	r = fd_read_file(fd, LOG_MAX, &text, &len);
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot read %s/log", keepsake->path);
	print_lines(text, len);
	return fflush(stdout) != 0 || ferror(stdout)
	               ? error_set(err, BLAME_HOST, EIO, "cannot print")
	               : 0;
}
