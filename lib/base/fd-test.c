/* fd.h, cleanup.h, and the one line of log.h. */
#include "fd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit.h"

#include "cleanup.h"
#include "log.h"

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void closes_at_the_end_of_a_scope(void)
{
	int number, taken;

	{
		cleanup_fd int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		number = fd;
		check(is_open(number));
		errno = ENOTTY;
	}
	check(errno == ENOTTY);
	check(!is_open(number));
	{
		cleanup_fd int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

		taken = take_fd(&fd);
		check(fd == -1);
	}
	check(is_open(taken));
	fd_closep(&taken);
	check(taken == -1);
	fd_closep(&taken);
}

static void frees_at_the_end_of_a_scope_unless_taken(void)
{
	char *kept;

	{
		cleanup_free char *text = strdup("text");
		cleanup_free char *none = NULL;

		kept = take_ptr(&text);
		check(!text && !none);
	}
	check(strcmp(kept, "text") == 0);
	free(kept);
}

/* Write text into a pipe and close it; the reading end. */
static int pipe_with(const char *text)
{
	int fds[2];

	check(pipe2(fds, O_CLOEXEC) == 0);
	check(write(fds[1], text, strlen(text)) == (ssize_t)strlen(text));
	close(fds[1]);
	return fds[0];
}

static void reads_all_or_says_why_not(void)
{
	cleanup_fd int enough = pipe_with("abcdef"), nothing = pipe_with(""),
		       half = pipe_with("ab");
	char buf[4];

	check(fd_read_full(enough, buf, 4) == 1 && memcmp(buf, "abcd", 4) == 0);
	check(fd_read_full(enough, buf, 0) == 1);
	check(fd_read_full(enough, buf, 4) == -EPIPE);
	check(fd_read_full(enough, buf, 4) == 0);
	check(fd_read_full(nothing, buf, 4) == 0);
	check(fd_read_full(half, buf, 4) == -EPIPE);
	check(fd_read_full(-1, buf, 4) == -EBADF);
	check(fd_read_some(-1, buf, 4) == -EBADF);
}

static void do_nothing(int signal)
{
	(void)signal;
}

/* A timer that interrupts system calls again and again. */
static void interrupt_often(bool on)
{
	const struct sigaction action = { .sa_handler = on ? do_nothing : SIG_DFL };
	const struct itimerval often = { { 0, on ? 500 : 0 }, { 0, on ? 500 : 0 } };

	if (on)
		check(sigaction(SIGALRM, &action, NULL) == 0);
	check(setitimer(ITIMER_REAL, &often, NULL) == 0);
	if (!on)
		check(sigaction(SIGALRM, &action, NULL) == 0);
}

/* More than fits into a pipe, with a slow reader and with signals on both sides. */
static void goes_on_after_signals_and_short_counts(void)
{
	enum { LEN = 1 << 20 };
	cleanup_free char *sent = malloc(LEN), *got = malloc(LEN);
	int fds[2], status;
	pid_t pid;

	for (int i = 0; i < LEN; i++)
		sent[i] = (char)(i * 31 + i / 1000);
	check(pipe2(fds, O_CLOEXEC) == 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		interrupt_often(true);
		_exit(fd_write_full(fds[1], sent, LEN) != 0);
	}
	close(fds[1]);
	interrupt_often(true);
	check(fd_read_full(fds[0], got, LEN) == 1);
	interrupt_often(false);
	close(fds[0]);
	check(memcmp(sent, got, LEN) == 0);
	check(waitpid(pid, &status, 0) == pid && status == 0);
}

