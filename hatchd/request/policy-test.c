#include <errno.h>
#include <regex.h>
#include <time.h>

#include "hatchd/config/pattern.h"
#include "hatchd/config/read.h"
#include "hatchd/slot/test-place.h"
#include "lib/base/text.h"
#include "request.h"
#include "tests/unit.h"

#define HASH "0123456789abcdfghijklmnpqrsvwxyz"

static struct error err;
static struct config config; /* store: the directory of the test */
static char store[] = "/tmp/hatch-store-XXXXXX";

static struct record_text text(const char *s)
{
	return (struct record_text){ s, strlen(s) };
}

/* The definition "b" with one more member. */
static void define(const char *member, struct builder *ret)
{
	char json[2048];

	(void)snprintf(json, sizeof(json), "{\"command\": [\"/x\", \"-c\"]%s%s}",
	               member[0] ? ", " : "", member);
	if (builder_parse(&config, "b", json, strlen(json), NULL, ret, &err) < 0) {
		printf("# %s\n", err.text);
		abort();
	}
}

static int try_peer(const char *allow, const struct peer *peer, const char *socket_class)
{
	cleanup_builder struct builder builder = { 0 };
	char member[1024];

	(void)snprintf(member, sizeof(member), "\"allow\": {%s}", allow);
	define(member, &builder);
	return policy_allows(&config, &builder, peer, socket_class, &err);
}

static void allows_nobody_unless_told(void)
{
	static const uid_t uids[] = { 0, 1, 1000, 65534, 4294967294, 4294967295 };

	for (size_t i = 0; i < ARRAY_SIZE(uids); i++) {
		check(try_peer("", &(struct peer){ uids[i], uids[i] }, "hatch") == -EACCES);
		check(err.blame == BLAME_POLICY);
	}
}

