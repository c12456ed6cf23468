/* The definition of a builder: its keys, their defaults, and what must fit together. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "accounts.h"
#include "config.h"
#include "environment.h"
#include "hatchd/request/record.h"
#include "lib/base/text.h"
#include "pattern.h"
#include "read.h"
#include "trusted-path.h"

enum {
	DESCRIPTION_MAX = 512,
	ARGUMENT_MAX = 131071, /* MAX_ARG_STRLEN of the kernel, without the NUL */
	GLOB_MAX = 255,
	GRACE_SEC_MAX = 300,
};

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)

static const char default_socket[] = "hatch";

static const struct limits default_limits = {
	.time_default_sec = 600,
	.time_max_sec = 600,
	.silence_sec = 0,
	.grace_sec = 5,
	.log_bytes = 64 * MIB,
	.output_bytes = GIB,
	.output_entries = 100000,
};

void builder_done(struct builder *builder)
{
	free(builder->name);
	free(builder->file);
	free(builder->description);
	strv_free(builder->command);
	free(builder->allow.uids);
	free(builder->allow.gids);
	free(builder->allow.ranges);
	strv_free(builder->allow.derivations);
	strv_free(builder->allow.sockets);
	strv_free(builder->args.match);
	for (size_t i = 0; i < builder->environment.n_set; i++) {
		free(builder->environment.set[i].name);
		free(builder->environment.set[i].value);
	}
	free(builder->environment.set);
	strv_free(builder->environment.accept);
	strv_free(builder->group_names);
	free(builder->groups);
	for (size_t i = 0; i < builder->n_binds; i++)
		free(builder->binds[i].path);
	free(builder->binds);
	*builder = (struct builder){ 0 };
}

/* A list of strings, each checked by check() first. min_items 1: an empty list is refused, where
 * it could be read as "none" and as "any". */
static int read_strings(struct reading *in, const struct value *value, size_t min_items,
                        int (*check)(struct reading *in, const struct value *list,
                                     const struct value *item),
                        char ***ret, size_t *ret_n)
{
	size_t n = 0;
	char **list;
	int r = expect_list(in, value, min_items);

	if (r < 0)
		return r;
	list = calloc(value->n_items + 1, sizeof(*list));
	if (!list)
		return reading_no_memory(in);
	*ret = list;
	for (size_t i = 0; i < value->n_items && !reading_stops(in); i++) {
		if (check(in, value, &value->items[i]) < 0)
			continue;
		list[n] = strdup(value->items[i].string);
		if (!list[n])
			return reading_no_memory(in);
		n++;
	}
	*ret_n = n;
	return in->first;
}

/* A list of numbers or other things of one size, each made by make(). */
static int read_items(struct reading *in, const struct value *value, size_t item_len,
                      int (*make)(struct reading *in, const struct value *item, void *ret),
                      void **ret, size_t *ret_n)
{
	size_t n = 0;
	int r = expect_list(in, value, 0);

	if (r < 0 || value->n_items == 0)
		return r;
	*ret = calloc(value->n_items, item_len);
	if (!*ret)
		return reading_no_memory(in);
	for (size_t i = 0; i < value->n_items && !reading_stops(in); i++)
		if (make(in, &value->items[i], (char *)*ret + n * item_len) >= 0)
			n++;
	*ret_n = n;
	return in->first;
}

static int check_word(struct reading *in, const struct value *list, const struct value *item)
{
	int r = expect_text(in, item, ARGUMENT_MAX);

	if (r < 0)
		return r;
	return item == list->items ? expect_path(in, item) : 0;
}

static int read_command(struct reading *in, const struct value *value, const struct member *row,
                        void *object)
{
	struct builder *builder = object;
	size_t n;

	return read_strings(in, value, 1, check_word, &builder->command, &n);
}

/* A uid or gid as a JSON integer. */
static int read_id(struct reading *in, const struct value *value, uint32_t *ret)
{
	if (value->integer < 1 || value->integer > UINT32_MAX - 1)
		return reading_fail(in, value, EINVAL,
		                    "%" PRId64 " is out of range; expected 1 to %" PRIu32
		                    " (root is written \"root\", where it is allowed)",
		                    value->integer, UINT32_MAX - 1);
	*ret = (uint32_t)value->integer;
	return 0;
}

static bool is_digits(const char *text)
{
	return text[strspn(text, "0123456789")] == '\0';
}

