/*
 * The builder's system calls, as tables: what is known, what is refused of it, and which group
 * lifts a refusal. What no table names is ENOSYS, as on a kernel that has not got it yet: then
 * programs try what they tried before there was such a call.
 */
#include "filter-builder.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "lib/base/cleanup.h"

static void release_filter(scmp_filter_ctx *ctx)
{
	if (*ctx)
		seccomp_release(*ctx);
}

#define cleanup_filter cleanup_(release_filter)

/* --- what is known --- */

/* What ordinary programs, compilers and language run times call. */
static const int known_calls[] = {
	/* files by descriptor */
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(readv),
	SCMP_SYS(writev),
	SCMP_SYS(pread64),
	SCMP_SYS(pwrite64),
	SCMP_SYS(preadv),
	SCMP_SYS(pwritev),
	SCMP_SYS(preadv2),
	SCMP_SYS(pwritev2),
	SCMP_SYS(lseek),
	SCMP_SYS(close),
	SCMP_SYS(close_range),
	SCMP_SYS(dup),
	SCMP_SYS(dup2),
	SCMP_SYS(dup3),
	SCMP_SYS(fcntl),
	SCMP_SYS(flock),
	SCMP_SYS(ioctl),
	SCMP_SYS(fsync),
	SCMP_SYS(fdatasync),
	SCMP_SYS(sync),
	SCMP_SYS(syncfs),
	SCMP_SYS(sync_file_range),
	SCMP_SYS(ftruncate),
	SCMP_SYS(fallocate),
	SCMP_SYS(fadvise64),
	SCMP_SYS(readahead),
	SCMP_SYS(sendfile),
	SCMP_SYS(splice),
	SCMP_SYS(tee),
	SCMP_SYS(vmsplice),
	SCMP_SYS(copy_file_range),
	SCMP_SYS(pipe),
	SCMP_SYS(pipe2),
	SCMP_SYS(memfd_create),
	SCMP_SYS(getdents),
	SCMP_SYS(getdents64),
	/* files by name */
	SCMP_SYS(open),
	SCMP_SYS(openat),
	SCMP_SYS(creat),
	SCMP_SYS(name_to_handle_at),
	SCMP_SYS(stat),
	SCMP_SYS(fstat),
	SCMP_SYS(lstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(statx),
	SCMP_SYS(statfs),
	SCMP_SYS(fstatfs),
	SCMP_SYS(access),
	SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2),
	SCMP_SYS(truncate),
	SCMP_SYS(rename),
	SCMP_SYS(renameat),
	SCMP_SYS(renameat2),
	SCMP_SYS(mkdir),
	SCMP_SYS(mkdirat),
	SCMP_SYS(rmdir),
	SCMP_SYS(link),
	SCMP_SYS(linkat),
	SCMP_SYS(unlink),
	SCMP_SYS(unlinkat),
	SCMP_SYS(symlink),
	SCMP_SYS(symlinkat),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(mknod),
	SCMP_SYS(mknodat),
	SCMP_SYS(chmod),
	SCMP_SYS(fchmod),
	SCMP_SYS(fchmodat),
	SCMP_SYS(chown),
	SCMP_SYS(fchown),
	SCMP_SYS(lchown),
	SCMP_SYS(fchownat),
	SCMP_SYS(utime),
	SCMP_SYS(utimes),
	SCMP_SYS(futimesat),
	SCMP_SYS(utimensat),
	SCMP_SYS(umask),
	SCMP_SYS(getcwd),
	SCMP_SYS(chdir),
	SCMP_SYS(fchdir),
	SCMP_SYS(getxattr),
	SCMP_SYS(lgetxattr),
	SCMP_SYS(fgetxattr),
	SCMP_SYS(listxattr),
	SCMP_SYS(llistxattr),
	SCMP_SYS(flistxattr),
	SCMP_SYS(inotify_init),
	SCMP_SYS(inotify_init1),
	SCMP_SYS(inotify_add_watch),
	SCMP_SYS(inotify_rm_watch),
	/* waiting */
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(select),
	SCMP_SYS(pselect6),
	SCMP_SYS(epoll_create),
	SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(eventfd),
	SCMP_SYS(eventfd2),
	SCMP_SYS(io_setup),
	SCMP_SYS(io_destroy),
	SCMP_SYS(io_submit),
	SCMP_SYS(io_cancel),
	SCMP_SYS(io_getevents),
	SCMP_SYS(io_pgetevents),
	/* memory */
	SCMP_SYS(brk),
	SCMP_SYS(mmap),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(mprotect),
	SCMP_SYS(pkey_mprotect),
	SCMP_SYS(pkey_alloc),
	SCMP_SYS(pkey_free),
	SCMP_SYS(madvise),
	SCMP_SYS(process_madvise),
	SCMP_SYS(mincore),
	SCMP_SYS(msync),
	SCMP_SYS(mlock),
	SCMP_SYS(mlock2),
	SCMP_SYS(mlockall),
	SCMP_SYS(munlock),
	SCMP_SYS(munlockall),
	SCMP_SYS(remap_file_pages),
	SCMP_SYS(membarrier),
	SCMP_SYS(mbind),
	SCMP_SYS(get_mempolicy),
	SCMP_SYS(set_mempolicy),
	SCMP_SYS(move_pages),
	/* processes and threads; other namespaces are refused by flag */
	SCMP_SYS(clone),
	SCMP_SYS(fork),
	SCMP_SYS(vfork),
	SCMP_SYS(unshare),
	SCMP_SYS(execve),
	SCMP_SYS(execveat),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(wait4),
	SCMP_SYS(waitid),
	SCMP_SYS(getpid),
	SCMP_SYS(getppid),
	SCMP_SYS(gettid),
	SCMP_SYS(getpgid),
	SCMP_SYS(setpgid),
	SCMP_SYS(getpgrp),
	SCMP_SYS(getsid),
	SCMP_SYS(setsid),
	SCMP_SYS(pidfd_open),
	SCMP_SYS(pidfd_send_signal),
	SCMP_SYS(prctl),
	SCMP_SYS(arch_prctl),
	SCMP_SYS(personality),
	SCMP_SYS(seccomp),
	SCMP_SYS(futex),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(get_robust_list),
	SCMP_SYS(set_tid_address),
	SCMP_SYS(rseq),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(getpriority),
	SCMP_SYS(setpriority),
	SCMP_SYS(ioprio_get),
	SCMP_SYS(ioprio_set),
	SCMP_SYS(getrlimit),
	SCMP_SYS(setrlimit),
	SCMP_SYS(prlimit64),
	SCMP_SYS(getrusage),
	SCMP_SYS(times),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sched_setaffinity),
	SCMP_SYS(sched_getparam),
	SCMP_SYS(sched_setparam),
	SCMP_SYS(sched_getscheduler),
	SCMP_SYS(sched_setscheduler),
	SCMP_SYS(sched_getattr),
	SCMP_SYS(sched_setattr),
	SCMP_SYS(sched_get_priority_max),
	SCMP_SYS(sched_get_priority_min),
	SCMP_SYS(sched_rr_get_interval),
	SCMP_SYS(getcpu),
	/* signals */
	SCMP_SYS(kill),
	SCMP_SYS(tkill),
	SCMP_SYS(tgkill),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigpending),
	SCMP_SYS(rt_sigsuspend),
	SCMP_SYS(rt_sigtimedwait),
	SCMP_SYS(rt_sigqueueinfo),
	SCMP_SYS(rt_tgsigqueueinfo),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(signalfd),
	SCMP_SYS(signalfd4),
	SCMP_SYS(pause),
	/* time */
	SCMP_SYS(time),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_getres),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep),
	SCMP_SYS(alarm),
	SCMP_SYS(getitimer),
	SCMP_SYS(setitimer),
	SCMP_SYS(timer_create),
	SCMP_SYS(timer_settime),
	SCMP_SYS(timer_gettime),
	SCMP_SYS(timer_getoverrun),
	SCMP_SYS(timer_delete),
	SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(timerfd_gettime),
	/* who one is; the kernel refuses what is not a builder's */
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(getresuid),
	SCMP_SYS(getresgid),
	SCMP_SYS(getgroups),
	SCMP_SYS(setuid),
	SCMP_SYS(setgid),
	SCMP_SYS(setreuid),
	SCMP_SYS(setregid),
	SCMP_SYS(setresuid),
	SCMP_SYS(setresgid),
	SCMP_SYS(setfsuid),
	SCMP_SYS(setfsgid),
	SCMP_SYS(setgroups),
	SCMP_SYS(capget),
	SCMP_SYS(capset),
	/* sockets, of some families */
	SCMP_SYS(socket),
	SCMP_SYS(socketpair),
	SCMP_SYS(bind),
	SCMP_SYS(listen),
	SCMP_SYS(accept),
	SCMP_SYS(accept4),
	SCMP_SYS(connect),
	SCMP_SYS(shutdown),
	SCMP_SYS(getsockname),
	SCMP_SYS(getpeername),
	SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),
	SCMP_SYS(sendto),
	SCMP_SYS(sendmsg),
	SCMP_SYS(sendmmsg),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(recvmmsg),
	/* System V and POSIX queues, memory and semaphores: of the request's own namespace */
	SCMP_SYS(semget),
	SCMP_SYS(semop),
	SCMP_SYS(semtimedop),
	SCMP_SYS(semctl),
	SCMP_SYS(shmget),
	SCMP_SYS(shmat),
	SCMP_SYS(shmdt),
	SCMP_SYS(shmctl),
	SCMP_SYS(msgget),
	SCMP_SYS(msgsnd),
	SCMP_SYS(msgrcv),
	SCMP_SYS(msgctl),
	SCMP_SYS(mq_open),
	SCMP_SYS(mq_unlink),
	SCMP_SYS(mq_timedsend),
	SCMP_SYS(mq_timedreceive),
	SCMP_SYS(mq_notify),
	SCMP_SYS(mq_getsetattr),
	/* the machine */
	SCMP_SYS(uname),
	SCMP_SYS(sysinfo),
	SCMP_SYS(getrandom),
	/* of one 64-bit architecture or the other */
	SCMP_SYS(riscv_flush_icache),
	SCMP_SYS(sync_file_range2),
};

