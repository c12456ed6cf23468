/*
 * A directory for tests whose whole path is trusted: a tmpfs of a private mount namespace for root
 * (all of /tmp is not), a directory in /tmp for everybody else, whose own files are trusted.
 */
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

static char place_dir[64];
static uid_t place_owner; /* 0, or our own uid */

/* Returns false if root may not have a mount namespace here. */
static inline bool place_make(void)
{
	place_owner = geteuid();
	(void)umask(0);
	if (place_owner != 0) {
		strcpy(place_dir, "/tmp/hatch-test-XXXXXX");
		return mkdtemp(place_dir) != NULL && chmod(place_dir, 0755) == 0;
	}
	strcpy(place_dir, "/mnt");
	return unshare(CLONE_NEWNS) == 0 &&
	       mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("tmpfs", place_dir, "tmpfs", 0, "mode=0755,size=16m") == 0;
}

/* The tmpfs goes with its namespace. */
static inline void place_remove(void)
{
	char command[128];

	if (place_owner == 0)
		return;
	(void)snprintf(command, sizeof(command), "rm -rf %s", place_dir);
	if (system(command) != 0)
		fprintf(stderr, "cannot remove %s\n", place_dir);
}

/* A path in the place, in one of a few buffers that are used in turn. */
static inline const char *at(const char *name)
{
	static char buffers[8][512];
	static unsigned next;
	char *buf = buffers[next++ % 8];

	(void)snprintf(buf, sizeof(buffers[0]), "%s/%s", place_dir, name);
	return buf;
}

static inline void must(bool done, const char *what)
{
	if (done)
		return;
	perror(what);
	abort();
}

static inline void make_dir(const char *name, mode_t mode)
{
	must(mkdir(at(name), mode) == 0 && chmod(at(name), mode) == 0, name);
}

static inline void make_file(const char *name, mode_t mode, const char *text)
{
	cleanup_fd int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	must(fd >= 0 && fd_write_full(fd, text, strlen(text)) == 0 && fchmod(fd, mode) == 0, name);
}

static inline void make_link(const char *name, const char *target)
{
	must(symlink(target, at(name)) == 0, name);
}

static inline void give_to(const char *name, uid_t uid)
{
	must(lchown(at(name), uid, (gid_t)-1) == 0, name);
}
