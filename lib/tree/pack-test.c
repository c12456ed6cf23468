/* Trees on disk, as hostile as a builder can make them, and the streams they become. */
#include "pack.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>

#include "links.h"
#include "test-tree.h"
#include "walk.h"

static bool fails_with(const char *name, int expected, const char *says)
{
	cleanup_(buffer_done) struct buffer stream = { 0 };
	struct error err = { 0 };
	struct tree_totals totals;
	int r = pack_tree(name, NULL, &stream, &totals, &err);

	if (r == expected && err.code == -r && strstr(err.text, says))
		return true;
	printf("%s: %d instead of %d: %s\n", name, r, expected, err.text);
	return false;
}

/* Pack from, unpack it as to. */
static bool copies(const char *from, const char *to)
{
	cleanup_(buffer_done) struct buffer stream = { 0 };
	struct tree_totals packed, unpacked;
	struct error err = { 0 };

	if (pack_tree(from, NULL, &stream, &packed, &err) == 0 &&
	    unpack_bytes(to, NULL, stream.data, stream.len, TREE_CHUNK_MAX, &unpacked, &err) == 0 &&
	    packed.bytes == stream.len && memcmp(&packed, &unpacked, sizeof(packed)) == 0)
		return true;
	printf("%s: %s\n", from, err.text);
	return false;
}

/* OP1 */
static void packs_a_symlink_as_a_symlink(void)
{
	char target[32] = "";

	check(symlinkat("/etc", scratch_fd, "tree") == 0);
	check(copies("tree", "copy"));
	check(readlinkat(scratch_fd, "copy", target, sizeof(target)) == 4);
	check(strcmp(target, "/etc") == 0);
}

/* OP1 */
static void fails_if_there_is_nothing(void)
{
	check(fails_with("nothing", -ENOENT, "'nothing'"));
}

/* OP2 */
static void keeps_the_targets_of_symlinks_as_they_are(void)
{
	char longest[TREE_TARGET_MAX + 1];
	const char *const targets[] = { "/etc/shadow", "/proc/1/root", "..",        "self",
		                        longest,       "\xff\x01 \n",  "a//b/./..", "/" };

	memset(longest, 'l', TREE_TARGET_MAX);
	longest[TREE_TARGET_MAX] = '\0';
	make_dir_at("tree");
	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		char name[] = { 't', 'r', 'e', 'e', '/', (char)('a' + i), '\0' };

		check(symlinkat(targets[i], scratch_fd, name) == 0);
	}
	check(symlinkat("self", scratch_fd, "tree/self") == 0);
	check(copies("tree", "copy"));
	check(same_tree("tree", "copy", 0100));
}

static void make_socket(const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/%s", scratch_fd, name);
	check(bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
}

/* OP1, OP3: a fifo would block whoever opens it, a socket has nothing to read */
static void names_what_is_no_file_directory_or_symlink(void)
{
	make_dir_at("tree");
	make_dir_at("tree/sub");
	make_file_at("tree/sub/a", "a", 1, 0644);
	check(mkfifoat(scratch_fd, "tree/sub/pipe", 0644) == 0);
	check(fails_with("tree", -EINVAL, "'out/sub/pipe' is a fifo"));
	check(unlinkat(scratch_fd, "tree/sub/pipe", 0) == 0);
	make_socket("tree/sub/sock");
	check(fails_with("tree", -EINVAL, "'out/sub/sock' is a socket"));
	check(mkfifoat(scratch_fd, "pipe", 0644) == 0);
	check(fails_with("pipe", -EINVAL, "fifo"));
}

static const char *cannot_make_whiteouts(void)
{
	const char *why = NULL;

	if (mknodat(scratch_fd, "probe", S_IFCHR, makedev(0, 0)) < 0)
		why = "this kernel or file system lets nobody make a whiteout";
	(void)unlinkat(scratch_fd, "probe", 0);
	return why;
}

/* OP3 */
static void names_a_whiteout(void)
{
	make_dir_at("tree");
	check(mknodat(scratch_fd, "tree/gone", S_IFCHR, makedev(0, 0)) == 0);
	check(fails_with("tree", -EINVAL, "'out/gone' is a character device or whiteout"));
}

/* OP4: what a file claims to hold counts, not what it occupies */
static void counts_the_apparent_size_of_sparse_files(void)
{
	const struct tree_limits limits = { .bytes = 1 << 30, .entries = 10 };
	cleanup_(buffer_done) struct buffer stream = { 0 };
	cleanup_fd int fd = -1;
	struct error err = { 0 };
	struct tree_totals totals;

	make_file_at("sparse", "", 0, 0644);
	fd = openat(scratch_fd, "sparse", O_WRONLY | O_CLOEXEC);
	check(ftruncate(fd, 8ll << 40) == 0);
	check(pack_tree("sparse", &limits, &stream, &totals, &err) == -EFBIG);
	check(err.blame == BLAME_BUILD && strstr(err.text, "the allowed 1G; "));
	check(stream.len == 0);
}

static void make_sparse(const char *path, off_t size, const off_t *at, size_t n)
{
	cleanup_fd int fd = openat(scratch_fd, path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	check(ftruncate(fd, size) == 0);
	for (size_t i = 0; i < n; i++)
		check(pwrite(fd, "data", 4, at[i]) == 4);
}

/* OP4: on both sides */
static void keeps_holes_on_disk(void)
{
	static const struct {
		off_t size;
		off_t data[3];
		size_t n;
	} files[] = {
		{ 20 << 20, { 0 }, 0 },
		{ 20 << 20, { 0, 5 << 20, (20 << 20) - 4 }, 3 },
		{ (20 << 20) + 1, { 1 << 20, 7000000, 12345678 }, 3 },
		{ 20 << 20, { (20 << 20) - 4 }, 1 },
		{ 70000, { 69000 }, 1 },
	};

	make_dir_at("tree");
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		char path[] = "tree/0";

		path[5] = (char)('0' + i);
		make_sparse(path, files[i].size, files[i].data, files[i].n);
	}
	check(copies("tree", "copy"));
	check(same_tree("tree", "copy", 0100));
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		char path[] = "copy/0";
		struct stat st;

		path[5] = (char)('0' + i);
		check(fstatat(scratch_fd, path, &st, 0) == 0);
		check(st.st_blocks * 512 <= (blkcnt_t)files[i].n * 2 * 65536);
	}
}

