#!/usr/bin/env python3
"""flake.nix and nixos/ without nixpkgs: every file is parsed, the module and the flake are evaluated with a small lib
of our own (minilib.nix) and stubs, and runHatch is instantiated. Needs only nix-instantiate, which is in Debian's
package nix-bin; nothing is built and no daemon is asked. Where NIX_PATH has nixpkgs, its lib is used.

    HATCHCTL   the built hatchctl, which then checks the definitions that the module writes; may be unset
"""

import ast
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
HATCHCTL = os.environ.get("HATCHCTL")


class Skip(Exception):
    """The test cannot be made here; says why."""


def check(condition, why):
    if not condition:
        raise AssertionError(why)


def check_equal(got, expected, what):
    check(got == expected, f"{what} is {got!r}, expected {expected!r}")


def nix_instantiate(*words):
    """Standard output, or an error with what it said."""
    # Its warnings about this machine's accounts are not ours.
    env = dict(os.environ, HOME=work, NIX_CONFIG="build-users-group =", NIX_PATH=os.environ.get("NIX_PATH", ""))
    run = subprocess.run(["nix-instantiate", *map(str, words)], env=env, capture_output=True, text=True)
    if run.returncode != 0:
        raise RuntimeError(run.stderr.strip())
    return run.stdout


def evaluate(expression):
    return json.loads(nix_instantiate("--eval", "--strict", "--json", "--store", "dummy://", "--expr", expression))


def machine(conf):
    """What the module makes of a configuration, given as Nix text."""
    file = pathlib.Path(work, "conf.nix")
    file.write_text(conf)
    return evaluate(f"import {HERE}/machine.nix {{ conf = {file}; }}")


def options():
    """All options of the module, as for the manual of NixOS."""
    return evaluate(f"import {HERE}/options.nix")


def check_refused(conf, word):
    """The configuration must end in an error, or in an assertion that does not hold, which says the word."""
    try:
        said = "\n".join(machine(conf)["failed"])
    except RuntimeError as error:
        said = str(error)
    check(word in said, f"the module said {said!r}, expected something with {word!r}")


def with_builder(definition, name="b"):
    return f'{{ services.hatch = {{ enable = true; builders."{name}" = {definition}; }}; }}'


def instantiate(expression):
    """The derivation that an expression is: outputs, inputs and so on as in the .drv file."""
    path = nix_instantiate("--store", work, "--expr", expression).strip()
    text = pathlib.Path(work + path).read_text()
    # ATerm: lists, tuples and strings are written as in Python.
    outputs, drvs, sources, system, builder, args, env = ast.literal_eval(text.removeprefix("Derive"))
    return {"outputs": outputs, "drvs": drvs, "sources": sources, "system": system, "builder": builder, "args": args,
            "attributes": json.loads(dict(env)["__json"])}


def run_hatch(arguments):
    return instantiate(f'import {TOP}/nixos/run-hatch.nix {{ builder = "b"; name = "n"; {arguments} }}')


def c_table(file, name):
    """Keys in a table of C: static const struct member NAME[] = { { "key", ... }, ... };"""
    text = (TOP / file).read_text()
    found = re.search(rf"static const struct member {name}\[\] = \{{(.*?)\n\}};", text, re.DOTALL)
    check(found, f"no table {name} in {file}")
    keys = re.findall(r'\{ "([a-z_]+)",', found.group(1))
    check(keys, f"no key in the table {name} of {file}")
    return set(keys)


# --- all of it ---

def test_every_nix_file_parses():
    files = []
    for folder, below, names in os.walk(TOP):
        # Caches and build directories; whole Debian trees lie there.
        below[:] = [b for b in below if not b.startswith((".", "build"))]
        files += [pathlib.Path(folder, n) for n in names if n.endswith(".nix")]
    check(TOP / "flake.nix" in files and len(files) > 8, f"only {len(files)} files found below {TOP}")
    for file in files:
        nix_instantiate("--parse", "--store", "dummy://", file)


# --- the module ---

def test_module_names_pasta_where_a_builder_needs_it_and_takes_other_settings():
    made = machine("""{ services.hatch = { enable = true; settings.range_base = 1879048192; builders = {
        one = { command = [ "/bin/true" ]; network = "host"; };
        two = { command = [ "/bin/true" ]; network.private.tcp = [ "127.0.0.1:2100" ]; };
    }; }; }""")
    config = json.loads(made["etc"]["hatch/hatchd.json"])
    check_equal(config["range_base"], 1879048192, "range_base")
    check(config["pasta"].endswith("/bin/pasta"), f"pasta is {config['pasta']}")


