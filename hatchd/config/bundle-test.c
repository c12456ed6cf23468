#include "bundle.h"

#include <errno.h>
#include <fcntl.h>

#include "hatchd/slot/test-place.h"
#include "tests/unit.h"

static struct error err;
static struct config base; /* defaults, no pool */

static const char plain[] = "{\"root\": {\"bundle\": \"/srv/b\"}}";

/* A builder of this definition, with this config.json. */
static int parse(const char *definition, const char *text, const struct config_report *report,
                 struct builder *ret)
{
	err.text[0] = '\0';
	must(builder_parse(&base, "b", definition, strlen(definition), NULL, ret, &err) == 0,
	     "definition");
	return bundle_parse(&base, "/srv/b/config.json", text, strlen(text), report, ret, &err);
}

/* Is the last error this one, at this line and column? */
static bool says(const char *place, const char *words)
{
	static const char file[] = "/srv/b/config.json:";
	size_t len = strlen(place);
	bool right = strncmp(err.text, file, strlen(file)) == 0 &&
	             strncmp(err.text + strlen(file), place, len) == 0 &&
	             err.text[strlen(file) + len] == ':' && strstr(err.text, words);

	if (!right)
		printf("# said: %s\n# not: %s: ... %s\n", err.text, place, words);
	return right;
}

/* What `runc spec` writes. */
#define SPEC(terminal, user, args)                                                                \
	"{\n"                                                                                     \
	"\"ociVersion\": \"1.2.1\",\n"                                                            \
	"\"process\": {\n"                                                                        \
	"\"terminal\": " terminal ",\n"                                                           \
	"\"user\": { " user " },\n"                                                               \
	"\"args\": [ " args " ],\n"                                                               \
	"\"env\": [ \"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\",\n"     \
	"\"TERM=xterm\" ],\n"                                                                     \
	"\"cwd\": \"/\",\n"                                                                       \
	"\"capabilities\": { \"bounding\": [ \"CAP_AUDIT_WRITE\", \"CAP_KILL\" ],\n"              \
	"\"effective\": [ \"CAP_KILL\" ], \"permitted\": [ \"CAP_KILL\" ] },\n"                   \
	"\"rlimits\": [ { \"type\": \"RLIMIT_NOFILE\", \"hard\": 1024, \"soft\": 512 } ],\n"      \
	"\"noNewPrivileges\": true\n"                                                             \
	"},\n"                                                                                    \
	"\"root\": { \"path\": \"rootfs\", \"readonly\": true },\n"                               \
	"\"hostname\": \"runc\",\n"                                                               \
	"\"mounts\": [\n"                                                                         \
	"{ \"destination\": \"/proc\", \"type\": \"proc\", \"source\": \"proc\" },\n"             \
	"{ \"destination\": \"/dev\", \"type\": \"tmpfs\", \"source\": \"tmpfs\",\n"              \
	"\"options\": [ \"nosuid\", \"strictatime\", \"mode=755\", \"size=65536k\" ] },\n"        \
	"{ \"destination\": \"/dev/pts\", \"type\": \"devpts\", \"source\": \"devpts\",\n"        \
	"\"options\": [ \"nosuid\", \"noexec\", \"newinstance\", \"ptmxmode=0666\",\n"            \
	"\"mode=0620\", \"gid=5\" ] },\n"                                                         \
	"{ \"destination\": \"/dev/shm\", \"type\": \"tmpfs\", \"source\": \"shm\",\n"            \
	"\"options\": [ \"nosuid\", \"noexec\", \"nodev\", \"mode=1777\", \"size=65536k\" ] },\n" \
	"{ \"destination\": \"/dev/mqueue\", \"type\": \"mqueue\", \"source\": \"mqueue\",\n"     \
	"\"options\": [ \"nosuid\", \"noexec\", \"nodev\" ] },\n"                                 \
	"{ \"destination\": \"/sys\", \"type\": \"sysfs\", \"source\": \"sysfs\",\n"              \
	"\"options\": [ \"nosuid\", \"noexec\", \"nodev\", \"ro\" ] },\n"                         \
	"{ \"destination\": \"/sys/fs/cgroup\", \"type\": \"cgroup\", \"source\": \"cgroup\",\n"  \
	"\"options\": [ \"nosuid\", \"noexec\", \"nodev\", \"relatime\", \"ro\" ] }\n"            \
	"],\n"                                                                                    \
	"\"linux\": {\n"                                                                          \
	"\"resources\": { \"devices\": [ { \"allow\": false, \"access\": \"rwm\" } ] },\n"        \
	"\"namespaces\": [ { \"type\": \"pid\" }, { \"type\": \"network\" },\n"                   \
	"{ \"type\": \"ipc\" }, { \"type\": \"uts\" }, { \"type\": \"mount\" },\n"                \
	"{ \"type\": \"cgroup\" } ],\n"                                                           \
	"\"maskedPaths\": [ \"/proc/acpi\", \"/proc/kcore\", \"/sys/firmware\" ],\n"              \
	"\"readonlyPaths\": [ \"/proc/bus\", \"/proc/sys\" ]\n"                                   \
	"}\n"                                                                                     \
	"}\n"

