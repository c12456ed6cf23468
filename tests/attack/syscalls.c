/* System calls that a build has no business with, tried where the filter is: inside of a request.
 */
#include "attack.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

enum {
	SETXATTRAT = 463, /* Linux 6.13 */
	FCHMODAT2 = 452,  /* Linux 6.6 */
	JOIN_SESSION = 1, /* keyctl(2) */
	USER_KEYRING = -4,
};

/* ES14: a key of one request would be there for the next one of the same user */
static void keyrings_are_out_of_reach(void)
{
	refused("add_key", syscall(SYS_add_key, "user", "left", "secret", 6, USER_KEYRING));
	refused("request_key", syscall(SYS_request_key, "user", "left", NULL, USER_KEYRING));
	refused("keyctl", syscall(SYS_keyctl, JOIN_SESSION, NULL));
	refused("keyctl", syscall(SYS_keyctl, 0 /* get id */, USER_KEYRING, 1));
}

/* E8: two requests of one user; the first leaves a key where its user has them, which must work */
static void a_key_is_left(void)
{
	expect(syscall(SYS_add_key, "user", "hatch-left", "secret", 6, USER_KEYRING) > 0,
	       "a key can be left");
}

static void no_key_of_another_request_is_found(void)
{
	enum { SEARCH = 10, READ = 11, USER_SESSION_KEYRING = -5 };
	char line[512], secret[16];
	FILE *file = fopen("/proc/keys", "re");

	if (syscall(SYS_keyctl, SEARCH, USER_KEYRING, "user", "hatch-left", 0) >= 0 ||
	    syscall(SYS_keyctl, SEARCH, USER_SESSION_KEYRING, "user", "hatch-left", 0) >= 0 ||
	    syscall(SYS_request_key, "user", "hatch-left", NULL, 0) >= 0)
		broke("the key of another request is found");
	/* The kernel takes its time to forget it. */
	while (file && fgets(line, sizeof(line), file))
		if (strstr(line, "hatch-left") &&
		    syscall(SYS_keyctl, READ, strtol(line, NULL, 16), secret, sizeof(secret)) >= 0)
			broke("the key of another request is read: %s", line);
	expect(file != NULL, "/proc/keys can be read");
}

/* E8: the service's session keyring, and what systemd puts into it, is not inherited */
static void no_key_of_the_service_is_seen(void)
{
	char line[512];
	FILE *file = fopen("/proc/keys", "re");

	while (file && fgets(line, sizeof(line), file))
		if (strstr(line, "invocation_id"))
			broke("the session keyring of the service is ours: %s", line);
	expect(file != NULL, "/proc/keys can be read");
}

/* ES3, ES14 */
static void large_parts_of_the_kernel_are_closed(void)
{
	char params[256] = { 0 };

	refused("bpf", syscall(SYS_bpf, 0, params, 48));
	refused("ptrace", ptrace(PTRACE_TRACEME, 0, NULL, NULL));
	refused("process_vm_readv", syscall(SYS_process_vm_readv, getpid(), NULL, 0, NULL, 0, 0));
	refused("perf_event_open", syscall(SYS_perf_event_open, params, 0, -1, -1, 0));
	refused("userfaultfd", syscall(SYS_userfaultfd, 1));
	refused("io_uring_setup", syscall(SYS_io_uring_setup, 4, params));
	refused("open_by_handle_at", syscall(SYS_open_by_handle_at, AT_FDCWD, params, 0));
	refused("kexec_load", syscall(SYS_kexec_load, 0, 0, NULL, 0));
	refused("init_module", syscall(SYS_init_module, NULL, 0, ""));
	refused("syslog", syscall(SYS_syslog, 3, params, sizeof(params)));
	refused("quotactl", syscall(SYS_quotactl, 0, NULL, 0, NULL));
	refused("reboot", syscall(SYS_reboot, 0, 0, 0, NULL));
	refused("swapon", syscall(SYS_swapon, "/tmp/file", 0));
	refused("acct", syscall(SYS_acct, "/tmp/file"));
}

