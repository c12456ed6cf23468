/* Whose connections leave room for whose, and when they do so again. */
#include "share.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "test-place.h"
#include "tests/unit.h"

enum { MAX = 3, UID = 30001 };

static struct error err;
static int state_fd;

static int take(uid_t uid, int *ret_fd)
{
	return share_take(state_fd, uid, MAX, ret_fd, &err);
}

static void take_all(uid_t uid, int fds[MAX])
{
	for (int i = 0; i < MAX; i++)
		check(take(uid, &fds[i]) == 1);
}

static void let_go(int fds[MAX])
{
	for (int i = 0; i < MAX; i++)
		fd_closep(&fds[i]);
}

static void one_user_has_so_many_and_no_more(void)
{
	int fds[MAX], fd = -1;

	take_all(UID, fds);
	check(take(UID, &fd) == 0 && fd == -1);
	fd_closep(&fds[1]);
	check(take(UID, &fds[1]) == 1);
	check(take(UID, &fd) == 0);
	let_go(fds);
}

static void others_have_their_own(void)
{
	static const uid_t others[] = { 0, 1, UID - 1, UID + 1, 65536, UINT32_MAX };
	int fds[MAX];

	take_all(UID, fds);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		int theirs[MAX], fd;

		take_all(others[i], theirs);
		check(take(others[i], &fd) == 0);
		let_go(theirs);
	}
	let_go(fds);
}

static void the_largest_share_ends_before_the_next_user_s(void)
{
	int fds[2], theirs;

	check(share_take(state_fd, UID, SHARE_MAX, &fds[0], &err) == 1);
	check(share_take(state_fd, UID, SHARE_MAX, &fds[1], &err) == 1);
	check(share_take(state_fd, UID + 1, 1, &theirs, &err) == 1);
	(void)close(fds[0]);
	(void)close(fds[1]);
	(void)close(theirs);
}

/* A child has the open file as well, as all processes of a request have at first. */
static void a_place_is_free_when_its_last_holder_was_killed(void)
{
	int fds[MAX], fd, status;
	pid_t pid;

	take_all(UID, fds);
	pid = fork();
	if (pid == 0)
		for (;;)
			(void)pause();
	let_go(fds);
	check(take(UID, &fd) == 0);
	check(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
	check(take(UID, &fd) == 1);
	(void)close(fd);
}

static void a_file_that_is_not_ours_is_not_used(void)
{
	int fd = -1;

	check(chmod(at("connections.lock"), 0644) == 0);
	check(take(UID, &fd) == -EPERM && err.blame == BLAME_HOST);
	check(unlink(at("connections.lock")) == 0 &&
	      symlink("elsewhere", at("connections.lock")) == 0);
	check(take(UID, &fd) == -EPERM);
	check(unlink(at("connections.lock")) == 0);
	check(fd == -1);
}

static const struct unit_case cases[] = {
	CASE(one_user_has_so_many_and_no_more),
	CASE(others_have_their_own),
	CASE(the_largest_share_ends_before_the_next_user_s),
	CASE(a_place_is_free_when_its_last_holder_was_killed),
	CASE(a_file_that_is_not_ours_is_not_used),
};

int main(void)
{
	int r;

	if (!place_make()) {
		printf("SKIP share: no mount namespace for root here\n");
		return EXIT_SUCCESS;
	}
	state_fd = open(place_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	r = unit_run(cases, ARRAY_SIZE(cases));
	(void)close(state_fd);
	place_remove();
	return r;
}
