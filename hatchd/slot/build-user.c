/* Sets of group ids, and nothing privileged. */
#include "build-user.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

static void add_group(struct build_account *account, gid_t gid)
{
	if (gid == account->account.gid)
		return;
	for (size_t i = 0; i < account->account.n_groups; i++)
		if (account->groups[i] == gid)
			return;
	account->groups[account->account.n_groups++] = gid;
}

int build_account_make(struct config *config, const struct build_user *user,
                       const struct builder *builder, bool privileged, struct build_account *ret,
                       struct error *err)
{
	struct build_account account = {
		.account = { .uid = user->uid, .gid = user->gid, .change = privileged },
		.ns = USER_NS_NONE,
	};
	int r = privileged ? config_resolve_user(config, user, err) : 0;

	if (r < 0)
		return r;
	account.groups = calloc(user->n_groups + builder->n_groups + 1, sizeof(*account.groups));
	if (!account.groups)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for groups");
	for (size_t i = 0; i < user->n_groups; i++)
		add_group(&account, user->groups[i]);
	for (size_t i = 0; i < builder->n_groups; i++)
		add_group(&account, builder->groups[i]);
	account.account.groups = account.groups;
	*ret = account;
	return 0;
}

void build_account_done(struct build_account *account)
{
	free(account->groups);
	id_maps_done(&account->maps);
	user_ns_done(&account->ns);
	*account = (struct build_account)BUILD_ACCOUNT_NONE;
}

int self_users_make(struct self_users *ret, struct error *err)
{
	*ret = (struct self_users){ 0 };
	for (size_t i = 0; i < SELF_USERS; i++) {
		struct build_user *user = &ret->users[i];

		user->uid = getuid();
		user->gid = getgid();
		if (asprintf(&user->name, "self-%zu", i + 1) < 0) {
			user->name = NULL;
			self_users_done(ret);
			return error_set(err, BLAME_HOST, ENOMEM, "no memory for slots");
		}
		ret->n_users++;
	}
	return 0;
}

void self_users_done(struct self_users *self)
{
	for (size_t i = 0; i < self->n_users; i++)
		free(self->users[i].name);
	self->n_users = 0;
}