static void allows_by_user_group_and_range(void)
{
	static gid_t groups[] = { 20, 30 };
	static const struct {
		const char *allow;
		struct peer peer;
		int expected;
	} rows[] = {
		{ "\"users\": [1000]", { 1000, 5 }, 0 },
		{ "\"users\": [1000]", { 1001, 1000 }, -EACCES },
		{ "\"groups\": [5]", { 1000, 5 }, 0 },
		{ "\"groups\": [5]", { 5, 6 }, -EACCES },
		{ "\"groups\": [30]", { 1000, 5, groups, 2 }, 0 },
		{ "\"groups\": [31]", { 1000, 5, groups, 2 }, -EACCES },
		{ "\"uid_ranges\": [{\"first\": 10, \"last\": 20}]", { 10, 5 }, 0 },
		{ "\"uid_ranges\": [{\"first\": 10, \"last\": 20}]", { 20, 5 }, 0 },
		{ "\"uid_ranges\": [{\"first\": 10, \"last\": 20}]", { 9, 5 }, -EACCES },
		{ "\"uid_ranges\": [{\"first\": 10, \"last\": 20}]", { 21, 15 }, -EACCES },
		{ "\"uid_ranges\": [{\"first\": 1, \"last\": 2}, {\"first\": 9, \"last\": 9}]",
		  { 9, 5 },
		  0 },
		/* auto-allocate-uids: uid and gid of a range of Nix's own */
		{ "\"groups\": [30000]", { 872415240, 872415240 }, -EACCES },
		{ "\"uid_ranges\": [{\"first\": 872415232, \"last\": 880803839}]",
		  { 872415240, 872415240 },
		  0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		check(try_peer(rows[i].allow, &rows[i].peer, "hatch") == rows[i].expected);
}

static void root_and_nobody_need_a_line_of_their_own(void)
{
	static const char everybody[] =
		"\"groups\": [5, \"root\"], \"uid_ranges\": [{\"first\": 1, \"last\": 4294967294}]";
	static const struct {
		const char *allow;
		uid_t uid;
		int expected;
	} rows[] = {
		{ everybody, 0, -EACCES },
		{ everybody, 65534, -EACCES },
		{ everybody, 4294967294, -EACCES },
		{ everybody, 4294967295, -EACCES },
		{ everybody, 65533, 0 },
		{ everybody, 4294967293, 0 },
		{ "\"users\": [\"root\"]", 0, 0 },
		{ "\"users\": [65534]", 65534, 0 },
		{ "\"users\": [4294967294]", 4294967294, 0 },
		{ "\"users\": [4294967294]", 4294967295, -EACCES },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct peer peer = { rows[i].uid, 5 };

		check(try_peer(rows[i].allow, &peer, "hatch") == rows[i].expected);
	}
}

/* What a builder was given to do its work is no right to ask for more work. */
static void build_users_need_a_line_of_their_own(void)
{
	static gid_t serial[] = { 20 }, pool[] = { 20, 600 };
	static struct build_user users[] = { { (char *)"b1", 601, 600 } };
	static const char
		wide[] = "\"groups\": [20, 600], \"uid_ranges\": [{\"first\": 1, \"last\": 1000}]";
	struct config saved = config;

	config.pool = true;
	config.build_gid = 600;
	config.users = users;
	config.n_users = 1;
	check(try_peer(wide, &(struct peer){ 601, 600, serial, 1 }, "hatch") == -EACCES);
	check(try_peer(wide, &(struct peer){ 601, 7, serial, 1 }, "hatch") == -EACCES);
	check(try_peer(wide, &(struct peer){ 700, 600 }, "hatch") == -EACCES);
	check(try_peer(wide, &(struct peer){ 700, 7, pool, 2 }, "hatch") == -EACCES);
	check(try_peer(wide, &(struct peer){ 700, 7, serial, 1 }, "hatch") == 0);
	check(try_peer("\"users\": [601]", &(struct peer){ 601, 600, serial, 1 }, "hatch") == 0);
	config = saved;
}

static void a_socket_reaches_only_builders_of_its_class(void)
{
	struct peer peer = { 1000, 5 };

	check(try_peer("\"users\": [1000]", &peer, "hatch") == 0);
	check(try_peer("\"users\": [1000]", &peer, "ci") == -EACCES);
	check(strstr(err.text, "allow.sockets in /etc/hatch/builders.d/b.json") != NULL);
	check(try_peer("\"users\": [1000]", &peer, "") == -EACCES);
	check(try_peer("\"users\": [1000], \"sockets\": [\"ci\"]", &peer, "ci") == 0);
	check(try_peer("\"users\": [1000], \"sockets\": [\"ci\"]", &peer, "hatch") == -EACCES);
	check(try_peer("\"users\": [1000], \"sockets\": [\"ci\", \"hatch\"]", &peer, "hatch") == 0);
}

static void a_rule_for_derivations_comes_on_top(void)
{
	static const struct {
		const char *pattern, *derivation;
		int expected;
	} rows[] = {
		{ "*-bitstream", HASH "-top-bitstream.drv", 0 },
		{ "*-bitstream", HASH "-top-bitstream-2.drv", -EACCES },
		{ "top", HASH "-top.drv", 0 },
		{ "top", HASH "-top.drv.drv", -EACCES },
		{ "top.drv", HASH "-top.drv", -EACCES },
		{ HASH "*", HASH "-top.drv", -EACCES },
		{ "t[a-p]p", HASH "-top.drv", 0 },
		{ "t?p", HASH "-toop.drv", -EACCES },
		{ "*", HASH "-.hidden.drv", 0 },
		{ "a\\\\*", HASH "-ab.drv", -EACCES },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct peer peer = { 1000, 5 };
		char allow[256];

		strcpy(peer.derivation, rows[i].derivation);
		(void)snprintf(allow, sizeof(allow), "\"users\": [1000], \"derivations\": [\"%s\"]",
		               rows[i].pattern);
		check(try_peer(allow, &peer, "hatch") == rows[i].expected);
		/* It is no rule that lets anybody in. */
		(void)snprintf(allow, sizeof(allow), "\"users\": [1], \"derivations\": [\"%s\"]",
		               rows[i].pattern);
		check(try_peer(allow, &peer, "hatch") == -EACCES);
	}
}

static void says_why_no_derivation_is_known(void)
{
	struct peer peer = { 1000, 5, .derivation_why = "the kernel is older than 6.5" };

	check(try_peer("\"users\": [1000], \"derivations\": [\"*\"]", &peer, "hatch") == -EACCES);
	check(strstr(err.text, "the kernel is older than 6.5") != NULL);
	check(strstr(err.hint, "in its sandbox") != NULL);
	peer.derivation_hint = "give --derivation";
	check(try_peer("\"users\": [1000], \"derivations\": [\"*\"]", &peer, "hatch") == -EACCES);
	check(strcmp(err.hint, "give --derivation") == 0);
	peer.derivation_why = NULL;
	check(try_peer("\"users\": [1000], \"derivations\": [\"*\"]", &peer, "hatch") == -EACCES);
}

static int ask(const struct builder *builder, const struct peer *peer, const char *socket_class,
               const struct record *record)
{
	cleanup_request struct request request = { 0 };

	return request_check(&config, builder, peer, socket_class, record, &request, &err);
}

/* What the peer reads must not depend on whether the builder exists. */
/* The features of a derivation; of no name: none. Not for several threads. */
static struct features *features_of(const char *first, const char *second)
{
	static struct features features;

	features.len = 0;
	if (first)
		check(features_add(&features, first) == 0);
	if (second)
		check(features_add(&features, second) == 0);
	return &features;
}

#define WITH_FEATURES "\"users\": [1000], \"features\": [\"hatch-a\", \"hatch-b\"]"

static void all_features_must_be_required(void)
{
	static const struct {
		const char *first, *second;
		int expected;
	} rows[] = {
		{ "hatch-a", "hatch-b", 0 },          { "hatch-b", "hatch-a", 0 },
		{ "hatch-a", NULL, -EACCES },         { "hatch-b", "hatch-c", -EACCES },
		{ "hatch-a", "hatch-b2", -EACCES },   { "hatch-a", "hatch-", -EACCES },
		{ "hatch-a hatch-b", NULL, -EACCES }, { NULL, NULL, -EACCES },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct peer peer = { 1000, 5, .derivation = HASH "-top.drv" };

		peer.features = features_of(rows[i].first, rows[i].second);
		check(try_peer(WITH_FEATURES, &peer, "hatch") == rows[i].expected);
		/* It is no rule that lets anybody in. */
		check(try_peer("\"features\": [\"hatch-a\"]", &peer, "hatch") == -EACCES);
		/* Who is no build has no features, whatever stands there. */
		peer.derivation[0] = '\0';
		check(try_peer(WITH_FEATURES, &peer, "hatch") == -EACCES);
	}
}

/* A stranger's text is read only for who may use the builder otherwise. */
static void features_are_asked_for_last(void)
{
	static const struct {
		const char *allow, *socket;
		bool expected;
	} rows[] = {
		{ WITH_FEATURES, "hatch", true },
		{ WITH_FEATURES ", \"derivations\": [\"t*\"]", "hatch", true },
		{ WITH_FEATURES, "other", false },
		{ WITH_FEATURES ", \"derivations\": [\"x*\"]", "hatch", false },
		{ "\"users\": [1001], \"features\": [\"hatch-a\"]", "hatch", false },
		{ "\"users\": [1000]", "hatch", false },
	};
	const struct peer peer = { 1000, 5, .derivation = HASH "-top.drv" };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_builder struct builder builder = { 0 };
		char member[1024];

		(void)snprintf(member, sizeof(member), "\"allow\": {%s}", rows[i].allow);
		define(member, &builder);
		check(policy_needs_features(&config, &builder, &peer, rows[i].socket) ==
		      rows[i].expected);
	}
}

static void says_which_feature_is_not_required(void)
{
	struct peer peer = { 1000, 5, .derivation = HASH "-top.drv" };

	peer.features = features_of("hatch-a", NULL);
	check(try_peer(WITH_FEATURES, &peer, "hatch") == -EACCES && err.blame == BLAME_POLICY);
	check(strstr(err.text, "-top.drv does not require the feature hatch-b, which "
	                       "allow.features in /etc/hatch/builders.d/b.json asks for"));
	check(strstr(err.hint, "add \"hatch-b\" to requiredSystemFeatures"));
	/* Not to a stranger: that would tell of the builder. */
	check(!strstr(error_peer_text(&err), "hatch-b") &&
	      !strstr(error_peer_hint(&err), "hatch-b"));
}

static void features_that_are_not_known_are_not_required(void)
{
	struct peer peer = { 1000, 5, .derivation_why = "it has gone" };

	check(try_peer(WITH_FEATURES, &peer, "hatch") == -EACCES);
	check(strstr(err.text, "which one asks is not known: it has gone"));
	strcpy(peer.derivation, HASH "-top.drv");
	strcpy(peer.features_why, "it is cut off");
	check(try_peer(WITH_FEATURES, &peer, "hatch") == -EACCES);
	check(strstr(err.text, "it is cut off") && strstr(err.hint, "can read and parse"));
	peer.features_hint = "give --feature";
	check(try_peer(WITH_FEATURES, &peer, "hatch") == -EACCES);
	check(strcmp(err.hint, "give --feature") == 0);
	/* Broken is not missing. */
	config.allow_missing = true;
	check(try_peer(WITH_FEATURES, &peer, "hatch") == -EACCES);
	peer.derivation[0] = '\0';
	check(try_peer(WITH_FEATURES, &peer, "hatch") == -EACCES);
	config.allow_missing = false;
}

static void a_missing_derivation_is_allowed_only_where_that_is_said(void)
{
	struct peer peer = { 1000, 5, .derivation = HASH "-top.drv", .derivation_missing = true };

	check(try_peer(WITH_FEATURES, &peer, "hatch") == -EACCES);
	check(strstr(err.text, "its file is not on this machine"));
	check(strstr(err.hint, "\"missing_derivation\": \"allow\" in /etc/hatch/hatchd.json"));
	config.allow_missing = true;
	check(try_peer(WITH_FEATURES, &peer, "hatch") == 0);
	check(try_peer("\"features\": [\"hatch-a\"]", &peer, "hatch") == -EACCES);
	config.allow_missing = false;
}

static void an_unknown_builder_and_a_forbidden_one_look_the_same(void)
{
	static const char *const allow[] = {
		"\"users\": [1]",
		"\"users\": [1000], \"sockets\": [\"ci\"]",
		"\"users\": [1000], \"derivations\": [\"x\"]",
	};
	struct record record = { .kind = RECORD_REQUEST, .builder = text("b") };
	struct peer peer = { 1000, 5 };
	struct error unknown;

	check(ask(NULL, &peer, "hatch", &record) == -EACCES);
	unknown = err;
	check(strcmp(error_peer_text(&err), "there is no builder `b` that you may use") == 0);
	check(error_peer_hint(&err)[0] != '\0' && strcmp(error_peer_hint(&err), err.hint) != 0);
	check(strstr(err.text, "/etc/hatch/builders.d") && err.blame == BLAME_POLICY);
	for (size_t i = 0; i < ARRAY_SIZE(allow); i++) {
		cleanup_builder struct builder builder = { 0 };
		char member[256];

		(void)snprintf(member, sizeof(member), "\"allow\": {%s}", allow[i]);
		define(member, &builder);
		check(ask(&builder, &peer, "hatch", &record) == -EACCES);
		check(err.blame == unknown.blame && err.code == unknown.code);
		check(strcmp(error_peer_text(&err), error_peer_text(&unknown)) == 0);
		check(strcmp(error_peer_hint(&err), error_peer_hint(&unknown)) == 0);
		/* The log has it all. */
		check(strstr(err.text, builder.file) && err.hint[0] != '\0');
	}
}

/* One request of a peer that may use the builder. */
static int try_record(const char *member, const struct record *record)
{
	cleanup_builder struct builder builder = { 0 };
	struct peer peer = { 1000, 5 };
	char all[1024];

	(void)snprintf(all, sizeof(all), "\"allow\": {\"users\": [1000]}%s%s",
	               member[0] ? ", " : "", member);
	define(all, &builder);
	return ask(&builder, &peer, "hatch", record);
}

static int try_args(const char *member, size_t n_args, struct record_text *args)
{
	struct record record = {
		.kind = RECORD_REQUEST, .builder = text("b"), .args = args, .n_args = n_args
	};

	return try_record(member, &record);
}

static int try_arg(const char *member, const char *arg)
{
	struct record_text one = text(arg);

	return try_args(member, 1, &one);
}

static void takes_as_many_arguments_as_the_definition_says(void)
{
	struct record_text args[] = { text("a"), text("b"), text("c") };

	check(try_args("", 0, args) == 0);
	check(try_args("", 1, args) == -EACCES);
	check(strstr(err.text, "args.max in /etc/hatch/builders.d/b.json") && err.hint[0]);
	check(err.blame == BLAME_POLICY);
	/* This one may be read by the peer. */
	check(error_peer_text(&err) == err.text && error_peer_hint(&err) == err.hint);
	check(try_args("\"args\": {\"max\": 2}", 2, args) == 0);
	check(try_args("\"args\": {\"max\": 2}", 3, args) == -EACCES);
}

static void each_argument_must_match_as_a_whole(void)
{
	static const struct {
		const char *match, *arg;
		int expected;
	} rows[] = {
		{ "[a-z]+", "abc", 0 },
		{ "[a-z]+", "abc1", -EACCES },
		{ "[a-z]+", "1abc", -EACCES },
		{ "[a-z]+", "", -EACCES },
		{ "[a-z]*", "", 0 },
		{ "a|b", "a", 0 },
		{ "a|b", "b", 0 },
		{ "a|b", "ab", -EACCES },
		{ "a|ab", "ab", 0 },
		{ "a\", \"b+", "bbb", 0 },
		{ "a\", \"b+", "abbb", -EACCES },
		/* A newline is a character like any other, and no end. */
		{ "[a-z]+", "abc\nrm", -EACCES },
		{ "[a-z]+", "abc\n", -EACCES },
		{ "[a-z\\n]+", "abc\nrm", 0 },
		{ "a.c", "a\nc", 0 },
		{ "^a$", "a", 0 },
		{ "^a$", "b\na\nb", -EACCES },
		/* Bytes that are no text */
		{ "a.c",
		  "a\xff"
		  "c",
		  0 },
		{ "[a-z]+",
		  "a\xff"
		  "c",
		  -EACCES },
		{ "..", "\xc3\xa4", 0 },
		{ ".", "\xc3\xa4", -EACCES },
		{ "[[:alpha:]]+", "\xe4", -EACCES },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char member[256];

		(void)snprintf(member, sizeof(member),
		               "\"args\": {\"max\": 1, \"match\": [\"%s\"]}", rows[i].match);
		if (try_arg(member, rows[i].arg) != rows[i].expected)
			printf("# %s on %s\n", rows[i].match, rows[i].arg);
		check(try_arg(member, rows[i].arg) == rows[i].expected);
	}
}

/* The worst expression for the matcher: each byte brings it into a state it has not seen. */
static void matching_costs_no_more_than_a_constant_for_each_byte(void)
{
	enum { N = 24, LEN = 4096 };
	static const char
		member[] = "\"args\": {\"max\": 24, \"match\": [\"[ab]*a[ab]{20}c\", \"[ab]*\"]}";
	static char words[N][LEN + 2];
	struct record_text args[N];
	unsigned seed = 7;
	clock_t start;

	for (size_t i = 0; i < N; i++) {
		for (size_t k = 0; k < LEN; k++) {
			seed = seed * 1664525 + 1013904223;
			words[i][k] = seed >> 30 & 1 ? 'a' : 'b';
		}
		args[i] = text(words[i]);
	}
	start = clock();
	check(try_args(member, N, args) == 0);
	/* Without a limit to the states it is about fifty. */
	check((clock() - start) / CLOCKS_PER_SEC < 20);
	words[0][LEN] = 'a';
	args[0] = text(words[0]);
	check(try_args(member, 1, args) == -EACCES);
	check(strstr(err.text, "4096 bytes") != NULL);
	check(try_args("\"args\": {\"max\": 1}", 1, args) == 0);
}

static void names_the_argument_that_is_wrong(void)
{
	struct record_text args[] = { text("a"), text("b\n\033[2J") };

	check(try_args("\"args\": {\"max\": 2, \"match\": [\"a\"]}", 2, args) == -EACCES);
	check(strstr(err.text, "argument 2, `b\\n\\x1b[2J`, matches none of args.match") != NULL);
	check(strstr(err.text, "/etc/hatch/builders.d/b.json") && err.hint[0]);
}

static void a_dash_in_front_needs_permission(void)
{
	static const char without[] = "\"args\": {\"max\": 9}";
	static const char with[] = "\"args\": {\"max\": 9, \"dash\": true}";
	static const char matching[] = "\"args\": {\"max\": 9, \"match\": [\"y|-x\"]}";

	check(try_arg(without, "-x") == -EACCES);
	check(strstr(err.text, "args.dash") != NULL);
	check(try_arg(without, "-") == -EACCES);
	check(try_arg(without, "--") == -EACCES);
	check(try_arg(matching, "-x") == -EACCES);
	check(try_arg(without, "x-") == 0);
	check(try_arg(without, "") == 0);
	check(try_arg(with, "-x") == 0);
}

static void an_argument_is_no_longer_than_the_kernel_takes(void)
{
	cleanup_free char *arg = malloc(131073);

	memset(arg, 'a', 131072);
	arg[131072] = '\0';
	check(try_arg("\"args\": {\"max\": 1}", arg) == -EINVAL);
	check(err.blame == BLAME_PEER);
	arg[131071] = '\0';
	check(try_arg("\"args\": {\"max\": 1}", arg) == 0);
}

static int try_env(const char *member, size_t n_env, struct record_variable *env)
{
	struct record record = {
		.kind = RECORD_REQUEST, .builder = text("b"), .env = env, .n_env = n_env
	};

	return try_record(member, &record);
}

static void takes_only_variables_that_it_accepts(void)
{
	static const char member[] =
		"\"environment\": {\"set\": {\"FIXED\": \"1\"}, \"accept\": [\"TOP\", \"PART\"]}";
	static const char *const refused[] = { "FIXED", "TO",   "TOPP", "top",       "",
		                               "A=B",   "PATH", "out",  "LD_PRELOAD" };
	struct record_variable twice[] = { { text("TOP"), text("1") }, { text("TOP"), text("2") } };
	struct record_variable both[] = { { text("PART"), text("") }, { text("TOP"), text("2") } };

	check(try_env(member, 2, both) == 0);
	check(try_env(member, 2, twice) == -EINVAL);
	check(strstr(err.text, "TOP is given twice") && err.blame == BLAME_PEER);
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		struct record_variable one = { text(refused[i]), text("") };

		check(try_env(member, 1, &one) == -EACCES);
		check(strstr(err.text, "environment.accept in /etc/hatch/builders.d/b.json"));
		/* No advice that no definition can follow. */
		check(!strstr(err.hint, "have it added") == (i >= 6));
	}
	check(strstr(err.hint, "no builder can take it of a client: the program loader obeys it"));
	check(try_env("", 1, both) == -EACCES);
}

