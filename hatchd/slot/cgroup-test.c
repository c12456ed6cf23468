/*
 * Cgroups of the real kernel, below the one the test runs in. Where none can be made there (no
 * cgroup v2, not delegated), most cases are skipped, and say so.
 */
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "tests/unit.h"

enum {
	OTHER_UID = 54321,
	STORM_MAX = 300, /* processes at a time */
	N_DAEMONS = 20,
	TIMEOUT_MS = 20000,
};

static char group_name[64];

static struct cgroup create(void)
{
	struct cgroup cgroup = { 0 };
	struct error err = { 0 };

	if (cgroup_create(group_name, &cgroup, &err) < 0) {
		printf("%s\n", err.text);
		abort();
	}
	return cgroup;
}

static void kill_and_remove(struct cgroup *cgroup)
{
	struct error err = { 0 };

	check(cgroup_kill(cgroup, TIMEOUT_MS, &err) == 0);
	/* Daemons too: their ends come to us, see main(). */
	while (wait(NULL) > 0)
		;
	check(cgroup_remove(cgroup, &err) == 0);
	if (err.text[0])
		printf("  %s\n", err.text);
}

/* What a test's processes begin with: they are in the group, or end. */
static void enter(int dir_fd)
{
	if (fd_write_file(dir_fd, "cgroup.procs", "0") < 0)
		_exit(1);
}

/* A child in the group that runs f and then stays. It is there when this returns. */
static pid_t start_in(const struct cgroup *cgroup, void (*f)(void))
{
	int ready[2];
	char byte;
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC) < 0)
		abort();
	pid = fork();
	if (pid == 0) {
		enter(cgroup->dir_fd);
		if (f)
			f();
		(void)fd_write_full(ready[1], "x", 1);
		for (;;)
			(void)pause();
	}
	(void)close(ready[1]);
	check(fd_read_some(ready[0], &byte, 1) == 1);
	(void)close(ready[0]);
	return pid;
}

static char *read_text(int dir_fd, const char *name)
{
	cleanup_fd int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
	char *text = NULL;
	size_t len;

	if (fd < 0 || fd_read_file(fd, 1024 * 1024, &text, &len) < 0)
		abort();
	return text;
}

static bool lists_process(int dir_fd, pid_t pid)
{
	cleanup_free char *text = read_text(dir_fd, "cgroup.procs");
	char *rest = NULL;

	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		if (atoi(line) == pid)
			return true;
	return false;
}

static bool is_empty(const struct cgroup *cgroup)
{
	cleanup_free char *text = read_text(cgroup->dir_fd, "cgroup.procs");

	return text[0] == '\0';
}

/* ---- what is missing here ---- */

static const char *needs_cgroup(void)
{
	static struct error err;
	struct cgroup cgroup;
	int r = cgroup_create(group_name, &cgroup, &err);

	if (r == -ENOENT || r == -EACCES)
		return err.text;
	if (r < 0) {
		printf("%s\n", err.text);
		abort();
	}
	(void)cgroup_remove(&cgroup, NULL);
	return NULL;
}

static const char *needs_root(void)
{
	return geteuid() == 0 ? needs_cgroup() : "only root can become another user";
}

/* ---- making and opening ---- */

static void finds_the_group_of_this_process(void)
{
	char path[CGROUP_PATH_MAX];
	cleanup_fd int fd = -1;

	check(cgroup_own_path(path, NULL) == 0);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(fd >= 0 && lists_process(fd, getpid()));
}

