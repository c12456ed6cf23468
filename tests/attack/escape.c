/* Ways out of the builder's view: its root, its mounts, its /proc, the store, the processes beside
 * it. */
#include "attack.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

enum {
	LINE_LEN = 4096,
	MOUNT_OPTIONS = 5, /* fields of proc_pid_mountinfo(5), counted from 0 */
	MOUNT_POINT = 4,
	FIRST_OPTIONAL = 6,
};

/* --- the root and the mounts ------------------------------------------------------------------ */

struct mount_line {
	char text[LINE_LEN];
	char *fields[32];
	size_t n_fields;
};

static bool next_mount(FILE *file, struct mount_line *line)
{
	char *rest = NULL;

	if (!fgets(line->text, sizeof(line->text), file))
		return false;
	line->n_fields = 0;
	for (char *word = strtok_r(line->text, " \n", &rest); word && line->n_fields < 32;
	     word = strtok_r(NULL, " \n", &rest))
		line->fields[line->n_fields++] = word;
	return line->n_fields > FIRST_OPTIONAL;
}

static bool has_option(const char *options, const char *option)
{
	size_t len = strlen(option);

	for (const char *at = options; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (strncmp(at, option, len) == 0 && (at[len] == ',' || at[len] == '\0'))
			return true;
	}
	return false;
}

static bool is_one_of(const char *path, const char *const *list)
{
	for (; *list; list++)
		if (strcmp(path, *list) == 0)
			return true;
	return false;
}

static void check_mount(const struct mount_line *line)
{
	static const char *const writable[] = { "/build",     "/build/outputs", "/tmp",
		                                "/nix/store", "/proc",          "/dev/shm",
		                                "/dev/pts",   "/dev/null",      "/dev/zero",
		                                "/dev/full",  "/dev/random",    "/dev/urandom",
		                                NULL };
	const char *point = line->fields[MOUNT_POINT] ?: "",
		   *options = line->fields[MOUNT_OPTIONS] ?: "";
	bool device = strncmp(point, "/dev/", 5) == 0 && strcmp(point, "/dev/shm") != 0;

	if (!has_option(options, "nosuid"))
		broke("%s is mounted without nosuid (%s)", point, options);
	if (!device && !has_option(options, "nodev"))
		broke("%s is mounted without nodev (%s)", point, options);
	if (!has_option(options, "ro") && !is_one_of(point, writable))
		broke("%s can be written (%s)", point, options);
}

/* MO5, MO11, ES4: no mount gives what a file on it says about users, devices or writing */
static void every_mount_is_restricted(void)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	struct mount_line line;
	size_t n_mounts = 0;

	for (; file && next_mount(file, &line); n_mounts++)
		check_mount(&line);
	expect(n_mounts > 5, "the mount table can be read");
}

/* MO8: with a peer group left, what is mounted on one side shows on the other */
static void no_mount_is_shared_with_the_host(void)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	struct mount_line line;
	size_t n_mounts = 0;

	for (; file && next_mount(file, &line); n_mounts++)
		for (size_t i = FIRST_OPTIONAL; strcmp(line.fields[i], "-") != 0; i++)
			broke("%s is %s", line.fields[MOUNT_POINT], line.fields[i]);
	expect(n_mounts > 5, "the mount table can be read");
}

/* MO5, FD5: the old root is neither below nor behind the new one */
static void the_old_root_is_gone(void)
{
	static const char *const expected[] = { ".",   "..",     "bin", "build", "dev",
		                                "etc", "lib",    "nix", "lib32", "lib64",
		                                "opt", "proc",   "run", "sbin",  "tmp",
		                                "usr", "libx32", "var", NULL };
	static const char *const absent[] = {
		"/etc/shadow", "/root",        "/home",      "/var/lib",         "/../etc/shadow",
		"/../root",    "/run/systemd", "/run/hatch", "/proc/1/root/etc", "/sys",
		NULL
	};
	struct dirent *entry;
	DIR *root = opendir("/..");
	struct stat up, here;

	expect(stat("/", &here) == 0 && stat("/..", &up) == 0 && here.st_ino == up.st_ino &&
	               here.st_dev == up.st_dev,
	       "/.. is /");
	while (root && (entry = readdir(root)))
		if (!is_one_of(entry->d_name, expected))
			broke("/%s is there", entry->d_name);
	for (size_t i = 0; absent[i]; i++)
		if (access(absent[i], F_OK) == 0)
			broke("%s is there", absent[i]);
	expect(root != NULL, "/ can be read");
	refused("chroot", chroot("/tmp"));
}

