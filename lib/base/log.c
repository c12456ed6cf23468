/* One line, one write(2): lines of several processes do not mix. */
#include "log.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "text.h"

enum { LOG_LINE_MAX = 2048 };

static const char *log_name = "hatch";
static bool log_prefix, log_copied;

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

void log_copy(void)
{
	log_copied = !is_journal(STDERR_FILENO) && !isatty(STDERR_FILENO);
	if (log_copied)
		openlog(log_name, LOG_PID, LOG_DAEMON);
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
	if (log_copied)
		syslog(level, "%s", clean);
}
