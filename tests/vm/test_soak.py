"""Thousands of requests over eight build users while servers, builders and clients are killed at random, and somebody
looks all the time whether two live requests share anything.

HATCH_SOAK_REQUESTS: how many; without it so many that the test is done within a minute or two. HATCH_SOAK_SEED: who is
killed when, as far as that decides it.
"""

import contextlib
import os
import pathlib
import random
import select
import signal
import socket
import subprocess
import time
from collections import Counter, defaultdict

import hatchwire
from machine import SLOW, SOCKET, STATE, Client, Snapshot, check, check_equal, environment

REQUESTS = int(os.environ.get("HATCH_SOAK_REQUESTS") or 1500 // SLOW)
SLOTS = 8
WORKERS = 12
SEATS = 3
TOO_MANY = 9  # a builder's status: more of them run than there are seats
TERMINAL = ("exit", "error")
POOL = STATE / "pool"

BUILDERS = {
    "quick": 'echo "$1"; echo "$1" >"$out"',
    "fails": "echo no >&2; exit 3",
    "chatty": "head -c 300000 /dev/zero | tr '\\0' x",
    "forks": "for i in 1 2 3; do (setsid sleep 60 &) ; done; sleep 0.05",
    "sleeps": "sleep 0.3",
    # As many files as seats; a builder that has a seat finds one that nobody holds.
    "seat": 'for n in 1 2 3; do exec 9>"$SEATS/$n"; if flock -n 9; then sleep 0.1; exit 0; fi; done; exit 9',
    "tree": 'mkdir -p "$out/a/b"; for i in 1 2 3 4 5; do echo $i >"$out/a/$i"; done; ln -s a "$out/link"',
}


# --- the clients: each worker makes one request after the other ---


def connect():
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(SOCKET)
    return Client(connection)


def read_to_end(client, leave_after):
    """How a request ended: "exit", "error", "closed" by the server, "left" by us; or what is wrong with it."""
    seen = []
    deadline = time.monotonic() + leave_after if leave_after is not None else None
    while True:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([client.sock], [], [], left)[0]:
                return "left"
        try:
            message = client.receive()
        except (OSError, hatchwire.Ended):
            return "closed"
        seen.append(message["type"])
        if message["type"] in TERMINAL:
            break
    if seen[-1] == "exit" and message["code"] == TOO_MANY:
        return "wrong: more seats are taken than there are"
    # After the last word there is none, and nobody may be left to hear ours.
    with contextlib.suppress(OSError, hatchwire.Ended):
        if seen[-1] == "exit" and message["code"] == 0:
            client.send({"type": "received"})
        return f"wrong: {client.receive()} after {seen[-1]}"
    return seen[-1]


def one_request(chance):
    name = chance.choice(list(BUILDERS))
    leave_after = chance.uniform(0, 0.2) if chance.random() < 0.15 else None
    with connect() as client:
        try:
            client.request(name, [str(chance.randrange(1000))], outputs={"out": None} if name in ("quick", "tree") else {})
        except (OSError, hatchwire.Ended):
            return "closed"
        return read_to_end(client, leave_after)


def one_program(chance):
    """The same with the real client, which is killed half of the time."""
    client = subprocess.Popen(["hatch", "run", chance.choice(["fails", "chatty", "sleeps"])], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(None, None))
    if chance.random() < 0.5:
        time.sleep(chance.uniform(0, 0.1))
        client.kill()
    code = client.wait(120 * SLOW)
    return "program" if code in (0, 3, 125, 137, 143, -signal.SIGKILL) else f"wrong: hatch ended with {code}"


def work(seed, count, report):
    chance = random.Random(seed)
    ends = Counter()
    for _ in range(count):
        try:
            ends[one_program(chance) if chance.random() < 0.03 else one_request(chance)] += 1
        except Exception as why:  # a broken worker must not look like a quiet one
            ends[f"wrong: {type(why).__name__}: {why}"] += 1
    os.write(report, "".join(f"{number} {what[:300]!r}\n" for what, number in ends.items()).encode())


# --- what lives now, as /proc tells ---


def read_process(pid):
    """uid, unit and start time of a process, or None if it is gone."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        group = pathlib.Path(f"/proc/{pid}/cgroup").read_text().strip().removeprefix("0::")
    except OSError:
        return None
    if fields[0] in "ZX":
        return None
    uid = int(status.split("\nUid:", 1)[1].split()[0])
    unit = next((part for part in group.split("/") if part.startswith("hatchd@")), None)
    return uid, unit, fields[19], group


def processes():
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            found = read_process(entry.name)
            if found and found[1]:
                yield int(entry.name), found


def shared_things(users):
    """Pairs of live requests that share a build user, as sentences. Nothing is read at one moment, so whoever looks
    guilty is read again: only if both are still there have they lived at once."""
    by_uid = defaultdict(dict)
    for pid, found in processes():
        if found[0] in users:
            by_uid[found[0]].setdefault(found[1], (pid, found))
    for uid, units in by_uid.items():
        if len(units) > 1 and all(read_process(pid) == found for pid, found in units.values()):
            yield f"uid {uid} is used by {', '.join(f'{unit} (pid {pid})' for unit, (pid, _) in units.items())}"


def shared_records():
    """Two locks that name the same scratch or cgroup."""
    seen = Counter()
    for path in POOL.glob("hatchbld*"):
        with contextlib.suppress(OSError):
            for line in path.read_text().splitlines():
                if line.startswith(("scratch ", "cgroup ")):
                    seen[line] += 1
    return [line for line, number in seen.items() if number > 1]


def watch(users, report, stop):
    """Looks until stop is readable; reports what it saw wrong, and how often it looked."""
    wrong, looks, most = [], 0, 0
    while not select.select([stop], [], [], 0.02)[0]:
        wrong += list(shared_things(users)) + shared_records()
        most = max(most, len({unit for _, (uid, unit, _, _) in processes() if uid in users}))
        looks += 1
    os.write(report, f"{looks} {most}\n{chr(10).join(wrong[:20])}".encode())


def kill_at_random(seed, users, report, stop):
    """Now and then a server or something of a builder dies of SIGKILL."""
    chance = random.Random(seed)
    killed = Counter()
    while not select.select([stop], [], [], chance.uniform(0.02, 0.2))[0]:
        servers = [pid for pid, (uid, _, _, group) in processes() if uid == 0 and "/build-" not in group]
        inside = [pid for pid, (uid, _, _, _) in processes() if uid in users]
        kind, victims = ("server", servers) if chance.random() < 0.4 else ("builder", inside)
        if victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(victims), signal.SIGKILL)
                killed[kind] += 1
    os.write(report, f"{killed['server']} {killed['builder']}".encode())


# --- all of it together ---


class Helpers:
    """Processes of the test itself, each with a pipe for its one report."""

    def __init__(self):
        self.running = []

    def start(self, function, *args):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                signal.alarm(0)
                os.close(reader)
                function(*args, writer) if function is work else function(*args[:-1], writer, args[-1])
                status = 0
            finally:
                os._exit(status)
        os.close(writer)
        self.running.append((pid, reader))
        return pid, reader

    def finish(self, helper):
        pid, reader = helper
        text = b""
        while part := os.read(reader, 65536):
            text += part
        os.close(reader)
        self.running.remove(helper)
        check_equal(os.waitpid(pid, 0)[1], 0, "how a process of the test ended")
        return text.decode()

    def end(self):
        for pid, reader in self.running:
            os.close(reader)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def eight_users(m):
    m.run(["groupadd", "hatch-eight"]).ok()
    m.after_test(lambda: m.run(["groupdel", "hatch-eight"]).ok())
    names = [f"hatchbld{n}" for n in range(1, SLOTS + 1)]
    m.run(["gpasswd", "--members", ",".join(names), "hatch-eight"]).ok()
    m.write_config(build_users_group="hatch-eight", queue_max=256, resources={"seat": SEATS})
    accounts = m.build_users()
    return {accounts[name] for name in names}


def test_requests_share_nothing_and_leave_nothing_whoever_is_killed(m):
    users = eight_users(m)
    for name, script in BUILDERS.items():
        extra = {}
        if name == "seat":
            place = m.temporary_directory(0o777)
            extra = {"resources": {"seat": 1}, "view": {"write": [str(place)]}, "environment": {"set": {"SEATS": str(place)}}}
        m.write_builder(name, script + "\n", limits={"time_sec": 30 * SLOW}, **extra)
    m.request("fails")
    m.wait_until(lambda: not m.instances(), "the end of the first")
    before = Snapshot()
    seed = int(os.environ.get("HATCH_SOAK_SEED") or time.time_ns() % 1000000)
    print(f"soak: {REQUESTS} requests, seed {seed}", flush=True)

    helpers = Helpers()
    m.after_test(helpers.end)
    stop_reader, stop_writer = os.pipe()
    watcher = helpers.start(watch, users, stop_reader)
    killer = helpers.start(kill_at_random, seed, users, stop_reader)
    begun = time.monotonic()
    workers = [helpers.start(work, seed + 1 + n, REQUESTS // WORKERS) for n in range(WORKERS)]
    ends = Counter()
    for worker in workers:
        for line in helpers.finish(worker).splitlines():
            number, what = line.split(" ", 1)
            ends[what.strip("'")] += int(number)
    seconds = time.monotonic() - begun
    os.write(stop_writer, b"x")  # nobody takes it: it stops both
    servers, builders = map(int, helpers.finish(killer).split())
    looked, *wrong = helpers.finish(watcher).split("\n")
    os.close(stop_writer)
    os.close(stop_reader)
    looks, most = map(int, looked.split())

    print(f"soak: {seconds:.0f} s; ends {dict(ends)}; killed {servers} servers and {builders} processes of builders;"
          f" {looks} looks, at most {most} requests at once", flush=True)
    check_equal(sum(ends.values()), REQUESTS // WORKERS * WORKERS, "requests that ended")
    check(not [what for what in ends if what.startswith("wrong")], f"ends are {dict(ends)}")
    check(not [line for line in wrong if line], f"shared: {wrong[:5]}")
    check(ends["exit"] > REQUESTS // 2, f"ends are {dict(ends)}")
    check(looks > 20 and most > SLOTS // 2, f"the watcher saw too little: {looks} looks, {most} requests at most")
    check(servers > 0 and builders > 0, "nobody was killed")
    # What the last ones that were killed left is the next request's to clear.
    m.wait_until(lambda: not m.instances(), "the end of all instances")
    check_equal(m.request("fails").code, 3, "a request afterwards")
    m.wait_until(lambda: not m.instances(), "its end")
    check_equal(m.left_behind(before), [], "left behind")
    check_equal([path.name for path in POOL.glob("hatchbld*") if path.stat().st_size], [], "records in locks")


test_requests_share_nothing_and_leave_nothing_whoever_is_killed.seconds = 300 + REQUESTS // 8
