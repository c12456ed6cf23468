"""What is left by a server that was killed, a machine that lost power, a disk that is full; and by 1000 requests: nothing."""

import contextlib
import os
import pathlib
import shutil
import signal
import time

import attack
import hatchwire
from machine import PATIENCE, STATE, Snapshot, check, check_equal, check_in

POOL = STATE / "pool"
SCRATCH = STATE / "scratch"

# For the removal of thousands of files and directories: some disks take milliseconds for each.
MUCH = 4 * PATIENCE

LITTERS = (
    "trap '' TERM; setsid sleep 1000 & mkdir -p /build/a/b /tmp/c \"$out/d\"; echo x >/build/a/b/file; echo y >/tmp/c/file\n"
    'echo z >"$out/d/file"; chmod 0 /build/a/b /tmp/c; echo begun; sleep 1000'
)


def records():
    """Lock files that say what their holder has made: name to content."""
    return {path.name: path.read_text() for path in POOL.glob("hatchbld*") if path.stat().st_size > 0}


def scratches():
    return sorted(path.name for path in SCRATCH.iterdir())


def groups():
    return [str(path) for path in pathlib.Path("/sys/fs/cgroup/hatch.slice").glob("hatchd@*")]


def start_litterer(m):
    """A request whose builder has made files everywhere and runs; returns its client."""
    m.write_builder("litters", LITTERS)
    client = m.client()
    m.after_test(client.close)
    client.request("litters", outputs={"out": None})
    client.receive_until("stdout")
    return client


def kill_monitors(m):
    pids = m.monitors()
    check(pids, "no instance runs")
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def check_cleared_by_next_request(m):
    m.write_builder("next", "id -un; find /build /tmp -mindepth 1 | grep -vc ^/build/outputs")
    result = m.request("next")
    check_equal(result.code is not None, True, repr(result))
    check_equal(result.stdout.split()[1], b"0", "files that the next builder finds")
    m.wait_until(lambda: not m.instances(), "the end of the next request")
    check_equal(scratches(), [], "scratch")
    check_equal(records(), {}, "records in locks")
    check_equal(groups(), [], "cgroups")
    return result


# --- killed servers ---------------------------------------------------------------------------------------------------


def test_a_killed_server_takes_its_builder_along_and_the_next_request_clears_the_rest(m):
    client = start_litterer(m)
    check(len(m.build_processes()) >= 3, "too few processes")
    before = scratches()
    cursor = m.journal_cursor()
    kill_monitors(m)
    m.wait_until(lambda: not m.build_processes(), "the death of the builder and its children")
    with contextlib.suppress(OSError, hatchwire.Ended):
        last = client.receive_until("exit", "error")[-1]
        check(last["type"] == "error" or last["code"] != 0, f"the client reads success: {last}")
    # Else the rest of this test would show nothing.
    check_equal(scratches(), before, "scratch after the kill")
    check_equal(len(records()), 1, "records in locks")
    check_cleared_by_next_request(m)
    cleared = " ".join(line["MESSAGE"] for line in m.journal_wait(cursor, count=2, SYSLOG_IDENTIFIER="hatchd"))
    check_in("cleared what a killed request", cleared, "the journal")


def test_many_servers_killed_at_once_are_cleared_by_one_request(m):
    for _ in range(6):
        start_litterer(m)
    kill_monitors(m)
    m.wait_until(lambda: not m.build_processes(), "the death of all builders")
    check_equal(len(scratches()), 6, "scratches after the kill")
    check_cleared_by_next_request(m)


def test_a_client_of_a_killed_server_fails(m):
    m.write_builder("slow", 'echo content >"$out"; echo begun; sleep 60')
    place = m.temporary_directory() / "result"
    running = m.start(["hatch", "run", "--output", f"out={place}", "slow"])
    m.wait_until(lambda: b"begun" in running.stdout(), "the first line")
    kill_monitors(m)
    ended = running.wait()
    check_equal(ended.code, 125, "exit status")
    check_in("closed the connection", ended.stderr, "message")
    check(not place.exists(), "there is an output")
    check_cleared_by_next_request(m)


