/*
 * The line before the pool: one lock file for each request that waits, named by its number, which
 * says who it is and what it needs. A ticket is alive as long as its lock is held, so nothing needs
 * to be told when a waiter is killed; whoever comes across a dead one removes it.
 *
 * Waiting costs no time: inotify tells when a file open for writing is closed, and the kernel
 * closes what a killed process held. For this to work, who only looks must not open for writing:
 * his own closing would wake everybody, who would look, and so on.
 */
#include "queue.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "fair.h"
#include "lib/base/fd.h"
#include "lib/base/text.h"
#include "lock.h"

enum {
	TICKET_NAME_MAX = 20,    /* digits */
	ENTRIES_LEN = 16 * 1024, /* of directory entries read at once */
	ROUND_LEN_MAX = 24,      /* digits and a newline */
};

/* Of a file in the queue: what we make is smaller, and one more always fits. */
static const uint64_t ticket_max = INT64_MAX;

int queue_guard(const struct pool *pool, int *ret_fd, struct error *err)
{
	cleanup_fd int fd = -1;
	int r = lock_open(pool->pool_fd, LOCK_GUARD_NAME, O_RDONLY | O_CREAT, &fd, err);

	if (r > 0)
		r = lock_wait(fd, LOCK_GUARD_NAME, err);
	if (r < 0)
		return r;
	*ret_fd = take_fd(&fd);
	return 0;
}

static void ticket_name(uint64_t ticket, char ret[TICKET_NAME_MAX + 1])
{
	(void)snprintf(ret, TICKET_NAME_MAX + 1, "%" PRIu64, ticket);
}

static bool ticket_from_name(const char *name, uint64_t *ret)
{
	return text_to_u64(name, ticket_max, ret) == 0;
}

/* The numbers that stand in the queue's directory, dead ones among them; sorted. */
struct numbers {
	uint64_t *items; /* owned */
	size_t n_items, room;
};

static void numbers_done(struct numbers *numbers)
{
	free(numbers->items);
}

static int numbers_add(struct numbers *numbers, uint64_t ticket)
{
	if (numbers->n_items == numbers->room) {
		size_t room = numbers->room ? 2 * numbers->room : 64;
		uint64_t *items = reallocarray(numbers->items, room, sizeof(*items));

		if (!items)
			return -ENOMEM;
		numbers->items = items;
		numbers->room = room;
	}
	numbers->items[numbers->n_items++] = ticket;
	return 0;
}

