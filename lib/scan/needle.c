/* Encodes; searches nothing. */
#include "needle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/encoding.h"

enum {
	BASE64_GROUP = 3,     /* bytes that are encoded together */
	BASE64_CHAR_BITS = 6, /* of which each character holds so many bits */
};

/* Of base64(1) and MIME; of openssl(1) and PEM. */
static const size_t line_lens[] = { 76, 64 };

void needles_done(struct needles *needles)
{
	buffer_wipe(&needles->text);
	free(needles->items);
	*needles = (struct needles){ 0 };
}

static int no_memory(struct error *err)
{
	return error_set(err, BLAME_HOST, ENOMEM, "no memory to look for secrets");
}

static int make_room(struct needles *needles, struct error *err)
{
	size_t room = needles->room ? 2 * needles->room : 16;
	struct needle *items;

	if (needles->n_items < needles->room)
		return 0;
	items = reallocarray(needles->items, room, sizeof(*items));
	if (!items)
		return no_memory(err);
	needles->items = items;
	needles->room = room;
	return 0;
}

/* Bytes that stand there already, under other names too, cost nothing: the tree of scan.c holds
 * each only once. */
static int add(struct needles *needles, const char *bytes, size_t len, size_t secret,
               enum scan_encoding encoding, struct error *err)
{
	size_t at = needles->text.len;
	int r = make_room(needles, err);

	if (r < 0)
		return r;
	if (buffer_add(&needles->text, bytes, len) < 0)
		return no_memory(err);
	needles->items[needles->n_items++] = (struct needle){ at, len, secret, encoding };
	return 0;
}

static void to_url_alphabet(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
}

static void to_upper_case(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		text[i] = text[i] >= 'a' && text[i] <= 'f' ? (char)(text[i] - 'a' + 'A') : text[i];
}

/* The characters of base64 that hold nothing but the secret's own bits, if it begins after `before`
 * bytes of a group. */
static int add_base64(struct needles *needles, const char *bytes, size_t len, size_t before,
                      size_t secret, struct error *err)
{
	cleanup_(buffer_wipe) struct buffer raw = { 0 }, text = { 0 };
	size_t from = (8 * before + BASE64_CHAR_BITS - 1) / BASE64_CHAR_BITS;
	size_t to = 8 * (before + len) / BASE64_CHAR_BITS;
	int r;

	/* At once: what grows leaves a copy behind, which nobody would wipe. */
	if (buffer_reserve(&raw, before + len) < 0 || buffer_add(&raw, "\0\0", before) < 0 ||
	    buffer_add(&raw, bytes, len) < 0 || base64_encode(&text, raw.data, raw.len) < 0)
		return no_memory(err);
	r = add(needles, text.data + from, to - from, secret, SCAN_BASE64, err);
	to_url_alphabet(text.data, text.len);
	return r < 0 ? r : add(needles, text.data + from, to - from, secret, SCAN_BASE64, err);
}

/* As base64(1) and openssl(1) print a file that begins with the secret: in lines. */
static int add_lines(struct needles *needles, const char *bytes, size_t len, size_t columns,
                     size_t secret, struct error *err)
{
	cleanup_(buffer_wipe) struct buffer text = { 0 }, lines = { 0 };
	size_t to = 8 * len / BASE64_CHAR_BITS;

	if (to <= columns)
		return 0; /* one line: there already */
	if (base64_encode(&text, bytes, len) < 0 || buffer_reserve(&lines, to + to / columns) < 0)
		return no_memory(err);
	for (size_t at = 0; at < to; at += columns) {
		size_t n = to - at < columns ? to - at : columns;

		if ((at > 0 && buffer_add(&lines, "\n", 1) < 0) ||
		    buffer_add(&lines, text.data + at, n) < 0)
			return no_memory(err);
	}
	return add(needles, lines.data, lines.len, secret, SCAN_BASE64, err);
}

static int add_hex(struct needles *needles, const char *bytes, size_t len, size_t secret,
                   struct error *err)
{
	cleanup_(buffer_wipe) struct buffer text = { 0 };
	int r;

	if (buffer_reserve(&text, 2 * len + 1) < 0)
		return no_memory(err);
	hex_encode(bytes, len, text.data);
	text.len = 2 * len;
	r = add(needles, text.data, text.len, secret, SCAN_HEX, err);
	to_upper_case(text.data, text.len);
	return r < 0 ? r : add(needles, text.data, text.len, secret, SCAN_HEX, err);
}

int needles_reserve(struct needles *needles, size_t len, struct error *err)
{
	/* Itself, eight times base64, twice hex; a byte is two characters at most. */
	return buffer_reserve(&needles->text, (1 + 8 * 2 + 2 * 2) * len) < 0 ? no_memory(err) : 0;
}

int needles_add(struct needles *needles, const struct scan_secret *secret, size_t index,
                struct error *err)
{
	size_t len = scan_secret_len(secret);
	int r = add(needles, secret->bytes, len, index, SCAN_RAW, err);

	for (size_t before = 0; r == 0 && before < BASE64_GROUP; before++)
		r = add_base64(needles, secret->bytes, len, before, index, err);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(line_lens); i++)
		r = add_lines(needles, secret->bytes, len, line_lens[i], index, err);
	return r < 0 ? r : add_hex(needles, secret->bytes, len, index, err);
}
