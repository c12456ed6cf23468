/* What our programs do with their own process, and with their children. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "error.h"

/* process_open_streams - where a standard stream is closed make it /dev/null: what is opened later
 * must never become one by accident. Ends the process if it cannot */
void process_open_streams(void);

/* process_seed - a secret number for tables of a stranger's words, without a system call: for
 * processes that may not open files, too. 0: the kernel gave none */
size_t process_seed(void);

/*
 * process_fork - fork a child that has something to say
 *
 * ret_fd   in the child the writing end of a pipe, and in the parent the reading end
 * Returns  as fork(2): 0 in the child, its pid in the parent; or a negative errno
 */
pid_t process_fork(int *ret_fd, struct error *err);

/* process_wait - wait for the end of a child, whatever signals come. Returns its status as of
 * wait(2), or a negative errno */
int process_wait(pid_t pid);
