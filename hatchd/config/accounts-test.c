/*
 * The pool's accounts, against a passwd(5) and group(5) of the test's own: bound over the real ones
 * in a private mount namespace.
 */
#include "accounts.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "read.h"
#include "tests/unit.h"

static struct error err;
static char dir[] = "/tmp/hatch-accounts-XXXXXX";

static const char passwd_head[] = "root:x:0:0::/:/bin/sh\nhatch:x:500:500::/:/bin/false\n"
				  "nobody:x:65534:65534::/:/bin/false\n"
				  "toor:x:0:7::/:/bin/sh\nwheel:x:501:0::/:/bin/sh\n";
static const char group_head[] = "root:x:0:\nhatch:x:500:\nnogroup:x:65534:\n";

static bool write_text(const char *path, const char *text)
{
	cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	return fd >= 0 && fd_write_full(fd, text, strlen(text)) == 0;
}

static bool bind_over(const char *name, const char *text)
{
	char from[128], to[128];

	(void)snprintf(from, sizeof(from), "%s/%s", dir, name);
	(void)snprintf(to, sizeof(to), "/etc/%s", name);
	return write_text(from, text) && mount(from, to, NULL, MS_BIND, NULL) == 0;
}

/* As an ordinary user: root of a user namespace, where nobody else exists. */
static bool become_root(void)
{
	char map[64];
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (uid == 0)
		return unshare(CLONE_NEWNS) == 0;
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		return false;
	(void)snprintf(map, sizeof(map), "0 %u 1", uid);
	if (!write_text("/proc/self/uid_map", map) || !write_text("/proc/self/setgroups", "deny"))
		return false;
	(void)snprintf(map, sizeof(map), "0 %u 1", gid);
	return write_text("/proc/self/gid_map", map);
}

static bool enter(void)
{
	return mkdtemp(dir) && become_root() &&
	       mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       bind_over("nsswitch.conf", "passwd: files\ngroup: files\n") &&
	       bind_over("passwd", passwd_head) && bind_over("group", group_head);
}

/* The accounts of one case, beside those that are always there. */
static void set_accounts(const char *passwd, const char *group)
{
	char path[128], text[4096];

	(void)snprintf(path, sizeof(path), "%s/passwd", dir);
	(void)snprintf(text, sizeof(text), "%s%s", passwd_head, passwd);
	check(write_text(path, text));
	(void)snprintf(path, sizeof(path), "%s/group", dir);
	(void)snprintf(text, sizeof(text), "%s%s", group_head, group);
	check(write_text(path, text));
}

static int parse(const char *text, struct config *ret)
{
	err.text[0] = '\0';
	return config_parse("/etc/hatch", true, text, text ? strlen(text) : 0, NULL, ret, &err);
}

static const char two_users[] = "b1:x:601:600::/:/bin/false\nb2:x:602:600::/:/bin/false\n";

static void finds_the_members_in_order(void)
{
	cleanup_config struct config c = { 0 };

	set_accounts(two_users, "hatchbld:x:600:b2,b1\n");
	check(parse(NULL, &c) == 0);
	check(c.pool && c.owner_uid == 0 && c.build_gid == 600);
	check(c.speaker_uid == 500 && c.speaker_gid == 500);
	check(c.n_users == 2 && strcmp(c.users[0].name, "b2") == 0 && c.users[0].uid == 602);
	check(c.users[1].uid == 601 && c.users[1].gid == 600 && !c.users[1].resolved);
}

static void takes_build_users_as_whom_nobody_can_log_in(void)
{
	cleanup_config struct config c = { 0 };

	set_accounts("b1:x:601:600::/:/usr/sbin/nologin\n"
	             "b2:x:602:600::/:/run/current-system/sw/bin/nologin\n"
	             "b3:x:603:600::/:/bin/false\n",
	             "hatchbld:x:600:b1,b2,b3\n");
	check(parse(NULL, &c) == 0);
	check(c.n_users == 3);
}

