/* Streams made by hand, good ones and bad ones, and what they leave on disk. */
#include "unpack.h"

#include <signal.h>
#include <sys/resource.h>

#include "test-tree.h"

enum { ENTRIES_MAX = 8 };

/* Whatever a refused stream did must be gone, and its error must say who is to blame. */
static bool leaves_nothing(int r, int expected, const struct error *err, const char *label)
{
	bool gone = !exists_at("out");

	if (r == expected && gone && err->code == -r && err->text[0] != '\0')
		return true;
	printf("%s: %d instead of %d, %s left: %s\n", label, r, expected,
	       gone ? "nothing" : "something", err->text);
	(void)tree_remove(scratch_fd, "out", NULL);
	return false;
}

static void put_entries(struct buffer *stream, const struct header *entries)
{
	for (size_t i = 0; i < ENTRIES_MAX && entries[i].name; i++)
		put_header(stream, &entries[i]);
	put_end(stream);
}

#define DIR_(n)                          \
	{                                \
		.name = (n), .type = '5' \
	}
#define FILE_(n)                            \
	{                                   \
		.name = (n), .body = "text" \
	}
#define SYM_(n, to)                                    \
	{                                              \
		.name = (n), .type = '2', .link = (to) \
	}
#define LINK_(n, t)                                   \
	{                                             \
		.name = (n), .type = '1', .link = (t) \
	}
