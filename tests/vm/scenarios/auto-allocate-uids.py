machine.start()
machine.wait_for_unit("sockets.target")

with subtest("a build with a uid of its own gets its tree through the hatch"):
    uid, user = machine.succeed(f"cat {build(machine, 'one')}").split()
    assert 872415232 <= int(uid) <= 880803839, uid
    assert user.startswith("hatchbld"), user
    assert_clean(machine)
