"""Who asks: nobody passes for another. The ids in comments are rows of the list of attacks."""

import os
import pathlib
import pwd
import socket
import struct

import attack
import machine
from machine import SOCKET, check, check_equal, check_in

WHO = 'echo "$HATCH_PEER_UID $HATCH_DERIVATION"'


def uid_of(user):
    return pwd.getpwnam(user).pw_uid


def ask(client, builder, **members):
    with client:
        return client.run(builder, **members)


def everybody():
    return {"uid_ranges": [{"first": 1, "last": 4294967293}]}


# ID1: through the sandbox's user namespace the kernel still tells the host's numbers
def test_a_real_build_is_seen_as_the_build_user_of_nix_and_its_derivation(m):
    m.write_builder("who", f"{WHO}; echo > $out", allow={"groups": ["nixbld"]})
    cursor = m.journal_cursor()
    built = m.nix_build(m.hatch_derivation("who", "who")).ok()
    line = m.journal_wait(cursor, HATCH_BUILDER="who")[0]
    nixbld = m.run(["getent", "group", "nixbld"]).ok().stdout.strip().split(":")
    members = {str(uid_of(name)) for name in nixbld[3].split(",")}
    check_in(line["HATCH_PEER_UID"], members, "uids of nixbld")
    check_equal(line["HATCH_PEER_GID"], nixbld[2], "HATCH_PEER_GID")
    drv = pathlib.Path(m.run(["nix-store", "--query", "--deriver", built.lines()[-1]]).ok().stdout.strip()).name
    check_equal(line["HATCH_DRV"], drv, "HATCH_DRV")
    check_in(f"{line['HATCH_PEER_UID']} {drv}", built.stderr, "what the builder was told")


# ID2: the mode of the directory is one lock, the policy another
def test_a_local_user_is_refused_by_the_directory_and_by_the_policy(m):
    m.write_builder("who", WHO, allow={"groups": ["nixbld"]})
    connect = f"import socket; socket.socket(socket.AF_UNIX).connect('{SOCKET}')"
    check_in("PermissionError", m.run(["python3", "-c", connect], user="alice").stderr, "what alice gets")
    result = ask(m.client("alice"), "who")
    check_equal((result.types[0], result.error), ("error", "refused"), "answer to alice")


# ID3: root connects, becomes somebody else, and hands the connection on
def test_identity_is_that_of_the_moment_of_connecting(m):
    m.write_builder("who", WHO, allow={"users": ["root", "alice"]})
    result = ask(m.client("alice"), "who")  # spoken by root, connected by alice
    check_equal(result.stdout.split()[0], str(uid_of("alice")).encode(), "uid")
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.connect(SOCKET)
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(uid_of("alice"), uid_of("alice"), uid_of("alice"))
            socket.send_fds(theirs, [b"x"], [connection.fileno()])
            theirs.recv(1)
            status = 0
        finally:
            os._exit(status)
    _, (fd,), _, _ = socket.recv_fds(ours, 1, 1)
    result = ask(machine.Client(socket.socket(fileno=fd)), "who")
    ours.send(b"x")
    check_equal(os.waitpid(pid, 0)[1], 0, "status of the process that connected")
    check_equal(result.stdout.split()[0], b"0", "uid")


def as_other(uid, gid=65534, groups=()):
    """A connection made by a process of any number, without an account."""
    keeper = machine.Keeper(SOCKET, uid, gid, list(groups))
    return machine.Client(keeper.connection(), keeper)


# ID4, ID8: a range that covers everybody still means none of these
def test_root_nobody_and_build_users_need_their_own_line(m):
    m.write_builder("who", WHO, allow={"uid_ranges": [{"first": 1, "last": 4294967293}], "groups": ["nogroup"]})
    m.write_builder("named", WHO, allow={"users": ["root", "hatchbld1"]})
    build_gid = int(m.run(["getent", "group", "hatchbld"]).ok().stdout.split(":")[2])
    strangers = [
        (0, 0, ()),
        (65534, 65534, ()),
        (uid_of("hatchbld1"), build_gid, ()),
        (12345, build_gid, ()),
        (12345, 12345, (build_gid,)),
    ]
    for uid, gid, groups in strangers:
        result = ask(as_other(uid, gid, groups), "who")
        check_equal((result.types[0], result.error), ("error", "refused"), f"answer to uid {uid} gid {gid} {groups}")
    check_equal(ask(as_other(12345), "who").stdout, b"12345 \n", "answer to an ordinary uid")
    check_equal(ask(as_other(0, 0), "named").stdout, b"0 \n", "answer to root by its own line")


