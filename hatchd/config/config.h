/*
 * The administrator's words: hatchd.json and builders.d/NAME.json, read strictly. Absent always
 * means the most restrictive value.
 * Source: hatchd.json(5), hatch-builder(5)
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "lib/base/cleanup.h"
#include "lib/base/error.h"
#include "seccomp.h"

enum {
	CONFIG_FILE_MAX = 1024 * 1024,
	CONFIG_BUILDERS_MAX = 1024,
	BUILD_USERS_MAX = 1024,
	VIEW_DEVICES_MAX = 64,
	VIEW_OVERLAYS_MAX = 64,
	OVERLAY_LAYERS_MAX = 64,
	BUILDER_RESOURCES_MAX = 8,
	BUILDER_UNITS_MAX = 64, /* of all resources together */
};

/* Where a builder finds its credentials; $CREDENTIALS_DIRECTORY. */
#define CREDENTIALS_DIR "/run/credentials/hatch"
/* What a request that waits for a build user waits for; no resource has this name. */
#define RESOURCE_SLOT "slot"

/* A pool account. Its numbers are looked up by config_load(), its groups, which cost ten times as
 * much, by config_resolve_user() for the one account that a request uses. */
struct build_user {
	char *name;
	uid_t uid;
	gid_t gid;
	bool resolved; /* groups is known */
	gid_t *groups; /* supplementary groups of the account, without gid */
	size_t n_groups;
};

struct source;

/* So many units of something that has a name. */
struct resource {
	char *name;
	uint64_t count;
};

/* hatchd.json */
struct config {
	char *dir;             /* of the configuration */
	char *file;            /* hatchd.json below it; it may be absent */
	struct source *source; /* of it, for config_fail(); NULL: it is absent, or no JSON */
	bool partial;          /* it has errors: what is absent here may be meant */
	char *store_dir;       /* "store"; default /nix/store */
	char *state_dir;       /* "state"; default STATE_DIR of the build */
	char *build_group;     /* "build_users_group"; default hatchbld */
	gid_t build_gid;
	struct build_user *users; /* its members, in order; empty in unprivileged mode */
	size_t n_users;
	char *pasta;        /* "pasta"; default /usr/bin/pasta */
	char *speaker_user; /* "speaker_user"; default hatch */
	uid_t speaker_uid;  /* -1 without a pool, like the other ids */
	gid_t speaker_gid;
	uint64_t range_base; /* "range_base"; the slot of users[i] has the 65536 ids from range_base
	                        + i * 65536; 0: none */
	uint64_t queue_max;  /* requests that may wait; default 64 */
	uint64_t connections_per_user; /* at once; default 32 */
	struct resource *resources;    /* what there is to be taken by requests */
	size_t n_resources;
	struct {
		uint64_t size;      /* of the files of one bundle; default 64 MiB */
		uint64_t total;     /* of all bundles; default 1 GiB */
		uint64_t keep_days; /* default 7 */
	} failed;

	bool allow_missing; /* "missing_derivation": is a derivation that is not on this machine
	                       taken for one that requires what allow.features asks for? */

	bool pool;       /* as given to config_load() */
	bool offline;    /* only read, see struct config_report: accounts have no numbers */
	uid_t owner_uid; /* besides root, whose files are believed: 0, ours without a pool, or
	                    OWNER_ANYBODY offline */
};

enum network_kind {
	NETWORK_NONE, /* a loopback device of its own */
	NETWORK_HOST,
	NETWORK_PRIVATE,   /* one of its own, connected by pasta(1) */
	NETWORK_NAMESPACE, /* one that the administrator made */
};

enum {
	NETWORK_IPV4 = 1,
	NETWORK_IPV6 = 2,
};

/* A TCP port of the host's loopback. */
struct port {
	uint16_t number;
	unsigned families; /* NETWORK_IPV4: of 127.0.0.1; NETWORK_IPV6: of ::1 */
};

/* "network" */
struct network {
	enum network_kind kind;
	char *path;         /* of a namespace: /run/netns/NAME */
	char *resolv_conf;  /* of a namespace: /etc/netns/NAME/resolv.conf, which need not exist */
	struct port *ports; /* of a private one: what it reaches instead of the world; all of the
	                       same families */
	size_t n_ports;     /* 0: the world */
};

struct uid_range {
	uid_t first, last;
};

struct variable {
	char *name, *value;
};

enum { CPU_PERIOD_US = 100000 };

/* A resource limit of the builder's processes; UINT64_MAX is unlimited. */
struct rlimit_setting {
	uint64_t soft, hard;
	bool set; /* else what hatchd sets on its own */
};

