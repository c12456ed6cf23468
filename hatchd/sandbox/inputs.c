/* What the client sent, and beside it what of the store it need not send: all of it read-only. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mount.h"
#include "view.h"

/* A symlink cannot be mounted: it is made again, as it would have been sent. */
static int copy_link(const struct view *view, int store_fd, const char *target, struct error *err)
{
	char text[PATH_MAX];
	ssize_t n = readlinkat(store_fd, "", text, sizeof(text) - 1);
	int r = n < 0 ? -errno : 0;

	if (r == 0) {
		text[n] = '\0';
		r = view_make_link(view->root_fd, target, text);
	}
	return r < 0 ? error_errno(err, BLAME_HOST, -r, "cannot make /%s in the sandbox", target)
	             : 0;
}

/* The file that the policy found, and no other that may have its path by now. */
static int bind_store_path(const struct view *view, int fd, const char *target, struct error *err)
{
	cleanup_fd int store_fd = reopen_here(fd, err);
	cleanup_fd int mount_fd = -1;
	struct stat st;

	if (store_fd < 0)
		return store_fd;
	if (fstat(store_fd, &st) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot look at an input");
	if (S_ISLNK(st.st_mode))
		return copy_link(view, store_fd, target, err);
	mount_fd = mount_clone(store_fd, target, ATTR_READ_ONLY, err);
	return mount_fd < 0 ? mount_fd
	                    : view_attach(view, mount_fd, target, S_ISDIR(st.st_mode), err);
}

/* Places are made in it while it can be written; nothing of the builder runs yet. */
int view_add_inputs(struct view *view, const struct view_row *row, struct error *err)
{
	const struct request *request = view->plan->request;
	const struct inputs *inputs = view->plan->inputs;
	cleanup_fd int source_fd = reopen_here(view->plan->scratch->inputs_fd, err);
	cleanup_fd int mount_fd = -1;
	int r;

	if (source_fd < 0)
		return source_fd;
	mount_fd = mount_clone(source_fd, row->at, ATTR_DATA, err);
	if (mount_fd < 0)
		return mount_fd;
	r = view_attach(view, mount_fd, row->at + 1, true, err);
	for (size_t i = 0; r == 0 && i < inputs->n; i++) {
		char target[PATH_MAX];

		if (inputs_is_sent(inputs, i))
			continue;
		(void)snprintf(target, sizeof(target), "%s/%s", row->at + 1,
		               request->inputs[i].name);
		r = bind_store_path(view, inputs->store_fds[i], target, err);
	}
	return r < 0 ? r : mount_set(mount_fd, ATTR_READ_ONLY, err);
}
