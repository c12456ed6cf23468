"""Hostile derivations, through the real nix-daemon: what a build can try with the socket that it is shown, or is not.

The attacks are Python, for which each sandbox is shown /usr; a build could bring any such program along. An attack is
built like any derivation, and its log says what it has obtained.
"""

import hashlib
import json
import os
import pathlib
import re
import signal
import time

import attack
from machine import CONFIG, Skip, check, check_equal, check_in

PYTHON = "/usr/bin/python3"
HOOK = "/usr/sbin/hatch-pre-build-hook"
HATCH = ["/run/hatch=/run/hatch/s", "/bin/hatch=/usr/bin/hatch"]
TOOLS = ["/bin/sh=/usr/bin/busybox", "/usr", "/lib=/usr/lib", "/lib64=/usr/lib64"]
EVERYBODY = {"uid_ranges": [{"first": 1, "last": 4294967293}], "users": ["root"]}
NOT_USABLE = "there is no builder `{}` that you may use"

# What every attack begins with.
TOOLBOX = r'''
import ctypes, glob, os, signal, socket, stat, subprocess, sys, time
os.environ["PATH"] = "/usr/bin:/usr/sbin"
SOCKET = "/run/hatch/hatch.sock"
libc = ctypes.CDLL(None, use_errno=True)

def say(*words):
    print(*words, file=sys.stderr, flush=True)

def connect(address, family=socket.AF_UNIX):
    """A connection, or the words for why there is none."""
    connection = socket.socket(family)
    connection.settimeout(5)
    try:
        connection.connect(address)
    except OSError as error:
        connection.close()
        return error.strerror or str(error)
    return connection

def ask(builder, *options):
    """Call by the client; says how it ended."""
    ran = subprocess.run(["/usr/bin/hatch", "run", "--no-outputs", *options, builder], capture_output=True, text=True)
    say(f"asked {builder}: {ran.returncode}: {ran.stdout}{ran.stderr}".replace("\n", " "))
    return ran.returncode

def done():
    with open(os.environ["out"], "w") as file:
        file.write(os.environ.get("content", "built\n"))
'''


def set_up(m, *lines, shown="feature"):
    """Builders a and b, each for derivations with its own feature. shown: "feature" by the hook, "always" to all."""
    paths = TOOLS + (HATCH if shown == "always" else [])
    hook = [f"pre-build-hook = {HOOK}"] if shown == "feature" else []
    m.write_nix_conf(f"extra-sandbox-paths = {' '.join(paths)}", "extra-system-features = hatch-a hatch-b", *hook, *lines,
                     without=["extra-sandbox-paths"])
    shows = [dict(zip(("at", "path"), path.split("="), strict=True)) for path in HATCH]
    config = CONFIG / "hook.json"
    config.write_text(json.dumps({"features": ["hatch-a", "hatch-b"], "paths": shows}))
    m.after_test(config.unlink)
    for name in ("a", "b"):
        m.write_builder(name, f"echo made by {name}", allow={**EVERYBODY, "features": [f"hatch-{name}"]})


def hostile(m, name, script, *words, features=(), **attributes):
    """The text of a derivation that attacks."""
    return m.derivation(name, PYTHON, ["-c", TOOLBOX + script, *words], requiredSystemFeatures=list(features), **attributes)


def run(m, *arguments, options=(), user="alice", **attributes):
    """Build it; the attack's words."""
    return m.nix_build(hostile(m, *arguments, **attributes), *options, user=user).ok().stderr


def refusal(m, cursor, builder):
    """Why the journal says that a request was refused."""
    line = m.journal_wait(cursor, HATCH_BUILDER=builder, HATCH_VERDICT="refused")[0]
    return line["HATCH_ERROR"]


# --- without the feature, and with another's --------------------------------------------------------------------------

