"""Runs the tests of whole machines. It runs inside of one, as root, as the payload of fresh.sh.

    machine.py FILE...      FILE holds functions  def test_some_behaviour(m)

Each test prints one line: "ok NAME", "FAIL NAME: why" or "SKIP NAME: why", where NAME is the function's without "test_".
A test fails by an exception; check(), check_equal() and check_in() raise one that says what was expected. After each
test the machine must be as before it: no more processes, mounts, cgroups, locks, files or failed units (class Snapshot).
"m" is the Machine below, the same one for all tests; builders that a test writes are removed after it.

A test that can only be made on one kind of machine says so with @own_kernel or @container, and is left out on the other:
between the two, every test is run.

Exit status: 0 if no test failed, 1 otherwise.
"""

import contextlib
import glob
import importlib.util
import json
import os
import pathlib
import pwd
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter

import hatchwire
import pace

TEST_SECONDS = int(os.environ.get("HATCH_TEST_SECONDS", "180"))
# An emulated processor is about twenty times slower; limits on time are multiplied by it.
SLOW = int(os.environ.get("HATCH_TEST_SLOW", "1"))

# "nspawn": a container on somebody else's kernel, without most controllers of cgroup v2; "qemu": a kernel of its own.
KIND = os.environ.get("HATCH_MACHINE_KIND", "nspawn")
# Only tests that say on which kind of machine they are made.
ONLY_KIND = os.environ.get("HATCH_MACHINE_ONLY_KIND") == "yes"

PATIENCE = pace.PATIENCE * SLOW

CONFIG = pathlib.Path("/etc/hatch")
NIX_CONF = pathlib.Path("/etc/nix/nix.conf")
STATE = pathlib.Path("/var/lib/hatch")
SOCKET = "/run/hatch/s/hatch.sock"
BIN = pathlib.Path("/opt/hatch-test/bin")
TUN = pathlib.Path("/dev/net/tun")


class Failure(Exception):
    """The machine did something else than the test expects."""


class Skip(Exception):
    """The test cannot be made on this machine; says why."""


def check(condition, why):
    if not condition:
        raise Failure(why)


def check_equal(got, expected, what="value"):
    if got != expected:
        raise Failure(f"{what} is {got!r}, expected {expected!r}")


def check_in(part, whole, what="text"):
    if part not in whole:
        raise Failure(f"{what} lacks {part!r}: {shorten(whole)}")


def shorten(text, limit=1500):
    text = text if isinstance(text, str) else repr(text)
    return text if len(text) <= limit else text[:200] + " ... " + text[-(limit - 200) :]


def own_kernel(function):
    """A test for machines that are not containers: it needs all controllers, loop devices or real device nodes."""
    function.kind = "qemu"
    return function


def everywhere(function):
    """A test that is also made where only those for that kind of machine are."""
    function.kind = KIND
    return function


def container(function):
    """A test for containers, because of what they lack."""
    function.kind = "nspawn"
    return function


class Result:
    """How a command ended. code: exit status, or -N after signal N. Output as bytes and as text."""

    def __init__(self, code, stdout, stderr):
        self.code = code
        self.stdout_bytes, self.stderr_bytes = stdout, stderr
        self.stdout = stdout.decode(errors="replace")
        self.stderr = stderr.decode(errors="replace")

    def ok(self):
        """The result itself, if the command ended with 0."""
        check(self.code == 0, f"exit status {self.code}: {shorten(self.stderr + self.stdout)}")
        return self

    def lines(self):
        return self.stdout.splitlines()


def need_pasta(m):
    """What a private network needs: pasta, and the device as udev makes it."""
    if not shutil.which("pasta"):
        raise Skip("there is no pasta here")
    if not TUN.exists():
        m.run(["modprobe", "tun"])
        TUN.parent.mkdir(exist_ok=True)
        if not TUN.exists():
            m.run(["mknod", TUN, "c", "10", "200"])
    try:
        with open(TUN, "rb"):
            pass
    except OSError as error:
        raise Skip(f"no {TUN}: {error}") from None
    TUN.chmod(0o666)


