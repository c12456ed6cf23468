#!/usr/bin/env python3
"""A real hatchd, run by an ordinary user under systemd-socket-activate, against clients that this file
plays itself and against the real client."""

import contextlib
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import io
import json

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import hatchwire  # noqa: E402
from pace import PATIENCE, in_time, wait_until  # noqa: E402

HATCHD = os.environ["HATCHD"]
HATCH = os.environ["HATCH"]
HATCHCTL = os.environ["HATCHCTL"]
USER = "nobody"
SLOTS = 4  # of a server without root
SECRET = b"correct horse battery staple"
SO_ACCEPTCON = 0x10000  # in /proc/net/unix


def demote():
    """Root runs the server as somebody else: unprivileged mode refuses root."""
    if os.geteuid() == 0:
        entry = pwd.getpwnam(USER)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)


class Server:
    """A directory with configuration, state and a socket, and the activator in front of hatchd."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="hatch-session-")
        os.chmod(self.dir, 0o755)
        self.socket = f"{self.dir}/hatch.sock"
        self.config = f"{self.dir}/etc"
        self.state = f"{self.dir}/state"
        os.makedirs(f"{self.config}/builders.d")
        os.makedirs(f"{self.dir}/bin")
        os.mkdir(self.state, 0o700)
        os.mkdir(f"{self.dir}/credentials", 0o700)
        pathlib.Path(self.dir, "credentials/key").write_bytes(SECRET + b"\n")
        for name, program in (("hatchd", HATCHD), ("hatch", HATCH), ("hatchctl", HATCHCTL)):
            shutil.copy(program, f"{self.dir}/bin/{name}")  # the build directory may be closed to others
        self.uid = pwd.getpwnam(USER).pw_uid if os.geteuid() == 0 else os.geteuid()
        self._own(self.dir)
        self.log = open(f"{self.dir}/log", "w+b")
        self.process = None

    def _own(self, place):
        """Give what is below a place, which nobody else changes meanwhile, to who runs the server."""
        if os.geteuid() != 0:
            return
        for root, dirs, files in os.walk(place):
            for name in [root] + [os.path.join(root, f) for f in dirs + files]:
                os.chown(name, self.uid, -1, follow_symlinks=False)

    def builder(self, name, script, interpreter="/bin/sh", **keys):
        program = f"{self.dir}/bin/{name}.run"
        with open(program, "w") as file:
            file.write(f"#!{interpreter}\n{script}")
        os.chmod(program, 0o755)
        keys.setdefault("command", [program])
        keys.setdefault("allow", {"uid_ranges": [{"first": 1, "last": 65535}], "users": ["root"]})
        keys.setdefault("view", {"read": [f"{self.dir}/bin"]})
        with open(f"{self.config}/builders.d/{name}.json", "w") as file:
            json.dump(keys, file)
        self._own(f"{self.dir}/bin")
        self._own(self.config)

    def start(self, wrapper=()):
        self.process = subprocess.Popen(
            ["systemd-socket-activate", "--accept", "-l", self.socket, "-E", f"CREDENTIALS_DIRECTORY={self.dir}/credentials", "--",
             *wrapper,
             f"{self.dir}/bin/hatchd", "--unprivileged", "--config", self.config, "--state", self.state],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, preexec_fn=demote, cwd="/")
        wait_until(lambda: listens(self.socket), "a socket that listens")

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(PATIENCE)
        shutil.rmtree(self.dir, ignore_errors=True)

    def log_text(self):
        self.log.flush()
        with open(self.log.name, "rb") as file:
            return file.read().decode(errors="replace")

    def request(self, *args, **members):
        return hatchwire.request(self.socket, *args, **members)

    def instances(self):
        """hatchd processes of this server that live."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    line = file.read()
            except OSError:
                continue
            if line.startswith(f"{self.dir}/bin/hatchd".encode()):
                found.append(int(pid))
        return found

    def monitor(self):
        """Of the one request that lives."""
        [monitor] = [pid for pid in self.instances() if parent_of(pid) == self.process.pid]
        return monitor

    def wait_idle(self):
        wait_until(lambda: not self.instances(), "the end of all instances")

    def ask_waiting(self, builder="waits"):
        """A connection whose builder has said its first line and waits for let_go(); with its messages so far read."""
        connection = hatchwire.Connection(self.socket)
        connection.receive()
        connection.send({"type": "request", "version": 1, "builder": builder, "args": [f"{self.dir}/bin/go"]})
        connection.receive_until("stdout")
        return connection

    @contextlib.contextmanager
    def let_go(self, step=""):
        """While this lasts, builders that wait go on; those that wait more than once, by one step."""
        flag = pathlib.Path(self.dir, f"bin/go{step}")
        flag.touch()
        try:
            yield
        finally:
            flag.unlink()

    def leftovers(self):
        found = [p for p in pathlib.Path(self.state, "scratch").glob("*")]
        found += [p for p in pathlib.Path(self.state, "pool", "queue").glob("*")]
        found += [p for p in pathlib.Path(self.state, "pool").glob("self-*") if p.stat().st_size > 0]
        return found


