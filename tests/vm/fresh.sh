#!/bin/sh
# Make a machine that has never been booted: the cached tree of SUITE, the project as installed by meson, its
# configuration, nix.conf, and a unit that runs one payload at boot and then switches the machine off.
#
#   usage: fresh.sh SUITE ROOT SECONDS [kernel] [BUILD_DIR]
#
# ROOT is made and must not exist. BUILD_DIR is a configured and built directory of meson with the prefix /usr; without
# one the machine has no hatch. The payload is the program ROOT/opt/hatch-test/main, which the caller puts there; it runs
# as root with the console as its standard output, and is ended after SECONDS.
# Of the tree, /usr is nine tenths and stays as it is: ROOT/usr holds only what is added, and the boot scripts mount it
# as a layer above the tree's (ROOT.tree, with ROOT.work). All else is a copy on disk, as hatchd and Nix will find it on
# other machines. To remove the machine, remove these three.
# After the machine is off, ROOT/var/lib/hatch-test holds the payload's exit "status" and the "journal" as text.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
suite=${1:?usage: fresh.sh SUITE ROOT SECONDS [kernel] [BUILD_DIR]}
root=${2:?usage: fresh.sh SUITE ROOT SECONDS [kernel] [BUILD_DIR]}
seconds=${3:?usage: fresh.sh SUITE ROOT SECONDS [kernel] [BUILD_DIR]}
shift 3
kernel=
if [ "${1-}" = kernel ]; then
        kernel=$1
        shift
fi
build=${1-}

copy_tree() {
        tree=$("$here/tree.sh" "$suite" $kernel)
        mkdir "$root"
        chmod 755 "$root"
        find "$tree" -mindepth 1 -maxdepth 1 ! -name usr -exec cp -a --target-directory="$root" {} +
        # /bin, /sbin and /lib of the copy are links to these.
        mkdir -m 755 "$root/usr" "$root/usr/bin" "$root/usr/sbin" "$root/usr/lib"
        mkdir "$root.work"
        ln -s "$tree" "$root.tree"
}

install_nix_conf() {
        # No network, so no substituters. A path with the optional mark may be missing without harm to other builds.
        cat >"$root/etc/nix/nix.conf" <<'END'
sandbox = true
build-users-group = nixbld
extra-sandbox-paths = /run/hatch=/run/hatch/s? /bin/hatch=/usr/bin/hatch? /bin/sh=/usr/bin/busybox
substituters =
max-jobs = 8
END
}

install_payload_unit() {
        mkdir -p "$root/opt/hatch-test" "$root/var/lib/hatch-test" "$root/etc/systemd/system/multi-user.target.wants"
        cat >"$root/etc/systemd/system/hatch-test.service" <<END
[Unit]
Description=Payload of this test machine
After=sockets.target nix-daemon.socket network.target
SuccessAction=poweroff
FailureAction=poweroff

[Service]
Type=oneshot
# The machine boots with log-level=err to keep the console for the payload; from here on the journal has everything.
ExecStartPre=/usr/bin/systemctl log-level info
ExecStart=/opt/hatch-test/main
ExecStopPost=/bin/sh /opt/hatch-test/after
TimeoutStartSec=$seconds
TimeoutStopSec=10
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console
Environment=HOME=/root LANG=C.UTF-8
# The tests look at cgroups and start many processes; they are not what is limited here.
Delegate=yes
TasksMax=infinity
LimitNOFILE=65536
END
        ln -s ../hatch-test.service "$root/etc/systemd/system/multi-user.target.wants/hatch-test.service"
        # systemd tells how the payload ended. The status is written last: it stands for a complete record.
        cat >"$root/opt/hatch-test/after" <<'END'
systemctl log-level err
cd /var/lib/hatch-test || exit
journalctl --boot --quiet --no-pager --output=short-precise >journal
case $SERVICE_RESULT:$EXIT_CODE in
timeout:*) status=124 ;;
*:exited) status=$EXIT_STATUS ;;
*) status=125 ;;
esac
echo "$status" >status.new
mv status.new status
END
}

# What Debian does by the clock, such as apt-daily.service at six, would run beside the tests at some hours of the day.
stop_timers() {
        systemctl --root="$root" --quiet mask timers.target
}

install_project() {
        DESTDIR=$root meson install -C "$build" --no-rebuild --quiet
        install -d -m 755 "$root/etc/hatch" "$root/etc/hatch/builders.d"
        # As an administrator would enable it: systemctl finds WantedBy= in the unit itself.
        systemctl --root="$root" --quiet enable hatchd.socket
}

copy_tree
install_nix_conf
install_payload_unit
stop_timers
if [ -n "$build" ]; then
        install_project
fi
