#!/usr/bin/env python3
"""The client against a server that says anything. Usage: HATCH=/path/to/hatch test_client.py [NAME...]"""

import concurrent.futures
import errno
import hashlib
import io
import json
import os
import pty
import random
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import tty

sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import nixlog
from fake_server import (REQUEST_ID, FakeServer, accepted, closes, error, exit_, hello, line, log, output, output_end, says,
                         small_tree, started, success, takes, tar, tar_directory, tar_file, tar_header, tar_symlink)
from pace import PATIENCE, in_time, wait_until

CLIENT = os.path.abspath(os.environ["HATCH"])
TESTS = []
PARTIAL = "nothing of the output may be left"


def test(function):
    TESTS.append(function)
    return function


class Skipped(Exception):
    pass


def expect(condition, why):
    if not condition:
        raise AssertionError(why)


def plain_env(**more):
    env = {"PATH": os.environ["PATH"]}
    env.update(more)
    return env


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def __repr__(self):
        return "status %r, stdout %r, stderr %r" % (self.status, self.out[-300:], self.err[-600:])


def run(server, *args, env=None, **options):
    """The client as a program with pipes."""
    env = dict(env or plain_env(), HATCH_SOCKET=server.path if server else "/nonexistent/hatch.sock")
    options.setdefault("cwd", "/")
    done = subprocess.run([CLIENT, *args], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60, check=False, **options)
    if server:
        server.settle()
    return Result(done.returncode, done.stdout, done.stderr)


