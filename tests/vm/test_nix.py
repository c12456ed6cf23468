"""What a derivation gets through the hatch: trees of every shape, references, attributes, and what a cancelled build leaves."""

import hashlib
import json
import os
import pathlib
import signal
import stat

import attack
import hatchwire
from machine import check, check_equal, check_in

PYTHON = "/usr/bin/python3"
STORE = pathlib.Path("/nix/store")

# All but "\r", which Nix itself does not keep in the text of an expression.
ARGUMENTS = [
    b"two words",
    b"",
    b"'single' \"double\" `tick` $(no) $HOME \\back\\",
    b"two\nlines\n",
    b"a\ttab",
    b"\xff\xfe\x80 no UTF-8 \xe9",
    "Häßlich 漢字".encode(),
    b"--",
    b"-dash",
    b" blanks around ",
    b"${no} ''no''",
]


def build_bytes(m, text):
    """nix-build of an expression that holds bytes which are no text."""
    file = m.temporary_directory() / "default.nix"
    file.write_bytes(os.fsencode(text))
    return m.nix_build(file)


def build_outputs(m, expression, names):
    """Build all outputs; name to path."""
    drv = m.nix_instantiate(expression)
    built = m.run(["nix-store", "--realise", drv], user="alice").ok()
    query = ["nix-store", "--query", "--binding"]
    outputs = {name: pathlib.Path(m.run([*query, name, drv]).ok().stdout.strip()) for name in names}
    check_equal(sorted(built.lines()), sorted(str(path) for path in outputs.values()), "realised")
    return outputs


def references(m, path):
    return set(m.run(["nix-store", "--query", "--references", path]).ok().lines())


# --- what goes in -----------------------------------------------------------------------------------------------------


def test_arguments_arrive_byte_for_byte_from_a_derivation(m):
    m.write_builder(
        "keep-arguments",
        "import os, sys\nopen(os.environ['out'], 'wb').write(b''.join(os.fsencode(a) + b'\\0' for a in sys.argv[1:]))\n",
        PYTHON,
    )
    built = build_bytes(m, m.hatch_derivation("arguments", "keep-arguments", [os.fsdecode(a) for a in ARGUMENTS])).ok()
    content = pathlib.Path(built.lines()[-1]).read_bytes()
    check_equal(content, b"".join(a + b"\0" for a in ARGUMENTS), "arguments")


def test_variables_of_a_derivation_are_given_where_asked_for(m):
    m.write_builder("keep-variable", 'echo "$TOP" >"$out"', environment={"accept": ["TOP"]})
    derivation = m.hatch_derivation("variable", "keep-variable", options=["--env", "TOP"], TOP="of the derivation")
    check_equal(pathlib.Path(m.nix_build(derivation).ok().lines()[-1]).read_text(), "of the derivation\n", "variable")


def test_a_builder_is_told_which_derivation_asks(m):
    m.write_builder("asks", 'echo "$HATCH_DERIVATION" >"$out"')
    drv = m.nix_instantiate(m.hatch_derivation("asking", "asks"))
    out = m.run(["nix-store", "--realise", drv], user="alice").ok().lines()[-1]
    check_equal(pathlib.Path(out).read_text().strip(), pathlib.Path(drv).name, "derivation")


# --- what comes out ---------------------------------------------------------------------------------------------------


def test_several_outputs_of_several_kinds_come_into_their_places(m):
    m.write_builder(
        "several",
        'mkdir -p "$out/bin"; echo program >"$out/bin/run"; chmod +x "$out/bin/run"\n'
        'echo header >"$dev"; ln -s "$out/bin" "$doc"\n'
        'echo "$outputs" >"$out/names"',
    )
    names = ("out", "dev", "doc")
    outputs = build_outputs(m, m.hatch_derivation("several", "several", outputs=names), names)
    check_equal((outputs["out"] / "bin/run").read_text(), "program\n", "out/bin/run")
    check_equal(outputs["dev"].read_text(), "header\n", "dev")
    check_equal(os.readlink(outputs["doc"]), f"{outputs['out']}/bin", "doc")
    check_equal((outputs["out"] / "names").read_text().split(), ["out", "dev", "doc"], "$outputs")
    check_equal(references(m, outputs["doc"]), {str(outputs["out"])}, "references of doc")
    check_equal(references(m, outputs["dev"]), set(), "references of dev")