struct meddler {
	int n_calls;
	off_t truncate_to;
};

static int meddle(void *context, const void *bytes, size_t len, struct error *err)
{
	struct meddler *meddler = context;
	cleanup_fd int fd = openat(scratch_fd, "tree", O_WRONLY | O_CLOEXEC);

	if (meddler->n_calls++ == 0)
		check(ftruncate(fd, meddler->truncate_to) == 0);
	return 0;
}

/* OP4: "size grows while read" */
static void notices_a_file_that_changes_its_size(void)
{
	const struct tree_root tree = { scratch_fd, "tree", "out" };
	enum { SIZE = 3 * 1024 * 1024 };
	cleanup_free char *body = malloc(SIZE);
	const off_t sizes[] = { 0, SIZE - 1, SIZE + 1, 2 * SIZE };

	memset(body, 'b', SIZE);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct meddler meddler = { .truncate_to = sizes[i] };
		struct tree_sink sink = { .write = meddle, .context = &meddler };
		struct error err = { 0 };
		struct tree_totals totals;

		make_file_at("tree", body, SIZE, 0644);
		check(tree_pack(&tree, NULL, NULL, &sink, &totals, &err) == -EBUSY);
		check(strstr(err.text, "changed while it was packed"));
		check(unlinkat(scratch_fd, "tree", 0) == 0);
	}
}

/* Directories depth levels below the root, relative to the scratch directory. */
static void make_chain(const char *root, int depth)
{
	int fd;

	make_dir_at(root);
	fd = openat(scratch_fd, root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < depth; i++) {
		int next_fd;

		check(mkdirat(fd, "d", 0755) == 0);
		next_fd = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = next_fd;
	}
	close(fd);
}

/* OP5 */
static void packs_64_directories_below_the_root_and_no_more(void)
{
	make_chain("fits", TREE_DEPTH_MAX);
	check(copies("fits", "copy"));
	check(same_tree("fits", "copy", 0100));
	make_chain("deeper", TREE_DEPTH_MAX + 1);
	check(fails_with("deeper", -ELOOP, "more than 64 directories deep"));
	make_chain("deepest", 2000);
	check(fails_with("deepest", -ELOOP, "more than 64 directories deep"));
}

/* OP5: 17 names of 239 bytes and their slashes, after "output": 4086 bytes */
static void packs_paths_of_4095_bytes_and_no_longer(void)
{
	char name[241] = "", last[16];
	int fd;

	memset(name, 'n', 239);
	make_dir_at("tree");
	fd = openat(scratch_fd, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 17; i++) {
		int next_fd;

		check(mkdirat(fd, name, 0755) == 0);
		next_fd = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = next_fd;
	}
	snprintf(last, sizeof(last), "%08d", 1);
	check(mkdirat(fd, last, 0755) == 0);
	check(copies("tree", "copy"));
	snprintf(last, sizeof(last), "%09d", 1);
	check(mkdirat(fd, last, 0755) == 0);
	close(fd);
	check(fails_with("tree", -ENAMETOOLONG, "too long"));
}

/* OP6 */
static void sends_a_file_with_many_names_once(void)
{
	enum { SIZE = 1 << 20, N_NAMES = 100 };
	const struct tree_limits limits = { .bytes = SIZE, .entries = N_NAMES + 1 };
	cleanup_free char *body = malloc(SIZE);
	cleanup_(buffer_done) struct buffer stream = { 0 };
	struct tree_totals totals;
	struct error err = { 0 };
	struct stat st;

	memset(body, 'b', SIZE);
	make_file_at("outside", body, SIZE, 0644);
	make_dir_at("tree");
	for (int i = 0; i < N_NAMES; i++) {
		char path[32];

		snprintf(path, sizeof(path), "tree/%d", i);
		check(linkat(scratch_fd, "outside", scratch_fd, path, 0) == 0);
	}
	check(pack_tree("tree", &limits, &stream, &totals, &err) == 0);
	check(totals.entries == N_NAMES + 1 && stream.len < SIZE + N_NAMES * 600);
	check(unpack_tree("copy", &stream, &err) == 0);
	/* Its name outside the tree is not among them. */
	check(fstatat(scratch_fd, "copy/0", &st, 0) == 0 && st.st_nlink == N_NAMES);
	check(!memmem(stream.data, stream.len, "outside", 7));
}

/* A file whose other names are all outside is a file. */
static void sends_a_file_with_one_name_inside_in_full(void)
{
	struct stat st;

	make_dir_at("tree");
	make_file_at("tree/a", "text", 4, 0644);
	check(linkat(scratch_fd, "tree/a", scratch_fd, "outside", 0) == 0);
	check(copies("tree", "copy"));
	check(fstatat(scratch_fd, "copy/a", &st, 0) == 0 && st.st_nlink == 1 && st.st_size == 4);
}

