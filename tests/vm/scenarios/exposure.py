machine.start()
machine.wait_for_unit("sockets.target")

with subtest("a build that requires no feature of a builder sees nothing"):
    assert machine.succeed(f"cat {build(machine, 'blind')}") == "\n"

with subtest("an ordinary user cannot show the hatch to a build"):
    options = "--option extra-sandbox-paths '/bin/hatch /run/hatch=/run/hatch/s' --check"
    assert machine.succeed(f"cat {build(machine, 'blind', options)}") == "\n"

with subtest("a build that requires the feature sees client and socket"):
    assert machine.succeed(f"cat {build(machine, 'asking')}") == "client socket\n"
    assert machine.succeed(f"cat {build(machine, 'greeting')}") == "hello\n"

with subtest("the feature of one builder does not open the other"):
    said = refused(machine, "thief")
    assert "there is no builder `sign` that you may use" in said, said

with subtest("Nix says what a machine without the builder lacks"):
    assert "hatch-missing" in refused(machine, "other")

with subtest("nobody else can ask"):
    machine.fail("runuser -u alice -- hatch list")
    assert_clean(machine)
