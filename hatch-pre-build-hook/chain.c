/* Running another hook, and printing behind it. What it is for is its own business. */
#include "chain.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/process.h"

enum {
	READ_LEN = 65536,
	EXIT_NO_PROGRAM = 127, /* as of a shell */
	EXIT_SIGNAL = 128,
};

__attribute__((noreturn)) static void run_child(const char *program, char **words, int out_fd)
{
	size_t n = 0;
	char **argv;

	while (words[n])
		n++;
	argv = calloc(n + 2, sizeof(*argv));
	if (!argv || dup2(out_fd, STDOUT_FILENO) < 0)
		_exit(EXIT_NO_PROGRAM);
	argv[0] = (char *)program;
	memcpy(argv + 1, words, n * sizeof(*words));
	(void)execv(program, argv);
	_exit(EXIT_NO_PROGRAM);
}

static int read_output(int fd, struct buffer *ret, struct error *err)
{
	for (;;) {
		ssize_t n;

		if (buffer_reserve(ret, READ_LEN) < 0)
			return error_set(err, BLAME_HOST, ENOMEM, "no memory");
		n = fd_read_some(fd, ret->data + ret->len, READ_LEN);
		if (n < 0)
			return error_errno(err, BLAME_HOST, (int)-n, "cannot read from the hook");
		if (n == 0)
			return 0;
		ret->len += (size_t)n;
		if (ret->len > CHAIN_OUTPUT_MAX)
			return error_set(err, BLAME_HOST, EFBIG,
			                 "the hook printed more than %d bytes", CHAIN_OUTPUT_MAX);
	}
}

static int await(pid_t pid)
{
	int status = process_wait(pid);

	if (status < 0)
		return EXIT_NO_PROGRAM;
	return WIFSIGNALED(status) ? EXIT_SIGNAL + WTERMSIG(status) : WEXITSTATUS(status);
}

int chain_run(const char *program, char **words, struct buffer *ret, struct error *err)
{
	cleanup_fd int fd = -1;
	pid_t pid = process_fork(&fd, err);
	int r, status;

	if (pid == 0)
		run_child(program, words, fd);
	if (pid < 0)
		return pid;
	r = read_output(fd, ret, err);
	/* Who goes on printing is ended by that. */
	fd_closep(&fd);
	status = await(pid);
	return r < 0 ? r : status;
}

static bool begins_list(const char *line, size_t len)
{
	static const char *const words[] = { "extra-sandbox-paths", "extra-chroot-dirs" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (len == strlen(words[i]) && memcmp(line, words[i], len) == 0)
			return true;
	return false;
}

int chain_append(struct buffer *output, const char *lines)
{
	bool in_list = false;
	size_t at = 0;

	while (at < output->len) {
		const char *line = output->data + at;
		const char *end = memchr(line, '\n', output->len - at);

		if (!end)
			break;
		in_list = in_list ? end > line : begins_list(line, (size_t)(end - line));
		at += (size_t)(end - line) + 1;
	}
	output->len = at;
	if (in_list && buffer_add(output, "\n", 1) < 0)
		return -ENOMEM;
	return buffer_add(output, lines, strlen(lines));
}
