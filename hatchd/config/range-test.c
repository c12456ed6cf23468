/* Files of accounts, as they are on machines. */
#include "range.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit.h"

static char path[] = "/tmp/hatch-range-XXXXXX";

static void write_text(const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

	check(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	(void)close(fd);
}

static void meets_a_range_at_both_ends(void)
{
	struct id_use use;

	write_text("alice:100000:65536\n");
	check(range_find_subids(path, 165535, 165536, &use) == 1);
	check(use.line == 1 && strcmp(use.text, "alice:100000:65536") == 0);
	check(range_find_subids(path, 165536, 200000, &use) == 0);
	check(range_find_subids(path, 34464, 100000, &use) == 0);
	check(range_find_subids(path, 34464, 100001, &use) == 1);
	check(range_find_subids(path, 0, UINT32_MAX, &use) == 1);
	check(range_find_subids(path, 120000, 120001, &use) == 1);
}

static void says_which_line(void)
{
	struct id_use use;

	write_text("# none\n\nalice:100000:65536\nbob:\x1b[31m:1\nbob:200000:65536");
	check(range_find_subids(path, 200001, 200002, &use) == 1 && use.line == 5);
	check(strcmp(use.text, "bob:200000:65536") == 0);
}

static void lines_that_are_none_give_nothing_away(void)
{
	struct id_use use;

	write_text("alice\nalice:\nalice:1\nalice:x:9\nalice:1:-9\nalice:1:99999999999\n:::\n"
	           "alice:4294967296:1\n");
	check(range_find_subids(path, 0, UINT32_MAX, &use) == 0);
	write_text("alice:5000:0\n");
	check(range_find_subids(path, 0, UINT32_MAX, &use) == 0);
}

static void finds_accounts_by_their_number(void)
{
	struct id_use use;

	write_text("root:x:0:0:root:/root:/bin/sh\nalice:x:70000:100::/home/alice:/bin/sh\n");
	check(range_find_account(path, 65536, 131072, &use) == 1 && use.line == 2);
	check(range_find_account(path, 1, 70000, &use) == 0);
	check(range_find_account(path, 70001, 80000, &use) == 0);
}

static void no_file_gives_nothing_away(void)
{
	struct id_use use;

	check(range_find_subids("/nonexistent", 0, UINT32_MAX, &use) == 0);
}

static const struct unit_case cases[] = {
	CASE(meets_a_range_at_both_ends),
	CASE(says_which_line),
	CASE(lines_that_are_none_give_nothing_away),
	CASE(finds_accounts_by_their_number),
	CASE(no_file_gives_nothing_away),
};

int main(void)
{
	int fd = mkstemp(path), r;

	if (fd < 0)
		return EXIT_FAILURE;
	(void)close(fd);
	r = unit_run(cases, ARRAY_SIZE(cases));
	(void)unlink(path);
	return r;
}
