/*
 * hatchctl: what the administrator asks of configuration, journal and running requests. Options,
 * and which verb takes which; what a verb does is in the file of its name. hatchctl(1) is the
 * manual.
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "build-config.h"
#include "lib/base/cleanup.h"
#include "lib/base/log.h"
#include "verbs.h"

/* The verbs, as bits: which of them an option is for. */
enum {
	CHECK = 1 << 0,
	LIST = 1 << 1,
	HISTORY = 1 << 2,
	EXPLAIN = 1 << 3,
	PS = 1 << 4,
	CANCEL = 1 << 5,
	SHOW = 1 << 6,
	ANY = CHECK | LIST | HISTORY | EXPLAIN | PS | CANCEL | SHOW,
};

static const struct verb {
	const char *name;
	int (*run)(const struct options *options);
	unsigned bit;
	size_t min_words, max_words; /* behind the verb */
} verbs[] = {
	{ "check", run_check, CHECK, 0, 0 },
	{ "list", run_list, LIST, 0, 0 },
	{ "ps", run_ps, PS, 0, 0 },
	{ "cancel", run_cancel, CANCEL, 1, 1 },
	{ "history", run_history, HISTORY, 0, 0 },
	{ "show", run_show, SHOW, 1, 1 },
	{ "explain", run_explain, EXPLAIN, 1, SIZE_MAX },
};

enum kind {
	FLAG, /* bool */
	TEXT, /* const char * */
	WORDS /* struct words: each time it is given */
};

#define FIELD(field) offsetof(struct options, field)

static const struct row {
	const char *name;
	int has_argument;
	enum kind kind;
	size_t offset; /* of the field in struct options */
	unsigned verbs;
} rows[] = {
	{ "config", required_argument, TEXT, FIELD(config_dir), ANY },
	{ "unprivileged", no_argument, FLAG, FIELD(unprivileged), ANY },
	{ "state", required_argument, TEXT, FIELD(state_dir), PS | CANCEL | SHOW },
	{ "json", no_argument, FLAG, FIELD(json), LIST | HISTORY | EXPLAIN | PS | SHOW },
	{ "names", no_argument, FLAG, FIELD(names), LIST | PS },
	{ "builder", required_argument, TEXT, FIELD(builder), HISTORY },
	{ "uid", required_argument, TEXT, FIELD(uid), HISTORY | EXPLAIN },
	{ "derivation", required_argument, TEXT, FIELD(derivation), HISTORY | EXPLAIN },
	{ "verdict", required_argument, TEXT, FIELD(verdict), HISTORY },
	{ "since", required_argument, TEXT, FIELD(since), HISTORY },
	{ "until", required_argument, TEXT, FIELD(until), HISTORY },
	{ "lines", required_argument, TEXT, FIELD(lines), HISTORY },
	{ "journal", required_argument, TEXT, FIELD(journal_dir), HISTORY | SHOW },
	{ "log", no_argument, FLAG, FIELD(log), SHOW },
	{ "gid", required_argument, TEXT, FIELD(gid), EXPLAIN },
	{ "groups", required_argument, TEXT, FIELD(groups), EXPLAIN },
	{ "feature", required_argument, WORDS, FIELD(features), EXPLAIN },
	{ "socket", required_argument, TEXT, FIELD(socket), EXPLAIN },
	{ "env", required_argument, WORDS, FIELD(env), EXPLAIN },
	{ "input", required_argument, WORDS, FIELD(inputs), EXPLAIN },
	{ "output", required_argument, WORDS, FIELD(outputs), EXPLAIN },
	{ "timeout", required_argument, TEXT, FIELD(timeout), EXPLAIN },
};

static void print_usage(FILE *file)
{
	(void)fputs(
		"usage: hatchctl check\n"
		"       hatchctl list [--json | --names]\n"
		"       hatchctl ps [--json | --names] [--state DIR]\n"
		"       hatchctl cancel [--state DIR] REQUEST\n"
		"       hatchctl history [--json] [--builder NAME] [--uid USER] [--derivation PATTERN]\n"
		"                        [--verdict WORD] [--since TIME] [--until TIME] [--lines N]\n"
		"                        [--journal DIR]\n"
		"       hatchctl show [--json | --log] [--journal DIR] [--state DIR] REQUEST\n"
		"       hatchctl explain [--json] --uid USER [--gid GROUP] [--groups GROUP,...]\n"
		"                        [--derivation NAME] [--feature NAME]... [--socket CLASS]\n"
		"                        [--env NAME=VALUE]... [--input NAME[=PATH]]...\n"
		"                        [--output NAME[=PATH]]... [--timeout SECONDS]\n"
		"                        BUILDER [--] [ARGUMENT]...\n"
		"       hatchctl --help | --version\n"
		"\n"
		"check    read the whole configuration and say everything that is wrong with it\n"
		"list     the builders, and who may use them\n"
		"ps       the requests that run and wait now\n"
		"cancel   end one of them\n"
		"history  the requests that have ended, from the journal\n"
		"show     one of them, and what was kept of it if it failed\n"
		"explain  may this request be made, why, and what would its sandbox be\n"
		"\n"
		"All take --config DIR and --unprivileged. See hatchctl(1).\n",
		file);
}

