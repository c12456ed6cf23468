"""What a definition's "view" puts into a request's sandbox: what is read, written, new, hidden."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import stat
import tempfile

import attack
from machine import BIN, STATE, Skip, check, check_equal, check_in, own_kernel


def said(m, name, script, args=(), **view):
    """What a builder with this view prints; it must end well."""
    m.write_builder(name, script, view=view)
    result = m.request(name, args)
    check_equal((result.code, result.error), (0, None), f"end of {name} ({result.last}, {result.stderr})")
    return result.stdout.decode()


def make_files(m, **files):
    """A directory of the host with these files."""
    place = m.temporary_directory()
    for name, text in files.items():
        (place / name).write_text(text)
    return place


def group_id(m, name):
    return int(m.run(["getent", "group", name]).ok().stdout.split(":")[2])


def errors_of_check(m):
    checked = m.run(["hatchctl", "check"])
    return checked.code, checked.stderr


# --- read and write ---------------------------------------------------------------------------------------------------


def test_a_directory_can_be_shown_at_another_place(m):
    place = make_files(m, file="shown\n")
    out = said(m, "look", "cat /opt/other/place/file; ls -d /var/tmp/hatch-test-* || :", read=[{"path": str(place), "at": "/opt/other/place"}])
    check_equal(out, "shown\n", "what the builder sees, and nothing at the first place")


def test_a_file_can_be_shown_at_another_place(m):
    place = make_files(m, file="shown\n")
    out = said(m, "look", "cat /opt/renamed", read=[{"path": str(place / "file"), "at": "/opt/renamed"}])
    check_equal(out, "shown\n", "what the builder sees")


def test_what_is_read_cannot_be_written_and_what_is_written_stays(m):
    place = m.temporary_directory()
    for name in ("read", "write"):
        (place / name).mkdir()
        (place / name).chmod(0o777)
    script = f"touch {place}/read/new 2>/dev/null && echo written; touch {place}/write/new && echo kept"
    check_equal(said(m, "look", script, read=[str(place / "read")], write=[str(place / "write")]), "kept\n", "what can be written")
    check_equal(sorted(str(p.relative_to(place)) for p in place.rglob("new")), ["write/new"], "what stays")


def test_a_place_can_be_read_only_inside_of_one_that_is_written(m):
    place = m.temporary_directory()
    (place / "fixed").mkdir()
    for path in (place, place / "fixed"):
        path.chmod(0o777)
    script = f"touch {place}/new && echo new; touch {place}/fixed/new 2>/dev/null || echo fixed"
    check_equal(said(m, "look", script, read=[str(place / "fixed")], write=[str(place)]), "new\nfixed\n", "what can be written")


def test_a_source_that_is_missing_stops_the_request_before_a_slot_unless_it_is_optional(m):
    m.write_builder("look", "ls /opt/gone 2>/dev/null || echo nothing", view={"read": [{"path": "/opt/gone", "optional": True}]})
    result = m.request("look")
    check_equal((result.code, result.stdout), (0, b"nothing\n"), "an optional one")
    check_equal(m.run(["hatchctl", "check"]).code, 0, "what the check says of an optional one")
    m.write_builder("look", "true", view={"read": ["/opt/gone"]})
    result = m.request("look")
    check_equal((result.types[0], result.error), ("error", "server-failed"), "the answer with one that is not")
    code, text = errors_of_check(m)
    check_equal(code, 78, "exit status of the check")
    check_in("/opt/gone", text, "what the check says")


# --- tmpfs ------------------------------------------------------------------------------------------------------------


def test_a_tmpfs_has_its_size_and_is_the_builder_s(m):
    script = (
        "set -u; findmnt -no FSTYPE,SIZE /opt/new; touch /opt/new/file && echo mine\n"
        "head -c 3000000 /dev/zero >/opt/new/large 2>/dev/null || stat -c %s /opt/new/large\n"
        "i=0; while [ $i -lt 2000 ] && true 2>/dev/null >/opt/new/$i; do i=$((i+1)); done; [ $i -lt 600 ] && echo bounded"
    )
    out = said(m, "look", script, tmpfs=[{"at": "/opt/new", "size": "2M"}]).split()
    check_equal(out[:3], ["tmpfs", "2M", "mine"], "type, size and owner")
    check_equal(out[3:], [str(2 << 20), "bounded"], "what fits")


def test_a_tmpfs_is_empty_in_every_request(m):
    m.write_builder("look", "ls -A /opt/new; touch /opt/new/left", view={"tmpfs": [{"at": "/opt/new", "size": "1M"}]})
    for _ in range(2):
        result = m.request("look")
        check_equal((result.code, result.stdout), (0, b""), "what is there at first")


def test_a_tmpfs_covers_what_a_bind_shows(m):
    place = make_files(m, file="shown\n")
    (place / "cache").mkdir()
    (place / "cache/old").touch()
    out = said(m, "look", f"cd {place}; touch cache/new; echo *; echo cache/*", read=[str(place)],
               tmpfs=[{"at": str(place / "cache"), "size": "1M"}])
    check_equal(out, "cache file\ncache/new\n", "what the builder sees")
    check_equal(os.listdir(place / "cache"), ["old"], "what the host has")


# --- hide -------------------------------------------------------------------------------------------------------------


def test_what_is_hidden_cannot_be_read_listed_or_written(m):
    place = make_files(m, file="shown\n", key="secret\n")
    (place / "keys").mkdir()
    (place / "keys/inner").write_text("secret\n")
    place.chmod(0o777)
    script = (
        f"cd {place}; cat file; cat key; ls keys; cat keys/inner; cd keys; echo x >key; echo x >keys/new; rm -f key; "
        "rmdir keys; mv key other; mv keys others; chmod 777 key keys; ls -A /; stat -c %a key keys"
    )
    m.write_builder("look", script + " 2>/dev/null", view={"write": [str(place)], "hide": [str(place / "key"), str(place / "keys")]})
    result = m.request("look")
    check("secret" not in result.stdout.decode(), f"the builder sees {result.stdout}")
    lines = result.stdout.decode().split()
    check_equal((lines[0], lines[-2:]), ("shown", ["0", "0"]), "what is shown, and the modes")
    check(".stage" not in lines, f"the stage is still there: {lines}")
    check_equal(sorted(os.listdir(place)), ["file", "key", "keys"], "what the host has")
    check_equal((place / "key").read_text() + (place / "keys/inner").read_text(), "secret\nsecret\n", "what the host has")


def test_what_is_hidden_is_read_only(m):
    place = make_files(m, key="secret\n")
    (place / "keys").mkdir()
    out = said(m, "look", f"findmnt -no OPTIONS {place}/key; findmnt -no OPTIONS {place}/keys", read=[str(place)],
               hide=[str(place / "key"), str(place / "keys")])
    for line in out.splitlines():
        check({"ro", "nosuid", "nodev", "noexec"} <= set(line.split(",")), f"a hidden place is mounted {line}")
    check_equal(len(out.splitlines()), 2, "hidden places")


def test_hiding_what_is_not_there_is_an_error(m):
    place = m.temporary_directory()
    m.write_builder("look", "true", view={"read": [str(place)], "hide": [str(place / "key")]})
    check_equal(m.request("look").error, "server-failed", "answer")


def check_refused_early(m, name, view, word):
    """The check finds it with its place, and a request ends before it has a build user."""
    path = m.write_builder(name, "true", view=view)
    code, text = errors_of_check(m)
    check_equal(code, 78, f"the check of {view}")
    check(re.search(re.escape(str(path)) + r":\d+:\d+: .*" + re.escape(word), text), f"{view}: {text}")
    cursor = m.journal_cursor()
    check_equal(m.request(name).error, "server-failed", f"answer with {view}")
    [line] = m.journal_wait(cursor, HATCH_BUILDER=name)
    check_equal((line["HATCH_PHASE"], line.get("HATCH_USER")), ("policy", None), f"end with {view}")


def test_what_a_view_lacks_is_found_before_a_slot_is_taken(m):
    place = m.temporary_directory()
    inside = str(place / "gone")
    overlay = [{"at": "/opt/x", "lower": [str(place)]}]
    check_refused_early(m, "look", {"read": [str(place)], "hide": [inside]}, f"has no {inside} to hide")
    check_refused_early(m, "look", {"overlay": overlay, "hide": ["/opt/x/gone"]}, "has no /opt/x/gone to hide")
    for nowhere in ("/usr/no-such", "/var/log", "/opt/y/keys"):
        check_refused_early(m, "look", {"hide": [nowhere]}, f"has no {nowhere} to hide")
    check_refused_early(m, "look", {"read": [str(place)], "tmpfs": [{"at": inside, "size": "1M"}]}, f"no place for {inside}")
    check_refused_early(m, "look", {"tmpfs": [{"at": "/usr/no-such", "size": "1M"}]}, "no place for /usr/no-such")


def test_a_view_that_can_be_made_is_not_refused(m):
    place = make_files(m, key="secret\n")
    gone, tmpfs = str(place / "gone"), {"size": "1M"}
    for view in ({"read": [str(place)], "hide": [str(place / "key")]},
                 {"hide": ["/usr/share", "/etc/passwd", "/var", "/lib/os-release"]},
                 {"read": [{"path": str(place), "at": "/opt/x"}], "hide": ["/opt/x/key"]},
                 {"overlay": [{"at": "/opt/x", "lower": ["/usr/share", str(place)]}], "hide": ["/opt/x/key"]},
                 {"overlay": [{"at": "/opt/x", "lower": [str(place)], "top": "disk"}], "tmpfs": [{"at": "/opt/x/gone", **tmpfs}]},
                 {"write": [{"path": gone, "optional": True}], "tmpfs": [{"at": f"{gone}/a", **tmpfs}, {"at": f"{gone}/b", **tmpfs}]},
                 {"read": [str(place), {"path": gone, "optional": True}]}):
        m.write_builder("look", "true", view=view)
        check_equal(errors_of_check(m)[0], 0, f"the check of {view}: {errors_of_check(m)[1]}")
        result = m.request("look")
        check_equal((result.code, result.error), (0, None), f"{view}: {result.last}")


def test_nothing_is_made_in_what_is_written_for_a_place_inside_of_it(m):
    place = m.temporary_directory()
    for number, inside in enumerate(("gone", "gone/deep")):
        view = {"write": [str(place)], "tmpfs": [{"at": str(place / inside), "size": "1M"}]}
        check_refused_early(m, f"look{number}", view, f"no place for {place}/{inside}")
        (pathlib.Path("/etc/hatch/builders.d") / f"look{number}.json").unlink()
    check_equal(list(place.iterdir()), [], "what is in the host's directory")


def test_nothing_is_made_in_what_is_written_though_the_place_vanishes_meanwhile(m):
    place = m.temporary_directory()
    (place / "here").mkdir()
    program = BIN / "take-away"
    BIN.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!/bin/sh\nrmdir {place}/here\n")
    program.chmod(0o755)
    m.after_test(program.unlink)
    view = {"write": [str(place)], "tmpfs": [{"at": str(place / "here"), "size": "1M"}]}
    m.write_builder("look", "true", view=view, before={"command": [str(program)], "user": "root"})
    cursor = m.journal_cursor()
    check_equal(m.request("look").error, "server-failed", "answer")
    [line] = m.journal_wait(cursor, HATCH_BUILDER="look")
    check_in(f"cannot make a place for {place}/here", line["HATCH_ERROR"], "the journal")
    check_equal(list(place.iterdir()), [], "what is in the host's directory")


def test_contradictions_are_found_with_their_place(m):
    m.write_definition("bad", '{ "command": ["/bin/true"],\n  "view": { "read": ["/opt/x"],\n    "hide": ["/opt/x"] } }\n')
    code, text = errors_of_check(m)
    check_equal(code, 78, "exit status of the check")
    check_in("bad.json:3:14: /opt/x is there twice", text, "what the check says")
    m.write_definition("bad", '{ "command": ["/bin/true"],\n  "view": { "read": [{"path": "/opt/x", "at": "/proc/x"}] } }\n')
    check_in("bad.json:2:47: this meets /proc", errors_of_check(m)[1], "what the check says")


# MO3: a link may stand where a user left it; what a bind shows is never the host's /proc, /sys or /dev
def test_a_link_of_a_user_does_not_lead_to_the_kernel_s_files(m):
    place = m.temporary_directory()
    shown = place / "shown"
    m.write_builder("look", f"ls {shown}/", view={"read": [{"path": str(shown), "optional": True}]})
    for target in ("/proc", "/proc/1", "/sys/kernel", "/dev", "/run/credentials", "/dev/null"):
        shown.symlink_to(target)
        result = m.request("look")
        check(result.code != 0 and not result.stdout, f"with a link to {target}: {result.last}")
        shown.unlink()


# --- overlays ---------------------------------------------------------------------------------------------------------


def make_layers(m, **layers):
    """Directories of the host, each with these files (a path below it and its text); root's, like a tool that was installed."""
    place = pathlib.Path(tempfile.mkdtemp(dir="/opt"))
    place.chmod(0o755)
    m.after_test(lambda: shutil.rmtree(place))
    for name, files in layers.items():
        for path, text in files.items():
            file = place / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    return place


