/*
 * What a builder may call, as programs for the kernel. They are made when hatch is built: a request
 * would pay for it at each start.
 * Source: seccomp(2), docs/security.md "System calls"
 */
#pragma once

#include "hatchd/config/seccomp.h"

/*
 * Two filters, loaded in this order. Of two errnos the kernel returns that of the filter that was
 * loaded last, so what is refused for a reason says the reason.
 */
enum builder_filter {
	BUILDER_KNOWN,   /* calls that hatch knows; every other one is ENOSYS */
	BUILDER_REFUSED, /* what is refused of these, wholly or with some arguments */
};

/*
 * builder_filter_export - write a filter as an array of struct sock_filter
 *
 * groups   of enum seccomp_group; only SECCOMP_I386 changes BUILDER_KNOWN
 * fd       borrowed
 * Returns  0 or a negative errno, as of libseccomp
 */
int builder_filter_export(enum builder_filter filter, unsigned groups, int fd);
