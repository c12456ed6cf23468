/*
 * The host's features, as a table: what is needed, what protects, and what its absence means.
 * Probed by trying, never by version numbers.
 */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "hatchd/config/check.h"
#include "hatchd/config/exposure.h"
#include "hatchd/sandbox/filter.h"
#include "hatchd/sandbox/landlock.h"
#include "hatchd/sandbox/sandbox.h"
#include "hatchd/slot/cgroup.h"
#include "hatchd/slot/control.h"
#include "hatchd/slot/devices.h"
#include "hatchd/slot/quota.h"
#include "lib/base/cleanup.h"

enum {
	SO_PASSRIGHTS_ = 83, /* Linux 6.16 */
	SO_PEERPIDFD_ = 77,  /* Linux 6.5 */
	SYSTEMD_VERSION_MIN = 252,
};

static bool has_call(long number)
{
	/* Every one of these fails on bad arguments; only a missing one with ENOSYS. */
	return syscall(number, -1, NULL, 0, 0, 0) >= 0 || errno != ENOSYS;
}

static bool has_mount_api(void)
{
	return has_call(SYS_fsopen) && has_call(SYS_open_tree) && has_call(SYS_mount_setattr);
}

static bool has_clone3(void)
{
	return syscall(SYS_clone3, NULL, 0) >= 0 || errno != ENOSYS;
}

static bool has_openat2(void)
{
	return has_call(SYS_openat2);
}

static bool has_close_range(void)
{
	return syscall(SYS_close_range, ~0U, ~0U, 0) == 0;
}

static bool has_overlay(void)
{
	char line[128];
	bool found = false;
	FILE *file = fopen("/proc/filesystems", "re");

	while (file && !found && fgets(line, sizeof(line), file))
		found = strcmp(line, "nodev\toverlay\n") == 0;
	if (file)
		(void)fclose(file);
	/* As a module it is loaded at the first mount. */
	return found || access("/sys/module/overlay", F_OK) == 0 ||
	       syscall(SYS_fsopen, "overlay", 1) >= 0;
}

/* Asking for it loads the module. */
static bool has_file_system(const char *type)
{
	cleanup_fd int fd = (int)syscall(SYS_fsopen, type, 1);

	return fd >= 0;
}

static bool has_squashfs(void)
{
	return has_file_system("squashfs");
}

static bool has_erofs(void)
{
	return has_file_system("erofs");
}

static bool has_ext4(void)
{
	return has_file_system("ext4");
}

static bool has_loop(void)
{
	cleanup_fd int fd = open("/dev/loop-control", O_RDONLY | O_CLOEXEC);

	return fd >= 0;
}

static bool is_kernel(unsigned long major, unsigned long minor)
{
	struct utsname name;
	unsigned long has_major, has_minor;
	char *end;

	if (uname(&name) < 0)
		return false;
	has_major = strtoul(name.release, &end, 10);
	has_minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
	return has_major > major || (has_major == major && has_minor >= minor);
}

static bool has_cgroup_kill(void)
{
	char own[CGROUP_PATH_MAX];
	cleanup_fd int fd = -1;

	if (cgroup_own_path(own, NULL) < 0)
		return false;
	fd = open(own, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || faccessat(fd, "cgroup.kill", F_OK, 0) == 0)
		return fd >= 0;
	/* The root group has neither file, whatever the kernel is. */
	return faccessat(fd, "cgroup.type", F_OK, 0) < 0 && is_kernel(5, 14);
}

static bool has_cgroup2(void)
{
	char own[CGROUP_PATH_MAX];

	return cgroup_own_path(own, NULL) == 0;
}

static bool has_memory_controller(void)
{
	return control_exists("memory");
}

static bool has_cpu_controller(void)
{
	return control_exists("cpu");
}

static bool has_pids_controller(void)
{
	return control_exists("pids");
}

static bool has_io_controller(void)
{
	return control_exists("io");
}