def stack(at, place, *names, **members):
    return [{"at": at, "lower": [str(place / name) for name in names], **members}]


def tree_of(place):
    return sorted((str(p.relative_to(place)), p.read_text() if p.is_file() else None) for p in place.rglob("*"))


def test_layers_are_merged_in_the_order_of_the_text(m):
    place = make_layers(m, a={"bin/one": "a", "both": "a"}, b={"bin/two": "b", "both": "b", "last": "b"}, c={"last": "c"})
    script = "cd /opt/root; cat both last; echo; ls bin; touch new 2>/dev/null || echo fixed"
    out = said(m, "look", script, overlay=stack("/opt/root", place, "a", "b", "c"))
    check_equal(out, "ab\none\ntwo\nfixed\n", "what the builder sees")


def test_one_layer_without_a_top_is_read_only(m):
    place = make_layers(m, a={"file": "a"})
    place.joinpath("a").chmod(0o777)
    out = said(m, "look", "cat /opt/x/file; touch /opt/x/new 2>/dev/null || echo fixed", overlay=stack("/opt/x", place, "a"))
    check_equal(out, "afixed\n", "what the builder sees")


CHANGES = (
    "set -e; cd %s; echo new >new; echo more >>lib/deep/file; mkdir lib/deep/d; rm lib/old; mv bin/tool bin/moved; rm -r gone; "
    "mkdir gone; touch gone/again; chmod 600 lib/deep/file; ln -s x link; stat -c '%%U %%G' . lib lib/deep/file | sort -u; "
    "find . -type f | sort; cat lib/deep/file"
)


