/*
 * Walks a finished tree by descriptors and writes it as tar. The headers are libarchive's; bodies
 * are read straight into the chunk that the sink gets, so a byte is copied once on its way.
 *
 * Two of libarchive's writers share the stream: plain ustar for what fits (raw bytes in names
 * included), pax for long names and sizes. Neither adds what is not in the tree: no times, no
 * process ids, no names of owners. The order is depth first, the children of a directory sorted
 * bytewise; unpack.c relies on it.
 */
#include "pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buffer.h"
#include "lib/base/cleanup.h"
#include "lib/base/fd.h"
#include "lib/base/text.h"

#include "links.h"
#include "walk.h"

enum {
	DIRENT_BUFFER_LEN = 64 * 1024,
	FILL_MAX = 64 * 1024 * 1024, /* see send_body() */
	HEADER_COST_MAX = 4 * 512,   /* of an entry, but for its name: headers, padding */
};

struct packer {
	const struct tree_limits *limits;
	const struct tree_sink *sink;
	const struct tree_eye *eye;       /* alone: of tree_look(), then nothing is written */
	const struct tree_choice *choice; /* NULL: everything */
	bool as_it_is;                    /* no mode is changed to read it */
	struct archive *ustar;
	struct archive *pax;
	struct archive_entry *entry;
	uint64_t mount; /* that the tree is in */
	struct links links;
	struct tree_used *used;
	char *dirents;

	struct digest digest;
	struct tree_totals totals;
	char *chunk; /* TREE_CHUNK_MAX bytes and one, see send_piece() */
	size_t chunk_len;

	char path[TREE_PATH_MAX + 1];
	size_t path_len;
	size_t root_len;      /* of the root's name in path */
	const char *shown_as; /* the root's name in sentences */
	struct error *err;
	int sink_result; /* what the sink said when it failed */
	bool in_body;    /* a header was written, and its body is not complete */
	bool closed;     /* the stream is complete, or nobody wants it any more */
};

/* The names in one directory, each behind the byte that says its type. */
struct listing {
	struct buffer text;
	char **names;
	size_t n_names;
};

static void listing_done(struct listing *listing)
{
	buffer_done(&listing->text);
	free(listing->names);
}

static void packer_done(struct packer *p)
{
	/* Freeing closes, and closing writes an end mark: that one is not for the sink. */
	p->closed = true;
	(void)archive_write_free(p->ustar);
	(void)archive_write_free(p->pax);
	archive_entry_free(p->entry);
	links_done(&p->links);
	free(p->dirents);
	free(p->chunk);
}

/* p->path for an error: under the name by which people know the tree. */
static struct quoted shown(const struct packer *p)
{
	char path[2 * TREE_PATH_MAX + 1];

	(void)snprintf(path, sizeof(path), "%s%s", p->shown_as, p->path + p->root_len);
	return quoted(path);
}

/* What the file system said about p->path. */
static int fail(struct packer *p, int code, const char *what)
{
	return error_errno(p->err, BLAME_HOST, code, "cannot %s '%s'", what, shown(p).text);
}

static int no_memory(struct packer *p)
{
	return error_set(p->err, BLAME_HOST, ENOMEM, "no memory to pack '%s'", shown(p).text);
}

static int flush(struct packer *p)
{
	int r;

	digest_add(&p->digest, p->chunk, p->chunk_len);
	p->totals.bytes += p->chunk_len;
	r = p->sink->write(p->sink->context, p->chunk, p->chunk_len, p->err);
	p->chunk_len = 0;
	return r;
}

/*
 * libarchive's output. The bytes of a body stand at the end of the chunk already. A sink that
 * failed is not libarchive's business: it loses memory when it hears of failures, so it gets to
 * write into nothing, and writer_result() tells us.
 */
static la_ssize_t take_bytes(struct archive *archive, void *context, const void *bytes, size_t len)
{
	struct packer *p = context;
	const char *from = bytes;
	size_t left = len;

	(void)archive;
	while (left > 0 && !p->closed && p->sink_result == 0) {
		char *at = p->chunk + p->chunk_len;
		size_t room = TREE_CHUNK_MAX - p->chunk_len, n = left < room ? left : room;

		if (from != at)
			memmove(at, from, n);
		from += n;
		left -= n;
		p->chunk_len += n;
		if (p->chunk_len == TREE_CHUNK_MAX)
			p->sink_result = flush(p);
	}
	return (la_ssize_t)len;
}