def parent_of(pid):
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def listens(path):
    """Whether somebody listens at a socket; its file is there a moment earlier."""
    with open("/proc/net/unix") as file:
        sockets = [line.split() for line in file][1:]
    return any(words[-1] == path and int(words[3], 16) & SO_ACCEPTCON for words in sockets)


class Skip(Exception):
    """The test cannot be made here; says why."""


server = None


def tar_names(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return [m.name for m in archive.getmembers()]


# --- what works -----------------------------------------------------------------------------------

def test_runs_a_builder_and_streams_both_streams():
    result = server.request("echo", ["a b", "c\nd", "'\"", b"\xff\xfe", ""])
    assert result.code == 0, result
    assert result.stdout == b"[a b]\n[c\nd]\n['\"]\n[\xff\xfe]\n[]\n", result.stdout
    assert result.stderr == b"to stderr\n", result.stderr


def test_returns_an_output_as_a_tar_stream():
    result = server.request("tree", outputs={"out": None})
    assert result.code == 0, result
    assert tar_names(result.output("out")) == ["output", "output/bin", "output/bin/run", "output/file",
                                               "output/link"], result


def test_returns_several_outputs_in_order():
    result = server.request("two", outputs={"out": None, "dev": None})
    assert result.code == 0, result
    names = [m["name"] for m in result.messages if m["type"] == "output-end"]
    assert names == ["out", "dev"], names


def test_real_client_unpacks_what_the_builder_made():
    target = f"{server.dir}/result"
    run = subprocess.run([f"{server.dir}/bin/hatch", "run", "--socket", server.socket,
                          "--output", f"out={target}", "tree"], capture_output=True, timeout=60)
    assert run.returncode == 0, run
    assert pathlib.Path(target, "file").read_bytes() == b"content\n"
    assert os.readlink(f"{target}/link") == "file"
    assert os.stat(f"{target}/bin/run").st_mode & 0o111
    shutil.rmtree(target)


def test_returns_a_directory_of_many_names():
    # Enough that libc's qsort() takes memory, and asks the kernel how much there is.
    result = server.request("crowd", outputs={"out": None})
    assert result.code == 0, result
    assert len(tar_names(result.output("out"))) == 1001


def test_a_tree_of_ones_own_is_the_root():
    tree = pathlib.Path(server.dir, "tree")
    tree.mkdir()
    for name in ("bin", "lib", "lib64"):
        (tree / name).symlink_to(f"usr/{name}")
    (tree / "marker").write_text("mine\n")
    for path in (tree, *tree.iterdir()):
        os.chown(path, server.uid, -1, follow_symlinks=False)
    view = {"read": ["/usr", f"{server.dir}/bin"]}
    for top, said in (({}, b"mine\n"), ({"readonly": False}, b"mine\nx\n")):
        server.builder("rooted", "cat /marker; echo x >/new && cat /new; exit 0", root={"tree": str(tree), **top}, view=view)
        result = server.request("rooted")
        assert result.stdout == said, (top, result, server.log_text()[-500:])
        assert not (tree / "new").exists()


def test_inline_reply_has_no_attachments():
    result = server.request("echo", ["é"], reply="inline")
    assert result.code == 0, result
    assert all("size" not in m for m in result.messages), result.messages
    assert "".join(m["data"] for m in result.messages if m["type"] == "stdout") == "[é]\n"


def test_inline_reply_carries_bytes_that_are_no_text_as_base64():
    result = server.request("echo", [b"\xff"], reply="inline")
    assert any("data_b64" in m for m in result.messages), result.messages


def test_exit_codes_arrive():
    for code in (0, 1, 42, 255):
        assert server.request("exit", [str(code)]).code == code


def test_a_signal_is_never_success():
    result = server.request("kill", ["9"])
    assert result.code == 137 and result.last["signal"] == 9, result
    result = server.request("kill", ["11"])
    assert result.code == 139 and result.last["signal"] == 11, result


def test_what_is_left_of_a_failure_is_kept_below_the_state_directory():
    server.builder("keep", "echo one > a.log; echo two > b; echo said; exit 7", keep_failed=["*.log"])
    result = server.request("keep")
    keepsake = pathlib.Path(server.state, "failed", result.last["kept"])
    assert result.code == 7, result
    assert sorted(p.name for p in keepsake.iterdir()) == ["definition", "files.tar", "log", "receipt", "sandbox"], keepsake
    assert tar_names((keepsake / "files.tar").read_bytes()) == ["build/a.log"], keepsake
    assert (keepsake / "log").read_text() == "said\n", keepsake


def test_time_limit_ends_the_builder():
    def attempt():
        begun = time.monotonic()
        result = server.request("sleep", ["60"], timeout_sec=1)
        assert result.code == 124 and result.last["timed_out"] is True, result
        return time.monotonic() - begun

    in_time(8, attempt)


def test_a_builder_that_ignores_sigterm_is_killed_after_the_grace():
    def attempt():
        begun = time.monotonic()
        result = server.request("stubborn", timeout_sec=1)
        assert result.code == 124, result
        assert time.monotonic() - begun > 1.5
        return time.monotonic() - begun

    in_time(10, attempt)


def test_silence_limit_ends_the_builder():
    result = server.request("silent")
    assert result.code == 124, result


def phases_of(result):
    return [m["text"] for m in result.messages if m["type"] == "phase"]


def test_phases_of_the_builder_come_in_order_with_its_log():
    for members in ({}, {"reply": "inline"}):
        with hatchwire.Connection(server.socket) as c, contextlib.ExitStack() as steps:
            c.receive()
            c.send({"type": "request", "version": 1, "builder": "phases", "args": [f"{server.dir}/bin/go"], **members})
            messages = []
            # The builder takes a step when what it said before has come: of phases that are read at once only the last comes.
            for said, step in (("phase", "log"), ("stdout", "two")):
                messages += c.receive_until(said, "exit", "error")
                steps.enter_context(server.let_go(step))
            result = hatchwire.Result(messages + c.receive_until("exit", "error"))
        assert result.code == 0 and phases_of(result) == ["one", "two \\x1b[2J"], result
        assert result.types == ["accepted", "started", "phase", "stdout", "phase", "exit"], result


def test_the_last_phase_of_a_builder_that_ends_at_once_comes():
    for _ in range(5):
        assert phases_of(server.request("ends-in-phase"))[-1:] == ["last"]


def test_a_flood_of_phases_is_thinned_and_waits():
    begun = time.monotonic()
    result = server.request("floods-phases", timeout=60)
    seconds = time.monotonic() - begun
    assert result.code == 0 and result.stdout == b"done\n", result
    assert seconds > 1, f"{seconds} s: 14 MB of them are read as fast as they come"
    assert phases_of(result)[-1] == "999999" and 1 <= len(phases_of(result)) <= 12 * seconds + 3, (len(phases_of(result)), seconds)


def test_a_status_line_without_end_is_bounded():
    assert phases_of(server.request("endless-phase")) == ["end"]


def test_phases_count_against_silence():
    # A loaded machine is silent by itself now and then; one that does not count them is each time.
    assert 0 in (server.request("phases-only").code for _ in range(3))


def test_a_request_that_lives_is_said_to_where_that_is_asked_for():
    assert "alive" not in server.request("slow").types
    begun = time.monotonic()
    result = server.request("quiet-for-3", heartbeat_sec=1)
    seconds = time.monotonic() - begun
    assert result.code == 0 and 2 <= result.types.count("alive") <= seconds, (seconds, result)
    assert result.types[-1] == "exit" and "alive" in result.types[result.types.index("started"):], result


def test_log_limit_ends_the_builder():
    result = server.request("chatty")
    assert result.error == "limit", result
    assert len(result.stdout) <= 65536
    assert "limits.log" in result.last["hint"], result.last


def test_a_builder_that_ends_at_once_with_too_much_log_is_no_success():
    # All of it fits the pipe, so the builder has ended before anybody counts.
    for _ in range(5):
        assert server.request("brief").error == "limit"


def test_a_child_that_keeps_the_pipe_open_does_not_delay_the_answer():
    def attempt():
        begun = time.monotonic()
        result = server.request("background")
        assert result.code == 0, result
        return time.monotonic() - begun

    in_time(5, attempt)


def test_log_arrives_while_the_builder_runs():
    # It ends only after what it wrote has come.
    with server.ask_waiting() as c, server.let_go():
        assert hatchwire.Result(c.receive_until("exit", "error")).code == 0


def test_hang_up_cancels():
    def attempt():
        with hatchwire.Connection(server.socket) as c:
            c.receive()
            c.send({"type": "request", "version": 1, "builder": "sleep", "args": ["50"]})
            c.receive_until("started")
        begun = time.monotonic()
        server.wait_idle()
        assert not server.leftovers(), server.leftovers()
        return time.monotonic() - begun

    in_time(2, attempt)


def test_half_close_does_not_cancel():
    with hatchwire.Connection(server.socket) as c:
        c.receive()
        c.send({"type": "request", "version": 1, "builder": "slow"})
        c.half_close()
        assert hatchwire.Result(c.receive_until("exit", "error")).code == 0


def test_list_shows_what_one_may_use_and_nothing_else():
    with hatchwire.Connection(server.socket) as c:
        c.receive()
        c.send({"type": "list", "version": 1})
        names = [b["name"] for b in c.receive()["builders"]]
    assert "echo" in names and "forbidden" not in names, names


def test_a_list_of_the_longest_descriptions_comes_whole():
    many = Server()
    try:
        names = [f"b{i:063d}" for i in range(70)]
        for name in names:
            many.builder(name, "true", description='"' * 512)
        many.start()
        listed = []
        with hatchwire.Connection(many.socket) as client:
            client.receive()
            client.send({"type": "list", "version": 1})
            while len(listed) < len(names):
                listed += [item["name"] for item in client.receive()["builders"]]
        assert listed == names, listed
    finally:
        many.stop()


def test_ping_is_answered():
    with hatchwire.Connection(server.socket) as c:
        c.receive()
        c.send({"type": "ping", "version": 1})
        assert c.receive()["type"] == "pong"


def test_a_client_is_told_its_place_in_the_queue():
    server.wait_idle()  # who is still cleaning has a slot
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.ask_waiting()) for _ in range(SLOTS)]
        for ahead in range(2):
            c = stack.enter_context(hatchwire.Connection(server.socket))
            c.receive()
            c.send({"type": "request", "version": 1, "builder": "slow"})
            queued = c.receive_until("queued")[-1]
            assert queued["resource"] == "slot" and queued["ahead"] == ahead, queued
            clients.append(c)
        with server.let_go():
            for c in clients:
                assert hatchwire.Result(c.receive_until("exit", "error")).code == 0


