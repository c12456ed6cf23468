"""Builders that try to get out of their sandbox. The ids in comments are rows of the list of attacks."""

import os
import pathlib
import re

import attack
from machine import check, check_equal, check_in, mounts_of_the_host

ESCAPES = {
    # MO5, ES4
    "mounts_of_a_builder_are_restricted": ["every_mount_is_restricted", "mounts_cannot_be_changed"],
    # MO8
    "mounts_of_a_builder_are_not_shared": ["no_mount_is_shared_with_the_host"],
    # MO5, FD5
    "the_root_of_the_host_is_gone": ["the_old_root_is_gone"],
    # MO11
    "system_and_proc_are_read_only": ["the_root_and_the_system_are_read_only", "nothing_in_proc_can_be_written"],
    # MO3
    "device_nodes_cannot_be_made": ["device_nodes_cannot_be_made"],
    # MO11
    "the_store_below_the_outputs_stays": ["what_is_in_the_store_stays"],
    # MO1
    "orders_to_the_overlay_cannot_be_written": ["overlay_attributes_cannot_be_set"],
    # ES10
    "init_of_the_sandbox_cannot_be_looked_into": ["init_cannot_be_looked_into"],
    # ES10
    "no_process_but_init_is_seen": ["no_other_process_is_seen"],
    # ES13
    "running_programs_cannot_be_overwritten": ["programs_that_run_cannot_be_overwritten"],
    # ES2
    "a_builder_makes_no_namespace": ["namespaces_cannot_be_made"],
    # ES5
    "a_builder_cannot_change_its_ids": ["ids_cannot_be_had_back"],
    # ES8
    "cgroups_are_out_of_reach": ["cgroups_are_out_of_reach"],
    # ID8
    "a_builder_does_not_see_the_socket_of_hatch": ["the_sockets_of_hatch_are_not_there"],
}

CALLS = {
    # ES14
    "keyrings_are_out_of_reach": ["keyrings_are_out_of_reach", "no_key_of_the_service_is_seen"],
    # ES3, ES14
    "large_parts_of_the_kernel_are_closed": ["large_parts_of_the_kernel_are_closed"],
    # ES14
    "unusual_sockets_cannot_be_made": ["unusual_sockets_cannot_be_made"],
    # OP7
    "set_id_files_cannot_be_made": ["set_id_files_cannot_be_made"],
    # ES14
    "extended_attributes_cannot_be_set": ["extended_attributes_cannot_be_set"],
    # ES6
    "there_is_no_terminal_to_type_into": ["no_terminal_can_be_typed_into"],
    # ES3
    "calls_of_a_foreign_architecture_kill": ["foreign_calls_kill"],
}

DESCRIPTORS = {
    # FD3
    "a_builder_has_four_descriptors": ["only_four_descriptors_are_open"],
    # FD3
    "no_descriptor_of_a_builder_is_the_connection": ["no_descriptor_is_a_socket"],
    # FD3
    "streams_of_a_builder_go_one_way": ["streams_go_one_way"],
}


def make_test(program, attacks):
    def run(m):
        attack.fill_store(m)
        attack.make(m, program, *attacks)

    return run


for program, table in (("escape", ESCAPES), ("syscalls", CALLS), ("descriptors", DESCRIPTORS)):
    for name, attacks in table.items():
        globals()[f"test_{name}"] = make_test(program, attacks)


# FD4
def test_descriptors_that_hatchd_inherits_do_not_reach_a_request(m):
    attack.write_wrapper(m, 'for i in {10..59}; do eval "exec $i</"; done; exec "$@"')
    attack.make(m, "descriptors", "only_four_descriptors_are_open")
    m.write_builder("wait", "echo here; sleep 60")
    with attack.live(m, "wait") as (_, i):
        for process in i.everybody():
            found = [fd for fd, target in process.descriptors().items() if target == "/"]
            check(not found, f"process {process.pid} has / open as {found}")


# MO3, MO11: what is mounted below a place that a builder is shown is restricted like the place
def test_mounts_below_a_bind_are_restricted_too(m):
    place = m.temporary_directory()
    (place / "below").mkdir()
    m.run(["mount", "-t", "tmpfs", "-o", "suid,dev,rw", "none", place / "below"]).ok()
    m.after_test(lambda: m.run(["umount", place / "below"]).ok())
    attack.write_program(m, "escape", view={"read": [str(place)]})
    result = m.request("escape", ["every_mount_is_restricted"])
    check_equal(result.stdout, b"PASS every_mount_is_restricted\n", "what the builder sees")


def status_of_builder(m, name="status", **definition):
    return attack.fields(attack.show(m, "/proc/self/status", name, **definition).stdout.decode())


