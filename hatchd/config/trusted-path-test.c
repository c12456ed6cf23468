#include "trusted-path.h"

#include <errno.h>
#include <fcntl.h>

#include "hatchd/slot/test-place.h"
#include "tests/unit.h"

enum { STRANGER = 4711 };

static struct error err;

/* The result of opening a file of the place; its descriptor is closed again. */
static int file(const char *name)
{
	cleanup_fd int fd = -1;

	return trusted_file(at(name), place_owner, &fd, &err);
}

static int directory(const char *name)
{
	cleanup_fd int fd = -1;

	return trusted_directory(at(name), place_owner, &fd, &err);
}

static int program(const char *name)
{
	cleanup_fd int fd = -1;

	return trusted_program(at(name), place_owner, &fd, NULL, &err);
}

static void opens_a_file_and_reads_it(void)
{
	cleanup_fd int fd = -1;
	char text[4] = "";

	make_file("plain", 0644, "abc");
	check(trusted_file(at("plain"), place_owner, &fd, &err) == 0);
	check(fd_read_full(fd, text, 3) == 1 && strcmp(text, "abc") == 0);
	check((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
}

static void refuses_a_file_that_others_can_write(void)
{
	static const mode_t modes[] = { 0664, 0646, 0666, 0620, 0602 };

	make_file("open", 0600, "");
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		must(chmod(at("open"), modes[i]) == 0, "chmod");
		check(file("open") == -EPERM);
	}
	must(chmod(at("open"), 0644) == 0, "chmod");
	check(file("open") == 0);
}

static void refuses_a_directory_on_the_way_that_others_can_write(void)
{
	static const mode_t modes[] = { 0775, 0757, 0777 };

	make_dir("shared", 0755);
	make_dir("shared/inner", 0755);
	make_file("shared/inner/f", 0644, "");
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		must(chmod(at("shared"), modes[i]) == 0, "chmod");
		check(file("shared/inner/f") == -EPERM);
		check(directory("shared/inner") == -EPERM);
		check(directory("shared") == -EPERM);
	}
	must(chmod(at("shared"), 0755) == 0, "chmod");
	check(file("shared/inner/f") == 0);
}

static void names_the_component_and_the_command_that_mends_it(void)
{
	char expected[256];

	make_dir("named", 0775);
	make_file("named/f", 0644, "");
	check(file("named/f") == -EPERM);
	(void)snprintf(expected, sizeof(expected),
	               "%s, on the way to %s, can be written by its group (mode 0775)", at("named"),
	               at("named/f"));
	check(strcmp(err.text, expected) == 0);
	(void)snprintf(expected, sizeof(expected), "chmod go-w '%s'", at("named"));
	check(strstr(err.hint, expected) != NULL);
	check(err.blame == BLAME_HOST);
}

/* A command for /tmp would be one that breaks the machine. */
static void says_no_command_for_a_directory_of_everybody(void)
{
	make_dir("everybodys", 0755);
	must(chmod(at("everybodys"), 01757) == 0, "chmod");
	check(directory("everybodys") == -EPERM);
	check(strstr(err.text, "can be written by everybody (mode 1757)"));
	check(strstr(err.hint, "choose another path") && !strstr(err.hint, "chmod"));
}

static void follows_links(void)
{
	make_dir("store", 0755);
	make_dir("store/etc", 0755);
	make_file("store/etc/f", 0644, "");
	make_link("absolute", at("store"));
	make_link("relative", "store");
	make_link("up", "store/../absolute/etc/../etc");
	make_link("store/etc/g", "f");
	make_link("slashes", "store//etc/./f");
	check(file("absolute/etc/f") == 0);
	check(file("relative/etc/f") == 0);
	check(file("up/f") == 0);
	check(file("up/g") == 0);
	check(file("slashes") == 0);
	check(directory("relative/") == 0);
	check(directory("up/..") == 0);
}

static void refuses_a_link_into_a_place_that_others_can_write(void)
{
	make_dir("bad", 0757);
	make_file("bad/f", 0644, "");
	make_link("to-bad", "bad/f");
	make_link("to-bad-dir", "bad");
	make_link("through-bad", "bad/../store/etc/f");
	check(file("to-bad") == -EPERM);
	check(file("to-bad-dir/f") == -EPERM);
	check(file("through-bad") == -EPERM);
}

/* A chain l0 -> l1 -> ... -> target of n links, below a directory of its own. */
static void make_chain(const char *dir, unsigned n)
{
	char name[64], target[64];

	make_dir(dir, 0755);
	(void)snprintf(name, sizeof(name), "%s/l%u", dir, n);
	make_file(name, 0644, "");
	for (unsigned i = 0; i < n; i++) {
		(void)snprintf(name, sizeof(name), "%s/l%u", dir, i);
		(void)snprintf(target, sizeof(target), "l%u", i + 1);
		make_link(name, target);
	}
}

