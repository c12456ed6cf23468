/*
 * The order of the line: tables for what is seen at a glance, and a model of a whole day, in which
 * requests come, end and are killed at random while rules are held against each step.
 */
#include "fair.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "tests/unit.h"

enum { SEAT, BOARD, N_RESOURCES };

static const char *const resource_names[N_RESOURCES] = { "seat", "board" };

/* A claim of a user; so many seats and boards. */
static struct claim make_claim(uid_t uid, uint64_t seats, uint64_t boards)
{
	const uint64_t counts[N_RESOURCES] = { seats, boards };
	struct claim claim = { .uid = uid };

	for (size_t i = 0; i < N_RESOURCES; i++)
		if (counts[i] > 0) {
			struct units *need = &claim.needs[claim.n_needs++];

			strcpy(need->name, resource_names[i]);
			need->count = counts[i];
		}
	return claim;
}

static void fill_stocks(struct stock stocks[N_RESOURCES], const int64_t n_free[N_RESOURCES])
{
	for (size_t i = 0; i < N_RESOURCES; i++)
		stocks[i] = (struct stock){ resource_names[i], n_free[i] };
}

/* ---- at a glance ---- */

enum { ROW_WAITERS = 3 };

/* Who waits, one letter each: '-' only for a slot, 's' for a seat, 'b' for the board, '2' for both
 */
static size_t make_line(const char *letters, struct waiter line[ROW_WAITERS])
{
	size_t n = strlen(letters);

	for (size_t i = 0; i < n; i++)
		line[i] = (struct waiter){
			.ticket = i + 1,
			.claim = make_claim((uid_t)i + 100, letters[i] == 's' || letters[i] == '2',
			                    letters[i] == 'b' || letters[i] == '2'),
		};
	return n;
}

