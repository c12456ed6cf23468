/*
 * The builder's filters as a builder meets them, above all what depends on arguments; the table of
 * every number is filter-table-test.c. On the bare host, because a container's own filter would
 * refuse some of these first.
 *
 * The arguments are wrong on purpose, so that a call that comes through does nothing, and says so
 * with another errno than the filter.
 */
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "test-filter.h"

/* What a builder may by default, and with each group. */
static int load_default(struct error *err)
{
	return filter_builder(&(struct seccomp){ 0 }, err);
}

static int load_debug(struct error *err)
{
	return filter_builder(&(struct seccomp){ .groups = SECCOMP_DEBUG }, err);
}

static int load_io_uring(struct error *err)
{
	return filter_builder(&(struct seccomp){ .groups = SECCOMP_IO_URING }, err);
}

static int load_userns(struct error *err)
{
	return filter_builder(&(struct seccomp){ .groups = SECCOMP_USERNS }, err);
}

static int load_i386(struct error *err)
{
	return filter_builder(&(struct seccomp){ .groups = SECCOMP_I386 }, err);
}

static int load_none(struct error *err)
{
	return filter_builder(&(struct seccomp){ .none = true }, err);
}

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
		{ "removexattr", SYS_removexattr, { BAD_POINTER, BAD_POINTER }, ENOTSUP },
		{ "fremovexattr", SYS_fremovexattr, { -1, BAD_POINTER }, ENOTSUP },
		{ "removexattrat", 466, { -1, BAD_POINTER, 0, BAD_POINTER }, ENOTSUP },
		{ "file_setattr", 469, { -1, BAD_POINTER, BAD_POINTER, 0, 0 }, ENOTSUP },
		{ "ptrace", SYS_ptrace, { 9999, 0 }, EPERM },
		{ "process_vm_readv", SYS_process_vm_readv, { 0, 0, -1, 0, 0, 0 }, EPERM },
		{ "process_vm_writev", SYS_process_vm_writev, { 0, 0, -1, 0, 0, 0 }, EPERM },
		{ "kcmp", SYS_kcmp, { -1, -1, -1, 0, 0 }, EPERM },
		{ "pidfd_getfd", SYS_pidfd_getfd, { -1, 0, 0 }, EPERM },
#if defined(SYS_iopl)
		{ "iopl", SYS_iopl, { 99 }, EPERM },
		{ "ioperm", SYS_ioperm, { -1, -1, 1 }, EPERM },
#endif
#if defined(SYS_kexec_file_load)
		{ "kexec_file_load", SYS_kexec_file_load, { -1, -1, 0, BAD_POINTER, -1 }, EPERM },
#endif
	};

	check_calls(load_default, calls, ARRAY_SIZE(calls));
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

		check_calls(load_default, calls, flags[i] == 0x80 ? 1 : 2);
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

	check_calls(load_default, calls, ARRAY_SIZE(calls));
}

/* ES14: families that a network namespace does not hold, or no build needs */
static void refuses_a_builder_unusual_sockets(void)
{
	enum { VSOCK = 40, TIPC = 30, UEVENT = 15, AUDIT = 9 };
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
		{ "a pair of AF_TIPC", SYS_socketpair, { TIPC, SOCK_STREAM, 0 }, EAFNOSUPPORT },
		{ "a pair of AF_TIPC with a high bit",
		  SYS_socketpair,
		  { (long)(TIPC | 1UL << 32), SOCK_STREAM, 0 },
		  EAFNOSUPPORT },
		{ "a pair of AF_ALG", SYS_socketpair, { AF_ALG, SOCK_SEQPACKET, 0 }, EAFNOSUPPORT },
		{ "a pair of AF_UNIX", SYS_socketpair, { AF_UNIX, SOCK_STREAM, 0 }, EFAULT },
	};

	check_calls(load_default, calls, ARRAY_SIZE(calls));
}

/* Its faults in the kernel were many */
static void refuses_a_builder_urgent_bytes(void)
{
	static const struct call calls[] = {
		{ "sendto", SYS_sendto, { -1, BAD_POINTER, 1, MSG_OOB, 0, 0 }, EOPNOTSUPP },
		{ "sendmsg", SYS_sendmsg, { -1, BAD_POINTER, MSG_OOB }, EOPNOTSUPP },
		{ "sendmmsg", SYS_sendmmsg, { -1, BAD_POINTER, 1, MSG_OOB }, EOPNOTSUPP },
		{ "sendto, among others",
		  SYS_sendto,
		  { -1, BAD_POINTER, 1, MSG_OOB | MSG_NOSIGNAL, 0, 0 },
		  EOPNOTSUPP },
		{ "sendto without", SYS_sendto, { -1, BAD_POINTER, 1, MSG_NOSIGNAL, 0, 0 }, EBADF },
		{ "sendmsg without", SYS_sendmsg, { -1, BAD_POINTER, MSG_NOSIGNAL }, EBADF },
	};

	check_calls(load_default, calls, ARRAY_SIZE(calls));
}

