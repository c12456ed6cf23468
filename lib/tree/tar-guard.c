/*
 * Checks the structure of a tar stream, block by block: header fields against a table, pax records
 * against a list of four keys, sizes against each other, zeros where zeros belong. Everything that
 * two readers of tar could understand in two ways is refused. What a name means, and whether it
 * may stand where it stands, is the business of unpack.c.
 */
#include "tar-guard.h"

#include <errno.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/text.h"

/* Largest size of one file: far from every overflow of a signed 64-bit sum. */
static const uint64_t size_max = (uint64_t)1 << 62;

struct ustar {
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char checksum[8];
	char type;
	char linkname[100];
	char magic[8];
	char uname[32];
	char gname[32];
	char dev_major[8];
	char dev_minor[8];
	char prefix[155];
	char rest[12];
};

_Static_assert(sizeof(struct ustar) == TAR_BLOCK_LEN, "a header is one block");

/* The kinds of header, and what distinguishes them. */
static const struct kind {
	char type;
	uint64_t modes[3]; /* allowed ones, unused places repeat one */
	bool has_size;
	bool has_link;
	bool is_dir;
} kinds[] = {
	{ .type = '0', .modes = { 0644, 0755, 0755 }, .has_size = true }, /* file */
	{ .type = '1',
	  .modes = { 0644, 0755, 0755 },
	  .has_link = true }, /* another name of a file */
	{ .type = '2', .modes = { 0777, 0777, 0777 }, .has_link = true }, /* symlink */
	{ .type = '5', .modes = { 0755, 0755, 0755 }, .is_dir = true },   /* directory */
	{ .type = 'x',
	  .modes = { 0644, 0755, 0777 },
	  .has_size = true }, /* pax header of the next */
};

void tar_guard_init(struct tar_guard *guard)
{
	*guard = (struct tar_guard){ .state = TAR_HEADER };
}

static int refuse(uint64_t offset, const char *what, struct error *err)
{
	return error_set(err, BLAME_PEER, EBADMSG, "the tree stream is malformed: %s, at byte %llu",
	                 what, (unsigned long long)offset);
}

static bool is_zero(const void *bytes, size_t len)
{
	const unsigned char *p = bytes;

	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

/* After the NUL that ends a text field, nothing may hide. */
static bool is_clean_text(const char *field, size_t len)
{
	size_t text_len = strnlen(field, len);

	return is_zero(field + text_len, len - text_len);
}

/* Octal digits, then spaces or NULs up to the end; at least one of them. */
static bool read_octal(const char *field, size_t len, uint64_t *ret)
{
	size_t i = 0;

	*ret = 0;
	for (; i < len && field[i] >= '0' && field[i] <= '7'; i++)
		*ret = *ret << 3 | (uint64_t)(field[i] - '0');
	if (i == 0 || i == len)
		return false;
	for (; i < len; i++)
		if (field[i] != ' ' && field[i] != '\0')
			return false;
	return true;
}

static bool is_octal(const char *field, size_t len, uint64_t value)
{
	uint64_t found;

	return read_octal(field, len, &found) && found == value;
}

/* A size that eleven octal digits cannot hold: twelve of them, or a binary number marked by its
 * first bit. Only allowed beside a pax record that says the same. */
static bool is_long_size(const char *field, size_t len, uint64_t value)
{
	uint64_t found = 0;

	if (field[0] >= '0' && field[0] <= '7') {
		for (size_t i = 0; i < len; i++) {
			if (field[i] < '0' || field[i] > '7')
				return false;
			found = found << 3 | (uint64_t)(field[i] - '0');
		}
		return found == value;
	}
	if ((unsigned char)field[0] != 0x80 || !is_zero(field + 1, len - 9))
		return false;
	for (size_t i = len - 8; i < len; i++)
		found = found << 8 | (unsigned char)field[i];
	return found == value;
}

static bool checksum_matches(const struct ustar *header)
{
	const unsigned char *bytes = (const unsigned char *)header;
	uint64_t sum = 0;

	for (size_t i = 0; i < sizeof(*header); i++)
		sum += bytes[i];
	/* The field itself counts as eight spaces. */
	for (size_t i = 0; i < sizeof(header->checksum); i++)
		sum += ' ' - (uint64_t)(unsigned char)header->checksum[i];
	return is_octal(header->checksum, sizeof(header->checksum), sum);
}

static const struct kind *find_kind(char type)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (kinds[i].type == type)
			return &kinds[i];
	return NULL;
}

static bool mode_fits(const struct ustar *header, const struct kind *kind)
{
	uint64_t mode;

	if (!read_octal(header->mode, sizeof(header->mode), &mode))
		return false;
	return mode == kind->modes[0] || mode == kind->modes[1] || mode == kind->modes[2];
}

