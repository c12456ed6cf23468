/*
 * Which bytes of the stream may go. Nothing is copied: what waits from one call to the next is the
 * beginning of a form of a secret, so its bytes are those of that form.
 */
#include "mask.h"

#include <string.h>

/* The part of a stream that is at hand: what waited, and the bytes that came now. */
struct piece {
	const char *held, *bytes;
	uint64_t held_at,
		bytes_at; /* where they begin in the stream; held ends where bytes begin */
};

static struct piece make_piece(const struct mask *mask, const void *bytes)
{
	struct piece piece = { .bytes = bytes, .bytes_at = mask->cursor.offset };
	size_t held_len;

	piece.held = scan_held(mask->scan, &mask->cursor, &held_len);
	piece.held_at = piece.bytes_at - held_len;
	return piece;
}

/* Pass on everything before an offset of the stream that was not yet. */
static int pass(struct mask *mask, const struct piece *piece, uint64_t to)
{
	uint64_t from = mask->written;
	uint64_t held_to = to < piece->bytes_at ? to : piece->bytes_at;
	int r = 0;

	if (from < held_to) {
		r = mask->write(mask->context, piece->held + (from - piece->held_at),
		                (size_t)(held_to - from));
		from = held_to;
	}
	if (r == 0 && from < to)
		r = mask->write(mask->context, piece->bytes + (from - piece->bytes_at),
		                (size_t)(to - from));
	mask->written = to;
	return r;
}

static int write_mark(const struct mask *mask)
{
	static const char before[] = "[secret:", after[] = "]";
	int r = mask->write(mask->context, before, strlen(before));

	if (r == 0)
		r = mask->write(mask->context, mask->name, strlen(mask->name));
	return r < 0 ? r : mask->write(mask->context, after, strlen(after));
}

/* The secret, as far as it stands before `to`. Its mark comes with its first byte. */
static int replace(struct mask *mask, uint64_t to)
{
	int r = mask->written == mask->from ? write_mark(mask) : 0;

	mask->written = to < mask->to ? to : mask->to;
	if (mask->written == mask->to)
		mask->from = mask->to = 0;
	return r;
}

/* Before `to` nothing can become a secret any more. */
static int settle(struct mask *mask, const struct piece *piece, uint64_t to)
{
	int r = 0;

	if (mask->from < mask->to && mask->from < to) {
		if (mask->written < mask->from)
			r = pass(mask, piece, mask->from);
		if (r == 0)
			r = replace(mask, to);
	}
	return r < 0 || mask->written >= to ? r : pass(mask, piece, to);
}

static uint64_t settled(const struct mask *mask)
{
	size_t held_len;

	(void)scan_held(mask->scan, &mask->cursor, &held_len);
	return mask->cursor.offset - held_len;
}

/* One that another meets that is not wholly passed by becomes one with it; so does what is between
 * them, which is part of the beginning of a third. */
static void cover(struct mask *mask, const struct scan_hit *hit)
{
	uint64_t from = hit->end - hit->len;

	if (mask->from == mask->to || from <= mask->from) {
		mask->from = from;
		mask->name = hit->name;
	}
	mask->to = hit->end;
}

int mask_add(struct mask *mask, const void *bytes, size_t len)
{
	const struct piece piece = make_piece(mask, bytes);
	const uint64_t end = mask->cursor.offset + len;
	struct scan_hit hit;
	int r = 0;

	while (r == 0 && scan_find(mask->scan, &mask->cursor,
	                           piece.bytes + (mask->cursor.offset - piece.bytes_at),
	                           (size_t)(end - mask->cursor.offset), &hit)) {
		r = settle(mask, &piece, settled(mask));
		cover(mask, &hit);
	}
	return r < 0 ? r : settle(mask, &piece, settled(mask));
}

int mask_end(struct mask *mask)
{
	const struct piece piece = make_piece(mask, NULL);

	return settle(mask, &piece, mask->cursor.offset);
}
