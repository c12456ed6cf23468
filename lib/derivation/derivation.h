/*
 * What a Nix derivation asks of the machine that builds it, from the file in the store or from the
 * JSON that some versions of Nix hand to their hooks. Both are a stranger's: whoever may have
 * something built writes them. So this is for processes without rights.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/cleanup.h"
#include "lib/base/error.h"

enum {
	DERIVATION_BYTES_MAX = 4 * 1024 * 1024, /* of a file */
	DERIVATION_JSON_MAX = 1024 * 1024, /* of what is JSON; in memory it takes a hundred times
	                                      that */
	DERIVATION_FEATURES_MAX = 256,
	DERIVATION_FEATURE_MAX = 255, /* bytes of one name */
};

struct derivation {
	/* requiredSystemFeatures: names of any bytes but NUL, in their order */
	char *features[DERIVATION_FEATURES_MAX];
	size_t n_features;
};

#define cleanup_derivation cleanup_(derivation_done)

void derivation_done(struct derivation *derivation);

/* derivation_init - gives the JSON parser a secret seed without a system call, so that it works in
 * a process that may not open files */
void derivation_init(void);

/*
 * derivation_parse_aterm - the file of a derivation: classic, or with structured attributes
 *
 * text    NUL may be in it, and need not be behind it
 * ret     set on success; release with derivation_done()
 * Errors  BLAME_PEER -EBADMSG not what Nix writes, -EFBIG longer than DERIVATION_BYTES_MAX, or its
 *         structured attributes than DERIVATION_JSON_MAX, -E2BIG
 *         features that are more or longer than the limits; BLAME_HOST -ENOMEM
 *         Structured attributes are not looked at unless they have the word
 *         requiredSystemFeatures; so it is with all JSON
 * Source  the Nix manual, "Derivation ATerm format"
 */
int derivation_parse_aterm(const char *text, size_t len, struct derivation *ret, struct error *err);

/*
 * derivation_parse_json - the same from a derivation as JSON, version 4
 *
 * Source  the Nix manual, "Derivation JSON format"
 */
int derivation_parse_json(const char *text, size_t len, struct derivation *ret, struct error *err);

/* --- for the files of this folder --- */

#define DERIVATION_FEATURES_KEY "requiredSystemFeatures"

/* derivation_mentions_features - does JSON have that word anywhere, also JSON inside of a string?
 * Nix writes it without escapes; whoever writes it with some requires nothing */
bool derivation_mentions_features(const char *text, size_t len);

/* derivation_add_feature - append a copy of a name; the limits are as of the parsers */
int derivation_add_feature(struct derivation *derivation, const char *name, size_t len,
                           struct error *err);

/* derivation_add_words - append the words of a text, as Nix takes them apart */
int derivation_add_words(struct derivation *derivation, const char *text, size_t len,
                         struct error *err);

/* derivation_add_attributes - append what structured attributes, a JSON object as text, list */
int derivation_add_attributes(struct derivation *derivation, const char *text, size_t len,
                              struct error *err);

/* derivation_refuse - say that a text is no derivation; returns -EBADMSG */
int derivation_refuse(struct error *err, const char *what);
