#!/usr/bin/env python3
"""Clients that mean no good, against a real hatchd. The ids in comments are rows of the list of attacks."""

import json
import os
import pathlib
import socket
import struct
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import test_server  # noqa: E402
from test_server import hatchwire, in_time, wait_until  # noqa: E402

REQUEST = {"type": "request", "version": 1, "builder": "echo"}
FIRST_LINE_MAX = 1048576
LINE_MAX = 65536
MEMORY_MAX = 64 * 1024 * 1024

server = None


def line(message):
    return json.dumps(message).encode() + b"\n"


def answer_to(data, until=("error", "exit", "pong", "builders")):
    """The last message of the server after a client has said data, or None if it only hung up."""
    with hatchwire.Connection(server.socket) as c:
        c.receive()
        try:
            c.send_raw(data)
        except OSError:
            pass  # the server may have seen enough before the last byte
        try:
            return c.receive_until(*until)[-1]
        except (hatchwire.Ended, ConnectionResetError):
            return None


def refused(data, codes=("bad-request",)):
    answer = answer_to(data)
    assert answer and answer["type"] == "error" and answer["code"] in codes, (data[:200], answer)


def clean():
    server.wait_idle()
    assert not server.leftovers(), server.leftovers()


# PR3: a length that is said costs nothing before it is looked at
def test_attachments_of_any_length_are_refused_before_memory_is_taken():
    for size in (0, 1, 0x7FFFFFFF, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 9, 2**64 - 1, 2**64, 10**40, -1, 1.5, "1", None, [1]):
        refused(line({**REQUEST, "size": size}))
    clean()


# PR3: both sides of the cap of the first line; more is not kept
def test_a_first_line_above_the_cap_is_refused_without_being_kept():
    room = FIRST_LINE_MAX - len(line({**REQUEST, "future": ""}))
    assert answer_to(line({**REQUEST, "future": "x" * room}))["type"] == "exit"
    refused(line({**REQUEST, "future": "x" * (room + 1)}))
    with hatchwire.Connection(server.socket) as c:
        c.receive()
        peak = 0
        try:
            for _ in range(100):
                c.send_raw(b"[" * 1000000)
                peak = max([peak, *(test_server.memory_of(pid) for pid in server.instances())])
        except OSError:
            pass
        assert peak < MEMORY_MAX, peak
    clean()


# PR4
def test_a_request_cut_off_after_any_byte_leaves_nothing():
    whole = line({**REQUEST, "args": ["x", {"b64": "/w=="}], "outputs": {"out": None}})
    for length in range(len(whole)):
        with hatchwire.Connection(server.socket) as c:
            c.receive()
            c.send_raw(whole[:length])
            if length % 2:
                c.half_close()
                assert c.receive()["code"] == "bad-request" if length else True
    clean()


# PR1: half a request and then nothing; the end comes after five seconds in all, and no slot is taken meanwhile
def test_half_a_request_is_ended_by_the_deadline_and_takes_no_slot():
    def attempt():
        begun = time.monotonic()
        with hatchwire.Connection(server.socket) as c:
            c.receive()
            c.send_raw(line(REQUEST)[:-5])
            time.sleep(1)
            assert not server.leftovers(), server.leftovers()
            assert c.receive()["code"] == "bad-request"
        assert time.monotonic() - begun > 4
        return time.monotonic() - begun

    in_time(9, attempt)
    clean()


# PR7
def test_more_than_the_caps_of_a_request_is_refused():
    refused(line({**REQUEST, "args": [""] * 4097}))
    refused(line({**REQUEST, "args": [""] * 100000}))
    refused(line({**REQUEST, "args": ["x" * 131072]}), ("bad-request", "refused"))
    refused(line({**REQUEST, "env": {f"V{i}": "" for i in range(257)}}))
    refused(line({**REQUEST, "env": {"V" * 129: ""}}))
    refused(line({**REQUEST, "outputs": {f"o{i}": None for i in range(33)}}))
    refused(line({**REQUEST, "outputs": {"o" * 65: None}}))
    refused(line({**REQUEST, "outputs": {"out": "/nix/store/" + "x" * 5000}}))
    refused(line({**REQUEST, "request_id": "x" * 65}))
    for timeout in (0, 31536001, -1, 2**64, 1.5, "1"):
        refused(line({**REQUEST, "timeout_sec": timeout}))
    deep = b'{"type":"request","version":1,"builder":"echo","future":'
    assert answer_to(deep + b"[" * 7 + b"]" * 7 + b"}\n")["type"] == "exit"
    for depth in (8, 9, 65, 100000):
        refused(deep + b"[" * depth + b"]" * depth + b"}\n")
        refused(deep + b'{"a":' * depth + b"1" + b"}" * depth + b"}\n")
    clean()