def check_a_top(m, at, **members):
    files = {"lib/deep/file": "text\n", "lib/old": "", "bin/tool": "", "gone/was": "", "gone/d/e": ""}
    place = make_layers(m, a=files, b={"gone/below": "", "lib/other": ""})
    before = tree_of(place)
    for _ in range(2):  # the second finds nothing of the first
        out = said(m, "change", CHANGES % at, overlay=stack(at, place, "a", "b", **members)).split("\n")
        check_equal(out[0].split()[0][:8], "hatchbld", "whose the files seem to be")
        check_equal(out[1:], ["./bin/moved", "./gone/again", "./lib/deep/file", "./lib/other", "./new", "text", "more", ""],
                    "what the builder sees")
    check_equal(tree_of(place), before, "the layers")


def test_a_builder_changes_everything_on_a_top_on_disk_and_nothing_below_it(m):
    check_a_top(m, "/opt/tool", top="disk")


def test_a_builder_changes_everything_on_a_top_in_memory_and_nothing_below_it(m):
    check_a_top(m, "/opt/tool", top="tmpfs", size="4M")


def test_a_tool_may_write_into_its_own_directory(m):
    place = make_layers(m, tool={"run.sh": '#!/bin/sh\ncd "${0%/*}"; echo ran >>state/log; cat state/log\n', "state/log": "installed\n"})
    program = place / "tool/run.sh"
    program.chmod(0o755)
    for top in ({"top": "disk"}, {"top": "tmpfs", "size": "1M"}, {}):
        m.write_builder("tool", "", command=[str(program)], view={"overlay": stack(str(place / "tool"), place, "tool", **top)})
        result = m.request("tool")
        check_equal((result.code, result.stdout), (0, b"installed\nran\n" if top else b"installed\n"), f"with {top}: {result.last}")
    m.write_builder("tool", "", command=["/opt/tool/run.sh"], view={"overlay": stack("/opt/tool", place, "tool", top="disk")})
    check_equal(m.request("tool").stdout, b"installed\nran\n", "at another place")
    check_equal((place / "tool/state/log").read_text(), "installed\n", "the file on the host")