# ES4
def test_a_builder_has_no_capability_and_gains_none(m):
    status = status_of_builder(m)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        check_equal(int(status[name], 16), 0, name)
    check_equal(status["NoNewPrivs"], "1", "NoNewPrivs")


# ES4, GR4: groups of the service must not be left over
def test_a_builder_has_exactly_the_groups_of_its_definition(m):
    attack.write_drop_in(m, "[Service]\nSupplementaryGroups=disk adm shadow\n")
    wanted = sorted(int(m.run(["getent", "group", name]).ok().stdout.split(":")[2]) for name in ("audio", "video"))
    for name, groups, expected in (("some", ["audio", "video"], wanted), ("none", [], [])):
        status = status_of_builder(m, name, groups=groups)
        check_equal(sorted(int(gid) for gid in status["Groups"].split()), expected, "groups")
        check(len(set(status["Uid"].split())) == 1, f"ids differ: {status['Uid']}")
        check_in(int(status["Uid"].split()[0]), m.build_users().values(), "build users")
        gid = int(m.run(["getent", "group", "hatchbld"]).ok().stdout.split(":")[2])
        check_equal(set(status["Gid"].split()), {str(gid)}, "gids")


# EN5
def test_signal_state_umask_and_limits_that_hatchd_inherits_are_reset(m):
    attack.write_wrapper(
        m,
        "trap '' PIPE CHLD HUP TERM USR1; umask 0; ulimit -S -c unlimited -s 1024; "
        'exec env --block-signal=USR2 --block-signal=TERM "$@"',
    )
    status = status_of_builder(m)
    for name in ("SigIgn", "SigBlk"):
        check_equal(int(status[name], 16), 0, name)
    check_equal(status["Umask"], "0022", "Umask")
    limits = attack.show(m, "/proc/self/limits").stdout.decode()
    for name, soft in (
        ("Max core file size", "0"),
        ("Max stack size", str(8 << 20)),
        ("Max open files", "1024"),
        ("Max msgqueue size", "0"),
        ("Max nice priority", "0"),
        ("Max realtime priority", "0"),
        ("Max locked memory", str(64 << 10)),
        ("Max pending signals", "4096"),
    ):
        found = re.search(rf"^{name} +(\S+)", limits, re.M)
        check_equal(found and found[1], soft, name)


# EN1, EN3: whatever the service was started with, and whatever systemd adds to it
def test_the_environment_of_a_builder_is_the_documented_list_whatever_the_service_has(m):
    attack.write_drop_in(
        m,
        "[Service]\nEnvironment=BASH_ENV=/evil ENV=/evil IFS=x GLIBC_TUNABLES=glibc.malloc.check=3 PATH=/evil "
        "GIT_DIR=/evil MAKEFLAGS=--eval=evil GCONV_PATH=/evil TMPDIR=/evil HOME=/evil LD_LIBRARY_PATH=/evil\n"
        "Environment='BASH_FUNC_ls%%=() { evil; }'\n",
    )
    result = attack.show(m, "/proc/self/environ")
    user = result.last["receipt"]["user"]
    expected = {
        "HATCH_BUILDER": "show",
        "HATCH_DERIVATION": "",
        "HATCH_PEER_UID": "0",
        "HATCH_REQUEST": result.last["receipt"]["id"],
        "HATCH_STATUS_FD": "3",
        "HOME": "/build",
        "LANG": "C.UTF-8",
        "LOGNAME": user,
        "NIX_STORE": "/nix/store",
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin:/run/current-system/sw/bin",
        "SHELL": "/bin/sh",
        "TMPDIR": "/tmp",
        "TZ": "UTC",
        "USER": user,
    }
    whole = b"".join(f"{name}={expected[name]}\0".encode() for name in sorted(expected))
    check_equal(result.stdout, whole, "environment")


# ES4, ES6: the session is the sandbox's own and has no terminal; init leads it, the builder leads its process group
def test_a_builder_is_in_a_session_of_the_sandbox_without_a_terminal(m):
    pid, _, _, _, group, session, terminal = attack.show(m, "/proc/self/stat").stdout.decode().split()[:7]
    check_equal((group, session, terminal), (pid, "1", "0"), "process group, session and terminal")


# MO8: nothing that a request mounts is seen outside, while it runs and afterwards
def test_mounts_of_a_request_never_show_on_the_host(m):
    before = mounts_of_the_host()
    check(" shared:" in before[0], "the root of this machine is not shared, so nothing is tested")
    m.write_builder("wait", "echo here; sleep 60")
    with attack.live(m, "wait"):
        check_equal(mounts_of_the_host(), before, "mounts during the request")
    check_equal(mounts_of_the_host(), before, "mounts after the request")


