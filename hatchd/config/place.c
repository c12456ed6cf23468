/* Where things may stand in the view, what of the host may be shown, and what contradicts itself.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "builder.h"
#include "lib/base/text.h"
#include "source.h"

/* Which uses of a path a row is about. */
enum {
	AT = RESERVED_USES,         /* as a place of the view */
	SOURCE = RESERVED_USES * 2, /* as a source on the host */
	HIDDEN = RESERVED_USES * 4, /* as something to hide */
	ALL = AT | SOURCE | HIDDEN,
	BELOW = RESERVED_BELOW,
	AROUND = RESERVED_AROUND,
};

static bool meets(const char *path, const struct reserved *reserved)
{
	return strcmp(path, reserved->path) == 0 ||
	       ((reserved->rule & RESERVED_BELOW) && path_is_below(path, reserved->path)) ||
	       ((reserved->rule & RESERVED_AROUND) && path_is_below(reserved->path, path));
}

int check_reserved(struct reading *in, const struct value *item, const struct reserved *rows,
                   size_t n_rows, unsigned use)
{
	char shown[SHOW_LEN];

	for (size_t i = 0; i < n_rows; i++)
		if ((rows[i].rule & use) == use && meets(item->string, &rows[i]))
			return reading_fail(in, item, EINVAL,
			                    "this meets %s: %s; expected a path that does not",
			                    show(rows[i].path, shown), rows[i].why);
	return 0;
}

/* Places that hatch makes itself in every view, or that no builder may see. */
static int check_use(struct reading *in, const struct value *item, unsigned use)
{
	const struct config *config = in->config;
	const struct reserved rows[] = {
		{ "/", "the view is not the whole host", ALL },
		{ "/proc", "hatch mounts one of the builder's own", ALL | BELOW },
		{ "/sys", "no builder sees it", ALL | BELOW },
		{ "/dev", "hatch makes one of the builder's own", ALL | BELOW },
		{ "/tmp", "hatch makes one of the builder's own", ALL },
		{ "/var/tmp", "it leads to the builder's own /tmp", ALL },
		{ "/build", "hatch makes one of the builder's own", AT | HIDDEN | BELOW },
		{ "/run/hatch", "it holds hatch's own sockets", AT | SOURCE | BELOW | AROUND },
		{ "/run/credentials", "it holds the secrets of services",
		  AT | SOURCE | BELOW | AROUND },
		{ config->store_dir, "every builder sees the store", AT | HIDDEN | BELOW | AROUND },
		{ config->store_dir, "it holds the store, and what serves it", SOURCE | AROUND },
		{ config->state_dir, "it holds what other requests write",
		  AT | SOURCE | BELOW | AROUND },
		{ config->dir, "it holds hatch's own configuration", AT | SOURCE | BELOW },
	};

	return check_reserved(in, item, rows, ARRAY_SIZE(rows), use);
}

/* A device stands where the host has it, and is none of those that every builder has. */
static int check_device(struct reading *in, const struct value *item)
{
	static const char *const own[] = {
		"null",   "zero",   "full", "random", "urandom", "fd",     "stdin",
		"stdout", "stderr", "ptmx", "pts",    "shm",     "mqueue",
	};
	char shown[SHOW_LEN];

	if (strncmp(item->string, "/dev/", 5) != 0)
		return reading_fail(in, item, EINVAL, "\"%s\"; expected a device below /dev",
		                    show(item->string, shown));
	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		char path[32] = "/dev/";

		strcat(path, own[i]);
		if (path_is_below(item->string, path))
			return reading_fail(in, item, EINVAL,
			                    "this meets %s: hatch makes one of the builder's own; "
			                    "expected another device",
			                    path);
	}
	return 0;
}

int check_at(struct reading *in, const struct value *at, enum place_kind kind)
{
	switch (kind) {
	case PLACE_DEVICE:
		return check_device(in, at);
	case PLACE_HIDE:
		return check_use(in, at, HIDDEN);
	default:
		return check_use(in, at, AT);
	}
}

int check_source(struct reading *in, const struct value *source)
{
	return check_use(in, source, SOURCE);
}

void place_done(struct place *place)
{
	free(place->at);
	free(place->source);
	strv_free(place->lower);
	*place = (struct place){ 0 };
}

/* By path, '/' before every other byte: what is inside of a place stands right behind it. */
static int compare_places(const void *a, const void *b)
{
	const unsigned char *x = (const unsigned char *)((const struct place *)a)->at;
	const unsigned char *y = (const unsigned char *)((const struct place *)b)->at;

	for (; *x == *y && *x; x++, y++)
		;
	if (*x == *y)
		return 0;
	if (*x == '/' || *y == '/')
		return *x == '\0' || (*x == '/' && *y) ? -1 : 1;
	return *x < *y ? -1 : 1;
}

