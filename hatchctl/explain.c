/*
 * hatchctl explain: what would become of a request. The server's own functions decide
 * (request_explain()) and say what the sandbox would be made of: nothing is decided here, so what
 * is printed cannot drift from what happens.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "hatchd/config/permission.h"
#include "hatchd/slot/control.h"
#include "json.h"
#include "question.h"
#include "sheet.h"
#include "who.h"

/* What the server made of the question. */
struct answer {
	struct config config;
	struct builder builder;
	struct rulings rulings;
	struct request request;
	struct unit unit;                  /* that would run it */
	char missing[CONTROL_MISSING_MAX]; /* limits that nothing holds here */
	struct error err;                  /* text empty: allowed */
};

static void answer_done(struct answer *answer)
{
	request_done(&answer->request);
	unit_done(&answer->unit);
	rulings_done(&answer->rulings);
	builder_done(&answer->builder);
	config_done(&answer->config);
}

/* --- what is printed --- */

/* Of a derivation; null: not known. */
static void write_features(struct json *json, const struct features *features)
{
	if (!features) {
		json_null(json, "features");
		return;
	}
	json_open_list(json, "features");
	for (const char *name = features_next(features, NULL); name;
	     name = features_next(features, name))
		json_text(json, NULL, name);
	json_close(json);
}

static void write_peer(struct json *json, const struct question *question)
{
	const struct peer *peer = &question->peer;
	char account[ACCOUNT_LEN];

	json_open_object(json, "peer");
	json_number(json, "uid", peer->uid);
	json_text(json, "user", user_text(peer->uid, account));
	json_number(json, "gid", peer->gid);
	json_open_list(json, "groups");
	for (size_t i = 0; i < peer->n_groups; i++)
		json_text(json, NULL, group_text(peer->groups[i], account));
	json_close(json);
	json_text(json, "derivation", peer->derivation[0] ? peer->derivation : NULL);
	write_features(json, peer->features);
	json_text(json, "socket", question->socket_class);
	json_close(json);
}

/* --- for programs --- */

static void write_ruling(struct json *json, const struct builder *builder,
                         const struct ruling *ruling)
{
	struct position position = builder_position(builder, ruling->key, ruling->item);

	json_open_object(json, NULL);
	json_text(json, "about", ruling->about);
	json_truth(json, "allowed", ruling->allowed);
	json_text(json, "key", ruling->key);
	json_text(json, "file", builder->file);
	if (position.line) {
		json_number(json, "line", position.line);
		json_number(json, "column", position.column);
	} else {
		json_null(json, "line");
		json_null(json, "column");
	}
	json_text(json, "because", ruling->text);
	json_close(json);
}

/* --- for people --- */

/* The file stands above. */
static void outline_ruling(struct json *json, const struct builder *builder,
                           const struct ruling *ruling)
{
	struct position position = builder_position(builder, ruling->key, ruling->item);
	char line[64];

	(void)snprintf(line, sizeof(line), "%zu:%zu", position.line, position.column);
	json_open_object(json, NULL);
	json_text(json, "about", ruling->about);
	json_truth(json, "allowed", ruling->allowed);
	json_text(json, "line", position.line ? line : NULL);
	json_text(json, "key", ruling->key);
	json_text(json, "because", ruling->text);
	json_close(json);
}

/* What answers "why": the refusal, or who is let in. */
static const struct ruling *find_decisive(const struct rulings *rulings, bool allowed)
{
	for (size_t i = 0; i < rulings->n_items; i++)
		if (rulings->items[i].allowed == allowed &&
		    (!allowed || strcmp(rulings->items[i].about, "peer") == 0))
			return &rulings->items[i];
	return NULL;
}

static void outline_decisive(struct json *json, const struct answer *answer, bool allowed)
{
	const struct ruling *ruling = find_decisive(&answer->rulings, allowed);
	char text[PATH_MAX + 512];
	struct position position;

	if (!ruling)
		return;
	position = builder_position(&answer->builder, ruling->key, ruling->item);
	if (position.line)
		(void)snprintf(text, sizeof(text), "%s:%zu:%zu: %s%s%s", answer->builder.file,
		               position.line, position.column, ruling->key,
		               ruling->text[0] ? ": " : "", ruling->text);
	else
		(void)snprintf(text, sizeof(text), "%s: no %s", answer->builder.file, ruling->key);
	json_text(json, "decided_by", text);
}

static void write_decision(struct json *json, const struct answer *answer, bool for_people)
{
	bool allowed = !answer->err.text[0];

	json_truth(json, "allowed", allowed);
	if (for_people)
		outline_decisive(json, answer, allowed);
	json_text(json, "error", allowed ? NULL : answer->err.text);
	json_text(json, "hint", answer->err.hint[0] ? answer->err.hint : NULL);
	json_open_list(json, "rules");
	for (size_t i = 0; i < answer->rulings.n_items; i++)
		(for_people ? outline_ruling : write_ruling)(json, &answer->builder,
		                                             &answer->rulings.items[i]);
	json_close(json);
}

