/* The store, and on top of it the layer in which the builder makes its outputs. */
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <unistd.h>

#include "mount.h"
#include "view.h"

/*
 * The store with the builder's own layer on top, so that it makes its outputs at their final paths.
 * The layers are named by descriptor: no path of the host is parsed for ':' or ','.
 */
int view_add_store(struct view *view, const struct view_row *row, struct error *err)
{
	cleanup_fd int lower_fd = open(row->source, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int upper_fd = -1, work_fd = -1;
	char lower[64], upper[64], work[64];
	const struct mount_option options[] = {
		{ "lowerdir", lower }, { "upperdir", upper },
		{ "workdir", work },   { "redirect_dir", "nofollow" },
		{ "metacopy", "off" }, { "index", "off" },
		{ "xino", "off" },
	};

	if (lower_fd < 0)
		return 0; /* no Nix here: request_check() lets no store path through */
	upper_fd = reopen_here(view->plan->scratch->upper_fd, err);
	if (upper_fd < 0)
		return upper_fd;
	work_fd = reopen_here(view->plan->scratch->work_fd, err);
	if (work_fd < 0)
		return work_fd;
	(void)snprintf(lower, sizeof(lower), "/proc/self/fd/%d", lower_fd);
	(void)snprintf(upper, sizeof(upper), "/proc/self/fd/%d", upper_fd);
	(void)snprintf(work, sizeof(work), "/proc/self/fd/%d", work_fd);
	return view_mount(view, mount_new("overlay", options, ARRAY_SIZE(options), ATTR_DATA, err),
	                  row->at + 1, err);
}
