/* Tables of derivations: files that Nix wrote (samples.nix), and texts that it would not. */
#include "derivation.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lib/base/buffer.h"
#include "tests/unit.h"

/* The features, joined by '|', or the errno. */
static const char *outcome(int r, struct derivation *derivation)
{
	static char text[8192];
	size_t len = 0;

	if (r < 0)
		return strerror(-r);
	text[0] = '\0';
	for (size_t i = 0; i < derivation->n_features; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", i ? "|" : "",
		                        derivation->features[i]);
	derivation_done(derivation);
	return text;
}

static const char *of_aterm(const char *text, size_t len)
{
	struct derivation derivation = { 0 };
	int r = derivation_parse_aterm(text, len, &derivation, NULL);

	return outcome(r, &derivation);
}

static const char *of_json(const char *text, size_t len)
{
	struct derivation derivation = { 0 };
	int r = derivation_parse_json(text, len, &derivation, NULL);

	return outcome(r, &derivation);
}

static void check_text(const char *text, size_t len, const char *expected,
                       const char *(*parse)(const char *, size_t))
{
	const char *seen = parse(text, len);

	check(strcmp(seen, expected) == 0);
	if (strcmp(seen, expected) != 0)
		printf("  of %.100s: %.200s\n", text, seen);
}

static void reads_what_nix_writes(void)
{
	static const struct {
		const char *file, *features;
	} rows[] = {
		{ "plain.drv", "" },
		{ "classic.drv", "hatch-fpga|big-parallel" },
		{ "structured.drv", "hatch-fpga|hatch-sign" },
		{ "fixed-output.drv", "hatch-git" },
		{ "content-addressed.drv", "hatch-fpga" },
		{ "impure.drv", "hatch-board" },
		{ "dynamic.drv", "hatch-fpga" },
		{ "classic.json", "hatch-fpga|big-parallel" },
		{ "structured.json", "hatch-fpga|hatch-sign" },
	};
	const char *dir = getenv("SAMPLES");

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *text = NULL;
		cleanup_fd int fd = -1;
		char path[4096];
		size_t len;

		(void)snprintf(path, sizeof(path), "%s/%s", dir ? dir : ".", rows[i].file);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		check(fd >= 0 && fd_read_file(fd, DERIVATION_BYTES_MAX, &text, &len) == 0);
		if (!text)
			continue;
		check_text(text, len, rows[i].features,
		           strstr(rows[i].file, ".json") ? of_json : of_aterm);
	}
}

#define REFUSED "Bad message"

/* Around the variables of a derivation. */
#define DERIVE(variables) "Derive([],[],[],\"s\",\"b\",[],[" variables "])"

