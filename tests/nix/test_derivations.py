#!/usr/bin/env python3
"""nixos/lib.nix: what derivations it makes, as Nix writes them down, and those of the examples. Nothing is built."""

import fnmatch
import json
import math
import pathlib
import re
import subprocess
import sys

import runner
import system
from runner import WORK, c_table, check, check_equal
from system import TOP, nix_instantiate

HATCH = f"import {TOP}/nixos/lib.nix {{ }}"
HASH = "0000000000000000000000000000000000000000000000000000"


def instantiate(expression, *options):
    """The derivation that an expression of hatch is."""
    return system.derivation(WORK, *options, "--expr", f"let hatch = {HATCH}; in {expression}")


def run_hatch(arguments, *options):
    return instantiate(f'hatch.runHatch {{ builder = "b"; name = "n"; {arguments} }}', *options)


def value_of(expression):
    return json.loads(nix_instantiate("--eval", "--strict", "--json", "--store", "dummy://", "--expr",
                                      f"let hatch = {HATCH}; in {expression}"))


# --- runHatch ---

def test_arguments_and_variables_stay_exact():
    words = ["", "a b", "'\"", "$x ${y}", "line\nbreak", "--dash", "\\"]
    text = json.dumps(words).replace("${", "\\${").replace('", "', '" "').replace("[", "[ ").replace("]", " ]")
    made = run_hatch(f"args = {text}; env = {{ A = \"b c\"; N = 3; }}; timeout = 60;")
    check_equal(made["builder"], "/bin/hatch", "builder")
    check_equal(made["args"], ["run"], "arguments of the client")
    check_equal(made["attributes"]["hatch"],
                {"builder": "b", "args": words, "env": {"A": "b c", "N": "3"}, "timeout": 60}, "what is asked for")


def test_a_request_says_only_what_is_given():
    check_equal(run_hatch("")["attributes"]["hatch"], {"builder": "b", "args": [], "env": {}}, "what is asked for")
    made = run_hatch('meta.description = "d"; passthru.x = 1; feature = "f"; contentAddressed = false; impure = false;')["attributes"]
    unknown = set(made) - {"builder", "hatch", "name", "outputs", "requiredSystemFeatures", "system"}
    check(not unknown, f"the derivation has {unknown}")


def test_a_request_says_all_that_the_client_reads():
    made = run_hatch('args = [ "a" ]; env.A = "b"; inputs.a = "b"; timeout = 1; heartbeat = 1; undeclaredReferences = "warn";')
    # A derivation that is to be the same each time has no use for a mark of its own.
    known = c_table("lib/wire/attrs.c", "hatch_members") - {"request_id"}
    check_equal(set(made["attributes"]["hatch"]), known, "what is asked for")


def test_paths_and_derivations_become_inputs():
    source = pathlib.Path(WORK, "source.txt")
    source.write_text("source\n")
    dep = '(derivation { name = "dep"; system = "s"; builder = "x"; })'
    for arguments, found in ((f"args = [ {source} {dep} ];", lambda hatch: hatch["args"]),
                             (f"env = {{ A = {source}; B = {dep}; }};", lambda hatch: [*hatch["env"].values()]),
                             (f"inputs = {{ a = {source}; b = {dep}; }};", lambda hatch: [*hatch["inputs"].values()])):
        made = run_hatch(arguments)
        check(len(made["sources"]) == 1 and made["sources"][0].endswith("-source.txt"), f"sources are {made['sources']}")
        check(len(made["drvs"]) == 1 and made["drvs"][0][0].endswith("-dep.drv"), f"derivations are {made['drvs']}")
        paths = found(made["attributes"]["hatch"])
        check_equal(paths[0], made["sources"][0], f"first of {arguments}")
        check(re.fullmatch(r"/nix/store/\w{32}-dep", paths[1]), f"second of {arguments} is {paths[1]}")


