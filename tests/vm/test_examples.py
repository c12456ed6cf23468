"""Every folder of examples/, as it stands: its definition, its scripts and its derivation, with a stand-in where the real
thing costs money or hangs on a cable."""

import contextlib
import hashlib
import os
import pathlib
import socket
import tarfile
import threading

from machine import STATE, check, check_equal, check_in, need_pasta, own_kernel

EXAMPLES = pathlib.Path("/opt/hatch-test/examples")
LIBEXEC = pathlib.Path("/usr/local/libexec")
NIX_CONF = pathlib.Path("/etc/nix/nix.conf")


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


def configure_nix(m, text):
    """More lines of nix.conf, for one test."""
    before = NIX_CONF.read_text()
    m.after_test(lambda: (NIX_CONF.write_text(before), restart_nix(m)))
    NIX_CONF.write_text(before + text)
    restart_nix(m)


def restart_nix(m):
    # More often than systemd takes for an accident.
    m.run(["systemctl", "reset-failed", "nix-daemon.service", "nix-daemon.socket"])
    m.run(["systemctl", "restart", "nix-daemon"]).ok()


def set_up(m, name):
    """The example's definition, its part of hatchd.json, and its scripts where the definition looks for them; for Nix
    the feature by which derivations ask for the builder."""
    for file in (EXAMPLES / name).iterdir():
        if file.name == "hatchd.json":
            install(m, "/etc/hatch/hatchd.json", file.read_text(), 0o644)
        elif file.suffix == ".json":
            m.write_definition(file.stem, file.read_text())
            configure_nix(m, f"extra-system-features = hatch-{file.stem}\n")
        elif not file.suffix:
            install(m, LIBEXEC / file.name, file.read_text())


def set_up_unit(m, name):
    """The example's drop-ins for hatchd@.service."""
    for file in (EXAMPLES / name).glob("*.conf"):
        install(m, f"/etc/systemd/system/hatchd@.service.d/{file.name}", file.read_text(), 0o644)
    m.run(["systemctl", "daemon-reload"]).ok()
    m.after_test(lambda: m.run(["systemctl", "daemon-reload"]).ok())


def build(m, name):
    """nix-build of the example by alice: its output path and its log."""
    m.run(["hatchd", "--check"]).ok()
    built = m.nix_build(EXAMPLES / name / "default.nix").ok()
    return pathlib.Path(built.lines()[-1]), built.stderr


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


@own_kernel
def test_example_fpga_patches_its_own_tree_and_reaches_only_the_licence_server(m):
    need_pasta(m)
    set_up(m, "fpga")
    tool = pathlib.Path("/opt/fpga")
    install(m, tool / "bin/synth", SYNTH)
    install(m, tool / "share/parts", "xc7a35t\n", 0o644)
    install(m, tool / "share/parts.old", "xc6\n", 0o644)
    (tool / "cache").mkdir()
    m.after_test(lambda: (tool / "cache").rmdir())
    with server(2100, b"seat granted\n"), server(2101, b"mail\n"):
        out, log = build(m, "fpga")
    check_in("licence server: seat granted", log, "log")
    check("reached another port" not in log, f"it reached a port that the definition does not name: {log}")
    check_equal(out.read_text(), "TOP=blink PART=xc7a35t args=blink.v parts=xc7a35t patched \n", "the bitstream")
    check_equal((tool / "share/parts").read_text(), "xc7a35t\n", "the tool's own file on the host")
    check((tool / "share/parts.old").exists() and not list((tool / "cache").iterdir()), "the tool's directory has changed")


# --- a board on a serial port ---

UHUBCTL = """#!/bin/sh
# Stands for the real one: notes what it was told to do.
echo "$* for $HATCH_BUILDER" >>/var/tmp/hatch-board-power
"""


