/* Where each input of a request comes from: a store path that is the caller's own, what lies inside
 * of one, or the client itself. */
#pragma once

#include <stdint.h>

#include "request.h"

/* Of zeros: none. */
struct inputs {
	/* of input i of the request: O_PATH of what it is in the host's store, open until the
	 * request ends, which keeps it from being collected; -1: the client sends it */
	int store_fds[RECORD_INPUTS_MAX];
	size_t n, n_bound;
};

#define cleanup_inputs cleanup_(inputs_done)

/*
 * inputs_find - which of them need not be sent: what the Nix build that asks has in its own store
 *
 * With the capabilities by which the peer was identified.
 * Errors  as store_open_input()
 */
int inputs_find(const struct request *request, struct inputs *ret, struct error *err);
void inputs_done(struct inputs *inputs);

/* inputs_is_sent - does the client send input i? */
static inline bool inputs_is_sent(const struct inputs *inputs, size_t i)
{
	return inputs->store_fds[i] < 0;
}
