/*
 * hatchd.json and the accounts of the pool. What a builder may hold is in builder.c, how a
 * value is read in read.c.
 */
#include "config.h"

#include <dirent.h>
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
static const char suffix[] = ".json";

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

/* Where a key stands, so that what is wrong with the account it names has a place; NULL if it has
 * its default. */
static const struct value *find_key(const struct reading *in, const char *key)
{
	return value_member(&in->doc->root, key);
}

static int find_speaker(struct reading *in, struct config *config)
{
	const struct value *at = find_key(in, "speaker_user");
	char shown[SHOW_LEN];
	struct error err;
	int r = account_find_user(config->speaker_user, &config->speaker_uid, &config->speaker_gid,
	                          &err);

	if (r < 0)
		return reading_keep_error(in, &err);
	(void)show(config->speaker_user, shown);
	if (r == 0)
		return reading_fail(
			in, at, EINVAL,
			"there is no user \"%s\"; expected speaker_user to name a system "
			"user (systemd-sysusers makes it)",
			shown);
	if (config->speaker_uid == 0 || config->speaker_gid == 0 ||
	    id_is_nobody(config->speaker_uid) || id_is_nobody(config->speaker_gid))
		return reading_fail(
			in, at, EINVAL,
			"speaker_user \"%s\" is uid %u gid %u; expected a user and group "
			"of its own",
			shown, config->speaker_uid, config->speaker_gid);
	return 0;
}

/* Numbers under which a request can run and be kept apart from everybody else. */
static int check_user(struct reading *in, const struct config *config,
                      const struct build_user *user)
{
	const struct value *at = find_key(in, "build_users_group");
	char shown[SHOW_LEN], other[SHOW_LEN];

	(void)show(user->name, shown);
	if (user->uid == 0 || user->gid == 0 || id_is_nobody(user->uid) || id_is_nobody(user->gid))
		return reading_fail(
			in, at, EINVAL,
			"the build user \"%s\" is uid %u gid %u; expected neither root nor "
			"nobody",
			shown, user->uid, user->gid);
	if (user->uid == config->speaker_uid)
		return reading_fail(
			in, at, EINVAL,
			"the build user \"%s\" is also speaker_user; expected two users", shown);
	for (const struct build_user *u = config->users; u < user; u++)
		if (u->uid == user->uid)
			return reading_fail(in, at, EINVAL,
			                    "the build users \"%s\" and \"%s\" are both uid %u; "
			                    "expected a uid for each",
			                    show(u->name, other), shown, user->uid);
	return 0;
}

/* Somebody who logs in as it could end strangers' builders, and look into them. */
static int check_login(struct reading *in, const struct build_user *user)
{
	char shown[SHOW_LEN];
	struct error err;
	int r = account_has_login(user->name, &err);

	if (r < 0)
		return reading_keep_error(in, &err);
	if (r == 0)
		return 0;
	return reading_fail(in, find_key(in, "build_users_group"), EINVAL,
	                    "somebody can log in as the build user \"%s\"; expected accounts for "
	                    "builders alone, whose shell is nologin(8)",
	                    show(user->name, shown));
}

static int find_user(struct reading *in, struct config *config, const char *name)
{
	struct build_user *user = &config->users[config->n_users];
	char shown[SHOW_LEN];
	struct error err;
	int r = account_find_user(name, &user->uid, &user->gid, &err);

	if (r < 0)
		return reading_keep_error(in, &err);
	if (r == 0)
		return reading_fail(in, find_key(in, "build_users_group"), EINVAL,
		                    "the group has the member \"%s\", which is no user; expected "
		                    "members that exist",
		                    show(name, shown));
	user->name = strdup(name);
	if (!user->name)
		return reading_no_memory(in);
	config->n_users++;
	r = check_user(in, config, user);
	return r < 0 ? r : check_login(in, user);
}

static int fail_no_users(struct reading *in, const struct config *config, const char *what)
{
	char shown[SHOW_LEN];

	return reading_fail(
		in, find_key(in, "build_users_group"), EINVAL,
		"the group \"%s\" %s; expected build_users_group to name a group whose "
		"entry lists the build users, such as \"hatchbld\" (systemd-sysusers makes it)",
		show(config->build_group, shown), what);
}

