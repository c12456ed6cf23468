/* One table: the name of each limit, and what a builder has if nobody says anything. */
#include "rlimits.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/resource.h>

#include "lib/base/cleanup.h"

_Static_assert(RLIM_INFINITY == UINT64_MAX, "\"unlimited\" of a definition is the kernel's");

static const struct rlimit_row {
	const char *key;     /* of limits.rlimits */
	const char *setting; /* of the unit, systemd.exec(5); NULL: no definition can set it */
	int resource;
	rlim_t soft, hard;
} rows[] = {
	{ "as", "LimitAS=", RLIMIT_AS, RLIM_INFINITY, RLIM_INFINITY },
	{ "core", "LimitCORE=", RLIMIT_CORE, 0, 0 },
	{ "cpu", "LimitCPU=", RLIMIT_CPU, RLIM_INFINITY, RLIM_INFINITY },
	{ "data", "LimitDATA=", RLIMIT_DATA, RLIM_INFINITY, RLIM_INFINITY },
	{ "fsize", "LimitFSIZE=", RLIMIT_FSIZE, RLIM_INFINITY, RLIM_INFINITY },
	{ "memlock", "LimitMEMLOCK=", RLIMIT_MEMLOCK, 64 << 10, 64 << 10 },
	{ "msgqueue", "LimitMSGQUEUE=", RLIMIT_MSGQUEUE, 0, 0 },
	{ "nofile", "LimitNOFILE=", RLIMIT_NOFILE, 1024, 524288 },
	{ "nproc", "LimitNPROC=", RLIMIT_NPROC, RLIM_INFINITY, RLIM_INFINITY },
	{ "sigpending", "LimitSIGPENDING=", RLIMIT_SIGPENDING, 4096, 4096 },
	{ "stack", "LimitSTACK=", RLIMIT_STACK, 8 << 20, RLIM_INFINITY },
	{ "nice", NULL, RLIMIT_NICE, 0, 0 },
	{ "rtprio", NULL, RLIMIT_RTPRIO, 0, 0 },
};

int rlimits_check(const struct builder *builder, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct rlimit_setting *setting = &builder->limits.rlimits[rows[i].resource];
		struct rlimit now;

		if (!setting->set)
			continue;
		if (getrlimit((__rlimit_resource_t)rows[i].resource, &now) < 0)
			return error_errno(err, BLAME_HOST, errno, "cannot read a resource limit");
		if (setting->hard <= now.rlim_max)
			continue;
		(void)error_set(err, BLAME_POLICY, EPERM,
		                "limits.rlimits.%s of the builder %s (%s) is above the %" PRIu64
		                " that hatchd itself may have",
		                rows[i].key, builder->name, builder->file, (uint64_t)now.rlim_max);
		return error_hint(err, "lower it, or set %s in a drop-in of hatchd@.service",
		                  rows[i].setting);
	}
	return 0;
}

bool rlimits_given(const struct limits *limits, size_t row, struct rlimit_given *ret)
{
	const struct rlimit_setting *setting;

	if (row >= ARRAY_SIZE(rows))
		return false;
	setting = &limits->rlimits[rows[row].resource];
	*ret = (struct rlimit_given){ .name = rows[row].key,
		                      .soft = setting->set ? setting->soft : rows[row].soft,
		                      .hard = setting->set ? setting->hard : rows[row].hard };
	return true;
}

static int set_limit(__rlimit_resource_t resource, const struct rlimit_given *given)
{
	struct rlimit now, want = { given->soft, given->hard };

	if (getrlimit(resource, &now) < 0)
		return -errno;
	if (want.rlim_max > now.rlim_max)
		want.rlim_max = now.rlim_max;
	if (want.rlim_cur > want.rlim_max)
		want.rlim_cur = want.rlim_max;
	return setrlimit(resource, &want) < 0 ? -errno : 0;
}

int rlimits_set(const struct limits *limits)
{
	struct rlimit_given given;
	int r = 0;

	for (size_t i = 0; r == 0 && rlimits_given(limits, i, &given); i++)
		r = set_limit((__rlimit_resource_t)rows[i].resource, &given);
	return r;
}