def test_a_top_in_memory_has_its_size(m):
    place = make_layers(m, a={"file": "a"})
    script = "head -c 3000000 /dev/zero >/opt/x/large 2>/dev/null || wc -c </opt/x/large"
    size = int(said(m, "fill", script, overlay=stack("/opt/x", place, "a", top="tmpfs", size="1M")))
    check(900000 < size <= 1 << 20, f"{size} bytes fit")


def test_many_stacks_stand_beside_and_inside_of_each_other(m):
    place = make_layers(m, a={"inner/hidden": "", "file": "a"}, b={"file": "b"})
    overlays = stack("/opt/x", place, "a", top="disk") + stack("/opt/x/inner", place, "b", top="disk")
    overlays += [s for i in range(20) for s in stack(f"/opt/more/{i}", place, "b", "a", top="tmpfs", size="64K")]
    script = "cd /opt/x; cat file inner/file; ls inner; echo new >inner/new; echo new >new; cat /opt/more/19/file; ls /opt/more | wc -l"
    check_equal(said(m, "look", script, overlay=overlays).split(), ["abfile", "b20"], "what the builder sees")


def test_what_an_overlay_holds_can_be_hidden_and_covered(m):
    place = make_layers(m, a={"key": "secret", "cache/old": ""})
    out = said(m, "look", "cd /opt/x; cat key 2>/dev/null; ls -A cache; rm key 2>/dev/null || echo stays",
               overlay=stack("/opt/x", place, "a", top="disk"), hide=["/opt/x/key"], tmpfs=[{"at": "/opt/x/cache", "size": "1M"}])
    check_equal(out, "stays\n", "what the builder sees")


# MO1: marks of an overlay that a layer's owner may set are not honoured
def test_marks_that_a_user_may_set_mean_nothing(m):
    place = make_layers(m, a={"d/file": "a"}, b={"d/below": "b"})
    m.run(["setfattr", "-n", "user.overlay.opaque", "-v", "y", str(place / "a/d")]) if os.path.exists("/usr/bin/setfattr") else os.setxattr(
        place / "a/d", "user.overlay.opaque", b"y")
    out = said(m, "look", "ls /opt/x/d", overlay=stack("/opt/x", place, "a", "b", top="disk"))
    check_equal(out, "below\nfile\n", "what the builder sees")


# MO3: layers are named by descriptor
def test_strange_characters_in_layers_mean_nothing(m):
    place = make_layers(m, **{"a,upperdir=b": {"file": "a"}, "b\\,c d": {"other": "b"}})
    out = said(m, "look", "cat /opt/x/file /opt/x/other", overlay=stack("/opt/x", place, "a,upperdir=b", "b\\,c d", top="disk"))
    check_equal(out, "ab", "what the builder sees")


def test_a_layer_with_a_colon_is_refused_with_its_place(m):
    m.write_definition("bad", '{ "command": ["/bin/true"],\n  "view": { "overlay": [{ "at": "/opt/x",\n    "lower": ["/opt/a", "/opt/b:c"] }] } }\n')
    code, text = errors_of_check(m)
    check_equal(code, 78, "exit status of the check")
    check_in('bad.json:3:25: "/opt/b:c" holds \':\'', text, "what the check says")
    check_equal(m.request("bad").error, "server-failed", "what a request is told")


def test_a_layer_that_is_missing_or_no_directory_stops_the_request_before_a_slot(m):
    place = make_layers(m, a={"file": "a"})
    for name, word in (("gone", "No such file"), ("a/file", f"{place}/a/file, which is a file; expected a directory")):
        path = m.write_builder("look", "true", view={"overlay": stack("/opt/x", place, "a", name)})
        if name == "a/file":
            path = m.write_builder("look", "true", view={"overlay": stack("/opt/x", place, name)})
        check_equal(m.request("look").types[0], "error", f"answer with {name}")
        code, text = errors_of_check(m)
        check_in(word, text, "what the check says")
        check_in(str(place / name), text, "what the check says")
        definition = path.read_text()
        line, column = re.search(r"look.json:(\d+):(\d+): the view", text).groups()
        check(definition.splitlines()[int(line) - 1][int(column) - 1:].startswith(f'"{place / name}"'), f"not the place of the layer: {text}")


def test_what_layers_hold_in_different_forms_is_listed_on_request(m):
    same = {"same": "x", "dir/same": "y", "dir/deep/file": "z"}
    place = make_layers(m, a={**same, "text": "one", "dir/kind": ""}, b={**same, "text": "two", "dir/kind/x": ""}, c={**same, "text": "one", "new": ""})
    for name in ("a", "b"):
        (place / name / "link").symlink_to(name)
        (place / name / "dir/fine").symlink_to("x")
    m.write_builder("merged", "true", view={"overlay": stack("/opt/x", place, "a", "b", "c")})
    check_equal(m.run(["hatchd", "--check"]).code, 0, "exit status without the option")
    checked = m.run(["hatchd", "--check", "--layers"])
    check_equal(checked.code, 78, "exit status")
    lines = sorted(line.split("/opt/x, ", 1)[1] for line in checked.stdout.splitlines() if "in the overlay at" in line)
    above = f"({place}/a is above {place}/b)"
    check_equal(lines, [f"dir/kind: a file over a directory {above}", f"link: links to different places {above}", f"text: files that differ {above}"],
                "what it lists")


