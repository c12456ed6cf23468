/* One line, one write(2): lines of several processes do not mix. */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "text.h"

enum { LOG_LINE_MAX = 2048 };

static const char *log_name = "hatch";
static bool log_prefix;

void log_open(const char *name, bool prefix)
{
	log_name = name;
	log_prefix = prefix;
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
}
