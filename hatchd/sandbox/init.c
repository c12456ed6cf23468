/*
 * Process 1 of the sandbox. It becomes the build user before the builder exists, starts it, reaps
 * everything, and tells the monitor how the builder ended, in the words of wait(2). When it ends,
 * for whatever reason, the kernel kills whatever else is inside.
 */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "filter.h"
#include "landlock.h"
#include "lib/base/cleanup.h"
#include "lib/base/text.h"
#include "rlimits.h"

void init_report(int report_fd, enum sandbox_report_kind kind, int code, const struct error *err)
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

	/* The last takes a number that one of ours may have had, null_fd too: what is left is
	 * closed with the rest. dup2() of one to itself would leave it to execve(2) to close. */
	if (null_fd < 0 || dup2(null_fd, 0) < 0 || dup2(plan->stdout_fd, 1) < 0 ||
	    dup2(plan->stderr_fd, 2) < 0 || dup2(plan->status_fd, SANDBOX_STATUS_FD) < 0 ||
	    fcntl(SANDBOX_STATUS_FD, F_SETFD, 0) < 0)
		return -errno;
	(void)take_fd(&null_fd);
	return 0;
}

/* A working directory outside the root would be a way out; the kernel then reports "(unreachable)".
 */
static int enter_directory(const char *path)
{
	char cwd[PATH_MAX];

	if (chdir(path) < 0)
		return -errno;
	if (!getcwd(cwd, sizeof(cwd)))
		return -errno;
	return cwd[0] == '/' ? 0 : -EPERM;
}

static int enter_first_directory(const struct sandbox_plan *plan)
{
	const char *cwd = plan->request->builder->root.cwd;

	return enter_directory(cwd ? cwd : "/build");
}

/* Overlays: the store, a root of the builder's own, and those of the definition. */
static bool is_in_overlay(const struct sandbox_plan *plan)
{
	const struct builder *builder = plan->request->builder;
	const char *program = plan->request->argv[0];
	const struct place *place = builder_find_place(builder, program);

	if (place)
		return place->kind == PLACE_OVERLAY;
	return builder->root.kind != ROOT_SYSTEM ||
	       path_is_below(program, plan->request->config->store_dir);
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
	return outside.st_dev == inside.st_dev || is_in_overlay(plan) ? 0 : -ESTALE;
}

static int prepare_builder(const struct sandbox_plan *plan, int failure_fd, struct error *err)
{
	int keep[] = { SANDBOX_STATUS_FD, failure_fd };
	int r = setpgid(0, 0) < 0 ? -errno : 0;

	if (r == 0)
		r = enter_first_directory(plan);
	if (r == 0)
		r = verify_program(plan);
	if (r == 0)
		r = set_standard_streams(plan);
	if (r == 0)
		r = rlimits_set(&plan->request->builder->limits);
	if (r == 0)
		r = reset_signals();
	if (r < 0)
		return r;
	(void)umask(022);
	r = fds_close_except(keep, ARRAY_SIZE(keep), err);
	if (r == 0)
		r = landlock_scope(err);
	return r < 0 ? r : filter_builder(&plan->request->builder->seccomp, err);
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

/* Until the monitor has nothing left that the builder could be after; false when it is gone. */
static bool await_run(int report_fd)
{
	char word;

	return recv(report_fd, &word, 1, 0) == 1 && word == INIT_RUN;
}

/* What the monitor says; false when it is gone. */
static bool obey_monitor(int report_fd)
{
	char word;
	ssize_t n = recv(report_fd, &word, 1, 0);

	if (n <= 0)
		return n < 0 && errno == EINTR;
	if (word == INIT_TERMINATE)
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
			init_report(report_fd, SANDBOX_EXITED, status, NULL);
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
 * A session without a terminal, of which init is the leader and not the builder: a leader that
 * opens a serial port makes it its controlling terminal, and is killed by SIGHUP when the line
 * drops.
 */
static int leave_session(struct error *err)
{
	return setsid() < 0 ? error_errno(err, BLAME_HOST, errno, "cannot make a session") : 0;
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

/* Its write end is not the number that the builder's status descriptor gets. */
static int make_failure_pipe(int ret[2])
{
	if (pipe2(ret, O_CLOEXEC) < 0)
		return -errno;
	if (ret[1] > SANDBOX_STATUS_FD)
		return 0;
	ret[1] = fcntl(ret[1], F_DUPFD_CLOEXEC, SANDBOX_STATUS_FD + 1);
	return ret[1] < 0 ? -errno : 0;
}

static int start_builder(const struct sandbox_plan *plan, char **env, pid_t *ret, struct error *err)
{
	int failure[2], r = make_failure_pipe(failure);
	pid_t pid;

	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot make a pipe");
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
	int keep[SANDBOX_KEPT_MAX + 2] = { report_fd };
	size_t n_keep = 1;
	char **env = NULL;
	struct error err = { 0 };
	pid_t builder = 0;
	int signal_fd, r;

	r = environment_make(plan, &env, &err);
	if (r == 0)
		r = leave_session(&err);
	if (r == 0)
		r = leave_keyrings(&err);
	if (r == 0)
		r = privilege_become(plan->account, &err);
	if (r < 0) {
		init_report(report_fd, SANDBOX_FAILED, -r, &err);
		_exit(1);
	}
	if (plan->describe_fd >= 0)
		sandbox_describe(plan, env, plan->describe_fd);
	if (!await_run(report_fd))
		_exit(1);
	signal_fd = open_child_signals();
	r = start_builder(plan, env, &builder, &err);
	/* The builder has its own; init needs one, to end those of other ids. */
	if (r == 0)
		r = privilege_keep(plan->account->keep & CAP_BIT(CAP_KILL), &err);
	if (r < 0 || signal_fd < 0) {
		init_report(report_fd, err.text[0] ? SANDBOX_FAILED : SANDBOX_EXEC_FAILED, -r,
		            &err);
		_exit(1);
	}
	/* Only what init needs: above all no end of the builder's pipes, whose closing must be
	 * seen. */
	keep[n_keep++] = signal_fd;
	for (size_t i = 0; i < plan->n_kept_fds; i++)
		keep[n_keep++] = plan->kept_fds[i];
	if (fds_close_except(keep, n_keep, &err) < 0)
		_exit(1);
	(void)close(0);
	(void)close(1);
	(void)close(2);
	init_report(report_fd, SANDBOX_STARTED, 0, NULL);
	serve(report_fd, signal_fd, builder);
	_exit(0);
}