def test_module_writes_one_file_for_each_builder():
    made = machine("""{ services.hatch = { enable = true; builders = {
        one = { command = [ "/bin/sh" "-c" ]; limits = { silence_sec = 5; }; };
        two = { command = [ "/bin/true" ]; allow.groups = [ "nixbld" ]; };
    }; }; }""")
    check_equal(made["failed"], [], "failed assertions")
    check_equal(sorted(made["etc"]), ["hatch/builders.d/one.json", "hatch/builders.d/two.json", "hatch/hatchd.json"],
                "files")
    check_equal(json.loads(made["etc"]["hatch/builders.d/one.json"]),
                {"command": ["/bin/sh", "-c"], "limits": {"silence_sec": 5}}, "definition of one")
    check_equal(json.loads(made["etc"]["hatch/hatchd.json"]), {"build_users_group": "hatchbld"}, "hatchd.json")


def test_module_takes_the_units_of_the_package():
    made = machine("{ services.hatch.enable = true; }")
    for packages in (made["systemd"]["packages"], made["systemd"]["tmpfiles"]["packages"]):
        check(len(packages) == 1 and packages[0].endswith("-hatchd"), f"packages are {packages}")
    check_equal(made["systemd"]["sockets"], {"hatchd": {"wantedBy": ["sockets.target"]}}, "sockets")


def test_module_lets_a_switch_not_end_requests():
    made = machine("{ services.hatch.enable = true; }")
    check_equal(made["systemd"]["services"], {"hatchd@": {"restartIfChanged": False, "stopIfChanged": False}},
                "services")


def test_module_makes_build_users_that_the_groups_entry_lists():
    users = machine('{ services.hatch = { enable = true; buildUsers = { count = 3; group = "bld"; }; }; }')["users"]
    check_equal(sorted(users["groups"]), ["bld", "hatch"], "groups")
    check_equal(sorted(users["users"]), ["bld1", "bld2", "bld3", "hatch"], "users")
    for name, user in users["users"].items():
        check(user["isSystemUser"], f"{name} is no system user")
        check_equal(user["group"], "hatch" if name == "hatch" else "bld", f"group of {name}")
        check_equal(user.get("extraGroups"), None if name == "hatch" else ["bld"], f"extra groups of {name}")


def test_module_shows_builds_paths_that_may_be_absent():
    settings = machine("{ services.hatch.enable = true; }")["nix"]["settings"]
    paths = settings["extra-sandbox-paths"]
    check_equal(paths[0], "/run/hatch=/run/hatch/s?", "path of the socket")
    check(re.fullmatch(r"/bin/hatch=/nix/store/\S+-hatchd-client/bin/hatch\?", paths[1]), f"client is {paths[1]}")
    check_equal(sorted(settings), ["extra-sandbox-paths", "sandbox"], "settings of Nix")


def test_module_shows_nothing_if_not_told_to():
    made = machine("{ services.hatch = { enable = true; exposeToNix = false; }; }")
    check_equal(made["nix"]["settings"], {"sandbox": True}, "settings of Nix")


def test_module_warns_where_there_is_no_sandbox():
    made = machine("{ lib, ... }: { services.hatch.enable = true; nix.settings.sandbox = lib.mkForce false; }")
    check(len(made["warnings"]) == 1, f"warnings are {made['warnings']}")


def test_module_does_nothing_unless_enabled():
    off = machine("{ services.hatch.builders.b = { }; }")
    for what in ("failed", "etc", "systemPackages", "warnings"):
        check(not off[what], f"{what}: {off[what]}")
    check_equal(off["users"], {"groups": {}, "users": {}}, "users")


def test_module_refuses_a_misspelt_option():
    check_refused("{ services.hatch = { enable = true; buildUser.count = 1; }; }", "buildUser")


def test_module_refuses_no_build_users_at_all():
    check_refused("{ services.hatch = { enable = true; buildUsers.count = 0; }; }", "between 1 and 1024")


def test_module_refuses_a_builder_without_a_command():
    check_refused(with_builder("{ }"), "services.hatch.builders.b has no command")


def test_module_refuses_a_name_that_is_none():
    for name in ("Upper", ".hidden", "a/b", "x" * 65, ""):
        check_refused(with_builder('{ command = [ "/bin/sh" ]; }', name), "no name of a builder")
    made = machine(with_builder('{ command = [ "/bin/sh" ]; }', "a" * 64))
    check_equal(made["failed"], [], "failed assertions for the longest name")


def test_module_refuses_keys_that_the_server_does_not_know():
    check_refused(with_builder('{ command = [ "/bin/sh" ]; netwrok = "host"; }'), "builders.b.netwrok' does not exist")
    check_refused(with_builder('{ command = [ "/bin/sh" ]; limits.memroy = "1G"; }'),
                  "builders.b.limits.memroy' does not exist")


