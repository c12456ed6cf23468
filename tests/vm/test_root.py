"""A root of the builder's own: a tree or an image of the host in the place of the system's programs.

The attacks are a tree's own: links and files where the set-up is about to put something. Images need loop devices,
which a container has not.
"""

import errno
import hashlib
import json
import os
import pathlib
import re
import shutil

import attack
import hatchwire
from machine import BIN, Skip, check, check_equal, check_in, mounts_of_the_host, own_kernel

BUSYBOX = "/usr/bin/busybox"
VENDOR = "I am the vendor's\n"


def make_tree(m, name="tree"):
    """A small system of a vendor: busybox, its shell, and files to be told by. Removed after the test."""
    # Not below /var/tmp: everybody may write there, so nothing in it is believed.
    tree = pathlib.Path("/opt/hatch-test", name)
    m.after_test(lambda: shutil.rmtree(tree, ignore_errors=True))
    for place in ("bin", "etc", "opt/vendor"):
        (tree / place).mkdir(parents=True)
    shutil.copy(BUSYBOX, tree / "bin/busybox")
    for applet in ("sh", "ls", "cat", "id", "touch", "mkdir", "stat", "mount", "hostname"):
        (tree / "bin" / applet).symlink_to("busybox")
    (tree / "etc/vendor").write_text(VENDOR)
    (tree / "etc/passwd").write_text("vendor:x:7:7::/:/bin/sh\n")
    (tree / "opt/vendor/run").write_text('#!/bin/sh\necho "run: $*"\n')
    (tree / "opt/vendor/run").chmod(0o755)
    return tree


def listing(place):
    """Everything below a directory, with what tells whether it was touched."""
    found = {}
    for path in [place, *sorted(place.rglob("*"))]:
        st = path.lstat()
        found[str(path)] = (st.st_mode, st.st_uid, st.st_size, st.st_mtime_ns, st.st_ino)
    return found


def write_builder(m, name, root, script, **definition):
    """A builder that has this root and runs a line of its shell there."""
    m.write_builder(name, "", command=["/bin/sh", "-c", script, "sh"], root=root, **definition)


def run(m, root, script, **definition):
    write_builder(m, "rooted", root, script, **definition)
    return m.request("rooted")


def failure(m, root, script="echo ran", code="server-failed", **definition):
    """What the journal says of a request that must fail."""
    write_builder(m, "rooted", root, script, **definition)
    cursor = m.journal_cursor()
    result = m.request("rooted")
    check_equal(result.error, code, f"error of {result!r}")
    return m.journal_wait(cursor, HATCH_VERDICT=code)[0]["MESSAGE"]


# --- a tree -----------------------------------------------------------------------------------------------------------


def test_a_tree_is_all_that_the_builder_finds(m):
    tree = make_tree(m)
    result = run(m, {"tree": str(tree)}, "cat /etc/vendor; ls /; ls /usr /lib")
    check_in(VENDOR, result.stdout.decode(), "what it says")
    names = set(result.stdout.decode().split())
    check({"bin", "opt", "build", "dev", "proc", "tmp"} <= names, f"in its root there is {names}")
    check(not names & {"sbin", "home", "root", "srv", "boot"}, f"in its root there is {names}")
    check_in(b"/usr: No such file", result.stderr, "the shell")


def test_a_program_of_a_tree_is_the_command_with_its_own_interpreter(m):
    tree = make_tree(m)
    m.write_builder("vendor", "", command=["/opt/vendor/run"], root={"tree": str(tree)})
    result = m.request("vendor", ["a b", "c"])
    check_equal((result.code, result.stdout), (0, b"run: a b c\n"), "what it says")


def test_a_link_in_a_tree_leads_to_the_tree_and_not_to_the_host(m):
    tree = make_tree(m)
    (tree / "opt/tool").symlink_to("/opt/vendor/run")
    (tree / "opt/up").symlink_to("../../../../../opt/vendor/run")
    for command in ("/opt/tool", "/opt/up"):
        m.write_builder("vendor", "", command=[command], root={"tree": str(tree)})
        check_equal(m.request("vendor").stdout, b"run: \n", f"what {command} says")
    (tree / "opt/host").symlink_to("/usr/bin/python3")
    m.write_builder("vendor", "", command=["/opt/host"], root={"tree": str(tree)})
    check_equal(m.request("vendor").error, "not-found", "a program that only the host has")


def test_nothing_of_a_tree_can_be_changed(m):
    tree = make_tree(m)
    (tree / "open").mkdir()
    (tree / "open").chmod(0o1777)
    before = listing(tree)
    script = "for p in /x /open/x /etc/x /dev/x /opt/vendor/x; do touch $p && echo changed $p; done; id -u"
    result = run(m, {"tree": str(tree)}, script)
    check("changed" not in result.stdout.decode(), f"it says {result.stdout}")
    check_equal(result.stderr.count(b"Read-only file system"), 5, f"refusals in {result.stderr}")
    check_equal(listing(tree), before, "the tree")