# MO4: scratch is behind a directory that only root can enter
def test_other_users_cannot_look_into_scratch(m):
    m.write_builder("wait", "echo secret > /build/file; echo here; sleep 60")
    with attack.live(m, "wait") as (_, instance):
        scratch = next(pathlib.Path("/var/lib/hatch/scratch").iterdir())
        check((scratch / "build/file").exists(), "the builder's file is not in scratch")
        other = next(name for name, uid in m.build_users().items() if uid not in instance.init.uids)
        for user in ("alice", other):
            for path in ("/var/lib/hatch", scratch, scratch / "upper", scratch / "build/file"):
                looked = m.run(["ls", path], user=user)
                check(looked.code != 0 and "Permission denied" in looked.stderr, f"{user} sees {path}: {looked.stdout}")


# MO4, MO7: upper is root's and sticky; two requests never have the same one
def test_layers_belong_to_root_and_to_one_request(m):
    m.write_builder("wait", "echo here; sleep 60")
    with attack.live(m, "wait"), m.client() as second:
        second.request("wait")
        second.receive_until("stdout")
        found = list(pathlib.Path("/var/lib/hatch/scratch").iterdir())
        check_equal(len(found), 2, "scratch directories")
        for scratch in found:
            check_equal(scratch.stat().st_mode & 0o7777, 0o700, f"mode of {scratch}")
            for name in ("upper", "outputs"):
                status = (scratch / name).stat()
                check_equal((status.st_uid, status.st_mode & 0o7777), (0, 0o1775), f"owner and mode of {name}")
            check_equal((scratch / "work").stat().st_mode & 0o7777, 0o700, "mode of work")


# MO3: paths are opened and named by descriptor, so no character in one means anything
def test_strange_characters_in_paths_mean_nothing(m):
    place = m.temporary_directory() / "a:b,c\\d=e f"
    place.mkdir()
    (place / "file").write_text("found\n")
    m.write_builder("look", f"cat '{place}/file'", view={"read": [str(place)]})
    result = m.request("look")
    check_equal((result.code, result.stdout), (0, b"found\n"), "what the builder reads")


# MO3: a link on the way to a bind may be a user's; it leads neither through /proc nor into what is hatch's own
def test_a_link_of_a_user_cannot_turn_a_bind_to_another_place(m):
    place = m.temporary_directory() / "users"
    place.mkdir()
    os.chown(place, 1000, 1000)
    (place / "data").mkdir()
    (place / "data/file").write_text("found\n")
    shown = place / "shown"
    m.write_builder("look", f"ls {shown}/", view={"read": [str(shown)]})
    shown.symlink_to("data")
    check_equal(m.request("look").stdout, b"file\n", "what a link beside it shows")
    targets = ("/proc/1/root", "/proc/self/root", "/proc/self/cwd", "/", "/run", "/run/hatch/s", "/var/lib/hatch/scratch", "/etc/hatch")
    for target in targets:
        shown.unlink()
        shown.symlink_to(target)
        result = m.request("look")
        check_equal((result.error, result.stdout), ("server-failed", b""), f"answer with a link to {target}")


# MO3: a bind inside of a bind whose content is a user's: nothing is made, and nothing mounted, where its links lead
def test_a_link_inside_of_a_bind_does_not_lead_to_the_host(m):
    place = m.temporary_directory()
    users, host = place / "users", place / "host"
    (users / "real/inner").mkdir(parents=True)
    host.mkdir()
    (users / "link").symlink_to(users / "real")
    m.write_builder("look", f"ls -d {users}/link/inner", view={"write": [str(users), str(users / "link/inner")]})
    check_equal(m.request("look").code, 0, "exit code with a link that stays inside")
    before = sorted(place.rglob("*"))
    # A bind that is new in the view below an absolute link: seen from the host it would be made outside.
    (users / "link").unlink()
    (users / "link").symlink_to("/usr/share")
    m.write_builder("away", "true", view={"read": [str(users), str(users / "link/man")]})
    result = m.request("away")
    check(result.code == 0 or result.error == "server-failed", f"end: {result.last}")
    check_equal([path for path in sorted(place.rglob("*")) if path not in before], [], "what was made on the host")


# MO2: refused before a slot is taken, so the answer has no "accepted" before it
def test_outputs_that_are_no_new_store_path_are_refused(m):
    m.write_builder("make", "echo x > $out")
    good = attack.FREE_PATH
    there = attack.fill_store(m)
    for path in (
        str(there),
        "/etc/passwd",
        "/nix/store",
        "/nix/store/",
        "/nix/store/..",
        good + "/..",
        good + "/below",
        "/nix/store/../../" + good,
        "/nix//store/" + good[11:],
        good[1:],
        "/nix/store/" + "e" * 32 + "-name",
        "/nix/store/" + "0" * 31 + "-name",
        good + "\n",
        "/nix/store/" + "0" * 32 + "-",
        good + "x" * 300,
    ):
        result = m.request("make", outputs={"out": path})
        check_equal((result.types[0], result.error), ("error", "bad-request"), f"answer to the output {path!r}")
    result = m.request("make", outputs={"out": good})
    check_equal(result.code, 0, "exit code with a good path")


