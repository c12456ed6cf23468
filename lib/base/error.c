/* Formatting of struct error. Who prints it, and to whom, is decided elsewhere. */
#include "error.h"

#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 4, 0))) static void set_text(struct error *err, enum blame blame,
                                                           int code, const char *fmt, va_list ap)
{
	err->blame = blame;
	err->code = code;
	err->hint[0] = '\0';
	err->peer_text[0] = '\0';
	err->peer_hint[0] = '\0';
	(void)vsnprintf(err->text, sizeof(err->text), fmt, ap);
}

int error_set(struct error *err, enum blame blame, int code, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return -code;

	va_start(ap, fmt);
	set_text(err, blame, code, fmt, ap);
	va_end(ap);
	return -code;
}

int error_errno(struct error *err, enum blame blame, int code, const char *fmt, ...)
{
	size_t len;
	va_list ap;

	if (!err)
		return -code;

	va_start(ap, fmt);
	set_text(err, blame, code, fmt, ap);
	va_end(ap);
	len = strlen(err->text);
	(void)snprintf(err->text + len, sizeof(err->text) - len, ": %s", strerror(code));
	return -code;
}

int error_hint(struct error *err, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return -1;

	va_start(ap, fmt);
	(void)vsnprintf(err->hint, sizeof(err->hint), fmt, ap);
	va_end(ap);
	return -err->code;
}

int error_conceal(struct error *err, const char *peer_text, const char *peer_hint)
{
	if (!err)
		return -1;

	(void)snprintf(err->peer_text, sizeof(err->peer_text), "%s", peer_text);
	(void)snprintf(err->peer_hint, sizeof(err->peer_hint), "%s", peer_hint);
	return -err->code;
}

bool error_is_concealed(const struct error *err)
{
	return err->peer_text[0] != '\0';
}

const char *error_peer_text(const struct error *err)
{
	return error_is_concealed(err) ? err->peer_text : err->text;
}

const char *error_peer_hint(const struct error *err)
{
	return error_is_concealed(err) ? err->peer_hint : err->hint;
}
