#include "exposure.h"

#include <errno.h>
#include <string.h>

#include "tests/unit.h"

static const char file[] = "/etc/hatch/hook.json";

static void a_file_may_say_everything(void)
{
	static const char text[] =
		"{\"features\": [\"hatch-fpga\", \"hatch-sign\"],\n"
		" \"paths\": [{\"path\": \"/run/hatch/s\", \"at\": \"/run/hatch\"}, \"/opt/c\",\n"
		"           {\"path\": \"/opt/a=b\", \"at\": \"/opt/d\"}],\n"
		" \"missing_derivation\": \"expose\", \"chain\": \"/opt/hook\",\n"
		" \"user\": \"daemon\"}\n";
	cleanup_exposure struct exposure e = { 0 };

	check(exposure_parse(file, text, strlen(text), NULL, &e, NULL) == 0);
	check(e.n_features == 2 && strcmp(e.features[1], "hatch-sign") == 0);
	check(e.n_paths == 3 && strcmp(e.paths[0].path, "/run/hatch/s") == 0);
	check(strcmp(e.paths[0].at, "/run/hatch") == 0 && strcmp(e.paths[1].at, "/opt/c") == 0);
	check(strcmp(e.paths[1].path, "/opt/c") == 0 && strcmp(e.paths[2].path, "/opt/a=b") == 0);
	check(e.missing && e.chain && strcmp(e.chain, "/opt/hook") == 0);
	check(!e.chain_lost && strcmp(e.user, "daemon") == 0);
}

static void what_is_absent_exposes_nothing(void)
{
	cleanup_exposure struct exposure e = { 0 };
	struct exposure none = { 0 };

	check(exposure_parse(file, "{}", 2, NULL, &e, NULL) == 0);
	check(e.n_features == 0 && e.n_paths == 0 && !e.missing && !e.chain);
	check(!e.chain_lost && !e.user);
	check(exposure_load("/nonexistent/hook.json", 0, NULL, &none, NULL) == 0);
	exposure_done(&none);
}

static void says_what_is_wrong_and_where(void)
{
	static const struct {
		const char *text, *said;
	} rows[] = {
		{ "[]", "hook.json:1:1: this is a list" },
		{ "{\"feature\": []}", "hook.json:1:2: unknown key \"feature\"" },
		{ "{\"features\": \"hatch-a\"}", "hook.json:1:14: this is a string" },
		{ "{\"features\": [\"\"], \"paths\": [\"/a\"]}", "hook.json:1:15: no derivation" },
		{ "{\"features\": [\"a b\"], \"paths\": [\"/a\"]}",
		  "hook.json:1:15: no derivation" },
		{ "{\"features\": [\"a\"]}", "hook.json:1:14: there are features" },
		{ "{\"features\": [\"a\"], \"paths\": []}", "hook.json:1:14: there are features" },
		{ "{\"paths\": [\"a\"]}", "hook.json:1:12: \"a\"; expected an absolute path" },
		{ "{\"paths\": [\"/a/../b\"]}", "hook.json:1:12: " },
		{ "{\"paths\": [\"/\"]}", "hook.json:1:12: this is all there is" },
		{ "{\"paths\": [{\"path\": \"/a\", \"at\": \"/\"}]}",
		  "hook.json:1:12: this is all there is" },
		{ "{\"paths\": [{\"at\": \"/a\"}]}",
		  "hook.json:1:12: the key \"path\" is missing" },
		{ "{\"paths\": [{\"path\": \"/a\", \"from\": \"/b\"}]}", "unknown key \"from\"" },
		{ "{\"paths\": [\"/a=b\"]}", "hook.json:1:12: Nix cannot show" },
		{ "{\"paths\": [\"/a\", {\"path\": \"/b\", \"at\": \"/a\"}]}",
		  "hook.json:1:11: two paths are both shown at /a" },
		{ "{\"missing_derivation\": \"show\"}",
		  "hook.json:1:24: \"show\"; expected \"hide\" or \"expose\"" },
		{ "{\"chain\": \"hook\"}", "hook.json:1:11: \"hook\"; expected an absolute path" },
		{ "{\"chain\": [\"/hook\"]}", "hook.json:1:11: this is a list" },
		{ "{\"user\": \"\"}", "hook.json:1:10: the text is empty" },
		{ "{\"user\": 1}", "hook.json:1:10: this is an integer" },
		{ "{\"user\": \"no-such-user\"}",
		  "hook.json:1:10: \"user\": /etc/passwd has no user \"no-such-user\"" },
		{ "{\"user\": \"root\"}",
		  "hook.json:1:10: \"user\": derivations are not parsed by root" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_exposure struct exposure e = { 0 };
		struct error err = { 0 };

		check(exposure_parse(file, rows[i].text, strlen(rows[i].text), NULL, &e, &err) ==
		      -EINVAL);
		check(strstr(err.text, rows[i].said) != NULL);
		if (!strstr(err.text, rows[i].said))
			printf("  of %s: %s\n", rows[i].text, err.text);
	}
}

static void count(void *data, const struct error *err)
{
	++*(unsigned *)data;
}

static void what_is_right_is_read_beside_what_is_wrong(void)
{
	static const char text[] = "{\"features\": [1], \"chain\": \"/opt/hook\", \"x\": 0}";
	cleanup_exposure struct exposure e = { 0 };
	unsigned n = 0;
	const struct config_report report = { .error = count, .data = &n };

	check(exposure_parse(file, text, strlen(text), &report, &e, NULL) == -EINVAL);
	check(n == 2 && e.chain && strcmp(e.chain, "/opt/hook") == 0 && !e.chain_lost);
}

static void a_hook_that_what_is_wrong_may_hide_is_told(void)
{
	static const struct {
		const char *text;
		bool lost;
	} rows[] = {
		{ "{\"chain\": \"/opt/hook\",}", true },
		{ "{\"features\": [}, \"chain\": \"/opt/hook\"", true },
		{ "{\"chain\": 1}", true },
		{ "{\"chain\": null}", true },
		{ "", true },
		{ "{", true },
		{ "[]", true },
		{ "{\"features\": [\"hatch-a\"", true },
		{ "{chain: \"/opt/hook\"}", true },
		{ "{\"chian\": \"/opt/hook\"}", true },
		{ "{\"features\": [], \"Chain\": \"/opt/hook\"}", true },
		{ "{\"features\": 1}", false },
		{ "{\"paths\": [{\"path\": \"/a\", \"form\": \"/b\"}]}", false },
		{ "{\"chian\": 1, \"chain\": \"/opt/hook\"}", false },
		{ "{\"features\": 1, \"chain\": \"/opt/hook\"}", false },
	};
	unsigned n = 0;
	const struct config_report report = { .error = count, .data = &n };

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_exposure struct exposure e = { 0 };

		check(exposure_parse(file, rows[i].text, strlen(rows[i].text), &report, &e, NULL) ==
		      -EINVAL);
		check(e.chain_lost == rows[i].lost);
	}
}

static void a_file_that_cannot_be_read_may_hide_one(void)
{
	struct exposure e = { 0 };

	check(exposure_load("/proc/self/mem", geteuid(), NULL, &e, NULL) < 0 && e.chain_lost);
}

static const struct unit_case cases[] = {
	CASE(a_file_may_say_everything),
	CASE(what_is_absent_exposes_nothing),
	CASE(says_what_is_wrong_and_where),
	CASE(what_is_right_is_read_beside_what_is_wrong),
	CASE(a_hook_that_what_is_wrong_may_hide_is_told),
	CASE(a_file_that_cannot_be_read_may_hide_one),
};

UNIT_MAIN(cases)
