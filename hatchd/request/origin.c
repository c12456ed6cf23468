/*
 * A process has a name of its own choice in many places. What is believed here rests on two things
 * that a build cannot arrange: the directory that is its root is the one in the store that its
 * derivation names, by device and inode, and its user namespace was made by us (by root, where the
 * server is root) as a child of ours, so it is the sandbox itself and nothing nested in it.
 */
#include "origin.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib/base/text.h"
#include "look.h"

enum {
	MOUNT_TABLE_MAX = 16 * 1024, /* a build's root is in the first line */
	HASH_LEN = 32,               /* of a store path */
};

static const char why_same_namespace[] =
	"the caller is not in a user namespace made for a build: Nix runs without sandbox there, or "
	"this is no build";
static const char why_nested[] = "the caller's user namespace is not one that Nix made for a build";
static const char why_no_mount[] = "the caller's root is not a mount, as that of a Nix build is";
static const char why_mount_table[] = "the caller's root is not in the first 16 KiB of its mount "
				      "table, as that of a Nix build is";
static const char why_other_name[] = "the caller's root is not named like that of a Nix build";
static const char why_no_store[] = "there is no store directory on this host";
static const char why_no_chroot[] = "the root that the caller's mount table names does not exist";
static const char why_other_root[] = "the caller's root is not the directory it claims";

/*
 * Is the peer's user namespace a child of ours, and made by our own user? Returns 1, or 0 and
 * *ret_why.
 *
 * Opening it takes the right to trace the peer. Without CAP_SYS_PTRACE we have that right over a
 * Nix build just because of what is asked here: the owner of a child namespace has all
 * capabilities in it (user_namespaces(7)).
 */
static int check_user_namespace(int proc_fd, const char **ret_why, struct error *err)
{
	cleanup_fd int own_fd = -1, peer_fd = -1, parent_fd = -1;
	struct stat own, peer, parent;
	uid_t owner;

	own_fd = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
	if (own_fd < 0 || fstat(own_fd, &own) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot open our own user namespace");
	peer_fd = openat(proc_fd, "ns/user", O_RDONLY | O_CLOEXEC);
	if (peer_fd < 0 || fstat(peer_fd, &peer) < 0)
		return look_failed(errno, look_why_no_sandbox, ret_why, err);
	if (look_is_same_file(&own, &peer)) {
		*ret_why = why_same_namespace;
		return 0;
	}
	parent_fd = ioctl(peer_fd, NS_GET_PARENT);
	if (parent_fd < 0 || fstat(parent_fd, &parent) < 0)
		return look_failed(errno, why_nested, ret_why, err);
	if (!look_is_same_file(&own, &parent) || ioctl(peer_fd, NS_GET_OWNER_UID, &owner) < 0 ||
	    owner != geteuid()) {
		*ret_why = why_nested;
		return 0;
	}
	return 1;
}

/* What identifies a root directory. */
struct root {
	uint64_t mount_id, inode;
	uint32_t device_major, device_minor;
};

static int root_of_descriptor(int fd, struct root *ret)
{
	struct statx status;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, &status) < 0)
		return -errno;
	if (!(status.stx_mask & STATX_MNT_ID))
		return -EOPNOTSUPP;
	*ret = (struct root){
		.mount_id = status.stx_mnt_id,
		.inode = status.stx_ino,
		.device_major = status.stx_dev_major,
		.device_minor = status.stx_dev_minor,
	};
	return 0;
}

/*
 * The field "root" of a line of proc_pid_mountinfo(5) if it is the mount of that number. The line
 * is taken apart. The kernel shows a process only mounts that its root directory leads to: so the
 * mount that the root directory lies in is among them only if the two begin at the same place.
 */
static const char *root_field(char *line, uint64_t mount_id)
{
	char *rest = NULL, *field = strtok_r(line, " ", &rest);
	uint64_t id;

	if (!field || text_to_u64(field, UINT64_MAX, &id) < 0 || id != mount_id)
		return NULL;
	for (int i = 1; field && i < 4; i++)
		field = strtok_r(NULL, " ", &rest);
	return field;
}

/* What a root's name says: a derivation, and whether the root is the directory "root" below its
 * ".chroot" or, as with old versions of Nix, that directory itself. */
struct claim {
	char derivation[DERIVATION_MAX + 1];
	bool below;
};

static bool claim_from_root(const char *root, struct claim *ret)
{
	const char *tail;

	if (!origin_from_root(root, ret->derivation, &tail))
		return false;
	ret->below = strcmp(tail, ".chroot/root") == 0;
	return true;
}

/*
 * Find what the mount under the peer's root is named after. Returns 1, or 0 and *ret_why.
 *
 * Several mounts may lie on "/" one upon the other. Only one of them is the peer's root, and it
 * need be neither the first nor the last: so it is looked for by its number, which is unique as
 * long as the caller holds a descriptor of the root. The table is a stranger's text, and long if he
 * likes: only its beginning is read, only up to that line, and of the lines before it nothing but
 * their numbers is looked at. A build's root stands before what is mounted in it.
 */
static int find_claim(int proc_fd, uint64_t mount_id, struct claim *ret, const char **ret_why,
                      struct error *err)
{
	char table[MOUNT_TABLE_MAX], *line = table;
	cleanup_fd int fd = -1;
	size_t len = 0;

