/* One function for each part of the sandbox. */
#include "sheet.h"

#include <errno.h>
#include <string.h>

#include "hatchd/config/seccomp.h"
#include "hatchd/sandbox/sandbox.h"
#include "hatchd/slot/build-user.h"
#include "who.h"

/* Any request has another one: what a builder sees of it is this many digits. */
static const char some_request_id[] = "0000000000000000";

static void write_account(struct json *json, const struct config *config, const char *name,
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
	json_close(json);
}

static void write_root(struct json *json, const struct builder *builder)
{
	static const char *const kinds[] = { [ROOT_SYSTEM] = "system", [ROOT_TREE] = "tree" };

	json_open_object(json, "root");
	json_text(json, "kind", kinds[builder->root.kind]);
	json_text(json, "path", builder->root.path);
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

static void write_limits(struct json *json, const struct request *request)
{
	const struct limits *limits = &request->builder->limits;

	json_open_object(json, "limits");
	json_number(json, "time_sec", request->time_limit_sec);
	if (limits->silence_sec)
		json_number(json, "silence_sec", limits->silence_sec);
	else
		json_null(json, "silence_sec");
	json_number(json, "grace_sec", limits->grace_sec);
	json_number(json, "log_bytes", limits->log_bytes);
	json_number(json, "output_bytes", limits->output_bytes);
	json_number(json, "output_entries", limits->output_entries);
	json_close(json);
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
	json_open_list(json, "command");
	for (char **word = request->argv; *word; word++)
		json_text(json, NULL, *word);
	json_close(json);
}

int sheet_write(struct json *json, struct config *config, const struct request *request,
                bool privileged, struct error *err)
{
	cleanup_(self_users_done) struct self_users self = { 0 };
	cleanup_(build_account_done) struct build_account account = { 0 };
	const struct build_user *user = config->users;
	int r = privileged ? 0 : self_users_make(&self, err);

	if (!privileged)
		user = self.users;
	if (r == 0)
		r = build_account_make(config, user, request->builder, privileged, &account, err);
	if (r < 0)
		return r;
	const struct sandbox_plan plan = { .request = request,
		                           .account = &account.account,
		                           .user_name = user->name,
		                           .request_id = some_request_id };
	write_command(json, request);
	json_open_object(json, "sandbox");
	write_account(json, config, user->name, &account.account);
	json_text(json, "network", request->builder->network_host ? "host" : "none");
	write_root(json, request->builder);
	write_seccomp(json, &request->builder->seccomp);
	write_limits(json, request);
	r = write_environment(json, &plan, err);
	json_close(json);
	return r;
}
