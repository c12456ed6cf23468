/*
 * Who asks, on real sockets, and with processes that look like Nix builds, truly or not: they are
 * made as nix-daemon makes them, with a store of our own. The server's side runs without any
 * capability, as the monitor does without CAP_SYS_PTRACE. Needs no root; what does says so.
 */
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/fd.h"
#include "origin.h"
#include "store.h"
#include "tests/unit.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

#define HASH  "0123456789abcdfghijklmnpqrsvwxyz"
#define DRV   HASH "-hello-1.0.drv"
#define EVIL  "00000000000000000000000000000000-evil.drv"
#define OTHER "11111111111111111111111111111111-other.drv"

enum {
	BUILD_UID = 30001, /* on the host; 1000 in the sandbox */
	BUILD_GID = 30000, /* 100 in the sandbox */
	OTHER_UID = 30002,
	MANY_GROUPS = 300,
	DOUBLINGS = 9, /* 512 mounts: more than 16 KiB of mount table */
};

static int host_proc_fd; /* for those who have no /proc */
static char base[] = "/tmp/hatch-peer-XXXXXX";

static void path_below(char ret[PATH_MAX], const char *name)
{
	if (snprintf(ret, PATH_MAX, "%s/%s", base, name) >= PATH_MAX)
		abort();
}

static void make_directory(const char *name, mode_t mode)
{
	char path[PATH_MAX];

	path_below(path, name);
	if (mkdir(path, mode) < 0 || chmod(path, mode) < 0)
		perror(path);
}

/* What a build has of the store, and what of it is the host's. */
static const struct input {
	const char *name;
	bool is_the_hosts;
} inputs[] = {
	{ "given", true },    /* mounted */
	{ "file", true },     /* linked */
	{ "link", true },     /* made anew, with the same text */
	{ "planted", false }, /* a directory of the build's own */
	{ "copy", false },    /* a file of the same text */
	{ "other", false },   /* a link of another text */
	{ "hidden", false },  /* of the host alone */
	{ "way", false },     /* a link to what is the host's */
	{ "gone", false },    /* of the build alone */
	{ "given/inside", true },
	{ "given/inside/text", true },
	{ "given/inside/link", true },     /* a link itself */
	{ "given/inside/link/x", false },  /* nothing behind it */
	{ "given/inside/up/file", false }, /* nor out of the store path */
	{ "given/inside/../../hidden", false },
	{ "given/mounted", false }, /* on it the build has mounted another of its own */
	{ "given/none", false },
	{ "file/text", false },
	{ "link/text", false },
	{ "planted/text", false }, /* the very file, in a directory of the build's own */
};

static void make_text(const char *name)
{
	char path[PATH_MAX];
	FILE *file;

	path_below(path, name);
	file = fopen(path, "we");
	if (!file || fputs("text\n", file) < 0 || fclose(file) != 0)
		perror(path);
}

static void make_link(const char *name, const char *target)
{
	char path[PATH_MAX];

	path_below(path, name);
	if (symlink(target, path) < 0)
		perror(path);
}

/* The store as the build sees it, at the same path below its root. */
static void make_inputs(void)
{
	char below[PATH_MAX], own[PATH_MAX], its[PATH_MAX];
	const char *const root = "store/" DRV ".chroot/root";

	make_directory("store/given", 0755);
	make_directory("store/given/inside", 0755);
	make_directory("store/planted", 0755);
	make_directory("store/hidden", 0755);
	make_directory("store/given/mounted", 0755);
	make_text("store/given/inside/text");
	make_link("store/given/inside/link", "text");
	make_link("store/given/inside/up", "../..");
	make_text("store/planted/text");
	make_text("store/file");
	make_text("store/copy");
	make_link("store/link", "text");
	make_link("store/other", "text");
	make_directory("store/way", 0755);

	(void)snprintf(below, sizeof(below), "%s/tmp", root);
	make_directory(below, 0755);
	(void)snprintf(below, sizeof(below), "%s%s", root, base);
	make_directory(below, 0755);
	for (size_t i = 0; i < 4; i++) {
		static const char *const directories[] = { "", "/given", "/planted", "/gone" };

		(void)snprintf(below, sizeof(below), "%s%s/store%s", root, base, directories[i]);
		make_directory(below, 0755);
	}
	(void)snprintf(below, sizeof(below), "%s%s/store/copy", root, base);
	make_text(below);
	(void)snprintf(below, sizeof(below), "%s%s/store/link", root, base);
	make_link(below, "text");
	(void)snprintf(below, sizeof(below), "%s%s/store/other", root, base);
	make_link(below, "tex");
	(void)snprintf(below, sizeof(below), "%s%s/store/way", root, base);
	make_link(below, "given");
	for (size_t i = 0; i < 2; i++) {
		static const char *const files[] = { "store/file", "store/planted/text" };

		path_below(own, files[i]);
		(void)snprintf(below, sizeof(below), "%s%s/%s", root, base, files[i]);
		path_below(its, below);
		if (link(own, its) < 0)
			perror(its);
	}
}

/* A store with the root directories of two builds, directories that only have such names, and a
 * place for the socket. */