static void follows_forty_links_and_no_more(void)
{
	make_chain("forty", 40);
	make_chain("more", 41);
	make_link("loop", "loop");
	check(file("forty/l0") == 0);
	check(file("more/l0") == -ELOOP);
	check(file("loop") == -ELOOP);
}

static void says_what_is_no_file(void)
{
	make_dir("dir", 0755);
	make_file("dir/f", 0644, "");
	make_link("dangling", "nowhere");
	must(mkfifo(at("fifo"), 0644) == 0, "mkfifo");
	check(file("missing") == -ENOENT);
	check(file("missing/f") == -ENOENT);
	check(file("dangling") == -ENOENT);
	check(file("dir/f/g") == -ENOTDIR);
	check(file("dir") == -EINVAL);
	check(file("fifo") == -EINVAL);
	check(directory("dir/f") == -ENOTDIR);
	check(directory("dir") == 0);
}

static void refuses_a_path_that_is_not_absolute_or_too_long(void)
{
	cleanup_free char *path = calloc(1, 8192);
	int fd = -1;

	check(trusted_file("etc/passwd", place_owner, &fd, &err) == -EINVAL);
	check(trusted_file("", place_owner, &fd, &err) == -EINVAL);
	memset(path, 'a', 300);
	path[0] = '/';
	check(trusted_file(path, place_owner, &fd, &err) == -ENAMETOOLONG);
	for (size_t i = 0; i < 4096; i += 2)
		memcpy(path + i, "/.", 3);
	check(trusted_directory(path, place_owner, &fd, &err) == -ENAMETOOLONG);
	path[4094] = '\0';
	check(trusted_directory(path, place_owner, &fd, &err) == 0);
	fd_closep(&fd);
	check(fd == -1);
}

static void a_program_needs_an_x_bit(void)
{
	make_file("data", 0644, "\177ELF");
	make_file("binary", 0755, "\177ELF");
	make_file("group-only", 0710, "\177ELF");
	make_dir("bin", 0755);
	check(program("data") == -EACCES);
	check(strstr(err.hint, "chmod a+x") != NULL);
	check(program("bin") == -EACCES);
	check(program("binary") == 0);
	check(program("group-only") == 0);
	check(program("no-such") == -ENOENT);
	check(program("binary/below") == -ENOENT);
	check(err.code == ENOENT);
}

static void gives_what_the_program_is(void)
{
	cleanup_fd int fd = -1;
	struct stat given, found;

	make_file("known", 0755, "");
	check(trusted_program(at("known"), place_owner, &fd, &given, &err) == 0);
	check(stat(at("known"), &found) == 0);
	check(given.st_ino == found.st_ino && given.st_dev == found.st_dev);
	check((fcntl(fd, F_GETFL) & O_PATH) != 0);
}

static void make_script(const char *name, const char *line)
{
	char text[600];

	(void)snprintf(text, sizeof(text), "%s\n", line);
	make_file(name, 0755, text);
}

static void checks_the_interpreter_of_a_script(void)
{
	char line[600];

	make_file("good", 0755, "\177ELF");
	make_file("writable", 0775, "\177ELF");
	(void)snprintf(line, sizeof(line), "#! \t%s -e", at("good"));
	make_script("script", line);
	check(program("script") == 0);
	(void)snprintf(line, sizeof(line), "#!%s", at("writable"));
	make_script("bad-script", line);
	check(program("bad-script") == -EPERM);
	check(strstr(err.text, at("writable")) != NULL);
	(void)snprintf(line, sizeof(line), "#!%s", at("gone"));
	make_script("lost-script", line);
	check(program("lost-script") == -ENOENT);
	(void)snprintf(line, sizeof(line), "#!%s", at("script"));
	make_script("script-of-script", line);
	check(program("script-of-script") == 0);
	(void)snprintf(line, sizeof(line), "#!%s", at("bad-script"));
	make_script("script-of-bad-script", line);
	check(program("script-of-bad-script") == -EPERM);
}

static void refuses_a_script_that_the_kernel_could_not_run(void)
{
	char line[512];

	make_script("relative-script", "#!bin/sh");
	check(program("relative-script") == -EPERM);
	make_script("empty-script", "#!");
	check(program("empty-script") == -EACCES);
	make_script("blank-script", "#! \t");
	check(program("blank-script") == -EACCES);
	memset(line, 'a', sizeof(line));
	memcpy(line, "#!/", 3);
	line[sizeof(line) - 1] = '\0';
	make_script("endless-script", line);
	check(program("endless-script") == -EACCES);
	/* 256 bytes are read: the 256th must be behind the name. */
	line[256] = '\0';
	make_script("too-long-script", line);
	check(program("too-long-script") == -EACCES);
	line[255] = '\0';
	make_script("longest-script", line);
	check(program("longest-script") == -ENOENT || program("longest-script") == -ENAMETOOLONG);
}

