"""The administrator's tool on a machine where requests run."""

import datetime
import json
import os
import pathlib
import re
import shutil
import time

import attack
import hatchwire
from machine import BIN, STATE, check, check_equal, check_in

PYTHON = "/usr/bin/python3"


def hatchctl(m, *words, user=None):
    """The JSON that the tool prints."""
    return json.loads(m.run(["hatchctl", *words, "--json"], user=user).ok().stdout)


def asked(m, builder, args=(), user=None):
    """One request, and its identifier as soon as the journal has it."""
    cursor = m.journal_cursor()
    result = m.request(builder, args, user)
    return result, m.journal_wait(cursor, HATCH_BUILDER=builder)[-1]["HATCH_REQUEST"]


# --- history ------------------------------------------------------------------------------------------------------------


def test_history_tells_how_requests_ended(m):
    name = f"told-{time.time_ns()}"
    m.write_builder(name, 'echo text; exit "$1"')
    _, good = asked(m, name, ["0"])
    _, bad = asked(m, name, ["3"], "alice")
    first, second = hatchctl(m, "history", "--builder", name)["requests"]
    check_equal([first["request"], second["request"]], [good, bad], "order")
    check_equal((first["verdict"], first["exit"], first["peer_uid"], first["stdout_bytes"]), ("done", 0, 0, 5), "the first")
    check_equal((second["verdict"], second["exit"]), ("failed", 3), "the second")
    check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", first["time"]), first["time"])
    lines = m.run(["hatchctl", "history", "--builder", name]).ok().lines()
    check_equal(len(lines), 3, "lines of the table")
    check_equal(lines[2].split()[2:7], [bad, name, "alice", "failed", "3"], "cells")


def test_a_request_that_was_refused_has_an_identifier_too(m):
    name = f"refused-{time.time_ns()}"
    m.write_builder(name, "true", allow={"users": ["root"]})
    m.write_builder(f"{name}-lacks", "true", view={"read": ["/srv/missing"]})
    cursor = m.journal_cursor()
    m.request(name, user="alice")
    told = m.request(f"{name}-lacks").last
    m.write_builder(f"{name}-gone", "", command=["/usr/bin/not-there"])
    m.request(f"{name}-gone")
    with m.client() as client:
        client.send({"type": "request", "version": 1, "builder": 7})
        client.receive_until("error")
    lines = {line["HATCH_VERDICT"]: line for line in m.journal_wait(cursor, count=4, SYSLOG_IDENTIFIER="hatchd")}
    check_equal(set(lines), {"refused", "server-failed", "not-found", "bad-request"}, "ends")
    for verdict, line in lines.items():
        shown = hatchctl(m, "show", line["HATCH_REQUEST"])["request"]
        check_equal((shown["verdict"], shown["error"]), (verdict, line["HATCH_ERROR"]), f"what show tells of {verdict}")
    check_in(f"hatchctl show {lines['server-failed']['HATCH_REQUEST']}", told["hint"], "what the client is told")
    [row] = hatchctl(m, "history", "--builder", name)["requests"]
    check_equal((row["request"], row["verdict"]), (lines["refused"]["HATCH_REQUEST"], "refused"), "history")


def test_history_filters(m):
    name = f"filtered-{time.time_ns()}"
    m.write_builder(name, 'exit "$1"')
    for code, user in (("0", None), ("1", None), ("0", "alice"), ("1", "alice")):
        asked(m, name, [code], user)

    def count(*words):
        return len(hatchctl(m, "history", "--builder", name, *words)["requests"])

    check_equal(count(), 4, "all")
    check_equal(count("--uid", "alice"), 2, "of alice")
    check_equal(count("--uid", "0", "--verdict", "failed"), 1, "of root that failed")
    check_equal(count("--lines", "3"), 3, "the newest three")
    check_equal(count("--since", "-1h", "--until", "now"), 4, "of this hour")
    check_equal(count("--until", "-1h"), 0, "before this hour")
    check_equal(count("--since", f"@{int(time.time()) + 3600}"), 0, "of the future")
    check_equal(count("--derivation", "*"), 0, "of derivations")


