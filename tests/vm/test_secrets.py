"""A builder's credentials: who sees them, and that they do not leave by accident. They come from a drop-in of the service,
as an administrator writes it."""

import base64
import hashlib
import io
import json
import os
import pathlib
import random
import re
import signal
import tarfile
import time

import attack
from machine import Skip, check, check_equal, check_in, shorten

PYTHON = "/usr/bin/python3"
KEY = b"correct horse battery staple"
# Every form that is looked for, and an alignment for each place in a group of base64.
FORMS = [KEY, KEY.hex().encode(), KEY.hex().upper().encode()]
FORMS += [base64.b64encode(b"x" * n + KEY) for n in range(3)]
FORMS += [base64.urlsafe_b64encode(b"?" * n + KEY) for n in range(3)]
OTHER = b"\xfb\xff\xfe not text \x00\x01\xff\n"
PLACE = pathlib.Path("/run/hatch-test-secrets")

READ = """import os, sys
KEY = open(os.environ["CREDENTIALS_DIRECTORY"] + "/key", "rb").read()
def say(data, fd=1):
    os.write(fd, data)
"""


def give(m, **files):
    """Credentials of the service, each from a file of its own."""
    PLACE.mkdir(mode=0o700, exist_ok=True)
    m.after_test(lambda: (*[path.unlink() for path in PLACE.iterdir()], PLACE.rmdir()))
    for name, content in files.items():
        (PLACE / name).write_bytes(content)
    attack.write_drop_in(m, "[Service]\n" + "".join(f"LoadCredential={name}:{PLACE}/{name}\n" for name in files))


def write(m, name, script, **definition):
    definition.setdefault("credentials", ["key"])
    m.write_builder(name, READ + script, PYTHON, **definition)


def no_form_in(data, where):
    for form in FORMS:
        # Of base64 the ends depend on their neighbours.
        check(form[4:-4] not in data, f"{where} holds {form}: {shorten(repr(data))}")


# --- who sees them ---------------------------------------------------------------------------------------------------


def test_a_builder_sees_exactly_its_credentials(m):
    give(m, key=KEY, other=OTHER, third=b"of somebody else")
    m.write_builder("look", """import os
place = os.environ["CREDENTIALS_DIRECTORY"]
line = [l for l in open("/proc/self/mountinfo") if l.split()[4] == place][0]
print(place, sorted(os.listdir(place)), os.listdir("/run/credentials"), oct(os.stat(place).st_mode), os.stat(place).st_uid == os.getuid())
print(line.split(" - ")[1].split()[0], *[o in line.split()[5].split(",") for o in ("ro", "nosuid", "nodev", "noexec")])
for name in sorted(os.listdir(place)):
    s = os.stat(f"{place}/{name}")
    print(name, oct(s.st_mode), s.st_uid == os.getuid(), open(f"{place}/{name}", "rb").read().hex())
for attempt in (lambda: open(place + "/new", "w"), lambda: open(place + "/key", "w"), lambda: os.unlink(place + "/key"),
                lambda: os.chmod(place + "/key", 0o444)):
    try:
        attempt()
        print("done")
    except OSError as error:
        print(error.errno)
""", PYTHON, credentials=["key", "other"], credentials_scan=False)
    lines = m.request("look").stdout.decode().splitlines()
    check_equal(lines[0], "/run/credentials/hatch ['key', 'other'] ['hatch'] 0o40500 True", "the place")
    check(lines[1] in ("tmpfs True True True True", "ramfs True True True True"), lines[1])
    check_equal(lines[2:4], [f"key 0o100400 True {KEY.hex()}", f"other 0o100400 True {OTHER.hex()}"], "files")
    check_equal(lines[4:], ["30"] * 4, "what it can do to them")


