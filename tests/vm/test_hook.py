"""hatch-pre-build-hook, run by the real nix-daemon: which builds see the hatch, and which builders they may use."""

import json
import pathlib

from machine import BIN, CONFIG, Skip, check, check_equal, check_in

HOOK = "/usr/sbin/hatch-pre-build-hook"
SEEN = "echo $(test -e /bin/hatch && echo client) $(test -S /run/hatch/hatch.sock && echo socket) >$out"
BOTH, NONE = "client socket\n", "\n"


def set_up(m, *lines, text=None, **members):
    """Have Nix run the hook instead of showing the hatch to all; members or text are its configuration."""
    m.write_nix_conf("extra-sandbox-paths = /bin/sh=/usr/bin/busybox", f"pre-build-hook = {HOOK}",
                     "extra-system-features = hatch-a hatch-b hatch-other",
                     "extra-experimental-features = ca-derivations impure-derivations nix-command", *lines,
                     without=["extra-sandbox-paths"])
    configure(m, text, **members)


def configure(m, text=None, **members):
    whole = {"features": ["hatch-a", "hatch-b"], **members,
             "paths": [{"path": "/run/hatch/s", "at": "/run/hatch"}, {"path": "/usr/bin/hatch", "at": "/bin/hatch"}]}
    path = CONFIG / "hook.json"
    path.write_text(json.dumps(whole) if text is None else text)
    m.after_test(lambda: path.unlink(missing_ok=True))


def journal_of_nix(m, cursor):
    m.run(["journalctl", "--sync"])
    return m.run(["journalctl", "-u", "nix-daemon", "-o", "cat", f"--after-cursor={cursor}"]).ok().stdout


def seen_by(m, name="looks", features=(), **attributes):
    """What a build with these features finds of the hatch."""
    built = m.nix_build(m.derivation(name, args=["-c", SEEN], requiredSystemFeatures=list(features), **attributes)).ok()
    return pathlib.Path(built.lines()[-1]).read_text()


def test_only_a_derivation_with_the_feature_sees_the_hatch(m):
    set_up(m)
    check_equal(seen_by(m), NONE, "without a feature")
    check_equal(seen_by(m, features=["hatch-a"]), BOTH, "with the feature")
    check_equal(seen_by(m, features=["hatch-b", "hatch-other"]), BOTH, "with two features")
    cursor = m.journal_cursor()
    check_equal(seen_by(m, features=["hatch-other"]), NONE, "with a feature of another")
    check_in('-looks.drv requires the feature hatch-other, which "features" in /etc/hatch/hook.json does not name',
             journal_of_nix(m, cursor), "journal")


def test_a_build_that_is_shown_the_hatch_uses_it(m):
    set_up(m)
    m.write_builder("a", 'echo "made for $1" >"$out"')
    for name, attributes in (("classic", {}), ("structured", {"__structuredAttrs": True})):
        built = m.nix_build(m.hatch_derivation(name, "a", [name], requiredSystemFeatures=["hatch-a"], **attributes)).ok()
        check_equal(pathlib.Path(built.lines()[-1]).read_text(), f"made for {name}\n", name)


def test_every_kind_of_derivation_is_read(m):
    set_up(m)
    # Of a fixed output the content is known; it is made only where both are seen.
    fixed = {"outputHashMode": "flat", "outputHashAlgo": "sha256",
             "outputHash": m.run(["nix-hash", "--type", "sha256", "--flat", _file(m, BOTH)]).ok().stdout.strip()}
    check_equal(seen_by(m, "fixed-output", ["hatch-a"], **fixed), BOTH, "fixed output")
    check_equal(seen_by(m, "content-addressed", ["hatch-a"], __contentAddressed=True, outputHashMode="recursive",
                        outputHashAlgo="sha256"), BOTH, "content-addressed")


def _file(m, content):
    path = m.temporary_directory() / "content"
    path.write_text(content)
    return path


