/*
 * hatchctl cancel: end one request that runs or waits. A number of a process says nothing a moment
 * later: so the process is pinned first, and only then looked at again. It must be the one that
 * holds the lock of that very request, as the kernel tells; if it ends meanwhile, nobody gets the
 * signal.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#include "requests.h"

enum { FDINFO_MAX = 64 * 1024 };

static char *lock_path(const struct requests *requests, const struct pool_entry *entry)
{
	char *path;
	int n = entry->state == POOL_WAITING
	                ? asprintf(&path, "%s/pool/queue/%" PRIu64, requests->state_dir,
	                           entry->ticket)
	                : asprintf(&path, "%s/pool/%s", requests->state_dir, entry->user);

	return n < 0 ? NULL : path;
}

/* Does one open file description of the process hold a flock(2)? The kernel lists under a
 * descriptor only the locks that were taken through it. */
static bool holds_flock(int info_fd, const char *fd_name)
{
	cleanup_fd int fd = openat(info_fd, fd_name, O_RDONLY | O_CLOEXEC);
	cleanup_free char *text = NULL;
	size_t len;

	return fd >= 0 && fd_read_file(fd, FDINFO_MAX, &text, &len) == 0 && strstr(text, "FLOCK");
}

/* Does the process hold the lock on this file? Source: proc_pid_fdinfo(5) */
static bool holds_lock(pid_t pid, const struct stat *file)
{
	cleanup_directory DIR *fds = NULL;
	cleanup_fd int info_fd = -1;
	const struct dirent *entry;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/fdinfo", pid);
	info_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	(void)snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	fds = opendir(path);
	while (fds && info_fd >= 0 && (entry = readdir(fds))) {
		struct stat st;

		if (fstatat(dirfd(fds), entry->d_name, &st, 0) == 0 && st.st_dev == file->st_dev &&
		    st.st_ino == file->st_ino && holds_flock(info_fd, entry->d_name))
			return true;
	}
	return false;
}

/* 1, or 0 if the request is no longer there, or no longer this process's. */
static int is_still(const struct options *options, const char *id, pid_t pid)
{
	cleanup_requests struct requests requests;
	cleanup_free char *path = NULL;
	const struct pool_entry *entry;
	struct stat file;

	if (requests_read(options, &requests) != 0)
		return 0;
	entry = requests_find(&requests, id);
	if (!entry || entry->record.claim.pid != pid)
		return 0;
	path = lock_path(&requests, entry);
	return path && stat(path, &file) == 0 && holds_lock(pid, &file);
}

static int fail(const char *id, int exit_status, const char *why)
{
	struct error err;

	(void)error_set(&err, BLAME_HOST, ESRCH, "cannot cancel %s: %s", id, why);
	say_error(NULL, &err);
	return exit_status;
}

static int end_request(const struct options *options, const struct pool_entry *entry)
{
	const char *id = entry->record.claim.request;
	pid_t pid = entry->record.claim.pid;
	cleanup_fd int pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (pid_fd < 0 && errno != ESRCH)
		return fail(id, EX_OSERR, strerror(errno));
	if (pid_fd < 0 || !is_still(options, id, pid))
		return fail(id, EX_UNAVAILABLE, "it has just ended");
	if (syscall(SYS_pidfd_send_signal, pid_fd, SIGUSR1, NULL, 0) < 0)
		return errno == ESRCH ? fail(id, EX_UNAVAILABLE, "it has just ended")
		                      : fail(id, EX_OSERR, strerror(errno));
	printf("%s is cancelled\n", id);
	return end_printing(fflush(stdout) == 0 ? 0 : -EIO);
}

int run_cancel(const struct options *options)
{
	cleanup_requests struct requests requests = { 0 };
	const char *id = options->words[0];
	const struct pool_entry *entry;
	int r = expect_id(id);

	if (r == 0)
		r = requests_read(options, &requests);
	if (r != 0)
		return r;
	entry = requests_find(&requests, id);
	if (!entry)
		return fail(id, EX_UNAVAILABLE, "no request with this identifier runs or waits");
	if (entry->state == POOL_LEFT)
		return fail(id, EX_UNAVAILABLE,
		            "its server was killed; the next request clears what it left");
	return end_request(options, entry);
}
