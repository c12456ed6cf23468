"""The administrator's tool on a machine where requests run."""

import json
import re
import time

from machine import check, check_equal, check_in

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


def test_explain_decides_as_the_server_does(m):
    m.write_builder("decided", "true", allow={"groups": ["alice"]}, args={"max": 1, "match": ["[a-z]+"]})
    for user, arguments in (("alice", ["x"]), ("alice", ["X"]), ("alice", ["x", "x"]), ("daemon", ["x"]), (None, ["x"])):
        result = m.request("decided", arguments, user)
        code, told = explained(m, "--uid", user or "root", "decided", "--", *arguments)
        check_equal(told["allowed"], result.code == 0, f"{user} {arguments}")
        check_equal(code, 0 if told["allowed"] else 77, "exit status")
