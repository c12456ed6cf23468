/* What needs no controller: the texts of the kernel's files, and what cannot be held without any.
 * tests/vm/test_limits.py holds the rest against a real kernel. */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "tests/unit.h"

static int text_fd(const char *text)
{
	int fd = memfd_create("text", MFD_CLOEXEC);

	if (fd < 0 || fd_write_full(fd, text, strlen(text)) < 0)
		abort();
	return fd;
}

static void reads_what_the_kernel_counted(void)
{
	struct meter meter = {
		.memory_peak_fd = text_fd("52428800\n"),
		.memory_events_fd = text_fd(
			"low 0\nhigh 7\nmax 31\noom 2\noom_kill 3\noom_group_kill 1\n"),
		.cpu_stat_fd = text_fd(
			"usage_usec 30\nuser_usec 10\nsystem_usec 20\nnr_periods 0\n"),
		.io_stat_fd = text_fd("8:0 rbytes=100 wbytes=20 rios=1 wios=1 dbytes=9 dios=0\n"
		                      "254:16 rbytes=3 wbytes=4 rios=1 wios=1 dbytes=0 dios=0\n"
		                      "7:0\n"),
		.pids_peak_fd = text_fd("17\n"),
	};
	struct usage usage = meter_read(&meter);

	check(usage.memory_peak == 52428800);
	check(usage.cpu_user_us == 10 && usage.cpu_system_us == 20);
	check(usage.io_read_bytes == 103 && usage.io_write_bytes == 24);
	check(usage.pids_peak == 17);
	check(usage.oom_kills == 3 && usage.oom_own_limit == 2);
	/* Read again, as the monitor does: from the beginning. */
	check(meter_read(&meter).pids_peak == 17);
	meter_done(&meter);
	check(meter.cpu_stat_fd == -1 && meter.memory_peak_fd == -1);
}

static void what_cannot_be_read_is_nothing(void)
{
	const struct usage none = { 0 };
	struct meter meter = NO_METER;
	struct usage usage = meter_read(&meter);

	check(memcmp(&usage, &none, sizeof(none)) == 0);
	meter.memory_events_fd = text_fd("");
	meter.cpu_stat_fd = text_fd("nr_user_usec 5\n");
	meter.io_stat_fd = text_fd("\n");
	usage = meter_read(&meter);
	check(memcmp(&usage, &none, sizeof(none)) == 0);
	meter_done(&meter);
}

static void names_every_limit_that_cannot_be_held(void)
{
	static const struct {
		struct limits limits;
		const char *missing;
	} rows[] = {
		{ { 0 }, "" },
		{ { .memory_bytes = 1 }, "memory" },
		{ { .memory_bytes = 1, .swap_bytes = 1 }, "swap,memory" },
		{ { .memory_high_bytes = 1, .cpu_quota_us = 1 }, "memory_high,cpus" },
		{ { .io_weight = 1, .tasks = 1 }, "tasks,io_weight" },
	};
	int plain_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char missing[CONTROL_MISSING_MAX];

		check(control_is_asked(&rows[i].limits) == (rows[i].missing[0] != '\0'));
		control_missing(&rows[i].limits, -1, missing);
		check(strcmp(missing, rows[i].missing) == 0);
		/* Nor by a directory that nobody has delegated to us. */
		control_missing(&rows[i].limits, plain_fd, missing);
		check(strcmp(missing, rows[i].missing) == 0);
	}
	(void)close(plain_fd);
}

static void applies_nothing_where_nothing_was_delegated(void)
{
	const struct limits limits = { .memory_bytes = 1 };
	char place[] = "/tmp/control-test-XXXXXX";
	struct cgroup cgroup = { .dir_fd = -1, .kill_fd = -1, .events_fd = -1 };

	check(mkdtemp(place) != NULL);
	cgroup.parent_fd = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(control_apply(&cgroup, &limits, NULL) == 0);
	/* Above all no process was moved. */
	check(faccessat(cgroup.parent_fd, "server", F_OK, 0) < 0);
	(void)close(cgroup.parent_fd);
	check(rmdir(place) == 0);
}

static const struct unit_case cases[] = {
	CASE(reads_what_the_kernel_counted),
	CASE(what_cannot_be_read_is_nothing),
	CASE(names_every_limit_that_cannot_be_held),
	CASE(applies_nothing_where_nothing_was_delegated),
};

UNIT_MAIN(cases)
