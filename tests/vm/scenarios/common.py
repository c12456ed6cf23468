def nix_build(name, *options):
    """The command by which an ordinary user has /etc/hatch-test/NAME.nix built by the daemon."""
    words = ["runuser -u alice -- env NIX_REMOTE=daemon HOME=/home/alice nix-build --no-out-link", *options]
    return " ".join([*words, f"/etc/hatch-test/{name}.nix"])


def build(node, name, *options):
    """The path of the output."""
    return node.succeed(nix_build(name, *options)).split()[-1]


def refused(node, name, *options):
    """What is said where the build must fail."""
    return node.fail(nix_build(name, *options) + " 2>&1")


def start_building(node, unit, name):
    """The same in the background; `systemctl` knows how it goes, by the name of the unit."""
    node.succeed(f"systemd-run --unit={unit} --setenv=PATH=\"$PATH\" --remain-after-exit {nix_build(name)}")


def wait_until_built(node, unit):
    node.wait_until_succeeds(f"systemctl show --property=SubState {unit} | grep -x SubState=exited")


def assert_clean(node):
    """No request is left, and nothing of any."""
    node.wait_until_fails("systemctl list-units --all --plain --no-legend 'hatchd@*' | grep .", timeout=30)
    node.succeed('test -z "$(ls -A /var/lib/hatch/scratch)"')
    node.fail("systemctl --failed --no-legend | grep hatchd")


def wait_for_guests(node, *names):
    """Until builders of these names have come to /var/lib/meeting."""
    for name in names:
        node.wait_for_file(f"/var/lib/meeting/{name}")


def let_send(front, *hosts):
    """Let root of front log in there, and have the hosts believe each other's outputs."""
    for node in [front, *hosts]:
        node.wait_for_unit("sockets.target")
    front.succeed("mkdir -p -m 700 /root/.ssh && ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519")
    login = front.succeed("cat /root/.ssh/id_ed25519.pub").strip()
    public = front.succeed("cd /root && nix-store --generate-binary-cache-key hosts secret public && cat public").strip()
    secret = front.succeed("cat /root/secret").strip()
    for node in hosts:
        for user in ["sender", "trusted"]:
            node.succeed(
                f"install -d -m 700 -o {user} /home/{user}/.ssh",
                f"echo '{login}' >/home/{user}/.ssh/authorized_keys",
            )
        node.succeed(
            "install -d -m 700 /etc/hatch-keys",
            f"echo '{secret}' >/etc/hatch-keys/secret",
            "echo 'secret-key-files = /etc/hatch-keys/secret' >/etc/hatch-keys/nix.conf",
            f"echo 'trusted-public-keys = {public}' >>/etc/hatch-keys/nix.conf",
            "systemctl restart nix-daemon",
        )
        node.wait_for_open_port(22)


def journal(node, *fields):
    """What the journal says of requests with these fields. It is told of one after its answer, and before it is gone."""
    assert_clean(node)
    return node.succeed("journalctl --sync && journalctl --quiet --output=cat " + " ".join(fields)).splitlines()


def requests_made(node):
    """Names of the derivations whose requests a host has served."""
    said = journal(node, "HATCH_BUILDER=synth", "HATCH_DELIVERED=yes")
    return [line.split(".drv")[0].split("-")[-1] for line in said]
