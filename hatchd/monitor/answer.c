/* Answers without a builder. */
#include "job.h"

#include <stdio.h>

#include "lib/base/log.h"

int phase_list(struct job *job, struct error *err)
{
	cleanup_(strv_freep) char **names = NULL;
	struct order end = job_make_order(job, ORDER_BUILDERS_END);
	int r = config_list_builders(&job->config, &names, err);

	for (char **name = names; r == 0 && name && *name; name++) {
		cleanup_builder struct builder builder = { 0 };
		struct order order = job_make_order(job, ORDER_BUILDER);
		struct error skipped = { 0 };

		/* One broken definition does not hide the others; its own requests say why. */
		if (builder_load(&job->config, *name, &builder, &skipped) != 1) {
			log_line(LOG_WARNING, "%s", skipped.text);
			continue;
		}
		r = job_read_features(job, &builder, err);
		if (r < 0)
			break;
		if (policy_allows(&job->config, &builder, &job->peer, job->socket_class, NULL) < 0)
			continue;
		(void)snprintf(order.name, sizeof(order.name), "%s", builder.name);
		(void)snprintf(order.text, CHANNEL_DESCRIPTION_MAX, "%s",
		               builder.description ? builder.description : "");
		job_send_order(job, &order);
	}
	if (r == 0)
		job_send_order(job, &end);
	return r;
}

int phase_ping(struct job *job, struct error *err)
{
	struct order order = job_make_order(job, ORDER_PONG);

	(void)err;
	job_send_order(job, &order);
	return 0;
}