/* Executable data, a zero page, other clocks of stat(2): what made exploits easier. */
static void refuses_a_builder_other_personalities(void)
{
	static const struct call calls[] = {
		{ "query", SYS_personality, { 0xffffffff }, 0 },
		{ "as it is", SYS_personality, { PER_LINUX }, 0 },
		{ "32 bit", SYS_personality, { PER_LINUX32 }, 0 },
		{ "without randomization", SYS_personality, { ADDR_NO_RANDOMIZE }, 0 },
		{ "both", SYS_personality, { PER_LINUX32 | ADDR_NO_RANDOMIZE }, 0 },
		{ "executable data", SYS_personality, { READ_IMPLIES_EXEC }, EPERM },
		{ "zero page", SYS_personality, { MMAP_PAGE_ZERO | ADDR_NO_RANDOMIZE }, EPERM },
		{ "another system", SYS_personality, { PER_SVR4 }, EPERM },
		{ "the top bit", SYS_personality, { 0x80000000 }, EPERM },
		{ "all but one", SYS_personality, { 0x7fffffff }, EPERM },
		{ "all but another", SYS_personality, { 0xfffffffe }, EPERM },
	};

	check_calls(load_default, calls, ARRAY_SIZE(calls));
}

/* Else the owner of a file could count it to another project, and so past a quota. */
static void refuses_a_builder_attributes_of_files(void)
{
	static const struct call calls[] = {
		{ "FS_IOC_FSSETXATTR",
		  SYS_ioctl,
		  { -1, (long)FS_IOC_FSSETXATTR, BAD_POINTER },
		  ENOTSUP },
		{ "FS_IOC_SETFLAGS",
		  SYS_ioctl,
		  { -1, (long)FS_IOC_SETFLAGS, BAD_POINTER },
		  ENOTSUP },
		{ "FS_IOC_SETFLAGS of 32 bits",
		  SYS_ioctl,
		  { -1, (long)FS_IOC32_SETFLAGS, BAD_POINTER },
		  ENOTSUP },
		{ "FS_IOC_GETFLAGS", SYS_ioctl, { -1, (long)FS_IOC_GETFLAGS, BAD_POINTER }, EBADF },
	};

	check_calls(load_default, calls, ARRAY_SIZE(calls));
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

	check_calls(load_default, calls, ARRAY_SIZE(calls));
}

/* OP7: each call that takes a mode, each set-id bit; and the one whose mode no filter sees */
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
			{ "openat2", SYS_openat2, { -1, BAD_POINTER, BAD_POINTER, 24 }, ENOSYS },
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

		check_calls(load_default, calls, ARRAY_SIZE(calls));
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
		{ "a call that does not exist", 1023, { 0 }, ENOSYS },
	};

	check_calls(load_default, calls, ARRAY_SIZE(calls));
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
	check(outcome(load_default, fork_and_wait, NULL) == 0);
}

#if defined(__x86_64__)
/* With an argument that no call likes. */
static long int80(long number)
{
	long result;

	__asm__ volatile("int $0x80"
	                 : "=a"(result)
	                 : "a"(number), "b"(9999L)
	                 : "memory", "r8", "r9", "r10", "r11");
	errno = (int)-result;
	return (int)result;
}

static long call_as_i386(void *context)
{
	(void)context;
	return int80(20 /* getpid */);
}

/* ES3: the same numbers mean other calls there, so no rule would hold */
static void kills_a_builder_that_calls_as_another_architecture(void)
{
	static const struct call x32[] = {
		{ "getpid of x32", X32 | SYS_getpid, { 0 }, -SIGSYS },
		{ "mount of x32", X32 | SYS_mount, { 0 }, -SIGSYS },
	};
	int i386 = outcome(load_default, call_as_i386, NULL);

	/* A kernel without support for i386 sends SIGSEGV instead. */
	check(i386 == -SIGSYS || i386 == -SIGSEGV);
	check_calls(load_default, x32, ARRAY_SIZE(x32));
}
#endif

