/* Capabilities, ids, dumpability, descriptors. Raw capset(2): libcap would add nothing to it. */
#include "privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/text.h"

enum { STATM_DATA = 6 }; /* the field of proc_pid_statm(5), from 1 */

/* What the monitor needs, and for what. CAP_SETPCAP is used up by emptying the bounding set. */
static const struct needed {
	unsigned cap;
	const char *name;
} needed[] = {
	{ CAP_SYS_ADMIN, "CAP_SYS_ADMIN" }, /* namespaces and mounts */
	{ CAP_SETUID, "CAP_SETUID" },       /* to become the build user */
	{ CAP_SETGID, "CAP_SETGID" },       /* its groups */
	{ CAP_CHOWN, "CAP_CHOWN" },         /* scratch; the builder's chgrp through the overlay */
	{ CAP_DAC_OVERRIDE, "CAP_DAC_OVERRIDE" }, /* the overlay's work directory */
	{ CAP_FOWNER, "CAP_FOWNER" },             /* the builder's chmod through the overlay */
	{ CAP_NET_ADMIN, "CAP_NET_ADMIN" },       /* "lo" up */
};

struct cap_sets {
	uint64_t effective, permitted, inheritable;
};

static int cap_get(struct cap_sets *ret)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	*ret = (struct cap_sets){
		.effective = data[0].effective | (uint64_t)data[1].effective << 32,
		.permitted = data[0].permitted | (uint64_t)data[1].permitted << 32,
		.inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32,
	};
	return 0;
}

static int cap_set(uint64_t sets)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ .effective = (uint32_t)sets, .permitted = (uint32_t)sets },
		{ .effective = (uint32_t)(sets >> 32), .permitted = (uint32_t)(sets >> 32) },
	};

	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

static int empty_bounding_set(uint64_t but)
{
	for (unsigned cap = 0; cap < 64; cap++) {
		int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);

		if (has < 0) /* EINVAL: beyond the last capability of this kernel */
			return 0;
		if (has && !(but & CAP_BIT(cap)) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			return -errno;
	}
	return 0;
}

int privilege_keep_needed(struct error *err)
{
	struct cap_sets have = { 0 };
	uint64_t keep = 0;
	int r;

	r = cap_get(&have);
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot read capabilities");
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
		keep |= CAP_BIT(needed[i].cap);
		if (have.permitted & CAP_BIT(needed[i].cap))
			continue;
		error_set(err, BLAME_HOST, EPERM, "hatchd lacks the capability %s", needed[i].name);
		return error_hint(err, "add it to CapabilityBoundingSet= of hatchd@.service");
	}
	r = empty_bounding_set(0);
	if (r < 0) {
		error_errno(err, BLAME_HOST, -r, "cannot empty the capability bounding set");
		return error_hint(err,
		                  "add CAP_SETPCAP to CapabilityBoundingSet= of hatchd@.service");
	}
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot set no_new_privs");
	r = cap_set(keep);
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot drop capabilities");
	return 0;
}

int privilege_keep(uint64_t keep, struct error *err)
{
	struct cap_sets have = { 0 };
	int r = cap_set(keep);

	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot drop capabilities");
	r = cap_get(&have);
	if (r < 0 || have.effective != keep || have.permitted != keep || have.inheritable)
		return error_set(err, BLAME_HOST, EPERM, "capabilities did not go away");
	return 0;
}

int privilege_drop_all(struct error *err)
{
	return privilege_keep(0, err);
}

int privilege_die_with_parent(pid_t parent, struct error *err)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot set the parent death signal");
	/* It may have died before the call: then nothing would ever come. */
	if (parent != 0 && getppid() != parent)
		return error_set(err, BLAME_HOST, ESRCH, "the monitor is gone");
	return 0;
}

int privilege_die_after(unsigned seconds, struct error *err)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
	const struct itimerspec when = { .it_value.tv_sec = seconds };
	timer_t timer;

	if (timer_create(CLOCK_MONOTONIC, &event, &timer) < 0 ||
	    timer_settime(timer, 0, &when, NULL) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot set a timer");
	return 0;
}

/* Memory that the kernel counts for RLIMIT_DATA, and stacks; proc_pid_statm(5). */
static int measure_memory(uint64_t *ret_bytes)
{
	cleanup_fd int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	uint64_t page_len = (uint64_t)sysconf(_SC_PAGESIZE), pages;
	char text[128], *rest = text, *field = NULL;
	ssize_t n = fd < 0 ? -errno : fd_read_some(fd, text, sizeof(text) - 1);
	int r;

	if (n < 0)
		return (int)n;
	text[n] = '\0';
	for (int i = 0; i < STATM_DATA; i++)
		field = strsep(&rest, " ");
	r = field ? text_to_u64(field, UINT64_MAX / page_len, &pages) : -EBADMSG;
	if (r == 0)
		*ret_bytes = pages * page_len;
	return r;
}

