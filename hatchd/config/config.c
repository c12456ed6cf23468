/*
 * hatchd.json. The accounts that it names are looked up in users.c; what a builder may hold is in
 * builder.c, how a value is read in read.c.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "accounts.h"
#include "build-config.h"
#include "builder.h"
#include "items.h"
#include "lib/base/text.h"
#include "range.h"
#include "read.h"
#include "source.h"
#include "trusted-path.h"

enum {
	QUEUE_DEFAULT = 64,
	QUEUE_MAX = 65536,
	CONNECTIONS_DEFAULT = 32,
	CONNECTIONS_MAX = 65536,
};

static const char config_name[] = "hatchd.json";

enum { KEEP_DAYS_MAX = 90 /* what is older is removed by systemd-tmpfiles too */ };

#define MIB (UINT64_C(1) << 20)
#define TIB (UINT64_C(1) << 40)

static const struct member failed_members[] = {
	{ "size", read_size, offsetof(struct config, failed.size), MIB, TIB },
	{ "total", read_size, offsetof(struct config, failed.total), MIB, TIB },
	{ "keep_days", read_count, offsetof(struct config, failed.keep_days), 1, KEEP_DAYS_MAX },
};

static int read_missing(struct reading *in, const struct value *value, const struct member *row,
                        void *object)
{
	static const char *const words[] = { "refuse", "allow" };
	struct config *config = object;
	size_t chosen = 0;
	int r = read_word(in, value, words, ARRAY_SIZE(words), "\"refuse\" or \"allow\"", &chosen);

	config->allow_missing = chosen == 1;
	return r;
}

static const struct member config_members[] = {
	{ "store", read_path, offsetof(struct config, store_dir) },
	{ "state", read_path, offsetof(struct config, state_dir) },
	{ "build_users_group", read_line, offsetof(struct config, build_group), 1,
	  ACCOUNT_NAME_MAX },
	{ "pasta", read_path, offsetof(struct config, pasta) },
	{ "speaker_user", read_line, offsetof(struct config, speaker_user), 1, ACCOUNT_NAME_MAX },
	{ "range_base", read_count, offsetof(struct config, range_base), RANGE_LEN, UINT32_MAX },
	{ "queue_max", read_count, offsetof(struct config, queue_max), 0, QUEUE_MAX },
	{ "connections_per_user", read_count, offsetof(struct config, connections_per_user), 1,
	  CONNECTIONS_MAX },
	{ "resources", read_resources_defined },
	{ "missing_derivation", read_missing },
	{ "failed", read_members, .rows = failed_members, .n_rows = ARRAY_SIZE(failed_members) },
};

static const struct member config_object = { .rows = config_members,
	                                     .n_rows = ARRAY_SIZE(config_members) };

void config_done(struct config *config)
{
	source_free(config->source);
	free(config->dir);
	free(config->file);
	free(config->store_dir);
	free(config->state_dir);
	free(config->build_group);
	free(config->pasta);
	free(config->speaker_user);
	for (size_t i = 0; i < config->n_users; i++) {
		free(config->users[i].name);
		free(config->users[i].groups);
	}
	free(config->users);
	resources_free(config->resources, config->n_resources);
	*config = (struct config){ 0 };
}

static bool is_offline(const struct config_report *report)
{
	return report && report->offline;
}

static uid_t believed_owner(bool pool, const struct config_report *report)
{
	if (is_offline(report))
		return OWNER_ANYBODY;
	return pool ? 0 : geteuid();
}

/* What requests write, and who holds which slot. */
static int check_state_place(struct reading *in, const struct config *config)
{
	const struct value *state = reading_key(in, "state");
	const struct reserved rows[] = {
		{ "/run/hatch", "builds see it", RESERVED_BELOW | RESERVED_AROUND },
		{ config->store_dir, "everybody sees the store", RESERVED_BELOW | RESERVED_AROUND },
	};

	/* Of another kind: an error already. */
	if (!state || state->kind != VALUE_STRING)
		return 0;
	return check_reserved(in, state, rows, ARRAY_SIZE(rows), 0);
}

/* One that does not fit would be kept by nobody. */
static int check_failed(struct reading *in, const struct config *config)
{
	const struct value *failed = reading_key(in, "failed");
	const struct value *size = failed ? value_member(failed, "size") : NULL;
	char total[TEXT_SIZE_LEN];

	if (config->failed.size <= config->failed.total)
		return 0;
	return reading_fail(in, size ? size : failed, EINVAL,
	                    "size is above total; expected at most %s",
	                    text_size_json(config->failed.total, total));
}

