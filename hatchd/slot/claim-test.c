/* The text of locks and tickets: what is written is read back, and nothing else is taken. */
#include "claim.h"

#include <errno.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "tests/unit.h"

#define HEX "0123456789abcdef"

static struct slot_record full_record(void)
{
	return (struct slot_record){
		.scratch = HEX,
		.cgroup = "/sys/fs/cgroup/a b",
		.claim = {
			.request = "fedcba9876543210",
			.builder = "vivado",
			.uid = 30001,
			.derivation = "abc-x.drv",
			.pid = 77,
			.since = 1763840000,
			.needs = { { "board-a", 1 }, { "vivado-seat", 2 } },
			.n_needs = 2,
			.round = 7,
			.first = true,
		},
	};
}

static void is_read_back_as_it_was_written(void)
{
	struct slot_record record = full_record(), again;
	char text[CLAIM_TEXT_MAX + 1];

	check(claim_print(&record, text) == (int)strlen(text));
	check(strcmp(text, "scratch " HEX "\ncgroup /sys/fs/cgroup/a b\n"
	                   "request fedcba9876543210\nbuilder vivado\nuid 30001\n"
	                   "derivation abc-x.drv\npid 77\nsince 1763840000\n"
	                   "need board-a 1\nneed vivado-seat 2\nround 7 first\nend\n") == 0);
	check(claim_parse(text, &again) == 0);
	check(memcmp(&again.claim.needs, &record.claim.needs, sizeof(record.claim.needs)) == 0);
	check(strcmp(again.scratch, HEX) == 0 && strcmp(again.cgroup, record.cgroup) == 0);
	check(strcmp(again.claim.derivation, "abc-x.drv") == 0 && again.claim.uid == 30001);
	check(again.claim.pid == 77 && again.claim.since == 1763840000 && again.claim.round == 7);
	check(again.claim.first && again.claim.n_needs == 2);
}

static void the_longest_fits_a_page(void)
{
	struct slot_record record = full_record(), again;
	char text[CLAIM_TEXT_MAX + 1];

	memset(record.cgroup + 1, 'x', sizeof(record.cgroup) - 2);
	memset(record.claim.builder, 'b', CLAIM_NAME_MAX);
	memset(record.claim.derivation, '\n', CLAIM_DERIVATION_MAX);
	record.claim.uid = UINT32_MAX;
	record.claim.since = INT64_MAX;
	record.claim.round = INT64_MAX;
	record.claim.n_needs = CLAIM_NEEDS_MAX;
	for (size_t i = 0; i < CLAIM_NEEDS_MAX; i++) {
		memset(record.claim.needs[i].name, 'n', CLAIM_NAME_MAX);
		record.claim.needs[i].count = UINT32_MAX;
	}
	check(claim_print(&record, text) > 0);
	check(claim_parse(text, &again) == 0);
	/* Escaped, and cut. */
	check(strncmp(again.claim.derivation, "\\n\\n", 4) == 0);
	check(again.claim.round == INT64_MAX && again.claim.n_needs == CLAIM_NEEDS_MAX);
}

static void refuses_to_write_what_could_not_be_read(void)
{
	struct slot_record records[] = { full_record(), full_record(), full_record(),
		                         full_record(), full_record(), full_record() };
	char text[CLAIM_TEXT_MAX + 1];

	records[0].scratch[0] = 'X';
	strcpy(records[1].cgroup, "/a\nend");
	records[2].claim.builder[0] = '\n';
	records[3].claim.request[3] = ' ';
	records[4].claim.needs[1].count = 0;
	strcpy(records[5].claim.needs[0].name, "a b");
	for (size_t i = 0; i < ARRAY_SIZE(records); i++)
		check(claim_print(&records[i], text) == -EINVAL);
}

static void reads_strictly(void)
{
	static const struct {
		const char *text;
		bool ok;
	} rows[] = {
		{ "end\n", true },
		{ "request " HEX "\nend\n", true },
		{ "request " HEX "\nend\nrubbish", true },
		{ "request " HEX "\n", false },
		{ "request 0123\nend\n", false },
		{ "builder Vivado\nend\n", false },
		{ "builder \nend\n", false },
		{ "uid -1\nend\n", false },
		{ "uid 4294967296\nend\n", false },
		{ "uid 01\nend\n", false },
		{ "derivation \nend\n", false },
		{ "derivation a\tb\nend\n", false },
		{ "derivation \xff\nend\n", false },
		{ "pid 2147483648\nend\n", false },
		{ "since x\nend\n", false },
		{ "need seat 1\nend\n", true },
		{ "need seat 0\nend\n", false },
		{ "need seat\nend\n", false },
		{ "need se at 1\nend\n", false },
		{ "need a 1\nneed a 1\nneed a 1\nneed a 1\nneed a 1\nneed a 1\nneed a 1\nneed a 1\n"
		  "end\n",
		  true },
		{ "need a 1\nneed a 1\nneed a 1\nneed a 1\nneed a 1\nneed a 1\nneed a 1\nneed a 1\n"
		  "need a 1\nend\n",
		  false },
		{ "round 1 first\nend\n", true },
		{ "round 1 more\nend\n", true },
		{ "round 1 other\nend\n", false },
		{ "round 1\nend\n", false },
		{ "round 11111111111111111111111111 more\nend\n", false },
		{ "round 9223372036854775808 more\nend\n", false },
		{ "roundabout 1 more\nend\n", false },
		{ "request" HEX "\nend\n", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct slot_record record;
		char text[512];

		strcpy(text, rows[i].text);
		check(claim_parse(text, &record) == (rows[i].ok ? 0 : -EBADMSG));
		if (unit_failed)
			printf("  row %zu\n", i);
	}
}

static void a_caller_is_a_derivation_or_else_a_user(void)
{
	static const struct {
		struct claim a, b;
		bool same;
	} rows[] = {
		{ { .uid = 1 }, { .uid = 1 }, true },
		{ { .uid = 1 }, { .uid = 2 }, false },
		{ { .uid = 1, .derivation = "a" }, { .uid = 2, .derivation = "a" }, true },
		{ { .uid = 1, .derivation = "a" }, { .uid = 1, .derivation = "b" }, false },
		{ { .uid = 1, .derivation = "a" }, { .uid = 1 }, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		check(claim_same_caller(&rows[i].a, &rows[i].b) == rows[i].same);
		check(claim_same_caller(&rows[i].b, &rows[i].a) == rows[i].same);
	}
}

static const struct unit_case cases[] = {
	CASE(is_read_back_as_it_was_written),          CASE(the_longest_fits_a_page),
	CASE(refuses_to_write_what_could_not_be_read), CASE(reads_strictly),
	CASE(a_caller_is_a_derivation_or_else_a_user),
};

UNIT_MAIN(cases)
