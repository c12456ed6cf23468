/*
 * The pool of build users: one lock file each, whose content says what the holder has made. Decides
 * who may have one, never what is done with it; clearing up after a dead holder is the caller's
 * work, who hands it in as a function.
 *
 * A lock is taken only while the queue's guard is held. So between the look at it and the taking
 * nobody else of us comes, and the look can be made without opening for writing, which would wake
 * those who wait (see queue.c).
 */
#include "pool.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lock.h"
#include "queue.h"
#include "resource.h"
#include "stray.h"

static const struct pool no_pool = {
	.pool_fd = -1,
	.scratch_fd = -1,
	.queue_fd = -1,
	.resource_fd = -1,
	.change_fd = -1,
	.ticket_fd = -1,
};

/* ---- directories ---- */

static int check_directory(int fd, const char *name, struct error *err)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot look at the state directory %s",
		                   name);
	if (status.st_uid == geteuid() && (status.st_mode & 07777) == 0700)
		return 0;
	(void)error_set(err, BLAME_HOST, EPERM,
	                "others could enter the state directory %s: uid %u, mode %04o", name,
	                status.st_uid, status.st_mode & 07777);
	(void)error_hint(err, "It must belong to uid %u and have mode 0700", geteuid());
	return -EPERM;
}

static int open_directory(int parent_fd, const char *name, int *ret_fd, struct error *err)
{
	cleanup_fd int fd = -1;
	int r;

	if (mkdirat(parent_fd, name, 0700) < 0 && errno != EEXIST)
		return error_errno(err, BLAME_HOST, errno, "cannot make the state directory %s",
		                   name);
	fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot open the state directory %s",
		                   name);
	r = check_directory(fd, name, err);
	if (r < 0)
		return r;
	*ret_fd = take_fd(&fd);
	return 0;
}

/* The names of accounts are names of lock files, and must not be those of our own files. */
static bool is_lock_name(const char *name)
{
	return name[0] != '\0' && name[0] != '.' && !strchr(name, '/') &&
	       strcmp(name, "queue") != 0 && strcmp(name, "resource") != 0 &&
	       strcmp(name, LOCK_GUARD_NAME) != 0 && strcmp(name, LOCK_ROUND_NAME) != 0;
}

int pool_open(const char *state_dir, const struct build_user *users, size_t n_users,
              struct pool *ret, struct error *err)
{
	cleanup_pool struct pool pool = no_pool;
	cleanup_fd int state_fd = -1;
	int r;

	for (size_t i = 0; i < n_users; i++)
		if (!is_lock_name(users[i].name))
			return error_set(err, BLAME_HOST, EINVAL,
			                 "a build user cannot be named \"%s\"", users[i].name);
	pool.users = users;
	pool.n_users = n_users;
	state_fd = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (state_fd < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot open the state directory %s",
		                   state_dir);
	r = open_directory(state_fd, "pool", &pool.pool_fd, err);
	if (r == 0)
		r = open_directory(state_fd, "scratch", &pool.scratch_fd, err);
	if (r == 0)
		r = open_directory(pool.pool_fd, "queue", &pool.queue_fd, err);
	if (r == 0)
		r = open_directory(pool.pool_fd, "resource", &pool.resource_fd, err);
	if (r < 0)
		return r;
	*ret = pool;
	pool = no_pool;
	return 0;
}

void pool_done(struct pool *pool)
{
	/* 0 is standard input, never a directory: so an object of zeros is empty as well. */
	if (pool->pool_fd > 0) {
		queue_leave(pool);
		fd_closep(&pool->resource_fd);
		fd_closep(&pool->queue_fd);
		fd_closep(&pool->scratch_fd);
		fd_closep(&pool->pool_fd);
	}
	*pool = no_pool;
}

/* ---- what a lock says ---- */

static bool record_is_empty(const struct slot_record *record)
{
	return record->scratch[0] == '\0' && record->cgroup[0] == '\0';
}

