/*
 * The line before the pool. For pool.c only. Whoever numbers, counts or takes anything holds the
 * guard meanwhile.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/error.h"
#include "pool.h"

/* queue_guard - wait for the guard; closing *ret_fd gives it back */
int queue_guard(const struct pool *pool, int *ret_fd, struct error *err);

/*
 * queue_look - bring pool->line up to date: who waits, without us, in the order of fair.h
 *
 * look_at_all  true: each is looked at, to see whether it still lives; false: only those that are
 *              new, and the first
 */
int queue_look(struct pool *pool, bool look_at_all, struct error *err);

/* queue_count_ahead - how many of pool->line come before us, or without a ticket all */
size_t queue_count_ahead(const struct pool *pool);

/* queue_read_round - the round that is now */
int queue_read_round(const struct pool *pool, uint64_t *ret, struct error *err);

/* queue_join - take a ticket that says pool->claim; after queue_look() */
int queue_join(struct pool *pool, struct error *err);

/* queue_serve - note that our ticket, if we have one, was served, and leave */
int queue_serve(struct pool *pool, struct error *err);

/* queue_leave - give the ticket back, and listen no longer */
void queue_leave(struct pool *pool);

/* What has happened in pool and line since the last time. */
struct queue_news {
	bool closed;        /* somebody closed a lock, and has released it or is about to */
	bool waiter_closed; /* also a ticket: somebody died who waited */
};

/* queue_watch - set pool->change_fd; it stays -1 where the kernel has no inotify left for us */
int queue_watch(struct pool *pool, struct error *err);

/* queue_read_news - what came in, without waiting */
struct queue_news queue_read_news(const struct pool *pool);
