/*
 * Everything found in procfs is found through one directory descriptor that was bound to the peer
 * by its pidfd, so a recycled number can never answer for it.
 */
#include "look.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib/base/text.h"

enum { FDINFO_MAX = 4096 }; /* of a pidfd: a few short lines */

const char look_why_gone[] = "the caller had exited before it could be looked at";
const char look_why_no_sandbox[] = "the caller is not in a Nix build's sandbox";

int look_failed(int code, const char *why, const char **ret_why, struct error *err)
{
	if (code == EMFILE || code == ENFILE || code == ENOMEM)
		return error_errno(err, BLAME_HOST, code, "cannot look at the process that calls");
	*ret_why = why;
	return 0;
}

bool look_has_exited(int pid_fd)
{
	struct pollfd exited = { .fd = pid_fd, .events = POLLIN };

	return poll(&exited, 1, 0) != 0;
}

/* The number of a process, as our own pid namespace knows it, from the "Pid:" line of the pidfd. */
static bool find_pid(const char *fdinfo, uint64_t *ret)
{
	static const char key[] = "\nPid:\t";
	const char *line = strstr(fdinfo, key);
	char number[sizeof("4194304")];
	size_t len;

	if (!line)
		return false;
	line += strlen(key);
	len = strcspn(line, "\n");
	if (len >= sizeof(number))
		return false;
	memcpy(number, line, len);
	number[len] = '\0';
	/* -1: reaped; 0: not of our pid namespace */
	return text_to_u64(number, INT32_MAX, ret) == 0 && *ret > 0;
}

int look_open_process(int pid_fd, int *ret_fd, const char **ret_why, struct error *err)
{
	char path[sizeof("/proc/self/fdinfo/") + 3 * sizeof(int)];
	cleanup_fd int info_fd = -1, proc_fd = -1;
	cleanup_free char *info = NULL;
	size_t len;
	uint64_t pid;
	int r;

	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pid_fd);
	info_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (info_fd < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot open %s", path);
	r = fd_read_file(info_fd, FDINFO_MAX, &info, &len);
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot read %s", path);
	if (!find_pid(info, &pid)) {
		*ret_why = look_why_gone;
		return 0;
	}

	(void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	proc_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc_fd < 0)
		return look_failed(errno, look_why_no_sandbox, ret_why, err);
	if (look_has_exited(pid_fd)) {
		*ret_why = look_why_gone;
		return 0;
	}
	*ret_fd = take_fd(&proc_fd);
	return 1;
}
