/*
 * Who of those who wait comes next: the order of the line, and what those behind may do meanwhile.
 * Numbers in, an answer out; nothing here knows a file.
 *
 * A request joins the line of what it awaits, one of a resource or, if it lacks only a build user,
 * that of the slots. It gets a round: the one that is now, or the next after the last of its
 * caller's in that line. Lower rounds come first, in one round those who were the first of their
 * caller, then who came first. So callers take turns, and many requests of one delay a request of
 * another by one turn. The round that is now moves on as requests are served (start-time fair
 * queueing), so nobody is overtaken for ever.
 *
 * What somebody in the line needs of the resources is kept for him from all behind him, also what
 * is free already while he waits for something else: so one who needs several is not starved by
 * those who need one of them, and nobody holds a part of what he needs while he waits. A slot is
 * kept only for those who lack nothing else: who waits for a resource blocks nobody who does not
 * need it.
 */
#pragma once

#include "claim.h"

/* Of one resource. */
struct stock {
	const char *name;
	int64_t n_free; /* below 0 while more is held than there is since its count was lowered */
};

struct waiter {
	uint64_t ticket; /* its number */
	struct claim claim;
};

/* Where a request stands. */
struct standing {
	const char *awaits; /* a resource (one of the claim's), or RESOURCE_SLOT */
	uint64_t ahead;     /* so many who await it come first */
};

/* fair_compare - for qsort(): who of two waiters comes first */
int fair_compare(const void *a, const void *b);

/*
 * fair_judge - is there enough of the resources, after all who come first have theirs?
 *
 * line    those who come first, in order
 * stocks  what is free now; changed. What is not among them does not exist any more
 * Returns true if a slot is all that is lacking and nobody ahead lacks only that; else, and for a
 *         caller who then finds no slot, *ret is the place
 */
bool fair_judge(const struct waiter *line, size_t n_line, const struct claim *own,
                struct stock *stocks, size_t n_stocks, struct standing *ret);

/*
 * fair_join - the round of one who joins the line, as claim->round and claim->first
 *
 * line    all who wait
 * stocks  what is free now; changed
 * now     the round that is now
 */
void fair_join(const struct waiter *line, size_t n_line, struct stock *stocks, size_t n_stocks,
               uint64_t now, struct claim *claim);

/* fair_serve - the round that is now, after a waiter of this round was served */
uint64_t fair_serve(uint64_t now, uint64_t round);
