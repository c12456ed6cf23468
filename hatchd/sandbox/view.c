/*
 * What the builder sees: an empty root, filled from tables. Runs as init, in the new mount
 * namespace, with capabilities over it, before any hostile code exists in it.
 */
#include "sandbox.h"

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

#include "lib/base/buffer.h"
#include "mount.h"

/* <sys/mount.h> of glibc collides with <linux/mount.h> on some versions. */
enum { MS_REC_ = 1 << 14, MS_PRIVATE_ = 1 << 18, MNT_DETACH_ = 2 };

enum {
	ATTR_DATA = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
	ATTR_READ_ONLY = ATTR_DATA | MOUNT_ATTR_RDONLY,
	ATTR_DEVICE = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
	ATTR_PROC = ATTR_DATA | MOUNT_ATTR_NOEXEC,
};

enum { RESOLVE_TRIES = 1000 };

struct view {
	const struct sandbox_plan *plan;
	int root_fd; /* the new root */
};

/* --- small steps --- */

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

/*
 * Open a path of the view as it will be once that is the root. Part of it may be a bind of what
 * belongs to anybody: a link in there must not lead our root's rights to the host.
 */
static int open_inside(int root_fd, const char *path, uint64_t flags)
{
	return open_resolved(root_fd, path, flags, RESOLVE_IN_ROOT);
}

/* Make root/path and its parents, and open it. What is there already may be part of a bind. */
static int make_directories(int root_fd, const char *path)
{
	cleanup_fd int dir_fd = open_inside(root_fd, ".", O_DIRECTORY);
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
		fd = open_inside(root_fd, copy, O_DIRECTORY);
		if (fd == -ENOENT)
			fd = mkdirat(dir_fd, name, 0755) < 0
			             ? -errno
			             : open_inside(root_fd, copy, O_DIRECTORY);
		fd_closep(&dir_fd);
		dir_fd = fd;
		if (more)
			*end = '/';
		name = more ? end + 1 : end;
	}
	return dir_fd < 0 ? dir_fd : take_fd(&dir_fd);
}

static int make_directory(int root_fd, const char *path)
{
	cleanup_fd int fd = make_directories(root_fd, path);

	return fd < 0 ? fd : 0;
}

static int make_file(int root_fd, const char *path, const char *text)
{
	cleanup_fd int fd = openat(root_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	if (fd < 0)
		return -errno;
	return fd_write_full(fd, text, strlen(text));
}

/* An empty place of the right kind for a mount; its descriptor. */
static int make_target(int root_fd, const char *path, bool directory)
{
	const char *slash = strrchr(path, '/');
	cleanup_fd int dir_fd = -1;
	int fd = open_inside(root_fd, path, 0);
	char parent[PATH_MAX];

	if (fd != -ENOENT)
		return fd;
	if (directory)
		return make_directories(root_fd, path);
	(void)snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - path) : 0, path);
	dir_fd = make_directories(root_fd, parent);
	fd = dir_fd < 0 ? dir_fd : make_file(dir_fd, slash ? slash + 1 : path, "");
	return fd < 0 ? fd : open_inside(root_fd, path, 0);
}

static int attach(const struct view *view, int mount_fd, const char *target, bool directory,
                  struct error *err)
{
	cleanup_fd int target_fd = make_target(view->root_fd, target, directory);

	if (target_fd < 0)
		return error_errno(err, BLAME_HOST, -target_fd,
		                   "cannot make a place for /%s in the sandbox", target);
	return mount_attach(mount_fd, target_fd, "", err);
}

/* Is one of them the other, or inside of it? */
static bool meets(const char *a, const char *b)
{
	size_t a_len = strlen(a), b_len = strlen(b), len = a_len < b_len ? a_len : b_len;

	if (len == 1) /* "/" */
		return true;
	return strncmp(a, b, len) == 0 && (a_len == b_len || (a_len < b_len ? b : a)[len] == '/');
}

/*
 * Open what the administrator wants shown. On the way may be a link that is not the
 * administrator's: it must not lead to what no builder may see. (What is named outright was checked
 * when the definition was read.)
 */
