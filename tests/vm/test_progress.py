"""What Nix shows of a build through the hatch: phases, transfers, signs of life, the reason of a failure. With each Nix
that there is: 2.8 ends the whole command at an instruction that it does not understand."""

import pathlib
import pty
import re
import os
import threading
import time

import nixlog
import recordings
from machine import PATIENCE, Failure, check, check_equal, check_in, one_line

INTERNAL = ["--log-format", "internal-json", "-v"]


def shown(m, derivation, *options):
    """Phases, transfers and text, as nix-output-monitor would read them, and the whole."""
    built = m.nix_build(derivation, *INTERNAL, *options)
    return built, nixlog.of_nix(built.stderr.encode())


def compare(m, what, shown):
    """With what is recorded of this Nix, and with what every version must show."""
    recordings.compare(m.run(["nix", "--version"]).ok().stdout, what, shown)


def test_phases_of_request_and_builder_are_shown_in_order(m):
    place = m.temporary_directory()
    # Each waits until the one before it is shown: of phases that come at once only the last is.
    m.write_builder("vivado", "echo 'phase synthesis of \"top\"' >&$HATCH_STATUS_FD\n"
                    f"until [ -e {place}/log ]; do sleep 0.05; done; echo log; until [ -e {place}/go ]; do sleep 0.05; done\n"
                    "printf 'phase place\\033[2J \\\\ route\\n' >&$HATCH_STATUS_FD; echo > $out", view={"read": [str(place)]})
    build = m.nix_build_start(m.hatch_derivation("top", "vivado"), *INTERNAL)
    m.wait_until(lambda: b"hatch vivado: synthesis" in build.stderr(), "the first phase")
    (place / "log").touch()
    m.wait_until(lambda: b'"log"' in build.stderr(), "the log")
    (place / "go").touch()
    compare(m, "phases", build.wait().ok().stderr)


def take_the_seat(m):
    """A build that has the only seat, and the file that lets it and others of its builder go on."""
    m.write_config(resources={"vivado-seat": 1})
    place = m.temporary_directory()
    m.write_builder("vivado", f'echo here; until [ -e {place}/go ]; do sleep 0.05; done; echo > "$out"',
                    resources={"vivado-seat": 1}, view={"read": [str(place)]})
    first = m.nix_build_start(m.hatch_derivation("first", "vivado"))
    m.wait_until(lambda: b"here" in first.stderr(), "the first build")
    return first, place / "go"


def test_what_a_request_waits_for_is_shown(m):
    first, go = take_the_seat(m)
    second = m.nix_build_start(m.hatch_derivation("second", "vivado"), *INTERNAL)
    m.wait_until(lambda: b"waiting for vivado-seat" in second.stderr(), "the second to wait")
    go.touch()
    first.wait().ok()
    compare(m, "wait", second.wait().ok().stderr)


def test_each_that_waits_is_told_how_many_are_ahead(m):
    first, go = take_the_seat(m)
    waiting = []
    for ahead in range(3):
        waiting.append(m.nix_build_start(m.hatch_derivation(f"waits-{ahead}", "vivado"), *INTERNAL))
        needle = b"waiting for vivado-seat, %d ahead" % ahead
        m.wait_until(lambda: needle in waiting[-1].stderr(), f"a build to wait behind {ahead}")
    go.touch()
    first.wait().ok()
    for ahead, build in enumerate(waiting):
        phases, _, _ = nixlog.of_nix(build.wait().ok().stderr.encode())
        check_equal(phases[:2], ["hatch vivado", f"waiting for vivado-seat, {ahead} ahead"], "phases")
        check_equal(phases[-1], "hatch vivado", "the last phase")
        counts = [int(phase.split(", ")[1].split()[0]) for phase in phases[1:-1]]
        check_equal(counts, sorted(counts, reverse=True), "how many are ahead, from first to last")


def test_inputs_that_go_are_a_transfer(m):
    m.write_builder("takes", 'wc -c <"$HATCH_INPUTS/src" >"$out"', inputs=True)
    script = 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do echo "$text" >>source; done; /bin/hatch run --input src=source takes'
    built = m.nix_build(m.derivation("takes", args=["-c", script], text="x" * 59999), *INTERNAL).ok()
    compare(m, "input", built.stderr)
    _, [(_, told)], _ = nixlog.of_nix(built.stderr.encode())
    check(told[-1] > 1200000 and told == sorted(told), f"bytes {told}")
    check_equal(pathlib.Path(built.lines()[-1]).read_text(), "1200000\n", "what came")


def test_outputs_that_come_are_a_transfer(m):
    m.write_builder("big", 'mkdir $out; head -c 30000000 /dev/urandom >$out/file; printf "no newline"')
    shown = m.nix_build(m.hatch_derivation("big", "big"), *INTERNAL).ok().stderr
    compare(m, "transfer", shown)
    _, [(_, told)], _ = nixlog.of_nix(shown.encode())
    check(told[-1] > 30000000 and told == sorted(told), f"bytes {told}")


def on_terminal(m, argv):
    """The Result of a command whose stderr is a terminal, and what is shown there, without moves of the cursor."""
    reader, writer = pty.openpty()
    seen = bytearray()

    def read():
        try:
            while True:
                seen.extend(os.read(reader, 65536))
        except OSError:  # nobody has the other end any more
            pass
    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    result = m.run(["sh", "-c", f'exec 2>/proc/{os.getpid()}/fd/{writer} "$@"', "sh", *argv], env={"TERM": "xterm"})
    os.close(writer)
    thread.join(PATIENCE)
    os.close(reader)
    return result, re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", bytes(seen)).decode(errors="replace").replace("\r", "\n")