static int expect_name(struct reading *in, const struct value *value)
{
	char shown[SHOW_LEN];

	if (value->kind != VALUE_STRING)
		return reading_fail(in, value, EINVAL, "this is %s; expected a name or an integer",
		                    value_kind_name(value->kind));
	if (is_digits(value->string))
		return reading_fail(
			in, value, EINVAL,
			"\"%s\" is no name; expected a name, or an integer without quotes",
			show(value->string, shown));
	return 0;
}

static int make_uid(struct reading *in, const struct value *item, void *ret)
{
	char shown[SHOW_LEN];
	struct error err;
	gid_t gid;
	int r;

	if (item->kind == VALUE_INTEGER)
		return read_id(in, item, ret);
	r = expect_name(in, item);
	if (r < 0)
		return r;
	r = account_find_user(item->string, ret, &gid, &err);
	if (r < 0)
		return reading_keep_error(in, &err);
	if (r == 0)
		return reading_fail(in, item, ENOENT,
		                    "there is no user \"%s\"; expected a user of this machine",
		                    show(item->string, shown));
	return 0;
}

static int make_gid(struct reading *in, const struct value *item, void *ret)
{
	char shown[SHOW_LEN];
	struct error err;
	int r;

	if (item->kind == VALUE_INTEGER)
		return read_id(in, item, ret);
	r = expect_name(in, item);
	if (r < 0)
		return r;
	r = account_find_group(item->string, ret, &err);
	if (r < 0)
		return reading_keep_error(in, &err);
	if (r == 0)
		return reading_fail(in, item, ENOENT,
		                    "there is no group \"%s\"; expected a group of this machine",
		                    show(item->string, shown));
	return 0;
}

static int read_users(struct reading *in, const struct value *value, const struct member *row,
                      void *object)
{
	struct builder *builder = object;

	return read_items(in, value, sizeof(uid_t), make_uid, (void **)&builder->allow.uids,
	                  &builder->allow.n_uids);
}

static int read_groups_allowed(struct reading *in, const struct value *value,
                               const struct member *row, void *object)
{
	struct builder *builder = object;

	return read_items(in, value, sizeof(gid_t), make_gid, (void **)&builder->allow.gids,
	                  &builder->allow.n_gids);
}

/* While a range is read its ends are as wide as any number, as read_count() writes them. */
struct ends {
	uint64_t first, last;
};

static const struct member range_members[] = {
	{ "first", read_count, offsetof(struct ends, first), 1, UINT32_MAX - 1, .required = true },
	{ "last", read_count, offsetof(struct ends, last), 1, UINT32_MAX - 1, .required = true },
};

static const struct member range_object = { .rows = range_members,
	                                    .n_rows = ARRAY_SIZE(range_members) };

static int make_range(struct reading *in, const struct value *item, void *ret)
{
	struct uid_range *range = ret;
	struct ends ends = { 0, 0 };

	if (read_members(in, item, &range_object, &ends) < 0)
		return in->first;
	if (ends.first > ends.last)
		return reading_fail(in, item, EINVAL,
		                    "the range ends before it begins; expected first <= last");
	*range = (struct uid_range){ (uid_t)ends.first, (uid_t)ends.last };
	return 0;
}

static int read_ranges(struct reading *in, const struct value *value, const struct member *row,
                       void *object)
{
	struct builder *builder = object;

	return read_items(in, value, sizeof(struct uid_range), make_range,
	                  (void **)&builder->allow.ranges, &builder->allow.n_ranges);
}

static int check_glob(struct reading *in, const struct value *list, const struct value *item)
{
	int r = expect_text(in, item, GLOB_MAX);

	if (r < 0)
		return r;
	if (item->string[0] == '\0' || strchr(item->string, '/'))
		return reading_fail(in, item, EINVAL,
		                    "this matches no derivation; expected a pattern on the name "
		                    "without hash and \".drv\"");
	return 0;
}

static int read_derivations(struct reading *in, const struct value *value, const struct member *row,
                            void *object)
{
	struct builder *builder = object;

	return read_strings(in, value, 1, check_glob, &builder->allow.derivations,
	                    &builder->allow.n_derivations);
}

static int check_socket(struct reading *in, const struct value *list, const struct value *item)
{
	int r = expect_kind(in, item, VALUE_STRING);

	if (r < 0)
		return r;
	if (!text_is_name(item->string, strlen(item->string)))
		return reading_fail(
			in, item, EINVAL,
			"this is no class of a socket; expected a FileDescriptorName= of "
			"[a-z0-9][a-z0-9._-]{0,63}");
	return 0;
}

