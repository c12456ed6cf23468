start_all()
let_send(front, host)

with subtest("a build without its derivation is served where the host is told to"):
    host.succeed("touch /var/lib/meeting/go")
    assert front.succeed(f"cat {build(front, 'one')}").splitlines() == ["alone", "host"]

with subtest("the host never had the derivation"):
    host.fail("ls -d /nix/store/*-one.drv")
    assert requests_made(host) == ["one"]
    assert_clean(host)
