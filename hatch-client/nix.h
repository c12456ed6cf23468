/* What a Nix build tells the programs in it: outputs, attributes, where its log is. */
#pragma once

#include <stdbool.h>

#include "lib/base/error.h"
#include "lib/wire/message.h"

/* nix_is_build - does a real build run us, no nix-shell or nix develop? */
bool nix_is_build(void);

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

/* nix_is_store_path - /nix/store/<hash>-<name>, nothing below */
bool nix_is_store_path(const char *path);

/* nix_log_fd - where Nix reads the log of this build; -1: there is none */
int nix_log_fd(void);
