#!/usr/bin/env python3
"""flake.nix and nixos/ without nixpkgs: every file is parsed, the module and the flake are evaluated with a small lib
of our own (minilib.nix) and stubs. Needs only nix-instantiate, which is in Debian's package nix-bin; nothing is built
and no daemon is asked. Where NIX_PATH has nixpkgs, its lib is used.

    HATCHD     the built hatchd, which then checks what the module writes; may be unset
"""

import ast
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
from runner import WORK, Skip, c_table, check, check_equal
from system import HERE, TOP, evaluate, nix_instantiate

HATCHD = os.environ.get("HATCHD")


@functools.cache
def machine(conf):
    """What the module makes of a configuration, given as Nix text."""
    file = pathlib.Path(WORK, "conf.nix")
    file.write_text(conf)
    return system.machine(file)


def text_of(made, name):
    check(name in made["files"], f"there is no {name}, only {sorted(made['files'])}")
    return made["files"][name]["text"]


def definition(made, name):
    return json.loads(text_of(made, f"etc/hatch/builders.d/{name}.json"))


def check_refused(conf, word):
    """The configuration must end in an error, or in an assertion that does not hold, which says the word."""
    try:
        said = "\n".join(machine(conf)["failed"])
    except RuntimeError as error:
        said = str(error)
    check(word in said, f"of {conf} the module said {said!r}, expected something with {word!r}")


# A builder that is right, and whom somebody may use.
RIGHT = 'command = [ "/bin/sh" ]; allow.groups = [ "nixbld" ];'


def with_builder(definition, name="b"):
    return f'{{ services.hatch = {{ enable = true; builders."{name}" = {definition}; }}; }}'


def with_options(options):
    right = f"{{ services.hatch = {{ enable = true; builders.b = {{ {RIGHT} }}; }}; }}"
    return f"{{ lib, pkgs, ... }}: {{ imports = [ {right} {{ {options} }} ]; }}"


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

def test_module_makes_of_each_machine_what_is_written_down():
    for conf, file in system.machines():
        made = system.machine(conf)
        check_equal(made["failed"], [], f"failed assertions of {conf}")
        check(system.golden(made) == file.read_text(),
              f"{file.name} is not what the module makes; look at what tests/nix/system.py --write changes")


