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

static int make_root(struct view *view, struct error *err)
{
	static const struct mount_option options[] = { { "mode", "0755" }, { "size", "16m" } };
	cleanup_fd int place_fd = reopen_here(view->plan->scratch->root_fd, err);

	if (place_fd < 0)
		return place_fd;
	/* Nothing that is mounted from here on may show on the host. */
	if (syscall(SYS_mount, NULL, "/", NULL, MS_REC_ | MS_PRIVATE_, NULL) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot make mounts private");
	if (view_has_own_root(view))
		return view_lay_root(view, place_fd, err);
	view->root_fd = mount_new("tmpfs", options, ARRAY_SIZE(options), ATTR_DATA, err);
	if (view->root_fd < 0)
		return view->root_fd;
	return mount_attach(view->root_fd, place_fd, "", err);
}

static int add_system(struct view *view, struct error *err)
{
	static const char *const paths[] = {
		"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
	};
	int r = 0;

	if (view_has_own_root(view))
		return 0;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(paths); i++)
		r = view_copy_or_bind(view, paths[i], err);
	if (r == 0 && view_make_directory(view->root_fd, "run") < 0)
		return error_set(err, BLAME_HOST, EIO, "cannot make /run in the sandbox");
	return r < 0 ? r : view_copy_or_bind(view, "/run/current-system", err); /* NixOS */
}

static int add_scratch(struct view *view, struct error *err)
{
	const struct scratch *scratch = view->plan->scratch;
	int r = view_bind_scratch(view, scratch->build_fd, "build", err);

	if (r == 0)
		r = view_bind_scratch(view, scratch->outputs_fd, OUTPUT_DIR + 1, err);
	if (r == 0)
		r = view_bind_scratch(view, scratch->tmp_fd, "tmp", err);
	if (r < 0)
		return r;
	/* Another root may have a directory there, with files in it. */
	if (view_has_own_root(view))
		return view_bind_scratch(view, scratch->tmp_fd, "var/tmp", err);
	if (view_make_link(view->root_fd, "var/tmp", "/tmp") < 0)
		return error_set(err, BLAME_HOST, EIO, "cannot make /var/tmp in the sandbox");
	return 0;
}

static int add_binds(struct view *view, struct error *err)
{
	const struct builder *builder = view->plan->request->builder;
	int r = 0;

	for (size_t i = 0; r == 0 && i < builder->n_binds; i++)
		r = view_bind(view, builder->binds[i].path,
		              builder->binds[i].writable ? ATTR_DATA : ATTR_READ_ONLY, err);
	return r;
}

/* From here on only what was put there exists. */
static int enter_root(struct view *view, struct error *err)
{
	int r = mount_set(view->root_fd, ATTR_READ_ONLY, err);

	if (r == 0 && view->dev_fd >= 0)
		r = mount_set(view->dev_fd, ATTR_PROC | MOUNT_ATTR_RDONLY, err);
	if (r < 0)
		return r;
	if (fchdir(view->root_fd) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
	    syscall(SYS_umount2, ".", MNT_DETACH_) < 0 || chdir("/") < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot enter the sandbox's root");
	return 0;
}

int view_enter(const struct sandbox_plan *plan, struct error *err)
{
	static int (*const steps[])(struct view *, struct error *) = {
		make_root,    add_system,  view_add_store, view_add_devices, view_add_proc,
		view_add_etc, add_scratch, add_binds,      enter_root,
	};
	struct view view = { .plan = plan, .root_fd = -1, .dev_fd = -1 };
	int r = 0;

	(void)umask(0);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(steps); i++)
		r = steps[i](&view, err);
	fd_closep(&view.root_fd);
	fd_closep(&view.dev_fd);
	return r;
}
