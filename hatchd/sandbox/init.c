/*
 * Process 1 of the sandbox. It becomes the build user before the builder exists, starts it, reaps
 * everything, and tells the monitor how the builder ended, in the words of wait(2). When it ends,
 * for whatever reason, the kernel kills whatever else is inside.
 */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "filter.h"
#include "lib/base/cleanup.h"

/* What the monitor may say to init. */
enum {
	WORD_GO = 'g',
	WORD_TERMINATE = 't',
};

static void report(int report_fd, enum sandbox_report_kind kind, int code, const struct error *err)
{
	struct sandbox_report message;

	memset(&message, 0, sizeof(message));
	message.kind = kind;
	message.code = code;
	if (err) {
		(void)snprintf(message.text, sizeof(message.text), "%s", err->text);
		(void)snprintf(message.hint, sizeof(message.hint), "%s", err->hint);
	}
	(void)send(report_fd, &message, sizeof(message), MSG_NOSIGNAL);
}

/* --- the builder's process --- */

static const struct rlimit_row {
	__rlimit_resource_t resource;
	rlim_t soft, hard;
} rlimits[] = {
	{ RLIMIT_CORE, 0, 0 },
	{ RLIMIT_NOFILE, 1024, 524288 },
	{ RLIMIT_STACK, 8 << 20, RLIM_INFINITY },
	{ RLIMIT_DATA, RLIM_INFINITY, RLIM_INFINITY },
	{ RLIMIT_AS, RLIM_INFINITY, RLIM_INFINITY },
	{ RLIMIT_CPU, RLIM_INFINITY, RLIM_INFINITY },
	{ RLIMIT_FSIZE, RLIM_INFINITY, RLIM_INFINITY },
	{ RLIMIT_MEMLOCK, 64 << 10, 64 << 10 },
	{ RLIMIT_MSGQUEUE, 0, 0 },
	{ RLIMIT_NICE, 0, 0 },
	{ RLIMIT_RTPRIO, 0, 0 },
	{ RLIMIT_SIGPENDING, 4096, 4096 },
};

/* A hard limit that is lower already cannot be raised without a capability: it stays. */
static int set_rlimits(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(rlimits); i++) {
		struct rlimit now, want = { rlimits[i].soft, rlimits[i].hard };

		if (getrlimit(rlimits[i].resource, &now) < 0)
			return -errno;
		if (want.rlim_max > now.rlim_max)
			want.rlim_max = now.rlim_max;
		if (want.rlim_cur > want.rlim_max)
			want.rlim_cur = want.rlim_max;
		if (setrlimit(rlimits[i].resource, &want) < 0)
			return -errno;
	}
	return 0;
}

/* Ignored signals and the mask would survive execve(2). */
static int reset_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_DFL); /* fails for KILL, STOP and libc's own two */
	(void)sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL) < 0 ? -errno : 0;
}

static int set_standard_streams(const struct sandbox_plan *plan)
{
	cleanup_fd int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(plan->stdout_fd, 1) < 0 ||
	    dup2(plan->stderr_fd, 2) < 0)
		return -errno;
	return 0;
}

/* A working directory outside the root would be a way out; the kernel then reports "(unreachable)".
 */
static int enter_build_dir(void)
{
	char cwd[PATH_MAX];

	if (chdir("/build") < 0)
		return -errno;
	if (!getcwd(cwd, sizeof(cwd)))
		return -errno;
	return strcmp(cwd, "/build") == 0 ? 0 : -EPERM;
}

static bool is_in_store(const struct sandbox_plan *plan)
{
	const char *store_dir = plan->request->config->store_dir;
	size_t len = strlen(store_dir);

	return strncmp(plan->request->argv[0], store_dir, len) == 0 &&
	       plan->request->argv[0][len] == '/';
}

/* The program that was checked on the host is the one that stands at its path in here. An overlay
 * shows the inode of the file below it, but a device number of its own. */
static int verify_program(const struct sandbox_plan *plan)
{
	struct stat outside, inside;

	if (fstat(plan->command_fd, &outside) < 0 || stat(plan->request->argv[0], &inside) < 0)
		return -errno;
	if (outside.st_ino != inside.st_ino)
		return -ESTALE;
	return outside.st_dev == inside.st_dev || is_in_store(plan) ? 0 : -ESTALE;
}