static void makes_opens_and_removes_a_group(void)
{
	struct cgroup cgroup = create(), second = { 0 }, again = { 0 };
	char own[CGROUP_PATH_MAX], path[CGROUP_PATH_MAX];
	struct error err = { 0 };

	check(cgroup_own_path(own, NULL) == 0);
	check(strncmp(cgroup.path, own, strlen(own)) == 0);
	check(strcmp(strrchr(cgroup.path, '/') + 1, group_name) == 0);
	check(fcntl(cgroup.dir_fd, F_GETFD) == FD_CLOEXEC);
	check(fcntl(cgroup.kill_fd, F_GETFD) == FD_CLOEXEC);
	check(fcntl(cgroup.events_fd, F_GETFD) == FD_CLOEXEC);
	check(fcntl(cgroup.parent_fd, F_GETFD) == FD_CLOEXEC);
	check(!cgroup_is_populated(&cgroup));
	check(cgroup_create(group_name, &second, &err) == -EEXIST);

	/* As a later instance finds it, by what was recorded. */
	memcpy(path, cgroup.path, sizeof(path));
	cgroup_done(&cgroup);
	check(cgroup_open(path, &again, &err) == 1);
	check(strcmp(again.path, path) == 0 && again.kill_fd >= 0);
	check(cgroup_remove(&again, &err) == 0);
	check(again.dir_fd == -1 && access(path, F_OK) < 0);
	check(cgroup_open(path, &again, &err) == 0);
}

static void a_group_that_somebody_else_removed_is_gone(void)
{
	struct cgroup cgroup = create();

	check(rmdir(cgroup.path) == 0);
	check(!cgroup_is_populated(&cgroup));
	check(cgroup_kill(&cgroup, TIMEOUT_MS, NULL) == 0);
	check(cgroup_remove(&cgroup, NULL) == 0);
}