SEARCH = r'''
for path in (SOCKET, "/run/hatch/s/hatch.sock", "/proc/1/root/run/hatch/s/hatch.sock", "/proc/self/root/run/hatch/s/hatch.sock"):
    found = connect(path)
    say("way:", path, found)
for directory, names, files in os.walk("/"):
    names[:] = [name for name in names if directory + name not in ("/proc", "/usr", "/sys")]
    for name in files:
        with_path = os.path.join(directory, name)
        try:
            if stat.S_ISSOCK(os.lstat(with_path).st_mode):
                say("socket:", with_path)
        except OSError:
            pass
for line in open("/proc/self/mountinfo"):
    if "hatch" in line.split(" - ")[0].replace(os.environ["name"], ""):
        say("mount:", line)
for line in open("/proc/net/unix").read().splitlines()[1:]:
    say("listed:", line)
say("searched")
done()
'''


def test_a_derivation_without_the_feature_finds_no_way_to_the_hatch(m):
    set_up(m)
    m.write_builder("long", "echo begun; sleep 1000", allow={**EVERYBODY, "features": ["hatch-a"]})
    # Beside one that has it.
    other = m.nix_build_start(m.hatch_derivation("shown", "long", requiredSystemFeatures=["hatch-a"]))
    m.wait_until(lambda: b"begun" in other.stderr(), "the other build")
    log = run(m, "looking", SEARCH)
    ways = re.findall(r"way: (\S+) (.*)", log)
    check_equal([why for _, why in ways], ["No such file or directory"] * 4, f"what it gets at {ways}")
    check_in("searched", log, "log")
    for word in ("socket:", "mount:", "listed:"):
        check(word not in log, f"it has found something: {log}")
    other.signal(signal.SIGINT)
    other.wait()


def test_a_derivation_without_the_feature_is_refused_where_all_see_the_socket(m):
    set_up(m, shown="always")
    cursor = m.journal_cursor()
    log = run(m, "featureless", 'ask("a")\ndone()')
    check_in("asked a: 125:", log, "log")
    check_in(NOT_USABLE.format("a"), log, "what it is told")
    check_in("-featureless.drv does not require the feature hatch-a, which allow.features in", refusal(m, cursor, "a"), "journal")


LIE = r'''
import json
def answer(**members):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(SOCKET)
        lines = connection.makefile("rb")
        lines.readline()
        connection.sendall(json.dumps({"type": "request", "version": 1, **members}).encode() + b"\n")
        told = json.loads(lines.readline())
    # It ends in the name of this request.
    told["hint"] = told["hint"].rsplit(" ", 1)[0]
    return told
unknown = answer(builder="b0")
lies = [{}, {"features": ["hatch-b"]}, {"derivation": sys.argv[1]}, {"peer": {"features": ["hatch-b"]}, "uid": 0}]
os.environ.update(name="board-firmware", requiredSystemFeatures="hatch-b")
for lie in lies:
    told = answer(builder="b", **lie)
    told["message"] = told["message"].replace("`b`", "`b0`")
    say("the same" if told == unknown else f"told {told}, and of an unknown builder {unknown}")
say(subprocess.run(["/bin/hatch", "list"], capture_output=True, text=True).stdout)
done()
'''


def test_a_derivation_learns_nothing_of_a_builder_with_another_feature(m):
    set_up(m)
    drv = m.nix_instantiate(m.derivation("rightful", requiredSystemFeatures=["hatch-b"]))
    cursor = m.journal_cursor()
    log = run(m, "lying", LIE, pathlib.Path(drv).name, features=["hatch-a"])
    check_equal(log.count("the same"), 4, f"answers like those of an unknown builder: {log}")
    check("test builder a" in log and "test builder b" not in log, f"what is listed: {log}")
    lines = m.journal_wait(cursor, count=4, HATCH_BUILDER="b")
    check_equal({line["HATCH_VERDICT"] for line in lines}, {"refused"}, "verdicts")
    for line in lines:
        check_in("-lying.drv does not require the feature hatch-b", line["HATCH_ERROR"], "HATCH_ERROR")


