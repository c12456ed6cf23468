/*
 * pre-build-hook of Nix: prints the paths that a build is to see besides its own. Run as root
 * before every sandboxed build of the machine, so two things come first: what it cannot do for
 * hatch must not fail a build that has nothing to do with hatch, and no byte of a derivation is
 * parsed by root. hatch-pre-build-hook(8) is the manual.
 */
#include <errno.h>
#include <fcntl.h>
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
#include "lib/base/text.h"
#include "lib/derivation/derivation.h"

#define cleanup_buffer cleanup_(buffer_done)

static const char *opt_config = CONFIG_DIR "/" EXPOSURE_FILE;

/* One build. */
struct build {
	char **words; /* of Nix: derivation, root */
	struct exposure exposure;
	bool broken; /* the configuration is wrong, and exposure is what could be read */
};

static void print_help(void)
{
	puts("hatch-pre-build-hook [--config FILE] DERIVATION [ROOT]\n"
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

	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0;)
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
	if (argc - optind < 1 || argc - optind > 2) {
		log_line(LOG_ERR, "expected a derivation, and a root at most; Nix runs this, as "
		                  "pre-build-hook in nix.conf");
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

	build->broken = exposure_load(opt_config, geteuid(), &report, &build->exposure, NULL) < 0;
}

/* Returns the exit status that Nix is to see, 0 if all is well. It is what Nix would have done with
 * that hook: what it is there for is not known here, so a build does not go on without it. */
static int run_chain(struct build *build, struct buffer *output)
{
	const char *program = build->exposure.chain;
	struct error err = { 0 };
	int r;

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
static int take_descriptor(const char *number, struct derivation_source *ret, struct error *err)
{
	uint64_t fd;

	/* A hook that was run before may have read it. */
	if (text_to_u64(number, INT_MAX, &fd) < 0 || lseek((int)fd, 0, SEEK_SET) < 0)
		return error_set(err, BLAME_HOST, EBADF,
		                 "DRV_ATERM_FD is \"%.32s\", which is no file that is open",
		                 number);
	*ret = (struct derivation_source){ .fd = (int)fd };
	return 1;
}

/* Nix hands the derivation over where it can: of a remote build it may not be in the store.
 * Returns 1, 0 nobody has it, or a negative errno. */
static int find_derivation(const char *path, int *own_fd, struct derivation_source *ret,
                           struct error *err)
{
	const char *number = getenv("DRV_ATERM_FD"), *json = getenv("NIX_DERIVATION_V4");
	int r;

	if (number)
		return take_descriptor(number, ret, err);
	r = features_open(json ? json : path, geteuid(), own_fd, err);
	if (json && r == 0)
		return error_set(err, BLAME_HOST, ENOENT,
		                 "NIX_DERIVATION_V4 is \"%s\", where there is no file", json);
	*ret = (struct derivation_source){ .fd = *own_fd, .json = json };
	return r;
}

/* Returns 1 the derivation was read, 0 it is nowhere, or a negative errno. */
static int read_features(const char *path, struct features *ret, struct error *err)
{
	struct account account = features_account();
	struct derivation_source source;
	cleanup_fd int fd = -1;
	int r = find_derivation(path, &fd, &source, err);

	if (r <= 0)
		return r;
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
	static const char prefix[] = "hatch-";
	const char *name = features_next(features, NULL);

	while (name && strncmp(name, prefix, strlen(prefix)) != 0)
		name = features_next(features, name);
	return name;
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
	found = read_features(path, &features, &err);
	if (found < 0)
		log_line(LOG_WARNING, "%s: %s", path, err.text);
	if (build->broken) {
		*ret_status = end_broken(path, found, &features);
		return false;
	}
	return found > 0 ? is_exposed(exposure, &features) : found == 0 && exposure->missing;
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

/* What is opened later must never become a stream that leads to Nix. */
static void open_standard_streams(void)
{
	for (int fd = 0; fd < 3; fd++)
		while (fcntl(fd, F_GETFD) < 0)
			/* It is to stay open. NOLINTNEXTLINE(android-cloexec-open) */
			if (open("/dev/null", O_RDWR) < 0)
				_exit(EX_OSERR);
}

int main(int argc, char **argv)
{
	struct build build = { 0 };
	int status;

	open_standard_streams();
	log_open("hatch-pre-build-hook", false);
	if (parse_options(argc, argv) < 0)
		return EX_USAGE;
	derivation_init();
	build.words = argv + optind;
	status = serve(&build);
	exposure_done(&build.exposure);
	return status;
}
