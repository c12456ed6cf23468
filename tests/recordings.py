#!/usr/bin/env python3
"""What each Nix shows of builds through the hatch: recorded/VERSION.log, as a machine with that Nix has printed it.

    recordings.py                  test what is recorded
    recordings.py --write LOG...   record anew, from what machines printed that ran vm/test_progress.py

The machines compare what they print with what is recorded (compare), up to what differs from run to run. A Nix that came
out since is held to what every version must show, and what else it says differently is printed.
"""

import json
import pathlib
import re
import sys

import nixlog

RECORDED = pathlib.Path(__file__).resolve().parent / "recorded"
VERSIONS = ("2.8", "2.26", "2.34")
# Of a line on the console: what a machine has printed.
MARK = "recorded "

# How Nix shows a person the end of the log of a build that failed.
QUOTED = "       > "

# What must be seen of each build, whatever the version: phases, transfers, and lines of text in their order. The last one
# is recorded as a person reads it.
PROMISED = {
    "phases": (["hatch vivado", 'hatch vivado: synthesis of "top"', r"hatch vivado: place\x1b[2J \\ route"], [], ["log"]),
    "wait": (["hatch vivado", "waiting for vivado-seat, 0 ahead", "hatch vivado"], [], ["here"]),
    "input": (["hatch takes"], ["sending input src of hatch takes"], []),
    "transfer": (["hatch big"], ["receiving output out of hatch big"], ["no newline"]),
    "failure": ([], [], ["the builder says why", "no newline", "hatch: builder fails failed with exit status 42 (request ID)"]),
}


def check_promised(what, lines):
    """What nixlog makes of lines, if that is what must be seen."""
    phases, transfers, text = nixlog.of_nix("\n".join(lines).encode())
    text = text or [line.removeprefix(QUOTED) for line in lines if line.startswith(QUOTED)]
    found = (phases, [name for name, _ in transfers])
    if found != PROMISED[what][:2]:
        raise ValueError(f"{what}: shown are {found}")
    rest = iter(without_what_varies(text))
    if not all(line in rest for line in PROMISED[what][2]):
        raise ValueError(f"{what}: the text is {text}")


# --- one run beside another ---

def of_the_build(lines):
    """Those that tell of the build and its transfers, and not of what else Nix did."""
    own, kept = set(), []
    for line in lines:
        if not line.startswith("@nix "):
            kept.append(line)
            continue
        message = json.loads(line.removeprefix("@nix "))
        if message["action"] == "start" and message["type"] in (nixlog.BUILD, nixlog.TRANSFER):
            own.add(message["id"])
        if message.get("id") in own:
            kept.append(line)
    return kept


def without_what_varies(lines):
    """Ids and digests by other names; of the bytes of a transfer only the last: how often they are told is a matter of time."""
    ids = {}

    def number(found):
        return f'{found[1]}{ids.setdefault(found[2], len(ids) + 1)}'

    named = [re.sub(r'("(?:id|parent)":)([1-9]\d*)', number, line) for line in lines]
    named = [re.sub(r"/nix/store/[0-9a-z]{32}-", "/nix/store/HASH-", line) for line in named]
    named = [re.sub(r"\(request [0-9a-f]{16}\)", "(request ID)", line) for line in named]
    bytes_of = re.compile(r'@nix \{"action":"result","fields":\[\d+,0,0,0\],("id":\d+),"type":105\}')
    return [line for line, after in zip(named, [*named[1:], ""])
            if not (bytes_of.fullmatch(line) and bytes_of.fullmatch(after))]


def numbers(version):
    return [int(number) for number in re.findall(r"\d+", version)[:2]]


def read(version):
    """The parts of a recording by name, each a list of lines."""
    parts = {}
    for line in (RECORDED / f"{version}.log").read_text().splitlines():
        if line.startswith("--- "):
            lines = parts[line.removeprefix("--- ")] = []
        else:
            lines.append(line)
    return parts


def compare(version, what, shown):
    """Print, for --write, what Nix shows of a build; and compare it with what was recorded of that version. One that is not
    recorded yet must show what is promised, and may word the rest as it likes."""
    lines = of_the_build(shown.splitlines())
    print(MARK + json.dumps({"version": "{}.{}".format(*numbers(version)), "what": what, "lines": lines}), flush=True)
    check_promised(what, lines)
    last = [v for v in VERSIONS if numbers(v) <= numbers(version)][-1]
    expected, got = without_what_varies(read(last)[what]), without_what_varies(lines)
    if got != expected:
        why = (f"{what}: other than what is recorded of Nix {last} are "
               f"{[line for line in got if line not in expected]}, missing {[line for line in expected if line not in got]}")
        if numbers(last) == numbers(version):
            raise ValueError(why)
        print(why, flush=True)


# --- what is recorded ---

def write(logs):
    found = {}
    for log in logs:
        for line in pathlib.Path(log).read_text().splitlines():
            if line.startswith(MARK):
                part = json.loads(line.removeprefix(MARK))
                found.setdefault(part["version"], {})[part["what"]] = part["lines"]
    for version, parts in found.items():
        text = "".join(f"--- {what}\n" + "".join(f"{line}\n" for line in parts[what]) for what in PROMISED)
        (RECORDED / f"{version}.log").write_text(text)
        print(f"recorded/{version}.log")


def test_each_version_is_recorded_and_no_other():
    assert sorted(path.stem for path in RECORDED.iterdir()) == sorted(VERSIONS), list(RECORDED.iterdir())


def test_every_version_shows_what_is_promised():
    for version in VERSIONS:
        parts = read(version)
        assert list(parts) == list(PROMISED), f"{version}: {list(parts)}"
        for what, lines in parts.items():
            check_promised(what, lines)


def test_another_text_is_told_from_what_varies():
    """The comparison itself: with one word changed, and with all that may be another."""
    for version in VERSIONS:
        lines = read(version)["transfer"]
        other = [re.sub(r'("(?:id|parent)":)(\d+)', lambda found: f"{found[1]}{int(found[2]) + 7}" if found[2] != "0" else found[0], line)
                 for line in lines]
        again = [part for line in other for part in ([line] * 2 if '"type":105}' in line and '"result"' in line else [line])]
        assert without_what_varies(again) == without_what_varies(lines), version
        assert without_what_varies([line.replace("receiving", "sending") for line in lines]) != without_what_varies(lines), version


def test_only_a_version_that_is_recorded_is_held_to_its_words():
    def is_taken(version, lines):
        try:
            compare(f"nix (Nix) {version}.1", "failure", "\n".join(lines))
        except ValueError:
            return False
        return True

    last = VERSIONS[-1]
    lines = read(last)["failure"]
    worded = [*lines, "error: in other words"]
    silent = [line for line in lines if "the builder says why" not in line]
    newer = f"{numbers(last)[0]}.{numbers(last)[1] + 1}"
    assert [is_taken(last, said) for said in (lines, worded, silent)] == [True, False, False]
    assert [is_taken(newer, said) for said in (lines, worded, silent)] == [True, True, False]


def main():
    failed = 0
    for name, function in list(globals().items()):
        if name.startswith("test_"):
            try:
                function()
                print(f"ok {name.removeprefix('test_')}")
            except (AssertionError, ValueError, KeyError) as why:
                failed = 1
                print(f"FAIL {name.removeprefix('test_')}: {why}")
    return failed


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        write(sys.argv[2:])
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        sys.exit(main())