struct limits {
	uint64_t time_default_sec, time_max_sec; /* limits.time_sec */
	uint64_t silence_sec;                    /* 0: none */
	uint64_t grace_sec;                      /* between SIGTERM and SIGKILL */
	uint64_t wait_sec;                       /* 0: none */
	uint64_t log_bytes, output_bytes, output_entries;
	uint64_t input_bytes, input_entries; /* of what a client sends */
	uint64_t input_sec;                  /* for it, in all */

	/* of the request's cgroup; 0: no limit */
	uint64_t memory_bytes, memory_high_bytes;
	uint64_t swap_bytes;   /* with a limit on memory 0 is none at all */
	uint64_t cpu_quota_us; /* of processor time in each CPU_PERIOD_US; more than it with several
	                        */
	uint64_t tasks;        /* processes and threads of the builder at once */
	uint64_t io_weight;    /* 1 to 10000; others have 100 */

	uint64_t scratch_bytes; /* 0: no limit */

	struct rlimit_setting rlimits[RLIM_NLIMITS]; /* by RLIMIT_*, setrlimit(2) */
};

enum view_base {
	BASE_MINIMAL,
	BASE_HOST,
};

enum place_kind {
	PLACE_READ,
	PLACE_WRITE,
	PLACE_TMPFS,
	PLACE_DEVICE,
	PLACE_HIDE,
	PLACE_OVERLAY,
};

/* Where an overlay keeps what the builder writes, until the request ends. */
enum overlay_top {
	TOP_NONE, /* nothing can be written */
	TOP_DISK,
	TOP_TMPFS,
};

/* What a definition puts into the view. */
struct place {
	enum place_kind kind;
	char *at;             /* in the view; absolute */
	char *source;         /* of the host, shown there; NULL: tmpfs, hide, overlay */
	bool optional;        /* may the source be missing? */
	uint64_t size;        /* bytes of a tmpfs, or of a top on one */
	char **lower;         /* layers of an overlay, the first on top; NULL-terminated */
	enum overlay_top top; /* of an overlay */
	size_t offset;        /* where it stands in the definition, in bytes */
};

/* What a builder has as its "/". */
enum root_kind {
	ROOT_SYSTEM, /* made by hatch: the host's programs and libraries, and little else */
	ROOT_TREE,   /* a directory tree of the host */
	ROOT_IMAGE,  /* a file that holds a file system */
	ROOT_BUNDLE, /* the directory tree of an OCI bundle */
};

/* "uid_map": who a builder is inside of its sandbox. */
enum uid_map {
	UID_MAP_SELF,  /* the build user, as outside */
	UID_MAP_ROOT,  /* root, over what is the build user's */
	UID_MAP_RANGE, /* root, over what is the build user's and over 65535 ids beside it */
};

/* A command of the administrator's, on the host. */
struct hook {
	char **command; /* NULL: none; NULL-terminated, command[0] absolute */
	uint64_t time_sec;
	bool as_root; /* else as the build user */
};

/* Whether a builder may write to its root. */
enum root_top {
	ROOT_TOP_UNSAID, /* no */
	ROOT_TOP_NONE,   /* no, and a bundle cannot say otherwise */
	ROOT_TOP_MEMORY, /* yes, and it is thrown away */
};

/* builders.d/NAME.json */
/* What becomes of store paths in outputs that the build has not as inputs; the client's work. */
enum undeclared_references {
	UNDECLARED_IGNORE,
	UNDECLARED_WARN,
	UNDECLARED_FAIL,
};

struct builder {
	char *name, *file, *description;
	struct source *source; /* of it, for builder_position() */
	char **command;        /* NULL-terminated; command[0] absolute */
	struct {
		uid_t *uids;
		size_t n_uids;
		gid_t *gids;
		size_t n_gids;
		struct uid_range *ranges;
		size_t n_ranges;
		char **derivations; /* fnmatch(3) patterns on the name without hash and ".drv" */
		size_t n_derivations;
		char **features; /* all of them the derivation must require */
		size_t n_features;
		char **sockets; /* policy classes (FileDescriptorName=) it may be reached by;
		                   default: hatch */
		size_t n_sockets;
	} allow;
	struct {
		uint64_t max;
		char **match; /* POSIX extended regular expressions, each on a whole argument;
		                 without any, every text will do */
		size_t n_match;
		bool dash; /* may an argument begin with '-'? */
	} args;
	struct {
		struct variable *set;
		size_t n_set;
		char **accept;
		size_t n_accept;
	} environment;
	bool inputs;        /* may a client send trees along? */
	char **group_names; /* NULL-terminated */
	gid_t *groups;      /* added to the build user's own */
	size_t n_groups;
	enum uid_map uid_map;
	bool allow_userns;   /* may it make user namespaces? */
	bool time_namespace; /* do its clocks since boot begin with it? */
	struct network network;
	struct {
		enum root_kind kind;
		char *path; /* of the tree or image */
		enum root_top top;
		uint64_t size; /* bytes of what may be written */