def test_the_environment_is_the_documented_list_byte_for_byte():
    result = server.request("env", env={"TOP": "x y"}, outputs={"out": None})
    assert result.stdout, result
    lines = result.stdout.split(b"\0")[:-1]
    names = [line.split(b"=", 1)[0].decode() for line in lines]
    assert names == sorted(["HATCH_BUILDER", "HATCH_DERIVATION", "HATCH_PEER_UID", "HATCH_REQUEST", "HATCH_STATUS_FD", "HOME", "LANG",
                            "LOGNAME", "NIX_STORE", "PATH", "SHELL", "TMPDIR", "TOP", "TZ", "USER", "out",
                            "outputs", "FIXED"]), names
    assert b"TOP=x y" in lines and b"FIXED=1" in lines and b"out=/build/outputs/out" in lines, lines


def test_the_session_of_the_protocol_document_works_as_printed():
    if not shutil.which("socat"):
        raise Skip("socat is not installed")
    document = pathlib.Path(os.environ["SOURCE"], "docs/protocol.md").read_text()
    blocks = re.findall(r"```console\n\$ (.*)\n((?:.*\n)*?)```", document)
    assert len(blocks) == 2, blocks
    for command, printed in blocks:
        command = command.replace("/run/hatch/s/hatch.sock", server.socket)
        run = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
        assert shape_of(run.stdout) == shape_of(printed), run.stdout