def test_an_output_may_be_a_file(m):
    m.write_builder("file", 'printf "no newline" >"$out"')
    out = pathlib.Path(m.nix_build(m.hatch_derivation("file", "file")).ok().lines()[-1])
    check_equal((out.read_text(), stat.filemode(out.lstat().st_mode)), ("no newline", "-r--r--r--"), "file")


def test_an_output_may_be_a_program(m):
    m.write_builder("program", 'printf "#!/bin/sh\\necho it runs\\n" >"$out"; chmod 700 "$out"')
    out = m.nix_build(m.hatch_derivation("program", "program")).ok().lines()[-1]
    check_equal(stat.filemode(os.lstat(out).st_mode), "-r-xr-xr-x", "mode")
    check_equal(m.run([out], user="alice").ok().stdout, "it runs\n", "what it prints")


def test_an_output_may_be_a_symlink(m):
    m.write_builder("symlink", 'ln -s "/etc/shadow and more" "$out"')
    out = m.nix_build(m.hatch_derivation("symlink", "symlink")).ok().lines()[-1]
    check_equal(os.readlink(out), "/etc/shadow and more", "target")


def test_an_output_may_be_an_empty_directory(m):
    m.write_builder("empty", 'mkdir "$out"')
    out = pathlib.Path(m.nix_build(m.hatch_derivation("empty", "empty")).ok().lines()[-1])
    check_equal((out.is_dir(), list(out.iterdir())), (True, []), "directory")


def test_names_modes_and_links_of_a_tree_come_as_nix_keeps_them(m):
    m.write_builder(
        "tree",
        "import os\n"
        "out = os.environb[b'out']\n"
        "os.mkdir(out)\n"
        "for name in (b'-rf', b'new\\nline', b'\\xff\\xfe', b'n' * 255, b' blank ', b'..a', '漢字'.encode()):\n"
        "    open(out + b'/' + name, 'wb').write(name)\n"
        "open(out + b'/run', 'w').close(); os.chmod(out + b'/run', 0o711)\n"
        "open(out + b'/closed', 'w').write('closed'); os.chmod(out + b'/closed', 0)\n"
        "os.mkdir(out + b'/shut'); open(out + b'/shut/in', 'w').write('in'); os.chmod(out + b'/shut', 0)\n"
        "os.link(out + b'/closed', out + b'/second')\n"
        "os.utime(out, (5000000000, 5000000000))\n",
        PYTHON,
    )
    out = os.fsencode(m.nix_build(m.hatch_derivation("tree", "tree")).ok().lines()[-1])
    for name in (b"-rf", b"new\nline", b"\xff\xfe", b"n" * 255, b" blank ", b"..a", "漢字".encode()):
        with open(out + b"/" + name, "rb") as file:
            check_equal(file.read(), name, "content")
    check_equal(len(os.listdir(out)), 11, "entries")
    for name, mode in ((b"run", "-r-xr-xr-x"), (b"closed", "-r--r--r--"), (b"shut", "dr-xr-xr-x"), (b"", "dr-xr-xr-x")):
        check_equal(stat.filemode(os.lstat(out + b"/" + name).st_mode), mode, f"mode of {name}")
    with open(out + b"/second") as file:
        check_equal(file.read(), "closed", "second name")
    check_equal(os.lstat(out).st_mtime, 1.0, "time")