static bool has_sealing(void)
{
	cleanup_fd int fd = memfd_create("check", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	return fd >= 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) == 0;
}

static bool has_socket_option(int option)
{
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int value = 0;
	socklen_t len = sizeof(value);

	return fd >= 0 &&
	       (getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 || errno != ENOPROTOOPT);
}

static bool has_peer_pidfd(void)
{
	return has_socket_option(SO_PEERPIDFD_);
}

static bool has_pass_rights(void)
{
	return has_socket_option(SO_PASSRIGHTS_);
}

static bool has_landlock(void)
{
	return landlock_version() > 0;
}

static bool has_landlock_scopes(void)
{
	return landlock_version() >= LANDLOCK_SCOPES;
}

/* In a child: a namespace once entered is not left again. */
static bool can_unshare(int flags)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(unshare(flags) < 0);
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static bool has_user_namespaces(void)
{
	return can_unshare(CLONE_NEWUSER);
}

static bool has_namespaces(void)
{
	return can_unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET |
	                   CLONE_NEWCGROUP);
}

static bool has_protected_links(void)
{
	cleanup_fd int fd = open("/proc/sys/fs/protected_hardlinks", O_RDONLY | O_CLOEXEC);
	char value;

	return fd >= 0 && read(fd, &value, 1) == 1 && value == '1';
}

/* The version of the running manager; true where none runs (a container): then units do not matter.
 */
static bool has_systemd(void)
{
	cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
	cleanup_free char *version = NULL;

	if (access("/run/systemd/system", F_OK) < 0)
		return true;
	if (sd_bus_open_system(&bus) < 0 ||
	    sd_bus_get_property_string(bus, "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
	                               "org.freedesktop.systemd1.Manager", "Version", NULL,
	                               &version) < 0)
		return false;
	return strtol(version, NULL, 10) >= SYSTEMD_VERSION_MIN;
}

enum need {
	NEEDED,   /* hatchd does not work without */
	PROTECTS, /* hatchd works, with one protection less */
	SERVES,   /* hatchd works, but not every key of a definition */
};

enum who {
	ALWAYS,
	ROOT_ONLY,
	UNPRIVILEGED_ONLY,
};

