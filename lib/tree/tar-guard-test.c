/* The guard alone: what it lets pass, byte by byte or all at once, and what it refuses. */
#include "tar-guard.h"

#include "test-tree.h"

/* Offsets of the fields of a header. */
enum {
	AT_NAME = 0,
	AT_MODE = 100,
	AT_UID = 108,
	AT_GID = 116,
	AT_SIZE = 124,
	AT_MTIME = 136,
	AT_CHECKSUM = 148,
	AT_TYPE = 156,
	AT_LINK = 157,
	AT_MAGIC = 257,
	AT_UNAME = 265,
	AT_GNAME = 297,
	AT_DEV_MAJOR = 329,
	AT_DEV_MINOR = 337,
	AT_PREFIX = 345,
	AT_REST = 500,
};

static int feed(const struct buffer *stream, size_t chunk, struct error *err)
{
	struct tar_guard guard;

	tar_guard_init(&guard);
	for (size_t at = 0; at < stream->len; at += chunk) {
		size_t n = stream->len - at < chunk ? stream->len - at : chunk;
		int r = tar_guard_feed(&guard, stream->data + at, n, err);

		if (r < 0)
			return r;
	}
	return tar_guard_end(&guard, err);
}

/* Every way of cutting the stream into pieces must give the same answer. */
static bool is_accepted(const struct buffer *stream)
{
	const size_t chunks[] = { 1, 7, 511, 512, 513, 1 << 20 };
	struct error err = { 0 };
	bool accepted = feed(stream, 1 << 20, &err) == 0;

	for (size_t i = 0; i < ARRAY_SIZE(chunks); i++) {
		struct error again = { 0 };

		check((feed(stream, chunks[i], &again) == 0) == accepted);
		check(strcmp(err.text, again.text) == 0);
	}
	return accepted;
}

static bool is_refused(const struct buffer *stream, const char *says, const char *label)
{
	struct error err = { 0 };
	int r = feed(stream, 1 << 20, &err);

	if (is_accepted(stream) || r != -EBADMSG || err.blame != BLAME_PEER ||
	    !strstr(err.text, says)) {
		printf("%s: %d %s\n", label, r, err.text);
		return false;
	}
	return true;
}

static void put_sample(struct buffer *stream)
{
	put_header(stream, &(struct header){ .name = "output/", .type = '5' });
	put_header(stream, &(struct header){ .name = "output/a", .body = "hello" });
	put_header(stream, &(struct header){ .name = "output/b", .type = '1', .link = "output/a" });
	put_header(stream, &(struct header){ .name = "output/c", .type = '2', .link = "/etc" });
	put_pax_records(stream, "path", "output/d", NULL, NULL);
	put_header(stream, &(struct header){ .name = "x", .body = "12345678" });
	put_end(stream);
}

static void accepts_every_kind_of_entry_we_send(void)
{
	cleanup_(buffer_done) struct buffer stream = { 0 };

	put_sample(&stream);
	check(is_accepted(&stream));
}

/* CU7 */
static void refuses_a_stream_that_ends_at_any_byte_before_its_end(void)
{
	cleanup_(buffer_done) struct buffer stream = { 0 };
	size_t whole;

	put_sample(&stream);
	whole = stream.len;
	for (stream.len = 0; stream.len < whole; stream.len++) {
		struct error err = { 0 };

		check(feed(&stream, 1 << 20, &err) == -EBADMSG);
	}
}

/* CU7 */
static void refuses_bytes_after_the_end(void)
{
	const char *more[] = { "x", "\0" };

	for (size_t i = 0; i < ARRAY_SIZE(more); i++) {
		cleanup_(buffer_done) struct buffer stream = { 0 };

		put_sample(&stream);
		buffer_add(&stream, more[i], 1);
		check(is_refused(&stream, "bytes after the end", "one byte more"));
	}
}

#define EDIT(at, bytes) .offset = (at), .with = (bytes), .len = sizeof(bytes) - 1