def test_history_believes_nobody_but_root(m):
    mark = f"forged-{time.time_ns()}"
    fields = f"SYSLOG_IDENTIFIER=hatchd\nMESSAGE=x\nHATCH_BUILDER={mark}\nHATCH_VERDICT=done\nHATCH_REQUEST=0123456789abcdef\n"
    m.run(["logger", "--journald"], user="alice", stdin=fields.encode()).ok()
    m.journal_wait(HATCH_BUILDER=mark)
    check_equal(hatchctl(m, "history", "--builder", mark)["requests"], [], "forged lines")


def test_history_shows_nothing_that_a_terminal_obeys(m):
    name = f"hostile-{time.time_ns()}"
    fields = f"SYSLOG_IDENTIFIER=hatchd\nMESSAGE=x\nHATCH_BUILDER={name}\nHATCH_VERDICT=\x1b]0;owned\x07\nHATCH_ERROR=\x9b2J \x1b[31m\n"
    m.run(["logger", "--journald"], stdin=fields.encode("latin-1")).ok()
    m.journal_wait(HATCH_BUILDER=name)
    for words in ([], ["--json"]):
        shown = m.run(["hatchctl", "history", "--builder", name, *words]).ok().stdout_bytes
        check(b"\x1b" not in shown and b"\x9b" not in shown and b"\x07" not in shown, repr(shown))
    check_in(r"\x1b]0;owned\x07", m.run(["hatchctl", "history", "--builder", name]).ok().stdout)


def test_history_says_when_it_may_not_read_the_journal(m):
    ran = m.run(["hatchctl", "history"], user="alice")
    check_equal((ran.code, ran.stdout), (71, ""), "exit status and output")
    check_in("systemd-journal", ran.stderr)


# --- explain ------------------------------------------------------------------------------------------------------------


def explained(m, *words):
    ran = m.run(["hatchctl", "explain", "--json", *words])
    return ran.code, json.loads(ran.stdout)


SEEN = """import grp, json, os, sys
open(os.environ["out"], "w").close()
print(json.dumps({"environment": dict(os.environ), "arguments": sys.argv[1:], "uid": os.getuid(), "gid": os.getgid(),
                  "groups": [grp.getgrgid(g).gr_name for g in os.getgroups() if g != os.getgid()]}))
"""


def test_explain_tells_the_environment_and_the_ids_that_a_builder_sees(m):
    m.run(["groupadd", "--force", "hatch-explained"]).ok()
    m.after_test(lambda: m.run(["groupdel", "hatch-explained"]).ok())
    m.write_builder("seen", SEEN, PYTHON, groups=["hatch-explained"],
                    environment={"set": {"SET": "two  words"}, "accept": ["TOP"]})
    seen = json.loads(m.request("seen", ["a b", "c"], "alice", env={"TOP": "x=y"}, outputs={"out": None}).stdout)
    code, told = explained(m, "--uid", "alice", "--env", "TOP=x=y", "--output", "out", "seen", "--", "a b", "c")
    check_equal(code, 0, "exit status")
    account = told["sandbox"]["account"]
    seen["environment"]["HATCH_REQUEST"] = "0" * 16
    seen["environment"].pop("LC_CTYPE", None)  # Python sets it for itself
    check_equal(seen["environment"], {item["name"]: item["value"] for item in told["sandbox"]["environment"]}, "environment")
    check_equal(seen["arguments"], told["command"][1:], "arguments")
    check_equal((seen["uid"], seen["gid"]), (account["uid"], account["gid"]), "ids")
    check_equal(sorted(seen["groups"]), sorted(account["groups"]), "groups")


