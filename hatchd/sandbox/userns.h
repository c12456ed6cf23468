/*
 * User namespaces: which numbers inside stand for which outside, and namespaces that exist without
 * a process in them, held by a descriptor, until one of the request enters.
 *
 * The mounts, processes and networks of a sandbox belong to the initial user namespace. So whoever
 * is root in a namespace made here has rights over the ids of its map, and over nothing else.
 * Source: user_namespaces(7), time_namespaces(7)
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "hatchd/config/config.h"
#include "hatchd/config/range.h"
#include "lib/base/buffer.h"
#include "lib/base/cleanup.h"
#include "lib/base/error.h"

/* The texts of uid_map and gid_map. */
struct id_maps {
	struct buffer uids, gids;
};

/* Who is mapped, and to whom. */
struct id_request {
	enum uid_map kind;
	uid_t uid; /* of the build user */
	gid_t gid;
	const gid_t *groups; /* supplementary; each is mapped to itself */
	size_t n_groups;
	uint32_t range_first; /* of UID_MAP_RANGE: inside 0 is the build user, inside N > 0 is
	                         range_first + N */
};

static inline void id_maps_done(struct id_maps *maps)
{
	buffer_done(&maps->uids);
	buffer_done(&maps->gids);
}

/* id_maps_make - the lines of both maps, sorted, none of them overlapping. 0, or -ENOMEM */
int id_maps_make(const struct id_request *request, struct id_maps *ret);

/* What is made with a user namespace, and belongs to it. */
enum {
	WITH_NETWORK = 1, /* a network namespace, with only a loopback device */
	WITH_TIME = 2,    /* a time namespace whose clocks since boot begin now */
	WITH_NESTED = 4,  /* those in it may make namespaces, NESTED_MAX of each kind; else none */
};

enum { NESTED_MAX = 1024 };

/* Held by descriptors; -1: not made. */
struct user_ns {
	int user_fd, net_fd, time_fd;
};

#define cleanup_user_ns cleanup_(user_ns_done)

/* A struct user_ns without any. */
#define USER_NS_NONE                                       \
	{                                                  \
		.user_fd = -1, .net_fd = -1, .time_fd = -1 \
	}

static inline void user_ns_done(struct user_ns *ns)
{
	fd_closep(&ns->user_fd);
	fd_closep(&ns->net_fd);
	fd_closep(&ns->time_fd);
}

/*
 * user_ns_make - make a user namespace that root owns, write its maps
 *
 * For the monitor while it has its capabilities. Nobody in the namespace owns it: it gives its
 * root no right over itself from outside.
 * Errors  BLAME_HOST, with what the kernel said
 */
int user_ns_make(const struct id_maps *maps, unsigned with, struct user_ns *ret, struct error *err);

/* user_ns_write_maps - the maps of a process that was cloned into a user namespace; deny: without
 * privilege in the parent namespace setgroups(2) must be forbidden first. 0 or -errno */
int user_ns_write_maps(pid_t pid, const struct id_maps *maps, bool deny);

/* user_ns_limit - as one who is root over the namespace: those in it make at most n_max namespaces
 * of each kind. proc_fd: a mount of procfs, writable */
int user_ns_limit(int proc_fd, unsigned n_max, struct error *err);

/* time_ns_make - children of this process get a time namespace whose clocks since boot begin now.
 * As root over the user namespace */
int time_ns_make(struct error *err);
