"""Hostile surroundings of the server: descriptors, limits, configuration, and servers that lie to a build.

The ids in comments are rows of the list of attacks.
"""

import os
import pathlib
import platform
import shutil
import socket
import struct
import threading

import attack
import hatchwire
import machine
from machine import CONFIG, SOCKET, check, check_equal, check_in

RIGHTS_CAN_BE_REFUSED = tuple(int(n) for n in platform.release().split(".")[:2]) >= (6, 16)  # SO_PASSRIGHTS


def smuggle(m, gate):
    """Build a derivation that sends the descriptor of its output to the server. The build, still running until the gate opens."""
    # Nix keeps no x bit of a file that is added as it stands; in a directory it does.
    place = m.temporary_directory() / "smuggle"
    place.mkdir()
    shutil.copy(attack.program("smuggle"), place / "smuggle")
    program = m.run(["nix-store", "--add", place]).ok().stdout.strip()
    m.write_builder("receiver", f"echo here; {gate.wait}", view=gate.view)
    source = m.derivation("smuggled", "/bin/sh", ["-c", "$program/smuggle /run/hatch/hatch.sock"], program=program)
    # As a store path, and not only a text that looks like one, it is put into the sandbox.
    return m.nix_build_start(source.replace(f'"{program}"', f'builtins.storePath "{program}"'))


# FD1: the kernel tells the sender no; what Nix registered stays as it was
def test_a_build_cannot_send_the_descriptor_of_its_output(m):
    if not RIGHTS_CAN_BE_REFUSED:
        raise machine.Skip("this kernel has no SO_PASSRIGHTS (Linux 6.16)")
    gate = m.gate()
    gate.open()
    built = smuggle(m, gate).wait()
    check_in("smuggled: Operation not permitted, Operation not permitted", built.stderr, "build log")
    out = pathlib.Path(built.ok().lines()[-1])
    check_equal(out.read_text(), "good\n", "output")
    m.run(["nix-store", "--verify-path", out]).ok()


def settled_descriptors(m, instance):
    """How many the speaker and the monitor have, once both have closed what they do not need while a builder runs."""
    looks = [None]

    def look():
        now = [attack.Process(process.pid) for process in (instance.speaker, instance.monitor)]
        looks.append([len(process.descriptors()) for process in now] if all(process.sleeps() for process in now) else None)
        return looks[-1] if len(looks) > 5 and looks[-5:] == looks[-1:] * 5 else None

    return m.wait_until(look, "descriptors that stay the same")


# FD2: on older kernels a descriptor arrives, and nobody takes it
def test_a_descriptor_that_is_sent_is_never_taken(m):
    if RIGHTS_CAN_BE_REFUSED:
        attack.write_drop_in(m, "[Service]\nSystemCallFilter=~setsockopt:ENOPROTOOPT\n")
    gate = m.gate()
    building = smuggle(m, gate)
    m.wait_until(lambda: b"smuggled: sent, sent" in building.stderr(), "the sending of descriptors")
    i = attack.Instance(m)
    counts = settled_descriptors(m, i)
    for process in i.everybody():
        for fd, target in process.descriptors().items():
            check("smuggled" not in target, f"process {process.pid} has the output open as {fd}: {target}")
    gate.open()
    building.wait()
    m.write_builder("wait", "echo here; sleep 60")
    with attack.live(m, "wait") as (_, i):
        check_equal(settled_descriptors(m, i), counts, "descriptors without such a client")


# FD6: what is opened first must not become a standard stream of somebody
def test_hatchd_may_be_started_without_standard_streams(m):
    attack.write_wrapper(m, "")
    for closed in ((0,), (1,), (2,), (0, 1), (0, 1, 2)):
        words = " ".join(f"{fd}>&-" for fd in closed)
        pathlib.Path("/opt/hatch-test/wrapper").write_text(f'#!/bin/bash\nexec "$@" {words}\n')
        gate = m.gate()
        m.write_builder("say", f"echo out; echo err >&2; readlink /proc/self/fd/0; {gate.wait}", view=gate.view)
        with attack.live(m, "say") as (client, i):
            for process in (i.monitor, i.speaker):
                found = {fd: process.descriptors()[fd] for fd in closed}
                check_equal(set(found.values()), {"/dev/null"}, f"streams of process {process.pid} with {words}")
            gate.open()
            check_equal(hatchwire.Result(client.receive_until("exit", "error")).code, 0, f"exit code with {words}")
        result = m.request("say")
        check_equal((result.code, result.stdout, result.stderr), (0, b"out\n/dev/null\n", b"err\n"), f"with {words}")


