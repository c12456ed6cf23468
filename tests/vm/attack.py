"""What the tests of attacks share: the programs that run inside of a request, and looks at a live one."""

import contextlib
import os
import pathlib

from machine import CONFIG, Failure, check, check_equal, shorten

PROGRAMS = pathlib.Path("/opt/hatch-test/attack")
STORE = pathlib.Path("/nix/store")
# A store path that no build makes.
FREE_PATH = "/nix/store/00000000000000000000000000000000-attack"

# Makes a root directory that is named like that of a build, enters it as a sandbox of Nix would, and calls from there.
# Its first word is what root_of() says, its second a directory of its own, its third the builder.
FORGE = """
set -e
new=$2/nix/store/$1
mkdir -p "$new/bin" "$new/old" "$new/proc"
cp /usr/bin/hatch "$new/bin/hatch"
mount --bind "$new" "$new"
mount --rbind /proc "$new/proc"
cd "$new"
/usr/bin/busybox pivot_root . old
exec /bin/hatch run --no-outputs --socket /proc/self/fd/9/hatch.sock "$3"
"""


def root_of(name):
    """Below the store, where this Nix has the root directory of a derivation that it builds. For FORGE."""
    chroot = f"{name}.chroot"
    return chroot if (STORE / chroot).exists() and not (STORE / chroot / "root").exists() else f"{chroot}/root"


def fill_store(m):
    """A path in the store, made by Nix."""
    for path in STORE.glob("*-there"):
        return path
    return pathlib.Path(m.nix_build(m.derivation("there", args=["-c", "echo there > $out"])).ok().lines()[-1])


def program(name):
    """The path of tests/attack/NAME.c as a program."""
    path = PROGRAMS / f"attack-{name}"
    check(path.exists(), f"{path} is missing: the build needs the option tests")
    return path


def write_program(m, name, builder=None, **definition):
    """Make a builder of an attack program."""
    definition["command"] = [str(program(name)), *definition.pop("words", [])]
    view = dict(definition.get("view", {}))
    view["read"] = [str(PROGRAMS), *view.get("read", [])]
    definition["view"] = view
    m.write_builder(builder or name, "", **definition)


def make(m, name, *attacks, **members):
    """Run attacks of a program inside of a request; each must say that it bounced off."""
    write_program(m, name)
    result = m.request(name, attacks, **members)
    lines = result.stdout.decode(errors="replace").splitlines()
    wrong = [line for line in lines if not line.startswith("PASS ")]
    check(not wrong, "; ".join(wrong))
    check_equal(lines, [f"PASS {attack}" for attack in attacks], f"what {name} prints ({shorten(repr(result))})")
    check_equal(result.code, 0, "exit code")
    return result


def show(m, path, name="show", **definition):
    """What a builder reads in one file, without a shell that would add to what it was given, as a Result."""
    m.write_builder(name, "", command=["/bin/cat", path], **definition)
    result = m.request(name)
    check_equal(result.code, 0, "exit code")
    return result


def fields(text):
    """The lines "Name: value" of a file in /proc."""
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


class Process:
    """A process as root sees it."""

    def __init__(self, pid):
        self.pid = pid
        self.status = fields(pathlib.Path(f"/proc/{pid}/status").read_text())
        self.parent = int(self.status["PPid"])
        self.uids = {int(uid) for uid in self.status["Uid"].split()}
        self.gids = {int(gid) for gid in self.status["Gid"].split()}
        self.groups = [int(gid) for gid in self.status["Groups"].split()]
        self.filters = int(self.status["Seccomp_filters"])
        # In its own namespaces: more than one number for what is inside of a sandbox.
        self.numbers = [int(pid) for pid in self.status["NSpid"].split()]
        self.started = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19])
        self.command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()

    def is_dumpable(self):
        """The kernel gives the files of a process that is not to root."""
        return os.stat(f"/proc/{self.pid}/environ").st_uid != 0

    def sleeps(self):
        """Whether it waited for something when it was looked at: one that has only lost its processor is running."""
        return self.status["State"].startswith("S")

    def descriptors(self):
        found = {}
        for fd in pathlib.Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found[int(fd.name)] = os.readlink(fd)
        return found

    def capabilities(self):
        return {name: int(self.status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}


def processes():
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, KeyError):
            found.append(Process(int(path.name)))
    return found


