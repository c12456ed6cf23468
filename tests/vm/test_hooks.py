"""The administrator's commands around a builder: when they run, as whom, with what, and that "after" runs however the
request ended."""

import os
import pathlib
import signal

import attack
from machine import BIN, check, check_equal, check_in, is_alive

# What each command does: one line for each run, with what it was told.
NOTE = 'echo "$1 $(id -u) ${HATCH_RESULT:-none} ${HATCH_EXIT:-none}" >>"$2"; cat /proc/self/cgroup >>"$2.cgroup"\n'


class Hooks:
    """Commands that write down that they ran, and a builder between them."""

    def __init__(self, m):
        self.m = m
        self.place = m.temporary_directory(mode=0o777)
        # "after" may run, and write there, when the client has its answer.
        m.after_test(lambda: m.wait_until(lambda: not m.instances(), "the end"))
        self.log = self.place / "log"
        for path in (self.log, self.place / "log.cgroup"):
            path.touch()
            path.chmod(0o666)

    def command(self, name, script, user="root", time_sec=30):
        """A hook; the script finds the place in $2."""
        program = BIN / f"hook-{name}"
        BIN.mkdir(parents=True, exist_ok=True)
        program.write_text("#!/bin/sh\n" + script)
        program.chmod(0o755)
        self.m.after_test(lambda: program.unlink(missing_ok=True))
        return {"command": [str(program), name, str(self.log)], "time_sec": time_sec, "user": user}

    def builder(self, name, script, before=NOTE, after=NOTE, user="root", time_sec=30, **definition):
        definition.setdefault("limits", {"time_sec": 60 * self.m.slow, "grace_sec": 0})
        hooks = {key: self.command(key, text, user, time_sec) for key, text in (("before", before), ("after", after)) if text}
        self.m.write_builder(name, f'echo "builder $(id -u)" >>{self.log}\n{script}', view={"write": [str(self.log)]},
                             **hooks, **definition)

    def words(self):
        """What ran, in order: the first word of each line."""
        return [line.split()[0] for line in self.log.read_text().splitlines()]

    def lines(self):
        return self.log.read_text().splitlines()


def test_before_and_after_run_around_the_builder_with_the_seat_held(m):
    m.write_config(resources={"board": 1})
    hooks = Hooks(m)
    env = "env | grep ^HATCH_ | sort >>$2.env; ls -l /proc/self/fd >>$2.fds\n"
    hooks.builder("board", "echo ready; exit 7", before=NOTE + env, after=NOTE + env, resources={"board": 1})
    for name in ("log.env", "log.fds"):
        (hooks.place / name).touch()
    result = m.request("board")
    check_equal((result.code, result.stdout), (7, b"ready\n"), repr(result))
    m.wait_until(lambda: not m.instances(), "the end")
    before, builder, after = hooks.lines()
    check_equal(before, "before 0 none none", "before")
    check(int(builder.split()[1]) in m.build_users().values(), builder)
    check_equal(after, "after 0 failed 7", "after")
    told = (hooks.place / "log.env").read_text()
    for words in ("HATCH_BUILDER=board\n", "HATCH_PEER_UID=0\n", "HATCH_RESOURCES=board=1\n", "HATCH_REQUEST=", "HATCH_EXIT=7\n",
                  "HATCH_RESULT=failed\n", f"HATCH_USER={result.last['receipt']['user']}\n"):
        check_in(words, told, "environment")
    groups = (hooks.place / "log.cgroup").read_text()
    check_in("/hook-", groups, "the cgroup of the commands")
    opened = (hooks.place / "log.fds").read_text()
    # Besides the standard streams only what ls itself has opened.
    numbers = {line.split(" -> ")[0].split()[-1] for line in opened.splitlines() if " -> " in line}
    check_equal(numbers, {"0", "1", "2", "3"}, f"descriptors of {opened}")


