/*
 * Patterns on relative paths, as people write them for files to keep: each component is one of
 * fnmatch(3), and a component "**" stands for any number of directories, also none; at the end, for
 * everything below.
 */
#pragma once

#include <stdbool.h>

enum {
	GLOB_TEXT_MAX = 255,
	GLOB_STARS_MAX = 4, /* "**" in one pattern: each multiplies the time that a path takes */
};

/* glob_why_wrong - what is wrong with a pattern, as half a sentence; NULL: nothing */
const char *glob_why_wrong(const char *glob);

/* glob_match - does a good pattern match the whole path? */
bool glob_match(const char *glob, const char *path);
