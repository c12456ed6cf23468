/*
 * The devices of one request: opened once, so that what is checked, allowed and shown is the same
 * inode, and allowed in the device controller of the request's cgroup, beside the few that every
 * builder has. There the kernel looks at every open and every making of a node, wherever it stands.
 * Source: the kernel's admin-guide/cgroup-v2, "Device controller"
 */
#pragma once

#include <sys/types.h>

#include "hatchd/config/config.h"
#include "lib/base/cleanup.h"
#include "lib/base/error.h"

struct device {
	const struct place *place; /* of the definition; borrowed */
	int fd;                    /* O_PATH */
	bool block;
	dev_t number;
};

struct devices {
	struct device items[VIEW_DEVICES_MAX];
	size_t n_items; /* without those that are missing and optional */
};

#define cleanup_devices cleanup_(devices_done)

/* devices_open - open what the definition names; links are followed, this once. Errors: BLAME_HOST
 * -ENODEV it is no device, what open(2) says */
int devices_open(const struct builder *builder, struct devices *ret, struct error *err);
void devices_done(struct devices *devices);

/* devices_find - the device of a place of the definition; NULL: it was missing */
const struct device *devices_find(const struct devices *devices, const struct place *place);

/*
 * devices_confine - nothing in the cgroup opens or makes any other device
 *
 * Needs CAP_SYS_ADMIN or CAP_BPF and CAP_NET_ADMIN. It holds until the cgroup is gone. What is
 * above in the tree can only forbid more.
 * Returns  0, or a negative errno: -ENOSYS and others that devices_can_confine() finds too
 */
int devices_confine(const struct devices *devices, int cgroup_fd);

/* devices_can_confine - does this kernel let us? */
bool devices_can_confine(void);
