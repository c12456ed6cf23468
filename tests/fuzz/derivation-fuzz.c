/* A derivation in either form: it is refused, or its features are names within the limits, and a
 * file that requires just these reads back the same. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "lib/base/buffer.h"
#include "lib/derivation/derivation.h"

#define cleanup_buffer cleanup_(buffer_done)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void add_string(struct buffer *buf, const char *text)
{
	assert(buffer_add(buf, "\"", 1) == 0);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			assert(buffer_add(buf, "\\", 1) == 0);
		assert(buffer_add(buf, text, 1) == 0);
	}
	assert(buffer_add(buf, "\"", 1) == 0);
}

static bool has_blank(const struct derivation *derivation)
{
	for (size_t i = 0; i < derivation->n_features; i++)
		if (strpbrk(derivation->features[i], " \t\r\n"))
			return true;
	return false;
}

static void check_same(const struct derivation *derivation)
{
	cleanup_derivation struct derivation again = { 0 };
	cleanup_buffer struct buffer words = { 0 }, file = { 0 };

	for (size_t i = 0; i < derivation->n_features; i++)
		assert(buffer_printf(&words, "%s ", derivation->features[i]) == 0);
	assert(buffer_printf(&file,
	                     "Derive([],[],[],\"s\",\"b\",[],[(\"requiredSystemFeatures\",") == 0);
	add_string(&file, words.data ? words.data : "");
	assert(buffer_printf(&file, ")])") == 0);
	assert(derivation_parse_aterm(file.data, file.len, &again, NULL) == 0);
	assert(again.n_features == derivation->n_features);
	for (size_t i = 0; i < again.n_features; i++)
		assert(strcmp(again.features[i], derivation->features[i]) == 0);
}

static void check_derivation(const struct derivation *derivation)
{
	assert(derivation->n_features <= DERIVATION_FEATURES_MAX);
	for (size_t i = 0; i < derivation->n_features; i++)
		assert(derivation->features[i][0] &&
		       strlen(derivation->features[i]) <= DERIVATION_FEATURE_MAX);
	/* Only structured attributes can hold names with blanks. */
	if (!has_blank(derivation))
		check_same(derivation);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	cleanup_derivation struct derivation aterm = { 0 }, json = { 0 };
	const char *text = (const char *)data;

	if (derivation_parse_aterm(text, len, &aterm, NULL) == 0)
		check_derivation(&aterm);
	if (derivation_parse_json(text, len, &json, NULL) == 0)
		check_derivation(&json);
	return 0;
}
