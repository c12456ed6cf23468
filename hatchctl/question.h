/* The request that `hatchctl explain` is asked about: from the command line to what the server
 * would have from peer and client. */
#pragma once

#include "hatchd/request/request.h"
#include "verbs.h"

struct question {
	struct peer peer;
	struct record record; /* borrows the words of the command line */
	const char *socket_class;
};

#define cleanup_question cleanup_(question_done)

/* question_read - 0, or the exit status, having said what is wrong. *ret is to be released also
 * then */
int question_read(const struct options *options, struct question *ret);
void question_done(struct question *question);