def test_a_derivation_is_parsed_only_for_a_builder_that_its_build_may_use_otherwise(m):
    set_up(m)
    features = {"features": ["hatch-a"]}
    m.write_builder("a", "echo made by a", allow={"users": ["alice"], **features})
    m.write_builder("b", "echo made by b", allow={**EVERYBODY, **features, "derivations": ["firmware"]})

    def was_read(name):
        cursor = m.journal_cursor()
        run(m, "asking", f'ask("{name}")\ndone()', features=["hatch-a"])
        return "HATCH_FEATURES" in m.journal_wait(cursor, HATCH_BUILDER=name)[0]

    check_equal([was_read("a"), was_read("b")], [False, False], "whether features were read")
    m.write_builder("c", "echo made by c", allow={**EVERYBODY, **features})
    check(was_read("c"), "features were not read where they decide")


def test_a_derivation_that_is_costly_to_parse_has_no_features(m):
    set_up(m, shown="always")
    cursor = m.journal_cursor()
    # In memory a hundred times as long as in the file.
    costly = '(builtins.toJSON { l = builtins.genList (_: { }) 340000; requiredSystemFeatures = [ "hatch-a" ]; })'
    text = hostile(m, "costly", 'ask("a")', __json="COSTLY").replace('"COSTLY"', costly)
    check_in("asked a: 125:", m.nix_build(text).stderr, "log")
    check_in("to read the derivation takes more than 32 MiB of memory", refusal(m, cursor, "a"), "journal")


# --- a forged name ----------------------------------------------------------------------------------------------------

# As root of namespaces of its own, or of those that it is in already.
FORGE = r'''
done()
directory = os.open("/run/hatch", os.O_RDONLY)
os.dup2(directory, 9)
with open("/build/forge", "w") as file:
    file.write(os.environ["forge"])
own = [] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount", "--"]
# Beside other mounts, so that nothing but the script is the attack.
ran = subprocess.run([*own, "sh", "/build/forge", os.environ["victim"], "/build", "firmware"], pass_fds=[9], capture_output=True, text=True)
say(f"forged: {ran.returncode}: {ran.stderr}".replace("\n", " "))
'''


class Victim:
    """A derivation that may use the builder "firmware", while it is built: Nix has made its root directory."""

    def __init__(self, m):
        allow = {**EVERYBODY, "features": ["hatch-b"], "derivations": ["*-firmware"]}
        m.write_builder("firmware", "echo signed", allow=allow)
        script = "echo begun; while :; do :; done"
        self.path = m.nix_instantiate(m.derivation("board-firmware", args=["-c", script], requiredSystemFeatures=["hatch-b"]))
        self.name = pathlib.Path(self.path).name
        self.building = m.start(["nix-store", "--realise", self.path], user="alice")
        m.wait_until(lambda: b"begun" in self.building.stderr(), "the build")
        check(attack.STORE.joinpath(f"{self.name}.chroot").exists(), "the build has no directory of that name")

    def end(self):
        self.building.signal(signal.SIGINT)
        self.building.wait()


def test_a_build_that_nests_namespaces_is_not_the_derivation_that_it_claims(m):
    set_up(m)
    victim = Victim(m)
    cursor = m.journal_cursor()
    log = run(m, "forging", FORGE, features=["hatch-a"], forge=attack.FORGE, victim=attack.root_of(victim.name))
    check_in("forged: 125:", log, "log")
    check_in(NOT_USABLE.format("firmware"), log, "what it is told")
    check_in("the caller's user namespace is not one that Nix made for a build", refusal(m, cursor, "firmware"), "journal")
    victim.end()


