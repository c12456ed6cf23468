"""What "seccomp" of a definition opens, and what stays closed whatever it says."""

import platform
import socket

import attack
from machine import Skip, check, check_equal, check_in

ALWAYS = {
    # E8, ES14
    "keyrings": ["keyrings_are_out_of_reach", "no_key_of_the_service_is_seen"],
    # ES3
    "most": ["large_parts_of_the_kernel_are_closed", "unusual_sockets_cannot_be_made", "set_id_files_cannot_be_made",
             "extended_attributes_cannot_be_set", "no_terminal_can_be_typed_into"],
}


def look(m, seccomp, *attacks, **definition):
    """Run attacks in a builder with this "seccomp"; what they print."""
    attack.write_program(m, "syscalls", seccomp=seccomp, **definition)
    return m.request("syscalls", attacks).stdout.decode(errors="replace").splitlines()


def expect_pass(m, seccomp, *attacks, **definition):
    check_equal(look(m, seccomp, *attacks, **definition), [f"PASS {name}" for name in attacks], f"with {seccomp}")


def status(m, seccomp):
    m.write_builder("status", "", command=["/bin/cat", "/proc/self/status"], seccomp=seccomp)
    return attack.fields(m.request("status").stdout.decode())


# ES14
def test_a_debugger_works_where_its_group_is_named_and_only_there(m):
    expect_pass(m, ["@debug"], "other_processes_can_be_looked_into")
    check(look(m, "default", "other_processes_can_be_looked_into")[0].startswith("FAIL"), "ptrace works by default")
    # ES10
    attack.write_program(m, "escape", seccomp=["@debug"])
    check_equal(m.request("escape", ["init_cannot_be_looked_into"]).stdout, b"PASS init_cannot_be_looked_into\n", "init")


# ES14
def test_io_uring_works_where_its_group_is_named_and_only_there(m):
    expect_pass(m, ["@io-uring"], "queues_of_calls_can_be_made")
    check(look(m, "default", "queues_of_calls_can_be_made")[0].startswith("FAIL"), "io_uring works by default")


# ES3
def test_calls_of_32_bits_are_made_where_their_group_is_named(m):
    if platform.machine() != "x86_64":
        raise Skip("32-bit calls of x86 are for x86-64")
    expect_pass(m, ["@i386"], "calls_of_i386_are_made")


# ES14: a group opens nothing else
def test_groups_leave_everything_else_closed(m):
    for group in ("@debug", "@io-uring", "@userns", "@i386"):
        lines = look(m, [group], *ALWAYS["keyrings"], *ALWAYS["most"][1:])
        check_equal([line for line in lines if not line.startswith("PASS ")], [], f"with {group}")


# E8: a key that one request leaves would be there for the next one of the same user
def test_keys_of_a_builder_without_a_filter_end_with_the_request(m):
    attack.write_small_pool(m)
    expect_pass(m, "none", "a_key_is_left")
    expect_pass(m, "none", "no_key_of_another_request_is_found", "no_key_of_the_service_is_seen")


def test_keyrings_stay_closed_with_every_group(m):
    expect_pass(m, ["@userns", "@i386", "@debug", "@io-uring"], *ALWAYS["keyrings"])


def test_none_loads_no_filter(m):
    usual, none = status(m, "default"), status(m, "none")
    check_equal(int(none["Seccomp_filters"]), int(usual["Seccomp_filters"]) - 2, "filters")
    check_equal(none["NoNewPrivs"], "1", "no_new_privs")


# ES7: only Landlock holds them where the network is the host's
def test_abstract_sockets_of_the_host_are_out_of_reach(m):
    name = "abstract_sockets_of_the_host_are_out_of_reach"
    with socket.socket(socket.AF_UNIX) as listener:
        # As long as the client's structure, whose rest is zero.
        listener.bind("\0hatch-attack-abstract".ljust(108, "\0"))
        listener.listen()
        expect_pass(m, "default", name, network="host")
        expect_pass(m, "none", name, network="host")


def test_an_unknown_group_is_told_with_its_place(m):
    m.write_builder("wrong", "true", seccomp=["@debug", "@everything"])
    checked = m.run(["hatchd", "--check"])
    check_in("wrong.json:", checked.stdout, "the file")
    check_in("\"@everything\" is no group of system calls", checked.stdout, "what is wrong")
    check(checked.code != 0, "the definition passes")
