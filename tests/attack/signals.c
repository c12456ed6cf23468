/*
 * Builders that do not want to end, or want others to. Each is one way to behave, so the first
 * argument names it; "kill_everything" also prints a line for the test to read.
 */
#include "attack.h"
#include <errno.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void sleep_ms(long ms)
{
	const struct timespec time = { ms / 1000, ms % 1000 * 1000000 };

	(void)nanosleep(&time, NULL);
}

/* As a daemon would: no parent, no session, no descriptor of ours. */
static bool become_daemon(void)
{
	if (fork() != 0)
		return false;
	(void)setsid();
	if (fork() != 0)
		_exit(0);
	(void)syscall(SYS_close_range, 0, ~0U, 0);
	for (int sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_IGN);
	return true;
}

/* SG2: everything in reach is sent every signal; only what we started may fall */
static void kill_everything(void)
{
	pid_t child = fork();
	int status;

	if (child == 0)
		for (;;)
			(void)pause();
	for (int sig = 1; sig < NSIG; sig++) {
		(void)kill(1, sig);
		(void)syscall(SYS_tgkill, 1, 1, sig);
		(void)kill(getppid(), sig);
	}
	(void)kill(-1, SIGKILL);
	expect(waitpid(child, &status, 0) == child && WIFSIGNALED(status), "our own child is dead");
	/* If init had fallen we would not be here. */
	expect(kill(1, 0) == 0 || errno == EPERM, "process 1 lives");
}

static char *output(void)
{
	char *path = getenv("out");

	if (!path) {
		puts("FAIL: the variable out is not set");
		exit(1);
	}
	return path;
}

static void make_file(const char *dir, const char *name)
{
	char path[4096];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	(void)!write(fd, "x", 1);
	(void)close(fd);
}

/* ES1: a daemon that adds to the output after its parent has ended */
static void write_late(void)
{
	char *dir = output();

	(void)mkdir(dir, 0755);
	make_file(dir, "in-time");
	if (become_daemon()) {
		for (int i = 0; i < 200; i++) {
			char name[32];

			sleep_ms(10);
			(void)snprintf(name, sizeof(name), "late-%d", i);
			make_file(dir, name);
		}
		_exit(0);
	}
}

/* ES9: the output is everybody's, somebody still writes to it, and the builder fails */
static void fail_with_a_writer(void)
{
	write_late();
	(void)chmod(output(), 0777);
	exit(3);
}

/*
 * OP11: daemons rename for ever, each an entry of its own. At every moment exactly one of the two
 * names is there; who lists a directory while they live finds neither or fails.
 */
static void rename_for_ever(void)
{
	enum { DAEMONS = 64 };
	char *dir = output();

	(void)mkdir(dir, 0755);
	for (int i = 0; i < DAEMONS; i++) {
		char a[4096], b[4096], name[16];

		(void)snprintf(name, sizeof(name), "%d", i);
		(void)snprintf(a, sizeof(a), "%s/%d", dir, i);
		(void)snprintf(b, sizeof(b), "%s/%d.moved", dir, i);
		(void)mkdir(a, 0755);
		make_file(a, "file");
		if (!become_daemon())
			continue;
		for (;;) {
			(void)rename(a, b);
			(void)rename(b, a);
		}
	}
	sleep_ms(200);
}

/* SG4 */
static void ignore_and_stop(void)
{
	for (int sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_IGN);
	puts("stopping");
	(void)fflush(stdout);
	for (;;)
		(void)raise(SIGSTOP);
}

/* SG4: many that ignore everything and are busy */
static void ignore_and_spin(void)
{
	for (int i = 0; i < 32; i++)
		if (become_daemon())
			for (;;)
				(void)getppid();
	puts("spinning");
	(void)fflush(stdout);
	for (int sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_IGN);
	for (;;)
		(void)pause();
}

/* SG5 */
static void abort_as_if_well(void)
{
	puts("all is well");
	(void)fflush(stdout);
	abort();
}

/* ES1: a child holds both streams open; the answer must not wait for it */
static void leave_the_streams_open(void)
{
	if (fork() == 0)
		for (;;)
			(void)pause();
	puts("done");
}

static const struct attack attacks[] = {
	ATTACK(kill_everything),    ATTACK(write_late),
	ATTACK(fail_with_a_writer), ATTACK(rename_for_ever),
	ATTACK(ignore_and_stop),    ATTACK(ignore_and_spin),
	ATTACK(abort_as_if_well),   ATTACK(leave_the_streams_open),
};

int main(int argc, char **argv)
{
	if (argc < 2) {
		(void)fprintf(stderr, "usage: signals ATTACK\n");
		return EXIT_FAILURE;
	}
	return attack_run(attacks, sizeof(attacks) / sizeof(*attacks), argc, argv);
}