def test_another_hook_goes_on_being_run(m):
    other = m.temporary_directory() / "other"
    other.write_text(f"#!/bin/sh\necho extra-sandbox-paths\necho /from-other={HOOK}\n")
    other.chmod(0o755)
    # Of a path that anybody can write to nothing is run.
    place = pathlib.Path("/usr/local/sbin/other-hook")
    m.run(["install", "-D", "-m", "755", other, place]).ok()
    m.after_test(place.unlink)
    set_up(m, chain=str(place))
    look = SEEN + "; test -e /from-other && echo other >>$out"
    for features, expected in (([], NONE + "other\n"), (["hatch-a"], BOTH + "other\n")):
        built = m.nix_build(m.derivation("chained", args=["-c", look], requiredSystemFeatures=features)).ok()
        check_equal(pathlib.Path(built.lines()[-1]).read_text(), expected, f"with {features}")

    place.write_text("#!/bin/sh\nexit 3\n")
    built = m.nix_build(m.derivation("chained", args=["-c", look]))
    check(built.code != 0, "a build went on without the other hook")
    check_in("failed with exit code 3", built.stderr, "error")

    # Nobody knows any more which one is to be run.
    for text in (json.dumps({"features": ["hatch-a"], "chain": str(place)})[:-1] + ",}", json.dumps({"chian": str(place)})):
        configure(m, text=text)
        built = m.nix_build(m.derivation("unchained", args=["-c", look]))
        check(built.code != 0, f"a build went on without the other hook, with {text}")
        check_in("failed with exit code 78", built.stderr, f"error with {text}")


def test_a_wrong_configuration_fails_only_builds_that_need_it(m):
    set_up(m, text='{"features": ["hatch-a"],\n "paths": ["x"]}')
    cursor = m.journal_cursor()
    check_equal(seen_by(m), NONE, "without a feature")
    check_equal(seen_by(m, features=["big-parallel"]), NONE, "with a feature of Nix")
    built = m.nix_build(m.derivation("needs", args=["-c", SEEN], requiredSystemFeatures=["hatch-a"]))
    check(built.code != 0, "a build went on without the hatch")
    check_in(f"program '{HOOK}' failed with exit code 78", built.stderr.replace('"', "'"), "error")
    said = journal_of_nix(m, cursor)
    check_in('hook.json:2:12: "x"; expected an absolute path', said, "journal")
    check_in("-needs.drv requires the feature hatch-a, and /etc/hatch/hook.json is wrong", said, "journal")
    check_in('hook.json:2:12: "x"; expected an absolute path', m.run(["hatchd", "--check"]).stdout, "hatchd --check")


def test_what_is_to_be_shown_is_looked_for_by_the_check(m):
    configure(m)
    said = m.run(["hatchd", "--check"]).ok().stdout.splitlines()
    check_in("host: shown to builds: /usr/bin/hatch: yes", said, "hatchd --check")
    configure(m, text='{"features": ["hatch-a"], "paths": ["/usr/bin/no-hatch"]}')
    said = m.run(["hatchd", "--check"]).ok().stdout.splitlines()
    check_in("host: shown to builds: /usr/bin/no-hatch: no: No such file or directory", said, "hatchd --check")
    (CONFIG / "hook.json").unlink()
    said = m.run(["hatchd", "--check"]).ok().stdout.splitlines()
    check_in("host: shown to builds by the hook: nothing: there is no /etc/hatch/hook.json", said, "hatchd --check")
    for user, why in (("no-such-user", 'has no user "no-such-user"'), ("root", "not parsed by root")):
        configure(m, user=user)
        wrong = m.run(["hatchd", "--check"])
        check_equal(wrong.code, 78, f"exit status with {user}")
        check_in(why, wrong.stdout, "hatchd --check")
        check_in("/etc/hatch/hook.json:1:", wrong.stdout, "where it says so")


def test_a_build_goes_on_where_hatch_is_not_there(m):
    set_up(m)
    m.stop_socket()
    m.after_test(lambda: m.run(["systemd-tmpfiles", "--create", "hatch.conf"]).ok())
    m.run(["rm", "-r", "/run/hatch/s"]).ok()
    check_equal(seen_by(m), NONE, "without a feature")
    check_equal(seen_by(m, features=["hatch-a"]), "client\n", "with the feature")
    configure(m, text="{}")
    check_equal(seen_by(m, features=["hatch-a"]), NONE, "with nothing configured")