static int read_record(const struct slot *slot, struct slot_record *ret, struct error *err)
{
	int r = lock_read(slot->lock_fd, slot->user->name, ret, err);

	if (r == -EBADMSG)
		(void)error_hint(err,
		                 "When no request runs, see that no process of %s lives and that "
		                 "scratch holds nothing of it, then remove the file",
		                 slot->user->name);
	return r < 0 ? r : 0;
}

static int empty_lock(int fd, const char *name, struct error *err)
{
	if (ftruncate(fd, 0) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot empty lock file %s", name);
	return 0;
}

/* The slot's last: as long as it says something its units are not free either. */
static int forget_record(const struct slot *slot, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < slot->n_units; i++)
		r = empty_lock(slot->unit_fds[i], "of a resource", err);
	return r < 0 ? r : empty_lock(slot->lock_fd, slot->user->name, err);
}

int slot_write_record(const struct slot *slot, const struct slot_record *record, struct error *err)
{
	int r;

	if (record_is_empty(record))
		return forget_record(slot, err);
	r = lock_write(slot->lock_fd, slot->user->name, record, err);
	for (size_t i = 0; r == 0 && i < slot->n_units; i++)
		r = lock_write(slot->unit_fds[i], "of a resource", record, err);
	return r;
}

/* ---- slots ---- */

void slot_abandon(struct slot *slot)
{
	if (slot->user) {
		for (size_t i = 0; i < slot->n_units; i++)
			fd_closep(&slot->unit_fds[i]);
		fd_closep(&slot->lock_fd);
	}
	*slot = (struct slot){ .lock_fd = -1 };
}

void slot_done(struct slot *slot)
{
	/* Closing, not LOCK_UN: init shares the lock and keeps it as long as it lives. */
	if (slot->user && slot->lock_fd >= 0)
		(void)forget_record(slot, NULL);
	slot_abandon(slot);
}

/* Is the lock of a user free, with content or without, as wanted? Wakes nobody. The guard is held.
 * 1, 0 or a negative errno */
static int look_at_slot(const struct pool *pool, const struct build_user *user, bool with_content,
                        struct error *err)
{
	cleanup_fd int fd = -1;
	struct stat status;
	int r;

	r = lock_open(pool->pool_fd, user->name, O_RDONLY | O_CREAT, &fd, err);
	if (r < 0)
		return r;
	r = lock_try(fd, user->name, err);
	if (r <= 0)
		return r;
	if (fstat(fd, &status) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot look at lock file %s",
		                   user->name);
	return (status.st_size > 0) == with_content;
}

/* The same, and take it. */
static int take_slot(const struct pool *pool, const struct build_user *user, bool with_content,
                     struct slot *ret, struct error *err)
{
	cleanup_(slot_abandon) struct slot slot = { .user = user, .lock_fd = -1 };
	int r = look_at_slot(pool, user, with_content, err);

	if (r <= 0)
		return r;
	r = lock_open(pool->pool_fd, user->name, O_RDWR | O_CREAT, &slot.lock_fd, err);
	if (r < 0)
		return r;
	r = lock_try(slot.lock_fd, user->name, err);
	if (r <= 0)
		return r;
	*ret = slot;
	slot = (struct slot){ .lock_fd = -1 };
	return 1;
}

/* Seen before the lock is opened for writing: one that is given back would wake everybody. */
static int take_clean_slot(struct pool *pool, const struct build_user *user, struct slot *ret,
                           struct error *err)
{
	int r = look_at_slot(pool, user, false, err);
	pid_t pid;

	if (r <= 0)
		return r;
	if (pool->refuse_strays && stray_find(user->uid, &pid) > 0) {
		pool->stray_user = user;
		pool->stray_pid = pid;
		return 0;
	}
	return take_slot(pool, user, false, ret, err);
}

static int take_any_slot(struct pool *pool, struct slot *ret, struct error *err)
{
	for (size_t i = 0; i < pool->n_users; i++) {
		int r = take_clean_slot(pool, &pool->users[i], ret, err);

		if (r != 0)
			return r;
	}
	return 0;
}

/* ---- resources ---- */

