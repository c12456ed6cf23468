/* The .attrs.json of a derivation, as the request that it asks for. */
#include <errno.h>
#include <string.h>

#include "lib/base/text.h"
#include "member.h"

#define REQUEST(m) offsetof(struct message, request.m)

static const struct member attrs_members[] = {
	{ "outputs", &trees_kind, REQUEST(outputs), .max = WIRE_OUTPUTS_MAX, .must = true,
	  IS_OUTPUT },
};

/* Also the list of what may be there: a misspelt member would be lost without a word. */
static const struct member hatch_members[] = {
	{ "builder", &string_kind, REQUEST(builder), IS_NAME },
	{ "args", &args_kind },
	{ "env", &env_kind },
	{ "inputs", &trees_kind, REQUEST(inputs), .max = WIRE_INPUTS_MAX, IS_INPUT },
	{ "timeout", &u64_kind, REQUEST(timeout_sec), .min = 1, .max = WIRE_TIMEOUT_SEC_MAX },
	{ "undeclared_references", &references_kind, REQUEST(references) },
	{ "heartbeat", &u64_kind, REQUEST(heartbeat_sec), .min = 1, .max = WIRE_HEARTBEAT_SEC_MAX },
	{ "request_id", &string_kind, REQUEST(request_id), IS_REQUEST_ID },
};

static int refuse_unknown(json_t *hatch, struct error *err)
{
	const char *key;
	json_t *value;

	json_object_foreach(hatch, key, value)
	{
		char text[COMPLAINT_MAX];
		bool known = false;

		for (size_t i = 0; i < ARRAY_SIZE(hatch_members); i++)
			known |= strcmp(key, hatch_members[i].name) == 0;
		if (known)
			continue;
		text_escape(key, strlen(key), text, sizeof(text));
		return error_set(err, BLAME_PEER, EBADMSG,
		                 "\"hatch\" has no member \"%s\"; there are builder, args, env, "
		                 "inputs, timeout, heartbeat, undeclared_references, request_id",
		                 text);
	}
	return 0;
}

int message_parse_attrs(const char *text, size_t len, struct message *ret, struct error *err)
{
	cleanup_message struct message message = { .type = MESSAGE_REQUEST };
	cleanup_json json_t *attrs = NULL;
	json_t *hatch;
	int r;

	r = wire_load_object(text, len, &attrs, err);
	if (r < 0)
		return r;
	r = members_read(attrs_members, ARRAY_SIZE(attrs_members), attrs, &message, err);
	if (r < 0)
		return r;
	hatch = json_object_get(attrs, "hatch");
	if (hatch && !json_is_object(hatch))
		return error_set(err, BLAME_PEER, EBADMSG, "member \"hatch\" must be an object");
	r = refuse_unknown(hatch, err);
	if (r < 0)
		return r;
	r = members_read(hatch_members, ARRAY_SIZE(hatch_members), hatch, &message, err);
	if (r < 0)
		return r;
	message.request.version = WIRE_VERSION;
	*ret = message;
	message = (struct message){ 0 };
	return 0;
}