def shape_of(session):
    """A session without what differs from one to the next: ids, numbers, names of accounts."""
    session = re.sub(r'"id":"[0-9a-f]{16}"', '"id":"X"', session)
    session = re.sub(r'"(peer_uid|peer_gid|queued_ms|run_ms|total_ms)":[0-9]+', r'"\1":0', session)
    return re.sub(r'"user":"[^"]+"', '"user":"X"', session)


# --- refusals ---------------------------------------------------------------------------------------

def test_unknown_and_forbidden_builders_look_the_same():
    unknown = server.request("nothere")
    forbidden = server.request("forbidden")
    assert unknown.error == forbidden.error == "refused", (unknown, forbidden)
    (hint, known), (same, other) = (r.last["hint"].rsplit(" ", 1) for r in (unknown, forbidden))
    assert hint == same and known != other, (unknown, forbidden)
    with hatchwire.Connection(server.socket) as c:
        c.receive()
        c.send({"type": "list", "version": 1})
        names = [b["name"] for b in c.receive()["builders"]]
    assert hint.startswith(f"you may use: {names[0]}, {names[1]}, ") and "forbidden" not in hint, hint
    assert " and others, which `hatch list` shows; " in hint and hint.endswith("; its administrator finds why with: hatchctl show"), hint
    assert unknown.last["message"].replace("nothere", "X") == forbidden.last["message"].replace("forbidden", "X")


def test_a_refusal_says_nothing_of_definitions_that_are_broken():
    broken = pathlib.Path(server.config, "builders.d", "aaa-broken.json")
    broken.write_text("{")
    os.chown(broken, server.uid, -1)
    try:
        assert server.request("nothere").last["hint"].startswith("you may use: ")
        assert broken.name not in server.log_text()
    finally:
        broken.unlink()


def test_arguments_beyond_the_rule_are_refused_with_rule_and_file():
    result = server.request("exit", ["1", "2"])
    assert result.error == "refused" and "args.max" in result.last["message"] + result.last.get("hint", ""), result
    assert "exit.json" in result.last["message"] + result.last.get("hint", ""), result
    result = server.request("exit", ["-1"])
    assert result.error == "refused", result


def test_a_variable_that_is_not_accepted_is_refused():
    assert server.request("echo", env={"LD_PRELOAD": "x"}).error == "refused"


def test_a_missing_program_is_told_as_such():
    assert server.request("missing").error == "not-found"


def hatchctl(*words):
    return subprocess.run([f"{server.dir}/bin/hatchctl", "--unprivileged", "--config", server.config, *words],
                          capture_output=True, text=True, timeout=60, preexec_fn=demote)


