#include "config.h"

#include <errno.h>
#include <grp.h>

#include "check.h"
#include "hatchd/slot/test-place.h"
#include "read.h"
#include "tests/unit.h"

static struct error err;
static struct config base; /* defaults, no pool */

static int parse_builder(const char *text, struct builder *ret)
{
	return builder_parse(&base, "b", text, strlen(text), NULL, ret, &err);
}

static int try_builder(const char *text)
{
	cleanup_builder struct builder builder = { 0 };

	err.text[0] = '\0';
	return parse_builder(text, &builder);
}

/* A definition with one key more than the command. */
static int try_key(const char *member)
{
	char text[4096];

	(void)snprintf(text, sizeof(text), "{\"command\": [\"/x\"], %s}", member);
	return try_builder(text);
}

static int try_config(const char *text)
{
	cleanup_config struct config config = { 0 };

	err.text[0] = '\0';
	return config_parse("/etc/hatch", false, text, strlen(text), NULL, &config, &err);
}

/* Did the last one fail at this place, with these words? */
static bool says(const char *place, const char *words)
{
	size_t len = strlen(place);
	const char *file = strstr(err.text, ".json:");
	bool right = file && strncmp(file + 6, place, len) == 0 && file[6 + len] == ':' &&
	             strstr(file, words);

	if (!right)
		printf("# said: %s\n# not: %s: ... %s\n", err.text, place, words);
	return right;
}

static bool is_place(const struct place *place, enum place_kind kind, const char *at,
                     const char *source)
{
	return place->kind == kind && strcmp(place->at, at) == 0 &&
	       (source ? place->source && strcmp(place->source, source) == 0 : !place->source);
}

static void a_definition_may_say_everything(void)
{
	static const char text[] =
		"{\n"
		"  \"description\": \"Grüße\",\n"
		"  \"command\": [\"/opt/run\", \"-x\", \"\"],\n"
		"  \"allow\": {\"users\": [\"root\", 1000], \"groups\": [100, \"root\"],\n"
		"    \"uid_ranges\": [{\"first\": 872415232, \"last\": 872480767}],\n"
		"    \"derivations\": [\"*-bitstream\"], \"features\": [\"hatch-b\", \"kvm\"],\n"
		"    \"sockets\": [\"hatch\", \"ci\"]},\n"
		"  \"args\": {\"max\": 16, \"match\": [\"[a-z]+\", \"x|y\"], \"dash\": true},\n"
		"  \"environment\": {\"set\": {\"PATH\": \"/bin\", \"A\": \"\"}, \"accept\": [\"TOP\"]},\n"
		"  \"groups\": [\"tty\"], \"network\": \"host\",\n"
		"  \"seccomp\": [\"@userns\", \"@debug\"],\n"
		"  \"view\": {\"base\": \"minimal\", \"read\": [\"/opt/z\", \"/opt\"],\n"
		"    \"write\": [{\"path\": \"/srv/a\", \"at\": \"/opt/a\", \"optional\": true}],\n"
		"    \"tmpfs\": [{\"at\": \"/var/cache\", \"size\": \"1M\"}],\n"
		"    \"hide\": [\"/opt/z/keys\"],\n"
		"    \"overlay\": [{\"at\": \"/sys-root\", \"lower\": [\"/b\", \"/a\"],\n"
		"      \"top\": \"tmpfs\", \"size\": \"2M\"}]},\n"
		"  \"credentials\": [\"key\", \"other key\"], \"credentials_scan\": false,\n"
		"  \"undeclared_references\": \"fail\",\n"
		"  \"limits\": {\"time_sec\": {\"default\": 60, \"max\": 7200}, \"silence_sec\": 30,\n"
		"    \"grace_sec\": 1, \"log\": \"2M\", \"output\": 1234, \"output_entries\": 7}\n"
		"}\n";
	cleanup_builder struct builder b = { 0 };

	check(parse_builder(text, &b) == 0);
	if (unit_failed)
		return;
	check(strcmp(b.name, "b") == 0 && strcmp(b.description, "Grüße") == 0);
	check(strcmp(b.file, "/etc/hatch/builders.d/b.json") == 0);
	check(strcmp(b.command[0], "/opt/run") == 0 && strcmp(b.command[1], "-x") == 0);
	check(strcmp(b.command[2], "") == 0 && !b.command[3]);
	check(b.allow.n_uids == 2 && b.allow.uids[0] == 0 && b.allow.uids[1] == 1000);
	check(b.allow.n_gids == 2 && b.allow.gids[0] == 100 && b.allow.gids[1] == 0);
	check(b.allow.n_ranges == 1 && b.allow.ranges[0].first == 872415232 &&
	      b.allow.ranges[0].last == 872480767);
	check(b.allow.n_derivations == 1 && b.allow.n_sockets == 2);
	check(b.allow.n_features == 2 && strcmp(b.allow.features[1], "kvm") == 0);
	check(strcmp(b.allow.sockets[1], "ci") == 0);
	check(b.args.max == 16 && b.args.n_match == 2 && b.args.dash);
	check(strcmp(b.args.match[1], "x|y") == 0);
	check(b.environment.n_set == 2 && strcmp(b.environment.set[0].name, "PATH") == 0);
	check(strcmp(b.environment.set[0].value, "/bin") == 0);
	check(b.environment.n_accept == 1 && strcmp(b.environment.accept[0], "TOP") == 0);
	check(b.n_groups == 1 && b.groups[0] == getgrnam("tty")->gr_gid &&
	      strcmp(b.group_names[0], "tty") == 0);
	check(b.network.kind == NETWORK_HOST);
	check(!b.seccomp.none && b.seccomp.groups == (SECCOMP_USERNS | SECCOMP_DEBUG));
	check(b.view.base == BASE_MINIMAL && b.view.n_places == 6);
	if (unit_failed)
		return;
	check(is_place(&b.view.places[0], PLACE_READ, "/opt", "/opt"));
	check(is_place(&b.view.places[1], PLACE_WRITE, "/opt/a", "/srv/a"));
	check(!b.view.places[0].optional && b.view.places[1].optional);
	check(is_place(&b.view.places[2], PLACE_READ, "/opt/z", "/opt/z"));
	check(is_place(&b.view.places[3], PLACE_HIDE, "/opt/z/keys", NULL));
	check(is_place(&b.view.places[4], PLACE_OVERLAY, "/sys-root", NULL));
	check(b.view.places[4].top == TOP_TMPFS && b.view.places[4].size == 2 << 20);
	check(strcmp(b.view.places[4].lower[0], "/b") == 0 &&
	      strcmp(b.view.places[4].lower[1], "/a") == 0 && !b.view.places[4].lower[2]);
	check(is_place(&b.view.places[5], PLACE_TMPFS, "/var/cache", NULL));
	check(b.view.places[5].size == 1 << 20);
	check(b.n_credentials == 2 && strcmp(b.credentials[1], "other key") == 0);
	check(!b.credentials[2] && !b.credentials_scan);
	check(b.undeclared_references == UNDECLARED_FAIL);
	check(b.limits.time_default_sec == 60 && b.limits.time_max_sec == 7200);
	check(b.limits.silence_sec == 30 && b.limits.grace_sec == 1);
	check(b.limits.log_bytes == 2 << 20 && b.limits.output_bytes == 1234);
	check(b.limits.output_entries == 7);
}

static void what_is_absent_has_the_most_restrictive_value(void)
{
	cleanup_builder struct builder b = { 0 };

	check(parse_builder("{\"command\": [\"/x\"]}", &b) == 0);
	check(b.allow.n_uids == 0 && b.allow.n_gids == 0 && b.allow.n_ranges == 0);
	check(b.allow.n_derivations == 0 && b.allow.n_features == 0);
	check(b.allow.n_sockets == 1 && strcmp(b.allow.sockets[0], "hatch") == 0);
	check(b.args.max == 0 && b.args.n_match == 0 && !b.args.dash);
	check(b.environment.n_set == 0 && b.environment.n_accept == 0);
	check(b.n_groups == 0 && b.group_names && !b.group_names[0]);
	check(!b.seccomp.none && b.seccomp.groups == 0);
	check(b.network.kind == NETWORK_NONE);
	check(b.view.base == BASE_MINIMAL && b.view.n_places == 0);
	check(b.n_credentials == 0 && b.credentials_scan);
	check(b.undeclared_references == UNDECLARED_WARN);
	check(!b.keep_failed && b.n_keep_failed == 0);
	check(b.limits.time_default_sec == 600 && b.limits.time_max_sec == 600);
	check(b.limits.silence_sec == 0 && b.limits.grace_sec == 5);
	check(b.limits.log_bytes == 64 << 20 && b.limits.output_bytes == 1 << 30);
	check(b.limits.output_entries == 100000 && b.limits.wait_sec == 0);
	check(!b.inputs && b.limits.input_bytes == 1 << 30 && b.limits.input_entries == 100000);
	check(b.limits.input_sec == 600);
	check(b.n_resources == 0 && !b.before.command && !b.after.command);
	/* Of these nothing is less than what the service itself may use. */
	check(b.limits.memory_bytes == 0 && b.limits.tasks == 0 && b.limits.cpu_quota_us == 0);
	check(!b.limits_optional);
	check(strcmp(b.description, "") == 0);
}

static void reads_limits_of_cgroup_and_processes(void)
{
	static const char text[] =
		"{\"command\": [\"/x\"], \"limits_optional\": true, \"limits\": {\"memory\": \"2G\",\n"
		"\"memory_high\": \"1G\", \"swap\": \"1M\", \"cpus\": 1.5, \"tasks\": 9,\n"
		"\"io_weight\": 50, \"rlimits\": {\"nofile\": 64, \"core\": \"unlimited\",\n"
		"\"stack\": {\"soft\": \"1M\", \"hard\": \"2M\"}}}}";
	cleanup_builder struct builder b = { 0 };
	const struct rlimit_setting *rlimits = b.limits.rlimits;

	check(parse_builder(text, &b) == 0);
	check(b.limits_optional);
	check(b.limits.memory_bytes == UINT64_C(2) << 30 && b.limits.memory_high_bytes == 1 << 30);
	check(b.limits.swap_bytes == 1 << 20 && b.limits.cpu_quota_us == 150000);
	check(b.limits.tasks == 9 && b.limits.io_weight == 50);
	check(rlimits[RLIMIT_NOFILE].set && rlimits[RLIMIT_NOFILE].soft == 64 &&
	      rlimits[RLIMIT_NOFILE].hard == 64);
	check(rlimits[RLIMIT_CORE].set && rlimits[RLIMIT_CORE].hard == UINT64_MAX);
	check(rlimits[RLIMIT_STACK].soft == 1 << 20 && rlimits[RLIMIT_STACK].hard == 2 << 20);
	check(!rlimits[RLIMIT_AS].set);
}

static void limits_that_contradict_each_other_are_named_with_their_place(void)
{
	static const struct {
		const char *limits, *place, *what;
	} rows[] = {
		{ "\"memory\": \"8M\",\n \"memory_high\": \"9M\"", "2:17",
		  "memory_high is above memory; expected at most \"8M\"" },
		{ "\n\"swap\": \"9M\"", "2:9", "expected the key memory too" },
		{ "\"rlimits\": {\"stack\":\n {\"soft\": \"2M\", \"hard\": \"1M\"}}", "2:11",
		  "soft is above hard" },
		{ "\n\"rlimits\": {\"files\": 9}", "2:13", "unknown key \"files\"" },
		{ "\"memory\": \"8M\",\n\"scratch\": \"9M\"}, \"scratch_on\": \"tmpfs\", \"args\": {",
		  "2:12", "expected at most memory and swap: \"8M\"" },
		{ "},\n\"scratch_on\": \"tmpfs\", \"args\": {", "2:15",
		  "expected the key scratch" },
		{ "\n\"cpus\": \"all\"", "2:9", "expected a number of processors" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_builder struct builder b = { 0 };
		char text[512], place[64];

		(void)snprintf(text, sizeof(text), "{\"command\": [\"/x\"], \"limits\": {%s}}",
		               rows[i].limits);
		(void)snprintf(place, sizeof(place),
		               "/etc/hatch/builders.d/b.json:%s:", rows[i].place);
		check(parse_builder(text, &b) == -EINVAL);
		check(strncmp(err.text, place, strlen(place)) == 0);
		check(strstr(err.text, rows[i].what) != NULL);
		if (unit_failed)
			printf("# %s\n", err.text);
	}
}

static void hatchd_json_may_be_absent_or_empty(void)
{
	static const char *const texts[] = { NULL, "{}" };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		cleanup_config struct config c = { 0 };

		check(config_parse("/etc/hatch", false, texts[i], texts[i] ? 2 : 0, NULL, &c,
		                   &err) == 0);
		check(strcmp(c.store_dir, "/nix/store") == 0);
		check(strcmp(c.state_dir, "/var/lib/hatch") == 0);
		check(strcmp(c.build_group, "hatchbld") == 0);
		check(strcmp(c.speaker_user, "hatch") == 0);
		check(c.queue_max == 64 && c.n_users == 0 && !c.pool);
		check(c.connections_per_user == 32);
		check(c.failed.size == 64 << 20 && c.failed.total == 1 << 30);
		check(c.failed.keep_days == 7);
		check(c.speaker_uid == (uid_t)-1 && c.build_gid == (gid_t)-1);
		check(c.owner_uid == geteuid());
	}
}

