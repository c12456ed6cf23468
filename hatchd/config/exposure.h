/*
 * hook.json: what hatch-pre-build-hook shows to which derivations.
 * Source: hatch-pre-build-hook(8)
 */
#pragma once

#include "read.h"

enum {
	EXPOSURE_PATHS_MAX = 64,
};

/* Beside hatchd.json. */
#define EXPOSURE_FILE "hook.json"

/* A place of the host, and where a build finds it. */
struct shown_path {
	char *path, *at;
};

struct exposure {
	char **features; /* a derivation that requires one of them is shown the paths */
	size_t n_features;
	struct shown_path *paths;
	size_t n_paths;
	bool missing; /* are they also shown to a build whose derivation is not on this machine? */
	char *chain;  /* another hook, which is run first; NULL: none, or chain_lost */
	bool chain_lost; /* what is wrong may be hiding one: it was not read, and it may be there */
	char *user; /* whose process parses derivations, and can; NULL: see features_account() */
};

#define cleanup_exposure cleanup_(exposure_done)

void exposure_done(struct exposure *exposure);

/*
 * exposure_load - read a hook.json, strictly
 *
 * path       absolute; a file that is not there exposes nothing
 * owner_uid  whose file is believed besides root's, as of trusted_file()
 * report     gets every error; NULL: the first ends the reading
 * ret        also on failure, with report, what could be read of it. To be released in any case
 * Returns    1, 0 there is no such file, or a negative errno as of config_load()
 */
int exposure_load(const char *path, uid_t owner_uid, const struct config_report *report,
                  struct exposure *ret, struct error *err);

/* exposure_parse - the same from memory; 0 or a negative errno */
int exposure_parse(const char *path, const char *text, size_t len,
                   const struct config_report *report, struct exposure *ret, struct error *err);

/* exposure_check_chain - is it a program that only root could have written? Errors as of
 * trusted_program() */
int exposure_check_chain(const struct exposure *exposure, uid_t owner_uid, struct error *err);

/* exposure_feature_is_custom - is the feature by its name one that the hook is there for? */
bool exposure_feature_is_custom(const char *name);
