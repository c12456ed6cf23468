#!/usr/bin/env python3
"""The tool as its user meets it: what it prints, where, and its exit status."""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import termios

NOBODY = 65534
failed = False


class Place:
    """A configuration in a temporary directory. Root runs the tool as nobody: it would not believe
    files in /tmp."""

    def __init__(self, directory, program):
        self.root = pathlib.Path(directory)
        self.config = self.root / "etc"
        (self.config / "builders.d").mkdir(parents=True)
        (self.root / "tool").write_text("#!/bin/sh\n")
        (self.root / "tool").chmod(0o755)
        self.program = shutil.copy(program, self.root / "hatchctl")
        self.define("good", {"command": [str(self.root / "tool")], "view": {"read": [str(self.root / "tool")]}})

    def define(self, name, what):
        text = what if isinstance(what, str) else json.dumps(what)
        path = self.config / "builders.d" / f"{name}.json"
        path.write_text(text)
        path.chmod(0o644)

    def run(self, *words, stdout=subprocess.PIPE):
        as_user = {}
        if os.geteuid() == 0:
            as_user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            for path in [self.root, *self.root.rglob("*")]:
                os.chown(path, NOBODY, NOBODY)
        command = [self.program, "--unprivileged", "--config", str(self.config), *words]
        return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60, **as_user)

    def run_on_terminal(self, columns, *words):
        """What it writes to a terminal of that width."""
        ours, theirs = os.openpty()
        termios.tcsetwinsize(theirs, (24, columns))
        attributes = termios.tcgetattr(theirs)
        attributes[1] &= ~termios.OPOST
        termios.tcsetattr(theirs, termios.TCSANOW, attributes)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            shown = pool.submit(read_all, ours)
            done = self.run(*words, stdout=theirs)
            os.close(theirs)
            assert done.returncode == 0, done
            return shown.result().decode()


def read_all(terminal):
    """What is written to it until nobody has it open any more."""
    text = b""
    with contextlib.suppress(OSError):
        while piece := os.read(terminal, 4096):
            text += piece
    os.close(terminal)
    return text


def check_says_that_all_is_well(place):
    done = place.run("check")
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout == f"{place.config}: 1 builder, no errors\n", done


def check_reports_every_error_with_its_place(place):
    place.define("wrong", '{"command": ["x"],\n "colour": 1}')
    tools = place.root / "tools"
    tools.mkdir()
    place.define("lost", {"command": [str(tools / "gone")], "view": {"read": [str(tools)]}})
    done = place.run("check")
    lines = done.stderr.splitlines()
    where = f"{place.config}/builders.d/wrong.json"
    assert done.returncode == 78 and done.stdout == "", done
    assert len(lines) == 4, done
    assert "`lost`" in lines[0] and f"{tools}/gone does not exist" in lines[0], lines
    assert lines[1].startswith(f'hatchctl: {where}:1:14: "x"; expected an absolute path'), lines
    assert lines[2].startswith(f'hatchctl: {where}:2:2: unknown key "colour"; expected one of:'), lines
    assert lines[3] == f"hatchctl: {place.config}: 3 errors", lines


def check_refuses_a_file_that_others_can_write(place):
    path = place.config / "builders.d" / "good.json"
    path.chmod(0o666)
    done = place.run("check")
    assert done.returncode == 78 and "can be written by everybody (mode 0666)" in done.stderr, done
    assert f"chmod go-w '{path}'" in done.stderr, done


def check_needs_a_directory(place):
    shutil.rmtree(place.config)
    done = place.run("check")
    assert done.returncode == 78 and "does not exist" in done.stderr, done


def list_names_who_may_use_a_builder(place):
    place.define("open", {"command": [str(place.root / "tool")], "view": {"read": [str(place.root / "tool")]}, "description": "für alle\u0085",
                          "allow": {"users": ["root", 4242], "groups": ["root"],
                                    "uid_ranges": [{"first": 1, "last": 9}], "derivations": ["*-x"]}})
    done = place.run("list")
    assert (done.returncode, done.stderr) == (0, ""), done
    assert [line.rstrip() for line in done.stdout.splitlines()] == [
        "BUILDER  MAY BE USED BY                                 ONLY FROM                       DESCRIPTION",
        "good     nobody                                         sockets hatch                   -",
        "open     user root, user 4242, group root, uids 1 to 9  derivations *-x; sockets hatch  für alle\\xc2\\x85",
    ], done.stdout


def list_prints_names_alone(place):
    place.define("bad", "{")
    done = place.run("list", "--names")
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "bad\ngood\n"), done
    assert place.run("list", "--names", "--json").returncode == 64


