/* "before" and "after": commands of the administrator's, on the host, around the builder. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "builder.h"
#include "items.h"
#include "trusted-path.h"

enum {
	HOOK_ARGUMENT_MAX = 131071,
	HOOK_TIME_DEFAULT_SEC = 30,
	HOOK_TIME_MAX_SEC = 3600,
};

void hook_done(struct hook *hook)
{
	strv_free(hook->command);
	*hook = (struct hook){ 0 };
}

static int check_hook_word(struct reading *in, const struct value *list, const struct value *item)
{
	int r = expect_text(in, item, HOOK_ARGUMENT_MAX);

	return r == 0 && item == list->items ? expect_path(in, item) : r;
}

static int read_hook_command(struct reading *in, const struct value *value,
                             const struct member *row, void *object)
{
	struct hook *hook = object;
	size_t n;

	return read_strings(in, value, 1, check_hook_word, &hook->command, &n);
}

static int read_hook_user(struct reading *in, const struct value *value, const struct member *row,
                          void *object)
{
	static const char *const words[] = { "build-user", "root" };
	struct hook *hook = object;
	size_t chosen = 0;
	int r = read_word(in, value, words, ARRAY_SIZE(words), "\"build-user\" or \"root\"",
	                  &chosen);

	hook->as_root = chosen == 1;
	return r;
}

static const struct member hook_members[] = {
	{ "command", read_hook_command, .required = true },
	{ "time_sec", read_count, offsetof(struct hook, time_sec), 1, HOOK_TIME_MAX_SEC },
	{ "user", read_hook_user },
};

int read_hook(struct reading *in, const struct value *value, const struct member *row, void *object)
{
	static const struct member members = { INSIDE(hook_members) };
	struct hook *hook = (struct hook *)((char *)object + row->offset);

	hook->time_sec = HOOK_TIME_DEFAULT_SEC;
	return read_members(in, value, &members, hook);
}

static int check_program(const struct config *config, const struct builder *builder,
                         const struct hook *hook, const char *key, struct error *err)
{
	char path[32], what[32];
	cleanup_fd int fd = -1;
	struct error why;

	if (!hook->command ||
	    trusted_program(hook->command[0], config->owner_uid, &fd, NULL, &why) >= 0)
		return 0;
	(void)snprintf(path, sizeof(path), "%s.command", key);
	(void)snprintf(what, sizeof(what), "command `%s`", key);
	return builder_fail(builder, path, 0, what, &why, err);
}

int builder_check_hooks(const struct config *config, const struct builder *builder,
                        struct error *err)
{
	int r = check_program(config, builder, &builder->before, "before", err);

	return r < 0 ? r : check_program(config, builder, &builder->after, "after", err);
}
