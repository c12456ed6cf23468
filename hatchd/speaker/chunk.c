/* Heads and totals are structs; a piece goes with its head in one writev(2). */
#include "chunk.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#include "lib/base/cleanup.h"
#include "lib/base/fd.h"
#include "lib/wire/message.h"

static int write_with_head(int fd, enum chunk_kind kind, const void *bytes, size_t len)
{
	const struct chunk head = { .kind = kind, .len = (uint32_t)len };
	struct iovec parts[] = { { (void *)&head, sizeof(head) }, { (void *)bytes, len } };
	size_t done = 0;
	ssize_t n;

	do
		n = writev(fd, parts, ARRAY_SIZE(parts));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	done = (size_t)n;
	if (done < sizeof(head)) {
		int r = fd_write_full(fd, (const char *)&head + done, sizeof(head) - done);

		if (r < 0)
			return r;
		done = sizeof(head);
	}
	done -= sizeof(head);
	return fd_write_full(fd, (const char *)bytes + done, len - done);
}

int chunk_write(int fd, const void *bytes, size_t len)
{
	return write_with_head(fd, CHUNK_BYTES, bytes, len);
}

int chunk_write_end(int fd, const struct tree_totals *totals)
{
	struct chunk_totals out;

	memset(&out, 0, sizeof(out));
	out.entries = totals->entries;
	out.bytes = totals->bytes;
	memcpy(out.sha256, totals->sha256, sizeof(out.sha256));
	return write_with_head(fd, CHUNK_END, &out, sizeof(out));
}

int chunk_read(int fd, struct chunk *ret)
{
	int r = fd_read_full(fd, ret, sizeof(*ret));

	if (r <= 0)
		return r;
	if (ret->kind == CHUNK_END)
		return ret->len == sizeof(struct chunk_totals) ? 1 : -EBADMSG;
	return ret->kind == CHUNK_BYTES && ret->len > 0 && ret->len <= WIRE_ATTACHMENT_MAX
	               ? 1
	               : -EBADMSG;
}

int chunk_read_end(int fd, struct tree_totals *ret)
{
	struct chunk_totals in;
	int r = fd_read_full(fd, &in, sizeof(in));

	if (r <= 0)
		return r < 0 ? r : -EPIPE;
	in.sha256[sizeof(in.sha256) - 1] = '\0';
	*ret = (struct tree_totals){ .entries = in.entries, .bytes = in.bytes };
	memcpy(ret->sha256, in.sha256, sizeof(ret->sha256));
	return 0;
}