def play_board(controller):
    """The board at the other end of the line: it answers one test."""
    asked = b""
    while not asked.endswith(b"\n"):
        asked += os.read(controller, 1)
    os.write(controller, b"got " + asked + b"volts ok\nPASS\n")


def test_example_board_is_power_cycled_and_talks_over_its_serial_port(m):
    set_up(m, "board")
    install(m, "/usr/local/bin/uhubctl", UHUBCTL)
    power = pathlib.Path("/var/tmp/hatch-board-power")
    m.after_test(lambda: power.unlink(missing_ok=True))
    controller, terminal = os.openpty()
    name = os.ttyname(terminal)
    m.run(["chgrp", "dialout", name]).ok()
    os.chmod(name, 0o660)
    by_id = pathlib.Path("/dev/serial/by-id")
    made = [parent for parent in (by_id, by_id.parent) if not parent.exists()]
    by_id.mkdir(parents=True, exist_ok=True)
    (by_id / "usb-Board_A-if00").symlink_to(name)
    for parent in reversed(made):
        m.after_test(lambda parent=parent: parent.rmdir())
    m.after_test(lambda: (by_id / "usb-Board_A-if00").unlink())
    player = threading.Thread(target=play_board, args=(controller,), daemon=True)
    player.start()
    out, log = build(m, "board")
    player.join(10)
    os.close(terminal)
    os.close(controller)
    check_in("board: volts ok", log, "log")
    check_equal(out.read_text(), "got run self-test\nvolts ok\nPASS\n", "what the board said")
    m.wait_until(lambda: not m.instances(), "the end")
    check_equal(power.read_text(), "".join(f"--location 1-1 --ports 2 --action {action} for board\n"
                                                 for action in ("cycle", "off")), "what was done to its power")


# --- a signing key ---


def test_example_signing_signs_with_a_key_that_nobody_sees(m):
    set_up(m, "signing")
    set_up_unit(m, "signing")
    keys = pathlib.Path("/etc/keys")
    keys.mkdir(mode=0o700)
    m.after_test(lambda: m.run(["rm", "-r", "--", keys]).ok())
    m.run(["openssl", "genrsa", "-out", keys / "release.pem", "2048"]).ok()
    out, _ = build(m, "signing")
    place = m.temporary_directory()
    (place / "digest").write_text(hashlib.sha256(b"hatch 1.0\n").hexdigest())
    m.run(["openssl", "rsa", "-in", keys / "release.pem", "-pubout", "-out", place / "public.pem"]).ok()
    said = m.run(["openssl", "dgst", "-sha256", "-verify", place / "public.pem", "-signature", out, place / "digest"]).ok()
    check_in("Verified OK", said.stdout, "openssl")


# --- a test in a virtual machine ---

QEMU = """#!/bin/sh
# Stands for the real one: says what it was told to boot, and what the guest then says.
while [ $# -gt 3 ] && [ "$1" != -kernel ]; do shift; done
echo "booting: $(cat "$2") with $(cat "$4")"
echo "boot-test: $VERDICT"
"""


@own_kernel
def test_example_kvm_opens_the_one_device_it_was_given_and_passes_only_if_the_guest_says_so(m):
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
    out, log = build(m, "kvm")
    console = "booting: stands for a kernel with stands for an initial file system\nboot-test: passed\n"
    check_in("booting: stands for a kernel", log, "log")
    check_equal((out / "console").read_text(), console, "console")


# --- a container image ---


def test_example_image_holds_files_of_many_users(m):
    set_up(m, "image")
    out, _ = build(m, "image")
    with tarfile.open(out / "web.tar") as image:
        owners = {member.name: (member.uid, member.gid) for member in image}
    check_equal(owners["./etc/passwd"], (0, 0), "owner of /etc/passwd in the image")
    check_equal(owners["./srv/www/index.html"], (33, 33), "owner of a page in the image")
    m.wait_until(lambda: not m.instances(), "the end")
    check_equal(list((STATE / "scratch").iterdir()), [], "what is left of it")
