/* What the server can be asked without having it run anything. */
#pragma once

#include "lib/base/error.h"
#include "options.h"

/*
 * inquiry_list, inquiry_ping - what the commands of these names do
 *
 * Returns  0 the answer was printed; a positive exit status with what the server said in err; or a
 *          negative errno if the exchange failed
 * Errors   of connect_server(), wire_read(); BLAME_PEER -EBADMSG, -EPIPE: the server broke the
 *          protocol
 * Source   docs/protocol.md, "The order"
 */
int inquiry_list(const struct options *options, struct error *err);
int inquiry_ping(const struct options *options, struct error *err);
