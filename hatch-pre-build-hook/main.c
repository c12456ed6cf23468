/*
 * pre-build-hook of Nix: prints the paths that a build is to see besides its own. Run as root
 * before every sandboxed build of the machine, so two things come first: what it cannot do for
 * hatch must not fail a build that has nothing to do with hatch, and no byte of a derivation is
 * parsed by root. hatch-pre-build-hook(8) is the manual.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "build-config.h"
#include "chain.h"
#include "hatchd/config/exposure.h"
#include "hatchd/request/features.h"
#include "lib/base/cleanup.h"
#include "lib/base/log.h"
#include "lib/base/process.h"
#include "lib/base/text.h"
#include "lib/derivation/derivation.h"

#define cleanup_buffer cleanup_(buffer_done)

static const char *opt_config = CONFIG_DIR "/" EXPOSURE_FILE;

/* One build. */
struct build {
	char **words; /* of Nix: derivation, root, and what a later one may add */
	struct exposure exposure;
	bool broken; /* the configuration is wrong, and exposure is what could be read */
};

static void print_help(void)
{
	puts("hatch-pre-build-hook [--config FILE] DERIVATION [ROOT...]\n"
	     "\n"
	     "Run by Nix (pre-build-hook in nix.conf): prints the paths that the build of the\n"
	     "derivation sees.\n"
	     "\n"
	     "  --config FILE  instead of " CONFIG_DIR "/" EXPOSURE_FILE "\n"
	     "  --version\n"
	     "  --help\n"
	     "\n"
	     "See hatch-pre-build-hook(8).");
}

static int parse_options(int argc, char **argv)
{
	enum { OPT_CONFIG = 256, OPT_VERSION, OPT_HELP };
	static const struct option options[] = {
		{ "config", required_argument, NULL, OPT_CONFIG },
		{ "version", no_argument, NULL, OPT_VERSION },
		{ "help", no_argument, NULL, OPT_HELP },
		{ 0 },
	};

	/* "+": behind the derivation stands what Nix says, and not options. */
	for (int c; (c = getopt_long(argc, argv, "+", options, NULL)) >= 0;)
		switch (c) {
		case OPT_CONFIG:
			opt_config = optarg;
			break;
		case OPT_VERSION:
			puts("hatch-pre-build-hook " VERSION);
			exit(EXIT_SUCCESS);
		case OPT_HELP:
			print_help();
			exit(EXIT_SUCCESS);
		default:
			return -EINVAL;
		}
	if (optind == argc) {
		log_line(LOG_ERR, "expected a derivation; Nix runs this, as pre-build-hook in "
		                  "nix.conf");
		return -EINVAL;
	}
	return 0;
}

static void say(void *data, const struct error *err)
{
	(void)data;
	log_line(LOG_ERR, "%s%s%s", err->text, err->hint[0] ? "; " : "", err->hint);
}

static void read_config(struct build *build)
{
	static const struct config_report report = { .error = say };
	int r = exposure_load(opt_config, geteuid(), &report, &build->exposure, NULL);

	build->broken = r < 0;
	if (r == 0)
		log_line(LOG_WARNING, "there is no %s: no build is shown the hatch", opt_config);
}

/* Returns the exit status that Nix is to see, 0 if all is well. It is what Nix would have done with
 * that hook: what it is there for is not known here, so a build does not go on without it. */
static int run_chain(struct build *build, struct buffer *output)
{
	const char *program = build->exposure.chain;
	struct error err = { 0 };
	int r;

	if (build->exposure.chain_lost) {
		log_line(LOG_ERR,
		         "%s is wrong, and may name another hook (\"chain\"), so no build goes on "
		         "without it; mend what is said above (hatchd --check)",
		         opt_config);
		return EX_CONFIG;
	}
	if (!program)
		return 0;
	r = exposure_check_chain(&build->exposure, geteuid(), &err);
	if (r == 0)
		r = chain_run(program, build->words, output, &err);
	if (r == 0)
		return 0;
	if (r > 0)
		log_line(LOG_ERR, "%s, the hook that is \"chain\" in %s, ended with exit status %d",
		         program, opt_config, r);
	else
		log_line(LOG_ERR, "%s, the hook that is \"chain\" in %s: %s%s%s", program,
		         opt_config, err.text, err.hint[0] ? "; " : "", err.hint);
	return r > 0 ? r : EX_CONFIG;
}