/* What is the same in every header; returns what is wrong, or NULL. */
static const char *check_fixed_fields(const struct ustar *h)
{
	if (memcmp(h->magic, "ustar\00000", 8) != 0)
		return "a header that is not ustar";
	if (!checksum_matches(h))
		return "a header with a wrong checksum";
	if (!is_octal(h->uid, sizeof(h->uid), 0) || !is_octal(h->gid, sizeof(h->gid), 0) ||
	    !is_zero(h->uname, sizeof(h->uname)) || !is_zero(h->gname, sizeof(h->gname)))
		return "an owner other than 0";
	if (!is_octal(h->mtime, sizeof(h->mtime), 1))
		return "a time other than 1";
	if (!is_octal(h->dev_major, sizeof(h->dev_major), 0) ||
	    !is_octal(h->dev_minor, sizeof(h->dev_minor), 0))
		return "a device number";
	if (!is_clean_text(h->name, sizeof(h->name)) ||
	    !is_clean_text(h->linkname, sizeof(h->linkname)) ||
	    !is_clean_text(h->prefix, sizeof(h->prefix)) || !is_zero(h->rest, sizeof(h->rest)))
		return "bytes after the end of a header field";
	return NULL;
}

/* One source for the size: the header's field, and a pax record only where that is too narrow. */
static const char *check_size(const struct tar_guard *guard, const struct ustar *h, uint64_t *ret)
{
	if (guard->size_seen && h->type != 'x') {
		*ret = guard->size;
		return is_long_size(h->size, sizeof(h->size), guard->size)
		               ? NULL
		               : "two sizes for one file that differ";
	}
	return read_octal(h->size, sizeof(h->size), ret) ? NULL : "a size that is not octal";
}

static bool name_is_dir(const struct tar_guard *guard, const struct ustar *h)
{
	size_t len = strnlen(h->name, sizeof(h->name));

	if (guard->path_seen)
		return guard->path_is_dir;
	return len > 0 && h->name[len - 1] == '/';
}

static const char *check_kind(const struct tar_guard *guard, const struct ustar *h,
                              const struct kind *kind, uint64_t size)
{
	if (!mode_fits(h, kind))
		return "a mode that is not ours";
	if (!kind->has_size && size != 0)
		return "a size where there is no content";
	if (kind->type == 'x')
		return guard->pax_seen ? "two pax headers in a row" : NULL;
	if (!kind->has_link && (h->linkname[0] != '\0' || guard->linkpath_seen))
		return "a link name where there is no link";
	if (kind->is_dir != name_is_dir(guard, h))
		return "a slash at the end of a name that is not a directory's, or none where it is";
	return NULL;
}

/* What to expect after a header: a body of size bytes, padded to whole blocks. */
static void expect_body(struct tar_guard *guard, enum tar_guard_state state, uint64_t size)
{
	guard->left = size;
	guard->padding = (size_t)(-size % TAR_BLOCK_LEN);
	guard->state = size > 0 ? state : TAR_HEADER;
}

static int check_header(struct tar_guard *guard, const struct ustar *h, struct error *err)
{
	uint64_t at = guard->offset - TAR_BLOCK_LEN, size;
	const struct kind *kind = find_kind(h->type);
	const char *wrong = check_fixed_fields(h);

	if (!wrong && !kind)
		wrong = "an entry that is no file, directory, symlink or hard link";
	if (!wrong)
		wrong = check_size(guard, h, &size);
	if (!wrong)
		wrong = check_kind(guard, h, kind, size);
	if (wrong)
		return refuse(at, wrong, err);

	if (kind->type == 'x') {
		if (size == 0 || size > TAR_PAX_MAX)
			return refuse(at, "a pax header that is empty or too long", err);
		guard->pax_seen = true;
		guard->pax_len = 0;
		expect_body(guard, TAR_PAX, size);
		return 0;
	}
	guard->pax_seen = guard->path_seen = guard->linkpath_seen = guard->size_seen = false;
	expect_body(guard, TAR_BODY, size);
	return 0;
}

/* A whole block where a header may stand. */
static int check_block(struct tar_guard *guard, struct error *err)
{
	uint64_t at = guard->offset - TAR_BLOCK_LEN;
	struct ustar header;

	guard->block_len = 0;
	if (guard->state == TAR_ZEROS) {
		if (!is_zero(guard->block, TAR_BLOCK_LEN))
			return refuse(at, "one zero block instead of two", err);
		guard->state = TAR_END;
		return 0;
	}
	if (is_zero(guard->block, TAR_BLOCK_LEN)) {
		if (at == 0 || guard->pax_seen)
			return refuse(at, "an end where an entry must stand", err);
		guard->state = TAR_ZEROS;
		return 0;
	}
	memcpy(&header, guard->block, sizeof(header));
	return check_header(guard, &header, err);
}

