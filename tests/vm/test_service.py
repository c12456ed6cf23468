"""The units and the journal: a socket that is stopped, restarted, flooded, misconfigured; and what an operator sees."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import time

import hatchwire
from machine import CONFIG, SOCKET, Failure, check, check_equal, check_in

WAITS = 'echo begun; until [ -e "$1" ]; do sleep 0.02; done; echo over; mkdir "$out" && echo content >"$out/file"'


def check_serving(m):
    """The socket is in order, and a new request works."""
    check_equal(m.state_of("hatchd.socket"), "active", "state of hatchd.socket")
    m.write_builder("still-there", "echo served")
    check_equal(m.run(["hatch", "run", "still-there"]).ok().stdout, "served\n", "a new request")


def drop_in(m, unit, content):
    """Change a unit for this test."""
    directory = pathlib.Path(f"/etc/systemd/system/{unit}.d")
    directory.mkdir(parents=True)
    m.after_test(lambda: m.run(["systemctl", "daemon-reload"]).ok())
    m.after_test(lambda: shutil.rmtree(directory))
    (directory / "test.conf").write_text(content)
    m.run(["systemctl", "daemon-reload"]).ok()


class Waiting:
    """A build through the hatch that has begun and ends when it is let go."""

    def __init__(self, m):
        self.m = m
        self.flag = m.temporary_directory() / "go"
        m.write_builder("waits", WAITS, view={"read": [str(self.flag.parent)]})
        self.running = m.nix_build_start(m.hatch_derivation("waits", "waits", [str(self.flag)]))
        m.wait_until(lambda: b"begun" in self.running.stderr(), "the builder's first line")

    def check_finishes(self):
        self.flag.touch()
        built = self.running.wait().ok()
        check_in("over", built.stderr, "log")
        check_equal((pathlib.Path(built.lines()[-1]) / "file").read_text(), "content\n", "output")


# --- the socket comes and goes ----------------------------------------------------------------------------------------


def test_a_running_request_outlives_a_stopped_socket_and_new_ones_are_told(m):
    build = Waiting(m)
    m.stop_socket()
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
        check(connection.connect_ex(SOCKET) != 0, "the stopped socket takes connections")
    ran = m.run(["hatch", "ping"])
    check_equal(ran.code, 125, "exit status of a new request")
    check_in("hatchd.socket", ran.stderr, "message")
    build.check_finishes()
    m.run(["systemctl", "start", "hatchd.socket"]).ok()
    check_serving(m)


def test_a_running_request_outlives_a_restarted_socket_and_new_ones_work(m):
    build = Waiting(m)
    m.run(["systemctl", "restart", "hatchd.socket"]).ok()
    check_serving(m)
    build.check_finishes()


def test_a_socket_that_is_restarted_again_and_again_keeps_serving(m):
    for _ in range(8):
        m.run(["systemctl", "restart", "hatchd.socket"]).ok()
    check_serving(m)


def test_a_client_that_comes_during_a_restart_is_served_after_it(m):
    m.write_builder("quick", "echo done")
    m.stop_socket()
    running = m.start(["hatch", "run", "quick"])
    time.sleep(0.3)
    m.run(["systemctl", "start", "hatchd.socket"]).ok()
    check_equal(running.wait().ok().stdout, "done\n", "log")


def test_a_sandbox_that_began_before_a_restart_reaches_the_new_socket(m):
    m.write_builder("quick", 'echo built >"$out"')
    script = "echo begun; read line < /proc/self/stat; i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done; exec /bin/hatch run quick"
    running = m.nix_build_start(m.derivation("late", args=["-c", script]))
    m.wait_until(lambda: b"begun" in running.stderr(), "the build")
    m.run(["systemctl", "restart", "hatchd.socket"]).ok()
    check_equal(pathlib.Path(running.wait().ok().lines()[-1]).read_text(), "built\n", "output")


def test_a_running_request_outlives_a_reload_of_the_service_manager(m):
    build = Waiting(m)
    m.run(["systemctl", "daemon-reload"]).ok()
    check_serving(m)
    build.check_finishes()


def test_a_running_request_outlives_a_reexecution_of_the_service_manager(m):
    build = Waiting(m)
    m.run(["systemctl", "daemon-reexec"]).ok()
    check_serving(m)
    build.check_finishes()


def test_a_stopped_instance_ends_its_builder_and_tells_the_client(m):
    m.write_builder("slow", "echo begun; sleep 60")
    with m.client() as client:
        client.request("slow")
        client.receive_until("stdout")
        [unit] = m.monitors().values()
        m.start(["systemctl", "stop", unit])
        result = hatchwire.Result(client.receive_until("exit", "error"))
        check_equal(result.error, "stopping", repr(result))
    m.wait_until(lambda: not m.build_processes(), "the builder's death")
    check_serving(m)


# --- too many, and nonsense -------------------------------------------------------------------------------------------


def test_the_socket_never_fails_however_fast_clients_come_and_go(m):
    # Newer versions of systemd slow such clients down before any limit is reached; older ones do not.
    drop_in(m, "hatchd.socket", "[Socket]\nPollLimitIntervalSec=0\n")
    m.after_test(lambda: m.run(["systemctl", "restart", "hatchd.socket"]).ok())
    m.run(["systemctl", "restart", "hatchd.socket"]).ok()
    begun = time.monotonic()
    for _ in range(400):
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
            connection.connect(SOCKET)
    print(f"400 connections in {time.monotonic() - begun:.1f} s", flush=True)
    check_equal(m.state_of("hatchd.socket", "Result"), "success", "result of hatchd.socket")
    m.wait_until(lambda: not m.instances(), "the end of all instances")
    check_serving(m)


GARBAGE = [
    b"\n",
    b"hello\n",
    b"{}\n",
    b"\0" * 4096,
    b"\xff" * 4096 + b"\n",
    b"[" * 60000 + b"\n",
    b'{"type":"request"}\n',
    b'{"type":"exit","code":0}\n',
    b'{"type":"request","version":1,"builder":"../../etc/passwd"}\n',
    b'{"type":"request","version":1,"builder":"x","size":99999999999}\n',
    b'{"type":"request","version":1,"builder":"x","type":"ping"}\n',
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
]


def test_garbage_of_many_clients_is_answered_and_leaves_the_socket_in_order(m):
    clients = [m.client() for _ in range(24)]
    for client in clients:
        m.after_test(client.close)
    garbage = GARBAGE * (len(clients) // len(GARBAGE))
    for client, data in zip(clients, garbage, strict=True):
        client.receive_type("hello")
        client.send_raw(data)
        if not data.endswith(b"\n"):
            client.half_close()
    for client, data in zip(clients, garbage, strict=True):
        answer = client.receive()
        check_equal((answer["type"], answer.get("code")), ("error", "bad-request"), f"answer to {data[:40]}")
    check_serving(m)


def test_a_request_above_its_cap_is_refused_without_being_kept(m):
    with m.client() as client:
        client.receive_type("hello")
        with contextlib.suppress(OSError):  # the server closes in the middle of it
            client.send_raw(b'{"type":"request","version":1,"builder":"x","args":["' + b"x" * (3 << 20))
        check_equal(client.receive()["code"], "bad-request", "error")
    check_serving(m)


def test_clients_that_say_nothing_are_sent_away_and_the_others_served_meanwhile(m):
    def attempt():
        idle = [m.client() for _ in range(24)]
        for client in idle:
            m.after_test(client.close)
        check_serving(m)
        begun = time.monotonic()
        for client in idle:
            check_equal([message["type"] for message in client.receive_until("error")], ["hello", "error"], "messages")
        return time.monotonic() - begun

    m.in_time(5 + 5 * m.slow, attempt)


def test_a_full_server_keeps_a_client_waiting_and_then_serves_it(m):
    # As many as the socket unit allows, and some; each is sent away after five seconds of silence.
    idle = [socket.socket(socket.AF_UNIX) for _ in range(70)]
    for connection in idle:
        m.after_test(connection.close)
        connection.connect(SOCKET)
    m.write_builder("quick", "echo done")
    check_equal(m.run(["hatch", "run", "quick"]).ok().stdout, "done\n", "log")
    check_equal(m.state_of("hatchd.socket"), "active", "state of hatchd.socket")


def test_one_user_cannot_have_all_connections(m):
    m.write_builder("quick", "echo done")

    def attempt():
        idle = [socket.socket(socket.AF_UNIX) for _ in range(64)]
        with contextlib.ExitStack() as stack:
            for connection in idle:
                stack.enter_context(connection)
                connection.connect(SOCKET)
            begun = time.monotonic()
            check_equal(m.request("quick", user="alice").code, 0, "exit status for another user")
            taken = time.monotonic() - begun
        m.wait_until(lambda: not m.instances(), "the end of the idle ones")
        return taken

    # Sooner than the idle ones are sent away.
    m.in_time(4 * m.slow, attempt)


# --- wrong configuration ----------------------------------------------------------------------------------------------


def server_errors(m, cursor):
    """What hatchd said in the journal, as one text."""
    return " ".join(line["MESSAGE"] for line in m.journal(cursor, SYSLOG_IDENTIFIER="hatchd"))


def check_server_failed(m, why, exit_status, builder="still-there"):
    """A request is answered that the server failed, in fixed words; the journal says why, and how the instance ended."""
    cursor = m.journal_cursor()
    with m.client("alice") as client:
        client.receive_type("hello")
        with contextlib.suppress(OSError):  # it may have closed already
            client.send({"type": "request", "version": 1, "builder": builder})
        result = hatchwire.Result(client.receive_until("exit", "error"))
    check_equal(result.error, "server-failed", repr(result))
    check_in(result.last["message"], ("the server cannot run this request", "the server cannot serve requests"), "message")
    before, command = result.last["hint"].split("finds the reason with: ")
    check_equal(before, "its administrator ", "what the client is told besides")
    m.wait_until(lambda: why in server_errors(m, cursor), f"{why!r} in the journal, which has {server_errors(m, cursor)!r}")
    check_in(why, m.run(command.split()).ok().stdout, command)
    check_exit_status(m, cursor, exit_status)


def check_exit_status(m, cursor, expected):
    """What systemd says of the one instance that has ended with another status than 0."""
    ended = m.wait_until(
        lambda: [line["EXIT_STATUS"] for line in m.journal(cursor, EXIT_CODE="exited") if line["UNIT"].startswith("hatchd@")],
        "the end of the instance",
    )
    check_equal(ended, [str(expected)], "exit status of the instance")


def test_a_broken_definition_spoils_only_its_own_builder(m):
    m.write_definition("broken", '{\n  "command": ["/bin/true"],\n  "allow": {"users": ["root"]},,\n}\n')
    m.write_builder("sound", "echo fine")
    check_server_failed(m, f"{CONFIG}/builders.d/broken.json:3:", 78, "broken")  # which alice may not use
    check_equal(m.request("sound").stdout, b"fine\n", "another builder")
    listed = m.run(["hatch", "list"]).ok().stdout
    check_in("sound", listed, "list")
    check("broken" not in listed, f"the broken one is listed: {listed}")


def test_a_wrong_hatchd_json_is_told_and_mended_without_a_restart(m):
    for content, why in (('{"queue_max": 1,\n "no_such_key": 2}', "no_such_key"), ("{", "hatchd.json:1:")):
        path = m.write_config()
        path.write_text(content)
        check_server_failed(m, why, 78)
        path.unlink()
        check_serving(m)


def test_a_configuration_that_is_not_root_s_alone_is_not_used(m):
    alice = int(m.run(["id", "-u", "alice"]).ok().stdout)
    path = m.write_config(queue_max=7)
    os.chown(path, alice, -1)
    check_server_failed(m, str(path), 78)
    os.chown(path, 0, -1)
    path.chmod(0o666)
    check_server_failed(m, str(path), 78)
    path.chmod(0o644)
    check_serving(m)
    m.after_test(lambda: CONFIG.chmod(0o755))
    CONFIG.chmod(0o777)
    check_server_failed(m, str(CONFIG), 78)


def test_a_definition_that_is_not_root_s_alone_is_not_used(m):
    path = m.write_builder("open", "echo ran")
    path.chmod(0o666)
    check_server_failed(m, str(path), 78, "open")
    path.chmod(0o644)
    check_equal(m.request("open").stdout, b"ran\n", "after it was mended")


def test_a_definition_that_is_a_link_to_somebody_s_file_is_not_used(m):
    target = m.temporary_directory() / "mine.json"
    path = m.write_builder("linked", "echo ran")
    target.write_text(path.read_text())
    os.chown(target, int(m.run(["id", "-u", "alice"]).ok().stdout), -1)
    path.unlink()
    path.symlink_to(target)
    check_server_failed(m, "linked.json", 78, "linked")


def test_a_missing_speaker_account_is_told(m):
    m.run(["userdel", "hatch"]).ok()
    m.after_test(lambda: m.run(["systemd-sysusers", "hatch.conf"]).ok())
    check_server_failed(m, '"hatch"', 78)


def test_a_missing_group_of_build_users_is_told(m):
    m.write_config(build_users_group="no-such-group")
    check_server_failed(m, "no-such-group", 78)
    m.write_config(build_users_group="dialout")
    check_server_failed(m, "dialout", 78)


def test_nobody_who_logs_in_is_a_build_user(m):
    m.write_builder("quick", "echo done")
    m.run(["gpasswd", "--add", "alice", "hatchbld"]).ok()
    m.after_test(lambda: m.run(["gpasswd", "--delete", "alice", "hatchbld"]).ok())
    check_server_failed(m, '"alice"', 78, "quick")
    check('log in as the build user "alice"' in m.run(["hatchd", "--check"]).stdout, "hatchd --check finds it, too")


def test_a_missing_state_directory_is_told(m):
    m.write_config(state="/var/lib/not-there")
    m.write_builder("quick", "echo done")
    check_server_failed(m, "/var/lib/not-there", 71, "quick")


def test_check_names_every_error_and_nothing_else(m):
    m.run(["hatchd", "--check"]).ok()
    m.write_definition("broken", '{"command": ["relative"], "allow": {}, "network": "some"}')
    checked = m.run(["hatchd", "--check"])
    check_equal(checked.code, 78, "exit status")
    told = checked.stdout + checked.stderr
    for word in ("broken.json:1:", "relative", "some"):
        check_in(word, told, "what it says")


def test_a_view_may_not_hold_what_the_sandbox_makes_itself(m):
    for place in ("/", "/proc/sys", "/dev/null", "/tmp", "/var/tmp", "/build", "/run/hatch", "/var/lib", "/nix", "/etc/hatch"):
        m.write_builder("greedy", "true", view={"write": [place]})
        check_equal(m.request("greedy").error, "server-failed", f"a view with {place}")
        checked = m.run(["hatchd", "--check"])
        check_equal(checked.code, 78, f"exit status of the check with {place}")
        check_in("greedy.json:", checked.stdout + checked.stderr, f"the check with {place}")


# --- limits of the unit -----------------------------------------------------------------------------------------------


def test_the_unit_s_own_limit_of_time_is_extended_while_a_builder_runs(m):
    drop_in(m, "hatchd@.service", f"[Service]\nTimeoutStartSec={3 * m.slow}\n")
    m.write_builder("long", "echo begun; sleep 6; echo over", limits={"time_sec": 60 * m.slow})
    result = m.request("long")
    check_equal((result.code, result.stdout), (0, b"begun\nover\n"), repr(result))


def test_the_unit_s_own_limit_of_time_is_extended_while_a_request_waits(m):
    drop_in(m, "hatchd@.service", f"[Service]\nTimeoutStartSec={3 * m.slow}\n")
    m.run(["groupadd", "hatch-one"]).ok()
    m.after_test(lambda: m.run(["groupdel", "hatch-one"]).ok())
    m.run(["gpasswd", "--members", "hatchbld1", "hatch-one"]).ok()
    m.write_config(build_users_group="hatch-one")
    m.write_builder("long", "echo begun; sleep 5", limits={"time_sec": 60 * m.slow})
    with m.client() as first, m.client() as second:
        for client in (first, second):
            client.request("long")
            client.receive_until("started" if client is first else "queued")
        for client in (first, second):
            check_equal(hatchwire.Result(client.receive_until("exit", "error")).code, 0, "code")
            client.send({"type": "received"})


# --- what the operator sees -------------------------------------------------------------------------------------------

ALWAYS = {"HATCH_REQUEST", "HATCH_BUILDER", "HATCH_PEER_UID", "HATCH_PEER_GID", "HATCH_PEER_PID", "HATCH_VERDICT", "HATCH_PHASE"}
ALWAYS |= {"HATCH_DURATION_MS", "HATCH_QUEUED_MS", "HATCH_RUN_MS", "HATCH_STDOUT_BYTES", "HATCH_STDERR_BYTES"}
ALWAYS |= {"HATCH_OUTPUT_BYTES", "HATCH_OUTPUTS", "HATCH_DELIVERED"}


# As far as the machine can count it: tests/vm/test_limits.py.
USAGE = {"HATCH_MEMORY_PEAK", "HATCH_CPU_USER_US", "HATCH_CPU_SYSTEM_US", "HATCH_IO_READ_BYTES", "HATCH_IO_WRITE_BYTES",
         "HATCH_PIDS_PEAK"}


def fields_of(line):
    return {name for name in line if name.startswith("HATCH_")} - USAGE


def test_a_build_leaves_one_line_with_its_fields(m):
    m.write_builder("noted", 'echo 12345; echo 123 >&2; echo content >"$out"; sleep 1')
    cursor = m.journal_cursor()
    drv = m.nix_instantiate(m.hatch_derivation("noted", "noted", options=["--request-id", "my-mark.7"]))
    m.run(["nix-store", "--realise", drv], user="alice").ok()
    [line] = m.journal_wait(cursor, HATCH_BUILDER="noted")
    check_equal(fields_of(line), ALWAYS | {"HATCH_CLIENT_ID", "HATCH_USER", "HATCH_DRV", "HATCH_EXIT"}, "fields")
    expected = {
        "HATCH_CLIENT_ID": "my-mark.7",
        "HATCH_DRV": pathlib.Path(drv).name,
        "HATCH_EXIT": "0",
        "HATCH_VERDICT": "done",
        "HATCH_PHASE": "outputs",
        "HATCH_STDOUT_BYTES": "6",
        "HATCH_STDERR_BYTES": "4",
        "HATCH_OUTPUTS": "1",
        "HATCH_DELIVERED": "yes",
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": "hatchd",
    }
    check_equal({name: line.get(name) for name in expected}, expected, "values")
    check(re.fullmatch("[0-9a-f]{16}", line["HATCH_REQUEST"]), line["HATCH_REQUEST"])
    check(line["HATCH_USER"] in m.build_users(), line["HATCH_USER"])
    uids = m.run(["sh", "-c", "for u in $(getent group nixbld | cut -d: -f4 | tr , ' '); do id -u $u; done"]).ok().lines()
    check(line["HATCH_PEER_UID"] in uids, f"uid {line['HATCH_PEER_UID']} is none of Nix's {uids}")
    # Counted from when the monitor hears of the start, which on a loaded machine is late.
    check(100 <= int(line["HATCH_RUN_MS"]) <= int(line["HATCH_DURATION_MS"]) < 60000, f"{line}")
    check(int(line["HATCH_OUTPUT_BYTES"]) > 512, line["HATCH_OUTPUT_BYTES"])
    shown = m.run(["journalctl", "--quiet", "--output=cat", f"--after-cursor={cursor}", "HATCH_BUILDER=noted"]).ok()
    check_equal(len(shown.lines()), 1, "lines for people")
    for word in ("noted", pathlib.Path(drv).name, "exit 0"):
        check_in(word, shown.stdout, "the line")


def test_every_field_of_the_journal_is_in_the_manual(m):
    manual = pathlib.Path("/usr/share/man/man8/hatchd.8").read_text()
    m.write_builder("slow", "sleep 60", limits={"time_sec": 1, "grace_sec": 0})
    m.write_builder("die", "kill -9 $$")
    cursor = m.journal_cursor()
    m.request("slow", request_id="mark")
    m.request("die")
    m.request("not-there")
    lines = m.journal_wait(cursor, count=3, SYSLOG_IDENTIFIER="hatchd")
    fields = set().union(*(fields_of(line) for line in lines))
    check(fields >= ALWAYS | {"HATCH_SIGNAL", "HATCH_TIMED_OUT", "HATCH_ERROR", "HATCH_HINT"}, f"fields {fields}")
    for field in fields:
        check_in(field, manual, "hatchd(8)")


def test_every_request_leaves_exactly_one_line_and_says_how_it_ended(m):
    m.write_builder("leave", 'exit "$1"')
    m.write_builder("die", "kill -11 $$")
    m.write_builder("slow", "sleep 60", limits={"time_sec": 1, "grace_sec": 0})
    m.write_builder("private", "true", allow={"users": ["root"]})
    cursor = m.journal_cursor()
    m.request("leave", ["0"])
    m.request("leave", ["3"])
    m.request("die")
    m.request("slow")
    m.request("private", user="alice")
    m.run(["hatch", "ping"]).ok()
    m.run(["hatch", "list"]).ok()
    with m.client() as client:
        client.request("leave", ["0"], outputs={"out": None})
        client.receive_until("error")
    lines = m.journal_wait(cursor, count=8, SYSLOG_IDENTIFIER="hatchd")
    names = ("HATCH_BUILDER", "HATCH_VERDICT", "HATCH_EXIT", "HATCH_SIGNAL", "HATCH_TIMED_OUT", "PRIORITY")
    told = sorted(tuple(line.get(name, "") for name in names) for line in lines)
    expected = sorted(
        [
            ("leave", "done", "0", "", "", "6"),
            ("leave", "failed", "3", "", "", "6"),
            ("die", "failed", "139", "11", "", "6"),
            ("slow", "timed-out", "124", "", "time", "6"),
            ("private", "refused", "", "", "", "5"),
            ("", "done", "", "", "", "6"),
            ("", "done", "", "", "", "6"),
            ("leave", "output", "0", "", "", "6"),
        ]
    )
    check_equal(told, expected, "lines")
    # No builder was asked for: one may even be called so.
    others = sorted(line["HATCH_PHASE"] for line in lines if "HATCH_BUILDER" not in line)
    check_equal(others, ["list", "ping"], "phases without a builder")
    check_equal(len({line["HATCH_REQUEST"] for line in lines}), len(lines), "identifiers")


def test_a_refusal_says_in_the_journal_what_would_allow_it(m):
    path = m.write_builder("private", "true", allow={"users": ["root"]})
    cursor = m.journal_cursor()
    result = m.request("private", user="alice")
    [line] = m.journal_wait(cursor, HATCH_VERDICT="refused")
    check_in(str(path), line["HATCH_ERROR"], "reason")
    check_in("allow.users", line["HATCH_HINT"], "what would allow it")
    check(str(path) not in repr(result.last), f"the client is told where: {result.last}")


def test_words_of_a_client_cannot_forge_a_line(m):
    m.write_builder("strict", "true", args={"max": 1, "match": ["[a-z]+"]})
    cursor = m.journal_cursor()
    m.request("strict", [b"x\n<0>forged for uid 0: done\x1b[2J %s%n \xff"])
    [line] = m.journal_wait(cursor, SYSLOG_IDENTIFIER="hatchd")
    check(isinstance(line["MESSAGE"], str), f"the line is no text: {line['MESSAGE']}")
    check_equal((line["HATCH_BUILDER"], line["PRIORITY"]), ("strict", "5"), "builder and priority")
    check(not re.search(r"[\x00-\x1f\x7f]", line["MESSAGE"]), f"control characters in {line['MESSAGE']!r}")


def test_the_record_tells_delivered_from_lost(m):
    m.write_builder("gives", 'echo content >"$out"')

    def delivered(end):
        cursor = m.journal_cursor()
        with m.client() as client:
            client.request("gives", outputs={"out": None})
            client.receive_until("exit")
            end(client)
        return m.journal_wait(cursor, HATCH_BUILDER="gives")[0]["HATCH_DELIVERED"]

    def close(client):
        # The stream's end, before the client object's own close.
        client.sock.shutdown(socket.SHUT_RDWR)

    check_equal(delivered(lambda client: client.send({"type": "received"})), "yes", "after received")
    check_equal(delivered(close), "no", "after a hang-up")
    check_equal(delivered(lambda client: client.send_raw(b"what?\n")), "no", "after nonsense")


def test_a_client_that_goes_while_outputs_come_is_recorded_as_gone(m):
    m.write_builder("large", 'head -c 8000000 /dev/zero >"$out"')
    cursor = m.journal_cursor()
    with m.client() as client:
        client.request("large", outputs={"out": None})
        client.receive_until("output")
    line = m.journal_wait(cursor, HATCH_BUILDER="large")[0]
    check_equal((line["HATCH_VERDICT"], line["PRIORITY"]), ("cancelled", "5"), "verdict and priority")
    check(line["HATCH_DELIVERED"] != "yes", "it counts as delivered")


def test_the_status_of_a_running_instance_says_what_it_does(m):
    m.write_builder("visible", "echo begun; sleep 60")
    with m.client("alice") as client:
        client.request("visible")
        client.receive_until("stdout")
        [unit] = m.monitors().values()
        alice = m.run(["id", "-u", "alice"]).ok().stdout.strip()
        text = m.state_of(unit, "StatusText")
        for word in ("visible", f"uid {alice}", "hatchbld"):
            check_in(word, text, "status text")
        check_in(text, m.run(["systemctl", "--no-pager", "status", unit]).stdout, "systemctl status")
        check_in(text, m.run(["systemctl", "--no-pager", "status", "hatchd@*"]).stdout, "systemctl status of all")


def test_the_processes_of_a_request_are_in_its_own_group_below_the_slice(m):
    m.write_builder("visible", "echo begun; sleep 60")
    with m.client() as client:
        client.request("visible")
        client.receive_until("stdout")
        [unit] = m.monitors().values()
        groups = {pathlib.Path(f"/proc/{pid}/cgroup").read_text().strip() for pid in m.build_processes()}
        for group in groups:
            check_in(f"/hatch.slice/{unit}", group, "cgroup")


def test_a_service_that_was_never_called_runs_nothing(m):
    m.wait_until(lambda: not m.instances(), "no instance")
    found = m.run(["pgrep", "--exact", "hatchd"]).stdout.split()
    check_equal(found, [], "processes of hatchd")


def test_the_socket_can_be_reached_by_nobody_but_those_who_are_shown_it(m):
    for path, mode in (("/run/hatch", 0o700), ("/run/hatch/s", 0o755)):
        status = os.stat(path)
        check_equal((status.st_uid, status.st_mode & 0o7777), (0, mode), path)
    check_equal(os.stat(SOCKET).st_mode & 0o777, 0o666, "mode of the socket")


def test_a_hung_server_process_is_killed_with_all_that_it_started(m):
    m.write_builder("slow", "echo begun; sleep 60")
    with m.client() as client:
        client.request("slow")
        client.receive_until("stdout")
        [(pid, unit)] = m.monitors().items()
        os.kill(pid, signal.SIGSTOP)
        stopping = m.start(["systemctl", "stop", unit])
        stopping.wait()
    try:
        m.wait_until(lambda: not m.build_processes() and not m.instances(), "the end of everything")
    except Failure:
        os.kill(pid, signal.SIGKILL)
        raise


def test_a_view_that_is_missing_on_the_host_is_told_with_file_and_key(m):
    m.write_builder("sees", "true", allow={"users": ["root"]}, view={"read": ["/var/lib/not-there"]})
    cursor = m.journal_cursor()
    check_equal(m.request("sees").error, "server-failed", "answer")
    line = m.journal_wait(cursor, HATCH_BUILDER="sees")[0]
    check_in("/var/lib/not-there", line["HATCH_ERROR"], "HATCH_ERROR")
    check_in("/etc/hatch/builders.d/sees.json:", line["HATCH_ERROR"], "HATCH_ERROR")
    check_in('"view"', line["HATCH_HINT"], "HATCH_HINT")


def stop_all(m):
    """Stop every instance; returns how long that took."""
    begun = time.monotonic()
    m.run(["systemctl", "stop", "hatchd@*.service"]).ok()
    return time.monotonic() - begun


def check_stopped_with_a_stalled_client(m, *request, **members):
    m.in_time(9 * m.slow, lambda: stopped_with_a_stalled_client(m, *request, **members))


def stopped_with_a_stalled_client(m, builder, until, **members):
    """How long it took."""
    cursor = m.journal_cursor()
    with m.client() as client:
        client.request(builder, **members)
        client.receive_until(until)
        time.sleep(1.5)  # by now nothing fits into the socket any more
        seconds = stop_all(m)
        line = m.journal_wait(cursor, HATCH_BUILDER=builder)[0]
        check_in(line["HATCH_VERDICT"], ("stopping", "cancelled"), "verdict")
    return seconds


def test_an_instance_whose_client_takes_no_log_can_be_stopped(m):
    m.write_builder("floods", "yes", allow={"users": ["root"]}, limits={"log": "10G", "grace_sec": 1})
    check_stopped_with_a_stalled_client(m, "floods", "stdout")


def test_an_instance_whose_client_takes_no_outputs_can_be_stopped(m):
    m.write_builder("big", 'head -c 50000000 /dev/zero >"$out"', allow={"users": ["root"]})
    check_stopped_with_a_stalled_client(m, "big", "output", outputs={"out": None})


def test_a_time_limit_frees_the_slot_though_the_client_takes_nothing(m):
    m.write_builder("floods", "yes", allow={"users": ["root"]}, limits={"log": "10G", "grace_sec": 1, "time_sec": 1})

    def attempt():
        cursor = m.journal_cursor()
        begun = time.monotonic()
        with m.client() as client:
            client.request("floods")
            client.receive_until("stdout")
            line = m.journal_wait(cursor, HATCH_BUILDER="floods")[0]
        check_equal((line["HATCH_VERDICT"], line["HATCH_EXIT"], line["HATCH_TIMED_OUT"]), ("timed-out", "124", "time"), "record")
        return time.monotonic() - begun

    m.in_time(15 * m.slow, attempt)


def test_a_limit_on_silence_is_told_apart_from_one_on_time(m):
    m.write_builder("hushed", "sleep 60", allow={"users": ["root"]}, limits={"silence_sec": 1, "grace_sec": 1})
    cursor = m.journal_cursor()
    result = m.request("hushed")
    check_equal((result.code, result.last.get("silent")), (124, True), repr(result))
    check_equal(m.journal_wait(cursor, HATCH_BUILDER="hushed")[0]["HATCH_TIMED_OUT"], "silence", "HATCH_TIMED_OUT")


def test_a_client_that_pauses_does_not_make_its_builder_silent(m):
    m.write_builder("floods", "yes | head -c 30000000", allow={"users": ["root"]}, limits={"log": "10G", "silence_sec": 2})
    with m.client() as client:
        client.request("floods")
        client.receive_until("stdout")
        time.sleep(4)
        check_equal(hatchwire.Result(client.receive_until("exit", "error")).code, 0, "exit status")
