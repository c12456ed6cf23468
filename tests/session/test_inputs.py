#!/usr/bin/env python3
"""Trees that a client gives along, against a real hatchd: what arrives, and what is done to a client that sends
anything else."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import fake_server  # noqa: E402
import test_server  # noqa: E402
from fake_server import tar, tar_directory, tar_file, tar_header, tar_symlink  # noqa: E402
from test_server import hatchwire  # noqa: E402

REQUEST = {"type": "request", "version": 1, "builder": "take", "inputs": {"src": None}}
STALL_SEC = 60

server = None
patient = None  # of its own: nothing else is to wait for the one that stalls
stalling = None
stalled = []


def small():
    return fake_server.small_tree()[0]


def clean():
    server.wait_idle()
    assert not server.leftovers(), server.leftovers()


def ask(connection, **members):
    """Ask, and be asked to send."""
    connection.receive()
    connection.send({**REQUEST, **members})
    messages = connection.receive_until("send", "error", "exit")
    assert messages[-1]["type"] == "send", messages
    return messages


def answer_to(data, **members):
    """What the server says last after a client that was asked for its input has said data."""
    with hatchwire.Connection(server.socket) as c:
        ask(c, **members)
        try:
            c.send_raw(data)
        except OSError:
            pass  # the server may have seen enough before the last byte
        return hatchwire.Result(c.receive_until("error", "exit"))


def piece(data, name="src", kind="input"):
    return fake_server.line(type=kind, name=name, size=len(data)) + data


def end(data, entries=4, name="src", **wrong):
    return fake_server.output_end(data, entries, name, **wrong).replace(b"output-end", b"input-end")


# --- what arrives -----------------------------------------------------------------------------------------------------


def test_a_directory_a_file_and_a_symlink_arrive_under_their_names():
    trees = {"src": small(), "one.txt": tar(tar_file("output", b"hello\n", True)), "Link_1": tar(tar_symlink("output", "/etc/x")),
             "none": tar(tar_directory("output")), "void": tar(tar_file("output", b""))}
    result = server.request("take", trees=trees)
    lines = set(result.stdout.splitlines())
    assert {b"d src", b"f src/a first", b"x src/b #!", b"l src/c -> a", b"x one.txt hello", b"l Link_1 -> /etc/x", b"d none",
            b"f void "} == lines, (lines, result)
    assert result.messages[0]["send"] == list(trees), result
    assert [m["name"] for m in result.messages if m["type"] == "send"] == list(trees), result
    receipt = result.last["receipt"]
    assert (receipt["inputs"], receipt["input_bytes"]) == (5, sum(map(len, trees.values()))), receipt
    assert "inputs_bound" not in receipt, receipt
    clean()


def test_inputs_cannot_be_changed_by_the_builder():
    result = server.request("spoil", trees={"src": small(), "one": tar(tar_file("output", b"x"))})
    assert result.stdout == b"kept\n" * 5 and result.code == 0, result


def test_a_builder_that_takes_inputs_has_their_directory_also_without_any():
    assert server.request("take").stdout == b"", "something is there"
    assert server.request("where").stdout == b"/build/inputs\n"
    assert server.request("nowhere").stdout == b"unset\n"


def test_the_real_client_sends_what_the_server_has_not():
    with tempfile.TemporaryDirectory() as place:
        os.mkdir(f"{place}/tree")
        data = os.urandom(5 << 20)
        pathlib.Path(place, "tree/big").write_bytes(data)
        os.symlink("tree", f"{place}/link")
        done = subprocess.run([test_server.HATCH, "run", "--socket", server.socket, "-i", "t=tree", "--input", "here=tree/", "-i", "l=link",
                               "-i", "through=link/", "-i", f"file={place}/tree/big", "sums"],
                              cwd=place, capture_output=True, text=True, timeout=60)
    sums = dict(reversed(line.split("  ")) for line in done.stdout.splitlines())
    assert done.returncode == 0 and len(sums) == 4 and len(set(sums.values())) == 1, done
    assert set(sums) == {"/build/inputs/t/big", "/build/inputs/here/big", "/build/inputs/through/big", "/build/inputs/file"}, done
    clean()


def test_a_request_without_the_key_is_refused():
    result = server.request("nowhere", trees={"src": small()})
    assert result.error == "refused" and '"inputs" is not true' in result.last["message"], result


def test_a_store_path_of_nobody_known_must_be_sent():
    """Who asks is no Nix build: whatever it says of the path."""
    result = server.request("take", trees={"src": small()},
                            inputs={"src": "/nix/store/" + "0" * 32 + "-x"})
    assert result.code == 0 and "inputs_bound" not in result.last["receipt"], result


def test_a_path_that_is_no_store_path_is_refused():
    for path in ("/etc", "src", "/nix/store/" + "0" * 32, "/nix/store/" + "0" * 32 + "-x/y/", "/nix/store/" + "0" * 32 + "-x/../y",
                 "/nix/store/../" + "0" * 32 + "-x"):
        result = server.request("take", inputs={"src": path})
        assert result.error == "bad-request" and "no store path" in result.last["message"], (path, result)


# --- limits -----------------------------------------------------------------------------------------------------------


def test_both_sides_of_the_limits():
    fits = {"a": tar(tar_file("output", b"x" * 60000)), "b": tar(tar_directory("output"), tar_file("output/1", b"y"))}
    assert server.request("narrow", trees=fits).code == 0
    result = server.request("narrow", trees={"a": tar(tar_file("output", b"x" * 100001))})
    assert result.error == "limit" and "limits.input in" in result.last["hint"], result
    assert server.request("narrow", trees={"a": tar(tar_file("output", b"x" * 100000))}).code == 0
    files = [tar_file(f"output/{i}", b"") for i in range(1, 6)]
    result = server.request("narrow", trees={"a": tar(tar_directory("output"), *files)})
    assert result.error == "limit" and "limits.input_entries in" in result.last["hint"], result
    assert server.request("narrow", trees={"a": tar(tar_directory("output"), *files[:4])}).code == 0
    clean()


def test_the_limits_hold_for_all_inputs_together():
    half = tar(tar_file("output", b"x" * 50000))
    assert server.request("narrow", trees={"a": half, "b": half}).code == 0
    more = tar(tar_file("output", b"x" * 50001))
    result = server.request("narrow", trees={"a": half, "b": more})
    assert result.error == "limit" and "limits.input in" in result.last["hint"], result
    both = tar(tar_directory("output"), tar_file("output/1", b""), tar_file("output/2", b""))
    result = server.request("narrow", trees={"a": both, "b": both})
    assert result.error == "limit" and "limits.input_entries in" in result.last["hint"], result
    clean()


def test_a_size_that_is_only_said_is_refused_before_it_comes():
    begun = time.monotonic()
    result = answer_to(piece(tar_header("output", b"0", 1 << 32)), builder="narrow")
    assert result.error == "limit" and time.monotonic() - begun < 5, result
    clean()


def test_a_directory_has_its_price():
    directories = [tar_directory("output"), tar_directory("output/1"), tar_directory("output/2")]
    assert server.request("dear", trees={"a": tar(*directories[:2])}).code == 0
    result = server.request("dear", trees={"a": tar(*directories)})
    assert result.error == "limit" and "limits.input in" in result.last["hint"], result
    clean()


def test_scratch_is_watched_while_inputs_come():
    with hatchwire.Connection(server.socket) as c:
        ask(c, builder="little")
        c.send_raw(piece(tar_header("output", b"0", 64 << 20)))
        for _ in range(8):
            c.send_raw(piece(b"x" * (1 << 20)))
        # It has not sent all of it, and does not go on.
        answer = c.receive_until("error")[-1]
        assert answer["code"] == "limit" and "limits.scratch in" in answer["hint"], answer
    clean()


def test_a_client_that_goes_on_after_its_limit_is_told_all_the_same():
    with hatchwire.Connection(server.socket) as c:
        ask(c, builder="narrow")
        stream = tar(tar_file("output", b"x" * (64 << 20)))
        try:
            for at in range(0, len(stream), 1 << 20):
                c.send_raw(piece(stream[at:at + (1 << 20)]))
            raise AssertionError("everything was taken")
        except OSError:
            pass
        assert c.receive_until("error")[-1]["code"] == "limit"
    clean()


# --- what is no input -------------------------------------------------------------------------------------------------


def test_messages_that_do_not_fit_the_moment_are_breaches():
    stream = small()
    for said in (b"hello\n", b"{}\n", b"[" * 100 + b"\n", piece(stream, "other"), piece(stream, "../src"), piece(stream, kind="output"),
                 fake_server.line(type="received"), fake_server.line(**REQUEST), fake_server.line(type="input", name="src", size=0),
                 fake_server.line(type="input", name="src", size=(1 << 20) + 1), fake_server.line(type="input", name="src"),
                 piece(stream) + end(stream, name="other"), piece(stream) + end(stream) + piece(stream), piece(stream) + end(stream) + end(stream),
                 b"x" * 70000):
        result = answer_to(said)
        assert result.error == "bad-request" and "started" not in result.types, (said[:80], result)
    clean()


def test_many_small_pieces_are_a_breach():
    # After 8 KiB in one piece there may be two more than 1,024, the last of which is large again.
    stream = tar(tar_file("output", b"x" * 100000))
    for n, taken in ((1024, True), (1025, False)):
        parts = [stream[:8192], *(stream[8192 + at:][:1] for at in range(n)), stream[8192 + n:]]
        result = answer_to(b"".join(map(piece, parts)) + end(stream, 1))
        assert result.code == 0 if taken else "too many small pieces of the input src" in result.last["message"], (n, result)
    clean()


def test_a_record_that_does_not_agree_with_the_stream_is_a_breach():
    stream = small()
    for wrong in ({"entries": 3}, {"entries": 5}, {"bytes": len(stream) - 1}, {"bytes": 0}, {"sha256": "0" * 64}):
        result = answer_to(piece(stream) + end(stream, **wrong))
        assert result.error == "bad-request" and "is not what was sent" in result.last["message"], (wrong, result)
    clean()


def test_streams_that_are_none_are_breaches():
    up = tar(tar_directory("output"), tar_file("output/../x", b""))
    for stream in (b"", b"garbage" * 1000, small()[:-512], small()[:700], small() + b"x", tar(), tar(tar_file("other", b"")), up,
                   tar(tar_file("/output", b"")), tar(tar_directory("output"), tar_header("output/n", b"3")),
                   tar(tar_directory("output"), tar_header("output/p", b"6")), tar(tar_file("output", b""), tar_file("output/x", b"")),
                   tar(tar_symlink("output", "/tmp"), tar_file("output/x", b"")), tar(tar_directory("output"), tar_header("output/l", b"1", link="/etc/passwd")),
                   tar(tar_directory("output"), tar_file("output/b", b""), tar_file("output/a", b""))):
        pieces = piece(stream) if stream else b""
        result = answer_to(pieces + end(stream))
        assert result.error == "bad-request" and "started" not in result.types, (stream[:100], result)
    clean()


def test_an_input_that_nobody_asked_for_yet_is_a_breach():
    with hatchwire.Connection(server.socket) as c:
        c.receive()
        c.send_raw(fake_server.line(**REQUEST) + piece(small()))
        last = c.receive_until("error")[-1]
        assert last["code"] == "bad-request", last
    with hatchwire.Connection(server.socket) as c:
        ask(c, builder="stays")
        c.send_raw(piece(small()) + end(small()))
        c.receive_until("started")
        c.send_raw(piece(small()))
        last = c.receive_until("error", "exit")[-1]
        assert last.get("code") == "bad-request", last
    clean()


# --- clients that leave, and that do not --------------------------------------------------------------------------------


def test_a_client_that_is_gone_in_the_middle_leaves_nothing():
    for said in (b"", b'{"type":"inp', fake_server.line(type="input", name="src", size=1000) + b"x" * 10, piece(small()[:700]), piece(small())):
        with hatchwire.Connection(server.socket) as c:
            ask(c)
            c.send_raw(said)
        clean()
    assert "cancelled" in server.log_text()


def test_a_client_that_only_says_no_more_is_told():
    for said in (b"", b'{"type":"inp', piece(small())):
        with hatchwire.Connection(server.socket) as c:
            ask(c)
            c.send_raw(said)
            c.half_close()
            last = c.receive_until("error")[-1]
            assert last["code"] == "bad-request" and "src" in last["message"], last
    clean()


def test_a_service_that_is_stopped_tells_a_client_in_the_middle():
    with hatchwire.Connection(server.socket) as c:
        ask(c)
        c.send_raw(piece(small()))
        time.sleep(0.2)
        os.kill(server.monitor(), signal.SIGTERM)
        assert c.receive_until("error")[-1]["code"] == "stopping"
    clean()


def test_a_client_that_drips_is_ended_by_the_time_for_all_inputs():
    with hatchwire.Connection(server.socket) as c:
        ask(c, builder="hurried")
        begun = time.monotonic()
        c.send_raw(fake_server.line(type="input", name="src", size=1 << 20))
        for byte in small() * 100:
            try:
                c.send_raw(bytes([byte]))
                time.sleep(0.05)
            except OSError:
                break
        answer = c.receive_until("error")[-1]
        assert answer["code"] == "limit" and "limits.input_sec in" in answer["hint"], answer
        assert 1.9 < time.monotonic() - begun < 10, answer
    clean()
    assert server.request("hurried", trees={"src": small()}).code == 0


def stall(path):
    """A client that sends half of its input and then nothing, without going away."""
    with hatchwire.Connection(path, timeout=STALL_SEC + 20) as c:
        ask(c)
        c.send_raw(piece(small()))
        begun = time.monotonic()
        last = c.receive_until("error")[-1]
        stalled.append((last["code"], last["message"], time.monotonic() - begun))


# The last one: it was begun first.
def test_a_client_that_stalls_gives_its_slot_back_after_a_minute():
    stalling.join(STALL_SEC + 20)
    assert stalled and stalled[0][0] == "bad-request" and "no byte of the input src" in stalled[0][1], stalled
    assert STALL_SEC - 1 <= stalled[0][2] < STALL_SEC + 10, stalled
    patient.wait_idle()
    assert not patient.leftovers(), patient.leftovers()


LIST = r"""cd "$HATCH_INPUTS"; find . -mindepth 1 | while read -r p; do n=${p#./}
if [ -L "$n" ]; then echo "l $n -> $(readlink "$n")"; elif [ -d "$n" ]; then echo "d $n"
elif [ -x "$n" ]; then echo "x $n $(cat "$n")"; else echo "f $n $(cat "$n")"; fi; done
"""
SPOIL = r"""cd "$HATCH_INPUTS"; for f in new src/new src/a one; do (echo x >"$f") 2>/dev/null || echo kept; done
chmod 777 src 2>/dev/null || echo kept"""

BUILDERS = {
    "take": (LIST, {"inputs": True}),
    "spoil": (SPOIL, {"inputs": True}),
    "where": ('echo "$HATCH_INPUTS"', {"inputs": True}),
    "nowhere": ('echo "${HATCH_INPUTS-unset}"', {}),
    "stays": ("sleep 60", {"inputs": True}),
    "hurried": ("true", {"inputs": True, "limits": {"input_sec": 2}}),
    "sums": ('find "$HATCH_INPUTS" -type f -exec sha256sum {} +', {"inputs": True}),
    "little": ("true", {"inputs": True, "limits": {"scratch": "4M"}}),
    "dear": ("true", {"inputs": True, "limits": {"input": 8192}}),
    "narrow": ("true", {"inputs": True, "limits": {"input": 100000, "input_entries": 5}}),
}


def main():
    global server, patient, stalling
    server, patient = test_server.Server(), test_server.Server()
    failed = 0
    try:
        for one in (server, patient):
            for name, (script, keys) in BUILDERS.items():
                one.builder(name, script, **keys)
            one.start()
        only = sys.argv[1:]
        tests = [(name[5:], f) for name, f in globals().items() if name.startswith("test_") and callable(f)]
        stalling = threading.Thread(target=stall, args=[patient.socket], daemon=True)
        if not only or any("stalls" in name for name in only):
            stalling.start()
        for name, function in tests:
            if only and name not in only:
                continue
            try:
                function()
                print(f"ok {name}", flush=True)
            except Exception as error:  # every way to fail is one line
                failed += 1
                print(f"FAIL {name}: {type(error).__name__}: {error}".replace("\n", "\\n"), flush=True)
        if failed or "Sanitizer" in server.log_text():
            sys.stderr.write(server.log_text()[-8000:])
        if "Sanitizer" in server.log_text():
            print("FAIL no_sanitizer_complains: see the log above")
            failed += 1
    finally:
        server.stop()
        patient.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
