/* hatchctl: what the administrator asks of the configuration. Reads it like a request does, and
 * needs no running service. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "build-config.h"
#include "hatchd/config/check.h"
#include "hatchd/config/config.h"
#include "lib/base/log.h"
#include "print.h"

struct options {
	const char *config_dir;
	bool pool;
	bool json;
};

/* Definitions that could be read. */
struct listing {
	struct builder *builders;
	size_t n_builders;
};

static const char
	usage[] = "usage: hatchctl [--config DIR] [--unprivileged] check\n"
		  "       hatchctl [--config DIR] [--unprivileged] list [--json]\n"
		  "       hatchctl --help | --version\n"
		  "\n"
		  "check  read the whole configuration and say everything that is wrong with it\n"
		  "list   the builders, and who may use them\n";

static void say_error(void *data, const struct error *err)
{
	if (err->hint[0])
		log_line(LOG_ERR, "%s (%s)", err->text, err->hint);
	else
		log_line(LOG_ERR, "%s", err->text);
}

static int run_check(const struct options *options)
{
	struct config_check found = config_check_all(options->config_dir, options->pool, say_error,
	                                             NULL);

	if (found.n_errors > 0) {
		log_line(LOG_ERR, "%s: %zu error%s", options->config_dir, found.n_errors,
		         found.n_errors == 1 ? "" : "s");
		return EX_CONFIG;
	}
	printf("%s: %zu builder%s, no errors\n", options->config_dir, found.n_builders,
	       found.n_builders == 1 ? "" : "s");
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EX_IOERR;
}

static void listing_done(struct listing *listing)
{
	for (size_t i = 0; i < listing->n_builders; i++)
		builder_done(&listing->builders[i]);
	free(listing->builders);
}

/* Every definition that can be read. Returns how many could not, or -ENOMEM. */
static int load_builders(const struct config *config, char *const *names, struct listing *ret)
{
	size_t n = 0;
	int n_bad = 0;

	while (names[n])
		n++;
	ret->builders = calloc(n + 1, sizeof(*ret->builders));
	if (!ret->builders)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct error err;
		int r = builder_load(config, names[i], &ret->builders[ret->n_builders], &err);

		if (r < 0) {
			say_error(NULL, &err);
			n_bad++;
		}
		if (r > 0)
			ret->n_builders++;
	}
	return n_bad;
}

static int fail_config(const struct error *err)
{
	say_error(NULL, err);
	return EX_CONFIG;
}

static int run_list(const struct options *options)
{
	cleanup_(listing_done) struct listing listing = { 0 };
	cleanup_(strv_freep) char **names = NULL;
	cleanup_config struct config config = { 0 };
	struct error err;
	int r, n_bad;

	if (config_load(options->config_dir, options->pool, &config, &err) < 0)
		return fail_config(&err);
	if (config_list_builders(&config, &names, &err) < 0)
		return fail_config(&err);
	n_bad = load_builders(&config, names, &listing);
	r = n_bad < 0       ? n_bad
	    : options->json ? print_builders_json(listing.builders, listing.n_builders)
	                    : print_builders(listing.builders, listing.n_builders);
	if (r < 0) {
		log_line(LOG_ERR, "cannot print the list: %s", strerror(-r));
		return r == -ENOMEM ? EX_OSERR : EX_IOERR;
	}
	return n_bad > 0 ? EX_CONFIG : EXIT_SUCCESS;
}

/* Everything after the verb may be options too: getopt_long(3) sorts the words. */
static int parse_options(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "unprivileged", no_argument, NULL, 'u' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (c) {
		case 'c':
			options->config_dir = optarg;
			break;
		case 'u':
			options->pool = false;
			break;
		case 'j':
			options->json = true;
			break;
		case 'h':
			(void)fputs(usage, stdout);
			exit(EXIT_SUCCESS);
		case 'v':
			(void)puts("hatchctl " VERSION);
			exit(EXIT_SUCCESS);
		default:
			return -EINVAL;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(const struct options *options);
		bool json;
	} verbs[] = {
		{ "check", run_check, false },
		{ "list", run_list, true },
	};
	struct options options = { .config_dir = CONFIG_DIR, .pool = true };

	log_open("hatchctl", false);
	if (parse_options(argc, argv, &options) == 0 && argc - optind == 1)
		for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
			if (strcmp(argv[optind], verbs[i].name) == 0 &&
			    (verbs[i].json || !options.json))
				return verbs[i].run(&options);
	(void)fputs(usage, stderr);
	return EX_USAGE;
}
