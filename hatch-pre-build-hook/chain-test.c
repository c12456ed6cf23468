#include "chain.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "tests/unit.h"

static void adds_its_lines_where_nix_reads_them(void)
{
	static const char own[] = "extra-sandbox-paths\n/a=/b\n\n";
	static const struct {
		const char *printed, *kept;
	} rows[] = {
		{ "", "" },
		{ "extra-sandbox-paths\n/x\n\n", "extra-sandbox-paths\n/x\n\n" },
		/* A list that did not end. */
		{ "extra-sandbox-paths\n/x\n", "extra-sandbox-paths\n/x\n\n" },
		{ "extra-sandbox-paths\n", "extra-sandbox-paths\n\n" },
		{ "extra-chroot-dirs\n/x\n", "extra-chroot-dirs\n/x\n\n" },
		{ "extra-sandbox-paths\nextra-sandbox-paths\n",
		  "extra-sandbox-paths\nextra-sandbox-paths\n\n" },
		/* A line that did not end: Nix does not read it. */
		{ "extra-sandbox-paths\n/x\n\nextra", "extra-sandbox-paths\n/x\n\n" },
		{ "extra-sandbox-paths\n/x\n/y", "extra-sandbox-paths\n/x\n\n" },
		{ "extra-sandbox-paths", "" },
		/* Nothing of Nix's: it says so itself. */
		{ "hello\n", "hello\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_(buffer_done) struct buffer output = { 0 };
		char expected[256];

		check(buffer_add(&output, rows[i].printed, strlen(rows[i].printed)) == 0);
		check(chain_append(&output, own) == 0);
		(void)snprintf(expected, sizeof(expected), "%s%s", rows[i].kept, own);
		check(strcmp(output.data, expected) == 0);
		if (strcmp(output.data, expected) != 0)
			printf("  after %s: %s\n", rows[i].printed, output.data);
	}
}

static void tells_how_a_hook_ended(void)
{
	static const struct {
		const char *script;
		int status;
	} rows[] = {
		{ "echo \"$1 $#\"", 0 },
		{ "exit 3", 3 },
		{ "kill -9 $$", 128 + 9 },
		{ "yes | head -c 2000000", -27 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_(buffer_done) struct buffer output = { 0 };
		char *words[] = { (char *)"-c", (char *)rows[i].script, (char *)"name",
			          (char *)"drv", NULL };
		struct error err;

		check(chain_run("/bin/sh", words, &output, &err) == rows[i].status);
		if (i == 0)
			check(output.len == 6 && memcmp(output.data, "drv 1\n", 6) == 0);
	}
}

static void a_hook_that_is_not_there_ends_as_a_shell_would(void)
{
	cleanup_(buffer_done) struct buffer output = { 0 };
	char *words[] = { (char *)"drv", NULL };
	struct error err;

	check(chain_run("/nonexistent/hook", words, &output, &err) == 127);
	check(output.len == 0);
}

static const struct unit_case cases[] = {
	CASE(adds_its_lines_where_nix_reads_them),
	CASE(tells_how_a_hook_ended),
	CASE(a_hook_that_is_not_there_ends_as_a_shell_would),
};

UNIT_MAIN(cases)
