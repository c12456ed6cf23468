/* Three tables and what loads them. The only caller of libseccomp. */
#include "filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

bool filter_available(void)
{
	return seccomp_api_get() >= 2;
}

static void release_filter(scmp_filter_ctx *ctx)
{
	if (*ctx)
		seccomp_release(*ctx);
}

#define cleanup_filter cleanup_(release_filter)

/* Memory, time and the end: what libc itself does in any process. */
static const int common_calls[] = {
	SCMP_SYS(brk),
	SCMP_SYS(mremap),
	SCMP_SYS(munmap),
	SCMP_SYS(madvise),
	SCMP_SYS(futex),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(exit_group),
	SCMP_SYS(exit),
	SCMP_SYS(getrandom),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(gettid),
	SCMP_SYS(getpid),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(read),
	SCMP_SYS(write),
	SCMP_SYS(readv),
	SCMP_SYS(writev),
	SCMP_SYS(close),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	/* libc asks how large the machine is when it sorts (2.36 and older) or runs out of memory
	 */
	SCMP_SYS(sysinfo),
	SCMP_SYS(sched_getaffinity),
};

/* A descriptor handed over is taken by recvmsg(2) alone, and it is not here. */
static const int speaker_calls[] = {
	SCMP_SYS(sendto),
	SCMP_SYS(recvfrom),
	SCMP_SYS(splice),
	SCMP_SYS(shutdown),
};

static const int packer_calls[] = {
	SCMP_SYS(openat),    SCMP_SYS(openat2),    SCMP_SYS(fstat),  SCMP_SYS(newfstatat),
	SCMP_SYS(statx),     SCMP_SYS(getdents64), SCMP_SYS(lseek),  SCMP_SYS(readlinkat),
	SCMP_SYS(fadvise64), SCMP_SYS(pread64),    SCMP_SYS(fchmod), SCMP_SYS(fchmodat),
	SCMP_SYS(sendfile),  SCMP_SYS(dup),
};

static int allow_all(scmp_filter_ctx ctx, const int *calls, size_t n_calls)
{
	for (size_t i = 0; i < n_calls; i++) {
		int r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Memory yes, code no. */
static int allow_data_memory(scmp_filter_ctx ctx)
{
	enum { EXEC = 4 /* PROT_EXEC */ };
	int r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
	                         SCMP_A2(SCMP_CMP_MASKED_EQ, EXEC, 0));

	if (r < 0)
		return r;
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
	                        SCMP_A2(SCMP_CMP_MASKED_EQ, EXEC, 0));
}

/* Of fcntl(2) nothing that has the kernel send a signal to whom one likes; a signal only to
 * oneself. */
static int allow_harmless_forms(scmp_filter_ctx ctx)
{
	static const int commands[] = { F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC, F_ADD_SEALS };
	int r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
	                         SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(commands); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
		                     SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)commands[i]));
	return r;
}

static int load(scmp_filter_ctx ctx, struct error *err)
{
	int r = seccomp_load(ctx);

	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot load a seccomp filter");
	return 0;
}

static int filter_allowlist(const int *calls, size_t n_calls, struct error *err)
{
	cleanup_filter scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r;

	if (!ctx)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for a seccomp filter");
	r = allow_all(ctx, common_calls, ARRAY_SIZE(common_calls));
	if (r == 0)
		r = allow_data_memory(ctx);
	if (r == 0)
		r = allow_harmless_forms(ctx);
	if (r == 0)
		r = allow_all(ctx, calls, n_calls);
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot make a seccomp filter");
	return load(ctx, err);
}

int filter_speaker(struct error *err)
{
	return filter_allowlist(speaker_calls, ARRAY_SIZE(speaker_calls), err);
}

int filter_tap(struct error *err)
{
	return filter_allowlist(NULL, 0, err);
}

int filter_packer(struct error *err)
{
	return filter_allowlist(packer_calls, ARRAY_SIZE(packer_calls), err);
}

