/* The list of what a view holds: tables of what every builder has, then the definition's places. */
#include "view-plan.h"

#include <errno.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/text.h"

static const struct view_row system_rows[] = {
	{ VIEW_SYSTEM, "/usr", "/usr" },
	{ VIEW_SYSTEM, "/bin", "/bin" },
	{ VIEW_SYSTEM, "/sbin", "/sbin" },
	{ VIEW_SYSTEM, "/lib", "/lib" },
	{ VIEW_SYSTEM, "/lib32", "/lib32" },
	{ VIEW_SYSTEM, "/lib64", "/lib64" },
	{ VIEW_SYSTEM, "/libx32", "/libx32" },
	{ VIEW_DIRECTORY, "/run" },
	{ VIEW_SYSTEM, "/run/current-system", "/run/current-system" }, /* NixOS */
};

static const struct view_row host_rows[] = {
	{ VIEW_HOST, "/", "/" },
	{ VIEW_DIRECTORY, "/run" },
	{ VIEW_SYSTEM, "/run/current-system", "/run/current-system" }, /* NixOS, and its drivers */
	{ VIEW_SYSTEM, "/run/opengl-driver", "/run/opengl-driver" },
	{ VIEW_HIDE, "/etc/credstore", .optional = true },
	{ VIEW_HIDE, "/etc/credstore.encrypted", .optional = true },
};

static const struct view_row kernel_rows[] = {
	{ VIEW_DEV, "/dev" },
	{ VIEW_DEVICE, "/dev/null", "/dev/null" },
	{ VIEW_DEVICE, "/dev/zero", "/dev/zero" },
	{ VIEW_DEVICE, "/dev/full", "/dev/full" },
	{ VIEW_DEVICE, "/dev/random", "/dev/random" },
	{ VIEW_DEVICE, "/dev/urandom", "/dev/urandom" },
	{ VIEW_PROC, "/proc" },
};

static const struct view_row etc_rows[] = {
	{ VIEW_ETC, "/etc" },
};

static const struct view_row loader_rows[] = {
	{ VIEW_FILE, "/etc/alternatives", "/etc/alternatives" },
	{ VIEW_FILE, "/etc/ld.so.cache", "/etc/ld.so.cache" },
	{ VIEW_FILE, "/etc/ld.so.conf", "/etc/ld.so.conf" },
	{ VIEW_FILE, "/etc/ld.so.conf.d", "/etc/ld.so.conf.d" },
};

/* Where the network is. */
static const struct view_row resolver_rows[] = {
	{ VIEW_FILE, "/etc/resolv.conf", "/etc/resolv.conf" },
};

static const struct view_row hosts_rows[] = {
	{ VIEW_FILE, "/etc/hosts", "/etc/hosts" },
};

/* What programs of the host need to use it. */
static const struct view_row network_rows[] = {
	{ VIEW_FILE, "/etc/services", "/etc/services" },
	{ VIEW_FILE, "/etc/protocols", "/etc/protocols" },
	{ VIEW_FILE, "/etc/gai.conf", "/etc/gai.conf" },
	{ VIEW_FILE, "/etc/ssl", "/etc/ssl" },
	{ VIEW_FILE, "/etc/pki", "/etc/pki" },
	{ VIEW_FILE, "/etc/ca-certificates", "/etc/ca-certificates" },
	{ VIEW_FILE, "/etc/static", "/etc/static" },
};

static const struct view_row scratch_rows[] = {
	{ VIEW_SCRATCH, "/build", "build" },
	{ VIEW_SCRATCH, "/build/outputs", "outputs" },
	{ VIEW_SCRATCH, "/tmp", "tmp" },
};

static const struct view_row input_rows[] = {
	{ VIEW_INPUTS, "/build/inputs" },
};

static const struct view_row system_tmp_rows[] = {
	{ VIEW_LINK, "/var/tmp", "/tmp" },
};

/* Another root may have a directory there, with files in it. */
static const struct view_row other_tmp_rows[] = {
	{ VIEW_SCRATCH, "/var/tmp", "tmp" },
};

