/* What `hatchctl list` prints. The only home of cJSON. */
#pragma once

#include <stddef.h>

#include "hatchd/config/config.h"

/* print_builders - for a person, to stdout; 0 or -EIO */
int print_builders(const struct builder *builders, size_t n_builders);

/* print_builders_json - {"builders": [...]}, to stdout; 0, -EIO or -ENOMEM */
int print_builders_json(const struct builder *builders, size_t n_builders);
