/*
 * Build users, one live request each, and the queue before them. All state is lock files below
 * STATE/pool (0700): no daemon keeps it, and the kernel releases what a killed instance held.
 *
 *   STATE/pool/NAME         lock of the build user NAME; its content says who holds it and what he
 *                           made (claim.h)
 *   STATE/pool/queue.lock   guards the numbering of tickets, held for microseconds
 *   STATE/pool/queue/N      one waiting request; locked by it
 *   STATE/pool/queue.round  the round that is now (fair.h)
 *   STATE/pool/resource/N.I a unit of a resource; locked by who holds it (resource.h)
 *   STATE/scratch/RANDOM    what one request writes, named in the lock's content
 */
#pragma once

#include <stdint.h>

#include "claim.h"
#include "fair.h"
#include "hatchd/config/config.h"
#include "lib/base/cleanup.h"
#include "lib/base/error.h"

/* Who waits, as last looked at. */
struct line {
	struct waiter *waiters; /* owned */
	size_t n_waiters, room;
};

struct pool {
	const struct build_user *users; /* borrowed */
	size_t n_users;
	int pool_fd, scratch_fd;   /* directories; scratch_fd is opened O_RDONLY */
	int queue_fd, resource_fd; /* directories */
	int change_fd; /* inotify: readable when a lock may have become free; -1 before pool_join()
	                */
	int ticket_fd; /* our place in the queue, -1: none */
	uint64_t ticket, last_ticket;
	struct line line;

	/* set by the caller after pool_open() */
	bool refuse_strays;               /* the uids are the pool's own: see stray.h */
	struct claim claim;               /* who asks, and what he needs besides a slot */
	const struct resource *resources; /* what there is; borrowed */
	size_t n_resources;

	/* set by pool_try(): a slot that is free, but not given, because this process has its uid
	 */
	const struct build_user *stray_user; /* NULL: none */
	pid_t stray_pid;
};

/* What a request holds while it lives. */
struct slot {
	const struct build_user *user; /* borrowed */
	int lock_fd; /* flock; init inherits it, so the slot stays taken until the last process is
	                gone */
	int unit_fds[BUILDER_UNITS_MAX]; /* the same, of units of resources */
	size_t n_units;
};

#define cleanup_pool cleanup_(pool_done)
#define cleanup_slot cleanup_(slot_done)

/*
 * pool_open - open, and where missing make, the directories below state_dir
 *
 * state_dir  exists; its whole path was checked by the caller (trusted_directory())
 * users      the accounts, also used as names of the lock files: one component each
 * Errors     BLAME_HOST: -EPERM a directory is not 0700 of our own uid, or what the file system
 * says
 */
int pool_open(const char *state_dir, const struct build_user *users, size_t n_users,
              struct pool *ret, struct error *err);
void pool_done(struct pool *pool);

/* pool_join - take a ticket; -EBUSY (BLAME_HOST) if queue_max wait already */
int pool_join(struct pool *pool, uint64_t queue_max, struct error *err);

/*
 * pool_try - take a free slot and all units of resources that are needed, or nothing, if it is our
 * turn
 *
 * Returns  1 and *ret, and the ticket is given back; 0 and *ret_place when we must wait for
 * pool->change_fd, or 250 ms at most: a change may be missed; or a negative errno
 */
int pool_try(struct pool *pool, struct slot *ret, struct standing *ret_place, struct error *err);

/* slot_done - forget everything recorded, then release the locks. An empty slot is fine. */
void slot_done(struct slot *slot);

/* slot_abandon - release the locks, but forget nothing: for one who could not clear up what he
 * made. Nobody gets the slot before a sweep has. An empty slot is fine. */
void slot_abandon(struct slot *slot);

/* slot_write_record - say in the locks what will be made, before it is made; 0 or -errno */
int slot_write_record(const struct slot *slot, const struct slot_record *record, struct error *err);

/* pool_has_left - is there a lock that is free but has content? Wakes nobody. 1, 0 or a negative
 * errno */
int pool_has_left(struct pool *pool, struct error *err);

/*
 * pool_take_left - take the slot of a user whose holder died without cleaning up
 *
 * pool_try() hands out only slots that say nothing, and leaves the others to this. What the record
 * names is to be cleared, and forgotten with an empty slot_write_record(); with slot_abandon() it
 * is left to the next.
 * Returns  1, *ret and what its holder had made; 0, there is none; or a negative errno
 */
int pool_take_left(const struct pool *pool, const struct build_user *user, struct slot *ret,
                   struct slot_record *ret_record, struct error *err);