# FD7: too few descriptors at any point is a clear end, and nothing is left or let through
def test_running_out_of_descriptors_at_any_point_is_a_clean_failure(m):
    m.write_builder("make", "mkdir $out; echo x > $out/file; id -u")
    attack.write_wrapper(m, "ulimit -n $(cat /run/limit); exec \"$@\"")
    limit = pathlib.Path("/run/limit")
    m.after_test(limit.unlink)
    ends = set()
    for number in range(4, 48):
        limit.write_text(str(number))
        before = m.snapshot()
        try:
            with m.client() as client:
                result = client.run("make", outputs={"out": None})
            end = result.error or result.code
            if end == 0:
                check(int(result.stdout) in m.build_users().values(), f"the builder ran as {result.stdout}")
        except (hatchwire.Ended, ConnectionResetError, BrokenPipeError):
            end = "closed"
        ends.add(end)
        check_in(end, (0, "server-failed", "closed"), f"ends with {number} descriptors")
        left = m.left_behind(before)
        check(not left, f"left behind with {number} descriptors: {left}")
    check(0 in ends and len(ends) > 1, f"only these ends were seen: {ends}")


# PR1
def test_a_client_that_says_nothing_is_ended_without_a_slot_and_logged(m):
    cursor = m.journal_cursor()
    with m.client("alice") as client:
        client.receive_type("hello")
        m.wait_until(m.instances, "an instance")
        check_equal([p for p in pathlib.Path("/var/lib/hatch/scratch").glob("*")], [], "scratch of a silent client")
        check_equal(client.receive_until("error")[-1]["code"], "bad-request", "answer")
    line = m.journal_wait(cursor, HATCH_VERDICT="bad-request")[0]
    check_equal(line["HATCH_PEER_UID"], "1000", "HATCH_PEER_UID")
    check("HATCH_USER" not in line, f"a slot was taken: {line}")


# --- configuration ----------------------------------------------------------------------------------------------------


def root_place(m):
    """A directory that only root can change or replace: what is below /var/tmp is refused for that alone."""
    place = pathlib.Path("/opt/hatch-test/place")
    place.mkdir()
    m.after_test(lambda: shutil.rmtree(place))
    return place


def refused_with(m, builder, part):
    """--check names the component and fails with EX_CONFIG; a request is refused without telling a stranger why."""
    checked = m.run(["hatchd", "--check"])
    check_equal(checked.code, 78, f"exit status of --check ({checked.stdout})")
    check_in(part, checked.stdout + checked.stderr, "what --check says")
    cursor = m.journal_cursor()
    try:
        result = m.request(builder)
        check_in(result.error, ("server-failed", "not-found", "cannot-run"), "error")
        check(result.error != "server-failed" or part not in str(result.last), f"a client is told: {result.last}")
        check_equal(result.stdout, b"", "what the builder wrote")
    except hatchwire.Ended:
        pass
    said = m.wait_until(lambda: [line["MESSAGE"] for line in m.journal(cursor) if part in str(line["MESSAGE"])], "a line in the journal")
    check(said, "the journal says nothing")


# CF1
def test_a_configuration_that_others_could_write_is_refused(m):
    path = m.write_builder("fine", "echo ran")
    check_equal(m.request("fine").code, 0, "exit code before")
    for change, undo in (
        (lambda: path.chmod(0o664), lambda: path.chmod(0o644)),
        (lambda: path.chmod(0o646), lambda: path.chmod(0o644)),
        (lambda: os.chown(path, 1000, 0), lambda: os.chown(path, 0, 0)),
        (lambda: path.parent.chmod(0o777), lambda: path.parent.chmod(0o755)),
        (lambda: os.chown(path.parent, 1000, 0), lambda: os.chown(path.parent, 0, 0)),
    ):
        change()
        try:
            refused_with(m, "fine", "builders.d")
        finally:
            undo()
    check_equal(m.request("fine").code, 0, "exit code afterwards")


