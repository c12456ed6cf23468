/* hatchctl show: one request that has ended, from the journal, and what was kept of it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "journal.h"
#include "keepsake.h"
#include "lib/base/cleanup.h"

enum {
	RECEIPT_MAX = 1024 * 1024,
};

/* The journal forgets; then what was kept still has the fields of its line. Returns 1, 0 there is
 * nothing, or a negative errno. */
static int read_receipt(const struct keepsake *keepsake, struct entries *ret, struct error *err)
{
	cleanup_free char *text = NULL;
	int r = keepsake_read(keepsake, "receipt", RECEIPT_MAX, &text, err);

	if (r > 0 && entry_parse(text, ret, err) < 0)
		return -ENOMEM;
	return r;
}

static int find(const struct options *options, const char *id, const struct keepsake *keepsake,
                struct entries *ret, struct error *err)
{
	const struct journal_filter filter = {
		.directory = options->journal_dir,
		.writer_uid = options->unprivileged ? getuid() : 0,
		.request = id,
		.lines = 1,
	};
	int r = journal_read(&filter, ret, err);

	if (r < 0 || ret->n_items > 0)
		return r;
	r = read_receipt(keepsake, ret, err);
	if (r != 0)
		return r < 0 ? r : 0;
	(void)error_set(err, BLAME_HOST, ESRCH,
	                "no request %s has ended, as far as the journal goes", id);
	return error_hint(err,
	                  "hatchctl ps shows what still runs; hatchctl history, what has ended");
}

static int print(const struct options *options, const struct entry *entry,
                 const struct keepsake *keepsake, struct error *err)
{
	cleanup_json struct json *json = json_new();
	int r;

	json_open_object(json, "request");
	entry_write(entry, json);
	json_close(json);
	r = keepsake_write(keepsake, json, err);
	if (r < 0)
		return r;
	r = options->json ? json_print(json) : json_print_outline(json);
	return r < 0 ? error_errno(err, BLAME_HOST, -r, "cannot print") : 0;
}

static int show(const struct options *options, const char *id, struct error *err)
{
	cleanup_entries struct entries entries = { 0 };
	cleanup_keepsake struct keepsake keepsake = KEEPSAKE_NONE;
	int r = keepsake_open(options, id, &keepsake, err);

	if (r == 0)
		r = find(options, id, &keepsake, &entries, err);
	if (r < 0)
		return r;
	if (options->log)
		return keepsake_print_log(&keepsake, err);
	return print(options, &entries.items[entries.n_items - 1], &keepsake, err);
}

int run_show(const struct options *options)
{
	const char *id = options->words[0];
	struct error err = { 0 };
	int r = expect_id(id);

	if (r != 0)
		return r;
	if (options->log && options->json)
		return fail_usage("--log and --json; expected one of them");
	r = show(options, id, &err);
	if (r == 0)
		return EXIT_SUCCESS;
	say_error(NULL, &err);
	return r == -EIO                     ? EX_IOERR
	       : r == -ESRCH || r == -ENOENT ? EX_UNAVAILABLE
	       : r == -EINVAL                ? EX_CONFIG
	                                     : EX_OSERR;
}
