#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "fd.h"
#include "tests/unit.h"

static struct error err;

static void what_a_child_says_is_read_to_its_end(void)
{
	char said[8] = "";
	int fd = -1;
	pid_t pid = process_fork(&fd, &err);

	if (pid == 0) {
		(void)fd_write_full(fd, "hello", 5);
		_exit(7);
	}
	check(pid > 0 && fd_read_full(fd, said, 5) == 1 && strcmp(said, "hello") == 0);
	/* Only the child had the other end. */
	check(fd_read_full(fd, said, 1) == 0);
	check(process_wait(pid) == 7 << 8);
	check(process_wait(pid) == -ECHILD);
	fd_closep(&fd);
}

static void find_no_descriptors(void)
{
	static const struct rlimit none = { 0 };
	int fd = -1;

	check(setrlimit(RLIMIT_NOFILE, &none) == 0);
	check(process_fork(&fd, &err) == -EMFILE && fd == -1);
}

static void without_descriptors_there_is_no_child(void)
{
	unit_in_child(find_no_descriptors);
}

static void ignore(int sig)
{
}

static void a_signal_does_not_end_the_wait(void)
{
	const struct sigaction action = { .sa_handler = ignore };
	int fd = -1;
	pid_t pid;

	check(sigaction(SIGUSR1, &action, NULL) == 0);
	pid = process_fork(&fd, &err);
	if (pid == 0) {
		for (int i = 0; i < 20; i++) {
			(void)usleep(1000);
			(void)kill(getppid(), SIGUSR1);
		}
		_exit(3);
	}
	check(process_wait(pid) == 3 << 8);
	fd_closep(&fd);
}

static void close_two_streams(void)
{
	struct stat null, st;

	(void)close(STDIN_FILENO);
	(void)close(STDERR_FILENO);
	process_open_streams();
	check(stat("/dev/null", &null) == 0);
	check(fstat(STDIN_FILENO, &st) == 0 && st.st_rdev == null.st_rdev);
	check(fstat(STDERR_FILENO, &st) == 0 && st.st_rdev == null.st_rdev);
	check(fcntl(3, F_GETFD) < 0);
}

static void streams_that_are_closed_are_opened(void)
{
	unit_in_child(close_two_streams);
}

static void the_seed_is_the_process_own(void)
{
	check(process_seed() != 0 && process_seed() == process_seed());
}

static const struct unit_case cases[] = {
	CASE(what_a_child_says_is_read_to_its_end), CASE(without_descriptors_there_is_no_child),
	CASE(a_signal_does_not_end_the_wait),       CASE(streams_that_are_closed_are_opened),
	CASE(the_seed_is_the_process_own),
};

UNIT_MAIN(cases)