def test_credentials_are_in_no_other_builder(m):
    give(m, key=KEY)
    m.write_builder("without", 'echo "[$CREDENTIALS_DIRECTORY]"; ls -d /run/credentials 2>&1; cat /proc/self/mountinfo')
    result = m.request("without")
    check_equal(result.code, 0, repr(result))
    check_in("[]\n", result.stdout.decode(), "the variable")
    check("/run/credentials" not in result.stdout.decode().replace("ls: cannot access '/run/credentials'", ""),
          "something of the credentials is there")


def test_no_view_shows_the_credentials_of_services(m):
    give(m, key=KEY)
    for place in ("/run/credentials", "/run", "/run/credentials/hatchd@1.service"):
        m.write_builder("shows", "true", view={"read": [place]})
        check_equal(m.request("shows").error, "server-failed", f"a view of {place}")
    link = m.temporary_directory() / "link"
    link.symlink_to("/run/credentials")
    m.write_builder("shows", "true", view={"read": [str(link)]})
    check_equal(m.request("shows").error, "server-failed", "a view of a link there")


def test_the_view_of_a_host_has_no_credentials_but_the_builder_s(m):
    give(m, key=KEY)
    look = "ls -A /run/credentials 2>&1; find / -name 'hatchd@*' -path '*credentials*' 2>/dev/null; true"
    m.write_builder("sees-host", look, view={"base": "host"})
    result = m.request("sees-host")
    check_equal(result.code, 0, repr(result))
    check("hatchd@" not in result.stdout.decode() and "key" not in result.stdout.decode(), repr(result))
    m.write_builder("sees-host", look, view={"base": "host"}, credentials=["key"])
    check_equal(m.request("sees-host").stdout, b"hatch\n", "what it sees of credentials")


def test_credentials_are_gone_with_the_request(m):
    give(m, key=KEY)
    write(m, "waits", "say(b'ready\\n'); import time; time.sleep(60)")
    with m.client() as client:
        client.request("waits")
        client.receive_until("stdout")
        check(not any("/run/credentials/hatch" in line.split()[4:5] for line in open("/proc/1/mountinfo")),
              "the host sees the builder's mount")


def test_a_client_that_pauses_over_the_end_of_a_builder_still_gets_its_log(m):
    """What looks through the log is one process: who reads one stream to its end first may wait for it, and it for him. It
    takes a builder that ends while everything on the way to the client is full."""
    give(m, key=KEY)
    for stream in ("stdout", "stderr"):
        for size in range(320 << 10, 544 << 10, 32 << 10):
            write(m, "tells", f"sys.{stream}.write('x' * {size})")
            with m.client() as client:
                client.request("tells")
                client.receive_until("started")
                time.sleep(0.5)
                messages = client.receive_until("exit", "error")
                client.send({"type": "received"})
            told = b"".join(message["attachment"] for message in messages if message["type"] == stream)
            check_equal((messages[-1].get("code"), len(told)), (0, size), f"exit status and bytes of {stream}")


def test_a_credential_that_systemd_encrypted_arrives(m):
    PLACE.mkdir(mode=0o700, exist_ok=True)
    m.after_test(lambda: (*[path.unlink() for path in PLACE.iterdir()], PLACE.rmdir()))
    made = m.run(["systemd-creds", "encrypt", "--with-key=host", "--name=key", "-", f"{PLACE}/key"], stdin=KEY)
    if made.code != 0:
        raise Skip(f"systemd-creds cannot encrypt here: {made.stderr.strip()}")
    check(KEY not in (PLACE / "key").read_bytes(), "it is not encrypted")
    attack.write_drop_in(m, f"[Service]\nLoadCredentialEncrypted=key:{PLACE}/key\n")
    write(m, "hashes", "import hashlib; print(hashlib.sha256(KEY).hexdigest())")
    result = m.request("hashes")
    check_equal(result.code, 0, repr(result))
    check_equal(result.stdout.decode().strip(), hashlib.sha256(KEY).hexdigest(), "its digest")


# --- bad ones --------------------------------------------------------------------------------------------------------