# CF1
def test_a_configuration_behind_a_link_to_a_users_file_is_refused(m):
    path = m.write_builder("fine", "echo ran")
    place = root_place(m)
    copy = place / "copy.json"
    shutil.copy(path, copy)
    os.chown(copy, 1000, 0)
    path.unlink()
    path.symlink_to(copy)
    refused_with(m, "fine", str(copy))
    os.chown(copy, 0, 0)
    check_equal(m.request("fine").code, 0, "exit code when all is root's")
    os.chown(place, 1000, 0)
    refused_with(m, "fine", str(place))


# CF1: one read for each process, so a later change means nothing to a request that runs
def test_a_definition_that_is_replaced_during_a_request_changes_nothing(m):
    path = m.write_builder("say", "echo here; sleep 1; echo $WORD", environment={"set": {"WORD": "old"}})
    with attack.live(m, "say") as (client, _):
        path.write_text(path.read_text().replace("old", "new"))
        result = hatchwire.Result(client.receive_until("exit", "error"))
    check_equal((result.code, result.stdout), (0, b"old\n"), "end")


# CF3
def test_a_state_directory_that_others_could_replace_is_refused(m):
    m.write_builder("fine", "echo ran")
    open_place = root_place(m)
    open_place.chmod(0o777)
    state = open_place / "state"
    state.mkdir(0o700)
    m.write_config(state=str(state))
    refused_with(m, "fine", str(open_place))
    open_place.chmod(0o755)
    os.chown(open_place, 1000, 0)
    refused_with(m, "fine", str(open_place))


# CF4
def test_a_program_that_others_could_write_is_never_run(m):
    m.write_builder("fine", "echo ran")
    program = machine.BIN / "fine"
    for change, undo, part in (
        (lambda: program.chmod(0o777), lambda: program.chmod(0o755), "can be written"),
        (lambda: os.chown(program, 1000, 0), lambda: os.chown(program, 0, 0), "belongs to uid 1000"),
        (lambda: program.parent.chmod(0o777), lambda: program.parent.chmod(0o755), "can be written"),
    ):
        change()
        try:
            refused_with(m, "fine", part)
        finally:
            undo()
    check_equal(m.request("fine").code, 0, "exit code afterwards")


# CF4
def test_a_script_with_an_interpreter_of_a_user_is_never_run(m):
    interpreter = root_place(m) / "interpreter"
    shutil.copy("/bin/sh", interpreter)
    os.chown(interpreter, 1000, 0)
    m.write_builder("script", "echo ran", interpreter=str(interpreter))
    refused_with(m, "script", str(interpreter))


# CF4
def test_a_program_without_an_absolute_path_is_refused(m):
    for number, word in enumerate(("sh", "./sh", "bin/sh", "")):
        m.write_builder(f"relative{number}", "echo ran", command=[word])
        refused_with(m, f"relative{number}", f"relative{number}.json")


# --- servers that lie -------------------------------------------------------------------------------------------------


class Liar:
    """Stands in for the server on its socket: passes everything on to the real one, but for what alter() makes of it."""

    def __init__(self, m, alter):
        self._alter = alter
        self._real = SOCKET + ".real"
        os.rename(SOCKET, self._real)
        m.after_test(lambda: os.rename(self._real, SOCKET))
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(SOCKET)
        os.chmod(SOCKET, 0o666)
        self._listener.listen()
        m.after_test(self._listener.close)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, hatchwire.Connection(self._real) as server:
                threading.Thread(target=self._pass_on, args=(client, server.sock), daemon=True).start()
                try:
                    self._answer(client, server)
                except (OSError, hatchwire.Ended):
                    pass
                for end in (client, server.sock):
                    try:
                        end.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass

    def _answer(self, client, server):
        while True:
            message = server.receive()
            answer = self._alter(message, message.pop("attachment", b""))
            for changed, data in answer:
                client.sendall(hatchwire.json.dumps(changed).encode() + b"\n" + data)
            if not answer:
                return

    @staticmethod
    def _pass_on(client, server):
        try:
            while data := client.recv(65536):
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def cut_before(kind):
    return lambda message, data: [] if message["type"] == kind else [(message, data)]


