/* Component by component; only "**" needs to try more than one place. */
#include "glob.h"

#include <assert.h>
#include <fnmatch.h>
#include <limits.h>
#include <string.h>

/* The component at the beginning of a path. */
static size_t component_len(const char *path)
{
	return strcspn(path, "/");
}

static bool is_component(const char *path, const char *name)
{
	return component_len(path) == strlen(name) && strncmp(path, name, strlen(name)) == 0;
}

/* What is behind the component and its slash; NULL: nothing was left. */
static const char *behind(const char *path)
{
	const char *slash = strchr(path, '/');

	return slash ? slash + 1 : NULL;
}

const char *glob_why_wrong(const char *glob)
{
	size_t stars = 0;

	if (strlen(glob) > GLOB_TEXT_MAX)
		return "it is too long";
	if (glob[0] == '/')
		return "it begins with \"/\", but a path in what is kept does not";
	for (const char *at = glob; at; at = behind(at)) {
		if (component_len(at) == 0)
			return "it has an empty component";
		if (is_component(at, ".") || is_component(at, ".."))
			return "\".\" and \"..\" match nothing";
		stars += is_component(at, "**");
	}
	return stars > GLOB_STARS_MAX ? "it has \"**\" too often" : NULL;
}

static bool match_component(const char *glob, const char *path)
{
	char pattern[GLOB_TEXT_MAX + 1], name[NAME_MAX + 1];
	size_t glob_len = component_len(glob), len = component_len(path);

	if (len > NAME_MAX)
		return false;
	assert(glob_len <= GLOB_TEXT_MAX);
	memcpy(pattern, glob, glob_len);
	pattern[glob_len] = '\0';
	memcpy(name, path, len);
	name[len] = '\0';
	return fnmatch(pattern, name, 0) == 0;
}

bool glob_match(const char *glob, const char *path)
{
	for (; glob && path; glob = behind(glob), path = behind(path)) {
		if (is_component(glob, "**")) {
			const char *rest = behind(glob);

			for (; rest && path; path = behind(path))
				if (glob_match(rest, path))
					return true;
			return !rest;
		}
		if (!match_component(glob, path))
			return false;
	}
	return !glob && !path;
}
