#!/usr/bin/env python3
"""The same as test_nix.py with NixOS itself, where NIX_PATH has a whole nixpkgs: all of its modules, its packages and its
driver of machine tests. Everything is evaluated, nothing is built. It takes minutes, and some GB of memory."""

import difflib
import functools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import runner
import system
from runner import WORK, Skip, check, check_equal
from system import HERE, TOP, evaluate, nix_instantiate


def nixos(expression):
    """Of an expression that has nixos.nix as `nixos`."""
    return evaluate(f"let nixos = import {HERE}/nixos.nix; in {expression}")


@functools.cache
def machines():
    """What NixOS makes of each configuration, with the names that the stubs have for packages; and what is expected."""
    files = list(system.machines())
    made = nixos(f"{{ inherit (nixos) places; machines = map nixos.machine [ {' '.join(str(conf) for conf, _ in files)} ]; }}")
    text = json.dumps(made["machines"])
    for place in made["places"]:
        text = text.replace(place["real"], place["stub"])
    return [(conf, file.read_text(), machine) for (conf, file), machine in zip(files, json.loads(text))]


def features_in_order(text):
    """In which order Nix reads features means nothing, and NixOS has modules in another one."""
    return re.sub(r"(?<=^extra-system-features = ).*$", lambda words: " ".join(sorted(words[0].split())), text, flags=re.MULTILINE)


def test_nixos_makes_of_each_machine_what_is_written_down():
    for conf, expected, machine in machines():
        check_equal(machine["made"]["failed"], [], f"failed assertions of {conf}")
        made, expected = features_in_order(system.golden(machine["made"])), features_in_order(expected)
        check(made == expected, "\n".join(difflib.unified_diff(expected.splitlines(), made.splitlines(), str(conf), "NixOS", lineterm="")))


def settings_of(text):
    """Lines that say something, without what NixOS gives to each service."""
    return sorted(line for line in text.splitlines() if line and not line.startswith(("[", "#", "Environment=")))


def test_units_and_nix_conf_of_nixos_say_it():
    for conf, _, machine in machines():
        files, units = machine["made"]["files"], machine["units"]
        check_equal(sorted(units), ["hatch.slice", "hatchd.socket", "hatchd@.service"], f"units of {conf}")
        for name, text in units.items():
            said = files.get(f"etc/systemd/system/{name}.d/overrides.conf", {"text": ""})["text"]
            wanted = ["WantedBy=sockets.target"] if name == "hatchd.socket" else []
            check_equal(settings_of(text), sorted(settings_of(said) + wanted), f"{name} of {conf}")
        lines = machine["nixConf"].splitlines()
        check_equal([line for line in files["etc/nix/nix.conf"]["text"].splitlines() if line not in lines], [],
                    f"what nix.conf of {conf} lacks")


def test_nixos_takes_each_machine():
    # One that has warnings would end there, as each warning does here.
    confs = [str(conf) for conf, file in system.machines() if "--- warning" not in file.read_text()]
    check(len(confs) > 10, f"only {confs}")
    for path in nixos(f"map nixos.system [ {' '.join(confs)} ]"):
        check(re.search(r"-nixos-system-.*\.drv$", path), path)


def test_page_of_options_is_what_nixos_knows():
    made, kept = system.options_page(nixos("nixos.options")), (TOP / "docs/options.md").read_text()
    # Each version of nixpkgs has words of its own for types.
    made, kept = (re.sub(r"^- type: .*$", "", text, flags=re.MULTILINE) for text in (made, kept))
    check(made == kept, f"NixOS shows {made}")


def test_nix_takes_the_flake_with_nixpkgs():
    version = re.search(r"(\d+)\.(\d+)", subprocess.run(["nix", "--version"], capture_output=True, text=True).stdout)
    if tuple(map(int, version.groups())) < (2, 14):
        raise Skip("before Nix 2.14 nixpkgs' lib.fileset cannot look at the files of a flake")
    place = pathlib.Path(tempfile.mkdtemp(dir=WORK))
    for name in ("bench", "docs", "examples", "hatch-client", "hatch-pre-build-hook", "hatchctl", "hatchd", "lib", "nixos", "tests", "units"):
        shutil.copytree(TOP / name, place / "hatch" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("flake.nix", "meson.build", "meson_options.txt"):
        shutil.copy(TOP / name, place / "hatch")
    nixpkgs = nix_instantiate("--find-file", "nixpkgs").strip()
    env = dict(os.environ, HOME=str(place), NIX_CONFIG="build-users-group =\nexperimental-features = nix-command flakes")
    run = subprocess.run(["nix", "flake", "check", "--store", f"{place}/store", "--no-build", "--no-write-lock-file",
                          "--override-input", "nixpkgs", f"path:{nixpkgs}", f"path:{place}/hatch"],
                         env=env, capture_output=True, text=True)
    check(run.returncode == 0, run.stderr)


if __name__ == "__main__":
    sys.exit(runner.run(globals()))