/* CU3, CU4, CU6, CU7: one wrong field each, in an otherwise good header. */
static const struct edit {
	const char *label;
	char type;
	size_t offset;
	const char *with;
	size_t len;
	bool keep_checksum;
	const char *says;
} edits[] = {
	{ "checksum", '0', EDIT(AT_CHECKSUM, "000001"), true, "checksum" },
	{ "checksum of blanks", '0', EDIT(AT_CHECKSUM, "        "), true, "checksum" },
	{ "GNU magic", '0', EDIT(AT_MAGIC, "ustar  "), false, "not ustar" },
	{ "no magic", '0', EDIT(AT_MAGIC, "\0\0\0\0\0\0\0"), false, "not ustar" },
	{ "other version", '0', EDIT(AT_MAGIC, "ustar\00001"), false, "not ustar" },
	{ "old file", '0', EDIT(AT_TYPE, "\0"), false, "no file" },
	{ "character device", '0', EDIT(AT_TYPE, "3"), false, "no file" },
	{ "block device", '0', EDIT(AT_TYPE, "4"), false, "no file" },
	{ "fifo", '0', EDIT(AT_TYPE, "6"), false, "no file" },
	{ "contiguous file", '0', EDIT(AT_TYPE, "7"), false, "no file" },
	{ "GNU sparse", '0', EDIT(AT_TYPE, "S"), false, "no file" },
	{ "GNU volume", '0', EDIT(AT_TYPE, "V"), false, "no file" },
	{ "GNU long name", '0', EDIT(AT_TYPE, "L"), false, "no file" },
	{ "GNU long link", '0', EDIT(AT_TYPE, "K"), false, "no file" },
	{ "GNU directory", '0', EDIT(AT_TYPE, "D"), false, "no file" },
	{ "GNU continuation", '0', EDIT(AT_TYPE, "M"), false, "no file" },
	{ "GNU old names", '0', EDIT(AT_TYPE, "N"), false, "no file" },
	{ "pax global", '0', EDIT(AT_TYPE, "g"), false, "no file" },
	{ "Sun pax", '0', EDIT(AT_TYPE, "X"), false, "no file" },
	{ "Sun ACL", '0', EDIT(AT_TYPE, "A"), false, "no file" },
	{ "unknown type", '0', EDIT(AT_TYPE, "\377"), false, "no file" },
	{ "setuid", '0', EDIT(AT_MODE, "004755"), false, "mode" },
	{ "setgid", '0', EDIT(AT_MODE, "002755"), false, "mode" },
	{ "sticky", '0', EDIT(AT_MODE, "001644"), false, "mode" },
	{ "writable by all", '0', EDIT(AT_MODE, "000777"), false, "mode" },
	{ "no mode", '0', EDIT(AT_MODE, "000000"), false, "mode" },
	{ "mode with a sign", '0', EDIT(AT_MODE, "-00644"), false, "mode" },
	{ "mode in the wrong base", '0', EDIT(AT_MODE, "000648"), false, "mode" },
	{ "mode without an end", '0', EDIT(AT_MODE, "00000644"), false, "mode" },
	{ "closed directory", '5', EDIT(AT_MODE, "000000"), false, "mode" },
	{ "setgid directory", '5', EDIT(AT_MODE, "002755"), false, "mode" },
	{ "symlink mode", '2', EDIT(AT_MODE, "000644"), false, "mode" },
	{ "user", '0', EDIT(AT_UID, "000001"), false, "owner" },
	{ "group", '0', EDIT(AT_GID, "000001"), false, "owner" },
	{ "user name", '0', EDIT(AT_UNAME, "root"), false, "owner" },
	{ "group name", '0', EDIT(AT_GNAME, "root"), false, "owner" },
	{ "hidden user name", '0', EDIT(AT_UNAME + 1, "x"), false, "owner" },
	{ "time 0", '0', EDIT(AT_MTIME, "00000000000"), false, "time" },
	{ "time 2038", '0', EDIT(AT_MTIME, "20000000000"), false, "time" },
	{ "negative time", '0', EDIT(AT_MTIME, "\377\377\377\377"), false, "time" },
	{ "negative size", '0', EDIT(AT_SIZE, "\377\377\377\377\377\377\377\377\377\377\377\377"),
	  false, "size" },
	{ "binary size", '0', EDIT(AT_SIZE, "\200\0\0\0\0\0\0\0\0\0\0\5"), false, "size" },
	{ "size of blanks", '0', EDIT(AT_SIZE, "            "), false, "size" },
	{ "size with a minus", '0', EDIT(AT_SIZE, "-0000000005"), false, "size" },
	{ "size with a blank first", '0', EDIT(AT_SIZE, " 0000000005"), false, "size" },
	{ "size without an end", '0', EDIT(AT_SIZE, "000000000005"), false, "size" },
	{ "size with a tail", '0', EDIT(AT_SIZE, "00000005 x"), false, "size" },
	{ "directory with a size", '5', EDIT(AT_SIZE, "00000000005"), false, "size" },
	{ "hard link with a size", '1', EDIT(AT_SIZE, "00000000005"), false, "size" },
	{ "symlink with a size", '2', EDIT(AT_SIZE, "00000000005"), false, "size" },
	{ "device number", '0', EDIT(AT_DEV_MAJOR, "000001"), false, "device" },
	{ "device number", '0', EDIT(AT_DEV_MINOR, "000001"), false, "device" },
	{ "hidden after the name", '0', EDIT(AT_NAME + 50, "x"), false, "after the end" },
	{ "hidden after the link", '0', EDIT(AT_LINK + 50, "x"), false, "after the end" },
	{ "hidden after the prefix", '0', EDIT(AT_PREFIX + 50, "x"), false, "after the end" },
	{ "hidden in the rest", '0', EDIT(AT_REST + 11, "x"), false, "after the end" },
	{ "file with a link name", '0', EDIT(AT_LINK, "output/a"), false, "link name" },
	{ "directory with a link name", '5', EDIT(AT_LINK, "output/a"), false, "link name" },
	{ "file with a slash", '0', EDIT(AT_NAME, "output/"), false, "slash" },
	{ "symlink with a slash", '2', EDIT(AT_NAME, "output/"), false, "slash" },
	{ "hard link with a slash", '1', EDIT(AT_NAME, "output/"), false, "slash" },
	{ "directory without a slash", '5', EDIT(AT_NAME, "output"), false, "slash" },
};