static int fail_at(struct reading *in, const struct place *place, const char *what)
{
	const struct value at = { .at = place->offset };
	char shown[SHOW_LEN];

	return reading_fail(in, &at, EINVAL, "%s %s", show(place->at, shown), what);
}

/* The later of the two in the text is the one to complain about. */
static const struct place *later(const struct place *a, const struct place *b)
{
	return a->offset > b->offset ? a : b;
}

int check_places(struct reading *in, struct builder *builder)
{
	struct place *places = builder->view.places;
	const struct place *closed = NULL; /* nothing can stand inside of it */

	if (builder->view.n_places > 0)
		qsort(places, builder->view.n_places, sizeof(*places), compare_places);
	for (size_t i = 0; i < builder->view.n_places && !reading_stops(in); i++) {
		const struct place *place = &places[i];

		if (i > 0 && strcmp(place->at, places[i - 1].at) == 0)
			(void)fail_at(in, later(place, &places[i - 1]),
			              "is there twice; expected one thing at one place of the "
			              "view");
		else if (closed && path_is_below(place->at, closed->at))
			(void)fail_at(in, place,
			              closed->kind == PLACE_HIDE
			                      ? "is inside of a place that \"hide\" hides; "
			                        "expected it outside, or nothing hidden there"
			                      : "is inside of a device; expected it elsewhere");
		else if (place->kind == PLACE_HIDE || place->kind == PLACE_DEVICE)
			closed = place;
	}
	return in->first;
}

/* --- what a place needs of the host --- */

static bool is_missing(int code)
{
	return code == ENOENT || code == ENOTDIR;
}

struct position builder_place_position(const struct builder *builder, const struct place *place)
{
	struct position at = { 0 };

	if (builder->source)
		document_place(&builder->source->doc, place->offset, &at.line, &at.column);
	return at;
}

const char *file_kind_name(mode_t mode)
{
	return S_ISREG(mode)   ? "a file"
	       : S_ISDIR(mode) ? "a directory"
	       : S_ISLNK(mode) ? "a link"
	                       : "something else";
}

/* Where the path stands: a layer has a place of its own in the definition. */
static struct position find_path(const struct builder *builder, const struct place *place,
                                 const char *path)
{
	struct position at = builder_place_position(builder, place);
	const struct value *view = builder->source
	                                   ? value_member(&builder->source->doc.root, "view")
	                                   : NULL;
	const struct value *overlays = view ? value_member(view, "overlay") : NULL;

	for (size_t i = 0; place->lower && overlays && i < overlays->n_items; i++) {
		const struct value *lower = value_member(&overlays->items[i], "lower");

		if (overlays->items[i].at != place->offset)
			continue;
		for (size_t k = 0; lower && k < lower->n_items; k++)
			if (strcmp(lower->items[k].string, path) == 0)
				document_place(&builder->source->doc, lower->items[k].at, &at.line,
				               &at.column);
	}
	return at;
}

/* What cannot be looked at. */
static int fail_place(const struct builder *builder, const struct place *place, const char *path,
                      int code, struct error *err)
{
	struct position at = find_path(builder, place, path);

	(void)error_errno(err, BLAME_HOST, code, "%s:%zu:%zu: the view of builder `%s` holds %s",
	                  builder->file, at.line, at.column, builder->name, path);
	return error_hint(err, "make it, or take it out of \"view\"");
}

/* What is there, but something else. */
static int fail_kind(const struct builder *builder, const struct place *place, const char *path,
                     mode_t mode, const char *expected, struct error *err)
{
	struct position at = find_path(builder, place, path);

	return error_set(err, BLAME_HOST, S_ISDIR(mode) ? EISDIR : ENOTDIR,
	                 "%s:%zu:%zu: the view of builder `%s` holds %s, which is %s; expected %s",
	                 builder->file, at.line, at.column, builder->name, path,
	                 file_kind_name(mode), expected);
}

static int check_layers(const struct builder *builder, const struct place *place, struct error *err)
{
	for (char **path = place->lower; *path; path++) {
		struct stat st;

		if (stat(*path, &st) < 0)
			return fail_place(builder, place, *path, errno, err);
		if (!S_ISDIR(st.st_mode))
			return fail_kind(builder, place, *path, st.st_mode, "a directory", err);
	}
	return 0;
}

