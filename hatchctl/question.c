/* Reads who asks, and for what. */
#include "question.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/text.h"
#include "who.h"

enum { STORE_HASH_LEN = 32 };

void question_done(struct question *question)
{
	record_done(&question->record);
	free(question->peer.groups);
	free(question->peer.features);
}

static int fail_memory(void)
{
	return end_printing(-ENOMEM);
}

/* --- who asks --- */

/* The groups of an account, as it would have them after logging in. */
static int find_groups(const char *name, struct peer *peer)
{
	int n = 64;

	for (;;) {
		gid_t *groups = reallocarray(peer->groups, (size_t)n, sizeof(*groups));

		if (!groups)
			return -ENOMEM;
		peer->groups = groups;
		if (getgrouplist(name, peer->gid, groups, &n) >= 0) {
			peer->n_groups = (size_t)n;
			return 0;
		}
	}
}

static int read_groups(const char *list, struct peer *peer)
{
	cleanup_free char *copy = strdup(list);
	char *rest = copy;

	peer->groups = calloc(strlen(list) + 1, sizeof(*peer->groups));
	if (!copy || !peer->groups)
		return fail_memory();
	for (char *name; (name = strsep(&rest, ","));)
		if (*name && group_find(name, &peer->groups[peer->n_groups++]) < 0)
			return fail_usage("--groups %s; expected numbers or names of groups", name);
	return 0;
}

/* "hello", or "<hash>-hello.drv" as the kernel would have told it. */
static int read_derivation(const char *text, struct peer *peer)
{
	bool whole = strlen(text) > STORE_HASH_LEN + 1 + strlen(".drv") &&
	             text[STORE_HASH_LEN] == '-' &&
	             strcmp(text + strlen(text) - strlen(".drv"), ".drv") == 0;
	int n = whole ? snprintf(peer->derivation, sizeof(peer->derivation), "%s", text)
	              : snprintf(peer->derivation, sizeof(peer->derivation), "%0*d-%s.drv",
	                         STORE_HASH_LEN, 0, text);

	if (n < (int)sizeof(peer->derivation) && !strchr(text, '/') && *text)
		return 0;
	return fail_usage(
		"--derivation %s; expected a name, HASH-NAME.drv, or its path in the store", text);
}

/* What the file of a derivation requires, read as the server reads it. */
static int read_file(const char *path, struct peer *peer)
{
	struct account account;
	cleanup_fd int fd = -1;
	struct error err;
	int r = features_open(path, geteuid(), &fd, &err);

	peer->derivation_missing = r == 0;
	if (r > 0 && features_account(NULL, &account, &err) < 0)
		r = -err.code;
	if (r > 0)
		r = features_read(&(struct derivation_source){ .fd = fd }, &account, peer->features,
		                  &err);
	if (r < 0)
		(void)snprintf(peer->features_why, sizeof(peer->features_why), "%s", err.text);
	if (r < 0 || peer->derivation_missing)
		free(take_ptr(&peer->features));
	return 0;
}

static int take_features(const struct words *words, struct peer *peer)
{
	for (size_t i = 0; i < words->n_items; i++)
		if (!words->items[i][0] || features_add(peer->features, words->items[i]) < 0)
			return fail_usage("--feature %s; expected the name of a feature",
			                  words->items[i]);
	return 0;
}

/* Those that are named, or else those that the derivation's file names. */
static int read_features(const struct options *options, struct peer *peer)
{
	const char *path = options->derivation;

	peer->features = calloc(1, sizeof(*peer->features));
	if (!peer->features)
		return fail_memory();
	if (options->features.n_items > 0)
		return take_features(&options->features, peer);
	if (path && path[0] == '/')
		return read_file(path, peer);
	free(take_ptr(&peer->features));
	(void)snprintf(peer->features_why, sizeof(peer->features_why),
	               "neither --feature nor the path of the derivation was given");
	return 0;
}