static struct archive *writer_new(int (*set_format)(struct archive *))
{
	struct archive *writer = archive_write_new();

	/* Blocks of length 0: libarchive keeps nothing back and pads nothing at the end. */
	if (!writer || set_format(writer) != ARCHIVE_OK ||
	    archive_write_set_bytes_per_block(writer, 0) != ARCHIVE_OK) {
		(void)archive_write_free(writer);
		return NULL;
	}
	return writer;
}

static int writers_init(struct packer *p)
{
	p->entry = archive_entry_new();
	p->ustar = writer_new(archive_write_set_format_ustar);
	p->pax = writer_new(archive_write_set_format_pax_restricted);
	if (!p->entry || !p->ustar || !p->pax)
		return no_memory(p);

	/* Names are bytes. By default libarchive would take them for text of the locale. */
	if (archive_write_set_options(p->pax, "hdrcharset=BINARY") != ARCHIVE_OK ||
	    archive_write_open(p->ustar, p, NULL, take_bytes, NULL) != ARCHIVE_OK ||
	    archive_write_open(p->pax, p, NULL, take_bytes, NULL) != ARCHIVE_OK)
		return error_set(p->err, BLAME_HOST, EIO, "cannot set up libarchive: %s",
		                 archive_error_string(p->pax));
	digest_init(&p->digest);
	return 0;
}

static int packer_init(struct packer *p)
{
	p->shown_as = "";
	/* One spare byte: see send_piece(). */
	p->chunk = malloc(TREE_CHUNK_MAX + 1);
	p->dirents = malloc(DIRENT_BUFFER_LEN);
	if (!p->chunk || !p->dirents)
		return no_memory(p);
	return p->eye && !p->choice ? 0 : writers_init(p);
}

/* What a call of libarchive came to; good is its own opinion. */
static int writer_result(struct packer *p, struct archive *writer, bool good)
{
	const char *why = archive_error_string(writer);

	if (p->sink_result < 0 || good)
		return p->sink_result;
	return error_set(p->err, BLAME_HOST, EIO, "cannot write the stream at '%s': %s",
	                 shown(p).text, why ? why : "libarchive does not say why");
}

/* Write the header that p->entry holds, completed with what all have in common; says which writer
 * took it and wants the body. */
static int send_header(struct packer *p, mode_t type, mode_t mode, struct archive **ret_writer)
{
	struct archive *writer = p->ustar;
	int r;

	archive_entry_copy_pathname(p->entry, p->path);
	archive_entry_set_filetype(p->entry, type);
	archive_entry_set_perm(p->entry, mode);
	archive_entry_set_mtime(p->entry, 1, 0);

	r = archive_write_header(writer, p->entry);
	if (r == ARCHIVE_FAILED) {
		/* A name or size does not fit into plain ustar. */
		writer = p->pax;
		r = archive_write_header(writer, p->entry);
	}
	p->totals.entries++;
	*ret_writer = writer;
	return writer_result(p, writer, r == ARCHIVE_OK);
}

static int send_entry(struct packer *p, mode_t type, mode_t mode)
{
	struct archive *writer;

	return send_header(p, type, mode, &writer);
}

/*
 * Read one piece of a file to the end of the chunk and pass it on. The last piece is asked for
 * with one byte more than the file should have, so that growth is seen without another call.
 */
static int send_piece(struct packer *p, struct archive *writer, int fd, uint64_t at, uint64_t left,
                      size_t *ret_len)
{
	size_t room = TREE_CHUNK_MAX - p->chunk_len;
	char *to = p->chunk + p->chunk_len;
	ssize_t n;

	*ret_len = 0;
	do
		n = pread(fd, to, left <= room ? (size_t)left + 1 : room, (off_t)at);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return fail(p, errno, "read");
	if ((uint64_t)n > left || (n == 0 && left > 0))
		return error_set(p->err, BLAME_BUILD, EBUSY, "'%s' changed while it was packed",
		                 shown(p).text);
	*ret_len = (size_t)n;
	return n == 0 ? 0
	              : writer_result(p, writer, archive_write_data(writer, to, (size_t)n) == n);
}

