/* What holds each tree is opened before the request is sent: a path that leads nowhere is told
 * before anybody waits for it. */
#include "inputs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/cleanup.h"
#include "lib/base/fd.h"
#include "lib/tree/pack.h"
#include "parent.h"

void inputs_done(struct inputs *inputs)
{
	for (size_t i = 0; i < inputs->n; i++) {
		fd_closep(&inputs->items[i].dir_fd);
		free(inputs->items[i].name);
		free(inputs->items[i].path);
	}
	*inputs = (struct inputs){ 0 };
}

static int look_for(struct input *input, struct error *err)
{
	struct stat st;
	int r;

	input->dir_fd = parent_open(input->path, O_PATH, &input->leaf);
	if (!*input->leaf)
		input->leaf = ".";
	r = input->dir_fd < 0                                                   ? input->dir_fd
	    : fstatat(input->dir_fd, input->leaf, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno
	                                                                        : 0;
	if (r == 0)
		return 0;
	(void)error_errno(err, BLAME_HOST, -r, "input %s: cannot find %s", input->name,
	                  input->path);
	return error_hint(err, "it must be there before the request is made");
}

int inputs_add(struct inputs *inputs, const char *name, const char *path, struct error *err)
{
	struct input *input = &inputs->items[inputs->n];

	if (inputs->n == WIRE_INPUTS_MAX)
		return error_set(err, BLAME_PEER, E2BIG, "more than %d inputs", WIRE_INPUTS_MAX);
	*input = (struct input){ .name = strdup(name), .path = strdup(path), .dir_fd = -1 };
	inputs->n++;
	if (!input->name || !input->path)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for inputs");
	return look_for(input, err);
}

static struct input *find(struct inputs *inputs, const char *name)
{
	for (size_t i = 0; i < inputs->n; i++)
		if (strcmp(inputs->items[i].name, name) == 0)
			return &inputs->items[i];
	return NULL;
}

int inputs_want(struct inputs *inputs, char *const *names, struct error *err)
{
	if (inputs->n > 0 && !names)
		return error_set(err, BLAME_PEER, EBADMSG, "the server knows nothing of inputs");
	for (; names && *names; names++) {
		struct input *input = find(inputs, *names);

		if (!input)
			return error_set(err, BLAME_PEER, EBADMSG,
			                 "the server wants an input %s, which is none", *names);
		input->wanted = true;
	}
	return 0;
}

const struct input *inputs_missing(const struct inputs *inputs)
{
	for (size_t i = 0; i < inputs->n; i++)
		if (inputs->items[i].wanted)
			return &inputs->items[i];
	return NULL;
}

/* A stream on its way into messages. */
struct sending {
	const struct input *input;
	struct wire *wire;
	struct progress *progress;
};

static int sink_write(void *context, const void *bytes, size_t len, struct error *err)
{
	const struct sending *sending = context;
	struct message piece = { .type = MESSAGE_INPUT,
		                 .size = (uint32_t)len,
		                 .output.name = sending->input->name };
	int r = wire_write(sending->wire, &piece, bytes, err);

	if (r == 0)
		progress_transfer_add(sending->progress, len);
	return r;
}

int inputs_send(struct inputs *inputs, const char *name, struct wire *wire,
                struct progress *progress, struct error *err)
{
	struct input *input = find(inputs, name);
	struct sending sending = { input, wire, progress };
	const struct tree_sink sink = { sink_write, &sending };
	struct message end = { .type = MESSAGE_INPUT_END };
	struct tree_totals totals;
	struct tree_root root;
	int r;

	if (!input || !input->wanted)
		return error_set(err, BLAME_PEER, EBADMSG,
		                 "the server asks for the input %s, which it did not want", name);
	input->wanted = false;
	root = (struct tree_root){ input->dir_fd, input->leaf, input->name };
	r = tree_pack_as_it_is(&root, NULL, &sink, &totals, err);
	if (r < 0)
		return r;
	end.output.name = input->name;
	end.output.entries = totals.entries;
	end.output.bytes = totals.bytes;
	end.output.sha256 = totals.sha256;
	return wire_write(wire, &end, NULL, err);
}
