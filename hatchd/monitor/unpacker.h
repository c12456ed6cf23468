/*
 * What turns the streams of inputs into trees: a helper (helper.h) that runs as the build user,
 * with one directory to write to and the system calls that this needs. What it reads is a
 * stranger's.
 */
#pragma once

#include "hatchd/request/inputs.h"
#include "hatchd/slot/scratch.h"
#include "helper.h"

/*
 * unpacker_start - fork it; once let go it reads those inputs that are sent, in their order
 *
 * input_fd  read end of the input pipe (speaker/chunk.h); borrowed
 * Errors of helper_finish(): BLAME_PEER -EBADMSG no stream of ours, or not what its end record
 * says, -EPIPE it did not come whole, -EFBIG, -E2BIG over a limit; BLAME_HOST what the file system
 * says
 */
int unpacker_start(const struct request *request, const struct inputs *inputs,
                   const struct scratch *scratch, const struct account *account, int input_fd,
                   struct helper *ret, struct error *err);
