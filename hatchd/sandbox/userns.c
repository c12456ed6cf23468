/* A child is cloned into each new namespace, and lives until what needs a process is done. */
#include "userns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/process.h"
#include "mount.h"

enum { CLONE_NEWTIME_ = 0x80 };

/* --- maps --- */

static int compare_ids(const void *a, const void *b)
{
	gid_t x = *(const gid_t *)a, y = *(const gid_t *)b;

	return x < y ? -1 : x > y;
}

/* The part of the range that stands for the ids from first up to, but not with, end. */
static int add_part(struct buffer *map, const struct id_request *request, uint32_t first,
                    uint32_t end)
{
	if (request->kind != UID_MAP_RANGE || first >= end || first >= RANGE_LEN)
		return 0;
	if (end > RANGE_LEN)
		end = RANGE_LEN;
	return buffer_printf(map, "%u %u %u\n", first, request->range_first + first, end - first);
}

/* One's own id, then the others in order; what is between them is of the range. A group that one
 * has stays itself inside, so that what it opens is the same. */
static int make_map(const struct id_request *request, uint32_t own, const gid_t *others,
                    size_t n_others, struct buffer *map)
{
	uint32_t inside = request->kind == UID_MAP_SELF ? own : 0, next = 1;
	int r = buffer_printf(map, "%u %u 1\n", inside, own);

	for (size_t i = 0; r == 0 && i < n_others; i++) {
		if (others[i] < next || others[i] == inside)
			continue; /* twice there */
		r = add_part(map, request, next, others[i]);
		if (r == 0)
			r = buffer_printf(map, "%u %u 1\n", others[i], others[i]);
		next = others[i] + 1;
	}
	return r < 0 ? r : add_part(map, request, next, RANGE_LEN);
}

int id_maps_make(const struct id_request *request, struct id_maps *ret)
{
	cleanup_(id_maps_done) struct id_maps maps = { 0 };
	cleanup_free gid_t *sorted = calloc(request->n_groups + 1, sizeof(*sorted));
	int r;

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < request->n_groups; i++)
		sorted[i] = request->groups[i];
	qsort(sorted, request->n_groups, sizeof(*sorted), compare_ids);
	r = make_map(request, request->uid, NULL, 0, &maps.uids);
	if (r == 0)
		r = make_map(request, request->gid, sorted, request->n_groups, &maps.gids);
	if (r < 0)
		return r;
	*ret = maps;
	maps = (struct id_maps){ 0 };
	return 0;
}

int user_ns_write_maps(pid_t pid, const struct id_maps *maps, bool deny)
{
	char path[64];
	int r = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/setgroups", pid);
	if (deny)
		r = fd_write_file(AT_FDCWD, path, "deny");
	(void)snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
	if (r == 0)
		r = fd_write_file(AT_FDCWD, path, maps->uids.data);
	(void)snprintf(path, sizeof(path), "/proc/%d/gid_map", pid);
	return r < 0 ? r : fd_write_file(AT_FDCWD, path, maps->gids.data);
}

/* --- what a new namespace is given from inside --- */

int user_ns_limit(int proc_fd, unsigned n_max, struct error *err)
{
	static const char *const files[] = {
		"sys/user/max_user_namespaces",   "sys/user/max_mnt_namespaces",
		"sys/user/max_pid_namespaces",    "sys/user/max_net_namespaces",
		"sys/user/max_ipc_namespaces",    "sys/user/max_uts_namespaces",
		"sys/user/max_cgroup_namespaces",
	};
	char text[16];

	(void)snprintf(text, sizeof(text), "%u", n_max);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		int r = fd_write_file(proc_fd, files[i], text);

		if (r < 0)
			return error_errno(err, BLAME_HOST, -r, "cannot limit namespaces (%s)",
			                   files[i]);
	}
	return 0;
}

/* Whole seconds: a clock cannot be set to before its beginning. */
static int set_offset(int fd, const char *name, clockid_t clock)
{
	struct timespec now;
	char line[64];

	if (clock_gettime(clock, &now) < 0)
		return -errno;
	(void)snprintf(line, sizeof(line), "%s %lld 0\n", name, -(long long)now.tv_sec);
	return fd_write_full(fd, line, strlen(line));
}

