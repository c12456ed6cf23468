"""What a request in the queue holds of the host: nothing. Everything that its definition names was looked at before, is
looked at again when the request has a slot, and is then the same, or the request ends."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import stat

import attack
import hatchwire
from machine import STATE, check, check_equal, check_in, own_kernel

KEY = b"correct horse battery staple"
SECRETS = pathlib.Path("/run/hatch-test-waiting")
PLACE = pathlib.Path("/opt/hatch-test/waiting")  # where nobody but root could have written
LOOP_MAJOR = 7


class Queue:
    """One slot, which a request of its own has until it is let go."""

    def __init__(self, m, builder=None):
        self.m = m
        attack.write_small_pool(m)
        m.write_builder("holder", "echo here; sleep 600")
        self.builder = builder or "holder"

    def wait(self, builder, before_it_goes_on=lambda: None):
        """A request that waits while the slot is held, and what is done meanwhile. Its end, and the instance's line."""
        self.m.wait_until(lambda: not self.m.instances(), "the end of those before")
        holder = self.m.client()
        self.m.after_test(holder.close)
        holder.request(self.builder)
        holder.receive_until("stdout")
        [self.holding] = self.m.monitors().values()
        cursor = self.m.journal_cursor()
        with self.m.client() as waiting:
            waiting.request(builder)
            check_equal(waiting.receive_until("queued", "error")[-1]["type"], "queued", f"{builder} waits")
            [self.waiting] = set(self.m.monitors().values()) - {self.holding}
            before_it_goes_on()
            holder.close()
            result = hatchwire.Result(waiting.receive_until("exit", "error"))
            if result.code == 0:
                waiting.send({"type": "received"})
        return result, self.m.journal_wait(cursor, HATCH_BUILDER=builder)[-1]



def processes_of(unit):
    group = pathlib.Path("/sys/fs/cgroup/hatch.slice", unit)
    return [int(pid) for path in group.rglob("cgroup.procs") for pid in path.read_text().split()]


def memory_of(pid):
    """All that a process has written, or could write."""
    pieces = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            words = line.split()
            first, last = (int(number, 16) for number in words[0].split("-"))
            if "w" in words[1]:
                memory.seek(first)
                pieces.append(memory.read(last - first))
    return b"\0".join(pieces)


def memories_of(m, unit):
    """The memory of each process of an instance, all of which live while they are looked at."""

    def look():
        try:
            return [memory_of(pid) for pid in processes_of(unit)]
        except OSError:
            return None  # one has just ended, or given something back

    return m.wait_until(look, f"a look at the memory of {unit}")


def give_key(m):
    SECRETS.mkdir(mode=0o700)
    m.after_test(lambda: shutil.rmtree(SECRETS))
    (SECRETS / "key").write_bytes(KEY)
    attack.write_drop_in(m, f"[Service]\nLoadCredential=key:{SECRETS}/key\n")


def make_place(m):
    m.after_test(lambda: shutil.rmtree(PLACE, ignore_errors=True))
    PLACE.mkdir(parents=True)
    return PLACE


def make_tree(m, name="tree"):
    tree = make_place(m) / name
    (tree / "bin").mkdir(parents=True)
    shutil.copy("/usr/bin/busybox", tree / "bin/busybox")
    (tree / "bin/sh").symlink_to("busybox")
    return tree


# --- what it holds --------------------------------------------------------------------------------------------------


def test_a_request_that_waits_holds_no_secret(m):
    give_key(m)
    # One that has it, to see that this would be seen.
    m.write_builder("has", "import os\nkey = open(os.environ['CREDENTIALS_DIRECTORY'] + '/key', 'rb').read()\n"
                    "print(len(key), flush=True)\nimport time\ntime.sleep(600)\n", "/usr/bin/python3", credentials=["key"])
    m.write_builder("needs", "import os\nprint(len(open(os.environ['CREDENTIALS_DIRECTORY'] + '/key').read()))\n",
                    "/usr/bin/python3", credentials=["key"])
    queue = Queue(m, "has")

    def look():
        check(any(KEY in memory for memory in memories_of(m, queue.holding)), "the one that has it is not seen to")
        memories = memories_of(m, queue.waiting)
        check(any(b"needs" in memory for memory in memories), "no process knows what it waits for")
        for form in (KEY, KEY.hex().encode(), KEY[:8]):
            check(not any(form in memory for memory in memories), f"a process of the request that waits has {form}")

    result, _ = queue.wait("needs", look)
    check_equal((result.code, result.stdout), (0, b"%d\n" % len(KEY)), repr(result))


def backing_files():
    """The files that loop devices have."""
    found = []
    for path in pathlib.Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            found.append(path.read_text().strip())
        except OSError:
            continue  # it has just been let go
    return found


def loop_devices_of(unit):
    """What processes of an instance have open of a loop device, or of what is in one."""
    found = []
    for pid in processes_of(unit):
        for path in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # it has just been closed
                st = path.stat()
                if stat.S_ISBLK(st.st_mode) or os.major(st.st_dev) == LOOP_MAJOR:
                    found.append(os.readlink(path))
    return found


