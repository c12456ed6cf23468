/*
 * The filters of hatchd's own processes, which are lists of what they may call, and the loading of
 * the builder's, which filter-builder.c makes from its tables while hatch is built.
 */
#include "filter.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hatchd/filter-programs.h" /* made by filter-generate.c */
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

static const int unpacker_calls[] = {
	SCMP_SYS(openat),    SCMP_SYS(mkdirat),  SCMP_SYS(fstat),    SCMP_SYS(newfstatat),
	SCMP_SYS(statx),     SCMP_SYS(pwrite64), SCMP_SYS(fchmod),   SCMP_SYS(ftruncate),
	SCMP_SYS(symlinkat), SCMP_SYS(linkat),   SCMP_SYS(unlinkat), SCMP_SYS(getdents64),
	SCMP_SYS(lseek),     SCMP_SYS(fchmodat),
};

static const int gauge_calls[] = {
	SCMP_SYS(openat),     SCMP_SYS(fstat),   SCMP_SYS(newfstatat),
	SCMP_SYS(getdents64), SCMP_SYS(fstatfs), SCMP_SYS(lseek),
};

/* Its commands are there already; it ends them by a cgroup.kill that is open. */
static const int steward_calls[] = {
	SCMP_SYS(sendto),          SCMP_SYS(recvfrom), SCMP_SYS(pread64),
	SCMP_SYS(rt_sigtimedwait), SCMP_SYS(wait4),
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
 * oneself; of ioctl(2) how much there is to be read. */
static int allow_harmless_forms(scmp_filter_ctx ctx)
{
	static const int commands[] = { F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC, F_ADD_SEALS };
	int r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
	                         SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));

	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
		                     SCMP_A1(SCMP_CMP_EQ, FIONREAD));
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

int filter_unpacker(struct error *err)
{
	return filter_allowlist(unpacker_calls, ARRAY_SIZE(unpacker_calls), err);
}

int filter_gauge(struct error *err)
{
	return filter_allowlist(gauge_calls, ARRAY_SIZE(gauge_calls), err);
}

int filter_steward(struct error *err)
{
	return filter_allowlist(steward_calls, ARRAY_SIZE(steward_calls), err);
}

/* With no capability uid 0 still owns what is root's. What the monitor has no business with: */
static const int monitor_refusals[] = {
	SCMP_SYS(execve),      SCMP_SYS(execveat),
	SCMP_SYS(ptrace),      SCMP_SYS(process_vm_writev),
	SCMP_SYS(truncate),    SCMP_SYS(setxattr),
	SCMP_SYS(lsetxattr),   SCMP_SYS(fsetxattr),
	SCMP_SYS(mount),       SCMP_SYS(open_tree),
	SCMP_SYS(move_mount),  SCMP_SYS(setns),
	SCMP_SYS(link),        SCMP_SYS(linkat),
	SCMP_SYS(bpf),         SCMP_SYS(keyctl),
	SCMP_SYS(utimensat),   SCMP_SYS(chown),
	SCMP_SYS(fchownat),    SCMP_SYS(lchown),
	SCMP_SYS(fchown),      SCMP_SYS(unshare),
	SCMP_SYS(clone),       SCMP_SYS(clone3),
	SCMP_SYS(fork),        SCMP_SYS(vfork),
	SCMP_SYS(fsopen),      SCMP_SYS(process_vm_readv),
	SCMP_SYS(pidfd_getfd),
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

static int load_program(const struct sock_fprog *program, struct error *err)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot set no_new_privs");
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, program) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot load a seccomp filter");
	return 0;
}

int filter_builder(const struct seccomp *seccomp, struct error *err)
{
	int r;

	if (seccomp->none)
		return 0;
	assert(seccomp->groups < ARRAY_SIZE(refused));
	/* In this order: see filter-builder.h. */
	r = load_program(&known[!!(seccomp->groups & SECCOMP_I386)], err);
	return r < 0 ? r : load_program(&refused[seccomp->groups], err);
}
