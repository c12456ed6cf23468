/* What the hook shows, and to whom. Linked into the hook: no names of accounts here. */
#include "exposure.h"

#include <errno.h>
#include <string.h>

#include "hatchd/request/features.h"
#include "items.h"
#include "trusted-path.h"

void exposure_done(struct exposure *exposure)
{
	strv_free(exposure->features);
	for (size_t i = 0; i < exposure->n_paths; i++) {
		free(exposure->paths[i].path);
		free(exposure->paths[i].at);
	}
	free(exposure->paths);
	free(exposure->chain);
	free(exposure->user);
	*exposure = (struct exposure){ 0 };
}

static int read_features(struct reading *in, const struct value *value, const struct member *row,
                         void *object)
{
	struct exposure *exposure = object;

	return read_strings(in, value, 0, check_feature, &exposure->features,
	                    &exposure->n_features);
}

static const struct member path_members[] = {
	{ "path", read_path, offsetof(struct shown_path, path), .required = true },
	{ "at", read_path, offsetof(struct shown_path, at) },
};

/* Nix shows paths writable, and takes a line "AT=PATH" apart at the first sign. */
static int check_path(struct reading *in, const struct value *item, const struct value *at,
                      const struct shown_path *path)
{
	if (strcmp(path->path, "/") == 0 || strcmp(path->at, "/") == 0)
		return reading_fail(in, item, EINVAL,
		                    "this is all there is; expected the socket's directory, or "
		                    "the client");
	if (strchr(path->at, '='))
		return reading_fail(in, at, EINVAL,
		                    "Nix cannot show a path with \"=\"; expected another in "
		                    "\"at\"");
	return 0;
}

/* "/p", or an object that holds "path". */
static int make_path(struct reading *in, const struct value *item, void *ret)
{
	static const struct member object = { .rows = path_members,
		                              .n_rows = ARRAY_SIZE(path_members) };
	static const struct member whole = { .offset = offsetof(struct shown_path, path) };
	struct shown_path *path = ret;
	const struct value *at = item;
	int r;

	if (item->kind == VALUE_OBJECT) {
		r = read_members(in, item, &object, path);
		at = value_member(item, "at") ? value_member(item, "at") : item;
	} else {
		r = read_path(in, item, &whole, path);
	}
	if (r < 0 || !path->path)
		return in->first;
	if (!path->at)
		path->at = strdup(path->path);
	return path->at ? check_path(in, item, at, path) : reading_no_memory(in);
}

static int read_paths(struct reading *in, const struct value *value, const struct member *row,
                      void *object)
{
	struct exposure *exposure = object;
	int r = expect_list(in, value, 0);

	if (r < 0)
		return r;
	if (value->n_items > EXPOSURE_PATHS_MAX)
		return reading_fail(in, value, EINVAL, "%zu paths; expected at most %d",
		                    value->n_items, EXPOSURE_PATHS_MAX);
	exposure->paths = calloc(value->n_items + 1, sizeof(*exposure->paths));
	if (!exposure->paths)
		return reading_no_memory(in);
	/* Counted before it is read: what is wrong is released with the others. */
	for (size_t i = 0; i < value->n_items && !reading_stops(in); i++)
		(void)make_path(in, &value->items[i], &exposure->paths[exposure->n_paths++]);
	return in->first;
}

static int read_missing(struct reading *in, const struct value *value, const struct member *row,
                        void *object)
{
	static const char *const words[] = { "hide", "expose" };
	struct exposure *exposure = object;
	size_t chosen = 0;
	int r = read_word(in, value, words, ARRAY_SIZE(words), "\"hide\" or \"expose\"", &chosen);

	exposure->missing = chosen == 1;
	return r;
}

/* Whether there is such an account is for its own machine to say; root is one everywhere. */
static int check_user(const char *name, bool offline, struct error *err)
{
	struct account account;

	if (!offline || strcmp(name, "root") == 0)
		return features_account(name, &account, err);
	return 0;
}