		/* ROOT_BUNDLE; the others may be NULL there too */
		char *bundle;               /* what holds config.json */
		char *cwd;                  /* where the command starts; NULL: /build */
		char *host_name;            /* NULL: hatch */
		char **masked, **read_only; /* paths in the view; NULL-terminated */
	} root;
	struct seccomp seccomp;
	struct {
		enum view_base base;
		struct place *places; /* sorted by at: what holds others comes before them */
		size_t n_places;
	} view;
	char **credentials; /* names, NULL-terminated; NULL: none */
	size_t n_credentials;
	bool credentials_scan;      /* look for them in the log and the outputs */
	struct resource *resources; /* that a request holds; each is one of the config's */
	size_t n_resources;
	struct hook before, after; /* while they are held */
	struct limits limits;
	enum undeclared_references undeclared_references;
	bool scratch_on_tmpfs;
	bool limits_optional; /* a limit that the host cannot hold is left out instead of refused */
	char **keep_failed;   /* NULL: nothing is kept of a request that failed; else globs, without
	                         any of which a bundle holds no files; see glob.h */
	size_t n_keep_failed;
};

#define cleanup_config  cleanup_(config_done)
#define cleanup_builder cleanup_(builder_done)

void config_done(struct config *config);
void builder_done(struct builder *builder);

/*
 * config_load - read DIR/hatchd.json; the pool's accounts are looked up
 *
 * dir      absolute, as written by the operator; must exist
 * pool     false in unprivileged mode: no build users and no speaker account are looked up, and
 *          files may belong to our own uid instead of root. Call it before any user namespace is
 *          entered: in one, root's files seem to belong to nobody
 * Errors   BLAME_HOST: -EPERM somebody other than root could have written it (the component is
 *          named), -EINVAL with file, line, column and what was expected, -ENOENT no such
 *          directory, -ENOMEM, what open(2) says
 */
int config_load(const char *dir, bool pool, struct config *ret, struct error *err);

/*
 * config_resolve_user - look up the supplementary groups of one of config->users
 *
 * user     points into config->users; resolved afterwards. Before any namespace: it is a look-up
 * Errors   BLAME_HOST: -EINVAL the account may not be in the pool (group 0, or one of Nix's own
 *          build users), -ENOMEM, what the name service says
 */
int config_resolve_user(struct config *config, const struct build_user *user, struct error *err);

/* config_fail - say that the host does not have what a key of hatchd.json names:
 * "FILE:LINE:COLUMN: ", without line and column if it has its default, and the text and hint of
 * why. Returns -why->code, BLAME_HOST */
int config_fail(const struct config *config, const char *key, const struct error *why,
                struct error *err);

/* config_open_state - open the state directory, all of whose path only root can change; *ret_fd is
 * O_PATH. Errors  BLAME_HOST: as trusted_directory() */
int config_open_state(const struct config *config, int *ret_fd, struct error *err);

/*
 * builder_load - read DIR/builders.d/NAME.json; users and groups in it are looked up
 *
 * name     need not be checked by the caller; not a builder's name counts as absent
 * Returns  1, 0 no such file, or a negative errno as of config_load(). Whether the command exists
 * is another question: builder_check_command()
 */
int builder_load(const struct config *config, const char *name, struct builder *ret,
                 struct error *err);

/* Line and column in a file, counted from 1; line 0: it is not there. */
struct position {
	size_t line, column;
};

#define POSITION_OF_KEY   SIZE_MAX
#define POSITION_OF_VALUE (SIZE_MAX - 1)

/*
 * builder_position - where a key of the definition stands, or an item of its list
 *
 * key   of an object in an object with a dot: "allow.users"
 * item  its index, POSITION_OF_KEY, or POSITION_OF_VALUE. A definition that was read without an
 * error has as many items as the field of struct builder, in the same order
 */
struct position builder_position(const struct builder *builder, const char *key, size_t item);

