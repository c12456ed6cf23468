/*
 * A root that is not made from the host's programs: the tree that the definition names, and over it
 * a thin layer of our own, because hatch's places may be missing in it and nothing of it may be
 * changed. All that is put into it is found by paths that cannot leave it (place.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loop.h"
#include "mount.h"
#include "overlay.h"
#include "view.h"

/* How an image is mounted. A journal that was not closed is not replayed: that would write. */
static const struct image_options {
	const char *type;
	struct mount_option options[3];
	size_t n_options;
} image_options[] = {
	{ "squashfs", { { "ro" } }, 1 },
	{ "erofs", { { "ro" } }, 1 },
	/* What an image says about its own errors may be: panic. */
	{ "ext4", { { "ro" }, { "noload" }, { "errors", "remount-ro" } }, 3 },
};

static int mount_type(const char *type, const char *device, struct error *err)
{
	struct mount_option options[4] = { { "source", device } };
	size_t n = 0;

	while (strcmp(image_options[n].type, type) != 0)
		n++;
	memcpy(options + 1, image_options[n].options, sizeof(image_options[n].options));
	return mount_new(type, options, 1 + image_options[n].n_options, ATTR_READ_ONLY, err);
}

static int mount_image(const struct builder *builder, int file_fd, const char *type,
                       struct error *err)
{
	char device[LOOP_NAME_MAX];
	cleanup_fd int loop_fd = -1, mount_fd = -1;
	struct error why = { 0 };

	if (geteuid() != 0) {
		(void)error_set(&why, BLAME_HOST, EPERM, "only root can mount an image");
		return builder_root_fail(builder, &why, err);
	}
	loop_fd = loop_attach(file_fd, builder->root.path, device, &why);
	mount_fd = loop_fd < 0 ? loop_fd : mount_type(type, device, &why);
	if (mount_fd < 0) {
		struct error whole;

		(void)error_set(&whole, BLAME_HOST, why.code, "%s: %s", builder->root.path,
		                why.text);
		(void)error_hint(&whole, "%s", why.hint);
		return builder_root_fail(builder, &whole, err);
	}
	return take_fd(&mount_fd);
}

int root_open(const struct config *config, const struct builder *builder, int *ret_fd,
              struct stat *ret, struct error *err)
{
	cleanup_fd int fd = -1;
	const char *type;
	int r = builder_open_root(config, builder, &fd, &type, err);

