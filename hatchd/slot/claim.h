/*
 * What lock files and tickets say: who holds or awaits something, since when, and what was made for
 * it. One text for all, lines of a key and a value, ended by "end":
 *
 *   scratch 0123456789abcdef             a slot's: what its holder made, to be cleared after it
 *   cgroup /sys/fs/cgroup/...
 *   range 1879048192                     first of the 65536 ids that some of it may belong to
 *   request 5f0c9d31e2a47b86             who: from here on for people, and for the queue's order
 *   builder vivado
 *   uid 30001
 *   derivation <hash>-<name>.drv         only if one is verified
 *   pid 1234                             of the monitor, in its own pid namespace
 *   since 1763840000                     CLOCK_REALTIME, seconds
 *   need vivado-seat 1                   for each resource
 *   round 7 first                        a ticket's: see fair.h
 *   end
 *
 * A file is written once, while it is empty, with one write of less than a page: so who reads
 * meanwhile sees nothing of it, or all.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	SCRATCH_NAME_LEN = 16, /* hexadecimal digits, random */
	CGROUP_PATH_MAX = 1024,
	CLAIM_NAME_MAX = 64,
	CLAIM_DERIVATION_MAX = 255,
	CLAIM_NEEDS_MAX = 8,
	CLAIM_TEXT_MAX = 4095, /* without the NUL */
};

/* So many units of a resource. */
struct units {
	char name[CLAIM_NAME_MAX + 1];
	uint64_t count;
};

/* Who asks, and for what. */
struct claim {
	char request[SCRATCH_NAME_LEN + 1]; /* empty: nothing is known */
	char builder[CLAIM_NAME_MAX + 1];
	uid_t uid;                                 /* of the peer */
	char derivation[CLAIM_DERIVATION_MAX + 1]; /* or empty */
	pid_t pid;
	int64_t since;
	struct units needs[CLAIM_NEEDS_MAX];
	size_t n_needs;

	/* of a ticket */
	uint64_t round;
	bool first; /* of its caller, when it was taken */
};

/* What the content of a slot's lock says that its holder made. */
struct slot_record {
	char scratch[SCRATCH_NAME_LEN + 1]; /* empty: nothing */
	char cgroup[CGROUP_PATH_MAX];       /* absolute below /sys/fs/cgroup, or empty */
	uint32_t range_first;               /* of the ids of a range, 0: none */
	struct claim claim;
};

/*
 * claim_print - the text of a record; what is empty in it is left out
 *
 * Characters that would not fit into a line are escaped.
 * Returns  its length, or -EINVAL if there is a value that claim_parse() would not take
 */
int claim_print(const struct slot_record *record, char ret[CLAIM_TEXT_MAX + 1]);

/* claim_parse - read it back, strictly; the text is taken apart. What follows "end" is not looked
 * at: a holder that was killed may not have cut what was there before. 0, or -EBADMSG */
int claim_parse(char *text, struct slot_record *ret);

/* claim_same_caller - do both come from the same derivation, or without one the same user? */
bool claim_same_caller(const struct claim *a, const struct claim *b);
