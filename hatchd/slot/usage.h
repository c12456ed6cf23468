/* What a request used, as the kernel counted it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* 0 is also what a host cannot tell: it lacks a controller of cgroup v2, or its kernel a file. */
struct usage {
	uint64_t memory_peak;                   /* bytes */
	uint64_t cpu_user_us, cpu_system_us;    /* microseconds of processor time */
	uint64_t io_read_bytes, io_write_bytes; /* of block devices */
	uint64_t pids_peak;                     /* processes and threads at once */
	uint64_t oom_kills;                     /* processes killed for want of memory */
	uint64_t oom_own_limit; /* of these occasions, those at the group's own limit */
};
