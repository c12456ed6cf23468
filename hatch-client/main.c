/* hatch, the client: sets up the process, runs one command, prints what went wrong. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "build-config.h"
#include "exchange.h"
#include "inquiry.h"
#include "interrupt.h"
#include "lib/base/log.h"
#include "options.h"
#include "verdict.h"

/* A file or socket that took the number of a closed stdout would be written to as the log. Where
 * there is no /dev/null, anything that refuses to be written keeps the number busy. */
static void fill_standard_fds(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		/* They are to stay open. NOLINTBEGIN(android-cloexec-open) */
		if (open("/dev/null", fd == STDIN_FILENO ? O_RDONLY : O_WRONLY) < 0 &&
		    open("/", O_RDONLY | O_DIRECTORY) < 0)
			_exit(EXIT_STATUS_FAILED);
		/* NOLINTEND(android-cloexec-open) */
	}
}

static int print_version(struct error *err)
{
	return printf("hatch %s\n", VERSION) < 0 || fflush(stdout) != 0 ? EXIT_STATUS_FAILED : 0;
}

static int print_help(struct error *err)
{
	return fputs(options_help(), stdout) < 0 || fflush(stdout) != 0 ? EXIT_STATUS_FAILED : 0;
}

static int run(int argc, char **argv, struct options *options, struct error *err)
{
	int r = options_parse(argc, argv, options, err);

	if (r < 0)
		return r;
	switch (options->command) {
	case COMMAND_HELP:
		return print_help(err);
	case COMMAND_VERSION:
		return print_version(err);
	case COMMAND_LIST:
		return inquiry_list(options, err);
	case COMMAND_PING:
		return inquiry_ping(options, err);
	case COMMAND_RUN:
		return exchange_run(options, err);
	}
	return EXIT_STATUS_FAILED;
}

/* Last lines on stderr, without decoration: Nix shows the end of a build's log when it fails. */
static void tell(const struct error *err)
{
	if (err->text[0])
		log_line(LOG_ERR, "%s", err->text);
	if (err->hint[0])
		log_line(LOG_ERR, "%s", err->hint);
}

int main(int argc, char **argv)
{
	struct options options = { 0 };
	struct error err = { 0 };
	int r;

	fill_standard_fds();
	log_open("hatch", false);
	interrupt_init();

	r = run(argc, argv, &options, &err);
	if (r == 0)
		return EXIT_SUCCESS;
	if (interrupt_signal()) {
		log_line(LOG_ERR, "stopped by signal %d; the request is cancelled",
		         interrupt_signal());
		return EXIT_STATUS_SIGNAL + interrupt_signal();
	}
	/* The builder's own status needs no words of ours where none are wanted. */
	if (r < 0 || err.blame != BLAME_BUILD || !options.quiet)
		tell(&err);
	return r < 0 ? EXIT_STATUS_FAILED : r;
}
