/* Points in time and durations as people write and read them. Microseconds since 1970 (UTC). */
#pragma once

#include <stdint.h>

enum { WHEN_LEN = 40 };

/*
 * when_parse - read a point in time in the local zone
 *
 * text     "now", "today", "yesterday", "YYYY-MM-DD", "YYYY-MM-DD HH:MM", "YYYY-MM-DD HH:MM:SS",
 *          "@SECONDS", or "-N" and a unit (s, min, h, d, w) for so long ago
 * Returns  0, or -EINVAL
 */
int when_parse(const char *text, uint64_t now_usec, uint64_t *ret_usec);

/* when_for_people - local time to the second; when_for_programs - RFC 3339 in UTC, with
 * microseconds. Both return buf */
const char *when_for_people(uint64_t usec, char buf[WHEN_LEN]);
const char *when_for_programs(uint64_t usec, char buf[WHEN_LEN]);

/* duration_for_people - "0.35 s", "12 s", "3 min 5 s", "2 h 4 min", "3 d 4 h"; returns buf */
const char *duration_for_people(uint64_t ms, char buf[WHEN_LEN]);
