import re

machine.start()
machine.wait_for_unit("sockets.target")
names = ["one", "two", "three"]
for name in names:
    start_building(machine, name, name)
wait_for_guests(machine, *names)
machine.succeed("touch /var/lib/meeting/go")
for name in names:
    wait_until_built(machine, name)

said = [machine.succeed(f"cat {build(machine, name)}") for name in names]
uids = [int(re.findall(r"^uid=(\d+)", line)[0]) for line in said]
groups = {uid: re.findall(r"\d+", re.sub(r"\(.*?\)", "", line).split("groups=")[1]) for uid, line in zip(uids, said)}
pool = machine.succeed("getent group hatchbld").split(":")

with subtest("builders that run at once are different users of the pool, and none is root"):
    assert sorted(uids) == [31000, 31001, 31002], said
    members = pool[3].strip().split(",")
    assert sorted(int(machine.succeed(f"id -u {member}")) for member in members) == sorted(uids), members

with subtest("their group is that of the pool"):
    for line in said:
        assert re.findall(r"gid=(\d+)", line) == [pool[2]], line

with subtest("only the user who is in another group is in that too"):
    assert groups == {31000: [pool[2]], 31001: [pool[2], "1234"], 31002: [pool[2]]}, groups
    assert_clean(machine)