def refused(m, builder, *parts):
    """The request ends before it has a slot, and the journal says why."""
    cursor = m.journal_cursor()
    result = m.request(builder)
    check_equal(result.error, "server-failed", repr(result))
    line = m.journal_wait(cursor, HATCH_BUILDER=builder)[0]
    check_equal(line["HATCH_PHASE"], "policy", "phase")
    check("HATCH_USER" not in line, "it had a slot")
    for part in parts:
        check_in(part, line["MESSAGE"], "message")


def test_a_credential_that_is_missing_or_empty_ends_the_request_before_it_has_a_slot(m):
    give(m, empty=b"", there=KEY)
    path = m.write_builder("wants", "true", credentials=["there", "missing"])
    refused(m, "wants", "no credential `missing`", str(path), "LoadCredential=missing:PATH")
    m.write_builder("wants", "true", credentials=["empty"])
    refused(m, "wants", "the credential `empty`", "is empty")


def test_a_service_without_credentials_says_so(m):
    path = m.write_builder("wants", "true", credentials=["key"])
    refused(m, "wants", "no credential `key`", str(path))


def test_a_credential_that_is_too_long_to_be_looked_for_is_refused(m):
    give(m, key=b"x" * (64 * 1024 + 1))
    path = m.write_builder("long", "true", credentials=["key"])
    refused(m, "long", "'key'", "credentials_scan", str(path))
    m.write_builder("long", 'wc -c < "$CREDENTIALS_DIRECTORY/key"', credentials=["key"], credentials_scan=False)
    check_equal(m.request("long").stdout, b"65537\n", "its length")


# --- the log ---------------------------------------------------------------------------------------------------------


def test_a_secret_in_the_log_is_masked_in_every_form(m):
    give(m, key=KEY + b"\n")
    write(m, "prints", "import base64\n" + "\n".join(
        f"say(b'<'); say({form!r}); say(b'>\\n'); say({form!r} + b'\\n', 2)" for form in FORMS))
    result = m.request("prints")
    check_equal(result.code, 0, repr(result))
    for data in (result.stdout, result.stderr):
        no_form_in(data, "the log")
        check_equal(data.count(b"[secret:key]"), len(FORMS), f"masks in {data!r}")
    check_equal(result.stdout.count(b"<"), len(FORMS), "the rest")


def test_a_secret_in_a_phase_is_masked(m):
    give(m, key=KEY)
    write(m, "phase", "import os\nos.write(int(os.environ['HATCH_STATUS_FD']), b'phase with ' + KEY + b'\\n')\n")
    result = m.request("phase")
    check_equal([message["text"] for message in result.messages if message["type"] == "phase"], ["with [secret:key]"], "phases")


def test_a_secret_that_comes_in_pieces_is_masked(m):
    give(m, key=KEY)
    write(m, "pieces", """import time, base64
for cut in range(1, len(KEY)):
    say(b"a" + KEY[:cut])
    time.sleep(0.01)
    say(KEY[cut:] + b"b\\n")
for byte in base64.b64encode(KEY):
    say(bytes([byte]), 2)
""")
    result = m.request("pieces")
    check_equal(result.stdout, b"a[secret:key]b\n" * (len(KEY) - 1), "standard output")
    no_form_in(result.stderr, "standard error")
    check_in(b"[secret:key]", result.stderr, "standard error")


def test_what_is_no_secret_passes_byte_for_byte(m):
    give(m, key=KEY)
    write(m, "much", """import random
random.seed(1)
data = b"".join(random.choice((random.randbytes(random.randrange(5000)), KEY[:-1] + b"\\n")) for _ in range(2000))
say(b"%d\\n" % len(data), 2)
sys.stdout.buffer.write(data)
""")
    random.seed(1)
    data = b"".join(random.choice((random.randbytes(random.randrange(5000)), KEY[:-1] + b"\n")) for _ in range(2000))
    result = m.request("much")
    check_equal(result.stderr, b"%d\n" % len(data), "length")
    check(result.stdout == data, f"{len(result.stdout)} of {len(data)} bytes came through, or others")