# MO6: what the kernel cannot stack is told by name
def test_layers_are_compared_by_the_check_alone(m):
    ran = m.run(["hatchd", "--layers"])
    check_equal(ran.code, 64, "exit status")
    check_in("hatchd --check --layers", ran.stderr, "what is said")


def test_layers_that_are_stacked_too_deep_are_named(m):
    place = make_layers(m, a={"file": "a"}, b={"other": "b"})
    lower, fine = str(place / "a"), str(place / "b")
    for depth in ("first", "second"):
        for part in (depth, depth + "-empty"):
            (place / part).mkdir()
        m.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={place / (depth + '-empty')}:{lower}", place / depth]).ok()
        m.after_test(lambda depth=depth: m.run(["umount", place / depth]).ok())
        lower = str(place / depth)
    check_equal(said(m, "look", "cat /opt/x/file", overlay=[{"at": "/opt/x", "lower": [fine, str(place / "first")]}]), "a", "one deep")
    cursor = m.journal_cursor()
    m.write_builder("deep", "true", view={"overlay": [{"at": "/opt/x", "lower": [fine, lower]}]})
    check_equal(m.request("deep").error, "server-failed", "the answer")
    line = m.journal_wait(cursor, HATCH_BUILDER="deep")[0]["MESSAGE"]
    for word in ("/opt/x", lower, "an overlay itself"):
        check_in(word, line, "what the journal says")


# MO7, MO4: each request has tops of its own, behind a directory that only root can enter, and nothing of them stays
def test_tops_belong_to_one_request_and_are_gone_after_it(m):
    place = make_layers(m, a={"file": "a", "d/e": "x"})
    m.write_builder("wait", 'rm /opt/x/file; rm -r /opt/x/d; mkdir /opt/x/d; echo "$1" >/opt/x/mine; echo here; sleep 60',
                    view={"overlay": stack("/opt/x", place, "a", top="disk")})
    scratch = STATE / "scratch"
    with m.client() as first, m.client() as second:
        for number, client in enumerate((first, second)):
            client.request("wait", [str(number)])
            client.receive_until("stdout")
        found = sorted(path.read_text() for path in scratch.glob("*/tops/0/mine"))
        check_equal(found, ["0\n", "1\n"], "the files of two requests")
        for path in scratch.glob("*/tops"):
            check_equal(path.stat().st_mode & 0o7777, 0o700, f"mode of {path}")
        check_equal(scratch.stat().st_mode & 0o7777, 0o700, "mode of scratch")
    m.wait_until(lambda: not list(scratch.iterdir()), "the end of scratch")


def test_a_top_of_a_killed_request_is_cleared(m):
    place = make_layers(m, a={"file": "a", "d/e": "x"})
    m.write_builder("wait", "rm /opt/x/file; rm -r /opt/x/d; mkdir -p /opt/x/d/e/f; touch /opt/x/d/e/f/g; chmod 0 /opt/x/d/e; echo here; sleep 60",
                    view={"overlay": stack("/opt/x", place, "a", top="disk")})
    with m.client() as client:
        client.request("wait")
        client.receive_until("stdout")
        for pid in m.monitors():
            os.kill(pid, signal.SIGKILL)
    m.wait_until(lambda: not m.instances(), "the end of the instance")
    check(list((STATE / "scratch").iterdir()), "nothing was left, so nothing is tested")
    m.write_builder("next", "true")
    check_equal(m.request("next").code, 0, "the next request")
    m.wait_until(lambda: not list((STATE / "scratch").iterdir()), "the end of scratch")


def test_set_id_and_device_flags_hold_for_overlays(m):
    place = make_layers(m, a={"id": ""})
    (place / "a/id").write_bytes(open("/usr/bin/id", "rb").read())
    (place / "a/id").chmod(0o6755)
    overlays = [*stack("/opt/x", place, "a", top="disk"), *stack("/opt/y", place, "a"), *stack("/opt/z", place, "a", top="tmpfs", size="1M")]
    out = said(m, "look", "for d in x y z; do findmnt -no OPTIONS /opt/$d; done; /opt/x/id -u; id -u", overlay=overlays).split()
    for line in out[:3]:
        check({"nosuid", "nodev"} <= set(line.split(",")), f"an overlay is mounted {line}")
    check("ro" in out[1].split(","), f"one without a top is mounted {out[1]}")
    check_equal(out[3], out[4], "uid by a set-id program")


# --- the host as the base ---------------------------------------------------------------------------------------------


def test_the_host_s_tree_is_shown_read_only_without_users_and_services(m):
    m.after_test(lambda: os.rmdir("/data"))
    for place in ("/data/tool", "/opt/x-tool"):
        os.makedirs(place)
        pathlib.Path(place, "file").write_text("shown ")
        os.chmod(place, 0o777)
        m.after_test(lambda place=place: shutil.rmtree(place))
    gone = ["/home", "/root", "/boot", "/srv", "/mnt", "/media", "/sys", "/var/lib", "/var/log", "/run/systemd", "/run/dbus", "/run/hatch",
            "/nix/var", "/var/lib/hatch"]
    script = (
        "cat /data/tool/file /opt/x-tool/file; grep -c ^alice: /etc/passwd; ls /etc/machine-id\n"
        + "".join(f"ls -d {path} 2>/dev/null\n" for path in gone)
        + "for d in / /usr /etc /opt/x-tool /data/tool; do touch $d/new 2>/dev/null && echo wrote $d; done\n"
        "touch /tmp/x /build/x /var/tmp/y && echo own; cat /etc/hatch/* /etc/shadow 2>/dev/null; ls /etc/hatch 2>/dev/null\n"
        "findmnt -rno TARGET,OPTIONS | grep -v -e nosuid && echo suid; findmnt -rno TARGET,OPTIONS | grep -v -e nodev -e '^/dev'; exit 0"
    )
    out = said(m, "look", script, base="host")
    check_equal(out.split(), ["shown", "shown", "1", "/etc/machine-id", "own"], "what the builder sees and writes")