# PR8
def test_names_that_are_no_names_of_builders_are_refused():
    for name in ("", ".", "..", "../echo", "/echo", "echo/", "e/o", "Echo", "-echo", "_echo", ".echo", "echo\n", "ec ho", "éc",
                 "echo\0", "x" * 65, "echo;", "%n", "*"):
        refused(line({**REQUEST, "builder": name}))
    for name in (None, 1, [], {}, ["echo"], {"b64": "ZWNobw=="}, True):
        refused(line({**REQUEST, "builder": name}))
    refused(b'{"type":"request","version":1,"builder":"echo\\u0000"}\n')
    refused(b'{"type":"request","version":1,"builder":"ech\xff"}\n')
    refused(b'{"type":"request","version":1,"builder":"\\ud800"}\n')
    refused(b'{"type":"request","version":1,"builder":"echo","builder":"echo"}\n')
    assert answer_to(line({**REQUEST, "builder": "x" * 64}))["code"] == "refused"
    clean()


# PR8, EN2
def test_variables_and_outputs_need_proper_names_and_permission():
    for name in ("", "1A", "A=B", "A B", "A-B", "A\n", "Ä", "=", "BASH_FUNC_x%%", "A\0"):
        refused(line({**REQUEST, "env": {name: "x"}}))
    refused(line({**REQUEST, "env": {"TOP": "a\0b"}}))
    for name in ("LD_PRELOAD", "PATH", "HOME", "HATCH_PEER_UID", "HATCH_DERIVATION", "out", "top"):
        refused(line({**REQUEST, "env": {name: "x"}}), ("refused",))
    for name in ("", "Out", "1out", "o/t", "..", "o=t", "out\n", "-out"):
        refused(line({**REQUEST, "outputs": {name: None}}))
    # The path of an output becomes a variable: it must not be one that the builder has already.
    refused(line({**REQUEST, "env": {}, "outputs": {"fixed": None}}), ("refused",))
    clean()


# PR8: text that is to be any bytes holds no NUL however it is written
def test_arguments_hold_no_nul_and_proper_base64():
    for value in ("a\0b", {"b64": "AA=="}, {"b64": "YQBi"}, {"b64": "Y"}, {"b64": "YQ"}, {"b64": "YR=="}, {"b64": "!!!!"},
                  {"b64": 1}, {}, 1, None, ["a"], True):
        refused(line({**REQUEST, "args": [value]}))
    clean()


# PR9
def test_an_argument_with_a_dash_in_front_needs_permission():
    for value in ("-", "--", "-x", "--eval=x", {"b64": "LXg="}):
        refused(line({**REQUEST, "args": [value]}), ("refused",))
    assert answer_to(line({**REQUEST, "builder": "dashes", "args": ["-x", "--", "-"]}))["code"] == 0


# PR11
def test_any_version_but_ours_is_told_as_such():
    for version in (0, 2, 3, 2**31):
        assert answer_to(line({"type": "request", "version": version}))["code"] == "version", version
    for version in (-1, 1.5, "1", None, [], 2**53, 2**64):
        refused(line({**REQUEST, "version": version}), ("bad-request", "version"))
    refused(line({"type": "request", "builder": "echo"}), ("bad-request", "version"))


# --- order: every kind of message in every state ------------------------------------------------------------------------