def test_a_build_that_is_root_of_its_sandbox_is_not_the_derivation_that_it_claims(m):
    # The feature uid-range gives a build all rights in the user namespace that Nix itself has made.
    set_up(m, "extra-experimental-features = auto-allocate-uids cgroups nix-command", "auto-allocate-uids = true",
           "extra-system-features = uid-range")
    if "unknown" in m.run(["nix", "show-config"]).stderr:
        raise Skip("this Nix gives no build a range of uids")
    cursor = m.journal_cursor()
    served = m.nix_build(hostile(m, "ranged", 'say("uid", os.geteuid())\nask("a")\ndone()', features=["hatch-a", "uid-range"]))
    if served.code != 0 and "cgroup" in served.stderr:
        raise Skip(f"no cgroups for Nix here: {served.stderr.strip().splitlines()[-1]}")
    check_in("uid 0", served.ok().stderr, "who it is")
    check_in("asked a: 0: made by a", served.stderr, "what a build is served that is what it says")
    check(m.journal_wait(cursor, HATCH_BUILDER="a")[0]["HATCH_DRV"].endswith("-ranged.drv"), "HATCH_DRV")

    victim = Victim(m)
    for name, reason in ((victim.name, "the caller's root is not the directory it claims"),
                         ("0123456789abcdfghijklmnpqrsvwxyz-my-firmware.drv", "the root that the caller's mount table names does not exist")):
        cursor = m.journal_cursor()
        log = run(m, "forging", FORGE, features=["hatch-a", "uid-range"], forge=attack.FORGE, victim=attack.root_of(name))
        check_in("forged: 125:", log, "log")
        check_in(reason, refusal(m, cursor, "firmware"), "journal")
    victim.end()


# --- descriptors ------------------------------------------------------------------------------------------------------

# Sends its output, and the directory that it is in, at every moment of a request; a child keeps the line open afterwards.
SMUGGLE = r'''
out = os.environ["out"]
with open(out, "w") as file:
    file.write("good\n")
fds = [os.open(out, os.O_RDWR), os.open(out, os.O_RDWR | os.O_APPEND), os.open("/nix/store", os.O_RDONLY)]
connection = socket.socket(socket.AF_UNIX)
connection.connect(SOCKET)
lines = connection.makefile("rb")
def smuggle(data):
    try:
        socket.send_fds(connection, [data], fds)
        return "sent"
    except OSError as error:
        connection.sendall(data)
        return error.strerror
at_once = smuggle(b'{"type":"request",')
lines.readline()
told = [at_once, smuggle(b'"version":1,'), smuggle(b'"builder":"accomplice"}\n')]
while b'"accepted"' not in lines.readline():
    pass
say("smuggled:", ", ".join(told))
time.sleep(2)
if os.fork() == 0:
    os.setsid()
    os.closerange(1, 3)
    time.sleep(1000)
'''

# The builder that waits for them: writes to whatever it finds, and looks for the path until it is killed.
ACCOMPLICE = r'''
import glob, os, signal, time
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
print("here", flush=True)
while True:
    for path in [*glob.glob("/proc/[0-9]*/fd/*"), *glob.glob("/nix/store/*-smuggled")]:
        try:
            with open(path, "r+b", buffering=0) as file:
                if b"good" in file.read(4):
                    file.write(b"EVIL")
        except OSError:
            pass
    time.sleep(0.05)
'''


def smuggle(m):
    """Build it together with its accomplice: what became of the descriptors, and the output."""
    set_up(m)
    m.write_builder("accomplice", ACCOMPLICE, PYTHON)
    built = m.nix_build(hostile(m, "smuggled", SMUGGLE, features=["hatch-a"])).ok()
    out = pathlib.Path(built.lines()[-1])
    before = (out.lstat().st_ino, out.lstat().st_mtime)
    m.wait_until(lambda: not m.build_processes(), "the end of the accomplice with the build")
    check_equal(out.read_text(), "good\n", "the store path")
    check_equal((out.lstat().st_ino, out.lstat().st_mtime, out.lstat().st_uid), (*before, 0), "inode, time and owner")
    m.run(["nix-store", "--verify-path", out]).ok()
    return re.search(r"smuggled: (.*)", built.stderr)[1].split(", ")


def test_a_store_path_whose_descriptor_was_sent_stays_as_nix_registered_it(m):
    # Before hatchd has said no the kernel takes them, and drops them with what is read.
    told = smuggle(m)
    print("descriptors were", ", ".join(told), flush=True)
    check_equal(set(told[1:]) <= {"Operation not permitted", "sent"}, True, f"what the kernel says: {told}")