def test_a_home_elsewhere_and_the_kernel_s_files_elsewhere_are_hidden(m):
    for place in ("/data/people/bob", "/data/root/proc", "/data/other"):
        os.makedirs(place)
    m.after_test(lambda: shutil.rmtree("/data"))
    pathlib.Path("/data/people/bob/diary").write_text("secret")
    m.run(["useradd", "--no-create-home", "--home-dir", "/data/people/bob", "bob"]).ok()
    m.after_test(lambda: m.run(["userdel", "bob"]).ok())
    m.run(["mount", "-t", "proc", "proc", "/data/root/proc"]).ok()
    m.after_test(lambda: m.run(["umount", "/data/root/proc"]).ok())
    out = said(m, "look", "ls /data; cat /data/people/bob/diary 2>/dev/null; ls /data/people/bob 2>/dev/null; ls /data/root/proc 2>/dev/null; exit 0", base="host")
    check_equal(out.split(), ["other", "people", "root"], "what the builder sees")


CONNECT = """import socket, sys
for path in sys.argv[1:]:
    try:
        socket.socket(socket.AF_UNIX).connect(path)
        print("connected")
    except OSError as error:
        print(type(error).__name__)
"""


def test_no_socket_of_the_host_can_be_connected_to(m):
    place = pathlib.Path("/opt/service")
    place.mkdir()
    m.after_test(lambda: shutil.rmtree(place))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place / "door"))
        os.chmod(place / "door", 0o777)
        listener.listen()
        m.write_builder("knock", CONNECT, "/usr/bin/python3", view={"base": "host"})
        paths = [str(place / "door"), "/run/dbus/system_bus_socket", "/nix/var/nix/daemon-socket/socket", "/run/systemd/private", "/run/hatch/s/hatch.sock"]
        result = m.request("knock", paths)
        check_equal((result.code, "connected" in result.stdout.decode()), (0, False), f"what it could connect to: {result.stdout}")


def test_a_socket_of_the_host_that_cannot_be_looked_at_ends_the_request(m):
    place = pathlib.Path("/opt/service")
    place.mkdir()
    m.after_test(lambda: shutil.rmtree(place))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place / "door"))
        listener.listen()
        m.write_builder("look", "exit 0", view={"base": "host"})
        (place / "door").unlink()
        check_equal(m.request("look").code, 0, "exit code where the socket's name is gone")
        (place / "door").symlink_to("door")
        cursor = m.journal_cursor()
        check_equal(m.request("look").error, "server-failed", "the answer where its name leads nowhere that can be told")
        line = m.journal_wait(cursor, HATCH_VERDICT="server-failed")[0]
        check_in(f"{place}/door", line["HATCH_ERROR"], "the journal")


def test_the_command_of_a_builder_may_be_anywhere_in_the_host_s_tree(m):
    program = pathlib.Path("/opt/run-me")
    program.write_text("#!/bin/sh\necho ran\n")
    program.chmod(0o755)
    m.after_test(program.unlink)
    m.write_builder("run", "", command=[str(program)], view={"base": "host"})
    check_equal(m.request("run").stdout, b"ran\n", "what it says")


def test_a_command_that_the_view_does_not_show_is_refused_before_a_slot_is_taken(m):
    program = pathlib.Path("/opt/hidden-tool.sh")
    program.write_text("#!/bin/sh\necho ran\n")
    program.chmod(0o755)
    m.after_test(program.unlink)
    rows = (
        ({}, str(program), 'add "/opt" to "read"'),
        ({"read": ["/opt"], "tmpfs": [{"at": "/usr/lib", "size": "1M"}]}, "the interpreter of", 'take /usr/lib out of "tmpfs"'),
    )
    for view, words, hint in rows:
        definition = m.write_definition("unseen", json.dumps(
            {"command": [str(program)], "allow": {"users": ["root"]}, "view": view}))
        cursor = m.journal_cursor()
        check_equal(m.request("unseen").error, "not-found", "error")
        [line] = m.journal_wait(cursor, HATCH_BUILDER="unseen")
        check_equal(line["HATCH_PHASE"], "policy", "phase")
        check_in(f"{definition}:1:14: the command of builder `unseen`: ", line["MESSAGE"], "journal")
        for code, told in (errors_of_check(m), explained(m, "unseen")):
            check(code != 0, "it passed a check")
            for part in (f"{definition}:1:14", words, "the view does not show", hint):
                check_in(part, told, "check")


def test_a_command_in_a_home_is_refused_with_other_advice_than_to_show_it(m):
    home = pathlib.Path("/home/hatch-test")
    home.mkdir(parents=True)
    m.after_test(lambda: shutil.rmtree(home))
    (home / "tool").write_text("#!/bin/sh\n")
    (home / "tool").chmod(0o755)
    shutil.chown(home, "alice")
    for base in ("minimal", "host"):
        m.write_definition("unseen", json.dumps({"command": [str(home / "tool")], "view": {"base": base}}))
        code, told = errors_of_check(m)
        check(code != 0, "it passed a check")
        for part in ("does not show", "no view shows homes", "/usr/local/bin"):
            check_in(part, told, f"check with the base {base}")
        check("chown" not in told and "add " not in told, told)


