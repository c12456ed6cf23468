/* "limits": what one request may use. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "builder.h"
#include "hatchd/request/record.h"
#include "items.h"
#include "lib/base/text.h"

enum {
	GRACE_SEC_MAX = 300,
	CPUS_MAX = 4096,
	CPU_QUOTA_MIN_US = 1000, /* what the kernel takes */
	TASKS_MAX = 4194304,     /* of process numbers: PID_MAX_LIMIT of the kernel */
	IO_WEIGHT_MAX = 10000,
	NOFILE_MAX = 524288, /* LimitNOFILE= of hatchd@.service */
};

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)

/* Below, not even the small init of the sandbox would fit. */
#define MEMORY_MIN (4 * MIB)
#define MEMORY_MAX (1024 * TIB)

const struct limits default_limits = {
	.time_default_sec = 600,
	.time_max_sec = 600,
	.silence_sec = 0,
	.grace_sec = 5,
	.log_bytes = 64 * MIB,
	.output_bytes = GIB,
	.output_entries = 100000,
	.input_bytes = GIB,
	.input_entries = 100000,
	.input_sec = 600,
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

/* Processors: 0.01 to 4096. */
static int read_cpus(struct reading *in, const struct value *value, const struct member *row,
                     void *object)
{
	struct builder *builder = object;
	double cpus = value->kind == VALUE_INTEGER ? (double)value->integer : value->fraction;

	if (value->kind != VALUE_INTEGER && value->kind != VALUE_FRACTION)
		return reading_fail(in, value, EINVAL,
		                    "this is %s; expected a number of processors such as 2 or 1.5",
		                    value_kind_name(value->kind));
	if (!(cpus * CPU_PERIOD_US >= CPU_QUOTA_MIN_US && cpus <= CPUS_MAX))
		return reading_fail(in, value, EINVAL, "cpus is out of range; expected %.2f to %d",
		                    (double)CPU_QUOTA_MIN_US / CPU_PERIOD_US, CPUS_MAX);
	builder->limits.cpu_quota_us = (uint64_t)(cpus * CPU_PERIOD_US + 0.5);
	return 0;
}

/* --- "rlimits" --- */

typedef int reader(struct reading *in, const struct value *value, const struct member *row,
                   void *object);

/* One bound, by the reader for its unit. */
static int read_bound(struct reading *in, const struct value *value, const struct member *row,
                      reader *read, uint64_t *ret)
{
	const struct member bound = { row->key, read, 0, row->min, row->max };

	if (value->kind == VALUE_STRING && strcmp(value->string, "unlimited") == 0 &&
	    row->max == UINT64_MAX) {
		*ret = UINT64_MAX;
		return 0;
	}
	return read(in, value, &bound, ret);
}

static int read_soft_and_hard(struct reading *in, const struct value *value,
                              const struct member *row, reader *read,
                              struct rlimit_setting *setting)
{
	const struct value *soft = value_member(value, "soft");
	const struct value *hard = value_member(value, "hard");
	int r;

	if (!soft || !hard || value->n_items != 2)
		return reading_fail(in, value, EINVAL,
		                    "expected one value, or {\"soft\": value, \"hard\": value}");
	r = read_bound(in, soft, row, read, &setting->soft);
	if (r == 0)
		r = read_bound(in, hard, row, read, &setting->hard);
	if (r == 0 && setting->soft > setting->hard)
		return reading_fail(in, soft, EINVAL,
		                    "soft is above hard; expected at most the same");
	return r;
}

static int read_rlimit(struct reading *in, const struct value *value, const struct member *row,
                       reader *read, void *object)
{
	struct rlimit_setting *setting = (void *)((char *)object + row->offset);
	int r;

	if (value->kind == VALUE_OBJECT) {
		r = read_soft_and_hard(in, value, row, read, setting);
	} else {
		r = read_bound(in, value, row, read, &setting->hard);
		setting->soft = setting->hard;
	}
	setting->set = r == 0;
	return r;
}

static int read_rlimit_size(struct reading *in, const struct value *value, const struct member *row,
                            void *object)
{
	return read_rlimit(in, value, row, read_size, object);
}

static int read_rlimit_count(struct reading *in, const struct value *value,
                             const struct member *row, void *object)
{
	return read_rlimit(in, value, row, read_count, object);
}

#define RLIMIT(name) FIELD(limits.rlimits[RLIMIT_##name])

static const struct member rlimits_members[] = {
	{ "as", read_rlimit_size, RLIMIT(AS), MIB, UINT64_MAX },
	{ "core", read_rlimit_size, RLIMIT(CORE), 0, UINT64_MAX },
	{ "cpu", read_rlimit_count, RLIMIT(CPU), 1, UINT64_MAX },
	{ "data", read_rlimit_size, RLIMIT(DATA), MIB, UINT64_MAX },
	{ "fsize", read_rlimit_size, RLIMIT(FSIZE), 0, UINT64_MAX },
	{ "memlock", read_rlimit_size, RLIMIT(MEMLOCK), 0, UINT64_MAX },
	{ "msgqueue", read_rlimit_size, RLIMIT(MSGQUEUE), 0, UINT64_MAX },
	{ "nofile", read_rlimit_count, RLIMIT(NOFILE), 8, NOFILE_MAX },
	{ "nproc", read_rlimit_count, RLIMIT(NPROC), 1, UINT64_MAX },
	{ "sigpending", read_rlimit_count, RLIMIT(SIGPENDING), 0, UINT64_MAX },
	{ "stack", read_rlimit_size, RLIMIT(STACK), 64 * KIB, UINT64_MAX },
};

int read_named_rlimit(struct reading *in, const struct value *name, const struct value *value,
                      struct builder *builder)
{
	static const char prefix[] = "RLIMIT_";
	size_t len = strlen(prefix);
	char shown[SHOW_LEN];

	for (size_t i = 0; i < ARRAY_SIZE(rlimits_members); i++) {
		const struct member *row = &rlimits_members[i];
		const struct rlimit_setting *now = (void *)((char *)builder + row->offset);

		if (strncmp(name->string, prefix, len) == 0 &&
		    strcasecmp(name->string + len, row->key) == 0)
			return now->set ? 0 : row->read(in, value, row, builder);
	}
	return reading_fail(in, name, ENOTSUP,
	                    "\"%s\" is no limit that a builder may have; expected one of "
	                    "limits.rlimits in capitals, such as RLIMIT_NOFILE",
	                    show(name->string, shown));
}

static const struct member limits_members[] = {
	{ "time_sec", read_time },
	{ "silence_sec", read_count, FIELD(limits.silence_sec), 0, RECORD_TIMEOUT_SEC_MAX },
	{ "grace_sec", read_count, FIELD(limits.grace_sec), 0, GRACE_SEC_MAX },
	{ "wait_sec", read_count, FIELD(limits.wait_sec), 0, RECORD_TIMEOUT_SEC_MAX },
	{ "log", read_size, FIELD(limits.log_bytes), 1, TIB },
	{ "output", read_size, FIELD(limits.output_bytes), 1, 16 * TIB },
	{ "output_entries", read_count, FIELD(limits.output_entries), 1, 100000000 },
	{ "input", read_size, FIELD(limits.input_bytes), 1, 16 * TIB },
	{ "input_entries", read_count, FIELD(limits.input_entries), 1, 100000000 },
	{ "input_sec", read_count, FIELD(limits.input_sec), 1, RECORD_TIMEOUT_SEC_MAX },
	{ "memory", read_size, FIELD(limits.memory_bytes), MEMORY_MIN, MEMORY_MAX },
	{ "memory_high", read_size, FIELD(limits.memory_high_bytes), MEMORY_MIN, MEMORY_MAX },
	{ "swap", read_size, FIELD(limits.swap_bytes), 0, MEMORY_MAX },
	{ "cpus", read_cpus },
	{ "tasks", read_count, FIELD(limits.tasks), 1, TASKS_MAX },
	{ "io_weight", read_count, FIELD(limits.io_weight), 1, IO_WEIGHT_MAX },
	{ "rlimits", read_members, INSIDE(rlimits_members) },
	{ "scratch", read_size, FIELD(limits.scratch_bytes), MIB, MEMORY_MAX },
};

int read_limits(struct reading *in, const struct value *value, const struct member *row,
                void *object)
{
	static const struct member limits = { INSIDE(limits_members) };

	return read_members(in, value, &limits, object);
}

int read_scratch_on(struct reading *in, const struct value *value, const struct member *row,
                    void *object)
{
	static const char *const words[] = { "disk", "tmpfs" };
	struct builder *builder = object;
	size_t chosen = 0;
	int r = read_word(in, value, words, ARRAY_SIZE(words), "\"disk\" or \"tmpfs\"", &chosen);

	if (r == 0)
		builder->scratch_on_tmpfs = chosen == 1;
	return r;
}

static const struct value *find_limit(const struct reading *in, const char *key)
{
	const struct value *limits = value_member(&in->doc->root, "limits");

	return limits ? value_member(limits, key) : NULL;
}

int check_limits(struct reading *in, struct builder *builder)
{
	const struct limits *limits = &builder->limits;
	char size[TEXT_SIZE_LEN];

	if (limits->memory_bytes && limits->memory_high_bytes > limits->memory_bytes)
		(void)reading_fail(in, find_limit(in, "memory_high"), EINVAL,
		                   "memory_high is above memory; expected at most %s",
		                   text_size_json(limits->memory_bytes, size));
	if (limits->silence_sec > limits->time_max_sec)
		(void)reading_fail(
			in, find_limit(in, "silence_sec"), EINVAL,
			"it is never silent that long; expected at most time_sec: %" PRIu64,
			limits->time_max_sec);
	if (find_limit(in, "swap") && !limits->memory_bytes)
		(void)reading_fail(in, find_limit(in, "swap"), EINVAL,
		                   "a limit on swap means nothing without one on memory; expected "
		                   "the key memory too");
	if (builder->scratch_on_tmpfs && !limits->scratch_bytes)
		(void)reading_fail(in, value_member(&in->doc->root, "scratch_on"), EINVAL,
		                   "a scratch in memory needs a size; expected the key scratch in "
		                   "limits too");
	if (builder->scratch_on_tmpfs && limits->memory_bytes &&
	    limits->scratch_bytes > limits->memory_bytes + limits->swap_bytes)
		(void)reading_fail(in, find_limit(in, "scratch"), EINVAL,
		                   "a scratch in memory is a part of it; expected at most memory "
		                   "and swap: %s",
		                   text_size_json(limits->memory_bytes + limits->swap_bytes, size));
	return in->first;
}
