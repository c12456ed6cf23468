"""One request, from what it is given to how it ends: over the wire by hand, and with the client on the host."""

import os
import pathlib
import random
import re
import shutil
import signal
import statistics
import time

import hatchwire
from machine import check, check_equal, check_in, shorten

PYTHON = "/usr/bin/python3"

# Everything that a shell, a C string or a text encoding might spoil.
ARGUMENTS = [
    b"two words",
    b"",
    b"'single' \"double\" `tick` $(no) $HOME \\back\\",
    b"two\nlines\n",
    b"tab\tand\rreturn",
    b"\xff\xfe\x80 no UTF-8 \xe9",
    "Häßlich 漢字".encode(),
    b"--",
    b"-dash",
    b" blanks around ",
    b"%s%n*?[a]~&;|<>",
    b"\x1b[31m\x01\x7f",
    b"x" * 20000,
]

SHOW_ARGUMENTS = """import os, sys
sys.stdout.buffer.write(b"".join(os.fsencode(a) + b"\\0" for a in sys.argv[1:]))
"""


def joined(arguments):
    return b"".join(argument + b"\0" for argument in arguments)


# --- what the builder is given ----------------------------------------------------------------------------------------


def test_arguments_arrive_byte_for_byte_over_the_wire(m):
    m.write_builder("show-arguments", SHOW_ARGUMENTS, PYTHON)
    result = m.request("show-arguments", ARGUMENTS)
    check_equal(result.code, 0, repr(result))
    check_equal(result.stdout, joined(ARGUMENTS), "arguments")


def test_arguments_arrive_byte_for_byte_from_the_client(m):
    m.write_builder("show-arguments", SHOW_ARGUMENTS, PYTHON)
    ran = m.run(["hatch", "run", "show-arguments", "--", *ARGUMENTS]).ok()
    check_equal(ran.stdout_bytes, joined(ARGUMENTS), "arguments")


def test_a_request_without_arguments_adds_none(m):
    m.write_builder("count", 'echo "$#"')
    check_equal(m.request("count").stdout, b"0\n", "number of arguments")


def test_variables_arrive_byte_for_byte(m):
    m.write_builder("variable", "import os; os.write(1, os.environb[b'TOP'])", PYTHON, environment={"accept": ["TOP"]})
    for value in (b"", b" two\nlines ", b"\xff\xfe", "漢字=".encode()):
        result = m.request("variable", env={"TOP": hatchwire.text(value)})
        check_equal((result.code, result.stdout), (0, value), "variable")


def test_standard_input_is_empty(m):
    m.write_builder("input", "cat; echo over")
    check_equal(m.request("input").stdout, b"over\n", "what it read")


# --- who the builder is -----------------------------------------------------------------------------------------------


def groups_of(m, **definition):
    """The numbers that "id" shows inside: user, group, all groups."""
    m.write_builder("identity", "id -u; id -g; id -G", **definition)
    lines = m.request("identity").stdout.decode().splitlines()
    check_equal(len(lines), 3, f"lines of {lines}")
    return int(lines[0]), int(lines[1]), {int(gid) for gid in lines[2].split()}


def group_id(m, name):
    return int(m.run(["getent", "group", name]).ok().stdout.split(":")[2])


def join_group(m, name):
    """A new group with all build users as members; gone after the test. Returns its number."""
    m.run(["groupadd", name]).ok()
    m.after_test(lambda: m.run(["groupdel", name]).ok())
    for user in m.build_users():
        m.run(["usermod", "--append", "--groups", name, user]).ok()
    return group_id(m, name)


def test_a_builder_is_a_build_user_in_its_group_alone(m):
    build_group = group_id(m, "hatchbld")
    uid, gid, groups = groups_of(m)
    check(uid in m.build_users().values(), f"uid {uid} is none of {m.build_users()}")
    check_equal(gid, build_group, "group")
    check_equal(groups, {build_group}, "groups")


def test_a_builder_sees_its_own_name_and_group(m):
    m.write_builder("names", "id -un; id -gn")
    user, group = m.request("names").stdout.decode().split()
    check(user in m.build_users(), f"user {user}")
    check_equal(group, "hatchbld", "group")


