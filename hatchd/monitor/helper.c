/* Forked early, confined at once, idle until told: see helper.h. */
#include "helper.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "hatchd/leash.h"
#include "lib/base/cleanup.h"

/* It comes whole, or not at all: nobody waits for the rest of one. */
_Static_assert(sizeof(struct helper_result) <= PIPE_BUF, "a result that a pipe may cut");

static int await_go(int go_fd)
{
	char byte;

	return fd_read_full(go_fd, &byte, 1) == 1 ? 0 : -EPIPE;
}

__attribute__((noreturn)) static void
helper_main(struct helper_work *work, const struct account *account, int go_fd, int result_fd)
{
	struct helper_result result;
	int keep[HELPER_KEEP_MAX + 3], r;
	size_t n_keep = work->n_keep;

	assert(n_keep <= HELPER_KEEP_MAX);
	memset(&result, 0, sizeof(result));
	work->go_fd = go_fd;
	memcpy(keep, work->keep, n_keep * sizeof(*keep));
	keep[n_keep++] = go_fd;
	keep[n_keep++] = result_fd;
	if (account->user_ns_fd)
		keep[n_keep++] = *account->user_ns_fd;
	r = fds_close_except(keep, n_keep, &result.error);
	if (r == 0)
		r = privilege_become(account, &result.error);
	if (account->user_ns_fd)
		(void)close(*account->user_ns_fd);
	if (leash_wear(result_fd) < 0)
		_exit(1); /* nobody could end it */
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

int helper_start(struct helper_work *work, const struct account *account, struct helper *ret,
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

/* It has read hostile trees: its words are taken as bytes, its blame only as far as it goes, and it
 * conceals nothing. */
static int take_error(const struct error *said, struct error *err)
{
	bool known = said->blame == BLAME_BUILD || said->blame == BLAME_PEER;
	int code = said->code > 0 && said->code <= 4095 ? said->code : EIO;

	(void)error_set(err, known ? said->blame : BLAME_HOST, code, "%.*s",
	                (int)sizeof(said->text), said->text);
	return error_hint(err, "%.*s", (int)sizeof(said->hint), said->hint);
}

int helper_finish(struct helper *helper, int timeout_ms, struct error *err)
{
	struct helper_result result;
	int r = fd_wait(helper->result_fd, POLLIN, timeout_ms);
	ssize_t n = r > 0 ? fd_read_some(helper->result_fd, &result, sizeof(result)) : 0;

	if (helper_done(helper) < 0 || r == 0)
		return error_set(err, BLAME_HOST, ETIMEDOUT, "a helper process took too long");
	if (n != sizeof(result))
		return error_set(err, BLAME_HOST, ECHILD, "a helper process died");
	return result.ok ? 0 : take_error(&result.error, err);
}

int helper_done(struct helper *helper)
{
	fd_closep(&helper->go_fd);
	return leash_end(&helper->pid, &helper->result_fd, 0, NULL) < 0 ? -ETIMEDOUT : 0;
}
