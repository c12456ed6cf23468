/* Places in the view, and what is put there. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/text.h"
#include "mount.h"
#include "view.h"

enum { RESOLVE_TRIES = 1000 };

static int open_resolved(int dir_fd, const char *path, uint64_t flags, uint64_t resolve)
{
	const struct open_how how = { .flags = O_PATH | O_CLOEXEC | flags,
		                      .resolve = RESOLVE_NO_MAGICLINKS | resolve };
	int fd;

	/* The kernel gives up on ".." if anything is mounted or renamed meanwhile, anywhere: other
	 * requests do that all the time. */
	for (size_t i = 0; i < RESOLVE_TRIES; i++) {
		fd = (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
		if (fd >= 0 || errno != EAGAIN)
			break;
	}
	return fd < 0 ? -errno : fd;
}

int view_open(int root_fd, const char *path, uint64_t flags)
{
	return open_resolved(root_fd, path, flags, RESOLVE_IN_ROOT);
}

/* Make root/path and its parents, and open it. What is there already may be part of a bind. */
static int make_directories(int root_fd, const char *path)
{
	cleanup_fd int dir_fd = view_open(root_fd, ".", O_DIRECTORY);
	char copy[PATH_MAX];
	char *name = copy;

	if (strlen(path) >= sizeof(copy))
		return -ENAMETOOLONG;
	strcpy(copy, path);
	while (dir_fd >= 0 && *name) {
		char *end = strchrnul(name, '/');
		bool more = *end == '/';
		int fd;

		*end = '\0';
		fd = view_open(root_fd, copy, O_DIRECTORY);
		if (fd == -ENOENT)
			fd = mkdirat(dir_fd, name, 0755) < 0
			             ? -errno
			             : view_open(root_fd, copy, O_DIRECTORY);
		fd_closep(&dir_fd);
		dir_fd = fd;
		if (more)
			*end = '/';
		name = more ? end + 1 : end;
	}
	return dir_fd < 0 ? dir_fd : take_fd(&dir_fd);
}

int view_make_directory(int root_fd, const char *path)
{
	cleanup_fd int fd = make_directories(root_fd, path);

	return fd < 0 ? fd : 0;
}

static int make_file(int dir_fd, const char *name, const char *text)
{
	cleanup_fd int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0)
		return -errno;
	return fd_write_full(fd, text, strlen(text));
}

/* The directory that holds the path, and the path's last name in it: nothing there is followed. */
static int open_parent(int root_fd, const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	char parent[PATH_MAX];

	*ret_name = slash ? slash + 1 : path;
	if (!slash)
		return view_open(root_fd, ".", O_DIRECTORY);
	(void)snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
	return make_directories(root_fd, parent);
}