class Running:
    """A command that runs while the test goes on. Its whole process group is killed at the end of the test."""

    def __init__(self, argv, user=None, env=None, stdin=b""):
        # Files, not pipes: a pipe that nobody reads would stop the command.
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self._in = tempfile.TemporaryFile()
        self._in.write(stdin)
        self._in.seek(0)
        self.process = subprocess.Popen(
            as_user(user) + [os.fspath(a) for a in argv],
            stdin=self._in,
            stdout=self._out,
            stderr=self._err,
            env=environment(user, env),
            cwd="/",
            start_new_session=True,
        )

    @property
    def pid(self):
        return self.process.pid

    def stdout(self):
        return self._read(self._out)

    def stderr(self):
        return self._read(self._err)

    @staticmethod
    def _read(file):
        size = os.fstat(file.fileno()).st_size
        return os.pread(file.fileno(), size, 0)

    def signal(self, number):
        os.killpg(self.pid, number)

    def wait(self):
        try:
            code = self.process.wait(4 * PATIENCE)
        except subprocess.TimeoutExpired:
            self.end()
            raise Failure(f"still running after {4 * PATIENCE} s: {shlex.join(map(str, self.process.args))}") from None
        return Result(code, self.stdout(), self.stderr())

    def end(self):
        if self.process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()


def as_user(user):
    """The words before a command that make it run as user, with the groups of that account and without a PAM session."""
    if user is None:
        return []
    return ["setpriv", f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--init-groups", "--"]


def environment(user, extra):
    home = pwd.getpwnam(user).pw_dir if user else "/root"
    base = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": home,
        "USER": user or "root",
        "LANG": "C.UTF-8",
        "NIX_REMOTE": "daemon",
    }
    base.update(extra or {})
    return base


class Client(hatchwire.Connection):
    """A client of the socket that speaks docs/protocol.md by hand; it can stand for another user."""

    def __init__(self, connection, keeper=None):
        connection.settimeout(PATIENCE)
        super().__init__(sock=connection)
        self._keeper = keeper

    def receive_type(self, kind):
        """The next message, which must be of this type."""
        message = self.receive()
        check_equal(message["type"], kind, f"the type of {shorten(repr(message))}")
        return message

    def request(self, builder, args=(), **members):
        """Greeting and request; the answer is still to be read."""
        self.receive_type("hello")
        args = [hatchwire.text(a) for a in args]
        self.send({"type": "request", "version": 1, "builder": builder, "args": args, **members})

    def run(self, builder, args=(), **members):
        """A whole request, to its end, as a hatchwire.Result."""
        self.request(builder, args, **members)
        result = hatchwire.Result(self.receive_until("exit", "error"))
        if result.code == 0:
            self.send({"type": "received"})
        return result

    def close(self):
        super().close()
        if self._keeper:
            self._keeper.close()
            self._keeper = None


class Keeper:
    """A process of another user that has connected and stays: the server may look at its peer while the test talks."""

    def __init__(self, path, uid, gid, groups):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._line = ours
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                # Nothing of the others: each must see the end of its own line.
                os.closerange(3, theirs.fileno())
                os.closerange(theirs.fileno() + 1, 4096)
                os.chdir(os.path.dirname(path))  # that user may not walk there; a sandbox shows the directory
                os.setgroups(groups)
                os.setresgid(gid, gid, gid)
                os.setresuid(uid, uid, uid)
                connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                error = connection.connect_ex(os.path.basename(path))
                socket.send_fds(theirs, [error.to_bytes(4, "little")], [connection.fileno()])
                connection.close()
                theirs.recv(1)  # ends when the test closes its end
                status = 0
            finally:
                os._exit(status)
        theirs.close()

    def connection(self):
        data, fds, _, _ = socket.recv_fds(self._line, 4, 1)
        if len(data) != 4:
            self.close()
            raise Failure("the connecting process ended early")
        connection = socket.socket(fileno=fds[0])
        error = int.from_bytes(data, "little")
        if error:
            connection.close()
            self.close()
            raise OSError(error, os.strerror(error))
        return connection

    def close(self):
        self._line.close()
        os.waitpid(self.pid, 0)