enum {
	NEW_NAMESPACE = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
	                CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | 0x80 /* CLONE_NEWTIME */,
	SET_ID = S_ISUID | S_ISGID,
};

/* What a builder is refused outright, and with which errno. A call this libseccomp does not know
 * by name stands with its number, which is the same on every architecture since 2019. */
static const struct refusal {
	int call;
	int error;
} builder_refusals[] = {
	/* namespaces and mounts; clone3 passes its flags in memory, where a filter cannot look */
	{ SCMP_SYS(clone3), ENOSYS },
	{ SCMP_SYS(setns), EPERM },
	{ SCMP_SYS(mount), EPERM },
	{ SCMP_SYS(umount2), EPERM },
	{ SCMP_SYS(pivot_root), EPERM },
	{ SCMP_SYS(chroot), EPERM },
	{ SCMP_SYS(open_tree), EPERM },
	{ SCMP_SYS(move_mount), EPERM },
	{ SCMP_SYS(fsopen), EPERM },
	{ SCMP_SYS(fsconfig), EPERM },
	{ SCMP_SYS(fsmount), EPERM },
	{ SCMP_SYS(fspick), EPERM },
	{ SCMP_SYS(mount_setattr), EPERM },
	{ 467 /* open_tree_attr, Linux 6.15 */, EPERM },
	{ SCMP_SYS(open_by_handle_at), EPERM },
	/* keyrings outlive processes and are shared by all of one uid */
	{ SCMP_SYS(keyctl), EPERM },
	{ SCMP_SYS(add_key), EPERM },
	{ SCMP_SYS(request_key), EPERM },
	/* large parts of the kernel that no build needs */
	{ SCMP_SYS(bpf), EPERM },
	{ SCMP_SYS(perf_event_open), EPERM },
	{ SCMP_SYS(userfaultfd), EPERM },
	{ SCMP_SYS(io_uring_setup), ENOSYS },
	{ SCMP_SYS(io_uring_enter), ENOSYS },
	{ SCMP_SYS(io_uring_register), ENOSYS },
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
	{ 443 /* quotactl_fd, Linux 5.14 */, EPERM },
	{ SCMP_SYS(syslog), EPERM },
	{ SCMP_SYS(vhangup), EPERM },
	{ SCMP_SYS(iopl), EPERM },
	{ SCMP_SYS(ioperm), EPERM },
	/* attributes are not part of an output */
	{ SCMP_SYS(setxattr), ENOTSUP },
	{ SCMP_SYS(lsetxattr), ENOTSUP },
	{ SCMP_SYS(fsetxattr), ENOTSUP },
	{ 463 /* setxattrat, Linux 6.13 */, ENOTSUP },
	{ 469 /* file_setattr, Linux 6.17 */, ENOTSUP },
};

/* The same, if an argument says so. */
static const struct argument_refusal {
	int call;
	int error;
	unsigned argument;
	uint64_t mask, value;
} builder_argument_refusals[] = {
	/* two commands that type into a terminal; the kernel looks at the low 32 bits only */
	{ SCMP_SYS(ioctl), EPERM, 1, UINT32_MAX, TIOCSTI },
	{ SCMP_SYS(ioctl), EPERM, 1, UINT32_MAX, TIOCLINUX },
	/* a subvolume of btrfs that is made read-only cannot be removed, not even by root: the
	 * scratch would stay, and its slot with it */
	{ SCMP_SYS(ioctl), EPERM, 1, UINT32_MAX, BTRFS_IOC_SNAP_CREATE_V2 },
	{ SCMP_SYS(ioctl), EPERM, 1, UINT32_MAX, BTRFS_IOC_SUBVOL_CREATE_V2 },
	{ SCMP_SYS(ioctl), EPERM, 1, UINT32_MAX, BTRFS_IOC_SUBVOL_SETFLAGS },
	/* init is of the same user: with its time used up it would fall, and look like our fault */
	{ SCMP_SYS(prlimit64), EPERM, 0, UINT32_MAX, 1 },
};