static void hatchd_json_may_say_everything(void)
{
	static const char
		text[] = "{\"store\": \"/s\", \"state\": \"/t\", \"queue_max\": 0,"
			 "\"connections_per_user\": 1,"
			 "\"build_users_group\": \"g\", \"speaker_user\": \"u\","
			 "\"failed\": {\"size\": \"1M\", \"total\": \"2M\", \"keep_days\": 90},"
			 "\"missing_derivation\": \"allow\","
			 "\"resources\": {\"vivado-seat\": 2, \"b.1\": 1024}}";
	cleanup_config struct config c = { 0 };

	check(config_parse("/d", false, text, strlen(text), NULL, &c, &err) == 0);
	check(strcmp(c.dir, "/d") == 0 && strcmp(c.file, "/d/hatchd.json") == 0);
	check(strcmp(c.store_dir, "/s") == 0 && strcmp(c.state_dir, "/t") == 0);
	check(strcmp(c.build_group, "g") == 0 && strcmp(c.speaker_user, "u") == 0);
	check(c.queue_max == 0 && c.connections_per_user == 1 && c.allow_missing);
	check(c.n_resources == 2 && strcmp(c.resources[0].name, "vivado-seat") == 0);
	check(c.resources[0].count == 2 && c.resources[1].count == 1024);
	check(c.failed.size == 1 << 20 && c.failed.total == 2 << 20 && c.failed.keep_days == 90);
}