/*
 * builder_fail - say what of the definition the host does not have, and where that stands
 *
 * "FILE:LINE:COLUMN: the WHAT of builder `NAME`: " and the text of why, with its hint; without line
 * and column if the key is not in the definition, like a command that a bundle's file names.
 * key, item  as of builder_position()
 * Returns    -why->code, BLAME_HOST
 */
int builder_fail(const struct builder *builder, const char *key, size_t item, const char *what,
                 const struct error *why, struct error *err);

/* builder_root_fail - the same of the path in "root"; root.c */
int builder_root_fail(const struct builder *builder, const struct error *why, struct error *err);

/*
 * builder_open_root - open what builder->root names, if only root could have changed it
 *
 * ret_fd    O_PATH descriptor of a directory, or an image for reading; -1 for ROOT_SYSTEM
 * ret_type  of the file system in an image, else NULL
 * Errors    BLAME_HOST, with builder and file: as of trusted_directory() and trusted_file(),
 * -EINVAL no image that can be used
 */
int builder_open_root(const struct config *config, const struct builder *builder, int *ret_fd,
                      const char **ret_type, struct error *err);

/* builder_check_root - can hatch put into the root at root_fd what every builder has? Errors:
 * BLAME_HOST -ENOTDIR something else than a directory is in the way */
int builder_check_root(const struct builder *builder, int root_fd, struct error *err);

/*
 * builder_check_command - can the command be run, and could only root have written it?
 *
 * root_fd  the root, an image being mounted: there it is looked for, but for what the view shows of
 *          the host at that path; unused for ROOT_SYSTEM
 * ret_fd   O_PATH descriptor of the program, so that the sandbox can compare device and inode of
 *          what it finds at the same path
 * Errors   BLAME_HOST: -ENOENT it, or the interpreter of a script, is missing; -EACCES it is no
 *          program; -EPERM somebody other than root could have written it; -ENOMEM, what open(2)
 * says
 */
int builder_check_command(const struct config *config, const struct builder *builder, int root_fd,
                          int *ret_fd, struct error *err);

/* builder_find_place - what the definition puts at a path of the view, or at what holds it; NULL:
 * nothing */
const struct place *builder_find_place(const struct builder *builder, const char *path);

/* builder_place_position - where a place stands in the definition */
struct position builder_place_position(const struct builder *builder, const struct place *place);

/*
 * builder_check_place, builder_check_places - does the host have what the view is to show?
 *
 * For places one after the other, and for all until the first error: before anything is made for a
 * request. The sandbox looks again when it opens them.
 * Errors   BLAME_HOST: -ENOENT or -ENOTDIR it is missing and not optional, what stat(2) says
 */
int builder_check_place(const struct builder *builder, const struct place *place,
                        struct error *err);
int builder_check_places(const struct builder *builder, struct error *err);

/* builder_check_start - all of that, as far as it can be seen without mounting anything: not what
 * is inside of an image. 0 or the first error */
int builder_check_start(const struct config *config, const struct builder *builder,
                        struct error *err);

/* builder_host_name - of its sandbox */
const char *builder_host_name(const struct builder *builder);

/*
 * builder_open_network - is what the definition's "network" needs there?
 *
 * ret_fd   the network namespace that it names; else -1
 * Errors   BLAME_HOST: -ENOENT the namespace or pasta is missing, -EINVAL it is no network
 *          namespace, -EPERM somebody other than root could have written pasta, -ENOMEM, what
 *          open(2) says
 */
int builder_open_network(const struct config *config, const struct builder *builder, int *ret_fd,
                         struct error *err);

/* network_name - "none", "host", "private", "namespace" */
const char *network_name(const struct network *network);

/* network_has_names - can others be reached by their names? Then the view has what that needs */
bool network_has_names(const struct network *network);

/* config_list_builders - names of the files in builders.d, sorted; a file that is not NAME.json is
 * an error. *ret is NULL-terminated; release with strv_free() */
int config_list_builders(const struct config *config, char ***ret, struct error *err);

/* builder_check_hooks - builder_check_command() for "before" and "after". Errors  the same */
int builder_check_hooks(const struct config *config, const struct builder *builder,
                        struct error *err);

void hook_done(struct hook *hook);

/* resource_find - the one of that name, or NULL */
const struct resource *resource_find(const struct resource *resources, size_t n_resources,
                                     const char *name);

/* resources_free - release n_resources of them, and the array */
void resources_free(struct resource *resources, size_t n_resources);

/* strv_free, strv_freep - release a NULL-terminated list of strings; NULL is an empty one */
void strv_free(char **strings);

static inline void strv_freep(char ***strings)
{
	strv_free(*strings);
}
