machine.start()
machine.wait_for_unit("sockets.target")

with subtest("what the module wrote is right"):
    machine.succeed("hatchd --check")
    machine.succeed("systemd-analyze verify --man=no hatchd.socket hatchd@x.service hatch.slice 2>&1 | (! grep hatch)")

with subtest("a sandboxed build gets its tree through the hatch"):
    path = build(machine, "greeting")
    assert machine.succeed(f"cat {path}/greeting") == "hello a 'quoted' world\n"
    assert machine.succeed(f"cat {path}/self") == f"{path}\n"

with subtest("its configuration is of links into the store, which a group may write to"):
    files = machine.succeed("readlink -f /etc/hatch/hook.json /etc/hatch/builders.d/greet.json /etc/nix/nix.conf").split()
    assert all(file.startswith("/nix/store/") for file in files), files
    assert machine.succeed("stat --format=%a:%U:%G /nix/store") == "1775:root:nixbld\n"

with subtest("the builder ran as a build user"):
    assert machine.succeed(f"cat {path}/user").startswith("hatchbld")

with subtest("the output refers to itself"):
    assert path in machine.succeed(f"nix-store --query --references {path}")

with subtest("the journal knows the derivation"):
    machine.wait_until_succeeds("journalctl HATCH_BUILDER=greet HATCH_EXIT=0 HATCH_DELIVERED=yes | grep -- -greeting.drv", timeout=30)

with subtest("only root sees the socket's directory"):
    assert machine.succeed("stat -c %a:%U /run/hatch") == "700:root\n"
    machine.fail("runuser -u nobody -- hatch ping")

with subtest("nothing is left behind"):
    assert_clean(machine)
