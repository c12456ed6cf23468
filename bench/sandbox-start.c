/*
 * How long one sandbox takes, from scratch directory to the end of /bin/true and back: what
 * bwrap(1) does around the same program. Run by bench/run, as root.
 *
 *   sandbox-start COUNT STATE_DIR     prints milliseconds, one line for each
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hatchd/sandbox/sandbox.h"
#include "hatchd/slot/devices.h"
#include "lib/base/cleanup.h"

static double now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1000 + (double)t.tv_nsec / 1000000;
}

/* One whole life; false with a word on stderr if it was not one. */
static bool live(const struct request *request, const struct account *account, int state_fd,
                 int null_fd)
{
	const struct scratch_plan plain = { 0 };
	const struct inputs no_inputs = { 0 };
	const struct devices no_devices = { 0 };
	struct error err = { 0 };
	cleanup_scratch struct scratch scratch = SCRATCH_NONE;
	cleanup_(sandbox_done) struct sandbox sandbox = { .pid_fd = -1, .report_fd = -1 };
	cleanup_fd int command_fd = open("/bin/true", O_PATH | O_CLOEXEC);
	struct sandbox_report report = { 0 };
	char name[SCRATCH_NAME_LEN + 1];
	struct sandbox_plan plan = {
		.request = request,
		.account = account,
		.user_name = "nobody",
		.request_id = name,
		.scratch = &scratch,
		.inputs = &no_inputs,
		.devices = &no_devices,
		.time_ns_fd = -1,
		.layers_ns_fd = -1,
		.root_fd = -1,
		.command_fd = command_fd,
		.stdout_fd = null_fd,
		.stderr_fd = null_fd,
		.status_fd = null_fd,
		.describe_fd = -1,
		.network_fd = -1,
		.cgroup_fd = -1,
	};

	if (scratch_choose_name(name) < 0 ||
	    scratch_create(state_fd, name, account, &plain, &scratch, &err) < 0 ||
	    sandbox_start(&plan, &sandbox, &err) < 0 || sandbox_run(&sandbox, &err) < 0) {
		fprintf(stderr, "sandbox-start: %s\n", err.text);
		return false;
	}
	while (report.kind != SANDBOX_EXITED)
		if (recv(sandbox.report_fd, &report, sizeof(report), 0) != sizeof(report) ||
		    report.kind == SANDBOX_FAILED || report.kind == SANDBOX_EXEC_FAILED) {
			fprintf(stderr, "sandbox-start: %s (%d)\n", report.text, report.code);
			return false;
		}
	(void)waitpid(sandbox.pid, NULL, 0);
	return scratch_remove(state_fd, name, &err) == 0 && report.code == 0;
}

int main(int argc, char **argv)
{
	char program[] = "/bin/true", *command[] = { program, NULL };
	char nowhere[] = "/nonexistent", group[] = "nogroup", name[] = "true", file[] = "true.json",
	     nothing[] = "";
	struct config config = { .store_dir = nowhere, .build_group = group };
	struct builder builder = {
		.name = name, .file = file, .command = command, .description = nothing
	};
	struct peer peer = { .pid_fd = -1 };
	const struct request request = {
		.config = &config,
		.builder = &builder,
		.peer = &peer,
		.argv = command,
	};
	const struct account account = { .uid = 65534, .gid = 65534, .change = true };
	int state_fd, null_fd;

	if (argc != 3 || geteuid() != 0) {
		fprintf(stderr, "usage, as root: sandbox-start COUNT STATE_DIR\n");
		return EXIT_FAILURE;
	}
	state_fd = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (state_fd < 0 || null_fd < 0) {
		perror("sandbox-start");
		return EXIT_FAILURE;
	}
	for (int i = 0; i < atoi(argv[1]); i++) {
		double begun = now_ms();

		if (!live(&request, &account, state_fd, null_fd))
			return EXIT_FAILURE;
		printf("%.3f\n", now_ms() - begun);
	}
	return EXIT_SUCCESS;
}
