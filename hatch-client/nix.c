/* Environment variables, mount table and attributes file of a Nix build; nothing of the hatch. */
#include "nix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "lib/base/text.h"

enum {
	ATTRS_MAX = 16 * 1024 * 1024,       /* closures in it are long, but not this long */
	MOUNT_TABLE_MAX = 16 * 1024 * 1024, /* an input is a line of it */
};

bool nix_is_build(void)
{
	/* nix-shell sets the first, nix develop repeats what it saw in a build: both set the
	 * third. */
	return getenv("NIX_BUILD_TOP") && getenv("NIX_LOG_FD") && !getenv("IN_NIX_SHELL");
}

/* ---- the sandbox ---- */

/* Does what this line mounts lie in the root of a sandbox, such as <hash>-<name>.drv.chroot/root?
 * Fields of a line: id, parent, device, directory in the file system; proc_pid_mountinfo(5). */
static bool is_of_sandbox(const char *line, size_t len)
{
	static const char mark[] = ".drv.chroot";
	const char *field = line, *end = line + len, *at;

	for (int i = 0; i < 3; i++) {
		field = memchr(field, ' ', (size_t)(end - field));
		if (!field)
			return false;
		field++;
	}
	end = field + strcspn(field, " \n");
	at = memmem(field, (size_t)(end - field), mark, strlen(mark));
	return at && (at + strlen(mark) == end || at[strlen(mark)] == '/');
}

int nix_find_sandbox(struct error *err)
{
	cleanup_fd int fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	cleanup_free char *table = NULL;
	size_t len = 0;
	int r = fd < 0 ? -errno : fd_read_file(fd, MOUNT_TABLE_MAX, &table, &len);

	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot read /proc/self/mountinfo");
	for (const char *line = table; *line; line += strspn(line, "\n")) {
		len = strcspn(line, "\n");
		if (is_of_sandbox(line, len))
			return 1;
		line += len;
	}
	return 0;
}

bool nix_may_read(void)
{
	return nix_is_build() || nix_find_sandbox(NULL) != 0;
}

/* ---- paths and numbers ---- */

/* What follows the directory of the store; empty: it does not lie there. */
static const char *below_store(const char *path)
{
	static const char store_dir[] = "/nix/store/";

	return strncmp(path, store_dir, strlen(store_dir)) == 0 ? path + strlen(store_dir) : "";
}

bool nix_is_store_path(const char *path)
{
	const char *base = below_store(path);

	return text_is_store_name(base, strlen(base));
}

bool nix_is_in_store(const char *path)
{
	const char *inner = below_store(path);

	return text_is_store_name(inner, strcspn(inner, "/")) &&
	       path_is_inner(inner, strlen(inner));
}

int nix_log_fd(void)
{
	const char *number = getenv("NIX_LOG_FD");
	struct stat st;
	uint64_t fd;

	if (!nix_is_build() || text_to_u64(number, INT16_MAX, &fd) < 0)
		return -1;
	return fstat((int)fd, &st) < 0 || S_ISSOCK(st.st_mode) ? -1 : (int)fd;
}

/* ---- structured attributes ---- */

static int open_attrs(const char *file, char **ret_path)
{
	const char *top = getenv("NIX_BUILD_TOP");
	int fd = open(file, O_RDONLY | O_CLOEXEC);

	if (fd >= 0)
		*ret_path = strdup(file);
	else if (errno == ENOENT && top && asprintf(ret_path, "%s/.attrs.json", top) >= 0)
		fd = open(*ret_path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int read_attrs(const char *file, struct message *ret, struct error *err)
{
	cleanup_free char *path = NULL, *text = NULL;
	cleanup_fd int fd = open_attrs(file, &path);
	size_t len;
	int r;

	if (fd < 0) {
		(void)error_errno(err, BLAME_HOST, -fd, "cannot open %s, nor .attrs.json in %s",
		                  file, "$NIX_BUILD_TOP");
		return error_hint(err, "NIX_ATTRS_JSON_FILE says that this derivation has "
		                       "structured attributes; --output NAME=PATH goes without");
	}
	r = fd_read_file(fd, ATTRS_MAX, &text, &len);
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r, "cannot read %s", path ? path : file);
	r = message_parse_attrs(text, len, ret, err);
	if (r < 0)
		return error_hint(err, "this is about %s, which Nix made from the derivation",
		                  path ? path : file);
	return 0;
}

/* ---- variables ---- */

static int add_output(struct message *request, const char *name, size_t len, struct error *err)
{
	struct wire_tree *output = &request->request.outputs[request->request.n_outputs];
	const char *path;

	if (!text_is_output(name, len) || request->request.n_outputs == WIRE_OUTPUTS_MAX)
		return error_set(err, BLAME_PEER, EINVAL,
		                 "$outputs names \"%.*s\": it takes at most %d names like out or "
		                 "dev",
		                 (int)(len < 100 ? len : 100), name, WIRE_OUTPUTS_MAX);
	output->name = strndup(name, len);
	if (!output->name)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for outputs");
	request->request.n_outputs++;
	path = getenv(output->name);
	if (!path || !*path)
		return error_set(err, BLAME_PEER, EINVAL,
		                 "the derivation has an output %s, but $%s is not set",
		                 output->name, output->name);
	output->path = strdup(path);
	return output->path ? 0 : error_set(err, BLAME_HOST, ENOMEM, "no memory for outputs");
}

static int read_variables(struct message *request, struct error *err)
{
	const char *names = getenv("outputs");

	if (!names)
		names = getenv("out") ? "out" : "";
	request->request.outputs = calloc(WIRE_OUTPUTS_MAX, sizeof(struct wire_tree));
	if (!request->request.outputs)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for outputs");
	for (names += strspn(names, " \t\n"); *names; names += strspn(names, " \t\n")) {
		size_t len = strcspn(names, " \t\n");
		int r = add_output(request, names, len, err);

		if (r < 0)
			return r;
		names += len;
	}
	return 0;
}

int nix_read_derivation(struct message *ret, struct error *err)
{
	cleanup_message struct message request = { .type = MESSAGE_REQUEST };
	const char *file = getenv("NIX_ATTRS_JSON_FILE");
	int r;

	request.request.version = WIRE_VERSION;
	r = file ? read_attrs(file, &request, err) : read_variables(&request, err);
	if (r < 0)
		return r;
	*ret = request;
	request = (struct message){ 0 };
	return 0;
}
