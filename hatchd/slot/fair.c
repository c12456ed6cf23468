/* Start-time fair queueing, with reservations: see fair.h. */
#include "fair.h"

#include <string.h>

#include "hatchd/config/config.h"

int fair_compare(const void *a, const void *b)
{
	const struct waiter *x = a, *y = b;

	if (x->claim.round != y->claim.round)
		return x->claim.round < y->claim.round ? -1 : 1;
	if (x->claim.first != y->claim.first)
		return x->claim.first ? -1 : 1;
	return (x->ticket > y->ticket) - (x->ticket < y->ticket);
}

static struct stock *find_stock(struct stock *stocks, size_t n_stocks, const char *name)
{
	for (size_t i = 0; i < n_stocks; i++)
		if (strcmp(stocks[i].name, name) == 0)
			return &stocks[i];
	return NULL;
}

/* The first thing that there is too little of, or NULL. */
static const char *find_lack(const struct claim *claim, struct stock *stocks, size_t n_stocks)
{
	for (size_t i = 0; i < claim->n_needs; i++) {
		const struct units *need = &claim->needs[i];
		const struct stock *stock = find_stock(stocks, n_stocks, need->name);

		if (!stock || stock->n_free < (int64_t)need->count)
			return need->name;
	}
	return NULL;
}

static void reserve(const struct claim *claim, struct stock *stocks, size_t n_stocks)
{
	for (size_t i = 0; i < claim->n_needs; i++) {
		struct stock *stock = find_stock(stocks, n_stocks, claim->needs[i].name);

		if (stock)
			stock->n_free -= (int64_t)claim->needs[i].count;
	}
}

static bool needs(const struct claim *claim, const char *name)
{
	for (size_t i = 0; i < claim->n_needs; i++)
		if (strcmp(claim->needs[i].name, name) == 0)
			return true;
	return false;
}

static uint64_t count_needing(const struct waiter *line, size_t n_line, const char *name)
{
	uint64_t n = 0;

	for (size_t i = 0; i < n_line; i++)
		n += needs(&line[i].claim, name);
	return n;
}

bool fair_judge(const struct waiter *line, size_t n_line, const struct claim *own,
                struct stock *stocks, size_t n_stocks, struct standing *ret)
{
	uint64_t n_for_slot = 0;
	const char *lack;

	for (size_t i = 0; i < n_line; i++) {
		n_for_slot += !find_lack(&line[i].claim, stocks, n_stocks);
		reserve(&line[i].claim, stocks, n_stocks);
	}
	lack = find_lack(own, stocks, n_stocks);
	if (lack)
		*ret = (struct standing){ lack, count_needing(line, n_line, lack) };
	else
		*ret = (struct standing){ RESOURCE_SLOT, n_for_slot };
	return !lack && n_for_slot == 0;
}

/* Who stands in the line of one resource: all who need it. In that of the slots: who lacks nothing
 * else, which is seen before each of them is given what is kept for him. */
struct competition {
	uint64_t lowest;   /* round; UINT64_MAX: nobody is there */
	uint64_t own_last; /* round; 0: none of the same caller */
};

static void compete(struct competition *in, const struct waiter *waiter, const struct claim *own)
{
	if (waiter->claim.round < in->lowest)
		in->lowest = waiter->claim.round;
	if (claim_same_caller(&waiter->claim, own) && waiter->claim.round > in->own_last)
		in->own_last = waiter->claim.round;
}

void fair_join(const struct waiter *line, size_t n_line, struct stock *stocks, size_t n_stocks,
               uint64_t now, struct claim *claim)
{
	struct competition slots = { .lowest = UINT64_MAX }, resource = slots, *in = &slots;
	const char *lack;

	for (size_t i = 0; i < n_line; i++) {
		if (!find_lack(&line[i].claim, stocks, n_stocks))
			compete(&slots, &line[i], claim);
		reserve(&line[i].claim, stocks, n_stocks);
	}
	lack = find_lack(claim, stocks, n_stocks);
	if (lack) {
		in = &resource;
		for (size_t i = 0; i < n_line; i++)
			if (needs(&line[i].claim, lack))
				compete(in, &line[i], claim);
		/* While a resource was busy the rounds went on without its line: its newest is not
		 * put behind all of it for that. */
		if (in->lowest < now)
			now = in->lowest + 1;
	}
	claim->first = in->own_last == 0;
	claim->round = in->own_last >= now ? in->own_last + 1 : now;
}

uint64_t fair_serve(uint64_t now, uint64_t round)
{
	return round >= now ? round + 1 : now;
}
