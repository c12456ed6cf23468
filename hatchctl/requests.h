/* The requests of now, as locks and tickets below the state directory tell. */
#pragma once

#include "hatchd/slot/list.h"
#include "verbs.h"

struct requests {
	char *state_dir;
	struct pool_entry *entries; /* running ones first, then those that wait in their order */
	size_t n_entries;
};

#define cleanup_requests cleanup_(requests_done)

/* state_directory - of the server that options mean, *ret malloc()ed. Errors  BLAME_HOST: of
 * config_load(), -ENOENT it needs HOME */
int state_directory(const struct options *options, char **ret, struct error *err);

/* requests_read - 0, or the exit status, having said what is wrong */
int requests_read(const struct options *options, struct requests *ret);
void requests_done(struct requests *requests);

/* requests_find - the one with this identifier, or NULL */
const struct pool_entry *requests_find(const struct requests *requests, const char *id);
