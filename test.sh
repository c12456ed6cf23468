#!/bin/sh
# Run every test there is, on Debian 12 or newer. Installs the packages it needs; nothing else outside of .cache changes.
#
#   usage: sh test.sh [STAGE...]       without a stage: all of them
#
# One line for each stage; the tests that failed or were skipped are listed below it, and a stage that broke shows the end
# of its log. The whole logs stay in .cache/logs. The last line is "N passed, M failed, K skipped"; the exit status is 0
# only if nothing failed. A stage that breaks or that holds no test counts as a failed test. Machines need root: without
# it those stages are skipped, except with CI=true, where they fail. Stages run one after another, those of two lanes side
# by side: machines wait much, and an emulated one has one processor.
set -u
cd "$(dirname "$0")" || exit

cache=$PWD/.cache
logs=$cache/logs
release=$cache/build/release
sanitized=$cache/build/sanitized
static=$cache/build/static
jobs=$(nproc)

# --- stages: each prints result lines among other text, and fails if it could not do its work ------------------------

packages() {
        tests/vm/packages.sh build check || return
        [ "$(id -u)" -ne 0 ] || tests/vm/packages.sh machine emulator
}

# configure DIR OPTION...: a build directory made with other options, or by another meson, is made anew.
configure() {
        directory=$1
        shift
        if [ ! -f "$directory/build.ninja" ] || ! meson setup --reconfigure "$directory" . "$@"; then
                rm -rf "$directory"
                meson setup "$directory" . "$@"
        fi
}

build_release() {
        configure "$release" --prefix=/usr --sysconfdir=/etc --buildtype=release --werror -Dstatic_client=true &&
                ninja --quiet -k 0 -C "$release" &&
                # What the Nix package has by itself.
                configure "$static" --werror -Dstatic_client=true -Dserver=false -Dhook=enabled -Dtests=false -Ddocs=disabled &&
                ninja --quiet -k 0 -C "$static"
}

build_sanitized() {
        configure "$sanitized" --buildtype=debugoptimized --werror -Db_sanitize=address,undefined -Db_lundef=false &&
                ninja --quiet -k 0 -C "$sanitized"
}

# meson_tests DIR: run all tests of a build directory; print their result lines, and all of what a failed one said.
meson_tests() {
        meson test -C "$1" --no-rebuild --timeout-multiplier 5 --suite unit --suite session --num-processes "$jobs" >"$1/test.log" 2>&1
        status=$?
        python3 - "$1/meson-logs/testlog.json" <<'END' || { cat "$1/test.log"; return 1; }
import json, sys

broken = False
for line in open(sys.argv[1]):
    test = json.loads(line)
    words = (test.get("stdout") or "").splitlines()
    good = test["result"] in ("OK", "EXPECTEDFAIL")
    told = any(w.startswith("FAIL ") for w in words)
    results = [w for w in words if w.startswith(("ok ", "FAIL ", "SKIP "))]
    print("\n".join(results if good else words))
    if not good:
        print(test.get("stderr") or "")
    if not good and not told:
        print(f"FAIL {test['name']}: {test['result']}, exit status {test['returncode']}")
    if good and (told or not results):
        print(f"FAIL {test['name']}: it succeeded and printed {'a failure' if told else 'no result'}")
END
        [ "$status" -eq 0 ]
}

unit_and_session() {
        meson_tests "$release"
}

under_sanitizers() {
        # A leak is a mistake; so is every undefined operation, also one that happens to do what was meant.
        ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1 \
                UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 meson_tests "$sanitized"
}

machine_trees() {
        tests/vm/tree.sh trixie && tests/vm/tree.sh trixie kernel && tests/vm/tree.sh bookworm
}

# By itself: there are days on which it cannot be installed.
newest_tree() {
        tests/vm/tree.sh sid
}

# Those but the soak, which is a stage of its own.
machine_tests() {
        find tests/vm -name 'test_*.py' ! -name test_soak.py | sort
}

machine_container() {
        # Word splitting is meant.
        tests/vm/run-machine -b "$release" -l "$logs/machine_container.journal" trixie nspawn $(machine_tests)
}

machine_soak() {
        HATCH_SOAK_REQUESTS=10000 tests/vm/run-machine -b "$release" \
                -l "$logs/machine_soak.journal" trixie nspawn tests/vm/test_soak.py
}

# What the NixOS module makes of configurations, on Debian.
machine_scenarios() {
        tests/vm/run-scenarios -b "$release" -l "$logs/machine_scenarios" trixie
}

