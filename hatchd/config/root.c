/* "root": what the builder has as its "/" instead of the system's own programs and libraries. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "builder.h"
#include "items.h"
#include "lib/base/text.h"
#include "trusted-path.h"

enum { RESOLVE_TRIES = 1000 };

/* Roots that would show what no builder may see, or that hatch could not put anything into. */
static int check_root_place(struct reading *in, const struct value *item)
{
	const struct reserved rows[] = {
		{ "/", "the whole host is no root for a builder", 0 },
		{ "/proc", "it is no tree of files", RESERVED_BELOW },
		{ "/sys", "it is no tree of files", RESERVED_BELOW },
		{ "/dev", "it is no tree of files", RESERVED_BELOW },
		{ "/run/hatch", "it holds hatch's own sockets", RESERVED_BELOW | RESERVED_AROUND },
		{ "/run/credentials", "it holds the secrets of services",
		  RESERVED_BELOW | RESERVED_AROUND },
		{ in->config->state_dir, "it holds what other requests write",
		  RESERVED_BELOW | RESERVED_AROUND },
		{ in->config->dir, "it holds hatch's own configuration",
		  RESERVED_BELOW | RESERVED_AROUND },
	};

	return check_reserved(in, item, rows, ARRAY_SIZE(rows), 0);
}

static int read_root_path(struct reading *in, const struct value *value, struct builder *builder,
                          enum root_kind kind)
{
	char **path;

	if (expect_path(in, value) < 0 || check_root_place(in, value) < 0)
		return in->first;
	if (builder->root.kind != ROOT_SYSTEM)
		return reading_fail_key(in, value, EINVAL,
		                        "there is a root already; expected one of them");
	path = kind == ROOT_BUNDLE ? &builder->root.bundle : &builder->root.path;
	builder->root.kind = kind;
	*path = strdup(value->string);
	return *path ? 0 : reading_no_memory(in);
}

static int read_tree(struct reading *in, const struct value *value, const struct member *row,
                     void *object)
{
	return read_root_path(in, value, object, ROOT_TREE);
}

static int read_image(struct reading *in, const struct value *value, const struct member *row,
                      void *object)
{
	return read_root_path(in, value, object, ROOT_IMAGE);
}

static int read_bundle(struct reading *in, const struct value *value, const struct member *row,
                       void *object)
{
	return read_root_path(in, value, object, ROOT_BUNDLE);
}

int root_set_readonly(struct reading *in, const struct value *value, struct builder *builder)
{
	int r = expect_kind(in, value, VALUE_BOOLEAN);

	if (r == 0 && builder->root.top == ROOT_TOP_UNSAID)
		builder->root.top = value->boolean ? ROOT_TOP_NONE : ROOT_TOP_MEMORY;
	return r;
}

static int read_readonly(struct reading *in, const struct value *value, const struct member *row,
                         void *object)
{
	return root_set_readonly(in, value, object);
}

static const struct member root_members[] = {
	{ "tree", read_tree },
	{ "image", read_image },
	{ "bundle", read_bundle },
	{ "readonly", read_readonly },
	{ "size", read_size, FIELD(root.size), TMPFS_SIZE_MIN, TMPFS_SIZE_MAX },
};

int read_root(struct reading *in, const struct value *value, const struct member *row, void *object)
{
	static const struct member root = { INSIDE(root_members) };
	const struct builder *builder = object;
	int r = read_members(in, value, &root, object);

	if (r == 0 && builder->root.kind == ROOT_SYSTEM)
		return reading_fail(in, value, EINVAL,
		                    "there is no root in it; expected tree, image or bundle");
	if (r == 0 && value_member(value, "size") && builder->root.kind != ROOT_BUNDLE &&
	    builder->root.top != ROOT_TOP_MEMORY)
		return reading_fail_key(
			in, value_member(value, "size"), EINVAL,
			"nothing can be written to this root; expected \"readonly\": "
			"false too");
	return r;
}

int check_root(struct reading *in, struct builder *builder)
{
	if (builder->root.kind == ROOT_SYSTEM || builder->view.base == BASE_MINIMAL)
		return 0;
	return reading_fail_key(in, value_member(&in->doc->root, "root"), EINVAL,
	                        "\"view.base\" shows the host, and this is another root; expected "
	                        "one of them");
}

int builder_root_fail(const struct builder *builder, const struct error *why, struct error *err)
{
	static const char *const keys[] = {
		[ROOT_SYSTEM] = "root",
		[ROOT_TREE] = "root.tree",
		[ROOT_IMAGE] = "root.image",
		[ROOT_BUNDLE] = "root.bundle",
	};

	return builder_fail(builder, keys[builder->root.kind], POSITION_OF_VALUE, "root", why, err);
}

