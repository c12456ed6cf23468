/*
 * Entry of hatchd: options, a clean process to start from, and the one connection that systemd
 * passed. hatchd(8) is the manual.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "build-config.h"
#include "check.h"
#include "hatchd/config/config.h"
#include "hatchd/monitor/monitor.h"
#include "hatchd/request/peer.h"
#include "hatchd/sandbox/privilege.h"
#include "lib/base/cleanup.h"
#include "lib/base/log.h"
#include "lib/base/process.h"

static struct monitor_options opt = { .config_dir = CONFIG_DIR, .privileged = true };
static bool opt_check, opt_layers, opt_offline;

static void print_help(void)
{
	puts("hatchd [--unprivileged] [--config DIR] [--state DIR]\n"
	     "hatchd --check [--layers | --offline] [--unprivileged] [--config DIR]\n"
	     "\n"
	     "Serves one request over the connection that systemd passes (Accept=yes).\n"
	     "\n"
	     "  --check         validate all of the configuration and the host, serve nothing\n"
	     "  --layers        also say where layers of an overlay differ, with --check\n"
	     "  --offline       look at the configuration alone, of another machine, with --check\n"
	     "  --unprivileged  run builders as the calling user, for development; not as root\n"
	     "  --config DIR    configuration instead of " CONFIG_DIR "\n"
	     "  --state DIR     scratch and locks instead of what the configuration says\n"
	     "  --version\n"
	     "  --help\n"
	     "\n"
	     "See hatchd(8).");
}

static int check_options(void)
{
	if ((opt_layers || opt_offline) && !opt_check) {
		log_line(LOG_ERR,
		         "--layers and --offline go with --check: hatchd --check --layers");
		return -EINVAL;
	}
	if (opt_layers && opt_offline) {
		log_line(LOG_ERR, "--layers looks at what --offline does not: give one of them");
		return -EINVAL;
	}
	return 0;
}

static unsigned check_scope(void)
{
	return (opt_offline ? 0 : CHECK_HOST) | (opt_layers ? CHECK_LAYERS : 0);
}

static int parse_options(int argc, char **argv)
{
	enum {
		OPT_CHECK = 256,
		OPT_LAYERS,
		OPT_OFFLINE,
		OPT_UNPRIVILEGED,
		OPT_CONFIG,
		OPT_STATE,
		OPT_VERSION,
		OPT_HELP
	};
	static const struct option options[] = {
		{ "check", no_argument, NULL, OPT_CHECK },
		{ "layers", no_argument, NULL, OPT_LAYERS },
		{ "offline", no_argument, NULL, OPT_OFFLINE },
		{ "unprivileged", no_argument, NULL, OPT_UNPRIVILEGED },
		{ "config", required_argument, NULL, OPT_CONFIG },
		{ "state", required_argument, NULL, OPT_STATE },
		{ "version", no_argument, NULL, OPT_VERSION },
		{ "help", no_argument, NULL, OPT_HELP },
		{ 0 },
	};

	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0;)
		switch (c) {
		case OPT_CHECK:
			opt_check = true;
			break;
		case OPT_LAYERS:
			opt_layers = true;
			break;
		case OPT_OFFLINE:
			opt_offline = true;
			break;
		case OPT_UNPRIVILEGED:
			opt.privileged = false;
			break;
		case OPT_CONFIG:
			opt.config_dir = optarg;
			break;
		case OPT_STATE:
			opt.state_dir = optarg;
			break;
		case OPT_VERSION:
			puts("hatchd " VERSION);
			exit(EXIT_SUCCESS);
		case OPT_HELP:
			print_help();
			exit(EXIT_SUCCESS);
		default:
			return -EINVAL;
		}
	if (optind < argc) {
		log_line(LOG_ERR, "hatchd takes no arguments, only options: %s", argv[optind]);
		return -EINVAL;
	}
	return check_options();
}

/* Of hatchd. The hard limit stays: a definition may ask for it, for its builder. */
static int refuse_core_dumps(void)
{
	struct rlimit core;

	if (getrlimit(RLIMIT_CORE, &core) < 0)
		return -1;
	core.rlim_cur = 0;
	return setrlimit(RLIMIT_CORE, &core);
}

/*
 * What a wrapper may have left behind: ignored signals, a mask, a umask, descriptors. Only the
 * passed connection (3) stays.
 */
