"""Several requests at once: each has a build user and a scratch of its own, and who finds none free waits in line."""

import concurrent.futures
import contextlib
import os
import pathlib
import time

import hatchwire
from machine import STATE, check, check_equal, check_in

# Tells who it is, waits until the test lets it go, and tells whether its places are still its own.
APART = """
echo "$1" >/build/mine; echo "$1" >/tmp/mine; echo "$1" >/dev/shm/mine
echo "$(id -u) $(stat -c %d:%i /build) $(stat -c %d:%i /tmp) $(cat /proc/self/cgroup | wc -l) $(hostname)"
until [ -e "$2" ]; do sleep 0.05; done
cat /build/mine /tmp/mine /dev/shm/mine
ls -A /build /tmp | grep -vc "^mine$"
"""

WAITS = 'echo begun; until [ -e "$1" ]; do sleep 0.02; done'


def start_together(m, count, builder, place):
    """count requests that run at the same time. Returns the clients and what each builder said first."""
    clients = []
    for number in range(count):
        client = m.client()
        m.after_test(client.close)
        client.request(builder, [str(number), str(place / "go")])
        clients.append(client)
    return clients, [client.receive_until("stdout")[-1]["attachment"].decode().split() for client in clients]


def check_apart(m, count):
    place = m.temporary_directory()
    m.write_builder("apart", APART, view={"read": [str(place)]})
    clients, words = start_together(m, count, "apart", place)
    check_equal(len({w[0] for w in words}), count, f"different uids of {[w[0] for w in words]}")
    check(all(int(w[0]) in m.build_users().values() for w in words), f"not all are build users: {words}")
    check_equal(len({w[1] for w in words}), count, f"different /build of {words}")
    check_equal(len({w[2] for w in words}), count, f"different /tmp of {words}")
    check_equal(len(list((STATE / "scratch").iterdir())), count, "directories in scratch")
    users = users_of_cgroups(m)
    check_equal(len(users), count, f"different cgroups of {users}")
    check(all(len(uids) == 1 for uids in users.values()), f"users of one cgroup: {users}")
    (place / "go").touch()
    for number, client in enumerate(clients):
        result = hatchwire.Result(client.receive_until("exit", "error"))
        client.send({"type": "received"})
        check_equal(result.stdout.decode().splitlines()[-4:-1], [str(number)] * 3, "what the builder finds in its files")


def users_of_cgroups(m):
    """Each cgroup of a builder to the users of the processes in it."""
    found = {}
    for pid, uid in m.build_processes().items():
        with contextlib.suppress(OSError):  # it has ended
            group = pathlib.Path(f"/proc/{pid}/cgroup").read_text()
            if "/build" in group:
                found.setdefault(group, set()).add(uid)
    return found


def test_two_requests_at_once_share_neither_user_nor_scratch(m):
    check_apart(m, 2)


def test_eight_requests_at_once_share_neither_user_nor_scratch(m):
    check_apart(m, 8)


def test_two_builders_at_once_do_not_see_each_other(m):
    place = m.temporary_directory()
    script = f'echo begun; until [ -e {place}/go ]; do sleep 0.02; done; ls /proc | grep -c "^[0-9]"; kill -9 -1; echo left'
    m.write_builder("one", script, view={"read": [str(place)]})
    m.write_builder("two", f"echo begun; until [ -e {place}/end ]; do sleep 0.02; done; echo over", view={"read": [str(place)]})
    with m.client() as one, m.client() as two:
        for client, name in ((one, "one"), (two, "two")):
            client.request(name)
            client.receive_until("stdout")
        (place / "go").touch()
        ended = hatchwire.Result(one.receive_until("exit", "error"))
        # The shell, ls and grep, and init.
        check(int(ended.stdout.split()[0]) <= 5, f"processes that it sees: {ended.stdout}")
        (place / "end").touch()
        check_equal(hatchwire.Result(two.receive_until("exit", "error")).code, 0, "the other one")
        two.send({"type": "received"})


COUNT_FILES = "find /build /tmp /dev/shm -mindepth 1 | grep -vc ^/build/outputs"


def test_a_build_user_is_used_again_and_finds_nothing_of_the_one_before(m):
    m.write_builder("litter", f"id -u; {COUNT_FILES}; touch /build/a /tmp/b /dev/shm/c")
    first = m.request("litter").stdout.split()
    m.wait_until(lambda: not m.instances(), "the end of the first")
    check_equal(m.request("litter").stdout.split(), first, "what the second finds")
    check_equal(first[1], b"0", "files that the first finds")


# Mounts and unmounts as fast as it can, where nobody sees it.
CHURN = """import ctypes, os
libc = ctypes.CDLL(None)
os.unshare(os.CLONE_NEWNS)
libc.mount(None, b"/", None, 0x44000, None)
print("begun", flush=True)
while True:
    libc.mount(b"/mnt", b"/mnt", None, 0x1000, None)
    libc.umount2(b"/mnt", 2)
"""


def test_mounting_elsewhere_on_the_machine_disturbs_no_request(m):
    place = m.temporary_directory()
    (place / "file").write_text("shown\n")
    m.write_builder("shows", f"cat {place}/file", view={"read": [str(place)]})
    churns = [m.start(["python3", "-c", CHURN]) for _ in range(2)]
    m.wait_until(lambda: all(b"begun" in churn.stdout() for churn in churns), "mounts")
    for _ in range(40):
        result = m.request("shows")
        check_equal((result.code, result.stdout), (0, b"shown\n"), repr(result))


# --- the queue --------------------------------------------------------------------------------------------------------