/* Each of them is well-formed tar. */
static const struct {
	const char *label;
	struct header entries[ENTRIES_MAX];
} refused[] = {
	/* CU1 */
	{ "absolute name", { FILE_("/etc/x") } },
	{ "absolute name below", { DIR_("output/"), FILE_("/output/x") } },
	{ "parent", { FILE_("../x") } },
	{ "parent of the root", { DIR_("output/"), FILE_("output/../x") } },
	{ "parent of a directory",
	  { DIR_("output/"), DIR_("output/a/"), FILE_("output/a/../../../x") } },
	{ "parent as a directory", { DIR_("output/"), DIR_("output/../") } },
	{ "parent alone", { DIR_("../") } },
	{ "empty name", { FILE_("") } },
	{ "a slash", { DIR_("/") } },
	{ "dot", { DIR_("./") } },
	{ "dot before", { DIR_("./output/") } },
	{ "dot inside", { DIR_("output/"), FILE_("output/./x") } },
	{ "dot at the end", { DIR_("output/"), DIR_("output/./") } },
	{ "two slashes", { DIR_("output/"), FILE_("output//x") } },
	{ "two slashes at the end", { DIR_("output//") } },
	{ "another root", { DIR_("outpuu/") } },
	{ "no root", { FILE_("output/x") } },
	{ "two roots", { DIR_("output/"), DIR_("output2/") } },
	{ "a root after the root", { FILE_("output"), FILE_("output.x") } },
	{ "a root before the root", { DIR_("output/"), FILE_("a") } },
	/* CU2 */
	{ "through a symlink",
	  { DIR_("output/"), SYM_("output/a", "../elsewhere"), FILE_("output/a/x") } },
	{ "symlink, then a directory",
	  { DIR_("output/"), SYM_("output/a", "../elsewhere"), DIR_("output/a/"),
	    FILE_("output/a/x") } },
	{ "directory, then a symlink",
	  { DIR_("output/"), DIR_("output/a/"), SYM_("output/a", "../elsewhere"),
	    FILE_("output/a/x") } },
	{ "symlink, then a file",
	  { DIR_("output/"), SYM_("output/a", "../elsewhere/x"), FILE_("output/a") } },
	{ "symlink as the root", { SYM_("output", "../elsewhere"), FILE_("output/x") } },
	{ "symlink as the root, twice", { SYM_("output", "../elsewhere"), DIR_("output/") } },
	{ "symlink without a target", { DIR_("output/"), SYM_("output/a", "") } },
	/* CU3 */
	{ "link to an absolute name", { DIR_("output/"), LINK_("output/a", "/etc/passwd") } },
	{ "link to the parent", { DIR_("output/"), LINK_("output/a", "../x") } },
	{ "link through the parent", { DIR_("output/"), LINK_("output/a", "output/../outside") } },
	{ "link to what is outside", { DIR_("output/"), LINK_("output/a", "outside") } },
	{ "link to an empty name", { DIR_("output/"), LINK_("output/a", "") } },
	{ "link to the root", { DIR_("output/"), LINK_("output/a", "output/") } },
	{ "link to the root", { DIR_("output/"), LINK_("output/a", "output") } },
	{ "link to a directory",
	  { DIR_("output/"), DIR_("output/a/"), LINK_("output/b", "output/a") } },
	{ "link to a directory",
	  { DIR_("output/"), DIR_("output/a/"), LINK_("output/b", "output/a/") } },
	{ "link to a symlink",
	  { DIR_("output/"), SYM_("output/a", "/etc/passwd"), LINK_("output/b", "output/a") } },
	{ "link through a symlink",
	  { DIR_("output/"), SYM_("output/a", "/etc"), LINK_("output/b", "output/a/passwd") } },
	{ "link through a symlink to here",
	  { DIR_("output/"), FILE_("output/a"), SYM_("output/b", "."),
	    LINK_("output/c", "output/b/a") } },
	{ "link through a file",
	  { DIR_("output/"), FILE_("output/a"), LINK_("output/b", "output/a/x") } },
	{ "link with a dot",
	  { DIR_("output/"), FILE_("output/a"), LINK_("output/b", "output/./a") } },
	{ "link with two slashes",
	  { DIR_("output/"), FILE_("output/a"), LINK_("output/b", "output//a") } },
	{ "link to what comes later",
	  { DIR_("output/"), LINK_("output/a", "output/b"), FILE_("output/b") } },
	{ "link to itself", { DIR_("output/"), LINK_("output/a", "output/a") } },
	{ "link as the root", { LINK_("output", "outside") } },
	{ "link as the root to itself", { LINK_("output", "output") } },
	/* CU5 */
	{ "file twice", { DIR_("output/"), FILE_("output/a"), FILE_("output/a") } },
	{ "directory twice", { DIR_("output/"), DIR_("output/a/"), DIR_("output/a/") } },
	{ "root twice", { DIR_("output/"), DIR_("output/") } },
	{ "unsorted", { DIR_("output/"), FILE_("output/b"), FILE_("output/a") } },
	{ "unsorted by byte", { DIR_("output/"), FILE_("output/\377"), FILE_("output/a") } },
	{ "longer before shorter", { DIR_("output/"), FILE_("output/ab"), FILE_("output/a") } },
	{ "file, then below it", { DIR_("output/"), FILE_("output/a"), FILE_("output/a/b") } },
	{ "below what is missing", { DIR_("output/"), FILE_("output/a/b") } },
	{ "below another directory", { DIR_("output/"), DIR_("output/a/"), FILE_("output/b/x") } },
	{ "back to a directory that was left",
	  { DIR_("output/"), DIR_("output/a/"), FILE_("output/b"), FILE_("output/a/x") } },
	{ "file as a directory of the past",
	  { DIR_("output/"), DIR_("output/a/"), FILE_("output/b"), FILE_("output/b/x") } },
};

static void refuses_each_stream_that_leads_elsewhere(void)
{
	make_file_at("outside", "x", 1, 0644);
	make_dir_at("elsewhere");
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		cleanup_(buffer_done) struct buffer stream = { 0 };
		struct error err = { 0 };
		int r;

		put_entries(&stream, refused[i].entries);
		r = unpack_tree("out", &stream, &err);
		check(leaves_nothing(r, -EBADMSG, &err, refused[i].label));
		check(err.blame == BLAME_PEER);
	}
	check(exists_at("outside") && !exists_at("x") && !exists_at("elsewhere/x"));
}

static void creates_files_directories_symlinks_and_links(void)
{
	static const struct header entries[ENTRIES_MAX] = {
		DIR_("output/"),
		{ .name = "output/a", .body = "run me", .mode = 0755 },
		DIR_("output/b/"),
		FILE_("output/b/c"),
		SYM_("output/b/d", "../../nowhere"),
		LINK_("output/b/e", "output/a"),
		LINK_("output/f", "output/b/c"),
	};
	cleanup_(buffer_done) struct buffer stream = { 0 }, text = { 0 };
	struct error err = { 0 };

	put_entries(&stream, entries);
	check(unpack_tree("out", &stream, &err) == 0);
	describe(&text, scratch_fd, "out", 07777);
	check(strstr(text.data, "(a) 100000 755 links 2 size 6"));
	check(strstr(text.data, "(b) 40000 755\n"));
	check(strstr(text.data, "(c) 100000 644 links 2 size 4"));
	check(strstr(text.data, "(d) 120000 -> ../../nowhere"));
	check(strstr(text.data, "(e) 100000 755 links 2 size 6"));
	check(strstr(text.data, "(f) 100000 644 links 2 size 4"));
}