@own_kernel
def test_a_request_that_waits_holds_no_loop_device(m):
    m.run(["modprobe", "--all", "loop", "squashfs"])
    tree = make_tree(m)
    image = PLACE / "image"
    m.run(["mksquashfs", tree, image, "-quiet", "-no-progress"]).ok()
    image.chmod(0o644)
    m.write_builder("has", "", command=["/bin/sh", "-c", "echo here; sleep 600", "sh"], root={"image": str(image)})
    m.write_builder("needs", "", command=["/bin/sh", "-c", "echo ran", "sh"], root={"image": str(image)})
    queue = Queue(m, "has")

    def look():
        m.wait_until(lambda: backing_files() == [str(image)], f"one loop device, and not {backing_files()}")
        m.wait_until(lambda: not loop_devices_of(queue.waiting), "that nothing is held of what was looked at")

    result, _ = queue.wait("needs", look)
    check_equal((result.code, result.stdout), (0, b"ran\n"), repr(result))

    result, line = queue.wait("needs", image.unlink)
    check_told(result, line, f"{image} does not exist")
    m.wait_until(lambda: not backing_files(), f"no loop device, but for {backing_files()}")


# --- what changes meanwhile -----------------------------------------------------------------------------------------


def check_told(result, line, why, error="server-failed"):
    """The request ended before anything was made for it."""
    check_equal((result.error, result.stdout), (error, b""), repr(result))
    check_in(why, line["MESSAGE"], "journal")
    check_equal(line["HATCH_PHASE"], "equip", "phase")
    check_equal(list((STATE / "scratch").iterdir()), [], "scratch")


def test_what_vanishes_while_a_request_waits_is_told_and_leaves_nothing(m):
    tree = make_tree(m)
    shown = PLACE / "shown"
    program = PLACE / "before"
    device = pathlib.Path("/dev/hatch-test-null")
    m.after_test(lambda: device.unlink(missing_ok=True))
    shell = ["/bin/sh", "-c", "echo ran", "sh"]
    queue = Queue(m)
    rows = (
        (tree, {"root": {"tree": str(tree)}, "command": shell}),
        (shown, {"view": {"read": [str(shown)]}}),
        (shown, {"view": {"overlay": [{"at": "/srv/stacked", "lower": [str(shown)], "top": "tmpfs", "size": "1M"}]}}),
        (device, {"view": {"devices": [str(device)]}}),
        (program, {"before": {"command": [str(program)]}}),
    )
    for path, definition in rows:
        shown.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        if not device.exists():
            os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        m.write_builder("needs", "echo ran", **definition)
        aside = path.with_name("aside")
        result, line = queue.wait("needs", lambda path=path, aside=aside: path.rename(aside))
        check_told(result, line, str(path))
        check(re.search("does not exist|No such file", line["MESSAGE"]), line["MESSAGE"])
        aside.rename(path)
        check_equal(m.request("needs").stdout, b"ran\n", f"with {path} again")


def test_what_was_changed_while_a_request_waited_is_not_used(m):
    tree = make_tree(m)
    queue = Queue(m)

    def replace_tree():
        tree.rename(PLACE / "aside")
        shutil.copytree(PLACE / "aside", tree, symlinks=True)

    m.write_builder("needs", "", command=["/bin/sh", "-c", "echo ran", "sh"], root={"tree": str(tree)})
    result, line = queue.wait("needs", replace_tree)
    check_told(result, line, f"{tree} was changed while the request waited")
    check_equal(m.request("needs").stdout, b"ran\n", "who asks again")

    path = m.write_builder("needs", "echo old")
    program = pathlib.Path(json.loads(path.read_text())["command"][0])
    result, line = queue.wait("needs", lambda: program.write_text("#!/bin/sh\necho new\n"))
    check_told(result, line, f"{program} was changed while the request waited")
    check(re.search(rf"{path}:\d+:\d+: ", line["MESSAGE"]), line["MESSAGE"])
    check_equal(m.request("needs").stdout, b"new\n", "who asks again")


def test_a_network_namespace_that_was_made_anew_while_a_request_waited_is_not_entered(m):
    if " /run/netns " not in pathlib.Path("/proc/self/mountinfo").read_text():
        # ip-netns(8) makes it a mount, and leaves it.
        m.after_test(lambda: m.run(["umount", "--lazy", "/run/netns"]).ok())
    m.run(["ip", "netns", "add", "anew"]).ok()
    m.after_test(lambda: m.run(["ip", "netns", "delete", "anew"]).ok())
    m.write_builder("needs", "echo ran", network={"namespace": "/run/netns/anew"})

    def make_anew():
        m.run(["ip", "netns", "delete", "anew"]).ok()
        m.run(["ip", "netns", "add", "anew"]).ok()

    result, line = Queue(m).wait("needs", make_anew)
    check_told(result, line, "/run/netns/anew was changed while the request waited")
    check_equal(m.request("needs").stdout, b"ran\n", "who asks again")


def test_what_is_in_a_tree_may_change_while_a_request_waits(m):
    tree = make_tree(m)
    m.write_builder("needs", "", command=["/bin/sh", "-c", "echo /new*", "sh"], root={"tree": str(tree)})
    result, _ = Queue(m).wait("needs", (tree / "newer").mkdir)
    check_equal((result.code, result.stdout), (0, b"/newer\n"), repr(result))
