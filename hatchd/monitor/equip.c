/*
 * What of the host the definition names, checked by being opened: in the phase "policy", so that
 * what cannot run is refused before it waits, and in the phase "equip", for use. Nothing of it is
 * held in between: each request in the queue would hold a loop device and a copy of its secrets.
 */
#include "job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Of a directory it is not what it holds, which may change. No device number: an image has another
 * one each time it is mounted. */
static struct mark make_mark(const struct stat *st)
{
	struct mark mark = { .inode = st->st_ino };

	if (S_ISREG(st->st_mode)) {
		mark.size = st->st_size;
		mark.written = st->st_mtim;
	}
	return mark;
}

static int mark_open(int fd, struct mark *ret, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot look at what was opened");
	*ret = make_mark(&st);
	return 0;
}

static int open_root(struct job *job, struct error *err)
{
	struct equipment *equipment = &job->equipment;
	struct stat st;
	int r = root_open(&job->config, &job->builder, &equipment->root_fd, &st, err);

	if (r == 0 && equipment->root_fd >= 0)
		equipment->marks[MARK_ROOT] = make_mark(&st);
	return r;
}

static int open_command(struct job *job, struct error *err)
{
	struct equipment *equipment = &job->equipment;
	int r = builder_check_command(&job->config, &job->builder, equipment->root_fd,
	                              &equipment->command_fd, err);

	if (r == -ENOENT)
		job->code_name = "not-found";
	if (r == -EACCES)
		job->code_name = "cannot-run";
	return r < 0 ? r : mark_open(equipment->command_fd, &equipment->marks[MARK_COMMAND], err);
}

static int check_places(struct job *job, struct error *err)
{
	return builder_check_places(&job->builder, err);
}

/* Not marked: one that was unplugged meanwhile and is back is the one that was meant. */
static int open_devices(struct job *job, struct error *err)
{
	return devices_open(&job->builder, &job->equipment.devices, err);
}

static int check_hooks(struct job *job, struct error *err)
{
	return builder_check_hooks(&job->config, &job->builder, err);
}

/* Not marked: the unit's never change while it runs. */
static int read_credentials(struct job *job, struct error *err)
{
	return credentials_read(&job->builder, getenv("CREDENTIALS_DIRECTORY"),
	                        &job->equipment.credentials, err);
}

static int open_network(struct job *job, struct error *err)
{
	struct equipment *equipment = &job->equipment;
	int r = builder_open_network(&job->config, &job->builder, &equipment->network_fd, err);

	if (r < 0 || equipment->network_fd < 0)
		return r;
	return mark_open(equipment->network_fd, &equipment->marks[MARK_NETWORK], err);
}

/* The program is looked for in the root. */
static int (*const steps[])(struct job *job, struct error *err) = {
	open_root,   open_command,     check_places, open_devices,
	check_hooks, read_credentials, open_network,
};

static int open_all(struct job *job, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(steps); i++)
		r = steps[i](job, err);
	return r;
}

void equipment_done(struct equipment *equipment)
{
	credentials_done(&equipment->credentials);
	devices_done(&equipment->devices);
	fd_closep(&equipment->network_fd);
	fd_closep(&equipment->command_fd);
	fd_closep(&equipment->root_fd);
	*equipment = (struct equipment)EQUIPMENT_NONE;
}

int job_check_equipment(struct job *job, struct error *err)
{
	int r = open_all(job, err);

	memcpy(job->seen, job->equipment.marks, sizeof(job->seen));
	equipment_done(&job->equipment);
	return r;
}

static bool is_same(const struct mark *a, const struct mark *b)
{
	return a->inode == b->inode && a->size == b->size &&
	       a->written.tv_sec == b->written.tv_sec && a->written.tv_nsec == b->written.tv_nsec;
}

/* It may be as good as the one before; but it is not the one that the request was accepted for. */
static int fail_changed(const struct builder *builder, size_t mark, struct error *err)
{
	const struct {
		const char *key;
		size_t item;
		const char *path;
	} marked[N_MARKS] = {
		[MARK_ROOT] = { "root", POSITION_OF_KEY, builder->root.path },
		[MARK_COMMAND] = { "command", 0, builder->command[0] },
		[MARK_NETWORK] = { "network", POSITION_OF_KEY, builder->network.path },
	};
	struct error why;

	(void)error_set(&why, BLAME_HOST, ESTALE, "%s was changed while the request waited",
	                marked[mark].path);
	(void)error_hint(&why, "ask again");
	return builder_fail(builder, marked[mark].key, marked[mark].item, marked[mark].key, &why,
	                    err);
}

int phase_equip(struct job *job, struct error *err)
{
	int r = open_all(job, err);

	for (size_t i = 0; r == 0 && i < N_MARKS; i++)
		if (!is_same(&job->seen[i], &job->equipment.marks[i]))
			r = fail_changed(&job->builder, i, err);
	return r;
}