def test_a_tree_of_many_files_and_one_of_many_bytes_come_whole(m):
    m.write_builder(
        "many",
        "import os\n"
        "out = os.environ['out']\n"
        "for d in range(20):\n"
        "    os.makedirs(f'{out}/{d}')\n"
        "    for f in range(100):\n"
        "        open(f'{out}/{d}/{f}', 'w').write(f'{d} {f}' * f)\n"
        "with open(os.environ['big'], 'wb') as file:\n"
        "    for i in range(64):\n"
        "        file.write(bytes([i]) * (1 << 20))\n",
        PYTHON,
    )
    outputs = build_outputs(m, m.hatch_derivation("many", "many", outputs=("out", "big")), ("out", "big"))
    for d in range(20):
        for f in range(100):
            check_equal((outputs["out"] / str(d) / str(f)).read_text(), f"{d} {f}" * f, f"{d}/{f}")
    expected = hashlib.sha256(b"".join(bytes([i]) * (1 << 20) for i in range(64))).hexdigest()
    check_equal(hashlib.sha256(outputs["big"].read_bytes()).hexdigest(), expected, "64 MiB")


def test_a_reference_to_itself_is_right_registered_and_verified(m):
    m.write_builder("self", 'mkdir "$out"; echo "I am $out" >"$out/name"; ln -s "$out/name" "$out/link"; pwd')
    out = m.nix_build(m.hatch_derivation("self", "self")).ok().lines()[-1]
    check_equal((pathlib.Path(out) / "link").read_text(), f"I am {out}\n", "content, through the link")
    check_equal(references(m, out), {out}, "references")
    verified = m.run(["nix-store", "--verify", "--check-contents"]).ok()
    check("modified" not in verified.stderr and "error" not in verified.stderr, f"the store: {verified.stderr}")


def test_a_reference_to_an_input_is_registered(m):
    m.write_builder("needs", 'cat "$1" && ln -s "$1" "$out"')
    needing = m.hatch_derivation("needing", "needs", ["INPUT"]).replace('"INPUT"', "input")
    built = m.nix_build(f"let input = {m.derivation('input', args=['-c', 'echo input > $out'])}; in {needing}").ok()
    check_in("input", built.stderr, "build log")
    out = built.lines()[-1]
    check_equal(references(m, out), {os.readlink(out)}, "references")


def test_structured_attributes_name_the_outputs_too(m):
    m.write_builder("structured", 'mkdir "$out"; echo one >"$out/file"; echo two >"$dev"')
    derivation = m.hatch_derivation("structured", "structured", outputs=("out", "dev"), __structuredAttrs=True)
    outputs = build_outputs(m, derivation, ("out", "dev"))
    check_equal((outputs["out"] / "file").read_text() + outputs["dev"].read_text(), "one\ntwo\n", "content")


def test_a_fixed_output_is_accepted_if_it_is_the_right_one(m):
    m.write_builder("fixed", 'printf "%s" "$1" >"$out"')
    digest = hashlib.sha256(b"right").hexdigest()
    fixed = {"outputHashAlgo": "sha256", "outputHashMode": "flat", "outputHash": digest}
    wrong = m.nix_build(m.hatch_derivation("fixed", "fixed", ["wrong"], **fixed))
    check(wrong.code != 0, "a wrong content was accepted")
    check_in("hash mismatch", wrong.stderr, "message")
    out = m.nix_build(m.hatch_derivation("fixed", "fixed", ["right"], **fixed)).ok().lines()[-1]
    check_equal(pathlib.Path(out).read_text(), "right", "content")


def test_the_hatch_works_inside_of_an_ordinary_build(m):
    m.write_builder("part", 'mkdir "$out"; echo "part of $1" >"$out/file"; echo "from the host"')
    script = "/bin/hatch run --output out=$PWD/tree part -- me || exit; read line < tree/file; echo \"built: $line\" > $out"
    built = m.nix_build(m.derivation("ordinary", args=["-c", script])).ok()
    check_equal(pathlib.Path(built.lines()[-1]).read_text(), "built: part of me\n", "content")
    check_in("from the host", built.stderr, "build log")


