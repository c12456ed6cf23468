/*
 * What the builder sees: an empty root, filled from tables. Runs as init, in the new mount
 * namespace, with capabilities over it, before any hostile code exists in it.
 */
#include "view.h"

#include <errno.h>
#include <linux/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mount.h"

/* <sys/mount.h> of glibc collides with <linux/mount.h> on some versions. */
enum { MS_REC_ = 1 << 14, MS_PRIVATE_ = 1 << 18, MNT_DETACH_ = 2 };

/* Nothing that is mounted from here on may show on the host. */
static int leave_host(struct view *view, struct error *err)
{
	(void)view;
	if (syscall(SYS_mount, NULL, "/", NULL, MS_REC_ | MS_PRIVATE_, NULL) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot make mounts private");
	return 0;
}

/* A scratch in memory was mounted nowhere so far. Its parts have paths only from here on. */
static int attach_scratch(struct view *view, struct error *err)
{
	const struct scratch *scratch = view->plan->scratch;
	cleanup_fd int place_fd = -1;

	if (scratch->place_fd < 0)
		return 0;
	place_fd = reopen_here(scratch->place_fd, err);
	return place_fd < 0 ? place_fd : mount_attach(scratch->dir_fd, place_fd, "", err);
}

static int make_root(struct view *view, struct error *err)
{
	static const struct mount_option options[] = { { "mode", "0755" }, { "size", "16m" } };
	cleanup_fd int place_fd = reopen_here(view->plan->scratch->root_fd, err);

	if (place_fd < 0)
		return place_fd;
	if (view_has_own_root(view))
		return view_lay_root(view, place_fd, err);
	view->root_fd = mount_new("tmpfs", options, ARRAY_SIZE(options), ATTR_DATA, err);
	if (view->root_fd < 0)
		return view->root_fd;
	return mount_attach(view->root_fd, place_fd, "", err);
}

/* From here on only what was put there exists. */
static int enter_root(struct view *view, struct error *err)
{
	bool writable = view->plan->request->builder->root.top == ROOT_TOP_MEMORY;
	int r = mount_set(view->root_fd, writable ? ATTR_DATA : ATTR_READ_ONLY, err);

	if (r == 0 && view->dev_fd >= 0)
		r = mount_set(view->dev_fd, ATTR_PROC | MOUNT_ATTR_RDONLY, err);
	if (r < 0)
		return r;
	if (fchdir(view->root_fd) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
	    syscall(SYS_umount2, ".", MNT_DETACH_) < 0 || chdir("/") < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot enter the sandbox's root");
	return 0;
}

/* Whatever kind of row there is, one of these makes it. */
static int (*const makers[])(struct view *, const struct view_row *, struct error *) = {
	[VIEW_READ] = view_add_read,     [VIEW_WRITE] = view_add_write,
	[VIEW_TMPFS] = view_add_tmpfs,   [VIEW_DEVICE] = view_add_device,
	[VIEW_HIDE] = view_add_hide,     [VIEW_OVERLAY] = view_add_overlay,
	[VIEW_SYSTEM] = view_add_system, [VIEW_STORE] = view_add_store,
	[VIEW_DEV] = view_add_dev,       [VIEW_PROC] = view_add_proc,
	[VIEW_ETC] = view_add_etc,       [VIEW_SCRATCH] = view_add_scratch,
	[VIEW_LINK] = view_add_link,     [VIEW_DIRECTORY] = view_add_directory,
	[VIEW_FILE] = view_add_file,     [VIEW_CREDENTIALS] = view_add_credentials,
	[VIEW_FREEZE] = view_add_freeze, [VIEW_HOST] = view_add_host,
	[VIEW_INPUTS] = view_add_inputs,
};

static int fill_root(struct view *view, struct error *err)
{
	const struct request *request = view->plan->request;
	cleanup_view_plan struct view_plan plan = { 0 };
	int r = view_plan_make(request->config, request->builder, &plan);

	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot list what the view holds");
	for (size_t i = 0; r == 0 && i < plan.n_rows; i++)
		r = makers[plan.rows[i].kind](view, &plan.rows[i], err);
	return r;
}

int view_enter(const struct sandbox_plan *plan, struct error *err)
{
	static int (*const steps[])(struct view *, struct error *) = {
		leave_host,       attach_scratch,  make_root,  fill_root,
		view_leave_stage, view_limit_root, enter_root,
	};
	struct view view = {
		.plan = plan, .root_fd = -1, .dev_fd = -1, .stage_fd = -1, .layer_fd = -1
	};
	int r = 0;

	(void)umask(0);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(steps); i++)
		r = steps[i](&view, err);
	fd_closep(&view.layer_fd);
	fd_closep(&view.stage_fd);
	fd_closep(&view.root_fd);
	fd_closep(&view.dev_fd);
	return r;
}
