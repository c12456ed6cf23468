start_all()
hosts = [strict, lenient]
for node in [front, *hosts]:
    node.wait_for_unit("sockets.target")

# Who may log in where, and whose outputs are believed.
front.succeed("mkdir -p -m 700 /root/.ssh && ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519")
login = front.succeed("cat /root/.ssh/id_ed25519.pub").strip()
public = front.succeed("cd /root && nix-store --generate-binary-cache-key hosts secret public && cat public").strip()
secret = front.succeed("cat /root/secret").strip()
for node in hosts:
    for user in ["sender", "trusted"]:
        node.succeed(f"install -d -m 700 -o {user} /home/{user}/.ssh", f"echo '{login}' >/home/{user}/.ssh/authorized_keys")
    node.succeed(
        "install -d -m 700 /etc/hatch-keys",
        f"echo '{secret}' >/etc/hatch-keys/secret",
        f"printf 'secret-key-files = /etc/hatch-keys/secret\\ntrusted-public-keys = {public}\\n' >/etc/hatch-keys/nix.conf",
        "systemctl restart nix-daemon",
    )
    node.wait_for_open_port(22)


def guests(node):
    return node.succeed("ls -I go /var/lib/meeting").split()


def made(node):
    """Names of the derivations whose requests this host has served."""
    said = node.succeed("journalctl --quiet HATCH_BUILDER=synth HATCH_DELIVERED=yes --output=cat")
    return [line.split(".drv")[0].split("-")[-1] for line in said.splitlines()]


with subtest("the machine itself has no hatch"):
    front.fail("test -e /run/hatch")

with subtest("a build lands on a host that has the feature"):
    for node in hosts:
        node.succeed("touch /var/lib/meeting/go")
    said, host = front.succeed(f"cat {build(front, 'one')}").splitlines()
    assert said == "alone" and host in ["strict", "lenient"], (said, host)
    assert sorted(made(strict) + made(lenient)) == ["one"]

with subtest("a diamond of four is spread over two hosts"):
    for node in hosts:
        node.succeed("rm /var/lib/meeting/go")
    start_building(front, "diamond", "diamond")
    for _ in range(100):
        if guests(strict) + guests(lenient):
            break
        front.succeed("sleep 0.2")
    assert guests(strict) + guests(lenient) == ["top"]
    [first] = [node for node in hosts if guests(node)]
    first.succeed("touch /var/lib/meeting/go")
    first.wait_until_succeeds("test ! -e /var/lib/meeting/top")
    first.succeed("rm /var/lib/meeting/go")
    for node in hosts:
        node.wait_until_succeeds("ls -I go /var/lib/meeting | grep -E 'left|right'", timeout=60)
    assert sorted(guests(strict) + guests(lenient)) == ["left", "right"]
    for node in hosts:
        node.succeed("touch /var/lib/meeting/go")
    wait_until_built(front, "diamond")
    assert sorted(made(strict) + made(lenient)) == ["bottom", "left", "one", "right", "top"]

with subtest("what was made on one host was read on the other"):
    left, right = front.succeed(f"head -n 1 {build(front, 'diamond')}").split()
    top = [front.succeed(f"head -n 1 {path}").strip() for path in [left, right]]
    assert top[0] == top[1] and top[0].endswith("-top"), top

system = front.succeed("nix-instantiate --eval --expr builtins.currentSystem").strip().strip('"')


def sent_by_a_trusted_user(host):
    """The command that has root, whom the host trusts then, send a build to it."""
    builders = f"ssh-ng://trusted@{host} {system} /root/.ssh/id_ed25519 1 1 hatch-synth"
    return f"NIX_REMOTE=daemon nix-build --no-out-link --builders '{builders}' /etc/hatch-test/two.nix 2>&1"


with subtest("a build without its derivation sees nothing where that is to hide it"):
    said = front.fail(sent_by_a_trusted_user("strict"))
    assert "No such file or directory" in said, said
    assert "two" not in made(strict)

with subtest("it is served where that is to expose it"):
    front.succeed(sent_by_a_trusted_user("lenient"))
    assert made(lenient).count("two") == 1, made(lenient)

for node in hosts:
    assert_clean(node)