int privilege_limit_memory(uint64_t bytes, struct error *err)
{
	struct rlimit limit;
	uint64_t used;
	int r = measure_memory(&used);

	if (r == 0)
		r = getrlimit(RLIMIT_DATA, &limit) < 0 ? -errno : 0;
	if (r == 0) {
		/* Never above what holds already: only root could, and ought not to. */
		if (used + bytes < limit.rlim_cur)
			limit.rlim_cur = used + bytes;
		limit.rlim_max = limit.rlim_cur;
		r = setrlimit(RLIMIT_DATA, &limit) < 0 ? -errno : 0;
	}
	return r < 0 ? error_errno(err, BLAME_HOST, -r, "cannot limit the memory of a process") : 0;
}

static int gid_compare(const void *a, const void *b)
{
	gid_t x = *(const gid_t *)a, y = *(const gid_t *)b;

	return x < y ? -1 : x > y;
}

/* The kernel keeps groups sorted; the wanted ones are in any order and may hold one twice. */
static int verify_groups(const struct account *account, struct error *err)
{
	int n = getgroups(0, NULL);
	cleanup_free gid_t *have = NULL;

	if (n < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot read groups");
	if ((size_t)n != account->n_groups)
		return error_set(err, BLAME_HOST, EPERM, "groups did not take");
	have = calloc((size_t)n + 1, sizeof(*have));
	if (!have || getgroups(n, have) != n)
		return error_set(err, BLAME_HOST, ENOMEM, "cannot read groups");
	qsort(have, (size_t)n, sizeof(*have), gid_compare);
	for (size_t i = 0; i < account->n_groups; i++)
		if (!bsearch(&account->groups[i], have, (size_t)n, sizeof(*have), gid_compare))
			return error_set(err, BLAME_HOST, EPERM, "groups did not take");
	return 0;
}

/* Root over its ids, until privilege_become() has taken what is not kept. */
static int enter_user_ns(int fd, struct error *err)
{
	if (setns(fd, CLONE_NEWUSER) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot enter the user namespace");
	return 0;
}

static int change_ids(const struct account *account, struct error *err)
{
	uid_t uid = account->root ? 0 : account->uid, ruid, euid, suid;
	gid_t gid = account->root ? 0 : account->gid, rgid, egid, sgid;

	if (account->uid == 0 || account->gid == 0 || (account->root && !account->user_ns_fd))
		return error_set(err, BLAME_HOST, EPERM, "refusing to become root");
	if (setgroups(account->n_groups, account->groups) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot set groups");
	if (setresgid(gid, gid, gid) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot become group %u", account->gid);
	if (setresuid(uid, uid, uid) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot become user %u", account->uid);

	if (getresuid(&ruid, &euid, &suid) < 0 || getresgid(&rgid, &egid, &sgid) < 0 ||
	    ruid != uid || euid != uid || suid != uid || rgid != gid || egid != gid || sgid != gid)
		return error_set(err, BLAME_HOST, EPERM, "the change of user did not take");
	if (!account->user_ns_fd &&
	    (setresuid((uid_t)-1, 0, (uid_t)-1) == 0 || setresgid((gid_t)-1, 0, (gid_t)-1) == 0))
		return error_set(err, BLAME_HOST, EPERM, "root could be had back");
	return verify_groups(account, err);
}

/* The bounding set is full again in a new user namespace; elsewhere it is empty already, or not
 * ours to empty. */
static int limit_capabilities(uint64_t keep, struct error *err)
{
	struct cap_sets have = { 0 };
	int r = cap_get(&have);

	if (r == 0 && (have.effective & CAP_BIT(CAP_SETPCAP)))
		r = empty_bounding_set(keep);
	if (r == 0 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		r = -errno;
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot limit capabilities");
	return privilege_keep(keep, err);
}

int privilege_become(const struct account *account, struct error *err)
{
	pid_t parent = getppid();
	int r = account->user_ns_fd ? enter_user_ns(*account->user_ns_fd, err) : 0;

	if (r == 0 && account->change)
		r = change_ids(account, err);
	if (r == 0)
		r = limit_capabilities(account->root ? account->keep : 0, err);
	if (r < 0)
		return r;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot give up privileges");
	return privilege_die_with_parent(parent, err);
}

static int int_compare(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return x < y ? -1 : x > y;
}

int fds_close_except(int *keep, size_t n_keep, struct error *err)
{
	unsigned next = 3;

	qsort(keep, n_keep, sizeof(*keep), int_compare);
	for (size_t i = 0; i <= n_keep; i++) {
		unsigned end = i < n_keep ? (unsigned)keep[i] : UINT_MAX;

		if (i < n_keep && keep[i] < (int)next)
			continue;
		/* By its number: not every libc has a function for it. */
		if (end > next &&
		    syscall(SYS_close_range, next, end == UINT_MAX ? end : end - 1, 0) < 0)
			return error_errno(err, BLAME_HOST, errno, "cannot close descriptors");
		next = end == UINT_MAX ? end : end + 1;
	}
	return 0;
}