/* The same for 32-bit x86: what has another name there. */
static const int known_i386_calls[] = {
	/* names from before 64-bit sizes, 32-bit ids and 64-bit times */
	SCMP_SYS(_llseek),
	SCMP_SYS(_newselect),
	SCMP_SYS(mmap2),
	SCMP_SYS(fcntl64),
	SCMP_SYS(sendfile64),
	SCMP_SYS(truncate64),
	SCMP_SYS(ftruncate64),
	SCMP_SYS(fadvise64_64),
	SCMP_SYS(stat64),
	SCMP_SYS(lstat64),
	SCMP_SYS(fstat64),
	SCMP_SYS(fstatat64),
	SCMP_SYS(statfs64),
	SCMP_SYS(fstatfs64),
	SCMP_SYS(oldstat),
	SCMP_SYS(oldlstat),
	SCMP_SYS(oldfstat),
	SCMP_SYS(readdir),
	SCMP_SYS(chown32),
	SCMP_SYS(fchown32),
	SCMP_SYS(lchown32),
	SCMP_SYS(getuid32),
	SCMP_SYS(geteuid32),
	SCMP_SYS(getgid32),
	SCMP_SYS(getegid32),
	SCMP_SYS(getresuid32),
	SCMP_SYS(getresgid32),
	SCMP_SYS(getgroups32),
	SCMP_SYS(setuid32),
	SCMP_SYS(setgid32),
	SCMP_SYS(setreuid32),
	SCMP_SYS(setregid32),
	SCMP_SYS(setresuid32),
	SCMP_SYS(setresgid32),
	SCMP_SYS(setfsuid32),
	SCMP_SYS(setfsgid32),
	SCMP_SYS(setgroups32),
	SCMP_SYS(ugetrlimit),
	SCMP_SYS(waitpid),
	SCMP_SYS(nice),
	SCMP_SYS(olduname),
	SCMP_SYS(oldolduname),
	SCMP_SYS(signal),
	SCMP_SYS(sigaction),
	SCMP_SYS(sigprocmask),
	SCMP_SYS(sigpending),
	SCMP_SYS(sigsuspend),
	SCMP_SYS(sigreturn),
	SCMP_SYS(sgetmask),
	SCMP_SYS(ssetmask),
	SCMP_SYS(clock_gettime64),
	SCMP_SYS(clock_getres_time64),
	SCMP_SYS(clock_nanosleep_time64),
	SCMP_SYS(futex_time64),
	SCMP_SYS(io_pgetevents_time64),
	SCMP_SYS(mq_timedreceive_time64),
	SCMP_SYS(mq_timedsend_time64),
	SCMP_SYS(ppoll_time64),
	SCMP_SYS(pselect6_time64),
	SCMP_SYS(recvmmsg_time64),
	SCMP_SYS(rt_sigtimedwait_time64),
	SCMP_SYS(sched_rr_get_interval_time64),
	SCMP_SYS(semtimedop_time64),
	SCMP_SYS(timer_gettime64),
	SCMP_SYS(timer_settime64),
	SCMP_SYS(timerfd_gettime64),
	SCMP_SYS(timerfd_settime64),
	SCMP_SYS(utimensat_time64),
	/* thread-local storage */
	SCMP_SYS(set_thread_area),
	SCMP_SYS(get_thread_area),
	/* two that hold many others, told apart by their first argument */
	SCMP_SYS(ipc),
	SCMP_SYS(socketcall),
};

