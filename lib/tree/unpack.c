/*
 * Turns a tar stream from a stranger into a tree. The bytes pass the digest and the guard first;
 * libarchive reads the headers; names, their order, limits and all creating are done here, beneath
 * descriptors of directories that this very stream made.
 *
 * The order of the packer (depth first, children sorted bytewise) is checked with one name per
 * open directory. It leaves no way to name a thing twice, to put something below a file or a
 * symlink, or to come back to a directory that was left: such a stream is out of order.
 */
#include "unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/cleanup.h"
#include "lib/base/fd.h"
#include "lib/base/text.h"

#include "remove.h"
#include "tar-guard.h"
#include "walk.h"

enum {
	/* The directory that gets the tree, its root, and TREE_DEPTH_MAX below. */
	N_LEVELS = 1 + 1 + TREE_DEPTH_MAX,
	/* Runs of zeros are looked for in pieces that begin at multiples of this, and left out: a
	 * file with holes costs again what it holds. Smaller files are written as they are. */
	HOLE_LEN = 64 * 1024,
};

/* An open directory and the last name that was made in it. */
struct level {
	int fd;
	char last[TREE_NAME_MAX + 1];
};

struct unpacker {
	const struct tree_limits *limits;
	const struct tree_source *source;
	const struct tree_watcher *watcher;
	const char *entry_path; /* of the present entry, below the root */
	struct archive *archive;
	struct digest digest;
	struct tree_totals totals;
	struct tree_used *used;
	struct error *err;
	int source_result; /* of the call inside libarchive that failed */
	bool ended;        /* the source has said so */

	const char *root_name; /* what the entry "output" is called on disk */
	bool root_made;
	bool modes_are_exact; /* a mode given to mkdirat() or openat() arrives unchanged */

	/* levels[0].fd is borrowed; levels[i + 1] is the directory levels[i].last. */
	struct level levels[N_LEVELS];
	int n_levels;

	struct tar_guard guard;
};

/* An entry's name, cut at its slashes. */
struct place {
	int level;        /* in levels[] of the directory it goes into */
	const char *name; /* its last component, as in the stream */
	const char *disk_name;
};

static void close_levels(struct unpacker *u, int keep)
{
	while (u->n_levels > keep)
		fd_closep(&u->levels[--u->n_levels].fd);
}

static void unpacker_free(struct unpacker **u)
{
	if (!*u)
		return;
	close_levels(*u, 1);
	(void)archive_read_free((*u)->archive);
	free(*u);
}

static int malformed(struct unpacker *u, const char *what, const char *path)
{
	return error_set(u->err, BLAME_PEER, EBADMSG, "the tree stream is malformed: %s, at '%s'",
	                 what, quoted(path).text);
}

static int disk_failed(struct unpacker *u, const char *what, const char *path)
{
	return error_errno(u->err, BLAME_HOST, errno, "cannot %s '%s'", what, quoted(path).text);
}

/* The next bytes of the source, hashed and judged; 0 only at an end that is complete. */
static ssize_t pull(struct unpacker *u, const void **ret)
{
	ssize_t n = u->source->read(u->source->context, ret, u->err);
	int r;

	if (n < 0)
		return n;
	if (n == 0) {
		u->ended = true;
		return tar_guard_end(&u->guard, u->err);
	}
	digest_add(&u->digest, *ret, (size_t)n);
	u->totals.bytes += (uint64_t)n;
	r = tar_guard_feed(&u->guard, *ret, (size_t)n, u->err);
	return r < 0 ? r : n;
}

static void show(struct unpacker *u, const void *bytes, size_t len, uint64_t left)
{
	if (u->watcher && len > 0)
		u->watcher->see(u->watcher->context, u->entry_path, bytes, len, left);
}

/* libarchive's input. */
static la_ssize_t give_bytes(struct archive *archive, void *context, const void **ret)
{
	struct unpacker *u = context;
	ssize_t n = u->ended ? 0 : pull(u, ret);

	if (n >= 0)
		return n;
	u->source_result = (int)n;
	archive_set_error(archive, (int)-n, "the source failed");
	return -1;
}

/* libarchive's answer, which is never better than ARCHIVE_OK here: a warning means that it guessed
 * at something, and nothing of ours needs guessing. */
static int reader_failed(struct unpacker *u)
{
	const char *why = archive_error_string(u->archive);

	if (u->source_result < 0)
		return u->source_result;
	if (archive_errno(u->archive) == ENOMEM)
		return error_set(u->err, BLAME_HOST, ENOMEM, "no memory to read a tree stream");
	return error_set(u->err, BLAME_PEER, EBADMSG, "the tree stream is malformed: %s",
	                 why ? why : "libarchive does not say why");
}

