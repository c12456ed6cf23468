"""What a definition's "limits" hold of the machine's resources: where the kernel has the controllers of cgroup v2 by trying to
use more, elsewhere that a builder is refused rather than run without."""

import contextlib
import glob
import json
import pathlib
import re
import time

import hatchwire
from machine import SLOW, STATE, Skip, check, check_equal, check_in

PYTHON = "/usr/bin/python3"
CONTROLLERS = pathlib.Path("/sys/fs/cgroup/cgroup.controllers").read_text().split()
MIB = 1 << 20

# Takes as many mebibytes as its argument says, and touches each page of them.
TAKE_MEMORY = """import sys
taken = []
for _ in range(int(sys.argv[1])):
    taken.append(bytearray(b"x" * (1 << 20)))
print("taken", flush=True)
"""

# The same into a file.
FILL_FILE = """import sys
with open(sys.argv[1], "wb") as file:
    for _ in range(int(sys.argv[2])):
        file.write(b"x" * (1 << 20))
print("written", flush=True)
"""

WAITS = 'echo begun; until [ -e "$1" ]; do sleep 0.05; done; echo ended'


def need(*controllers):
    missing = set(controllers) - set(CONTROLLERS)
    if missing:
        raise Skip(f"this machine has no controller {', '.join(sorted(missing))}")


def limits(**values):
    return {"limits": {"time_sec": 60 * SLOW, **values}}


@contextlib.contextmanager
def bystander(m):
    """A request of another caller that runs meanwhile and must not notice anything."""
    place = m.temporary_directory()
    m.write_builder("bystander", WAITS, view={"read": [str(place)]}, **limits(memory="64M"))
    with m.client() as client:
        client.request("bystander", [str(place / "go")])
        client.receive_until("stdout")
        yield
        (place / "go").touch()
        ended = hatchwire.Result(client.receive_until("exit", "error"))
        check_equal((ended.code, ended.stdout), (0, b"ended\n"), "the other request")
        client.send({"type": "received"})


def check_oom(m, result, definition):
    check_equal((result.code, result.last.get("signal"), result.last.get("oom")), (137, 9, True), f"end of {result}")
    check_in(str(definition), result.last["hint"], "hint")
    check_in("limits.memory", result.last["hint"], "hint")
    line = m.journal_wait(HATCH_REQUEST=result.last["receipt"]["id"])[-1]
    check_equal((line["HATCH_VERDICT"], line["HATCH_OOM"], line["HATCH_EXIT"]), ("oom", "1", "137"), "the journal's line")
    check_in("limits.memory", line["HATCH_HINT"], "the journal's hint")


def running_group(_m):
    """The directory of the only group of a request."""
    groups = glob.glob("/sys/fs/cgroup/hatch.slice/*/build-*")
    check_equal(len(groups), 1, f"groups of requests in {groups}")
    return pathlib.Path(groups[0])


# --- memory -----------------------------------------------------------------------------------------------------------


# RX2
def test_a_builder_that_uses_up_its_memory_ends_alone_and_is_told_so(m):
    need("memory")
    definition = m.write_builder("hog", TAKE_MEMORY, PYTHON, **limits(memory="48M"))
    with bystander(m):
        result = m.request("hog", ["512"])
        check_oom(m, result, definition)
    peak = result.last["receipt"]["memory_peak"]
    check(40 * MIB <= peak <= 48 * MIB, f"peak is {peak}")
    check_equal(m.request("hog", ["4"]).code, 0, "a modest request afterwards")


# RX2
def test_what_is_written_to_shared_memory_counts(m):
    need("memory")
    definition = m.write_builder("hog", FILL_FILE, PYTHON, **limits(memory="48M"))
    check_oom(m, m.request("hog", ["/dev/shm/file", "128"]), definition)


# RX2
def test_what_the_kernel_can_write_back_ends_nobody(m):
    need("memory")
    m.write_builder("writer", FILL_FILE, PYTHON, **limits(memory="48M"))
    result = m.request("writer", ["/build/file", "128"])
    check_equal((result.code, result.stdout), (0, b"written\n"), f"a file larger than its memory: {result}")


def test_a_child_that_uses_up_the_memory_takes_its_builder_along(m):
    need("memory")
    script = f"{PYTHON} -c 'x = bytearray(b\"x\" * (512 << 20))'; echo survived"
    definition = m.write_builder("parent", script, **limits(memory="48M"))
    result = m.request("parent")
    check_oom(m, result, definition)
    check_equal(result.stdout, b"", "what it said after the death of its child")