def explained(m, name):
    done = m.run(["hatchctl", "explain", name, "--uid", "root"])
    return done.code, done.stdout + done.stderr


# --- devices ----------------------------------------------------------------------------------------------------------

OPEN = """import errno, os, sys
for word in sys.argv[1:]:
    try:
        os.close(os.open(word, os.O_RDWR | os.O_NONBLOCK))
        print("opened")
    except OSError as error:
        print(errno.errorcode[error.errno])
"""


def need_nodes(m):
    """A directory of the host's /dev with nodes that everybody may open, as far as this machine lets root make them."""
    place = pathlib.Path(tempfile.mkdtemp(dir="/dev"))
    m.after_test(lambda: shutil.rmtree(place))
    place.chmod(0o755)
    for name, kind, major, minor in (("fuse", stat.S_IFCHR, 10, 229), ("kmsg", stat.S_IFCHR, 1, 11), ("loop", stat.S_IFBLK, 7, 7)):
        try:
            os.mknod(place / name, kind | 0o666, os.makedev(major, minor))
            (place / name).chmod(0o666)
        except PermissionError:
            raise Skip("this machine lets nobody make a device") from None
    try:
        os.close(os.open(place / "fuse", os.O_RDWR))
    except OSError as error:
        raise Skip(f"this machine opens no device of its own making: {error}") from None
    return place


def opened(m, name, paths, **definition):
    m.write_builder(name, OPEN, "/usr/bin/python3", **definition)
    result = m.request(name, [str(path) for path in paths])
    check_equal(result.code, 0, f"end of {name}: {result.last}")
    return result.stdout.decode().split()


def test_a_device_opens_for_the_builder_that_names_it_and_for_no_other(m):
    place = need_nodes(m)
    paths = [place / "fuse", place / "kmsg", "/dev/null", "/dev/ptmx"]
    check_equal(opened(m, "with", paths, view={"devices": [str(place / "fuse")]}), ["opened", "ENOENT", "opened", "opened"], "with it")
    check_equal(opened(m, "without", paths), ["ENOENT", "ENOENT", "opened", "opened"], "without it")


def test_a_link_to_a_device_is_followed_once_and_shown_under_its_own_name(m):
    place = need_nodes(m)
    (place / "by-id").mkdir()
    (place / "by-id/usb-board").symlink_to("../fuse")
    paths = [place / "by-id/usb-board", place / "fuse"]
    check_equal(opened(m, "board", paths, view={"devices": [str(place / "by-id/usb-board")]}), ["opened", "ENOENT"], "link and target")


def test_a_device_that_is_missing_may_be_optional(m):
    view = {"devices": [{"path": "/dev/hatch-test-gone", "optional": True}]}
    check_equal(opened(m, "optional", ["/dev/hatch-test-gone"], view=view), ["ENOENT"], "an optional one")
    m.write_builder("needed", "true", view={"devices": ["/dev/hatch-test-gone"]})
    check_equal(m.request("needed").types[0], "error", "the answer without it")


def test_a_device_that_is_none_is_found_with_its_place(m):
    m.write_definition("bad", '{ "command": ["/bin/true"],\n  "view": { "devices": ["/dev/shm-x", "/dev/disk"] } }\n')
    os.makedirs("/dev/disk", exist_ok=True)
    code, text = errors_of_check(m)
    check_equal(code, 78, "exit status of the check")
    check_in("bad.json:2:39: the view of builder `bad` holds /dev/disk, which is a directory; expected a character or block device", text,
             "what the check says")
    m.write_builder("look", "true", view={"devices": ["/dev/disk"]})
    check_equal(m.request("look").types[0], "error", "the answer")


def test_a_device_that_no_build_user_may_open_is_found(m):
    place = need_nodes(m)
    (place / "fuse").chmod(0o660)
    os.chown(place / "fuse", 0, group_id(m, "dialout"))
    m.write_builder("look", "true", view={"devices": [str(place / "fuse")]})
    check_in("no build user may open", errors_of_check(m)[1], "what the check says")
    check_in('expected its group in "groups"', errors_of_check(m)[1], "what the check says")
    (place / "fuse").chmod(0o600)
    check_in("expected a group of its own that may, by a rule of udev(7)", errors_of_check(m)[1], "what the check says of a group without rights")
    (place / "fuse").chmod(0o660)
    check_equal(opened(m, "look", [place / "fuse"], view={"devices": [str(place / "fuse")]}), ["EACCES"], "without the group")
    view = {"devices": [str(place / "fuse")]}
    check_equal(opened(m, "look", [place / "fuse"], view=view, groups=["dialout"]), ["opened"], "with the group")
    check_equal(m.run(["hatchctl", "check"]).code, 0, "the check with the group")


