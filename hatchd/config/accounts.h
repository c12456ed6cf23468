/*
 * Users and groups by name. The only look-ups of names in hatchd, all of them before any
 * namespace is entered: a name service may load libraries, which must be the host's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "config.h"
#include "lib/base/error.h"

/* The group of Nix's own build users. An account of both pools would be two builds at once. */
#define NIX_BUILD_GROUP "nixbld"

/* Ids that mean nobody: no mapping in the user namespace (overflowuid), (uid_t)-2, no id at all. */
bool id_is_nobody(uid_t id);

/* account_find_user, account_find_group - 1 and the ids, 0 there is none, or a negative errno
 * (BLAME_HOST, the name service does not answer) */
int account_find_user(const char *name, uid_t *ret_uid, gid_t *ret_gid, struct error *err);
int account_find_group(const char *name, gid_t *ret_gid, struct error *err);

/* account_has_login - is its shell one that people work with, and not nologin(8) or false(1)? An
 * empty one is sh(1). 1, 0 also if there is no such user, or a negative errno. Source: passwd(5) */
int account_has_login(const char *name, struct error *err);

/* account_list_members - names in the group's entry; 1 and *ret (NULL-terminated; strv_free()), 0
 * no such group, or a negative errno */
int account_list_members(const char *group, gid_t *ret_gid, char ***ret, struct error *err);

/* account_list_groups - groups of the user without gid, by group number as the name service orders
 * them; *ret is malloc()ed */
int account_list_groups(const char *user, gid_t gid, gid_t **ret, size_t *ret_n, struct error *err);

struct reading;

/* check_accounts - of hatchd.json: look up the accounts that it names, and whether requests can run
 * under them and be kept apart from everybody else; offline only their names. users.c */
int check_accounts(struct reading *in, struct config *config);
