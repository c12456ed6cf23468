/* Finds the state directory as the server would, and reads what stands there. */
#include "requests.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/base/cleanup.h"

void requests_done(struct requests *requests)
{
	free(requests->state_dir);
	free(requests->entries);
	*requests = (struct requests){ 0 };
}

/* hatchd --unprivileged keeps it in the home of its user. */
static char *own_state_dir(void)
{
	const char *home = getenv("HOME");
	char *path;

	return home && home[0] == '/' && asprintf(&path, "%s/.cache/hatch", home) >= 0 ? path
	                                                                               : NULL;
}

static char *given_state_dir(const struct options *options)
{
	if (options->state_dir)
		return strdup(options->state_dir);
	return options->unprivileged ? own_state_dir() : NULL;
}

/* The configuration, with the state directory that is given instead of its own. */
static int load_config(const struct options *options, struct config *ret, struct error *err)
{
	cleanup_free char *path = given_state_dir(options);
	int r;

	if (!path && (options->state_dir || options->unprivileged))
		return error_set(err, BLAME_HOST, ENOENT,
		                 "the state directory is not known without HOME; give --state");
	r = config_load(options->config_dir, !options->unprivileged, ret, err);
	if (r < 0 || !path)
		return r;
	free(ret->state_dir);
	ret->state_dir = take_ptr(&path);
	return 0;
}

int state_directory(const struct options *options, char **ret, struct error *err)
{
	cleanup_config struct config config = { 0 };
	int r = load_config(options, &config, err);

	if (r == 0)
		*ret = take_ptr(&config.state_dir);
	return r;
}

static int read_state(const struct options *options, struct requests *ret, struct error *err)
{
	cleanup_config struct config config = { 0 };
	cleanup_fd int state_fd = -1;
	int r = load_config(options, &config, err);

	if (r < 0)
		return r;
	r = config_open_state(&config, &state_fd, err);
	if (r == -ENOENT && options->unprivileged)
		return 0; /* never used */
	if (r == 0)
		r = pool_list(config.state_dir, &ret->entries, &ret->n_entries, err);
	if (r == 0)
		ret->state_dir = take_ptr(&config.state_dir);
	return r;
}

int requests_read(const struct options *options, struct requests *ret)
{
	struct error err = { 0 };
	int r;

	*ret = (struct requests){ 0 };
	if (!options->unprivileged && geteuid() != 0) {
		(void)error_set(&err, BLAME_HOST, EPERM,
		                "only root may see the requests of others");
		(void)error_hint(&err, "run it as root; --unprivileged shows your own server's");
		say_error(NULL, &err);
		return EX_NOPERM;
	}
	r = read_state(options, ret, &err);
	if (r == 0)
		return 0;
	say_error(NULL, &err);
	return r == -ENOMEM ? EX_OSERR : EX_CONFIG;
}

const struct pool_entry *requests_find(const struct requests *requests, const char *id)
{
	for (size_t i = 0; i < requests->n_entries; i++)
		if (*id && strcmp(requests->entries[i].record.claim.request, id) == 0)
			return &requests->entries[i];
	return NULL;
}
