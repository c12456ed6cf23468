/*
 * The scratch directory of one request: everything a builder writes is in here, on disk or on a
 * tmpfs of its own, below a directory that only root can enter.
 *
 *   upper    root:build group 01775   the new part of the store
 *   work     0700                     the overlay's own
 *   outputs  root:build group 01775   /build/outputs: outputs that are no store paths
 *   inputs   0755 of the build user   /build/inputs; only if there may be any
 *   build    0700 of the build user   /build
 *   tmp      01777                    /tmp
 *   root     0700                     where the view's root is mounted while it is made
 *   tops     0700 of the build user   the tops of overlays on disk; only if there are any
 *   works    0700                     what those overlays need beside them
 */
#pragma once

#include "hatchd/sandbox/privilege.h"
#include "lib/base/cleanup.h"
#include "lib/base/error.h"
#include "pool.h"
#include "quota.h"

struct scratch {
	char name[SCRATCH_NAME_LEN + 1];
	int parent_fd; /* borrowed */
	int place_fd;  /* on tmpfs: the directory on disk, where the sandbox mounts it; else -1 */
	int dir_fd;    /* what holds the others; on tmpfs a mount that is nowhere */
	int upper_fd, work_fd, outputs_fd, build_fd, tmp_fd, root_fd;
	int inputs_fd;         /* -1: the builder takes none */
	int tops_fd, works_fd; /* -1: the builder has no overlay on disk */
};

/* A struct scratch without anything open. */
#define SCRATCH_NONE                                                                           \
	{                                                                                      \
		.place_fd = -1, .dir_fd = -1, .upper_fd = -1, .work_fd = -1, .outputs_fd = -1, \
		.build_fd = -1, .tmp_fd = -1, .root_fd = -1, .inputs_fd = -1, .tops_fd = -1,   \
		.works_fd = -1                                                                 \
	}

/* What a request's scratch is to be. */
struct scratch_plan {
	enum scratch_way way; /* what holds its limit */
	uint64_t bytes;       /* that limit */
	uint32_t project;     /* with SCRATCH_QUOTA */
	bool tops;            /* also what overlays on disk need */
	bool inputs;          /* also what the client's trees need */
};

#define cleanup_scratch cleanup_(scratch_done)

/* scratch_choose_name - random, so that no builder can guess it and no old one comes back; 0 or
 * -errno */
int scratch_choose_name(char ret[SCRATCH_NAME_LEN + 1]);

/*
 * scratch_create - make parent_fd/name with everything in it
 *
 * On tmpfs the directory stays empty: the file system is mounted nowhere but in the sandbox, lives
 * as long as somebody has it open, and leaves nothing behind. Errors  BLAME_HOST, what the file
 * system says
 */
int scratch_create(int parent_fd, const char *name, const struct account *account,
                   const struct scratch_plan *plan, struct scratch *ret, struct error *err);

/* scratch_is_full - has the builder no room left, as far as a file system holds the limit? */
bool scratch_is_full(const struct scratch *scratch);

/*
 * scratch_open_left - open of the scratch of an instance that died what scratch_clear() takes
 *
 * Needs CAP_DAC_OVERRIDE, for what is the build user's alone. What cannot be opened is left to
 * scratch_remove(), to remove or to name.
 * Returns  true, and *ret to be released; false, there is none
 */
bool scratch_open_left(int parent_fd, const char *name, struct scratch *ret);

/* scratch_done - close the descriptors; the directory stays */
void scratch_done(struct scratch *scratch);

/*
 * scratch_clear - remove what the builder made, as the builder, so that no privilege ever touches
 * its inodes
 *
 * Called in a process that has become the build user.
 */
int scratch_clear(struct scratch *scratch, struct error *err);

/*
 * scratch_remove - remove what is left of parent_fd/name after scratch_clear()
 *
 * Needs no capability: the builder's own directories are empty, and removed without being opened.
 * Errors  BLAME_HOST, naming what stays; the caller keeps the name for the next instance
 */
int scratch_remove(int parent_fd, const char *name, struct error *err);
