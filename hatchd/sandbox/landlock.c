/* Raw calls: libc has no wrappers. Any Landlock will do; a newer one also holds truncate(2). */
#include "landlock.h"

#include <errno.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

/* Linux 6.2; younger than the headers of some that we build with. */
enum { ACCESS_FS_TRUNCATE = 1 << 14, LANDLOCK_TRUNCATE = 3 };

/* The same, Linux 6.12. */
enum {
	SCOPE_ABSTRACT_UNIX_SOCKET = 1 << 0,
	SCOPE_SIGNAL = 1 << 1,
};

/* As struct landlock_ruleset_attr is since then. */
struct ruleset_attr {
	uint64_t handled_access_fs, handled_access_net, scoped;
};

enum {
	READ_RIGHTS = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
	WRITE_RIGHTS = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
	               LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
	               LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
	               LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
	               LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM,
	ALL_RIGHTS = LANDLOCK_ACCESS_FS_EXECUTE | READ_RIGHTS | WRITE_RIGHTS,
};

/* Linux 5.19: a link or rename from one directory to another. Refused where it is not handled. */
enum { ACCESS_FS_REFER = 1 << 13, LANDLOCK_REFER = 2 };

int landlock_version(void)
{
	int version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0,
	                           LANDLOCK_CREATE_RULESET_VERSION);

	return version > 0 ? version : 0;
}

static int add_rule(int ruleset_fd, int dir_fd, uint64_t rights)
{
	struct landlock_path_beneath_attr attr = { .allowed_access = rights, .parent_fd = dir_fd };

	return syscall(SYS_landlock_add_rule, ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, &attr, 0) < 0
	               ? -errno
	               : 0;
}

/* Of the rights in handled, only those in allowed remain, and only beneath dir_fds. */
static int restrict_self(uint64_t handled, uint64_t allowed, const int *dir_fds, size_t n_dir_fds,
                         struct error *err)
{
	struct landlock_ruleset_attr attr = { .handled_access_fs = handled };
	cleanup_fd int ruleset_fd = -1;

	if (landlock_version() == 0)
		return 0;
	if (landlock_version() >= LANDLOCK_TRUNCATE)
		attr.handled_access_fs |= ACCESS_FS_TRUNCATE;
	ruleset_fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset_fd < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot make a Landlock ruleset");
	for (size_t i = 0; i < n_dir_fds; i++) {
		int r = dir_fds[i] < 0 ? 0 : add_rule(ruleset_fd, dir_fds[i], allowed);

		if (r < 0)
			return error_errno(err, BLAME_HOST, -r, "cannot add a Landlock rule");
	}
	if (syscall(SYS_landlock_restrict_self, ruleset_fd, 0) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot enforce Landlock");
	return 0;
}

int landlock_read_only(const int *dir_fds, size_t n_dir_fds, struct error *err)
{
	return restrict_self(ALL_RIGHTS, READ_RIGHTS, dir_fds, n_dir_fds, err);
}

int landlock_only(int dir_fd, struct error *err)
{
	const uint64_t allowed = READ_RIGHTS | LANDLOCK_ACCESS_FS_WRITE_FILE |
	                         LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
	                         LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
	                         LANDLOCK_ACCESS_FS_MAKE_SYM | ACCESS_FS_REFER;
	const int version = landlock_version();

	if (version < LANDLOCK_REFER)
		return 0;
	return restrict_self(ALL_RIGHTS | ACCESS_FS_REFER,
	                     allowed | (version >= LANDLOCK_TRUNCATE ? ACCESS_FS_TRUNCATE : 0),
	                     &dir_fd, 1, err);
}

int landlock_write_beneath(const int *dir_fds, size_t n_dir_fds, struct error *err)
{
	return restrict_self(WRITE_RIGHTS, WRITE_RIGHTS, dir_fds, n_dir_fds, err);
}

int landlock_scope(struct error *err)
{
	const struct ruleset_attr attr = { .scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL };
	cleanup_fd int ruleset_fd = -1;

	if (landlock_version() < LANDLOCK_SCOPES)
		return 0;
	ruleset_fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset_fd < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot make a Landlock ruleset");
	if (syscall(SYS_landlock_restrict_self, ruleset_fd, 0) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot enforce Landlock");
	return 0;
}
