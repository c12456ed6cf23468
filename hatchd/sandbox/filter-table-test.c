/*
 * What the kernel says to a builder for every number of a system call, held against a table in the
 * tree: filter-table.x86_64, whose first lines say how to read it.
 *
 *   filter-table-test TABLE            compares
 *   filter-table-test --print TABLE    prints what is, with the names that TABLE and libseccomp
 * know
 *
 * No call is ever made. A filter of our own hands each one to a supervisor (seccomp_unotify(2)),
 * which answers in place of the kernel; only what the builder's filters refuse does not come to it,
 * because an errno or a kill outweighs a question. So calls that would wait, end the process or do
 * harm have a verdict like all others.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "filter.h"
#include "lib/base/cleanup.h"
#include "lib/base/fd.h"
#include "tests/unit.h"

enum {
	N_NUMBERS = 1024,
	NAME_LEN = 48,
	X32_BIT = 0x40000000,
	MARK = 0x7e57ca11,   /* the sixth argument of a call that is asked about */
	ANSWER = 0x600dca11, /* what the supervisor has it return */
	/* verdicts beside errnos */
	ALLOWED = 0,
	KILLED = -1,
	ABSENT = -2, /* the kernel has no such way to call */
	UNKNOWN = -3,
};

/* --- asking --- */

static long call_native(unsigned number)
{
	long r = syscall(number, 0, 0, 0, 0, 0, MARK);

	return r < 0 ? -errno : r;
}

static long call_x32(unsigned number)
{
	return call_native(X32_BIT | number);
}

static long call_i386(unsigned number)
{
	register long sixth __asm__("r9") = MARK;
	long r = number;

	/* The sixth argument is in ebp, which is ours to restore; below rsp may be data. */
	__asm__ volatile("sub $128, %%rsp\n\t"
	                 "push %%rbp\n\t"
	                 "mov %%r9d, %%ebp\n\t"
	                 "int $0x80\n\t"
	                 "pop %%rbp\n\t"
	                 "add $128, %%rsp"
	                 : "+a"(r), "+r"(sixth)
	                 : "b"(0L), "c"(0L), "d"(0L), "S"(0L), "D"(0L)
	                 : "memory", "cc", "r8", "r10", "r11");
	return (int)r;
}

/* What the child tells, in memory that both see. */
struct answers {
	int listener_fd;  /* the descriptors are shared too; -1: not there yet */
	unsigned current; /* asked now: what it was killed for */
	int verdicts[N_NUMBERS];
};

/* Who calls with the mark is asked about; everything else of the child is let through. */
static int open_listener(void)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[5])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MARK, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { ARRAY_SIZE(code), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
	                    &program);
}

__attribute__((noreturn)) static void ask_all(struct answers *answers,
                                              long (*call)(unsigned number), unsigned groups)
{
	const struct seccomp seccomp = { .groups = groups };
	struct error err = { 0 };

	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* no core file of a kill */
	answers->listener_fd = open_listener();
	if (answers->listener_fd >= 0 && filter_builder(&seccomp, &err) == 0)
		for (; answers->current < N_NUMBERS; answers->current++) {
			long r = call(answers->current);

			answers->verdicts[answers->current] = r == ANSWER ? ALLOWED
			                                      : r < 0     ? (int)-r
			                                                  : UNKNOWN;
		}
	syscall(SYS_exit_group, 0, 0, 0, 0, 0, 0);
	__builtin_unreachable();
}

/* Answer in place of the kernel until nobody is left who asks. */
static void supervise(int listener_fd)
{
	struct pollfd p = { .fd = listener_fd, .events = POLLIN };

	while (poll(&p, 1, -1) == 1 && (p.revents & POLLIN)) {
		struct seccomp_notif asked = { 0 };
		struct seccomp_notif_resp answer = { 0 };

		if (ioctl(listener_fd, SECCOMP_IOCTL_NOTIF_RECV, &asked) < 0)
			continue;
		answer.id = asked.id;
		answer.val = ANSWER;
		(void)ioctl(listener_fd, SECCOMP_IOCTL_NOTIF_SEND, &answer);
	}
}

