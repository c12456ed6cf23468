/*
 * Who a builder, and who reads and removes what it leaves, is inside of a user namespace. In a file
 * apart from build-user.c, which others than the server use too.
 */
#include <errno.h>
#include <linux/capability.h>

#include "build-user.h"
#include "lib/base/cleanup.h"

/*
 * What root of a user namespace may do to what belongs to ids of its map. With one id that is to
 * read, write and remove what its own modes forbid; with a range also to be others, and to have a
 * root of its own.
 */
static const struct capability {
	unsigned cap;
	bool range_only;
} capabilities[] = {
	{ CAP_CHOWN, false },  { CAP_DAC_OVERRIDE, false }, { CAP_FOWNER, false },
	{ CAP_FSETID, false }, { CAP_KILL, true },          { CAP_SETGID, true },
	{ CAP_SETUID, true },  { CAP_SYS_CHROOT, true },
};

static uint64_t builder_capabilities(enum uid_map kind)
{
	uint64_t keep = 0;

	for (size_t i = 0; kind != UID_MAP_SELF && i < ARRAY_SIZE(capabilities); i++)
		if (kind == UID_MAP_RANGE || !capabilities[i].range_only)
			keep |= CAP_BIT(capabilities[i].cap);
	return keep;
}

static int make_maps(struct build_account *account, enum uid_map kind, uint32_t range_first,
                     struct error *err)
{
	const struct id_request request = {
		.kind = kind,
		.uid = account->account.uid,
		.gid = account->account.gid,
		.groups = account->groups,
		/* Without privilege over them groups cannot be mapped (user_namespaces(7)). */
		.n_groups = account->account.change ? account->account.n_groups : 0,
		.range_first = range_first,
	};

	if (id_maps_make(&request, &account->maps) < 0)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for a map of ids");
	return 0;
}

/* Root of the namespace, with these capabilities over it. */
static struct account root_inside(const struct build_account *account, uint64_t keep)
{
	struct account root = account->account;

	root.root = true;
	root.keep = keep;
	if (account->ns.user_fd >= 0)
		root.user_ns_fd = &account->ns.user_fd;
	return root;
}

static void enter_helpers(struct build_account *account)
{
	account->packer = root_inside(account, CAP_BIT(CAP_DAC_READ_SEARCH));
	account->cleaner = root_inside(account, CAP_BIT(CAP_DAC_OVERRIDE) | CAP_BIT(CAP_FOWNER));
}

int build_account_enter(struct build_account *account, const struct builder *builder,
                        uint32_t range_first, struct error *err)
{
	enum uid_map kind = builder->uid_map;
	int r = make_maps(account, kind, range_first, err);

	if (r == 0 && account->account.change && (kind != UID_MAP_SELF || builder->allow_userns))
		r = user_ns_make(&account->maps, builder->allow_userns ? 0 : WITH_NO_MORE,
		                 &account->ns, err);
	if (r < 0)
		return r;
	account->builder = account->packer = account->cleaner = account->account;
	if (kind != UID_MAP_SELF)
		account->builder = root_inside(account, builder_capabilities(kind));
	else if (account->ns.user_fd >= 0)
		account->builder.user_ns_fd = &account->ns.user_fd;
	if (kind == UID_MAP_RANGE)
		enter_helpers(account);
	return 0;
}

int build_account_enter_left(struct build_account *account, uint32_t range_first, struct error *err)
{
	int r = make_maps(account, UID_MAP_RANGE, range_first, err);

	if (r == 0)
		r = user_ns_make(&account->maps, WITH_NO_MORE, &account->ns, err);
	if (r == 0)
		enter_helpers(account);
	return r;
}