def test_a_place_to_write_where_no_build_user_can_write_is_a_warning(m):
    place = m.temporary_directory()
    (place / "cache").mkdir(mode=0o755)
    os.chown(place / "cache", 0, group_id(m, "dialout"))
    m.write_definition("caches", f'{{ "command": ["/bin/true"], "allow": {{ "users": ["root"] }},\n  "view": {{ "write": ["{place}/cache"] }} }}\n')
    warning = f"caches.json:2:23: no build user can write to {place}/cache, nor to anything in it (mode 0755, uid 0, gid {group_id(m, 'dialout')})"
    code, text = errors_of_check(m)
    check_equal(code, 0, "exit status of the check")
    check_in(f"warning: /etc/hatch/builders.d/{warning}", text, "what the check says")
    checked = m.run(["hatchd", "--check"]).ok().stdout
    check_in(f"config: warning: /etc/hatch/builders.d/{warning}", checked, "--check")
    check_in("definitions: 1, errors: 0, warnings: 1", checked, "--check")
    told = json.loads(m.run(["hatchctl", "explain", "--json", "--uid=0", "caches"]).ok().stdout)
    check_equal([text.removeprefix("/etc/hatch/builders.d/") for text in told["warnings"]], [warning], "what explain says")
    check_in("no build user can write", m.run(["hatchctl", "explain", "--uid=0", "caches"]).ok().stdout, "what explain says to people")
    # A directory of it that a group may write is enough, for builders with that group.
    (place / "cache" / "deep").mkdir(mode=0o775)
    (place / "cache" / "deep").chmod(0o775)
    os.chown(place / "cache" / "deep", 0, group_id(m, "dialout"))
    check_in("no build user can write", errors_of_check(m)[1], "what the check says without the group")
    m.write_builder("caches", f"echo x >{place}/cache/deep/file", view={"write": [f"{place}/cache"]}, groups=["dialout"])
    code, text = errors_of_check(m)
    check("warning" not in text, text)
    check_equal(m.request("caches").code, 0, "a builder with the group")
    told = json.loads(m.run(["hatchctl", "explain", "--json", "--uid=0", "caches"]).ok().stdout)
    check_equal(told["warnings"], [], "what explain says")


# The second wall: a node that a builder finds anywhere else is shut by the flags of its mount, and by its cgroup
def test_other_nodes_do_not_open_wherever_they_are(m):
    place = need_nodes(m)
    shown = make_layers(m, a={"x": ""})
    os.mknod(shown / "a/fuse", stat.S_IFCHR | 0o666, os.makedev(10, 229))
    (shown / "a/fuse").chmod(0o666)
    overlays = stack("/opt/over", shown, "a", top="disk")
    check_equal(opened(m, "look", [shown / "a/fuse", "/opt/over/fuse"], view={"read": [str(shown)], "overlay": overlays}), ["EACCES"] * 2, "nodev")
    m.write_builder("wait", "echo here; sleep 60", view={"devices": [str(place / "loop")]})
    m.wait_until(lambda: not m.instances(), "the end of the one before, whose group is not looked at")
    with m.client() as client:
        client.request("wait")
        client.receive_until("stdout")
        group = next(pathlib.Path("/sys/fs/cgroup/hatch.slice").glob("hatchd@*/build-*"))
        for name, expected in (("kmsg", "EPERM"), ("fuse", "EPERM")):
            # Root, with every capability, in the request's cgroup: the device controller alone is in the way.
            script = f"echo $$ >{group}/cgroup.procs; exec /usr/bin/python3 -c '{OPEN}' {place / name} /dev/null"
            check_equal(m.run(["sh", "-c", script]).ok().stdout.split(), [expected, "opened"], f"{name} in the cgroup of a request")


def test_a_device_above_which_a_unit_forbids_all_is_an_error_that_says_so(m):
    place = need_nodes(m)
    attack.write_drop_in(m, "[Service]\nDevicePolicy=closed\n")
    cursor = m.journal_cursor()
    m.write_builder("closed", "true", view={"devices": [str(place / "fuse")]})
    check_equal(m.request("closed").error, "server-failed", "the answer")
    check_in("DevicePolicy=", m.journal_wait(cursor, HATCH_BUILDER="closed")[0]["MESSAGE"], "what the journal says")


@own_kernel
def test_what_is_written_to_a_device_arrives(m):
    """A loop device as the board: what is written to it stands in its file, and what stands there is read."""
    place = need_nodes(m)
    m.run(["modprobe", "loop"])
    image = m.temporary_directory() / "image"
    image.write_bytes(b"from the host".ljust(1 << 20, b"\0"))
    device = m.run(["losetup", "--find", "--show", image]).ok().stdout.strip()
    m.after_test(lambda: m.run(["losetup", "--detach", device]).ok())
    os.chmod(device, 0o666)
    check(place, "nodes")
    script = f"head -c 13 {device}; printf 'from the builder' | dd of={device} bs=16 seek=1 conv=notrunc,fsync 2>/dev/null"
    check_equal(said(m, "board", script, devices=[device]), "from the host", "what is read")
    m.run(["sync"]).ok()
    check_equal(image.read_bytes()[16:32], b"from the builder", "what was written")


# CC2: two requests of one builder at the same time
def test_two_requests_share_no_writable_place(m):
    script = (
        "for d in /tmp /build /dev/shm /opt/new; do mkdir $d/fixed || exit 1; done; echo made; "
        'while ! [ -e "$1" ]; do sleep 0.05; done'
    )
    place = m.temporary_directory()
    m.write_builder("pair", script, view={"read": [str(place)], "tmpfs": [{"at": "/opt/new", "size": "1M"}]})
    with m.client() as first, m.client() as second:
        for client in (first, second):
            client.request("pair", [str(place / "go")])
        for client in (first, second):
            check_equal(client.receive_until("stdout", "exit", "error")[-1]["type"], "stdout", "what each says")
        (place / "go").touch()
        for client in (first, second):
            check_equal(client.receive_until("exit", "error")[-1].get("code"), 0, "how each ends")
