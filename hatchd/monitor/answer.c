/* Answers without a builder. */
#include "job.h"

#include <stdio.h>

/* Returns whether it wants to see more. */
typedef bool visit_fn(struct job *job, const struct builder *builder, void *context);

/*
 * Each builder that the peer may use, by their names. One broken definition does not hide the
 * others; its own requests and every check say why, not each stranger's line.
 */
static int visit_usable(struct job *job, visit_fn *visit, void *context, struct error *err)
{
	bool more = true;
	cleanup_(strv_freep) char **names = NULL;
	int r = config_list_builders(&job->config, &names, err);

	for (char **name = names; r == 0 && more && name && *name; name++) {
		cleanup_builder struct builder builder = { 0 };

		if (builder_load(&job->config, *name, &builder, NULL) != 1)
			continue;
		r = job_read_features(job, &builder, err);
		if (r < 0)
			break;
		if (policy_allows(&job->config, &builder, &job->peer, job->socket_class, NULL) == 0)
			more = visit(job, &builder, context);
	}
	return r;
}

static bool send_builder(struct job *job, const struct builder *builder, void *context)
{
	struct order order = job_make_order(job, ORDER_BUILDER);

	(void)context;
	(void)snprintf(order.name, sizeof(order.name), "%s", builder->name);
	(void)snprintf(order.text, CHANNEL_DESCRIPTION_MAX, "%s",
	               builder->description ? builder->description : "");
	job_send_order(job, &order);
	return true;
}

int phase_list(struct job *job, struct error *err)
{
	struct order end = job_make_order(job, ORDER_BUILDERS_END);
	int r = visit_usable(job, send_builder, NULL, err);

	if (r == 0)
		job_send_order(job, &end);
	return r;
}

/* Names with commas between, up to the first that does not fit. */
struct usable {
	char text[160];
	size_t len;
	bool more;
};

static bool add_name(struct job *job, const struct builder *builder, void *context)
{
	struct usable *usable = context;
	size_t room = sizeof(usable->text) - usable->len, n;

	(void)job;
	n = (size_t)snprintf(usable->text + usable->len, room, "%s%s", usable->len ? ", " : "",
	                     builder->name);
	usable->more |= n >= room;
	if (usable->more)
		usable->text[usable->len] = '\0';
	else
		usable->len += n;
	return !usable->more;
}

void job_name_usable(struct job *job, struct error *err)
{
	struct usable usable = { 0 };
	struct error refusal = *err;
	char hint[ERROR_HINT_MAX];

	if (visit_usable(job, add_name, &usable, NULL) < 0)
		return;
	(void)snprintf(hint, sizeof(hint),
	               "%s%s%s; %s; its administrator finds why with: hatchctl show %s",
	               usable.len ? "you may use: " : "there is none that you may use", usable.text,
	               usable.more ? " and others, which `hatch list` shows" : "",
	               error_peer_hint(&refusal), job->receipt.id);
	(void)error_conceal(err, error_peer_text(&refusal), hint);
}

int phase_ping(struct job *job, struct error *err)
{
	struct order order = job_make_order(job, ORDER_PONG);

	(void)err;
	job_send_order(job, &order);
	return 0;
}
