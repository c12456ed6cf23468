/*
 * The filters of hatchd's own processes as these meet them: each call is made in a child that has
 * loaded one. On the bare host, because a container's own filter would refuse some of these first.
 *
 * The arguments are wrong on purpose, so that a call that comes through does nothing, and says so
 * with another errno than the filter.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "test-filter.h"

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
		{ "another ioctl", SYS_ioctl, { -1, TIOCSTI, BAD_POINTER }, -SIGSYS },
		{ "F_SETOWN", SYS_fcntl, { -1, F_SETOWN, 1 }, -SIGSYS },
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
		{ "FIONREAD", SYS_ioctl, { -1, FIONREAD, 0 }, EBADF },
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

/* An unpacker that a stream has taken over makes files in its directory anyway, and does no more */
static void kills_an_unpacker_that_does_more_than_make_files(void)
{
	static const struct call calls[] = {
		{ "openat2", SYS_openat2, { AT_FDCWD, BAD_POINTER, 0, 0 }, -SIGSYS },
		{ "socket", SYS_socket, { AF_UNIX, SOCK_STREAM, 0 }, -SIGSYS },
		{ "connect", SYS_connect, { -1, BAD_POINTER, 0 }, -SIGSYS },
		{ "sendto", SYS_sendto, { -1, 0, 0, 0, 0, 0 }, -SIGSYS },
		{ "recvmsg", SYS_recvmsg, { -1, BAD_POINTER, 0 }, -SIGSYS },
		{ "renameat2", SYS_renameat2, { -1, BAD_POINTER, -1, BAD_POINTER, 0 }, -SIGSYS },
		{ "mknodat", SYS_mknodat, { -1, BAD_POINTER, S_IFIFO, 0 }, -SIGSYS },
		{ "fchownat", SYS_fchownat, { -1, BAD_POINTER, 0, 0, 0 }, -SIGSYS },
		{ "fsetxattr", SYS_fsetxattr, { -1, BAD_POINTER, 0, 0, 0 }, -SIGSYS },
		{ "ioctl", SYS_ioctl, { -1, 0, 0 }, -SIGSYS },
		{ "clone", SYS_clone, { SIGCHLD }, -SIGSYS },
		{ "execve", SYS_execve, { BAD_POINTER, 0, 0 }, -SIGSYS },
		{ "kill", SYS_kill, { 0, 0 }, -SIGSYS },
		{ "ptrace", SYS_ptrace, { 0, 0 }, -SIGSYS },
		{ "umask", SYS_umask, { 0 }, -SIGSYS },
		{ "memory for code",
		  SYS_mmap,
		  { 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0 },
		  -SIGSYS },
		{ "openat", SYS_openat, { AT_FDCWD, BAD_POINTER, O_RDONLY }, EFAULT },
		{ "mkdirat", SYS_mkdirat, { -1, BAD_POINTER, 0 }, EFAULT },
		{ "linkat", SYS_linkat, { -1, BAD_POINTER, -1, BAD_POINTER, 0 }, EFAULT },
		{ "symlinkat", SYS_symlinkat, { BAD_POINTER, -1, BAD_POINTER }, EFAULT },
		{ "pwrite64", SYS_pwrite64, { -1, 0, 0, 0 }, EBADF },
		{ "ftruncate", SYS_ftruncate, { -1, 0 }, EBADF },
	};

	check_calls(filter_unpacker, calls, ARRAY_SIZE(calls));
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
		{ "FIONREAD", SYS_ioctl, { -1, FIONREAD, 0 }, EBADF },
	};

	check_calls(filter_tap, calls, ARRAY_SIZE(calls));
}

/* It is root's, and lives while a builder does: nothing but to wait, and to say what it waited for
 */
static void kills_a_steward_that_does_more_than_wait(void)
{
	static const struct call calls[] = {
		{ "openat", SYS_openat, { AT_FDCWD, BAD_POINTER, O_RDONLY }, -SIGSYS },
		{ "unlinkat", SYS_unlinkat, { -1, BAD_POINTER, 0 }, -SIGSYS },
		{ "socket", SYS_socket, { AF_UNIX, SOCK_STREAM, 0 }, -SIGSYS },
		{ "recvmsg", SYS_recvmsg, { -1, BAD_POINTER, 0 }, -SIGSYS },
		{ "clone", SYS_clone, { SIGCHLD }, -SIGSYS },
		{ "clone3", SYS_clone3, { BAD_POINTER, 0 }, -SIGSYS },
		{ "execve", SYS_execve, { BAD_POINTER, 0, 0 }, -SIGSYS },
		{ "setresuid", SYS_setresuid, { -1, -1, -1 }, -SIGSYS },
		{ "kill", SYS_kill, { 0, 0 }, -SIGSYS },
		{ "pidfd_send_signal", SYS_pidfd_send_signal, { -1, 0, 0, 0 }, -SIGSYS },
		{ "ptrace", SYS_ptrace, { 0, 0 }, -SIGSYS },
		{ "sendto", SYS_sendto, { -1, 0, 0, 0, 0, 0 }, EBADF },
		{ "recvfrom", SYS_recvfrom, { -1, 0, 0, 0, 0, 0 }, EBADF },
		{ "pread64", SYS_pread64, { -1, 0, 0, 0 }, EBADF },
		{ "wait4", SYS_wait4, { -1, 0, 0, 0 }, ECHILD },
		{ "rt_sigtimedwait", SYS_rt_sigtimedwait, { BAD_POINTER, 0, 0, 8 }, EFAULT },
	};

	check_calls(filter_steward, calls, ARRAY_SIZE(calls));
}

/* uid 0 without a capability: a user namespace would give it some, other processes lend theirs */
static void refuses_a_monitor_what_root_has_without_capabilities(void)
{
	static const struct call calls[] = {
		{ "execve", SYS_execve, { BAD_POINTER, 0, 0 }, EPERM },
		{ "fchown", SYS_fchown, { -1, 0, 0 }, EPERM },
		{ "fchownat", SYS_fchownat, { -1, BAD_POINTER, 0, 0, 0 }, EPERM },
		{ "linkat", SYS_linkat, { -1, BAD_POINTER, -1, BAD_POINTER, 0 }, EPERM },
		{ "a user namespace", SYS_unshare, { CLONE_NEWUSER }, EPERM },
		{ "clone", SYS_clone, { CLONE_NEWUSER | SIGCHLD }, EPERM },
		{ "clone3", SYS_clone3, { BAD_POINTER, 0 }, EPERM },
		{ "ptrace", SYS_ptrace, { 0, 0 }, EPERM },
		{ "process_vm_readv", SYS_process_vm_readv, { -1, 0, 0, 0, 0, 0 }, EPERM },
		{ "pidfd_getfd", SYS_pidfd_getfd, { -1, 0, 0 }, EPERM },
		{ "read", SYS_read, { -1, 0, 0 }, EBADF },
		{ "unlinkat", SYS_unlinkat, { -1, BAD_POINTER, 0 }, EFAULT },
	};

	check_calls(filter_monitor, calls, ARRAY_SIZE(calls));
}

static const struct unit_case cases[] = {
	CASE(kills_a_speaker_that_does_more_than_talk),
	CASE(kills_a_packer_that_does_more_than_read),
	CASE(kills_an_unpacker_that_does_more_than_make_files),
	CASE(kills_a_tap_that_does_more_than_pass_on),
	CASE(kills_a_steward_that_does_more_than_wait),
	CASE(refuses_a_monitor_what_root_has_without_capabilities),
};

UNIT_MAIN(cases)
