/* Lock files: opened without trust in what stands there, locked without waiting. */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

static int check_lock(int fd, const char *name, struct error *err)
{
	struct stat status;
	const char *wrong = NULL;

	if (fstat(fd, &status) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot look at lock file %s", name);
	if (!S_ISREG(status.st_mode))
		wrong = "is not a regular file";
	else if (status.st_uid != geteuid())
		wrong = "belongs to somebody else";
	else if (status.st_nlink > 1)
		wrong = "has a second name";
	else if ((status.st_mode & 07777) != 0600)
		wrong = "does not have mode 0600";
	if (!wrong)
		return 0;
	(void)error_set(err, BLAME_HOST, EPERM, "lock file %s %s", name, wrong);
	(void)error_hint(err, "Find out who could write to the state directory, then remove the "
	                      "file while no request runs");
	return -EPERM;
}

int lock_open(int dir_fd, const char *name, int flags, int *ret_fd, struct error *err)
{
	/* O_NONBLOCK: opening something that is no regular file must not hang before it is refused.
	 */
	cleanup_fd int fd = openat(dir_fd, name,
	                           flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
	int r;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 && errno == ELOOP)
		return error_set(err, BLAME_HOST, EPERM, "lock file %s is a symbolic link", name);
	if (fd < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot open lock file %s", name);
	r = check_lock(fd, name, err);
	if (r < 0)
		return r;
	*ret_fd = take_fd(&fd);
	return 1;
}

int lock_try(int fd, const char *name, struct error *err)
{
	int r;

	do
		r = flock(fd, LOCK_EX | LOCK_NB);
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return 1;
	if (errno == EWOULDBLOCK)
		return 0;
	return error_errno(err, BLAME_HOST, errno, "cannot lock %s", name);
}

int lock_wait(int fd, const char *name, struct error *err)
{
	int r;

	do
		r = flock(fd, LOCK_EX);
	while (r < 0 && errno == EINTR);
	return r < 0 ? error_errno(err, BLAME_HOST, errno, "cannot lock %s", name) : 0;
}

int lock_read(int fd, const char *name, struct slot_record *ret, struct error *err)
{
	struct slot_record record = { 0 };
	char text[CLAIM_TEXT_MAX + 1];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot read lock file %s", name);
	text[n] = '\0';
	if (n > 0 && claim_parse(text, &record) < 0)
		return error_set(err, BLAME_HOST, EBADMSG,
		                 "lock file %s does not say what its last holder left", name);
	*ret = record;
	return n > 0;
}

int lock_write(int fd, const char *name, const struct slot_record *record, struct error *err)
{
	char text[CLAIM_TEXT_MAX + 1];
	int len = claim_print(record, text);
	ssize_t n;

	if (len < 0)
		return error_set(err, BLAME_HOST, EINVAL,
		                 "scratch \"%s\", cgroup \"%s\" and request \"%s\" cannot be "
		                 "recorded",
		                 record->scratch, record->cgroup, record->claim.request);

	/* One write, less than a page: a signal cannot stop it in the middle. */
	n = pwrite(fd, text, (size_t)len, 0);
	if (n >= 0 && n < len) {
		n = -1;
		errno = ENOSPC;
	}
	if (n < 0 || ftruncate(fd, len) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot write lock file %s", name);
	return 0;
}