static void refuses_what_is_wrong_in_hatchd_json(void)
{
	static const struct {
		const char *text, *place, *words;
	} rows[] = {
		{ "{\"store\": \"nix/store\"}", "1:11", "absolute path" },
		{ "{\"store\": \"/nix/store/\"}", "1:11", "absolute path" },
		{ "{\"state\": \"/var/../x\"}", "1:11", "absolute path" },
		{ "{\"queue_max\": -1}", "1:15", "out of range; expected 0 to 65536" },
		{ "{\"queue_max\": 65537}", "1:15", "queue_max is out of range" },
		{ "{\"connections_per_user\": 0}", "1:26", "expected 1 to 65536" },
		{ "{\"connections_per_user\": 65537}", "1:26", "expected 1 to 65536" },
		{ "{\"queue_max\": \"64\"}", "1:15", "this is a string; expected an integer" },
		{ "{\"failed\": {\"size\": 10}}", "1:21", "size is out of range; expected \"" },
		{ "{\"queue_max\": 1,\n}", "2:1", "a comma before this; expected none" },
		{ "{\"failed\": {\"keep_days\": 91}}", "1:26", "expected 1 to 90" },
		{ "{\"failed\": {\"days\": 1}}", "1:13", "unknown key \"days\"" },
		{ "{\"speaker_user\": \"\"}", "1:18", "the text is empty" },
		{ "{\"speaker_user\": \"a\\nb\"}", "1:18", "control character" },
		{ "{\"missing_derivation\": \"expose\"}", "1:24",
		  "\"expose\"; expected \"refuse\" or \"allow\"" },
		{ "{\"missing_derivation\": true}", "1:24", "expected a string" },
		{ "{\"uid\": 3}", "1:2", "unknown key \"uid\"; expected one of: store, state" },
		{ "{\"resources\": [\"a\"]}", "1:15", "this is a list; expected an object" },
		{ "{\"resources\": {\"a\": 0}}", "1:21", "0 of \"a\"; expected 1 to 1024" },
		{ "{\"resources\": {\"a\": -1}}", "1:21", "expected 1 to 1024" },
		{ "{\"resources\": {\"a\": 1025}}", "1:21", "expected 1 to 1024" },
		{ "{\"resources\": {\"a\": \"1\"}}", "1:21", "this is a string" },
		{ "{\"resources\": {\"a\": 1,\n \"A\": 1}}", "2:2", "no name of a resource" },
		{ "{\"resources\": {\"slot\": 1}}", "1:16", "expected another name" },
		{ "{\"resources\": {\"a\": 1, \"a\": 1}}", "1:24", "twice" },
		{ "[]", "1:1", "this is a list; expected an object" },
		{ "{\"state\": \"/run/hatch/s\"}", "1:11", "meets /run/hatch: builds see it" },
		{ "{\"state\": \"/run\"}", "1:11", "meets /run/hatch" },
		{ "{\"state\": \"/nix/store/x\"}", "1:11", "meets /nix/store" },
		{ "{\"state\": \"/a\", \"store\": \"/a/b\"}", "1:11", "meets /a/b" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		check(try_config(rows[i].text) == -EINVAL);
		check(says(rows[i].place, rows[i].words));
	}
	check(try_config("{\"queue_max\": 65536}") == 0);
}

static void says_where_the_text_is_no_json(void)
{
	static const struct {
		const char *text, *place, *words;
	} rows[] = {
		{ "", "1:1", "not JSON" },
		{ "{", "1:2", "not JSON" },
		{ "{\n  \"command\" [\"/x\"]\n}", "2:13", "':' expected" },
		{ "{\n  \"command\": [\"/x\"],\n}", "3:1", "expected" },
		{ "{\"a\": 1 \"b\": 2}", "1:9", "'}' expected" },
		{ "{\"a\": nul}", "1:7", "invalid token" },
		{ "{\"a\": 01}", "1:7", "invalid token" },
		{ "{'a': 1}", "1:2", "expected" },
		{ "{\"a\": 1} x", "1:10", "follows the end" },
		{ "{\"a\": 1}{}", "1:9", "follows the end" },
		{ "{\"ä\": 1, \n \"b\": 2, \"b\": 3}", "2:10", "twice" },
		{ "{\"allow\": {\"users\": [], \"users\": []}}", "1:25", "twice" },
		{ "{\"a\": \"\\u0000\"}", "1:7", "\\u0000 in a string" },
		{ "{\"a\\u0000b\": 1}", "1:2", "\\u0000 in a " },
		{ "{\"a\": \"\\ud800\"}", "1:7", "Unicode" },
		{ "{\"a\": \"\\ud800\\u0041\"}", "1:7", "Unicode" },
		{ "{\"a\": 99999999999999999999}", "1:7", "too large" },
		{ "{\"a\": 1e999}", "1:7", "too large" },
		{ "\xef\xbb\xbf{}", "1:1", "expected" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		check(try_builder(rows[i].text) == -EINVAL);
		check(says(rows[i].place, rows[i].words));
	}
}

static void refuses_bytes_that_are_no_text(void)
{
	static const struct {
		const char *bytes;
		size_t len;
	} rows[] = {
		{ "{\"a\": \"\xff\"}", 10 }, { "{\"a\": \"\xc0\x80\"}", 11 },
		{ "{\"a\": \"\0\"}", 10 },   { "{\"a\": 1}\0", 9 },
		{ "{\"a\": \"\n\"}", 10 },   { "\0", 1 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_builder struct builder b = { 0 };

		check(builder_parse(&base, "b", rows[i].bytes, rows[i].len, NULL, &b, &err) ==
		      -EINVAL);
		check(strncmp(err.text, "/etc/hatch/builders.d/b.json:1:", 31) == 0);
	}
}

static void refuses_deep_and_huge_texts(void)
{
	cleanup_free char *deep = malloc(2001), *huge = malloc(1 << 20);

	memset(deep, '[', 1000);
	memset(deep + 1000, ']', 1000);
	deep[2000] = '\0';
	check(try_builder(deep) == -EINVAL);
	check(says("1:9", "nested too deep"));
	memset(huge, 'x', 1 << 20);
	memcpy(huge, "{\"description\": \"", 17);
	memcpy(huge + (1 << 20) - 3, "\"}", 3);
	check(try_builder(huge) == -EINVAL);
	check(says("1:17", "1048556 bytes of text; expected at most 512"));
	/* Brackets in a string are text. */
	check(try_key("\"description\": \"[[[[[[[[[[[[[[[[[[[\\\"[[[\"") == 0);
}

static void says_where_a_value_is_wrong(void)
{
	static const struct {
		const char *text, *place, *words;
	} rows[] = {
		{ "{\n  \"command\": [\"/x\"],\n  \"colour\": 1\n}", "3:3",
		  "unknown key \"colour\"" },
		{ "{\"description\": \"x\"}", "1:1", "\"command\" is missing" },
		{ "{\"ü\\u0041\\n\": 1}", "1:2", "unknown key \"üA\\n\"" },
		{ "{\n \"command\":\n  [\n   \"/x\",\n   7 ] }", "5:4",
		  "this is an integer; expected a string" },
		{ "{\"command\": [\"/x\"], \"allow\": {\n\"uid_ranges\": [\n{\"first\": 1, \"last\": 2},"
		  "\n{\"first\": 3, \"lst\": 4}]}}",
		  "4:14", "unknown key \"lst\"" },
		{ "{\"limits\": {\"time_sec\": {\"default\": 1,\n \"max\": 1.5}}}", "2:9",
		  "this is a fraction" },
		{ "{\"a{[\": 1}", "1:2", "unknown key" },
		{ "{\"command\":[\"/x\",\"]}\\\"\\\\\",[]]}", "1:27", "this is a list" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		check(try_builder(rows[i].text) == -EINVAL);
		check(says(rows[i].place, rows[i].words));
	}
}

/* What holds another place is made before it, whatever the bytes of their names say. */
static void places_are_sorted_from_the_outside_to_the_inside(void)
{
	static const char *const sorted[] = { "/a",  "/a/b", "/a/b/c", "/a/b-",
		                              "/a!", "/a-b", "/a-b/c", "/ab" };
	cleanup_builder struct builder b = { 0 };

	check(parse_builder("{\"command\": [\"/x\"], \"view\": {\"read\": [\"/ab\", \"/a-b/c\", "
	                    "\"/a!\", \"/a/b-\", \"/a/b/c\", \"/a-b\", \"/a\", \"/a/b\"]}}",
	                    &b) == 0);
	check(b.view.n_places == ARRAY_SIZE(sorted));
	for (size_t i = 0; i < b.view.n_places && !unit_failed; i++)
		check(strcmp(b.view.places[i].at, sorted[i]) == 0);
}

/* The later one, where it stands. */
static void says_where_two_places_contradict_each_other(void)
{
	check(try_key("\"view\": {\"hide\": [\"/opt/x\"],\n  \"read\": [\"/opt/x\"]}") == -EINVAL);
	check(says("2:12", "/opt/x is there twice"));
	check(try_key("\"view\": {\"read\": [\"/opt\", \"/opt/x/y\"],\n  \"hide\": [\"/opt/x\"]}") ==
	      -EINVAL);
	check(says("1:47", "/opt/x/y is inside of a place that \"hide\" hides"));
}

static void refuses_to_take_what_there_is_not(void)
{
	static const char config_text[] = "{\"resources\": {\"seat\": 2, \"many\": 1000}}";
	static const struct {
		const char *text, *place, *words;
	} rows[] = {
		{ "{\"seat\": 3}", "2:10", "expected at most the 2 that /etc/hatch/hatchd.json" },
		{ "{\"seat\": 0}", "2:10", "0 of \"seat\"; expected 1" },
		{ "{\"seat\": 1.5}", "2:10", "this is a fraction" },
		{ "{\"board\": 1}", "2:2", "there is no resource \"board\"" },
		{ "{\"many\": 63, \"seat\": 2}", "2:1", "65 units in all; expected at most 64" },
		{ "[]", "2:1", "this is a list" },
	};
	cleanup_config struct config config = { 0 };
	cleanup_builder struct builder good = { 0 };
	char text[256];

	check(config_parse("/etc/hatch", false, config_text, strlen(config_text), NULL, &config,
	                   &err) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_builder struct builder b = { 0 };

		(void)snprintf(text, sizeof(text), "{\"command\": [\"/x\"], \"resources\":\n%s}",
		               rows[i].text);
		check(builder_parse(&config, "b", text, strlen(text), NULL, &b, &err) < 0);
		check(says(rows[i].place, rows[i].words));
	}
	(void)snprintf(text, sizeof(text),
	               "{\"command\": [\"/x\"], \"resources\": {\"seat\": 2, \"many\": 1}}");
	check(builder_parse(&config, "b", text, strlen(text), NULL, &good, &err) == 0);
	check(good.n_resources == 2 && strcmp(good.resources[0].name, "seat") == 0);
	check(good.resources[0].count == 2 && good.resources[1].count == 1);
}

/* Keys of the future are not ignored: who writes one wants what it says. */
static void refuses_keys_that_do_not_exist_yet(void)
{
	static const char *const keys[] = {
		"\"run_as\": \"peer\"",
		"\"workspace\": null",
		"\"view\": {\"credentials\": []}",
		"\"view\": {\"store\": true}",
		"\"limits\": {\"rlimits\": {\"rtprio\": 1}}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		check(try_key(keys[i]) == -EINVAL);
		check(strstr(err.text, "unknown key") != NULL);
	}
}

/* Beside a value that is just right, one that is not. */
struct value_row {
	const char *good, *bad;
};

static const struct value_row argument_rows[] = {
	{ "\"args\": {\"max\": 0}", "\"args\": {\"max\": -1}" },
	{ "\"args\": {\"max\": 4096}", "\"args\": {\"max\": 4097}" },
	{ "\"args\": {\"dash\": false}", "\"args\": {\"dash\": 0}" },
	{ "\"args\": {\"dash\": true}", "\"args\": {\"dash\": \"true\"}" },
	{ "\"args\": {\"max\": 1, \"match\": [\"a\"]}", "\"args\": {\"match\": []}" },
	{ "\"args\": {\"max\": 1, \"match\": [\"(a)\"]}", "\"args\": {\"match\": [\"(a\"]}" },
	{ "\"args\": {\"max\": 1, \"match\": [\"a\\\\)\"]}", "\"args\": {\"match\": [\"a)|b\"]}" },
	{ "\"args\": {\"max\": 1, \"match\": [\"[)]\"]}", "\"args\": {\"match\": [\"[)\"]}" },
	{ "\"args\": {\"max\": 1, \"match\": [\"[])]\"]}", "\"args\": {\"match\": [\"[]])\"]}" },
	{ "\"args\": {\"max\": 1, \"match\": [\"[[:alpha:])]\"]}",
	  "\"args\": {\"max\": 1, \"match\": [\"[[:alpha:]])\"]}" },
	{ "\"args\": {\"max\": 1, \"match\": [\"(a)1\"]}",
	  "\"args\": {\"match\": [\"(a)\\\\1\"]}" },
	{ "\"args\": {\"max\": 1, \"match\": [\"(a)2\"]}",
	  "\"args\": {\"match\": [\"(a)\\\\2\"]}" },
	{ "\"args\": {\"max\": 1, \"match\": [\".{0,255}/.{0,255}\"]}",
	  "\"args\": {\"max\": 1, \"match\": [\".{0,255}/.{0,257}\"]}" },
	{ "\"args\": {\"max\": 1, \"match\": [\"a{511}\"]}",
	  "\"args\": {\"match\": [\"a{513}\"]}" },
	{ "\"args\": {\"max\": 1, \"match\": [\"[a]{510,}\"]}",
	  "\"args\": {\"match\": [\"[a]{512,}\"]}" },
	{ "\"args\": {\"max\": 1, \"match\": [\"((a{8}){8}){6}\"]}",
	  "\"args\": {\"max\": 1, \"match\": [\"((a{8}){8}){8}\"]}" },
	{ "\"args\": {\"max\": 1, \"match\": [\"(a*)?\"]}",
	  "\"args\": {\"max\": 1, \"match\": [\"a***********+******\"]}" },
	{ "\"args\": {\"max\": 1, \"match\": [\"((((a*)*)*)*)*\"]}",
	  "\"args\": {\"max\": 1, \"match\": [\"((((((((a*)*)*)*)*)*)*)*)*\"]}" },
	{ "\"args\": {\"max\": 1, \"match\": [\"a++++++++\"]}",
	  "\"args\": {\"match\": [\"a++++++++++\"]}" },
	{ "\"args\": {\"max\": 1, \"match\": [\"(a|b+){100}\"]}",
	  "\"args\": {\"max\": 1, \"match\": [\"(a|b+|c+){100}\"]}" },
	{ "\"args\": {\"max\": 1, \"match\": [\"\\\\{{9}\"]}",
	  "\"args\": {\"max\": 1, \"match\": [\"a{9999999999999999999999}\"]}" },
	{ "\"args\": {\"max\": 1, \"match\": [\"(((((((((((((((((((((((((((((((())))))))))))))))))))))))))))))))\"]}",
	  "\"args\": {\"max\": 1, \"match\": [\"((((((((((((((((((((((((((((((((()))))))))))))))))))))))))))))))))\"]}" },
	{ "\"args\": {\"max\": 1, \"match\": [\"a{2}\"]}", "\"args\": {\"match\": [\"a{2\"]}" },
};

static const struct value_row allow_rows[] = {
	{ "\"allow\": {\"users\": [1]}", "\"allow\": {\"users\": [0]}" },
	{ "\"allow\": {\"users\": [4294967294]}", "\"allow\": {\"users\": [4294967295]}" },
	{ "\"allow\": {\"users\": []}", "\"allow\": {\"users\": [-1]}" },
	{ "\"allow\": {\"users\": [\"root\"]}", "\"allow\": {\"users\": [\"0\"]}" },
	{ "\"allow\": {\"users\": [\"daemon\"]}", "\"allow\": {\"users\": [\" 1\"]}" },
	{ "\"allow\": {\"users\": [10]}", "\"allow\": {\"users\": [\"10\"]}" },
	{ "\"allow\": {\"users\": [16]}", "\"allow\": {\"users\": [\"0x10\"]}" },
	{ "\"allow\": {\"users\": [17]}", "\"allow\": {\"users\": [\"1:0\"]}" },
	{ "\"allow\": {\"users\": [18]}", "\"allow\": {\"users\": [\"\"]}" },
	{ "\"allow\": {\"users\": [19]}", "\"allow\": {\"users\": [1.0]}" },
	{ "\"allow\": {\"users\": [20]}", "\"allow\": {\"users\": [true]}" },
	{ "\"allow\": {\"users\": [21]}", "\"allow\": {\"users\": [\"no-such-user\"]}" },
	{ "\"allow\": {\"groups\": [1]}", "\"allow\": {\"groups\": [0]}" },
	{ "\"allow\": {\"groups\": [\"root\"]}", "\"allow\": {\"groups\": [\"-1\"]}" },
	{ "\"allow\": {\"groups\": []}", "\"allow\": {\"groups\": [\"no-such-group\"]}" },
	{ "\"allow\": {\"groups\": []}", "\"allow\": {\"groups\": \"root\"}" },
	{ "\"allow\": {\"uid_ranges\": [{\"first\": 1, \"last\": 1}]}",
	  "\"allow\": {\"uid_ranges\": [{\"first\": 2, \"last\": 1}]}" },
	{ "\"allow\": {\"uid_ranges\": [{\"first\": 1, \"last\": 4294967294}]}",
	  "\"allow\": {\"uid_ranges\": [{\"first\": 1, \"last\": 4294967295}]}" },
	{ "\"allow\": {\"uid_ranges\": []}",
	  "\"allow\": {\"uid_ranges\": [{\"first\": 0, \"last\": 1}]}" },
	{ "\"allow\": {\"uid_ranges\": []}", "\"allow\": {\"uid_ranges\": [{\"first\": 1}]}" },
	{ "\"allow\": {\"uid_ranges\": []}", "\"allow\": {\"uid_ranges\": [[1, 2]]}" },
	{ "\"allow\": {\"users\": [1], \"derivations\": [\"*\"]}",
	  "\"allow\": {\"derivations\": []}" },
	{ "\"allow\": {\"users\": [1], \"derivations\": [\"a?[b]\"]}",
	  "\"allow\": {\"derivations\": [\"\"]}" },
	{ "\"allow\": {\"users\": [1], \"derivations\": [\"a\"]}",
	  "\"allow\": {\"derivations\": [\"a/b\"]}" },
	{ "\"allow\": {\"features\": [\"a\"]}", "\"allow\": {\"features\": []}" },
	{ "\"allow\": {\"features\": [\"a-b\"]}", "\"allow\": {\"features\": [\"a b\"]}" },
	{ "\"allow\": {\"features\": [\"+\"]}", "\"allow\": {\"features\": [\"\"]}" },
	{ "\"allow\": {\"sockets\": [\"a\"]}", "\"allow\": {\"sockets\": []}" },
	{ "\"allow\": {\"sockets\": [\"a-1\"]}", "\"allow\": {\"sockets\": [\"A\"]}" },
};

static const struct value_row environment_rows[] = {
	{ "\"environment\": {\"set\": {\"A\": \"\"}}", "\"environment\": {\"set\": {\"A\": 1}}" },
	{ "\"environment\": {\"set\": {\"_a1\": \"\"}}",
	  "\"environment\": {\"set\": {\"1a\": \"\"}}" },
	{ "\"environment\": {\"set\": {}}", "\"environment\": {\"set\": {\"\": \"\"}}" },
	{ "\"environment\": {\"set\": {}}", "\"environment\": {\"set\": {\"A=B\": \"\"}}" },
	{ "\"environment\": {\"set\": {\"PATH\": \"/bin\"}}",
	  "\"environment\": {\"set\": {\"HATCH_ID\": \"\"}}" },
	{ "\"environment\": {\"set\": {\"LD_LIBRARY_PATH\": \"/l\"}}",
	  "\"environment\": {\"set\": {\"out\": \"/l\"}}" },
	{ "\"environment\": {\"accept\": [\"A\"]}",
	  "\"environment\": {\"accept\": [\"A\", \"A\"]}" },
	{ "\"environment\": {\"set\": {\"B\": \"\"}, \"accept\": [\"A\"]}",
	  "\"environment\": {\"set\": {\"A\": \"\"}, \"accept\": [\"A\"]}" },
	{ "\"environment\": {\"accept\": []}", "\"environment\": {\"accept\": [\"A-B\"]}" },
	{ "\"environment\": {\"accept\": []}", "\"environment\": {\"accept\": [3]}" },
};

static const struct value_row view_rows[] = {
	{ "\"view\": {\"read\": [\"/run/credential\"]}",
	  "\"view\": {\"read\": [\"/run/credentials/x\"]}" },
	{ "\"view\": {\"base\": \"minimal\"}", "\"view\": {\"base\": \"all\"}" },
	{ "\"view\": {\"base\": \"host\"}",
	  "\"view\": {\"base\": \"host\"}, \"root\": {\"tree\": \"/srv/t\"}" },
	{ "\"view\": {\"read\": []}", "\"view\": {\"read\": [\"opt\"]}" },
	{ "\"view\": {\"read\": [\"/opt\"]}", "\"view\": {\"read\": [\"/opt/\"]}" },
	{ "\"view\": {\"read\": [\"/o.p\"]}", "\"view\": {\"read\": [\"/opt/../etc\"]}" },
	{ "\"view\": {\"read\": [\"/opt\", \"/opt/a\"]}",
	  "\"view\": {\"read\": [\"/opt\", \"/opt\"]}" },
	{ "\"view\": {\"read\": [\"/opt\"], \"write\": [\"/opt/a\"]}",
	  "\"view\": {\"read\": [\"/opt\"], \"write\": [\"/opt\"]}" },
	{ "\"view\": {\"read\": [\"/a\"]}", "\"view\": {\"read\": [\"/\"]}" },
	{ "\"view\": {\"read\": [\"/process\"]}", "\"view\": {\"read\": [\"/proc/1\"]}" },
	{ "\"view\": {\"read\": [\"/devices\"]}", "\"view\": {\"write\": [\"/dev/sda\"]}" },
	{ "\"view\": {\"read\": [\"/tmp/x\"]}", "\"view\": {\"write\": [\"/tmp\"]}" },
	{ "\"view\": {\"read\": [\"/var/lib/x\"]}", "\"view\": {\"read\": [\"/var/lib\"]}" },
	{ "\"view\": {\"read\": [\"/var/lib/hatchery\"]}",
	  "\"view\": {\"read\": [\"/var/lib/hatch/scratch\"]}" },
	{ "\"view\": {\"read\": [\"/run/x\"]}", "\"view\": {\"read\": [\"/run\"]}" },
	{ "\"view\": {\"read\": [\"/nix/var\"]}", "\"view\": {\"read\": [\"/nix\"]}" },
	{ "\"view\": {\"read\": [\"/etc\"]}", "\"view\": {\"read\": [\"/etc/hatch/builders.d\"]}" },
	{ "\"view\": {\"read\": [{\"path\": \"/opt\"}]}",
	  "\"view\": {\"read\": [{\"at\": \"/opt\"}]}" },
	{ "\"view\": {\"read\": [{\"path\": \"/opt\", \"at\": \"/x\"}]}",
	  "\"view\": {\"read\": [{\"path\": \"/opt\", \"at\": \"/proc/x\"}]}" },
	{ "\"view\": {\"read\": [{\"path\": \"/nix/store/x\", \"at\": \"/x\"}]}",
	  "\"view\": {\"read\": [{\"path\": \"/nix/store/x\", \"at\": \"/nix/store/y\"}]}" },
	{ "\"view\": {\"read\": [{\"path\": \"/a\", \"at\": \"/x\"}]}",
	  "\"view\": {\"read\": [{\"path\": \"/nix\", \"at\": \"/x\"}]}" },
	{ "\"view\": {\"read\": [{\"path\": \"/a\", \"at\": \"/y\"}]}",
	  "\"view\": {\"read\": [{\"path\": \"/dev/sda\", \"at\": \"/y\"}]}" },
	{ "\"view\": {\"read\": [{\"path\": \"/opt\", \"optional\": false}]}",
	  "\"view\": {\"read\": [{\"path\": \"/opt\", \"optional\": 1}]}" },
	{ "\"view\": {\"read\": [\"/run/c\"]}",
	  "\"view\": {\"read\": [\"/run/credentials/x.service\"]}" },
	{ "\"view\": {\"tmpfs\": [{\"at\": \"/x\", \"size\": 4096}]}",
	  "\"view\": {\"tmpfs\": [{\"at\": \"/x\", \"size\": 4095}]}" },
	{ "\"view\": {\"tmpfs\": [{\"at\": \"/x\", \"size\": \"1G\"}]}",
	  "\"view\": {\"tmpfs\": [{\"at\": \"/x\"}]}" },
	{ "\"view\": {\"tmpfs\": []}", "\"view\": {\"tmpfs\": [\"/x\"]}" },
	{ "\"view\": {\"tmpfs\": [{\"at\": \"/n\", \"size\": \"1G\"}]}",
	  "\"view\": {\"tmpfs\": [{\"at\": \"/nix\", \"size\": \"1G\"}]}" },
	{ "\"view\": {\"tmpfs\": [{\"at\": \"/d\", \"size\": \"1G\"}]}",
	  "\"view\": {\"tmpfs\": [{\"at\": \"/dev/shm\", \"size\": \"1G\"}]}" },
	{ "\"view\": {\"read\": [\"/opt\"], \"hide\": [\"/opt/x\"]}",
	  "\"view\": {\"read\": [\"/opt\"], \"hide\": [\"/opt\"]}" },
	{ "\"view\": {\"read\": [\"/opt-x/y\"], \"hide\": [\"/opt\"]}",
	  "\"view\": {\"read\": [\"/opt/x/y\"], \"hide\": [\"/opt/x\"]}" },
	{ "\"view\": {\"hide\": [\"/etc/hatch\"]}", "\"view\": {\"hide\": [\"/proc/self\"]}" },
	{ "\"view\": {\"hide\": [\"/usr/x\"]}", "\"view\": {\"hide\": [\"/\"]}" },
	{ "\"view\": {\"overlay\": [{\"at\": \"/x\", \"lower\": [\"/a\", \"/b\"]}]}",
	  "\"view\": {\"overlay\": [{\"at\": \"/x\", \"lower\": []}]}" },
	{ "\"view\": {\"overlay\": [{\"at\": \"/x\", \"lower\": [\"/a,b\\\\\"]}]}",
	  "\"view\": {\"overlay\": [{\"at\": \"/x\", \"lower\": [\"/a:b\"]}]}" },
	{ "\"view\": {\"overlay\": [{\"at\": \"/x\", \"lower\": [\"/a\", \"/a-b\"]}]}",
	  "\"view\": {\"overlay\": [{\"at\": \"/x\", \"lower\": [\"/a\", \"/a/b\"]}]}" },
	{ "\"view\": {\"overlay\": [{\"at\": \"/x\", \"lower\": [\"/a\"]}]}",
	  "\"view\": {\"overlay\": [{\"at\": \"/x\", \"lower\": [\"/sys\"]}]}" },
	{ "\"view\": {\"overlay\": [{\"at\": \"/x\", \"lower\": [\"/b\"]}]}",
	  "\"view\": {\"overlay\": [{\"lower\": [\"/b\"]}]}" },
	{ "\"view\": {\"overlay\": [{\"at\": \"/x\", \"lower\": [\"/c\"]}]}",
	  "\"view\": {\"overlay\": [{\"at\": \"/dev/x\", \"lower\": [\"/c\"]}]}" },
	{ "\"view\": {\"overlay\": [{\"at\": \"/x\", \"lower\": [\"/a\"], \"top\": \"disk\"}]}",
	  "\"view\": {\"overlay\": [{\"at\": \"/x\", \"lower\": [\"/a\"], \"top\": true}]}" },
	{ "\"view\": {\"overlay\": [{\"at\": \"/x\", \"lower\": [\"/a\"], \"top\": \"tmpfs\", \"size\": \"64K\"}]}",
	  "\"view\": {\"overlay\": [{\"at\": \"/x\", \"lower\": [\"/a\"], \"top\": \"tmpfs\", \"size\": \"63K\"}]}" },
	{ "\"view\": {\"overlay\": [{\"at\": \"/x\", \"lower\": [\"/b\"], \"top\": \"tmpfs\", \"size\": \"1G\"}]}",
	  "\"view\": {\"overlay\": [{\"at\": \"/x\", \"lower\": [\"/b\"], \"top\": \"tmpfs\"}]}" },
	{ "\"view\": {\"overlay\": [{\"at\": \"/x\", \"lower\": [\"/c\"], \"top\": \"none\"}]}",
	  "\"view\": {\"overlay\": [{\"at\": \"/x\", \"lower\": [\"/c\"], \"top\": \"disk\", \"size\": \"1G\"}]}" },
	{ "\"view\": {\"devices\": [\"/dev/kvm\"]}", "\"view\": {\"devices\": [\"/opt/kvm\"]}" },
	{ "\"view\": {\"devices\": [\"/dev/nullx\"]}", "\"view\": {\"devices\": [\"/dev/null\"]}" },
	{ "\"view\": {\"devices\": [\"/dev/ptx\"]}", "\"view\": {\"devices\": [\"/dev/pts/1\"]}" },
	{ "\"view\": {\"devices\": [{\"path\": \"/dev/a\", \"optional\": true}]}",
	  "\"view\": {\"devices\": [{\"path\": \"/dev/a\", \"at\": \"/dev/b\"}]}" },
	{ "\"view\": {\"devices\": [\"/dev/a\", \"/dev/ab/c\"]}",
	  "\"view\": {\"devices\": [\"/dev/a\", \"/dev/a/c\"]}" },
	{ "\"view\": {\"base\": \"host\"}, \"network\": \"host\"",
	  "\"view\": {\"base\": \"host\"}, \"network\": \"private\"" },
	{ "\"view\": {\"hide\": [\"/usr/y\"]}", "\"view\": {\"hide\": [{\"path\": \"/x\"}]}" },
};

static const struct value_row limits_rows[] = {
	{ "\"limits\": {\"time_sec\": 1}", "\"limits\": {\"time_sec\": 0}" },
	{ "\"limits\": {\"time_sec\": 31536000}", "\"limits\": {\"time_sec\": 31536001}" },
	{ "\"limits\": {\"time_sec\": {\"default\": 5, \"max\": 5}}",
	  "\"limits\": {\"time_sec\": {\"default\": 6, \"max\": 5}}" },
	{ "\"limits\": {}", "\"limits\": {\"time_sec\": {\"default\": 6}}" },
	{ "\"limits\": {}", "\"limits\": {\"time_sec\": \"10m\"}" },
	{ "\"limits\": {\"silence_sec\": 0}", "\"limits\": {\"silence_sec\": -1}" },
	{ "\"limits\": {\"grace_sec\": 300}", "\"limits\": {\"grace_sec\": 301}" },
	{ "\"limits\": {\"wait_sec\": 31536000}", "\"limits\": {\"wait_sec\": 31536001}" },
	{ "\"limits\": {\"log\": 1}", "\"limits\": {\"log\": 0}" },
	{ "\"limits\": {\"log\": \"1024G\"}", "\"limits\": {\"log\": \"1025G\"}" },
	{ "\"limits\": {\"log\": \"1T\"}", "\"limits\": {\"log\": \"2T\"}" },
	{ "\"limits\": {\"log\": \"1K\"}", "\"limits\": {\"log\": \"1k\"}" },
	{ "\"limits\": {\"log\": \"1M\"}", "\"limits\": {\"log\": \"01M\"}" },
	{ "\"limits\": {\"log\": \"3M\"}", "\"limits\": {\"log\": \"M\"}" },
	{ "\"limits\": {\"log\": \"4M\"}", "\"limits\": {\"log\": \" 4M\"}" },
	{ "\"limits\": {\"log\": \"5M\"}", "\"limits\": {\"log\": \"-5M\"}" },
	{ "\"limits\": {\"log\": 12}", "\"limits\": {\"log\": \"12\"}" },
	{ "\"limits\": {\"log\": \"9G\"}", "\"limits\": {\"log\": \"18014398509481985K\"}" },
	{ "\"limits\": {\"output\": \"16T\"}", "\"limits\": {\"output\": \"17T\"}" },
	{ "\"limits\": {\"output_entries\": 100000000}",
	  "\"limits\": {\"output_entries\": 100000001}" },
	{ "\"limits\": {\"output_entries\": 1}", "\"limits\": {\"output_entries\": \"1M\"}" },
	{ "\"inputs\": true", "\"inputs\": \"both\"" },
	{ "\"inputs\": false", "\"inputs\": 1" },
	{ "\"limits\": {\"input\": 1}", "\"limits\": {\"input\": 0}" },
	{ "\"limits\": {\"input\": \"16T\"}", "\"limits\": {\"input\": \"17T\"}" },
	{ "\"limits\": {\"input_sec\": 1}", "\"limits\": {\"input_sec\": 0}" },
	{ "\"limits\": {\"input_sec\": 31536000}", "\"limits\": {\"input_sec\": 31536001}" },
	{ "\"limits\": {\"input_entries\": 1}", "\"limits\": {\"input_entries\": 0}" },
	{ "\"limits\": {\"input_entries\": 100000000}",
	  "\"limits\": {\"input_entries\": 100000001}" },
	{ "\"limits\": {\"memory\": \"4M\"}", "\"limits\": {\"memory\": 4194303}" },
	{ "\"limits\": {\"memory\": \"1024T\"}", "\"limits\": {\"memory\": \"1025T\"}" },
	{ "\"limits\": {\"memory_high\": \"4M\"}", "\"limits\": {\"memory_high\": \"4095K\"}" },
	{ "\"limits\": {\"memory\": \"8M\", \"memory_high\": \"8M\"}",
	  "\"limits\": {\"memory\": \"8M\", \"memory_high\": \"9M\"}" },
	{ "\"limits\": {\"memory\": \"8M\", \"swap\": 0}", "\"limits\": {\"swap\": 0}" },
	{ "\"limits\": {\"memory\": \"8M\", \"swap\": \"9M\"}",
	  "\"limits\": {\"memory_high\": \"8M\", \"swap\": \"9M\"}" },
	{ "\"limits\": {\"cpus\": 0.01}", "\"limits\": {\"cpus\": 0.009}" },
	{ "\"limits\": {\"cpus\": 4096}", "\"limits\": {\"cpus\": 4096.5}" },
	{ "\"limits\": {\"cpus\": 1}", "\"limits\": {\"cpus\": 0}" },
	{ "\"limits\": {\"cpus\": 1.5}", "\"limits\": {\"cpus\": -1.5}" },
	{ "\"limits\": {\"cpus\": 2}", "\"limits\": {\"cpus\": \"2\"}" },
	{ "\"limits\": {\"tasks\": 1}", "\"limits\": {\"tasks\": 0}" },
	{ "\"limits\": {\"tasks\": 4194304}", "\"limits\": {\"tasks\": 4194305}" },
	{ "\"limits\": {\"io_weight\": 1}", "\"limits\": {\"io_weight\": 0}" },
	{ "\"limits\": {\"io_weight\": 10000}", "\"limits\": {\"io_weight\": 10001}" },
	{ "\"limits\": {\"scratch\": \"1M\"}", "\"limits\": {\"scratch\": \"1023K\"}" },
	{ "\"limits\": {\"scratch\": \"1M\"}, \"scratch_on\": \"tmpfs\"",
	  "\"scratch_on\": \"tmpfs\"" },
	{ "\"scratch_on\": \"disk\"", "\"scratch_on\": \"memory\"" },
	{ "\"limits\": {\"scratch\": \"8M\", \"memory\": \"8M\"}, \"scratch_on\": \"tmpfs\"",
	  "\"limits\": {\"scratch\": \"9M\", \"memory\": \"8M\"}, \"scratch_on\": \"tmpfs\"" },
	{ "\"limits\": {\"scratch\": \"9M\", \"memory\": \"8M\"}",
	  "\"limits\": {\"scratch\": \"10M\", \"memory\": \"8M\", \"swap\": \"1M\"}, "
	  "\"scratch_on\": \"tmpfs\"" },
	{ "\"limits_optional\": true", "\"limits_optional\": 1" },
	{ "\"limits\": {\"rlimits\": {\"nofile\": 524288}}",
	  "\"limits\": {\"rlimits\": {\"nofile\": 524289}}" },
	{ "\"limits\": {\"rlimits\": {\"nofile\": 8}}",
	  "\"limits\": {\"rlimits\": {\"nofile\": 7}}" },
	{ "\"limits\": {\"rlimits\": {\"as\": \"unlimited\"}}",
	  "\"limits\": {\"rlimits\": {\"nofile\": \"unlimited\"}}" },
	{ "\"limits\": {\"rlimits\": {\"cpu\": 1}}",
	  "\"limits\": {\"rlimits\": {\"cpu\": \"1M\"}}" },
	{ "\"limits\": {\"rlimits\": {\"stack\": {\"soft\": 65536, \"hard\": \"64K\"}}}",
	  "\"limits\": {\"rlimits\": {\"stack\": {\"soft\": 65537, \"hard\": \"64K\"}}}" },
	{ "\"limits\": {\"rlimits\": {\"core\": {\"soft\": 0, \"hard\": \"unlimited\"}}}",
	  "\"limits\": {\"rlimits\": {\"core\": {\"soft\": \"unlimited\", \"hard\": 0}}}" },
	{ "\"limits\": {\"rlimits\": {}}", "\"limits\": {\"rlimits\": {\"core\": {\"soft\": 0}}}" },
	{ "\"limits\": {\"rlimits\": {\"fsize\": 0}}",
	  "\"limits\": {\"rlimits\": {\"fsize\": {\"soft\": 0, \"hard\": 1, \"x\": 1}}}" },
	{ "\"limits\": {\"rlimits\": {\"nproc\": 1}}",
	  "\"limits\": {\"rlimits\": {\"nproc\": 0}}" },
};

static const struct value_row other_rows[] = {
	{ "\"credentials\": []", "\"credentials\": \"key\"" },
	{ "\"credentials\": [\"a\"]", "\"credentials\": [1]" },
	{ "\"credentials\": [\"a b~!\"]", "\"credentials\": [\"a/b\"]" },
	{ "\"credentials\": [\"...\"]", "\"credentials\": [\"..\"]" },
	{ "\"credentials\": [\"a.b\"]", "\"credentials\": [\"a:b\"]" },
	{ "\"credentials\": [\"a\", \"b\"]", "\"credentials\": [\"a\", \"a\"]" },
	{ "\"credentials\": [\"@\"]", "\"credentials\": [\"\"]" },
	{ "\"credentials\": [\"u\"]", "\"credentials\": [\"ü\"]" },
	{ "\"credentials_scan\": true", "\"credentials_scan\": 1" },
	{ "\"undeclared_references\": \"ignore\"", "\"undeclared_references\": \"error\"" },
	{ "\"undeclared_references\": \"warn\"", "\"undeclared_references\": true" },
	{ "\"groups\": [\"tty\"]", "\"groups\": [\"root\"]" },
	{ "\"groups\": []", "\"groups\": [\"nogroup\"]" },
	{ "\"groups\": []", "\"groups\": [5]" },
	{ "\"groups\": []", "\"groups\": [\"no-such-group\"]" },
	{ "\"network\": \"none\"", "\"network\": \"None\"" },
	{ "\"network\": \"host\"", "\"network\": true" },
	{ "\"seccomp\": \"default\"", "\"seccomp\": \"@debug\"" },
	{ "\"keep_failed\": []", "\"keep_failed\": \"*.log\"" },
	{ "\"keep_failed\": [\"*.log\"]", "\"keep_failed\": [\"/build/*.log\"]" },
	{ "\"keep_failed\": [\"a/**\"]", "\"keep_failed\": [\"../a\"]" },
	{ "\"keep_failed\": [\"a\"]", "\"keep_failed\": [\"\"]" },
	{ "\"keep_failed\": [\"a\"]", "\"keep_failed\": [1]" },
	{ "\"seccomp\": \"none\"", "\"seccomp\": false" },
	{ "\"seccomp\": [\"@debug\"]", "\"seccomp\": []" },
	{ "\"seccomp\": [\"@io-uring\"]", "\"seccomp\": [\"io-uring\"]" },
	{ "\"seccomp\": [\"@userns\"]", "\"seccomp\": [\"@mount\"]" },
	{ "\"seccomp\": [\"@debug\"]", "\"seccomp\": [\"@debug\", \"none\"]" },
	{ "\"seccomp\": [\"@debug\"]", "\"seccomp\": [\"@debug\", \"@debug\"]" },
	{ "\"before\": {\"command\": [\"/x\", \"\"], \"time_sec\": 3600}",
	  "\"before\": {\"command\": [\"/x\"], \"time_sec\": 3601}" },
	{ "\"after\": {\"command\": [\"/x\"], \"user\": \"root\"}",
	  "\"after\": {\"command\": [\"/x\"], \"user\": \"nobody\"}" },
	{ "\"after\": {\"command\": [\"/x\"], \"user\": \"build-user\"}",
	  "\"after\": {\"command\": [\"x\"]}" },
	{ "\"before\": {\"command\": [\"/x\"], \"time_sec\": 1}",
	  "\"before\": {\"command\": [\"/x\"], \"time_sec\": 0}" },
	{ "\"before\": {\"command\": [\"/x\"]}", "\"before\": {\"command\": []}" },
	{ "\"before\": {\"command\": [\"/x\"]}", "\"before\": {\"time_sec\": 3}" },
	{ "\"before\": {\"command\": [\"/x\"]}", "\"before\": [\"/x\"]" },
	{ "\"description\": \"\"", "\"description\": \"a\\tb\"" },
	{ "\"description\": \"a\"", "\"description\": null" },
};

static void check_rows(const struct value_row *rows, size_t n_rows)
{
	for (size_t i = 0; i < n_rows; i++) {
		int good = try_key(rows[i].good);
		int bad;

		if (good < 0)
			printf("# good: %s\n", err.text);
		bad = try_key(rows[i].bad);
		if (bad >= 0)
			printf("# bad: %s\n", rows[i].bad);
		check(good == 0);
		check(bad == -EINVAL || bad == -ENOENT);
		check(bad >= 0 || strncmp(err.text, "/etc/hatch/builders.d/b.json:1:", 31) == 0);
	}
}

static void takes_values_at_the_limit_and_none_beyond(void)
{
	check_rows(argument_rows, ARRAY_SIZE(argument_rows));
	check_rows(allow_rows, ARRAY_SIZE(allow_rows));
	check_rows(environment_rows, ARRAY_SIZE(environment_rows));
	check_rows(view_rows, ARRAY_SIZE(view_rows));
	check_rows(limits_rows, ARRAY_SIZE(limits_rows));
	check_rows(other_rows, ARRAY_SIZE(other_rows));
}

/* Even where an account has such a name: a number in quotes may be meant as either. */
static void a_number_in_quotes_is_no_name(void)
{
	check(try_key("\"allow\": {\"users\": [\"0\"]}") == -EINVAL);
	check(strstr(err.text, "\"0\" is no name; expected a name, or an integer without quotes"));
	check(try_key("\"allow\": {\"groups\": [\"1000\"]}") == -EINVAL);
	check(strstr(err.text, "\"1000\" is no name"));
}

static void refuses_commands_that_are_none(void)
{
	static const char *const texts[] = {
		"{\"command\": []}",     "{\"command\": \"/x\"}",        "{\"command\": [\"x\"]}",
		"{\"command\": [\"\"]}", "{\"command\": [\"/x/../y\"]}", "{\"command\": [\"//x\"]}",
		"{\"command\": [null]}", "{\"command\": {\"/x\": 1}}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		check(try_builder(texts[i]) == -EINVAL);
}

static void long_texts_stop_at_what_the_kernel_takes(void)
{
	cleanup_free char *text = malloc(140000);
	int len = snprintf(text, 140000, "{\"command\": [\"/x\", \"");

	memset(text + len, 'a', 131071);
	strcpy(text + len + 131071, "\"]}");
	check(try_builder(text) == 0);
	strcpy(text + len + 131071, "a\"]}");
	check(try_builder(text) == -EINVAL);
}

static void an_expression_has_1024_bytes_at_most(void)
{
	char text[2048];
	int len = snprintf(text, sizeof(text),
	                   "{\"command\": [\"/x\"], \"args\": {\"max\": 1, \"match\": [\"[");

	memset(text + len, 'a', 1022);
	strcpy(text + len + 1022, "]\"]}}");
	check(try_builder(text) == 0);
	strcpy(text + len + 1022, "a]\"]}}");
	check(try_builder(text) == -EINVAL);
	check(strstr(err.text, "more than 1024 bytes") != NULL);
}

static void a_list_holds_4096_items_and_no_more(void)
{
	cleanup_free char *text = malloc(40000);
	char *p = text + sprintf(text, "{\"command\": [\"/x\"");

	for (int i = 1; i < 4096; i++)
		p += sprintf(p, ",\"a\"");
	strcpy(p, "]}");
	check(try_builder(text) == 0);
	strcpy(p, ",\"a\"]}");
	check(try_builder(text) == -EINVAL);
	check(says("1:13", "4097 items"));
}

static void a_client_may_not_set_what_decides_which_code_runs(void)
{
	static const char *const names[] = {
		"LD_PRELOAD",
		"LD_AUDIT",
		"GLIBC_TUNABLES",
		"BASH_ENV",
		"ENV",
		"IFS",
		"PATH",
		"HOME",
		"TMPDIR",
		"PYTHONPATH",
		"PERL5LIB",
		"NODE_OPTIONS",
		"MAKEFLAGS",
		"GIT_DIR",
		"RUSTC_WRAPPER",
		"GCONV_PATH",
		"LOCPATH",
		"BASH_FUNC_a",
		"JAVA_TOOL_OPTIONS",
		"HATCH_BUILDER",
		"out",
		"outputs",
		"MALLOC_TRACE",
	};
	static const char *const harmless[] = { "TOP",  "PART", "LDFLAGS", "PATHS", "ENVIRONMENT",
		                                "outs", "LANG", "LC_ALL",  "HATCH", "MAKE" };
	char member[128];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		(void)snprintf(member, sizeof(member), "\"environment\": {\"accept\": [\"%s\"]}",
		               names[i]);
		check(try_key(member) == -EINVAL);
		check(strstr(err.text, names[i]) != NULL);
	}
	for (size_t i = 0; i < ARRAY_SIZE(harmless); i++) {
		(void)snprintf(member, sizeof(member), "\"environment\": {\"accept\": [\"%s\"]}",
		               harmless[i]);
		check(try_key(member) == 0);
	}
}

/* Files */

static int load(const char *name, struct builder *ret)
{
	cleanup_config struct config config = { 0 };
	int r = config_load(place_dir, false, &config, &err);

	if (r < 0)
		return r;
	/* As root the directory is a trusted one all the same. */
	return builder_load(&config, name, ret, &err);
}

static int try_load(const char *name)
{
	cleanup_builder struct builder builder = { 0 };

	err.text[0] = '\0';
	return load(name, &builder);
}

static const char plain[] = "{\"command\": [\"/x\"]}";

static void loads_a_definition_or_says_that_there_is_none(void)
{
	make_file("builders.d/plain.json", 0644, plain);
	make_file("builders.d/UPPER.json", 0644, plain);
	check(try_load("plain") == 1);
	check(try_load("absent") == 0);
	check(try_load("UPPER") == 0);
	check(try_load("") == 0);
	check(try_load("../builders.d/plain") == 0);
	check(try_load("..") == 0);
	check(try_load("plain.json") == 0);
	must(unlink(at("builders.d/UPPER.json")) == 0, "unlink");
}

static void follows_links_to_a_definition_and_notices_broken_ones(void)
{
	make_dir("store", 0755);
	make_file("store/linked.json", 0644, plain);
	make_link("builders.d/linked.json", "../store/linked.json");
	make_link("builders.d/broken.json", "../store/gone.json");
	check(try_load("linked") == 1);
	check(try_load("broken") == -ENOENT);
	must(unlink(at("builders.d/broken.json")) == 0, "unlink");
}

static void refuses_files_that_others_can_write(void)
{
	make_file("builders.d/open.json", 0664, plain);
	check(try_load("open") == -EPERM);
	check(strstr(err.text, "builders.d/open.json") && strstr(err.hint, "chmod go-w"));
	must(unlink(at("builders.d/open.json")) == 0, "unlink");
	must(chmod(at("builders.d"), 0775) == 0, "chmod");
	check(try_load("plain") == -EPERM);
	must(chmod(at("builders.d"), 0755) == 0, "chmod");
	make_file("hatchd.json", 0646, "{}");
	check(try_load("plain") == -EPERM);
	check(strstr(err.text, "hatchd.json") != NULL);
	must(unlink(at("hatchd.json")) == 0, "unlink");
	must(chmod(place_dir, 0757) == 0, "chmod");
	check(try_load("plain") == -EPERM);
	must(chmod(place_dir, 0755) == 0, "chmod");
}

static void refuses_a_file_above_the_limit(void)
{
	cleanup_free char *text = malloc(CONFIG_FILE_MAX + 2);

	memset(text, ' ', CONFIG_FILE_MAX + 1);
	memcpy(text, plain, strlen(plain));
	text[CONFIG_FILE_MAX + 1] = '\0';
	make_file("builders.d/large.json", 0644, text);
	check(try_load("large") == -EFBIG);
	text[CONFIG_FILE_MAX] = '\0';
	make_file("builders.d/large.json", 0644, text);
	check(try_load("large") == 1);
	must(unlink(at("builders.d/large.json")) == 0, "unlink");
}

static void a_configuration_needs_its_directory(void)
{
	cleanup_config struct config config = { 0 };

	check(config_load(at("nowhere"), false, &config, &err) == -ENOENT);
	check(config_load("etc/hatch", false, &config, &err) == -EINVAL);
}

static void lists_builders_in_order(void)
{
	cleanup_config struct config config = { 0 };
	cleanup_(strv_freep) char **names = NULL;

	make_file("builders.d/a-1.json", 0644, plain);
	check(config_load(place_dir, false, &config, &err) == 0);
	check(config_list_builders(&config, &names, &err) == 0);
	check(names && names[0] && strcmp(names[0], "a-1") == 0);
	check(names[1] && strcmp(names[1], "linked") == 0);
	check(names[2] && strcmp(names[2], "plain") == 0 && !names[3]);
}

static void a_file_that_is_no_definition_is_an_error(void)
{
	static const char *const files[] = { "plain.json~", ".plain.json.swp", "UPPER.json",
		                             ".json", "readme" };
	cleanup_config struct config config = { 0 };
	char name[64];

	check(config_load(place_dir, false, &config, &err) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		cleanup_(strv_freep) char **names = NULL;

		(void)snprintf(name, sizeof(name), "builders.d/%s", files[i]);
		make_file(name, 0644, plain);
		check(config_list_builders(&config, &names, &err) == -EINVAL);
		check(strstr(err.text, files[i]) != NULL);
		must(unlink(at(name)) == 0, "unlink");
	}
}

static void no_directory_means_no_builders(void)
{
	cleanup_config struct config config = { 0 };
	cleanup_(strv_freep) char **names = NULL;

	make_dir("bare", 0755);
	check(config_load(at("bare"), false, &config, &err) == 0);
	check(config_list_builders(&config, &names, &err) == 0);
	check(names && !names[0]);
}

static void tells_a_missing_command_from_one_that_cannot_run(void)
{
	const struct config owned = { .store_dir = (char *)"/nix/store", .owner_uid = place_owner };
	static const struct {
		const char *name;
		mode_t mode;
		int expected;
	} rows[] = {
		{ "c-good", 0755, 0 },
		{ "c-open", 0777, -EPERM },
		{ "c-data", 0644, -EACCES },
		{ "c-missing", 0, -ENOENT },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct place shown = { .kind = PLACE_READ, .at = place_dir, .source = place_dir };
		struct builder builder = { .name = (char *)"b",
			                   .file = (char *)"F",
			                   .view = { .places = &shown, .n_places = 1 } };
		char *command[] = { strdup(at(rows[i].name)), NULL };
		cleanup_fd int fd = -1;

		if (rows[i].mode)
			make_file(rows[i].name, rows[i].mode, "");
		builder.command = command;
		check(builder_check_command(&owned, &builder, -1, &fd, &err) == rows[i].expected);
		check((fd >= 0) == (rows[i].expected == 0));
		check(rows[i].expected == 0 ||
		      (err.blame == BLAME_HOST && strstr(err.text, "`b`")));
		free(command[0]);
	}
}

static void a_root_is_one_tree_or_image(void)
{
	static const struct {
		const char *member, *place, *words;
	} rows[] = {
		{ "\"root\": {}", "1:29", "there is no root in it" },
		{ "\"root\": []", "1:29", "expected an object" },
		{ "\"root\": {\"tree\": 1}", "1:38", "expected a string" },
		{ "\"root\": {\"tree\": \"srv\"}", "1:38", "expected an absolute path" },
		{ "\"root\": {\"tree\": \"/\"}", "1:38", "the whole host" },
		{ "\"root\": {\"tree\": \"/proc/1/root\"}", "1:38", "no tree of files" },
		{ "\"root\": {\"tree\": \"/dev/shm\"}", "1:38", "no tree of files" },
		{ "\"root\": {\"tree\": \"/run\"}", "1:38", "hatch's own sockets" },
		{ "\"root\": {\"tree\": \"/var\"}", "1:38", "what other requests write" },
		{ "\"root\": {\"tree\": \"/etc/hatch/t\"}", "1:38", "configuration" },
		{ "\"root\": {\"path\": \"/srv\"}", "1:30", "expected one of: tree" },
		{ "\"root\": {\"tree\": \"/a\", \"size\": \"1M\"}", "1:44",
		  "nothing can be written" },
		{ "\"root\": {\"tree\": \"/a\", \"readonly\": 0}", "1:56", "true or false" },
		{ "\"root\": {\"readonly\": false}", "1:29", "there is no root in it" },
		{ "\"root\": {\"tree\": \"/a\"}, \"view\": {\"base\": \"host\"}", "1:21",
		  "this is another root; expected one of them" },
		{ "\"root\": {\"image\": \"x.sqfs\"}", "1:39", "expected an absolute path" },
		{ "\"root\": {\"image\": \"/var/lib/hatch/x\"}", "1:39", "other requests" },
		{ "\"root\": {\"tree\": \"/a\", \"image\": \"/b\"}", "1:44", "a root already" },
	};
	cleanup_builder struct builder b = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		check(try_key(rows[i].member) == -EINVAL);
		check(says(rows[i].place, rows[i].words));
	}
	check(parse_builder("{\"command\": [\"/x\"], \"root\": {\"tree\": \"/srv/t\"}}", &b) == 0);
	check(b.root.kind == ROOT_TREE && strcmp(b.root.path, "/srv/t") == 0);
}

static void a_root_has_room_for_the_places_of_hatch(void)
{
	struct builder builder = { .name = (char *)"b",
		                   .file = (char *)"F",
		                   .root = { ROOT_TREE, (char *)"/srv/t" } };
	cleanup_fd int fd = -1;

	make_dir("room", 0755);
	fd = open(at("room"), O_PATH | O_DIRECTORY | O_CLOEXEC);
	check(builder_check_root(&builder, fd, &err) == 0);
	make_dir("room/build", 0755);
	check(builder_check_root(&builder, fd, &err) == 0);
	make_link("room/dev", "/dev");
	check(builder_check_root(&builder, fd, &err) == -ENOTDIR);
	check(strstr(err.text, "/dev of /srv/t is a symbolic link; hatch needs"));
	must(unlink(at("room/dev")) == 0, "unlink");
	make_file("room/tmp", 0644, "");
	check(builder_check_root(&builder, fd, &err) == -ENOTDIR);
	check(err.blame == BLAME_HOST && strstr(err.text, "/tmp of /srv/t is no directory"));
}

/* A file with these bytes at an offset. */
static void make_image(const char *name, const char *bytes, size_t len, off_t offset)
{
	cleanup_fd int fd = -1;

	make_file(name, 0644, "");
	fd = open(at(name), O_WRONLY | O_CLOEXEC);
	must(fd >= 0 && pwrite(fd, bytes, len, offset) == (ssize_t)len, name);
}

static void tells_what_an_image_is_by_what_is_in_it(void)
{
	static const struct {
		const char *name;
		int expected;
		const char *type;
	} rows[] = {
		{ "i-squashfs", 0, "squashfs" }, { "i-erofs", 0, "erofs" },
		{ "i-ext4", 0, "ext4" },         { "i-empty", -EINVAL, NULL },
		{ "i-short", -EINVAL, NULL },    { "i-elsewhere", -EINVAL, NULL },
		{ "i-open", -EPERM, NULL },      { "i-dir", -EINVAL, NULL },
		{ "i-missing", -ENOENT, NULL },
	};
	const struct config owned = { .owner_uid = place_owner };

	make_image("i-squashfs", "hsqs", 4, 0);
	make_image("i-erofs", "\xe2\xe1\xf5\xe0", 4, 1024);
	make_image("i-ext4", "\x53\xef", 2, 1080);
	make_image("i-empty", "", 0, 0);
	make_image("i-short", "hsq", 3, 0);
	make_image("i-elsewhere", "hsqs", 4, 1);
	make_image("i-open", "hsqs", 4, 0);
	must(chmod(at("i-open"), 0666) == 0, "chmod");
	make_dir("i-dir", 0755);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct builder builder = { .name = (char *)"b",
			                         .file = (char *)"F",
			                         .root = { ROOT_IMAGE, (char *)at(rows[i].name) } };
		cleanup_fd int fd = -1;
		const char *type = NULL;

		check(builder_open_root(&owned, &builder, &fd, &type, &err) == rows[i].expected);
		check((fd >= 0) == (rows[i].expected == 0));
		check(rows[i].type ? type && strcmp(type, rows[i].type) == 0 : !type);
		check(rows[i].expected == 0 || strstr(err.text, "F: the root of builder `b`: "));
	}
}

static void a_path_that_is_not_there_is_told_with_its_own_place(void)
{
	static const struct {
		const char *members, *place;
	} rows[] = {
		{ "\"root\": {\"tree\": \"/no/such\"}", "b.json:1:43: the root of" },
		{ "\"root\": {\"image\": \"/no/such\"}", "b.json:1:44: the root of" },
		{ "\"network\": {\"namespace\": \"/run/netns/none\"}",
		  "b.json:1:51: the network of" },
	};

	struct config pool = base;

	pool.pool = true;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_builder struct builder builder = { 0 };
		cleanup_fd int fd = -1;
		const char *type;
		char text[128];

		(void)snprintf(text, sizeof(text), "{\"command\": [\"/bin/sh\"], %s}",
		               rows[i].members);
		check(builder_parse(&pool, "b", text, strlen(text), NULL, &builder, &err) == 0);
		check(builder_open_root(&pool, &builder, &fd, &type, &err) < 0 ||
		      builder_open_network(&pool, &builder, &fd, &err) < 0);
		check(strstr(err.text, rows[i].place));
	}
}

static void looks_for_the_command_inside_of_a_root(void)
{
	static const struct {
		const char *command;
		int expected;
	} rows[] = {
		{ "/bin/good", 0 },          { "/bin/absolute", 0 },  { "/bin/up", 0 },
		{ "/../../bin/good", 0 },    { "/bin/script", 0 },    { "/bin/hosts", -ENOENT },
		{ "/bin/outside", -ENOENT }, { "/bin/sh", -ENOENT },  { "/bin/script2", -ENOENT },
		{ "/bin/data", -EACCES },    { "/bin/open", -EPERM },
	};
	const struct config owned = { .store_dir = (char *)"/nix/store", .owner_uid = place_owner };
	cleanup_fd int root_fd = -1;

	make_dir("root", 0755);
	make_dir("root/bin", 0755);
	make_file("root-outside", 0755, "");
	make_file("root/bin/good", 0755, "");
	make_file("root/bin/data", 0644, "");
	make_file("root/bin/open", 0777, "");
	make_file("root/bin/script", 0755, "#!/bin/good\n");
	make_file("root/bin/script2", 0755, "#!/bin/sh\n");
	make_link("root/bin/absolute", "/bin/good");
	make_link("root/bin/up", "../../../../bin/good");
	make_link("root/bin/hosts", "/bin/sh");
	make_link("root/bin/outside", "../../root-outside");
	root_fd = open(at("root"), O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *command[] = { (char *)rows[i].command, NULL };
		struct builder builder = { .name = (char *)"b",
			                   .file = (char *)"F",
			                   .command = command,
			                   .root = { ROOT_TREE, (char *)"/srv/t" } };
		cleanup_fd int fd = -1;

		check(builder_check_command(&owned, &builder, root_fd, &fd, &err) ==
		      rows[i].expected);
		check((fd >= 0) == (rows[i].expected == 0));
		check(rows[i].expected == 0 || strstr(err.text, "/srv/t/bin/"));
	}
}

static void what_a_view_shows_is_looked_for_on_the_host(void)
{
	struct place place = { .kind = PLACE_READ,
		               .at = (char *)at("shown"),
		               .source = (char *)at("shown") };
	char *command[] = { (char *)at("shown/run"), NULL };
	struct builder builder = { .name = (char *)"b",
		                   .file = (char *)"F",
		                   .command = command,
		                   .view = { .places = &place },
		                   .root = { ROOT_TREE, (char *)"/srv/t" } };
	struct config owned = { .store_dir = (char *)"/nix/store", .owner_uid = place_owner };
	cleanup_fd int root_fd = open(at("root"), O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int bind_fd = -1, store_fd = -1, none_fd = -1;

	make_dir("shown", 0755);
	make_file("shown/run", 0755, "");
	check(builder_check_command(&owned, &builder, root_fd, &none_fd, &err) == -ENOENT);
	builder.view.n_places = 1;
	check(builder_check_command(&owned, &builder, root_fd, &bind_fd, &err) == 0);
	builder.view.n_places = 0;
	owned.store_dir = (char *)at("shown");
	check(builder_check_command(&owned, &builder, root_fd, &store_fd, &err) == 0);
}

/* "@" is where the test has its files. */
static void name_place(const char *text, char *ret, size_t size)
{
	size_t n = 0;

	for (; *text && n < size; text++)
		n += (size_t)snprintf(ret + n, size - n, *text == '@' ? "%s" : "%.1s",
		                      *text == '@' ? place_dir : text);
	must(n < size, "room for a text");
}

static void a_view_must_show_the_command_and_what_starts_it(void)
{
	static const struct {
		const char *command, *view;
		const char *missing; /* NULL: it can be run */
		const char *hint;
	} rows[] = {
		{ "v/opt/run", "{\"read\": [\"@/v/opt\"]}", NULL, NULL },
		{ "v/opt/run", "{\"read\": [\"@/v/opt/run\"]}", NULL, NULL },
		{ "v/opt/run", "{}", "/v/opt/run", "/v/opt\" to \"read\"" },
		{ "v/opt/run", "{\"base\": \"host\"}", "/v/opt/run", "/v/opt\" to \"read\"" },
		{ "v/opt/run",
		  "{\"read\": [\"@/v\"], \"tmpfs\": [{\"at\": \"@/v/opt\", \"size\": \"1M\"}]}",
		  "/v/opt/run", "out of \"tmpfs\"" },
		{ "v/opt/run", "{\"read\": [\"@/v\"], \"hide\": [\"@/v/opt\"]}", "/v/opt/run",
		  "out of \"hide\"" },
		{ "v/opt/run",
		  "{\"tmpfs\": [{\"at\": \"@/v\", \"size\": \"1M\"}], \"read\": [\"@/v/opt\"]}",
		  NULL, NULL },
		/* A link leads to what the view has there, not the host. */
		{ "v/opt/link", "{\"read\": [\"@/v/opt\"]}", "/v/lib/run", "/v/lib\" to" },
		{ "v/opt/link", "{\"read\": [\"@/v/opt\", \"@/v/lib\"]}", NULL, NULL },
		{ "v/else/up", "{\"read\": [{\"path\": \"@/v/opt\", \"at\": \"@/v/else\"}]}",
		  "/v/lib/run", "/v/lib\" to" },
		{ "v/else/up",
		  "{\"read\": [{\"path\": \"@/v/opt\", \"at\": \"@/v/else\"}, \"@/v/lib\"]}", NULL,
		  NULL },
		/* Where the place itself is a link, the host's counts. */
		{ "v/else/run", "{\"read\": [{\"path\": \"@/v/current\", \"at\": \"@/v/else\"}]}",
		  NULL, NULL },
		{ "v/opt/script", "{\"read\": [\"@/v/opt\"]}", "/v/lib/run", "/v/lib\" to" },
		{ "v/opt/script", "{\"read\": [\"@/v/opt\", \"@/v/lib\"]}", NULL, NULL },
	};
	char text[512];

	make_dir("v", 0755);
	make_dir("v/opt", 0755);
	make_dir("v/lib", 0755);
	make_file("v/opt/run", 0755, "");
	make_file("v/lib/run", 0755, "");
	make_link("v/opt/link", at("v/lib/run"));
	make_link("v/opt/up", "../lib/run");
	make_link("v/current", "opt");
	(void)snprintf(text, sizeof(text), "#!%s -x\n", at("v/lib/run"));
	make_file("v/opt/script", 0755, text);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_builder struct builder builder = { 0 };
		char view[384], command[96];
		cleanup_fd int fd = -1;
		int r;

		(void)snprintf(command, sizeof(command), "%s", at(rows[i].command));
		name_place(rows[i].view, view, sizeof(view));
		(void)snprintf(text, sizeof(text), "{\"command\": [\"%s\"],\n \"view\": %s}",
		               command, view);
		must(builder_parse(&base, "v", text, strlen(text), NULL, &builder, &err) == 0,
		     err.text);
		r = builder_check_command(&base, &builder, -1, &fd, &err);
		check(r == (rows[i].missing ? -ENOENT : 0));
		if (!rows[i].missing)
			continue;
		check(strstr(err.text, ":1:14: the command of builder `v`: "));
		check(strstr(err.text, "the view does not show "));
		check(strstr(err.text, rows[i].missing));
		check(strstr(err.hint, rows[i].hint));
	}
}

/* Of the machine's own: what a program of C needs to start. */
static void a_view_must_show_the_loader_of_a_program(void)
{
	static const char text[] = "{\"command\": [\"/bin/sh\"]}";
	cleanup_free char *loader = realpath("/lib64/ld-linux-x86-64.so.2", NULL);
	cleanup_builder struct builder builder = { 0 };
	struct place empty = { .kind = PLACE_TMPFS };
	cleanup_fd int good_fd = -1, fd = -1;

	if (!loader || access("/bin/sh", X_OK) < 0)
		return; /* not as on other machines: nothing can be seen here */
	must(builder_parse(&base, "v", text, strlen(text), NULL, &builder, &err) == 0, err.text);
	check(builder_check_command(&base, &builder, -1, &good_fd, &err) == 0);
	*strrchr(loader, '/') = '\0';
	empty.at = loader;
	builder.view.places = &empty;
	builder.view.n_places = 1;
	check(builder_check_command(&base, &builder, -1, &fd, &err) == -ENOENT);
	check(strstr(err.text, "the interpreter of /bin/sh: the view does not show "));
	check(strstr(err.text, loader) && strstr(err.hint, "out of \"tmpfs\""));
	builder.view.places = NULL;
	builder.view.n_places = 0;
}

static void the_state_directory_must_be_out_of_reach(void)
{
	cleanup_config struct config config = { 0 };
	cleanup_fd int fd = -1;

	check(config_load(place_dir, false, &config, &err) == 0);
	free(config.state_dir);
	make_dir("public", 0777);
	make_dir("public/state", 0700);
	config.state_dir = strdup(at("public/state"));
	check(config_open_state(&config, &fd, &err) == -EPERM && fd == -1);
	must(chmod(at("public"), 0755) == 0, "chmod");
	check(config_open_state(&config, &fd, &err) == 0 && fd >= 0);
}

/* Every error */

struct seen {
	size_t n;
	char places[8][ERROR_TEXT_MAX];
	char hint[ERROR_HINT_MAX]; /* the last */
};

static void note(void *data, const struct error *error)
{
	struct seen *seen = data;

	if (seen->n < ARRAY_SIZE(seen->places))
		(void)snprintf(seen->places[seen->n], sizeof(seen->places[0]), "%s", error->text);
	(void)snprintf(seen->hint, sizeof(seen->hint), "%s", error->hint);
	seen->n++;
}

static void reports_every_error_of_a_definition(void)
{
	static const char text[] = "{\n\"command\": [\"x\", 3],\n\"colour\": 1,\n"
				   "\"allow\": {\"users\": [0, 1, -1]}\n}";
	cleanup_builder struct builder builder = { 0 };
	struct seen seen = { 0 };
	const struct config_report report = { note, &seen };

	check(builder_parse(&base, "b", text, strlen(text), &report, &builder, &err) == -EINVAL);
	check(seen.n == 5);
	check(strstr(seen.places[0], "b.json:2:13:") != NULL);
	check(strstr(seen.places[1], "b.json:2:18:") != NULL);
	check(strstr(seen.places[2], "b.json:3:1:") != NULL);
	check(strstr(seen.places[3], "b.json:4:21:") != NULL);
	check(strstr(seen.places[4], "b.json:4:27:") != NULL);
	check(strcmp(err.text, seen.places[0]) == 0);
}

static void checks_the_whole_configuration(void)
{
	struct seen seen = { 0 };
	struct config_check found;
	char text[1024];

	make_dir("whole", 0755);
	make_dir("whole/builders.d", 0755);
	make_dir("tools", 0755);
	make_file("tools/good", 0755, "");
	(void)snprintf(text, sizeof(text), "{\"state\": \"%s\"}", at("whole/state"));
	make_file("whole/hatchd.json", 0644, text);
	(void)snprintf(text, sizeof(text),
	               "{\"command\": [\"%s\"], \"view\": {\"read\": [\"%s\"]}}", at("tools/good"),
	               at("tools"));
	make_file("whole/builders.d/good.json", 0644, text);
	found = config_check_all(at("whole"), false, &(struct config_report){ note, &seen });
	check(found.n_builders == 1 && found.n_errors == 0 && seen.n == 0);

	make_file("whole/builders.d/stray", 0644, "");
	make_file("whole/builders.d/wrong.json", 0644, "{\"x\": 1}");
	(void)snprintf(text, sizeof(text),
	               "{\"command\": [\"%s\"], \"view\": {\"read\": [\"%s\", \"%s\"]}}",
	               at("tools/gone"), at("tools"), at("nothing"));
	make_file("whole/builders.d/lost.json", 0644, text);
	make_dir("whole/state", 0777);
	found = config_check_all(at("whole"), false, &(struct config_report){ note, &seen });
	check(found.n_builders == 3 && found.n_errors == 6 && seen.n == 6);
	check(strstr(seen.places[0], "whole/state") != NULL);
	check(strstr(seen.places[1], "stray") != NULL);
	check(strstr(seen.places[2], "tools/gone") != NULL);
	check(strstr(seen.places[3], "/nothing") != NULL);
	check(strstr(seen.places[4], "wrong.json:1:2:") != NULL);
	check(strstr(seen.places[5], "\"command\" is missing") != NULL);

	make_file("whole/hatchd.json", 0644, "{\"a\": 1, \"b\": 2}");
	seen.n = 0;
	found = config_check_all(at("whole"), false, &(struct config_report){ note, &seen });
	check(found.n_builders == 3 && found.n_errors == 7 && seen.n == 7);
	check(strstr(seen.places[0], "hatchd.json:1:2:") && strstr(seen.places[1], ":1:10:"));
	check(strstr(seen.places[6], "\"command\" is missing") != NULL);
}

static void an_error_of_hatchd_json_is_no_error_of_what_takes_from_it(void)
{
	static const char *const texts[] = {
		"{\"resources\": {\"seat\": 0}, \"range_base\": 1}",
		"{\"resources\": {\"seat\": 1}, \"range_base\": 2000000,}",
	};

	make_dir("half", 0755);
	make_dir("half/builders.d", 0755);
	make_file("half/builders.d/b.json", 0644,
	          "{\"command\": [\"/bin/sh\"], \n"
	          " \"resources\": {\"seat\": 1}, \"x\": 1}");
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct seen seen = { 0 };

		make_file("half/hatchd.json", 0644, texts[i]);
		(void)config_check_all(at("half"), false, &(struct config_report){ note, &seen });
		check(seen.n == (i == 0 ? 3 : 2));
		check(strstr(seen.places[0], "hatchd.json:1:"));
		check(strstr(seen.places[seen.n - 1], "b.json:2:28: unknown key"));
	}
}

