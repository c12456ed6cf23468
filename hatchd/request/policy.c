/*
 * The one place that decides: compares who the client is (a peer) and what the administrator wrote
 * (a builder), has what it said (a record) compared by words.c and trees.c, and makes a request of
 * it or says no. What it allows stands in hatch-builder(5); everything else is refused. Only
 * request_check() makes a struct request.
 */
#include <assert.h>
#include <errno.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hatchd/config/accounts.h"
#include "request.h"
#include "trees.h"
#include "words.h"

enum { STORE_HASH_LEN = 32 };

/* How the answer looks to a peer that may not use a builder, and to one that named none. */
static const char unusable_hint[] = "a Nix build may lack what a builder asks for, such as "
				    "requiredSystemFeatures = [ \"hatch-NAME\" ]";

static int conceal(const char *name, size_t len, struct error *err)
{
	char text[ERROR_PEER_MAX], buf[RULING_SHOWN_LEN];

	(void)snprintf(text, sizeof(text), "there is no builder `%s` that you may use",
	               ruling_show(name, len, buf));
	(void)error_conceal(err, text, unusable_hint);
	return -EACCES;
}

static int refuse_unknown(const struct config *config, const struct record *record,
                          struct error *err)
{
	char buf[RULING_SHOWN_LEN];

	(void)ruling_show(record->builder.data, record->builder.len, buf);
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
		ruling_describe(rulings_note(rulings, true, "allow.users", (size_t)i), about,
		                "uid %u", peer->uid);
	if (i >= 0 || own_name)
		return i >= 0;
	i = find_group(builder, peer);
	if (i >= 0) {
		ruling_describe(rulings_note(rulings, true, "allow.groups", (size_t)i), about,
		                "gid %u", builder->allow.gids[i]);
		return true;
	}
	i = find_range(builder, peer->uid);
	if (i >= 0)
		ruling_describe(rulings_note(rulings, true, "allow.uid_ranges", (size_t)i), about,
		                "uid %u is from %u to %u", peer->uid,
		                builder->allow.ranges[i].first, builder->allow.ranges[i].last);
	return i >= 0;
}

static int allow_identity(const struct config *config, const struct builder *builder,
                          const struct peer *peer, struct rulings *rulings, struct error *err)
{
	bool own_name = needs_own_name(config, peer);

	if (find_identity(builder, peer, own_name, rulings))
		return 0;
	rulings_refuse(rulings, own_name ? "allow.users" : "allow", "peer");
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
	char buf[RULING_SHOWN_LEN];

	for (size_t i = 0; i < builder->allow.n_sockets; i++)
		if (strcmp(builder->allow.sockets[i], socket_class) == 0) {
			ruling_describe(rulings_note(rulings, true, "allow.sockets", i), about,
			                "class %s", socket_class);
			return 0;
		}
	rulings_refuse(rulings, "allow.sockets", about);
	(void)ruling_show(socket_class, strlen(socket_class), buf);
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

/* What would make known which derivation asks. */
static int hint_derivation(const struct peer *peer, struct error *err)
{
	(void)error_hint(err, "%s",
	                 peer->derivation_hint ? peer->derivation_hint
	                                       : "let a build ask that Nix runs on this machine "
	                                         "in its sandbox; of no other it is known");
	return -EACCES;
}

static int allow_derivation(const struct builder *builder, const struct peer *peer,
                            struct rulings *rulings, struct error *err)
{
	static const char about[] = "derivation", key[] = "allow.derivations";
	char name[DERIVATION_MAX + 1];

	if (builder->allow.n_derivations == 0) {
		ruling_describe(rulings_note(rulings, true, key, POSITION_OF_KEY), about,
		                "not asked for");
		return 0;
	}
	if (!peer->derivation[0]) {
		rulings_refuse(rulings, key, about);
		(void)error_set(err, BLAME_POLICY, EACCES,
		                "the builder `%s` is for certain derivations (allow.derivations in "
		                "%s), and which one asks is not known: %s",
		                builder->name, builder->file,
		                peer->derivation_why ? peer->derivation_why : "it is no Nix build");
		return hint_derivation(peer, err);
	}
	name_of_derivation(peer->derivation, name);
	for (size_t i = 0; i < builder->allow.n_derivations; i++)
		if (fnmatch(builder->allow.derivations[i], name, 0) == 0) {
			ruling_describe(rulings_note(rulings, true, key, i), about,
			                "%.80s matches %.80s", name, builder->allow.derivations[i]);
			return 0;
		}
	rulings_refuse(rulings, key, about);
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
		ruling_describe(rulings_note(rulings, true, features_key, POSITION_OF_KEY),
		                features_about,
		                "not on this machine, and missing_derivation is \"allow\"");
		return 0;
	}
	rulings_refuse(rulings, features_key, features_about);
	if (!peer->derivation[0]) {
		(void)error_set(err, BLAME_POLICY, EACCES,
		                "the builder `%s` is for derivations that require certain features "
		                "(allow.features in %s), and which one asks is not known: %s",
		                builder->name, builder->file,
		                peer->derivation_why ? peer->derivation_why : "it is no Nix build");
		return hint_derivation(peer, err);
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
	               : error_hint(err, "%s",
	                            peer->features_hint ? peer->features_hint
	                                                : "its file in the store must be one that "
	                                                  "hatchd can read and parse");
}

static int allow_features(const struct config *config, const struct builder *builder,
                          const struct peer *peer, struct rulings *rulings, struct error *err)
{
	if (builder->allow.n_features == 0) {
		ruling_describe(rulings_note(rulings, true, features_key, POSITION_OF_KEY),
		                features_about, "not asked for");
		return 0;
	}
	if (!peer->derivation[0] || !peer->features)
		return allow_unknown(config, builder, peer, rulings, err);
	for (size_t i = 0; i < builder->allow.n_features; i++) {
		const char *feature = builder->allow.features[i];

		if (features_have(peer->features, feature)) {
			ruling_describe(rulings_note(rulings, true, features_key, i),
			                features_about, "%.80s is required by the derivation",
			                feature);
			continue;
		}
		rulings_refuse(rulings, features_key, features_about);
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

static uint64_t time_limit(const struct limits *limits, const struct record *record,
                           struct rulings *rulings)
{
	uint64_t wanted = record->timeout_sec ? record->timeout_sec : limits->time_default_sec;
	uint64_t given = wanted < limits->time_max_sec ? wanted : limits->time_max_sec;

	ruling_describe(rulings_note(rulings, true, "limits.time_sec", POSITION_OF_KEY),
	                "time limit", "%" PRIu64 " s of at most %" PRIu64 " s", given,
	                limits->time_max_sec);
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
	r = words_check_arguments(builder, record, rulings, err);
	if (r < 0)
		return r;
	r = words_check_environment(builder, record, rulings, err);
	if (r < 0)
		return r;
	r = trees_check_outputs(record, &request, rulings, err);
	if (r < 0)
		return r;
	r = trees_check_inputs(record, &request, rulings, err);
	if (r < 0)
		return r;
	r = words_copy(record, &request, err);
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
