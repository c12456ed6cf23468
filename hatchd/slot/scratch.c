/* Directories by descriptors only; no path is ever put together. */
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "hatchd/sandbox/mount.h"
#include "lib/base/encoding.h"
#include "lib/tree/remove.h"

int scratch_choose_name(char ret[SCRATCH_NAME_LEN + 1])
{
	unsigned char random[SCRATCH_NAME_LEN / 2];

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return -EIO;
	hex_encode(random, sizeof(random), ret);
	return 0;
}

enum owner {
	OWNER_US,
	OWNER_GROUP, /* ours, with the build user's group */
	OWNER_USER,
};

static const struct part {
	const char *name;
	size_t fd_offset;
	mode_t mode;
	enum owner owner;
	bool of_builder; /* who may have written into it */
	enum { ALWAYS, WITH_TOPS, WITH_INPUTS } when;
} parts[] = {
	{ "upper", offsetof(struct scratch, upper_fd), 01775, OWNER_GROUP, .of_builder = true },
	{ "work", offsetof(struct scratch, work_fd), 0700, OWNER_US },
	{ "outputs", offsetof(struct scratch, outputs_fd), 01775, OWNER_GROUP, .of_builder = true },
	{ "build", offsetof(struct scratch, build_fd), 0700, OWNER_USER, .of_builder = true },
	{ "tmp", offsetof(struct scratch, tmp_fd), 01777, OWNER_US, .of_builder = true },
	{ "root", offsetof(struct scratch, root_fd), 0700, OWNER_US },
	{ "tops", offsetof(struct scratch, tops_fd), 0700, OWNER_USER, .of_builder = true,
	  WITH_TOPS },
	{ "works", offsetof(struct scratch, works_fd), 0700, OWNER_US, .when = WITH_TOPS },
	{ "inputs", offsetof(struct scratch, inputs_fd), 0755, OWNER_USER, .of_builder = true,
	  WITH_INPUTS },
};

static int *part_fd(struct scratch *scratch, const struct part *part)
{
	return (int *)((char *)scratch + part->fd_offset);
}

static int open_directory(int dir_fd, const char *name)
{
	return openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* The mode comes before the owner: chmod of what is no longer ours would need a capability. */
static int create_part(struct scratch *scratch, const struct part *part,
                       const struct account *account)
{
	int *fd = part_fd(scratch, part);

	if (mkdirat(scratch->dir_fd, part->name, 0700) < 0)
		return -errno;
	*fd = open_directory(scratch->dir_fd, part->name);
	if (*fd < 0 || fchmod(*fd, part->mode) < 0)
		return -errno;
	if (!account->change || part->owner == OWNER_US)
		return 0;
	if (fchown(*fd, part->owner == OWNER_USER ? account->uid : (uid_t)-1, account->gid) < 0)
		return -errno;
	return 0;
}

/* Not attached anywhere: no mount shows on the host, and none can be left there. */
static int make_tmpfs(struct scratch *scratch, uint64_t bytes, struct error *err)
{
	char size[32], inodes[32];
	const struct mount_option options[] = { { "size", size },
		                                { "nr_inodes", inodes },
		                                { "mode", "0700" } };

	(void)snprintf(size, sizeof(size), "%" PRIu64, bytes);
	(void)snprintf(inodes, sizeof(inodes), "%" PRIu64, scratch_inodes(bytes));
	scratch->place_fd = take_fd(&scratch->dir_fd);
	scratch->dir_fd = mount_new("tmpfs", options, ARRAY_SIZE(options),
	                            MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, err);
	return scratch->dir_fd < 0 ? scratch->dir_fd : 0;
}

static int put_in_force(struct scratch *scratch, const struct scratch_plan *plan, struct error *err)
{
	if (plan->way == SCRATCH_TMPFS)
		return make_tmpfs(scratch, plan->bytes, err);
	if (plan->way == SCRATCH_QUOTA)
		return quota_set(scratch->dir_fd, plan->project, plan->bytes, err);
	return 0;
}

bool scratch_is_full(const struct scratch *scratch)
{
	struct statfs room;

	/* With a project quota these are the project's numbers. */
	return scratch->dir_fd >= 0 && fstatfs(scratch->dir_fd, &room) == 0 &&
	       (room.f_bfree == 0 || room.f_ffree == 0);
}

int scratch_create(int parent_fd, const char *name, const struct account *account,
                   const struct scratch_plan *plan, struct scratch *ret, struct error *err)
{
	cleanup_scratch struct scratch scratch = SCRATCH_NONE;
	const bool wanted[] = {
		[ALWAYS] = true, [WITH_TOPS] = plan->tops, [WITH_INPUTS] = plan->inputs
	};
	int r;

	scratch.parent_fd = parent_fd;
	memcpy(scratch.name, name, sizeof(scratch.name));
	if (mkdirat(parent_fd, name, 0700) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot make the scratch directory %s",
		                   name);
	scratch.dir_fd = open_directory(parent_fd, name);
	if (scratch.dir_fd < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot open the scratch directory %s",
		                   name);
	r = put_in_force(&scratch, plan, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		r = wanted[parts[i].when] ? create_part(&scratch, &parts[i], account) : 0;
		if (r < 0)
			return error_errno(err, BLAME_HOST, -r, "cannot make %s in scratch %s",
			                   parts[i].name, name);
	}
	*ret = scratch;
	scratch = (struct scratch)SCRATCH_NONE;
	return 0;
}

bool scratch_open_left(int parent_fd, const char *name, struct scratch *ret)
{
	struct scratch scratch = SCRATCH_NONE;

	scratch.parent_fd = parent_fd;
	memcpy(scratch.name, name, sizeof(scratch.name));
	scratch.dir_fd = open_directory(parent_fd, name);
	if (scratch.dir_fd < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (parts[i].of_builder)
			*part_fd(&scratch, &parts[i]) = open_directory(scratch.dir_fd,
			                                               parts[i].name);
	*ret = scratch;
	return true;
}

void scratch_done(struct scratch *scratch)
{
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		fd_closep(part_fd(scratch, &parts[i]));
	fd_closep(&scratch->dir_fd);
	fd_closep(&scratch->place_fd);
}

int scratch_clear(struct scratch *scratch, struct error *err)
{
	int result = 0;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		int fd = *part_fd(scratch, &parts[i]);
		int r = fd < 0 || !parts[i].of_builder ? 0 : tree_remove_children(fd, err);

		result = result < 0 ? result : r;
	}
	return result;
}

int scratch_remove(int parent_fd, const char *name, struct error *err)
{
	cleanup_fd int dir_fd = open_directory(parent_fd, name);

	/* What is not empty or not there is for tree_remove() to judge. */
	for (size_t i = 0; dir_fd >= 0 && i < ARRAY_SIZE(parts); i++)
		if (parts[i].of_builder)
			(void)unlinkat(dir_fd, parts[i].name, AT_REMOVEDIR);
	return tree_remove(parent_fd, name, err);
}
