"""What a build gives along: its own store paths are shown as they are and kept from the collector, the rest is sent."""

import os
import pathlib
import shutil
import signal

import attack
from machine import check, check_equal, check_in

BUSYBOX = "/usr/bin/busybox"

# Names, kinds and contents of what there is, and whether it lies on a mount of its own.
LOOK = r"""cd "$HATCH_INPUTS" || exit
for n in *; do
  if [ -L "$n" ]; then echo "$n link $(readlink "$n")"
  elif [ -d "$n" ]; then echo "$n directory $(cat "$n"/* 2>/dev/null)"
  else echo "$n file $(cat "$n")"; fi
done >"$out"
cut -d' ' -f5,6 /proc/self/mountinfo | grep ^/build/inputs/ >&2
for n in *; do (echo x >"$n/new" || echo x >>"$n") 2>/dev/null && echo "wrote to $n" >&2; done
exit 0
"""


def make_tree(m, text="of the tree"):
    tree = m.temporary_directory() / "tree"
    tree.mkdir()
    (tree / "a").write_text(text)
    (tree / "sub").mkdir()
    (tree / "sub" / "a").write_text(text)
    return tree


def in_store(path):
    """An expression inside of a string: the path in the store, as an input of the derivation."""
    return f"${{{path}}}"


def derivation(m, name, builder, *inputs, **attributes):
    """A derivation that gives NAME=PATH along, PATH as in_store() has it or as it stands."""
    options = [word for given in inputs for word in ("--input", given.replace("${", "@{"))]
    return m.hatch_derivation(name, builder, options=options, **attributes).replace("@{", "${")


def built(result):
    return pathlib.Path(result.ok().lines()[-1]).read_text()


def of_journal(m, cursor, builder):
    line = m.journal_wait(cursor, HATCH_BUILDER=builder)[0]
    return tuple(int(line[name]) for name in ("HATCH_INPUTS", "HATCH_INPUTS_BOUND", "HATCH_INPUT_BYTES"))


def test_inputs_of_a_derivation_are_shown_and_not_sent(m):
    m.write_builder("look", LOOK, inputs=True)
    tree, file = make_tree(m), m.temporary_directory() / "file"
    file.write_text("of the file")
    cursor = m.journal_cursor()
    result = m.nix_build(derivation(m, "shown", "look", f"tree={in_store(tree)}", f"f.txt={in_store(file)}"))
    check_equal(built(result), "f.txt file of the file\ntree directory of the tree\n", "what the builder saw")
    check_equal(of_journal(m, cursor, "look"), (2, 2, 0), "inputs, bound, bytes")
    check_in("/build/inputs/f.txt ro,nosuid,nodev", result.stderr, "mounts")
    check_in("/build/inputs/tree ro,nosuid,nodev", result.stderr, "mounts")
    check("wrote to" not in result.stderr, f"an input could be written to: {result.stderr}")


def test_what_lies_inside_of_a_store_path_is_shown_too(m):
    m.write_builder("look", LOOK, inputs=True)
    tree = make_tree(m)
    (tree / "sub" / "deep").mkdir()
    (tree / "sub" / "deep" / "file").write_text("of the file")
    (tree / "sub" / "to-a").symlink_to("/nowhere/a")
    (tree / "away").symlink_to("sub/deep")
    store = in_store(tree)
    cursor = m.journal_cursor()
    result = m.nix_build(derivation(m, "inside", "look", f"d={store}/sub/deep", f"f={store}/sub/deep/file", f"l={store}/sub/to-a"))
    check_equal(built(result), "d directory of the file\nf file of the file\nl link /nowhere/a\n", "what the builder saw")
    check_equal(of_journal(m, cursor, "look"), (3, 3, 0), "inputs, bound, bytes")
    check_in("/build/inputs/d ro,nosuid,nodev", result.stderr, "mounts")
    check("wrote to" not in result.stderr, f"an input could be written to: {result.stderr}")
    # By way of a link, or in words that are not the plain ones: sent, and the same for the builder.
    cursor = m.journal_cursor()
    result = m.nix_build(derivation(m, "around", "look", f"a={store}/away/file", f"b={store}/sub/../sub/deep", f"c={store}/away/"))
    check_equal(built(result), "a file of the file\nb directory of the file\nc directory of the file\n", "what the builder saw")
    check_equal(of_journal(m, cursor, "look")[:2], (3, 0), "inputs, bound")