def in_full(value, path=()):
    """A definition with what its short forms stand for."""
    if isinstance(value, dict):
        return {key: in_full(inner, (*path, key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [in_full(item, (*path, "*")) for item in value]
    if path in (("view", "read", "*"), ("view", "write", "*"), ("view", "devices", "*")):
        return {"path": value}
    return {"default": value, "max": value} if path == ("limits", "time_sec") else value


def definitions():
    """Of the examples: name to what the file says."""
    files = [file for file in sorted((TOP / "examples").glob("*/*.json")) if file.name != "hatchd.json"]
    check(len(files) > 6, f"only {files}")
    return {file.stem: (file, json.loads(file.read_text())) for file in files}


def test_module_takes_definitions_as_they_are():
    for name, (file, expected) in definitions().items():
        made = machine(f"""{{ services.hatch = {{ enable = true; checkConfig = false;
                           builders.{name} = builtins.fromJSON (builtins.readFile {file}); }}; }}""")
        expected["allow"].setdefault("features", [f"hatch-{name}"])
        check_equal(in_full(definition(made, name)), in_full(expected), file.name)


def test_examples_say_the_same_for_nixos_and_for_other_systems():
    made = system.machine(HERE / "machines/imported.nix")
    # Where programs are is another matter.
    def without_places(builder):
        for command in (builder["command"], *(builder[hook]["command"] for hook in ("before", "after") if hook in builder)):
            command[0] = re.sub("^/nix/store/[0-9a-z]{32}-|^.*/", "", command[0])
        variables = builder.get("environment", {}).get("set", {})
        variables.pop("PATH", None)
        return {key: value for key, value in builder.items() if value != {"set": {}}}
    for name, (file, expected) in definitions().items():
        if (file.parent / "nixos.nix").exists():
            check_equal(without_places(definition(made, name)), without_places(in_full(expected)), f"{file.parent}/nixos.nix")
    config = json.loads(text_of(made, "etc/hatch/hatchd.json"))
    for file in (TOP / "examples").glob("*/hatchd.json"):
        for key, value in json.loads(file.read_text()).items():
            check(config[key] == value or value.items() <= config[key].items(), f"{file} has another {key}")
    secrets = text_of(made, "etc/systemd/system/hatchd@.service.d/overrides.conf")
    for file in (TOP / "examples").glob("*/*.conf"):
        [line] = re.findall("^LoadCredential=.*$", file.read_text(), re.MULTILINE)
        check(line in secrets.splitlines(), f"{file} is not in {secrets}")


def test_module_takes_what_the_documents_show():
    # Options, or a whole file of them; derivations have a test of their own.
    blocks = [(file.name, block) for file in (TOP / "README.md", *(TOP / "docs").glob("*.md")) if file.name != "options.md"
              for block in re.findall(r"```nix\n((?:services\.|nix\.|\{\n  imports).*?)```", file.read_text(), re.DOTALL)]
    check_equal(sorted(file for file, _ in blocks), ["README.md", "migration.md", "migration.md", "nix.md", "nix.md"], "files with a block")
    for file, block in blocks:
        # A file beside the configuration would be copied to the store, which is none here.
        block = re.sub(r" [.](/[a-z-]+)", r' "\1"', block).replace("hatch.nixosModules.compat", f"{TOP}/nixos/compat.nix")
        made = machine(block if block.startswith("{") else f"{{ {block} }}")
        check_equal(made["failed"], [], f"failed assertions of {file}")
        # The predecessor, and what its builders are open to.
        old = ["services.nix-sandbox-escape-hatch", "services.hatch.builders.test"] if "compat.nix" in block else []
        check_equal([warning.split()[0] for warning in made["warnings"]], old, f"warnings of {file}")


def test_page_of_options_is_what_the_options_say():
    made, kept = system.options_page(), (TOP / "docs/options.md").read_text()
    if not evaluate(f"(import {HERE}/lib.nix).isOurs or false"):
        # Each version of nixpkgs has words of its own for types.
        made, kept = (re.sub(r"^- type: .*$", "", text, flags=re.MULTILINE) for text in (made, kept))
    check(made == kept, "docs/options.md: run tests/nix/system.py --write")


def test_one_machine_has_every_option_and_every_key():
    def walk(value, prefix=""):
        yield prefix
        for key, inner in (value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()):
            yield from walk(inner, f"{prefix}.*" if isinstance(value, list) else f"{prefix}.{key}")
    made = system.machine(HERE / "machines/everything.nix")
    written = {name for builder in ("all", "bundle", "image") for name in walk(definition(made, builder), "builders.<name>")}
    written |= set(walk(json.loads(text_of(made, "etc/hatch/hatchd.json")), "settings"))
    names = {o["name"].removeprefix("services.hatch.") for o in system.options()}
    keys = {name for name in names if name.startswith(("builders.<name>.", "settings."))}
    # JSON has both soft and hard for each.
    check(len(keys) > 90 and not keys - written, f"machines/everything.nix lacks {sorted(keys - written)}")
    source = (HERE / "machines/everything.nix").read_text()
    others = {name.split(".")[-1] for name in names - keys} - {"package", "clientPackage", "checkConfig"}
    check(not [o for o in others if not re.search(rf"\b{o}\b", source)], f"machines/everything.nix has not all of {others}")


def test_module_puts_other_names_of_programs_where_packages_are():
    made = system.machine(HERE / "machines/everything.nix", {"hatchd": "/usr", "hatch-client": "/opt/client"})
    check("pre-build-hook = /opt/client/bin/hatch-pre-build-hook\n" in text_of(made, "etc/nix/nix.conf"), "hook")
    hook = json.loads(text_of(made, "etc/hatch/hook.json"))
    check_equal(hook["paths"][1], {"at": "/bin/hatch", "path": "/opt/client/bin/hatch"}, "client")


def test_another_state_directory_is_made_like_that_of_the_package():
    made = system.machine(HERE / "machines/everything.nix")
    rules = [" ".join(line.split()) for line in (TOP / "units/tmpfiles.conf").read_text().splitlines() if "/var/lib/hatch" in line]
    check_equal(sorted(text_of(made, "etc/tmpfiles.d/00-nixos.conf").replace("/srv/hatch", "/var/lib/hatch").splitlines()), sorted(rules),
                "rules")


def test_options_of_the_socket_say_what_the_unit_has():
    unit = (TOP / "units/hatchd.socket").read_text()
    said = {o["name"].removeprefix("services.hatch.socket."): o["description"] for o in system.options()}
    for option, key in (("maxConnections", "MaxConnections"), ("maxConnectionsPerSource", "MaxConnectionsPerSource"), ("backlog", "Backlog")):
        number = re.search(rf"^{key}=(\d+)$", unit, re.MULTILINE)[1]
        check(f"; {number} if null" in said[option], f"{option} says {said[option]!r}, the unit has {number}")


def test_one_user_has_half_of_the_connections_unless_told_otherwise():
    for options, in_systemd, in_hatchd in (
            ("", None, None), ("socket.maxConnections = 16;", 8, 8), ("socket.maxConnections = 3;", 2, 2),
            ("socket = { maxConnections = 256; maxConnectionsPerSource = 9; };", 9, 9), ("socket.maxConnectionsPerSource = 9;", 9, 9),
            ("socket.maxConnections = 16; settings.connections_per_user = 4;", 8, 4)):
        made = machine(with_options(f"services.hatch = {{ {options} }};"))
        check_equal((made["failed"], made["warnings"]), ([], []), f"what is said of {options}")
        unit = made["files"].get("etc/systemd/system/hatchd.socket.d/overrides.conf", {"text": ""})["text"]
        check_equal(re.findall(r"^MaxConnectionsPerSource=(\d+)$", unit, re.MULTILINE), [str(in_systemd)] if in_systemd else [], f"socket with {options}")
        check_equal(json.loads(text_of(made, "etc/hatch/hatchd.json")).get("connections_per_user"), in_hatchd, f"hatchd.json with {options}")


def test_files_are_written_below_a_directory():
    with tempfile.TemporaryDirectory(dir=WORK) as directory:
        for _ in range(2):
            system.write_files(system.machine(HERE / "machines/minimal.nix"), directory)
        wants = pathlib.Path(directory, "etc/systemd/system/sockets.target.wants/hatchd.socket")
        check_equal(os.readlink(wants), "../hatchd.socket", "link")
        check("hello" in pathlib.Path(directory, "etc/hatch/builders.d/hello.json").read_text(), "definition")


def test_module_takes_other_settings():
    made = machine(with_options("services.hatch.settings = { queue_max = 3; of_a_newer_hatchd.x = 1; failed.more = 2; };"))
    config = json.loads(text_of(made, "etc/hatch/hatchd.json"))
    check_equal((config["queue_max"], config["of_a_newer_hatchd"], config["failed"]), (3, {"x": 1}, {"more": 2}), "settings")


def test_module_does_nothing_unless_enabled():
    off = machine("{ services.hatch.builders.b = { }; }")
    check_equal(sorted(off["files"]), ["etc/nix/nix.conf"], "files")
    for what in ("failed", "checks", "warnings"):
        check(not off[what], f"{what}: {off[what]}")
    check_equal(off["packages"], {"programs": [], "tmpfiles": [], "units": []}, "packages")


def test_modules_can_add_to_a_builder_and_settings_can_be_overridden():
    made = machine(with_options("""
        imports = [ { services.hatch.builders.b = { allow.groups = [ "lab" ]; limits.cpus = 2; }; }
                    { services.hatch.builders.b.limits.tasks = lib.mkDefault 7; } ];
        services.hatch.builders.b = { limits.tasks = 9; args.max = lib.mkIf false 3; };
        services.hatch.builders.c = lib.mkIf false { };
    """))
    check_equal(made["failed"], [], "failed assertions")
    check_equal(definition(made, "b"), {"command": ["/bin/sh"], "allow": {"features": ["hatch-b"], "groups": ["nixbld", "lab"]},
                                        "limits": {"cpus": 2, "tasks": 9}}, "definition")
    check("etc/hatch/builders.d/c.json" not in made["files"], "there is a builder that a condition takes away")


def test_a_builder_is_for_derivations_with_its_feature_unless_builds_see_nothing():
    features = lambda options: definition(machine(with_options(options)), "b")["allow"].get("features")
    check_equal(features('services.hatch.expose = "feature";'), ["hatch-b"], "with the hook")
    check_equal(features('services.hatch.expose = "always";'), ["hatch-b"], "for all builds")
    check_equal(features('services.hatch.expose = "none";'), None, "for no builds")
    check_equal(features('services.hatch.builders.b.allow.features = null;'), None, "where null is said")
    check_equal(features('services.hatch.builders.b.allow.features = [ "hatch-x" "kvm" ];'), ["hatch-x", "kvm"], "where others are named")
    check_equal(features('services.hatch = { expose = "none"; builders.b.allow.features = [ "x" ]; };'), ["x"], "where no build sees it")


def test_builds_are_told_apart_by_the_features_that_are_about_hatch():
    for features, known in (('[ "hatch-x" "kvm" ]', ["hatch-x"]),
                            ('[ "hatch-x" "hatch-y" ]', ["hatch-x", "hatch-y"]), ("null", ["hatch-b"])):
        made = machine(with_options(f"services.hatch.builders.b.allow.features = {features};"))
        check_equal(made["failed"], [], f"failed assertions with {features}")
        check_equal(json.loads(text_of(made, "etc/hatch/hook.json"))["features"], known, f"features of the hook with {features}")
        line = f"extra-system-features = {' '.join(known)}\n"
        check(line in text_of(made, "etc/nix/nix.conf"), f"features of Nix with {features}")


def test_a_credential_may_be_its_path_alone():
    # Text is a file with a module for a submodule: Nix would read the secret, and show it where it is none.
    made = machine(with_options('services.hatch.credentials.key = "/run/secrets/key"; services.hatch.builders.b.credentials = [ "key" ];'))
    check_equal((made["failed"], made["warnings"]), ([], []), "what is said")
    check("LoadCredential=key:/run/secrets/key\n" in text_of(made, "etc/systemd/system/hatchd@.service.d/overrides.conf"), "unit")


def test_a_command_is_said_once():
    # Two lists would become one, which runs the one program with the other as its argument.
    other = 'command = [ "/bin/other" ];'
    check_refused(with_options(f"services.hatch.builders.b.{other}"), "defined multiple times")
    check_refused(with_options(f"""imports = [ {{ services.hatch.builders.b.before.command = [ "/bin/one" ]; }} ];
                                   services.hatch.builders.b.before.{other}"""), "defined multiple times")
    for stronger, expected in (("mkForce", "/bin/other"), ("mkDefault", "/bin/sh")):
        made = machine(with_options(f'services.hatch.builders.b.command = lib.{stronger} [ "/bin/other" ];'))
        check_equal(definition(made, "b")["command"], [expected], stronger)


# --- what it refuses ---

# What is wrong: options beside a right builder, and what the module says. One line at least for each assertion.
REFUSED = [
    ("services.hatch.builders = lib.mkForce { };", "services.hatch.builders is empty"),
    ('services.hatch.builders.c = { allow.groups = [ "nixbld" ]; };', "services.hatch.builders.c has no command"),
    ("services.hatch.builders.b.command = lib.mkForce [ (pkgs.hello // { meta.mainProgram = \"hello\"; }) ];", "builders.b.command begins with a package"),
    *((f'services.hatch.builders."{name}" = {{ {RIGHT} }};', "is no name of a builder") for name in ("Upper", ".hidden", "a/b", "x" * 65, "")),
    *((f'services.hatch.buildUsers.group = "{group}";', "is somebody else's") for group in ("hatch", "nixbld", "root", "wheel")),
    *((f'services.hatch.settings.speaker_user = "{name}";', f'speaker_user: "{name}" is somebody else') for name in ("root", "hatchbld16", "nixbld1", "messagebus", "wheel")),
    # Of no number that NixOS knows, but of another module.
    *((f'services.hatch.buildUsers.group = "podman"; users.groups = {groups};', 'group: "podman" is somebody else') for groups in (
        "{ podman = { }; }", "lib.mkIf true { podman = lib.mkIf true { }; }")),
    *((f'services.hatch.settings.speaker_user = "vault"; users = {users};', 'speaker_user: "vault" is somebody else') for users in (
        '{ users.vault = { isSystemUser = true; group = "vault"; }; }', '{ users.vault.group = "vault"; }', "{ groups.vault = { }; }")),
    *((f'services.hatch.buildUsers.group = "lab"; {options}', 'group: alice must not be in "lab"') for options in (
        'users.users.alice = { isNormalUser = true; extraGroups = [ "lab" ]; };', 'users.users.alice.group = "lab";', 'users.groups.lab.members = [ "lab1" "alice" ];')),
    ('services.hatch.buildUsers.count = 1; users.groups.hatchbld.members = [ "hatchbld2" ];', "group: hatchbld2 must not be"),
    *((f"services.hatch.builders.b.network = {network};", "builders.b.network must have one of") for network in (
        "{ }", '{ namespace = "/run/netns/lab"; private.tcp = [ "127.0.0.1:1" ]; }')),
    ('services.hatch.builders.b.allow.features = [ "kvm" ];', 'builders.b.allow.features has none that begins with "hatch-"'),
    ('services.hatch = { expose = "always"; builders.b.allow.features = [ "kvm" ]; };', 'allow.features has none that begins with'),
    ("services.hatch.buildUsers.firstUid = 65530;", "buildUsers.firstUid: the ids from 65530 on meet nobody's"),
    ("services.hatch.settings.range_base = 100000;", "settings.range_base: the ids from 100000 on meet those that users get"),
    ("services.hatch.settings.range_base = 4293918720;", "settings.range_base: 1048576 ids from 4293918720 on are more than there are"),
    ("services.hatch.buildUsers = { count = 1024; firstUid = 4294966271; };", "buildUsers.firstUid: 1024 ids from 4294966271 on are more"),
    ("services.hatch = { settings.range_base = 1879048192; buildUsers.firstUid = 1880096767; };",
     "settings.range_base: the ids from 1879048192 on meet those of the build users, from 1880096767 on"),
    *((f"services.hatch.settings.range_base = 1879048192; users.users.alice = {{ isNormalUser = true; {key} = [ {{ {start} = 1879048191; count = 2; }} ]; }};",
       "meet those of users.users.alice, from 1879048191 on") for key, start in (("subUidRanges", "startUid"), ("subGidRanges", "startGid"))),
    *((f'services.hatch.settings.state = "{state}";', f"settings.state: {state} meets {seen}, which builds see") for state, seen in (
        ("/run/hatch/s", "/run/hatch"), ("/run", "/run/hatch"), ("/nix/store/state", "/nix/store"), ("/nix", "/nix/store"))),
    ('nix.settings.sandbox-paths = [ "/bin/sh=/bin/busybox" "/cache=/var/lib?" ];', "settings.state: /var/lib/hatch meets /var/lib, which"),
    ('services.hatch.settings.state = "/srv/hatch"; nix.settings.extra-sandbox-paths = [ "/srv/hatch/pool" ];', "/srv/hatch meets /srv/hatch/pool"),
    ('services.hatch.expose = "feature"; nix.package = pkgs.hello // { pname = "lix"; };', "Lix does not do"),
    *((f'services.hatch.expose = "feature"; nix.settings.pre-build-hook = {other};', "name your program in services.hatch.hook.chain")
      for other in ('"/bin/other"', 'lib.mkDefault "/bin/other"')),
    ('services.hatch = { expose = "always"; hook.chain = "/bin/other"; };', "hook.chain is run only with"),
    ("services.hatch.buildUsers.firstUid = 30020;", "buildUsers.firstUid: the ids from 30020 on meet those of nixbld"),
    ("services.hatch.buildUsers.firstUid = 29986;", "meet those of nixbld, from 30001 on"),
    ("nix.enable = false; services.hatch.buildUsers.firstUid = 29986;", "meet those of nixbld, from 30001 on"),
    ("services.hatch.buildUsers.firstUid = 880803839;", "those that Nix allocates itself, from 872415232 on"),
    ("services.hatch.settings.range_base = 872000000;", "settings.range_base: the ids from 872000000 on meet those that Nix allocates"),
    *((f"nix.settings.start-id = {start}; services.hatch.buildUsers.firstUid = 100001;", "from 100000 on") for start in ("100000", '"100000"')),
    ('services.hatch.credentials.key.path = "/nix/store/00000000000000000000000000000000-key";', "credentials.key.path is in the store"),
    ("services.hatch.buildUsers.count = 501;", "buildUsers.count: NixOS has 600 ids for all accounts of services; choose those of 501 by buildUsers.firstUid"),
    # By the type of the option, in NixOS' own words.
    ("services.hatch.buildUser.count = 1;", "services.hatch.buildUser' does not exist"),
    ("services.hatch.buildUsers.count = 0;", "between 1 and 1024"),
    ('services.hatch.expose = "sometimes";', "services.hatch.expose' is not of type"),
    ('services.hatch.settings.build_users_group = "x";', "read-only"),
    *((f'services.hatch.settings.state = "{state}";', "services.hatch.settings.state' is not of type") for state in (
        "/srv/my dir", "/srv/100%", "/srv/a\\tb", "/srv/a\\nb", "/srv/a'b", '/srv/a\\"b', "/srv/a\\\\b", "srv", "/")),
    ('services.hatch.settings.queue_max = "many";', "services.hatch.settings.queue_max' is not of type"),
    ('services.hatch.credentials.key.path = ./secret;', "services.hatch.credentials.key.path' is not of type"),
    ('services.hatch.credentials.key = "secret";', "services.hatch.credentials.key.path' is not of type"),
]

def with_predecessor(options):
    """The same for nixos/compat.nix: options of a builder."""
    return (f'imports = [ {TOP}/nixos/compat.nix ]; services.nix-sandbox-escape-hatch = {{ enable = true; '
            f'builders.old = {{ builder = "/bin/old"; {options} }}; }};')


# What becomes of values of extraServiceConfig; None: nothing, because it holds anyway.
KEPT_OLD = {
    "AmbientCapabilities": [('""', None)],
    "CapabilityBoundingSet": [('""', None), ('"~CAP_SYS_ADMIN CAP_NET_ADMIN"', None), ('[ "~CAP_CHOWN" "~CAP_FOWNER" ]', None)],
    "CPUQuota": [('"150%"', {"limits": {"cpus": 1.5}}), ('"12.5%"', {"limits": {"cpus": 0.125}}), ('"0.05%"', {"limits": {"cpus": 0.0005}})],
    "DynamicUser": [("true", None)],
    "IOWeight": [("1", {"limits": {"io_weight": 1}}), ("10000", {"limits": {"io_weight": 10000}}), ('"050"', {"limits": {"io_weight": 50}})],
    "KeyringMode": [('"private"', None)],
    "LockPersonality": [('"yes"', None)],
    "MemoryHigh": [('"0512M"', {"limits": {"memory_high": "512M"}}), ('"infinity"', None)],
    "MemoryMax": [('"4G"', {"limits": {"memory": "4G"}}), ("4194304", {"limits": {"memory": 4194304}}), ('"infinity"', None)],
    # Alone it means nothing.
    "MemorySwapMax": [(f'{size}; MemoryMax = "4M"', {"limits": {"swap": limit, "memory": "4M"}}) for size, limit in (("0", 0), ('"1G"', "1G"))],
    "NoNewPrivileges": [('"1"', None)],
    "PrivateDevices": [("true", None)],
    "PrivateIPC": [("true", None)],
    "PrivateMounts": [("true", None)],
    "PrivateNetwork": [("true", {"network": "none"}), ('"yes"', {"network": "none"}), ("false", None), ('"no"', None)],
    "PrivateTmp": [("true", None), ('"disconnected"', None)],
    "PrivateUsers": [("true", None), ('"self"', None)],
    "ProtectClock": [("true", None)],
    "ProtectControlGroups": [("true", None), ('"strict"', None)],
    "ProtectHome": [("true", None), ('"read-only"', None), ('"tmpfs"', None)],
    "ProtectHostname": [("true", None), ('"private"', None)],
    "ProtectKernelLogs": [("true", None)],
    "ProtectKernelModules": [("true", None)],
    "ProtectKernelTunables": [("true", None)],
    "ProtectProc": [('"invisible"', None)],
    "ProtectSystem": [("true", None), ('"full"', None), ('"strict"', None)],
    "RemoveIPC": [("true", None)],
    "RestrictAddressFamilies": [
        ('"AF_UNIX"', {"network": "none"}), ('"none"', {"network": "none"}), ('[ "AF_NETLINK" "AF_UNIX" ]', {"network": "none"}),
        ('"~AF_INET6 AF_INET"', {"network": "none"}), ('[ "AF_UNIX" "AF_INET AF_INET6" ]', None), ('"~AF_PACKET"', None)],
    "RestrictNamespaces": [("true", None), ('"~user mnt"', None)],
    "RestrictRealtime": [("true", None)],
    "RestrictSUIDSGID": [("true", None)],
    "RuntimeMaxSec": [(value, {"limits": {"time_sec": {"default": sec, "max": sec}}}) for value, sec in (
        ("60", 60), ('"1h"', 3600), ('"1h 30min"', 5400), ('"2d12h5"', 216005), ('"5 5"', 10), ('"31535999s 1"', 31536000), ('"1 week"', 604800), ('"infinity"', 31536000))],
    "SupplementaryGroups": [('"dialout video"', {"groups": ["dialout", "video"]}), ('[ "dialout" "video" ]', {"groups": ["dialout", "video"]})],
    "SystemCallArchitectures": [('"native"', None)],
    "SystemCallErrorNumber": [('"EPERM"', None)],
    "SystemCallFilter": [('"@system-service"', None), ('[ "@system-service" "~@privileged @mount" ]', None)],
    "TasksMax": [("10", {"limits": {"tasks": 10}}), ('"64"', {"limits": {"tasks": 64}}), ('"infinity"', None)],
    "TimeoutStartSec": [(value, {"limits": {"time_sec": {"default": sec, "max": sec}}}) for value, sec in (
        ("90", 90), ('"0"', 31536000), ('"infinity"', 31536000))],
    "UMask": [('"0077"', None), ('"022"', None)],
}

# And what cannot be kept, each with the name of its option: it asks for more than a builder can have, or for less than it has.
REFUSED_VALUES = {
    "AmbientCapabilities": ['"CAP_NET_RAW"'],
    "CapabilityBoundingSet": ['"CAP_NET_ADMIN"', '[ "~CAP_CHOWN" "CAP_CHOWN" ]', '[ "" ]'],
    "CPUQuota": ['"0%"', '"150"', "150", '"lots"', '"-5%"', '""'],
    "IOWeight": ["0", "10001", '"high"', "[ 1 ]"],
    "KeyringMode": ['"inherit"', '"shared"'],
    "MemoryHigh": ['"50%"', '"1.5G"'],
    "MemoryMax": ["0", '"0"', '"4095K"', "4194303", '"1025T"', '"999999999999999T"', '"50%"', '"lots"', "-1", "1.5", '"1GB"', '""'],
    "MemorySwapMax": ['"infinity"', '"10%"', '"1025T"'],
    "PrivateNetwork": ['"maybe"', "null"],
    "PrivateUsers": ['"full"', "false"],
    "ProtectProc": ['"default"'],
    "RestrictAddressFamilies": ['"AF_INET"', '"AF_INET AF_INET6"', '"AF_UNIX AF_INET6"', '"~AF_INET"', '"~AF_UNIX"', '"inet"', '""', '[ "AF_UNIX" "" ]'],
    "RestrictNamespaces": ["false", '"user"', '[ "~user" "mnt" ]'],
    "RuntimeMaxSec": ["0", '"123456789"', '"100000000s"', '"000000000s"', '"1h 100000000"', "31536001", '"31536000s 1"', '"500ms"', '"1.5h"', '"soon"', '"2y"', '"53 weeks"', '""', '"-1"'],
    "SupplementaryGroups": ['""'],
    "SystemCallArchitectures": ['"native x86"'],
    "SystemCallErrorNumber": ['"ENOENT"'],
    "SystemCallFilter": ['"~@network-io"', '"~@mount @network-io"', '"@system-service @mount"', '"read write"', '[ "@system-service" "" ]', '"~"'],
    "TasksMax": ["0", '"50%"', "4194305"],
    "TimeoutStartSec": ['"1h later"'],
    "UMask": ["77", '"u=rwx"'],
    **{key: ["false", '"no"', '"other"', "[ true ]"] for key in (
        "DynamicUser", "LockPersonality", "NoNewPrivileges", "PrivateDevices", "PrivateIPC", "PrivateMounts", "PrivateTmp", "ProtectClock",
        "ProtectControlGroups", "ProtectHome", "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables",
        "ProtectSystem", "RemoveIPC", "RestrictRealtime", "RestrictSUIDSGID")},
    # What no builder can have, or what looks like what it can.
    **{key: ["true", '"x"'] for key in (
        "User", "Environment", "ExecStartPre", "IPAddressDeny", "MemoryDenyWriteExecute", "ProcSubset", "PrivatePIDs", "RestrictFileSystems",
        "RestrictNetworkInterfaces", "SystemCallLog", "ProtectEverything", "ReadWritePaths")},
}


def old_key(key, value):
    return with_predecessor(f"extraServiceConfig.{key} = {value};")


REFUSED_OLD = [
    (old_key("User", '"build"'), "services.nix-sandbox-escape-hatch.builders.old.extraServiceConfig.User means nothing"),
    (old_key("MemoryMax", '"lots"'), "builders.old.extraServiceConfig.MemoryMax is not what hatch can keep, which is bytes, from 4M to 1024T"),
    (old_key("AmbientCapabilities", '"CAP_SYS_ADMIN"'), "extraServiceConfig.AmbientCapabilities is not what hatch can keep, which is nothing;"),
    *((with_predecessor(f"extraServiceConfig = {{ MemorySwapMax = 0; {others} }};"), "extraServiceConfig.MemorySwapMax means nothing without a limit on memory")
      for others in ("", 'MemoryMax = "infinity";', 'MemoryHigh = "1G";')),
    (with_predecessor('description = "x";'), "nix-sandbox-escape-hatch.builders.old.description' does not exist"),
]


# What is right at the borders of the above.
TAKEN = [
    "services.hatch.buildUsers.count = 500;",
    "services.hatch.buildUsers = { count = 501; firstUid = 31000; };",
    'services.hatch.builders.b.command = lib.mkForce [ (pkgs.writeText "script" "#!/bin/sh") "-v" ];',
    f'services.hatch.builders."{"a" * 64}" = {{ {RIGHT} }};',
    'services.hatch.expose = "always"; nix.package = pkgs.hello // { pname = "lix"; };',
    'services.hatch = { expose = "feature"; hook.chain = "/bin/other"; };',
    'services.hatch.hook.chain = "/bin/other"; nix.settings.pre-build-hook = "/bin/other";',
    'services.hatch.expose = "none"; nix.settings.pre-build-hook = "/bin/other";',
    'services.hatch.expose = "none"; services.hatch.builders.b.allow.features = [ "x" ];',
    'services.hatch.builders.b.network.namespace = "/run/netns/lab";',
    'users.groups.hatchbld.members = [ "hatchbld1" ];',
    'users = { users.hatch = { uid = 400; extraGroups = [ "lab" ]; }; groups = { hatch.gid = 400; hatchbld.gid = 401; }; };',
    "users.groups = { hatchbld = lib.mkIf false { }; podman = { }; };",
    "users.groups.hatchbld = lib.mkDefault { };",
    "nix.nrBuildUsers = 0; services.hatch.buildUsers.firstUid = 29990;",
    "services.hatch.settings.range_base = 4293918718;",
    "services.hatch.settings.range_base = 1879048192; services.hatch.buildUsers.firstUid = 1880096768;",
    'services.hatch.settings.state = "/run/hatchery"; nix.settings.sandbox-paths = [ "/run/hatchery2" ];',
    "services.hatch.buildUsers.firstUid = 29985;",
    "services.hatch.buildUsers.firstUid = 30033;",
    "services.hatch.buildUsers.firstUid = 880803840;",
    "services.hatch.settings.range_base = 1879048192;",
    'services.hatch.credentials.key = { path = "/nix/store/00000000000000000000000000000000-key"; encrypted = true; };',
]

# What it warns of, beside a right builder. One line for each warning.
WARNED = [
    ("nix.settings.sandbox = lib.mkForce false;", "nix.settings.sandbox is not true"),
    ('nix.settings.sandbox = lib.mkForce "relaxed";', "nix.settings.sandbox is not true"),
    ("nix.enable = false;", "nix.enable is false"),
    ("nix.enable = false; services.hatch.buildUsers.firstUid = 31000;", "nix.enable is false"),
    ('nix.settings.system-features = [ "kvm" "hatch-b" ];', "nix.settings.system-features has hatch-b"),
    ("services.hatch.builders.b.allow.groups = lib.mkForce [ ];", "builders.b.allow names nobody"),
    *((f"nix.settings.auto-allocate-uids = {yes};", 'no build is in that group') for yes in ("true", '"true"')),
    ('services.hatch.builders.b = { network = "host"; args.max = 1; };', "builders.b has the network of the host"),
    *((f"services.hatch = {{ {options} }};", f"one user may have {own} connections, and there are {total}:") for options, own, total in (
        ("socket.maxConnections = 1;", 1, 1), ("socket = { maxConnections = 16; maxConnectionsPerSource = 16; };", 16, 16),
        ("socket.maxConnections = 16; settings.connections_per_user = 32;", 32, 16), ("settings.connections_per_user = 64;", 64, 64))),
    ('services.hatch.builders.b.credentials = [ "key" ];', 'wants the credential "key"'),
]


def test_module_refuses_what_contradicts_itself():
    for options, word in REFUSED + REFUSED_OLD:
        check_refused(with_options(options), word)
    for options in TAKEN:
        check_equal(machine(with_options(options))["failed"], [], f"failed assertions of {options}")


def test_module_warns_of_what_is_hardly_meant():
    for options, word in WARNED:
        made = machine(with_options(options))
        check_equal(made["failed"], [], f"failed assertions of {options}")
        check(len(made["warnings"]) == 1 and word in made["warnings"][0], f"of {options} it warned {made['warnings']}")


def predecessors(cases):
    """Many builders of the predecessor at once: extraServiceConfig of each, in Nix. The machine that is made of them."""
    builders = "".join(f'b{i} = {{ builder = "/bin/old"; extraServiceConfig = {{ {case} }}; }};' for i, case in enumerate(cases))
    return machine(f"{{ imports = [ {TOP}/nixos/compat.nix ]; services.nix-sandbox-escape-hatch = {{ enable = true; builders = {{ {builders} }}; }}; }}")


# What each builder of the predecessor gets.
OLD = {"command": ["/bin/old"], "args": {"max": 4096, "dash": True}, "network": "host", "view": {"base": "host"}}
OLD_LIMITS = {"time_sec": {"default": 86400, "max": 86400}, "output": "64G", "output_entries": 10000000}


def check_becomes(made, name, part, case):
    allow = {"groups": ["nixbld"], "features": [f"hatch-{name}"]}
    expected = {**OLD, **(part or {}), "allow": allow, "limits": {**OLD_LIMITS, **(part or {}).get("limits", {})}}
    check_equal(definition(made, name), expected, f"what becomes of {case}")


def test_options_of_the_predecessor_become_keys_or_hold_anyway():
    known = set(evaluate(f"builtins.attrNames (import {TOP}/nixos/service-config.nix {{ lib = import {HERE}/lib.nix; }})"))
    check_equal(set(KEPT_OLD), known, "keys with a row")
    cases = [(f"{key} = {value};", part) for key, rows in KEPT_OLD.items() for value, part in rows]
    # Of two limits of time the shorter, of two words about the network the stricter.
    cases += [("RuntimeMaxSec = 90; TimeoutStartSec = 60;", {"limits": {"time_sec": {"default": 60, "max": 60}}}),
              ("RuntimeMaxSec = \"2d\"; TimeoutStartSec = \"infinity\";", {"limits": {"time_sec": {"default": 172800, "max": 172800}}}),
              ("PrivateNetwork = true; RestrictAddressFamilies = \"AF_UNIX AF_INET AF_INET6\";", {"network": "none"}),
              ("PrivateNetwork = false; RestrictAddressFamilies = \"none\";", {"network": "none"})]
    # What NixOS writes no line of.
    cases += [(f"{key} = [ ];", None) for key in ("AmbientCapabilities", "CapabilityBoundingSet", "MemorySwapMax", "SupplementaryGroups", "SystemCallFilter")]
    made = predecessors([case for case, _ in cases])
    check_equal(made["failed"], [], "failed assertions")
    for i, (case, part) in enumerate(cases):
        check_becomes(made, f"b{i}", part, case)


def test_options_of_the_predecessor_that_cannot_be_kept_are_refused_by_name():
    cases = [(key, value) for key, values in REFUSED_VALUES.items() for value in values]
    said = predecessors([f"{key} = {value};" for key, value in cases])["failed"]
    check_equal(len(said), len(cases), "assertions that fail")
    for i, (key, value) in enumerate(cases):
        option = f"services.nix-sandbox-escape-hatch.builders.b{i}.extraServiceConfig.{key} "
        check(any(s.startswith(option) for s in said), f"nothing is said of {key} = {value}")


def test_options_beside_those_of_the_predecessor_win():
    made = machine(with_options(with_predecessor(
        'extraServiceConfig = { MemoryMax = "4G"; PrivateNetwork = true; RuntimeMaxSec = 60; SupplementaryGroups = "dialout"; };')
        + 'services.hatch.builders.old = { command = [ "/bin/new" ]; limits = { memory = "8G"; time_sec = 30; }; network = "private"; groups = [ "video" ]; };'))
    check_equal(made["failed"], [], "failed assertions")
    check_becomes(made, "old", {"command": ["/bin/new"], "limits": {"memory": "8G", "time_sec": {"default": 30, "max": 30}}, "network": "private",
                                "groups": ["video"]}, "both")


def test_own_lib_reads_numbers_as_strictly_as_that_of_nixpkgs():
    lib = f"(import {HERE}/lib.nix)"
    taken = lambda text: evaluate(f"let made = builtins.tryEval ({lib}.toInt {json.dumps(text)}); in if made.success then made.value else null")
    for text, number in (("0", 0), ("12", 12), ("-3", -3), (" 7 ", 7), ("012", None), ("1.5", None), ("", None), ("true", None), ("1e3", None), ("x", None)):
        check_equal(taken(text), number, f"toInt {text!r}")


def test_each_assertion_and_warning_has_a_test():
    source = (TOP / "nixos/checks.nix").read_text()
    old = (TOP / "nixos/compat.nix").read_text()
    for kind, rows, expected in (("message", REFUSED, re.findall(r'message = "(.*)";', source)),
                                 ("message", REFUSED_OLD, re.findall(r'message = "(.*)";', old)),
                                 ("warning", WARNED, re.findall(r"''\n\s*(.*)\n\s*''", source))):
        check(expected and len(expected) <= len(rows), f"{len(expected)} of kind {kind} found")
        said = []
        for options, _ in rows:
            try:
                made = machine(with_options(options))
                said += made["failed"] + made["warnings"]
            except RuntimeError:
                pass
        for text in expected:
            # What stands between the values that are put in.
            pieces = [piece.replace('\\"', '"') for piece in re.split(r"\$\{(?:[^{}]|\{[^}]*\})*\}", text)]
            pattern = ".*".join(map(re.escape, pieces))
            check(any(re.search(pattern, s) for s in said), f"no test for the {kind} {text!r}")


def test_what_nixos_has_is_known_by_name():
    # So that the module cannot set what is not there.
    for option, value in (("systemd.sockets.hatchd.socketConfg", "{ }"), ("systemd.services.hatchd.restartIfChange", "true"),
                          ("systemd.slices.hatch.slice", "{ }"), ("users.users.hatch.isSystem", "true"), ("users.groups.hatch.member", "[ ]"),
                          ("environment.etc.hatch.txt", '""'), ("nix.setings", "{ }"), ("systemd.tmpfiles.rule", "[ ]")):
        check_refused(with_options(f"{option} = {value};"), f"{option}' does not exist")


def test_module_refuses_keys_that_the_server_does_not_know():
    check_refused(with_builder('{ command = [ "/bin/sh" ]; netwrok = "host"; }'), "builders.b.netwrok' does not exist")
    check_refused(with_builder('{ command = [ "/bin/sh" ]; limits.memroy = "1G"; }'),
                  "builders.b.limits.memroy' does not exist")


def test_module_refuses_values_of_the_wrong_type():
    for key, value in (("command", "[ ]"), ("command", '"/bin/sh"'), ("network", '"hosts"'), ("seccomp", '[ "@none" ]'),
                       ("limits.memory", '"1GB"'), ("limits.grace_sec", "301"), ("view.read", '[ "relative" ]'),
                       ("allow.sockets", "[ ]"), ("uid_map", "true"), ("view.tmpfs", '[ { at = "/x"; sice = "1M"; } ]'),
                       # A file to import, if it were a submodule's.
                       ("view.tmpfs", '[ "/x" ]'), ("view.overlay", '[ "/x" ]'), ("allow.uid_ranges", '[ "/x" ]'),
                       ("network", '"/run/netns/lab"'), ("network", '{ private = "/x"; }'), ("limits.time_sec", '"/x"'),
                       ("limits.rlimits.nofile", '"/x"')):
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
    names = [o["name"] for o in system.options() if o["name"].startswith("services.hatch.builders.<name>.")]
    names = [name.removeprefix("services.hatch.builders.<name>.") for name in names]
    for group, (file, table) in KEYS.items():
        prefix = f"{group}." if group else ""
        inside = {name.removeprefix(prefix).split(".")[0] for name in names if name.startswith(prefix)} - {"*"}
        check_equal(inside, c_table(f"hatchd/config/{file}.c", f"{table}_members"), f"options of {group or 'a builder'}")


def test_hook_is_told_exactly_what_it_knows():
    hook = json.loads(text_of(system.machine(HERE / "machines/everything.nix"), "etc/hatch/hook.json"))
    check_equal(set(hook), c_table("hatchd/config/exposure.c", "exposure_members"), "keys of hook.json")
    for path in hook["paths"]:
        check_equal(set(path), c_table("hatchd/config/exposure.c", "path_members"), "keys of paths")


def test_settings_are_exactly_the_keys_of_the_server():
    names = [o["name"].removeprefix("services.hatch.settings.") for o in system.options() if o["name"].startswith("services.hatch.settings.")]
    check_equal({name.split(".")[0] for name in names}, c_table("hatchd/config/config.c", "config_members"), "options of settings")
    check_equal({name.removeprefix("failed.") for name in names if "." in name}, c_table("hatchd/config/config.c", "failed_members"),
                "options of settings.failed")


def run_check(made):
    """What is built before the machine, with the hatchd that was built here; the finished process."""
    if not HATCHD:
        raise Skip("HATCHD is not set: nothing was built")
    store = pathlib.Path(tempfile.mkdtemp(dir=WORK))
    for path, text in made["sources"].items():
        (store / path.removeprefix(system.STORE)).write_text(text)
    (store / "hatchd/bin").mkdir(parents=True)
    (store / "hatchd/bin/hatchd").symlink_to(HATCHD)
    (store / "build").mkdir()
    [script] = made["checks"]
    run = subprocess.run(["sh", "-eu", "-c", script.replace(system.STORE, f"{store}/")], cwd=store / "build",
                         env={"PATH": os.environ["PATH"], "out": f"{store}/out"}, capture_output=True, text=True)
    check((store / "out").exists() == (run.returncode == 0), "what is built is there only if all is well")
    return run


def test_each_machine_passes_what_is_built_before():
    for conf, _ in system.machines():
        run = run_check(system.machine(conf))
        check(run.returncode == 0, f"{conf}: {run.stdout}{run.stderr}")
        check(", errors: 0" in run.stdout, f"{conf}: hatchd said {run.stdout!r}")


def test_a_wrong_definition_is_no_part_of_any_machine():
    for options, place, word in (
            ('services.hatch.builders.b.view.hide = [ "/nix/store/x" ];', "builders.d/b.json:1:", "meets /nix/store"),
            ("services.hatch.builders.b.resources.seat = 1;", "builders.d/b.json:1:", "no resource"),
            ('services.hatch.builders.b.uid_map = "range";', "builders.d/b.json:1:", "range_base"),
            ('services.hatch.settings.quue_max = 1;', "hatchd.json:1:", "quue_max"),
            # What an assertion finds too, for who evaluates without them.
            ('services.hatch.settings.state = "/run/hatch/s";', "hatchd.json:1:", "meets /run/hatch"),
            ('services.hatch.settings.speaker_user = "root";', "hatchd.json:1:", "speaker_user is root"),
            ('services.hatch.buildUsers.group = "nixbld";', "hatchd.json:1:", "Nix's own"),
            ("services.hatch.settings.range_base = 4294967295;", "hatchd.json:1:", "leaves room"),
            ('services.hatch.hook.chain = "/a/../b";', "hook.json:1:", "/a/../b")):
        run = run_check(machine(with_options(options)))
        check(run.returncode == 78, f"of {options} hatchd says {run.returncode}: {run.stdout}")
        check(place in run.stdout and word in run.stdout, f"of {options} hatchd said {run.stdout!r}")


def test_a_machine_need_not_be_checked():
    check_equal(machine(with_options("services.hatch.checkConfig = false;"))["checks"], [], "what is built before")


# --- flake, package, machine test ---

@functools.cache
def outputs(what):
    """A part of outputs.nix."""
    return evaluate(f"(import {HERE}/outputs.nix).{what}")


def each_output(what):
    """A set in outputs.nix. With a whole nixpkgs all of it at once would take too much memory."""
    if not outputs("isWhole"):
        return outputs(what)
    return {name: outputs(f'{what}."{name}"') for name in evaluate(f"builtins.attrNames (import {HERE}/outputs.nix).{what}")}


def check_place(name, place):
    check(place.startswith("/nix/store/") and (place.endswith(".drv") or not outputs("isWhole")), f"{name} is {place}")


def test_flake_offers_what_it_says():
    check_equal(outputs("names"), ["checks", "devShells", "formatter", "lib", "nixosModules", "overlays", "packages"],
                "outputs of the flake")
    check_equal(outputs("packages"), dict.fromkeys(("aarch64-linux", "x86_64-linux"), {
        "client": "hatch-client", "default": "hatchd", "hatchd": "hatchd"}), "packages")
    check_equal(outputs("old"), ["old"], "builders of its module for the predecessor's options")
    check_equal(outputs("wantedBy"), ["sockets.target"], "who wants the socket of its module")
    check_equal(outputs("functions"), ["forStdenv", "makeEscapeHatchRunner", "runHatch"], "functions of its lib")
    check_equal((outputs("derivation"), outputs("overlaid")), ("s", ["aarch64-linux"] * 3), "systems of derivations")


def test_each_output_of_the_flake_can_be_evaluated():
    places = each_output("places")
    check({f"{folder}.{system}-linux" for folder in ("packages", "devShells", "checks", "formatter") for system in ("x86_64", "aarch64")}
          == {".".join(name.split(".")[:2]) for name in places}, f"only {sorted(places)}")
    for name, place in places.items():
        check_place(name, place)


def test_nix_takes_the_flake_without_network():
    if not shutil.which("nix"):
        raise Skip("there is no nix, only nix-instantiate")
    place = pathlib.Path(tempfile.mkdtemp(dir=WORK))
    for flake in ("hatch", "nixpkgs"):
        for name in ("nixos", "tests/nix", "tests/vm", "examples"):
            shutil.copytree(TOP / name, place / flake / name, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    shutil.copy(TOP / "flake.nix", place / "hatch")
    (place / "nixpkgs/flake.nix").write_text("{ outputs = { self }: { lib = import ./tests/nix/minilib.nix; }; }")
    (place / "nixpkgs/default.nix").write_text("import ./tests/nix/nixpkgs.nix")
    env = dict(os.environ, HOME=str(place), NIX_CONFIG="build-users-group =\nexperimental-features = nix-command flakes")
    run = subprocess.run(["nix", "flake", "check", "--store", f"{place}/store", "--no-build", "--no-write-lock-file",
                          "--override-input", "nixpkgs", f"path:{place}/nixpkgs", f"path:{place}/hatch"],
                         env=env, capture_output=True, text=True)
    check(run.returncode == 0, run.stderr)


def test_package_has_the_version_of_meson_build():
    version = re.search(r"^  version: '([^']+)',$", (TOP / "meson.build").read_text(), re.MULTILINE).group(1)
    check_equal(outputs("version"), version, "version of the package")


def test_package_depends_on_what_meson_build_needs():
    needed = set(re.findall(r"^\w+_dep = dependency\('([^']+)'", (TOP / "meson.build").read_text(), re.MULTILINE))
    names = {"libsystemd": "systemd", "libcjson": "cjson"}
    inputs = evaluate(f"builtins.attrNames (builtins.functionArgs (import {TOP}/nixos/package.nix))")
    missing = {names.get(n, n) for n in needed} - set(inputs)
    check(needed and not missing, f"the package lacks {missing}, of {needed}")


def test_package_of_the_client_needs_no_function_that_only_glibc_has():
    # pkgsStatic links it with musl, which knows none of these.
    folders = ("lib", "hatch-client", "hatch-pre-build-hook")
    sources = [file for folder in folders for file in (TOP / folder).rglob("*.[ch]")]
    check(len(sources) > 50, f"only {len(sources)} files of C")
    for file in sources:
        code = re.sub(r'/\*.*?\*/|"(?:[^"\\\n]|\\.)*"', "", file.read_text(), flags=re.DOTALL)
        found = re.findall(r"\b(?:getdents64|dirent64|scandirat|basename|stx_mnt_id)\b", code)
        check(not found, f"{file} has {found}")


def test_package_has_the_folders_that_meson_build_builds():
    folders = set(re.findall(r"subdir\('([\w-]+)'\)", (TOP / "meson.build").read_text())) - {"tests"}
    given = set(re.findall(r"^ {6}\.\./([\w-]+)$", (TOP / "nixos/package.nix").read_text(), re.MULTILINE))
    check(len(folders) > 5 and folders <= given, f"the package lacks {folders - given}")


def test_package_has_what_the_tests_of_its_modules_need():
    made = nix_instantiate("--parse", "--store", "dummy://", TOP / "nixos/package.nix")
    check('"host_tests" false' in made and "doCheck = true" in made, "which tests the package runs")
    sources = [file for folder in ("lib", "hatchd", "hatch-client", "hatchctl") for file in (TOP / folder).rglob("*")]
    needed = {name for file in sources if file.suffix in {".c", ".h"} for name in re.findall(r'#include "(tests/.*)"', file.read_text())}
    needed |= {name for file in sources if file.name == "meson.build" for name in re.findall(r"'(tests/[^']*)'", file.read_text())}
    given = set(re.findall(r"^ {6}\.\./(tests/.*)$", (TOP / "nixos/package.nix").read_text(), re.MULTILINE))
    check_equal(given, needed, "files of tests")


def test_scenarios_are_machines_the_module_takes():
    scenarios = TOP / "tests/vm/scenarios"
    tests = each_output("tests")
    check_equal(set(tests), {f.stem for f in scenarios.glob("*.py")} - {"common"}, "scenarios")
    check_equal({c for c in outputs("checks") if c.startswith("machine-")}, {f"machine-{name}" for name in tests}, "checks of the flake")
    common = (scenarios / "common.py").read_text()
    for name, test in tests.items():
        check_place(name, test["place"])
        check(test["script"].endswith((scenarios / f"{name}.py").read_text()) and common in test["script"], f"script of {name}")
        names = {node.id for node in ast.walk(ast.parse(test["script"])) if isinstance(node, ast.Name)}
        for node, made in test["nodes"].items():
            check(node in names, f"{name} does nothing with {node}")
            check_equal(made["failed"], [], f"failed assertions of {node} of {name}")
            check("substituters = \n" in made["nixConf"], f"{node} of {name} has substituters")


# What the driver of NixOS' tests gives to a script. It has mypy look at it, which takes no other type for these names.
OF_THE_DRIVER = {"create_machine", "driver", "join_all", "log", "machines", "polling_condition", "retry", "run_tests", "serial_stdout_off",
                 "serial_stdout_on", "start_all", "subtest", "test_script", "vlans"}


def test_scenarios_leave_the_names_of_the_driver_alone():
    def assigned(tree):
        for inner in ast.iter_child_nodes(tree):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                yield inner.id
            # What is inside of a function is its own.
            elif isinstance(inner, ast.FunctionDef):
                yield inner.name
            else:
                yield from assigned(inner)
    for name, test in each_output("tests").items():
        taken = set(assigned(ast.parse(test["script"]))) & {*OF_THE_DRIVER, *test["nodes"]}
        check(not taken, f"{name} assigns to {taken}")


def test_scenarios_use_only_what_both_drivers_have():
    # Of the class Machine of NixOS' driver, what run-scenarios has too.
    source = (TOP / "tests/vm/run-scenarios").read_text()
    methods = {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}
    used = set()
    for test in each_output("tests").values():
        for call in ast.walk(ast.parse(test["script"])):
            if isinstance(call, ast.Attribute) and isinstance(call.value, ast.Name) and call.value.id in {"node", *test["nodes"]}:
                used.add(call.attr)
    check({"succeed", "fail", "start"} <= used <= methods, f"{used - methods}")


if __name__ == "__main__":
    sys.exit(runner.run(globals()))
