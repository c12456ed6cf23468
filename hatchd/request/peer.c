/*
 * Reads the kernel's record of who connected, and proves which derivation a Nix build is.
 * Everything found in procfs is found through one directory descriptor that was bound to the peer
 * by its pidfd, so a recycled number can never answer for it. What a peer may do is the policy's
 * business.
 *
 * A process has a name of its own choice in many places. What is believed here rests on two things
 * that a build cannot arrange: the directory that is its root is the one in the store that its
 * derivation names, by device and inode, and its user namespace was made by us (by root, where the
 * server is root) as a child of ours, so it is the sandbox itself and nothing nested in it.
 */
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/nsfs.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib/base/text.h"

/* Newer than the C library's headers may be. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* Linux 6.16 */
#endif

enum {
	GROUPS_FIRST = 64,           /* enough for nearly everybody */
	FDINFO_MAX = 4096,           /* of a pidfd: a few short lines */
	MOUNT_TABLE_MAX = 16 * 1024, /* a build's root is in the first line */
	HASH_LEN = 32,               /* of a store path */
};

static const char why_old_kernel
	[] = "the kernel cannot tell which process calls: SO_PEERPIDFD needs Linux 6.5";
static const char why_gone[] = "the caller had exited before it could be looked at";
static const char why_no_sandbox[] = "the caller is not in a Nix build's sandbox";
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

static const struct peer no_peer = { .pid_fd = -1, .root_fd = -1 };

void peer_done(struct peer *peer)
{
	free(peer->groups);
	free(peer->features);
	/* 0 is standard input, never one of these: so an object of zeros is empty as well. */
	if (peer->pid_fd > 0)
		fd_closep(&peer->pid_fd);
	if (peer->root_fd > 0)
		fd_closep(&peer->root_fd);
	*peer = no_peer;
}

int peer_refuse_descriptors(int conn_fd, struct error *err)
{
	const int off = 0;

	if (setsockopt(conn_fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off)) < 0 &&
	    errno != ENOPROTOOPT)
		return error_errno(err, BLAME_HOST, errno,
		                   "cannot forbid the peer to send descriptors");
	return 0;
}

static int read_credentials(int conn_fd, struct peer *peer, struct error *err)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(conn_fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot ask the kernel who connected");
	if (cred.uid == (uid_t)-1)
		return error_set(err, BLAME_HOST, ENOTCONN,
		                 "the socket given to us is not connected");
	peer->uid = cred.uid;
	peer->gid = cred.gid;
	peer->pid = cred.pid;
	return 0;
}

static int read_groups(int conn_fd, struct peer *peer, struct error *err)
{
	size_t room = GROUPS_FIRST;

	for (;;) {
		socklen_t len = (socklen_t)(room * sizeof(gid_t));
		cleanup_free gid_t *groups = malloc(len);

		if (!groups)
			return error_set(err, BLAME_HOST, ENOMEM,
			                 "no memory for the groups of the peer");
		if (getsockopt(conn_fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) == 0) {
			peer->groups = take_ptr(&groups);
			peer->n_groups = len / sizeof(gid_t);
			return 0;
		}
		if (errno != ERANGE || room == PEER_GROUPS_MAX)
			return error_errno(err, BLAME_HOST, errno,
			                   "cannot ask the kernel for the groups of the peer");
		room = PEER_GROUPS_MAX;
	}
}

/* Returns 1, or 0 and *ret_why */
static int open_pid_fd(int conn_fd, int *ret_fd, const char **ret_why, struct error *err)
{
	int fd;
	socklen_t len = sizeof(fd);

	if (getsockopt(conn_fd, SOL_SOCKET, SO_PEERPIDFD, &fd, &len) == 0) {
		*ret_fd = fd;
		return 1;
	}
	switch (errno) {
	case ENOPROTOOPT:
		*ret_why = why_old_kernel;
		return 0;
	/* Which of them says that the process was reaped has changed over the versions. */
	case EINVAL:
	case ENODATA:
	case ESRCH:
		*ret_why = why_gone;
		return 0;
	default:
		return error_errno(err, BLAME_HOST, errno, "cannot get a pidfd of the peer");
	}
}