/* --- what the verbs share --- */

static void say(int level, const char *kind, const struct error *err)
{
	if (err->hint[0])
		log_line(level, "%s%s (%s)", kind, err->text, err->hint);
	else
		log_line(level, "%s%s", kind, err->text);
}

void say_error(void *data, const struct error *err)
{
	say(LOG_ERR, "", err);
}

void say_warning(void *data, const struct error *err)
{
	say(LOG_WARNING, "warning: ", err);
}

int fail_usage(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_line(LOG_ERR, "%s", text);
	return EX_USAGE;
}

int expect_id(const char *word)
{
	enum { ID_LEN = 16 };

	if (strlen(word) == ID_LEN && strspn(word, "0123456789abcdef") == ID_LEN)
		return 0;
	return fail_usage("%s is no identifier of a request; expected 16 hexadecimal digits", word);
}

int end_printing(int r)
{
	if (r == 0)
		return EXIT_SUCCESS;
	log_line(LOG_ERR, "cannot print: %s", strerror(-r));
	return r == -ENOMEM ? EX_OSERR : EX_IOERR;
}

/* --- the command line --- */

static int add_word(struct words *words, char *word)
{
	char **items = reallocarray(words->items, words->n_items + 1, sizeof(*items));

	if (!items)
		return -ENOMEM;
	words->items = items;
	words->items[words->n_items++] = word;
	return 0;
}

static int take_option(const struct row *row, struct options *options)
{
	void *field = (char *)options + row->offset;

	switch (row->kind) {
	case FLAG:
		*(bool *)field = true;
		return 0;
	case TEXT:
		*(const char **)field = optarg;
		return 0;
	case WORDS:
	default:
		return add_word(field, optarg);
	}
}

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; name && i < ARRAY_SIZE(verbs); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

/*
 * Everything behind the verb may be options too, up to "--": getopt_long(3) sorts the words.
 * *ret_used gets a bit for each option, as it stands in rows. Returns 0 or an errno's number.
 */
static int parse_options(int argc, char **argv, struct options *options, uint64_t *ret_used)
{
	enum { HELP = 'h', VERSION_WANTED = 'v', FIRST_ROW = 256 };
	struct option known[ARRAY_SIZE(rows) + 3] = {
		{ "help", no_argument, NULL, HELP },
		{ "version", no_argument, NULL, VERSION_WANTED },
	};
	int c, r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		known[i + 2] = (struct option){ rows[i].name, rows[i].has_argument, NULL,
			                        FIRST_ROW + (int)i };
	while (r == 0 && (c = getopt_long(argc, argv, "", known, NULL)) != -1)
		if (c == HELP) {
			print_usage(stdout);
			exit(EXIT_SUCCESS);
		} else if (c == VERSION_WANTED) {
			(void)puts("hatchctl " VERSION);
			exit(EXIT_SUCCESS);
		} else if (c < FIRST_ROW)
			r = -EINVAL;
		else {
			r = take_option(&rows[c - FIRST_ROW], options);
			*ret_used |= UINT64_C(1) << (c - FIRST_ROW);
		}
	options->words = argv + optind + (optind < argc);
	options->n_words = (size_t)(argc - optind - (optind < argc));
	return r;
}

static bool takes(const struct verb *verb, const struct options *options, uint64_t used)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if ((used >> i & 1) && !(rows[i].verbs & verb->bit)) {
			(void)fail_usage("%s does not take --%s", verb->name, rows[i].name);
			return false;
		}
	if (options->n_words < verb->min_words)
		(void)fail_usage("%s needs a %s", verb->name,
		                 verb->bit == EXPLAIN ? "builder" : "request");
	if (options->n_words > verb->max_words)
		(void)fail_usage("%s: unexpected %s", verb->name, options->words[verb->max_words]);
	return options->n_words >= verb->min_words && options->n_words <= verb->max_words;
}

static void options_done(struct options *options)
{
	free(options->features.items);
	free(options->env.items);
	free(options->inputs.items);
	free(options->outputs.items);
}

int main(int argc, char **argv)
{
	cleanup_(options_done) struct options options = { .config_dir = CONFIG_DIR };
	const struct verb *verb;
	uint64_t used = 0;

	_Static_assert(ARRAY_SIZE(rows) <= 64, "one bit for each option");
	log_open("hatchctl", false);
	if (parse_options(argc, argv, &options, &used) < 0)
		return EX_USAGE; /* getopt_long(3) has said why */
	if (optind == argc) {
		print_usage(stderr);
		return EX_USAGE;
	}
	verb = find_verb(argv[optind]);
	if (!verb)
		return fail_usage("there is no verb %s; see hatchctl --help", argv[optind]);
	return takes(verb, &options, used) ? verb->run(&options) : EX_USAGE;
}
