/* hatchctl list: the builders, and who may use them. Accounts are shown by name where they have
 * one; a definition holds only their numbers by then. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>

#include "hatchd/config/read.h"
#include "json.h"
#include "table.h"
#include "verbs.h"
#include "who.h"

/* Definitions that could be read. */
struct listing {
	struct builder *builders;
	size_t n_builders;
};

static void listing_done(struct listing *listing)
{
	for (size_t i = 0; i < listing->n_builders; i++)
		builder_done(&listing->builders[i]);
	free(listing->builders);
}

static size_t count(char *const *strings)
{
	size_t n = 0;

	while (strings[n])
		n++;
	return n;
}

/* Every definition that can be read. Returns how many could not, or -ENOMEM. */
static int load_builders(const struct config *config, char *const *names, struct listing *ret)
{
	int n_bad = 0;

	ret->builders = calloc(count(names) + 1, sizeof(*ret->builders));
	if (!ret->builders)
		return -ENOMEM;
	for (; *names; names++) {
		struct error err;
		int r = builder_load(config, *names, &ret->builders[ret->n_builders], &err);

		if (r < 0) {
			say_error(NULL, &err);
			n_bad++;
		}
		if (r > 0)
			ret->n_builders++;
	}
	return n_bad;
}

/* --- for people --- */

static int add_words(struct buffer *buf, const char *what, char *const *words, size_t n_words)
{
	int r = 0;

	for (size_t i = 0; i < n_words && r == 0; i++)
		r = buffer_printf(buf, "%s%s", i ? ", " : what, words[i]);
	return r;
}

/* "user alice, group nixbld; derivations *-bitstream" */
static int describe_allowed(struct buffer *buf, const struct builder *builder)
{
	const char *between = "";
	char account[ACCOUNT_LEN];
	int r = 0;

	for (size_t i = 0; i < builder->allow.n_uids && r == 0; i++, between = ", ")
		r = buffer_printf(buf, "%suser %s", between,
		                  user_text(builder->allow.uids[i], account));
	for (size_t i = 0; i < builder->allow.n_gids && r == 0; i++, between = ", ")
		r = buffer_printf(buf, "%sgroup %s", between,
		                  group_text(builder->allow.gids[i], account));
	for (size_t i = 0; i < builder->allow.n_ranges && r == 0; i++, between = ", ")
		r = buffer_printf(buf, "%suids %" PRIu32 " to %" PRIu32, between,
		                  builder->allow.ranges[i].first, builder->allow.ranges[i].last);
	if (r == 0 && !*between)
		r = buffer_printf(buf, "nobody");
	return r;
}

static int describe_limits_of_use(struct buffer *buf, const struct builder *builder)
{
	int r = add_words(buf, "derivations ", builder->allow.derivations,
	                  builder->allow.n_derivations);

	if (r == 0)
		r = add_words(buf, buf->len > 0 ? "; features " : "features ",
		              builder->allow.features, builder->allow.n_features);
	if (r == 0)
		r = add_words(buf, buf->len > 0 ? "; sockets " : "sockets ", builder->allow.sockets,
		              builder->allow.n_sockets);
	return r;
}

static void add_row(struct table *table, const struct builder *builder)
{
	cleanup_(buffer_done) struct buffer who = { 0 }, only = { 0 };

	if (describe_allowed(&who, builder) < 0 || describe_limits_of_use(&only, builder) < 0) {
		table->failed = true;
		return;
	}
	table_cell(table, builder->name);
	table_cell(table, who.data);
	table_cell(table, only.data);
	table_cell(table, builder->description);
}

static int print_table(const struct listing *listing)
{
	static const struct column columns[] = {
		{ "BUILDER" },
		{ "MAY BE USED BY", .shrinks = true },
		{ "ONLY FROM", .shrinks = true },
		{ "DESCRIPTION", .shrinks = true },
	};
	cleanup_table struct table table = { .columns = columns, .n_columns = ARRAY_SIZE(columns) };

	for (size_t i = 0; i < listing->n_builders; i++)
		add_row(&table, &listing->builders[i]);
	return table_print(&table, terminal_width());
}

/* --- for programs --- */

static void write_allowed(struct json *json, const struct builder *builder)
{
	char account[ACCOUNT_LEN];

	json_open_object(json, "allow");
	json_open_list(json, "users");
	for (size_t i = 0; i < builder->allow.n_uids; i++)
		json_text(json, NULL, user_text(builder->allow.uids[i], account));
	json_close(json);
	json_open_list(json, "groups");
	for (size_t i = 0; i < builder->allow.n_gids; i++)
		json_text(json, NULL, group_text(builder->allow.gids[i], account));
	json_close(json);
	json_open_list(json, "uid_ranges");
	for (size_t i = 0; i < builder->allow.n_ranges; i++) {
		json_open_object(json, NULL);
		json_number(json, "first", builder->allow.ranges[i].first);
		json_number(json, "last", builder->allow.ranges[i].last);
		json_close(json);
	}
	json_close(json);
	json_texts(json, "derivations", builder->allow.derivations, builder->allow.n_derivations);
	json_texts(json, "features", builder->allow.features, builder->allow.n_features);
	json_texts(json, "sockets", builder->allow.sockets, builder->allow.n_sockets);
	json_close(json);
}

static void write_builder(struct json *json, const struct builder *builder)
{
	json_open_object(json, NULL);
	json_text(json, "name", builder->name);
	json_text(json, "description", builder->description);
	json_text(json, "file", builder->file);
	json_texts(json, "command", builder->command, count(builder->command));
	write_allowed(json, builder);
	json_text(json, "network", network_name(&builder->network));
	json_close(json);
}

static int print_json(const struct listing *listing)
{
	cleanup_json struct json *json = json_new();

	json_open_list(json, "builders");
	for (size_t i = 0; i < listing->n_builders; i++)
		write_builder(json, &listing->builders[i]);
	json_close(json);
	return json_print(json);
}

static int print_names(char *const *names)
{
	for (; *names; names++)
		(void)puts(*names);
	return fflush(stdout) != 0 || ferror(stdout) ? -EIO : 0;
}

int run_list(const struct options *options)
{
	cleanup_(listing_done) struct listing listing = { 0 };
	cleanup_(strv_freep) char **names = NULL;
	cleanup_config struct config config = { 0 };
	const struct config_report report = { say_error };
	struct error err;
	bool bad_config;
	int r, n_bad;

	if (options->names && options->json)
		return fail_usage("--names and --json; expected one of them");
	bad_config = config_load_reporting(options->config_dir, !options->unprivileged, &report,
	                                   &config, NULL) < 0;
	if (!config.dir)
		return EX_CONFIG;
	if (config_list_builders(&config, &names, &err) < 0) {
		say_error(NULL, &err);
		return EX_CONFIG;
	}
	if (options->names)
		return end_printing(print_names(names));
	n_bad = load_builders(&config, names, &listing);
	if (n_bad < 0)
		return end_printing(n_bad);
	r = end_printing(options->json ? print_json(&listing) : print_table(&listing));
	return r == EXIT_SUCCESS && (n_bad > 0 || bad_config) ? EX_CONFIG : r;
}
