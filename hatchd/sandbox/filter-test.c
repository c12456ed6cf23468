/*
 * The filters as their processes meet them: each call is made in a child that has loaded one. On
 * the bare host, because a container's own filter would refuse some of these first.
 *
 * The arguments are wrong on purpose, so that a call that comes through does nothing, and says so
 * with another errno than the filter.
 */
#include "filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "tests/unit.h"

enum {
	BAD_POINTER = 1,
	X32 = 0x40000000,
};

/* How a child ended: the errno of its call (0: it worked), or minus the signal that killed it. */
static int outcome(int (*load)(struct error *err), long (*call)(void *context), void *context)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct error err = { 0 };

		(void)setsid(); /* for vhangup(2), should it come through */
		(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* no core file of a kill */
		if (load(&err) < 0)
			syscall(SYS_exit_group, 255);
		errno = 0;
		syscall(SYS_exit_group, call(context) < 0 ? errno : 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 255;
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

struct call {
	const char *name;
	long number, args[6];
	int expected; /* errno; for the allowlists -SIGSYS */
};

static long make_call(void *context)
{
	const struct call *call = context;
	const long *a = call->args;

	return syscall(call->number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static void check_calls(int (*load)(struct error *err), const struct call *calls, size_t n_calls)
{
	for (size_t i = 0; i < n_calls; i++) {
		struct call call = calls[i];
		int got = outcome(load, make_call, &call);

		if (got != call.expected)
			printf("  %s: %d, expected %d\n", call.name, got, call.expected);
		check(got == call.expected);
	}
}

/* --- the builder --- */

/* ES2, ES3, ES14 */
static void refuses_a_builder_what_no_build_needs(void)
{
	static const struct call calls[] = {
		{ "clone3", SYS_clone3, { BAD_POINTER, 1 }, ENOSYS },
		{ "setns", SYS_setns, { -1, 0 }, EPERM },
		{ "mount", SYS_mount, { BAD_POINTER, BAD_POINTER, BAD_POINTER }, EPERM },
		{ "umount2", SYS_umount2, { BAD_POINTER, 0xff }, EPERM },
		{ "pivot_root", SYS_pivot_root, { BAD_POINTER, BAD_POINTER }, EPERM },
		{ "chroot", SYS_chroot, { BAD_POINTER }, EPERM },
		{ "open_tree", SYS_open_tree, { -1, BAD_POINTER, 0 }, EPERM },
		{ "move_mount",
		  SYS_move_mount,
		  { -1, BAD_POINTER, -1, BAD_POINTER, 0x1000 },
		  EPERM },
		{ "fsopen", SYS_fsopen, { BAD_POINTER, 0xff }, EPERM },
		{ "fsconfig", SYS_fsconfig, { -1, 0xff }, EPERM },
		{ "fsmount", SYS_fsmount, { -1, 0xff, 0 }, EPERM },
		{ "fspick", SYS_fspick, { -1, BAD_POINTER, 0xffff }, EPERM },
		{ "mount_setattr", SYS_mount_setattr, { -1, BAD_POINTER, 0, 0, 0 }, EPERM },
		{ "open_by_handle_at", SYS_open_by_handle_at, { -1, BAD_POINTER, 0 }, EPERM },
		{ "keyctl", SYS_keyctl, { 9999 }, EPERM },
		{ "add_key", SYS_add_key, { BAD_POINTER, BAD_POINTER, 0, 0, 0 }, EPERM },
		{ "request_key", SYS_request_key, { BAD_POINTER, BAD_POINTER, 0, 0 }, EPERM },
		{ "bpf", SYS_bpf, { 9999, BAD_POINTER, 0 }, EPERM },
		{ "perf_event_open", SYS_perf_event_open, { BAD_POINTER }, EPERM },
		{ "userfaultfd", SYS_userfaultfd, { -1 }, EPERM },
		{ "io_uring_setup", SYS_io_uring_setup, { 0, BAD_POINTER }, ENOSYS },
		{ "io_uring_enter", SYS_io_uring_enter, { -1 }, ENOSYS },
		{ "io_uring_register", SYS_io_uring_register, { -1 }, ENOSYS },
		{ "kexec_load", SYS_kexec_load, { 0, 99, 0, -1 }, EPERM },
		{ "init_module", SYS_init_module, { BAD_POINTER, 0, BAD_POINTER }, EPERM },
		{ "finit_module", SYS_finit_module, { -1, BAD_POINTER, 0xff }, EPERM },
		{ "delete_module", SYS_delete_module, { BAD_POINTER, 0 }, EPERM },
		{ "reboot", SYS_reboot, { 0, 0, 0 }, EPERM },
		{ "swapon", SYS_swapon, { BAD_POINTER, -1 }, EPERM },
		{ "swapoff", SYS_swapoff, { BAD_POINTER }, EPERM },
		{ "acct", SYS_acct, { BAD_POINTER }, EPERM },
		{ "quotactl", SYS_quotactl, { -1, BAD_POINTER }, EPERM },
		{ "syslog", SYS_syslog, { -1 }, EPERM },
		{ "vhangup", SYS_vhangup, { 0 }, EPERM },
		{ "setxattr", SYS_setxattr, { BAD_POINTER, BAD_POINTER }, ENOTSUP },
		{ "lsetxattr", SYS_lsetxattr, { BAD_POINTER, BAD_POINTER }, ENOTSUP },
		{ "fsetxattr", SYS_fsetxattr, { -1, BAD_POINTER }, ENOTSUP },
		{ "setxattrat", 463, { -1, BAD_POINTER, 0, BAD_POINTER, BAD_POINTER, 0 }, ENOTSUP },
#if defined(SYS_iopl)
		{ "iopl", SYS_iopl, { 99 }, EPERM },
		{ "ioperm", SYS_ioperm, { -1, -1, 1 }, EPERM },
#endif
#if defined(SYS_kexec_file_load)
		{ "kexec_file_load", SYS_kexec_file_load, { -1, -1, 0, BAD_POINTER, -1 }, EPERM },
#endif
	};

	check_calls(filter_builder, calls, ARRAY_SIZE(calls));
}

/* ES2: one flag at a time, and among others */
static void refuses_a_builder_every_new_namespace(void)
{
	static const unsigned long flags[] = { CLONE_NEWNS,   CLONE_NEWCGROUP,
		                               CLONE_NEWUTS,  CLONE_NEWIPC,
		                               CLONE_NEWUSER, CLONE_NEWPID,
		                               CLONE_NEWNET,  0x80 };

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		/* CLONE_SIGHAND without CLONE_VM, and a bit that unshare(2) does not know: EINVAL
		 * from the kernel. */
		const struct call calls[] = {
			{ "unshare", SYS_unshare, { (long)(flags[i] | 1UL << 50) }, EPERM },
			{ "clone", SYS_clone, { (long)(flags[i] | CLONE_SIGHAND) }, EPERM },
		};

		check_calls(filter_builder, calls, flags[i] == 0x80 ? 1 : 2);
	}
}

/* ES6: the kernel looks at the low 32 bits only */
static void refuses_a_builder_to_type_into_a_terminal(void)
{
	static const struct call calls[] = {
		{ "TIOCSTI", SYS_ioctl, { -1, TIOCSTI, 0 }, EPERM },
		{ "TIOCSTI with a high bit",
		  SYS_ioctl,
		  { -1, (long)(TIOCSTI | 1UL << 32), 0 },
		  EPERM },
		{ "TIOCSTI with all high bits",
		  SYS_ioctl,
		  { -1, (long)(TIOCSTI | ~0UL << 32), 0 },
		  EPERM },
		{ "TIOCLINUX", SYS_ioctl, { -1, TIOCLINUX, 0 }, EPERM },
		{ "TIOCLINUX with a high bit",
		  SYS_ioctl,
		  { -1, (long)(TIOCLINUX | 1UL << 40), 0 },
		  EPERM },
		{ "FIONREAD", SYS_ioctl, { -1, FIONREAD, 0 }, EBADF },
	};

	check_calls(filter_builder, calls, ARRAY_SIZE(calls));
}

/* ES14: families that a network namespace does not hold, or no build needs */
static void refuses_a_builder_unusual_sockets(void)
{
	enum { VSOCK = 40, UEVENT = 15, AUDIT = 9 };
	static const struct call calls[] = {
		{ "AF_VSOCK", SYS_socket, { VSOCK, SOCK_STREAM, 0 }, EAFNOSUPPORT },
		{ "AF_ALG", SYS_socket, { AF_ALG, SOCK_SEQPACKET, 0 }, EAFNOSUPPORT },
		{ "AF_PACKET", SYS_socket, { AF_PACKET, SOCK_RAW, 0 }, EAFNOSUPPORT },
		{ "AF_PACKET with a high bit",
		  SYS_socket,
		  { (long)(AF_PACKET | 1UL << 32), SOCK_RAW, 0 },
		  EAFNOSUPPORT },
		{ "kernel events", SYS_socket, { AF_NETLINK, SOCK_RAW, UEVENT }, EAFNOSUPPORT },
		{ "audit", SYS_socket, { AF_NETLINK, SOCK_RAW, AUDIT }, EAFNOSUPPORT },
		{ "routes", SYS_socket, { AF_NETLINK, SOCK_RAW, 0 }, 0 },
		{ "AF_UNIX", SYS_socket, { AF_UNIX, SOCK_STREAM, 0 }, 0 },
		{ "AF_INET", SYS_socket, { AF_INET, SOCK_STREAM, 0 }, 0 },
	};

	check_calls(filter_builder, calls, ARRAY_SIZE(calls));
}

/* ES10: init is of the same user */
static void refuses_a_builder_to_limit_init(void)
{
	static const struct call calls[] = {
		{ "prlimit64 of init", SYS_prlimit64, { 1, -1, 0, 0 }, EPERM },
		{ "prlimit64 of init, high bits",
		  SYS_prlimit64,
		  { 1L | 1L << 32, -1, 0, 0 },
		  EPERM },
		{ "prlimit64 of itself", SYS_prlimit64, { 0, -1, 0, 0 }, EINVAL },
	};

	check_calls(filter_builder, calls, ARRAY_SIZE(calls));
}

/* OP7: each call that takes a mode, each set-id bit */
static void refuses_a_builder_set_id_files(void)
{
	static const mode_t bits[] = { S_ISUID, S_ISGID, S_ISUID | S_ISGID };

	for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
		const long mode = (long)(0755 | bits[i]);
		const struct call calls[] = {
			{ "fchmod", SYS_fchmod, { -1, mode }, EPERM },
			{ "fchmodat", SYS_fchmodat, { -1, BAD_POINTER, mode }, EPERM },
			{ "fchmodat2", 452, { -1, BAD_POINTER, mode, 0 }, EPERM },
			{ "mknodat", SYS_mknodat, { -1, BAD_POINTER, S_IFREG | mode, 0 }, EPERM },
			{ "openat",
			  SYS_openat,
			  { -1, BAD_POINTER, O_CREAT | O_RDWR, mode },
			  EPERM },
			{ "openat of a nameless file",
			  SYS_openat,
			  { -1, BAD_POINTER, O_TMPFILE | O_RDWR, mode },
			  EPERM },
#if defined(SYS_open)
			{ "chmod", SYS_chmod, { BAD_POINTER, mode }, EPERM },
			{ "creat", SYS_creat, { BAD_POINTER, mode }, EPERM },
			{ "mknod", SYS_mknod, { BAD_POINTER, S_IFREG | mode, 0 }, EPERM },
			{ "open", SYS_open, { BAD_POINTER, O_CREAT | O_RDWR, mode }, EPERM },
			{ "open of a nameless file",
			  SYS_open,
			  { BAD_POINTER, O_TMPFILE | O_RDWR, mode },
			  EPERM },
#endif
		};

		check_calls(filter_builder, calls, ARRAY_SIZE(calls));
	}
}

/* What programs do all day comes through to the kernel, which sees that the argument is wrong. */
static void lets_a_builder_do_what_programs_do(void)
{
	static const struct call calls[] = {
		{ "fchmod", SYS_fchmod, { -1, 0755 }, EBADF },
		{ "fchmodat", SYS_fchmodat, { AT_FDCWD, BAD_POINTER, 01777 }, EFAULT },
		{ "openat", SYS_openat, { AT_FDCWD, BAD_POINTER, O_CREAT | O_RDWR, 0644 }, EFAULT },
		/* Without O_CREAT the mode is what the register held. */
		{ "openat with a stale mode",
		  SYS_openat,
		  { AT_FDCWD, BAD_POINTER, O_RDONLY, 06755 },
		  EFAULT },
		{ "openat of a directory",
		  SYS_openat,
		  { AT_FDCWD, BAD_POINTER, O_RDONLY | O_DIRECTORY, 06755 },
		  EFAULT },
		{ "mkdirat", SYS_mkdirat, { AT_FDCWD, BAD_POINTER, 0755 }, EFAULT },
		{ "unshare of files", SYS_unshare, { CLONE_FILES }, 0 },
		{ "getxattr", SYS_getxattr, { BAD_POINTER, BAD_POINTER, 0, 0 }, EFAULT },
		{ "socket", SYS_socket, { AF_UNIX, -1, 0 }, EINVAL },
		{ "ptrace", SYS_ptrace, { 9999, 0 }, ESRCH },
		{ "a call that does not exist", 1023, { 0 }, ENOSYS },
	};

	check_calls(filter_builder, calls, ARRAY_SIZE(calls));
}

static long fork_and_wait(void *context)
{
	int status;
	pid_t pid = fork();

	(void)context;
	if (pid == 0)
		syscall(SYS_exit_group, 7);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) && WEXITSTATUS(status) == 7 ? 0 : -1;
}

static void lets_a_builder_have_children(void)
{
	check(outcome(filter_builder, fork_and_wait, NULL) == 0);
}

#if defined(__x86_64__)
static long call_as_i386(void *context)
{
	long result;

	(void)context;
	__asm__ volatile("int $0x80"
	                 : "=a"(result)
	                 : "a"(20L)
	                 : "memory", "r8", "r9", "r10", "r11");
	return result;
}

/* ES3: the same numbers mean other calls there, so no rule would hold */
static void kills_a_builder_that_calls_as_another_architecture(void)
{
	static const struct call x32[] = {
		{ "getpid of x32", X32 | SYS_getpid, { 0 }, -SIGSYS },
		{ "mount of x32", X32 | SYS_mount, { 0 }, -SIGSYS },
	};
	int i386 = outcome(filter_builder, call_as_i386, NULL);

	/* A kernel without support for i386 sends SIGSEGV instead. */
	check(i386 == -SIGSYS || i386 == -SIGSEGV);
	check_calls(filter_builder, x32, ARRAY_SIZE(x32));
}
#endif

/* --- the speaker and the packer --- */

/* PR10, FD1: files, sockets, processes, and above all the call that takes descriptors */
static void kills_a_speaker_that_does_more_than_talk(void)
{
	static const struct call calls[] = {
		{ "openat", SYS_openat, { AT_FDCWD, BAD_POINTER, 0 }, -SIGSYS },
		{ "openat2", SYS_openat2, { AT_FDCWD, BAD_POINTER, 0, 0 }, -SIGSYS },
		{ "socket", SYS_socket, { AF_UNIX, SOCK_STREAM, 0 }, -SIGSYS },
		{ "connect", SYS_connect, { -1, BAD_POINTER, 0 }, -SIGSYS },
		{ "recvmsg", SYS_recvmsg, { -1, BAD_POINTER, 0 }, -SIGSYS },
		{ "recvmmsg", SYS_recvmmsg, { -1, BAD_POINTER, 0, 0, 0 }, -SIGSYS },
		{ "sendmsg", SYS_sendmsg, { -1, BAD_POINTER, 0 }, -SIGSYS },
		{ "clone", SYS_clone, { SIGCHLD }, -SIGSYS },
		{ "clone3", SYS_clone3, { BAD_POINTER, 0 }, -SIGSYS },
		{ "execve", SYS_execve, { BAD_POINTER, 0, 0 }, -SIGSYS },
		{ "kill", SYS_kill, { 0, 0 }, -SIGSYS },
		{ "ptrace", SYS_ptrace, { 0, 0 }, -SIGSYS },
		{ "setsockopt", SYS_setsockopt, { -1, 0, 0, 0, 0 }, -SIGSYS },
		{ "pidfd_getfd", SYS_pidfd_getfd, { -1, 0, 0 }, -SIGSYS },
		{ "memory for code",
		  SYS_mmap,
		  { 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 },
		  -SIGSYS },
		{ "memory made code", SYS_mprotect, { 0, 4096, PROT_EXEC }, -SIGSYS },
		{ "getppid", SYS_getppid, { 0 }, -SIGSYS },
#if defined(__x86_64__)
		{ "read of x32", X32 | SYS_read, { -1, 0, 0 }, -SIGSYS },
#endif
		/* and what talking is */
		{ "read", SYS_read, { -1, 0, 0 }, EBADF },
		{ "sendto", SYS_sendto, { -1, 0, 0, 0, 0, 0 }, EBADF },
		{ "recvfrom", SYS_recvfrom, { -1, 0, 0, 0, 0, 0 }, EBADF },
		{ "memory for data",
		  SYS_mmap,
		  { 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 },
		  0 },
	};

	check_calls(filter_speaker, calls, ARRAY_SIZE(calls));
}

/* ES12: a packer that a tree has taken over reads what it may read anyway, and no more */
static void kills_a_packer_that_does_more_than_read(void)
{
	static const struct call calls[] = {
		{ "socket", SYS_socket, { AF_UNIX, SOCK_STREAM, 0 }, -SIGSYS },
		{ "connect", SYS_connect, { -1, BAD_POINTER, 0 }, -SIGSYS },
		{ "recvmsg", SYS_recvmsg, { -1, BAD_POINTER, 0 }, -SIGSYS },
		{ "sendmsg", SYS_sendmsg, { -1, BAD_POINTER, 0 }, -SIGSYS },
		{ "unlinkat", SYS_unlinkat, { -1, BAD_POINTER, 0 }, -SIGSYS },
		{ "mkdirat", SYS_mkdirat, { -1, BAD_POINTER, 0 }, -SIGSYS },
		{ "renameat2", SYS_renameat2, { -1, BAD_POINTER, -1, BAD_POINTER, 0 }, -SIGSYS },
		{ "linkat", SYS_linkat, { -1, BAD_POINTER, -1, BAD_POINTER, 0 }, -SIGSYS },
		{ "symlinkat", SYS_symlinkat, { BAD_POINTER, -1, BAD_POINTER }, -SIGSYS },
		{ "ftruncate", SYS_ftruncate, { -1, 0 }, -SIGSYS },
		{ "fchownat", SYS_fchownat, { -1, BAD_POINTER, 0, 0, 0 }, -SIGSYS },
		{ "clone", SYS_clone, { SIGCHLD }, -SIGSYS },
		{ "execve", SYS_execve, { BAD_POINTER, 0, 0 }, -SIGSYS },
		{ "execveat", SYS_execveat, { -1, BAD_POINTER, 0, 0, 0 }, -SIGSYS },
		{ "kill", SYS_kill, { 0, 0 }, -SIGSYS },
		{ "ptrace", SYS_ptrace, { 0, 0 }, -SIGSYS },
		{ "memory for code",
		  SYS_mmap,
		  { 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 },
		  -SIGSYS },
#if defined(__x86_64__)
		{ "read of x32", X32 | SYS_read, { -1, 0, 0 }, -SIGSYS },
#endif
		{ "openat", SYS_openat, { AT_FDCWD, BAD_POINTER, O_RDONLY }, EFAULT },
		{ "getdents64", SYS_getdents64, { -1, 0, 0 }, EBADF },
		{ "readlinkat", SYS_readlinkat, { AT_FDCWD, BAD_POINTER, BAD_POINTER, 1 }, EFAULT },
		{ "sendfile", SYS_sendfile, { -1, -1, 0, 0 }, EBADF },
	};

	check_calls(filter_packer, calls, ARRAY_SIZE(calls));
}

/* ES12: a tap that a log has taken over can write it, and the speaker's it can write anyway */
static void kills_a_tap_that_does_more_than_pass_on(void)
{
	static const struct call calls[] = {
		{ "openat", SYS_openat, { AT_FDCWD, BAD_POINTER, O_RDONLY }, -SIGSYS },
		{ "socket", SYS_socket, { AF_UNIX, SOCK_STREAM, 0 }, -SIGSYS },
		{ "sendto", SYS_sendto, { -1, 0, 0, 0, 0, 0 }, -SIGSYS },
		{ "sendmsg", SYS_sendmsg, { -1, BAD_POINTER, 0 }, -SIGSYS },
		{ "recvmsg", SYS_recvmsg, { -1, BAD_POINTER, 0 }, -SIGSYS },
		{ "clone", SYS_clone, { SIGCHLD }, -SIGSYS },
		{ "execve", SYS_execve, { BAD_POINTER, 0, 0 }, -SIGSYS },
		{ "kill", SYS_kill, { 0, 0 }, -SIGSYS },
		{ "ptrace", SYS_ptrace, { 0, 0 }, -SIGSYS },
		{ "read", SYS_read, { -1, 0, 0 }, EBADF },
		{ "write", SYS_write, { -1, 0, 0 }, EBADF },
	};

	check_calls(filter_tap, calls, ARRAY_SIZE(calls));
}

static long load_again(void *context)
{
	struct error err = { 0 };

	(void)context;
	return filter_builder(&err);
}

/* ES4: without no_new_privs a filter could confuse a set-id program; loading one sets it */
static long no_new_privs(void *context)
{
	(void)context;
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : -1;
}

static void a_filter_comes_with_no_new_privs_and_can_be_narrowed_further(void)
{
	check(outcome(filter_builder, no_new_privs, NULL) == 0);
	check(outcome(filter_builder, load_again, NULL) == 0);
}

static const struct unit_case cases[] = {
	CASE(refuses_a_builder_what_no_build_needs),
	CASE(refuses_a_builder_every_new_namespace),
	CASE(refuses_a_builder_to_type_into_a_terminal),
	CASE(refuses_a_builder_unusual_sockets),
	CASE(refuses_a_builder_to_limit_init),
	CASE(refuses_a_builder_set_id_files),
	CASE(lets_a_builder_do_what_programs_do),
	CASE(lets_a_builder_have_children),
#if defined(__x86_64__)
	CASE(kills_a_builder_that_calls_as_another_architecture),
#endif
	CASE(kills_a_speaker_that_does_more_than_talk),
	CASE(kills_a_packer_that_does_more_than_read),
	CASE(kills_a_tap_that_does_more_than_pass_on),
	CASE(a_filter_comes_with_no_new_privs_and_can_be_narrowed_further),
};

UNIT_MAIN(cases)
