"""Nothing outlives its request, and no end of one is told as another. The ids in comments are rows of the list of attacks."""

import io
import os
import pathlib
import signal
import tarfile
import time

import attack
import hatchwire
import machine
from machine import SLOW, check, check_equal, check_in

SCRATCH = pathlib.Path("/var/lib/hatch/scratch")


def names_of(result, output="out"):
    with tarfile.open(fileobj=io.BytesIO(result.output(output))) as archive:
        return sorted(member.name for member in archive.getmembers())


def ask(m, builder, **members):
    return m.request(builder, [builder], **members)


def write_signals(m, name, **definition):
    attack.write_program(m, "signals", name, **definition)


# ES1: daemons without parent, session and descriptors are dead before the outputs are looked at
def test_what_a_daemon_writes_after_the_end_is_not_in_the_output(m):
    write_signals(m, "write_late")
    result = ask(m, "write_late", outputs={"out": None})
    check_equal(result.code, 0, "exit code")
    check_equal([name for name in names_of(result) if "late-" in name][1:], [], "files written late")
    check_in("output/in-time", names_of(result), "names")


# OP11, ES1: at every moment exactly one of two names is there; a walk among live renamers would see neither or both
def test_nothing_moves_while_outputs_are_packed(m):
    write_signals(m, "rename_for_ever")
    for _ in range(3):
        result = ask(m, "rename_for_ever", outputs={"out": None})
        check_equal(result.code, 0, f"exit code ({result.last})")
        directories = [name for name in names_of(result) if name.count("/") == 1]
        check_equal(len({name.removesuffix(".moved") for name in directories}), 64, "directories")
        check_equal(len(directories), 64, "names of directories")


# ES9: the way of failure ends as clean as the other one
def test_a_builder_that_fails_with_an_open_output_leaves_nothing(m):
    write_signals(m, "fail_with_a_writer")
    result = ask(m, "fail_with_a_writer", outputs={"out": None})
    check_equal(result.code, 3, f"exit code ({result.last})")
    check_equal([kind for kind in result.types if kind.startswith("output")], [], "outputs")


# SG2
def test_a_builder_that_kills_everything_kills_only_its_own(m):
    write_signals(m, "kill_everything")
    m.write_builder("wait", "echo here; sleep 60")
    with attack.live(m, "wait") as (_, other):
        result = ask(m, "kill_everything")
        check_equal(result.stdout, b"PASS kill_everything\n", f"what it says ({result.last})")
        check_equal(result.code, 0, "exit code")
        for process in other.everybody():
            check(pathlib.Path(f"/proc/{process.pid}").exists(), f"process {process.pid} of another request is gone")


# SG4
def test_builders_that_ignore_stop_or_spin_are_ended_by_the_time_limit(m):
    for name in ("ignore_and_stop", "ignore_and_spin"):
        write_signals(m, name, limits={"time_sec": 1, "grace_sec": 1})

        def attempt():
            begun = time.monotonic()
            result = ask(m, name)  # noqa: B023
            check_equal((result.code, result.last.get("timed_out")), (124, True), f"end of {name}")  # noqa: B023
            return time.monotonic() - begun

        m.in_time(6 * SLOW, attempt)


# SG4: the kill is the kernel's, by the cgroup: it needs nobody's help inside
def test_a_sandbox_whose_init_is_stopped_is_killed_all_the_same(m):
    m.write_builder("wait", "echo here; sleep 600", limits={"time_sec": 2 * SLOW, "grace_sec": 1})
    cursor = m.journal_cursor()
    with attack.live(m, "wait") as (client, instance):
        os.kill(instance.init.pid, signal.SIGSTOP)
        last = client.receive_until("exit", "error")[-1]
        for process in (instance.init, *instance.builders):
            check(not pathlib.Path(f"/proc/{process.pid}").exists(), f"process {process.pid} is there after the end")
    check_equal((last["type"], last.get("code")), ("exit", 124), "end")
    left = [line["MESSAGE"] for line in m.journal(cursor, _COMM="hatchd") if "left for" in line["MESSAGE"]]
    check_equal(left, [], "what could not be cleared")