def test_a_user_sees_and_cancels_requests_of_a_server_of_ones_own():
    server.wait_idle()  # who is still cleaning is listed
    with hatchwire.Connection(server.socket) as client:
        client.receive()
        client.send({"type": "request", "version": 1, "builder": "stays"})
        client.receive_until("stdout")
        listed = json.loads(hatchctl("ps", "--state", server.state, "--json").stdout)["requests"]
        assert [(r["state"], r["builder"], r["peer_uid"]) for r in listed] == [("running", "stays", os.geteuid())], listed
        done = hatchctl("cancel", "--state", server.state, listed[0]["request"])
        assert (done.returncode, done.stderr) == (0, ""), done
        result = hatchwire.Result(client.receive_until("exit", "error"))
        assert result.error == "cancelled", result
    server.wait_idle()
    done = hatchctl("ps", "--state", f"{server.dir}/none")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1), done


def test_a_program_that_is_not_executable_is_told_as_such():
    assert server.request("notexec").error == "cannot-run"


def test_a_missing_output_is_an_error():
    result = server.request("exit", ["0"], outputs={"out": None})
    assert result.error == "output" and "/build/outputs/out" in result.last["message"], result


def test_an_output_that_is_a_fifo_is_refused_by_name():
    result = server.request("fifo", outputs={"out": None})
    assert result.error == "output" and "'out/pipe' is a fifo" in result.last["message"], result


def test_directories_that_a_builder_closes_are_removed_all_the_same():
    result = server.request("closes", outputs={"out": None})
    assert result.code == 0 and tar_names(result.output("out")) == ["output", "output/a", "output/a/b"], result
    server.wait_idle()
    assert not server.leftovers(), server.leftovers()


def test_too_many_entries_are_refused():
    result = server.request("many", outputs={"out": None})
    assert result.error == "limit" and "5 files and directories; 'out'" in result.last["message"], result
    assert result.last["hint"].startswith("limits.output_entries in /"), result


def test_the_limit_of_outputs_is_of_the_bytes_in_all_their_files():
    result = server.request("three", outputs={"out": None, "dev": None, "doc": None})
    assert result.code == 0, result
    result = server.request("three-too-long", outputs={"out": None, "dev": None, "doc": None})
    assert result.error == "limit" and "29 bytes; 'doc' is the one too many" in result.last["message"], result
    assert result.last["hint"].startswith("limits.output in /"), result
    assert result.last["hint"].endswith("/three-too-long.json allows no more"), result


def test_garbage_is_answered_and_leaves_nothing():
    for garbage in (b"\n", b"hello\n", b"{}\n", b'{"type":"request"}\n', b"[" * 1000 + b"\n", b"\xff\n",
                    b'{"type":"exit","code":0}\n', b'{"type":"request","version":1,"builder":"../x"}\n'):
        with hatchwire.Connection(server.socket) as c:
            c.receive()
            c.send_raw(garbage)
            answer = c.receive()
            assert answer["type"] == "error" and answer["code"] == "bad-request", (garbage, answer)
    server.wait_idle()
    assert not server.leftovers()


def test_another_version_is_refused_as_such():
    for version in (0, 2):
        with hatchwire.Connection(server.socket) as c:
            c.receive()
            c.send({"type": "request", "version": version, "what": "ever"})
            assert c.receive()["code"] == "version"


def test_a_second_request_is_a_breach():
    with hatchwire.Connection(server.socket) as c:
        c.receive()
        for _ in range(2):
            c.send({"type": "request", "version": 1, "builder": "sleep", "args": ["30"]})
        last = c.receive_until("error")[-1]
        assert last["code"] == "bad-request", last
    server.wait_idle()


def test_silence_before_the_request_ends_after_five_seconds():
    def attempt():
        begun = time.monotonic()
        with hatchwire.Connection(server.socket) as c:
            c.receive()
            for byte in b'{"type":"ping"':  # a byte now and then does not help
                try:
                    c.send_raw(bytes([byte]))
                    time.sleep(0.5)
                except OSError:
                    break
            assert c.receive()["code"] == "bad-request"
        assert time.monotonic() - begun > 4
        return time.monotonic() - begun

    in_time(9, attempt)


def test_a_request_cut_at_any_byte_leaves_nothing():
    whole = b'{"type":"request","version":1,"builder":"echo","args":["x"]}\n'
    for length in range(0, len(whole), 7):
        with hatchwire.Connection(server.socket) as c:
            c.receive()
            c.send_raw(whole[:length])
    server.wait_idle()
    assert not server.leftovers()


def test_out_of_band_bytes_are_not_part_of_the_stream():
    with hatchwire.Connection(server.socket) as c:
        c.receive()
        c.sock.send(b"!", socket.MSG_OOB)
        c.send({"type": "request", "version": 1, "builder": "slow"})
        c.receive_until("started")
        c.sock.send(b"!", socket.MSG_OOB)
        assert hatchwire.Result(c.receive_until("exit", "error")).code == 0


def test_descriptors_of_a_client_are_not_taken():
    with hatchwire.Connection(server.socket) as c:
        c.receive()
        line = b'{"type":"ping","version":1}\n'
        try:
            socket.send_fds(c.sock, [line], [0])
        except PermissionError:
            return  # Linux 6.16: the kernel refuses for us
        assert c.receive()["type"] == "pong"