def test_commands_run_as_the_build_user_unless_the_definition_says_root(m):
    hooks = Hooks(m)
    hooks.builder("plain", "true", user="build-user")
    check_equal(m.request("plain").code, 0, "a request")
    m.wait_until(lambda: len(hooks.lines()) == 3, "the end")
    uids = {line.split()[1] for line in hooks.lines()}
    check_equal(len(uids), 1, f"uids of {hooks.lines()}")
    check(int(uids.pop()) in m.build_users().values(), f"{hooks.lines()}")


def test_what_commands_write_goes_to_the_journal_and_not_to_the_client(m):
    hooks = Hooks(m)
    cursor = m.journal_cursor()
    hooks.builder("talks", "echo of the builder", before="echo said before; echo and loudly >&2\n", after="echo said after\n")
    result = m.request("talks")
    check_equal((result.stdout, result.stderr), (b"of the builder\n", b""), repr(result))
    m.wait_until(lambda: len([line for line in m.journal(cursor) if line.get("MESSAGE") in
                              ("said before", "and loudly", "said after")]) == 3, "three lines in the journal")


def test_a_failing_before_refuses_the_request_and_after_still_runs(m):
    hooks = Hooks(m)
    cursor = m.journal_cursor()
    hooks.builder("never", "true", before=NOTE + "exit 3\n")
    result = m.request("never")
    check_equal(result.error, "not-ready", repr(result))
    check_in("`before` of never failed with exit status 3", result.last["message"], "message")
    m.wait_until(lambda: len(hooks.lines()) == 2, "after")
    check_equal(hooks.lines(), ["before 0 none none", "after 0 not-ready none"], "what ran")
    line = m.journal_wait(cursor, HATCH_BUILDER="never")[-1]
    check_equal((line["HATCH_VERDICT"], line["HATCH_PHASE"]), ("not-ready", "before"), "journal")


def test_a_command_that_takes_too_long_is_killed_with_everything_it_started(m):
    hooks = Hooks(m)
    hooks.builder("slow", "true", before=NOTE + "setsid sleep 4711 & sleep 4711\n", time_sec=2)
    result = m.request("slow")
    check_equal(result.error, "not-ready", repr(result))
    check_in("took longer than its 2 s", result.last["message"], "message")
    m.wait_until(lambda: hooks.words() == ["before", "after"], "after")
    check(not sleepers(), f"left: {sleepers()}")


def test_what_a_command_leaves_running_ends_with_it(m):
    hooks = Hooks(m)
    hooks.builder("leaves", "true", before=NOTE + "setsid sleep 4711 >/dev/null 2>&1 &\n")
    check_equal(m.request("leaves").code, 0, "a request")
    check(not sleepers(), f"left: {sleepers()}")