/* What an image is, by what stands in it: its name says nothing. */
static const struct image_type {
	const char *name; /* as mount(2) knows it */
	off_t at;
	unsigned char magic[4];
	size_t len;
} image_types[] = {
	{ "squashfs", 0, { 'h', 's', 'q', 's' }, 4 },
	{ "erofs", 1024, { 0xe2, 0xe1, 0xf5, 0xe0 }, 4 },
	{ "ext4", 1024 + 56, { 0x53, 0xef }, 2 },
};

static int identify_image(int fd, const char *path, const char **ret, struct error *err)
{
	unsigned char found[4];

	for (size_t i = 0; i < ARRAY_SIZE(image_types); i++) {
		const struct image_type *type = &image_types[i];

		if (pread(fd, found, type->len, type->at) == (ssize_t)type->len &&
		    memcmp(found, type->magic, type->len) == 0) {
			*ret = type->name;
			return 0;
		}
	}
	return error_set(err, BLAME_HOST, EINVAL,
	                 "%s is no image; expected a squashfs, erofs or ext4 file system", path);
}

static int open_resolved(int dir_fd, const char *path, uint64_t resolve)
{
	const struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		                      .resolve = RESOLVE_NO_MAGICLINKS | resolve };
	int fd = -1;

	/* The kernel gives up on ".." when anything is mounted or renamed meanwhile, anywhere. */
	for (size_t i = 0; i < RESOLVE_TRIES; i++) {
		fd = (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
		if (fd >= 0 || errno != EAGAIN)
			break;
	}
	return fd < 0 ? -errno : fd;
}

/* A bundle's tree is in the bundle, also if there is a link on the way. */
static int check_inside(const char *bundle, const char *path, struct error *err)
{
	cleanup_fd int dir_fd = open(bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int fd = dir_fd < 0 ? -errno
	                               : open_resolved(dir_fd, path + strlen(bundle) + 1,
	                                               RESOLVE_BENEATH);

	return fd < 0 ? error_errno(err, BLAME_HOST, -fd, "%s is not inside of the bundle", path)
	              : 0;
}

int builder_open_root(const struct config *config, const struct builder *builder, int *ret_fd,
                      const char **ret_type, struct error *err)
{
	const char *path = builder->root.path;
	cleanup_fd int fd = -1;
	struct error why;
	int r = 0;

	*ret_type = NULL;
	if (builder->root.kind == ROOT_TREE || builder->root.kind == ROOT_BUNDLE)
		r = trusted_directory(path, config->owner_uid, &fd, &why);
	if (r == 0 && builder->root.kind == ROOT_BUNDLE)
		r = check_inside(builder->root.bundle, path, &why);
	if (builder->root.kind == ROOT_IMAGE)
		r = trusted_file(path, config->owner_uid, &fd, &why);
	if (r == 0 && builder->root.kind == ROOT_IMAGE)
		r = identify_image(fd, path, ret_type, &why);
	if (r < 0)
		return builder_root_fail(builder, &why, err);
	*ret_fd = take_fd(&fd);
	return 0;
}

/* Is a directory of a bundle's process made by hatch, or shown from the host? */
static bool is_not_of_root(const struct builder *builder, const char *path)
{
	static const char *const made[] = { "/build", "/tmp", "/var/tmp", "/dev", "/proc" };

	for (size_t i = 0; i < ARRAY_SIZE(made); i++)
		if (path_is_below(path, made[i]))
			return true;
	for (size_t i = 0; i < builder->view.n_places; i++)
		if (path_is_below(path, builder->view.places[i].at))
			return true;
	return false;
}

static int check_cwd(const struct builder *builder, int root_fd, struct error *err)
{
	const char *cwd = builder->root.cwd;
	cleanup_fd int fd = -1;
	struct error why;

	if (!cwd || is_not_of_root(builder, cwd))
		return 0;
	fd = open_resolved(root_fd, cwd, RESOLVE_IN_ROOT);
	if (fd >= 0)
		return 0;
	(void)error_errno(&why, BLAME_HOST, -fd, "the directory %s of its process, in %s", cwd,
	                  builder->root.path);
	return builder_root_fail(builder, &why, err);
}

int builder_check_root(const struct builder *builder, int root_fd, struct error *err)
{
	/* hatch puts its own there, or into it. */
	static const char *const places[] = { "build", "dev", "etc", "proc", "tmp" };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		struct error why;
		struct stat st;
		int code = fstatat(root_fd, places[i], &st, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;

		if (code == ENOENT)
			continue;
		if (code != 0) {
			(void)error_errno(&why, BLAME_HOST, code, "cannot look at /%s of %s",
			                  places[i], builder->root.path);
			return builder_root_fail(builder, &why, err);
		}
		if (S_ISDIR(st.st_mode))
			continue;
		(void)error_set(&why, BLAME_HOST, ENOTDIR,
		                "/%s of %s is %s; hatch needs a directory there, or nothing",
		                places[i], builder->root.path,
		                S_ISLNK(st.st_mode) ? "a symbolic link" : "no directory");
		return builder_root_fail(builder, &why, err);
	}
	return check_cwd(builder, root_fd, err);
}
