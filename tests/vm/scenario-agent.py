"""Runs what run-scenarios says, inside of a machine, as root: the payload of fresh.sh.

Each connection to the socket beside it is one command: a line of JSON in, one out. "power off" is the end.
"""

import json
import os
import signal
import socketserver
import subprocess
import sys
import threading

SOCKET = "/var/lib/hatch-test/agent"


class Command(socketserver.StreamRequestHandler):
    def handle(self):
        asked = json.loads(self.rfile.readline())
        if asked["command"] == "power off":
            threading.Thread(target=self.server.shutdown).start()
            return
        # As the driver of NixOS' tests has it.
        command = ["bash", "-c", "set -euo pipefail; " + asked["command"]]
        with subprocess.Popen(command, cwd="/tmp", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              start_new_session=True) as process:
            try:
                stdout, stderr = process.communicate(timeout=asked["timeout"])
                status = process.returncode
            except subprocess.TimeoutExpired:
                # With all that it has started: that holds the pipes open.
                os.killpg(process.pid, signal.SIGKILL)
                stdout, stderr = process.communicate()
                status = 124
        answer = {"status": status, "stdout": stdout.decode(errors="replace"), "stderr": stderr.decode(errors="replace")}
        self.wfile.write(json.dumps(answer).encode() + b"\n")


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


if __name__ == "__main__":
    os.environ.update(USER="root", HOME="/root")
    os.chdir("/var/lib/hatch-test")
    # Only a whole server has the name that is waited for.
    with Server("agent.new", Command) as server:
        os.rename("agent.new", SOCKET)
        server.serve_forever()
    sys.exit(0)
