/* Small files of cgroupfs, by descriptors of the group's directory. Which file holds which key is a
 * table. */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/base/fd.h"

/* Where the monitor and its helpers go when the request's group gets controllers. */
#define SERVER_GROUP "server"

enum {
	STATUS_MAX = 16 * 1024, /* of a file that is read: io.stat has a line for each device */
	MOVE_TRIES = 16,        /* of a process that forks meanwhile; ours do not */
};

/* ---- limits ---- */

static int print_number(uint64_t value, char *buf, size_t len)
{
	return snprintf(buf, len, "%" PRIu64, value);
}

static int print_quota(uint64_t value, char *buf, size_t len)
{
	return snprintf(buf, len, "%" PRIu64 " %d", value, CPU_PERIOD_US);
}

static int print_weight(uint64_t value, char *buf, size_t len)
{
	return snprintf(buf, len, "default %" PRIu64, value);
}

/* BFQ knows weights up to 1000; both have 100 as default. */
static int print_bfq_weight(uint64_t value, char *buf, size_t len)
{
	return print_weight(value <= 100 ? value : 100 + (value - 100) * 900 / 9900, buf, len);
}

/* init of the sandbox is in the group too, but the administrator's number is of the builder. */
static int print_tasks(uint64_t value, char *buf, size_t len)
{
	return print_number(value + 1, buf, len);
}

/* In the order in which they are written: memory last, when it can no longer go to swap. Of two
 * rows with one key the first whose file is there holds it. */
static const struct row {
	const char *key, *file;
	size_t offset; /* of a uint64_t in struct limits; 0 there: not asked for */
	int (*print)(uint64_t value, char *buf, size_t len);
} rows[] = {
	{ "swap", "memory.swap.max", offsetof(struct limits, swap_bytes), print_number },
	{ "memory_high", "memory.high", offsetof(struct limits, memory_high_bytes), print_number },
	{ "memory", "memory.max", offsetof(struct limits, memory_bytes), print_number },
	{ "cpus", "cpu.max", offsetof(struct limits, cpu_quota_us), print_quota },
	{ "tasks", "pids.max", offsetof(struct limits, tasks), print_tasks },
	{ "io_weight", "io.weight", offsetof(struct limits, io_weight), print_weight },
	{ "io_weight", "io.bfq.weight", offsetof(struct limits, io_weight), print_bfq_weight },
};

static uint64_t asked_for(const struct limits *limits, const struct row *row)
{
	return *(const uint64_t *)((const char *)limits + row->offset);
}

bool control_is_asked(const struct limits *limits)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (asked_for(limits, &rows[i]))
			return true;
	return false;
}

static bool has_file(int group_fd, const char *file)
{
	return faccessat(group_fd, file, F_OK, 0) == 0;
}

/* systemd marks what it has delegated. In any other group there may be processes that are not ours
 * to move. */
static bool is_delegated(int group_fd)
{
	char value[2];

	return fgetxattr(group_fd, "trusted.delegate", value, sizeof(value)) == 1 &&
	       value[0] == '1';
}

static bool can_hold(int group_fd, const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (strcmp(rows[i].key, key) == 0 && has_file(group_fd, rows[i].file))
			return true;
	return false;
}

/* Has an earlier row the same key? */
static bool is_second(const struct row *row)
{
	return row > rows && strcmp(row[-1].key, row->key) == 0;
}

static void add_key(char list[CONTROL_MISSING_MAX], const char *key)
{
	size_t len = strlen(list);

	(void)snprintf(list + len, CONTROL_MISSING_MAX - len, "%s%s", len ? "," : "", key);
}

