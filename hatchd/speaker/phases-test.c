#include "phases.h"

#include <string.h>

#include "lib/base/text.h"
#include "tests/unit.h"

static const char *said(const char *bytes, size_t len)
{
	static struct phases phases;

	phases = (struct phases){ 0 };
	phases_feed(&phases, bytes, len);
	return phases_take(&phases, 0);
}

static bool says(const char *bytes, const char *want)
{
	const char *text = said(bytes, strlen(bytes));

	return want ? text && strcmp(text, want) == 0 : !text;
}

static void takes_a_phase_once(void)
{
	struct phases phases = { 0 };

	phases_feed(&phases, "phase a b\n", 10);
	check(strcmp(phases_take(&phases, 1000), "a b") == 0);
	check(phases.next_ms == 1000 + PHASES_PAUSE_MS);
	check(!phases_take(&phases, 2000));
}

static void the_same_again_says_nothing(void)
{
	struct phases phases = { 0 };

	phases_feed(&phases, "phase a\n", 8);
	check(strcmp(phases_take(&phases, 1000), "a") == 0);
	phases_feed(&phases, "phase b\nphase a\n", 16);
	check(!phases_take(&phases, 2000) && !phases.waits);
	check(phases.next_ms == 1000 + PHASES_PAUSE_MS);
	phases_feed(&phases, "phase b\n", 8);
	check(strcmp(phases_take(&phases, 3000), "b") == 0);
}

static void many_phases_are_followed_by_fewer(void)
{
	struct phases phases = { 0 };
	int64_t now_ms = 1;

	for (int i = 1; i <= PHASES_MANY + 5; i++) {
		char line[32];
		int len = snprintf(line, sizeof(line), "phase %d\n", i);

		phases_feed(&phases, line, (size_t)len);
		check(phases_take(&phases, now_ms));
		check(phases.next_ms - now_ms ==
		      (i < PHASES_MANY ? PHASES_PAUSE_MS : PHASES_LONG_PAUSE_MS));
		now_ms = phases.next_ms;
	}
}

static void takes_the_newest(void)
{
	check(says("phase one\nphase two\nphase three", "two"));
	check(says("phase one\nphases two\n", "one"));
}

static void takes_a_line_in_any_pieces(void)
{
	static const char line[] = "x\nphase H\xc3\xa4user\nphase y";

	for (size_t cut = 0; cut < sizeof(line); cut++) {
		struct phases phases = { 0 };
		const char *text;

		phases_feed(&phases, line, cut);
		phases_feed(&phases, line + cut, sizeof(line) - 1 - cut);
		text = phases_take(&phases, 0);
		check(text && strcmp(text, "H\xc3\xa4user") == 0);
	}
}

static void passes_over_what_is_no_phase(void)
{
	static const char *const lines[] = { "\n",          "phase\n",  "phase \n",   "Phase x\n",
		                             " phase x\n",  "phasex\n", "phase\tx\n", "",
		                             "percent 3\n", "phase x" };

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		check(says(lines[i], NULL));
}

static void what_acts_on_a_terminal_is_escaped(void)
{
	check(says("phase \x1b[2J\n", "\\x1b[2J"));
	check(says("phase a\rb\n", "a\\rb"));
	check(says("phase \xc2\x9b\x7f\n", "\\xc2\\x9b\\x7f"));
	check(says("phase \xff\xfe\n", "\\xff\\xfe"));
	check(says("phase C:\\x \"y\"\n", "C:\\x \"y\""));
	check(strcmp(said("phase a\0b\n", 10), "a\\x00b") == 0);
}

static void a_long_line_is_cut_at_a_character(void)
{
	char line[4 * PHASES_LINE_MAX + 1];

	for (size_t shift = 0; shift < 4; shift++) {
		const char *text;
		size_t n = 0;

		n += (size_t)snprintf(line, sizeof(line), "phase %.*s", (int)shift, "xxxx");
		while (n + 4 < sizeof(line)) {
			memcpy(line + n, "\xf0\x9f\x98\x80", 4);
			n += 4;
		}
		line[n] = '\n';
		text = said(line, n + 1);
		check(text && text_is_plain(text, strlen(text)));
		check(text && strlen(text) <= PHASES_LINE_MAX - 6 &&
		      strlen(text) > PHASES_LINE_MAX - 12);
	}
	memset(line, 'x', sizeof(line));
	memcpy(line, "phase ", 6);
	check(strlen(said(line, sizeof(line)) ? "" : "none") == 4);
	line[PHASES_LINE_MAX] = '\n';
	check(strlen(said(line, PHASES_LINE_MAX + 1)) == PHASES_LINE_MAX - 6);
}

static void any_bytes_make_a_text_that_fits_a_message(void)
{
	unsigned seed = 1;

	for (int round = 0; round < 2000; round++) {
		char bytes[600] = "phase ";
		const char *text;

		for (size_t i = 6; i < sizeof(bytes); i++) {
			seed = seed * 1103515245 + 12345;
			bytes[i] = (char)(seed >> 16);
		}
		bytes[sizeof(bytes) - 1] = '\n';
		text = said(bytes, sizeof(bytes));
		check(!text || (strlen(text) >= 1 && strlen(text) <= WIRE_PHASE_MAX &&
		                text_is_plain(text, strlen(text))));
	}
}

int main(void)
{
	static const struct unit_case cases[] = {
		CASE(takes_a_phase_once),
		CASE(the_same_again_says_nothing),
		CASE(many_phases_are_followed_by_fewer),
		CASE(takes_the_newest),
		CASE(takes_a_line_in_any_pieces),
		CASE(passes_over_what_is_no_phase),
		CASE(what_acts_on_a_terminal_is_escaped),
		CASE(a_long_line_is_cut_at_a_character),
		CASE(any_bytes_make_a_text_that_fits_a_message),
	};

	return unit_run(cases, sizeof(cases) / sizeof(cases[0]));
}