# ES10: each process of a request is closed to others of its user, and has no right that it does not need
def test_processes_of_a_request_have_no_rights_and_cannot_be_looked_into(m):
    m.write_builder("wait", "echo here; sleep 60", groups=["audio"])
    speaker_uid = int(m.run(["id", "-u", "hatch"]).ok().stdout)
    with attack.live(m, "wait") as (_, i):
        check_equal(i.speaker.uids, {speaker_uid}, "uid of the speaker")
        check_equal(i.speaker.groups, [], "groups of the speaker")
        check_equal(len(i.helpers), 2, "number of packer and cleaner")
        check_equal(i.monitor.uids, {0}, "uid of the monitor")
        for process in (i.monitor, i.speaker, i.init, *i.helpers):
            who = f"process {process.pid} of uids {process.uids}"
            check_equal(set(process.capabilities().values()), {0}, f"capabilities of {who} while the builder runs")
            check_equal(process.status["NoNewPrivs"], "1", f"NoNewPrivs of {who}")
            check(not process.is_dumpable(), f"{who} is dumpable")
        # The unit and a container around it bring some, which is all that the cleaner has; the others, the packer
        # among the helpers, have one of their own beyond them, and the builder two.
        common = min(helper.filters for helper in i.helpers)
        for process in (i.monitor, i.speaker):
            check_equal(process.filters, common + 1, f"number of filters of process {process.pid}")
        for process in i.builders:
            check_equal(process.filters, common + 2, f"number of filters of process {process.pid}")
        check_in(common + 1, [helper.filters for helper in i.helpers], "number of filters of the packer")
        # The connection and nothing else of the world is the speaker's.
        kinds = {t if t.startswith("anon_inode") else t.split(":")[0] for fd, t in i.speaker.descriptors().items() if fd > 2}
        check(kinds <= {"socket", "pipe", "/memfd", "anon_inode:[eventfd]"}, f"the speaker has {kinds}")
        # Up to 2 it is the journal's stream, which all but the builder have.
        sockets = {t for fd, t in i.speaker.descriptors().items() if fd > 2 and t.startswith("socket")}
        for process in (i.init, *i.helpers, *i.builders):
            shared = sockets & set(process.descriptors().values())
            check(not shared, f"process {process.pid} holds a socket of the speaker")


# ES10: another process of the same user, outside of the sandbox, gets nowhere either
def test_a_stray_process_of_the_same_user_cannot_reach_into_a_request(m):
    m.write_builder("wait", "echo here; sleep 60")
    with attack.live(m, "wait") as (_, i):
        user = next(name for name, uid in m.build_users().items() if uid in i.init.uids)
        # Root without capabilities is to the monitor what the build user is to init.
        powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
        strays = [(i.monitor, powerless, None), (i.speaker, [], "hatch")]
        for process, words, stray in strays + [(p, [], user) for p in (i.init, *i.helpers)]:
            reads = "".join(f"head -c 1 /proc/{process.pid}/{file}; " for file in ("environ", "mem", "auxv", "fd/0", "cwd/"))
            looked = m.run([*words, "sh", "-c", reads], user=stray)
            check_equal(looked.stdout, "", f"what {stray} can read of process {process.pid}")
            check_equal(looked.stderr.count("denied") + looked.stderr.count("permitted"), 5, f"refusals ({looked.stderr})")


# ES11: names of users and groups are looked up before there is a hostile root, and nothing is loaded in it
def test_nothing_is_looked_up_or_loaded_once_the_builder_may_act(m):
    m.write_builder("make", "echo x > $out")
    trace = pathlib.Path("/run/hatchd-trace")
    m.after_test(lambda: trace.unlink(missing_ok=True))
    attack.write_drop_in(m, "[Service]\nCapabilityBoundingSet=CAP_SYS_PTRACE\n")
    attack.write_wrapper(m, f'exec strace -D -f -qq -e trace=openat,open,pivot_root -o {trace} "$@"')
    result = m.request("make", outputs={"out": None})
    check_equal(result.code, 0, "exit code")
    lines = trace.read_text().splitlines()
    pivot = next((i for i, line in enumerate(lines) if "pivot_root(" in line), None)
    check(pivot is not None, "pivot_root is not in the trace")
    init = lines[pivot].split()[0]
    opened = [line for line in lines[pivot + 1 :] if line.split()[0] == init and "open" in line]
    check(not opened, f"init opens after it has its new root: {opened[:3]}")