static void put_one(struct buffer *stream, char type)
{
	const char *link = type == '1' || type == '2' ? "output/a" : NULL;

	put_header(stream, &(struct header){
				   .name = type == '5' ? "output\0" : "output",
				   .type = type,
				   .link = link,
				   .body = type == '0' ? "hello" : NULL,
			   });
	if (type == '5') {
		stream->data[6] = '/';
		seal(stream->data);
	}
	put_end(stream);
}

static void refuses_each_wrong_field_of_a_header(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(edits); i++) {
		cleanup_(buffer_done) struct buffer stream = { 0 };
		const struct edit *edit = &edits[i];

		put_one(&stream, edit->type);
		check(is_accepted(&stream));
		memcpy(stream.data + edit->offset, edit->with, edit->len);
		if (edit->offset == AT_NAME)
			stream.data[edit->len] = '\0';
		if (!edit->keep_checksum)
			seal(stream.data);
		check(is_refused(&stream, edit->says, edit->label));
	}
}

/* CU7: one record behind the charset, in front of a file. */
static const struct {
	const char *key;
	const char *value;
	const char *says; /* NULL: accepted */
} records[] = {
	{ "path", "output/b", NULL },
	{ "path", "\377\n\"a\033", NULL },
	{ "path", "", "empty" },
	{ "path", "a/b/", "slash" },
	{ "linkpath", "a", "link name" },
	{ "hdrcharset", "BINARY", "do not use" },
	{ "charset", "BINARY", "do not use" },
	{ "size", "5", "pax size" },
	{ "size", "05", "pax size" },
	{ "size", "8589934591", "pax size" },
	{ "size", "8589934592", "differ" },
	{ "size", "-8589934592", "pax size" },
	{ "size", "8589934592x", "pax size" },
	{ "size", "9223372036854775807", "pax size" },
	{ "mtime", "1", "do not use" },
	{ "atime", "1", "do not use" },
	{ "uid", "0", "do not use" },
	{ "uname", "root", "do not use" },
	{ "comment", "x", "do not use" },
	{ "SCHILY.xattr.user.a", "b", "do not use" },
	{ "SCHILY.acl.access", "user::rwx", "do not use" },
	{ "SCHILY.fflags", "nodump", "do not use" },
	{ "LIBARCHIVE.xattr.user.a", "Yg", "do not use" },
	{ "LIBARCHIVE.symlinktype", "file", "do not use" },
	{ "RHT.security.selinux", "x", "do not use" },
	{ "GNU.sparse.numblocks", "1", "do not use" },
	{ "GNU.sparse.map", "0,5", "do not use" },
	{ "GNU.sparse.major", "1", "do not use" },
	{ "GNU.sparse.name", "output/b", "do not use" },
	{ "GNU.sparse.realsize", "99", "do not use" },
	{ "", "ab", "do not use" },
	{ "PATH", "output/b", "do not use" },
};