def test_limits_hold_for_a_masked_log(m):
    give(m, key=KEY)
    write(m, "floods", "while True: say(b'x' * 4096)", limits={"log": 100000, "time_sec": 60})
    result = m.request("floods")
    check_equal(result.error, "limit", repr(result))
    check(len(result.stdout) <= 100000, f"{len(result.stdout)} bytes of log")
    write(m, "is-silent", "say(b'x'); import time; time.sleep(60)", limits={"silence_sec": 1 * m.slow, "time_sec": 60})
    result = m.request("is-silent")
    check(result.last.get("silent"), repr(result))


def test_a_builder_whose_words_are_held_back_is_not_silent(m):
    give(m, key=KEY)
    write(m, "slow", f"""import time
for byte in KEY[:6]:
    time.sleep({m.slow})
    say(bytes([byte]))
""", limits={"silence_sec": 4 * m.slow, "time_sec": 60 * m.slow})
    result = m.request("slow")
    check_equal((result.code, result.stdout), (0, KEY[:6]), repr(result))


def test_the_first_words_come_at_once(m):
    give(m, key=KEY)
    write(m, "says", "say(b'begun\\n'); import time; time.sleep(30)")

    def attempt():
        with m.client() as client:
            client.request("says")
            client.receive_until("started")
            begun = time.monotonic()
            check_equal(client.receive_type("stdout")["attachment"], b"begun\n", "what comes first")
            return time.monotonic() - begun

    m.in_time(5 * m.slow, attempt)


def test_scanning_can_be_turned_off(m):
    give(m, key=KEY)
    write(m, "open", "say(KEY); open(os.environ['out'], 'wb').write(KEY)", credentials_scan=False)
    result = m.request("open", outputs={"out": None})
    check_equal((result.code, result.stdout), (0, KEY), repr(result))
    check_in(KEY, result.output("out"), "the output")


# --- outputs ---------------------------------------------------------------------------------------------------------


def leaves(m, script, place, *, form="as it is"):
    """An output that is refused: nothing of any is sent, and neither client nor journal is told the secret."""
    write(m, "leaves", "import base64\nout = os.environ['out']\nopen(os.environ['a'], 'wb').write(b'harmless')\n" + script)
    cursor = m.journal_cursor()
    result = m.request("leaves", outputs={"a": None, "out": None})
    check_equal(result.error, "output", repr(result))
    check("output" not in result.types and "output-end" not in result.types, f"bytes were sent: {result.types}")
    check_in("the output out holds the credential key", result.last["message"], "message")
    check_in(f"({form})", result.last["message"], "message")
    check_in(place, result.last["message"], "message")
    no_form_in(repr(result.messages).encode(), "what the client was told")
    line = m.journal_wait(cursor, HATCH_BUILDER="leaves")[0]
    no_form_in(repr(line).encode(), "the journal")
    check_in(place, line["HATCH_ERROR"], "the journal")


def test_an_output_that_holds_a_secret_is_refused_and_named(m):
    give(m, key=KEY)
    leaves(m, "open(out, 'wb').write(b'x' + KEY)", "the file '.'")
    leaves(m, "os.makedirs(out + '/etc'); open(out + '/etc/tool.conf', 'wb').write(b'key = ' + KEY + b'\\n')",
           "the file 'etc/tool.conf'")
    leaves(m, "os.mkdir(out); open(out + '/b', 'wb').write(base64.b64encode(b'a:' + KEY))", "the file 'b'", form="base64")
    leaves(m, "os.mkdir(out); open(out + '/b', 'w').write(KEY.hex())", "the file 'b'", form="hex")


def test_a_secret_over_the_border_of_a_block_is_found(m):
    give(m, key=KEY)
    for at in (4096, 65536, 1 << 20, 2 << 20):
        leaves(m, f"os.mkdir(out); open(out + '/big', 'wb').write(b'.' * ({at} - 5) + KEY + b'.' * 5000)", "the file 'big'")