static void finds_accounts_of_other_names(void)
{
	cleanup_config struct config c = { 0 };

	set_accounts("b1:x:601:600::/:/bin/false\ntalk:x:700:701::/:/bin/false\n",
	             "pool:x:600:b1\n");
	check(parse("{\"build_users_group\": \"pool\", \"speaker_user\": \"talk\"}", &c) == 0);
	check(c.speaker_uid == 700 && c.speaker_gid == 701 && c.build_gid == 600);
}

static void refuses_accounts_that_cannot_be_kept_apart(void)
{
	static const struct {
		const char *passwd, *group, *words;
	} rows[] = {
		{ two_users, "", "does not exist" },
		{ two_users, "hatchbld:x:600:\n", "has no members" },
		{ two_users, "hatchbld:x:0:b1\n", "is root's" },
		{ two_users, "hatchbld:x:600:b1,b3\n", "\"b3\", which is no user" },
		{ two_users, "hatchbld:x:600:b1,toor\n", "\"toor\" is uid 0" },
		{ two_users, "hatchbld:x:600:wheel\n", "\"wheel\" is uid 501 gid 0" },
		{ two_users, "hatchbld:x:600:nobody\n", "neither root nor nobody" },
		{ two_users, "hatchbld:x:600:hatch\n", "is also speaker_user" },
		{ two_users, "hatchbld:x:600:b1,b2,b1\n", "\"b1\" and \"b1\" are both uid 601" },
		{ "b1:x:601:600::/:/bin/false\nb2:x:601:600::/:/bin/false\n",
		  "hatchbld:x:600:b1,b2\n", "\"b1\" and \"b2\" are both uid 601" },
		{ "alice:x:1000:1000::/:/bin/bash\n", "hatchbld:x:600:alice\n",
		  "somebody can log in as the build user \"alice\"" },
		{ "b1:x:601:600::/:\n", "hatchbld:x:600:b1\n", "somebody can log in as" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_config struct config c = { 0 };

		set_accounts(rows[i].passwd, rows[i].group);
		check(parse(NULL, &c) == -EINVAL);
		check(strncmp(err.text, "/etc/hatch/hatchd.json: ", 24) == 0);
		check(strstr(err.text, rows[i].words) != NULL);
		if (!strstr(err.text, rows[i].words))
			printf("# said: %s\n", err.text);
	}
}

/* Once, and not for each of its members. */
static void refuses_the_group_of_nix(void)
{
	cleanup_config struct config c = { 0 };

	set_accounts(two_users, "nixbld:x:30000:b1,b2\n");
	check(parse("{\"build_users_group\": \"nixbld\"}", &c) == -EINVAL);
	check(strstr(err.text, ":1:23: the group \"nixbld\" is Nix's own") != NULL);
	check(strstr(err.text, "such as \"hatchbld\"") && !err.hint[0]);
}

static void refuses_a_speaker_that_is_not_one_of_its_own(void)
{
	static const struct {
		const char *text, *words;
	} rows[] = {
		{ "{\"speaker_user\": \"root\"}", ":1:18: speaker_user \"root\" is uid 0" },
		{ "{\"speaker_user\": \"toor\"}", "is uid 0 gid 7" },
		{ "{\"speaker_user\": \"wheel\"}", "is uid 501 gid 0" },
		{ "{\"speaker_user\": \"nobody\"}", "expected a user and group of its own" },
		{ "{\"speaker_user\": \"ghost\"}", ":1:18: there is no user \"ghost\"" },
	};

	set_accounts(two_users, "hatchbld:x:600:b1,b2\n");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_config struct config c = { 0 };

		check(parse(rows[i].text, &c) == -EINVAL);
		check(strstr(err.text, rows[i].words) != NULL);
	}
}