static int read_sockets(struct reading *in, const struct value *value, const struct member *row,
                        void *object)
{
	struct builder *builder = object;

	strv_free(take_ptr(&builder->allow.sockets));
	builder->allow.n_sockets = 0;
	return read_strings(in, value, 1, check_socket, &builder->allow.sockets,
	                    &builder->allow.n_sockets);
}

static int check_pattern(struct reading *in, const struct value *list, const struct value *item)
{
	cleanup_patterns struct patterns patterns = { 0 };
	char why[PATTERN_WHY_MAX], shown[SHOW_LEN];
	char *text;
	size_t bad;
	int r = expect_kind(in, item, VALUE_STRING);

	if (r < 0)
		return r;
	text = (char *)item->string;
	r = patterns_compile(&text, 1, &patterns, &bad, why);
	if (r == -ENOMEM)
		return reading_no_memory(in);
	if (r < 0)
		return reading_fail(in, item, EINVAL,
		                    "%s; expected a POSIX extended regular expression",
		                    show(why, shown));
	return 0;
}

static int read_match(struct reading *in, const struct value *value, const struct member *row,
                      void *object)
{
	struct builder *builder = object;

	return read_strings(in, value, 1, check_pattern, &builder->args.match,
	                    &builder->args.n_match);
}

/* The name of a variable that a definition may speak of. at: where to complain */
static int check_variable(struct reading *in, const struct value *at, const char *name)
{
	char shown[SHOW_LEN];
	const char *why;

	if (!text_is_variable(name, strlen(name)))
		return reading_fail_key(in, at, EINVAL,
		                        "\"%s\" is no name of a variable; expected "
		                        "[A-Za-z_][A-Za-z0-9_]{0,127}",
		                        show(name, shown));
	why = variable_why_fixed(name);
	if (why)
		return reading_fail_key(in, at, EINVAL, "%s: %s; expected another name", name, why);
	return 0;
}

static int read_set(struct reading *in, const struct value *value, const struct member *row,
                    void *object)
{
	struct builder *builder = object;
	int r = expect_kind(in, value, VALUE_OBJECT);

	if (r < 0 || value->n_items == 0)
		return r;
	builder->environment.set = calloc(value->n_items, sizeof(*builder->environment.set));
	if (!builder->environment.set)
		return reading_no_memory(in);
	for (size_t i = 0; i < value->n_items && !reading_stops(in); i++) {
		const struct value *item = &value->items[i];
		struct variable *variable = &builder->environment.set[builder->environment.n_set];

		if (check_variable(in, item, item->key) < 0 ||
		    expect_text(in, item, ARGUMENT_MAX - strlen(item->key) - 1) < 0)
			continue;
		builder->environment.n_set++;
		variable->name = strdup(item->key);
		variable->value = strdup(item->string);
		if (!variable->name || !variable->value)
			return reading_no_memory(in);
	}
	return in->first;
}

static int check_accepted(struct reading *in, const struct value *list, const struct value *item)
{
	const char *why;
	int r = expect_kind(in, item, VALUE_STRING);

	if (r < 0)
		return r;
	r = check_variable(in, item, item->string);
	if (r < 0)
		return r;
	why = variable_why_dangerous(item->string);
	if (why)
		return reading_fail(in, item, EINVAL,
		                    "a client may not set %s: %s; expected a variable of the "
		                    "builder's own (environment.set may set it)",
		                    item->string, why);
	for (const struct value *before = list->items; before < item; before++)
		if (before->kind == VALUE_STRING && strcmp(before->string, item->string) == 0)
			return reading_fail(in, item, EINVAL,
			                    "%s is in the list already; expected each name once",
			                    item->string);
	return 0;
}

static int read_accept(struct reading *in, const struct value *value, const struct member *row,
                       void *object)
{
	struct builder *builder = object;

	return read_strings(in, value, 0, check_accepted, &builder->environment.accept,
	                    &builder->environment.n_accept);
}

static int make_joined_group(struct reading *in, const struct value *item, void *ret)
{
	gid_t gid = 0;
	int r = expect_kind(in, item, VALUE_STRING);

	if (r < 0)
		return r;
	r = make_gid(in, item, &gid);
	if (r < 0)
		return r;
	if (gid == 0 || id_is_nobody(gid))
		return reading_fail(
			in, item, EINVAL,
			"group %u is no group for a builder; expected neither root's nor "
			"nobody's",
			gid);
	*(gid_t *)ret = gid;
	return 0;
}

