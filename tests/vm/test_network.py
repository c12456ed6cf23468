"""Whom a builder reaches: "network" in all its forms.

Servers are on loopback devices and in network namespaces of this machine alone: "world" stands for the rest of the world,
and the machine's default route leads to it.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import threading

import attack
from machine import TUN, check, check_equal, check_in, need_pasta

PYTHON = "/usr/bin/python3"
WORLD, HOST = "198.51.100.1", "198.51.100.2"
WORLD6, HOST6 = "2001:db8:1::1", "2001:db8:1::2"

# Each argument is HOST PORT; what a server says, or why nobody does.
ASK = """import socket, sys
for word in sys.argv[1:]:
    host, port = word.rsplit(" ", 1)
    connection = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    connection.settimeout(20)
    try:
        connection.connect((host, int(port)))
        print(connection.recv(100).decode(), flush=True)
    except OSError as error:
        print("no:", error.strerror or error, flush=True)
"""

SERVE = """import socket, sys
servers = []
for word in sys.argv[1:]:
    host, port = word.rsplit(" ", 1)
    server = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((host, int(port)))
    server.listen()
    servers.append((server, f"{host} {port}"))
print("ready", flush=True)
import select
while True:
    for server in select.select([s for s, _ in servers], [], [])[0]:
        connection, _ = server.accept()
        connection.sendall(next(name for s, name in servers if s is server).encode())
        connection.close()
"""


def serve(m, *places, namespace=None):
    """A server that says where it stands, in this machine's network or in a namespace."""
    inside = ["ip", "netns", "exec", namespace] if namespace else []
    running = m.start([*inside, PYTHON, "-c", SERVE, *places])
    m.wait_until(lambda: b"ready" in running.stdout(), f"servers at {places}")


def make_namespace(m, name):
    if " /run/netns " not in pathlib.Path("/proc/self/mountinfo").read_text():
        # ip-netns(8) makes it a mount, and leaves it.
        m.after_test(lambda: m.run(["umount", "--lazy", "/run/netns"]).ok())
    m.run(["ip", "netns", "add", name]).ok()
    m.after_test(lambda: m.run(["ip", "netns", "delete", name]).ok())
    m.run(["ip", "-n", name, "link", "set", "lo", "up"]).ok()


def make_world(m):
    """Something to route to, with a server."""
    make_namespace(m, "world")
    m.run(["ip", "link", "add", "outside", "type", "veth", "peer", "name", "inner", "netns", "world"]).ok()
    for inside, device, address, address6 in (([], "outside", HOST, HOST6), (["-n", "world"], "inner", WORLD, WORLD6)):
        m.run(["ip", *inside, "address", "add", f"{address}/24", "dev", device]).ok()
        m.run(["ip", *inside, "address", "add", f"{address6}/64", "dev", device, "nodad"]).ok()
        m.run(["ip", *inside, "link", "set", device, "up"]).ok()
    m.run(["ip", "route", "add", "default", "via", WORLD]).ok()
    m.run(["ip", "-6", "route", "add", "default", "via", WORLD6]).ok()
    serve(m, f"{WORLD} 80", f"{WORLD6} 80", namespace="world")


def ask(m, network, *places, **definition):
    m.write_builder("ask", ASK, PYTHON, network=network, **definition)
    result = m.request("ask", places)
    check_equal(result.code, 0, f"exit code ({result.stderr!r}, {result!r})")
    return result.stdout.decode().splitlines()


def check_refused(lines, what):
    check(all(line.startswith("no:") for line in lines), f"{what}: {lines}")


LOOPBACK = ("127.0.0.1 2100", "::1 2100")


def test_without_a_network_nobody_is_reached(m):
    make_world(m)
    serve(m, *LOOPBACK)
    lines = ask(m, "none", f"{WORLD} 80", f"{WORLD6} 80", f"{HOST} 2100", *LOOPBACK)
    check_refused(lines, "without a network")


def test_with_the_network_of_the_host_everybody_is_reached(m):
    make_world(m)
    serve(m, *LOOPBACK)
    check_equal(ask(m, "host", f"{WORLD} 80", *LOOPBACK), [f"{WORLD} 80", *LOOPBACK], "answers")


# --- a namespace ------------------------------------------------------------------------------------------------------


