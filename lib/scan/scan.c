/*
 * The tables and the two loops over them. A pattern is a needle (needle.h); the first `window`
 * bytes of each are what the table of shifts knows of it.
 */
#include "scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/cleanup.h"

#include "needle.h"

enum {
	BLOCK_LEN = 3,
	BLOCKS = 1 << 16,
	WINDOW_MAX = 64, /* more would not make the shifts much longer */
	ROOT = 0,

	/* A beginning shorter than this is given up for the faster search, which then meets it
	 * again: so the same bytes are gone through at most so many times. */
	NEAR = 8,
};

/* The beginning of at least one pattern: node 0 is the empty one. */
struct node {
	uint32_t child, sibling; /* 0: none */
	uint32_t fail;           /* the longest other beginning that this one ends with */
	uint32_t at, depth;      /* its bytes: text + at, depth of them */
	uint32_t hit_len;        /* of the longest pattern that ends here; 0: none does */
	uint32_t hit;            /* that pattern */
	uint8_t byte;            /* the last */
};

struct scan {
	struct needles needles;
	char **names; /* array owned */
	struct node *nodes;
	size_t n_nodes;
	uint32_t first[256]; /* children of the root */
	size_t window;
	size_t step_len; /* where no block of a pattern is in sight */
	uint8_t shift[BLOCKS];
	uint8_t begins[BLOCKS]; /* does a pattern begin with it? */
};

size_t scan_secret_len(const struct scan_secret *secret)
{
	size_t len = secret->len;

	while (len > 0 && (secret->bytes[len - 1] == '\n' || secret->bytes[len - 1] == '\r'))
		len--;
	return len;
}

const char *scan_encoding_name(enum scan_encoding encoding)
{
	static const char *const names[] = {
		[SCAN_RAW] = "as it is",
		[SCAN_BASE64] = "base64",
		[SCAN_HEX] = "hex",
	};

	return names[encoding];
}

void scan_free(struct scan *scan)
{
	if (!scan)
		return;
	needles_done(&scan->needles);
	/* A tree of secrets is as good as they are. */
	if (scan->nodes)
		explicit_bzero(scan->nodes, scan->n_nodes * sizeof(*scan->nodes));
	free(scan->nodes);
	free(scan->names);
	free(scan);
}

/* --- the tree --- */

static uint32_t find_child(const struct scan *scan, uint32_t node, uint8_t byte)
{
	uint32_t child;

	if (node == ROOT)
		return scan->first[byte];
	for (child = scan->nodes[node].child; child; child = scan->nodes[child].sibling)
		if (scan->nodes[child].byte == byte)
			return child;
	return 0;
}

static uint32_t add_child(struct scan *scan, uint32_t node, uint8_t byte, size_t at)
{
	uint32_t child = (uint32_t)scan->n_nodes++;
	struct node *parent = &scan->nodes[node];

	scan->nodes[child] = (struct node){
		.sibling = parent->child,
		.at = (uint32_t)at,
		.depth = parent->depth + 1,
		.byte = byte,
	};
	parent->child = child;
	if (node == ROOT)
		scan->first[byte] = child;
	return child;
}

static void add_pattern(struct scan *scan, uint32_t index)
{
	const struct needle *needle = &scan->needles.items[index];
	const uint8_t *bytes = (const uint8_t *)scan->needles.text.data + needle->at;
	uint32_t node = ROOT;

	for (size_t i = 0; i < needle->len; i++) {
		uint32_t child = find_child(scan, node, bytes[i]);

		node = child ? child : add_child(scan, node, bytes[i], needle->at);
	}
	if (scan->nodes[node].hit_len > 0)
		return; /* two secrets, or two forms of one, are equal: the first gives the name */
	scan->nodes[node].hit_len = (uint32_t)needle->len;
	scan->nodes[node].hit = index;
}

/* Where the tree goes on from a node with the next byte of the stream. */
static uint32_t step(const struct scan *scan, uint32_t node, uint8_t byte)
{
	for (;;) {
		uint32_t child = find_child(scan, node, byte);

		if (child || node == ROOT)
			return child;
		node = scan->nodes[node].fail;
	}
}

