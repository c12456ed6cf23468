"""How a request ends when somebody who lives on could hold it up: a process of its own that does not go on, or one outside
that a builder has given an end of its pipes."""

import contextlib
import os
import pwd
import signal
import socket
import threading
import time

import attack
import machine
from machine import SLOW, check, check_equal

# What a client has for the rest of a log after a limit, and what the monitor leaves its processes beyond that.
DRAIN, SPARE = 5, 4


def slots_in_use():
    return [path for path in machine.Snapshot._locks() if "/pool/" in path]


def test_a_speaker_that_is_stopped_holds_neither_slot_nor_instance(m):
    m.write_builder("wait", "echo here; sleep 600", limits={"time_sec": 2 * SLOW, "grace_sec": 1})

    def attempt():
        with attack.live(m, "wait") as (_, instance):
            os.kill(instance.speaker.pid, signal.SIGSTOP)
            begun = time.monotonic()
            m.wait_until(lambda: not m.instances(), "the end of the instance")
            return time.monotonic() - begun
    m.in_time((2 + 1) * SLOW + DRAIN + SPARE, attempt)


def test_a_speaker_that_is_stopped_while_inputs_come_holds_no_slot(m):
    m.write_builder("takes", "echo taken", inputs=True, limits={"input_sec": 2 * SLOW})

    def attempt():
        with m.client() as client:
            client.request("takes", inputs={"tree": None})
            client.receive_until("send")
            client.send({"type": "input", "name": "tree", "size": 65536})
            speaker = next(p for p in attack.processes() if p.parent in m.monitors() and p.uids == {pwd.getpwnam("hatch").pw_uid})
            os.kill(speaker.pid, signal.SIGSTOP)
            begun = time.monotonic()
            try:
                m.wait_until(lambda: not m.build_processes() and not slots_in_use(), "a free slot")
                seconds = time.monotonic() - begun
            finally:
                os.kill(speaker.pid, signal.SIGCONT)
            check_equal(client.receive_until("error")[-1]["code"], "limit", "end")
            return seconds
    m.in_time(2 * SLOW + SPARE, attempt)


# --- an end of a pipe that lives on outside --------------------------------------------------------------------------

HAND_ON = """import os, socket, sys, time
print("here", flush=True)
os.write(3, b"phase handing on\\n")
with socket.socket(socket.AF_UNIX) as line:
    line.connect("{place}/line")
    socket.send_fds(line, [b"x"], [1, 2, 3])
    line.recv(1)
print("last words", flush=True)
{end}
"""


class Heir:
    """Somebody outside of any request who takes descriptors, and may write to them without a pause."""

    def __init__(self, m):
        self.place = m.temporary_directory(0o777)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(self.place / "line"))
        (self.place / "line").chmod(0o777)
        self._socket.listen()
        m.after_test(self._socket.close)
        m.after_test(lambda: m.run(["find", machine.STATE / "failed", "-mindepth", "1", "-delete"]).ok())

    def builder(self, m, end, **definition):
        m.write_builder("hands-on", HAND_ON.format(place=self.place, end=end), "/usr/bin/python3",
                        view={"read": ["/usr"], "write": [str(self.place)]}, **definition)

    def inherit(self):
        """The ends of the builder that runs now, which then goes on."""
        line, _ = self._socket.accept()
        _, self.fds, _, _ = socket.recv_fds(line, 1, 3)
        check_equal(len(self.fds), 3, "descriptors that were handed on")
        line.send(b"x")
        line.close()

    def write_for_ever(self):
        def flood(fd):
            try:
                while True:
                    os.write(fd, b"x" * 65536)
            except OSError:  # nobody reads any more
                pass
        self._floods = [threading.Thread(target=flood, args=(fd,)) for fd in self.fds]
        for thread in self._floods:
            thread.start()

    def let_go(self, flooded):
        """Nobody reads what it writes any more."""
        for thread in self._floods if flooded else ():
            thread.join(machine.PATIENCE)
            check(not thread.is_alive(), "somebody reads what an outsider writes")
        for fd in self.fds:
            os.close(fd)


