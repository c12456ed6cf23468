/*
 * The cgroup of one request, found, made, killed and removed by descriptors. Who is in it and what
 * it may use is the caller's business; here is only what makes sure that nobody is left.
 */
#include "cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <mntent.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"

enum {
	OWN_CGROUPS_MAX = 64 * 1024, /* of /proc/self/cgroup */
	EVENTS_MAX = 4096,           /* of cgroup.events */
	KILL_AGAIN_MS = 100,
	DEPTH_MAX = 64, /* of groups below ours, and of our recursion */
};

static const struct cgroup no_cgroup = CGROUP_NONE;

void cgroup_done(struct cgroup *cgroup)
{
	/* An object of zeros is empty as well: its descriptors are not ours. */
	if (cgroup->path[0]) {
		fd_closep(&cgroup->dir_fd);
		fd_closep(&cgroup->kill_fd);
		fd_closep(&cgroup->events_fd);
		fd_closep(&cgroup->parent_fd);
	}
	*cgroup = no_cgroup;
}

/* ---- where we are ---- */

/* The path in the line "0::PATH" of proc_pid_cgroup(5), that of cgroup v2. NULL if there is none.
 * The text is taken apart. */
static const char *own_path_in_hierarchy(char *text)
{
	static const char key[] = "0::";
	char *rest = NULL;

	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		if (strncmp(line, key, strlen(key)) == 0)
			return line + strlen(key);
	return NULL;
}

static bool is_cgroup2(int fd)
{
	struct statfs status;

	return fstatfs(fd, &status) == 0 && (unsigned long)status.f_type == CGROUP2_SUPER_MAGIC;
}