def test_a_builder_in_a_tree_has_what_every_builder_has(m):
    tree = make_tree(m)
    script = """
      id -un; cat /proc/1/comm; echo x >/dev/null && echo x >/tmp/a && cat /var/tmp/a && echo x >/dev/shm/a
      mkdir $out && cat /etc/vendor >$out/file; cat /etc/hosts /etc/nsswitch.conf; ls -l /dev/fd
    """
    write_builder(m, "rooted", {"tree": str(tree)}, script)
    built = m.nix_build(m.hatch_derivation("from-tree", "rooted"))
    check_equal(pathlib.Path(built.ok().lines()[-1], "file").read_text(), VENDOR, "output")
    result = m.request("rooted", outputs={"out": None})
    check_equal(result.code, 0, repr(result))
    for word in ("hatchbld", "hatchd", "localhost", "passwd: files", "/proc/self/fd"):
        check_in(word, result.stdout.decode(), "what it says")


def test_the_store_and_what_a_view_shows_are_there_beside_a_tree(m):
    tree = make_tree(m)
    place = m.temporary_directory()
    (place / "shown").write_text("shown\n")
    (tree / "opt/vendor/old").write_text("hidden\n")
    program = BIN / "stand-alone"
    m.write_builder("stand-alone", "echo from the host", "/bin/sh", root={"tree": str(tree)})
    # write_builder() shows BIN, which the tree lacks: the command is found there, its interpreter in the tree.
    result = m.request("stand-alone")
    check_equal((result.code, result.stdout), (0, b"from the host\n"), f"what {program} says")
    result = run(m, {"tree": str(tree)}, f"cat {place}/shown; ls /nix/store >/dev/null && echo store",
                 view={"read": [str(place)]})
    check_equal(result.stdout, b"shown\nstore\n", "what it says")


def test_a_program_of_a_tree_is_told_missing_or_unfit_as_of_the_host(m):
    tree = make_tree(m)
    (tree / "opt/data").write_text("no program\n")
    (tree / "opt/script").write_text("#!/usr/bin/python3\n")
    (tree / "opt/script").chmod(0o755)
    (tree / "opt/strange").write_text("#!/bin/sh\n")
    (tree / "opt/strange").chmod(0o755)
    os.chown(tree / "opt/strange", 1000, 1000)
    rows = (
        ("/opt/missing", "not-found", f"{tree}/opt/missing does not exist"),
        ("/opt/data", "cannot-run", f"{tree}/opt/data cannot be executed"),
        ("/opt/script", "not-found", f"{tree}/usr, on the way to {tree}/usr/bin/python3, does not exist"),
        ("/opt/strange", "server-failed", f"{tree}/opt/strange belongs to uid 1000"),
    )
    for command, code, why in rows:
        cursor = m.journal_cursor()
        m.write_builder("vendor", "", command=[command], root={"tree": str(tree)})
        check_equal(m.request("vendor").error, code, command)
        check_in(why, m.journal_wait(cursor, HATCH_VERDICT=code)[0]["MESSAGE"], "journal")
        checked = m.run(["hatchd", "--check"])
        check_equal(checked.code, 78, f"--check: {checked.stdout}")
        check_in(why, checked.stdout, "--check")


def test_a_tree_that_somebody_else_could_change_is_refused(m):
    tree = make_tree(m)
    for spoil, why in ((lambda: tree.chmod(0o777), "can be written by everybody"),
                       (lambda: os.chown(tree, 1000, 1000), "belongs to uid 1000")):
        spoil()
        check_in(f"{tree} {why}", failure(m, {"tree": str(tree)}), "journal")
        check_in(f"{tree} {why}", m.run(["hatchd", "--check"]).stdout, "--check")
        os.chown(tree, 0, 0)
        tree.chmod(0o755)
    check_equal(run(m, {"tree": str(tree)}, "echo ran").stdout, b"ran\n", "the same, made right")


def test_a_tree_that_is_a_file_or_missing_is_refused(m):
    tree = make_tree(m)
    check_in("is no directory", failure(m, {"tree": f"{tree}/etc/vendor"}), "journal")
    check_in("does not exist", failure(m, {"tree": f"{tree}/nowhere"}), "journal")


