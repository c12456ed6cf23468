/*
 * Walks a path as the kernel would, but one component at a time and with a look at who could have
 * put it there. The walk is physical: ".." opens the parent of the directory that was opened.
 */
#include "trusted-path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fd.h"

enum {
	INTERPRETER_LINE_MAX = 256, /* BINPRM_BUF_SIZE: what the kernel reads of a script */
};

/* Where the walk stands. */
struct walk {
	const char *path; /* as asked for */
	uid_t owner_uid;
	const struct trusted_root *root;
	int dir_fd;          /* the directory reached, O_PATH */
	char seen[PATH_MAX]; /* its name, for messages */
	char rest[PATH_MAX]; /* components still to go */
	unsigned n_links;
};

static void walk_done(struct walk *walk)
{
	fd_closep(&walk->dir_fd);
}

static int fail(const struct walk *walk, int code, const char *what, struct error *err)
{
	if (strcmp(walk->path, walk->seen + strlen(walk->root->name)) == 0)
		return error_set(err, BLAME_HOST, code, "%s %s", walk->seen, what);
	return error_set(err, BLAME_HOST, code, "%s, on the way to %s%s, %s", walk->seen,
	                 walk->root->name, walk->path, what);
}

static bool is_anybodys(const struct walk *walk)
{
	return walk->root->sealed || walk->owner_uid == OWNER_ANYBODY;
}

static int check_owner(const struct walk *walk, const struct stat *st, struct error *err)
{
	char what[64];

	if (is_anybodys(walk) || st->st_uid == 0 || st->st_uid == walk->owner_uid)
		return 0;
	(void)snprintf(what, sizeof(what), "belongs to uid %u, not to root", st->st_uid);
	(void)fail(walk, EPERM, what, err);
	if (st->st_uid == geteuid())
		(void)error_hint(err, "that is you: --unprivileged believes your own files, the "
		                      "service only root's");
	else
		(void)error_hint(err,
		                 "look at what it says; if it is right: chown -h root:root '%s'",
		                 walk->seen);
	return -EPERM;
}

static bool may_others_add(const struct walk *walk, const struct stat *st)
{
	bool all = walk->owner_uid != 0 || !(st->st_mode & S_IWOTH);

	return S_ISDIR(st->st_mode) && (st->st_mode & S_ISVTX) && st->st_uid == 0 && all;
}

/* is_last: the path ends here, so nothing below is checked that could make up for a sticky bit. */
static int check_mode(const struct walk *walk, const struct stat *st, bool is_last,
                      struct error *err)
{
	char what[64];

	if (is_anybodys(walk) || !(st->st_mode & (S_IWGRP | S_IWOTH)) ||
	    (!is_last && may_others_add(walk, st)))
		return 0;
	(void)snprintf(what, sizeof(what), "can be written by %s (mode %04o)",
	               st->st_mode & S_IWOTH ? "everybody" : "its group", st->st_mode & 07777);
	(void)fail(walk, EPERM, what, err);
	(void)error_hint(err, "look at what it says; if it is right: chmod go-w '%s'", walk->seen);
	return -EPERM;
}