def test_a_build_whose_derivation_is_elsewhere_sees_what_the_configuration_says(m):
    # A second store stands for the machine that a trusted user sends a build to: it gets no .drv. This machine's own
    # store has it at the same path, so the hook is told where the other machine would look.
    remote = pathlib.Path("/var/lib/hatch-test/remote")
    m.after_test(lambda: (m.run(["chmod", "-R", "u+w", remote]), m.run(["rm", "-rf", remote]).ok()))
    there = pathlib.Path("/usr/local/sbin/hook-there")
    there.parent.mkdir(parents=True, exist_ok=True)
    there.write_text(f'#!/bin/sh\nexec {HOOK} "{remote}$1" "$2"\n')
    there.chmod(0o755)
    m.after_test(there.unlink)
    set_up(m, f"builders = local?root={remote} - - 1 1 hatch-a", "max-jobs = 0", f"pre-build-hook = {there}")
    for missing, expected in (("hide", NONE), ("expose", BOTH)):
        configure(m, missing_derivation=missing)
        cursor = m.journal_cursor()
        check_equal(seen_by(m, features=["hatch-a"]), expected, missing)
        # Some versions of Nix keep to themselves what a hook says there: then it is in the journal by itself.
        m.run(["journalctl", "--sync"])
        journal = m.run(["journalctl", "-o", "cat", f"--after-cursor={cursor}"]).ok().stdout
        said = "-looks.drv is not on this machine, so what it requires is not known" in journal
        check_equal(said, missing == "hide", f"is it said, with {missing}")
        check(not list(remote.glob("nix/store/*-looks.drv")), "the derivation is there after all")


# --- allow.features ---------------------------------------------------------------------------------------------------


def write_builders(m):
    """Two builders, each for derivations with its own feature."""
    everybody = {"uid_ranges": [{"first": 1, "last": 4294967293}], "users": ["root"]}
    for name in ("a", "b"):
        m.write_builder(name, f'echo "made by {name}" >"$out"', allow={**everybody, "features": [f"hatch-{name}"]})


def ask(m, builder, features, **attributes):
    return m.nix_build(m.hatch_derivation(f"asks-{builder}", builder, requiredSystemFeatures=features, **attributes))


def test_a_derivation_uses_only_the_builders_whose_features_it_requires(m):
    set_up(m)
    write_builders(m)
    cursor = m.journal_cursor()
    for attributes in ({}, {"__structuredAttrs": True}):
        built = ask(m, "a", ["hatch-a"], **attributes).ok()
        check_equal(pathlib.Path(built.lines()[-1]).read_text(), "made by a\n", "what a made")
        built = ask(m, "b", ["hatch-a"], **attributes)
        check(built.code != 0, "b served a derivation of a")
        check_in("there is no builder `b` that you may use", built.stderr, "what the derivation is told")
        check("hatch-b" not in built.stderr, "it is told of the feature")
    ask(m, "b", ["hatch-a", "hatch-b"]).ok()

    served, refused = (m.journal_wait(cursor, HATCH_BUILDER=name)[0] for name in ("a", "b"))
    check_equal(served["HATCH_FEATURES"], "hatch-a", "HATCH_FEATURES")
    check_equal(refused["HATCH_VERDICT"], "refused", "HATCH_VERDICT")
    check_in("asks-b.drv does not require the feature hatch-b, which allow.features in /etc/hatch/builders.d/b.json asks for",
             refused["HATCH_ERROR"], "HATCH_ERROR")
    check_in('add "hatch-b" to requiredSystemFeatures', refused["HATCH_HINT"], "HATCH_HINT")


def test_a_derivation_is_shown_only_the_builders_that_it_may_use(m):
    set_up(m)
    write_builders(m)
    listed = "/bin/hatch list >$out"
    built = m.nix_build(m.derivation("lists", args=["-c", listed], requiredSystemFeatures=["hatch-b"])).ok()
    shown = pathlib.Path(built.lines()[-1]).read_text()
    check("test builder b" in shown and "test builder a" not in shown, f"it is shown {shown}")


def test_a_derivation_that_nix_has_resolved_is_known_too(m):
    # With inputs that are content-addressed it is another one, of another name, that is built.
    set_up(m)
    write_builders(m)
    floating = ('outputHashMode = "recursive"; outputHashAlgo = "sha256"; __contentAddressed = true; builder = "/bin/sh"; '
                "system = builtins.currentSystem;")
    asks = "/bin/hatch run --output out=/build/made a && /bin/sh -c 'read made </build/made; echo $made of $dep >$out'"
    cursor = m.journal_cursor()
    built = m.nix_build(f'''let dep = derivation {{ name = "dep"; {floating} args = [ "-c" "echo dep >$out" ]; }}; in
        derivation {{ name = "resolved"; {floating} inherit dep; requiredSystemFeatures = [ "hatch-a" ]; args = [ "-c" "{asks}" ]; }}''').ok()
    check_in("resolved derivation:", built.stderr, "what Nix says")
    check_in("made by a of /nix/store/", pathlib.Path(built.lines()[-1]).read_text(), "what is made")
    line = m.journal_wait(cursor, HATCH_BUILDER="a")[0]
    check_in(f"-> '/nix/store/{line['HATCH_DRV']}'", built.stderr.replace('"', "'"), "the derivation that asks")