static void keys_that_take_the_meaning_from_each_other_are_named_with_their_place(void)
{
	static const struct {
		const char *members, *words; /* NULL: nothing is wrong */
		size_t column;
	} rows[] = {
		{ "\"args\": {\"match\": [\"a\"]}", "\"max\"", 44 },
		{ "\"args\": {\"max\": 1, \"match\": [\"a\", \"-b\"]}", "\"dash\": true", 60 },
		{ "\"args\": {\"max\": 1, \"dash\": true, \"match\": [\"-b\"]}", NULL, 0 },
		{ "\"args\": {\"max\": 1, \"match\": [\"-?b\", \"-b|c\"]}", NULL, 0 },
		{ "\"allow\": {\"derivations\": [\"x-*\"]}", "let nobody in", 51 },
		{ "\"allow\": {\"users\": [1], \"derivations\": [\"x-*\"]}", NULL, 0 },
		{ "\"allow\": {}", NULL, 0 },
		{ "\"credentials_scan\": false", "no credentials", 46 },
		{ "\"credentials_scan\": false, \"credentials\": [\"k\"]", NULL, 0 },
		{ "\"limits\": {\"time_sec\": 9, \"silence_sec\": 10}", "at most time_sec: 9", 67 },
		{ "\"limits\": {\"time_sec\": 9, \"silence_sec\": 9}", NULL, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_builder struct builder builder = { 0 };
		char text[256], place[32];
		int r;

		(void)snprintf(text, sizeof(text), "{\"command\": [\"/bin/sh\"], %s}",
		               rows[i].members);
		r = builder_parse(&base, "b", text, strlen(text), NULL, &builder, &err);
		check(r == (rows[i].words ? -EINVAL : 0));
		if (!rows[i].words)
			continue;
		(void)snprintf(place, sizeof(place), "b.json:1:%zu: ", rows[i].column);
		check(strstr(err.text, rows[i].words));
		check(strstr(err.text, place));
	}
}

static void one_bundle_fits_into_all_of_them(void)
{
	static const char text[] = "{\"failed\": {\"total\": \"1M\", \"size\": \"2M\"}}";
	cleanup_config struct config config = { 0 };

	check(config_parse("/etc/hatch", false, text, strlen(text), NULL, &config, &err) ==
	      -EINVAL);
	check(strstr(err.text, "hatchd.json:1:36: size is above total; expected at most \"1M\""));
}

static void directories_of_hatchd_json_must_be_there(void)
{
	struct seen seen = { 0 };
	char text[256];

	make_dir("dirs", 0755);
	make_dir("dirs/builders.d", 0755);
	make_file("dirs/f", 0644, "");
	(void)snprintf(text, sizeof(text), "{\"store\": \"%s\",\n \"state\": \"%s\"}",
	               at("dirs/none"), at("dirs/f/state"));
	make_file("dirs/hatchd.json", 0644, text);
	(void)config_check_all(at("dirs"), false, &(struct config_report){ note, &seen });
	check(seen.n == 2);
	check(strstr(seen.places[0], "dirs/hatchd.json:2:11: \"state\": "));
	check(strstr(seen.places[1], "dirs/hatchd.json:1:11: \"store\": "));
}

static void a_directory_that_is_missing_is_told_with_what_makes_it(void)
{
	struct seen seen = { 0 };
	cleanup_config struct config config = { 0 };
	cleanup_(strv_freep) char **names = NULL;
	char expected[256];

	check(config_load(at("lost"), false, &config, &err) == -ENOENT);
	(void)snprintf(expected, sizeof(expected), "install -d -m 0755 '%s'", at("lost"));
	check(strstr(err.hint, expected));

	make_dir("lost", 0755);
	(void)config_check_all(at("lost"), false, &(struct config_report){ note, &seen });
	check(seen.n == 1);
	check(config_load(at("lost"), false, &config, &err) == 0);
	check(config_list_builders(&config, &names, &err) == 0);
}

static void bounds_are_written_as_one_would_write_them(void)
{
	static const char text[] = "{\"command\": [\"/bin/sh\"],\n"
				   "\"limits\": {\"scratch\": 7, \"rlimits\": {\"as\": 7}}}";
	static const char *const words[] = {
		"b.json:2:23: scratch is out of range; expected \"1M\" to \"1024T\"",
		"b.json:2:44: as is out of range; expected at least \"1M\"",
	};
	cleanup_builder struct builder builder = { 0 };
	struct seen seen = { 0 };

	(void)builder_parse(&base, "b", text, strlen(text), &(struct config_report){ note, &seen },
	                    &builder, &err);
	check(seen.n == 2);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		check(strstr(seen.places[i], words[i]));
}

static void another_machine_s_configuration_is_read_without_asking_this_one(void)
{
	struct seen seen = { 0 };
	const struct config_report offline = { note, &seen, .offline = true };
	struct config_check found;

	make_dir("other", 0777);
	make_dir("other/builders.d", 0777);
	make_file("other/hatchd.json", 0666,
	          "{\"speaker_user\": \"no-such-user\", \"range_base\": 1879048192}");
	make_file("other/builders.d/good.json", 0666,
	          "{\"command\": [\"/nothing/run\"], \"uid_map\": \"range\","
	          " \"allow\": {\"users\": [\"no-such-user\", \"root\"]},"
	          " \"groups\": [\"no-such-group\"], \"view\": {\"read\": [\"/nothing\"]},"
	          " \"after\": {\"command\": [\"/nothing/off\"]}, \"credentials\": [\"key\"]}");
	make_file("other/builders.d/bundle.json", 0666, "{\"root\": {\"bundle\": \"/nothing\"}}");
	found = config_check_all(at("other"), true, &offline);
	check(found.n_builders == 2 && found.n_errors == 0);

	make_file("other/builders.d/wrong.json", 0666,
	          "{\"command\": [\"/x\"], \"groups\": [\"root\"], \"resources\": {\"seat\": 1},\n"
	          "\"view\": {\"hide\": [\"/nix/store/x\"]}, \"limits\": {\"swap\": \"1G\"}}");
	found = config_check_all(at("other"), true, &offline);
	check(found.n_builders == 3 && found.n_errors == 4 && seen.n == 4);
	check(strstr(seen.places[0], "wrong.json:1:32: group 0") != NULL);
	check(strstr(seen.places[1], "wrong.json:1:55: there is no resource") != NULL);
	check(strstr(seen.places[2], "wrong.json:2:19: this meets /nix/store") != NULL);

	/* What is wrong by its numbers and names alone. */
	seen.n = 0;
	make_file("other/hatchd.json", 0666,
	          "{\"speaker_user\": \"root\", \"build_users_group\": \"nixbld\",\n"
	          "\"range_base\": 4294901760, \"state\": \"/run/hatch/s\"}");
	(void)config_check_all(at("other"), true, &offline);
	check(seen.n >= 4);
	check(strstr(seen.places[0], "hatchd.json:2:36: this meets /run/hatch") != NULL);
	check(strstr(seen.places[1], "hatchd.json:1:18: speaker_user is root") != NULL);
	check(strstr(seen.places[2], "hatchd.json:1:47: the group \"nixbld\"") != NULL);
	check(strstr(seen.places[3], "hatchd.json:2:15: 65536 ids for each of 1 build") != NULL);

	/* The same files are not believed for requests. */
	check(config_load(at("other"), false, &(struct config){ 0 }, &err) == -EPERM);
}

static void what_the_hook_reads_is_checked_too(void)
{
	struct seen seen = { 0 };
	struct config_report report = { note, &seen };
	char text[1024];

	make_dir("hook", 0755);
	make_dir("hook/builders.d", 0755);
	make_file("hook/other", 0755, "");
	(void)snprintf(text, sizeof(text),
	               "{\"features\": [\"a\"], \"paths\": [\"/nothing\"], \"chain\": \"%s\"}",
	               at("hook/other"));
	make_file("hook/hook.json", 0644, text);
	check(config_check_all(at("hook"), false, &report).n_errors == 0);

	make_file("hook/hook.json", 0644, "{\"features\": 1, \"chain\": \"/nothing/hook\"}");
	check(config_check_all(at("hook"), false, &report).n_errors == 1);
	check(strstr(seen.places[0], "hook/hook.json:1:14: ") != NULL);

	seen.n = 0;
	make_file("hook/hook.json", 0644, "{\"chain\": \"/nothing/hook\"}");
	check(config_check_all(at("hook"), false, &report).n_errors == 1);
	check(strstr(seen.places[0], "/nothing") != NULL);
	report.offline = true;
	check(config_check_all(at("hook"), true, &report).n_errors == 0);

	/* A definition for a feature that the hook does not know. */
	seen.n = 0;
	report.warning = note;
	make_file("hook/builders.d/a.json", 0644,
	          "{\"command\": [\"/nothing\"],\n"
	          " \"allow\": {\"features\": [\"kvm\", \"hatch-a\"]}}");
	make_file("hook/hook.json", 0644, "{\"features\": [\"hatch-b\"], \"paths\": [\"/x\"]}");
	check(config_check_all(at("hook"), true, &report).n_warnings == 1 && seen.n == 1);
	check(strstr(seen.places[0], "a.json:2:32: the hook shows the hatch to no deriv") != NULL);
	check(strstr(seen.hint, "unless all builds are shown the hatch") != NULL);
	make_file("hook/hook.json", 0644, "{\"features\": [\"hatch-a\"], \"paths\": [\"/x\"]}");
	check(config_check_all(at("hook"), true, &report).n_warnings == 0);
	make_file("hook/hook.json", 0644, "{}");
	check(config_check_all(at("hook"), true, &report).n_warnings == 0);

	/* Of another machine's accounts root alone is known. */
	make_file("hook/hook.json", 0644, "{\"user\": \"no-such-user\"}");
	check(config_check_all(at("hook"), true, &report).n_errors == 0);
	seen.n = 0;
	make_file("hook/hook.json", 0644, "{\"user\": \"root\"}");
	check(config_check_all(at("hook"), true, &report).n_errors == 1);
	check(strstr(seen.places[0], "hook/hook.json:1:10: \"user\": ") != NULL);
}

static const struct unit_case in_memory[] = {
	CASE(bounds_are_written_as_one_would_write_them),
	CASE(a_definition_may_say_everything),
	CASE(what_is_absent_has_the_most_restrictive_value),
	CASE(reads_limits_of_cgroup_and_processes),
	CASE(limits_that_contradict_each_other_are_named_with_their_place),
	CASE(hatchd_json_may_be_absent_or_empty),
	CASE(hatchd_json_may_say_everything),
	CASE(refuses_what_is_wrong_in_hatchd_json),
	CASE(says_where_the_text_is_no_json),
	CASE(refuses_bytes_that_are_no_text),
	CASE(refuses_deep_and_huge_texts),
	CASE(says_where_a_value_is_wrong),
	CASE(keys_that_take_the_meaning_from_each_other_are_named_with_their_place),
	CASE(one_bundle_fits_into_all_of_them),
	CASE(places_are_sorted_from_the_outside_to_the_inside),
	CASE(says_where_two_places_contradict_each_other),
	CASE(refuses_to_take_what_there_is_not),
	CASE(refuses_keys_that_do_not_exist_yet),
	CASE(takes_values_at_the_limit_and_none_beyond),
	CASE(a_number_in_quotes_is_no_name),
	CASE(refuses_commands_that_are_none),
	CASE(long_texts_stop_at_what_the_kernel_takes),
	CASE(an_expression_has_1024_bytes_at_most),
	CASE(a_list_holds_4096_items_and_no_more),
	CASE(a_client_may_not_set_what_decides_which_code_runs),
	CASE(reports_every_error_of_a_definition),
};

static const struct unit_case on_disk[] = {
	CASE(loads_a_definition_or_says_that_there_is_none),
	CASE(follows_links_to_a_definition_and_notices_broken_ones),
	CASE(refuses_files_that_others_can_write),
	CASE(refuses_a_file_above_the_limit),
	CASE(a_configuration_needs_its_directory),
	CASE(lists_builders_in_order),
	CASE(a_file_that_is_no_definition_is_an_error),
	CASE(no_directory_means_no_builders),
	CASE(tells_a_missing_command_from_one_that_cannot_run),
	CASE(a_root_is_one_tree_or_image),
	CASE(a_root_has_room_for_the_places_of_hatch),
	CASE(tells_what_an_image_is_by_what_is_in_it),
	CASE(a_path_that_is_not_there_is_told_with_its_own_place),
	CASE(looks_for_the_command_inside_of_a_root),
	CASE(what_a_view_shows_is_looked_for_on_the_host),
	CASE(a_view_must_show_the_command_and_what_starts_it),
	CASE(a_view_must_show_the_loader_of_a_program),
	CASE(the_state_directory_must_be_out_of_reach),
	CASE(checks_the_whole_configuration),
	CASE(another_machine_s_configuration_is_read_without_asking_this_one),
	CASE(what_the_hook_reads_is_checked_too),
	CASE(an_error_of_hatchd_json_is_no_error_of_what_takes_from_it),
	CASE(directories_of_hatchd_json_must_be_there),
	CASE(a_directory_that_is_missing_is_told_with_what_makes_it),
};

int main(void)
{
	int r;

	must(config_parse("/etc/hatch", false, NULL, 0, NULL, &base, &err) == 0, "defaults");
	r = unit_run(in_memory, ARRAY_SIZE(in_memory));
	if (place_make()) {
		make_dir("builders.d", 0755);
		r |= unit_run(on_disk, ARRAY_SIZE(on_disk));
		place_remove();
	} else {
		unit_skip(on_disk, ARRAY_SIZE(on_disk), "no private mount namespace");
	}
	config_done(&base);
	return r;
}
