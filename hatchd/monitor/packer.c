/* What the two do once they are let go: see packer.h. */
#include "packer.h"

#include <errno.h>

#include "hatchd/sandbox/filter.h"
#include "hatchd/sandbox/landlock.h"
#include "hatchd/speaker/chunk.h"
#include "inspect.h"
#include "lib/base/cleanup.h"

struct tree_root output_root(const struct request_output *output, const struct scratch *scratch)
{
	int dir_fd = output->in_store ? scratch->upper_fd : scratch->outputs_fd;

	return (struct tree_root){ dir_fd, output->base, output->name };
}

/* --- the packer --- */

struct packing {
	const struct request *request;
	const struct scratch *scratch;
	int tree_fd;
	const struct scan *scan;
};

static int sink_write(void *context, const void *bytes, size_t len, struct error *err)
{
	const struct packing *packing = context;
	int r = chunk_write(packing->tree_fd, bytes, len);

	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot send outputs");
	return 0;
}

static int send_outputs(struct packing *packing, struct error *err)
{
	const struct request *request = packing->request;
	const struct tree_sink sink = { sink_write, packing };
	const struct tree_limits limits = { .bytes = request->builder->limits.output_bytes,
		                            .entries = request->builder->limits.output_entries };
	struct tree_used used = { 0 };

	for (size_t i = 0; i < request->n_outputs; i++) {
		const struct request_output *output = &request->outputs[i];
		const struct tree_root root = output_root(output, packing->scratch);
		struct tree_totals totals;
		int r = tree_pack(&root, &limits, &used, &sink, &totals, err);

		if (r == -ENOENT) {
			error_set(err, BLAME_BUILD, ENOENT, "the builder left nothing at %s (%s)",
			          output->path, output->name);
			return error_hint(err, "it must make its output at the path in $%s",
			                  output->name);
		}
		if (r < 0)
			return r;
		r = chunk_write_end(packing->tree_fd, &totals);
		if (r < 0)
			return error_errno(err, BLAME_HOST, -r, "cannot send outputs");
	}
	return 0;
}

/* What one output holds decides about all: so everything is read before the first byte goes. */
static int packer_run(void *context, struct error *err)
{
	struct packing *packing = context;
	int r = packing->scan
	                ? inspect_outputs(packing->request, packing->scratch, packing->scan, err)
	                : 0;

	return r < 0 ? r : send_outputs(packing, err);
}

/* One directory to read, nothing else to open, and only the calls that reading needs. */
static int packer_prepare(void *context, struct error *err)
{
	const struct packing *packing = context;
	const int readable[] = { packing->scratch->upper_fd, packing->scratch->outputs_fd };
	int r = landlock_read_only(readable, ARRAY_SIZE(readable), err);

	return r < 0 ? r : filter_packer(err);
}

int packer_start(const struct request *request, const struct scratch *scratch,
                 const struct account *account, int tree_fd, const struct scan *scan,
                 struct helper *ret, struct error *err)
{
	struct packing packing = { request, scratch, tree_fd, scan };
	struct helper_work work = {
		.prepare = packer_prepare,
		.run = packer_run,
		.context = &packing,
		.keep = { scratch->upper_fd, scratch->outputs_fd, tree_fd },
		.n_keep = 3,
	};

	return helper_start(&work, account, ret, err);
}

/* --- the cleaner --- */

static int cleaner_prepare(void *context, struct error *err)
{
	(void)context;
	(void)err;
	return 0;
}

static int cleaner_run(void *context, struct error *err)
{
	return scratch_clear(context, err);
}

int cleaner_start(const struct scratch *scratch, const struct account *account, struct helper *ret,
                  struct error *err)
{
	struct helper_work work = {
		.prepare = cleaner_prepare,
		.run = cleaner_run,
		.context = (void *)scratch,
		.keep = { scratch->upper_fd, scratch->outputs_fd, scratch->build_fd,
		          scratch->tmp_fd, scratch->tops_fd, scratch->inputs_fd },
		.n_keep = 6,
	};

	return helper_start(&work, account, ret, err);
}
