/*
 * config.json of an OCI bundle, as far as it says what a definition can say. Everything else is
 * refused by name. Some keys ask for what hatch gives no builder, such as capabilities or a cgroup
 * of a certain name: they are read over, because without them a builder has less, never more.
 * hatch-builder(5), "BUNDLES", has the whole list.
 * Source: the runtime specification of the Open Container Initiative, config.md, config-linux.md
 */
#include "bundle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "builder.h"
#include "items.h"
#include "lib/base/text.h"

enum {
	HOST_NAME_LEN_MAX = 64,
	TMPFS_SIZE_DEFAULT = 64 << 20,
};

/* --- keys that are not used --- */

/* What hatch does not do for a bundle, and what does it instead. */
static const struct refusal {
	const char *key, *why;
} refusals[] = {
	{ "hooks", "hatch runs no program of a bundle but its process; expected before and after "
	           "in the definition" },
	{ "domainname", "a builder has a host name only" },
	{ "commandLine", "it is for another system; expected args" },
	{ "apparmorProfile", "hatch loads no profile" },
	{ "selinuxLabel", "hatch sets no label" },
	{ "mountLabel", "hatch sets no label" },
	{ "oomScoreAdj", "hatch does not set it" },
	{ "scheduler", "hatch does not set it" },
	{ "ioPriority", "hatch does not set it" },
	{ "execCPUAffinity", "hatch does not set it" },
	{ "uidMappings", "which ids a builder has is said by uid_map in the definition" },
	{ "gidMappings", "which ids a builder has is said by uid_map in the definition" },
	{ "devices", "devices are given by view.devices in the definition" },
	{ "sysctl", "a builder's kernel settings are as they are" },
	{ "seccomp", "system calls are filtered by seccomp in the definition" },
	{ "intelRdt", "hatch does not set it" },
	{ "personality", "hatch does not set it" },
	{ "timeOffsets", "hatch sets none" },
	{ "memory", "limits are set by limits in the definition" },
	{ "cpu", "limits are set by limits in the definition" },
	{ "pids", "limits are set by limits in the definition" },
	{ "blockIO", "limits are set by limits in the definition" },
	{ "hugepageLimits", "limits are set by limits in the definition" },
	{ "network", "hatch sets no priorities" },
	{ "rdma", "hatch sets no such limit" },
	{ "unified", "limits are set by limits in the definition" },
	{ "additionalGids", "groups are given by groups in the definition" },
	{ "username", "it is for another system" },
};

static bool is_empty(const struct value *value)
{
	return value->kind == VALUE_NULL ||
	       (value->kind == VALUE_STRING && value->string[0] == '\0') ||
	       ((value->kind == VALUE_OBJECT || value->kind == VALUE_ARRAY) && value->n_items == 0);
}

/* One that says nothing does not ask for anything either. */
static int refuse(struct reading *in, const struct value *value, const struct member *row,
                  void *object)
{
	const char *why = "hatch does not support it";

	if (is_empty(value))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++)
		if (strcmp(refusals[i].key, row->key) == 0)
			why = refusals[i].why;
	return reading_fail_key(in, value, ENOTSUP, "\"%s\" is not supported in a bundle: %s",
	                        row->key, why);
}

/* Without it a builder has less; or it says what hatch does anyway. */
static int read_over(struct reading *in, const struct value *value, const struct member *row,
                     void *object)
{
	return 0;
}

/* --- "process" --- */

static int read_terminal(struct reading *in, const struct value *value, const struct member *row,
                         void *object)
{
	int r = expect_kind(in, value, VALUE_BOOLEAN);

	if (r == 0 && value->boolean)
		return reading_fail(in, value, ENOTSUP,
		                    "a builder has no terminal; expected false");
	return r;
}

/* The definition's own command comes first. */
static int read_process_args(struct reading *in, const struct value *value,
                             const struct member *row, void *object)
{
	const struct builder *builder = object;

	return builder->command ? 0 : read_command(in, value, row, object);
}