def change_end(**members):
    def alter(message, data):
        return [({**message, **members} if message["type"] == "output-end" else message, data)]

    return alter


def flip(message, data):
    """One byte of a file's content."""
    if message["type"] == "output" and b"content" in data:
        data = data.replace(b"content", b"Content")
    return [(message, data)]


def claim_success(message, data):
    """A failure becomes an end that looks good, but the outputs never came."""
    if message["type"] in ("output", "output-end"):
        return [({"type": "stdout", "size": 1}, b"x")]
    return [(message, data)]


LIES = {
    "cut before output-end": cut_before("output-end"),
    "cut before exit": cut_before("exit"),
    "wrong number of entries": change_end(entries=99),
    "wrong number of bytes": change_end(bytes=512),
    "wrong sha256": change_end(sha256="0" * 64),
    "a changed byte": flip,
    "no outputs at all": claim_success,
}


# CU9: Nix never registers a tree that is not whole
def test_a_middleman_that_cuts_or_alters_the_answer_makes_the_build_fail(m):
    m.write_builder("make", "mkdir $out; echo content > $out/file")
    m.nix_build(m.hatch_derivation("honest", "make")).ok()
    lies = list(LIES.items())
    current = {}
    Liar(m, lambda message, data: current["lie"](message, data))
    current["lie"] = lambda message, data: [(message, data)]
    m.nix_build(m.hatch_derivation("through", "make")).ok()
    for what, lie in lies:
        current["lie"] = lie
        drv = m.nix_instantiate(m.hatch_derivation("altered", "make"))
        out = m.run(["nix-store", "--query", "--outputs", drv]).ok().stdout.strip()
        built = m.run(["nix-store", "--realise", drv], user="alice")
        check(built.code != 0, f"the build succeeded: {what}")
        check(not os.path.lexists(out), f"{out} is there: {what}")
        check(m.run(["nix-store", "--check-validity", out]).code != 0, f"the output is valid: {what}")


# CU10: an output that is there already is nobody's to fill
def test_an_output_that_exists_before_is_not_filled(m):
    m.write_builder("make", "mkdir $out; echo content > $out/file")
    for before in ("mkdir $out", "echo x > $out", "ln -s /tmp $out", "ln -s /build/target $out"):
        built = m.nix_build(m.derivation("there", "/bin/sh", ["-c", f"{before}; /bin/hatch run make"]))
        check(built.code != 0, f"the build succeeded after: {before}")
        check_in("hatch: ", built.stderr, "build log")


# CU10
def test_modes_of_an_output_do_not_depend_on_the_umask(m):
    m.write_builder("make", "mkdir -p $out/d; echo x > $out/d/file; echo x > $out/run; chmod 700 $out/run; chmod 600 $out/d/file")
    place = m.temporary_directory()
    for mask in ("0", "022", "0777"):
        target = place / mask
        m.run(["sh", "-c", f"umask {mask}; exec hatch run --output out={target} make"]).ok()
        modes = {str(p.relative_to(target)): p.stat().st_mode & 0o7777 for p in [target, *target.rglob("*")]}
        check_equal(modes, {".": 0o755, "d": 0o755, "d/file": 0o644, "run": 0o755}, f"modes with umask {mask}")


# PR10, FD2: credentials and out-of-band bytes add no descriptor to anybody
def test_ancillary_data_and_urgent_bytes_leave_no_descriptor(m):
    m.write_builder("wait", "echo here; sleep 60")
    with attack.live(m, "wait") as (client, before):
        counts = settled_descriptors(m, before)
        identity = struct.pack("iII", os.getpid(), 0, 0)
        client.sock.send(b"!", socket.MSG_OOB)
        check_equal(settled_descriptors(m, before), counts, "descriptors")
        client.sock.sendmsg([b"{"], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, identity)])
        check_equal(client.receive_until("error", "exit")[-1]["code"], "bad-request", "answer to a message out of turn")
