/* Patterns on paths: what they match, and what they must not. */
#include "glob.h"

#include <string.h>

#include "lib/base/cleanup.h"
#include "tests/unit.h"

static void matches_component_by_component(void)
{
	static const struct {
		const char *glob, *path;
		bool matches;
	} rows[] = {
		{ "*.log", "a.log", true },
		{ "*.log", ".log", true },
		{ "*.log", "a.log.gz", false },
		{ "*.log", "sub/a.log", false },
		{ "sub/*.log", "sub/a.log", true },
		{ "sub/?", "sub/ab", false },
		{ "[ab]/x", "b/x", true },
		{ "reports/**", "reports/a", true },
		{ "reports/**", "reports/a/b/c", true },
		{ "reports/**", "reports", false },
		{ "reports/**", "other/reports/a", false },
		{ "**/x", "x", true },
		{ "**/x", "a/b/x", true },
		{ "**/x", "a/b/xy", false },
		{ "**", "a/b", true },
		{ "a/**/b", "a/b", true },
		{ "a/**/b", "a/c/d/b", true },
		{ "a/**/b", "a/c/d/b/e", false },
		{ "a/**/b/**", "a/c/b/d", true },
		{ "**x", "a/x", false },
		{ "*", "a\nb", true },
		{ "*", "\xff", true },
		{ "\\*", "*", true },
		{ "\\*", "a", false },
		{ "a", "", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		bool matches = glob_match(rows[i].glob, rows[i].path);

		if (matches != rows[i].matches)
			printf("  %s on %s\n", rows[i].glob, rows[i].path);
		check(matches == rows[i].matches);
		check(!glob_why_wrong(rows[i].glob));
	}
}

static void tells_what_is_wrong_with_a_pattern(void)
{
	static const char *const wrong[] = { "",   "/etc", "a//b",
		                             "a/", "../x", "a/./b",
		                             "..", "a/..", "**/**/**/**/**/x" };
	char longest[GLOB_TEXT_MAX + 2];

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		check(glob_why_wrong(wrong[i]) != NULL);
	memset(longest, 'a', sizeof(longest));
	longest[GLOB_TEXT_MAX] = '\0';
	check(glob_why_wrong(longest) == NULL);
	check(strstr(glob_why_wrong("/build/*"), "begins with"));
	longest[GLOB_TEXT_MAX] = 'a';
	longest[GLOB_TEXT_MAX + 1] = '\0';
	check(glob_why_wrong(longest) != NULL);
}

static const struct unit_case cases[] = {
	CASE(matches_component_by_component),
	CASE(tells_what_is_wrong_with_a_pattern),
};

UNIT_MAIN(cases)