def test_a_client_that_never_reads_is_ended_by_the_time_limit():
    with hatchwire.Connection(server.socket) as c:
        c.receive()
        c.send({"type": "request", "version": 1, "builder": "flood", "timeout_sec": 2})
        time.sleep(1)
        peak = max(memory_of(pid) for pid in server.instances())
        assert 0 < peak < 64 * 1024 * 1024, peak
    server.wait_idle()
    assert not server.leftovers()


# Numbers of system calls that are the same on every architecture.
CLONE3, MOUNT_SETATTR, FSOPEN = 435, 442, 430


def check_on_old_kernel(number, word):
    """A host without one call: --check names it, and a request fails with a clear word and leaves nothing."""
    python, lacking = sys.executable, str(pathlib.Path(__file__).with_name("without_calls.py"))
    old = Server()
    try:
        shutil.copy(lacking, f"{old.dir}/bin/without_calls.py")
        os.chmod(f"{old.dir}/bin/without_calls.py", 0o755)
        old.builder("echo", "echo hello")
        wrapper = ["/usr/bin/python3" if os.path.exists("/usr/bin/python3") else python,
                   f"{old.dir}/bin/without_calls.py", str(number)]
        checked = subprocess.run([*wrapper, f"{old.dir}/bin/hatchd", "--unprivileged", "--check", "--config", old.config],
                                 capture_output=True, text=True, preexec_fn=demote, cwd="/", timeout=30)
        assert checked.returncode == 71 and "MISSING" in checked.stdout and word in checked.stdout, checked
        old.start(wrapper)
        result = old.request("echo")
        assert result.error == "server-failed", result
        # Without root the caller is the administrator and may read why.
        assert "sandbox" in result.last["message"] or word in result.last["message"], result
        old.wait_idle()
        assert not old.leftovers(), old.leftovers()
    finally:
        old.stop()


def test_the_check_looks_at_the_state_that_it_would_use():
    def check(*options):
        done = subprocess.run([f"{server.dir}/bin/hatchd", "--unprivileged", "--check", "--config", server.config, *options], capture_output=True,
                              text=True, preexec_fn=demote, cwd="/", timeout=30, env={"HOME": f"{server.dir}/nobodys-home"})
        return [line for line in done.stdout.splitlines() if line.startswith("host: limit on scratch:")]
    for options, state in (((), f"{server.dir}/nobodys-home/.cache/hatch"), (("--state", f"{server.dir}/else"), f"{server.dir}/else")):
        assert len(check(*options)) == 1 and f" {state} has no project quota" in check(*options)[0], check(*options)
    assert not os.path.exists(f"{server.dir}/nobodys-home")


def test_a_kernel_without_clone3_is_told_and_leaves_nothing():
    check_on_old_kernel(CLONE3, "clone3")


def test_a_kernel_without_the_mount_api_is_told_and_leaves_nothing():
    check_on_old_kernel(FSOPEN, "fsopen")
    check_on_old_kernel(MOUNT_SETATTR, "mount_setattr")


def test_a_host_without_user_namespaces_is_told_and_leaves_nothing():
    # unshare(2) for --check and clone3(2) for the sandbox are what makes one: a limit of 0 is their ENOSPC.
    limited = ["unshare", "--user", "--map-current-user", "--keep-caps", "sh", "-c",
               'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"', "sh"]
    probe = subprocess.run([*limited, "true"], preexec_fn=demote, cwd="/", capture_output=True)
    if probe.returncode != 0:
        raise Skip(f"cannot limit user namespaces here: {probe.stderr.decode().strip()}")
    none = Server()
    try:
        none.builder("echo", "echo hello")
        checked = subprocess.run([*limited, f"{none.dir}/bin/hatchd", "--unprivileged", "--check", "--config", none.config],
                                 capture_output=True, text=True, preexec_fn=demote, cwd="/", timeout=30)
        assert "user namespaces: MISSING" in checked.stdout and "max_user_namespaces" in checked.stdout, checked
    finally:
        none.stop()


def test_a_server_that_cannot_make_a_speaker_says_so():
    few = Server()
    try:
        few.builder("echo", "echo hello")
        # Enough to see who asks, and too few for all the pipes of a speaker.
        few.start(["sh", "-c", 'ulimit -n 16 && exec "$@"', "sh"])
        with hatchwire.Connection(few.socket) as client:
            answer = client.receive_until("error")[-1]
        assert answer["code"] == "server-failed", answer
        few.wait_idle()
        assert "cannot make pipes for the speaker" in few.log_text(), few.log_text()
    finally:
        few.stop()


def memory_of(pid):
    """Peak resident bytes."""
    try:
        with open(f"/proc/{pid}/status") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def test_nothing_is_left_behind_after_everything():
    server.wait_idle()
    assert not server.leftovers(), server.leftovers()


