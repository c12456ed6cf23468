"""Who a builder is inside: uid_map, allow_userns, time_namespace. The ids in comments are rows of the list of attacks."""

import contextlib
import json
import os
import pathlib
import signal

import attack
from machine import PATIENCE, STATE, check, check_equal, check_in

PYTHON = "/usr/bin/python3"
# Ids that systemd, Debian and Nix leave to nobody.
RANGE_BASE = 1879048192
RANGE_LEN = 65536

# Bits of CAP_...
CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SYS_CHROOT = 0, 1, 3, 4, 5, 6, 7, 18
ROOT_CAPABILITIES = sum(1 << bit for bit in (CHOWN, DAC_OVERRIDE, FOWNER, FSETID))
RANGE_CAPABILITIES = ROOT_CAPABILITIES | sum(1 << bit for bit in (KILL, SETGID, SETUID, SYS_CHROOT))


def gid_of(m, name):
    return int(m.run(["getent", "group", name]).ok().stdout.split(":")[2])


def status(m, **definition):
    """/proc/self/status of a builder."""
    return attack.fields(attack.show(m, "/proc/self/status", "status", **definition).stdout.decode())


def give_ranges(m):
    m.write_config(range_base=RANGE_BASE)


def run(m, script, **definition):
    """What a builder of a Python script prints, which must end with 0."""
    m.write_builder("identity", script, PYTHON, **definition)
    result = m.request("identity")
    check_equal(result.code, 0, f"exit code of {result.stderr.decode()} {result!r}")
    return result.stdout.decode()


def end_of(m):
    m.wait_until(lambda: not m.instances(), "the end of the request")


# --- "self" -----------------------------------------------------------------------------------------------------------


def test_without_the_key_a_builder_is_the_build_user_and_has_no_namespace(m):
    shown = run(m, "import os; print(os.getuid(), os.readlink('/proc/self/ns/user'))").split()
    check_in(int(shown[0]), m.build_users().values(), "uids of the pool")
    check_equal(shown[1], os.readlink("/proc/self/ns/user"), "user namespace")


# --- "root" -----------------------------------------------------------------------------------------------------------


def test_root_inside_is_the_build_user_outside(m):
    m.write_builder("wait", "echo $(id -u) $(id -g) $(id -un) $USER; sleep 60", uid_map="root")
    with attack.live(m, "wait") as (client, instance):
        uids = set(m.build_users().values())
        for process in instance.builders:
            check_equal(len(process.uids), 1, "uids of the builder")
            check(process.uids <= uids, f"the builder is uid {process.uids} outside")
            check_equal(process.gids, {gid_of(m, "hatchbld")}, "gids outside")


def test_root_inside_sees_itself_as_root(m):
    m.write_builder("names", "id -u; id -g; id -un; id -gn; echo $USER $LOGNAME $HOME", uid_map="root")
    lines = m.request("names").stdout.decode().splitlines()
    check_equal(lines, ["0", "0", "root", "root", "root root /build"], "what it sees")


# GR2: setgroups is not denied, so each group must be there by its own number
def test_root_inside_keeps_every_group(m):
    gids = sorted(gid_of(m, name) for name in ("audio", "video", "dialout"))
    shown = status(m, uid_map="root", groups=["audio", "video", "dialout"])
    check_equal([int(gid) for gid in shown["Groups"].split()], gids, "groups")


def test_a_group_opens_for_root_inside_what_belongs_to_it(m):
    place = m.temporary_directory(0o750)
    (place / "file").write_text("for members\n")
    os.chown(place, 0, gid_of(m, "dialout"))
    definition = {"view": {"read": [str(place)]}, "uid_map": "root"}
    m.write_builder("reader", f"cat {place}/file", **definition)
    m.write_builder("member", f"cat {place}/file", groups=["dialout"], **definition)
    check(m.request("reader").code != 0, "root of a sandbox has read what its build user may not")
    check_equal(m.request("member").stdout, b"for members\n", "what a member reads")


# ES4: after the namespace is entered every set is full again
def test_root_inside_has_these_capabilities_and_no_others(m):
    shown = status(m, uid_map="root")
    for name in ("CapPrm", "CapEff", "CapBnd"):
        check_equal(int(shown[name], 16), ROOT_CAPABILITIES, name)
    for name in ("CapInh", "CapAmb"):
        check_equal(int(shown[name], 16), 0, name)
    check_equal((shown["NoNewPrivs"], shown["Seccomp"]), ("1", "2"), "no_new_privs and seccomp")