/* Root of the bundle is root of a user namespace: nobody else is root. */
static int read_id(struct reading *in, const struct value *value, const struct member *row,
                   void *object)
{
	const struct builder *builder = object;
	int r = expect_kind(in, value, VALUE_INTEGER);

	if (r < 0)
		return r;
	if (builder->uid_map == UID_MAP_SELF)
		return reading_fail(in, value, ENOTSUP,
		                    "a builder runs as a build user; expected no \"user\", or "
		                    "\"uid_map\": \"root\" in the definition");
	if (value->integer != 0)
		return reading_fail(in, value, ENOTSUP,
		                    "a builder with \"uid_map\" is root; expected 0");
	return 0;
}

static int read_umask(struct reading *in, const struct value *value, const struct member *row,
                      void *object)
{
	int r = expect_kind(in, value, VALUE_INTEGER);

	if (r == 0 && value->integer != 022)
		return reading_fail(in, value, ENOTSUP,
		                    "every builder begins with the umask 022; expected 18");
	return r;
}

/* {"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 4096}: as limits.rlimits of a definition says it.
 */
static int read_bundle_rlimit(struct reading *in, const struct value *value,
                              struct builder *builder)
{
	const struct value *type = value_member(value, "type");
	const struct value *soft = value_member(value, "soft");
	const struct value *hard = value_member(value, "hard");
	struct value bounds[2];

	if (expect_kind(in, value, VALUE_OBJECT) < 0)
		return in->first;
	if (!type || type->kind != VALUE_STRING || !soft || !hard || value->n_items != 3)
		return reading_fail(in, value, EINVAL,
		                    "expected {\"type\": \"RLIMIT_...\", \"soft\": number, "
		                    "\"hard\": number}");
	bounds[0] = *soft;
	bounds[1] = *hard;
	return read_named_rlimit(in, type,
	                         &(struct value){ .kind = VALUE_OBJECT,
	                                          .at = value->at,
	                                          .key_at = value->key_at,
	                                          .items = bounds,
	                                          .n_items = 2 },
	                         builder);
}

static int read_bundle_rlimits(struct reading *in, const struct value *value,
                               const struct member *row, void *object)
{
	int r = expect_list(in, value, 0);

	for (size_t i = 0; r == 0 && i < value->n_items && !reading_stops(in); i++)
		(void)read_bundle_rlimit(in, &value->items[i], object);
	return in->first;
}

static const struct member user_members[] = {
	{ "uid", read_id },           { "gid", read_id },     { "umask", read_umask },
	{ "additionalGids", refuse }, { "username", refuse },
};

static const struct member process_members[] = {
	{ "terminal", read_terminal },
	{ "consoleSize", read_over }, /* of the terminal that is not there */
	{ "user", read_members, INSIDE(user_members) },
	{ "args", read_process_args },
	{ "env", read_variables },
	{ "cwd", read_path, FIELD(root.cwd) },
	{ "rlimits", read_bundle_rlimits },
	{ "capabilities", read_over },    /* a builder has none */
	{ "noNewPrivileges", read_over }, /* always */
	{ "commandLine", refuse },
	{ "apparmorProfile", refuse },
	{ "selinuxLabel", refuse },
	{ "oomScoreAdj", refuse },
	{ "scheduler", refuse },
	{ "ioPriority", refuse },
	{ "execCPUAffinity", refuse },
};

/* --- "root" --- */

static int read_root_dir(struct reading *in, const struct value *value, const struct member *row,
                         void *object)
{
	struct builder *builder = object;
	struct value whole = *value;

	if (expect_kind(in, value, VALUE_STRING) < 0)
		return in->first;
	if (asprintf(&builder->root.path, "%s/%s", builder->root.bundle, value->string) < 0) {
		builder->root.path = NULL;
		return reading_no_memory(in);
	}
	whole.string = builder->root.path;
	return expect_path(in, &whole);
}

/* What is absent is the more restrictive here too. */
static int read_readonly(struct reading *in, const struct value *value, const struct member *row,
                         void *object)
{
	return root_set_readonly(in, value, object);
}

static const struct member root_members[] = {
	{ "path", read_root_dir, .required = true },
	{ "readonly", read_readonly },
};

/* --- "mounts" --- */