MOUNTS = """import json, os, re
rows = [line.split() for line in open("/proc/self/mountinfo")]
limits = [re.split(r"  +", line.strip()) for line in list(open("/proc/self/limits"))[1:]]
print(json.dumps({"mounts": [[row[4], row[5].split(",")] for row in rows],
                  "limits": {row[0]: row[1:3] for row in limits}, "tmp": os.readlink("/var/tmp")}))
"""

LIMITS = {"as": "Max address space", "core": "Max core file size", "cpu": "Max cpu time", "data": "Max data size",
          "fsize": "Max file size", "memlock": "Max locked memory", "msgqueue": "Max msgqueue size", "nofile": "Max open files",
          "nproc": "Max processes", "sigpending": "Max pending signals", "stack": "Max stack size", "nice": "Max nice priority",
          "rtprio": "Max realtime priority"}


def test_explain_tells_the_mounts_and_the_limits_that_a_builder_has(m):
    place = pathlib.Path("/srv/hatch-explained")  # /var/tmp is a link in the view
    m.after_test(lambda: shutil.rmtree(place))
    for name in ("read", "write", "hidden"):
        (place / name).mkdir(parents=True)
    view = {"read": [str(place), {"path": str(place / "gone"), "optional": True}],
            "write": [{"path": str(place / "write"), "at": "/srv/write"}],
            "hide": [str(place / "hidden")], "tmpfs": [{"at": "/srv/room", "size": "1M"}]}
    m.write_builder("mounts", MOUNTS, PYTHON, view=view, limits={"time_sec": 60, "rlimits": {"nofile": 77}})
    result = m.request("mounts")
    check_equal(result.code, 0, repr(result))
    seen = json.loads(result.stdout)
    code, told = explained(m, "--uid", "root", "mounts")
    check_equal(code, 0, "exit status")
    real = {at: set(flags) & {"ro", "nosuid", "nodev", "noexec"} for at, flags in seen["mounts"]}
    rows = {row["at"]: row for row in told["sandbox"]["view"]}
    for at, row in rows.items():
        if row["as"] == "mount":
            check_equal(real.get(at), set(row["flags"]), f"the flags of {at}")
        else:
            check(at not in real, f"{at} is a mount, and told as {row['as']}")
    # Beside them there are only the root, parts of what is told, and the rest of /dev.
    told_places = [at for at, row in rows.items() if row["as"] == "mount"] + ["/dev"]
    for at in real:
        check(at == "/" or any(f"{at}/".startswith(f"{other}/") for other in told_places), f"{at} is a mount, and not told")
    check_equal((rows[f"{place}/gone"]["as"], rows["/srv/room"]["size_bytes"], rows["/srv/write"]["source"]),
                ("left out", 1 << 20, str(place / "write")), "places")
    check_equal(rows["/var/tmp"]["source"], seen["tmp"], "link")
    for limit in told["sandbox"]["rlimits"]:
        shown = ["unlimited" if limit[key] is None else str(limit[key]) for key in ("soft", "hard")]
        check_equal(seen["limits"][LIMITS[limit["name"]]], shown, limit["name"])
    origins = {limit["name"]: (limit["from"], limit["setting"]) for limit in told["sandbox"]["rlimits"]}
    check_equal(set(origins), set(LIMITS), "limits")
    for name, origin in (("nofile", ("definition", None)), ("core", ("hatchd", None)), ("nproc", ("service", "LimitNPROC"))):
        check_equal(origins[name], origin, f"where {name} comes from")