WRITES = """
  echo new >/etc/vendor && cat /etc/vendor; echo x >/opt/vendor/x && cat /opt/vendor/x; rm /bin/cat && ls /bin/cat
  mkdir -p /srv/deep && echo made; ls -ldn /opt | { read mode links uid rest; test $uid = $(id -u) && echo mine; }
  dd if=/dev/zero of=/opt/big bs=1M count=40 2>&1 | grep -o "No space left"; exit 0
"""


def check_writable(m, root, what):
    """The builder changes everything, up to the size, and the next request finds it as it was."""
    for _ in range(2):
        result = run(m, {**root, "readonly": False, "size": "16M"}, WRITES)
        check_equal(result.stdout.decode().split("\n"), ["new", "x", "made", "mine", "No space left", ""], f"{what}: {result!r}")
        check_in(b"/bin/cat: No such file", result.stderr, what)


def test_what_is_written_to_a_tree_is_thrown_away(m):
    tree = make_tree(m)
    for applet in ("rm", "dd", "grep", "test"):
        (tree / "bin" / applet).symlink_to("busybox")
    before = listing(tree)
    check_writable(m, {"tree": str(tree)}, "tree")
    check_equal(listing(tree), before, "the tree")


def test_the_size_of_a_root_is_what_the_builder_may_write(m):
    tree = make_tree(m)
    for applet in ("dd", "grep"):
        (tree / "bin" / applet).symlink_to("busybox")
    for blocks, full in ((256, b""), (257, b"No space left\n")):
        script = f"dd if=/dev/zero of=/big bs=4096 count={blocks} 2>&1 | grep -o 'No space left'; exit 0"
        result = run(m, {"tree": str(tree), "readonly": False, "size": "1M"}, script)
        check_equal((result.code, result.stdout), (0, full), f"{blocks} blocks of 4096: {result!r}")
    script = "i=0; while touch /f$i 2>/dev/null; do i=$((i + 1)); done; echo $i"
    result = run(m, {"tree": str(tree), "readonly": False, "size": "64K"}, script)
    check_equal(result.stdout, b"16\n", f"files: {result!r}")


def test_root_of_a_user_namespace_may_write_to_its_root(m):
    tree = make_tree(m)
    script = "id -u; echo x >/etc/vendor && cat /etc/vendor; touch /x && ls -ln /x"
    for top, lines in (({"readonly": False}, ["0", "x"]), ({}, ["0"])):
        result = run(m, {"tree": str(tree), **top}, script, uid_map="root")
        check_equal(result.stdout.decode().splitlines()[: len(lines)], lines, f"{top}: {result!r}")


# --- attacks ----------------------------------------------------------------------------------------------------------


def test_a_link_or_file_where_hatch_puts_its_own_is_refused(m):
    tree = make_tree(m)
    outside = m.temporary_directory()
    before = listing(outside)
    for place in ("build", "dev", "proc", "tmp", "etc"):
        path = tree / place
        if place == "etc":
            shutil.rmtree(path)
        for make, what in ((lambda p: p.symlink_to(outside), "a symbolic link"), (lambda p: p.write_text(""), "no directory")):
            make(path)
            message = failure(m, {"tree": str(tree)})
            check_in(f"/{place} of {tree} is {what}", message, "journal")
            check_in(f"/{place} of {tree} is {what}", m.run(["hatchd", "--check"]).stdout, "--check")
            path.unlink()
    check_equal(listing(outside), before, "what the links lead to")


def outside_of(m):
    """A directory of the host that a tree's links lead to, with a file for each name that the set-up writes."""
    outside = m.temporary_directory()
    for name in ("passwd", "group", "nsswitch.conf", "hosts", "resolv.conf"):
        (outside / name).write_text("the host's\n")
    (outside / "store").mkdir()
    return outside


def test_links_in_the_etc_of_a_tree_are_replaced_and_not_followed(m):
    tree, outside = make_tree(m), outside_of(m)
    (tree / "etc/passwd").unlink()
    for name in ("passwd", "group", "nsswitch.conf", "hosts", "resolv.conf"):
        (tree / "etc" / name).symlink_to(outside / name)
    before = listing(outside), listing(tree)
    for network in ("none", "host"):
        result = run(m, {"tree": str(tree)}, "cat /etc/passwd; id -un; ls -l /etc", network=network)
        check_equal(result.code, 0, f"{result!r}")
        check_in("hatch build user", result.stdout.decode(), "/etc/passwd")
        check_equal((listing(outside), listing(tree)), before, "tree, and what its links lead to")