static void a_variable_is_no_longer_than_the_kernel_takes(void)
{
	static const char member[] = "\"environment\": {\"accept\": [\"TOP\"]}";
	cleanup_free char *value = malloc(131072);
	struct record_variable one = { text("TOP"), { value, 131068 } };

	memset(value, 'a', 131071);
	value[131068] = '\0';
	check(try_env(member, 1, &one) == -EINVAL);
	value[131067] = '\0';
	one.value.len = 131067;
	check(try_env(member, 1, &one) == 0);
}

static int try_outputs(const char *member, size_t n_outputs, struct record_tree *outputs)
{
	struct record record = { .kind = RECORD_REQUEST,
		                 .builder = text("b"),
		                 .outputs = outputs,
		                 .n_outputs = n_outputs };

	return try_record(member, &record);
}

static int try_path(const char *path)
{
	struct record_tree one = { text("out"), text(path) };

	return try_outputs("", 1, &one);
}

static void an_output_is_exactly_a_path_of_the_store(void)
{
	static const char *const good[] = { HASH "-x", HASH "-Az0+._?=-", HASH "-..",
		                            HASH "-.drv" };
	static const char *const bad[] = {
		"",
		HASH,
		HASH "-",
		HASH "x",
		"1" HASH "-x",
		HASH "-x/y",
		HASH "-x/",
		HASH "-x/..",
		HASH "-x y",
		HASH "-x\n",
		HASH "-\xc3\xa4",
		HASH "-x:y",
		HASH "-x\\y",
		"0123456789abcdfghijklmnpqrsvwxy-x",
		"e123456789abcdfghijklmnpqrsvwxyz-x",
		"O123456789abcdfghijklmnpqrsvwxyz-x",
		"0123456789ABCDFGHIJKLMNPQRSVWXYZ-x",
		"/" HASH "-x",
		"./" HASH "-x",
		"../" HASH "-x",
		".",
		"..",
		".links",
	};
	char path[512];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", store, good[i]);
		check(try_path(path) == 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", store, bad[i]);
		check(try_path(path) == -EINVAL);
		check(err.blame == BLAME_PEER && strstr(err.text, "no store path"));
	}
	check(try_path(store) == -EINVAL);
	check(try_path(HASH "-x") == -EINVAL);
	check(try_path("/" HASH "-x") == -EINVAL);
	check(try_path("/nix/store/" HASH "-x") == -EINVAL);
	(void)snprintf(path, sizeof(path), "%sx/" HASH "-x", store);
	check(try_path(path) == -EINVAL);
	(void)snprintf(path, sizeof(path), "%sx" HASH "-x", store);
	check(try_path(path) == -EINVAL);
	(void)snprintf(path, sizeof(path), "/%s/" HASH "-x", store);
	check(try_path(path) == -EINVAL);
}