int view_remove_file(int root_fd, const char *path)
{
	const char *name;
	cleanup_fd int dir_fd = open_parent(root_fd, path, &name);

	if (dir_fd < 0)
		return dir_fd;
	return unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

int view_make_file(int root_fd, const char *path, const char *text)
{
	const char *name;
	cleanup_fd int dir_fd = open_parent(root_fd, path, &name);
	int r = dir_fd < 0 ? dir_fd : view_remove_file(dir_fd, name);

	return r < 0 ? r : make_file(dir_fd, name, text);
}

int view_make_link(int root_fd, const char *path, const char *target)
{
	const char *name;
	cleanup_fd int dir_fd = open_parent(root_fd, path, &name);
	int r = dir_fd < 0 ? dir_fd : view_remove_file(dir_fd, name);

	if (r < 0)
		return r;
	return symlinkat(target, dir_fd, name) < 0 ? -errno : 0;
}

/* An empty place of the right kind for a mount; its descriptor. */
static int make_target(int root_fd, const char *path, bool directory)
{
	cleanup_fd int dir_fd = -1;
	int fd = view_open(root_fd, path, 0);
	const char *name;

	if (fd != -ENOENT)
		return fd;
	if (directory)
		return make_directories(root_fd, path);
	dir_fd = open_parent(root_fd, path, &name);
	fd = dir_fd < 0 ? dir_fd : make_file(dir_fd, name, "");
	return fd < 0 ? fd : view_open(root_fd, path, 0);
}

/* Is what holds it a directory of the host that the builder may write to? A place made in it would
 * stay there. One that is optional may not have been mounted. */
static bool is_of_host(const struct view *view, const char *target)
{
	const struct place *holder;
	cleanup_fd int fd = -1;
	char path[PATH_MAX + 1];
	struct statx st;

	(void)snprintf(path, sizeof(path), "/%s", target);
	*strrchr(path, '/') = '\0';
	holder = builder_find_place(view->plan->request->builder, path);
	if (!holder || holder->kind != PLACE_WRITE)
		return false;
	fd = view_open(view->root_fd, holder->at + 1, 0);
	return fd >= 0 && (statx(fd, "", AT_EMPTY_PATH, 0, &st) < 0 ||
	                   (st.stx_attributes & STATX_ATTR_MOUNT_ROOT));
}

int view_attach(const struct view *view, int mount_fd, const char *target, bool directory,
                struct error *err)
{
	cleanup_fd int target_fd = is_of_host(view, target)
	                                   ? view_open(view->root_fd, target, 0)
	                                   : make_target(view->root_fd, target, directory);
	struct stat st;

	if (target_fd < 0 || fstat(target_fd, &st) < 0) {
		(void)error_errno(err, BLAME_HOST, target_fd < 0 ? -target_fd : errno,
		                  "cannot make a place for /%s in the sandbox", target);
		return error_hint(err, "what holds it is shown as it is: make it there, or choose "
		                       "another place");
	}
	if (S_ISDIR(st.st_mode) != directory)
		return error_set(err, BLAME_HOST, directory ? ENOTDIR : EISDIR,
		                 "/%s is %s in the builder's root, where a %s is to be shown",
		                 target, directory ? "no directory" : "a directory",
		                 directory ? "directory" : "file");
	return mount_attach(mount_fd, target_fd, "", err);
}

/* Is one of them the other, or inside of it? */
static bool meets(const char *a, const char *b)
{
	return path_is_below(a, b) || path_is_below(b, a);
}

/*
 * Open what the administrator wants shown. On the way may be a link that is not the
 * administrator's: it must not lead to what no builder may see. (What is named outright was checked
 * when the definition was read.)
 */
int view_open_source(const struct view *view, const char *path)
{
	const struct config *config = view->plan->request->config;
	const char *const places[] = {
		"/run/hatch", "/run/credentials", config->state_dir, config->dir, "/proc", "/sys",
		"/dev"
	};
	cleanup_fd int fd = open_resolved(AT_FDCWD, path, 0, 0);
	char link[64], real[PATH_MAX];
	ssize_t len;

	if (fd < 0)
		return fd;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, real, sizeof(real) - 1);
	if (len < 0)
		return -errno;
	real[len] = '\0';
	for (size_t i = 0; strcmp(real, path) != 0 && i < ARRAY_SIZE(places); i++)
		if (meets(real, places[i]))
			return -EPERM;
	return take_fd(&fd);
}

int view_fail_source(const struct view *view, const char *path, int code, struct error *err)
{
	const struct builder *builder = view->plan->request->builder;

	(void)error_errno(err, BLAME_HOST, code, "cannot open %s for the builder %s", path,
	                  builder->name);
	return error_hint(err, "make it, or take it out of \"view\" in %s", builder->file);
}

static bool is_missing(int code)
{
	return code == ENOENT || code == ENOTDIR;
}

int view_bind(const struct view *view, const struct view_row *row, uint64_t attributes,
              struct error *err)
{
	cleanup_fd int source_fd = view_open_source(view, row->source);
	cleanup_fd int mount_fd = -1;
	struct stat st;
	int r = source_fd < 0 ? source_fd : fstat(source_fd, &st) < 0 ? -errno : 0;

