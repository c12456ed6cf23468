/*
 * The one place that decides: compares what the client said (a record), who it is (a peer) and what
 * the administrator wrote (a builder), and makes a request of it or says no. What it allows stands
 * in hatch-builder(5); everything else is refused. Only request_check() makes a struct request.
 */
#include <assert.h>
#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "hatchd/config/accounts.h"
#include "hatchd/config/pattern.h"
#include "lib/base/text.h"
#include "request.h"

enum {
	SHOWN_LEN = 160,
	ARGUMENT_MAX = 131071, /* MAX_ARG_STRLEN of the kernel, without the NUL */
	STORE_HASH_LEN = 32,
};

/* How the answer looks to a peer that may not use a builder, and to one that named none. */
static const char unusable_hint[] = "a Nix build may lack what a builder asks for, such as "
				    "requiredSystemFeatures = [ \"hatch-NAME\" ]; why it is so "
				    "stands in the journal of the host";

void rulings_done(struct rulings *rulings)
{
	free(rulings->items);
	*rulings = (struct rulings){ 0 };
}

/* Note what decided. Only who explains has a list to note it in. Returns the ruling's own texts, or
 * NULL. */
static struct ruling *note(struct rulings *rulings, bool allowed, const char *key, size_t item)
{
	struct ruling *items;

	if (!rulings || rulings->failed)
		return NULL;
	items = reallocarray(rulings->items, rulings->n_items + 1, sizeof(*items));
	if (!items) {
		rulings->failed = true;
		return NULL;
	}
	rulings->items = items;
	items[rulings->n_items] = (struct ruling){ .key = key, .item = item, .allowed = allowed };
	return &items[rulings->n_items++];
}

__attribute__((format(printf, 3, 4))) static void describe(struct ruling *ruling, const char *about,
                                                           const char *fmt, ...)
{
	va_list ap;

	if (!ruling)
		return;
	(void)snprintf(ruling->about, sizeof(ruling->about), "%s", about);
	va_start(ap, fmt);
	(void)vsnprintf(ruling->text, sizeof(ruling->text), fmt, ap);
	va_end(ap);
}

static void note_refusal(struct rulings *rulings, const char *key, const char *about)
{
	describe(note(rulings, false, key, POSITION_OF_KEY), about, "%s", "");
}

static const char *shown(const char *text, size_t len, char buf[SHOWN_LEN])
{
	text_escape(text, len, buf, SHOWN_LEN);
	return buf;
}

static int conceal(const char *name, size_t len, struct error *err)
{
	char text[ERROR_PEER_MAX], buf[SHOWN_LEN];

	(void)snprintf(text, sizeof(text), "there is no builder `%s` that you may use",
	               shown(name, len, buf));
	(void)error_conceal(err, text, unusable_hint);
	return -EACCES;
}

static int refuse_unknown(const struct config *config, const struct record *record,
                          struct error *err)
{
	char buf[SHOWN_LEN];

	(void)shown(record->builder.data, record->builder.len, buf);
	(void)error_set(err, BLAME_POLICY, EACCES, "there is no builder `%s` in %s/builders.d", buf,
	                config->dir);
	(void)error_hint(err, "write its definition to %s/builders.d/%s.json, see hatch-builder(5)",
	                 config->dir, buf);
	return conceal(record->builder.data, record->builder.len, err);
}

/* The index of an id, or -1. */
static ssize_t find_id(const uint32_t *ids, size_t n_ids, uint32_t id)
{
	for (size_t i = 0; i < n_ids; i++)
		if (ids[i] == id)
			return (ssize_t)i;
	return -1;
}

static ssize_t find_range(const struct builder *builder, uid_t uid)
{
	for (size_t i = 0; i < builder->allow.n_ranges; i++)
		if (uid >= builder->allow.ranges[i].first && uid <= builder->allow.ranges[i].last)
			return (ssize_t)i;
	return -1;
}

