/* Limits of this process: each case in a child, because they are for ever. */
#include "rlimits.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit.h"

/* What limits have become after they were set in a child. */
static struct rlimit in_child(const struct limits *limits, __rlimit_resource_t resource)
{
	struct rlimit result = { 1, 2 };
	int pipe_fds[2];
	pid_t pid;

	if (pipe(pipe_fds) < 0)
		abort();
	pid = fork();
	if (pid == 0) {
		struct rlimit now;

		if (rlimits_set(limits) < 0 || getrlimit(resource, &now) < 0 ||
		    write(pipe_fds[1], &now, sizeof(now)) != sizeof(now))
			_exit(1);
		_exit(0);
	}
	(void)close(pipe_fds[1]);
	check(read(pipe_fds[0], &result, sizeof(result)) == sizeof(result));
	(void)close(pipe_fds[0]);
	(void)waitpid(pid, NULL, 0);
	return result;
}

static void sets_its_own_table_without_a_definition(void)
{
	const struct limits limits = { 0 };
	struct rlimit files = in_child(&limits, RLIMIT_NOFILE);
	struct rlimit core = in_child(&limits, RLIMIT_CORE);

	check(files.rlim_cur == 1024 || files.rlim_cur == files.rlim_max);
	check(core.rlim_cur == 0 && core.rlim_max == 0);
	check(in_child(&limits, RLIMIT_MSGQUEUE).rlim_max == 0);
}

static void sets_what_a_definition_says(void)
{
	struct limits limits = { 0 };
	struct rlimit stack;

	limits.rlimits[RLIMIT_STACK] = (struct rlimit_setting){ 1 << 20, 2 << 20, true };
	limits.rlimits[RLIMIT_NOFILE] = (struct rlimit_setting){ 64, 64, true };
	stack = in_child(&limits, RLIMIT_STACK);
	check(stack.rlim_cur == 1 << 20 && stack.rlim_max == 2 << 20);
	check(in_child(&limits, RLIMIT_NOFILE).rlim_max == 64);
	check(in_child(&limits, RLIMIT_CORE).rlim_max == 0);
}

static void refuses_what_this_process_could_not_pass_on(void)
{
	struct builder builder = { .name = (char *)"b", .file = (char *)"/etc/b.json" };
	struct error err = { 0 };
	struct rlimit files;

	check(getrlimit(RLIMIT_NOFILE, &files) == 0);
	check(rlimits_check(&builder, &err) == 0);
	builder.limits.rlimits[RLIMIT_NOFILE] = (struct rlimit_setting){ files.rlim_max,
		                                                         files.rlim_max, true };
	check(rlimits_check(&builder, &err) == 0);
	builder.limits.rlimits[RLIMIT_NOFILE].hard++;
	check(rlimits_check(&builder, &err) == -EPERM);
	check(err.blame == BLAME_POLICY && strstr(err.text, "limits.rlimits.nofile") != NULL);
	check(strstr(err.text, "/etc/b.json") != NULL && strstr(err.hint, "LimitNOFILE=") != NULL);
	/* Not set by the definition: not its fault. */
	builder.limits.rlimits[RLIMIT_NOFILE].set = false;
	check(rlimits_check(&builder, &err) == 0);
}

static const struct unit_case cases[] = {
	CASE(sets_its_own_table_without_a_definition),
	CASE(sets_what_a_definition_says),
	CASE(refuses_what_this_process_could_not_pass_on),
};

UNIT_MAIN(cases)
