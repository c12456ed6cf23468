/* The monitor's orders as messages to the client. */
#pragma once

#include "talk.h"

/* answers_greet - the server's first message; 0 or -errno */
int answers_greet(const struct talk *talk);

/*
 * answers_error - that there will be no result; 0 or -errno
 *
 * text, hint  may quote paths and words of any bytes: they are escaped, for a message holds only
 *             text; hint and kept may be empty
 */
int answers_error(const struct talk *talk, const char *code, const char *text, const char *hint,
                  const char *kept);

/* answers_obey - do what the monitor orders */
enum step answers_obey(struct talk *talk, const struct order *order);