static void make_base(void)
{
	if (!mkdtemp(base) || chmod(base, 0755) < 0)
		perror(base);
	make_directory("store", 0755);
	make_directory("store/" DRV ".chroot", 0700);
	make_directory("store/" DRV ".chroot/root", 0755);
	make_directory("store/" DRV ".chroot/root/run", 0755);
	make_directory("store/" DRV ".chroot/root/build", 0777);
	make_directory("store/" OTHER ".chroot", 0755);
	make_directory("store/" OTHER ".chroot/run", 0755);
	make_directory("elsewhere", 0755);
	make_directory("elsewhere/build", 0755);
	make_directory("elsewhere/" EVIL ".chroot", 0755);
	make_directory("elsewhere/" EVIL ".chroot/root", 0755);
	make_directory("elsewhere/" EVIL ".chroot/root/run", 0755);
	make_directory("elsewhere/" OTHER ".chroot", 0755);
	make_directory("elsewhere/" OTHER ".chroot/run", 0755);
	make_directory("run", 0755);
	make_inputs();
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
	return remove(path);
}

static void remove_base(void)
{
	(void)nftw(base, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static int listen_at(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", base, name);
	(void)unlink(address.sun_path);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    chmod(address.sun_path, 0666) < 0 || listen(fd, 4) < 0)
		perror(address.sun_path);
	return fd;
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -1;
	return fd;
}

static int connect_to_run(void)
{
	char path[PATH_MAX];

	path_below(path, "run/sock");
	return connect_to(path);
}

/* ---- the server's side ---- */

static void drop_capabilities(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	if (syscall(SYS_capset, &head, none) < 0)
		abort();
}

/* From now on only n descriptors more can be opened. */
static void limit_descriptors(int n)
{
	int next_fd = dup(0);
	struct rlimit limit = { 0 };

	(void)close(next_fd);
	limit.rlim_cur = limit.rlim_max = (rlim_t)(next_fd + n);
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		abort();
}

/* What comes back from the child that calls peer_identify(). */
struct answer {
	int result;
	uid_t uid;
	gid_t gid;
	pid_t pid;
	bool has_pid_fd;
	size_t n_groups;
	gid_t first_group, last_group;
	char derivation[DERIVATION_MAX + 1];
	char why[256];
	char error[ERROR_TEXT_MAX];
	unsigned inputs; /* bit i: inputs[i] is the peer's, and was opened */
	bool opened_elsewhere;
};

static void answer_from_peer(const struct peer *peer, struct answer *answer)
{
	answer->uid = peer->uid;
	answer->gid = peer->gid;
	answer->pid = peer->pid;
	answer->has_pid_fd = peer->pid_fd >= 0;
	answer->n_groups = peer->n_groups;
	if (peer->n_groups > 0) {
		answer->first_group = peer->groups[0];
		answer->last_group = peer->groups[peer->n_groups - 1];
	}
	memcpy(answer->derivation, peer->derivation, sizeof(answer->derivation));
	if (peer->derivation_why)
		(void)snprintf(answer->why, sizeof(answer->why), "%s", peer->derivation_why);
}

/* *ret_own: what was opened is the host's own, where its root can be read. */
static bool opens_input(const struct peer *peer, const char *store, const char *name, bool *ret_own)
{
	cleanup_fd int fd = -1;
	struct error err = { 0 };
	char link[64], path[PATH_MAX], target[PATH_MAX];
	ssize_t n;

	if (store_open_input(peer, store, name, &fd, &err) != 1)
		return false;
	(void)snprintf(path, sizeof(path), "%s/%s", store, name);
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, target, sizeof(target) - 1);
	*ret_own = n == (ssize_t)strlen(path) && memcmp(target, path, (size_t)n) == 0;
	return true;
}

static void identify_here(int conn_fd, struct answer *answer)
{
	struct peer peer;
	struct error err = { 0 };
	char store[PATH_MAX];

	path_below(store, "store");
	answer->result = peer_identify(conn_fd, store, &peer, &err);
	memcpy(answer->error, err.text, sizeof(answer->error));
	if (answer->result == 0) {
		answer_from_peer(&peer, answer);
		for (size_t i = 0; i < ARRAY_SIZE(inputs); i++) {
			bool own = true;

			if (opens_input(&peer, store, inputs[i].name, &own))
				answer->inputs |= 1u << i;
			answer->opened_elsewhere |= !own;
		}
		peer_done(&peer);
	}
}

static bool server_is_privileged;

/* In a child, as a rule without capabilities, that may open n_fds_left descriptors, or with -1 as
 * many as always. */
static struct answer identify_with(int conn_fd, int n_fds_left)
{
	struct answer answer = { .result = -1 };
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		abort();
	pid = fork();
	if (pid == 0) {
		if (!server_is_privileged)
			drop_capabilities();
		if (n_fds_left >= 0)
			limit_descriptors(n_fds_left);
		identify_here(conn_fd, &answer);
		_exit(fd_write_full(fds[1], &answer, sizeof(answer)) < 0);
	}
	(void)close(fds[1]);
	(void)fd_read_full(fds[0], &answer, sizeof(answer));
	(void)close(fds[0]);
	(void)waitpid(pid, NULL, 0);
	return answer;
}

static struct answer identify(int conn_fd)
{
	return identify_with(conn_fd, -1);
}

/* ---- processes that ask ---- */