static void leaves_nothing_when_descriptors_run_out(void)
{
	struct rlimit limit, few;
	struct cgroup cgroup = { 0 };
	char path[CGROUP_PATH_MAX], group[CGROUP_PATH_MAX + 64];
	int n_failures = 0, next_fd = dup(0), r;

	(void)close(next_fd);
	check(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	check(cgroup_own_path(path, NULL) == 0);
	(void)snprintf(group, sizeof(group), "%s/%s", path, group_name);
	few = limit;
	/* Each place where one can be missing, until none is. */
	for (few.rlim_cur = (rlim_t)next_fd;; few.rlim_cur++, n_failures++) {
		check(setrlimit(RLIMIT_NOFILE, &few) == 0);
		r = cgroup_create(group_name, &cgroup, NULL);
		check(setrlimit(RLIMIT_NOFILE, &limit) == 0);
		if (r == 0 || n_failures > 64)
			break;
		check(access(group, F_OK) < 0);
	}
	check(r == 0 && n_failures >= 4);
	check(cgroup_remove(&cgroup, NULL) == 0);
}

static void refuses_names_that_lead_elsewhere(void)
{
	static const char *const names[] = { "", ".", "..", "a/b", "/a", ".a" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct cgroup cgroup;

		check(cgroup_create(names[i], &cgroup, NULL) == -EINVAL);
	}
}

static void refuses_to_open_what_is_no_group_for_a_request(void)
{
	char own[CGROUP_PATH_MAX], long_path[CGROUP_PATH_MAX + 1], text[CGROUP_PATH_MAX + 64];
	struct cgroup cgroup;

	check(cgroup_own_path(own, NULL) == 0);
	memset(long_path, 'a', sizeof(long_path) - 1);
	long_path[0] = '/';
	long_path[sizeof(long_path) - 1] = '\0';
	check(cgroup_open("", &cgroup, NULL) == -EINVAL);
	check(cgroup_open("relative", &cgroup, NULL) == -EINVAL);
	check(cgroup_open(long_path, &cgroup, NULL) == -EINVAL);
	check(cgroup_open("/usr/bin", &cgroup, NULL) == -EINVAL);
	/* what would kill ourselves */
	check(cgroup_open(own, &cgroup, NULL) == -EINVAL);
	check(cgroup_open("/sys/fs/cgroup", &cgroup, NULL) == -EINVAL);
	check(cgroup_open("/sys", &cgroup, NULL) == -EINVAL);
	(void)snprintf(text, sizeof(text), "%s/", own);
	check(cgroup_open(text, &cgroup, NULL) == -EINVAL);
	(void)snprintf(text, sizeof(text), "%s/x/../../", own);
	check(cgroup_open(text, &cgroup, NULL) == -EINVAL);
	(void)snprintf(text, sizeof(text), "%s/x/..", own);
	check(cgroup_open(text, &cgroup, NULL) == -EINVAL);
	(void)snprintf(text, sizeof(text), "%s/x/../y", own);
	check(cgroup_open(text, &cgroup, NULL) == -EINVAL);
}

static void empty_objects_can_be_released(void)
{
	struct cgroup zero = { 0 };
	struct cgroup none = { .dir_fd = -1, .kill_fd = -1, .events_fd = -1, .parent_fd = -1 };

	cgroup_done(&zero);
	cgroup_done(&zero);
	cgroup_done(&none);
	check(fcntl(0, F_GETFD) >= 0);
}

/* ---- killing ---- */

static void start_daemon(void)
{
	if (fork() != 0)
		return;
	(void)setsid();
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	if (fork() != 0)
		_exit(0);
	(void)setsid();
	for (;;)
		(void)pause();
}

static void start_daemons(void)
{
	for (int i = 0; i < N_DAEMONS; i++)
		start_daemon();
}

static void kills_what_became_a_daemon(void)
{
	struct cgroup cgroup = create();

	(void)start_in(&cgroup, start_daemons);
	check(cgroup_is_populated(&cgroup));
	check(cgroup_kill(&cgroup, TIMEOUT_MS, NULL) == 0);
	check(!cgroup_is_populated(&cgroup) && is_empty(&cgroup));
	kill_and_remove(&cgroup);
}

/* Each starts some others, as far as the limit allows, and makes room for more by ending. */
static void storm(void)
{
	struct rlimit limit = { .rlim_cur = STORM_MAX, .rlim_max = STORM_MAX };

	/* The ends of all of them come to this one, and nobody needs to wait for them. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 || signal(SIGCHLD, SIG_IGN) == SIG_ERR)
		_exit(1);
	if (setrlimit(RLIMIT_NPROC, &limit) < 0 || setresuid(OTHER_UID, OTHER_UID, OTHER_UID) < 0)
		_exit(1);
	for (int i = 0; i < N_DAEMONS; i++) {
		if (fork() != 0)
			continue;
		for (int n = 0;; n++) {
			pid_t pid = fork();

			if (pid == 0)
				n = 0;
			else if (pid > 0 && n >= 3)
				_exit(0);
		}
	}
}

static void kills_a_fork_storm(void)
{
	struct cgroup cgroup = create();

	(void)start_in(&cgroup, storm);
	(void)usleep(100000);
	check(cgroup_kill(&cgroup, TIMEOUT_MS, NULL) == 0);
	check(!cgroup_is_populated(&cgroup) && is_empty(&cgroup));
	kill_and_remove(&cgroup);
}

/* The monitor keeps the descriptors and nothing else while the builder runs. */
static void kills_with_all_privileges_dropped(void)
{
	struct cgroup cgroup = create();
	pid_t pid = start_in(&cgroup, start_daemons), killer = fork();
	int status;

	if (killer == 0) {
		if (setresgid(OTHER_UID, OTHER_UID, OTHER_UID) < 0 ||
		    setresuid(OTHER_UID, OTHER_UID, OTHER_UID) < 0)
			_exit(1);
		if (kill(pid, SIGKILL) == 0) /* the test must not be of this */
			_exit(2);
		if (!cgroup_is_populated(&cgroup))
			_exit(3);
		if (cgroup_kill(&cgroup, TIMEOUT_MS, NULL) < 0)
			_exit(4);
		_exit(cgroup_is_populated(&cgroup) ? 5 : 0);
	}
	check(waitpid(killer, &status, 0) == killer);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	check(is_empty(&cgroup));
	kill_and_remove(&cgroup);
}

static bool is_frozen(const struct cgroup *cgroup)
{
	cleanup_free char *text = read_text(cgroup->dir_fd, "cgroup.events");

	return strstr(text, "frozen 1");
}

static void kills_a_frozen_group(void)
{
	struct cgroup cgroup = create();
	pid_t pid = start_in(&cgroup, NULL);
	int64_t end_ms = clock_now_ms() + TIMEOUT_MS;

	check(fd_write_file(cgroup.dir_fd, "cgroup.freeze", "1") == 0);
	while (!is_frozen(&cgroup) && clock_now_ms() < end_ms)
		(void)usleep(1000);
	check(is_frozen(&cgroup));
	check(cgroup_kill(&cgroup, TIMEOUT_MS, NULL) == 0);
	check(waitpid(pid, NULL, 0) == pid);
	kill_and_remove(&cgroup);
}

static void a_zombie_is_nobody(void)
{
	struct cgroup cgroup = create();
	pid_t pid = start_in(&cgroup, NULL);

	check(cgroup_kill(&cgroup, TIMEOUT_MS, NULL) == 0);
	/* Not waited for yet, and the group can be removed all the same. */
	check(!cgroup_is_populated(&cgroup));
	check(cgroup_remove(&cgroup, NULL) == 0);
	check(waitpid(pid, NULL, 0) == pid);
}

static void kills_what_is_in_groups_below(void)
{
	struct cgroup cgroup = create(), below = { 0 };
	pid_t pid;

	check(mkdirat(cgroup.dir_fd, "a", 0755) == 0);
	check(mkdirat(cgroup.dir_fd, "b", 0755) == 0);
	check(mkdirat(cgroup.dir_fd, "a/c", 0755) == 0);
	below.dir_fd = openat(cgroup.dir_fd, "a/c", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pid = start_in(&below, NULL);
	check(cgroup_is_populated(&cgroup));
	check(cgroup_remove(&cgroup, NULL) == -EBUSY);
	check(cgroup_kill(&cgroup, TIMEOUT_MS, NULL) == 0);
	check(waitpid(pid, NULL, 0) == pid);
	(void)close(below.dir_fd);
	check(cgroup_remove(&cgroup, NULL) == 0);
}

static void says_so_when_somebody_survives(void)
{
	struct cgroup cgroup = create(), harmless;
	pid_t pid = start_in(&cgroup, NULL);
	struct error err = { 0 };
	int64_t begin_ms = clock_now_ms(), lasted_ms;

	/* Nothing survives SIGKILL for long: so it is sent nowhere. */
	harmless = cgroup;
	harmless.kill_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	check(cgroup_kill(&harmless, 250, &err) == -ETIMEDOUT);
	lasted_ms = clock_now_ms() - begin_ms;
	check(lasted_ms >= 250 && lasted_ms < TIMEOUT_MS);
	check(err.blame == BLAME_HOST && strstr(err.text, cgroup.path));
	check(kill(pid, 0) == 0);
	(void)close(harmless.kill_fd);
	kill_and_remove(&cgroup);
}

static const struct unit_case cases[] = {
	CASE_IF(finds_the_group_of_this_process, needs_cgroup),
	CASE_IF(makes_opens_and_removes_a_group, needs_cgroup),
	CASE_IF(a_group_that_somebody_else_removed_is_gone, needs_cgroup),
	CASE_IF(leaves_nothing_when_descriptors_run_out, needs_cgroup),
	CASE(refuses_names_that_lead_elsewhere),
	CASE_IF(refuses_to_open_what_is_no_group_for_a_request, needs_cgroup),
	CASE(empty_objects_can_be_released),
	CASE_IF(kills_what_became_a_daemon, needs_cgroup),
	CASE_IF(kills_a_fork_storm, needs_root),
	CASE_IF(kills_with_all_privileges_dropped, needs_root),
	CASE_IF(kills_a_frozen_group, needs_cgroup),
	CASE_IF(a_zombie_is_nobody, needs_cgroup),
	CASE_IF(kills_what_is_in_groups_below, needs_cgroup),
	CASE_IF(says_so_when_somebody_survives, needs_cgroup),
};

int main(void)
{
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	(void)snprintf(group_name, sizeof(group_name), "hatch-test-%d", getpid());
	return unit_run(cases, ARRAY_SIZE(cases));
}