/* Each group opens what its name says; filter-table-test.c shows that it opens nothing else. */
static void groups_widen_the_default(void)
{
	static const struct call debug[] = {
		{ "ptrace", SYS_ptrace, { 9999, 0 }, ESRCH },
		{ "kcmp", SYS_kcmp, { -1, -1, -1, 0, 0 }, ESRCH },
		{ "pidfd_getfd", SYS_pidfd_getfd, { -1, 0, 0 }, EBADF },
		{ "mount", SYS_mount, { BAD_POINTER, BAD_POINTER, BAD_POINTER }, EPERM },
	};
	static const struct call io_uring[] = {
		{ "io_uring_enter", SYS_io_uring_enter, { -1 }, EBADF },
		{ "ptrace", SYS_ptrace, { 9999, 0 }, EPERM },
	};
	static const struct call userns[] = {
		{ "unshare", SYS_unshare, { CLONE_NEWUSER | 1L << 50 }, EINVAL },
		{ "clone", SYS_clone, { CLONE_NEWUSER | CLONE_SIGHAND }, EINVAL },
		{ "clone3", SYS_clone3, { BAD_POINTER, 1 }, EINVAL },
		{ "setns", SYS_setns, { -1, 0 }, EBADF },
		{ "chroot", SYS_chroot, { BAD_POINTER }, EFAULT },
		{ "chmod u+s", SYS_fchmod, { -1, 04755 }, EPERM },
		{ "openat2", SYS_openat2, { -1, BAD_POINTER, BAD_POINTER, 24 }, ENOSYS },
		{ "keyctl", SYS_keyctl, { 9999 }, EPERM },
		{ "open_by_handle_at", SYS_open_by_handle_at, { -1, BAD_POINTER, 0 }, EPERM },
	};

	check_calls(load_debug, debug, ARRAY_SIZE(debug));
	check_calls(load_io_uring, io_uring, ARRAY_SIZE(io_uring));
	check_calls(load_userns, userns, ARRAY_SIZE(userns));
}

#if defined(__x86_64__)
static void a_builder_of_32_bits_is_held_like_others(void)
{
	static const struct call calls[] = {
		{ "getpid of x32", X32 | SYS_getpid, { 0 }, -SIGSYS },
		{ "mount", SYS_mount, { BAD_POINTER, BAD_POINTER, BAD_POINTER }, EPERM },
		{ "AF_PACKET", SYS_socket, { AF_PACKET, SOCK_RAW, 0 }, EAFNOSUPPORT },
	};
	int i386 = outcome(load_i386, call_as_i386, NULL);

	check(i386 == 0 || i386 == -SIGSEGV);
	check_calls(load_i386, calls, ARRAY_SIZE(calls));
}
#endif

static void none_is_no_filter(void)
{
	static const struct call calls[] = {
		{ "mount", SYS_mount, { BAD_POINTER, BAD_POINTER, BAD_POINTER }, EFAULT },
		{ "keyctl", SYS_keyctl, { 9999 }, EOPNOTSUPP },
	};

	check_calls(load_none, calls, ARRAY_SIZE(calls));
}

static long load_again(void *context)
{
	struct error err = { 0 };

	(void)context;
	return load_default(&err);
}

/* ES4: without no_new_privs a filter could confuse a set-id program; loading one sets it */
static long no_new_privs(void *context)
{
	(void)context;
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : -1;
}

static void a_filter_comes_with_no_new_privs_and_can_be_narrowed_further(void)
{
	check(outcome(load_default, no_new_privs, NULL) == 0);
	check(outcome(load_default, load_again, NULL) == 0);
}

static const struct unit_case cases[] = {
	CASE(refuses_a_builder_what_no_build_needs),
	CASE(refuses_a_builder_every_new_namespace),
	CASE(refuses_a_builder_to_type_into_a_terminal),
	CASE(refuses_a_builder_unusual_sockets),
	CASE(refuses_a_builder_urgent_bytes),
	CASE(refuses_a_builder_other_personalities),
	CASE(refuses_a_builder_attributes_of_files),
	CASE(refuses_a_builder_to_limit_init),
	CASE(refuses_a_builder_set_id_files),
	CASE(lets_a_builder_do_what_programs_do),
	CASE(lets_a_builder_have_children),
#if defined(__x86_64__)
	CASE(kills_a_builder_that_calls_as_another_architecture),
#endif
	CASE(groups_widen_the_default),
#if defined(__x86_64__)
	CASE(a_builder_of_32_bits_is_held_like_others),
#endif
	CASE(none_is_no_filter),
	CASE(a_filter_comes_with_no_new_privs_and_can_be_narrowed_further),
};

UNIT_MAIN(cases)