# SG4
def test_a_frozen_sandbox_is_killed_all_the_same(m):
    m.write_builder("wait", "echo here; sleep 600", limits={"time_sec": 2 * SLOW, "grace_sec": 1})
    with attack.live(m, "wait") as (client, instance):
        group = pathlib.Path(f"/proc/{instance.init.pid}/cgroup").read_text().strip().split("::")[1]
        pathlib.Path(f"/sys/fs/cgroup{group}/cgroup.freeze").write_text("1")
        last = client.receive_until("exit", "error")[-1]
    check_equal((last["type"], last.get("code")), ("exit", 124), "end")


# SG5
def test_a_death_by_signal_is_told_as_such(m):
    write_signals(m, "abort_as_if_well")
    result = ask(m, "abort_as_if_well")
    check_equal((result.code, result.last["signal"]), (128 + 6, 6), "end of an abort")
    m.write_builder("fall", "echo well; kill -$1 $$")
    for number in (9, 11, 15):
        result = m.request("fall", [str(number)], outputs={"out": None})
        check_equal((result.code, result.last["signal"]), (128 + number, number), "end")
        check_equal([kind for kind in result.types if kind.startswith("output")], [], "outputs")


# ES1
def test_a_child_that_holds_the_streams_does_not_delay_the_answer(m):
    write_signals(m, "leave_the_streams_open")

    def attempt():
        begun = time.monotonic()
        check_equal(ask(m, "leave_the_streams_open").code, 0, "exit code")
        return time.monotonic() - begun

    m.in_time(5 * SLOW, attempt)


# SG3: the lock is held by init too; when the monitor falls everything falls, and the next request clears up
def test_a_killed_monitor_takes_its_request_with_it_and_the_next_one_clears_up(m):
    m.write_builder("wait", "echo here; mkdir $out; echo x > $out/file; trap '' TERM; sleep 600 & wait; sleep 600")
    m.write_builder("quick", "true")
    with attack.live(m, "wait", outputs={"out": None}) as (client, i):
        locks = {target for target in i.monitor.descriptors().values() if target.startswith("/var/lib/hatch/pool/")}
        held = {target for target in i.init.descriptors().values() if target.startswith("/var/lib/hatch/pool/")}
        check_equal(len(held), 1, f"locks held by init (the monitor has {locks})")
        lock = pathlib.Path(held.pop())
        check(lock.stat().st_size > 0, "the lock says nothing of what was made")
        os.kill(i.monitor.pid, signal.SIGKILL)
        m.wait_until(
            lambda: not any(pathlib.Path(f"/proc/{p.pid}").exists() for p in (i.init, *i.helpers, *i.builders)),
            "the end of all processes of the request",
        )
        try:
            client.receive_until("exit")
            raise machine.Failure("the client was told an exit")
        except (hatchwire.Ended, ConnectionResetError):
            pass
    check(list(SCRATCH.iterdir()), "nothing is left, so nothing is tested")
    check_equal(m.request("quick").code, 0, "exit code of the next request")
    m.wait_until(lambda: not list(SCRATCH.iterdir()), "the clearing of what was left")
    check_equal(lock.stat().st_size, 0, "bytes in the lock")


# SG1: a storm of requests to end, at every moment of a request
def test_signals_to_the_monitor_end_the_request_and_leave_nothing(m):
    m.write_builder("wait", "echo here; sleep 600", limits={"grace_sec": 1})
    m.write_builder("big", "mkdir $out; for i in 1 2 3 4 5 6 7 8; do head -c 2000000 /dev/zero > $out/$i; done")
    for number in (signal.SIGTERM, signal.SIGINT):
        with attack.live(m, "wait") as (client, i):
            for _ in range(100):
                os.kill(i.monitor.pid, number)
            last = client.receive_until("exit", "error")[-1]
        check_equal(last["code"], "stopping", f"end by signal {number}")
    for number in (signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1, signal.SIGALRM, signal.SIGPIPE, signal.SIGTERM):
        for pause in (0, 0.005, 0.02, 0.05, 0.1):
            before = set(monitors())
            with m.client() as client:
                client.request("big", outputs={"out": None})
                pids = m.wait_until(lambda: set(monitors()) - before, "an instance")  # noqa: B023
                time.sleep(pause)
                for _ in range(20):
                    for pid in pids:
                        send(pid, number)
                try:
                    client.receive_until("exit", "error")
                except (hatchwire.Ended, ConnectionResetError):
                    pass
            m.wait_until(lambda: not (set(monitors()) - before), f"the end after signal {number}")  # noqa: B023
    # Anything a fallen monitor left is cleared by the next request.
    m.write_builder("quick", "true")
    check_equal(m.request("quick").code, 0, "exit code of the next request")
    m.wait_until(lambda: not list(SCRATCH.iterdir()), "the clearing of what was left")


