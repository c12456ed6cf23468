/* Reads locks and tickets for people. */
#include "list.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fair.h"
#include "lib/base/text.h"
#include "lock.h"

struct list {
	struct pool_entry *entries; /* owned */
	size_t n_entries, room;
};

static void list_done(struct list *list)
{
	free(list->entries);
}

static int add_entry(struct list *list, const struct pool_entry *entry, struct error *err)
{
	if (list->n_entries == list->room) {
		size_t room = list->room ? 2 * list->room : 16;
		struct pool_entry *entries = reallocarray(list->entries, room, sizeof(*entries));

		if (!entries)
			return error_set(err, BLAME_HOST, ENOMEM, "no memory to list requests");
		list->entries = entries;
		list->room = room;
	}
	list->entries[list->n_entries++] = *entry;
	return 0;
}

static bool is_ticket(const char *name, uint64_t *ret)
{
	return text_to_u64(name, INT64_MAX, ret) == 0;
}

/* One lock file as an entry, if it says anything or is held. The guard is held, so nobody takes it
 * meanwhile, and trying it keeps nobody out. */
static int read_entry(struct list *list, int dir_fd, const char *name, uint64_t ticket,
                      struct error *err)
{
	struct pool_entry entry = { .ticket = ticket };
	cleanup_fd int fd = -1;
	int r = lock_open(dir_fd, name, O_RDONLY, &fd, err), said, is_free;

	if (r <= 0)
		return r;
	is_free = lock_try(fd, name, err);
	if (is_free < 0)
		return is_free;
	said = lock_read(fd, name, &entry.record, NULL);
	if (is_free && (ticket || said == 0))
		return 0;
	entry.state = ticket ? POOL_WAITING : is_free ? POOL_LEFT : POOL_RUNNING;
	if (!ticket)
		(void)snprintf(entry.user, sizeof(entry.user), "%s", name);
	return add_entry(list, &entry, err);
}

/* The lock files of one directory; those that begin with a letter, or tickets. */
static int read_directory(struct list *list, int parent_fd, const char *name, bool tickets,
                          struct error *err)
{
	cleanup_directory DIR *dir = fd_open_directory(parent_fd, name);
	const struct dirent *file;

	if (!dir)
		return errno == ENOENT
		               ? 0
		               : error_errno(err, BLAME_HOST, errno, "cannot read the pool");
	while ((file = readdir(dir))) {
		uint64_t ticket = 0;
		int r;

		if (file->d_type == DT_DIR || strcmp(file->d_name, LOCK_GUARD_NAME) == 0 ||
		    strcmp(file->d_name, LOCK_ROUND_NAME) == 0 ||
		    (tickets && !is_ticket(file->d_name, &ticket)))
			continue;
		r = read_entry(list, dirfd(dir), file->d_name, ticket, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int compare_entries(const void *a, const void *b)
{
	const struct pool_entry *x = a, *y = b;

	if (x->state != y->state)
		return (x->state > y->state) - (x->state < y->state);
	if (x->state == POOL_WAITING)
		return fair_compare(&(struct waiter){ x->ticket, x->record.claim },
		                    &(struct waiter){ y->ticket, y->record.claim });
	return x->record.claim.since < y->record.claim.since   ? -1
	       : x->record.claim.since > y->record.claim.since ? 1
	                                                       : strcmp(x->user, y->user);
}

static void count_places(struct list *list)
{
	uint64_t ahead = 0;

	for (size_t i = 0; i < list->n_entries; i++)
		if (list->entries[i].state == POOL_WAITING)
			list->entries[i].ahead = ahead++;
}

static int read_pool(struct list *list, const char *state_dir, struct error *err)
{
	cleanup_fd int state_fd = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC), pool_fd = -1,
		       guard_fd = -1;
	int r;

	if (state_fd >= 0)
		pool_fd = openat(state_fd, "pool", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (pool_fd < 0)
		return errno == ENOENT ? 0
		                       : error_errno(err, BLAME_HOST, errno, "cannot open %s/pool",
		                                     state_dir);
	r = lock_open(pool_fd, LOCK_GUARD_NAME, O_RDONLY, &guard_fd, err);
	if (r <= 0)
		return r;
	r = lock_wait(guard_fd, LOCK_GUARD_NAME, err);
	if (r == 0)
		r = read_directory(list, pool_fd, ".", false, err);
	return r < 0 ? r : read_directory(list, pool_fd, "queue", true, err);
}

int pool_list(const char *state_dir, struct pool_entry **ret, size_t *ret_n, struct error *err)
{
	cleanup_(list_done) struct list list = { 0 };
	sigset_t all, before;
	int r;

	/* Nobody at a terminal stops us while everybody waits for the guard. */
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_BLOCK, &all, &before);
	r = read_pool(&list, state_dir, err);
	(void)sigprocmask(SIG_SETMASK, &before, NULL);
	if (r < 0)
		return r;
	if (list.n_entries > 0)
		qsort(list.entries, list.n_entries, sizeof(*list.entries), compare_entries);
	count_places(&list);
	*ret = take_ptr(&list.entries);
	*ret_n = list.n_entries;
	return 0;
}
