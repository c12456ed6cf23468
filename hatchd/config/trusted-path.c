/*
 * Walks a path as the kernel would, but one component at a time and with a look at who could have
 * put it there. The walk is physical: ".." opens the parent of the directory that was opened.
 */
#include "trusted-path.h"

#include <elf.h>
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
	const struct trusted_view *view; /* NULL: the host as it is */
	struct trusted_root root;
	int dir_fd;           /* the directory reached, O_PATH */
	char goal[PATH_MAX];  /* where the path leads at first, for messages */
	char shown[PATH_MAX]; /* the path of the view that is walked, since the last link */
	size_t shown_len;     /* of its end, whose links lead to what the view has */
	char seen[PATH_MAX];  /* the directory's name, for messages */
	char rest[PATH_MAX];  /* components still to go */
	unsigned n_links;
};

/* The tree that everything on the machine is in. */
static const struct trusted_root host_root = { .fd = AT_FDCWD, .name = "" };

static void walk_done(struct walk *walk)
{
	fd_closep(&walk->dir_fd);
}

static int fail(const struct walk *walk, int code, const char *what, struct error *err)
{
	if (strcmp(walk->goal, walk->seen) == 0)
		return error_set(err, BLAME_HOST, code, "%s %s", walk->seen, what);
	return error_set(err, BLAME_HOST, code, "%s, on the way to %s, %s", walk->seen, walk->goal,
	                 what);
}

/* What mends it; but whose directory it is needs it as it is. */
static void hint_command(const struct walk *walk, bool needed, const char *command,
                         struct error *err)
{
	if (needed)
		(void)error_hint(err, "it is not there for hatch alone: choose another path, whose "
		                      "directories belong to root and nobody else can write to");
	else
		(void)error_hint(err, "look at what it says; if it is right: %s '%s'", command,
		                 walk->seen);
}

static bool is_anybodys(const struct walk *walk)
{
	return walk->root.sealed || walk->owner_uid == OWNER_ANYBODY;
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
		hint_command(walk, S_ISDIR(st->st_mode), "chown -h root:root", err);
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
	hint_command(walk, S_ISDIR(st->st_mode) && st->st_mode & S_ISVTX, "chmod go-w", err);
	return -EPERM;
}

