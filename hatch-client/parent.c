/* One call of open(2), and a path put together again. */
#include "parent.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

int parent_open(char *path, int flags, const char **ret_leaf)
{
	char *slash = strrchr(path, '/');
	int fd, r;

	*ret_leaf = slash ? slash + 1 : path;
	if (slash)
		*slash = '\0';
	fd = open(!slash ? "." : slash == path ? "/" : path, flags | O_DIRECTORY | O_CLOEXEC);
	r = fd < 0 ? -errno : fd;
	if (slash)
		*slash = '/';
	return r;
}