/* Calls that are younger than the oldest libseccomp that we are built with stand with their
 * numbers, which are the same on every architecture since 2019. On i386 they are not known. */
static const int known_young_calls[] = {
	441, /* epoll_pwait2, Linux 5.11 */
	444, /* landlock_create_ruleset, 5.13 */
	445, /* landlock_add_rule */
	446, /* landlock_restrict_self */
	449, /* futex_waitv, 5.16 */
	450, /* set_mempolicy_home_node, 5.17 */
	451, /* cachestat, 6.5 */
	452, /* fchmodat2, 6.6 */
	453, /* map_shadow_stack, 6.6 */
	454, /* futex_wake, 6.7 */
	455, /* futex_wait */
	456, /* futex_requeue */
	457, /* statmount, 6.8 */
	458, /* listmount */
	459, /* lsm_get_self_attr, 6.8 */
	461, /* lsm_list_modules */
	462, /* mseal, 6.10 */
	464, /* getxattrat, 6.13 */
	465, /* listxattrat */
	468, /* file_getattr, 6.17 */
#if defined(__x86_64__)
	335, /* uretprobe, 6.11: when the host watches a function of the builder */
#endif
};

/* --- what is refused of it --- */

/* Wholly, and with which errno; lifted by any of these groups of enum seccomp_group, or by none. */
struct refusal {
	int call;
	int error;
	unsigned lifted_by;
};