/* CU5: names that differ in case only are two names, unless the file system says otherwise */
static void keeps_names_that_differ_in_case_only(void)
{
	static const struct header entries[ENTRIES_MAX] = {
		DIR_("output/"),
		FILE_("output/A"),
		FILE_("output/a"),
	};
	cleanup_(buffer_done) struct buffer stream = { 0 };

	put_entries(&stream, entries);
	check(unpack_tree("out", &stream, NULL) == 0);
	check(exists_at("out/A") && exists_at("out/a"));
}

static void takes_a_file_or_a_symlink_as_the_whole_tree(void)
{
	static const struct header file[ENTRIES_MAX] = { FILE_("output") };
	static const struct header symlink[ENTRIES_MAX] = { SYM_("output", "/etc/shadow") };
	cleanup_(buffer_done) struct buffer a = { 0 }, b = { 0 };
	struct stat st;

	put_entries(&a, file);
	check(unpack_tree("file", &a, NULL) == 0);
	check(fstatat(scratch_fd, "file", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode));
	check((st.st_mode & 07777) == 0644 && st.st_size == 4);

	put_entries(&b, symlink);
	check(unpack_tree("symlink", &b, NULL) == 0);
	check(fstatat(scratch_fd, "symlink", &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode));
}

static void put_sample(struct buffer *stream)
{
	static const struct header entries[ENTRIES_MAX] = {
		DIR_("output/"),     FILE_("output/a"),       DIR_("output/b/"),
		FILE_("output/b/c"), SYM_("output/b/d", "e"), LINK_("output/b/f", "output/a"),
	};

	for (size_t i = 0; i < ENTRIES_MAX && entries[i].name; i++)
		put_header(stream, &entries[i]);
	put_pax_records(stream, "path", "output/\xff long", NULL, NULL);
	put_header(stream, &(struct header){ .name = "x", .body = "some text" });
	put_pax_records(stream, "path", "output/\xff symlink", "linkpath", "to\xff");
	put_header(stream, &(struct header){ .name = "x", .type = '2', .link = "y" });
	put_end(stream);
}

/* CU7, CU9: the digest of the end record belongs to the bytes, not to the pieces they come in */
static void gives_one_result_for_any_cutting_into_pieces(void)
{
	const size_t chunks[] = { 1, 3, 511, 512, 513, 1024, 4096, TREE_CHUNK_MAX };
	cleanup_(buffer_done) struct buffer stream = { 0 };
	char hex[DIGEST_HEX_LEN + 1];
	struct tree_totals totals;
	struct digest digest;

	put_sample(&stream);
	digest_init(&digest);
	digest_add(&digest, stream.data, stream.len);
	digest_final(&digest, hex);
	check(unpack_tree("whole", &stream, NULL) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(chunks); i++) {
		check(unpack_bytes("out", NULL, stream.data, stream.len, chunks[i], &totals,
		                   NULL) == 0);
		check(totals.entries == 8 && totals.bytes == stream.len);
		check(strcmp(totals.sha256, hex) == 0);
		check(same_tree("whole", "out", 07777));
		check(tree_remove(scratch_fd, "out", NULL) == 0);
	}
}

/* CU7, CU9 */
static void refuses_a_stream_cut_at_any_byte_and_leaves_nothing(void)
{
	cleanup_(buffer_done) struct buffer stream = { 0 };
	struct tree_totals totals;

	put_header(&stream, &(struct header){ .name = "output/", .type = '5' });
	put_header(&stream, &(struct header){ .name = "output/a", .body = "text" });
	put_pax_records(&stream, "linkpath", "to\xff", NULL, NULL);
	put_header(&stream, &(struct header){ .name = "output/b", .type = '2', .link = "y" });
	put_end(&stream);
	for (size_t len = 0; len < stream.len; len++) {
		struct error err = { 0 };
		int r = unpack_bytes("out", NULL, stream.data, len, TREE_CHUNK_MAX, &totals, &err);

		check(leaves_nothing(r, -EBADMSG, &err, "cut"));
		/* In small pieces, so that much of it is on disk when the end comes. */
		r = unpack_bytes("out", NULL, stream.data, len, 512, &totals, &err);
		check(leaves_nothing(r, -EBADMSG, &err, "cut, in pieces"));
	}
}

