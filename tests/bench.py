#!/usr/bin/env python3
"""The programs of bench/ still do what they measure: they use the code's own functions, and months pass between two runs.

    bench.py SANDBOX_START TREE_COPY STORE_SCAN
"""

import os
import pathlib
import subprocess
import sys
import tempfile

PATIENCE = 120


def output(*words):
    """What a program prints; fails with what it complains of."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, f"{pathlib.Path(words[0]).name}: exit status {done.returncode}: {done.stderr}"
    return done.stdout


def a_sandbox_starts_and_ends(program, place):
    if os.geteuid() != 0:
        return "it needs root"
    times = output(program, "2", place).split()
    assert len(times) == 2 and all(float(time) > 0 for time in times), times
    assert not list(place.iterdir()), "scratch is left"
    return None


def a_tree_is_copied(program, place):
    (place / "from").mkdir()
    (place / "from/file").write_text("content")
    output(program, place / "from", place / "to")
    assert (place / "to/file").read_text() == "content"


def a_file_is_scanned(program, place):
    (place / "file").write_bytes(b"0123456789abcdfghijklmnpqrsvwxyz" * 100000)
    assert float(output(program, place / "file").split()[1]) > 0


def main():
    failed = 0
    for test, program in zip((a_sandbox_starts_and_ends, a_tree_is_copied, a_file_is_scanned), sys.argv[1:], strict=True):
        with tempfile.TemporaryDirectory(prefix="hatch-bench-", dir="/var/tmp") as place:
            try:
                skipped = test(program, pathlib.Path(place))
                print(f"SKIP {test.__name__}: {skipped}" if skipped else f"ok {test.__name__}")
            except (AssertionError, OSError, subprocess.TimeoutExpired) as why:
                failed += 1
                print(f"FAIL {test.__name__}: {why}")
    return 1 if failed else 0


sys.exit(main())