def test_explain_and_check_know_the_limits_of_the_service(m):
    attack.write_drop_in(m, "[Service]\nLimitNOFILE=500\nLimitFSIZE=64M\n")
    m.write_builder("within", "ulimit -Sn; ulimit -Hn; ulimit -f", limits={"rlimits": {"fsize": "1M"}})
    check_equal(m.request("within").stdout.split(), [b"500", b"500", b"2048"], "limits of a builder")
    rlimits = {limit["name"]: limit for limit in explained(m, "--uid", "root", "within")[1]["sandbox"]["rlimits"]}
    check_equal(rlimits["nofile"], {"name": "nofile", "soft": 500, "hard": 500, "from": "service", "setting": "LimitNOFILE"}, "nofile")
    check_equal(rlimits["fsize"], {"name": "fsize", "soft": 1 << 20, "hard": 1 << 20, "from": "definition", "setting": None}, "fsize")
    path = m.write_builder("above", "true", limits={"rlimits": {"fsize": "65M"}})
    refused = m.request("above")
    check_equal(refused.error, "refused", "the answer")
    code, told = explained(m, "--uid", "root", "above")
    check_equal((code, told["error"], told["hint"]), (77, refused.last["message"], refused.last["hint"]), "what explain says")
    check(re.match(rf"{path}:\d+:\d+: .*limits.rlimits.fsize", told["error"]), told["error"])
    for command in (["hatchd", "--check"], ["hatchctl", "check"]):
        said = m.run(command)
        check_equal(said.code, 78, f"exit status of {command}")
        check_in(told["error"], said.stdout + said.stderr, " ".join(command))


def test_explain_decides_as_the_server_does(m):
    m.write_builder("decided", "true", allow={"groups": ["alice"]}, args={"max": 1, "match": ["[a-z]+"]})
    for user, arguments in (("alice", ["x"]), ("alice", ["X"]), ("alice", ["x", "x"]), ("daemon", ["x"]), (None, ["x"])):
        result = m.request("decided", arguments, user)
        code, told = explained(m, "--uid", user or "root", "decided", "--", *arguments)
        check_equal(told["allowed"], result.code == 0, f"{user} {arguments}")
        check_equal(code, 0 if told["allowed"] else 77, "exit status")


def test_explain_knows_which_limits_the_host_cannot_hold(m):
    for limit, value in (("memory", "64M"), ("cpus", 1), ("tasks", 100)):
        m.write_builder("held", "true", limits={limit: value})
        result = m.request("held")
        code, told = explained(m, "--uid", "root", "held")
        check_equal((code, told["allowed"]), (0, True) if result.code == 0 else (77, False), f"{limit}: {result.last}")
        cursor = m.journal_cursor()
        m.write_builder("held", "true", limits={limit: value}, limits_optional=True)
        check_equal(m.request("held").code, 0, f"{limit} where it is optional")
        [line] = m.journal_wait(cursor, HATCH_BUILDER="held")
        missing = explained(m, "--uid", "root", "held")[1]["sandbox"]["limits"]["missing"]
        check_equal(missing, line.get("HATCH_LIMITS_MISSING"), "what is missing")


# --- ps and cancel ------------------------------------------------------------------------------------------------------


def one_slot(m):
    """From here on there is one build user."""
    m.run(["groupadd", "hatch-one"]).ok()
    m.after_test(lambda: m.run(["groupdel", "hatch-one"]).ok())
    m.run(["gpasswd", "--members", "hatchbld1", "hatch-one"]).ok()
    m.write_config(build_users_group="hatch-one")


def ask(m, builder, until, user=None, **members):
    """A request that stays, with its messages so far left behind."""
    client = m.client(user)
    m.after_test(client.close)
    client.request(builder, **members)
    client.receive_until(until)
    return client


def running(m, **fields):
    return [r for r in hatchctl(m, "ps")["requests"] if all(r[key] == value for key, value in fields.items())]