static int make_clean(struct error *err)
{
	sigset_t none;
	int keep[] = { SD_LISTEN_FDS_START };

	for (int sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_DFL);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigemptyset(&none);
	(void)umask(077);
	if (sigprocmask(SIG_SETMASK, &none, NULL) < 0 || refuse_core_dumps() < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot clean up the process");
	/* Without root the /proc files of a process that is not dumpable, and of its children,
	 * belong to root: the id maps of the sandbox could not be written. init and the helpers are
	 * made so later. */
	if (opt.privileged && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot become undumpable");
	return fds_close_except(keep, ARRAY_SIZE(keep), err);
}

/* Exactly one accepted Unix stream socket, passed by systemd to this very process. */
static int take_connection(int *ret_fd, char **ret_class, struct error *err)
{
	char **names = NULL;
	int r = sd_listen_fds_with_names(1, &names);

	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot read LISTEN_FDS");
	if (r != 1) {
		strv_free(names);
		error_set(err, BLAME_HOST, EINVAL, "hatchd was passed %d sockets instead of one",
		          r);
		return error_hint(
			err, "systemd starts it, by hatchd.socket with Accept=yes; for development "
			     "see hatchd(8), --unprivileged");
	}
	*ret_class = names ? names[0] : NULL;
	free(names);
	if (sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_STREAM, 0, NULL, 0) <= 0)
		return error_set(err, BLAME_HOST, EINVAL,
		                 "what hatchd was passed is not an accepted Unix stream socket");
	*ret_fd = SD_LISTEN_FDS_START;
	return 0;
}

/* Is this connection to the socket that hatchd.socket makes? */
static bool is_shipped_socket(int conn_fd)
{
	static const char path[] = "/run/hatch/s/hatch.sock";
	struct sockaddr_un address = { 0 };
	socklen_t len = sizeof(address);

	return getsockname(conn_fd, (struct sockaddr *)&address, &len) == 0 &&
	       strncmp(address.sun_path, path, sizeof(address.sun_path)) == 0;
}

/*
 * The policy class of the socket: FileDescriptorName= of its unit. A socket without one is of the
 * class "connection", which no builder allows unless it says so. systemd 252 names every connection
 * of an Accept=yes socket so: there the shipped socket is known by its path. The activator of
 * unprivileged mode names nothing.
 */
static const char *socket_class(int conn_fd, const char *name)
{
	if (!opt.privileged)
		return "hatch";
	if (!name)
		return "unknown";
	return strcmp(name, "connection") == 0 && is_shipped_socket(conn_fd) ? "hatch" : name;
}

static int serve(struct error *err)
{
	cleanup_free char *class = NULL;
	int conn_fd = -1;
	int r = make_clean(err);

	if (r == 0)
		r = take_connection(&conn_fd, &class, err);
	/* Locked before anything is read: descriptors from a client would be a way out of its
	 * sandbox. */
	if (r == 0)
		r = peer_refuse_descriptors(conn_fd, err);
	if (r == 0 && opt.privileged)
		r = privilege_keep_needed(err);
	if (r < 0)
		return r;
	return monitor_serve(&opt, conn_fd, socket_class(conn_fd, class));
}

/* Where unprivileged mode keeps scratch and locks unless told: ~/.cache/hatch. */
static char *find_own_state_dir(void)
{
	const char *home = getenv("HOME");
	char *path;

	return home && home[0] == '/' && asprintf(&path, "%s/.cache/hatch", home) >= 0 ? path
	                                                                               : NULL;
}

static void make_own_state_dir(char *path)
{
	char *slash = strrchr(path, '/');

	*slash = '\0';
	(void)mkdir(path, 0700);
	*slash = '/';
	(void)mkdir(path, 0700);
}

int main(int argc, char **argv)
{
	cleanup_free char *own_state_dir = NULL;
	struct error err = { 0 };
	int r;

	process_open_streams();
	log_open("hatchd", getenv("JOURNAL_STREAM") != NULL);
	if (parse_options(argc, argv) < 0)
		return EX_USAGE;
	if (!opt.privileged && geteuid() == 0) {
		log_line(LOG_ERR, "--unprivileged is not for root: run it as an ordinary user");
		return EX_USAGE;
	}
	if (!opt.privileged && !opt.state_dir) {
		own_state_dir = find_own_state_dir();
		opt.state_dir = own_state_dir;
	}
	if (opt_check)
		return check_run(opt.config_dir, opt.state_dir, opt.privileged, check_scope());
	if (opt.privileged && geteuid() != 0) {
		log_line(LOG_ERR, "hatchd needs root, or the option --unprivileged");
		return EX_USAGE;
	}
	if (own_state_dir)
		make_own_state_dir(own_state_dir);
	r = serve(&err);
	if (r < 0)
		log_line(LOG_ERR, "%s%s%s", err.text, err.hint[0] ? "; " : "", err.hint);
	return r < 0 ? EX_OSERR : r;
}
