/* The way to the server: which socket, and again while it is busy. */
#pragma once

#include "lib/base/error.h"
#include "lib/wire/message.h"

/*
 * connect_server - a connection whose server has said hello
 *
 * socket    path, or NULL for $HATCH_SOCKET and the usual places
 * ret_fd    the connection; the caller closes it after wire_done()
 * ret_wire  reads and writes it
 * Returns   1; 0 if the server answered with an error instead, which is in *ret_refusal; or
 * Errors    BLAME_HOST: no socket, no permission, nobody there after some ten seconds of trying;
 *           BLAME_PEER: not a hatch server, or one without our version; -EINTR; a hint
 */
int connect_server(const char *socket, int *ret_fd, struct wire *ret_wire,
                   struct message *ret_refusal, struct error *err);