def two_slots(m, **config):
    """From here on there are two build users."""
    m.run(["groupadd", "hatch-two"]).ok()
    m.after_test(lambda: m.run(["groupdel", "hatch-two"]).ok())
    m.run(["gpasswd", "--members", "hatchbld1,hatchbld2", "hatch-two"]).ok()
    m.write_config(build_users_group="hatch-two", **config)


class Line:
    """Requests in the order in which they came; number N runs until it is let go."""

    def __init__(self, m):
        self.m = m
        self.place = m.temporary_directory()
        m.write_builder("waits", WAITS, view={"read": [str(self.place)]}, limits={"time_sec": 60 * m.slow})
        self.clients = []

    def add(self, until):
        """One more request; returns its last message, which is of the type until."""
        client = self.m.client()
        self.m.after_test(client.close)
        client.request("waits", [str(self.place / str(len(self.clients)))])
        self.clients.append(client)
        return client.receive_until(until, "error")[-1]

    def let_go(self, number):
        (self.place / str(number)).touch()
        client = self.clients[number]
        check_equal(hatchwire.Result(client.receive_until("exit", "error")).code, 0, f"the end of request {number}")
        client.send({"type": "received"})

    def next_of(self, number):
        """The next message that a request is sent, without the log."""
        while True:
            message = self.clients[number].receive()
            if message["type"] not in ("stdout", "stderr"):
                return message


def test_requests_beyond_the_slots_are_served_in_order_of_arrival_and_told_their_place(m):
    two_slots(m)
    line = Line(m)
    for _ in range(2):
        check_equal(line.add("started")["type"], "started", "one that finds a slot")
    for ahead in range(4):
        message = line.add("queued")
        check_equal((message.get("resource"), message.get("ahead")), ("slot", ahead), repr(message))
    # Each that ends lets in the one that has waited longest; the others move up by one.
    for ended in range(4):
        line.let_go(ended)
        check_equal(line.next_of(ended + 2)["type"], "started", f"request {ended + 2} after the end of {ended}")
        for waiting in range(ended + 3, 6):
            message = line.next_of(waiting)
            check_equal((message["type"], message.get("ahead")), ("queued", waiting - ended - 3), f"request {waiting}")
    for number in (4, 5):
        line.let_go(number)


def test_one_who_leaves_the_line_lets_the_others_move_up(m):
    two_slots(m)
    line = Line(m)
    for _ in range(2):
        line.add("started")
    for _ in range(3):
        line.add("queued")
    line.clients[3].close()
    message = line.next_of(4)
    check_equal((message["type"], message.get("ahead")), ("queued", 1), repr(message))
    line.let_go(0)
    line.next_of(2)
    for number in (1, 2):
        line.let_go(number)
    line.next_of(4)
    line.let_go(4)


def test_waiting_is_not_charged_to_the_time_limit(m):
    two_slots(m)
    line = Line(m)
    for _ in range(2):
        line.add("started")
    m.write_builder("brief", "sleep 1", limits={"time_sec": 4 * m.slow, "grace_sec": 0})
    with m.client() as client:
        client.request("brief")
        client.receive_until("queued")
        time.sleep(4.5 * m.slow)
        line.let_go(0)
        result = hatchwire.Result(client.receive_until("exit", "error"))
        client.send({"type": "received"})
    check_equal(result.code, 0, repr(result))
    check(result.last["receipt"]["queued_ms"] >= 4400, f"{result.last}")
    line.let_go(1)


def test_a_line_that_is_full_is_told_as_busy_and_those_in_it_are_served(m):
    two_slots(m, queue_max=1)
    line = Line(m)
    for _ in range(2):
        line.add("started")
    check_equal(line.add("queued")["type"], "queued", "the first who waits")
    refused = line.add("queued")
    check_equal((refused["type"], refused.get("code")), ("error", "busy"), repr(refused))
    for number in range(3):
        line.let_go(number)


def test_free_slots_are_given_also_if_nobody_may_wait(m):
    m.write_builder("quick", "echo done")
    m.write_config(queue_max=0)
    for _ in range(3):
        check_equal(m.request("quick").code, 0, "a request with all slots free")


def test_many_at_once_are_not_turned_away_while_slots_are_free(m):
    m.write_builder("quick", "sleep 0.2")
    m.write_config(queue_max=1)
    clients = [m.client() for _ in range(10)]
    for client in clients:
        m.after_test(client.close)
    # Each as soon as it is greeted: a server waits five seconds for a request.
    with concurrent.futures.ThreadPoolExecutor(len(clients)) as threads:
        list(threads.map(lambda client: client.request("quick"), clients))
    results = [hatchwire.Result(client.receive_until("exit", "error")) for client in clients]
    check_equal([result.error for result in results], [None] * 10, "errors")


def test_a_waiting_client_tells_a_person_at_a_terminal(m):
    two_slots(m)
    line = Line(m)
    for _ in range(2):
        line.add("started")
    m.write_builder("quick", "echo done")
    running = m.start(["script", "--quiet", "--return", "--command", "hatch run quick", "/dev/null"])
    m.wait_until(lambda: b"waiting for slot" in running.stdout(), "a word about the line")
    for number in range(2):
        line.let_go(number)
    check_in("done", running.wait().ok().stdout, "log")


def test_lock_files_of_the_pool_are_root_s_alone(m):
    m.write_builder("quick", "echo done")
    m.request("quick")
    for path in (STATE, STATE / "pool", STATE / "scratch"):
        status = os.stat(path)
        check_equal((status.st_uid, status.st_mode & 0o7777), (0, 0o700), str(path))
    for path in (STATE / "pool").glob("hatchbld*"):
        status = os.lstat(path)
        check_equal((status.st_uid, status.st_mode & 0o7777, status.st_nlink), (0, 0o600, 1), str(path))
