#!/usr/bin/env python3
"""The hook as Nix meets it: what it prints, and its exit status."""

import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time

NOBODY = 65534
AS_USER = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
SAMPLES = pathlib.Path(os.environ["SAMPLES"])


class Place:
    """A configuration in a temporary directory. Root runs the hook as nobody: it would not believe files in /tmp."""

    def __init__(self, directory, program):
        self.root = pathlib.Path(directory)
        self.root.chmod(0o755)
        self.program = shutil.copy(program, self.root / "hook")
        (self.root / "s").mkdir()
        (self.root / "client").write_text("")
        for sample in SAMPLES.iterdir():
            shutil.copy(sample, self.root / sample.name)
        self.configure()

    def configure(self, text=None, **members):
        known = {"features": ["hatch-fpga", "hatch-git", "hatch-board"],
                 "paths": [{"path": str(self.root / "s"), "at": "/run/hatch"}, {"path": str(self.root / "client"), "at": "/bin/hatch"}]}
        (self.root / "hook.json").write_text(text if text is not None else json.dumps({**known, **members}))

    def script(self, name, text):
        path = self.root / name
        path.write_text("#!/bin/sh\n" + text)
        path.chmod(0o755)
        return str(path)

    def run(self, *words, env=None, fds=()):
        if AS_USER:
            for path in [self.root, *self.root.rglob("*")]:
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        if (self.root / "hook.json").exists():
            os.chmod(self.root / "hook.json", 0o644)
        return subprocess.run([self.program, "--config", str(self.root / "hook.json"), *words], capture_output=True, text=True,
                              timeout=60, env={**os.environ, **(env or {})}, pass_fds=fds, **AS_USER)

    def build(self, name, **options):
        return self.run(str(self.root / name), "/nonexistent/root", **options)

    @property
    def shown(self):
        return f"extra-sandbox-paths\n/run/hatch={self.root}/s\n/bin/hatch={self.root}/client\n\n"


def check_shown(place, name, shown=True, **options):
    done = place.build(name, **options)
    assert (done.returncode, done.stdout) == (0, place.shown if shown else ""), (name, done)
    return done


def who_requires_a_feature_is_shown_the_paths(place):
    for name in ("classic.drv", "structured.drv", "fixed-output.drv", "content-addressed.drv", "impure.drv", "dynamic.drv"):
        assert check_shown(place, name).stderr == "", name


def who_requires_none_or_anothers_is_shown_nothing(place):
    assert check_shown(place, "plain.drv", False).stderr == ""
    place.configure(features=["hatch-sign"])
    done = check_shown(place, "classic.drv", False)
    assert done.stderr.endswith("classic.drv requires the feature hatch-fpga, which \"features\" in "
                                f"{place.root}/hook.json does not name: it is not shown the hatch\n"), done
    assert done.stderr.count("\n") == 1 and check_shown(place, "plain.drv", False).stderr == "", done
    check_shown(place, "structured.drv")
    place.configure(features=["hatch", "hatch-fpg", "hatch-fpga-2", "fpga"])
    check_shown(place, "structured.drv", False)


def without_a_configuration_nothing_is_shown(place):
    place.configure("{}")
    assert check_shown(place, "classic.drv", False).stderr == ""
    place.configure(features=[])
    check_shown(place, "classic.drv", False)


def what_nix_hands_over_comes_before_the_file(place):
    as_json = {"NIX_DERIVATION_V4": str(place.root / "structured.json")}
    check_shown(place, "plain.drv", env=as_json)
    check_shown(place, "missing.drv", env=as_json)
    check_shown(place, "missing.drv", env={"NIX_DERIVATION_V4": str(place.root / "classic.json")})
    check_shown(place, "classic.drv", False, env={"NIX_DERIVATION_V4": str(place.root / "plain.drv")})
    with open(SAMPLES / "plain.drv", "rb") as file:
        check_shown(place, "classic.drv", False, env={**as_json, "DRV_ATERM_FD": str(file.fileno())}, fds=[file.fileno()])
    with open(SAMPLES / "fixed-output.drv", "rb") as file:
        file.read(10)  # whoever read of it before
        check_shown(place, "missing.drv", env={"DRV_ATERM_FD": str(file.fileno())}, fds=[file.fileno()])


def what_nix_hands_over_and_cannot_be_opened_is_passed_over(place):
    (place.root / "shared.json").write_bytes((SAMPLES / "structured.json").read_bytes())
    os.chmod(place.root / "shared.json", 0o666)
    (place.root / "link.json").symlink_to("structured.json")
    values = {"DRV_ATERM_FD": ("77", "x", "-1", ""),
              "NIX_DERIVATION_V4": ("", "structured.json", '{"version": 4}', *(str(place.root / name) for name in ("nowhere", "shared.json", "link.json")))}
    for variable, value in ((variable, value) for variable in values for value in values[variable]):
        done = check_shown(place, "classic.drv", env={variable: value})
        assert f'{variable} is "{value}": ' in done.stderr, done
        check_shown(place, "missing.drv", False, env={variable: value})
    check_shown(place, "missing.drv", env={"DRV_ATERM_FD": "77", "NIX_DERIVATION_V4": str(place.root / "structured.json")})