/* A process of a builder: it runs as a build user, or is in their group. */
static bool is_build_user(const struct config *config, const struct peer *peer)
{
	if (!config->pool)
		return false;
	for (size_t i = 0; i < config->n_users; i++)
		if (config->users[i].uid == peer->uid)
			return true;
	return peer->gid == config->build_gid ||
	       find_id(peer->groups, peer->n_groups, config->build_gid) >= 0;
}

/*
 * Some are meant only by those who write their name: root, ids that stand for nobody in particular,
 * and builders, whose groups are given to them for other ends.
 */
static bool needs_own_name(const struct config *config, const struct peer *peer)
{
	return peer->uid == 0 || id_is_nobody(peer->uid) || is_build_user(config, peer);
}

/* Is the peer in the group? As primary group or in the others. */
static bool is_in_group(const struct peer *peer, gid_t gid)
{
	return peer->gid == gid || find_id(peer->groups, peer->n_groups, gid) >= 0;
}

static ssize_t find_group(const struct builder *builder, const struct peer *peer)
{
	for (size_t i = 0; i < builder->allow.n_gids; i++)
		if (is_in_group(peer, builder->allow.gids[i]))
			return (ssize_t)i;
	return -1;
}

/* Which entry of "allow" means the peer? */
static bool find_identity(const struct builder *builder, const struct peer *peer, bool own_name,
                          struct rulings *rulings)
{
	static const char about[] = "peer";
	ssize_t i = find_id(builder->allow.uids, builder->allow.n_uids, peer->uid);

	if (i >= 0)
		describe(note(rulings, true, "allow.users", (size_t)i), about, "uid %u", peer->uid);
	if (i >= 0 || own_name)
		return i >= 0;
	i = find_group(builder, peer);
	if (i >= 0) {
		describe(note(rulings, true, "allow.groups", (size_t)i), about, "gid %u",
		         builder->allow.gids[i]);
		return true;
	}
	i = find_range(builder, peer->uid);
	if (i >= 0)
		describe(note(rulings, true, "allow.uid_ranges", (size_t)i), about,
		         "uid %u is from %u to %u", peer->uid, builder->allow.ranges[i].first,
		         builder->allow.ranges[i].last);
	return i >= 0;
}

static int allow_identity(const struct config *config, const struct builder *builder,
                          const struct peer *peer, struct rulings *rulings, struct error *err)
{
	bool own_name = needs_own_name(config, peer);

	if (find_identity(builder, peer, own_name, rulings))
		return 0;
	note_refusal(rulings, own_name ? "allow.users" : "allow", "peer");
	(void)error_set(err, BLAME_POLICY, EACCES,
	                "uid %u (gid %u, %zu supplementary groups) may not use the builder `%s`: "
	                "%s in %s",
	                peer->uid, peer->gid, peer->n_groups, builder->name,
	                own_name ? "root, nobody and build users need their own line in "
	                           "allow.users"
	                         : "not in allow.users, allow.groups or allow.uid_ranges",
	                builder->file);
	(void)error_hint(err,
	                 own_name
	                         ? "only its name or number in allow.users of %s would allow it"
	                         : "add its name or number to allow.users, or one of its groups to "
	                           "allow.groups, in %s",
	                 builder->file);
	return -EACCES;
}

static int allow_socket(const struct builder *builder, const char *socket_class,
                        struct rulings *rulings, struct error *err)
{
	static const char about[] = "socket";
	char buf[SHOWN_LEN];

	for (size_t i = 0; i < builder->allow.n_sockets; i++)
		if (strcmp(builder->allow.sockets[i], socket_class) == 0) {
			describe(note(rulings, true, "allow.sockets", i), about, "class %s",
			         socket_class);
			return 0;
		}
	note_refusal(rulings, "allow.sockets", about);
	(void)shown(socket_class, strlen(socket_class), buf);
	(void)error_set(err, BLAME_POLICY, EACCES,
	                "the builder `%s` is not reached by sockets of the class `%s`: not in "
	                "allow.sockets in %s",
	                builder->name, buf, builder->file);
	(void)error_hint(err, "add \"%s\" to allow.sockets in %s", buf, builder->file);
	return -EACCES;
}

