"""The lab itself: a machine that does what the other tests take for granted."""

import os

from machine import check, check_equal, check_in


def test_systemd_is_the_init_of_the_machine(m):
    check_equal(open("/proc/1/comm").read().strip(), "systemd", "PID 1")
    # The tests are a part of the boot, so it is not done.
    check_equal(m.run(["systemctl", "is-system-running"]).stdout.strip(), "starting", "state of the system")
    check_equal(m.run(["systemctl", "is-active", "sockets.target"]).stdout.strip(), "active", "state of sockets.target")


def test_nix_builds_in_its_sandbox_as_an_ordinary_user(m):
    script = 'echo "uid $(/bin/sh -c "echo \\$UID") in $PWD"; [ ! -e /etc/shadow ] || exit 3; echo built > $out'
    built = m.nix_build(m.derivation("lab", args=["-c", script])).ok()
    check_in("in /build", built.stderr, "build log")
    with open(built.lines()[0]) as output:
        check_equal(output.read(), "built\n", "content of the output")


def test_a_failing_build_is_seen_to_fail(m):
    built = m.nix_build(m.derivation("failing", args=["-c", "echo some last words; exit 5"]))
    check(built.code != 0, "the build succeeded")
    check_in("some last words", built.stderr, "build log")


def test_the_harness_notices_what_is_left_behind(m):
    before = m.snapshot()
    pid = os.fork()
    if pid == 0:
        # A daemon: no child of the test any more.
        if os.fork() == 0:
            os.setsid()
            os.execvp("sleep", ["sleep", "1000"])
        os._exit(0)
    os.waitpid(pid, 0)
    mount = m.temporary_directory()
    m.run(["mount", "-t", "tmpfs", "none", mount]).ok()
    m.after_test(lambda: m.run(["umount", mount]).ok())
    with open("/dev/shm/left", "w"):
        m.after_test(lambda: os.unlink("/dev/shm/left"))
    # Until then it looks like the test itself.
    m.wait_until(lambda: m.run(["pgrep", "--full", "sleep 1000"]).code == 0, "the daemon's own program")
    found = " ".join(m.left_behind(before, seconds=0.2))
    m.run(["pkill", "--full", "sleep 1000"]).ok()
    for part in ("process sleep of uid 0 (sleep 1000)", f"mount {mount} (tmpfs)", "file /dev/shm/left"):
        check_in(part, found, "what the harness found")
