/*
 * Lines for the operator on stderr, with the priority prefix of sd-daemon(3) where systemd reads
 * them and the program's name where a person does. Only main.c and monitor.c call it.
 */
#pragma once

#include <stdbool.h>
#include <syslog.h>

/* log_open - name is kept, not copied; prefix: write "<N>" before each line */
void log_open(const char *name, bool prefix);

/* log_copy - have each line sent to the socket path too (_PATH_LOG), as syslog(3) does, where
 * nobody may be reading stderr: it is neither the journal nor a terminal. Nothing waits for who
 * reads there: what does not fit is lost */
void log_copy(const char *path);

/* log_line - one line; control characters in the text are escaped, so nothing forges a second */
void log_line(int level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
