"""Store paths in outputs that the build has not as inputs: Nix would not keep them, so the client says so."""

import os
import pathlib

from machine import check, check_equal, check_in

PYTHON = "/usr/bin/python3"
NEEDLE = "which is no input of this build"


def build_one(m, name):
    """A path of the host's store that no test below has as an input."""
    return m.nix_build(m.derivation(name, args=["-c", "echo > $out"])).ok().lines()[-1]


def told(result):
    return [line.split("hatch: ", 1)[1] for line in result.stderr.splitlines() if NEEDLE in line and "hatch: " in line]


def log_once(result):
    """When a build fails Nix shows the end of the log once more."""
    return list(dict.fromkeys(told(result)))


def leave(m, name, path, **definition):
    """A builder that leaves the path, given as its argument, in several places."""
    m.write_builder(
        name,
        "import os, sys\n"
        "out, path = os.environ['out'], sys.argv[1]\n"
        "os.makedirs(out + '/bin')\n"
        "open(out + '/bin/run', 'w').write('#!/bin/sh\\nexec ' + path + '/bin/tool\\n')\n"
        "open(out + '/bin/second', 'w').write(path)\n"
        "os.symlink(path, out + '/link')\n",
        PYTHON, **definition,
    )
    return m.hatch_derivation(name, name, [path])


def test_a_path_that_is_no_input_is_told_once_with_its_place(m):
    path = build_one(m, "foreign")
    built = m.nix_build(leave(m, "warns", path).replace(f'"{path}"', f'(builtins.unsafeDiscardStringContext "{path}")')).ok()
    check_equal(told(built), [f"output out: bin/run refers to {path}, {NEEDLE}"], "warnings")
    check(pathlib.Path(built.lines()[-1], "bin/run").exists(), "the output is there")
    check_equal(m.run(["nix-store", "--query", "--references", built.lines()[-1]]).ok().lines(), [], "what Nix knows")


def test_an_undeclared_reference_fails_the_build_where_that_is_asked_for(m):
    path = build_one(m, "foreign")
    for name, options, definition in (("by-definition", ["--undeclared-references=warn"], {"undeclared_references": "fail"}),
                                      ("by-client", ["--undeclared-references=fail"], {"undeclared_references": "ignore"})):
        leave(m, name, path, **definition)
        drv = m.nix_instantiate(m.hatch_derivation(name, name, [path], options))
        cursor = m.journal_cursor()
        built = m.run(["nix-store", "--realise", drv], user="alice")
        check(built.code != 0, f"{name}: the build succeeded")
        check_equal(log_once(built), [f"output out: bin/run refers to {path}, {NEEDLE}"], name)
        check_in("Nix would not keep them", built.stderr, "reason")
        out = m.run(["nix-store", "--query", "--outputs", drv]).ok().lines()[0]
        check(not os.path.lexists(out), f"{name}: {out} is there")
        [line] = m.journal_wait(cursor, HATCH_BUILDER=name)
        check_equal(line["HATCH_DELIVERED"], "no", f"{name}: what the server knows")


def test_an_undeclared_reference_is_passed_over_where_that_is_asked_for(m):
    path = build_one(m, "foreign")
    leave(m, "ignores", path, undeclared_references="ignore")
    check_equal(told(m.nix_build(m.hatch_derivation("ignores", "ignores", [path])).ok()), [], "warnings")
    leave(m, "quiet", path)
    check_equal(told(m.nix_build(m.hatch_derivation("quiet", "quiet", [path], ["--quiet"])).ok()), [], "warnings")


def test_inputs_of_every_kind_and_all_outputs_are_known(m):
    m.write_builder("kinds", 'case $1 in directory) mkdir "$out"; echo >"$out/file" ;; file) echo >"$out" ;; symlink) ln -s /etc "$out" ;; esac')
    inputs = " ".join(f"({m.hatch_derivation(kind, 'kinds', [kind])})" for kind in ("directory", "file", "symlink"))
    m.write_builder("knows", 'mkdir "$out"; echo "$@ $out $dev $outputs" >"$out/all"; echo >"$dev"; ln -s "$dev" "$doc"',
                    undeclared_references="fail")
    derivation = m.hatch_derivation("knows", "knows", ["INPUTS"], outputs=("out", "dev", "doc"))
    built = m.nix_build(derivation.replace('"INPUTS"', inputs)).ok()
    out = built.lines()[-1]
    check_equal(told(built), [], "warnings")
    check_equal(len(m.run(["nix-store", "--query", "--references", out]).ok().lines()), 5, "references of out")


