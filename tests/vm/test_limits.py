"""What a definition's "limits" hold of the machine's resources: where the kernel has the controllers of cgroup v2 by trying to
use more, elsewhere that a builder is refused rather than run without."""

import contextlib
import glob
import os
import pathlib
import re
import signal
import subprocess

import hatchwire
from machine import SLOW, STATE, Skip, check, check_equal, check_in, container, mounts_of_the_host, own_kernel

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
@own_kernel
def test_a_builder_that_uses_up_its_memory_ends_alone_and_is_told_so(m):
    definition = m.write_builder("hog", TAKE_MEMORY, PYTHON, **limits(memory="48M"))
    with bystander(m):
        result = m.request("hog", ["512"])
        check_oom(m, result, definition)
    peak = result.last["receipt"]["memory_peak"]
    check(40 * MIB <= peak <= 48 * MIB, f"peak is {peak}")
    check_equal(m.request("hog", ["4"]).code, 0, "a modest request afterwards")


# RX2
@own_kernel
def test_what_is_written_to_shared_memory_counts(m):
    definition = m.write_builder("hog", FILL_FILE, PYTHON, **limits(memory="48M"))
    check_oom(m, m.request("hog", ["/dev/shm/file", "128"]), definition)


# RX2
@own_kernel
def test_what_the_kernel_can_write_back_ends_nobody(m):
    m.write_builder("writer", FILL_FILE, PYTHON, **limits(memory="48M"))
    result = m.request("writer", ["/build/file", "128"])
    check_equal((result.code, result.stdout), (0, b"written\n"), f"a file larger than its memory: {result}")


@own_kernel
def test_a_child_that_uses_up_the_memory_takes_its_builder_along(m):
    script = f"{PYTHON} -c 'x = bytearray(b\"x\" * (512 << 20))'; echo survived"
    definition = m.write_builder("parent", script, **limits(memory="48M"))
    result = m.request("parent")
    check_oom(m, result, definition)
    check_equal(result.stdout, b"", "what it said after the death of its child")


@own_kernel
def test_the_client_says_that_memory_ran_out_and_where_to_give_more(m):
    definition = m.write_builder("hog", TAKE_MEMORY, PYTHON, **limits(memory="48M"))
    ran = m.run(["hatch", "run", "hog", "--", "512"])
    check_equal(ran.code, 137, "exit status")
    check_in("ran out of memory", ran.stderr, "the client's words")
    check_in(f"limits.memory in {definition}", ran.stderr, "the client's words")


@own_kernel
def test_a_machine_without_memory_for_an_unlimited_builder_is_told_as_such(m):
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


@own_kernel
def test_swap_is_used_as_far_as_the_definition_says(m):
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
@own_kernel
def test_a_fork_bomb_is_held_and_other_requests_run(m):
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
@own_kernel
def test_a_storm_of_threads_is_held(m):
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


@own_kernel
def test_a_builder_gets_the_processor_time_of_its_definition(m):
    busy = "import time\nend = time.monotonic() + 4\nwhile time.monotonic() < end: pass"
    m.write_builder("busy", busy, PYTHON, **limits(cpus=0.2))
    result = m.request("busy")
    check_equal(result.code, 0, repr(result))
    receipt = result.last["receipt"]
    used_us = receipt["cpu_user_us"] + receipt["cpu_system_us"]
    share = used_us / 1000 / receipt["run_ms"]
    check(0.1 < share < 0.3, f"share of a processor is {share:.2f}: {receipt}")


@own_kernel
def test_the_limits_of_a_definition_are_those_of_its_cgroup(m):
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


@own_kernel
def test_a_request_with_limits_whose_monitor_is_killed_is_cleared_by_the_next(m):
    m.write_builder("waits", "echo begun; sleep 1000", **limits(memory="64M", tasks=10))
    m.write_builder("hello", "echo hello", **limits(memory="64M"))
    with m.client() as client:
        client.request("waits")
        client.receive_until("stdout")
        unit = m.instances()[0]
        m.run(["systemctl", "kill", "--kill-whom=main", "--signal=KILL", unit]).ok()
        m.wait_until(lambda: not m.build_processes(), "the end of the builder")
    check_equal(m.request("hello").stdout, b"hello\n", "the next request")


@own_kernel
def test_the_service_s_own_limits_hold_for_limited_builders_too(m):
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


@own_kernel
def test_the_receipt_of_a_builder_with_limits_says_what_it_used(m):
    check_usage(m, **limits(memory="256M"))


@own_kernel
def test_the_receipt_of_a_builder_without_limits_says_what_it_used(m):
    check_usage(m)