/* "<hash>-<name>.drv" to "<name>". peer_identify() has checked the form. */
static void name_of_derivation(const char *derivation, char ret[DERIVATION_MAX + 1])
{
	const char *name = derivation + STORE_HASH_LEN + 1;
	size_t len = strlen(derivation);

	assert(len > STORE_HASH_LEN + 1 + strlen(".drv"));
	(void)snprintf(ret, DERIVATION_MAX + 1, "%.*s",
	               (int)(len - STORE_HASH_LEN - 1 - strlen(".drv")), name);
}

static int allow_derivation(const struct builder *builder, const struct peer *peer,
                            struct rulings *rulings, struct error *err)
{
	static const char about[] = "derivation", key[] = "allow.derivations";
	char name[DERIVATION_MAX + 1];

	if (builder->allow.n_derivations == 0) {
		describe(note(rulings, true, key, POSITION_OF_KEY), about, "not asked for");
		return 0;
	}
	if (!peer->derivation[0]) {
		note_refusal(rulings, key, about);
		(void)error_set(err, BLAME_POLICY, EACCES,
		                "the builder `%s` is for certain derivations (allow.derivations in "
		                "%s), and which one asks is not known: %s",
		                builder->name, builder->file,
		                peer->derivation_why ? peer->derivation_why : "it is no Nix build");
		(void)error_hint(err, "only without allow.derivations would it be allowed");
		return -EACCES;
	}
	name_of_derivation(peer->derivation, name);
	for (size_t i = 0; i < builder->allow.n_derivations; i++)
		if (fnmatch(builder->allow.derivations[i], name, 0) == 0) {
			describe(note(rulings, true, key, i), about, "%.80s matches %.80s", name,
			         builder->allow.derivations[i]);
			return 0;
		}
	note_refusal(rulings, key, about);
	(void)error_set(err, BLAME_POLICY, EACCES,
	                "the derivation %s may not use the builder `%s`: no pattern of "
	                "allow.derivations in %s matches its name",
	                peer->derivation, builder->name, builder->file);
	(void)error_hint(err, "add \"%s\" to allow.derivations in %s", name, builder->file);
	return -EACCES;
}

static const char features_about[] = "features", features_key[] = "allow.features";

/* What the derivation requires is not known. 0 if the administrator takes that for enough. */
static int allow_unknown(const struct config *config, const struct builder *builder,
                         const struct peer *peer, struct rulings *rulings, struct error *err)
{
	if (peer->derivation_missing && config->allow_missing) {
		describe(note(rulings, true, features_key, POSITION_OF_KEY), features_about,
		         "not on this machine, and missing_derivation is \"allow\"");
		return 0;
	}
	note_refusal(rulings, features_key, features_about);
	if (!peer->derivation[0]) {
		(void)error_set(err, BLAME_POLICY, EACCES,
		                "the builder `%s` is for derivations that require certain features "
		                "(allow.features in %s), and which one asks is not known: %s",
		                builder->name, builder->file,
		                peer->derivation_why ? peer->derivation_why : "it is no Nix build");
		return error_hint(err, "only without allow.features would it be allowed");
	}
	(void)error_set(
		err, BLAME_POLICY, EACCES,
		"which features the derivation %s requires is not known, and allow.features "
		"in %s asks for some: %s",
		peer->derivation, builder->file,
		peer->derivation_missing ? "its file is not on this machine" : peer->features_why);
	return peer->derivation_missing
	               ? error_hint(err,
	                            "for builds that trusted users send from other machines there "
	                            "is \"missing_derivation\": \"allow\" in %s",
	                            config->file)
	               : error_hint(err, "only without allow.features would it be allowed");
}