/* One of them, as the file says it. */
struct bundle_mount {
	char *at, *type, *source;
	bool bind, read_only, no_exec;
	char *size; /* of a tmpfs; NULL: not said */
};

static void bundle_mount_done(struct bundle_mount *mount)
{
	free(mount->at);
	free(mount->type);
	free(mount->source);
	free(mount->size);
}

#define IN_MOUNT(field) offsetof(struct bundle_mount, field)

/* What every builder has at these places, or, if it is not own, what none has. */
static const struct standard_mount {
	const char *at, *type;
	bool own;
} standard_mounts[] = {
	{ "/proc", "proc", true },
	{ "/dev", "tmpfs", true },
	{ "/dev/pts", "devpts", true },
	{ "/dev/shm", "tmpfs", true },
	{ "/tmp", "tmpfs", true },
	{ "/var/tmp", "tmpfs", true },
	{ "/dev/mqueue", "mqueue", false },
	{ "/sys", "sysfs", false },
	{ "/sys/fs/cgroup", "cgroup", false },
	{ "/sys/fs/cgroup", "cgroup2", false },
};

/* Words that change nothing: they say what hatch does anyway, or ask for more than it gives. */
static const char *const idle_options[] = {
	"rw",          "nosuid",     "nodev",       "suid",  "dev",        "exec",
	"relatime",    "norelatime", "noatime",     "atime", "nodiratime", "diratime",
	"strictatime", "private",    "rprivate",    "slave", "rslave",     "defaults",
	"newinstance", "async",      "nosymfollow",
};

/* The same for those with a value. */
static const char *const idle_settings[] = { "mode=", "uid=", "gid=", "ptmxmode=", "nr_inodes=" };

static bool is_idle(const char *option)
{
	for (size_t i = 0; i < ARRAY_SIZE(idle_options); i++)
		if (strcmp(option, idle_options[i]) == 0)
			return true;
	for (size_t i = 0; i < ARRAY_SIZE(idle_settings); i++)
		if (strncmp(option, idle_settings[i], strlen(idle_settings[i])) == 0)
			return true;
	return false;
}

static int read_mount_option(struct reading *in, const struct value *item,
                             struct bundle_mount *mount)
{
	char shown[SHOW_LEN];
	const char *word;

	if (expect_kind(in, item, VALUE_STRING) < 0)
		return in->first;
	word = item->string;
	if (strcmp(word, "bind") == 0 || strcmp(word, "rbind") == 0) {
		mount->bind = true;
	} else if (strcmp(word, "ro") == 0) {
		mount->read_only = true;
	} else if (strcmp(word, "noexec") == 0) {
		mount->no_exec = true;
	} else if (strncmp(word, "size=", 5) == 0 && !mount->size) {
		mount->size = strdup(word + 5);
		return mount->size ? 0 : reading_no_memory(in);
	} else if (!is_idle(word)) {
		return reading_fail(in, item, ENOTSUP,
		                    "the option \"%s\" is not supported in a bundle; expected "
		                    "bind, rbind, ro, size= or one that changes nothing",
		                    show(word, shown));
	}
	return 0;
}

static int read_mount_options(struct reading *in, const struct value *value,
                              const struct member *row, void *object)
{
	int r = expect_list(in, value, 0);

	for (size_t i = 0; r == 0 && i < value->n_items && !reading_stops(in); i++)
		(void)read_mount_option(in, &value->items[i], object);
	return in->first;
}

static const struct member mount_members[] = {
	{ "destination", read_path, IN_MOUNT(at), .required = true },
	{ "type", read_line, IN_MOUNT(type), 0, 64 },
	{ "source", read_line, IN_MOUNT(source), 0, 4095 },
	{ "options", read_mount_options },
	{ "uidMappings", refuse },
	{ "gidMappings", refuse },
};

static const struct standard_mount *find_standard(const struct bundle_mount *mount)
{
	for (size_t i = 0; i < ARRAY_SIZE(standard_mounts); i++)
		if (strcmp(standard_mounts[i].at, mount->at) == 0 && mount->type &&
		    strcmp(standard_mounts[i].type, mount->type) == 0)
			return &standard_mounts[i];
	return NULL;
}