def test_root_inside_has_no_right_over_what_is_not_its_own(m):
    place = m.temporary_directory()
    (place / "secret").write_text("root's\n")
    (place / "secret").chmod(0o600)
    script = (
        "import os\n"
        "def refused(what, call, *words):\n"
        "    try: call(*words)\n"
        "    except OSError as e: print(what, e.strerror)\n"
        "    else: print(what, 'WORKED')\n"
        f"refused('read', open, '{place}/secret')\n"
        f"refused('chmod', os.chmod, '{place}/secret', 0o644)\n"
        f"refused('chown', os.chown, '{place}', 0, 0)\n"
        f"refused('make', os.mkdir, '{place}/new')\n"
        "refused('hostname', __import__('socket').sethostname, 'x')\n"
        "refused('chroot', os.chroot, '/build')\n"
        "refused('nice', os.setpriority, os.PRIO_PROCESS, 0, -5)\n"
    )
    lines = run(m, script, uid_map="root", view={"write": [str(place)]}).splitlines()
    wrong = [line for line in lines if line.split(" ", 1)[1] not in ("Operation not permitted", "Permission denied")]
    check_equal(wrong, [], "what was not refused")
    check_equal((place.stat().st_uid, (place / "secret").stat().st_mode & 0o777), (0, 0o600), "the place")


def test_an_output_of_root_inside_comes_back_and_nothing_stays(m):
    m.write_builder("make", 'mkdir -p "$out/a" && echo x >"$out/a/f" && chmod 0 "$out/a/f" "$out/a"', uid_map="root")
    result = m.request("make", outputs={"out": None})
    check_equal(result.code, 0, repr(result))
    end_of(m)
    check_equal(list((STATE / "scratch").iterdir()), [], "scratch")


# ES2
def test_nobody_makes_a_user_namespace_in_that_of_root(m):
    script = "import ctypes; c = ctypes.CDLL(None, use_errno=True); print(c.unshare(0x10000000), ctypes.get_errno())"
    for uid_map in ("self", "root"):
        check_in(run(m, script, uid_map=uid_map).split(), (["-1", "1"], ["-1", "28"]), "unshare")


ROOT_ATTACKS = [
    "every_mount_is_restricted",
    "mounts_cannot_be_changed",
    "no_mount_is_shared_with_the_host",
    "the_old_root_is_gone",
    "the_root_and_the_system_are_read_only",
    "nothing_in_proc_can_be_written",
    "device_nodes_cannot_be_made",
    "overlay_attributes_cannot_be_set",
    "init_cannot_be_looked_into",
    "no_other_process_is_seen",
    "programs_that_run_cannot_be_overwritten",
    "namespaces_cannot_be_made",
    "cgroups_are_out_of_reach",
]


# ES1..ES14: the attacks that bounce off the build user bounce off root of a sandbox
def test_root_inside_does_not_escape(m):
    attack.fill_store(m)
    attack.write_program(m, "escape", uid_map="root")
    result = m.request("escape", ROOT_ATTACKS)
    wrong = [line for line in result.stdout.decode().splitlines() if not line.startswith("PASS ")]
    check(not wrong, "; ".join(wrong))
    check_equal(result.code, 0, repr(result))


# --- "allow_userns" ---------------------------------------------------------------------------------------------------

UNSHARE = "import ctypes; c = ctypes.CDLL(None, use_errno=True); print(c.unshare(0x10000000), ctypes.get_errno())"
EPERM, ENOSPC = "-1 1\n", "-1 28\n"


# ES2
def test_without_the_filter_nobody_makes_a_user_namespace_either(m):
    check_equal(run(m, UNSHARE), EPERM, "unshare")
    for seccomp in ("none", ["@userns"]):
        check_equal(run(m, UNSHARE, seccomp=seccomp), ENOSPC, f"unshare with seccomp {seccomp}")


# ES2: opted in
def test_nested_namespaces_work_where_they_are_allowed(m):
    give_ranges(m)
    script = "unshare --user --map-root-user --mount --net --pid --fork sh -c 'id -u; mount -t tmpfs none /tmp && echo mounted'; cat /proc/sys/user/max_user_namespaces"
    for uid_map in ("self", "root", "range"):
        m.write_builder("nested", script, uid_map=uid_map, allow_userns=True)
        result = m.request("nested")
        check_equal(result.stdout, b"0\nmounted\n1024\n", f"as {uid_map} ({result.stderr!r})")