/* The number is looked up with the name, by read_items() after it. */
static int check_joined_group(struct reading *in, const struct value *list,
                              const struct value *item)
{
	return expect_kind(in, item, VALUE_STRING);
}

static int read_joined_groups(struct reading *in, const struct value *value,
                              const struct member *row, void *object)
{
	struct builder *builder = object;
	size_t n_names;
	int r;

	r = read_items(in, value, sizeof(gid_t), make_joined_group, (void **)&builder->groups,
	               &builder->n_groups);
	if (r < 0)
		return r;
	strv_free(take_ptr(&builder->group_names));
	return read_strings(in, value, 0, check_joined_group, &builder->group_names, &n_names);
}

/* One of a few words; *ret is its index. */
static int read_word(struct reading *in, const struct value *value, const char *const *words,
                     size_t n_words, const char *expected, size_t *ret)
{
	char shown[SHOW_LEN];
	int r = expect_kind(in, value, VALUE_STRING);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n_words; i++)
		if (strcmp(value->string, words[i]) == 0) {
			*ret = i;
			return 0;
		}
	return reading_fail(in, value, EINVAL, "\"%s\"; expected %s", show(value->string, shown),
	                    expected);
}

static int read_network(struct reading *in, const struct value *value, const struct member *row,
                        void *object)
{
	static const char *const words[] = { "none", "host" };
	struct builder *builder = object;
	size_t chosen = 0;
	int r = read_word(in, value, words, ARRAY_SIZE(words), "\"none\" or \"host\"", &chosen);

	if (r == 0)
		builder->network_host = chosen == 1;
	return r;
}

static int read_base(struct reading *in, const struct value *value, const struct member *row,
                     void *object)
{
	static const char *const words[] = { "minimal" };
	size_t chosen = 0;

	return read_word(in, value, words, ARRAY_SIZE(words), "\"minimal\"", &chosen);
}

/* Is path inner the place outer, or inside of it? */
static bool is_below(const char *inner, const char *outer)
{
	size_t len = strlen(outer);

	return strcmp(outer, "/") == 0 ||
	       (strncmp(inner, outer, len) == 0 && (inner[len] == '/' || inner[len] == '\0'));
}

enum {
	PLACE_BELOW = 1,  /* also what is inside of it is refused */
	PLACE_AROUND = 2, /* and what holds it */
};

/* Places that hatch makes itself in every view, or that no builder may see. */
static int check_place(struct reading *in, const struct value *item)
{
	const struct {
		const char *path, *why;
		unsigned also;
	} places[] = {
		{ "/", "the view is not the whole host", 0 },
		{ "/proc", "hatch mounts one of the builder's own", PLACE_BELOW },
		{ "/sys", "no builder sees it", PLACE_BELOW },
		{ "/dev", "hatch makes one of the builder's own", PLACE_BELOW },
		{ "/tmp", "hatch makes one of the builder's own", 0 },
		{ "/var/tmp", "it leads to the builder's own /tmp", 0 },
		{ "/build", "hatch makes one of the builder's own", PLACE_BELOW },
		{ "/run/hatch", "it holds hatch's own sockets", PLACE_BELOW | PLACE_AROUND },
		{ in->config->store_dir, "every builder sees the store",
		  PLACE_BELOW | PLACE_AROUND },
		{ in->config->state_dir, "it holds what other requests write",
		  PLACE_BELOW | PLACE_AROUND },
		{ in->config->dir, "it holds hatch's own configuration", PLACE_BELOW },
	};
	char shown[SHOW_LEN];

	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		if (strcmp(item->string, places[i].path) == 0 ||
		    ((places[i].also & PLACE_BELOW) && is_below(item->string, places[i].path)) ||
		    ((places[i].also & PLACE_AROUND) && is_below(places[i].path, item->string)))
			return reading_fail(in, item, EINVAL,
			                    "this meets %s: %s; expected a path that does not",
			                    show(places[i].path, shown), places[i].why);
	return 0;
}

