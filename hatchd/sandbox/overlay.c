/*
 * Directories of the host stacked on each other, and above them what the builder writes, which is
 * thrown away. With such a top everything in the layers that is root's belongs to the build user: a
 * tool that was installed by root may then change its own directory, as far as it can tell.
 */
#include "overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/base/buffer.h"
#include "lib/base/cleanup.h"
#include "mount.h"
#include "view.h"

/* --- a mount of layers --- */

static int set_string(int context_fd, const char *key, const char *value, struct error *err)
{
	return mount_set_option(context_fd, &(struct mount_option){ key, value }, err);
}

/* Linux 6.13 takes layers as descriptors. */
static bool set_layers(int context_fd, const struct overlay *overlay)
{
	for (size_t i = 0; i < overlay->n_lower; i++)
		if (mount_set_fd(context_fd, "lowerdir+", overlay->lower_fds[i]) < 0)
			return false;
	return overlay->upper_fd < 0 ||
	       (mount_set_fd(context_fd, "upperdir", overlay->upper_fd) == 0 &&
	        mount_set_fd(context_fd, "workdir", overlay->work_fd) == 0);
}

static int set_by_name(int context_fd, const char *key, int fd, struct error *err)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	return set_string(context_fd, key, name, err);
}

/* An older one takes names; these hold digits, and nothing of the host. */
static int name_layers(int context_fd, const struct overlay *overlay, struct error *err)
{
	cleanup_(buffer_done) struct buffer names = { 0 };
	int r = 0;

	for (size_t i = 0; r == 0 && i < overlay->n_lower; i++)
		r = buffer_printf(&names, "%s/proc/self/fd/%d", i ? ":" : "",
		                  overlay->lower_fds[i]);
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot list layers");
	r = set_string(context_fd, "lowerdir", names.data, err);
	if (r == 0 && overlay->upper_fd >= 0)
		r = set_by_name(context_fd, "upperdir", overlay->upper_fd, err);
	if (r == 0 && overlay->upper_fd >= 0)
		r = set_by_name(context_fd, "workdir", overlay->work_fd, err);
	return r;
}

static int set_rest(int context_fd, const struct overlay *overlay, struct error *err)
{
	static const struct mount_option options[] = {
		{ "redirect_dir", "nofollow" },
		{ "metacopy", "off" },
		{ "index", "off" },
		{ "xino", "off" },
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(options); i++)
		r = mount_set_option(context_fd, &options[i], err);
	if (r == 0 && overlay->user_marks)
		r = set_string(context_fd, "userxattr", NULL, err);
	return r;
}

static int open_context(const struct overlay *overlay, struct error *err)
{
	cleanup_fd int by_fd = mount_open("overlay", err), by_name = -1;
	int r;

	if (by_fd < 0)
		return by_fd;
	if (set_layers(by_fd, overlay))
		return take_fd(&by_fd);
	/* What was set before the first refusal would stay: a new one. */
	by_name = mount_open("overlay", err);
	r = by_name < 0 ? by_name : name_layers(by_name, overlay, err);
	return r < 0 ? r : take_fd(&by_name);
}

int overlay_mount(const struct overlay *overlay, uint64_t attributes, struct error *err)
{
	cleanup_fd int context_fd = open_context(overlay, err);
	int r = context_fd < 0 ? context_fd : set_rest(context_fd, overlay, err);

	return r < 0 ? r : mount_create(context_fd, "overlay", attributes, err);
}

/* --- whose the layers are --- */

bool overlay_needs_map(const struct builder *builder)
{
	for (size_t i = 0; i < builder->view.n_places; i++)
		if (builder->view.places[i].top != TOP_NONE)
			return true;
	return builder->root.top == ROOT_TOP_MEMORY;
}

bool overlay_needs_disk(const struct builder *builder)
{
	for (size_t i = 0; i < builder->view.n_places; i++)
		if (builder->view.places[i].top == TOP_DISK)
			return true;
	return false;
}

/* 0 is own; own is nothing, because nothing could be root then without CAP_SETFCAP. */
static int make_map(uint32_t own, struct buffer *map)
{
	int r = buffer_printf(map, "0 %u 1\n", own);

	if (r == 0 && own > 1)
		r = buffer_printf(map, "1 1 %u\n", own - 1);
	return r < 0 ? r : buffer_printf(map, "%u %u %u\n", own + 1, own + 1, UINT32_MAX - own - 1);
}

