/*
 * The words that pasta is started with, and the wait for it. Of its three streams one is the
 * namespace: it closes all other descriptors. It says that it is ready by its "pid file".
 */
#include "pasta.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buffer.h"
#include "lib/base/cleanup.h"
#include "lib/base/clock.h"
#include "lib/base/process.h"
#include "lib/base/text.h"
#include "network.h"

enum {
	READY_TIMEOUT_MS = 10000,
	WORDS_MAX = 48,
	SAID_MAX = 512, /* of what it writes to standard error */
};

/* --- words --- */

struct words {
	const char *items[WORDS_MAX + 1];
	size_t n;
};

static void add(struct words *words, const char *const *items, size_t n_items)
{
	assert(words->n + n_items <= WORDS_MAX);
	memcpy(words->items + words->n, items, n_items * sizeof(*items));
	words->n += n_items;
}

/* Nothing comes in, and the host's loopback stays the host's. */
static const char *const always[] = {
	"--foreground", "--quiet", "--no-netns-quit", "--pid", "/proc/self/fd/1", "--no-map-gw",
	"--tcp-ports",  "none",    "--udp-ports",     "none",  "--udp-ns",        "none",
};

static const char *const of_a_namespace[] = { "--netns-only", "--netns", "/proc/self/fd/0" };

static const char *const to_the_world[] = {
	"--config-net", "--tcp-ns",      "none",         "--dns-forward",
	PASTA_DNS_IPV4, "--dns-forward", PASTA_DNS_IPV6,
};

/* The interface to the world stays down: what is left is what pasta hands on between two
 * loopbacks. */
static const char *const to_ports[] = {
	"--no-udp", "--no-icmp", "--no-dhcp", "--no-dhcpv6", "--no-ndp", "--no-ra", "--tcp-ns",
};

static int print_ports(const struct network *network, struct buffer *ret)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < network->n_ports; i++)
		r = buffer_printf(ret, "%s%u", i ? "," : "", network->ports[i].number);
	return r;
}

static void add_ports(struct words *words, const struct network *network, const char *ports)
{
	static const char *const only[] = {
		[NETWORK_IPV4] = "--ipv4-only",
		[NETWORK_IPV6] = "--ipv6-only",
	};
	unsigned families = network->ports[0].families;

	add(words, to_ports, ARRAY_SIZE(to_ports));
	add(words, &ports, 1);
	if (families < ARRAY_SIZE(only))
		add(words, &only[families], 1);
}

/* --- the child --- */

/* It takes a disposition that is not the default for an error of its own. */
static int reset_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		(void)signal(sig, SIG_DFL); /* fails for KILL, STOP and libc's own two */
	(void)sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL) < 0 ? -errno : 0;
}

static int set_streams(int net_fd, int ready_fd, int said_fd)
{
	if ((net_fd >= 0 && dup2(net_fd, 0) < 0) || dup2(ready_fd, 1) < 0 || dup2(said_fd, 2) < 0)
		return -errno;
	return 0;
}

__attribute__((noreturn)) static void
child_main(const struct pasta_plan *plan, const struct words *words, int ready_fd, int said_fd)
{
	static char *const no_environment[] = { NULL };
	struct error err = { 0 };
	int keep[] = { -1 };
	int r = privilege_become(plan->account, &err);

	if (r == 0)
		r = reset_signals();
	if (r == 0)
		r = set_streams(plan->net_fd, ready_fd, said_fd);
	if (r == 0)
		r = fds_close_except(keep, ARRAY_SIZE(keep), &err);
	if (r == 0) {
		(void)execve(plan->program, (char *const *)words->items, no_environment);
		(void)error_errno(&err, BLAME_HOST, errno, "cannot execute it");
	}
	(void)fd_write_full(said_fd, err.text, strlen(err.text));
	_exit(127);
}

/* Not before it is ready: in the request's cgroup nobody opens /dev/net/tun. Until then it is in
 * ours, and dies with us. */
static int enter_cgroup(int cgroup_fd, pid_t pid, struct error *err)
{
	char text[16];
	int r;

	if (cgroup_fd < 0)
		return 0;
	(void)snprintf(text, sizeof(text), "%d", pid);
	r = fd_write_file(cgroup_fd, "cgroup.procs", text);
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r,
		                   "cannot put pasta into the request's cgroup");
	return 0;
}

/* --- the wait --- */