static int send_zeros(struct packer *p, struct archive *writer, uint64_t len)
{
	while (len > 0) {
		size_t room = TREE_CHUNK_MAX - p->chunk_len;
		size_t n = len < room ? (size_t)len : room;
		char *to = p->chunk + p->chunk_len;
		int r;

		memset(to, 0, n);
		r = writer_result(p, writer, archive_write_data(writer, to, n) == (la_ssize_t)n);
		if (r < 0)
			return r;
		len -= n;
	}
	return 0;
}

/* The hole that begins at at, or 0; *ret_next is where data ends and this must be asked again. */
static uint64_t find_hole(int fd, uint64_t at, uint64_t size, uint64_t *ret_next)
{
	off_t data = lseek(fd, (off_t)at, SEEK_DATA), hole;

	*ret_next = size;
	if (data < 0)
		return errno == ENXIO ? size - at : 0;
	if ((uint64_t)data > at)
		return ((uint64_t)data < size ? (uint64_t)data : size) - at;
	hole = lseek(fd, (off_t)at, SEEK_HOLE);
	if (hole > data)
		*ret_next = (uint64_t)hole;
	return 0;
}

static int send_body(struct packer *p, struct archive *writer, int fd, const struct statx *st)
{
	uint64_t size = st->stx_size, at = 0, ask_at;
	size_t n = 0;
	int r;

	/* Only a file with fewer blocks than its size can have holes worth looking for. */
	ask_at = st->stx_blocks < size / 512 ? 0 : size;
	do {
		uint64_t hole = at >= ask_at && at < size ? find_hole(fd, at, size, &ask_at) : 0;

		if (hole > 0) {
			r = send_zeros(p, writer, hole);
			at += hole;
			ask_at = at;
		} else {
			r = send_piece(p, writer, fd, at, size - at, &n);
			at += n;
		}
	} while (r == 0 && at < size);

	if (r == 0)
		return writer_result(p, writer, archive_write_finish_entry(writer) == ARCHIVE_OK);
	/* Freeing the writer would go through the rest of the body, into nothing. Telling it of the
	 * failure prevents that, but then it forgets to free some bytes. */
	if (size - at > FILL_MAX)
		(void)archive_write_fail(writer);
	return r;
}

/* --- what an eye is shown in place of the stream, or of a choice before it is sent --- */

static bool only_looks(const struct packer *p)
{
	return p->eye && !p->choice;
}

static int show_name(struct packer *p)
{
	if (!p->eye)
		return 0;
	return p->eye->see(p->eye->context, TREE_PART_NAME, p->path, true, p->path, p->path_len,
	                   p->err);
}

static int show_target(struct packer *p, const char *target, size_t len)
{
	return p->eye->see(p->eye->context, TREE_PART_TARGET, p->path, true, target, len, p->err);
}

/* Holes too, as the zeros that they are sent as. */
static int show_body(struct packer *p, int fd)
{
	uint64_t at = 0;

	if (p->chunk_len > 0)
		p->sink_result = flush(p);
	if (p->sink_result < 0)
		return p->sink_result;
	for (;;) {
		ssize_t n = pread(fd, p->chunk, TREE_CHUNK_MAX, (off_t)at);
		int r;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? fail(p, errno, "read") : 0;
		r = p->eye->see(p->eye->context, TREE_PART_BODY, p->path, at == 0, p->chunk,
		                (size_t)n, p->err);
		if (r < 0)
			return r;
		at += (uint64_t)n;
	}
}

/* A choice is limited by the length of its stream, and so by the headers too. */
static uint64_t header_cost(const struct packer *p)
{
	return p->choice ? HEADER_COST_MAX + 2 * p->path_len : 0;
}

static int count_bytes(struct packer *p, uint64_t size)
{
	char allowed[TEXT_SIZE_LEN];

	size += header_cost(p);
	if (!p->limits)
		return 0;
	if (size > p->limits->bytes || p->used->bytes > p->limits->bytes - size)
		return error_set(p->err, BLAME_BUILD, EFBIG,
		                 "the files hold more than the allowed %s; '%s' is the one too "
		                 "many",
		                 text_size(p->limits->bytes, allowed), shown(p).text);
	p->used->bytes += size;
	return 0;
}

