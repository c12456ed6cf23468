/* One table: the name of each limit, and what a builder has if nobody says anything. */
#include "rlimits.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "lib/base/cleanup.h"

_Static_assert(RLIM_INFINITY == UINT64_MAX, "\"unlimited\" of a definition is the kernel's");

static const struct rlimit_row rows[] = {
	{ "as", "LimitAS", RLIMIT_AS, RLIM_INFINITY, RLIM_INFINITY },
	{ "core", "LimitCORE", RLIMIT_CORE, 0, 0 },
	{ "cpu", "LimitCPU", RLIMIT_CPU, RLIM_INFINITY, RLIM_INFINITY },
	{ "data", "LimitDATA", RLIMIT_DATA, RLIM_INFINITY, RLIM_INFINITY },
	{ "fsize", "LimitFSIZE", RLIMIT_FSIZE, RLIM_INFINITY, RLIM_INFINITY },
	{ "memlock", "LimitMEMLOCK", RLIMIT_MEMLOCK, 64 << 10, 64 << 10 },
	{ "msgqueue", "LimitMSGQUEUE", RLIMIT_MSGQUEUE, 0, 0 },
	{ "nofile", "LimitNOFILE", RLIMIT_NOFILE, 1024, 524288 },
	{ "nproc", "LimitNPROC", RLIMIT_NPROC, RLIM_INFINITY, RLIM_INFINITY },
	{ "sigpending", "LimitSIGPENDING", RLIMIT_SIGPENDING, 4096, 4096 },
	{ "stack", "LimitSTACK", RLIMIT_STACK, 8 << 20, RLIM_INFINITY },
	/* These no definition can set. */
	{ "nice", "LimitNICE", RLIMIT_NICE, 0, 0 },
	{ "rtprio", "LimitRTPRIO", RLIMIT_RTPRIO, 0, 0 },
};

const struct rlimit_row *rlimits_row(size_t i)
{
	return i < ARRAY_SIZE(rows) ? &rows[i] : NULL;
}

int rlimits_read(struct rlimits *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(ret->of); i++)
		if (getrlimit((__rlimit_resource_t)i, &ret->of[i]) < 0)
			return -errno;
	return 0;
}

static int fail(const struct builder *builder, const struct rlimit_row *row, uint64_t most,
                struct error *err)
{
	char key[64];
	struct error why;

	(void)snprintf(key, sizeof(key), "limits.rlimits.%s", row->name);
	(void)error_set(&why, BLAME_POLICY, EPERM,
	                "it is above the %" PRIu64 " that hatchd itself may have", most);
	(void)error_hint(&why, "lower it, or set %s= in a drop-in of hatchd@.service",
	                 row->setting);
	(void)builder_fail(builder, key, POSITION_OF_KEY, key, &why, err);
	err->blame = BLAME_POLICY;
	return -EPERM;
}

int rlimits_check(const struct builder *builder, const struct rlimits *service, struct error *err)
{
	for (size_t i = 0; service && i < ARRAY_SIZE(rows); i++) {
		const struct rlimit_setting *said = &builder->limits.rlimits[rows[i].resource];
		rlim_t most = service->of[rows[i].resource].rlim_max;

		if (said->set && said->hard > most)
			return fail(builder, &rows[i], most, err);
	}
	return 0;
}

struct rlimit_given rlimits_given(const struct rlimit_row *row, const struct limits *limits,
                                  const struct rlimits *service)
{
	const struct rlimit_setting *said = &limits->rlimits[row->resource];
	uint64_t most = service ? service->of[row->resource].rlim_max : UINT64_MAX;
	uint64_t hard = row->hard < most ? row->hard : most;

	if (said->set)
		return (struct rlimit_given){ said->soft, said->hard, RLIMIT_OF_DEFINITION };
	return (struct rlimit_given){ row->soft < hard ? row->soft : hard, hard,
		                      hard < row->hard ? RLIMIT_OF_SERVICE : RLIMIT_OF_HATCHD };
}

int rlimits_set(const struct limits *limits)
{
	struct rlimits service;
	int r = rlimits_read(&service);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(rows); i++) {
		struct rlimit_given given = rlimits_given(&rows[i], limits, &service);
		struct rlimit want = { given.soft, given.hard };

		r = setrlimit((__rlimit_resource_t)rows[i].resource, &want) < 0 ? -errno : 0;
	}
	return r;
}