def test_the_client_says_that_memory_ran_out_and_where_to_give_more(m):
    need("memory")
    definition = m.write_builder("hog", TAKE_MEMORY, PYTHON, **limits(memory="48M"))
    ran = m.run(["hatch", "run", "hog", "--", "512"])
    check_equal(ran.code, 137, "exit status")
    check_in("ran out of memory", ran.stderr, "the client's words")
    check_in(f"limits.memory in {definition}", ran.stderr, "the client's words")


def test_a_machine_without_memory_for_an_unlimited_builder_is_told_as_such(m):
    need("memory")
    m.write_builder("hog", TAKE_MEMORY, PYTHON, **limits(tasks=64))
    drop_in = pathlib.Path("/run/systemd/system/hatch.slice.d/limit.conf")
    drop_in.parent.mkdir(parents=True)
    m.after_test(lambda: m.run(["systemctl", "daemon-reload"]).ok())
    m.after_test(drop_in.parent.rmdir)
    m.after_test(drop_in.unlink)
    drop_in.write_text("[Slice]\nMemoryMax=96M\n")
    m.run(["systemctl", "daemon-reload"]).ok()
    result = m.request("hog", ["512"])
    check_equal((result.code, result.last.get("oom")), (137, True), f"end of {result}")
    check_in("hatch.slice", result.last["hint"], "hint")


def test_swap_is_used_as_far_as_the_definition_says(m):
    need("memory")
    swap = m.temporary_directory() / "swap"
    m.run(["dd", "if=/dev/zero", f"of={swap}", "bs=1M", "count=128"]).ok()
    swap.chmod(0o600)
    m.run(["mkswap", swap]).ok()
    m.run(["swapon", swap]).ok()
    m.after_test(lambda: m.run(["swapoff", swap]).ok())
    without = m.write_builder("without", TAKE_MEMORY, PYTHON, **limits(memory="48M"))
    m.write_builder("with", TAKE_MEMORY, PYTHON, **limits(memory="48M", swap="100M"))
    check_oom(m, m.request("without", ["80"]), without)
    check_equal(m.request("with", ["80"]).code, 0, "exit status with swap")


# --- processes, processors, input and output --------------------------------------------------------------------------

BOMB = """import os, time
made = 0
while True:
    try:
        if os.fork() == 0:
            time.sleep(1000)
        made += 1
    except BlockingIOError:
        break
print(made, flush=True)
"""


# RX1
def test_a_fork_bomb_is_held_and_other_requests_run(m):
    need("pids")
    m.write_builder("bomb", BOMB + "time.sleep(1000)", PYTHON, **limits(tasks=40))
    m.write_builder("hello", "echo hello")
    with m.client() as client:
        client.request("bomb")
        made = int(client.receive_until("stdout")[-1]["attachment"])
        check_equal(made, 39, "processes beside the first")
        check_equal(m.request("hello").stdout, b"hello\n", "another request meanwhile")
    line = m.journal_wait(HATCH_BUILDER="bomb", HATCH_VERDICT="cancelled")[-1]
    check_equal(line["HATCH_PIDS_PEAK"], "41", "peak, with the init of the sandbox")


# RX1
def test_a_storm_of_threads_is_held(m):
    need("pids")
    threads = """import threading, time
made = 0
try:
    while made < 1000000:
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
        made += 1
except RuntimeError:
    print(made, flush=True)
"""
    m.write_builder("threads", threads, PYTHON, **limits(tasks=40))
    result = m.request("threads")
    check_equal((result.code, result.stdout), (0, b"39\n"), f"threads: {result}")


def test_a_builder_gets_the_processor_time_of_its_definition(m):
    need("cpu")
    busy = "import time\nend = time.monotonic() + 4\nwhile time.monotonic() < end: pass"
    m.write_builder("busy", busy, PYTHON, **limits(cpus=0.2))
    result = m.request("busy")
    check_equal(result.code, 0, repr(result))
    receipt = result.last["receipt"]
    used_us = receipt["cpu_user_us"] + receipt["cpu_system_us"]
    share = used_us / 1000 / receipt["run_ms"]
    check(0.1 < share < 0.3, f"share of a processor is {share:.2f}: {receipt}")