def test_links_on_the_way_to_a_place_do_not_lead_out_of_a_tree(m):
    outside = outside_of(m)
    before, host = listing(outside), sorted(os.listdir("/tmp"))
    shown = pathlib.Path("/opt/shown/deep")
    shown.mkdir(parents=True)
    m.after_test(lambda: shutil.rmtree(shown.parent))
    m.nix_build(m.derivation("anything", args=["-c", "echo >$out"])).ok()  # so that there is a store
    for name, view in (("var", {}), ("nix", {}), ("opt/shown", {"read": [str(shown)]})):
        tree = make_tree(m, f"tree-{name.replace('/', '-')}")
        (tree / name).symlink_to(outside)
        check_in(f"cannot make a place for /{name}", failure(m, {"tree": str(tree)}, view=view), "journal")
        # A link that stays inside is followed, there.
        (tree / name).unlink()
        (tree / "inside").mkdir()
        (tree / name).symlink_to("/inside")
        result = run(m, {"tree": str(tree)}, f"ls /{name} /inside", view=view)
        check_equal(result.code, 0, f"{name}: {result!r}")
    check_equal(listing(outside), before, "what the links lead to")
    check_equal(sorted(os.listdir("/tmp")), host, "the host's /tmp")


def test_what_a_tree_has_in_dev_is_no_device_of_the_builder(m):
    tree = make_tree(m)
    (tree / "dev").mkdir()
    os.mknod(tree / "dev/mem", 0o666 | 0o020000, os.makedev(1, 1))
    os.mknod(tree / "opt/mem", 0o666 | 0o020000, os.makedev(1, 1))
    (tree / "dev/null").symlink_to("/etc/vendor")
    result = run(m, {"tree": str(tree)}, "ls /dev; cat /opt/mem; echo x >/dev/null; cat /etc/vendor")
    check("mem" not in result.stdout.decode().split(), f"in /dev there is {result.stdout}")
    check_in(b"/opt/mem': Permission denied", result.stderr.replace(b"can't open '", b""), "the shell")
    check_in(VENDOR, result.stdout.decode(), "what it says")


def test_a_set_id_program_of_a_tree_gives_no_rights(m):
    tree = make_tree(m)
    shutil.copy(BUSYBOX, tree / "bin/id-of-root")
    (tree / "bin/id-of-root").chmod(0o6755)
    result = run(m, {"tree": str(tree)}, "/bin/id-of-root id -u; exit 0")
    check(result.stdout.strip() != b"0", "it became root")


def test_nothing_is_left_mounted_on_the_host_by_a_tree(m):
    tree = make_tree(m)
    before = mounts_of_the_host()
    check_equal(run(m, {"tree": str(tree)}, "cat /proc/self/mountinfo >/dev/null").code, 0, "exit code")
    check_equal(mounts_of_the_host(), before, "the host's mounts")


# --- images -----------------------------------------------------------------------------------------------------------

MAKERS = {
    "squashfs": lambda tree, image: ["mksquashfs", tree, image, "-quiet", "-no-progress"],
    "erofs": lambda tree, image: ["mkfs.erofs", "--quiet", image, tree],
    "ext4": lambda tree, image: ["mkfs.ext4", "-q", "-d", tree, image, "24M"],
}


def make_image(m, kind, tree=None):
    """An image of a tree. Its name says nothing about its kind. Removed after the test."""
    if shutil.which("modprobe"):
        m.run(["modprobe", "--all", "loop", kind])
    image = pathlib.Path("/opt/hatch-test", f"image-of-{kind}.bin")
    m.after_test(lambda: image.unlink(missing_ok=True))
    m.run(MAKERS[kind](tree or make_tree(m), image)).ok()
    image.chmod(0o644)
    return image


def loops():
    """The files that loop devices have. The kernel may let go of one between the listing and the look at it."""
    files = []
    for path in pathlib.Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            files.append(path.read_text().strip())
        except OSError as e:
            if e.errno not in (errno.ENOENT, errno.ENODEV):
                raise
    return files


def check_no_loops(m, what):
    m.wait_until(lambda: not loops(), f"no loop device {what}, but for {loops()}")


def check_image(m, kind):
    image = make_image(m, kind)
    before = hashlib.sha256(image.read_bytes()).hexdigest()
    script = "cat /etc/vendor; id -un; for p in /x /opt/vendor/x /dev/x; do touch $p || echo refused; done; ls / >/dev/null"
    result = run(m, {"image": str(image)}, script)
    check_equal(result.code, 0, f"{kind}: {result!r}")
    check_in(VENDOR, result.stdout.decode(), "what it says")
    check_in("hatchbld", result.stdout.decode(), "what it says")
    check_equal(result.stdout.count(b"refused"), 3, f"refusals in {result.stdout}")
    m.write_builder("vendor", "", command=["/opt/vendor/run"], root={"image": str(image)})
    check_equal(m.request("vendor", ["a"]).stdout, b"run: a\n", "a script of the image")
    check_equal(hashlib.sha256(image.read_bytes()).hexdigest(), before, "the image")
    check_no_loops(m, "after the requests")
    checked = m.run(["hatchd", "--check"])
    check_in("errors: 0", checked.stdout, "--check")
    check_no_loops(m, "after --check")