def test_a_store_path_that_is_a_symlink_is_shown_as_one(m):
    m.write_builder("link", 'ln -s "elsewhere/and more" "$out"')
    m.write_builder("look", LOOK, inputs=True)
    link = m.hatch_derivation("link", "link")
    cursor = m.journal_cursor()
    result = m.nix_build(f"let link = {link}; in {derivation(m, 'of-link', 'look', 'l=${link}')}")
    check_equal(built(result), "l link elsewhere/and more\n", "what the builder saw")
    check_equal(of_journal(m, cursor, "look"), (1, 1, 0), "inputs, bound, bytes")


def test_attributes_of_a_derivation_name_inputs(m):
    m.write_builder("look", LOOK, inputs=True)
    hatch = {"builder": "look", "inputs": {"tree": f"@{{{make_tree(m)}}}"}}
    text = m.derivation("attributes", "/bin/hatch", ["run"], __structuredAttrs=True, hatch=hatch).replace("@{", "${")
    cursor = m.journal_cursor()
    check_equal(built(m.nix_build(text)), "tree directory of the tree\n", "what the builder saw")
    check_equal(of_journal(m, cursor, "look"), (1, 1, 0), "inputs, bound, bytes")


def phase(m, name, script):
    """A derivation that runs a script of the shell, with all of busybox."""
    programs = m.temporary_directory() / "programs"
    programs.mkdir()
    shutil.copy(BUSYBOX, programs)
    text = f"set -e; bb=@{{{programs}}}/busybox; {script}"
    return m.derivation(name, "/bin/sh", ["-c", text]).replace("@{", "${")


def test_what_a_build_has_made_is_sent(m):
    m.write_builder("look", LOOK, inputs=True)
    cursor = m.journal_cursor()
    result = m.nix_build(phase(m, "made", "$bb mkdir -p d; echo made >d/x; echo one >f; $bb ln -s d l; /bin/hatch run -id=d -if=f -il=l look"))
    check_equal(built(result), "d directory made\nf file one\nl link d\n", "what the builder saw")
    n, bound, sent = of_journal(m, cursor, "look")
    check(n == 3 and bound == 0 and sent >= 3 * 1024, f"{n} inputs, {bound} bound, {sent} bytes")
    check("wrote to" not in result.stderr, f"an input could be written to: {result.stderr}")


def other_path(m):
    """A directory of the host's store that no derivation of the tests depends on."""
    return pathlib.Path(m.run(["nix-store", "--add", make_tree(m, "of another")]).ok().stdout.strip())


# Its own store in the sandbox is the build's to write to: the name is there, the inode is another.
def test_a_path_of_the_host_that_is_no_input_must_be_sent(m):
    m.write_builder("look", LOOK, inputs=True)
    path = other_path(m)
    missing = m.nix_build(phase(m, "missing", f"/bin/hatch run -ix={path} look"))
    check(missing.code != 0 and f"cannot find {path}" in missing.stderr, missing.stderr)
    cursor = m.journal_cursor()
    forged = m.nix_build(phase(m, "forged", f"$bb mkdir {path}; echo forged >{path}/a; /bin/hatch run -ix={path} look"))
    check_equal(built(forged), "x directory forged\n", "what the builder saw")
    check_equal(of_journal(m, cursor, "look")[:2], (1, 0), "inputs, bound")