/* CU7 */
static void refuses_bytes_after_the_end_and_leaves_nothing(void)
{
	cleanup_(buffer_done) struct buffer stream = { 0 };
	struct tree_totals totals;

	put_sample(&stream);
	buffer_add(&stream, "\0", 1);
	for (size_t chunk = 512; chunk < 4096; chunk += 512) {
		struct error err = { 0 };
		int r = unpack_bytes("out", NULL, stream.data, stream.len, chunk, &totals, &err);

		check(leaves_nothing(r, -EBADMSG, &err, "a byte after the end"));
	}
}

/* CU7: no flipped bit of a header is overlooked, unless it changes nothing; names and targets are
 * what the checksum alone protects, so they are resealed too, and may then be good names. */
static void sees_every_flipped_bit_of_a_header(void)
{
	static const struct header entries[ENTRIES_MAX] = {
		DIR_("output/"),
		FILE_("output/m"),
		SYM_("output/n", "o"),
	};
	cleanup_(buffer_done) struct buffer stream = { 0 };
	int n_accepted = 0;

	put_entries(&stream, entries);
	check(unpack_tree("whole", &stream, NULL) == 0);
	for (size_t at = 0; at < stream.len; at++) {
		struct error err = { 0 };

		/* The body, whose change the digest of the end record shows. */
		if (at >= 2 * HEADER_LEN && at < 2 * HEADER_LEN + strlen("text"))
			continue;
		stream.data[at] ^= 1 << at % 8;
		if (unpack_tree("out", &stream, &err) == 0) {
			n_accepted++;
			check(same_tree("whole", "out", 07777));
			check(tree_remove(scratch_fd, "out", NULL) == 0);
		}
		check(!exists_at("out"));
		stream.data[at] ^= 1 << at % 8;
	}
	/* A checksum field may end in a NUL or a space. */
	check(n_accepted < 10);
}

/* CU8 */
static void refuses_what_is_above_each_limit(void)
{
	static const struct header entries[ENTRIES_MAX] = {
		DIR_("output/"),
		FILE_("output/a"),
		FILE_("output/b"),
		LINK_("output/c", "output/a"),
		SYM_("output/d", "0123456789"),
		DIR_("output/e/"),
	};
	/* Two directories, twice four bytes, a target of ten; another name of a file is free. */
	enum { PRICE = 2 * TREE_DIRECTORY_PRICE + 2 * 4 + 10 };
	static const struct {
		struct tree_limits limits;
		int result;
	} rows[] = {
		{ { PRICE, 6 }, 0 },
		{ { PRICE - 1, 6 }, -EFBIG },
		{ { PRICE, 5 }, -E2BIG },
		{ { 2 * TREE_DIRECTORY_PRICE + 2 * 4, 6 }, -EFBIG },
		{ { TREE_DIRECTORY_PRICE - 1, 6 }, -EFBIG },
		{ { 0, 6 }, -EFBIG },
		{ { PRICE, 0 }, -E2BIG },
		{ { UINT64_MAX, UINT64_MAX }, 0 },
	};
	cleanup_(buffer_done) struct buffer stream = { 0 };

	put_entries(&stream, entries);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct error err = { 0 };
		struct tree_totals totals;
		int r = unpack_bytes("out", &rows[i].limits, stream.data, stream.len, 512, &totals,
		                     &err);

		if (rows[i].result < 0) {
			check(leaves_nothing(r, rows[i].result, &err, "limit"));
			check(err.blame == BLAME_PEER);
		} else {
			check(r == 0 && tree_remove(scratch_fd, "out", NULL) == 0);
		}
	}
}