def test_a_slot_of_a_killed_server_goes_to_who_waits_for_it(m):
    m.run(["groupadd", "hatch-one"]).ok()
    m.after_test(lambda: m.run(["groupdel", "hatch-one"]).ok())
    m.run(["gpasswd", "--members", "hatchbld1", "hatch-one"]).ok()
    m.write_config(build_users_group="hatch-one")
    m.write_builder("quick", "echo done")

    def attempt():
        start_litterer(m)
        [victim] = m.monitors()
        with m.client() as waiting:
            waiting.request("quick")
            waiting.receive_until("queued")
            os.kill(victim, signal.SIGKILL)
            begun = time.monotonic()
            result = hatchwire.Result(waiting.receive_until("exit", "error"))
            waited = time.monotonic() - begun
            waiting.send({"type": "received"})
        check_equal((result.code, result.stdout), (0, b"done\n"), repr(result))
        m.wait_until(lambda: not m.instances(), "the end")
        return waited

    m.in_time(3 * m.slow, attempt)
    check_equal((scratches(), records()), ([], {}), "what is left")


def test_a_killed_server_in_the_line_makes_nobody_wait(m):
    m.run(["groupadd", "hatch-one"]).ok()
    m.after_test(lambda: m.run(["groupdel", "hatch-one"]).ok())
    m.run(["gpasswd", "--members", "hatchbld1", "hatch-one"]).ok()
    m.write_config(build_users_group="hatch-one")
    place = m.temporary_directory()
    m.write_builder("waits", f"echo begun; until [ -e {place}/go ]; do sleep 0.02; done", view={"read": [str(place)]})
    clients, monitors = [], set()
    for number in range(3):
        client = m.client()
        m.after_test(client.close)
        clients.append(client)
        client.request("waits")
        client.receive_until("queued" if number else "started")
        [new] = set(m.monitors()) - monitors
        monitors.add(new)
        if number == 1:
            victim = new
    os.kill(victim, signal.SIGKILL)
    (place / "go").touch()
    for client in (clients[0], clients[2]):
        check_equal(hatchwire.Result(client.receive_until("exit", "error")).code, 0, "code")
        client.send({"type": "received"})
    m.wait_until(lambda: not m.instances(), "the end")
    check_equal(list((POOL / "queue").iterdir()), [], "the queue")


def test_servers_killed_at_any_moment_leave_nothing_that_the_next_does_not_clear(m):
    m.write_builder("brief", 'mkdir "$out"; head -c 300000 /dev/zero >"$out/file"; chmod 0 "$out"; sleep 0.02')
    killed = 0
    for step in range(25):
        with m.client() as client:
            client.request("brief", outputs={"out": None})
            time.sleep(step * 0.004 * m.slow)
            for pid in m.monitors():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed += 1
            with contextlib.suppress(OSError, hatchwire.Ended):
                last = client.receive_until("exit", "error")[-1]
        m.wait_until(lambda: not m.build_processes(), "the death of the builder")
    check(killed >= 10, f"only {killed} were killed in time")
    check_cleared_by_next_request(m)
    check_equal(list((POOL / "queue").iterdir()), [], "the queue")


# --- a machine that lost power ----------------------------------------------------------------------------------------


def freeze_leftovers(m):
    """What power loss leaves on disk while requests run: files of all of them, and no process."""
    for _ in range(2):
        start_litterer(m)
    copy = m.temporary_directory() / "state"
    m.run(["cp", "-a", "--", STATE, copy]).ok()
    for pid in m.monitors():
        os.kill(pid, signal.SIGTERM)
    m.wait_until(lambda: not m.instances(), "the end of both")
    check_equal(scratches(), [], "scratch after an orderly end")
    for path in (POOL, SCRATCH):
        m.run(["rm", "-r", "--", path]).ok()
        m.run(["cp", "-a", "--", copy / path.name, path]).ok()
    check_equal((len(scratches()), len(records())), (2, 2), "scratches and records after power loss")