class Directory:
    """A place for outputs."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="hatch-out-")
        self.out = os.path.join(self.path, "result")
        self.option = "--output=out=" + self.out
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path)

    def is_empty(self):
        return os.listdir(self.path) == []


def run_with_output(*messages, script=None):
    """Runs a request with one output; returns result, whether nothing is left, server."""
    with Directory() as place, FakeServer(script or says(*messages)) as server:
        result = run(server, "run", place.option, "hello")
        return result, place.is_empty(), server


def expect_failure(what, *messages, script=None, status=125, says_so=None):
    result, empty, server = run_with_output(*messages, script=script)
    what = str(what)
    expect(result.status == status, "%s: %r" % (what, result))
    expect(empty, "%s: %s" % (what, PARTIAL))
    expect(server.received == 0, "%s: the client must not say received" % what)
    expect(result.err.startswith(b"hatch: ") and result.err.endswith(b"\n"), "%s: %r" % (what, result))
    if says_so:
        expect(says_so in result.err, "%s: %r is not in %r" % (what, says_so, result))
    return result


# ---- what goes well ----

@test
def shows_the_log_of_a_builder_byte_by_byte():
    data = bytes(range(256)) * 300 + b"@nix {}\r\n\x1b[2J"
    with FakeServer(says(hello(), accepted(), started(), log(data), log(b"E\xff\r\n", "stderr"), exit_())) as server:
        result = run(server, "run", "hello")
        expect(result.status == 0 and result.out == data and result.err == b"E\xff\r\n", repr(result))
        expect(server.received == 1, "the client must say received")
        expect("outputs" not in server.requests[0], "no outputs are asked for outside a build")


@test
def unpacks_an_output_and_says_received():
    with Directory() as place, FakeServer(says(*success())) as server:
        result = run(server, "run", place.option, "hello")
        expect(result.status == 0 and result.err == b"", repr(result))
        expect(open(place.out + "/a", "rb").read() == b"first\n", "content of a")
        expect(os.access(place.out + "/b", os.X_OK) and not os.stat(place.out + "/a").st_mode & 0o111, "modes")
        expect(os.readlink(place.out + "/c") == "a", "symlink")
        expect(server.received == 1, "the client must say received")
        expect(server.requests[0]["outputs"] == {"out": None}, "a path outside the store is not sent")


@test
def unpacks_several_outputs_in_order():
    with Directory() as place, FakeServer(says(*success(("out", "dev")))) as server:
        result = run(server, "run", place.option, "--output", "dev=" + place.path + "/dev/", "hello")
        expect(result.status == 0, repr(result))
        expect(sorted(os.listdir(place.path)) == ["dev", "result"], "both outputs are there")
        expect(list(server.requests[0]["outputs"]) == ["out", "dev"], "the order of the request")


@test
def unpacks_a_file_and_a_symlink_as_outputs():
    for body, check in (((tar(tar_file("output", b"x" * 5000)), 1), lambda p: os.path.getsize(p) == 5000),
                        ((tar(tar_symlink("output", "/etc")), 1), lambda p: os.readlink(p) == "/etc")):
        with Directory() as place, FakeServer(says(*success(body=body))) as server:
            result = run(server, "run", place.option, "hello")
            expect(result.status == 0 and check(place.out), repr(result))


@test
def takes_messages_in_single_bytes():
    def script(server, connection):
        stream = b"".join(success(logs=b"log\n"))
        connection.send(stream[:1])
        for i in range(1, len(stream)):
            connection.send(stream[i:i + 1])
        server.requests.append(connection.read_line())
        server.received += (connection.read_line() or {}).get("type") == "received"
    result, _, server = run_with_output(script=script)
    expect(result.status == 0 and result.out == b"log\n" and server.received == 1, repr(result))


@test
def sends_arguments_and_variables_of_any_bytes():
    args = ["a b", "", "--output=x", "-q", "*", "\n", "\udcff\udc80", "'\"\\$(id)", "ä"]
    with FakeServer(says(hello(), accepted(), started(), exit_())) as server:
        result = run(server, "run", "-e", "TOP=1=2", "--env=HERE", "-e", "BIN=\udcff", "-t", "60", "--request-id",
                     "job.7", "hello", "--", *args, env=plain_env(HERE="there"))
        expect(result.status == 0, repr(result))
        want = ["a b", "", "--output=x", "-q", "*", "\n", {"b64": "/4A="}, "'\"\\$(id)", "ä"]
        request = server.requests[0]
        expect(request["args"] == want, request["args"])
        expect(request["env"] == {"TOP": "1=2", "HERE": "there", "BIN": {"b64": "/w=="}}, request["env"])
        expect(request["timeout_sec"] == 60 and request["request_id"] == "job.7", repr(request))
        expect(request["type"] == "request" and request["version"] == 1, repr(request))


@test
def passes_everything_behind_the_builders_name():
    for args, want in ((["hello", "--help"], ["--help"]), (["hello", "--", "--"], ["--"]), (["--", "hello", "x"], ["x"]),
                       (["hello", "--"], None)):
        with FakeServer(says(hello(), accepted(), started(), exit_())) as server:
            expect(run(server, "run", *args).status == 0, args)
            expect(server.requests[0].get("args") == want, server.requests[0])


@test
def called_by_another_name_asks_for_that_builder():
    with Directory() as place, FakeServer(says(hello(), accepted(), started(), exit_(2))) as server:
        link = os.path.join(place.path, "make")
        os.symlink(CLIENT, link)
        done = subprocess.run([link, "--version", "all"], env=plain_env(HATCH_SOCKET=server.path, out="/nix/store/x",
                              NIX_BUILD_TOP="/build", NIX_LOG_FD="2"), capture_output=True, timeout=30, check=False)
        server.settle()
        expect(done.returncode == 2, done)
        request = server.requests[0]
        expect(request["builder"] == "make" and request["args"] == ["--version", "all"], request)
        expect("outputs" not in request, "no outputs are asked for")


@test
def lists_builders_in_parts_and_escapes_them():
    parts = [line(type="builders", builders=[{"name": "a", "description": "x\x1b[2J"}], more=True),
             line(type="builders", builders=[{"name": "b", "description": ""}])]
    with FakeServer(says(hello(), *parts)) as server:
        result = run(server, "list")
        expect(result.status == 0 and result.out == b"a\tx\\x1b[2J\nb\n", repr(result))
        expect(server.requests[0] == {"type": "list", "version": 1}, server.requests)


@test
def pings():
    with FakeServer(says(hello(), line(type="pong", server="fake 1"))) as server:
        result = run(server, "ping")
        expect(result.status == 0 and result.out == b"fake 1\n", repr(result))


@test
def refused_list_and_ping_fail():
    for command in ("list", "ping"):
        with FakeServer(says(hello(), error("stopping", "down"))) as server:
            result = run(server, command)
            expect(result.status == 125 and b"hatch: stopping: down" in result.err, repr(result))
        with FakeServer(says(hello(), accepted())) as server:
            expect(b"out of order" in run(server, command).err, command)
        with FakeServer(says(hello())) as server:
            expect(run(server, command).status == 125, command)


# ---- exit status ----

@test
def exits_as_the_builder_did():
    for code in (1, 3, 125, 255):
        result = expect_failure("code", hello(), accepted(), started(), exit_(code), status=code,
                                says_so=b"failed with exit status %d" % code)
        expect(b"request 0123456789abcdef" in result.err, repr(result))
    expect_failure("signal", hello(), accepted(), started(), exit_(137, signal=9), status=137, says_so=b"signal 9")
    expect_failure("time", hello(), accepted(), started(7), exit_(124, timed_out=True), status=124, says_so=b"limit of 7")


@test
def a_signal_or_time_limit_is_never_success():
    expect_failure("signal", *success()[:-1], exit_(0, signal=9))
    expect_failure("time", *success()[:-1], exit_(0, timed_out=True))


@test
def errors_of_the_server_have_their_status():
    for code, status in (("refused", 125), ("busy", 125), ("limit", 125), ("server-failed", 125), ("cannot-run", 126),
                         ("not-found", 127), ("something-new", 125)):
        expect_failure(code, hello(), error(code, "why not", hint="do this"), status=status,
                       says_so=b"hatch: %s: why not\nhatch: do this\n" % code.encode())


@test
def takes_an_error_at_every_point():
    stream, entries = small_tree()
    for before in ([], [hello()], [hello(), accepted()], [hello(), accepted(), started()],
                   [hello(), accepted(), started(), log(b"x")],
                   [hello(), accepted(), started(), output(stream[:700])],
                   [hello(), accepted(), started(), output(stream), output_end(stream, entries)]):
        expect_failure(len(before), *before, error("stopping", "bye"), says_so=b"stopping: bye")


@test
def reads_the_refusal_of_a_server_that_did_not_read_the_request():
    def script(_server, connection):
        connection.send(hello(), error("busy", "no slot"))
    with FakeServer(script) as server:
        result = run(server, "run", "hello", *["x" * 100000] * 9)
        expect(result.status == 125 and b"hatch: busy: no slot" in result.err, repr(result))


@test
def text_of_the_server_cannot_act_on_a_terminal():
    result = expect_failure("escape", hello(), error("refused", "\x1b]0;x\x07\n@nix {}\u009b"))
    expect(b"\x1b" not in result.err and b"\n@nix" not in result.err and b"\xc2\x9b" not in result.err, repr(result))


# ---- connecting ----

@test
def tries_again_when_the_stream_ends_before_the_greeting():
    with FakeServer(closes, closes, closes, says(hello(), accepted(), started(), exit_())) as server:
        result = run(server, "run", "hello")
        expect(result.status == 0 and server.connections == 4, repr(result))


@test
def tries_again_when_the_greeting_is_cut():
    def half(_server, connection):
        connection.send(hello()[:20])
    with FakeServer(half, says(hello(), accepted(), started(), exit_())) as server:
        expect(run(server, "run", "hello").status == 0, "the second try is whole")


@test
def gives_up_after_ten_tries_with_growing_pauses():
    with FakeServer(closes) as server:
        start = time.monotonic()
        result = run(server, "run", "hello")
        spent = time.monotonic() - start
        expect(result.status == 125 and server.connections == 10, "%d tries, %r" % (server.connections, result))
        expect(5 < spent < 40, "took %.1f s" % spent)
        expect(b"before its greeting" in result.err, repr(result))


@test
def a_missing_socket_is_told_at_once():
    def attempt():
        start = time.monotonic()
        result = run(None, "run", "hello")
        expect(result.status == 125, repr(result))
        expect(b"/nonexistent/hatch.sock" in result.err and b"hatchd.socket" in result.err, repr(result))
        return time.monotonic() - start

    in_time(3, attempt)  # tries and pauses would take five seconds and more
    result = run(None, "run", "--no-outputs", "hello", env=plain_env(NIX_BUILD_TOP="/build", NIX_LOG_FD="9"))
    for word in (b'requiredSystemFeatures = [ "hatch-NAME" ]', b"hatch-pre-build-hook DERIVATION", b"hatchd.socket"):
        expect(word in result.err, repr(result))
    expect(b"sandbox-paths" not in result.err, "it would open the hatch to all builds: %r" % result)


@test
def a_socket_it_may_not_enter_is_told():
    def become_nobody():
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
    try:
        run(None, "--version", preexec_fn=become_nobody)
    except PermissionError:
        raise Skipped("the user nobody cannot execute " + CLIENT) from None
    with FakeServer(closes) as server:
        os.chmod(server.directory.name, 0)
        result = run(server, "run", "hello", preexec_fn=become_nobody)
        os.chmod(server.directory.name, 0o700)
        expect(result.status == 125 and b"Permission denied" in result.err and b"administrator" in result.err, repr(result))


@test
def a_socket_nobody_listens_at_is_tried_briefly():
    with FakeServer(closes) as server:
        server.path += "2"
        dead = socket.socket(socket.AF_UNIX)
        dead.bind(server.path)
        dead.close()

        def attempt():
            start = time.monotonic()
            result = run(server, "run", "hello")
            spent = time.monotonic() - start
            expect(result.status == 125 and b"nobody listens" in result.err, repr(result))
            expect(spent > 0.8, "took %.1f s" % spent)
            return spent

        in_time(6, attempt)
        os.unlink(server.path)


@test
def a_socket_that_comes_back_is_found():
    def attempt():
        with FakeServer(says(hello(), accepted(), started(), exit_())) as server:
            dead = socket.socket(socket.AF_UNIX)
            path = server.path + "2"
            dead.bind(path)
            dead.close()

            def come_back():
                os.symlink(server.path, path + ".new")
                os.rename(path + ".new", path)
            timer = threading.Timer(0.1, come_back)
            timer.start()
            result = run(server, "run", "--socket", path, "hello")
            timer.join()
            return result

    # It is looked for for a second, which is soon over where this process is not let run.
    results = []
    while len(results) < 3 and not (results and results[-1].status == 0):
        results.append(attempt())
    expect(results[-1].status == 0, repr(results))


@test
def a_socket_path_that_is_too_long_is_told():
    result = run(None, "ping", "--socket", "/" + "x" * 200)
    expect(result.status == 125 and b"path" in result.err, repr(result))


@test
def refuses_other_versions():
    expect_failure("0", hello(0, 0), says_so=b"versions 0 to 0")
    expect_failure("2", hello(9, 2), says_so=b"versions 2 to 9")
    with FakeServer(says(hello(9, 1), accepted(), started(), exit_())) as server:
        expect(run(server, "run", "hello").status == 0, "a range that holds 1 is fine")


@test
def refuses_what_is_no_hatch_server():
    for greeting in (b"HTTP/1.1 200 OK\r\n\r\n", b"\n", b"\0" * 64 + b"\n", b"{}\n", b"[1]\n", line(type="pong", server=""),
                     b'{"type":"hello","version":1,"version_min":1,"server":"x"\xff}\n', b"x" * 70000):
        expect_failure(greeting[:20], greeting)


# ---- order and completeness ----

def phases():
    return {
        "asked": [hello()],
        "accepted": [hello(), accepted()],
        "started": [hello(), accepted(), started()],
        "logged": [hello(), accepted(), started(), log(b"x")],
        "returned": [hello(), accepted(), started(), *success()[3:-1]],
    }


@test
def refuses_messages_that_do_not_fit_the_moment():
    stream, entries = small_tree()
    queued = line(type="queued", resource="slot", ahead=1)
    wrong = {
        "asked": [queued, started(), log(b"x"), log(b"x", "stderr"), output(stream), output_end(stream, entries), exit_(),
                  exit_(3)],
        "accepted": [accepted(), log(b"x"), output(stream), output_end(stream, entries), exit_(), exit_(3)],
        "started": [accepted(), queued, started(), output_end(stream, entries)],
        "logged": [accepted(), queued, started(), output_end(stream, entries)],
        "returned": [accepted(), queued, started(), log(b"x"), output(stream), output_end(stream, entries)],
    }
    never = [hello(), line(type="pong", server=""), line(type="builders", builders=[]), line(type="received"),
             line(type="ping", version=1), line(type="whatever"), b"garbage\n"]
    for phase, before in phases().items():
        for message in wrong[phase] + never:
            expect_failure((phase, message[:40]), *before, message, exit_())


@test
def refuses_an_end_without_all_outputs():
    expect_failure("none", hello(), accepted(), started(), exit_(), says_so=b"without output out")
    stream, entries = small_tree()
    with Directory() as place, FakeServer(says(*success(("out",)))) as server:
        result = run(server, "run", place.option, "--output=dev=" + place.path + "/dev", "hello")
        expect(result.status == 125 and b"without output dev" in result.err, repr(result))
        expect(place.is_empty(), PARTIAL)
    expect_failure("no record", hello(), accepted(), started(), output(stream), exit_())


@test
def refuses_outputs_out_of_order_twice_or_not_asked_for():
    for names in (("dev", "out"), ("out", "out"), ("out", "dev", "dev"), ("out", "lib")):
        with Directory() as place, FakeServer(says(*success(names))) as server:
            result = run(server, "run", place.option, "--output=dev=" + place.path + "/dev", "hello")
            expect(result.status == 125 and place.is_empty(), "%s: %r" % (names, result))
    stream, entries = small_tree()
    expect_failure("other name inside", hello(), accepted(), started(), output(stream[:600]), output(stream[600:], "dev"),
                   output_end(stream, entries), exit_())
    expect_failure("other name at the start", hello(), accepted(), started(), output(stream, "dev"),
                   output_end(stream, entries), exit_())
    expect_failure("other name at the end", hello(), accepted(), started(), output(stream),
                   output_end(stream, entries, "dev"), exit_())


@test
def refuses_an_output_that_is_not_what_its_record_says():
    stream, entries = small_tree()
    for wrong in ({"sha256": "0" * 64}, {"entries": entries + 1}, {"entries": 0}, {"bytes": len(stream) - 1},
                  {"bytes": len(stream) + 512}):
        expect_failure(wrong, hello(), accepted(), started(), output(stream), output_end(stream, entries, **wrong), exit_())


@test
def refuses_malformed_streams():
    for what, stream in (("text", b"hello" * 300), ("nothing but an end", tar()), ("outside", tar(tar_file("../x", b""))),
                         ("below a symlink", tar(tar_symlink("output", "/tmp"), tar_file("output/x", b""))),
                         ("no end", tar(tar_directory("output"))[:-1024]), ("more", tar(tar_directory("output")) + b"\0")):
        expect_failure(what, hello(), accepted(), started(), output(stream), output_end(stream, 1), exit_())


@test
def a_builder_that_failed_leaves_no_output():
    messages = success()
    expect_failure("code 3 after outputs", *messages[:-1], exit_(3), status=3)


@test
def refuses_anything_after_the_end():
    messages = success()
    expect_failure("two exits", *messages, exit_())
    expect_failure("failure after success", *messages, exit_(1))
    expect_failure("error after success", *messages, error())
    expect_failure("a byte", *messages, b"x")


@test
def a_stream_cut_between_messages_leaves_nothing():
    messages = success(logs=b"log\n")
    for n in range(1, len(messages)):
        expect_failure("cut after message %d" % n, *messages[:n], says_so=b"closed the connection")


@test
def a_stream_cut_anywhere_leaves_nothing():
    stream = b"".join(success(logs=b"log\n")[1:])
    cuts = sorted(set(range(0, len(stream), 61)) | {len(stream) - 1})
    for cut in cuts:
        expect_failure("cut after byte %d" % cut, hello(), stream[:cut])


@test
def a_connection_that_is_reset_leaves_nothing():
    def script(server, connection):
        connection.send(hello())
        messages = success()
        connection.send(*messages[1:5])
        # Closing with the request unread resets the connection.
    expect_failure("reset", script=script)


@test
def refuses_lines_and_attachments_above_their_caps():
    start = [hello(), accepted(), started()]
    expect_failure("line", *start, b'{"type":"stdout","x":"' + b"a" * 70000 + b'","size":1}\nx', exit_(),
                   says_so=b"longer than 65536")
    for size in (0, -1, 1048577, 1 << 32, (1 << 63) - 1):
        expect_failure(size, *start, b'{"type":"stdout","size":%d}\n' % size + b"x" * 4096, says_so=b"size")
    with FakeServer(says(*start, log(b"x" * 1048576), exit_())) as server:
        result = run(server, "run", "hello")
        expect(result.status == 0 and len(result.out) == 1048576, "the cap itself is fine")


@test
def refuses_inline_data_it_did_not_ask_for():
    expect_failure("inline", hello(), accepted(), started(), line(type="stdout", data="x"), exit_(), says_so=b"inline")


# ---- places of outputs ----

@test
def refuses_a_place_that_is_taken_or_missing():
    with Directory() as place, FakeServer(says(*success())) as server:
        for make in (os.mkdir, lambda p: open(p, "w").close(), lambda p: os.symlink("/nonexistent", p)):
            make(place.out)
            result = run(server, "run", place.option, "hello")
            expect(result.status == 125 and b"is there already" in result.err, repr(result))
            expect(os.path.lexists(place.out), "what was there before stays")
            subprocess.run(["rm", "-rf", place.out], check=True)
        for path in (place.path + "/no/such", "", "/", ".", place.path + "/..", place.path + "/./."):
            result = run(server, "run", "--output=out=" + path, "hello")
            expect(result.status == 125 and result.err.startswith(b"hatch: output out"), "%s: %r" % (path, result))
        expect(server.connections == 0, "nothing is asked before the places are clear")


@test
def a_place_taken_meanwhile_is_kept_and_the_rest_removed():
    with Directory() as place:
        second = place.path + "/dev"

        def script(server, connection):
            os.mkdir(second)
            says(*success(("out", "dev")))(server, connection)
        with FakeServer(script) as server:
            result = run(server, "run", place.option, "--output=dev=" + second, "hello")
            expect(result.status == 125 and os.listdir(place.path) == ["dev"], repr(result))


@test
def modes_do_not_depend_on_the_umask():
    for umask in (0, 0o777):
        with Directory() as place, FakeServer(says(*success())) as server:
            result = run(server, "run", place.option, "hello", preexec_fn=lambda m=umask: os.umask(m))
            expect(result.status == 0, repr(result))
            modes = [os.stat(place.out + n).st_mode & 0o7777 for n in ("", "/a", "/b")]
            expect(modes == [0o755, 0o644, 0o755], [oct(m) for m in modes])


# ---- in a Nix build ----

STORE = "/nix/store/" + "a" * 32 + "-name"


def nix_env(**more):
    return plain_env(NIX_BUILD_TOP="/nonexistent", NIX_LOG_FD="2", **more)


def without_phases(err):
    return b"".join(part for part in err.splitlines(True) if not part.startswith(b'@nix {"action":"setPhase"'))


@test
def finds_outputs_in_the_environment():
    with Directory() as place, FakeServer(says(*success(("out", "dev")))) as server:
        env = nix_env(outputs="out  dev", out=place.out, dev=place.path + "/dev")
        result = run(server, "run", "hello", env=env)
        expect(result.status == 0 and sorted(os.listdir(place.path)) == ["dev", "result"], repr(result))


@test
def a_derivation_without_a_list_of_outputs_has_one():
    with Directory() as place, FakeServer(says(*success())) as server:
        result = run(server, "run", "hello", env=nix_env(out=place.out))
        expect(result.status == 0 and os.path.isdir(place.out), repr(result))


@test
def sends_store_paths_only():
    for path, sent in ((STORE, STORE), (STORE + "/", STORE), ("/tmp/x-hatch", None), ("/nix/store/short-name", None),
                       ("/nix/store/" + "e" * 32 + "-x", None)):
        parent = os.path.dirname(path.rstrip("/"))
        if not os.path.isdir(parent):
            continue
        with FakeServer(says(hello(), error())) as server:
            run(server, "run", "--output=out=" + path, "hello")
            expect(server.requests[0]["outputs"] == {"out": sent}, server.requests)


@test
def reads_structured_attributes():
    with Directory() as place:
        attrs = {"outputs": {"dev": place.path + "/dev", "out": place.out},
                 "hatch": {"builder": "hello", "args": ["a b", "c"], "env": {"TOP": "x", "KEEP": "y"}, "timeout": 9}}
        path = place.path + "/.attrs.json"
        for variable in (path, "/nonexistent/.attrs.json"):
            with open(path, "w", encoding="utf-8") as file:
                json.dump(attrs, file)
            env = plain_env(NIX_BUILD_TOP=place.path, NIX_LOG_FD="2", NIX_ATTRS_JSON_FILE=variable)
            with FakeServer(says(*success(("dev", "out")))) as server:
                result = run(server, "run", "-e", "TOP=z", env=env)
                expect(result.status == 0, repr(result))
                request = server.requests[0]
                expect(request["builder"] == "hello" and request["args"] == ["a b", "c"], request)
                expect(request["env"] == {"TOP": "z", "KEEP": "y"} and request["timeout_sec"] == 9, request)
            shutil.rmtree(place.out)
            shutil.rmtree(place.path + "/dev")
        with FakeServer(says(hello(), error())) as server:
            run(server, "run", "other", env=env)
            request = server.requests[0]
            expect("args" not in request and "env" not in request and len(request["outputs"]) == 2, request)
        with FakeServer(says(hello(), error())) as server:
            run(server, "run", "-t5", "--output", "out", "hello", "--", "d", env=env)
            request = server.requests[0]
            expect(request["args"] == ["d"] and request["timeout_sec"] == 5, request)
            expect(list(request["outputs"]) == ["out"], request)


@test
def tells_what_is_wrong_with_attributes():
    with Directory() as place, FakeServer(says(hello(), error())) as server:
        path = place.path + "/attrs"
        env = nix_env(NIX_ATTRS_JSON_FILE=path)
        result = run(server, "run", "hello", env=env)
        expect(result.status == 125 and path.encode() in result.err, repr(result))
        for text, why in (("{", b"not JSON"), ('{"outputs":["out"]}', b"outputs"),
                          ('{"outputs":{},"hatch":{"timeout":"x"}}', b"timeout"),
                          ('{"outputs":{},"hatch":{"arg":[]}}', b'"arg"')):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            result = run(server, "run", "hello", env=env)
            expect(result.status == 125 and why in result.err, repr(result))
        expect(b"no builder" in run(server, "run", env=nix_env(out=place.out)).err, "no builder")
        result = run(server, "run", "hello", env=nix_env(outputs="out dev", out=place.out))
        expect(b"$dev is not set" in result.err, repr(result))
        result = run(server, "run", "hello", env=nix_env(outputs="out PATH", out=place.out))
        expect(b'"PATH"' in result.err, repr(result))
        expect(server.connections == 0, "nothing is asked")


# ---- inputs ----

def make_inputs(place):
    os.makedirs(place.path + "/tree/sub")
    for name, data in (("tree/sub/file", b"x" * 3000000), ("tree/a", b"first\n"), ("one.txt", b"hello\n")):
        with open(os.path.join(place.path, name), "wb") as file:
            file.write(data)
    os.chmod(place.path + "/tree/a", 0o700)
    os.symlink("a", place.path + "/tree/link")
    os.symlink("tree", place.path + "/way")


def names_of(stream):
    return tarfile.open(fileobj=io.BytesIO(stream)).getnames()


@test
def sends_the_inputs_that_the_server_wants():
    with Directory() as place, FakeServer(takes("src", "one.txt")) as server:
        make_inputs(place)
        result = run(server, "run", "--input", "src=tree", "-ione.txt=" + place.path + "/one.txt", "hello", cwd=place.path)
        expect(result.status == 0 and server.received == 1, repr(result))
        expect(server.requests[0]["inputs"] == {"src": None, "one.txt": None}, server.requests)
        for name, names in (("src", ["output", "output/a", "output/link", "output/sub", "output/sub/file"]), ("one.txt", ["output"])):
            stream, sizes, end = server.inputs[name]
            expect(names_of(stream) == names, names_of(stream))
            expect(max(sizes) <= 1 << 20 and end["type"] == "input-end" and end["name"] == name, (sizes, end))
            expect((end["entries"], end["bytes"], end["sha256"]) ==
                   (len(names), len(stream), hashlib.sha256(stream).hexdigest()), end)


@test
def sends_a_symlink_as_such_unless_a_slash_follows():
    with Directory() as place, FakeServer(takes("as-it-is", "behind", "here")) as server:
        make_inputs(place)
        result = run(server, "run", "-ias-it-is=way", "-ibehind=way/", "-ihere=.", "hello", cwd=place.path)
        expect(result.status == 0, repr(result))
        expect(tarfile.open(fileobj=io.BytesIO(server.inputs["as-it-is"][0])).getmember("output").linkname == "tree", "link")
        expect("output/sub/file" in names_of(server.inputs["behind"][0]), "behind")
        expect("output/tree/sub/file" in names_of(server.inputs["here"][0]), "here")


@test
def sends_no_input_that_the_server_has():
    with Directory() as place, FakeServer(takes("b", send=["b"])) as server:
        make_inputs(place)
        result = run(server, "run", "-ia=tree", "-ib=one.txt", "hello", cwd=place.path)
        expect(result.status == 0 and list(server.inputs) == ["b"], repr(result))
    with Directory() as place, FakeServer(takes(send=[])) as server:
        make_inputs(place)
        expect(run(server, "run", "-ia=tree", "hello", cwd=place.path).status == 0, "none is wanted")


@test
def a_server_that_passes_over_an_input_has_failed():
    wrong = ((dict(send=["a"]), b"began without the input a"), (dict(send=["other"]), b"which is none"),
             (dict(names=["b"], send=["a"]), b"did not want"), (dict(names=["a", "a"], send=["a"]), b"did not want"))
    for script, why in wrong:
        with Directory() as place, FakeServer(takes(*script.pop("names", ()), **script)) as server:
            make_inputs(place)
            result = run(server, "run", "-ia=tree", "-ib=one.txt", place.option, "hello", cwd=place.path)
            expect(result.status == 125 and why in result.err and server.received == 0, "%s: %r" % (why, result))
    with Directory() as place, FakeServer(says(*success())) as server:
        make_inputs(place)
        result = run(server, "run", "-ia=tree", place.option, "hello", cwd=place.path)
        expect(result.status == 125 and b"knows nothing of inputs" in result.err, repr(result))
    expect_failure("send without inputs", hello(), accepted(), line(type="send", name="a"), says_so=b"did not want")
    expect_failure("send too late", hello(), accepted(), started(), line(type="send", name="a"), says_so=b"out of order")


@test
def a_refusal_in_the_middle_of_an_input_is_told():
    alive = line(type="alive")
    # Whatever the server had to say before it, and as much as that is.
    for before in ((), (alive,), (alive, queued(), alive, started(), log(b"x\n", "stderr"), alive)):
        def script(server, connection, before=before):
            connection.send(hello())
            connection.read_line()
            connection.send(accepted(send=["a"]), line(type="send", name="a"))
            connection.read_line()
            connection.send(*before, error("limit", "too much", hint="send less"))
        with Directory() as place, FakeServer(script) as server:
            make_inputs(place)
            with open(place.path + "/tree/large", "wb") as file:
                file.truncate(64 << 20)
            result = run(server, "run", "--heartbeat=1", "-ia=tree", "hello", cwd=place.path)
            expect(result.status == 125 and result.err.endswith(b"limit: too much (request %s)\nhatch: send less\n" % REQUEST_ID.encode()),
                   "%r: %r" % (before, result))


@test
def a_server_that_goes_away_in_the_middle_of_an_input_is_told_as_such():
    def script(server, connection):
        connection.send(hello())
        connection.read_line()
        connection.send(accepted(send=["a"]), line(type="send", name="a"))
        connection.read_line()
        connection.send(line(type="alive"))
    with Directory() as place, FakeServer(script) as server:
        make_inputs(place)
        with open(place.path + "/tree/large", "wb") as file:
            file.truncate(64 << 20)
        result = run(server, "run", "-ia=tree", "hello", cwd=place.path)
        expect(result.status == 125 and b"cannot send a message" in result.err, repr(result))


@test
def an_input_that_cannot_be_sent_is_told_before_anything_is_asked():
    with Directory() as place, FakeServer(takes("a")) as server:
        make_inputs(place)
        for option, why in (("a=nothing", b"cannot find nothing"), ("a=nowhere/x", b"cannot find nowhere/x"), ("a=one.txt/", b"cannot find one.txt/"),
                            ("a", b"no path"), ("a=", b"no path"), ("=x", b"no name of an input"), (".a=tree", b"no name of an input"),
                            ("a/b=tree", b"no name of an input"), ("-a=tree", b"no name of an input")):
            result = run(server, "run", "--input=" + option, "hello", cwd=place.path)
            expect(result.status == 125 and why in result.err, "%s: %r" % (option, result))
        result = run(server, "run", *["-ii%d=tree" % i for i in range(33)], "hello", cwd=place.path)
        expect(result.status == 125 and b"more than 32" in result.err, repr(result))
        expect(server.connections == 0, "nothing is asked")
        os.mkfifo(place.path + "/tree/pipe")
        result = run(server, "run", "-ia=tree", "hello", cwd=place.path)
        expect(result.status == 125 and b"a/pipe' is a fifo" in result.err, repr(result))


@test
def offers_store_paths_and_nothing_else():
    store = "/nix/store/" + "e" * 32 + "-x"
    with Directory() as place:
        attrs = {"outputs": {"out": place.out}, "hatch": {"builder": "hello", "inputs": {"a": place.path, "b": "/etc/hostname"}}}
        path = place.path + "/.attrs.json"
        with open(path, "w", encoding="utf-8") as file:
            json.dump(attrs, file)
        env = plain_env(NIX_BUILD_TOP=place.path, NIX_LOG_FD="2", NIX_ATTRS_JSON_FILE=path)
        with FakeServer(says(hello(), error())) as server:
            run(server, "run", "-i", "b=/etc", "-i", "c=/", env=env)
            expect(server.requests[0]["inputs"] == {"a": None, "b": None, "c": None}, server.requests)
        with FakeServer(says(hello(), error())) as server:
            run(server, "run", "--no-outputs", "other", env=env)
            expect("inputs" not in server.requests[0], server.requests)
        with FakeServer(says(hello(), error())) as server:
            result = run(server, "run", "-i", "s=" + store, "hello")
            expect(result.status == 125 and store.encode() in result.err and server.connections == 0, repr(result))


@test
def a_nix_shell_is_no_build():
    with FakeServer(says(hello(), accepted(), started(), exit_())) as server:
        result = run(server, "run", "hello", env=nix_env(out=STORE, IN_NIX_SHELL="impure"))
        expect(result.status == 0 and result.err == b"", repr(result))
        expect("outputs" not in server.requests[0], server.requests)


@test
def sets_the_phase_in_a_build():
    messages = [hello(), accepted(), line(type="queued", resource="seat", ahead=2), started(), log(b"x\n", "stderr"), exit_()]
    phase = b'@nix {"action":"setPhase","phase":"%s"}\n'
    with FakeServer(says(*messages)) as server:
        result = run(server, "run", "--no-outputs", "hello", env=nix_env())
        expect(result.err == phase % b"hatch hello" + phase % b"waiting for seat, 2 ahead" + phase % b"hatch hello" + b"x\n", repr(result))
        result = run(server, "run", "--quiet", "--no-outputs", "hello", env=nix_env())
        expect(result.err == b"x\n", repr(result))
        result = run(server, "run", "hello")
        expect(result.err == b"x\n", repr(result))


def queued(resource="seat", ahead=2):
    return line(type="queued", resource=resource, ahead=ahead)


@test
def tells_what_a_request_waits_for():
    messages = [hello(), accepted(), queued(ahead=4), queued(), started(), log(b"x", "stderr"), exit_()]
    with FakeServer(says(*messages)) as server:
        result = run(server, "run", "--no-outputs", "hello", env=nix_env())
        expect(nixlog.phases(nixlog.of_build(result.err)) == ["hatch hello", "waiting for seat, 4 ahead",
                                                              "waiting for seat, 2 ahead", "hatch hello"], repr(result))
        expect(without_phases(result.err) == b"x", repr(result))


@test
def undeclared_references_are_looked_for_in_sandboxes_alone():
    tree = tar(tar_directory("output"), tar_file("output/a", STORE.encode())), 2
    messages = success(body=tree)
    strict = [hello(), line(type="accepted", id="0" * 16, builder="hello", undeclared_references="fail")]
    for begin, env, args, status in ((strict, plain_env(), [], 125), (strict, nix_env(), [], 125),
                                     (messages[:2], plain_env(), ["--undeclared-references=fail"], 125),
                                     (messages[:2], plain_env(), ["--undeclared-references", "warn"], 0)):
        with Directory() as place, FakeServer(says(*begin, *messages[2:])) as server:
            result = run(server, "run", *args, place.option, "hello", env=env)
            expect(result.status == status and place.is_empty() == (status != 0), repr(result))
            expect(status == 0 or b"is not known" in result.err, repr(result))
            expect(server.received == (status == 0), "received")
            expect("undeclared_references" not in server.requests[0], server.requests)
    with FakeServer(says(*success(()))) as server:
        expect(run(server, "run", "--no-outputs", "--undeclared-references=fail", "hello").status == 0, "without outputs")
        result = run(server, "run", "--undeclared-references=no", "hello")
        expect(result.status == 125 and b"takes ignore, warn or fail" in result.err, repr(result))


def sandboxed(*argv):
    """A command with a mount table like that of a sandbox of Nix, and no store."""
    script = 'mount --bind "$1" "$1"; [ ! -d /nix ] || mount -t tmpfs none /nix; shift; exec "$@"'
    mapped = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", "--mount", *mapped, "sh", "-ec", script, "sh", *argv]


def run_sandboxed(server, *args, tail="/root"):
    """The client there, without any variable of Nix."""
    with tempfile.TemporaryDirectory() as place:
        root = place + "/" + "a" * 32 + "-x.drv.chroot" + tail
        os.makedirs(root)
        if subprocess.run(sandboxed(root, "true"), capture_output=True, check=False).returncode != 0:
            raise Skipped("no mount namespaces here")
        done = subprocess.run(sandboxed(root, CLIENT, *args), env=plain_env(HATCH_SOCKET=server.path if server else "/nonexistent/hatch.sock"),
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    return Result(done.returncode, done.stdout, done.stderr)


@test
def a_sandbox_without_variables_is_one_all_the_same():
    forged = [hello(), accepted(), started(), log(b'a\r@nix {"action":"setPhase"}\n'), exit_()]
    for tail, shown in (("/root", b'a\n @nix {"action":"setPhase"}\n'), ("", b'a\n @nix {"action":"setPhase"}\n'),
                        ("-not/root", b'a\r@nix {"action":"setPhase"}\n')):
        with FakeServer(says(*forged)) as server:
            result = run_sandboxed(server, "run", "hello", tail=tail)
            expect(result.status == 0 and result.out == shown, "%s: %r" % (tail, result))
    result = run_sandboxed(None, "run", "hello")
    expect(b"requiredSystemFeatures" in result.err, repr(result))


@test
def a_store_that_cannot_be_read_stops_only_what_depends_on_it():
    with Directory() as place, FakeServer(says(*success())) as server:
        result = run_sandboxed(server, "run", "--undeclared-references=fail", place.option, "hello")
        expect(result.status == 125 and place.is_empty() and b"cannot list /nix/store/" in result.err and b'"warn"' in result.err, repr(result))
        result = run_sandboxed(server, "run", "--undeclared-references=warn", place.option, "hello")
        expect(result.status == 0 and os.path.isdir(place.out), repr(result))
        expect(result.err.startswith(b"hatch: undeclared references are not looked for: cannot list /nix/store/: No such file"), repr(result))
    with Directory() as place, FakeServer(says(*success())) as server:
        result = run_sandboxed(server, "run", "--undeclared-references=warn", "--quiet", place.option, "hello")
        expect(result.status == 0 and result.err == b"", repr(result))


def phase(text):
    return line(type="phase", text=text)


@test
def phases_of_the_builder_wait_for_the_end_of_its_line_and_only_the_newest_is_shown():
    messages = [hello(), accepted(), started(), phase('place "a"'), log(b"half", "stderr"), phase("route"), phase("C:\\x"),
                log(b" a line\n@ni", "stderr"), phase("while words are held back"), log(b"xos\n", "stderr"), exit_()]
    with FakeServer(says(*messages)) as server:
        result = run(server, "run", "--no-outputs", "hello", env=nix_env())
        expect(nixlog.phases(nixlog.of_build(result.err)) == ["hatch hello", 'hatch hello: place "a"', "hatch hello: C:\\x",
                                                              "hatch hello: while words are held back"], repr(result))
        expect(without_phases(result.err) == b"half a line\n@nixos\n", repr(result))
        result = run(server, "run", "--no-outputs", "--quiet", "hello", env=nix_env())
        expect(result.err == b"half a line\n@nixos\n", repr(result))
        expect(run(server, "run", "hello").err == b"half a line\n@nixos\n", "only a terminal is told outside of Nix")


@test
def phases_of_the_server_must_be_one_line_of_text():
    for text in ("", "a\nb", "\x1b[2J", "\u0085", "x" * 257):
        expect_failure(text, hello(), accepted(), started(), phase(text), says_so=b'"text"')
    for messages in ([hello(), accepted(), phase("x")], [hello(), phase("x")], [hello(), line(type="alive")]):
        expect_failure(messages, *messages, says_so=b"out of order")


@test
def a_heartbeat_is_a_byte_that_shows_nothing():
    alive = line(type="alive")
    messages = [hello(), accepted(), alive, queued(), alive, started(), log(b"a\n", "stderr"), alive, log(b"b", "stderr"), alive,
                log(b"c\n", "stderr"), alive, exit_()]
    with FakeServer(says(*messages)) as server:
        for options in ([], ["--quiet"]):
            result = run(server, "run", "--no-outputs", "--heartbeat=30", *options, "hello", env=nix_env())
            expect(server.requests[-1]["heartbeat_sec"] == 30, server.requests[-1])
            expect(without_phases(result.err.replace(b"\r", b"")) == b"a\nb\nc\n", repr(result))
            expect(result.err.count(b"\r") == 4 and b"b\r" not in result.err, repr(result))
            expect([text for text in nix_lines(result.err) if text and not text.startswith(b"@nix")] == [b"a", b"b", b"c"], repr(result))
        expect(run(server, "run", "hello").err == b"a\nbc\n", "nothing outside of Nix")
        expect("heartbeat_sec" not in server.requests[-1], server.requests[-1])
        for wrong in ("0", "3601", "x", "-1"):
            result = run(server, "run", "--heartbeat", wrong, "hello")
            expect(result.status == 125 and b"--heartbeat takes seconds from 1 to 3600" in result.err, repr(result))


def slowly(seconds_in, seconds_out):
    """A server that takes and gives so many seconds for each MB; while a tree goes over the connection it says nothing
    else."""
    def server(server, connection):
        connection.send(hello())
        connection.read_line()
        connection.send(accepted(send=["src"]), line(type="send", name="src"))
        while (message := connection.read_line())["type"] == "input":
            connection.read_bytes(message["size"])
            time.sleep(seconds_in * message["size"] / 1000000)
        connection.send(started())
        for piece in in_pieces(BIG, 1000000):
            time.sleep(seconds_out)
            connection.send(piece)
        connection.send(output_end(BIG, 2), exit_())
        connection.read_line()
    return server


@test
def bytes_that_go_or_come_slowly_are_signs_of_life():
    for seconds in ((1, 0), (0, 1)):
        for options, least in ((["--heartbeat=1", "--quiet"], 1), (["--quiet"], 0)):
            with Directory() as place, FakeServer(slowly(*seconds)) as server:
                make_inputs(place)
                begun = time.monotonic()
                result = run(server, "run", *options, "-isrc=tree", place.option, "hello", cwd=place.path, env=nix_env())
                spent = time.monotonic() - begun
                expect(result.status == 0 and result.err.strip(b"\r") == b"", repr(result))
                expect(least <= len(result.err) <= (spent if least else 0), "%d signs of life in %.1f s: %r" % (len(result.err), spent, result))


@test
def a_server_that_takes_nothing_for_a_while_is_waited_for_with_signs_of_life():
    def stands_still(server, connection):
        connection.send(hello())
        connection.read_line()
        connection.send(accepted(send=["src"]), line(type="send", name="src"))
        time.sleep(3.5)
        while (message := connection.read_line())["type"] == "input":
            connection.read_bytes(message["size"])
        connection.send(started(), exit_())
        connection.read_line()
    for options, least in ((["--heartbeat=1", "--quiet"], 2), (["--quiet"], 0)):
        with Directory() as place, FakeServer(stands_still) as server:
            make_inputs(place)
            begun = time.monotonic()
            result = run(server, "run", "--no-outputs", *options, "-isrc=tree", "hello", cwd=place.path, env=nix_env())
            spent = time.monotonic() - begun
            expect(result.status == 0 and result.err.strip(b"\r") == b"", repr(result))
            expect(least <= len(result.err) <= (spent if least else 0), "%d signs of life in %.1f s: %r" % (len(result.err), spent, result))


@test
def the_connection_is_not_taken_for_the_log_of_nix():
    """Whatever NIX_LOG_FD says: a number that nobody has open would be that of the connection."""
    for number in ("3", "4", "5", "99"):
        with FakeServer(says(*success(()))) as server:
            result = run(server, "run", "--no-outputs", "hello", env=plain_env(NIX_BUILD_TOP="/nonexistent", NIX_LOG_FD=number))
            expect(result.status == 0 and result.err == b"" and server.requests[0]["type"] == "request", repr(result))
    ours, theirs = socket.socketpair()
    with ours, theirs, FakeServer(says(*success(()))) as server:
        env = plain_env(NIX_BUILD_TOP="/nonexistent", NIX_LOG_FD=str(theirs.fileno()))
        result = run(server, "run", "--no-outputs", "hello", env=env, pass_fds=[theirs.fileno()])
        theirs.close()
        expect(result.status == 0 and ours.recv(100) == b"", repr(result))


@test
def words_of_the_server_are_escaped_in_instructions_to_nix():
    for resource in ('"}\n@nix {"action":"msg"}', "\x1b[2J\x07\x7f", "a\\b", "H\u00e4\u6f22", "\u009b2J", "x" * 5000, '"' * 5000):
        with FakeServer(says(hello(), accepted(), queued(resource), started(), exit_())) as server:
            result = run(server, "run", "--no-outputs", "hello", env=nix_env())
            expect(result.status == 0, repr(result))
            shown = nixlog.phases(nixlog.of_build(result.err))
            expect(len(shown) == 3 and shown[1].startswith("waiting for ") and len(shown[1]) < 600, repr(shown))
            expect(result.err.count(b"\n") == 3, repr(result))
    expect(shown[1].count('"') > 400, shown)


BIG = tar(tar_directory("output"), tar_file("output/big", b"x" * 3000000))


def in_pieces(stream, length=500000):
    return [output(stream[i:i + length]) for i in range(0, len(stream), length)]


@test
def bytes_that_come_are_an_activity_of_nix():
    messages = [hello(), accepted(), started(), log(b"no newline", "stderr"), *in_pieces(BIG), output_end(BIG, 2), exit_()]
    for quiet in (False, True):
        with Directory() as place, FakeServer(says(*messages)) as server:
            options = ["--quiet"] if quiet else []
            result = run(server, "run", *options, "hello", env=nix_env(out=place.out))
            expect(result.status == 0, repr(result))
            found = nixlog.transfers(nixlog.of_build(result.err))
            if quiet:
                expect(found == [] and result.err == b"no newline", repr(result))
                continue
            [(text, told)] = found
            expect(text == "receiving output out of hatch hello", text)
            expect(told[-1] == len(BIG) and told == sorted(told) and told[0] >= 1 << 20, told)
            expect(b"no newline\n@nix" in result.err, "it begins a line: %r" % result)


@test
def bytes_that_go_are_an_activity_of_nix_too():
    with Directory() as place, FakeServer(takes("src")) as server:
        make_inputs(place)
        result = run(server, "run", "--no-outputs", "-isrc=" + place.path + "/tree", "hello", env=nix_env(out=place.out))
        expect(result.status == 0, repr(result))
        [(text, told)] = nixlog.transfers(nixlog.of_build(result.err))
        expect(text == "sending input src of hatch hello" and told[-1] == len(server.inputs["src"][0]), (text, told))


@test
def small_transfers_and_those_outside_of_nix_are_not_told():
    with Directory() as place, FakeServer(says(*success())) as server:
        result = run(server, "run", "hello", env=nix_env(out=place.out))
        expect(nixlog.transfers(nixlog.of_build(result.err)) == [], repr(result))
    with Directory() as place, FakeServer(says(hello(), accepted(), started(), *in_pieces(BIG), output_end(BIG, 2), exit_())) as server:
        result = run(server, "run", place.option, "hello")
        expect(result.status == 0 and result.err == b"", repr(result))


@test
def a_transfer_that_fails_ends_too_and_the_reason_is_last():
    with Directory() as place, FakeServer(says(hello(), accepted(), started(), *in_pieces(BIG)[:5])) as server:
        result = run(server, "run", "hello", env=nix_env(out=place.out))
        expect(result.status == 125 and place.is_empty(), repr(result))
        expect(len(nixlog.transfers(nixlog.of_build(result.err))) == 1, repr(result))
        expect(result.err.rsplit(b"@nix ", 1)[1].split(b"\n", 1)[1].startswith(b"hatch: the server closed"), repr(result))


def nix_lines(data):
    """What Nix makes of a build's pseudo terminal: \\r goes back to column 0."""
    lines, current, at = [], bytearray(), 0
    for byte in data:
        if byte == 13:
            at = 0
        elif byte == 10:
            lines.append(bytes(current))
            current, at = bytearray(), 0
        else:
            if at >= len(current):
                current.append(byte)
            else:
                current[at] = byte
            at += 1
    return lines + [bytes(current)]


