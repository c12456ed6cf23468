/* Answers without a builder. */
#include "job.h"

#include <stdio.h>

#include "lib/base/log.h"

/* Each builder that the peer may use, by their names. */
static int visit_usable(struct job *job,
                        void (*visit)(struct job *job, const struct builder *builder,
                                      void *context),
                        void *context, struct error *err)
{
	cleanup_(strv_freep) char **names = NULL;
	int r = config_list_builders(&job->config, &names, err);

	for (char **name = names; r == 0 && name && *name; name++) {
		cleanup_builder struct builder builder = { 0 };
		struct error skipped = { 0 };

		/* One broken definition does not hide the others; its own requests say why. */
		if (builder_load(&job->config, *name, &builder, &skipped) != 1) {
			log_line(LOG_WARNING, "%s", skipped.text);
			continue;
		}
		r = job_read_features(job, &builder, err);
		if (r < 0)
			break;
		if (policy_allows(&job->config, &builder, &job->peer, job->socket_class, NULL) == 0)
			visit(job, &builder, context);
	}
	return r;
}

static void send_builder(struct job *job, const struct builder *builder, void *context)
{
	struct order order = job_make_order(job, ORDER_BUILDER);

	(void)context;
	(void)snprintf(order.name, sizeof(order.name), "%s", builder->name);
	(void)snprintf(order.text, CHANNEL_DESCRIPTION_MAX, "%s",
	               builder->description ? builder->description : "");
	job_send_order(job, &order);
}

int phase_list(struct job *job, struct error *err)
{
	struct order end = job_make_order(job, ORDER_BUILDERS_END);
	int r = visit_usable(job, send_builder, NULL, err);

	if (r == 0)
		job_send_order(job, &end);
	return r;
}

/* Names with commas between; what does not fit is only counted on. */
struct usable {
	char text[160];
	size_t len;
	bool more;
};

static void add_name(struct job *job, const struct builder *builder, void *context)
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
}

void job_name_usable(struct job *job, struct error *err)
{
	struct usable usable = { 0 };
	struct error refusal = *err;
	char hint[ERROR_HINT_MAX];

	if (visit_usable(job, add_name, &usable, NULL) < 0)
		return;
	(void)snprintf(hint, sizeof(hint), "%s%s%s; %s",
	               usable.len ? "you may use: " : "there is none that you may use", usable.text,
	               usable.more ? " and others, which `hatch list` shows" : "",
	               error_peer_hint(&refusal));
	(void)error_conceal(err, error_peer_text(&refusal), hint);
}

int phase_ping(struct job *job, struct error *err)
{
	struct order order = job_make_order(job, ORDER_PONG);

	(void)err;
	job_send_order(job, &order);
	return 0;
}
