/*
 * Who asks: what the kernel says of the process that connected, taken from the socket once and
 * never looked up again by number.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "features.h"
#include "lib/base/cleanup.h"
#include "lib/base/error.h"

enum {
	PEER_GROUPS_MAX = 65536, /* NGROUPS_MAX of the kernel */
	DERIVATION_MAX = 255,    /* bytes of "<hash>-<name>.drv" */
};

struct peer {
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* supplementary */
	size_t n_groups;
	pid_t pid;  /* for the log only */
	int pid_fd; /* -1 before Linux 6.5: then no derivation is known either */
	/* "<hash>-<name>.drv" of the Nix build that asks, verified; else empty */
	char derivation[DERIVATION_MAX + 1];
	/* why derivation is empty, for refusals that need one */
	const char *derivation_why;
	/* how who supposes a peer gets to name its derivation and features; NULL of a real one */
	const char *derivation_hint, *features_hint;
	int root_fd; /* O_PATH of that build's root directory; 0 or -1: no derivation is known */

	/* What the derivation requires; NULL: not known, because it is not on this machine, because
	 * it could not be read (features_why, else empty), or because nobody has asked */
	struct features *features;
	bool derivation_missing;
	char features_why[ERROR_TEXT_MAX];
};

#define cleanup_peer cleanup_(peer_done)

void peer_done(struct peer *peer);

/*
 * peer_identify - ask the kernel who is at the other end
 *
 * conn_fd    connected AF_UNIX stream socket; borrowed
 * store_dir  directory of the Nix store, such as "/nix/store"
 * Errors     BLAME_HOST: what getsockopt(2) says. A peer without a derivation is no error
 * Source     unix(7), docs/security.md "Who asks"
 */
int peer_identify(int conn_fd, const char *store_dir, struct peer *ret, struct error *err);

/*
 * peer_read_features - look up which features the peer's derivation requires, unless that was done
 *
 * account   who reads the derivation: see features_read()
 * owner_uid whose files are believed besides root's
 * Errors    BLAME_HOST -ENOMEM. What is wrong with the derivation is no error
 */
int peer_read_features(struct peer *peer, const char *store_dir, const struct account *account,
                       uid_t owner_uid, struct error *err);

/* peer_refuse_descriptors - have the kernel refuse descriptors that the peer sends (SO_PASSRIGHTS,
 * Linux 6.16); 0 on older kernels too, where it is only that nobody receives them */
int peer_refuse_descriptors(int conn_fd, struct error *err);