static const struct refusal refusals[] = {
	/* namespaces and mounts; clone3 passes its flags in memory, where a filter cannot look */
	{ SCMP_SYS(clone3), ENOSYS, SECCOMP_USERNS },
	{ SCMP_SYS(setns), EPERM, SECCOMP_USERNS },
	{ SCMP_SYS(mount), EPERM, SECCOMP_USERNS },
	{ SCMP_SYS(umount2), EPERM, SECCOMP_USERNS },
	{ SCMP_SYS(umount), EPERM, SECCOMP_USERNS },
	{ SCMP_SYS(pivot_root), EPERM, SECCOMP_USERNS },
	{ SCMP_SYS(chroot), EPERM, SECCOMP_USERNS | SECCOMP_OWNERS },
	{ SCMP_SYS(open_tree), EPERM, SECCOMP_USERNS },
	{ SCMP_SYS(move_mount), EPERM, SECCOMP_USERNS },
	{ SCMP_SYS(fsopen), EPERM, SECCOMP_USERNS },
	{ SCMP_SYS(fsconfig), EPERM, SECCOMP_USERNS },
	{ SCMP_SYS(fsmount), EPERM, SECCOMP_USERNS },
	{ SCMP_SYS(fspick), EPERM, SECCOMP_USERNS },
	{ SCMP_SYS(mount_setattr), EPERM, SECCOMP_USERNS },
	{ SCMP_SYS(sethostname), EPERM, SECCOMP_USERNS },
	{ SCMP_SYS(setdomainname), EPERM, SECCOMP_USERNS },
	/* other processes */
	{ SCMP_SYS(ptrace), EPERM, SECCOMP_DEBUG },
	{ SCMP_SYS(process_vm_readv), EPERM, SECCOMP_DEBUG },
	{ SCMP_SYS(process_vm_writev), EPERM, SECCOMP_DEBUG },
	{ SCMP_SYS(kcmp), EPERM, SECCOMP_DEBUG },
	{ SCMP_SYS(pidfd_getfd), EPERM, SECCOMP_DEBUG },
	/* a queue of calls that no filter sees */
	{ SCMP_SYS(io_uring_setup), ENOSYS, SECCOMP_IO_URING },
	{ SCMP_SYS(io_uring_enter), ENOSYS, SECCOMP_IO_URING },
	{ SCMP_SYS(io_uring_register), ENOSYS, SECCOMP_IO_URING },
	/* its mode, and so set-id bits, are in memory, too; systemd's RestrictSUIDSGID= does the
	 * same, and libraries then use openat */
	{ SCMP_SYS(openat2), ENOSYS, SECCOMP_OWNERS },

	/* keyrings outlive processes and are shared by all of one user */
	{ SCMP_SYS(keyctl), EPERM },
	{ SCMP_SYS(add_key), EPERM },
	{ SCMP_SYS(request_key), EPERM },
	/* a file without its path, past every directory that is closed */
	{ SCMP_SYS(open_by_handle_at), EPERM },
	/* large parts of the kernel that no build needs */
	{ SCMP_SYS(bpf), EPERM },
	{ SCMP_SYS(perf_event_open), EPERM },
	{ SCMP_SYS(userfaultfd), EPERM },
	{ SCMP_SYS(fanotify_init), EPERM },
	{ SCMP_SYS(fanotify_mark), EPERM },
	/* the machine */
	{ SCMP_SYS(kexec_load), EPERM },
	{ SCMP_SYS(kexec_file_load), EPERM },
	{ SCMP_SYS(init_module), EPERM },
	{ SCMP_SYS(finit_module), EPERM },
	{ SCMP_SYS(delete_module), EPERM },
	{ SCMP_SYS(reboot), EPERM },
	{ SCMP_SYS(swapon), EPERM },
	{ SCMP_SYS(swapoff), EPERM },
	{ SCMP_SYS(acct), EPERM },
	{ SCMP_SYS(quotactl), EPERM },
	{ SCMP_SYS(syslog), EPERM },
	{ SCMP_SYS(vhangup), EPERM },
	{ SCMP_SYS(iopl), EPERM },
	{ SCMP_SYS(ioperm), EPERM },
	{ SCMP_SYS(clock_settime), EPERM },
	{ SCMP_SYS(clock_settime64), EPERM },
	{ SCMP_SYS(clock_adjtime), EPERM },
	{ SCMP_SYS(clock_adjtime64), EPERM },
	{ SCMP_SYS(adjtimex), EPERM },
	{ SCMP_SYS(settimeofday), EPERM },
	{ SCMP_SYS(stime), EPERM },
	/* attributes are not part of an output */
	{ SCMP_SYS(setxattr), ENOTSUP },
	{ SCMP_SYS(lsetxattr), ENOTSUP },
	{ SCMP_SYS(fsetxattr), ENOTSUP },
	{ SCMP_SYS(removexattr), ENOTSUP },
	{ SCMP_SYS(lremovexattr), ENOTSUP },
	{ SCMP_SYS(fremovexattr), ENOTSUP },
};

