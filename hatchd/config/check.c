/* Walks the configuration like a request does, but goes on after each error. */
#include "check.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/fd.h"
#include "range.h"
#include "read.h"

/* Counts the errors and hands them on. */
struct checking {
	struct config_check found;
	const struct config_report *report;
};

static void count(void *data, const struct error *err)
{
	struct checking *checking = data;

	checking->found.n_errors++;
	if (checking->report)
		checking->report->error(checking->report->data, err);
}

static int ask_credential(void *data, const char *name, struct error *err)
{
	const struct config_report *report = ((struct checking *)data)->report;

	return report && report->credential ? report->credential(report->data, name, err) : 0;
}

static void check_state(const struct config *config, struct checking *checking)
{
	cleanup_fd int fd = -1;
	struct error err;
	struct stat st;

	if (config_open_state(config, &fd, &err) >= 0)
		return;
	/* Before the first start there is none: systemd makes it (StateDirectory=). */
	if (err.code == ENOENT && lstat(config->state_dir, &st) < 0 && errno == ENOENT)
		return;
	count(checking, &err);
}

static void check_users(struct config *config, struct checking *checking)
{
	struct error err;

	for (size_t i = 0; i < config->n_users; i++) {
		if (config_resolve_user(config, &config->users[i], &err) < 0)
			count(checking, &err);
		if (range_check_user(&config->users[i], &err) < 0)
			count(checking, &err);
	}
}

static void check_places(const struct builder *builder, struct checking *checking)
{
	struct error err;

	for (size_t i = 0; i < builder->view.n_places; i++)
		if (builder_check_place(builder, &builder->view.places[i], &err) < 0)
			count(checking, &err);
}

static void check_builder(const struct config *config, const char *name, struct checking *checking)
{
	const struct config_report report = { count, checking, ask_credential };
	cleanup_builder struct builder builder = { 0 };
	struct error err;

	checking->found.n_builders++;
	if (builder_load_reporting(config, name, &report, &builder, NULL) <= 0)
		return;
	if (builder_check_start(config, &builder, &err) < 0)
		count(checking, &err);
	check_places(&builder, checking);
}

static void check_builders(const struct config *config, struct checking *checking)
{
	const struct config_report report = { count, checking, ask_credential };
	cleanup_(strv_freep) char **names = NULL;

	(void)config_list_builders_reporting(config, &report, &names, NULL);
	for (size_t i = 0; names && names[i]; i++)
		check_builder(config, names[i], checking);
}

struct config_check config_check_all(const char *dir, bool pool, const struct config_report *report)
{
	struct checking checking = { .report = report };
	const struct config_report counting = { count, &checking, ask_credential };
	cleanup_config struct config config = { 0 };

	if (config_load_reporting(dir, pool, &counting, &config, NULL) < 0)
		return checking.found;
	check_state(&config, &checking);
	check_users(&config, &checking);
	check_builders(&config, &checking);
	return checking.found;
}