def test_a_group_that_the_account_was_given_is_kept(m):
    extra = join_group(m, "hatch-extra")
    _, gid, groups = groups_of(m)
    check_equal(groups, {gid, extra}, "groups")


def test_a_group_of_the_definition_is_given(m):
    _, gid, groups = groups_of(m, groups=["dialout"])
    check_equal(groups, {gid, group_id(m, "dialout")}, "groups")


def test_groups_of_account_and_definition_add_up(m):
    extra = join_group(m, "hatch-extra")
    _, gid, groups = groups_of(m, groups=["dialout", "hatch-extra"])
    check_equal(groups, {gid, extra, group_id(m, "dialout")}, "groups")


def test_a_group_opens_what_belongs_to_it_and_its_lack_does_not(m):
    place = m.temporary_directory(0o750)
    (place / "file").write_text("for members\n")
    os.chown(place, 0, group_id(m, "dialout"))
    view = {"read": [str(place)]}
    m.write_builder("reader", f"cat {place}/file", view=view)
    m.write_builder("member", f"cat {place}/file", view=view, groups=["dialout"])
    check(m.request("reader").code != 0, "somebody outside of the group has read the file")
    check_equal(m.request("member").stdout, b"for members\n", "what a member reads")


def test_a_place_below_tmp_is_shown_and_made_nowhere_on_the_host(m):
    before = sorted(os.listdir("/tmp"))
    for parent in ("/tmp", "/var/tmp"):
        place = pathlib.Path(parent, "hatch-shown", "deep")
        place.mkdir(parents=True)
        m.after_test(lambda top=place.parent: shutil.rmtree(top))
        (place / "file").write_text(f"in {parent}\n")
        m.write_builder("below", f"cat {place}/file; touch {place}/new 2>/dev/null", view={"read": [str(place)]})
        check_equal(m.request("below").stdout, f"in {parent}\n".encode(), "what it reads")
        check_equal(os.listdir(place), ["file"], f"what is in {place}")
    added = set(os.listdir("/tmp")) - set(before)
    check_equal(added, {"hatch-shown"}, "new in the host's /tmp")


# --- the log ----------------------------------------------------------------------------------------------------------

NOISE = """import os, random
for stream, seed in ((1, 7), (2, 8)):
    data = random.Random(seed).randbytes(700001)
    while data:
        data = data[os.write(stream, data[:4097]):]
"""


def noise(seed):
    return random.Random(seed).randbytes(700001)


def test_both_streams_are_byte_exact_over_the_wire(m):
    m.write_builder("noise", NOISE, PYTHON)
    result = m.request("noise")
    check_equal(result.code, 0, "code")
    check(result.stdout == noise(7), f"stdout differs: {len(result.stdout)} bytes")
    check(result.stderr == noise(8), f"stderr differs: {len(result.stderr)} bytes")
    receipt = result.last["receipt"]
    check_equal((receipt["stdout_bytes"], receipt["stderr_bytes"]), (700001, 700001), "bytes in the receipt")


def test_both_streams_are_byte_exact_from_the_client(m):
    m.write_builder("noise", NOISE, PYTHON)
    ran = m.run(["hatch", "run", "noise"]).ok()
    check(ran.stdout_bytes == noise(7), f"stdout differs: {len(ran.stdout_bytes)} bytes")
    check(ran.stderr_bytes == noise(8), f"stderr differs: {len(ran.stderr_bytes)} bytes")


CLOCK = """import os, time
for _ in range(20):
    os.write(1, b"%d\\n" % time.monotonic_ns())
    time.sleep(0.05)
"""


def check_prompt(m, read_clock):
    """15 of 20 within 50 ms: a noisy machine may hold up a few. read_clock() reads the builder's 20 lines, and returns how old
    each was."""

    def attempt():
        delays = read_clock()
        told = f"median {statistics.median(delays) * 1000:.1f} ms, longest {max(delays) * 1000:.1f} ms"
        print(f"from write to reader: {told}", flush=True)
        return sorted(delays)[14]

    m.write_builder("clock", CLOCK, PYTHON)
    m.in_time(0.05 * m.slow, attempt)


