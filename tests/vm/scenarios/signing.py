machine.start()
machine.wait_for_unit("sockets.target")
machine.succeed("install -d -m 700 /etc/keys && openssl genrsa -out /etc/keys/release.pem 2048")
machine.succeed("openssl rsa -in /etc/keys/release.pem -pubout -out /tmp/release.pub")

with subtest("the example signs with the key of the host"):
    program, signature = machine.succeed(nix_build("signed", "-A out -A signature")).split()
    assert machine.succeed(f"cat {program}") == "app 1.0\n"
    machine.succeed(f"openssl dgst -sha256 -verify /tmp/release.pub -signature {signature} {program}")

with subtest("what was just built went along"):
    assert len(journal(machine, "HATCH_BUILDER=sign", "HATCH_EXIT=0")) == 1
