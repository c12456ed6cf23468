/* What the client said, against the definition: arguments and variables. For request_check() alone,
 * which has asked before who may. */
#pragma once

#include "request.h"

/* words_check_arguments - are there as many as args allows, and is each like it? Errors as
 * request_check() */
int words_check_arguments(const struct builder *builder, const struct record *record,
                          struct rulings *rulings, struct error *err);

/* words_check_environment - may the client set each of its variables? Errors as request_check() */
int words_check_environment(const struct builder *builder, const struct record *record,
                            struct rulings *rulings, struct error *err);

/* words_have_variable - does the definition set that variable, or let the client set it? */
bool words_have_variable(const struct builder *builder, const struct record_text *name);

/* words_copy - argv and env of the request, borrowed from the record; they were checked. Errors:
 * BLAME_HOST -ENOMEM */
int words_copy(const struct record *record, struct request *request, struct error *err);