def test_the_limits_of_a_definition_are_those_of_its_cgroup(m):
    need("memory", "cpu", "pids", "io")
    place = m.temporary_directory()
    m.write_builder("shown", WAITS, view={"read": [str(place)]},
                    **limits(memory="64M", memory_high="32M", swap="1M", cpus=1.5, tasks=100, io_weight=300))
    with m.client() as client:
        client.request("shown", [str(place / "go")])
        client.receive_until("stdout")
        group = running_group(m)
        for file, value in (("memory.max", str(64 * MIB)), ("memory.high", str(32 * MIB)), ("memory.swap.max", str(MIB)),
                            ("memory.oom.group", "1"), ("cpu.max", "150000 100000"), ("pids.max", "101"),
                            ("io.weight", "default 300")):
            check_equal((group / file).read_text().strip(), value, file)
        check_equal((group.parent / "cgroup.procs").read_text(), "", "processes in the unit's own group")
        check(len((group.parent / "server/cgroup.procs").read_text().split()) >= 4, "monitor and helpers are beside it")
        (place / "go").touch()
        check_equal(hatchwire.Result(client.receive_until("exit", "error")).code, 0, "exit status")
        client.send({"type": "received"})


def test_a_request_with_limits_whose_monitor_is_killed_is_cleared_by_the_next(m):
    need("memory", "pids")
    m.write_builder("waits", "echo begun; sleep 1000", **limits(memory="64M", tasks=10))
    m.write_builder("hello", "echo hello", **limits(memory="64M"))
    with m.client() as client:
        client.request("waits")
        client.receive_until("stdout")
        unit = m.instances()[0]
        m.run(["systemctl", "kill", "--kill-whom=main", "--signal=KILL", unit]).ok()
        m.wait_until(lambda: not m.build_processes(), "the end of the builder")
    check_equal(m.request("hello").stdout, b"hello\n", "the next request")


def test_the_service_s_own_limits_hold_for_limited_builders_too(m):
    need("pids")
    m.write_builder("bomb", BOMB, PYTHON, **limits(tasks=10000))
    drop_in = pathlib.Path("/run/systemd/system/hatchd@.service.d/limit.conf")
    drop_in.parent.mkdir(parents=True)
    m.after_test(lambda: m.run(["systemctl", "daemon-reload"]).ok())
    m.after_test(drop_in.parent.rmdir)
    m.after_test(drop_in.unlink)
    drop_in.write_text("[Service]\nTasksMax=60\n")
    m.run(["systemctl", "daemon-reload"]).ok()
    made = int(m.request("bomb").stdout)
    check(40 <= made < 60, f"processes: {made}")


# --- what is told -----------------------------------------------------------------------------------------------------

USE = """import os, subprocess, sys
x = bytearray(b"x" * (32 << 20))
with open("/build/file", "wb") as file:
    file.write(x)
    os.fsync(file.fileno())
for _ in range(200000): pass
children = [subprocess.Popen(["sleep", "0.2"]) for _ in range(5)]
for child in children: child.wait()
"""


def check_usage(m, **definition):
    m.write_builder("use", USE, PYTHON, **definition)
    result = m.request("use")
    check_equal(result.code, 0, repr(result))
    receipt = result.last["receipt"]
    check(32 * MIB <= receipt["memory_peak"] <= 160 * MIB, f"memory: {receipt}")
    check(7 <= receipt["pids_peak"] <= 20, f"processes: {receipt}")
    check(1000 <= receipt["cpu_user_us"] <= 1000 * receipt["run_ms"], f"user time: {receipt}")
    check(1000 <= receipt["cpu_system_us"] <= 1000 * receipt["run_ms"], f"system time: {receipt}")
    check(32 * MIB <= receipt["io_write_bytes"] <= 128 * MIB, f"written: {receipt}")
    line = m.journal_wait(HATCH_REQUEST=receipt["id"])[-1]
    for field, member in (("HATCH_MEMORY_PEAK", "memory_peak"), ("HATCH_PIDS_PEAK", "pids_peak"),
                          ("HATCH_CPU_USER_US", "cpu_user_us"), ("HATCH_CPU_SYSTEM_US", "cpu_system_us"),
                          ("HATCH_IO_WRITE_BYTES", "io_write_bytes")):
        check_equal(int(line[field]), receipt[member], field)


def test_the_receipt_of_a_builder_with_limits_says_what_it_used(m):
    need("memory", "cpu", "pids", "io")
    check_usage(m, **limits(memory="256M"))


def test_the_receipt_of_a_builder_without_limits_says_what_it_used(m):
    need("memory", "cpu", "pids", "io")
    check_usage(m)