def test_with_nested_namespaces_a_builder_still_has_no_capability(m):
    shown = status(m, allow_userns=True)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        check_equal(int(shown[name], 16), 0, name)
    check_in(int(shown["Uid"].split()[0]), m.build_users().values(), "uids of the pool")


# MO5: mounts that were made outside are locked together, whoever is root inside
def test_root_of_a_nested_namespace_cannot_change_the_mounts_of_the_sandbox(m):
    place = m.temporary_directory()
    (place / "file").write_text("as it was\n")
    script = f"""
import ctypes, os
c = ctypes.CDLL(None, use_errno=True)
uid, gid = os.getuid(), os.getgid()
assert c.unshare(0x10000000 | 0x00020000) == 0, ctypes.get_errno()
open("/proc/self/setgroups", "w").write("deny")
open("/proc/self/uid_map", "w").write(f"0 {{uid}} 1")
open("/proc/self/gid_map", "w").write(f"0 {{gid}} 1")
def attempt(what, r):
    print(what, "WORKED" if r == 0 else "refused", flush=True)
for path in ("/usr", "{place}", "/proc/sys", "/dev/null", "/"):
    attempt(f"umount {{path}}", c.umount2(path.encode(), 0))
    attempt(f"remount {{path}}", c.mount(None, path.encode(), None, 32 | 4096, None))
    attempt(f"remount with suid {{path}}", c.mount(None, path.encode(), None, 32 | 4096 | 1, None))
try:
    open("{place}/file", "w")
    print("write WORKED")
except OSError:
    print("write refused")
"""
    lines = run(m, script, allow_userns=True, view={"read": [str(place)]}).splitlines()
    check_equal(len(lines), 16, "attempts")
    wrong = [line for line in lines if not line.endswith("refused")]
    check_equal(wrong, [], "what worked")
    check_equal((place / "file").read_text(), "as it was\n", "the file")


# OP9
def test_files_on_a_mount_of_a_nested_namespace_are_not_packed(m):
    script = (
        'mkdir -p "$out/on"; echo below >"$out/on/below"\n'
        "unshare --user --map-root-user --mount sh -ec 'mount -t tmpfs none \"$out/on\"; echo x >\"$out/on/above\"; sleep 1000' &\n"
        "sleep 1; echo made\n"
    )
    m.write_builder("mounts", script, allow_userns=True)
    place = m.temporary_directory() / "result"
    m.run(["hatch", "run", "--output", f"out={place}", "mounts"]).ok()
    check_equal([path.name for path in (place / "on").iterdir()], ["below"], "what came back")


# --- "time_namespace" -------------------------------------------------------------------------------------------------


def test_clocks_since_boot_begin_with_the_builder(m):
    script = "import time; print(float(open('/proc/uptime').read().split()[0]), time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME))"
    uptime = float(pathlib.Path("/proc/uptime").read_text().split()[0])
    check(uptime > 5, "the machine has just started: this test would show nothing")
    for uid_map in ("self", "root"):
        shown = [float(word) for word in run(m, script, time_namespace=True, uid_map=uid_map).split()]
        check(all(value < min(uptime, PATIENCE) for value in shown), f"clocks of {uid_map}: {shown}, of the machine: {uptime}")
    shown = [float(word) for word in run(m, script).split()]
    check(all(value >= uptime for value in shown), f"clocks without the key: {shown}")


# --- "range" ----------------------------------------------------------------------------------------------------------

OTHER_IDS = """
import os, sys
out = os.environ["out"]
os.mkdir(out)
for name, uid in (("root", 0), ("one", 1), ("web", 33), ("last", 65535)):
    place = f"{out}/{name}"
    os.mkdir(place)
    with open(f"{place}/file", "w") as file:
        file.write(name)
    os.chmod(f"{place}/file", 0o600)
    os.chown(f"{place}/file", uid, uid)
    os.chown(place, uid, uid)
    os.chmod(place, 0o700)
for place in ("/build", "/tmp"):
    os.mkdir(f"{place}/deep")
    open(f"{place}/deep/file", "w").close()
    os.chown(f"{place}/deep/file", 33, 33)
    os.chown(f"{place}/deep", 33, 33)
    os.chmod(f"{place}/deep", 0)
print("made", flush=True)
"""