def test_a_store_path_stays_as_registered_where_the_kernel_lets_descriptors_through(m):
    attack.write_drop_in(m, "[Service]\nSystemCallFilter=~setsockopt:ENOPROTOOPT\n")
    check_equal(smuggle(m), ["sent", "sent", "sent"], "what the kernel says")


# --- many connections -------------------------------------------------------------------------------------------------

# Requests that last, over as many connections as there may be; those that were ended come again, as hatch would.
HOLD = r'''
def open_one():
    connection = connect(SOCKET)
    if not isinstance(connection, str):
        try:
            connection.send(b'{"type":"request","version":1,"builder":"long"}\n')
        except OSError:
            pass  # it is sent away already
        connection.setblocking(False)
        return connection
def is_open(connection):
    """Takes what has come."""
    try:
        while data := connection.recv(65536):
            told[connection] += data
    except BlockingIOError:
        return True
    except ConnectionResetError:
        pass
    connection.close()
    return False
def is_served(connection):
    return any(kind in told[connection] for kind in (b'"queued"', b'"started"'))
told = {}
while True:
    told.update((connection, b"") for connection in (open_one() for _ in range(100 - len(told))) if connection)
    # Each is served, or sent away: as fast as the machine is.
    while not all(map(is_served, told)):
        time.sleep(0.1)
        told = {connection: told[connection] for connection in list(told) if is_open(connection)}
    say("held:", len(told))
'''


def change_socket(m, text):
    """Change hatchd.socket for one test."""
    path = pathlib.Path("/run/systemd/system/hatchd.socket.d/test.conf")
    path.parent.mkdir(parents=True, exist_ok=True)

    def restart():
        m.run(["systemctl", "daemon-reload"]).ok()
        m.run(["systemctl", "restart", "hatchd.socket"]).ok()

    path.write_text(text)
    m.after_test(restart)
    m.after_test(path.unlink)
    restart()


def test_requests_of_one_user_leave_places_to_others(m):
    set_up(m)
    m.write_config(resources={"seat": 1})
    m.write_builder("long", "sleep 1000", resources={"seat": 1})
    # Whoever counts: newer versions of systemd would do it before hatchd.
    change_socket(m, "[Socket]\nMaxConnectionsPerSource=1000\n")
    cursor = m.journal_cursor()
    holding = m.nix_build_start(hostile(m, "holding", HOLD, features=["hatch-a"]))
    for n in (1, 2, 3):
        m.wait_until(lambda n=n: holding.stderr().count(b"held: 32\n") >= n, "as many as one user may have")
    counts = [int(count) for count in re.findall(rb"held: (\d+)", holding.stderr())]
    print("held:", counts, flush=True)
    check_equal(max(counts), 32, "most that were held")
    check_in("asked a: 0: made by a", run(m, "other", 'ask("a")\ndone()', features=["hatch-a"]), "another build's request")
    holding.signal(signal.SIGINT)
    holding.wait()
    line = m.journal_wait(cursor, HATCH_VERDICT="busy", HATCH_PHASE="start")[0]
    check_in("has 32 connections", line["HATCH_ERROR"], "journal")
    check_in("connections_per_user in /etc/hatch/hatchd.json", line["HATCH_HINT"], "journal")
    m.wait_until(lambda: not m.instances(), "the end of all instances")


STORM = r'''
import collections
kept, made, turned = collections.deque(maxlen=400), 0, 0
# 400 at a time, silent, and one more whenever there is a place in the line.
while True:
    connection = socket.socket(socket.AF_UNIX)
    connection.setblocking(False)
    try:
        connection.connect(SOCKET)
        kept.append(connection)
        made += 1
    except BlockingIOError:
        connection.close()
        turned += 1
        time.sleep(0.0005)
    if made + turned == 400 or (made + turned) % 4000 == 0:
        say("storm:", made, "connections,", turned, "times without a place in the line")
'''


def systemd_version(m):
    return int(m.run(["systemctl", "--version"]).ok().stdout.split()[1])