static const struct refusal young_refusals[] = {
	{ 443 /* quotactl_fd, Linux 5.14 */, EPERM },
	{ 463 /* setxattrat, 6.13 */, ENOTSUP },
	{ 466 /* removexattrat, 6.13 */, ENOTSUP },
	{ 467 /* open_tree_attr, 6.15 */, EPERM, SECCOMP_USERNS },
	{ 469 /* file_setattr, 6.17 */, ENOTSUP },
};

/* With some arguments: those whose bits of mask are value. */
static const struct argument_refusal {
	int call;
	int error;
	unsigned argument;
	uint64_t mask, value;
} argument_refusals[] = {
	/* two commands that type into a terminal; the kernel looks at the low 32 bits only */
	{ SCMP_SYS(ioctl), EPERM, 1, UINT32_MAX, TIOCSTI },
	{ SCMP_SYS(ioctl), EPERM, 1, UINT32_MAX, TIOCLINUX },
	/* a subvolume of btrfs that is made read-only cannot be removed, not even by root: the
	 * scratch would stay, and its slot with it */
	{ SCMP_SYS(ioctl), EPERM, 1, UINT32_MAX, BTRFS_IOC_SNAP_CREATE_V2 },
	{ SCMP_SYS(ioctl), EPERM, 1, UINT32_MAX, BTRFS_IOC_SUBVOL_CREATE_V2 },
	{ SCMP_SYS(ioctl), EPERM, 1, UINT32_MAX, BTRFS_IOC_SUBVOL_SETFLAGS },
	/* the owner of a file may count it to another project, and so past a quota */
	{ SCMP_SYS(ioctl), ENOTSUP, 1, UINT32_MAX, FS_IOC_FSSETXATTR },
	{ SCMP_SYS(ioctl), ENOTSUP, 1, UINT32_MAX, FS_IOC_SETFLAGS },
	{ SCMP_SYS(ioctl), ENOTSUP, 1, UINT32_MAX, FS_IOC32_SETFLAGS },
	/* init is of the same user: with its time used up it would fall, and look like our fault */
	{ SCMP_SYS(prlimit64), EPERM, 0, UINT32_MAX, 1 },
};

