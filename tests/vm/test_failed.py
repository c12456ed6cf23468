"""What is kept of a request that failed: who may see it, what is in it, and how long it stays."""

import os
import pathlib
import re
import stat
import tarfile
import time

from attack import write_drop_in
from machine import check, check_equal, check_in

FAILED = pathlib.Path("/var/lib/hatch/failed")


def fail(m, script, keep=("**",), name="fails", outputs=None, **definition):
    """A request that leaves a keepsake; the keepsake's directory and the Result."""
    m.after_test(lambda: [m.run(["rm", "-rf", path]) for path in FAILED.glob("*")])
    m.write_builder(name, script, keep_failed=list(keep), **definition)
    result = m.request(name, outputs=outputs or {})
    return (FAILED / result.last["kept"] if result.last.get("kept") else None), result


def members(keepsake):
    with tarfile.open(keepsake / "files.tar") as tar:
        return {member.name: member for member in tar.getmembers()}


def content(keepsake, name):
    with tarfile.open(keepsake / "files.tar") as tar:
        return tar.extractfile(name).read()


def test_a_failed_request_leaves_its_files_its_log_and_its_story(m):
    keepsake, result = fail(
        m,
        "mkdir -p reports/deep $out; echo one > reports/deep/a; echo two > b.log; echo three > c.txt; echo four > /tmp/d.log;"
        " echo five > $out/e.log; echo said; echo cried >&2; exit 3",
        keep=["reports/**", "*.log"],
        outputs={"out": None},
    )
    check_equal(result.code, 3, "exit code")
    check_equal(keepsake.name, result.last["receipt"]["id"], "name of the keepsake")
    check_equal(sorted(members(keepsake)), ["build/b.log", "build/reports/deep/a", "outputs/out/e.log", "tmp/d.log"], "files")
    check_equal(content(keepsake, "build/reports/deep/a"), b"one\n", "a file")
    check_equal(sorted((keepsake / "log").read_text().split()), ["cried", "said"], "the log")
    receipt = dict(line.split("=", 1) for line in (keepsake / "receipt").read_text().splitlines())
    check_equal(receipt["HATCH_REQUEST"], keepsake.name, "request of the receipt")
    check_equal(receipt["HATCH_EXIT"], "3", "exit status of the receipt")
    check_equal(receipt["HATCH_PEER_UID"], "0", "caller of the receipt")
    check_equal(receipt["HATCH_VERDICT"], "failed", "verdict of the receipt")
    check("HATCH_CPU_USER_US" in receipt, f"the receipt does not tell what was used: {receipt}")
    check_equal((keepsake / "definition").read_bytes(), pathlib.Path("/etc/hatch/builders.d/fails.json").read_bytes(), "definition")
    sandbox = (keepsake / "sandbox").read_text()
    for part in ("[command]\n", "[environment]\n", "HOME=/build", "[mounts]\n", " /build ", "[status]\n", "CapEff:\t0000000000000000"):
        check_in(part, sandbox, "the sandbox")
    check_equal(m.journal_wait(HATCH_REQUEST=keepsake.name)[0]["HATCH_KEPT"], "yes", "the journal")


def test_a_bundle_is_for_root_alone(m):
    keepsake, _ = fail(m, "exit 1")
    for path in (FAILED, keepsake, *keepsake.iterdir()):
        mode = path.stat()
        check_equal((mode.st_uid, stat.S_IMODE(mode.st_mode) & 0o077), (0, 0), f"owner and mode of {path}")


def test_only_failures_of_definitions_that_ask_are_kept(m):
    check(fail(m, "exit 0", name="good")[0] is None, "a request that went well is kept")
    m.write_builder("silent", "exit 1")
    check_equal(m.request("silent").last.get("kept"), None, "kept without being asked")
    keepsake, _ = fail(m, "echo x > file; exit 1", keep=[])
    check_equal(sorted(path.name for path in keepsake.iterdir()), ["definition", "log", "receipt", "sandbox"], "without globs")
    check_equal([path.name for path in FAILED.glob(".*")], [], "left of requests that went well")


def test_limits_and_broken_outputs_are_failures_too(m):
    keepsake, result = fail(m, "echo x > file; sleep 60", limits={"time_sec": 2, "grace_sec": 1})
    check_in("build/file", members(keepsake), "files after a time limit")
    check_equal(result.last["timed_out"], True, "the end")
    keepsake, result = fail(m, "mkfifo $out; echo x > file", outputs={"out": None})
    check_equal((result.last["type"], result.last["code"]), ("error", "output"), "the end")
    check_in("build/file", members(keepsake), "files after a bad output")
    keepsake, result = fail(m, "echo x > file; yes", limits={"log": 10000})
    check_equal(result.last["code"], "limit", "the end")
    check_in("build/file", members(keepsake), "files after too much log")


