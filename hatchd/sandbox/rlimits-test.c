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

static void refuses_what_the_service_could_not_pass_on(void)
{
	struct builder builder = { .name = (char *)"b", .file = (char *)"/etc/b.json" };
	struct error err = { 0 };
	struct rlimits own;
	struct rlimit *files = &own.of[RLIMIT_NOFILE];

	check(rlimits_read(&own) == 0);
	check(rlimits_check(&builder, &own, &err) == 0);
	builder.limits.rlimits[RLIMIT_NOFILE] = (struct rlimit_setting){ files->rlim_max,
		                                                         files->rlim_max, true };
	check(rlimits_check(&builder, &own, &err) == 0);
	builder.limits.rlimits[RLIMIT_NOFILE].hard++;
	check(rlimits_check(&builder, &own, &err) == -EPERM);
	check(err.blame == BLAME_POLICY && strstr(err.text, "limits.rlimits.nofile") != NULL);
	check(strstr(err.text, "/etc/b.json") != NULL && strstr(err.hint, "LimitNOFILE=") != NULL);
	/* Not known: nothing to complain about. */
	check(rlimits_check(&builder, NULL, &err) == 0);
	/* Not set by the definition: not its fault. */
	builder.limits.rlimits[RLIMIT_NOFILE].set = false;
	check(rlimits_check(&builder, &own, &err) == 0);
}

static const struct rlimit_row *find_row(const char *name)
{
	const struct rlimit_row *row;

	for (size_t i = 0; (row = rlimits_row(i)); i++)
		if (strcmp(row->name, name) == 0)
			return row;
	abort();
}

static void tells_who_said_what_a_builder_is_given(void)
{
	const struct rlimit_row *row = find_row("nofile");
	struct limits limits = { 0 };
	struct rlimits service;
	struct rlimit_given given;

	for (size_t i = 0; i < ARRAY_SIZE(service.of); i++)
		service.of[i] = (struct rlimit){ RLIM_INFINITY, RLIM_INFINITY };
	given = rlimits_given(row, &limits, &service);
	check(given.soft == 1024 && given.hard == 524288 && given.origin == RLIMIT_OF_HATCHD);
	service.of[RLIMIT_NOFILE].rlim_max = 524287;
	given = rlimits_given(row, &limits, &service);
	check(given.soft == 1024 && given.hard == 524287 && given.origin == RLIMIT_OF_SERVICE);
	service.of[RLIMIT_NOFILE].rlim_max = 1000;
	given = rlimits_given(row, &limits, &service);
	check(given.soft == 1000 && given.hard == 1000 && given.origin == RLIMIT_OF_SERVICE);
	check(rlimits_given(row, &limits, NULL).hard == 524288);
	limits.rlimits[RLIMIT_NOFILE] = (struct rlimit_setting){ 10, 20, true };
	given = rlimits_given(row, &limits, &service);
	check(given.soft == 10 && given.hard == 20 && given.origin == RLIMIT_OF_DEFINITION);
}

static const struct unit_case cases[] = {
	CASE(sets_its_own_table_without_a_definition),
	CASE(sets_what_a_definition_says),
	CASE(refuses_what_the_service_could_not_pass_on),
	CASE(tells_who_said_what_a_builder_is_given),
};

UNIT_MAIN(cases)