static int add_binds(struct reading *in, const struct value *value, struct builder *builder,
                     bool writable)
{
	struct bind *binds;
	int r = expect_list(in, value, 0);

	if (r < 0 || value->n_items == 0)
		return r;
	binds = reallocarray(builder->binds, builder->n_binds + value->n_items, sizeof(*binds));
	if (!binds)
		return reading_no_memory(in);
	builder->binds = binds;
	for (size_t i = 0; i < value->n_items && !reading_stops(in); i++) {
		struct bind *bind = &binds[builder->n_binds];

		if (expect_path(in, &value->items[i]) < 0 || check_place(in, &value->items[i]) < 0)
			continue;
		*bind = (struct bind){ strdup(value->items[i].string), writable };
		if (!bind->path)
			return reading_no_memory(in);
		builder->n_binds++;
	}
	return in->first;
}

static int read_binds_read(struct reading *in, const struct value *value, const struct member *row,
                           void *object)
{
	return add_binds(in, value, object, false);
}

static int read_binds_write(struct reading *in, const struct value *value, const struct member *row,
                            void *object)
{
	return add_binds(in, value, object, true);
}

static const struct member time_members[] = {
	{ "default", read_count, offsetof(struct builder, limits.time_default_sec), 1,
	  RECORD_TIMEOUT_SEC_MAX, .required = true },
	{ "max", read_count, offsetof(struct builder, limits.time_max_sec), 1,
	  RECORD_TIMEOUT_SEC_MAX, .required = true },
};

static const struct member time_object = { .rows = time_members,
	                                   .n_rows = ARRAY_SIZE(time_members) };

static int read_time(struct reading *in, const struct value *value, const struct member *row,
                     void *object)
{
	struct builder *builder = object;
	int r;

	if (value->kind == VALUE_INTEGER) {
		r = read_count(in, value, &time_members[0], builder);
		builder->limits.time_max_sec = builder->limits.time_default_sec;
		return r;
	}
	if (value->kind != VALUE_OBJECT)
		return reading_fail(in, value, EINVAL,
		                    "this is %s; expected seconds, or {\"default\": seconds, "
		                    "\"max\": seconds}",
		                    value_kind_name(value->kind));
	r = read_members(in, value, &time_object, builder);
	if (r < 0)
		return r;
	if (builder->limits.time_default_sec > builder->limits.time_max_sec)
		return reading_fail(in, value, EINVAL,
		                    "default is above max; expected at most %" PRIu64,
		                    builder->limits.time_max_sec);
	return 0;
}

#define FIELD(field)  offsetof(struct builder, field)
#define INSIDE(table) .rows = table, .n_rows = ARRAY_SIZE(table)

static const struct member allow_members[] = {
	{ "users", read_users },       { "groups", read_groups_allowed },
	{ "uid_ranges", read_ranges }, { "derivations", read_derivations },
	{ "sockets", read_sockets },
};

static const struct member args_members[] = {
	{ "max", read_count, FIELD(args.max), 0, RECORD_ARGS_MAX },
	{ "match", read_match },
	{ "dash", read_truth, FIELD(args.dash) },
};

static const struct member environment_members[] = {
	{ "set", read_set },
	{ "accept", read_accept },
};

static const struct member view_members[] = {
	{ "base", read_base },
	{ "read", read_binds_read },
	{ "write", read_binds_write },
};

static const struct member limits_members[] = {
	{ "time_sec", read_time },
	{ "silence_sec", read_count, FIELD(limits.silence_sec), 0, RECORD_TIMEOUT_SEC_MAX },
	{ "grace_sec", read_count, FIELD(limits.grace_sec), 0, GRACE_SEC_MAX },
	{ "log", read_size, FIELD(limits.log_bytes), 1, TIB },
	{ "output", read_size, FIELD(limits.output_bytes), 1, 16 * TIB },
	{ "output_entries", read_count, FIELD(limits.output_entries), 1, 100000000 },
};

static const struct member builder_members[] = {
	{ "description", read_line, FIELD(description), 0, DESCRIPTION_MAX },
	{ "command", read_command, .required = true },
	{ "allow", read_members, INSIDE(allow_members) },
	{ "args", read_members, INSIDE(args_members) },
	{ "environment", read_members, INSIDE(environment_members) },
	{ "groups", read_joined_groups },
	{ "network", read_network },
	{ "view", read_members, INSIDE(view_members) },
	{ "limits", read_members, INSIDE(limits_members) },
};

static const struct member builder_object = { INSIDE(builder_members) };