def test_an_input_may_be_a_part_of_a_store_path():
    source = pathlib.Path(WORK, "tree")
    source.mkdir(exist_ok=True)
    made = run_hatch(f'inputs.rtl = "${{{source}}}/rtl";')
    check_equal(made["attributes"]["hatch"]["inputs"], {"rtl": made["sources"][0] + "/rtl"}, "inputs")


def test_a_derivation_requires_the_feature_of_its_builder():
    for given, features in (("", ["hatch-b"]), ('requiredSystemFeatures = [ "kvm" ];', ["hatch-b", "kvm"]),
                            ('requiredSystemFeatures = [ "kvm" "hatch-b" ];', ["kvm", "hatch-b"]),
                            ('feature = "lab";', ["lab"]), ("feature = null;", [])):
        check_equal(run_hatch(given)["attributes"]["requiredSystemFeatures"], features, f"features with {given!r}")


def test_a_derivation_has_the_outputs_asked_for():
    made = run_hatch('outputs = [ "out" "reports" ];')
    check_equal([o[0] for o in made["outputs"]], ["out", "reports"], "outputs")


def test_other_attributes_are_passed_on_where_it_is_meant():
    made = run_hatch('system = "s"; preferLocalBuild = true; outputChecks.out.allowedReferences = [ ]; derivationArgs.more = 1;')
    check_equal(made["attributes"]["more"], 1, "derivationArgs")
    try:
        check(False, f"an unknown argument was taken: {value_of(request('arg = [ ];'))}")
    except RuntimeError as error:
        check("unexpected argument 'arg'" in str(error), f"it said {error}")
    check_equal(made["system"], "s", "system")
    check_equal(made["attributes"]["preferLocalBuild"], True, "preferLocalBuild")
    check_equal(made["attributes"]["outputChecks"], {"out": {"allowedReferences": []}}, "outputChecks")


def test_an_output_may_be_known_before():
    made = run_hatch(f'outputHashMode = "recursive"; outputHashAlgo = "sha256"; outputHash = "{HASH}";')
    check_equal(made["outputs"][0][2:], ("r:sha256", "0" * 64), "hash of the output")


def test_an_output_may_be_content_addressed_or_impure():
    for kind, mark in (("contentAddressed", ""), ("impure", "impure")):
        for given, hashed in (("", "r:sha256"), ('outputHashMode = "flat"; outputHashAlgo = "sha512";', "sha512")):
            made = run_hatch(f"{kind} = true; {given}", "--option", "experimental-features", "ca-derivations impure-derivations")
            check_equal(made["outputs"], [("out", "", hashed, mark)], f"output with {kind} {given}")


def test_what_is_for_readers_is_no_part_of_the_derivation():
    plain = value_of('(hatch.runHatch { builder = "b"; name = "n"; outputs = [ "out" "dev" ]; }).drvPath')
    one = 'hatch.runHatch { builder = "b"; name = "n"; outputs = [ "out" "dev" ]; meta.description = "d"; passthru.tests = 1; }'
    made = value_of(f'let d = {one}; in map (o: [ o.meta o.tests o.passthru o.drvPath o.type o.outputName '
                    '"${o}" (map (x: x.outputName) o.all) o.dev.outputSpecified ]) [ d d.out d.dev d.out.dev.out ]')
    out, dev = made[0][6], made[2][6]
    check(out.endswith("-n") and dev.endswith("-n-dev"), f"paths are {out} and {dev}")
    check_equal(made, [[{"description": "d"}, 1, {"tests": 1}, plain, "derivation", output, path, ["out", "dev"], True]
                       for output, path in (("out", out), ("out", out), ("dev", dev), ("out", out))], "attributes")


def c_number(name, file="lib/wire/message.h"):
    """Of an enum."""
    text = re.search(rf"^\t{name} = ([0-9 *]+),", (TOP / file).read_text(), re.MULTILINE)[1]
    return math.prod(int(factor) for factor in text.split("*"))


def c_patterns(table):
    """Names, or beginnings of names that end in *, in a table of hatchd."""
    text = (TOP / "hatchd/config/environment.c").read_text()
    return re.findall(r'\{ "([^"]+)",', re.search(rf"{table}\[\] = \{{(.*?)\n\}};", text, re.DOTALL)[1])