def hand_on(m, heir, flooded):
    """How long a request lives on whose ends somebody has, and its messages."""
    with m.client() as client:
        client.request("hands-on")
        client.receive_until("stdout")
        heir.inherit()
        begun = time.monotonic()
        if flooded:
            heir.write_for_ever()
        messages = client.receive_until("exit", "error")
        if messages[-1].get("code") == 0:
            client.send({"type": "received"})
    m.wait_until(lambda: not m.instances(), "the end of the instance")
    seconds = time.monotonic() - begun
    heir.let_go(flooded)
    return seconds, messages


def test_ends_of_a_builder_that_live_on_hold_up_nobody(m):
    heir = Heir(m)
    for tapped in ({}, {"keep_failed": ["none"]}):
        for end, code in (("", 0), ("sys.exit(1)", 1)):
            heir.builder(m, end, **tapped)

            def attempt():
                seconds, messages = hand_on(m, heir, False)
                log = b"".join(message["attachment"] for message in messages if message["type"] == "stdout")
                check_equal((messages[-1].get("code"), log), (code, b"last words\n"), "exit code and log")  # noqa: B023
                return seconds
            m.in_time(SPARE * SLOW, attempt)


def test_who_writes_to_the_ends_of_a_dead_builder_is_not_heard(m):
    heir = Heir(m)
    for tapped in ({}, {"keep_failed": ["none"]}):
        # More than a pipe holds comes while it lives, and counts; what comes for ever later does not.
        heir.builder(m, "time.sleep(0.2)", limits={"log": "4G"}, **tapped)

        def attempt():
            seconds, messages = hand_on(m, heir, True)
            check_equal(messages[-1].get("code"), 0, "exit code")
            return seconds
        m.in_time(SPARE * SLOW, attempt)


def test_a_builder_whose_ends_live_on_is_ended_like_any_other(m):
    heir = Heir(m)
    for tapped in ({}, {"keep_failed": ["none"]}):
        heir.builder(m, "time.sleep(600)", limits={"time_sec": 2 * SLOW, "grace_sec": 1}, **tapped)

        def limited():
            seconds, messages = hand_on(m, heir, False)
            check_equal((messages[-1].get("code"), messages[-1].get("timed_out")), (124, True), "end")
            return seconds
        m.in_time((2 + 1 + SPARE) * SLOW, limited)
        heir.builder(m, "time.sleep(600)", limits={"grace_sec": 1}, **tapped)

        def left():
            with m.client() as client:
                client.request("hands-on")
                client.receive_until("stdout")
                heir.inherit()
            begun = time.monotonic()
            m.wait_until(lambda: not m.instances(), "the end of the instance")
            seconds = time.monotonic() - begun
            heir.let_go(False)
            return seconds
        m.in_time((1 + SPARE) * SLOW, left)


# --- a packer that has not begun -------------------------------------------------------------------------------------


@contextlib.contextmanager
def slow_packer(m):
    """A request whose builder has ended well, and whose packer does not begin yet; its client, and what lets the packer go."""
    gate = machine.Gate(m.temporary_directory())
    m.write_builder("returns", f'echo here; {gate.wait}; echo > "$out"', view=gate.view)
    with attack.live(m, "returns", outputs={"out": None}, heartbeat_sec=1) as (client, instance):
        # It has the pipe of outputs, which the cleaner has not.
        packer = max(instance.helpers, key=lambda p: len([file for file in p.descriptors().values() if file.startswith("pipe:")]))
        os.kill(packer.pid, signal.SIGSTOP)
        gate.open()
        m.wait_until(lambda: not machine.is_alive(instance.init.pid), "the end of the builder")
        yield client, lambda: os.kill(packer.pid, signal.SIGCONT)


def test_signs_of_life_come_until_the_first_output(m):
    with slow_packer(m) as (client, let_go):
        for _ in range(3 * SLOW):
            check_equal(client.receive_until("alive", "output", "exit", "error")[-1]["type"], "alive", "what comes")
        let_go()
        messages = client.receive_until("exit", "error")
        check_equal(messages[-1].get("code"), 0, f"end ({messages[-1]})")
        types = [message["type"] for message in messages]
        check("alive" not in types[types.index("output"):], f"a sign of life between outputs: {types}")
        client.send({"type": "received"})


def test_a_client_that_leaves_before_its_outputs_come_frees_the_slot(m):
    def attempt():
        with slow_packer(m) as (client, _):
            client.close()
            begun = time.monotonic()
            m.wait_until(lambda: not m.instances(), "the end of the instance")
            return time.monotonic() - begun
    m.in_time(SPARE * SLOW, attempt)