def test_processor_time_is_told_on_every_machine(m):
    m.write_builder("busy", "for _ in range(1000000): pass", PYTHON)
    receipt = m.request("busy").last["receipt"]
    check(receipt["cpu_user_us"] > 1000, f"receipt: {receipt}")


# --- where the host lacks a controller --------------------------------------------------------------------------------

ASKED = {"memory": {"memory": "64M"}, "cpu": {"cpus": 1}, "pids": {"tasks": 100}, "io": {"io_weight": 50}}


@container
def test_a_limit_that_the_host_cannot_hold_is_refused_before_a_slot_is_taken(m):
    missing = sorted(set(ASKED) - set(CONTROLLERS))
    check(missing, "this machine has all controllers")
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
        for command in (["hatchd", "--check"], ["hatchctl", "check"]):
            said = m.run(command)
            words = re.escape(str(definition)) + r":\d+:\d+: the limits of builder `limited`: this host cannot hold "
            check(re.search(words + next(iter(ASKED[controller])), said.stdout + said.stderr), repr(said))
            check_equal(said.code, 78, f"exit status of {command}")


@container
def test_an_optional_limit_that_the_host_cannot_hold_is_left_out_and_the_journal_says_so(m):
    missing = sorted(set(ASKED) - set(CONTROLLERS))
    check(missing, "this machine has all controllers")
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


# --- scratch ----------------------------------------------------------------------------------------------------------

# Fills a file, then makes empty ones, as far as it can; tells how far.
FILL = """import os, sys, time
sent = 0
try:
    with open(sys.argv[1] + "/file", "wb", buffering=0) as file:
        while sent < 128:
            file.write(b"x" * (1 << 20))
            sent += 1
except OSError as error:
    print("file", error.errno)
os.unlink(sys.argv[1] + "/file")
made = 0
try:
    while made < 20000:
        os.close(os.open(f"{sys.argv[1]}/{made}", os.O_CREAT | os.O_WRONLY))
        made += 1
except OSError as error:
    print("names", error.errno)
print("sent", sent, "made", made, flush=True)
"""
ENOSPC, EDQUOT = 28, 122


def check_held(m, way, errno, **definition):
    """A file and a heap of names in each place where a builder writes."""
    m.write_builder("filler", FILL, PYTHON, **limits(scratch="16M"), **definition)
    for place in ("/build", "/tmp", "/build/outputs"):
        result = m.request("filler", [place])
        check_equal(result.code, 0, repr(result))
        words = result.stdout.decode().split()
        check_equal(words[:4], ["file", str(errno), "names", str(errno)], f"errors in {place}: {words}")
        sent, made = int(words[5]), int(words[7])
        check(13 <= sent <= 16, f"mebibytes in {place}: {sent}")
        check(4000 <= made <= 16 * 256 + 1024, f"files in {place}: {made}")
        line = m.journal_wait(HATCH_REQUEST=result.last["receipt"]["id"])[-1]
        check_equal(line["HATCH_SCRATCH_LIMIT"], way, "what held it")


# RX3
def test_a_scratch_in_memory_holds_as_much_as_its_definition_says(m):
    check_held(m, "tmpfs", ENOSPC, scratch_on="tmpfs")


# MO8
def test_a_scratch_in_memory_is_mounted_nowhere_on_the_host(m):
    place = m.temporary_directory()
    m.write_builder("waits", WAITS, view={"read": [str(place)]}, scratch_on="tmpfs", **limits(scratch="16M"))
    before = mounts_of_the_host()
    with m.client() as client:
        client.request("waits", [str(place / "go")])
        client.receive_until("stdout")
        check_equal(mounts_of_the_host(), before, "mounts of the host")
        [scratch] = (STATE / "scratch").iterdir()
        check_equal(list(scratch.iterdir()), [], "what lies on disk")
        m.run(["systemctl", "kill", "--kill-whom=main", "--signal=KILL", m.instances()[0]]).ok()
        m.wait_until(lambda: not m.build_processes(), "the end of the builder")
    check_equal(mounts_of_the_host(), before, "mounts of the host after a crash")
    m.write_builder("hello", "echo hello")
    check_equal(m.request("hello").stdout, b"hello\n", "the next request")


def test_outputs_of_a_scratch_in_memory_arrive(m):
    script = 'mkdir "$out" && echo content >"$out/file" && dd if=/dev/zero of="$out/large" bs=1M count=3 2>&1'
    m.write_builder("maker", script, scratch_on="tmpfs", **limits(scratch="16M"))
    result = m.nix_build(m.hatch_derivation("in-memory", "maker")).ok()
    out = pathlib.Path(result.lines()[-1])
    check_equal((out / "file").read_text(), "content\n", "file")
    check_equal((out / "large").stat().st_size, 3 * MIB, "size of the large file")


