/* What the sandbox of a request would be made of, from the same functions and tables that make it.
 */
#pragma once

#include "hatchd/request/request.h"
#include "json.h"

/*
 * sheet_write - the members "command" and "sandbox" into an open object
 *
 * config   its accounts are looked up here
 * missing  keys of limits that nothing holds, separated by commas
 * Returns  0, or a negative errno where the request itself would fail for the same reason
 */
int sheet_write(struct json *json, struct config *config, const struct request *request,
                bool privileged, const char *missing, struct error *err);