/* The same where i386 has the call inside of socketcall(2), with its arguments in memory. */
static const struct argument_refusal socket_refusals[] = {
	/* urgent bytes: rarely used, and a source of faults in the kernel */
	{ SCMP_SYS(sendto), EOPNOTSUPP, 3, MSG_OOB, MSG_OOB },
	{ SCMP_SYS(sendmsg), EOPNOTSUPP, 2, MSG_OOB, MSG_OOB },
	{ SCMP_SYS(sendmmsg), EOPNOTSUPP, 3, MSG_OOB, MSG_OOB },
};

/* Calls that take a mode, and where: set-id bits are refused one by one. open(2) looks at the mode
 * only if its flags create something; without that the argument is what the register held. */
static const struct mode_refusal {
	int call;
	unsigned argument;
	uint64_t flag; /* of the argument before; 0: the mode always counts */
} mode_refusals[] = {
	{ SCMP_SYS(chmod), 1, 0 },
	{ SCMP_SYS(fchmod), 1, 0 },
	{ SCMP_SYS(fchmodat), 2, 0 },
	{ 452 /* fchmodat2, Linux 6.6 */, 2, 0 },
	{ SCMP_SYS(creat), 1, 0 },
	{ SCMP_SYS(mknod), 1, 0 },
	{ SCMP_SYS(mknodat), 2, 0 },
	{ SCMP_SYS(open), 2, O_CREAT },
	{ SCMP_SYS(open), 2, O_TMPFILE & ~O_DIRECTORY },
	{ SCMP_SYS(openat), 3, O_CREAT },
	{ SCMP_SYS(openat), 3, O_TMPFILE & ~O_DIRECTORY },
};

/* What sockets a builder may make. A network namespace does not hold all others: AF_VSOCK, for one,
 * reaches the host of a virtual machine. */
static const int builder_families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };

enum {
	NEW_NAMESPACE = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
	                CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | 0x80 /* CLONE_NEWTIME */,
	HARMLESS_PERSONALITY = PER_LINUX | PER_LINUX32 | ADDR_NO_RANDOMIZE,
};

/* --- from tables to rules --- */

