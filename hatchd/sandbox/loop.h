/* A file as a block device. Source: loop(4) */
#pragma once

#include "lib/base/error.h"

enum { LOOP_NAME_MAX = 32 };

/*
 * loop_attach - a read-only loop device over a file
 *
 * The device is the file's from the moment it has one, and gone with its last user: at whatever
 * point this process is killed, nothing is left.
 *
 * file_fd  for reading; borrowed
 * name     of the file, for losetup(8) to show
 * device   its path
 * Returns  the descriptor that is its first user, or a negative errno
 * Errors   BLAME_HOST: -ENOENT, -ENODEV, -ENXIO the host has no loop devices; -EPERM the service
 *          may not use them; -EBUSY others always took them first; what loop(4) says
 */
int loop_attach(int file_fd, const char *name, char device[LOOP_NAME_MAX], struct error *err);