def spoken(data):
    """The lines that Nix would take for instructions."""
    return [text for text in nix_lines(data) if text.startswith(b"@nix ")]


def show(pieces, env, terminal):
    """What comes out of one pipe, or one raw pseudo terminal, that is stdout and stderr."""
    messages = [hello(), accepted(), started()] + [log(data, stream) for stream, data in pieces] + [exit_()]
    with FakeServer(says(*messages)) as server:
        if terminal:
            reader, writer = pty.openpty()
            tty.setraw(writer)
        else:
            reader, writer = os.pipe()
        env = dict(env, HATCH_SOCKET=server.path)
        with subprocess.Popen([CLIENT, "run", "--quiet", "--no-outputs", "hello"], env=env, stdin=subprocess.DEVNULL,
                              stdout=writer, stderr=writer) as process:
            os.close(writer)
            shown = b""
            while True:
                try:
                    data = os.read(reader, 65536)
                except OSError as failure:
                    expect(failure.errno == errno.EIO, failure)
                    break
                if not data:
                    break
                shown += data
            os.close(reader)
        expect(process.returncode == 0, shown)
        return shown


@test
def instructions_to_nix_are_never_passed_on():
    attack = b'@nix {"action":"setPhase"}\n'
    cases = {
        "plain": [("stdout", attack)],
        "second line": [("stdout", b"x\n" + attack)],
        "split": [("stdout", attack[i:i + 1]) for i in range(len(attack))],
        "after cr": [("stdout", b"x\r" + attack)],
        "overwritten": [("stdout", b"Z" + attack[1:-1] + b"\r@\n")],
        "two streams": [("stdout", b"x"), ("stderr", b"\n"), ("stdout", attack)],
        "two halves": [("stdout", b"@n"), ("stderr", b"ix {}\n")],
        "held twice": [("stdout", b"@ni"), ("stderr", b"@"), ("stdout", b"x {}\n")],
        "cut character": [("stdout", b"\n\xc3"), ("stderr", attack)],
    }
    for what, pieces in cases.items():
        for terminal in (False, True):
            shown = show(pieces, nix_env(), terminal)
            expect(spoken(shown) == [], "%s: %r" % (what, shown))
    expect(show([("stdout", b"a\n" + attack)], nix_env(), False) == b"a\n " + attack, "a space stands in front")


