/* A small /etc: who one is, and where there is a network, how to find others. */
#include <errno.h>
#include <linux/mount.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buffer.h"
#include "network.h"
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

static int write_hosts(const struct view *view)
{
	const char *name = builder_host_name(view->plan->request->builder);
	cleanup_(buffer_done) struct buffer hosts = { 0 };
	int r = buffer_printf(&hosts, "127.0.0.1 localhost %s\n::1 localhost %s\n", name, name);

	return r < 0 ? r : view_make_file(view->root_fd, "etc/hosts", hosts.data);
}

int view_add_etc(struct view *view, const struct view_row *row, struct error *err)
{
	const struct network *wanted = &view->plan->request->builder->network;
	bool network = network_has_names(wanted);
	int r = view_make_directory(view->root_fd, row->at + 1);

	if (r == 0)
		r = write_accounts(view);
	if (r == 0)
		r = view_make_file(view->root_fd, "etc/nsswitch.conf",
		                   network ? "passwd: files\ngroup: files\nhosts: files dns\n"
		                           : "passwd: files\ngroup: files\nhosts: files\n");
	if (r == 0 && !network)
		r = write_hosts(view);
	if (r == 0 && network && wanted->kind == NETWORK_PRIVATE)
		r = view_make_file(view->root_fd, "etc/resolv.conf",
		                   "nameserver " PASTA_DNS_IPV4 "\nnameserver " PASTA_DNS_IPV6
		                   "\n");
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot write /etc of the sandbox");
	return 0;
}
