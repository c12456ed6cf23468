#!/bin/sh
# See hatch work: boot a Debian machine of its own and let a sandboxed nix-build get a tree through the hatch.
#
#   usage: sh quickstart.sh          as root, on Debian 12 or newer
#
# Installs the Debian packages it needs. Everything else stays in .cache: the build, a Debian tree (kept for the next
# time) and the machine, which is removed at the end.
set -eu
cd "$(dirname "$0")"

cache=$PWD/.cache
build=$cache/build/quickstart
example=examples/hello

if [ "$(id -u)" -ne 0 ]; then
        echo "quickstart.sh: booting a machine needs root; run: sudo sh quickstart.sh" >&2
        exit 1
fi

begun=$(date +%s)
step() {
        printf '[%3d s] %s\n' $(($(date +%s) - begun)) "$1"
}

# quietly COMMAND...: its output is shown only if it fails.
quietly() {
        "$@" >"$cache/quickstart.log" 2>&1 || {
                status=$?
                tail -n 40 "$cache/quickstart.log" >&2
                echo "quickstart.sh: this failed: $*; all it said is in $cache/quickstart.log" >&2
                exit "$status"
        }
}

build_hatch() {
        if [ ! -f "$build/build.ninja" ]; then
                meson setup "$build" . --prefix=/usr --sysconfdir=/etc --buildtype=release -Dstatic_client=true \
                        -Dtests=false || return
        fi
        ninja -C "$build"
}

# What runs on the machine, as root, once it has booted.
payload() {
        cat <<'END'
#!/bin/sh
title() {
        printf '\n--- %s\n\n' "$1"
}
as_alice() {
        setpriv --reuid=alice --regid=alice --init-groups env HOME=/home/alice USER=alice NIX_REMOTE=daemon "$@"
}
cd /home/alice/hello || exit

title "The derivation: $(pwd)/default.nix"
cat default.nix
title "What the administrator allows: /etc/hatch/builders.d/hello.json"
cat /etc/hatch/builders.d/hello.json
title "nix-build, as alice, with \"$(grep '^sandbox = ' /etc/nix/nix.conf)\" in nix.conf"
as_alice nix-build --no-out-link >/tmp/out || exit
out=$(cat /tmp/out)
title "The result: $out"
(cd "$out" && find . -mindepth 1 -printf '%M  %P\n' | sort -k 2)
printf '\n$ %s/bin/hello\n' "$out"
as_alice "$out/bin/hello" || exit
title "What Nix knows: nix-store --query --references (the tree names its own path)"
as_alice nix-store --query --references "$out" | grep -Fx "$out" || exit
title "What the administrator sees: journalctl HATCH_BUILDER=hello"
for try in 1 2 3 4 5 6 7 8 9 10; do
        journalctl --quiet --output=cat HATCH_BUILDER=hello | grep . && exit
        sleep 0.2
done
echo "the journal has no line about it" >&2
exit 1
END
}

boot() {
        work=$(mktemp -d "$cache/machines/XXXXXX")
        booting=
        trap end_machine EXIT
        trap 'exit 130' INT TERM HUP

        quietly tests/vm/fresh.sh trixie "$work/root" 60 "$build"
        install -D -m 755 "$example/hello" "$work/root/usr/local/libexec/hello"
        install -D -m 644 "$example/hello.json" "$work/root/etc/hatch/builders.d/hello.json"
        install -D -m 644 "$example/default.nix" "$work/root/home/alice/hello/default.nix"
        echo "extra-system-features = hatch-hello" >>"$work/root/etc/nix/nix.conf"
        payload >"$work/root/opt/hatch-test/main"
        chmod 755 "$work/root/opt/hatch-test/main"
        step "booting it; from here on the machine itself speaks"
        tests/vm/boot-nspawn.sh "$work/root" 90 &
        booting=$!
        status=0
        wait "$booting" || status=$?
        booting=
        if [ "$status" -ne 0 ] && [ -f "$work/root/var/lib/hatch-test/journal" ]; then
                cp "$work/root/var/lib/hatch-test/journal" "$cache/quickstart.journal"
                echo "quickstart.sh: the example failed; the machine's journal is $cache/quickstart.journal" >&2
        fi
        return "$status"
}

end_machine() {
        # The boot script first: it ends the machine that lives in $work.
        if [ -n "$booting" ] && kill -TERM "$booting" 2>/dev/null; then
                wait "$booting" || echo "quickstart.sh: the machine was ended before its time" >&2
        fi
        rm -rf --one-file-system "$work"
}

mkdir -p "$cache/machines"
step "installing packages, if some are missing"
quietly tests/vm/packages.sh build machine
step "building hatch, and making a Debian tree, if there is none yet"
tests/vm/tree.sh trixie >"$cache/tree.log" 2>&1 &
tree=$!
# Nothing may go on working after this script has ended.
trap 'wait "$tree"' EXIT
quietly build_hatch
if ! wait "$tree"; then
        cat "$cache/tree.log" >&2
        exit 1
fi
step "making a machine of it"
boot
step "done: the machine is off and removed"