/* CU8: the header is enough, its body is not waited for */
static void refuses_a_large_file_before_reading_it(void)
{
	const struct tree_limits limits = { .bytes = 1 << 30, .entries = 10 };
	cleanup_(buffer_done) struct buffer stream = { 0 };
	struct tree_totals totals;
	struct error err = { 0 };

	put_pax_records(&stream, "size", "8796093022208", NULL, NULL);
	put_header(&stream, &(struct header){
				    .name = "output",
				    .size = 8796093022208,
				    .size_is_wide = true,
			    });
	check(unpack_bytes("out", &limits, stream.data, stream.len, 512, &totals, &err) == -EFBIG);
	check(!exists_at("out"));
}

/* A chain of depth directories below the root, and a file in the last. */
static void put_chain(struct buffer *stream, int depth)
{
	cleanup_(buffer_done) struct buffer path = { 0 };

	for (int i = 0; i <= depth; i++) {
		buffer_printf(&path, i == 0 ? TREE_ROOT_NAME "/" : "d/");
		put_pax_records(stream, "path", path.data, NULL, NULL);
		put_header(stream, &(struct header){ .name = "x/", .type = '5' });
	}
	buffer_printf(&path, "file");
	put_pax_records(stream, "path", path.data, NULL, NULL);
	put_header(stream, &(struct header){ .name = "x", .body = "deep" });
	put_end(stream);
}

/* CU8 */
static void takes_64_directories_below_the_root_and_no_more(void)
{
	cleanup_(buffer_done) struct buffer fits = { 0 }, deeper = { 0 };
	struct error err = { 0 };

	put_chain(&fits, TREE_DEPTH_MAX);
	check(unpack_tree("out", &fits, &err) == 0);
	check(tree_remove(scratch_fd, "out", NULL) == 0);

	put_chain(&deeper, TREE_DEPTH_MAX + 1);
	check(leaves_nothing(unpack_tree("out", &deeper, &err), -ELOOP, &err, "65 deep"));
}

static int unpack_one_name(const char *name, struct error *err)
{
	cleanup_(buffer_done) struct buffer stream = { 0 };

	put_header(&stream, &(struct header){ .name = "output/", .type = '5' });
	put_pax_records(&stream, "path", name, NULL, NULL);
	put_header(&stream, &(struct header){ .name = "x", .body = "text" });
	put_end(&stream);
	return unpack_tree("out", &stream, err);
}

/* CU1, CU8 */
static void takes_names_of_255_bytes_and_no_longer(void)
{
	char name[7 + 257] = "output/";
	struct error err = { 0 };

	memset(name + 7, 'n', 255);
	check(unpack_one_name(name, &err) == 0);
	check(exists_at("out") && tree_remove(scratch_fd, "out", NULL) == 0);
	name[7 + 255] = 'n';
	check(leaves_nothing(unpack_one_name(name, &err), -EBADMSG, &err, "256 bytes"));
}

/* A tree of directories with long names whose last file has a path of len bytes. */
static void put_long_path(struct buffer *stream, size_t len)
{
	char path[TREE_PATH_MAX + 256] = "output/", part[201];
	size_t at = 7;

	memset(part, 'p', 200);
	part[200] = '\0';
	put_header(stream, &(struct header){ .name = "output/", .type = '5' });
	while (len - at > 255) {
		at += (size_t)snprintf(path + at, sizeof(path) - at, "%s/", part);
		put_pax_records(stream, "path", path, NULL, NULL);
		put_header(stream, &(struct header){ .name = "x/", .type = '5' });
	}
	memset(path + at, 'f', len - at);
	path[len] = '\0';
	put_pax_records(stream, "path", path, NULL, NULL);
	put_header(stream, &(struct header){ .name = "x", .body = "text" });
	put_end(stream);
}

/* CU8 */
static void takes_paths_of_4095_bytes_and_no_longer(void)
{
	cleanup_(buffer_done) struct buffer fits = { 0 }, longer = { 0 };
	struct error err = { 0 };

	put_long_path(&fits, TREE_PATH_MAX);
	check(unpack_tree("out", &fits, &err) == 0);
	check(tree_remove(scratch_fd, "out", NULL) == 0);
	put_long_path(&longer, TREE_PATH_MAX + 1);
	check(leaves_nothing(unpack_tree("out", &longer, &err), -EBADMSG, &err, "4096 bytes"));
}

