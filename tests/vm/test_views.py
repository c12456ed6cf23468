"""What a definition's "view" puts into a request's sandbox: what is read, written, new, hidden."""

import os

from machine import check, check_equal, check_in


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
