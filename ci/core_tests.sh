#!/bin/sh
# Tests of the C core alone, without Python: under AddressSanitizer, LeakSanitizer and
# UndefinedBehaviorSanitizer, then as the extension module is compiled.
#
#   sh ci/core_tests.sh [--plain] [build-folder]
#
# With --plain only the latter. Long sweeps run as a sample; GEAR_TRANSFER_THOROUGH=1 has them run
# whole, and the test of faults here as well, which otherwise is for ci/faults.sh. ONEDNN_ROOT names
# the folder that holds oneDNN's include/ and lib/; without it the prefix of the python3 at hand is
# searched. What is newer than the sources in the build folder is not compiled again.
set -u

here=$(cd "$(dirname "$0")/.." && pwd) || exit 1
. "$here/ci/core_build.sh"
kinds="sanitized plain"
if [ "${1:-}" = --plain ]; then
    kinds=plain
    shift
fi
make_folder "$@"

# run_program NAME: link it and run it; its closing line is 'N passed, N failed'.
run_program() {
    link_test "$1" || return 1
    "$objects/$1" >"$objects/$1.out" 2>"$objects/$1.err"
    echo $? >"$objects/$1.code"
}

# add_counts NAME: what the program found.
add_counts() {
    code=$(cat "$objects/$1.code" 2>/dev/null)
    counts=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$objects/$1.out" 2>/dev/null)
    good=${counts% *}
    bad=${counts#* }
    if [ "${code:-1}" -ne 0 ] && [ "${bad:-0}" -eq 0 ]; then
        bad=1 # it was not made, it ended before its report, or a sanitizer objected
    fi
    passed=$((passed + ${good:-0}))
    failed=$((failed + ${bad:-0}))
    echo "$1 ($kind): ${good:-0} passed, ${bad:-0} failed"
    if [ "${bad:-0}" -ne 0 ]; then
        cat "$objects/$1.err"
    fi
}

# Build and run everything with `flags`.
run_kind() {
    objects=$build/$kind
    names=$(test_names)
    if [ "${GEAR_TRANSFER_THOROUGH:-}" != 1 ]; then
        names=$(echo "$names" | grep -vx test_faults)
    fi
    # shellcheck disable=SC2086
    if ! compile_all $names; then
        failed=$((failed + 1))
        return
    fi
    rm -f "$objects"/*.code "$objects"/*.out "$objects"/*.err
    # shellcheck disable=SC2086
    in_parallel run_program $names
    for name in $(echo "$names" | sort); do
        add_counts "$name"
    done
}

# An allocation that is too large must fail as it does without the sanitizer.
ASAN_OPTIONS="detect_leaks=1:allocator_may_return_null=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}"
UBSAN_OPTIONS="print_stacktrace=1"
export ASAN_OPTIONS UBSAN_OPTIONS

passed=0
failed=0
for kind in $kinds; do
    case $kind in
    sanitized)
        flags="-g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all"
        ;;
    plain) flags="-O3 -fno-math-errno" ;;
    esac
    run_kind
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