def test_module_refuses_values_of_the_wrong_type():
    for key, value in (("command", "[ ]"), ("command", '"/bin/sh"'), ("network", '"hosts"'), ("seccomp", '[ "@none" ]'),
                       ("limits.memory", '"1GB"'), ("limits.grace_sec", "301"), ("view.read", '[ "relative" ]'),
                       ("allow.sockets", "[ ]"), ("uid_map", "true"), ("view.tmpfs", '[ { at = "/x"; sice = "1M"; } ]')):
        try:
            said = machine(with_builder(f"{{ {key} = {value}; }}"))["failed"]
        except RuntimeError as error:
            check(f"builders.b.{key}" in str(error), f"of {key} = {value} the module said {error}")
        else:
            check(False, f"{key} = {value} was taken; assertions: {said}")


# The tables of the server whose keys are the options of a group; "" is the definition itself.
KEYS = {
    "": ("builder", "builder"), "allow": ("allow", "allow"), "args": ("words", "args"), "environment": ("words", "environment"),
    "before": ("hooks", "hook"), "after": ("hooks", "hook"), "root": ("root", "root"), "view": ("view", "view"),
    "limits": ("limits", "limits"), "limits.rlimits": ("limits", "rlimits"), "allow.uid_ranges.*": ("allow", "range"),
    "limits.time_sec": ("limits", "time"), "view.read.*": ("view", "bind"), "view.write.*": ("view", "bind"),
    "view.devices.*": ("view", "device"), "view.tmpfs.*": ("view", "tmpfs"), "view.overlay.*": ("overlay", "overlay"),
}


def test_options_are_exactly_the_keys_of_the_server():
    names = [o["name"] for o in options() if o["name"].startswith("services.hatch.builders.<name>.")]
    names = [name.removeprefix("services.hatch.builders.<name>.") for name in names]
    for group, (file, table) in KEYS.items():
        prefix = f"{group}." if group else ""
        inside = {name.removeprefix(prefix).split(".")[0] for name in names if name.startswith(prefix)} - {"*"}
        check_equal(inside, c_table(f"hatchd/config/{file}.c", f"{table}_members"), f"options of {group or 'a builder'}")


def test_server_takes_what_the_module_writes():
    if not HATCHCTL:
        raise Skip("HATCHCTL is not set: nothing was built")
    made = machine("""{ services.hatch = { enable = true; builders.all = {
        description = "every key there is";
        command = [ "/bin/sh" "-c" "exit 0" ];
        allow = { users = [ "root" ]; uid_ranges = [ { first = 1000; last = 1999; } ]; derivations = [ "hello-*" ];
                  sockets = [ "hatch" ]; };
        args = { max = 2; match = [ "[a-z]+" ]; dash = true; };
        environment = { set.A = "1"; accept = [ "B" ]; };
        groups = [ ];
        network = "host";
        credentials = [ "key" ];
        credentials_scan = false;
        view = { base = "minimal"; read = [ "/etc/passwd" { path = "/etc/group"; at = "/groups"; optional = true; } ];
                 write = [ ]; tmpfs = [ { at = "/cache"; size = "1M"; } ]; hide = [ "/usr/share/doc" ]; devices = [ { path = "/dev/hatch-none"; optional = true; } ];
                 overlay = [ { at = "/sysroot"; lower = [ "/usr" ]; top = "tmpfs"; size = "1M"; } ]; };
        limits = { time_sec = { default = 5; max = 10; }; silence_sec = 1; grace_sec = 1; log = "1M"; output = 1024;
                   output_entries = 10; memory = "2G"; memory_high = "1G"; swap = 0; cpus = 1.5; tasks = 100; io_weight = 50; scratch = "1G";
                   rlimits = { nofile = 64; stack = { soft = "1M"; hard = "unlimited"; }; }; };
        limits_optional = true; scratch_on = "tmpfs";
    }; }; }""")
    check_equal(made["failed"], [], "failed assertions")
    # Beside the program, because root does not trust files in /tmp.
    with tempfile.TemporaryDirectory(dir=pathlib.Path(HATCHCTL).resolve().parent) as directory:
        for name, text in made["etc"].items():
            file = pathlib.Path(directory) / pathlib.Path(name).relative_to("hatch")
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        run = subprocess.run([HATCHCTL, "--unprivileged", "--config", directory, "check"],
                             capture_output=True, text=True)
    check(run.returncode == 0, run.stderr.strip())
    check("1 builder" in run.stdout, f"hatchctl said {run.stdout!r}")


# --- derivations ---

