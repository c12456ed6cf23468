/*
 * The groups of keys of a definition, each read by a file of its own. For builder.c, which puts
 * them together. Every reader is one for a row of struct member, and its object is a struct
 * builder.
 */
#pragma once

#include "read.h"

/* words.c */
int read_command(struct reading *in, const struct value *value, const struct member *row,
                 void *object);
int read_args(struct reading *in, const struct value *value, const struct member *row,
              void *object);
int read_environment(struct reading *in, const struct value *value, const struct member *row,
                     void *object);

/* allow.c */
int read_allow(struct reading *in, const struct value *value, const struct member *row,
               void *object);

/* identity.c */
int read_joined_groups(struct reading *in, const struct value *value, const struct member *row,
                       void *object);
int read_uid_map(struct reading *in, const struct value *value, const struct member *row,
                 void *object);
int read_network(struct reading *in, const struct value *value, const struct member *row,
                 void *object);

/* view.c */
int read_view(struct reading *in, const struct value *value, const struct member *row,
              void *object);

/* root.c */
int read_root(struct reading *in, const struct value *value, const struct member *row,
              void *object);

/* seccomp.c */
int read_seccomp(struct reading *in, const struct value *value, const struct member *row,
                 void *object);

/* limits.c */
extern const struct limits default_limits;
int read_limits(struct reading *in, const struct value *value, const struct member *row,
                void *object);

/* What can only be said once the whole definition is read. The first error, or 0. */

/* check_variables_once - a variable that is set and accepted would have two values; words.c */
int check_variables_once(struct reading *in, struct builder *builder);

/* check_uid_map - a range needs ids, and a place where all that has them is removed; identity.c */
int check_uid_map(struct reading *in, struct builder *builder);

/* check_binds - sorts them; a path that is there twice is refused; view.c */
int check_binds(struct reading *in, struct builder *builder);

/* --- paths that a definition may not name --- */

enum {
	PLACE_BELOW = 1,  /* also what is inside of it is refused */
	PLACE_AROUND = 2, /* and what holds it */
};

struct place {
	const char *path, *why;
	unsigned also;
};

/* is_below - is path inner the place outer, or inside of it? view.c */
bool is_below(const char *inner, const char *outer);

/* check_places - refuse a path that meets one of them; view.c */
int check_places(struct reading *in, const struct value *item, const struct place *places,
                 size_t n_places);