static const struct feature {
	const char *name;
	bool (*probe)(void);
	enum need need;
	enum who who;
	const char *without; /* what its absence means */
} features[] = {
	{ "mount API (fsopen, open_tree, mount_setattr)", has_mount_api, NEEDED, ALWAYS,
	  "Linux 5.12 or newer is needed" },
	{ "clone3", has_clone3, NEEDED, ALWAYS,
	  "Linux 5.7 or newer is needed, and no RestrictNamespaces= in the unit" },
	{ "openat2", has_openat2, NEEDED, ALWAYS,
	  "Linux 5.6 or newer is needed, and no RestrictSUIDSGID= in the unit" },
	{ "close_range", has_close_range, NEEDED, ALWAYS, "Linux 5.9 or newer is needed" },
	{ "sealed memfd", has_sealing, NEEDED, ALWAYS, "CONFIG_MEMFD_CREATE is needed" },
	{ "seccomp filters", filter_available, NEEDED, ALWAYS, "CONFIG_SECCOMP_FILTER is needed" },
	{ "overlay file system", has_overlay, NEEDED, ALWAYS,
	  "the kernel module overlay is needed" },
	{ "cgroup v2", has_cgroup2, NEEDED, ROOT_ONLY,
	  "a unified or hybrid cgroup hierarchy is needed" },
	{ "cgroup.kill", has_cgroup_kill, NEEDED, ROOT_ONLY, "Linux 5.14 or newer is needed" },
	{ "namespaces (mount, pid, ipc, uts, net, cgroup)", has_namespaces, NEEDED, ROOT_ONLY,
	  "the kernel lacks one, or this is a container that forbids them" },
	{ "user namespaces", has_user_namespaces, NEEDED, UNPRIVILEGED_ONLY,
	  "set kernel.unprivileged_userns_clone or user.max_user_namespaces, or run as root by "
	  "systemd" },
	{ "systemd 252", has_systemd, NEEDED, ROOT_ONLY,
	  "an older systemd lacks unit settings we rely on" },
	{ "cgroup controller memory", has_memory_controller, PROTECTS, ROOT_ONLY,
	  "builders with limits.memory, memory_high or swap refuse, but for limits_optional" },
	{ "cgroup controller cpu", has_cpu_controller, PROTECTS, ROOT_ONLY,
	  "builders with limits.cpus refuse, but for limits_optional" },
	{ "cgroup controller pids", has_pids_controller, PROTECTS, ROOT_ONLY,
	  "builders with limits.tasks refuse, but for limits_optional" },
	{ "cgroup controller io", has_io_controller, PROTECTS, ROOT_ONLY,
	  "builders with limits.io_weight refuse, but for limits_optional" },
	{ "device controller (BPF)", devices_can_confine, PROTECTS, ROOT_ONLY,
	  "builders are kept from devices by their view and their user alone" },
	{ "SO_PEERPIDFD", has_peer_pidfd, PROTECTS, ALWAYS,
	  "before Linux 6.5 no derivation is known: builders with allow.derivations or features "
	  "refuse" },
	{ "SO_PASSRIGHTS", has_pass_rights, PROTECTS, ALWAYS,
	  "before Linux 6.16 a client can send descriptors; they are never taken, but a sender is "
	  "not told" },
	{ "Landlock", has_landlock, PROTECTS, ALWAYS,
	  "the packer is held by seccomp and its user alone" },
	{ "Landlock scopes", has_landlock_scopes, PROTECTS, ALWAYS,
	  "before Linux 6.12 a builder with the host's network reaches abstract sockets of the "
	  "host" },
	{ "fs.protected_hardlinks", has_protected_links, PROTECTS, ROOT_ONLY,
	  "set it to 1: else a builder may link files it does not own into its output" },
	{ "loop devices", has_loop, SERVES, ROOT_ONLY,
	  "no builder can have an image as its root: the kernel module loop is needed" },
	{ "squashfs", has_squashfs, SERVES, ROOT_ONLY,
	  "no root can be such an image: the kernel module squashfs is needed" },
	{ "erofs", has_erofs, SERVES, ROOT_ONLY,
	  "no root can be such an image: the kernel module erofs is needed" },
	{ "ext4", has_ext4, SERVES, ROOT_ONLY,
	  "no root can be such an image: the kernel module ext4 is needed" },
};

static int check_host(bool privileged)
{
	int status = EXIT_SUCCESS;

	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		const struct feature *f = &features[i];

		if ((f->who == ROOT_ONLY && !privileged) ||
		    (f->who == UNPRIVILEGED_ONLY && privileged))
			continue;
		if (f->probe()) {
			printf("host: %s: yes\n", f->name);
			continue;
		}
		printf("host: %s: %s: %s\n", f->name, f->need == NEEDED ? "MISSING" : "no",
		       f->without);
		if (f->need == NEEDED)
			status = EX_OSERR;
	}
	return status;
}

static void print_error(void *data, const struct error *err)
{
	(void)data;
	printf("config: %s\n", err->text);
	if (err->hint[0])
		printf("        %s\n", err->hint);
}

static void print_warning(void *data, const struct error *err)
{
	(void)data;
	printf("config: warning: %s\n", err->text);
	if (err->hint[0])
		printf("        %s\n", err->hint);
}

/* Nothing that is needed: what holds limits.scratch on the disk that requests use here. */
static void print_scratch(const char *config_dir, const char *state_dir, bool privileged)
{
	cleanup_config struct config config = { 0 };
	cleanup_fd int fd = -1;
	struct error err;

	if (config_load(config_dir, privileged, &config, &err) < 0)
		return; /* said with all other errors */
	if (!state_dir)
		state_dir = config.state_dir;
	fd = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && quota_is_enforced(fd))
		printf("host: limit on scratch: quota\n");
	else
		printf("host: limit on scratch: watcher: %s has no project quota (mount option "
		       "prjquota)\n",
		       state_dir);
}