def sleepers():
    """Processes of `sleep 4711`."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == b"sleep\x004711\x00":
                found.append(path.parent.name)
        except OSError:
            pass
    return found


def test_after_runs_when_the_builder_is_killed_times_out_or_its_client_leaves(m):
    hooks = Hooks(m)
    hooks.builder("dies", "kill -9 $$")
    check_equal(m.request("dies").code, 137, "one that dies")
    m.wait_until(lambda: len(hooks.lines()) == 3, "after")
    check_equal(hooks.lines()[2], "after 0 failed 137", "after a signal")
    hooks.builder("sleeps", "echo begun; sleep 4711", limits={"time_sec": 3, "grace_sec": 0})
    check_equal(m.request("sleeps").code, 124, "one that is too slow")
    m.wait_until(lambda: len(hooks.lines()) == 6, "after")
    check_equal(hooks.lines()[5], "after 0 timed-out 124", "after a limit")
    hooks.builder("sleeps", "echo begun; sleep 4711")
    with m.client() as client:
        client.request("sleeps")
        client.receive_until("stdout")
    m.wait_until(lambda: len(hooks.lines()) == 9, "after")
    check_equal(hooks.lines()[8], "after 0 cancelled none", "after a client that left")


def test_a_client_that_leaves_ends_before_and_after_still_runs(m):
    hooks = Hooks(m)
    hooks.builder("long", "true", before=NOTE + "sleep 4711\n")
    with m.client() as client:
        client.request("long")
        m.wait_until(lambda: hooks.words() == ["before"], "before")
    m.wait_until(lambda: hooks.words() == ["before", "after"], "after")
    check_equal(hooks.lines()[1], "after 0 cancelled none", "after")
    check(not sleepers(), f"left: {sleepers()}")


def test_after_runs_when_the_service_is_stopped(m):
    hooks = Hooks(m)
    hooks.builder("stopped", "echo begun; sleep 4711", after=NOTE + "sleep 1; echo whole >>$2\n")
    with m.client() as client:
        client.request("stopped")
        client.receive_until("stdout")
        (unit,) = m.instances()
        m.run(["systemctl", "stop", unit]).ok()
    check_equal(hooks.lines()[2:], ["after 0 stopping none", "whole"], "after")


def test_a_stop_while_after_runs_does_not_leave_it_half_done(m):
    hooks = Hooks(m)
    gate = m.gate()
    hooks.builder("stopped", "true", after=NOTE + f"{gate.wait}; echo whole >>$2\n")
    m.request("stopped")
    m.wait_until(lambda: "after" in hooks.words(), "the beginning of after")
    (unit,) = m.instances()
    stop = m.start(["systemctl", "stop", unit])
    m.wait_until(lambda: m.state_of(unit) == "deactivating", "the stop")
    gate.open()
    stop.wait().ok()
    check_equal(hooks.words()[-1], "whole", f"after: {hooks.lines()}")


def test_after_runs_again_if_it_hears_of_a_stop_before_the_steward_does(m):
    hooks = Hooks(m)
    gate = m.gate()
    hooks.builder("stopped", "true", after=f'echo "$$ $PPID" >>$2\n{gate.wait}\necho whole >>$2\n')
    m.request("stopped")
    m.wait_until(lambda: len(hooks.lines()) == 3, "the beginning of after")
    after, steward = map(int, hooks.lines()[2].split())
    os.kill(after, signal.SIGTERM)
    m.wait_until(lambda: not pathlib.Path(f"/proc/{after}").exists(), "the steward's hearing of its end")
    os.kill(steward, signal.SIGTERM)
    gate.open()
    m.wait_until(lambda: not m.instances(), "the end")
    check_equal(len(hooks.lines()), 5, f"after begins twice: {hooks.lines()}")
    check_equal(hooks.words()[-1], "whole", f"after: {hooks.lines()}")


def test_after_runs_though_the_server_is_killed_and_the_seat_is_free_only_then(m):
    m.write_config(resources={"board": 1})
    hooks = Hooks(m)
    after = NOTE + "sleep 1; pgrep -U $HATCH_USER sleep >>$2.left; echo whole >>$2\n"
    hooks.builder("killed", "echo begun; sleep 4711", after=after, resources={"board": 1})
    m.write_builder("next", f"echo next >>{hooks.log}", view={"write": [str(hooks.log)]}, resources={"board": 1})
    with m.client() as client:
        client.request("killed")
        client.receive_until("stdout")
        (monitor,) = m.monitors()
        builders = m.build_processes()
        os.kill(monitor, signal.SIGKILL)
        result = m.request("next")
    check_equal(result.code, 0, f"the next: {result}")
    check_equal(hooks.lines()[2:], ["after 0 killed none", "whole", "next"], "what ran, in order")
    check(not any(is_alive(pid) for pid in builders), "the builder of the killed one")
    left = hooks.place / "log.left"
    check(not left.exists() or not left.read_text(), "the builder lived while after ran")


def test_a_command_that_others_could_have_written_is_refused_and_found_by_check(m):
    hooks = Hooks(m)
    hooks.builder("unsafe", "true")
    (BIN / "hook-after").chmod(0o777)
    said = m.run(["hatchd", "--check"])
    check_equal(said.code, 78, said.stdout)
    check_in("the command `after` of builder `unsafe`", said.stdout + said.stderr, "hatchd --check")
    cursor = m.journal_cursor()
    check_equal(m.request("unsafe").error, "server-failed", "the request")
    check_equal(m.journal_wait(cursor, HATCH_BUILDER="unsafe")[-1]["HATCH_PHASE"], "policy", "phase")
    check_equal(hooks.lines(), [], "what ran")


def test_commands_have_no_capability_and_gain_none(m):
    hooks = Hooks(m)
    note = 'echo "$1 $(grep -E "^(CapEff|CapPrm|CapBnd|NoNewPrivs)" /proc/self/status | tr -d "\\n\\t")" >>"$2"\n'
    hooks.builder("bare", "true", before=note, after=note)
    check_equal(m.request("bare").code, 0, "a request")
    m.wait_until(lambda: len(hooks.lines()) == 3, "the end")
    for line in (hooks.lines()[0], hooks.lines()[2]):
        check_equal(line.split(" ", 1)[1], "CapPrm:0000000000000000CapEff:0000000000000000CapBnd:0000000000000000NoNewPrivs:1", line)


def sockets_of(process):
    """From 3 up: below is the journal's stream, which all of hatchd's processes have."""
    return {target for fd, target in process.descriptors().items() if fd > 2 and target.startswith("socket:")}


# ES10: whoever takes over a process of the sandbox still cannot order "after" while the board is in use
def test_nobody_but_the_monitor_speaks_with_the_steward(m):
    hooks = Hooks(m)
    hooks.builder("held", "echo begun; sleep 4711")
    with attack.live(m, "held") as (_, i):
        check_equal(len(i.roots), 1, "processes of root beside the monitor")
        check_equal(len(sockets_of(i.roots[0])), 1, "lines of the steward")
        check(len(sockets_of(i.monitor)) >= 3, "lines of the monitor: speaker, init, steward")
        # Each end of a line has a number of its own: who has one of the monitor's can speak as the monitor.
        for process in (i.speaker, i.init, *i.helpers, *i.builders, *i.roots, *i.theirs):
            shared = sockets_of(process) & sockets_of(i.monitor)
            check(not shared, f"process {process.pid} of uids {process.uids} holds the monitor's end of {shared}")
        # The lock of its slot, and nothing that tells the steward anything: its cgroup is killed.
        pipes = {target for target in i.init.descriptors().values() if target.startswith("pipe:")}
        check_equal(pipes, set(), "pipes of init")


# ES10: what runs commands later has no right while the builder runs, and is closed to others
def test_neither_the_steward_nor_a_command_that_waits_has_a_right(m):
    hooks = Hooks(m)
    for user in ("root", "build-user"):
        hooks.builder("board", "echo begun; sleep 4711", user=user)
        with attack.live(m, "board") as (_, i):
            check_waiting(i, i.init.uids if user == "build-user" else {0})


def check_waiting(i, uids):
    """A steward and the commands that wait, seen while the builder runs."""
    (steward,) = i.roots
    check_equal([command.uids for command in i.theirs], [uids] * 3, "commands that wait: one for each time that `after` may run")
    for process in (steward, *i.theirs):
        check_equal(set(process.capabilities().values()), {0}, f"capabilities of process {process.pid}")
        check_equal(process.status["NoNewPrivs"], "1", f"NoNewPrivs of process {process.pid}")
        check(not process.is_dumpable(), f"process {process.pid} is dumpable")
    common = min(helper.filters for helper in i.helpers)
    check_equal(steward.filters, common + 1, "number of filters of the steward")
    # A command is the administrator's: what is loaded before it begins would hold it too.
    check_equal({command.filters for command in i.theirs}, {common}, "number of filters of the commands")
    for command in i.theirs:
        kinds = {target.split(":")[0] for fd, target in command.descriptors().items() if fd > 2}
        check_equal(kinds, {"pipe"}, f"what the command {command.pid} holds")
