import json

machine.start()
machine.wait_for_unit("sockets.target")
names = ["one", "two", "three"]
for name in names:
    start_building(machine, name, name)


def states():
    return sorted(request["state"] for request in json.loads(machine.succeed("hatchctl ps --json"))["requests"])


with subtest("as many builders run as there are seats, and the next one waits"):
    machine.wait_until_succeeds("hatchctl ps | grep -w waiting && test $(ls /var/lib/meeting | wc -l) = 2")
    machine.succeed("sleep 1")
    assert states() == ["running", "running", "waiting"], states()
    assert machine.succeed("ls /var/lib/meeting | wc -l") == "2\n"

with subtest("a seat that becomes free is taken"):
    machine.succeed("touch /var/lib/meeting/go")
    for name in names:
        wait_until_built(machine, name)
    assert_clean(machine)