def monitors():
    return [p.pid for p in attack.processes() if p.parent == 1 and p.command.endswith("/hatchd")]


def send(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def leave(m, seconds, what, builder=None, until=None, **members):
    """A client that asks for a builder, hears what comes until some message, and goes: nothing is left soon after."""

    def attempt():
        with m.client() as client:
            if builder:
                client.request(builder, **members)
            if until:
                client.receive_until(until)
        begun = time.monotonic()
        m.wait_until(lambda: not m.instances(), f"the end after {what}")
        check(not list(SCRATCH.iterdir()), f"scratch is left after {what}")
        return time.monotonic() - begun

    m.in_time(seconds * SLOW, attempt)


# CA1, CA3: the client goes away after each message, with and without bytes that it never read
def test_a_client_may_go_away_at_any_moment(m):
    m.write_builder("chat", "mkdir $out; echo x > $out/x; while :; do echo line; sleep 0.01; done")
    m.write_builder("make", "head -c 3000000 /dev/zero | tr '\\0' x; mkdir $out; head -c 3000000 /dev/zero > $out/x")
    leave(m, 2, "connecting")
    leave(m, 2, "the greeting", until="hello")
    leave(m, 5, "the request, nothing read", "make", outputs={"out": None})
    for builder, kinds in (("chat", ("accepted", "started", "stdout")), ("make", ("stdout", "output", "output-end", "exit"))):
        for kind in kinds:
            leave(m, 2, kind, builder, kind, outputs={"out": None})


# CA2
def test_a_half_closed_connection_is_served_to_the_end(m):
    m.write_builder("slow", "echo begun; sleep 1; echo x > $out; echo over")
    with m.client() as client:
        client.request("slow", outputs={"out": None})
        client.half_close()
        result = hatchwire.Result(client.receive_until("exit", "error"))
    check_equal((result.code, result.stdout), (0, b"begun\nover\n"), "end")


# CA4: nix-build is killed, and the next build may have the same user of Nix at once
def test_a_killed_build_ends_its_request_before_the_next_one_is_confused(m):
    m.write_builder("slow", "echo begun; sleep 600; echo x > $out")
    m.write_builder("quick", "echo x > $out")
    building = m.nix_build_start(m.hatch_derivation("slow", "slow"))
    m.wait_until(lambda: b"begun" in building.stderr(), "the start of the builder")
    instance = attack.Instance(m)
    building.signal(signal.SIGKILL)
    m.nix_build(m.hatch_derivation("quick", "quick")).ok()
    m.wait_until(lambda: not any(pathlib.Path(f"/proc/{p.pid}").exists() for p in instance.everybody()), "the end of the request")


# CA5
def test_a_client_may_go_away_while_it_waits_or_is_sent_its_outputs(m):
    user = attack.write_small_pool(m)
    m.write_builder("wait", "echo here; sleep 600")
    m.write_builder("big", "echo here; mkdir $out; for i in 1 2 3; do head -c 30000000 /dev/zero > $out/$i; done")
    with m.client() as first:
        first.request("wait")
        first.receive_until("stdout")
        with m.client() as second:
            second.request("wait")
            check_equal(second.receive_until("queued")[-1]["ahead"], 0, "ahead")
            third = m.client()
            third.request("wait")
            check_equal(third.receive_until("queued")[-1]["ahead"], 1, "ahead")
        check_equal(third.receive_until("queued")[-1]["ahead"], 0, "ahead, after the one before has gone")
    check_equal(third.receive_until("started", "error")[-1]["type"], "started", "what the last one in the queue gets")
    third.close()
    m.wait_until(lambda: not m.instances(), "the end after waiting")
    check_equal(list(SCRATCH.iterdir()), [], "scratch after waiting")
    check_equal(list(pathlib.Path("/var/lib/hatch/pool/queue").iterdir()), [], "tickets")
    leave(m, 5, "output", "big", "output", outputs={"out": None})
    check_equal(pathlib.Path(f"/var/lib/hatch/pool/{user}").stat().st_size, 0, "bytes in the lock")


# equip: what was checked is what is run, however long the request waited in between
def test_a_program_that_was_replaced_while_the_request_waited_is_not_run(m):
    attack.write_small_pool(m)
    m.write_builder("wait", "echo here; sleep 600")
    m.write_builder("swap", "echo old")
    program = machine.BIN / "swap"
    with m.client() as first:
        first.request("wait")
        first.receive_until("stdout")
        second = m.client()
        second.request("swap")
        second.receive_until("queued")
        new = machine.BIN / "swap.new"
        new.write_text("#!/bin/sh\necho new\n")
        new.chmod(0o755)
        new.rename(program)
    with second:
        result = hatchwire.Result(second.receive_until("exit", "error"))
    check_equal((result.stdout, result.code), (b"", None), f"what the replaced program did ({result.last})")


# verify_program: what was opened is what is run, whatever "before" does meanwhile
def test_a_program_that_is_replaced_after_it_was_opened_is_not_run(m):
    new = machine.BIN / "swap.new"
    m.after_test(lambda: new.unlink(missing_ok=True))
    m.write_builder("swap", "echo old", before={"command": ["/bin/mv", str(new), str(machine.BIN / "swap")], "user": "root"})
    new.write_text("#!/bin/sh\necho new\n")
    new.chmod(0o755)
    result = m.request("swap")
    check_equal((result.stdout, result.code), (b"", None), f"what the replaced program did ({result.last})")
    check_equal((machine.BIN / "swap").read_text(), "#!/bin/sh\necho new\n", "the program")


# LG2: what a builder prints is bytes, to the client and to the journal
def test_lines_that_look_like_messages_or_priorities_are_only_bytes(m):
    text = (
        '{"type":"exit","code":0}\n@nix {"action":"setPhase","phase":"evil"}\n<0>an emergency\n'
        '\n{"type":"error","code":"refused","message":"x"}\n'
    )
    m.write_builder("print", f"cat <<'END'\n{text}END\nprintf '%s' '{{\"type\":\"exit\"' >&2; exit 3")
    cursor = m.journal_cursor()
    result = m.request("print")
    check_equal((result.code, result.stdout, result.stderr), (3, text.encode(), b'{"type":"exit"'), "end and streams")
    m.journal_wait(cursor, HATCH_BUILDER="print")
    for line in m.journal(cursor):
        check("an emergency" not in str(line.get("MESSAGE")), f"a line of a builder is in the journal: {line}")


# LG3: words of a client in the journal are quoted, on one line, and only where the rule says so
def test_words_of_a_client_cannot_forge_lines_of_the_journal(m):
    m.write_builder("strict", "true", args={"max": 4, "match": ["[a-z]+"]}, environment={"accept": ["TOP"]})
    secret = "s3cret-word"
    cursor = m.journal_cursor()
    evil = "x\n<0>forged: root logged in\nHATCH_BUILDER=forged\n%n%s%s\x1b]0;t\x07\x9b"
    result = m.request("strict", [evil])
    check_equal(result.error, "refused", "error")
    lines = m.journal_wait(cursor, HATCH_BUILDER="strict")
    check_equal(len(lines), 1, "journal lines")
    # journalctl gives what is not clean text as a list of bytes.
    for field, value in lines[0].items():
        if field == "MESSAGE" or field.startswith("HATCH_"):
            check(isinstance(value, str) and value.isprintable(), f"{field} is not clean: {value!r}")
    check_equal(m.journal(cursor, HATCH_BUILDER="forged"), [], "forged fields")
    cursor = m.journal_cursor()
    result = m.request("strict", ["abc", secret.replace("3", "e").replace("-", "")], env={"TOP": secret})
    check_equal(result.code, 0, "exit code")
    m.journal_wait(cursor, HATCH_BUILDER="strict")
    for line in m.journal(cursor, _COMM="hatchd"):
        check(secret not in str(line) and "secretword" not in str(line), f"arguments or variables are logged: {line}")
