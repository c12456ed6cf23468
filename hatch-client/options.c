/* The command line. What a builder's name or an output's path may be is checked by who uses it. */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/text.h"

enum {
	OPT_NO_OUTPUTS = 256,
	OPT_REQUEST_ID,
	OPT_HEARTBEAT,
	OPT_REFERENCES,
	OPT_RAW,
};

static const struct option long_options[] = {
	{ "output", required_argument, NULL, 'o' },
	{ "no-outputs", no_argument, NULL, OPT_NO_OUTPUTS },
	{ "input", required_argument, NULL, 'i' },
	{ "env", required_argument, NULL, 'e' },
	{ "timeout", required_argument, NULL, 't' },
	{ "heartbeat", required_argument, NULL, OPT_HEARTBEAT },
	{ "undeclared-references", required_argument, NULL, OPT_REFERENCES },
	{ "request-id", required_argument, NULL, OPT_REQUEST_ID },
	{ "socket", required_argument, NULL, 's' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "raw", no_argument, NULL, OPT_RAW },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ 0 },
};

static const struct {
	const char *name;
	enum command command;
} commands[] = {
	{ "run", COMMAND_RUN },
	{ "list", COMMAND_LIST },
	{ "ping", COMMAND_PING },
};

const char *options_help(void)
{
	return "usage: hatch run [options] [BUILDER [--] [ARGUMENT...]]\n"
	       "       hatch list [--socket PATH]\n"
	       "       hatch ping [--socket PATH]\n"
	       "\n"
	       "Asks the host, through the hatch, to run one of the builders its administrator\n"
	       "configured. Shows the builder's log and unpacks its outputs.\n"
	       "\n"
	       "  -o, --output NAME[=PATH]  ask for this output and unpack it at PATH; in a Nix\n"
	       "                            build PATH may be left out, and without this option\n"
	       "                            all outputs of the derivation are asked for\n"
	       "      --no-outputs          ask for none\n"
	       "  -i, --input NAME=PATH     give the builder the tree at PATH; it finds it at\n"
	       "                            $HATCH_INPUTS/NAME\n"
	       "  -e, --env NAME[=VALUE]    set a variable for the builder; without VALUE: as here\n"
	       "  -t, --timeout SECONDS     shorten the builder's time limit\n"
	       "      --heartbeat SECONDS   in a Nix build, keep max-silent-time away while the\n"
	       "                            request lives\n"
	       "      --undeclared-references WORD\n"
	       "                            what comes of store paths in outputs that are no\n"
	       "                            inputs of the build: ignore, warn, fail\n"
	       "      --request-id ID       a mark of your own, repeated in the server's log\n"
	       "  -s, --socket PATH         the socket; else $HATCH_SOCKET, /run/hatch/hatch.sock,\n"
	       "                            /run/hatch/s/hatch.sock\n"
	       "  -q, --quiet               nothing on stderr but the builder's and failures\n"
	       "      --raw                 show the builder's log byte by byte, also on terminals\n"
	       "  -h, --help                this text\n"
	       "      --version             the version\n"
	       "\n"
	       "Exit status: the builder's own; 128+n if signal n ended it; 124 time limit;\n"
	       "125 hatch failed or refused; 126, 127 the builder's command cannot be run, is\n"
	       "missing.\n";
}