/* OP6: what is remembered has a limit; beyond it files are sent in full, not wrongly */
static void forgets_names_rather_than_take_all_memory(void)
{
	enum { N_FILES = 20000, KEPT_MIN = 10000 };
	cleanup_(links_done) struct links links = { 0 };
	char path[TREE_PATH_MAX + 1];
	const char *first;
	size_t n_kept = 0;

	memset(path, 'p', TREE_PATH_MAX);
	path[TREE_PATH_MAX] = '\0';
	for (int round = 0; round < 2; round++)
		for (uint64_t i = 0; i < N_FILES; i++) {
			const struct file_id id = { .mount = 1, .dev = i % 3, .ino = i };

			snprintf(path, 8, "%07u", (unsigned)i);
			path[7] = 'p';
			check(links_find(&links, &id, path, &first) == 0);
			check(round == 1 || !first);
			check(!first || strcmp(first, path) == 0);
			n_kept += first ? 1 : 0;
		}
	check(n_kept >= KEPT_MIN && n_kept < N_FILES && links.memory <= LINKS_MEMORY_MAX);
}

/* Every header of a stream has a mode that the guard lets pass: here the other half, that odd
 * modes, times and attributes do not even change the bytes. */
static void make_plain(const char *root, bool odd)
{
	char path[64];
	const struct {
		const char *name;
		mode_t plain, odd;
	} files[] = {
		{ "a", 0644, 0444 }, { "b", 0755, 06755 }, { "c", 0644, 0622 },
		{ "d", 0755, 0777 }, { "e", 0755, 0100 },  { "f", 0644, 0066 },
		{ "g", 0644, 0000 }, { "h", 0644, 07677 },
	};
	const struct timespec times[2] = { { .tv_sec = -1000 }, { .tv_sec = 5000000000 } };

	make_dir_at(root);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "%s/%s", root, files[i].name);
		make_file_at(path, files[i].name, 1, odd ? files[i].odd : files[i].plain);
		if (odd)
			check(utimensat(scratch_fd, path, times, 0) == 0);
	}
	snprintf(path, sizeof(path), "%s/dir", root);
	make_dir_at(path);
	snprintf(path, sizeof(path), "%s/dir/x", root);
	make_file_at(path, "x", 1, 0644);
	if (odd) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d/%s/a", scratch_fd, root);
		/* Not every file system has them; without, there is less to leave out. */
		(void)setxattr(path, "user.note", "secret", 6, 0);
		snprintf(path, sizeof(path), "%s/dir", root);
		check(fchmodat(scratch_fd, path, 02111, 0) == 0);
		check(fchmodat(scratch_fd, root, 01000, 0) == 0);
	}
}

static void has_no_odd_modes(void)
{
	cleanup_(buffer_done) struct buffer plain = { 0 }, odd = { 0 };
	struct error err = { 0 };
	struct tree_totals totals;

	make_plain("plain", false);
	make_plain("odd", true);
	check(pack_tree("plain", NULL, &plain, &totals, &err) == 0);
	check(pack_tree("odd", NULL, &odd, &totals, &err) == 0);
	if (err.code)
		printf("%s\n", err.text);
	check(plain.len == odd.len && memcmp(plain.data, odd.data, plain.len) == 0);
	check(unpack_tree("copy", &odd, &err) == 0);
	check(same_tree("plain", "copy", 07777));
	check(tree_remove_children(scratch_fd, &err) == 0);
}

/* OP7: with and without the rights of root, whom modes do not hold up */
static void normalises_modes_times_and_attributes(void)
{
	run_as_ordinary_user(has_no_odd_modes);
	has_no_odd_modes();
}

/* OP8 */
static void keeps_names_of_any_bytes(void)
{
	char longest[256] = "", all[256];
	const char *const names[] = { "-rf",      "a\nb",  "\033[31m", "\xff\xfe",
		                      "\xc3\xa9", "\xc3",  " ",        "trailing ",
		                      "..a",      "...",   "a\\b",     "\"'$`",
		                      "*",        longest, all,        "PaxHeader" };

	memset(longest, '\xe9', 255);
	for (int i = 1, k = 0; i < 256; i++)
		if (i != '/')
			all[k++] = (char)i, all[k] = '\0';
	make_dir_at("tree");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		cleanup_(buffer_done) struct buffer path = { 0 };

		buffer_printf(&path, "tree/%s", names[i]);
		make_file_at(path.data, names[i], strlen(names[i]), 0644);
	}
	make_dir_at("tree/\xe9 dir");
	make_file_at("tree/\xe9 dir/file", "x", 1, 0755);
	check(copies("tree", "copy"));
	check(same_tree("tree", "copy", 0100));
}

/* ---- mounts ---- */

static void refuse_mounts_inside(void)
{
	cleanup_(buffer_done) struct buffer stream = { 0 };
	struct error err = { 0 };
	char tree[300], sub[300];

	check(enter_mount_namespace());
	reopen_scratch();
	make_dir_at("tree");
	make_dir_at("tree/sub");
	make_file_at("tree/file", "x", 1, 0644);
	make_file_at("secret", "s", 1, 0644);
	snprintf(tree, sizeof(tree), "%s/tree", scratch_path);

	/* The same file system at another place: only the mount differs. */
	snprintf(sub, sizeof(sub), "%s/tree/sub", scratch_path);
	check(mount(scratch_path, sub, NULL, MS_BIND, NULL) == 0);
	check(fails_with("tree", -EXDEV, "'out/sub' is on another mount"));
	check(umount2(sub, MNT_DETACH) == 0);
	check(mount("none", sub, "tmpfs", 0, NULL) == 0);
	check(fails_with("tree", -EXDEV, "'out/sub' is on another mount"));
	check(umount2(sub, MNT_DETACH) == 0);

	snprintf(sub, sizeof(sub), "%s/tree/file", scratch_path);
	snprintf(tree, sizeof(tree), "%s/secret", scratch_path);
	check(mount(tree, sub, NULL, MS_BIND, NULL) == 0);
	check(fails_with("tree", -EXDEV, "'out/file' is on another mount"));
	check(umount2(sub, MNT_DETACH) == 0);

	snprintf(tree, sizeof(tree), "%s/tree", scratch_path);
	check(mount(tree, tree, NULL, MS_BIND, NULL) == 0);
	check(fails_with("tree", -EXDEV, "'out' is on another mount"));
	check(pack_as_it_is(scratch_fd, "tree", &stream, &err) == 0);
	snprintf(sub, sizeof(sub), "%s/tree/sub", scratch_path);
	check(mount("none", sub, "tmpfs", 0, NULL) == 0);
	check(pack_as_it_is(scratch_fd, "tree", &stream, &err) == -EXDEV);
	check(umount2(sub, MNT_DETACH) == 0);
	check(umount2(tree, MNT_DETACH) == 0);
	check(copies("tree", "copy"));
}