/* What config_check_all() leaves out, because it mounts nothing: what is inside of images. Returns
 * whether the builder can run as far as that goes. */
static bool check_image(const struct config *config, const char *name)
{
	cleanup_builder struct builder builder = { 0 };
	cleanup_fd int file_fd = -1, root_fd = -1, command_fd = -1;
	struct error err = { 0 };
	const char *type;

	if (builder_load(config, name, &builder, NULL) != 1 || builder.root.kind != ROOT_IMAGE ||
	    builder_open_root(config, &builder, &file_fd, &type, NULL) < 0)
		return true; /* or said already */
	if (root_open(config, &builder, &root_fd, NULL, &err) == 0 &&
	    builder_check_command(config, &builder, root_fd, &command_fd, &err) == 0)
		return true;
	print_error(NULL, &err);
	return false;
}

static size_t check_images(const char *config_dir)
{
	cleanup_config struct config config = { 0 };
	cleanup_(strv_freep) char **names = NULL;
	size_t n_errors = 0;

	if (config_load(config_dir, true, &config, NULL) < 0 ||
	    config_list_builders(&config, &names, NULL) < 0)
		return 0; /* said already */
	for (size_t i = 0; names[i]; i++)
		n_errors += !check_image(&config, names[i]);
	return n_errors;
}

static size_t check_configuration(const char *config_dir, bool privileged, unsigned scope)
{
	const struct config_report report = { .error = print_error,
		                              .warning = print_warning,
		                              .layers = scope & CHECK_LAYERS,
		                              .offline = !(scope & CHECK_HOST) };
	struct config_check found = config_check_all(config_dir, privileged, &report);

	if (privileged && (scope & CHECK_HOST))
		found.n_errors += check_images(config_dir);
	if (privileged && (scope & CHECK_HOST) && !found.unit_known)
		printf("config: credentials and rlimits of the service are not checked: systemd "
		       "does not tell of hatchd@.service\n");
	printf("config: %s: definitions: %zu, errors: %zu, warnings: %zu\n", config_dir,
	       found.n_builders, found.n_errors, found.n_warnings);
	return found.n_errors;
}

/* What hatch-pre-build-hook would leave out of what it shows. */
static void print_exposure(const char *config_dir, bool privileged)
{
	cleanup_exposure struct exposure exposure = { 0 };
	cleanup_free char *path = NULL;
	int r;

	if (asprintf(&path, "%s/%s", config_dir, EXPOSURE_FILE) < 0) {
		path = NULL;
		return;
	}
	r = exposure_load(path, privileged ? 0 : geteuid(), NULL, &exposure, NULL);
	/* No mistake: whether Nix runs the hook is not known here. For a server without root it
	 * never does. */
	if (r == 0 && privileged)
		printf("host: shown to builds by the hook: nothing: there is no %s\n", path);
	if (r <= 0)
		return; /* or it is said with all other errors */
	for (size_t i = 0; i < exposure.n_paths; i++) {
		const char *shown = exposure.paths[i].path;

		if (access(shown, F_OK) == 0)
			printf("host: shown to builds: %s: yes\n", shown);
		else
			printf("host: shown to builds: %s: no: %s\n", shown, strerror(errno));
	}
}

int check_run(const char *config_dir, const char *state_dir, bool privileged, unsigned scope)
{
	int host = EXIT_SUCCESS;

	if (scope & CHECK_HOST) {
		host = check_host(privileged);
		print_scratch(config_dir, state_dir, privileged);
		print_exposure(config_dir, privileged);
	}
	return check_configuration(config_dir, privileged, scope) > 0 ? EX_CONFIG : host;
}