static void resolves_the_groups_of_one_user(void)
{
	cleanup_config struct config c = { 0 };

	set_accounts(two_users, "hatchbld:x:600:b1,b2\nserial:x:20:b1\nusb:x:21:b2,b1\n");
	check(parse(NULL, &c) == 0);
	check(config_resolve_user(&c, &c.users[0], &err) == 0);
	check(c.users[0].resolved && !c.users[1].resolved);
	check(c.users[0].n_groups == 2);
	check(c.users[0].groups && c.users[0].groups[0] == 20 && c.users[0].groups[1] == 21);
	check(config_resolve_user(&c, &c.users[1], &err) == 0);
	check(c.users[1].n_groups == 1 && c.users[1].groups && c.users[1].groups[0] == 21);
	check(config_resolve_user(&c, &c.users[1], &err) == 0);
}

static void resolves_more_groups_than_fit_the_first_try(void)
{
	cleanup_config struct config c = { 0 };
	char groups[3000];
	int len = snprintf(groups, sizeof(groups), "hatchbld:x:600:b1,b2\n");

	for (int i = 0; i < 100; i++)
		len += snprintf(groups + len, sizeof(groups) - (size_t)len, "g%d:x:%d:b1\n", i,
		                1000 + i);
	set_accounts(two_users, groups);
	check(parse(NULL, &c) == 0);
	check(config_resolve_user(&c, &c.users[0], &err) == 0);
	check(c.users[0].n_groups == 100);
}

static void refuses_a_build_user_in_group_0_or_in_nix_own_pool(void)
{
	cleanup_config struct config c = { 0 }, d = { 0 };

	set_accounts(two_users, "hatchbld:x:600:b1,b2\nadm:x:0:b1\n");
	check(parse(NULL, &c) == 0);
	check(config_resolve_user(&c, &c.users[0], &err) == -EINVAL);
	check(strstr(err.text, "group 0") && !c.users[0].resolved);
	check(config_resolve_user(&c, &c.users[1], &err) == 0);

	set_accounts(two_users, "hatchbld:x:600:b1,b2\nnixbld:x:30000:n1,b2\n");
	check(parse(NULL, &d) == 0);
	check(config_resolve_user(&d, &d.users[0], &err) == 0);
	check(config_resolve_user(&d, &d.users[1], &err) == -EINVAL);
	check(strstr(err.text, "b2 is a member of nixbld") != NULL);
}

/* A name service that does not answer is an error, and not an account that does not exist. */
static void tells_a_failing_name_service_from_a_missing_account(void)
{
	struct rlimit old;
	uid_t uid;
	gid_t gid;

	set_accounts("", "");
	check(account_find_user("b1", &uid, &gid, &err) == 0);
	check(account_find_group("b1", &gid, &err) == 0);
	check(account_find_user("hatch", &uid, &gid, &err) == 1 && uid == 500 && gid == 500);
	/* No descriptor is left to open the files with. */
	check(getrlimit(RLIMIT_NOFILE, &old) == 0);
	check(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 0, old.rlim_max }) == 0);
	check(account_find_user("hatch", &uid, &gid, &err) == -EMFILE);
	check(account_find_group("hatch", &gid, &err) == -EMFILE);
	check(setrlimit(RLIMIT_NOFILE, &old) == 0);
}

static const struct unit_case cases[] = {
	CASE(finds_the_members_in_order),
	CASE(takes_build_users_as_whom_nobody_can_log_in),
	CASE(finds_accounts_of_other_names),
	CASE(refuses_accounts_that_cannot_be_kept_apart),
	CASE(refuses_the_group_of_nix),
	CASE(refuses_a_speaker_that_is_not_one_of_its_own),
	CASE(resolves_the_groups_of_one_user),
	CASE(resolves_more_groups_than_fit_the_first_try),
	CASE(refuses_a_build_user_in_group_0_or_in_nix_own_pool),
	CASE(tells_a_failing_name_service_from_a_missing_account),
};

static void leave(void)
{
	char path[128];
	const char *const names[] = { "passwd", "group", "nsswitch.conf" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		(void)unlink(path);
	}
	(void)rmdir(dir);
}

int main(void)
{
	int r = EXIT_SUCCESS;

	if (enter())
		r = unit_run(cases, ARRAY_SIZE(cases));
	else
		unit_skip(cases, ARRAY_SIZE(cases), "no private mount namespace");
	leave();
	return r;
}