# on_suite SUITE: what depends on the versions of systemd and Nix. The container has tested it on the usual ones.
on_suite() {
        tests=0
        tests/vm/run-machine -b "$release" -l "$logs/$name.journal" "$1" nspawn \
                tests/vm/test_readme_example.py tests/vm/test_unit_effects.py tests/vm/test_hook.py \
                tests/vm/test_inputs.py tests/vm/test_derivations.py tests/vm/test_examples.py tests/vm/test_module.py \
                tests/vm/test_hostile_derivation.py tests/vm/test_nix.py tests/vm/test_progress.py \
                tests/vm/test_references.py || tests=$?
        [ "$tests" -le 1 ] || return "$tests"
        tests/vm/run-scenarios -b "$release" -l "$logs/$name" "$1" && return "$tests"
}

# The oldest that are supported.
machine_oldest() {
        on_suite bookworm
}

# The newest that there are.
machine_newest() {
        on_suite sid
}

machine_emulator() {
        tests/vm/run-machine -k -b "$release" -l "$logs/machine_emulator.journal" trixie qemu \
                $(machine_tests)
}

# Every key of a definition with all controllers there are; the container has tested most of them already, ten times as
# fast. On request only.
machine_emulator_keys() {
        tests/vm/run-machine -b "$release" -l "$logs/machine_emulator_keys.journal" trixie qemu \
                tests/vm/test_views.py tests/vm/test_root.py tests/vm/test_identity_keys.py tests/vm/test_seccomp.py \
                tests/vm/test_network.py tests/vm/test_secrets.py tests/vm/test_limits.py tests/vm/test_resources.py \
                tests/vm/test_hooks.py tests/vm/test_inputs.py tests/vm/test_failed.py tests/vm/test_hatchctl.py tests/vm/test_bad_input.py
}

sources() {
        find lib hatchd hatch-client hatch-pre-build-hook hatchctl tests bench examples -name "$1" | sort
}

format() {
        wrong=$( (sources '*.c' && sources '*.h') | xargs clang-format --dry-run --Werror 2>&1 | sed -n 's/:[0-9]*:.*error: .*//p' | uniq -c)
        if [ -n "$wrong" ]; then
                printf '%s\n' "$wrong" | sed 's/^ *\([0-9]*\) \(.*\)/FAIL format_of_\2: \1 places; run clang-format -i on it/'
                return 1
        fi
        echo "ok sources_are_formatted"
}

# Checks that find mistakes, not matters of taste. The path-sensitive analyzer is not among them: it knows neither the
# cleanup attribute nor that error_set() returns a negative number; the sanitizers look for the same mistakes.
tidy_checks='-*,bugprone-*,android-cloexec-*,cert-err34-c,misc-redundant-expression,misc-misplaced-const'
tidy_checks="$tidy_checks,readability-misleading-indentation,readability-misplaced-array-index"
# Left out: what the compiler was already asked, what every C program does, and what meson itself writes.
tidy_checks="$tidy_checks,-bugprone-easily-swappable-parameters,-bugprone-reserved-identifier"
tidy_checks="$tidy_checks,-bugprone-narrowing-conversions,-bugprone-implicit-widening-of-multiplication-result"
tidy_checks="$tidy_checks,-bugprone-assignment-in-if-condition,-bugprone-suspicious-include,-bugprone-macro-parentheses"

# The commands of gcc for what is installed, as clang can read them: without warnings and what only gcc knows.
tidy_commands() {
        python3 - "$release/compile_commands.json" "$release/tidy" <<'END'
import json, os, shlex, sys

installed = ("/lib/", "/hatchd/", "/hatch-client/", "/hatch-pre-build-hook/", "/hatchctl/")
commands = [
    c
    for c in json.load(open(sys.argv[1]))
    if c["file"].endswith(".c") and not c["file"].endswith("-test.c") and any(part in c["file"] for part in installed)
]
for c in commands:
    words = [w for w in shlex.split(c["command"]) if not w.startswith(("-W", "-f"))]
    c["command"] = shlex.join(words)
    c["file"] = os.path.normpath(os.path.join(c["directory"], c["file"]))
os.makedirs(sys.argv[2], exist_ok=True)
json.dump(commands, open(sys.argv[2] + "/compile_commands.json", "w"))
open(sys.argv[2] + "/files", "w").write("\n".join(sorted({c["file"] for c in commands})) + "\n")
sys.exit(not commands)
END
}

clang_tidy() {
        tidy_commands && xargs -n 4 -P "$jobs" clang-tidy --quiet -p "$release/tidy" --checks="$tidy_checks" \
                --warnings-as-errors='*' <"$release/tidy/files" && echo "ok clang_tidy_finds_nothing"
}

# Leaks and uninitialised variables are left to clang-tidy and the sanitizers: cppcheck knows neither the cleanup
# attribute nor statement expressions.
static_check() {
        sources '*.c' | grep -v -e '-test\.c$' | xargs cppcheck --quiet --std=c11 --enable=warning,portability \
                --inline-suppr --error-exitcode=1 --suppress=missingInclude --suppress=missingIncludeSystem \
                --suppress=memleak --suppress=uninitvar --suppress=internalAstError -D_GNU_SOURCE -I. -j "$jobs" &&
                echo "ok cppcheck_finds_nothing"
}

