#include "log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "tests/unit.h"

/* A socket as the journal's, of which nobody reads; stderr is neither terminal nor journal. */
struct place {
	char dir[32];
	struct sockaddr_un address;
	int fd;
};

static void place_open(struct place *place)
{
	cleanup_fd int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	*place = (struct place){ .dir = "/tmp/log-XXXXXX", .address.sun_family = AF_UNIX };
	check(mkdtemp(place->dir) != NULL);
	(void)snprintf(place->address.sun_path, sizeof(place->address.sun_path), "%s/log",
	               place->dir);
	place->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	check(bind(place->fd, (struct sockaddr *)&place->address, sizeof(place->address)) == 0);
	check(dup2(null_fd, STDERR_FILENO) == STDERR_FILENO);
	log_open("some-hook", false);
	log_copy(place->address.sun_path);
}

static void place_done(struct place *place)
{
	(void)close(place->fd);
	(void)unlink(place->address.sun_path);
	(void)rmdir(place->dir);
}

static void a_copy_is_what_syslog_would_send(void)
{
	struct place place;
	char said[256] = "", expected[64];

	place_open(&place);
	log_line(LOG_ERR, "one\nline of %d", 3);
	check(recv(place.fd, said, sizeof(said) - 1, MSG_DONTWAIT) > 0);
	(void)snprintf(expected, sizeof(expected), " some-hook[%d]: one\\nline of 3", getpid());
	check(strncmp(said, "<27>", 4) == 0 && strstr(said, expected) == said + 4 + 15);
	place_done(&place);
}

static void nobody_waits_for_a_copy_to_be_read(void)
{
	struct place place;

	unit_limit_time(30);
	place_open(&place);
	for (unsigned i = 0; i < 5000; i++)
		log_line(LOG_ERR, "line %u", i);
	place_done(&place);
	log_line(LOG_ERR, "nobody is there any more");
}

static const struct unit_case cases[] = {
	CASE(a_copy_is_what_syslog_would_send),
	CASE(nobody_waits_for_a_copy_to_be_read),
};

UNIT_MAIN(cases)
