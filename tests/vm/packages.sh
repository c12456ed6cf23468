#!/bin/sh
# Install the Debian packages that the named groups need; does nothing, quickly, if all are there.
#
#   usage: packages.sh GROUP...
#
#   build     to compile hatch
#   machine   to make Debian trees and boot them in a container
#   emulator  to boot them under QEMU
#   check     what else test.sh calls
#   bench     what bench/run compares with
set -eu

wanted=
for group in "$@"; do
        case $group in
        build)
                wanted="$wanted gcc libc6-dev meson ninja-build pkg-config systemd libsystemd-dev libarchive-dev"
                wanted="$wanted libjansson-dev libcjson-dev libseccomp-dev nettle-dev"
                ;;
        machine) wanted="$wanted mmdebstrap debian-archive-keyring systemd-container mount util-linux iproute2" ;;
        emulator) wanted="$wanted qemu-system-x86 e2fsprogs" ;;
        check) wanted="$wanted python3 clang-format clang-tidy cppcheck socat nix-bin zsh fish" ;;
        bench) wanted="$wanted bubblewrap libarchive-tools" ;;
        *)
                echo "packages.sh: there is no group '$group'; there are build, machine, emulator, check and bench" >&2
                exit 2
                ;;
        esac
done

missing=
for package in $wanted; do
        [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
                missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
        echo "packages.sh: these packages are missing:$missing; install them, or run this as root" >&2
        exit 1
fi
export DEBIAN_FRONTEND=noninteractive
# A mirror may be out of reach for a moment.
retries='-o Acquire::Retries=10'
# Word splitting is meant.
apt-get --quiet $retries update
apt-get --quiet --yes --no-install-recommends $retries install $missing
