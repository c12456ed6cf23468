/*
 * From a pool account and a builder's definition to the ids that a request runs under; and the pool
 * of one's own, for the unprivileged mode.
 */
#pragma once

#include "hatchd/config/config.h"
#include "hatchd/sandbox/privilege.h"
#include "hatchd/sandbox/userns.h"
#include "lib/base/error.h"

/* An account whose list of groups is its own. Not to be moved once it has a user namespace: the
 * accounts point into it. */
struct build_account {
	struct account account; /* as the host sees it */
	struct account builder; /* the same one as the builder sees it, and what it may do there */
	struct account packer, cleaner;
	gid_t *groups; /* what account.groups points to */
	struct id_maps maps;
	struct user_ns ns;
};

#define cleanup_build_account cleanup_(build_account_done)

/* A struct build_account without anything. */
#define BUILD_ACCOUNT_NONE         \
	{                          \
		.ns = USER_NS_NONE \
	}

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

/*
 * build_account_enter - make the user namespace that the definition asks for, if any
 *
 * Afterwards account->builder is who the builder becomes; packer and cleaner, who they do: where a
 * range of ids is in use, root of the same namespace, or they could neither read nor remove what
 * the builder gave to other ids. With the monitor's capabilities; unprivileged, nothing is made,
 * and the maps are for the sandbox's own namespace. range_first  of the slot's ids, for a builder
 * with a range Errors       BLAME_HOST, as user_ns_make()
 */
int build_account_enter(struct build_account *account, const struct builder *builder,
                        uint32_t range_first, struct error *err);

/* build_account_enter_left - the same to remove what a request with a range left */
int build_account_enter_left(struct build_account *account, uint32_t range_first,
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
