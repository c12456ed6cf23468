/* What a Nix build tells the programs in it: outputs, attributes, where its log is. */
#pragma once

#include <stdbool.h>

#include "lib/base/error.h"
#include "lib/wire/message.h"

/* nix_is_build - does a real build run us, no nix-shell or nix develop? By the environment: what
 * only tells where things are asks this; what protects somebody asks the next two */
bool nix_is_build(void);

/*
 * nix_find_sandbox - are we in a sandbox of Nix, or in a namespace made in one? The mount table
 * says it, which a phase cannot clear as it may clear its environment
 *
 * Returns  1, 0, or BLAME_HOST: what reading it said
 */
int nix_find_sandbox(struct error *err);

/* nix_may_read - may what we write become the log of a build? Also where that cannot be told */
bool nix_may_read(void);

/*
 * nix_read_derivation - what the derivation asks for, as a request
 *
 * With structured attributes: "outputs" and "hatch" of $NIX_ATTRS_JSON_FILE, or, where that is not
 * there (Nix 2.8 names a path of the host), of $NIX_BUILD_TOP/.attrs.json. Else: the variables
 * "outputs" (none: "out") and those it names.
 *
 * Errors  BLAME_PEER -EBADMSG, -EINVAL; BLAME_HOST what reading the file said; a hint
 */
int nix_read_derivation(struct message *ret, struct error *err);

/* nix_is_store_path - /nix/store/<hash>-<name>, nothing inside; nix_is_in_store - that, or what
 * path_is_inner() takes behind it */
bool nix_is_store_path(const char *path);
bool nix_is_in_store(const char *path);

/* nix_log_fd - where Nix reads the log of this build; -1: there is none. To be asked before
 * anything else is opened: a number that nobody has open yet may be our own file next. No socket is
 * a log */
int nix_log_fd(void);