/* ES14: families that a network namespace does not hold, or no build needs */
static void unusual_sockets_cannot_be_made(void)
{
	enum { VSOCK = 40, TIPC = 30, UEVENT = 15 };
	int pair[2];

	refused("a pair of AF_TIPC", socketpair(TIPC, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	refused("AF_VSOCK", socket(VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0));
	refused("AF_ALG", socket(AF_ALG, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
	refused("AF_PACKET", socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
	refused("kernel events", socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, UEVENT));
	expect(close(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0)) == 0, "routes can be listed");
}

static void expect_plain(const char *path, const char *what)
{
	struct stat st;

	if (stat(path, &st) == 0 && (st.st_mode & (S_ISUID | S_ISGID)))
		broke("%s made mode %04o", what, st.st_mode & 07777);
	(void)remove(path);
}

/* OP7, E7: no way to a set-id bit */
static void set_id_files_cannot_be_made(void)
{
	const struct open_how how = { .flags = O_RDWR | O_CREAT | O_CLOEXEC, .mode = 04755 };
	int fd = open("file", O_RDWR | O_CREAT | O_CLOEXEC, 0755);

	expect(fd >= 0, "a file of our own can be made");
	refused("chmod u+s", chmod("file", 04755));
	refused("chmod g+s", chmod("file", 02755));
	refused("chmod ug+s", chmod("file", 06755));
	refused("fchmod", fchmod(fd, 04755));
	refused("fchmodat", fchmodat(AT_FDCWD, "file", 02755, 0));
	refused("fchmodat2", syscall(FCHMODAT2, AT_FDCWD, "file", 04755, 0));
	expect_plain("file", "one of the chmods");
	refused("open", open("opened", O_RDWR | O_CREAT | O_CLOEXEC, 04755));
	refused("open (by number)", syscall(SYS_open, "opened", O_RDWR | O_CREAT, 02755));
	refused("creat", syscall(SYS_creat, "created", 04755));
	refused("mknod", mknod("made", S_IFREG | 06755, 0));
	refused("mknod (by number)", syscall(SYS_mknod, "made", S_IFREG | 02755, 0));
	refused("openat2", syscall(SYS_openat2, AT_FDCWD, "opened2", &how, sizeof(how)));
	refused("O_TMPFILE", open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 04755));
	expect_plain("opened", "open");
	expect_plain("created", "creat");
	expect_plain("made", "mknod");
	expect_plain("opened2", "openat2");
	/* Of a directory the kernel itself leaves them out. */
	expect(mkdir("directory", 06755) == 0, "a directory of our own can be made");
	expect_plain("directory", "mkdir");
	/* What ordinary programs do still works. */
	expect(close(open("plain", O_RDWR | O_CREAT | O_CLOEXEC, 0755)) == 0 &&
	               chmod("plain", 0700) == 0,
	       "plain modes are allowed");
	(void)unlink("plain");
}

/* ES14: an attribute is no part of an output */
static void extended_attributes_cannot_be_set(void)
{
	struct {
		uint64_t value;
		uint32_t size, flags;
	} args = { (uint64_t)(uintptr_t) "y", 1, 0 };
	int fd = open("file", O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	refused("setxattr", setxattr("file", "user.x", "y", 1, 0));
	refused("lsetxattr", lsetxattr("file", "user.x", "y", 1, 0));
	refused("fsetxattr", fsetxattr(fd, "user.x", "y", 1, 0));
	refused("setxattrat",
	        syscall(SETXATTRAT, AT_FDCWD, "file", 0, "user.x", &args, sizeof(args)));
	(void)unlink("file");
}

/* ES6: no terminal, and none can be typed into */
static void no_terminal_can_be_typed_into(void)
{
	char letter = 'x';

	refused("opening /dev/tty", open("/dev/tty", O_RDWR | O_CLOEXEC) < 0 && errno == ENOENT
	                                    ? (errno = ENXIO, -1)
	                                    : open("/dev/tty", O_RDWR | O_CLOEXEC));
	for (int fd = 0; fd < 3; fd++) {
		expect(!isatty(fd), "no stream is a terminal");
		expect(ioctl(fd, TIOCSTI, &letter) < 0 && errno == EPERM, "TIOCSTI is refused");
		/* The kernel looks at the low 32 bits of the command only. */
		expect(syscall(SYS_ioctl, fd, TIOCSTI | 1UL << 32, &letter) < 0 && errno == EPERM,
		       "TIOCSTI with a high bit is refused");
		expect(ioctl(fd, TIOCLINUX, &letter) < 0 && errno == EPERM, "TIOCLINUX is refused");
	}
	/* A leader would get the first terminal it opens, such as a serial port. */
	expect(getsid(0) == 1, "the session is that of the sandbox, and we do not lead it");
}

#if defined(__x86_64__)
static void call_as_i386(void)
{
	long result;

	/* getpid(2) by the other architecture's number and gate */
	__asm__ volatile("int $0x80"
	                 : "=a"(result)
	                 : "a"(20L)
	                 : "memory", "r8", "r9", "r10", "r11");
	(void)result;
}

static void call_as_x32(void)
{
	(void)syscall(0x40000000L | SYS_getpid);
}

static void expect_killed(void (*call)(void), const char *what)
{
	const struct rlimit no_core = { 0, 0 };
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		(void)setrlimit(RLIMIT_CORE, &no_core);
		call();
		_exit(0);
	}
	expect(pid > 0 && waitpid(pid, &status, 0) == pid, "a child can be made");
	if (!WIFSIGNALED(status))
		broke("a call of %s did not kill", what);
}

/* ES3: numbers of another architecture mean other calls, so the filter would not see them */
static void foreign_calls_kill(void)
{
	expect_killed(call_as_i386, "i386");
	expect_killed(call_as_x32, "x32");
}
#else
static void foreign_calls_kill(void)
{
}
#endif

/* ES7: a name that somebody on the host listens at */
static void abstract_sockets_of_the_host_are_out_of_reach(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX,
		                       .sun_path = "\0hatch-attack-abstract" };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	expect(fd >= 0, "a socket can be made");
	refused("connect", connect(fd, (struct sockaddr *)&address, sizeof(address)));
	(void)close(fd);
}

/* What a group of "seccomp" opens. */
static void other_processes_can_be_looked_into(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0)
			(void)raise(SIGSTOP);
		_exit(0);
	}
	expect(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status), "a child stops");
	expect(ptrace(PTRACE_CONT, pid, NULL, NULL) == 0, "it can be let go on");
	(void)waitpid(pid, &status, 0);
}

