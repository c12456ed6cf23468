"""What an administrator can get wrong in a definition: each is found by hatchd --check with file, line and column, and
refused at run time before any build user is taken."""

import json
import pathlib
import re

from machine import check, check_equal, check_in, shorten

# What is wrong; keys of the definition; a word that the complaint must hold; the word in the file where it must point
CASES = [
    ("one place shown and hidden", {"view": {"read": ["/opt"], "hide": ["/opt"]}}, "/opt", "/opt"),
    ("one place written twice", {"view": {"read": ["/srv"], "write": ["/srv"]}}, "/srv", "/srv"),
    ("a bind over /proc", {"view": {"read": [{"path": "/usr", "at": "/proc"}]}}, "/proc", "/proc"),
    ("a bind below /sys", {"view": {"write": ["/sys/kernel"]}}, "/sys", "/sys/kernel"),
    ("a tmpfs over the store", {"view": {"tmpfs": [{"at": "/nix/store", "size": "1M"}]}}, "/nix/store", "/nix/store"),
    ("a device that is a directory", {"view": {"devices": ["/dev/shm"]}}, "/dev/shm", "/dev/shm"),
    ("a layer with a colon", {"view": {"overlay": [{"at": "/opt/x", "lower": ["/srv/a:b"], "top": "none"}]}}, ":", "a:b"),
    ("a stack without layers", {"view": {"overlay": [{"at": "/opt/x", "lower": [], "top": "none"}]}}, "", "lower"),
    ("a group that does not exist", {"groups": ["no-such-group"]}, "no-such-group", "no-such-group"),
    ("a group of system calls that does not exist", {"seccomp": ["@nonsense"]}, "@nonsense", "@nonsense"),
    ("a resource that nobody defined", {"resources": {"nobodys-seat": 1}}, "nobodys-seat", "nobodys-seat"),
    ("a count of zero", {"resources": {"seat": 0}}, "0", "0"),
    ("more than there are", {"resources": {"seat": 3}}, "seat", "3"),
    ("a limit above its maximum", {"limits": {"memory": "1G", "memory_high": "2G"}}, "memory_high", "memory_high"),
    ("a processor share of nothing", {"limits": {"cpus": 0}}, "", "cpus"),
    ("a limit that nobody knows", {"limits": {"rlimits": {"nofiles": 1}}}, "nofiles", "nofiles"),
    ("a root and the host's", {"root": {"tree": "/srv"}, "view": {"base": "host"}}, "root", "base"),
    ("two roots", {"root": {"tree": "/srv", "image": "/srv/i"}}, "", "image"),
    ("a range of ids that has no base", {"uid_map": "range"}, "range_base", "range"),
    ("a network elsewhere", {"network": {"namespace": "/etc/passwd"}}, "/run/netns", "/etc/passwd"),
    ("a destination that cannot be told apart", {"network": {"private": {"tcp": ["example.org:443"]}}}, "example.org",
     "example.org:443"),
    ("a credential of no name", {"credentials": ["../key"]}, "../key", "../key"),
    ("a command that is no path", {"before": {"command": ["true"]}}, "", "true"),
    ("a pattern that leaves", {"keep_failed": ["../*"]}, "..", "../*"),
    ("a command that is not there", {"command": ["/opt/no-such-tool"]}, "/opt/no-such-tool", "/opt/no-such-tool"),
    ("a command before it that is not there", {"before": {"command": ["/opt/no-such-tool"]}}, "`before`", "/opt/no-such-tool"),
    ("a root that is not there", {"root": {"tree": "/srv/no-such-tree"}}, "/srv/no-such-tree", "/srv/no-such-tree"),
    ("a root that is no image", {"root": {"image": "/etc/passwd"}}, "no image", "/etc/passwd"),
    ("a namespace that is not there", {"network": {"namespace": "/run/netns/no-such"}}, "ip netns add no-such",
     "/run/netns/no-such"),
]


def complaints(m):
    """What hatchd --check says is wrong."""
    checked = m.run(["hatchd", "--check"])
    check(checked.code != 0, f"hatchd --check found nothing: {checked.stdout}")
    lines = (checked.stdout + checked.stderr).splitlines()
    return "\n".join(line for line in lines if not line.startswith("host:"))


def expect_refusal(m, name, path, word):
    """A request of it fails before it has a build user, and the journal names the place."""
    cursor = m.journal_cursor()
    result = m.request(name)
    check_in(result.error, ("server-failed", "not-found"), f"{word}: the request ended as {result}")
    [line] = m.journal_wait(cursor, HATCH_BUILDER=name)
    check_equal((line["HATCH_PHASE"], line.get("HATCH_USER")), ("policy", None), f"{word}: where the request ended")
    check_in(str(path), line["MESSAGE"], f"{word}: the journal")


def test_every_mistake_is_found_with_its_place_and_refused_before_a_slot_is_taken(m):
    m.write_config(resources={"seat": 2})
    wrong = []
    for what, keys, said, at in CASES:
        whole = {"command": ["/bin/true"], "allow": {"users": ["root"]}, **keys}
        text = json.dumps(whole, indent=1) + "\n"
        path = m.write_definition("mistaken", text)
        try:
            told = complaints(m)
            places = {(int(a), int(b)) for a, b in re.findall(re.escape(str(path)) + r":(\d+):(\d+): ", told)}
            check(places, f"no place is named: {told}")
            check_in(said, told, "hatchd --check")
            lines = {n for n, line in enumerate(text.splitlines(), 1) if at in line}
            check(lines & {n for n, _ in places}, f"it points at {places}, expected a line of {lines}: {told}")
            expect_refusal(m, "mistaken", path, what)
        except Exception as why:
            wrong.append(f"{what}: {shorten(str(why), 400)}")
        m.wait_until(lambda: not m.instances(), "the end")
    check(not wrong, f"{len(wrong)} of {len(CASES)}: " + " | ".join(wrong))


def test_a_resource_of_which_there_are_none_is_a_mistake(m):
    path = m.write_config(resources={"seat": 0})
    told = complaints(m)
    check(re.search(re.escape(str(path)) + r":\d+:\d+: .*", told), f"no place is named: {told}")


def test_a_credential_that_is_empty_is_found_and_refused(m):
    drop_in = pathlib.Path("/etc/systemd/system/hatchd@.service.d/empty.conf")
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text("[Service]\nSetCredential=nothing:\n")
    m.after_test(lambda: m.run(["systemctl", "daemon-reload"]).ok())
    m.after_test(drop_in.parent.rmdir)
    m.after_test(drop_in.unlink)
    m.run(["systemctl", "daemon-reload"]).ok()
    for name in ("nothing", "absent"):
        path = m.write_builder(f"needs-{name}", "true", credentials=[name])
        expect_refusal(m, f"needs-{name}", path, name)