SECONDS = {"timeout": c_number("WIRE_TIMEOUT_SEC_MAX"), "heartbeat": c_number("WIRE_HEARTBEAT_SEC_MAX")}
WORD = c_number("ARGUMENT_MAX", "hatchd/request/words.c")
PATH = c_number("WIRE_PATH_MAX")
FEATURE = c_number("DERIVATION_FEATURE_MAX", "lib/derivation/derivation.h")


def several(what, n):
    """So many of them."""
    return {"args": f"args = builtins.genList toString {n};",
            "outputs": f'outputs = builtins.genList (i: "o${{toString i}}") {n};'}.get(
        what, f'{what} = builtins.listToAttrs (builtins.genList (i: {{ name = "n${{toString i}}"; value = "/x"; }}) {n});')


def text(n):
    return f'(builtins.substring 0 {n} (builtins.concatStringsSep "" (builtins.genList (_: "0123456789abcdef") {n // 16 + 1})))'


def long_request(spare):
    """As long as a request may be, but for some bytes of its last argument."""
    around = len('{"args":[""],"builder":"b","env":{}}')
    n, rest = divmod(c_number("WIRE_REQUEST_MAX") - around, 100000 + len('"",'))
    return f"args = builtins.genList (_: {text(100000)}) {n} ++ [ {text(rest - spare)} ];"