def outside(m, user_name):
    """The first id of the slot of a build user, whose place in the group is that of its slot."""
    members = m.run(["getent", "group", "hatchbld"]).ok().stdout.strip().split(":")[3].split(",")
    return RANGE_BASE + RANGE_LEN * members.index(user_name)


def test_a_range_gives_its_root_other_ids(m):
    give_ranges(m)
    script = "import os; print(open('/proc/self/uid_map').read()); os.setgroups([1]); os.setresgid(7, 7, 7); os.setresuid(33, 33, 33); print(os.getresuid(), os.getgroups())"
    lines = run(m, script, uid_map="range").split("\n")
    first = [int(word) for word in lines[0].split()]
    rest = [int(word) for word in lines[1].split()]
    users = {uid: name for name, uid in m.build_users().items()}
    check_in(first[1], users, "uids of the pool")
    check_equal((first[0], first[2]), (0, 1), "root's line of the map")
    check_equal(rest, [1, outside(m, users[first[1]]) + 1, RANGE_LEN - 1], "the range's line of the map")
    check_equal(lines[3], "(33, 33, 33) [1]", "ids after the change")


def test_outputs_of_a_range_come_back_whole_and_nothing_stays(m):
    give_ranges(m)
    m.write_builder("others", OTHER_IDS, PYTHON, uid_map="range")
    place = m.temporary_directory() / "result"
    m.run(["hatch", "run", "--output", f"out={place}", "others"]).ok()
    found = {path.name: (path / "file").read_text() for path in place.iterdir()}
    check_equal(found, {name: name for name in ("root", "one", "web", "last")}, "what came back")
    check_equal({path.stat().st_uid for path in place.rglob("*")}, {0}, "owners")
    end_of(m)
    check_equal(list((STATE / "scratch").iterdir()), [], "scratch")


# What dpkg and its kin do
def test_a_range_may_have_a_root_of_its_own_and_set_id_files_that_do_not_leave(m):
    give_ranges(m)
    script = (
        "import os\n"
        "out = os.environ['out']; os.makedirs(out + '/etc')\n"
        "open(out + '/su', 'w').close(); os.chown(out + '/su', 0, 8); os.chmod(out + '/su', 0o6755)\n"
        "print(oct(os.stat(out + '/su').st_mode), flush=True)\n"
        "os.chroot(out); os.chdir('/'); print(os.listdir('/'))\n"
    )
    m.write_builder("image", script, PYTHON, uid_map="range")
    place = m.temporary_directory() / "result"
    ran = m.run(["hatch", "run", "--output", f"out={place}", "image"]).ok()
    check_in("0o106755", ran.stdout, "mode inside")
    check_equal(oct((place / "su").stat().st_mode & 0o7777), "0o755", "mode of what came back")


def test_a_range_does_not_escape(m):
    give_ranges(m)
    attack.fill_store(m)
    attack.write_program(m, "escape", uid_map="range")
    attacks = [name for name in ROOT_ATTACKS if name not in ("the_old_root_is_gone", "init_cannot_be_looked_into")]
    result = m.request("escape", attacks)
    wrong = [line for line in result.stdout.decode().splitlines() if not line.startswith("PASS ")]
    check(not wrong, "; ".join(wrong))
    check_equal(result.code, 0, repr(result))


# UP5, SG3: the next instance has to know the ids
def test_what_a_killed_request_with_a_range_left_is_cleared(m):
    give_ranges(m)
    m.write_builder("others", OTHER_IDS + "import time; time.sleep(60)\n", PYTHON, uid_map="range")
    with m.client() as client:
        client.request("others", outputs={"out": None})
        client.receive_until("stdout")
        for pid in m.monitors():
            os.kill(pid, signal.SIGKILL)
        m.wait_until(lambda: not m.build_processes(), "the death of the builder")
    check_equal(len(list((STATE / "scratch").iterdir())), 1, "scratches after the kill")
    # The ids are in the lock: the file may say others by now.
    m.write_config()
    m.write_builder("next", "true")
    check_equal(m.request("next").code, 0, "exit code of the next request")
    end_of(m)
    check_equal(list((STATE / "scratch").iterdir()), [], "scratch")