/* OP9 */
static void refuses_what_is_mounted_inside_the_tree(void)
{
	unit_in_child(refuse_mounts_inside);
}

/* ---- trees that their owner goes on with ---- */

static mode_t mode_at(const char *path)
{
	struct stat st = { 0 };

	check(fstatat(scratch_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0);
	return st.st_mode & 07777;
}

static void leave_modes(void)
{
	cleanup_(buffer_done) struct buffer stream = { 0 };
	struct error err = { 0 };

	make_dir_at("tree");
	make_file_at("tree/closed", "x", 1, 0000);
	check(pack_as_it_is(scratch_fd, "tree", &stream, &err) == (geteuid() == 0 ? 0 : -EACCES));
	check(geteuid() == 0 || strstr(err.text, "'out/closed'"));
	check(mode_at("tree/closed") == 0);
	check(fchmodat(scratch_fd, "tree/closed", 0644, 0) == 0);
	make_dir_at("tree/dir");
	check(fchmodat(scratch_fd, "tree/dir", 0100, 0) == 0);
	check(pack_as_it_is(scratch_fd, "tree", &stream, &err) == (geteuid() == 0 ? 0 : -EACCES));
	check(mode_at("tree/dir") == 0100);
	check(tree_remove_children(scratch_fd, &err) == 0);
}

static void changes_no_mode_of_a_tree_that_is_taken_as_it_is(void)
{
	run_as_ordinary_user(leave_modes);
	leave_modes();
}

static void takes_a_directory_by_its_descriptor_too(void)
{
	cleanup_(buffer_done) struct buffer by_name = { 0 }, by_fd = { 0 };
	struct error err = { 0 };
	cleanup_fd int fd = -1;

	make_dir_at("tree");
	make_file_at("tree/file", "x", 1, 0644);
	fd = openat(scratch_fd, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check(pack_as_it_is(scratch_fd, "tree", &by_name, &err) == 0);
	check(pack_as_it_is(fd, ".", &by_fd, &err) == 0);
	check(by_name.len == by_fd.len && memcmp(by_name.data, by_fd.data, by_fd.len) == 0);
}

/* ---- generated trees ---- */

enum { N_NODES = 120 };

struct node {
	char path[512];
	char kind; /* d, f, l(ink), s(ymlink) */
	unsigned seed;
	const char *target;
};

static void pick_name(unsigned *seed, char *ret)
{
	size_t len = rand_r(seed) % 20 == 0 ? 100 : 1 + (size_t)rand_r(seed) % 12;

	for (size_t i = 0; i < len; i++)
		do
			ret[i] = (char)(rand_r(seed) % 8 ? 'a' + rand_r(seed) % 26 : rand_r(seed));
		while (ret[i] == '\0' || ret[i] == '/');
	ret[len] = '\0';
	if (strcmp(ret, ".") == 0 || strcmp(ret, "..") == 0)
		ret[0] = 'x';
}

static bool path_is_taken(const struct node *nodes, size_t n, const char *path)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(nodes[i].path, path) == 0)
			return true;
	return false;
}

/* A plan of a tree: node 0 is its root, a node's directory stands before it. */
static void plan_tree(struct node *nodes, unsigned seed)
{
	const char kinds[] = "dddffffffffls";

	nodes[0] = (struct node){ .kind = 'd' };
	for (size_t i = 1; i < N_NODES; i++) {
		struct node *node = &nodes[i];
		size_t parent, other;
		char name[128];

		do
			parent = (size_t)rand_r(&seed) % i;
		while (nodes[parent].kind != 'd' || strlen(nodes[parent].path) > 380);
		pick_name(&seed, name);
		strcpy(node->path, nodes[parent].path);
		strcat(strcat(node->path, "/"), name);
		if (path_is_taken(nodes, i, node->path)) {
			i--;
			continue;
		}
		node->kind = kinds[(size_t)rand_r(&seed) % strlen(kinds)];
		node->seed = (unsigned)rand_r(&seed);
		other = (size_t)rand_r(&seed) % i;
		if (node->kind == 'l' && nodes[other].kind != 'f')
			node->kind = 'f';
		node->target = nodes[other].path[0] ? nodes[other].path : "/";
	}
}

static void make_node(int root_fd, const struct node *node)
{
	static char body[200000];
	const char *path = node->path + 1, *target = node->target + 1;
	unsigned seed = node->seed;
	size_t len;
	int fd;

	switch (node->kind) {
	case 'd':
		check(mkdirat(root_fd, path, 0755) == 0);
		break;
	case 's':
		check(symlinkat(node->target, root_fd, path) == 0);
		break;
	case 'l':
		check(linkat(root_fd, target, root_fd, path, 0) == 0);
		break;
	default:
		len = seed % 16 == 0 ? seed % sizeof(body) : seed % 5000;
		for (size_t i = 0; i < len; i++)
			body[i] = seed % 3 ? (char)rand_r(&seed) : '\0';
		fd = openat(root_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
		            seed & 64 ? 0755 : 0644);
		check(fd >= 0 && fd_write_full(fd, body, len) == 0);
		close(fd);
	}
}

