/*
 * Copies a tree with lib/tree: one process packs, another unpacks, a pipe between them. What it
 * takes beside `cp -a` and two tars in a pipe is the price of our stream alone.
 *
 *     tree-copy FROM TO       copy
 *     tree-copy FROM          only pack, into nothing
 *     tree-copy FROM -        only pack, to stdout
 *     tree-copy - TO          only unpack, from stdin
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fd.h"
#include "lib/tree/pack.h"
#include "lib/tree/unpack.h"

static int write_to_fd(void *context, const void *bytes, size_t len, struct error *err)
{
	int *fd = context, r = *fd < 0 ? 0 : fd_write_full(*fd, bytes, len);

	return r < 0 ? error_errno(err, BLAME_HOST, -r, "cannot write the stream") : 0;
}

struct input {
	int fd;
	char *buf;
};

static ssize_t read_from_fd(void *context, const void **ret, struct error *err)
{
	struct input *input = context;
	ssize_t n = fd_read_some(input->fd, input->buf, TREE_CHUNK_MAX);

	*ret = input->buf;
	return n < 0 ? error_errno(err, BLAME_HOST, (int)-n, "cannot read the stream") : n;
}

/* Open the directory that holds path; *ret_name is its last component. */
static int open_parent(char *path, char **ret_name)
{
	cleanup_free char *copy = strdup(path);

	*ret_name = basename(path);
	return copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

static int report(const char *what, int r, const struct error *err, const struct tree_totals *t)
{
	if (r < 0)
		fprintf(stderr, "tree-copy: cannot %s: %s\n", what, err->text);
	else
		fprintf(stderr, "%s: %llu entries, %llu bytes, %s\n", what,
		        (unsigned long long)t->entries, (unsigned long long)t->bytes, t->sha256);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int pack(char *path, int fd)
{
	struct tree_sink sink = { .write = write_to_fd, .context = &fd };
	struct tree_totals totals;
	struct error err = { 0 };
	char *name;
	cleanup_fd int dir_fd = open_parent(path, &name);

	const struct tree_root root = { dir_fd, name, name };

	return report("pack", tree_pack(&root, NULL, NULL, &sink, &totals, &err), &err, &totals);
}

static int unpack(char *path, int fd)
{
	cleanup_free char *buf = malloc(TREE_CHUNK_MAX);
	struct input input = { .fd = fd, .buf = buf };
	struct tree_source source = { .read = read_from_fd, .context = &input };
	struct tree_totals totals;
	struct error err = { 0 };
	char *name;
	cleanup_fd int dir_fd = open_parent(path, &name);

	return report("unpack", tree_unpack(dir_fd, name, NULL, NULL, &source, &totals, &err), &err,
	              &totals);
}

static int copy(char *from, char *to)
{
	int fds[2], status, result;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return EXIT_FAILURE;
	(void)fcntl(fds[1], F_SETPIPE_SZ, TREE_CHUNK_MAX);
	pid = fork();
	if (pid < 0)
		return EXIT_FAILURE;
	if (pid == 0) {
		(void)close(fds[0]);
		_exit(pack(from, fds[1]));
	}
	(void)close(fds[1]);
	result = unpack(to, fds[0]);
	(void)close(fds[0]);
	if (waitpid(pid, &status, 0) < 0 || status != 0)
		return EXIT_FAILURE;
	return result;
}

int main(int argc, char **argv)
{
	if (argc == 2)
		return pack(argv[1], -1);
	if (argc == 3 && strcmp(argv[1], "-") == 0)
		return unpack(argv[2], STDIN_FILENO);
	if (argc == 3 && strcmp(argv[2], "-") == 0)
		return pack(argv[1], STDOUT_FILENO);
	if (argc == 3)
		return copy(argv[1], argv[2]);
	fprintf(stderr, "usage: tree-copy FROM|- [TO|-]\n");
	return EXIT_FAILURE;
}