class Gate:
    """A file that a script waits for. wait: the line of sh that does so; a builder needs the directory in its view."""

    def __init__(self, directory):
        self.directory = directory
        self.path = directory / "open"
        self.wait = f"until [ -e {self.path} ]; do sleep 0.02; done"
        self.view = {"read": [str(directory)]}

    def open(self):
        self.path.touch()


class Snapshot:
    """What the machine holds at one moment, as far as a request could leave something of it behind."""

    # These come and go by themselves.
    OTHERS = ("systemd", "(sd-", "agetty", "dbus-daemon", "kworker", "(udev-worker)", "nix-daemon")

    def __init__(self):
        self.kinds = {
            "process": self._processes(),
            "mount": Counter(self._mounts()),
            "cgroup": Counter(self._cgroups()),
            "lock": Counter(self._locks()),
            "file": Counter(self._files()),
            "failed unit": Counter(units("--state=failed")),
            "instance": Counter(units("hatchd@*")),
            "System V object": Counter(self._ipc()),
        }

    def more_than(self, before):
        """What is here now and was not before, as a list of sentences."""
        found = []
        for kind, now in self.kinds.items():
            found += [f"{kind} {item}" for item in (now - before.kinds[kind]).elements()]
        return found

    @staticmethod
    def _processes():
        found = Counter()
        own = own_processes()
        for status in glob.glob("/proc/[0-9]*/status"):
            with contextlib.suppress(OSError):
                fields = dict(line.split(":\t", 1) for line in pathlib.Path(status).read_text().splitlines() if ":\t" in line)
                if "VmSize" not in fields and fields["State"][0] != "Z":
                    continue  # a kernel thread
                pid = int(fields["Pid"])
                if pid in own or fields["Name"].startswith(Snapshot.OTHERS):
                    continue
                command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found[f"{fields['Name']} of uid {fields['Uid'].split()[0]} ({command.strip()[:80]})"] += 1
        return found

    @staticmethod
    def _mounts():
        for line in mounts_of_the_host():
            words = line.split()
            yield f"{words[4]} ({words[words.index('-') + 1]})"

    @staticmethod
    def _cgroups():
        for directory, names, _ in os.walk("/sys/fs/cgroup"):
            # systemd keeps the slice itself once it has made it.
            if "hatch" in directory and "hatch-test.service" not in directory and not directory.endswith("/hatch.slice"):
                yield directory

    @staticmethod
    def _locks():
        inodes = {}
        for path in below(STATE):
            with contextlib.suppress(OSError):
                inodes[os.lstat(path).st_ino] = path
        for line in pathlib.Path("/proc/locks").read_text().splitlines():
            inode = int(line.split()[-3].split(":")[-1])
            if inode in inodes:
                yield inodes[inode]

    @staticmethod
    def _files():
        # Lock files stay, and the directory of what was kept; they are made once and hold nothing.
        lasting = (str(STATE / "pool"), str(STATE / "pool/resource"))
        made_once = (str(STATE / "failed"), str(STATE / "connections.lock"))
        for place in (STATE, pathlib.Path("/run/hatch"), pathlib.Path("/dev/shm"), pathlib.Path("/dev/mqueue")):
            for path in below(place):
                if os.path.dirname(path) not in lasting and path not in made_once:
                    yield path

    @staticmethod
    def _ipc():
        for kind in ("shm", "sem", "msg"):
            path = pathlib.Path("/proc/sysvipc") / kind
            if path.exists():
                yield from (f"{kind} {line.split()[1]}" for line in path.read_text().splitlines()[1:])