static void queues_of_calls_can_be_made(void)
{
	char params[256] = { 0 };

	if (syscall(SYS_io_uring_setup, 4, params) < 0 && errno == ENOSYS)
		broke("there is no io_uring");
}

#if defined(__x86_64__)
static void calls_of_i386_are_made(void)
{
	long result;

	__asm__ volatile("int $0x80"
	                 : "=a"(result)
	                 : "a"(20L)
	                 : "memory", "r8", "r9", "r10", "r11");
	expect(result == getpid(), "the answer is the one of the same call");
	expect_killed(call_as_x32, "x32");
}
#else
static void calls_of_i386_are_made(void)
{
}
#endif

static const struct attack attacks[] = {
	ATTACK(keyrings_are_out_of_reach),
	ATTACK(a_key_is_left),
	ATTACK(no_key_of_another_request_is_found),
	ATTACK(no_key_of_the_service_is_seen),
	ATTACK(large_parts_of_the_kernel_are_closed),
	ATTACK(unusual_sockets_cannot_be_made),
	ATTACK(set_id_files_cannot_be_made),
	ATTACK(extended_attributes_cannot_be_set),
	ATTACK(no_terminal_can_be_typed_into),
	ATTACK(foreign_calls_kill),
	ATTACK(abstract_sockets_of_the_host_are_out_of_reach),
	ATTACK(other_processes_can_be_looked_into),
	ATTACK(queues_of_calls_can_be_made),
	ATTACK(calls_of_i386_are_made),
};

ATTACK_MAIN(attacks)
