/* What the sandbox of a request would be made of, from the same functions and tables that make it.
 */
#pragma once

#include "hatchd/request/request.h"
#include "hatchd/unit.h"
#include "json.h"

/* What a sheet tells of. */
struct sheet {
	struct config *config; /* its accounts are looked up here */
	const struct request *request;
	const struct unit *unit; /* the service that would run it */
	bool privileged;
	const char *missing; /* keys of limits that nothing holds, separated by commas */
};

/* sheet_write - the members "command" and "sandbox" into an open object. Returns 0, or a negative
 * errno where the request itself would fail for the same reason */
int sheet_write(struct json *json, const struct sheet *sheet, struct error *err);
