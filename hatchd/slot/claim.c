/* The text of locks and tickets. No descriptors, no clock. */
#include "claim.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/text.h"

static bool is_hex_name(const char *name)
{
	return strlen(name) == SCRATCH_NAME_LEN &&
	       strspn(name, "0123456789abcdef") == SCRATCH_NAME_LEN;
}

static bool is_cgroup_path(const char *path)
{
	return path[0] == '/' && strlen(path) < CGROUP_PATH_MAX && !strchr(path, '\n');
}

static bool is_line(const char *text, size_t max)
{
	size_t len = strlen(text);

	for (const char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			return false;
	return len > 0 && len <= max && text_is_utf8(text, len);
}

/* --- one parser for each key: 0 or -EBADMSG --- */

static int parse_scratch(const char *value, struct slot_record *ret)
{
	if (!is_hex_name(value))
		return -EBADMSG;
	strcpy(ret->scratch, value);
	return 0;
}

static int parse_cgroup(const char *value, struct slot_record *ret)
{
	if (!is_cgroup_path(value))
		return -EBADMSG;
	strcpy(ret->cgroup, value);
	return 0;
}

static int parse_range(const char *value, struct slot_record *ret)
{
	uint64_t number;

	if (text_to_u64(value, UINT32_MAX, &number) < 0 || number == 0)
		return -EBADMSG;
	ret->range_first = (uint32_t)number;
	return 0;
}

static int parse_request(const char *value, struct slot_record *ret)
{
	if (!is_hex_name(value))
		return -EBADMSG;
	strcpy(ret->claim.request, value);
	return 0;
}

static int parse_builder(const char *value, struct slot_record *ret)
{
	if (!text_is_name(value, strlen(value)))
		return -EBADMSG;
	strcpy(ret->claim.builder, value);
	return 0;
}

static int parse_derivation(const char *value, struct slot_record *ret)
{
	if (!is_line(value, CLAIM_DERIVATION_MAX))
		return -EBADMSG;
	strcpy(ret->claim.derivation, value);
	return 0;
}

static int parse_number(const char *value, uint64_t max, uint64_t *ret)
{
	return text_to_u64(value, max, ret) < 0 ? -EBADMSG : 0;
}

static int parse_uid(const char *value, struct slot_record *ret)
{
	uint64_t number = 0;
	int r = parse_number(value, UINT32_MAX, &number);

	ret->claim.uid = (uid_t)number;
	return r;
}

static int parse_pid(const char *value, struct slot_record *ret)
{
	uint64_t number = 0;
	int r = parse_number(value, INT_MAX, &number);

	ret->claim.pid = (pid_t)number;
	return r;
}

static int parse_since(const char *value, struct slot_record *ret)
{
	uint64_t number = 0;
	int r = parse_number(value, INT64_MAX, &number);

	ret->claim.since = (int64_t)number;
	return r;
}

/* "NAME COUNT" */
static int parse_need(const char *value, struct slot_record *ret)
{
	const char *space = strchr(value, ' ');
	struct units *need = &ret->claim.needs[ret->claim.n_needs];

	if (!space || ret->claim.n_needs == CLAIM_NEEDS_MAX ||
	    !text_is_name(value, (size_t)(space - value)))
		return -EBADMSG;
	if (parse_number(space + 1, UINT32_MAX, &need->count) < 0 || need->count == 0)
		return -EBADMSG;
	memcpy(need->name, value, (size_t)(space - value));
	need->name[space - value] = '\0';
	ret->claim.n_needs++;
	return 0;
}

/* "NUMBER first" or "NUMBER more" */
static int parse_round(const char *value, struct slot_record *ret)
{
	const char *space = strchr(value, ' ');
	char digits[24];

	if (!space || (size_t)(space - value) >= sizeof(digits))
		return -EBADMSG;
	memcpy(digits, value, (size_t)(space - value));
	digits[space - value] = '\0';
	ret->claim.first = strcmp(space + 1, "first") == 0;
	if (!ret->claim.first && strcmp(space + 1, "more") != 0)
		return -EBADMSG;
	return parse_number(digits, INT64_MAX, &ret->claim.round);
}

static const struct {
	const char *key;
	int (*parse)(const char *value, struct slot_record *ret);
} lines[] = {
	{ "scratch", parse_scratch },       { "cgroup", parse_cgroup },
	{ "range", parse_range },           { "request", parse_request },
	{ "builder", parse_builder },       { "uid", parse_uid },
	{ "derivation", parse_derivation }, { "pid", parse_pid },
	{ "since", parse_since },           { "need", parse_need },
	{ "round", parse_round },
};

static int parse_line(const char *line, struct slot_record *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		size_t len = strlen(lines[i].key);

		if (strncmp(line, lines[i].key, len) == 0 && line[len] == ' ')
			return lines[i].parse(line + len + 1, ret);
	}
	return -EBADMSG;
}

