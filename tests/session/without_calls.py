#!/usr/bin/env python3
"""Run a program on a kernel that lacks some system calls, as an older one would: they fail with ENOSYS.

    without_calls.py NUMBER[,NUMBER...] PROGRAM ARGS...

The process stays the same one, so sockets passed by LISTEN_PID still are for it.
"""

import ctypes
import os
import struct
import sys

ENOSYS = 38
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO = 0x7FFF0000, 0x00050000


def program(numbers):
    """Classic BPF (seccomp(2)): load the number, compare, one verdict for a match and one for the rest."""
    code = [(LOAD, 0, 0, 0)]
    for i, number in enumerate(numbers):
        code.append((JUMP_EQUAL, len(numbers) - i, 0, number))
    code += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, ERRNO | ENOSYS)]
    return code


def main():
    code = program([int(n) for n in sys.argv[1].split(",")])
    blob = b"".join(struct.pack("HBBI", *row) for row in code)
    memory = ctypes.create_string_buffer(blob)
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(memory)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0):
        sys.exit(f"without_calls: {os.strerror(ctypes.get_errno())}")
    os.execv(sys.argv[2], sys.argv[2:])


main()
