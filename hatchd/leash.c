/* The signal of I/O that became possible (leash.h), with another number. */
#include "leash.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

enum { KILL_LIMIT_MS = 5000 };

int leash_wear(int fd)
{
	if (fcntl(fd, F_SETSIG, SIGKILL) < 0 || fcntl(fd, F_SETOWN, getpid()) < 0 ||
	    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC) < 0)
		return -errno;
	/* It may have been closed before: then nothing would ever come. */
	return fd_wait(fd, 0, 0) == 0 ? 0 : -EPIPE;
}

int leash_end(pid_t *pid, int *fd, int timeout_ms, int *ret_status)
{
	pid_t child = *pid;
	cleanup_fd int pid_fd = child > 0 ? (int)syscall(SYS_pidfd_open, child, 0) : -1;
	int status = 0, ended = child > 0 && fd_wait(pid_fd, POLLIN, timeout_ms) > 0;

	*pid = 0;
	fd_closep(fd);
	if (child > 0 && !ended && fd_wait(pid_fd, POLLIN, KILL_LIMIT_MS) <= 0)
		return -ETIMEDOUT;
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (ret_status)
		*ret_status = status;
	return ended;
}