static int allow_features(const struct config *config, const struct builder *builder,
                          const struct peer *peer, struct rulings *rulings, struct error *err)
{
	if (builder->allow.n_features == 0) {
		describe(note(rulings, true, features_key, POSITION_OF_KEY), features_about,
		         "not asked for");
		return 0;
	}
	if (!peer->derivation[0] || !peer->features)
		return allow_unknown(config, builder, peer, rulings, err);
	for (size_t i = 0; i < builder->allow.n_features; i++) {
		const char *feature = builder->allow.features[i];

		if (features_have(peer->features, feature)) {
			describe(note(rulings, true, features_key, i), features_about,
			         "%.80s is required by the derivation", feature);
			continue;
		}
		note_refusal(rulings, features_key, features_about);
		(void)error_set(err, BLAME_POLICY, EACCES,
		                "the derivation %s does not require the feature %s, which "
		                "allow.features in %s asks for",
		                peer->derivation, feature, builder->file);
		return error_hint(err, "add \"%s\" to requiredSystemFeatures of the derivation",
		                  feature);
	}
	return 0;
}

/* All that is known of a peer without opening anything of its own. */
static int allow_caller(const struct config *config, const struct builder *builder,
                        const struct peer *peer, const char *socket_class, struct rulings *rulings,
                        struct error *err)
{
	int r = allow_socket(builder, socket_class, rulings, err);

	if (r == 0)
		r = allow_identity(config, builder, peer, rulings, err);
	return r < 0 ? r : allow_derivation(builder, peer, rulings, err);
}

static int allow(const struct config *config, const struct builder *builder,
                 const struct peer *peer, const char *socket_class, struct rulings *rulings,
                 struct error *err)
{
	int r = allow_caller(config, builder, peer, socket_class, rulings, err);

	if (r == 0)
		r = allow_features(config, builder, peer, rulings, err);
	return r < 0 ? conceal(builder->name, strlen(builder->name), err) : 0;
}

bool policy_needs_features(const struct config *config, const struct builder *builder,
                           const struct peer *peer, const char *socket_class)
{
	return builder->allow.n_features > 0 &&
	       allow_caller(config, builder, peer, socket_class, NULL, NULL) == 0;
}

int policy_allows(const struct config *config, const struct builder *builder,
                  const struct peer *peer, const char *socket_class, struct error *err)
{
	return allow(config, builder, peer, socket_class, NULL, err);
}

/* From here on the peer may use the builder, and reads why its words were refused. */

static int refuse_count(const struct builder *builder, const struct record *record,
                        struct error *err)
{
	(void)error_set(err, BLAME_POLICY, EACCES,
	                "the builder `%s` takes at most %" PRIu64
	                " arguments (args.max in %s), %zu "
	                "were given",
	                builder->name, builder->args.max, builder->file, record->n_args);
	(void)error_hint(err, "give fewer, or have args.max raised there");
	return -EACCES;
}

static int refuse_argument(const struct builder *builder, const struct record *record, size_t i,
                           const char *rule, const char *hint, struct error *err)
{
	char buf[SHOWN_LEN];

	(void)error_set(err, BLAME_POLICY, EACCES, "argument %zu, `%s`, %s (builder `%s`, %s)",
	                i + 1, shown(record->args[i].data, record->args[i].len, buf), rule,
	                builder->name, builder->file);
	(void)error_hint(err, "%s", hint);
	return -EACCES;
}

static int check_argument(const struct builder *builder, struct patterns *patterns,
                          const struct record *record, size_t i, struct rulings *rulings,
                          struct error *err)
{
	const struct record_text *arg = &record->args[i];
	char about[32];
	int r;

	(void)snprintf(about, sizeof(about), "argument %zu", i + 1);