/* One record's value; returns what is wrong, or NULL. */
static const char *take_record(struct tar_guard *guard, const char *key, const char *value,
                               size_t value_len, bool first)
{
	bool *seen;

	if (value_len == 0 || strlen(value) != value_len)
		return "a pax record that is empty or holds a NUL";

	/* Without this the names would be UTF-8 to libarchive, which would convert them. It comes
	 * first, so that no reader has to go back. */
	if (first)
		return strcmp(key, "hdrcharset") == 0 && strcmp(value, "BINARY") == 0
		               ? NULL
		               : "a pax header that does not begin with hdrcharset=BINARY";

	if (strcmp(key, "path") == 0)
		seen = &guard->path_seen;
	else if (strcmp(key, "linkpath") == 0)
		seen = &guard->linkpath_seen;
	else if (strcmp(key, "size") == 0)
		seen = &guard->size_seen;
	else
		return "a pax record that we do not use";
	if (*seen)
		return "a pax record twice";
	*seen = true;

	if (seen == &guard->size_seen &&
	    (text_to_u64(value, size_max, &guard->size) < 0 || guard->size >> 33 == 0))
		return "a pax size that is no number, too large, or not needed";
	if (seen == &guard->path_seen)
		guard->path_is_dir = value[value_len - 1] == '/';
	return NULL;
}

/* "LEN KEY=VALUE\n", where LEN counts itself. Moves *at behind the record. */
static const char *parse_record(struct tar_guard *guard, size_t *at)
{
	char *record = guard->pax + *at;
	size_t left = guard->pax_len - *at;
	char *space = memchr(record, ' ', left), *equals, *end;
	uint64_t len;

	if (!space)
		return "a pax record without a length";
	*space = '\0';
	if (strlen(record) != (size_t)(space - record) || text_to_u64(record, left, &len) < 0 ||
	    len <= (size_t)(space - record) + 1)
		return "a pax record whose length is wrong";
	end = record + len - 1;
	if (*end != '\n')
		return "a pax record whose length is wrong";
	*end = '\0';
	equals = memchr(space + 1, '=', (size_t)(end - space - 1));
	if (!equals)
		return "a pax record without a value";
	*equals = '\0';
	if (strlen(space + 1) != (size_t)(equals - space - 1))
		return "a pax record with a NUL in its key";

	*at += len;
	return take_record(guard, space + 1, equals + 1, (size_t)(end - equals - 1),
	                   record == guard->pax);
}

static int parse_pax(struct tar_guard *guard, struct error *err)
{
	uint64_t start = guard->offset - guard->pax_len;
	size_t at = 0;

	while (at < guard->pax_len) {
		size_t record = at;
		const char *wrong = parse_record(guard, &at);

		if (wrong)
			return refuse(start + record, wrong, err);
	}
	return 0;
}

/* Take up to len bytes in the present state; sets *ret_used to how many, at least one. */
static int feed_some(struct tar_guard *guard, const unsigned char *bytes, size_t len,
                     size_t *ret_used, struct error *err)
{
	bool in_block = guard->state == TAR_HEADER || guard->state == TAR_ZEROS;
	uint64_t wanted = in_block ? TAR_BLOCK_LEN - guard->block_len : guard->left;
	size_t n = len < wanted ? len : (size_t)wanted;

	if (guard->state == TAR_END)
		return refuse(guard->offset, "bytes after the end", err);
	for (size_t i = 0; guard->state == TAR_PADDING && i < n; i++)
		if (bytes[i] != 0)
			return refuse(guard->offset + i, "padding that is not zero", err);

	*ret_used = n;
	guard->offset += n;
	if (in_block) {
		memcpy(guard->block + guard->block_len, bytes, n);
		guard->block_len += n;
		return guard->block_len < TAR_BLOCK_LEN ? 0 : check_block(guard, err);
	}
	if (guard->state == TAR_PAX) {
		memcpy(guard->pax + guard->pax_len, bytes, n);
		guard->pax_len += n;
	}
	guard->left -= n;
	if (guard->left > 0)
		return 0;
	if (guard->state == TAR_PAX && parse_pax(guard, err) < 0)
		return -EBADMSG;
	if (guard->state != TAR_PADDING && guard->padding > 0) {
		guard->state = TAR_PADDING;
		guard->left = guard->padding;
		return 0;
	}
	guard->state = TAR_HEADER;
	return 0;
}

int tar_guard_feed(struct tar_guard *guard, const void *bytes, size_t len, struct error *err)
{
	const unsigned char *p = bytes;

	while (len > 0) {
		size_t used = 0;
		int r = feed_some(guard, p, len, &used, err);

		if (r < 0)
			return r;
		p += used;
		len -= used;
	}
	return 0;
}

int tar_guard_end(const struct tar_guard *guard, struct error *err)
{
	if (guard->state == TAR_END)
		return 0;
	return refuse(guard->offset, "it ends before its end mark", err);
}