static void the_name_of_an_output_has_211_characters_at_most(void)
{
	char path[512];
	int len = snprintf(path, sizeof(path), "%s/%s-", store, HASH);

	memset(path + len, 'a', 212);
	path[len + 212] = '\0';
	check(try_path(path) == -EINVAL);
	path[len + 211] = '\0';
	check(try_path(path) == 0);
}

static void an_output_must_not_exist(void)
{
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/%s-there", store, HASH);
	must(mkdir(path, 0755) == 0, path);
	check(try_path(path) == -EINVAL);
	check(strstr(err.text, "is in the host's store already") && err.hint[0]);
	must(rmdir(path) == 0, path);
	must(symlink("nowhere", path) == 0, path);
	check(try_path(path) == -EINVAL);
	must(unlink(path) == 0, path);
	check(try_path(path) == 0);
}

static void two_outputs_are_two(void)
{
	char one[512], two[512];
	struct record_tree same_path[] = { { text("out"), { 0 } }, { text("dev"), { 0 } } };
	struct record_tree same_name[] = { { text("out"), text("") }, { text("out"), text("") } };
	struct record_tree elsewhere[] = { { text("out"), text("") }, { text("dev"), text("") } };

	(void)snprintf(one, sizeof(one), "%s/%s-x", store, HASH);
	(void)snprintf(two, sizeof(two), "%s/%s-x-dev", store, HASH);
	same_path[0].path = same_path[1].path = text(one);
	check(try_outputs("", 2, same_path) == -EINVAL);
	check(strstr(err.text, "out and dev are one and the same") != NULL);
	same_path[1].path = text(two);
	check(try_outputs("", 2, same_path) == 0);
	check(try_outputs("", 2, same_name) == -EINVAL);
	check(try_outputs("", 2, elsewhere) == 0);
}