static void takes_targets_of_4095_bytes_and_no_longer(void)
{
	char target[TREE_TARGET_MAX + 2], found[TREE_TARGET_MAX + 1];

	memset(target, 't', sizeof(target));
	for (size_t len = TREE_TARGET_MAX; len <= TREE_TARGET_MAX + 1; len++) {
		cleanup_(buffer_done) struct buffer stream = { 0 };
		struct error err = { 0 };
		int r;

		target[len] = '\0';
		put_pax_records(&stream, "linkpath", target, NULL, NULL);
		put_header(&stream, &(struct header){ .name = "output", .type = '2', .link = "x" });
		put_end(&stream);
		target[len] = 't';
		r = unpack_tree("out", &stream, &err);
		if (len > TREE_TARGET_MAX) {
			check(leaves_nothing(r, -EBADMSG, &err, "4096 bytes"));
			continue;
		}
		check(r == 0);
		check(readlinkat(scratch_fd, "out", found, sizeof(found)) == TREE_TARGET_MAX);
		check(unlinkat(scratch_fd, "out", 0) == 0);
	}
}

/* CU10 */
static void touches_nothing_that_is_there_already(void)
{
	static const struct header kinds[][ENTRIES_MAX] = {
		{ DIR_("output/"), FILE_("output/a") },
		{ FILE_("output") },
		{ SYM_("output", "x") },
	};

	make_file_at("target", "precious", 8, 0600);
	make_file_at("file", "precious", 8, 0600);
	make_dir_at("dir");
	make_file_at("dir/file", "precious", 8, 0600);
	check(symlinkat("dir", scratch_fd, "symlink") == 0);
	check(symlinkat("nowhere", scratch_fd, "dangling") == 0);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		const char *const names[] = { "file", "dir", "symlink", "dangling" };
		cleanup_(buffer_done) struct buffer stream = { 0 };

		put_entries(&stream, kinds[i]);
		for (size_t k = 0; k < ARRAY_SIZE(names); k++) {
			struct error err = { 0 };

			check(unpack_tree(names[k], &stream, &err) == -EEXIST);
			check(err.blame == BLAME_HOST && exists_at(names[k]));
		}
	}
	check(same_tree("file", "target", 07777) && exists_at("dir/file"));
	check(!exists_at("dir/a") && !exists_at("nowhere"));
}

static void has_exact_modes(void)
{
	const mode_t umasks[] = { 0, 022, 077, 0777, 0111, 0700 };

	for (size_t i = 0; i < ARRAY_SIZE(umasks); i++) {
		static const struct header entries[ENTRIES_MAX] = {
			DIR_("output/"),
			{ .name = "output/a", .body = "x", .mode = 0755 },
			DIR_("output/b/"),
			FILE_("output/b/c"),
		};
		static const struct header file[ENTRIES_MAX] = { FILE_("output") };
		cleanup_(buffer_done) struct buffer stream = { 0 }, single = { 0 }, text = { 0 };
		struct error err = { 0 };
		mode_t before = umask(umasks[i]);
		struct stat st;

		put_entries(&stream, entries);
		put_entries(&single, file);
		check(unpack_tree("out", &stream, &err) == 0);
		check(unpack_tree("single", &single, &err) == 0);
		umask(before);
		describe(&text, scratch_fd, "out", 07777);
		check(strncmp(text.data, "40000 755\n", 10) == 0);
		check(strstr(text.data, "(a) 100000 755 "));
		check(strstr(text.data, "(b) 40000 755\n"));
		check(strstr(text.data, "(c) 100000 644 "));
		check(fstatat(scratch_fd, "single", &st, 0) == 0 && (st.st_mode & 07777) == 0644);
		check(tree_remove_children(scratch_fd, NULL) == 0);
	}
}

/* CU6, CU10 */
static void sets_exact_modes_whatever_the_umask(void)
{
	run_as_ordinary_user(has_exact_modes);
	has_exact_modes();
}

static void has_no_setgid_bit(void)
{
	static const struct header entries[ENTRIES_MAX] = { DIR_("output/"), DIR_("output/a/") };
	cleanup_(buffer_done) struct buffer stream = { 0 }, text = { 0 };

	put_entries(&stream, entries);
	check(fchmod(scratch_fd, 02700) == 0);
	check(unpack_tree("out", &stream, NULL) == 0);
	describe(&text, scratch_fd, "out", 07777);
	check(strcmp(text.data, "40000 755\n(a) 40000 755\nend\nend\n") == 0);
	check(fchmod(scratch_fd, 0700) == 0);
}

