/*
 * The host's own tree, for "base": "host": entry by entry, so that what hatch makes itself can
 * stand beside it, and without what belongs to users, services and the kernel. What a service or a
 * mount hides in an odd place is looked for when the request begins.
 */
#include <dirent.h>
#include <errno.h>
#include <mntent.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/text.h"
#include "view.h"

static void file_done(FILE **file)
{
	if (*file)
		(void)fclose(*file);
}

/* --- the entries of "/" --- */

static int add_entry(struct view *view, const char *name, struct error *err)
{
	char path[NAME_MAX + 2];
	const struct view_row row = { VIEW_SYSTEM, path, path };
	struct stat st;

	(void)snprintf(path, sizeof(path), "/%s", name);
	if (view_host_lacks(view->plan->request->config, path) || lstat(path, &st) < 0 ||
	    (!S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode)))
		return 0;
	return view_add_system(view, &row, err);
}

static int add_entries(struct view *view, struct error *err)
{
	cleanup_directory DIR *dir = opendir("/");
	const struct dirent *entry;
	int r = 0;

	if (!dir)
		return error_errno(err, BLAME_HOST, errno, "cannot list /");
	while (r == 0 && (entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r = add_entry(view, entry->d_name, err);
	return r;
}

/* --- what is hidden in them --- */

static int hide(struct view *view, const char *path, struct error *err)
{
	const struct view_row row = { VIEW_HIDE, path, .optional = true };

	return path[0] == '/' && path[1] ? view_add_hide(view, &row, err) : 0;
}

/* A home of a user; but one that names a part of the system is none. */
static bool is_home(const struct passwd *user)
{
	static const char *const system[] = { "/bin", "/etc", "/lib", "/opt", "/sbin", "/usr" };

	if (user->pw_uid < 1000 || user->pw_uid == 65534)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(system); i++)
		if (path_is_below(system[i], user->pw_dir))
			return false;
	return true;
}

static int hide_homes(struct view *view, struct error *err)
{
	cleanup_(file_done) FILE *file = fopen("/etc/passwd", "re");
	const struct passwd *user;
	int r = 0;

	if (!file)
		return error_errno(err, BLAME_HOST, errno, "cannot read /etc/passwd");
	while (r == 0 && (user = fgetpwent(file)))
		if (is_home(user))
			r = hide(view, user->pw_dir, err);
	return r;
}

/* The kernel's own, where somebody mounted it for another root: a /proc of the host, say. */
static bool is_kernels(const char *type)
{
	static const char *const types[] = {
		"autofs",  "binfmt_misc", "bpf",        "cgroup",    "cgroup2", "configfs",
		"debugfs", "devpts",      "devtmpfs",   "efivarfs",  "fusectl", "mqueue",
		"proc",    "pstore",      "securityfs", "selinuxfs", "sysfs",   "tracefs",
	};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (strcmp(type, types[i]) == 0)
			return true;
	return false;
}

static int hide_kernels(struct view *view, struct error *err)
{
	cleanup_(file_done) FILE *mounts = fopen("/proc/self/mounts", "re");
	struct mntent mount;
	char strings[8192];
	int r = 0;

	if (!mounts)
		return error_errno(err, BLAME_HOST, errno, "cannot read /proc/self/mounts");
	while (r == 0 && getmntent_r(mounts, &mount, strings, sizeof(strings)))
		if (is_kernels(mount.mnt_type))
			r = hide(view, mount.mnt_dir, err);
	return r;
}

static int hide_socket(struct view *view, const char *path, struct error *err)
{
	cleanup_fd int fd = view_open(view->root_fd, path + 1, 0);
	struct stat st;

	if (view_is_missing(fd))
		return 0;
	if (fd >= 0 && fstat(fd, &st) == 0)
		return S_ISSOCK(st.st_mode) ? hide(view, path, err) : 0;
	(void)error_errno(
		err, BLAME_HOST, fd < 0 ? -fd : errno,
		"cannot look at %s of the host, which may be a socket that the builder %s "
		"must not see",
		path, view->plan->request->builder->name);
	return error_hint(
		err, "end who listens there (try: ss -xlp), or use \"base\": \"minimal\" in %s",
		view->plan->request->builder->file);
}

/* Those that a service listens on now, in the host's network: a socket that can be seen can be
 * connected to, also on a read-only mount. */
static int hide_sockets(struct view *view, struct error *err)
{
	cleanup_(file_done) FILE *file = fopen("/proc/1/net/unix", "re");
	cleanup_free char *line = NULL;
	size_t room = 0;
	ssize_t len;
	int r = 0;

	if (!file)
		return error_errno(err, BLAME_HOST, errno, "cannot list the host's sockets");
	while (r == 0 && (len = getline(&line, &room, file)) > 0) {
		/* The name is the last word, after seven others. */
		const char *path = strchr(line, '/');

		line[len - 1] = '\0';
		if (path)
			r = hide_socket(view, path, err);
	}
	return r;
}

/* The resolver's file is a link into /run, as a rule. */
static int add_resolver(struct view *view, struct error *err)
{
	cleanup_free char *path = realpath("/etc/resolv.conf", NULL);
	const struct view_row row = { VIEW_READ, path, path, .optional = true };

	return path && path_is_below(path, "/run") ? view_bind(view, &row, ATTR_READ_ONLY, err) : 0;
}

int view_add_host(struct view *view, const struct view_row *row, struct error *err)
{
	static int (*const steps[])(struct view *, struct error *) = {
		add_entries,
		hide_homes,
		hide_kernels,
		hide_sockets,
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(steps); i++)
		r = steps[i](view, err);
	if (r == 0 && view->plan->request->builder->network.kind == NETWORK_HOST)
		r = add_resolver(view, err);
	return r;
}