static int prepare_builder(const struct sandbox_plan *plan, int failure_fd, struct error *err)
{
	int keep[] = { failure_fd };
	int r = setsid() < 0 ? -errno : 0;

	if (r == 0)
		r = enter_build_dir();
	if (r == 0)
		r = verify_program(plan);
	if (r == 0)
		r = set_standard_streams(plan);
	if (r == 0)
		r = set_rlimits();
	if (r == 0)
		r = reset_signals();
	if (r < 0)
		return r;
	(void)umask(022);
	r = fds_close_except(keep, ARRAY_SIZE(keep), err);
	return r < 0 ? r : filter_builder(err);
}

/* Never returns: what fails is told through failure_fd, which execve(2) closes. */
__attribute__((noreturn)) static void builder_main(const struct sandbox_plan *plan, char **env,
                                                   int failure_fd)
{
	struct error err = { 0 };
	int r = prepare_builder(plan, failure_fd, &err);

	if (r == 0) {
		(void)execve(plan->request->argv[0], plan->request->argv, env);
		r = -errno;
	}
	(void)fd_write_full(failure_fd, &r, sizeof(r));
	_exit(127);
}

/* --- init --- */

/* Reap whatever has ended; 1 with the status when the builder itself has. */
static int reap(pid_t builder, int *ret_status)
{
	int found = 0;

	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG);

		if (pid <= 0)
			return found;
		if (pid == builder) {
			*ret_status = status;
			found = 1;
		}
	}
}

/* What the monitor says; false when it is gone. */
static bool obey_monitor(int report_fd)
{
	char word;
	ssize_t n = recv(report_fd, &word, 1, 0);

	if (n <= 0)
		return n < 0 && errno == EINTR;
	if (word == WORD_TERMINATE)
		(void)kill(-1, SIGTERM); /* everything in here but ourselves */
	return true;
}

static void serve(int report_fd, int signal_fd, pid_t builder)
{
	struct pollfd p[] = { { .fd = signal_fd, .events = POLLIN },
		              { .fd = report_fd, .events = POLLIN } };

	for (;;) {
		struct signalfd_siginfo info;
		int status;

		/* First, because the builder may have ended before the first poll. */
		if (reap(builder, &status)) {
			report(report_fd, SANDBOX_EXITED, status, NULL);
			return;
		}
		if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
			return;
		if (p[0].revents)
			(void)fd_read_some(signal_fd, &info, sizeof(info));
		if (p[1].revents && !obey_monitor(report_fd))
			return;
	}
}

/* Did execve(2) work? The pipe closes itself if so. */
static int await_start(int failure_fd)
{
	int code;
	int r = fd_read_full(failure_fd, &code, sizeof(code));

	return r == 0 ? 0 : r < 0 ? r : code;
}

static int open_child_signals(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_SETMASK, &set, NULL) < 0)
		return -errno;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/*
 * A new session keyring: keys of the service or of an earlier request are out of reach. Where the
 * call itself is filtered (a container's own seccomp), no keyring can be reached by the builder
 * either.
 */
static int leave_keyrings(struct error *err)
{
	enum { JOIN_SESSION_KEYRING = 1 };

	if (syscall(SYS_keyctl, JOIN_SESSION_KEYRING, NULL) >= 0 || errno == ENOSYS ||
	    errno == EPERM)
		return 0;
	return error_errno(err, BLAME_HOST, errno, "cannot make a session keyring");
}