# Whose namespaces are not those that Nix made is nobody's derivation, and has no inputs.
def test_a_mount_table_that_a_build_made_is_not_believed(m):
    m.write_builder("look", LOOK, inputs=True)
    own, other = in_store(make_tree(m)).replace("${", "@{"), other_path(m)
    ask = f"echo mine >/build/fake/a; mount --bind /build/fake $own; /bin/hatch run -ix=$own -iy={other} look"
    script = (f"own={own}; $bb mkdir /build/fake {other}; echo forged >{other}/a; PATH=/build/bin; export own out; $bb mkdir bin; "
              f"$bb ln -s $bb bin/mount; $bb unshare -Urm /bin/sh -ec '{ask}'")
    cursor = m.journal_cursor()
    check_equal(built(m.nix_build(phase(m, "nested", script))), "x directory mine\ny directory forged\n", "what the builder saw")
    check_equal(of_journal(m, cursor, "look")[:2], (2, 0), "inputs, bound")
    check("HATCH_DRV" not in m.journal_wait(cursor, HATCH_BUILDER="look")[0], "a derivation is known")


def test_a_caller_without_a_sandbox_sends_store_paths(m):
    m.write_builder("look", LOOK.replace('"$out"', "&1"), inputs=True)
    path = other_path(m)
    cursor = m.journal_cursor()
    result = m.run(["hatch", "run", "--input", f"x={path}", "look"]).ok()
    check_equal(result.stdout, "x directory of another\n", "what the builder saw")
    check_equal(of_journal(m, cursor, "look")[:2], (1, 0), "inputs, bound")


# --- the collector ------------------------------------------------------------------------------------------------------


def start_holding(m, name, inside=""):
    """A build whose builder runs and has an input, which is a store path or lies inside of one; the build, and the path."""
    m.write_builder("hold", 'echo begun; while [ ! -e /build/end ]; do sleep 0.1; cat "$HATCH_INPUTS/x/a" >/dev/null || exit 9; done', inputs=True)
    tree = make_tree(m)
    path = pathlib.Path(m.run(["nix-store", "--add", tree]).ok().stdout.strip())
    build = m.nix_build_start(derivation(m, name, "hold", f"x={in_store(tree)}{inside}"))
    m.wait_until(lambda: b"begun" in build.stderr(), "the builder")
    return build, path


def collect(m):
    m.run(["nix-store", "--gc"]).ok()


def holders(m, path):
    """What keeps a path from the collector, such as /proc/12/fd/7, which newer versions of Nix write in quotes."""
    roots = m.run(["nix-store", "--gc", "--print-roots"]).ok().lines()
    return [line.split(" -> ")[0].strip('"') for line in roots if line.endswith(f" -> {path}")]


def check_collected(m, path):
    """Once the request has ended nothing of it keeps the path; a worker of nix-daemon may a little longer."""
    m.wait_until(lambda: not m.instances(), "the end of the request")
    m.wait_until(lambda: not holders(m, path), f"that nothing keeps {path}")
    collect(m)
    check(not path.exists(), "nothing keeps the path any more, but the collector did")


def is_fd_of(pid, holder):
    return holder.startswith(f"/proc/{pid}/fd/")


def test_an_input_is_not_collected_in_mid_build(m):
    build, path = start_holding(m, "collected")
    [monitor] = m.monitors()
    held = holders(m, path)
    check(any(is_fd_of(monitor, holder) for holder in held), f"the monitor does not hold the path: {held}")
    collect(m)
    check((path / "a").exists(), "the input was collected")
    check(build.process.poll() is None, f"the builder has ended: {build.stderr()}")
    build.signal(signal.SIGINT)
    build.wait()
    check_collected(m, path)