def ages(lines):
    """How long ago each line of the clock was written; several may come at once."""
    return [time.monotonic() - int(line) / 1e9 for line in lines.split()]


def test_a_byte_of_the_log_arrives_within_50_ms_on_the_wire(m):
    def read_clock():
        delays = []
        with m.client() as client:
            client.request("clock")
            while len(delays) < 20:
                message = client.receive()
                if message["type"] == "stdout":
                    delays += ages(message["attachment"])
            client.receive_until("exit")
            client.send({"type": "received"})
        return delays

    check_prompt(m, read_clock)


def test_a_byte_of_the_log_arrives_within_50_ms_from_the_client(m):
    fifo = m.temporary_directory() / "log"
    os.mkfifo(fifo)

    def read_clock():
        running = m.start(["sh", "-c", f"exec hatch run clock >{fifo}"])
        delays = []
        with open(fifo, "rb", buffering=0) as log:
            while lines := log.read(4096):
                delays += ages(lines)
        running.wait().ok()
        return delays

    check_prompt(m, read_clock)


# --- how it ends ------------------------------------------------------------------------------------------------------


def test_exit_codes_arrive_as_they_are(m):
    m.write_builder("leave", 'exit "$1"')
    for code in (0, 1, 2, 77, 124, 125, 126, 127, 128, 137, 255):
        result = m.request("leave", [str(code)])
        check_equal(result.code, code, repr(result))
        check("signal" not in result.last and "timed_out" not in result.last, f"{result.last}")
        check_equal(m.run(["hatch", "run", "leave", "--", str(code)]).code, code, "exit status of the client")


def test_signals_arrive_as_signals(m):
    m.write_builder("die", 'kill -"$1" $$; sleep 30')
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGABRT, signal.SIGHUP, signal.SIGPIPE):
        result = m.request("die", [str(int(number))])
        check_equal((result.code, result.last.get("signal")), (128 + number, number), repr(result))
        check_equal(m.run(["hatch", "run", "die", "--", str(int(number))]).code, 128 + number, "exit status of the client")


def test_an_exit_status_above_128_is_told_from_a_signal(m):
    m.write_builder("leave", "exit 137")
    ran = m.run(["hatch", "run", "leave"])
    check_equal(ran.code, 137, "exit status")
    check_in("exit status 137", ran.stderr, "message")
    check("signal" not in ran.stderr, f"the client speaks of a signal: {ran.stderr}")


FINISHED = 'mkdir "$out"; echo content >"$out/file"; echo finished; sleep 60'


def kill_and_expect_failure(m, builder, find_victim, output):
    """Run the client, kill what find_victim(pids of the build users) names, and check that it fails and leaves nothing."""
    place = m.temporary_directory() / "result"
    options = ["--output", f"out={place}"] if output else []
    running = m.start(["hatch", "run", *options, builder])
    m.wait_until(lambda: b"finished" in running.stdout(), "the builder's last line")
    os.kill(find_victim(m), signal.SIGKILL)
    ended = running.wait()
    check(ended.code != 0, "a killed builder was a success")
    check(not place.exists(), "its output was delivered")
    return ended


def process_with(m, part):
    """The one process of a build user whose command line holds part. A shell that forks has two for a moment."""

    def only():
        found = [pid for pid in m.build_processes() if part in command_line(pid)]
        return found[0] if len(found) == 1 else None

    return m.wait_until(only, f"one process with {part}")