int overlay_make_maps(const struct account *account, struct id_maps *ret)
{
	cleanup_(id_maps_done) struct id_maps maps = { 0 };
	int r = make_map(account->uid, &maps.uids);

	if (r == 0)
		r = make_map(account->gid, &maps.gids);
	if (r < 0)
		return r;
	*ret = maps;
	maps = (struct id_maps){ 0 };
	return 0;
}

/* --- the overlays of a view --- */

/* One that is being made. */
struct stack {
	const struct place *place;
	size_t number; /* among the builder's */
	int fds[OVERLAY_LAYERS_MAX];
	size_t n_fds;
	int upper_fd, work_fd;
};

static void stack_done(struct stack *stack)
{
	for (size_t i = 0; i < stack->n_fds; i++)
		fd_closep(&stack->fds[i]);
	fd_closep(&stack->upper_fd);
	fd_closep(&stack->work_fd);
}

/* A directory to mount something at, or to keep something in. */
static int make_directory(int dir_fd, const char *name, mode_t mode, struct error *err)
{
	int fd = mkdirat(dir_fd, name, mode) < 0
	                 ? -1
	                 : openat(dir_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? error_errno(err, BLAME_HOST, errno,
	                            "cannot make a directory for an overlay")
	              : fd;
}

/* Put a mount where it can be a layer. */
static int put_on_stage(struct view *view, const struct stack *stack, const char *what,
                        int mount_fd, struct error *err)
{
	cleanup_fd int place_fd = -1;
	int stage_fd = view_stage(view, err);
	char name[64];

	if (stage_fd < 0)
		return stage_fd;
	(void)snprintf(name, sizeof(name), "%zu-%s-%zu", stack->number, what, stack->n_fds);
	place_fd = make_directory(stage_fd, name, 0700, err);
	return place_fd < 0 ? place_fd : mount_attach(mount_fd, place_fd, "", err);
}

/* The layer itself, or where it is to be written over, a copy of it whose root is the build user.
 */
static int open_layer(struct view *view, const struct stack *stack, const char *path,
                      struct error *err)
{
	cleanup_fd int source_fd = view_open_source(view, path);
	cleanup_fd int mapped_fd = -1;
	struct stat st;
	int r = source_fd < 0 ? source_fd : fstat(source_fd, &st) < 0 ? -errno : 0;

	if (r == 0 && !S_ISDIR(st.st_mode))
		r = -ENOTDIR;
	if (r < 0)
		return view_fail_source(view, path, -r, err);
	if (stack->place->top == TOP_NONE || view->plan->layers_ns_fd < 0)
		return take_fd(&source_fd);
	mapped_fd = mount_map(source_fd, view->plan->layers_ns_fd, path, err);
	r = mapped_fd < 0 ? mapped_fd : put_on_stage(view, stack, "layer", mapped_fd, err);
	return r < 0 ? r : take_fd(&mapped_fd);
}

static int open_layers(struct view *view, struct stack *stack, struct error *err)
{
	for (char **path = stack->place->lower; *path; path++) {
		int fd = open_layer(view, stack, *path, err);

		if (fd < 0)
			return fd;
		stack->fds[stack->n_fds++] = fd;
	}
	return 0;
}

static int make_top(struct view *view, struct stack *stack, int tops_fd, int works_fd,
                    const char *upper, const char *work, struct error *err)
{
	const struct account *account = view->plan->account;

	stack->upper_fd = make_directory(tops_fd, upper, 0755, err);
	if (stack->upper_fd < 0)
		return stack->upper_fd;
	if (account->change &&
	    fchownat(stack->upper_fd, "", account->uid, account->gid, AT_EMPTY_PATH) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot give a layer to the builder");
	stack->work_fd = make_directory(works_fd, work, 0700, err);
	return stack->work_fd < 0 ? stack->work_fd : 0;
}

static int make_top_on_disk(struct view *view, struct stack *stack, struct error *err)
{
	cleanup_fd int tops_fd = reopen_here(view->plan->scratch->tops_fd, err);
	cleanup_fd int works_fd = tops_fd < 0 ? tops_fd
	                                      : reopen_here(view->plan->scratch->works_fd, err);
	char name[24];

	if (works_fd < 0)
		return works_fd;
	(void)snprintf(name, sizeof(name), "%zu", stack->number);
	return make_top(view, stack, tops_fd, works_fd, name, name, err);
}

static int make_top_in_memory(struct view *view, struct stack *stack, struct error *err)
{
	cleanup_fd int fd = view_new_tmpfs("0700", stack->place->size, NULL, err);
	int r = fd < 0 ? fd : put_on_stage(view, stack, "top", fd, err);

	return r < 0 ? r : make_top(view, stack, fd, fd, "upper", "work", err);
}

/* --- what cannot be stacked --- */

static bool is_overlay(int fd)
{
	struct statfs st;

	return fstatfs(fd, &st) == 0 && st.f_type == OVERLAYFS_SUPER_MAGIC;
}

/* Can this layer be one, with an empty directory below it? */
static bool can_stack(struct view *view, struct stack *stack, size_t layer)
{
	struct error ignored;
	int stage_fd = view_stage(view, &ignored);
	char name[64];
	cleanup_fd int empty_fd = -1, mount_fd = -1;
	int fds[2] = { stack->fds[layer], -1 };
	const struct overlay alone = {
		.lower_fds = fds, .n_lower = 2, .upper_fd = -1, .work_fd = -1
	};

	(void)snprintf(name, sizeof(name), "%zu-empty-%zu", stack->number, layer);
	empty_fd = stage_fd < 0 ? -1 : make_directory(stage_fd, name, 0700, &ignored);
	fds[1] = empty_fd;
	mount_fd = empty_fd < 0 ? -1 : overlay_mount(&alone, ATTR_READ_ONLY, &ignored);
	return mount_fd >= 0;
}

/* Name the layer that is at fault, if one alone is. */
static int fail_stack(struct view *view, struct stack *stack, const struct error *why,
                      struct error *err)
{
	const struct builder *builder = view->plan->request->builder;
	const char *what = "its layers", *because = "";

	for (size_t i = 0; i < stack->n_fds; i++)
		if (!can_stack(view, stack, i)) {
			what = stack->place->lower[i];
			because = is_overlay(stack->fds[i])
			                  ? ", which is an overlay itself, and a deep one"
			                  : "";
			break;
		}
	(void)error_set(err, BLAME_HOST, why->code,
	                "the overlay at %s of the builder %s cannot be made of %s%s%s: %s",
	                stack->place->at, builder->name, what, because,
	                stack->place->top == TOP_DISK && *what != '/'
	                        ? " with a top in the state directory"
	                        : "",
	                why->text);
	return error_hint(err, "%s",
	                  why->hint[0] ? why->hint : "choose layers on another file system");
}

/* --- and one that can --- */

static int mount_stack(struct view *view, struct stack *stack, struct error *err)
{
	const struct overlay overlay = {
		.lower_fds = stack->fds,
		.n_lower = stack->n_fds,
		.upper_fd = stack->upper_fd,
		.work_fd = stack->work_fd,
		.user_marks = !view->plan->account->change,
	};
	struct error why = { 0 };
	int fd;

	/* The kernel stacks two at least. */
	if (stack->place->top == TOP_NONE && stack->n_fds == 1)
		return mount_clone(stack->fds[0], stack->place->lower[0], ATTR_READ_ONLY, err);
	fd = overlay_mount(&overlay, stack->place->top == TOP_NONE ? ATTR_READ_ONLY : ATTR_DATA,
	                   &why);
	return fd < 0 ? fail_stack(view, stack, &why, err) : fd;
}

int view_add_overlay(struct view *view, const struct view_row *row, struct error *err)
{
	cleanup_(stack_done) struct stack stack = {
		.place = row->place, .number = view->n_overlays++, .upper_fd = -1, .work_fd = -1
	};
	cleanup_fd int fd = -1;
	int r = open_layers(view, &stack, err);

	if (r == 0 && row->place->top == TOP_DISK)
		r = make_top_on_disk(view, &stack, err);
	if (r == 0 && row->place->top == TOP_TMPFS)
		r = make_top_in_memory(view, &stack, err);
	if (r < 0)
		return r;
	fd = mount_stack(view, &stack, err);
	return fd < 0 ? fd : view_attach(view, fd, row->at + 1, true, err);
}
