/*
 * What the tests of this folder share: a scratch directory, trees in memory and on disk, a writer
 * of tar headers that is as wrong as a test wants, and cases that need something of the machine.
 */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/buffer.h"
#include "lib/base/cleanup.h"
#include "lib/base/digest.h"
#include "lib/base/fd.h"
#include "tests/unit.h"

#include "pack.h"
#include "remove.h"
#include "unpack.h"

/* ---- a scratch directory ---- */

static int scratch_fd = -1;
static char scratch_path[256];

/* In memory where that is offered: a thousand small trees are not worth a disk's time. */
static inline void scratch_open(void)
{
	const char *tmp = getenv("TMPDIR");

	if (!tmp)
		tmp = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(scratch_path, sizeof(scratch_path), "%s/tree-test-XXXXXX", tmp);
	if (!mkdtemp(scratch_path)) {
		perror(scratch_path);
		exit(EXIT_FAILURE);
	}
	scratch_fd = open(scratch_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static inline int tree_cases_run(const struct unit_case *cases, size_t n_cases)
{
	bool failed = false;

	umask(022);
	scratch_open();
	for (size_t i = 0; i < n_cases; i++) {
		failed |= unit_run(&cases[i], 1) != EXIT_SUCCESS;
		if (tree_remove_children(scratch_fd, NULL) < 0)
			printf("the scratch directory %s cannot be emptied\n", scratch_path);
	}
	rmdir(scratch_path);
	close(scratch_fd);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#define TREE_MAIN(cases)                                         \
	int main(void)                                           \
	{                                                        \
		return tree_cases_run(cases, ARRAY_SIZE(cases)); \
	}

static void (*ordinary_body)(void);

static inline void become_ordinary_user(void)
{
	check(setgid(65534) == 0 && setuid(65534) == 0);
	ordinary_body();
}

/* Run a case's body as somebody who is not root: root's rights hide what modes do. */
static inline void run_as_ordinary_user(void (*body)(void))
{
	if (geteuid() != 0) {
		body();
		return;
	}
	ordinary_body = body;
	check(fchown(scratch_fd, 65534, 65534) == 0);
	unit_in_child(become_ordinary_user);
	check(fchown(scratch_fd, 0, 0) == 0);
}

/* ---- mounts: for unit_in_child(), because the namespace is the process's ---- */

static inline bool enter_mount_namespace(void)
{
	return unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) == 0 &&
	       mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* What was opened before still shows the mounts of the namespace outside. */
static inline void reopen_scratch(void)
{
	scratch_fd = open(scratch_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Whether a child that does this ends well. */
static inline bool child_can(bool (*body)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(body() ? EXIT_SUCCESS : EXIT_FAILURE);
	return waitpid(pid, &status, 0) == pid && status == 0;
}

static inline const char *cannot_mount(void)
{
	return child_can(enter_mount_namespace) ? NULL : "neither root nor user namespaces";
}

/* ---- making things on disk; paths are relative to the scratch directory ---- */

static inline void make_dir_at(const char *path)
{
	check(mkdirat(scratch_fd, path, 0755) == 0);
}

static inline void make_file_at(const char *path, const void *bytes, size_t len, mode_t mode)
{
	cleanup_fd int fd = openat(scratch_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

	check(fd >= 0 && fd_write_full(fd, bytes, len) == 0 && fchmod(fd, mode) == 0);
}

/* Why modes that change who runs a program cannot be tested, or NULL: Nix' sandbox refuses them. */
static inline const char *cannot_set_ids(void)
{
	cleanup_fd int fd = memfd_create("mode", MFD_CLOEXEC);

	check(fd >= 0);
	return fchmod(fd, 02600) == 0 ? NULL : "no setgid bit can be set here";
}

static inline bool exists_at(const char *path)
{
	struct stat st;

	return fstatat(scratch_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static inline int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	if (!dir)
		return -1;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* ---- describing a tree: equal texts mean equal trees ---- */

static inline void describe_file(struct buffer *text, int dir_fd, const char *name)
{
	cleanup_fd int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	char bytes[16384], hex[DIGEST_HEX_LEN + 1];
	struct digest digest;
	ssize_t n;

	digest_init(&digest);
	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		digest_add(&digest, bytes, (size_t)n);
	digest_final(&digest, hex);
	buffer_printf(text, " %s", hex);
}

static inline int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* mode_mask 07777 describes modes as they are, 0100 only who may execute */
static inline void describe(struct buffer *text, int dir_fd, const char *name, mode_t mode_mask)
{
	char target[TREE_TARGET_MAX + 1] = "";
	struct dirent **list;
	char path[32];
	struct stat st;
	int n;

	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		buffer_printf(text, "missing\n");
		return;
	}
	buffer_printf(text, "%o", (unsigned)(st.st_mode & S_IFMT));
	if (S_ISLNK(st.st_mode)) {
		check(readlinkat(dir_fd, name, target, sizeof(target)) >= 0);
		buffer_printf(text, " -> %s\n", target);
		return;
	}
	buffer_printf(text, " %o", (unsigned)(st.st_mode & mode_mask));
	if (S_ISREG(st.st_mode)) {
		buffer_printf(text, " links %u size %llu", (unsigned)st.st_nlink,
		              (unsigned long long)st.st_size);
		describe_file(text, dir_fd, name);
	}
	buffer_printf(text, "\n");
	if (!S_ISDIR(st.st_mode))
		return;

	cleanup_fd int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = scandir(path, &list, NULL, by_name);
	check(n >= 0);
	for (int i = 0; i < n; i++) {
		if (strcmp(list[i]->d_name, ".") != 0 && strcmp(list[i]->d_name, "..") != 0) {
			buffer_printf(text, "(%s) ", list[i]->d_name);
			describe(text, fd, list[i]->d_name, mode_mask);
		}
		free(list[i]);
	}
	if (n >= 0)
		free(list);
	buffer_printf(text, "end\n");
}

static inline bool same_tree(const char *a, const char *b, mode_t mode_mask)
{
	cleanup_(buffer_done) struct buffer x = { 0 }, y = { 0 };

	describe(&x, scratch_fd, a, mode_mask);
	describe(&y, scratch_fd, b, mode_mask);
	if (x.len == y.len && memcmp(x.data, y.data, x.len) == 0)
		return true;
	printf("--- %s\n%.2000s--- %s\n%.2000s", a, x.data, b, y.data);
	return false;
}

/* ---- packing to and unpacking from memory ---- */

static inline int add_to_buffer(void *context, const void *bytes, size_t len, struct error *err)
{
	struct buffer *stream = context;

	check(len > 0 && len <= TREE_CHUNK_MAX);
	return buffer_add(stream, bytes, len);
}

static inline int pack_tree(const char *name, const struct tree_limits *limits,
                            struct buffer *stream, struct tree_totals *totals, struct error *err)
{
	const struct tree_root root = { scratch_fd, name, "out" };
	struct tree_sink sink = { .write = add_to_buffer, .context = stream };

	return tree_pack(&root, limits, NULL, &sink, totals, err);
}

static inline int pack_as_it_is(int dir_fd, const char *name, struct buffer *stream,
                                struct error *err)
{
	const struct tree_root root = { dir_fd, name, "out" };
	const struct tree_sink sink = { .write = add_to_buffer, .context = stream };
	struct tree_totals totals;

	return tree_pack_as_it_is(&root, NULL, &sink, &totals, err);
}

struct memory_source {
	const char *bytes;
	size_t left;
	size_t chunk;   /* longest piece handed out */
	int fail_after; /* pieces, then -EIO; -1 never */
	size_t taken;
	char piece[TREE_CHUNK_MAX];
};

static inline ssize_t read_memory(void *context, const void **ret, struct error *err)
{
	struct memory_source *source = context;
	size_t n = source->left < source->chunk ? source->left : source->chunk;

	if (source->fail_after == 0)
		return error_set(err, BLAME_HOST, EIO, "the source broke");
	if (source->fail_after > 0)
		source->fail_after--;
	/* Overwritten each time: what is kept beyond the next call would be seen. */
	memset(source->piece, 0xee, sizeof(source->piece) < 4096 ? sizeof(source->piece) : 4096);
	memcpy(source->piece, source->bytes, n);
	source->bytes += n;
	source->left -= n;
	source->taken += n;
	*ret = source->piece;
	return (ssize_t)n;
}

static inline int unpack_bytes(const char *name, const struct tree_limits *limits,
                               const void *bytes, size_t len, size_t chunk,
                               struct tree_totals *totals, struct error *err)
{
	static struct memory_source source;
	struct tree_source reader = { .read = read_memory, .context = &source };

	source.bytes = bytes;
	source.left = len;
	source.chunk = chunk;
	source.fail_after = -1;
	source.taken = 0;
	return tree_unpack(scratch_fd, name, limits, NULL, &reader, totals, err);
}

static inline int unpack_tree(const char *name, const struct buffer *stream, struct error *err)
{
	struct tree_totals totals;

	return unpack_bytes(name, NULL, stream->data, stream->len, TREE_CHUNK_MAX, &totals, err);
}

/* ---- writing tar by hand ---- */

struct header {
	const char *name;
	char type;         /* default '0' */
	const char *link;  /* target of '1' and '2' */
	const char *body;  /* of '0', a string */
	unsigned mode;     /* default: as tree_pack() has it */
	uint64_t size;     /* default: of the body */
	bool size_is_wide; /* twelve octal digits, or binary */
};

enum { HEADER_LEN = 512 };

static inline void put_octal(char *field, int n_digits, uint64_t value)
{
	for (int i = n_digits - 1; i >= 0; i--, value >>= 3)
		field[i] = (char)('0' + (value & 7));
}

/* Give a header the checksum it needs. */
static inline void seal(char *h)
{
	unsigned sum = 0;

	memset(h + 148, ' ', 8);
	for (size_t i = 0; i < HEADER_LEN; i++)
		sum += (unsigned char)h[i];
	put_octal(h + 148, 6, sum);
	h[154] = '\0';
}

static inline void put_size(char *field, uint64_t size, bool wide)
{
	if (!wide) {
		put_octal(field, 11, size);
		field[11] = ' ';
	} else if (size >> 36 == 0) {
		put_octal(field, 12, size);
	} else {
		memset(field, 0, 12);
		field[0] = (char)0x80;
		for (int i = 0; i < 8; i++)
			field[11 - i] = (char)(size >> 8 * i);
	}
}

static inline unsigned usual_mode(char type)
{
	return type == '5' ? 0755 : type == '2' ? 0777 : 0644;
}

static inline void put_padding(struct buffer *stream)
{
	static const char zeros[HEADER_LEN];

	buffer_add(stream, zeros, -stream->len % HEADER_LEN);
}

/* A name field of 100 bytes: cut, or filled up with NUL; a full one has none. */
static inline void put_name(char *field, const char *name)
{
	size_t len = strlen(name);

	memcpy(field, name, len < 100 ? len : 100);
}

static inline void put_header(struct buffer *stream, const struct header *header)
{
	char h[HEADER_LEN] = "", type = header->type ? header->type : '0';
	uint64_t size = header->size ? header->size : header->body ? strlen(header->body) : 0;

	put_name(h, header->name);
	memcpy(h + 100, "000000 \0", 8);
	put_octal(h + 100, 6, header->mode ? header->mode : usual_mode(type));
	memcpy(h + 108,
	       "000000 \0"
	       "000000 \0",
	       16);
	put_size(h + 124, size, header->size_is_wide);
	memcpy(h + 136, "00000000001 ", 12);
	h[156] = type;
	if (header->link)
		put_name(h + 157, header->link);
	memcpy(h + 257,
	       "ustar\0"
	       "00",
	       8);
	memcpy(h + 329,
	       "000000 \0"
	       "000000 \0",
	       16);
	seal(h);
	buffer_add(stream, h, sizeof(h));
	if (header->body)
		buffer_add(stream, header->body, strlen(header->body));
	put_padding(stream);
}

/* Append "LEN KEY=VALUE\n" to the body of a pax header. */
static inline void add_record(struct buffer *pax, const char *key, const char *value)
{
	size_t rest = strlen(key) + strlen(value) + 3, len = rest + 1;

	while (rest + (size_t)snprintf(NULL, 0, "%zu", len) != len)
		len++;
	buffer_printf(pax, "%zu %s=%s\n", len, key, value);
}

static inline void put_pax(struct buffer *stream, const void *body, size_t len)
{
	put_header(stream,
	           &(struct header){ .name = "output/PaxHeader", .type = 'x', .size = len });
	buffer_add(stream, body, len);
	put_padding(stream);
}

/* A pax header with up to two records behind the usual first one. */
static inline void put_pax_records(struct buffer *stream, const char *key, const char *value,
                                   const char *key2, const char *value2)
{
	cleanup_(buffer_done) struct buffer pax = { 0 };

	add_record(&pax, "hdrcharset", "BINARY");
	add_record(&pax, key, value);
	if (key2)
		add_record(&pax, key2, value2);
	put_pax(stream, pax.data, pax.len);
}

static inline void put_end(struct buffer *stream)
{
	static const char zeros[2 * HEADER_LEN];

	buffer_add(stream, zeros, sizeof(zeros));
}