int time_ns_make(struct error *err)
{
	cleanup_fd int fd = -1;
	int r;

	if (unshare(CLONE_NEWTIME_) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot make a time namespace");
	/* Before there is a child: the first one freezes the offsets. */
	fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
	r = fd < 0 ? -errno : set_offset(fd, "monotonic", CLOCK_MONOTONIC);
	if (r == 0)
		r = set_offset(fd, "boottime", CLOCK_BOOTTIME);
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot set the clocks of the sandbox");
	return 0;
}

/* --- namespaces without a process --- */

/* What the child says once it is ready to be looked at. */
struct holder_report {
	bool ok;
	struct error error;
};

/*
 * The first process in the new namespaces: of root outside, of no mapped user inside, with every
 * capability over what is new and none over anything else. The monitor opens its namespaces through
 * /proc, so it must be dumpable; no builder exists yet that could look.
 */
__attribute__((noreturn)) static void holder_main(int line_fd, int proc_fd, unsigned with)
{
	struct holder_report report = { 0 };
	char byte;
	int r = 0;

	if (with & WITH_TIME)
		r = time_ns_make(&report.error);
	if (r == 0)
		r = user_ns_limit(proc_fd, with & WITH_NESTED ? NESTED_MAX : 0, &report.error);
	if (r == 0 && prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0)
		r = error_errno(&report.error, BLAME_HOST, errno, "cannot become dumpable");
	report.ok = r == 0;
	(void)send(line_fd, &report, sizeof(report), MSG_NOSIGNAL);
	/* Until the monitor has what it needs, or is gone. */
	(void)recv(line_fd, &byte, 1, 0);
	_exit(0);
}

static int open_namespace(pid_t pid, const char *name, int *ret_fd, struct error *err)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, name);
	*ret_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (*ret_fd < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot hold a new %s namespace", name);
	return 0;
}

static int hold(pid_t pid, int line_fd, const struct id_maps *maps, unsigned with,
                struct user_ns *ns, struct error *err)
{
	struct holder_report report;
	int r;

	if (recv(line_fd, &report, sizeof(report), 0) != sizeof(report))
		return error_set(err, BLAME_HOST, ECHILD,
		                 "the first process of a user namespace died");
	if (!report.ok) {
		*err = report.error;
		return -err->code;
	}
	r = user_ns_write_maps(pid, maps, false);
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot map ids into a user namespace");
	r = open_namespace(pid, "user", &ns->user_fd, err);
	if (r == 0 && (with & WITH_NETWORK))
		r = open_namespace(pid, "net", &ns->net_fd, err);
	if (r == 0 && (with & WITH_TIME))
		r = open_namespace(pid, "time_for_children", &ns->time_fd, err);
	return r;
}

int user_ns_make(const struct id_maps *maps, unsigned with, struct user_ns *ret, struct error *err)
{
	cleanup_user_ns struct user_ns ns = USER_NS_NONE;
	cleanup_fd int proc_fd = -1, our_fd = -1;
	struct clone_args args = {
		.flags = CLONE_NEWUSER | (with & WITH_NETWORK ? CLONE_NEWNET : 0),
		.exit_signal = SIGCHLD,
	};
	int pair[2], r;
	pid_t pid;

	/* Mounted by who may: the host's own /proc/sys can be read-only, as in a container. */
	proc_fd = mount_new("proc", NULL, 0,
	                    MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, err);
	if (proc_fd < 0)
		return proc_fd;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot make a socket pair");
	our_fd = pair[0];
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0) {
		(void)close(pair[0]);
		holder_main(pair[1], proc_fd, with);
	}
	r = errno;
	(void)close(pair[1]);
	if (pid < 0) {
		error_errno(err, BLAME_HOST, r, "cannot make a user namespace");
		return error_hint(err, "user.max_user_namespaces on the host must not be 0");
	}
	r = hold(pid, our_fd, maps, with, &ns, err);
	fd_closep(&our_fd);
	(void)process_wait(pid);
	if (r < 0)
		return r;
	*ret = ns;
	ns = (struct user_ns)USER_NS_NONE;
	return 0;
}