def test_the_log_of_a_build_is_kept_by_nix(m):
    m.write_builder("speaks", 'echo "to stdout"; echo "to stderr" >&2; echo >"$out"')
    drv = m.nix_instantiate(m.hatch_derivation("speaks", "speaks"))
    m.run(["nix-store", "--realise", drv], user="alice").ok()
    log = m.run(["nix-store", "--read-log", drv]).ok().stdout
    for line in ("to stdout", "to stderr"):
        check_in(line, log, "log")


# --- failures ---------------------------------------------------------------------------------------------------------


def check_no_output(m, drv):
    outputs = m.run(["nix-store", "--query", "--outputs", drv]).ok().lines()
    check(outputs, f"{drv} has no output")
    for path in outputs:
        check(not os.path.lexists(path), f"{path} is there")
        check(m.run(["nix-store", "--check-validity", path]).code != 0, f"{path} is valid")


def fail_to_build(m, derivation):
    """Build what must fail; returns the log. No output may be there afterwards."""
    drv = m.nix_instantiate(derivation)
    built = m.run(["nix-store", "--realise", drv], user="alice")
    check(built.code != 0, "the build succeeded")
    check_no_output(m, drv)
    return built.stderr


def test_a_failing_builder_fails_the_build_with_its_words_and_status(m):
    m.write_builder("fails", 'mkdir "$out"; echo half >"$out/file"; echo "last words"; exit 42')
    log = fail_to_build(m, m.hatch_derivation("fails", "fails"))
    check_in("last words", log, "log")
    check_in("exit status 42", log, "log")
    check_in("exit code 42", log, "what Nix says")


def test_a_builder_killed_by_a_signal_fails_the_build(m):
    m.write_builder("dies", 'mkdir "$out"; echo whole >"$out/file"; kill -9 $$')
    check_in("signal 9", fail_to_build(m, m.hatch_derivation("dies", "dies")), "log")


def test_an_output_that_is_missing_fails_the_build(m):
    m.write_builder("forgets", 'echo >"$out"')
    log = fail_to_build(m, m.hatch_derivation("forgets", "forgets", outputs=("out", "dev")))
    check_in("dev", log, "log")


def test_an_output_above_its_limit_fails_the_build_and_names_the_limit(m):
    m.write_builder("big", 'head -c 2000000 /dev/zero >"$out"', limits={"output": "1M"})
    log = fail_to_build(m, m.hatch_derivation("big", "big"))
    check_in("limit", log, "log")
    m.write_builder("wide", 'mkdir "$out"; for i in 1 2 3 4 5 6; do : >"$out/$i"; done', limits={"output_entries": 5})
    check_in("limit", fail_to_build(m, m.hatch_derivation("wide", "wide")), "log")


def test_a_builder_that_nobody_configured_fails_the_build_with_a_reason(m):
    log = fail_to_build(m, m.hatch_derivation("nobody", "not-configured"))
    check_in("not-configured", log, "log")
    check_in("there is none that you may use", log, "log")
    m.write_builder("other", "true")
    m.write_builder("another", "true")
    m.write_builder("private", "true", allow={"users": ["root"]})
    log = fail_to_build(m, m.hatch_derivation("nobody", "not-configured"))
    check_in("you may use: another, other; a Nix build may lack", log, "log")
    m.write_builder("broken", "true", limits={"time_sec": 0})
    for name in (f"long-{i}-" + "x" * 50 for i in range(5)):
        m.write_builder(name, "true")
    log = fail_to_build(m, m.hatch_derivation("nobody", "private"))
    check_in("you may use: another, long-0-" + "x" * 50 + ", long-1-" + "x" * 50 + " and others, which `hatch list` shows; a Nix build", log, "log")
    check_in("its administrator finds why with: hatchctl show ", log, "the end of it")


# --- cancelling -------------------------------------------------------------------------------------------------------