@test
def no_mixture_of_streams_speaks_to_nix():
    chance = random.Random(1)
    parts = [b"@", b"n", b"i", b"x", b" ", b"@nix ", b"@nix {}", b"\r", b"\n", b"\r\n", b"\xc3", b"\xa4", b"z"]
    for _ in range(40):
        pieces = [(chance.choice(("stdout", "stderr")), b"".join(chance.choices(parts, k=chance.randint(1, 6))))
                  for _ in range(60)]
        for terminal in (False, True):
            shown = show(pieces, nix_env(), terminal)
            expect(spoken(shown) == [], "%r: %r" % (pieces, shown))


@test
def what_only_resembles_an_instruction_is_left_alone():
    for data in (b"@nixos\n", b"@\n", b"@n\n", b" @nix {}\n", b"x @nix {}\n", b"@ni", b"@@nix {}\n", b"\t@nix \n"):
        for cut in range(1, len(data) + 1):
            shown = show([("stdout", data[:cut])] + ([("stdout", data[cut:])] if data[cut:] else []), nix_env(), False)
            expect(shown == data, "%r: %r" % (data, shown))


@test
def line_ends_are_mended_in_a_build():
    for pieces in ([b"a\r\nb\r\n"], [b"a\r", b"\nb\r", b"\n"], [b"a", b"\r", b"\n", b"b", b"\r\n"]):
        shown = show([("stdout", piece) for piece in pieces], nix_env(), False)
        expect(shown == b"a\nb\n", "%r: %r" % (pieces, shown))
    expect(show([("stdout", b"1%\r2%\r")], nix_env(), False) == b"1%\n2%\n", "a progress line becomes lines")