/* An errno of walk_open_file() or walk_open_dir() as a sentence. */
static int open_failed(struct packer *p, int code)
{
	if (code == EXDEV)
		return error_set(p->err, BLAME_BUILD, EXDEV, "'%s' is on another mount",
		                 shown(p).text);
	if (code == EINVAL || code == ENOTDIR || code == ELOOP || code == ENOENT)
		return error_set(p->err, BLAME_BUILD, EBUSY, "'%s' changed while it was packed",
		                 shown(p).text);
	return fail(p, code, "open");
}

static int pack_file(struct packer *p, int dir_fd, const char *name)
{
	cleanup_fd int fd = -1;
	const char *first_name = NULL;
	struct archive *writer;
	struct file_id id;
	struct statx st;
	mode_t mode;
	int r = walk_open_file(dir_fd, name, p->mount, p->as_it_is ? 0 : S_IRUSR, &fd, &st);

	if (r < 0)
		return open_failed(p, -r);
	mode = st.stx_mode & S_IXUSR ? 0755 : 0644;
	id = file_id(&st);
	/* What is chosen is short enough to be sent under each of its names. */
	if (st.stx_nlink > 1 && !p->choice && links_find(&p->links, &id, p->path, &first_name) < 0)
		return no_memory(p);

	if (only_looks(p) && first_name)
		return 0;
	archive_entry_clear(p->entry);
	if (first_name) {
		archive_entry_copy_hardlink(p->entry, first_name);
		return send_entry(p, AE_IFREG, mode);
	}
	r = count_bytes(p, st.stx_size);
	if (r == 0 && p->eye)
		r = show_body(p, fd);
	if (r < 0 || only_looks(p))
		return r;
	archive_entry_set_size(p->entry, (la_int64_t)st.stx_size);
	r = send_header(p, AE_IFREG, mode, &writer);
	if (r < 0)
		return r;
	p->in_body = true;
	r = send_body(p, writer, fd, &st);
	p->in_body = r < 0;
	return r;
}