def test_a_builder_that_fails_for_a_full_scratch_is_told_which_key_allows_no_more(m):
    definition = m.write_builder("filler", "dd if=/dev/zero of=/build/file bs=1M", scratch_on="tmpfs", **limits(scratch="4M"))
    result = m.request("filler")
    check_equal(result.code, 1, repr(result))
    check_in(f"limits.scratch in {definition}", result.last["hint"], "hint")


# RX2
@own_kernel
def test_a_scratch_in_memory_counts_as_memory(m):
    m.write_builder("hog", TAKE_MEMORY + FILL_FILE.replace("argv[1]", "argv[2]").replace("argv[2])):", "argv[3])):"), PYTHON,
                    scratch_on="tmpfs", **limits(memory="48M", scratch="40M"))
    check_equal(m.request("hog", ["24", "/build/file", "36"]).last.get("oom"), True, "both together")
    check_equal(m.request("hog", ["4", "/build/file", "20"]).code, 0, "a little of both")


# RX8
def test_an_output_of_very_many_names_is_refused_by_its_entries_or_held_by_scratch(m):
    make = "import os\nos.mkdir(os.environ['out'])\nfor i in range(30000): os.mkdir(f\"{os.environ['out']}/{i:0255}\")"
    m.write_builder("wide", make, PYTHON, scratch_on="tmpfs", **limits(scratch="256M", output_entries=20000))
    result = m.nix_build(m.hatch_derivation("wide", "wide"))
    check(result.code != 0, "an output above its limit arrived")
    line = m.journal_wait(HATCH_BUILDER="wide")[-1]
    check_equal(line["HATCH_VERDICT"], "limit", "verdict")
    m.write_builder("narrow", make, PYTHON, scratch_on="tmpfs", **limits(scratch="64M", output_entries=20000))
    check(m.nix_build(m.hatch_derivation("narrow", "narrow")).code != 0, "a directory without room for its names arrived")
    check_equal(m.journal_wait(HATCH_BUILDER="narrow")[-1]["HATCH_VERDICT"], "failed", "verdict")


def need_watcher():
    if "watcher" not in scratch_way():
        raise Skip("the state directory has a project quota")


def scratch_way():
    return subprocess.run(["hatchd", "--check"], stdout=subprocess.PIPE, text=True).stdout.split("limit on scratch: ")[1]


# RX3
def test_a_watcher_ends_a_builder_with_too_much_in_its_scratch(m):
    need_watcher()
    cases = {
        "bytes": "dd if=/dev/zero of=/tmp/file bs=1M count=16; sync; sleep 100",
        "in pieces": "mkdir /build/a; for i in $(seq 10); do dd if=/dev/zero of=/build/a/$i bs=1M count=1; done; sleep 100",
        "names": "import os, time\nfor i in range(1500): os.mkdir(f'/build/{i}')\ntime.sleep(100)",
        "depth": "import os, time\nfor i in range(1000): os.mkdir('d'); os.chdir('d')\ntime.sleep(100)",
    }
    for what, script in cases.items():
        definition = m.write_builder("filler", script, PYTHON if "import" in script else "/bin/sh", **limits(scratch="4M"))
        result = m.request("filler")
        check_equal(result.error, "limit", f"{what}: {result}")
        check_in("scratch", result.last["message"], what)
        check_in(f"limits.scratch in {definition} allows no more", result.last["hint"], what)
        line = m.journal_wait(HATCH_BUILDER="filler", HATCH_VERDICT="limit")[-1]
        check_equal(line["HATCH_SCRATCH_LIMIT"], "watcher", "what held it")
        m.wait_until(lambda: not m.instances(), "the removal of what it made")


def test_a_watcher_does_not_wait_for_the_builder(m):
    need_watcher()
    m.write_builder("never", "echo begun", inputs=True, before={"command": ["/bin/sleep", "60"], "time_sec": 120}, **limits(scratch="1M"))
    # It comes in less time than there is between two looks.
    large = m.temporary_directory() / "large"
    large.write_bytes(b"x" * 2 * MIB)
    result = m.run(["hatch", "run", f"-ix={large}", "never"])
    check(result.code == 125 and "limits.scratch" in result.stderr and "begun" not in result.stdout, f"{result.stdout}{result.stderr}")
    line = m.journal_wait(HATCH_BUILDER="never", HATCH_VERDICT="limit")[-1]
    check_in(line["HATCH_PHASE"], ("inputs", "before"), "HATCH_PHASE")