/* What was reported of one text. */
struct seen {
	size_t n;
	char text[16][ERROR_TEXT_MAX];
};

static void note(void *data, const struct error *error)
{
	struct seen *seen = data;

	if (seen->n < ARRAY_SIZE(seen->text))
		strcpy(seen->text[seen->n], error->text);
	seen->n++;
}

static void says_all_that_keeps_the_standard_file_from_running(void)
{
	static const char *const expected[] = {
		"config.json:4:13: a builder has no terminal; expected false",
		"config.json:5:18: a builder runs as a build user; expected no \"user\"",
		"config.json:5:28: a builder runs as a build user",
		"config.json:6:11: \"sh\"; expected an absolute path",
	};
	cleanup_builder struct builder b = { 0 };
	struct seen seen = { 0 };
	const struct config_report report = { note, &seen };

	check(parse(plain, SPEC("true", "\"uid\": 0, \"gid\": 0", "\"sh\""), &report, &b) < 0);
	check(seen.n == ARRAY_SIZE(expected));
	for (size_t i = 0; i < ARRAY_SIZE(expected) && i < seen.n; i++) {
		check(strstr(seen.text[i], expected[i]));
		if (!strstr(seen.text[i], expected[i]))
			printf("# said: %s\n", seen.text[i]);
	}
}

static void takes_the_standard_file_otherwise(void)
{
	cleanup_builder struct builder b = { 0 };

	check(parse(plain, SPEC("false", "", "\"/bin/sh\", \"-c\", \"x\""), NULL, &b) == 0);
	if (unit_failed) {
		printf("# said: %s\n", err.text);
		return;
	}
	check(b.root.kind == ROOT_BUNDLE && strcmp(b.root.path, "/srv/b/rootfs") == 0);
	check(strcmp(b.command[0], "/bin/sh") == 0 && strcmp(b.command[2], "x") == 0);
	check(!b.command[3] && strcmp(b.root.cwd, "/") == 0);
	check(strcmp(b.root.host_name, "runc") == 0);
	check(b.environment.n_set == 2 && strcmp(b.environment.set[1].name, "TERM") == 0);
	check(strcmp(b.environment.set[1].value, "xterm") == 0);
	check(b.limits.rlimits[RLIMIT_NOFILE].set);
	check(b.limits.rlimits[RLIMIT_NOFILE].soft == 512);
	check(b.limits.rlimits[RLIMIT_NOFILE].hard == 1024);
	check(b.view.n_places == 0);
	check(strcmp(b.root.masked[2], "/sys/firmware") == 0 && !b.root.masked[3]);
	check(strcmp(b.root.read_only[1], "/proc/sys") == 0 && !b.root.read_only[2]);
}

static void root_of_a_bundle_is_root_of_a_user_namespace(void)
{
	static const char mapped[] = "{\"root\": {\"bundle\": \"/srv/b\"}, \"uid_map\": \"root\"}";
	cleanup_builder struct builder b = { 0 }, c = { 0 };

	check(parse(mapped, SPEC("false", "\"uid\": 0, \"gid\": 0", "\"/bin/sh\""), NULL, &b) == 0);
	check(parse(mapped, SPEC("false", "\"uid\": 1000, \"gid\": 0", "\"/bin/sh\""), NULL, &c) ==
	      -ENOTSUP);
	check(says("5:18", "is root; expected 0"));
}