@test
def a_file_in_a_build_gets_every_byte():
    data = b"\x7fELF\r\n@nix {}\n\xff"
    with Directory() as place, FakeServer(says(hello(), accepted(), started(), log(data), exit_())) as server:
        with open(place.out, "wb") as file:
            env = dict(nix_env(), HATCH_SOCKET=server.path)
            done = subprocess.run([CLIENT, "run", "--no-outputs", "hello"], env=env, stdout=file, stderr=subprocess.PIPE,
                                  timeout=30, check=False)
        expect(done.returncode == 0 and open(place.out, "rb").read() == data, done)


@test
def control_characters_are_escaped_on_a_terminal():
    data = b"\x1b]0;t\x07\x1b[2J\x9b\xc2\x9b6n\x08\x7f\x00\xc0\xaf\xe0\x80\x9b\xed\xa0\x80\xf4\x90\x80\x80 tab\t \xc3\xa4 \xf0\x9f\x98\x80\\\n"
    want = (b"\\x1b]0;t\\x07\\x1b[2J\\x9b\\xc2\\x9b6n\\x08\\x7f\\x00\\xc0\\xaf\\xe0\\x80\\x9b\\xed\\xa0\\x80\\xf4\\x90\\x80\\x80"
            b" tab\t \xc3\xa4 \xf0\x9f\x98\x80\\\n")
    for pieces in ([data], [data[i:i + 1] for i in range(len(data))]):
        shown = show([("stdout", piece) for piece in pieces], plain_env(), True)
        expect(shown == want, repr(shown))
    shown = show([("stdout", b"\xc3"), ("stderr", b"-"), ("stdout", b"\xa4\xe2\x82")], plain_env(), True)
    expect(shown == b"-\xc3\xa4\\xe2\\x82", "a character stays whole: %r" % shown)


