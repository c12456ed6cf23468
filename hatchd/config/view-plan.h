/*
 * What a builder's view is made of, as a list in the order in which it is made: what the sandbox
 * makes, and what `hatchctl explain` prints. Made from configuration alone; the host is not looked
 * at.
 */
#pragma once

#include "config.h"

enum view_kind {
	VIEW_READ,    /* the host's source, read-only */
	VIEW_WRITE,   /* the host's source */
	VIEW_TMPFS,   /* empty, size bytes, the builder's own */
	VIEW_DEVICE,  /* a device of the host */
	VIEW_HIDE,    /* an empty place that cannot be opened, over what is there */
	VIEW_OVERLAY, /* the layers of place->lower, the first on top */

	VIEW_SYSTEM, /* like VIEW_READ; but a symlink is made again, and what is missing left out */
	VIEW_HOST,   /* the directories of the host's "/", without users' and services' own */
	VIEW_FILE,   /* the same, in the place of a file that another root may have there */
	VIEW_STORE,  /* the store, with a layer of the request's own on top */
	VIEW_DEV,    /* what every builder has in /dev beside devices */
	VIEW_PROC,   /* a new one */
	VIEW_ETC,    /* accounts and names, written for the request */
	VIEW_SCRATCH,     /* a directory of the request's own, on disk */
	VIEW_FREEZE,      /* what is there already, read-only from here on */
	VIEW_DIRECTORY,   /* an empty one, in the read-only root */
	VIEW_LINK,        /* a symlink to source */
	VIEW_CREDENTIALS, /* those that the definition names, in memory */
	VIEW_INPUTS,      /* what came with the request, and what of the store it names */
};

struct view_row {
	enum view_kind kind;
	const char *at;     /* in the view; absolute, not "/" */
	const char *source; /* or NULL; of VIEW_SCRATCH: which part of it */
	bool optional;      /* left out where the source is missing */
	uint64_t size;
	const struct place *place; /* of the definition; NULL: every builder has it */
};

struct view_plan {
	struct view_row *rows;
	size_t n_rows;
};

#define cleanup_view_plan cleanup_(view_plan_done)

/* view_plan_make - the texts in it are those of config and builder, or static. 0 or -ENOMEM */
int view_plan_make(const struct config *config, const struct builder *builder,
                   struct view_plan *ret);
void view_plan_done(struct view_plan *plan);

/* view_host_lacks - is an entry of the host's "/", or what is in it, left out of VIEW_HOST? */
bool view_host_lacks(const struct config *config, const char *path);

/* view_row_attributes - MOUNT_ATTR_* of what is mounted there; 0: it is no mount of its own, but a
 * part of the root */
uint64_t view_row_attributes(const struct view_row *row);

/* view_kind_name - one word for people and programs: "read", "overlay", ... */
const char *view_kind_name(enum view_kind kind);
