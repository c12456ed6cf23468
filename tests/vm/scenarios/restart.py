machine.start()
machine.wait_for_unit("sockets.target")
start_building(machine, "twice", "twice")
wait_for_guests(machine, "first")

with subtest("the socket can be restarted while a builder runs"):
    for command in ["restart hatchd.socket", "daemon-reload", "daemon-reexec", "restart hatchd.socket"]:
        machine.succeed(f"systemctl {command}")
    assert machine.succeed("systemctl is-active hatchd.socket") == "active\n"
    machine.succeed("hatchctl ps | grep -w running")

with subtest("the build goes on, and asks again"):
    machine.succeed("touch /var/lib/meeting/go-first")
    wait_for_guests(machine, "second")
    machine.succeed("touch /var/lib/meeting/go-second")
    wait_until_built(machine, "twice")
    paths = machine.succeed(nix_build("twice", "-A first -A second")).split()
    assert machine.succeed(f"cat {' '.join(paths)}") == "first\nsecond\n"
    assert_clean(machine)