@test
def raw_shows_every_byte_on_a_terminal():
    data = b"\x1b[1mx\x1b[0m\r\n@nix {}\r\xff"
    reader, writer = pty.openpty()
    tty.setraw(writer)
    with FakeServer(says(hello(), accepted(), started(), log(data), exit_())) as server:
        subprocess.run([CLIENT, "run", "--raw", "hello"], env=plain_env(HATCH_SOCKET=server.path), stdout=writer,
                       stderr=writer, timeout=30, check=True)
    shown = os.read(reader, 65536)
    os.close(reader)
    os.close(writer)
    expect(shown == data, repr(shown))


@test
def reasons_begin_a_line_of_their_own():
    messages = [hello(), accepted(), started(), log(b"no newline", "stderr"), exit_(3)]
    for env in (plain_env(), nix_env()):
        with FakeServer(says(*messages)) as server:
            result = run(server, "run", "--no-outputs", "hello", env=env)
            expect(b"no newline\nhatch: builder hello failed" in result.err, repr(result))
    with FakeServer(says(*messages)) as server:
        result = run(server, "run", "--quiet", "hello")
        expect(result.status == 3 and b"hatch:" not in result.err, repr(result))


# ---- ends from outside ----

def start(server, *args, **options):
    env = plain_env(HATCH_SOCKET=server.path)
    return subprocess.Popen([CLIENT, "run", *args], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, **options)