class Storm:
    """A build that takes whatever place there is, and leaves it again, until end()."""

    def __init__(self, m):
        self.build = m.nix_build_start(hostile(m, "storm", STORM, features=["hatch-a"]))
        m.wait_until(lambda: b"storm:" in self.build.stderr(), "the first 400")

    def end(self):
        check(self.build.process.poll() is None, "the storm had ended before")
        self.build.signal(signal.SIGINT)
        return re.findall("storm: .*", self.build.wait().stderr)[-1]


def test_400_connections_of_a_build_keep_nobody_else_from_being_served(m):
    if systemd_version(m) < 256:
        raise Skip("this systemd counts no users: who takes each place as it becomes free leaves none (docs/security.md)")
    set_up(m)
    storm = Storm(m)
    took = []
    for number in range(3):
        begun = time.monotonic()
        log = run(m, f"other-{number}", 'ask("a")\ndone()', features=["hatch-a"])
        took.append(time.monotonic() - begun)
        check_in("asked a: 0: made by a", log, "another build's request")
    print(f"other builds took {', '.join(f'{t:.1f} s' for t in took)}; {storm.end()}", flush=True)
    m.wait_until(lambda: not m.instances(), "the end of all instances")


def test_a_storm_of_connections_leaves_the_socket_as_it_was(m):
    set_up(m)
    m.write_builder("quick", "echo done")
    cursor = m.journal_cursor()
    storm = Storm(m)
    time.sleep(3)
    print(storm.end(), flush=True)
    shown = m.run(["systemctl", "show", "--property=ActiveState,Result,NAccepted,NRefused", "hatchd.socket"]).ok().stdout
    print(" ".join(shown.split()), flush=True)
    check_in("ActiveState=active", shown, "state of hatchd.socket")
    check_in("Result=success", shown, "state of hatchd.socket")
    said = {re.sub(r"\d+", "N", line["MESSAGE"]) for line in m.journal(cursor, _PID="1") if "hatchd.socket" in line["MESSAGE"]}
    print("systemd says:", said, flush=True)
    m.wait_until(lambda: not m.instances(), "the end of all instances")
    check_in("asked a: 0: made by a", run(m, "afterwards", 'ask("a")\ndone()', features=["hatch-a"]), "what a build gets afterwards")
    check_equal(m.run(["hatch", "run", "quick"]).ok().stdout, "done\n", "what root gets afterwards")


# --- outside of the sandbox -------------------------------------------------------------------------------------------

OUTSIDE = r'''
say("uid", os.geteuid(), "groups", os.getgroups())
say("connect:", connect("/run/hatch/s/hatch.sock"))
ask("a", "--socket", "/run/hatch/s/hatch.sock")
place = sys.argv[1]
ask("a", "--socket", place + "/hatch.sock")
ask("named", "--socket", place + "/hatch.sock")
done()
'''


def test_a_build_outside_of_the_sandbox_is_no_derivation(m):
    set_up(m, "sandbox = relaxed")
    m.write_builder("named", "echo made by named", allow={"groups": ["nixbld"], "derivations": ["*"]})
    # As an administrator might show it to some container: where this build can go.
    place = m.temporary_directory() / "s"
    place.mkdir()
    m.run(["mount", "--bind", "/run/hatch/s", place]).ok()
    m.after_test(lambda: m.run(["umount", place]).ok())
    cursor = m.journal_cursor()
    log = run(m, "unsandboxed", OUTSIDE, str(place), features=["hatch-a"], __noChroot=True)
    check_in("connect: Permission denied", log, "log")
    check_in("hatch: cannot connect to /run/hatch/s/hatch.sock: Permission denied", log, "log")
    for builder in ("a", "named"):
        check_in(NOT_USABLE.format(builder), log, "log")
    for builder in ("a", "named"):
        check_in("which one asks is not known: the caller is not in a Nix build's sandbox", refusal(m, cursor, builder), f"journal of {builder}")


def test_a_build_in_a_relaxed_sandbox_is_known_like_any_other(m):
    set_up(m, "sandbox = relaxed")
    check_in("asked a: 0: made by a", run(m, "sandboxed", 'ask("a")\ndone()', features=["hatch-a"]), "log")


# --- fixed outputs: the host's network --------------------------------------------------------------------------------