	if (arg->len > ARGUMENT_MAX)
		return error_set(
			err, BLAME_PEER, EINVAL,
			"argument %zu is %zu bytes long; no program can be given more than %d",
			i + 1, arg->len, ARGUMENT_MAX);
	if (!builder->args.dash && arg->data[0] == '-') {
		note_refusal(rulings, "args.dash", about);
		return refuse_argument(
			builder, record, i, "begins with a dash and args.dash is not true",
			"if it is a file, write ./ before it; options are taken only "
			"with \"dash\": true in \"args\" of the definition",
			err);
	}
	if (builder->args.n_match == 0) {
		describe(note(rulings, true, "args.match", POSITION_OF_KEY), about, "any text");
		return 0;
	}
	if (arg->len > PATTERN_TEXT_MAX) {
		note_refusal(rulings, "args.match", about);
		return refuse_argument(builder, record, i,
		                       "is longer than the 4096 bytes that args.match can be "
		                       "compared with",
		                       "only a definition without args.match would allow it", err);
	}
	r = patterns_match(patterns, arg->data);
	if (r < 0)
		return error_set(err, BLAME_HOST, -r, "no memory to match argument %zu", i + 1);
	if (r == 0) {
		note_refusal(rulings, "args.match", about);
		return refuse_argument(
			builder, record, i, "matches none of args.match",
			"each argument must match one of these expressions as a whole; "
			"another one there would allow it",
			err);
	}
	describe(note(rulings, true, "args.match", (size_t)r - 1), about, "matches %.150s",
	         builder->args.match[r - 1]);
	return 0;
}

static int compile_patterns(const struct builder *builder, struct patterns *ret, struct error *err)
{
	char why[PATTERN_WHY_MAX];
	size_t bad;
	int r = patterns_compile(builder->args.match, builder->args.n_match, ret, &bad, why);

	if (r == -ENOMEM)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for args.match");
	/* They were compiled once already, when the definition was read. */
	assert(r == 0);
	return 0;
}

static int check_arguments(const struct builder *builder, const struct record *record,
                           struct rulings *rulings, struct error *err)
{
	static const char about[] = "arguments", key[] = "args.max";
	cleanup_patterns struct patterns patterns = { 0 };
	int r;

	if (record->n_args > builder->args.max) {
		note_refusal(rulings, key, about);
		return refuse_count(builder, record, err);
	}
	describe(note(rulings, true, key, POSITION_OF_KEY), about, "%zu of %" PRIu64,
	         record->n_args, builder->args.max);
	r = record->n_args > 0 ? compile_patterns(builder, &patterns, err) : 0;
	for (size_t i = 0; i < record->n_args && r == 0; i++)
		r = check_argument(builder, &patterns, record, i, rulings, err);
	return r;
}

static bool text_equals(const struct record_text *text, const char *string)
{
	return text->len == strlen(string) && memcmp(text->data, string, text->len) == 0;
}

