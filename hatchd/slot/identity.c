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
	enum { ALWAYS, WITH_RANGE, WITH_NAMESPACES } when;
} capabilities[] = {
	{ CAP_CHOWN, ALWAYS },
	{ CAP_DAC_OVERRIDE, ALWAYS },
	{ CAP_FOWNER, ALWAYS },
	{ CAP_FSETID, ALWAYS },
	{ CAP_KILL, WITH_RANGE },
	{ CAP_SETGID, WITH_RANGE },
	{ CAP_SETUID, WITH_RANGE },
	{ CAP_SYS_CHROOT, WITH_RANGE },
	/* to be root in a nested one too, the kernel asks for this one (user_namespaces(7)) */
	{ CAP_SETFCAP, WITH_NAMESPACES },
};

static uint64_t builder_capabilities(const struct builder *builder)
{
	const bool holds[] = {
		[ALWAYS] = true,
		[WITH_RANGE] = builder->uid_map == UID_MAP_RANGE,
		[WITH_NAMESPACES] = builder->allow_userns,
	};
	uint64_t keep = 0;

	for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++)
		if (holds[capabilities[i].when])
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

/* Where the filter lets a builder make user namespaces, one around it says how many. */
static bool needs_user_ns(const struct builder *builder)
{
	return builder->uid_map != UID_MAP_SELF || builder->allow_userns || builder->seccomp.none ||
	       (builder->seccomp.groups & SECCOMP_USERNS);
}

int build_account_enter(struct build_account *account, const struct builder *builder,
                        uint32_t range_first, struct error *err)
{
	enum uid_map kind = builder->uid_map;
	bool own = needs_user_ns(builder);
	unsigned with = (builder->allow_userns ? WITH_NESTED : 0) |
	                (builder->time_namespace ? WITH_TIME : 0);
	int r = make_maps(account, kind, range_first, err);

	if (r == 0 && account->account.change && (own || builder->time_namespace))
		r = user_ns_make(&account->maps, with, &account->ns, err);
	if (r < 0)
		return r;
	account->builder = account->packer = account->cleaner = account->account;
	if (kind != UID_MAP_SELF)
		account->builder = root_inside(account, builder_capabilities(builder));
	else if (own && account->ns.user_fd >= 0)
		account->builder.user_ns_fd = &account->ns.user_fd;
	if (kind == UID_MAP_RANGE)
		enter_helpers(account);
	return 0;
}

int build_account_enter_left(struct build_account *account, uint32_t range_first, struct error *err)
{
	int r = make_maps(account, UID_MAP_RANGE, range_first, err);

	if (r == 0)
		r = user_ns_make(&account->maps, 0, &account->ns, err);
	if (r == 0)
		enter_helpers(account);
	return r;
}
