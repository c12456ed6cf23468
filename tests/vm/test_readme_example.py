"""The README's example, word by word, and a build that has nothing to do with it."""

import pathlib
import stat

from machine import SOCKET, check, check_equal, check_in, everywhere

EXAMPLE = pathlib.Path("/opt/hatch-test/examples/hello")


def install_example(m):
    m.run(["install", "-D", "-m", "755", EXAMPLE / "hello", "/usr/local/libexec/hello"]).ok()
    m.write_definition("hello", (EXAMPLE / "hello.json").read_text())
    m.write_nix_conf("extra-system-features = hatch-hello")


@everywhere
def test_the_example_of_the_readme_brings_its_tree_into_out(m):
    install_example(m)
    cursor = m.journal_cursor()
    built = m.nix_build(EXAMPLE / "default.nix").ok()
    out = pathlib.Path(built.lines()[-1])
    m.after_test(lambda: m.nix_delete(out))

    # What was built outside came back live, whole, and as Nix keeps every tree.
    for line in ("looking at the host", "doing what a sandbox forbids", "writing the tree"):
        check_in(f"hello: {line}", built.stderr, "build log")
    names = sorted(str(path.relative_to(out)) for path in out.rglob("*"))
    check_equal(names, ["bin", "bin/hello", "share", "share/greeting"], "tree")
    check_equal((out / "share/greeting").read_text(), "Hello world, from outside of the sandbox.\n", "greeting")
    check_equal(stat.filemode((out / "bin/hello").stat().st_mode), "-r-xr-xr-x", "mode of bin/hello")
    check_equal(m.run([out / "bin/hello"], user="alice").ok().stdout, (out / "share/greeting").read_text(), "what it prints")

    # The reference to itself is known to Nix, and the content is what was registered.
    check_in(str(out), m.run(["nix-store", "--query", "--references", out]).ok().lines(), "references")
    m.run(["nix-store", "--verify-path", out]).ok()

    drv = pathlib.Path(m.run(["nix-store", "--query", "--deriver", out]).ok().stdout.strip()).name
    line = m.journal_wait(cursor, HATCH_BUILDER="hello")[0]
    check_equal(line["HATCH_EXIT"], "0", "HATCH_EXIT")
    check_equal(line["HATCH_DRV"], drv, "HATCH_DRV")


def test_a_build_without_the_hatch_works_while_the_socket_is_absent(m):
    m.stop_socket()
    # systemd leaves the file; a build must not care whether it is there.
    pathlib.Path(SOCKET).unlink(missing_ok=True)
    m.nix_build(m.derivation("plain", args=["-c", "echo built > $out"])).ok()


def test_a_build_without_the_hatch_works_while_its_directory_is_absent(m):
    m.stop_socket()
    m.after_test(lambda: m.run(["systemd-tmpfiles", "--create", "hatch.conf"]).ok())
    m.run(["rm", "-r", "/run/hatch/s"]).ok()
    m.nix_build(m.derivation("plain", args=["-c", "echo built > $out"])).ok()


def test_a_build_with_the_hatch_says_what_is_missing_when_the_socket_is_absent(m):
    m.stop_socket()
    built = m.nix_build(m.hatch_derivation("hello-nobody", "hello", ["world"]))
    check(built.code != 0, "the build succeeded")
    check_in("hatch.sock", built.stderr, "build log")
