machine.start()
machine.wait_for_unit("sockets.target")


def properties(unit):
    shown = machine.succeed(f"systemctl show {unit}")
    return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)


with subtest("systemd's score of the service is 6.5 or better"):
    said = machine.succeed("systemd-analyze security --no-pager hatchd@.service | grep 'exposure level'")
    assert float(said.split(":")[1].split()[0]) <= 6.5, said

with subtest("systemd finds no fault in what the module adds"):
    machine.succeed("systemd-analyze verify --man=no hatchd.socket hatchd@x.service hatch.slice 2>&1 | (! grep hatch)")

with subtest("what the module adds takes nothing from the units of the package"):
    service = properties("hatchd@x.service")
    assert service["NoNewPrivileges"] == "yes", service["NoNewPrivileges"]
    assert service["Slice"] == "hatch.slice", service["Slice"]
    assert len(service["CapabilityBoundingSet"].split()) == 8, service["CapabilityBoundingSet"]
    assert service["DropInPaths"].endswith("/hatchd@.service.d/overrides.conf"), service["DropInPaths"]
    socket = properties("hatchd.socket")
    assert (socket["MaxConnections"], socket["Accept"], socket["SocketMode"]) == ("100", "yes", "0666"), socket
    assert socket["MaxConnectionsPerSource"] == "50", socket
    assert properties("hatch.slice")["CPUWeight"] == "50"

with subtest("the unit tells a switch to another system to leave running requests alone"):
    shown = machine.succeed("systemctl cat hatchd@.service")
    assert "X-RestartIfChanged=false" in shown and "X-StopIfChanged=false" in shown, shown

with subtest("it serves, with the credential"):
    assert machine.succeed(f"cat {build(machine, 'greeting')}") == "hello\n"
    assert_clean(machine)