def test_a_range_has_these_capabilities_and_no_others(m):
    give_ranges(m)
    shown = status(m, uid_map="range")
    for name in ("CapPrm", "CapEff", "CapBnd"):
        check_equal(int(shown[name], 16), RANGE_CAPABILITIES, name)
    for name in ("CapInh", "CapAmb"):
        check_equal(int(shown[name], 16), 0, name)


def test_two_ranges_at_once_share_no_id(m):
    give_ranges(m)
    m.write_builder("map", "cat /proc/self/uid_map; sleep 60", uid_map="range")
    seen = set()
    with m.client() as one, m.client() as two:
        for client in (one, two):
            client.request("map")
            client.receive_until("stdout")
        pids = m.build_processes()
        for pid in pids:
            with contextlib.suppress(OSError):  # it has ended, as the one that wrote has
                lines = pathlib.Path(f"/proc/{pid}/uid_map").read_text().splitlines()
                if len(lines) == 2:
                    seen.add(int(lines[1].split()[1]))
    check_equal(len(seen), 2, f"ranges in {seen}")
    check(all((first - 1 - RANGE_BASE) % RANGE_LEN == 0 for first in seen), f"ranges {seen}")


# GR2: a group of the definition is no id of the range
def test_a_range_keeps_every_group(m):
    give_ranges(m)
    gid = gid_of(m, "dialout")
    shown = status(m, uid_map="range", groups=["dialout"])
    check_equal(shown["Groups"].split(), [str(gid)], "groups")


def test_processes_of_other_ids_are_asked_to_end_too(m):
    give_ranges(m)
    script = (
        "import os, signal, sys, time\n"
        "if os.fork() == 0:\n"
        "    os.setresuid(33, 33, 33)\n"
        "    signal.signal(signal.SIGTERM, lambda *_: (print('asked', flush=True), os._exit(0)))\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "os.wait()\n"
    )
    m.write_builder("asked", script, PYTHON, uid_map="range", limits={"time_sec": 4 * m.slow, "grace_sec": 10})
    result = m.request("asked")
    check_equal(result.stdout, b"ready\nasked\n", "what it wrote")


def test_a_range_needs_ids(m):
    m.write_builder("range", "true", uid_map="range")
    result = m.request("range")
    check_equal(result.error, "server-failed", "error")
    checked = m.run(["hatchd", "--check"])
    check(checked.code != 0, "hatchd --check found nothing")
    check_in("builders.d/range.json:", checked.stdout, "hatchd --check")
    check_in("there are no ids for a range", checked.stdout, "hatchd --check")


def test_a_range_cannot_leave_files_on_the_host(m):
    give_ranges(m)
    place = m.temporary_directory()
    m.write_builder("range", "true", uid_map="range", view={"write": [str(place)]})
    check_in("would belong to ids of later requests", m.run(["hatchd", "--check"]).stdout, "hatchd --check")


# UP8
def test_ids_that_somebody_else_has_are_refused(m):
    subuid = pathlib.Path("/etc/subuid")
    before = subuid.read_text() if subuid.exists() else None
    m.after_test(lambda: subuid.unlink() if before is None else subuid.write_text(before))
    subuid.write_text(f"# a comment\nalice:{RANGE_BASE + 100}:10\n")
    give_ranges(m)
    checked = m.run(["hatchd", "--check"])
    check(checked.code != 0, "hatchd --check found nothing")
    check_in("/etc/subuid:2 (alice:", checked.stdout, "hatchd --check")
    uid = m.build_users()["hatchbld3"]
    subuid.write_text(f"alice:{uid}:1\n")
    checked = m.run(["hatchd", "--check"])
    check(checked.code != 0, "hatchd --check found nothing")
    check_in("hatchbld3", checked.stdout, "hatchd --check")
    check_in("/etc/subuid:1", checked.stdout, "hatchd --check")


def test_a_base_below_the_ids_of_people_is_refused(m):
    path = pathlib.Path("/etc/hatch/hatchd.json")
    for base in (0, 1000, 65535, 4294967295):
        path.write_text(json.dumps({"range_base": base}))
        m.after_test(lambda: path.unlink(missing_ok=True))
        check_in("hatchd.json:1:", m.run(["hatchd", "--check"]).stdout, f"hatchd --check of {base}")
