/*
 * Who a process is and what it may: the steps by which each of hatchd's processes loses what it
 * does not need. Every step is verified; none can be taken back.
 * Source: capabilities(7), credentials(7), docs/security.md "Privileges"
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/error.h"

/* An account as numbers. With change false (unprivileged mode) the process stays who it is. */
struct account {
	uid_t uid; /* outside of any user namespace */
	gid_t gid;
	const gid_t *groups; /* supplementary; borrowed */
	size_t n_groups;
	bool change;

	const int *user_ns_fd; /* entered before anything else; borrowed. NULL: none */
	bool root;             /* uid and gid are 0 inside of the user namespace */
	uint64_t keep; /* as its root: capabilities over it that stay, bits of CAP_...; each one
	                  reaches only what belongs to ids of its map */
};

#define CAP_BIT(cap) (UINT64_C(1) << (cap))

/*
 * privilege_keep_needed - from whatever root may to the seven capabilities the monitor needs
 *
 * Also empties the bounding, inheritable and ambient sets for all children, and sets no_new_privs.
 * Errors  BLAME_HOST -EPERM one of them is missing (named)
 */
int privilege_keep_needed(struct error *err);

/* privilege_drop_all - no capability is left, for ever; the uid stays */
int privilege_drop_all(struct error *err);

/* privilege_keep - of the capabilities one has no other than these are left, for ever */
int privilege_keep(uint64_t keep, struct error *err);

/*
 * privilege_become - become the account, for ever
 *
 * The user namespace if there is one; setgroups, setresgid, setresuid, in this order; then checks
 * that each took and that uid 0 cannot be had back; no capabilities, in none of the five sets, but
 * those of account->keep; no_new_privs; not dumpable; dies with its parent (both of the last are
 * undone by the change of uid, so they come after it).
 */
int privilege_become(const struct account *account, struct error *err);

/* privilege_die_with_parent - SIGKILL when the parent ends; parent is its pid as this process sees
 * it (0 across a pid namespace: then the caller has another way to notice) */
int privilege_die_with_parent(pid_t parent, struct error *err);

/* privilege_die_after - SIGKILL after so many seconds, which nothing that the process does can put
 * off once it may not make calls on timers */
int privilege_die_after(unsigned seconds, struct error *err);

/* privilege_limit_memory - to what it has now and so many bytes more (RLIMIT_DATA), or to the limit
 * that holds already if that is less; for ever */
int privilege_limit_memory(uint64_t bytes, struct error *err);

/* fds_close_except - close every descriptor from 3 up that is not in keep (sorted here, in place;
 * -1 is skipped) */
int fds_close_except(int *keep, size_t n_keep, struct error *err);
