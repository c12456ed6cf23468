/* Which builders there are: the files of builders.d. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/fd.h"
#include "lib/base/text.h"
#include "read.h"
#include "trusted-path.h"

static const char suffix[] = ".json";

/* The name of the builder that a file of builders.d defines; NULL: none. -ENOMEM is errno. */
static char *builder_of_file(const char *file)
{
	size_t len = strlen(file), suffix_len = sizeof(suffix) - 1;

	errno = 0;
	if (len <= suffix_len || strcmp(file + len - suffix_len, suffix) != 0 ||
	    !text_is_name(file, len - suffix_len))
		return NULL;
	return strndup(file, len - suffix_len);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Append the builder that one entry defines. names has room for CONFIG_BUILDERS_MAX and the end. */
static int add_builder(struct reading *in, const char *file, char **names, size_t *n)
{
	char shown[SHOW_LEN];
	struct error err;

	if (strcmp(file, ".") == 0 || strcmp(file, "..") == 0)
		return 0;
	if (*n == CONFIG_BUILDERS_MAX)
		return reading_fail(in, NULL, E2BIG, "it holds more than %d files; expected less",
		                    CONFIG_BUILDERS_MAX);
	names[*n] = builder_of_file(file);
	if (names[*n]) {
		(*n)++;
		return 0;
	}
	if (errno == ENOMEM)
		return reading_no_memory(in);
	(void)error_set(&err, BLAME_HOST, EINVAL,
	                "%s/%s: this is no name of a definition; expected NAME.json, where NAME is "
	                "[a-z0-9][a-z0-9._-]{0,63}",
	                in->doc->name, show(file, shown));
	(void)error_hint(&err, "rename it, or move it out of that directory");
	return reading_keep_error(in, &err);
}

static int fail_listing(struct reading *in, int code)
{
	struct error err;

	(void)error_errno(&err, BLAME_HOST, code, "cannot list %s", in->doc->name);
	return reading_keep_error(in, &err);
}

static int list_directory(struct reading *in, DIR *entries, char **names)
{
	size_t n = 0;

	while (!reading_stops(in) && in->first != -E2BIG) {
		const struct dirent *entry;

		errno = 0;
		entry = readdir(entries);
		if (!entry && errno != 0)
			return fail_listing(in, errno);
		if (!entry)
			break;
		(void)add_builder(in, entry->d_name, names, &n);
	}
	qsort(names, n, sizeof(*names), compare_names);
	return in->first;
}

/* Returns 1, 0 there is no such directory, or a negative errno. */
static int open_listing(struct reading *in, uid_t owner_uid, DIR **ret)
{
	cleanup_fd int path_fd = -1;
	struct error err;
	int r = trusted_directory(in->doc->name, owner_uid, &path_fd, &err);

	/* Without it there is nothing to serve, which only a check calls an error. */
	if (r == -ENOENT && !in->report)
		return 0;
	if (r == -ENOENT)
		config_hint_missing(in->doc->name, &err);
	if (r < 0)
		return reading_keep_error(in, &err);
	*ret = fd_open_directory(path_fd, ".");
	return *ret ? 1 : fail_listing(in, errno);
}

int config_list_builders_reporting(const struct config *config, const struct config_report *report,
                                   char ***ret, struct error *err)
{
	cleanup_(strv_freep) char **names = calloc(CONFIG_BUILDERS_MAX + 1, sizeof(*names));
	cleanup_directory DIR *entries = NULL;
	cleanup_free char *dir = NULL;
	struct document doc = { .name = config->dir };
	struct reading in = { .doc = &doc, .report = report, .err = err };
	int r;

	if (!names || asprintf(&dir, "%s/builders.d", config->dir) < 0) {
		dir = NULL;
		return reading_no_memory(&in);
	}
	doc.name = dir;
	r = open_listing(&in, config->owner_uid, &entries);
	if (r > 0)
		r = list_directory(&in, entries, names);
	if (r < 0 && !report)
		return r;
	*ret = take_ptr(&names);
	return r;
}

int config_list_builders(const struct config *config, char ***ret, struct error *err)
{
	return config_list_builders_reporting(config, NULL, ret, err);
}