/* Of an account that cannot be used nothing is kept: another one has to read. */
static int read_user(struct reading *in, const struct value *value, const struct member *row,
                     void *object)
{
	struct exposure *exposure = object;
	int r = read_line(in, value, row, object);
	struct error err;

	if (r < 0)
		return r;
	r = check_user(exposure->user, in->report && in->report->offline, &err);
	if (r == 0)
		return 0;
	free(exposure->user);
	exposure->user = NULL;
	return reading_fail(in, value, EINVAL, "\"user\": %s", err.text);
}

static const struct member exposure_members[] = {
	{ "features", read_features },
	{ "paths", read_paths },
	{ "missing_derivation", read_missing },
	{ "chain", read_path, offsetof(struct exposure, chain) },
	{ "user", read_user, offsetof(struct exposure, user), .min = 1, .max = ACCOUNT_NAME_MAX },
};

/* A hook that is not run is not noticed, so only an object of known keys is believed to name none:
 * any other key may be this one, misspelt. */
static bool names_no_chain(const struct value *root)
{
	size_t n_known = 0;

	for (size_t i = 0; i < ARRAY_SIZE(exposure_members); i++)
		if (value_member(root, exposure_members[i].key))
			n_known++;
	return root->kind == VALUE_OBJECT && n_known == root->n_items &&
	       !value_member(root, "chain");
}

static int check_paths(struct reading *in, const struct exposure *exposure)
{
	char shown[SHOW_LEN];

	if (exposure->n_features > 0 && exposure->n_paths == 0)
		return reading_fail(in, value_member(&in->doc->root, "features"), EINVAL,
		                    "there are features, and nothing to show; expected \"paths\" "
		                    "that hold the socket's directory and the client");
	for (size_t i = 0; i < exposure->n_paths; i++)
		for (size_t k = 0; k < i; k++)
			if (strcmp(exposure->paths[i].at, exposure->paths[k].at) == 0)
				return reading_fail(in, value_member(&in->doc->root, "paths"),
				                    EINVAL,
				                    "two paths are both shown at %s; expected one",
				                    show(exposure->paths[i].at, shown));
	return 0;
}

int exposure_parse(const char *path, const char *text, size_t len,
                   const struct config_report *report, struct exposure *ret, struct error *err)
{
	static const struct member object = { .rows = exposure_members,
		                              .n_rows = ARRAY_SIZE(exposure_members) };
	cleanup_document struct document doc = { .name = path };
	struct reading in = { .doc = &doc, .report = report, .err = err };
	struct error parse_err;

	*ret = (struct exposure){ .chain_lost = true };
	if (document_parse(path, text, len, &doc, &parse_err) < 0)
		return reading_keep_error(&in, &parse_err);
	(void)read_members(&in, &doc.root, &object, ret);
	if (in.first == 0)
		(void)check_paths(&in, ret);
	ret->chain_lost = !ret->chain && !names_no_chain(&doc.root);
	return in.first;
}

int exposure_load(const char *path, uid_t owner_uid, const struct config_report *report,
                  struct exposure *ret, struct error *err)
{
	cleanup_free char *text = NULL;
	struct document doc = { .name = path };
	struct reading in = { .doc = &doc, .report = report, .err = err };
	struct error text_err;
	size_t len;
	int r = config_read_text(path, owner_uid, &text, &len, &text_err);

	*ret = (struct exposure){ .chain_lost = r < 0 };
	if (r < 0)
		return reading_keep_error(&in, &text_err);
	if (r == 0)
		return 0;
	r = exposure_parse(path, text, len, report, ret, err);
	return r < 0 ? r : 1;
}

bool exposure_feature_is_custom(const char *name)
{
	static const char prefix[] = "hatch-";

	return strncmp(name, prefix, strlen(prefix)) == 0;
}

int exposure_check_chain(const struct exposure *exposure, uid_t owner_uid, struct error *err)
{
	cleanup_fd int fd = -1;

	return exposure->chain ? trusted_program(exposure->chain, owner_uid, &fd, NULL, err) : 0;
}