def test_what_a_lost_machine_left_is_cleared_by_the_first_request(m):
    freeze_leftovers(m)
    (POOL / "queue" / "17").touch(0o600)
    check_cleared_by_next_request(m)
    check_equal(list((POOL / "queue").iterdir()), [], "the queue")


def test_scratch_that_no_lock_speaks_of_is_cleared_at_boot(m):
    freeze_leftovers(m)
    for path in POOL.glob("hatchbld*"):
        path.write_text("")
    m.run(["systemd-tmpfiles", "--boot", "--remove", "--create", "hatch.conf"]).ok()
    check_equal(scratches(), [], "scratch")
    check_cleared_by_next_request(m)


def test_a_lock_file_that_nobody_understands_costs_one_slot_and_is_told(m):
    m.write_builder("quick", "id -un")
    m.request("quick")
    m.wait_until(lambda: not m.instances(), "the end")
    lock = POOL / "hatchbld1"
    check(lock.exists(), f"{lock} is not there")
    lock.write_text("half a rec")
    m.after_test(lambda: lock.write_text(""))
    cursor = m.journal_cursor()
    for _ in range(2):
        user = m.request("quick").stdout.decode().strip()
        check(user in m.build_users() and user != "hatchbld1", f"the builder was {user!r}")
    told = " ".join(line["MESSAGE"] for line in m.journal_wait(cursor, count=4, SYSLOG_IDENTIFIER="hatchd"))
    check_in("hatchbld1", told, "the journal")


# --- a full disk ------------------------------------------------------------------------------------------------------


def small_disk(m, megabytes):
    """The state directory becomes a file system of its own, of this size."""
    m.wait_until(lambda: not m.instances(), "no instance")
    m.run(["mount", "-t", "tmpfs", "-o", f"mode=700,size={megabytes}m", "none", STATE]).ok()
    m.after_test(lambda: m.run(["umount", STATE]).ok())
    m.after_test(lambda: m.wait_until(lambda: not m.instances(), "no instance"))


def test_a_builder_that_fills_the_disk_fails_with_its_own_words_and_the_next_works(m):
    small_disk(m, 4)
    m.write_builder("fills", 'head -c 20000000 /dev/zero >"$out"')
    m.write_builder("modest", 'echo content >"$out"')
    for _ in range(3):
        result = m.request("fills", outputs={"out": None})
        check(result.code not in (0, None), repr(result))
        check_in(b"No space left on device", result.stderr, "log")
        check_equal(m.request("modest", outputs={"out": None}).code, 0, "the next request")
    m.wait_until(lambda: not m.instances(), "the end of all")
    check_equal((scratches(), records()), ([], {}), "what is left")