def mounts_of_the_host():
    """The lines of mountinfo, without what comes and goes by itself."""
    lines = pathlib.Path("/proc/1/mountinfo").read_text().splitlines()
    return [line for line in lines if not line.split()[4].startswith(("/run/credentials", "/run/user", "/proc/sys/fs/binfmt_misc"))]


def below(place):
    """All paths below a directory that may change meanwhile: the server may still be cleaning up."""
    for directory, directories, files in os.walk(place):
        for name in directories + files:
            yield os.path.join(directory, name)


def is_alive(pid):
    """Whether there is a process that may still do something: not one that only waits for its parent to hear of its end."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def own_processes():
    """This program and what it has started."""
    parents = {}
    for path in glob.glob("/proc/[0-9]*/stat"):
        with contextlib.suppress(OSError):
            data = pathlib.Path(path).read_text()
            parents[int(data.split(" ", 1)[0])] = int(data.rsplit(")", 1)[1].split()[1])
    own = {os.getpid(), os.getppid()} - {1}
    grown = True
    while grown:
        children = {pid for pid, parent in parents.items() if parent in own} - own
        grown = bool(children)
        own |= children
    return own


def units(*words):
    listed = subprocess.run(
        ["systemctl", "list-units", "--all", "--plain", "--no-legend", "--no-pager", *words],
        check=True,
        capture_output=True,
        text=True,
    )
    return [line.split()[0] for line in listed.stdout.splitlines() if line.strip()]


class Machine:
    """What a test can do with the machine it runs on."""

    def __init__(self):
        self._started = []
        self._undo = []
        self.slow = SLOW

    # --- commands ---------------------------------------------------------------------------------------------------

    def start(self, argv, user=None, env=None, stdin=b""):
        """Start a command as user (None: root) and return it Running."""
        running = Running(argv, user, env, stdin)
        self._started.append(running)
        return running

    def run(self, argv, user=None, env=None, stdin=b""):
        """Run a command to its end and return its Result, whatever its exit status is."""
        return self.start(argv, user, env, stdin).wait()

    def wait_until(self, condition, what, seconds=PATIENCE):
        """Wait until condition() holds, and return what it returned."""
        try:
            return pace.wait_until(condition, what, seconds)
        except pace.Late as why:
            raise Failure(str(why)) from None

    def in_time(self, seconds, attempt):
        """Whether attempt(), which returns how long it took, keeps within seconds: for what is promised, see pace.py."""
        try:
            pace.in_time(seconds, attempt)
        except pace.Late as why:
            raise Failure(str(why)) from None

    def killed_in_time(self, seconds, attempt):
        """The same, for an attempt after which all processes of build users are to die."""

        def dying():
            attempt()
            begun = time.monotonic()
            self.wait_until(lambda: not self.build_processes(), "the death of what the builder started")
            return time.monotonic() - begun

        self.in_time(seconds, dying)

    # --- Nix --------------------------------------------------------------------------------------------------------

    def nix_build(self, expression, *options, user="alice"):
        """nix-build of an expression or a file by an ordinary user, through nix-daemon and with the sandbox on.

        The Result has the output paths in lines(), and what was built and logged in stderr.
        """
        return self.nix_build_start(expression, *options, user=user).wait()

    def nix_build_start(self, expression, *options, user="alice"):
        return self.start(["nix-build", "--no-out-link", *self._expression(expression), *options], user=user)

    def nix_delete(self, *paths):
        """Take paths out of the store, as soon as no worker of nix-daemon keeps them for a client that has gone."""
        self.wait_until(lambda: self.run(["nix-store", "--delete", *paths]).code == 0, f"the removal of {paths}")

    def nix_instantiate(self, expression, user="alice"):
        """The path of the .drv."""
        return self.run(["nix-instantiate", *self._expression(expression)], user=user).ok().lines()[-1]

    def write_nix_conf(self, *lines, without=()):
        """Add lines to nix.conf, in place of those that set one of the names in without. Undone after the test."""
        before = NIX_CONF.read_text()
        kept = [line for line in before.splitlines() if line.split(" = ")[0] not in without]
        self._undo.append(lambda: (NIX_CONF.write_text(before), self._restart_nix()))
        NIX_CONF.write_text("\n".join([*kept, *lines, ""]))
        self._restart_nix()

    def _restart_nix(self):
        # More often than systemd takes for an accident.
        self.run(["systemctl", "reset-failed", "nix-daemon.service", "nix-daemon.socket"])
        self.run(["systemctl", "restart", "nix-daemon"]).ok()

    @staticmethod
    def _expression(expression):
        return [expression] if isinstance(expression, pathlib.PurePath) else ["--expr", expression]

    def derivation(self, name, builder="/bin/sh", args=(), outputs=("out",), **attributes):
        """The text of a derivation. Each call of the same test file gives a new one: nothing is built already."""
        attributes.setdefault("unique", f"{time.time_ns()}")
        members = {"name": name, "builder": builder, "args": list(args), "outputs": list(outputs), **attributes}
        body = " ".join(f"{key} = {nix(value)};" for key, value in members.items())
        return f"derivation {{ system = builtins.currentSystem; {body} }}"

    def hatch_derivation(self, name, builder, args=(), options=(), **attributes):
        """The text of a derivation whose tree comes through the hatch."""
        return self.derivation(name, "/bin/hatch", ["run", *options, builder, "--", *args], **attributes)

    # --- hatch ------------------------------------------------------------------------------------------------------

    def write_builder(self, name, script, interpreter="/bin/sh", **definition):
        """Make a builder of a script. definition: keys of hatch-builder(5), which win over what is set here.

        Everybody may use it; arguments are free. Removed after the test. Returns the path of the definition.
        """
        program = BIN / name
        BIN.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!{interpreter}\n{script}")
        program.chmod(0o755)
        whole = {
            "description": f"test builder {name}",
            "command": [str(program)],
            "allow": {"uid_ranges": [{"first": 1, "last": 4294967293}], "users": ["root"]},
            "args": {"max": 64, "dash": True},
            "limits": {"time_sec": 60 * SLOW},
        }
        whole.update(definition)
        view = dict(whole.get("view", {}))
        view["read"] = [str(BIN), *view.get("read", [])]
        whole["view"] = view
        self._undo.append(lambda: program.unlink(missing_ok=True))
        return self.write_definition(name, json.dumps(whole, indent=2) + "\n")

    def write_definition(self, name, content):
        """Write builders.d/NAME.json as it stands. Removed after the test."""
        path = CONFIG / "builders.d" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        path.chmod(0o644)
        self._undo.append(lambda: path.unlink(missing_ok=True))
        return path

    def write_config(self, **members):
        """Write hatchd.json. Removed after the test."""
        path = CONFIG / "hatchd.json"
        path.write_text(json.dumps(members, indent=2) + "\n")
        path.chmod(0o644)
        self._undo.append(lambda: path.unlink(missing_ok=True))
        return path

    def request(self, builder, args=(), user=None, **members):
        """One whole exchange by root or by user, as a hatchwire.Result."""
        with self.client(user) as client:
            return client.run(builder, args, **members)

    def client(self, user=None, groups=None, path=SOCKET):
        """Connect to the server as root, or as user (a name; groups: ids instead of those of the account)."""
        if user is None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.connect(path)
            return Client(connection)
        account = pwd.getpwnam(user)
        groups = os.getgrouplist(user, account.pw_gid) if groups is None else groups
        keeper = Keeper(path, account.pw_uid, account.pw_gid, groups)
        return Client(keeper.connection(), keeper)

    def gate(self):
        """Where a builder waits until the test lets it go on."""
        return Gate(self.temporary_directory())

    def stop_socket(self):
        """Take the server away. Started again after the test."""
        self._undo.append(lambda: self.run(["systemctl", "start", "hatchd.socket"]).ok())
        self.run(["systemctl", "stop", "hatchd.socket"]).ok()

    def mend_socket(self):
        """Have the socket listen again, and return whether it did not. Tests restart it more often than an administrator
        would: the count of systemd's start limit begins anew."""
        if not pathlib.Path("/usr/lib/systemd/system/hatchd.socket").exists():
            return False
        # Refused where systemd has forgotten the unit, and its count with it.
        self.run(["systemctl", "reset-failed", "hatchd.socket"])
        if self.run(["systemctl", "is-active", "--quiet", "hatchd.socket"]).code == 0:
            return False
        self.run(["systemctl", "start", "hatchd.socket"]).ok()
        return True

    def state_of(self, unit, name="ActiveState"):
        """One property of a unit."""
        return self.run(["systemctl", "show", f"--property={name}", "--value", unit]).ok().stdout.strip()

    def instances(self):
        return units("hatchd@*")

    def build_users(self):
        """The accounts of the pool: name to uid."""
        return {p.pw_name: p.pw_uid for p in pwd.getpwall() if p.pw_name.startswith("hatchbld")}

    def build_processes(self):
        """The processes that run as a build user and are alive: pid to uid."""
        users = set(self.build_users().values())
        found = {}
        for path in glob.glob("/proc/[0-9]*"):
            with contextlib.suppress(OSError):
                # Not the owner of the directory: a process that is not dumpable looks like root's there.
                status = dict(line.split(":", 1) for line in pathlib.Path(path, "status").read_text().splitlines())
                uid = int(status["Uid"].split()[0])
                if uid in users and status["State"].split()[0] not in "ZX":
                    found[int(os.path.basename(path))] = uid
        return found

    def monitors(self):
        """The main processes of all instances: pid to unit."""
        found = {}
        for unit in self.instances():
            shown = self.run(["systemctl", "show", "--property=MainPID", "--value", unit]).ok().stdout.strip()
            if shown not in ("", "0"):
                found[int(shown)] = unit
        return found

    # --- what there is ----------------------------------------------------------------------------------------------

    def journal_cursor(self):
        """A place in the journal, for journal(after=...). All that was said before is before it, however late it is written."""
        self.run(["journalctl", "--sync"]).ok()
        shown = self.run(["journalctl", "--quiet", "--lines=0", "--show-cursor"]).ok().stdout
        return shown.split("-- cursor: ", 1)[1].strip()

    def journal(self, after=None, **fields):
        """Lines of the journal that have these fields, oldest first, each a dictionary of fields."""
        # Not --after-cursor: journalctl of systemd 252 then leaves out the first line that matches.
        argv = ["journalctl", "--quiet", "--all", "--output=json"]
        argv += [f"--cursor={after}"] if after else []
        argv += [f"{name}={value}" for name, value in fields.items()]
        found = [json.loads(line) for line in self.run(argv).ok().lines()]
        return [line for line in found if line["__CURSOR"] != after]

    def journal_wait(self, after=None, count=1, **fields):
        """The same, as soon as there are count such lines: what is logged takes a moment to be readable."""
        what = f"{count} journal lines with {fields}"

        def lines():
            found = self.journal(after, **fields)
            return found if len(found) >= count else None

        return self.wait_until(lines, what)

    def snapshot(self):
        return Snapshot()

    def left_behind(self, before, seconds=PATIENCE):
        """What has come since the snapshot and does not go away, as a list of sentences; empty is good."""
        deadline = time.monotonic() + seconds
        while True:
            found = Snapshot().more_than(before)
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(0.05)

    # --- files ------------------------------------------------------------------------------------------------------

    def temporary_directory(self, mode=0o755):
        """A directory on disk, removed after the test."""
        path = pathlib.Path(tempfile.mkdtemp(dir="/var/tmp", prefix="hatch-test-"))
        path.chmod(mode)
        self._undo.append(lambda: shutil.rmtree(path))
        return path

    def after_test(self, function):
        """Call function() after this test, whether it failed or not. The last one given is called first."""
        self._undo.append(function)

    def clean_up(self):
        """End what the test has started and undo what it has changed. Every step is tried; the first error is raised."""
        steps = [running.end for running in self._started] + self._undo[::-1]
        self._started, self._undo = [], []
        with contextlib.ExitStack() as stack:
            for step in reversed(steps):
                stack.callback(step)