/* What sockets a builder may make. A network namespace does not hold all others: AF_VSOCK, for one,
 * reaches the host of a virtual machine. */
static const int builder_families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };

/* Calls that take a mode, and where: set-id bits are refused one by one. open(2) looks at the mode
 * only if its flags create something; without that the argument is what the register held. */
static const struct mode_refusal {
	int call;
	unsigned argument;
	uint64_t flag; /* of the argument before; 0: the mode always counts */
} builder_mode_refusals[] = {
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

static bool is_builder_family(int family)
{
	for (size_t i = 0; i < ARRAY_SIZE(builder_families); i++)
		if (builder_families[i] == family)
			return true;
	return false;
}

/* Of netlink only what lists interfaces and addresses. What is above all of the list has one rule
 * for all: each costs microseconds at the start of a request. */
static int refuse_sockets(scmp_filter_ctx ctx)
{
	enum { LAST = AF_NETLINK };
	struct scmp_arg_cmp above = { .arg = 0, .op = SCMP_CMP_GT, .datum_a = LAST };
	struct scmp_arg_cmp netlink[] = {
		{ 0, SCMP_CMP_MASKED_EQ, UINT32_MAX, AF_NETLINK },
		{ 2, SCMP_CMP_NE, NETLINK_ROUTE },
	};
	int r = 0;

	for (int family = 0; r == 0 && family < LAST; family++)
		if (!is_builder_family(family))
			r = refuse_argument(ctx, EAFNOSUPPORT, SCMP_SYS(socket), 0, UINT32_MAX,
			                    (uint64_t)family);
	if (r == 0)
		r = seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
		                           &above);
	return r < 0 ? r
	             : seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket),
	                                      ARRAY_SIZE(netlink), netlink);
}

static int add_builder_rules(scmp_filter_ctx ctx)
{
	static const uint64_t set_id_bits[] = { S_ISUID, S_ISGID };
	int r = refuse_namespaces(ctx);

	if (r == 0)
		r = refuse_sockets(ctx);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(builder_refusals); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO((uint32_t)builder_refusals[i].error),
		                     builder_refusals[i].call, 0);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(builder_argument_refusals); i++) {
		const struct argument_refusal *a = &builder_argument_refusals[i];

		r = refuse_argument(ctx, a->error, a->call, a->argument, a->mask, a->value);
	}
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(builder_mode_refusals); i++)
		for (size_t k = 0; r == 0 && k < ARRAY_SIZE(set_id_bits); k++)
			r = refuse_mode(ctx, &builder_mode_refusals[i], set_id_bits[k]);
	return r;
}

/* With no capability uid 0 still owns what is root's. What the monitor has no business with: */
static const int monitor_refusals[] = {
	SCMP_SYS(execve),    SCMP_SYS(execveat),  SCMP_SYS(ptrace),     SCMP_SYS(process_vm_writev),
	SCMP_SYS(truncate),  SCMP_SYS(setxattr),  SCMP_SYS(lsetxattr),  SCMP_SYS(fsetxattr),
	SCMP_SYS(mount),     SCMP_SYS(open_tree), SCMP_SYS(move_mount), SCMP_SYS(setns),
	SCMP_SYS(link),      SCMP_SYS(linkat),    SCMP_SYS(bpf),        SCMP_SYS(keyctl),
	SCMP_SYS(utimensat), SCMP_SYS(chown),     SCMP_SYS(fchownat),   SCMP_SYS(lchown),
};

int filter_monitor(struct error *err)
{
	cleanup_filter scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r = 0;

	if (!ctx)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for a seccomp filter");
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(monitor_refusals); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), monitor_refusals[i], 0);
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot make a seccomp filter");
	return load(ctx, err);
}

int filter_builder(struct error *err)
{
	cleanup_filter scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int r;

	if (!ctx)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for a seccomp filter");
	/* Foreign architectures (i386, x32) would bypass every rule by other numbers: they kill. */
	r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (r == 0)
		r = add_builder_rules(ctx);
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot make a seccomp filter");
	return load(ctx, err);
}