/* --- the derivation --- */

/* The file that Nix has open for us. */
static int take_descriptor(const char *number, int *own_fd, struct derivation_source *ret,
                           struct error *err)
{
	uint64_t fd;

	/* A hook that was run before may have read it. */
	if (text_to_u64(number, INT_MAX, &fd) < 0 || lseek((int)fd, 0, SEEK_SET) < 0)
		return error_set(err, BLAME_HOST, EBADF, "this is no file that is open");
	*ret = (struct derivation_source){ .fd = (int)fd };
	return 1;
}

static int open_aterm(const char *path, int *own_fd, struct derivation_source *ret,
                      struct error *err)
{
	int r = features_open(path, geteuid(), own_fd, err);

	*ret = (struct derivation_source){ .fd = *own_fd };
	return r;
}

/* Nix makes it for this build, and root's it is: so nobody else can have put it into /tmp. */
static int open_json(const char *path, int *own_fd, struct derivation_source *ret,
                     struct error *err)
{
	int r = path[0] == '/' ? features_open(path, geteuid(), own_fd, err) : 0;

	*ret = (struct derivation_source){ .fd = *own_fd, .json = true };
	return r == 0 ? error_set(err, BLAME_HOST, ENOENT, "this is the path of no file") : r;
}

/* Where Nix hands the derivation over itself: of a remote build it may not be in the store. */
static const struct handing {
	const char *variable;
	int (*take)(const char *value, int *own_fd, struct derivation_source *ret,
	            struct error *err);
} handings[] = {
	{ "DRV_ATERM_FD", take_descriptor },
	{ "NIX_DERIVATION_V4", open_json },
};

/* Returns 1, 0 nobody has it, or a negative errno. */
static int find_derivation(const char *path, int *own_fd, struct derivation_source *ret,
                           struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(handings); i++) {
		const char *value = getenv(handings[i].variable);

		if (value && handings[i].take(value, own_fd, ret, err) > 0)
			return 1;
		if (value)
			log_line(LOG_WARNING, "%s is \"%.64s\": %s", handings[i].variable, value,
			         err->text);
	}
	return open_aterm(path, own_fd, ret, err);
}

/* Returns 1 the derivation was read, 0 it is nowhere, or a negative errno. */
static int read_features(const struct build *build, struct features *ret, struct error *err)
{
	struct derivation_source source;
	struct account account;
	cleanup_fd int fd = -1;
	int r = find_derivation(build->words[0], &fd, &source, err);

	if (r <= 0)
		return r;
	r = features_account(build->exposure.user, &account, err);
	if (r == 0)
		r = features_read(&source, &account, ret, err);
	return r < 0 ? r : 1;
}

static bool is_exposed(const struct exposure *exposure, const struct features *features)
{
	for (size_t i = 0; i < exposure->n_features; i++)
		if (features_have(features, exposure->features[i]))
			return true;
	return false;
}

/* A feature that has to do with hatch, if its name follows the custom; else NULL. */
static const char *find_of_hatch(const struct features *features)
{
	const char *name = features_next(features, NULL);

	while (name && !exposure_feature_is_custom(name))
		name = features_next(features, name);
	return name;
}

static void say_why_hidden(const struct features *features, const char *path)
{
	const char *name = find_of_hatch(features);
	char shown[SHOW_LEN];

	if (!name)
		return;
	text_escape(name, strlen(name), shown, sizeof(shown));
	log_line(LOG_NOTICE,
	         "%s requires the feature %s, which \"features\" in %s does not name: it is not "
	         "shown the hatch",
	         path, shown, opt_config);
}