static void takes_variables_as_nix_does(void)
{
	static const struct {
		const char *text, *features;
	} rows[] = {
		{ DERIVE(""), "" },
		{ DERIVE("(\"requiredSystemFeatures\",\"\")"), "" },
		{ DERIVE("(\"requiredSystemFeatures\",\" \\n a\\t\\rb  c \")"), "a|b|c" },
		{ DERIVE("(\"requiredSystemFeatures\",\"a\\\\b \\\"c\\\"\")"), "a\\b|\"c\"" },
		{ DERIVE("(\"requiredSystemFeatures \",\"a\")"), "" },
		{ DERIVE("(\"RequiredSystemFeatures\",\"a\")"), "" },
		{ DERIVE("(\"x\",\"(\\\"requiredSystemFeatures\\\",\\\"a\\\")\")"), "" },
		/* With structured attributes the variables do not count, nor what is deeper. */
		{ DERIVE("(\"__json\",\"{}\"),(\"requiredSystemFeatures\",\"a\")"), "" },
		{ DERIVE("(\"__json\",\"{\\\"requiredSystemFeatures\\\":[\\\"b\\\"]}\"),"
		         "(\"requiredSystemFeatures\",\"a\")"),
		  "b" },
		{ DERIVE("(\"__json\",\"{\\\"a\\\":{\\\"requiredSystemFeatures\\\":[\\\"b\\\"]}}\")"),
		  "" },
		{ DERIVE("(\"__json\",\"{\\\"requiredSystemFeatures\\\":null}\")"), "" },
		{ DERIVE("(\"__json\",\"{\\\"requiredSystemFeatures\\\":[]}\")"), "" },
		{ DERIVE("(\"__json\",\"{\\\"requiredSystemFeatures\\\":[\\\"a b\\\"]}\")"),
		  "a b" },
		{ DERIVE("(\"__json\",\"{\\\"n\\\":123456789012345678901234567890,"
		         "\\\"requiredSystemFeatures\\\":[]}\")"),
		  "" },
		{ DERIVE("(\"__json\",\"{\\\"n\\\":\\\"\\\\u0000\\\","
		         "\\\"requiredSystemFeatures\\\":[]}\")"),
		  "" },
		/* What requires nothing is not looked at. */
		{ DERIVE("(\"__json\",\"{\"),(\"requiredSystemFeatures\",\"a\")"), "" },
		{ DERIVE("(\"__json\",\"{\\\"\\\\u0072equiredSystemFeatures\\\":[\\\"a\\\"]}\")"),
		  "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check_text(rows[i].text, strlen(rows[i].text), rows[i].features, of_aterm);
}

static void refuses_what_nix_does_not_write(void)
{
	static const char *const rows[] = {
		"",
		"Derive",
		"Derive()",
		"derive([],[],[],\"s\",\"b\",[],[])",
		" Derive([],[],[],\"s\",\"b\",[],[])",
		"Derive([],[],[],\"s\",\"b\",[],[]) ",
		"Derive([],[],[],\"s\",\"b\",[],[])\n",
		"Derive([],[],[], \"s\",\"b\",[],[])",
		"Derive([],[],[],\"s\",\"b\",[],[]",
		"Derive([],[],[],\"s\",\"b\",[],[",
		"Derive([],[],[],\"s\",\"b\",[])",
		"Derive([],[],[],\"s\",\"b\",[],[],[])",
		"Derive([],[],[],\"s\",[],[],[])",
		"Derive([],[],[],\"s\",\"b\",\"a\",[])",
		"Derive([(\"out\",\"\",\"\")],[],[],\"s\",\"b\",[],[])",
		"Derive([(\"out\",\"\",\"\",\"\",\"\")],[],[],\"s\",\"b\",[],[])",
		"Derive([,],[],[],\"s\",\"b\",[],[])",
		"Derive([],[(\"p\")],[],\"s\",\"b\",[],[])",
		"Derive([],[(\"p\",[\"out\")],[],\"s\",\"b\",[],[])",
		"Derive([],[],[\"a\" \"b\"],\"s\",\"b\",[],[])",
		"DrvWithVersion(\"xp-other\",[],[],[],\"s\",\"b\",[],[])",
		"DrvWithVersion([],[],[],\"s\",\"b\",[],[])",
		DERIVE("(\"a\")"),
		DERIVE("(\"a\",\"b\",\"c\")"),
		DERIVE("(\"a\",\"b\"),"),
		DERIVE("(\"a\",\"\\x\")"),
		DERIVE("(\"a\",\"b"),
		DERIVE("(\"a\",\"\\"),
		DERIVE("(\"requiredSystemFeatures\",\"a\"),(\"requiredSystemFeatures\",\"b\")"),
		DERIVE("(\"__json\",\"{}\"),(\"__json\",\"{}\")"),
		DERIVE("(\"__json\",\"requiredSystemFeatures\")"),
		DERIVE("(\"__json\",\"[\\\"requiredSystemFeatures\\\"]\")"),
		DERIVE("(\"__json\",\"{\\\"requiredSystemFeatures\\\":[]} {}\")"),
		DERIVE("(\"__json\",\"{\\\"requiredSystemFeatures\\\":[],"
		       "\\\"requiredSystemFeatures\\\":[]}\")"),
		DERIVE("(\"__json\",\"{\\\"requiredSystemFeatures\\\":\\\"a\\\"}\")"),
		DERIVE("(\"__json\",\"{\\\"requiredSystemFeatures\\\":[1]}\")"),
		DERIVE("(\"__json\",\"{\\\"requiredSystemFeatures\\\":[\\\"\\\"]}\")"),
		DERIVE("(\"__json\",\"{\\\"requiredSystemFeatures\\\":[\\\"a\\\\u0000\\\"]}\")"),
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check_text(rows[i], strlen(rows[i]), REFUSED, of_aterm);
	check_text(
		"Derive([],[],[],\"s\",\"b\",[],[(\"requiredSystemFeatures\",\"a\0b\")])",
		sizeof("Derive([],[],[],\"s\",\"b\",[],[(\"requiredSystemFeatures\",\"a0b\")])") -
			1,
		REFUSED, of_aterm);
}

/* However it is cut off, it is refused. */
static void refuses_every_beginning_of_a_derivation(void)
{
	static const char text[] =
		"DrvWithVersion(\"xp-dyn-drv\",[(\"out\",\"\",\"\",\"\")],[(\"p\",([\"out\"],[(\"o\","
		"[\"out\"])]))],[\"i\"],\"s\",\"b\",[\"-c\",\"\\n\"],[(\"__json\",\"{\\\"a\\\":[]}\"),("
		"\"requiredSystemFeatures\",\"a\")])";

	check_text(text, strlen(text), "", of_aterm);
	for (size_t len = 0; len < strlen(text); len++) {
		/* Exactly so long, so that a sanitizer sees one byte too many. */
		cleanup_free char *part = malloc(len + 1);

		check(part != NULL);
		if (!part)
			return;
		memcpy(part, text, len);
		check(strcmp(of_aterm(part, len), REFUSED) == 0);
	}
}

/* Members of a derivation as JSON, and the word without which none of them is looked at. */
#define JSON(members) "{\"word\":\"requiredSystemFeatures\"," members "}"

static void reads_json_of_version_4_alone(void)
{
	static const struct {
		const char *text, *features;
	} rows[] = {
		{ JSON("\"version\":4,\"env\":{}"), "" },
		{ JSON("\"version\":4,\"env\":{\"requiredSystemFeatures\":\"a b\"}"), "a|b" },
		{ JSON("\"version\":4,\"env\":{\"__json\":\"{\\\"requiredSystemFeatures\\\":[\\\"c\\\"]"
		       "}\",\"requiredSystemFeatures\":\"a b\"}"),
		  "c" },
		{ JSON("\"version\":4,\"env\":{\"requiredSystemFeatures\":\"a\"},\"structuredAttrs\":"
		       "null"),
		  "a" },
		{ JSON("\"version\":4,\"env\":{\"requiredSystemFeatures\":\"a\"},\"structuredAttrs\":"
		       "{}"),
		  "" },
		{ JSON("\"version\":4,\"structuredAttrs\":{\"requiredSystemFeatures\":[\"a\"]}"),
		  "a" },
		{ JSON("\"version\":3,\"env\":{}"), REFUSED },
		{ JSON("\"version\":5,\"env\":{}"), REFUSED },
		{ JSON("\"version\":\"4\",\"env\":{}"), REFUSED },
		{ JSON("\"env\":{}"), REFUSED },
		{ JSON("\"version\":4"), REFUSED },
		{ JSON("\"version\":4,\"env\":[]"), REFUSED },
		{ JSON("\"version\":4,\"env\":{\"requiredSystemFeatures\":[\"a\"]}"), REFUSED },
		{ JSON("\"version\":4,\"env\":{},\"structuredAttrs\":[]"), REFUSED },
		{ JSON("\"version\":4,\"env\":{},\"env\":{}"), REFUSED },
		{ JSON("\"version\":4,\"env\":{}}"), REFUSED },
		{ "[\"requiredSystemFeatures\"]", REFUSED },
		{ "requiredSystemFeatures", REFUSED },
		{ "{", "" },
		{ "", "" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check_text(rows[i].text, strlen(rows[i].text), rows[i].features, of_json);
}

/* A derivation that requires n features whose names are len letters long. */
static void check_features(size_t n, size_t len, const char *expected_error)
{
	struct buffer text = { 0 };
	struct derivation derivation = { 0 };
	int r;

	check(buffer_printf(&text,
	                    "Derive([],[],[],\"s\",\"b\",[],[(\"requiredSystemFeatures\",\"") == 0);
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < len; k++)
			check(buffer_add(&text, "f", 1) == 0);
		check(buffer_add(&text, " ", 1) == 0);
	}
	check(buffer_printf(&text, "\")])") == 0);
	r = derivation_parse_aterm(text.data, text.len, &derivation, NULL);
	check(expected_error ? strcmp(strerror(-r), expected_error) == 0
	                     : r == 0 && derivation.n_features == n);
	derivation_done(&derivation);
	buffer_done(&text);
}

/* A derivation with that much JSON. */
static void check_attributes(size_t len, const char *expected)
{
	static const char word[] = "requiredSystemFeatures";
	struct buffer text = { 0 };

	check(buffer_printf(&text,
	                    "Derive([],[],[],\"s\",\"b\",[],[(\"__json\",\"{\\\"%s\\\":[]%*s\")])",
	                    word, (int)(len - strlen("{\"\":[]") - strlen(word)), "}") == 0);
	check_text(text.data, text.len, expected, of_aterm);
	buffer_done(&text);
}

static void holds_its_limits(void)
{
	static const char word[] = "requiredSystemFeatures";
	cleanup_free char *long_text = calloc(1, DERIVATION_BYTES_MAX + 1);

	check_features(DERIVATION_FEATURES_MAX, 1, NULL);
	check_features(DERIVATION_FEATURES_MAX + 1, 1, "Argument list too long");
	check_features(1, DERIVATION_FEATURE_MAX, NULL);
	check_features(1, DERIVATION_FEATURE_MAX + 1, "Argument list too long");
	check(long_text != NULL);
	if (!long_text)
		return;
	check_text(long_text, DERIVATION_BYTES_MAX, REFUSED, of_aterm);
	check_text(long_text, DERIVATION_BYTES_MAX + 1, "File too large", of_aterm);
	memcpy(long_text, word, strlen(word));
	check_text(long_text, DERIVATION_JSON_MAX, REFUSED, of_json);
	check_text(long_text, DERIVATION_JSON_MAX + 1, "File too large", of_json);
	check_attributes(DERIVATION_JSON_MAX, "");
	check_attributes(DERIVATION_JSON_MAX + 1, "File too large");
}

/* Depth: nothing nests but inputs, and those not without end. */
static void refuses_what_is_too_deep(void)
{
	for (size_t depth = 32; depth <= 33; depth++) {
		struct buffer text = { 0 };

		check(buffer_printf(&text, "Derive([],[(\"p\",") == 0);
		for (size_t i = 0; i < depth; i++)
			check(buffer_add(&text, "[", 1) == 0);
		for (size_t i = 0; i < depth; i++)
			check(buffer_add(&text, "]", 1) == 0);
		check(buffer_printf(&text, ")],[],\"s\",\"b\",[],[])") == 0);
		check_text(text.data, text.len, depth == 32 ? "" : REFUSED, of_aterm);
		buffer_done(&text);
	}
}

static const struct unit_case cases[] = {
	CASE(reads_what_nix_writes),           CASE(takes_variables_as_nix_does),
	CASE(refuses_what_nix_does_not_write), CASE(refuses_every_beginning_of_a_derivation),
	CASE(reads_json_of_version_4_alone),   CASE(holds_its_limits),
	CASE(refuses_what_is_too_deep),
};

UNIT_MAIN(cases)
