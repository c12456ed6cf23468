/* One line, one write(2): lines of several processes do not mix. */
#include "log.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "fd.h"
#include "text.h"

enum { LOG_LINE_MAX = 2048 };

static const char *log_name = "hatch";
static bool log_prefix;
static int log_copy_fd = -1;

void log_open(const char *name, bool prefix)
{
	log_name = name;
	log_prefix = prefix;
}

/* Source: systemd.exec(5), JOURNAL_STREAM */
static bool is_journal(int fd)
{
	const char *journal = getenv("JOURNAL_STREAM");
	char own[64];
	struct stat st;

	if (!journal || fstat(fd, &st) < 0)
		return false;
	(void)snprintf(own, sizeof(own), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return strcmp(journal, own) == 0;
}

void log_copy(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	cleanup_fd int fd = -1;

	if (is_journal(STDERR_FILENO) || isatty(STDERR_FILENO) ||
	    strlen(path) >= sizeof(address.sun_path))
		return;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		log_copy_fd = take_fd(&fd);
}

/* Not syslog(3): that waits for as long as nobody reads. */
static void send_copy(int level, const char *text)
{
	char line[LOG_LINE_MAX + 128], when[32] = "";
	time_t now = time(NULL);
	struct tm local;
	int n;

	if (localtime_r(&now, &local))
		(void)strftime(when, sizeof(when), "%b %e %T ", &local);
	n = snprintf(line, sizeof(line), "<%d>%s%s[%d]: %s", LOG_DAEMON | level, when, log_name,
	             getpid(), text);
	(void)send(log_copy_fd, line, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void log_line(int level, const char *fmt, ...)
{
	char raw[LOG_LINE_MAX], clean[LOG_LINE_MAX], line[LOG_LINE_MAX + 64];
	va_list ap;
	int n;

	va_start(ap, fmt);
	(void)vsnprintf(raw, sizeof(raw), fmt, ap);
	va_end(ap);
	text_escape(raw, strlen(raw), clean, sizeof(clean));

	if (log_prefix)
		n = snprintf(line, sizeof(line), "<%d>%s\n", level, clean);
	else
		n = snprintf(line, sizeof(line), "%s: %s\n", log_name, clean);
	(void)fd_write_full(STDERR_FILENO, line, (size_t)n);
	if (log_copy_fd >= 0)
		send_copy(level, clean);
}
