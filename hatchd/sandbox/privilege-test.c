/* Each step down, taken by a child of its own. What needs root is skipped without. */
#include "privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "tests/unit.h"

enum {
	OTHER_UID = 31001,
	OTHER_GID = 31000,
	WAIT_MS = 20000,
};

/* Each is a question to a child that has taken its step; the child's answers are its exit status.
 */
static bool holds(bool (*question)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(question() ? 0 : 1);
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}

/* The value of one line of /proc/self/status, in the base given. */
static unsigned long long status_of(const char *name, int base)
{
	unsigned long long value = 0;
	char line[256];
	FILE *file = fopen("/proc/self/status", "re");
	bool found = false;

	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':') {
			value = strtoull(line + strlen(name) + 1, NULL, base);
			found = true;
		}
	if (file)
		(void)fclose(file);
	return found ? value : ~0ULL;
}

static bool has_no_capability(void)
{
	return status_of("CapInh", 16) == 0 && status_of("CapPrm", 16) == 0 &&
	       status_of("CapEff", 16) == 0 && status_of("CapAmb", 16) == 0;
}

/* --- without root --- */

static bool become_self(void)
{
	const struct account account = { .uid = getuid(), .gid = getgid() };
	struct error err = { 0 };

	return privilege_become(&account, &err) == 0;
}

static bool is_without_new_privileges(void)
{
	return become_self() && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
}

static bool is_not_dumpable(void)
{
	return become_self() && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0;
}

static bool is_without_capabilities(void)
{
	return become_self() && has_no_capability();
}

/* ES4, ES10: also where no id changes, as in unprivileged mode */
/* More than a process has mapped, that of a sanitizer too. */
#define LOWER_BYTES (UINT64_C(1) << 46)

static bool keeps_a_lower_limit(void)
{
	const struct rlimit lower = { LOWER_BYTES, 2 * LOWER_BYTES };
	struct rlimit limit;
	struct error err = { 0 };

	return setrlimit(RLIMIT_DATA, &lower) == 0 &&
	       privilege_limit_memory(8 * LOWER_BYTES, &err) == 0 &&
	       getrlimit(RLIMIT_DATA, &limit) == 0 && limit.rlim_cur == LOWER_BYTES &&
	       limit.rlim_max == LOWER_BYTES;
}

static bool lowers_a_higher_limit(void)
{
	struct rlimit limit;
	struct error err = { 0 };

	return privilege_limit_memory(LOWER_BYTES, &err) == 0 &&
	       getrlimit(RLIMIT_DATA, &limit) == 0 && limit.rlim_cur >= LOWER_BYTES &&
	       limit.rlim_cur == limit.rlim_max && limit.rlim_max != RLIM_INFINITY;
}

static void a_limit_of_memory_only_ever_goes_down(void)
{
	check(holds(keeps_a_lower_limit));
	check(holds(lowers_a_higher_limit));
}

static void gives_up_privileges_where_it_stays_who_it_is(void)
{
	check(holds(is_without_new_privileges));
	check(holds(is_not_dumpable));
	check(holds(is_without_capabilities));
}

/* The middle process starts the last one and dies; does the last one then die too? */
static bool dies_with_its_parent(bool (*step)(void))
{
	int ends[2], status;
	char byte;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return false;
	pid = fork();
	if (pid == 0) {
		if (fork() == 0) {
			/* Should it survive: not for ever, and nobody waits for its streams. */
			(void)alarm(3 * WAIT_MS / 1000);
			(void)close(1);
			(void)close(2);
			(void)!write(ends[1], step() ? "y" : "n", 1);
			for (;;)
				(void)pause();
		}
		/* Until the step is done, or there is nobody left to take it. */
		(void)poll(&(struct pollfd){ ends[0], POLLIN, 0 }, 1, WAIT_MS);
		(void)raise(SIGKILL);
	}
	(void)close(ends[1]);
	(void)waitpid(pid, &status, 0);
	if (read(ends[0], &byte, 1) != 1 || byte != 'y')
		return false;
	/* The end of the last writer is the end of the file. */
	return poll(&(struct pollfd){ ends[0], POLLIN, 0 }, 1, WAIT_MS) == 1 &&
	       read(ends[0], &byte, 1) == 0;
}

static bool only_ask_to_die(void)
{
	struct error err = { 0 };

	return privilege_die_with_parent(getppid(), &err) == 0;
}

