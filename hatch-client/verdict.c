/* The sentence and the exit status of each kind of end. */
#include "verdict.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/cleanup.h"

/* " (request 5f0c...)", where the server has named it. */
static const char *mark(const char *id, char ret[WIRE_ID_LEN + 16])
{
	ret[0] = '\0';
	if (id[0])
		(void)snprintf(ret, WIRE_ID_LEN + 16, " (request %s)", id);
	return ret;
}

/* To whom the caller may turn, behind what the server says. */
static void hint_kept(struct error *err, const char *kept)
{
	char before[ERROR_HINT_MAX];

	if (!kept)
		return;
	(void)snprintf(before, sizeof(before), "%s", err->hint);
	(void)error_hint(err, "%.300s%skept for the administrator: hatchctl show %s", before,
	                 before[0] ? "; " : "", kept);
}

int verdict_refused(const struct message *end, const char *id, struct error *err)
{
	static const struct {
		const char *code;
		int status;
	} statuses[] = {
		{ "cannot-run", EXIT_STATUS_CANNOT_RUN },
		{ "not-found", EXIT_STATUS_NOT_FOUND },
	};
	char request[WIRE_ID_LEN + 16];

	(void)error_set(err, BLAME_POLICY, ECANCELED, "%s: %.600s%s", end->error.code,
	                end->error.message, mark(id, request));
	if (end->error.hint)
		(void)error_hint(err, "%s", end->error.hint);
	hint_kept(err, end->error.kept);
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++)
		if (strcmp(end->error.code, statuses[i].code) == 0)
			return statuses[i].status;
	return EXIT_STATUS_FAILED;
}

int verdict_failed(const struct message *end, const char *id, const char *builder,
                   uint64_t time_limit_sec, struct error *err)
{
	char request[WIRE_ID_LEN + 16];

	(void)mark(id, request);
	if (end->exit.silent)
		(void)error_set(err, BLAME_BUILD, ETIMEDOUT,
		                "builder %s was silent for longer than it may%s", builder, request);
	else if (end->exit.timed_out)
		(void)error_set(err, BLAME_BUILD, ETIMEDOUT,
		                "builder %s went over its time limit of %llu s%s", builder,
		                (unsigned long long)time_limit_sec, request);
	else if (end->exit.oom)
		(void)error_set(err, BLAME_BUILD, ENOMEM, "builder %s ran out of memory%s", builder,
		                request);
	else if (end->exit.signal)
		(void)error_set(err, BLAME_BUILD, ECANCELED,
		                "builder %s was ended by signal %u, %s%s", builder,
		                end->exit.signal, strsignal((int)end->exit.signal), request);
	else
		(void)error_set(err, BLAME_BUILD, ECANCELED,
		                "builder %s failed with exit status %u%s", builder, end->exit.code,
		                request);
	if (end->exit.hint)
		(void)error_hint(err, "%s", end->exit.hint);
	hint_kept(err, end->exit.kept);
	return (int)end->exit.code;
}

int verdict_lost(struct error *err)
{
	(void)error_set(err, BLAME_PEER, EPIPE, "the server closed the connection before the end");
	return error_hint(err, "the result is lost; the server's journal says why: "
	                       "journalctl -t hatchd");
}

int verdict_out_of_order(const struct message *message, struct error *err)
{
	return error_set(err, BLAME_PEER, EBADMSG, "the server sent \"%s\" out of order",
	                 message_type_name(message->type));
}