def test_in_a_namespace_that_is_reached_which_it_reaches(m):
    make_world(m)
    make_namespace(m, "lab")
    serve(m, *LOOPBACK)
    serve(m, "127.0.0.1 2200", namespace="lab")
    lines = ask(m, {"namespace": "/run/netns/lab"}, "127.0.0.1 2200", "127.0.0.1 2100", f"{WORLD} 80")
    check_equal(lines[0], "127.0.0.1 2200", "the server in the namespace")
    check_refused(lines[1:], "from the namespace")


def test_a_builder_has_no_right_over_a_namespace_it_is_in(m):
    make_namespace(m, "lab")
    m.write_builder("change", "ip link set lo down; echo $?; cat /proc/self/status | grep CapEff", network={"namespace": "/run/netns/lab"})
    lines = m.request("change").stdout.decode().splitlines()
    check(lines[0] != "0", "it could take lo down")
    check_equal(int(lines[1].split()[1], 16), 0, "capabilities")


def test_a_namespace_has_the_resolver_that_was_made_for_it(m):
    make_namespace(m, "lab")
    place = pathlib.Path("/etc/netns/lab")
    place.mkdir(parents=True)
    m.after_test(lambda: shutil.rmtree("/etc/netns"))
    (place / "resolv.conf").write_text("nameserver 192.0.2.53\n")
    shown = attack.show(m, "/etc/resolv.conf", "resolver", network={"namespace": "/run/netns/lab"})
    check_equal(shown.stdout, b"nameserver 192.0.2.53\n", "resolv.conf")


def test_a_namespace_that_is_missing_or_none_is_refused_before_a_slot_is_taken(m):
    for name, make in (("absent", lambda path: None), ("file", lambda path: path.write_text("")), ("other", link_other)):
        path = pathlib.Path("/run/netns") / name
        path.parent.mkdir(exist_ok=True)
        make(path)
        m.write_builder("lost", "true", network={"namespace": str(path)})
        cursor = m.journal_cursor()
        result = m.request("lost")
        check_equal(result.error, "server-failed", f"error with {name}")
        line = m.journal_wait(cursor, HATCH_BUILDER="lost")[0]
        check_equal(line["HATCH_PHASE"], "policy", "phase")
        check_in(str(path), line["MESSAGE"] + line.get("HATCH_ERROR", ""), "the journal")
        checked = m.run(["hatchd", "--check"])
        check(checked.code != 0, "hatchd --check found nothing")
        check_in(str(path), checked.stdout, "hatchd --check")
        path.unlink(missing_ok=True)


def link_other(path):
    """A namespace of another kind."""
    path.symlink_to("/proc/self/ns/uts")


# --- private ----------------------------------------------------------------------------------------------------------


def test_a_private_network_reaches_the_world_and_not_the_loopback_of_the_host(m):
    need_pasta(m)
    make_world(m)
    serve(m, *LOOPBACK)
    lines = ask(m, "private", f"{WORLD} 80", f"{WORLD6} 80", *LOOPBACK, f"{HOST} 2100")
    check_equal(lines[0], f"{WORLD} 80", "the world")
    check_equal(lines[1], f"{WORLD6} 80", "the world by IPv6")
    check_refused(lines[2:], "from a private network")


def test_nobody_comes_into_a_private_network(m):
    need_pasta(m)
    make_world(m)
    script = (
        "import socket, time\n"
        "server = socket.socket(); server.bind(('0.0.0.0', 2300)); server.listen(); server.settimeout(3)\n"
        "print('ready', flush=True)\n"
        "try: server.accept(); print('SOMEBODY CAME')\n"
        "except TimeoutError: print('nobody')\n"
    )
    m.write_builder("listen", script, PYTHON, network="private")
    with m.client() as client:
        client.request("listen")
        client.receive_until("stdout")
        for host in ("127.0.0.1", HOST):
            with socket.socket() as connection:
                check(connection.connect_ex((host, 2300)) != 0, f"a connection to {host} was taken")
        last = client.receive_until("exit", "error")
        client.send({"type": "received"})
    check_equal(last[-1]["code"], 0, "exit code")


