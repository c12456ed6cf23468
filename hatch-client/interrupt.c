/*
 * A handler that shuts the connection down. A flag alone would be lost on a read(2) that starts
 * just after it was looked at; an end of the stream is seen at any time.
 */
#include "interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>

#include "lib/base/cleanup.h"

/* The handler's: nothing else can tell the program that a signal came. */
static volatile sig_atomic_t caught;
static volatile sig_atomic_t watched_fd = -1;

static void hang_up(int number)
{
	int saved = errno;

	caught = number;
	if (watched_fd >= 0)
		(void)shutdown(watched_fd, SHUT_RDWR);
	errno = saved;
}

void interrupt_init(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction old, act = { .sa_handler = hang_up, .sa_flags = SA_RESETHAND };
	sigset_t set;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		(void)sigaddset(&set, signals[i]);
		if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			(void)sigaction(signals[i], &act, NULL);
	}
	/* A caller may have blocked them; the mask survives exec. */
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
}

void interrupt_watch(int fd)
{
	watched_fd = fd;
	if (caught && fd >= 0)
		(void)shutdown(fd, SHUT_RDWR);
}

int interrupt_signal(void)
{
	return caught;
}
