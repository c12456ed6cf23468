#!/bin/sh
# Print the path of a Debian tree that can be booted; make it first if it is not in the cache.
#
#   usage: tree.sh SUITE [kernel]      SUITE is bookworm, trixie or sid
#
# The tree holds systemd, nix-daemon, the libraries that hatchd is linked with, and what the tests call. With
# "kernel" it also holds a kernel and an initial RAM disk for boot-qemu.sh. It is never booted or changed itself:
# fresh.sh copies it. The name in the cache contains a digest of this file, so that a changed recipe makes a new tree.
# Needs root and mmdebstrap.
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
trees=${HATCH_CACHE:-$top/.cache}/trees

suite=${1:?usage: tree.sh SUITE [kernel]}
kernel=${2-}

packages=systemd,systemd-sysv,dbus,nix-bin,nix-setup-systemd
packages=$packages,libjansson4,libcjson1,libseccomp2
packages=$packages,busybox-static,python3,procps,socat,strace,openssh-server,openssh-client
packages=$packages,openssl,passt,iproute2,e2fsprogs,squashfs-tools,erofs-utils
case $suite in
bookworm) packages=$packages,libarchive13,libnettle8 ;;
trixie) packages=$packages,libarchive13t64,libnettle8t64 ;;
sid) packages=$packages,libarchive13t64,libnettle8t64 ;;
*)
        echo "tree.sh: no recipe for the suite '$suite'; there are bookworm, trixie and sid" >&2
        exit 2
        ;;
esac
case $kernel in
'') ;;
kernel) packages=$packages,linux-image-cloud-amd64,initramfs-tools,zstd ;;
*)
        echo "tree.sh: unknown word '$kernel'; the second one may be 'kernel'" >&2
        exit 2
        ;;
esac

# Runs inside the new tree, by its own shell.
customise() {
        cat <<'END'
set -eu
# Debian lets only this group reach nix-daemon.
useradd --create-home --shell /bin/sh --groups nix-users alice
: >/etc/machine-id
echo hatch-machine >/etc/hostname
printf '127.0.0.1 localhost hatch-machine\n' >/etc/hosts
: >/etc/fstab
# Nobody logs in, nothing is updated, and the tests have the console for themselves.
systemctl mask --quiet console-getty.service getty@.service serial-getty@.service getty-static.service \
        apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
        fstrim.timer systemd-pstore.service systemd-networkd.service systemd-timesyncd.service \
        ldconfig.service systemd-journal-catalog-update.service systemd-hwdb-update.service \
        systemd-firstboot.service systemd-logind.service systemd-modules-load.service kmod-static-nodes.service \
        modprobe@.service proc-sys-fs-binfmt_misc.automount sys-kernel-debug.mount sys-kernel-tracing.mount \
        remote-fs.target
systemctl set-default --quiet multi-user.target
# Only where a test wants it.
systemctl disable --quiet ssh.service
# So that sysusers and tmpfiles run at the first boot, as after an installation.
rm -f /etc/.updated /var/.updated
END
}

# Only what finds the root disk of boot-qemu.sh: unpacking a big image is slow in an emulator.
ramdisk() {
        cat <<'END'
set -eu
mkdir -p "$1/etc/initramfs-tools/conf.d"
printf 'MODULES=list\nCOMPRESS=zstd\nCOMPRESSLEVEL=1\nRESUME=none\nFSTYPE=ext4\n' >"$1/etc/initramfs-tools/conf.d/hatch"
printf 'virtio_pci\nvirtio_blk\next4\n' >>"$1/etc/initramfs-tools/modules"
END
}

make_tree() {
        # The lists of a mirror or a snapshot may be older than apt's own limit; their signatures are still checked.
        set -- --mode=root --variant=minbase --quiet \
                --aptopt='Acquire::Check-Valid-Until "false"' \
                --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
                --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
                --dpkgopt='path-exclude=/usr/share/zoneinfo/*' \
                --include="$packages" --customize-hook='chroot "$1" sh -s <"$HATCH_CUSTOMISE"'
        if [ -n "$kernel" ]; then
                set -- "$@" --extract-hook='sh "$HATCH_RAMDISK" "$1"'
        fi
        customise >"$work/customise"
        ramdisk >"$work/ramdisk"
        HATCH_CUSTOMISE=$work/customise HATCH_RAMDISK=$work/ramdisk mmdebstrap "$@" "$suite" "$work/tree" \
                >"$work/log" 2>&1
}

key=$(sha256sum "$0" | cut -c1-12)
tree=$trees/$suite${kernel:+-kernel}-$key
if [ -d "$tree" ]; then
        touch "$tree"
        echo "$tree"
        exit 0
fi

mkdir -p "$trees"
work=$(mktemp -d "$trees/making.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
trap 'exit 130' INT TERM HUP
# A mirror may be out of reach for a moment, or in the middle of a change.
for pause in 30 60 no; do
        make_tree && break
        cat "$work/log" >&2
        echo "tree.sh: cannot make the tree of $suite; the log of mmdebstrap is above" >&2
        [ "$pause" != no ] || exit 1
        echo "tree.sh: once more in $pause s" >&2
        rm -rf --one-file-system "$work/tree"
        sleep "$pause"
done
# The last step, so that a tree in the cache is always a whole one. Two makers at once: one of them wins.
mv -T "$work/tree" "$tree" 2>/dev/null || [ -d "$tree" ]
# Not a tree that was used today: a machine may be running on it.
find "$trees" -mindepth 1 -maxdepth 1 -name "$suite${kernel:+-kernel}-????????????" -mmin +1440 ! -path "$tree" \
        -exec rm -rf --one-file-system {} +
echo "$tree"