static void the_name_of_an_output_is_no_variable_of_the_builder(void)
{
	struct record_tree lib = { text("lib"), text("") };

	check(try_outputs("\"environment\": {\"set\": {\"lib\": \"\"}}", 1, &lib) == -EACCES);
	check(try_outputs("\"environment\": {\"accept\": [\"lib\"]}", 1, &lib) == -EACCES);
	check(strstr(err.text, "environment in /etc/hatch/builders.d/b.json") != NULL);
	check(try_outputs("\"environment\": {\"accept\": [\"libs\"]}", 1, &lib) == 0);
	lib.name = text("outputs");
	check(try_outputs("", 1, &lib) == -EINVAL);
	lib.name = text("PATH");
	check(try_outputs("", 1, &lib) == -EINVAL);
}

static int try_inputs(const char *member, size_t n_inputs, struct record_tree *inputs)
{
	struct record record = {
		.kind = RECORD_REQUEST, .builder = text("b"), .inputs = inputs, .n_inputs = n_inputs
	};

	return try_record(member, &record);
}

static const char with_inputs[] = "\"inputs\": true";

static void only_a_builder_that_takes_inputs_gets_any(void)
{
	struct record_tree input = { text("src"), { 0 } };

	check(try_inputs("", 1, &input) == -EACCES);
	check(err.blame == BLAME_POLICY && strstr(err.text, "takes no inputs"));
	check(strstr(err.text, "/etc/hatch/builders.d/b.json") && err.hint[0]);
	check(try_inputs("\"inputs\": false", 1, &input) == -EACCES);
	check(try_inputs(with_inputs, 1, &input) == 0);
	check(try_inputs("", 0, NULL) == 0);
}