static int go_to_root(struct walk *walk, struct error *err)
{
	const struct trusted_root *root = &walk->root;
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

static int fail_too_long(const struct walk *walk, struct error *err)
{
	return error_set(err, BLAME_HOST, ENAMETOOLONG, "%.64s... is too long", walk->path);
}

/* Begin to walk a path of the view, or of the host: at the root of the tree that it is in. */
static int enter(struct walk *walk, const char *path, struct error *err)
{
	struct trusted_place place = { .root = host_root, .source = "" };
	int r = walk->view ? walk->view->find(walk->view->data, path, &place, err) : 0;

	if (r < 0)
		return r;
	walk->root = place.root;
	walk->shown_len = strlen(path) - place.at_len;
	if ((size_t)snprintf(walk->shown, sizeof(walk->shown), "%s", path) >= sizeof(walk->shown) ||
	    (size_t)snprintf(walk->rest, sizeof(walk->rest), "%s%s", place.source,
	                     path + place.at_len) >= sizeof(walk->rest))
		return fail_too_long(walk, err);
	if (!walk->goal[0])
		(void)snprintf(walk->goal, sizeof(walk->goal), "%s%s", walk->root.name, walk->rest);
	return go_to_root(walk, err);
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

	if (slash && strlen(walk->seen) > strlen(walk->root.name))
		slash[slash == walk->seen ? 1 : 0] = '\0';
}

/* Cut the last name off a path; but ".." is none. */
static bool cut_name(char *path)
{
	char *slash = strrchr(path, '/');

	if (!slash || strcmp(slash, "/..") == 0)
		return false;
	*slash = '\0';
	return true;
}

/* The path of the view that a link there leads to. Returns false if it is too long. */
static bool aim(const struct walk *walk, const char *target, char ret[PATH_MAX])
{
	size_t len = strlen(walk->shown) - strlen(walk->rest);
	char base[PATH_MAX] = "";

	if (target[0] != '/') {
		(void)snprintf(base, sizeof(base), "%.*s", (int)len, walk->shown);
		(void)cut_name(base);
	}
	/* What is in front of it is no link, so that the name before ".." is as good as its parent.
	 */
	while (strncmp(target, "../", 3) == 0 && cut_name(base))
		target += 3;
	return (size_t)snprintf(ret, PATH_MAX, "%s/%s%s", base, target + strspn(target, "/"),
	                        walk->rest) < PATH_MAX;
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
	if (walk->view && strlen(walk->rest) < walk->shown_len)
		return aim(walk, target, rest) ? enter(walk, rest, err) : fail_too_long(walk, err);
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

	return walk->root.fd != AT_FDCWD &&
	       (fstat(walk->root.fd, &root) < 0 || fstat(walk->dir_fd, &here) < 0 ||
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
	r = enter(walk, walk->path, err);
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

int trusted_file(const char *path, uid_t owner_uid, int *ret_fd, struct error *err)
{
	cleanup_(walk_done) struct walk walk = { path, owner_uid, .dir_fd = -1 };
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
	cleanup_(walk_done) struct walk walk = { path, owner_uid, .dir_fd = -1 };
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

/* The interpreter that the first line of a script names, and what follows it. */
static int parse_first_line(const char *line, char ret[INTERPRETER_LINE_MAX])
{
	const char *start = line + 2 + strspn(line + 2, " \t");
	size_t n = strcspn(start, " \t\n");

	/* The kernel does not run what it cannot see the end of. */
	if (n == 0 || start + n == line + INTERPRETER_LINE_MAX)
		return -ENOEXEC;
	(void)snprintf(ret, INTERPRETER_LINE_MAX, "%.*s", (int)n, start);
	return 1;
}

/* The loader that a program of 64 bits names. What is odd about it the kernel says when it is to
 * run. */
static int read_loader(int fd, const Elf64_Ehdr *head, char ret[INTERPRETER_LINE_MAX])
{
	for (unsigned i = 0; i < head->e_phnum; i++) {
		off_t at = (off_t)(head->e_phoff + (uint64_t)i * sizeof(Elf64_Phdr));
		Elf64_Phdr part;

		if (pread(fd, &part, sizeof(part), at) != sizeof(part))
			return 0;
		if (part.p_type != PT_INTERP)
			continue;
		if (part.p_filesz == 0 || part.p_filesz > INTERPRETER_LINE_MAX ||
		    pread(fd, ret, part.p_filesz, (off_t)part.p_offset) != (ssize_t)part.p_filesz)
			return 0;
		return memchr(ret, '\0', part.p_filesz) != NULL;
	}
	return 0;
}

static bool is_loadable(const Elf64_Ehdr *head)
{
	return memcmp(head->e_ident, ELFMAG, SELFMAG) == 0 &&
	       head->e_ident[EI_CLASS] == ELFCLASS64 && head->e_phentsize == sizeof(Elf64_Phdr);
}

/* What starts the program in fd: of a script what its first line says, else a loader of shared
 * libraries. Returns 1 and ret, 0 none, or -ENOEXEC. */
static int read_interpreter(int fd, char ret[INTERPRETER_LINE_MAX])
{
	union {
		char line[INTERPRETER_LINE_MAX + 1];
		Elf64_Ehdr head;
	} start = { 0 };
	ssize_t len = fd_read_some(fd, start.line, INTERPRETER_LINE_MAX);

	if (len < 0)
		return (int)len;
	if (len >= 2 && memcmp(start.line, "#!", 2) == 0)
		return parse_first_line(start.line, ret);
	return len >= (ssize_t)sizeof(start.head) && is_loadable(&start.head)
	               ? read_loader(fd, &start.head, ret)
	               : 0;
}

/* One program. Returns 1 and the path of its interpreter, 0 if it needs none. */
static int check_program(const struct trusted_view *view, const char *path, uid_t owner_uid,
                         int *ret_fd, struct stat *ret, char ret_interpreter[INTERPRETER_LINE_MAX],
                         struct error *err)
{
	cleanup_(walk_done) struct walk walk = { path, owner_uid, view, .dir_fd = -1 };
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
		return error_errno(err, BLAME_HOST, -r, "cannot read %s", walk.goal);
	*ret_fd = take_fd(&path_fd);
	return r;
}

/* A program is at fault for what it needs. */
static int fail_interpreter(const char *program, struct error *err)
{
	const struct error why = *err;

	(void)error_set(err, why.blame, why.code, "the interpreter of %s: %s", program, why.text);
	return why.hint[0] ? error_hint(err, "%s", why.hint) : -why.code;
}

int trusted_program_in(const struct trusted_view *view, const char *path, uid_t owner_uid,
                       int *ret_fd, struct stat *ret, struct error *err)
{
	char interpreter[INTERPRETER_LINE_MAX], next[INTERPRETER_LINE_MAX] = "";
	cleanup_fd int program_fd = -1;
	struct stat program;
	int r;

	r = check_program(view, path, owner_uid, &program_fd, &program, interpreter, err);
	if (r < 0)
		return r;
	for (unsigned n = 0; r > 0; n++) {
		cleanup_fd int fd = -1;
		struct stat st;

		if (n == TRUSTED_INTERPRETERS_MAX)
			return error_set(err, BLAME_HOST, ELOOP,
			                 "%s needs more than %d interpreters of interpreters", path,
			                 TRUSTED_INTERPRETERS_MAX);
		if (interpreter[0] != '/')
			return error_set(err, BLAME_HOST, EPERM,
			                 "the program %s has the interpreter %s, which depends on "
			                 "the directory it is started in",
			                 path, interpreter);
		r = check_program(view, interpreter, owner_uid, &fd, &st, next, err);
		if (r < 0)
			return err ? fail_interpreter(path, err) : r;
		memcpy(interpreter, next, sizeof(interpreter));
	}
	if (ret)
		*ret = program;
	*ret_fd = take_fd(&program_fd);
	return 0;
}

int trusted_program(const char *path, uid_t owner_uid, int *ret_fd, struct stat *ret,
                    struct error *err)
{
	return trusted_program_in(NULL, path, owner_uid, ret_fd, ret, err);
}