/* The account's own ids, but for those that are given. Returns 0 or the exit status. */
static int read_ids(const struct options *options, struct peer *peer)
{
	const struct passwd *account;

	if (!options->uid && !options->unprivileged)
		return fail_usage("who asks? Give --uid, a number or the name of a user");
	peer->uid = getuid();
	if (options->uid && user_find(options->uid, &peer->uid) < 0)
		return fail_usage("--uid %s; expected a number or the name of a user",
		                  options->uid);
	account = getpwuid(peer->uid);
	peer->gid = account ? account->pw_gid : (gid_t)peer->uid;
	if (options->gid && group_find(options->gid, &peer->gid) < 0)
		return fail_usage("--gid %s; expected a number or the name of a group",
		                  options->gid);
	if (options->groups)
		return read_groups(options->groups, peer);
	return account && find_groups(account->pw_name, peer) < 0 ? fail_memory() : 0;
}

static int read_peer(const struct options *options, struct peer *peer)
{
	const char *name = options->derivation;
	int r = read_ids(options, peer);

	peer->pid_fd = -1;
	peer->derivation_why = "no --derivation was given";
	peer->derivation_hint = "give --derivation NAME, HASH-NAME.drv, or its path in the store";
	peer->features_hint = "give --feature NAME, or --derivation with its path in the store";
	if (r == 0 && name)
		r = read_derivation(name[0] == '/' ? strrchr(name, '/') + 1 : name, peer);
	return r == 0 ? read_features(options, peer) : r;
}

/* --- what is asked --- */

static struct record_text text(const char *string)
{
	return (struct record_text){ string, strlen(string) };
}

static int read_variables(const struct words *words, struct record *record)
{
	record->env = calloc(words->n_items + 1, sizeof(*record->env));
	if (!record->env)
		return fail_memory();
	for (; record->n_env < words->n_items; record->n_env++) {
		char *word = words->items[record->n_env], *equals = strchr(word, '=');
		struct record_variable *variable = &record->env[record->n_env];

		if (!equals)
			return fail_usage("--env %s; expected NAME=VALUE", word);
		*equals = '\0'; /* texts of a record end in NUL */
		*variable = (struct record_variable){ text(word), text(equals + 1) };
	}
	return 0;
}

/* "NAME" or "NAME=PATH", as option says; *ret is malloc()ed, also on failure. */
static int read_trees(const struct words *words, const char *option, struct record_tree **ret,
                      size_t *ret_n)
{
	*ret = calloc(words->n_items + 1, sizeof(**ret));
	if (!*ret)
		return fail_memory();
	for (size_t i = 0; i < words->n_items; i++) {
		char *word = words->items[i];
		char *equals = strchr(word, '=');

		if (equals)
			*equals++ = '\0';
		(*ret)[(*ret_n)++] = (struct record_tree){ text(word), text(equals ? equals : "") };
		if (!*word || (equals && !*equals))
			return fail_usage("%s %s; expected NAME or NAME=PATH", option, word);
	}
	return 0;
}

static int read_record(const struct options *options, struct record *record)
{
	int r;

	record->kind = RECORD_REQUEST;
	record->builder = text(options->words[0]);
	record->args = calloc(options->n_words, sizeof(*record->args));
	if (!record->args)
		return fail_memory();
	for (; record->n_args + 1 < options->n_words; record->n_args++)
		record->args[record->n_args] = text(options->words[record->n_args + 1]);
	if (record->n_args > RECORD_ARGS_MAX)
		return fail_usage("%zu arguments; no request can have more than %d", record->n_args,
		                  RECORD_ARGS_MAX);
	if (options->timeout &&
	    (text_to_u64(options->timeout, RECORD_TIMEOUT_SEC_MAX, &record->timeout_sec) < 0 ||
	     record->timeout_sec == 0))
		return fail_usage("--timeout %s; expected seconds from 1 to %d", options->timeout,
		                  RECORD_TIMEOUT_SEC_MAX);
	r = read_variables(&options->env, record);
	if (r == 0)
		r = read_trees(&options->inputs, "--input", &record->inputs, &record->n_inputs);
	if (r == 0)
		r = read_trees(&options->outputs, "--output", &record->outputs, &record->n_outputs);
	return r;
}

int question_read(const struct options *options, struct question *ret)
{
	int r;

	*ret = (struct question){ .socket_class = options->socket ? options->socket : "hatch" };
	r = read_peer(options, &ret->peer);
	return r == 0 ? read_record(options, &ret->record) : r;
}