/* SG3 */
static void dies_with_its_parent_after_each_way_down(void)
{
	check(dies_with_its_parent(only_ask_to_die));
	check(dies_with_its_parent(become_self));
}

static bool notices_a_dead_parent(void)
{
	struct error err = { 0 };

	/* Our parent is not this process: as if the right one had died and another had adopted us.
	 */
	return privilege_die_with_parent(getpid(), &err) == -ESRCH;
}

/* SG3: the parent may die just before the call */
static void a_parent_that_died_before_is_noticed(void)
{
	check(holds(notices_a_dead_parent));
}

static const int many[] = { 3, 4, 5, 63, 64, 65, 255, 900 };

static bool is_in(int fd, const int *list, size_t n_list)
{
	for (size_t i = 0; i < n_list; i++)
		if (list[i] == fd)
			return true;
	return false;
}

static bool closes_all_but(int *keep, size_t n_keep)
{
	struct error err = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		if (fcntl(many[i], F_GETFD) < 0 && dup2(0, many[i]) < 0)
			return false;
	if (fds_close_except(keep, n_keep, &err) < 0)
		return false;
	for (int fd = 0; fd < 1000; fd++)
		if (fcntl(fd, F_GETFD) >= 0 && fd > 2 && !is_in(fd, keep, n_keep))
			return false;
	for (size_t i = 0; i < n_keep; i++)
		if (keep[i] >= 0 && fcntl(keep[i], F_GETFD) < 0)
			return false;
	return fcntl(0, F_GETFD) >= 0 && fcntl(1, F_GETFD) >= 0 && fcntl(2, F_GETFD) >= 0;
}

static bool closes_all(void)
{
	int keep[] = { -1 };

	return closes_all_but(keep, ARRAY_SIZE(keep));
}

static bool keeps_the_first(void)
{
	int keep[] = { 3 };

	return closes_all_but(keep, ARRAY_SIZE(keep));
}

static bool keeps_some_in_any_order(void)
{
	int keep[] = { 900, -1, 64, 3, 64, -1, 65 };

	return closes_all_but(keep, ARRAY_SIZE(keep));
}

static bool keeps_all(void)
{
	int keep[] = { 3, 4, 5, 63, 64, 65, 255, 900 };

	return closes_all_but(keep, ARRAY_SIZE(keep));
}

/* FD4 */
static void closes_every_descriptor_that_is_not_kept(void)
{
	check(holds(closes_all));
	check(holds(keeps_the_first));
	check(holds(keeps_some_in_any_order));
	check(holds(keeps_all));
}

/* --- with root --- */

static bool become(const gid_t *groups, size_t n_groups, uid_t uid, gid_t gid)
{
	static const gid_t leftover[] = { 0, 4, 6, 42 };
	const struct account account = {
		.uid = uid, .gid = gid, .groups = groups, .n_groups = n_groups, .change = true
	};
	struct error err = { 0 };

	return setgroups(ARRAY_SIZE(leftover), leftover) == 0 &&
	       privilege_become(&account, &err) == 0;
}

static bool has_ids_and_groups(const gid_t *groups, size_t n_groups)
{
	uid_t r, e, s;
	gid_t rg, eg, sg, have[8];
	int n;

	if (!become(groups, n_groups, OTHER_UID, OTHER_GID))
		return false;
	n = getgroups(ARRAY_SIZE(have), have);
	for (int i = 0; i < n; i++)
		if ((size_t)i >= n_groups || have[i] != groups[i])
			return false;
	return n == (int)n_groups && getresuid(&r, &e, &s) == 0 && getresgid(&rg, &eg, &sg) == 0 &&
	       r == OTHER_UID && e == OTHER_UID && s == OTHER_UID && rg == OTHER_GID &&
	       eg == OTHER_GID && sg == OTHER_GID;
}

static bool becomes_one_without_groups(void)
{
	return has_ids_and_groups(NULL, 0);
}

static bool becomes_one_with_groups(void)
{
	static const gid_t groups[] = { 44, 29000, 31500 };

	return has_ids_and_groups(groups, ARRAY_SIZE(groups));
}

/* GR4, ES4: nothing of the groups that were there before */
static void becomes_the_account_with_exactly_its_groups(void)
{
	check(holds(becomes_one_without_groups));
	check(holds(becomes_one_with_groups));
}

