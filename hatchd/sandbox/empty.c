/* Places without anything of the host: new ones for the builder, and those that hide what is there.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/mount.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "mount.h"
#include "view.h"

enum {
	ATTR_HIDDEN = ATTR_READ_ONLY | MOUNT_ATTR_NOEXEC,
	BYTES_PER_INODE = 4096, /* an inode costs memory too */
};

/* A tmpfs's limits, in the kernel's words. */
struct room {
	char bytes[24], inodes[24];
};

static struct room room_for(uint64_t bytes, uint64_t inodes)
{
	struct room room;

	(void)snprintf(room.bytes, sizeof(room.bytes), "%" PRIu64, bytes);
	(void)snprintf(room.inodes, sizeof(room.inodes), "%" PRIu64, inodes);
	return room;
}

int view_new_tmpfs(const char *mode, uint64_t size, const struct account *owner, struct error *err)
{
	/* One more, for the directory itself. */
	const struct room room = room_for(size, size / BYTES_PER_INODE + 1);
	char uid[16], gid[16];
	const struct mount_option options[] = {
		{ "mode", mode }, { "size", room.bytes }, { "nr_inodes", room.inodes },
		{ "uid", uid },   { "gid", gid },
	};

	(void)snprintf(uid, sizeof(uid), "%u", owner ? owner->uid : 0);
	(void)snprintf(gid, sizeof(gid), "%u", owner ? owner->gid : 0);
	/* Without an owner it is ours, and the last two are left out. */
	return mount_new("tmpfs", options, ARRAY_SIZE(options) - (owner ? 0 : 2), ATTR_DATA, err);
}

int view_leave_room(int mount_fd, uint64_t size, struct error *err)
{
	struct statfs now;
	struct room room;

	if (fstatfs(mount_fd, &now) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot measure a tmpfs");
	room = room_for((now.f_blocks - now.f_bfree) * (uint64_t)now.f_bsize + size,
	                now.f_files - now.f_ffree + size / BYTES_PER_INODE);
	return mount_change(mount_fd,
	                    (const struct mount_option[]){ { "size", room.bytes },
	                                                   { "nr_inodes", room.inodes } },
	                    2, err);
}

int view_add_tmpfs(struct view *view, const struct view_row *row, struct error *err)
{
	return view_mount(view, view_new_tmpfs("0755", row->size, view->plan->account, err),
	                  row->at + 1, err);
}

static int make_hidden_directory(struct error *err)
{
	static const struct mount_option options[] = { { "mode", "0000" }, { "nr_inodes", "1" } };

	return mount_new("tmpfs", options, ARRAY_SIZE(options), ATTR_HIDDEN, err);
}

static int make_hidden_file(struct view *view, struct error *err)
{
	static const char name[] = "hidden";
	cleanup_fd int file_fd = -1;
	int stage_fd = view_stage(view, err);

	if (stage_fd < 0)
		return stage_fd;
	file_fd = openat(stage_fd, name, O_RDONLY | O_CREAT | O_CLOEXEC, 0000);
	if (file_fd < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot make an empty file");
	return mount_clone(file_fd, name, ATTR_HIDDEN, err);
}

int view_add_hide(struct view *view, const struct view_row *row, struct error *err)
{
	cleanup_fd int target_fd = view_open(view->root_fd, row->at + 1, 0);
	cleanup_fd int mount_fd = -1;
	struct stat st;

	if (row->optional && view_is_missing(target_fd))
		return 0;
	if (target_fd < 0 || fstat(target_fd, &st) < 0) {
		(void)error_errno(err, BLAME_HOST, target_fd < 0 ? -target_fd : errno,
		                  "cannot hide %s in the view of the builder %s", row->at,
		                  view->plan->request->builder->name);
		return row->optional ? -err->code
		                     : error_hint(err,
		                                  "take it out of \"view.hide\" in %s, or show "
		                                  "what holds it",
		                                  view->plan->request->builder->file);
	}
	mount_fd = S_ISDIR(st.st_mode) ? make_hidden_directory(err) : make_hidden_file(view, err);
	return mount_fd < 0 ? mount_fd : mount_attach(mount_fd, target_fd, "", err);
}