def test_a_secret_leaves_neither_by_the_log_nor_by_an_output():
    result = server.request("tells", outputs={"out": None, "dev": None})
    assert result.stdout == b"[secret:key]\n", result
    assert b"[secret:key]" in result.stderr and b"29ycmVjdCBob3JzZ" not in result.stderr, result
    assert result.error == "output", result
    assert "the output dev holds the credential key (as it is): in the file '.'" in result.last["message"], result.last
    assert "output" not in result.types and SECRET.decode() not in repr(result.messages), result


def test_a_builder_has_its_credentials_and_may_return_something_else():
    result = server.request("keeps", outputs={"out": None})
    assert result.code == 0, result
    assert result.stdout == b"/run/credentials:\nhatch\n\n/run/credentials/hatch:\nkey\n", result
    assert b"29\n" in result.output("out"), result


def test_root_of_a_sandbox_is_the_user_outside_and_has_few_capabilities():
    result = server.request("as-root", outputs={"out": None})
    assert result.code == 0, result
    lines = result.stdout.decode().splitlines()
    assert lines[:3] == ["0", "0", "root"], lines
    assert [line.split()[1] for line in lines[3:]] == ["000000000000001b"] * 3, lines
    server.wait_idle()
    assert not server.leftovers(), server.leftovers()


def test_nobody_makes_a_user_namespace_unless_it_is_allowed():
    assert server.request("unshares").stdout == b"refused\n"
    assert server.request("unshares-unfiltered").stdout == b"refused\n"
    assert server.request("unshares-allowed").stdout == b"0\n"


def test_clocks_begin_with_the_builder_where_it_has_a_time_namespace():
    uptime = float(pathlib.Path("/proc/uptime").read_text().split()[0])
    shown = float(server.request("clock").stdout.split()[0])
    assert shown < 30 or shown < uptime / 2, (shown, uptime)


def test_ids_and_networks_of_others_are_not_for_a_user():
    for name, words in (("ranged", "without root nobody can give a builder other ids"),
                        ("foreign", "without root nobody can enter /run/netns/x")):
        result = server.request(name)
        assert result.error == "server-failed" and words in result.last["message"], result


def test_a_private_network_reaches_a_port_of_the_loopback_and_no_other():
    if not shutil.which("pasta") or not os.access("/dev/net/tun", os.F_OK) or os.stat("/dev/net/tun").st_mode & 6 != 6:
        raise Skip("no pasta, or /dev/net/tun is not for everybody")
    with socket.create_server(("127.0.0.1", 21099)) as listed, socket.create_server(("127.0.0.1", 21098)):
        threading.Thread(target=lambda: listed.accept()[0].sendall(b"here"), daemon=True).start()
        result = server.request("asks")
    if "default route" in result.last.get("hint", ""):
        raise Skip(result.last["message"])
    assert result.stdout == b"here\nrefused\n", result


# Without a cgroup that could be killed; init ends with the monitor, and everything in the sandbox with init.
def test_after_runs_once_the_builder_of_a_killed_server_is_gone():
    server.wait_idle()
    note = pathlib.Path(server.dir, "note")
    after = pathlib.Path(server.dir, "bin", "after")
    sleep = f"sleep 4713{os.getpid()}"  # no other run of this test has the same
    after.write_text(f"#!/bin/sh\necho $HATCH_RESULT $(pgrep -cfx '{sleep}') >{note}\n")
    after.chmod(0o755)
    server.builder("held", f"echo begun; {sleep}", after={"command": [str(after)]})
    with hatchwire.Connection(server.socket) as client:
        client.receive()
        client.send({"type": "request", "version": 1, "builder": "held"})
        client.receive_until("stdout")
        assert not note.exists(), "after ran while the builder did"
        os.kill(server.monitor(), signal.SIGKILL)
        server.wait_idle()
    assert note.read_text() == "killed 0\n", note.read_text()
    assert server.request("echo").code == 0  # and clears what the killed one left
    server.wait_idle()


def test_a_credential_that_is_missing_is_told():
    result = server.request("lacks")
    assert result.error == "server-failed" and "no credential `other`" in result.last["message"], result


ASK = """import socket
for port in (21099, 21098):
    connection = socket.socket()
    connection.settimeout(5)
    try:
        connection.connect(("127.0.0.1", port))
        print(connection.recv(10).decode(), flush=True)
    except ConnectionRefusedError:
        print("refused", flush=True)
"""

THREE_OF_TEN_BYTES = 'for out in "$out" "$dev" "$doc"; do printf 1234567890 >"$out"; done'