static void an_input_has_one_name_and_is_at_most_of_the_store(void)
{
	static const char *const good[] = {
		"/" HASH "-x",
		"/" HASH "-a+b._?=-C",
		"/" HASH "-x/y",
		"/" HASH "-x/.y/... z/..y",
	};
	static const char *const bad[] = {
		"",
		"/",
		"/" HASH,
		"/" HASH "-",
		"/" HASH "-/y",
		"/" HASH "-x/",
		"/" HASH "-x/y/",
		"/" HASH "-x//y",
		"/" HASH "-x/.",
		"/" HASH "-x/./y",
		"/" HASH "-x/..",
		"/" HASH "-x/../" HASH "-y",
		"/" HASH "-x/y/../../z",
		"/y/" HASH "-x",
		"/../etc",
		"x/" HASH "-x",
	};
	struct record_tree twice[] = { { text("a"), { 0 } }, { text("a"), { 0 } } };
	char path[512];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct record_tree input = { text("src"), text(path) };

		(void)snprintf(path, sizeof(path), "%s%s", store, good[i]);
		input.path = text(path);
		check(try_inputs(with_inputs, 1, &input) == 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct record_tree input = { text("src"), text(path) };

		(void)snprintf(path, sizeof(path), "%s%s", store, bad[i]);
		input.path = text(path);
		check(try_inputs(with_inputs, 1, &input) == -EINVAL);
		check(err.blame == BLAME_PEER && strstr(err.text, "no store path"));
	}
	check(try_inputs(with_inputs, 2, twice) == -EINVAL && strstr(err.text, "twice"));
	twice[1].name = text("b");
	check(try_inputs(with_inputs, 2, twice) == 0);
	twice[1].name = text("../b");
	check(try_inputs(with_inputs, 2, twice) == -EINVAL);
}

static void an_inline_reply_has_no_outputs(void)
{
	struct record_tree out = { text("out"), text("") };
	struct record record = { .kind = RECORD_REQUEST,
		                 .builder = text("b"),
		                 .outputs = &out,
		                 .n_outputs = 1,
		                 .inline_reply = true };

	check(try_record("", &record) == -EINVAL);
	record.n_outputs = 0;
	check(try_record("", &record) == 0);
}

static void the_time_limit_is_the_shorter_one(void)
{
	static const struct {
		uint64_t asked, expected;
	} rows[] = { { 0, 60 }, { 1, 1 }, { 60, 60 }, { 99, 99 }, { 100, 100 }, { 101, 100 } };
	cleanup_builder struct builder builder = { 0 };
	struct peer peer = { 1000, 5 };

	define("\"allow\": {\"users\": [1000]}, "
	       "\"limits\": {\"time_sec\": {\"default\": 60, \"max\": 100}}",
	       &builder);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_request struct request request = { 0 };
		struct record record = { .kind = RECORD_REQUEST,
			                 .builder = text("b"),
			                 .timeout_sec = rows[i].asked };

		check(request_check(&config, &builder, &peer, "hatch", &record, &request, &err) ==
		      0);
		check(request.time_limit_sec == rows[i].expected);
	}
}

static void a_request_holds_what_was_allowed_and_nothing_else(void)
{
	cleanup_builder struct builder builder = { 0 };
	cleanup_request struct request request = { 0 };
	struct peer peer = { 1000, 5 };
	char path[512];
	struct record_text args[] = { text("one"), text("") };
	struct record_variable env[] = { { text("TOP"), text("x y") } };
	struct record_tree outputs[] = { { text("out"), { 0 } }, { text("log"), text("") } };
	struct record record = {
		RECORD_REQUEST, text("b"), text("id"), args, 2, env, 1, outputs, 2
	};

	(void)snprintf(path, sizeof(path), "%s/%s-x", store, HASH);
	outputs[0].path = text(path);
	define("\"allow\": {\"users\": [1000]}, \"args\": {\"max\": 2}, "
	       "\"environment\": {\"set\": {\"A\": \"\"}, \"accept\": [\"TOP\", \"B\"]}",
	       &builder);
	check(request_check(&config, &builder, &peer, "hatch", &record, &request, &err) == 0);
	if (unit_failed)
		return;
	check(request.config == &config && request.builder == &builder && request.peer == &peer);
	check(strcmp(request.argv[0], "/x") == 0 && strcmp(request.argv[1], "-c") == 0);
	check(strcmp(request.argv[2], "one") == 0 && strcmp(request.argv[3], "") == 0);
	check(!request.argv[4]);
	check(request.n_env == 1 && strcmp(request.env[0].name, "TOP") == 0);
	check(strcmp(request.env[0].value, "x y") == 0);
	check(request.n_outputs == 2 && request.outputs[0].in_store);
	check(strcmp(request.outputs[0].path, path) == 0);
	check(strcmp(request.outputs[0].base, HASH "-x") == 0);
	check(!request.outputs[1].in_store && strcmp(request.outputs[1].name, "log") == 0);
	check(strcmp(request.outputs[1].path, OUTPUT_DIR "/log") == 0);
	check(strcmp(request.outputs[1].base, "log") == 0);
}

