/* The way from a text to jansson's values and back, for the files of this folder. */
#include "json.h"

#include <errno.h>
#include <string.h>

#include "lib/base/process.h"
#include "lib/base/text.h"
#include "message.h"

int wire_no_memory(struct error *err)
{
	return error_set(err, BLAME_HOST, ENOMEM, "no memory for a message");
}

void message_init(void)
{
	json_object_seed(process_seed());
}

/*
 * Counted before parsing: jansson recurses, and its own limit is 2048; and a value that has two
 * bytes in a line takes a hundred times that as jansson's. Each value is counted by what stands in
 * front of it, a comma or the beginning of what it is in.
 */
static int check_size(const char *line, size_t len, struct error *err)
{
	size_t depth = 0, n_values = 0;
	bool in_string = false;

	for (size_t i = 0; i < len; i++) {
		char c = line[i];
		bool opens = c == '{' || c == '[';

		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (!in_string && (c == '}' || c == ']') && depth > 0)
			depth--;
		else if (!in_string && (opens || c == ',')) {
			depth += opens;
			n_values++;
		}
		if (depth > WIRE_DEPTH_MAX)
			return error_set(err, BLAME_PEER, EBADMSG,
			                 "JSON is nested deeper than %d levels", WIRE_DEPTH_MAX);
		if (n_values > WIRE_VALUES_MAX)
			return error_set(err, BLAME_PEER, EBADMSG, "JSON holds more than %d values",
			                 WIRE_VALUES_MAX);
	}
	return 0;
}

/* Also in members that are ignored. Recursion ends at WIRE_DEPTH_MAX. */
static bool has_fraction(json_t *json)
{
	const char *key;
	json_t *item;
	size_t i;

	if (json_is_array(json)) {
		json_array_foreach(json, i, item) if (has_fraction(item)) return true;
		return false;
	}
	json_object_foreach(json, key, item) if (has_fraction(item)) return true;
	return json_is_real(json);
}

/* jansson's complaint repeats the peer's bytes: escaped, it is fit for a log and for an answer. */
static int bad_json(const json_error_t *why, struct error *err)
{
	char text[COMPLAINT_MAX];

	text_escape(why->text, strlen(why->text), text, sizeof(text));
	return error_set(err, BLAME_PEER, EBADMSG, "not JSON: %s (byte %d)", text, why->position);
}

int wire_load_object(const char *text, size_t len, json_t **ret, struct error *err)
{
	cleanup_json json_t *json = NULL;
	json_error_t why;

	json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
	if (!json && json_error_code(&why) == json_error_out_of_memory)
		return wire_no_memory(err);
	if (!json)
		return bad_json(&why, err);
	if (!json_is_object(json))
		return error_set(err, BLAME_PEER, EBADMSG, "the text must be a JSON object");
	*ret = take_ptr(&json);
	return 0;
}

int wire_load_line(const char *line, size_t len, json_t **ret, struct error *err)
{
	cleanup_json json_t *object = NULL;
	int r = check_size(line, len, err);

	if (r == 0)
		r = wire_load_object(line, len, &object, err);
	if (r < 0)
		return r;
	if (has_fraction(object))
		return error_set(err, BLAME_PEER, EBADMSG,
		                 "a number has a fraction or an exponent");
	*ret = take_ptr(&object);
	return 0;
}

static int dump_to_buffer(const char *bytes, size_t len, void *buf)
{
	return buffer_add(buf, bytes, len);
}

int wire_dump_object(const json_t *object, struct buffer *buf, struct error *err)
{
	return json_dump_callback(object, dump_to_buffer, buf, JSON_COMPACT) < 0
	               ? wire_no_memory(err)
	               : 0;
}