static void those_behind_pass_only_if_they_need_nothing_that_is_awaited(void)
{
	static const struct {
		const char *ahead, *own;
		int64_t n_free[N_RESOURCES]; /* seats, boards */
		bool may;
		const char *awaits;
		uint64_t n_ahead;
	} rows[] = {
		{ "", "-", { 0, 0 }, true, "slot", 0 },
		{ "", "s", { 1, 0 }, true, "slot", 0 },
		{ "", "s", { 0, 1 }, false, "seat", 0 },
		{ "", "2", { 1, 1 }, true, "slot", 0 },
		{ "", "2", { 1, 0 }, false, "board", 0 },
		{ "", "2", { 0, 0 }, false, "seat", 0 },
		/* who lacks only a slot is not passed */
		{ "-", "-", { 0, 0 }, false, "slot", 1 },
		{ "s", "-", { 1, 0 }, false, "slot", 1 },
		{ "--", "s", { 1, 0 }, false, "slot", 2 },
		/* who lacks a resource is, by those who do not need it */
		{ "s", "-", { 0, 0 }, true, "slot", 0 },
		{ "ss", "-", { 0, 0 }, true, "slot", 0 },
		{ "s", "b", { 0, 1 }, true, "slot", 0 },
		{ "s", "s", { 0, 0 }, false, "seat", 1 },
		{ "sbs", "s", { 0, 0 }, false, "seat", 2 },
		/* both are kept for who needs both */
		{ "2", "s", { 1, 0 }, false, "seat", 1 },
		{ "2", "b", { 0, 1 }, false, "board", 1 },
		{ "2", "s", { 2, 0 }, true, "slot", 0 },
		{ "2s", "s", { 2, 0 }, false, "seat", 2 },
		{ "2", "-", { 1, 0 }, true, "slot", 0 },
		/* a seat for the first, none for the second */
		{ "ss", "-", { 1, 0 }, false, "slot", 1 },
		/* more is held than there is now */
		{ "", "s", { -1, 0 }, false, "seat", 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct waiter line[ROW_WAITERS], own[ROW_WAITERS];
		struct stock stocks[N_RESOURCES];
		struct standing place;
		size_t n = make_line(rows[i].ahead, line);

		(void)make_line(rows[i].own, own);
		fill_stocks(stocks, rows[i].n_free);
		check(fair_judge(line, n, &own[0].claim, stocks, N_RESOURCES, &place) ==
		      rows[i].may);
		check(strcmp(place.awaits, rows[i].awaits) == 0 && place.ahead == rows[i].n_ahead);
		if (unit_failed)
			printf("  row %zu: %s %llu\n", i, place.awaits,
			       (unsigned long long)place.ahead);
	}
}

static void a_resource_that_is_there_no_more_is_awaited(void)
{
	struct claim own = make_claim(1, 1, 0);
	struct standing place;

	check(!fair_judge(NULL, 0, &own, NULL, 0, &place));
	check(strcmp(place.awaits, "seat") == 0);
}

/* Who joins one after the other, by their letters as users, and in what order they stand then. */
static void callers_take_turns(void)
{
	static const struct {
		const char *come, *stand;
	} rows[] = {
		{ "a", "a" },           { "aaa", "aaa" },       { "ab", "ab" },
		{ "aab", "aba" },       { "aaaab", "abaaa" },   { "aaaabb", "ababaa" },
		{ "aaabbc", "abcaba" }, { "aabbcc", "abcabc" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct waiter line[8];
		char stand[9] = "";
		size_t n = 0;

		for (; rows[i].come[n]; n++) {
			struct claim claim = make_claim((uid_t)rows[i].come[n], 0, 0);

			fair_join(line, n, NULL, 0, 1, &claim);
			line[n] = (struct waiter){ n + 1, claim };
			qsort(line, n + 1, sizeof(*line), fair_compare);
		}
		for (size_t k = 0; k < n; k++)
			stand[k] = (char)line[k].claim.uid;
		check(strcmp(stand, rows[i].stand) == 0);
		if (unit_failed)
			printf("  row %zu: %s\n", i, stand);
	}
}

static void the_line_of_a_busy_resource_keeps_its_own_pace(void)
{
	struct stock stocks[N_RESOURCES];
	struct waiter line[3] = { 0 };
	struct claim late = make_claim(2, 1, 0), slot_only = make_claim(2, 0, 0);

	/* Three of user 1 wait for a seat, while the rounds of the slots went on to 1000. */
	for (size_t i = 0; i < 3; i++) {
		line[i] = (struct waiter){ i + 1, make_claim(1, 1, 0) };
		line[i].claim.round = i + 5;
	}
	fill_stocks(stocks, (int64_t[]){ 0, 0 });
	fair_join(line, 3, stocks, N_RESOURCES, 1000, &late);
	check(late.round == 6 && late.first);
	fill_stocks(stocks, (int64_t[]){ 0, 0 });
	fair_join(line, 3, stocks, N_RESOURCES, 1000, &slot_only);
	check(slot_only.round == 1000 && slot_only.first);
}

static void the_round_moves_on_and_never_back(void)
{
	check(fair_serve(5, 5) == 6);
	check(fair_serve(5, 9) == 10);
	check(fair_serve(5, 4) == 5);
}

/* ---- a day ---- */

enum {
	MODEL_SLOTS = 3,
	MODEL_RUNNING = MODEL_SLOTS,
	MODEL_WAITING_MAX = 60,
	MODEL_CALLERS = 6,
	MODEL_STEPS = 8000,
};

static const int64_t model_counts[N_RESOURCES] = { 2, 1 };

/* What the model knows of a waiter beside its ticket. */
struct history {
	bool single;                /* it was the only one of its caller when it came */
	uint64_t served_at_arrival; /* by the whole model */
	uint64_t turns_of_others[MODEL_CALLERS]; /* since then */
	size_t n_waiting_at_arrival;
};

struct model {
	struct waiter line[MODEL_WAITING_MAX];
	struct history histories[MODEL_WAITING_MAX]; /* by ticket modulo */
	size_t n_waiting;
	struct claim running[MODEL_RUNNING];
	size_t n_running;
	uint64_t now, last_ticket, n_served;
	unsigned int seed;
	bool slots_only;
	int64_t least_free[N_RESOURCES];
	uint64_t most_turns, longest_wait;
};

static unsigned int draw(struct model *model, unsigned int n)
{
	return (unsigned int)rand_r(&model->seed) % n;
}

static uint64_t count_of(const struct claim *claim, size_t resource)
{
	for (size_t i = 0; i < claim->n_needs; i++)
		if (strcmp(claim->needs[i].name, resource_names[resource]) == 0)
			return claim->needs[i].count;
	return 0;
}

static void model_stocks(const struct model *model, struct stock stocks[N_RESOURCES])
{
	fill_stocks(stocks, model_counts);
	for (size_t i = 0; i < model->n_running; i++)
		for (size_t k = 0; k < N_RESOURCES; k++)
			stocks[k].n_free -= (int64_t)count_of(&model->running[i], k);
}

static struct history *history_of(struct model *model, uint64_t ticket)
{
	return &model->histories[ticket % MODEL_WAITING_MAX];
}

/* As pool_try() does it: a look, and a slot if there is one. */
static bool model_take(struct model *model, size_t n_ahead, const struct claim *own)
{
	struct stock stocks[N_RESOURCES];
	struct standing place;

	model_stocks(model, stocks);
	if (!fair_judge(model->line, n_ahead, own, stocks, N_RESOURCES, &place) ||
	    model->n_running == MODEL_RUNNING)
		return false;
	/* Whoever stands before it keeps what he needs, as far as it was free. */
	model_stocks(model, stocks);
	for (size_t i = 0; i < n_ahead; i++)
		for (size_t k = 0; k < N_RESOURCES; k++) {
			uint64_t his = count_of(&model->line[i].claim, k), ours = count_of(own, k);

			check(his == 0 || ours == 0 ||
			      stocks[k].n_free - (int64_t)ours >= (int64_t)his);
		}
	model->running[model->n_running++] = *own;
	model_stocks(model, stocks);
	for (size_t k = 0; k < N_RESOURCES; k++)
		if (stocks[k].n_free < model->least_free[k])
			model->least_free[k] = stocks[k].n_free;
	return true;
}

static void remove_waiter(struct model *model, size_t i)
{
	model->n_waiting--;
	memmove(&model->line[i], &model->line[i + 1],
	        (model->n_waiting - i) * sizeof(model->line[0]));
}

static void note_service(struct model *model, const struct waiter *served)
{
	const struct history *history = history_of(model, served->ticket);
	uint64_t waited = model->n_served - history->served_at_arrival;

	for (size_t k = 0; k < MODEL_CALLERS; k++)
		if (history->single && history->turns_of_others[k] > model->most_turns)
			model->most_turns = history->turns_of_others[k];
	if (waited > model->longest_wait)
		model->longest_wait = waited;
	for (size_t i = 0; i < model->n_waiting; i++)
		history_of(model, model->line[i].ticket)->turns_of_others[served->claim.uid]++;
	model->n_served++;
	model->now = fair_serve(model->now, served->claim.round);
}

/* Each that may goes, until nobody may. */
static void settle(struct model *model)
{
	for (size_t i = 0; i < model->n_waiting; i++) {
		struct waiter waiter = model->line[i];

		if (!model_take(model, i, &waiter.claim))
			continue;
		remove_waiter(model, i);
		note_service(model, &waiter);
		i = (size_t)-1;
	}
	/* A free slot, and somebody who lacks nothing else: never. */
	for (size_t i = 0; model->n_running < MODEL_RUNNING && i < model->n_waiting; i++)
		check(model->line[i].claim.n_needs > 0);
}

static void model_arrive(struct model *model)
{
	/* Caller 0 asks for more than all others together. */
	uid_t uid = draw(model, 2) ? 0 : (uid_t)draw(model, MODEL_CALLERS);
	struct claim claim = make_claim(uid, 0, 0);
	struct stock stocks[N_RESOURCES];
	struct history *history;

	if (!model->slots_only && draw(model, 2))
		claim = make_claim(uid, draw(model, 3), draw(model, 2));
	if (model_take(model, model->n_waiting, &claim))
		return;
	if (model->n_waiting == MODEL_WAITING_MAX)
		return;
	model_stocks(model, stocks);
	fair_join(model->line, model->n_waiting, stocks, N_RESOURCES, model->now, &claim);
	/* Told apart by ticket: one that is still used by a waiter is not given again. */
	for (bool used = true; used;) {
		used = false;
		model->last_ticket++;
		for (size_t i = 0; i < model->n_waiting; i++)
			used |= model->line[i].ticket % MODEL_WAITING_MAX ==
			        model->last_ticket % MODEL_WAITING_MAX;
	}
	history = history_of(model, model->last_ticket);
	*history = (struct history){ .single = true, .served_at_arrival = model->n_served };
	for (size_t i = 0; i < model->n_waiting; i++)
		history->single &= model->line[i].claim.uid != uid;
	model->line[model->n_waiting++] = (struct waiter){ model->last_ticket, claim };
	qsort(model->line, model->n_waiting, sizeof(model->line[0]), fair_compare);
}

static void model_end(struct model *model)
{
	if (model->n_running == 0)
		return;
	model->running[draw(model,
	                    (unsigned int)model->n_running)] = model->running[model->n_running - 1];
	model->n_running--;
}

static void model_run(struct model *model, unsigned int seed, bool slots_only)
{
	*model = (struct model){ .now = 1, .seed = seed, .slots_only = slots_only };
	memcpy(model->least_free, model_counts, sizeof(model_counts));
	for (int i = 0; i < MODEL_STEPS && !unit_failed; i++) {
		/* As many ends as arrivals, in waves: the line grows and shrinks. */
		if (draw(model, 100) < (i / 500 % 2 ? 42U : 58U))
			model_arrive(model);
		else
			model_end(model);
		/* Now and then one who waits is killed. */
		if (model->n_waiting > 0 && draw(model, 200) == 0)
			remove_waiter(model, draw(model, (unsigned int)model->n_waiting));
		settle(model);
	}
	check(model->least_free[SEAT] >= 0 && model->least_free[BOARD] >= 0);
	check(model->n_served > MODEL_STEPS / 10);
}

static void many_requests_of_one_delay_one_of_another_by_one_turn(void)
{
	static struct model model;

	for (unsigned int seed = 1; seed <= 4; seed++) {
		model_run(&model, seed, true);
		check(model.most_turns <= 1);
		if (unit_failed)
			printf("  seed %u: %llu turns\n", seed,
			       (unsigned long long)model.most_turns);
	}
}

static void nothing_is_held_twice_and_nothing_kept_is_taken(void)
{
	static struct model model;

	for (unsigned int seed = 1; seed <= 4; seed++) {
		model_run(&model, seed, false);
		check(model.least_free[SEAT] == 0 && model.least_free[BOARD] == 0);
	}
}

/* One who needs everything, while others come as soon as one of them is served. */
static void one_who_needs_everything_is_served_among_many_who_need_little(void)
{
	static struct model model;
	uint64_t worst = 0;

	for (unsigned int seed = 1; seed <= 20; seed++) {
		struct claim greedy = make_claim(5, 2, 1);
		struct stock stocks[N_RESOURCES];
		uint64_t begun;
		bool waits = true;

		model = (struct model){ .now = 1, .seed = seed };
		for (int i = 0; i < 20; i++)
			model_arrive(&model);
		settle(&model);
		model_stocks(&model, stocks);
		fair_join(model.line, model.n_waiting, stocks, N_RESOURCES, model.now, &greedy);
		model.line[model.n_waiting++] = (struct waiter){ 1000000, greedy };
		qsort(model.line, model.n_waiting, sizeof(model.line[0]), fair_compare);
		begun = model.n_served;
		for (int i = 0; i < 5000 && waits; i++) {
			model_end(&model);
			while (model.n_waiting < 25)
				model_arrive(&model);
			settle(&model);
			waits = false;
			for (size_t k = 0; k < model.n_waiting; k++)
				waits |= model.line[k].ticket == 1000000;
		}
		check(!waits);
		if (model.n_served - begun > worst)
			worst = model.n_served - begun;
	}
	check(worst <= 60);
	if (unit_failed)
		printf("  worst: %llu\n", (unsigned long long)worst);
}

static const struct unit_case cases[] = {
	CASE(those_behind_pass_only_if_they_need_nothing_that_is_awaited),
	CASE(a_resource_that_is_there_no_more_is_awaited),
	CASE(callers_take_turns),
	CASE(the_line_of_a_busy_resource_keeps_its_own_pace),
	CASE(the_round_moves_on_and_never_back),
	CASE(many_requests_of_one_delay_one_of_another_by_one_turn),
	CASE(nothing_is_held_twice_and_nothing_kept_is_taken),
	CASE(one_who_needs_everything_is_served_among_many_who_need_little),
};

UNIT_MAIN(cases)
