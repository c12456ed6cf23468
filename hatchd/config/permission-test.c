/* What build users may do with files, in directories of the test's own. Root is no owner here: the
 * accounts of the pool are made up. */
#include "permission.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hatchd/config/read.h"
#include "lib/base/fd.h"
#include "tests/unit.h"

static char dir[] = "/tmp/hatch-permission-XXXXXX";
static gid_t group = 54323;
static struct build_user users[] = {
	{ .name = (char *)"one", .uid = 54321, .gid = 54321 },
	{ .name = (char *)"two", .uid = 54322, .gid = 54321, .groups = &group, .n_groups = 1 },
};

static const char *at(const char *name)
{
	static char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static bool make(const char *name, mode_t mode)
{
	bool is_dir = name[strlen(name) - 1] == '/';
	cleanup_fd int fd = is_dir ? -1 : open(at(name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	return (is_dir ? mkdir(at(name), 0700) == 0 : fd >= 0) && chmod(at(name), mode) == 0;
}

/* Is there a warning for a place of "write" there? */
static bool warns(const char *name, const gid_t *groups, enum uid_map map, struct error *err)
{
	struct config config = { .users = users, .n_users = ARRAY_SIZE(users) };
	struct place place = { .kind = PLACE_WRITE, .source = (char *)at(name) };
	struct builder builder = { .name = (char *)"b",
		                   .file = (char *)"b.json",
		                   .uid_map = map,
		                   .groups = (gid_t *)groups,
		                   .n_groups = groups ? 1 : 0 };

	return builder_warn_write(&config, &builder, &place, err);
}

static bool warns_plainly(const char *name)
{
	struct error err;

	return warns(name, NULL, UID_MAP_SELF, &err);
}

static void warns_of_what_nobody_can_write(void)
{
	struct error err = { 0 };

	check(make("closed/", 0755) && make("closed/file", 0644) && make("closed/dir/", 0755));
	check(symlink("/tmp", at("closed/link")) == 0);
	check(warns("closed", NULL, UID_MAP_SELF, &err));
	check(strstr(err.text, "b.json:0:0: no build user can write to "));
	check(strstr(err.text, "/closed, nor to anything in it (mode 0755, uid "));
	check(strstr(err.hint, "\"groups\""));
	check(warns("closed/file", NULL, UID_MAP_SELF, &err) && !strstr(err.text, "in it"));
}

static void is_silent_where_something_below_can_be_written(void)
{
	check(make("mixed/", 0755) && make("mixed/a/", 0755) && make("mixed/a/b/", 0755));
	check(warns_plainly("mixed"));
	check(make("mixed/a/b/file", 0646));
	check(!warns_plainly("mixed") && !warns_plainly("mixed/a/b/file"));
	/* Not where none of them comes to it. */
	check(chmod(at("mixed/a"), 0750) == 0 && warns_plainly("mixed"));
	check(chmod(at("mixed"), 0757) == 0 && !warns_plainly("mixed"));
}

static void knows_owners_and_groups(void)
{
	gid_t own = getegid();
	struct error err;

	check(make("shared/", 0775) && warns_plainly("shared"));
	check(!warns("shared", &own, UID_MAP_SELF, &err));
	group = own;
	check(!warns_plainly("shared"));
	group = 54323;
	users[1].uid = geteuid();
	check(!warns_plainly("shared"));
	users[1].uid = 54322;
}

/* A group that is less than the others may do: the mode's first word that fits counts. */
static void gives_a_group_no_more_than_its_own(void)
{
	gid_t own = getegid();
	struct error err;

	check(make("less/", 0757) && !warns_plainly("less"));
	users[0].gid = users[1].gid = own;
	check(warns("less", NULL, UID_MAP_SELF, &err));
	users[0].gid = users[1].gid = 54321;
}

static void is_silent_where_it_does_not_know(void)
{
	struct place read = { .kind = PLACE_READ, .source = (char *)"/" };
	struct config none = { 0 };
	struct builder builder = { .file = (char *)"b.json" };
	struct error err;

	check(make("unknown/", 0755) && warns_plainly("unknown"));
	check(!warns("unknown", NULL, UID_MAP_RANGE, &err));
	check(!builder_warn_write(&none, &builder, &read, &err));
	read.kind = PLACE_WRITE;
	check(!builder_warn_write(&none, &builder, &read, &err));
	check(!warns_plainly("missing"));
}

static void gives_up_after_some_thousand_names(void)
{
	check(make("many/", 0755));
	for (int i = 0; i < 10001; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "many/%d", i);
		check(make(name, 0644));
		if (i == 1000)
			check(warns_plainly("many"));
	}
	check(!warns_plainly("many"));
}

static const struct unit_case cases[] = {
	CASE(warns_of_what_nobody_can_write),
	CASE(is_silent_where_something_below_can_be_written),
	CASE(knows_owners_and_groups),
	CASE(gives_a_group_no_more_than_its_own),
	CASE(is_silent_where_it_does_not_know),
	CASE(gives_up_after_some_thousand_names),
};

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *walk)
{
	return remove(path);
}

int main(void)
{
	int r;

	if (!mkdtemp(dir))
		return EXIT_FAILURE;
	r = unit_run(cases, ARRAY_SIZE(cases));
	(void)nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return r;
}
