#!/bin/sh
# Boot the machine ROOT (made by fresh.sh with "kernel") under QEMU, with a kernel of its own, and wait until it is off.
#
#   usage: boot-qemu.sh ROOT SECONDS
#
# Output and exit status are those of boot-nspawn.sh; the payload's status and the journal are copied back into ROOT.
# Unlike a container this machine has all controllers of cgroup v2 and no system call filter around it.
# The processor is emulated, because nested KVM cannot be relied on; HATCH_QEMU_ACCEL=kvm is faster where it works.
# One processor in one thread: QEMU 7.2 with more threads breaks the 16 byte compare-and-swap of Linux 6.12.
# Needs root (for the owners of the files in ROOT), qemu-system-x86 and e2fsprogs.
set -eu

root=${1:?usage: boot-qemu.sh ROOT SECONDS}
seconds=${2:?usage: boot-qemu.sh ROOT SECONDS}
image=$root.raw
pid=

end_machine() {
        # timeout hands the signal on to QEMU; the image may go only after its writer.
        if [ -n "$pid" ] && kill -TERM "$pid" 2>/dev/null; then
                wait "$pid" || echo "boot-qemu.sh: the machine was ended before its time" >&2
        fi
        rm -f "$image" "$image.out"
}

trap end_machine EXIT
trap 'exit 130' INT TERM HUP

# A sparse file, with room for what the tests build. The layers of /usr are put together out of the host's sight.
unshare --mount --propagation private sh -c '
        mount -t overlay -o "lowerdir=$1.tree/usr,upperdir=$1/usr,workdir=$1.work" overlay "$1/usr" || exit
        exec mke2fs -q -t ext4 -d "$1" -O ^has_journal -E lazy_itable_init=1 "$2" 2G >/dev/null
' sh "$root" "$image"

kernel_line="console=ttyS0 root=/dev/vda rw panic=-1 quiet loglevel=3 mitigations=off audit=0 fsck.mode=skip TERM=dumb"
kernel_line="$kernel_line systemd.show_status=no systemd.log_level=err"
set -- -machine q35,sata=off,smbus=off,usb=off,vmport=off,i8042=off -accel "${HATCH_QEMU_ACCEL:-tcg,thread=single}" \
        -cpu max -smp 1 -m 2048 -nodefaults -no-reboot -display none -monitor none -serial stdio \
        -kernel "$(echo "$root"/boot/vmlinuz-*)" -initrd "$(echo "$root"/boot/initrd.img-*)" \
        -drive "file=$image,format=raw,if=virtio,cache=unsafe" -append "$kernel_line"

# In the background, so that a signal to this script is not kept waiting.
mkfifo "$image.out"
sed --unbuffered -e 's/\r$//' -e '/reboot: Power down$/d' <"$image.out" &
timeout --kill-after=5 "$seconds" setpriv --pdeathsig KILL qemu-system-x86_64 "$@" </dev/null >"$image.out" &
pid=$!
ended=0
wait "$pid" || ended=$?
pid=
wait

if [ "$ended" -eq 124 ] || [ "$ended" -eq 137 ]; then
        echo "boot-qemu.sh: the machine was still on after $seconds seconds and was killed" >&2
        exit 124
fi
for file in status journal; do
        debugfs -R "dump /var/lib/hatch-test/$file $root/var/lib/hatch-test/$file" "$image" >/dev/null 2>&1 ||
                echo "boot-qemu.sh: cannot read $file from the image" >&2
done
if [ -s "$root/var/lib/hatch-test/status" ]; then
        exit "$(cat "$root/var/lib/hatch-test/status")"
fi
echo "boot-qemu.sh: the machine went off (QEMU: $ended) and its payload left no status" >&2
exit 125