def test_a_private_network_asks_the_name_server_of_the_host(m):
    need_pasta(m)
    make_world(m)
    shown = attack.show(m, "/etc/resolv.conf", "resolver", network="private").stdout.decode()
    check_equal(shown.splitlines(), ["nameserver 169.254.53.53", "nameserver fd68:6174:6368::53"], "resolv.conf")
    resolver = pathlib.Path("/etc/resolv.conf")
    before = resolver.read_text() if resolver.exists() else None
    resolver.write_text("nameserver 127.0.0.1\n")
    m.after_test(lambda: resolver.unlink() if before is None else resolver.write_text(before))
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    m.after_test(server.close)

    def answer():
        question, sender = server.recvfrom(512)
        server.sendto(b"answer to " + question, sender)

    threading.Thread(target=answer, daemon=True).start()
    script = "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.settimeout(20); s.sendto(b'who', ('169.254.53.53', 53)); print(s.recv(100))"
    m.write_builder("names", script, PYTHON, network="private")
    result = m.request("names")
    check_equal(result.stdout, b"b'answer to who'\n", f"what came back ({result.stderr!r})")


def test_a_list_of_ports_is_all_that_is_reached(m):
    need_pasta(m)
    make_world(m)
    serve(m, *LOOPBACK, "127.0.0.1 2101", "::1 2101", f"{HOST} 2100")
    others = ["127.0.0.1 2101", "::1 2101", f"{WORLD} 80", f"{WORLD6} 80", f"{HOST} 2100"]
    for tcp, reached in (
        (["127.0.0.1:2100"], ["127.0.0.1 2100"]),
        (["[::1]:2100"], ["::1 2100"]),
        (["127.0.0.1:2100", "[::1]:2100"], list(LOOPBACK)),
    ):
        places = [*LOOPBACK, *others]
        lines = ask(m, {"private": {"tcp": tcp}}, *places)
        answered = [place for place, line in zip(places, lines) if line == place]
        check_equal(answered, reached, f"what is reached with {tcp}")
        check_refused([line for place, line in zip(places, lines) if place not in reached], f"with {tcp}")


def test_a_builder_cannot_widen_a_private_network(m):
    need_pasta(m)
    make_world(m)
    script = "ip link; ip link set dev $(ls /sys/class/net 2>/dev/null | head -1) up; ip route add default dev lo; grep CapEff /proc/self/status; ls /dev/net"
    for definition in ({}, {"uid_map": "root"}, {"allow_userns": True}):
        m.write_builder("widen", f"{script}\n{ASK_SHELL}", network={"private": {"tcp": ["127.0.0.1:2100"]}}, **definition)
        result = m.request("widen")
        check_equal(result.stdout.decode().splitlines()[-1], "unreachable", f"{definition} ({result.stderr!r})")


ASK_SHELL = (
    "for device in $(ip -o link | cut -d: -f2); do ip link set dev $device up; ip address add 198.51.100.77/24 dev $device;"
    f" ip route add default via {WORLD} dev $device; done 2>/dev/null\n"
    f"python3 -c 'import socket; s = socket.socket(); s.settimeout(2); s.connect((\"{WORLD}\", 80)); print(\"REACHED\")' 2>/dev/null || echo unreachable"
)


def pastas():
    return [process for process in attack.processes() if os.path.basename(process.command).startswith("pasta")]


def one_pasta():
    """The process, unless it has just another beside it."""
    found = pastas()
    return found[0] if len(found) == 1 else None


def test_pasta_is_the_build_user_without_a_right_and_ends_with_the_request(m):
    need_pasta(m)
    make_world(m)
    m.write_builder("wait", "echo here; sleep 60", network="private")
    with m.client() as client:
        client.request("wait")
        client.receive_until("stdout")
        pasta = m.wait_until(one_pasta, "one process of pasta")
        check(pasta.uids <= set(m.build_users().values()) and len(pasta.uids) == 1, f"pasta is uid {pasta.uids}")
        check(os.readlink(f"/proc/{pasta.pid}/ns/user") != os.readlink("/proc/self/ns/user"), "it is in our user namespace")
        check_equal(pasta.status["NoNewPrivs"], "1", "no_new_privs")
        check_equal(int(pasta.status["CapBnd"], 16) & ~((1 << 21) | (1 << 12) | (1 << 10) | (1 << 7) | (1 << 6)), 0, "its bounding set")
        check(pasta.filters >= 1, "it has no filter")
        check_in("/build-", pathlib.Path(f"/proc/{pasta.pid}/cgroup").read_text(), "its cgroup")
    m.wait_until(lambda: not pastas(), "the end of pasta")
    m.wait_until(lambda: not m.instances(), "the end of the request")


