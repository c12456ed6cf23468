/* Reads, newest first, until enough lines are found; the home of sd-journal. */
#include "journal.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-id128.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/text.h"
#include "when.h"
#include "who.h"

enum {
	FIELDS_MAX = 64,      /* of one line */
	DATA_MAX = 64 * 1024, /* bytes of one field; a longer one is cut */
	ENTRIES_MAX = 1000000,
};

static const char prefix[] = "HATCH_";

/* Fields whose values are numbers. hatchd(8), "JOURNAL", says what they mean. */
static const char *const numbers[] = {
	"HATCH_PEER_UID",       "HATCH_PEER_GID",     "HATCH_PEER_PID",      "HATCH_EXIT",
	"HATCH_SIGNAL",         "HATCH_DURATION_MS",  "HATCH_QUEUED_MS",     "HATCH_RUN_MS",
	"HATCH_STDOUT_BYTES",   "HATCH_STDERR_BYTES", "HATCH_OUTPUT_BYTES",  "HATCH_OUTPUTS",
	"HATCH_MEMORY_PEAK",    "HATCH_CPU_USER_US",  "HATCH_CPU_SYSTEM_US", "HATCH_IO_READ_BYTES",
	"HATCH_IO_WRITE_BYTES", "HATCH_PIDS_PEAK",    "HATCH_INPUTS",        "HATCH_INPUTS_BOUND",
	"HATCH_INPUT_BYTES",
};

static void entry_done(struct entry *entry)
{
	for (size_t i = 0; i < entry->n_fields; i++) {
		free(entry->fields[i].name);
		free(entry->fields[i].value);
	}
	free(entry->fields);
	*entry = (struct entry){ 0 };
}

void entries_done(struct entries *entries)
{
	for (size_t i = 0; i < entries->n_items; i++)
		entry_done(&entries->items[i]);
	free(entries->items);
	*entries = (struct entries){ 0 };
}

const char *entry_field(const struct entry *entry, const char *name)
{
	for (size_t i = 0; i < entry->n_fields; i++)
		if (strcmp(entry->fields[i].name, name) == 0)
			return entry->fields[i].value;
	return NULL;
}

bool entry_number(const struct entry *entry, const char *name, uint64_t *ret)
{
	const char *value = entry_field(entry, name);

	return value && text_to_u64(value, INT64_MAX, ret) == 0;
}

static bool is_number(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (strcmp(name, numbers[i]) == 0)
			return true;
	return false;
}

/* "HATCH_PEER_UID" to "peer_uid" */
static void make_key(const char *name, char *ret, size_t ret_len)
{
	size_t i = 0;

	if (strncmp(name, prefix, strlen(prefix)) == 0)
		name += strlen(prefix);
	for (; name[i] && i + 1 < ret_len; i++)
		ret[i] = (char)tolower((unsigned char)name[i]);
	ret[i] = '\0';
}

void entry_write(const struct entry *entry, struct json *json)
{
	char when[WHEN_LEN], key[128];

	json_text(json, "time",
	          entry->time_usec ? when_for_programs(entry->time_usec, when) : NULL);
	for (size_t i = 0; i < entry->n_fields; i++) {
		const char *name = entry->fields[i].name;
		uint64_t number;

		make_key(name, key, sizeof(key));
		if (is_number(name) && entry_number(entry, name, &number))
			json_number(json, key, number);
		else
			json_text(json, key, entry->fields[i].value);
	}
}

/* --- reading --- */

static int fail(struct error *err, int r, const char *what)
{
	return error_errno(err, BLAME_HOST, -r, "cannot %s the journal", what);
}

static int add_match(sd_journal *journal, const char *field, const char *value)
{
	cleanup_free char *match = NULL;

	if (!value)
		return 0;
	if (asprintf(&match, "%s=%s", field, value) < 0) {
		match = NULL;
		return -ENOMEM;
	}
	return sd_journal_add_match(journal, match, 0);
}