/* What can be said of the group by its name alone. */
static int check_group_name(struct reading *in, const struct config *config)
{
	if (strcmp(config->build_group, "root") == 0)
		return fail_no_users(in, config, "is root's");
	if (strcmp(config->build_group, NIX_BUILD_GROUP) == 0)
		return fail_no_users(in, config, "is Nix's own, whose members run Nix's builds");
	return 0;
}

static int find_users(struct reading *in, struct config *config)
{
	cleanup_(strv_freep) char **names = NULL;
	struct error err;
	size_t n = 0;
	int r = account_list_members(config->build_group, &config->build_gid, &names, &err);

	if (r < 0)
		return reading_keep_error(in, &err);
	if (r == 0)
		return fail_no_users(in, config, "does not exist");
	if (config->build_gid == 0)
		return fail_no_users(in, config, "is root's");
	if (check_group_name(in, config) < 0)
		return in->first;
	while (names[n])
		n++;
	if (n == 0)
		return fail_no_users(in, config, "has no members");
	if (n > BUILD_USERS_MAX)
		return fail_no_users(in, config, "has more than 1024 members");
	config->users = calloc(n, sizeof(*config->users));
	if (!config->users)
		return reading_no_memory(in);
	for (size_t i = 0; i < n && !reading_stops(in); i++)
		(void)find_user(in, config, names[i]);
	return in->first;
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
	const struct value *state = find_key(in, "state");
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
	const struct value *failed = find_key(in, "failed");
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

/* Of another machine's, whose accounts cannot be asked for. */
static int check_account_names(struct reading *in, const struct config *config)
{
	if (strcmp(config->speaker_user, "root") == 0)
		(void)reading_fail(in, find_key(in, "speaker_user"), EINVAL,
		                   "speaker_user is root; expected a user and group of its own");
	if (!reading_stops(in))
		(void)check_group_name(in, config);
	return in->first;
}

static int find_accounts(struct reading *in, struct config *config)
{
	(void)find_speaker(in, config);
	if (!reading_stops(in))
		(void)find_users(in, config);
	return in->first;
}

static int check_accounts(struct reading *in, struct config *config)
{
	if (config->offline)
		(void)check_account_names(in, config);
	else
		(void)find_accounts(in, config);
	if (!reading_stops(in))
		(void)check_range(in, config);
	return in->first;
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

/* A directory that comes with the installation, or that its owner makes. */
static void hint_missing(const char *dir, struct error *err)
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
		hint_missing(dir, err);
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

/* An account that Nix uses for its builds would run two builds at once, one of each pool. */
static int refuse_nix_user(const struct config *config, const struct build_user *user,
                           struct error *err)
{
	cleanup_(strv_freep) char **names = NULL;
	gid_t gid;
	int r = account_list_members(NIX_BUILD_GROUP, &gid, &names, err);

	if (r <= 0)
		return r;
	for (size_t i = 0; names[i]; i++)
		if (strcmp(names[i], user->name) == 0) {
			(void)error_set(err, BLAME_HOST, EINVAL,
			                "the build user %.64s is a member of %s too, so Nix runs "
			                "builds under it",
			                user->name, NIX_BUILD_GROUP);
			(void)error_hint(err, "take it out of one: gpasswd --delete %.64s %.64s",
			                 user->name, config->build_group);
			return -EINVAL;
		}
	return 0;
}

int config_resolve_user(struct config *config, const struct build_user *user, struct error *err)
{
	struct build_user *own = &config->users[user - config->users];
	cleanup_free gid_t *groups = NULL;
	size_t n_groups;
	int r;

	if (own->resolved)
		return 0;
	r = account_list_groups(own->name, own->gid, &groups, &n_groups, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n_groups; i++)
		if (groups[i] == 0) {
			(void)error_set(err, BLAME_HOST, EINVAL,
			                "the build user %.64s is in group 0", own->name);
			(void)error_hint(err, "take it out: gpasswd --delete %.64s root",
			                 own->name);
			return -EINVAL;
		}
	r = refuse_nix_user(config, own, err);
	if (r < 0)
		return r;
	own->groups = take_ptr(&groups);
	own->n_groups = n_groups;
	own->resolved = true;
	return 0;
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

/* The name of the builder that a file of builders.d defines; NULL: none. -ENOMEM is errno. */
static char *builder_of_file(const char *file)
{
	size_t len = strlen(file), suffix_len = sizeof(suffix) - 1;

	errno = 0;
	if (len <= suffix_len || strcmp(file + len - suffix_len, suffix) != 0 ||
	    !text_is_name(file, len - suffix_len))
		return NULL;
	return strndup(file, len - suffix_len);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Append the builder that one entry defines. names has room for CONFIG_BUILDERS_MAX and the end. */
static int add_builder(struct reading *in, const char *file, char **names, size_t *n)
{
	char shown[SHOW_LEN];
	struct error err;

	if (strcmp(file, ".") == 0 || strcmp(file, "..") == 0)
		return 0;
	if (*n == CONFIG_BUILDERS_MAX)
		return reading_fail(in, NULL, E2BIG, "it holds more than %d files; expected less",
		                    CONFIG_BUILDERS_MAX);
	names[*n] = builder_of_file(file);
	if (names[*n]) {
		(*n)++;
		return 0;
	}
	if (errno == ENOMEM)
		return reading_no_memory(in);
	(void)error_set(&err, BLAME_HOST, EINVAL,
	                "%s/%s: this is no name of a definition; expected NAME.json, where NAME is "
	                "[a-z0-9][a-z0-9._-]{0,63}",
	                in->doc->name, show(file, shown));
	(void)error_hint(&err, "rename it, or move it out of that directory");
	return reading_keep_error(in, &err);
}

static int fail_listing(struct reading *in, int code)
{
	struct error err;

	(void)error_errno(&err, BLAME_HOST, code, "cannot list %s", in->doc->name);
	return reading_keep_error(in, &err);
}

static int list_directory(struct reading *in, DIR *entries, char **names)
{
	size_t n = 0;

	while (!reading_stops(in) && in->first != -E2BIG) {
		const struct dirent *entry;

		errno = 0;
		entry = readdir(entries);
		if (!entry && errno != 0)
			return fail_listing(in, errno);
		if (!entry)
			break;
		(void)add_builder(in, entry->d_name, names, &n);
	}
	qsort(names, n, sizeof(*names), compare_names);
	return in->first;
}

static void closedirp(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
}

/* Returns 1, 0 there is no such directory, or a negative errno. */
static int open_listing(struct reading *in, uid_t owner_uid, DIR **ret)
{
	cleanup_fd int path_fd = -1, fd = -1;
	struct error err;
	int r = trusted_directory(in->doc->name, owner_uid, &path_fd, &err);

	/* Without it there is nothing to serve, which only a check calls an error. */
	if (r == -ENOENT && !in->report)
		return 0;
	if (r == -ENOENT)
		hint_missing(in->doc->name, &err);
	if (r < 0)
		return reading_keep_error(in, &err);
	fd = openat(path_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fail_listing(in, errno);
	*ret = fdopendir(fd);
	if (!*ret)
		return fail_listing(in, errno);
	(void)take_fd(&fd);
	return 1;
}

int config_list_builders_reporting(const struct config *config, const struct config_report *report,
                                   char ***ret, struct error *err)
{
	cleanup_(strv_freep) char **names = calloc(CONFIG_BUILDERS_MAX + 1, sizeof(*names));
	cleanup_(closedirp) DIR *entries = NULL;
	cleanup_free char *dir = NULL;
	struct document doc = { .name = config->dir };
	struct reading in = { .doc = &doc, .report = report, .err = err };
	int r;

	if (!names || asprintf(&dir, "%s/builders.d", config->dir) < 0) {
		dir = NULL;
		return reading_no_memory(&in);
	}
	doc.name = dir;
	r = open_listing(&in, config->owner_uid, &entries);
	if (r > 0)
		r = list_directory(&in, entries, names);
	if (r < 0 && !report)
		return r;
	*ret = take_ptr(&names);
	return r;
}

int config_list_builders(const struct config *config, char ***ret, struct error *err)
{
	return config_list_builders_reporting(config, NULL, ret, err);
}