static int fill_bind(struct reading *in, const struct value *value, struct bundle_mount *mount,
                     const char *bundle, struct place *place)
{
	const struct value *said = value_member(value, "source");
	struct value source = said ? *said : *value;

	if (!mount->source || !mount->source[0])
		return reading_fail(in, value, EINVAL, "expected a \"source\" to bind");
	/* "a path relative to the bundle" */
	if (mount->source[0] == '/')
		place->source = strdup(mount->source);
	else if (asprintf(&place->source, "%s/%s", bundle, mount->source) < 0)
		place->source = NULL;
	if (!place->source)
		return reading_no_memory(in);
	place->kind = mount->read_only ? PLACE_READ : PLACE_WRITE;
	source.kind = VALUE_STRING;
	source.string = place->source;
	return expect_path(in, &source) < 0 ? in->first : check_source(in, &source);
}

/* "65536k", as mount(8) takes it. */
static int parse_size(const char *text, uint64_t *ret)
{
	static const char units[] = "kmg";
	size_t len = strspn(text, "0123456789");
	char digits[24];
	const char *unit = text[len] ? strchr(units, text[len] | 0x20) : NULL;
	uint64_t number;

	if (len == 0 || len >= sizeof(digits) || (text[len] && (!unit || text[len + 1])))
		return -EINVAL;
	memcpy(digits, text, len);
	digits[len] = '\0';
	if (text_to_u64(digits, TMPFS_SIZE_MAX, &number) < 0 ||
	    __builtin_mul_overflow(number, UINT64_C(1) << (unit ? 10 * (unit - units + 1) : 0),
	                           ret))
		return -ERANGE;
	return 0;
}

static int fill_tmpfs(struct reading *in, const struct value *value, struct bundle_mount *mount,
                      struct place *place)
{
	char shown[SHOW_LEN];

	place->kind = PLACE_TMPFS;
	/* The kernel would take half of the memory, which is no limit. */
	place->size = TMPFS_SIZE_DEFAULT;
	if (mount->read_only)
		return reading_fail(in, value, ENOTSUP,
		                    "a tmpfs that is read-only holds nothing; expected no \"ro\"");
	if (!mount->size)
		return 0;
	if (parse_size(mount->size, &place->size) < 0 || place->size < TMPFS_SIZE_MIN ||
	    place->size > TMPFS_SIZE_MAX)
		return reading_fail(in, value, EINVAL,
		                    "\"size=%s\"; expected 4096 bytes to 16384g, such as "
		                    "\"size=64m\"",
		                    show(mount->size, shown));
	return 0;
}

static int fill_place(struct reading *in, const struct value *value, struct bundle_mount *mount,
                      const struct builder *builder, struct place *place)
{
	const char *type = mount->type ? mount->type : "";
	bool bind = mount->bind || strcmp(type, "bind") == 0;
	char shown[SHOW_LEN];

	if (mount->no_exec)
		return reading_fail(in, value, ENOTSUP,
		                    "\"noexec\" is not supported here; expected no such option");
	if (bind)
		return fill_bind(in, value, mount, builder->root.bundle, place);
	if (strcmp(type, "tmpfs") == 0)
		return fill_tmpfs(in, value, mount, place);
	return reading_fail(in, value, ENOTSUP,
	                    "a mount of the type \"%s\" is not supported in a bundle there; "
	                    "expected bind or tmpfs",
	                    show(type, shown));
}

/* A place of the definition comes before one of the bundle. */
static bool is_taken(const struct builder *builder, size_t n_own, const char *at)
{
	for (size_t i = 0; i < n_own; i++)
		if (strcmp(builder->view.places[i].at, at) == 0)
			return true;
	return false;
}

static int add_place(struct reading *in, const struct value *value, struct bundle_mount *mount,
                     struct builder *builder)
{
	cleanup_(place_done) struct place place = { .offset = value->at };
	struct place *places;
	int r = fill_place(in, value, mount, builder, &place);

