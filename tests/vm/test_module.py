"""What the NixOS module has built before there is a system, built by the real nix-daemon in its sandbox."""

import pathlib

from machine import check, check_equal, check_in

EXAMPLES = pathlib.Path("/opt/hatch-test/examples")


def set_up(m):
    """The sandbox shows this system's hatchd, and what that needs, in place of nixpkgs'."""
    m.run(["install", "-d", "/usr/lib/hatch-test/bin"]).ok()
    m.run(["ln", "-s", "/usr/sbin/hatchd", "/usr/lib/hatch-test/bin/hatchd"]).ok()
    m.after_test(lambda: m.run(["rm", "-r", "/usr/lib/hatch-test"]).ok())
    m.write_nix_conf("extra-sandbox-paths = /bin/sh=/usr/bin/busybox /usr /lib /lib64", without=["extra-sandbox-paths"])


def build(m, conf):
    """The check of a configuration: a module, as Nix text, or the path of one."""
    built = m.nix_build(f'import /opt/hatch-test/tests/nix/checks.nix {{ conf = {conf}; hatchd = "/usr/lib/hatch-test"; }}')
    if built.code == 0:
        m.after_test(lambda: m.nix_delete(*built.lines()))
    return built


def test_machines_that_are_right_can_be_built(m):
    set_up(m)
    for conf in sorted(EXAMPLES.glob("*/nixos.nix")):
        built = build(m, conf).ok()
        check_equal(len(built.lines()), 1, f"what is built before the machine of {conf}")
        check_in("errors: 0", built.stderr, f"log of {conf}")


def test_a_machine_whose_builder_hatchd_refuses_cannot_be_built(m):
    set_up(m)
    wrong = ('{ services.hatch.enable = true; services.hatch.builders.b = { command = [ "/bin/sh" ]; '
             'allow.groups = [ "nixbld" ]; resources.seat = 1; }; }')
    built = build(m, wrong)
    check(built.code != 0, "it was built")
    check_in("builders.d/b.json:1:", built.stderr, "log")
    check_in("no resource", built.stderr, "log")