@own_kernel
def test_what_is_written_to_an_image_is_thrown_away(m):
    for kind in MAKERS:
        tree = make_tree(m)
        for applet in ("rm", "dd", "grep", "test"):
            (tree / "bin" / applet).symlink_to("busybox")
        image = make_image(m, kind, tree)
        before = hashlib.sha256(image.read_bytes()).hexdigest()
        check_writable(m, {"image": str(image)}, kind)
        check_equal(hashlib.sha256(image.read_bytes()).hexdigest(), before, "the image")
        check_no_loops(m, "after the requests")
        shutil.rmtree(tree)


@own_kernel
def test_a_squashfs_image_is_a_root(m):
    check_image(m, "squashfs")


@own_kernel
def test_an_erofs_image_is_a_root(m):
    check_image(m, "erofs")


@own_kernel
def test_an_ext4_image_is_a_root(m):
    check_image(m, "ext4")


@own_kernel
def test_a_program_of_an_image_is_told_missing_or_unfit_before_a_slot_is_taken(m):
    tree = make_tree(m)
    (tree / "opt/data").write_text("no program\n")
    os.chown(tree / "opt/vendor/run", 1000, 1000)  # within an image it does not matter to whom a file belongs
    image = make_image(m, "squashfs", tree)
    rows = (("/opt/missing", "not-found", f"{image}:/opt/missing does not exist"),
            ("/opt/data", "cannot-run", f"{image}:/opt/data cannot be executed"),
            ("/usr/bin/python3", "not-found", f"{image}:/usr, on the way to"))
    for command, code, why in rows:
        cursor = m.journal_cursor()
        m.write_builder("vendor", "", command=[command], root={"image": str(image)})
        check_equal(m.request("vendor").error, code, command)
        line = m.journal_wait(cursor, HATCH_VERDICT=code)[0]
        check_in(why, line["MESSAGE"], "journal")
        check_equal(line["HATCH_PHASE"], "policy", "phase")
        check_in(why, m.run(["hatchd", "--check"]).stdout, "--check")
    m.write_builder("vendor", "", command=["/opt/vendor/run"], root={"image": str(image)})
    check_equal(m.request("vendor").code, 0, "a program of somebody's in an image")
    check_no_loops(m, "after the requests")


@own_kernel
def test_a_file_that_is_no_image_is_refused(m):
    image = make_image(m, "squashfs")
    tree = image.parent / "tree"
    check_in("is no regular file", failure(m, {"image": str(tree)}), "journal")
    check_in("does not exist", failure(m, {"image": f"{image}.x"}), "journal")
    image.write_text("just words\n" * 1000)
    check_in("is no image; expected a squashfs, erofs or ext4", failure(m, {"image": str(image)}), "journal")
    check_in("is no image; expected a squashfs, erofs or ext4", m.run(["hatchctl", "check"]).stderr, "hatchctl check")
    image.write_bytes(b"hsqs" + bytes(8192))
    check_in("cannot make a squashfs file system", failure(m, {"image": str(image)}), "journal")
    check_no_loops(m, "after the requests")


@own_kernel
def test_an_image_that_others_could_write_is_never_mounted(m):
    image = make_image(m, "squashfs")
    image.chmod(0o666)
    check_in(f"{image} can be written by everybody", failure(m, {"image": str(image)}), "journal")
    image.chmod(0o644)
    os.chown(image, 1000, 1000)
    check_in(f"{image} belongs to uid 1000", failure(m, {"image": str(image)}), "journal")


@own_kernel
def test_the_journal_of_an_ext4_image_is_not_replayed(m):
    image = make_image(m, "ext4")
    m.run(["debugfs", "-w", "-R", "feature needs_recovery", image]).ok()
    before = hashlib.sha256(image.read_bytes()).hexdigest()
    check_equal(run(m, {"image": str(image)}, "cat /etc/vendor").stdout, VENDOR.encode(), "what it says")
    check_equal(hashlib.sha256(image.read_bytes()).hexdigest(), before, "the image")


@own_kernel
def test_a_damaged_ext4_image_that_asks_for_a_panic_gets_none(m):
    image = make_image(m, "ext4")
    m.run(["tune2fs", "-e", "panic", image]).ok()
    block = int(m.run(["debugfs", "-R", "blocks /opt/vendor", image]).ok().stdout.split()[0])
    size = next(int(line.split()[-1]) for line in m.run(["dumpe2fs", "-h", image]).ok().lines() if line.startswith("Block size"))
    with image.open("r+b") as file:
        file.seek(block * size)
        file.write(b"\xff" * size)
    result = run(m, {"image": str(image)}, "ls /opt/vendor; echo survived")
    check_in(b"survived", result.stdout, "what it says")


