/* What is kept of a request that failed: begun before the builder, kept or thrown away at its end.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hatchd/config/read.h"
#include "job.h"
#include "lib/base/buffer.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

enum { COLLECT_LIMIT_SEC = 240 };

/* The definition as it is read now; nobody but root could have changed it meanwhile. */
static int keep_definition(const struct job *job, struct error *err)
{
	cleanup_free char *text = NULL;
	size_t len = 0;
	int r = config_read_text(job->builder.file, job->config.owner_uid, &text, &len, err);

	if (r < 0)
		return r;
	r = keepsake_write(&job->keepsake, "definition", text ?: "", len);
	return r < 0 ? error_errno(err, BLAME_HOST, -r, "cannot keep the definition") : 0;
}

static int start_collector(struct job *job, struct error *err)
{
	if (job->builder.n_keep_failed == 0) {
		keepsake_drop_files(&job->keepsake, NULL);
		return 0;
	}
	return collector_start(&job->request, &job->scratch, job->equipment.credentials.scan,
	                       job->config.failed.size, &job->account.packer,
	                       job->keepsake.files_fd, &job->collector, err);
}

int job_begin_keepsake(struct job *job, struct error *err)
{
	int r;

	if (!job->builder.keep_failed)
		return 0;
	r = keepsake_begin(job->config.state_dir, job->receipt.id, &job->keepsake, err);
	if (r == 0)
		r = keep_definition(job, err);
	return r < 0 ? r : start_collector(job, err);
}

/* Nobody asks why a request ended that its client, or the operator, gave up. */
static bool has_failed(const struct job *job)
{
	static const char *const others[] = { "done", "cancelled", "stopping" };

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (strcmp(job->receipt.verdict, others[i]) == 0)
			return false;
	return job->watch.started_ms != 0;
}

/* The log and the rest are worth keeping without the files. */
static void collect(struct job *job)
{
	struct error err = { 0 };
	int r;

	if (job->collector.pid == 0)
		return;
	receipt_expect(COLLECT_LIMIT_SEC + 60);
	r = helper_go(&job->collector);
	if (r < 0)
		(void)error_errno(&err, BLAME_HOST, -r, "cannot start the collector");
	else
		r = helper_finish(&job->collector, COLLECT_LIMIT_SEC * 1000, &err);
	if (r < 0)
		keepsake_drop_files(&job->keepsake, err.text);
}

static int write_receipt(const struct job *job, struct error *err)
{
	cleanup_(buffer_done) struct buffer text = { 0 };
	int r = receipt_print(&job->receipt, &text);

	if (r == 0)
		r = keepsake_write(&job->keepsake, "receipt", text.data, text.len);
	return r < 0 ? error_errno(err, BLAME_HOST, -r, "cannot keep the receipt") : 0;
}

void job_keep_keepsake(struct job *job, char ret[CHANNEL_NAME_MAX + 1])
{
	struct error err = { 0 };
	int r;

	ret[0] = '\0';
	if (job->keepsake.dir_fd < 0 || !has_failed(job))
		return;
	collect(job);
	job->receipt.kept = true;
	job->receipt.total_ms = (uint64_t)(clock_now_ms() - job->receipt.begun_ms);
	r = write_receipt(job, &err);
	if (r == 0)
		r = keepsake_keep(&job->keepsake, &job->config, &err);
	if (r < 0) {
		job->receipt.kept = false;
		log_line(LOG_WARNING, "nothing is kept of the failed request %s: %s",
		         job->receipt.id, err.text);
		return;
	}
	(void)snprintf(ret, CHANNEL_NAME_MAX + 1, "%s", job->receipt.id);
}