def test_a_secret_behind_a_hole_is_found(m):
    give(m, key=KEY)
    leaves(m, "f = open(out, 'wb'); f.seek(50 << 20); f.write(KEY); f.truncate(60 << 20)", "the file '.'")


def test_a_secret_in_a_name_or_a_target_is_found(m):
    give(m, key=KEY)
    leaves(m, "os.makedirs(out + '/d'); open(os.fsencode(out) + b'/d/a-' + KEY + b'.txt', 'w')", "a name in 'd'")
    leaves(m, "os.makedirs(os.fsencode(out) + b'/' + KEY + b'/d')", "a name in '.'")
    # Where it spans two names nothing of either is told.
    leaves(m, "os.makedirs(out + '/d/' + base64.b64encode(b'?' * 2 + KEY).decode())", "a name in 'd'", form="base64")
    leaves(m, "os.mkdir(out); os.symlink(b'/see/' + KEY, out + '/link')", "the target of the link 'link'")
    leaves(m, "os.symlink(KEY.hex(), out)", "the target of the link '.'", form="hex")


def test_a_special_file_with_a_secret_in_its_name_is_not_named(m):
    give(m, key=KEY)
    leaves(m, "os.mkdir(out); os.mkfifo(os.fsencode(out) + b'/' + KEY)", "a name in '.'")


def test_outputs_without_a_secret_return_as_ever(m):
    give(m, key=KEY)
    write(m, "clean", "os.mkdir(os.environ['out']); open(os.environ['out'] + '/a', 'wb').write(b'.' * 3000000 + KEY[:-1])")
    result = m.request("clean", outputs={"out": None})
    check_equal(result.code, 0, repr(result))
    with tarfile.open(fileobj=io.BytesIO(result.output("out"))) as tar:
        check(tar.extractfile("output/a").read() == b"." * 3000000 + KEY[:-1], "other bytes came")


def test_a_secret_that_no_error_tells(m):
    """How a builder ends says nothing of its secrets either."""
    give(m, key=KEY)
    cursor = m.journal_cursor()
    write(m, "fails", "say(KEY, 2); sys.exit(3)")
    check_equal(m.request("fails").code, 3, "exit code")
    no_form_in(repr(m.journal_wait(cursor, HATCH_BUILDER="fails")).encode(), "the journal")


# --- hatchd --check --------------------------------------------------------------------------------------------------


def complaints(m, path, *command, user=None):
    said = m.run(list(command), user=user)
    return said.code, [line for line in (said.stdout + said.stderr).splitlines() if f"{path}:" in line]


def test_check_finds_credentials_that_the_service_will_not_have(m):
    give(m, empty=b"", there=KEY)
    attack.write_drop_in(m, f"LoadCredential=gone:{PLACE}/gone\nLoadCredential=tree:{PLACE}\nLoadCredential=stored:no-such-credential\n"
                     "SetCredential=set:value\nSetCredential=nothing:\n")
    names = ["there", "set", "tree_there", "missing", "empty", "gone", "nothing", "stored", "tree_other"]
    path = m.write_definition("wants", json.dumps({"command": ["/bin/true"], "credentials": names}, indent=1))
    code, lines = complaints(m, path, "hatchd", "--check")
    check_equal(code, 78, "exit status")
    for at, name, why in ((9, "missing", "no credential missing"), (10, "empty", "is empty"), (11, "gone", "No such file"),
                          (12, "nothing", "no credential nothing"), (13, "stored", "credential store"), (14, "tree_other", "No such file")):
        found = [line for line in lines if f"{path}:{at}:3:" in line]
        check(len(found) == 1 and name in found[0] and why in found[0] and "expected" in found[0], f"{name}: {lines}")
    check_equal(len(lines), 6, f"complaints: {lines}")
    texts = {line[line.index(str(path)):] for line in lines}
    code, lines = complaints(m, path, "hatchctl", "check")
    check_equal((code, {line[line.index(str(path)):] for line in lines}), (78, texts), "what hatchctl finds")
    code, lines = complaints(m, path, "hatchctl", "check", user="alice")
    check_equal(code, 78, "exit status for who may not look at secrets")
    found = {line[line.index(str(path)):] for line in lines}
    check(found and found <= texts, f"what is found without rights: {found}")