/* Does a slot still say that it was made what this record says? */
static int find_left(void *context, const struct slot_record *unit, struct error *err)
{
	const struct pool *pool = context;

	/* Its holder died before it had said what it would make, and so made nothing. */
	if (unit->scratch[0] == '\0')
		return 0;
	for (size_t i = 0; i < pool->n_users; i++) {
		const char *name = pool->users[i].name;
		struct slot_record record = { 0 };
		cleanup_fd int fd = -1;
		int r = lock_open(pool->pool_fd, name, O_RDONLY, &fd, err);

		if (r < 0)
			return r;
		/* One that cannot be read may be the one. */
		if (r > 0 && lock_read(fd, name, &record, NULL) < 0)
			return 1;
		if (strcmp(record.scratch, unit->scratch) == 0)
			return 1;
	}
	return 0;
}

static bool is_about_resources(const struct pool *pool)
{
	for (size_t i = 0; i < pool->line.n_waiters; i++)
		if (pool->line.waiters[i].claim.n_needs > 0)
			return true;
	return pool->claim.n_needs > 0;
}

/* What is free of all resources; nothing is looked at if nobody needs any. */
static int look_at_stocks(struct pool *pool, struct stock **ret, size_t *ret_n, struct error *err)
{
	const struct left left = { find_left, pool };
	cleanup_free struct stock *stocks = NULL;
	int r;

	*ret = NULL;
	*ret_n = 0;
	if (pool->n_resources == 0 || !is_about_resources(pool))
		return 0;
	stocks = calloc(pool->n_resources, sizeof(*stocks));
	if (!stocks)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for the resources");
	for (size_t i = 0; i < pool->n_resources; i++)
		stocks[i] = (struct stock){ pool->resources[i].name,
			                    (int64_t)pool->resources[i].count };
	r = resource_look(pool->resource_fd, stocks, pool->n_resources, &left, err);
	if (r < 0)
		return r;
	*ret = take_ptr(&stocks);
	*ret_n = pool->n_resources;
	return 0;
}

static int take_resources(struct pool *pool, struct slot *slot, struct error *err)
{
	const struct left left = { find_left, pool };

	for (size_t i = 0; i < pool->claim.n_needs; i++) {
		const struct units *need = &pool->claim.needs[i];
		int r;

		if (need->count > BUILDER_UNITS_MAX - slot->n_units)
			return error_set(err, BLAME_HOST, E2BIG, "too many units of resources");
		r = resource_take(pool->resource_fd, need->name, need->count, &left,
		                  &slot->unit_fds[slot->n_units], err);
		if (r <= 0)
			return r;
		slot->n_units += need->count;
	}
	return 1;
}

/* All that is needed, or nothing. */
static int take_all(struct pool *pool, struct slot *ret, struct error *err)
{
	cleanup_(slot_abandon) struct slot slot = { .lock_fd = -1 };
	int r = take_any_slot(pool, &slot, err);

	if (r > 0)
		r = take_resources(pool, &slot, err);
	if (r <= 0)
		return r;
	r = queue_serve(pool, err);
	if (r < 0)
		return r;
	*ret = slot;
	slot = (struct slot){ .lock_fd = -1 };
	return 1;
}

/* ---- waiting ---- */

static int join_line(struct pool *pool, uint64_t queue_max, struct error *err)
{
	cleanup_free struct stock *stocks = NULL;
	size_t n_stocks = 0;
	uint64_t now = 0;
	int r = queue_look(pool, true, err);

	if (r < 0)
		return r;
	if (pool->line.n_waiters >= queue_max) {
		(void)error_set(err, BLAME_HOST, EBUSY,
		                "nothing is free, and %zu requests wait already",
		                pool->line.n_waiters);
		(void)error_hint(err, "Try again later; \"queue_max\" in hatchd.json says how many "
		                      "may wait");
		return -EBUSY;
	}
	r = look_at_stocks(pool, &stocks, &n_stocks, err);
	if (r == 0)
		r = queue_read_round(pool, &now, err);
	if (r < 0)
		return r;
	fair_join(pool->line.waiters, pool->line.n_waiters, stocks, n_stocks, now, &pool->claim);
	return queue_join(pool, err);
}