/* Does the expression as regcomp(3) reads it match the whole text? */
static bool reference_matches(const regex_t *regex, const char *string)
{
	regmatch_t match;

	return regexec(regex, string, 1, &match, 0) == 0 && match.rm_so == 0 &&
	       match.rm_eo == (regoff_t)strlen(string);
}

/* Random expressions: the anchors that are put around one never change what it means. */
static void anchors_do_not_change_what_an_expression_matches(void)
{
	static const char letters[] = "aaabbb()()||[]^*.{}12,\\-:";
	static const char *const strings[] = { "",    "a",   "b",   "ab", "ba", "aa",  "bb",
		                               "aab", "abb", "bab", "a)", "(b", "a|b", "1" };
	unsigned seed = 1, n_good = 0;

	for (unsigned i = 0; i < 30000; i++) {
		cleanup_patterns struct patterns patterns = { 0 };
		char expression[10] = "", why[PATTERN_WHY_MAX], *one = expression;
		size_t len, bad;
		regex_t reference;

		seed = seed * 1664525 + 1013904223;
		len = 1 + (seed >> 16) % 8;
		for (size_t k = 0; k < len; k++) {
			seed = seed * 1664525 + 1013904223;
			expression[k] = letters[(seed >> 16) % (sizeof(letters) - 1)];
		}
		if (patterns_compile(&one, 1, &patterns, &bad, why) < 0)
			continue;
		n_good++;
		if (regcomp(&reference, expression, REG_EXTENDED) != 0) {
			printf("# %s is taken only with anchors\n", expression);
			check(false);
			continue;
		}
		for (size_t k = 0; k < ARRAY_SIZE(strings); k++) {
			bool same = patterns_match(&patterns, strings[k]) ==
			            reference_matches(&reference, strings[k]);

			if (!same)
				printf("# %s on %s\n", expression, strings[k]);
			check(same);
		}
		regfree(&reference);
	}
	check(n_good > 5000);
}

/* What decided, and where it stands in the definition. */
static void check_ruling(const struct builder *builder, const struct ruling *ruling, bool allowed,
                         const char *about, const char *key, size_t line, size_t column)
{
	struct position position = builder_position(builder, ruling->key, ruling->item);

	check(ruling->allowed == allowed);
	check(strcmp(ruling->about, about) == 0);
	check(strcmp(ruling->key, key) == 0);
	check(position.line == line && position.column == column);
}

static void tells_which_rules_allowed(void)
{
	static const char json[] = "{\"command\": [\"/x\"],\n"
				   " \"allow\": {\"users\": [7],\n"
				   "   \"groups\": [8, 9], \"uid_ranges\": [\n"
				   "     {\"first\": 30, \"last\": 39}],\n"
				   "   \"derivations\": [\"a\", \"*-x\"]},\n"
				   " \"args\": {\"max\": 2, \"match\": [\"b+\", \"a+\"]},\n"
				   " \"environment\": {\"accept\": [\"A\", \"B\"]}}\n";
	static gid_t groups[] = { 9 };
	cleanup_builder struct builder builder = { 0 };
	cleanup_rulings struct rulings rulings = { 0 }, other = { 0 };
	cleanup_request struct request request = { 0 }, again = { 0 };
	struct record_text args[] = { text("aa"), text("b") };
	struct record_variable env[] = { { text("B"), text("1") } };
	const struct record record = { .kind = RECORD_REQUEST,
		                       .builder = text("b"),
		                       .args = args,
		                       .n_args = ARRAY_SIZE(args),
		                       .env = env,
		                       .n_env = ARRAY_SIZE(env) };
	struct peer peer = { 1000, 5, groups, ARRAY_SIZE(groups), .derivation = HASH "-n-x.drv" };

	check(builder_parse(&config, "b", json, strlen(json), NULL, &builder, &err) == 0);
	check(request_explain(&config, &builder, &peer, "hatch", &record, &rulings, &request,
	                      &err) == 0);
	check(!rulings.failed && rulings.n_items == 9);
	check_ruling(&builder, &rulings.items[0], true, "socket", "allow.sockets", 0, 0);
	check_ruling(&builder, &rulings.items[1], true, "peer", "allow.groups", 3, 18);
	check(strcmp(rulings.items[1].text, "gid 9") == 0);
	check_ruling(&builder, &rulings.items[2], true, "derivation", "allow.derivations", 5, 25);
	check_ruling(&builder, &rulings.items[3], true, "features", "allow.features", 0, 0);
	check_ruling(&builder, &rulings.items[4], true, "arguments", "args.max", 6, 11);
	check_ruling(&builder, &rulings.items[5], true, "argument 1", "args.match", 6, 37);
	check_ruling(&builder, &rulings.items[6], true, "argument 2", "args.match", 6, 31);
	check_ruling(&builder, &rulings.items[7], true, "variable 1", "environment.accept", 7, 34);
	check_ruling(&builder, &rulings.items[8], true, "time limit", "limits.time_sec", 0, 0);

	peer = (struct peer){ 33, 5, .derivation = HASH "-a.drv" };
	check(request_explain(&config, &builder, &peer, "hatch", &record, &other, &again, &err) ==
	      0);
	check_ruling(&builder, &other.items[1], true, "peer", "allow.uid_ranges", 4, 6);
	check_ruling(&builder, &other.items[2], true, "derivation", "allow.derivations", 5, 20);
}

