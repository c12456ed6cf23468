/* Trees that are hard to get rid of. */
#include "remove.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <time.h>

#include "test-tree.h"

static bool is_removed(const char *name)
{
	struct error err = { 0 };
	int r = tree_remove(scratch_fd, name, &err);

	if (r == 0 && !exists_at(name))
		return true;
	printf("%s: %d %s\n", name, r, err.text);
	return false;
}

static void is_content_with_nothing(void)
{
	check(tree_remove(scratch_fd, "nothing", NULL) == 0);
	check(tree_remove_children(scratch_fd, NULL) == 0);
}

static void removes_files_symlinks_fifos_and_empty_directories(void)
{
	make_dir_at("dir");
	make_file_at("file", "x", 1, 0);
	check(symlinkat("nowhere", scratch_fd, "symlink") == 0);
	check(mkfifoat(scratch_fd, "fifo", 0) == 0);
	check(is_removed("dir") && is_removed("file") && is_removed("symlink"));
	check(is_removed("fifo"));
}

/* OP2 */
static void never_follows_a_symlink(void)
{
	make_dir_at("outside");
	make_file_at("outside/precious", "x", 1, 0644);
	check(symlinkat("outside", scratch_fd, "link") == 0);
	make_dir_at("tree");
	check(symlinkat("../outside", scratch_fd, "tree/link") == 0);
	check(symlinkat("../outside/precious", scratch_fd, "tree/file") == 0);
	check(symlinkat("..", scratch_fd, "tree/parent") == 0);
	check(is_removed("link") && is_removed("tree"));
	check(exists_at("outside/precious"));
}

/* Go down from dir_fd, making n directories; every every-th has files and other directories. */
static void make_deep(const char *root, int n, int every)
{
	int fd;

	make_dir_at(root);
	fd = openat(scratch_fd, root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < n; i++) {
		int next_fd;

		check(mkdirat(fd, "d", 0755) == 0);
		if (every && i % every == 0) {
			check(mkdirat(fd, "c", 0755) == 0 && mkdirat(fd, "e", 0755) == 0);
			check(symlinkat("x", fd, "a") == 0 && symlinkat("x", fd, "z") == 0);
		}
		next_fd = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = next_fd;
	}
	close(fd);
}

static void remove_with_few_descriptors(void)
{
	int used = count_fds();
	struct rlimit limit = { (rlim_t)used + 2, (rlim_t)used + 2 };
	struct rlimit stack = { 256 * 1024, 256 * 1024 };

	make_deep("tree", 20000, 100);
	make_deep("tree/d/d/d/other", 500, 1);
	check(setrlimit(RLIMIT_NOFILE, &limit) == 0 && setrlimit(RLIMIT_STACK, &stack) == 0);
	check(is_removed("tree"));
}

/* OP5 */
static void removes_20000_levels_with_few_descriptors(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		remove_with_few_descriptors();
		fflush(stdout);
		_exit(unit_failed);
	}
	check(waitpid(pid, &status, 0) == pid && status == 0);
}

/* More names of subdirectories than are kept in memory at once, some of them not empty. */
static void removes_a_very_wide_directory(void)
{
	char path[400], name[251];

	memset(name, 'w', 250);
	name[250] = '\0';
	make_dir_at("tree");
	for (int i = 0; i < 20000; i++) {
		snprintf(path, sizeof(path), "tree/%s%05d", name + 5, i);
		check(mkdirat(scratch_fd, path, 0755) == 0);
		if (i % 10)
			continue;
		strcat(path, "/sub");
		check(mkdirat(scratch_fd, path, 0755) == 0);
	}
	check(is_removed("tree"));
}

static void make_closed(void)
{
	const mode_t modes[] = { 0, 0100, 0200, 0400, 0500, 0600, 0300, 02000, 01777 };
	char path[64];

	make_dir_at("tree");
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		snprintf(path, sizeof(path), "tree/%zu", i);
		make_dir_at(path);
		snprintf(path, sizeof(path), "tree/%zu/sub", i);
		make_dir_at(path);
		snprintf(path, sizeof(path), "tree/%zu/sub/file", i);
		make_file_at(path, "x", 1, 0);
		snprintf(path, sizeof(path), "tree/%zu/sub", i);
		check(fchmodat(scratch_fd, path, modes[i], 0) == 0);
		snprintf(path, sizeof(path), "tree/%zu", i);
		check(fchmodat(scratch_fd, path, modes[i], 0) == 0);
	}
	check(fchmodat(scratch_fd, "tree", 0, 0) == 0);
	check(is_removed("tree"));
}

/* OP7, ES9 */
static void opens_closed_directories(void)
{
	run_as_ordinary_user(make_closed);
	make_closed();
}