def interrupted(messages, number, **options):
    """Sends messages, then a signal to the client; returns status, stderr, whether nothing is left."""
    ready, hung_up = threading.Event(), []

    def script(_server, connection):
        connection.send(messages[0])
        connection.read_line()
        connection.send(*messages[1:])
        time.sleep(0.2)
        ready.set()
        hung_up.append(connection.wait_for_hang_up())
    with Directory() as place, FakeServer(script) as server:
        process = start(server, place.option, "hello", **options)
        expect(ready.wait(20), "the client never asked")
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
        server.settle()
        expect(hung_up == [True], "the connection must be closed")
        return process.returncode, err, place.is_empty()


@test
def a_signal_cancels_and_leaves_nothing():
    stream, entries = small_tree()
    second = tar(tar_directory("output"), tar_file("output/big", b"x" * 300000))
    for messages in ([hello()], [hello(), accepted()], [hello(), accepted(), started(), log(b"x")],
                     [hello(), accepted(), started(), output(second[:200000])],
                     [hello(), accepted(), started(), output(stream), output_end(stream, entries)]):
        for number in (signal.SIGINT, signal.SIGTERM):
            status, err, empty = interrupted(messages, number)
            expect(status == 128 + number, "%r %r" % (status, err))
            expect(b"signal %d" % number in err and empty, "%s: %r" % (PARTIAL, err))