static long create(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	if (fd >= 0)
		(void)unlink(path);
	return fd;
}

/* MO11 */
static void the_root_and_the_system_are_read_only(void)
{
	refused("a file in /", create("/file"));
	refused("a file in /usr", create("/usr/file"));
	refused("a file in /etc", create("/etc/file"));
	refused("a file in /dev", create("/dev/file"));
	refused("writing /etc/passwd", open("/etc/passwd", O_WRONLY | O_CLOEXEC));
	refused("a directory in /run", mkdir("/run/directory", 0755));
	refused("moving /etc", rename("/etc", "/moved"));
}

/* Can this file be opened for writing? Other processes' directories are attacked elsewhere. */
static void find_writable(int dir_fd, const char *path, unsigned depth)
{
	int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	while (dir && depth < 12 && (entry = readdir(dir))) {
		const char *name = entry->d_name;
		int file_fd;

		if (name[0] == '.' || (depth == 0 && name[0] >= '0' && name[0] <= '9'))
			continue;
		if (entry->d_type == DT_DIR)
			find_writable(fd, name, depth + 1);
		if (entry->d_type != DT_REG)
			continue;
		file_fd = openat(fd, name, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
		if (file_fd < 0)
			continue;
		(void)close(file_fd);
		broke("%s in a /proc directory can be written", name);
	}
	if (dir)
		(void)closedir(dir);
}

/* MO11: in a fresh /proc anybody may open sys/kernel/ns_last_pid and pressure/ for writing */
static void nothing_in_proc_can_be_written(void)
{
	expect(access("/proc/sys/kernel/ns_last_pid", F_OK) == 0, "there is a /proc/sys");
	find_writable(AT_FDCWD, "/proc", 0);
}

/* MO5 */
static void mounts_cannot_be_changed(void)
{
	struct mount_attr attr = { .attr_clr = MOUNT_ATTR_RDONLY };

	refused("umount of /proc/sys", syscall(SYS_umount2, "/proc/sys", 2));
	refused("umount of the store", syscall(SYS_umount2, "/nix/store", 2));
	refused("remount of /", syscall(SYS_mount, NULL, "/", NULL, 32L, NULL));
	refused("bind over /etc", syscall(SYS_mount, "/tmp", "/etc", NULL, 4096L, NULL));
	refused("mount of proc", syscall(SYS_mount, "proc", "/tmp", "proc", 0L, NULL));
	refused("mount of tmpfs", syscall(SYS_mount, "none", "/tmp", "tmpfs", 0L, NULL));
	refused("fsopen", syscall(SYS_fsopen, "tmpfs", 0));
	refused("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/tmp", 1));
	refused("mount_setattr",
	        syscall(SYS_mount_setattr, AT_FDCWD, "/usr", 0, &attr, sizeof(attr)));
	refused("pivot_root", syscall(SYS_pivot_root, "/tmp", "/tmp"));
}

/* MO3, ES13: no device node, however it is named, opens a device */
static void device_nodes_cannot_be_made(void)
{
	refused("mknod of /dev/mem", mknod("/tmp/mem", S_IFCHR | 0600, makedev(1, 1)));
	refused("mknod of a disk", mknod("/tmp/disk", S_IFBLK | 0600, makedev(8, 0)));
}

/* --- the store -------------------------------------------------------------------------------- */