def cancel_build(m, number):
    m.write_builder("endless", "trap '' TERM INT HUP; echo begun; setsid sleep 1000 & while :; do sleep 1; done")
    cancelled = []

    def attempt():
        drv = m.nix_instantiate(m.hatch_derivation("endless", "endless"))
        running = m.start(["nix-store", "--realise", drv], user="alice")
        m.wait_until(lambda: b"begun" in running.stderr(), "the builder's first line")
        m.wait_until(lambda: len(m.build_processes()) >= 3, "enough processes to be killed")
        running.signal(number)
        cancelled.append((drv, running))

    m.killed_in_time(2 * m.slow, attempt)
    for drv, running in cancelled:
        check(running.wait().code != 0, "nix-build says success")
        check_no_output(m, drv)
    m.wait_until(lambda: not m.instances(), "the end of the instance")
    check_equal(list(pathlib.Path("/var/lib/hatch/scratch").iterdir()), [], "scratch")


def test_an_interrupted_build_takes_its_builder_along(m):
    cancel_build(m, signal.SIGINT)


def test_a_killed_build_takes_its_builder_along(m):
    cancel_build(m, signal.SIGKILL)


def test_a_build_whose_time_is_up_for_nix_takes_its_builder_along(m):
    m.write_builder("endless", "echo begun; sleep 1000")

    def attempt():
        built = m.nix_build(m.hatch_derivation("endless", "endless"), "--option", "timeout", str(2 * m.slow))
        check(built.code != 0, "the build succeeded")
        check_in("timed out", built.stderr, "log")

    m.killed_in_time(2 * m.slow, attempt)


# --- several at once --------------------------------------------------------------------------------------------------


def test_builds_at_once_have_different_build_users(m):
    place = m.temporary_directory()
    m.write_builder(
        "meet", f'id -u >"$out"; echo here; until [ -e {place}/go ]; do sleep 0.05; done', view={"read": [str(place)]}
    )
    builds = [m.nix_build_start(m.hatch_derivation(f"meet-{i}", "meet")) for i in range(4)]
    m.wait_until(lambda: all(b"here" in build.stderr() for build in builds), "four builders")
    (place / "go").touch()
    uids = {pathlib.Path(build.wait().ok().lines()[-1]).read_text() for build in builds}
    check_equal(len(uids), 4, f"different uids of {uids}")


# --- which derivations may --------------------------------------------------------------------------------------------


def write_firmware_builder(m):
    m.write_builder(
        "sign",
        'echo "signed $HATCH_DERIVATION" >"$out"',
        allow={"uid_ranges": [{"first": 1, "last": 4294967293}], "users": ["root"], "derivations": ["*-firmware", "boot-[0-9]"]},
    )


def refusal(m, cursor):
    """What the journal says of the one refused request for the builder."""
    [line] = m.journal_wait(cursor, HATCH_BUILDER="sign", HATCH_VERDICT="refused")
    return line["HATCH_ERROR"]


def test_a_derivation_is_allowed_by_its_name(m):
    write_firmware_builder(m)
    for name in ("board-firmware", "boot-7"):
        m.nix_build(m.hatch_derivation(name, "sign")).ok()
    for name in ("firmware", "board-firmware-evil", "boot-77", "other"):
        cursor = m.journal_cursor()
        check_in("refused", fail_to_build(m, m.hatch_derivation(name, "sign")), "log")
        check_in("allow.derivations", refusal(m, cursor), "reason")


def test_a_caller_outside_of_nix_is_no_derivation(m):
    write_firmware_builder(m)
    for user in (None, "alice"):
        cursor = m.journal_cursor()
        check_equal(m.request("sign", user=user).error, "refused", f"as {user or 'root'}")
        check_in("which one asks is not known", refusal(m, cursor), "reason")


