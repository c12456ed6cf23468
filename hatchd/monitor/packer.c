/* Forked early, confined at once, idle until told: see packer.h. */
#include "packer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hatchd/sandbox/filter.h"
#include "hatchd/sandbox/landlock.h"
#include "hatchd/speaker/channel.h"
#include "lib/base/cleanup.h"
#include "lib/tree/pack.h"

_Static_assert(sizeof(((struct chunk_totals *)0)->sha256) == DIGEST_HEX_LEN + 1, "one digest");

/* --- helpers in general --- */

struct helper_work {
	int (*prepare)(void *context, struct error *err); /* confine; after becoming the user */
	int (*run)(void *context, struct error *err);
	void *context;
	int keep[8];
	size_t n_keep;
};

static int await_go(int go_fd)
{
	char byte;

	return fd_read_full(go_fd, &byte, 1) == 1 ? 0 : -EPIPE;
}

__attribute__((noreturn)) static void
helper_main(struct helper_work *work, const struct account *account, int go_fd, int result_fd)
{
	struct helper_result result;
	int r;

	memset(&result, 0, sizeof(result));
	work->keep[work->n_keep++] = go_fd;
	work->keep[work->n_keep++] = result_fd;
	r = fds_close_except(work->keep, work->n_keep, &result.error);
	if (r == 0)
		r = privilege_become(account, &result.error);
	if (r == 0)
		r = work->prepare(work->context, &result.error);
	/* A helper that could not be confined says so when it is asked to work, and does none. */
	if (await_go(go_fd) < 0)
		_exit(0);
	if (r == 0)
		r = work->run(work->context, &result.error);
	result.ok = r == 0;
	(void)fd_write_full(result_fd, &result, sizeof(result));
	_exit(0);
}

static int helper_start(struct helper_work *work, const struct account *account, struct helper *ret,
                        struct error *err)
{
	int go[2], result[2];
	pid_t pid;

	if (pipe2(go, O_CLOEXEC) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot make a pipe");
	if (pipe2(result, O_CLOEXEC) < 0) {
		int r = error_errno(err, BLAME_HOST, errno, "cannot make a pipe");

		(void)close(go[0]);
		(void)close(go[1]);
		return r;
	}
	pid = fork();
	if (pid == 0)
		helper_main(work, account, go[0], result[1]);
	if (pid < 0)
		error_errno(err, BLAME_HOST, errno, "cannot fork");
	(void)close(go[0]);
	(void)close(result[1]);
	*ret = (struct helper){ .pid = pid, .go_fd = go[1], .result_fd = result[0] };
	if (pid < 0) {
		fd_closep(&ret->go_fd);
		fd_closep(&ret->result_fd);
		ret->pid = 0;
		return -err->code;
	}
	return 0;
}

int helper_go(const struct helper *helper)
{
	return fd_write_full(helper->go_fd, "g", 1);
}

static void helper_reap(struct helper *helper)
{
	while (helper->pid > 0 && waitpid(helper->pid, NULL, 0) < 0 && errno == EINTR)
		;
	helper->pid = 0;
}

int helper_finish(struct helper *helper, struct error *err)
{
	struct helper_result result;
	int r = fd_read_full(helper->result_fd, &result, sizeof(result));

	fd_closep(&helper->go_fd);
	fd_closep(&helper->result_fd);
	helper_reap(helper);
	if (r != 1)
		return error_set(err, BLAME_HOST, ECHILD, "a helper process died");
	if (result.ok)
		return 0;
	/* It has read hostile trees: its words are taken as bytes, its blame only as far as it
	 * goes. */
	result.error.text[sizeof(result.error.text) - 1] = '\0';
	result.error.hint[sizeof(result.error.hint) - 1] = '\0';
	if (result.error.code <= 0 || result.error.code > 4095)
		result.error.code = EIO;
	if (result.error.blame != BLAME_BUILD)
		result.error.blame = BLAME_HOST;
	*err = result.error;
	return -err->code;
}

void helper_done(struct helper *helper)
{
	fd_closep(&helper->go_fd);
	fd_closep(&helper->result_fd);
	helper_reap(helper);
}

/* --- the packer --- */

struct packing {
	const struct request *request;
	const struct scratch *scratch;
	int tree_fd;
};

static int write_chunk(int fd, const struct chunk *head, const void *bytes)
{
	struct iovec parts[] = { { (void *)head, sizeof(*head) }, { (void *)bytes, head->len } };
	size_t done = 0;
	ssize_t n;

	do
		n = writev(fd, parts, ARRAY_SIZE(parts));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	done = (size_t)n;
	if (done < sizeof(*head)) {
		int r = fd_write_full(fd, (const char *)head + done, sizeof(*head) - done);

		if (r < 0)
			return r;
		done = sizeof(*head);
	}
	done -= sizeof(*head);
	return fd_write_full(fd, (const char *)bytes + done, head->len - done);
}

static int sink_write(void *context, const void *bytes, size_t len, struct error *err)
{
	const struct packing *packing = context;
	struct chunk head = { .kind = CHUNK_BYTES, .len = (uint32_t)len };
	int r = write_chunk(packing->tree_fd, &head, bytes);

	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot send outputs");
	return 0;
}

static int write_totals(int fd, const struct tree_totals *totals)
{
	struct chunk head = { .kind = CHUNK_END, .len = sizeof(struct chunk_totals) };
	struct chunk_totals out;

	memset(&out, 0, sizeof(out));
	out.entries = totals->entries;
	out.bytes = totals->bytes;
	memcpy(out.sha256, totals->sha256, sizeof(out.sha256));
	return write_chunk(fd, &head, &out);
}

/* Limits hold for all outputs of a request together. */
static void use_up(uint64_t *left, uint64_t used)
{
	*left = *left > used ? *left - used : 0;
}

static int packer_run(void *context, struct error *err)
{
	struct packing *packing = context;
	const struct request *request = packing->request;
	const struct tree_sink sink = { sink_write, packing };
	struct tree_limits limits = { .bytes = request->builder->limits.output_bytes,
		                      .entries = request->builder->limits.output_entries };

	for (size_t i = 0; i < request->n_outputs; i++) {
		const struct request_output *output = &request->outputs[i];
		int dir_fd = output->in_store ? packing->scratch->upper_fd
		                              : packing->scratch->outputs_fd;
		struct tree_totals totals;
		int r = tree_pack(dir_fd, output->base, &limits, &sink, &totals, err);

		if (r == -ENOENT) {
			error_set(err, BLAME_BUILD, ENOENT, "the builder left nothing at %s (%s)",
			          output->path, output->name);
			return error_hint(err, "it must make its output at the path in $%s",
			                  output->name);
		}
		if (r < 0)
			return r;
		use_up(&limits.bytes, totals.bytes);
		use_up(&limits.entries, totals.entries);
		r = write_totals(packing->tree_fd, &totals);
		if (r < 0)
			return error_errno(err, BLAME_HOST, -r, "cannot send outputs");
	}
	return 0;
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
                 const struct account *account, int tree_fd, struct helper *ret, struct error *err)
{
	struct packing packing = { request, scratch, tree_fd };
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
		          scratch->tmp_fd },
		.n_keep = 4,
	};

	return helper_start(&work, account, ret, err);
}