def test_features_are_asked_for_also_where_all_builds_see_the_hatch(m):
    set_up(m, "extra-sandbox-paths = /bin/sh=/usr/bin/busybox /run/hatch=/run/hatch/s? /bin/hatch=/usr/bin/hatch?", "pre-build-hook =")
    write_builders(m)
    check_equal(seen_by(m), BOTH, "without a feature")
    check(ask(m, "a", []).code != 0, "a served a derivation without its feature")
    ask(m, "a", ["hatch-a"]).ok()


def test_builds_with_uids_of_their_own_are_known_by_their_derivations_too(m):
    # Of a range that Nix takes itself, and so of no account. Experimental, and younger than Nix 2.8.
    set_up(m, "extra-experimental-features = auto-allocate-uids", "auto-allocate-uids = true")
    if "unknown" in m.run(["nix", "show-config"]).stderr:
        raise Skip("this Nix gives no build a uid of its own")
    write_builders(m)
    cursor = m.journal_cursor()
    check_equal(seen_by(m), NONE, "without a feature")
    ask(m, "a", ["hatch-a"]).ok()
    check(ask(m, "b", ["hatch-a"]).code != 0, "b served a derivation of a")
    check(int(m.journal_wait(cursor, HATCH_BUILDER="a")[0]["HATCH_PEER_UID"]) >= 872415232, "a build had the uid of an account")


def test_who_is_no_build_has_no_features(m):
    write_builders(m)
    cursor = m.journal_cursor()
    for user in (None, "alice"):
        check_equal(m.request("a", user=user).error, "refused", f"the answer to {user}")
    line = m.journal_wait(cursor, HATCH_BUILDER="a")[0]
    check_in("is for derivations that require certain features", line["HATCH_ERROR"], "HATCH_ERROR")


def ask_without_its_file(m):
    """What becomes of a request whose derivation is away when it comes, as on another machine. Nix itself needs the file
    before and after. Returns the journal's line of the request, and how the build ended."""
    gates = [BIN / "first", BIN / "second"]
    m.write_builder("hold", 'while ! test -e "$1"; do sleep 0.1; done; : >"$out"')
    script = ("/bin/hatch run --output out=/build/1 hold {} && "
              "{{ /bin/hatch run --output out a; /bin/hatch run --output out=/build/2 hold {}; }}").format(*gates)
    drv = pathlib.Path(m.nix_instantiate(m.derivation("loses-it", args=["-c", script], requiredSystemFeatures=["hatch-a"])))
    away = drv.with_name(drv.name + ".away")
    cursor = m.journal_cursor()
    building = m.start(["nix-store", "--realise", drv], user="alice")
    m.wait_until(m.build_processes, "the builder runs")
    drv.rename(away)
    gates[0].write_text("")
    try:
        line = m.journal_wait(cursor, HATCH_BUILDER="a")[0]
    finally:
        away.rename(drv)
        gates[1].write_text("")
    ended = building.wait()
    for gate in gates:
        gate.unlink()
    return line, ended


def test_a_build_whose_derivation_is_elsewhere_is_refused_unless_that_is_allowed(m):
    set_up(m)
    write_builders(m)
    line, built = ask_without_its_file(m)
    check(built.code != 0, "a build without a derivation was served")
    check_in("-loses-it.drv requires is not known", line["HATCH_ERROR"], "HATCH_ERROR")
    check_in('"missing_derivation": "allow" in /etc/hatch/hatchd.json', line["HATCH_HINT"], "HATCH_HINT")

    m.write_config(missing_derivation="allow")
    line, built = ask_without_its_file(m)
    check_equal((line["HATCH_VERDICT"], "HATCH_FEATURES" in line), ("done", False), "verdict, and whether features were read")
    check_equal(pathlib.Path(built.ok().lines()[-1]).read_text(), "made by a\n", "what a made")


def test_explain_reads_the_derivation(m):
    write_builders(m)
    drv = m.nix_instantiate(m.derivation("asks", requiredSystemFeatures=["hatch-a"], __structuredAttrs=True))
    told = m.run(["hatchctl", "explain", "--json", "--uid", "nixbld1", "--derivation", drv, "a"]).ok().stdout
    check_equal(json.loads(told)["peer"]["features"], ["hatch-a"], "features")
    refused = m.run(["hatchctl", "explain", "--uid", "nixbld1", "--derivation", drv, "b"])
    check_equal(refused.code, 77, "exit status")
    check_in("does not require the feature hatch-b", refused.stdout, "answer")