static bool same_text(const struct record_text *a, const struct record_text *b)
{
	return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

/* The index in environment.accept, or -1. */
static ssize_t find_accepted(const struct builder *builder, const struct record_text *name)
{
	for (size_t i = 0; i < builder->environment.n_accept; i++)
		if (text_equals(name, builder->environment.accept[i]))
			return (ssize_t)i;
	return -1;
}

static bool is_set(const struct builder *builder, const struct record_text *name)
{
	for (size_t i = 0; i < builder->environment.n_set; i++)
		if (text_equals(name, builder->environment.set[i].name))
			return true;
	return false;
}

static int check_variable(const struct builder *builder, const struct record *record, size_t i,
                          struct rulings *rulings, struct error *err)
{
	static const char key[] = "environment.accept";
	const struct record_variable *variable = &record->env[i];
	ssize_t item = find_accepted(builder, &variable->name);
	char buf[SHOWN_LEN], about[64];

	(void)shown(variable->name.data, variable->name.len, buf);
	(void)snprintf(about, sizeof(about), "variable %zu", i + 1);
	if (item < 0) {
		note_refusal(rulings, key, about);
		(void)error_set(err, BLAME_POLICY, EACCES,
		                "the builder `%s` does not take the variable %s: not in "
		                "environment.accept in %s",
		                builder->name, buf, builder->file);
		(void)error_hint(err, "leave it out, or have it added there");
		return -EACCES;
	}
	if (variable->name.len + variable->value.len + 1 > ARGUMENT_MAX)
		return error_set(
			err, BLAME_PEER, EINVAL,
			"the variable %s is %zu bytes long; no program can be given more than "
			"%d with its name",
			buf, variable->value.len, ARGUMENT_MAX);
	for (size_t k = 0; k < i; k++)
		if (same_text(&record->env[k].name, &variable->name))
			return error_set(err, BLAME_PEER, EINVAL, "the variable %s is given twice",
			                 buf);
	describe(note(rulings, true, key, (size_t)item), about, "%s", buf);
	return 0;
}

static int check_environment(const struct builder *builder, const struct record *record,
                             struct rulings *rulings, struct error *err)
{
	int r = 0;

	for (size_t i = 0; i < record->n_env && r == 0; i++)
		r = check_variable(builder, record, i, rulings, err);
	return r;
}

/* What follows STORE/ in the path, *ret_len bytes, or NULL. */
static const char *below_store(const struct config *config, const struct record_text *path,
                               size_t *ret_len)
{
	size_t dir_len = strlen(config->store_dir);

	if (path->len <= dir_len + 1 || memcmp(path->data, config->store_dir, dir_len) != 0 ||
	    path->data[dir_len] != '/')
		return NULL;
	*ret_len = path->len - dir_len - 1;
	return path->data + dir_len + 1;
}

/* The last component of a path that is exactly STORE/HASH-NAME, or NULL. */
static const char *store_base(const struct config *config, const struct record_text *path)
{
	size_t len;
	const char *base = below_store(config, path, &len);

	return base && text_is_store_name(base, len) ? base : NULL;
}

/* HASH-NAME of a path that is exactly STORE/HASH-NAME or leads inside of it, with the way there; or
 * NULL. */
static const char *store_inner(const struct config *config, const struct record_text *path)
{
	size_t len;
	const char *inner = below_store(config, path, &len);

	if (!inner || !path_is_inner(inner, len))
		return NULL;
	return text_is_store_name(inner, strcspn(inner, "/")) ? inner : NULL;
}

/* The builder makes it in a layer over the store; what is there already would be in its way. */
static int check_absent(const char *path, struct error *err)
{
	struct stat st;

	if (lstat(path, &st) == 0) {
		(void)error_set(err, BLAME_PEER, EINVAL, "%s is in the host's store already", path);
		(void)error_hint(err, "an output must not exist; a rebuild by nix-build --check of "
		                      "a path that the host has cannot be done through hatch");
		return -EINVAL;
	}
	if (errno != ENOENT && errno != ENOTDIR)
		return error_errno(err, BLAME_HOST, errno, "cannot look for %s", path);
	return 0;
}

static int place_in_store(const struct config *config, const struct record_tree *output,
                          struct request_output *ret, struct error *err)
{
	char buf[SHOWN_LEN];
	const char *base = store_base(config, &output->path);

	if (!base) {
		(void)error_set(err, BLAME_PEER, EINVAL,
		                "the output %.64s is to be at `%s`, which is no store path",
		                output->name.data, shown(output->path.data, output->path.len, buf));
		(void)error_hint(err, "expected %s/<32 characters of base 32>-<name>, or no path",
		                 config->store_dir);
		return -EINVAL;
	}
	*ret = (struct request_output){
		.name = output->name.data, .path = output->path.data, .base = base, .in_store = true
	};
	return check_absent(output->path.data, err);
}

static int place_outside(const struct record_tree *output, struct request_output *ret,
                         struct error *err)
{
	char *path;

	if (asprintf(&path, "%s/%s", OUTPUT_DIR, output->name.data) < 0)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for an output");
	*ret = (struct request_output){ .name = output->name.data,
		                        .path = path,
		                        .base = path + strlen(OUTPUT_DIR "/") };
	return 0;
}

/* The name becomes a variable of the builder, whose value is the path. */
static int check_output_name(const struct builder *builder, const struct record *record, size_t i,
                             struct rulings *rulings, struct error *err)
{
	const struct record_tree *output = &record->outputs[i];

	if (!text_is_output(output->name.data, output->name.len))
		return error_set(err, BLAME_PEER, EINVAL, "output %zu has a name that is none",
		                 i + 1);
	/* This one names all of them. */
	if (text_equals(&output->name, "outputs"))
		return error_set(err, BLAME_PEER, EINVAL, "an output cannot be named outputs");
	if (find_accepted(builder, &output->name) >= 0 || is_set(builder, &output->name)) {
		note_refusal(rulings, "environment", "output");
		(void)error_set(err, BLAME_POLICY, EACCES,
		                "the output %.64s has the name of a variable of the builder `%s` "
		                "(environment in %s)",
		                output->name.data, builder->name, builder->file);
		(void)error_hint(err, "name one of the two differently");
		return -EACCES;
	}
	for (size_t k = 0; k < i; k++)
		if (same_text(&record->outputs[k].name, &output->name) ||
		    (output->path.len > 0 && same_text(&record->outputs[k].path, &output->path)))
			return error_set(err, BLAME_PEER, EINVAL,
			                 "the outputs %.64s and %.64s are one and the same",
			                 record->outputs[k].name.data, output->name.data);
	return 0;
}

static int check_outputs(const struct record *record, struct request *request,
                         struct rulings *rulings, struct error *err)
{
	if (record->n_outputs > 0 && record->inline_reply)
		return error_set(err, BLAME_PEER, EINVAL,
		                 "an inline reply cannot carry outputs; ask for a stream");
	if (record->n_outputs == 0)
		return 0;
	request->outputs = calloc(record->n_outputs, sizeof(*request->outputs));
	if (!request->outputs)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for outputs");
	for (size_t i = 0; i < record->n_outputs; i++) {
		const struct record_tree *output = &record->outputs[i];
		struct request_output *place = &request->outputs[i];
		int r = check_output_name(request->builder, record, i, rulings, err);

		if (r < 0)
			return r;
		request->n_outputs++;
		r = output->path.len > 0 ? place_in_store(request->config, output, place, err)
		                         : place_outside(output, place, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int refuse_inputs(const struct builder *builder, struct rulings *rulings, struct error *err)
{
	note_refusal(rulings, "inputs", "inputs");
	(void)error_set(err, BLAME_POLICY, EACCES,
	                "the builder `%s` takes no inputs: \"inputs\" is not true in %s",
	                builder->name, builder->file);
	(void)error_hint(err, "ask without any, or have \"inputs\": true written there");
	return -EACCES;
}

static int check_input(const struct config *config, const struct record *record, size_t i,
                       struct request_input *ret, struct error *err)
{
	const struct record_tree *input = &record->inputs[i];
	char buf[SHOWN_LEN];

	if (!text_is_input(input->name.data, input->name.len))
		return error_set(err, BLAME_PEER, EINVAL, "input %zu has a name that is none",
		                 i + 1);
	for (size_t k = 0; k < i; k++)
		if (same_text(&record->inputs[k].name, &input->name))
			return error_set(err, BLAME_PEER, EINVAL, "the input %.64s is given twice",
			                 input->name.data);
	ret->name = input->name.data;
	if (input->path.len == 0)
		return 0;
	ret->path = store_inner(config, &input->path);
	if (ret->path)
		return 0;
	(void)error_set(err, BLAME_PEER, EINVAL,
	                "the input %.64s is said to be `%s`, which is no "
	                "store path, nor inside of one",
	                input->name.data, shown(input->path.data, input->path.len, buf));
	return error_hint(err,
	                  "expected %s/<32 characters of base 32>-<name>, a path inside of "
	                  "it without dots, or no path",
	                  config->store_dir);
}

static int check_inputs(const struct record *record, struct request *request,
                        struct rulings *rulings, struct error *err)
{
	const struct builder *builder = request->builder;
	int r = 0;

	if (record->n_inputs == 0)
		return 0;
	if (!builder->inputs)
		return refuse_inputs(builder, rulings, err);
	describe(note(rulings, true, "inputs", POSITION_OF_KEY), "inputs", "%zu", record->n_inputs);
	request->inputs = calloc(record->n_inputs, sizeof(*request->inputs));
	if (!request->inputs)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for inputs");
	for (; r == 0 && request->n_inputs < record->n_inputs; request->n_inputs++)
		r = check_input(request->config, record, request->n_inputs,
		                &request->inputs[request->n_inputs], err);
	return r;
}

static int copy_words(const struct record *record, struct request *request, struct error *err)
{
	size_t n_command = 0;

	while (request->builder->command[n_command])
		n_command++;
	request->argv = calloc(n_command + record->n_args + 1, sizeof(*request->argv));
	request->env = calloc(record->n_env + 1, sizeof(*request->env));
	if (!request->argv || !request->env)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for a request");
	for (size_t i = 0; i < n_command; i++)
		request->argv[i] = request->builder->command[i];
	for (size_t i = 0; i < record->n_args; i++)
		request->argv[n_command + i] = (char *)record->args[i].data;
	for (size_t i = 0; i < record->n_env; i++)
		request->env[i] = (struct variable){ (char *)record->env[i].name.data,
			                             (char *)record->env[i].value.data };
	request->n_env = record->n_env;
	return 0;
}

static uint64_t time_limit(const struct limits *limits, const struct record *record,
                           struct rulings *rulings)
{
	uint64_t wanted = record->timeout_sec ? record->timeout_sec : limits->time_default_sec;
	uint64_t given = wanted < limits->time_max_sec ? wanted : limits->time_max_sec;

	describe(note(rulings, true, "limits.time_sec", POSITION_OF_KEY), "time limit",
	         "%" PRIu64 " s of at most %" PRIu64 " s", given, limits->time_max_sec);
	return given;
}

int request_explain(const struct config *config, const struct builder *builder,
                    const struct peer *peer, const char *socket_class, const struct record *record,
                    struct rulings *rulings, struct request *ret, struct error *err)
{
	cleanup_request struct request request = { config, builder, peer };
	int r;

	assert(record->kind == RECORD_REQUEST);
	if (!builder)
		return refuse_unknown(config, record, err);
	/* Nothing about the builder is told before this. */
	r = allow(config, builder, peer, socket_class, rulings, err);
	if (r < 0)
		return r;
	r = check_arguments(builder, record, rulings, err);
	if (r < 0)
		return r;
	r = check_environment(builder, record, rulings, err);
	if (r < 0)
		return r;
	r = check_outputs(record, &request, rulings, err);
	if (r < 0)
		return r;
	r = check_inputs(record, &request, rulings, err);
	if (r < 0)
		return r;
	r = copy_words(record, &request, err);
	if (r < 0)
		return r;
	request.time_limit_sec = time_limit(&builder->limits, record, rulings);
	*ret = request;
	request = (struct request){ 0 };
	return 0;
}

int request_check(const struct config *config, const struct builder *builder,
                  const struct peer *peer, const char *socket_class, const struct record *record,
                  struct request *ret, struct error *err)
{
	return request_explain(config, builder, peer, socket_class, record, NULL, ret, err);
}

void request_done(struct request *request)
{
	free(request->argv);
	free(request->env);
	for (size_t i = 0; i < request->n_outputs; i++)
		if (!request->outputs[i].in_store)
			free((char *)request->outputs[i].path);
	free(request->outputs);
	free(request->inputs);
	*request = (struct request){ 0 };
}