# ID4: in a user namespace without a map a process believes to be 65534; the server knows better
def test_a_peer_in_an_unmapped_user_namespace_is_who_it_is_outside(m):
    m.write_builder("who", f"{WHO}; exit 3", allow=everybody())
    script = (
        "import os, socket, sys\n"
        "assert os.getuid() == 65534, os.getuid()\n"
        "c = socket.socket(socket.AF_UNIX); c.connect(sys.argv[1]); f = c.makefile('rb')\n"
        'f.readline(); c.sendall(b\'{"type":"request","version":1,"builder":"who"}\\n\')\n'
        "print(c.makefile('rb').read().decode(errors='replace'))\n"
    )
    program = m.temporary_directory() / "ask.py"
    program.write_text(script)
    # /run/hatch is root's: the socket is bound to where alice may go, as a sandbox is shown it.
    place = m.temporary_directory() / "s"
    place.mkdir()
    m.run(["mount", "--bind", os.path.dirname(SOCKET), place]).ok()
    m.after_test(lambda: m.run(["umount", place]).ok())
    asked = m.run(["unshare", "--user", "python3", program, place / "hatch.sock"], user="alice").ok()
    check_in(f"{uid_of('alice')} ", asked.stdout, "answer to alice")
    cursor = m.journal_cursor()
    refused = m.run(["unshare", "--user", "python3", program, place / "hatch.sock"])
    check_in("refused", refused.stdout, "answer to root")
    check_equal(m.journal_wait(cursor, HATCH_BUILDER="who")[0]["HATCH_PEER_UID"], "0", "uid in the journal")


# ID6: the peer is gone, and its number may be another's, before the server has started
def test_a_peer_that_is_gone_is_still_the_one_that_connected(m):
    m.write_builder("who", WHO, allow=everybody())
    m.write_builder("derivations", WHO, allow={**everybody(), "derivations": ["*"]})
    for builder, expected in (("who", b"1000 \n"), ("derivations", b"")):
        client = as_other(1000)
        client._keeper.close()
        client._keeper = None
        result = ask(client, builder)
        check_equal(result.stdout, expected, f"answer of {builder} to a peer that is gone")
        if not expected:
            check_equal(result.error, "refused", "error")


# ID7
def test_a_peer_with_hundreds_of_groups_is_known_by_all_of_them(m):
    gid = int(m.run(["getent", "group", "audio"]).ok().stdout.split(":")[2])
    m.write_builder("who", WHO, allow={"groups": ["audio"]})
    many = list(range(50000, 50300))
    check_equal(ask(as_other(12345, groups=many), "who").error, "refused", "answer without the group")
    for groups in (many + [gid], [gid] + many, list(range(100000, 100000 + 65000)) + [gid]):
        check_equal(ask(as_other(12345, groups=groups), "who").code, 0, f"exit with {len(groups)} groups")


# ID5: the socket's class fixes what can be reached, and what cannot looks like what is not there
def test_a_builder_of_another_socket_looks_like_none(m):
    m.write_builder("who", WHO, allow={"users": ["root"], "sockets": ["other"]})
    other, unknown = m.request("who"), m.request("whu")
    check_equal((other.error, unknown.error), ("refused", "refused"), "errors")
    for told in (other.last, unknown.last):
        told["message"] = told["message"].replace("who", "whu")
        told["hint"] = told["hint"].rsplit(" ", 1)[0]  # it ends in the name of this request
    check_equal(other.last, unknown.last, "answer to a builder of another socket")


# ID6: a request cannot say who it is
def test_credentials_in_a_message_are_not_believed(m):
    m.write_builder("who", WHO, allow=everybody())
    with m.client("alice") as client:
        client.receive_type("hello")
        lie = [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("iII", os.getpid(), 4711, 4711))]
        line = b'{"type":"request","version":1,"builder":"who","peer_uid":4711,"uid":4711,"user":"root"}\n'
        client.sock.sendmsg([line], lie)
        result = machine.hatchwire.Result(client.receive_until("exit", "error"))
        client.send({"type": "received"})
    check(result.stdout.startswith(f"{uid_of('alice')} ".encode()), f"the builder was told {result.stdout!r}")