def test_a_credential_that_systemd_cannot_load_is_found_though_no_builder_names_it(m):
    give(m, key=KEY)
    m.write_builder("any", "echo ran")
    attack.write_drop_in(m, f"LoadCredential=gone:{PLACE}/gone\nLoadCredential=spare:{PLACE}/spare\nSetCredential=spare:value\n"
                     "LoadCredential=stored:no-such-credential\n")
    words = f"all requests fail: its credential gone is loaded from {PLACE}/gone: No such file"
    for command in (["hatchd", "--check"], ["hatchctl", "check"]):
        said = m.run(command)
        text = said.stdout + said.stderr
        check_equal((said.code, text.count("all requests fail")), (78, 1), f"{command}: {text}")
        check_in(words, text, "error")
        check_in("take LoadCredential=gone out", text, "hint")
        check_in("journalctl -u 'hatchd@*'", text, "hint")
    ran = m.run(["hatch", "run", "any"])
    check(ran.code != 0, "it was served")
    check_in("journalctl -u 'hatchd@*'", ran.stderr, "the client's hint")
    (PLACE / "gone").write_bytes(KEY)
    check_equal(m.request("any").stdout, b"ran\n", "with the file")
    m.run(["hatchctl", "check"]).ok()


def explained(m, builder):
    ran = m.run(["hatchctl", "explain", "--json", "--uid", "root", builder])
    return ran.code, json.loads(ran.stdout)


def test_explain_says_where_credentials_come_from_or_refuses_as_the_server_does(m):
    give(m, key=KEY)
    attack.write_drop_in(m, "SetCredential=set:value\n")
    write(m, "has", "say(b'ran')", credentials=["key", "set"])
    check_equal(m.request("has").stdout, b"ran", "a request")
    code, told = explained(m, "has")
    check_equal((code, told["allowed"], told["sandbox"]["service"]), (0, True, "hatchd@.service"), "the answer")
    check_equal(told["sandbox"]["credentials"], {"list": [
        {"name": "key", "setting": "LoadCredential", "source": f"{PLACE}/key"}, {"name": "set", "setting": "SetCredential", "source": None},
    ], "scan": True}, "credentials")
    path = m.write_definition("lacks", json.dumps({"command": ["/bin/true"], "allow": {"users": ["root"]}, "credentials": ["key", "other"]}, indent=1))
    check_equal(m.request("lacks").error, "server-failed", "a request for one that is not there")
    code, told = explained(m, "lacks")
    check_equal((code, told["allowed"]), (77, False), "the answer for one that is not there")
    check(re.match(rf"{path}:\d+:\d+: .*no credential other; expected", told["error"]), told["error"])


def test_check_refuses_names_that_are_none(m):
    path = m.write_definition("wants", '{"command": ["/bin/true"], "credentials": ["a/b"],\n "credentials_scan": "no"}')
    said = m.run(["/usr/sbin/hatchd", "--check"]).stdout
    check_in(f"{path}:1:44: ", said)
    check_in(f"{path}:2:22: ", said)


# --- with other keys -------------------------------------------------------------------------------------------------


def test_credentials_are_there_for_a_builder_with_ids_of_its_own(m):
    give(m, key=KEY)
    for uid_map in ("self", "root", "range"):
        if uid_map == "range":
            m.write_config(range_base=1000000)
        write(m, "maps", "say(b'%d' % (KEY == KEY.strip()) + b' ' + oct(os.stat(os.environ['CREDENTIALS_DIRECTORY'] + '/key').st_mode)"
                         ".encode() + b' %d' % (os.stat(os.environ['CREDENTIALS_DIRECTORY']).st_uid == os.getuid()))", uid_map=uid_map)
        result = m.request("maps")
        check_equal((result.code, result.stdout), (0, b"1 0o100400 1"), f"{uid_map}: {result!r}")