static int set_defaults(const struct config *config, const char *name, struct builder *builder)
{
	builder->limits = default_limits;
	builder->name = strdup(name);
	builder->description = strdup("");
	builder->group_names = calloc(1, sizeof(char *));
	builder->allow.sockets = calloc(2, sizeof(char *));
	if (builder->allow.sockets) {
		builder->allow.sockets[0] = strdup(default_socket);
		builder->allow.n_sockets = 1;
	}
	if (asprintf(&builder->file, "%s/builders.d/%s.json", config->dir, name) < 0)
		builder->file = NULL;
	return builder->name && builder->description && builder->group_names &&
	                       builder->allow.sockets && builder->allow.sockets[0] && builder->file
	               ? 0
	               : -ENOMEM;
}

static const struct value *find_value(const struct document *doc, const char *object,
                                      const char *key)
{
	const struct value *outer = value_member(&doc->root, object);

	return outer ? value_member(outer, key) : NULL;
}

/* A variable that is set and accepted would have two values. */
static int check_two_definitions(struct reading *in)
{
	const struct value *set = find_value(in->doc, "environment", "set");
	const struct value *accept = find_value(in->doc, "environment", "accept");

	for (size_t i = 0; set && accept && i < accept->n_items; i++)
		if (accept->items[i].string && value_member(set, accept->items[i].string))
			(void)reading_fail(
				in, &accept->items[i], EINVAL,
				"%s is in environment.set too; expected it in one of them",
				accept->items[i].string);
	return in->first;
}

static int compare_binds(const void *a, const void *b)
{
	return strcmp(((const struct bind *)a)->path, ((const struct bind *)b)->path);
}

static int check_binds(struct reading *in, struct builder *builder)
{
	char shown[SHOW_LEN];

	if (builder->n_binds > 0)
		qsort(builder->binds, builder->n_binds, sizeof(*builder->binds), compare_binds);
	for (size_t i = 1; i < builder->n_binds; i++)
		if (compare_binds(&builder->binds[i - 1], &builder->binds[i]) == 0)
			return reading_fail(
				in, value_member(&in->doc->root, "view"), EINVAL,
				"%s is there twice; expected it once, in read or in write",
				show(builder->binds[i].path, shown));
	return 0;
}

int builder_parse(const struct config *config, const char *name, const char *text, size_t len,
                  const struct config_report *report, struct builder *ret, struct error *err)
{
	cleanup_builder struct builder builder = { 0 };
	cleanup_document struct document doc = { .name = name };
	struct reading in = { .doc = &doc, .config = config, .report = report, .err = err };
	struct error parse_err;

	if (set_defaults(config, name, &builder) < 0)
		return reading_no_memory(&in);
	if (document_parse(builder.file, text, len, &doc, &parse_err) < 0)
		return reading_keep_error(&in, &parse_err);
	(void)read_members(&in, &doc.root, &builder_object, &builder);
	if (!reading_stops(&in))
		(void)check_two_definitions(&in);
	if (!reading_stops(&in))
		(void)check_binds(&in, &builder);
	if (in.first < 0)
		return in.first;
	*ret = builder;
	builder = (struct builder){ 0 };
	return 0;
}

int builder_load_reporting(const struct config *config, const char *name,
                           const struct config_report *report, struct builder *ret,
                           struct error *err)
{
	struct reading in = { .doc = &(struct document){ .name = name },
		              .report = report,
		              .err = err };
	cleanup_free char *path = NULL, *text = NULL;
	struct error text_err;
	size_t len;
	int r;

	if (!text_is_name(name, strlen(name)))
		return 0;
	if (asprintf(&path, "%s/builders.d/%s.json", config->dir, name) < 0) {
		path = NULL;
		return reading_no_memory(&in);
	}
	r = config_read_text(path, config->owner_uid, &text, &len, &text_err);
	if (r < 0)
		return reading_keep_error(&in, &text_err);
	if (r == 0)
		return 0;
	r = builder_parse(config, name, text, len, report, ret, err);
	return r < 0 ? r : 1;
}

int builder_load(const struct config *config, const char *name, struct builder *ret,
                 struct error *err)
{
	return builder_load_reporting(config, name, NULL, ret, err);
}

int builder_check_command(const struct builder *builder, bool pool, int *ret_fd, struct error *err)
{
	struct error why;
	int r = trusted_program(builder->command[0], pool ? 0 : geteuid(), ret_fd, NULL, &why);

	if (r == 0)
		return 0;
	(void)error_set(err, BLAME_HOST, why.code, "the command of builder `%s` (%s): %s",
	                builder->name, builder->file, why.text);
	if (why.hint[0])
		(void)error_hint(err, "%s", why.hint);
	return -why.code;
}
