machine.start()
machine.wait_for_unit("sockets.target")

for name, kill in [("interrupted", "INT"), ("killed", "KILL")]:
    with subtest(f"nothing goes on when nix-build is {name}"):
        start_building(machine, name, name)
        wait_for_guests(machine, name)
        machine.wait_until_succeeds("pgrep -G hatchbld sleep")
        machine.succeed(f"systemctl kill --signal={kill} {name}")
        machine.wait_until_fails("pgrep -G hatchbld", timeout=40)
        assert_clean(machine)

with subtest("the journal says that the client went away"):
    machine.wait_until_succeeds("test $(journalctl HATCH_BUILDER=slow HATCH_VERDICT=cancelled --output=cat | wc -l) = 2", timeout=30)

with subtest("no output came to be"):
    machine.fail("ls /nix/store | grep -E -- '-(interrupted|killed)$'")
