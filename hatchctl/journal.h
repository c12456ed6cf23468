/*
 * The lines that hatchd(8) left in the journal, one for each request. Anybody may write a line with
 * any fields to the journal; only what the kernel says of the writer cannot be forged, so only
 * lines of root count, or in unprivileged mode one's own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "json.h"
#include "lib/base/error.h"

struct journal_field {
	char *name; /* of the field, as HATCH_BUILDER or MESSAGE */
	char *value;
};

/* One request that has ended. */
struct entry {
	uint64_t time_usec; /* of its end; 0: not known */
	struct journal_field *fields;
	size_t n_fields;
};

struct entries {
	struct entry *items; /* oldest first */
	size_t n_items;
};

/* NULL: any */
struct journal_filter {
	const char *directory; /* of journal files; NULL: this machine's */
	uid_t writer_uid;
	const char *request, *builder, *verdict;
	const char *derivation; /* fnmatch(3) pattern, as in allow.derivations, or HASH-NAME.drv */
	bool has_peer_uid;
	uid_t peer_uid;
	uint64_t since_usec, until_usec; /* 0: any */
	uint64_t lines;                  /* only the newest; 0: all */
};

#define cleanup_entries cleanup_(entries_done)

void entries_done(struct entries *entries);

/* journal_read - the lines of requests that the filter lets through. Errors  BLAME_HOST: what
 * sd_journal_open(3) and its like say, -EACCES there is no journal that we may read, -ENOMEM */
int journal_read(const struct journal_filter *filter, struct entries *ret, struct error *err);

/* entry_parse - one entry from lines of NAME=VALUE, of which the time is not known; the text is
 * taken apart. 0 or -ENOMEM */
int entry_parse(char *text, struct entries *ret, struct error *err);

/* entry_field - its value, or NULL */
const char *entry_field(const struct entry *entry, const char *name);

/* entry_number - true and the value of a field that is a number */
bool entry_number(const struct entry *entry, const char *name, uint64_t *ret);

/* entry_write - its members into an open object: "time", "message", and each field in lower case
 * without HATCH_ */
void entry_write(const struct entry *entry, struct json *json);