/* After the definition's places: nothing of those can be there. */
static const struct view_row credentials_rows[] = {
	{ VIEW_CREDENTIALS, CREDENTIALS_DIR },
};

static int add(struct view_plan *plan, const struct view_row *rows, size_t n_rows)
{
	struct view_row *grown = reallocarray(plan->rows, plan->n_rows + n_rows, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	memcpy(grown + plan->n_rows, rows, n_rows * sizeof(*rows));
	plan->rows = grown;
	plan->n_rows += n_rows;
	return 0;
}

/* The kinds of places are the first of those of rows. */
_Static_assert((int)PLACE_READ == VIEW_READ && (int)PLACE_WRITE == VIEW_WRITE &&
                       (int)PLACE_TMPFS == VIEW_TMPFS && (int)PLACE_DEVICE == VIEW_DEVICE &&
                       (int)PLACE_HIDE == VIEW_HIDE && (int)PLACE_OVERLAY == VIEW_OVERLAY,
               "a place's kind is that of its row");

static int add_places(struct view_plan *plan, const struct builder *builder)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < builder->view.n_places; i++) {
		const struct place *place = &builder->view.places[i];

		r = add(plan,
		        &(struct view_row){ .kind = (enum view_kind)place->kind,
		                            .at = place->at,
		                            .source = place->source,
		                            .optional = place->optional,
		                            .size = place->size,
		                            .place = place },
		        1);
	}
	return r;
}

/* What a bundle wants hidden or read-only, as far as it is there. */
static int add_paths(struct view_plan *plan, enum view_kind kind, char *const *paths)
{
	int r = 0;

	for (; r == 0 && paths && *paths; paths++)
		r = add(plan, &(struct view_row){ kind, *paths, .optional = true }, 1);
	return r;
}

int view_plan_make(const struct config *config, const struct builder *builder,
                   struct view_plan *ret)
{
	cleanup_view_plan struct view_plan plan = { 0 };
	const struct view_row store[] = { { VIEW_STORE, config->store_dir, config->store_dir } };
	/* As ip-netns(8) has it: beside the host's own, which it covers where it is there. */
	const struct view_row namespace_rows[] = {
		{ VIEW_FILE, "/etc/resolv.conf", builder->network.resolv_conf },
	};
	const bool system = builder->root.kind == ROOT_SYSTEM;
	const bool network = network_has_names(&builder->network);
	const bool namespace = builder->network.kind == NETWORK_NAMESPACE;
	const bool private = builder->network.kind == NETWORK_PRIVATE;
	/* What is hatch's own, wherever a host has it. */
	const struct view_row own[] = { { VIEW_HIDE, config->dir, .optional = true },
		                        { VIEW_HIDE, config->state_dir, .optional = true } };
	const bool host = system && builder->view.base == BASE_HOST, minimal = system && !host;
	const struct {
		const struct view_row *rows;
		size_t n_rows;
		bool wanted;
	} parts[] = {
		{ system_rows, ARRAY_SIZE(system_rows), minimal },
		{ host_rows, ARRAY_SIZE(host_rows), host },
		{ own, ARRAY_SIZE(own), host },
		{ store, ARRAY_SIZE(store), true },
		{ kernel_rows, ARRAY_SIZE(kernel_rows), true },
		{ etc_rows, ARRAY_SIZE(etc_rows), !host },
		{ loader_rows, ARRAY_SIZE(loader_rows), minimal },
		{ resolver_rows, ARRAY_SIZE(resolver_rows), network && !private && !host },
		{ namespace_rows, ARRAY_SIZE(namespace_rows), namespace },
		{ hosts_rows, ARRAY_SIZE(hosts_rows), network && !host },
		{ network_rows, ARRAY_SIZE(network_rows), network && minimal },
		{ scratch_rows, ARRAY_SIZE(scratch_rows), true },
		{ input_rows, ARRAY_SIZE(input_rows), builder->inputs },
		{ system_tmp_rows, ARRAY_SIZE(system_tmp_rows), system },
		{ other_tmp_rows, ARRAY_SIZE(other_tmp_rows), !system },
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(parts); i++)
		if (parts[i].wanted)
			r = add(&plan, parts[i].rows, parts[i].n_rows);
	if (r == 0)
		r = add_places(&plan, builder);
	if (r == 0)
		r = add_paths(&plan, VIEW_FREEZE, builder->root.read_only);
	if (r == 0)
		r = add_paths(&plan, VIEW_HIDE, builder->root.masked);
	if (r == 0 && builder->n_credentials > 0)
		r = add(&plan, credentials_rows, ARRAY_SIZE(credentials_rows));
	if (r < 0)
		return r;
	*ret = plan;
	plan = (struct view_plan){ 0 };
	return 0;
}

