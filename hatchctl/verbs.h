/* What hatchctl can do: one file for each verb, and the options that they share. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "hatchd/config/config.h"
#include "lib/base/error.h"

/* An option that may be given several times. */
struct words {
	char **items; /* owned array, of borrowed words */
	size_t n_items;
};

/* NULL, false: not given. */
struct options {
	const char *config_dir, *state_dir;
	bool unprivileged, json;

	/* list */
	bool names;

	/* history and explain: who asked */
	const char *uid, *derivation;

	/* history */
	const char *builder, *verdict, *since, *until, *lines;

	/* show and history */
	const char *journal_dir;

	/* show */
	bool log;

	/* explain */
	const char *gid, *groups, *socket, *timeout;
	struct words features, env, inputs, outputs;

	char **words; /* behind the verb, NULL-terminated */
	size_t n_words;
};

/* Each returns the exit status. */
int run_check(const struct options *options);
int run_list(const struct options *options);
int run_history(const struct options *options);
int run_show(const struct options *options);
int run_explain(const struct options *options);
int run_ps(const struct options *options);
int run_cancel(const struct options *options);

/* say_error - on standard error, for all verbs */
void say_error(void *data, const struct error *err);
void say_warning(void *data, const struct error *err);

/* fail_usage - the same for what is wrong with the command line; returns the exit status */
int fail_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* expect_id - 0 if the word can be a request's identifier, and so also a file's name; else the exit
 * status, having said so */
int expect_id(const char *word);

/* end_printing - the exit status for what json_print() or table_print() returned */
int end_printing(int r);