# --- the runner -------------------------------------------------------------------------------------------------------

count() {
        grep -c "^$1 " "$2" || :
}

# stage NAME tests|work [root|STAGE]...: run the function NAME with its output in a log, count what it printed, and say
# so. "work" is a stage that holds no tests and is counted only if it breaks. It is not run, and counted as failed, after
# one of the STAGEs broke; "root" means that it cannot be run by another user.
stage() {
        name=$1 kind=$2
        shift 2
        log=$logs/$name.log
        case " ${chosen:-$name} " in
        *" $name "*) ;;
        *) return ;;
        esac
        for needed in "$@"; do
                if [ "$needed" = root ] && [ "$(id -u)" -ne 0 ] && [ "${CI-}" != true ]; then
                        printf '%-18s skipped: needs root\n' "$name"
                        note 0 0 1
                        return
                fi
                if [ -e "$results/$needed.broke" ]; then
                        printf '%-18s not run: %s broke\n' "$name" "$needed"
                        note 0 1 0
                        : >"$results/$name.broke"
                        return
                fi
        done
        begun=$(date +%s)
        status=0
        "$name" >"$log" 2>&1 </dev/null || status=$?
        report $(($(date +%s) - begun))
}

# note PASSED FAILED SKIPPED: of the stage that is run; in a file, because a lane may be a process of its own.
note() {
        echo "$@" >"$results/$name.count"
}

report() {
        ok=$(count ok "$log") bad=$(count FAIL "$log") left=$(count SKIP "$log")
        broken=
        # A status of 1 is explained by a failed test; any other, or none to explain it, means that tests were not run.
        if [ "$status" -gt 1 ] || { [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; }; then
                broken="broke with status $status"
        elif [ "$kind" = tests ] && [ $((ok + bad)) -eq 0 ]; then
                broken="held no test"
        fi
        [ -z "$broken" ] || bad=$((bad + 1))
        note "$ok" "$bad" "$left"
        if [ "$kind" = tests ]; then
                printf '%-18s %4d s  %d passed, %d failed, %d skipped\n' "$name" "$1" "$ok" "$bad" "$left"
        else
                printf '%-18s %4d s\n' "$name" "$1"
        fi
        grep -E '^(FAIL|SKIP) ' "$log" | sed 's/^/    /'
        if [ -n "$broken" ]; then
                : >"$results/$name.broke"
                printf '    %s %s; the end of %s:\n' "$name" "$broken" "$log"
                tail -n 60 "$log" | sed 's/^/    | /'
        fi
}

# beside LANE LANE: run both, side by side; what the second says comes after the first. A lane succeeds whatever its
# stages do; one that does not was ended from outside, and its last stages were never counted.
beside() {
        "$2" >"$results/$2" 2>&1 &
        second=$!
        "$1"
        ended=0
        wait "$second" || ended=$?
        cat "$results/$2"
        if [ "$ended" -ne 0 ]; then
                name=$2
                printf '%-18s ended with status %s before it was through\n' "$name" "$ended"
                note 0 1 0
        fi
}

lane_of_programs() {
        stage format tests packages
        stage build_release work packages
        stage static_check tests packages
        stage clang_tidy tests build_release
        stage unit_and_session tests build_release
        stage build_sanitized work packages
        stage under_sanitizers tests build_sanitized
}

lane_of_trees() {
        stage machine_trees work root packages
        stage newest_tree work root packages
}

lane_of_machines() {
        stage machine_container tests root build_release machine_trees
        stage machine_soak tests root build_release machine_trees
        stage machine_scenarios tests root build_release machine_trees
}

lane_of_other_machines() {
        stage machine_oldest tests root build_release machine_trees
        stage machine_newest tests root build_release newest_tree
        stage machine_emulator tests root build_release machine_trees
        [ -z "$chosen" ] || stage machine_emulator_keys tests root build_release machine_trees
}

chosen="$*"
results=$logs/results
mkdir -p "$logs" && rm -rf "$results" && mkdir "$results" || exit
# What runs in the background does not hear a terminal's interrupt.
trap 'kill -TERM 0' INT
stage packages work
beside lane_of_programs lane_of_trees
beside lane_of_machines lane_of_other_machines
find "$results" -name '*.count' -exec cat {} + | {
        passed=0 failed=0 skipped=0
        while read -r ok bad left; do
                passed=$((passed + ok)) failed=$((failed + bad)) skipped=$((skipped + left))
        done
        echo "$passed passed, $failed failed, $skipped skipped"
        [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}