def test_run_hatch_keeps_arguments_and_variables_exact():
    words = ["", "a b", "'\"", "$x ${y}", "line\nbreak", "--dash", "\\"]
    text = json.dumps(words).replace("${", "\\${").replace('", "', '" "').replace("[", "[ ").replace("]", " ]")
    made = run_hatch(f"args = {text}; env = {{ A = \"b c\"; N = 3; }}; timeout = 60;")
    check_equal(made["builder"], "/bin/hatch", "builder")
    check_equal(made["args"], ["run"], "arguments of the client")
    check_equal(made["attributes"]["hatch"],
                {"builder": "b", "args": words, "env": {"A": "b c", "N": "3"}, "timeout": 60}, "what is asked for")


def test_run_hatch_says_only_what_the_client_reads():
    made = run_hatch('args = [ "a" ]; env.A = "b"; timeout = 1;')
    unread = set(made["attributes"]["hatch"]) - c_table("lib/wire/message.c", "hatch_members")
    check(not unread, f"the client knows no {unread}")


def test_run_hatch_leaves_the_time_limit_to_the_builder():
    check("timeout" not in run_hatch("")["attributes"]["hatch"], "there is a timeout that nobody asked for")


def test_run_hatch_makes_paths_and_derivations_inputs():
    source = pathlib.Path(work, "source.txt")
    source.write_text("source\n")
    made = run_hatch(f'args = [ {source} ]; env.DEP = derivation {{ name = "dep"; system = "s"; builder = "x"; }};')
    check(len(made["sources"]) == 1 and made["sources"][0].endswith("-source.txt"), f"sources are {made['sources']}")
    check_equal(made["attributes"]["hatch"]["args"], made["sources"], "the argument")
    check(len(made["drvs"]) == 1 and made["drvs"][0][0].endswith("-dep.drv"), f"derivations are {made['drvs']}")


def test_run_hatch_has_the_outputs_asked_for():
    made = run_hatch('outputs = [ "out" "reports" ];')
    check_equal([o[0] for o in made["outputs"]], ["out", "reports"], "outputs")


def test_run_hatch_passes_other_attributes_on():
    made = run_hatch('system = "s"; requiredSystemFeatures = [ "hatch" ]; outputHashMode = "recursive"; '
                     'outputHashAlgo = "sha256"; outputHash = "0000000000000000000000000000000000000000000000000000";')
    check_equal(made["system"], "s", "system")
    check_equal(made["attributes"]["requiredSystemFeatures"], ["hatch"], "features")
    check_equal(made["outputs"][0][2], "r:sha256", "hash of the output")


# --- flake, package, machine test ---

def outputs():
    return evaluate(f"import {HERE}/outputs.nix")


def test_flake_offers_what_it_says():
    made = outputs()
    check_equal(made["names"], ["checks", "devShells", "formatter", "lib", "nixosModules", "overlays", "packages"],
                "outputs of the flake")
    check_equal(made["packages"]["x86_64-linux"], {"client": "hatchd-client", "default": "hatchd"}, "packages")
    check_equal(made["sockets"], {"hatchd": {"wantedBy": ["sockets.target"]}}, "sockets of its module")
    check(re.fullmatch(r"/nix/store/[0-9a-z]{32}-n", made["overlaid"]), f"runHatch of the overlay is {made['overlaid']}")


def test_package_has_the_version_of_meson_build():
    version = re.search(r"^  version: '([^']+)',$", (TOP / "meson.build").read_text(), re.MULTILINE).group(1)
    check_equal(outputs()["version"], version, "version of the package")


def test_package_depends_on_what_meson_build_needs():
    needed = set(re.findall(r"^\w+_dep = dependency\('([^']+)'", (TOP / "meson.build").read_text(), re.MULTILINE))
    names = {"libsystemd": "systemd", "libcjson": "cjson"}
    inputs = evaluate(f"builtins.attrNames (builtins.functionArgs (import {TOP}/nixos/package.nix))")
    missing = {names.get(n, n) for n in needed} - set(inputs)
    check(needed and not missing, f"the package lacks {missing}, of {needed}")


def test_machine_test_is_a_machine_the_module_takes():
    made = outputs()["test"]
    check_equal(made["failed"], [], "failed assertions")
    check("hatch/builders.d/greet.json" in made["etc"], f"files are {made['etc']}")
    check_equal(made["settings"]["substituters"], [], "substituters")
    compile(made["testScript"], "testScript", "exec")


def main():
    global work
    tests = [(n.removeprefix("test_"), f) for n, f in globals().items() if n.startswith("test_")]
    if not shutil.which("nix-instantiate"):
        for name, _ in tests:
            print(f"SKIP {name}: there is no nix-instantiate; it is in Debian's package nix-bin")
        return 0
    n_failed = 0
    with tempfile.TemporaryDirectory(prefix="hatch-nix-") as work:
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


work = None
sys.exit(main())
