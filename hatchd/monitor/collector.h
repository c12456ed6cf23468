/*
 * The collector: a helper that copies some files of a request that failed, those that "keep_failed"
 * names, into a tar file of root's. It runs as the build user, to whom the tree belongs, and can
 * write nothing but that file, and no more than so many bytes.
 */
#pragma once

#include "hatchd/request/request.h"
#include "hatchd/slot/scratch.h"
#include "helper.h"
#include "lib/scan/scan.h"

/*
 * collector_start - fork it; after helper_go() it fills files_fd
 *
 * * scan      what holds one of these secrets is left out; NULL: nothing is looked for
 * size      bytes that the file may have
 * files_fd  borrowed
 */
int collector_start(const struct request *request, const struct scratch *scratch,
                    const struct scan *scan, uint64_t size, const struct account *account,
                    int files_fd, struct helper *ret, struct error *err);
