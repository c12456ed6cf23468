/* A small /etc: who one is, and where there is a network, how to find others. */
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
	cleanup_(buffer_done) struct buffer passwd = { 0 }, group = { 0 };
	int r;

	r = buffer_printf(&passwd,
	                  "root:x:0:0:root:/build:/usr/sbin/nologin\n"
	                  "%s:x:%u:%u:hatch build user:/build:/bin/sh\n"
	                  "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
	                  plan->user_name, plan->account->uid, plan->account->gid);
	if (r == 0)
		r = buffer_printf(&group, "root:x:0:\n%s:x:%u:\nnogroup:x:65534:\n",
		                  plan->request->config->build_group, plan->account->gid);
	for (size_t i = 0; r == 0 && i < builder->n_groups; i++)
		r = buffer_printf(&group, "%s:x:%u:%s\n", builder->group_names[i],
		                  builder->groups[i], plan->user_name);
	if (r == 0)
		r = view_make_file(view->root_fd, "etc/passwd", passwd.data);
	if (r == 0)
		r = view_make_file(view->root_fd, "etc/group", group.data);
	return r;
}

int view_add_etc(struct view *view, struct error *err)
{
	static const char *const always[] = { "/etc/alternatives", "/etc/ld.so.cache",
		                              "/etc/ld.so.conf", "/etc/ld.so.conf.d" };
	static const char *const networked[] = {
		"/etc/resolv.conf", "/etc/hosts",           "/etc/services",
		"/etc/protocols",   "/etc/gai.conf",        "/etc/ssl",
		"/etc/pki",         "/etc/ca-certificates", "/etc/static",
	};
	bool network = view->plan->request->builder->network_host;
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
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot write /etc of the sandbox");
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(always); i++)
		if (access(always[i], F_OK) == 0)
			r = view_bind(view, always[i], ATTR_READ_ONLY, err);
	for (size_t i = 0; r == 0 && network && i < ARRAY_SIZE(networked); i++)
		if (access(networked[i], F_OK) == 0)
			r = view_bind(view, networked[i], ATTR_READ_ONLY, err);
	return r;
}