@test
def a_signal_wins_over_a_result_that_waits_to_be_read():
    def script(server, connection):
        connection.send(hello())
        connection.read_line()
        pid = server.client_pid()
        os.kill(pid, signal.SIGSTOP)
        connection.send(*success()[1:])
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGCONT)
        server.received += connection.read_line() is not None
    with Directory() as place, FakeServer(script) as server:
        process = start(server, place.option, "hello")
        server.tell_client_pid(process.pid)
        process.communicate(timeout=20)
        server.settle()
        expect(process.returncode == 143 and place.is_empty() and server.received == 0, process.returncode)


@test
def a_signal_ends_the_tries():
    with FakeServer(closes) as server:
        process = start(server, "hello")
        wait_until(lambda: server.connections > 1, "a second try")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        expect(process.returncode == 130, process.returncode)


@test
def an_ignored_signal_stays_ignored():
    def script(server, connection):
        connection.send(hello())
        connection.read_line()
        os.kill(server.client_pid(), signal.SIGINT)
        time.sleep(0.2)
        connection.send(accepted(), started(), exit_())
        connection.read_line()
    with FakeServer(script) as server:
        process = subprocess.Popen(["/bin/sh", "-c", 'trap "" INT; exec "$0" run hello', CLIENT],
                                   env=plain_env(HATCH_SOCKET=server.path), stderr=subprocess.PIPE)
        server.tell_client_pid(process.pid)
        _, err = process.communicate(timeout=20)
        expect(process.returncode == 0, err)


@test
def waits_for_a_server_that_is_silent_after_its_greeting():
    with FakeServer(lambda _server, connection: (connection.send(hello()), connection.wait_for_hang_up())) as server:
        process = start(server, "hello")
        try:
            process.communicate(timeout=2)
            expect(False, "the client did not wait")
        except subprocess.TimeoutExpired:
            wait_until(lambda: server.connections, "its connection")
            process.terminate()
            process.communicate(timeout=20)
        expect(process.returncode == 143, process.returncode)


@test
def a_closed_stdout_cancels():
    messages = [hello(), accepted(), started()] + [log(b"x" * 65536)] * 64 + [exit_()]
    with FakeServer(says(*messages)) as server:
        process = start(server, "hello")
        process.stdout.close()
        err = process.stderr.read()
        expect(process.wait(20) == 125 and b"cannot write the log to stdout" in err, err)


@test
def runs_with_closed_standard_descriptors():
    with Directory() as place, FakeServer(says(*success(logs=b"log\n"))) as server:
        result = run(server, "run", place.option, "hello", preexec_fn=lambda: [os.close(i) for i in (0, 1, 2)])
        expect(result.status == 0 and open(place.out + "/a", "rb").read() == b"first\n", repr(result))
        expect(server.received == 1 and server.failure is None, "the log went into the connection: %s" % server.failure)


@test
def writes_to_a_pipe_that_does_not_block():
    data = b"y" * 3000000
    pieces = [log(data[i:i + 65536]) for i in range(0, len(data), 65536)]
    with FakeServer(says(hello(), accepted(), started(), *pieces, exit_())) as server:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        process = subprocess.Popen([CLIENT, "run", "hello"], env=plain_env(HATCH_SOCKET=server.path), stdout=writer)
        os.close(writer)
        got = 0
        while True:
            time.sleep(0.001)
            part = os.read(reader, 65536)
            if not part:
                break
            got += len(part)
        os.close(reader)
        expect(process.wait(20) == 0 and got == len(data), "%d bytes" % got)


@test
def log_bytes_are_shown_as_they_come():
    go = threading.Event()

    def script(_server, connection):
        connection.send(hello())
        connection.read_line()
        connection.send(accepted(), started(), log(b"first"))
        expect(go.wait(PATIENCE), "the first bytes were held back")
        connection.send(exit_())
        connection.read_line()
    with FakeServer(script) as server:
        process = start(server, "hello")
        ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
        expect(ready and os.read(process.stdout.fileno(), 100) == b"first", "shown before the end")
        go.set()
        process.communicate(timeout=20)
        expect(process.returncode == 0 and server.failure is None, server.failure)


@test
def memory_does_not_grow_with_log_or_output():
    piece = log(b"0123456789abcde\n" * 4096)
    body = b"\x01" * 1048576

    def script(server, connection):
        connection.send(hello())
        connection.read_line()
        connection.send(accepted(), started())
        for _ in range(1000):
            connection.send(piece)
        connection.send(output(tar_directory("output") + tar_header("output/big", b"0", 64 * len(body))))
        for _ in range(64):
            connection.send(output(body))
        connection.send(error("limit", "enough"))
    def small():
        resource.setrlimit(resource.RLIMIT_DATA, (6 * 1024 * 1024, 6 * 1024 * 1024))
    if run(None, "--version", preexec_fn=small).status != 0:
        raise Skipped("a client under a sanitizer needs more memory than the limit to start")
    with Directory() as place, FakeServer(script) as server:
        result = run(server, "run", place.option, "hello", preexec_fn=small)
        expect(result.status == 125 and b"limit: enough" in result.err, repr(result))
        expect(len(result.out) == 1000 * 65536 and place.is_empty(), "all of the log, nothing of the output")


# ---- command line ----

@test
def prints_help_and_version():
    expect(run(None, "--help").out.startswith(b"usage: hatch run"), "help")
    expect(run(None, "run", "--help").status == 0, "help of run")
    expect(run(None, "--version").out.startswith(b"hatch "), "version")


@test
def tells_what_is_wrong_on_the_command_line():
    for args in ([], ["walk"], ["--socket", "/x"], ["run"], ["run", "--walk", "x"], ["run", "--output"], ["run", "-t", "0", "x"],
                 ["run", "-t", "1h", "x"], ["run", "-t", "31536001", "x"], ["run", "-e", "A=B=C", "Hello"],
                 ["run", "-e", "1=2", "x"], ["run", "-e", "NOT_SET_HERE", "x"], ["run", "--request-id", "a b", "x"],
                 ["run", "--output", "OUT=/tmp/x", "x"], ["run", "--output", "out", "x"], ["run", "../x"],
                 ["run", "--no-outputs", "--output=out=/tmp/x-no", "x"], ["list", "x"], ["list", "-q"], ["ping", "--raw"],
                 ["run", "--output=out=/tmp/hatch-x", "--output=out=/tmp/hatch-y", "x"], ["run", "x", "y" * 110000] + ["z" * 110000] * 9):
        result = run(None, *args)
        expect(result.status == 125 and result.err.startswith(b"hatch: "), "%r: %r" % (args[:4], result))
        expect(b"/nonexistent/hatch.sock" not in result.err, "%r: told before connecting: %r" % (args[:4], result))


def judge(function):
    try:
        function()
    except Skipped as why:
        return "SKIP %s: %s" % (function.__name__, why), True
    except Exception as why:  # every kind of end is a result
        return "FAIL %s: %s" % (function.__name__, " ".join(str(why).split()) or repr(why)), False
    return "ok " + function.__name__, True


def main():
    chosen = [t for t in TESTS if len(sys.argv) < 2 or t.__name__ in sys.argv[1:]]
    # Most of the time passes in pauses of the client and in starting it.
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        good = True
        for text, fine in pool.map(judge, chosen):
            print(text, flush=True)
            good = good and fine
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
