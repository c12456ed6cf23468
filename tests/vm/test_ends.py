"""How a request ends when somebody who lives on could hold it up: a process of its own that does not go on, or one outside
that a builder has given an end of its pipes."""

import os
import pwd
import signal
import time

import attack
import machine
from machine import SLOW, check_equal

# What a client has for the rest of a log after a limit, and what the monitor leaves its processes beyond that.
DRAIN, SPARE = 5, 4


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
            m.wait_until(lambda: not m.build_processes() and not list(machine.Snapshot._locks()), "a free slot")
            seconds = time.monotonic() - begun
            os.kill(speaker.pid, signal.SIGCONT)
            check_equal(client.receive_until("error")[-1]["code"], "limit", "end")
            return seconds
    m.in_time(2 * SLOW + SPARE, attempt)
