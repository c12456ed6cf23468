/* Settings over the bus, and a look at the files they name. */
#include "unit.h"

#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

static const char manager[] = "org.freedesktop.systemd1";
static const char service[] = "org.freedesktop.systemd1.Service";
static const char import[] = "ImportCredential";

void unit_done(struct unit *unit)
{
	for (size_t i = 0; i < unit->n_credentials; i++) {
		free(unit->credentials[i].name);
		free(unit->credentials[i].path);
	}
	free(unit->credentials);
	*unit = (struct unit){ 0 };
}

/* --- asking --- */

static int add(struct unit *unit, const char *setting, const char *name, const char *path)
{
	struct unit_credential *items = reallocarray(unit->credentials, unit->n_credentials + 1,
	                                             sizeof(*items));

	if (!items)
		return -ENOMEM;
	unit->credentials = items;
	items += unit->n_credentials++;
	*items = (struct unit_credential){ setting, strdup(name), path ? strdup(path) : NULL };
	return items->name && (items->path || !path) ? 0 : -ENOMEM;
}

/* One structure of LoadCredential: name and path. Returns 1, or 0 after the last. */
static int take_loaded(sd_bus_message *message, const char *setting, struct unit *unit)
{
	const char *name, *path;
	int r = sd_bus_message_read(message, "(ss)", &name, &path);

	if (r <= 0)
		return r;
	r = add(unit, setting, name, path);
	return r < 0 ? r : 1;
}

/* One of SetCredential: name and value, which systemd takes only if there is one. */
static int take_set(sd_bus_message *message, const char *setting, struct unit *unit)
{
	const char *name;
	int r = sd_bus_message_enter_container(message, 'r', "say");

	if (r <= 0)
		return r;
	r = sd_bus_message_read(message, "s", &name);
	if (r >= 0)
		r = sd_bus_message_skip(message, "ay");
	if (r >= 0)
		r = add(unit, setting, name, NULL);
	if (r >= 0)
		r = sd_bus_message_exit_container(message);
	return r < 0 ? r : 1;
}

static int take_imported(sd_bus_message *message, const char *setting, struct unit *unit)
{
	const char *pattern;
	int r = sd_bus_message_read(message, "s", &pattern);

	if (r <= 0)
		return r;
	r = add(unit, setting, pattern, NULL);
	return r < 0 ? r : 1;
}

static const struct property {
	const char *name, *signature, *item;
	int (*take)(sd_bus_message *message, const char *setting, struct unit *unit);
	bool young; /* systemd before 254 has none */
} properties[] = {
	{ "LoadCredential", "a(ss)", "(ss)", take_loaded },
	{ "LoadCredentialEncrypted", "a(ss)", "(ss)", take_loaded },
	{ "SetCredential", "a(say)", "(say)", take_set },
	{ "SetCredentialEncrypted", "a(say)", "(say)", take_set },
	{ import, "as", "s", take_imported, .young = true },
};

static int read_property(sd_bus *bus, const char *path, const struct property *property,
                         struct unit *unit)
{
	cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
	int r = sd_bus_get_property(bus, manager, path, service, property->name, &error, &message,
	                            property->signature);

	if (r < 0 && property->young &&
	    sd_bus_error_has_name(&error, SD_BUS_ERROR_UNKNOWN_PROPERTY))
		return 0;
	if (r >= 0)
		r = sd_bus_message_enter_container(message, 'a', property->item);
	while (r > 0)
		r = property->take(message, property->name, unit);
	return r;
}

static int read_limit(sd_bus *bus, const char *path, const struct rlimit_row *row,
                      struct rlimit *ret)
{
	char soft[32];
	int r;

	(void)snprintf(soft, sizeof(soft), "%sSoft", row->setting);
	r = sd_bus_get_property_trivial(bus, manager, path, service, soft, NULL, 't',
	                                &ret->rlim_cur);
	return r < 0 ? r
	             : sd_bus_get_property_trivial(bus, manager, path, service, row->setting, NULL,
	                                           't', &ret->rlim_max);
}

static int read_unit(sd_bus *bus, const char *path, struct unit *unit)
{
	const struct rlimit_row *row;
	int r = 0;

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(properties); i++)
		r = read_property(bus, path, &properties[i], unit);
	for (size_t i = 0; r >= 0 && (row = rlimits_row(i)); i++)
		r = read_limit(bus, path, row, &unit->limits.of[row->resource]);
	return r;
}

/* systemd answers for a unit that it does not have, too: with nothing but defaults. */
static int check_loaded_unit(sd_bus *bus, const char *path)
{
	cleanup_free char *state = NULL;
	int r = sd_bus_get_property_string(bus, manager, path, "org.freedesktop.systemd1.Unit",
	                                   "LoadState", NULL, &state);

	return r < 0 ? r : strcmp(state, "loaded") == 0 ? 0 : -ENOENT;
}

void unit_load(struct unit *ret)
{
	cleanup_unit struct unit unit = { .known = true };
	cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
	cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	const char *path;
	int r = sd_bus_open_system(&bus);

	*ret = (struct unit){ 0 };
	/* Any instance: the settings are the template's. */
	if (r >= 0)
		r = sd_bus_call_method(bus, manager, "/org/freedesktop/systemd1",
		                       "org.freedesktop.systemd1.Manager", "LoadUnit", NULL, &reply,
		                       "s", "hatchd@check.service");
	if (r >= 0)
		r = sd_bus_message_read(reply, "o", &path);
	if (r >= 0)
		r = check_loaded_unit(bus, path);
	if (r >= 0)
		r = read_unit(bus, path, &unit);
	if (r < 0)
		return;
	*ret = unit;
	unit = (struct unit){ 0 };
}