static void the_definition_comes_first(void)
{
	static const char
		own[] = "{\"command\": [\"/own\"], \"root\": {\"bundle\": \"/srv/b\"},"
			" \"environment\": {\"set\": {\"TERM\": \"mine\"}, \"accept\": [\"A\"]},"
			" \"limits\": {\"rlimits\": {\"nofile\": 64}},"
			" \"view\": {\"read\": [{\"path\": \"/own\", \"at\": \"/data\"}]}}";
	static const char mounts
		[] = "{\"ociVersion\": \"1.0.2\", \"root\": {\"path\": \"r\"},\"mounts\": ["
		     "{\"destination\": \"/data\", \"type\": \"bind\", \"source\": \"/srv/d\"},"
		     "{\"destination\": \"/more\", \"type\": \"tmpfs\"}]}";
	cleanup_builder struct builder b = { 0 }, c = { 0 }, d = { 0 };

	check(parse(own, SPEC("false", "", "\"sh\""), NULL, &b) == 0);
	check(strcmp(b.command[0], "/own") == 0 && !b.command[1]);
	check(b.environment.n_set == 2 && strcmp(b.environment.set[0].value, "mine") == 0);
	check(strcmp(b.environment.set[1].name, "PATH") == 0);
	check(b.limits.rlimits[RLIMIT_NOFILE].hard == 64);
	check(parse(own, mounts, NULL, &c) == 0 && c.view.n_places == 2);
	check(strcmp(c.view.places[0].source, "/own") == 0);
	check(parse(own,
	            "{\"ociVersion\": \"1.0.2\", \"root\": {\"path\": \"r\"},\n"
	            "\"process\": {\"env\": [\"A=1\"]}}",
	            NULL, &d) == -EINVAL);
	check(says("2:21", "A is in environment.accept of the definition too"));
}

/* A config.json with one member more than it must have. */
static int try_member(const char *definition, const char *member, struct builder *b)
{
	char text[4096];

	(void)snprintf(text, sizeof(text),
	               "{\"ociVersion\": \"1.0.2\", \"root\": {\"path\": \"rootfs\"},\n%s}",
	               member);
	return parse(definition, text, NULL, b);
}

static const char with_command[] = "{\"command\": [\"/x\"], \"root\": {\"bundle\": \"/srv/b\"}}";

static void takes_what_hatch_can_do(void)
{
	static const char *const rows[] = {
		"\"annotations\": {\"a\": \"b\"}",
		"\"hostname\": \"\"",
		"\"hooks\": {}",
		"\"domainname\": \"\"",
		"\"mounts\": []",
		"\"linux\": {}",
		"\"linux\": {\"cgroupsPath\": \"/x:y:z\", \"devices\": [], \"uidMappings\": []}",
		"\"linux\": {\"sysctl\": {}, \"seccomp\": null, \"rootfsPropagation\": \"rslave\"}",
		"\"linux\": {\"resources\": {\"memory\": {}, \"devices\": [{\"allow\": true}]}}",
		"\"linux\": {\"mountLabel\": \"\", \"namespaces\": [{\"type\": \"uts\", \"path\": \"\"}]}",
		"\"process\": {\"apparmorProfile\": \"\", \"user\": {\"umask\": 18}}",
		"\"process\": {\"cwd\": \"/opt\", \"consoleSize\": {\"height\": 1, \"width\": 1}}",
		"\"mounts\": [{\"destination\": \"/cache\", \"type\": \"tmpfs\", \"options\": [\"size=64m\"]}]",
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_builder struct builder b = { 0 };

		check(try_member(with_command, rows[i], &b) == 0);
		if (err.text[0])
			printf("# said: %s\n", err.text);
	}
}

