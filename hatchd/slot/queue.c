/*
 * The line before the pool: one lock file for each request that waits, named by its number. A
 * ticket is alive as long as its lock is held, so nothing needs to be told when a waiter is killed;
 * whoever comes across a dead one removes it.
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

#include "lib/base/fd.h"
#include "lib/base/text.h"
#include "lock.h"

enum {
	TICKET_NAME_MAX = 20,    /* digits */
	ENTRIES_LEN = 16 * 1024, /* of directory entries read at once */
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

/* The numbers that stand in the queue's directory, dead ones among them. */
struct line {
	uint64_t *tickets; /* owned */
	size_t n_tickets, room;
};

static void line_done(struct line *line)
{
	free(line->tickets);
}

static int line_add(struct line *line, uint64_t ticket)
{
	if (line->n_tickets == line->room) {
		size_t room = line->room ? 2 * line->room : 64;
		uint64_t *tickets = reallocarray(line->tickets, room, sizeof(*tickets));

		if (!tickets)
			return -ENOMEM;
		line->tickets = tickets;
		line->room = room;
	}
	line->tickets[line->n_tickets++] = ticket;
	return 0;
}

static int compare_tickets(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int line_read(const struct pool *pool, struct line *ret, struct error *err)
{
	cleanup_(line_done) struct line line = { 0 };
	_Alignas(struct dirent64) char entries[ENTRIES_LEN];
	ssize_t n;

	if (lseek(pool->queue_fd, 0, SEEK_SET) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot read the queue");
	while ((n = getdents64(pool->queue_fd, entries, sizeof(entries))) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct dirent64 *entry = (const void *)(entries + at);
			uint64_t ticket;

			at += entry->d_reclen;
			if (ticket_from_name(entry->d_name, &ticket) && line_add(&line, ticket) < 0)
				return error_set(err, BLAME_HOST, ENOMEM,
				                 "no memory for the queue");
		}
	}
	if (n < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot read the queue");
	if (line.n_tickets > 0)
		qsort(line.tickets, line.n_tickets, sizeof(*line.tickets), compare_tickets);
	*ret = line;
	line = (struct line){ 0 };
	return 0;
}

/* Is the ticket's holder alive? If not, it is removed. 1, 0 or a negative errno. */
static int ticket_lives(const struct pool *pool, uint64_t ticket, struct error *err)
{
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
	if (r == 0)
		return 1;
	if (unlinkat(pool->queue_fd, name, 0) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot remove the dead ticket %s",
		                   name);
	return 0;
}

/* How many of the line live and have a smaller number than ours, or any if we have none. */
static int line_count_ahead(const struct pool *pool, const struct line *line, bool look_at_all,
                            uint64_t *ret, struct error *err)
{
	uint64_t n_ahead = 0;

	for (size_t i = 0; i < line->n_tickets; i++) {
		int lives = 1;

		if (pool->ticket_fd >= 0 && line->tickets[i] >= pool->ticket)
			break;
		/* Until the first living one is found, we may be the first. */
		if (look_at_all || n_ahead == 0)
			lives = ticket_lives(pool, line->tickets[i], err);
		if (lives < 0)
			return lives;
		n_ahead += (uint64_t)lives;
	}
	*ret = n_ahead;
	return 0;
}

int queue_count_ahead(const struct pool *pool, bool look_at_all, uint64_t *ret, struct error *err)
{
	cleanup_(line_done) struct line line = { 0 };
	int r;

	r = line_read(pool, &line, err);
	if (r < 0)
		return r;
	return line_count_ahead(pool, &line, look_at_all, ret, err);
}

static int take_ticket(struct pool *pool, uint64_t ticket, struct error *err)
{
	const struct slot_record record = { .claim = pool->claim };
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
	r = record.claim.request[0] ? lock_write(fd, name, &record, err) : 0;
	if (r < 0)
		return r;
	pool->ticket_fd = take_fd(&fd);
	pool->ticket = ticket;
	return 0;
}

int queue_join(struct pool *pool, uint64_t queue_max, struct error *err)
{
	cleanup_(line_done) struct line line = { 0 };
	uint64_t n_waiting, last;
	int r;

	r = line_read(pool, &line, err);
	if (r < 0)
		return r;
	r = line_count_ahead(pool, &line, true, &n_waiting, err);
	if (r < 0)
		return r;
	if (n_waiting >= queue_max) {
		(void)error_set(err, BLAME_HOST, EBUSY,
		                "all build users are busy, and %" PRIu64 " requests wait already",
		                n_waiting);
		(void)error_hint(err, "Try again later; \"queue_max\" in hatchd.json says how many "
		                      "may wait");
		return -EBUSY;
	}
	last = line.n_tickets > 0 ? line.tickets[line.n_tickets - 1] : 0;
	return take_ticket(pool, last + 1, err);
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
			if (!(event->mask & IN_CLOSE_WRITE))
				continue;
			news.closed = true;
			if (event->len > 0 && ticket_from_name(event->name, &ticket))
				news.waiter_closed = true;
		}
	}
	return news;
}