static int pack_symlink(struct packer *p, int dir_fd, const char *name)
{
	char target[TREE_TARGET_MAX + 2];
	ssize_t n = readlinkat(dir_fd, name, target, sizeof(target) - 1);
	int r = 0;

	if (n < 0)
		return errno == EINVAL ? open_failed(p, EINVAL) : fail(p, errno, "read");
	if (n > TREE_TARGET_MAX)
		return error_set(p->err, BLAME_BUILD, ENAMETOOLONG,
		                 "the target of the symlink '%s' is longer than %d bytes",
		                 shown(p).text, TREE_TARGET_MAX);
	target[n] = '\0';
	if (p->choice)
		r = count_bytes(p, 2 * (uint64_t)n);
	if (r == 0 && p->eye)
		r = show_target(p, target, (size_t)n);
	if (r < 0 || only_looks(p))
		return r;
	archive_entry_clear(p->entry);
	archive_entry_copy_symlink(p->entry, target);
	return send_entry(p, AE_IFLNK, 0777);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_self_or_parent(const char *name)
{
	return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

static int count_entry(struct packer *p)
{
	if (p->limits && p->used->entries >= p->limits->entries)
		return error_set(p->err, BLAME_BUILD, E2BIG,
		                 "there are more than the allowed %" PRIu64
		                 " files and directories; '%s' holds the one too many",
		                 p->limits->entries, shown(p).text);
	p->used->entries++;
	return 0;
}

/* Collect type and name of everything in the directory; counting before keeping bounds the
 * memory by the limit of entries. */
static int read_names(struct packer *p, int fd, struct listing *listing)
{
	for (;;) {
		ssize_t len = walk_read_entries(fd, p->dirents, DIRENT_BUFFER_LEN);
		struct dirent *d;

		if (len <= 0)
			return len < 0 ? fail(p, errno, "list") : 0;
		for (ssize_t i = 0; i < len; i += d->d_reclen) {
			int r;

			d = (struct dirent *)(void *)(p->dirents + i);
			if (is_self_or_parent(d->d_name))
				continue;
			r = count_entry(p);
			if (r < 0)
				return r;
			if (buffer_add(&listing->text, &d->d_type, 1) < 0 ||
			    buffer_add(&listing->text, d->d_name, strlen(d->d_name) + 1) < 0)
				return no_memory(p);
			listing->n_names++;
		}
	}
}

static int list_sorted(struct packer *p, int fd, struct listing *listing)
{
	int r = read_names(p, fd, listing);
	char *at = listing->text.data;

	if (r < 0 || listing->n_names == 0)
		return r;
	listing->names = calloc(listing->n_names, sizeof(*listing->names));
	if (!listing->names)
		return no_memory(p);
	for (size_t i = 0; i < listing->n_names; i++) {
		listing->names[i] = at + 1;
		at += strlen(at + 1) + 2;
	}
	qsort(listing->names, listing->n_names, sizeof(*listing->names), compare_names);
	return 0;
}

static int pack_one(struct packer *p, int dir_fd, const char *name, unsigned char type, int depth);

static bool is_chosen(const struct packer *p)
{
	const char *below = p->path + p->root_len;

	return !p->choice || p->choice->wants(p->choice->context, below + (*below == '/'));
}

/* Of a choice only what breaks the stream ends it. */
static int overlook(const struct packer *p, int r)
{
	if (r == 0 || !p->choice || p->sink_result < 0 || p->in_body || r == -ENOMEM)
		return r;
	*p->err = (struct error){ 0 };
	return 0;
}

static int pack_child(struct packer *p, int fd, const char *name, int depth)
{
	size_t base_len = p->path_len, len = strlen(name);
	int r;

	if (base_len + 1 + len > TREE_PATH_MAX || len > TREE_NAME_MAX)
		return error_set(p->err, BLAME_BUILD, ENAMETOOLONG,
		                 "a name in '%s' is too long: with its directories it has "
		                 "more than %d bytes",
		                 shown(p).text, TREE_PATH_MAX);
	p->path[base_len] = '/';
	memcpy(p->path + base_len + 1, name, len + 1);
	p->path_len = base_len + 1 + len;
	r = pack_one(p, fd, name, (unsigned char)name[-1], depth);
	p->path_len = base_len;
	p->path[base_len] = '\0';
	return r;
}

static int pack_children(struct packer *p, int fd, int depth)
{
	cleanup_(listing_done) struct listing listing = { 0 };
	int r = list_sorted(p, fd, &listing);

	for (size_t i = 0; r == 0 && i < listing.n_names; i++)
		r = overlook(p, pack_child(p, fd, listing.names[i], depth));
	return r;
}

static int pack_dir(struct packer *p, int dir_fd, const char *name, int depth)
{
	cleanup_fd int fd = -1;
	struct statx st;
	int r;

	if (depth > TREE_DEPTH_MAX)
		return error_set(p->err, BLAME_BUILD, ELOOP,
		                 "'%s' is more than %d directories deep", shown(p).text,
		                 TREE_DEPTH_MAX);
	r = walk_open_dir(dir_fd, name, p->mount, p->as_it_is ? 0 : S_IRUSR | S_IXUSR, &fd, &st);
	if (r < 0)
		return open_failed(p, -r);
	if (!p->eye && !p->choice) {
		archive_entry_clear(p->entry);
		r = send_entry(p, AE_IFDIR, 0755);
	}
	return r < 0 ? r : pack_children(p, fd, depth + 1);
}

/* What is neither file nor directory nor symlink is named, not opened: opening could block or
 * start something. */
static int refuse_special(struct packer *p, unsigned char type)
{
	const char *kind = type == DT_FIFO   ? "fifo"
	                   : type == DT_SOCK ? "socket"
	                   : type == DT_BLK  ? "block device"
	                   : type == DT_CHR  ? "character device or whiteout"
	                                     : "special file";

	return error_set(p->err, BLAME_BUILD, EINVAL, "'%s' is a %s and cannot be sent",
	                 shown(p).text, kind);
}

/* Below here runs the only recursion: pack_one, pack_dir, pack_children; at most TREE_DEPTH_MAX
 * deep. depth is that of the entry itself. */
static int pack_one(struct packer *p, int dir_fd, const char *name, unsigned char type, int depth)
{
	struct stat st;
	int r = show_name(p);

	if (r < 0)
		return r;
	if (type == DT_UNKNOWN) {
		if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return open_failed(p, errno);
		type = IFTODT(st.st_mode);
	}
	if (type != DT_DIR && !is_chosen(p))
		return 0;
	switch (type) {
	case DT_DIR:
		return pack_dir(p, dir_fd, name, depth);
	case DT_REG:
		return pack_file(p, dir_fd, name);
	case DT_LNK:
		return pack_symlink(p, dir_fd, name);
	default:
		return refuse_special(p, type);
	}
}

/* The mount that the tree is in: that of what holds it, or, where it is taken as it is, its own. */
static int find_mount(const struct packer *p, const struct tree_root *root, uint64_t *ret)
{
	const int flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
	cleanup_fd int own_fd = p->as_it_is ? openat(root->dir_fd, root->name, flags) : -1;
	struct statx st;
	int r = walk_stat(own_fd >= 0 ? own_fd : root->dir_fd, &st);

	if (r == 0)
		*ret = walk_mount_of(&st);
	return r;
}

static int pack_root(struct packer *p, const struct tree_root *root, const char *stream_name)
{
	struct stat st;
	int r = find_mount(p, root, &p->mount);

	assert(strlen(root->as) <= TREE_NAME_MAX);
	p->shown_as = root->as;
	p->path_len = p->root_len = strlen(stream_name);
	memcpy(p->path, stream_name, p->path_len + 1);
	if (r < 0)
		return fail(p, -r, "look at the directory that holds");
	if (fstatat(root->dir_fd, root->name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno == ENOENT)
			return error_set(p->err, BLAME_BUILD, ENOENT, "there is nothing at '%s'",
			                 quoted(root->name).text);
		return fail(p, errno, "look at");
	}
	r = count_entry(p);
	return r < 0 ? r : pack_one(p, root->dir_fd, root->name, IFTODT(st.st_mode), 0);
}

/* The end mark, once. */
static int finish(struct packer *p)
{
	int r = writer_result(p, p->ustar, archive_write_close(p->ustar) == ARCHIVE_OK);

	if (r == 0 && p->chunk_len > 0)
		r = flush(p);
	return r;
}

static int pack_whole(struct packer *p, const struct tree_root *root, struct tree_totals *ret)
{
	int r = packer_init(p);

	if (r == 0)
		r = pack_root(p, root, TREE_ROOT_NAME);
	if (r == 0)
		r = finish(p);
	if (r < 0)
		return r;
	digest_final(&p->digest, p->totals.sha256);
	*ret = p->totals;
	return 0;
}

int tree_pack(const struct tree_root *root, const struct tree_limits *limits,
              struct tree_used *used, const struct tree_sink *sink, struct tree_totals *ret,
              struct error *err)
{
	struct tree_used own = { 0 };
	cleanup_(packer_done) struct packer p = {
		.limits = limits, .used = used ?: &own, .sink = sink, .err = err
	};

	return pack_whole(&p, root, ret);
}

int tree_pack_as_it_is(const struct tree_root *root, const struct tree_limits *limits,
                       const struct tree_sink *sink, struct tree_totals *ret, struct error *err)
{
	struct tree_used own = { 0 };
	cleanup_(packer_done) struct packer p = {
		.limits = limits, .used = &own, .sink = sink, .err = err, .as_it_is = true
	};

	return pack_whole(&p, root, ret);
}

int tree_look(const struct tree_root *root, const struct tree_limits *limits,
              struct tree_used *used, const struct tree_eye *eye, struct error *err)
{
	struct tree_used own = { 0 };
	cleanup_(packer_done) struct packer p = {
		.limits = limits, .used = used ?: &own, .eye = eye, .err = err
	};
	int r = packer_init(&p);

	return r < 0 ? r : pack_root(&p, root, TREE_ROOT_NAME);
}

int tree_pack_chosen(const struct tree_root *roots, size_t n_roots,
                     const struct tree_choice *choice, const struct tree_limits *limits,
                     const struct tree_sink *sink, struct error *err)
{
	struct error ignored = { 0 };
	struct tree_used used = { 0 };
	cleanup_(packer_done) struct packer p = { .limits = limits,
		                                  .used = &used,
		                                  .sink = sink,
		                                  .eye = choice->eye,
		                                  .choice = choice,
		                                  .err = err ?: &ignored };
	int r = packer_init(&p);

	if (r == 0)
		r = count_bytes(&p, 0); /* the end mark */
	for (size_t i = 0; r == 0 && i < n_roots; i++)
		if (roots[i].dir_fd >= 0)
			r = overlook(&p, pack_root(&p, &roots[i], roots[i].as));
	return r < 0 ? r : finish(&p);
}