static int unpacker_init(struct unpacker *u, int dir_fd)
{
	u->levels[0].fd = dir_fd;
	u->n_levels = 1;
	digest_init(&u->digest);
	tar_guard_init(&u->guard);
	u->archive = archive_read_new();
	if (!u->archive || archive_read_support_format_tar(u->archive) != ARCHIVE_OK)
		return error_set(u->err, BLAME_HOST, ENOMEM, "no memory to read a tree stream");
	if (archive_read_open(u->archive, u, NULL, give_bytes, NULL) != ARCHIVE_OK)
		return reader_failed(u);
	return 0;
}

static bool is_component(const char *name, size_t len)
{
	return len >= 1 && len <= TREE_NAME_MAX && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0;
}

/* Find where an entry goes; path is cut at its slashes. Directories that the order leaves behind
 * are closed. */
static int find_place(struct unpacker *u, char *path, struct place *ret)
{
	char *name = path, *slash;
	int level = 0;

	for (; (slash = strchr(name, '/')); name = slash + 1, level++) {
		*slash = '\0';
		if (!is_component(name, (size_t)(slash - name)))
			return malformed(u, "a name with a bad part", name);
		if (level + 1 >= u->n_levels || strcmp(u->levels[level].last, name) != 0)
			return malformed(u, "an entry below what is not the open directory", name);
	}
	if (!is_component(name, strlen(name)))
		return malformed(u, "a name with a bad part", name);
	if (level == 0 && strcmp(name, TREE_ROOT_NAME) != 0)
		return malformed(u, "a name outside '" TREE_ROOT_NAME "'", name);
	close_levels(u, level + 1);
	if (strcmp(name, u->levels[level].last) <= 0)
		return malformed(u, "an entry twice or out of order", name);

	*ret = (struct place){
		.level = level,
		.name = name,
		.disk_name = level == 0 ? u->root_name : name,
	};
	return 0;
}

static int count_entry(struct unpacker *u)
{
	u->totals.entries++;
	if (u->limits && u->used->entries >= u->limits->entries)
		return error_set(u->err, BLAME_PEER, E2BIG,
		                 "the tree has more than the allowed %" PRIu64 " entries",
		                 u->limits->entries);
	u->used->entries++;
	return 0;
}

static int count_bytes(struct unpacker *u, uint64_t size)
{
	char allowed[TEXT_SIZE_LEN];

	if (!u->limits)
		return 0;
	if (size > u->limits->bytes || u->used->bytes > u->limits->bytes - size)
		return error_set(u->err, BLAME_PEER, EFBIG,
		                 "the tree takes more than the allowed %s",
		                 text_size(u->limits->bytes, allowed));
	u->used->bytes += size;
	return 0;
}

/*
 * The umask, a default ACL or a set-group-id directory may have changed the mode that the root was
 * made with. All three act alike on everything below, so the root tells whether each file and
 * directory needs a call of its own to get its mode.
 */
static int learn_modes(struct unpacker *u, int root_fd)
{
	struct stat st;

	if (fstat(root_fd, &st) < 0)
		return disk_failed(u, "look at", u->root_name);
	u->modes_are_exact = (st.st_mode & 07777) == 0755;
	return 0;
}

/* Open a directory that was just made. A umask may even have taken its owner's bits; they are not
 * all that its final mode needs, so learn_modes() still sees the loss. */
static int open_made_dir(int parent_fd, const char *name)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(parent_fd, name, flags);

	if (fd >= 0 || errno != EACCES || walk_add_mode(parent_fd, name, S_IRUSR) < 0)
		return fd;
	return openat(parent_fd, name, flags);
}

static int make_dir(struct unpacker *u, const struct place *place)
{
	int parent_fd = u->levels[place->level].fd;
	int r = count_bytes(u, TREE_DIRECTORY_PRICE);
	cleanup_fd int fd = -1;

	if (r < 0)
		return r;
	if (place->level > TREE_DEPTH_MAX)
		return error_set(u->err, BLAME_PEER, ELOOP,
		                 "the tree is more than %d directories deep, at '%s'",
		                 TREE_DEPTH_MAX, quoted(place->name).text);
	if (mkdirat(parent_fd, place->disk_name, 0755) < 0)
		return disk_failed(u, "create the directory", place->disk_name);
	u->root_made = true;
	fd = open_made_dir(parent_fd, place->disk_name);
	if (fd < 0)
		return disk_failed(u, "open the directory", place->disk_name);
	if (place->level == 0)
		r = learn_modes(u, fd);
	if (r == 0 && !u->modes_are_exact && fchmod(fd, 0755) < 0)
		return disk_failed(u, "set the mode of", place->disk_name);
	if (r < 0)
		return r;
	u->levels[u->n_levels].fd = take_fd(&fd);
	u->levels[u->n_levels++].last[0] = '\0';
	return 0;
}

