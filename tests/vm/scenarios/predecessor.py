machine.start()
machine.wait_for_unit("sockets.target")

with subtest("what the module made of the predecessor's options is right"):
    machine.succeed("hatchd --check")

with subtest("a derivation of the predecessor is built"):
    path = build(machine, "migrated")
    machine.succeed(f"test -f {path}/foo")

with subtest("its builder is no root any more"):
    assert machine.succeed(f"cat {path}/uid") != "0\n"
    assert_clean(machine)
