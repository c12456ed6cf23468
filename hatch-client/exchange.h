/* One exchange with the server, from connecting to its last message. */
#pragma once

#include "lib/base/error.h"
#include "options.h"

/*
 * exchange_run - what the command of this name does
 *
 * Returns  0 all went well: the builder exited with 0, its outputs are complete and in place;
 *          a positive exit status with what the server said in err;
 *          or a negative errno if the exchange failed. Unless 0 nothing of the outputs is left
 * Errors   of connect_server(), request_make(), relay_write(), tree_unpack(), wire_read();
 *          BLAME_PEER -EBADMSG, -EPIPE: the server broke the protocol
 * Source   docs/protocol.md, "The order"
 */
int exchange_run(const struct options *options, struct error *err);