def command_line(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def parent_of(pid):
    return int(re.search(r"^PPid:\t(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1])


def test_a_killed_builder_with_a_finished_output_is_no_success(m):
    m.write_builder("finished", FINISHED)
    ended = kill_and_expect_failure(m, "finished", lambda m: process_with(m, "bin/finished"), True)
    check_equal(ended.code, 137, "exit status")
    check_in("signal 9", ended.stderr, "message")


def test_a_killed_init_is_no_success(m):
    m.write_builder("finished", FINISHED)
    ended = kill_and_expect_failure(m, "finished", lambda m: parent_of(process_with(m, "bin/finished")), True)
    check_equal(ended.code, 125, "exit status")


def test_a_killed_cgroup_is_no_success(m):
    m.write_builder("finished", FINISHED)
    place = m.temporary_directory() / "result"
    running = m.start(["hatch", "run", "--output", f"out={place}", "finished"])
    m.wait_until(lambda: b"finished" in running.stdout(), "the builder's last line")
    own = pathlib.Path(f"/proc/{process_with(m, 'bin/finished')}/cgroup").read_text()
    group = re.search("^0::(.*)$", own, re.M)[1]
    check_in("/hatch.slice/hatchd@", group, "cgroup")
    pathlib.Path(f"/sys/fs/cgroup{group}/cgroup.kill").write_text("1")
    check(running.wait().code != 0, "a killed builder was a success")
    check(not place.exists(), "its output was delivered")


def test_a_killed_speaker_is_no_success(m):
    m.write_builder("finished", FINISHED)
    speakers = lambda m: [int(p) for p in m.run(["pgrep", "-u", "hatch"]).stdout.split()][0]  # noqa: E731
    ended = kill_and_expect_failure(m, "finished", speakers, True)
    check_equal(ended.code, 125, "exit status")


def test_a_builder_that_exits_with_0_after_its_child_was_killed_is_judged_by_its_own_end(m):
    m.write_builder("survivor", "sh -c 'kill -9 $$'; exit 0")
    check_equal(m.request("survivor").code, 0, "code")


def test_a_child_in_the_background_neither_delays_nor_survives(m):
    m.write_builder("daemon", 'setsid sh -c "sleep 3; touch $out/late; sleep 60" >/dev/null 2>&1 & mkdir "$out"; sleep 60 & exit 0')

    def attempt():
        result, seconds = timed_request(m, "daemon", outputs={"out": None})
        check_equal(result.code, 0, repr(result))
        check(b"late" not in result.output("out"), "what came after the end is in the output")
        return seconds

    m.killed_in_time(2 * m.slow, lambda: m.in_time(2.5 * m.slow, attempt))


# --- limits of time ---------------------------------------------------------------------------------------------------


def timed_request(m, builder, **members):
    begun = time.monotonic()
    result = m.request(builder, **members)
    return result, time.monotonic() - begun


def check_timed_out(m, builder, least, most, **members):
    """A request that a limit ends, not before least seconds and within most; its log."""
    logs = []

    def attempt():
        result, seconds = timed_request(m, builder, **members)
        check_equal((result.code, result.last.get("timed_out")), (124, True), repr(result))
        check(seconds >= least, f"it took {seconds:.1f} s")
        logs.append(result.stdout)
        return seconds

    m.in_time(most, attempt)
    return logs[-1]


def test_the_time_limit_sends_sigterm_first_and_is_no_success_even_so(m):
    m.write_builder(
        "polite", "trap 'echo asked to stop; exit 0' TERM; sleep 60 & wait", limits={"time_sec": 1, "grace_sec": 30}
    )
    check_equal(check_timed_out(m, "polite", 1, 1 + 3 * m.slow), b"asked to stop\n", "log")


def test_a_builder_that_ignores_sigterm_is_killed_after_the_grace(m):
    m.write_builder("deaf", "trap '' TERM; while :; do sleep 1; done", limits={"time_sec": 1, "grace_sec": 2})
    check_timed_out(m, "deaf", 3, 3 + 3 * m.slow)


def test_a_builder_that_has_stopped_itself_is_killed_too(m):
    m.write_builder("stopped", "kill -STOP $$; sleep 60", limits={"time_sec": 1, "grace_sec": 1})
    check_timed_out(m, "stopped", 1, 2 + 3 * m.slow)


def test_the_client_may_shorten_the_time_limit_and_not_lengthen_it(m):
    m.write_builder("slow", "sleep 60", limits={"time_sec": {"default": 2, "max": 3}, "grace_sec": 0})

    def shortened():
        begun = time.monotonic()
        ran = m.run(["hatch", "run", "--timeout", "1", "slow"])
        check_equal(ran.code, 124, "exit status")
        check_in("time limit of 1 s", ran.stderr, "message")
        return time.monotonic() - begun

    def lengthened():
        result, seconds = timed_request(m, "slow", timeout_sec=50)
        check(result.error == "refused" or result.code == 124, repr(result))
        return seconds

    m.in_time(1 + 3 * m.slow, shortened)
    m.in_time(3 + 3 * m.slow, lengthened)


def test_silence_ends_the_builder_and_a_word_now_and_then_does_not(m):
    limits = {"silence_sec": 3, "grace_sec": 0}
    m.write_builder("silent", "echo a word; sleep 60", limits=limits)
    m.write_builder("talking", "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.5; done", limits=limits)
    check_timed_out(m, "silent", 3, 3 + 3 * m.slow)
    check_equal(m.request("talking").code, 0, "a builder that talks")


def test_too_much_log_ends_the_builder_and_says_which_limit(m):
    m.write_builder("chatty", "while :; do echo 0123456789; done", limits={"log": "64K", "grace_sec": 0})
    result = m.request("chatty")
    check_equal(result.error, "limit", repr(result))
    check(len(result.stdout) <= 65536, f"{len(result.stdout)} bytes came")
    check_in("limits.log", result.last["hint"], "hint")
    check_in("chatty.json", result.last["hint"], "hint")


# --- what cannot be run -----------------------------------------------------------------------------------------------


def test_a_missing_program_is_told_as_missing(m):
    m.write_builder("missing", "true", command=["/usr/libexec/not-there"])
    result = m.request("missing")
    check_equal(result.error, "not-found", repr(result))
    ran = m.run(["hatch", "run", "missing"])
    check_equal(ran.code, 127, "exit status")
    check_in("/usr/libexec/not-there", ran.stderr, "message")


def test_a_program_that_cannot_be_run_is_told_as_such(m):
    m.write_builder("plain-file", "true", command=["/usr/lib/os-release"])
    check_equal(m.request("plain-file").error, "cannot-run", "error")
    check_equal(m.run(["hatch", "run", "plain-file"]).code, 126, "exit status")


def test_a_script_without_its_interpreter_is_told_as_such(m):
    m.write_builder("no-interpreter", "true", interpreter="/usr/libexec/not-there")
    check_equal(m.request("no-interpreter").error, "not-found", "error")


def test_a_program_that_somebody_else_could_change_is_not_run(m):
    m.write_builder("open", "echo ran")
    program = pathlib.Path("/opt/hatch-test/bin/open")
    program.chmod(0o777)
    result = m.request("open")
    check(result.error is not None and not result.stdout, repr(result))


def test_a_missing_output_is_an_error_that_names_it(m):
    m.write_builder("lazy", "exit 0")
    result = m.request("lazy", outputs={"out": None})
    check_equal(result.error, "output", repr(result))
    check_in("out", result.last["message"], "message")


def test_a_fifo_or_socket_in_an_output_is_refused_by_name(m):
    m.write_builder("fifo", 'mkdir "$out"; mkfifo "$out/pipe"')
    m.write_builder(
        "socket", "import os, socket; os.mkdir(os.environ['out']); os.chdir(os.environ['out']); "
        "socket.socket(socket.AF_UNIX).bind('door')", PYTHON
    )
    for builder, name in (("fifo", "pipe"), ("socket", "door")):
        result = m.request(builder, outputs={"out": None})
        check_equal(result.error, "output", repr(result))
        check_in(name, result.last["message"], "message")


# --- going away -------------------------------------------------------------------------------------------------------


def test_a_client_may_leave_at_any_moment(m):
    m.write_builder("large", 'echo begun; head -c 4000000 /dev/zero >"$out"; sleep 0.3', limits={"time_sec": 60})
    m.write_builder("slow", "echo begun; sleep 60")
    moments = [
        ("before the greeting", "slow", None, None),
        ("after the greeting", "slow", "hello", None),
        ("after the request", "slow", None, "request"),
        ("after the acceptance", "slow", "accepted", "request"),
        ("after the start", "slow", "started", "request"),
        ("after a line of the log", "slow", "stdout", "request"),
        ("in the middle of an output", "large", "output", "request"),
        ("before it says that it has all", "large", "exit", "request"),
    ]
    for what, builder, last, sent in moments:
        with m.client() as client:
            if sent:
                client.request(builder, outputs={"out": None})
            if last:
                client.receive_until(last)
        m.wait_until(lambda: not m.build_processes() and not m.instances(), f"the end of all after a hang-up {what}")
        check_equal(list(pathlib.Path("/var/lib/hatch/scratch").iterdir()), [], f"scratch after a hang-up {what}")


def test_a_client_that_is_interrupted_takes_its_builder_along(m):
    m.write_builder("slow", "echo begun; trap '' TERM INT HUP; sleep 60")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        clients = []

        def attempt():
            clients.append(m.start(["hatch", "run", "slow"]))  # noqa: B023
            m.wait_until(lambda: b"begun" in clients[-1].stdout(), "the first line")  # noqa: B023
            check(m.build_processes(), "no builder runs")
            os.kill(clients[-1].pid, number)  # noqa: B023

        m.killed_in_time(2 * m.slow, attempt)
        check(all(client.wait().code != 0 for client in clients), "the client says success")


def test_half_closing_is_no_cancel(m):
    m.write_builder("slow", "echo begun; sleep 1; echo over")
    with m.client() as client:
        client.request("slow")
        client.half_close()
        result = hatchwire.Result(client.receive_until("exit", "error"))
    check_equal((result.code, result.stdout), (0, b"begun\nover\n"), repr(result))


def test_closing_after_half_closing_is_a_cancel(m):
    m.write_builder("slow", "echo begun; sleep 60")

    def attempt():
        with m.client() as client:
            client.request("slow")
            client.half_close()
            client.receive_until("stdout")

    m.killed_in_time(2 * m.slow, attempt)


# --- who may not call -------------------------------------------------------------------------------------------------


def test_a_user_who_cannot_see_the_socket_cannot_call(m):
    ran = m.run(["hatch", "ping"], user="alice")
    check_equal(ran.code, 125, "exit status")
    check_in("/run/hatch", ran.stderr, "message")
    m.run(["hatch", "ping"]).ok()


def test_a_builder_for_others_looks_like_one_that_is_not_there(m):
    m.write_builder("private", "echo secret", allow={"users": ["root"]}, description="of root alone")
    refused = m.request("private", user="alice")
    unknown = m.request("not-there", user="alice")
    check_equal((refused.error, unknown.error), ("refused", "refused"), "errors")
    check_equal(refused.last["message"].replace("private", "X"), unknown.last["message"].replace("not-there", "X"), "message")
    with m.client("alice") as client:
        client.receive_type("hello")
        client.send({"type": "list", "version": 1})
        names = [builder["name"] for builder in client.receive_type("builders")["builders"]]
    check("private" not in names, f"alice sees {names}")
    check_in("private", m.run(["hatch", "list"]).ok().stdout, "what root sees")


def test_the_caller_of_a_request_is_told_by_the_kernel(m):
    m.write_builder("who", 'echo "$HATCH_PEER_UID"')
    alice = int(m.run(["id", "-u", "alice"]).ok().stdout)
    result = m.request("who", user="alice")
    check_equal(result.stdout, b"%d\n" % alice, "what the builder is told")
    check_equal(result.last["receipt"]["peer_uid"], alice, "what the receipt says")
    check_equal(m.request("who").last["receipt"]["peer_uid"], 0, "root in the receipt")


def test_a_supplementary_group_of_the_caller_is_enough(m):
    m.write_builder("members", "echo in", allow={"groups": ["dialout"]})
    dialout = group_id(m, "dialout")
    with m.client("alice", groups=[dialout]) as client:
        check_equal(client.run("members").code, 0, "a member")
    with m.client("alice", groups=[]) as client:
        check_equal(client.run("members").error, "refused", shorten("somebody else"))
