/*
 * What happens in the process of a command before it is the command: it becomes who the command is
 * to run as while there are rights to do so, and waits for its order. It runs on the host, in a
 * session of its own. What it writes goes where the steward's messages go, to the journal.
 */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fd.h"
#include "lib/base/log.h"

/* --- in its process --- */

static void set_signals(void (*handler)(int))
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		(void)signal(sig, handler); /* fails for KILL, STOP and libc's own two */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* From here on it has no other rights than the command will. */
static int become_command(const struct steward_plan *plan, const struct hook *hook, int go_fd,
                          int ready_fd, struct error *err)
{
	int keep[] = { go_fd, ready_fd };
	int r = fds_close_except(keep, ARRAY_SIZE(keep), err);

	if (r == 0 && hook->as_root)
		r = privilege_drop_all(err);
	else if (r == 0)
		r = privilege_become(plan->account, err);
	return r;
}

/* What the command gets; "after" also how the request ended. */
static void make_environment(const struct steward_plan *plan, const struct steward_order *order,
                             char *env[STEWARD_ENV_MAX + 3], char result[64], char exit_code[32])
{
	size_t n = 0;

	for (; n < STEWARD_ENV_MAX && plan->env[n]; n++)
		env[n] = plan->env[n];
	if (order->word == STEWARD_AFTER) {
		(void)snprintf(result, 64, "HATCH_RESULT=%s", order->result);
		env[n++] = result;
	}
	if (order->word == STEWARD_AFTER && order->exit_code >= 0) {
		(void)snprintf(exit_code, 32, "HATCH_EXIT=%d", order->exit_code);
		env[n++] = exit_code;
	}
	env[n] = NULL;
}

static void run_program(const struct steward_plan *plan, const struct hook *hook,
                        const struct steward_order *order, struct error *err)
{
	char *env[STEWARD_ENV_MAX + 3], result[64], exit_code[32];

	make_environment(plan, order, env, result, exit_code);
	(void)umask(022);
	if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0 || chdir("/") < 0) {
		(void)error_errno(err, BLAME_HOST, errno, "cannot prepare");
		return;
	}
	set_signals(SIG_DFL);
	(void)execve(hook->command[0], hook->command, env);
	(void)error_errno(err, BLAME_HOST, errno, "cannot execute");
}

/* Until it is the command a stop of the service is nothing to it. */
__attribute__((noreturn)) static void command_main(const struct steward_plan *plan,
                                                   const struct hook *hook, int go_fd, int ready_fd)
{
	struct steward_order order;
	struct error err = { 0 };
	int r;

	set_signals(SIG_IGN);
	(void)setsid();
	r = become_command(plan, hook, go_fd, ready_fd, &err);
	(void)close(ready_fd);
	if (fd_read_full(go_fd, &order, sizeof(order)) != 1)
		_exit(0);
	if (r == 0)
		run_program(plan, hook, &order, &err);
	log_line(LOG_ERR, "%s: %s", hook->command[0], err.text);
	_exit(127);
}

/* --- in the steward --- */

int command_start(const struct steward_plan *plan, const struct hook *hook, int ready_fd,
                  struct command *ret, struct error *err)
{
	int go[2];
	pid_t pid;

	if (pipe2(go, O_CLOEXEC) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot make a pipe");
	pid = fork();
	if (pid == 0)
		command_main(plan, hook, go[0], ready_fd);
	(void)close(go[0]);
	*ret = (struct command){ pid > 0 ? pid : 0, -1, go[1] };
	if (pid > 0)
		ret->pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (ret->pid_fd < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot fork for a command");
	return 0;
}

int command_begin(const struct command *command, int procs_fd, const struct steward_order *order,
                  struct error *err)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", command->pid), r = 0;

	if (procs_fd >= 0)
		r = fd_write_full(procs_fd, text, (size_t)len);
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot put a command into its cgroup");
	r = fd_write_full(command->go_fd, order, sizeof(*order));
	return r < 0 ? error_errno(err, BLAME_HOST, -r, "cannot start a command") : 0;
}

int command_end(struct command *command)
{
	int status = 0;

	if (command->pid == 0)
		return 0;
	fd_closep(&command->go_fd);
	while (waitpid(command->pid, &status, 0) < 0 && errno == EINTR)
		;
	fd_closep(&command->pid_fd);
	command->pid = 0;
	return status;
}