static int refuse_argument(scmp_filter_ctx ctx, int error, int call, unsigned argument,
                           uint64_t mask, uint64_t value)
{
	struct scmp_arg_cmp compare = {
		.arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value
	};

	return seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO((uint32_t)error), call, 1, &compare);
}

static int refuse_mode(scmp_filter_ctx ctx, const struct mode_refusal *refusal, uint64_t bit)
{
	struct scmp_arg_cmp compare[] = {
		{ refusal->argument, SCMP_CMP_MASKED_EQ, bit, bit },
		{ refusal->argument - 1, SCMP_CMP_MASKED_EQ, refusal->flag, refusal->flag },
	};

	return seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(EPERM), refusal->call,
	                              refusal->flag ? 2 : 1, compare);
}

static int refuse_modes(scmp_filter_ctx ctx)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(mode_refusals); i++) {
		r = refuse_mode(ctx, &mode_refusals[i], S_ISUID);
		if (r == 0)
			r = refuse_mode(ctx, &mode_refusals[i], S_ISGID);
	}
	return r;
}

static int refuse_namespaces(scmp_filter_ctx ctx)
{
	int r = 0;

	for (uint64_t bit = 1; r == 0 && bit <= NEW_NAMESPACE; bit <<= 1) {
		if (!(bit & NEW_NAMESPACE))
			continue;
		r = refuse_argument(ctx, EPERM, SCMP_SYS(unshare), 0, bit, bit);
		/* On s390 the flags are the second argument; the others agree. CLONE_NEWTIME is
		 * a signal number there, not a flag of clone(2). */
#if defined(__s390__)
		if (r == 0 && bit != 0x80)
			r = refuse_argument(ctx, EPERM, SCMP_SYS(clone), 1, bit, bit);
#else
		if (r == 0 && bit != 0x80)
			r = refuse_argument(ctx, EPERM, SCMP_SYS(clone), 0, bit, bit);
#endif
	}
	return r;
}

/*
 * Any bit but the harmless ones. All ones asks for what is, and changes nothing: it is told from
 * the others by its top bit together with each other bit, because a rule can compare an argument
 * once.
 */
static int refuse_personalities(scmp_filter_ctx ctx)
{
	const uint64_t top = UINT64_C(1) << 31;
	int r = 0;

	for (uint64_t bit = 1; r == 0 && bit < top; bit <<= 1) {
		r = refuse_argument(ctx, EPERM, SCMP_SYS(personality), 0, top | bit, top);
		if (r == 0 && !(bit & HARMLESS_PERSONALITY))
			r = refuse_argument(ctx, EPERM, SCMP_SYS(personality), 0, top | bit, bit);
	}
	return r;
}

static bool is_builder_family(int family)
{
	for (size_t i = 0; i < ARRAY_SIZE(builder_families); i++)
		if (builder_families[i] == family)
			return true;
	return false;
}

/* Of netlink only what lists interfaces and addresses. Pairs are known to two families, and to have
 * the kernel look for one it loads any: so only that one. */
static int refuse_families(scmp_filter_ctx ctx)
{
	enum { LAST = AF_NETLINK };
	struct scmp_arg_cmp above = { .arg = 0, .op = SCMP_CMP_GT, .datum_a = LAST };
	struct scmp_arg_cmp netlink[] = {
		{ 0, SCMP_CMP_MASKED_EQ, UINT32_MAX, AF_NETLINK },
		{ 2, SCMP_CMP_NE, NETLINK_ROUTE },
	};
	struct scmp_arg_cmp pair = { .arg = 0, .op = SCMP_CMP_NE, .datum_a = AF_UNIX };
	int r = 0;

	for (int family = 0; r == 0 && family < LAST; family++)
		if (!is_builder_family(family))
			r = refuse_argument(ctx, EAFNOSUPPORT, SCMP_SYS(socket), 0, UINT32_MAX,
			                    (uint64_t)family);
	if (r == 0)
		r = seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
		                           &above);
	if (r == 0)
		r = seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket),
		                           ARRAY_SIZE(netlink), netlink);
	return r < 0 ? r
	             : seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT),
	                                      SCMP_SYS(socketpair), 1, &pair);
}