int claim_parse(char *text, struct slot_record *ret)
{
	struct slot_record record = { 0 };
	char *end;

	for (char *line = text; (end = strchr(line, '\n')); line = end + 1) {
		*end = '\0';
		if (strcmp(line, "end") == 0) {
			*ret = record;
			return 0;
		}
		if (parse_line(line, &record) < 0)
			return -EBADMSG;
	}
	return -EBADMSG;
}

/* --- printing --- */

struct out {
	char *text;
	size_t len; /* beyond CLAIM_TEXT_MAX: it did not fit */
};

__attribute__((format(printf, 2, 3))) static void add(struct out *out, const char *fmt, ...)
{
	va_list ap;

	if (out->len > CLAIM_TEXT_MAX)
		return;
	va_start(ap, fmt);
	out->len += (size_t)vsnprintf(out->text + out->len, CLAIM_TEXT_MAX + 1 - out->len, fmt, ap);
	va_end(ap);
}

static bool claim_is_sound(const struct claim *claim)
{
	if (!is_hex_name(claim->request) || !text_is_name(claim->builder, strlen(claim->builder)) ||
	    claim->pid < 0 || claim->since < 0 || claim->n_needs > CLAIM_NEEDS_MAX)
		return false;
	for (size_t i = 0; i < claim->n_needs; i++)
		if (!text_is_name(claim->needs[i].name, strlen(claim->needs[i].name)) ||
		    claim->needs[i].count == 0 || claim->needs[i].count > UINT32_MAX)
			return false;
	return true;
}

static void add_claim(struct out *out, const struct claim *claim)
{
	char derivation[CLAIM_DERIVATION_MAX + 1];

	add(out, "request %s\nbuilder %s\nuid %u\n", claim->request, claim->builder, claim->uid);
	if (claim->derivation[0]) {
		text_escape(claim->derivation, strlen(claim->derivation), derivation,
		            sizeof(derivation));
		add(out, "derivation %s\n", derivation);
	}
	add(out, "pid %d\nsince %" PRId64 "\n", claim->pid, claim->since);
	for (size_t i = 0; i < claim->n_needs; i++)
		add(out, "need %s %" PRIu64 "\n", claim->needs[i].name, claim->needs[i].count);
}

int claim_print(const struct slot_record *record, char ret[CLAIM_TEXT_MAX + 1])
{
	struct out out = { .text = ret };

	if ((record->scratch[0] && !is_hex_name(record->scratch)) ||
	    (record->cgroup[0] && !is_cgroup_path(record->cgroup)) ||
	    (record->claim.request[0] && !claim_is_sound(&record->claim)) ||
	    record->claim.round > INT64_MAX)
		return -EINVAL;
	if (record->scratch[0])
		add(&out, "scratch %s\n", record->scratch);
	if (record->cgroup[0])
		add(&out, "cgroup %s\n", record->cgroup);
	if (record->range_first)
		add(&out, "range %u\n", record->range_first);
	if (record->claim.request[0])
		add_claim(&out, &record->claim);
	if (record->claim.round > 0)
		add(&out, "round %" PRIu64 " %s\n", record->claim.round,
		    record->claim.first ? "first" : "more");
	add(&out, "end\n");
	return out.len > CLAIM_TEXT_MAX ? -EINVAL : (int)out.len;
}

bool claim_same_caller(const struct claim *a, const struct claim *b)
{
	if (a->derivation[0] || b->derivation[0])
		return strcmp(a->derivation, b->derivation) == 0;
	return a->uid == b->uid;
}
