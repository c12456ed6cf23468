/* The hook that was there before ours: run as Nix would, its output taken. */
#pragma once

#include "lib/base/buffer.h"
#include "lib/base/error.h"

enum { CHAIN_OUTPUT_MAX = 1024 * 1024 };

/*
 * chain_run - run it to its end
 *
 * program  absolute
 * words    what Nix gave to us: derivation and root; NULL-terminated
 * ret      what it printed; release with buffer_done()
 * Returns  its exit status, 128 + N after signal N, or a negative errno: BLAME_HOST what pipe(2)
 *          and fork(2) say, -EFBIG more output than CHAIN_OUTPUT_MAX
 */
int chain_run(const char *program, char **words, struct buffer *ret, struct error *err);

/*
 * chain_append - add lines of our own to what it printed, so that Nix reads both
 *
 * Nix throws a last line away that does not end, and a list of paths goes on until an empty line.
 * Returns 0 or -ENOMEM
 */
int chain_append(struct buffer *output, const char *lines);
