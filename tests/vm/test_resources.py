"""Named resources: how many hold one, who waits for what, in which order they are served, and what becomes of a unit
whose holder is killed."""

import contextlib
import os
import signal
import time

import hatchwire
from machine import PATIENCE, STATE, check, check_equal, check_in, is_alive

# Says that it runs, and goes on until the test lets it go.
WAITS = 'echo begun; until [ -e "$1" ]; do sleep 0.02; done'


class Place:
    """Requests of builders that run until they are let go, each by its own file."""

    def __init__(self, m):
        self.m = m
        self.path = m.temporary_directory()
        self.clients = {}

    def builder(self, name, resources=None, **definition):
        limits = {"time_sec": 60 * self.m.slow, **definition.pop("limits", {})}
        self.m.write_builder(name, WAITS, view={"read": [str(self.path)]}, limits=limits, resources=resources or {},
                             **definition)

    def ask(self, key, builder, until, user=None):
        """One more request; returns its last message, of the type until."""
        client = self.m.client(user=user)
        self.m.after_test(client.close)
        client.request(builder, [str(self.path / key)])
        self.clients[key] = client
        return client.receive_until(until, "error")[-1]

    def let_go(self, key):
        (self.path / key).touch()
        client = self.clients[key]
        result = hatchwire.Result(client.receive_until("exit", "error"))
        check_equal(result.code, 0, f"the end of {key}: {result}")
        with contextlib.suppress(OSError):
            client.send({"type": "received"})
        client.close()
        return result

    def next_of(self, key):
        """The next message that is not of the log."""
        while True:
            message = self.clients[key].receive()
            if message["type"] not in ("stdout", "stderr"):
                return message


def queued(message):
    return (message["type"], message.get("resource"), message.get("ahead"))


def test_two_seats_serve_two_and_the_third_waits_for_one(m):
    m.write_config(resources={"seat": 2})
    place = Place(m)
    place.builder("tool", {"seat": 1})
    place.builder("other")
    cursor = m.journal_cursor()
    for key in "ab":
        check_equal(place.ask(key, "tool", "started")["type"], "started", key)
    check_equal(queued(place.ask("c", "tool", "queued")), ("queued", "seat", 0), "the third")
    check_equal(queued(place.ask("d", "tool", "queued")), ("queued", "seat", 1), "the fourth")
    # Who does not need a seat is not delayed.
    check_equal(place.ask("e", "other", "started")["type"], "started", "a builder without resources")
    place.let_go("e")
    place.let_go("a")
    check_equal(place.next_of("c")["type"], "started", "the third")
    check_equal(queued(place.next_of("d")), ("queued", "seat", 0), "the fourth moves up")
    place.let_go("b")
    check_equal(place.next_of("d")["type"], "started", "the fourth")
    for key in "cd":
        check(place.let_go(key).last["receipt"]["queued_ms"] > 0, "queued_ms of one who waited")
    for line in m.journal_wait(cursor, count=4, HATCH_BUILDER="tool"):
        check_equal(line["HATCH_RESOURCES"], "seat=1", "the journal")


def test_several_resources_are_taken_all_at_once_or_not_at_all(m):
    m.write_config(resources={"seat": 1, "board": 1})
    place = Place(m)
    place.builder("seat", {"seat": 1})
    place.builder("board", {"board": 1})
    place.builder("both", {"seat": 1, "board": 1})
    place.builder("both-too", {"board": 1, "seat": 1})
    place.ask("a", "seat", "started")
    check_equal(queued(place.ask("b", "both", "queued")), ("queued", "seat", 0), "the one that needs both")
    # The board is free, but kept.
    check_equal(queued(place.ask("c", "board", "queued")), ("queued", "board", 1), "one behind it")
    check_equal(queued(place.ask("d", "both-too", "queued"))[1:], ("board", 2), "another that needs both, the other way round")
    place.let_go("a")
    check_equal(place.next_of("b")["type"], "started", "the one that needs both")
    place.let_go("b")
    m.wait_until(lambda: holds(place, "c"), "the one that needs the board")
    place.let_go("c")
    m.wait_until(lambda: holds(place, "d"), "the other that needs both")
    place.let_go("d")


