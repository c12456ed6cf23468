/* What the client said, against the definition: outputs and inputs. For request_check() alone,
 * which has asked before who may. */
#pragma once

#include "request.h"

/* trees_check_outputs - names and places of the outputs, into the request. Errors as
 * request_check() */
int trees_check_outputs(const struct record *record, struct request *request,
                        struct rulings *rulings, struct error *err);

/* trees_check_inputs - names of the inputs, and where they are said to be, into the request. Errors
 * as request_check() */
int trees_check_inputs(const struct record *record, struct request *request,
                       struct rulings *rulings, struct error *err);
