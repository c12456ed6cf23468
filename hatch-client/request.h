/* From the command line and the derivation to the request, and to the places of its outputs. */
#pragma once

#include "inputs.h"
#include "lib/base/error.h"
#include "lib/wire/message.h"
#include "options.h"
#include "outputs.h"

/*
 * request_make - what is asked for, what goes along, and where the outputs go
 *
 * The command line wins over the derivation's "hatch" attribute, member by member; that attribute
 * counts only if the command line names no other builder. In a Nix build the outputs are those of
 * the derivation unless options say otherwise; elsewhere there are only those of --output.
 *
 * Errors  BLAME_PEER -EINVAL; what nix_read_derivation(), inputs_add() and outputs_add() return;
 *         -ENOMEM
 */
int request_make(const struct options *options, struct message *ret, struct inputs *ret_inputs,
                 struct outputs *ret_outputs, struct error *err);