def test_ps_tells_what_runs_and_waits(m):
    one_slot(m)
    m.write_builder("stays", "echo begun; sleep 60")
    check_equal(hatchctl(m, "ps"), {"requests": []}, "requests")
    ask(m, "stays", "stdout", "alice")
    ask(m, "stays", "queued")
    ask(m, "stays", "queued", "alice")
    alice = int(m.run(["id", "-u", "alice"]).ok().stdout)
    first, *waiting = hatchctl(m, "ps")["requests"]
    check_equal([first[key] for key in ("state", "builder", "peer_uid", "user", "ahead")],
                ["running", "stays", alice, "hatchbld1", None], "the one that runs")
    check_equal([(r["state"], r["ahead"], r["user"]) for r in waiting], [("waiting", 0, None), ("waiting", 1, None)], "the others")
    check(len({r["request"] for r in (first, *waiting)}) == 3, "identifiers")
    begun = datetime.datetime.fromisoformat(first["since"].replace("Z", "+00:00")).timestamp()
    check(-1 <= time.time() - begun < 60, first["since"])
    lines = m.run(["hatchctl", "ps"]).ok().lines()
    check_equal(lines[1].split()[:4], [first["request"], "running", "stays", "alice"], "cells")
    check_in("1 ahead", lines[3])
    check_equal(m.run(["hatchctl", "ps", "--names"]).ok().lines(), [r["request"] for r in (first, *waiting)], "names")


def test_ps_tells_the_memory_of_a_request_where_the_kernel_counts_it(m):
    m.write_builder("eats", "import time; b = b'x' * 32 * 1024 * 1024; print('begun', flush=True); time.sleep(60)", PYTHON,
                    limits={"time_sec": 60 * m.slow, "memory": "300M"}, limits_optional=True)
    ask(m, "eats", "stdout")
    [request] = running(m, builder="eats")
    if request["memory_bytes"] is None:
        [cgroup] = re.findall("^cgroup (.*)$", (STATE / "pool" / request["user"]).read_text(), re.MULTILINE)
        check(os.path.exists(f"{cgroup}/cgroup.procs") and not os.path.exists(f"{cgroup}/memory.current"), "it is not told")
        return
    check(30 << 20 < request["memory_bytes"] < 200 << 20, f"{request['memory_bytes']} bytes")


def test_only_root_sees_and_ends_requests_of_others(m):
    m.write_builder("stays", "echo begun; sleep 60")
    ask(m, "stays", "stdout", "alice")
    [request] = running(m)
    for words in (["ps"], ["cancel", request["request"]]):
        ran = m.run(["hatchctl", *words], user="alice")
        check_equal((ran.code, ran.stdout), (77, ""), "exit status and output")
        check_in("only root", ran.stderr)
    check_equal(len(running(m)), 1, "requests")


BY_ADMINISTRATOR = "the administrator cancelled the request"


def journal_of_cancelled(m, cursor):
    [line] = m.journal_wait(cursor, HATCH_VERDICT="cancelled")
    check_equal(line["HATCH_ERROR"], BY_ADMINISTRATOR, "error")
    return line


def check_told(messages):
    result = hatchwire.Result(messages)
    check_equal((result.error, messages[-1]["message"]), ("cancelled", BY_ADMINISTRATOR), "what the client is told")


def test_a_running_request_is_cancelled(m):
    m.write_builder("stays", "trap 'echo ending; exit 3' TERM; echo begun; while :; do sleep 0.1; done")
    cursor = m.journal_cursor()
    client = ask(m, "stays", "stdout")
    [request] = running(m)
    ran = m.run(["hatchctl", "cancel", request["request"]]).ok()
    check_equal(ran.stdout, f"{request['request']} is cancelled\n", "output")
    messages = client.receive_until("exit", "error")
    check_in(b"ending", hatchwire.Result(messages).stdout)
    check_told(messages)
    check_equal(journal_of_cancelled(m, cursor)["HATCH_REQUEST"], request["request"], "identifier")
    m.wait_until(lambda: not running(m), "the end of the request")


def test_a_cancelled_builder_that_goes_on_is_killed_after_the_grace(m):
    m.write_builder("stubborn", "trap '' TERM; echo begun; while :; do sleep 0.1; done", limits={"time_sec": 60, "grace_sec": 1})
    client = ask(m, "stubborn", "stdout")
    [request] = running(m)
    m.run(["hatchctl", "cancel", request["request"]]).ok()
    check_told(client.receive_until("exit", "error"))
    m.wait_until(lambda: not m.build_processes(), "the builder's death")


