#include "features.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/buffer.h"
#include "lib/base/cleanup.h"
#include "lib/derivation/derivation.h"
#include "tests/unit.h"

enum { SOMEBODY = 65533 };

static struct features features;
static struct error err;

/* As root the reader becomes somebody else. */
static struct account reader(void)
{
	return (struct account){ .uid = SOMEBODY, .gid = SOMEBODY, .change = geteuid() == 0 };
}

static int file_of(const char *text, size_t len)
{
	int fd = memfd_create("derivation", MFD_CLOEXEC);

	check(fd >= 0 && fd_write_full(fd, text, len) == 0 && lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

static int read_text(const char *text)
{
	cleanup_fd int fd = file_of(text, strlen(text));
	const struct derivation_source source = { .fd = fd };
	const struct account account = reader();

	return features_read(&source, &account, &features, &err);
}

#define WITH(words) "Derive([],[],[],\"s\",\"b\",[],[(\"requiredSystemFeatures\",\"" words "\")])"

static void names_come_in_their_order(void)
{
	const char *name;

	check(read_text(WITH("hatch-a kvm hatch-b")) == 0);
	name = features_next(&features, NULL);
	check(name && strcmp(name, "hatch-a") == 0);
	name = features_next(&features, name);
	check(name && strcmp(name, "kvm") == 0);
	name = features_next(&features, name);
	check(name && strcmp(name, "hatch-b") == 0);
	check(!features_next(&features, name));
	check(features_have(&features, "kvm") && !features_have(&features, "hatch"));
	check(!features_have(&features, ""));
}

static void none_are_none(void)
{
	check(read_text(WITH("")) == 0);
	check(!features_next(&features, NULL) && !features_have(&features, ""));
}

/* The reader may have fallen to what it read. */
static void names_that_do_not_end_are_none(void)
{
	static const struct {
		size_t len;
		char last;
		bool whole;
	} rows[] = {
		{ 0, 'x', true },
		{ 1, '\0', true },
		{ 1, 'x', false },
		{ FEATURES_TEXT_MAX, '\0', true },
		{ FEATURES_TEXT_MAX, 'x', false },
		{ FEATURES_TEXT_MAX + 1, '\0', false },
		{ SIZE_MAX, '\0', false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		memset(features.text, rows[i].last, sizeof(features.text));
		features.len = rows[i].len;
		check(features_are_whole(&features) == rows[i].whole);
	}
}

static void json_is_read_where_it_is_given(void)
{
	static const char
		text[] = "{\"version\":4,\"env\":{\"requiredSystemFeatures\":\"hatch-a\"}}";
	cleanup_fd int fd = file_of(text, strlen(text));
	const struct derivation_source source = { .fd = fd, .json = true };
	const struct account account = reader();

	check(features_read(&source, &account, &features, &err) == 0);
	check(features_have(&features, "hatch-a"));
	check(read_text(text) == -EBADMSG);
}

static void what_is_wrong_with_a_derivation_is_said(void)
{
	check(read_text("Derive(") == -EBADMSG);
	check(err.blame == BLAME_PEER && strstr(err.text, "this is no derivation"));
}

static void more_names_than_fit_are_refused(void)
{
	struct buffer text = { 0 };
	char name[DERIVATION_FEATURE_MAX + 1];

	memset(name, 'f', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	check(buffer_printf(&text,
	                    "Derive([],[],[],\"s\",\"b\",[],[(\"requiredSystemFeatures\",\"") == 0);
	/* Each with its NUL: exactly as many as fit, and then one more. */
	for (size_t i = 0; i < FEATURES_TEXT_MAX / sizeof(name); i++)
		check(buffer_printf(&text, "%s ", name) == 0);
	check(buffer_add(&text, "\")])", 5) == 0);
	check(read_text(text.data) == 0 && features.len == FEATURES_TEXT_MAX);
	text.len -= 5;
	check(buffer_add(&text, "x\")])", 6) == 0);
	check(read_text(text.data) == -E2BIG);
	buffer_done(&text);
}

/* Structured attributes of this many bytes: {"l":[ITEM,ITEM,...],"requiredSystemFeatures":["a"]} */
static int read_list_of(const char *item, size_t len)
{
	struct buffer text = { 0 };
	static const char head[] = "Derive([],[],[],\"s\",\"b\",[],[(\"__json\",\"{\\\"l\\\":[",
			  tail[] = "0],\\\"requiredSystemFeatures\\\":[\\\"a\\\"]}\")])";
	int r;

	check(buffer_add(&text, head, strlen(head)) == 0);
	while (text.len < len - strlen(item) - sizeof(tail))
		check(buffer_add(&text, item, strlen(item)) == 0);
	check(buffer_add(&text, tail, sizeof(tail)) == 0);
	r = read_text(text.data);
	buffer_done(&text);
	return r;
}

/* Only a program with AddressSanitizer has it. NOLINTNEXTLINE(bugprone-reserved-identifier) */
extern void __asan_init(void) __attribute__((weak));

static const char *needs_its_own_memory(void)
{
	return __asan_init ? "AddressSanitizer ends what runs out of memory" : NULL;
}

static void what_takes_too_much_memory_is_refused(void)
{
	enum { LEN = DERIVATION_JSON_MAX };

	check(read_list_of("{},", LEN) == -EFBIG && err.blame == BLAME_PEER);
	check(strstr(err.text, "more than 32 MiB"));
	check(read_list_of("{},", LEN / 8) == 0 && features_have(&features, "a"));
	/* As long as it may be, and like what people have. */
	check(read_list_of("\\\"src\\\",", LEN) == 0 && features_have(&features, "a"));
}

static void a_reader_that_does_not_end_is_killed(void)
{
	const struct account account = reader();
	const time_t begun = time(NULL);
	int ends[2];

	check(pipe(ends) == 0);
	check(features_read(&(struct derivation_source){ .fd = ends[0] }, &account, &features,
	                    &err) == -ETIMEDOUT);
	check(err.blame == BLAME_HOST && strstr(err.text, "after 5 s"));
	check(time(NULL) - begun < 30);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

enum { N_LOOKS = 500 }; /* 10 ms apart: as long as a reader has */

/* The one child of a process, waited for. */
static pid_t only_child(pid_t parent)
{
	char path[64], text[64] = "";

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", parent, parent);
	for (int i = 0; i < N_LOOKS && !text[0]; i++) {
		FILE *file = fopen(path, "re");

		if (file && !fgets(text, sizeof(text), file))
			text[0] = '\0';
		if (file)
			(void)fclose(file);
		(void)usleep(10000);
	}
	return (pid_t)strtol(text, NULL, 10);
}

static bool status_says(pid_t pid, const char *line)
{
	char path[64], text[4096];
	size_t len;
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	len = fread(text, 1, sizeof(text) - 1, file);
	text[len] = '\0';
	(void)fclose(file);
	return strstr(text, line) != NULL;
}

static unsigned count_descriptors(pid_t pid)
{
	char path[64];
	unsigned n = 0;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	for (struct dirent *entry; dir && (entry = readdir(dir));)
		n += entry->d_name[0] != '.';
	if (dir)
		(void)closedir(dir);
	return n;
}

/* A source that does not end shows it at work. */
static void the_reader_has_nothing_but_its_source_and_its_answer(void)
{
	int ends[2], status;
	bool confined = false;
	pid_t pid, child;

	check(pipe(ends) == 0);
	pid = fork();
	if (pid == 0) {
		const struct derivation_source source = { .fd = ends[0] };
		const struct account account = reader();

		(void)close(ends[1]);
		_exit(features_read(&source, &account, &features, &err) != -EBADMSG);
	}
	(void)close(ends[0]);
	child = only_child(pid);
	for (int i = 0; i < N_LOOKS && !confined; i++) {
		(void)usleep(10000);
		confined = status_says(child, "\nSeccomp:\t2\n");
	}
	check(confined);
	check(status_says(child, "\nNoNewPrivs:\t1\n"));
	check(status_says(child, "\nCapPrm:\t0000000000000000\n"));
	check(status_says(child, "\nCapEff:\t0000000000000000\n"));
	if (geteuid() == 0) {
		check(status_says(child, "\nUid:\t65533\t65533\t65533\t65533\n"));
		check(status_says(child, "\nGid:\t65533\t65533\t65533\t65533\n"));
		check(status_says(child, "\nGroups:\t \n"));
		check(count_descriptors(child) == 2);
	}
	(void)close(ends[1]);
	check(waitpid(pid, &status, 0) == pid && status == 0);
}

static void only_files_of_roots_are_opened(void)
{
	char dir[] = "/tmp/features-XXXXXX", path[64], other[64];
	cleanup_fd int made = -1;
	int fd = -1;

	check(mkdtemp(dir) != NULL);
	(void)snprintf(path, sizeof(path), "%s/x.drv", dir);
	(void)snprintf(other, sizeof(other), "%s/link.drv", dir);
	check(features_open(path, geteuid(), &fd, &err) == 0);
	made = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0444);
	check(made >= 0 && symlink(path, other) == 0);
	check(features_open(path, geteuid(), &fd, &err) == 1);
	fd_closep(&fd);
	check(features_open(other, geteuid(), &fd, &err) == -ELOOP);
	check(fchmod(made, 0464) == 0 && features_open(path, geteuid(), &fd, &err) == -EPERM);
	check(fchmod(made, 0446) == 0 && features_open(path, geteuid(), &fd, &err) == -EPERM);
	check(fchmod(made, 0444) == 0);
	if (geteuid() == 0) {
		check(fchown(made, SOMEBODY, SOMEBODY) == 0);
		check(features_open(path, 0, &fd, &err) == -EPERM);
	}
	check(unlink(path) == 0 && unlink(other) == 0);
	check(mkfifo(path, 0400) == 0 && features_open(path, geteuid(), &fd, &err) == -EINVAL);
	check(unlink(path) == 0 && features_open(dir, geteuid(), &fd, &err) == -EINVAL);
	check(rmdir(dir) == 0);
}

static void the_account_that_is_named_reads(void)
{
	struct account account = { 0 };

	check(features_account("daemon", &account, &err) == 0 && account.uid == 1);
	check(account.change == (geteuid() == 0) && account.n_groups == 0);
	check(features_account("no-such-user", &account, &err) == -ENOENT);
	check(features_account("root", &account, &err) == -EPERM);
	check(account.uid == 1);
	check(features_account(NULL, &account, &err) == 0 && account.uid != 0);
}

static const struct unit_case cases[] = {
	CASE(names_come_in_their_order),
	CASE(none_are_none),
	CASE(the_account_that_is_named_reads),
	CASE(names_that_do_not_end_are_none),
	CASE(json_is_read_where_it_is_given),
	CASE(what_is_wrong_with_a_derivation_is_said),
	CASE(more_names_than_fit_are_refused),
	CASE_IF(what_takes_too_much_memory_is_refused, needs_its_own_memory),
	CASE(a_reader_that_does_not_end_is_killed),
	CASE(the_reader_has_nothing_but_its_source_and_its_answer),
	CASE(only_files_of_roots_are_opened),
};

UNIT_MAIN(cases)