/* The innermost other place that it is in; they are sorted. */
static const struct place *find_holder(const struct builder *builder, const struct place *place)
{
	for (size_t i = (size_t)(place - builder->view.places); i > 0; i--)
		if (path_is_below(place->at, builder->view.places[i - 1].at))
			return &builder->view.places[i - 1];
	return NULL;
}

static bool lacks(const char *dir, const char *rest)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s%s", dir, rest);
	struct stat st;

	return n < (int)sizeof(path) && lstat(path, &st) < 0 && is_missing(errno);
}

/* False where the host cannot tell: in a tmpfs, and where what holds it is optional and missing. */
static bool holder_lacks(const struct place *holder, const char *path)
{
	const char *rest = path + strlen(holder->at);

	if (holder->source)
		return !lacks(holder->source, "") && lacks(holder->source, rest);
	for (char **layer = holder->lower; layer && *layer; layer++)
		if (!lacks(*layer, rest))
			return false;
	return holder->lower;
}

/* Outside of all places, in the root that hatch makes: below these there is what the host has. */
static bool system_lacks(const char *path)
{
	static const char *const shown[] = { "/usr",   "/bin",   "/sbin",  "/lib",
		                             "/lib32", "/lib64", "/libx32" };

	for (size_t i = 0; i < ARRAY_SIZE(shown); i++)
		if (path_is_below(path, shown[i]))
			return lacks(path, "");
	return false;
}

/* Neither the system nor anything that hatch makes there; those in which nothing can be hidden are
 * refused by check_use(). */
static bool is_nowhere(const char *path)
{
	static const char *const some[] = { "/usr",   "/bin",    "/sbin", "/lib", "/lib32",
		                            "/lib64", "/libx32", "/etc",  "/run" };

	for (size_t i = 0; i < ARRAY_SIZE(some); i++)
		if (path_is_below(path, some[i]))
			return false;
	return strcmp(path, "/var") != 0;
}

static int fail_held(const struct builder *builder, const struct place *place, struct error *err)
{
	struct position at = builder_place_position(builder, place);
	bool hide = place->kind == PLACE_HIDE;

	(void)error_set(err, BLAME_HOST, ENOENT,
	                hide ? "%s:%zu:%zu: the view of builder `%s` has no %s to hide"
	                     : "%s:%zu:%zu: the view of builder `%s` has no place for %s",
	                builder->file, at.line, at.column, builder->name, place->at);
	return error_hint(err, hide ? "take it out of \"hide\", or show what holds it"
	                            : "what holds it is shown as it is: make it there, or choose "
	                              "another place");
}

/* What is hidden must be there, and so must a place in something that is shown as it is: as far as
 * the host tells before the view is made. */
static int check_held(const struct builder *builder, const struct place *place, struct error *err)
{
	const struct place *holder = find_holder(builder, place);
	bool own = builder->root.kind == ROOT_SYSTEM && builder->view.base == BASE_MINIMAL;
	bool hide = place->kind == PLACE_HIDE, missing = false;

	if (holder && (hide || holder->kind == PLACE_READ || holder->kind == PLACE_WRITE ||
	               (holder->kind == PLACE_OVERLAY && holder->top == TOP_NONE)))
		missing = holder_lacks(holder, place->at);
	else if (!holder && own)
		missing = system_lacks(place->at) || (hide && is_nowhere(place->at));
	return missing ? fail_held(builder, place, err) : 0;
}

static int check_source_of(const struct builder *builder, const struct place *place,
                           struct error *err)
{
	struct stat st;

	if (place->lower)
		return check_layers(builder, place, err);
	if (!place->source)
		return 0;
	if (stat(place->source, &st) < 0)
		return place->optional && is_missing(errno)
		               ? 0
		               : fail_place(builder, place, place->source, errno, err);
	if (place->kind == PLACE_DEVICE && !S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
		return fail_kind(builder, place, place->source, st.st_mode,
		                 "a character or block device", err);
	return 0;
}

int builder_check_place(const struct builder *builder, const struct place *place, struct error *err)
{
	int r = check_source_of(builder, place, err);

	/* A device is put into /dev, which hatch makes; and what is left out needs no place. */
	if (r < 0 || place->kind == PLACE_DEVICE ||
	    (place->optional && place->source && lacks(place->source, "")))
		return r;
	return check_held(builder, place, err);
}

int builder_check_places(const struct builder *builder, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < builder->view.n_places; i++)
		r = builder_check_place(builder, &builder->view.places[i], err);
	return r;
}