def test_a_waiting_request_is_cancelled_and_the_others_stay(m):
    one_slot(m)
    m.write_builder("stays", "echo begun; sleep 60")
    ask(m, "stays", "stdout")
    second, third = ask(m, "stays", "queued"), ask(m, "stays", "queued")
    cursor = m.journal_cursor()
    [request] = running(m, ahead=0)
    m.run(["hatchctl", "cancel", request["request"]]).ok()
    check_told(second.receive_until("exit", "error"))
    check_equal(journal_of_cancelled(m, cursor)["HATCH_PHASE"], "slot", "phase")
    check_equal(third.receive_type("queued")["ahead"], 0, "place of the other")
    check_equal([r["state"] for r in running(m)], ["running", "waiting"], "the others")


def test_a_request_that_returns_outputs_is_cancelled(m):
    m.write_builder("large", 'head -c 64M /dev/zero >"$out"')
    cursor = m.journal_cursor()
    ask(m, "large", "output", outputs={"out": None})  # and takes no more
    [request] = running(m)
    m.run(["hatchctl", "cancel", request["request"]]).ok()
    check_equal(journal_of_cancelled(m, cursor)["HATCH_PHASE"], "outputs", "phase")


def test_a_request_that_is_made_ready_is_cancelled(m):
    m.write_builder("ready", "exec sleep 60")
    m.write_builder("readied", "true", before={"command": [str(BIN / "ready")], "time_sec": 50, "user": "root"})
    with m.client() as client:
        client.request("readied")
        client.receive_until("accepted")
        request = m.wait_until(lambda: running(m, state="running"), "the request")[0]
        m.run(["hatchctl", "cancel", request["request"]]).ok()
        check_told(client.receive_until("exit", "error"))


def test_the_client_shows_who_cancelled(m):
    m.write_builder("stays", "echo begun; sleep 60")
    client = m.start(["hatch", "run", "stays"])
    m.wait_until(lambda: b"begun" in client.stdout(), "the builder")
    m.run(["hatchctl", "cancel", running(m)[0]["request"]]).ok()
    ended = client.wait()
    check_equal(ended.code, 125, "exit status")
    check_in(BY_ADMINISTRATOR, ended.stderr)


def test_cancel_knows_only_what_runs_and_waits(m):
    ran = m.run(["hatchctl", "cancel", "0123456789abcdef"])
    check_equal((ran.code, ran.stdout), (69, ""), "exit status and output")
    check_in("no request with this identifier", ran.stderr)


def test_cancel_and_show_take_only_an_identifier(m):
    for verb in ("cancel", "show"):
        for word in ("", "zz", "0123456789ABCDEF", "0123456789abcdef0", "../../../etc/pass"):
            ran = m.run(["hatchctl", verb, word])
            check_equal((ran.code, ran.stdout), (64, ""), f"exit status and output of {verb} {word}")
            check_in("is no identifier of a request", ran.stderr)


def test_cancel_never_signals_a_process_that_does_not_hold_the_lock(m):
    """What a lock says of a process is a number; here it has become another's."""
    m.write_builder("stays", "echo begun; sleep 60")
    client = ask(m, "stays", "stdout")
    [request] = running(m)
    innocent = m.start(["sleep", "60"])
    lock = STATE / "pool" / request["user"]
    told = lock.read_text()
    lied = re.sub(r"^pid \d+$", f"pid {innocent.pid}", told, flags=re.MULTILINE)
    check(told != lied, "no process in the lock")
    lock.write_text(lied)
    ran = m.run(["hatchctl", "cancel", request["request"]])
    lock.write_text(told)
    check_equal((ran.code, ran.stdout), (69, ""), "exit status and output")
    check(innocent.process.poll() is None, "the other process got the signal")
    m.run(["hatchctl", "cancel", request["request"]]).ok()
    check_told(client.receive_until("exit", "error"))