static void judges_each_record_of_a_pax_header(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
		cleanup_(buffer_done) struct buffer stream = { 0 };

		put_pax_records(&stream, records[i].key, records[i].value, NULL, NULL);
		put_header(&stream, &(struct header){ .name = "output", .body = "hello" });
		put_end(&stream);
		if (records[i].says)
			check(is_refused(&stream, records[i].says, records[i].key));
		else
			check(is_accepted(&stream));
	}
}

#define BODY(text) .body = (text), .len = sizeof(text) - 1
#define CHARSET    "21 hdrcharset=BINARY\n"

/* CU7: bodies of a pax header that are not what they should be. */
static const struct {
	const char *label;
	const char *body;
	size_t len;
	const char *says; /* NULL: accepted */
} pax_bodies[] = {
	{ "only the charset", BODY(CHARSET), NULL },
	{ "no charset", BODY("17 path=output/b\n"), "hdrcharset" },
	{ "charset not first", BODY("17 path=output/b\n" CHARSET), "hdrcharset" },
	{ "charset UTF-8", BODY("20 hdrcharset=UTF-8\n"), "hdrcharset" },
	{ "charset with a NUL", BODY("23 hdrcharset=BINARY\0x\n"), "NUL" },
	{ "path twice", BODY(CHARSET "17 path=output/b\n17 path=output/b\n"), "twice" },
	{ "NUL in a path", BODY(CHARSET "12 path=a\0b\n"), "NUL" },
	{ "NUL in a key", BODY(CHARSET "12 pa\0th=ab\n"), "NUL" },
	{ "length too short", BODY(CHARSET "9 path=ab\n"), "wrong" },
	{ "length too long", BODY(CHARSET "12 path=ab\n"), "wrong" },
	{ "length beyond the body", BODY(CHARSET "99 path=ab\n"), "wrong" },
	{ "length up to the key", BODY(CHARSET "2 path=ab\n"), "wrong" },
	{ "length 0", BODY(CHARSET "0 path=ab\n"), "wrong" },
	{ "length with a zero first", BODY(CHARSET "011 path=ab\n"), "wrong" },
	{ "length with a sign", BODY(CHARSET "+11 path=ab\n"), "wrong" },
	{ "length of 20 digits", BODY(CHARSET "99999999999999999999 path=ab\n"), "wrong" },
	{ "length with a NUL", BODY(CHARSET "12\0 path=ab\n"), "wrong" },
	{ "no length", BODY(CHARSET "path=a b\n"), "wrong" },
	{ "no length, no blank", BODY(CHARSET "path=ab\n"), "without a length" },
	{ "no value", BODY(CHARSET "9 pathab\n"), "without a value" },
	{ "no newline", BODY(CHARSET "11 path=abc"), "wrong" },
	{ "empty line", BODY(CHARSET "\n"), "without a length" },
};

static void refuses_a_pax_header_of_wrong_shape(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(pax_bodies); i++) {
		cleanup_(buffer_done) struct buffer stream = { 0 };
		const char *says = pax_bodies[i].says;

		put_pax(&stream, pax_bodies[i].body, pax_bodies[i].len);
		put_header(&stream, &(struct header){ .name = "output", .body = "hello" });
		put_end(&stream);
		if (says)
			check(is_refused(&stream, says, pax_bodies[i].label));
		else
			check(is_accepted(&stream));
	}
}

static void refuses_a_pax_header_without_its_entry(void)
{
	cleanup_(buffer_done) struct buffer ended = { 0 }, doubled = { 0 };

	put_pax_records(&ended, "path", "output", NULL, NULL);
	put_end(&ended);
	check(is_refused(&ended, "an end where an entry must stand", "pax header, then the end"));

	put_pax_records(&doubled, "path", "output", NULL, NULL);
	put_pax_records(&doubled, "path", "output", NULL, NULL);
	put_header(&doubled, &(struct header){ .name = "output" });
	put_end(&doubled);
	check(is_refused(&doubled, "two pax headers", "two pax headers"));
}

