"""Derivations of nixos/lib.nix, built by the real nix-daemon: what the builder is given, and every kind of output."""
import json
import pathlib
import time

from machine import check, check_equal, check_in, nix

LIB = "/opt/hatch-test/nixos/lib.nix"

# Tells what it was given, in every output.
TELL = """import json, os, pathlib, sys
inputs = pathlib.Path(os.environ["HATCH_INPUTS"])
given = {"args": sys.argv[1:], "A": os.environ.get("A"), "TEXT": os.environ.get("TEXT"), "inputs": {
    str(path.relative_to(inputs)): path.read_text() for path in sorted(inputs.rglob("*")) if path.is_file()}}
for name in os.environ["outputs"].split():
    pathlib.Path(os.environ[name]).write_text(json.dumps({**given, "output": name}))
"""


def set_up(m, script, interpreter="/bin/sh", **definition):
    m.write_builder("make", script, interpreter, **definition)
    m.write_nix_conf("extra-system-features = hatch-make",
                     "extra-experimental-features = ca-derivations impure-derivations nix-command")


def run_hatch(text, name="made"):
    """An expression that was not built before."""
    return f'(import {LIB} {{ }}).runHatch {{ builder = "make"; name = "{name}"; derivationArgs.unique = "{time.time_ns()}"; {text} }}'


def build(m, expression):
    built = m.nix_build(expression).ok()
    return pathlib.Path(built.lines()[-1])


def test_run_hatch_gives_the_builder_what_stands_there(m):
    set_up(m, TELL, "/usr/bin/python3", inputs=True, environment={"accept": ["A", "TEXT"]})
    place = m.temporary_directory()
    (place / "tree/below").mkdir(parents=True)
    (place / "tree/below/file").write_text("of a tree")
    (place / "alone").write_text("of its own")
    made = m.derivation("dependency", args=["-c", "echo built before >$out"])
    words = ["two words", "", "'$x' \"${y}\"", "two\nlines", "--dash", "\\"]
    text = (f"args = {nix(words)}; env = {{ A = 3; TEXT = {made}; }}; outputs = [ \"out\" \"more\" ]; "
            f'inputs = {{ alone = {place}/alone; part = "${{{place}/tree}}/below"; whole = {place}/tree; made = {made}; }};')
    drv = m.nix_instantiate(run_hatch(text))
    m.run(["nix-store", "--realise", drv], user="alice").ok()
    for name in ("out", "more"):
        path = m.run(["nix-store", "--query", "--binding", name, drv]).ok().stdout.strip()
        given = json.loads(pathlib.Path(path).read_text())
        check_equal((given["output"], given["args"], given["A"]), (name, words, "3"), "arguments and variables")
        check_equal(pathlib.Path(given["TEXT"]).read_text(), "built before\n", "what a variable names")
        check_equal(given["inputs"], {"alone": "of its own", "part/file": "of a tree", "whole/below/file": "of a tree",
                                      "made": "built before\n"}, "inputs")


def test_run_hatch_is_built_only_where_the_builder_is(m):
    m.write_builder("make", 'echo made >"$out"')
    built = m.nix_build(run_hatch(""))
    check(built.code != 0, "it was built on a machine without the feature")
    check_in("hatch-make", built.stderr, "error")
    build(m, run_hatch("feature = null;"))


def test_the_time_limit_of_a_derivation_counts(m):
    set_up(m, "sleep 50")
    built = m.nix_build(run_hatch("timeout = 1;"))
    check(built.code != 0, "the builder went on")
    check_in("went over its time limit of 1 s", built.stderr, "reason")


def test_content_addressed_outputs_know_their_places(m):
    set_up(m, 'mkdir "$out"; echo "$out" >"$out/self"; echo "$out" >"$dev"')
    paths = []
    for _ in range(2):
        expression = run_hatch('contentAddressed = true; outputs = [ "out" "dev" ];')
        built = m.nix_build(f"let d = {expression}; in [ d.out d.dev ]").ok()
        out, dev = (pathlib.Path(line) for line in built.lines())
        check_equal((out / "self").read_text(), f"{out}\n", "the path in out")
        check_equal(dev.read_text(), f"{out}\n", "the path in dev")
        paths.append((out, dev))
    check_equal(paths[0], paths[1], "paths of two derivations with the same result")


def test_a_content_addressed_file_is_hashed_as_it_is_said(m):
    set_up(m, 'echo content >"$out"')
    out = build(m, run_hatch('contentAddressed = true; outputHashMode = "flat"; outputHashAlgo = "sha512";'))
    check_equal(out.read_text(), "content\n", "the file")
    kept = json.loads(m.run(["nix", "path-info", "--json", out]).ok().stdout)
    [info] = kept if isinstance(kept, list) else kept.values()
    check(info["ca"].startswith("fixed:sha512:"), f"it is addressed by {info['ca']}")


def test_impure_derivations_are_built_each_time(m):
    set_up(m, 'cat /proc/sys/kernel/random/uuid >"$out"')
    file = m.temporary_directory() / "default.nix"
    file.write_text(run_hatch("impure = true;"))
    command = ["nix", "build", "--file", file, "--no-link", "--json"]
    said = [pathlib.Path(json.loads(m.run(command, user="alice").ok().stdout)[0]["outputs"]["out"]).read_text() for _ in range(2)]
    check(said[0] != said[1], f"both times the builder said {said[0]}")


def test_an_output_that_is_known_before_is_what_was_expected_or_fails(m):
    set_up(m, 'mkdir "$out"; echo "$1" >"$out/file"')
    expected = m.temporary_directory() / "expected"
    expected.mkdir()
    (expected / "file").write_text("right\n")
    digest = m.run(["nix-hash", "--type", "sha256", "--base32", expected]).ok().stdout.strip()
    for word in ("wrong", "right"):
        built = m.nix_build(run_hatch(f'args = [ "{word}" ]; outputHashMode = "recursive"; outputHashAlgo = "sha256"; '
                                      f'outputHash = "{digest}";', "known"))
        check_equal(built.code == 0, word == "right", f"success with {word}")
        check(word == "right" or "hash mismatch" in built.stderr, built.stderr)


def test_the_predecessors_function_builds_and_warns(m):
    set_up(m, 'mkdir "$out"; touch "$out/$1"')
    built = m.nix_build(f'(import {LIB} {{ }}).makeEscapeHatchRunner "make" {{ requiredSystemFeatures = [ "hatch-make" ]; '
                        f'derivationArgs.unique = "{time.time_ns()}"; }} "test-foo" [ "foo" ]').ok()
    check((pathlib.Path(built.lines()[-1]) / "foo").exists(), "there is no foo")
    check_in("makeEscapeHatchRunner is runHatch now", built.stderr, "warning")