# What is wrong, and what is said: a line at least for each.
REFUSED = [
    *((f'builder = "{name}";', f'"{name}" is no name of a builder') for name in ("Upper", ".hidden", "a/b", "x" * 65, "")),
    *((f'env."{name}" = "";', f'"{name}" is no name of a variable') for name in ("1A", "A-B", "A=", "", "x" * 129)),
    *((f'env.{name.replace("*", "X")} = "";', f'"{name.replace("*", "X")}" is a variable that hatch itself sets')
      for name in c_patterns("fixed")),
    *((f'env.{name.replace("*", "X")} = "";', f'"{name.replace("*", "X")}" is a variable that no builder takes of a client')
      for name in c_patterns("dangerous")),
    ('outputs = [ "out" "dev" "out" ];', '"out" is there twice among the outputs'),
    ('outputs = [ "out" "dev" ]; env.dev = "";', '"dev" is a variable and an output'),
    *((f'inputs."{name}" = "/x";', f'"{name}" is no name of an input') for name in (".", "-a", "a/b", "", "x" * 65)),
    *((f'outputs = [ "{name}" ];', f'"{name}" is no name of an output') for name in ("PATH", "1", "", "a.b", "x" * 65, "outputs")),
    ("outputs = [ ];", "there is no output"),
    *((several(what, c_number(limit) + 1), f"{c_number(limit) + 1} {what} are more than {c_number(limit)}")
      for what, limit in (("args", "WIRE_ARGS_MAX"), ("env", "WIRE_ENV_MAX"), ("inputs", "WIRE_INPUTS_MAX"), ("outputs", "WIRE_OUTPUTS_MAX"))),
    *((given.format(f'"{name}"'), f'"{name}" is no name of a feature')
      for given in ("feature = {};", "requiredSystemFeatures = [ {} ];") for name in ("", "a b", "x" * (FEATURE + 1))),
    *((f"{what} = {value};", f"{what} is a whole number of seconds from 1 to {most}, or null")
      for what, most in SECONDS.items() for value in ("0", "(-1)", "1.5", '"60"', most + 1)),
    ('undeclaredReferences = "refuse";', 'undeclaredReferences is "ignore", "warn" or "fail", or null'),
    *((f"{kinds}", "only one of outputHash, contentAddressed and impure can be given")
      for kinds in ("contentAddressed = true; impure = true;", f'impure = true; outputHash = "{HASH}";')),
    *((f"derivationArgs.{name} = null;", f'"{name}" is not for derivationArgs: runHatch sets it')
      for name in ("args", "builder", "hatch", "requiredSystemFeatures", "outputHash", "__impure", "__structuredAttrs", "system")),
    *((f"{name} = {value};", f"{name} must be {shape}") for name, value, shape in (
        ("args", '"a"', "a list"), ("env", "[ ]", "a set"), ("inputs", "[ ]", "a set"), ("outputs", '"out"', "a list of text"),
        ("outputs", "[ 1 ]", "a list of text"), ("feature", '[ "a" ]', "text, or null"), ("requiredSystemFeatures", '"kvm"', "a list of text"),
        ("contentAddressed", "1", "true or false"), ("impure", "null", "true or false"), ("derivationArgs", "[ ]", "a set"),
        ("builder", "1", "text"), ("system", "null", "text"))),
    *((f"{what} = {value};", f"{said} is a {kind}; expected text, a whole number, a path or a derivation")
      for what, value, said, kind in (("args", '[ "a" true ]', "argument 2", "bool"), ("args", "[ [ ] ]", "argument 1", "list"),
                                      ("args", "[ { } ]", "argument 1", "set"), ("env.A", "1.5", "env.A", "float"), ("inputs.a", "null", "inputs.a", "null"))),
    (f"args = [ {text(WORD + 1)} ];", f"argument 1 is longer than {WORD} bytes"),
    (f"env.ABC = {text(WORD - 3)};", f"env.ABC is longer than {WORD - 4} bytes"),
    (f"inputs.a = {text(PATH + 1)};", f"inputs.a is longer than {PATH} bytes"),
    ('inputs.a = "";', "inputs.a is empty"),
    (long_request(-1), f"arguments, variables and inputs are longer than {c_number('WIRE_REQUEST_MAX')} bytes"),
]
TAKEN = [
    f'builder = "{"x" * 64}";', 'builder = "0a._-";', f'env."{"x" * 128}" = "";', f'inputs."{"x" * 64}" = "/x";', 'inputs."_a.b-c" = "/x";',
    f'outputs = [ "a{"B" * 63}" "b_-9" ];', 'env.HATCHED = "";', 'env.outputs2 = "";', 'env.HOMER = "";', 'env.MY_PATH = "";', 'env.LD = "";', "feature = null;",
    *(several(what, c_number(limit))
      for what, limit in (("args", "WIRE_ARGS_MAX"), ("env", "WIRE_ENV_MAX"), ("inputs", "WIRE_INPUTS_MAX"), ("outputs", "WIRE_OUTPUTS_MAX"))),
    f'feature = "{"x" * FEATURE}";',
    *(f"{what} = {value};" for what, most in SECONDS.items() for value in (1, most, "null")),
    *(f'undeclaredReferences = "{word}";' for word in ("ignore", "warn", "fail")),
    f"args = [ {text(WORD)} ];", f"env.ABC = {text(WORD - 4)};", f"inputs.a = {text(PATH)};", long_request(0),
    'args = [ { outPath = "/x"; } { __toString = _: "y"; } ];',
]


def request(given):
    return f'(hatch.runHatch ({{ builder = "b"; name = "some-name"; }} // {{ {given} }})).drvPath'


def check_throws(expression, word):
    try:
        check(False, f"{expression} was taken: {value_of(expression)}")
    except RuntimeError as error:
        check(word in str(error), f"of {expression} it said {error}")


def test_what_is_wrong_is_said_when_it_is_evaluated():
    for given, word in REFUSED:
        check_throws(request(given), f"runHatch: some-name: {word}")
    check_throws(request('builder = "A"; timeout = 0;'), '"A" is no name of a builder; timeout is')
    check_throws('hatch.forStdenv "Bad Name" { }', 'forStdenv: "Bad Name" is no name of a builder')
    check_throws("hatch.forStdenv 3 { }", "forStdenv: builder must be text")
    check_throws('hatch.forStdenv "b" [ ]', "forStdenv: what is changed must be a set or a function")


def test_what_is_right_at_the_borders_is_taken():
    for given in TAKEN:
        value_of(request(given))


