/*
 * The builder's network: none, the host's, one that the administrator made, or one of its own that
 * pasta(1) connects.
 * Source: hatch-builder(5) "network", docs/security.md "Networks"
 */
#pragma once

#include "sandbox.h"

/* Where a builder with a private network asks for names: pasta hands it on to the host's server. */
#define PASTA_DNS_IPV4 "169.254.53.53"
#define PASTA_DNS_IPV6 "fd68:6174:6368::53"

/* network_is_cloned - does the network namespace come into being with the sandbox? */
bool network_is_cloned(const struct sandbox_plan *plan);

/*
 * network_prepare - what must be there before the sandbox is: a private network that is connected
 *
 * sandbox     its pasta is set if there is one
 * ret_net_fd  the namespace that init enters, for the caller to close; -1: none
 * Errors      BLAME_HOST, with what pasta said
 */
int network_prepare(const struct sandbox_plan *plan, struct sandbox *sandbox, int *ret_net_fd,
                    struct error *err);

/* network_connect - unprivileged, what must be done once init is there, before it goes on */
int network_connect(const struct sandbox_plan *plan, struct sandbox *sandbox, struct error *err);

/* network_enter - as init: enter net_fd, or bring up the loopback of a new namespace */
int network_enter(const struct sandbox_plan *plan, int net_fd, struct error *err);
