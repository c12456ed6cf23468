/*
 * What a sandbox was, for who looks into a request that failed: told by init, as it finds itself
 * just before the builder starts. Best effort: what cannot be read is missing.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buffer.h"
#include "lib/base/cleanup.h"
#include "lib/base/fd.h"
#include "lib/base/text.h"
#include "sandbox.h"

enum {
	SHOWN_MAX = 1024,       /* of one word */
	FILE_MAX = 1024 * 1024, /* of one file of /proc */
};

static void add_words(struct buffer *out, char *const *words)
{
	char shown[SHOWN_MAX];

	for (; *words; words++) {
		text_escape(*words, strlen(*words), shown, sizeof(shown));
		(void)buffer_printf(out, "%s\n", shown);
	}
}

static void add_file(struct buffer *out, const char *path)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	char piece[4096];
	ssize_t n;

	for (size_t len = 0; fd >= 0 && len < FILE_MAX; len += (size_t)n) {
		n = fd_read_some(fd, piece, sizeof(piece));
		if (n <= 0)
			return;
		(void)buffer_add(out, piece, (size_t)n);
	}
}

void sandbox_describe(const struct sandbox_plan *plan, char *const *env, int fd)
{
	cleanup_(buffer_done) struct buffer out = { 0 };

	(void)buffer_printf(&out, "[command]\n");
	add_words(&out, plan->request->argv);
	(void)buffer_printf(&out, "\n[environment]\n");
	add_words(&out, env);
	(void)buffer_printf(&out, "\n[mounts]\n");
	add_file(&out, "/proc/self/mountinfo");
	(void)buffer_printf(&out, "\n[status]\n");
	add_file(&out, "/proc/self/status");
	(void)buffer_printf(&out, "\n[network]\n");
	add_file(&out, "/proc/self/net/dev");
	if (out.data)
		(void)fd_write_full(fd, out.data, out.len);
}
