/* Which namespace, and who connects it; pasta.c starts the program. */
#include "network.h"

#include <errno.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "lib/base/cleanup.h"
#include "pasta.h"

static const struct network *wanted(const struct sandbox_plan *plan)
{
	return &plan->request->builder->network;
}

bool network_is_cloned(const struct sandbox_plan *plan)
{
	return wanted(plan)->kind == NETWORK_NONE ||
	       (wanted(plan)->kind == NETWORK_PRIVATE && !plan->account->change);
}

static struct pasta_plan pasta_plan(const struct sandbox_plan *plan)
{
	return (struct pasta_plan){
		.program = plan->request->config->pasta,
		.network = wanted(plan),
		.cgroup_fd = plan->cgroup_fd,
	};
}

/*
 * A network that belongs to a user namespace of pasta's own: there it is root, outside of it the
 * build user without any right. The builder is in another user namespace, or in none, and has no
 * right over either.
 */
static int make_private(const struct sandbox_plan *plan, struct sandbox *sandbox, int *ret_net_fd,
                        struct error *err)
{
	const struct id_request ids = { .kind = UID_MAP_ROOT,
		                        .uid = plan->account->uid,
		                        .gid = plan->account->gid };
	cleanup_(id_maps_done) struct id_maps maps = { 0 };
	cleanup_user_ns struct user_ns ns = USER_NS_NONE;
	const struct account account = {
		.uid = plan->account->uid,
		.gid = plan->account->gid,
		.change = true,
		.user_ns_fd = &ns.user_fd,
		.root = true,
		.keep = CAP_BIT(CAP_SYS_ADMIN) | CAP_BIT(CAP_NET_ADMIN) |
		        CAP_BIT(CAP_NET_BIND_SERVICE) | CAP_BIT(CAP_SETUID) | CAP_BIT(CAP_SETGID),
	};
	struct pasta_plan pasta = pasta_plan(plan);
	int r;

	if (id_maps_make(&ids, &maps) < 0)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for a map of ids");
	/* pasta shuts itself into further namespaces. */
	r = user_ns_make(&maps, WITH_NETWORK | WITH_NESTED, &ns, err);
	if (r < 0)
		return r;
	pasta.account = &account;
	pasta.net_fd = ns.net_fd;
	r = pasta_start(&pasta, &sandbox->pasta, err);
	if (r == 0)
		*ret_net_fd = take_fd(&ns.net_fd);
	return r;
}

int network_prepare(const struct sandbox_plan *plan, struct sandbox *sandbox, int *ret_net_fd,
                    struct error *err)
{
	*ret_net_fd = -1;
	if (wanted(plan)->kind == NETWORK_PRIVATE && plan->account->change)
		return make_private(plan, sandbox, ret_net_fd, err);
	return 0;
}

int network_connect(const struct sandbox_plan *plan, struct sandbox *sandbox, struct error *err)
{
	struct pasta_plan pasta = pasta_plan(plan);
	const struct account account = { .change = false };

	if (wanted(plan)->kind != NETWORK_PRIVATE || plan->account->change)
		return 0;
	pasta.account = &account;
	pasta.net_fd = -1;
	pasta.target = sandbox->pid;
	return pasta_start(&pasta, &sandbox->pasta, err);
}

static int bring_up_loopback(struct error *err)
{
	cleanup_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot bring up the loopback device");
	return 0;
}

int network_enter(const struct sandbox_plan *plan, int net_fd, struct error *err)
{
	int fd = net_fd >= 0 ? net_fd : plan->network_fd;

	if (wanted(plan)->kind == NETWORK_NONE)
		return bring_up_loopback(err);
	if (fd >= 0 && setns(fd, CLONE_NEWNET) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot enter the network namespace");
	return 0;
}