def nothing_hostile_reaches_the_terminal(place):
    place.define("evil", {"command": [str(place.root / "tool")], "view": {"read": [str(place.root / "tool")]}, "description": "a\u009b31m \u202eb"})
    done = place.run("list")
    assert done.returncode == 0 and "  a\\xc2\\x9b31m \\u202eb\n" in done.stdout, done
    done = place.run("list", "--json")
    assert done.returncode == 0 and '"a\\u009b31m ' in done.stdout, done
    assert json.loads(done.stdout)["builders"][0]["description"] == "a\u009b31m \u202eb", done


def a_table_fits_the_terminal(place):
    place.define("long", {"command": [str(place.root / "tool")], "view": {"read": [str(place.root / "tool")]}, "description": "many words " * 20})
    for columns in (40, 80, 132):
        lines = place.run_on_terminal(columns, "list").splitlines()
        assert len(lines) == 3 and max(map(len, lines)) == columns, lines
        assert lines[2].endswith("…"), lines


def history_reads_what_it_is_told(place):
    empty = place.root / "journal"
    empty.mkdir()
    done = place.run("history", "--journal", str(empty), "--since", "-2h", "--lines", "all", "--uid", "root")
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("ENDED "), done
    done = place.run("history", "--journal", str(empty), "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"requests": []}), done


def history_refuses_what_it_cannot_read(place):
    for option, value in (("--since", "tomorrow"), ("--until", "x"), ("--lines", "0"), ("--lines", "-1"),
                          ("--uid", "no such user"), ("--uid", "-1"), ("--uid", "4294967295")):
        done = place.run("history", option, value)
        assert done.returncode == 64 and f"{option} {value}; expected" in done.stderr and not done.stdout, done
    done = place.run("history", "--journal", str(place.root / "gone"))
    assert done.returncode == 71 and "cannot open the journal" in done.stderr, done


def list_prints_json(place):
    place.define("net", {"command": [str(place.root / "tool"), "-v"], "network": "host",
                         "description": 'a "b"', "allow": {"users": [4242]}})
    done = place.run("list", "--json")
    assert (done.returncode, done.stderr) == (0, ""), done
    good, net = json.loads(done.stdout)["builders"]
    assert good["name"] == "good" and good["network"] == "none", good
    assert good["allow"]["users"] == [] and good["allow"]["sockets"] == ["hatch"], good
    assert net["command"] == [str(place.root / "tool"), "-v"] and net["network"] == "host", net
    assert net["allow"]["users"] == ["4242"] and net["description"] == 'a "b"', net
    assert net["file"] == f"{place.config}/builders.d/net.json", net


DEFINITION = """{
  "command": ["%s", "-v"],
  "allow": { "users": [4242],
             "groups": [4243, 4244] },
  "args": { "max": 2,
            "match": ["a+",
                      "b+"] },
  "environment": { "set": { "SET": "1" }, "accept": ["TOP"] },
  "limits": { "time_sec": { "default": 100, "max": 200 } },
  "view": { "read": ["%s"] }
}
"""


def explain_names_the_rules_that_decide(place):
    place.define("x", DEFINITION % ((place.root / "tool",) * 2))
    words = ["--uid", "9", "--gid", "8", "--groups", "4241,4244", "--env", "TOP=a=b", "--output", "out", "--timeout", "150"]
    done = place.run("explain", "--json", *words, "x", "--", "aa", "b")
    assert (done.returncode, done.stderr) == (0, ""), done
    told = json.loads(done.stdout)
    assert told["allowed"] and told["error"] is None and told["peer"]["groups"] == ["4241", "4244"], told
    where = {rule["about"]: (rule["key"], rule["line"], rule["because"]) for rule in told["rules"]}
    assert where == {
        "socket": ("allow.sockets", None, "class hatch"),
        "peer": ("allow.groups", 4, "gid 4244"),
        "derivation": ("allow.derivations", None, "not asked for"),
        "features": ("allow.features", None, "not asked for"),
        "arguments": ("args.max", 5, "2 of 2"),
        "argument 1": ("args.match", 6, "matches a+"),
        "argument 2": ("args.match", 7, "matches b+"),
        "variable 1": ("environment.accept", 8, "TOP"),
        "time limit": ("limits.time_sec", 9, "150 s of at most 200 s"),
    }, where
    assert {rule["file"] for rule in told["rules"]} == {f"{place.config}/builders.d/x.json"}, told
    assert told["command"] == [str(place.root / "tool"), "-v", "aa", "b"], told
    environment = {item["name"]: item["value"] for item in told["sandbox"]["environment"]}
    assert (environment["TOP"], environment["SET"], environment["out"]) == ("a=b", "1", "/build/outputs/out"), environment
    assert told["sandbox"]["limits"]["time_sec"] == 150, told


def explain_tells_why_not(place):
    place.define("x", DEFINITION % ((place.root / "tool",) * 2))
    for words, key, line, error in (
            (["--uid", "9", "x"], "allow", 3, "may not use"),
            (["--uid", "4242", "x", "a", "a", "a"], "args.max", 5, "takes at most 2 arguments"),
            (["--uid", "4242", "x", "c"], "args.match", 6, "matches none"),
            (["--uid", "4242", "x", "--", "-a"], "args.dash", None, "begins with a dash"),
            (["--uid", "4242", "--env", "PATH=/", "x"], "environment.accept", 8, "does not take the variable"),
            (["--uid", "4242", "--socket", "ci", "x"], "allow.sockets", None, "is not reached")):
        done = place.run("explain", "--json", *words)
        told = json.loads(done.stdout)
        rule = told["rules"][-1]
        assert done.returncode == 77 and not told["allowed"] and "sandbox" not in told, done
        assert error in told["error"] and (rule["allowed"], rule["key"], rule["line"]) == (False, key, line), told
    done = place.run("explain", "--uid", "4242", "nothing")
    assert done.returncode == 77 and "there is no builder `nothing`" in done.stdout, done
    (place.root / "tool").unlink()
    done = place.run("explain", "--uid", "4242", "x")
    assert done.returncode == 77 and "does not exist" in done.stdout, done


def explain_shows_what_becomes_of_inputs(place):
    definition = {"command": ["/bin/sh"], "allow": {"users": [4242]}}
    words = ["--uid", "4242", "--input", "src", "--input", "b=/nix/store/0123456789abcdfghijklmnpqrsvwxyz-b", "x"]
    place.define("x", definition)
    done = place.run("explain", "--json", *words)
    told = json.loads(done.stdout)
    assert done.returncode == 77 and "takes no inputs" in told["error"] and told["rules"][-1]["key"] == "inputs", told
    done = place.run("explain", "--json", "--uid", "4242", "x")
    sandbox = json.loads(done.stdout)["sandbox"]
    assert sandbox["limits"]["input_bytes"] is None and not [row for row in sandbox["view"] if row["kind"] == "inputs"], sandbox
    place.define("x", {**definition, "inputs": True, "limits": {"input": "2M", "input_sec": 5}})
    done = place.run("explain", "--json", *words)
    told = json.loads(done.stdout)
    assert (done.returncode, told["rules"][-2]["because"]) == (0, "2"), told
    limits = {key: value for key, value in told["sandbox"]["limits"].items() if key.startswith("input")}
    assert limits == {"input_bytes": 2 << 20, "input_entries": 100000, "input_sec": 5}, limits
    assert [row["at"] for row in told["sandbox"]["view"] if row["kind"] == "inputs"] == ["/build/inputs"], told["sandbox"]["view"]
    assert {"name": "HATCH_INPUTS", "value": "/build/inputs"} in [
        {key: item[key] for key in ("name", "value")} for item in told["sandbox"]["environment"]], told["sandbox"]["environment"]
    for wrong in ("=x", "a="):
        done = place.run("explain", "--uid", "4242", "--input", wrong, "x")
        assert done.returncode == 64 and "NAME=PATH" in done.stderr, done


def explain_knows_the_features_of_a_derivation(place):
    place.define("x", {"command": ["/bin/sh"], "allow": {"users": [4242], "features": ["hatch-x"]}})
    drv = place.root / "0123456789abcdfghijklmnpqrsvwxyz-top.drv"
    drv.write_text('Derive([],[],[],"s","b",[],[("requiredSystemFeatures","hatch-x kvm")])')
    drv.chmod(0o444)
    (place.root / "0123456789abcdfghijklmnpqrsvwxyz-bad.drv").write_text("Derive(")
    for words, features, error in (
            ([], None, "which one asks is not known: no --derivation was given"),
            (["--feature", "hatch-x"], ["hatch-x"], "which one asks is not known: no --derivation was given"),
            (["--derivation", "top"], None, "neither --feature nor the path"),
            (["--derivation", "top", "--feature", "kvm"], ["kvm"], "does not require the feature hatch-x"),
            (["--derivation", "top", "--feature", "kvm", "--feature", "hatch-x"], ["kvm", "hatch-x"], None),
            (["--derivation", str(drv)], ["hatch-x", "kvm"], None),
            (["--derivation", str(drv), "--feature", "kvm"], ["kvm"], "does not require the feature hatch-x"),
            (["--derivation", str(drv).replace("top", "bad")], None, "this is no derivation"),
            (["--derivation", str(drv).replace("top", "gone")], None, "its file is not on this machine")):
        done = place.run("explain", "--json", "--uid", "4242", *words, "x")
        told = json.loads(done.stdout)
        assert done.returncode == (77 if error else 0) and told["peer"]["features"] == features, (words, done)
        rule = [rule for rule in told["rules"] if rule["about"] == "features"]
        assert rule[-1]["allowed"] == (error is None) and (error or "") in (told["error"] or ""), (words, told)


def explain_speaks_to_people(place):
    place.define("x", DEFINITION % ((place.root / "tool",) * 2))
    done = place.run("explain", "--uid", "4242", "x", "a")
    assert (done.returncode, done.stderr) == (0, ""), done
    for line in ("allowed     yes", "    time            1 min 40 s", "    log             64 MiB", "    SET               1",
                 f"decided by  {place.config}/builders.d/x.json:3:24: allow.users: uid 4242"):
        assert f"\n{line}\n" in done.stdout, done.stdout
    done = place.run("explain", "--uid", "4242", "x", "--", "-x")
    assert f"\ndecided by  {place.config}/builders.d/x.json: no args.dash\n" in done.stdout, done.stdout
    for columns in (40, 80):
        shown = place.run_on_terminal(columns, "explain", "--uid", "4242", "x")
        rows = shown.split("rules:\n")[1].split("command")[0].splitlines() + shown.split("environment:\n")[1].splitlines()
        assert max(map(len, rows)) == columns, rows


def explain_refuses_what_it_cannot_read(place):
    for option, value in (("--uid", "no such user"), ("--gid", "x y"), ("--groups", "7,x y"), ("--env", "A"),
                          ("--output", "=x"), ("--output", "out="), ("--timeout", "0"), ("--derivation", "a/b"),
                          ("--derivation", ""), ("--derivation", "/nix/store/"), ("--feature", "")):
        done = place.run("explain", option, value, "good")
        assert done.returncode == 64 and "; expected " in done.stderr and not done.stdout, done


def list_goes_on_after_a_wrong_definition(place):
    place.define("bad", "{")
    done = place.run("list")
    assert done.returncode == 78 and done.stdout.startswith("BUILDER "), done
    assert f"{place.config}/builders.d/bad.json:1:2: " in done.stderr, done


def says_when_the_list_cannot_be_written(place):
    for words in (["list"], ["list", "--json"], ["check"]):
        with open("/dev/full", "w") as full:
            assert place.run(*words, stdout=full).returncode == 74, words


def knows_its_options(place):
    done = place.run()
    assert done.returncode == 64 and done.stderr.startswith("usage: hatchctl"), done
    for words, said in ((["frobnicate"], "no verb frobnicate"), (["explain"], "needs a builder"),
                        (["show"], "needs a request"), (["history", "more"], "unexpected more"),
                        (["check", "more"], "unexpected more"), (["check", "--json"], "does not take --json"),
                        (["--no-such", "list"], "--no-such"), (["list", "--since", "now"], "does not take --since"),
                        (["history", "--names"], "does not take --names"), (["show", "zz"], "zz is no identifier"),
                        (["history", "--verdict", "fialed"], "--verdict fialed; expected")):
        done = place.run(*words)
        lines = done.stderr.splitlines()
        assert done.returncode == 64 and len(lines) == 1 and said in lines[0], (words, done)
    assert place.run("--help").stdout.startswith("usage: hatchctl")
    assert place.run("--version").stdout.startswith("hatchctl 0.")


def main(program):
    global failed
    cases = [check_says_that_all_is_well, check_reports_every_error_with_its_place,
             check_refuses_a_file_that_others_can_write, check_needs_a_directory,
             list_names_who_may_use_a_builder, list_prints_names_alone, list_prints_json,
             nothing_hostile_reaches_the_terminal, a_table_fits_the_terminal, history_reads_what_it_is_told,
             history_refuses_what_it_cannot_read, list_goes_on_after_a_wrong_definition,
             explain_names_the_rules_that_decide, explain_shows_what_becomes_of_inputs, explain_knows_the_features_of_a_derivation, explain_tells_why_not, explain_speaks_to_people,
             explain_refuses_what_it_cannot_read,
             says_when_the_list_cannot_be_written, knows_its_options]
    os.umask(0o022)
    for case in cases:
        with tempfile.TemporaryDirectory(prefix="hatchctl-", dir="/tmp") as directory:
            try:
                case(Place(directory, program))
                print(f"ok hatchctl_{case.__name__}")
            except (AssertionError, subprocess.SubprocessError, OSError, ValueError) as why:
                print(f"FAIL hatchctl_{case.__name__}: {why}")
                failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
