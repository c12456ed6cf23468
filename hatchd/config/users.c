/*
 * The accounts that hatchd.json names: the speaker's, and those of the pool, under which requests
 * run. How an account is asked for is in accounts.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "accounts.h"
#include "lib/base/cleanup.h"
#include "range.h"
#include "read.h"

static int find_speaker(struct reading *in, struct config *config)
{
	const struct value *at = reading_key(in, "speaker_user");
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
	const struct value *at = reading_key(in, "build_users_group");
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
	return reading_fail(in, reading_key(in, "build_users_group"), EINVAL,
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
		return reading_fail(in, reading_key(in, "build_users_group"), EINVAL,
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
		in, reading_key(in, "build_users_group"), EINVAL,
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

/* Of another machine's, whose accounts cannot be asked for. */
static int check_account_names(struct reading *in, const struct config *config)
{
	if (strcmp(config->speaker_user, "root") == 0)
		(void)reading_fail(in, reading_key(in, "speaker_user"), EINVAL,
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

int check_accounts(struct reading *in, struct config *config)
{
	if (config->offline)
		(void)check_account_names(in, config);
	else
		(void)find_accounts(in, config);
	if (!reading_stops(in))
		(void)check_range(in, config);
	return in->first;
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
