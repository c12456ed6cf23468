/* What is told of a request that did not succeed, and the exit status of it. */
#pragma once

#include <stdint.h>

#include "lib/base/error.h"
#include "lib/wire/message.h"

enum {
	EXIT_STATUS_TIMED_OUT = 124,
	EXIT_STATUS_FAILED = 125,
	EXIT_STATUS_CANNOT_RUN = 126,
	EXIT_STATUS_NOT_FOUND = 127,
	EXIT_STATUS_SIGNAL = 128, /* plus its number */
};

/*
 * verdict_refused - the server's "error"
 *
 * id       of the request; empty: the server has not named it
 * Returns  an exit status, with what the server said in err
 */
int verdict_refused(const struct message *end, const char *id, struct error *err);

/* verdict_failed - the builder's "exit", which is not 0. As above */
int verdict_failed(const struct message *end, const char *id, const char *builder,
                   uint64_t time_limit_sec, struct error *err);

/* verdict_lost - the connection ended before the request. BLAME_PEER -EPIPE */
int verdict_lost(struct error *err);

/* verdict_out_of_order - a message that does not belong there. BLAME_PEER -EBADMSG */
int verdict_out_of_order(const struct message *message, struct error *err);
