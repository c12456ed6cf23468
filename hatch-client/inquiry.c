/* A question, and an answer that may come in parts. */
#include "inquiry.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "connect.h"
#include "interrupt.h"
#include "lib/base/fd.h"
#include "lib/base/text.h"
#include "verdict.h"

struct inquiry {
	int fd;
	struct wire wire;
	struct message refusal;
};

static void inquiry_done(struct inquiry *inquiry)
{
	interrupt_watch(-1);
	wire_done(&inquiry->wire);
	fd_closep(&inquiry->fd);
	message_done(&inquiry->refusal);
}

#define cleanup_inquiry cleanup_(inquiry_done)

static int print_builders(const struct message *message, struct error *err)
{
	enum { DESCRIPTION_MAX = 1024 };

	for (size_t i = 0; i < message->builders.n_items; i++) {
		const struct wire_builder *item = &message->builders.items[i];
		char description[DESCRIPTION_MAX];

		text_escape(item->description, strlen(item->description), description,
		            sizeof(description));
		(void)printf("%s%s%s\n", item->name, description[0] ? "\t" : "", description);
	}
	if (fflush(stdout) != 0)
		return error_errno(err, BLAME_HOST, errno, "cannot write the list");
	return 0;
}

static int print_pong(const struct message *message, struct error *err)
{
	enum { SERVER_MAX = 256 };
	char server[SERVER_MAX];

	text_escape(message->hello.server, strlen(message->hello.server), server, sizeof(server));
	if (printf("%s\n", server) < 0 || fflush(stdout) != 0)
		return error_errno(err, BLAME_HOST, errno, "cannot write the answer");
	return 0;
}

/* The server's next message. Returns 1; 0 if that is a refusal, which is kept; or a failure. */
static int hear(struct inquiry *inquiry, struct message *ret, struct error *err)
{
	int r = wire_read(&inquiry->wire, ret, err);

	if (r < 0)
		return r;
	if (r == 0)
		return verdict_lost(err);
	if (ret->type != MESSAGE_ERROR)
		return 1;
	inquiry->refusal = *ret;
	*ret = (struct message){ 0 };
	return 0;
}

/* A server that refuses closes on us, and what it said is still there to be read: a failed write is
 * told only if that is no refusal. */
static int refused_after(struct inquiry *inquiry, const struct error *write_err, struct error *err)
{
	cleanup_message struct message message = { 0 };

	if (hear(inquiry, &message, err) == 0)
		return 0;
	*err = *write_err;
	return -err->code;
}

/* Connects and sends. Returns as hear() */
static int ask(struct inquiry *inquiry, const char *socket, enum message_type question,
               struct error *err)
{
	const struct message message = { .type = question, .request.version = WIRE_VERSION };
	struct error write_err;
	int r = connect_server(socket, &inquiry->fd, &inquiry->wire, &inquiry->refusal, err);

	if (r <= 0 || wire_write(&inquiry->wire, &message, NULL, &write_err) == 0)
		return r;
	return refused_after(inquiry, &write_err, err);
}

/* The answer, or a part of it. Returns 1 if there is more, 0 if not, or a failure. */
static int take_answer(struct inquiry *inquiry, enum message_type type, struct error *err)
{
	cleanup_message struct message message = { 0 };
	int r = hear(inquiry, &message, err);

	if (r <= 0)
		return r;
	if (message.type != type)
		return verdict_out_of_order(&message, err);
	if (type == MESSAGE_PONG)
		return print_pong(&message, err);
	r = print_builders(&message, err);
	return r < 0 ? r : message.builders.more;
}

static int inquire(const struct options *options, enum message_type question,
                   enum message_type answer, struct error *err)
{
	cleanup_inquiry struct inquiry inquiry = { .fd = -1 };
	int r = ask(&inquiry, options->socket, question, err);

	while (r > 0)
		r = take_answer(&inquiry, answer, err);
	return r == 0 && inquiry.refusal.type == MESSAGE_ERROR
	               ? verdict_refused(&inquiry.refusal, "", err)
	               : r;
}

int inquiry_list(const struct options *options, struct error *err)
{
	return inquire(options, MESSAGE_LIST, MESSAGE_BUILDERS, err);
}

int inquiry_ping(const struct options *options, struct error *err)
{
	return inquire(options, MESSAGE_PING, MESSAGE_PONG, err);
}