/* What it wrote before it ended, as one line. */
static void read_said(int fd, char ret[SAID_MAX])
{
	char text[SAID_MAX / 4];
	ssize_t n = fd_read_some(fd, text, sizeof(text) - 1);

	while (n > 0 && text[n - 1] == '\n')
		n--;
	text_escape(text, n > 0 ? (size_t)n : 0, ret, SAID_MAX);
}

static int fail(int said_fd, struct error *err)
{
	char said[SAID_MAX];

	read_said(said_fd, said);
	(void)error_set(err, BLAME_HOST, ECHILD, "pasta could not connect a private network: %s",
	                said[0] ? said : "it ended without a word");
	return error_hint(
		err, "it needs /dev/net/tun, which everybody may read and write (0666), a "
		     "network with a default route, and user namespaces; see hatch-builder(5)");
}

static int await_ready(int ready_fd, int said_fd, struct error *err)
{
	int64_t end_ms = clock_now_ms() + READY_TIMEOUT_MS;

	for (;;) {
		struct pollfd p = { .fd = ready_fd, .events = POLLIN };
		int64_t left_ms = end_ms - clock_now_ms();
		char byte;

		if (left_ms <= 0)
			return error_set(err, BLAME_HOST, ETIMEDOUT,
			                 "pasta did not connect a private network within %d ms",
			                 READY_TIMEOUT_MS);
		if (poll(&p, 1, (int)left_ms) < 0 && errno != EINTR)
			return error_errno(err, BLAME_HOST, errno, "cannot wait for pasta");
		if (!p.revents)
			continue;
		return fd_read_some(ready_fd, &byte, 1) == 1 ? 0 : fail(said_fd, err);
	}
}

static int make_pipes(int ready[2], int said[2], struct error *err)
{
	if (pipe2(ready, O_CLOEXEC) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot make a pipe");
	if (pipe2(said, O_CLOEXEC | O_NONBLOCK) < 0) {
		(void)close(ready[0]);
		(void)close(ready[1]);
		return error_errno(err, BLAME_HOST, errno, "cannot make a pipe");
	}
	return 0;
}

/* Who owns its user namespace may. */
static void end(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	(void)process_wait(pid);
}

static int start(const struct pasta_plan *plan, const struct words *words, pid_t *ret_pid,
                 struct error *err)
{
	int ready[2], said[2], r = make_pipes(ready, said, err);
	pid_t pid;

	if (r < 0)
		return r;
	/* It opens this end anew, by its name below /proc, and is not who made it. */
	if (fchmod(ready[1], 0622) < 0)
		r = error_errno(err, BLAME_HOST, errno, "cannot open a pipe to others");
	pid = r < 0 ? -1 : fork();
	if (pid == 0)
		child_main(plan, words, ready[1], said[1]);
	if (pid < 0 && r == 0)
		r = error_errno(err, BLAME_HOST, errno, "cannot start pasta");
	(void)close(ready[1]);
	(void)close(said[1]);
	if (pid > 0)
		r = await_ready(ready[0], said[0], err);
	if (r == 0)
		r = enter_cgroup(plan->cgroup_fd, pid, err);
	if (r == 0)
		*ret_pid = pid;
	else if (pid > 0)
		end(pid);
	(void)close(ready[0]);
	(void)close(said[0]);
	return r;
}

int pasta_start(const struct pasta_plan *plan, pid_t *ret_pid, struct error *err)
{
	const struct network *network = plan->network;
	cleanup_(buffer_done) struct buffer ports = { 0 };
	struct words words = { .items = { "pasta" }, .n = 1 };
	char user[32], net[32];
	const char *const of_a_process[] = { "--userns", user, "--netns", net };

	(void)snprintf(user, sizeof(user), "/proc/%d/ns/user", plan->target);
	(void)snprintf(net, sizeof(net), "/proc/%d/ns/net", plan->target);
	if (print_ports(network, &ports) < 0)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory to start pasta");
	add(&words, always, ARRAY_SIZE(always));
	if (plan->net_fd >= 0)
		add(&words, of_a_namespace, ARRAY_SIZE(of_a_namespace));
	else
		add(&words, of_a_process, ARRAY_SIZE(of_a_process));
	if (network->n_ports > 0)
		add_ports(&words, network, ports.data);
	else
		add(&words, to_the_world, ARRAY_SIZE(to_the_world));
	return start(plan, &words, ret_pid, err);
}