static void names_what_it_does_not_support(void)
{
	static const struct {
		const char *member, *place, *words;
	} rows[] = {
		{ "\"hooks\": {\"prestart\": []}", "2:1",
		  "\"hooks\" is not supported in a bundle" },
		{ "\"domainname\": \"x\"", "2:1", "\"domainname\" is not supported" },
		{ "\"windows\": {}", "2:1", "unknown key \"windows\"" },
		{ "\"hostname\": \"a b\"", "2:13", "expected letters, digits" },
		{ "\"process\": {\"user\": {\"uid\": 7}}", "2:29", "runs as a build user" },
		{ "\"process\": {\"user\": {\"umask\": 0}}", "2:31", "umask 022; expected 18" },
		{ "\"process\": {\"user\": {\"additionalGids\": [5]}}", "2:22", "groups" },
		{ "\"process\": {\"terminal\": true}", "2:25", "expected false" },
		{ "\"process\": {\"cwd\": \"x\"}", "2:20", "expected an absolute path" },
		{ "\"process\": {\"env\": [\"A\"]}", "2:21", "expected \"NAME=value\"" },
		{ "\"process\": {\"env\": [\"HATCH_A=1\"]}", "2:21", "hatch's own" },
		{ "\"process\": {\"env\": [\"out=1\"]}", "2:21", "it names an output" },
		{ "\"process\": {\"env\": [\"A-B=1\"]}", "2:21", "no name of a variable" },
		{ "\"process\": {\"apparmorProfile\": \"x\"}", "2:13", "not supported" },
		{ "\"process\": {\"selinuxLabel\": \"x\"}", "2:13", "not supported" },
		{ "\"process\": {\"oomScoreAdj\": 1}", "2:13", "not supported" },
		{ "\"process\": {\"rlimits\": [{\"type\": \"RLIMIT_NICE\", \"soft\": 1, \"hard\": 1}]}",
		  "2:34", "is no limit that a builder may have" },
		{ "\"process\": {\"rlimits\": [{\"type\": \"RLIMIT_CORE\", \"soft\": 2, \"hard\": 1}]}",
		  "2:57", "soft is above hard" },
		{ "\"process\": {\"rlimits\": [{\"type\": \"RLIMIT_CORE\"}]}", "2:25",
		  "expected {" },
		{ "\"process\": {\"ioPriority\": {\"class\": 1}}", "2:13", "not supported" },
		{ "\"linux\": {\"devices\": [{}]}", "2:11", "view.devices in the definition" },
		{ "\"linux\": {\"uidMappings\": [{}]}", "2:11", "uid_map in the definition" },
		{ "\"linux\": {\"seccomp\": {\"x\": 1}}", "2:11", "seccomp in the definition" },
		{ "\"linux\": {\"sysctl\": {\"a\": \"1\"}}", "2:11", "not supported" },
		{ "\"linux\": {\"resources\": {\"pids\": {\"limit\": 1}}}", "2:25",
		  "limits in the" },
		{ "\"linux\": {\"resources\": {\"memory\": {\"limit\": 1}}}", "2:25",
		  "limits in the" },
		{ "\"linux\": {\"namespaces\": [{\"type\": \"user\"}]}", "2:35", "not supported" },
		{ "\"linux\": {\"namespaces\": [{\"type\": \"pid\", \"path\": \"/p\"}]}", "2:50",
		  "no \"path\"" },
		{ "\"linux\": {\"rootfsPropagation\": \"shared\"}", "2:32", "expected private" },
		{ "\"linux\": {\"maskedPaths\": [\"../x\"]}", "2:27", "expected an absolute path" },
		{ "\"linux\": {\"readonlyPaths\": \"/x\"}", "2:28", "expected a list" },
		{ "\"linux\": {\"netDevices\": {}}", "2:11", "unknown key \"netDevices\"" },
		{ "\"mounts\": [{\"destination\": \"x\"}]", "2:28", "expected an absolute path" },
		{ "\"mounts\": [{\"type\": \"tmpfs\"}]", "2:12", "\"destination\" is missing" },
		{ "\"mounts\": [{\"destination\": \"/x\", \"type\": \"nfs\"}]", "2:12",
		  "type \"nfs\" is not supported" },
		{ "\"mounts\": [{\"destination\": \"/proc/x\", \"type\": \"tmpfs\"}]", "2:28",
		  "hatch mounts one of the builder's own" },
		{ "\"mounts\": [{\"destination\": \"/sys\", \"type\": \"bind\", \"source\": \"/sys\"}]",
		  "2:62", "no builder sees it" },
		{ "\"mounts\": [{\"destination\": \"/x\", \"type\": \"bind\"}]", "2:12",
		  "expected a \"source\"" },
		{ "\"mounts\": [{\"destination\": \"/x\", \"type\": \"bind\", \"source\": \"/etc/hatch\"}]",
		  "2:60", "hatch's own configuration" },
		{ "\"mounts\": [{\"destination\": \"/x\", \"type\": \"bind\", \"source\": \"../x\"}]",
		  "2:60", "expected an absolute path" },
		{ "\"mounts\": [{\"destination\": \"/x\", \"type\": \"tmpfs\", \"options\": [\"noexec\"]}]",
		  "2:12", "\"noexec\" is not supported here" },
		{ "\"mounts\": [{\"destination\": \"/x\", \"type\": \"tmpfs\", \"options\": [\"huge=always\"]}]",
		  "2:63", "the option \"huge=always\" is not supported" },
		{ "\"mounts\": [{\"destination\": \"/x\", \"type\": \"tmpfs\", \"options\": [\"size=50%\"]}]",
		  "2:12", "such as \"size=64m\"" },
		{ "\"mounts\": [{\"destination\": \"/x\", \"type\": \"tmpfs\", \"options\": [\"size=1\"]}]",
		  "2:12", "such as \"size=64m\"" },
		{ "\"mounts\": [{\"destination\": \"/x\", \"type\": \"tmpfs\"},\n"
		  "{\"destination\": \"/x\", \"type\": \"tmpfs\"}]",
		  "3:1", "is there twice" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_builder struct builder b = { 0 };

		check(try_member(with_command, rows[i].member, &b) < 0);
		check(says(rows[i].place, rows[i].words));
	}
}

static void refuses_files_that_are_no_bundle(void)
{
	static const struct {
		const char *text, *place, *words;
	} rows[] = {
		{ "", "1:1", "not JSON" },
		{ "[]", "1:1", "expected an object" },
		{ "{}", "1:1", "\"ociVersion\" is missing" },
		{ "{\"ociVersion\": \"1.0.2\"}", "1:1", "\"root\" is missing" },
		{ "{\"ociVersion\": \"2.0\", \"root\": {\"path\": \"r\"}}", "1:16",
		  "expected version 1" },
		{ "{\"ociVersion\": \"1.0\", \"root\": {}}", "1:31", "\"path\" is missing" },
		{ "{\"ociVersion\": \"1.0\", \"root\": {\"path\": \"../r\"}}", "1:40",
		  "absolute path" },
		{ "{\"ociVersion\": \"1.0\", \"root\": {\"path\": \"/r\"}}", "1:40",
		  "absolute path" },
		{ "{\"ociVersion\": \"1.0\", \"root\": {\"path\": \"\"}}", "1:40",
		  "absolute path" },
		{ "{\"ociVersion\": \"1.0\", \"root\": {\"path\": \"r\"}}", "1:1",
		  "nothing says what to run" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_builder struct builder b = { 0 };

		check(parse(plain, rows[i].text, NULL, &b) < 0);
		check(says(rows[i].place, rows[i].words));
	}
}

static void mounts_become_places_of_the_view(void)
{
	cleanup_builder struct builder b = { 0 };
	int r = try_member(
		with_command,
		"\"mounts\": ["
		"{\"destination\": \"/c\", \"type\": \"tmpfs\", \"options\": [\"size=128k\", \"rw\"]},"
		"{\"destination\": \"/a\", \"type\": \"bind\", \"source\": \"/srv/a\","
		" \"options\": [\"rbind\", \"ro\", \"nosuid\"]},"
		"{\"destination\": \"/b\", \"type\": \"none\", \"source\": \"data/b\","
		" \"options\": [\"bind\", \"rprivate\"]},"
		"{\"destination\": \"/d\", \"type\": \"tmpfs\"}]",
		&b);
	const struct place *p = b.view.places;

	check(r == 0 && b.view.n_places == 4);
	if (unit_failed) {
		printf("# said: %s\n", err.text);
		return;
	}
	check(p[0].kind == PLACE_READ && strcmp(p[0].source, "/srv/a") == 0);
	check(p[1].kind == PLACE_WRITE && strcmp(p[1].source, "/srv/b/data/b") == 0);
	check(strcmp(p[1].at, "/b") == 0 && !p[1].optional);
	check(p[2].kind == PLACE_TMPFS && p[2].size == 128 * 1024);
	check(p[3].kind == PLACE_TMPFS && p[3].size == 64 << 20);
}

static void only_what_is_said_outright_may_be_written(void)
{
	static const struct {
		const char *definition, *member;
		enum root_top top;
	} rows[] = {
		{ "", "", ROOT_TOP_UNSAID },
		{ "", ", \"readonly\": true", ROOT_TOP_NONE },
		{ "", ", \"readonly\": false", ROOT_TOP_MEMORY },
		{ ", \"readonly\": true", ", \"readonly\": false", ROOT_TOP_NONE },
		{ ", \"readonly\": false", ", \"readonly\": true", ROOT_TOP_MEMORY },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_builder struct builder b = { 0 };
		char definition[128], text[128];

		(void)snprintf(definition, sizeof(definition),
		               "{\"command\": [\"/x\"], \"root\": {\"bundle\": \"/srv/b\"%s}}",
		               rows[i].definition);
		(void)snprintf(text, sizeof(text),
		               "{\"ociVersion\": \"1.0\", \"root\": {\"path\": \"r\"%s}}",
		               rows[i].member);
		check(parse(definition, text, NULL, &b) == 0 && b.root.top == rows[i].top);
	}
}

static int load(const char *name)
{
	cleanup_builder struct builder b = { 0 };
	cleanup_fd int fd = -1;
	char definition[256];
	const char *type;
	int r;

	base.owner_uid = place_owner;
	(void)snprintf(definition, sizeof(definition),
	               "{\"command\": [\"/x\"],\n \"root\": {\"bundle\": \"%s\"}}", at(name));
	must(builder_parse(&base, "b", definition, strlen(definition), NULL, &b, &err) == 0, name);
	r = bundle_load(&base, NULL, &b, &err);
	return r < 0 ? r : builder_open_root(&base, &b, &fd, &type, &err);
}

static void believes_only_a_file_that_root_could_have_written(void)
{
	static const char text[] = "{\"ociVersion\": \"1.0\", \"root\": {\"path\": \"rootfs\"}}";

	make_dir("good", 0755);
	make_file("good/config.json", 0644, text);
	check(load("good") == -ENOENT && strstr(err.text, "rootfs does not exist"));
	make_dir("good/rootfs", 0755);
	check(load("good") == 0);
	must(chmod(at("good/config.json"), 0666) == 0, "chmod");
	check(load("good") == -EPERM);
}

static void says_where_the_definition_names_a_bundle_whose_file_cannot_be_read(void)
{
	static const char place[] = "/etc/hatch/builders.d/b.json:2:11: the root of builder `b`: ";

	make_dir("bare", 0755);
	check(load("bare") == -ENOENT &&
	      strstr(err.text, "bare is no bundle: it has no config.json"));
	check(strncmp(err.text, place, strlen(place)) == 0);
	check(load("nowhere") == -ENOENT && strncmp(err.text, place, strlen(place)) == 0);
	make_dir("open", 0755);
	make_file("open/config.json", 0666, "{}");
	check(load("open") == -EPERM && strstr(err.text, "can be written by everybody"));
	check(strncmp(err.text, place, strlen(place)) == 0 && strstr(err.hint, "chmod"));
}

static void the_tree_is_inside_of_the_bundle(void)
{
	static const char text[] = "{\"ociVersion\": \"1.0\", \"root\": {\"path\": \"rootfs\"}}";

	make_dir("outside", 0755);
	make_dir("linked", 0755);
	make_dir("linked/real", 0755);
	make_file("linked/config.json", 0644, text);
	make_link("linked/rootfs", "real");
	check(load("linked") == 0);
	must(unlink(at("linked/rootfs")) == 0, "unlink");
	make_link("linked/rootfs", "../outside");
	check(load("linked") == -EXDEV && strstr(err.text, "not inside of the bundle"));
}

static const struct unit_case cases[] = {
	CASE(says_all_that_keeps_the_standard_file_from_running),
	CASE(takes_the_standard_file_otherwise),
	CASE(root_of_a_bundle_is_root_of_a_user_namespace),
	CASE(the_definition_comes_first),
	CASE(takes_what_hatch_can_do),
	CASE(names_what_it_does_not_support),
	CASE(refuses_files_that_are_no_bundle),
	CASE(mounts_become_places_of_the_view),
	CASE(only_what_is_said_outright_may_be_written),
	CASE(believes_only_a_file_that_root_could_have_written),
	CASE(says_where_the_definition_names_a_bundle_whose_file_cannot_be_read),
	CASE(the_tree_is_inside_of_the_bundle),
};

int main(void)
{
	int result;

	if (!place_make()) {
		printf("SKIP bundle: no mount namespace here\n");
		return EXIT_SUCCESS;
	}
	if (config_parse("/etc/hatch", false, NULL, 0, NULL, &base, &err) < 0)
		return EXIT_FAILURE;
	result = unit_run(cases, ARRAY_SIZE(cases));
	config_done(&base);
	place_remove();
	return result;
}