static int usage(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int usage(struct error *err, const char *fmt, ...)
{
	char text[ERROR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)error_set(err, BLAME_PEER, EINVAL, "%s", text);
	return error_hint(err, "hatch --help lists commands and options");
}

static int add(const char **list, size_t *n, size_t max, const char *what, struct error *err)
{
	if (*n == max)
		return usage(err, "more than %zu times --%s", max, what);
	list[(*n)++] = optarg;
	return 0;
}

static int take_seconds(const char *what, unsigned int max, uint64_t *ret, struct error *err)
{
	if (text_to_u64(optarg, max, ret) < 0 || *ret == 0)
		return usage(err, "--%s takes seconds from 1 to %u, not \"%s\"", what, max, optarg);
	return 0;
}

static int take_option(int option, char *const *argv, struct options *options, struct error *err)
{
	switch (option) {
	case 'o':
		return add(options->outputs, &options->n_outputs, WIRE_OUTPUTS_MAX, "output", err);
	case OPT_NO_OUTPUTS:
		options->no_outputs = true;
		return 0;
	case 'i':
		return add(options->inputs, &options->n_inputs, WIRE_INPUTS_MAX, "input", err);
	case 'e':
		return add(options->env, &options->n_env, WIRE_ENV_MAX, "env", err);
	case 't':
		return take_seconds("timeout", WIRE_TIMEOUT_SEC_MAX, &options->timeout_sec, err);
	case OPT_HEARTBEAT:
		return take_seconds("heartbeat", WIRE_HEARTBEAT_SEC_MAX, &options->heartbeat_sec,
		                    err);
	case OPT_REFERENCES:
		options->references = message_references(optarg);
		if (options->references == REFERENCES_UNSAID)
			return usage(err, "--undeclared-references takes ignore, warn or fail");
		return 0;
	case OPT_REQUEST_ID:
		options->request_id = optarg;
		return 0;
	case 's':
		options->socket = optarg;
		return 0;
	case 'q':
		options->quiet = true;
		return 0;
	case OPT_RAW:
		options->raw = true;
		return 0;
	case 'h':
		options->command = COMMAND_HELP;
		return 0;
	case 'V':
		options->command = COMMAND_VERSION;
		return 0;
	case ':':
		return usage(err, "option %s needs a value", argv[optind - 1]);
	default:
		return usage(err, "there is no option %s", argv[optind - 1]);
	}
}

static int take_options(int argc, char **argv, struct options *options, struct error *err)
{
	int option;

	opterr = 0;
	optind = 1;
	/* "+": what follows the builder's name is the builder's, dashes included. */
	while ((option = getopt_long(argc, argv, "+:o:i:e:t:s:qhV", long_options, NULL)) != -1) {
		int r = take_option(option, argv, options, err);

		if (r < 0)
			return r;
	}
	if (options->no_outputs && options->n_outputs > 0)
		return usage(err, "--output and --no-outputs exclude each other");
	return 0;
}

static int find_command(const char *name, struct options *options, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(commands[i].name, name) == 0) {
			options->command = commands[i].command;
			return 0;
		}
	return usage(err, "there is no command \"%s\"", name);
}

static void take_builder(int argc, char **argv, struct options *options)
{
	options->builder = argc > 0 ? argv[0] : NULL;
	if (argc > 1 && strcmp(argv[1], "--") == 0) {
		argc--;
		argv++;
	}
	options->args = argv + 1;
	options->n_args = argc > 1 ? (size_t)argc - 1 : 0;
}

/* What only "run" understands. */
static bool is_for_run(const struct options *options)
{
	return options->n_env || options->n_outputs || options->no_outputs || options->n_inputs ||
	       options->timeout_sec || options->heartbeat_sec || options->references ||
	       options->request_id || options->quiet || options->raw;
}

static const char *program_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

int options_parse(int argc, char **argv, struct options *ret, struct error *err)
{
	const char *name = program_name(argc > 0 ? argv[0] : "hatch");
	bool has_command = false;
	int r;

	*ret = (struct options){ 0 };
	if (strcmp(name, "hatch") != 0) {
		*ret = (struct options){ .builder = name,
			                 .no_outputs = true,
			                 .args = argv + 1,
			                 .n_args = (size_t)argc - 1 };
		return 0;
	}
	if (argc > 1 && argv[1][0] != '-') {
		r = find_command(argv[1], ret, err);
		if (r < 0)
			return r;
		has_command = true;
		argc--;
		argv++;
	}
	r = take_options(argc, argv, ret, err);
	if (r < 0 || ret->command == COMMAND_HELP || ret->command == COMMAND_VERSION)
		return r;
	if (!has_command)
		return usage(err, "no command given");
	if (ret->command == COMMAND_RUN)
		take_builder(argc - optind, argv + optind, ret);
	else if (optind < argc)
		return usage(err, "\"%s\" is one word too many", argv[optind]);
	else if (is_for_run(ret))
		return usage(err, "only \"hatch run\" takes an option other than --socket");
	return 0;
}