/* The first path of the lower layer, which is the host's store. */
static bool find_store_path(char ret[LINE_LEN])
{
	DIR *dir = opendir("/nix/store");
	struct dirent *entry;
	bool found = false;

	while (dir && !found && (entry = readdir(dir))) {
		struct stat st;

		found = entry->d_name[0] != '.' &&
		        snprintf(ret, LINE_LEN, "/nix/store/%s", entry->d_name) > 0 &&
		        lstat(ret, &st) == 0 && st.st_uid != getuid();
	}
	if (dir)
		(void)closedir(dir);
	return found;
}

/* MO11, MO5: the layer over the store belongs to root; only what is new in it is the builder's */
static void what_is_in_the_store_stays(void)
{
	char path[LINE_LEN], below[2 * LINE_LEN];
	struct stat st;

	expect(stat("/nix/store", &st) == 0 && st.st_uid == 0 && (st.st_mode & 07777) == 01775,
	       "/nix/store is root's, with mode 01775");
	if (!find_store_path(path)) {
		broke("the store is empty: there is nothing to attack");
		return;
	}
	(void)snprintf(below, sizeof(below), "%s/new", path);
	refused("unlink of a store path", unlink(path));
	refused("rmdir of a store path", rmdir(path));
	refused("rename of a store path", rename(path, "/nix/store/moved"));
	refused("chmod of a store path", chmod(path, 0777));
	refused("chown of a store path", lchown(path, getuid(), getgid()));
	refused("writing a store path",
	        open(path, O_WRONLY | O_TRUNC | O_CLOEXEC) < 0 && errno == EISDIR
	                ? create(below)
	                : open(path, O_WRONLY | O_TRUNC | O_CLOEXEC));
	refused("chmod of the store", chmod("/nix/store", 0777));
	refused("rename of the store", rename("/nix/store", "/nix/old"));
}

/* MO1: what the overlay would take as its own orders */
static void overlay_attributes_cannot_be_set(void)
{
	expect(mkdir("/build/directory", 0755) == 0, "a directory of our own can be made");
	refused("trusted.overlay.opaque",
	        setxattr("/build/directory", "trusted.overlay.opaque", "y", 1, 0));
	refused("trusted.overlay.redirect",
	        setxattr("/build/directory", "trusted.overlay.redirect", "/etc", 4, 0));
	refused("user.overlay.opaque",
	        setxattr("/build/directory", "user.overlay.opaque", "y", 1, 0));
}

/* --- other processes -------------------------------------------------------------------------- */

/* ES10: init is of the same user, and still nobody's to look into */
static void init_cannot_be_looked_into(void)
{
	static const char *const files[] = { "mem",       "environ", "maps",   "auxv",   "io",
		                             "map_files", "fd/0",    "fdinfo", "ns/mnt", "exe",
		                             "cwd",       "root",    NULL };
	const struct rlimit no_time = { 0, 0 };
	char byte, path[64], target[64];
	struct iovec local = { &byte, 1 }, remote = { (void *)0x400000, 1 };
	long pid_fd = syscall(SYS_pidfd_open, 1, 0);

	refused("ptrace", ptrace(PTRACE_ATTACH, 1, NULL, NULL));
	refused("ptrace (seize)", ptrace(PTRACE_SEIZE, 1, NULL, NULL));
	refused("process_vm_readv", process_vm_readv(1, &local, 1, &remote, 1, 0));
	refused("process_vm_writev", process_vm_writev(1, &local, 1, &remote, 1, 0));
	for (size_t i = 0; files[i]; i++) {
		(void)snprintf(path, sizeof(path), "/proc/1/%s", files[i]);
		refused(path, open(path, O_RDONLY | O_CLOEXEC));
	}
	refused("limits of init", prlimit(1, RLIMIT_CPU, &no_time, NULL));
	refused("readlink of /proc/1/exe", readlink("/proc/1/exe", target, sizeof(target)));
	for (int fd = 0; fd < 16 && pid_fd >= 0; fd++)
		refused("pidfd_getfd", syscall(SYS_pidfd_getfd, pid_fd, fd, 0));
	refused("setns to init", syscall(SYS_setns, pid_fd, CLONE_NEWNS));
	refused("the file of our own memory as another user",
	        open("/proc/1/oom_score_adj", O_WRONLY | O_CLOEXEC));
}