def test_an_output_that_was_not_asked_for_is_known_too(m):
    m.write_builder("part", 'echo "$1" >"$out"', undeclared_references="fail")
    script = '/bin/hatch run --output out part -- "$dev" && echo > $dev'
    built = m.nix_build(m.derivation("part", args=["-c", script], outputs=("out", "dev"))).ok()
    check_equal(told(built), [], "warnings")


def test_a_reference_over_any_border_is_found(m):
    # The bytes come in pieces that begin at multiples of 64 KiB of the stream, which has one header before the file.
    m.write_builder(
        "borders",
        "import os\n"
        "digits = '0123456789abcdfghijklmnpqrsvwxyz'\n"
        "out = bytearray(b'\\0' * (4 << 20))\n"
        "for i in range(60):\n"
        "    path = b'/nix/store/' + (digits[i // 32] + digits[i % 32]).encode() * 16 + b'-x'\n"
        "    at = (i + 1) * 65536 - 512 - 1 - i % 44\n"
        "    out[at:at + len(path)] = path\n"
        "open(os.environ['out'], 'wb').write(out)\n",
        PYTHON,
    )
    built = m.nix_build(m.hatch_derivation("borders", "borders")).ok()
    check_equal(len(set(told(built))), 60, "warnings")


def test_many_references_are_not_all_told(m):
    m.write_builder(
        "many",
        "import os\n"
        "digits = '0123456789abcdfghijklmnpqrsvwxyz'\n"
        "with open(os.environ['out'], 'w') as file:\n"
        "    for i in range(200):\n"
        "        file.write('/nix/store/' + (digits[i // 32] + digits[i % 32]) * 16 + '-x\\n')\n",
        PYTHON,
    )
    built = m.nix_build(m.hatch_derivation("many", "many")).ok()
    check_equal(len(told(built)), 64, "warnings")
    check_in("hatch: there are more such paths", built.stderr, "log")


def test_a_phase_that_clears_its_environment_is_looked_at_all_the_same(m):
    path = build_one(m, "foreign")
    leave(m, "strict", path, undeclared_references="fail")
    script = f"""place="$out"; unset NIX_BUILD_TOP NIX_LOG_FD out outputs; /bin/hatch run --output out="$place" strict {path}"""
    built = m.nix_build(m.derivation("cleared", args=["-c", script]))
    check(built.code != 0, "the build succeeded")
    check_equal(log_once(built), [f"output out: bin/run refers to {path}, {NEEDLE}"], "what is told")
    m.write_builder("knows", 'echo "$out" >"$out"', undeclared_references="fail")
    m.nix_build(m.derivation("cleared", args=["-c", script.replace(f"strict {path}", "knows")])).ok()


def test_without_a_sandbox_nothing_is_known_and_to_fail_is_said_so(m):
    path = build_one(m, "foreign")
    place = m.temporary_directory()
    leave(m, "open", path)
    leave(m, "strict", path, undeclared_references="fail")
    build = {"NIX_BUILD_TOP": str(place), "NIX_LOG_FD": "2", "out": f"{place}/out"}
    check_equal(told(m.run(["hatch", "run", "open", path], env=build).ok()), [], "warnings")
    for what, argv, env in (("the definition in a build", ["strict"], {**build, "out": f"{place}/third"}),
                            ("the definition elsewhere", [f"--output=out={place}/third", "strict"], {}),
                            ("the caller", ["--undeclared-references=fail", f"--output=out={place}/third", "open"], {})):
        ran = m.run(["hatch", "run", *argv, path], env=env)
        check_equal(ran.code, 125, f"exit status for {what}")
        check_in("is not known", ran.stderr, "reason")
        check(not (place / "third").exists(), "there is an output")