/* One child, until it has asked for everything or is killed for something. */
static bool ask(struct answers *answers, long (*call)(unsigned number), unsigned groups)
{
	int status;
	pid_t pid;

	answers->listener_fd = -1;
	pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		ask_all(answers, call, groups);
	if (pid < 0)
		return false;
	while (__atomic_load_n(&answers->listener_fd, __ATOMIC_ACQUIRE) == -1 &&
	       waitpid(pid, &status, WNOHANG) == 0)
		(void)sched_yield();
	supervise(answers->listener_fd);
	(void)close(answers->listener_fd);
	if (waitpid(pid, &status, 0) == pid && WIFSIGNALED(status))
		answers->verdicts[answers->current++] = WTERMSIG(status) == SIGSYS ? KILLED
		                                                                   : ABSENT;
	return answers->listener_fd >= 0;
}

/* --- the table --- */

/* A way to call, and with which groups it is tried. */
static const struct abi {
	const char *name;
	long (*call)(unsigned number);
	uint32_t names; /* of which architecture of libseccomp; 0: none */
	unsigned sets[6];
	size_t n_sets;
	size_t usual; /* the set that those after it are compared to; it and others, to the first */
} abis[] = {
	{ "native",
	  call_native,
	  SCMP_ARCH_X86_64,
	  { 0, SECCOMP_DEBUG, SECCOMP_IO_URING, SECCOMP_USERNS, SECCOMP_I386 },
	  5,
	  0 },
	{ "x32", call_x32, 0, { 0, SECCOMP_I386 }, 2, 0 },
	{ "i386",
	  call_i386,
	  SCMP_ARCH_X86,
	  { 0, SECCOMP_I386, SECCOMP_I386 | SECCOMP_DEBUG, SECCOMP_I386 | SECCOMP_IO_URING,
	    SECCOMP_I386 | SECCOMP_USERNS },
	  5,
	  1 },
};

static const char *set_name(unsigned groups)
{
	static const char *const names[SECCOMP_COMBINATIONS] = {
		[0] = "default",
		[SECCOMP_DEBUG] = "@debug",
		[SECCOMP_IO_URING] = "@io-uring",
		[SECCOMP_USERNS] = "@userns",
		[SECCOMP_I386] = "@i386",
		[SECCOMP_I386 | SECCOMP_DEBUG] = "@i386+@debug",
		[SECCOMP_I386 | SECCOMP_IO_URING] = "@i386+@io-uring",
		[SECCOMP_I386 | SECCOMP_USERNS] = "@i386+@userns",
	};

	return names[groups];
}

static const char *verdict_name(int verdict)
{
	switch (verdict) {
	case ALLOWED:
		return "allow";
	case KILLED:
		return "kill";
	case ABSENT:
		return "absent";
	case UNKNOWN:
		return "unknown";
	default:
		return strerrorname_np(verdict) ?: "unknown";
	}
}

/* What one number comes to: the verdict by default, and of each set where it is another. */
struct row {
	char name[NAME_LEN];
	char verdicts[128];
};

static struct row table[ARRAY_SIZE(abis)][N_NUMBERS];

/* "ABI NUMBER[-NUMBER] NAME VERDICT [SET:VERDICT]..." */
static bool read_line(const char *line)
{
	char abi[16];
	unsigned first, last;
	struct row row = { 0 };
	int n = 0;

	if (sscanf(line, "%15s %u%n", abi, &first, &n) != 2)
		return false;
	last = first;
	line += n;
	if (*line == '-' && sscanf(line, "-%u%n", &last, &n) == 1)
		line += n;
	if (sscanf(line, " %47s %127[^\n]", row.name, row.verdicts) != 2 || last >= N_NUMBERS)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(abis); i++)
		for (unsigned k = first; strcmp(abis[i].name, abi) == 0 && k <= last; k++)
			table[i][k] = row;
	return true;
}

static bool read_table(const char *path)
{
	char line[256];
	FILE *file = fopen(path, "re");
	bool good = file != NULL;

	while (good && fgets(line, sizeof(line), file))
		good = line[0] == '#' || line[0] == '\n' || read_line(line);
	if (file)
		(void)fclose(file);
	return good;
}

/* What one number came to, in the words of the table. */
static void print_verdicts(const struct abi *abi, const struct answers *answers, unsigned number,
                           char *end)
{
	end = stpcpy(end, verdict_name(answers[0].verdicts[number]));
	for (size_t set = 1; set < abi->n_sets; set++) {
		int verdict = answers[set].verdicts[number];
		size_t base = set > abi->usual ? abi->usual : 0;

		if (verdict != answers[base].verdicts[number])
			end += sprintf(end, " %s:%s", set_name(abi->sets[set]),
			               verdict_name(verdict));
	}
}

