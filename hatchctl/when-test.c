/* when.h */
#include "when.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit.h"

#include "lib/base/cleanup.h"

enum { NOW = 1795377061 }; /* 2026-11-22 19:51:01 UTC */

static const uint64_t now_usec = UINT64_C(1000000) * NOW;

static void reads_points_in_time(void)
{
	static const struct {
		const char *text;
		uint64_t seconds;
	} rows[] = {
		{ "now", NOW },
		{ "today", 1795305600 },
		{ "yesterday", 1795305600 - 86400 },
		{ "-0s", NOW },
		{ "-90s", NOW - 90 },
		{ "-30min", NOW - 1800 },
		{ "-2h", NOW - 7200 },
		{ "-7d", NOW - 604800 },
		{ "-1w", NOW - 604800 },
		{ "2026-11-22", 1795305600 },
		{ "2026-11-22 19:51", 1795377060 },
		{ "2026-11-22 19:51:01", NOW },
		{ "@0", 0 },
		{ "@1795377061", NOW },
		{ "@253402300799", 253402300799 },
	};
	uint64_t usec;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check(when_parse(rows[i].text, now_usec, &usec) == 0 &&
		      usec == rows[i].seconds * 1000000);
}

static void refuses_what_is_no_point_in_time(void)
{
	static const char *const rows[] = {
		"",
		"tomorrow",
		"-",
		"-h",
		"-2",
		"-2 h",
		"-2y",
		"--2h",
		"-02h",
		"-99999999999999999999h",
		"-1000000000w",
		"2026-11-22 ",
		"2026-13-01",
		"2026-11-22T19:51",
		"2026-11-22 25:00",
		"@",
		"@-1",
		"@253402300800",
		"@1x",
		"1969-01-01",
		"22.11.2026",
	};
	uint64_t usec = 42;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check(when_parse(rows[i], now_usec, &usec) == -EINVAL && usec == 42);
}

static void shows_points_in_time(void)
{
	const uint64_t usec = UINT64_C(1795377061) * 1000000 + 2034;
	char buf[WHEN_LEN];

	check(strcmp(when_for_people(usec, buf), "2026-11-22 19:51:01") == 0);
	check(strcmp(when_for_programs(usec, buf), "2026-11-22T19:51:01.002034Z") == 0);
	check(strcmp(when_for_programs(0, buf), "1970-01-01T00:00:00.000000Z") == 0);
	check(strlen(when_for_people(UINT64_MAX, buf)) < WHEN_LEN);
}

static void shows_durations(void)
{
	static const struct {
		uint64_t ms;
		const char *text;
	} rows[] = {
		{ 0, "0.00 s" },
		{ 349, "0.34 s" },
		{ 9999, "9.99 s" },
		{ 10000, "10 s" },
		{ 59999, "59 s" },
		{ 60000, "1 min 0 s" },
		{ 3599999, "59 min 59 s" },
		{ 3600000, "1 h 0 min" },
		{ 86399999, "23 h 59 min" },
		{ 86400000, "1 d 0 h" },
	};
	char buf[WHEN_LEN];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check(strcmp(duration_for_people(rows[i].ms, buf), rows[i].text) == 0);
	check(strlen(duration_for_people(UINT64_MAX, buf)) < WHEN_LEN);
}

static const struct unit_case cases[] = {
	CASE(reads_points_in_time),
	CASE(refuses_what_is_no_point_in_time),
	CASE(shows_points_in_time),
	CASE(shows_durations),
};

int main(void)
{
	(void)setenv("TZ", "UTC", 1);
	return unit_run(cases, ARRAY_SIZE(cases));
}