def test_names_match_what_the_client_matches():
    ours = dict(re.findall(r'^    (\w+) = "(.*)";$', (TOP / "nixos/lib.nix").read_text(), re.MULTILINE))
    source = "".join(file.read_text() for file in sorted((TOP / "lib/wire").glob("*.[ch]")))
    for name, macro in (("builder", "NAME"), ("output", "OUTPUT"), ("input", "INPUT")):
        check_equal(ours[name], re.search(rf'^#define IS_{macro} .*\.pattern = "(.*)"$', source, re.MULTILINE)[1], f"pattern of {macro}")
    check(f'"{ours["variable"]}"' in source, "pattern of variables")


def test_variables_that_no_builder_takes_are_those_that_no_definition_may_accept():
    ours = re.search(r"dangerous = .*?\[$(.*?)\]\);", (TOP / "nixos/lib.nix").read_text(), re.DOTALL | re.MULTILINE)[1]
    check_equal(re.findall(r'"(.*)"', ours), c_patterns("dangerous"), "names")


def test_a_name_and_what_is_for_readers_wait_for_nothing():
    lazy = f'(hatch.runHatch {{ builder = "b"; name = "n"; args = [ (throw "built") ]; meta.x = 1; }})'
    check_equal(value_of(f"[ {lazy}.name {lazy}.meta.x ]"), ["n", 1], "values")


def test_pure_evaluation_is_told_to_name_a_system():
    # Pure evaluation would not read this file either: only what it lacks is taken away.
    hidden = f"scopedImport {{ builtins = removeAttrs builtins [ \"currentSystem\" ]; }} {TOP}/nixos/lib.nix"
    try:
        value_of(f'(({hidden} {{ }}).runHatch {{ builder = "b"; name = "n"; }}).outPath')
        check(False, "there is a system")
    except RuntimeError as error:
        check("name one: system" in str(error), f"it said {error}")
    for where in ('{ system = "s"; }).runHatch { ', '{ }).runHatch { system = "s"; '):
        value_of(f'(({hidden} {where} builder = "b"; name = "n"; }}).outPath')


