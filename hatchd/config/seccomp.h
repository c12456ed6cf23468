/*
 * What a definition says about the builder's system calls ("seccomp").
 * Source: hatch-builder(5), docs/security.md "System calls"
 */
#pragma once

#include <stdbool.h>

/* What widens the default. Each group alone, or any of them together. */
enum seccomp_group {
	SECCOMP_DEBUG = 1 << 0,    /* looking into other processes of the request */
	SECCOMP_IO_URING = 1 << 1, /* a way around every rule about arguments */
	SECCOMP_USERNS = 1 << 2,   /* namespaces of its own, and mounts in them */
	SECCOMP_I386 = 1 << 3,     /* programs of 32-bit x86, on x86-64 */
	SECCOMP_OWNERS = 1 << 4,   /* set-id files and chroot: no key, a range of ids brings it */
};

enum { SECCOMP_COMBINATIONS = 1 << 5 };

/* All zero: the default. */
struct seccomp {
	bool none;       /* no filter of ours at all */
	unsigned groups; /* of enum seccomp_group; 0 with none */
};

/* seccomp_group_name - "@debug", ...; bit is one of enum seccomp_group */
const char *seccomp_group_name(unsigned bit);