/* Wait until the child has connected and arranged everything; -1 if it fails. */
static int accept_from(int listen_fd)
{
	struct pollfd ready = { .fd = listen_fd, .events = POLLIN };
	int fd;
	char byte;

	if (poll(&ready, 1, 20000) <= 0)
		return -1;
	fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0 && recv(fd, &byte, 1, 0) == 1)
		return fd;
	(void)close(fd);
	return -1;
}

/* client runs in a child; it connects and stays until the server hangs up. */
static struct answer answer_for(void (*client)(void))
{
	struct answer answer = { .result = -1 };
	int listen_fd = listen_at("run/sock"), conn_fd;
	pid_t pid = fork();

	if (pid == 0) {
		(void)close(listen_fd);
		client();
		_exit(0);
	}
	conn_fd = accept_from(listen_fd);
	if (conn_fd >= 0)
		answer = identify(conn_fd);
	else
		(void)kill(pid, SIGKILL);
	(void)close(conn_fd);
	(void)close(listen_fd);
	(void)waitpid(pid, NULL, 0);
	return answer;
}

/* Say that everything is arranged, and wait for the end. */
static void stay(int conn_fd)
{
	char byte = 'x';

	(void)send(conn_fd, &byte, 1, MSG_NOSIGNAL);
	(void)recv(conn_fd, &byte, 1, 0);
}

static void must(int result)
{
	if (result < 0) {
		perror("a client of the test");
		_exit(1);
	}
}

/* One uid and one gid of a user namespace, and what they are outside of it. */
struct map {
	uid_t uid, outer_uid;
	gid_t gid, outer_gid;
};

/* With "setgroups" denied the owner of the namespace may write the rest without any privilege. */
static void write_map(pid_t pid, const struct map *map)
{
	char uids[64], gids[64];
	const struct {
		const char *file, *text;
	} files[] = { { "uid_map", uids }, { "setgroups", "deny" }, { "gid_map", gids } };

	(void)snprintf(uids, sizeof(uids), "%u %u 1\n", map->uid, map->outer_uid);
	(void)snprintf(gids, sizeof(gids), "%u %u 1\n", map->gid, map->outer_gid);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		char path[64];

		(void)snprintf(path, sizeof(path), "%d/%s", pid, files[i].file);
		must(fd_write_file(host_proc_fd, path, files[i].text));
	}
}

/* The map is written from the outside, as nix-daemon does: by a child that stays where it was. */
static void enter_user_namespace(const struct map *map)
{
	pid_t parent = getpid(), pid;
	int go[2], status;
	char byte;

	must(pipe2(go, O_CLOEXEC));
	pid = fork();
	must(pid);
	if (pid == 0) {
		(void)close(go[1]);
		must((int)read(go[0], &byte, 1));
		write_map(parent, map);
		_exit(0);
	}
	must(unshare(CLONE_NEWUSER | CLONE_NEWNS));
	(void)close(go[0]);
	(void)close(go[1]);
	must(waitpid(pid, &status, 0));
	must(WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1);
}

/* Make a directory the root, with the socket's directory at /run, as Nix does it. */
static void bind_root(const char *name)
{
	char root[PATH_MAX], run[PATH_MAX];

	path_below(root, name);
	path_below(run, "run");
	must(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	must(mount(root, root, NULL, MS_BIND, NULL));
	must(chdir(root));
	must(mount(run, "run", NULL, MS_BIND, NULL));
}

static void pivot(void)
{
	must((int)syscall(SYS_pivot_root, ".", "."));
	must(umount2(".", MNT_DETACH));
	must(chdir("/"));
}

/* After this nothing tells us from a process that was executed in the sandbox: what setuid() had
 * made undumpable, execve() makes dumpable again. */
static void become_builder(void)
{
	must(setresgid(100, 100, 100));
	must(setresuid(1000, 1000, 1000));
	must(prctl(PR_SET_DUMPABLE, 1));
}

static uid_t build_uid(void)
{
	return geteuid() == 0 ? BUILD_UID : geteuid();
}

static void enter_build_namespace(void)
{
	enter_user_namespace(&(struct map){
		.uid = 1000,
		.outer_uid = build_uid(),
		.gid = 100,
		.outer_gid = geteuid() == 0 ? BUILD_GID : getegid(),
	});
}

static void enter_nested_namespace(void)
{
	enter_user_namespace(
		&(struct map){ .uid = 0, .outer_uid = 1000, .gid = 0, .outer_gid = 100 });
}

static void enter_build(const char *root)
{
	enter_build_namespace();
	bind_root(root);
	pivot();
}

static void build_client(const char *root)
{
	enter_build(root);
	become_builder();
	stay(connect_to("/run/sock"));
}

/* ---- what is missing here ---- */

static const char *needs_root(void)
{
	return geteuid() == 0 ? NULL : "only root can be several users";
}

static const char *needs_pid_fd(void)
{
	int fds[2], pid_fd = -1;
	socklen_t len = sizeof(pid_fd);
	bool known;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return "no socketpair";
	known = getsockopt(fds[0], SOL_SOCKET, SO_PEERPIDFD, &pid_fd, &len) == 0;
	fd_closep(&pid_fd);
	(void)close(fds[0]);
	(void)close(fds[1]);
	return known ? NULL : "the kernel has no SO_PEERPIDFD";
}

static const char *needs_user_namespaces(void)
{
	pid_t pid;
	int status;

	if (needs_pid_fd())
		return needs_pid_fd();
	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
			_exit(1);
		_exit(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0);
	}
	(void)waitpid(pid, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0
	               ? NULL
	               : "this user may not make user namespaces and mount in them";
}

static const char *needs_pass_rights(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), value;
	socklen_t len = sizeof(value);
	bool known = getsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &value, &len) == 0;

	(void)close(fd);
	return known ? NULL : "the kernel has no SO_PASSRIGHTS (Linux 6.16)";
}