/* With a configuration that says nothing for sure nothing is shown, and only a build that cannot do
 * without is failed: it would fail for a reason that says less. */
static int end_broken(const char *path, int found, const struct features *features)
{
	const char *name = found > 0 ? find_of_hatch(features) : NULL;
	char shown[SHOW_LEN];

	if (!name)
		return EXIT_SUCCESS;
	text_escape(name, strlen(name), shown, sizeof(shown));
	log_line(LOG_ERR,
	         "%s requires the feature %s, and %s is wrong, so it cannot be shown the hatch; "
	         "mend what is said above (hatchd --check)",
	         path, shown, opt_config);
	return EX_CONFIG;
}

/* --- what is printed --- */

/* As it is on the host, because some versions of Nix show a link as a link. What is missing would
 * fail the build: it is left out, and the client says what it lacks. */
static int add_path(const struct shown_path *path, struct buffer *lines)
{
	cleanup_free char *real = realpath(path->path, NULL);

	if (!real || strchr(real, '\n')) {
		log_line(LOG_WARNING, "%s, one of \"paths\" in %s, is not there: %s", path->path,
		         opt_config, real ? "its name has a line feed" : strerror(errno));
		return 0;
	}
	return buffer_printf(lines, "%s=%s\n", path->at, real);
}

static int add_paths(const struct exposure *exposure, struct buffer *output)
{
	cleanup_buffer struct buffer lines = { 0 };
	int r = buffer_printf(&lines, "extra-sandbox-paths\n");

	for (size_t i = 0; r == 0 && i < exposure->n_paths; i++)
		r = add_path(&exposure->paths[i], &lines);
	if (r == 0)
		r = buffer_add(&lines, "\n", 1);
	return r < 0 ? r : chain_append(output, lines.data);
}

static int print(const struct buffer *output)
{
	int r = output->len > 0 ? fd_write_full(STDOUT_FILENO, output->data, output->len) : 0;

	if (r == 0)
		return EXIT_SUCCESS;
	log_line(LOG_ERR, "cannot print: %s", strerror(-r));
	return EX_IOERR;
}

/* Is the build to see the paths? Else *ret_status says how to end. */
static bool decide(const struct build *build, int *ret_status)
{
	const struct exposure *exposure = &build->exposure;
	const char *path = build->words[0];
	struct features features;
	struct error err = { 0 };
	int found;

	*ret_status = EXIT_SUCCESS;
	if (exposure->n_features == 0 && !build->broken)
		return false;
	found = read_features(build, &features, &err);
	if (found < 0)
		log_line(LOG_WARNING, "%s: %s", path, err.text);
	if (build->broken) {
		*ret_status = end_broken(path, found, &features);
		return false;
	}
	if (found == 0 && !exposure->missing)
		log_line(LOG_NOTICE,
		         "%s is not on this machine, so what it requires is not known: it is not "
		         "shown the hatch (see missing_derivation)",
		         path);
	if (found <= 0)
		return found == 0 && exposure->missing;
	if (is_exposed(exposure, &features))
		return true;
	say_why_hidden(&features, path);
	return false;
}

static int serve(struct build *build)
{
	cleanup_buffer struct buffer output = { 0 };
	int status;

	read_config(build);
	status = run_chain(build, &output);
	if (status != 0)
		return status;
	if (decide(build, &status) && add_paths(&build->exposure, &output) < 0) {
		log_line(LOG_ERR, "no memory");
		return EX_OSERR;
	}
	return status == EXIT_SUCCESS ? print(&output) : status;
}

int main(int argc, char **argv)
{
	struct build build = { 0 };
	int status;

	process_open_streams();
	log_open("hatch-pre-build-hook", false);
	/* Of a build that another machine has sent, Nix throws away what its hook says. */
	log_copy(_PATH_LOG);
	if (parse_options(argc, argv) < 0)
		return EX_USAGE;
	derivation_init();
	build.words = argv + optind;
	status = serve(&build);
	exposure_done(&build.exposure);
	return status;
}