/* A node's own fail and what ends in it, from those of its parent, which is known already. */
static void link_child(struct scan *scan, uint32_t parent, uint32_t child)
{
	struct node *node = &scan->nodes[child];
	const struct node *fail;

	node->fail = parent == ROOT ? ROOT : step(scan, scan->nodes[parent].fail, node->byte);
	fail = &scan->nodes[node->fail];
	if (node->hit_len == 0) {
		node->hit_len = fail->hit_len;
		node->hit = fail->hit;
	}
}

/* Breadth first: a fail is always shorter than the node. */
static int link_tree(struct scan *scan)
{
	cleanup_free uint32_t *queue = calloc(scan->n_nodes, sizeof(*queue));
	size_t n_queued = 1; /* the root */

	if (!queue)
		return -ENOMEM;
	for (size_t i = 0; i < n_queued; i++)
		for (uint32_t child = scan->nodes[queue[i]].child; child;
		     child = scan->nodes[child].sibling) {
			link_child(scan, queue[i], child);
			queue[n_queued++] = child;
		}
	return 0;
}

static int make_tree(struct scan *scan)
{
	/* Each byte of a pattern is a node at most, and one is the root. */
	scan->nodes = calloc(scan->needles.text.len + 1, sizeof(*scan->nodes));
	if (!scan->nodes)
		return -ENOMEM;
	scan->n_nodes = 1;
	for (size_t i = 0; i < scan->needles.n_items; i++)
		add_pattern(scan, (uint32_t)i);
	return link_tree(scan);
}

/* --- the table of shifts --- */

/* Three bytes as an index. Two would do for a text of any bytes, but one in hex has so few pairs
 * that most of them are in some pattern. That others may get the same index makes a shift too short
 * at times, never too long. */
static unsigned block_index(const uint8_t *at)
{
	uint16_t pair;

	memcpy(&pair, at, sizeof(pair));
	return (pair ^ at[2] * 0x9e35U) % BLOCKS;
}

static void add_shifts(struct scan *scan, const uint8_t *pattern)
{
	for (size_t i = 0; i + BLOCK_LEN <= scan->window; i++) {
		uint8_t shift = (uint8_t)(scan->window - BLOCK_LEN - i);
		unsigned block = block_index(pattern + i);

		if (shift < scan->shift[block])
			scan->shift[block] = shift;
	}
	scan->begins[block_index(pattern)] = 1;
}

static void make_shifts(struct scan *scan)
{
	const struct needles *needles = &scan->needles;

	scan->window = WINDOW_MAX;
	for (size_t i = 0; i < needles->n_items; i++)
		if (needles->items[i].len < scan->window)
			scan->window = needles->items[i].len;
	scan->step_len = scan->window - BLOCK_LEN + 1;
	memset(scan->shift, (int)scan->step_len, sizeof(scan->shift));
	for (size_t i = 0; i < needles->n_items; i++)
		add_shifts(scan, (const uint8_t *)needles->text.data + needles->items[i].at);
}

/* --- making it --- */

/* Of all secrets that are looked for; none may be too long. */
static int count_bytes(const struct scan_secret *secrets, size_t n_secrets, size_t *ret,
                       struct error *err)
{
	*ret = 0;
	for (size_t i = 0; i < n_secrets; i++) {
		size_t len = scan_secret_len(&secrets[i]);

		if (len > SCAN_SECRET_MAX)
			return error_set(err, BLAME_HOST, EFBIG,
			                 "the secret '%s' has more than %d bytes: too many to look "
			                 "for",
			                 secrets[i].name, SCAN_SECRET_MAX);
		*ret += len;
	}
	return 0;
}

static int add_secrets(struct scan *scan, const struct scan_secret *secrets, size_t n_secrets,
                       struct error *err)
{
	size_t len;
	int r = count_bytes(secrets, n_secrets, &len, err);

	if (r == 0)
		r = needles_reserve(&scan->needles, len, err);
	for (size_t i = 0; r == 0 && i < n_secrets; i++) {
		if (scan_secret_len(&secrets[i]) < SCAN_SECRET_MIN)
			continue;
		scan->names[i] = (char *)secrets[i].name;
		r = needles_add(&scan->needles, &secrets[i], i, err);
	}
	return r;
}

