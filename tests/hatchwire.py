"""A client of the wire (docs/protocol.md) written from the document alone, for tests: it can say
anything, also what no honest client would."""

import base64
import hashlib
import io
import json
import socket
import tarfile

from pace import PATIENCE


class Ended(Exception):
    """The stream ended where a message was expected."""


class Connection:
    def __init__(self, path=None, sock=None, timeout=PATIENCE):
        self.sock = sock
        if sock is None:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(timeout)
            self.sock.connect(path)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def close(self):
        self.sock.close()

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def send_raw(self, data):
        self.sock.sendall(data)

    def send(self, message):
        self.send_raw(json.dumps(message).encode() + b"\n")

    def _fill(self):
        data = self.sock.recv(1 << 20)
        if not data:
            raise Ended(self.buffer)
        self.buffer += data

    def _take(self, size):
        while len(self.buffer) < size:
            self._fill()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def receive(self):
        """One message; its attachment stands in "attachment"."""
        while b"\n" not in self.buffer:
            self._fill()
        line = self.buffer.split(b"\n", 1)[0] + b"\n"
        message = json.loads(line)
        # Whole or not at all: who waits for a short time, and again, finds it as it was.
        whole = len(line) + message.get("size", 0)
        while len(self.buffer) < whole:
            self._fill()
        if "size" in message:
            message["attachment"] = self.buffer[len(line):whole]
        self.buffer = self.buffer[whole:]
        return message

    def receive_until(self, *types):
        """Messages up to the first of one of these types, in order."""
        messages = [self.receive()]
        while messages[-1]["type"] not in types:
            messages.append(self.receive())
        return messages

    def send_input(self, name, stream, entries=None, piece=1 << 16, **wrong):
        """One input in pieces, and its end record; entries are counted unless given."""
        for at in range(0, len(stream), piece):
            part = stream[at:at + piece]
            self.send({"type": "input", "name": name, "size": len(part)})
            self.send_raw(part)
        if entries is None:
            entries = len(tarfile.open(fileobj=io.BytesIO(stream)).getmembers())
        self.send({"type": "input-end", "name": name, "entries": entries, "bytes": len(stream),
                   "sha256": hashlib.sha256(stream).hexdigest(), **wrong})


def text(value):
    """An argument as the wire wants it."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(value).decode()}
    return value


class Result:
    """What one request came to."""

    def __init__(self, messages):
        self.messages = messages
        self.last = messages[-1]
        self.types = [m["type"] for m in messages]
        self.stdout = b"".join(m["attachment"] for m in messages if m["type"] == "stdout" and "attachment" in m)
        self.stderr = b"".join(m["attachment"] for m in messages if m["type"] == "stderr" and "attachment" in m)
        self.code = self.last.get("code") if self.last["type"] == "exit" else None
        self.error = self.last.get("code") if self.last["type"] == "error" else None

    def output(self, name):
        """The tar stream of one output, checked against its end record."""
        data = b"".join(m["attachment"] for m in self.messages if m["type"] == "output" and m["name"] == name)
        ends = [m for m in self.messages if m["type"] == "output-end" and m["name"] == name]
        assert len(ends) == 1, f"{len(ends)} ends of output {name}"
        assert ends[0]["bytes"] == len(data), ends[0]
        assert ends[0]["sha256"] == hashlib.sha256(data).hexdigest(), ends[0]
        return data

    def __repr__(self):
        return f"<{self.types} {self.last} stdout={self.stdout[:200]!r} stderr={self.stderr[:400]!r}>"


def request(path, builder, args=(), timeout=2 * PATIENCE, received=True, trees=None, **members):
    """One whole exchange: greet, ask, send the trees (tar streams by name) that are wanted, read to the end."""
    if trees is not None:
        members.setdefault("inputs", dict.fromkeys(trees))
    with Connection(path, timeout=timeout) as connection:
        hello = connection.receive()
        assert hello["type"] == "hello", hello
        connection.send({"type": "request", "version": 1, "builder": builder,
                         "args": [text(a) for a in args], **members})
        messages = connection.receive_until("send", "exit", "error")
        while messages[-1]["type"] == "send":
            try:
                connection.send_input(messages[-1]["name"], trees[messages[-1]["name"]])
            except OSError:
                pass  # the server has refused it before the last byte, and says so
            messages += connection.receive_until("send", "exit", "error")
        result = Result(messages)
        if received and result.code == 0:
            connection.send({"type": "received"})
        return result