	if (r == 0)
		r = check_at(in, value_member(value, "destination"), place.kind);
	if (r < 0)
		return r;
	places = reallocarray(builder->view.places, builder->view.n_places + 1, sizeof(*places));
	if (!places)
		return reading_no_memory(in);
	builder->view.places = places;
	place.at = take_ptr(&mount->at);
	places[builder->view.n_places++] = place;
	place = (struct place){ 0 };
	return 0;
}

static int read_mounts(struct reading *in, const struct value *value, const struct member *row,
                       void *object)
{
	static const struct member members = { INSIDE(mount_members) };
	struct builder *builder = object;
	size_t n_own = builder->view.n_places;
	int r = expect_list(in, value, 0);

	for (size_t i = 0; r == 0 && i < value->n_items && !reading_stops(in); i++) {
		cleanup_(bundle_mount_done) struct bundle_mount mount = { 0 };
		int first = in->first;

		/* Also an error of an earlier item is in->first. */
		in->first = 0;
		(void)read_members(in, &value->items[i], &members, &mount);
		if (in->first == 0 && !find_standard(&mount) && !is_taken(builder, n_own, mount.at))
			(void)add_place(in, &value->items[i], &mount, builder);
		in->first = first < 0 ? first : in->first;
	}
	return in->first;
}

/* --- "linux" --- */

static int read_namespace(struct reading *in, const struct value *value)
{
	static const char *const types[] = { "pid", "network", "ipc", "uts", "mount", "cgroup" };
	const struct value *type = value_member(value, "type");
	const struct value *path = value_member(value, "path");
	char shown[SHOW_LEN];
	size_t i;

	if (expect_kind(in, value, VALUE_OBJECT) < 0)
		return in->first;
	if (!type || type->kind != VALUE_STRING)
		return reading_fail(in, value, EINVAL, "expected a \"type\" that is a string");
	if (path && !is_empty(path))
		return reading_fail(in, path, ENOTSUP,
		                    "hatch makes a builder's namespaces; expected no \"path\"");
	for (i = 0; i < ARRAY_SIZE(types); i++)
		if (strcmp(types[i], type->string) == 0)
			return 0;
	return reading_fail(in, type, ENOTSUP,
	                    "\"%s\" is not supported in a bundle; expected pid, network, ipc, uts, "
	                    "mount or cgroup (others are keys of the definition)",
	                    show(type->string, shown));
}

static int read_namespaces(struct reading *in, const struct value *value, const struct member *row,
                           void *object)
{
	int r = expect_list(in, value, 0);

	for (size_t i = 0; r == 0 && i < value->n_items && !reading_stops(in); i++)
		(void)read_namespace(in, &value->items[i]);
	return in->first;
}

static int read_propagation(struct reading *in, const struct value *value, const struct member *row,
                            void *object)
{
	static const char *const words[] = { "", "private", "rprivate", "slave", "rslave" };
	size_t chosen;

	return read_word(in, value, words, ARRAY_SIZE(words), "private, rprivate, slave or rslave",
	                 &chosen);
}

static int check_inner_path(struct reading *in, const struct value *list, const struct value *item)
{
	return expect_path(in, item);
}

static int read_masked(struct reading *in, const struct value *value, const struct member *row,
                       void *object)
{
	struct builder *builder = object;
	size_t n;

	return read_strings(in, value, 0, check_inner_path, &builder->root.masked, &n);
}

static int read_read_only(struct reading *in, const struct value *value, const struct member *row,
                          void *object)
{
	struct builder *builder = object;
	size_t n;

	return read_strings(in, value, 0, check_inner_path, &builder->root.read_only, &n);
}

static const struct member resources_members[] = {
	{ "devices", read_over }, /* those of the definition, and no others */
	{ "memory", refuse },     { "cpu", refuse },     { "pids", refuse },
	{ "blockIO", refuse },    { "network", refuse }, { "hugepageLimits", refuse },
	{ "rdma", refuse },       { "unified", refuse },
};

