/* Settings over the bus, and a look at the files they name. */
#include "unit-credentials.h"

#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "hatchd/config/config.h"
#include "lib/base/cleanup.h"

static const char manager[] = "org.freedesktop.systemd1";

void unit_credentials_done(struct unit_credentials *credentials)
{
	for (size_t i = 0; i < credentials->n_items; i++) {
		free(credentials->items[i].name);
		free(credentials->items[i].path);
	}
	free(credentials->items);
	strv_free(credentials->imports);
	*credentials = (struct unit_credentials){ 0 };
}

/* --- asking --- */

static int add(struct unit_credentials *credentials, const char *name, const char *path)
{
	struct unit_credential *items = reallocarray(credentials->items, credentials->n_items + 1,
	                                             sizeof(*items));

	if (!items)
		return -ENOMEM;
	credentials->items = items;
	items += credentials->n_items++;
	*items = (struct unit_credential){ strdup(name), path ? strdup(path) : NULL };
	return items->name && (items->path || !path) ? 0 : -ENOMEM;
}

/* One structure of LoadCredential: name and path. Returns 1, or 0 after the last. */
static int take_loaded(sd_bus_message *message, struct unit_credentials *credentials)
{
	const char *name, *path;
	int r = sd_bus_message_read(message, "(ss)", &name, &path);

	if (r <= 0)
		return r;
	r = add(credentials, name, path);
	return r < 0 ? r : 1;
}

/* One of SetCredential: name and value, which systemd takes only if there is one. */
static int take_set(sd_bus_message *message, struct unit_credentials *credentials)
{
	const char *name;
	int r = sd_bus_message_enter_container(message, 'r', "say");

	if (r <= 0)
		return r;
	r = sd_bus_message_read(message, "s", &name);
	if (r >= 0)
		r = sd_bus_message_skip(message, "ay");
	if (r >= 0)
		r = add(credentials, name, NULL);
	if (r >= 0)
		r = sd_bus_message_exit_container(message);
	return r < 0 ? r : 1;
}

static const struct property {
	const char *name, *signature, *item;
	int (*take)(sd_bus_message *message, struct unit_credentials *credentials);
} properties[] = {
	{ "LoadCredential", "a(ss)", "(ss)", take_loaded },
	{ "LoadCredentialEncrypted", "a(ss)", "(ss)", take_loaded },
	{ "SetCredential", "a(say)", "(say)", take_set },
	{ "SetCredentialEncrypted", "a(say)", "(say)", take_set },
};

static int read_property(sd_bus *bus, const char *unit, const struct property *property,
                         struct unit_credentials *credentials)
{
	cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
	int r = sd_bus_get_property(bus, manager, unit, "org.freedesktop.systemd1.Service",
	                            property->name, NULL, &message, property->signature);

	if (r >= 0)
		r = sd_bus_message_enter_container(message, 'a', property->item);
	while (r > 0)
		r = property->take(message, credentials);
	return r;
}

/* systemd before 254 has no such setting. */
static void read_imports(sd_bus *bus, const char *unit, struct unit_credentials *credentials)
{
	(void)sd_bus_get_property_strv(bus, manager, unit, "org.freedesktop.systemd1.Service",
	                               "ImportCredential", NULL, &credentials->imports);
}

static int read_unit(sd_bus *bus, const char *unit, struct unit_credentials *credentials)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(properties); i++)
		r = read_property(bus, unit, &properties[i], credentials);
	if (r >= 0)
		read_imports(bus, unit, credentials);
	return r < 0 ? r : 0;
}

int unit_credentials_load(struct unit_credentials *ret)
{
	cleanup_(unit_credentials_done) struct unit_credentials credentials = { 0 };
	cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
	cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	const char *unit;
	int r = sd_bus_open_system(&bus);

	/* Any instance: the settings are the template's. */
	if (r >= 0)
		r = sd_bus_call_method(bus, manager, "/org/freedesktop/systemd1",
		                       "org.freedesktop.systemd1.Manager", "LoadUnit", NULL, &reply,
		                       "s", "hatchd@check.service");
	if (r >= 0)
		r = sd_bus_message_read(reply, "o", &unit);
	if (r >= 0)
		r = read_unit(bus, unit, &credentials);
	if (r < 0)
		return r;
	*ret = credentials;
	credentials = (struct unit_credentials){ 0 };
	return 0;
}

/* --- answering --- */

/* A directory gives each file in it as a credential with the directory's name in front. */
static const char *name_inside(const struct unit_credential *item, const char *name)
{
	size_t len = strlen(item->name);

	return item->path && strncmp(item->name, name, len) == 0 && name[len] == '_'
	               ? name + len + 1
	               : NULL;
}

static int check_file(const char *name, const char *path, struct error *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return error_set(err, BLAME_HOST, errno,
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
			if (stat(whole, &st) == 0)
				return true;
		}
	(void)snprintf(whole, sizeof(whole), "/run/credentials/@system/%s", path);
	return access(whole, F_OK) == 0;
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

static int check_item(const struct unit_credential *item, const char *name, bool *found,
                      struct error *err)
{
	const char *file = name_inside(item, name);
	char path[PATH_MAX];
	struct stat st;

	if (strcmp(item->name, name) == 0) {
		*found = true;
		return item->path ? check_loaded(item, name, err) : 0;
	}
	if (!file || item->path[0] != '/' || stat(item->path, &st) < 0 || !S_ISDIR(st.st_mode))
		return 0;
	*found = true;
	(void)snprintf(path, sizeof(path), "%s/%s", item->path, file);
	return check_file(name, path, err);
}

static bool is_imported(char *const *patterns, const char *name)
{
	for (; patterns && *patterns; patterns++)
		if (fnmatch(*patterns, name, 0) == 0)
			return true;
	return false;
}

/* One of several that give the name is enough: a value in the unit stands in for a missing file. */
int unit_credentials_find(const struct unit_credentials *credentials, const char *name,
                          struct error *err)
{
	bool found = is_imported(credentials->imports, name), good = found;

	for (size_t i = 0; !good && i < credentials->n_items; i++) {
		bool here = false;
		int r = check_item(&credentials->items[i], name, &here, err);

		good = here && r == 0;
		found |= here;
	}
	if (good)
		return 0;
	if (found)
		return -err->code;
	return error_set(err, BLAME_HOST, ENOENT,
	                 "hatchd@.service has no credential %s; expected one of LoadCredential= or "
	                 "SetCredential= in a drop-in of it",
	                 name);
}
