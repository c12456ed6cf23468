/* A small /etc: who one is, and where there is a network, how to find others. */
#include <errno.h>
#include <linux/mount.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buffer.h"
#include "view.h"

/* Names for the numbers that id(1) shows inside. */
static int write_accounts(const struct view *view)
{
	const struct sandbox_plan *plan = view->plan;
	const struct builder *builder = plan->request->builder;
	bool root = plan->account->root;
	const char *user = root ? "root" : plan->user_name;
	cleanup_(buffer_done) struct buffer passwd = { 0 }, group = { 0 };
	int r;

	r = buffer_printf(&passwd, "root:x:0:0:root:/build:%s\n",
	                  root ? "/bin/sh" : "/usr/sbin/nologin");
	if (r == 0 && !root)
		r = buffer_printf(&passwd, "%s:x:%u:%u:hatch build user:/build:/bin/sh\n", user,
		                  plan->account->uid, plan->account->gid);
	if (r == 0)
		r = buffer_printf(&passwd, "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n");
	if (r == 0)
		r = buffer_printf(&group, "root:x:0:\n");
	if (r == 0 && !root)
		r = buffer_printf(&group, "%s:x:%u:\n", plan->request->config->build_group,
		                  plan->account->gid);
	if (r == 0)
		r = buffer_printf(&group, "nogroup:x:65534:\n");
	for (size_t i = 0; r == 0 && i < builder->n_groups; i++)
		r = buffer_printf(&group, "%s:x:%u:%s\n", builder->group_names[i],
		                  builder->groups[i], user);
	if (r == 0)
		r = view_make_file(view->root_fd, "etc/passwd", passwd.data);
	if (r == 0)
		r = view_make_file(view->root_fd, "etc/group", group.data);
	return r;
}

/* A file of the host in the place of whatever has its name: in another root that may be a link,
 * also one that leads nowhere. */
static int put_file(struct view *view, const char *path, struct error *err)
{
	int r;

	if (access(path, F_OK) < 0)
		return 0;
	r = view_remove_file(view->root_fd, path + 1);
	if (r < 0 && r != -EISDIR)
		return error_errno(err, BLAME_HOST, -r, "cannot make %s in the sandbox", path);
	return view_bind(view, path, ATTR_READ_ONLY, err);
}

static int write_own_files(struct view *view, bool network)
{
	int r = view_make_directory(view->root_fd, "etc");

	if (r == 0)
		r = write_accounts(view);
	if (r == 0)
		r = view_make_file(view->root_fd, "etc/nsswitch.conf",
		                   network ? "passwd: files\ngroup: files\nhosts: files dns\n"
		                           : "passwd: files\ngroup: files\nhosts: files\n");
	if (r == 0 && !network)
		r = view_make_file(view->root_fd, "etc/hosts",
		                   "127.0.0.1 localhost hatch\n::1 localhost hatch\n");
	return r;
}

int view_add_etc(struct view *view, struct error *err)
{
	static const char *const always[] = { "/etc/alternatives", "/etc/ld.so.cache",
		                              "/etc/ld.so.conf", "/etc/ld.so.conf.d" };
	/* Where the network is, not what the programs of a root need to use it. */
	static const char *const resolver[] = { "/etc/resolv.conf", "/etc/hosts" };
	static const char *const networked[] = {
		"/etc/services", "/etc/protocols", "/etc/gai.conf",        "/etc/ssl",
		"/etc/pki",      "/etc/static",    "/etc/ca-certificates",
	};
	bool network = view->plan->request->builder->network_host;
	bool system = !view_has_own_root(view);
	int r = write_own_files(view, network);

	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot write /etc of the sandbox");
	for (size_t i = 0; r == 0 && system && i < ARRAY_SIZE(always); i++)
		r = put_file(view, always[i], err);
	for (size_t i = 0; r == 0 && network && i < ARRAY_SIZE(resolver); i++)
		r = put_file(view, resolver[i], err);
	for (size_t i = 0; r == 0 && system && network && i < ARRAY_SIZE(networked); i++)
		r = put_file(view, networked[i], err);
	return r;
}