static int refuse_whole(scmp_filter_ctx ctx, const struct refusal *rows, size_t n_rows,
                        unsigned groups)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n_rows; i++)
		if (!(rows[i].lifted_by & groups))
			r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO((uint32_t)rows[i].error),
			                     rows[i].call, 0);
	return r;
}

static int refuse_arguments(scmp_filter_ctx ctx, const struct argument_refusal *rows, size_t n_rows)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n_rows; i++)
		r = refuse_argument(ctx, rows[i].error, rows[i].call, rows[i].argument,
		                    rows[i].mask, rows[i].value);
	return r;
}

static int allow_calls(scmp_filter_ctx ctx, const int *calls, size_t n_calls)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n_calls; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);
	return r;
}

/* What is refused is known too, or it would be ENOSYS. */
static int allow_refused(scmp_filter_ctx ctx, const struct refusal *rows, size_t n_rows)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n_rows; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, rows[i].call, 0);
	return r;
}

/* From here on rules are made for both; those before hold for the first alone. */
static int add_i386(scmp_filter_ctx ctx, unsigned groups)
{
#if defined(__x86_64__)
	return groups & SECCOMP_I386 ? seccomp_arch_add(ctx, SCMP_ARCH_X86) : 0;
#else
	return 0; /* the configuration refuses the group */
#endif
}

static int add_known(scmp_filter_ctx ctx, unsigned groups)
{
	int r = allow_calls(ctx, known_young_calls, ARRAY_SIZE(known_young_calls));

	if (r == 0)
		r = allow_refused(ctx, young_refusals, ARRAY_SIZE(young_refusals));
	if (r == 0)
		r = add_i386(ctx, groups);
	if (r == 0)
		r = allow_calls(ctx, known_calls, ARRAY_SIZE(known_calls));
	if (r == 0)
		r = allow_refused(ctx, refusals, ARRAY_SIZE(refusals));
	if (r == 0 && groups & SECCOMP_I386)
		r = allow_calls(ctx, known_i386_calls, ARRAY_SIZE(known_i386_calls));
	return r;
}

static int add_refused(scmp_filter_ctx ctx, unsigned groups)
{
	int r = refuse_families(ctx);

	if (r == 0)
		r = refuse_arguments(ctx, socket_refusals, ARRAY_SIZE(socket_refusals));
	if (r == 0)
		r = refuse_whole(ctx, young_refusals, ARRAY_SIZE(young_refusals), groups);
	if (r == 0)
		r = add_i386(ctx, groups);
	if (r == 0)
		r = refuse_whole(ctx, refusals, ARRAY_SIZE(refusals), groups);
	if (r == 0)
		r = refuse_arguments(ctx, argument_refusals, ARRAY_SIZE(argument_refusals));
	if (r == 0 && !(groups & SECCOMP_OWNERS))
		r = refuse_modes(ctx);
	if (r == 0)
		r = refuse_personalities(ctx);
	if (r == 0 && !(groups & SECCOMP_USERNS))
		r = refuse_namespaces(ctx);
	return r;
}

static const struct {
	uint32_t otherwise; /* what comes of a call without a rule */
	int (*add)(scmp_filter_ctx ctx, unsigned groups);
} filters[] = {
	[BUILDER_KNOWN] = { SCMP_ACT_ERRNO(ENOSYS), add_known },
	[BUILDER_REFUSED] = { SCMP_ACT_ALLOW, add_refused },
};

int builder_filter_export(enum builder_filter filter, unsigned groups, int fd)
{
	cleanup_filter scmp_filter_ctx ctx = seccomp_init(filters[filter].otherwise);
	int r;

	if (!ctx)
		return -ENOMEM;
	/* Foreign architectures (i386, x32) would bypass every rule by other numbers: they kill. */
	r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	/* A tree instead of a chain: the kernel tries each number once while it loads a filter. */
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r == 0)
		r = filters[filter].add(ctx, groups);
	return r < 0 ? r : seccomp_export_bpf(ctx, fd);
}
