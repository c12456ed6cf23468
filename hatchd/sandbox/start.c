/*
 * The monitor's side of the sandbox: the clone into new namespaces, what is set up in them before
 * there is a view, and the words between monitor and init.
 */
#include <errno.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "mount.h"
#include "network.h"
#include "sandbox.h"

static bool has_own_user_ns(const struct sandbox_plan *plan)
{
	return !plan->account->change;
}

/* Of the unprivileged mode: the sandbox has a user namespace of its own, and we are root in it. The
 * /proc that says how many more there may be is opened before the view is made, in which /proc/sys
 * cannot be written; it says so after that, because each mount that is made counts as one. */
static int enter_view(const struct sandbox_plan *plan, struct error *err)
{
	bool nested = plan->request->builder->allow_userns;
	cleanup_fd int proc_fd = -1;
	int r;

	if (!has_own_user_ns(plan))
		return view_enter(plan, err);
	proc_fd = mount_new("proc", NULL, 0,
	                    MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, err);
	if (proc_fd < 0)
		return proc_fd;
	r = view_enter(plan, err);
	return r < 0 ? r : user_ns_limit(proc_fd, nested ? NESTED_MAX : 0, err);
}

/* Made by the monitor, or unprivileged, where that cannot be, by us for the builder. */
static int enter_time_ns(const struct sandbox_plan *plan, struct error *err)
{
	if (plan->time_ns_fd < 0)
		return time_ns_make(err);
	if (setns(plan->time_ns_fd, 0) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot enter the time namespace");
	return 0;
}

/* The child of clone3(2): process 1 in every new namespace, still with the monitor's capabilities.
 */
__attribute__((noreturn)) static void child_main(const struct sandbox_plan *plan, int net_fd,
                                                 int report_fd)
{
	const char *host_name = builder_host_name(plan->request->builder);
	struct error err = { 0 };
	char word;
	int r;

	/* In a user namespace nothing works before the monitor has written the maps. */
	if (recv(report_fd, &word, 1, 0) != 1 || word != INIT_GO)
		_exit(1);
	r = privilege_die_with_parent(0, &err);
	if (r == 0 && sethostname(host_name, strlen(host_name)) < 0)
		r = error_errno(&err, BLAME_HOST, errno, "cannot set the host name");
	if (r == 0)
		r = network_enter(plan, net_fd, &err);
	if (r == 0 && plan->request->builder->time_namespace)
		r = enter_time_ns(plan, &err);
	if (r == 0)
		r = enter_view(plan, &err);
	if (r == 0)
		init_run(plan, report_fd);
	init_report(report_fd, SANDBOX_FAILED, -r, &err);
	_exit(1);
}

int sandbox_start(const struct sandbox_plan *plan, struct sandbox *ret, struct error *err)
{
	bool own_user_ns = has_own_user_ns(plan);
	int pair[2], pid_fd = -1, r;
	const char go = INIT_GO;
	struct clone_args args = {
		.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |
		         CLONE_NEWCGROUP | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&pid_fd,
		.exit_signal = SIGCHLD,
	};
	cleanup_fd int net_fd = -1;
	long pid;

	*ret = (struct sandbox){ .pid_fd = -1, .report_fd = -1 };
	r = network_prepare(plan, ret, &net_fd, err);
	if (r < 0)
		return r;
	if (network_is_cloned(plan))
		args.flags |= CLONE_NEWNET;
	if (own_user_ns)
		args.flags |= CLONE_NEWUSER;
	if (plan->cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)plan->cgroup_fd;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot make a socket pair");
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0) {
		(void)close(pair[0]);
		child_main(plan, net_fd, pair[1]);
	}
	r = errno;
	(void)close(pair[1]);
	if (pid < 0) {
		(void)close(pair[0]);
		error_errno(err, BLAME_HOST, r, "cannot make the sandbox's namespaces");
		return error_hint(err, "run hatchd --check on the host: it says which are missing");
	}
	/* From here on there is a process, and the caller ends it whatever happens next. */
	ret->pid = (pid_t)pid;
	ret->pid_fd = pid_fd;
	ret->report_fd = pair[0];
	r = own_user_ns ? user_ns_write_maps(ret->pid, plan->maps, true) : 0;
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot map ids into the sandbox");
	r = network_connect(plan, ret, err);
	if (r < 0)
		return r;
	if (send(ret->report_fd, &go, 1, MSG_NOSIGNAL) != 1)
		return error_errno(err, BLAME_HOST, errno, "cannot start the sandbox");
	return 0;
}

void sandbox_done(struct sandbox *sandbox)
{
	fd_closep(&sandbox->report_fd);
	fd_closep(&sandbox->pid_fd);
}

int sandbox_run(const struct sandbox *sandbox, struct error *err)
{
	const char word = INIT_RUN;

	if (send(sandbox->report_fd, &word, 1, MSG_NOSIGNAL) == 1 || errno == EPIPE)
		return 0;
	return error_errno(err, BLAME_HOST, errno, "cannot start the builder");
}

int sandbox_terminate(const struct sandbox *sandbox)
{
	const char word = INIT_TERMINATE;

	return send(sandbox->report_fd, &word, 1, MSG_NOSIGNAL) < 0 ? -errno : 0;
}
