/* Landlock's uses, each in a child that it confines. The kernel may lack it: then that is said.
 */
#include "landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "tests/unit.h"

static char place[] = "/tmp/hatch-landlock-XXXXXX";

/* Run confine() and then try() in a child; true if try() says so. */
static bool holds(int (*confine)(int dir_fd), bool (*try)(void))
{
	int status, dir_fd = open("inside", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	pid_t pid = fork();

	if (pid == 0)
		_exit(confine(dir_fd) == 0 && try() ? 0 : 1);
	(void)close(dir_fd);
	return waitpid(pid, &status, 0) == pid && status == 0;
}

static int confine_reading(int dir_fd)
{
	struct error err = { 0 };

	return landlock_read_only(&dir_fd, 1, &err);
}

static int confine_writing(int dir_fd)
{
	struct error err = { 0 };
	const int fds[] = { dir_fd, -1 };

	return landlock_write_beneath(fds, ARRAY_SIZE(fds), &err);
}

static bool opens(const char *path, int flags)
{
	cleanup_fd int fd = open(path, flags | O_CLOEXEC, 0600);

	return fd >= 0;
}

static bool is_refused(const char *path, int flags)
{
	return !opens(path, flags) && errno == EACCES;
}

static bool only_inside_is_read(void)
{
	return opens("inside/file", O_RDONLY) && is_refused("outside/file", O_RDONLY);
}

static bool nothing_is_written(void)
{
	return is_refused("inside/file", O_WRONLY) && is_refused("inside/new", O_WRONLY | O_CREAT);
}

static bool only_inside_is_written(void)
{
	return opens("inside/file", O_WRONLY) && opens("inside/made", O_WRONLY | O_CREAT) &&
	       is_refused("outside/file", O_WRONLY) &&
	       is_refused("outside/new", O_WRONLY | O_CREAT) && unlink("outside/file") < 0 &&
	       mkdir("outside/dir", 0700) < 0;
}

static bool outside_is_read(void)
{
	return opens("outside/file", O_RDONLY);
}

static bool outside_keeps_its_length(void)
{
	return truncate("outside/file", 0) < 0 && errno == EACCES;
}

static void a_reader_sees_its_directory_and_no_other(void)
{
	check(holds(confine_reading, only_inside_is_read));
}

static void a_reader_writes_nothing(void)
{
	check(holds(confine_reading, nothing_is_written));
}

static void a_writer_changes_its_directories_and_nothing_else(void)
{
	check(holds(confine_writing, only_inside_is_written));
}

static void a_writer_reads_as_before(void)
{
	check(holds(confine_writing, outside_is_read));
}

static void a_writer_cuts_no_file_elsewhere(void)
{
	check(landlock_version() < 3 || holds(confine_writing, outside_keeps_its_length));
}

static int confine_to_one(int dir_fd)
{
	struct error err = { 0 };

	return landlock_only(dir_fd, &err);
}

static bool inside_all_is_made(void)
{
	return opens("inside/new", O_WRONLY | O_CREAT) && opens("inside/new", O_RDONLY) &&
	       truncate("inside/new", 5) == 0 && mkdir("inside/dir", 0700) == 0 &&
	       symlink("x", "inside/dir/link") == 0 && link("inside/new", "inside/dir/new") == 0 &&
	       unlink("inside/dir/link") == 0 && unlink("inside/dir/new") == 0 &&
	       rmdir("inside/dir") == 0 && unlink("inside/new") == 0;
}

static bool outside_nothing_is_seen_or_made(void)
{
	return is_refused("outside/file", O_RDONLY) && is_refused("outside/file", O_WRONLY) &&
	       is_refused("outside/new", O_WRONLY | O_CREAT) && mkdir("outside/dir", 0700) < 0 &&
	       symlink("x", "outside/link") < 0 && link("inside/file", "outside/new") < 0 &&
	       link("outside/file", "inside/stolen") < 0 &&
	       rename("inside/file", "outside/new") < 0 && unlink("outside/file") < 0;
}

static bool inside_nothing_strange_is_made_or_run(void)
{
	return mkfifo("inside/pipe", 0600) < 0 && errno == EACCES &&
	       execl("inside/file", "inside/file", NULL) < 0 && errno == EACCES;
}

static void who_is_held_to_one_directory_makes_trees_in_it_and_nothing_elsewhere(void)
{
	if (landlock_version() < 2) {
		printf("  this kernel could not link between directories\n");
		return;
	}
	check(chmod("inside/file", 0700) == 0);
	check(holds(confine_to_one, inside_all_is_made));
	check(holds(confine_to_one, outside_nothing_is_seen_or_made));
	check(holds(confine_to_one, inside_nothing_strange_is_made_or_run));
}

static int confine_scope(int dir_fd)
{
	struct error err = { 0 };

	(void)dir_fd;
	return landlock_scope(&err);
}

static int abstract_socket(const char *name, int (*use)(int, const struct sockaddr *, socklen_t))
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "%s", name);
	if (use(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	(void)close(fd);
	return -1;
}

static bool no_socket_of_others_is_reached(void)
{
	cleanup_fd int own_fd = abstract_socket("hatch-landlock-inside", bind);

	if (own_fd < 0 || listen(own_fd, 1) < 0 ||
	    abstract_socket("hatch-landlock-inside", connect) < 0)
		return false;
	return abstract_socket("hatch-landlock-outside", connect) < 0 && errno == EPERM;
}

static bool only_descendants_are_signalled(void)
{
	pid_t pid = fork();

	if (pid == 0)
		for (;;)
			(void)pause();
	return kill(getppid(), 0) < 0 && errno == EPERM && kill(pid, SIGKILL) == 0 &&
	       waitpid(pid, NULL, 0) == pid;
}

static void a_scope_holds_sockets_and_signals(void)
{
	cleanup_fd int fd = abstract_socket("hatch-landlock-outside", bind);

	check(fd >= 0 && listen(fd, 1) == 0);
	if (landlock_version() < LANDLOCK_SCOPES) {
		printf("  this kernel has no scopes\n");
		return;
	}
	check(holds(confine_scope, no_socket_of_others_is_reached));
	check(holds(confine_scope, only_descendants_are_signalled));
}

static const struct unit_case cases[] = {
	CASE(a_reader_sees_its_directory_and_no_other),
	CASE(a_reader_writes_nothing),
	CASE(a_writer_changes_its_directories_and_nothing_else),
	CASE(a_writer_reads_as_before),
	CASE(a_writer_cuts_no_file_elsewhere),
	CASE(who_is_held_to_one_directory_makes_trees_in_it_and_nothing_elsewhere),
	CASE(a_scope_holds_sockets_and_signals),
};

static int make_file(const char *path)
{
	cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	return fd < 0 || write(fd, "x", 1) != 1 ? -1 : 0;
}

int main(void)
{
	int status;

	if (landlock_version() == 0) {
		unit_skip(cases, ARRAY_SIZE(cases), "this kernel has no Landlock");
		return EXIT_SUCCESS;
	}
	if (!mkdtemp(place) || chdir(place) < 0 || mkdir("inside", 0700) < 0 ||
	    mkdir("outside", 0700) < 0 || make_file("inside/file") < 0 ||
	    make_file("outside/file") < 0) {
		perror(place);
		return EXIT_FAILURE;
	}
	status = unit_run(cases, ARRAY_SIZE(cases));
	(void)unlink("inside/file");
	(void)unlink("inside/made");
	(void)unlink("outside/file");
	(void)rmdir("inside");
	(void)rmdir("outside");
	(void)rmdir(place);
	return status;
}
