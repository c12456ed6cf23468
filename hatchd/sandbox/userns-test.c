/* The texts of maps; and with root, namespaces made of them. */
#include "userns.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "privilege.h"
#include "tests/unit.h"

static const gid_t groups[] = { 70000, 44, 20, 44 };

static const struct id_request someone = {
	.uid = 31001,
	.gid = 31000,
	.groups = groups,
	.n_groups = ARRAY_SIZE(groups),
	.range_first = 1 << 20,
};

static bool maps_are(enum uid_map kind, size_t n_groups, const char *uids, const char *gids)
{
	struct id_request request = someone;
	cleanup_(id_maps_done) struct id_maps maps = { 0 };

	request.kind = kind;
	request.n_groups = n_groups;
	if (id_maps_make(&request, &maps) < 0)
		return false;
	if (strcmp(maps.uids.data, uids) == 0 && strcmp(maps.gids.data, gids) == 0)
		return true;
	printf("  got %s  and %s", maps.uids.data, maps.gids.data);
	return false;
}

static void maps_one_to_oneself(void)
{
	check(maps_are(UID_MAP_SELF, 0, "31001 31001 1\n", "31000 31000 1\n"));
	check(maps_are(UID_MAP_SELF, 4, "31001 31001 1\n",
	               "31000 31000 1\n20 20 1\n44 44 1\n70000 70000 1\n"));
}

static void maps_root_to_the_build_user(void)
{
	check(maps_are(UID_MAP_ROOT, 0, "0 31001 1\n", "0 31000 1\n"));
	check(maps_are(UID_MAP_ROOT, 4, "0 31001 1\n",
	               "0 31000 1\n20 20 1\n44 44 1\n70000 70000 1\n"));
}

static void a_range_leaves_out_what_a_group_takes(void)
{
	check(maps_are(UID_MAP_RANGE, 0, "0 31001 1\n1 1048577 65535\n",
	               "0 31000 1\n1 1048577 65535\n"));
	check(maps_are(UID_MAP_RANGE, 4, "0 31001 1\n1 1048577 65535\n",
	               "0 31000 1\n1 1048577 19\n20 20 1\n21 1048597 23\n44 44 1\n"
	               "45 1048621 65491\n70000 70000 1\n"));
}

static void a_range_has_room_for_groups_at_its_ends(void)
{
	const gid_t ends[] = { 1, 65535, 65536 };
	struct id_request request = someone;
	cleanup_(id_maps_done) struct id_maps maps = { 0 };

	request.kind = UID_MAP_RANGE;
	request.groups = ends;
	request.n_groups = ARRAY_SIZE(ends);
	check(id_maps_make(&request, &maps) == 0);
	check(strcmp(maps.gids.data, "0 31000 1\n1 1 1\n2 1048578 65533\n65535 65535 1\n"
	                             "65536 65536 1\n") == 0);
}

/* --- with root --- */