static void removes_children_and_keeps_the_directory(void)
{
	cleanup_fd int fd = -1;

	make_dir_at("tree");
	make_dir_at("tree/sub");
	make_file_at("tree/sub/a", "x", 1, 0);
	make_file_at("tree/b", "x", 1, 0);
	fd = openat(scratch_fd, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(tree_remove_children(fd, NULL) == 0);
	check(exists_at("tree") && !exists_at("tree/sub") && !exists_at("tree/b"));
}

static const char *is_not_root(void)
{
	return geteuid() == 0 ? NULL : "only root can leave something to others";
}

static void remove_beside_a_foreign_directory(void)
{
	struct error err = { 0 };

	check(tree_remove(scratch_fd, "tree", &err) == -EACCES);
	check(err.blame == BLAME_HOST && strstr(err.text, "'foreign'"));
	check(exists_at("tree/foreign") && !exists_at("tree/a") && !exists_at("tree/z"));
}

static void removes_the_rest_if_something_must_stay(void)
{
	make_dir_at("tree");
	make_dir_at("tree/a");
	make_dir_at("tree/foreign");
	make_file_at("tree/foreign/file", "x", 1, 0);
	make_dir_at("tree/z");
	make_file_at("tree/z/file", "x", 1, 0);
	for (int i = 0; i < 3; i++) {
		const char *const ours[] = { "tree", "tree/a", "tree/z" };

		check(fchownat(scratch_fd, ours[i], 65534, 65534, 0) == 0);
	}
	check(fchmodat(scratch_fd, "tree/foreign", 0700, 0) == 0);
	run_as_ordinary_user(remove_beside_a_foreign_directory);
	check(exists_at("tree/foreign/file"));
}

/*
 * A chain of directories, each with so many others beside the next that the names which wait on the
 * way down reach their limit. Returns the last one. A directory in memory lists the newest first:
 * made first, the next one is gone into while all others wait.
 */
static int make_bushy_chain(const char *root)
{
	enum { N_LEVELS = 250, N_BESIDE = 100 };
	int fd;

	make_dir_at(root);
	fd = openat(scratch_fd, root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < N_LEVELS; i++) {
		char name[256];
		int next_fd;

		check(mkdirat(fd, "next", 0755) == 0);
		memset(name, 'b', sizeof(name));
		for (int k = 0; k < N_BESIDE; k++) {
			snprintf(name + 240, 8, "%05d", k);
			check(mkdirat(fd, name, 0755) == 0);
		}
		next_fd = openat(fd, "next", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = next_fd;
	}
	return fd;
}

static void removes_a_chain_that_is_wide_at_each_level(void)
{
	close(make_bushy_chain("tree"));
	check(is_removed("tree"));
}

static int foreign_parent_fd;

static void remove_around_foreign_directories(void)
{
	struct error err = { 0 };
	DIR *dir = fdopendir(foreign_parent_fd);
	struct dirent *entry;
	int n_foreign = 0;

	check(tree_remove(scratch_fd, "tree", &err) == -EACCES);
	while ((entry = readdir(dir))) {
		check(entry->d_name[0] != 'f');
		n_foreign += entry->d_name[0] == 'd';
	}
	check(n_foreign == 5);
	closedir(dir);
}

static void own(int fd)
{
	check(fchown(fd, 65534, 65534) == 0);
}

static void own_chain(const char *root)
{
	int fd = openat(scratch_fd, root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	while (fd >= 0) {
		int next_fd = openat(fd, "next", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		own(fd);
		close(fd);
		fd = next_fd;
	}
}

/* Down there a directory gives one name at a time, and what cannot be entered must not make it lose
 * its place. */
static void misses_nothing_beside_what_must_stay_deep_down(void)
{
	char name[256];
	int fd = make_bushy_chain("tree");

	own_chain("tree");
	memset(name, 'n', sizeof(name));
	for (int i = 0; i < 20; i++) {
		snprintf(name + 240, 8, "%05d", i);
		name[0] = 'f';
		check(symlinkat("x", fd, name) == 0);
		name[0] = 'd';
		if (i % 4 == 3)
			check(mkdirat(fd, name, 0700) == 0);
	}
	foreign_parent_fd = fd;
	run_as_ordinary_user(remove_around_foreign_directories);
	close(fd);
}

static void remove_around_mounts(void)
{
	struct error err = { 0 };
	char outside[300], sub[300];
	int r;

	check(enter_mount_namespace());
	reopen_scratch();
	make_dir_at("outside");
	make_file_at("outside/precious", "x", 1, 0644);
	make_dir_at("tree");
	make_dir_at("tree/sub");
	make_dir_at("tree/sub/mount");
	make_file_at("tree/sub/a", "x", 1, 0644);
	make_file_at("tree/z", "x", 1, 0644);
	snprintf(outside, sizeof(outside), "%s/outside", scratch_path);
	snprintf(sub, sizeof(sub), "%s/tree/sub/mount", scratch_path);
	check(mount(outside, sub, NULL, MS_BIND, NULL) == 0);

	r = tree_remove(scratch_fd, "tree", &err);
	check(r < 0 && strstr(err.text, "'mount'"));
	check(exists_at("outside/precious") && exists_at("tree/sub/mount/precious"));
	check(!exists_at("tree/sub/a") && !exists_at("tree/z"));
	check(umount2(sub, MNT_DETACH) == 0);
	check(is_removed("tree"));

	make_dir_at("tree");
	snprintf(sub, sizeof(sub), "%s/tree", scratch_path);
	check(mount(outside, sub, NULL, MS_BIND, NULL) == 0);
	check(tree_remove(scratch_fd, "tree", &err) < 0 && exists_at("outside/precious"));
	check(umount2(sub, MNT_DETACH) == 0);
}

/* OP9 */
static void leaves_alone_what_is_mounted_inside(void)
{
	unit_in_child(remove_around_mounts);
}

/* ramfs counts entries to find a place in a directory again: every removal moves all places. */
static bool enter_ramfs(void)
{
	if (!enter_mount_namespace() || mount("none", scratch_path, "ramfs", 0, "mode=0777") < 0)
		return false;
	reopen_scratch();
	return true;
}

static bool writes_to_ramfs(void)
{
	return enter_ramfs() && mkdirat(scratch_fd, "probe", 0700) == 0;
}

static const char *cannot_mount_ramfs(void)
{
	return child_can(writes_to_ramfs) ? NULL : "cannot mount a ramfs and write to it";
}

static void remove_from_ramfs(void)
{
	char path[64];

	check(enter_ramfs());
	make_dir_at("tree");
	for (int i = 0; i < 5000; i++) {
		snprintf(path, sizeof(path), "tree/%05d", i);
		if (i % 3)
			check(mkdirat(scratch_fd, path, 0755) == 0);
		else
			check(symlinkat("x", scratch_fd, path) == 0);
	}
	check(is_removed("tree"));
}

static void misses_nothing_where_places_in_a_directory_move(void)
{
	unit_in_child(remove_from_ramfs);
}

/* Move a directory in and out of the tree as fast as possible, until killed. */
static void move_around(void)
{
	for (;;) {
		(void)renameat(scratch_fd, "tree/a/b", scratch_fd, "outside/b");
		(void)renameat(scratch_fd, "outside/b", scratch_fd, "tree/a/b");
	}
}

/* OP11: the way back up is checked, so a directory that was moved leads nowhere else */
static void never_leaves_the_tree_while_it_is_moved(void)
{
	struct timespec now, start;
	pid_t pid;

	make_dir_at("outside");
	make_file_at("outside/precious", "x", 1, 0644);
	make_dir_at("outside/dir");
	pid = fork();
	if (pid == 0)
		move_around();
	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		for (int i = 0; i < 10; i++) {
			(void)mkdirat(scratch_fd, "tree", 0755);
			(void)mkdirat(scratch_fd, "tree/a", 0755);
			(void)mkdirat(scratch_fd, "tree/a/b", 0755);
			(void)mkdirat(scratch_fd, "tree/a/b/c", 0755);
			(void)mkdirat(scratch_fd, "tree/a/b/c/d", 0755);
			(void)tree_remove(scratch_fd, "tree", NULL);
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec - start.tv_sec < 2);
	check(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
	check(exists_at("outside/precious") && exists_at("outside/dir"));
}

static void keeps_no_descriptor(void)
{
	int before = count_fds();

	make_deep("tree", 50, 5);
	check(is_removed("tree"));
	check(count_fds() == before);
}

static const struct unit_case cases[] = {
	CASE(is_content_with_nothing),
	CASE(removes_files_symlinks_fifos_and_empty_directories),
	CASE(never_follows_a_symlink),
	CASE(removes_20000_levels_with_few_descriptors),
	CASE(removes_a_very_wide_directory),
	CASE_IF(opens_closed_directories, cannot_set_ids),
	CASE(removes_children_and_keeps_the_directory),
	CASE_IF(removes_the_rest_if_something_must_stay, is_not_root),
	CASE(removes_a_chain_that_is_wide_at_each_level),
	CASE_IF(misses_nothing_beside_what_must_stay_deep_down, is_not_root),
	CASE_IF(misses_nothing_where_places_in_a_directory_move, cannot_mount_ramfs),
	CASE_IF(leaves_alone_what_is_mounted_inside, cannot_mount),
	CASE(never_leaves_the_tree_while_it_is_moved),
	CASE(keeps_no_descriptor),
};

TREE_MAIN(cases)