def a_missing_derivation_is_shown_what_the_configuration_says(place):
    for said in ({}, {"missing_derivation": "hide"}):
        place.configure(**said)
        done = check_shown(place, "missing.drv", False)
        assert done.stderr.endswith("missing.drv is not on this machine, so what it requires is not known: it is not shown the hatch "
                                    "(see missing_derivation)\n") and done.stderr.count("\n") == 1, done
    place.configure(features=[])
    assert check_shown(place, "missing.drv", False).stderr == ""
    place.configure(missing_derivation="expose")
    assert check_shown(place, "missing.drv").stderr == ""
    check_shown(place, "plain.drv", False)


def a_derivation_that_cannot_be_read_is_shown_nothing(place):
    place.configure(missing_derivation="expose")
    done = check_shown(place, "cut-off.drv", False)
    assert "cut-off.drv: this is no derivation" in done.stderr, done
    (place.root / "long.drv").write_bytes((SAMPLES / "classic.drv").read_bytes() + b" " * 4 * 1024 * 1024)
    assert "File too large" in check_shown(place, "long.drv", False).stderr
    (place.root / "directory.drv").mkdir()
    assert "is no file" in check_shown(place, "directory.drv", False).stderr
    (place.root / "link.drv").symlink_to("classic.drv")
    check_shown(place, "link.drv", False)


def a_path_that_is_missing_is_left_out(place):
    (place.root / "client").unlink()
    done = place.build("classic.drv")
    assert (done.returncode, done.stdout) == (0, f"extra-sandbox-paths\n/run/hatch={place.root}/s\n\n"), done
    assert f"{place.root}/client, one of \"paths\"" in done.stderr, done


def links_are_followed_on_the_host(place):
    (place.root / "client").rename(place.root / "hatch")
    (place.root / "client").symlink_to("hatch")
    assert f"/bin/hatch={place.root}/hatch\n" in place.build("classic.drv").stdout


def another_hook_comes_first(place):
    other = place.script("other", 'echo extra-sandbox-paths; echo "/drv=$1"; echo "/root=$2"; printf /lost\n')
    place.configure(chain=other)
    printed = f"extra-sandbox-paths\n/drv={place.root}/%s\n/root=/nonexistent/root\n"
    done = place.build("plain.drv")
    assert (done.returncode, done.stdout) == (0, printed % "plain.drv" + "/lost"), done
    done = place.build("classic.drv")
    assert (done.returncode, done.stdout) == (0, printed % "classic.drv" + "\n" + place.shown), done


def another_hook_reads_the_derivation_too(place):
    place.configure(chain=place.script("other", 'cat <&"$DRV_ATERM_FD" >&2\n'))
    with open(SAMPLES / "classic.drv") as file:
        fd = os.dup2(file.fileno(), 9)
        done = check_shown(place, "missing.drv", env={"DRV_ATERM_FD": str(fd)}, fds=[fd])
        os.close(fd)
        assert done.stderr == (SAMPLES / "classic.drv").read_text(), done


def another_hook_that_fails_fails_every_build(place):
    place.configure(chain=place.script("other", "echo extra-sandbox-paths; exit 9\n"))
    for name in ("plain.drv", "classic.drv"):
        done = place.build(name)
        assert (done.returncode, done.stdout) == (9, ""), done
        assert "ended with exit status 9" in done.stderr, done
    place.configure(chain=str(place.root / "nowhere"))
    done = place.build("plain.drv")
    assert (done.returncode, done.stdout) == (78, "") and "nowhere" in done.stderr, done
    other = place.script("other", "")
    os.chmod(other, 0o777)
    place.configure(chain=other)
    done = place.build("plain.drv")
    assert done.returncode == 78 and "chmod" in done.stderr, done


def a_wrong_configuration_fails_only_who_needs_it(place):
    for text in ('{"features": 1}', '{"features": ["hatch-fpga"], "paths": ["x"]}', '{"features": ["hatch-fpga"]}'):
        place.configure(text)
        assert ":1:" in check_shown(place, "plain.drv", False).stderr, text
        done = place.build("classic.drv")
        assert (done.returncode, done.stdout) == (78, ""), done
        assert "classic.drv requires the feature hatch-fpga, and" in done.stderr.splitlines()[-1], done
        check_shown(place, "missing.drv", False)


def without_the_file_nothing_is_shown_and_that_is_said(place):
    (place.root / "hook.json").unlink()
    for name in ("plain.drv", "classic.drv"):
        done = check_shown(place, name, False)
        assert done.stderr == f"hatch-pre-build-hook: there is no {place.root}/hook.json: no build is shown the hatch\n", done


