/*
 * The process that looks how much a builder has in its scratch, where no file system holds the
 * limit: the build user's, outside of the sandbox, with nothing but the directories to read.
 */
#pragma once

#include "hatchd/slot/scratch.h"
#include "helper.h"

/*
 * gauge_start - fork it; after helper_go() it measures again and again, and its result comes when
 * the limit is exceeded
 *
 * The error of its result: BLAME_BUILD -EDQUOT too much in scratch, -ENOSPC the disk itself is
 * nearly full. What is not seen: files that are open but have no name, and what lies in a directory
 * that its owner may not read.
 */
int gauge_start(const struct scratch *scratch, const struct account *account, uint64_t bytes,
                struct helper *ret, struct error *err);
