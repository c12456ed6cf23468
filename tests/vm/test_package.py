"""What the package's build does where nix-daemon builds it: the tests of modules, in its sandbox."""

import ast
import pathlib
import re

from machine import check, check_equal

UNIT = pathlib.Path("/opt/hatch-test/unit")


def needs_a_host():
    """Tests that -Dhost_tests=false leaves out."""
    [names] = re.findall(r"tests_of_the_host = (\[.*\])", UNIT.with_suffix(".build").read_text())
    return {f"{name}-test" for name in ast.literal_eval(names)}


def test_tests_of_modules_pass_in_the_sandbox_of_nix(m):
    # Those with arguments or samples of their own are passed over.
    own = {"board-test", "boot-test", "derivation-test", "filter-table-test"}
    names = sorted({file.name for file in UNIT.iterdir()} - needs_a_host() - own)
    check(len(names) > 30, f"only {names}")
    m.write_nix_conf(f"extra-sandbox-paths = /bin/sh=/usr/bin/busybox /usr /lib /lib64 {UNIT}", without=["extra-sandbox-paths"])
    script = (f'cd {UNIT}; for test in {" ".join(names)}; do '
              '( ./$test || echo "exit $? of $test" ) >/tmp/$test 2>&1 & done; wait; cat /tmp/*-test; echo >"$out"')
    log = m.nix_build(m.derivation("unit", args=["-c", script], PATH="/usr/bin")).ok().stderr
    check_equal(re.findall(r"^(?:FAIL .*|exit \d+ of .*)$", log, re.MULTILINE), [], "what fails in the sandbox")
    check(log.count("\nok ") > 300, f"only {log.count(chr(10) + 'ok ')} passed")