# --- attacks ---------------------------------------------------------------------------------------------------------


class WithTap(attack.Instance):
    """An instance that has a third helper. It is the one that has a log to write to, and no directory to read."""

    N_HELPERS = 3

    def tap(self):
        found = [p for p in self.helpers if "anon_inode:[eventfd]" in p.descriptors().values()]
        check_equal(len(found), 1, "processes that look like the tap")
        return found[0]


def memory_of(process):
    """All that a process has in memory that it may write to."""
    found = []
    with open(f"/proc/{process.pid}/mem", "rb", 0) as memory:
        for line in open(f"/proc/{process.pid}/maps"):
            words = line.split()
            if not words[1].startswith("rw"):
                continue
            begin, end = (int(word, 16) for word in words[0].split("-"))
            memory.seek(begin)
            found.append(memory.read(end - begin))
    return found


# FD3, ES12
def test_the_tap_is_the_build_user_s_and_can_only_pass_on(m):
    give(m, key=KEY)
    write(m, "waits", "say(b'here\\n'); import time; time.sleep(60)")
    with attack.live(m, "waits", instance=WithTap) as (_, i):
        tap = i.tap()
        check_equal(tap.uids, i.init.uids, "whose it is")
        check_equal(set(tap.capabilities().values()), {0}, "its capabilities")
        check_equal(tap.status["NoNewPrivs"], "1", "NoNewPrivs")
        check(not tap.is_dumpable(), "it is dumpable")
        check_equal(tap.filters, min(p.filters for p in i.helpers) + 1, "its filters")
        kinds = {t if t.startswith("anon_inode") else t.split(":")[0] for fd, t in tap.descriptors().items() if fd > 2}
        check_equal(kinds, {"pipe", "anon_inode:[eventfd]"}, "what it has open")
        # Nobody else is between: the builder's ends are the tap's, the speaker's are not the builder's.
        builder = {t for fd, t in i.builders[0].descriptors().items() if fd in (1, 2)}
        speaker = {t for t in i.speaker.descriptors().values() if t.startswith("pipe")}
        check(builder <= set(tap.descriptors().values()), f"{builder} are not the tap's")
        check(not builder & speaker, "the builder can write to the speaker")


def test_neither_speaker_nor_monitor_has_a_secret_while_the_builder_runs(m):
    give(m, key=KEY)
    write(m, "waits", "say(KEY + b'\\n'); say(KEY.hex().encode() + b'\\n'); import time; time.sleep(60)")
    with attack.live(m, "waits", instance=WithTap) as (_, i):
        check(any(KEY in part for part in memory_of(i.tap())), "the tap does not know what it looks for")
        for process, who in ((i.speaker, "speaker"), (i.monitor, "monitor")):
            for part in memory_of(process):
                for form in (KEY, KEY.hex().encode(), base64.b64encode(KEY)[:-4]):
                    check(form not in part, f"the {who} has {form}")


def test_a_request_whose_tap_died_is_no_success(m):
    give(m, key=KEY)
    gate = m.gate()
    write(m, "goes-on", f"""import time
say(b'here\\n')
while not os.path.exists('{gate.path}'):
    time.sleep(0.02)
open(os.environ['out'], 'w').write('whole')
""", view=gate.view)
    with m.client() as client:
        client.request("goes-on", outputs={"out": None})
        client.receive_until("stdout")
        os.kill(WithTap(m).tap().pid, signal.SIGKILL)
        gate.open()
        last = client.receive_until("exit", "error")[-1]
    check_equal((last["type"], last.get("code")), ("error", "server-failed"), "how it ends")