class Instance:
    """The processes of the youngest live instance of hatchd whose builder runs, told apart by who they are."""

    N_HELPERS = 2

    def __init__(self, m):
        m.wait_until(lambda: self._look(m), "the processes of an instance, each what it is to be")

    def _look(self, m):
        """False while there is no builder, or a helper has not become the build user yet or still confines itself: then it waits."""
        uids = set(m.build_users().values())
        all_of_them = [p for p in processes() if "/hatchd" in p.command or p.uids & uids]
        monitors = [p for p in all_of_them if p.parent == 1 and "/hatchd" in p.command]
        if not monitors:
            return False
        self.monitor = max(monitors, key=lambda p: p.started)
        children = [p for p in all_of_them if p.parent == self.monitor.pid]
        inits = [p for p in children if len(p.numbers) > 1]
        self.init = inits[0] if inits else None
        others = [p for p in children if not p.uids & uids]
        speakers = [p for p in others if p.uids != {0}]
        # The steward, and the sweeper; what they have forked.
        self.roots = [p for p in others if p.uids == {0}]
        self.theirs = [p for p in all_of_them if p.parent in [root.pid for root in self.roots]]
        # The packer, the cleaner, and the tap where there is one.
        self.helpers = [p for p in children if p.uids & uids and len(p.numbers) == 1]
        self.builders = [p for p in all_of_them if self.init and p.parent == self.init.pid]
        if len(speakers) != 1 or len(self.helpers) != self.N_HELPERS:
            return False
        if not self.builders or not all(process.sleeps() for process in (*self.helpers, *self.roots)):
            return False
        self.speaker = speakers[0]
        return True

    def everybody(self):
        return [self.monitor, self.speaker, self.init, *self.helpers, *self.builders]


@contextlib.contextmanager
def live(m, builder, args=(), user=None, instance=Instance, **members):
    """A request whose builder has written something and runs; the client and the Instance."""
    with m.client(user) as client:
        client.request(builder, args, **members)
        if client.receive_until("stdout", "error", "exit")[-1]["type"] != "stdout":
            raise Failure("the builder did not start")
        yield client, instance(m)


def write_drop_in(m, text):
    """Change hatchd@.service for one test."""
    place = pathlib.Path("/run/systemd/system/hatchd@.service.d")
    place.mkdir(parents=True, exist_ok=True)
    path = place / "test.conf"
    if not path.exists():
        m.after_test(lambda: m.run(["systemctl", "daemon-reload"]).ok())
        m.after_test(path.unlink)
    with path.open("a") as file:
        file.write(text)
    m.run(["systemctl", "daemon-reload"]).ok()


def write_wrapper(m, script):
    """Have systemd start hatchd through a script of bash, which is to end with: exec "$@"."""
    path = pathlib.Path("/opt/hatch-test/wrapper")
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)
    m.after_test(path.unlink)
    write_drop_in(m, f"[Service]\nExecStart=\nExecStart={path} /usr/sbin/hatchd\n")


def write_small_pool(m):
    """A pool of one build user, so that a second request waits. Its name."""
    m.run(["groupadd", "onebuild"]).ok()
    m.after_test(lambda: m.run(["groupdel", "onebuild"]).ok())
    m.run(["useradd", "--no-create-home", "--gid", "onebuild", "--groups", "onebuild", "--shell", "/usr/sbin/nologin", "onebuild1"]).ok()
    m.after_test(lambda: m.run(["userdel", "onebuild1"]).ok())
    # An account that runs something cannot be removed: undone first, before the two above.
    m.after_test(lambda: m.wait_until(lambda: not m.instances(), "the end of all requests"))
    m.run(["gpasswd", "--add", "onebuild1", "onebuild"]).ok()
    m.write_config(build_users_group="onebuild")
    return "onebuild1"


