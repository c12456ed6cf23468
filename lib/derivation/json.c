/* The JSON of a derivation, and of the structured attributes in one. Only this file knows jansson.
 */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "derivation.h"
#include "lib/base/process.h"

enum { VERSION = 4 };

#define cleanup_json cleanup_(json_decrefp)

void derivation_init(void)
{
	json_object_seed(process_seed());
}

/* jansson says nothing at all where there was none for an object or a list. */
static bool is_out_of_memory(const json_error_t *json_err)
{
	enum json_error_code code = json_error_code(json_err);

	return code == json_error_out_of_memory || code == json_error_unknown;
}

/* An object. What is no matter may be there in any size: integers beyond 64 bits, NUL in texts. */
static int load(const char *text, size_t len, json_t **ret, struct error *err)
{
	json_error_t json_err;

	if (len > DERIVATION_JSON_MAX)
		return error_set(err, BLAME_PEER, EFBIG,
		                 "the derivation has %zu bytes of JSON; expected at most %d", len,
		                 DERIVATION_JSON_MAX);
	*ret = json_loadb(text, len,
	                  JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL,
	                  &json_err);
	if (!*ret && is_out_of_memory(&json_err))
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for a derivation");
	if (!json_is_object(*ret))
		return derivation_refuse(err, "its attributes are no JSON object");
	return 0;
}

static int add_list(struct derivation *derivation, const json_t *attributes, struct error *err)
{
	const json_t *list = json_object_get(attributes, DERIVATION_FEATURES_KEY), *item;
	size_t i;
	int r = 0;

	/* Newer versions of Nix take null for an attribute that is not there. */
	if (!list || json_is_null(list))
		return 0;
	if (!json_is_array(list))
		return derivation_refuse(err, "requiredSystemFeatures is no list");
	json_array_foreach(list, i, item)
	{
		if (!json_is_string(item))
			return derivation_refuse(err, "a required feature is no text");
		r = derivation_add_feature(derivation, json_string_value(item),
		                           json_string_length(item), err);
		if (r < 0)
			return r;
	}
	return 0;
}

int derivation_add_attributes(struct derivation *derivation, const char *text, size_t len,
                              struct error *err)
{
	cleanup_json json_t *attributes = NULL;
	int r = load(text, len, &attributes, err);

	return r < 0 ? r : add_list(derivation, attributes, err);
}

/* Without structured attributes everything is a variable, and so a text. */
static int add_variables(struct derivation *derivation, const json_t *env, struct error *err)
{
	const json_t *attributes = json_object_get(env, "__json"),
		     *words = json_object_get(env, DERIVATION_FEATURES_KEY);
	const json_t *value = attributes ? attributes : words;

	if (!json_is_object(env))
		return derivation_refuse(err, "it has no env");
	if (!value)
		return 0;
	if (!json_is_string(value))
		return derivation_refuse(err, "a variable is no text");
	return (attributes ? derivation_add_attributes : derivation_add_words)(
		derivation, json_string_value(value), json_string_length(value), err);
}

int derivation_parse_json(const char *text, size_t len, struct derivation *ret, struct error *err)
{
	cleanup_derivation struct derivation derivation = { 0 };
	cleanup_json json_t *root = NULL;
	const json_t *attributes;
	int r;

	if (!derivation_mentions_features(text, len)) {
		*ret = derivation;
		return 0;
	}
	r = load(text, len, &root, err);
	if (r < 0)
		return r;
	/* A later version may keep features elsewhere. */
	if (json_number_value(json_object_get(root, "version")) != VERSION)
		return derivation_refuse(err, "it is not of version 4");
	attributes = json_object_get(root, "structuredAttrs");
	if (!attributes || json_is_null(attributes))
		r = add_variables(&derivation, json_object_get(root, "env"), err);
	else if (json_is_object(attributes))
		r = add_list(&derivation, attributes, err);
	else
		r = derivation_refuse(err, "structuredAttrs is no object");
	if (r < 0)
		return r;
	*ret = derivation;
	derivation.n_features = 0;
	return 0;
}
