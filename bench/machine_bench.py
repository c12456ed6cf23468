"""The part of the bench that needs a service manager. bench/run sets the two constants and passes this to a machine."""

import os
import pathlib
import socket
import statistics
import time

RUNS = 30
SECTION = "request"

UNITS = pathlib.Path("/etc/systemd/system")
SHIPPED = pathlib.Path("/usr/lib/systemd/system/hatchd@.service")
BARE = """[Unit]
CollectMode=inactive-or-failed
[Service]
Type=oneshot
StandardInput=null
ExecStart={command}
"""

def exchange(path, words, expected=b""):
    """Milliseconds from connecting to the last word of the answer, which must hold what is expected."""
    begun = time.perf_counter()
    answer = b""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        s.sendall(words)
        while not expected or expected not in answer:
            piece = s.recv(65536)
            answer += piece
            if not piece:
                break
        took = (time.perf_counter() - begun) * 1000
    assert expected in answer, answer
    return took


def print_ratio(name, ours, theirs, note=""):
    a, b = statistics.median(ours), statistics.median(theirs)
    print(f"{name:58s} {a / b:6.2f}   ({a:.2f} ms over {b:.2f} ms, {len(ours)} runs){note}")


class Services:
    """Sockets with a service each, removed at the end."""

    def __init__(self, m):
        self.m, self.names = m, []
        os.makedirs("/run/hatch-bench", exist_ok=True)

    def add(self, name, service):
        (UNITS / f"bench-{name}@.service").write_text(service)
        (UNITS / f"bench-{name}.socket").write_text(
            f"[Socket]\nListenStream=/run/hatch-bench/{name}\nAccept=yes\nFileDescriptorName=hatch\n"
            "TriggerLimitIntervalSec=0\n")
        self.names.append(name)

    def start(self):
        self.m.run(["systemctl", "daemon-reload"]).ok()
        self.m.run(["systemctl", "start", *(f"bench-{n}.socket" for n in self.names)]).ok()

    def stop(self):
        self.m.run(["systemctl", "stop", *(f"bench-{n}.socket" for n in self.names)]).ok()
        for name in self.names:
            (UNITS / f"bench-{name}@.service").unlink()
            (UNITS / f"bench-{name}.socket").unlink()
            os.unlink(f"/run/hatch-bench/{name}")
        self.m.run(["systemctl", "daemon-reload"]).ok()


def measure(paths, rounds):
    """Interleaved, so that drift of the machine hits all alike."""
    times = {name: [] for name in paths}
    for _ in range(rounds):
        for name, what in paths.items():
            times[name].append(exchange(*what))
            time.sleep(0.01)
    return times


def bench_request(m):
    m.write_builder("empty", "", command=["/bin/true"], allow={"users": ["root"]})
    services = Services(m)
    # systemd's own floor: an instance whose program is as small as can be, and answers with one word.
    services.add("echo", BARE.format(command="/usr/bin/busybox echo pong").replace("StandardInput=null", "StandardOutput=socket"))
    services.start()
    server = "/run/hatch/s/hatch.sock"
    times = measure({
        "echo": ("/run/hatch-bench/echo", b"ping\n", b"pong"),
        "ping": (server, b'{"type":"ping","version":1}\n', b'"pong"'),
        "request": (server, b'{"type":"request","version":1,"builder":"empty"}\n', b'"code":0'),
    }, RUNS)
    services.stop()
    print_ratio("an empty request / a bare Accept=yes unit", times["request"], times["echo"])
    print_ratio("hatch ping / a bare Accept=yes unit", times["ping"], times["echo"])


def exposure(m, unit):
    lines = m.run(["systemd-analyze", "security", "--no-pager", unit]).stdout.splitlines()
    words = [line for line in lines if "Overall exposure" in line]
    return words[0].split(": ")[1].split()[0] if words else "unknown"


def bench_units(m):
    services = Services(m)
    shipped = SHIPPED.read_text()
    ping = b'{"type":"ping","version":1}\n'
    services.add("bare", BARE.format(command="/usr/sbin/hatchd"))
    services.add("shipped", shipped)
    # What each directive takes, those that are shipped and those that are not: see the comments in the unit.
    single = [line for line in shipped.splitlines() if line.split("=")[0] in (
        "Slice", "Delegate", "KeyringMode", "NoNewPrivileges", "SystemCallArchitectures", "SystemCallFilter",
        "RestrictAddressFamilies", "RestrictRealtime", "CapabilityBoundingSet")]
    absent = ["ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes", "PrivateDevices=yes", "PrivateNetwork=yes",
              "ProtectKernelTunables=yes", "ProtectKernelModules=yes", "ProtectKernelLogs=yes", "ProtectProc=invisible",
              "PrivateIPC=yes"]
    for i, line in enumerate(single):
        services.add(f"without{i}", shipped.replace(line + "\n", ""))
    for i, line in enumerate(absent):
        services.add(f"with{i}", shipped + line + "\n")
    services.add("all", shipped + "\n".join(absent) + "\nReadWritePaths=/var/lib/hatch\n")
    services.start()
    paths = {name: (f"/run/hatch-bench/{name}", ping, b'"pong"') for name in services.names}
    times = measure(paths, RUNS)
    print_ratio("start of an instance: the shipped unit / a bare unit", times["shipped"], times["bare"],
                f", exposure {exposure(m, 'bench-shipped@.service')} over {exposure(m, 'bench-bare@.service')}")
    for i, line in enumerate(single):
        print_ratio(f"  with / without {line.split('=')[0]}=", times["shipped"], times[f"without{i}"],
                    f", exposure without {exposure(m, f'bench-without{i}@.service')}")
    for i, line in enumerate(absent):
        print_ratio(f"  with {line}, which is not shipped", times[f"with{i}"], times["shipped"],
                    f", exposure {exposure(m, f'bench-with{i}@.service')}")
    print_ratio("  with all that is not shipped", times["all"], times["shipped"],
                f", exposure {exposure(m, 'bench-all@.service')}")
    services.stop()


def test_bench(m):
    {"request": bench_request, "units": bench_units}[SECTION](m)
