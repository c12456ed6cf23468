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
int read_network(struct reading *in, const struct value *value, const struct member *row,
                 void *object);

/* view.c */
int read_view(struct reading *in, const struct value *value, const struct member *row,
              void *object);

/* limits.c */
extern const struct limits default_limits;
int read_limits(struct reading *in, const struct value *value, const struct member *row,
                void *object);

/* What can only be said once the whole definition is read. The first error, or 0. */

/* check_variables_once - a variable that is set and accepted would have two values; words.c */
int check_variables_once(struct reading *in, struct builder *builder);

/* check_binds - sorts them; a path that is there twice is refused; view.c */
int check_binds(struct reading *in, struct builder *builder);
