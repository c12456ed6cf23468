/* hatchctl ps: what runs and waits now. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "json.h"
#include "lib/base/text.h"
#include "requests.h"
#include "table.h"
#include "when.h"
#include "who.h"

static const char *state_word(enum pool_state state)
{
	static const char *const words[] = {
		[POOL_RUNNING] = "running", [POOL_WAITING] = "waiting", [POOL_LEFT] = "left"
	};

	return words[state];
}

/* What its processes use now. Only a kernel that gives the unit the memory controller counts it. */
static bool read_memory(const struct pool_entry *entry, uint64_t *ret)
{
	static const char root[] = "/sys/fs/cgroup/";
	cleanup_free char *path = NULL, *text = NULL;
	cleanup_fd int fd = -1;
	size_t len;

	if (strncmp(entry->record.cgroup, root, strlen(root)) != 0 ||
	    asprintf(&path, "%s/memory.current", entry->record.cgroup) < 0)
		return false;
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fd_read_file(fd, 64, &text, &len) < 0 || len == 0)
		return false;
	text[len - 1] = '\0'; /* a line */
	return text_to_u64(text, INT64_MAX, ret) == 0;
}

/* --- for people --- */

static void since_cell(struct table *table, const struct claim *claim, int64_t now)
{
	char text[WHEN_LEN];

	if (claim->since > 0 && now >= claim->since)
		table_cellf(table, "%s ago",
		            duration_for_people((uint64_t)(now - claim->since) * 1000, text));
	else
		table_cell(table, "");
}

static void memory_cell(struct table *table, const struct pool_entry *entry)
{
	uint64_t bytes;

	if (read_memory(entry, &bytes))
		table_cellf(table, "%.1f MiB", (double)bytes / (1024 * 1024));
	else
		table_cell(table, "");
}

static void add_row(struct table *table, const struct pool_entry *entry, int64_t now)
{
	const struct claim *claim = &entry->record.claim;
	char account[ACCOUNT_LEN], derivation[DERIVATION_LEN];
	bool known = claim->request[0];

	table_cell(table, claim->request);
	table_cell(table, state_word(entry->state));
	table_cell(table, claim->builder);
	table_cell(table, known ? user_text(claim->uid, account) : "");
	since_cell(table, claim, now);
	if (entry->state == POOL_WAITING)
		table_cellf(table, "%" PRIu64 " ahead", entry->ahead);
	else
		table_cell(table, entry->user);
	memory_cell(table, entry);
	table_cell(table, derivation_name(claim->derivation, derivation));
}

static int print_table(const struct requests *requests)
{
	static const struct column columns[] = {
		{ "REQUEST" },
		{ "STATE" },
		{ "BUILDER", .shrinks = true },
		{ "PEER" },
		{ "SINCE" },
		{ "PLACE" },
		{ "MEMORY", .right = true },
		{ "DERIVATION", .shrinks = true },
	};
	cleanup_table struct table table = { .columns = columns, .n_columns = ARRAY_SIZE(columns) };
	int64_t now = time(NULL);

	for (size_t i = 0; i < requests->n_entries; i++)
		add_row(&table, &requests->entries[i], now);
	return table_print(&table, terminal_width());
}

/* --- for programs --- */

static void write_text(struct json *json, const char *key, const char *text)
{
	json_text(json, key, text[0] ? text : NULL);
}

static void write_needs(struct json *json, const struct claim *claim)
{
	json_open_object(json, "resources");
	for (size_t i = 0; i < claim->n_needs; i++)
		json_number(json, claim->needs[i].name, claim->needs[i].count);
	json_close(json);
}

static void write_request(struct json *json, const struct pool_entry *entry)
{
	const struct claim *claim = &entry->record.claim;
	char when[WHEN_LEN];
	uint64_t bytes;

	json_open_object(json, NULL);
	write_text(json, "request", claim->request);
	json_text(json, "state", state_word(entry->state));
	write_text(json, "builder", claim->builder);
	if (claim->request[0])
		json_number(json, "peer_uid", claim->uid);
	else
		json_null(json, "peer_uid");
	write_text(json, "drv", claim->derivation);
	json_text(json, "since",
	          claim->since > 0 ? when_for_programs((uint64_t)claim->since * 1000000, when)
	                           : NULL);
	write_text(json, "user", entry->user);
	if (entry->state == POOL_WAITING)
		json_number(json, "ahead", entry->ahead);
	else
		json_null(json, "ahead");
	if (read_memory(entry, &bytes))
		json_number(json, "memory_bytes", bytes);
	else
		json_null(json, "memory_bytes");
	write_needs(json, claim);
	json_close(json);
}

static int print_json(const struct requests *requests)
{
	cleanup_json struct json *json = json_new();

	json_open_list(json, "requests");
	for (size_t i = 0; i < requests->n_entries; i++)
		write_request(json, &requests->entries[i]);
	json_close(json);
	return json_print(json);
}

static int print_names(const struct requests *requests)
{
	for (size_t i = 0; i < requests->n_entries; i++)
		if (requests->entries[i].record.claim.request[0])
			(void)puts(requests->entries[i].record.claim.request);
	return fflush(stdout) != 0 || ferror(stdout) ? -EIO : 0;
}

int run_ps(const struct options *options)
{
	cleanup_requests struct requests requests = { 0 };
	int r;

	if (options->names && options->json)
		return fail_usage("--names and --json; expected one of them");
	r = requests_read(options, &requests);
	if (r != 0)
		return r;
	if (options->names)
		return end_printing(print_names(&requests));
	return end_printing(options->json ? print_json(&requests) : print_table(&requests));
}