def order_of_turns(m, place, waiting):
    """Lets go of one holder of the one seat after the other; returns who held it, in order."""
    turns = ["first"]
    while waiting:
        place.let_go(turns[-1])
        turns.append(m.wait_until(lambda: next((key for key in waiting if holds(place, key)), None), f"one of {waiting}"))
        waiting.remove(turns[-1])
    place.let_go(turns[-1])
    return turns[1:]


def holds(place, key):
    """Has the request been started? Reads what came without waiting for more."""
    client = place.clients[key]
    client.sock.settimeout(0.01)
    try:
        while True:
            if client.receive()["type"] == "started":
                return True
    except TimeoutError:
        return False
    finally:
        client.sock.settimeout(PATIENCE)


def test_users_take_turns_however_many_requests_each_has(m):
    m.write_config(resources={"seat": 1})
    place = Place(m)
    place.builder("tool", {"seat": 1}, allow={"users": ["root", "alice", "daemon"]})
    place.ask("first", "tool", "started")
    keys = [f"{user[0]}{number}" for user in ("alice", "daemon") for number in range(4)]
    for key in keys:
        place.ask(key, "tool", "queued", user={"a": "alice", "d": "daemon"}[key[0]])
    check_equal(order_of_turns(m, place, keys), ["a0", "d0", "a1", "d1", "a2", "d2", "a3", "d3"], "who held the seat")


def test_derivations_take_turns_however_many_requests_each_has(m):
    m.write_config(resources={"seat": 1})
    place = Place(m)
    place.builder("tool", {"seat": 1})
    log = m.temporary_directory(mode=0o777) / "log"
    log.touch()
    log.chmod(0o666)
    m.write_builder("turn", f'echo "$1" >>{log}', resources={"seat": 1}, view={"write": [str(log)]})
    place.ask("first", "tool", "started")
    script = "for i in 1 2 3; do /bin/hatch run turn -- $name & done; wait; echo done >$out"
    builds = []
    for number, name in enumerate(("x", "y")):
        builds.append(m.nix_build_start(m.derivation(name, args=["-c", script])))
        m.wait_until(lambda n=number: len(list((STATE / "pool/queue").glob("[0-9]*"))) == 3 * n + 3, f"three that wait of {name}")
    place.let_go("first")
    for build in builds:
        build.wait().ok()
    check_equal(log.read_text().split(), ["x", "y"] * 3, "who held the seat")


def test_a_late_caller_is_delayed_by_one_turn_of_each_other(m):
    m.write_config(resources={"seat": 1})
    place = Place(m)
    place.builder("tool", {"seat": 1}, allow={"users": ["root", "alice", "daemon"]})
    place.ask("first", "tool", "started")
    for number in range(8):
        place.ask(f"a{number}", "tool", "queued", user="alice")
    for current, after in (("first", "a0"), ("a0", "a1")):
        place.let_go(current)
        m.wait_until(lambda after=after: holds(place, after), after)
    check_equal(queued(place.ask("b", "tool", "queued", user="daemon")), ("queued", "seat", 0), "the late one")
    place.let_go("a1")
    m.wait_until(lambda: holds(place, "b"), "the late one")
    place.let_go("b")
    for number in range(2, 8):
        m.wait_until(lambda number=number: holds(place, f"a{number}"), f"a{number}")
        place.let_go(f"a{number}")


def test_a_killed_server_frees_its_seat_when_its_builder_is_dead_and_not_before(m):
    m.write_config(resources={"seat": 1})
    place = Place(m)
    place.builder("tool", {"seat": 1})
    before = set(m.monitors())
    place.ask("a", "tool", "started")
    (monitor,) = set(m.monitors()) - before
    builders = set(m.build_processes())
    check(builders, "no process of the builder")
    place.ask("b", "tool", "queued")
    os.kill(monitor, signal.SIGKILL)
    m.wait_until(lambda: holds(place, "b"), "the one who waits")
    check(not any(is_alive(pid) for pid in builders), "a process of the first lives beside the second")
    place.let_go("b")