void control_missing(const struct limits *limits, int group_fd, char ret[CONTROL_MISSING_MAX])
{
	bool delegated = group_fd >= 0 && is_delegated(group_fd);

	ret[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (asked_for(limits, &rows[i]) && !is_second(&rows[i]) &&
		    !(delegated && can_hold(group_fd, rows[i].key)))
			add_key(ret, rows[i].key);
}

/* A controller is what its files begin with. */
static bool has_controller(const struct row *row)
{
	char name[16];

	(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(row->file, "."), row->file);
	return control_exists(name);
}

void control_missing_on_host(const struct limits *limits, char ret[CONTROL_MISSING_MAX])
{
	ret[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (asked_for(limits, &rows[i]) && !is_second(&rows[i]) &&
		    !has_controller(&rows[i]))
			add_key(ret, rows[i].key);
}

int control_refuse(const struct builder *builder, const char *missing, struct error *err)
{
	struct error why;
	char key[64];
	int r;

	if (!missing[0] || builder->limits_optional)
		return 0;
	(void)snprintf(key, sizeof(key), "limits.%.*s", (int)strcspn(missing, ","), missing);
	(void)error_set(&why, BLAME_POLICY, ENOTSUP,
	                "this host cannot hold %s, because it lacks the cgroup controller",
	                missing);
	(void)error_hint(&why,
	                 "hatchd --check says which controllers are missing; \"limits_optional\": "
	                 "true in %s runs it without",
	                 builder->file);
	r = builder_fail(builder, key, POSITION_OF_KEY, "limits", &why, err);
	err->blame = BLAME_POLICY;
	return r;
}

/* ---- controllers for the children of our own group ---- */

static int read_text(int fd, char buf[STATUS_MAX])
{
	ssize_t n;

	do
		n = pread(fd, buf, STATUS_MAX - 1, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return (int)n;
}

static int read_file(int dir_fd, const char *name, char buf[STATUS_MAX])
{
	cleanup_fd int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : read_text(fd, buf);
}

/* All processes of the group go to another; 0 or -errno. */
static int move_processes(int from_fd, int to_fd)
{
	char text[STATUS_MAX];

	for (int i = 0; i < MOVE_TRIES; i++) {
		char *rest = NULL;
		int r = read_file(from_fd, "cgroup.procs", text);

		if (r <= 0)
			return r;
		for (char *pid = strtok_r(text, "\n", &rest); pid;
		     pid = strtok_r(NULL, "\n", &rest)) {
			r = fd_write_file(to_fd, "cgroup.procs", pid);
			if (r < 0 && r != -ESRCH)
				return r;
		}
	}
	return -EBUSY;
}

static int make_room(int group_fd)
{
	cleanup_fd int server_fd = -1;

	if (mkdirat(group_fd, SERVER_GROUP, 0755) < 0 && errno != EEXIST)
		return -errno;
	server_fd = openat(group_fd, SERVER_GROUP, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return server_fd < 0 ? -errno : move_processes(group_fd, server_fd);
}

/* Everything that is there: what is not limited is still told in the receipt. */
static int enable_controllers(int group_fd)
{
	static const char *const names[] = { "cpu", "io", "memory", "pids" };
	char text[STATUS_MAX], want[64] = "";
	char *rest = NULL;
	size_t len = 0;
	int r = read_file(group_fd, "cgroup.controllers", text);

	if (r < 0)
		return r;
	for (char *word = strtok_r(text, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest))
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			if (strcmp(word, names[i]) == 0)
				len += (size_t)snprintf(want + len, sizeof(want) - len, "%s+%s",
				                        len ? " " : "", word);
	return fd_write_file(group_fd, "cgroup.subtree_control", want);
}

/* ---- putting limits in force ---- */

static int set_limit(const struct cgroup *cgroup, const struct row *row, uint64_t value,
                     struct error *err)
{
	char text[64];
	int r;

	(void)row->print(value, text, sizeof(text));
	r = fd_write_file(cgroup->dir_fd, row->file, text);
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot write \"%s\" to %s/%s", text,
		                   cgroup->path, row->file);
	return 0;
}

static int set_limits(const struct cgroup *cgroup, const struct limits *limits, struct error *err)
{
	const char *done = "";
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(rows); i++) {
		uint64_t value = asked_for(limits, &rows[i]);
		/* A limit on memory is one on memory and swap together unless swap is given. */
		bool no_swap = limits->memory_bytes && strcmp(rows[i].key, "swap") == 0;

		if ((!value && !no_swap) || strcmp(done, rows[i].key) == 0 ||
		    !has_file(cgroup->dir_fd, rows[i].file))
			continue;
		r = set_limit(cgroup, &rows[i], value, err);
		done = rows[i].key;
	}
	return r;
}

int control_apply(const struct cgroup *cgroup, const struct limits *limits, struct error *err)
{
	int r;

	if (!control_is_asked(limits) || !is_delegated(cgroup->parent_fd))
		return 0;
	r = make_room(cgroup->parent_fd);
	if (r == 0)
		r = enable_controllers(cgroup->parent_fd);
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot give controllers to the cgroup %s",
		                   cgroup->path);
	/* One that falls takes the others along: half a build is of no use, and init tells no
	 * tale. */
	if (has_file(cgroup->dir_fd, "memory.oom.group"))
		r = fd_write_file(cgroup->dir_fd, "memory.oom.group", "1");
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot write %s/memory.oom.group",
		                   cgroup->path);
	return set_limits(cgroup, limits, err);
}