CLIENT = {
    "request": line(REQUEST),
    "list": line({"type": "list", "version": 1}),
    "ping": line({"type": "ping", "version": 1}),
    "received": line({"type": "received"}),
}
NEVER = {
    "hello": line({"type": "hello", "version": 1, "version_min": 1, "server": "x"}),
    "accepted": line({"type": "accepted", "id": "0123456789abcdef", "builder": "echo"}),
    "queued": line({"type": "queued", "resource": "slot", "ahead": 1}),
    "started": line({"type": "started", "time_limit_sec": 1}),
    "stdout": line({"type": "stdout", "size": 1}) + b"x",
    "stderr": line({"type": "stderr", "data": "x"}),
    "output": line({"type": "output", "name": "out", "size": 1}) + b"x",
    "output-end": line({"type": "output-end", "name": "out", "entries": 1, "bytes": 1, "sha256": "0" * 64}),
    "exit": line({"type": "exit", "code": 0}),
    "error": line({"type": "error", "code": "refused", "message": "x"}),
    "builders": line({"type": "builders", "builders": []}),
    "pong": line({"type": "pong", "server": "x"}),
    "go": line({"type": "go"}),
    "input": line({"type": "input", "size": 1}) + b"x",
    "stdin": line({"type": "stdin", "size": 1}) + b"x",
    "signal": line({"type": "signal", "signal": 9}),
    "cancel": line({"type": "cancel"}),
    "unknown": line({"type": "no-such-message"}),
    "no type": line({}),
    "no object": b"[]\n",
    "no json": b"garbage\n",
    "nothing": b"\n",
    "no text": b"\xff\xfe\n",
}

# How to get into a state, and which of the messages are in order there.
STATES = {
    "greeted": (lambda c: c.receive(), {"request": "exit", "list": "builders", "ping": "pong"}),
    "running": (lambda c: [c.receive(), c.send({**REQUEST, "builder": "sleep"}), c.receive_until("stdout")], {}),
    "waiting": (lambda c: [c.receive(), c.send({**REQUEST, "builder": "sleep"}), c.receive_until("queued")], {}),
    "told": (lambda c: [c.receive(), c.send(REQUEST), c.receive_until("exit")], {"received": None}),
    "answered": (lambda c: [c.receive(), c.send({"type": "ping", "version": 1}), c.receive_until("pong")], None),
}


def say_in_state(state, name, data):
    enter, in_order = STATES[state]
    with hatchwire.Connection(server.socket) as c:
        enter(c)
        try:
            c.send_raw(data)
        except OSError:
            assert in_order is None, (state, name)
        try:
            answer = c.receive_until("exit", "error", "pong", "builders")[-1]
        except (hatchwire.Ended, ConnectionResetError):
            answer = None
    if in_order is None or state == "told":
        # All is said; the server is ending, whatever comes.
        assert answer is None, (state, name, answer)
    elif name in in_order:
        assert answer and answer["type"] == in_order[name], (state, name, answer)
    else:
        assert answer and answer["type"] == "error" and answer["code"] == "bad-request", (state, name, answer)


# PR6: the table of all pairs
def test_every_message_in_every_state_is_in_order_or_a_breach():
    holders = []
    for state in STATES:
        if state == "waiting":
            # As many as the server has slots for: the next one waits. Who is still cleaning has one too, and gives it back.
            server.wait_idle()
            for _ in range(16):
                holder = hatchwire.Connection(server.socket)
                holder.receive()
                holder.send({**REQUEST, "builder": "sleep"})
                holders.append(holder)
                if "queued" in holder.receive_until("started", "queued")[-1]["type"]:
                    break
        for name, data in {**CLIENT, **NEVER}.items():
            say_in_state(state, name, data)
        for holder in holders:
            holder.close()
        holders.clear()
    clean()


# PR6: what comes in one write is no less out of order
def test_two_messages_at_once_are_a_breach():
    for second in (CLIENT["request"], CLIENT["ping"], NEVER["unknown"], b"x", b"\n"):
        answer = answer_to(line({**REQUEST, "builder": "sleep"}) + second)
        assert answer and answer["code"] == "bad-request", (second, answer)
    clean()


