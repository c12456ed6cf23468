/* "range_base": read from the files themselves, because a name service cannot be asked who has an
 * id of a range. */
#include "range.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib/base/text.h"

enum {
	ACCOUNTS_FILE_MAX = 16 * 1024 * 1024,
	FIELDS_MAX = 8,
};

/* The last two numbers mean "no change" to system calls. */
#define ID_END UINT64_C(4294967294)

/* Take a line apart at ':'. Returns how many fields there are, at most FIELDS_MAX. */
static size_t split(char *line, const char *ret[FIELDS_MAX])
{
	size_t n = 0;

	for (char *field; n < FIELDS_MAX && (field = strsep(&line, ":"));)
		ret[n++] = field;
	return n;
}

/* The ids of a line: count_field 0 stands for one. */
static bool read_ids(char *line, size_t id_field, size_t count_field, uint64_t *ret_first,
                     uint64_t *ret_end)
{
	const char *fields[FIELDS_MAX];
	size_t n = split(line, fields);
	uint64_t first, count = 1;

	if (n <= id_field || n <= count_field ||
	    text_to_u64(fields[id_field], UINT32_MAX, &first) < 0 ||
	    (count_field && text_to_u64(fields[count_field], UINT32_MAX, &count) < 0))
		return false;
	*ret_first = first;
	*ret_end = first + count;
	return true;
}

static int find_use(const char *path, size_t id_field, size_t count_field, uint64_t first,
                    uint64_t end, struct id_use *ret)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	cleanup_free char *text = NULL;
	char *rest, *line;
	size_t len;
	int r;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	r = fd_read_file(fd, ACCOUNTS_FILE_MAX, &text, &len);
	if (r < 0)
		return r;
	rest = text;
	for (size_t number = 1; (line = strsep(&rest, "\n")); number++) {
		struct id_use use = { .path = path, .line = number };
		uint64_t its_first, its_end;

		(void)show(line, use.text);
		if (!read_ids(line, id_field, count_field, &its_first, &its_end) ||
		    its_first == its_end || its_end <= first || its_first >= end)
			continue;
		*ret = use;
		return 1;
	}
	return 0;
}

int range_find_subids(const char *path, uint64_t first, uint64_t end, struct id_use *ret)
{
	return find_use(path, 1, 2, first, end, ret);
}

int range_find_account(const char *path, uint64_t first, uint64_t end, struct id_use *ret)
{
	return find_use(path, 2, 0, first, end, ret);
}

static const struct {
	const char *path;
	int (*find)(const char *path, uint64_t first, uint64_t end, struct id_use *ret);
} files[] = {
	{ "/etc/passwd", range_find_account },
	{ "/etc/group", range_find_account },
	{ "/etc/subuid", range_find_subids },
	{ "/etc/subgid", range_find_subids },
};

static int check_files(struct reading *in, const struct value *at, uint64_t first, uint64_t end)
{
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		struct id_use use;
		int r = files[i].find(files[i].path, first, end, &use);

		if (r < 0)
			return reading_fail(in, at, -r, "cannot read %s: %s", files[i].path,
			                    strerror(-r));
		if (r > 0)
			return reading_fail(in, at, EINVAL,
			                    "the ids %" PRIu64 " to %" PRIu64
			                    " meet %s:%zu (%s); expected ids that nobody else has",
			                    first, end - 1, use.path, use.line, use.text);
	}
	return 0;
}

int range_check_user(const struct build_user *user, struct error *err)
{
	const struct {
		const char *path;
		uint32_t id;
	} given[] = { { "/etc/subuid", user->uid }, { "/etc/subgid", user->gid } };

	for (size_t i = 0; i < ARRAY_SIZE(given); i++) {
		struct id_use use;
		int r = range_find_subids(given[i].path, given[i].id, (uint64_t)given[i].id + 1,
		                          &use);

		if (r < 0)
			return error_errno(err, BLAME_HOST, -r, "cannot read %s", given[i].path);
		if (r == 0)
			continue;
		(void)error_set(err, BLAME_HOST, EINVAL,
		                "the build user %.64s (id %u) is given away by %s:%zu (%s)",
		                user->name, given[i].id, use.path, use.line, use.text);
		return error_hint(err, "move one of the two: a container of that user would run "
		                       "under the same id");
	}
	return 0;
}

int check_range(struct reading *in, const struct config *config)
{
	const struct value *at = value_member(&in->doc->root, "range_base");
	uint64_t first = config->range_base;
	/* There is one at least, where they are not known. */
	size_t n_users = config->n_users > 0 ? config->n_users : 1;
	uint64_t end = first + (uint64_t)n_users * RANGE_LEN;

	if (first == 0)
		return 0;
	if (end > ID_END)
		return reading_fail(in, at, EINVAL,
		                    "%d ids for each of %zu build users end above %" PRIu64
		                    "; expected a number that leaves room for them",
		                    RANGE_LEN, n_users, ID_END);
	if (config->offline)
		return 0;
	/* The accounts that are not in the files, but of another name service. */
	for (size_t i = 0; i < config->n_users; i++)
		if ((config->users[i].uid >= first && config->users[i].uid < end) ||
		    (config->users[i].gid >= first && config->users[i].gid < end))
			return reading_fail(in, at, EINVAL,
			                    "the ids %" PRIu64 " to %" PRIu64
			                    " hold the build user \"%s\"; expected ids that nobody "
			                    "else has",
			                    first, end - 1, config->users[i].name);
	return check_files(in, at, first, end);
}
