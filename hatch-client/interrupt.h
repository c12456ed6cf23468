/* Signals that end the client early: they hang up, which cancels the request, and the code that
 * reads the connection cleans up as after any other lost connection. */
#pragma once

/* interrupt_init - from now on SIGINT, SIGTERM and SIGHUP hang up; those that were ignored stay so.
 * A second one ends the process on the spot. */
void interrupt_init(void);

/* interrupt_watch - the connection to hang up; -1: none */
void interrupt_watch(int fd);

/* interrupt_signal - the signal that came, or 0 */
int interrupt_signal(void);
