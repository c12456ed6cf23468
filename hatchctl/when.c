/* Calendars are those of libc; what is read is what hatchctl(1) lists, and nothing else. */
#include "when.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/base/cleanup.h"
#include "lib/base/text.h"

static const uint64_t usec_per_sec = 1000000;

/* Beyond it no calendar is of use, and nothing can overflow: the year 9999. */
static const uint64_t seconds_max = 253402300799;

static int from_seconds(time_t seconds, uint64_t *ret)
{
	if (seconds < 0 || (uint64_t)seconds > seconds_max)
		return -EINVAL;
	*ret = (uint64_t)seconds * usec_per_sec;
	return 0;
}

static int parse_day(int days_ago, time_t now, uint64_t *ret)
{
	struct tm day;

	if (!localtime_r(&now, &day))
		return -EINVAL;
	day.tm_mday -= days_ago;
	day.tm_hour = day.tm_min = day.tm_sec = 0;
	day.tm_isdst = -1;
	return from_seconds(mktime(&day), ret);
}

/* "-2h" without the dash */
static int parse_ago(const char *text, time_t now, uint64_t *ret)
{
	static const struct {
		const char *name;
		uint64_t seconds;
	} units[] = {
		{ "s", 1 }, { "min", 60 }, { "h", 3600 }, { "d", 86400 }, { "w", 604800 },
	};
	size_t n_digits = strspn(text, "0123456789");
	char number[16];
	uint64_t count;

	if (n_digits >= sizeof(number))
		return -EINVAL;
	memcpy(number, text, n_digits);
	number[n_digits] = '\0';
	if (text_to_u64(number, 1000000000, &count) < 0)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (strcmp(text + n_digits, units[i].name) == 0)
			return from_seconds(now - (time_t)(count * units[i].seconds), ret);
	return -EINVAL;
}

static int parse_date(const char *text, uint64_t *ret)
{
	static const char *const formats[] = { "%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S" };

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		struct tm date = { .tm_isdst = -1 };
		const char *end = strptime(text, formats[i], &date);

		if (end && *end == '\0')
			return from_seconds(mktime(&date), ret);
	}
	return -EINVAL;
}

int when_parse(const char *text, uint64_t now_usec, uint64_t *ret_usec)
{
	time_t now = (time_t)(now_usec / usec_per_sec);
	uint64_t seconds;

	if (strcmp(text, "now") == 0) {
		*ret_usec = now_usec;
		return 0;
	}
	if (strcmp(text, "today") == 0)
		return parse_day(0, now, ret_usec);
	if (strcmp(text, "yesterday") == 0)
		return parse_day(1, now, ret_usec);
	if (text[0] == '-')
		return parse_ago(text + 1, now, ret_usec);
	if (text[0] != '@')
		return parse_date(text, ret_usec);
	if (text_to_u64(text + 1, seconds_max, &seconds) < 0)
		return -EINVAL;
	*ret_usec = seconds * usec_per_sec;
	return 0;
}

const char *when_for_people(uint64_t usec, char buf[WHEN_LEN])
{
	time_t seconds = (time_t)(usec / usec_per_sec);
	struct tm date;

	if (!localtime_r(&seconds, &date) ||
	    strftime(buf, WHEN_LEN, "%Y-%m-%d %H:%M:%S", &date) == 0)
		(void)snprintf(buf, WHEN_LEN, "@%" PRIu64, usec / usec_per_sec);
	return buf;
}

const char *when_for_programs(uint64_t usec, char buf[WHEN_LEN])
{
	time_t seconds = (time_t)(usec / usec_per_sec);
	struct tm date;
	char text[24];

	if (!gmtime_r(&seconds, &date) ||
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &date) == 0)
		text[0] = '\0';
	(void)snprintf(buf, WHEN_LEN, "%s.%06" PRIu64 "Z", text, usec % usec_per_sec);
	return buf;
}

const char *duration_for_people(uint64_t ms, char buf[WHEN_LEN])
{
	uint64_t s = ms / 1000, min = s / 60, h = min / 60, d = h / 24;

	if (ms < 10000)
		(void)snprintf(buf, WHEN_LEN, "%" PRIu64 ".%02" PRIu64 " s", s, ms % 1000 / 10);
	else if (min == 0)
		(void)snprintf(buf, WHEN_LEN, "%" PRIu64 " s", s);
	else if (h == 0)
		(void)snprintf(buf, WHEN_LEN, "%" PRIu64 " min %" PRIu64 " s", min, s % 60);
	else if (d == 0)
		(void)snprintf(buf, WHEN_LEN, "%" PRIu64 " h %" PRIu64 " min", h, min % 60);
	else
		(void)snprintf(buf, WHEN_LEN, "%" PRIu64 " d %" PRIu64 " h", d, h % 24);
	return buf;
}
