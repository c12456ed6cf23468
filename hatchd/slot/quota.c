/* Raw calls: libc has no wrapper for quotactl_fd(2), and <sys/quota.h> no project quota. */
#include "quota.h"

#include <errno.h>
#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

enum {
	SYS_quotactl_fd_ = 443, /* Linux 5.14; younger than some headers */
	BYTES_PER_INODE = 4096,
	INODES_EXTRA = 1024,
};

const char *scratch_way_name(enum scratch_way way)
{
	static const char *const names[] = {
		[SCRATCH_UNLIMITED] = "none",
		[SCRATCH_TMPFS] = "tmpfs",
		[SCRATCH_QUOTA] = "quota",
		[SCRATCH_WATCHER] = "watcher",
	};

	return names[way];
}

/* An owner can change the project of its files, unless a filter or a user namespace is between. */
static bool could_lift_quota(const struct builder *builder)
{
	return builder->seccomp.none && builder->uid_map == UID_MAP_SELF;
}

enum scratch_way scratch_way_choose(const struct builder *builder, int dir_fd)
{
	if (builder->limits.scratch_bytes == 0)
		return SCRATCH_UNLIMITED;
	if (builder->scratch_on_tmpfs)
		return SCRATCH_TMPFS;
	return !could_lift_quota(builder) && quota_is_enforced(dir_fd) ? SCRATCH_QUOTA
	                                                               : SCRATCH_WATCHER;
}

static int quotactl_fd(int fd, unsigned command, uint32_t id, void *data)
{
	return (int)syscall(SYS_quotactl_fd_, fd, QCMD(command, PRJQUOTA), id, data);
}

bool quota_is_enforced(int dir_fd)
{
	struct fs_quota_stat status = { 0 };

	return quotactl_fd(dir_fd, Q_XGETQSTAT, 0, &status) == 0 &&
	       (status.qs_flags & FS_QUOTA_PDQ_ENFD);
}

uint64_t scratch_inodes(uint64_t bytes)
{
	return bytes / BYTES_PER_INODE + INODES_EXTRA;
}

int quota_set(int dir_fd, uint32_t project, uint64_t bytes, struct error *err)
{
	/* A block of quotactl(2) is 1024 bytes, whatever the file system's is. */
	struct if_dqblk limits = {
		.dqb_bhardlimit = bytes / 1024,
		.dqb_bsoftlimit = bytes / 1024,
		.dqb_ihardlimit = scratch_inodes(bytes),
		.dqb_isoftlimit = scratch_inodes(bytes),
		.dqb_valid = QIF_LIMITS,
	};
	struct fsxattr attributes;

	if (quotactl_fd(dir_fd, Q_SETQUOTA, project, &limits) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot set the quota of project %u",
		                   project);
	if (ioctl(dir_fd, FS_IOC_FSGETXATTR, &attributes) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot read the project of scratch");
	attributes.fsx_projid = project;
	attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
	if (ioctl(dir_fd, FS_IOC_FSSETXATTR, &attributes) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot give scratch to project %u",
		                   project);
	return 0;
}