/* What check would warn of; nothing of a request that is refused. */
static void write_warnings(struct json *json, const struct answer *answer)
{
	const struct builder *builder = &answer->builder;
	struct error warning;

	json_open_list(json, "warnings");
	for (size_t i = 0; !answer->err.text[0] && i < builder->view.n_places; i++)
		if (builder_warn_write(&answer->config, builder, &builder->view.places[i],
		                       &warning))
			json_text(json, NULL, warning.text);
	json_close(json);
}

static int print_answer(const struct options *options, const struct question *question,
                        struct answer *answer, struct error *err)
{
	cleanup_json struct json *json = json_new();
	int r = 0;

	json_text(json, "builder", options->words[0]);
	json_text(json, "file", answer->builder.file);
	write_peer(json, question);
	write_decision(json, answer, !options->json);
	write_warnings(json, answer);
	if (!answer->err.text[0])
		r = sheet_write(json,
		                &(struct sheet){ .config = &answer->config,
		                                 .request = &answer->request,
		                                 .unit = &answer->unit,
		                                 .privileged = !options->unprivileged,
		                                 .missing = answer->missing },
		                err);
	if (r < 0)
		return r;
	r = options->json ? json_print(json) : json_print_outline(json);
	return r < 0 ? error_errno(err, BLAME_HOST, -r, "cannot print") : 0;
}

/* --- the server's part --- */

/* Without root there is no group that could hold anything. */
static void find_missing(const struct limits *limits, bool privileged,
                         char missing[CONTROL_MISSING_MAX])
{
	if (privileged)
		control_missing_on_host(limits, missing);
	else
		control_missing(limits, -1, missing);
}

static int check_credentials(struct answer *answer)
{
	const struct builder *builder = &answer->builder;
	int r = 0;

	for (size_t i = 0; r == 0 && i < builder->n_credentials; i++)
		r = unit_check_credential(&answer->unit, builder, i, NULL, &answer->err);
	return r;
}

/* What the request needs of the host, as the phase "policy" looks for it. Errors are the answer. */
static void check_host(struct answer *answer)
{
	const struct config *config = &answer->config;
	const struct builder *builder = &answer->builder;
	cleanup_fd int network_fd = -1;
	int r = builder_check_start(config, builder, &answer->err);

	if (r == 0)
		r = builder_check_places(builder, &answer->err);
	if (r == 0)
		r = builder_check_hooks(config, builder, &answer->err);
	if (r == 0)
		r = check_credentials(answer);
	if (r == 0)
		r = builder_open_network(config, builder, &network_fd, &answer->err);
	if (r == 0)
		r = rlimits_check(builder, unit_limits(&answer->unit), &answer->err);
	if (r == 0)
		(void)control_refuse(builder, answer->missing, &answer->err);
}

/* Groups of one that cannot be looked up are not known then: check says so. */
static void resolve_users(struct config *config)
{
	struct error err;

	for (size_t i = 0; i < config->n_users; i++)
		(void)config_resolve_user(config, &config->users[i], &err);
}

/* As the phase "policy" of a request. Returns a negative errno if there is no answer. */
static int judge(const struct options *options, const struct question *question,
                 struct answer *answer, struct error *err)
{
	bool pool = !options->unprivileged;
	int found = 0, r = config_load(options->config_dir, pool, &answer->config, err);

	if (r == 0)
		r = found = builder_load(&answer->config, options->words[0], &answer->builder, err);
	if (r < 0)
		return r;
	r = request_explain(&answer->config, found ? &answer->builder : NULL, &question->peer,
	                    question->socket_class, &question->record, &answer->rulings,
	                    &answer->request, &answer->err);
	/* A server that systemd does not start has what its starter has: nobody knows. */
	if (r == 0 && pool)
		unit_load(&answer->unit);
	if (r == 0) {
		find_missing(&answer->builder.limits, pool, answer->missing);
		check_host(answer);
	}
	if (r == 0)
		resolve_users(&answer->config);
	return answer->rulings.failed ? error_set(err, BLAME_HOST, ENOMEM, "no memory") : 0;
}

int run_explain(const struct options *options)
{
	cleanup_question struct question question = { 0 };
	cleanup_(answer_done) struct answer answer = { 0 };
	struct error err = { 0 };
	int r = question_read(options, &question);

	if (r != 0)
		return r;
	r = judge(options, &question, &answer, &err);
	if (r == 0)
		r = print_answer(options, &question, &answer, &err);
	if (r < 0) {
		say_error(NULL, &err);
		return r == -ENOMEM ? EX_OSERR : r == -EIO ? EX_IOERR : EX_CONFIG;
	}
	return answer.err.text[0] ? EX_NOPERM : EXIT_SUCCESS;
}