def fixed(content):
    digest = hashlib.sha256(content.encode()).hexdigest()
    return {"content": content, "outputHashMode": "flat", "outputHashAlgo": "sha256", "outputHash": digest}


# A builder that listens, and reaches out itself.
LISTEN = r'''
import os, socket, sys
abstract, tcp = socket.socket(socket.AF_UNIX), socket.socket()
abstract.bind("\0hatch-test-builder")
tcp.bind(("127.0.0.1", 4711))
for server in (abstract, tcp):
    server.listen()
for family, address in ((socket.AF_UNIX, "\0hatch-test-build"), (socket.AF_INET, ("127.0.0.1", 4712))):
    try:
        socket.socket(family).connect(address)
        print("out: reached", flush=True)
    except OSError as error:
        print("out:", error.strerror, flush=True)
print("listening", flush=True)
sys.stdin.read()
import time
time.sleep(1000)
'''

REACH = r'''
mine, tcp = socket.socket(socket.AF_UNIX), socket.socket()
mine.bind("\0hatch-test-build")
tcp.bind(("127.0.0.1", 4712))
for server in (mine, tcp):
    server.listen()
running = subprocess.Popen(["/bin/hatch", "run", "--no-outputs", sys.argv[1]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
for line in running.stdout:
    say(line.strip())
    if "listening" in line:
        break
for name, family, address in (("abstract", socket.AF_UNIX, "\0hatch-test-builder"), ("tcp", socket.AF_INET, ("127.0.0.1", 4711))):
    found = connect(address, family)
    say("in:", name, found if isinstance(found, str) else "reached")
running.kill()
running.wait()
done()
'''


def reach(m, builder):
    """A fixed-output build and a builder try to reach each other: what comes (out of the builder, into the builder)."""
    log = run(m, f"reaching-{builder}", REACH, builder, features=["hatch-a"], **fixed(f"{builder} {time.time_ns()}\n"))
    m.wait_until(lambda: not m.build_processes(), "the builder's end")
    return re.findall(r"^out: (.*)", log, re.MULTILINE), re.findall(r"^in: \S+ (.*)", log, re.MULTILINE)


def test_a_fixed_output_build_and_a_builder_do_not_reach_each_other(m):
    set_up(m)
    m.write_builder("alone", LISTEN, PYTHON)
    nobody = ["Connection refused", "Connection refused"]
    check_equal(reach(m, "alone"), (nobody, nobody), "abstract socket and loopback, out of the builder and into it")


def test_a_builder_with_the_host_s_network_is_reached_by_fixed_output_builds(m):
    # That is what the key opens: docs/security.md, "Networks". Landlock keeps the builder from their abstract sockets.
    set_up(m)
    m.write_builder("open", LISTEN, PYTHON, network="host")
    out, into = reach(m, "open")
    check_equal(out, ["Operation not permitted", "reached"], "out of the builder")
    # Newer versions of Nix keep builds from abstract sockets, too.
    check_in(into, (["reached", "reached"], ["Operation not permitted", "reached"]), "into the builder")


HAND_ON = r'''
server = socket.socket(socket.AF_UNIX)
server.bind("\0hatch-test-hand")
server.listen()
server.settimeout(30)
connection, _ = server.accept()
socket.send_fds(connection, [b"x"], [os.open("/run/hatch", os.O_PATH)])
connection.recv(1)
done()
'''

TAKE = r'''
for _ in range(600):
    given = connect("\0hatch-test-hand")
    if given != "Connection refused":
        break
    time.sleep(0.05)
say("given:", given)
_, (directory,), _, _ = socket.recv_fds(given, 1, 1)
say("directory:", os.listdir(f"/proc/self/fd/{directory}"))
os.dup2(directory, 9)
os.set_inheritable(9, True)
ran = subprocess.run(["/usr/bin/hatch", "run", "--no-outputs", "--socket", "/proc/self/fd/9/hatch.sock", "a"], pass_fds=[9], capture_output=True, text=True)
say(f"asked a: {ran.returncode}: {ran.stdout}{ran.stderr}".replace("\n", " "))
given.send(b"x")
done()
'''


