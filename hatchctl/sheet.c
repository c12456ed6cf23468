/* One function for each part of the sandbox. */
#include "sheet.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "hatchd/config/seccomp.h"
#include "hatchd/config/view-plan.h"
#include "hatchd/sandbox/rlimits.h"
#include "hatchd/sandbox/sandbox.h"
#include "hatchd/slot/build-user.h"
#include "hatchd/slot/quota.h"
#include "lib/base/cleanup.h"
#include "who.h"

/* Any request has another one: what a builder sees of it is this many digits. */
static const char some_request_id[] = "0000000000000000";

static void write_words(struct json *json, const char *key, char *const *words)
{
	size_t n_words = 0;

	while (words && words[n_words])
		n_words++;
	json_texts(json, key, words, n_words);
}

/* A limit that may be missing. */
static void write_limit(struct json *json, const char *key, uint64_t limit)
{
	if (limit)
		json_number(json, key, limit);
	else
		json_null(json, key);
}

static const char *uid_map_name(enum uid_map map)
{
	switch (map) {
	case UID_MAP_SELF:
		return "self";
	case UID_MAP_ROOT:
		return "root";
	case UID_MAP_RANGE:
		return "range";
	}
	return NULL;
}

static void write_account(struct json *json, const struct config *config,
                          const struct builder *builder, const char *name,
                          const struct account *account)
{
	char text[ACCOUNT_LEN];

	json_open_object(json, "account");
	json_text(json, "user", name);
	json_number(json, "uid", account->uid);
	json_number(json, "gid", account->gid);
	json_open_list(json, "groups");
	for (size_t i = 0; i < account->n_groups; i++)
		json_text(json, NULL, group_text(account->groups[i], text));
	json_close(json);
	/* The first of the pool that is free. */
	json_open_list(json, "or");
	for (size_t i = 1; i < config->n_users; i++)
		json_text(json, NULL, config->users[i].name);
	json_close(json);
	json_text(json, "uid_map", uid_map_name(builder->uid_map));
	json_truth(json, "allow_userns", builder->allow_userns);
	json_truth(json, "time_namespace", builder->time_namespace);
	json_close(json);
}

/* A switch: the compiler then knows when there is one more. */
static const char *root_kind_name(enum root_kind kind)
{
	switch (kind) {
	case ROOT_SYSTEM:
		return "system";
	case ROOT_TREE:
		return "tree";
	case ROOT_IMAGE:
		return "image";
	case ROOT_BUNDLE:
		return "bundle";
	}
	return NULL;
}

static void write_root(struct json *json, const struct builder *builder)
{
	bool writable = builder->root.top == ROOT_TOP_MEMORY;

	json_open_object(json, "root");
	json_text(json, "kind", root_kind_name(builder->root.kind));
	json_text(json, "path", builder->root.path);
	json_text(json, "bundle", builder->root.bundle);
	json_truth(json, "readonly", !writable);
	write_limit(json, "size_bytes", writable ? builder->root.size : 0);
	json_text(json, "cwd", builder->root.cwd ? builder->root.cwd : "/build");
	json_text(json, "host_name", builder_host_name(builder));
	json_close(json);
}

static void write_destination(struct json *json, const char *host, const struct port *port)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%s:%u", host, port->number);
	json_text(json, NULL, text);
}

static void write_network(struct json *json, const struct network *network)
{
	json_open_object(json, "network");
	json_text(json, "kind", network_name(network));
	json_text(json, "namespace", network->path);
	json_open_list(json, "tcp");
	for (size_t i = 0; i < network->n_ports; i++) {
		if (network->ports[i].families & NETWORK_IPV4)
			write_destination(json, "127.0.0.1", &network->ports[i]);
		if (network->ports[i].families & NETWORK_IPV6)
			write_destination(json, "[::1]", &network->ports[i]);
	}
	json_close(json);
	json_close(json);
}

static void write_seccomp(struct json *json, const struct seccomp *seccomp)
{
	json_open_object(json, "seccomp");
	json_text(json, "list", seccomp->none ? "none" : "default");
	json_open_list(json, "groups");
	for (unsigned bit = 1; bit < SECCOMP_COMBINATIONS; bit <<= 1)
		if (seccomp->groups & bit)
			json_text(json, NULL, seccomp_group_name(bit));
	json_close(json);
	json_close(json);
}

/* --- the view --- */

static void write_flags(struct json *json, uint64_t attributes)
{
	static const struct {
		uint64_t bit;
		const char *name;
	} flags[] = {
		{ MOUNT_ATTR_RDONLY, "ro" },
		{ MOUNT_ATTR_NOSUID, "nosuid" },
		{ MOUNT_ATTR_NODEV, "nodev" },
		{ MOUNT_ATTR_NOEXEC, "noexec" },
	};

	json_open_list(json, "flags");
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (attributes & flags[i].bit)
			json_text(json, NULL, flags[i].name);
	json_close(json);
}

