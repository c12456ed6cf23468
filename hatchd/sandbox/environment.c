/*
 * The builder's environment, from nothing. hatch-builder(5), "ENVIRONMENT", lists what is here; a
 * test compares the two.
 */
#include "sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buffer.h"

#define TEXT_OF_TOKEN(token) #token
#define TEXT_OF(macro)       TEXT_OF_TOKEN(macro)

struct list {
	char **items; /* "NAME=value" */
	size_t n_items;
};

static void list_done(struct list *list)
{
	strv_free(list->items);
}

static int list_add(struct list *list, const char *name, const char *value)
{
	char **items = realloc(list->items, (list->n_items + 2) * sizeof(*items));

	if (!items)
		return -ENOMEM;
	list->items = items;
	if (asprintf(&items[list->n_items], "%s=%s", name, value) < 0) {
		items[list->n_items] = NULL;
		return -ENOMEM;
	}
	items[++list->n_items] = NULL;
	return 0;
}

/* Does the administrator or the client set this name? Then our default stays out. */
static bool is_set(const struct request *request, const char *name)
{
	const struct builder *builder = request->builder;

	for (size_t i = 0; i < builder->environment.n_set; i++)
		if (strcmp(builder->environment.set[i].name, name) == 0)
			return true;
	for (size_t i = 0; i < request->n_env; i++)
		if (strcmp(request->env[i].name, name) == 0)
			return true;
	return false;
}

static int add_defaults(struct list *list, const struct sandbox_plan *plan)
{
	const struct request *request = plan->request;
	char peer_uid[16];
	const struct {
		const char *name, *value;
	} defaults[] = {
		{ "CREDENTIALS_DIRECTORY",
		  request->builder->n_credentials > 0 ? CREDENTIALS_DIR : NULL },
		{ "HATCH_BUILDER", request->builder->name },
		{ "HATCH_DERIVATION", request->peer->derivation },
		{ "HATCH_INPUTS", request->builder->inputs ? INPUT_DIR : NULL },
		{ "HATCH_PEER_UID", peer_uid },
		{ "HATCH_REQUEST", plan->request_id },
		{ "HATCH_STATUS_FD", TEXT_OF(SANDBOX_STATUS_FD) },
		{ "HOME", "/build" },
		{ "LANG", "C.UTF-8" },
		{ "LOGNAME", plan->account->root ? "root" : plan->user_name },
		{ "NIX_STORE", request->config->store_dir },
		{ "PATH", "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin:"
		          "/run/current-system/sw/bin" },
		{ "SHELL", "/bin/sh" },
		{ "TMPDIR", "/tmp" },
		{ "TZ", "UTC" },
		{ "USER", plan->account->root ? "root" : plan->user_name },
	};
	int r = 0;

	(void)snprintf(peer_uid, sizeof(peer_uid), "%u", request->peer->uid);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(defaults); i++)
		if (defaults[i].value && !is_set(request, defaults[i].name))
			r = list_add(list, defaults[i].name, defaults[i].value);
	return r;
}

/* As Nix gives them: "outputs" names them, and each name is a variable with its path. */
static int add_outputs(struct list *list, const struct request *request)
{
	cleanup_(buffer_done) struct buffer names = { 0 };
	int r = 0;

	if (request->n_outputs == 0)
		return 0;
	for (size_t i = 0; r == 0 && i < request->n_outputs; i++) {
		r = list_add(list, request->outputs[i].name, request->outputs[i].path);
		if (r == 0)
			r = buffer_printf(&names, "%s%s", i ? " " : "", request->outputs[i].name);
	}
	return r < 0 ? r : list_add(list, "outputs", names.data);
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int environment_make(const struct sandbox_plan *plan, char ***ret, struct error *err)
{
	const struct request *request = plan->request;
	const struct builder *builder = request->builder;
	cleanup_(list_done) struct list list = { 0 };
	int r = add_defaults(&list, plan);

	if (r == 0)
		r = add_outputs(&list, request);
	for (size_t i = 0; r == 0 && i < builder->environment.n_set; i++)
		r = list_add(&list, builder->environment.set[i].name,
		             builder->environment.set[i].value);
	for (size_t i = 0; r == 0 && i < request->n_env; i++)
		r = list_add(&list, request->env[i].name, request->env[i].value);
	if (r < 0)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for the environment");
	qsort(list.items, list.n_items, sizeof(*list.items), compare);
	*ret = take_ptr(&list.items);
	return 0;
}