static int open_source(const struct view *view, const char *path)
{
	const struct config *config = view->plan->request->config;
	const char *const places[] = { "/run/hatch", config->state_dir, config->dir };
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

/* Bind the host's path (absolute) to the same path of the view. Magic links are not followed. */
static int bind_path(const struct view *view, const char *path, uint64_t attributes,
                     struct error *err)
{
	cleanup_fd int source_fd = open_source(view, path);
	cleanup_fd int mount_fd = -1;
	struct stat st;
	int r = source_fd < 0 ? source_fd : fstat(source_fd, &st) < 0 ? -errno : 0;

	if (r < 0) {
		error_errno(err, BLAME_HOST, -r, "cannot open %s for the builder %s", path,
		            view->plan->request->builder->name);
		return error_hint(err, "make it, or take it out of \"view\" in %s",
		                  view->plan->request->builder->file);
	}
	mount_fd = mount_clone(source_fd, path, attributes, err);
	if (mount_fd < 0)
		return mount_fd;
	return attach(view, mount_fd, path + 1, S_ISDIR(st.st_mode), err);
}

/* Bind a part of scratch to a path of the view. */
static int bind_scratch(const struct view *view, int fd, const char *target, struct error *err)
{
	cleanup_fd int source_fd = reopen_here(fd, err);
	cleanup_fd int mount_fd = -1;

	if (source_fd < 0)
		return source_fd;
	mount_fd = mount_clone(source_fd, target, ATTR_DATA, err);
	return mount_fd < 0 ? mount_fd : attach(view, mount_fd, target, true, err);
}

static int mount_at(const struct view *view, int mount_take_fd, const char *target,
                    struct error *err)
{
	cleanup_fd int mount_fd = mount_take_fd;

	return mount_fd < 0 ? mount_fd : attach(view, mount_fd, target, true, err);
}

/* A symlink of the host is made again, a directory or file bound; what the host lacks is left out.
 */
static int copy_or_bind(const struct view *view, const char *path, struct error *err)
{
	char target[PATH_MAX];
	struct stat st;
	ssize_t n;

	if (lstat(path, &st) < 0)
		return 0;
	if (!S_ISLNK(st.st_mode))
		return bind_path(view, path, ATTR_READ_ONLY, err);
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot read the link %s", path);
	target[n] = '\0';
	if (symlinkat(target, view->root_fd, path + 1) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot make /%s in the sandbox",
		                   path + 1);
	return 0;
}

/* --- the parts of the view, in the order they are made --- */

static int make_root(struct view *view, struct error *err)
{
	static const struct mount_option options[] = { { "mode", "0755" }, { "size", "16m" } };
	cleanup_fd int place_fd = reopen_here(view->plan->scratch->root_fd, err);

	if (place_fd < 0)
		return place_fd;
	/* Nothing that is mounted from here on may show on the host. */
	if (syscall(SYS_mount, NULL, "/", NULL, MS_REC_ | MS_PRIVATE_, NULL) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot make mounts private");
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

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(paths); i++)
		r = copy_or_bind(view, paths[i], err);
	if (r == 0 && make_directory(view->root_fd, "run") < 0)
		return error_set(err, BLAME_HOST, EIO, "cannot make /run in the sandbox");
	return r < 0 ? r : copy_or_bind(view, "/run/current-system", err); /* NixOS */
}

/*
 * The store with the builder's own layer on top, so that it makes its outputs at their final paths.
 * The layers are named by descriptor: no path of the host is parsed for ':' or ','.
 */
static int add_store(struct view *view, struct error *err)
{
	const char *store_dir = view->plan->request->config->store_dir;
	cleanup_fd int lower_fd = open(store_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
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
	return mount_at(view, mount_new("overlay", options, ARRAY_SIZE(options), ATTR_DATA, err),
	                store_dir + 1, err);
}

static int add_devices(struct view *view, struct error *err)
{
	static const char *const devices[] = { "/dev/null", "/dev/zero", "/dev/full", "/dev/random",
		                               "/dev/urandom" };
	static const struct {
		const char *path, *target;
	} links[] = {
		{ "dev/fd", "/proc/self/fd" },       { "dev/stdin", "/proc/self/fd/0" },
		{ "dev/stdout", "/proc/self/fd/1" }, { "dev/stderr", "/proc/self/fd/2" },
		{ "dev/ptmx", "pts/ptmx" },
	};
	static const struct mount_option shm[] = { { "mode", "1777" }, { "size", "256m" } };
	static const struct mount_option pts[] = { { "ptmxmode", "0666" }, { "mode", "0620" } };
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(devices); i++)
		r = bind_path(view, devices[i], ATTR_DEVICE, err);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(links); i++)
		if (symlinkat(links[i].target, view->root_fd, links[i].path) < 0)
			return error_errno(err, BLAME_HOST, errno, "cannot make /%s",
			                   links[i].path);
	if (r == 0)
		r = mount_at(view, mount_new("tmpfs", shm, ARRAY_SIZE(shm), ATTR_DATA, err),
		             "dev/shm", err);
	if (r == 0)
		r = mount_at(view, mount_new("devpts", pts, ARRAY_SIZE(pts), ATTR_DEVICE, err),
		             "dev/pts", err);
	return r;
}