def test_a_watcher_lets_a_builder_be_that_keeps_to_its_limit(m):
    need_watcher()
    script = """for round in 1 2 3 4; do dd if=/dev/zero of=/build/file bs=1M count=12 2>/dev/null; sleep 0.4
    mkdir -p /build/d; touch /build/d/$round; chmod 0 /build/d; chmod 755 /build/d; done; ln /build/file /build/second; sleep 1; echo over"""
    m.write_builder("modest", script, **limits(scratch="16M"))
    result = m.request("modest")
    check_equal((result.code, result.stdout), (0, b"over\n"), repr(result))


def pollers(m):
    """Helpers of the server that wait for a moment or for each other. Between two such waits one of them looks around."""
    found = []
    for pid in m.build_processes():
        with contextlib.suppress(OSError):  # it has ended
            name = pathlib.Path(f"/proc/{pid}/cmdline").read_text()
            place = pathlib.Path(f"/proc/{pid}/wchan").read_text()
            if "hatchd" in name and place.startswith(("poll_schedule_timeout", "do_poll", "do_sys_poll")):
                found.append(pid)
    return found


def test_a_watcher_that_is_killed_takes_its_request_along(m):
    need_watcher()
    m.write_builder("waits", "echo begun; sleep 100", **limits(scratch="16M"))
    with m.client() as client:
        client.request("waits")
        client.receive_until("stdout")
        for pid in m.wait_until(lambda: pollers(m), "a process that watches"):
            os.kill(pid, signal.SIGKILL)
        check_equal(hatchwire.Result(client.receive_until("exit", "error")).error, "server-failed", "end")


def mount_with_quota(m):
    """A file system with project quota in the place of the state directory, for this test."""
    image = m.temporary_directory() / "image"
    with open(image, "wb") as file:
        file.truncate(256 * MIB)
    options = ["-t", "ext4", "-O", "project,quota", "-E", "quotatype=prjquota,lazy_itable_init=1"]
    m.run(["mke2fs", "-q", *options, image]).ok()
    m.run(["modprobe", "loop"]).ok()
    m.run(["mount", "-o", "loop,prjquota", image, STATE]).ok()
    m.after_test(lambda: m.wait_until(lambda: not m.instances() and m.run(["umount", STATE]).code == 0, "the end of the mount"))
    STATE.chmod(0o700)


# RX3
@own_kernel
def test_a_project_quota_holds_as_much_as_the_definition_says(m):
    mount_with_quota(m)
    check_in("quota", scratch_way(), "what the check says")
    check_held(m, "quota", EDQUOT)


LIFT = """import array, fcntl, os, struct
FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR, FS_IOC_SETFLAGS, FS_IOC_GETFLAGS = 0x801C581F, 0x401C5820, 0x40086602, 0x80086601
os.mkdir("/build/free")
fd = os.open("/build/free", os.O_RDONLY)
old = bytearray(28)
fcntl.ioctl(fd, FS_IOC_FSGETXATTR, old)
flags, extent, n, project = struct.unpack_from("<4I", old)
print("project", project)
for name, number, value in (("project", FS_IOC_FSSETXATTR, struct.pack("<4I12x", flags & ~0x200, extent, n, 0)),
                            ("flags", FS_IOC_SETFLAGS, struct.pack("<Q", 0))):
    try:
        fcntl.ioctl(fd, number, bytearray(value))
        print(name, "changed")
    except OSError as error:
        print(name, "refused", error.errno)
with open("/build/free/file", "wb", buffering=0) as file:
    try:
        for i in range(128): file.write(b"x" * (1 << 20))
        print("written")
    except OSError as error:
        print("held", error.errno)
"""


@own_kernel
def test_a_builder_cannot_leave_its_project(m):
    mount_with_quota(m)
    for definition in ({}, {"uid_map": "root"}, {"uid_map": "root", "seccomp": "none"}):
        m.write_builder("lifts", LIFT, PYTHON, **limits(scratch="16M"), **definition)
        said = m.request("lifts").stdout.decode()
        check(re.match(r"project 17448304\d\d\nproject refused \d+\n", said), f"{definition}: {said}")
        check("flags refused" in said or definition.get("seccomp") == "none", f"{definition}: {said}")
        check_in(f"held {EDQUOT}", said, f"{definition}")


@own_kernel
def test_a_builder_that_nothing_keeps_from_leaving_its_project_is_watched(m):
    mount_with_quota(m)
    m.write_builder("free", LIFT + "import time; time.sleep(100)", PYTHON, seccomp="none", **limits(scratch="16M"))
    result = m.request("free")
    check_equal(result.error, "limit", repr(result))
    line = m.journal_wait(HATCH_BUILDER="free", HATCH_VERDICT="limit")[-1]
    check_equal(line["HATCH_SCRATCH_LIMIT"], "watcher", "what held it")


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