@own_kernel
def test_devices_and_set_id_programs_of_an_image_give_nothing(m):
    tree = make_tree(m)
    os.mknod(tree / "opt/mem", 0o666 | 0o020000, os.makedev(1, 1))
    shutil.copy(BUSYBOX, tree / "bin/id-of-root")
    (tree / "bin/id-of-root").chmod(0o6755)
    image = make_image(m, "squashfs", tree)
    result = run(m, {"image": str(image)}, "/bin/id-of-root id -u; cat /opt/mem; ls /dev; cat /proc/mounts; exit 0")
    check(result.stdout.splitlines()[0] != b"0", "it became root")
    check_in(b"Permission denied", result.stderr, "the shell")
    check(b"loop" not in result.stdout, f"it sees {result.stdout}")


@own_kernel
def test_an_image_is_let_go_when_the_monitor_is_killed_while_the_builder_runs(m):
    image = make_image(m, "squashfs")
    write_builder(m, "rooted", {"image": str(image)}, "echo here; sleep 60")
    with attack.live(m, "rooted") as (_, i):
        check_equal(loops(), [str(image)], "files of loop devices")
        os.kill(i.monitor.pid, 9)
        check_no_loops(m, "after the monitor was killed")
    m.write_builder("next", "echo next")
    check_equal(m.request("next").code, 0, "the next request")  # clears what is left


@own_kernel
def test_an_image_is_let_go_whenever_the_monitor_is_killed(m):
    image = make_image(m, "squashfs")
    write_builder(m, "rooted", {"image": str(image)}, "echo here")
    point = pathlib.Path("/run/point")
    m.after_test(lambda: point.unlink(missing_ok=True))
    calls = "ioctl,fsopen,fsconfig,fsmount,clone3,move_mount,sendto,wait4"
    attack.write_wrapper(m, f'exec strace -D -qq -o /dev/null -e trace={calls} $(cat /run/point) "$@"')
    ends = set()
    for number in range(1, 30):
        point.write_text(f"-e inject={calls}:signal=SIGKILL:when={number}\n")
        try:
            with m.client() as client:
                ends.add(client.run("rooted").code)
        except (hatchwire.Ended, ConnectionResetError, BrokenPipeError):
            ends.add("killed")
        check_no_loops(m, f"after a kill at call {number}")
    check("killed" in ends, f"it was killed at no point: {ends}")
    point.write_text("\n")
    check_equal(m.request("rooted").code, 0, "a request that nobody kills")


test_an_image_is_let_go_whenever_the_monitor_is_killed.seconds = 200


@own_kernel
def test_without_a_kernel_module_the_error_names_it(m):
    image = make_image(m, "erofs")
    m.run(["modprobe", "-r", "erofs"])
    if os.path.exists("/sys/module/erofs") or "erofs" in pathlib.Path("/proc/filesystems").read_text():
        raise Skip("the kernel cannot do without erofs")
    rule = pathlib.Path("/etc/modprobe.d/hatch-test.conf")
    rule.parent.mkdir(exist_ok=True)
    rule.write_text("install erofs /bin/false\n")
    m.after_test(rule.unlink)
    check_in("modprobe erofs", failure(m, {"image": str(image)}), "journal")
    check_in("host: erofs: no", m.run(["hatchd", "--check"]).stdout, "--check")
    check_no_loops(m, "after the request")


# --- bundles ----------------------------------------------------------------------------------------------------------


def spec(args, **members):
    """What `runc spec` writes, with a command, and without the terminal and the user that nobody has."""
    process = {
        "terminal": False,
        "args": args,
        "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
        "cwd": "/",
        "capabilities": {kind: ["CAP_AUDIT_WRITE", "CAP_KILL"] for kind in ("bounding", "effective", "permitted")},
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 512}],
        "noNewPrivileges": True,
    }
    mounts = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance", "gid=5"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "relatime", "ro"]},
    ]
    linux = {
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
        "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/sys/firmware", "/opt/vendor/secret"],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    }
    whole = {
        "ociVersion": "1.2.1",
        "process": {**process, **members.pop("process", {})},
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "runc",
        "mounts": mounts + members.pop("mounts", []),
        "linux": {**linux, **members.pop("linux", {})},
    }
    return {**whole, **members}


def make_bundle(m, config):
    """A bundle with the small system of a vendor and this config.json."""
    bundle = make_tree(m, "bundle/rootfs").parent
    m.after_test(lambda: shutil.rmtree(bundle))
    (bundle / "rootfs/opt/vendor/secret").write_text("secret\n")
    write_config(bundle, config)
    return bundle


