/* "limits": what one request may use. */
#include <errno.h>
#include <inttypes.h>

#include "builder.h"
#include "hatchd/request/record.h"
#include "items.h"

enum { GRACE_SEC_MAX = 300 };

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)

const struct limits default_limits = {
	.time_default_sec = 600,
	.time_max_sec = 600,
	.silence_sec = 0,
	.grace_sec = 5,
	.log_bytes = 64 * MIB,
	.output_bytes = GIB,
	.output_entries = 100000,
};

static const struct member time_members[] = {
	{ "default", read_count, offsetof(struct builder, limits.time_default_sec), 1,
	  RECORD_TIMEOUT_SEC_MAX, .required = true },
	{ "max", read_count, offsetof(struct builder, limits.time_max_sec), 1,
	  RECORD_TIMEOUT_SEC_MAX, .required = true },
};

static const struct member time_object = { .rows = time_members,
	                                   .n_rows = ARRAY_SIZE(time_members) };

static int read_time(struct reading *in, const struct value *value, const struct member *row,
                     void *object)
{
	struct builder *builder = object;
	int r;

	if (value->kind == VALUE_INTEGER) {
		r = read_count(in, value, &time_members[0], builder);
		builder->limits.time_max_sec = builder->limits.time_default_sec;
		return r;
	}
	if (value->kind != VALUE_OBJECT)
		return reading_fail(in, value, EINVAL,
		                    "this is %s; expected seconds, or {\"default\": seconds, "
		                    "\"max\": seconds}",
		                    value_kind_name(value->kind));
	r = read_members(in, value, &time_object, builder);
	if (r < 0)
		return r;
	if (builder->limits.time_default_sec > builder->limits.time_max_sec)
		return reading_fail(in, value, EINVAL,
		                    "default is above max; expected at most %" PRIu64,
		                    builder->limits.time_max_sec);
	return 0;
}

static const struct member limits_members[] = {
	{ "time_sec", read_time },
	{ "silence_sec", read_count, FIELD(limits.silence_sec), 0, RECORD_TIMEOUT_SEC_MAX },
	{ "grace_sec", read_count, FIELD(limits.grace_sec), 0, GRACE_SEC_MAX },
	{ "log", read_size, FIELD(limits.log_bytes), 1, TIB },
	{ "output", read_size, FIELD(limits.output_bytes), 1, 16 * TIB },
	{ "output_entries", read_count, FIELD(limits.output_entries), 1, 100000000 },
};

int read_limits(struct reading *in, const struct value *value, const struct member *row,
                void *object)
{
	static const struct member limits = { INSIDE(limits_members) };

	return read_members(in, value, &limits, object);
}
