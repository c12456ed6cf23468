machine.start()
machine.wait_for_unit("sockets.target")
machine.succeed(
    "install -d -m 700 /etc/keys && echo 'the deploy key' >/etc/keys/deploy-key",
    # A command of the host comes first here, where it is looked for by an administrator's script.
    "install -D -t /usr/local/bin /etc/hatch-test/bin/uhubctl",
)

with subtest("a board is power-cycled and talks over its serial port"):
    machine.succeed(
        "mkdir -p /dev/serial/by-id",
        "systemd-run --unit=board --setenv=PATH=\"$PATH\" socat "
        "PTY,link=/dev/serial/by-id/usb-Board_A-if00,raw,echo=0,group=dialout,mode=660 EXEC:/etc/hatch-test/bin/board",
    )
    machine.wait_for_file("/dev/serial/by-id/usb-Board_A-if00")
    assert machine.succeed(f"cat {build(machine, 'examples/board/default')}") == "got stands for firmware\ngot run self-test\nPASS\n"
    assert_clean(machine)
    said = machine.succeed("cat /var/lib/meeting/power")
    assert said == "".join(f"--location 1-1 --ports 2 --action {action}\n" for action in ["cycle", "off"]), said

with subtest("a tool patches its own tree and reaches only the licence server"):
    machine.succeed(
        "install -D /etc/hatch-test/bin/synth /opt/fpga/bin/synth && mkdir /opt/fpga/share && echo xc7a35t >/opt/fpga/share/parts",
        "[ -c /dev/net/tun ] || modprobe tun || { mkdir -p /dev/net && mknod /dev/net/tun c 10 200; }",
        "chmod 666 /dev/net/tun",
    )
    for port, answer in [(2100, "seat granted"), (2101, "mail")]:
        machine.succeed(
            f"systemd-run --unit=port-{port} --setenv=PATH=\"$PATH\" "
            f"socat TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork 'SYSTEM:echo {answer}'"
        )
        machine.wait_for_open_port(port)
    bitstream, reports = machine.succeed(nix_build("examples/fpga/default", "-A out -A reports") + " 2> >(tee /tmp/log >&2)").split()
    said = machine.succeed("cat /tmp/log")
    assert "licence server: seat granted" in said and "reached another port" not in said, said
    assert machine.succeed(f"cat {bitstream}") == "blink for xc7a35t with xc7a35t patched \n"
    assert machine.succeed(f"cat {reports}") == "module blink(input clk, output led);\n"
    assert machine.succeed("cat /opt/fpga/share/parts") == "xc7a35t\n"

with subtest("a commit of a private repository has the hash that was expected"):
    assert machine.succeed(f"cat {build(machine, 'examples/git/default')}/README") == "the firmware's core\n"

with subtest("an image holds files of many users"):
    listed = machine.succeed(f"tar --numeric-owner -tvf {build(machine, 'examples/image/default')}/web.tar")
    owners = {line.split()[-1]: line.split()[1] for line in listed.splitlines()}
    assert (owners["./etc/passwd"], owners["./srv/www/index.html"]) == ("0/0", "33/33"), listed

with subtest("a kernel boots on the device that a builder was given"):
    machine.succeed("[ -c /dev/kvm ] || mknod /dev/kvm c 1 5", "chgrp kvm /dev/kvm && chmod 660 /dev/kvm")
    console = machine.succeed(f"cat {build(machine, 'examples/kvm/default')}/console")
    assert console == "booting: stands for a kernel with stands for an initial file system\nboot-test: passed\n", console

with subtest("nothing is left behind"):
    assert_clean(machine)
