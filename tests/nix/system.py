#!/usr/bin/env python3
"""A machine with services.hatch, without NixOS: what the module makes of a configuration, evaluated by nix-instantiate;
and derivations, as Nix writes them down.

    system.py CONFIG.nix DIR [PACKAGE=DIR...]   write the files it makes below DIR, for a system that has the packages there
    system.py --write                           write what the tests compare with: *.golden here, docs/options.md

The files are /etc/hatch, nix.conf, what is put over the package's units, accounts (sysusers.d) and tmpfiles.d.
"""

import ast
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import textwrap

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
STORE = "/nix/store/00000000000000000000000000000000-"  # of the packages in stubs.nix


def nix(*command):
    """Standard output, or an error with what it said."""
    # Its warnings about this machine's accounts are not ours, and what nixpkgs calls deprecated is.
    env = dict(os.environ, NIX_CONFIG="build-users-group =", NIX_PATH=os.environ.get("NIX_PATH", ""))
    run = subprocess.run([str(word) for word in command], env=env, capture_output=True, text=True)
    if run.returncode != 0 or "deprecated" in run.stderr:
        raise RuntimeError(run.stderr.strip())
    return run.stdout


def nix_instantiate(*words):
    return nix("nix-instantiate", *words)


def add_to(store, *paths):
    """Copies of files or directories in a store: their paths, in order."""
    return nix("nix-store", "--store", store, "--add", *paths).split()


def evaluate(expression, *options):
    options = options or ("--store", "dummy://")
    return json.loads(nix_instantiate("--eval", "--strict", "--json", *options, "--expr", expression))


def machine(conf, packages=None, options=()):
    """See machine.nix. conf: the path of a file, or a module in Nix. packages: {name: directory}; options: of
    nix-instantiate, in place of a store that takes nothing"""
    own = " ".join(f'{name} = {{ type = "derivation"; name = "{name}"; outPath = "{path}"; }};'
                   for name, path in (packages or {}).items())
    return evaluate(f"import {HERE}/machine.nix {{ conf = {conf}; packages = {{ {own} }}; }}", *options)


def write_files(made, directory):
    for name, file in made["files"].items():
        path = pathlib.Path(directory, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if "link" in file:
            path.symlink_to(file["link"])
        else:
            path.write_text(file["text"])
            path.chmod(int(file.get("mode", "644"), 8))


# --- derivations ---

def derivation(store, *words):
    """What nix-instantiate makes in a store of these words. What it is told to build stands in "attributes"."""
    path = nix_instantiate("--store", store, *words).strip()
    # ATerm: lists, tuples and strings are written as in Python.
    text = pathlib.Path(f"{store}{path}").read_text().removeprefix("Derive")
    outputs, drvs, sources, system, builder, args, env = ast.literal_eval(text)
    env = dict(env)
    return {"outputs": outputs, "drvs": drvs, "sources": sources, "system": system, "builder": builder, "args": args,
            "attributes": json.loads(env["__json"]) if "__json" in env else env}


def example_derivations():
    """Those of examples/: the file that each is compared with, and its text."""
    with tempfile.TemporaryDirectory(prefix="hatch-nix-") as store:
        for file in sorted((TOP / "examples").glob("*/default.nix")):
            made = json.dumps(derivation(store, file), indent=2, ensure_ascii=False) + "\n"
            this_system = nix_instantiate("--eval", "--expr", "builtins.currentSystem").strip()
            yield HERE / f"examples/{file.parent.name}.golden", without_hashes(made).replace(this_system, '"SYSTEM"')


# --- what is written down ---

def golden(made):
    """All of it in one readable text."""
    parts = []
    for name, file in made["files"].items():
        if "link" in file:
            parts.append(f"--- {name} -> {file['link']}\n")
            continue
        text = file["text"]
        if name.endswith(".json"):
            text = json.dumps(json.loads(text), indent=2) + "\n"
        parts.append(f"--- {name}\n{text}")
    for what, paths in made["packages"].items():
        parts.append(f"--- {what} of {', '.join(paths)}\n")
    for check in made["checks"]:
        parts.append(f"--- built before\n{check}")
    for warning in made["warnings"]:
        parts.append(f"--- warning\n{warning}")
    return without_hashes("\n".join(parts))


def without_hashes(text):
    return re.sub(r"/nix/store/[0-9a-z]{32}-", "/nix/store/HASH-", text)


def machines():
    """Configurations, those of examples/ too: the file of each, and the one that it is compared with."""
    for file in sorted((HERE / "machines").glob("*.nix")):
        yield file, file.with_suffix(".golden")
    for file in sorted((TOP / "examples").glob("*/nixos.nix")):
        yield file, HERE / f"machines/example-{file.parent.name}.golden"


def options():
    """All options of the module, as for the manual of NixOS."""
    return evaluate(f"import {HERE}/options.nix {{ }}")


def shown(text):
    """Markdown of NixOS' manual in plain one; a paragraph or an item is one line there."""
    plain = re.sub(r"\{(manpage|file|option)\}(`[^`]*`)", r"\2", text.strip())
    paragraphs = re.split(r"\n(?=- )|\n\n", plain)
    filled = [textwrap.fill(" ".join(p.split()), 118, subsequent_indent="  " if p.startswith("- ") else "",
                            break_long_words=False, break_on_hyphens=False) for p in paragraphs]
    return re.sub(r"(\n- [^\n]*(?:\n  [^\n]*)*)\n(?=\n- )", r"\1", "\n\n".join(filled))


def options_page(listed=None):
    lines = ["# Options of the NixOS module", "",
             "Written by `tests/nix/system.py --write` from `nixos/`; a test compares them. The keys of a builder and of the",
             "settings are explained in `hatch-builder(5)` and `hatchd.json(5)`."]
    for option in listed or options():
        lines += ["", f"## `{option['name']}`", "", shown(option["description"] or ""), "", f"- type: {option['type']}"]
        for what in ("default", "example"):
            text = option[what]
            if text is not None and "\n" in text.strip():
                lines += [f"- {what}:", "", "  ```nix", *(f"  {line}".rstrip() for line in text.strip().split("\n")), "  ```"]
            elif text is not None:
                lines.append(f"- {what}: `{text.strip()}`")
    return "\n".join(lines) + "\n"


def write_down():
    for conf, file in machines():
        file.write_text(golden(machine(conf)))
    for file, text in example_derivations():
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    (TOP / "docs/options.md").write_text(options_page())


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write_down()
    elif len(sys.argv) > 2:
        made = machine(pathlib.Path(sys.argv[1]).resolve(), dict(word.split("=", 1) for word in sys.argv[3:]))
        if made["failed"]:
            sys.exit("\n".join(made["failed"]))
        write_files(made, sys.argv[2])
    else:
        sys.exit(__doc__)
