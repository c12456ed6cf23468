"""What the tests of this folder share: how they are run and what they print, and how they say what they expect."""

import pathlib
import re
import shutil
import tempfile

from system import TOP

# Removed when the program ends.
_directory = tempfile.TemporaryDirectory(prefix="hatch-nix-")
WORK = pathlib.Path(_directory.name)


class Skip(Exception):
    """The test cannot be made here; says why."""


def check(condition, why):
    if not condition:
        raise AssertionError(why)


def check_equal(got, expected, what):
    check(got == expected, f"{what} is {got!r}, expected {expected!r}")


def c_table(file, name):
    """Keys in a table of C: static const struct member NAME[] = { { "key", ... }, ... };"""
    text = (TOP / file).read_text()
    found = re.search(rf"static const struct member {name}\[\] = \{{(.*?)\n\}};", text, re.DOTALL)
    check(found, f"no table {name} in {file}")
    keys = re.findall(r'\{ "([a-z_]+)",', found.group(1))
    check(keys, f"no key in the table {name} of {file}")
    return set(keys)


def run(names):
    """Every function test_... of a program's globals; the exit status."""
    tests = [(n.removeprefix("test_"), f) for n, f in names.items() if n.startswith("test_")]
    if not shutil.which("nix-instantiate"):
        for name, _ in tests:
            print(f"SKIP {name}: there is no nix-instantiate; it is in Debian's package nix-bin")
        return 0
    n_failed = 0
    for name, function in tests:
        try:
            function()
            print(f"ok {name}")
        except Skip as why:
            print(f"SKIP {name}: {why}")
        except Exception as error:  # whatever a test meets is its failure, not the end of the others
            n_failed += 1
            print(f"FAIL {name}: {' '.join(str(error).split())}")
    return 1 if n_failed else 0