/* Ask for every number with every set of one ABI. */
static bool look(const struct abi *abi, struct row rows[N_NUMBERS])
{
	const size_t len = abi->n_sets * sizeof(struct answers);
	struct answers *answers = mmap(NULL, len, PROT_READ | PROT_WRITE,
	                               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	bool good = answers != MAP_FAILED;

	for (size_t set = 0; good && set < abi->n_sets; set++)
		while (good && answers[set].current < N_NUMBERS)
			good = ask(&answers[set], abi->call, abi->sets[set]);
	for (unsigned i = 0; good && i < N_NUMBERS; i++)
		print_verdicts(abi, answers, i, rows[i].verdicts);
	if (answers != MAP_FAILED)
		(void)munmap(answers, len);
	return good;
}

/* Is text one of those that '|' divides? */
static bool is_among(const char *text, const char *alternatives)
{
	size_t len = strlen(text);

	for (const char *at = alternatives; at; at = strchr(at, '|')) {
		at += *at == '|';
		if (strncmp(at, text, len) == 0 && (at[len] == '\0' || at[len] == '|'))
			return true;
	}
	return false;
}

static void compare(size_t abi)
{
	static struct row rows[N_NUMBERS];

	check(look(&abis[abi], rows));
	/* A kernel without 32-bit calls: they end the caller, by another signal. */
	if (strcmp(rows[0].verdicts, "absent") == 0) {
		printf("  this kernel has no calls of %s\n", abis[abi].name);
		return;
	}
	for (unsigned i = 0; i < N_NUMBERS; i++) {
		bool same = is_among(rows[i].verdicts, table[abi][i].verdicts);

		if (!same)
			printf("  %s %u %s: %s; the table says: %s\n", abis[abi].name, i,
			       table[abi][i].name, rows[i].verdicts, table[abi][i].verdicts);
		check(same);
	}
}

static void native_calls_are_answered_as_the_table_says(void)
{
	compare(0);
}

static void x32_calls_are_answered_as_the_table_says(void)
{
	compare(1);
}

static void i386_calls_are_answered_as_the_table_says(void)
{
	compare(2);
}

static const struct unit_case cases[] = {
	CASE(native_calls_are_answered_as_the_table_says),
	CASE(x32_calls_are_answered_as_the_table_says),
	CASE(i386_calls_are_answered_as_the_table_says),
};

/* --- making the table --- */

static void find_name(const struct abi *abi, unsigned number, struct row *row)
{
	char *name = abi->names ? seccomp_syscall_resolve_num_arch(abi->names, (int)number) : NULL;

	if (name || !row->name[0])
		(void)snprintf(row->name, sizeof(row->name), "%s", name ?: "-");
	free(name);
}

static bool is_same(const struct row *a, const struct row *b)
{
	return strcmp(a->name, b->name) == 0 && strcmp(a->verdicts, b->verdicts) == 0;
}

/* Neighbours without a name that come to the same share a line. */
static void print_rows(const struct abi *abi, const struct row rows[N_NUMBERS])
{
	for (unsigned i = 0; i < N_NUMBERS; i++) {
		unsigned first = i;

		while (i + 1 < N_NUMBERS && is_same(&rows[first], &rows[i + 1]))
			i++;
		printf("%s %u", abi->name, first);
		if (i > first)
			printf("-%u", i);
		printf(" %s %s\n", rows[first].name, rows[first].verdicts);
	}
}

static int print_table(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(abis); i++) {
		if (!look(&abis[i], table[i]))
			return EXIT_FAILURE;
		for (unsigned k = 0; k < N_NUMBERS; k++)
			find_name(&abis[i], k, &table[i][k]);
		print_rows(&abis[i], table[i]);
	}
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	bool print = argc == 3 && strcmp(argv[1], "--print") == 0;

	if (argc != 2 && !print) {
		fprintf(stderr, "usage: filter-table-test [--print] TABLE\n");
		return EXIT_FAILURE;
	}
	if (!read_table(argv[argc - 1])) {
		fprintf(stderr, "%s: not a table that can be read\n", argv[argc - 1]);
		return EXIT_FAILURE;
	}
	return print ? print_table() : unit_run(cases, ARRAY_SIZE(cases));
}
