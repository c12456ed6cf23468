/*
 * Reads the kernel's record of who connected. Which derivation that is, is proven in origin.c. What
 * a peer may do is the policy's business.
 */
#include "peer.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "look.h"
#include "origin.h"

/* Newer than the C library's headers may be. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* Linux 6.16 */
#endif

enum { GROUPS_FIRST = 64 }; /* enough for nearly everybody */

static const char why_old_kernel
	[] = "the kernel cannot tell which process calls: SO_PEERPIDFD needs Linux 6.5";

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
		*ret_why = look_why_gone;
		return 0;
	default:
		return error_errno(err, BLAME_HOST, errno, "cannot get a pidfd of the peer");
	}
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
		r = origin_find(store_dir, &peer, err);
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
