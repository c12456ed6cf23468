/* Runs as the packer. What it meets is hostile; what it says is for the client. */
#include "inspect.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/cleanup.h"
#include "lib/base/text.h"
#include "packer.h"

enum { SHOWN_MAX = 256 };

struct inspection {
	const struct request *request;
	const struct request_output *output;
	const struct scan *scan;
	struct scan_cursor cursor; /* of the body that is read now */
};

/*
 * Where it stands, of its path only what comes before the secret: "bin/tool". The path was looked
 * at before anything else of the entry, so only a hit in the path itself has to be cut off.
 */
static size_t shown_len(enum tree_part part, const char *path, const struct scan_hit *hit)
{
	size_t len = strlen(path);

	if (part != TREE_PART_NAME)
		return len;
	len = (size_t)(hit->end - hit->len);
	while (len > 0 && path[len - 1] != '/')
		len--;
	return len > 0 ? len - 1 : 0;
}

/* Inside of the output: without the name that all roots have. */
static const char *inside(const char *path)
{
	const char *slash = strchr(path, '/');

	return slash ? slash + 1 : ".";
}

static int refuse(const struct inspection *inspection, enum tree_part part, const char *path,
                  const struct scan_hit *hit, struct error *err)
{
	static const char *const places[] = {
		[TREE_PART_NAME] = "a name in",
		[TREE_PART_TARGET] = "the target of the link",
		[TREE_PART_BODY] = "the file",
	};
	const struct builder *builder = inspection->request->builder;
	char shown[TREE_PATH_MAX + 1], clean[SHOWN_MAX];

	(void)snprintf(shown, sizeof(shown), "%.*s", (int)shown_len(part, path, hit), path);
	text_escape(inside(shown), strlen(inside(shown)), clean, sizeof(clean));
	error_set(err, BLAME_BUILD, EACCES,
	          "the output %s holds the credential %s (%s): in %s '%s'",
	          inspection->output->name, hit->name, scan_encoding_name(hit->encoding),
	          places[part], clean);
	return error_hint(err,
	                  "no output was returned; if this builder is meant to give it away, set "
	                  "\"credentials_scan\" to false in %s",
	                  builder->file);
}

static int see(void *context, enum tree_part part, const char *path, bool first, const void *bytes,
               size_t len, struct error *err)
{
	struct inspection *inspection = context;
	struct scan_hit hit;

	if (first)
		inspection->cursor = (struct scan_cursor){ 0 };
	return scan_find(inspection->scan, &inspection->cursor, bytes, len, &hit)
	               ? refuse(inspection, part, path, &hit, err)
	               : 0;
}

int inspect_outputs(const struct request *request, const struct scratch *scratch,
                    const struct scan *scan, struct error *err)
{
	const struct tree_limits limits = { .bytes = request->builder->limits.output_bytes,
		                            .entries = request->builder->limits.output_entries };
	struct inspection inspection = { .request = request, .scan = scan };
	struct tree_used used = { 0 };
	const struct tree_eye eye = { see, &inspection };

	for (size_t i = 0; i < request->n_outputs; i++) {
		const struct request_output *output = &request->outputs[i];
		const struct tree_root root = output_root(output, scratch);
		int r;

		inspection.output = output;
		r = tree_look(&root, &limits, &used, &eye, err);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	return 0;
}