/* The journal's index finds these; what it cannot look for is compared line by line. */
static int add_matches(sd_journal *journal, const struct journal_filter *filter)
{
	char writer[16], peer[16];
	const struct {
		const char *field, *value;
	} matches[] = {
		{ "SYSLOG_IDENTIFIER", "hatchd" },
		{ "_UID", writer },
		{ "HATCH_REQUEST", filter->request },
		{ "HATCH_BUILDER", filter->builder },
		{ "HATCH_VERDICT", filter->verdict },
		{ "HATCH_PEER_UID", filter->has_peer_uid ? peer : NULL },
	};
	int r = 0;

	(void)snprintf(writer, sizeof(writer), "%" PRIu32, filter->writer_uid);
	(void)snprintf(peer, sizeof(peer), "%" PRIu32, filter->peer_uid);
	for (size_t i = 0; i < ARRAY_SIZE(matches) && r >= 0; i++)
		r = add_match(journal, matches[i].field, matches[i].value);
	return r;
}

static int add_field(struct entry *entry, const char *data, size_t len)
{
	const char *equals = memchr(data, '=', len);
	struct journal_field field;

	if (!equals || entry->n_fields == FIELDS_MAX)
		return 0;
	field.name = strndup(data, (size_t)(equals - data));
	field.value = strndup(equals + 1, len - (size_t)(equals - data) - 1);
	if (!field.name || !field.value) {
		free(field.name);
		free(field.value);
		return -ENOMEM;
	}
	entry->fields[entry->n_fields++] = field;
	return 0;
}

static bool is_ours(const char *data, size_t len)
{
	static const char message[] = "MESSAGE=";

	return (len > strlen(prefix) && memcmp(data, prefix, strlen(prefix)) == 0) ||
	       (len >= strlen(message) && memcmp(data, message, strlen(message)) == 0);
}

static int compare_fields(const void *a, const void *b)
{
	return strcmp(((const struct journal_field *)a)->name,
	              ((const struct journal_field *)b)->name);
}

static int read_entry(sd_journal *journal, struct entry *ret)
{
	cleanup_(entry_done) struct entry entry = { 0 };
	const void *data;
	size_t len;
	int r;

	entry.fields = calloc(FIELDS_MAX, sizeof(*entry.fields));
	r = entry.fields ? sd_journal_get_realtime_usec(journal, &entry.time_usec) : -ENOMEM;
	sd_journal_restart_data(journal);
	while (r >= 0 && (r = sd_journal_enumerate_available_data(journal, &data, &len)) > 0)
		if (is_ours(data, len))
			r = add_field(&entry, data, len);
	if (r < 0)
		return r;
	qsort(entry.fields, entry.n_fields, sizeof(*entry.fields), compare_fields);
	*ret = entry;
	entry = (struct entry){ 0 };
	return 0;
}

/* As allow.derivations compares: the name without hash and ".drv"; or all of it. */
static bool derivation_matches(const char *pattern, const char *derivation)
{
	char name[DERIVATION_LEN];

	return fnmatch(pattern, derivation, 0) == 0 ||
	       fnmatch(pattern, derivation_name(derivation, name), 0) == 0;
}

/* A line of a request says how it ended; hatchd writes others too. */
static bool is_wanted(const struct journal_filter *filter, const struct entry *entry)
{
	const char *derivation = entry_field(entry, "HATCH_DRV");

	return entry_field(entry, "HATCH_VERDICT") &&
	       (!filter->derivation ||
	        (derivation && derivation_matches(filter->derivation, derivation)));
}

static int keep(struct entries *entries, struct entry *entry)
{
	struct entry *items;

	if ((entries->n_items & (entries->n_items - 1)) == 0) { /* doubled at each power of two */
		size_t room = entries->n_items ? 2 * entries->n_items : 1;

		items = reallocarray(entries->items, room, sizeof(*items));
		if (!items)
			return -ENOMEM;
		entries->items = items;
	}
	entries->items[entries->n_items++] = *entry;
	*entry = (struct entry){ 0 };
	return 0;
}