/* The last ruling of a refusal. */
static void check_refusal(const char *members, const struct peer *peer, const char *socket_class,
                          const char *arg, const char *about, const char *key, size_t column)
{
	cleanup_builder struct builder builder = { 0 };
	cleanup_rulings struct rulings rulings = { 0 };
	cleanup_request struct request request = { 0 };
	struct record_text args[] = { text(arg) };
	struct record_variable env[] = { { text("A"), text("") } };
	struct record record = { .kind = RECORD_REQUEST,
		                 .builder = text("b"),
		                 .args = args,
		                 .n_args = strlen(arg) > 0,
		                 .env = env,
		                 .n_env = strlen(arg) == 0 };

	define(members, &builder);
	check(request_explain(&config, &builder, peer, socket_class, &record, &rulings, &request,
	                      &err) == -EACCES);
	check(rulings.n_items > 0);
	if (rulings.n_items > 0)
		check_ruling(&builder, &rulings.items[rulings.n_items - 1], false, about, key,
		             column > 0, column);
}

static void tells_which_rule_refused(void)
{
	static const struct peer peer = { 1000, 5 }, root = { 0, 0 };
	/* Column 27 is behind {"command": ["/x", "-c"], */
	static const char
		may[] = "\"allow\": {\"users\": [1000]}, \"args\": {\"max\": 1, \"match\": "
			"[\"a\"]}";

	check_refusal("", &peer, "hatch", "", "peer", "allow", 0);
	check_refusal("\"allow\": {}", &peer, "hatch", "", "peer", "allow", 27);
	check_refusal("\"allow\": {\"users\": [1]}", &root, "hatch", "", "peer", "allow.users", 37);
	check_refusal("\"allow\": {\"sockets\": [\"ci\"]}", &peer, "hatch", "", "socket",
	              "allow.sockets", 37);
	check_refusal("\"allow\": {\"users\": [1000], \"features\": [\"x\"]}", &peer, "hatch", "",
	              "features", "allow.features", 54);
	check_refusal("\"allow\": {\"users\": [1000], \"derivations\": [\"*\"]}", &peer, "hatch",
	              "", "derivation", "allow.derivations", 54);
	check_refusal("\"allow\": {\"users\": [1000]}", &peer, "hatch", "x", "arguments",
	              "args.max", 0);
	check_refusal(may, &peer, "hatch", "x", "argument 1", "args.match", 74);
	check_refusal(may, &peer, "hatch", "-x", "argument 1", "args.dash", 0);
	check_refusal(may, &peer, "hatch", "", "variable 1", "environment.accept", 0);
}

static const struct unit_case cases[] = {
	CASE(allows_nobody_unless_told),
	CASE(allows_by_user_group_and_range),
	CASE(root_and_nobody_need_a_line_of_their_own),
	CASE(build_users_need_a_line_of_their_own),
	CASE(a_socket_reaches_only_builders_of_its_class),
	CASE(a_rule_for_derivations_comes_on_top),
	CASE(says_why_no_derivation_is_known),
	CASE(all_features_must_be_required),
	CASE(features_are_asked_for_last),
	CASE(says_which_feature_is_not_required),
	CASE(features_that_are_not_known_are_not_required),
	CASE(a_missing_derivation_is_allowed_only_where_that_is_said),
	CASE(an_unknown_builder_and_a_forbidden_one_look_the_same),
	CASE(takes_as_many_arguments_as_the_definition_says),
	CASE(each_argument_must_match_as_a_whole),
	CASE(matching_costs_no_more_than_a_constant_for_each_byte),
	CASE(names_the_argument_that_is_wrong),
	CASE(a_dash_in_front_needs_permission),
	CASE(an_argument_is_no_longer_than_the_kernel_takes),
	CASE(takes_only_variables_that_it_accepts),
	CASE(a_variable_is_no_longer_than_the_kernel_takes),
	CASE(an_output_is_exactly_a_path_of_the_store),
	CASE(the_name_of_an_output_has_211_characters_at_most),
	CASE(an_output_must_not_exist),
	CASE(two_outputs_are_two),
	CASE(only_a_builder_that_takes_inputs_gets_any),
	CASE(an_input_has_one_name_and_is_at_most_of_the_store),
	CASE(the_name_of_an_output_is_no_variable_of_the_builder),
	CASE(an_inline_reply_has_no_outputs),
	CASE(the_time_limit_is_the_shorter_one),
	CASE(a_request_holds_what_was_allowed_and_nothing_else),
	CASE(tells_which_rules_allowed),
	CASE(tells_which_rule_refused),
	CASE(anchors_do_not_change_what_an_expression_matches),
};

int main(void)
{
	char json[128];
	int r;

	must(mkdtemp(store) != NULL, store);
	(void)snprintf(json, sizeof(json), "{\"store\": \"%s\"}", store);
	must(config_parse("/etc/hatch", false, json, strlen(json), NULL, &config, &err) == 0, json);
	r = unit_run(cases, ARRAY_SIZE(cases));
	config_done(&config);
	(void)rmdir(store);
	return r;
}
