machine.start()
machine.wait_for_unit("sockets.target")

with subtest("every build sees the hatch"):
    assert machine.succeed(f"cat {build(machine, 'looking')}") == "client socket\n"

with subtest("only a build that requires its feature may use a builder"):
    assert machine.succeed(f"cat {build(machine, 'greeting')}") == "hello\n"
    said = refused(machine, "thief")
    assert "there is no builder `greet` that you may use" in said, said

with subtest("a server that is not there fails no build"):
    assert_clean(machine)
    machine.succeed("systemctl stop hatchd.socket", "rm -r /run/hatch/s")
    assert machine.succeed(f"cat {build(machine, 'later')}") == "client\n"
