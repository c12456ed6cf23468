/*
 * The groups of keys of a definition, each read by a file of its own. For builder.c, which puts
 * them together. Every reader is one for a row of struct member, and its object is a struct
 * builder.
 */
#pragma once

#include "read.h"

enum { TMPFS_SIZE_MIN = 4096 };

#define TMPFS_SIZE_MAX (UINT64_C(16) << 40)

/* words.c */
int read_command(struct reading *in, const struct value *value, const struct member *row,
                 void *object);
int read_args(struct reading *in, const struct value *value, const struct member *row,
              void *object);
int read_environment(struct reading *in, const struct value *value, const struct member *row,
                     void *object);

/* read_variables - a list of "NAME=value" for environment.set; what is set already stays */
int read_variables(struct reading *in, const struct value *value, const struct member *row,
                   void *object);

/* allow.c */
int read_allow(struct reading *in, const struct value *value, const struct member *row,
               void *object);

/* identity.c */
int read_joined_groups(struct reading *in, const struct value *value, const struct member *row,
                       void *object);
int read_uid_map(struct reading *in, const struct value *value, const struct member *row,
                 void *object);

/* network.c */
int read_network(struct reading *in, const struct value *value, const struct member *row,
                 void *object);

/* view.c */
int read_view(struct reading *in, const struct value *value, const struct member *row,
              void *object);

/* root.c */
int read_root(struct reading *in, const struct value *value, const struct member *row,
              void *object);
/* place.c: may a place of this kind stand there, and show that? at: the text that names it */
int check_at(struct reading *in, const struct value *at, enum place_kind kind);
int check_source(struct reading *in, const struct value *source);
int fill_overlay(struct reading *in, const struct value *item, struct place *place); /* overlay.c */
void place_done(struct place *place);

/* seccomp.c */
int read_seccomp(struct reading *in, const struct value *value, const struct member *row,
                 void *object);

/* credentials.c */
int read_credentials(struct reading *in, const struct value *value, const struct member *row,
                     void *object);

/* hooks.c; the row's offset is that of a struct hook */
int read_hook(struct reading *in, const struct value *value, const struct member *row,
              void *object);

/* resources.c; the object of the first is a struct config */
int read_resources_defined(struct reading *in, const struct value *value, const struct member *row,
                           void *object);
int read_resources_taken(struct reading *in, const struct value *value, const struct member *row,
                         void *object);

/* limits.c */
extern const struct limits default_limits;
int read_limits(struct reading *in, const struct value *value, const struct member *row,
                void *object);

int read_scratch_on(struct reading *in, const struct value *value, const struct member *row,
                    void *object);

/* read_named_rlimit - {"soft": ..., "hard": ...} for the one that name, such as RLIMIT_NOFILE,
 * says; what is set already stays */
int read_named_rlimit(struct reading *in, const struct value *name, const struct value *value,
                      struct builder *builder);

/* words.c */
int read_undeclared_references(struct reading *in, const struct value *value,
                               const struct member *row, void *object);

/* keep.c */
int read_keep_failed(struct reading *in, const struct value *value, const struct member *row,
                     void *object);

/* What can only be said once the whole definition is read. The first error, or 0. */

/* check_args - what "max" or "dash" keep from ever being asked; words.c */
int check_args(struct reading *in, struct builder *builder);

/* check_allow - one who is let in by nothing; allow.c */
int check_allow(struct reading *in, struct builder *builder);

/* check_scan - nothing to be looked for; credentials.c */
int check_scan(struct reading *in, struct builder *builder);

/* check_variables_once - a variable that is set and accepted would have two values; words.c */
int check_variables_once(struct reading *in, struct builder *builder);

/* check_uid_map - a range needs ids, and a place where all that has them is removed. Also sets the
 * groups of system calls that "uid_map" and "allow_userns" bring; identity.c */
int check_uid_map(struct reading *in, struct builder *builder);

/* check_places - sorts them, what holds others before them; refuses what contradicts itself;
 * place.c */
int check_places(struct reading *in, struct builder *builder);

/* check_limits - those that contradict each other; limits.c */
int check_limits(struct reading *in, struct builder *builder);

/* check_command - there is one, or a bundle to say it; words.c */
int check_command(struct reading *in, struct builder *builder);

/* root_set_readonly - true or false, unless it was said already; root.c */
int root_set_readonly(struct reading *in, const struct value *value, struct builder *builder);

/* check_root - none beside what contradicts it; root.c */
int check_root(struct reading *in, struct builder *builder);

/* check_base - another root is no base; view.c */
int check_base(struct reading *in, struct builder *builder);

/* file_kind_name - of what a mode is, for sentences: "a directory"; place.c */
const char *file_kind_name(mode_t mode);

/* --- paths that a definition may not name (place.c) --- */

enum {
	RESERVED_BELOW = 1,  /* also what is inside of it is refused */
	RESERVED_AROUND = 2, /* and what holds it */
	RESERVED_USES = 4, /* from this bit on the reader says for which of its uses a row holds */
};

struct reserved {
	const char *path, *why;
	unsigned rule;
};

/* check_reserved - refuse a path that meets one of them. use: 0, or what a row's rule must hold to
 * count */
int check_reserved(struct reading *in, const struct value *item, const struct reserved *rows,
                   size_t n_rows, unsigned use);
