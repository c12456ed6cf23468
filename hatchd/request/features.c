/*
 * Forks the process that parses a derivation, and takes its answer as bytes. A derivation is a
 * stranger's text, and who parses it may fall to it: so that process has no rights, no files but
 * the one it reads, and what it answers is a list of names, whatever it says.
 */
#include "features.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hatchd/sandbox/filter.h"
#include "lib/base/cleanup.h"
#include "lib/base/process.h"
#include "lib/derivation/derivation.h"

enum {
	NOBODY = 65534,
	/* The longest text, and the largest tree of JSON that anybody needs: short texts in a list,
	 * which take twenty times their length. A list of empty objects takes a hundred times that.
	 */
	READER_MEMORY_MAX = 32 * 1024 * 1024,
	READER_SEC_MAX = 5, /* for what takes milliseconds */
};

/* What comes through the pipe. */
struct report {
	struct error error; /* code 0: none */
	struct features features;
};

int features_open(const char *path, uid_t owner_uid, int *ret_fd, struct error *err)
{
	/* Not to be held up by what is no file. */
	cleanup_fd int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_errno(err, BLAME_HOST, errno, "cannot open %s", path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, BLAME_HOST, EINVAL, "%s is no file", path);
	if ((st.st_uid != 0 && st.st_uid != owner_uid) || (st.st_mode & (S_IWGRP | S_IWOTH)))
		return error_set(err, BLAME_HOST, EPERM,
		                 "%s belongs to uid %u and has mode %04o: it is not of Nix", path,
		                 st.st_uid, st.st_mode & 07777);
	*ret_fd = take_fd(&fd);
	return 1;
}

/* Returns whether there is such a user. */
static bool find_user(const char *name, struct account *ret)
{
	FILE *file = fopen("/etc/passwd", "re");
	struct passwd *entry = NULL;

	while (file && (entry = fgetpwent(file)))
		if (strcmp(entry->pw_name, name) == 0)
			break;
	if (entry) {
		ret->uid = entry->pw_uid;
		ret->gid = entry->pw_gid;
	}
	if (file)
		(void)fclose(file);
	return entry != NULL;
}

int features_account(const char *name, struct account *ret, struct error *err)
{
	struct account account = { .uid = NOBODY, .gid = NOBODY, .change = geteuid() == 0 };

	if (!find_user(name ? name : "hatch", &account) && name)
		return error_set(err, BLAME_HOST, ENOENT,
		                 "/etc/passwd has no user \"%s\" to parse derivations", name);
	if (account.uid == 0 || account.gid == 0)
		return error_set(err, BLAME_HOST, EPERM,
		                 "derivations are not parsed by %s, who is uid %u gid %u",
		                 name ? name : "hatch", account.uid, account.gid);
	*ret = account;
	return 0;
}

/* --- the process that reads --- */

/* Also the standard streams: of the hook they lead to Nix. */
static int confine(const struct account *account, int source_fd, int report_fd, struct error *err)
{
	int keep[] = { source_fd, report_fd };
	int r = fds_close_except(keep, ARRAY_SIZE(keep), err);

	for (int fd = 0; fd < 3; fd++)
		(void)close(fd);
	if (r == 0)
		r = privilege_die_after(READER_SEC_MAX, err);
	if (r == 0)
		r = privilege_limit_memory(READER_MEMORY_MAX, err);
	if (r == 0)
		r = privilege_become(account, err);
	derivation_init();
	return r < 0 ? r : filter_tap(err);
}

static int parse(const struct derivation_source *source, struct derivation *ret, struct error *err)
{
	cleanup_free char *text = NULL;
	size_t len;
	int r = fd_read_file(source->fd, DERIVATION_BYTES_MAX, &text, &len);

	if (r < 0)
		return error_errno(err, BLAME_PEER, -r, "cannot read the derivation");
	r = (source->json ? derivation_parse_json : derivation_parse_aterm)(text, len, ret, err);
	if (r == -ENOMEM)
		return error_set(err, BLAME_PEER, EFBIG,
		                 "to read the derivation takes more than %d MiB of memory",
		                 READER_MEMORY_MAX >> 20);
	return r;
}

static int list(const struct derivation *derivation, struct features *ret, struct error *err)
{
	for (size_t i = 0; i < derivation->n_features; i++)
		if (features_add(ret, derivation->features[i]) < 0)
			return error_set(err, BLAME_PEER, E2BIG,
			                 "the names of required features have more than %d bytes",
			                 FEATURES_TEXT_MAX);
	return 0;
}

__attribute__((noreturn)) static void reader_main(const struct derivation_source *source,
                                                  const struct account *account, int report_fd)
{
	struct report report = { 0 };
	struct derivation derivation = { 0 };
	int r = confine(account, source->fd, report_fd, &report.error);

	if (r == 0)
		r = parse(source, &derivation, &report.error);
	if (r == 0)
		(void)list(&derivation, &report.features, &report.error);
	(void)fd_write_full(report_fd, &report, sizeof(report));
	_exit(0);
}

/* --- the process that asks --- */

/* Its words, made safe to read. */
static int take_report(struct report *report, struct features *ret, struct error *err)
{
	struct features *features = &report->features;

	if (report->error.code > 0 && report->error.code < 4096) {
		report->error.text[sizeof(report->error.text) - 1] = '\0';
		return error_set(err, report->error.blame == BLAME_PEER ? BLAME_PEER : BLAME_HOST,
		                 report->error.code, "%s", report->error.text);
	}
	if (report->error.code != 0 || !features_are_whole(features))
		return error_set(err, BLAME_HOST, EBADMSG,
		                 "the process that reads derivations answers nonsense");
	*ret = *features;
	return 0;
}

static int await_report(int fd, pid_t pid, struct features *ret, struct error *err)
{
	struct report report;
	int r = fd_read_full(fd, &report, sizeof(report)), status = process_wait(pid);

	if (r != 1 && status > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return error_set(err, BLAME_HOST, ETIMEDOUT,
		                 "the process that reads derivations was killed, as it is after "
		                 "%d s",
		                 READER_SEC_MAX);
	if (r != 1)
		return error_set(err, BLAME_HOST, ECHILD,
		                 "the process that reads derivations died");
	return take_report(&report, ret, err);
}

int features_read(const struct derivation_source *source, const struct account *account,
                  struct features *ret, struct error *err)
{
	cleanup_fd int fd = -1;
	pid_t pid = process_fork(&fd, err);

	if (pid == 0)
		reader_main(source, account, fd);
	return pid < 0 ? pid : await_report(fd, pid, ret, err);
}

bool features_are_whole(const struct features *features)
{
	if (features->len > sizeof(features->text))
		return false;
	return features->len == 0 || features->text[features->len - 1] == '\0';
}

int features_add(struct features *features, const char *name)
{
	size_t len = strlen(name) + 1;

	if (len > sizeof(features->text) - features->len)
		return -E2BIG;
	memcpy(features->text + features->len, name, len);
	features->len += len;
	return 0;
}

const char *features_next(const struct features *features, const char *name)
{
	const char *next = name ? name + strlen(name) + 1 : features->text;

	return next < features->text + features->len ? next : NULL;
}

bool features_have(const struct features *features, const char *name)
{
	for (const char *f = features_next(features, NULL); f; f = features_next(features, f))
		if (strcmp(f, name) == 0)
			return true;
	return false;
}
