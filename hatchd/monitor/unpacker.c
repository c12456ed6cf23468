/* See unpacker.h. lib/tree does the work; the limits hold for all inputs of a request together. */
#include "unpacker.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "hatchd/sandbox/filter.h"
#include "hatchd/sandbox/landlock.h"
#include "hatchd/speaker/chunk.h"
#include "lib/base/cleanup.h"
#include "lib/tree/unpack.h"

enum { ROOM = 256 * 1024 };

struct unpacking {
	const struct request *request;
	const struct inputs *inputs;
	int dir_fd, input_fd;

	/* of the stream that is being read */
	const char *name;
	char *room;
	uint32_t left; /* of the present chunk */
	bool ended;
	struct tree_totals said; /* once it has ended */
};

static int cut_off(const struct unpacking *unpacking, struct error *err)
{
	return error_set(err, BLAME_PEER, EPIPE, "the input %s did not come whole",
	                 unpacking->name);
}

/* The next chunk, of bytes or the end. 0 or an error. */
static int next_chunk(struct unpacking *unpacking, struct error *err)
{
	struct chunk chunk;
	int r = chunk_read(unpacking->input_fd, &chunk);

	if (r == -EBADMSG)
		return error_set(err, BLAME_HOST, EBADMSG, "the input pipe holds no chunk");
	if (r <= 0)
		return cut_off(unpacking, err);
	unpacking->ended = chunk.kind == CHUNK_END;
	if (!unpacking->ended) {
		unpacking->left = chunk.len;
		return 0;
	}
	return chunk_read_end(unpacking->input_fd, &unpacking->said) < 0 ? cut_off(unpacking, err)
	                                                                 : 0;
}

static ssize_t source_read(void *context, const void **ret_bytes, struct error *err)
{
	struct unpacking *unpacking = context;
	size_t want;
	ssize_t n;

	while (unpacking->left == 0 && !unpacking->ended) {
		int r = next_chunk(unpacking, err);

		if (r < 0)
			return r;
	}
	if (unpacking->ended)
		return 0;
	want = unpacking->left < ROOM ? unpacking->left : ROOM;
	n = fd_read_some(unpacking->input_fd, unpacking->room, want);
	if (n <= 0)
		return cut_off(unpacking, err);
	unpacking->left -= (uint32_t)n;
	*ret_bytes = unpacking->room;
	return n;
}

static int compare(const struct unpacking *unpacking, const struct tree_totals *read,
                   struct error *err)
{
	const struct tree_totals *said = &unpacking->said;

	if (said->entries == read->entries && said->bytes == read->bytes &&
	    memcmp(said->sha256, read->sha256, sizeof(read->sha256)) == 0)
		return 0;
	return error_set(err, BLAME_PEER, EBADMSG,
	                 "the input %s is not what was sent: %" PRIu64 " entries in %" PRIu64
	                 " bytes came, its record says %" PRIu64 " in %" PRIu64,
	                 unpacking->name, read->entries, read->bytes, said->entries, said->bytes);
}

static int unpack_one(struct unpacking *unpacking, const char *name,
                      const struct tree_limits *limits, struct tree_used *used, struct error *err)
{
	const struct tree_source source = { source_read, unpacking };
	struct tree_totals totals;
	int r;

	unpacking->name = name;
	unpacking->left = 0;
	unpacking->ended = false;
	r = tree_unpack(unpacking->dir_fd, name, limits, used, &source, &totals, err);
	return r < 0 ? r : compare(unpacking, &totals, err);
}

static int unpacker_run(void *context, struct error *err)
{
	struct unpacking *unpacking = context;
	const struct request *request = unpacking->request;
	const struct tree_limits limits = { .bytes = request->builder->limits.input_bytes,
		                            .entries = request->builder->limits.input_entries };
	struct tree_used used = { 0 };
	cleanup_free char *room = malloc(ROOM);
	int r = 0;

	if (!room)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for inputs");
	unpacking->room = room;
	for (size_t i = 0; r == 0 && i < request->n_inputs; i++)
		if (inputs_is_sent(unpacking->inputs, i))
			r = unpack_one(unpacking, request->inputs[i].name, &limits, &used, err);
	return r;
}

/* One directory to write to, nothing else to open, and only the calls that writing needs. */
static int unpacker_prepare(void *context, struct error *err)
{
	const struct unpacking *unpacking = context;
	int r;

	(void)umask(022); /* so that modes need no call of their own */
	r = landlock_only(unpacking->dir_fd, err);
	return r < 0 ? r : filter_unpacker(err);
}

int unpacker_start(const struct request *request, const struct inputs *inputs,
                   const struct scratch *scratch, const struct account *account, int input_fd,
                   struct helper *ret, struct error *err)
{
	struct unpacking unpacking = {
		.request = request,
		.inputs = inputs,
		.dir_fd = scratch->inputs_fd,
		.input_fd = input_fd,
	};
	struct helper_work work = {
		.prepare = unpacker_prepare,
		.run = unpacker_run,
		.context = &unpacking,
		.keep = { scratch->inputs_fd, input_fd },
		.n_keep = 2,
	};

	return helper_start(&work, account, ret, err);
}
