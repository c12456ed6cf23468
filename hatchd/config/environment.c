/*
 * The list can never be complete: every program has variables of its own. It holds what acts before
 * the builder's first line, in the loader, the C library, a shell or an interpreter, where the
 * author of the builder has no say.
 */
#include "environment.h"

#include <stddef.h>
#include <string.h>

#include "lib/base/cleanup.h"

/* A name, or the beginning of names if it ends in "*". */
struct pattern {
	const char *name;
	const char *why;
};

static const char why_loader[] = "the program loader obeys it";
static const char why_libc[] = "the C library obeys it";
static const char why_shell[] = "shells obey it before the first line of a script";
static const char why_language[] = "an interpreter loads code that it names";
static const char why_tool[] = "a build tool runs commands that it names";
static const char why_builder[] = "it is the builder's own, set by hatch or by environment.set";

static const struct pattern fixed[] = {
	{ "HATCH_*", "names with HATCH_ are hatch's own" },
	{ "CREDENTIALS_DIRECTORY", "hatch says there where the builder's credentials are" },
	{ "out", "it names an output" },
	{ "outputs", "it names the outputs" },
};

static const struct pattern dangerous[] = {
	{ "LD_*", why_loader },
	{ "GLIBC_TUNABLES", why_loader },
	{ "GCONV_PATH", why_libc },
	{ "GETCONF_DIR", why_libc },
	{ "HOSTALIASES", why_libc },
	{ "LOCALDOMAIN", why_libc },
	{ "LOCPATH", why_libc },
	{ "MALLOC_*", why_libc },
	{ "NIS_PATH", why_libc },
	{ "NLSPATH", why_libc },
	{ "RESOLV_HOST_CONF", why_libc },
	{ "RES_OPTIONS", why_libc },
	{ "TZDIR", why_libc },
	{ "BASH_ENV", why_shell },
	{ "BASH_FUNC_*", why_shell },
	{ "BASHOPTS", why_shell },
	{ "CDPATH", why_shell },
	{ "ENV", why_shell },
	{ "GLOBIGNORE", why_shell },
	{ "IFS", why_shell },
	{ "PROMPT_COMMAND", why_shell },
	{ "PS4", why_shell },
	{ "SHELLOPTS", why_shell },
	{ "ZDOTDIR", why_shell },
	{ "CLASSPATH", why_language },
	{ "JAVA_TOOL_OPTIONS", why_language },
	{ "JDK_JAVA_OPTIONS", why_language },
	{ "_JAVA_OPTIONS", why_language },
	{ "LUA_*", why_language },
	{ "NODE_OPTIONS", why_language },
	{ "NODE_PATH", why_language },
	{ "PERL5*", why_language },
	{ "PERLLIB", why_language },
	{ "PYTHON*", why_language },
	{ "RUBYLIB", why_language },
	{ "RUBYOPT", why_language },
	{ "TCLLIBPATH", why_language },
	{ "GIT_*", why_tool },
	{ "GNUMAKEFLAGS", why_tool },
	{ "MAKEFILES", why_tool },
	{ "MAKEFLAGS", why_tool },
	{ "MFLAGS", why_tool },
	{ "RUSTC*", why_tool },
	{ "HOME", why_builder },
	{ "LOGNAME", why_builder },
	{ "OLDPWD", why_builder },
	{ "PATH", why_builder },
	{ "PWD", why_builder },
	{ "SHELL", why_builder },
	{ "TEMP", why_builder },
	{ "TEMPDIR", why_builder },
	{ "TMP", why_builder },
	{ "TMPDIR", why_builder },
	{ "USER", why_builder },
};

static const char *find(const struct pattern *patterns, size_t n_patterns, const char *name)
{
	for (size_t i = 0; i < n_patterns; i++) {
		size_t len = strcspn(patterns[i].name, "*");
		size_t compared = patterns[i].name[len] == '*' ? len : len + 1;

		if (strncmp(patterns[i].name, name, compared) == 0)
			return patterns[i].why;
	}
	return NULL;
}

const char *variable_why_fixed(const char *name)
{
	return find(fixed, ARRAY_SIZE(fixed), name);
}

const char *variable_why_dangerous(const char *name)
{
	return find(dangerous, ARRAY_SIZE(dangerous), name);
}