def test_processor_time_is_told_on_every_machine(m):
    m.write_builder("busy", "for _ in range(1000000): pass", PYTHON)
    receipt = m.request("busy").last["receipt"]
    check(receipt["cpu_user_us"] > 1000, f"receipt: {receipt}")


# --- where the host lacks a controller --------------------------------------------------------------------------------

ASKED = {"memory": {"memory": "64M"}, "cpu": {"cpus": 1}, "pids": {"tasks": 100}, "io": {"io_weight": 50}}


def test_a_limit_that_the_host_cannot_hold_is_refused_before_a_slot_is_taken(m):
    missing = sorted(set(ASKED) - set(CONTROLLERS))
    if not missing:
        raise Skip("this machine has all controllers")
    m.write_config(queue_max=0)
    for controller in missing:
        definition = m.write_builder("limited", "echo ran", **limits(**ASKED[controller]))
        result = m.request("limited")
        check_equal(result.error, "refused", f"{controller}: {result}")
        check_in(next(iter(ASKED[controller])), result.last["message"], "message")
        check_in(f'"limits_optional": true in {definition}', result.last["hint"], "hint")
        line = m.journal_wait(HATCH_BUILDER="limited", HATCH_VERDICT="refused")[-1]
        check_equal((line["HATCH_PHASE"], "HATCH_USER" in line), ("policy", False), "phase, and whether it had a build user")
        check_in(f"host: cgroup controller {controller}: no: ", m.run(["hatchd", "--check"]).stdout, "the check")


def test_an_optional_limit_that_the_host_cannot_hold_is_left_out_and_the_journal_says_so(m):
    missing = sorted(set(ASKED) - set(CONTROLLERS))
    if not missing:
        raise Skip("this machine has all controllers")
    every = {key: value for controller in missing for key, value in ASKED[controller].items()}
    m.write_builder("limited", "echo ran", limits_optional=True, **limits(**every))
    result = m.request("limited")
    check_equal((result.code, result.stdout), (0, b"ran\n"), repr(result))
    line = m.journal_wait(HATCH_REQUEST=result.last["receipt"]["id"])[-1]
    check_equal(set(line["HATCH_LIMITS_MISSING"].split(",")), set(every), "limits that were left out")


def test_check_says_which_controllers_there_are(m):
    said = m.run(["hatchd", "--check"]).stdout
    for controller in ASKED:
        word = "yes" if controller in CONTROLLERS else "no"
        check(re.search(rf"^host: cgroup controller {controller}: {word}\b", said, re.M), f"{controller}: {said}")


# --- limits of each process -------------------------------------------------------------------------------------------


def test_resource_limits_of_processes_are_those_of_the_definition(m):
    m.write_builder("limited", "cat /proc/self/limits", **limits(rlimits={
        "nofile": 100, "nproc": 500, "core": "1M", "stack": {"soft": "1M", "hard": "unlimited"}, "fsize": "10M", "cpu": 7,
        "memlock": "32K", "as": "1G", "data": "512M", "msgqueue": 4096, "sigpending": 10}))
    said = m.request("limited").stdout.decode()
    for name, soft, hard in (
        ("Max open files", 100, 100), ("Max processes", 500, 500), ("Max core file size", MIB, MIB),
        ("Max stack size", MIB, "unlimited"), ("Max file size", 10 * MIB, 10 * MIB), ("Max cpu time", 7, 7),
        ("Max locked memory", 32 << 10, 32 << 10), ("Max address space", 1 << 30, 1 << 30), ("Max data size", 512 * MIB, 512 * MIB),
        ("Max msgqueue size", 4096, 4096), ("Max pending signals", 10, 10),
    ):
        found = re.search(rf"^{name} +(\S+) +(\S+)", said, re.M)
        check_equal(found and found.groups(), (str(soft), str(hard)), name)


def test_a_file_larger_than_its_limit_is_not_written(m):
    m.write_builder("writer", "dd if=/dev/zero of=/build/file bs=1M count=4; stat -c %s /build/file", **limits(rlimits={"fsize": "2M"}))
    check_equal(m.request("writer").stdout, str(2 * MIB).encode() + b"\n", "size of the file")


def test_a_resource_limit_above_that_of_the_service_is_refused(m):
    definition = m.write_builder("limited", "echo ran", **limits(rlimits={"memlock": "1T"}))
    result = m.request("limited")
    check_equal(result.error, "refused", repr(result))
    check_in("limits.rlimits.memlock", result.last["message"], "message")
    check_in(str(definition), result.last["message"], "message")
    check_in("LimitMEMLOCK=", result.last["hint"], "hint")