/* What the host lacks is left out of some rows; and where it has a link, so has the view. */
static const char *state_of_source(const struct view_row *row)
{
	const bool of_host = row->kind == VIEW_READ || row->kind == VIEW_WRITE ||
	                     row->kind == VIEW_DEVICE || row->kind == VIEW_SYSTEM ||
	                     row->kind == VIEW_FILE || row->kind == VIEW_STORE;
	struct stat st;

	if (row->kind == VIEW_LINK)
		return "link";
	if (!of_host)
		return view_row_attributes(row) ? "mount" : "made";
	if (lstat(row->source, &st) < 0)
		return "left out";
	return row->kind == VIEW_SYSTEM && S_ISLNK(st.st_mode) ? "link" : "mount";
}

static void write_row(struct json *json, const struct view_row *row)
{
	json_open_object(json, NULL);
	json_text(json, "at", row->at);
	json_text(json, "kind", view_kind_name(row->kind));
	json_text(json, "as", state_of_source(row));
	json_text(json, "source", row->source);
	write_flags(json, view_row_attributes(row));
	json_truth(json, "optional", row->optional);
	write_limit(json, "size_bytes", row->size);
	write_words(json, "layers", row->place ? row->place->lower : NULL);
	json_close(json);
}

static int write_view(struct json *json, const struct request *request, struct error *err)
{
	cleanup_view_plan struct view_plan plan = { 0 };
	int r = view_plan_make(request->config, request->builder, &plan);

	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot list what the view holds");
	json_open_list(json, "view");
	for (size_t i = 0; i < plan.n_rows; i++)
		write_row(json, &plan.rows[i]);
	json_close(json);
	return 0;
}

/* --- limits and what else is taken --- */

/* What would hold the limit. The state directory is root's alone, but what it lies on can be asked.
 */
