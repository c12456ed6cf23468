/* OCI bundles as roots: config.json is read into the definition that names the bundle. */
#pragma once

#include "read.h"

/*
 * bundle_parse - read a config.json from memory into a builder that was parsed and names the bundle
 *
 * file     its name for messages
 * builder  builder->root.path, and what its own definition leaves open: command, variables, mounts
 * Returns  0, or -EINVAL with FILE:LINE:COLUMN: also for each key that hatch does not support
 */
int bundle_parse(const struct config *config, const char *file, const char *text, size_t len,
                 const struct config_report *report, struct builder *builder, struct error *err);

/* bundle_load - the same from BUNDLE/config.json, which only the right people could have written */
int bundle_load(const struct config *config, const struct config_report *report,
                struct builder *builder, struct error *err);