void view_plan_done(struct view_plan *plan)
{
	free(plan->rows);
	*plan = (struct view_plan){ 0 };
}

/* Homes, state, sockets, other media; and those that hatch makes itself. */
bool view_host_lacks(const struct config *config, const char *path)
{
	static const char *const names[] = {
		"/boot",       "/build", "/cdrom", "/dev",  "/efi",  "/home",
		"/lost+found", "/media", "/mnt",   "/proc", "/root", "/run",
		"/snap",       "/srv",   "/sys",   "/tmp",  "/var",
	};
	char entry[NAME_MAX + 2];

	(void)snprintf(entry, sizeof(entry), "/%.*s", (int)strcspn(path + 1, "/"), path + 1);
	if (entry[1] == '.') /* snapshots, and marks of containers */
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(entry, names[i]) == 0)
			return true;
	/* The store has a row of its own; beside it are Nix's daemon and database. */
	return path_is_below(config->store_dir, entry);
}

uint64_t view_row_attributes(const struct view_row *row)
{
	enum {
		DATA = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
		READ_ONLY = DATA | MOUNT_ATTR_RDONLY,
	};
	static const uint64_t attributes[] = {
		[VIEW_READ] = READ_ONLY,
		[VIEW_WRITE] = DATA,
		[VIEW_TMPFS] = DATA,
		[VIEW_DEVICE] = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
		[VIEW_HIDE] = READ_ONLY | MOUNT_ATTR_NOEXEC,
		[VIEW_OVERLAY] = DATA,
		[VIEW_SYSTEM] = READ_ONLY,
		[VIEW_HOST] = READ_ONLY,
		[VIEW_FILE] = READ_ONLY,
		[VIEW_STORE] = DATA,
		[VIEW_PROC] = DATA | MOUNT_ATTR_NOEXEC,
		[VIEW_SCRATCH] = DATA,
		[VIEW_FREEZE] = MOUNT_ATTR_RDONLY,
		[VIEW_CREDENTIALS] = READ_ONLY | MOUNT_ATTR_NOEXEC,
		[VIEW_INPUTS] = READ_ONLY,
	};

	if (row->kind == VIEW_OVERLAY && row->place->top == TOP_NONE)
		return READ_ONLY;
	return (size_t)row->kind < ARRAY_SIZE(attributes) ? attributes[row->kind] : 0;
}

const char *view_kind_name(enum view_kind kind)
{
	static const char *const names[] = {
		[VIEW_READ] = "read",     [VIEW_WRITE] = "write",
		[VIEW_TMPFS] = "tmpfs",   [VIEW_DEVICE] = "device",
		[VIEW_HIDE] = "hide",     [VIEW_OVERLAY] = "overlay",
		[VIEW_SYSTEM] = "system", [VIEW_STORE] = "store",
		[VIEW_DEV] = "dev",       [VIEW_PROC] = "proc",
		[VIEW_ETC] = "etc",       [VIEW_SCRATCH] = "scratch",
		[VIEW_LINK] = "link",     [VIEW_DIRECTORY] = "directory",
		[VIEW_FILE] = "file",     [VIEW_CREDENTIALS] = "credentials",
		[VIEW_FREEZE] = "freeze", [VIEW_HOST] = "host",
		[VIEW_INPUTS] = "inputs",
	};

	return names[kind];
}
