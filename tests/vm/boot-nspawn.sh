#!/bin/sh
# Boot the machine ROOT (made by fresh.sh) with its own systemd as PID 1 in a container, and wait until it is off.
#
#   usage: boot-nspawn.sh ROOT SECONDS
#
# What the machine writes to its console goes to standard output. Exit status: that of the machine's payload; 124 if the
# machine was still on after SECONDS and had to be killed; 125 if it went off and the payload left no status.
# It is called $HATCH_NAME; with $HATCH_BRIDGE, a bridge in the caller's network namespace, it has a port of that as its
# interface host0, and no network otherwise.
# Everything the container makes lives in namespaces and in one cgroup of our own, so nothing is left however it ends.
# Needs root, systemd-container and cgroup v2.
set -eu

# A mount namespace of our own first: no mount below is ever seen by the host.
if [ "${HATCH_IN_NAMESPACE-}" != "$$" ]; then
        HATCH_IN_NAMESPACE=$$
        export HATCH_IN_NAMESPACE
        exec unshare --mount --propagation private -- "$0" "$@"
fi
unset HATCH_IN_NAMESPACE

root=${1:?usage: boot-nspawn.sh ROOT SECONDS}
seconds=${2:?usage: boot-nspawn.sh ROOT SECONDS}
status=$root/var/lib/hatch-test/status
network=--private-network
[ -z "${HATCH_BRIDGE-}" ] || network=--network-bridge=$HATCH_BRIDGE

# The cgroup tree is mounted afresh, because some hosts have it elsewhere than at /sys/fs/cgroup, or beside version 1.
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/cgroup
mount -t cgroup2 cgroup2 /run/cgroup
cgroup=/run/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)/hatch-machine-$$

end_machine() {
        [ -d "$cgroup" ] || return 0
        echo 1 >"$cgroup/cgroup.kill"
        # What was killed needs a moment to be gone; a cgroup with processes cannot be removed.
        for _ in $(seq 100); do
                ! grep -q '^populated 1' "$cgroup/cgroup.events" || { sleep 0.05; continue; }
                break
        done
        find "$cgroup" -depth -type d -exec rmdir {} +
}

mount -t overlay -o "lowerdir=$root.tree/usr,upperdir=$root/usr,workdir=$root.work" overlay "$root/usr"
rm -f "$status"
mkdir "$cgroup"
trap end_machine EXIT
trap 'exit 130' INT TERM HUP

# nspawn is not PID 1 of the new namespace: as PID 1 it would log like an init.
# @keyring and bpf are what nspawn refuses beyond a bare host and hatchd needs: each builder gets a keyring of its own, and
# its cgroup a list of devices.
(
        echo 0 >"$cgroup/cgroup.procs"
        exec setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc --propagation private \
                timeout --signal=KILL "$seconds" sh -c '
                umount -R /sys/fs/cgroup 2>/dev/null
                mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit
                TERM=dumb SYSTEMD_LOG_LEVEL=warning systemd-nspawn --directory="$1" --boot --quiet --register=no --keep-unit \
                        --machine="$2" "$3" --resolv-conf=off --timezone=off --link-journal=no --console=read-only \
                        --system-call-filter="@keyring bpf landlock_create_ruleset landlock_add_rule landlock_restrict_self" -- systemd.show_status=no --log-level=err |
                        sed --unbuffered "s/\\r$//"
        ' sh "$root" "${HATCH_NAME:-hatch-machine}" "$network" </dev/null
) &
machine=$!
ended=0
wait "$machine" || ended=$?

if [ -s "$status" ]; then
        exit "$(cat "$status")"
fi
if [ "$ended" -eq 137 ]; then
        echo "boot-nspawn.sh: the machine was still on after $seconds seconds and was killed" >&2
        exit 124
fi
echo "boot-nspawn.sh: the machine went off and its payload left no status" >&2
exit 125
