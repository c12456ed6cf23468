#!/usr/bin/env python3
"""What the shells offer for hatchctl, against what hatchctl takes. Each shell completes for real, in a configuration of
its own."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
GLOBAL = {"--help", "--version"}
failed = False


def verbs_and_options():
    """From the tables of main.c: verb to the options that it takes."""
    source = (HERE / "main.c").read_text()
    bits = {bit: name for name, bit in re.findall(r'\{ "([a-z]+)", run_\w+, (\w+),', source)}
    groups = {"ANY": set(bits)}
    found = {name: set() for name in bits.values()}
    for option, where in re.findall(r'\{ "([a-z-]+)", (?:no|required)_argument, \w+, FIELD\(\w+\),\s*([A-Z_ |]+) \}', source):
        for word in where.split(" | "):
            for bit in groups.get(word, {word}):
                found[bits[bit]].add("--" + option)
    assert len(found) > 2 and all(found.values()), found
    return found


class Place:
    """A configuration with two builders, and the tool in PATH."""

    def __init__(self, directory, program):
        self.root = pathlib.Path(directory)
        self.config = self.root / "etc"
        (self.config / "builders.d").mkdir(parents=True)
        (self.root / "bin").mkdir()
        shutil.copy(program, self.root / "bin/hatchctl")
        for name in ("vivado", "sign"):
            (self.config / f"builders.d/{name}.json").write_text(json.dumps({"command": ["/bin/true"]}))
        if os.geteuid() == 0:
            for path in [self.root, *self.root.rglob("*")]:
                os.chown(path, 65534, 65534)

    def run(self, argv, **env):
        as_user = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
        env = {"PATH": f"{self.root}/bin:{os.environ['PATH']}", "HOME": str(self.root), **env}
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, env=env, cwd=self.root, **as_user)
        assert done.returncode == 0 and not done.stderr, (argv, done)
        return set(done.stdout.split())

    def own(self):
        """The words that have hatchctl read this configuration."""
        return ["--unprivileged", "--config", str(self.config)]


def bash(place, *words):
    """What bash offers for the last word."""
    script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _hatchctl; printf "%s\\n" "${COMPREPLY[@]}"'
    return place.run(["bash", "-euc", script, "bash", HERE / "completions/hatchctl.bash", "hatchctl", *words])


def fish(place, *words):
    script = f"source {HERE}/completions/hatchctl.fish; complete -C 'hatchctl {' '.join(words)}' | cut -f1"
    return place.run(["fish", "--no-config", "-c", script])


# zsh completes only in its line editor, which wants a terminal: "editor" is a zsh of its own on a pseudo terminal. There
# compadd writes down what it is given instead of showing it.
ZSH_EDITOR = r"""
PS1= fpath=($HERE $fpath)
autoload -U compinit
compinit -D -u
bindkey '^I' complete-word
compadd() {
        local -a hits
        if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then
                builtin compadd "$@"
                return
        fi
        builtin compadd -A hits "$@"
        print -r -l -- $hits >>$HOME/offered
        [[ -n $hits ]]
}
done_completing() { print over >>$HOME/done }
comppostfuncs=(done_completing)
print -r ready
"""
ZSH = r"""
zmodload zsh/zpty zsh/zselect
zpty editor zsh -f -i
zpty -w editor "source $HOME/editor"
until [[ $line == ready* ]]; do zpty -r editor line || exit 3; done
zpty -w -n editor "$1"$'\t'
repeat 1000; do [[ -e $HOME/done ]] && break; zselect -t 1; done
zpty -d editor
[[ -e $HOME/done ]]
"""


def zsh(place, *words):
    (place.root / "editor").write_text(ZSH_EDITOR)
    for name in ("offered", "done"):
        (place.root / name).unlink(missing_ok=True)
    place.run(["zsh", "-f", "-c", ZSH, "zsh", " ".join(["hatchctl", *words])], TERM="dumb", HERE=str(HERE / "completions"))
    return set((place.root / "offered").read_text().split())


def completes(place, shell):
    table = verbs_and_options()
    offered = shell(place, "")
    assert set(table) <= offered, f"verbs: {offered}"
    for verb, options in table.items():
        offered = {w for w in shell(place, verb, "--") if w.startswith("--")}
        assert offered - GLOBAL == options, f"{verb}: {sorted(offered)}, expected {sorted(options)}"
    offered = shell(place, *place.own(), "history", "--builder", "")
    assert offered == {"vivado", "sign"}, f"builders: {offered}"
    offered = shell(place, *place.own(), "explain", "--uid", "root", "s")
    assert offered == {"sign"}, f"builders behind a verb: {offered}"
    offered = shell(place, "history", "--verdict", "re")
    assert offered == {"refused"}, f"verdicts: {offered}"


def main(program):
    global failed
    os.umask(0o022)
    for shell in (bash, zsh, fish):
        name = f"{shell.__name__}_completes_what_hatchctl_takes"
        if not shutil.which(shell.__name__):
            print(f"SKIP {name}: there is no {shell.__name__}")
            continue
        with tempfile.TemporaryDirectory(prefix="hatchctl-", dir="/tmp") as directory:
            try:
                completes(Place(directory, program), shell)
                print(f"ok {name}")
            except (AssertionError, subprocess.SubprocessError, OSError, ValueError) as why:
                print(f"FAIL {name}: {why}")
                failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
