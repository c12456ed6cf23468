/*
 * Builders as text and as JSON. Accounts are printed by name where they have one; a definition
 * holds only their numbers by then.
 */
#include "print.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/text.h"

enum {
	SHOWN_LEN = 2048, /* a description with every byte of it escaped */
	ACCOUNT_LEN = 64,
};

/* The account's name, or its number. */
static const char *user_text(uid_t uid, char buf[ACCOUNT_LEN])
{
	const struct passwd *user = getpwuid(uid);

	if (user)
		(void)snprintf(buf, ACCOUNT_LEN, "%s", user->pw_name);
	else
		(void)snprintf(buf, ACCOUNT_LEN, "%" PRIu32, uid);
	return buf;
}

static const char *group_text(gid_t gid, char buf[ACCOUNT_LEN])
{
	const struct group *group = getgrgid(gid);

	if (group)
		(void)snprintf(buf, ACCOUNT_LEN, "%s", group->gr_name);
	else
		(void)snprintf(buf, ACCOUNT_LEN, "%" PRIu32, gid);
	return buf;
}

static void print_text(const char *text)
{
	char shown[SHOWN_LEN];

	text_escape(text, strlen(text), shown, sizeof(shown));
	(void)fputs(shown, stdout);
}

static void print_strings(const char *what, char *const *strings, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		printf("%s", i ? ", " : what);
		print_text(strings[i]);
	}
}

static bool allows_nobody(const struct builder *builder)
{
	return builder->allow.n_uids + builder->allow.n_gids + builder->allow.n_ranges == 0;
}

static void print_allowed(const struct builder *builder)
{
	const char *between = "";
	char buf[ACCOUNT_LEN];

	printf("    allowed:  ");
	for (size_t i = 0; i < builder->allow.n_uids; i++, between = ", ")
		printf("%suser %s", between, user_text(builder->allow.uids[i], buf));
	for (size_t i = 0; i < builder->allow.n_gids; i++, between = ", ")
		printf("%sgroup %s", between, group_text(builder->allow.gids[i], buf));
	for (size_t i = 0; i < builder->allow.n_ranges; i++, between = ", ")
		printf("%suids %" PRIu32 " to %" PRIu32, between, builder->allow.ranges[i].first,
		       builder->allow.ranges[i].last);
	printf("%s\n", allows_nobody(builder) ? "nobody" : "");
	if (builder->allow.n_derivations > 0)
		print_strings("    only for: derivations ", builder->allow.derivations,
		              builder->allow.n_derivations);
	printf("%s", builder->allow.n_derivations > 0 ? "\n" : "");
	print_strings("    sockets:  ", builder->allow.sockets, builder->allow.n_sockets);
	printf("\n");
}

int print_builders(const struct builder *builders, size_t n_builders)
{
	for (size_t i = 0; i < n_builders; i++) {
		printf("%s\n", builders[i].name);
		if (builders[i].description[0]) {
			printf("    what:     ");
			print_text(builders[i].description);
			printf("\n");
		}
		print_allowed(&builders[i]);
		printf("    file:     ");
		print_text(builders[i].file);
		printf("\n");
	}
	return fflush(stdout) != 0 || ferror(stdout) ? -EIO : 0;
}

static bool add_string(cJSON *list, const char *text)
{
	return cJSON_AddItemToArray(list, cJSON_CreateString(text));
}

static bool add_strings(cJSON *object, const char *key, char *const *strings, size_t n)
{
	cJSON *list = cJSON_AddArrayToObject(object, key);
	bool done = list != NULL;

	for (size_t i = 0; i < n && done; i++)
		done = add_string(list, strings[i]);
	return done;
}

static bool add_ranges(cJSON *object, const struct builder *builder)
{
	cJSON *list = cJSON_AddArrayToObject(object, "uid_ranges");
	bool done = list != NULL;

	for (size_t i = 0; i < builder->allow.n_ranges && done; i++) {
		cJSON *range = cJSON_CreateObject();

		done = cJSON_AddItemToArray(list, range) &&
		       cJSON_AddNumberToObject(range, "first", builder->allow.ranges[i].first) &&
		       cJSON_AddNumberToObject(range, "last", builder->allow.ranges[i].last);
	}
	return done;
}

static bool add_allowed(cJSON *object, const struct builder *builder)
{
	cJSON *allow = cJSON_AddObjectToObject(object, "allow");
	cJSON *users = cJSON_AddArrayToObject(allow, "users");
	cJSON *groups = cJSON_AddArrayToObject(allow, "groups");
	bool done = users && groups;
	char buf[ACCOUNT_LEN];

	for (size_t i = 0; i < builder->allow.n_uids && done; i++)
		done = add_string(users, user_text(builder->allow.uids[i], buf));
	for (size_t i = 0; i < builder->allow.n_gids && done; i++)
		done = add_string(groups, group_text(builder->allow.gids[i], buf));
	return done && add_ranges(allow, builder) &&
	       add_strings(allow, "derivations", builder->allow.derivations,
	                   builder->allow.n_derivations) &&
	       add_strings(allow, "sockets", builder->allow.sockets, builder->allow.n_sockets);
}

static bool add_builder(cJSON *list, const struct builder *builder)
{
	cJSON *object = cJSON_CreateObject();
	size_t n_words = 0;

	while (builder->command[n_words])
		n_words++;
	return cJSON_AddItemToArray(list, object) &&
	       cJSON_AddStringToObject(object, "name", builder->name) &&
	       cJSON_AddStringToObject(object, "description", builder->description) &&
	       cJSON_AddStringToObject(object, "file", builder->file) &&
	       add_strings(object, "command", builder->command, n_words) &&
	       add_allowed(object, builder) &&
	       cJSON_AddStringToObject(object, "network", builder->network_host ? "host" : "none");
}

static void deletep(cJSON **json)
{
	cJSON_Delete(*json);
}

int print_builders_json(const struct builder *builders, size_t n_builders)
{
	cleanup_(deletep) cJSON *root = cJSON_CreateObject();
	cJSON *list = cJSON_AddArrayToObject(root, "builders");
	cleanup_free char *text = NULL;

	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < n_builders; i++)
		if (!add_builder(list, &builders[i]))
			return -ENOMEM;
	text = cJSON_Print(root);
	if (!text)
		return -ENOMEM;
	return puts(text) == EOF || fflush(stdout) != 0 ? -EIO : 0;
}
