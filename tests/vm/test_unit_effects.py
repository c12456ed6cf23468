"""What the unit's directives do, and what hatchd does in place of the directives that would cost too much: seen from inside
of a request, and on the server's own processes while one runs."""

import glob
import re

from machine import check, check_equal

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


def test_no_process_of_the_server_has_a_capability_while_a_builder_runs(m):
    m.write_builder("waits", "echo running; sleep 60", allow={"users": ["root"]})
    with m.client() as client:
        client.request("waits")
        client.receive_until("stdout")
        seen = {}
        for pid in processes():
            status = status_of(pid)
            seen[pid] = (status["Uid"].split("\t")[0], int(status["CapEff"], 16), int(status["CapPrm"], 16),
                         int(status["CapBnd"], 16), status["NoNewPrivs"])
        check(len(seen) >= 4, f"only these processes: {seen}")
        for pid, (uid, effective, permitted, bounding, no_new_privs) in seen.items():
            check_equal((effective, permitted, bounding, no_new_privs), (0, 0, 0, "1"), f"rights of process {pid} of uid {uid}")
        users = {uid for uid, *_ in seen.values()}
        check(len(users) == 3, f"monitor, speaker and build user should be three users: {seen}")


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