static const struct member linux_members[] = {
	{ "namespaces", read_namespaces },
	{ "maskedPaths", read_masked },
	{ "readonlyPaths", read_read_only },
	{ "cgroupsPath", read_over }, /* each request has its own */
	{ "resources", read_members, INSIDE(resources_members) },
	{ "rootfsPropagation", read_propagation },
	{ "uidMappings", refuse },
	{ "gidMappings", refuse },
	{ "devices", refuse },
	{ "sysctl", refuse },
	{ "seccomp", refuse },
	{ "mountLabel", refuse },
	{ "intelRdt", refuse },
	{ "personality", refuse },
	{ "timeOffsets", refuse },
};

/* --- the file --- */

static int read_version(struct reading *in, const struct value *value, const struct member *row,
                        void *object)
{
	char shown[SHOW_LEN];
	int r = expect_kind(in, value, VALUE_STRING);

	if (r == 0 && strncmp(value->string, "1.", 2) != 0)
		return reading_fail(in, value, ENOTSUP,
		                    "\"%s\"; expected version 1 of the specification, such as "
		                    "\"1.2.0\"",
		                    show(value->string, shown));
	return r;
}

static int read_host_name(struct reading *in, const struct value *value, const struct member *row,
                          void *object)
{
	static const char
		letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";
	struct builder *builder = object;
	char shown[SHOW_LEN];
	int r = expect_text(in, value, HOST_NAME_LEN_MAX);

	if (r < 0 || is_empty(value))
		return r;
	if (value->string[strspn(value->string, letters)] != '\0')
		return reading_fail(in, value, EINVAL,
		                    "\"%s\"; expected letters, digits, \".\" and \"-\"",
		                    show(value->string, shown));
	builder->root.host_name = strdup(value->string);
	return builder->root.host_name ? 0 : reading_no_memory(in);
}

static const struct member bundle_members[] = {
	{ "ociVersion", read_version, .required = true },
	{ "root", read_members, INSIDE(root_members), .required = true },
	{ "process", read_members, INSIDE(process_members) },
	{ "hostname", read_host_name },
	{ "mounts", read_mounts },
	{ "linux", read_members, INSIDE(linux_members) },
	{ "annotations", read_over },
	{ "domainname", refuse },
	{ "hooks", refuse },
};

int bundle_parse(const struct config *config, const char *file, const char *text, size_t len,
                 const struct config_report *report, struct builder *builder, struct error *err)
{
	static const struct member bundle = { INSIDE(bundle_members) };
	cleanup_document struct document doc = { .name = file };
	struct reading in = { .doc = &doc, .config = config, .report = report, .err = err };
	struct error parse_err;

	if (document_parse(file, text, len, &doc, &parse_err) < 0)
		return reading_keep_error(&in, &parse_err);
	(void)read_members(&in, &doc.root, &bundle, builder);
	if (!reading_stops(&in))
		(void)check_places(&in, builder);
	if (!builder->command && !reading_stops(&in))
		(void)reading_fail(&in, &doc.root, EINVAL,
		                   "nothing says what to run; expected process.args here, or "
		                   "command in %s",
		                   builder->file);
	return in.first;
}

/* What keeps its file from being read, at the place of the definition that names the bundle. */
static int fail_bundle(struct reading *in, const struct builder *builder, const struct error *why)
{
	struct error err;

	(void)builder_fail(builder, "root.bundle", POSITION_OF_KEY, "root", why, &err);
	return reading_keep_error(in, &err);
}

int bundle_load(const struct config *config, const struct config_report *report,
                struct builder *builder, struct error *err)
{
	cleanup_free char *path = NULL, *text = NULL;
	struct reading in = { .doc = &(struct document){ .name = builder->root.bundle },
		              .report = report,
		              .err = err };
	struct error why;
	size_t len;
	int r;

	if (asprintf(&path, "%s/config.json", builder->root.bundle) < 0) {
		path = NULL;
		return reading_no_memory(&in);
	}
	r = config_read_text(path, config->owner_uid, &text, &len, &why);
	if (r == 0)
		r = error_set(&why, BLAME_HOST, ENOENT,
		              "%s is no bundle: it has no config.json; expected one",
		              builder->root.bundle);
	return r < 0 ? fail_bundle(&in, builder, &why)
	             : bundle_parse(config, path, text, len, report, builder, err);
}
