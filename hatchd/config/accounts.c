/* getpwnam(3) and its kin with every way of failing told apart. */
#include "accounts.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>

#include "hatchd/request/peer.h"

bool id_is_nobody(uid_t id)
{
	return id == 65534 || id >= 4294967294;
}

/* What a look-up that found nothing has to say: 0 it is sure that there is nothing. The words for
 * it in getpwnam(3) are ENOENT, ESRCH, EBADF, EPERM "or others". */
static int not_found(const char *name, struct error *err)
{
	int code = errno;

	switch (code) {
	case 0:
	case ENOENT:
	case ESRCH:
	case EBADF:
	case EPERM:
		return 0;
	}
	(void)error_errno(err, BLAME_HOST, code, "the name service cannot look up %.64s", name);
	(void)error_hint(err, "try: getent passwd; getent group");
	return -code;
}

int account_find_user(const char *name, uid_t *ret_uid, gid_t *ret_gid, struct error *err)
{
	const struct passwd *user;

	errno = 0;
	user = getpwnam(name);
	if (!user)
		return not_found(name, err);
	*ret_uid = user->pw_uid;
	*ret_gid = user->pw_gid;
	return 1;
}

int account_has_login(const char *name, struct error *err)
{
	static const char *const closed[] = { "nologin", "false" };
	const struct passwd *user;
	const char *slash;

	errno = 0;
	user = getpwnam(name);
	if (!user)
		return not_found(name, err);
	slash = strrchr(user->pw_shell, '/');
	for (size_t i = 0; slash && i < ARRAY_SIZE(closed); i++)
		if (strcmp(slash + 1, closed[i]) == 0)
			return 0;
	return 1;
}

int account_find_group(const char *name, gid_t *ret_gid, struct error *err)
{
	const struct group *group;

	errno = 0;
	group = getgrnam(name);
	if (!group)
		return not_found(name, err);
	*ret_gid = group->gr_gid;
	return 1;
}

static char **copy_names(char *const *names)
{
	size_t n = 0;
	char **copy;

	while (names[n])
		n++;
	copy = calloc(n + 1, sizeof(*copy));
	for (size_t i = 0; copy && i < n; i++) {
		copy[i] = strdup(names[i]);
		if (!copy[i]) {
			strv_free(copy);
			return NULL;
		}
	}
	return copy;
}

int account_list_members(const char *group, gid_t *ret_gid, char ***ret, struct error *err)
{
	const struct group *found;

	errno = 0;
	found = getgrnam(group);
	if (!found)
		return not_found(group, err);
	*ret = copy_names(found->gr_mem);
	if (!*ret)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for the members of %.64s",
		                 group);
	*ret_gid = found->gr_gid;
	return 1;
}

static int fetch_groups(const char *user, gid_t gid, gid_t **ret, int *ret_n)
{
	cleanup_free gid_t *groups = NULL;
	int n = 32;

	for (;;) {
		int room = n;

		freep(&groups);
		groups = calloc((size_t)n, sizeof(*groups));
		if (!groups)
			return -ENOMEM;
		if (getgrouplist(user, gid, groups, &n) >= 0)
			break;
		/* n is how many there are; should it not have grown, nothing more helps. */
		if (n <= room || n > PEER_GROUPS_MAX)
			return -ERANGE;
	}
	*ret = take_ptr(&groups);
	*ret_n = n;
	return 0;
}

int account_list_groups(const char *user, gid_t gid, gid_t **ret, size_t *ret_n, struct error *err)
{
	gid_t *groups;
	size_t n_kept = 0;
	int n, r = fetch_groups(user, gid, &groups, &n);

	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot find out the groups of %.64s",
		                   user);
	for (int i = 0; i < n; i++)
		if (groups[i] != gid)
			groups[n_kept++] = groups[i];
	*ret = groups;
	*ret_n = n_kept;
	return 0;
}
