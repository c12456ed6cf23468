/* Reads files that systemd made; decides nothing. */
#include "credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lib/base/cleanup.h"

void credentials_done(struct credentials *credentials)
{
	for (size_t i = 0; i < credentials->n_items; i++) {
		explicit_bzero(credentials->items[i].bytes, credentials->items[i].len);
		free(credentials->items[i].bytes);
	}
	free(credentials->items);
	scan_free(credentials->scan);
	*credentials = (struct credentials){ 0 };
}

static int missing(const struct builder *builder, const char *name, struct error *err)
{
	error_set(err, BLAME_HOST, ENOENT,
	          "the service has no credential `%s`, which the builder `%s` (%s) is to have",
	          name, builder->name, builder->file);
	return error_hint(err,
	                  "add LoadCredential=%s:PATH or another of systemd.exec(5) to "
	                  "hatchd@.service",
	                  name);
}

static int read_one(const struct builder *builder, int dir_fd, const char *name,
                    struct credential *ret, struct error *err)
{
	cleanup_fd int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int r = fd < 0 ? -errno : fd_read_file(fd, CREDENTIAL_MAX, &ret->bytes, &ret->len);

	if (r == -ENOENT)
		return missing(builder, name, err);
	if (r < 0)
		return error_errno(err, BLAME_HOST, -r,
		                   "cannot read the credential `%s` of the builder `%s`", name,
		                   builder->name);
	ret->name = name;
	if (ret->len > 0)
		return 0;
	free(take_ptr(&ret->bytes));
	error_set(err, BLAME_HOST, ENODATA, "the credential `%s` of the builder `%s` is empty",
	          name, builder->name);
	return error_hint(err, "see where hatchd@.service has it from");
}

static int read_all(const struct builder *builder, int dir_fd, struct credentials *credentials,
                    struct error *err)
{
	credentials->items = calloc(builder->n_credentials, sizeof(*credentials->items));
	if (!credentials->items)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for credentials");
	for (size_t i = 0; i < builder->n_credentials; i++) {
		int r = read_one(builder, dir_fd, builder->credentials[i], &credentials->items[i],
		                 err);

		if (r < 0)
			return r;
		credentials->n_items++;
	}
	return 0;
}

static int make_scan(const struct builder *builder, struct credentials *credentials,
                     struct error *err)
{
	cleanup_free struct scan_secret *secrets = calloc(credentials->n_items, sizeof(*secrets));
	int r;

	if (!secrets)
		return error_set(err, BLAME_HOST, ENOMEM, "no memory for credentials");
	for (size_t i = 0; i < credentials->n_items; i++)
		secrets[i] = (struct scan_secret){ credentials->items[i].name,
			                           credentials->items[i].bytes,
			                           credentials->items[i].len };
	r = scan_new(secrets, credentials->n_items, &credentials->scan, err);
	if (r == -EFBIG)
		(void)error_hint(err, "set \"credentials_scan\" to false in %s", builder->file);
	return r;
}

int credentials_read(const struct builder *builder, const char *dir, struct credentials *ret,
                     struct error *err)
{
	cleanup_(credentials_done) struct credentials credentials = { 0 };
	cleanup_fd int dir_fd = -1;
	int r;

	*ret = (struct credentials){ 0 };
	if (builder->n_credentials == 0)
		return 0;
	if (dir)
		dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!dir || (dir_fd < 0 && errno == ENOENT))
		return missing(builder, builder->credentials[0], err);
	if (dir_fd < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot open %s", dir);
	r = read_all(builder, dir_fd, &credentials, err);
	if (r == 0 && builder->credentials_scan)
		r = make_scan(builder, &credentials, err);
	if (r < 0)
		return r;
	*ret = credentials;
	credentials = (struct credentials){ 0 };
	return 0;
}
