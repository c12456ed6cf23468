/*
 * A server that has no place left closes the connection before its greeting, a socket unit that
 * restarts refuses it for a moment: both are tried again, with growing pauses.
 */
#include "connect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "interrupt.h"
#include "lib/base/clock.h"
#include "lib/base/fd.h"
#include "nix.h"

enum {
	TRIES_BUSY = 10,   /* pauses of about nine seconds in all */
	LINE_SEC = 5,      /* for a place in the line before the socket, at each try */
	TRIES_REFUSED = 6, /* of about one and a half */
	PAUSE_FIRST_MS = 50,
	PAUSE_MAX_MS = 2000,
	HELLO_MS = 60000, /* a machine under load starts an instance slowly */
};

static const char *const usual_places[] = { "/run/hatch/hatch.sock", "/run/hatch/s/hatch.sock" };

/* ---- one connect(2) ---- */

static int connect_to(const char *path, int *ret_fd, struct error *err)
{
	cleanup_fd int fd = -1;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const struct timeval patience = { .tv_sec = LINE_SEC }, endless = { 0 };
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(address.sun_path))
		return error_set(err, BLAME_PEER, ENAMETOOLONG,
		                 "the socket's path must have 1 to %zu bytes: \"%s\"",
		                 sizeof(address.sun_path) - 1, path);
	memcpy(address.sun_path, path, len);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/*
	 * Where others fill the backlog whoever only tries now and then finds it full each time;
	 * who sleeps in connect(2) is woken when there is room. The limit makes it EAGAIN after a
	 * while, and EINTR after a signal.
	 */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot make a socket");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot connect to %s", path);
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &endless, sizeof(endless)) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot set up the connection");
	*ret_fd = take_fd(&fd);
	return 0;
}

/* The errors of connect(2), as far as somebody can do something about them. */
static int add_hint(int r, struct error *err)
{
	if (r == -ENOENT && nix_may_read())
		return error_hint(err,
		                  "Nix shows it to derivations that require the feature of "
		                  "their builder, requiredSystemFeatures = [ \"hatch-NAME\" ], "
		                  "if the machine that builds has hatch-pre-build-hook as its "
		                  "pre-build-hook and hatchd.socket is started; there, as "
		                  "root, hatch-pre-build-hook DERIVATION prints what is shown");
	if (r == -ENOENT)
		return error_hint(err, "systemctl start hatchd.socket starts it on the host; "
		                       "--socket or $HATCH_SOCKET names another one");
	if (r == -EACCES)
		return error_hint(err, "who may see the socket may use it: the administrator "
		                       "decides by the mode of its directory");
	if (r == -EAGAIN)
		return error_hint(err, "others ask faster than the host answers: hatchctl ps, and "
		                       "systemctl status hatchd.socket, tell who");
	if (r == -ECONNREFUSED)
		return error_hint(err, "nobody listens there: systemctl status hatchd.socket");
	return r;
}

static int connect_usual(int *ret_fd, struct error *err)
{
	int r = -ENOENT;

	for (size_t i = 0; i < ARRAY_SIZE(usual_places); i++) {
		r = connect_to(usual_places[i], ret_fd, err);
		if (r != -ENOENT && r != -EACCES)
			return r;
	}
	if (r == -ENOENT)
		r = error_set(err, BLAME_HOST, ENOENT, "no hatch here: neither %s nor %s exists",
		              usual_places[0], usual_places[1]);
	return r;
}

static int connect_once(const char *path, int *ret_fd, struct error *err)
{
	int r;

	if (!path)
		path = getenv("HATCH_SOCKET");
	if (path && !*path)
		path = NULL;
	r = path ? connect_to(path, ret_fd, err) : connect_usual(ret_fd, err);
	return r < 0 ? add_hint(r, err) : 0;
}

/* ---- the greeting ---- */

static int closed_early(struct error *err)
{
	(void)error_set(err, BLAME_HOST, EAGAIN,
	                "the server closed the connection before its greeting");
	return error_hint(err, "it serves as many requests as it may, or it cannot start: "
	                       "systemctl status hatchd.socket and journalctl -u 'hatchd@*' tell");
}

static int check_version(const struct message *hello, struct error *err)
{
	if (hello->hello.version_min <= WIRE_VERSION && hello->hello.version >= WIRE_VERSION)
		return 1;
	(void)error_set(err, BLAME_PEER, EPROTO,
	                "the server speaks versions %u to %u of the protocol, this client %d",
	                hello->hello.version_min, hello->hello.version, WIRE_VERSION);
	return error_hint(err, "use client and server of the same release");
}

static int read_hello(struct wire *wire, struct message *ret_refusal, struct error *err)
{
	cleanup_message struct message message = { 0 };
	int r;

	wire->deadline_ms = clock_now_ms() + HELLO_MS;
	r = wire_read(wire, &message, err);
	wire->deadline_ms = 0;
	/* -EPIPE: cut inside the greeting by what closed it; -ECONNRESET: closed with our bytes
	 * unread. */
	if (r == 0 || r == -EPIPE || r == -ECONNRESET)
		return closed_early(err);
	if (r == -ETIMEDOUT)
		return error_set(err, BLAME_HOST, ETIMEDOUT,
		                 "the server did not greet within %d seconds", HELLO_MS / 1000);
	if (r < 0)
		return r;
	if (message.type == MESSAGE_HELLO)
		return check_version(&message, err);
	if (message.type != MESSAGE_ERROR)
		return error_set(err, BLAME_PEER, EBADMSG,
		                 "not a hatch server: it greets with \"%s\"",
		                 message_type_name(message.type));
	*ret_refusal = message;
	message = (struct message){ 0 };
	return 0;
}

static int try_once(const char *path, int *ret_fd, struct wire *ret_wire,
                    struct message *ret_refusal, struct error *err)
{
	int r = connect_once(path, ret_fd, err);

	if (r == 0)
		r = wire_init(ret_wire, *ret_fd, WIRE_LINE_MAX, err);
	if (r < 0)
		return r;
	interrupt_watch(*ret_fd);
	return read_hello(ret_wire, ret_refusal, err);
}

/* ---- again ---- */

static int n_tries(int r)
{
	switch (r) {
	case -EAGAIN: /* closed early, or a full backlog */
		return TRIES_BUSY;
	case -ECONNREFUSED:
		return TRIES_REFUSED;
	default:
		return 1;
	}
}

/* Between three and five quarters of the pause: many clients that were turned away together do not
 * come back together. */
static void pause_ms(int ms)
{
	struct timespec pause;
	unsigned char random;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		random = (unsigned char)getpid();
	ms = ms * 3 / 4 + ms * random / 512;
	pause = (struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };
	(void)nanosleep(&pause, NULL);
}

int connect_server(const char *socket, int *ret_fd, struct wire *ret_wire,
                   struct message *ret_refusal, struct error *err)
{
	int wait_ms = PAUSE_FIRST_MS;

	for (int try = 1;; try++) {
		int r = try_once(socket, ret_fd, ret_wire, ret_refusal, err);

		if (interrupt_signal())
			return -EINTR;
		if (r >= 0 || try >= n_tries(r))
			return r;
		interrupt_watch(-1);
		wire_done(ret_wire);
		fd_closep(ret_fd);
		pause_ms(wait_ms);
		wait_ms = 2 * wait_ms < PAUSE_MAX_MS ? 2 * wait_ms : PAUSE_MAX_MS;
	}
}