/* Make the planned tree; by_kind: files before directories of other branches, and from the last
 * to the first, so that inode numbers and the order of readdir differ. */
static void make_tree(const char *root, const struct node *nodes, bool backwards)
{
	cleanup_fd int fd = -1;

	make_dir_at(root);
	fd = openat(scratch_fd, root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 1; i < N_NODES; i++)
		if (nodes[i].kind == 'd')
			make_node(fd, &nodes[i]);
	for (int i = 1; i < N_NODES; i++) {
		const struct node *node = &nodes[backwards ? N_NODES - i : i];

		if (node->kind == 'f' || node->kind == 's')
			make_node(fd, node);
	}
	for (int i = 1; i < N_NODES; i++)
		if (nodes[i].kind == 'l')
			make_node(fd, &nodes[i]);
}

static void unpacks_what_it_packs(void)
{
	for (unsigned seed = 1; seed <= 12; seed++) {
		static struct node nodes[N_NODES];

		plan_tree(nodes, seed);
		make_tree("tree", nodes, false);
		check(copies("tree", "copy"));
		check(same_tree("tree", "copy", 0100));
		check(tree_remove_children(scratch_fd, NULL) == 0);
	}
}

/* OP10 */
static void gives_equal_bytes_for_equal_trees(void)
{
	for (unsigned seed = 20; seed <= 26; seed++) {
		static struct node nodes[N_NODES];
		cleanup_(buffer_done) struct buffer a = { 0 }, b = { 0 }, c = { 0 };
		struct tree_totals totals[3];

		plan_tree(nodes, seed);
		make_tree("a", nodes, false);
		make_tree("b", nodes, true);
		check(pack_tree("a", NULL, &a, &totals[0], NULL) == 0);
		check(pack_tree("b", NULL, &b, &totals[1], NULL) == 0);
		check(a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
		check(memcmp(&totals[0], &totals[1], sizeof(totals[0])) == 0);

		/* What was unpacked packs to the same stream again. */
		check(unpack_tree("c", &a, NULL) == 0);
		check(pack_tree("c", NULL, &c, &totals[2], NULL) == 0);
		check(a.len == c.len && memcmp(a.data, c.data, a.len) == 0);
		check(tree_remove_children(scratch_fd, NULL) == 0);
	}
}

/* Client and server may have different versions of libarchive: the bytes must be the same with all
 * of them. A changed digest here means a changed protocol. */
static void gives_the_bytes_that_every_version_gives(void)
{
	static const char
		expected[] = "ae81605a5a3909e4a65faa5978ce66209b80d0820c3c914999875891165c193d";
	cleanup_(buffer_done) struct buffer stream = { 0 };
	struct tree_totals totals = { 0 };
	char path[300];

	make_dir_at("tree");
	make_file_at("tree/a", "text", 4, 0644);
	make_file_at("tree/b", "", 0, 0755);
	make_file_at("tree/\xff\n", "raw bytes", 9, 0644);
	check(linkat(scratch_fd, "tree/a", scratch_fd, "tree/c", 0) == 0);
	check(symlinkat("\xe9", scratch_fd, "tree/d") == 0);
	/* Longer than a field of the header, with and without a slash to split it at. */
	memset(path, 'n', sizeof(path));
	memcpy(path, "tree/", 5);
	path[5 + 120] = '\0';
	make_file_at(path, "long", 4, 0644);
	check(symlinkat(path, scratch_fd, "tree/e") == 0);
	path[5 + 119] = '\0';
	make_dir_at(path);
	strcpy(path + 5 + 119, "/file");
	make_file_at(path, "split", 5, 0644);
	check(linkat(scratch_fd, path, scratch_fd, "tree/z", 0) == 0);
	check(pack_tree("tree", NULL, &stream, &totals, NULL) == 0);
	check(totals.entries == 11 && strcmp(totals.sha256, expected) == 0);
	if (unit_failed)
		printf("%llu entries, %s\n", (unsigned long long)totals.entries, totals.sha256);
	check(unpack_tree("copy", &stream, NULL) == 0 && same_tree("tree", "copy", 0100));
}

/* ---- other programs must read the same tree from our streams ---- */

static bool extracts_the_same(const char *program, const struct buffer *stream)
{
	char command[600];
	FILE *tar;

	snprintf(command, sizeof(command), "cd '%s' && mkdir other && LC_ALL=C %s -xpf - -C other",
	         scratch_path, program);
	tar = popen(command, "w");
	if (!tar || fwrite(stream->data, 1, stream->len, tar) != stream->len || pclose(tar) != 0)
		return false;
	return same_tree("copy", "other/output", 07777);
}

static void compare_with(const char *program)
{
	for (unsigned seed = 30; seed <= 34; seed++) {
		static struct node nodes[N_NODES];
		cleanup_(buffer_done) struct buffer stream = { 0 };
		struct tree_totals totals;

		plan_tree(nodes, seed);
		make_tree("tree", nodes, false);
		check(pack_tree("tree", NULL, &stream, &totals, NULL) == 0);
		check(unpack_tree("copy", &stream, NULL) == 0);
		check(extracts_the_same(program, &stream));
		check(tree_remove_children(scratch_fd, NULL) == 0);
	}
}

static const char *lacks_gnu_tar(void)
{
	return system("tar --version 2>/dev/null | grep -q GNU") == 0 ? NULL : "no GNU tar";
}

/* CU7 */
static void writes_streams_that_gnu_tar_reads_alike(void)
{
	compare_with("tar --warning=no-unknown-keyword");
}

static const char *lacks_bsdtar(void)
{
	return system("bsdtar --version >/dev/null 2>&1") == 0 ? NULL : "no bsdtar";
}

/* CU7 */
static void writes_streams_that_bsdtar_reads_alike(void)
{
	compare_with("bsdtar");
}

static const char *lacks_python(void)
{
	return system("python3 -c 'import tarfile' 2>/dev/null") == 0 ? NULL : "no Python 3";
}

/* CU7: names, types and sizes as Python sees them */
static void writes_streams_that_python_reads_alike(void)
{
	compare_with("python3 -c 'import sys, tarfile\n"
	             "t = tarfile.open(fileobj=sys.stdin.buffer, mode=\"r|\", "
	             "encoding=\"utf-8\", errors=\"surrogateescape\")\n"
	             "t.extractall(\"other\", numeric_owner=True)' #");
}

/* ---- limits and the sink ---- */

static int dislike(void *context, enum tree_part part, const char *path, bool first,
                   const void *bytes, size_t len, struct error *err)
{
	const char *disliked = context;

	if (!memmem(bytes, len, disliked, strlen(disliked)))
		return 0;
	return error_set(err, BLAME_BUILD, EACCES, "part %d", (int)part);
}

static void stops_at_the_limits_of_entries_and_bytes(void)
{
	static const struct {
		struct tree_limits limits;
		int result;
	} rows[] = {
		{ { .bytes = 8, .entries = 5 }, 0 },      { { .bytes = 7, .entries = 5 }, -EFBIG },
		{ { .bytes = 8, .entries = 4 }, -E2BIG }, { { .bytes = 0, .entries = 5 }, -EFBIG },
		{ { .bytes = 8, .entries = 0 }, -E2BIG }, { { UINT64_MAX, UINT64_MAX }, 0 },
	};

	make_dir_at("tree");
	make_file_at("tree/a", "1234", 4, 0644);
	make_file_at("tree/b", "1234", 4, 0644);
	check(linkat(scratch_fd, "tree/a", scratch_fd, "tree/c", 0) == 0);
	check(symlinkat("x", scratch_fd, "tree/d") == 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_(buffer_done) struct buffer stream = { 0 };
		struct error err = { 0 };
		struct tree_totals totals;
		int r = pack_tree("tree", &rows[i].limits, &stream, &totals, &err);

		check(r == rows[i].result);
		check(r == 0 || err.blame == BLAME_BUILD);
		check(r < 0 || totals.entries == 5);
	}
}

/* The bytes of their files, not of their streams; and what is one too many is named. */
static void limits_hold_for_several_trees_together(void)
{
	static const struct {
		struct tree_limits limits;
		int result;
		const char *says;
	} rows[] = {
		{ { .bytes = 30, .entries = 6 }, 0, "" },
		{ { .bytes = 29, .entries = 6 }, -EFBIG, "allowed 29 bytes; 'doc/file'" },
		{ { .bytes = 30, .entries = 5 }, -E2BIG, "allowed 5 files and directories; 'doc'" },
	};
	static const char *const names[] = { "out", "dev", "doc" };

	make_dir_at("tree");
	make_file_at("tree/file", "1234567890", 10, 0644);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_(buffer_done) struct buffer stream = { 0 };
		struct tree_sink sink = { .write = add_to_buffer, .context = &stream };
		const struct tree_eye eye = { dislike, (void *)"nothing of it" };
		struct tree_used used = { 0 }, looked = { 0 };
		struct error err = { 0 }, look_err = { 0 };
		struct tree_totals totals;
		int r = 0, look_r = 0;

		for (size_t j = 0; j < ARRAY_SIZE(names); j++) {
			const struct tree_root root = { scratch_fd, "tree", names[j] };

			if (r == 0)
				r = tree_pack(&root, &rows[i].limits, &used, &sink, &totals, &err);
			if (look_r == 0)
				look_r = tree_look(&root, &rows[i].limits, &looked, &eye,
				                   &look_err);
		}
		check(r == rows[i].result && look_r == r);
		check(strstr(err.text, rows[i].says) && strstr(look_err.text, rows[i].says));
	}
}