static void inherits_no_setgid_bit(void)
{
	run_as_ordinary_user(has_no_setgid_bit);
}

/* A file with a hole costs what it holds, wherever the pieces are cut. */
static void leaves_holes_where_there_are_zeros(void)
{
	enum { SIZE = 8 * 1024 * 1024 };
	const size_t chunks[] = { 65536, 100000, TREE_CHUNK_MAX };
	cleanup_free char *body = calloc(1, SIZE + 1);
	cleanup_(buffer_done) struct buffer stream = { 0 };
	struct tree_totals totals;

	put_header(&stream, &(struct header){ .name = "output", .size = SIZE });
	body[3 * 1024 * 1024] = 'x';
	body[SIZE / 2 + 77] = 'y';
	buffer_add(&stream, body, SIZE);
	put_end(&stream);
	make_file_at("whole", body, SIZE, 0644);
	for (size_t i = 0; i < ARRAY_SIZE(chunks); i++) {
		struct stat st;

		check(unpack_bytes("out", NULL, stream.data, stream.len, chunks[i], &totals,
		                   NULL) == 0);
		check(same_tree("whole", "out", 07777));
		check(fstatat(scratch_fd, "out", &st, 0) == 0);
		check(st.st_size == SIZE && st.st_blocks < SIZE / 8 / 512);
		check(tree_remove(scratch_fd, "out", NULL) == 0);
	}
}

static void writes_data_beside_holes_exactly(void)
{
	const size_t sizes[] = { 65535, 65536, 65537, 131072, 200000, 1048576 + 3 };
	const size_t chunks[] = { 1000, 65536, 65537, TREE_CHUNK_MAX };
	unsigned seed = 1;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		cleanup_free char *body = calloc(1, sizes[i] + 1);
		cleanup_(buffer_done) struct buffer stream = { 0 };
		struct tree_totals totals;

		/* Pieces of zeros and of text, in turn. */
		for (size_t at = 0; at < sizes[i]; at += 1 + (size_t)rand_r(&seed) % 90000)
			if (rand_r(&seed) % 2)
				memset(body + at, 'a', sizes[i] - at < 3000 ? sizes[i] - at : 3000);
		put_header(&stream, &(struct header){ .name = "output", .size = sizes[i] });
		buffer_add(&stream, body, sizes[i]);
		put_padding(&stream);
		put_end(&stream);
		make_file_at("whole", body, sizes[i], 0644);
		for (size_t k = 0; k < ARRAY_SIZE(chunks); k++) {
			check(unpack_bytes("out", NULL, stream.data, stream.len, chunks[k], &totals,
			                   NULL) == 0);
			check(same_tree("whole", "out", 07777));
			check(tree_remove(scratch_fd, "out", NULL) == 0);
		}
		check(unlinkat(scratch_fd, "whole", 0) == 0);
	}
}

static void passes_on_what_the_source_says(void)
{
	cleanup_(buffer_done) struct buffer stream = { 0 };

	put_sample(&stream);
	for (int i = 0; i < (int)(stream.len / 512); i++) {
		static struct memory_source source;
		struct tree_source reader = { .read = read_memory, .context = &source };
		struct error err = { 0 };
		struct tree_totals totals;
		int r;

		source.bytes = stream.data;
		source.left = stream.len;
		source.chunk = 512;
		source.fail_after = i;
		r = tree_unpack(scratch_fd, "out", NULL, NULL, &reader, &totals, &err);
		check(leaves_nothing(r, -EIO, &err, "broken source"));
		check(strcmp(err.text, "the source broke") == 0);
	}
}

/* What was shown, as "PATH:bytes+left;" */
static char seen[1 << 16];

static void note(void *context, const char *path, const void *bytes, size_t len, uint64_t left)
{
	size_t at = strlen(seen);

	(void)context;
	(void)snprintf(seen + at, sizeof(seen) - at, "%s:%.*s+%llu;", path, (int)len,
	               (const char *)bytes, (unsigned long long)left);
}