static int open_group(int parent_fd, const char *name)
{
	return openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Is there a mount of cgroup v2 that shows this group? A system with both versions has it at
 * another place than one that has only the second. */
static bool find_in_mounts(FILE *mounts, const char *group, char ret[CGROUP_PATH_MAX])
{
	char strings[8192];
	struct mntent mount;

	while (getmntent_r(mounts, &mount, strings, sizeof(strings))) {
		cleanup_fd int fd = -1;
		int len;

		if (strcmp(mount.mnt_type, "cgroup2") != 0)
			continue;
		len = snprintf(ret, CGROUP_PATH_MAX, "%s%s", mount.mnt_dir,
		               strcmp(group, "/") == 0 ? "" : group);
		if (len >= CGROUP_PATH_MAX)
			continue;
		fd = open_group(AT_FDCWD, ret);
		if (fd >= 0 && is_cgroup2(fd))
			return true;
	}
	return false;
}

static void mounts_done(FILE **mounts)
{
	if (*mounts)
		(void)endmntent(*mounts);
}

int cgroup_root_path(char ret[CGROUP_PATH_MAX], struct error *err)
{
	cleanup_(mounts_done) FILE *mounts = setmntent("/proc/self/mounts", "re");

	if (!mounts)
		return error_errno(err, BLAME_HOST, errno, "cannot read /proc/self/mounts");
	if (!find_in_mounts(mounts, "/", ret))
		return error_set(err, BLAME_HOST, ENOENT, "this system has no cgroup v2");
	return 0;
}

int cgroup_own_path(char ret[CGROUP_PATH_MAX], struct error *err)
{
	cleanup_fd int fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
	cleanup_free char *text = NULL;
	cleanup_(mounts_done) FILE *mounts = NULL;
	char path[CGROUP_PATH_MAX];
	const char *group;
	size_t len;
	int r;

	r = fd < 0 ? -errno : fd_read_file(fd, OWN_CGROUPS_MAX, &text, &len);
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot read /proc/self/cgroup");
	group = own_path_in_hierarchy(text);
	if (!group) {
		(void)error_set(err, BLAME_HOST, ENOENT, "this system has no cgroup v2");
		return -ENOENT;
	}
	mounts = setmntent("/proc/self/mounts", "re");
	if (!mounts)
		return error_errno(err, BLAME_HOST, errno, "cannot read /proc/self/mounts");
	if (!find_in_mounts(mounts, group, path)) {
		(void)error_set(err, BLAME_HOST, ENOENT,
		                "our cgroup %s is in no mounted cgroup v2 file system", group);
		(void)error_hint(err, "cgroup2 must be mounted where this service can see it, as a "
		                      "rule at /sys/fs/cgroup");
		return -ENOENT;
	}
	memcpy(ret, path, sizeof(path));
	return 0;
}

/* ---- making and opening ---- */

static int open_files(struct cgroup *cgroup, struct error *err)
{
	cgroup->kill_fd = openat(cgroup->dir_fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);
	if (cgroup->kill_fd < 0 && errno == ENOENT)
		return error_set(err, BLAME_HOST, ENOSYS,
		                 "the kernel cannot kill a cgroup (cgroup.kill needs Linux 5.14)");
	if (cgroup->kill_fd < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot open %s/cgroup.kill",
		                   cgroup->path);
	cgroup->events_fd = openat(cgroup->dir_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
	if (cgroup->events_fd < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot open %s/cgroup.events",
		                   cgroup->path);
	return 0;
}

static const char *last_name(const struct cgroup *cgroup)
{
	return strrchr(cgroup->path, '/') + 1;
}

static bool is_name(const char *name)
{
	return name[0] != '\0' && name[0] != '.' && !strchr(name, '/');
}

static int make_group(const struct cgroup *cgroup, const char *parent, struct error *err)
{
	int code;

	if (mkdirat(cgroup->parent_fd, last_name(cgroup), 0755) == 0)
		return 0;
	code = errno;
	if (code != EACCES && code != EPERM && code != EROFS)
		return error_errno(err, BLAME_HOST, code, "cannot make the cgroup %s",
		                   cgroup->path);
	(void)error_errno(err, BLAME_HOST, code, "we may not make a cgroup below our own, %s",
	                  parent);
	(void)error_hint(err, "The unit needs Delegate=yes, and must not have "
	                      "ProtectControlGroups=yes");
	return -EACCES;
}

int cgroup_create(const char *name, struct cgroup *ret, struct error *err)
{
	cleanup_cgroup struct cgroup cgroup = no_cgroup;
	char parent[CGROUP_PATH_MAX];
	int r;

	if (!is_name(name))
		return error_set(err, BLAME_HOST, EINVAL, "\"%s\" is no name of a cgroup", name);
	r = cgroup_own_path(parent, err);
	if (r < 0)
		return r;
	r = snprintf(cgroup.path, sizeof(cgroup.path), "%s/%s", parent, name);
	if (r >= (int)sizeof(cgroup.path))
		return error_set(err, BLAME_HOST, ENAMETOOLONG,
		                 "the path of our cgroup is too long");
	cgroup.parent_fd = open_group(AT_FDCWD, parent);
	if (cgroup.parent_fd < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot open our cgroup %s", parent);
	r = make_group(&cgroup, parent, err);
	if (r < 0)
		return r;
	cgroup.dir_fd = open_group(cgroup.parent_fd, name);
	if (cgroup.dir_fd < 0)
		r = error_errno(err, BLAME_HOST, errno, "cannot open the cgroup %s", cgroup.path);
	if (r == 0)
		r = open_files(&cgroup, err);
	if (r < 0) {
		(void)unlinkat(cgroup.parent_fd, name, AT_REMOVEDIR);
		return r;
	}
	*ret = cgroup;
	cgroup = no_cgroup;
	return 0;
}

/* Would killing path kill us? */
static bool holds_us(const char *path, const char *own)
{
	size_t len = strlen(path);

	return strncmp(own, path, len) == 0 && (own[len] == '\0' || own[len] == '/');
}

/* path comes from a file that only we write; still, what is opened is a cgroup and not our own. */
static int check_path(const char *path, struct error *err)
{
	char own[CGROUP_PATH_MAX];
	int r;

	if (path[0] != '/' || strlen(path) >= CGROUP_PATH_MAX || strstr(path, "/../") ||
	    !is_name(strrchr(path, '/') + 1))
		return error_set(err, BLAME_HOST, EINVAL, "\"%s\" is no path of a cgroup", path);
	r = cgroup_own_path(own, err);
	if (r < 0)
		return r;
	if (holds_us(path, own))
		return error_set(err, BLAME_HOST, EINVAL, "the cgroup %s is our own or holds it",
		                 path);
	return 0;
}

int cgroup_open(const char *path, struct cgroup *ret, struct error *err)
{
	cleanup_cgroup struct cgroup cgroup = no_cgroup;
	char parent[CGROUP_PATH_MAX];
	int r;

	r = check_path(path, err);
	if (r < 0)
		return r;
	(void)snprintf(cgroup.path, sizeof(cgroup.path), "%s", path);
	(void)snprintf(parent, sizeof(parent), "%.*s", (int)(last_name(&cgroup) - cgroup.path),
	               path);
	cgroup.parent_fd = open_group(AT_FDCWD, parent);
	if (cgroup.parent_fd >= 0)
		cgroup.dir_fd = open_group(cgroup.parent_fd, last_name(&cgroup));
	if (cgroup.dir_fd < 0 && errno == ENOENT)
		return 0;
	if (cgroup.dir_fd < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot open the cgroup %s", path);
	if (!is_cgroup2(cgroup.dir_fd))
		return error_set(err, BLAME_HOST, EINVAL, "%s is no cgroup", path);
	r = open_files(&cgroup, err);
	if (r < 0)
		return r;
	*ret = cgroup;
	cgroup = no_cgroup;
	return 1;
}

/* ---- killing ---- */

/* 1, 0 or a negative errno */
static int read_populated(int events_fd)
{
	static const char key[] = "populated ";
	char text[EVENTS_MAX];
	const char *line;
	ssize_t n;

	do
		n = pread(events_fd, text, sizeof(text) - 1, 0);
	while (n < 0 && errno == EINTR);
	/* Somebody has removed it, so nobody is in it. */
	if (n < 0 && errno == ENODEV)
		return 0;
	if (n < 0)
		return -errno;
	text[n] = '\0';
	line = strstr(text, key);
	if (!line)
		return -EBADMSG;
	return line[strlen(key)] != '0';
}

bool cgroup_is_populated(const struct cgroup *cgroup)
{
	return read_populated(cgroup->events_fd) != 0;
}

static int kill_all(const struct cgroup *cgroup)
{
	int r = fd_write_full(cgroup->kill_fd, "1", 1);

	return r == -ENODEV ? 0 : r;
}

int cgroup_kill(const struct cgroup *cgroup, int timeout_ms, struct error *err)
{
	int64_t end_ms = clock_now_ms() + timeout_ms;

	for (;;) {
		struct pollfd change = { .fd = cgroup->events_fd, .events = POLLPRI };
		int64_t left_ms;
		/* Each time again: a process could have been put in meanwhile. */
		int r = kill_all(cgroup);

		if (r < 0)
			return error_errno(err, BLAME_HOST, -r, "cannot kill the cgroup %s",
			                   cgroup->path);
		r = read_populated(cgroup->events_fd);
		if (r == 0)
			return 0;
		if (r < 0)
			return error_errno(err, BLAME_HOST, -r,
			                   "cannot see whether processes are left in cgroup %s",
			                   cgroup->path);
		left_ms = end_ms - clock_now_ms();
		if (left_ms <= 0)
			return error_set(err, BLAME_HOST, ETIMEDOUT,
			                 "processes in cgroup %s still live %d ms after SIGKILL",
			                 cgroup->path, timeout_ms);
		(void)poll(&change, 1, left_ms < KILL_AGAIN_MS ? (int)left_ms : KILL_AGAIN_MS);
	}
}

/* ---- removing ---- */

static int remove_group(int parent_fd, const char *name, unsigned int depth);

static int remove_children(int parent_fd, const char *name, unsigned int depth)
{
	cleanup_directory DIR *directory = fd_open_directory(parent_fd, name);
	const struct dirent *entry;

	if (!directory)
		return -errno;
	while ((errno = 0, entry = readdir(directory))) {
		int r;

		if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		r = remove_group(dirfd(directory), entry->d_name, depth + 1);
		if (r < 0)
			return r;
	}
	return -errno;
}

/* A group with groups below it gives EBUSY, like one with processes in it. */
static int remove_group(int parent_fd, const char *name, unsigned int depth)
{
	int r;

	if (unlinkat(parent_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != EBUSY)
		return -errno;
	if (depth >= DEPTH_MAX)
		return -ELOOP;
	r = remove_children(parent_fd, name, depth);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (unlinkat(parent_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

int cgroup_remove(struct cgroup *cgroup, struct error *err)
{
	int r = remove_group(cgroup->parent_fd, last_name(cgroup), 0);

	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot remove the cgroup %s",
		                   cgroup->path);
	cgroup_done(cgroup);
	return 0;
}