def test_a_person_sees_phase_and_bytes(m):
    m.write_builder("big", 'echo "phase place and route" >&3; sleep 1; echo step; sleep 1; head -c 300000000 /dev/urandom >$out')
    built, text = on_terminal(m, ["nix-build", "--no-out-link", "--log-format", "bar", "--expr", m.hatch_derivation("top", "big")])
    check_equal(built.code, 0, f"exit status: {text[-1000:]}")
    check_in("(hatch big: place and route)", text, "phase on the terminal")
    check_in("MiB DL", text, "transfer on the terminal")


def test_raw_instructions_of_a_builder_are_text(m):
    lines = ['@nix {"action":"setPhase"}', '@nix {"action":"setPhase","phase":null}', '@nix {"action":"msg","level":0,"msg":"forged"}', "@nix x"]
    script = "".join(f"printf '%s\\n' '{line}'\n" for line in lines)
    m.write_builder("forges", script + 'printf "50%%\\r100%%\\rdone\\r\\nnext\\r\\n"; echo > "$out"')
    drv = m.nix_instantiate(m.hatch_derivation("forges", "forges"))
    built = m.run(["nix-store", "--realise", drv], user="alice").ok()
    check_equal([line for line in built.stderr.splitlines() if "@nix" in line], [f" {line}" for line in lines], "shown")
    log = m.run(["nix-store", "--read-log", drv]).ok().stdout
    check_in("50%\n100%\ndone\nnext\n", log, "log")
    check(not any(line.startswith("@nix") and "setPhase" not in line for line in log.splitlines()), f"an instruction in {log}")


def test_raw_instructions_are_text_in_pipes_of_a_phase_without_variables_too(m):
    m.write_builder("forges", """printf '@nix {"action":"setPhase","phase":"forged"}\\n'; echo >"$out" """)
    script = 'place="$out"; unset NIX_BUILD_TOP NIX_LOG_FD out outputs; /bin/hatch run --output out="$place" forges | '
    script += "while IFS= read -r line; do echo \"$line\"; done"  # without a program: the build has none
    _, (phases, _, text) = shown(m, m.derivation("piped", args=["-c", script]))
    check_equal(phases, [], "phases")
    check_in(' @nix {"action":"setPhase","phase":"forged"}', text, "log")


def test_the_reason_of_a_failure_is_the_last_of_the_log(m):
    m.write_builder("fails", 'echo "phase last" >&3; echo "the builder says why"; printf "no newline"; exit 42')
    built = m.nix_build(m.hatch_derivation("fails", "fails"))
    check(built.code != 0, "the build succeeded")
    compare(m, "failure", built.stderr)
    check("@nix" not in built.stderr, f"instructions in {built.stderr}")
    built = m.nix_build(m.hatch_derivation("nobody", "not-configured"))
    tail = built.stderr[built.stderr.index("exit code 125"):]
    check_in("not-configured", tail, "what Nix shows of the end of the log")


def once_in_time(attempt):
    """attempt() may fail, but not three times in a row: a loaded machine is itself silent now and then."""
    for _ in range(2):
        try:
            return attempt()
        except Failure as why:
            print("once more:", one_line(why), flush=True)
    return attempt()


def test_signs_of_life_keep_a_silent_builder_alive(m):
    m.write_builder("silent", f'sleep {5 * m.slow}; printf "half "; sleep {5 * m.slow}; echo line; echo > "$out"')
    options = ["--option", "max-silent-time", str(3 * m.slow)]
    built = m.nix_build(m.hatch_derivation("silent", "silent"), *options)
    check(built.code != 0, "the build succeeded")
    check_in("silent", built.stderr, "reason")

    def attempt():
        drv = m.nix_instantiate(m.hatch_derivation("silent", "silent", options=["--heartbeat", str(m.slow)]))
        m.run(["nix-store", "--realise", drv, *options], user="alice").ok()
        return drv

    drv = once_in_time(attempt)
    log = m.run(["nix-store", "--read-log", drv]).ok().stdout.replace("\r", "")
    check_equal([line for line in log.splitlines() if line and not line.startswith("@nix")], ["half ", "line"], "log")


def test_signs_of_life_end_with_the_builder_s_own_limit(m):
    m.write_builder("stuck", "sleep 1000", limits={"silence_sec": 5 * m.slow})

    def attempt():
        begun = time.monotonic()
        built = m.nix_build(m.hatch_derivation("stuck", "stuck", options=["--heartbeat", "1"]), "--option", "max-silent-time", str(3 * m.slow))
        check(built.code != 0, "the build succeeded")
        check_in("was silent for longer than it may", built.stderr, "reason")
        check(time.monotonic() - begun > 4 * m.slow, "it ended too early")

    once_in_time(attempt)


def test_a_request_that_waits_shows_signs_of_life_too(m):
    m.write_config(resources={"seat": 1})
    place = m.temporary_directory()
    m.write_builder("seated", f'echo here; until [ -e {place}/go ]; do sleep 0.05; done; echo > "$out"', resources={"seat": 1},
                    view={"read": [str(place)]})

    def attempt():
        (place / "go").unlink(missing_ok=True)
        first = m.nix_build_start(m.hatch_derivation("first", "seated"))
        m.wait_until(lambda: b"here" in first.stderr(), "the first build")
        second = m.nix_build_start(m.hatch_derivation("second", "seated", options=["--heartbeat", "1"]), "--option", "max-silent-time",
                                   str(3 * m.slow))
        time.sleep(6 * m.slow)
        (place / "go").touch()
        first.wait().ok()
        second.wait().ok()

    once_in_time(attempt)