static void reports_a_closed_reader(void)
{
	int fds[2];

	check(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	close(fds[0]);
	check(fd_write_full(fds[1], "x", 1) == -EPIPE);
	check(fd_write_full(fds[1], "", 0) == 0);
	close(fds[1]);
	check(fd_write_full(-1, "x", 1) == -EBADF);
}

static int empty_file(void)
{
	char path[] = "/tmp/fd-test-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);

	check(fd >= 0 && unlink(path) == 0);
	return fd;
}

static void reads_a_file_up_to_a_limit(void)
{
	static const struct {
		const char *text;
		size_t max;
		int result;
	} rows[] = {
		{ "", 0, 0 },      { "", 5, 0 },           { "12345", 5, 0 },
		{ "12345", 6, 0 }, { "12345", 4, -EFBIG }, { "12345", 0, -EFBIG },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_fd int fd = empty_file();
		cleanup_free char *text = NULL;
		size_t len = 4711;

		check(fd_write_full(fd, rows[i].text, strlen(rows[i].text)) == 0);
		check(lseek(fd, 0, SEEK_SET) == 0);
		check(fd_read_file(fd, rows[i].max, &text, &len) == rows[i].result);
		if (rows[i].result == 0)
			check(len == strlen(rows[i].text) && strcmp(text, rows[i].text) == 0);
		else
			check(!text && len == 4711);
	}
}

static void reads_a_file_that_comes_in_pieces(void)
{
	cleanup_fd int fd = pipe_with("from a pipe");
	cleanup_free char *text = NULL;
	size_t len;

	check(fd_read_file(fd, 100, &text, &len) == 0 && strcmp(text, "from a pipe") == 0);
	check(fd_read_file(-1, 100, &text, &len) == -EBADF);
}

static void writes_only_into_files_that_exist(void)
{
	char dir[] = "/tmp/fd-test-XXXXXX", text[8] = "";
	cleanup_fd int dir_fd = mkdtemp(dir) ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	cleanup_fd int fd = openat(dir_fd, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	check(fd_write_file(dir_fd, "file", "12345") == 0);
	check(read(fd, text, sizeof(text)) == 5 && strcmp(text, "12345") == 0);
	check(fd_write_file(dir_fd, "missing", "x") == -ENOENT);
	check(symlinkat("file", dir_fd, "link") == 0);
	check(fd_write_file(dir_fd, "link", "x") == -ELOOP);
	check(unlinkat(dir_fd, "link", 0) == 0 && unlinkat(dir_fd, "file", 0) == 0);
	check(rmdir(dir) == 0);
}

/* What log_line() writes, caught. */
static void catch_line(bool prefix, const char *text, char *ret, size_t len)
{
	int fds[2], saved = dup(STDERR_FILENO);
	ssize_t n;

	check(pipe2(fds, O_CLOEXEC) == 0 && dup2(fds[1], STDERR_FILENO) >= 0);
	log_open("name", prefix);
	log_line(LOG_WARNING, "say %s", text);
	check(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	close(fds[1]);
	n = read(fds[0], ret, len - 1);
	ret[n > 0 ? n : 0] = '\0';
	close(fds[0]);
}

/* LG3: a peer's text forges no second line and no priority */
static bool lists(int parent_fd, const char *name, const char *entry)
{
	cleanup_directory DIR *directory = fd_open_directory(parent_fd, name);
	const struct dirent *found = directory ? readdir(directory) : NULL;

	while (found && strcmp(found->d_name, entry) != 0)
		found = readdir(directory);
	return found;
}

static void lists_a_directory_but_not_through_a_link(void)
{
	cleanup_fd int proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);

	check(lists(proc_fd, ".", "self") && lists(proc_fd, ".", "self"));
	check(lists(proc_fd, "sys", "kernel"));
	check(!fd_open_directory(proc_fd, "self") && (errno == ENOTDIR || errno == ELOOP));
	check(!fd_open_directory(proc_fd, "uptime") && errno == ENOTDIR);
	check(!fd_open_directory(proc_fd, "nothing") && errno == ENOENT);
}

static void logs_one_line_whatever_the_text(void)
{
	char line[4096], longest[3000];

	catch_line(true, "hello", line, sizeof(line));
	check(strcmp(line, "<4>say hello\n") == 0);
	catch_line(false, "hello", line, sizeof(line));
	check(strcmp(line, "name: say hello\n") == 0);
	catch_line(true, "a\n<0>forged\r\033[2J%s%n", line, sizeof(line));
	check(strcmp(line, "<4>say a\\n<0>forged\\r\\x1b[2J%s%n\n") == 0);

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	catch_line(true, longest, line, sizeof(line));
	check(strchr(line, '\n') == line + strlen(line) - 1);
}

static void receives_what_was_said_before_an_end_that_left_something_unread(void)
{
	cleanup_fd int ours = -1;
	int pair[2];
	char word[4];

	check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	ours = pair[0];
	check(send(ours, "left", 4, 0) == 4);
	check(send(pair[1], "last", 4, 0) == 4);
	check(send(pair[1], "longer", 6, 0) == 6);
	close(pair[1]);
	check(fd_receive(ours, word, sizeof(word)) == 0 && memcmp(word, "last", 4) == 0);
	check(fd_receive(ours, word, 3) == -EBADMSG);
	check(fd_receive(ours, word, sizeof(word)) == -EPIPE);
}

static const struct unit_case cases[] = {
	CASE(closes_at_the_end_of_a_scope),
	CASE(frees_at_the_end_of_a_scope_unless_taken),
	CASE(reads_all_or_says_why_not),
	CASE(goes_on_after_signals_and_short_counts),
	CASE(reports_a_closed_reader),
	CASE(reads_a_file_up_to_a_limit),
	CASE(reads_a_file_that_comes_in_pieces),
	CASE(writes_only_into_files_that_exist),
	CASE(lists_a_directory_but_not_through_a_link),
	CASE(logs_one_line_whatever_the_text),
	CASE(receives_what_was_said_before_an_end_that_left_something_unread),
};

UNIT_MAIN(cases)