def write_config(bundle, config):
    (bundle / "config.json").write_text(json.dumps(config, indent=2) + "\n")


SHOW = ["/bin/sh", "-c", """
  pwd; hostname; echo $TERM; ulimit -Sn; ulimit -Hn; cat /etc/vendor; cat /opt/vendor/secret
  touch /x; grep CapEff /proc/self/status; cat /proc/keys; ls /sys; echo end "$@"
""", "sh"]


def test_what_a_bundle_masks_and_cannot_be_looked_at_ends_the_request(m):
    bundle = make_bundle(m, spec(SHOW, linux={"maskedPaths": ["/opt/nothing", "/etc/vendor/nothing", "/opt/vendor/loop"]}))
    definition = {"allow": {"users": ["root"]}, "root": {"bundle": str(bundle)}}
    m.write_definition("bundled", json.dumps(definition))
    check_equal(m.request("bundled").code, 0, "what is not there needs no mask")
    (bundle / "rootfs/opt/vendor/loop").symlink_to("loop")
    check_equal(m.request("bundled").error, "server-failed", "what would be seen")


def test_the_standard_file_of_a_bundle_runs_its_process(m):
    bundle = make_bundle(m, spec(SHOW))
    # Only the bundle says what to run.
    definition = {"allow": {"users": ["root"]}, "args": {"max": 2}, "root": {"bundle": str(bundle)}}
    m.write_definition("bundled", json.dumps(definition))
    result = m.request("bundled", ["a", "b"])
    check_equal(result.code, 0, repr(result))
    lines = result.stdout.decode().splitlines()
    check_equal(lines, ["/", "runc", "xterm", "512", "1024", VENDOR.strip(), "CapEff:\t0000000000000000", "end a b"], "what it says")
    for refusal in (b"secret': Permission denied", b"/x: Read-only file system", b"keys': Permission denied", b"/sys: No such file"):
        check_in(refusal, result.stderr, "refusals")
    check_in("errors: 0", m.run(["hatchd", "--check"]).stdout, "--check")


def test_a_definition_says_more_than_a_bundle_and_comes_first(m):
    bundle = make_bundle(m, spec(["/bin/false"]))
    result = run(m, {"bundle": str(bundle)}, "echo $TERM; echo $MORE; ulimit -Hn",
                 environment={"set": {"TERM": "mine", "MORE": "too"}}, limits={"rlimits": {"nofile": 128}})
    check_equal(result.stdout, b"mine\ntoo\n128\n", "what it says")


def test_mounts_of_a_bundle_are_places_of_the_view(m):
    place = m.temporary_directory(0o777)
    (place / "file").write_text("shown\n")
    mounts = [
        {"destination": "/shown", "type": "bind", "source": str(place), "options": ["rbind", "ro"]},
        {"destination": "/open", "type": "none", "source": str(place), "options": ["bind", "rw"]},
        {"destination": "/inner", "type": "bind", "source": "rootfs/etc", "options": ["ro"]},
        {"destination": "/memory", "type": "tmpfs", "source": "tmpfs", "options": ["size=64k"]},
    ]
    script = "cat /shown/file; touch /shown/x || echo refused; echo y >/open/new; cat /inner/vendor; echo z >/memory/z && cat /memory/z"
    bundle = make_bundle(m, spec(["/bin/sh", "-c", script], mounts=mounts, process={"cwd": "/shown"}))
    m.write_definition("bundled", json.dumps({"allow": {"users": ["root"]}, "root": {"bundle": str(bundle)}}))
    result = m.request("bundled")
    check_equal(result.stdout.decode(), f"shown\nrefused\n{VENDOR}z\n", "what it says")
    check_equal((place / "new").read_text(), "y\n", "what it left")


def test_a_bundle_may_say_that_its_root_is_written_to_and_the_definition_that_it_is_not(m):
    bundle = make_bundle(m, spec(["/bin/true"], root={"path": "rootfs", "readonly": False}))
    script = "echo x >/etc/vendor && cat /etc/vendor; exit 0"
    check_equal(run(m, {"bundle": str(bundle)}, script).stdout, b"x\n", "what it says")
    check_equal(run(m, {"bundle": str(bundle), "readonly": True}, script).stdout, b"", "what it says where it may not")
    check_equal((bundle / "rootfs/etc/vendor").read_text(), VENDOR, "the tree")


def test_outputs_come_from_a_bundle(m):
    bundle = make_bundle(m, spec(["/bin/sh", "-c", "cp /etc/vendor $out"]))
    (bundle / "rootfs/bin/cp").symlink_to("busybox")
    m.write_definition("bundled", json.dumps({"allow": {"groups": ["nixbld"]}, "root": {"bundle": str(bundle)}}))
    built = m.nix_build(m.hatch_derivation("from-bundle", "bundled"))
    check_equal(pathlib.Path(built.ok().lines()[-1]).read_text(), VENDOR, "output")


