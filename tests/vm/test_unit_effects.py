"""What the unit's directives do, and what hatchd does in place of the directives that would cost too much: seen from inside
of a request, and on the server's own processes while one runs."""

import contextlib
import ctypes
import glob
import os
import platform
import re
import struct
import time

from machine import Failure, Skip, check, check_equal

SOCKETS = """
import socket
for family, kind in ((socket.AF_PACKET, socket.SOCK_RAW), (socket.AF_VSOCK, socket.SOCK_STREAM), (socket.AF_ALG, socket.SOCK_SEQPACKET),
                     (socket.AF_INET, socket.SOCK_STREAM), (socket.AF_UNIX, socket.SOCK_STREAM)):
    try:
        socket.socket(family, kind).close()
        print(family.name, 'opened')
    except OSError as error:
        print(family.name, error.errno)
"""


def test_a_builder_opens_no_sockets_of_unusual_families(m):
    m.write_builder("sockets", SOCKETS, interpreter="/usr/bin/python3", allow={"users": ["root"]})
    result = m.request("sockets")
    EAFNOSUPPORT = 97
    check_equal(result.stdout.decode().split("\n")[:-1],
                [f"AF_PACKET {EAFNOSUPPORT}", f"AF_VSOCK {EAFNOSUPPORT}", f"AF_ALG {EAFNOSUPPORT}", "AF_INET opened",
                 "AF_UNIX opened"], "what the builder could open")


def processes():
    """Everything that runs below the slice, the builder included."""
    groups = glob.glob("/sys/fs/cgroup/hatch.slice/**/cgroup.procs", recursive=True)
    return [int(pid) for group in groups for pid in open(group).read().split()]


def status_of(pid):
    with open(f"/proc/{pid}/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file)


def statuses():
    """Of all that live."""
    found = {}
    for pid in processes():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found[pid] = status_of(pid)
    return found


def test_no_process_of_the_server_has_a_capability_while_a_builder_runs(m):
    m.write_builder("waits", "echo running; sleep 60", allow={"users": ["root"]})
    with m.client() as client:
        client.request("waits")
        client.receive_until("stdout")

        def rights():
            """Of each process, after its uid."""
            return {pid: (status["Uid"].split("\t")[0], int(status["CapEff"], 16), int(status["CapPrm"], 16),
                          int(status["CapBnd"], 16), status["NoNewPrivs"]) for pid, status in statuses().items()}

        def none():
            """Unless one was just forked and is still to give them up."""
            seen = rights()
            return seen if {its[1:] for its in seen.values()} == {(0, 0, 0, "1")} else None

        try:
            seen = m.wait_until(none, "processes without rights")
        except Failure:
            raise Failure(f"uids and rights of processes stay {rights()}") from None
        check(len(seen) >= 4, f"only these processes: {seen}")
        users = {uid for uid, *_ in seen.values()}
        check(len(users) == 3, f"monitor, speaker and build user should be three users: {seen}")


# ptrace(2)
PTRACE_DETACH, PTRACE_SYSCALL, PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_GET_SYSCALL_INFO = 17, 24, 0x4206, 0x4207, 0x420e
PTRACE_O_TRACESYSGOOD, SYSCALL_ENTRY, WALL = 1, 1, 0x40000000
CAPSET = {"x86_64": 126, "aarch64": 91}
LIBC = ctypes.CDLL(None, use_errno=True)


def ptrace(request, pid, address=0, data=0):
    result = LIBC.ptrace(ctypes.c_long(request), ctypes.c_long(pid), ctypes.c_void_p(address),
                         data if isinstance(data, ctypes.Array) else ctypes.c_void_p(data))
    if result < 0:
        raise OSError(ctypes.get_errno(), "ptrace")


class Held:
    """A process that stops before its next system call of one number."""

    def __init__(self, pid):
        self.pid = pid
        ptrace(PTRACE_SEIZE, pid, data=PTRACE_O_TRACESYSGOOD)
        ptrace(PTRACE_INTERRUPT, pid)
        self.await_stop()

    def await_stop(self):
        _, status = os.waitpid(self.pid, WALL)
        check(os.WIFSTOPPED(status), f"the process ended with status {status}")

    def run_until(self, number):
        info = (ctypes.c_char * 88)()
        found = None
        while found != (SYSCALL_ENTRY, number):
            ptrace(PTRACE_SYSCALL, self.pid)
            self.await_stop()
            ptrace(PTRACE_GET_SYSCALL_INFO, self.pid, len(info), info)
            found = info.raw[0], struct.unpack_from("=Q", info.raw, 24)[0]

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        ptrace(PTRACE_DETACH, self.pid)


def test_no_builder_exists_before_the_monitor_has_dropped_its_capabilities(m):
    if platform.machine() not in CAPSET:
        raise Skip("the number of capset(2) is not known here")
    m.write_builder("first", "echo running; sleep 3", allow={"users": ["root"]})
    with m.client() as client:
        client.receive_type("hello")
        monitor = [pid for pid, status in statuses().items() if status["Uid"].split("\t")[0] == "0"]
        check_equal(len(monitor), 1, "processes of root in a new instance")
        with Held(monitor[0]) as held:
            client.send({"type": "request", "version": 1, "builder": "first", "args": []})
            held.run_until(CAPSET[platform.machine()])
            # By now everything but the builder is there; it gets the time to come.
            time.sleep(1)
            names = [status["Name"] for status in statuses().values()]
            check(int(status_of(monitor[0])["CapEff"], 16) != 0, "the monitor dropped its capabilities before it was let")
        check_equal(client.receive_until("exit", "error")[-1]["type"], "exit", "the end")
        client.send({"type": "received"})
        check(all(name == "hatchd" for name in names), f"beside a monitor with capabilities there ran {names}")


def test_the_unit_s_exposure_is_what_its_comment_accepts(m):
    lines = m.run(["systemd-analyze", "security", "--no-pager", "hatchd@.service"]).stdout
    exposure = re.search(r"Overall exposure level for \S+: ([0-9.]+)", lines)
    check(exposure, f"no exposure in {lines[-300:]}")
    # Of that 0.2 for devices: hatchd itself confines each builder to its own, which systemd cannot see.
    check(float(exposure.group(1)) <= 6.5, f"exposure is {exposure.group(1)}")


def test_systemd_finds_no_fault_in_the_units(m):
    result = m.run(["systemd-analyze", "verify", "--man=no", "hatchd.socket", "hatchd@x.service", "hatch.slice"])
    faults = [line for line in (result.stdout + result.stderr).splitlines() if "hatch" in line]
    check_equal(faults, [], "complaints")
