/*
 * The monitor: the process with the rights. It never reads the socket; it decides, prepares, waits
 * and cleans up. docs/architecture.md, "The life of a request"
 */
#pragma once

#include <stdbool.h>

struct monitor_options {
	const char *config_dir;
	const char *state_dir; /* NULL: as configured */
	bool privileged;       /* false: own user, own user namespace, no build users */
};

/*
 * monitor_serve - one connection, from who asks to the line in the journal
 *
 * conn_take_fd  the connection; the speaker gets it
 * socket_class  FileDescriptorName= of the socket
 * Returns       exit status of hatchd: 0 however the request ended, 78 if the configuration is at
 * fault, 71 if the host is
 */
int monitor_serve(const struct monitor_options *options, int conn_take_fd,
                  const char *socket_class);
