machine.start()
machine.wait_for_unit("sockets.target")

with subtest("a derivation of the predecessor is built, and not as root"):
    arguments, user = machine.succeed(f"cat {build(machine, 'old')}").strip().split("; ")
    assert arguments == "2 first second", arguments
    assert user.startswith("hatchbld"), user

with subtest("its limits are those of the definition"):
    assert '"memory":"1G"' in machine.succeed("tr -d ' \\n' </etc/hatch/builders.d/test.json")
    assert_clean(machine)
