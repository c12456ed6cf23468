start_all()
hosts = [east, west]
let_send(front, *hosts)


def guests():
    """Names of the builders that run, host by host."""
    return [node.succeed("ls -I go /var/lib/meeting").split() for node in hosts]


def all_made():
    return sorted(requests_made(east) + requests_made(west))


with subtest("the machine itself has no hatch"):
    front.fail("test -e /run/hatch")

with subtest("a build lands on a host that has the feature"):
    for node in hosts:
        node.succeed("touch /var/lib/meeting/go")
    said, host = front.succeed(f"cat {build(front, 'one')}").splitlines()
    assert said == "alone" and host in ["east", "west"], (said, host)
    assert all_made() == ["one"], all_made()
    for node in hosts:
        node.succeed("rm /var/lib/meeting/go")

with subtest("a diamond of four is spread over two hosts"):
    start_building(front, "diamond", "diamond")
    for _ in range(300):
        if any(guests()):
            break
        front.succeed("sleep 0.2")
    assert sorted(guests()) == [[], ["top"]], guests()
    [first] = [node for node, names in zip(hosts, guests()) if names]
    first.succeed("touch /var/lib/meeting/go")
    first.wait_until_succeeds("test ! -e /var/lib/meeting/top")
    first.succeed("rm /var/lib/meeting/go")
    for node in hosts:
        node.wait_until_succeeds("ls -I go /var/lib/meeting | grep -E 'left|right'")
    assert sorted(guests()) == [["left"], ["right"]], guests()
    for node in hosts:
        node.succeed("touch /var/lib/meeting/go")
    wait_until_built(front, "diamond")
    assert all_made() == ["bottom", "left", "one", "right", "top"], all_made()

with subtest("what was made on one host was read on the other"):
    left, right = front.succeed(f"head -n 1 {build(front, 'diamond')}").split()
    top = [front.succeed(f"head -n 1 {path}").strip() for path in [left, right]]
    assert top[0] == top[1] and top[0].endswith("-top"), top

with subtest("a build without its derivation sees nothing where that is to hide it"):
    # Root may say which machines are used, and how.
    write = "sed 's/sender@/trusted@/; /west/d' /etc/nix/machines >/root/machines"
    front.succeed(write)
    said = front.fail("NIX_REMOTE=daemon nix-build --no-out-link --builders @/root/machines /etc/hatch-test/two.nix 2>&1")
    assert "No such file or directory" in said, said
    assert "two" not in all_made()

for node in hosts:
    assert_clean(node)