/* What was escaped for a line stays so. */
int entry_parse(char *text, struct entries *ret, struct error *err)
{
	cleanup_(entry_done) struct entry entry = { 0 };
	char *line;
	int r = 0;

	entry.fields = calloc(FIELDS_MAX, sizeof(*entry.fields));
	r = entry.fields ? 0 : -ENOMEM;
	while (r == 0 && (line = strsep(&text, "\n")))
		if (is_ours(line, strlen(line)))
			r = add_field(&entry, line, strlen(line));
	if (r == 0)
		r = keep(ret, &entry);
	return r < 0 ? error_set(err, BLAME_HOST, -r, "no memory for a receipt") : 0;
}

static void reverse(struct entries *entries)
{
	for (size_t i = 0; i < entries->n_items / 2; i++) {
		struct entry *a = &entries->items[i];
		struct entry *b = &entries->items[entries->n_items - 1 - i];
		struct entry swap = *a;

		*a = *b;
		*b = swap;
	}
}

static int seek_newest(sd_journal *journal, const struct journal_filter *filter)
{
	return filter->until_usec ? sd_journal_seek_realtime_usec(journal, filter->until_usec + 1)
	                          : sd_journal_seek_tail(journal);
}

static int read_backwards(sd_journal *journal, const struct journal_filter *filter,
                          struct entries *entries)
{
	uint64_t most = filter->lines ? filter->lines : ENTRIES_MAX;
	int r = seek_newest(journal, filter);

	while (r >= 0 && entries->n_items < most && (r = sd_journal_previous(journal)) > 0) {
		cleanup_(entry_done) struct entry entry = { 0 };

		r = read_entry(journal, &entry);
		/* A journal file that is damaged in one place is readable in others. */
		if (r == -EBADMSG || r == -EADDRNOTAVAIL) {
			r = 0;
			continue;
		}
		if (r == 0 && entry.time_usec < filter->since_usec)
			break;
		if (r == 0 && is_wanted(filter, &entry) &&
		    (!filter->until_usec || entry.time_usec <= filter->until_usec))
			r = keep(entries, &entry);
	}
	return r < 0 ? r : 0;
}

static void closep(sd_journal **journal)
{
	if (*journal)
		sd_journal_close(*journal);
}

/* The library opens what it may, and says nothing of the rest. */
static bool may_read_system_journal(void)
{
	static const char *const places[] = { "/var/log/journal", "/run/log/journal" };
	char path[PATH_MAX];
	sd_id128_t machine;

	if (sd_id128_get_machine(&machine) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		(void)snprintf(path, sizeof(path), "%s/" SD_ID128_FORMAT_STR "/system.journal",
		               places[i], SD_ID128_FORMAT_VAL(machine));
		if (access(path, R_OK) == 0)
			return true;
	}
	return false;
}

static int open_journal(const struct journal_filter *filter, sd_journal **ret, struct error *err)
{
	int r;

	if (!filter->directory && filter->writer_uid != geteuid() && !may_read_system_journal()) {
		(void)error_set(err, BLAME_HOST, EACCES,
		                "this user may not read the journal of the system");
		(void)error_hint(err,
		                 "run it as root, or as a member of the group systemd-journal");
		return -EACCES;
	}
	r = filter->directory ? sd_journal_open_directory(ret, filter->directory, 0)
	                      : sd_journal_open(ret, SD_JOURNAL_LOCAL_ONLY);
	return r < 0 ? fail(err, r, "open") : 0;
}

int journal_read(const struct journal_filter *filter, struct entries *ret, struct error *err)
{
	cleanup_entries struct entries entries = { 0 };
	cleanup_(closep) sd_journal *journal = NULL;
	int r = open_journal(filter, &journal, err);

	if (r < 0)
		return r;
	r = sd_journal_set_data_threshold(journal, DATA_MAX);
	if (r >= 0)
		r = add_matches(journal, filter);
	if (r >= 0)
		r = read_backwards(journal, filter, &entries);
	if (r < 0)
		return fail(err, r, "read");
	reverse(&entries);
	*ret = entries;
	entries = (struct entries){ 0 };
	return 0;
}