def test_a_full_disk_is_told_to_the_operator_and_the_server_works_again_when_it_is_not(m):
    small_disk(m, 4)
    m.write_builder("modest", 'echo content >"$out"')
    check_equal(m.request("modest", outputs={"out": None}).code, 0, "a request before")
    m.wait_until(lambda: not m.instances(), "its end")
    ballast = STATE / "ballast"
    with contextlib.suppress(OSError), open(ballast, "wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    cursor = m.journal_cursor()
    result = m.request("modest", outputs={"out": None})
    check(result.code != 0, f"it worked on a full disk: {result}")
    [line] = m.journal_wait(cursor, HATCH_BUILDER="modest")
    if result.error:
        check_equal(result.error, "server-failed", repr(result))
        check_in("No space left on device", line["MESSAGE"], "the journal")
    else:
        check_in(b"No space left on device", result.stderr, "log")
    ballast.unlink()
    check_equal(m.request("modest", outputs={"out": None}).code, 0, "a request afterwards")
    m.wait_until(lambda: not m.instances(), "its end")
    check_equal((scratches(), records()), ([], {}), "what is left")


def test_a_disk_without_free_inodes_is_told_and_leaves_nothing(m):
    small_disk(m, 4)
    m.run(["mount", "-o", "remount,nr_inodes=40", STATE]).ok()
    m.write_builder("modest", 'echo content >"$out"')
    check_equal(m.request("modest", outputs={"out": None}).code, 0, "a request before")
    m.wait_until(lambda: not m.instances(), "its end")
    ballast = STATE / "ballast"
    ballast.mkdir()
    with contextlib.suppress(OSError):
        for number in range(100):
            (ballast / str(number)).touch()
    for free in range(6):
        cursor = m.journal_cursor()
        result = m.request("modest", outputs={"out": None})
        check(result.code != 0, f"it worked with {free} inodes: {result}")
        if result.error == "server-failed":
            check_in("No space left on device", m.journal_wait(cursor, HATCH_BUILDER="modest")[0]["MESSAGE"], "the journal")
        m.wait_until(lambda: not m.instances(), "its end")
        check_equal((scratches(), records()), ([], {}), f"what is left with {free} inodes")
        (ballast / str(free)).unlink()
    shutil.rmtree(ballast)
    check_equal(m.request("modest", outputs={"out": None}).code, 0, "a request afterwards")


# --- trees that are hard to remove ------------------------------------------------------------------------------------


def test_whatever_a_builder_leaves_in_its_places_is_removed(m):
    m.write_builder(
        "messy",
        "import os, socket\n"
        "for place in ('/build', '/tmp', '/dev/shm', '/nix/store'):\n"
        "    os.chdir(place)\n"
        "    top = '0123456789abcdfghijklmnpqrsvwxyz-messy' if place == '/nix/store' else 'messy'\n"
        "    os.mkdir(top); os.chdir(top)\n"
        "    os.mkfifo('fifo'); socket.socket(socket.AF_UNIX).bind('socket')\n"
        "    os.symlink('/etc/passwd', 'link'); open('-rf', 'w').close(); open(b'\\xff\\n', 'w').close()\n"
        "    os.mkdir('shut'); open('shut/in', 'w').close(); os.chmod('shut', 0)\n"
        "    for _ in range(600):\n"
        "        os.mkdir('d' * 100); os.chdir('d' * 100)\n"
        "    os.chmod('.', 0)\n"
        "open(os.environ['out'], 'w').close()\n"
        "print('made')\n",
        "/usr/bin/python3",
    )
    m.nix_instantiate(m.derivation("any"))  # there is a store
    result = m.request("messy", outputs={"out": "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-out"})
    check_equal((result.code, result.stdout), (0, b"made\n"), repr(result))
    m.wait_until(lambda: not m.instances(), "the end", MUCH)
    check_equal((scratches(), records()), ([], {}), "what is left")


def test_ipc_objects_of_a_builder_go_with_it(m):
    m.write_builder(
        "shares",
        "import ctypes, os\n"
        "libc = ctypes.CDLL(None)\n"
        "made = [libc.shmget(0, 4096, 0o1600), libc.semget(0, 1, 0o1600), libc.msgget(0, 0o1600)]\n"
        "open('/dev/shm/mine', 'w').close()\n"
        "print(*('made' if id >= 0 else 'refused' for id in made))\n",
        "/usr/bin/python3",
    )
    # That nothing of them is left on the machine is what the harness looks at after each test.
    check_equal(m.request("shares").stdout, b"made made made\n", "what it makes")


def test_no_file_of_a_build_user_is_left_anywhere(m):
    places = "/tmp /var/tmp /dev/shm /build /run /etc /usr /"
    m.write_builder("roams", f"for d in {places}; do echo x >$d/mine; done 2>/dev/null; cat /tmp/mine")
    check_equal(m.request("roams").stdout, b"x\n", "its own file")
    m.wait_until(lambda: not m.instances(), "the end")
    names = " -o ".join(f"-uid {uid}" for uid in m.build_users().values()).split()
    found = m.run(["find", "/", "-xdev", "(", *names, ")", "-print"]).stdout.split()
    check_equal(found, [], "files of build users")


# --- 1000 in a row ----------------------------------------------------------------------------------------------------


def descriptors_of_systemd():
    return len(os.listdir("/proc/1/fd"))


def test_a_thousand_requests_in_a_row_leave_nothing(m):
    m.write_builder("tiny", 'echo "$1"; echo "$1" >"$out"')
    m.request("tiny", ["0"], outputs={"out": None})
    m.wait_until(lambda: not m.instances(), "the end of the first")
    before, descriptors = Snapshot(), descriptors_of_systemd()
    begun = time.monotonic()
    for number in range(1000):
        result = m.request("tiny", [str(number)], outputs={"out": None})
        check_equal((result.code, result.stdout), (0, b"%d\n" % number), f"request {number}: {result}")
    seconds = time.monotonic() - begun
    print(f"1000 requests in a row: {seconds:.1f} s", flush=True)
    m.wait_until(lambda: not m.instances(), "the end of all instances")
    check_equal(m.left_behind(before), [], "left behind")
    check(descriptors_of_systemd() <= descriptors + 5, f"systemd had {descriptors} descriptors and has {descriptors_of_systemd()}")
    check_equal(m.run(["systemctl", "--failed", "--no-legend", "--plain"]).stdout.strip(), "", "failed units")
    check_equal((scratches(), records()), ([], {}), "state")


test_a_thousand_requests_in_a_row_leave_nothing.seconds = 900


# --- who else is there ------------------------------------------------------------------------------------------------


def leave_much(m):
    """What a killed server leaves if its builder has made many files; the directory. Gone is only the server."""
    files = "import os, time\nfor i in range(40000):\n    open(f'/build/{i}', 'w').close()\nprint('begun', flush=True)\ntime.sleep(600)\n"
    m.write_builder("litter", files, interpreter="/usr/bin/python3")
    with m.client() as client:
        client.request("litter")
        client.receive_until("stdout")
        (monitor,) = m.monitors()
        (left,) = (STATE / "scratch").iterdir()
        os.kill(monitor, signal.SIGKILL)
    m.wait_until(lambda: not m.instances(), "the end of the killed one")
    return left


def test_a_large_leftover_delays_nobody_who_finds_another_slot(m):
    left = leave_much(m)
    m.write_builder("quick", "echo done")
    with m.client() as client:
        client.request("quick")
        result = hatchwire.Result(client.receive_until("exit", "error"))
        was_there = left.exists()
        client.send({"type": "received"})
    check_equal(result.code, 0, repr(result))
    check(was_there, "it waited until everything was cleared")
    # The server that has answered goes on with it.
    m.wait_until(lambda: not left.exists() and not m.instances(), "clearing", MUCH)


# ES10: a builder may run beside it, so it has no more rights than the monitor
def test_who_clears_a_leftover_has_no_right_while_a_builder_runs(m):
    left = leave_much(m)
    m.write_builder("waits", "echo running; sleep 60")
    with attack.live(m, "waits") as (_, i):
        check(left.exists() and i.init, "the leftover was cleared before the builder began")
        (sweeper,) = i.roots
        (cleaner,) = i.theirs
        for process in (sweeper, cleaner):
            check_equal(set(process.capabilities().values()), {0}, f"capabilities of process {process.pid}")
            check_equal(process.status["NoNewPrivs"], "1", f"NoNewPrivs of process {process.pid}")
            check(not process.is_dumpable(), f"process {process.pid} is dumpable")
        check_equal(sweeper.filters, i.monitor.filters, "number of filters of the sweeper")
        # Of another slot than the builder.
        check(cleaner.uids <= set(m.build_users().values()) and cleaner.uids != i.init.uids, f"uids of the cleaner: {cleaner.uids}")
    m.wait_until(lambda: not left.exists() and not m.instances(), "clearing", MUCH)


# Its process is dead for the builder, and not yet reaped by who put it there: its init waits for that, as the build user.
def test_nothing_of_a_killed_request_is_touched_while_one_of_its_processes_lives(m):
    client = start_litterer(m)
    (init,) = [p.pid for p in attack.processes() if p.numbers[-1:] == [1] and p.pid in m.build_processes()]
    guest = m.start(["nsenter", f"--target={init}", "--pid", "sleep", "4712"])
    children = pathlib.Path(f"/proc/{guest.pid}/task/{guest.pid}/children")
    m.wait_until(lambda: children.read_text(), "a process among the builder's")
    os.kill(guest.pid, signal.SIGSTOP)
    before = (scratches(), list(records()))
    kill_monitors(m)
    m.wait_until(lambda: not m.instances() and list(m.build_processes()) == [init], "the end of all others")
    cursor = m.journal_cursor()
    m.write_builder("next", "id -un")
    check_equal(m.request("next").code, 0, "the next request")
    m.wait_until(lambda: not m.instances(), "its end")
    check_equal(list(m.build_processes()), [init], "processes of build users")
    check_equal((scratches(), list(records())), before, "scratch and records while one process lives")
    told = " ".join(line["MESSAGE"] for line in m.journal_wait(cursor, count=2, SYSLOG_IDENTIFIER="hatchd"))
    check_in(f"process {init} still runs under", told, "the journal")
    os.kill(guest.pid, signal.SIGCONT)
    m.wait_until(lambda: not m.build_processes(), "the end of init")
    check_cleared_by_next_request(m)
    client.close()


SLOW_TO_DIE = """import mmap, time
memory = mmap.mmap(-1, 256 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.madvise(mmap.MADV_NOHUGEPAGE)
for at in range(0, len(memory), mmap.PAGESIZE):
    memory[at] = 1
print("heavy", flush=True)
time.sleep(600)
"""


def is_cleared_with_a_slow_process(m):
    """Whether a request waits until what a killed one left has died, of which one process takes its time."""
    client = start_litterer(m)
    heavy = m.start(["python3", "-c", SLOW_TO_DIE])
    m.wait_until(heavy.stdout, "its memory")
    kill_monitors(m)
    m.wait_until(lambda: not m.instances(), "the end of the killed one")
    [record] = records().values()
    [group] = [pathlib.Path(word) for word in record.split() if word.startswith("/sys/fs/cgroup/")]
    # The service manager has removed its service's.
    group.mkdir(parents=True, exist_ok=True)
    (group / "cgroup.procs").write_text(str(heavy.pid))
    m.write_builder("next", "id -un")
    check_equal(m.request("next").code, 0, "the next request")
    m.wait_until(lambda: not m.instances(), "its end")
    left = (scratches(), records())
    check_equal(heavy.wait().code, -signal.SIGKILL, "how the slow one ended")
    client.close()
    if left != ([], {}):
        m.request("next")
        m.wait_until(lambda: not m.instances(), "the end of one that clears it")
    group.parent.rmdir()
    return left == ([], {})


# Its memory is given back page by page, and only then it leaves its cgroup. No request waits longer than half a second,
# which on a loaded machine is too short now and then.
def test_a_process_of_a_killed_request_that_is_slow_to_die_is_waited_for(m):
    check(any(is_cleared_with_a_slow_process(m) for _ in range(3)), "three times a request did not wait until it was dead")


def test_a_build_user_with_a_stray_process_is_refused_and_told(m):
    m.write_builder("who", "id -un")
    free = m.request("who").stdout.decode().strip()
    m.wait_until(lambda: not m.instances(), "its end")
    cursor = m.journal_cursor()
    stray = m.start(["sleep", "4711"], user=free)
    m.wait_until(lambda: m.build_processes(), "a process of the build user")
    result = m.request("who")
    check_equal(result.code, 0, repr(result))
    check(result.stdout.decode().strip() != free, f"it ran beside a stray process of {free}")
    lines = m.wait_until(lambda: [line["MESSAGE"] for line in m.journal(cursor) if "is not used" in str(line.get("MESSAGE"))],
                         "a line in the journal")
    check_in(f"the build user {free} is not used: process {stray.pid} runs under it", lines[0], "journal")
    stray.end()
    m.wait_until(lambda: not m.instances(), "its end")
    check_equal(m.request("who").stdout.decode().strip(), free, "the build user when it is alone again")