# The build is gone, and what kept its inputs with it; the monitor cannot act on it yet, so its builder runs on.
def keeps_until_the_builder_is_dead(m, name, inside):
    build, path = start_holding(m, name, inside)
    [monitor] = m.monitors()
    # Not the shell's own children, which look like it until they are another program.
    shells = {p.pid: p.parent for p in attack.processes() if p.command == "/bin/sh" and p.uids & set(m.build_users().values())}
    builders = [pid for pid, parent in shells.items() if parent not in shells]
    check(builders, "no builder runs")
    os.kill(monitor, signal.SIGSTOP)
    try:
        build.signal(signal.SIGKILL)
        build.wait()
        m.wait_until(lambda: all(is_fd_of(monitor, holder) for holder in holders(m, path)), "the end of what Nix holds")
        collect(m)
        check(all(pathlib.Path(f"/proc/{pid}").exists() for pid in builders), "the builder has ended before")
        check((path / "a").exists(), "the input was collected under the builder")
    finally:
        os.kill(monitor, signal.SIGCONT)
    m.wait_until(lambda: not m.instances(), "the end of the request")
    check(not any(pathlib.Path(f"/proc/{pid}").exists() for pid in builders), "the builder runs on")
    check_collected(m, path)


def test_after_a_cancel_an_input_is_there_until_the_builder_is_dead(m):
    keeps_until_the_builder_is_dead(m, "cancelled", "")


def test_a_directory_inside_keeps_its_store_path(m):
    keeps_until_the_builder_is_dead(m, "cancelled-inside", "/sub")


# --- as another, and where little fits ----------------------------------------------------------------------------------


def owner(m, **definition):
    m.write_builder("owner", 'stat -c "%u %a" "$HATCH_INPUTS/x"; cat "$HATCH_INPUTS/x"; echo x >"$HATCH_INPUTS/x"', inputs=True, **definition)
    file = m.temporary_directory() / "f"
    file.write_text("text\n")
    return m.run(["hatch", "run", f"-ix={file}", "owner"])


def test_inputs_are_the_build_users_whoever_that_is_inside(m):
    m.write_config(range_base=1879048192)
    for uid_map, uid in (("self", None), ("root", "0"), ("range", "0")):
        result = owner(m, uid_map=uid_map)
        lines = result.lines()
        check(len(lines) == 2 and lines[0].endswith(" 644") and lines[1] == "text", f"{uid_map}: {result.stdout}{result.stderr}")
        check(uid is None or lines[0] == f"{uid} 644", f"{uid_map}: {lines}")
        check("Read-only file system" in result.stderr and result.code != 0, f"{uid_map}: {result.stderr}")


def test_inputs_are_in_a_scratch_in_memory_too_and_held_by_its_size(m):
    result = owner(m, scratch_on="tmpfs", limits={"scratch": "4M", "time_sec": 60 * m.slow})
    check_equal(result.lines()[1], "text", "what the builder read")
    large = m.temporary_directory() / "large"
    large.write_bytes(os.urandom(8 << 20))
    refused = m.run(["hatch", "run", f"-ix={large}", "owner"])
    check(refused.code == 125 and "limit: " in refused.stderr and "limits.scratch" in refused.stderr, refused.stderr)


def find_unpacker(m):
    """The monitor, and the one helper that holds inputs and nothing else, as soon as it has confined itself and waits."""
    # All at once: in an emulated machine looking takes long, and a client that stalls is not waited for.
    numbers, everybody, users = set(m.monitors()), attack.processes(), set(m.build_users().values())
    [monitor] = [p for p in everybody if p.pid in numbers]
    unpackers = []
    for p in everybody:
        if p.parent == monitor.pid and p.uids & users and p.sleeps():
            held = [os.path.basename(t) for t in p.descriptors().values() if t.startswith("/var/")]
            unpackers += [p] if held == ["inputs"] else []
    return (monitor, unpackers[0]) if len(unpackers) == 1 else None


def test_the_unpacker_can_write_to_one_directory_and_nothing_else(m):
    m.write_builder("take", "true", inputs=True)
    with m.client() as client:
        client.request("take", inputs={"x": None})
        client.receive_until("send")
        monitor, unpacker = m.wait_until(lambda: find_unpacker(m), "one process that holds inputs, and nothing else")
        check_equal(unpacker.filters, monitor.filters + 1, "filters")
        check_equal(set(unpacker.capabilities().values()), {0}, "capabilities")
        check(0 not in unpacker.uids and unpacker.status["NoNewPrivs"] == "1", "it could gain rights")
