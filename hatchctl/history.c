/* hatchctl history: what was asked, and how it ended, from the journal. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "journal.h"
#include "lib/base/text.h"
#include "table.h"
#include "verbs.h"
#include "when.h"
#include "who.h"

enum {
	LINES_DEFAULT = 50,
	LINES_MAX = 1000000,
};

/* --- the filter --- */

static int parse_when(const char *option, const char *text, uint64_t *ret)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (!text || when_parse(text, (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000,
	                        ret) == 0)
		return 0;
	return fail_usage("--%s %s; expected now, today, yesterday, YYYY-MM-DD [HH:MM[:SS]], "
	                  "@SECONDS, or so long ago as -30min, -2h, -7d",
	                  option, text);
}

static int parse_lines(const char *text, uint64_t *ret)
{
	if (!text)
		*ret = LINES_DEFAULT;
	else if (strcmp(text, "all") == 0)
		*ret = 0;
	else if (text_to_u64(text, LINES_MAX, ret) < 0 || *ret == 0)
		return fail_usage("--lines %s; expected a number from 1 to %d, or all", text,
		                  LINES_MAX);
	return 0;
}

/* Of HATCH_VERDICT, hatchd(8): no other word would ever find anything. */
static int check_verdict(const char *word)
{
	static const char *const verdicts[] = {
		"done",    "failed", "timed-out", "oom",         "cancelled",
		"refused", "busy",   "not-ready", "not-found",   "cannot-run",
		"limit",   "output", "stopping",  "bad-request", "server-failed",
	};

	for (size_t i = 0; word && i < ARRAY_SIZE(verdicts); i++)
		if (strcmp(verdicts[i], word) == 0)
			return 0;
	return !word ? 0
	             : fail_usage(
			       "--verdict %s; expected a word of HATCH_VERDICT in hatchd(8), such "
			       "as failed, refused, timed-out or server-failed",
			       word);
}

static int make_filter(const struct options *options, struct journal_filter *ret)
{
	int r;

	*ret = (struct journal_filter){
		.directory = options->journal_dir,
		.writer_uid = options->unprivileged ? getuid() : 0,
		.builder = options->builder,
		.verdict = options->verdict,
		.derivation = options->derivation,
		.has_peer_uid = options->uid,
	};
	if (options->uid && user_find(options->uid, &ret->peer_uid) < 0)
		return fail_usage("--uid %s; expected a number, or the name of a user",
		                  options->uid);
	r = check_verdict(options->verdict);
	if (r == 0)
		r = parse_when("since", options->since, &ret->since_usec);
	if (r == 0)
		r = parse_when("until", options->until, &ret->until_usec);
	return r != 0 ? r : parse_lines(options->lines, &ret->lines);
}

/* --- for people --- */

static const char *field_or_nothing(const struct entry *entry, const char *name)
{
	const char *value = entry_field(entry, name);

	return value ? value : "";
}

static void peer_cell(struct table *table, const struct entry *entry)
{
	char account[ACCOUNT_LEN];
	uint64_t uid;

	table_cell(table, entry_number(entry, "HATCH_PEER_UID", &uid) && uid <= UINT32_MAX
	                          ? user_text((uid_t)uid, account)
	                          : "");
}

static void duration_cell(struct table *table, const struct entry *entry, const char *name)
{
	char text[WHEN_LEN];
	uint64_t ms;

	table_cell(table, entry_number(entry, name, &ms) ? duration_for_people(ms, text) : "");
}

static void add_row(struct table *table, const struct entry *entry)
{
	char when[WHEN_LEN], derivation[DERIVATION_LEN];

	table_cell(table, when_for_people(entry->time_usec, when));
	table_cell(table, field_or_nothing(entry, "HATCH_REQUEST"));
	table_cell(table, field_or_nothing(entry, "HATCH_BUILDER"));
	peer_cell(table, entry);
	table_cell(table, field_or_nothing(entry, "HATCH_VERDICT"));
	table_cell(table, field_or_nothing(entry, "HATCH_EXIT"));
	duration_cell(table, entry, "HATCH_QUEUED_MS");
	duration_cell(table, entry, "HATCH_RUN_MS");
	table_cell(table, derivation_name(field_or_nothing(entry, "HATCH_DRV"), derivation));
	table_cell(table, field_or_nothing(entry, "HATCH_ERROR"));
}

static int print_table(const struct entries *entries)
{
	static const struct column columns[] = {
		{ "ENDED" },
		{ "REQUEST" },
		{ "BUILDER", .shrinks = true },
		{ "PEER" },
		{ "VERDICT" },
		{ "EXIT", .right = true },
		{ "WAITED", .right = true },
		{ "RAN", .right = true },
		{ "DERIVATION", .shrinks = true },
		{ "ERROR", .shrinks = true },
	};
	cleanup_table struct table table = { .columns = columns, .n_columns = ARRAY_SIZE(columns) };

	for (size_t i = 0; i < entries->n_items; i++)
		add_row(&table, &entries->items[i]);
	return table_print(&table, terminal_width());
}

static int print_json(const struct entries *entries)
{
	cleanup_json struct json *json = json_new();

	json_open_list(json, "requests");
	for (size_t i = 0; i < entries->n_items; i++) {
		json_open_object(json, NULL);
		entry_write(&entries->items[i], json);
		json_close(json);
	}
	json_close(json);
	return json_print(json);
}

int run_history(const struct options *options)
{
	cleanup_entries struct entries entries = { 0 };
	struct journal_filter filter;
	struct error err;
	int r = make_filter(options, &filter);

	if (r != 0)
		return r;
	if (journal_read(&filter, &entries, &err) < 0) {
		say_error(NULL, &err);
		return EX_OSERR;
	}
	return end_printing(options->json ? print_json(&entries) : print_table(&entries));
}