def nix(value):
    """A Python value as a Nix expression. Strings are quoted: no interpolation, any text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (list, tuple)):
        return "[ " + " ".join(nix(item) for item in value) + " ]"
    if isinstance(value, dict):
        return "{ " + " ".join(f"{key} = {nix(item)};" for key, item in value.items()) + " }"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${")
    return f'"{escaped}"'


# --- the runner -----------------------------------------------------------------------------------------------------


def load_tests(files):
    for number, file in enumerate(files):
        spec = importlib.util.spec_from_file_location(f"tests_{number}", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found = [(name[5:], value) for name, value in vars(module).items() if name.startswith("test_") and callable(value)]
        check(found, f"{file} holds no test")
        usual = None if ONLY_KIND else KIND
        yield from ((name, function) for name, function in found if getattr(function, "kind", usual) == KIND)


def on_alarm(_signal, _frame):
    raise Failure("still not done when its time was up")


def run_test(machine, function):
    """Raises what the test raised, or Failure if it left something behind."""
    before = Snapshot()
    # A test that needs longer says so: test_some_behaviour.seconds = 200
    signal.alarm(getattr(function, "seconds", TEST_SECONDS) * SLOW)
    try:
        try:
            function(machine)
        finally:
            machine.clean_up()
        left = machine.left_behind(before)
    finally:
        signal.alarm(0)
        stopped = machine.mend_socket()
    check(not stopped, "hatchd.socket was not active after the test")
    check(not left, "left behind: " + ", ".join(left[:8]) + (f" and {len(left) - 8} more" if len(left) > 8 else ""))


def report(machine, name, function):
    """Runs one test, prints its line, and returns whether it failed."""
    try:
        run_test(machine, function)
    except Skip as why:
        print(f"SKIP {name}: {why}", flush=True)
        return False
    except Failure as why:
        where = traceback.extract_tb(why.__traceback__)
        line = next((frame.lineno for frame in reversed(where) if frame.name == function.__name__), 0)
        print(f"FAIL {name}: {one_line(why)}" + (f" (line {line})" if line else ""), flush=True)
        return True
    except Exception as why:
        print(f"FAIL {name}: {type(why).__name__}: {one_line(why)}", flush=True)
        traceback.print_exc(file=sys.stdout)
        return True
    print(f"ok {name}", flush=True)
    return False


def one_line(why):
    return str(why).replace("\n", "\\n")


def main(files):
    os.umask(0o022)
    signal.signal(signal.SIGALRM, on_alarm)
    machine = Machine()
    failed, seconds = [], Counter()
    for name, function in load_tests(files):
        begun = time.monotonic()
        if report(machine, name, function):
            failed.append(name)
        seconds[name] = time.monotonic() - begun
    print("slowest:", ", ".join(f"{name} {taken:.1f} s" for name, taken in seconds.most_common(5)))
    return 1 if failed else 0


if __name__ == "__main__":
    # Tests import this module by name; they must get this copy of it.
    sys.modules["machine"] = sys.modules["__main__"]
    sys.exit(main(sys.argv[1:]))