int scan_new(const struct scan_secret *secrets, size_t n_secrets, struct scan **ret,
             struct error *err)
{
	cleanup_scan struct scan *scan = calloc(1, sizeof(*scan));
	int r;

	if (scan)
		scan->names = calloc(n_secrets + 1, sizeof(*scan->names));
	if (!scan || !scan->names)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory to look for secrets");
	r = add_secrets(scan, secrets, n_secrets, err);
	if (r < 0)
		return r;
	if (scan->needles.n_items == 0) {
		*ret = NULL;
		return 0;
	}
	make_shifts(scan);
	if (make_tree(scan) < 0)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory to look for secrets");
	*ret = take_ptr(&scan);
	return 0;
}

/* --- the search --- */

/* From `at` on, as long as nothing of a pattern is in sight. The four steps at a time depend on
 * nothing but where they begin, so the processor takes them side by side. */
static size_t leap(const struct scan *scan, const uint8_t *text, size_t at, size_t len)
{
	const size_t step_len = scan->step_len;
	const uint8_t *shift = scan->shift;

	while (len - at >= 3 * step_len + scan->window) {
		const uint8_t *block = text + at + scan->window - BLOCK_LEN;
		unsigned shorter = shift[block_index(block)] ^ step_len;

		shorter |= shift[block_index(block + step_len)] ^ step_len;
		shorter |= shift[block_index(block + 2 * step_len)] ^ step_len;
		shorter |= shift[block_index(block + 3 * step_len)] ^ step_len;
		if (shorter)
			break;
		at += 4 * step_len;
	}
	return at;
}

/* The next place from `at` where a pattern may begin, or one with less than a window behind it. */
static size_t skip(const struct scan *scan, const uint8_t *text, size_t at, size_t len)
{
	at = leap(scan, text, at, len);
	while (len - at >= scan->window) {
		size_t shift = scan->shift[block_index(text + at + scan->window - BLOCK_LEN)];

		if (shift == 0) {
			if (scan->begins[block_index(text + at)])
				break;
			shift = 1;
		}
		at += shift;
		if (shift == scan->step_len)
			at = leap(scan, text, at, len);
	}
	return at;
}

/* Is the search better left to skip() again, from where this node's bytes begin? Only if that makes
 * headway: it was at `begun` already. */
static bool is_lost(const struct scan *scan, uint32_t node, size_t at, ptrdiff_t begun, size_t len)
{
	size_t depth = scan->nodes[node].depth;

	return depth < NEAR && depth <= at && (ptrdiff_t)(at - depth) > begun &&
	       len - (at - depth) >= scan->window;
}

bool scan_find(const struct scan *scan, struct scan_cursor *cursor, const void *bytes, size_t len,
               struct scan_hit *ret)
{
	const uint8_t *text = bytes;
	uint32_t node = cursor->node;
	ptrdiff_t begun = -1; /* of what came in earlier calls nothing is left to go back to */
	size_t at = 0;

	while (at < len) {
		const struct node *now;

		if (node == ROOT) {
			at = skip(scan, text, at, len);
			begun = (ptrdiff_t)at;
		}
		node = step(scan, node, text[at++]);
		now = &scan->nodes[node];
		if (now->hit_len > 0) {
			const struct needle *needle = &scan->needles.items[now->hit];

			cursor->node = node;
			cursor->offset += at;
			*ret = (struct scan_hit){ scan->names[needle->secret], needle->encoding,
				                  cursor->offset, now->hit_len };
			return true;
		}
		if (is_lost(scan, node, at, begun, len)) {
			at -= now->depth;
			node = ROOT;
		}
	}
	cursor->node = node;
	cursor->offset += len;
	return false;
}

const char *scan_held(const struct scan *scan, const struct scan_cursor *cursor, size_t *ret_len)
{
	const struct node *node = &scan->nodes[cursor->node];

	*ret_len = node->depth;
	return scan->needles.text.data + node->at;
}