def test_a_waiting_server_that_is_killed_delays_nobody(m):
    m.write_config(resources={"seat": 1})
    place = Place(m)
    place.builder("tool", {"seat": 1})
    before = set(m.monitors())
    place.ask("a", "tool", "started")
    holder = set(m.monitors()) - before
    place.ask("b", "tool", "queued")
    waiter = set(m.monitors()) - before - holder
    check_equal(queued(place.ask("c", "tool", "queued")), ("queued", "seat", 1), "the last")
    check_equal(len(waiter), 1, "servers that wait")
    os.kill(waiter.pop(), signal.SIGKILL)
    check_equal(queued(place.next_of("c")), ("queued", "seat", 0), "the last moves up")
    place.let_go("a")
    check_equal(place.next_of("c")["type"], "started", "the last")
    place.let_go("c")


def test_who_waits_longer_than_its_limit_is_told_what_for(m):
    m.write_config(resources={"seat": 1})
    place = Place(m)
    place.builder("tool", {"seat": 1})
    place.builder("hasty", {"seat": 1}, limits={"wait_sec": 1})
    place.ask("a", "tool", "started")
    begun = time.monotonic()
    refused = place.ask("b", "hasty", "error")
    waited = time.monotonic() - begun
    check_equal(refused["code"], "busy", repr(refused))
    check_in("no seat became free for the builder hasty in 1 s", refused["message"], "message")
    check_in("limits.wait_sec", refused["hint"], "hint")
    check(0.9 < waited < 10 * m.slow, f"waited {waited} s")
    # Nothing of it is left in the line.
    check_equal(queued(place.ask("c", "tool", "queued")), ("queued", "seat", 0), "the next")
    place.let_go("a")
    place.next_of("c")
    place.let_go("c")


def test_a_full_line_is_busy(m):
    m.write_config(resources={"seat": 1}, queue_max=1)
    place = Place(m)
    place.builder("tool", {"seat": 1})
    place.ask("a", "tool", "started")
    place.ask("b", "tool", "queued")
    refused = place.ask("c", "tool", "error")
    check_equal((refused["type"], refused.get("code")), ("error", "busy"), repr(refused))
    place.let_go("a")
    place.next_of("b")
    place.let_go("b")


def test_a_resource_that_nobody_defined_is_found_by_check_and_refused_before_a_slot_is_taken(m):
    m.write_config(resources={"seat": 2})
    m.write_builder("tool", "echo done", resources={"seat": 3})
    m.write_builder("absent", "echo done", resources={"board": 1})
    m.write_builder("nothing", "echo done", resources={"seat": 0})
    said = m.run(["hatchd", "--check"])
    text = said.stdout + said.stderr
    check_equal(said.code, 78, text)
    for words in ('3 of "seat"; expected at most the 2', 'there is no resource "board"', '0 of "seat"; expected 1'):
        check_in(words, text, "hatchd --check")
    cursor = m.journal_cursor()
    for name in ("tool", "absent", "nothing"):
        check_equal(m.request(name).error, "server-failed", name)
        line = m.journal_wait(cursor, HATCH_BUILDER=name)[-1]
        check_equal(line["HATCH_PHASE"], "policy", f"phase of {name}")
        check_in(f"builders.d/{name}.json:", line["HATCH_ERROR"], "journal")


def test_a_count_that_is_lowered_while_more_is_held_is_kept_from_then_on(m):
    m.write_config(resources={"seat": 2})
    place = Place(m)
    place.builder("tool", {"seat": 1})
    place.ask("a", "tool", "started")
    place.ask("b", "tool", "started")
    m.write_config(resources={"seat": 1})
    place.ask("c", "tool", "queued")
    place.let_go("a")
    check(not holds(place, "c"), "a second seat was given, of one")
    place.let_go("b")
    m.wait_until(lambda: holds(place, "c"), "the one seat")
    place.let_go("c")


def test_locks_of_resources_are_root_s_alone_and_say_nothing_when_they_are_free(m):
    m.write_config(resources={"seat": 1})
    m.write_builder("tool", "echo done", resources={"seat": 1})
    check_equal(m.request("tool").code, 0, "a request")
    m.wait_until(lambda: not m.instances(), "its end")
    directory = STATE / "pool/resource"
    status = os.stat(directory)
    check_equal((status.st_uid, status.st_mode & 0o7777), (0, 0o700), str(directory))
    for path in directory.iterdir():
        status = os.lstat(path)
        check_equal((status.st_uid, status.st_mode & 0o7777, status.st_size), (0, 0o600, 0), str(path))