/*
 * One look at the peer failed: that it must not be looked at is an answer, 0 and *ret_why. That we
 * ran out of something is a failure: the peer could arrange it and would be taken for another.
 */
static int look_failed(int code, const char *why, const char **ret_why, struct error *err)
{
	if (code == EMFILE || code == ENFILE || code == ENOMEM)
		return error_errno(err, BLAME_HOST, code, "cannot look at the process that calls");
	*ret_why = why;
	return 0;
}

static bool has_exited(int pid_fd)
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

/*
 * Open the peer's directory in procfs. Returns 1, or 0 and *ret_why.
 *
 * Such a directory belongs to one process, not to a number: after that one's end everything in it
 * is gone, also when the number is in use again. What is left to ask is whether the number meant
 * our peer at the moment of opening, and it did if the peer lives afterwards.
 */
static int open_process(int pid_fd, int *ret_fd, const char **ret_why, struct error *err)
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
		*ret_why = why_gone;
		return 0;
	}

	(void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	proc_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc_fd < 0)
		return look_failed(errno, why_no_sandbox, ret_why, err);
	if (has_exited(pid_fd)) {
		*ret_why = why_gone;
		return 0;
	}
	*ret_fd = take_fd(&proc_fd);
	return 1;
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

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
		return look_failed(errno, why_no_sandbox, ret_why, err);
	if (is_same_file(&own, &peer)) {
		*ret_why = why_same_namespace;
		return 0;
	}
	parent_fd = ioctl(peer_fd, NS_GET_PARENT);
	if (parent_fd < 0 || fstat(parent_fd, &parent) < 0)
		return look_failed(errno, why_nested, ret_why, err);
	if (!is_same_file(&own, &parent) || ioctl(peer_fd, NS_GET_OWNER_UID, &owner) < 0 ||
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

	if (!derivation_from_root(root, ret->derivation, &tail))
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
		return look_failed(errno, why_no_sandbox, ret_why, err);
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
		return look_failed(errno, why_no_sandbox, ret_why, err);
	r = root_of_descriptor(root_fd, &root);
	if (r < 0)
		return look_failed(-r, why_no_sandbox, ret_why, err);
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

static int find_derivation(const char *store_dir, struct peer *peer, struct error *err)
{
	const char **why = &peer->derivation_why;
	cleanup_fd int proc_fd = -1;
	int r;

	r = open_process(peer->pid_fd, &proc_fd, why, err);
	if (r > 0)
		r = check_user_namespace(proc_fd, why, err);
	if (r > 0)
		r = check_root(proc_fd, store_dir, peer, why, err);
	return r;
}

/* What stands at the path in the peer's root, opened in its mounts without following any link. */
static int open_in_root(const struct peer *peer, const char *store_dir, const char *top)
{
	const struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		                      .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS };
	char path[PATH_MAX];
	int fd;

	if (snprintf(path, sizeof(path), "%s/%s", store_dir, top) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = (int)syscall(SYS_openat2, peer->root_fd, path, &how, sizeof(how));
	return fd < 0 ? -errno : fd;
}

/* Nix makes symlinks anew in a sandbox: there is no more to them than their text. */
static bool is_same_link(int a_fd, int b_fd)
{
	char a[PATH_MAX], b[PATH_MAX];
	ssize_t a_len = readlinkat(a_fd, "", a, sizeof(a));
	ssize_t b_len = readlinkat(b_fd, "", b, sizeof(b));

	return a_len > 0 && a_len == b_len && memcmp(a, b, (size_t)a_len) == 0;
}

static bool is_same(int a_fd, int b_fd)
{
	struct stat a, b;

	if (fstat(a_fd, &a) < 0 || fstat(b_fd, &b) < 0)
		return false;
	return is_same_file(&a, &b) || is_same_link(a_fd, b_fd);
}

static int open_in_store(const char *store_dir, const char *top)
{
	cleanup_fd int store_fd = open(store_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd = store_fd < 0 ? -1 : openat(store_fd, top, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* From a store path to what lies inside of it: no link leads out of it, and nothing is mounted on
 * it. */
static int go_inside(int *fd, const char *path)
{
	const struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		                      .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
		                                 RESOLVE_NO_XDEV };
	int inner_fd = (int)syscall(SYS_openat2, *fd, path, &how, sizeof(how));

	if (inner_fd < 0)
		return -errno;
	fd_closep(fd);
	*fd = inner_fd;
	return 0;
}

/* The store path and what lies inside of it are compared one after the other: that something is the
 * same file says nothing of the directory around it, because Nix links files of the same content.
 */
static int open_same(const struct peer *peer, const char *store_dir, const char *path, int *ret_fd)
{
	cleanup_fd int own_fd = -1, peer_fd = -1;
	const char *slash = strchrnul(path, '/');
	char top[NAME_MAX + 1];
	int r;

	(void)snprintf(top, sizeof(top), "%.*s", (int)(slash - path), path);
	peer_fd = open_in_root(peer, store_dir, top);
	if (peer_fd < 0)
		return peer_fd;
	own_fd = open_in_store(store_dir, top);
	if (own_fd < 0)
		return own_fd;
	if (!is_same(own_fd, peer_fd))
		return 0;
	if (*slash) {
		r = go_inside(&own_fd, slash + 1);
		if (r == 0)
			r = go_inside(&peer_fd, slash + 1);
		if (r < 0)
			return r;
		if (!is_same(own_fd, peer_fd))
			return 0;
	}
	*ret_fd = take_fd(&own_fd);
	return 1;
}

int peer_open_input(const struct peer *peer, const char *store_dir, const char *path, int *ret_fd,
                    struct error *err)
{
	cleanup_fd int fd = -1;
	const char *why;
	int r;

	if (!peer->derivation[0] || peer->root_fd <= 0)
		return 0;
	r = open_same(peer, store_dir, path, &fd);
	if (r < 0)
		return look_failed(-r, NULL, &why, err);
	/* As long as the build lives so does what keeps the path; from here on we do. */
	if (r == 0 || has_exited(peer->pid_fd))
		return 0;
	*ret_fd = take_fd(&fd);
	return 1;
}

int peer_identify(int conn_fd, const char *store_dir, struct peer *ret, struct error *err)
{
	cleanup_peer struct peer peer = no_peer;
	int r;

	r = read_credentials(conn_fd, &peer, err);
	if (r < 0)
		return r;
	r = read_groups(conn_fd, &peer, err);
	if (r < 0)
		return r;
	r = open_pid_fd(conn_fd, &peer.pid_fd, &peer.derivation_why, err);
	if (r > 0)
		r = find_derivation(store_dir, &peer, err);
	if (r < 0)
		return r;
	*ret = peer;
	peer = no_peer;
	return 0;
}

int peer_read_features(struct peer *peer, const char *store_dir, const struct account *account,
                       uid_t owner_uid, struct error *err)
{
	cleanup_free struct features *features = NULL;
	cleanup_free char *path = NULL;
	cleanup_fd int fd = -1;
	struct error why;
	int r;

	if (!peer->derivation[0] || peer->features || peer->derivation_missing ||
	    peer->features_why[0])
		return 0;
	features = calloc(1, sizeof(*features));
	if (!features || asprintf(&path, "%s/%s", store_dir, peer->derivation) < 0) {
		path = NULL;
		return error_set(err, BLAME_HOST, ENOMEM, "no memory to read a derivation");
	}
	r = features_open(path, owner_uid, &fd, &why);
	if (r == 0) {
		peer->derivation_missing = true;
		return 0;
	}
	if (r > 0)
		r = features_read(&(struct derivation_source){ .fd = fd }, account, features, &why);
	if (r < 0)
		(void)snprintf(peer->features_why, sizeof(peer->features_why), "%s", why.text);
	else
		peer->features = take_ptr(&features);
	return 0;
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
bool derivation_from_root(const char *root, char ret[DERIVATION_MAX + 1], const char **ret_tail)
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