# --- show ---------------------------------------------------------------------------------------------------------------


def keep(m, identifier, **files):
    """What the server would have kept of a request that failed."""
    failed = STATE / "failed"
    made = not failed.exists()
    place = failed / identifier
    place.mkdir(parents=True)
    for path in (failed, place):
        path.chmod(0o700)
    m.after_test(lambda: shutil.rmtree(failed if made else place))
    for name, content in files.items():
        (place / name).write_bytes(content)
    return place


def test_show_tells_the_receipt_of_a_request(m):
    name = f"shown-{time.time_ns()}"
    m.write_builder(name, "echo text; exit 3")
    _, identifier = asked(m, name, user="alice")
    told = hatchctl(m, "show", identifier)
    check_equal((told["request"]["builder"], told["request"]["exit"], told["request"]["stdout_bytes"]), (name, 3, 5), "receipt")
    check_equal(told["kept"], None, "what was kept")
    text = m.run(["hatchctl", "show", identifier]).ok().stdout
    check(re.search(rf"^  builder +{name}$", text, re.MULTILINE) and re.search(r"^  stdout +5 bytes$", text, re.MULTILINE), text)


def test_show_tells_what_was_kept_of_a_failed_request(m):
    name = f"kept-{time.time_ns()}"
    m.write_builder(name, "exit 3")
    _, identifier = asked(m, name)
    place = keep(m, identifier, log=b"one\ntwo \x1b[31m\xff\0end", definition=b"{}")
    told = hatchctl(m, "show", identifier)
    files = [{"name": "definition", "size_bytes": 2}, {"name": "log", "size_bytes": 18}]
    check_equal(told["kept"], {"path": str(place), "files": files}, "what was kept")
    check_in(str(place), m.run(["hatchctl", "show", identifier]).ok().stdout)
    log = m.run(["hatchctl", "show", "--log", identifier]).ok()
    check_equal(log.stdout_bytes, b"one\ntwo \\x1b[31m\\xff\\x00end\n", "log")


def test_show_tells_what_the_server_keeps(m):
    name = f"keeps-{time.time_ns()}"
    m.write_builder(name, "echo text; echo report >report.log; exit 3", keep_failed=["*.log"])
    m.after_test(lambda: shutil.rmtree(STATE / "failed"))
    _, identifier = asked(m, name)
    kept = hatchctl(m, "show", identifier)["kept"]
    check_equal(kept["path"], str(STATE / "failed" / identifier), "path")
    check({"receipt", "log", "files.tar"} <= {file["name"] for file in kept["files"]}, repr(kept))
    check_equal(m.run(["hatchctl", "show", "--log", identifier]).ok().stdout, "text\n", "log")


def test_show_finds_a_receipt_that_the_journal_has_lost(m):
    keep(m, "00000000deadbeef", receipt=b"HATCH_BUILDER=lost\nHATCH_EXIT=3\nOTHER=x\nHATCH_ERROR=two\\nlines\n")
    told = hatchctl(m, "show", "00000000deadbeef")["request"]
    check_equal(told, {"time": None, "builder": "lost", "exit": 3, "error": "two\\nlines"}, "receipt")


def test_show_follows_no_link_and_no_path(m):
    keep(m, "00000000deadbeef", definition=b"")
    (STATE / "failed/00000000deadbee0").symlink_to("/etc")
    ran = m.run(["hatchctl", "show", "00000000deadbee0"])
    (STATE / "failed/00000000deadbee0").unlink()
    check(ran.code != 0 and "passwd" not in ran.stdout, ran.stdout)
    for identifier in ("../../../../etc", "00000000DEADBEEF", "00000000deadbee", "."):
        ran = m.run(["hatchctl", "show", identifier])
        check_equal(ran.code, 64, f"exit status for {identifier}")
    ran = m.run(["hatchctl", "show", "0123456789abcde0"])
    check_equal((ran.code, ran.stdout), (69, ""), "exit status and output for an unknown one")