def a_wrong_configuration_does_not_lose_the_other_hook(place):
    other = place.script("other", "echo extra-sandbox-paths; echo /other\n")
    place.configure(json.dumps({"features": [1], "chain": other}))
    done = place.build("plain.drv")
    assert (done.returncode, done.stdout) == (0, "extra-sandbox-paths\n/other\n"), done


def where_another_hook_may_be_lost_no_build_goes_on(place):
    other = place.script("other", "echo extra-sandbox-paths; echo /other\n")
    wrong = (json.dumps({"features": ["hatch-fpga"], "chain": other})[:-1] + ",}", '{"chain": 1}', '{"chain": "other"}',
             '{"chain": "/other", "chain": "/other"}', "", "{", '{"features": ["hatch-fpga"]', json.dumps({"chian": other}),
             json.dumps({"Chain": other}), "{chain: '/other'}")
    for text in wrong:
        place.configure(text)
        check_stopped(place, text)
    # What somebody else may have written is not read at all.
    place.configure()
    os.chmod(place.root, 0o777)
    check_stopped(place, "a directory of others")


def check_stopped(place, why):
    for name in ("plain.drv", "classic.drv", "missing.drv"):
        done = place.build(name)
        assert (done.returncode, done.stdout) == (78, ""), (why, done)
        assert 'may name another hook ("chain")' in done.stderr.splitlines()[-1], (why, done)


def who_is_to_read_derivations_must_be_an_account_of_its_own(place):
    place.configure(user="daemon")
    assert check_shown(place, "classic.drv").stderr == ""
    for user, said in (("no-such-user", 'no user "no-such-user"'), ("root", "not parsed by root, who is uid 0")):
        place.configure(user=user)
        assert "hook.json:1:" in check_shown(place, "plain.drv", False).stderr, user
        done = place.build("classic.drv")
        assert (done.returncode, done.stdout) == (78, "") and '"user": ' in done.stderr and said in done.stderr, (user, done)


def knows_its_options(place):
    for words, said in (((), "expected a derivation"), (("--colour",), "colour")):
        done = place.run(*words)
        assert done.returncode == 64 and said in done.stderr, done
    # Of a Nix that may tell more one day.
    assert place.build("classic.drv").stdout == place.run(str(place.root / "classic.drv"), "/root", "third", "--fourth").stdout == place.shown
    assert place.run("--help").stdout.startswith("hatch-pre-build-hook [--config FILE]")
    assert place.run("--version").stdout.startswith("hatch-pre-build-hook 0.")


def cheapest(command, times=50):
    """Of so many runs: processor time, also of what it starts, and time that goes by, in ms."""
    used, gone = [], []
    for _ in range(times):
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60, **AS_USER)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        gone.append(1000 * (time.monotonic() - begun))
        used.append(1000 * (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime))
    return min(used), min(gone)


def costs_a_build_at_most_two_milliseconds(place):
    """Of processor time, which does not depend on who else is on the machine. What goes by does: there is room for that, and
    none for a wait. bench/run has the figures."""
    if os.environ.get("WATCHED"):
        return  # a sanitizer costs more than the hook
    os.environ.pop("MALLOC_PERTURB_", None)
    nothing = cheapest(["/bin/true"])
    for name in ("plain.drv", "structured.drv"):
        check_shown(place, name, name != "plain.drv")
        hook = cheapest([place.program, "--config", place.root / "hook.json", place.root / name])
        assert hook[0] - nothing[0] <= 2, f"{name}: {hook[0]} ms of a processor, of which {nothing[0]} ms are to start anything"
        assert hook[1] - nothing[1] <= 20, f"{name}: {hook[1]} ms go by, of which {nothing[1]} ms to start anything"


def main(program):
    failed = False
    os.umask(0o022)
    cases = [who_requires_a_feature_is_shown_the_paths, who_requires_none_or_anothers_is_shown_nothing,
             without_a_configuration_nothing_is_shown, what_nix_hands_over_comes_before_the_file,
             what_nix_hands_over_and_cannot_be_opened_is_passed_over,
             a_missing_derivation_is_shown_what_the_configuration_says, a_derivation_that_cannot_be_read_is_shown_nothing,
             a_path_that_is_missing_is_left_out, links_are_followed_on_the_host, another_hook_comes_first,
             another_hook_reads_the_derivation_too, another_hook_that_fails_fails_every_build,
             a_wrong_configuration_fails_only_who_needs_it, without_the_file_nothing_is_shown_and_that_is_said,
             a_wrong_configuration_does_not_lose_the_other_hook, where_another_hook_may_be_lost_no_build_goes_on,
             who_is_to_read_derivations_must_be_an_account_of_its_own, knows_its_options, costs_a_build_at_most_two_milliseconds]
    for case in cases:
        with tempfile.TemporaryDirectory(prefix="hook-", dir="/tmp") as directory:
            try:
                case(Place(directory, program))
                print(f"ok {case.__name__}")
            except (AssertionError, subprocess.SubprocessError, OSError) as why:
                print(f"FAIL {case.__name__}: {why}")
                failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