struct chunks {
	size_t n, n_full, longest, total;
};

static int count_chunk(void *context, const void *bytes, size_t len, struct error *err)
{
	struct chunks *chunks = context;

	chunks->n++;
	chunks->n_full += len == TREE_CHUNK_MAX;
	chunks->total += len;
	if (len > chunks->longest)
		chunks->longest = len;
	return 0;
}

static void hands_out_full_chunks_and_one_last(void)
{
	const struct tree_root tree = { scratch_fd, "tree", "out" };
	enum { SIZE = 5 * 1024 * 1024 + 12345 };
	cleanup_free char *body = calloc(1, SIZE);
	struct chunks chunks = { 0 };
	struct tree_sink sink = { .write = count_chunk, .context = &chunks };
	struct tree_totals totals;

	make_dir_at("tree");
	make_file_at("tree/a", body, SIZE, 0644);
	for (int i = 0; i < 100; i++) {
		char path[32];

		snprintf(path, sizeof(path), "tree/b%d", i);
		make_file_at(path, "text", 4, 0644);
	}
	check(tree_pack(&tree, NULL, NULL, &sink, &totals, NULL) == 0);
	check(chunks.longest == TREE_CHUNK_MAX && chunks.n == chunks.n_full + 1);
	check(chunks.total == totals.bytes);
}

static int break_sink(void *context, const void *bytes, size_t len, struct error *err)
{
	int *left = context;

	if ((*left)-- > 0)
		return 0;
	return error_set(err, BLAME_HOST, EPIPE, "the sink broke");
}