static void put_pax_of_length(struct buffer *stream, size_t len)
{
	char *name = malloc(len);

	/* "21 hdrcharset=BINARY\n" and "LLLLL path=" and "\n" stand around the value. */
	memset(name, 'a', len);
	name[len - 21 - 11 - 1] = '\0';
	put_pax_records(stream, "path", name, NULL, NULL);
	free(name);
}

static void refuses_a_pax_header_above_the_limit(void)
{
	cleanup_(buffer_done) struct buffer longest = { 0 }, longer = { 0 }, empty = { 0 };

	put_pax_of_length(&longest, TAR_PAX_MAX);
	put_header(&longest, &(struct header){ .name = "output" });
	put_end(&longest);
	check(is_accepted(&longest));

	put_pax_of_length(&longer, TAR_PAX_MAX + 1);
	check(is_refused(&longer, "too long", "16 KiB and a byte"));

	put_pax(&empty, "", 0);
	check(is_refused(&empty, "empty", "empty pax header"));
}

/* CU7: the sizes that eleven octal digits cannot hold */
static void takes_a_large_size_only_if_header_and_pax_agree(void)
{
	static const struct {
		const char *pax;
		uint64_t size;
		bool accepted;
	} sizes[] = {
		{ "8589934592", 8589934592, true },   { "68719476735", 68719476735, true },
		{ "68719476736", 68719476736, true }, { "4611686018427387904", 1ull << 62, true },
		{ "8589934592", 8589934593, false },  { "68719476736", 68719476735, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		cleanup_(buffer_done) struct buffer stream = { 0 };
		struct tar_guard guard;
		int r;

		put_pax_records(&stream, "size", sizes[i].pax, NULL, NULL);
		put_header(&stream, &(struct header){
					    .name = "output",
					    .size = sizes[i].size,
					    .size_is_wide = true,
				    });
		tar_guard_init(&guard);
		r = tar_guard_feed(&guard, stream.data, stream.len, NULL);
		check(r == (sizes[i].accepted ? 0 : -EBADMSG));
		check(r < 0 || (guard.state == TAR_BODY && guard.left == sizes[i].size));
	}
}

static void refuses_zero_blocks_in_the_wrong_place(void)
{
	static const char zeros[HEADER_LEN];
	cleanup_(buffer_done) struct buffer first = { 0 }, single = { 0 }, nothing = { 0 };

	put_end(&first);
	check(is_refused(&first, "an end where an entry must stand", "empty stream"));

	put_header(&single, &(struct header){ .name = "output" });
	buffer_add(&single, zeros, sizeof(zeros));
	put_header(&single, &(struct header){ .name = "output" });
	check(is_refused(&single, "one zero block", "one zero block"));

	check(is_refused(&nothing, "before its end mark", "nothing at all"));
}

static void refuses_padding_that_is_not_zero(void)
{
	for (size_t at = HEADER_LEN + 5; at < 2 * HEADER_LEN; at += 100) {
		cleanup_(buffer_done) struct buffer stream = { 0 };

		put_one(&stream, '0');
		stream.data[at] = 1;
		check(is_refused(&stream, "padding", "padding"));
	}
}

static void names_the_byte_that_is_wrong(void)
{
	cleanup_(buffer_done) struct buffer stream = { 0 };
	struct error err = { 0 };

	put_header(&stream, &(struct header){ .name = "output/", .type = '5' });
	put_header(&stream, &(struct header){ .name = "output/a", .type = '6' });
	check(feed(&stream, 1 << 20, &err) == -EBADMSG);
	check(strstr(err.text, "at byte 512"));
}

static const struct unit_case cases[] = {
	CASE(accepts_every_kind_of_entry_we_send),
	CASE(refuses_a_stream_that_ends_at_any_byte_before_its_end),
	CASE(refuses_bytes_after_the_end),
	CASE(refuses_each_wrong_field_of_a_header),
	CASE(judges_each_record_of_a_pax_header),
	CASE(refuses_a_pax_header_of_wrong_shape),
	CASE(refuses_a_pax_header_without_its_entry),
	CASE(refuses_a_pax_header_above_the_limit),
	CASE(takes_a_large_size_only_if_header_and_pax_agree),
	CASE(refuses_zero_blocks_in_the_wrong_place),
	CASE(refuses_padding_that_is_not_zero),
	CASE(names_the_byte_that_is_wrong),
};

TREE_MAIN(cases)
