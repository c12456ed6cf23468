/*
 * Unpacks any bytes. Refused: nothing is left. Accepted: what stands there packs, and the stream
 * that it packs to unpacks to the same again.
 */
#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buffer.h"
#include "lib/base/cleanup.h"
#include "lib/tree/pack.h"
#include "lib/tree/remove.h"
#include "lib/tree/unpack.h"

#include "tar-repair.h"

static const struct tree_limits limits = { .bytes = 16 * 1024 * 1024, .entries = 1000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct bytes {
	const uint8_t *data;
	size_t left;
};

static ssize_t read_bytes(void *context, const void **ret, struct error *err)
{
	struct bytes *bytes = context;
	/* Not a multiple of a block, so that headers lie across the edge. */
	size_t n = bytes->left < 5000 ? bytes->left : 5000;

	(void)err;
	*ret = bytes->data;
	bytes->data += n;
	bytes->left -= n;
	return (ssize_t)n;
}

static int unpack(int dir_fd, const char *name, const void *data, size_t len,
                  struct tree_totals *ret)
{
	struct bytes bytes = { data, len };
	struct tree_source source = { .read = read_bytes, .context = &bytes };
	struct error err = { 0 };
	int r = tree_unpack(dir_fd, name, &limits, NULL, &source, ret, &err);

	assert(r <= 0 && err.code == -r);
	return r;
}

static int add_bytes(void *context, const void *bytes, size_t len, struct error *err)
{
	(void)err;
	return buffer_add(context, bytes, len);
}

static void pack(int dir_fd, const char *name, struct buffer *stream, struct tree_totals *ret)
{
	const struct tree_root root = { dir_fd, name, name };
	struct tree_sink sink = { .write = add_bytes, .context = stream };

	assert(tree_pack(&root, &limits, NULL, &sink, ret, NULL) == 0);
}

static size_t count_entries(int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fdopendir(fd);
	size_t n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

static void try_stream(int dir_fd, const uint8_t *data, size_t len)
{
	cleanup_(buffer_done) struct buffer first = { 0 }, second = { 0 };
	struct tree_totals read, packed, again;

	if (unpack(dir_fd, "a", data, len, &read) < 0) {
		assert(count_entries(dir_fd) == 0);
		return;
	}
	assert(count_entries(dir_fd) == 1 && read.bytes == len);
	pack(dir_fd, "a", &first, &packed);
	assert(packed.entries == read.entries);
	assert(unpack(dir_fd, "b", first.data, first.len, &again) == 0);
	assert(strcmp(packed.sha256, again.sha256) == 0);
	pack(dir_fd, "b", &second, &again);
	assert(strcmp(packed.sha256, again.sha256) == 0);
	assert(tree_remove_children(dir_fd, NULL) == 0);
}

static char scratch_path[] = "/tmp/tree-fuzz-XXXXXX";

static void remove_scratch(void)
{
	(void)rmdir(scratch_path);
}

static int scratch(void)
{
	static int dir_fd = -1;

	if (dir_fd >= 0)
		return dir_fd;
	if (!mkdtemp(scratch_path))
		abort();
	(void)atexit(remove_scratch);
	dir_fd = open(scratch_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir_fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *repaired = repair(data, len);

	try_stream(scratch(), data, len);
	if (repaired)
		try_stream(scratch(), repaired, len);
	return 0;
}