def test_pasta_ends_with_a_killed_server(m):
    need_pasta(m)
    make_world(m)
    m.write_builder("wait", "echo here; sleep 60", network="private")
    with m.client() as client:
        client.request("wait")
        client.receive_until("stdout")
        for pid in m.monitors():
            os.kill(pid, signal.SIGKILL)
        m.wait_until(lambda: not pastas(), "the end of pasta")
    m.write_builder("next", "true")
    check_equal(m.request("next").code, 0, "exit code of the next request")


def test_where_pasta_is_missing_a_builder_that_needs_it_is_refused_before_a_slot_is_taken(m):
    m.write_config(pasta="/usr/bin/no-pasta")
    m.write_builder("private", "true", network="private")
    cursor = m.journal_cursor()
    check_equal(m.request("private").error, "server-failed", "error")
    line = m.journal_wait(cursor, HATCH_BUILDER="private")[0]
    check_equal(line["HATCH_PHASE"], "policy", "phase")
    checked = m.run(["hatchd", "--check"])
    check(checked.code != 0, "hatchd --check found nothing")
    for part in ("/usr/bin/no-pasta", "install the package passt"):
        check_in(part, checked.stdout, "hatchd --check")


def test_where_a_builder_could_not_open_the_tun_device_it_is_refused_before_a_slot_is_taken(m):
    need_pasta(m)
    TUN.chmod(0o600)
    m.after_test(lambda: TUN.chmod(0o666))
    path = m.write_builder("ask", ASK, PYTHON, network="private")
    cursor = m.journal_cursor()
    check_equal(m.request("ask").error, "server-failed", "the answer")
    [line] = m.journal_wait(cursor, HATCH_BUILDER="ask")
    check_equal((line["HATCH_PHASE"], line.get("HATCH_USER")), ("policy", None), "how far it came")
    check_in(str(TUN), line["HATCH_ERROR"], "the journal")
    checked = m.run(["hatchd", "--check"])
    check(re.search(rf"{path}:\d+:\d+: .*{TUN}", checked.stdout + checked.stderr), checked.stdout + checked.stderr)


def test_a_pasta_that_others_could_have_written_is_not_run(m):
    place = m.temporary_directory(0o777) / "pasta"
    shutil.copy("/bin/true", place)
    m.write_config(pasta=str(place))
    m.write_builder("private", "true", network="private")
    check_equal(m.request("private").error, "server-failed", "error")
    check_in(str(place), m.run(["hatchd", "--check"]).stdout, "hatchd --check")


def test_a_pasta_that_does_not_do_its_work_ends_the_request_and_the_journal_says_why(m):
    program = pathlib.Path("/opt/hatch-test/pasta")
    m.after_test(program.unlink)
    m.write_config(pasta=str(program))
    m.write_builder("private", "true", network="private")
    for what, lines, said in (
        ("says nothing", "exec sleep 1000", "within 10000 ms"),
        ("fails", "echo 'no way out' >&2; exit 1", "no way out"),
    ):
        program.write_text(f"#!/bin/sh\n{lines}\n")
        program.chmod(0o755)
        cursor = m.journal_cursor()
        check_equal(m.request("private").error, "server-failed", f"the answer where pasta {what}")
        check_in(said, json.dumps(m.journal_wait(cursor, HATCH_BUILDER="private")[0]), f"the journal where pasta {what}")


# --- files ------------------------------------------------------------------------------------------------------------


def test_files_of_a_network_are_there_only_where_it_leads_to_names(m):
    need_pasta(m)
    make_world(m)
    make_namespace(m, "lab")
    resolver = pathlib.Path("/etc/resolv.conf")
    before = resolver.read_text() if resolver.exists() else None
    resolver.write_text("nameserver 192.0.2.1\n")
    m.after_test(lambda: resolver.unlink() if before is None else resolver.write_text(before))
    for network, expected in (
        ("none", False),
        ({"private": {"tcp": ["127.0.0.1:2100"]}}, False),
        ("host", True),
        ("private", True),
        ({"namespace": "/run/netns/lab"}, True),
    ):
        m.write_builder("files", "test -e /etc/resolv.conf && echo yes || echo no; grep -c dns /etc/nsswitch.conf", network=network)
        lines = m.request("files").stdout.decode().split()
        check_equal(lines, ["yes", "1"] if expected else ["no", "0"], f"resolv.conf with {network}")