static int set_defaults(const char *dir, bool pool, const struct config_report *report,
                        struct config *config)
{
	*config = (struct config){
		.dir = strdup(dir),
		.store_dir = strdup("/nix/store"),
		.state_dir = strdup(STATE_DIR),
		.build_group = strdup("hatchbld"),
		.pasta = strdup("/usr/bin/pasta"),
		.speaker_user = strdup("hatch"),
		.queue_max = QUEUE_DEFAULT,
		.connections_per_user = CONNECTIONS_DEFAULT,
		.failed = { .size = 64 * MIB, .total = 1024 * MIB, .keep_days = 7 },
		.pool = pool,
		.offline = is_offline(report),
		.owner_uid = believed_owner(pool, report),
		/* Nobody's, until they are known. */
		.build_gid = (gid_t)-1,
		.speaker_uid = (uid_t)-1,
		.speaker_gid = (gid_t)-1,
	};
	if (asprintf(&config->file, "%s/%s", dir, config_name) < 0)
		config->file = NULL;
	return config->dir && config->pasta && config->store_dir && config->state_dir &&
	                       config->build_group && config->speaker_user && config->file
	               ? 0
	               : -ENOMEM;
}

int config_parse(const char *dir, bool pool, const char *text, size_t len,
                 const struct config_report *report, struct config *ret, struct error *err)
{
	cleanup_config struct config config = { 0 };
	struct document none = { .name = config_name };
	struct reading in = { .doc = &none, .report = report, .err = err };
	struct error parse_err;

	if (set_defaults(dir, pool, report, &config) < 0)
		return reading_no_memory(&in);
	none.name = config.file;
	if (text && source_make(config.file, text, len, &config.source, &parse_err) < 0)
		(void)reading_keep_error(&in, &parse_err);
	if (config.source) {
		in.doc = &config.source->doc;
		(void)read_members(&in, &in.doc->root, &config_object, &config);
	}
	if (!reading_stops(&in))
		(void)check_failed(&in, &config);
	if (!reading_stops(&in))
		(void)check_state_place(&in, &config);
	if (pool && !reading_stops(&in))
		(void)check_accounts(&in, &config);
	if (in.first < 0 && !report)
		return in.first;
	config.partial = in.first < 0;
	*ret = config;
	config = (struct config){ 0 };
	return in.first;
}

void config_hint_missing(const char *dir, struct error *err)
{
	size_t len = strlen(CONFIG_DIR);

	if (strncmp(dir, CONFIG_DIR, len) == 0 && (dir[len] == '\0' || dir[len] == '/'))
		(void)error_hint(err, "make it: systemd-tmpfiles --create hatch.conf");
	else
		(void)error_hint(err, "make it: install -d -m 0755 '%s'", dir);
}

static int load_text(const char *dir, uid_t owner_uid, char **ret, size_t *ret_len,
                     struct error *err)
{
	cleanup_free char *path = NULL;
	cleanup_fd int dir_fd = -1;
	int r = trusted_directory(dir, owner_uid, &dir_fd, err);

	if (r == -ENOENT)
		config_hint_missing(dir, err);
	if (r < 0)
		return r;
	if (asprintf(&path, "%s/%s", dir, config_name) < 0) {
		path = NULL;
		return error_set(err, BLAME_HOST, ENOMEM, "no memory to read %s", dir);
	}
	return config_read_text(path, owner_uid, ret, ret_len, err);
}

int config_load_reporting(const char *dir, bool pool, const struct config_report *report,
                          struct config *ret, struct error *err)
{
	cleanup_free char *text = NULL;
	struct reading in = { .report = report, .err = err };
	struct error text_err;
	size_t len = 0;

	if (load_text(dir, believed_owner(pool, report), &text, &len, &text_err) < 0)
		return reading_keep_error(&in, &text_err);
	return config_parse(dir, pool, text, len, report, ret, err);
}

int config_load(const char *dir, bool pool, struct config *ret, struct error *err)
{
	return config_load_reporting(dir, pool, NULL, ret, err);
}

int config_fail(const struct config *config, const char *key, const struct error *why,
                struct error *err)
{
	const struct value *value = config->source ? value_member(&config->source->doc.root, key)
	                                           : NULL;
	size_t line, column;
	char place[48] = "";

	if (value) {
		document_place(&config->source->doc, value->at, &line, &column);
		(void)snprintf(place, sizeof(place), ":%zu:%zu", line, column);
	}
	(void)error_set(err, BLAME_HOST, why->code, "%s%s: \"%s\": %s", config->file, place, key,
	                why->text);
	return why->hint[0] ? error_hint(err, "%s", why->hint) : -why->code;
}

int config_open_state(const struct config *config, int *ret_fd, struct error *err)
{
	struct error why;
	int r = trusted_directory(config->state_dir, config->owner_uid, ret_fd, &why);

	if (r == -ENOENT)
		(void)error_hint(&why, "make it: install -d -m 0700 '%s'", config->state_dir);
	return r < 0 ? config_fail(config, "state", &why, err) : 0;
}
