"""Every folder of examples/, as it stands: its definition, its scripts and its derivation, with a stand-in where the real
thing costs money or hangs on a cable. Each is set up twice, as an administrator would by hand, and by the NixOS module."""

import contextlib
import os
import pathlib
import re
import socket
import sys
import tarfile
import threading

from machine import STATE, check, check_equal, check_in, need_pasta, own_kernel

sys.path.append("/opt/hatch-test/tests/nix")
import system  # noqa: E402  (beside the module's own tests)

EXAMPLES = pathlib.Path("/opt/hatch-test/examples")
DOCS = pathlib.Path("/opt/hatch-test/docs")
LIBEXEC = pathlib.Path("/usr/local/libexec")


def install(m, path, content, mode=0o755):
    """Put a file where an example expects it; removed after the test, with the directories made for it."""
    path = pathlib.Path(path)
    made = [parent for parent in path.parents if not parent.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    for parent in reversed(made):
        m.after_test(lambda parent=parent: parent.rmdir())
    path.write_text(content)
    path.chmod(mode)
    m.after_test(lambda: path.unlink())


def reload_units(m):
    m.run(["systemctl", "daemon-reload"]).ok()


def by_hand(m, name):
    """As examples/README.md says: the definition, its part of hatchd.json, its scripts where the definition looks for
    them, its drop-ins; for Nix the feature by which derivations ask for the builder."""
    m.after_test(lambda: reload_units(m))
    for file in (EXAMPLES / name).iterdir():
        if file.name == "hatchd.json":
            install(m, "/etc/hatch/hatchd.json", file.read_text(), 0o644)
        elif file.suffix == ".json":
            m.write_definition(file.stem, file.read_text())
            m.write_nix_conf(f"extra-system-features = hatch-{file.stem}")
        elif file.suffix == ".conf":
            install(m, f"/etc/systemd/system/hatchd@.service.d/{file.name}", file.read_text(), 0o644)
        elif not file.suffix and file.is_file():
            install(m, LIBEXEC / file.name, file.read_text())
    reload_units(m)


# Where a Debian system, and install() of these tests, have what is in these packages of nixpkgs.
PACKAGES = dict.fromkeys(("busybox", "coreutils", "gnugrep", "gnutar", "hatch-client", "openssl", "passt"), "/usr")
PACKAGES |= dict.fromkeys(("git", "hatchd", "openssh", "qemu_kvm", "uhubctl"), "/usr/local")


def by_module(m, name):
    """As the NixOS module makes it of the example's configuration: files, scripts in the store, and the hook by which only
    derivations that ask for the builder see the hatch. Accounts and units are those of the machine."""
    m.after_test(lambda: reload_units(m))
    made = system.machine(EXAMPLES / name / "nixos.nix", PACKAGES, ("--read-write-mode", "--store", "daemon"))
    check_equal(made["failed"] + made["warnings"], [], "what the module says")
    for place, file in made["files"].items():
        if place.startswith(("etc/hatch/", "etc/systemd/system/hatchd@.service.d/")):
            install(m, f"/{place}", file["text"], 0o644)
    # Where the package hatch-client has it.
    m.run(["ln", "-s", "/usr/sbin/hatch-pre-build-hook", "/usr/bin"]).ok()
    m.after_test(pathlib.Path("/usr/bin/hatch-pre-build-hook").unlink)
    m.write_nix_conf("extra-sandbox-paths = /bin/sh=/usr/bin/busybox", made["files"]["etc/nix/nix.conf"]["text"],
                     without=["extra-sandbox-paths"])
    reload_units(m)


def both_ways(function):
    """Makes two tests of example_...(m, set_up)."""
    for set_up in (by_hand, by_module):
        def test(m, set_up=set_up):
            function(m, set_up)

        test.__dict__.update(function.__dict__)
        test.__name__ = function.__name__
        globals()[f"test_{function.__name__}_{set_up.__name__}"] = test
    return function


def build(m, name, outputs=("out",)):
    """nix-build of the example by alice: the paths of its outputs and its log."""
    m.run(["hatchd", "--check"]).ok()
    drv = m.nix_instantiate(EXAMPLES / name / "default.nix")
    built = m.run(["nix-store", "--realise", drv], user="alice").ok()
    # So that it is built again the next time.
    m.after_test(lambda: m.nix_delete(*built.lines()))
    paths = [m.run(["nix-store", "--query", "--binding", output, drv]).ok().stdout.strip() for output in outputs]
    check_equal(sorted(built.lines()), sorted(paths), "what was made")
    return [pathlib.Path(path) for path in paths], built.stderr


def make_directory(m, path, mode=0o755):
    """One that is removed after the test, with what is in it."""
    path = pathlib.Path(path)
    made = [parent for parent in (path, *path.parents) if not parent.exists()]
    path.mkdir(mode=mode, parents=True)
    m.after_test(lambda: m.run(["rm", "-r", "--", made[-1]]).ok())
    return path


def explain_as_shown(m, file, builder):
    """The command of a document that explains the builder; it answers yes, and with the sandbox."""
    [command] = re.findall(rf"\bhatchctl explain {builder} [^`\n]+", (DOCS / file).read_text())
    told = m.run(command.split()).ok().stdout
    check(re.search(r"^allowed +yes$", told, re.MULTILINE), f"{command} says {told}")
    check_in("/build", told, f"what {command} says")


# --- the smallest ---


@both_ways
def example_hello_is_made_outside_of_the_sandbox(m, set_up):
    set_up(m, "hello")
    [out], log = build(m, "hello")
    check_in("hello: writing the tree", log, "log")
    check_equal((out / "share/greeting").read_text(), "Hello world, from outside of the sandbox.\n", "greeting")


# --- an FPGA tool with licence seats ---

SYNTH = """#!/bin/bash
# Stands for a vendor's tool: it writes into the directory it is installed in, and asks a licence server.
set -eu
here=$(dirname "$(dirname "$0")")
echo "cache of $(id -un)" >"$here/cache/last"
rm "$here/share/parts.old"
echo "patched" >>"$here/share/parts"
port=${LM_LICENSE_FILE%@*} host=${LM_LICENSE_FILE#*@}
exec 3<>"/dev/tcp/$host/$port"
read -r answer <&3
echo "licence server: $answer"
if (exec 4<>"/dev/tcp/$host/2101") 2>/dev/null; then echo "reached another port"; fi
echo "TOP=$TOP PART=$PART args=$* parts=$(tr '\\n' ' ' <"$here/share/parts")" >"$out"
head -n 1 "$1" >"$reports"
"""


@contextlib.contextmanager
def server(port, answer):
    """A server on the host's loopback that greets and hangs up."""
    listener = socket.create_server(("127.0.0.1", port))

    def serve():
        with contextlib.suppress(OSError):
            while True:
                with listener.accept()[0] as connection:
                    connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@both_ways
@own_kernel
def example_fpga_patches_its_own_tree_and_reaches_only_the_licence_server(m, set_up):
    need_pasta(m)
    set_up(m, "fpga")
    tool = pathlib.Path("/opt/fpga")
    install(m, tool / "bin/synth", SYNTH)
    install(m, tool / "share/parts", "xc7a35t\n", 0o644)
    install(m, tool / "share/parts.old", "xc6\n", 0o644)
    (tool / "cache").mkdir()
    m.after_test(lambda: (tool / "cache").rmdir())
    explain_as_shown(m, "README.md", "fpga")
    with server(2100, b"seat granted\n"), server(2101, b"mail\n"):
        [out, reports], log = build(m, "fpga", ["out", "reports"])
    check_in("licence server: seat granted", log, "log")
    check("reached another port" not in log, f"it reached a port that the definition does not name: {log}")
    check_equal(out.read_text(), "TOP=blink PART=xc7a35t args=/build/inputs/rtl/blink.v parts=xc7a35t patched \n", "the bitstream")
    check_equal(reports.read_text(), "module blink(input clk, output led);\n", "what it read of its input")
    check_equal((tool / "share/parts").read_text(), "xc7a35t\n", "the tool's own file on the host")
    check((tool / "share/parts.old").exists() and not list((tool / "cache").iterdir()), "the tool's directory has changed")


# --- the builder that the predecessor's users are shown ---

@own_kernel
def test_what_is_left_of_a_predecessor_s_builder_is_explained_as_shown(m):
    [conf] = re.findall(r"^```nix\n(services\.hatch = \{\n.*?builders\.test.*?)```", (DOCS / "migration.md").read_text(), re.DOTALL | re.MULTILINE)
    place = make_directory(m, "/usr/local/lib/hatch-shown")
    install(m, place / "conf.nix", "{ " + conf + " }\n", 0o644)
    install(m, place / "test-escape-hatch", "#!/bin/sh\n")
    made = system.machine(place / "conf.nix", PACKAGES, ("--read-write-mode", "--store", "daemon"))
    m.write_definition("test", made["files"]["etc/hatch/builders.d/test.json"]["text"])
    explain_as_shown(m, "migration.md", "test")


# --- a board on a serial port ---

UHUBCTL = """#!/bin/sh
# Stands for the real one: notes what it was told to do.
echo "$* for $HATCH_BUILDER" >>/var/tmp/hatch-board-power
"""


def play_board(controller):
    """The board at the other end of the line: it takes firmware and answers one test."""
    line = os.fdopen(os.dup(controller), "rb", buffering=0)
    length = int(line.readline().removeprefix(b"load "))
    firmware = b""
    while len(firmware) < length:
        firmware += line.read(length - len(firmware))
    os.write(controller, b"got " + firmware + b"got " + line.readline() + b"PASS\n")
    line.close()


@both_ways
def example_board_is_power_cycled_and_talks_over_its_serial_port(m, set_up):
    set_up(m, "board")
    install(m, "/usr/local/bin/uhubctl", UHUBCTL)
    power = pathlib.Path("/var/tmp/hatch-board-power")
    m.after_test(lambda: power.unlink(missing_ok=True))
    controller, terminal = os.openpty()
    name = os.ttyname(terminal)
    m.run(["chgrp", "dialout", name]).ok()
    os.chmod(name, 0o660)
    (make_directory(m, "/dev/serial/by-id") / "usb-Board_A-if00").symlink_to(name)
    player = threading.Thread(target=play_board, args=(controller,), daemon=True)
    player.start()
    [out], log = build(m, "board")
    player.join(10)
    os.close(terminal)
    os.close(controller)
    check_in("board: got run self-test", log, "log")
    check_equal(out.read_text(), "got stands for firmware\ngot run self-test\nPASS\n", "what the board said")
    m.wait_until(lambda: not m.instances(), "the end")
    check_equal(power.read_text(), "".join(f"--location 1-1 --ports 2 --action {action} for board\n"
                                                 for action in ("cycle", "off")), "what was done to its power")


# --- a signing key ---


@both_ways
def example_signing_signs_with_a_key_that_nobody_sees(m, set_up):
    set_up(m, "signing")
    key = make_directory(m, "/etc/keys", 0o700) / "release.pem"
    m.run(["openssl", "genrsa", "-out", key, "2048"]).ok()
    [program, signature], _ = build(m, "signing", ["out", "signature"])
    check_equal(program.read_text(), "app 1.0\n", "the program")
    public = m.temporary_directory() / "public.pem"
    m.run(["openssl", "rsa", "-in", key, "-pubout", "-out", public]).ok()
    said = m.run(["openssl", "dgst", "-sha256", "-verify", public, "-signature", signature, program]).ok()
    check_in("Verified OK", said.stdout, "openssl")


# --- a private repository ---

GIT = """#!/bin/sh
# Stands for the real one: the server lets in whoever has the key, and has one commit.
case $* in
"init --quiet /build/clone") mkdir /build/clone ;;
"fetch --quiet --depth=1 git@git.example.com:firmware/core 2f1c9a7e5d3b8064c1f2e3d4a5b60718293a4b5c")
        key=${GIT_SSH_COMMAND##* }
        [ "$(cat "$key")" = "the deploy key" ] && [ "$(stat -c %a "$key")" = 400 ] && [ -s /build/known_hosts ]
        ;;
"--work-tree=$out checkout --quiet FETCH_HEAD -- .") echo "CONTENT" >"$out/README" ;;
*) echo "git: what is $*?" >&2; exit 1 ;;
esac
"""


@both_ways
def example_git_has_the_hash_that_was_expected_or_fails(m, set_up):
    set_up(m, "git")
    (make_directory(m, "/etc/keys", 0o700) / "deploy-key").write_text("the deploy key\n")
    git = pathlib.Path("/usr/local/bin/git")
    install(m, git, GIT.replace("CONTENT", "somebody else's"))
    built = m.nix_build(EXAMPLES / "git/default.nix")
    check(built.code != 0, "another tree than the expected one is a success")
    check_in("hash mismatch", built.stderr, "log")
    git.write_text(GIT.replace("CONTENT", "the firmware's core"))
    [out], _ = build(m, "git")
    check_equal((out / "README").read_text(), "the firmware's core\n", "the tree")


# --- a test in a virtual machine ---

QEMU = """#!/bin/sh
# Stands for the real one: says what it was told to boot, and what the guest then says.
while [ $# -gt 3 ] && [ "$1" != -kernel ]; do shift; done
echo "booting: $(cat "$2") with $(cat "$4")"
echo "boot-test: $VERDICT"
"""


@both_ways
@own_kernel
def example_kvm_opens_the_one_device_it_was_given_and_passes_only_if_the_guest_says_so(m, set_up):
    set_up(m, "kvm")
    m.run(["groupadd", "--system", "--force", "kvm"]).ok()
    device = pathlib.Path("/dev/kvm")
    if not device.exists():
        # No processor here helps with virtual machines; a device of the same name stands for it.
        os.mknod(device, 0o600 | 0o020000, os.makedev(1, 5))
        m.after_test(device.unlink)
    m.run(["chgrp", "kvm", device]).ok()
    device.chmod(0o660)

    qemu = "/usr/local/bin/qemu-system-x86_64"
    install(m, qemu, QEMU.replace("$VERDICT", "panic"))
    built = m.nix_build(EXAMPLES / "kvm/default.nix")
    check(built.code != 0, "a test that did not pass is a success")
    check_in("the guest did not say that the test has passed", built.stderr, "log")

    pathlib.Path(qemu).write_text(QEMU.replace("$VERDICT", "passed"))
    [out], log = build(m, "kvm")
    console = "booting: stands for a kernel with stands for an initial file system\nboot-test: passed\n"
    check_in("booting: stands for a kernel", log, "log")
    check_equal((out / "console").read_text(), console, "console")


# --- a container image ---


@both_ways
def example_image_holds_files_of_many_users(m, set_up):
    set_up(m, "image")
    [out], _ = build(m, "image")
    with tarfile.open(out / "web.tar") as image:
        owners = {member.name: (member.uid, member.gid) for member in image}
    check_equal(owners["./etc/passwd"], (0, 0), "owner of /etc/passwd in the image")
    check_equal(owners["./srv/www/index.html"], (33, 33), "owner of a page in the image, which is an input")
    m.wait_until(lambda: not m.instances(), "the end")
    check_equal(list((STATE / "scratch").iterdir()), [], "what is left of it")