def test_page_lists_the_arguments():
    page = (TOP / "docs/nix.md").read_text().split("### runHatch")[1].split("\n### ")[0]
    documented = {name for line in page.splitlines() if line.startswith("| `") for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    check_equal(documented, set(value_of("builtins.attrNames (builtins.functionArgs hatch.runHatch)")), "arguments in docs/nix.md")
    library = (TOP / "nixos/lib.nix").read_text().replace("featureOf builder", '"hatch-${builder}"')
    for name, default in re.findall(r"^\| `(\w+)` \| `([^`]*)` \|", page, re.MULTILINE):
        check(f"{name} ? {default}" in library, f"{default} is not the default of {name}")


def test_derivations_that_the_documents_show_are_right():
    for file in ("README.md", "docs/nix.md"):
        text = (TOP / file).read_text()
        [block] = re.findall(r"^ *hatch\.runHatch \{\n.*?^ *\}\n", text, re.DOTALL | re.MULTILINE)
        made = instantiate(block.replace("./rtl", str(TOP / "examples/fpga/rtl")))
        check_equal(made["attributes"]["hatch"]["inputs"], {"rtl": made["sources"][0]}, f"inputs in {file}")
        # What the function is called of.
        check("hatch = import ./nixos/lib.nix { };" in text, f"{file} does not say where it comes from")
    [block] = re.findall(r"^stdenv\.mkDerivation \((hatch\.forStdenv .*?^\})\)", text, re.DOTALL | re.MULTILINE)
    check_equal(value_of(block)["requiredSystemFeatures"], ["hatch-sign"], "feature of a phase")


def test_the_derivation_that_the_manual_shows_requires_the_feature_of_its_builder():
    [block] = re.findall(r"^derivation \{\n.*?^\}\n", (TOP / "docs/man/hatch.1").read_text(), re.DOTALL | re.MULTILINE)
    shown = value_of(re.sub("^derivation", "", block))
    check_equal(shown["requiredSystemFeatures"], [f"hatch-{shown['args'][1]}"], "features")


def test_the_document_for_the_predecessor_s_users_shows_the_same_derivation_twice():
    [block] = re.findall(r"^```nix\n(makeEscapeHatchRunner .*?)```", (TOP / "docs/migration.md").read_text(), re.DOTALL | re.MULTILINE)
    before, now = (instantiate(f"hatch.{line.split('#')[0]}") for line in block.strip().split("\n"))
    check_equal(before, now, "what both make")
    check_equal(now["attributes"]["requiredSystemFeatures"], ["hatch-test"], "features")


# --- examples ---

def test_derivations_of_the_examples_are_what_is_written_down():
    made = dict(system.example_derivations())
    check_equal(sorted((TOP / "tests/nix/examples").iterdir()), sorted(made), "files")
    for file, text in made.items():
        check(file.read_text() == text, f"{file.name} is not what Nix makes; look at what tests/nix/system.py --write changes")


def test_each_example_asks_for_what_its_definition_allows():
    for file in sorted((TOP / "examples").glob("*/*.json")):
        if file.name == "hatchd.json":
            continue
        allowed = json.loads(file.read_text())
        made = system.derivation(WORK, file.parent / "default.nix")["attributes"]
        features = made["requiredSystemFeatures"]
        check_equal(features if isinstance(features, list) else features.split(), allowed["allow"]["features"], f"features of {file}")
        for pattern in allowed["allow"].get("derivations", ["*"]):
            check(fnmatch.fnmatchcase(made["name"], pattern), f"{file} does not allow {made['name']}")
        request = made.get("hatch", {"args": [], "env": {}})
        check(len(request["args"]) <= allowed.get("args", {}).get("max", 0), f"{file} does not allow {request['args']}")
        for word in request["args"]:
            check(any(re.fullmatch(pattern, word) for pattern in allowed["args"]["match"]), f"{file} does not allow {word}")
        check(set(request["env"]) <= set(allowed.get("environment", {}).get("accept", [])), f"{file} does not allow {request['env']}")
        check("inputs" not in request or allowed["inputs"], f"{file} takes no inputs")


# --- forStdenv, makeEscapeHatchRunner ---

def test_an_ordinary_derivation_gets_the_feature():
    for expression, expected in (
            ('hatch.forStdenv "sign" { name = "n"; }', {"name": "n", "requiredSystemFeatures": ["hatch-sign"]}),
            ('hatch.forStdenv "sign" { requiredSystemFeatures = [ "kvm" ]; }', {"requiredSystemFeatures": ["hatch-sign", "kvm"]}),
            ('hatch.forStdenv "a" (hatch.forStdenv "b" { })', {"requiredSystemFeatures": ["hatch-a", "hatch-b"]}),
            ('hatch.forStdenv "a" (final: { name = final.x; }) { x = "n"; }', {"name": "n", "requiredSystemFeatures": ["hatch-a"]})):
        check_equal(value_of(expression), expected, expression)


def test_the_predecessors_function_makes_the_same_derivation_and_warns():
    expression = ('with hatch; [ (makeEscapeHatchRunner "b" { requiredSystemFeatures = [ "mine" ]; system = "s"; } "n" [ "foo" ]).drvPath'
                  '  (runHatch { builder = "b"; requiredSystemFeatures = [ "mine" ]; system = "s"; name = "n"; args = [ "foo" ]; }).drvPath ]')
    run = subprocess.run(["nix-instantiate", "--eval", "--strict", "--json", "--store", "dummy://", "--expr",
                          f"let hatch = {HATCH}; in {expression}"], capture_output=True, text=True, check=True)
    old, new = json.loads(run.stdout)
    check_equal(old, new, "derivation")
    check('evaluation warning: makeEscapeHatchRunner is runHatch now; say runHatch { builder = "b"; name = "n"' in run.stderr,
          f"it warned {run.stderr}")


if __name__ == "__main__":
    sys.exit(runner.run(globals()))
