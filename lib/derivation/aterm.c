/*
 * A derivation as Nix keeps it: one term, without white space, of strings, lists and tuples. All of
 * it is walked, so that what is no derivation is not taken for one; of its contents only two
 * variables matter. Nothing is copied but their values.
 */
#include <errno.h>
#include <string.h>

#include "derivation.h"

enum { DEPTH_MAX = 32 /* only inputs nest, one level for each derivation made by another */ };

struct cursor {
	const char *at, *end;
};

/* Between the quotes, escapes as they are. */
struct string {
	const char *data;
	size_t len;
};

/* The two variables; data NULL: not there. */
struct found {
	struct string words, attributes;
};

static bool take(struct cursor *cursor, char c)
{
	if (cursor->at == cursor->end || *cursor->at != c)
		return false;
	cursor->at++;
	return true;
}

static bool take_text(struct cursor *cursor, const char *text)
{
	size_t len = strlen(text);

	if ((size_t)(cursor->end - cursor->at) < len || memcmp(cursor->at, text, len) != 0)
		return false;
	cursor->at += len;
	return true;
}

/* Nix writes these escapes and no others. */
static bool unescape(char letter, char *ret)
{
	switch (letter) {
	case 'n':
		*ret = '\n';
		return true;
	case 'r':
		*ret = '\r';
		return true;
	case 't':
		*ret = '\t';
		return true;
	case '"':
	case '\\':
		*ret = letter;
		return true;
	default:
		return false;
	}
}

static bool take_string(struct cursor *cursor, struct string *ret)
{
	char ignored;

	if (!take(cursor, '"'))
		return false;
	ret->data = cursor->at;
	while (cursor->at < cursor->end && *cursor->at != '"') {
		if (*cursor->at++ != '\\')
			continue;
		if (cursor->at == cursor->end || !unescape(*cursor->at, &ignored))
			return false;
		cursor->at++;
	}
	ret->len = (size_t)(cursor->at - ret->data);
	return take(cursor, '"');
}

/* "(" and so many strings and ")". */
static bool take_tuple(struct cursor *cursor, struct string *ret, size_t n)
{
	if (!take(cursor, '('))
		return false;
	for (size_t i = 0; i < n; i++)
		if ((i > 0 && !take(cursor, ',')) || !take_string(cursor, &ret[i]))
			return false;
	return take(cursor, ')');
}

/* A list, each item by its reader. */
static bool take_list(struct cursor *cursor, bool (*item)(struct cursor *, struct found *),
                      struct found *found)
{
	if (!take(cursor, '['))
		return false;
	if (take(cursor, ']'))
		return true;
	do {
		if (!item(cursor, found))
			return false;
	} while (take(cursor, ','));
	return take(cursor, ']');
}

static bool take_word(struct cursor *cursor, struct found *found)
{
	struct string ignored;

	return take_string(cursor, &ignored);
}

/* Name, path, hash algorithm, hash. */
static bool take_output(struct cursor *cursor, struct found *found)
{
	struct string ignored[4];

	return take_tuple(cursor, ignored, ARRAY_SIZE(ignored));
}

/* Any term. */
static bool take_term(struct cursor *cursor, unsigned depth)
{
	struct string ignored;
	char end;

	if (cursor->at < cursor->end && *cursor->at == '"')
		return take_string(cursor, &ignored);
	if (depth == DEPTH_MAX)
		return false;
	if (take(cursor, '['))
		end = ']';
	else if (take(cursor, '('))
		end = ')';
	else
		return false;
	if (take(cursor, end))
		return true;
	do {
		if (!take_term(cursor, depth + 1))
			return false;
	} while (take(cursor, ','));
	return take(cursor, end);
}

/* A path and names of outputs; where an output is a derivation itself, more of the same. */
static bool take_input(struct cursor *cursor, struct found *found)
{
	struct string path;

	return take(cursor, '(') && take_string(cursor, &path) && take(cursor, ',') &&
	       take_term(cursor, 0) && take(cursor, ')');
}

static bool is_named(const struct string *string, const char *name)
{
	return string->len == strlen(name) && memcmp(string->data, name, string->len) == 0;
}

/* Neither name has a letter that could be written as an escape. One that is there twice has a
 * meaning only for those who know which counts. */
static bool take_variable(struct cursor *cursor, struct found *found)
{
	struct string pair[2], *place;

	if (!take_tuple(cursor, pair, ARRAY_SIZE(pair)))
		return false;
	if (is_named(&pair[0], DERIVATION_FEATURES_KEY))
		place = &found->words;
	else if (is_named(&pair[0], "__json"))
		place = &found->attributes;
	else
		return true;
	if (place->data)
		return false;
	*place = pair[1];
	return true;
}

static bool take_derivation(struct cursor *cursor, struct found *found)
{
	return (take_text(cursor, "Derive(") ||
	        take_text(cursor, "DrvWithVersion(\"xp-dyn-drv\",")) &&
	       take_list(cursor, take_output, found) && take(cursor, ',') &&
	       take_list(cursor, take_input, found) && take(cursor, ',') &&
	       take_list(cursor, take_word, found) && take(cursor, ',') && /* other inputs */
	       take_word(cursor, found) && take(cursor, ',') &&            /* system */
	       take_word(cursor, found) && take(cursor, ',') &&            /* builder */
	       take_list(cursor, take_word, found) && take(cursor, ',') && /* arguments */
	       take_list(cursor, take_variable, found) && take(cursor, ')') &&
	       cursor->at == cursor->end;
}

/* The string itself; NULL: no memory. */
static char *decode(const struct string *string, size_t *ret_len)
{
	char *text = malloc(string->len + 1);
	size_t len = 0;

	for (size_t i = 0; text && i < string->len; i++)
		if (string->data[i] != '\\')
			text[len++] = string->data[i];
		else
			(void)unescape(string->data[++i], &text[len++]);
	if (text)
		text[len] = '\0'; /* also for those who look for an end beyond *ret_len */
	*ret_len = len;
	return text;
}

int derivation_parse_aterm(const char *text, size_t len, struct derivation *ret, struct error *err)
{
	cleanup_derivation struct derivation derivation = { 0 };
	struct cursor cursor = { text, text + len };
	struct found found = { 0 };
	const struct string *string;
	bool structured;
	cleanup_free char *value = NULL;
	int r;

	if (len > DERIVATION_BYTES_MAX)
		return error_set(err, BLAME_PEER, EFBIG,
		                 "the derivation has %zu bytes; expected at most %d", len,
		                 DERIVATION_BYTES_MAX);
	if (!take_derivation(&cursor, &found))
		return derivation_refuse(err, "its text is not what Nix writes");
	/* With structured attributes Nix does not look at the variables. */
	structured = found.attributes.data;
	string = structured ? &found.attributes : &found.words;
	if (!string->data ||
	    (structured && !derivation_mentions_features(string->data, string->len))) {
		*ret = (struct derivation){ .n_features = 0 };
		return 0;
	}
	value = decode(string, &len);
	if (!value)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for a derivation");
	r = (structured ? derivation_add_attributes : derivation_add_words)(&derivation, value, len,
	                                                                    err);
	if (r < 0)
		return r;
	*ret = derivation;
	derivation.n_features = 0;
	return 0;
}