/* A new /proc shows only what is inside; the parts of it that set the machine are read-only. */
static int add_proc(struct view *view, struct error *err)
{
	static const char *const read_only[] = {
		"proc/sys", "proc/sysrq-trigger", "proc/irq",      "proc/bus",
		"proc/fs",  "proc/acpi",          "proc/pressure",
	};
	int r = mount_at(view, mount_new("proc", NULL, 0, ATTR_PROC, err), "proc", err);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(read_only); i++) {
		cleanup_fd int source_fd = openat(view->root_fd, read_only[i],
		                                  O_PATH | O_NOFOLLOW | O_CLOEXEC);
		cleanup_fd int mount_fd = -1;

		if (source_fd < 0)
			continue; /* not every kernel has it */
		mount_fd = mount_clone(source_fd, read_only[i], ATTR_PROC | MOUNT_ATTR_RDONLY, err);
		if (mount_fd < 0)
			return mount_fd;
		r = mount_attach(mount_fd, view->root_fd, read_only[i], err);
	}
	return r;
}

/* Names for the numbers that id(1) shows inside. */
static int write_accounts(const struct view *view)
{
	const struct sandbox_plan *plan = view->plan;
	const struct builder *builder = plan->request->builder;
	cleanup_(buffer_done) struct buffer passwd = { 0 }, group = { 0 };
	int r;

	r = buffer_printf(&passwd,
	                  "root:x:0:0:root:/build:/usr/sbin/nologin\n"
	                  "%s:x:%u:%u:hatch build user:/build:/bin/sh\n"
	                  "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
	                  plan->user_name, plan->account->uid, plan->account->gid);
	if (r == 0)
		r = buffer_printf(&group, "root:x:0:\n%s:x:%u:\nnogroup:x:65534:\n",
		                  plan->request->config->build_group, plan->account->gid);
	for (size_t i = 0; r == 0 && i < builder->n_groups; i++)
		r = buffer_printf(&group, "%s:x:%u:%s\n", builder->group_names[i],
		                  builder->groups[i], plan->user_name);
	if (r == 0)
		r = make_file(view->root_fd, "etc/passwd", passwd.data);
	if (r == 0)
		r = make_file(view->root_fd, "etc/group", group.data);
	return r;
}

static int add_etc(struct view *view, struct error *err)
{
	static const char *const always[] = { "/etc/alternatives", "/etc/ld.so.cache",
		                              "/etc/ld.so.conf", "/etc/ld.so.conf.d" };
	static const char *const networked[] = {
		"/etc/resolv.conf", "/etc/hosts",           "/etc/services",
		"/etc/protocols",   "/etc/gai.conf",        "/etc/ssl",
		"/etc/pki",         "/etc/ca-certificates", "/etc/static",
	};
	bool network = view->plan->request->builder->network_host;
	int r = make_directory(view->root_fd, "etc");

	if (r == 0)
		r = write_accounts(view);
	if (r == 0)
		r = make_file(view->root_fd, "etc/nsswitch.conf",
		              network ? "passwd: files\ngroup: files\nhosts: files dns\n"
		                      : "passwd: files\ngroup: files\nhosts: files\n");
	if (r == 0 && !network)
		r = make_file(view->root_fd, "etc/hosts",
		              "127.0.0.1 localhost hatch\n::1 localhost hatch\n");
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot write /etc of the sandbox");
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(always); i++)
		if (access(always[i], F_OK) == 0)
			r = bind_path(view, always[i], ATTR_READ_ONLY, err);
	for (size_t i = 0; r == 0 && network && i < ARRAY_SIZE(networked); i++)
		if (access(networked[i], F_OK) == 0)
			r = bind_path(view, networked[i], ATTR_READ_ONLY, err);
	return r;
}

static int add_scratch(struct view *view, struct error *err)
{
	const struct scratch *scratch = view->plan->scratch;
	int r = bind_scratch(view, scratch->build_fd, "build", err);

	if (r == 0)
		r = bind_scratch(view, scratch->outputs_fd, OUTPUT_DIR + 1, err);
	if (r == 0)
		r = bind_scratch(view, scratch->tmp_fd, "tmp", err);
	if (r < 0)
		return r;
	if (make_directory(view->root_fd, "var") < 0 ||
	    symlinkat("/tmp", view->root_fd, "var/tmp") < 0)
		return error_set(err, BLAME_HOST, EIO, "cannot make /var/tmp in the sandbox");
	return 0;
}

static int add_binds(struct view *view, struct error *err)
{
	const struct builder *builder = view->plan->request->builder;
	int r = 0;

	for (size_t i = 0; r == 0 && i < builder->n_binds; i++)
		r = bind_path(view, builder->binds[i].path,
		              builder->binds[i].writable ? ATTR_DATA : ATTR_READ_ONLY, err);
	return r;
}

/* From here on only what was put there exists. */
static int enter_root(struct view *view, struct error *err)
{
	int r = mount_set(view->root_fd, ATTR_READ_ONLY, err);

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
		make_root, add_system,  add_store, add_devices, add_proc,
		add_etc,   add_scratch, add_binds, enter_root,
	};
	struct view view = { .plan = plan, .root_fd = -1 };
	int r = 0;

	(void)umask(0);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(steps); i++)
		r = steps[i](&view, err);
	fd_closep(&view.root_fd);
	return r;
}
