/* Trees that a builder left when it failed, as far as somebody wants to look into them. */
#include "collector.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>

#include "hatchd/config/glob.h"
#include "hatchd/sandbox/filter.h"
#include "hatchd/sandbox/landlock.h"
#include "lib/base/cleanup.h"
#include "lib/base/fd.h"
#include "packer.h"

enum {
	ENTRIES_MAX = 1000000, /* looked at: a second or two */
	CPU_SEC = 60,          /* what it does is worth no more */
};

struct collecting {
	const struct request *request;
	const struct scratch *scratch;
	const struct scan *scan;
	uint64_t size;
	int files_fd;
	struct scan_cursor cursor; /* of what is looked at now */
};

static bool wants(void *context, const char *path)
{
	const struct builder *builder = context;

	for (size_t i = 0; i < builder->n_keep_failed; i++)
		if (glob_match(builder->keep_failed[i], path))
			return true;
	return false;
}

/* An entry is left out if its path, its link or its bytes hold a secret. */
static int see(void *context, enum tree_part part, const char *path, bool first, const void *bytes,
               size_t len, struct error *err)
{
	struct collecting *collecting = context;
	struct scan_hit hit;

	(void)part;
	(void)path;
	if (first)
		collecting->cursor = (struct scan_cursor){ 0 };
	if (scan_find(collecting->scan, &collecting->cursor, bytes, len, &hit))
		return error_set(err, BLAME_BUILD, EACCES, "it holds the credential %s", hit.name);
	return 0;
}

static int sink_write(void *context, const void *bytes, size_t len, struct error *err)
{
	const struct collecting *collecting = context;
	int r = fd_write_full(collecting->files_fd, bytes, len);

	return r < 0 ? error_errno(err, BLAME_HOST, -r, "cannot write the files to keep") : 0;
}

/* The roots and how they are named: /build, each output, /tmp. names: room for those of outputs. */
static size_t find_roots(const struct collecting *collecting, char (*names)[TREE_NAME_MAX + 1],
                         struct tree_root *roots)
{
	const struct request *request = collecting->request;
	const struct scratch *scratch = collecting->scratch;
	size_t n = 0;

	roots[n++] = (struct tree_root){ scratch->build_fd, ".", "build" };
	for (size_t i = 0; i < request->n_outputs; i++) {
		const struct request_output *output = &request->outputs[i];

		(void)snprintf(names[i], sizeof(names[i]), "outputs/%s", output->name);
		roots[n] = output_root(output, scratch);
		roots[n++].as = names[i];
	}
	roots[n++] = (struct tree_root){ scratch->tmp_fd, ".", "tmp" };
	return n;
}

static int collector_run(void *context, struct error *err)
{
	struct collecting *collecting = context;
	const struct request *request = collecting->request;
	const struct tree_eye eye = { see, collecting };
	const struct tree_choice choice = { wants, (void *)request->builder,
		                            collecting->scan ? &eye : NULL };
	const struct tree_limits limits = { collecting->size, ENTRIES_MAX };
	const struct tree_sink sink = { sink_write, collecting };
	cleanup_free char(*names)[TREE_NAME_MAX + 1] = calloc(request->n_outputs + 1,
	                                                      sizeof(*names));
	cleanup_free struct tree_root *roots = calloc(request->n_outputs + 2, sizeof(*roots));

	if (!names || !roots)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for the files to keep");
	return tree_pack_chosen(roots, find_roots(collecting, names, roots), &choice, &limits,
	                        &sink, err);
}

/* A tree that takes it over could write anything into the file, but not more. */
static int collector_prepare(void *context, struct error *err)
{
	const struct collecting *collecting = context;
	const struct scratch *scratch = collecting->scratch;
	const struct rlimit size = { collecting->size, collecting->size };
	const struct rlimit cpu = { CPU_SEC, CPU_SEC };
	const int readable[] = { scratch->build_fd, scratch->upper_fd, scratch->outputs_fd,
		                 scratch->tmp_fd };
	int r = landlock_read_only(readable, ARRAY_SIZE(readable), err);

	if (r < 0)
		return r;
	(void)signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &size) < 0 || setrlimit(RLIMIT_CPU, &cpu) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot limit the files to keep");
	return filter_packer(err);
}

int collector_start(const struct request *request, const struct scratch *scratch,
                    const struct scan *scan, uint64_t size, const struct account *account,
                    int files_fd, struct helper *ret, struct error *err)
{
	struct collecting collecting = { .request = request,
		                         .scratch = scratch,
		                         .scan = scan,
		                         .size = size,
		                         .files_fd = files_fd };
	struct helper_work work = {
		.prepare = collector_prepare,
		.run = collector_run,
		.context = &collecting,
		.keep = { scratch->build_fd, scratch->upper_fd, scratch->outputs_fd,
		          scratch->tmp_fd, files_fd },
		.n_keep = 5,
	};

	return helper_start(&work, account, ret, err);
}
