/* Walks the configuration like a request does, but goes on after each error. */
#include "check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "exposure.h"
#include "hatchd/slot/control.h"
#include "hatchd/unit.h"
#include "layers.h"
#include "lib/base/fd.h"
#include "permission.h"
#include "range.h"
#include "read.h"
#include "source.h"

/* Counts the errors and hands them on. */
struct checking {
	struct config_check found;
	const struct config_report *report;
	const struct unit *unit;
	struct exposure exposure; /* which builds the hook shows the socket to */
};

static void count(void *data, const struct error *err)
{
	struct checking *checking = data;

	checking->found.n_errors++;
	if (checking->report)
		checking->report->error(checking->report->data, err);
}

static void check_state(const struct config *config, struct checking *checking)
{
	cleanup_fd int fd = -1;
	struct error err;
	struct stat st;

	if (config_open_state(config, &fd, &err) >= 0)
		return;
	/* Without root it is as a rule another one, which is made where it is missing. */
	if (!config->pool && err.code == ENOENT && lstat(config->state_dir, &st) < 0 &&
	    errno == ENOENT)
		return;
	count(checking, &err);
}

/* A host that has no Nix has no store, which nobody has to say. */
static void check_store(const struct config *config, struct checking *checking)
{
	struct error why, err;
	struct stat st;
	int code = stat(config->store_dir, &st) < 0 ? errno : S_ISDIR(st.st_mode) ? 0 : ENOTDIR;

	if (code == 0 || !config->source || !value_member(&config->source->doc.root, "store"))
		return;
	(void)error_errno(&why, BLAME_HOST, code, "%s", config->store_dir);
	(void)error_hint(&why, "name the directory of the Nix store, or take \"store\" out");
	(void)config_fail(config, "store", &why, &err);
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

static void check_device(const struct config *config, const struct builder *builder,
                         const struct place *place, struct checking *checking)
{
	struct position at = builder_place_position(builder, place);
	struct error err;
	struct stat st;

	if (place->kind != PLACE_DEVICE || stat(place->source, &st) < 0 ||
	    permission_any(config, builder, place->source, &st, MAY_READ | MAY_WRITE))
		return;
	(void)error_set(&err, BLAME_HOST, EACCES,
	                "%s:%zu:%zu: no build user may open %s (mode %04o, uid %u, gid %u); "
	                "expected %s",
	                builder->file, at.line, at.column, place->source, st.st_mode & 07777,
	                st.st_uid, st.st_gid,
	                st.st_gid != 0 && st.st_mode & (S_IRGRP | S_IWGRP)
	                        ? "its group in \"groups\""
	                        : "a group of its own that may, by a rule of udev(7) such as "
	                          "GROUP=\"NAME\", MODE=\"0660\", and that group in \"groups\"");
	count(checking, &err);
}

static bool can_warn(const struct checking *checking)
{
	return checking->report && checking->report->warning;
}

static void warn(struct checking *checking, const struct error *err)
{
	checking->found.n_warnings++;
	checking->report->warning(checking->report->data, err);
}

/* It may be meant, while those who will write there have yet to be let in. */
static void check_write(const struct config *config, const struct builder *builder,
                        const struct place *place, struct checking *checking)
{
	struct error err;

	if (can_warn(checking) && builder_warn_write(config, builder, place, &err))
		warn(checking, &err);
}

static void check_network(const struct config *config, const struct builder *builder,
                          struct checking *checking)
{
	cleanup_fd int fd = -1;
	struct error err;

	if (builder_open_network(config, builder, &fd, &err) < 0)
		count(checking, &err);
}

/* What the service that runs requests would not have. */
static void check_unit(const struct builder *builder, struct checking *checking)
{
	struct error err;

	for (size_t i = 0; i < builder->n_credentials; i++)
		if (unit_check_credential(checking->unit, builder, i, NULL, &err) < 0)
			count(checking, &err);
	if (rlimits_check(builder, unit_limits(checking->unit), &err) < 0)
		count(checking, &err);
}

/* Takes as long as reading them does: only for who asks. */
static void check_layers(const struct builder *builder, struct checking *checking)
{
	for (size_t i = 0;
	     checking->report && checking->report->layers && i < builder->view.n_places; i++)
		(void)layers_compare(builder, &builder->view.places[i], count, checking);
}

static void check_limits(const struct config *config, const struct builder *builder,
                         struct checking *checking)
{
	char missing[CONTROL_MISSING_MAX];
	struct error err;

	if (config->pool)
		control_missing_on_host(&builder->limits, missing);
	else
		control_missing(&builder->limits, -1, missing);
	if (control_refuse(builder, missing, &err) < 0)
		count(checking, &err);
}

static void check_places(const struct config *config, const struct builder *builder,
                         struct checking *checking)
{
	for (size_t i = 0; i < builder->view.n_places; i++) {
		const struct place *place = &builder->view.places[i];
		struct error err;

		if (builder_check_place(builder, place, &err) < 0) {
			count(checking, &err);
			continue;
		}
		check_device(config, builder, place, checking);
		check_write(config, builder, place, checking);
	}
}

static bool is_exposed(const struct exposure *exposure, const struct builder *builder)
{
	for (size_t i = 0; i < builder->allow.n_features; i++)
		for (size_t k = 0; k < exposure->n_features; k++)
			if (strcmp(builder->allow.features[i], exposure->features[k]) == 0)
				return true;
	return false;
}

/* Of derivations that require all of these features one is enough to be shown the socket. A hook
 * that shows nothing is not the way this host goes; one that does may not be the only one. */
static void check_features(const struct builder *builder, struct checking *checking)
{
	const struct exposure *exposure = &checking->exposure;
	struct error err;

	if (!can_warn(checking) || exposure->n_features == 0 || is_exposed(exposure, builder))
		return;
	for (size_t i = 0; i < builder->allow.n_features; i++) {
		const char *name = builder->allow.features[i];
		struct position at = builder_position(builder, "allow.features", i);
		char shown[SHOW_LEN];

		if (!exposure_feature_is_custom(name))
			continue;
		(void)error_set(&err, BLAME_HOST, ENOENT,
		                "%s:%zu:%zu: the hook shows the hatch to no derivation for "
		                "requiring \"%s\"",
		                builder->file, at.line, at.column, show(name, shown));
		(void)error_hint(&err,
		                 "add it to \"features\" in " EXPOSURE_FILE
		                 ", unless all builds are shown the hatch (extra-sandbox-paths)");
		warn(checking, &err);
		return;
	}
}

static void check_builder(const struct config *config, const char *name, struct checking *checking)
{
	const struct config_report report = { .error = count, .data = checking };
	cleanup_builder struct builder builder = { 0 };
	struct error err;

	checking->found.n_builders++;
	if (builder_load_reporting(config, name, &report, &builder, NULL) <= 0)
		return;
	check_features(&builder, checking);
	if (config->offline)
		return;
	if (builder_check_start(config, &builder, &err) < 0)
		count(checking, &err);
	if (builder_check_hooks(config, &builder, &err) < 0)
		count(checking, &err);
	check_places(config, &builder, checking);
	check_unit(&builder, checking);
	check_network(config, &builder, checking);
	check_limits(config, &builder, checking);
	check_layers(&builder, checking);
}

static void check_builders(const struct config *config, struct checking *checking)
{
	const struct config_report report = { .error = count, .data = checking };
	cleanup_(strv_freep) char **names = NULL;

	(void)config_list_builders_reporting(config, &report, &names, NULL);
	for (size_t i = 0; names && names[i]; i++)
		check_builder(config, names[i], checking);
}

/* Its chain is a program that every build of the machine needs. */
static void check_exposure_here(const struct config *config, const struct exposure *exposure,
                                struct checking *checking)
{
	struct error err;

	if (exposure_check_chain(exposure, config->owner_uid, &err) < 0)
		count(checking, &err);
}

/* What hatch-pre-build-hook reads. */
static void check_exposure(const struct config *config, struct checking *checking)
{
	const struct config_report report = { .error = count,
		                              .data = checking,
		                              .offline = config->offline };
	cleanup_free char *path = NULL;
	struct error err;

	if (asprintf(&path, "%s/%s", config->dir, EXPOSURE_FILE) < 0) {
		path = NULL;
		(void)error_set(&err, BLAME_HOST, ENOMEM, "no memory");
		count(checking, &err);
		return;
	}
	if (exposure_load(path, config->owner_uid, &report, &checking->exposure, NULL) > 0 &&
	    !config->offline)
		check_exposure_here(config, &checking->exposure, checking);
}

/* Whoever names them: systemd loads all of them for every request. */
static void check_sources(struct checking *checking)
{
	struct error err;

	for (size_t i = 0; i < checking->unit->n_credentials; i++)
		if (unit_check_source(checking->unit, i, &err) < 0)
			count(checking, &err);
}

struct config_check config_check_all(const char *dir, bool pool, const struct config_report *report)
{
	cleanup_unit struct unit unit = { 0 };
	struct checking checking = { .report = report, .unit = &unit };
	const struct config_report counting = { .error = count,
		                                .data = &checking,
		                                .offline = report && report->offline };
	cleanup_config struct config config = { 0 };

	/* Of a service that is not systemd's nobody knows what it will have. */
	if (pool && !counting.offline)
		unit_load(&unit);
	checking.found.unit_known = unit.known;
	check_sources(&checking);
	(void)config_load_reporting(dir, pool, &counting, &config, NULL);
	if (!config.dir)
		return checking.found;
	if (!config.offline) {
		check_state(&config, &checking);
		check_store(&config, &checking);
		check_users(&config, &checking);
	}
	check_exposure(&config, &checking);
	check_builders(&config, &checking);
	exposure_done(&checking.exposure);
	return checking.found;
}
