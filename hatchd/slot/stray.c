/* Asks the kernel first, and looks through /proc only if it says yes. */
#include "stray.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fd.h"

enum {
	STATUS_LEN = 2048, /* State and Uid stand in the beginning */
	PATIENCE = 20,     /* milliseconds, for one that is just ending */
};

/* Any of its four uids. */
static bool has_uid(const char *status, uid_t uid)
{
	static const char key[] = "\nUid:";
	const char *at = strstr(status, key);
	bool found = false;

	if (!at)
		return false;
	at += strlen(key);
	for (size_t i = 0; i < 4; i++) {
		char *end;

		found |= strtoul(at, &end, 10) == uid && end != at;
		at = end;
	}
	return found;
}

static bool has_ended(const char *status)
{
	const char *line = strstr(status, "\nState:\t");

	return line && strchr("ZX", line[sizeof("\nState:\t") - 1]);
}

/* 1 it lives, 0 it has ended, -1 it is none of this uid. */
static int look_at(int proc_fd, const char *name, uid_t uid)
{
	char path[NAME_MAX + sizeof("/status")], status[STATUS_LEN + 1];
	cleanup_fd int fd = -1;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "%s/status", name);
	fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : fd_read_some(fd, status, STATUS_LEN);
	if (n < 0)
		return -1;
	status[n] = '\0';
	if (!has_uid(status, uid))
		return -1;
	return has_ended(status) ? 0 : 1;
}

/* 1 and the pid of one that lives, 0 all have ended, -1 none was seen. */
static int scan(uid_t uid, pid_t *ret)
{
	cleanup_directory DIR *proc = opendir("/proc");
	const struct dirent *entry;
	int found = -1;

	while (proc && (entry = readdir(proc))) {
		int r;

		if (entry->d_name[0] < '1' || entry->d_name[0] > '9')
			continue;
		r = look_at(dirfd(proc), entry->d_name, uid);
		if (r > 0) {
			*ret = (pid_t)strtol(entry->d_name, NULL, 10);
			return 1;
		}
		if (r == 0)
			found = 0;
	}
	return found;
}

static bool exists(uid_t uid)
{
	errno = 0;
	(void)getpriority(PRIO_USER, uid);
	return errno != ESRCH;
}

int stray_find(uid_t uid, pid_t *ret)
{
	*ret = 0;
	for (int i = 0; i < PATIENCE; i++) {
		if (!exists(uid) || scan(uid, ret) == 0)
			return 0;
		(void)nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	return 1;
}