static void shows_files_and_targets_to_a_watcher(void)
{
	static struct memory_source source;
	const struct tree_source reader = { .read = read_memory, .context = &source };
	const struct tree_watcher watcher = { .see = note };
	cleanup_(buffer_done) struct buffer stream = { 0 };
	struct error err = { 0 };
	struct tree_totals totals;
	char body[701], want[2048];

	memset(body, 'b', sizeof(body) - 1);
	body[sizeof(body) - 1] = '\0';
	put_header(&stream, &(struct header){ .name = "output/", .type = '5' });
	put_header(&stream, &(struct header){ .name = "output/a", .body = "small" });
	put_header(&stream, &(struct header){ .name = "output/b", .body = "" });
	put_header(&stream, &(struct header){ .name = "output/d/", .type = '5' });
	put_header(&stream, &(struct header){ .name = "output/d/c", .body = body });
	put_header(&stream, &(struct header){ .name = "output/d/l", .type = '2', .link = "to" });
	put_end(&stream);
	source = (struct memory_source){
		.bytes = stream.data, .left = stream.len, .chunk = 512, .fail_after = -1
	};
	seen[0] = '\0';
	check(tree_unpack_watched(scratch_fd, "out", NULL, NULL, &reader, &watcher, &totals,
	                          &err) == 0);
	(void)snprintf(want, sizeof(want), "a:small+0;d/c:%.512s+188;d/c:%.188s+0;d/l:to+0;", body,
	               body);
	check(strcmp(seen, want) == 0);
	check(tree_remove(scratch_fd, "out", &err) == 0);
}

static void fails_to_write(void)
{
	const struct rlimit small = { 1000, 1000 };
	cleanup_(buffer_done) struct buffer stream = { 0 };
	struct error err = { 0 };
	char body[5000];

	memset(body, 'b', sizeof(body) - 1);
	body[sizeof(body) - 1] = '\0';
	put_header(&stream, &(struct header){ .name = "output/", .type = '5' });
	put_header(&stream, &(struct header){ .name = "output/a", .body = "small" });
	put_header(&stream, &(struct header){ .name = "output/b", .body = body });
	put_end(&stream);
	check(signal(SIGXFSZ, SIG_IGN) != SIG_ERR && setrlimit(RLIMIT_FSIZE, &small) == 0);
	check(leaves_nothing(unpack_tree("out", &stream, &err), -EFBIG, &err, "disk limit"));
	check(err.blame == BLAME_HOST);
}

/* The limit stays with the process: so in a child, as root or not. */
static void removes_everything_if_the_disk_is_full(void)
{
	unit_in_child(fails_to_write);
}

static void keeps_no_descriptor(void)
{
	cleanup_(buffer_done) struct buffer stream = { 0 };
	int before = count_fds();

	put_sample(&stream);
	check(unpack_tree("out", &stream, NULL) == 0);
	stream.len -= 512;
	check(unpack_tree("other", &stream, NULL) == -EBADMSG);
	check(count_fds() == before);
}

static const struct unit_case cases[] = {
	CASE(creates_files_directories_symlinks_and_links),
	CASE(takes_a_file_or_a_symlink_as_the_whole_tree),
	CASE(keeps_names_that_differ_in_case_only),
	CASE(refuses_each_stream_that_leads_elsewhere),
	CASE(gives_one_result_for_any_cutting_into_pieces),
	CASE(refuses_a_stream_cut_at_any_byte_and_leaves_nothing),
	CASE(refuses_bytes_after_the_end_and_leaves_nothing),
	CASE(sees_every_flipped_bit_of_a_header),
	CASE(refuses_what_is_above_each_limit),
	CASE(refuses_a_large_file_before_reading_it),
	CASE(takes_64_directories_below_the_root_and_no_more),
	CASE(takes_names_of_255_bytes_and_no_longer),
	CASE(takes_paths_of_4095_bytes_and_no_longer),
	CASE(takes_targets_of_4095_bytes_and_no_longer),
	CASE(touches_nothing_that_is_there_already),
	CASE(sets_exact_modes_whatever_the_umask),
	CASE_IF(inherits_no_setgid_bit, cannot_set_ids),
	CASE(leaves_holes_where_there_are_zeros),
	CASE(writes_data_beside_holes_exactly),
	CASE(passes_on_what_the_source_says),
	CASE(shows_files_and_targets_to_a_watcher),
	CASE(removes_everything_if_the_disk_is_full),
	CASE(keeps_no_descriptor),
};

TREE_MAIN(cases)