	fd = openat(proc_fd, "mountinfo", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return look_failed(errno, look_why_no_sandbox, ret_why, err);
	while (len < sizeof(table)) {
		ssize_t n = fd_read_some(fd, table + len, sizeof(table) - len);
		char *end;

		if (n <= 0)
			return look_failed((int)-n, why_no_mount, ret_why, err);
		len += (size_t)n;
		while ((end = memchr(line, '\n', (size_t)(table + len - line)))) {
			const char *root;

			*end = '\0';
			root = root_field(line, mount_id);
			line = end + 1;
			if (!root)
				continue;
			if (claim_from_root(root, ret))
				return 1;
			*ret_why = why_other_name;
			return 0;
		}
	}
	*ret_why = why_mount_table;
	return 0;
}

/* Open the directory that is claimed, without following a link below the store. Returns 1, or 0 and
 * *ret_why. */
static int open_claimed(const char *store_dir, const struct claim *claim, int *ret_fd,
                        const char **ret_why, struct error *err)
{
	const int flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	cleanup_fd int store_fd = -1, chroot_fd = -1, below_fd = -1;
	char name[DERIVATION_MAX + sizeof(".chroot")];

	store_fd = open(store_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (store_fd < 0)
		return look_failed(errno, why_no_store, ret_why, err);
	(void)snprintf(name, sizeof(name), "%s.chroot", claim->derivation);
	chroot_fd = openat(store_fd, name, flags);
	if (chroot_fd < 0)
		return look_failed(errno, why_no_chroot, ret_why, err);
	if (!claim->below) {
		*ret_fd = take_fd(&chroot_fd);
		return 1;
	}
	below_fd = openat(chroot_fd, "root", flags);
	if (below_fd < 0)
		return look_failed(errno, why_no_chroot, ret_why, err);
	*ret_fd = take_fd(&below_fd);
	return 1;
}

/* Returns 1 and the peer's derivation and root, or 0 and *ret_why */
static int check_root(int proc_fd, const char *store_dir, struct peer *peer, const char **ret_why,
                      struct error *err)
{
	cleanup_fd int root_fd = -1, claimed_fd = -1;
	struct root root = { 0 }, claimed = { 0 };
	struct claim claim;
	int r;

	root_fd = openat(proc_fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return look_failed(errno, look_why_no_sandbox, ret_why, err);
	r = root_of_descriptor(root_fd, &root);
	if (r < 0)
		return look_failed(-r, look_why_no_sandbox, ret_why, err);
	r = find_claim(proc_fd, root.mount_id, &claim, ret_why, err);
	if (r <= 0)
		return r;
	r = open_claimed(store_dir, &claim, &claimed_fd, ret_why, err);
	if (r <= 0)
		return r;
	r = root_of_descriptor(claimed_fd, &claimed);
	if (r < 0)
		return look_failed(-r, why_no_chroot, ret_why, err);
	if (claimed.inode != root.inode || claimed.device_major != root.device_major ||
	    claimed.device_minor != root.device_minor) {
		*ret_why = why_other_root;
		return 0;
	}
	memcpy(peer->derivation, claim.derivation, sizeof(claim.derivation));
	peer->root_fd = take_fd(&root_fd);
	return 1;
}

static bool is_store_name(const char *name, size_t len)
{
	static const char hash_letters[] = "0123456789abcdfghijklmnpqrsvwxyz";
	static const char name_letters[] = "0123456789abcdefghijklmnopqrstuvwxyz"
					   "ABCDEFGHIJKLMNOPQRSTUVWXYZ+-._?=";

	if (len <= HASH_LEN + 1 || strspn(name, hash_letters) < HASH_LEN || name[HASH_LEN] != '-')
		return false;
	return HASH_LEN + 1 + strspn(name + HASH_LEN + 1, name_letters) >= len;
}

/*
 * No letter of such a name is one that the kernel writes as an octal escape, and what stands before
 * the last components is no matter: so nothing needs to be decoded.
 */
bool origin_from_root(const char *root, char ret[DERIVATION_MAX + 1], const char **ret_tail)
{
	static const char suffix[] = ".drv", *const tails[] = { ".chroot", ".chroot/root" };
	size_t len = strlen(root), suffix_len = strlen(suffix);

	for (size_t i = 0; i < ARRAY_SIZE(tails); i++) {
		size_t tail_len = strlen(tails[i]), name_len;
		const char *end, *name;

		if (len < tail_len || strcmp(root + len - tail_len, tails[i]) != 0)
			continue;
		end = root + len - tail_len;
		name = memrchr(root, '/', (size_t)(end - root));
		if (!name)
			return false;
		name++;
		name_len = (size_t)(end - name);
		/* The name of the output, between hash and ".drv", is not empty. */
		if (name_len > DERIVATION_MAX || name_len <= HASH_LEN + 1 + suffix_len ||
		    memcmp(end - suffix_len, suffix, suffix_len) != 0 ||
		    !is_store_name(name, name_len))
			return false;
		memcpy(ret, name, name_len);
		ret[name_len] = '\0';
		*ret_tail = end;
		return true;
	}
	return false;
}

int origin_find(const char *store_dir, struct peer *peer, struct error *err)
{
	const char **why = &peer->derivation_why;
	cleanup_fd int proc_fd = -1;
	int r;

	r = look_open_process(peer->pid_fd, &proc_fd, why, err);
	if (r > 0)
		r = check_user_namespace(proc_fd, why, err);
	if (r > 0)
		r = check_root(proc_fd, store_dir, peer, why, err);
	return r;
}