static void passes_on_what_the_sink_says(void)
{
	const struct tree_root tree = { scratch_fd, "tree", "out" };
	enum { SIZE = 3 * 1024 * 1024 };
	cleanup_free char *body = calloc(1, SIZE);

	make_dir_at("tree");
	make_file_at("tree/a", body, SIZE, 0644);
	make_file_at("tree/b", body, SIZE, 0644);
	for (int calls = 0; calls < 7; calls++) {
		int left = calls;
		struct tree_sink sink = { .write = break_sink, .context = &left };
		struct error err = { 0 };
		struct tree_totals totals;

		check(tree_pack(&tree, NULL, NULL, &sink, &totals, &err) == -EPIPE);
		check(strcmp(err.text, "the sink broke") == 0 && left == -1);
	}
}

static void keeps_no_descriptor(void)
{
	cleanup_(buffer_done) struct buffer stream = { 0 };
	int before = count_fds();
	struct tree_totals totals;

	make_chain("tree", 30);
	check(pack_tree("tree", NULL, &stream, &totals, NULL) == 0);
	check(mkfifoat(scratch_fd, "tree/d/d/d/pipe", 0644) == 0);
	check(fails_with("tree", -EINVAL, "fifo"));
	check(count_fds() == before);
}

/* What an eye sees, as lines of text. */
static int note_part(void *context, enum tree_part part, const char *path, bool first,
                     const void *bytes, size_t len, struct error *err)
{
	static const char letters[] = "NTB";

	if (buffer_printf(context, "%c%s ", letters[part], first ? "" : "+") < 0)
		return -ENOMEM;
	return part == TREE_PART_BODY
	               ? buffer_printf(context, "%s: %zu bytes\n", path, len)
	               : buffer_printf(context, "%s: %.*s\n", path, (int)len, (const char *)bytes);
}

static void shows_all_of_a_tree_that_would_be_sent(void)
{
	const struct tree_root tree = { scratch_fd, "tree", "out" };
	static const char expected[] =
		"N output: output\n"
		"N output/a: output/a\nB output/a: 4 bytes\n"
		"N output/big: output/big\nB output/big: 1048576 bytes\nB+ output/big: 11 bytes\n"
		"N output/empty: output/empty\n"
		"N output/hard: output/hard\n"
		"N output/link: output/link\nT output/link: to/nowhere\n"
		"N output/sub: output/sub\n"
		"N output/sub/b: output/sub/b\nB output/sub/b: 3 bytes\n";
	cleanup_(buffer_done) struct buffer seen = { 0 };
	const struct tree_eye eye = { note_part, &seen };
	cleanup_free char *big = calloc(1, TREE_CHUNK_MAX + 11);
	struct error err = { 0 };

	make_dir_at("tree");
	make_dir_at("tree/sub");
	make_file_at("tree/a", "text", 4, 0644);
	make_file_at("tree/big", big, TREE_CHUNK_MAX + 11, 0644);
	make_file_at("tree/empty", "", 0, 0644);
	make_file_at("tree/sub/b", "one", 3, 0600);
	check(linkat(scratch_fd, "tree/a", scratch_fd, "tree/hard", 0) == 0);
	check(symlinkat("to/nowhere", scratch_fd, "tree/link") == 0);
	check(tree_look(&tree, NULL, NULL, &eye, &err) == 0);
	check(seen.data && strcmp(seen.data, expected) == 0);
}

static int look_for(const char *disliked, const char *name, const struct tree_limits *limits,
                    struct error *err)
{
	const struct tree_root root = { scratch_fd, name, "out" };
	const struct tree_eye eye = { dislike, (void *)disliked };

	return tree_look(&root, limits, NULL, &eye, err);
}

/* A name before it could be in an error: that of a special file too. */
static void an_eye_ends_the_look(void)
{
	const struct tree_limits limits = { .bytes = 10, .entries = 3 };
	struct error err = { 0 };

	make_dir_at("tree");
	make_dir_at("tree/sub");
	check(mkfifoat(scratch_fd, "tree/sub/disliked", 0644) == 0);
	check(look_for("disliked", "tree", NULL, &err) == -EACCES);
	check(strcmp(err.text, "part 0") == 0);
	check(look_for("else", "tree", NULL, &err) == -EINVAL);
	check(look_for("else", "nothing", NULL, &err) == -ENOENT);
	check(unlinkat(scratch_fd, "tree/sub/disliked", 0) == 0);
	make_file_at("tree/sub/file", "12345678901", 11, 0644);
	check(look_for("8901", "tree", NULL, &err) == -EACCES);
	check(strcmp(err.text, "part 2") == 0);
	check(look_for("else", "tree", NULL, &err) == 0);
	check(look_for("else", "tree", &limits, &err) == -EFBIG);
}

/* --- some files of several trees --- */

static bool ends_in_log(void *context, const char *path)
{
	size_t len = strlen(path);

	(void)context;
	return len >= 4 && strcmp(path + len - 4, ".log") == 0;
}