/* --- answering --- */

const struct rlimits *unit_limits(const struct unit *unit)
{
	return unit->known ? &unit->limits : NULL;
}

/* A directory gives each file in it as a credential with the directory's name in front. */
static const char *name_inside(const struct unit_credential *item, const char *name)
{
	size_t len = strlen(item->name);

	return item->path && strncmp(item->name, name, len) == 0 && name[len] == '_'
	               ? name + len + 1
	               : NULL;
}

/* Where we may not look nobody knows: secrets are for root to see. */
static int check_file(const char *name, const char *path, struct error *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno == EACCES
		               ? 0
		               : error_set(
					 err, BLAME_HOST, errno,
					 "hatchd@.service loads the credential %s from %s: %s; expected a "
					 "file there",
					 name, path, strerror(errno));
	if (S_ISREG(st.st_mode) && st.st_size == 0)
		return error_set(err, BLAME_HOST, ENODATA,
		                 "hatchd@.service loads the credential %s from %s, which is empty; "
		                 "expected a secret there",
		                 name, path);
	return 0;
}

/* Where systemd looks for what has no '/' in front; its own credentials come first, and which of
 * them there are it does not tell. */
static bool is_in_store(const char *path)
{
	static const char *const stores[] = { "/etc", "/run", "/usr/local/lib", "/usr/lib" };
	static const char *const kinds[] = { "credstore", "credstore.encrypted" };
	char whole[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(stores); i++)
		for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
			struct stat st;

			(void)snprintf(whole, sizeof(whole), "%s/%s/%s", stores[i], kinds[k], path);
			if (stat(whole, &st) == 0 || errno == EACCES)
				return true;
		}
	(void)snprintf(whole, sizeof(whole), "/run/credentials/@system/%s", path);
	return access(whole, F_OK) == 0 || errno == EACCES;
}

static int check_loaded(const struct unit_credential *item, const char *name, struct error *err)
{
	if (item->path[0] == '/')
		return check_file(name, item->path, err);
	if (is_in_store(item->path))
		return 0;
	return error_set(err, BLAME_HOST, ENOENT,
	                 "hatchd@.service loads the credential %s from a credential store, where "
	                 "there is no %s; expected a file in /etc/credstore",
	                 name, item->path);
}

/* Is this the one, and would it be there? */
static int check_item(const struct unit_credential *item, const char *name, bool *ret_found,
                      struct error *err)
{
	const char *file = name_inside(item, name);
	char path[PATH_MAX];
	struct stat st;

	if (item->setting == import) {
		*ret_found = fnmatch(item->name, name, 0) == 0;
		return 0;
	}
	*ret_found = strcmp(item->name, name) == 0;
	if (*ret_found)
		return item->path ? check_loaded(item, name, err) : 0;
	if (!file || item->path[0] != '/' || stat(item->path, &st) < 0 || !S_ISDIR(st.st_mode))
		return 0;
	*ret_found = true;
	(void)snprintf(path, sizeof(path), "%s/%s", item->path, file);
	return check_file(name, path, err);
}

/* One of several that give the name is enough: a value in the unit stands in for a missing file. */
static int find(const struct unit *unit, const char *name, const struct unit_credential **ret,
                struct error *err)
{
	int r = error_set(
		err, BLAME_HOST, ENOENT,
		"hatchd@.service has no credential %s; expected one of LoadCredential= or "
		"SetCredential= in a drop-in of it (one that is set to nothing is none)",
		name);

	for (size_t i = 0; i < unit->n_credentials; i++) {
		bool found;
		int good = check_item(&unit->credentials[i], name, &found, err);

		if (found && good == 0) {
			*ret = &unit->credentials[i];
			return 0;
		}
		if (found)
			r = good;
	}
	return r;
}

/* A value in the unit stands in for a file. */
static bool has_value(const struct unit *unit, const char *name)
{
	for (size_t i = 0; i < unit->n_credentials; i++) {
		const struct unit_credential *item = &unit->credentials[i];

		if (!item->path && item->setting != import && strcmp(item->name, name) == 0)
			return true;
	}
	return false;
}

int unit_check_source(const struct unit *unit, size_t i, struct error *err)
{
	const struct unit_credential *item = &unit->credentials[i];
	struct stat st;

	/* What is missing in a credential store is left out. */
	if (!item->path || item->path[0] != '/' || stat(item->path, &st) == 0 ||
	    (errno != ENOENT && errno != ENOTDIR) || has_value(unit, item->name))
		return 0;
	(void)error_errno(err, BLAME_HOST, errno,
	                  "hatchd@.service does not start, so all requests fail: its credential %s "
	                  "is loaded from %s",
	                  item->name, item->path);
	return error_hint(err,
	                  "make the file, or take %s=%s out of a drop-in: systemctl cat "
	                  "hatchd@.service; what systemd says: journalctl -u 'hatchd@*'",
	                  item->setting, item->name);
}

int unit_check_credential(const struct unit *unit, const struct builder *builder, size_t i,
                          const struct unit_credential **ret, struct error *err)
{
	const struct unit_credential *found = NULL;
	struct error why;

	if (unit->known && find(unit, builder->credentials[i], &found, &why) < 0)
		return builder_fail(builder, "credentials", i, "credentials", &why, err);
	if (ret)
		*ret = found;
	return 0;
}
