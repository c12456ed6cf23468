/*
 * Files that nobody but root could have written: each component of the path is opened beneath the
 * one before, and what is checked is what was opened. So nothing can be swapped between the look
 * and the use.
 *
 * A component is trusted if it belongs to root and neither group nor others may write to it. One
 * exception: a directory of root with the sticky bit that a group may write to (the Nix store is
 * root:nixbld 1775), because there nobody can replace what belongs to somebody else, and what is
 * found in it is checked next. Symbolic links are followed, component by component (all of
 * /etc is links into the store on NixOS), if the link belongs to root.
 *
 * owner_uid, in all of them: whose files are trusted besides root's. 0: nobody's. With another uid,
 * directories like /tmp (sticky, all may write) pass too: who runs without root trusts his own
 * files, wherever they are. OWNER_ANYBODY: whoever wrote it, which is for looking at what is
 * nobody's configuration yet.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "lib/base/cleanup.h"
#include "lib/base/error.h"

#define OWNER_ANYBODY ((uid_t)-1)

enum {
	TRUSTED_LINKS_MAX = 40,       /* symbolic links on the way; as the kernel */
	TRUSTED_INTERPRETERS_MAX = 4, /* of scripts, each the interpreter of the one before */
};

/*
 * trusted_file - open a regular file for reading
 *
 * path    absolute
 * Errors  BLAME_HOST: -EPERM a component that others could have written, with the command that
 * mends it; -ENOENT, -ENOTDIR, -ELOOP too many links, -EINVAL not absolute or no regular file,
 *         -ENAMETOOLONG, what open(2) says
 */
int trusted_file(const char *path, uid_t owner_uid, int *ret_fd, struct error *err);

/* trusted_directory - the same for a directory; *ret_fd is O_PATH */
int trusted_directory(const char *path, uid_t owner_uid, int *ret_fd, struct error *err);

/*
 * trusted_program - the same for a program, and what starts it: the interpreter of a script (and
 * its interpreter), the loader of shared libraries
 *
 * ret_fd  O_PATH
 * ret     what fstat(2) says of it; may be NULL
 * Errors  -ENOENT it or an interpreter is missing, -EACCES no regular file or nobody may execute
 * it, -EPERM as above, -ELOOP too many interpreters
 */
int trusted_program(const char *path, uid_t owner_uid, int *ret_fd, struct stat *ret,
                    struct error *err);

/* A tree of files. */
struct trusted_root {
	int fd;           /* the directory that is "/"; links and ".." do not lead out of it */
	const char *name; /* before a path of it, for messages */
	bool sealed; /* nobody can write what is in it, whoever it belongs to: an image that was
	                checked as a whole */
};

/* Where a path of a view is: in another tree, below another name. */
struct trusted_place {
	struct trusted_root root;
	size_t at_len;      /* so many bytes of the path ... */
	const char *source; /* ... are this one there. Links on the way to it are that tree's;
	                       behind it they lead to what the view has */
};

/* What is made of several trees. */
struct trusted_view {
	/* Where it has a path; a negative errno with err set if it has no such path. */
	int (*find)(const void *data, const char *path, struct trusted_place *ret,
	            struct error *err);
	const void *data;
};

/* trusted_program_in - the same for a path of a view; so are links followed, and the interpreters
 * looked for. view NULL: the host as it is */
int trusted_program_in(const struct trusted_view *view, const char *path, uid_t owner_uid,
                       int *ret_fd, struct stat *ret, struct error *err);