/* ---- origin_from_root() ---- */

/* as long as Nix allows, and with the hash 244 bytes */
#define A_50     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NAME_211 A_50 A_50 A_50 A_50 "aaaaaaa.drv"

static void reads_the_derivation_from_a_root(void)
{
	static const struct {
		const char *root, *derivation, *tail;
	} rows[] = {
		{ "/nix/store/" DRV ".chroot/root", DRV, ".chroot/root" },
		{ "/nix/store/" DRV ".chroot", DRV, ".chroot" },
		{ "/" DRV ".chroot/root", DRV, ".chroot/root" },
		{ "/srv/a\\040b/store/" DRV ".chroot/root", DRV, ".chroot/root" },
		{ "/s/" HASH "-a+b-c._d?e=f.drv.chroot", HASH "-a+b-c._d?e=f.drv", ".chroot" },
		{ "/s/" HASH "-x.drv.drv.chroot", HASH "-x.drv.drv", ".chroot" },
		{ "/s/" HASH "-x.drv.chroot.drv.chroot", HASH "-x.drv.chroot.drv", ".chroot" },
		{ "/s/" DRV ".chroot/root/" DRV ".chroot/root", DRV, ".chroot/root" },
		{ "/s/" HASH "-" NAME_211 ".chroot/root", HASH "-" NAME_211, ".chroot/root" },
		/* 255 bytes */
		{ "/s/" HASH "-aaaaaaaaaaa" NAME_211 ".chroot", HASH "-aaaaaaaaaaa" NAME_211,
		  ".chroot" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char derivation[DERIVATION_MAX + 1] = "";
		const char *tail = "";

		check(origin_from_root(rows[i].root, derivation, &tail));
		check(strcmp(derivation, rows[i].derivation) == 0);
		check(strcmp(tail, rows[i].tail) == 0);
	}
}

static void refuses_a_root_of_another_form(void)
{
	static const char *const rows[] = {
		"",
		"/",
		"root",
		"/nix/store/" DRV,
		"/nix/store/" DRV ".chroot/",
		"/nix/store/" DRV ".chroot/root/",
		"/nix/store/" DRV ".chroot/root/build",
		"/nix/store/" DRV ".chroot/roo",
		"/nix/store/" DRV ".chroot//root",
		"/nix/store/" DRV ".chroot/root//deleted",
		"/nix/store/" DRV ".chroot.chroot",
		"/nix/store/" DRV "/root",
		DRV ".chroot/root", /* no slash before it */
		"/nix/store/x" DRV ".chroot/root",
		"/nix/store/" HASH "-hello.chroot/root",
		"/nix/store/" HASH "-.drv.chroot/root",
		"/nix/store/" HASH ".drv.chroot/root",
		"/nix/store/" HASH "_hello.drv.chroot/root",
		"/nix/store/-hello.drv.chroot/root",
		"/nix/store/0123456789abcdfghijklmnpqrsvwxy-hello.drv.chroot/root",
		/* e, o, t, u are no letters of the hash, nor are capitals */
		"/nix/store/0123456789abcdeghijklmnpqrsvwxyz-hello.drv.chroot/root",
		"/nix/store/0123456789abcdfghijklmnpqrsvwxyZ-hello.drv.chroot/root",
		"/nix/store/" HASH "-a b.drv.chroot/root",
		"/nix/store/" HASH "-a\\040b.drv.chroot/root",
		"/nix/store/" HASH "-a\nb.drv.chroot/root",
		"/nix/store/" HASH "-a\xc3\xa4.drv.chroot/root",
		"/nix/store/" HASH "-a/b.drv.chroot/root",
		/* 256 bytes */
		"/nix/store/" HASH "-aaaaaaaaaaaa" NAME_211 ".chroot/root",
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char derivation[DERIVATION_MAX + 1] = "untouched";
		const char *tail = NULL;
		bool found = origin_from_root(rows[i], derivation, &tail);

		if (found)
			printf("  accepted: %s\n", rows[i]);
		check(!found);
		check(!tail && strcmp(derivation, "untouched") == 0);
	}
}

/* ---- identity ---- */

static void plain_client(void)
{
	stay(connect_to_run());
}

static void tells_uid_gid_and_pid_of_an_ordinary_caller(void)
{
	struct answer answer = answer_for(plain_client);

	check(answer.result == 0);
	check(answer.uid == geteuid() && answer.gid == getegid());
	check(answer.pid > 1 && answer.pid != getpid());
	check(answer.has_pid_fd || needs_pid_fd());
	server_is_privileged = true;
	check(needs_pid_fd() || strstr(answer_for(plain_client).why, "or this is no build"));
	server_is_privileged = false;
	check(answer.derivation[0] == '\0' && answer.why[0] != '\0');
}

/* Connects as root, and goes on as somebody else. */
static void dropping_client(void)
{
	int fd = connect_to_run();

	must(setgroups(0, NULL));
	must(setresgid(OTHER_UID, OTHER_UID, OTHER_UID));
	must(setresuid(OTHER_UID, OTHER_UID, OTHER_UID));
	stay(fd);
}

static void identity_is_that_of_the_moment_of_connecting(void)
{
	struct answer answer = answer_for(dropping_client);

	check(answer.result == 0);
	check(answer.uid == 0 && answer.gid == 0);
}

/* One user connects, another one speaks. */
static void passing_client(void)
{
	int fd;

	must(setgroups(0, NULL));
	must(setresgid(BUILD_UID, BUILD_UID, BUILD_UID));
	must(seteuid(BUILD_UID));
	fd = connect_to_run();
	must(seteuid(0));
	if (fork() == 0) {
		must(setresuid(OTHER_UID, OTHER_UID, OTHER_UID));
		stay(fd);
		_exit(0);
	}
	(void)close(fd);
	while (wait(NULL) > 0)
		;
}

static void a_passed_connection_keeps_the_identity_of_its_maker(void)
{
	struct answer answer = answer_for(passing_client);

	check(answer.result == 0);
	check(answer.uid == BUILD_UID && answer.gid == BUILD_UID);
}

static void client_with_groups(size_t n_groups)
{
	static gid_t groups[PEER_GROUPS_MAX];

	for (size_t i = 0; i < n_groups; i++)
		groups[i] = (gid_t)(40000 + i);
	must(setgroups(n_groups, groups));
	plain_client();
}

static void client_with_many_groups(void)
{
	client_with_groups(MANY_GROUPS);
}

static void client_with_all_groups(void)
{
	client_with_groups(PEER_GROUPS_MAX);
}

static void tells_all_of_300_groups(void)
{
	struct answer answer = answer_for(client_with_many_groups);

	check(answer.result == 0);
	check(answer.n_groups == MANY_GROUPS);
	check(answer.first_group == 40000 && answer.last_group == 40000 + MANY_GROUPS - 1);
}

static void tells_all_of_65536_groups(void)
{
	struct answer answer = answer_for(client_with_all_groups);

	check(answer.result == 0);
	check(answer.n_groups == PEER_GROUPS_MAX);
	check(answer.last_group == 40000 + PEER_GROUPS_MAX - 1);
}

static void check_that_is_gone(bool reaped)
{
	struct answer answer;
	int listen_fd = listen_at("run/sock"), conn_fd;
	pid_t pid = fork();

	if (pid == 0)
		_exit(connect_to_run() < 0);
	if (waitid(P_PID, (id_t)pid, NULL, WEXITED | (reaped ? 0 : WNOWAIT)) < 0)
		abort();
	conn_fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	answer = identify(conn_fd);
	check(answer.result == 0);
	check(answer.uid == geteuid() && answer.pid == pid);
	check(answer.derivation[0] == '\0');
	check(strcmp(answer.why, "the caller had exited before it could be looked at") == 0);
	(void)close(conn_fd);
	(void)close(listen_fd);
	if (!reaped)
		(void)waitpid(pid, NULL, 0);
}

static void a_caller_that_is_gone_keeps_its_uid_and_has_no_derivation(void)
{
	check_that_is_gone(true);
	check_that_is_gone(false);
}

static void refuses_a_socket_that_is_not_connected(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct answer answer = identify(fd);

	check(answer.result == -ENOTCONN);
	(void)close(fd);
}

static void without_descriptors_the_caller_is_nobody_rather_than_somebody_else(void)
{
	int fds[2], n_fds_left = 0;
	struct answer answer;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		abort();
	/* Each place where one can be missing, until none is. */
	for (;; n_fds_left++) {
		answer = identify_with(fds[0], n_fds_left);
		if (answer.result == 0 || n_fds_left > 64)
			break;
		check(answer.result == -EMFILE);
		check(answer.error[0] != '\0');
	}
	check(answer.result == 0 && n_fds_left >= 3);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void an_empty_peer_can_be_released(void)
{
	struct peer zero = { 0 }, none = { .pid_fd = -1 };

	peer_done(&zero);
	peer_done(&none);
	check(fcntl(0, F_GETFD) >= 0);
}

/* ---- derivations ---- */

static void build(void)
{
	build_client("store/" DRV ".chroot/root");
}

static void old_build(void)
{
	build_client("store/" OTHER ".chroot");
}

static void knows_a_nix_build_without_any_capability(void)
{
	struct answer answer = answer_for(build);

	check(answer.result == 0);
	check(answer.uid == build_uid() && (geteuid() != 0 || answer.gid == BUILD_GID));
	check(strcmp(answer.derivation, DRV) == 0);
	check(answer.why[0] == '\0');
	if (answer.why[0])
		printf("  %s\n", answer.why);
}

static void knows_a_build_of_an_old_nix(void)
{
	struct answer answer = answer_for(old_build);

	check(answer.result == 0 && strcmp(answer.derivation, OTHER) == 0);
}

static void double_mounts(void)
{
	for (int i = 0; i < DOUBLINGS; i++)
		must(mount(".", "build", NULL, MS_BIND | MS_REC, NULL));
}

/* Nix mounts each input of a build on its own: thousands. */
static void build_with_many_mounts(void)
{
	enter_build_namespace();
	bind_root("store/" DRV ".chroot/root");
	double_mounts();
	pivot();
	become_builder();
	stay(connect_to("/run/sock"));
}

static void knows_a_build_with_thousands_of_mounts(void)
{
	struct answer answer = answer_for(build_with_many_mounts);

	check(answer.result == 0 && strcmp(answer.derivation, DRV) == 0);
}

/* The same, but the mount that is the root is listed after all others. */
static void build_with_a_late_root(void)
{
	char root[PATH_MAX], run[PATH_MAX], elsewhere[PATH_MAX];

	path_below(root, "store/" DRV ".chroot/root");
	path_below(run, "run");
	path_below(elsewhere, "elsewhere");
	enter_build_namespace();
	must(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	must(mount(elsewhere, elsewhere, NULL, MS_BIND, NULL));
	must(chdir(elsewhere));
	double_mounts();
	must(chdir("/"));
	must(mount(root, root, NULL, MS_BIND, NULL));
	must(chdir(root));
	must(mount(elsewhere, "build", NULL, MS_MOVE, NULL));
	must(mount(run, "run", NULL, MS_BIND, NULL));
	pivot();
	become_builder();
	stay(connect_to("/run/sock"));
}

static void reads_at_most_16_kib_of_a_mount_table(void)
{
	struct answer answer = answer_for(build_with_a_late_root);

	check(answer.result == 0 && answer.derivation[0] == '\0');
	check(strcmp(answer.why,
	             "the caller's root is not in the first 16 KiB of its mount table, as that "
	             "of a Nix build is") == 0);
}

/* What the build mounts upon its own root does not become its root. */
static void build_with_a_mount_on_top(void)
{
	enter_build("store/" DRV ".chroot/root");
	(void)mkdir("/build/" EVIL ".chroot", 0755);
	must(mount("/build/" EVIL ".chroot", "/", NULL, MS_BIND, NULL));
	become_builder();
	stay(connect_to("/run/sock"));
}

/* The same with a mount that is older than the root, and is listed before it. */
static void build_with_an_old_mount_on_top(void)
{
	char elsewhere[PATH_MAX];

	path_below(elsewhere, "elsewhere/" OTHER ".chroot");
	enter_build_namespace();
	must(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
	must(mount(elsewhere, elsewhere, NULL, MS_BIND, NULL));
	bind_root("store/" DRV ".chroot/root");
	must(mount(elsewhere, "build", NULL, MS_MOVE, NULL));
	pivot();
	must(mount("/build", "/", NULL, MS_MOVE, NULL));
	become_builder();
	stay(connect_to("/run/sock"));
}

static void a_mount_upon_the_root_is_not_the_root(void)
{
	struct answer newer = answer_for(build_with_a_mount_on_top);
	struct answer older = answer_for(build_with_an_old_mount_on_top);

	check(newer.result == 0 && strcmp(newer.derivation, DRV) == 0);
	check(older.result == 0 && strcmp(older.derivation, DRV) == 0);
}

/* A directory with a good name elsewhere, as the root of a sandbox made by our own user. */
static void build_with_an_unknown_name(void)
{
	build_client("elsewhere/" EVIL ".chroot/root");
}

static void build_with_the_name_of_another(void)
{
	build_client("elsewhere/" OTHER ".chroot");
}

static void refuses_a_name_that_is_not_in_the_store(void)
{
	struct answer answer = answer_for(build_with_an_unknown_name);

	check(answer.result == 0 && answer.derivation[0] == '\0');
	check(strcmp(answer.why, "the root that the caller's mount table names does not exist") ==
	      0);
}

static void refuses_the_name_of_another_build(void)
{
	struct answer answer = answer_for(build_with_the_name_of_another);

	check(answer.result == 0 && answer.derivation[0] == '\0');
	check(strcmp(answer.why, "the caller's root is not the directory it claims") == 0);
}

static void mount_given(void)
{
	char own[PATH_MAX], its[PATH_MAX];

	path_below(own, "store/given");
	(void)snprintf(its, sizeof(its), ".%s/store/given", base);
	must(mount(own, its, NULL, MS_BIND | MS_REC, NULL));
	path_below(own, "store/given/inside");
	(void)snprintf(its, sizeof(its), ".%s/store/given/mounted", base);
	must(mount(own, its, NULL, MS_BIND, NULL));
}

static void build_with_inputs(void)
{
	enter_build_namespace();
	bind_root("store/" DRV ".chroot/root");
	mount_given();
	pivot();
	become_builder();
	stay(connect_to("/run/sock"));
}

static void opens_what_a_build_was_given_and_nothing_else(void)
{
	struct answer answer = answer_for(build_with_inputs);

	check(strcmp(answer.derivation, DRV) == 0);
	check(!answer.opened_elsewhere);
	for (size_t i = 0; i < ARRAY_SIZE(inputs); i++) {
		bool opened = answer.inputs & 1u << i;

		check(opened == inputs[i].is_the_hosts);
		if (opened != inputs[i].is_the_hosts)
			printf("  %s\n", inputs[i].name);
	}
}

/* The same, seen from namespaces of its own. */
static void nested_build_with_inputs(void)
{
	enter_user_namespace(&(struct map){
		.uid = 1000, .outer_uid = geteuid(), .gid = 100, .outer_gid = getegid() });
	bind_root("store/" DRV ".chroot/root");
	mount_given();
	pivot();
	become_builder();
	enter_nested_namespace();
	stay(connect_to("/run/sock"));
}

/* Of no build at all: it sees the very store. */
static void plain_client_with_a_store(void)
{
	stay(connect_to_run());
}

static void opens_nothing_for_whom_no_build_is_known(void)
{
	struct answer nested = answer_for(nested_build_with_inputs);
	struct answer plain = answer_for(plain_client_with_a_store);

	check(nested.result == 0 && nested.inputs == 0 && nested.derivation[0] == '\0');
	check(plain.result == 0 && plain.inputs == 0 && plain.derivation[0] == '\0');
}

/* A real build nests namespaces, and names a directory of its own as it likes. */
static void forging_build(void)
{
	enter_build("store/" DRV ".chroot/root");
	(void)mkdir("/build/" OTHER ".chroot", 0755);
	(void)mkdir("/build/" OTHER ".chroot/run", 0755);
	must(chmod("/build/" OTHER ".chroot", 0755));
	become_builder();
	enter_nested_namespace();
	must(mount("/build/" OTHER ".chroot", "/build/" OTHER ".chroot", NULL, MS_BIND, NULL));
	must(chdir("/build/" OTHER ".chroot"));
	must(mount("/run", "run", NULL, MS_BIND, NULL));
	must(chroot("."));
	stay(connect_to("/run/sock"));
}

/* Like it, but with the true root, and a builder that runs as our own user, as Nix has it without
 * build users: what connects is not the sandbox but something inside it. */
static void nested_build(void)
{
	enter_user_namespace(&(struct map){
		.uid = 1000, .outer_uid = geteuid(), .gid = 100, .outer_gid = getegid() });
	bind_root("store/" DRV ".chroot/root");
	pivot();
	become_builder();
	enter_nested_namespace();
	stay(connect_to("/run/sock"));
}

static const char nested[] = "the caller's user namespace is not one that Nix made for a build";

static void refuses_a_root_forged_in_a_nested_user_namespace(void)
{
	struct answer answer = answer_for(forging_build);

	check(answer.result == 0 && answer.derivation[0] == '\0');
	check(answer.uid == build_uid());
	check(strcmp(answer.why, nested) == 0 ||
	      strcmp(answer.why, "the caller is not in a Nix build's sandbox") == 0);
}

static void refuses_a_user_namespace_nested_in_the_build(void)
{
	struct answer answer = answer_for(nested_build);

	check(answer.result == 0 && answer.derivation[0] == '\0');
	check(strcmp(answer.why, nested) == 0 ||
	      strcmp(answer.why, "the caller is not in a Nix build's sandbox") == 0);
}

/* With "uid-range" a build has capabilities in its namespace: it can forge without nesting. */
static void forging_build_with_capabilities(void)
{
	enter_build("store/" DRV ".chroot/root");
	(void)mkdir("/build/" OTHER ".chroot", 0755);
	(void)mkdir("/build/" OTHER ".chroot/run", 0755);
	must(unshare(CLONE_NEWNS));
	must(mount("/build/" OTHER ".chroot", "/build/" OTHER ".chroot", NULL, MS_BIND, NULL));
	must(chdir("/build/" OTHER ".chroot"));
	must(mount("/run", "run", NULL, MS_BIND, NULL));
	must(chroot("."));
	must(prctl(PR_SET_DUMPABLE, 1));
	stay(connect_to("/run/sock"));
}

static void refuses_a_root_forged_with_the_capabilities_of_a_build(void)
{
	struct answer answer = answer_for(forging_build_with_capabilities);

	check(answer.result == 0 && answer.derivation[0] == '\0');
	check(strcmp(answer.why, "the caller's root is not the directory it claims") == 0);
}

/* A user namespace below ours that another user made, with a root of his own. */
static void namespace_of_another_user(void)
{
	must(setgroups(0, NULL));
	must(setresgid(OTHER_UID, OTHER_UID, OTHER_UID));
	must(setresuid(OTHER_UID, OTHER_UID, OTHER_UID));
	must(prctl(PR_SET_DUMPABLE, 1));
	enter_user_namespace(&(struct map){
		.uid = 0, .outer_uid = OTHER_UID, .gid = 0, .outer_gid = OTHER_UID });
	bind_root("elsewhere/" OTHER ".chroot");
	pivot();
	stay(connect_to("/run/sock"));
}

static void refuses_a_namespace_that_another_user_made(void)
{
	struct answer answer;

	/* With CAP_SYS_PTRACE we may look at it, and must judge. */
	server_is_privileged = true;
	answer = answer_for(namespace_of_another_user);
	server_is_privileged = false;
	check(answer.result == 0 && answer.derivation[0] == '\0');
	check(answer.uid == OTHER_UID);
	check(strcmp(answer.why, nested) == 0);
}

/* chroot without a mount below it, in a sandbox that is otherwise good */
static void build_in_a_chroot(void)
{
	enter_build("store/" DRV ".chroot/root");
	must(mount("/run", "/build", NULL, MS_BIND, NULL));
	must(mkdir("/run/deep", 0755) < 0 && errno != EEXIST ? -1 : 0);
	{
		int fd = connect_to("/run/sock");

		must(chroot("/build/deep"));
		must(prctl(PR_SET_DUMPABLE, 1));
		stay(fd);
	}
}

static void refuses_a_root_that_is_no_mount(void)
{
	struct answer answer = answer_for(build_in_a_chroot);

	check(answer.result == 0 && answer.derivation[0] == '\0');
	check(strcmp(answer.why, "the caller's root is not a mount, as that of a Nix build is") ==
	      0);
}

/* ---- descriptors ---- */

static int send_descriptor(int fd, int descriptor)
{
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec data = { .iov_base = (char[]){ 'x' }, .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &descriptor, sizeof(int));
	return sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void the_kernel_refuses_descriptors_for_us(void)
{
	int listen_fd = listen_at("run/sock"), client_fd = connect_to_run();
	int conn_fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);

	check(send_descriptor(client_fd, listen_fd) == 0);
	check(peer_refuse_descriptors(conn_fd, NULL) == 0);
	check(send_descriptor(client_fd, listen_fd) == -EPERM);
	check(send(client_fd, "x", 1, MSG_NOSIGNAL) == 1);
	(void)close(client_fd);
	(void)close(conn_fd);
	(void)close(listen_fd);
}

static void write_derivation(const char *text)
{
	cleanup_fd int fd = -1;
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/store/" DRV, base);
	(void)unlink(path);
	if (!text)
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
	check(fd >= 0 && fd_write_full(fd, text, strlen(text)) == 0);
}

static void read_features(struct peer *peer)
{
	const struct account account = { .uid = 65533, .gid = 65533, .change = geteuid() == 0 };
	char store[PATH_MAX];

	(void)snprintf(store, sizeof(store), "%s/store", base);
	check(peer_read_features(peer, store, &account, geteuid(), NULL) == 0);
}

/* "missing", "why", "features", or nothing is known. */
static const char *known_features(const char *text)
{
	cleanup_peer struct peer peer = { .pid_fd = -1, .derivation = DRV };

	write_derivation(text);
	read_features(&peer);
	/* Asked again there is nothing new, whatever has become of the file. */
	write_derivation("Derive([],[],[],\"s\",\"b\",[],[])");
	read_features(&peer);
	write_derivation(NULL);
	if (peer.features)
		return features_have(peer.features, "hatch-a") ? "features" : "";
	return peer.derivation_missing ? "missing" : peer.features_why[0] ? "why" : "";
}

static void reads_the_features_of_the_derivation_once(void)
{
	static const struct peer nobody = { .pid_fd = -1 };
	cleanup_peer struct peer peer = nobody;

	check(strcmp(known_features("Derive([],[],[],\"s\",\"b\",[],[(\"requiredSystemFeatures\","
	                            "\"kvm hatch-a\")])"),
	             "features") == 0);
	check(strcmp(known_features("Derive(["), "why") == 0);
	check(strcmp(known_features(NULL), "missing") == 0);
	/* Of who is no build there is nothing to read. */
	read_features(&peer);
	check(!peer.features && !peer.derivation_missing && !peer.features_why[0]);
}

static const struct unit_case cases[] = {
	CASE(reads_the_derivation_from_a_root),
	CASE(refuses_a_root_of_another_form),
	CASE(tells_uid_gid_and_pid_of_an_ordinary_caller),
	CASE_IF(identity_is_that_of_the_moment_of_connecting, needs_root),
	CASE_IF(a_passed_connection_keeps_the_identity_of_its_maker, needs_root),
	CASE_IF(tells_all_of_300_groups, needs_root),
	CASE_IF(tells_all_of_65536_groups, needs_root),
	CASE_IF(a_caller_that_is_gone_keeps_its_uid_and_has_no_derivation, needs_pid_fd),
	CASE(refuses_a_socket_that_is_not_connected),
	CASE_IF(without_descriptors_the_caller_is_nobody_rather_than_somebody_else, needs_pid_fd),
	CASE(an_empty_peer_can_be_released),
	CASE_IF(knows_a_nix_build_without_any_capability, needs_user_namespaces),
	CASE_IF(knows_a_build_of_an_old_nix, needs_user_namespaces),
	CASE_IF(knows_a_build_with_thousands_of_mounts, needs_user_namespaces),
	CASE_IF(reads_at_most_16_kib_of_a_mount_table, needs_user_namespaces),
	CASE_IF(a_mount_upon_the_root_is_not_the_root, needs_user_namespaces),
	CASE_IF(refuses_a_name_that_is_not_in_the_store, needs_user_namespaces),
	CASE_IF(refuses_the_name_of_another_build, needs_user_namespaces),
	CASE_IF(opens_what_a_build_was_given_and_nothing_else, needs_user_namespaces),
	CASE_IF(opens_nothing_for_whom_no_build_is_known, needs_user_namespaces),
	CASE_IF(refuses_a_root_forged_in_a_nested_user_namespace, needs_user_namespaces),
	CASE_IF(refuses_a_user_namespace_nested_in_the_build, needs_user_namespaces),
	CASE_IF(refuses_a_root_forged_with_the_capabilities_of_a_build, needs_user_namespaces),
	CASE_IF(refuses_a_root_that_is_no_mount, needs_user_namespaces),
	CASE_IF(refuses_a_namespace_that_another_user_made, needs_root),
	CASE(reads_the_features_of_the_derivation_once),
	CASE_IF(the_kernel_refuses_descriptors_for_us, needs_pass_rights),
};

int main(void)
{
	int result;

	host_proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	make_base();
	result = unit_run(cases, ARRAY_SIZE(cases));
	remove_base();
	return result;
}