	if (r < 0 || fd < 0)
		return r;
	if (ret && fstat(fd, ret) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot look at %s", builder->root.path);
	if (type) {
		r = mount_image(builder, fd, type, err);
		if (r < 0)
			return r;
		fd_closep(&fd);
		fd = r;
	}
	r = builder_check_root(builder, fd, err);
	if (r == 0)
		*ret_fd = take_fd(&fd);
	return r;
}

enum { OWN_SIZE = 16 << 20 }; /* for what hatch puts there, which is little */

/* A directory for each role that an overlay has for its upper file system. */
struct layer {
	int upper_fd, work_fd;
};

static void layer_done(struct layer *layer)
{
	fd_closep(&layer->upper_fd);
	fd_closep(&layer->work_fd);
}

static int make_directory(int dir_fd, const char *name, mode_t mode, struct error *err)
{
	int fd = mkdirat(dir_fd, name, mode) < 0
	                 ? -1
	                 : openat(dir_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? error_errno(err, BLAME_HOST, errno, "cannot make a layer for the root")
	              : fd;
}

/* In memory: it is gone with the last mount of it. It has to be mounted somewhere before it can be
 * a layer; what comes next hides it. */
static int make_layer(struct view *view, int place_fd, struct layer *ret, struct error *err)
{
	const struct account *account = view->plan->account;
	const struct builder *builder = view->plan->request->builder;
	cleanup_fd int fd = view_new_tmpfs("0700", OWN_SIZE, NULL, err);
	int r = fd < 0 ? fd : mount_attach(fd, place_fd, "", err);

	if (r < 0)
		return r;
	ret->upper_fd = make_directory(fd, "upper", 0755, err);
	if (ret->upper_fd < 0)
		return ret->upper_fd;
	if (builder->root.top == ROOT_TOP_MEMORY && account->change &&
	    fchownat(ret->upper_fd, "", account->uid, account->gid, AT_EMPTY_PATH) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot give the root to the builder");
	ret->work_fd = make_directory(fd, "work", 0700, err);
	if (ret->work_fd < 0)
		return ret->work_fd;
	view->layer_fd = take_fd(&fd);
	return 0;
}

static int make_overlay(int lower_fd, const struct layer *layer, struct error *err)
{
	const struct overlay overlay = {
		.lower_fds = &lower_fd,
		.n_lower = 1,
		.upper_fd = layer->upper_fd,
		.work_fd = layer->work_fd,
	};

	return overlay_mount(&overlay, ATTR_DATA, err);
}

/* The lower layer, in this mount namespace: an image was mounted nowhere yet. */
static int open_lower(const struct view *view, int place_fd, struct error *err)
{
	int root_fd = view->plan->root_fd, r;

	if (view->plan->request->builder->root.kind != ROOT_IMAGE)
		return reopen_here(root_fd, err);
	r = mount_attach(root_fd, place_fd, "", err);
	if (r < 0)
		return r;
	r = openat(root_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return r < 0 ? error_errno(err, BLAME_HOST, errno, "cannot open the image") : r;
}

/* Where the builder may write, what is root's in the lower layer is the builder's. */
static int map_lower(const struct view *view, int place_fd, int *lower_fd, struct error *err)
{
	const struct builder *builder = view->plan->request->builder;
	int fd;

	if (builder->root.top != ROOT_TOP_MEMORY || view->plan->layers_ns_fd < 0)
		return 0;
	fd = mount_map(*lower_fd, view->plan->layers_ns_fd, builder->root.path, err);
	if (fd < 0)
		return fd;
	fd_closep(lower_fd);
	*lower_fd = fd;
	return mount_attach(fd, place_fd, "", err);
}

int view_lay_root(struct view *view, int place_fd, struct error *err)
{
	cleanup_(layer_done) struct layer layer = { -1, -1 };
	cleanup_fd int lower_fd = open_lower(view, place_fd, err);
	int r = lower_fd < 0 ? lower_fd : map_lower(view, place_fd, &lower_fd, err);

	if (r == 0)
		r = make_layer(view, place_fd, &layer, err);

	if (r < 0)
		return r;
	view->root_fd = make_overlay(lower_fd, &layer, err);
	return view->root_fd < 0 ? view->root_fd : mount_attach(view->root_fd, place_fd, "", err);
}

int view_limit_root(struct view *view, struct error *err)
{
	const struct builder *builder = view->plan->request->builder;

	if (builder->root.top != ROOT_TOP_MEMORY)
		return 0;
	return view_leave_room(view->layer_fd, builder->root.size, err);
}

int view_hide_devices(struct view *view, struct error *err)
{
	static const struct mount_option options[] = { { "mode", "0755" }, { "size", "1m" } };

	view->dev_fd = mount_new("tmpfs", options, ARRAY_SIZE(options), ATTR_PROC, err);
	return view->dev_fd < 0 ? view->dev_fd : view_attach(view, view->dev_fd, "dev", true, err);
}

int view_add_freeze(struct view *view, const struct view_row *row, struct error *err)
{
	cleanup_fd int target_fd = view_open(view->root_fd, row->at + 1, 0);
	cleanup_fd int mount_fd = -1;

	if (target_fd == -ENOENT || target_fd == -ENOTDIR)
		return 0; /* optional, like all of them */
	if (target_fd < 0)
		return error_errno(err, BLAME_HOST, -target_fd, "cannot open %s in the sandbox",
		                   row->at);
	mount_fd = mount_clone(target_fd, row->at, MOUNT_ATTR_RDONLY, err);
	return mount_fd < 0 ? mount_fd : mount_attach(mount_fd, target_fd, "", err);
}