static int start_builder(const struct sandbox_plan *plan, char **env, pid_t *ret, struct error *err)
{
	int failure[2], r;
	pid_t pid;

	if (pipe2(failure, O_CLOEXEC) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot make a pipe");
	pid = fork();
	if (pid == 0)
		builder_main(plan, env, failure[1]);
	r = pid < 0 ? -errno : 0;
	(void)close(failure[1]);
	if (r == 0)
		r = await_start(failure[0]);
	(void)close(failure[0]);
	if (pid < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot start the builder's process");
	*ret = pid;
	return r;
}

void init_run(const struct sandbox_plan *plan, int report_fd)
{
	int keep[] = { report_fd, plan->lock_fd, -1 };
	char **env = NULL;
	struct error err = { 0 };
	pid_t builder = 0;
	int signal_fd, r;

	r = environment_make(plan, &env, &err);
	if (r == 0)
		r = leave_keyrings(&err);
	if (r == 0)
		r = privilege_become(plan->account, &err);
	if (r < 0) {
		report(report_fd, SANDBOX_FAILED, -r, &err);
		_exit(1);
	}
	signal_fd = open_child_signals();
	r = start_builder(plan, env, &builder, &err);
	if (r < 0 || signal_fd < 0) {
		report(report_fd, err.text[0] ? SANDBOX_FAILED : SANDBOX_EXEC_FAILED, -r, &err);
		_exit(1);
	}
	/* Only what init needs: above all no end of the builder's pipes, whose closing must be
	 * seen. */
	keep[2] = signal_fd;
	if (fds_close_except(keep, ARRAY_SIZE(keep), &err) < 0)
		_exit(1);
	(void)close(0);
	(void)close(1);
	(void)close(2);
	report(report_fd, SANDBOX_STARTED, 0, NULL);
	serve(report_fd, signal_fd, builder);
	_exit(0);
}

/* --- the monitor's side --- */

static int bring_up_loopback(struct error *err)
{
	cleanup_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot bring up the loopback device");
	return 0;
}

/* The child of clone3(2): process 1 in every new namespace, still with the monitor's capabilities.
 */
__attribute__((noreturn)) static void child_main(const struct sandbox_plan *plan, int report_fd)
{
	static const char host_name[] = "hatch";
	struct error err = { 0 };
	char word;
	int r;

	/* In a user namespace nothing works before the monitor has written the maps. */
	if (recv(report_fd, &word, 1, 0) != 1 || word != WORD_GO)
		_exit(1);
	r = privilege_die_with_parent(0, &err);
	if (r == 0 && sethostname(host_name, sizeof(host_name) - 1) < 0)
		r = error_errno(&err, BLAME_HOST, errno, "cannot set the host name");
	if (r == 0 && !plan->request->builder->network_host)
		r = bring_up_loopback(&err);
	if (r == 0)
		r = view_enter(plan, &err);
	if (r == 0)
		init_run(plan, report_fd);
	report(report_fd, SANDBOX_FAILED, -r, &err);
	_exit(1);
}

/* One id each, mapped to itself: unprivileged processes may write no more (user_namespaces(7)). */
static int write_maps(pid_t pid, const struct account *account)
{
	char path[64], map[64];
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%d/setgroups", pid);
	r = fd_write_file(AT_FDCWD, path, "deny");
	(void)snprintf(path, sizeof(path), "/proc/%d/uid_map", pid);
	(void)snprintf(map, sizeof(map), "%u %u 1\n", account->uid, account->uid);
	if (r == 0)
		r = fd_write_file(AT_FDCWD, path, map);
	(void)snprintf(path, sizeof(path), "/proc/%d/gid_map", pid);
	(void)snprintf(map, sizeof(map), "%u %u 1\n", account->gid, account->gid);
	return r < 0 ? r : fd_write_file(AT_FDCWD, path, map);
}

int sandbox_start(const struct sandbox_plan *plan, struct sandbox *ret, struct error *err)
{
	bool own_user_ns = !plan->account->change;
	int pair[2], pid_fd = -1, r;
	const char go = WORD_GO;
	struct clone_args args = {
		.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |
		         CLONE_NEWCGROUP | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&pid_fd,
		.exit_signal = SIGCHLD,
	};
	long pid;

	if (!plan->request->builder->network_host)
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
		child_main(plan, pair[1]);
	}
	r = errno;
	(void)close(pair[1]);
	if (pid < 0) {
		(void)close(pair[0]);
		error_errno(err, BLAME_HOST, r, "cannot make the sandbox's namespaces");
		return error_hint(err, "run hatchd --check on the host: it says which are missing");
	}
	/* From here on there is a process, and the caller ends it whatever happens next. */
	*ret = (struct sandbox){ .pid = (pid_t)pid, .pid_fd = pid_fd, .report_fd = pair[0] };
	r = own_user_ns ? write_maps(ret->pid, plan->account) : 0;
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot map ids into the sandbox");
	if (send(ret->report_fd, &go, 1, MSG_NOSIGNAL) != 1)
		return error_errno(err, BLAME_HOST, errno, "cannot start the sandbox");
	return 0;
}

void sandbox_done(struct sandbox *sandbox)
{
	fd_closep(&sandbox->report_fd);
	fd_closep(&sandbox->pid_fd);
}

int sandbox_terminate(const struct sandbox *sandbox)
{
	const char word = WORD_TERMINATE;

	return send(sandbox->report_fd, &word, 1, MSG_NOSIGNAL) < 0 ? -errno : 0;
}
