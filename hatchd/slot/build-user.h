/*
 * From a pool account and a builder's definition to the ids that a request runs under; and the pool
 * of one's own, for the unprivileged mode.
 */
#pragma once

#include "hatchd/config/config.h"
#include "hatchd/sandbox/privilege.h"
#include "lib/base/error.h"

/* An account whose list of groups is its own. */
struct build_account {
	struct account account;
	gid_t *groups; /* what account.groups points to */
};

/*
 * build_account_make - the user's own supplementary groups and those of the builder, each once
 *
 * user    one of config->users, or a pseudo user of self_users_make(); looked up here if need be,
 *         so this comes before any namespace
 * Errors  as config_resolve_user(); -ENOMEM
 */
int build_account_make(struct config *config, const struct build_user *user,
                       const struct builder *builder, bool privileged, struct build_account *ret,
                       struct error *err);
void build_account_done(struct build_account *account);

/* How many requests one user may run at once in unprivileged mode. */
enum { SELF_USERS = 4 };

/* Slots that are all the calling user: NAME-1, NAME-2, ... */
struct self_users {
	struct build_user users[SELF_USERS];
	size_t n_users;
};

int self_users_make(struct self_users *ret, struct error *err);
void self_users_done(struct self_users *self);
