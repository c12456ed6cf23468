/* The features of a derivation, whatever form they were read from. */
#include "derivation.h"

#include <errno.h>
#include <string.h>

void derivation_done(struct derivation *derivation)
{
	for (size_t i = 0; i < derivation->n_features; i++)
		free(derivation->features[i]);
	derivation->n_features = 0;
}

int derivation_refuse(struct error *err, const char *what)
{
	return error_set(err, BLAME_PEER, EBADMSG, "this is no derivation: %s", what);
}

/* Most derivations require nothing, and to parse JSON takes fifty times as long as to look for a
 * word. */
bool derivation_mentions_features(const char *text, size_t len)
{
	return memmem(text, len, DERIVATION_FEATURES_KEY, strlen(DERIVATION_FEATURES_KEY)) != NULL;
}

int derivation_add_feature(struct derivation *derivation, const char *name, size_t len,
                           struct error *err)
{
	if (len == 0 || memchr(name, '\0', len))
		return derivation_refuse(err, "a required feature has no name that could be one");
	if (len > DERIVATION_FEATURE_MAX)
		return error_set(err, BLAME_PEER, E2BIG,
		                 "a required feature has a name of %zu bytes; expected at most %d",
		                 len, DERIVATION_FEATURE_MAX);
	if (derivation->n_features == DERIVATION_FEATURES_MAX)
		return error_set(err, BLAME_PEER, E2BIG,
		                 "more than %d features are required; expected fewer",
		                 DERIVATION_FEATURES_MAX);
	derivation->features[derivation->n_features] = strndup(name, len);
	if (!derivation->features[derivation->n_features])
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for a derivation");
	derivation->n_features++;
	return 0;
}

int derivation_add_words(struct derivation *derivation, const char *text, size_t len,
                         struct error *err)
{
	static const char blanks[] = " \t\n\r";
	const char *end = text + len;
	int r = 0;

	while (r == 0 && text < end) {
		const char *word = text;

		while (text < end && !memchr(blanks, *text, sizeof(blanks) - 1))
			text++;
		if (text > word)
			r = derivation_add_feature(derivation, word, (size_t)(text - word), err);
		else
			text++;
	}
	return r;
}
