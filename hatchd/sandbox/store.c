/* The store, and on top of it the layer in which the builder makes its outputs. */
#include <fcntl.h>
#include <unistd.h>

#include "mount.h"
#include "overlay.h"
#include "view.h"

int view_add_store(struct view *view, const struct view_row *row, struct error *err)
{
	cleanup_fd int lower_fd = open(row->source, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int upper_fd = -1, work_fd = -1;
	struct overlay overlay = { .lower_fds = &lower_fd, .n_lower = 1 };

	if (lower_fd < 0)
		return 0; /* no Nix here: request_check() lets no store path through */
	upper_fd = reopen_here(view->plan->scratch->upper_fd, err);
	if (upper_fd < 0)
		return upper_fd;
	work_fd = reopen_here(view->plan->scratch->work_fd, err);
	if (work_fd < 0)
		return work_fd;
	overlay.upper_fd = upper_fd;
	overlay.work_fd = work_fd;
	return view_mount(view, overlay_mount(&overlay, ATTR_DATA, err), row->at + 1, err);
}
