/*
 * The tap: a process between the builder's streams and the speaker's, for builders whose log is not
 * passed on as it is. It leaves out secrets, also of what the builder says of itself, and keeps the
 * last of both streams together for who wants to know how a request failed. It runs as the build
 * user, which may know the secrets; the speaker, which has the connection, never does.
 *
 * What it does not change: every byte but those of secrets, their order in a stream, the limits on
 * log and silence (the speaker's, of what it is passed; a pulse tells it of bytes that are held
 * back), and how the streams end.
 */
#pragma once

#include "hatchd/speaker/speaker.h"
#include "helper.h"
#include "lib/scan/scan.h"

enum { TAP_TAIL_MAX = 64 * 1024 };

struct tap_plan {
	const struct scan *scan; /* NULL: nothing is left out */
	int tail_fd; /* -1: no tail is kept; else the last TAP_TAIL_MAX bytes of both streams, in
	                the order in which they came, are written there when both have ended.
	                Borrowed; complete, as far as there was room, once helper_finish() has
	                returned 0 */
};

/*
 * tap_start - fork the process; it works at once, until both streams end
 *
 * speaker  its ends of the streams are taken, and what the builder is to have instead is put
 *          in their place
 * ret      to be ended by tap_drain() and helper_finish(), once the builder is dead
 */
int tap_start(const struct tap_plan *plan, const struct account *account, struct speaker *speaker,
              struct helper *ret, struct error *err);

/* tap_drain - nobody alive may write to the streams any more: what is in them is all there is */
void tap_drain(const struct helper *tap);
