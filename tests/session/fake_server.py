"""A server that says what a test tells it to: well-formed messages, or anything else."""

import hashlib
import json
import os
import queue
import select
import socket
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from pace import PATIENCE

REQUEST_ID = "0123456789abcdef"
BLOCK = 512


def line(**members):
    """One message, without attachment."""
    return json.dumps(members, ensure_ascii=False).encode() + b"\n"


def hello(version=1, version_min=1):
    return line(type="hello", version=version, version_min=version_min, server="fake 1")


def accepted(builder="hello", **members):
    return line(type="accepted", id=REQUEST_ID, builder=builder, **members)


def started(limit=0):
    return line(type="started", time_limit_sec=limit)


def log(data, stream="stdout"):
    return line(type=stream, size=len(data)) + data


def output(data, name="out"):
    return line(type="output", name=name, size=len(data)) + data


def output_end(stream, n_entries, name="out", **wrong):
    members = {"entries": n_entries, "bytes": len(stream), "sha256": hashlib.sha256(stream).hexdigest()}
    members.update(wrong)
    return line(type="output-end", name=name, **members)


def receipt():
    return {"id": REQUEST_ID, "builder": "hello", "peer_uid": 0, "peer_gid": 0, "user": "hatchbld1", "queued_ms": 0,
            "run_ms": 1, "total_ms": 2, "stdout_bytes": 0, "stderr_bytes": 0, "outputs": 0}


def exit_(code=0, **members):
    return line(type="exit", code=code, receipt=receipt(), **members)


def error(code="refused", message="no", **members):
    return line(type="error", code=code, message=message, **members)


def tar_header(name, kind, size=0, mode=0o644, link=""):
    header = bytearray(BLOCK)

    def put(at, data):
        header[at:at + len(data)] = data
    put(0, os.fsencode(name))
    put(100, b"%06o \0" % mode)
    put(108, b"000000 \0")
    put(116, b"000000 \0")
    put(124, b"%011o " % size)
    put(136, b"%011o " % 1)
    put(148, b" " * 8)
    put(156, kind)
    put(157, os.fsencode(link))
    put(257, b"ustar\x0000")
    put(329, b"000000 \0")
    put(337, b"000000 \0")
    put(148, b"%06o\0 " % sum(header))
    return bytes(header)


def tar_file(name, data, executable=False):
    padding = b"\0" * (-len(data) % BLOCK)
    return tar_header(name, b"0", len(data), 0o755 if executable else 0o644) + data + padding


def tar_directory(name):
    return tar_header(name + "/", b"5", mode=0o755)


def tar_symlink(name, target):
    return tar_header(name, b"2", mode=0o777, link=target)


def tar(*entries):
    return b"".join(entries) + b"\0" * (2 * BLOCK)


def small_tree():
    """A stream and its number of entries."""
    return tar(tar_directory("output"), tar_file("output/a", b"first\n"), tar_file("output/b", b"#!\n", True),
               tar_symlink("output/c", "a")), 4


def success(outputs=("out",), logs=b"", body=None):
    """The messages, in order, of a request that goes well."""
    stream, entries = small_tree() if body is None else body
    messages = [hello(), accepted(), started()]
    if logs:
        messages.append(log(logs))
    for name in outputs:
        half = len(stream) // 2
        messages += [output(stream[:half], name), output(stream[half:], name), output_end(stream, entries, name)]
    messages.append(exit_())
    return messages


class Connection:
    def __init__(self, sock):
        self.sock = sock
        self.pending = b""

    def send(self, *parts):
        self.sock.sendall(b"".join(parts))

    def read_line(self):
        """The client's next message; None at its end."""
        while b"\n" not in self.pending:
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self.pending += data
        text, self.pending = self.pending.split(b"\n", 1)
        return json.loads(text)

    def read_bytes(self, size):
        while len(self.pending) < size:
            data = self.sock.recv(1 << 20)
            if not data:
                return None
            self.pending += data
        data, self.pending = self.pending[:size], self.pending[size:]
        return data

    def read_input(self):
        """What the client sends after "send": its stream, the sizes of its pieces, and its end record."""
        stream, sizes = b"", []
        while (message := self.read_line()) and message["type"] == "input":
            sizes.append(message["size"])
            stream += self.read_bytes(message["size"])
        return stream, sizes, message

    def wait_for_hang_up(self, seconds=PATIENCE):
        """Whether the client closes in time."""
        self.sock.settimeout(seconds)
        try:
            while self.sock.recv(65536):
                pass
        except socket.timeout:
            return False
        except ConnectionResetError:
            pass
        return True


class FakeServer:
    """Listens below a new directory; connection n is served by scripts[n], later ones by the last."""

    def __init__(self, *scripts):
        self.scripts = scripts
        self.requests = []   # first message of each connection
        self.received = 0    # how many clients said so
        self.connections = 0
        self.failure = None  # of a script
        self.busy = False
        self._pids = queue.Queue()

    def tell_client_pid(self, pid):
        self._pids.put(pid)

    def client_pid(self):
        """For a script: the process of the client, which may be there before the test knows its number."""
        return self._pids.get(timeout=PATIENCE)

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="hatch-fake-")
        self.path = os.path.join(self.directory.name, "hatch.sock")
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen(64)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(20)
        self.listener.close()
        self.directory.cleanup()

    def settle(self):
        """Waits until no connection is served or waits to be: what a client did is known then."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and (select.select([self.listener], [], [], 0)[0] or self.busy):
            time.sleep(0.002)

    def serve(self):
        while True:
            self.busy = False
            select.select([self.listener], [], [])
            self.busy = True
            try:
                sock, _ = self.listener.accept()
            except OSError:
                self.busy = False
                return
            script = self.scripts[min(self.connections, len(self.scripts) - 1)]
            self.connections += 1
            with sock:
                try:
                    script(self, Connection(sock))
                except (BrokenPipeError, ConnectionResetError):
                    pass
                except Exception as failure:  # told by the test that looks at it
                    self.failure = failure


def says(*messages):
    """A script: greet, read the request, say the rest, wait for "received" or the end."""
    def script(server, connection):
        connection.send(messages[0] if messages else b"")
        server.requests.append(connection.read_line())
        connection.send(*messages[1:])
        connection.sock.shutdown(socket.SHUT_WR)
        answer = connection.read_line()
        if answer is not None and answer.get("type") == "received":
            server.received += 1
    return script


def takes(*names, send=None, before=(), after=None):
    """A script: ask for these inputs, one after the other, then say the rest; they stand in server.inputs."""
    def script(server, connection):
        connection.send(hello())
        server.requests.append(connection.read_line())
        connection.send(accepted(send=list(names) if send is None else send), *before)
        server.inputs = {}
        for name in names:
            connection.send(line(type="send", name=name))
            server.inputs[name] = connection.read_input()
        connection.send(*(after or [started(), exit_()]))
        connection.sock.shutdown(socket.SHUT_WR)
        answer = connection.read_line()
        if answer is not None and answer.get("type") == "received":
            server.received += 1
    return script


def closes(_server, _connection):
    """A script: end before the greeting, as systemd does above MaxConnections."""