BUILDERS = {
    "greet": ("", {"command": ["/bin/echo", "hello"], "args": {"max": 1}}),
    "echo": ('for a in "$@"; do printf "[%s]\\n" "$a"; done; echo to stderr >&2', {"args": {"max": 10}}),
    "tree": ('mkdir -p $out/bin; echo content > $out/file; ln -s file $out/link; echo x > $out/bin/run; '
             'chmod +x $out/bin/run', {}),
    "two": ("echo 1 > $out; mkdir $dev; echo 2 > $dev/f", {}),
    "crowd": ("mkdir $out; cd $out; touch $(seq 1000)", {}),
    "closes": ("mkdir -p $out/a/b; chmod 0 $out/a $out /build", {}),
    "exit": ("exit $1", {"args": {"max": 1}}),
    "kill": ("kill -$1 $$", {"args": {"max": 1}}),
    "sleep": ("echo sleeping; sleep $1", {"args": {"max": 1}}),
    "stubborn": ("trap '' TERM; while :; do sleep 1; done", {"limits": {"grace_sec": 1}}),
    "silent": ("sleep 50", {"limits": {"silence_sec": 1}}),
    "phases": ('echo phase one >&$HATCH_STATUS_FD; until [ -e "$1"log ]; do sleep 0.02; done; echo log;'
               ' until [ -e "$1"two ]; do sleep 0.02; done; printf "phase two \\033[2J\\n" >&$HATCH_STATUS_FD', {"args": {"max": 1}}),
    "ends-in-phase": ("echo phase first >&3; echo phase last >&3", {}),
    "floods-phases": ("awk 'BEGIN { for (i = 0; i < 1000000; i++) print \"phase \" i }' >&3; echo done", {}),
    "endless-phase": ("printf 'phase '; (printf 'percent '; head -c 3000000 /dev/zero; printf '\\nphase end\\n') >&3", {}),
    "phases-only": ("for i in 1 2 3 4 5; do echo phase $i >&3; sleep 0.5; done", {"limits": {"silence_sec": 1}}),
    "quiet-for-3": ("sleep 3.4", {}),
    "chatty": ("yes | head -c 1000000", {"limits": {"log": "64K"}}),
    "brief": ("head -c 40000 /dev/zero", {"limits": {"log": "32K"}}),
    "background": ("sleep 30 & setsid sleep 30 & echo done", {}),
    "slow": ("echo begun; sleep 1; echo over", {}),
    "waits": ('echo begun; until [ -e "$1" ]; do sleep 0.02; done; echo over', {"args": {"max": 1}}),
    # No shell in between: it would add to what it was given.
    "env": ("", {"command": ["/bin/cat", "/proc/self/environ"],
                 "environment": {"set": {"FIXED": "1"}, "accept": ["TOP"]}}),
    "forbidden": ("true", {"allow": {"users": []}}),
    "stays": ("echo begun; sleep 60", {}),
    "missing": ("true", {"command": ["/nonexistent/program"]}),
    "notexec": ("true", {"command": ["/usr/lib/os-release"]}),
    "tells": ('cat $CREDENTIALS_DIRECTORY/key; base64 < $CREDENTIALS_DIRECTORY/key >&2; echo fine > $out; '
              'cp $CREDENTIALS_DIRECTORY/key $dev', {"credentials": ["key"]}),
    "keeps": ('ls -A /run/credentials $CREDENTIALS_DIRECTORY; wc -c < $CREDENTIALS_DIRECTORY/key > $out',
              {"credentials": ["key"]}),
    "lacks": ("true", {"credentials": ["key", "other"]}),
    "as-root": ("id -u; id -g; id -un; grep -E '^Cap(Prm|Eff|Bnd)' /proc/self/status; mkdir -m 0 $out && chmod 700 $out",
                {"uid_map": "root"}),
    "unshares": ("unshare -Ur id -u 2>/dev/null || echo refused", {}),
    "unshares-unfiltered": ("unshare -Ur id -u 2>/dev/null || echo refused", {"seccomp": "none"}),
    "unshares-allowed": ("unshare -Ur id -u || echo refused", {"allow_userns": True}),
    "clock": ("cat /proc/uptime", {"time_namespace": True}),
    "ranged": ("true", {"uid_map": "range"}),
    "foreign": ("true", {"network": {"namespace": "/run/netns/x"}}),
    "asks": (ASK, {"network": {"private": {"tcp": ["127.0.0.1:21099"]}}, "command": ["/usr/bin/python3", "-c", ASK]}),
    "fifo": ("mkdir $out; mkfifo $out/pipe", {}),
    "many": ("mkdir $out; for i in 1 2 3 4 5 6 7 8 9; do : > $out/$i; done", {"limits": {"output_entries": 5}}),
    "three": (THREE_OF_TEN_BYTES, {"limits": {"output": 30}}),
    "three-too-long": (THREE_OF_TEN_BYTES, {"limits": {"output": 29}}),
    "flood": ("yes 0123456789012345678901234567890123456789", {"limits": {"log": "10G"}}),
}


def main():
    global server
    server = Server()
    failed = 0
    try:
        for name, (script, keys) in BUILDERS.items():
            server.builder(name, script, **keys)
        server.start()
        only = sys.argv[1:]
        for name, function in list(globals().items()):
            if not name.startswith("test_") or (only and name[5:] not in only):
                continue
            try:
                function()
                print(f"ok {name[5:]}", flush=True)
            except Skip as why:
                print(f"SKIP {name[5:]}: {why}", flush=True)
            except Exception as error:  # every way to fail is one line
                failed += 1
                print(f"FAIL {name[5:]}: {type(error).__name__}: {error}", flush=True)
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