static int write_run(struct unpacker *u, int fd, const char *bytes, size_t len, uint64_t at,
                     const char *name)
{
	while (len > 0) {
		ssize_t n = pwrite(fd, bytes, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return disk_failed(u, "write", name);
		bytes += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

static bool is_zero(const char *bytes, size_t len)
{
	return bytes[0] == '\0' && memcmp(bytes, bytes + 1, len - 1) == 0;
}

/* Write one block of a body, leaving out pieces that are all zeros. *ret_written is where the
 * written part of the file ends. */
static int write_block(struct unpacker *u, int fd, const char *bytes, size_t len, uint64_t at,
                       const char *name, uint64_t *ret_written)
{
	size_t run = 0; /* bytes before the present piece that are still to be written */
	int r = 0;

	while (len > 0 && r == 0) {
		size_t to_edge = HOLE_LEN - (size_t)((at + run) % HOLE_LEN);
		size_t piece = to_edge < len - run ? to_edge : len - run;
		bool hole = is_zero(bytes + run, piece);

		if (!hole)
			run += piece;
		if (!hole && run < len)
			continue;
		r = write_run(u, fd, bytes, run, at, name);
		if (run > 0)
			*ret_written = at + run;
		run += hole ? piece : 0;
		bytes += run;
		at += run;
		len -= run;
		run = 0;
	}
	return r;
}

static int write_body(struct unpacker *u, int fd, uint64_t size, const char *name)
{
	uint64_t written = 0;
	const void *block;
	int64_t offset;
	size_t len;
	int r;

	while ((r = archive_read_data_block(u->archive, &block, &len, &offset)) == ARCHIVE_OK) {
		if (size < HOLE_LEN) {
			r = write_run(u, fd, block, len, (uint64_t)offset, name);
			written = (uint64_t)offset + len;
		} else {
			r = write_block(u, fd, block, len, (uint64_t)offset, name, &written);
		}
		if (r < 0)
			return r;
		show(u, block, len, size - ((uint64_t)offset + len));
	}
	if (r != ARCHIVE_EOF)
		return reader_failed(u);
	if (written < size && ftruncate(fd, (off_t)size) < 0)
		return disk_failed(u, "set the size of", name);
	return 0;
}

static int make_file(struct unpacker *u, const struct place *place, struct archive_entry *entry)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	mode_t mode = archive_entry_perm(entry) & S_IXUSR ? 0755 : 0644;
	uint64_t size = (uint64_t)archive_entry_size(entry);
	cleanup_fd int fd = -1;
	int r = count_bytes(u, size);

	if (r < 0)
		return r;
	fd = openat(u->levels[place->level].fd, place->disk_name, flags, mode);
	if (fd < 0)
		return disk_failed(u, "create", place->disk_name);
	u->root_made = true;
	if (!u->modes_are_exact && fchmod(fd, mode) < 0)
		return disk_failed(u, "set the mode of", place->disk_name);
	return write_body(u, fd, size, place->disk_name);
}

static int make_symlink(struct unpacker *u, const struct place *place, struct archive_entry *entry)
{
	const char *target = archive_entry_symlink(entry);
	int r;

	if (!target || target[0] == '\0' || strlen(target) > TREE_TARGET_MAX)
		return malformed(u, "a symlink whose target is empty or too long", place->name);
	r = count_bytes(u, strlen(target));
	if (r < 0)
		return r;
	if (symlinkat(target, u->levels[place->level].fd, place->disk_name) < 0)
		return disk_failed(u, "create the symlink", place->disk_name);
	u->root_made = true;
	show(u, target, strlen(target), 0);
	return 0;
}

/*
 * Make place another name of the file that target names. The target is looked up below the root
 * of this tree, one component after the other and never through a symlink; nothing but this stream
 * has made what is there.
 */
static int link_to(struct unpacker *u, const struct place *place, char *target)
{
	cleanup_fd int fd = -1;
	int dir_fd = u->levels[1].fd;
	char *name = target, *slash;
	struct stat st;

	while ((slash = strchr(name, '/'))) {
		int next_fd;

		*slash = '\0';
		if (!is_component(name, (size_t)(slash - name)))
			return malformed(u, "a link to a name with a bad part", place->name);
		next_fd = openat(dir_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		fd_closep(&fd);
		if (next_fd < 0)
			return malformed(u, "a link to what is not there", place->name);
		fd = dir_fd = next_fd;
		name = slash + 1;
	}
	if (!is_component(name, strlen(name)))
		return malformed(u, "a link to a name with a bad part", place->name);
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return malformed(u, "a link to what is not a file of this tree", place->name);
	if (linkat(dir_fd, name, u->levels[place->level].fd, place->name, 0) < 0)
		return disk_failed(u, "create the link", place->name);
	return 0;
}

static int make_link(struct unpacker *u, const struct place *place, struct archive_entry *entry)
{
	const size_t root_len = strlen(TREE_ROOT_NAME "/");
	const char *target = archive_entry_hardlink(entry);
	char below[TREE_PATH_MAX + 1];
	size_t len = strlen(target);

	/* A link cannot be the root: there is nothing yet that it could be a name of. */
	if (place->level == 0 || len > TREE_PATH_MAX ||
	    strncmp(target, TREE_ROOT_NAME "/", root_len) != 0)
		return malformed(u, "a link to a name outside '" TREE_ROOT_NAME "'", place->name);
	memcpy(below, target + root_len, len + 1 - root_len);
	return link_to(u, place, below);
}

static int make_entry(struct unpacker *u, const struct place *place, struct archive_entry *entry)
{
	if (archive_entry_hardlink(entry))
		return make_link(u, place, entry);
	switch (archive_entry_filetype(entry)) {
	case AE_IFDIR:
		return make_dir(u, place);
	case AE_IFREG:
		return make_file(u, place, entry);
	case AE_IFLNK:
		return make_symlink(u, place, entry);
	default:
		/* The guard lets no other kind pass. */
		return malformed(u, "an entry of a strange kind", place->name);
	}
}

static int take_entry(struct unpacker *u, struct archive_entry *entry)
{
	const char *name = archive_entry_pathname(entry);
	size_t len = name ? strlen(name) : 0;
	char path[TREE_PATH_MAX + 1];
	struct place place = { 0 };
	int r;

	/* The guard has seen that exactly the directories end in a slash. */
	if (len > 0 && archive_entry_filetype(entry) == AE_IFDIR)
		len--;
	if (len == 0 || len > TREE_PATH_MAX)
		return malformed(u, "a name that is empty or too long", name ? name : "");
	memcpy(path, name, len);
	path[len] = '\0';
	u->entry_path = strchr(name, '/') ? strchr(name, '/') + 1 : "";

	r = count_entry(u);
	if (r == 0)
		r = find_place(u, path, &place);
	if (r == 0)
		r = make_entry(u, &place, entry);
	if (r < 0)
		return r;
	memcpy(u->levels[place.level].last, place.name, strlen(place.name) + 1);
	return 0;
}

static int unpack_all(struct unpacker *u)
{
	struct archive_entry *entry;
	const void *bytes;
	ssize_t n;
	int r;

	while ((r = archive_read_next_header(u->archive, &entry)) == ARCHIVE_OK) {
		r = take_entry(u, entry);
		if (r < 0)
			return r;
	}
	if (r != ARCHIVE_EOF || u->source_result < 0)
		return reader_failed(u);

	/* libarchive stops at the end mark. Only the source's own end shows that no byte follows,
	 * and the guard that the mark was whole. */
	for (n = 1; n > 0 && !u->ended;)
		n = pull(u, &bytes);
	return (int)n < 0 ? (int)n : 0;
}

int tree_unpack(int dir_fd, const char *name, const struct tree_limits *limits,
                struct tree_used *used, const struct tree_source *source, struct tree_totals *ret,
                struct error *err)
{
	return tree_unpack_watched(dir_fd, name, limits, used, source, NULL, ret, err);
}

int tree_unpack_watched(int dir_fd, const char *name, const struct tree_limits *limits,
                        struct tree_used *used, const struct tree_source *source,
                        const struct tree_watcher *watcher, struct tree_totals *ret,
                        struct error *err)
{
	struct tree_used own = { 0 };
	cleanup_(unpacker_free) struct unpacker *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory to read a tree stream");
	u->limits = limits;
	u->used = used ?: &own;
	u->source = source;
	u->watcher = watcher;
	u->err = err;
	u->root_name = name;

	r = unpacker_init(u, dir_fd);
	if (r == 0)
		r = unpack_all(u);
	if (r < 0) {
		close_levels(u, 1);
		/* The first failure is what the caller hears. */
		if (u->root_made)
			(void)tree_remove(dir_fd, name, NULL);
		return r;
	}
	digest_final(&u->digest, u->totals.sha256);
	*ret = u->totals;
	return 0;
}