int pool_join(struct pool *pool, uint64_t queue_max, struct error *err)
{
	cleanup_fd int guard_fd = -1;
	int r;

	/* First the ears, then the place: no change in between is missed. */
	r = queue_watch(pool, err);
	if (r == 0)
		r = queue_guard(pool, &guard_fd, err);
	if (r == 0)
		r = join_line(pool, queue_max, err);
	if (r < 0)
		queue_leave(pool);
	return r;
}

/* Without inotify nobody tells who died: then all are looked at. */
static int try_once(struct pool *pool, bool look_at_all, struct slot *ret,
                    struct standing *ret_place, struct error *err)
{
	cleanup_free struct stock *stocks = NULL;
	cleanup_fd int guard_fd = -1;
	size_t n_stocks = 0;
	int r;

	r = queue_guard(pool, &guard_fd, err);
	if (r == 0)
		r = queue_look(pool, look_at_all || pool->change_fd < 0, err);
	if (r == 0)
		r = look_at_stocks(pool, &stocks, &n_stocks, err);
	if (r < 0)
		return r;
	if (!fair_judge(pool->line.waiters, queue_count_ahead(pool), &pool->claim, stocks, n_stocks,
	                ret_place))
		return 0;
	return take_all(pool, ret, err);
}

int pool_try(struct pool *pool, struct slot *ret, struct standing *ret_place, struct error *err)
{
	/* The kernel tells of a closing a moment before it releases the lock. */
	static const long pauses_ns[] = { 50000, 100000, 200000, 400000, 800000, 1600000 };
	struct queue_news news = queue_read_news(pool);
	struct standing place;
	int r;

	if (pool->n_users == 0)
		return error_set(err, BLAME_HOST, ENOENT, "there are no build users");
	for (size_t i = 0;; i++) {
		r = try_once(pool, news.waiter_closed, ret, &place, err);
		if (r != 0)
			return r;
		if (i == ARRAY_SIZE(pauses_ns) ||
		    !(news.waiter_closed || (news.closed && place.ahead == 0)))
			break;
		(void)nanosleep(&(struct timespec){ .tv_nsec = pauses_ns[i] }, NULL);
	}
	*ret_place = place;
	return 0;
}

/* ---- what the dead left ---- */

/* Nearly always nothing is left: seen without the guard, without a lock. 1, 0 or a negative errno
 */
static int says_something(const struct pool *pool, const struct build_user *user, struct error *err)
{
	struct stat status;

	if (fstatat(pool->pool_fd, user->name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0
		                       : error_errno(err, BLAME_HOST, errno,
		                                     "cannot look at lock file %s", user->name);
	return !S_ISREG(status.st_mode) || status.st_size > 0;
}

int pool_has_left(struct pool *pool, struct error *err)
{
	for (size_t i = 0; i < pool->n_users; i++) {
		cleanup_fd int guard_fd = -1;
		int r = says_something(pool, &pool->users[i], err);

		if (r > 0)
			r = queue_guard(pool, &guard_fd, err);
		else
			continue;
		if (r == 0)
			r = look_at_slot(pool, &pool->users[i], true, err);
		if (r != 0)
			return r;
	}
	return 0;
}

int pool_take_left(const struct pool *pool, const struct build_user *user, struct slot *ret,
                   struct slot_record *ret_record, struct error *err)
{
	/* If anything fails, what is recorded must stay so. */
	cleanup_(slot_abandon) struct slot slot = { .lock_fd = -1 };
	cleanup_fd int guard_fd = -1;
	int r = says_something(pool, user, err);

	if (r <= 0)
		return r;
	r = queue_guard(pool, &guard_fd, err);
	if (r == 0)
		r = take_slot(pool, user, true, &slot, err);
	if (r <= 0)
		return r;
	r = read_record(&slot, ret_record, err);
	if (r < 0)
		return r;
	*ret = slot;
	slot = (struct slot){ .lock_fd = -1 };
	return 1;
}