def settled_descriptors():
    """How many each process of the server has open, once two looks in a row say the same: after the builder has begun the
    others still close what they do not need."""
    looks = [None]

    def look():
        looks.append({pid: len(os.listdir(f"/proc/{pid}/fd")) for pid in server.instances()})
        return looks[-1] if looks[-1] == looks[-2] else None

    return wait_until(look, "descriptors that stay the same")


# PR10: neither credentials nor descriptors nor urgent bytes reach anybody
def test_ancillary_data_is_dropped_and_no_descriptor_stays():
    with server.ask_waiting() as c:
        before = settled_descriptors()
        # One: of several only the last is urgent, the others become bytes of the stream.
        c.sock.send(b"!", socket.MSG_OOB)
        time.sleep(0.1)
        assert settled_descriptors() == before
        with server.let_go():
            assert hatchwire.Result(c.receive_until("exit", "error")).code == 0
    with hatchwire.Connection(server.socket) as c:
        c.receive()
        identity = struct.pack("iII", os.getpid(), os.getuid(), os.getgid())
        c.sock.sendmsg([line(REQUEST)], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, identity)])
        assert hatchwire.Result(c.receive_until("exit", "error")).code == 0
    clean()


# PR12, RX6: nobody keeps what a client does not take
def test_a_client_that_reads_nothing_costs_no_memory():
    with hatchwire.Connection(server.socket) as c:
        c.receive()
        c.send({**REQUEST, "builder": "flood", "timeout_sec": 2})
        peak = 0
        for _ in range(20):
            time.sleep(0.1)
            peak = max([peak, *(test_server.memory_of(pid) for pid in server.instances())])
        assert 0 < peak < MEMORY_MAX, peak
    clean()


# LG2: what a builder prints stays in its attachment, also where the reply has none
def test_lines_of_a_builder_are_never_messages():
    forged = '{"type":"exit","code":0}\n@nix {"action":"msg"}\n<0>x\n'
    for reply in ("stream", "inline"):
        result = server.request("forge", reply=reply)
        assert result.code == 3, result
        said = b"".join(m.get("attachment", m.get("data", "").encode() if "data" in m else b"") for m in result.messages
                        if m["type"] == "stdout")
        assert said == forged.encode(), said


# CA3: bytes in both directions at the moment of closing
def test_closing_with_unread_and_unsent_bytes_ends_the_request():
    for pause in (0, 0.05, 0.3):
        def attempt():
            c = hatchwire.Connection(server.socket)
            c.receive()
            c.send({**REQUEST, "builder": "flood"})
            time.sleep(pause)  # noqa: B023
            c.close()
            begun = time.monotonic()
            server.wait_idle()
            return time.monotonic() - begun

        in_time(2, attempt)
    clean()


BUILDERS = {
    "echo": ('for a in "$@"; do printf "[%s]\\n" "$a"; done',
             {"args": {"max": 4096}, "environment": {"set": {"fixed": "1"}, "accept": ["TOP"]}}),
    "dashes": ("true", {"args": {"max": 3, "dash": True}}),
    "sleep": ("echo sleeping; sleep 50", {}),
    "waits": test_server.BUILDERS["waits"],
    "flood": ("yes 0123456789012345678901234567890123456789", {"limits": {"log": "10G"}}),
    "forge": ("printf '%s\\n' '{\"type\":\"exit\",\"code\":0}' '@nix {\"action\":\"msg\"}' '<0>x'; exit 3", {}),
}


def main():
    global server
    server = test_server.Server()
    failed = 0
    try:
        for name, (script, keys) in BUILDERS.items():
            server.builder(name, script, **keys)
        server.start()
        only = sys.argv[1:]
        for name, function in list(globals().items()):
            if not name.startswith("test_") or not callable(function) or (only and name[5:] not in only):
                continue
            try:
                function()
                print(f"ok {name[5:]}", flush=True)
            except Exception as error:  # every way to fail is one line
                failed += 1
                print(f"FAIL {name[5:]}: {type(error).__name__}: {error}".replace("\n", "\\n"), flush=True)
        if failed or "Sanitizer" in server.log_text():
            sys.stderr.write(server.log_text()[-8000:])
        if "Sanitizer" in server.log_text():
            print("FAIL no_sanitizer_complains: see the log above")
            failed += 1
    finally:
        server.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
