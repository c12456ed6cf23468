/*
 * Where lib/wire and jansson meet: a text to an object, and back. For the files of this folder
 * alone; nobody else sees jansson's types.
 */
#pragma once

#include <jansson.h>

#include "lib/base/buffer.h"
#include "lib/base/cleanup.h"
#include "lib/base/error.h"

#define cleanup_json cleanup_(json_decrefp)

enum { COMPLAINT_MAX = 200 }; /* bytes of the peer's own words that an error repeats */

/* wire_no_memory - sets err and returns -ENOMEM */
int wire_no_memory(struct error *err);

/*
 * wire_load_object - a JSON text that must be an object and has no key twice
 *
 * Depth is jansson's limit of 2048: for texts that the caller's own host made.
 *
 * Errors  BLAME_PEER -EBADMSG, with jansson's complaint and the byte; -ENOMEM
 */
int wire_load_object(const char *text, size_t len, json_t **ret, struct error *err);

/* wire_load_line - the same of a stranger's: at most WIRE_DEPTH_MAX levels and WIRE_VALUES_MAX
 * values, and only whole numbers */
int wire_load_line(const char *line, size_t len, json_t **ret, struct error *err);

/* wire_dump_object - append it in its shortest form; only memory can be missing */
int wire_dump_object(const json_t *object, struct buffer *buf, struct error *err);