static void write_scratch(struct json *json, const struct request *request)
{
	cleanup_fd int fd = open(request->config->state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

	enum scratch_way way = scratch_way_choose(request->builder, fd);

	json_text(json, "scratch_by", way == SCRATCH_UNLIMITED ? NULL : scratch_way_name(way));
}

static void write_limits(struct json *json, const struct request *request, const char *missing)
{
	const struct limits *limits = &request->builder->limits;

	json_open_object(json, "limits");
	json_number(json, "time_sec", request->time_limit_sec);
	write_limit(json, "silence_sec", limits->silence_sec);
	json_number(json, "grace_sec", limits->grace_sec);
	write_limit(json, "wait_sec", limits->wait_sec);
	json_number(json, "log_bytes", limits->log_bytes);
	json_number(json, "output_bytes", limits->output_bytes);
	json_number(json, "output_entries", limits->output_entries);
	if (request->builder->inputs) {
		json_number(json, "input_bytes", limits->input_bytes);
		json_number(json, "input_entries", limits->input_entries);
		json_number(json, "input_sec", limits->input_sec);
	} else {
		json_null(json, "input_bytes");
		json_null(json, "input_entries");
		json_null(json, "input_sec");
	}
	write_limit(json, "memory_bytes", limits->memory_bytes);
	write_limit(json, "memory_high_bytes", limits->memory_high_bytes);
	if (limits->memory_bytes)
		json_number(json, "swap_bytes", limits->swap_bytes);
	else
		json_null(json, "swap_bytes");
	write_limit(json, "cpu_quota_us", limits->cpu_quota_us);
	write_limit(json, "tasks", limits->tasks);
	write_limit(json, "io_weight", limits->io_weight);
	write_limit(json, "scratch_bytes", limits->scratch_bytes);
	write_scratch(json, request);
	json_truth(json, "optional", request->builder->limits_optional);
	json_text(json, "missing", missing[0] ? missing : NULL);
	json_close(json);
}

static void write_bound(struct json *json, const char *key, uint64_t bound)
{
	if (bound == UINT64_MAX)
		json_null(json, key);
	else
		json_number(json, key, bound);
}

static void write_origin(struct json *json, const struct rlimit_row *row, enum rlimit_origin origin)
{
	static const char *const words[] = {
		[RLIMIT_OF_DEFINITION] = "definition",
		[RLIMIT_OF_HATCHD] = "hatchd",
		[RLIMIT_OF_SERVICE] = "service",
	};

	json_text(json, "from", words[origin]);
	json_text(json, "setting", origin == RLIMIT_OF_SERVICE ? row->setting : NULL);
}

static void write_rlimits(struct json *json, const struct limits *limits, const struct unit *unit)
{
	const struct rlimit_row *row;

	json_open_list(json, "rlimits");
	for (size_t i = 0; (row = rlimits_row(i)); i++) {
		struct rlimit_given given = rlimits_given(row, limits, unit_limits(unit));

		json_open_object(json, NULL);
		json_text(json, "name", row->name);
		write_bound(json, "soft", given.soft);
		write_bound(json, "hard", given.hard);
		write_origin(json, row, given.origin);
		json_close(json);
	}
	json_close(json);
}

static void write_resources(struct json *json, const struct builder *builder)
{
	json_open_object(json, "resources");
	for (size_t i = 0; i < builder->n_resources; i++)
		json_number(json, builder->resources[i].name, builder->resources[i].count);
	json_close(json);
}

static int write_credential(struct json *json, const struct unit *unit,
                            const struct builder *builder, size_t i, struct error *err)
{
	const struct unit_credential *found = NULL;
	int r = unit_check_credential(unit, builder, i, &found, err);

	json_open_object(json, NULL);
	json_text(json, "name", builder->credentials[i]);
	json_text(json, "setting", found ? found->setting : NULL);
	json_text(json, "source", found ? found->path : NULL);
	json_close(json);
	return r;
}

static int write_credentials(struct json *json, const struct unit *unit,
                             const struct builder *builder, struct error *err)
{
	int r = 0;

	json_open_object(json, "credentials");
	json_open_list(json, "list");
	for (size_t i = 0; r == 0 && i < builder->n_credentials; i++)
		r = write_credential(json, unit, builder, i, err);
	json_close(json);
	json_truth(json, "scan", builder->credentials_scan);
	json_close(json);
	return r;
}

static void write_hook(struct json *json, const char *key, const struct hook *hook)
{
	if (!hook->command) {
		json_null(json, key);
		return;
	}
	json_open_object(json, key);
	write_words(json, "command", hook->command);
	json_number(json, "time_sec", hook->time_sec);
	json_text(json, "user", hook->as_root ? "root" : "build-user");
	json_close(json);
}

static void write_kept(struct json *json, const struct builder *builder)
{
	if (builder->keep_failed)
		json_texts(json, "keep_failed", builder->keep_failed, builder->n_keep_failed);
	else
		json_null(json, "keep_failed");
}

static int write_environment(struct json *json, const struct sandbox_plan *plan, struct error *err)
{
	cleanup_(strv_freep) char **env = NULL;
	int r = environment_make(plan, &env, err);

	json_open_list(json, "environment");
	for (char **item = env; item && *item; item++) {
		char *equals = strchr(*item, '=');

		*equals = '\0';
		json_open_object(json, NULL);
		json_text(json, "name", *item);
		json_text(json, "value", equals + 1);
		json_close(json);
	}
	json_close(json);
	return r;
}

static void write_command(struct json *json, const struct request *request)
{
	write_words(json, "command", request->argv);
}

static int write_sandbox(struct json *json, const struct sheet *sheet,
                         const struct sandbox_plan *plan, const struct account *outside,
                         struct error *err)
{
	const struct request *request = plan->request;
	const struct builder *builder = request->builder;
	int r;

	json_open_object(json, "sandbox");
	json_text(json, "service", sheet->unit->known ? "hatchd@.service" : NULL);
	write_account(json, request->config, builder, plan->user_name, outside);
	write_root(json, builder);
	r = write_view(json, request, err);
	write_network(json, &builder->network);
	write_seccomp(json, &builder->seccomp);
	write_limits(json, request, sheet->missing);
	write_rlimits(json, &builder->limits, sheet->unit);
	write_resources(json, builder);
	if (r == 0)
		r = write_credentials(json, sheet->unit, builder, err);
	write_hook(json, "before", &builder->before);
	write_hook(json, "after", &builder->after);
	write_kept(json, builder);
	if (r == 0)
		r = write_environment(json, plan, err);
	json_close(json);
	return r;
}

int sheet_write(struct json *json, const struct sheet *sheet, struct error *err)
{
	cleanup_(self_users_done) struct self_users self = { 0 };
	cleanup_build_account struct build_account account = BUILD_ACCOUNT_NONE;
	const struct build_user *user = sheet->config->users;
	const struct request *request = sheet->request;
	struct account inside;
	int r = sheet->privileged ? 0 : self_users_make(&self, err);

	if (!sheet->privileged)
		user = self.users;
	if (r == 0)
		r = build_account_make(sheet->config, user, request->builder, sheet->privileged,
		                       &account, err);
	if (r < 0)
		return r;
	inside = account.account;
	inside.root = request->builder->uid_map != UID_MAP_SELF;
	write_command(json, request);
	return write_sandbox(json, sheet,
	                     &(struct sandbox_plan){ .request = request,
	                                             .account = &inside,
	                                             .user_name = user->name,
	                                             .request_id = some_request_id },
	                     &account.account, err);
}