def test_a_build_that_is_handed_the_socket_by_another_is_still_itself(m):
    # Fixed-output builds share the abstract sockets of the host's network.
    set_up(m)
    cursor = m.journal_cursor()
    giving = m.nix_build_start(hostile(m, "giving", HAND_ON, features=["hatch-a"], **fixed(f"give {time.time_ns()}\n")))
    taking = m.nix_build(hostile(m, "taking", TAKE, **fixed(f"take {time.time_ns()}\n")))
    if "given: Operation not permitted" in taking.stderr:
        giving.end()
        raise Skip("this Nix keeps builds from abstract sockets")
    check_in("directory: ['hatch.sock']", taking.ok().stderr, "what it was given")
    check_in("asked a: 125:", taking.stderr, "log")
    check_in("-taking.drv does not require the feature hatch-a", refusal(m, cursor, "a"), "journal")
    giving.wait().ok()


# --- builds of root ---------------------------------------------------------------------------------------------------

SINGLE_USER = "build-users-group ="


def build_as_root(m, name, script, **attributes):
    """nix-build without a daemon, and without accounts for builds; the attack's words."""
    text = hostile(m, name, script, **attributes)
    argv = ["nix-build", "--no-out-link", "--expr", text]
    return m.start(argv, env={"NIX_REMOTE": "local"}).wait().ok().stderr


def test_a_build_of_uid_0_is_root_and_needs_its_own_line(m):
    set_up(m, SINGLE_USER)
    m.write_builder("crowd", "echo made by crowd", allow={**EVERYBODY, "users": [], "groups": ["nixbld", "root"]})
    cursor = m.journal_cursor()
    log = build_as_root(m, "single", 'say("uid", os.geteuid())\nask("crowd")\nask("a")\nask("b")\ndone()', features=["hatch-a"])
    check_in(NOT_USABLE.format("crowd"), log, "log")
    check_in("root, nobody and build users need their own line in allow.users", refusal(m, cursor, "crowd"), "journal of crowd")
    # Where root is named the derivation counts as ever.
    check_in("asked a: 0: made by a", log, "log")
    check_in(NOT_USABLE.format("b"), log, "log")
    check_in("-single.drv does not require the feature hatch-b", refusal(m, cursor, "b"), "journal of b")
    line = m.journal_wait(cursor, HATCH_BUILDER="a")[0]
    check_equal((line["HATCH_PEER_UID"], line["HATCH_FEATURES"]), ("0", "hatch-a"), "uid and features")


def test_a_build_of_uid_0_owns_all_that_nix_shows_it_and_one_of_a_build_user_nothing(m):
    # Nix's own matter, and why docs/security.md promises nothing there: it binds paths writable.
    set_up(m)
    look = 'say("writable:", *(os.access(path, os.W_OK) for path in ("/bin/sh", "/run/hatch", "/bin/hatch")))\ndone()'
    check_in("writable: False False False", run(m, "of-an-account", look, features=["hatch-a"]), "log")
    m.write_nix_conf(SINGLE_USER)
    check_in("writable: True True True", build_as_root(m, "of-root", look, features=["hatch-a"]), "log")


def test_a_build_of_uid_0_without_the_feature_sees_nothing(m):
    set_up(m, SINGLE_USER)
    log = build_as_root(m, "single", SEARCH)
    check_equal(re.findall(r"way: \S+ (.*)", log), ["No such file or directory"] * 4, "what it gets")


def test_a_build_of_uid_0_that_nests_namespaces_is_not_the_derivation_that_it_claims(m):
    set_up(m, SINGLE_USER)
    victim = Victim(m)
    cursor = m.journal_cursor()
    log = build_as_root(m, "forging", FORGE, features=["hatch-a"], forge=attack.FORGE, victim=attack.root_of(victim.name))
    check_in("forged: 125:", log, "log")
    check_in("the caller's user namespace is not one that Nix made for a build", refusal(m, cursor, "firmware"), "journal")
    victim.end()
