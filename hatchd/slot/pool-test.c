/*
 * The pool with real processes, which are killed at bad moments. The state directory is made for
 * the test; build users are only names here. Needs no root; what does says so.
 */
#include "pool.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "list.h"
#include "tests/unit.h"

enum {
	N_WAITERS = 5,
	N_CRASHES = 200,
	QUEUE_MAX = 64,
	WAIT_MS = 250, /* as pool.h tells the caller */
	PATIENCE_MS = 30000,
};

#define SCRATCH "0123456789abcdef"

static char state[] = "/tmp/hatch-pool-XXXXXX";
static char user_names[][8] = { "hatch1", "hatch2" };
static struct build_user users[] = {
	{ .name = user_names[0], .uid = 30001 },
	{ .name = user_names[1], .uid = 30002 },
};

static void path_below(char ret[PATH_MAX], const char *name)
{
	if (snprintf(ret, PATH_MAX, "%s/%s", state, name) >= PATH_MAX)
		abort();
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
	return ftw->level > 0 ? remove(path) : 0;
}

static void empty_state(void)
{
	(void)nftw(state, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static struct pool open_pool(size_t n_users)
{
	struct pool pool;
	struct error err = { 0 };

	if (pool_open(state, users, n_users, &pool, &err) < 0) {
		printf("%s\n", err.text);
		abort();
	}
	return pool;
}

static struct pool fresh_pool(size_t n_users)
{
	empty_state();
	return open_pool(n_users);
}

static int try_slot(struct pool *pool, struct slot *ret, uint64_t *ret_ahead)
{
	struct error err = { 0 };
	struct standing place = { .ahead = *ret_ahead };
	int r = pool_try(pool, ret, &place, &err);

	*ret_ahead = place.ahead;
	if (r < 0)
		printf("  pool_try: %s\n", err.text);
	return r;
}

/* As the monitor waits. Returns what pool_try() returned, 0 after timeout_ms. */
static int wait_for_slot(struct pool *pool, struct slot *ret, uint64_t *ret_ahead, int timeout_ms)
{
	int64_t end_ms = clock_now_ms() + timeout_ms;
	int r;

	while ((r = try_slot(pool, ret, ret_ahead)) == 0 && clock_now_ms() < end_ms) {
		struct pollfd change = { .fd = pool->change_fd, .events = POLLIN };

		(void)poll(&change, 1, WAIT_MS);
	}
	return r;
}

static size_t count_tickets(const struct pool *pool)
{
	char path[PATH_MAX];
	size_t n = 0;

	/* A number is never given twice while it is in use, and tests give few. */
	for (int i = 1; i < 100; i++) {
		struct stat status;

		(void)snprintf(path, sizeof(path), "%d", i);
		n += fstatat(pool->queue_fd, path, &status, AT_SYMLINK_NOFOLLOW) == 0;
	}
	return n;
}

static off_t lock_size(const char *user)
{
	char path[PATH_MAX];
	struct stat status;

	(void)snprintf(path, sizeof(path), "%s/pool/%s", state, user);
	return stat(path, &status) < 0 ? -1 : status.st_size;
}

static struct slot_record some_record(void)
{
	return (struct slot_record){
		.scratch = "0123456789abcdef",
		.cgroup = "/sys/fs/cgroup/hatch.slice/0123456789abcdef",
	};
}

/* ---- children ---- */

struct child {
	pid_t pid;
	int from_fd; /* it says one byte at a time */
	int to_fd;   /* a byte here lets it end */
};

/* Not until the other end is closed: children that were started later hold it too. */
static void wait_for_end(int to_fd)
{
	char byte;

	(void)fd_read_some(to_fd, &byte, 1);
}

static void say(int from_fd, char byte)
{
	if (fd_write_full(from_fd, &byte, 1) < 0)
		_exit(2);
}

static struct child start(void (*run)(int from_fd, int to_fd))
{
	struct child child;
	int from[2], to[2];

	if (pipe2(from, O_CLOEXEC) < 0 || pipe2(to, O_CLOEXEC) < 0)
		abort();
	child.pid = fork();
	if (child.pid == 0) {
		(void)close(from[0]);
		(void)close(to[1]);
		run(from[1], to[0]);
		_exit(0);
	}
	(void)close(from[1]);
	(void)close(to[0]);
	child.from_fd = from[0];
	child.to_fd = to[1];
	return child;
}

/* What a child says next, 0 if it ended, '?' if nothing comes. */
static char hear(const struct child *child, int timeout_ms)
{
	struct pollfd said = { .fd = child->from_fd, .events = POLLIN };
	char byte;

	if (poll(&said, 1, timeout_ms) <= 0)
		return '?';
	return fd_read_some(child->from_fd, &byte, 1) == 1 ? byte : '\0';
}

static void let_end(const struct child *child)
{
	(void)fd_write_full(child->to_fd, "e", 1);
}

static void finish(struct child *child)
{
	let_end(child);
	(void)close(child->to_fd);
	(void)waitpid(child->pid, NULL, 0);
	(void)close(child->from_fd);
}

static void kill_child(struct child *child)
{
	(void)kill(child->pid, SIGKILL);
	finish(child);
}

/* Takes a slot at once, says so, keeps it. */
static void holder(int from_fd, int to_fd)
{
	struct pool pool = open_pool(ARRAY_SIZE(users));
	struct slot slot;
	uint64_t n_ahead = 0;
	int r = try_slot(&pool, &slot, &n_ahead);

	say(from_fd, r > 0 ? 'h' : '-');
	wait_for_end(to_fd);
	if (r > 0)
		slot_done(&slot);
	pool_done(&pool);
}

/* The same, and has made something. */
static void recording_holder(int from_fd, int to_fd)
{
	struct pool pool = open_pool(ARRAY_SIZE(users));
	struct slot slot;
	struct slot_record record = some_record();
	uint64_t n_ahead = 0;
	int r = try_slot(&pool, &slot, &n_ahead);

	if (r > 0 && slot_write_record(&slot, &record, NULL) < 0)
		r = -1;
	say(from_fd, r > 0 ? 'h' : '-');
	wait_for_end(to_fd);
	if (r > 0)
		slot_done(&slot);
	pool_done(&pool);
}

/* Has a child of its own, as the monitor has init; both know the lock. */
static void holder_with_init(int from_fd, int to_fd)
{
	struct pool pool = open_pool(ARRAY_SIZE(users));
	struct slot slot;
	uint64_t n_ahead = 0;

	if (try_slot(&pool, &slot, &n_ahead) <= 0)
		_exit(2);
	if (fork() == 0) {
		say(from_fd, 'i');
		wait_for_end(to_fd);
		_exit(0);
	}
	(void)pause();
}

/* Waits in the queue; says '0' + place whenever it changes, 'h' when it has a slot. */
static void waiter(int from_fd, int to_fd)
{
	struct pool pool = open_pool(ARRAY_SIZE(users));
	struct slot slot;
	uint64_t n_ahead = 0, told = UINT64_MAX;
	int r;

	if (pool_join(&pool, QUEUE_MAX, NULL) < 0) {
		say(from_fd, '-');
		_exit(1);
	}
	while ((r = try_slot(&pool, &slot, &n_ahead)) == 0) {
		struct pollfd change = { .fd = pool.change_fd, .events = POLLIN };

		if (n_ahead != told)
			say(from_fd, (char)('0' + n_ahead));
		told = n_ahead;
		(void)poll(&change, 1, WAIT_MS);
	}
	say(from_fd, r > 0 ? 'h' : '-');
	wait_for_end(to_fd);
	if (r > 0)
		slot_done(&slot);
	pool_done(&pool);
}

/* ---- taking and giving back ---- */

static void each_user_is_held_by_one_request_only(void)
{
	struct pool a = fresh_pool(2), b = open_pool(2);
	struct slot slots[2] = { { .lock_fd = -1 }, { .lock_fd = -1 } }, none = { .lock_fd = -1 };
	uint64_t n_ahead = 99;

	check(try_slot(&a, &slots[0], &n_ahead) == 1);
	check(try_slot(&b, &slots[1], &n_ahead) == 1);
	check(slots[0].user == &users[0] && slots[1].user == &users[1]);
	n_ahead = 99;
	check(try_slot(&a, &none, &n_ahead) == 0 && n_ahead == 0);
	slot_done(&slots[0]);
	check(slots[0].lock_fd == -1);
	check(try_slot(&b, &slots[0], &n_ahead) == 1 && slots[0].user == &users[0]);
	slot_done(&slots[0]);
	slot_done(&slots[1]);
	pool_done(&a);
	pool_done(&b);
}

static void empty_objects_can_be_released(void)
{
	struct pool pool = { 0 };
	struct slot slot = { 0 }, none = { .lock_fd = -1 };

	pool_done(&pool);
	pool_done(&pool);
	slot_done(&slot);
	slot_done(&none);
	slot_abandon(&none);
	check(fcntl(0, F_GETFD) >= 0);
}

static void all_descriptors_are_close_on_exec(void)
{
	struct pool pool = fresh_pool(1);
	struct slot slot = { .lock_fd = -1 };
	uint64_t n_ahead = 0;

	check(pool_join(&pool, QUEUE_MAX, NULL) == 0);
	check(fcntl(pool.pool_fd, F_GETFD) == FD_CLOEXEC);
	check(fcntl(pool.scratch_fd, F_GETFD) == FD_CLOEXEC);
	check(fcntl(pool.queue_fd, F_GETFD) == FD_CLOEXEC);
	check(fcntl(pool.change_fd, F_GETFD) == FD_CLOEXEC);
	check(fcntl(pool.ticket_fd, F_GETFD) == FD_CLOEXEC);
	check(try_slot(&pool, &slot, &n_ahead) == 1);
	check(fcntl(slot.lock_fd, F_GETFD) == FD_CLOEXEC);
	slot_done(&slot);
	pool_done(&pool);
}

static void without_build_users_nobody_waits_for_one(void)
{
	struct pool pool = fresh_pool(0);
	struct slot slot;
	struct standing place;

	check(pool_try(&pool, &slot, &place, NULL) == -ENOENT);
	pool_done(&pool);
}

static void a_slot_is_free_when_its_holder_is_killed(void)
{
	struct pool pool = fresh_pool(1);
	struct child child = start(holder);
	struct slot slot;
	uint64_t n_ahead = 0;

	check(hear(&child, PATIENCE_MS) == 'h');
	check(try_slot(&pool, &slot, &n_ahead) == 0);
	kill_child(&child);
	check(wait_for_slot(&pool, &slot, &n_ahead, PATIENCE_MS) == 1);
	slot_done(&slot);
	pool_done(&pool);
}

static void a_slot_stays_taken_until_the_last_process_of_its_holder_is_dead(void)
{
	struct pool pool = fresh_pool(1);
	struct child child = start(holder_with_init);
	struct slot slot;
	uint64_t n_ahead = 0;

	check(hear(&child, PATIENCE_MS) == 'i');
	(void)kill(child.pid, SIGKILL);
	(void)waitpid(child.pid, NULL, 0);
	check(wait_for_slot(&pool, &slot, &n_ahead, 300) == 0);
	let_end(&child); /* now init ends too */
	check(wait_for_slot(&pool, &slot, &n_ahead, PATIENCE_MS) == 1);
	slot_done(&slot);
	(void)close(child.to_fd);
	(void)close(child.from_fd);
	pool_done(&pool);
}

static void giving_back_does_not_unlock_what_init_still_holds(void)
{
	struct pool pool = fresh_pool(1);
	struct slot slot, other;
	uint64_t n_ahead = 0;
	int init_fd;

	check(try_slot(&pool, &slot, &n_ahead) == 1);
	init_fd = dup(slot.lock_fd);
	slot_done(&slot);
	check(try_slot(&pool, &other, &n_ahead) == 0);
	(void)close(init_fd);
	check(try_slot(&pool, &other, &n_ahead) == 1);
	slot_done(&other);
	pool_done(&pool);
}

/* ---- the queue ---- */

static void waiters_are_served_in_order_of_arrival(void)
{
	struct pool pool = fresh_pool(2);
	struct child holders[2] = { start(holder), start(holder) }, waiters[N_WAITERS];

	check(hear(&holders[0], PATIENCE_MS) == 'h' && hear(&holders[1], PATIENCE_MS) == 'h');
	for (int i = 0; i < N_WAITERS; i++) {
		waiters[i] = start(waiter);
		check(hear(&waiters[i], PATIENCE_MS) == '0' + i); /* is in the queue now */
	}
	check(count_tickets(&pool) == N_WAITERS);

	/* One slot after the other: the first waiter gets it, the others move up. */
	finish(&holders[0]);
	check(hear(&waiters[0], PATIENCE_MS) == 'h');
	for (int i = 1; i < N_WAITERS; i++)
		check(hear(&waiters[i], PATIENCE_MS) == '0' + i - 1);
	finish(&holders[1]);
	check(hear(&waiters[1], PATIENCE_MS) == 'h');
	for (int i = 2; i < N_WAITERS; i++) {
		check(hear(&waiters[i], PATIENCE_MS) == '0' + i - 2);
		/* Nobody further behind got it. */
		check(hear(&waiters[i], 0) == '?');
	}
	for (int i = 0; i + 2 < N_WAITERS; i++) {
		finish(&waiters[i]);
		check(hear(&waiters[i + 2], PATIENCE_MS) == 'h');
		for (int k = i + 3; k < N_WAITERS; k++)
			check(hear(&waiters[k], PATIENCE_MS) == '0' + k - i - 3);
	}
	finish(&waiters[N_WAITERS - 2]);
	finish(&waiters[N_WAITERS - 1]);
	check(count_tickets(&pool) == 0);
	pool_done(&pool);
}

static void nobody_overtakes_a_waiting_request(void)
{
	struct pool first = fresh_pool(1), second = open_pool(1);
	struct slot held, slot;
	uint64_t n_ahead = 0;

	check(try_slot(&first, &held, &n_ahead) == 1);
	check(pool_join(&first, QUEUE_MAX, NULL) == 0);
	slot_done(&held);
	/* A slot is free, but it is not for one who has just come. */
	check(try_slot(&second, &slot, &n_ahead) == 0 && n_ahead == 1);
	check(try_slot(&first, &slot, &n_ahead) == 1);
	check(count_tickets(&first) == 0 && first.ticket_fd == -1);
	slot_done(&slot);
	check(try_slot(&second, &slot, &n_ahead) == 1);
	slot_done(&slot);
	pool_done(&first);
	pool_done(&second);
}

static void a_killed_waiter_leaves_the_queue(void)
{
	struct pool pool = fresh_pool(2);
	struct child holders[2] = { start(holder), start(holder) }, waiters[3];

	check(hear(&holders[0], PATIENCE_MS) == 'h' && hear(&holders[1], PATIENCE_MS) == 'h');
	for (int i = 0; i < 3; i++) {
		waiters[i] = start(waiter);
		check(hear(&waiters[i], PATIENCE_MS) == '0' + i);
	}
	kill_child(
		&waiters[1]); /* from the middle of the line: only news of it makes others look */
	check(hear(&waiters[2], PATIENCE_MS) == '1');
	check(count_tickets(&pool) == 2);
	kill_child(&waiters[0]);
	check(hear(&waiters[2], PATIENCE_MS) == '0');
	check(count_tickets(&pool) == 1);
	finish(&holders[0]);
	check(hear(&waiters[2], PATIENCE_MS) == 'h');
	finish(&waiters[2]);
	finish(&holders[1]);
	check(count_tickets(&pool) == 0);
	pool_done(&pool);
}

static void one_who_gives_up_leaves_the_queue(void)
{
	struct pool pool = fresh_pool(1), other = open_pool(1);
	struct slot slot;
	uint64_t n_ahead = 0;

	check(pool_join(&pool, QUEUE_MAX, NULL) == 0);
	check(count_tickets(&other) == 1);
	pool_done(&pool);
	check(count_tickets(&other) == 0);
	check(try_slot(&other, &slot, &n_ahead) == 1);
	slot_done(&slot);
	pool_done(&other);
}

static void refuses_one_more_than_may_wait(void)
{
	struct pool pools[3];
	struct error err = { 0 };

	empty_state();
	for (size_t i = 0; i < ARRAY_SIZE(pools); i++)
		pools[i] = open_pool(1);
	check(pool_join(&pools[0], 0, &err) == -EBUSY);
	check(pool_join(&pools[0], 2, &err) == 0);
	check(pool_join(&pools[1], 2, &err) == 0);
	check(pool_join(&pools[2], 2, &err) == -EBUSY);
	check(pools[2].change_fd == -1 && pools[2].ticket_fd == -1);
	check(err.blame == BLAME_HOST && strstr(err.text, "2 requests wait"));
	pool_done(&pools[0]);
	check(pool_join(&pools[2], 2, &err) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(pools); i++)
		pool_done(&pools[i]);
}

static void dead_tickets_do_not_count_against_the_limit(void)
{
	struct pool pool = fresh_pool(1);

	for (int i = 1; i <= 3; i++) {
		char name[16];
		int fd;

		(void)snprintf(name, sizeof(name), "%d", i);
		fd = openat(pool.queue_fd, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		(void)close(fd);
	}
	check(pool_join(&pool, 1, NULL) == 0);
	check(pool.ticket == 4 && count_tickets(&pool) == 1);
	pool_done(&pool);
}

static void a_change_of_the_line_is_told_at_once(void)
{
	struct pool holding = fresh_pool(1), waiting = open_pool(1);
	struct slot slot;
	uint64_t n_ahead = 0;
	struct pollfd change;

	check(try_slot(&holding, &slot, &n_ahead) == 1);
	check(pool_join(&waiting, QUEUE_MAX, NULL) == 0);
	check(try_slot(&waiting, &slot, &n_ahead) == 0);
	change = (struct pollfd){ .fd = waiting.change_fd, .events = POLLIN };
	/* Who only looks, at slots and tickets, wakes nobody. */
	check(try_slot(&waiting, &slot, &n_ahead) == 0);
	check(try_slot(&holding, &slot, &n_ahead) == 0 && n_ahead == 1);
	check(poll(&change, 1, 50) == 0);
	slot_done(&slot);
	check(poll(&change, 1, 0) == 1);
	check(try_slot(&waiting, &slot, &n_ahead) == 1);
	slot_done(&slot);
	pool_done(&holding);
	pool_done(&waiting);
}

/* fs.inotify.max_user_instances may be used up: then the caller looks every 250 ms. */
static void waits_without_inotify_too(void)
{
	struct pool pool = fresh_pool(1), other = open_pool(1);
	struct slot slot, taken;
	uint64_t n_ahead = 0;

	check(try_slot(&pool, &slot, &n_ahead) == 1);
	check(pool_join(&other, QUEUE_MAX, NULL) == 0);
	fd_closep(&other.change_fd);
	check(try_slot(&other, &taken, &n_ahead) == 0);
	slot_done(&slot);
	check(try_slot(&other, &taken, &n_ahead) == 1);
	slot_done(&taken);
	pool_done(&pool);
	pool_done(&other);
}

/* ---- resources ---- */

static char resource_names[][8] = { "seat", "board" };
static struct resource resources[] = { { resource_names[0], 2 }, { resource_names[1], 1 } };

static void set_needs(struct pool *pool, uint64_t seats, uint64_t boards)
{
	const uint64_t counts[] = { seats, boards };

	pool->resources = resources;
	pool->n_resources = ARRAY_SIZE(resources);
	pool->claim = (struct claim){ .request = SCRATCH, .builder = "b" };
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		if (counts[i] > 0) {
			struct units *need = &pool->claim.needs[pool->claim.n_needs++];

			strcpy(need->name, resource_names[i]);
			need->count = counts[i];
		}
}

/* Needs so much and tries once; "" if it was taken, else what is awaited. */
static const char *try_needs(struct pool *pool, uint64_t seats, uint64_t boards, struct slot *ret)
{
	static struct standing place;
	struct error err = { 0 };
	int r;

	set_needs(pool, seats, boards);
	r = pool_try(pool, ret, &place, &err);
	if (r < 0)
		printf("  pool_try: %s\n", err.text);
	return r > 0 ? "" : r == 0 ? place.awaits : "?";
}

static void takes_all_that_is_needed_or_nothing(void)
{
	struct pool pool = fresh_pool(2);
	struct slot slots[2], none = { .lock_fd = -1 };

	check(strcmp(try_needs(&pool, 1, 1, &slots[0]), "") == 0 && slots[0].n_units == 2);
	check(fcntl(slots[0].unit_fds[1], F_GETFD) == FD_CLOEXEC);
	/* A seat is free, the board is not; nothing of it is taken. */
	check(strcmp(try_needs(&pool, 1, 1, &none), "board") == 0);
	check(strcmp(try_needs(&pool, 2, 0, &none), "seat") == 0 && none.lock_fd == -1);
	check(strcmp(try_needs(&pool, 1, 0, &slots[1]), "") == 0 && slots[1].user == &users[1]);
	slot_done(&slots[0]);
	/* Now a seat and the board, and the slot. */
	check(strcmp(try_needs(&pool, 2, 0, &none), "seat") == 0);
	check(strcmp(try_needs(&pool, 1, 1, &slots[0]), "") == 0);
	check(strcmp(try_needs(&pool, 0, 0, &none), "slot") == 0);
	slot_done(&slots[0]);
	slot_done(&slots[1]);
	check(strcmp(try_needs(&pool, 2, 1, &slots[0]), "") == 0 && slots[0].n_units == 3);
	slot_done(&slots[0]);
	pool_done(&pool);
}

static void a_unit_stays_taken_until_the_last_process_of_its_holder_is_dead(void)
{
	struct pool pool = fresh_pool(2);
	struct slot slot, none = { .lock_fd = -1 };
	int init_fd;

	check(strcmp(try_needs(&pool, 0, 1, &slot), "") == 0);
	init_fd = dup(slot.unit_fds[0]);
	slot_done(&slot);
	check(strcmp(try_needs(&pool, 0, 1, &none), "board") == 0);
	(void)close(init_fd);
	check(strcmp(try_needs(&pool, 0, 1, &slot), "") == 0);
	slot_done(&slot);
	pool_done(&pool);
}

static void a_waiter_learns_at_once_that_a_unit_is_free(void)
{
	struct pool pool = fresh_pool(2), waiting = open_pool(2);
	struct slot slot, other;
	struct pollfd change;

	check(strcmp(try_needs(&pool, 0, 1, &slot), "") == 0);
	check(strcmp(try_needs(&waiting, 0, 1, &other), "board") == 0);
	check(pool_join(&waiting, QUEUE_MAX, NULL) == 0);
	check(strcmp(try_needs(&waiting, 0, 1, &other), "board") == 0);
	change = (struct pollfd){ .fd = waiting.change_fd, .events = POLLIN };
	check(poll(&change, 1, 50) == 0);
	slot_done(&slot);
	check(poll(&change, 1, 0) == 1);
	check(strcmp(try_needs(&waiting, 0, 1, &other), "") == 0);
	slot_done(&other);
	pool_done(&pool);
	pool_done(&waiting);
}

static void more_units_than_there_are_now_count_while_they_are_held(void)
{
	struct pool pool = fresh_pool(2);
	struct slot slots[2], none = { .lock_fd = -1 };

	check(strcmp(try_needs(&pool, 1, 0, &slots[0]), "") == 0);
	check(strcmp(try_needs(&pool, 1, 0, &slots[1]), "") == 0);
	resources[0].count = 1;
	slot_done(&slots[0]); /* number 0; number 1 is still held */
	check(strcmp(try_needs(&pool, 1, 0, &none), "seat") == 0);
	slot_done(&slots[1]);
	check(strcmp(try_needs(&pool, 1, 0, &slots[0]), "") == 0);
	check(strcmp(try_needs(&pool, 1, 0, &none), "seat") == 0);
	resources[0].count = 2;
	check(strcmp(try_needs(&pool, 1, 0, &slots[1]), "") == 0);
	slot_done(&slots[0]);
	slot_done(&slots[1]);
	pool_done(&pool);
}

static void one_who_waits_for_a_unit_lets_those_pass_who_do_not_need_it(void)
{
	struct pool pool = fresh_pool(2), waiting = open_pool(2);
	struct slot slots[2], none = { .lock_fd = -1 };

	check(strcmp(try_needs(&pool, 0, 1, &slots[0]), "") == 0);
	set_needs(&waiting, 1, 1);
	check(pool_join(&waiting, QUEUE_MAX, NULL) == 0);
	/* Of the two seats one is kept. */
	check(strcmp(try_needs(&pool, 2, 0, &none), "seat") == 0);
	check(strcmp(try_needs(&pool, 1, 0, &slots[1]), "") == 0);
	slot_done(&slots[1]);
	check(strcmp(try_needs(&pool, 0, 0, &slots[1]), "") == 0);
	slot_done(&slots[1]);
	slot_done(&slots[0]);
	/* Now it lacks only the slot, which nobody takes from it. */
	check(strcmp(try_needs(&pool, 0, 0, &none), "slot") == 0);
	pool_done(&waiting);
	pool_done(&pool);
}

/* ---- records ---- */

struct cleared {
	size_t n_calls;
	const struct build_user *user;
	struct slot_record record;
	int result;
};

static int clear_left(struct pool *pool, const struct build_user *user, struct cleared *cleared,
                      struct error *err)
{
	cleanup_(slot_abandon) struct slot slot = { .lock_fd = -1 };
	int r = pool_take_left(pool, user, &slot, &cleared->record, err);

	if (r <= 0)
		return r;
	cleared->n_calls++;
	cleared->user = user;
	if (cleared->result < 0)
		return error_set(err, BLAME_HOST, -cleared->result, "cannot clear %s", user->name);
	return slot_write_record(&slot, &(struct slot_record){ 0 }, err);
}

/* As the sweeper goes through them: the first error counts, the others are tried all the same. */
static int sweep(struct pool *pool, struct cleared *cleared, struct error *err)
{
	int first = 0;

	for (size_t i = 0; i < pool->n_users; i++) {
		int r = clear_left(pool, &pool->users[i], cleared, first == 0 ? err : NULL);

		first = first < 0 ? first : r;
	}
	return first;
}

static void a_killed_holders_slot_is_swept_before_it_is_used_again(void)
{
	struct pool pool = fresh_pool(1);
	struct child child = start(recording_holder);
	struct cleared cleared = { .result = -EIO };
	struct slot_record record = some_record();
	struct slot slot;
	uint64_t n_ahead = 0;
	struct error err = { 0 };

	check(hear(&child, PATIENCE_MS) == 'h');
	/* While it lives, nothing of it is touched. */
	check(sweep(&pool, &cleared, &err) == 0 && cleared.n_calls == 0);
	kill_child(&child);
	check(try_slot(&pool, &slot, &n_ahead) == 0);
	check(lock_size("hatch1") > 0);

	/* What could not be cleared stays recorded, and the slot stays out of use. */
	check(sweep(&pool, &cleared, &err) == -EIO && cleared.n_calls == 1);
	check(strcmp(err.text, "cannot clear hatch1") == 0);
	check(try_slot(&pool, &slot, &n_ahead) == 0);
	cleared.result = 0;
	check(sweep(&pool, &cleared, &err) == 0 && cleared.n_calls == 2);
	check(cleared.user == &users[0]);
	check(strcmp(cleared.record.scratch, record.scratch) == 0);
	check(strcmp(cleared.record.cgroup, record.cgroup) == 0);
	check(lock_size("hatch1") == 0);
	check(try_slot(&pool, &slot, &n_ahead) == 1);
	slot_done(&slot);
	check(sweep(&pool, &cleared, &err) == 0 && cleared.n_calls == 2);
	pool_done(&pool);
}

/* The kernel lets go of init's locks before it has killed what else is in the sandbox. */
static void a_unit_of_a_killed_holder_is_free_when_its_slot_is_cleared(void)
{
	struct pool pool = fresh_pool(2);
	struct slot_record record = some_record();
	struct cleared cleared = { .result = -EIO };
	struct slot slot, other, none = { .lock_fd = -1 };

	check(strcmp(try_needs(&pool, 0, 1, &slot), "") == 0);
	check(slot_write_record(&slot, &record, NULL) == 0);
	slot_abandon(&slot);
	check(strcmp(try_needs(&pool, 0, 1, &none), "board") == 0);
	check(sweep(&pool, &cleared, NULL) == -EIO);
	check(strcmp(try_needs(&pool, 0, 1, &none), "board") == 0);
	check(strcmp(try_needs(&pool, 2, 0, &other), "") == 0); /* the others are there */
	cleared.result = 0;
	check(sweep(&pool, &cleared, NULL) == 0);
	check(strcmp(try_needs(&pool, 0, 1, &slot), "") == 0);
	slot_done(&slot);
	slot_done(&other);
	pool_done(&pool);
}

static void a_swept_slot_wakes_who_waits(void)
{
	struct pool pool = fresh_pool(1), waiting = open_pool(1);
	struct child child = start(recording_holder);
	struct cleared cleared = { 0 };
	struct slot slot;
	uint64_t n_ahead = 0;
	struct pollfd change;

	check(hear(&child, PATIENCE_MS) == 'h');
	check(pool_join(&waiting, QUEUE_MAX, NULL) == 0);
	kill_child(&child);
	check(try_slot(&waiting, &slot, &n_ahead) == 0);
	change = (struct pollfd){ .fd = waiting.change_fd, .events = POLLIN };
	check(poll(&change, 1, 0) == 0);
	check(sweep(&pool, &cleared, NULL) == 0 && cleared.n_calls == 1);
	check(poll(&change, 1, 0) == 1);
	check(try_slot(&waiting, &slot, &n_ahead) == 1);
	slot_done(&slot);
	pool_done(&pool);
	pool_done(&waiting);
}

static void an_abandoned_slot_keeps_its_record(void)
{
	struct pool pool = fresh_pool(1);
	struct cleared cleared = { 0 };
	struct slot_record record = some_record();
	struct slot slot;
	uint64_t n_ahead = 0;

	check(try_slot(&pool, &slot, &n_ahead) == 1);
	check(slot_write_record(&slot, &record, NULL) == 0);
	slot_abandon(&slot);
	check(slot.lock_fd == -1);
	check(try_slot(&pool, &slot, &n_ahead) == 0);
	check(sweep(&pool, &cleared, NULL) == 0 && cleared.n_calls == 1);
	check(try_slot(&pool, &slot, &n_ahead) == 1);
	slot_done(&slot);
	pool_done(&pool);
}

static void one_slot_that_cannot_be_swept_does_not_stop_the_others(void)
{
	struct pool pool = fresh_pool(2);
	struct cleared cleared = { 0 };
	struct slot_record record = some_record();
	struct slot slots[2];
	uint64_t n_ahead = 0;
	struct error err = { 0 };

	for (size_t i = 0; i < 2; i++) {
		check(try_slot(&pool, &slots[i], &n_ahead) == 1);
		check(slot_write_record(&slots[i], &record, NULL) == 0);
	}
	check(pwrite(slots[0].lock_fd, "rubbish", 7, 0) == 7);
	slot_abandon(&slots[0]);
	slot_abandon(&slots[1]);
	check(sweep(&pool, &cleared, &err) == -EBADMSG);
	check(strstr(err.text, "hatch1"));
	check(cleared.n_calls == 1 && cleared.user == &users[1]);
	check(lock_size("hatch1") > 0 && lock_size("hatch2") == 0);
	pool_done(&pool);
}

/* What is in a lock file, and what the sweep makes of it: -1 refused. */
static void reads_records_strictly(void)
{
	static const struct {
		const char *text;
		bool ok;
		const char *scratch, *cgroup;
	} rows[] = {
		{ "end\n", true, "", "" },
		{ "scratch " SCRATCH "\nend\n", true, SCRATCH, "" },
		{ "cgroup /a b\nend\n", true, "", "/a b" },
		{ "scratch " SCRATCH "\ncgroup /a\nend\n", true, SCRATCH, "/a" },
		/* killed before the longer record of before was cut off */
		{ "scratch " SCRATCH "\nend\n/sys/fs/cgroup/a\nend\n", true, SCRATCH, "" },
		{ "scratch " SCRATCH "\n", false, "", "" },
		{ "scratch " SCRATCH "\nend", false, "", "" },
		{ "scratch 0123456789abcde\nend\n", false, "", "" },
		{ "scratch " SCRATCH "0\nend\n", false, "", "" },
		{ "scratch 0123456789abcdeF\nend\n", false, "", "" },
		{ "scratch ../../etc/passwd\nend\n", false, "", "" },
		{ "scratch \nend\n", false, "", "" },
		{ "cgroup a\nend\n", false, "", "" },
		{ "cgroup \nend\n", false, "", "" },
		{ "\nend\n", false, "", "" },
		{ "other x\nend\n", false, "", "" },
		{ "\xff\nend\n", false, "", "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct pool pool = fresh_pool(1);
		struct cleared cleared = { 0 };
		struct slot slot;
		uint64_t n_ahead = 0;
		int r;

		check(try_slot(&pool, &slot, &n_ahead) == 1);
		check(fd_write_full(slot.lock_fd, rows[i].text, strlen(rows[i].text)) == 0);
		slot_abandon(&slot);
		r = sweep(&pool, &cleared, NULL);
		check(r == (rows[i].ok ? 0 : -EBADMSG));
		check(cleared.n_calls == rows[i].ok);
		check(strcmp(cleared.record.scratch, rows[i].scratch) == 0);
		check(strcmp(cleared.record.cgroup, rows[i].cgroup) == 0);
		if ((r == 0) != rows[i].ok)
			printf("  record: %s\n", rows[i].text);
		pool_done(&pool);
	}
}

static void writes_records_of_every_length(void)
{
	struct pool pool = fresh_pool(1);
	struct slot_record longest = some_record(), record = some_record();
	struct cleared cleared = { 0 };
	struct slot slot;
	uint64_t n_ahead = 0;

	memset(longest.cgroup, 'x', sizeof(longest.cgroup) - 1);
	longest.cgroup[0] = '/';
	check(try_slot(&pool, &slot, &n_ahead) == 1);
	check(slot_write_record(&slot, &longest, NULL) == 0);
	slot_abandon(&slot);
	check(sweep(&pool, &cleared, NULL) == 0);
	check(strcmp(cleared.record.cgroup, longest.cgroup) == 0);

	/* A shorter one over it, and then none. */
	check(try_slot(&pool, &slot, &n_ahead) == 1);
	check(slot_write_record(&slot, &longest, NULL) == 0);
	record.cgroup[0] = '\0';
	check(slot_write_record(&slot, &record, NULL) == 0);
	check(lock_size("hatch1") == (off_t)strlen("scratch " SCRATCH "\nend\n"));
	check(slot_write_record(&slot, &(struct slot_record){ 0 }, NULL) == 0);
	check(lock_size("hatch1") == 0);
	record = (struct slot_record){ .scratch = "../x" };
	check(slot_write_record(&slot, &record, NULL) == -EINVAL);
	record = (struct slot_record){ .cgroup = "/a\nend" };
	check(slot_write_record(&slot, &record, NULL) == -EINVAL);
	check(lock_size("hatch1") == 0);
	check(slot_write_record(&slot, &longest, NULL) == 0);
	slot_done(&slot);
	check(lock_size("hatch1") == 0);
	pool_done(&pool);
}

/* ---- what is listed ---- */

/* One entry of a listing, as text. */
static void check_entry(const struct pool_entry *entry, enum pool_state expected, const char *user,
                        const char *builder)
{
	check(entry->state == expected);
	check(strcmp(entry->user, user) == 0);
	check(strcmp(entry->record.claim.builder, builder) == 0);
}

static void lists_what_runs_waits_and_was_left(void)
{
	struct pool pool = fresh_pool(2), waiting[2] = { open_pool(2), open_pool(2) };
	struct slot slots[2];
	struct slot_record record = some_record();
	struct pool_entry *entries;
	size_t n_entries;
	uint64_t n_ahead = 0;
	struct error err = { 0 };

	record.claim = (struct claim){ .request = SCRATCH, .builder = "runs", .since = 5 };
	for (size_t i = 0; i < 2; i++) {
		check(try_slot(&pool, &slots[i], &n_ahead) == 1);
		check(slot_write_record(&slots[i], &record, NULL) == 0);
	}
	for (size_t i = 0; i < 2; i++) {
		waiting[i].claim = record.claim;
		strcpy(waiting[i].claim.builder, i == 0 ? "waits" : "waits-too");
		check(pool_join(&waiting[i], QUEUE_MAX, NULL) == 0);
	}
	slot_abandon(&slots[0]);
	check(pool_list(state, &entries, &n_entries, &err) == 0 && n_entries == 4);
	check_entry(&entries[0], POOL_RUNNING, "hatch2", "runs");
	check_entry(&entries[1], POOL_WAITING, "", "waits");
	check_entry(&entries[2], POOL_WAITING, "", "waits-too");
	check_entry(&entries[3], POOL_LEFT, "hatch1", "runs");
	check(entries[1].ahead == 0 && entries[2].ahead == 1);
	check(strcmp(entries[0].record.cgroup, record.cgroup) == 0);
	check(entries[0].record.claim.since == 5);
	free(entries);

	pool_done(&waiting[0]);
	slot_done(&slots[1]);
	check(pool_list(state, &entries, &n_entries, &err) == 0 && n_entries == 2);
	check_entry(&entries[0], POOL_WAITING, "", "waits-too");
	check(entries[0].ahead == 0);
	free(entries);
	pool_done(&waiting[1]);
	pool_done(&pool);
}

static void listing_wakes_nobody_and_leaves_no_trace(void)
{
	struct pool pool = fresh_pool(1), waiting = open_pool(1);
	struct pool_entry *entries;
	size_t n_entries;
	struct slot slot;
	uint64_t n_ahead = 0;
	struct pollfd change;

	check(try_slot(&pool, &slot, &n_ahead) == 1);
	check(pool_join(&waiting, QUEUE_MAX, NULL) == 0);
	check(try_slot(&waiting, &slot, &n_ahead) == 0);
	change = (struct pollfd){ .fd = waiting.change_fd, .events = POLLIN };
	check(pool_list(state, &entries, &n_entries, NULL) == 0 && n_entries == 2);
	/* Held, but nothing is said yet. */
	check_entry(&entries[0], POOL_RUNNING, "hatch1", "");
	free(entries);
	check(poll(&change, 1, 50) == 0);
	pool_done(&waiting);
	pool_done(&pool);

	empty_state();
	check(pool_list(state, &entries, &n_entries, NULL) == 0 && n_entries == 0);
	free(entries);
	check(access(state, F_OK) == 0 && rmdir(state) == 0 && mkdir(state, 0700) == 0);
}

/* Who lists must never make a free slot look taken. */
static void listing_keeps_nobody_from_a_free_slot(void)
{
	enum { N_ROUNDS = 3000, N_LISTINGS = 5000 };
	struct pool pool = fresh_pool(1);
	struct slot slot;
	struct standing place;
	size_t n_missed = 0;
	bool lists = true;
	atomic_uint *n_listed;
	pid_t pid;

	n_listed = mmap(NULL, sizeof(*n_listed), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
	                -1, 0);
	check(n_listed != MAP_FAILED);
	pid = fork();
	if (pid == 0)
		for (;;) {
			struct pool_entry *entries;
			size_t n_entries;

			if (pool_list(state, &entries, &n_entries, NULL) < 0)
				_exit(1);
			free(entries);
			atomic_fetch_add(n_listed, 1);
		}
	/* Also where one of them waits for the other's processor. */
	for (int i = 0; lists && (i < N_ROUNDS || atomic_load(n_listed) < N_LISTINGS); i++) {
		if (pool_try(&pool, &slot, &place, NULL) == 1)
			slot_done(&slot);
		else
			n_missed++;
		lists = waitpid(pid, NULL, WNOHANG) == 0;
	}
	check(n_missed == 0 && lists);
	if (lists) {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
	}
	(void)munmap(n_listed, sizeof(*n_listed));
	pool_done(&pool);
}

/* ---- who may have put it there ---- */

static void refuses_a_lock_that_others_could_have_made(void)
{
	enum { LINK, SECOND_NAME, MODE, FIFO };
	static const char *const wrong[] = {
		[LINK] = "is a symbolic link",
		[SECOND_NAME] = "has a second name",
		[MODE] = "does not have mode 0600",
		[FIFO] = "is not a regular file",
	};

	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct pool pool = fresh_pool(1);
		struct slot slot;
		struct standing place;
		struct error err = { 0 };
		int fd = openat(pool.pool_fd, "there", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

		(void)close(fd);
		if (i == LINK)
			check(symlinkat("there", pool.pool_fd, "hatch1") == 0);
		if (i == SECOND_NAME)
			check(linkat(pool.pool_fd, "there", pool.pool_fd, "hatch1", 0) == 0);
		if (i == MODE)
			check(renameat(pool.pool_fd, "there", pool.pool_fd, "hatch1") == 0 &&
			      fchmodat(pool.pool_fd, "hatch1", 0640, 0) == 0);
		if (i == FIFO)
			check(mkfifoat(pool.pool_fd, "hatch1", 0600) == 0);
		check(pool_try(&pool, &slot, &place, &err) == -EPERM);
		check(strstr(err.text, "hatch1") && strstr(err.text, wrong[i]));
		pool_done(&pool);
	}
}

static void refuses_a_lock_of_another_user(void)
{
	struct pool pool = fresh_pool(1);
	struct slot slot;
	struct standing place;
	struct error err = { 0 };
	int fd = openat(pool.pool_fd, "hatch1", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	check(fchown(fd, 30001, 30001) == 0);
	(void)close(fd);
	check(pool_try(&pool, &slot, &place, &err) == -EPERM);
	check(strstr(err.text, "belongs to somebody else"));
	pool_done(&pool);
}

static void refuses_a_ticket_that_is_a_link(void)
{
	struct pool pool = fresh_pool(1);
	struct error err = { 0 };

	check(symlinkat("/etc/passwd", pool.queue_fd, "7") == 0);
	check(pool_join(&pool, QUEUE_MAX, &err) == -EPERM);
	check(strstr(err.text, "symbolic link"));
	pool_done(&pool);
}

static void refuses_state_directories_that_others_may_enter(void)
{
	static const char *const names[] = { "pool", "scratch", "pool/queue", "pool/resource" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct pool pool = fresh_pool(1);
		struct error err = { 0 };
		char whole[PATH_MAX], path[PATH_MAX];

		pool_done(&pool);
		path_below(whole, names[i]);
		check(chmod(whole, 0710) == 0);
		check(pool_open(state, users, 1, &pool, &err) == -EPERM);
		check(strstr(err.text, "0710") && err.hint[0]);
		/* Nor is one followed somewhere else. */
		path_below(path, "elsewhere");
		check(rename(whole, path) == 0 && symlink(path, whole) == 0);
		check(pool_open(state, users, 1, &pool, &err) == -ENOTDIR);
	}
}

static void makes_the_state_directories_for_itself_alone(void)
{
	static const char *const names[] = { "pool", "scratch", "pool/queue", "pool/resource" };
	struct pool pool = fresh_pool(1);

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char path[PATH_MAX];
		struct stat status;

		path_below(path, names[i]);
		check(stat(path, &status) == 0 && (status.st_mode & 07777) == 0700 &&
		      status.st_uid == geteuid());
	}
	pool_done(&pool);
}

static void refuses_users_named_like_our_own_files(void)
{
	static char names[][16] = { "queue", "queue.lock", "queue.round", "resource",
		                    "..",    ".",          "a/b",         "" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct build_user user = { .name = names[i] };
		struct pool pool;

		check(pool_open(state, &user, 1, &pool, NULL) == -EINVAL);
	}
}

/* ---- killed at any moment ---- */

static _Noreturn void request_without_end(unsigned int seed)
{
	struct slot_record record = some_record();

	for (;;) {
		struct pool pool = open_pool(ARRAY_SIZE(users));
		struct slot slot = { .lock_fd = -1 };
		uint64_t n_ahead = 0;
		int r;

		set_needs(&pool, (uint64_t)rand_r(&seed) % 3, (uint64_t)rand_r(&seed) % 2);
		r = try_slot(&pool, &slot, &n_ahead);
		if (r == 0 && pool_join(&pool, QUEUE_MAX, NULL) == 0)
			r = wait_for_slot(&pool, &slot, &n_ahead, 10000);
		if (r < 0)
			_exit(3);
		if (r > 0 && slot_write_record(&slot, &record, NULL) < 0)
			_exit(4);
		(void)usleep((useconds_t)rand_r(&seed) % 500);
		slot_done(&slot);
		pool_done(&pool);
	}
}

/* Nothing is held, nothing is left; each user can be had. */
static bool pool_is_clean(void)
{
	struct pool pool = open_pool(ARRAY_SIZE(users));
	struct cleared cleared = { 0 };
	struct slot slots[ARRAY_SIZE(users)];
	uint64_t n_ahead = 0;
	size_t n_taken = 0;

	if (sweep(&pool, &cleared, NULL) < 0 || pool_join(&pool, QUEUE_MAX, NULL) < 0)
		return false;
	set_needs(&pool, 2, 1); /* all there are */
	while (n_taken < ARRAY_SIZE(users) && try_slot(&pool, &slots[n_taken], &n_ahead) > 0) {
		n_taken++;
		set_needs(&pool, 0, 0);
	}
	for (size_t i = 0; i < n_taken; i++)
		slot_done(&slots[i]);
	pool_done(&pool);
	pool = open_pool(ARRAY_SIZE(users));
	if (count_tickets(&pool) > 0)
		n_taken = 0;
	pool_done(&pool);
	return n_taken == ARRAY_SIZE(users) && lock_size("hatch1") == 0 && lock_size("hatch2") == 0;
}

static void is_whole_after_a_kill_at_any_moment(void)
{
	unsigned int seed = 1;
	size_t n_unclean = 0, n_ended = 0;

	empty_state();
	for (int i = 0; i < N_CRASHES; i++) {
		pid_t pids[3];
		int status;

		for (size_t k = 0; k < ARRAY_SIZE(pids); k++) {
			pids[k] = fork();
			if (pids[k] == 0)
				request_without_end(seed + (unsigned int)k);
		}
		(void)usleep((useconds_t)rand_r(&seed) % 4000);
		for (size_t k = 0; k < ARRAY_SIZE(pids); k++) {
			(void)usleep((useconds_t)rand_r(&seed) % 300);
			(void)kill(pids[k], SIGKILL);
			(void)waitpid(pids[k], &status, 0);
			n_ended += !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL;
		}
		n_unclean += !pool_is_clean();
	}
	check(n_unclean == 0);
	check(n_ended == 0);
}

/* While some are killed, others run: no two ever hold the same user. */
static void two_never_hold_one_user_or_one_unit(void)
{
	enum { N_PROCESSES = 6, N_ROUNDS = 60 };
	pid_t pids[N_PROCESSES];
	size_t n_bad = 0;

	empty_state();
	for (size_t k = 0; k < N_PROCESSES; k++) {
		pids[k] = fork();
		if (pids[k] != 0)
			continue;
		for (int i = 0; i < N_ROUNDS; i++) {
			struct pool pool = open_pool(ARRAY_SIZE(users));
			struct slot slot = { .lock_fd = -1 };
			uint64_t n_ahead = 0;
			char path[64];
			int r, fd;

			set_needs(&pool, 0, k % 2); /* half of them need the one board */
			r = try_slot(&pool, &slot, &n_ahead);
			if (r == 0 && pool_join(&pool, QUEUE_MAX, NULL) == 0)
				r = wait_for_slot(&pool, &slot, &n_ahead, 20000);
			if (r <= 0)
				_exit(1);
			/* O_EXCL sees the second one. */
			(void)snprintf(path, sizeof(path), "%s.inside", slot.user->name);
			fd = openat(pool.scratch_fd, path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC,
			            0600);
			if (fd < 0 || (k % 2 && mkdirat(pool.scratch_fd, "board.inside", 0700) < 0))
				_exit(2);
			(void)close(fd);
			(void)usleep(200);
			(void)unlinkat(pool.scratch_fd, path, 0);
			if (k % 2)
				(void)unlinkat(pool.scratch_fd, "board.inside", AT_REMOVEDIR);
			slot_done(&slot);
			pool_done(&pool);
		}
		_exit(0);
	}
	for (size_t k = 0; k < N_PROCESSES; k++) {
		int status;

		(void)waitpid(pids[k], &status, 0);
		n_bad += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	}
	check(n_bad == 0);
}

static const char *needs_root(void)
{
	return geteuid() == 0 ? NULL : "only root can give a file away";
}

static const struct unit_case cases[] = {
	CASE(each_user_is_held_by_one_request_only),
	CASE(empty_objects_can_be_released),
	CASE(all_descriptors_are_close_on_exec),
	CASE(without_build_users_nobody_waits_for_one),
	CASE(a_slot_is_free_when_its_holder_is_killed),
	CASE(a_slot_stays_taken_until_the_last_process_of_its_holder_is_dead),
	CASE(giving_back_does_not_unlock_what_init_still_holds),
	CASE(waiters_are_served_in_order_of_arrival),
	CASE(nobody_overtakes_a_waiting_request),
	CASE(a_killed_waiter_leaves_the_queue),
	CASE(one_who_gives_up_leaves_the_queue),
	CASE(refuses_one_more_than_may_wait),
	CASE(dead_tickets_do_not_count_against_the_limit),
	CASE(a_change_of_the_line_is_told_at_once),
	CASE(waits_without_inotify_too),
	CASE(takes_all_that_is_needed_or_nothing),
	CASE(a_unit_stays_taken_until_the_last_process_of_its_holder_is_dead),
	CASE(a_waiter_learns_at_once_that_a_unit_is_free),
	CASE(more_units_than_there_are_now_count_while_they_are_held),
	CASE(one_who_waits_for_a_unit_lets_those_pass_who_do_not_need_it),
	CASE(a_unit_of_a_killed_holder_is_free_when_its_slot_is_cleared),
	CASE(a_killed_holders_slot_is_swept_before_it_is_used_again),
	CASE(a_swept_slot_wakes_who_waits),
	CASE(an_abandoned_slot_keeps_its_record),
	CASE(one_slot_that_cannot_be_swept_does_not_stop_the_others),
	CASE(reads_records_strictly),
	CASE(writes_records_of_every_length),
	CASE(lists_what_runs_waits_and_was_left),
	CASE(listing_wakes_nobody_and_leaves_no_trace),
	CASE(listing_keeps_nobody_from_a_free_slot),
	CASE(refuses_a_lock_that_others_could_have_made),
	CASE_IF(refuses_a_lock_of_another_user, needs_root),
	CASE(refuses_a_ticket_that_is_a_link),
	CASE(refuses_state_directories_that_others_may_enter),
	CASE(makes_the_state_directories_for_itself_alone),
	CASE(refuses_users_named_like_our_own_files),
	CASE(is_whole_after_a_kill_at_any_moment),
	CASE(two_never_hold_one_user_or_one_unit),
};

int main(void)
{
	int result;

	(void)umask(022);
	(void)signal(SIGPIPE, SIG_IGN); /* a child that was killed does not listen */
	if (!mkdtemp(state)) {
		perror(state);
		return EXIT_FAILURE;
	}
	result = unit_run(cases, ARRAY_SIZE(cases));
	empty_state();
	(void)rmdir(state);
	return result;
}