def test_a_request_that_its_client_gave_up_is_not_kept(m):
    m.write_builder("wait", "echo here; sleep 60", keep_failed=["**"])
    with m.client() as client:
        client.request("wait")
        client.receive_until("stdout")
    m.wait_until(lambda: not m.instances(), "the end of the request")
    check_equal(list(FAILED.glob("*")) + list(FAILED.glob(".*")), [], "what is kept")


def test_files_of_a_scratch_in_memory_are_kept_too(m):
    keepsake, _ = fail(m, "echo x > a; echo y > /tmp/b; echo z > $out; exit 1", scratch_on="tmpfs", limits={"scratch": "16M"}, outputs={"out": None})
    check_equal(sorted(members(keepsake)), ["build/a", "outputs/out", "tmp/b"], "files")


def test_the_end_of_a_long_log_is_kept(m):
    keepsake, _ = fail(m, "seq 1 100000; exit 1")
    log = (keepsake / "log").read_text()
    check_equal(len(log), 65536, "length of the log")
    check(log.endswith("99999\n100000\n"), "the log's end is missing")


# OP2, OP3: what a builder left decides nothing but its own bytes
def test_hostile_trees_do_no_harm(m):
    keepsake, _ = fail(
        m,
        "ln -s /etc/shadow shadow; ln -s / root; mkfifo pipe; truncate -s 8T sparse; mkdir -p closed/x; echo in > closed/x/f;"
        " chmod 0 closed/x/f closed/x closed; echo ok > -rf; printf 'x' > \"$(printf 'new\\nline')\";"
        " python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"sock\")' 2>/dev/null; exit 1",
    )
    found = members(keepsake)
    check_equal({name for name in found if "sparse" in name or "pipe" in name or "sock" in name}, set(), "what cannot be kept")
    check(found["build/shadow"].issym() and found["build/root"].issym(), "links were followed")
    check_equal(content(keepsake, "build/closed/x/f"), b"in\n", "a closed file")
    check_in("build/-rf", found, "files")
    check_in("build/new\nline", found, "files")


def test_what_is_kept_holds_no_secret(m):
    place = m.temporary_directory(0o700)
    (place / "key").write_bytes(b"correct horse battery staple")
    write_drop_in(m, f"[Service]\nLoadCredential=key:{place}/key\n")
    keepsake, _ = fail(
        m,
        'k=$(cat "$CREDENTIALS_DIRECTORY/key"); echo "$k"; echo "$k" > plain; (head -c 99999 /dev/zero; cat plain) > deep;'
        ' ln -s "$k" link; touch "$k"; mkdir "d $k"; touch "d $k/x"; echo harmless > other; exit 1',
        credentials=["key"],
    )
    check_equal(sorted(members(keepsake)), ["build/other"], "files")
    for path in keepsake.iterdir():
        check(b"correct horse" not in path.read_bytes(), f"{path} holds the secret")


def test_files_are_kept_up_to_their_size(m):
    m.write_config(failed={"size": "1M", "total": "16M"})
    keepsake, _ = fail(m, "head -c 900000 /dev/zero > a; head -c 900000 /dev/zero > b; echo c > c; exit 1")
    check_equal(sorted(members(keepsake)), ["build/a", "build/c"], "files")
    check((keepsake / "files.tar").stat().st_size <= 1 << 20, "too large")


def test_old_keepsakes_make_room_for_new_ones(m):
    m.write_config(failed={"size": "1M", "total": "2M", "keep_days": 2})
    names = []
    for i in range(4):
        keepsake, _ = fail(m, "head -c 900000 /dev/urandom > a; exit 1", name=f"f{i}")
        names.append(keepsake.name)
        os.utime(keepsake, (time.time() - 100 + i, time.time() - 100 + i))
    check_equal({path.name for path in FAILED.iterdir()}, set(names[2:]), "keepsakes that stay")
    old = FAILED / names[2]
    os.utime(old, (time.time() - 3 * 86400,) * 2)
    dead = FAILED / ".0123456789abcdef"
    dead.mkdir()
    (dead / "log").write_text("x")
    keepsake, _ = fail(m, "exit 1")
    check_equal({path.name for path in FAILED.iterdir()}, {names[3], keepsake.name}, "keepsakes after a while")


def test_the_client_names_what_is_kept(m):
    m.after_test(lambda: [m.run(["rm", "-rf", path]) for path in FAILED.glob("*")])
    m.write_builder("fails", "exit 4", keep_failed=[])
    done = m.run(["hatch", "run", "fails"])
    check_equal(done.code, 4, "exit status")
    found = re.search(r"hatchctl show ([0-9a-f]{16})", done.stderr)
    check(found and (FAILED / found[1]).is_dir(), f"the client says: {done.stderr}")


def test_a_bad_pattern_is_told_with_its_place(m):
    m.write_builder("wrong", "true", keep_failed=["ok", "../escape"])
    checked = m.run(["hatchd", "--check"])
    check_in("wrong.json:", checked.stdout, "the file")
    check_in("match nothing", checked.stdout, "what is wrong")
    check(checked.code != 0, "the definition passes")