static void follows_four_interpreters_and_no_more(void)
{
	char name[32], line[600];

	make_file("s0", 0755, "\177ELF");
	for (unsigned i = 1; i <= 5; i++) {
		(void)snprintf(name, sizeof(name), "s%u", i - 1);
		(void)snprintf(line, sizeof(line), "#!%s", at(name));
		(void)snprintf(name, sizeof(name), "s%u", i);
		make_script(name, line);
	}
	check(program("s4") == 0);
	check(program("s5") == -ELOOP);
}

static void refuses_what_belongs_to_somebody_else(void)
{
	char line[600];

	make_dir("theirs", 0755);
	make_file("theirs/f", 0644, "");
	make_file("their-file", 0644, "");
	make_file("their-program", 0755, "");
	make_link("their-link", "store/etc/f");
	check(file("their-link") == 0);
	give_to("theirs", STRANGER);
	give_to("their-file", STRANGER);
	give_to("their-program", STRANGER);
	give_to("their-link", STRANGER);
	check(file("theirs/f") == -EPERM);
	check(strstr(err.hint, "choose another path") && !strstr(err.hint, "chown"));
	check(file("their-file") == -EPERM);
	check(strstr(err.text, "belongs to uid 4711") && strstr(err.hint, "chown -h root:root"));
	check(file("their-link") == -EPERM);
	check(directory("theirs") == -EPERM);
	check(program("their-program") == -EPERM);
	(void)snprintf(line, sizeof(line), "#!%s", at("their-program"));
	make_script("their-interpreter", line);
	check(program("their-interpreter") == -EPERM);
}

static void believes_the_sticky_bit_of_a_group_on_the_way_only(void)
{
	make_dir("nix", 0755);
	make_dir("nix/store", 01775);
	make_file("nix/store/f", 0644, "");
	make_file("nix/store/theirs", 0644, "");
	give_to("nix/store/theirs", STRANGER);
	check(file("nix/store/f") == 0);
	check(file("nix/store/theirs") == -EPERM);
	check(directory("nix/store") == -EPERM);
	check(directory("nix/store/.") == -EPERM);
	give_to("nix/store", STRANGER);
	check(file("nix/store/f") == -EPERM);
}

static void root_believes_no_directory_that_all_may_write(void)
{
	make_dir("tmp", 01777);
	make_dir("tmp/state", 0700);
	check(directory("tmp/state") == -EPERM);
}

static void an_ordinary_user_believes_his_files_in_tmp(void)
{
	int fd = -1;

	make_file("mine", 0644, "");
	check(file("mine") == 0);
	/* ... and root believes no file of his, nor /tmp. */
	check(trusted_file(at("mine"), 0, &fd, &err) == -EPERM);
	check(fd == -1);
	/* Only in a directory of root the sticky bit is believed. */
	make_dir("sticky", 01777);
	make_file("sticky/f", 0644, "");
	check(file("sticky/f") == -EPERM);
}

static const struct unit_case for_all[] = {
	CASE(opens_a_file_and_reads_it),
	CASE(refuses_a_file_that_others_can_write),
	CASE(refuses_a_directory_on_the_way_that_others_can_write),
	CASE(names_the_component_and_the_command_that_mends_it),
	CASE(says_no_command_for_a_directory_of_everybody),
	CASE(follows_links),
	CASE(refuses_a_link_into_a_place_that_others_can_write),
	CASE(follows_forty_links_and_no_more),
	CASE(says_what_is_no_file),
	CASE(refuses_a_path_that_is_not_absolute_or_too_long),
	CASE(a_program_needs_an_x_bit),
	CASE(gives_what_the_program_is),
	CASE(checks_the_interpreter_of_a_script),
	CASE(refuses_a_script_that_the_kernel_could_not_run),
	CASE(follows_four_interpreters_and_no_more),
};

static const struct unit_case for_root[] = {
	CASE(refuses_what_belongs_to_somebody_else),
	CASE(believes_the_sticky_bit_of_a_group_on_the_way_only),
	CASE(root_believes_no_directory_that_all_may_write),
};

static const struct unit_case for_users[] = {
	CASE(an_ordinary_user_believes_his_files_in_tmp),
};

int main(void)
{
	bool is_root = geteuid() == 0;
	int r;

	if (!place_make()) {
		unit_skip(for_all, ARRAY_SIZE(for_all), "no private mount namespace");
		unit_skip(for_root, ARRAY_SIZE(for_root), "no private mount namespace");
		unit_skip(for_users, ARRAY_SIZE(for_users), "this is root");
		return EXIT_SUCCESS;
	}
	r = unit_run(for_all, ARRAY_SIZE(for_all));
	if (is_root) {
		r |= unit_run(for_root, ARRAY_SIZE(for_root));
		unit_skip(for_users, ARRAY_SIZE(for_users), "this is root");
	} else {
		r |= unit_run(for_users, ARRAY_SIZE(for_users));
		unit_skip(for_root, ARRAY_SIZE(for_root), "needs root");
	}
	place_remove();
	return r;
}