	if (r < 0 && row->optional && is_missing(-r))
		return 0;
	if (r < 0)
		return view_fail_source(view, row->source, -r, err);
	mount_fd = mount_clone(source_fd, row->source, attributes, err);
	if (mount_fd < 0)
		return mount_fd;
	return view_attach(view, mount_fd, row->at + 1, S_ISDIR(st.st_mode), err);
}

int view_add_read(struct view *view, const struct view_row *row, struct error *err)
{
	return view_bind(view, row, view_row_attributes(row), err);
}

int view_add_write(struct view *view, const struct view_row *row, struct error *err)
{
	return view_bind(view, row, view_row_attributes(row), err);
}

int view_bind_scratch(const struct view *view, int fd, const char *target, struct error *err)
{
	cleanup_fd int source_fd = reopen_here(fd, err);
	cleanup_fd int mount_fd = -1;

	if (source_fd < 0)
		return source_fd;
	mount_fd = mount_clone(source_fd, target, ATTR_DATA, err);
	return mount_fd < 0 ? mount_fd : view_attach(view, mount_fd, target, true, err);
}

int view_mount(const struct view *view, int mount_take_fd, const char *target, struct error *err)
{
	cleanup_fd int mount_fd = mount_take_fd;

	return mount_fd < 0 ? mount_fd : view_attach(view, mount_fd, target, true, err);
}

int view_add_link(struct view *view, const struct view_row *row, struct error *err)
{
	int r = view_make_link(view->root_fd, row->at + 1, row->source);

	return r < 0 ? error_errno(err, BLAME_HOST, -r, "cannot make %s in the sandbox", row->at)
	             : 0;
}

/* What has its name in another root may be a link, also one that leads nowhere. */
int view_add_file(struct view *view, const struct view_row *row, struct error *err)
{
	int r;

	if (access(row->source, F_OK) < 0)
		return 0;
	r = view_remove_file(view->root_fd, row->at + 1);
	/* A directory, or a row before: it is covered. */
	if (r < 0 && r != -EISDIR && r != -EBUSY)
		return error_errno(err, BLAME_HOST, -r, "cannot make %s in the sandbox", row->at);
	return view_bind(view, row, view_row_attributes(row), err);
}

int view_add_directory(struct view *view, const struct view_row *row, struct error *err)
{
	int r = view_make_directory(view->root_fd, row->at + 1);

	return r < 0 ? error_errno(err, BLAME_HOST, -r, "cannot make %s in the sandbox", row->at)
	             : 0;
}

int view_add_system(struct view *view, const struct view_row *row, struct error *err)
{
	char target[PATH_MAX];
	struct stat st;
	ssize_t n;
	int r;

	if (lstat(row->source, &st) < 0)
		return 0;
	if (!S_ISLNK(st.st_mode))
		return view_bind(view, row, view_row_attributes(row), err);
	n = readlink(row->source, target, sizeof(target) - 1);
	if (n < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot read the link %s", row->source);
	target[n] = '\0';
	r = view_make_link(view->root_fd, row->at + 1, target);
	return r < 0 ? error_errno(err, BLAME_HOST, -r, "cannot make %s in the sandbox", row->at)
	             : 0;
}

int view_add_scratch(struct view *view, const struct view_row *row, struct error *err)
{
	const struct scratch *scratch = view->plan->scratch;
	const struct {
		const char *name;
		int fd;
	} parts[] = {
		{ "build", scratch->build_fd },
		{ "outputs", scratch->outputs_fd },
		{ "tmp", scratch->tmp_fd },
	};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (strcmp(parts[i].name, row->source) == 0)
			return view_bind_scratch(view, parts[i].fd, row->at + 1, err);
	return error_set(err, BLAME_HOST, EINVAL, "scratch has no part %s", row->source);
}