/* Run attempt() as root of a namespace that is made of the request; its exit status. */
static int attempt_inside(enum uid_map kind, unsigned with, uint64_t keep, int (*attempt)(void))
{
	struct id_request request = someone;
	cleanup_(id_maps_done) struct id_maps maps = { 0 };
	cleanup_user_ns struct user_ns ns = USER_NS_NONE;
	struct error err = { 0 };
	struct account account = {
		.uid = someone.uid,
		.gid = someone.gid,
		.change = true,
		.root = kind != UID_MAP_SELF,
		.user_ns_fd = &ns.user_fd,
		.keep = keep,
	};
	int status;
	pid_t pid;

	request.kind = kind;
	if (id_maps_make(&request, &maps) < 0 || user_ns_make(&maps, with, &ns, &err) < 0) {
		printf("  %s\n", err.text);
		return -1;
	}
	pid = fork();
	if (pid == 0) {
		if (ns.time_fd >= 0 && setns(ns.time_fd, 0) < 0)
			_exit(10);
		if (ns.net_fd >= 0 && setns(ns.net_fd, CLONE_NEWNET) < 0)
			_exit(11);
		_exit(privilege_become(&account, &err) < 0 ? 12 : attempt());
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

static int is_root_of_the_namespace(void)
{
	return getuid() == 0 && geteuid() == 0 && getgid() == 0 ? 0 : 1;
}

static int makes_a_user_namespace(void)
{
	return unshare(CLONE_NEWUSER) == 0 ? 0 : errno;
}

static int becomes_another(void)
{
	if (setresgid(33, 33, 33) < 0 || setresuid(33, 33, 33) < 0)
		return errno;
	return getuid() == 33 ? 0 : 1;
}

static int makes_a_file_of_another(void)
{
	char path[] = "/tmp/hatch-userns-XXXXXX";
	int fd = mkstemp(path), r;

	if (fd < 0)
		return 1;
	r = fchown(fd, 33, 33) < 0 ? errno : 0;
	(void)close(fd);
	(void)unlink(path);
	return r;
}

static int owns_nothing_of_root(void)
{
	return open("/etc/shadow", O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES &&
	                       chmod("/tmp", 0700) < 0 && errno == EPERM && chroot("/") < 0 &&
	                       errno == EPERM
	               ? 0
	               : 1;
}

static int has_clocks_that_begin_now(void)
{
	struct timespec monotonic, boot;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (clock_gettime(CLOCK_MONOTONIC, &monotonic) < 0 ||
		    clock_gettime(CLOCK_BOOTTIME, &boot) < 0)
			_exit(1);
		_exit(monotonic.tv_sec > 60 || boot.tv_sec > 60);
	}
	return waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 1;
}

static void root_inside_is_root_of_nothing_else(void)
{
	check(attempt_inside(UID_MAP_ROOT, 0, 0, is_root_of_the_namespace) == 0);
	check(attempt_inside(UID_MAP_SELF, 0, 0, is_root_of_the_namespace) == 1);
	check(attempt_inside(UID_MAP_ROOT, 0, CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_FOWNER),
	                     owns_nothing_of_root) == 0);
}

static void a_capability_works_only_if_it_is_kept(void)
{
	check(attempt_inside(UID_MAP_RANGE, 0, CAP_BIT(CAP_CHOWN), makes_a_file_of_another) == 0);
	check(attempt_inside(UID_MAP_RANGE, 0, 0, makes_a_file_of_another) == EPERM);
	check(attempt_inside(UID_MAP_RANGE, 0, CAP_BIT(CAP_SETUID) | CAP_BIT(CAP_SETGID),
	                     becomes_another) == 0);
	check(attempt_inside(UID_MAP_RANGE, 0, CAP_BIT(CAP_CHOWN), becomes_another) == EPERM);
	/* There is nobody else to become. */
	check(attempt_inside(UID_MAP_ROOT, 0, CAP_BIT(CAP_SETUID) | CAP_BIT(CAP_SETGID),
	                     becomes_another) == EINVAL);
}

static void nobody_makes_another_one_where_that_is_forbidden(void)
{
	check(attempt_inside(UID_MAP_ROOT, 0, 0, makes_a_user_namespace) == ENOSPC);
	check(attempt_inside(UID_MAP_SELF, 0, 0, makes_a_user_namespace) == ENOSPC);
	check(attempt_inside(UID_MAP_SELF, WITH_NESTED, 0, makes_a_user_namespace) == 0);
}

static void clocks_begin_with_the_namespace(void)
{
	check(attempt_inside(UID_MAP_SELF, WITH_TIME, 0, has_clocks_that_begin_now) == 0);
}

/* Whoever is the build user outside has no right over what was made for it inside. */
static int enters_as_the_build_user(const struct user_ns *ns)
{
	if (setgid(someone.gid) < 0 || setuid(someone.uid) < 0)
		return 1;
	return setns(ns->user_fd, CLONE_NEWUSER) < 0 && errno == EPERM ? 0 : 2;
}

static void the_build_user_does_not_own_the_namespace(void)
{
	struct id_request request = someone;
	cleanup_(id_maps_done) struct id_maps maps = { 0 };
	cleanup_user_ns struct user_ns ns = USER_NS_NONE;
	struct error err = { 0 };
	int status;
	pid_t pid;

	request.kind = UID_MAP_ROOT;
	check(id_maps_make(&request, &maps) == 0 &&
	      user_ns_make(&maps, WITH_NETWORK, &ns, &err) == 0);
	check(ns.net_fd >= 0 && ns.time_fd < 0);
	pid = fork();
	if (pid == 0)
		_exit(enters_as_the_build_user(&ns));
	check(waitpid(pid, &status, 0) == pid && status == 0);
}

static const struct unit_case texts[] = {
	CASE(maps_one_to_oneself),
	CASE(maps_root_to_the_build_user),
	CASE(a_range_leaves_out_what_a_group_takes),
	CASE(a_range_has_room_for_groups_at_its_ends),
};

static const struct unit_case with_root[] = {
	CASE(root_inside_is_root_of_nothing_else),
	CASE(a_capability_works_only_if_it_is_kept),
	CASE(nobody_makes_another_one_where_that_is_forbidden),
	CASE(clocks_begin_with_the_namespace),
	CASE(the_build_user_does_not_own_the_namespace),
};

static bool can_make_them(void)
{
	struct id_request request = someone;
	cleanup_(id_maps_done) struct id_maps maps = { 0 };
	cleanup_user_ns struct user_ns ns = USER_NS_NONE;

	return geteuid() == 0 && id_maps_make(&request, &maps) == 0 &&
	       user_ns_make(&maps, 0, &ns, NULL) == 0;
}

int main(void)
{
	int r = unit_run(texts, ARRAY_SIZE(texts));

	if (can_make_them())
		return r | unit_run(with_root, ARRAY_SIZE(with_root));
	unit_skip(with_root, ARRAY_SIZE(with_root), "no root who may make user namespaces");
	return r;
}