static int choose(uint64_t bytes, uint64_t entries, struct buffer *stream, struct error *err)
{
	cleanup_fd int tree_fd = openat(scratch_fd, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct tree_root roots[] = {
		{ tree_fd, ".", "build" },
		{ -1, ".", "absent" },
		{ scratch_fd, "nothing", "outputs/out" },
		{ scratch_fd, "other", "outputs/doc" },
	};
	const struct tree_eye eye = { dislike, (void *)"dddd" };
	const struct tree_choice choice = { .wants = ends_in_log, .eye = &eye };
	const struct tree_limits limits = { .bytes = bytes, .entries = entries };
	const struct tree_sink sink = { add_to_buffer, stream };

	return tree_pack_chosen(roots, ARRAY_SIZE(roots), &choice, &limits, &sink, err);
}

/* The names in a stream, as tar(1) lists them. */
static bool lists(const struct buffer *stream, const char *expected)
{
	char line[512], all[4096] = "", command[300];
	FILE *tar;

	make_file_at("stream", stream->data, stream->len, 0600);
	(void)snprintf(command, sizeof(command), "tar -tf %s/stream", scratch_path);
	tar = popen(command, "r");
	while (tar && fgets(line, sizeof(line), tar) && strlen(all) + strlen(line) < sizeof(all))
		(void)strcat(all, line);
	check(tar && pclose(tar) == 0);
	(void)unlinkat(scratch_fd, "stream", 0);
	if (strcmp(all, expected) == 0)
		return true;
	printf("%s", all);
	return false;
}

static void make_things_to_choose_from(void)
{
	make_dir_at("tree");
	make_dir_at("tree/sub");
	make_dir_at("tree/closed");
	make_file_at("tree/a.log", "aaaa", 4, 0644);
	make_file_at("tree/b.txt", "b", 1, 0644);
	make_file_at("tree/disliked.log", "ddddd", 5, 0644);
	check(symlinkat("dddd", scratch_fd, "tree/to-disliked.log") == 0);
	make_dir_at("tree/dddd");
	make_file_at("tree/dddd/i.log", "i", 1, 0644);
	make_file_at("tree/sub/c.log", "c", 1, 0);
	make_file_at("tree/closed/d.log", "d", 1, 0644);
	check(fchmodat(scratch_fd, "tree/closed", 0, 0) == 0);
	check(linkat(scratch_fd, "tree/a.log", scratch_fd, "tree/sub/e.log", 0) == 0);
	check(symlinkat("/etc/shadow", scratch_fd, "tree/f.log") == 0);
	check(mkfifoat(scratch_fd, "tree/g.log", 0644) == 0);
	make_dir_at("other");
	make_file_at("other/h.log", "h", 1, 0644);
}

/* OP1, OP2, OP3: for a choice these are no reason to stop */
static void chooses_files_and_passes_over_what_cannot_be_sent(void)
{
	cleanup_(buffer_done) struct buffer stream = { 0 };
	struct error err = { 0 };

	make_things_to_choose_from();
	check(choose(1 << 20, 1000, &stream, &err) == 0 && err.text[0] == '\0');
	check(lists(&stream, "build/a.log\nbuild/closed/d.log\nbuild/f.log\nbuild/sub/c.log\n"
	                     "build/sub/e.log\noutputs/doc/h.log\n"));
}

/* OP4, RX8: the stream is never longer, and no more is looked at */
static void a_choice_stays_below_its_limits(void)
{
	cleanup_(buffer_done) struct buffer all = { 0 };
	struct error err = { 0 };
	cleanup_fd int fd = -1;

	make_things_to_choose_from();
	make_file_at("tree/a0.log", "", 0, 0644);
	fd = openat(scratch_fd, "tree/a0.log", O_WRONLY | O_CLOEXEC);
	check(ftruncate(fd, 8ll << 40) == 0);
	check(choose(1 << 20, 1000, &all, &err) == 0);
	check(lists(&all, "build/a.log\nbuild/closed/d.log\nbuild/f.log\nbuild/sub/c.log\n"
	                  "build/sub/e.log\noutputs/doc/h.log\n"));
	for (uint64_t bytes = 0; bytes < all.len + 10000; bytes += 997) {
		cleanup_(buffer_done) struct buffer stream = { 0 };

		check(choose(bytes, 1000, &stream, &err) == (bytes < 2048 ? -EFBIG : 0));
		check(stream.len <= bytes);
	}
	for (uint64_t entries = 0; entries < 12; entries++) {
		cleanup_(buffer_done) struct buffer stream = { 0 };

		check(choose(1 << 20, entries, &stream, &err) == 0);
	}
}

static const struct unit_case cases[] = {
	CASE(shows_all_of_a_tree_that_would_be_sent),
	CASE(an_eye_ends_the_look),
	CASE(packs_a_symlink_as_a_symlink),
	CASE(fails_if_there_is_nothing),
	CASE(keeps_the_targets_of_symlinks_as_they_are),
	CASE(names_what_is_no_file_directory_or_symlink),
	CASE_IF(names_a_whiteout, cannot_make_whiteouts),
	CASE(counts_the_apparent_size_of_sparse_files),
	CASE(keeps_holes_on_disk),
	CASE(notices_a_file_that_changes_its_size),
	CASE(packs_64_directories_below_the_root_and_no_more),
	CASE(packs_paths_of_4095_bytes_and_no_longer),
	CASE(sends_a_file_with_many_names_once),
	CASE(sends_a_file_with_one_name_inside_in_full),
	CASE(forgets_names_rather_than_take_all_memory),
	CASE_IF(normalises_modes_times_and_attributes, cannot_set_ids),
	CASE(keeps_names_of_any_bytes),
	CASE_IF(refuses_what_is_mounted_inside_the_tree, cannot_mount),
	CASE(changes_no_mode_of_a_tree_that_is_taken_as_it_is),
	CASE(takes_a_directory_by_its_descriptor_too),
	CASE(unpacks_what_it_packs),
	CASE(gives_equal_bytes_for_equal_trees),
	CASE(gives_the_bytes_that_every_version_gives),
	CASE_IF(writes_streams_that_gnu_tar_reads_alike, lacks_gnu_tar),
	CASE_IF(writes_streams_that_bsdtar_reads_alike, lacks_bsdtar),
	CASE_IF(writes_streams_that_python_reads_alike, lacks_python),
	CASE(stops_at_the_limits_of_entries_and_bytes),
	CASE(limits_hold_for_several_trees_together),
	CASE(hands_out_full_chunks_and_one_last),
	CASE(passes_on_what_the_sink_says),
	CASE(keeps_no_descriptor),
	CASE(chooses_files_and_passes_over_what_cannot_be_sent),
	CASE(a_choice_stays_below_its_limits),
};

TREE_MAIN(cases)