static bool cannot_go_back(void)
{
	const gid_t none = 0;

	return become(NULL, 0, OTHER_UID, OTHER_GID) && setuid(0) < 0 && seteuid(0) < 0 &&
	       setresuid((uid_t)-1, (uid_t)-1, 0) < 0 && setgid(0) < 0 && setegid(0) < 0 &&
	       setgroups(1, &none) < 0 && has_no_capability();
}

static bool stays_closed(void)
{
	return become(NULL, 0, OTHER_UID, OTHER_GID) && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 &&
	       prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
}

/* ES5, ES10 */
static void another_user_has_no_way_back(void)
{
	check(holds(cannot_go_back));
	check(holds(stays_closed));
}

static bool become_another(void)
{
	return become(NULL, 0, OTHER_UID, OTHER_GID);
}

/* SG3: a change of ids clears the death signal, so it must come after it */
static void another_user_still_dies_with_its_parent(void)
{
	check(dies_with_its_parent(become_another));
}

static bool refuses_uid_0(void)
{
	return !become(NULL, 0, 0, OTHER_GID);
}

static bool refuses_gid_0(void)
{
	return !become(NULL, 0, OTHER_UID, 0);
}

/* CF5, UP2 */
static void never_becomes_root(void)
{
	check(holds(refuses_uid_0));
	check(holds(refuses_gid_0));
}

static bool keeps_seven(void)
{
	static const unsigned seven[] = { CAP_SYS_ADMIN,    CAP_SETUID, CAP_SETGID,   CAP_CHOWN,
		                          CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_NET_ADMIN };
	struct error err = { 0 };
	unsigned long long wanted = 0;

	for (size_t i = 0; i < ARRAY_SIZE(seven); i++)
		wanted |= 1ULL << seven[i];
	return privilege_keep_needed(&err) == 0 && status_of("CapPrm", 16) == wanted &&
	       status_of("CapEff", 16) == wanted;
}

static bool leaves_children_nothing(void)
{
	struct error err = { 0 };

	return privilege_keep_needed(&err) == 0 && status_of("CapBnd", 16) == 0 &&
	       status_of("CapInh", 16) == 0 && status_of("CapAmb", 16) == 0 &&
	       status_of("NoNewPrivs", 10) == 1;
}

static bool drops_all(void)
{
	struct error err = { 0 };

	return privilege_keep_needed(&err) == 0 && privilege_drop_all(&err) == 0 &&
	       has_no_capability();
}

/* ES4 */
static void the_monitor_keeps_seven_capabilities_and_its_children_none(void)
{
	check(holds(keeps_seven));
	check(holds(leaves_children_nothing));
	check(holds(drops_all));
}

static bool names_the_missing_one(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { 0 } };
	struct error err = { 0 };

	if (syscall(SYS_capget, &head, data) < 0)
		return false;
	data[0].effective &= ~(1U << CAP_CHOWN);
	data[0].permitted &= ~(1U << CAP_CHOWN);
	return syscall(SYS_capset, &head, data) == 0 && privilege_keep_needed(&err) == -EPERM &&
	       strstr(err.text, "CAP_CHOWN");
}

static void names_a_capability_that_is_missing(void)
{
	check(holds(names_the_missing_one));
}

static const struct unit_case cases[] = {
	CASE(gives_up_privileges_where_it_stays_who_it_is),
	CASE(dies_with_its_parent_after_each_way_down),
	CASE(a_parent_that_died_before_is_noticed),
	CASE(closes_every_descriptor_that_is_not_kept),
	CASE(a_limit_of_memory_only_ever_goes_down),
};

static const struct unit_case root_cases[] = {
	CASE(becomes_the_account_with_exactly_its_groups),
	CASE(another_user_has_no_way_back),
	CASE(another_user_still_dies_with_its_parent),
	CASE(never_becomes_root),
	CASE(the_monitor_keeps_seven_capabilities_and_its_children_none),
	CASE(names_a_capability_that_is_missing),
};

int main(void)
{
	int result = unit_run(cases, ARRAY_SIZE(cases));

	if (geteuid() == 0)
		return result | unit_run(root_cases, ARRAY_SIZE(root_cases));
	unit_skip(root_cases, ARRAY_SIZE(root_cases), "needs root");
	return result;
}