/* ---- what was used ---- */

static const struct {
	const char *file;
	size_t offset; /* of the descriptor in struct meter */
} meter_files[] = {
	{ "memory.peak", offsetof(struct meter, memory_peak_fd) },
	{ "memory.events", offsetof(struct meter, memory_events_fd) },
	{ "cpu.stat", offsetof(struct meter, cpu_stat_fd) },
	{ "io.stat", offsetof(struct meter, io_stat_fd) },
	{ "pids.peak", offsetof(struct meter, pids_peak_fd) },
};

static int *meter_fd(struct meter *meter, size_t i)
{
	return (int *)(void *)((char *)meter + meter_files[i].offset);
}

void meter_open(const struct cgroup *cgroup, struct meter *ret)
{
	bool own = is_delegated(cgroup->parent_fd);

	for (size_t i = 0; i < ARRAY_SIZE(meter_files); i++) {
		int *fd = meter_fd(ret, i);

		*fd = openat(cgroup->dir_fd, meter_files[i].file, O_RDONLY | O_CLOEXEC);
		if (*fd < 0 && own)
			*fd = openat(cgroup->parent_fd, meter_files[i].file, O_RDONLY | O_CLOEXEC);
	}
}

void meter_done(struct meter *meter)
{
	for (size_t i = 0; i < ARRAY_SIZE(meter_files); i++)
		fd_closep(meter_fd(meter, i));
}

/* The number behind "KEY " at the beginning of a line; 0 without one. */
static uint64_t find_number(const char *text, const char *key)
{
	size_t len = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, len) == 0 && line[len] == ' ')
			return strtoull(line + len + 1, NULL, 10);
	}
	return 0;
}

/* "8:0 rbytes=1 wbytes=2 ...", a line for each device. */
static uint64_t sum_numbers(const char *text, const char *key)
{
	uint64_t sum = 0;

	for (const char *at = text; (at = strstr(at, key)); at += strlen(key))
		sum += strtoull(at + strlen(key), NULL, 10);
	return sum;
}

/* Empty if it cannot be read: then every number in it is 0. */
static const char *read_meter(int fd, char text[STATUS_MAX])
{
	if (fd < 0 || read_text(fd, text) < 0)
		text[0] = '\0';
	return text;
}

struct usage meter_read(const struct meter *meter)
{
	struct usage usage = { 0 };
	char text[STATUS_MAX];

	usage.memory_peak = strtoull(read_meter(meter->memory_peak_fd, text), NULL, 10);
	usage.pids_peak = strtoull(read_meter(meter->pids_peak_fd, text), NULL, 10);
	(void)read_meter(meter->cpu_stat_fd, text);
	usage.cpu_user_us = find_number(text, "user_usec");
	usage.cpu_system_us = find_number(text, "system_usec");
	(void)read_meter(meter->io_stat_fd, text);
	usage.io_read_bytes = sum_numbers(text, " rbytes=");
	usage.io_write_bytes = sum_numbers(text, " wbytes=");
	(void)read_meter(meter->memory_events_fd, text);
	usage.oom_kills = find_number(text, "oom_kill");
	usage.oom_own_limit = find_number(text, "oom");
	return usage;
}

/* ---- the host ---- */

bool control_exists(const char *controller)
{
	char path[CGROUP_PATH_MAX], text[STATUS_MAX];
	cleanup_fd int fd = -1;
	char *rest = NULL;

	if (cgroup_root_path(path, NULL) < 0)
		return false;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || read_file(fd, "cgroup.controllers", text) < 0)
		return false;
	for (char *word = strtok_r(text, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest))
		if (strcmp(word, controller) == 0)
			return true;
	return false;
}