/* ES10: only init and ourselves are in here */
static void no_other_process_is_seen(void)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		long pid = strtol(entry->d_name, NULL, 10);

		if (pid > 1 && pid != getpid())
			broke("process %ld is seen", pid);
	}
	expect(dir != NULL, "/proc can be read");
	expect(getppid() == 1, "our parent is process 1");
	for (pid_t pid = 2; pid < 100000; pid++)
		if (pid != getpid() && kill(pid, 0) == 0)
			broke("process %d can be sent signals", pid);
}

/* ES13 */
static void programs_that_run_cannot_be_overwritten(void)
{
	refused("writing /proc/1/exe", open("/proc/1/exe", O_WRONLY | O_CLOEXEC));
	refused("writing /proc/self/exe", open("/proc/self/exe", O_WRONLY | O_CLOEXEC));
	refused("writing /usr/sbin/hatchd", open("/usr/sbin/hatchd", O_WRONLY | O_CLOEXEC));
}

/* ES2 */
static void namespaces_cannot_be_made(void)
{
	static const int flags[] = { CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,    CLONE_NEWNET,
		                     CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP, 0x80 };
	uint64_t clone3_args[11] = { CLONE_NEWUSER };

	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		refused("unshare", unshare(flags[i]));
		if (flags[i] != 0x80)
			refused("clone",
			        syscall(SYS_clone, flags[i] | SIGCHLD, NULL, NULL, NULL, NULL));
	}
	clone3_args[4] = SIGCHLD;
	refused("clone3", syscall(SYS_clone3, clone3_args, sizeof(clone3_args)));
}

/* ES5 */
static void ids_cannot_be_had_back(void)
{
	const gid_t none = 0;

	refused("setuid", setuid(0));
	refused("seteuid", seteuid(0));
	refused("setresuid", setresuid((uid_t)-1, (uid_t)-1, 0));
	refused("setgid", setgid(0));
	refused("setresgid", setresgid((gid_t)-1, 0, (gid_t)-1));
	refused("setgroups", setgroups(1, &none));
	refused("setgroups to none", setgroups(0, NULL));
	refused("raising a capability", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 21, 0, 0));
}

/* ES8: nothing of the cgroup tree is in reach */
static void cgroups_are_out_of_reach(void)
{
	refused("mount of cgroup2", syscall(SYS_mount, "none", "/tmp", "cgroup2", 0L, NULL));
	expect(access("/sys/fs/cgroup", F_OK) < 0, "there is no /sys/fs/cgroup");
}

/* ID8 */
static void the_sockets_of_hatch_are_not_there(void)
{
	static const char *const paths[] = { "/run/hatch/hatch.sock", "/run/hatch/s/hatch.sock" };

	for (size_t i = 0; i < 2; i++) {
		struct sockaddr_un address = { .sun_family = AF_UNIX };
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		strcpy(address.sun_path, paths[i]);
		expect(fd >= 0, "a socket can be made");
		expect(connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 &&
		               errno == ENOENT,
		       paths[i]);
		(void)close(fd);
	}
}

static const struct attack attacks[] = {
	ATTACK(every_mount_is_restricted),
	ATTACK(no_mount_is_shared_with_the_host),
	ATTACK(the_old_root_is_gone),
	ATTACK(the_root_and_the_system_are_read_only),
	ATTACK(nothing_in_proc_can_be_written),
	ATTACK(mounts_cannot_be_changed),
	ATTACK(device_nodes_cannot_be_made),
	ATTACK(what_is_in_the_store_stays),
	ATTACK(overlay_attributes_cannot_be_set),
	ATTACK(init_cannot_be_looked_into),
	ATTACK(no_other_process_is_seen),
	ATTACK(programs_that_run_cannot_be_overwritten),
	ATTACK(namespaces_cannot_be_made),
	ATTACK(ids_cannot_be_had_back),
	ATTACK(cgroups_are_out_of_reach),
	ATTACK(the_sockets_of_hatch_are_not_there),
};

ATTACK_MAIN(attacks)
