/* See store.h. */
#include "store.h"

#include <stdint.h>
#include <string.h>

#define MEMBER(c) [(unsigned char)(c)] = 1

/* Nix's base 32: without e, o, t, u. */
static const uint8_t is_base32[256] = {
	MEMBER('0'), MEMBER('1'), MEMBER('2'), MEMBER('3'), MEMBER('4'), MEMBER('5'), MEMBER('6'),
	MEMBER('7'), MEMBER('8'), MEMBER('9'), MEMBER('a'), MEMBER('b'), MEMBER('c'), MEMBER('d'),
	MEMBER('f'), MEMBER('g'), MEMBER('h'), MEMBER('i'), MEMBER('j'), MEMBER('k'), MEMBER('l'),
	MEMBER('m'), MEMBER('n'), MEMBER('p'), MEMBER('q'), MEMBER('r'), MEMBER('s'), MEMBER('v'),
	MEMBER('w'), MEMBER('x'), MEMBER('y'), MEMBER('z'),
};

static bool is_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("+-._?=", c));
}

static bool is_hash_digit(char c)
{
	return is_base32[(unsigned char)c];
}

static bool is_hash(const char *text)
{
	for (size_t i = 0; i < STORE_HASH_LEN; i++)
		if (!is_hash_digit(text[i]))
			return false;
	return true;
}

/* A hash would begin here: does it, in a path of the store that begins before limit? */
static void look_around(struct store_scan *scan, const char *bytes, size_t len, size_t limit,
                        size_t hash)
{
	size_t end = hash + STORE_HASH_LEN, begin, max;

	if (hash < STORE_DIR_LEN || end >= len || bytes[end] != '-')
		return;
	begin = hash - STORE_DIR_LEN;
	if (begin >= limit || memcmp(bytes + begin, STORE_DIR, STORE_DIR_LEN) != 0 ||
	    !is_hash(bytes + hash))
		return;
	max = len - begin < STORE_PATH_MAX ? len : begin + STORE_PATH_MAX;
	for (end++; end < max && is_name(bytes[end]);)
		end++;
	scan->found(scan->context, bytes + begin, end - begin);
}

static void look(struct store_scan *scan, const char *bytes, size_t len, size_t limit)
{
	for (size_t at = STORE_HASH_LEN - 1; at < len; at += STORE_HASH_LEN) {
		size_t from = at - (STORE_HASH_LEN - 1);
		const char *slash;

		if (!is_hash_digit(bytes[at]))
			continue;
		from -= from > 0 ? 1 : 0;
		slash = memrchr(bytes + from, '/', at - from);
		if (slash)
			look_around(scan, bytes, len, limit, (size_t)(slash + 1 - bytes));
	}
}

/* How many of the bytes can begin a path that is whole. The others are kept. */
static size_t decided(size_t len, bool last)
{
	const size_t keep = STORE_PATH_MAX - 1;

	return last ? len : len > keep ? len - keep : 0;
}

/* What the tail began, with as much of the new bytes as that may need. Returns whether this was all
 * of them. */
static bool go_on(struct store_scan *scan, const char *bytes, size_t len, bool last)
{
	const size_t keep = STORE_PATH_MAX - 1;
	size_t n = len < keep ? len : keep, whole = scan->tail_len + n, limit;

	memcpy(scan->tail + scan->tail_len, bytes, n);
	limit = len > keep ? scan->tail_len : decided(whole, last);
	look(scan, scan->tail, whole, limit);
	scan->tail_len = 0;
	if (len > keep)
		return false;
	memmove(scan->tail, scan->tail + limit, whole - limit);
	scan->tail_len = whole - limit;
	return true;
}

void store_scan_add(struct store_scan *scan, const void *bytes, size_t len, bool last)
{
	size_t limit;

	if (scan->tail_len > 0 && go_on(scan, bytes, len, last))
		return;
	limit = decided(len, last);
	look(scan, bytes, len, limit);
	scan->tail_len = len - limit;
	if (scan->tail_len > 0)
		memcpy(scan->tail, (const char *)bytes + limit, scan->tail_len);
}

const char *store_hash(const char *path)
{
	size_t n = 0;

	if (strncmp(path, STORE_DIR, STORE_DIR_LEN) == 0)
		path += STORE_DIR_LEN;
	while (n < STORE_HASH_LEN && is_hash_digit(path[n]))
		n++;
	return n == STORE_HASH_LEN && path[n] == '-' ? path : NULL;
}