def forge(m, drv, user):
    """Call as the derivation of that name from a user namespace of user's own; the client's result."""
    place = m.temporary_directory(0o777)
    script = place / "forge"
    script.write_text(attack.FORGE)
    # Who builds in a sandbox has the socket; the forger gets it as an open directory.
    command = ["setpriv", "--reuid=alice", "--regid=1000", "--clear-groups", "--"] if user else []
    inner = ["unshare", "--user", "--map-root-user", "--mount", "--", "sh", str(script), attack.root_of(drv), str(place), "sign"]
    return m.run(["sh", "-c", 'exec 9</run/hatch/s; exec "$@"', "sh", *command, *inner])


def test_a_forged_root_directory_is_no_derivation(m):
    write_firmware_builder(m)
    m.nix_instantiate(m.derivation("any"))  # there is a store
    hash_part = "0123456789abcdfghijklmnpqrsvwxyz"
    for user, reason in (("alice", "not in a Nix build's sandbox"), (None, "does not exist")):
        cursor = m.journal_cursor()
        ran = forge(m, f"{hash_part}-board-firmware.drv", user)
        check_equal(ran.code, 125, f"exit status as {user or 'root'}: {ran.stderr}")
        check_in("refused", ran.stderr, "message")
        check_in(reason, refusal(m, cursor), f"reason for {user or 'root'}")


def test_a_forged_root_directory_is_no_derivation_while_that_one_is_built(m):
    write_firmware_builder(m)
    drv = m.nix_instantiate(m.derivation("board-firmware", args=["-c", "echo begun; while :; do :; done"]))
    running = m.start(["nix-store", "--realise", drv], user="alice")
    m.wait_until(lambda: b"begun" in running.stderr(), "the build")
    name = pathlib.Path(drv).name
    check((STORE / f"{name}.chroot").exists(), "the build has no directory of that name")
    cursor = m.journal_cursor()
    ran = forge(m, name, None)
    check_equal(ran.code, 125, f"exit status: {ran.stderr}")
    check_in("not the directory it claims", refusal(m, cursor), "reason")
    running.signal(signal.SIGINT)
    running.wait()


def test_a_derivation_is_not_taken_for_another_s(m):
    # The name in what is asked for is the client's own word, and decides nothing.
    write_firmware_builder(m)
    script = "/bin/hatch run --no-outputs --request-id board-firmware sign"
    log = fail_to_build(m, m.derivation("board-software", args=["-c", script]))
    check_in("refused", log, "log")
    with m.client("alice") as client:
        client.request("sign", derivation="0123456789abcdfghijklmnpqrsvwxyz-board-firmware.drv")
        check_equal(hatchwire.Result(client.receive_until("exit", "error")).error, "refused", "answer")


# --- the configuration of another machine -----------------------------------------------------------------------------


def show_programs(m):
    """Builds see hatchd and what it is linked with."""
    m.write_nix_conf("extra-sandbox-paths = /bin/sh=/usr/bin/busybox /usr /lib /lib64?")


def check_built(m, name, **members):
    """Build what nixos/module.nix has built before a system: a look at a definition of it."""
    definition = {"command": ["/nix/store/none/run"], "allow": {"users": ["nobody-here"]}, "root": {"bundle": "/srv/none"}, **members}
    # The shell itself comes last: Nix kills a builder that has closed its log, as touch(1) does before it exits.
    script = ('mkdir -p etc/builders.d; printf %s "$definition" >etc/builders.d/b.json; '
              'hatchd --check --offline --config "$PWD/etc"; : >"$out"')
    return m.nix_build(m.derivation(name, args=["-euc", script], PATH="/usr/bin:/usr/sbin", definition=json.dumps(definition)))


def test_a_configuration_is_checked_inside_of_a_build_where_nothing_of_it_is(m):
    show_programs(m)
    check_in("definitions: 1, errors: 0", check_built(m, "right").ok().stderr, "log")
    wrong = check_built(m, "wrong", view={"hide": ["/nix/store/x"]})
    check(wrong.code != 0, "a wrong definition was let through")
    check_in("b.json:1:", wrong.stderr, "log")
    check_in("this meets /nix/store", wrong.stderr, "log")