static int compare_numbers(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int numbers_read(const struct pool *pool, struct numbers *ret, struct error *err)
{
	cleanup_(numbers_done) struct numbers numbers = { 0 };
	_Alignas(struct dirent64) char entries[ENTRIES_LEN];
	ssize_t n;

	if (lseek(pool->queue_fd, 0, SEEK_SET) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot read the queue");
	while ((n = getdents64(pool->queue_fd, entries, sizeof(entries))) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct dirent64 *entry = (const void *)(entries + at);
			uint64_t ticket;

			at += entry->d_reclen;
			if (ticket_from_name(entry->d_name, &ticket) &&
			    numbers_add(&numbers, ticket) < 0)
				return error_set(err, BLAME_HOST, ENOMEM,
				                 "no memory for the queue");
		}
	}
	if (n < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot read the queue");
	if (numbers.n_items > 0)
		qsort(numbers.items, numbers.n_items, sizeof(*numbers.items), compare_numbers);
	*ret = numbers;
	numbers = (struct numbers){ 0 };
	return 0;
}

/*
 * Is the ticket's holder alive, and what does it say? A dead one is removed. One that says nothing
 * that could be understood lives all the same, and comes first. 1, 0 or a negative errno.
 */
static int look_at_ticket(const struct pool *pool, uint64_t ticket, struct waiter *ret,
                          struct error *err)
{
	struct slot_record record = { 0 };
	char name[TICKET_NAME_MAX + 1];
	cleanup_fd int fd = -1;
	int r;

	ticket_name(ticket, name);
	r = lock_open(pool->queue_fd, name, O_RDONLY, &fd, err);
	if (r <= 0)
		return r;
	r = lock_try(fd, name, err);
	if (r < 0)
		return r;
	if (r == 0) {
		(void)lock_read(fd, name, &record, NULL);
		*ret = (struct waiter){ ticket, record.claim };
		return 1;
	}
	if (unlinkat(pool->queue_fd, name, 0) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot remove the dead ticket %s",
		                   name);
	return 0;
}

static void line_remove(struct line *line, size_t i)
{
	line->n_waiters--;
	memmove(&line->waiters[i], &line->waiters[i + 1],
	        (line->n_waiters - i) * sizeof(*line->waiters));
}

static bool line_has(const struct line *line, uint64_t ticket)
{
	for (size_t i = 0; i < line->n_waiters; i++)
		if (line->waiters[i].ticket == ticket)
			return true;
	return false;
}

/* A ticket never changes, so each is read once. */
static int line_add_new(struct pool *pool, const struct numbers *numbers, struct error *err)
{
	struct line *line = &pool->line;

	if (line->room < numbers->n_items) {
		struct waiter *waiters = reallocarray(line->waiters, numbers->n_items,
		                                      sizeof(*waiters));

		if (!waiters)
			return error_set(err, BLAME_HOST, ENOMEM, "no memory for the queue");
		line->waiters = waiters;
		line->room = numbers->n_items;
	}
	for (size_t i = 0; i < numbers->n_items; i++) {
		uint64_t ticket = numbers->items[i];
		int r;

		if ((pool->ticket_fd >= 0 && ticket == pool->ticket) || line_has(line, ticket))
			continue;
		r = look_at_ticket(pool, ticket, &line->waiters[line->n_waiters], err);
		if (r < 0)
			return r;
		line->n_waiters += (size_t)r;
	}
	return 0;
}

/* Those whose tickets are gone; the dead among the others are removed as well, or only as long as
 * they stand first: who may be next must be alive. */
static int line_remove_old(struct pool *pool, const struct numbers *numbers, bool look_at_all,
                           struct error *err)
{
	struct line *line = &pool->line;

	for (size_t i = line->n_waiters; i-- > 0;) {
		uint64_t ticket = line->waiters[i].ticket;
		int r = numbers->n_items > 0 &&
		        bsearch(&ticket, numbers->items, numbers->n_items, sizeof(*numbers->items),
		                compare_numbers) != NULL;

		if (r > 0 && look_at_all)
			r = look_at_ticket(pool, ticket, &line->waiters[i], err);
		if (r < 0)
			return r;
		if (r == 0)
			line_remove(line, i);
	}
	while (!look_at_all && line->n_waiters > 0) {
		int r = look_at_ticket(pool, line->waiters[0].ticket, &line->waiters[0], err);

		if (r != 0)
			return r < 0 ? r : 0;
		line_remove(line, 0);
	}
	return 0;
}

int queue_look(struct pool *pool, bool look_at_all, struct error *err)
{
	cleanup_(numbers_done) struct numbers numbers = { 0 };
	int r = numbers_read(pool, &numbers, err);

	if (r == 0 && pool->line.n_waiters > 0)
		r = line_remove_old(pool, &numbers, look_at_all, err);
	if (r == 0 && numbers.n_items > 0)
		r = line_add_new(pool, &numbers, err);
	if (r < 0)
		return r;
	if (pool->line.n_waiters > 0)
		qsort(pool->line.waiters, pool->line.n_waiters, sizeof(*pool->line.waiters),
		      fair_compare);
	pool->last_ticket = numbers.n_items > 0 ? numbers.items[numbers.n_items - 1] : 0;
	return 0;
}

size_t queue_count_ahead(const struct pool *pool)
{
	const struct waiter own = { pool->ticket, pool->claim };
	size_t n = 0;

	if (pool->ticket_fd < 0)
		return pool->line.n_waiters;
	while (n < pool->line.n_waiters && fair_compare(&pool->line.waiters[n], &own) < 0)
		n++;
	return n;
}

/* Without the file, the round of those who come first. */
int queue_read_round(const struct pool *pool, uint64_t *ret, struct error *err)
{
	char text[ROUND_LEN_MAX + 1];
	cleanup_fd int fd = -1;
	ssize_t n = 0;
	int r = lock_open(pool->pool_fd, LOCK_ROUND_NAME, O_RDONLY, &fd, err);

	if (r > 0)
		n = pread(fd, text, ROUND_LEN_MAX, 0);
	if (r < 0 || n < 0)
		return r < 0 ? r : error_errno(err, BLAME_HOST, errno, "cannot read the round");
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (text_to_u64(text, INT64_MAX, ret) < 0 || *ret == 0)
		*ret = pool->line.n_waiters > 0 && pool->line.waiters[0].claim.round > 0
		               ? pool->line.waiters[0].claim.round
		               : 1;
	return 0;
}

/* It only ever grows, so nothing of a longer number can stay behind it. */
static int write_round(const struct pool *pool, uint64_t round, struct error *err)
{
	char text[ROUND_LEN_MAX + 1];
	cleanup_fd int fd = -1;
	int r = lock_open(pool->pool_fd, LOCK_ROUND_NAME, O_WRONLY | O_CREAT, &fd, err);
	int len = snprintf(text, sizeof(text), "%" PRIu64 "\n", round);

	if (r < 0)
		return r;
	if (pwrite(fd, text, (size_t)len, 0) != len)
		return error_errno(err, BLAME_HOST, errno, "cannot write the round");
	return 0;
}

int queue_join(struct pool *pool, struct error *err)
{
	const struct slot_record record = { .claim = pool->claim };
	uint64_t ticket = pool->last_ticket + 1;
	char name[TICKET_NAME_MAX + 1];
	cleanup_fd int fd = -1;
	int r;

	ticket_name(ticket, name);
	r = lock_open(pool->queue_fd, name, O_RDWR | O_CREAT | O_EXCL, &fd, err);
	if (r < 0)
		return r;
	r = lock_try(fd, name, err);
	if (r < 0)
		return r;
	if (r == 0)
		return error_set(err, BLAME_HOST, EBUSY,
		                 "another program locked ticket %s as soon as it was made", name);
	r = lock_write(fd, name, &record, err);
	if (r < 0) {
		(void)unlinkat(pool->queue_fd, name, 0);
		return r;
	}
	pool->ticket_fd = take_fd(&fd);
	pool->ticket = ticket;
	return 0;
}

int queue_serve(struct pool *pool, struct error *err)
{
	uint64_t now = 0, next;
	int r = 0;

	if (pool->ticket_fd >= 0) {
		r = queue_read_round(pool, &now, err);
		next = fair_serve(now, pool->claim.round);
		if (r == 0 && next != now)
			r = write_round(pool, next, err);
	}
	queue_leave(pool);
	return r;
}

void queue_leave(struct pool *pool)
{
	char name[TICKET_NAME_MAX + 1];

	if (pool->ticket_fd >= 0) {
		/* Removed while still locked: nobody ever sees a ticket without its holder. */
		ticket_name(pool->ticket, name);
		(void)unlinkat(pool->queue_fd, name, 0);
		fd_closep(&pool->ticket_fd);
	}
	fd_closep(&pool->change_fd);
	free(pool->line.waiters);
	pool->line = (struct line){ 0 };
}

static int watch_directory(int watch_fd, int dir_fd, uint32_t events)
{
	char path[sizeof("/proc/self/fd/") + 3 * sizeof(int)];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", dir_fd);
	return inotify_add_watch(watch_fd, path, events | IN_ONLYDIR) < 0 ? -errno : 0;
}

int queue_watch(struct pool *pool, struct error *err)
{
	cleanup_fd int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	int r;

	/* One user may have few of them (fs.inotify), and others need some too. The caller, who
	 * looks every 250 ms anyway, then does not learn of a change at once, that is all. */
	if (fd < 0 && errno == EMFILE)
		return 0;
	if (fd < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot watch the pool");
	r = watch_directory(fd, pool->pool_fd, IN_CLOSE_WRITE);
	if (r == 0)
		r = watch_directory(fd, pool->resource_fd, IN_CLOSE_WRITE);
	if (r == 0)
		r = watch_directory(fd, pool->queue_fd,
		                    IN_CLOSE_WRITE | IN_DELETE | IN_EXCL_UNLINK);
	if (r == -ENOSPC)
		return 0;
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot watch the pool");
	pool->change_fd = take_fd(&fd);
	return 0;
}

struct queue_news queue_read_news(const struct pool *pool)
{
	_Alignas(struct inotify_event) char events[4096];
	struct queue_news news = { 0 };
	ssize_t n;

	while (pool->change_fd >= 0 &&
	       (n = fd_read_some(pool->change_fd, events, sizeof(events))) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *event = (const void *)(events + at);
			uint64_t ticket;

			at += (ssize_t)(sizeof(*event) + event->len);
			if (event->mask & IN_Q_OVERFLOW)
				news = (struct queue_news){ true, true };
			if (!(event->mask & IN_CLOSE_WRITE) ||
			    (event->len > 0 && strcmp(event->name, LOCK_ROUND_NAME) == 0))
				continue;
			news.closed = true;
			if (event->len > 0 && ticket_from_name(event->name, &ticket))
				news.waiter_closed = true;
		}
	}
	return news;
}