static int go_to_root(struct walk *walk, struct error *err)
{
	const struct trusted_root *root = walk->root;
	struct stat st;

	fd_closep(&walk->dir_fd);
	(void)snprintf(walk->seen, sizeof(walk->seen), "%s", root->name[0] ? root->name : "/");
	walk->dir_fd = openat(root->fd, root->fd == AT_FDCWD ? "/" : ".",
	                      O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (walk->dir_fd < 0 || fstat(walk->dir_fd, &st) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot open %s", walk->seen);
	if (check_owner(walk, &st, err) < 0)
		return -EPERM;
	return check_mode(walk, &st, false, err);
}

/* Cut the first component off walk->rest. Returns false when there is none. */
static bool next_component(struct walk *walk, char ret[NAME_MAX + 2])
{
	const char *start = walk->rest + strspn(walk->rest, "/");
	size_t len = strcspn(start, "/");

	/* One byte too much, if it must be, so that openat(2) says ENAMETOOLONG. */
	(void)snprintf(ret, NAME_MAX + 2, "%.*s", (int)len, start);
	memmove(walk->rest, start + len, strlen(start + len) + 1);
	return len > 0;
}

static bool is_last(const struct walk *walk)
{
	return walk->rest[strspn(walk->rest, "/")] == '\0';
}

/* Add a component to the name for messages. Links make it longer than a path may be: then its
 * beginning is what is lost. */
static void see(struct walk *walk, const char *name)
{
	char longer[PATH_MAX + NAME_MAX + 2];
	const char *start = longer;
	int len = snprintf(longer, sizeof(longer), "%s/%s",
	                   strcmp(walk->seen, "/") == 0 ? "" : walk->seen, name);

	if (len >= PATH_MAX)
		start += len - (PATH_MAX - 1);
	memmove(walk->seen, start, strlen(start) + 1);
}

static void unsee(struct walk *walk)
{
	char *slash = strrchr(walk->seen, '/');

	if (slash && strlen(walk->seen) > strlen(walk->root->name))
		slash[slash == walk->seen ? 1 : 0] = '\0';
}

static int follow_link(struct walk *walk, int link_fd, struct error *err)
{
	char target[PATH_MAX], rest[PATH_MAX];
	ssize_t len = readlinkat(link_fd, "", target, sizeof(target) - 1);

	if (len < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot read the link %s", walk->seen);
	target[len] = '\0';
	if (++walk->n_links > TRUSTED_LINKS_MAX)
		return fail(walk, ELOOP, "is one symbolic link too many", err);
	if ((size_t)snprintf(rest, sizeof(rest), "%s/%s", target, walk->rest) >= sizeof(rest))
		return fail(walk, ENAMETOOLONG, "makes the path too long", err);
	memcpy(walk->rest, rest, strlen(rest) + 1);
	unsee(walk);
	return target[0] == '/' ? go_to_root(walk, err) : 0;
}

/* One step: *ret_fd is what was found, if it is the end of the path; -1 if the walk goes on. */
static int step(struct walk *walk, const char *name, int *ret_fd, struct error *err)
{
	cleanup_fd int fd = -1;
	struct stat st;
	int r;

	see(walk, name);
	fd = openat(walk->dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return fail(walk, errno, "does not exist", err);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot open %s", walk->seen);

	r = check_owner(walk, &st, err);
	if (r < 0)
		return r;
	if (S_ISLNK(st.st_mode))
		return follow_link(walk, fd, err);

	r = check_mode(walk, &st, is_last(walk), err);
	if (r < 0)
		return r;
	if (is_last(walk)) {
		*ret_fd = take_fd(&fd);
		return 0;
	}
	if (!S_ISDIR(st.st_mode))
		return fail(walk, ENOTDIR, "is no directory", err);
	fd_closep(&walk->dir_fd);
	walk->dir_fd = take_fd(&fd);
	return 0;
}

/* The kernel knows where the host's tree ends; where another one does must be known here. */
static bool is_at_root(const struct walk *walk)
{
	struct stat root, here;

	return walk->root->fd != AT_FDCWD &&
	       (fstat(walk->root->fd, &root) < 0 || fstat(walk->dir_fd, &here) < 0 ||
	        (root.st_dev == here.st_dev && root.st_ino == here.st_ino));
}

/* ".." of a directory that was opened: its parent was opened before, or is an ancestor of one. */
static int step_up(struct walk *walk, struct error *err)
{
	cleanup_fd int fd = -1;

	if (is_at_root(walk))
		return 0;
	fd = openat(walk->dir_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot open %s/..", walk->seen);
	unsee(walk);
	fd_closep(&walk->dir_fd);
	walk->dir_fd = take_fd(&fd);
	return 0;
}

/* Open path, O_PATH. walk->dir_fd is then the directory that holds it, name its name there. */
static int walk_to(struct walk *walk, char name[NAME_MAX + 2], int *ret_fd, struct stat *ret,
                   struct error *err)
{
	cleanup_fd int fd = -1;
	bool ended_above = false;
	int r;

	if (walk->path[0] != '/')
		return error_set(err, BLAME_HOST, EINVAL, "%s is not an absolute path", walk->path);
	if ((size_t)snprintf(walk->rest, sizeof(walk->rest), "%s", walk->path) >=
	    sizeof(walk->rest))
		return error_set(err, BLAME_HOST, ENAMETOOLONG, "%.64s... is too long", walk->path);
	r = go_to_root(walk, err);
	while (r >= 0 && fd < 0 && next_component(walk, name)) {
		if (strcmp(name, ".") == 0)
			continue;
		r = strcmp(name, "..") == 0 ? step_up(walk, err) : step(walk, name, &fd, err);
	}
	if (r < 0)
		return r;
	/* "/", or a path that ends in "." or "..": a directory, known already. */
	if (fd < 0) {
		memcpy(name, ".", 2);
		fd = openat(walk->dir_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
		ended_above = true;
	}
	if (fd < 0 || fstat(fd, ret) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot open %s", walk->seen);
	/* It was looked at as a place on the way, where a sticky bit is enough. */
	if (ended_above && check_mode(walk, ret, true, err) < 0)
		return -EPERM;
	*ret_fd = take_fd(&fd);
	return 0;
}

/* Open for reading what walk_to() found. The directory is trusted, so it is still the same. */
static int reopen(const struct walk *walk, const char *name, const struct stat *expected)
{
	cleanup_fd int fd = openat(walk->dir_fd, name,
	                           O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_dev != expected->st_dev || st.st_ino != expected->st_ino)
		return -ESTALE;
	return take_fd(&fd);
}

/* The tree that everything on the machine is in. */
static const struct trusted_root host_root = { .fd = AT_FDCWD, .name = "" };

int trusted_file(const char *path, uid_t owner_uid, int *ret_fd, struct error *err)
{
	cleanup_(walk_done) struct walk walk = { path, owner_uid, &host_root, .dir_fd = -1 };
	cleanup_fd int path_fd = -1;
	char name[NAME_MAX + 2];
	struct stat st;
	int r;

	r = walk_to(&walk, name, &path_fd, &st, err);
	if (r < 0)
		return r;
	if (!S_ISREG(st.st_mode))
		return fail(&walk, EINVAL, "is no regular file", err);
	r = reopen(&walk, name, &st);
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot read %s", path);
	*ret_fd = r;
	return 0;
}

int trusted_directory(const char *path, uid_t owner_uid, int *ret_fd, struct error *err)
{
	cleanup_(walk_done) struct walk walk = { path, owner_uid, &host_root, .dir_fd = -1 };
	cleanup_fd int fd = -1;
	char name[NAME_MAX + 2];
	struct stat st;
	int r;

	r = walk_to(&walk, name, &fd, &st, err);
	if (r < 0)
		return r;
	if (!S_ISDIR(st.st_mode))
		return fail(&walk, ENOTDIR, "is no directory", err);
	*ret_fd = take_fd(&fd);
	return 0;
}

/* The interpreter that the first line of fd names. Returns 1 and ret, 0 no script, or -ENOEXEC. */
static int read_interpreter(int fd, char ret[INTERPRETER_LINE_MAX])
{
	char line[INTERPRETER_LINE_MAX + 1];
	ssize_t len = fd_read_some(fd, line, INTERPRETER_LINE_MAX);
	const char *start;
	size_t n;

	if (len < 0)
		return (int)len;
	if (len < 2 || memcmp(line, "#!", 2) != 0)
		return 0;
	line[len] = '\0';
	start = line + 2 + strspn(line + 2, " \t");
	n = strcspn(start, " \t\n");
	/* The kernel does not run what it cannot see the end of. */
	if (n == 0 || start + n == line + INTERPRETER_LINE_MAX)
		return -ENOEXEC;
	(void)snprintf(ret, INTERPRETER_LINE_MAX, "%.*s", (int)n, start);
	return 1;
}

/* One program. Returns 1 and the path of its interpreter, 0 if it needs none. */
static int check_program(const struct trusted_root *root, const char *path, uid_t owner_uid,
                         int *ret_fd, struct stat *ret, char ret_interpreter[INTERPRETER_LINE_MAX],
                         struct error *err)
{
	cleanup_(walk_done) struct walk walk = { path, owner_uid, root, .dir_fd = -1 };
	cleanup_fd int path_fd = -1, fd = -1;
	char name[NAME_MAX + 2];
	int r;

	r = walk_to(&walk, name, &path_fd, ret, err);
	if (r == -ENOTDIR) {
		if (err)
			err->code = ENOENT;
		return -ENOENT;
	}
	if (r < 0)
		return r;
	if (!S_ISREG(ret->st_mode))
		return fail(&walk, EACCES, "is no regular file, so it cannot be executed", err);
	if (!(ret->st_mode & (S_IXUSR | S_IXGRP | S_IXOTH))) {
		(void)fail(&walk, EACCES, "cannot be executed: it has no x bit", err);
		(void)error_hint(err, "if it is meant to be: chmod a+x '%s'", walk.seen);
		return -EACCES;
	}
	fd = reopen(&walk, name, ret);
	/* Who may not read a program as root is served a binary, or a script that its interpreter
	 * cannot read either. */
	r = fd == -EACCES ? 0 : fd < 0 ? fd : read_interpreter(fd, ret_interpreter);
	if (r == -ENOEXEC)
		return fail(&walk, EACCES,
		            "has a #! line without an interpreter, or longer than "
		            "the kernel reads",
		            err);
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot read %s%s", root->name, path);
	*ret_fd = take_fd(&path_fd);
	return r;
}

int trusted_program_in(const struct trusted_root *root, const char *path, uid_t owner_uid,
                       int *ret_fd, struct stat *ret, struct error *err)
{
	char interpreter[INTERPRETER_LINE_MAX], next[INTERPRETER_LINE_MAX] = "";
	cleanup_fd int program_fd = -1;
	struct stat program;
	int r;

	r = check_program(root, path, owner_uid, &program_fd, &program, interpreter, err);
	for (unsigned n = 0; r > 0; n++) {
		cleanup_fd int fd = -1;
		struct stat st;

		if (n == TRUSTED_INTERPRETERS_MAX)
			return error_set(err, BLAME_HOST, ELOOP,
			                 "%s%s needs more than %d interpreters of interpreters",
			                 root->name, path, TRUSTED_INTERPRETERS_MAX);
		if (interpreter[0] != '/')
			return error_set(err, BLAME_HOST, EPERM,
			                 "the script %s%s has the interpreter %s, which depends on "
			                 "the directory it is started in",
			                 root->name, path, interpreter);
		r = check_program(root, interpreter, owner_uid, &fd, &st, next, err);
		memcpy(interpreter, next, sizeof(interpreter));
	}
	if (r < 0)
		return r;
	if (ret)
		*ret = program;
	*ret_fd = take_fd(&program_fd);
	return 0;
}

int trusted_program(const char *path, uid_t owner_uid, int *ret_fd, struct stat *ret,
                    struct error *err)
{
	return trusted_program_in(&host_root, path, owner_uid, ret_fd, ret, err);
}