def test_what_hatch_does_not_do_for_a_bundle_is_named_with_its_place(m):
    rows = (
        ({"process": {"terminal": True}}, "a builder has no terminal"),
        ({"process": {"user": {"uid": 0, "gid": 0}}}, "runs as a build user"),
        ({"process": {"args": ["sh"]}}, '"sh"; expected an absolute path'),
        ({"hooks": {"prestart": [{"path": "/bin/true"}]}}, '"hooks" is not supported'),
        ({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ERRNO"}}}, '"seccomp" is not supported'),
        ({"linux": {"devices": [{"path": "/dev/fuse"}]}}, '"devices" is not supported'),
        ({"linux": {"namespaces": [{"type": "user"}]}}, '"user" is not supported'),
        ({"mounts": [{"destination": "/x", "type": "bind", "source": "/var/lib/hatch"}]}, "it holds what other requests write"),
        ({"mounts": [{"destination": "/proc/sys", "type": "bind", "source": "/srv"}]}, "hatch mounts one of the builder's own"),
        ({"root": {"path": "../tree"}}, "expected an absolute path"),
    )
    for members, why in rows:
        config = spec(["/bin/true"], **members)
        if m.run(["test", "-d", "/opt/hatch-test/bundle"]).code == 0:
            write_config(bundle, config)
        else:
            bundle = make_bundle(m, config)
            m.write_definition("bundled", json.dumps({"allow": {"users": ["root"]}, "root": {"bundle": str(bundle)}}))
        cursor = m.journal_cursor()
        check_equal(m.request("bundled").error, "server-failed", f"{members}")
        line = m.journal_wait(cursor, HATCH_VERDICT="server-failed")[0]
        check_in(why, line["MESSAGE"], "journal")
        check_equal(line["HATCH_PHASE"], "policy", "phase")
        for tool in (["hatchd", "--check"], ["hatchctl", "check"]):
            said = m.run(tool)
            check_in(f"{bundle}/config.json:", said.stdout + said.stderr, " ".join(tool))
            check_in(why, said.stdout + said.stderr, " ".join(tool))


def test_a_bundle_that_somebody_else_could_change_or_that_leads_elsewhere_is_refused(m):
    bundle = make_bundle(m, spec(["/bin/true"]))
    (bundle / "config.json").chmod(0o666)
    check_in("config.json can be written by everybody", failure(m, {"bundle": str(bundle)}), "journal")
    (bundle / "config.json").chmod(0o644)
    (bundle / "rootfs").rename(bundle / "real")
    (bundle / "rootfs").symlink_to("/opt")
    check_in("is not inside of the bundle", failure(m, {"bundle": str(bundle)}), "journal")
    said = failure(m, {"bundle": "/opt"})
    check(re.search(r"\.json:\d+:\d+: .*/opt is no bundle: it has no config.json", said), f"journal: {said}")
    (bundle / "rootfs").unlink()
    (bundle / "rootfs").symlink_to("real")
    check_equal(run(m, {"bundle": str(bundle)}, "echo ran").stdout, b"ran\n", "one that stays inside")


def test_a_directory_that_a_bundle_lacks_is_told_before_a_slot_is_taken(m):
    bundle = make_bundle(m, spec(["/bin/true"], process={"cwd": "/nowhere"}))
    check_in("the directory /nowhere of its process", failure(m, {"bundle": str(bundle)}), "journal")


# --- definitions ------------------------------------------------------------------------------------------------------


def test_a_root_is_refused_where_it_contradicts_or_shows_too_much(m):
    rows = (
        ('{"tree": "/"}', "is no root for a builder"),
        ('{"tree": "/var"}', "it holds what other requests write"),
        ('{"tree": "/etc"}', "it holds hatch's own configuration"),
        ('{"tree": "srv"}', "expected an absolute path"),
        ('{"tree": "/srv/a", "image": "/srv/b"}', "there is a root already"),
        ('{"image": "/var/lib/hatch/x"}', "it holds what other requests write"),
        ('{}', "there is no root in it"),
        ('[]', "expected an object"),
    )
    for root, why in rows:
        m.write_definition("b", '{"command": ["/bin/sh"],\n "root": ' + root + "}\n")
        checked = m.run(["hatchd", "--check"])
        check_equal(checked.code, 78, f"--check of {root}")
        check_in("/etc/hatch/builders.d/b.json:2:", checked.stdout, f"--check of {root}")
        check_in(why, checked.stdout, f"--check of {root}")


